//! Invalid blocks with the program as the only accuser, on a real root chain. The test plays the operator, and everybody who
//! cheats. §3, §7.

use std::fs;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::{Piece, PieceSet};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_harness::anvil;
use plasmid_harness::world::PERIODS;
use plasmid_node::wire::{Block, BlockState, List, Status, Verdict};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::LogRange;
use plasmid_watcher::alarms::AlarmKind;
use plasmid_watcher::api::{Obligation, ObligationAct};
use serde_json::{Value, json};

use crate::child_chain::{Coin, made, pay};
use crate::live::{FINNEY, Live};
use crate::program::Watcher;

/// What happened to faults on the root chain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    announced: usize,
    /// Block, rule and accuser of each conviction.
    pub(crate) proven: Vec<(u64, u8, Address)>,
    pub(crate) rewarded: Vec<Address>,
    /// Who claimed coins missing, who answered, and who took a bond back.
    pub(crate) claimed: Vec<Address>,
    pub(crate) answered: Vec<Address>,
    pub(crate) returned: Vec<Address>,
}

impl Live {
    /// A chain whose block 1 is good; its coins.
    pub(crate) async fn good() -> (Self, Vec<Coin>) {
        let mut live = Self::start().await;
        let (_, coins) = live.first_block().await;
        (live, coins)
    }

    /// Block 2 pays bob one finney more than he had.
    async fn commit_mint(&mut self, bobs: &Coin, before: &[PlacedTransaction]) {
        let mint = pay(self.chain.domain(), &self.bob, &[*bobs], vec![self.bob.owns(61 * FINNEY)]);
        let built = self.chain.block(&[before, &[mint]].concat(), &[]);
        self.commit_and_serve(&built).await;
    }

    pub(crate) fn accuser(&self) -> Address {
        self.world.people.watcher.address()
    }

    /// What the contract's events tell of faults by now.
    pub(crate) async fn told(&self) -> Told {
        let (node, contract) = (self.world.root.node(), self.world.deployment.contract);
        let head = node.head().await.unwrap().at.number;
        let mut told = Told::default();
        for log in node.logs(contract, LogRange::Numbers(0, head)).await.unwrap() {
            match decode_event(contract, &log).unwrap() {
                RootEvent::FaultAnnounced { .. } => told.announced += 1,
                RootEvent::FaultProven { number, rule, accuser, .. } => {
                    told.proven.push((number.get(), rule.number(), accuser));
                }
                RootEvent::FaultRewarded { accuser, .. } => told.rewarded.push(accuser),
                RootEvent::MissingClaimed { claimant, .. } => told.claimed.push(claimant),
                RootEvent::MissingAnswered { answerer, .. } => told.answered.push(answerer),
                RootEvent::MissingReturned { claimant, .. } => told.returned.push(claimant),
                _ => {}
            }
        }
        told
    }

