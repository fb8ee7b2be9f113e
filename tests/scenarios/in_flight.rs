//! Payments of honest people that leave in flight, because nobody knows whether a block has them. §6, §7.

use alloy_primitives::U256;
use plasmid_exit_game::exit::in_flight::Piece;
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_harness::anvil::reorganise;
use plasmid_harness::cheat::{Serving, made};
use plasmid_harness::in_flight::pieces;
use plasmid_harness::people::People;
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether};
use plasmid_node::wire::{CoinState, Verdict};
use plasmid_root_chain::calls::InputProof;

#[tokio::test]
async fn a_payment_in_a_withheld_block_leaves_in_flight_and_is_paid_before_what_the_block_mints() {
    let People { alice, bob, mallory, processor, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(&[alice.clone(), bob.clone()]).await;
    let alices = world.deposit(&alice, 10 * ETHER_UNIT).await;
    let mallorys = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&alices), deposit_of(&mallorys)]);
    let parent = alice.sign(&world.domain(), &[alices], vec![ether(&alice, 10 * ETHER_UNIT)]);
    let place = cheat.next_place(0);
    let good = cheat.commit(std::slice::from_ref(&parent), Serving::Served).await;
    assert_eq!(world.verdict(good).await, Verdict::Valid);
    let coin = made(place, &parent.placed())[0];

    // The operator hides alice's payment in a block that mints eleven ether out of one.
    let outputs = vec![ether(&bob, 6 * ETHER_UNIT), ether(&alice, 4 * ETHER_UNIT)];
    let payment = alice.sign(&world.domain(), &[coin], outputs);
    let minting = mallory.sign(&world.domain(), &[mallorys], vec![ether(&mallory, 11 * ETHER_UNIT)]);
    let bad = cheat.commit(&[payment.clone(), minting.clone()], Serving::Withheld).await;
    let started = world.start_in_flight(&alice, &payment, &[cheat.made_by(&parent, good, 0, 0)]).await;
    let minted = world.start_exit_by(&mallory, &minting, 0, &cheat.inclusion(bad, 1)).await;
    assert!(started.key < minted.key, "older coins leave first");

    // Everything else is their watcher's: it claims what is theirs, has them paid, and closes the exit.
    world.move_time(PERIODS.grace() + 5).await;
    assert_eq!(world.verdict(bad).await, Verdict::Withheld);
    let theirs = pieces(&[Piece::Input(0), Piece::Output(0), Piece::Output(1)]);
    world.until_in_flight(&payment, "all is claimed", |word| word.live_pieces == theirs).await;
    world.move_time_to(started.key).await;
    world.until_closed(&payment).await;
    world.move_time_to(minted.key).await;
    world.send(&processor, &world.root.process_exits(ETHER, &[minted], &[])).await;
    let books = world.books().await;
    assert_eq!(books.paid(&alice, ETHER), 4 * ETHER_UNIT);
    assert_eq!(books.paid(&bob, ETHER), 6 * ETHER_UNIT);
    assert_eq!(books.paid(&mallory, ETHER), ETHER_UNIT, "and the thief gets what is left");
}

