//! Every word that the contract's storage must hold, by the model. §2, §4, §5.1, §6.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256, keccak256};
use plasmid_exit_game::exit::contract::{Contract, OpenClaim, OperatorKey};
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace};
use plasmid_exit_game::exit::standard::Standing;
use plasmid_exit_game::output::{ETHER, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};

/// The variables of `RootChainBase` in their order.
const HEAD: u64 = 0;
const HALT: u64 = 1;
const BLOCKS: u64 = 2;
const COINS: u64 = 3;
const PAYEES: u64 = 4;
const ASSETS: u64 = 5;
const EXIT_KEYS: u64 = 6;
const CLAIMABLE: u64 = 7;
const IN_FLIGHT: u64 = 8;
const OPERATOR_KEY: u64 = 9;
const NEXT_OPERATOR: u64 = 10;
const FORMER_KEYS: u64 = 11;
const OPERATOR_BOND: u64 = 12;
const ANNOUNCEMENTS: u64 = 13;
const CONVICTIONS: u64 = 14;
const SLASHED_RECEIPTS: u64 = 15;
const MISSING_CLAIMS: u64 = 16;

/// Where `Head` says that the chain takes no more deposits and blocks.
const STOPPED_BIT: usize = 255;

/// All fields of all words.
pub(crate) const FIELDS: [&str; 51] = [
    "head.nextNumber",
    "head.lastTimestamp",
    "head.depositCount",
    "head.nextNonce",
    "head.etherOwed",
    "head.stopped",
    "halt.haltedFrom",
    "halt.haltedAt",
    "halt.closedAt",
    "blocks",
    "coin.recordHash",
    "coin.assigned",
    "coin.state deposited",
    "coin.state settled",
    "coin.state settled with an exit pending",
    "payees",
    "asset.owed",
    "asset.standard",
    "key.next",
    "key.count",
    "key.listed",
    "claimable",
    "inFlight.start",
    "inFlight.key",
    "inFlight.livePieces inputs",
    "inFlight.livePieces outputs",
    "inFlight.decision Canonical",
    "inFlight.decision NonCanonical",
    "inFlight.decision Void",
    "inFlight.place Competitor",
    "inFlight.place Competitor not included",
    "inFlight.place Own",
    "inFlight.challenger",
    "inFlight.dataHash",
    "operatorKey.account",
    "operatorKey.firstBlock",
    "operatorKey.nextFirstBlock",
    "nextOperator",
    "formerKeys",
    "bond.faultPart",
    "bond.faultPart short",
    "bond.receiptPart",
    "bond.receiptPart short",
    "announcements",
    "conviction.rootBlock",
    "conviction.reward",
    "slashedReceipt.rootBlock",
    "slashedReceipt.reward",
    "missingClaim.claimant",
    "missingClaim.claimedAt",
    "missingClaim.value",
];

/// The names of everything that may have a word.
pub(crate) struct Names {
    pub(crate) accounts: Vec<Address>,
    pub(crate) assets: Vec<Address>,
    pub(crate) coins: Vec<OutputId>,
    pub(crate) transactions: Vec<TxHash>,
    pub(crate) announcements: Vec<B256>,
    /// Of blocks and receipts.
    pub(crate) numbers: Vec<BlockNumber>,
    /// Blocks and positions of coins that were claimed missing.
    pub(crate) claims: Vec<(BlockNumber, Position)>,
}

/// Words by slot, and which fields of them are not zero.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) words: BTreeMap<U256, U256>,
    pub(crate) reached: BTreeSet<&'static str>,
}

impl Words {
    /// Returns what the model says.
    pub(crate) fn of(model: &Contract, names: &Names) -> Self {
        let mut words = Self::default();
        words.put_head(model);
        words.put_operator(model);
        for &number in &names.numbers {
            words.put_block(model, number);
        }
        for &announcement in &names.announcements {
            let root_block = model.announcement(announcement).unwrap_or_default();
            words.put(mapped(announcement.into(), ANNOUNCEMENTS), "announcements", 0, U256::from(root_block));
        }
        for &(number, position) in &names.claims {
            words.put_claim(model, number, position);
        }
        for &coin in &names.coins {
            words.put_coin(model, coin);
        }
        for &asset in &names.assets {
            words.put_asset(model, asset);
            for &account in &names.accounts {
                let of_account = mapped(account.into_word().into(), CLAIMABLE);
                let slot = mapped_at(asset.into_word().into(), of_account);
                words.put(slot, "claimable", 0, model.claimable(account, asset));
            }
        }
        for &tx_hash in &names.transactions {
            words.put_in_flight_exit(model, tx_hash);
        }
        words
    }

