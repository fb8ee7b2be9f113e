//! The program against a real root chain with the real contract. The test plays the operator.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use plasmid_exit_game::block::Header;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::Position;
use plasmid_node::wire::{Block, List, Verdict};
use plasmid_root_chain::account::Account;
use plasmid_root_chain::calls::{InclusionProof, Submission};
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Call, GasLimit, Landed};
use plasmid_root_chain::sender::Sender;
use plasmid_watcher::alarms::AlarmKind;
use plasmid_watcher::api::{CoinMoment, ExitAnswer, ExitState, Obligation};
use tempfile::TempDir;

use crate::anvil::{Anvil, KEYS};
use crate::child_chain::{Built, ChildChain, Coin, Person, Preimage, deposit_coin, made, pay, preimage};
use crate::program::{Bodies, Watcher};
use crate::proxy::{Lie, Proxy};
use crate::world::PERIODS;

/// A thousandth of an ether: more than an exit costs.
const FINNEY: u128 = 1_000_000_000_000_000;

/// A deployment, its operator and its people.
struct Live<'a> {
    anvil: &'a Anvil,
    root_chain: RootChain,
    deployment: Deployment,
    operator: Sender,
    chain: ChildChain,
    bodies: Bodies,
    server: String,
    data: TempDir,
    alice: Person,
    bob: Person,
}

impl<'a> Live<'a> {
    async fn start(anvil: &'a Anvil) -> Self {
        let (root_chain, deployment) = anvil.deploy().await;
        let bodies = Bodies::default();
        let server = bodies.serve().await;
        Self {
            anvil,
            root_chain,
            deployment,
            operator: anvil.sender(0).await,
            chain: ChildChain::new(deployment.domain()),
            bodies,
            server,
            data: tempfile::tempdir().unwrap(),
            alice: Person::from_hex(KEYS[2]),
            bob: Person::from_hex(KEYS[3]),
        }
    }

    fn command(&self) -> std::process::Command {
        let contract = self.deployment.contract.to_checksum(None);
        let mut command = Watcher::command(&self.anvil.url, &contract, &self.server, self.data.path());
        command.args(["--finality-depth", "3"]);
        command
    }

    /// Starts a watcher that has an account.
    fn watcher(&self) -> Watcher {
        let mut command = self.command();
        command.args(["--unsafe-private-key", KEYS[1]]);
        Watcher::start(&mut command)
    }

    fn events(&self, landed: &Landed) -> Vec<RootEvent> {
        landed.logs.iter().map(|log| decode_event(self.deployment.contract, log).unwrap()).collect()
    }

    async fn deposit(&self, amount: u128) -> Deposit {
        let landed = self.operator.send(&self.root_chain.deposit(self.alice.address(), amount)).await.unwrap();
        match self.events(&landed)[..] {
            [RootEvent::Deposited(deposit)] => deposit,
            ref events => panic!("{events:?}"),
        }
    }

