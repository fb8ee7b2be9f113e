//! A game to which a test's events happen, and what a watcher knows beside it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use plasmid_exit_game::exit::in_flight::duty::{Evidence, Inclusion};
use plasmid_exit_game::exit::in_flight::{InFlightData, InputData, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{InFlightStep, RootBlock, RootEvent, RootRef};
use plasmid_exit_game::game::{Game, GameError};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;

pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
pub(crate) const ALICE: Address = Address::repeat_byte(0xa1);
pub(crate) const BOB: Address = Address::repeat_byte(0xb0);
pub(crate) const CAROL: Address = Address::repeat_byte(0xca);
pub(crate) const START: u64 = 10_000;
pub(crate) const KEY: u64 = 10_602;
/// F/2, F and MEP/2 after the start.
pub(crate) const LAST_ACCEPTANCE: u64 = START + 37;
pub(crate) const INPUT_FREEZE: u64 = START + 75;
pub(crate) const HALF: u64 = START + 300;

/// A game to which events happen one root block at a time.
pub(crate) struct World {
    pub(crate) game: Game,
    number: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { game: Game::new(PERIODS, 1_000), number: 0 }
    }

    pub(crate) fn connect_at(&mut self, timestamp: u64, events: Vec<RootEvent>) -> Result<(), GameError> {
        let hash = |number: u64| B256::left_padding_from(&number.to_be_bytes());
        let number = self.number + 1;
        let at = RootRef { number, hash: hash(number) };
        self.game.connect_block(&RootBlock { at, parent: hash(number - 1), timestamp, events })?;
        self.number = number;
        Ok(())
    }

    /// At the same time as before.
    pub(crate) fn connect(&mut self, event: RootEvent) -> u64 {
        self.connect_at(self.game.now().max(START), vec![event]).expect("a possible step");
        self.number
    }

    pub(crate) fn wait_until(&mut self, timestamp: u64) {
        self.connect_at(timestamp, vec![]).unwrap();
    }

    pub(crate) fn disconnect(&mut self) {
        assert!(self.game.disconnect_block().is_some());
        self.number -= 1;
    }
}

/// Alice's payment over two of her deposits, to Bob and back to her.
pub(crate) fn payment(memo: u8) -> SignedTransaction {
    let output = |owner, amount| Output { owner, asset: ETHER, amount };
    let inputs = [deposit(0), deposit(1)].map(|deposit| deposit.output_id()).to_vec();
    let outputs = vec![output(BOB, 7), output(ALICE, 3)];
    let body = Transaction::new(inputs, outputs, B256::repeat_byte(memo)).unwrap();
    // The contract has checked whose it is.
    SignedTransaction { body, signature: Signature::decode([1; 64]).unwrap() }
}

pub(crate) fn deposit(nonce: u64) -> Deposit {
    Deposit { nonce, output: Output { owner: ALICE, asset: ETHER, amount: 5 } }
}

pub(crate) fn step(transaction: &SignedTransaction, step: InFlightStep) -> RootEvent {
    RootEvent::InFlight { tx_hash: transaction.body.hash(), step: Box::new(step) }
}

pub(crate) fn started(transaction: &SignedTransaction) -> RootEvent {
    started_at(transaction, START)
}

/// With the key of an exit that started at [`START`], whenever it did.
pub(crate) fn started_at(transaction: &SignedTransaction, start: u64) -> RootEvent {
    let of_id: BTreeMap<_, _> = [deposit(0), deposit(1)].map(|deposit| (deposit.output_id(), deposit)).into();
    let input = |output_id: &OutputId| InputData {
        output_id: *output_id,
        position: Position::of_deposit(of_id[output_id].nonce).unwrap(),
        created_at: 0,
        asset: ETHER,
        amount: 5,
    };
    let inputs = transaction.body.inputs().iter().map(input).collect();
    let data = InFlightData { starter: CAROL, owner: ALICE, inputs };
    step(transaction, InFlightStep::Started { data, start, key: KEY, transaction: transaction.clone() })
}

