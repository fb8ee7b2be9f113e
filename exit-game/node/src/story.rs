//! For tests: a chain with a root chain under it, and people who pay each other.

use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_exit_game::ledger::RecoveredTransaction;
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::signature::{Domain, Signature, address_of};
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use tempfile::TempDir;

use crate::archive::Archive;
use crate::chain::Chain;
use crate::recover::recover;

pub(crate) const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) };
pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
pub(crate) const FINALITY_DEPTH: u64 = 3;

#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) chain: Chain,
    pub(crate) folder: TempDir,
    /// Tells the blocks of one branch of the root chain from another's.
    pub(crate) branch: u64,
    root: u64,
    nonce: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Person(SigningKey);

pub(crate) fn person(seed: u8) -> Person {
    Person(SigningKey::from_slice(&[seed; 32]).unwrap())
}

impl Person {
    pub(crate) fn address(&self) -> Address {
        address_of(self.0.verifying_key())
    }

    pub(crate) fn owns(&self, amount: u128) -> Output {
        Output { owner: self.address(), asset: ETHER, amount }
    }

    pub(crate) fn signs(&self, inputs: &[OutputId], outputs: &[Output], memo: u8) -> (Transaction, Signature) {
        let body = Transaction::new(inputs.to_vec(), outputs.to_vec(), B256::repeat_byte(memo)).unwrap();
        let signature = Signature::sign(&self.0, body.signing_hash(&DOMAIN));
        (body, signature)
    }
}

impl Story {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path()).unwrap();
        let chain = Chain::new(PERIODS, FINALITY_DEPTH, archive);
        let mut story = Self { chain, folder, branch: 0, root: 100, nonce: 0 };
        story.root_block(vec![]);
        story
    }

    /// The next root block, twelve seconds after the last.
    pub(crate) fn root_block(&mut self, events: Vec<RootEvent>) -> RootBlock {
        let hash = |number: u64| keccak256([number.to_be_bytes(), self.branch.to_be_bytes()].concat());
        let at = RootRef { number: self.root, hash: hash(self.root) };
        let block = RootBlock { at, parent: hash(self.root - 1), timestamp: self.root * 12, events };
        self.chain.connect_root_block(&block).unwrap();
        self.root += 1;
        block
    }

    pub(crate) fn root_blocks(&mut self, count: u64) {
        (0..count).for_each(|_| drop(self.root_block(vec![])));
    }

    pub(crate) fn undo_root_block(&mut self) {
        self.chain.disconnect_root_block().unwrap();
        self.root -= 1;
        self.branch += 1;
        self.nonce = self.chain.game().deposit_count();
    }

    pub(crate) fn deposit(&mut self, to: &Person, amount: u128) -> (Deposit, RootBlock) {
        let deposit = Deposit { nonce: self.nonce, output: to.owns(amount) };
        self.nonce += 1;
        let block = self.root_block(vec![RootEvent::Deposited(deposit)]);
        (deposit, block)
    }

    /// A deposit that the open block covers.
    pub(crate) fn funds(&mut self, to: &Person, amount: u128) -> OutputId {
        let (deposit, _) = self.deposit(to, amount);
        self.chain.open_block();
        self.chain.cover_deposits(deposit.nonce + 1).unwrap();
        deposit.output_id()
    }

    pub(crate) fn place(&self, (body, signature): (Transaction, Signature)) -> RecoveredTransaction {
        let placement = self.chain.ledger().placement(&body).unwrap();
        recover(PlacedTransaction { body, witness: Witness { signature, placement } }, &DOMAIN)
    }

    /// Accepts a payment into the open block.
    pub(crate) fn pays(&mut self, from: &Person, inputs: &[OutputId], outputs: &[Output]) -> (TxHash, Vec<OutputId>) {
        let recovered = self.place(from.signs(inputs, outputs, 0));
        let (hash, ids) = (recovered.hash, recovered.output_ids().collect());
        self.chain.open_block();
        let place = self.chain.next_place().unwrap();
        self.chain.accept(place, recovered).unwrap();
        (hash, ids)
    }

    /// Closes and seals.
    pub(crate) fn close(&mut self) -> BlockNumber {
        self.chain.open_block();
        let number = self.chain.close_block().unwrap();
        self.seal();
        number
    }

    pub(crate) fn seal(&mut self) {
        while let Some(unsealed) = self.chain.next_unsealed() {
            assert!(self.chain.seal(unsealed.seal()));
        }
    }

    /// Lands the next block on the root chain.
    pub(crate) fn commit(&mut self) -> (Header, RootBlock) {
        let number = self.chain.game().last_block().next().unwrap();
        let sealed = self.chain.sealed_block(number).unwrap();
        let header = Header {
            number,
            tx_root: sealed.tx_root,
            utxo_root: sealed.utxo_root,
            tx_count: sealed.tx_count,
            deposit_count: sealed.deposit_count,
            timestamp: self.root * 12,
        };
        let block = self.root_block(vec![RootEvent::BlockSubmitted(header)]);
        (header, block)
    }

    pub(crate) fn exit_starts(&mut self, id: OutputId) -> RootBlock {
        let coin = *self.chain.ledger().coin(id).unwrap();
        let key = PERIODS.exit_key(self.root * 12, coin.position.is_deposit().then_some(self.root * 12));
        let record = ExitRecord { output_id: id, position: coin.position, output: coin.output, key };
        self.root_block(vec![RootEvent::StandardExitStarted(record)])
    }
}

/// Position of a deposit.
pub(crate) fn deposited(nonce: u64) -> Position {
    Position::of_deposit(nonce).unwrap()
}