    async fn commit(&self, built: &Built) -> Header {
        // A trial of the call runs at the head's time, which must be later than the last block's.
        let last = self.root_chain.child_chain().await.unwrap().last_timestamp;
        let anchor = loop {
            let head = self.root_chain.node().head().await.unwrap();
            if head.timestamp > last {
                break head;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let Header { number, tx_root, utxo_root, tx_count, deposit_count, .. } = built.header;
        let (anchor, not_after) = (anchor.at, anchor.timestamp + 60);
        let submission = Submission { number, tx_root, utxo_root, tx_count, deposit_count, anchor, not_after };
        let landed = self.operator.send(&self.root_chain.submit_block(&submission)).await.unwrap();
        match self.events(&landed)[..] {
            [RootEvent::BlockSubmitted(header)] => header,
            ref events => panic!("{events:?}"),
        }
    }

    async fn commit_and_serve(&self, built: &Built) -> Header {
        self.bodies.put(built.header.number.get(), built.body.clone());
        self.commit(built).await
    }

    /// Alice deposits 100, and block 1 pays 60 of it to bob.
    async fn first_block(&mut self) -> (Deposit, Vec<Coin>) {
        let deposit = self.deposit(100 * FINNEY).await;
        let outputs = vec![self.bob.owns(60 * FINNEY), self.alice.owns(40 * FINNEY)];
        let payment = pay(self.chain.domain(), &self.alice, &[deposit_coin(&deposit)], outputs);
        let built = self.chain.block(std::slice::from_ref(&payment), &[deposit]);
        self.commit_and_serve(&built).await;
        (deposit, made(&payment, 1, 0))
    }

    /// Alice exits the deposit that she has spent.
    async fn start_theft(&self, deposit: &Deposit) {
        let alice = self.anvil.sender(2).await;
        let bond = self.deployment.bonds.exit_bond_wei;
        // An estimate made under a key that is listed is too low for one that is not.
        let call = self.root_chain.start_standard_exit_of_deposit(deposit, 0, bond);
        alice.send(&Call { gas: GasLimit::Exactly(200_000), ..call }).await.unwrap();
    }

    async fn until_challenged(&self, watcher: &Watcher, deposit: &Deposit) {
        let started = Instant::now();
        loop {
            let exit = watcher.client.get::<ExitAnswer>(&format!("/v1/exits/{}", deposit.output_id())).await;
            let word = self.root_chain.coin(deposit.output_id()).await.unwrap();
            if exit.as_ref().is_ok_and(|exit| exit.state == ExitState::Ended) && word.record_hash.is_zero() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{exit:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thiefs_exit_is_challenged_without_a_person() {
    let anvil = Anvil::start();
    let mut live = Live::start(&anvil).await;
    let watcher = live.watcher();
    let (deposit, coins) = live.first_block().await;
    watcher.until_verified(1).await;
    assert!(watcher.alarms().await.is_empty());

    live.start_theft(&deposit).await;
    live.until_challenged(&watcher, &deposit).await;
    let moments: List<CoinMoment> = watcher.get(&format!("/v1/coins/{}/timeline", deposit.output_id())).await;
    assert!(
        matches!(
            moments.items[..],
            [CoinMoment::Made { .. }, CoinMoment::Spent { valid: true, .. }, .., CoinMoment::Exit { .. }]
        ),
        "{moments:?}"
    );
    let evidence: plasmid_node::wire::evidence::Evidence = watcher.get(&format!("/v1/evidence/{}", coins[0].id)).await;
    evidence.coins[0].verify().unwrap();
    assert!(evidence.coins[0].unspent.is_some());

    // Again, as the coin is free again, with the watcher killed and started in between.
    watcher.kill();
    live.start_theft(&deposit).await;
    let watcher = live.watcher();
    live.until_challenged(&watcher, &deposit).await;
    assert!(watcher.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_that_drops_blocks_and_challenges_changes_nothing_in_the_end() {
    let anvil = Anvil::start();
    let mut live = Live::start(&anvil).await;
    let watcher = live.watcher();
    let (deposit, coins) = live.first_block().await;
    watcher.until_verified(1).await;

    let payment = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
    let built = live.chain.block(&[payment], &[]);
    live.commit_and_serve(&built).await;
    watcher.until_verified(2).await;
    anvil.reorganise(2).await;
    watcher.until("back at block 1", |status| status.block.committed.get() == 1).await;
    live.commit(&built).await;
    watcher.until_verified(2).await;

    live.start_theft(&deposit).await;
    live.until_challenged(&watcher, &deposit).await;
    anvil.reorganise(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    live.until_challenged(&watcher, &deposit).await;
    assert!(watcher.alarms().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_body_raises_the_alarm_after_grace_and_it_stays() {
    let anvil = Anvil::start();
    let mut live = Live::start(&anvil).await;
    let watcher = live.watcher();
    let (_, coins) = live.first_block().await;
    watcher.until_verified(1).await;
    let payment = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
    let built = live.chain.block(&[payment], &[]);
    let header = live.commit(&built).await;
    watcher.until("seen", |status| status.block.committed.get() == 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(watcher.alarms().await.is_empty(), "its time is not over");

    anvil.move_time(PERIODS.grace() + 1).await;
    let alarm = watcher.until_alarm(|alarm| alarm.kind == AlarmKind::WithheldBlock).await;
    assert_eq!((alarm.block, alarm.commitment), (Some(header.number), Some(header.commitment())));
    let obligations: List<Obligation> = watcher.get(&format!("/v1/obligations?owner={}", live.bob.address())).await;
    let before = header.timestamp + PERIODS.minimum_exit_period - PERIODS.granularity();
    assert_eq!(
        obligations.items.iter().map(|item| (item.id, item.before)).collect::<Vec<_>>(),
        [(coins[0].id, Some(before))]
    );

    live.bodies.put(2, built.body);
    live.commit_and_serve(&live.chain.clone().block(&[], &[])).await;
    watcher.until("goes on", |status| status.block.committed.get() == 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    watcher.kill();
    let watcher = live.watcher();
    let again = watcher.until_alarm(|alarm| alarm.kind == AlarmKind::WithheldBlock).await;
    assert_eq!(again, alarm);
    watcher.until("back", |status| status.synced && status.block.committed.get() == 3).await;
    for (number, verdict) in [(1, Verdict::Valid), (2, Verdict::Withheld), (3, Verdict::Unknown)] {
        let block: Block = watcher.get(&format!("/v1/blocks/{number}")).await;
        assert_eq!(block.verdict, verdict, "block {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_breaks_a_rule_is_alarmed_with_rule_and_index() {
    type Story = fn(&Live<'_>, &[Coin], &Deposit) -> Preimage;
    let stories: [(&str, Story); 7] = [
        ("R1", |live, coins, _| {
            let (body, mut witness) =
                preimage(&pay(live.chain.domain(), &live.alice, &coins[1..], vec![live.alice.owns(40 * FINNEY)]));
            witness.push(0);
            (body, witness)
        }),
        ("R2", |live, coins, _| {
            let own = Coin { position: Position::from_bits(2 << 24 | 1 << 4).unwrap(), ..coins[1] };
            preimage(&pay(live.chain.domain(), &live.alice, &[own], vec![live.alice.owns(40 * FINNEY)]))
        }),
        ("R3", |live, coins, _| {
            let elsewhere = Coin { position: coins[0].position, ..coins[1] };
            preimage(&pay(live.chain.domain(), &live.alice, &[elsewhere], vec![live.alice.owns(40 * FINNEY)]))
        }),
        ("R4", |live, coins, _| {
            preimage(&pay(live.chain.domain(), &live.bob, &coins[1..], vec![live.bob.owns(40 * FINNEY)]))
        }),
        ("R5", |live, coins, _| {
            preimage(&pay(live.chain.domain(), &live.alice, &coins[1..], vec![live.alice.owns(39 * FINNEY)]))
        }),
        ("R6", |live, _, deposit| {
            preimage(&pay(
                live.chain.domain(),
                &live.alice,
                &[deposit_coin(deposit)],
                vec![live.alice.owns(100 * FINNEY)],
            ))
        }),
        ("R7", |live, coins, _| {
            preimage(&pay(live.chain.domain(), &live.alice, &coins[1..], vec![live.alice.owns(40 * FINNEY)]))
        }),
    ];
    let anvil = Anvil::start();
    for (rule, story) in stories {
        let mut live = Live::start(&anvil).await;
        // Without an account: a challenge would end the exit that R7 needs.
        let watcher = Watcher::start(&mut live.command());
        let (deposit, coins) = live.first_block().await;
        watcher.until_verified(1).await;
        if rule == "R7" {
            exit_change(&live, &watcher, &coins[1]).await;
            anvil.move_time(2 * PERIODS.minimum_exit_period).await;
        }
        let honest = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
        let leaves = [preimage(&honest), story(&live, &coins, &deposit)];
        let built = live.chain.block_of(&leaves, &[]);
        live.commit_and_serve(&built).await;
        let alarm = watcher.until_alarm(|alarm| alarm.kind == AlarmKind::InvalidBlock).await;
        let evidence = alarm.evidence.unwrap();
        assert_eq!((evidence.rule.as_str(), evidence.index), (rule, 1), "{}", evidence.what);
    }
}

/// Alice exits her change, output 1 of a transaction.
async fn exit_change(live: &Live<'_>, watcher: &Watcher, change: &Coin) {
    let inclusion = watcher.client.inclusion(change.id).await.unwrap().verify().unwrap();
    let proof = InclusionProof {
        header: inclusion.header,
        tx_index: inclusion.place.index,
        witness_hash: inclusion.transaction.witness.hash(),
        path: inclusion.path,
    };
    let (body, bond) = (inclusion.transaction.body.encode(), live.deployment.bonds.exit_bond_wei);
    let call = live.root_chain.start_standard_exit(&body, 1, &proof, 0, bond);
    live.anvil.sender(2).await.send(&call).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_chain_that_hangs_makes_it_blind_and_never_wrong() {
    let anvil = Anvil::start();
    let mut live = Live::start(&anvil).await;
    let watcher = live.watcher();
    live.first_block().await;
    watcher.until_verified(1).await;
    anvil.signal("-STOP");
    let stopped = Instant::now();
    watcher.until_alarm(|alarm| alarm.kind == AlarmKind::BlindRootChain).await;
    // A quarter of F, and a second to notice.
    assert!(stopped.elapsed() < Duration::from_secs(PERIODS.freeze_delay().div_ceil(4) + 2));
    assert!(!watcher.client.status().await.unwrap().synced);
    anvil.signal("-CONT");
    watcher.until_verified(1).await;
    assert!(watcher.alarms().await.iter().all(|alarm| alarm.ended.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_answer_make_it_blind_before_they_make_it_certain() {
    let anvil = Anvil::start();
    let mut live = Live::start(&anvil).await;
    let serving = std::mem::replace(&mut live.server, "http://127.0.0.1:1".to_owned());
    let watcher = live.watcher();
    live.first_block().await;
    watcher.until_alarm(|alarm| alarm.kind == AlarmKind::BlindServers).await;
    assert_eq!(watcher.alarms().await.len(), 1, "grace is not over");
    assert!(watcher.stop().success());

    // The next server is asked when one fails.
    let mut command = live.command();
    let watcher = Watcher::start(command.args(["--server", &serving]));
    watcher.until_verified(1).await;
    assert!(watcher.alarms().await.iter().all(|alarm| alarm.ended.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn guarded_coins_leave_when_a_block_is_withheld() {
    let anvil = Anvil::start();
    let mut live = Live::start(&anvil).await;
    let (keystores, password) = (live.data.path().join("keystore"), live.data.path().join("password"));
    fs::create_dir_all(&keystores).unwrap();
    fs::write(&password, "secret\n").unwrap();
    Account::from_hex(KEYS[2]).unwrap().save_keystore(&keystores, "alice", "secret").unwrap();
    let mut command = live.command();
    let watcher = Watcher::start(command.args(["--guard", "alice", "--password-file"]).arg(password));
    let (spent, coins) = live.first_block().await;
    let uncovered = live.deposit(7 * FINNEY).await;
    watcher.until_verified(1).await;

    let payment = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
    let bad = live.commit(&live.chain.clone().block(&[payment], &[])).await;
    watcher.until("seen", |status| status.block.committed.get() == 2).await;
    assert!(watcher.get::<List<ExitAnswer>>("/v1/exits").await.items.is_empty());
    anvil.move_time(PERIODS.grace() + 1).await;
    watcher.until_alarm(|alarm| alarm.kind == AlarmKind::WithheldBlock).await;
    let started = Instant::now();
    let exits = loop {
        let exits = watcher.get::<List<ExitAnswer>>("/v1/exits").await.items;
        if exits.len() == 2 {
            break exits;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{exits:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for exit in &exits {
        let pending = exit.pending.as_ref().unwrap();
        assert!(
            pending.key < bad.timestamp + 2 * PERIODS.minimum_exit_period,
            "it is paid before anything of the bad block"
        );
    }
    // The spent deposit stays: its exit would be challenged. So does bob's coin, which nobody guards.
    let left: BTreeSet<_> = exits.iter().map(|exit| exit.id).collect();
    assert_eq!(left, BTreeSet::from([coins[1].id, uncovered.output_id()]));
    assert!(!left.contains(&spent.output_id()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(watcher.get::<List<ExitAnswer>>("/v1/exits").await.items.len(), 2, "once each");
    assert_eq!(watcher.alarms().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_chain_that_lies_makes_it_blind_and_never_wrong() {
    let (anvil, elsewhere) = (Anvil::start(), Anvil::start());
    elsewhere.deploy().await;
    let mut live = Live::start(&anvil).await;
    let lies = [Lie::Stall, Lie::StaleHead, Lie::FutureHead, Lie::Huge, Lie::Cut, Lie::NoLogs, Lie::OtherChain];
    let mut watchers = Vec::new();
    let contract = live.deployment.contract.to_checksum(None);
    for lie in lies {
        let proxy = Proxy::start(&anvil.url, &elsewhere.url).await;
        let data = tempfile::tempdir().unwrap();
        let mut command = Watcher::command(&proxy.url, &contract, &live.server, data.path());
        let watcher = Watcher::start(command.args(["--finality-depth", "3"]));
        watchers.push((lie, proxy, watcher, data));
    }
    let (_, coins) = live.first_block().await;
    for (_, _, watcher, _) in &watchers {
        watcher.until_verified(1).await;
    }
    for (lie, proxy, ..) in &watchers {
        proxy.tell(Some(*lie));
    }
    let lied = Instant::now();
    let payment = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
    let built = live.chain.block(&[payment], &[]);
    live.commit_and_serve(&built).await;
    for (lie, _, watcher, _) in &watchers {
        watcher.until_alarm(|alarm| alarm.kind == AlarmKind::BlindRootChain).await;
        assert!(lied.elapsed() < Duration::from_secs(30), "{lie:?}");
    }
    for (_, proxy, ..) in &watchers {
        proxy.tell(None);
    }
    for (lie, _, watcher, _) in &watchers {
        watcher.until_verified(2).await;
        let alarms = watcher.alarms().await;
        assert!(alarms.iter().all(|alarm| alarm.kind == AlarmKind::BlindRootChain), "{lie:?}: {alarms:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unsafe_is_refused_with_exit_code_3() {
    let anvil = Anvil::start();
    let live = Live::start(&anvil).await;
    let watcher = live.watcher();
    watcher.until("synced", |status| status.synced).await;
    let locked = live.command().stdout(Stdio::null()).status().unwrap();
    assert_eq!(locked.code(), Some(3), "another process works in the folder");
    assert!(watcher.stop().success());

    let other = Live::start(&anvil).await;
    let mut command =
        Watcher::command(&anvil.url, &other.deployment.contract.to_checksum(None), &other.server, live.data.path());
    let foreign = command.args(["--finality-depth", "3"]).stdout(Stdio::null()).status().unwrap();
    assert_eq!(foreign.code(), Some(3), "the folder is another deployment's");

    for depth in ["129", "60"] {
        let contract = other.deployment.contract.to_checksum(None);
        let mut command = Watcher::command(&anvil.url, &contract, &other.server, other.data.path());
        let status = command.args(["--finality-depth", depth]).stdout(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(3), "depth {depth}");
    }
}
