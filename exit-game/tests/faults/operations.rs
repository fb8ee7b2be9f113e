//! The operator's bond and key, and the end of the chain. §2, §3, §8.

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::exit::contract::{Anchor, ROTATION_DISTANCE, Revert, ShownReceipt, Submission};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
use plasmid_exit_game::signature::Signature;

use crate::court::{Court, FAULT_SLASH, MEP, PERIODS, RECEIPT_SLASH, address, key_of};

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

pub(crate) fn empty_block(number: u64) -> Submission {
    Submission {
        number,
        tx_root: B256::ZERO,
        utxo_root: B256::ZERO,
        tx_count: 0,
        deposit_count: 0,
        anchor: Anchor::Known,
        not_after: u64::MAX,
    }
}

/// Breaks a receipt for a block that is not committed.
fn lose_a_receipt(court: &mut Court, block: u64) {
    let receipt = Receipt {
        number: number(block),
        first: 0,
        count: 1,
        root: B256::ZERO,
        by: court.now - PERIODS.freeze_delay() - 1,
    };
    let signature = Signature::sign(&key_of("operator"), receipt.signing_hash(court.domain())).encode();
    let broken = BrokenPromise::NONE;
    let shown = ShownReceipt { receipt: &receipt, signature: &signature, header: None, broken: &broken };
    court.prove_receipt("alice", &shown).unwrap();
}

#[test]
fn a_short_bond_stops_blocks_and_not_deposits() {
    let mut court = Court::new();
    (1..=2).for_each(|block| lose_a_receipt(&mut court, block));
    let short = Revert::BondShort { fault_part: FAULT_SLASH, receipt_part: 0 };
    let submission = empty_block(1);
    let refused = court.act("operator", |contract, call, _| contract.submit_block(call, &submission));
    assert_eq!(refused, Err(short));
    court.deposit("alice", 5);
    let fund = |court: &mut Court, sent: u128, receipt_part| {
        court.act("anyone", |contract, call, _| contract.fund_bond(call, U256::from(sent), 0, receipt_part))
    };
    let wrong = Revert::WrongParts { sent: U256::from(1), parts: U256::from(RECEIPT_SLASH) };
    assert_eq!(fund(&mut court, 1, RECEIPT_SLASH), Err(wrong));
    fund(&mut court, RECEIPT_SLASH, RECEIPT_SLASH).unwrap();
    court.commit_valid(&[]);
    assert_eq!(court.game.operator_bond(), (FAULT_SLASH, RECEIPT_SLASH));
}

#[test]
fn the_bond_leaves_two_periods_after_the_end_of_an_innocent_chain() {
    let mut court = Court::new();
    let withdraw = |court: &mut Court, caller: &str| {
        let to = address("heir");
        court.act(caller, |contract, call, pay| contract.withdraw_bond(call, to, pay))
    };
    assert_eq!(withdraw(&mut court, "operator"), Err(Revert::BondLocked));
    let close = |court: &mut Court| court.act("anyone", |contract, call, _| contract.close_chain(call));
    let sunset_at = court.now + PERIODS.sunset;
    court.wait_until(sunset_at - 1);
    assert_eq!(close(&mut court), Err(Revert::NotYetSunset { sunset_at }));
    court.wait_until(sunset_at);
    assert_eq!(close(&mut court), Ok(vec![RootEvent::ChainClosed]));
    assert_eq!(court.game.closed_at(), Some(sunset_at));
    court.wait(2 * MEP - 1);
    assert_eq!(withdraw(&mut court, "operator"), Err(Revert::BondLocked));
    court.wait(1);
    assert_eq!(withdraw(&mut court, "thief"), Err(Revert::NotOperator { caller: address("thief") }));
    withdraw(&mut court, "operator").unwrap();
    assert_eq!(court.received("heir"), FAULT_SLASH + 2 * RECEIPT_SLASH);
    assert_eq!(court.game.operator_bond(), (0, 0));
}

#[test]
fn a_key_is_handed_on_in_two_steps_and_is_known_three_hundred_blocks_ahead() {
    let mut court = Court::new();
    let (first, next) = (address("operator"), address("next"));
    let propose = |court: &mut Court, caller: &str, next: Address| {
        court.act(caller, |contract, call, _| contract.propose_operator(call, next))
    };
    let accept = |court: &mut Court, caller: &str, from: u64| {
        court.act(caller, |contract, call, _| contract.accept_operator(call, from))
    };
    assert_eq!(propose(&mut court, "thief", next), Err(Revert::NotOperator { caller: address("thief") }));
    propose(&mut court, "operator", next).unwrap();
    propose(&mut court, "operator", Address::ZERO).unwrap();
    assert_eq!(accept(&mut court, "next", 900), Err(Revert::NotProposed { caller: next }), "it was taken back");
    propose(&mut court, "operator", next).unwrap();
    for first_block in [1 + ROTATION_DISTANCE, 1 << 39] {
        let wrong = Revert::WrongFirstBlock { first_block, next_number: 1 };
        assert_eq!(accept(&mut court, "next", first_block), Err(wrong));
    }
    let from = 2 + ROTATION_DISTANCE;
    accept(&mut court, "next", from).unwrap();
    assert_eq!(propose(&mut court, "operator", first), Err(Revert::RotationPending { first_block: from }));
    assert_eq!(court.game.next_operator(BlockNumber::FIRST), Some((number(from), next)));
    for block in 1..from {
        court.commit_valid(&[]);
        assert_eq!(court.contract.operator_of(number(block)), first);
    }
    assert_eq!(propose(&mut court, "operator", first), Err(Revert::NotOperator { caller: first }));
    propose(&mut court, "next", first).unwrap();
    for (block, operator) in [(1, first), (from - 1, first), (from, next), (from + 400, next)] {
        assert_eq!(court.contract.operator_of(number(block)), operator);
        assert_eq!(court.game.operator_of(number(block), first), operator);
    }
    let refused = court.act("operator", |contract, call, _| contract.submit_block(call, &empty_block(from)));
    assert_eq!(refused, Err(Revert::NotOperator { caller: first }), "the block is the next key's");
}
