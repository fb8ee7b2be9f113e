//! Every named breach is convicted under its rule by a watcher that nobody attends, and halts the chain. §3.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::output::ETHER;
use plasmid_harness::breaches::{BREACHES, Before, Breach, LIES, Lie, Scene};
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
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let breaches = BREACHES.iter().map(|breach| (breach.name, breach.rule, Trial::Breach(breach)));
    let lies = LIES.iter().map(|lie| (lie.name, lie.rule, Trial::Lie(lie)));
    let trials: Vec<_> = breaches
        .chain(lies)
        .filter(|(name, ..)| name.contains(&wanted))
        .map(|(name, rule, trial)| {
            let turns = turns.clone();
            let told = tokio::spawn(async move {
                let _turn = turns.acquire_owned().await.expect("it is never closed");
                trial.convict(name, rule).await;
            });
            (name, rule, told)
        })
        .collect();
    let mut rules = BTreeMap::<Rule, (Vec<_>, usize)>::new();
    for (name, rule, trial) in trials {
        let (convicted, tried) = rules.entry(rule).or_default();
        *tried += 1;
        match trial.await {
            Ok(()) => convicted.push(name),
            Err(error) => println!("fault-matrix: {name}: {error}"),
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

/// A block that is to be convicted, in a world of its own.
#[derive(Debug, Clone, Copy)]
enum Trial {
    Breach(&'static Breach),
    Lie(&'static Lie),
}

impl Trial {
    async fn convict(self, name: &str, rule: Rule) {
        let (world, mut cheat) = World::cheated().await;
        let bond = world.operator_bond().await;
        let bad = match self {
            Self::Breach(breach) => {
                let scene = scene(&world, &mut cheat, breach.before).await;
                cheat.commit_raw(&(breach.build)(&scene), B256::ZERO, Serving::Served).await
            }
            Self::Lie(lie) => {
                let scene = scene(&world, &mut cheat, Before::Nothing).await;
                let payment = scene.pass_on(scene.coins[0]);
                let new = made(scene.next, &payment.placed())[0];
                if lie.covers {
                    cheat.cover(&[deposit_of(&scene.uncovered)]);
                }
                let bad = cheat.commit_lying(&[payment], |tree| (lie.tell)(&scene, tree, new)).await;
                until_answered_or_proven(&world, rule).await;
                bad
            }
        };

        let history = eventually(&format!("{name}: the watcher has its reward"), || async {
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
        assert_eq!(proven, [(bad, rule, world.people.watcher.address())], "{name}");
        let chain = world.root.child_chain().await.expect("the root chain answers");
        assert_eq!(chain.halted_from, Some(bad), "{name}");
        let slash = U256::from(world.deployment.bonds.fault_slash_wei);
        assert_eq!(bond - world.operator_bond().await, slash, "{name}");
    }
}

/// Gives servers the time to show what the tree holds, and after a claim everybody the time to answer it.
async fn until_answered_or_proven(world: &World, rule: Rule) {
    world.move_time(PERIODS.grace() + 1).await;
    if rule == Rule::R9 {
        eventually("the coin is claimed missing", || async {
            let is_claim = |event: &RootEvent| matches!(event, RootEvent::MissingClaimed { .. });
            world.history().await.iter().any(is_claim).then_some(())
        })
        .await;
        world.move_time(PERIODS.minimum_exit_period / 2).await;
    }
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
