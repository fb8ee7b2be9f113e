//! A coin is spent by a block after its freeze: the block is invalid, and the game is decided as if it were not there. §3.1.

use plasmid_exit_game::exit::in_flight::{OldestPlace, Piece};
use plasmid_exit_game::output::ETHER;
use plasmid_harness::cheat::{Serving, made};
use plasmid_harness::people::People;
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether};
use plasmid_node::wire::Verdict;
use plasmid_root_chain::calls::InputProof;

#[tokio::test]
async fn a_competitor_slipped_in_after_the_freeze_takes_nothing_and_guarded_owners_leave() {
    let People { alice, bob, mallory, processor, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(std::slice::from_ref(&alice)).await;
    let alices = world.deposit(&alice, 10 * ETHER_UNIT).await;
    let mallorys = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&alices), deposit_of(&mallorys)]);
    cheat.commit(&[], Serving::Served).await;
    let payment = mallory.sign(&world.domain(), &[mallorys], vec![ether(&bob, ETHER_UNIT)]);
    let started = world.start_in_flight(&bob, &payment, &[InputProof::Deposit(deposit_of(&mallorys))]).await;
    world.piggyback(&bob, &payment, &[Piece::Output(0)]).await;

    world.move_time_to(PERIODS.freeze_of_in_flight_input(started.start) + 1).await;
    let second = mallory.sign(&world.domain(), &[mallorys], vec![ether(&mallory, ETHER_UNIT)]);
    let bad = cheat.commit(std::slice::from_ref(&second), Serving::Served).await;
    assert_eq!(world.verdict(bad).await, Verdict::Invalid);
    world.move_time(PERIODS.minimum_exit_period / 2).await;
    let exit = world.until_exiting(alices.id).await;

    world.move_time_to(started.key).await;
    let word = world.until_in_flight(&payment, "nobody has shown the late spend", |_| true).await;
    assert_eq!(word.oldest, OldestPlace::Nobodys);
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(&processor, &payment).await;
    world.move_time_to(exit.key).await;
    world.until("alice is paid", async || (world.root.coin(alices.id).await.ok()?.state > 1).then_some(())).await;
    let books = world.books().await;
    assert_eq!(books.paid(&alice, ETHER), 10 * ETHER_UNIT);
    assert_eq!((books.paid(&bob, ETHER), books.paid(&mallory, ETHER)), (ETHER_UNIT, 0));
}

#[tokio::test]
async fn the_payment_itself_slipped_in_after_the_freeze_makes_its_block_invalid() {
    let (world, mut cheat) = World::cheated().await;
    let People { bob, mallory, .. } = &world.people;
    let coin = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let payment = mallory.sign(&world.domain(), &[coin], vec![ether(bob, ETHER_UNIT)]);
    let started = world.start_in_flight(mallory, &payment, &[InputProof::Deposit(deposit_of(&coin))]).await;
    world.piggyback(bob, &payment, &[Piece::Output(0)]).await;
    world.move_time_to(PERIODS.freeze_of_in_flight_input(started.start) + 1).await;
    let bad = cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    assert_eq!(world.verdict(bad).await, Verdict::Invalid);
    world.move_time_to(started.key).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(mallory, &payment).await;
    assert_eq!(world.books().await.paid(bob, ETHER), ETHER_UNIT);
}

#[tokio::test]
async fn a_spend_of_an_exiting_coin_after_its_freeze_ends_the_exit_and_so_the_fault() {
    let (world, mut cheat) = World::cheated().await;
    let People { bob, mallory, .. } = &world.people;
    let coin = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let exit = world.start_exit(mallory, &coin).await;
    world.move_time_to(PERIODS.freeze_of_standard_exit(exit.key) + 1).await;
    let payment = mallory.sign(&world.domain(), &[coin], vec![ether(bob, ETHER_UNIT)]);
    let late = cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    world.until_challenged(&coin).await;
    world
        .until("the block is valid", async || {
            (world.watcher().block(late).await.ok()?.verdict == Verdict::Valid).then_some(())
        })
        .await;
    let exit = world.start_exit_by(bob, &payment, 0, &cheat.inclusion(late, 0)).await;
    world.move_time_to(exit.key).await;
    world.process(ETHER, &[exit]).await;
    let books = world.books().await;
    assert_eq!((books.paid(bob, ETHER), books.paid(mallory, ETHER)), (ETHER_UNIT, 0));
}

#[tokio::test]
async fn a_spend_of_a_piggybacked_output_after_its_freeze_ends_the_piece_and_so_the_fault() {
    let (world, mut cheat) = World::cheated().await;
    let People { bob, mallory, processor, .. } = &world.people;
    let coin = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let first = mallory.sign(&world.domain(), &[coin], vec![ether(mallory, ETHER_UNIT)]);
    let place = cheat.next_place(0);
    cheat.commit(std::slice::from_ref(&first), Serving::Served).await;
    let started = world.start_in_flight(mallory, &first, &[InputProof::Deposit(deposit_of(&coin))]).await;
    world.piggyback(mallory, &first, &[Piece::Output(0)]).await;
    world.move_time_to(PERIODS.freeze_of_in_flight_output(started.key) + 1).await;
    let payment = mallory.sign(&world.domain(), &made(place, &first.placed()), vec![ether(bob, ETHER_UNIT)]);
    let late = cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    world.until_in_flight(&first, "the piece is taken", |word| word.live_pieces.is_empty()).await;
    world
        .until("the block is valid", async || {
            (world.watcher().block(late).await.ok()?.verdict == Verdict::Valid).then_some(())
        })
        .await;
    world.close_in_flight(processor, &first).await;
    let exit = world.start_exit_by(bob, &payment, 0, &cheat.inclusion(late, 0)).await;
    world.move_time_to(exit.key).await;
    world.process(ETHER, &[exit]).await;
    let books = world.books().await;
    assert_eq!((books.paid(bob, ETHER), books.paid(mallory, ETHER)), (ETHER_UNIT, 0));
}

#[tokio::test]
async fn a_coin_that_has_left_in_flight_is_frozen_for_ever() {
    let People { alice, bob, mallory, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(std::slice::from_ref(&alice)).await;
    let alices = world.deposit(&alice, 10 * ETHER_UNIT).await;
    let mallorys = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&alices), deposit_of(&mallorys)]);
    cheat.commit(&[], Serving::Served).await;
    let payment = mallory.sign(&world.domain(), &[mallorys], vec![ether(&bob, ETHER_UNIT)]);
    let started = world.start_in_flight(&bob, &payment, &[InputProof::Deposit(deposit_of(&mallorys))]).await;
    world.piggyback(&bob, &payment, &[Piece::Output(0)]).await;
    world.move_time_to(started.key).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(&bob, &payment).await;
    world.move_time(3 * PERIODS.minimum_exit_period).await;

    let second = mallory.sign(&world.domain(), &[mallorys], vec![ether(&mallory, ETHER_UNIT)]);
    let bad = cheat.commit(std::slice::from_ref(&second), Serving::Served).await;
    assert_eq!(world.verdict(bad).await, Verdict::Invalid);
    world.move_time(PERIODS.minimum_exit_period / 2).await;
    let exit = world.until_exiting(alices.id).await;
    world.move_time_to(exit.key).await;
    world.until("alice is paid", async || (world.root.coin(alices.id).await.ok()?.state > 1).then_some(())).await;
    let books = world.books().await;
    assert_eq!((books.paid(&alice, ETHER), books.paid(&bob, ETHER)), (10 * ETHER_UNIT, ETHER_UNIT));
    assert_eq!(books.paid(&mallory, ETHER), 0);
}
