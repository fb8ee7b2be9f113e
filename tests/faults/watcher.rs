//! The watcher under kill -9, while a thief exits coins that she has spent: no challenge is missed, no mark is lost. §5.2, §7.
//!
//! The operator is one that cheats, so that nobody else challenges.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, U64};
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, OutputId};
use plasmid_exit_game::position::BlockNumber;
use plasmid_harness::cheat::{CheatingOperator, Serving};
use plasmid_harness::people::Person;
use plasmid_harness::world::{PERIODS, World, coin_of, ether, eventually};
use plasmid_node::kill_point;
use plasmid_node::wire::Verdict;
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Call, LogRange};
use plasmid_root_chain::sender::Sender;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::{ended_at, kills, nobody_panicked, pause_millis, seed};

const WATCHER: &str = "plasmid-watcher";

/// Mallory, who spends coins and exits them all the same, with an operator that lets her.
struct Thief {
    cheat: CheatingOperator,
    mallory: Person,
    fence: Person,
    root: RootChain,
    deployment: Deployment,
    sender: Sender,
    random: StdRng,
    thefts: Vec<Theft>,
}

/// An exit that is to be challenged.
#[derive(Debug, Clone, Copy)]
struct Theft {
    exit: ExitRecord,
    /// Root-chain time from which both the exit and the spend were there.
    since: u64,
}

impl Thief {
    async fn new(world: &World, cheat: CheatingOperator, seed: u64) -> Self {
        Self {
            cheat,
            mallory: world.people.mallory.clone(),
            fence: world.people.bob.clone(),
            root: world.root.clone(),
            deployment: world.deployment,
            sender: world.sender(&world.people.mallory).await,
            random: StdRng::seed_from_u64(seed),
            thefts: Vec::new(),
        }
    }

    async fn steal_until(mut self, is_over: Arc<AtomicBool>) -> Self {
        while !is_over.load(Ordering::Relaxed) {
            self.steal().await;
        }
        self
    }

    /// Deposits three coins, spends them in a block, and exits them, before the block or after it.
    async fn steal(&mut self) {
        let deposit = || self.call(self.root.deposit(self.mallory.address(), 1_000));
        let made = <[_; 3]>::from(tokio::join!(deposit(), deposit(), deposit()));
        let mut deposits: Vec<Deposit> = made.iter().flatten().filter_map(deposit_of).collect();
        deposits.sort_by_key(|deposit| deposit.nonce);
        self.cheat.cover(&deposits);
        let domain = self.deployment.domain();
        let spend = |deposit| self.mallory.sign(&domain, &[coin_of(deposit)], vec![ether(&self.fence, 1_000)]);
        let spends: Vec<_> = deposits.iter().map(spend).collect();
        let is_spent_first = self.random.random();
        if is_spent_first {
            self.cheat.commit(&spends, Serving::Served).await;
        }
        // A list with a key for each theft is too long to be walked.
        let hint = self.thefts.last().map_or(0, |theft| theft.exit.key);
        let exit = |deposit| {
            let bond = self.deployment.bonds.exit_bond_wei;
            self.call(self.root.start_standard_exit_of_deposit(deposit, hint, bond))
        };
        let started = <[_; 3]>::from(tokio::join!(exit(&deposits[0]), exit(&deposits[1]), exit(&deposits[2])));
        if !is_spent_first {
            self.cheat.commit(&spends, Serving::Served).await;
        }
        let since = self.root.node().head().await.expect("the root chain answers").timestamp;
        let exits = started.iter().flatten().filter_map(exit_of);
        self.thefts.extend(exits.map(|exit| Theft { exit, since }));
    }

    async fn call(&self, call: Call) -> Vec<RootEvent> {
        let landed = self.sender.send(&call).await.expect("a thief's call lands");
        let contract = self.root.contract();
        landed.logs.iter().map(|log| decode_event(contract, log).expect("our own events decode")).collect()
    }

    /// Waits until no exit of hers is pending.
    async fn is_caught(&self) {
        for theft in &self.thefts {
            eventually("the exit is challenged", || async {
                self.root.coin(theft.exit.output_id).await.ok()?.record_hash.is_zero().then_some(())
            })
            .await;
        }
    }
}

fn deposit_of(event: &RootEvent) -> Option<Deposit> {
    match event {
        RootEvent::Deposited(deposit) => Some(*deposit),
        _ => None,
    }
}

