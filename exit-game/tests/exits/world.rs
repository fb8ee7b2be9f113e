//! The contract with what lies around it: accounts, child-chain blocks, and a book of all money that moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use alloy_primitives::{Address, B256, U256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{
    Anchor, Call, Contract, InclusionProof, OperatorBond, Parameters, Payment, PaymentOutcome, Revert, Submission,
};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{FaultProof, ShownLeaf};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::{Domain, Signature, address_of};
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::tx_tree;

/// A devnet's periods: G is 3 seconds, F is 75.
pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
pub(crate) const MEP: u64 = PERIODS.minimum_exit_period;
pub(crate) const BOND: u128 = 1_000;
pub(crate) const BOUNTY: u128 = 100;
pub(crate) const IN_FLIGHT_BOND: u128 = 5_000;
/// Of a piece of a transaction with one input: 2,100, of which 220 are bounty.
const PIECE_BOND: u128 = 2_000;
const PIECE_BOND_PER_INPUT: u128 = 100;
const PIECE_BOUNTY: u128 = 200;
const PIECE_BOUNTY_PER_INPUT: u128 = 20;
pub(crate) const FAULT_SLASH: u128 = 9_001;
pub(crate) const RECEIPT_SLASH: u128 = 3_000;
/// The operator's: one slash for faults, two for receipts.
pub(crate) const OPERATOR_BOND: u128 = FAULT_SLASH + 2 * RECEIPT_SLASH;
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);

pub(crate) fn key_of(name: &str) -> SigningKey {
    SigningKey::from_slice(keccak256(name).as_slice()).expect("keccak-256 does not hit the order")
}

pub(crate) fn parameters() -> Parameters {
    Parameters {
        operator: address("operator"),
        periods: PERIODS,
        exit_bond: BOND,
        exit_bounty: BOUNTY,
        in_flight_bond: IN_FLIGHT_BOND,
        piece_bond: PIECE_BOND,
        piece_bond_per_input: PIECE_BOND_PER_INPUT,
        piece_bounty: PIECE_BOUNTY,
        piece_bounty_per_input: PIECE_BOUNTY_PER_INPUT,
        fault_slash: FAULT_SLASH,
        receipt_slash: RECEIPT_SLASH,
        missing_bond: BOND,
    }
}

/// The account's address, which costs a point multiplication the first time.
pub(crate) fn address(name: &str) -> Address {
    static ADDRESSES: Mutex<BTreeMap<String, Address>> = Mutex::new(BTreeMap::new());
    let mut addresses = ADDRESSES.lock().unwrap();
    *addresses.entry(name.to_owned()).or_insert_with(|| address_of(key_of(name).verifying_key()))
}

pub(crate) fn output(owner: &str, asset: Address, amount: u128) -> Output {
    Output { owner: address(owner), asset, amount }
}

/// A coin with what its owner shows to exit it.
#[derive(Debug, Clone)]
pub(crate) struct Coin {
    pub(crate) id: OutputId,
    pub(crate) position: Position,
    pub(crate) output: Output,
    pub(crate) made: Made,
}

#[derive(Debug, Clone)]
pub(crate) enum Made {
    Deposit { nonce: u64 },
    Output { body: Vec<u8>, index: u8, proof: InclusionProof },
}

/// What the contract's account holds, what others received from it, and who refuses to receive.
#[derive(Debug, Default)]
pub(crate) struct Money {
    pub(crate) vault: BTreeMap<Address, U256>,
    pub(crate) received: BTreeMap<(Address, Address), U256>,
    pub(crate) refusing: BTreeSet<(Address, Address)>,
    /// Every payment that was tried, in order.
    pub(crate) tried: Vec<Payment>,
}

impl Money {
    pub(crate) fn put(&mut self, asset: Address, amount: impl TryInto<U256, Error: std::fmt::Debug>) {
        *self.vault.entry(asset).or_default() += amount.try_into().unwrap();
    }

    pub(crate) fn pay(&mut self, payment: Payment) -> PaymentOutcome {
        let Payment { asset, to, amount } = payment;
        self.tried.push(payment);
        if self.refusing.contains(&(to, asset)) {
            return PaymentOutcome::Failed;
        }
        let held = self.vault.entry(asset).or_default();
        *held = held.checked_sub(amount).expect("the contract pays what it holds");
        *self.received.entry((to, asset)).or_default() += amount;
        PaymentOutcome::Received
    }
}

