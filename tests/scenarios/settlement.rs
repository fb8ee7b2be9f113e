//! What the last good block's tree holds is withdrawn in the end, one call a coin, by whoever owns it. §8.

use std::slice;

use alloy_primitives::U256;
use plasmid_exit_game::exit::in_flight::Piece;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::BlockNumber;
use plasmid_harness::anvil::endow;
use plasmid_harness::cheat::{CheatingOperator, Serving, made};
use plasmid_harness::ending::{Made, made_by_deposit, made_by_transaction};
use plasmid_harness::people::{Coin, People, Person, Signed};
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether};
use plasmid_root_chain::calls::InputProof;

/// How many own a coin, each of them one: ten are paid by each of ten transactions.
const OWNERS: u32 = 100;
const PAID_AT_ONCE: usize = 10;

/// Commits a block of these transactions in which the thief makes ether of nothing, and waits for what comes of it.
async fn halt(
    world: &World,
    cheat: &mut CheatingOperator,
    thief: &Person,
    coin: Coin,
    beside: &[Signed],
) -> BlockNumber {
    let minting = thief.sign(&world.domain(), &[coin], vec![ether(thief, 1_000 * ETHER_UNIT)]);
    let bad = cheat.commit(&[beside, slice::from_ref(&minting)].concat(), Serving::Served).await;
    world.until_halted(bad).await;
    bad
}

#[tokio::test]
async fn a_hundred_owners_withdraw_after_a_halt_with_one_call_each() {
    let (world, mut cheat) = World::cheated().await;
    let People { alice, mallory, .. } = &world.people;
    let crowd: Vec<Person> = (0..OWNERS).map(Person::of_crowd).collect();
    let alices = world.deposit(alice, u128::from(OWNERS) * ETHER_UNIT).await;
    let mallorys = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[alices, mallorys].map(|coin| deposit_of(&coin)));
    let share = ether(alice, PAID_AT_ONCE as u128 * ETHER_UNIT);
    let split = alice.sign(&world.domain(), &[alices], vec![share; crowd.len() / PAID_AT_ONCE]);
    let shares = made(cheat.next_place(0), &split.placed());
    cheat.commit(&[split], Serving::Served).await;
    let pay = |(share, owners): (&Coin, &[Person])| {
        alice.sign(&world.domain(), &[*share], owners.iter().map(|owner| ether(owner, ETHER_UNIT)).collect())
    };
    let payments: Vec<Signed> = shares.iter().zip(crowd.chunks(PAID_AT_ONCE)).map(pay).collect();
    let good = cheat.commit(&payments, Serving::Served).await;
    halt(&world, &mut cheat, mallory, mallorys, &[]).await;

    let mut coins: Vec<Made> = vec![made_by_deposit(&mallorys)];
    for (index, payment) in (0..).zip(&payments) {
        let inclusion = cheat.inclusion(good, index);
        coins.extend((0..PAID_AT_ONCE as u8).map(|output| made_by_transaction(payment, output, inclusion.clone())));
    }
    let owners: Vec<&Person> = [mallory].into_iter().chain(&crowd).collect();
    for owner in &crowd {
        endow(world.root.node().rpc(), owner.address(), ETHER_UNIT).await;
    }
    world.move_time_to(PERIODS.last_key_before_settlement(world.ended_at().await)).await;
    let early = world.withdrawals(good, &coins).await;
    assert_eq!(world.refusal(owners[1], &early[1]).await, "NotYetSettling", "exits come first");
    world.until_settling().await;
    let calls = world.withdrawals(good, &coins).await;
    assert_eq!(calls, early, "what is shown of a tree does not change");
    assert_eq!(world.refusal(mallory, &calls[1]).await, "NotPayee");

    world.send_at_once(owners.iter().copied().zip(calls.iter().cloned())).await;
    let books = world.books().await;
    for (owner, call) in owners.iter().zip(&calls) {
        assert_eq!(books.paid(owner, ETHER), ETHER_UNIT);
        assert_eq!(world.refusal(owner, call).await, "AlreadySettled");
    }
    for owner in &crowd {
        assert_eq!(world.ether_beside_gas(owner).await, U256::from(2 * ETHER_UNIT), "its one coin, and what it had");
    }
    assert_eq!(
        world.root.asset(ETHER).await.expect("the root chain answers").owed,
        0,
        "all that was deposited is paid"
    );
}

