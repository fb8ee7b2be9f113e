//! Single decisions, told one by one.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::archive::Archive;
use plasmid_node::chain::{Chain, SealedBlock};
use plasmid_node::wire::CoinState;
use plasmid_operator::admission::Admitted;
use plasmid_operator::committer::{AccountState, Decision, Waiting};
use plasmid_operator::journal::{FaultPlan, Intent, Journal, Record};
use plasmid_operator::operator::{Operator, RootView};
use plasmid_operator::receipts::{ReceiptSigner, Receipts};
use plasmid_operator::sequencer::{Outcome, Refusal, Rules, Stop};
use plasmid_root_chain::account::Account;
use tempfile::TempDir;

use crate::root::{DOMAIN, rules};

mod ends;
mod in_flight;

const PERIODS: Periods = Periods { minimum_exit_period: 800, sunset: 10_000 };
const FREEZE_DELAY: u64 = 100;
const DEPTH: u64 = 3;
const HEAD: RootView = RootView::Head { blind_secs: 0 };
const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

/// An operator, a chain, and a root chain that does what the story says.
struct Story {
    folder: TempDir,
    operator: Operator,
    chain: Chain,
    log: Vec<Record>,
    root: Vec<RootBlock>,
    /// Root blocks made, on any branch.
    made: u64,
    now: u64,
    memo: u8,
}

impl Story {
    fn begin() -> Self {
        Self::with(rules())
    }

    fn with(rules: Rules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chain = Chain::new(PERIODS, DEPTH, Archive::open(folder.path()).unwrap());
        let operator = Operator::new(rules, DEPTH);
        let mut story =
            Self { folder, operator, chain, log: Vec::new(), root: Vec::new(), made: 0, now: 1_000, memo: 0 };
        story.root_block(0, vec![]);
        story
    }

    /// A root block `secs` after the last; what it makes the operator write goes to the log and is returned.
    fn root_block(&mut self, secs: u64, events: Vec<RootEvent>) -> Vec<Record> {
        self.now += secs;
        let parent = self.root.last().map_or(B256::ZERO, |last| last.at.hash);
        self.made += 1;
        let at = RootRef { number: self.root.len() as u64, hash: keccak256(self.made.to_be_bytes()) };
        let block = RootBlock { at, parent, timestamp: self.now, events };
        self.chain.connect_root_block(&block).unwrap();
        self.root.push(block);
        self.observe()
    }

    fn quiet_blocks(&mut self, count: u64, secs: u64) -> Vec<Record> {
        (0..count).flat_map(|_| self.root_block(secs, vec![])).collect()
    }

    fn take_back(&mut self, count: usize) {
        for _ in 0..count {
            self.root.pop();
            self.chain.disconnect_root_block().unwrap();
            self.chain.recall_uncommitted().unwrap();
            self.observe();
        }
    }

    /// Has an operator with these rules go on from the log, as one that is started anew.
    fn restart(&mut self, rules: Rules) {
        let archive = Archive::open(self.folder.path()).unwrap();
        (self.operator, self.chain) = (Operator::new(rules, DEPTH), Chain::new(PERIODS, DEPTH, archive));
        self.root.iter().for_each(|block| self.chain.connect_root_block(block).unwrap());
        self.log.iter().for_each(|record| self.operator.replay(&mut self.chain, record).unwrap());
        self.seal();
    }

    fn observe(&mut self) -> Vec<Record> {
        let records = self.operator.observe_root_chain(&mut self.chain);
        self.log.extend(records.iter().cloned());
        records
    }

    /// A deposit that is covered.
    fn deposit(&mut self, amount: u128) -> Deposit {
        let deposit = self.next_deposit(amount);
        self.root_block(5, vec![RootEvent::Deposited(deposit)]);
        self.quiet_blocks(DEPTH, 5);
        deposit
    }

