//! What in-flight exits lock, free and show. §3.1.

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::{InFlightData, InputData, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_operator::admission::Admitted;
use plasmid_operator::committer::{Decision, Waiting};
use plasmid_operator::in_flight::shown_in_exits;
use plasmid_operator::journal::Record;
use plasmid_operator::sequencer::{Outcome, Refusal};

use super::{ALICE, DEPTH, FREEZE_DELAY, PERIODS, Story, output_of, place};

const STRANGER: Address = Address::repeat_byte(0xee);

fn signed(payment: &Admitted) -> SignedTransaction {
    SignedTransaction { body: payment.body.clone(), signature: payment.signature }
}

fn step(payment: &Admitted, step: InFlightStep) -> RootEvent {
    RootEvent::InFlight { tx_hash: payment.hash, step: Box::new(step) }
}

impl Story {
    /// Starts the in-flight exit of a payment and returns when it did.
    fn start_in_flight(&mut self, payment: &Admitted) -> u64 {
        let start = self.now + 5;
        let input = |&output_id| {
            let coin = self.chain.coin(output_id).unwrap();
            let header = coin.position.block().map(|block| self.chain.game().header(block).unwrap().0);
            let created_at = header.map_or(0, |header| header.timestamp);
            let (asset, amount) = (coin.output.asset, coin.output.amount);
            InputData { output_id, position: coin.position, created_at, asset, amount }
        };
        let inputs: Vec<_> = payment.body.inputs().iter().map(input).collect();
        let key = inputs.iter().map(|input| PERIODS.exit_key(start, input.created())).max().unwrap();
        let data = InFlightData { starter: STRANGER, owner: ALICE, inputs };
        self.root_block(
            5,
            vec![step(payment, InFlightStep::Started { data, start, key, transaction: signed(payment) })],
        );
        start
    }

    fn shown(&self) -> Vec<SignedTransaction> {
        shown_in_exits(&self.chain)
    }
}

#[test]
fn an_in_flight_exit_locks_its_inputs_against_all_but_its_own_payment_which_has_f_half() {
    let mut story = Story::begin();
    let coin = story.deposit(10).output_id();
    let (payment, rival) = (story.payment(&[coin], &[10]), story.payment(&[coin], &[4, 6]));
    let start = story.start_in_flight(&payment);
    let exiting = Outcome::Refused(Refusal::Exiting { output_id: coin });
    assert_eq!(story.send(&rival), exiting);
    assert_eq!(story.shown(), [signed(&payment)], "the operator sees it there first");

    let last = start + FREEZE_DELAY / 2;
    story.root_block(last - story.now, vec![]);
    assert_eq!(story.shown(), [signed(&payment)]);
    story.root_block(1, vec![]);
    assert_eq!((story.shown(), story.send(&payment)), (vec![], exiting.clone()), "too late");
    story.take_back(1);
    assert_eq!(story.send(&payment), Outcome::Accepted(place(1, 0)));
    assert_eq!(story.shown(), []);

    // It is committed by the freeze of its inputs, or dropped.
    story.close();
    let intent = story.sign(0);
    assert!(intent.not_after <= start + FREEZE_DELAY);
    let mut records = Vec::new();
    while story.now <= start + FREEZE_DELAY + 20 {
        records.extend(story.quiet_blocks(1, 5));
    }
    assert_eq!(records, [Record::Dropped(vec![place(1, 0)])]);
}

#[test]
fn what_a_closed_exit_locked_may_be_spent_once_the_close_is_final() {
    let mut story = Story::begin();
    let coin = story.deposit(10).output_id();
    let (payment, rival) = (story.payment(&[coin], &[10]), story.payment(&[coin], &[4, 6]));
    let start = story.start_in_flight(&payment);
    story.root_block(PERIODS.end_of_first_half(start) - story.now, vec![step(&payment, InFlightStep::Closed)]);
    let exiting = Outcome::Refused(Refusal::Exiting { output_id: coin });
    story.quiet_blocks(DEPTH - 1, 5);
    assert_eq!((story.send(&payment), story.send(&rival)), (exiting.clone(), exiting.clone()));
    story.quiet_blocks(1, 5);
    assert_eq!(story.send(&payment), Outcome::Accepted(place(1, 0)), "again, or for the first time");
}

#[test]
fn a_block_that_spends_a_piece_which_was_challenged_away_waits_until_that_is_final() {
    let mut story = Story::begin();
    let coin = story.deposit(10).output_id();
    let payment = story.payment(&[coin], &[10]);
    story.send(&payment);
    story.close();
    let intent = story.sign(0);
    story.land(&intent.block);
    let made = output_of(&payment, 0);
    let spend = story.payment(&[made], &[10]);
    assert_eq!(story.send(&spend), Outcome::Accepted(place(2, 0)));
    story.close();

    let start = story.start_in_flight(&payment);
    let pieces = PieceSet::from_iter([Piece::Output(0)]);
    let claimed = InFlightStep::Piggybacked { owner: ALICE, asset: payment.body.outputs()[0].asset, pieces };
    story.root_block(5, vec![step(&payment, claimed)]);
    let intent = story.sign(1);
    let freeze = PERIODS.freeze_of_in_flight_output(PERIODS.exit_key(start, None));
    assert!(intent.not_after <= freeze);
    let (piece, spend, place) = (Piece::Output(0), signed(&spend), place(1, 0));
    let challenged = InFlightStep::PieceChallenged { challenger: STRANGER, piece, place, spend };
    story.root_block(5, vec![step(&payment, challenged)]);
    for _ in 0..DEPTH {
        assert_eq!(story.decide(1), Decision::Wait(Waiting::FreedNotFinal));
        story.quiet_blocks(1, 5);
    }
    assert!(matches!(story.decide(1), Decision::Keep(_) | Decision::Sign(_)));
}