#[tokio::test]
async fn a_payment_in_a_void_block_leaves_first_and_its_input_is_not_withdrawn() {
    let (world, mut cheat) = World::cheated().await;
    let People { alice, bob, carol, mallory, .. } = &world.people;
    let alices = world.deposit(alice, 2 * ETHER_UNIT).await;
    let carols = world.deposit(carol, ETHER_UNIT).await;
    let mallorys = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[alices, carols, mallorys].map(|coin| deposit_of(&coin)));
    let good = cheat.commit(&[], Serving::Served).await;
    let payment = carol.sign(&world.domain(), &[carols], vec![ether(bob, ETHER_UNIT)]);
    halt(&world, &mut cheat, mallory, mallorys, slice::from_ref(&payment)).await;
    let started = world.start_in_flight(bob, &payment, &[InputProof::Deposit(deposit_of(&carols))]).await;
    world.piggyback(bob, &payment, &[Piece::Output(0)]).await;
    assert!(started.key <= PERIODS.last_key_before_settlement(world.ended_at().await), "bob is in time");

    world.until_settling().await;
    let calls = world.withdrawals(good, &[alices, carols, mallorys].map(|coin| made_by_deposit(&coin))).await;
    let [alices_call, carols_call, mallorys_call] = &calls[..] else { panic!("a call for each coin") };
    assert_eq!(world.refusal(carol, carols_call).await, "ExitsPending");
    assert_eq!(world.refusal(alice, alices_call).await, "ExitsPending", "nobody goes before a key that is older");
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(bob, &payment).await;
    assert_eq!(world.refusal(carol, carols_call).await, "AlreadySettled", "she has paid bob with it");
    world.send(alice, alices_call).await;
    world.send(mallory, mallorys_call).await;
    let books = world.books().await;
    let paid = [alice, bob, carol, mallory].map(|person| books.paid(person, ETHER));
    assert_eq!(paid, [2 * ETHER_UNIT, ETHER_UNIT, 0, ETHER_UNIT]);
}

#[tokio::test]
async fn who_bought_an_exit_withdraws_its_coin_and_the_exit_returns_the_bond() {
    let (world, mut cheat) = World::cheated().await;
    let People { alice, carol, mallory, .. } = &world.people;
    let alices = world.deposit(alice, 2 * ETHER_UNIT).await;
    let mallorys = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[alices, mallorys].map(|coin| deposit_of(&coin)));
    let good = cheat.commit(&[], Serving::Served).await;
    halt(&world, &mut cheat, mallory, mallorys, &[]).await;
    let last_key = PERIODS.last_key_before_settlement(world.ended_at().await);
    world.move_time_to(last_key).await;
    let exit = world.start_exit(alice, &alices).await;
    world.send(alice, &world.root.assign_exit(&exit, carol.address())).await;
    assert!(exit.key > last_key, "too late to go before the settlement");

    world.until_settling().await;
    let call = world.withdrawals(good, &[made_by_deposit(&alices)]).await.remove(0);
    assert_eq!(world.refusal(alice, &call).await, "NotPayee", "she has sold it");
    let before = world.ether_beside_gas(carol).await;
    world.send(carol, &call).await;
    world.move_time_to(exit.key).await;
    let events = world.process(ETHER, &[exit]).await;
    let returned = RootEvent::ExitReturned { output_id: alices.id, payee: carol.address() };
    assert!(events.contains(&returned), "its turn has come, and it pays nothing: {events:?}");
    let bonds = world.deployment.bonds;
    let gained = 2 * ETHER_UNIT + bonds.exit_bond_wei - bonds.exit_bounty_wei;
    assert_eq!(world.ether_beside_gas(carol).await - before, U256::from(gained));
    let books = world.books().await;
    assert_eq!((books.paid(alice, ETHER), books.paid(carol, ETHER)), (0, 2 * ETHER_UNIT));
}

#[tokio::test]
async fn after_the_sunset_everybody_withdraws_without_the_operator_who_gets_the_bond_back() {
    let mut world = World::honest().await;
    let People { operator, alice, bob, carol, .. } = People::new();
    let alices = world.deposit(&alice, 4 * ETHER_UNIT).await;
    world.covered(&alices).await;
    let coins = world.pay(&alice, &[alices], vec![ether(&bob, ETHER_UNIT), ether(&alice, 3 * ETHER_UNIT)]).await;
    world.committed(&coins[1]).await;
    world.settled().await;
    world.kill_operator();
    world.deposit(&carol, 2 * ETHER_UNIT).await;
    world.move_time(PERIODS.sunset + 1).await;
    world.send(&alice, &world.root.close_chain()).await;
    world.until_settling().await;

    for (person, amount) in [(&alice, 3), (&bob, 1), (&carol, 2)] {
        let report = world.command(person, &["settle"]);
        let paid = (amount * ETHER_UNIT).to_string();
        assert_eq!(report["items"][0]["paid"], *paid, "{report}");
        assert_eq!(report["items"].as_array().map(Vec::len), Some(1), "{report}");
    }
    let (before, bond) = (world.ether_beside_gas(&operator).await, world.operator_bond().await);
    world.send(&operator, &world.root.withdraw_bond(operator.address())).await;
    assert_eq!(world.ether_beside_gas(&operator).await - before, bond);
    let books = world.books().await;
    let paid = [&alice, &bob, &carol].map(|person| books.paid(person, ETHER));
    assert_eq!(paid, [3 * ETHER_UNIT, ETHER_UNIT, 2 * ETHER_UNIT]);
    assert_eq!(world.operator_bond().await + world.balance(ETHER, world.deployment.contract).await, U256::ZERO);
}
