//! Every named breach is convicted under its rule by a watcher that nobody attends, and halts the chain. §3.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::output::ETHER;
use plasmid_harness::breaches::{BREACHES, Before, Breach, Scene};
use plasmid_harness::cheat::{CheatingOperator, Serving, made};
use plasmid_harness::people::{Coin, Person};
use plasmid_harness::world::{PERIODS, World, deposit_of, eventually};
use plasmid_root_chain::calls::InputProof;
use tokio::sync::Semaphore;

/// Stories mostly wait for root blocks: so many are told at a time.
const AT_A_TIME: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn every_breach_is_convicted_under_its_rule() {
    let wanted = std::env::var("PLASMID_BREACH").unwrap_or_default();
    let breaches = BREACHES.iter().filter(|breach| breach.name.contains(&wanted));
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let trials: Vec<_> = breaches
        .map(|breach| {
            let turns = turns.clone();
            let trial = tokio::spawn(async move {
                let _turn = turns.acquire_owned().await.expect("it is never closed");
                convict(breach).await;
            });
            (breach, trial)
        })
        .collect();
    let mut rules = BTreeMap::<Rule, (Vec<_>, usize)>::new();
    for (breach, trial) in trials {
        let (convicted, tried) = rules.entry(breach.rule).or_default();
        *tried += 1;
        match trial.await {
            Ok(()) => convicted.push(breach.name),
            Err(error) => println!("fault-matrix: {}: {error}", breach.name),
        }
    }
    for (rule, (convicted, tried)) in &rules {
        println!("fault-matrix: {rule} convicts {} of {tried}: {}", convicted.len(), convicted.join(", "));
    }
    let convicted: usize = rules.values().map(|(convicted, _)| convicted.len()).sum();
    let tried: usize = rules.values().map(|(_, tried)| tried).sum();
    println!("fault-matrix: {convicted} breaches convicted of {tried}");
    assert_eq!(convicted, tried);
}

/// One breach in a world of its own.
async fn convict(breach: &Breach) {
    let (world, mut cheat) = World::cheated().await;
    let scene = scene(&world, &mut cheat, breach.before).await;
    let bond = world.operator_bond().await;
    let bad = cheat.commit_raw(&(breach.build)(&scene), B256::ZERO, Serving::Served).await;
    assert_eq!(bad, scene.next.block);

    let what = format!("{}: the watcher has its reward", breach.name);
    let history = eventually(&what, || async {
        let history = world.history().await;
        let is_rewarded = |event: &RootEvent| matches!(event, RootEvent::FaultRewarded { .. });
        history.iter().any(is_rewarded).then_some(history)
    })
    .await;
    let proven: Vec<_> = history
        .iter()
        .filter_map(|event| match *event {
            RootEvent::FaultProven { number, rule, accuser, .. } => Some((number, rule, accuser)),
            _ => None,
        })
        .collect();
    assert_eq!(proven, [(bad, breach.rule, world.people.watcher.address())], "{}", breach.name);
    let chain = world.root.child_chain().await.expect("the root chain answers");
    assert_eq!(chain.halted_from, Some(bad), "{}", breach.name);
    let slash = U256::from(world.deployment.bonds.fault_slash_wei);
    assert_eq!(bond - world.operator_bond().await, slash, "{}", breach.name);
}

/// Makes the chain that is about to be broken.
async fn scene(world: &World, cheat: &mut CheatingOperator, before: Before) -> Scene {
    let people = &world.people;
    let mallory = &people.mallory;
    let deposit = async |payer: &Person, owner: &Person| {
        let landed = world.send(payer, &world.root.deposit(owner.address(), 2 * Scene::AMOUNT)).await;
        world.deposited(&landed)
    };
    let (spent, covered, alices, other) = tokio::join!(
        deposit(mallory, mallory),
        deposit(&people.bob, mallory),
        deposit(&people.alice, &people.alice),
        deposit(&people.carol, mallory),
    );
    let mut deposits = [spent, covered, alices, other].map(|coin| deposit_of(&coin));
    deposits.sort_by_key(|deposit| deposit.nonce);
    cheat.cover(&deposits);
    let payment = mallory.sign(&world.domain(), &[spent], vec![mallory.gets(ETHER, Scene::AMOUNT); 2]);
    let coins: [Coin; 2] = made(cheat.next_place(0), &payment.placed()).try_into().expect("two outputs");
    let first = cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    let uncovered = deposit(&people.bob, mallory).await;

    let (mut paid, mut in_flight) = (None, None);
    match before {
        Before::Nothing => {}
        Before::Paid => {
            let exit = world.start_exit_by(mallory, &payment, 1, &cheat.inclusion(first, 0)).await;
            world.move_time_to(exit.key).await;
            world.process(ETHER, &[exit]).await;
            paid = Some(coins[1]);
        }
        Before::InFlight => {
            let late = mallory.sign(&world.domain(), &[other], vec![mallory.gets(ETHER, 2 * Scene::AMOUNT)]);
            let inputs = [InputProof::Deposit(deposit_of(&other))];
            let started = world.start_in_flight(mallory, &late, &inputs).await;
            world.move_time_to(PERIODS.freeze_of_in_flight_input(started.start) + 1).await;
            in_flight = Some(other);
        }
    }
    let (domain, mallory, next) = (world.domain(), mallory.clone(), cheat.next_place(0));
    Scene { domain, mallory, next, payment, spent, coins, covered, uncovered, alices, paid, in_flight }
}