/// Alice's payment stands in a block after a withheld one; her watcher has trouble of its own or not.
async fn a_payment_leaves_without_its_owner(is_shaken: bool) {
    let People { alice, bob, .. } = People::new();
    let (mut world, mut cheat) = World::cheated_guarding(std::slice::from_ref(&alice)).await;
    if is_shaken {
        world.leave_alone();
    }
    let (hers, his) = (world.deposit(&alice, 5 * ETHER_UNIT).await, world.deposit(&bob, 2 * ETHER_UNIT).await);
    cheat.cover(&[deposit_of(&hers), deposit_of(&his)]);
    let hidden = bob.sign(&world.domain(), &[his], vec![ether(&bob, 2 * ETHER_UNIT)]);
    let bad = cheat.commit(&[hidden], Serving::Withheld).await;
    let payment =
        alice.sign(&world.domain(), &[hers], vec![ether(&bob, 3 * ETHER_UNIT), ether(&alice, 2 * ETHER_UNIT)]);
    cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    world.move_time(PERIODS.grace() + 5).await;
    assert_eq!(world.verdict(bad).await, Verdict::Withheld);
    let hers = pieces(&[Piece::Input(0), Piece::Output(1)]);
    let claimed = "alice's are claimed";
    let mut started = world.until_in_flight(&payment, claimed, |word| word.live_pieces == hers).await;
    if is_shaken {
        world.kill_watcher();
        reorganise(world.root.node().rpc(), 2).await;
        let word = world.root.in_flight_exit(payment.body.hash()).await.expect("the root chain answers");
        assert!(word.is_none_or(|word| word.live_pieces != hers), "the reorganisation took the claim away");
        world.start_watcher(&cheat.url());
        started = world.until_in_flight(&payment, claimed, |word| word.live_pieces == hers).await;
    }
    world.piggyback(&bob, &payment, &[Piece::Output(0)]).await;
    world.move_time_to(started.key).await;
    world.until_in_flight(&payment, "alice is paid", |word| word.live_pieces == pieces(&[Piece::Output(0)])).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.until_closed(&payment).await;
    let books = world.books().await;
    assert_eq!(books.paid(&alice, ETHER), 2 * ETHER_UNIT);
    assert_eq!(books.paid(&bob, ETHER), 3 * ETHER_UNIT);
}

#[tokio::test]
async fn a_payment_after_a_withheld_block_leaves_without_its_owner() {
    a_payment_leaves_without_its_owner(false).await;
}

#[tokio::test]
async fn a_payment_leaves_though_its_owners_watcher_is_killed_and_the_root_chain_reorganised() {
    a_payment_leaves_without_its_owner(true).await;
}