    fn next_deposit(&self, amount: u128) -> Deposit {
        let output = Output { owner: ALICE, asset: ETHER, amount };
        Deposit { nonce: self.chain.game().deposit_count(), output }
    }

    fn payment(&mut self, inputs: &[OutputId], amounts: &[u128]) -> Admitted {
        self.memo += 1;
        let outputs = amounts.iter().map(|&amount| Output { owner: ALICE, asset: ETHER, amount }).collect();
        let body = Transaction::new(inputs.to_vec(), outputs, B256::repeat_byte(self.memo)).unwrap();
        let signature = Signature::decode([1; 64]).unwrap();
        Admitted { hash: body.hash(), body, signature, signer: Some(ALICE), is_paying: true }
    }

    fn send(&mut self, request: &Admitted) -> Outcome {
        self.send_all(vec![request.clone()]).remove(0)
    }

    fn send_all(&mut self, requests: Vec<Admitted>) -> Vec<Outcome> {
        let (records, outcomes) = self.operator.accept(&mut self.chain, requests, HEAD);
        self.log.extend(records);
        outcomes
    }

    fn close(&mut self) -> Option<BlockNumber> {
        let record = self.operator.close_if_due(&mut self.chain)?;
        self.log.push(record.clone());
        self.seal();
        match record {
            Record::Closed(closed) => Some(closed.number),
            record => panic!("{record:?}"),
        }
    }

    fn seal(&mut self) {
        while let Some(unsealed) = self.chain.next_unsealed() {
            assert!(self.chain.seal(unsealed.seal()));
        }
    }

    fn decide(&mut self, nonce: u64) -> Decision {
        let at = self.root.last().unwrap().at.hash;
        self.operator.decide(&self.chain, &AccountState { at, nonce, max_fee_wei: 100, priority_fee_wei: 10 })
    }

    fn sign(&mut self, nonce: u64) -> Intent {
        match self.decide(nonce) {
            Decision::Sign(intent) => {
                self.log.push(Record::Intended(intent));
                intent
            }
            decision => panic!("{decision:?}"),
        }
    }

    /// Puts the bodies of final blocks into the archive, out of memory.
    fn archive(&mut self) {
        for number in (1..=self.chain.final_block().get()).filter_map(BlockNumber::new) {
            let body = self.chain.body(number).unwrap().bytes().unwrap();
            self.chain.archive().write(number, &body).unwrap();
            self.chain.archived(number);
        }
    }

    fn land(&mut self, block: &SealedBlock) {
        let SealedBlock { number, tx_root, utxo_root, tx_count, deposit_count } = *block;
        let timestamp = self.now + 5;
        let header = Header { number, tx_root, utxo_root, tx_count, deposit_count, timestamp };
        self.root_block(5, vec![RootEvent::BlockSubmitted(header)]);
    }

    /// Starts an exit of a deposit and returns when the coin freezes.
    fn exit(&mut self, deposit: &Deposit) -> u64 {
        let key = PERIODS.exit_key(self.now + 5, None);
        let position = Position::of_deposit(deposit.nonce).unwrap();
        let record = ExitRecord { output_id: deposit.output_id(), position, output: deposit.output, key };
        self.root_block(5, vec![RootEvent::StandardExitStarted(record)]);
        PERIODS.freeze_of_standard_exit(key)
    }

    fn state_of(&self, id: OutputId) -> CoinState {
        self.chain.coin(id).unwrap().state
    }
}

fn place(block: u64, index: u32) -> Place {
    Place { block: BlockNumber::new(block).unwrap(), index: TxIndex::new(index).unwrap() }
}

fn output_of(request: &Admitted, index: u8) -> OutputId {
    OutputId::of_output(request.hash, index)
}

