//! The chain, as its data are served, beside the contract and the exit game that follows its events.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::exit::contract::{
    Anchor, Call, Contract, InclusionProof, InputProof, Parameters, Payment, PaymentOutcome, Revert, ShownReceipt,
    Submission, announcement_of,
};
use plasmid_exit_game::exit::in_flight::{PieceSet, SignedTransaction};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_exit_game::fault::{
    BlockData, Creation, Difference, Fault, FaultProof, HeldKey, LeafData, ShownBody, ShownCoin, ShownLeaf, check,
    difference, evidence, shown_coin,
};
use plasmid_exit_game::game::{Game, GameState};
use plasmid_exit_game::ledger::{BlockVerdict, Leaf, Ledger, RecoveredTransaction, unspent_updates};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, PositionKind, TxIndex};
use plasmid_exit_game::signature::{Domain, Signature, address_of};
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::UtxoTree;

/// A devnet's periods: G is 3 seconds, F is 75.
pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
pub(crate) const MEP: u64 = PERIODS.minimum_exit_period;
pub(crate) const FAULT_SLASH: u128 = 1_001;
pub(crate) const RECEIPT_SLASH: u128 = 300;
const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) };
const BOND: u128 = 10;
pub(crate) const MISSING_BOND: u128 = 70;

/// A coin: its name, and where it was made.
pub(crate) type Coin = (OutputId, Position);
/// A leaf as it is served: body and witness, none for an empty one.
pub(crate) type Served = Option<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) leaves: Vec<LeafData>,
    /// The tree whose root the header has.
    tree: UtxoTree,
}

#[derive(Clone)]
pub(crate) struct Court {
    pub(crate) contract: Contract,
    pub(crate) game: Game,
    pub(crate) blocks: Vec<Block>,
    pub(crate) now: u64,
    pub(crate) paid: BTreeMap<Address, U256>,
    ledger: Ledger,
    tree: UtxoTree,
    creations: BTreeMap<OutputId, Creation>,
    deposits: Vec<Deposit>,
    covered: usize,
}

pub(crate) fn key_of(name: &str) -> SigningKey {
    SigningKey::from_slice(keccak256(name).as_slice()).expect("keccak-256 does not hit the order")
}

pub(crate) fn address(name: &str) -> Address {
    address_of(key_of(name).verifying_key())
}

pub(crate) fn gets(owner: &str, amount: u128) -> Output {
    Output { owner: address(owner), asset: ETHER, amount }
}

pub(crate) fn served(transaction: &PlacedTransaction) -> Served {
    Some((transaction.body.encode(), transaction.witness.encode()))
}

pub(crate) fn place(block: u64, index: u32) -> Place {
    Place { block: BlockNumber::new(block).unwrap(), index: TxIndex::new(index).unwrap() }
}

/// Returns the first output of a transaction at a place.
pub(crate) fn made(transaction: &PlacedTransaction, place: Place) -> Coin {
    (OutputId::of_output(transaction.body.hash(), 0), place.first_output())
}

/// Stands for the hash of a proving call's calldata.
pub(crate) fn evidence_of(shown: &impl std::fmt::Debug) -> B256 {
    keccak256(format!("{shown:?}"))
}

impl Court {
    pub(crate) fn new() -> Self {
        let parameters = Parameters {
            operator: address("operator"),
            periods: PERIODS,
            exit_bond: BOND,
            exit_bounty: 0,
            in_flight_bond: BOND,
            piece_bond: BOND,
            piece_bond_per_input: 0,
            piece_bounty: 0,
            piece_bounty_per_input: 0,
            fault_slash: FAULT_SLASH,
            receipt_slash: RECEIPT_SLASH,
            missing_bond: MISSING_BOND,
        };
        let now = 1_000_000;
        let contract = Contract::deploy(parameters, FAULT_SLASH + 2 * RECEIPT_SLASH, DOMAIN, now).unwrap();
        let mut court = Self {
            contract,
            game: Game::new(PERIODS, 1_000),
            blocks: Vec::new(),
            now,
            paid: BTreeMap::new(),
            ledger: Ledger::default(),
            tree: UtxoTree::default(),
            creations: BTreeMap::new(),
            deposits: Vec::new(),
            covered: 0,
        };
        let (fault_part, receipt_part) = (FAULT_SLASH, 2 * RECEIPT_SLASH);
        court.note(vec![RootEvent::BondFunded { funder: address("operator"), fault_part, receipt_part }]);
        court
    }

