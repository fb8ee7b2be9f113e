//! A child chain of the test's own making, servers that answer what they like, and what a light watcher makes of it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::in_flight::{InFlightData, InputData, SignedTransaction};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{InFlightStep, RootBlock, RootEvent, RootRef};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, PositionKind, TxIndex};
use plasmid_exit_game::signature::{Domain, Signature, address_of};
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{self, UtxoTree};
use plasmid_light_watcher::answer::{self, Heard, Standing};
use plasmid_light_watcher::duty::{self, Due, Guard};
use plasmid_light_watcher::facts::Facts;
use plasmid_light_watcher::kept::{GuardedCoin, Kept, Payment};
use plasmid_light_watcher::verdict::{self, Alarm, AlarmKind, Fate, Look, Newest};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::evidence::{DepositNonce, EvidenceCoin};
use plasmid_node::wire::{self, Answer, IncludedTransaction, Inclusion, Unspent};

pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
pub(crate) const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) };
pub(crate) const FINALITY_DEPTH: u64 = 3;
pub(crate) const URL: &str = "http://server";

pub(crate) struct Person(SigningKey);

pub(crate) fn person(seed: u8) -> Person {
    Person(SigningKey::from_slice(&[seed; 32]).unwrap())
}

impl Person {
    pub(crate) fn address(&self) -> Address {
        address_of(self.0.verifying_key())
    }

    pub(crate) fn gets(&self, amount: u128) -> Output {
        Output { owner: self.address(), asset: ETHER, amount }
    }

