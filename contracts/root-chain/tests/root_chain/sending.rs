//! The sender: nonces, replacement, reorganisations, refusals.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::position::BlockNumber;
use plasmid_root_chain::calls::Submission;
use plasmid_root_chain::node::{Call, GasLimit};
use plasmid_root_chain::sender::{SendError, Sender, SenderSettings};
use serde_json::json;

use crate::anvil::{Anvil, account, address, sender_settings};

fn payment(amount: u64) -> Call {
    Call {
        to: Some(Address::repeat_byte(0x77)),
        data: vec![].into(),
        value_wei: U256::from(amount),
        gas: GasLimit::Estimated,
    }
}

async fn paid(anvil: &Anvil) -> u64 {
    anvil.node().balance(Address::ZERO, Address::repeat_byte(0x77)).await.unwrap().to()
}

#[tokio::test]
async fn calls_sent_at_once_have_nonces_of_their_own() {
    let anvil = Anvil::start();
    let sender = anvil.sender(1).await;
    let calls: Vec<_> = (0..8).map(|bit| payment(1 << bit)).collect();
    let [a, b, c, d, e, f, g, h] = &calls[..] else { unreachable!() };
    let all = tokio::join!(
        sender.send(a),
        sender.send(b),
        sender.send(c),
        sender.send(d),
        sender.send(e),
        sender.send(f),
        sender.send(g),
        sender.send(h),
    );
    let landed = [all.0, all.1, all.2, all.3, all.4, all.5, all.6, all.7];
    let hashes: BTreeSet<_> = landed.into_iter().map(|landed| landed.unwrap().transaction).collect();
    assert_eq!(hashes.len(), 8);
    assert_eq!(paid(&anvil).await, 255);
    assert_eq!(sender.next_nonce().await.unwrap(), 8);
}

#[tokio::test]
async fn a_nonce_that_falls_is_used_again() {
    let anvil = Anvil::start();
    let sender = anvil.sender(1).await;
    for amount in [1, 2, 4] {
        sender.send(&payment(amount)).await.unwrap();
    }
    anvil.reorganise(2).await;
    assert_eq!(sender.next_nonce().await.unwrap(), 1);
    sender.send(&payment(8)).await.unwrap();
    assert_eq!(paid(&anvil).await, 9);
}

#[tokio::test]
async fn a_transaction_dropped_by_a_reorganisation_is_sent_again_until_it_is_final() {
    let anvil = Anvil::start();
    let sender = anvil.sender(1).await;
    let call = payment(1);
    let upheaval = async {
        while paid(&anvil).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The sender sees it in a block first.
        tokio::time::sleep(Duration::from_millis(300)).await;
        anvil.mine(1).await;
        anvil.reorganise(2).await;
        assert_eq!(paid(&anvil).await, 0);
        while paid(&anvil).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anvil.mine(3).await;
    };
    let (landed, ()) = tokio::join!(sender.send_until_final(&call, 3), upheaval);
    let head = anvil.node().head().await.unwrap();
    assert_eq!(landed.unwrap().block.number + 3, head.at.number);
    assert_eq!(paid(&anvil).await, 1);
}

#[tokio::test]
async fn a_transaction_that_blocks_pass_over_is_replaced_by_a_dearer_one() {
    let anvil = Anvil::start();
    let sender = anvil.sender(1).await;
    anvil.control("evm_setAutomine", json!([false])).await;
    let fees = sender.fees().await.unwrap();
    let call = payment(1);
    let passing = async {
        // Blocks too small for any payment pass it over; then there is room again.
        anvil.control("evm_setBlockGasLimit", json!(["0x4e20"])).await;
        for _ in 0..7 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            anvil.mine(1).await;
        }
        anvil.control("evm_setBlockGasLimit", json!(["0x1c9c380"])).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        anvil.mine(1).await;
    };
    // The call is tried before there is no room for it.
    let (landed, ()) = tokio::join!(sender.send(&call), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        passing.await;
    });
    let landed = landed.unwrap();
    let nonce = sender.next_nonce().await.unwrap();
    let first = sender.sign(&call, nonce - 1, sender.gas_limit(&call).await.unwrap(), fees);
    assert_ne!(landed.transaction, first.hash);
    assert_eq!((nonce, paid(&anvil).await), (1, 1));
    assert!(landed.gas_price_wei > fees.max_priority_fee_wei);
    let raised = sender.raised(fees).unwrap();
    assert!(
        raised.max_fee_wei * 8 >= fees.max_fee_wei * 9
            && raised.max_priority_fee_wei * 8 >= fees.max_priority_fee_wei * 9
    );
}