    /// A root block a second: their numbers are their times.
    pub(crate) fn call(&self, caller: &str) -> Call {
        Call { caller: address(caller), now: self.now, root_block: self.now }
    }

    /// Calls the contract; the game hears of it.
    pub(crate) fn act(
        &mut self,
        caller: &str,
        act: impl FnOnce(&mut Contract, Call, &mut dyn FnMut(Payment) -> PaymentOutcome) -> Result<Vec<RootEvent>, Revert>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let (call, paid) = (self.call(caller), &mut self.paid);
        let mut pay = |payment: Payment| {
            *paid.entry(payment.to).or_default() += payment.amount;
            PaymentOutcome::Received
        };
        let before = self.contract.clone();
        let events = act(&mut self.contract, call, &mut pay);
        match &events {
            Ok(events) => self.note(events.clone()),
            Err(_) => assert_eq!(self.contract, before, "a call that is refused changes nothing"),
        }
        events
    }

    /// Lets time pass.
    pub(crate) fn wait_until(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.note(Vec::new());
    }

    pub(crate) fn wait(&mut self, secs: u64) {
        self.wait_until(self.now + secs);
    }

    fn note(&mut self, events: Vec<RootEvent>) {
        let at = RootRef { number: self.now, hash: B256::ZERO };
        let block = RootBlock { at, parent: B256::ZERO, timestamp: self.now, events };
        self.game.connect_block(&block).expect("the contract does not contradict itself");
    }

    pub(crate) fn received(&self, name: &str) -> u128 {
        self.paid.get(&address(name)).copied().unwrap_or_default().to()
    }

    pub(crate) fn deposit(&mut self, owner: &str, amount: u128) -> Coin {
        let to = address(owner);
        let events = self.act(owner, |contract, _, _| contract.deposit(U256::from(amount), to)).unwrap();
        let Some(&RootEvent::Deposited(deposit)) = events.last() else { panic!("a deposit says so last") };
        self.deposits.push(deposit);
        let fields = Bytes::copy_from_slice(&deposit.output.deposit_fields());
        self.creations.insert(deposit.output_id(), Creation { fields, index: deposit.nonce });
        (deposit.output_id(), Position::of_deposit(deposit.nonce).unwrap())
    }

    /// Signs a spend of coins at the places given.
    pub(crate) fn sign(&self, signer: &str, coins: &[Coin], outputs: Vec<Output>) -> PlacedTransaction {
        self.sign_with_memo(signer, coins, outputs, 0)
    }

    pub(crate) fn sign_with_memo(
        &self,
        signer: &str,
        coins: &[Coin],
        outputs: Vec<Output>,
        memo: u8,
    ) -> PlacedTransaction {
        let mut coins = coins.to_vec();
        coins.sort_unstable();
        let (ids, placement) = coins.into_iter().unzip();
        let body = Transaction::new(ids, outputs, B256::repeat_byte(memo)).unwrap();
        let signature = Signature::sign(&key_of(signer), body.signing_hash(&DOMAIN));
        PlacedTransaction { body, witness: Witness { signature, placement } }
    }

    /// The place of the first leaf of the next block.
    pub(crate) fn next_place(&self) -> Place {
        place(self.contract.head().next_number, 0)
    }

    /// Commits a block, a second later, that covers all deposits but `uncovered`, and returns what the ledger finds wrong.
    pub(crate) fn commit(&mut self, leaves: Vec<Served>, uncovered: usize) -> Option<(Place, Fault)> {
        let (header, read, newly, tree) = self.submit(leaves, uncovered, Clone::clone);
        assert_eq!(header.utxo_root, tree.root(), "nobody lies about the unspent tree");
        let game = &self.game;
        let freeze_of = |output_id| game.freeze_of(output_id);
        match self.ledger.apply_block(&header, &read, &newly, &self.tree, freeze_of) {
            BlockVerdict::Valid { tree } => {
                (self.tree, self.covered) = (tree, self.covered + newly.len());
                None
            }
            BlockVerdict::Invalid { index, fault } => Some((Place { block: header.number, index }, fault)),
            BlockVerdict::WrongUnspentRoot { .. } => panic!("the root is of these leaves"),
        }
    }