pub(crate) fn piggybacked(transaction: &SignedTransaction, pieces: &[Piece]) -> RootEvent {
    let pieces = PieceSet::from_iter(pieces.iter().copied());
    step(transaction, InFlightStep::Piggybacked { owner: ALICE, asset: ETHER, pieces })
}

pub(crate) fn coin(transaction: &SignedTransaction, piece: Piece) -> OutputId {
    match piece {
        Piece::Input(index) => transaction.body.inputs()[usize::from(index)],
        Piece::Output(index) => OutputId::of_output(transaction.body.hash(), index),
    }
}

pub(crate) fn paid(transaction: &SignedTransaction, piece: Piece) -> RootEvent {
    let output_id = coin(transaction, piece);
    step(transaction, InFlightStep::PiecePaid { output_id, payee: BOB, piece, amount: 5, paid: 5, credited: false })
}

pub(crate) fn returned(transaction: &SignedTransaction, piece: Piece) -> RootEvent {
    step(transaction, InFlightStep::PieceReturned { output_id: coin(transaction, piece), payee: BOB, piece })
}

pub(crate) fn piece_challenged(transaction: &SignedTransaction, piece: Piece) -> RootEvent {
    let (place, spend) = (place(1, 0), payment(99));
    step(transaction, InFlightStep::PieceChallenged { challenger: CAROL, piece, place, spend })
}

pub(crate) fn place(block: u64, index: u32) -> Place {
    Place { block: BlockNumber::new(block).unwrap(), index: TxIndex::new(index).unwrap() }
}

pub(crate) fn exit_of(output_id: OutputId) -> RootEvent {
    RootEvent::StandardExitStarted(exit_record(output_id, ALICE, KEY))
}

pub(crate) fn exit_record(output_id: OutputId, owner: Address, key: u64) -> ExitRecord {
    let output = Output { owner, ..deposit(0).output };
    ExitRecord { output_id, position: Position::of_deposit(0).unwrap(), output, key }
}

/// What stands in valid blocks, and which spends are at hand.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) included: BTreeMap<TxHash, (SignedTransaction, Inclusion)>,
    pub(crate) signed: BTreeMap<OutputId, SignedTransaction>,
    /// Of coins that are no deposits.
    pub(crate) made: BTreeMap<OutputId, (Position, Output)>,
}

impl Known {
    pub(crate) fn include(&mut self, transaction: &SignedTransaction, place: Place, timestamp: u64) {
        let tx_hash = transaction.body.hash();
        self.included.insert(tx_hash, (transaction.clone(), Inclusion { tx_hash, place, timestamp }));
    }
}

impl Evidence for Known {
    fn inclusion(&self, tx_hash: TxHash) -> Option<Inclusion> {
        self.included.get(&tx_hash).map(|(_, inclusion)| *inclusion)
    }

    fn included_spend(&self, output_id: OutputId) -> Option<Inclusion> {
        let mut spends = self.included.values().filter(|(signed, _)| signed.body.inputs().contains(&output_id));
        spends.next().map(|(_, inclusion)| *inclusion)
    }

    fn coin(&self, output_id: OutputId) -> Option<(Position, Output)> {
        let deposits = [deposit(0), deposit(1)].map(|deposit| (deposit.output_id(), deposit));
        let deposit = deposits.iter().find(|(id, _)| *id == output_id);
        let made = deposit.map(|(_, deposit)| (Position::of_deposit(deposit.nonce).unwrap(), deposit.output));
        made.or_else(|| self.made.get(&output_id).copied())
    }

    fn has_signed_spend(&self, output_id: OutputId, _: Address) -> bool {
        self.signed.contains_key(&output_id) || self.included_spend(output_id).is_some()
    }
}

/// Spends output `index` of a payment.
pub(crate) fn spend_of_output(own: &SignedTransaction, index: u8) -> SignedTransaction {
    let outputs = vec![Output { owner: CAROL, asset: ETHER, amount: 1 }];
    let body = Transaction::new(vec![coin(own, Piece::Output(index))], outputs, B256::ZERO).unwrap();
    SignedTransaction { body, signature: own.signature }
}
