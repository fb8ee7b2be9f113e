//! In-flight exits of thieves, and thieves in those of others: the watcher alone answers. §6, §7.

use alloy_primitives::U256;
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace, Piece};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::BlockNumber;
use plasmid_harness::anvil::{go_on_mining, mine_at, mine_blocks, reorganise, stop_mining, waiting};
use plasmid_harness::cheat::{CheatingOperator, Serving, made};
use plasmid_harness::in_flight::pieces;
use plasmid_harness::people::{Coin, People, Person, Signed};
use plasmid_harness::world::{ETHER_UNIT, FINALITY_DEPTH, PERIODS, World, deposit_of, ether, eventually};
use plasmid_node::wire::Verdict;
use plasmid_root_chain::calls::InputProof;
use plasmid_root_chain::client::InFlightWord;

const AMOUNT: u128 = 5 * ETHER_UNIT;

/// Mallory deposits five ether and pays them to somebody, alone in a valid block.
async fn mallory_pays(world: &World, cheat: &mut CheatingOperator, payee: &Person) -> (Coin, Signed) {
    let mallory = &world.people.mallory;
    let coin = world.deposit(mallory, AMOUNT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let payment = mallory.sign(&world.domain(), &[coin], vec![ether(payee, AMOUNT)]);
    let block = cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    assert_eq!(world.verdict(block).await, Verdict::Valid);
    (coin, payment)
}

/// Returns mallory's second payment of the same coin, to herself.
fn theft(world: &World, coin: Coin) -> Signed {
    let mallory = &world.people.mallory;
    mallory.sign(&world.domain(), &[coin], vec![ether(mallory, AMOUNT)])
}

/// Mallory starts an exit of the theft and claims both sides.
async fn start_theft(world: &World, theft: &Signed, coin: &Coin) {
    let mallory = &world.people.mallory;
    world.start_in_flight(mallory, theft, &[InputProof::Deposit(deposit_of(coin))]).await;
    world.piggyback(mallory, theft, &[Piece::Input(0), Piece::Output(0)]).await;
}

/// Whether the watcher has shown the payment in block 1, and that it spends the theft's input.
fn is_answered(world: &World, word: &InFlightWord) -> bool {
    let is_shown = matches!(word.oldest, OldestPlace::Competitors(Some(place)) if place.block.get() == 1);
    let is_watchers = word.challenger == Some(world.people.watcher.address());
    is_shown && is_watchers && word.live_pieces == pieces(&[Piece::Output(0)])
}

#[tokio::test]
async fn a_double_spent_payment_pays_nothing_and_costs_its_starter_the_bonds() {
    let (world, mut cheat) = World::cheated().await;
    let People { bob, mallory, .. } = &world.people;
    let (coin, payment) = mallory_pays(&world, &mut cheat, bob).await;
    let theft = theft(&world, coin);
    let before = world.ether_beside_gas(mallory).await;
    start_theft(&world, &theft, &coin).await;
    let word = world.until_in_flight(&theft, "the payment is shown", |word| is_answered(&world, word)).await;
    world.move_time_to(word.key).await;
    let events = world.process_pieces(ETHER, &[&theft]).await;
    let is = |wanted: fn(&InFlightStep) -> bool| {
        events.iter().any(|event| matches!(event, RootEvent::InFlight { step, .. } if wanted(step)))
    };
    assert!(is(|step| *step == InFlightStep::Decided(Decision::NonCanonical)), "{events:?}");
    assert!(is(|step| matches!(step, InFlightStep::PieceReturned { piece: Piece::Output(0), .. })), "{events:?}");
    world.until_closed(&theft).await;
    let bonds = world.deployment.bonds;
    let bounty = bonds.piece_bounty_wei + bonds.piece_bounty_per_input_wei;
    let lost = bonds.in_flight_bond_wei + bonds.of_pieces(1, 1).expect("few wei") + bounty;
    assert_eq!(world.ether_beside_gas(mallory).await + U256::from(lost), before);

    bob_leaves(&world, &cheat, &payment).await;
    let books = world.books().await;
    assert_eq!((books.paid(bob, ETHER), books.paid(mallory, ETHER)), (AMOUNT, 0));
}

/// Bob leaves with what mallory paid him in block 1.
async fn bob_leaves(world: &World, cheat: &CheatingOperator, payment: &Signed) {
    let proof = cheat.inclusion(BlockNumber::FIRST, 0);
    let exit = world.start_exit_by(&world.people.bob, payment, 0, &proof).await;
    world.move_time_to(exit.key).await;
    world.process(ETHER, &[exit]).await;
}

#[tokio::test]
async fn a_double_spent_payment_is_answered_by_a_watcher_killed_in_the_middle_and_across_a_reorganisation() {
    let (mut world, mut cheat) = World::cheated().await;
    world.leave_alone();
    let People { bob, mallory, .. } = People::new();
    let (coin, payment) = mallory_pays(&world, &mut cheat, &bob).await;
    let theft = theft(&world, coin);
    start_theft(&world, &theft, &coin).await;
    world.kill_watcher();
    mine_blocks(world.root.node().rpc(), 5).await;
    world.start_watcher(&cheat.url());
    let answered = "the payment is shown";
    world.until_in_flight(&theft, answered, |word| is_answered(&world, word)).await;
    reorganise(world.root.node().rpc(), 2).await;
    let word = world.root.in_flight_exit(theft.body.hash()).await.expect("the root chain answers");
    assert!(word.is_some_and(|word| !is_answered(&world, &word)), "the reorganisation took the last answer away");
    world.until_in_flight(&theft, answered, |word| is_answered(&world, word)).await;
    world.kill_watcher();
    reorganise(world.root.node().rpc(), 2).await;
    world.start_watcher(&cheat.url());
    let word = world.until_in_flight(&theft, answered, |word| is_answered(&world, word)).await;
    world.move_time_to(word.key).await;
    world.process_pieces(ETHER, &[&theft]).await;
    world.until_closed(&theft).await;
    bob_leaves(&world, &cheat, &payment).await;
    let books = world.books().await;
    assert_eq!((books.paid(&bob, ETHER), books.paid(&mallory, ETHER)), (AMOUNT, 0));
}

#[tokio::test]
async fn a_wrong_competitor_in_the_last_second_of_the_first_half_is_answered_in_the_second() {
    let (world, mut cheat) = World::cheated().await;
    let People { bob, mallory, .. } = &world.people;
    let (coin, payment) = mallory_pays(&world, &mut cheat, bob).await;
    let proofs = [InputProof::Deposit(deposit_of(&coin))];
    let started = world.start_in_flight(bob, &payment, &proofs).await;
    world.piggyback(bob, &payment, &[Piece::Output(0)]).await;

    let end = PERIODS.end_of_first_half(started.start);
    world.move_time_to(end - 20).await;
    let rpc = world.root.node().rpc();
    stop_mining(rpc).await;
    let second = theft(&world, coin);
    let in_the_last_second = async {
        eventually("the challenge waits for a block", async || (waiting(rpc).await > 0).then_some(())).await;
        mine_at(rpc, end - 1).await;
        // It cannot come again: no reorganisation takes it back.
        mine_blocks(rpc, FINALITY_DEPTH).await;
        go_on_mining(rpc).await;
    };
    let challenge = world.challenge_not_canonical(mallory, &payment, 0, &second, None);
    let (landed, ()) = tokio::join!(challenge, in_the_last_second);
    landed.expect("it is the first half yet");

    let is_own = |word: &InFlightWord| matches!(word.oldest, OldestPlace::Own(_)) && word.challenger.is_none();
    world.until_in_flight(&payment, "the challenge is answered", is_own).await;
    world.move_time_to(started.key).await;
    world.process_pieces(ETHER, &[&payment]).await;
    world.close_in_flight(bob, &payment).await;
    let books = world.books().await;
    assert_eq!((books.paid(bob, ETHER), books.paid(mallory, ETHER)), (AMOUNT, 0));
}

#[tokio::test]
async fn an_output_that_was_spent_is_taken_from_who_claims_it() {
    let (world, mut cheat) = World::cheated().await;
    let People { bob, mallory, .. } = &world.people;
    let place = cheat.next_place(0);
    let (coin, first) = mallory_pays(&world, &mut cheat, mallory).await;
    let spent = made(place, &first.placed());
    let payment = mallory.sign(&world.domain(), &spent, vec![ether(bob, AMOUNT)]);
    let block = cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    assert_eq!(world.verdict(block).await, Verdict::Valid);

    let started = world.start_in_flight(mallory, &first, &[InputProof::Deposit(deposit_of(&coin))]).await;
    world.piggyback(mallory, &first, &[Piece::Output(0)]).await;
    world.until_in_flight(&first, "the output is taken", |word| word.live_pieces.is_empty()).await;
    world.piggyback(mallory, &first, &[Piece::Output(0)]).await;
    world.until_in_flight(&first, "it is taken again", |word| word.live_pieces.is_empty()).await;
    world.move_time_to(PERIODS.end_of_first_half(started.start)).await;
    world.close_in_flight(mallory, &first).await;
    let exit = world.start_exit_by(bob, &payment, 0, &cheat.inclusion(block, 0)).await;
    world.move_time_to(exit.key).await;
    world.process(ETHER, &[exit]).await;
    let books = world.books().await;
    assert_eq!((books.paid(bob, ETHER), books.paid(mallory, ETHER)), (AMOUNT, 0));
}

#[tokio::test]
async fn an_exit_that_was_squatted_with_a_younger_place_of_the_parent_is_improved() {
    let People { alice, bob, mallory, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(std::slice::from_ref(&bob)).await;
    let coin = world.deposit(&alice, AMOUNT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let parent = alice.sign(&world.domain(), &[coin], vec![ether(&alice, AMOUNT)]);
    let place = cheat.next_place(0);
    let good = cheat.commit(std::slice::from_ref(&parent), Serving::Served).await;
    assert_eq!(world.verdict(good).await, Verdict::Valid);
    world.move_time(PERIODS.minimum_exit_period).await;

    // The operator commits the parent once more, and mallory starts alice's payment by that copy.
    let bad = cheat.commit(std::slice::from_ref(&parent), Serving::Withheld).await;
    let payment = alice.sign(&world.domain(), &made(place, &parent.placed()), vec![ether(&bob, AMOUNT)]);
    let squatted = world.start_in_flight(&mallory, &payment, &[cheat.made_by(&parent, bad, 0, 0)]).await;
    let key = PERIODS.exit_key(squatted.start, Some(cheat.header(good).timestamp));
    assert!(key < squatted.key, "mallory's copy would keep bob waiting");
    world.until_in_flight(&payment, "it is improved", |word| word.key == key).await;
    world.move_time(PERIODS.grace() + 5).await;
    let his = pieces(&[Piece::Output(0)]);
    world.until_in_flight(&payment, "bob's is claimed", |word| word.live_pieces == his).await;
    world.move_time_to(key).await;
    world.until_in_flight(&payment, "bob is paid", |word| word.live_pieces.is_empty()).await;
    world.close_in_flight(&mallory, &payment).await;
    assert_eq!(world.books().await.paid(&bob, ETHER), AMOUNT);
}
