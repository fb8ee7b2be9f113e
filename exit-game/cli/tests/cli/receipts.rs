//! What became of the operator's promises. The promised block is committed in time, late, with another leaf, or not at all.

use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_harness::anvil::move_time;
use serde_json::{Value, json};

use crate::child_chain;
use crate::operator::{StubOperator, placed};
use crate::root_chain::node;
use crate::sends::{accepting, alice_with_a_coin};
use crate::user::{Net, User, address};

const OPERATOR: usize = 0;
const BOB: usize = 4;

/// Alice has paid bob and holds a receipt for block 1, due in ten seconds.
async fn alice_with_a_receipt() -> (Net, StubOperator, User) {
    let (net, operator, alice) = alice_with_a_coin().await;
    operator.set(accepting(&net, OPERATOR, 10).await);
    assert_eq!(alice.run(&["send", &address(BOB).to_string(), "0.4ether"]).code, 0);
    assert_eq!(state_of(&alice), "open");
    (net, operator, alice)
}

fn state_of(user: &User) -> String {
    let row = user.run(&["receipt", "list", "--json"]).only_item();
    let state = row["state"].as_str().unwrap().to_owned();
    assert_eq!(row["reason"].is_string(), !["open", "kept"].contains(&state.as_str()), "{row}");
    state
}

fn paid(operator: &StubOperator) -> PlacedTransaction {
    placed(&operator.submitted()[0], Position::of_deposit(0).unwrap())
}

/// Commits block 1 with these leaves, and serves its body.
async fn commit(net: &Net, operator: &StubOperator, leaves: &[PlacedTransaction]) {
    operator.serve_body(child_chain::body_of(leaves));
    child_chain::commit(net, BlockNumber::FIRST, leaves).await;
}

#[tokio::test]
async fn a_promise_is_kept_by_the_leaf_in_its_place_in_time() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    commit(&net, &operator, &[paid(&operator)]).await;
    assert_eq!(state_of(&alice), "kept");
    move_time(node(&net).rpc(), 700).await;
    assert_eq!(state_of(&alice), "kept", "for good");
    operator.serve_body(vec![0, 0]);
    assert_eq!(state_of(&alice), "unknown", "a body that is not the block's shows nothing");
}

#[tokio::test]
async fn a_block_that_comes_late_makes_the_promise_late() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    move_time(node(&net).rpc(), 30).await;
    assert_eq!(state_of(&alice), "late", "not committed, F (75 s) not over");
    commit(&net, &operator, &[paid(&operator)]).await;
    assert_eq!(state_of(&alice), "late");
    let shown = alice.run(&["receipt", "list"]);
    assert!(shown.stdout.contains("s after its time"), "{}", shown.stdout);
}

#[tokio::test]
async fn a_block_that_does_not_come_breaks_the_promise_and_does_not_mend_it_later() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    move_time(node(&net).rpc(), 100).await;
    assert_eq!(state_of(&alice), "broken");
    commit(&net, &operator, &[paid(&operator)]).await;
    assert_eq!(state_of(&alice), "broken");
}

#[tokio::test]
async fn another_leaf_in_the_promised_place_breaks_the_promise() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    let mut other = paid(&operator);
    other.witness.placement = vec![Position::of_deposit(1).unwrap()];
    commit(&net, &operator, &[other]).await;
    assert_eq!(state_of(&alice), "broken");
}

/// From now on a root block comes every second, whether or not anybody sends a transaction.
async fn root_blocks_come(net: &Net) {
    node(net).rpc().write::<Value>("evm_setIntervalMining", json!([1])).await.unwrap();
}

