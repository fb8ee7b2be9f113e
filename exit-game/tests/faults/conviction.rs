//! What a conviction costs and pays, when, and to whom; and what is void from then on. §3.

use alloy_primitives::{Address, U256};
use plasmid_exit_game::exit::contract::Revert;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{Conviction, FaultProof, Rule};
use plasmid_exit_game::position::BlockNumber;

use crate::court::{Court, FAULT_SLASH, MEP, RECEIPT_SLASH, evidence_of, gets, place, served};
use crate::evidence::JUNK;

/// Commits a block with two leaves that are not canonical, and returns a proof by each.
fn broken_block(court: &mut Court) -> [FaultProof; 2] {
    let block = court.next_place().block.get();
    court.commit(vec![Some((JUNK.to_vec(), JUNK.to_vec())), Some((JUNK.to_vec(), vec![]))], 0).unwrap();
    [0, 1].map(|index| FaultProof::NotCanonical { leaf: court.shown_leaf(place(block, index)).unwrap() })
}

const REWARD: u128 = FAULT_SLASH / 2;

#[test]
fn who_announced_two_root_blocks_before_has_half_of_the_slash() {
    let mut court = Court::new();
    let [proof, _] = broken_block(&mut court);
    court.announce("carol", "carol", evidence_of(&proof)).unwrap();
    court.wait(2);
    let number = BlockNumber::FIRST;
    let events = court.prove("carol", &proof).unwrap();
    assert!(matches!(events[..], [RootEvent::FaultProven { rule: Rule::R1, .. }, RootEvent::FaultRewarded { .. }]));
    assert_eq!(court.received("carol"), REWARD);
    assert_eq!(court.paid[&Address::ZERO].to::<u128>(), FAULT_SLASH - REWARD, "the larger half is burned");
    assert_eq!(court.game.conviction(number), Some(Conviction { root_block: court.now, reward: 0 }));
    assert_eq!(court.game.operator_bond(), (0, 2 * RECEIPT_SLASH));
    assert_eq!(court.prove("dave", &proof), Err(Revert::AlreadyConvicted { number }));
}

#[test]
fn a_thief_convicts_for_nothing_and_the_reward_waits_for_who_announced() {
    let mut court = Court::new();
    let [proof, other] = broken_block(&mut court);
    let number = BlockNumber::FIRST;
    court.announce("carol", "carol", evidence_of(&other)).unwrap();
    court.wait(1);
    court.announce("thief", "thief", evidence_of(&proof)).unwrap();
    court.wait(1);
    court.prove("thief", &proof).unwrap();
    assert_eq!(court.received("thief"), 0, "one root block is too young");
    assert_eq!(court.game.conviction(number).map(|conviction| conviction.reward), Some(REWARD));
    for thief in ["thief", "dave"] {
        assert_eq!(court.prove(thief, &proof), Err(Revert::AlreadyConvicted { number }));
        assert_eq!(court.prove(thief, &other), Err(Revert::AlreadyConvicted { number }));
    }
    assert_eq!(court.prove("carol", &proof), Err(Revert::AlreadyConvicted { number }), "she announced another proof");
    assert!(matches!(court.prove("carol", &other).unwrap()[..], [RootEvent::FaultRewarded { .. }]));
    assert_eq!(court.received("carol"), REWARD);
}

#[test]
fn anybody_may_announce_for_anybody_but_only_once() {
    let mut court = Court::new();
    let [proof, _] = broken_block(&mut court);
    let evidence = evidence_of(&proof);
    court.announce("thief", "carol", evidence).unwrap();
    let again = court.announce("carol", "carol", evidence);
    assert!(matches!(again, Err(Revert::AlreadyAnnounced { .. })));
    court.wait(2);
    court.prove("carol", &proof).unwrap();
    assert_eq!(court.received("carol"), REWARD);
}

#[test]
fn evidence_counts_for_two_periods() {
    let mut court = Court::new();
    let [proof, other] = broken_block(&mut court);
    let until = court.now + 2 * MEP;
    court.announce("carol", "carol", evidence_of(&other)).unwrap();
    court.wait_until(until - 1);
    court.prove("dave", &proof).unwrap();
    court.wait_until(until);
    assert_eq!(court.prove("carol", &other), Err(Revert::TooLateToProve { until }), "the reward is nobody's");
}

#[test]
fn an_older_block_is_convicted_with_what_is_left_and_a_void_one_is_not() {
    let mut court = Court::new();
    let [older, _] = broken_block(&mut court);
    let [middle, _] = broken_block(&mut court);
    let [younger, _] = broken_block(&mut court);
    court.prove("carol", &middle).unwrap();
    assert_eq!(court.prove("carol", &younger), Err(Revert::VoidBlock { number: younger.accused() }));
    let first_halt = court.game.halt().unwrap();
    court.wait(10);
    court.prove("carol", &older).unwrap();
    let halt = court.game.halt().unwrap();
    assert_eq!((first_halt.from, halt.from), (middle.accused(), older.accused()));
    assert_eq!(halt.at, first_halt.at + 10, "it fell again");
    assert_eq!(court.game.conviction(halt.from).unwrap().reward, 0, "nothing was left to slash");
    assert_eq!(court.paid[&Address::ZERO].to::<u128>(), FAULT_SLASH - REWARD);
}

#[test]
fn a_reorganisation_takes_a_conviction_back() {
    let mut court = Court::new();
    let [proof, _] = broken_block(&mut court);
    let number = proof.accused();
    court.announce("carol", "carol", evidence_of(&proof)).unwrap();
    court.wait(2);
    let bond = court.game.operator_bond();
    court.prove("carol", &proof).unwrap();
    assert!(court.game.is_void(number) && court.game.conviction(number).is_some());
    court.game.disconnect_block().unwrap();
    assert_eq!((court.game.halt(), court.game.conviction(number)), (None, None));
    assert_eq!(court.game.operator_bond(), bond);
    assert_eq!(court.verdict(&proof), Ok(number), "and it can be proven again");
}

#[test]
fn coins_of_a_void_block_exit_no_more() {
    let mut court = Court::new();
    let coin = court.deposit("alice", 10);
    let payment = court.sign("alice", &[coin], vec![gets("bob", 10)]);
    let junk = Some((JUNK.to_vec(), JUNK.to_vec()));
    court.commit(vec![served(&payment), junk], 0).unwrap();
    let proof = FaultProof::NotCanonical { leaf: court.shown_leaf(place(1, 1)).unwrap() };
    court.prove("carol", &proof).unwrap();
    let inclusion = court.shown_leaf(place(1, 0)).unwrap().inclusion;
    let started = court.act("bob", |contract, call, _| {
        contract.start_standard_exit(call, U256::from(10), &payment.body.encode(), 0, &inclusion)
    });
    assert_eq!(started, Err(Revert::VoidBlock { number: BlockNumber::FIRST }));
    // The payment leaves in flight by its input, which is older.
    court.start_in_flight(&payment);
    assert!(court.game.in_flight_exit(payment.body.hash()).is_some());
}