pub(crate) struct World {
    pub(crate) contract: Contract,
    pub(crate) now: u64,
    pub(crate) money: Money,
    pub(crate) domain: Domain,
    /// The last leaf of each block, which nobody looks at until it is to convict the block.
    flaws: BTreeMap<u64, ShownLeaf>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = 1_000_000;
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) };
        let contract = Contract::deploy(parameters(), OPERATOR_BOND, domain, now).expect("valid parameters");
        let mut money = Money::default();
        money.put(ETHER, OPERATOR_BOND);
        Self { contract, now, money, domain, flaws: BTreeMap::new() }
    }

    /// A call, at a time when there was a root block for every second.
    pub(crate) fn call(&self, caller: &str) -> Call {
        Call { caller: address(caller), now: self.now, root_block: self.now }
    }

    /// What `name` has received in `asset`.
    pub(crate) fn received(&self, name: &str, asset: Address) -> u128 {
        self.money.received.get(&(address(name), asset)).copied().unwrap_or_default().to()
    }

    pub(crate) fn credit(&self, name: &str, asset: Address) -> u128 {
        self.contract.claimable(address(name), asset).to()
    }

    pub(crate) fn refuse(&mut self, name: &str, asset: Address) {
        self.money.refusing.insert((address(name), asset));
    }

    pub(crate) fn deposit(&mut self, owner: &str, asset: Address, amount: u128) -> Coin {
        let value = U256::from(amount);
        let events = if asset == ETHER {
            self.contract.deposit(value, address(owner))
        } else {
            self.contract.deposit_erc20(asset, value, address(owner))
        };
        self.money.put(asset, amount);
        let Some(RootEvent::Deposited(deposit)) = events.unwrap().pop() else { panic!("a deposit says so last") };
        let Deposit { nonce, output } = deposit;
        let position = Position::of_deposit(nonce).unwrap();
        Coin { id: deposit.output_id(), position, output, made: Made::Deposit { nonce } }
    }

    /// The owner's transaction over `coins`, with a placement that nobody looks at here.
    pub(crate) fn sign(&self, owner: &str, coins: &[&Coin], outputs: Vec<Output>) -> PlacedTransaction {
        let body = Transaction::new(coins.iter().map(|coin| coin.id).collect(), outputs, B256::ZERO).unwrap();
        let signature = Signature::sign(&key_of(owner), body.signing_hash(&self.domain));
        let placement = coins.iter().map(|coin| coin.position).collect();
        PlacedTransaction { body, witness: Witness { signature, placement } }
    }

    /// The next block over these transactions and a leaf that is not canonical, ready to be submitted a second from now.
    pub(crate) fn submission(&self, transactions: &[PlacedTransaction]) -> Submission {
        Submission {
            number: self.contract.head().next_number,
            tx_root: tx_tree::root(&leaves(transactions)),
            utxo_root: B256::repeat_byte(0x55),
            tx_count: transactions.len() as u32 + 1,
            deposit_count: self.contract.head().next_nonce,
            anchor: Anchor::Known,
            not_after: self.now + 1,
        }
    }

    /// Commits a block one second from now and returns the coins that each transaction makes.
    pub(crate) fn commit(&mut self, transactions: &[PlacedTransaction]) -> Vec<Vec<Coin>> {
        let submission = self.submission(transactions);
        self.now += 1;
        let events = self.contract.submit_block(self.call("operator"), &submission).unwrap();
        let [RootEvent::BlockSubmitted(header)] = events[..] else { panic!("a block is one event") };
        let mut paths = tx_tree::all_paths(&leaves(transactions));
        let index = transactions.len() as u32;
        let path = paths.pop().expect("the last leaf");
        let inclusion = InclusionProof { header, index, witness_hash: keccak256(FLAW), path };
        let flaw = ShownLeaf { body: FLAW.into(), witness: FLAW.into(), inclusion };
        self.flaws.insert(header.number.get(), flaw);
        transactions.iter().zip(paths).zip(0..).map(|((tx, path), index)| coins_of(tx, header, index, path)).collect()
    }

    pub(crate) fn start(&mut self, caller: &str, coin: &Coin) -> Result<ExitRecord, Revert> {
        self.start_with(caller, coin, BOND)
    }

    pub(crate) fn start_with(&mut self, caller: &str, coin: &Coin, value: u128) -> Result<ExitRecord, Revert> {
        let (call, wei) = (self.call(caller), U256::from(value));
        let events = match &coin.made {
            Made::Deposit { nonce } => {
                let Output { asset, amount, .. } = coin.output;
                self.contract.start_standard_exit_of_deposit(call, wei, *nonce, asset, amount)?
            }
            Made::Output { body, index, proof } => self.contract.start_standard_exit(call, wei, body, *index, proof)?,
        };
        self.money.put(ETHER, value);
        let [RootEvent::StandardExitStarted(record)] = events[..] else { panic!("a start is one event") };
        Ok(record)
    }

    pub(crate) fn challenge(
        &mut self,
        caller: &str,
        record: &ExitRecord,
        spend: &PlacedTransaction,
    ) -> Result<Vec<RootEvent>, Revert> {
        let (body, signature) = (spend.body.encode(), spend.witness.signature.encode());
        self.challenge_with(caller, record, &body, &signature)
    }

    pub(crate) fn challenge_with(
        &mut self,
        caller: &str,
        record: &ExitRecord,
        body: &[u8],
        signature: &[u8],
    ) -> Result<Vec<RootEvent>, Revert> {
        let (call, money) = (self.call(caller), &mut self.money);
        self.contract.challenge_standard_exit(call, record, body, signature, &mut |payment| money.pay(payment))
    }

    pub(crate) fn assign(&mut self, caller: &str, record: &ExitRecord, payee: &str) -> Result<Vec<RootEvent>, Revert> {
        self.contract.assign_exit(self.call(caller), record, address(payee))
    }

    pub(crate) fn process(&mut self, caller: &str, asset: Address, records: &[ExitRecord]) -> Vec<RootEvent> {
        let (call, money) = (self.call(caller), &mut self.money);
        self.contract.process_exits(call, asset, records, &[], &mut |payment| money.pay(payment))
    }

    pub(crate) fn claim(&mut self, caller: &str, asset: Address, to: Address) -> Result<Vec<RootEvent>, Revert> {
        let (call, money) = (self.call(caller), &mut self.money);
        self.contract.claim(call, asset, to, &mut |payment| money.pay(payment))
    }

    /// Convicts a block by its last leaf, without announcement.
    pub(crate) fn halt(&mut self, number: u64) -> Result<Vec<RootEvent>, Revert> {
        let proof = FaultProof::NotCanonical { leaf: self.flaws[&number].clone() };
        self.prove("anyone", &proof)
    }

    /// Calls a prover; the evidence is the same for the same proof.
    pub(crate) fn prove(&mut self, caller: &str, proof: &FaultProof) -> Result<Vec<RootEvent>, Revert> {
        let (call, money) = (self.call(caller), &mut self.money);
        self.contract.prove_fault(call, proof, evidence_of(proof), &mut |payment| money.pay(payment))
    }

    /// What the contract owes to nobody yet: the operator's bond and the rewards that wait.
    pub(crate) fn at_stake(&self) -> u128 {
        let OperatorBond { fault_part, receipt_part } = self.contract.operator_bond();
        let numbers = (0..self.contract.head().next_number).filter_map(BlockNumber::new);
        let waiting = numbers.flat_map(|number| {
            self.contract.conviction(number).into_iter().chain(self.contract.slashed_receipt(number))
        });
        fault_part + receipt_part + waiting.map(|conviction| conviction.reward).sum::<u128>()
    }
}