#[test]
fn order_is_final_at_acceptance_and_outputs_are_spent_at_once() {
    let mut story = Story::begin();
    let coin = story.deposit(10).output_id();
    let first = story.payment(&[coin], &[4, 6]);
    let second = story.payment(&[output_of(&first, 1)], &[6]);
    let rival = story.payment(&[coin], &[10]);
    let outcomes = story.send_all(vec![first.clone(), second.clone(), rival, first.clone()]);
    let spent = Refusal::AlreadySpent { output_id: coin, spender: first.hash };
    let expected = [
        Outcome::Accepted(place(1, 0)),
        Outcome::Accepted(place(1, 1)),
        Outcome::Refused(spent),
        Outcome::Repeated(place(1, 0)),
    ];
    assert_eq!(outcomes, expected);

    let another_signature = Admitted { signature: Signature::decode([2; 64]).unwrap(), ..first.clone() };
    assert_eq!(story.send(&another_signature), Outcome::Repeated(place(1, 0)));
    let nobodys = Admitted { signer: Some(BOB), ..first };
    assert_eq!(story.send(&nobodys), Outcome::Refused(Refusal::BadSignature { output_id: coin }));
    let unbalanced = story.payment(&[output_of(&second, 0)], &[7]);
    assert!(matches!(story.send(&unbalanced), Outcome::Refused(Refusal::Unbalanced(_))));
    let unpaid = Admitted { is_paying: false, ..story.payment(&[output_of(&second, 0)], &[6]) };
    assert_eq!(story.send(&unpaid), Outcome::Refused(Refusal::FeeTooLow));
}

#[test]
fn a_deposit_counts_from_finality_on() {
    let mut story = Story::begin();
    let deposit = story.next_deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    story.root_block(5, vec![RootEvent::Deposited(deposit)]);
    let unknown = Outcome::Refused(Refusal::UnknownInput { output_id: deposit.output_id() });
    for _ in 0..DEPTH {
        assert_eq!(story.send(&payment), unknown);
        story.quiet_blocks(1, 5);
    }
    assert_eq!(story.send(&payment), Outcome::Accepted(place(1, 0)));
}

#[test]
fn an_exit_counts_at_the_head_and_its_end_from_finality_on() {
    let mut story = Story::begin();
    let deposit = story.deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    story.exit(&deposit);
    let exiting = Outcome::Refused(Refusal::Exiting { output_id: deposit.output_id() });
    assert_eq!(story.send(&payment), exiting);
    let (output_id, challenger) = (deposit.output_id(), BOB);
    let ended =
        RootEvent::StandardExitChallenged { output_id, challenger, spend: Bytes::new(), signature: Bytes::new() };
    story.root_block(5, vec![ended]);
    for _ in 0..DEPTH {
        assert_eq!(story.send(&payment), exiting);
        story.quiet_blocks(1, 5);
    }
    assert_eq!(story.send(&payment), Outcome::Accepted(place(1, 0)));
}

