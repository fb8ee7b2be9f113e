//! In whose turn coins are paid that leave in flight, in several assets, or by both ways. §4, §5, §6.

use alloy_primitives::U256;
use plasmid_exit_game::exit::in_flight::Piece;
use plasmid_exit_game::output::ETHER;
use plasmid_harness::cheat::{Serving, made};
use plasmid_harness::people::People;
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether};
use plasmid_node::wire::Verdict;
use plasmid_root_chain::calls::InputProof;

#[tokio::test]
async fn a_fresh_deposit_beside_a_minted_coin_does_not_lift_it() {
    let (world, mut cheat) = World::cheated().await;
    let People { alice, mallory, .. } = &world.people;
    let alices = world.deposit(alice, 10 * ETHER_UNIT).await;
    let mallorys = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&alices), deposit_of(&mallorys)]);
    let honest = alice.sign(&world.domain(), &[alices], vec![ether(alice, 10 * ETHER_UNIT)]);
    let good = cheat.commit(std::slice::from_ref(&honest), Serving::Served).await;
    let minting = mallory.sign(&world.domain(), &[mallorys], vec![ether(mallory, 11 * ETHER_UNIT)]);
    let place = cheat.next_place(0);
    let bad = cheat.commit(std::slice::from_ref(&minting), Serving::Withheld).await;
    world.move_time(PERIODS.grace() + 5).await;
    assert_eq!(world.verdict(bad).await, Verdict::Withheld);

    let fresh = world.deposit(mallory, ETHER_UNIT).await;
    let minted = made(place, &minting.placed())[0];
    let mut inputs = [(minted, cheat.made_by(&minting, bad, 0, 0)), (fresh, InputProof::Deposit(deposit_of(&fresh)))];
    inputs.sort_by_key(|(coin, _)| coin.id);
    let [(first, of_first), (second, of_second)] = inputs;
    let payment = mallory.sign(&world.domain(), &[first, second], vec![ether(mallory, 12 * ETHER_UNIT)]);
    let started = world.start_in_flight(mallory, &payment, &[of_first, of_second]).await;
    let minted_at = cheat.header(bad).timestamp;
    assert_eq!(started.key, PERIODS.exit_key(started.start, Some(minted_at)), "the maximum over the inputs");
    world.piggyback(mallory, &payment, &[Piece::Output(0)]).await;

    world.move_time(PERIODS.minimum_exit_period / 2).await;
    let exit = world.start_exit_by(alice, &honest, 0, &cheat.inclusion(good, 0)).await;
    assert!(exit.key < started.key, "alice started later and still leaves first");
    world.move_time_to(started.key).await;
    world.process(ETHER, &[exit]).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(mallory, &payment).await;
    let books = world.books().await;
    assert_eq!(books.paid(alice, ETHER), 10 * ETHER_UNIT);
    assert_eq!(books.paid(mallory, ETHER), 2 * ETHER_UNIT, "what she put in");
}

#[tokio::test]
async fn pieces_of_several_assets_are_paid_days_apart() {
    let (world, mut cheat) = World::cheated().await;
    let People { alice, bob, .. } = &world.people;
    let token = world.deploy_testing("HostileToken", &[]).await;
    let (ethers, tokens) = (world.deposit(alice, 10).await, world.deposit_token(alice, token, 1_000).await);
    cheat.cover(&[deposit_of(&ethers), deposit_of(&tokens)]);
    cheat.commit(&[], Serving::Served).await;
    let mut coins = [ethers, tokens];
    coins.sort_by_key(|coin| coin.id);
    let outputs = vec![ether(bob, 10), bob.gets(token, 600), alice.gets(token, 400)];
    let payment = alice.sign(&world.domain(), &coins, outputs);
    let proofs = coins.map(|coin| InputProof::Deposit(deposit_of(&coin)));
    let started = world.start_in_flight(alice, &payment, &proofs).await;
    world.piggyback(bob, &payment, &[Piece::Output(0)]).await;
    world.piggyback(bob, &payment, &[Piece::Output(1)]).await;
    world.piggyback(alice, &payment, &[Piece::Output(2)]).await;
    let token_input = coins.iter().position(|coin| coin.output.asset == token).expect("one of two") as u8;
    world.piggyback(alice, &payment, &[Piece::Input(token_input)]).await;

    world.move_time_to(started.key).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.move_time(3 * PERIODS.minimum_exit_period).await;
    world.process_pieces(token, &[&payment]).await;
    world.close_in_flight(alice, &payment).await;
    let books = world.books().await;
    assert_eq!((books.paid(bob, ETHER), books.paid(bob, token), books.paid(alice, token)), (10, 600, 400));
    assert_eq!(world.balance(token, bob.address()).await, U256::from(600));
}