    /// Commits a block whose transactions are valid, with another unspent tree than they make, and returns the one coin that
    /// explains it, if one does.
    pub(crate) fn commit_lying(
        &mut self,
        transactions: &[PlacedTransaction],
        uncovered: usize,
        lie: impl FnOnce(&UtxoTree) -> UtxoTree,
    ) -> Option<Difference> {
        let leaves = transactions.iter().map(served).collect();
        let (header, read, newly, tree) = self.submit(leaves, uncovered, lie);
        let verdict = self.ledger.apply_block(&header, &read, &newly, &self.tree, |_| None);
        assert!(matches!(verdict, BlockVerdict::WrongUnspentRoot { computed } if computed == tree.root()));
        difference(&header, &tree, self.ledger.touched_coins(header.number, &read, &newly))
    }

    /// Returns what the tree of a block holds under a key, `None` if it holds nothing there.
    pub(crate) fn held(&self, block: u64, position: Position) -> Option<HeldKey> {
        let Block { header, tree, .. } = &self.blocks[block as usize - 1];
        let proof = tree.prove(position)?.encode().into();
        Some(HeldKey { header: *header, position: position.bits(), value: tree.get(position)?, proof })
    }

    /// Returns what shows a coin by its making.
    pub(crate) fn shown_coin(&self, (output_id, position): Coin) -> ShownCoin {
        shown_coin(output_id, position, self).unwrap()
    }

    /// Submits a block, a second later, and returns its header, its leaves, the deposits newly covered, and the tree it should
    /// have.
    fn submit(
        &mut self,
        leaves: Vec<Served>,
        uncovered: usize,
        lie: impl FnOnce(&UtxoTree) -> UtxoTree,
    ) -> (Header, Vec<Leaf>, Vec<Deposit>, UtxoTree) {
        let items: Vec<BodyItem<'_>> = leaves
            .iter()
            .map(|leaf| match leaf {
                None => BodyItem::Empty,
                Some((body, witness)) => BodyItem::Preimage { body, witness },
            })
            .collect();
        let data: Vec<LeafData> = items.iter().map(LeafData::from).collect();
        let recover = |transaction| RecoveredTransaction::recover(transaction, &DOMAIN);
        let read: Vec<Leaf> = items.iter().map(|item| Leaf::read(item, recover).unwrap()).collect();
        let number = self.next_place().block;
        let end = self.deposits.len() - uncovered;
        let newly = &self.deposits[self.covered.min(end)..end];
        let tree = self.tree.updated(unspent_updates(number, &read, newly));
        let shown = lie(&tree);
        let hashes: Vec<B256> = data.iter().map(|leaf| leaf.leaf).collect();
        let submission = Submission {
            number: number.get(),
            tx_root: tx_tree::root(&hashes),
            utxo_root: shown.root(),
            tx_count: hashes.len() as u32,
            deposit_count: end as u64,
            anchor: Anchor::Known,
            not_after: u64::MAX,
        };
        let newly = newly.to_vec();
        self.now += 1;
        let events = self.act("operator", |contract, call, _| contract.submit_block(call, &submission)).unwrap();
        let [RootEvent::BlockSubmitted(header)] = events[..] else { panic!("a block is one event") };
        self.blocks.push(Block { header, leaves: data, tree: shown });
        for transaction in read.iter().filter_map(Leaf::transaction) {
            for (index, output_id) in (0..).zip(transaction.output_ids()) {
                let creation = Creation::of_output(&transaction.transaction, index);
                self.creations.insert(output_id, creation);
            }
        }
        (header, read, newly, tree)
    }

    /// Commits a block in which nothing is wrong, and returns the first coin of each transaction.
    pub(crate) fn commit_valid(&mut self, transactions: &[PlacedTransaction]) -> Vec<Coin> {
        let block = self.next_place().block;
        assert_eq!(self.commit(transactions.iter().map(served).collect(), 0), None);
        (0..).zip(transactions).map(|(index, transaction)| made(transaction, place(block.get(), index))).collect()
    }

    pub(crate) fn evidence(&self, found: &(Place, Fault)) -> Option<FaultProof> {
        evidence(found.0, &found.1, self, &self.game)
    }

    /// The verdict of whoever followed the events.
    pub(crate) fn verdict(&self, proof: &FaultProof) -> Result<BlockNumber, Revert> {
        check(proof, &GameState { game: &self.game, domain: &DOMAIN })
    }

    pub(crate) fn prove(&mut self, caller: &str, proof: &FaultProof) -> Result<Vec<RootEvent>, Revert> {
        let evidence = evidence_of(proof);
        self.act(caller, |contract, call, pay| contract.prove_fault(call, proof, evidence, pay))
    }

    pub(crate) fn announce(&mut self, caller: &str, accuser: &str, evidence: B256) -> Result<Vec<RootEvent>, Revert> {
        let announcement = announcement_of(address(accuser), evidence);
        self.act(caller, |contract, call, _| contract.announce_fault(call, announcement))
    }