#[test]
fn what_misses_its_freeze_is_dropped_with_its_descendants_and_may_come_again() {
    let mut story = Story::begin();
    let (deposit, other) = (story.deposit(10), story.deposit(5));
    let kept = story.payment(&[other.output_id()], &[5]);
    let doomed = story.payment(&[deposit.output_id()], &[10]);
    let child = story.payment(&[output_of(&doomed, 0), output_of(&kept, 0)], &[15]);
    story.send_all(vec![kept.clone(), doomed.clone()]);
    assert_eq!(story.close(), Some(BlockNumber::FIRST));
    assert_eq!(story.send(&child), Outcome::Accepted(place(2, 0)));

    // Signed before the exit: while that can land, nothing is dropped.
    let signed = story.sign(0);
    let freeze = story.exit(&deposit);
    assert!(signed.not_after < freeze);
    let mut records = Vec::new();
    while story.now < freeze {
        records.extend(story.quiet_blocks(1, 20));
    }
    assert_eq!(records, [Record::Dropped(vec![place(1, 1), place(2, 0)])]);
    assert_eq!(story.state_of(output_of(&doomed, 0)), CoinState::Dropped);
    assert_eq!(story.state_of(output_of(&child, 0)), CoinState::Dropped);

    // Its place stays empty, the block ends before it, and its coin is not spent.
    story.seal();
    let now = story.sign(0);
    assert_eq!((now.block.number, now.block.tx_count), (BlockNumber::FIRST, 1));
    assert_ne!(now.block.tx_root, signed.block.tx_root);
    story.land(&now.block);
    assert_eq!(story.chain.disagreement(), None);
    let kept_change = story.payment(&[output_of(&kept, 0)], &[5]);
    let behind = Outcome::Refused(Refusal::Stopped(Stop::RootChainBehind));
    assert_eq!(story.send(&kept_change), behind, "the next block's promise is late too");
    assert_eq!(story.close(), BlockNumber::new(2));
    let empty = story.sign(1);
    assert_eq!(empty.block.tx_count, 0);
    story.land(&empty.block);
    assert_eq!(story.send(&kept_change), Outcome::Accepted(place(3, 0)));
    let exiting = Refusal::Exiting { output_id: deposit.output_id() };
    assert_eq!(story.send(&doomed), Outcome::Refused(exiting));
    let (output_id, payee) = (deposit.output_id(), ALICE);
    story.root_block(5, vec![RootEvent::ExitReturned { output_id, payee }]);
    story.quiet_blocks(DEPTH, 5);
    assert_eq!(story.send(&doomed), Outcome::Accepted(place(3, 1)), "accepted anew");
}

#[test]
fn a_submission_ends_with_f_after_its_anchor_and_with_the_first_freeze() {
    let mut story = Story::begin();
    let deposit = story.deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    story.send(&payment);
    story.close();
    let anchor_time = story.now - 5 * DEPTH;
    let intent = story.sign(7);
    assert_eq!(intent.anchor, story.root[story.root.len() - 1 - DEPTH as usize].at);
    assert_eq!((intent.not_after, intent.nonce), (anchor_time + FREEZE_DELAY, 7));

    let freeze = story.exit(&deposit);
    while story.now + 40 < freeze {
        story.quiet_blocks(1, 10);
    }
    let Decision::Sign(late) = story.decide(7) else { panic!("it has waited long enough to be replaced") };
    assert_eq!(late.block, intent.block);
    assert_eq!(late.not_after, freeze);
    assert!(late.max_fee_wei > intent.max_fee_wei && late.nonce == intent.nonce);
}

#[test]
fn a_submission_is_kept_until_it_is_late_and_replaced_under_its_nonce() {
    let mut story = Story::begin();
    story.deposit(10);
    story.close();
    let intent = story.sign(0);
    assert_eq!(story.decide(0), Decision::Keep(intent));
    story.quiet_blocks(2, 5);
    assert_eq!(story.decide(0), Decision::Keep(intent));
    story.quiet_blocks(1, 5);
    let replaced = story.sign(0);
    assert_eq!((replaced.block, replaced.nonce), (intent.block, intent.nonce));
    assert!(replaced.max_fee_wei > intent.max_fee_wei && replaced.priority_fee_wei > intent.priority_fee_wei);

    // The nonce went to something else: a new one, at the price of the day.
    story.quiet_blocks(1, 5);
    let renewed = story.sign(1);
    assert_eq!((renewed.nonce, renewed.max_fee_wei), (1, 100));
    let elsewhere = AccountState { at: B256::ZERO, nonce: 1, max_fee_wei: 1, priority_fee_wei: 1 };
    assert_eq!(story.operator.decide(&story.chain, &elsewhere), Decision::Wait(Waiting::AccountNotAtHead));
}

