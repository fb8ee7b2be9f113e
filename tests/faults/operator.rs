//! The operator under kill -9, with clients that pay on: nothing acknowledged is lost, doubled or answered otherwise, and no
//! number gets two roots. §1.10, §2.

use std::time::{Duration, Instant};

use plasmid_exit_game::output::OutputId;
use plasmid_harness::anvil;
use plasmid_harness::load::{Desk, Load, Payment};
use plasmid_harness::people::{Coin, Person};
use plasmid_harness::world::{ETHER_UNIT, FINALITY_DEPTH, PERIODS, World, ether, eventually};
use plasmid_node::kill_point;
use plasmid_node::wire::{Accepted, CoinState};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;

use crate::promises::Counts;
use crate::{ended_at, kills, nobody_panicked, pause_millis, seed};

const OPERATOR: &str = "plasmid-operator";

/// Starts six clients of four people.
async fn pay_on(world: &World, seed: u64) -> Load {
    let people = &world.people;
    let mut clients: Vec<(&Person, Coin)> = Vec::new();
    for person in [&people.alice, &people.bob, &people.carol, &people.mallory, &people.alice, &people.bob] {
        clients.push((person, world.deposit(person, ETHER_UNIT).await));
    }
    for (_, coin) in &clients {
        world.covered(coin).await;
    }
    Load::start(world, &clients, seed)
}

/// Waits until the operator has caught up.
async fn ready(world: &World) {
    eventually("the operator is ready", || async {
        world.operator().status().await.ok().filter(|status| status.synced).map(drop)
    })
    .await;
}

