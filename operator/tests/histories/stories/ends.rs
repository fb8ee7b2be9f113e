//! The end of the chain, a bond that is short, and keys that take over. §2, §3, §8.

use alloy_primitives::U256;
use plasmid_exit_game::fault::Rule;
use plasmid_node::wire::BlockState;

use super::*;
use crate::root::OPERATOR;

const NEXT_KEY: Address = Address::repeat_byte(0x4e);
const SLASHES: (u128, u128) = (10, 2);

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

fn funded(fault_part: u128, receipt_part: u128) -> RootEvent {
    RootEvent::BondFunded { funder: BOB, fault_part, receipt_part }
}

fn proven(number: BlockNumber) -> RootEvent {
    let (rule, accuser, evidence) = (Rule::R5, BOB, B256::repeat_byte(7));
    RootEvent::FaultProven { number, rule, accuser, evidence, slashed: U256::from(SLASHES.0) }
}

fn stopped(stop: Stop) -> Outcome {
    Outcome::Refused(Refusal::Stopped(stop))
}

fn ruled(key: Address, block_txs_max: u32) -> Rules {
    Rules { block_txs_max, key, slashes_wei: SLASHES, ..rules() }
}

/// A story with an operator of the first key and a bond for one fault and one receipt.
fn bonded(block_txs_max: u32) -> Story {
    let mut story = Story::with(ruled(OPERATOR, block_txs_max));
    story.root_block(5, vec![funded(SLASHES.0, SLASHES.1)]);
    story
}

#[test]
fn a_halt_ends_all_but_reading_until_a_reorganisation_takes_it_back() {
    let mut story = bonded(1 << 20);
    let (deposit, later) = (story.deposit(10), story.deposit(7));
    let payment = story.payment(&[deposit.output_id()], &[10]);
    assert_eq!(story.send(&payment), Outcome::Accepted(place(1, 0)));
    story.close();
    let intent = story.sign(0);
    story.land(&intent.block);
    let next = story.payment(&[output_of(&payment, 0)], &[10]);
    assert_eq!(story.send(&next), Outcome::Accepted(place(2, 0)));
    story.close();

    story.root_block(5, vec![proven(number(1))]);
    let another = story.payment(&[later.output_id()], &[7]);
    assert_eq!(story.send(&another), stopped(Stop::Halted));
    assert_eq!(story.send(&payment), Outcome::Repeated(place(1, 0)), "what was promised is repeated all the same");
    assert_eq!(story.decide(1), Decision::Wait(Waiting::Stopped(Stop::Halted)));
    assert_eq!((story.quiet_blocks(9, 100), story.close()), (vec![], None), "no more blocks, nothing dropped");
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Void));
    assert_eq!(story.state_of(output_of(&next, 0)), CoinState::Void);
    assert_eq!(story.state_of(deposit.output_id()), CoinState::Spent);
    assert_ne!(story.state_of(later.output_id()), CoinState::Void, "a deposit leaves whatever block covers it");

    story.take_back(10);
    assert_eq!(story.send(&another), Outcome::Accepted(place(3, 0)));
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Committed));
    assert!(matches!(story.decide(1), Decision::Sign(_)));
}

#[test]
fn a_chain_that_was_closed_takes_nothing_more() {
    let mut story = bonded(1 << 20);
    let deposit = story.deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    assert_eq!(story.state_of(deposit.output_id()), CoinState::Accepted);
    story.root_block(5, vec![RootEvent::ChainClosed]);
    assert_eq!(story.send(&payment), stopped(Stop::Halted));
    assert_eq!(story.decide(0), Decision::Wait(Waiting::Stopped(Stop::Halted)));
    assert_eq!(story.state_of(deposit.output_id()), CoinState::Pending, "no block will cover it");
}

#[test]
fn with_a_short_bond_it_waits_until_somebody_funds_it() {
    let mut story = bonded(1 << 20);
    let deposit = story.deposit(10);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    assert_eq!(story.send(&payment), Outcome::Accepted(place(1, 0)));
    story.close();
    let (accuser, evidence) = (BOB, B256::repeat_byte(7));
    let slashed = RootEvent::ReceiptSlashed { number: number(1), accuser, evidence, slashed: U256::from(1) };
    story.root_block(5, vec![slashed]);
    let next = story.payment(&[output_of(&payment, 0)], &[10]);
    assert_eq!(story.send(&next), stopped(Stop::BondShort));
    assert_eq!(story.decide(0), Decision::Wait(Waiting::Stopped(Stop::BondShort)));
    story.root_block(5, vec![funded(0, 1)]);
    assert_eq!(story.send(&next), Outcome::Accepted(place(2, 0)));
    story.sign(0);
}

#[test]
fn a_key_promises_and_submits_up_to_the_block_before_the_next_keys() {
    let mut story = bonded(1);
    let deposit = story.deposit(10);
    let accepted = RootEvent::OperatorAccepted { operator: NEXT_KEY, first_block: number(2) };
    story.root_block(5, vec![accepted]);
    let payment = story.payment(&[deposit.output_id()], &[10]);
    let next = story.payment(&[output_of(&payment, 0)], &[10]);
    let other_key = stopped(Stop::OtherKey { number: number(2), operator: NEXT_KEY });
    let outcomes = story.send_all(vec![payment.clone(), next.clone()]);
    assert_eq!(outcomes, [Outcome::Accepted(place(1, 0)), other_key.clone()]);

    // The next key goes on from the same log, but does not do the first one's work.
    let (first_rules, next_rules) = (ruled(OPERATOR, 1), ruled(NEXT_KEY, 1));
    story.restart(next_rules);
    let others = Stop::OtherKey { number: number(1), operator: OPERATOR };
    assert_eq!(story.send(&next), stopped(others));
    story.close();
    assert_eq!(story.decide(0), Decision::Wait(Waiting::Stopped(others)));

    story.restart(first_rules);
    let intent = story.sign(0);
    story.land(&intent.block);
    assert_eq!(story.send(&next), other_key);
    assert_eq!(
        story.decide(1),
        Decision::Wait(Waiting::Stopped(Stop::OtherKey { number: number(2), operator: NEXT_KEY }))
    );

    story.restart(next_rules);
    assert_eq!(story.send(&next), Outcome::Accepted(place(2, 0)), "no number twice");
    story.close();
    assert_eq!(story.sign(0).block.number, number(2));
}