/// Mallory takes a coin's standard exit and that of a payment of it; the one is a spend that ends the other.
async fn a_coin_leaves_by_both_ways(is_standard_first: bool) {
    let (world, mut cheat) = World::cheated().await;
    let mallory = &world.people.mallory;
    let coin = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let payment = mallory.sign(&world.domain(), &[coin], vec![ether(mallory, ETHER_UNIT)]);
    if is_standard_first {
        world.start_exit(mallory, &coin).await;
    }
    let started = world.start_in_flight(mallory, &payment, &[InputProof::Deposit(deposit_of(&coin))]).await;
    world.piggyback(mallory, &payment, &[Piece::Input(0), Piece::Output(0)]).await;
    if !is_standard_first {
        world.start_exit(mallory, &coin).await;
    }
    world.until_challenged(&coin).await;
    world.move_time_to(started.key).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(mallory, &payment).await;
    assert_eq!(world.books().await.paid(mallory, ETHER), ETHER_UNIT);
}

#[tokio::test]
async fn a_coin_that_leaves_the_standard_way_and_then_in_flight_leaves_once() {
    a_coin_leaves_by_both_ways(true).await;
}

#[tokio::test]
async fn a_coin_that_leaves_in_flight_and_then_the_standard_way_leaves_once() {
    a_coin_leaves_by_both_ways(false).await;
}

/// Alice's unspent output leaves by a standard exit of its own and as a piece of the transaction that made it.
async fn an_output_leaves_by_both_ways(is_standard_first: bool) {
    let (world, mut cheat) = World::cheated().await;
    let alice = &world.people.alice;
    let coin = world.deposit(alice, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let payment = alice.sign(&world.domain(), &[coin], vec![ether(alice, ETHER_UNIT)]);
    let block = cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    assert_eq!(world.verdict(block).await, Verdict::Valid);
    if is_standard_first {
        // Of an old output the second term of its key is past.
        world.move_time(PERIODS.minimum_exit_period).await;
    }
    let exit = world.start_exit_by(alice, &payment, 0, &cheat.inclusion(block, 0)).await;
    world.move_time(PERIODS.granularity()).await;
    let started = world.start_in_flight(alice, &payment, &[InputProof::Deposit(deposit_of(&coin))]).await;
    world.piggyback(alice, &payment, &[Piece::Output(0)]).await;
    assert_eq!(exit.key < started.key, is_standard_first);
    world.move_time_to(exit.key.max(started.key)).await;
    if is_standard_first {
        world.process(ETHER, &[exit]).await;
        world.process_pieces(ETHER, &[&payment]).await;
    } else {
        world.process_pieces(ETHER, &[&payment]).await;
        world.process(ETHER, &[exit]).await;
    }
    world.close_in_flight(alice, &payment).await;
    assert_eq!(world.books().await.paid(alice, ETHER), ETHER_UNIT);
}

#[tokio::test]
async fn an_output_whose_standard_exit_is_first_leaves_once() {
    an_output_leaves_by_both_ways(true).await;
}

#[tokio::test]
async fn an_output_whose_piece_is_first_leaves_once() {
    an_output_leaves_by_both_ways(false).await;
}
