//! Broken receipts cost the operator a slash, and halt nothing. §1.10, §3.

use alloy_primitives::{Address, B256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{Revert, ShownReceipt};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::tx_tree;

use crate::court::{Court, FAULT_SLASH, MEP, PERIODS, RECEIPT_SLASH, address, evidence_of, gets, key_of, served};

const REWARD: u128 = RECEIPT_SLASH / 2;

fn sign(court: &Court, signer: &str, receipt: &Receipt) -> Vec<u8> {
    Signature::sign(&key_of(signer), receipt.signing_hash(court.domain())).encode().to_vec()
}

/// A receipt for three leaves from index 1 on of block 1.
fn promise(by: u64) -> (Receipt, [B256; 3]) {
    let leaves = [1, 2, 3].map(B256::repeat_byte);
    (Receipt { number: BlockNumber::FIRST, first: 1, count: 3, root: tx_tree::root(&leaves), by }, leaves)
}

fn committed(court: &mut Court) -> (Header, Vec<B256>) {
    let coin = court.deposit("alice", 1);
    let payment = court.sign("alice", &[coin], vec![gets("bob", 1)]);
    court.commit(vec![served(&payment), None, served(&payment)], 0);
    let block = &court.blocks[0];
    (block.header, block.leaves.iter().map(|leaf| leaf.leaf).collect())
}

/// That the leaf at `index` is another.
fn broken(index: u32, promised: &[B256], held: &[B256]) -> BrokenPromise {
    let (offset, at) = (index as usize - 1, index as usize);
    BrokenPromise {
        index,
        promised: promised[offset],
        promised_path: tx_tree::path(promised, offset).unwrap(),
        held: held.get(at).copied().unwrap_or_default(),
        held_path: tx_tree::path(held, at).unwrap_or_default(),
    }
}

#[test]
fn a_leaf_that_the_block_does_not_hold_breaks_its_receipt() {
    let mut court = Court::new();
    let (receipt, promised) = promise(court.now + 5);
    let signature = sign(&court, "operator", &receipt);
    let (header, held) = committed(&mut court);
    // Index 1 is empty, index 3 is beyond the block.
    for index in [1, 3] {
        let mut court = court.clone();
        let broken = broken(index, &promised, &held);
        let shown = ShownReceipt { receipt: &receipt, signature: &signature, header: Some(&header), broken: &broken };
        court.announce("alice", "alice", evidence_of(&shown)).unwrap();
        court.wait(2);
        let events = court.prove_receipt("alice", &shown).unwrap();
        assert!(matches!(events[..], [RootEvent::ReceiptSlashed { .. }, RootEvent::ReceiptRewarded { .. }]));
        assert_eq!(court.received("alice"), REWARD);
        assert_eq!(court.game.operator_bond(), (FAULT_SLASH, RECEIPT_SLASH));
        assert_eq!(court.game.halt(), None, "the chain goes on");
        let again = Err(Revert::AlreadySlashed { number: receipt.number });
        assert_eq!(court.prove_receipt("bob", &shown), again, "once for all receipts of a block");
    }
}

#[test]
fn a_kept_receipt_is_not_broken() {
    let mut court = Court::new();
    let (header, held) = committed(&mut court);
    let by = header.timestamp - PERIODS.freeze_delay();
    let receipt = Receipt { number: header.number, first: 0, count: 3, root: tx_tree::root(&held), by };
    let signature = sign(&court, "operator", &receipt);
    let kept = |index: usize, promised: B256| BrokenPromise {
        index: index as u32,
        promised,
        promised_path: tx_tree::path(&held, index).unwrap(),
        held: held[index],
        held_path: tx_tree::path(&held, index).unwrap(),
    };
    let lies = [kept(0, held[0]), kept(2, held[2]), kept(0, held[2]), BrokenPromise::NONE];
    let outside = BrokenPromise { index: 3, ..BrokenPromise::NONE };
    for broken in lies.iter().chain([&outside]) {
        let shown = ShownReceipt { receipt: &receipt, signature: &signature, header: Some(&header), broken };
        assert_eq!(court.prove_receipt("alice", &shown), Err(Revert::NotBroken));
    }
    let broken = BrokenPromise::NONE;
    let uncommitted = ShownReceipt { receipt: &receipt, signature: &signature, header: None, broken: &broken };
    assert_eq!(court.prove_receipt("alice", &uncommitted), Err(Revert::NotBroken));
    let later = ShownReceipt { header: Some(&Header { timestamp: header.timestamp + 1, ..header }), ..uncommitted };
    assert_eq!(court.prove_receipt("alice", &later), Err(Revert::UnknownHeader { number: header.number }));
}

#[test]
fn a_block_that_comes_late_or_never_breaks_its_receipts_within_a_period() {
    let mut court = Court::new();
    let (receipt, _) = promise(court.now);
    let signature = sign(&court, "operator", &receipt);
    let latest = receipt.by + PERIODS.freeze_delay();
    let broken = BrokenPromise::NONE;
    let never = ShownReceipt { receipt: &receipt, signature: &signature, header: None, broken: &broken };
    court.wait_until(latest);
    assert_eq!(court.prove_receipt("alice", &never), Err(Revert::NotBroken));
    court.wait_until(latest + 1);
    court.clone().prove_receipt("alice", &never).unwrap();

    let (header, _) = committed(&mut court);
    let late = ShownReceipt { header: Some(&header), ..never };
    court.wait_until(latest + MEP - 1);
    court.clone().prove_receipt("alice", &late).unwrap();
    court.wait_until(latest + MEP);
    assert_eq!(court.prove_receipt("alice", &late), Err(Revert::NotBroken), "late is no breach any more");
    court.wait_until(header.timestamp + 2 * MEP);
    assert_eq!(court.prove_receipt("alice", &late), Err(Revert::TooLateToProve { until: header.timestamp + 2 * MEP }));
}

#[test]
fn only_the_operators_promises_count() {
    let mut court = Court::new();
    let (receipt, _) = promise(court.now);
    let broken = BrokenPromise::NONE;
    for (receipt, reason) in [
        (Receipt { count: 0, ..receipt }, Revert::NotAPromise),
        (Receipt { count: 1 << 20, ..receipt }, Revert::NotAPromise),
    ] {
        let signature = sign(&court, "operator", &receipt);
        let shown = ShownReceipt { receipt: &receipt, signature: &signature, header: None, broken: &broken };
        assert_eq!(court.prove_receipt("alice", &shown), Err(reason));
    }
    let operator = address("operator");
    let forged = sign(&court, "thief", &receipt);
    let shown = ShownReceipt { receipt: &receipt, signature: &forged, header: None, broken: &broken };
    let not_signed = Revert::NotSignedByOperator { signer: address("thief"), operator };
    assert_eq!(court.prove_receipt("thief", &shown), Err(not_signed));
    let short = ShownReceipt { signature: &forged[..63], ..shown };
    let nobody = Revert::NotSignedByOperator { signer: Address::ZERO, operator };
    assert_eq!(court.prove_receipt("thief", &short), Err(nobody));
}
