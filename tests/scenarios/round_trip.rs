//! A coin goes all the way round: deposited, paid on, committed, exited, paid out. And a thief gets nothing.

use alloy_primitives::{Address, U256};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::ETHER;
use plasmid_harness::people::{Coin, Person};
use plasmid_harness::world::{ETHER_UNIT, World, ether, eventually};

/// Alice pays Bob out of her deposit; Bob exits what he got and is paid.
async fn goes_round(world: &World, asset: Address, deposit: Coin) {
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    world.covered(&deposit).await;
    let paid = deposit.output.amount / 4;
    let outputs = vec![bob.gets(asset, paid), alice.gets(asset, deposit.output.amount - paid)];
    let coins = world.pay(alice, &[deposit], outputs).await;
    world.committed(&coins[0]).await;

    let record = world.start_exit(bob, &coins[0]).await;
    world.move_time_to(record.key).await;
    let before = world.balance(asset, bob.address()).await;
    let events = world.process(asset, &[record]).await;
    let expected =
        RootEvent::ExitPaid { output_id: record.output_id, payee: bob.address(), amount: paid, paid, credited: false };
    assert!(events.contains(&expected), "{events:?}");
    let bonds = world.deployment.bonds;
    let bond = if asset == ETHER { bonds.exit_bond_wei - bonds.exit_bounty_wei } else { 0 };
    assert_eq!(world.balance(asset, bob.address()).await - before, U256::from(paid + bond));
}

#[tokio::test]
async fn ether_goes_round() {
    let world = World::honest().await;
    let deposit = world.deposit(&world.people.alice, 4 * ETHER_UNIT).await;
    goes_round(&world, ETHER, deposit).await;
}

#[tokio::test]
async fn a_token_goes_round() {
    let world = World::honest().await;
    let token = world.deploy_testing("PermitToken", &[]).await;
    let deposit = world.deposit_token(&world.people.alice, token, 1_000).await;
    goes_round(&world, token, deposit).await;
}

/// Waits for a challenge of the coin's exit and returns who made it.
async fn challenged(world: &World, coin: &Coin) -> Option<Address> {
    let started = world.root.coin(coin.id).await.expect("the root chain answers");
    assert!(!started.record_hash.is_zero(), "the exit is pending");
    eventually("the exit is challenged", || async {
        world.root.coin(coin.id).await.ok()?.record_hash.is_zero().then_some(())
    })
    .await;
    let node = world.root.node();
    let range = plasmid_root_chain::node::LogRange::Numbers(0, node.head().await.ok()?.at.number);
    let logs = node.logs(world.deployment.contract, range).await.ok()?;
    logs.iter().find_map(|log| {
        match plasmid_root_chain::events::decode_event(world.deployment.contract, log).expect("our own events decode") {
            RootEvent::StandardExitChallenged { output_id, challenger, .. } if output_id == coin.id => Some(challenger),
            _ => None,
        }
    })
}

/// Alice spends a coin, and then exits it all the same.
async fn steals(world: &World, thief: &Person, coin: Coin) {
    let bond = world.deployment.bonds.exit_bond_wei;
    let challengers = [&world.people.watcher, &world.people.operator].map(Person::address);
    let mut before = Vec::new();
    for challenger in challengers {
        before.push(world.balance(ETHER, challenger).await);
    }
    world.start_exit(thief, &coin).await;
    let challenger = challenged(world, &coin).await.expect("somebody challenged");
    let index = challengers.iter().position(|&who| who == challenger).expect("one of the two services");
    let gained = world.balance(ETHER, challenger).await.checked_sub(before[index]);
    assert!(
        gained.is_some_and(|gained| gained > U256::ZERO && gained < U256::from(bond)),
        "the bond pays for the challenge, and more: {gained:?}"
    );
}

#[tokio::test]
async fn exit_of_a_spent_output_is_challenged_by_itself() {
    let world = World::honest().await;
    let (mallory, bob) = (&world.people.mallory, &world.people.bob);
    let deposit = world.deposit(mallory, ETHER_UNIT).await;
    world.covered(&deposit).await;
    let coins = world.pay(mallory, &[deposit], vec![ether(mallory, ETHER_UNIT)]).await;
    let spent = coins[0];
    let bobs = world.pay(mallory, &[spent], vec![ether(bob, ETHER_UNIT)]).await;
    world.committed(&bobs[0]).await;
    world.settled().await;

    steals(&world, mallory, spent).await;
    steals(&world, mallory, deposit).await;
}

#[tokio::test]
async fn a_watcher_alone_challenges_the_exit_of_a_spent_output() {
    let mut world = World::honest().await;
    let (mallory, bob) = (world.people.mallory.clone(), world.people.bob.clone());
    let deposit = world.deposit(&mallory, ETHER_UNIT).await;
    world.covered(&deposit).await;
    let bobs = world.pay(&mallory, &[deposit], vec![ether(&bob, ETHER_UNIT)]).await;
    world.committed(&bobs[0]).await;
    world.settled().await;
    world.kill_operator();

    world.start_exit(&mallory, &deposit).await;
    assert_eq!(challenged(&world, &deposit).await, Some(world.people.watcher.address()));
}
