//! In-flight exits of a payment whose payer signed twice: whoever shows the second signature is right as long as nobody
//! shows the first one in a block. §6.3, §6.8, §7.

use alloy_primitives::U256;
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace, Piece};
use plasmid_exit_game::output::ETHER;
use plasmid_harness::cheat::Serving;
use plasmid_harness::in_flight::pieces;
use plasmid_harness::people::People;
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether};
use plasmid_node::wire::Verdict;
use plasmid_root_chain::calls::InputProof;

const AMOUNT: u128 = 5 * ETHER_UNIT;

#[tokio::test]
async fn a_strangers_exit_of_a_payment_signed_twice_gives_the_coin_back_and_the_start_bond_to_who_showed_it() {
    let People { alice, bob, carol, mallory, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(std::slice::from_ref(&alice)).await;
    let coin = world.deposit(&alice, AMOUNT).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let payment = alice.sign(&world.domain(), &[coin], vec![ether(&bob, AMOUNT)]);
    let second = alice.sign(&world.domain(), &[coin], vec![ether(&alice, AMOUNT)]);
    let bond = U256::from(world.deployment.bonds.in_flight_bond_wei);
    let (mallorys, carols) = (world.ether_beside_gas(&mallory).await, world.ether_beside_gas(&carol).await);
    let started = world.start_in_flight(&mallory, &payment, &[InputProof::Deposit(deposit_of(&coin))]).await;
    world.piggyback(&bob, &payment, &[Piece::Output(0)]).await;
    world.challenge_not_canonical(&carol, &payment, 0, &second, None).await.expect("it is a competitor");

    // Neither is in a block: the watcher has nothing to answer, and claims what alice put in.
    world.move_time_to(PERIODS.freeze_of_in_flight_input(started.start) + PERIODS.grace() + 1).await;
    let all = pieces(&[Piece::Input(0), Piece::Output(0)]);
    let word = world.until_in_flight(&payment, "alice's is claimed", |word| word.live_pieces == all).await;
    assert_eq!((word.oldest, word.challenger), (OldestPlace::Competitors(None), Some(carol.address())));
    world.move_time_to(word.key).await;
    let bobs = pieces(&[Piece::Output(0)]);
    let word = world.until_in_flight(&payment, "alice is paid", |word| word.live_pieces == bobs).await;
    assert_eq!(word.decision, Some(Decision::NonCanonical));
    world.process_pieces(ETHER, &[&payment]).await;
    world.until_closed(&payment).await;
    assert_eq!(world.ether_beside_gas(&carol).await, carols + bond, "her own bond is back, and she has mallory's");
    assert_eq!(world.ether_beside_gas(&mallory).await + bond, mallorys);
    let books = world.books().await;
    assert_eq!((books.paid(&alice, ETHER), books.paid(&bob, ETHER)), (AMOUNT, 0));
}

#[tokio::test]
async fn a_payee_whose_payer_signed_twice_risks_the_start_bond_and_the_payer_has_the_coin_once() {
    let People { bob, mallory, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(std::slice::from_ref(&bob)).await;
    let coin = world.deposit(&mallory, AMOUNT).await;
    cheat.cover(&[deposit_of(&coin)]);
    cheat.commit(&[], Serving::Served).await;
    let payment = mallory.sign(&world.domain(), &[coin], vec![ether(&bob, AMOUNT)]);
    let second = mallory.sign(&world.domain(), &[coin], vec![ether(&mallory, AMOUNT)]);
    let proof = [InputProof::Deposit(deposit_of(&coin))];
    let before = world.ether_beside_gas(&mallory).await;
    let started = world.start_in_flight(&bob, &payment, &proof).await;
    world.challenge_not_canonical(&mallory, &payment, 0, &second, None).await.expect("it is a competitor");
    world.piggyback(&mallory, &payment, &[Piece::Input(0)]).await;
    // She tries to leave with the second payment as well.
    world.start_in_flight(&mallory, &second, &proof).await;
    world.piggyback(&mallory, &second, &[Piece::Output(0)]).await;

    world.move_time_to(PERIODS.freeze_of_in_flight_input(started.start) + PERIODS.grace() + 1).await;
    let all = pieces(&[Piece::Input(0), Piece::Output(0)]);
    let word = world.until_in_flight(&payment, "bob's is claimed", |word| word.live_pieces == all).await;
    world.move_time_to(word.key).await;
    let mallorys = pieces(&[Piece::Input(0)]);
    world.until_in_flight(&payment, "bob's is over", |word| word.live_pieces == mallorys).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.until_closed(&payment).await;
    let key = world.root.in_flight_exit(second.body.hash()).await.expect("the root chain answers").expect("open").key;
    world.move_time_to(key).await;
    world.process_pieces(ETHER, &[&second]).await;
    world.close_in_flight(&mallory, &second).await;
    let bonds = world.deployment.bonds;
    let bounty = bonds.piece_bounty_wei + bonds.piece_bounty_per_input_wei;
    let gained = U256::from(bonds.in_flight_bond_wei + AMOUNT) - U256::from(2 * bounty);
    assert_eq!(world.ether_beside_gas(&mallory).await, before + gained, "her own coin, and what bob risked");
    let books = world.books().await;
    assert_eq!((books.paid(&mallory, ETHER), books.paid(&bob, ETHER)), (AMOUNT, 0));
}

#[tokio::test]
async fn a_decision_stands_for_what_is_paid_later_whatever_is_shown_by_then() {
    let (world, mut cheat) = World::cheated().await;
    let People { alice, bob, mallory, .. } = &world.people;
    let token = world.deploy_testing("HostileToken", &[]).await;
    let (ethers, tokens) = (world.deposit(alice, AMOUNT).await, world.deposit_token(alice, token, 1_000).await);
    cheat.cover(&[deposit_of(&ethers), deposit_of(&tokens)]);
    let mut coins = [ethers, tokens];
    coins.sort_by_key(|coin| coin.id);
    let payment = alice.sign(&world.domain(), &coins, vec![ether(bob, AMOUNT), bob.gets(token, 1_000)]);
    let second = alice.sign(&world.domain(), &coins, vec![ether(alice, AMOUNT), bob.gets(token, 1_000)]);
    let hidden = cheat.commit(std::slice::from_ref(&payment), Serving::Withheld).await;
    world.move_time(PERIODS.grace() + 5).await;
    assert_eq!(world.verdict(hidden).await, Verdict::Withheld);
    let proofs = coins.map(|coin| InputProof::Deposit(deposit_of(&coin)));
    let started = world.start_in_flight(alice, &payment, &proofs).await;
    for input in [0, 1] {
        world.piggyback(alice, &payment, &[Piece::Input(input)]).await;
        let asset = coins[usize::from(input)].output.asset;
        let output = if asset == token { Piece::Output(1) } else { Piece::Output(0) };
        world.piggyback(bob, &payment, &[output]).await;
    }
    world.challenge_not_canonical(mallory, &payment, 0, &second, None).await.expect("it is a competitor");

    world.move_time_to(started.key).await;
    world.process_pieces(ETHER, &[&payment]).await;
    let word = world.until_in_flight(&payment, "it is decided", |word| word.decision.is_some()).await;
    assert_eq!(word.decision, Some(Decision::NonCanonical));
    // Only now do the operator's friends show where the payment stands.
    let answer = world.root.respond_not_canonical(payment.body.hash(), &cheat.inclusion(hidden, 0));
    world.try_send(mallory, &answer).await.expect_err("it is decided");
    world.move_time(3 * PERIODS.minimum_exit_period).await;
    world.process_pieces(token, &[&payment]).await;
    world.close_in_flight(mallory, &payment).await;
    let books = world.books().await;
    assert_eq!((books.paid(alice, ETHER), books.paid(alice, token)), (AMOUNT, 1_000));
    assert_eq!((books.paid(bob, ETHER), books.paid(bob, token)), (0, 0));
}