#[test]
fn a_block_that_a_reorganisation_takes_back_is_submitted_again() {
    let mut story = Story::begin();
    story.deposit(10);
    story.quiet_blocks(DEPTH, 5);
    story.close();
    let intent = story.sign(0);
    story.land(&intent.block);
    assert_eq!(story.decide(1), Decision::Wait(Waiting::NothingToSubmit));
    story.take_back(2);
    story.quiet_blocks(2, 5);
    assert_eq!(story.decide(0), Decision::Keep(intent));
    story.take_back(5);
    story.quiet_blocks(5, 5);
    let again = story.sign(0);
    assert_eq!(again.block, intent.block);
    assert_ne!(again.anchor, intent.anchor, "its anchor is gone");
}

#[test]
fn a_deposit_lost_beyond_finality_stops_it_until_the_same_one_returns() {
    let mut story = Story::begin();
    let deposit = story.deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    story.take_back(1 + DEPTH as usize);
    story.quiet_blocks(6, 5);
    let stopped = Outcome::Refused(Refusal::Stopped(Stop::RootChainReorganised));
    assert_eq!(story.send(&payment), stopped);
    story.close();
    assert_eq!(story.decide(0), Decision::Wait(Waiting::Stopped(Stop::RootChainReorganised)));

    story.root_block(5, vec![RootEvent::Deposited(deposit)]);
    assert_eq!(story.send(&payment), Outcome::Accepted(place(2, 0)));
    assert_eq!(story.decide(0), Decision::Wait(Waiting::DepositsNotAtAnchor));
    story.quiet_blocks(DEPTH, 5);
    assert_eq!(story.sign(0).block.deposit_count, 1);

    story.take_back(1 + DEPTH as usize);
    let another = Deposit { output: Output { amount: 11, ..deposit.output }, ..deposit };
    story.root_block(5, vec![RootEvent::Deposited(another)]);
    story.quiet_blocks(10, 5);
    let next = story.payment(&[output_of(&payment, 0)], &[10]);
    assert_eq!(story.send(&next), stopped);
}

#[test]
fn a_final_block_that_a_reorganisation_takes_back_is_submitted_again() {
    let mut story = Story::begin();
    let coin = story.deposit(10).output_id();
    story.quiet_blocks(DEPTH, 5);
    let payment = story.payment(&[coin], &[10]);
    story.send(&payment);
    story.close();
    let intent = story.sign(0);
    story.land(&intent.block);
    story.quiet_blocks(DEPTH, 5);
    story.archive();

    story.take_back(2 * (DEPTH as usize + 1));
    assert_eq!(story.state_of(output_of(&payment, 0)), CoinState::Accepted);
    story.quiet_blocks(DEPTH + 1, 5);
    let again = story.sign(0);
    assert_eq!(again.block, intent.block);
    let is_there = |anchor| story.root.iter().any(|block| block.at == anchor);
    assert!(is_there(again.anchor) && !is_there(intent.anchor), "its anchor is gone");
    assert!(again.not_after > story.now);
    let next = story.payment(&[output_of(&payment, 0)], &[10]);
    let behind = Outcome::Refused(Refusal::Stopped(Stop::RootChainBehind));
    assert_eq!(story.send(&next), behind, "its promise is late");
    assert_eq!(story.send(&payment), Outcome::Repeated(place(1, 0)));
    story.land(&again.block);
    assert_eq!(story.chain.disagreement(), None);
    assert_eq!(story.send(&next), Outcome::Accepted(place(2, 0)));
}

#[test]
fn a_final_block_without_its_deposit_waits_for_it() {
    let mut story = Story::begin();
    let deposit = story.deposit(10);
    story.close();
    let intent = story.sign(0);
    story.land(&intent.block);
    story.quiet_blocks(DEPTH, 5);
    story.archive();

    story.take_back(2 * (DEPTH as usize + 1));
    story.quiet_blocks(9, 5);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    assert_eq!(story.send(&payment), Outcome::Refused(Refusal::Stopped(Stop::RootChainReorganised)));
    assert_eq!(story.decide(0), Decision::Wait(Waiting::Stopped(Stop::RootChainReorganised)));
    story.root_block(5, vec![RootEvent::Deposited(deposit)]);
    assert_eq!(story.send(&payment), Outcome::Accepted(place(2, 0)));
    assert_eq!(story.decide(0), Decision::Wait(Waiting::DepositsNotAtAnchor));
    story.quiet_blocks(DEPTH, 5);
    assert_eq!(story.sign(0).block, intent.block);
}