    fn put_head(&mut self, model: &Contract) {
        let (slot, head) = (U256::from(HEAD), model.head());
        let fields = [head.next_number, head.last_timestamp, head.deposit_count, head.next_nonce];
        for (index, field) in fields.into_iter().enumerate() {
            self.put(slot, FIELDS[index], 40 * index, U256::from(field));
        }
        self.put(slot, "head.etherOwed", 160, U256::from(model.owed(ETHER).unwrap_or(0)));
        let stopped = head.halt.is_some() || head.closed_at.is_some() || model.is_bond_short();
        self.put(slot, "head.stopped", STOPPED_BIT, U256::from(u8::from(stopped)));
        let slot = U256::from(HALT);
        if let Some(halt) = head.halt {
            self.put(slot, "halt.haltedFrom", 0, U256::from(halt.from.get()));
            self.put(slot, "halt.haltedAt", 40, U256::from(halt.at));
        }
        self.put(slot, "halt.closedAt", 80, U256::from(head.closed_at.unwrap_or(0)));
    }

    fn put_operator(&mut self, model: &Contract) {
        self.put_key(U256::from(OPERATOR_KEY), model.operator_key());
        self.put(U256::from(NEXT_OPERATOR), "nextOperator", 0, model.next_operator().into_word().into());
        let former = model.former_keys();
        self.put(U256::from(FORMER_KEYS), "formerKeys", 0, U256::from(former.len()));
        let first = U256::from_be_bytes(keccak256(U256::from(FORMER_KEYS).to_be_bytes::<32>()).0);
        for (index, key) in former.iter().enumerate() {
            self.put_key(first + U256::from(index), key);
        }
        let (slot, bond) = (U256::from(OPERATOR_BOND), model.operator_bond());
        self.put(slot, "bond.faultPart", 0, U256::from(bond.fault_part));
        self.put(slot, "bond.receiptPart", 128, U256::from(bond.receipt_part));
        let parameters = model.parameters();
        self.reached.extend((bond.fault_part < parameters.fault_slash).then_some("bond.faultPart short"));
        self.reached.extend((bond.receipt_part < parameters.receipt_slash).then_some("bond.receiptPart short"));
    }

    fn put_key(&mut self, slot: U256, key: &OperatorKey) {
        self.put(slot, "operatorKey.account", 0, key.account.into_word().into());
        self.put(slot, "operatorKey.firstBlock", 160, U256::from(key.first_block));
        self.put(slot, "operatorKey.nextFirstBlock", 200, U256::from(key.next_first_block.unwrap_or_default()));
    }

    fn put_block(&mut self, model: &Contract, number: BlockNumber) {
        let key = U256::from(number.get());
        self.put(mapped(key, BLOCKS), "blocks", 0, model.commitment(number).unwrap_or_default().into());
        if let Some(conviction) = model.conviction(number) {
            let slot = mapped(key, CONVICTIONS);
            self.put(slot, "conviction.rootBlock", 0, U256::from(conviction.root_block));
            self.put(slot, "conviction.reward", 64, U256::from(conviction.reward));
        }
        if let Some(slashing) = model.slashed_receipt(number) {
            let slot = mapped(key, SLASHED_RECEIPTS);
            self.put(slot, "slashedReceipt.rootBlock", 0, U256::from(slashing.root_block));
            self.put(slot, "slashedReceipt.reward", 64, U256::from(slashing.reward));
        }
    }

    fn put_coin(&mut self, model: &Contract, output_id: OutputId) {
        let coin = model.coin(output_id);
        let state = match (coin.standing(), coin.exit()) {
            (Standing::Unknown, _) => None,
            (Standing::Deposited, _) => Some("coin.state deposited"),
            (Standing::Settled { .. }, None) => Some("coin.state settled"),
            (Standing::Settled { .. }, Some(_)) => Some("coin.state settled with an exit pending"),
        };
        self.reached.extend(state);
        self.reached.extend(coin.exit().map(|_| "coin.recordHash"));
        self.reached.extend(coin.is_assigned().then_some("coin.assigned"));
        self.put_word(mapped(output_id.0.into(), COINS), coin.to_word());
        let payee = model.payee(output_id).unwrap_or_default();
        self.put(mapped(output_id.0.into(), PAYEES), "payees", 0, payee.into_word().into());
    }