#[tokio::test]
async fn what_another_process_left_in_the_pool_is_replaced() {
    let anvil = Anvil::start();
    anvil.control("evm_setAutomine", json!([false])).await;
    let (before, after) = (anvil.sender(1).await, anvil.sender(1).await);
    let left = payment(1);
    let fees = before.fees().await.unwrap();
    let left = before.sign(&left, 0, 21_000, before.raised(fees).unwrap());
    before.broadcast(&left).await.unwrap();
    before.broadcast(&left).await.unwrap();

    let call = payment(2);
    let (landed, ()) = tokio::join!(after.send(&call), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        anvil.mine(1).await;
    });
    landed.unwrap();
    assert_eq!(paid(&anvil).await, 2);
    let error = before.broadcast(&left).await.unwrap_err();
    assert!(matches!(error, SendError::NonceTaken { nonce: 0 }), "{error:?}");
}

#[tokio::test]
async fn a_taken_nonce_and_a_time_that_is_up_are_told() {
    let anvil = Anvil::start();
    anvil.control("evm_setAutomine", json!([false])).await;
    let settings = SenderSettings { give_up_after: Duration::from_millis(500), ..sender_settings() };
    let hasty = Sender::new(anvil.node(), account(1), settings).await.unwrap();
    let error = hasty.send(&payment(1)).await.unwrap_err();
    assert!(matches!(error, SendError::GivenUp { nonce: 0, .. }), "{error:?}");

    let (one, other) = (anvil.sender(2).await, anvil.sender(2).await);
    let (call, rival) = (payment(1), payment(2));
    let (outcome, ()) = tokio::join!(one.send(&call), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let fees = other.raised(other.raised(other.fees().await.unwrap()).unwrap()).unwrap();
        other.broadcast(&other.sign(&rival, 0, 21_000, fees)).await.unwrap();
        anvil.mine(1).await;
    });
    assert!(matches!(outcome, Err(SendError::NonceTaken { nonce: 0 })), "{outcome:?}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_contracts_words() {
    let anvil = Anvil::start();
    let (root_chain, _) = anvil.deploy().await;
    let sender = anvil.sender(1).await;
    let error = sender.send(&root_chain.deposit(Address::ZERO, 1)).await.unwrap_err();
    let SendError::Refused(revert) = error else { panic!("{error:?}") };
    assert_eq!((revert.name.as_str(), revert.args.as_str()), ("ZeroAddress", ""));
    let error = sender.send(&root_chain.claim(Address::ZERO, address(1))).await.unwrap_err();
    let SendError::Refused(revert) = error else { panic!("{error:?}") };
    assert_eq!(revert.to_string(), format!("NothingToClaim(account: {}, asset: {})", address(1), Address::ZERO));
}

#[tokio::test]
async fn a_failure_in_a_block_is_told_in_the_contracts_words() {
    let anvil = Anvil::start();
    let (root_chain, _) = anvil.deploy().await;
    let operator = anvil.sender(0).await;
    anvil.control("evm_setAutomine", json!([false])).await;
    let anchor = root_chain.node().head().await.unwrap();
    let not_after = anchor.timestamp + 100;
    let block = Submission {
        number: BlockNumber::FIRST,
        tx_root: B256::ZERO,
        utxo_root: B256::ZERO,
        tx_count: 0,
        deposit_count: 0,
        anchor: anchor.at,
        not_after,
    };
    anvil.control("evm_setNextBlockTimestamp", json!([not_after])).await;
    let call = root_chain.submit_block(&block);
    let (outcome, ()) = tokio::join!(operator.send(&call), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        anvil.control("evm_setNextBlockTimestamp", json!([not_after + 1])).await;
        anvil.mine(1).await;
    });
    let Err(SendError::Failed { revert: Some(revert), .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(revert.to_string(), format!("SubmittedTooLate(timestamp: {}, notAfter: {not_after})", not_after + 1));
}