#[test]
fn a_final_block_taken_back_loses_what_freezes_before_it_lands_again() {
    let mut story = Story::begin();
    let (deposit, other) = (story.deposit(10), story.deposit(5));
    let kept = story.payment(&[other.output_id()], &[5]);
    let doomed = story.payment(&[deposit.output_id()], &[10]);
    story.send_all(vec![kept.clone(), doomed.clone()]);
    story.close();
    let intent = story.sign(0);
    story.land(&intent.block);
    story.quiet_blocks(DEPTH, 5);
    story.archive();

    story.take_back(DEPTH as usize + 1);
    let freeze = story.exit(&deposit);
    let mut records = Vec::new();
    while story.now < freeze {
        records.extend(story.quiet_blocks(1, 20));
    }
    assert_eq!(records, [Record::Dropped(vec![place(1, 1)])]);
    assert_eq!(story.state_of(output_of(&doomed, 0)), CoinState::Dropped);
    story.seal();
    let without = story.sign(0);
    assert_eq!((without.block.number, without.block.tx_count), (BlockNumber::FIRST, 1));
    story.land(&without.block);
    assert_eq!(story.chain.disagreement(), None);
}

#[test]
fn no_reorganisation_revives_a_submission_beside_one_with_other_roots() {
    let mut story = Story::begin();
    let deposit = story.deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    story.send(&payment);
    story.close();
    let freeze = story.exit(&deposit);
    while story.now + 12 < freeze {
        story.quiet_blocks(1, 4);
    }
    let intent = story.sign(0);
    assert_eq!(intent.not_after, freeze, "it lands in the last moment");
    story.land(&intent.block);
    story.quiet_blocks(2 * DEPTH, 5);
    story.archive();

    // Back to the moment of the signature, and on to the freeze: until then the signed one can land.
    story.take_back(2 * DEPTH as usize + 1);
    story.now = story.chain.game().now();
    let mut final_times = vec![story.now; DEPTH as usize];
    loop {
        let records = story.quiet_blocks(1, 2);
        final_times.push(story.now);
        if final_times[final_times.len() - 1 - DEPTH as usize] > intent.not_after {
            assert_eq!(records, [Record::Dropped(vec![place(1, 0)])], "dead at finality depth");
            break;
        }
        assert_eq!(records, []);
    }
    story.seal();
    assert_eq!(story.sign(0).block.tx_count, 0);
}

#[test]
fn nothing_is_promised_while_an_older_promise_is_late() {
    let mut story = Story::begin();
    let deposit = story.deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    story.send(&payment);
    story.close();
    let next = story.payment(&[output_of(&payment, 0)], &[10]);
    story.quiet_blocks(1, FREEZE_DELAY / 4);
    assert_eq!(story.operator.stop(&story.chain, HEAD), None);
    story.quiet_blocks(1, 1);
    assert_eq!(story.send(&next), Outcome::Refused(Refusal::Stopped(Stop::RootChainBehind)));
    assert_eq!(story.send(&payment), Outcome::Repeated(place(1, 0)), "what was promised is repeated all the same");
    let intent = story.sign(0);
    story.land(&intent.block);
    assert_eq!(story.send(&next), Outcome::Accepted(place(2, 0)));

    let blind = RootView::Head { blind_secs: FREEZE_DELAY / 4 };
    assert_eq!(story.operator.stop(&story.chain, blind), Some(Stop::RootChainBehind));
    assert_eq!(story.operator.stop(&story.chain, RootView::Behind), Some(Stop::NotReady));
}