    fn put_claim(&mut self, model: &Contract, number: BlockNumber, position: Position) {
        let Some(claim) = model.missing_claim(number, position) else { return };
        let slot = mapped_at(U256::from(position.bits()), mapped(U256::from(number.get()), MISSING_CLAIMS));
        self.put(slot, "missingClaim.claimant", 0, claim.claimant.into_word().into());
        let Some(OpenClaim { claimed_at, value }) = claim.open else { return };
        self.put(slot, "missingClaim.claimedAt", 160, U256::from(claimed_at));
        self.put(slot + U256::ONE, "missingClaim.value", 0, value.into());
    }

    fn put_asset(&mut self, model: &Contract, asset: Address) {
        let key = asset.into_word().into();
        if let Some(owed) = model.owed(asset).filter(|_| asset != ETHER) {
            let slot = mapped(key, ASSETS);
            self.put(slot, "asset.owed", 0, U256::from(owed));
            self.put(slot, "asset.standard", 128, U256::ONE);
        }
        let Some(keys) = model.exit_keys(asset) else { return };
        let list = mapped(key, EXIT_KEYS);
        // Key zero is the list's own and stays listed.
        let listed: Vec<_> = [(0, 0)].into_iter().chain(keys.iter()).collect();
        for (index, &(key, count)) in listed.iter().enumerate() {
            let slot = mapped_at(U256::from(key), list);
            let next = listed.get(index + 1).map_or(0, |&(next, _)| next);
            self.put(slot, "key.next", 0, U256::from(next));
            self.put(slot, "key.count", 40, U256::from(count));
            self.put(slot, "key.listed", 72, U256::ONE);
        }
    }

    fn put_in_flight_exit(&mut self, model: &Contract, tx_hash: TxHash) {
        let Some(exit) = model.in_flight_exit(tx_hash) else { return };
        let slot = mapped(tx_hash.0.into(), IN_FLIGHT);
        let decision = exit.decision.map(|decision| match decision {
            Decision::Canonical => "inFlight.decision Canonical",
            Decision::NonCanonical => "inFlight.decision NonCanonical",
            Decision::Void => "inFlight.decision Void",
        });
        let place = match exit.oldest {
            OldestPlace::Nobodys => None,
            OldestPlace::Competitors(None) => Some("inFlight.place Competitor not included"),
            OldestPlace::Competitors(Some(_)) => Some("inFlight.place Competitor"),
            OldestPlace::Own(_) => Some("inFlight.place Own"),
        };
        let live = exit.live_pieces.bits();
        let inputs = (live & 0xffff != 0).then_some("inFlight.livePieces inputs");
        let outputs = (live >> 16 != 0).then_some("inFlight.livePieces outputs");
        self.reached.extend([decision, place, inputs, outputs].into_iter().flatten());
        self.reached.extend(["inFlight.start", "inFlight.key"]);
        self.put_word(slot, exit.to_word());
        let challenger = exit.challenger.unwrap_or_default();
        self.put(slot + U256::ONE, "inFlight.challenger", 0, challenger.into_word().into());
        self.put(slot + U256::from(2), "inFlight.dataHash", 0, exit.data.hash().into());
    }

    fn put(&mut self, slot: U256, field: &'static str, shift: usize, value: U256) {
        if !value.is_zero() {
            self.reached.insert(field);
            *self.words.entry(slot).or_default() |= value << shift;
        }
    }

    fn put_word(&mut self, slot: U256, word: U256) {
        if !word.is_zero() {
            self.words.insert(slot, word);
        }
    }
}

/// Returns the slot of a key of the mapping that is a variable of its own.
fn mapped(key: U256, variable: u64) -> U256 {
    mapped_at(key, U256::from(variable))
}

fn mapped_at(key: U256, slot: U256) -> U256 {
    let preimage = [key.to_be_bytes::<32>(), slot.to_be_bytes()].concat();
    B256::from(keccak256(preimage)).into()
}