    /// Signs a spend of a coin.
    pub(crate) fn pays(&self, coin: &Coin, outputs: &[Output]) -> PlacedTransaction {
        let body = Transaction::new(vec![coin.id], outputs.to_vec(), B256::ZERO).unwrap();
        let signature = Signature::sign(&self.0, body.signing_hash(&DOMAIN));
        PlacedTransaction { body, witness: Witness { signature, placement: vec![coin.position] } }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coin {
    pub(crate) id: OutputId,
    pub(crate) position: Position,
    pub(crate) output: Output,
}

impl Coin {
    pub(crate) fn place(&self) -> Place {
        match self.position.kind() {
            PositionKind::Output(place, _) => place,
            PositionKind::Deposit(_) => panic!("a deposit has no place"),
        }
    }
}

/// A light watcher of some owners, and the chains that it looks at.
pub(crate) struct World {
    pub(crate) facts: Facts,
    pub(crate) kept: Kept,
    pub(crate) guard: Guard,
    pub(crate) headers: Vec<Header>,
    /// What a cheating operator leaves out of its trees.
    pub(crate) removed: Vec<Position>,
    /// After each block.
    trees: Vec<UtxoTree>,
    deposits: Vec<Coin>,
    payments: Vec<IncludedTransaction>,
    root: u64,
    now: u64,
}

impl World {
    /// Guards these people's coins; they act and leave by themselves.
    pub(crate) fn guarding(people: &[&Person]) -> Self {
        let owners: Vec<_> = people.iter().map(|person| person.address()).collect();
        let guard = Guard { accounts: owners.clone(), leaving: owners.clone(), bounty_wei: 1, piece_bounty_wei: 1 };
        let mut world = Self {
            facts: Facts::new(PERIODS, FINALITY_DEPTH, None),
            kept: Kept { owners, ..Kept::default() },
            guard,
            headers: Vec::new(),
            removed: Vec::new(),
            trees: Vec::new(),
            deposits: Vec::new(),
            payments: Vec::new(),
            root: 0,
            now: 1_000_000,
        };
        world.pass(0);
        world
    }

    /// Connects a root block, `secs` after the last one.
    pub(crate) fn root_block(&mut self, secs: u64, events: Vec<RootEvent>) {
        self.root += 1;
        self.now += secs;
        let hash = |number: u64| keccak256(number.to_be_bytes());
        let at = RootRef { number: self.root, hash: hash(self.root) };
        self.facts.connect(&RootBlock { at, parent: hash(self.root - 1), timestamp: self.now, events }).unwrap();
    }

    pub(crate) fn pass(&mut self, secs: u64) {
        self.root_block(secs, vec![]);
    }

    /// A deposit, which is guarded if its owner is.
    pub(crate) fn deposit(&mut self, person: &Person, amount: u128) -> Coin {
        let deposit = Deposit { nonce: self.deposits.len() as u64, output: person.gets(amount) };
        let position = Position::of_deposit(deposit.nonce).unwrap();
        let coin = Coin { id: deposit.output_id(), position, output: deposit.output };
        self.deposits.push(coin);
        if self.kept.owners.contains(&person.address()) {
            self.kept.guard(GuardedCoin::new(coin.id, coin.position, coin.output, None), None);
        }
        coin
    }

    /// Commits a block that covers all deposits, and returns the coins that it makes.
    pub(crate) fn commit(&mut self, transactions: &[PlacedTransaction]) -> Vec<Coin> {
        let number = BlockNumber::new(self.headers.len() as u64 + 1).unwrap();
        let held = |coin: &Coin| (coin.position, Some(utxo_tree::value(coin.id, &coin.output)));
        let covered = self.headers.last().map_or(0, |header| header.deposit_count) as usize;
        let tree = self.trees.last().cloned().unwrap_or_default();
        let mut tree = tree.updated(self.deposits[covered..].iter().map(held));
        let mut coins = Vec::new();
        for (transaction, index) in transactions.iter().zip(0..) {
            let made = made(Place { block: number, index: TxIndex::new(index).unwrap() }, transaction);
            let spent = transaction.witness.placement.iter().map(|&position| (position, None));
            tree = tree.updated(spent.chain(made.iter().map(held)));
            coins.extend(made);
        }
        tree = tree.updated(self.removed.iter().map(|&position| (position, None)));
        let leaves: Vec<_> = transactions.iter().map(|tx| tx_tree::leaf(tx.body.hash(), tx.witness.hash())).collect();
        let header = Header {
            number,
            tx_root: tx_tree::root(&leaves),
            utxo_root: tree.root(),
            tx_count: leaves.len() as u32,
            deposit_count: self.deposits.len() as u64,
            timestamp: self.now,
        };
        for (transaction, index) in transactions.iter().zip(0u32..) {
            let place = Place { block: number, index: TxIndex::new(index).unwrap() };
            let path = tx_tree::path(&leaves, index as usize).unwrap();
            self.payments.push(IncludedTransaction { header, place, path, transaction: transaction.clone() });
        }
        self.headers.push(header);
        self.trees.push(tree);
        self.pass(1);
        coins
    }

    pub(crate) fn newest(&self) -> Newest {
        let header = self.headers.last().expect("a block was committed");
        Newest { number: header.number, commitment: header.commitment(), deposit_count: Some(header.deposit_count) }
    }

    /// What a server says of block `number` that has verified it.
    pub(crate) fn block(&self, number: usize) -> wire::Block {
        let header = self.headers[number - 1];
        let (tx_count, deposit_count) = (header.tx_count, header.deposit_count);
        let (state, verdict) = (wire::BlockState::Final, wire::Verdict::Valid);
        let number = header.number;
        wire::Block { number, state, verdict, tx_count, deposit_count, header: Some(header.into()), root: None }
    }

    /// Keeps a coin that a payment made, as a server proves it, with what made the payment's inputs.
    pub(crate) fn receive(&mut self, coin: &Coin) {
        let Coin { id, position, output } = *coin;
        let listed = wire::Coin { id, position, output, state: wire::CoinState::Final, spender: None };
        let (guarded, included) = answer::created(&listed, self.inclusion(coin)).unwrap();
        let inputs = included.transaction.body.inputs().iter().map(|id| self.creation(*id)).collect();
        self.kept.guard(guarded, Some(Payment { inputs, ..Payment::included(included, &DOMAIN) }));
    }

    fn inclusion(&self, coin: &Coin) -> Inclusion {
        self.payments.iter().find(|payment| payment.place == coin.place()).unwrap().into()
    }

    fn creation(&self, id: OutputId) -> EvidenceCoin {
        let made = self.payments.iter().flat_map(|payment| made(payment.place, &payment.transaction));
        let coin = self.deposits.iter().copied().chain(made).find(|coin| coin.id == id).unwrap();
        let Coin { id, position, output } = coin;
        let (deposit, made) = match position.kind() {
            PositionKind::Deposit(nonce) => (Some(DepositNonce { nonce }), None),
            PositionKind::Output(..) => (None, Some(self.inclusion(&coin))),
        };
        EvidenceCoin { id, position, output, deposit, made, unspent: None }
    }

    /// What the tree of block `number` proves of a guarded coin.
    pub(crate) fn unspent(&self, number: usize, id: OutputId) -> Answer<Unspent> {
        let (header, coin) = (self.headers[number - 1], &self.kept.coins[&id]);
        let (position, value) = (coin.position, utxo_tree::value(id, &coin.output));
        match self.trees[number - 1].prove(position) {
            Some(proof) => {
                Answer::Done(Unspent { block: header.number, header: header.into(), position, value, proof })
            }
            None => Answer::Problem(Problem::new(Code::NotFound, "the coin is unknown")),
        }
    }

    /// Asks a server that has verified block `number`, and answers by that block's tree.
    pub(crate) fn look_at(&mut self, number: usize) -> Fates {
        let answers = self.kept.coins.keys().map(|&id| (id, self.unspent(number, id))).collect();
        self.hear(number, answers)
    }

    /// Concludes from these answers of a server that has verified block `number`.
    pub(crate) fn hear(&mut self, number: usize, answers: BTreeMap<OutputId, Answer<Unspent>>) -> Fates {
        let (newest, header) = (self.newest(), self.headers[number - 1]);
        let block = Some(self.block(number)).filter(|block| block.number == newest.number);
        let standing = match answer::standing(block.as_ref(), &newest) {
            Standing::Behind { says, .. } => Standing::Behind { verified: header.number, says },
            standing => standing,
        };
        let mut look = Look { servers: vec![(URL.to_owned(), standing)], ..Look::default() };
        for (id, answer) in answers {
            match answer::hear(&self.kept.coins[&id], &header, answer) {
                Heard::Held(unspent) => drop(look.held.insert(id, unspent)),
                Heard::Denied(what) => drop(look.said.insert(id, vec![what])),
                Heard::Lie(what) => {
                    look.servers[0].1 = Standing::Lying(what.clone());
                    look.said.insert(id, vec![what]);
                }
                Heard::Spent(by) => drop(look.spent.insert(id, by)),
            }
        }
        self.conclude(&look)
    }

    /// Concludes from a look at which nobody answered.
    pub(crate) fn hear_nothing(&mut self) -> Fates {
        let servers = vec![(URL.to_owned(), Standing::Unreachable("it does not answer".to_owned()))];
        self.conclude(&Look { servers, ..Look::default() })
    }

    fn conclude(&mut self, look: &Look) -> Fates {
        let (newest, game) = (self.newest(), self.facts.game());
        self.kept.conclude(look, &newest, game);
        let alarms = verdict::alarms(&self.kept, look, &newest, game, &self.guard.leaving);
        let fates = self.kept.coins.values().map(|coin| (coin.id, verdict::fate(coin, &newest, game))).collect();
        Fates { fates, alarms }
    }

    pub(crate) fn due(&self) -> Vec<Due> {
        duty::due(&self.kept, &self.newest(), self.facts.game(), &self.guard)
    }

    /// Somebody starts the standard exit of a coin.
    pub(crate) fn exit_starts(&mut self, coin: &Coin) {
        let key = PERIODS.exit_key(self.now, Some(self.now));
        let record = ExitRecord { output_id: coin.id, position: coin.position, output: coin.output, key };
        self.root_block(1, vec![RootEvent::StandardExitStarted(record)]);
    }

    /// Somebody starts the in-flight exit of a payment over this coin.
    pub(crate) fn in_flight_exit_starts(&mut self, payment: &PlacedTransaction, coin: &Coin) {
        let Output { owner, asset, amount } = coin.output;
        let created_at = if coin.position.is_deposit() { 0 } else { self.now };
        let input = InputData { output_id: coin.id, position: coin.position, created_at, asset, amount };
        let data = InFlightData { starter: Address::repeat_byte(7), owner, inputs: vec![input] };
        let (start, key) = (self.now, PERIODS.exit_key(self.now, input.created()));
        let step = InFlightStep::Started { data, start, key, transaction: SignedTransaction::from(payment.clone()) };
        self.root_block(1, vec![RootEvent::InFlight { tx_hash: payment.body.hash(), step: Box::new(step) }]);
    }
}

fn made(place: Place, transaction: &PlacedTransaction) -> Vec<Coin> {
    let hash = transaction.body.hash();
    let coin = |(&output, index): (&Output, u8)| {
        let id = OutputId::of_output(hash, index);
        Coin { id, position: place.output(index).unwrap(), output }
    };
    transaction.body.outputs().iter().zip(0..).map(coin).collect()
}

/// What became of the coins.
#[derive(Debug)]
pub(crate) struct Fates {
    fates: BTreeMap<OutputId, Fate>,
    pub(crate) alarms: Vec<Alarm>,
}

impl Fates {
    pub(crate) fn of(&self, coin: &Coin) -> Option<Fate> {
        self.fates.get(&coin.id).copied()
    }

    pub(crate) fn kinds(&self) -> Vec<AlarmKind> {
        self.alarms.iter().map(|alarm| alarm.kind).collect()
    }
}
