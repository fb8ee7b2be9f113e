//! Standard exits on a real root chain: order, hints, hand-over, hostile receivers and tokens. §4, §5.

use alloy_primitives::U256;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::ETHER;
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, ether, eventually};
use plasmid_root_chain::calls;
use plasmid_root_chain::node::{Call, GasLimit};

/// Behaviours of the hostile token and receiver.
const HONEST: u64 = 0;
const REVERTS: u64 = 1;

#[tokio::test]
async fn a_deposit_that_no_block_covers_leaves_like_any_coin() {
    let world = World::bare().await;
    let alice = &world.people.alice;
    let deposit = world.deposit(alice, ETHER_UNIT).await;
    let record = world.start_exit(alice, &deposit).await;
    world.move_time_to(record.key).await;
    let before = world.balance(ETHER, alice.address()).await;
    world.process(ETHER, &[record]).await;
    let bonds = world.deployment.bonds;
    let gained = world.balance(ETHER, alice.address()).await - before;
    assert_eq!(gained, U256::from(ETHER_UNIT + bonds.exit_bond_wei - bonds.exit_bounty_wei));
}

#[tokio::test]
async fn two_exits_under_one_key_are_paid_in_any_order() {
    let world = World::honest().await;
    let alice = &world.people.alice;
    let deposit = world.deposit(alice, 2).await;
    world.covered(&deposit).await;
    let coins = world.pay(alice, &[deposit], vec![ether(alice, 1), ether(alice, 1)]).await;
    world.committed(&coins[0]).await;
    let (first, second) = (world.start_exit(alice, &coins[0]).await, world.start_exit(alice, &coins[1]).await);
    assert_eq!(first.key, second.key, "two young coins of one block");
    let keys = world.root.exit_keys(ETHER, 0, 10).await.expect("the root chain answers");
    assert_eq!(keys.iter().map(|key| (key.key, key.count)).collect::<Vec<_>>(), [(first.key, 2)]);
    world.move_time_to(first.key).await;
    let events = world.process(ETHER, &[second, first]).await;
    let paid = events.iter().filter(|event| matches!(event, RootEvent::ExitPaid { paid: 1, credited: false, .. }));
    assert_eq!(paid.count(), 2);
    assert!(world.root.exit_keys(ETHER, 0, 10).await.expect("the root chain answers").is_empty(), "the list drains");
}

#[tokio::test]
async fn an_exit_starts_though_its_key_was_listed_when_its_gas_was_estimated_and_is_another_now() {
    let world = World::bare().await;
    let alice = &world.people.alice;
    let (hers, more) = (world.deposit(alice, 1).await, world.deposit(alice, 1).await);
    // Three seconds share a key: the first exit and the estimate of the second fall into them.
    let granularity = PERIODS.granularity();
    eventually("a key begins", async || world.now().await.is_multiple_of(granularity).then_some(())).await;
    let first = world.start_exit(alice, &hers).await;
    let sender = world.sender(alice).await;
    let call = world.exit_call(&more, first.key).await;
    let gas = sender.gas_limit(&call).await.expect("the exit can be started");
    world.move_time(granularity).await;
    let second = world.started(&world.send(alice, &Call { gas: GasLimit::Exactly(gas), ..call }).await);
    assert!(second.key > first.key);
}

#[tokio::test]
async fn a_stale_hint_costs_gas_and_nothing_else() {
    let world = World::bare().await;
    let alice = &world.people.alice;
    let mut keys = Vec::new();
    for hint in [0, 1, u64::MAX, 12_345] {
        let deposit = world.deposit(alice, 1).await;
        let receipt = world.send(alice, &world.exit_call(&deposit, hint).await).await;
        keys.push(world.started(&receipt).key);
        world.move_time(10).await;
    }
    let listed = world.root.exit_keys(ETHER, 0, 10).await.expect("the root chain answers");
    assert_eq!(listed.iter().map(|key| key.key).collect::<Vec<_>>(), keys);
}

#[tokio::test]
async fn an_assigned_exit_pays_the_new_payee() {
    let world = World::bare().await;
    let (alice, carol) = (&world.people.alice, &world.people.carol);
    let deposit = world.deposit(alice, ETHER_UNIT).await;
    let record = world.start_exit(alice, &deposit).await;
    world.send(alice, &world.root.assign_exit(&record, carol.address())).await;
    world.try_send(alice, &world.root.assign_exit(&record, alice.address())).await.expect_err("it is carol's now");
    world.move_time_to(record.key).await;
    let before = world.balance(ETHER, carol.address()).await;
    world.process(ETHER, &[record]).await;
    let bonds = world.deployment.bonds;
    let gained = world.balance(ETHER, carol.address()).await - before;
    assert_eq!(gained, U256::from(ETHER_UNIT + bonds.exit_bond_wei - bonds.exit_bounty_wei));
}

#[tokio::test]
async fn a_hostile_receiver_is_credited_and_stops_nobody() {
    let world = World::bare().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let (hers, his) = (world.deposit(alice, ETHER_UNIT).await, world.deposit(bob, ETHER_UNIT).await);
    let (first, second) = (world.start_exit(alice, &hers).await, world.start_exit(bob, &his).await);
    let receiver = world.deploy_testing("HostileReceiver", &[REVERTS.into()]).await;
    world.send(alice, &world.root.assign_exit(&first, receiver)).await;
    world.move_time_to(second.key).await;
    let before = world.balance(ETHER, bob.address()).await;
    let events = world.process(ETHER, &[first, second]).await;
    let credited =
        |event: &&RootEvent| matches!(event, RootEvent::ExitPaid { credited: true, payee, .. } if *payee == receiver);
    assert_eq!(events.iter().filter(credited).count(), 1, "{events:?}");
    let bonds = world.deployment.bonds;
    let due = U256::from(ETHER_UNIT + bonds.exit_bond_wei - bonds.exit_bounty_wei);
    assert_eq!(world.root.claimable(receiver, ETHER).await.expect("the root chain answers"), due);
    assert_eq!(world.balance(ETHER, bob.address()).await - before, due);
}

#[tokio::test]
async fn a_token_that_fails_on_payment_is_claimed_later() {
    let world = World::bare().await;
    let alice = &world.people.alice;
    let token = world.deploy_testing("HostileToken", &[]).await;
    let deposit = world.deposit_token(alice, token, 1_000).await;
    let record = world.start_exit(alice, &deposit).await;
    world.move_time_to(record.key).await;
    let behave = async |behaviour: u64| {
        let call = calls::call(token, "behave(uint8)", &[behaviour.into()]).expect("a test token behaves as told");
        world.send(alice, &call).await;
    };
    behave(REVERTS).await;
    let events = world.process(token, &[record]).await;
    assert!(events.iter().any(|event| matches!(event, RootEvent::ExitPaid { credited: true, .. })), "{events:?}");
    world.try_send(alice, &world.root.claim(token, alice.address())).await.expect_err("the token still fails");
    behave(HONEST).await;
    world.send(alice, &world.root.claim(token, alice.address())).await;
    assert_eq!(world.balance(token, alice.address()).await, U256::from(1_000));
    world.try_send(alice, &world.root.claim(token, alice.address())).await.expect_err("nothing is left to claim");
}