fn exit_of(event: &RootEvent) -> Option<ExitRecord> {
    match event {
        RootEvent::StandardExitStarted(record) => Some(*record),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watcher_killed_at_random_moments_and_at_each_point() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let (mut world, cheat) = World::cheated().await;
    let server = cheat.url();
    let mut thief = Thief::new(&world, cheat, random.random()).await;
    for point in kill_point::WATCHER {
        world.kill_watcher();
        if point == "store-set-aside" {
            damage(&world.data_dir(WATCHER).join("history"));
        }
        world.start_watcher_with(&server, &[(kill_point::VARIABLE, point)]);
        thief.steal().await;
        ended(&mut world, point).await;
        world.start_watcher(&server);
        thief.is_caught().await;
    }
    // What no point stands for: a challenge is sent and in no root block.
    world.kill_watcher();
    thief.steal().await;
    world.start_watcher(&server);
    sent(&world, &world.people.watcher).await;
    world.kill_watcher();
    world.start_watcher(&server);

    let is_over = Arc::new(AtomicBool::new(false));
    let thief = tokio::spawn(thief.steal_until(is_over.clone()));
    for _ in 0..kills() {
        pause_millis(random.random_range(0..2_500)).await;
        world.kill_watcher();
        world.start_watcher(&server);
    }
    is_over.store(true, Ordering::Relaxed);
    let thief = thief.await.expect("the thief goes on to the end");
    thief.is_caught().await;
    world.settled().await;

    let kills = kills() as usize + kill_point::WATCHER.len() + 1;
    let challenges = challenges(&world).await;
    let time = |theft: &Theft| challenges.get(&theft.exit.output_id).map(|&(_, time)| time);
    let is_missed = |theft: &&Theft| time(theft).is_none_or(|time| time >= theft.exit.key);
    let missed = thief.thefts.iter().filter(is_missed).count();
    let slowest = thief.thefts.iter().filter_map(|theft| Some(time(theft)?.saturating_sub(theft.since))).max();
    let exits = thief.thefts.len();
    let slowest = slowest.unwrap_or(0);
    println!("faults: watcher: kills {kills}, exits {exits}, missed {missed}, slowest challenge {slowest} s");
    assert!(exits >= kill_point::WATCHER.len() && missed == 0, "{challenges:?}");
    assert!(challenges.values().all(|&(challenger, _)| challenger == world.people.watcher.address()));
    for point in kill_point::WATCHER {
        assert!(ended_at(&world, WATCHER, point) > 0, "{point} is never reached");
    }
    every_block_is_valid(&world, &thief.cheat).await;
    let aside = fs::read_dir(world.data_dir(WATCHER)).expect("a data folder").flatten();
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().contains("damaged"));
    assert_eq!(aside.count(), 1, "what the test damaged, and nothing else");
    nobody_panicked(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_outlives_a_kill_while_the_store_is_set_aside() {
    let (mut world, mut cheat) = World::cheated().await;
    let coin = world.deposit(&world.people.alice, 1_000).await;
    let nonce = 0;
    cheat.cover(&[Deposit { nonce, output: coin.output }]);
    let payment = world.people.alice.sign(&world.domain(), &[coin], vec![ether(&world.people.bob, 1_000)]);
    let hidden = cheat.commit(&[payment], Serving::Withheld).await;
    world.move_time(PERIODS.grace() + 5).await;
    verdict(&world, hidden, Verdict::Withheld).await;

    world.kill_watcher();
    damage(&world.data_dir(WATCHER).join("history"));
    let server = cheat.url();
    world.start_watcher_with(&server, &[(kill_point::VARIABLE, "store-set-aside")]);
    ended(&mut world, "store-set-aside").await;
    cheat.relent(hidden);
    world.start_watcher(&server);
    world.settled().await;
    verdict(&world, hidden, Verdict::Withheld).await;
    nobody_panicked(&world);
}

/// Waits until the watcher has ended at a named point.
async fn ended(world: &mut World, point: &str) {
    let what = format!("the watcher reaches {point}");
    eventually(&what, || {
        let has_ended = world.has_watcher_ended();
        async move { has_ended.then_some(()) }
    })
    .await;
}

/// Waits until a transaction of somebody's waits to be included.
async fn sent(world: &World, person: &Person) {
    let rpc = world.root.node().rpc();
    let count = async |at: &str| rpc.read::<U64>("eth_getTransactionCount", json!([person.address(), at])).await;
    loop {
        let (latest, pending) = (count("latest").await, count("pending").await);
        if latest.expect("the root chain answers") < pending.expect("the root chain answers") {
            return;
        }
        pause_millis(5).await;
    }
}

/// Waits until the watcher is sure of a block, and checks what it says.
async fn verdict(world: &World, number: BlockNumber, expected: Verdict) {
    let found = eventually("the watcher has a verdict", || async {
        let verdict = world.watcher().block(number).await.ok()?.verdict;
        (verdict != Verdict::Unknown).then_some(verdict)
    })
    .await;
    assert_eq!(found, expected, "block {number}");
}

async fn every_block_is_valid(world: &World, cheat: &CheatingOperator) {
    for number in (1..cheat.next_place(0).block.get()).filter_map(BlockNumber::new) {
        verdict(world, number, Verdict::Valid).await;
    }
}

/// Spoils every file of a stopped watcher's store.
fn damage(store: &Path) {
    let files = fs::read_dir(store).expect("a store").flatten().map(|entry| entry.path());
    for file in files.filter(|path| path.is_file()) {
        let mut bytes = fs::read(&file).expect("a file can be read");
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&file, bytes).expect("a file can be written");
    }
}

/// Returns who challenged each exit, and when, in seconds of root-chain time.
async fn challenges(world: &World) -> BTreeMap<OutputId, (Address, u64)> {
    let (node, contract) = (world.root.node(), world.deployment.contract);
    let head = node.head().await.expect("the root chain answers").at.number;
    let logs = node.logs(contract, LogRange::Numbers(0, head)).await.expect("the root chain answers");
    let mut challenges = BTreeMap::new();
    for log in logs {
        let event = decode_event(contract, &log).expect("our own events decode");
        if let RootEvent::StandardExitChallenged { output_id, challenger, .. } = event {
            let block = node.block_by_number(log.block_number.to()).await.expect("the root chain answers");
            challenges.insert(output_id, (challenger, block.expect("it holds a log").timestamp));
        }
    }
    challenges
}
