//! What became of the operator's promises. The promised block is committed in time, late, with another leaf, or not at all.

use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_harness::anvil::move_time;

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

#[tokio::test]
async fn a_block_that_ends_before_the_promised_place_breaks_the_promise_whoever_is_asked() {
    let (net, operator, alice) = alice_with_a_receipt().await;
    commit(&net, &operator, &[]).await;
    assert_eq!(state_of(&alice), "broken");
    let alone = User { environment: alice.environment.clone(), folder: alice.folder };
    let alone = alone.with("PLASMID_OPERATOR_URL", "http://127.0.0.1:1");
    assert_eq!(state_of(&alone), "broken", "the header alone shows it");
}