#[test]
fn a_full_block_is_closed_and_a_batch_lies_in_one_block() {
    let mut story = Story::with(Rules { block_txs_max: 2, ..rules() });
    let mut coin = story.deposit(10).output_id();
    let mut requests = Vec::new();
    for _ in 0..5 {
        let payment = story.payment(&[coin], &[10]);
        coin = output_of(&payment, 0);
        requests.push(payment);
    }
    let outcomes = story.send_all(requests);
    let places = [place(1, 0), place(1, 1), place(2, 0), place(2, 1), place(3, 0)];
    assert_eq!(outcomes, places.map(Outcome::Accepted));
    let batches = story.log.iter().filter_map(|record| match record {
        Record::Accepted(batch) => Some((batch.number.get(), batch.first, batch.items.len())),
        _ => None,
    });
    assert_eq!(batches.collect::<Vec<_>>(), [(1, 0, 2), (2, 0, 2), (3, 0, 1)]);
    assert_eq!(story.close(), None, "blocks wait already");
}

#[test]
fn an_idle_operator_commits_an_empty_block() {
    let mut story = Story::begin();
    assert_eq!(story.close(), None);
    story.quiet_blocks(19, 10);
    assert_eq!(story.close(), None);
    story.quiet_blocks(1, 10);
    assert_eq!(story.close(), Some(BlockNumber::FIRST));
    let intent = story.sign(0);
    assert!(intent.block.tx_count == 0 && intent.block.tx_root.is_zero());
    story.land(&intent.block);
    story.quiet_blocks(19, 10);
    assert_eq!(story.close(), None, "the idle time counts from the last block");
    story.quiet_blocks(1, 10);
    assert!(story.close().is_some());
}

#[test]
fn receipts_are_functions_of_the_log_and_a_wallet_trusts_them() {
    let mut story = Story::begin();
    let coin = story.deposit(10).output_id();
    let first = story.payment(&[coin], &[4, 6]);
    let second = story.payment(&[output_of(&first, 0), output_of(&first, 1)], &[10]);
    story.send_all(vec![first.clone(), second.clone()]);
    let third = story.payment(&[output_of(&second, 0)], &[10]);
    story.send(&third);

    let folder = tempfile::tempdir().unwrap();
    let account = Account::from_hex(&"01".repeat(32)).unwrap();
    let open = |records: Option<&[Record]>| {
        let mut journal = Journal::open(&folder.path().join("log"), B256::ZERO, FaultPlan::default()).unwrap();
        records.map(|records| journal.append(records).unwrap());
        let receipts = Receipts::new(ReceiptSigner::new(account.clone(), DOMAIN), journal.reader());
        journal.records().map(Result::unwrap).for_each(|(offset, record)| receipts.record(offset, &record));
        (journal, receipts)
    };
    let (journal, receipts) = open(Some(&story.log));
    let answers =
        |receipts: &Receipts| [0, 1, 2].map(|index| receipts.answer_at(place(1, index)).unwrap().expect("an answer"));
    let given = answers(&receipts);
    for (request, answer) in [&first, &second, &third].into_iter().zip(&given) {
        assert_eq!(answer.tx_hash, request.hash);
        let placed = story.chain.transaction(request.hash).unwrap().read().unwrap();
        let leaf = plasmid_exit_game::tx_tree::leaf(request.hash, placed.witness.hash());
        let signed = answer.receipt.signed().unwrap();
        signed.check(&DOMAIN, account.address(), leaf, story.now, FREEZE_DELAY).unwrap();
        assert_eq!(answer.positions.len(), request.body.outputs().len());
    }
    assert_eq!((given[0].receipt.count, given[2].receipt.count), (2, 1));
    assert_eq!(receipts.answer_at(place(1, 3)).unwrap(), None);
    drop((journal, receipts));
    let (_journal, receipts) = open(None);
    assert_eq!(answers(&receipts), given, "the same bytes after a restart");
}