#[tokio::test]
async fn a_payer_whose_hidden_payment_ends_the_standard_exit_of_the_coin_leaves_in_flight() {
    let People { alice, bob, mallory, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(&[alice.clone(), bob.clone()]).await;
    let coin = world.deposit(&alice, 10 * ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let outputs = vec![ether(&bob, 6 * ETHER_UNIT), ether(&alice, 4 * ETHER_UNIT)];
    let payment = alice.sign(&world.domain(), &[coin], outputs);
    let bad = cheat.commit(std::slice::from_ref(&payment), Serving::Withheld).await;
    world.move_time(PERIODS.grace() + 5).await;
    assert_eq!(world.verdict(bad).await, Verdict::Withheld);
    // The watcher cannot know what alice signed, until the operator's friend shows it.
    let exit = world.until_exiting(coin.id).await;
    let challenge = world.root.challenge_standard_exit(&exit, &payment.body.encode(), &payment.signature);
    world.send(&mallory, &challenge).await;
    let theirs = pieces(&[Piece::Input(0), Piece::Output(0), Piece::Output(1)]);
    let started = world.until_in_flight(&payment, "all is claimed", |word| word.live_pieces == theirs).await;
    world.move_time_to(started.key).await;
    world.until_closed(&payment).await;
    let books = world.books().await;
    assert_eq!((books.paid(&alice, ETHER), books.paid(&bob, ETHER)), (4 * ETHER_UNIT, 6 * ETHER_UNIT));
}

#[tokio::test]
async fn an_honest_operator_accepts_the_payment_that_an_exit_shows() {
    let world = World::honest().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let coin = world.deposit(alice, ETHER_UNIT).await;
    world.covered(&coin).await;
    let payment = alice.sign(&world.domain(), &[coin], vec![ether(bob, ETHER_UNIT)]);
    let started = world.start_in_flight(alice, &payment, &[InputProof::Deposit(deposit_of(&coin))]).await;
    let paid = OutputId::of_output(payment.body.hash(), 0);
    world
        .until("the payment is committed", || async {
            let state = world.operator().coin(paid).await.ok()?.state;
            matches!(state, CoinState::Committed | CoinState::Final).then_some(())
        })
        .await;
    world.move_time_to(PERIODS.end_of_first_half(started.start)).await;
    world.close_in_flight(alice, &payment).await;
    assert_eq!(world.books().await.paid(bob, ETHER), 0, "it is bob's on the child chain");
}

#[tokio::test]
async fn an_exit_that_nobody_used_gives_its_bond_back_and_can_be_opened_again() {
    let (world, mut cheat) = World::cheated().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let coin = world.deposit(alice, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let payment = alice.sign(&world.domain(), &[coin], vec![ether(bob, ETHER_UNIT)]);
    let proof = [InputProof::Deposit(deposit_of(&coin))];
    let first = world.start_in_flight(alice, &payment, &proof).await;
    world.move_time_to(PERIODS.end_of_first_half(first.start)).await;
    world.try_piggyback(bob, &payment, &[Piece::Output(0)]).await.expect_err("the first half is over");
    let before = world.ether_beside_gas(alice).await;
    world.close_in_flight(alice, &payment).await;
    let bond = U256::from(world.deployment.bonds.in_flight_bond_wei);
    assert_eq!(world.ether_beside_gas(alice).await, before + bond);

    let second = world.start_in_flight(alice, &payment, &proof).await;
    assert!(second.start > first.start && second.live_pieces.is_empty() && second.decision.is_none());
    world.try_piggyback(alice, &payment, &[Piece::Output(0)]).await.expect_err("it is bob's");
    world.try_piggyback(bob, &payment, &[Piece::Input(0)]).await.expect_err("it is alice's");
    world.piggyback(bob, &payment, &[Piece::Output(0)]).await;
    world.piggyback(alice, &payment, &[Piece::Input(0)]).await;
    world.move_time_to(second.key).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(alice, &payment).await;
    let books = world.books().await;
    assert_eq!(
        (books.paid(bob, ETHER), books.paid(alice, ETHER)),
        (ETHER_UNIT, 0),
        "the side that was wrong gets nothing"
    );
}

/// Alice leaves with both payments that she signed; whichever is decided first is paid.
async fn a_payment_signed_again_leaves_once(first_decided: usize) {
    let (world, mut cheat) = World::cheated().await;
    let People { alice, bob, operator, .. } = &world.people;
    let coin = world.deposit(alice, 10).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let outputs = |fee| vec![ether(bob, 6), ether(alice, 4 - fee), ether(operator, fee)];
    let payments = [1, 2].map(|fee| alice.sign(&world.domain(), &[coin], outputs(fee)));
    let (first, second) = (&payments[first_decided], &payments[1 - first_decided]);
    let mut key = 0;
    for payment in [first, second] {
        let proof = [InputProof::Deposit(deposit_of(&coin))];
        key = world.start_in_flight(alice, payment, &proof).await.key.max(key);
        world.piggyback(alice, payment, &[Piece::Input(0), Piece::Output(1)]).await;
        world.piggyback(bob, payment, &[Piece::Output(0)]).await;
    }
    world.move_time_to(key).await;
    world.process_pieces(ETHER, &[first, second]).await;
    world.close_in_flight(alice, first).await;
    world.close_in_flight(alice, second).await;
    let books = world.books().await;
    let change = first.body.outputs()[1].amount;
    assert_eq!((books.paid(bob, ETHER), books.paid(alice, ETHER)), (6, change), "through whichever is decided first");
}

#[tokio::test]
async fn a_payment_signed_again_with_a_better_fee_leaves_as_it_was_signed_first() {
    a_payment_signed_again_leaves_once(0).await;
}

#[tokio::test]
async fn a_payment_signed_again_with_a_better_fee_leaves_as_it_was_signed_again() {
    a_payment_signed_again_leaves_once(1).await;
}