/// Waits until so many more payments are acknowledged.
async fn paid(load: &Load, more: u64) {
    let goal = load.acknowledged() + more;
    eventually("payments are acknowledged", || async { (load.acknowledged() >= goal).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_killed_at_random_moments() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::honest().await;
    let load = pay_on(&world, random.random()).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..kills() {
        if random.random_range(0..4) == 0 {
            // While it catches up.
            pause_millis(random.random_range(0..250)).await;
        } else {
            let started = Instant::now();
            ready(&world).await;
            slowest = slowest.max(started.elapsed());
            pause_millis(random.random_range(0..3_000)).await;
        }
        world.kill_operator();
        world.start_operator();
    }
    paid(&load, 10).await;
    let seen = load.stop().await;
    world.settled().await;
    println!("slowest start of the operator {} ms", slowest.as_millis());
    Counts::take(&mut world, kills(), seen).await.show();
    nobody_panicked(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_killed_at_each_named_point() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::honest().await;
    let load = pay_on(&world, random.random()).await;
    let is_of_drops = |name: &&&str| name.starts_with("drop-");
    for point in kill_point::OPERATOR.iter().filter(|name| !is_of_drops(name)) {
        let block = world.operator().status().await.expect("the operator answers").block;
        // At a start it passes some of them for every block that there is.
        let passed = match *point {
            "block-sealed" => block.closed.get(),
            "block-landed" => block.committed.get(),
            _ => 0,
        };
        let further = if point.starts_with("log-") || *point == "answer" { 40 } else { 2 };
        let plan = format!("{point}:{}", passed + random.random_range(1..=further));
        world.kill_operator();
        world.start_operator_with(&[(kill_point::VARIABLE, &plan)]);
        ended(&mut world, point).await;
        world.start_operator();
        paid(&load, 20).await;
    }
    let mut seen = load.stop().await;
    let again = dropped_and_sent_again(&mut world).await;
    seen.payments.push(again);
    for point in kill_point::OPERATOR {
        assert!(ended_at(&world, OPERATOR, point) > 0, "{point} is never reached");
    }
    let kills = kill_point::OPERATOR.len() as u32;
    let counts = Counts::take(&mut world, kills, seen).await;
    println!("faults: operator: named points {kills}, dropped 1, sent again 1");
    counts.show();
    nobody_panicked(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_signed_before_a_kill_binds_after_it() {
    let mut world = World::honest().await;
    let alice = world.people.alice.clone();
    let coin = world.deposit(&alice, ETHER_UNIT).await;
    world.committed(&coin).await;
    world.settled().await;
    let signed = alice.sign(&world.domain(), &[coin], vec![ether(&alice, ETHER_UNIT)]);
    let (_, answer) = Desk::of(&world).hand_in(&signed).await.expect("the operator answers");
    let accepted: Accepted = serde_json::from_slice(&answer).expect("an answer");
    world.kill_operator();
    let exit = world.start_exit(&alice, &coin).await;
    let freeze = PERIODS.freeze_of_standard_exit(exit.key);

    // Shortly before the coin freezes a submission is signed that may land until then; nobody has seen it yet.
    let rpc = world.root.node().rpc().clone();
    let now = world.now().await;
    anvil::move_time(&rpc, freeze - PERIODS.freeze_delay() * 4 / 5 - now).await;
    anvil::mine_blocks(&rpc, FINALITY_DEPTH).await;
    anvil::stop_mining(&rpc).await;
    world.start_operator_with(&[(kill_point::VARIABLE, "intent-recorded")]);
    ended(&mut world, "intent-recorded").await;

    // Too late for another one. But who has the first can still show it: what it commits to must not be dropped.
    anvil::forget_waiting(&rpc).await;
    anvil::mine_at(&rpc, freeze - 1).await;
    world.start_operator();
    world.seen().await;
    eventually("the exit is challenged", || async { (anvil::waiting(&rpc).await != 0).then_some(()) }).await;
    anvil::go_on_mining(&rpc).await;
    world.settled().await;
    let kept = world.operator().transaction(signed.body.hash()).await.expect("it knows what it accepted");
    // So late that its receipt is broken, but at the promised place.
    assert!(matches!(kept.state, CoinState::Committed | CoinState::Final), "{:?}", kept.state);
    let made = world.operator().coin(OutputId::of_output(signed.body.hash(), 0)).await;
    assert_eq!(made.expect("it knows the coin").position, accepted.positions[0]);
    nobody_panicked(&world);
}

/// Waits until the operator has ended at a named point.
async fn ended(world: &mut World, point: &str) {
    let what = format!("the operator reaches {point}");
    eventually(&what, || {
        let has_ended = world.has_operator_ended();
        async move { has_ended.then_some(()) }
    })
    .await;
}

/// Has a payment dropped, with a kill before and one after the record of it, then sends it again. Returns what was answered
/// then, which another kill does not change.
async fn dropped_and_sent_again(world: &mut World) -> Payment {
    let alice = world.people.alice.clone();
    let coin = world.deposit(&alice, ETHER_UNIT).await;
    world.committed(&coin).await;
    world.settled().await;
    let signed = alice.sign(&world.domain(), &[coin], vec![ether(&alice, ETHER_UNIT)]);
    let desk = Desk::of(world);
    let (_, first) = desk.hand_in(&signed).await.expect("the operator answers");
    // Accepted and not committed: the coin's exit, seen only when its freeze is past, leaves no time. (Were a submission signed
    // already, nothing could be dropped before it is dead, and a challenge of the exit would come first.)
    world.kill_operator();
    let exit = world.start_exit(&alice, &coin).await;
    anvil::move_time(world.root.node().rpc(), PERIODS.minimum_exit_period / 2 + PERIODS.granularity()).await;
    for point in ["drop-decided", "drop-recorded"] {
        world.start_operator_with(&[(kill_point::VARIABLE, point)]);
        ended(world, point).await;
    }
    world.start_operator();
    world.settled().await;
    let dropped = world.operator().transaction(signed.body.hash()).await.expect("a dropped transaction is reported");
    assert_eq!(dropped.state, CoinState::Dropped);

    // Its owner ends the exit by the spend that she signed, and the coin comes back.
    let challenge = world.root.challenge_standard_exit(&exit, &signed.body.encode(), &signed.signature);
    world.send(&alice, &challenge).await;
    let answer = eventually("the payment is accepted anew", || async {
        desk.hand_in(&signed).await.filter(|(status, _)| *status == StatusCode::OK).map(|(_, answer)| answer)
    })
    .await;
    assert_ne!(answer, first, "another place, another answer");
    world.kill_operator();
    world.start_operator();
    ready(world).await;
    let (_, repeated) = desk.hand_in(&signed).await.expect("the operator answers");
    assert_eq!(repeated, answer);
    let accepted: Accepted = serde_json::from_slice(&answer).expect("an answer");
    world.settled().await;
    Payment { signed, accepted, answer }
}