fn wei(report: &Value, field: &str) -> u128 {
    report[field].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_receipt_that_is_kept_or_may_still_be_is_not_proven() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    let tx = alice.run(&["receipt", "list", "--json"]).only_item()["txHash"].as_str().unwrap().to_owned();
    let prove = |args: &[&str]| alice.run(&[&["receipt", "prove", &tx, "--json"], args].concat()).json();
    let open = prove(&[]);
    assert_eq!((&open["state"], &open["transaction"], &open["until"]), (&json!("open"), &json!(null), &json!(null)));
    move_time(node(&net).rpc(), 30).await;
    assert_eq!(prove(&["--dry-run"])["state"], "late");
    commit(&net, &operator, &[paid(&operator)]).await;
    assert_eq!(prove(&[])["state"], "late", "and kept after all");
    let unknown = alice.run(&["receipt", "prove", &format!("0x{}", "11".repeat(32))]);
    assert_eq!((unknown.code, unknown.stderr.contains("has no receipt")), (1, true), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_receipt_broken_by_another_leaf_is_announced_and_proven_and_the_account_has_half_of_the_slash() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    let tx = alice.run(&["receipt", "list", "--json"]).only_item()["txHash"].as_str().unwrap().to_owned();
    let mut other = paid(&operator);
    other.witness.placement = vec![Position::of_deposit(1).unwrap()];
    commit(&net, &operator, &[other]).await;
    let dry = alice.run(&["receipt", "prove", &tx, "--dry-run", "--json"]).json();
    assert_eq!(
        (&dry["state"], &dry["announcedIn"], &dry["transaction"]),
        (&json!("broken"), &json!(null), &json!(null))
    );
    assert!(dry["until"].is_u64() && dry["gas"].is_u64(), "{dry}");

    root_blocks_come(&net).await;
    let before = alice.run(&["operator", "show", "--json"]).json();
    let proven = alice.run(&["receipt", "prove", &tx, "--json"]).json();
    assert!(proven["transaction"].is_string() && proven["announcedIn"].is_u64(), "{proven}");
    assert_eq!(wei(&proven, "slashed"), wei(&before, "receiptSlash"));
    assert_eq!(wei(&proven, "reward"), wei(&before, "receiptSlash") / 2);
    let after = alice.run(&["operator", "show", "--json"]).json();
    assert_eq!(wei(&after, "receiptPart"), wei(&before, "receiptPart") - wei(&before, "receiptSlash"));
    let again = alice.run(&["receipt", "prove", &tx]);
    assert_eq!((again.code, again.stderr.contains("was slashed")), (3, true), "{}", again.stderr);
}

#[tokio::test]
async fn a_proof_that_was_announced_and_then_interrupted_goes_on_with_its_announcement() {
    let (net, _operator, alice) = alice_with_a_receipt().await;
    let tx = alice.run(&["receipt", "list", "--json"]).only_item()["txHash"].as_str().unwrap().to_owned();
    move_time(node(&net).rpc(), 100).await;
    // No root block comes after the announcement: the command waits, and is killed.
    let interrupted = alice.start(&["receipt", "prove", &tx]);
    let announced =
        |alice: &User| alice.run(&["receipt", "prove", &tx, "--dry-run", "--json"]).json()["announcedIn"].as_u64();
    let announced_in = loop {
        if let Some(announced_in) = announced(&alice) {
            break announced_in;
        }
    };
    drop(interrupted);
    root_blocks_come(&net).await;
    let proven = alice.run(&["receipt", "prove", &tx, "--json"]).json();
    assert_eq!((&proven["announcedIn"], &proven["state"]), (&json!(announced_in), &json!("broken")));
    assert_eq!(wei(&proven, "reward"), wei(&proven, "slashed") / 2);
}

#[tokio::test]
async fn a_receipt_that_was_broken_too_long_ago_is_not_proven() {
    let (net, _operator, alice) = alice_with_a_receipt().await;
    let tx = alice.run(&["receipt", "list", "--json"]).only_item()["txHash"].as_str().unwrap().to_owned();
    // Ten seconds to its time, F, and a minimum exit period.
    move_time(node(&net).rpc(), 10 + 75 + 600 + 10).await;
    let late = alice.run(&["receipt", "prove", &tx]);
    assert_eq!((late.code, late.stderr.contains("could be proven until")), (3, true), "{}", late.stderr);
}

#[tokio::test]
async fn a_block_that_ends_before_the_promised_place_breaks_the_promise_whoever_is_asked() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    commit(&net, &operator, &[]).await;
    assert_eq!(state_of(&alice), "broken");
    let alone = User { environment: alice.environment.clone(), folder: alice.folder };
    let alone = alone.with("PLASMID_OPERATOR_URL", "http://127.0.0.1:1");
    assert_eq!(state_of(&alone), "broken", "the header alone shows it");
}