/// Stands for the hash of the proving call's calldata.
pub(crate) fn evidence_of(proof: &FaultProof) -> B256 {
    keccak256(format!("{proof:?}"))
}

/// What is neither a body nor a witness.
const FLAW: &[u8] = b"flaw";

fn leaves(transactions: &[PlacedTransaction]) -> Vec<B256> {
    let flaw = tx_tree::leaf(TxHash(keccak256(FLAW)), keccak256(FLAW));
    let leaves = transactions.iter().map(|tx| tx_tree::leaf(tx.body.hash(), tx.witness.hash()));
    leaves.chain([flaw]).collect()
}

fn coins_of(transaction: &PlacedTransaction, header: Header, index: u32, path: Vec<B256>) -> Vec<Coin> {
    let PlacedTransaction { body, witness } = transaction;
    let proof = InclusionProof { header, index, witness_hash: witness.hash(), path };
    let place = Place { block: header.number, index: TxIndex::new(index).unwrap() };
    let coin = |(output_index, output): (u8, &Output)| Coin {
        id: OutputId::of_output(body.hash(), output_index),
        position: place.output(output_index).unwrap(),
        output: *output,
        made: Made::Output { body: body.encode(), index: output_index, proof: proof.clone() },
    };
    (0..).zip(body.outputs()).map(coin).collect()
}