    pub(crate) fn prove_receipt(&mut self, caller: &str, shown: &ShownReceipt<'_>) -> Result<Vec<RootEvent>, Revert> {
        let evidence = evidence_of(shown);
        self.act(caller, |contract, call, pay| contract.prove_broken_receipt(call, shown, evidence, pay))
    }

    pub(crate) fn domain(&self) -> &'static Domain {
        &DOMAIN
    }

    /// Starts the standard exit of the owner's coin.
    pub(crate) fn start_exit(&mut self, owner: &str, coin: Coin) -> ExitRecord {
        let value = U256::from(BOND);
        let Creation { fields, index } = self.creations[&coin.0].clone();
        let inclusion = self.inclusion_of(coin);
        let events = self.act(owner, |contract, call, _| match inclusion {
            Some(inclusion) => contract.start_standard_exit(call, value, &fields, index as u8, &inclusion),
            None => {
                let output = Output::from_deposit_fields(fields[..].try_into().unwrap());
                contract.start_standard_exit_of_deposit(call, value, index, output.asset, output.amount)
            }
        });
        let [RootEvent::StandardExitStarted(record)] = events.unwrap()[..] else { panic!("a start is one event") };
        record
    }

    pub(crate) fn process(&mut self, exits: &[ExitRecord]) {
        self.act("anyone", |contract, call, pay| Ok(contract.process_exits(call, ETHER, exits, &[], pay))).unwrap();
    }

    /// Starts the in-flight exit of a transaction.
    pub(crate) fn start_in_flight(&mut self, transaction: &PlacedTransaction) {
        let PlacedTransaction { body, witness } = transaction;
        let proofs = body.inputs().iter().zip(&witness.placement).map(|(&id, &position)| InputProof {
            position: position.bits(),
            creation: self.creations[&id].fields.clone(),
            inclusion: self.inclusion_of((id, position)).unwrap_or(InclusionProof::NONE),
        });
        let (proofs, signature): (Vec<_>, _) = (proofs.collect(), witness.signature.encode());
        let (value, body) = (U256::from(BOND), body.encode());
        let act = |contract: &mut Contract, call, _: &mut dyn FnMut(Payment) -> PaymentOutcome| {
            contract.start_in_flight_exit(call, value, &body, &signature, &proofs)
        };
        self.act("anyone", act).unwrap();
    }

    pub(crate) fn piggyback(&mut self, owner: &str, transaction: &SignedTransaction, pieces: PieceSet) {
        let data = self.contract.in_flight_exit(transaction.body.hash()).unwrap().data.encode();
        let (value, body) = (U256::from(BOND * u128::from(pieces.len())), transaction.body.encode());
        self.act(owner, |contract, call, _| contract.piggyback(call, value, &body, &data, pieces)).unwrap();
    }

    /// Shows a leaf with its preimage.
    pub(crate) fn shown_leaf(&self, at: Place) -> Option<ShownLeaf> {
        let block = self.blocks.get(at.block.get() as usize - 1)?;
        let index = at.index.get();
        let (body, witness) = block.leaves.get(index as usize)?.preimage.clone()?;
        let leaves: Vec<B256> = block.leaves.iter().map(|leaf| leaf.leaf).collect();
        let path = tx_tree::path(&leaves, index as usize)?;
        let inclusion = InclusionProof { header: block.header, index, witness_hash: keccak256(&witness), path };
        Some(ShownLeaf { body, witness, inclusion })
    }

    pub(crate) fn shown_body(&self, at: Place) -> Option<ShownBody> {
        self.shown_leaf(at).map(|ShownLeaf { body, inclusion, .. }| ShownBody { body, inclusion })
    }

    fn inclusion_of(&self, (_, position): Coin) -> Option<InclusionProof> {
        let PositionKind::Output(at, _) = position.kind() else { return None };
        self.shown_leaf(at).map(|leaf| leaf.inclusion)
    }
}

impl BlockData for Court {
    fn header(&self, number: BlockNumber) -> Option<Header> {
        self.blocks.get((number.get() as usize).checked_sub(1)?).map(|block| block.header)
    }

    fn items(&self, number: BlockNumber) -> Option<Vec<LeafData>> {
        self.blocks.get((number.get() as usize).checked_sub(1)?).map(|block| block.leaves.clone())
    }

    fn creation(&self, output_id: OutputId) -> Option<Creation> {
        self.creations.get(&output_id).cloned()
    }
}