    pub(crate) async fn until_told(&self, is_wanted: impl Fn(&Told) -> bool) -> Told {
        let started = Instant::now();
        loop {
            let told = self.told().await;
            if is_wanted(&told) {
                return told;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{told:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until block 2 is convicted by this watcher, which then has the reward.
    async fn until_convicted(&self) {
        let told = self.until_told(|told| !told.rewarded.is_empty()).await;
        assert_eq!((told.proven, told.rewarded), (vec![(2, 5, self.accuser())], vec![self.accuser()]));
    }

    async fn mine(&self) {
        anvil::mine(self.world.root.node().rpc()).await;
    }

    /// Waits until a transaction waits to be in a root block, and returns its calldata.
    async fn until_waiting(&self) -> String {
        let started = Instant::now();
        loop {
            let pool: Value = self.world.root.node().rpc().read("txpool_content", json!([])).await.unwrap();
            let pending = pool["pending"].as_object().into_iter().flat_map(|accounts| accounts.values());
            let inputs = pending.flat_map(|nonces| nonces.as_object().unwrap().values()).map(|sent| &sent["input"]);
            if let Some(input) = inputs.filter_map(Value::as_str).next() {
                return input.to_owned();
            }
            assert!(started.elapsed() < Duration::from_secs(60), "nothing waits");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn no_act_fails(alarms: &[plasmid_watcher::alarms::Alarm]) -> bool {
    alarms.iter().all(|alarm| alarm.kind != AlarmKind::ActFails)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_block_is_convicted_without_a_person() {
    let (mut live, coins) = Live::good().await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    live.commit_mint(&coins[0], &[]).await;
    live.until_convicted().await;
    let conviction = live.world.root.conviction(BlockNumber::new(2).unwrap()).await.unwrap().unwrap();
    assert_eq!(conviction.reward, 0, "it is paid");

    watcher.until("halted", |status: &Status| status.halted && !status.closed).await;
    let alarm = watcher.until_alarm(|alarm| alarm.kind == AlarmKind::Halted).await;
    assert_eq!(alarm.block, BlockNumber::new(2));
    let block: Block = watcher.get("/v1/blocks/2").await;
    assert_eq!((block.state, block.verdict), (BlockState::Void, Verdict::Invalid));
    let obligations: List<Obligation> = watcher.get(&format!("/v1/obligations?owner={}", live.alice.address())).await;
    assert!(
        matches!(obligations.items[..], [Obligation { act: ObligationAct::StartExit, id, .. }] if id == coins[1].id)
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(no_act_fails(&watcher.alarms().await));
    assert_eq!(live.told().await.announced, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_announcement_and_proof_and_before_it_is_final_it_goes_on() {
    let (mut live, coins) = Live::good().await;
    live.commit_mint(&coins[0], &[]).await;
    for point in ["finding-decided:2", "act-decided", "fault-announced", "fault-proven"] {
        let mut command = live.command();
        command.args(["--unsafe-private-key", live.world.people.watcher.key]).env("PLASMID_KILL_AT", point);
        Watcher::start(&mut command).until_ended().await;
    }
    live.until_convicted().await;
    let watcher = live.watcher();
    watcher.until("halted", |status| status.halted).await;
    assert_eq!(live.told().await.announced, 1, "the same evidence, announced once");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_watchers_convict_once_and_do_not_fight() {
    let (mut live, coins) = Live::good().await;
    let first = live.watcher();
    let data = tempfile::tempdir().unwrap();
    let mut command = live.command_at(live.world.anvil.url(), data.path());
    command.args(["--finality-depth", "3", "--unsafe-private-key", live.world.people.carol.key]);
    let second = Watcher::start(&mut command);
    for watcher in [&first, &second] {
        watcher.until_verified(1).await;
    }
    live.commit_mint(&coins[0], &[]).await;
    live.until_told(|told| !told.rewarded.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let told = live.told().await;
    assert_eq!((told.announced, told.proven.len(), told.rewarded.len()), (2, 1, 1), "{told:?}");
    assert_eq!(told.proven[0].2, told.rewarded[0]);
    for watcher in [&first, &second] {
        watcher.until("halted", |status| status.halted).await;
        assert!(no_act_fails(&watcher.alarms().await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_copies_the_proof_from_the_pool_convicts_and_gains_nothing() {
    let (mut live, coins) = Live::good().await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    live.commit_mint(&coins[0], &[]).await;
    live.until_told(|told| told.announced == 1).await;
    let rpc = live.world.root.node().rpc();
    anvil::stop_mining(rpc).await;
    live.mine().await;
    let copied = live.until_waiting().await;
    let (mallory, contract) = (live.world.people.mallory.address(), live.world.deployment.contract);
    let tip = "0x2540be400";
    let theft = json!([{
        "from": mallory, "to": contract, "input": copied, "gas": "0x2dc6c0",
        "maxPriorityFeePerGas": tip, "maxFeePerGas": "0x174876e800",
    }]);
    let _: Value = rpc.read("eth_sendTransaction", theft).await.unwrap();
    live.mine().await;
    anvil::go_on_mining(rpc).await;
    let told = live.until_told(|told| !told.rewarded.is_empty()).await;
    assert_eq!(told.proven, [(2, 5, mallory)], "the copy was first");
    assert_eq!(told.rewarded, [live.accuser()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_that_takes_the_announcement_or_the_conviction_away_changes_nothing_in_the_end() {
    let (mut live, coins) = Live::good().await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    live.commit_mint(&coins[0], &[]).await;
    live.until_told(|told| told.announced == 1).await;
    // Time for the watcher to see it, and no root block beyond.
    anvil::stop_mining(live.world.root.node().rpc()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    live.reorganise(1).await;
    anvil::go_on_mining(live.world.root.node().rpc()).await;
    live.until_convicted().await;
    watcher.until("halted", |status| status.halted).await;

    live.reorganise(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    live.until_convicted().await;
    watcher.until("halted", |status| status.halted).await;
    assert!(no_act_fails(&watcher.alarms().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_halt_guarded_coins_and_payments_leave_and_are_paid() {
    let (mut live, coins) = Live::good().await;
    let uncovered = live.deposit(7 * FINNEY).await;
    let (keystores, password) = (live.data.path().join("keystore"), live.data.path().join("password"));
    fs::create_dir_all(&keystores).unwrap();
    fs::write(&password, "secret\n").unwrap();
    live.world.people.alice.account().save_keystore(&keystores, "alice", "secret").unwrap();
    let mut command = live.command();
    command.args(["--unsafe-private-key", live.world.people.watcher.key, "--guard", "alice", "--password-file"]);
    let watcher = Watcher::start(command.arg(password));
    watcher.until_verified(1).await;

    // Block 2 has alice's payment of 30 to bob and 10 to herself, and money from nowhere.
    let outputs = vec![live.bob.owns(30 * FINNEY), live.alice.owns(10 * FINNEY)];
    let payment = pay(live.chain.domain(), &live.alice, &coins[1..], outputs);
    let (tx_hash, change) = (payment.body.hash(), made(&payment, 2, 0)[1]);
    live.commit_mint(&coins[0], std::slice::from_ref(&payment)).await;
    live.until_convicted().await;
    let own = PieceSet::from_iter([Piece::Input(0), Piece::Output(1)]);
    let started = Instant::now();
    let word = loop {
        let word = live.world.root.in_flight_exit(tx_hash).await.unwrap();
        if let Some(word) = word.filter(|word| word.live_pieces == own) {
            break word;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", watcher.alarms().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let is_paid = async |id| live.world.root.coin(id).await.unwrap().state > 1;
    live.move_time(word.key + PERIODS.granularity() - live.world.now().await).await;
    while !(is_paid(uncovered.output_id()).await && is_paid(change.id).await) {
        assert!(started.elapsed() < Duration::from_secs(120), "{:?}", watcher.alarms().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(no_act_fails(&watcher.alarms().await));
}
