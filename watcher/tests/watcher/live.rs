//! The program against a real root chain with the real contract. The test plays the operator.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use plasmid_exit_game::block::Header;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::Position;
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_harness::anvil;
use plasmid_harness::proxy::{Mischief, Proxy};
use plasmid_harness::world::{PERIODS, World};
use plasmid_node::client::ClientError;
use plasmid_node::problem::Code;
use plasmid_node::wire::evidence::Evidence;
use plasmid_node::wire::{Block, List, Status, Verdict};
use plasmid_root_chain::calls::{InclusionProof, Submission};
use plasmid_root_chain::node::{Call, GasLimit};
use plasmid_root_chain::sender::Sender;
use plasmid_watcher::alarms::AlarmKind;
use plasmid_watcher::api::{CoinMoment, ExitAnswer, ExitState, Obligation};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child_chain::{Built, ChildChain, Coin, Person, Preimage, deposit_coin, made, pay, preimage};
use crate::program::{Bodies, Watcher};

/// A thousandth of an ether: more than an exit costs.
pub(crate) const FINNEY: u128 = 1_000_000_000_000_000;

/// A deployment, its operator and its people.
pub(crate) struct Live {
    pub(crate) world: World,
    operator: Sender,
    pub(crate) chain: ChildChain,
    pub(crate) bodies: Bodies,
    server: String,
    pub(crate) data: TempDir,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
}

impl Live {
    pub(crate) async fn start() -> Self {
        let world = World::bare().await;
        let bodies = Bodies::default();
        Self {
            operator: world.sender(&world.people.operator).await,
            chain: ChildChain::new(world.domain()),
            server: bodies.serve().await,
            bodies,
            data: tempfile::tempdir().unwrap(),
            alice: Person::from_hex(world.people.alice.key),
            bob: Person::from_hex(world.people.bob.key),
            world,
        }
    }

    /// A watcher that keeps its data in this folder.
    pub(crate) fn command_at(&self, root_url: &str, data: &Path) -> std::process::Command {
        let contract = self.world.deployment.contract.to_checksum(None);
        Watcher::command(root_url, &contract, &self.server, data)
    }

    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = self.command_at(self.world.anvil.url(), self.data.path());
        command.args(["--finality-depth", "3"]);
        command
    }

    /// Starts a watcher that has an account.
    pub(crate) fn watcher(&self) -> Watcher {
        let mut command = self.command();
        command.args(["--unsafe-private-key", self.world.people.watcher.key]);
        Watcher::start(&mut command)
    }

    pub(crate) async fn move_time(&self, secs: u64) {
        anvil::move_time(self.world.root.node().rpc(), secs).await;
    }

    pub(crate) async fn reorganise(&self, depth: u64) {
        anvil::reorganise(self.world.root.node().rpc(), depth).await;
    }

    pub(crate) async fn deposit(&self, amount: u128) -> Deposit {
        let landed = self.operator.send(&self.world.root.deposit(self.alice.address(), amount)).await.unwrap();
        match self.world.events(&landed)[..] {
            [RootEvent::Deposited(deposit)] => deposit,
            ref events => panic!("{events:?}"),
        }
    }

    pub(crate) async fn commit(&self, built: &Built) -> Header {
        // A trial of the call runs at the head's time, which must be later than the last block's.
        let last = self.world.root.child_chain().await.unwrap().last_timestamp;
        let anchor = loop {
            let head = self.world.root.node().head().await.unwrap();
            if head.timestamp > last {
                break head;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let Header { number, tx_root, utxo_root, tx_count, deposit_count, .. } = built.header;
        let (anchor, not_after) = (anchor.at, anchor.timestamp + 60);
        let submission = Submission { number, tx_root, utxo_root, tx_count, deposit_count, anchor, not_after };
        let landed = self.operator.send(&self.world.root.submit_block(&submission)).await.unwrap();
        match self.world.events(&landed)[..] {
            [RootEvent::BlockSubmitted(header)] => header,
            ref events => panic!("{events:?}"),
        }
    }

    pub(crate) async fn commit_and_serve(&self, built: &Built) -> Header {
        self.bodies.put(built.header.number.get(), built.body.clone());
        self.commit(built).await
    }

    /// Alice deposits 100, and block 1 pays 60 of it to bob.
    pub(crate) async fn first_block(&mut self) -> (Deposit, Vec<Coin>) {
        let deposit = self.deposit(100 * FINNEY).await;
        let payment = self.first_payment(&deposit);
        let built = self.chain.block(std::slice::from_ref(&payment), &[deposit]);
        self.commit_and_serve(&built).await;
        (deposit, made(&payment, 1, 0))
    }

    pub(crate) fn first_payment(&self, deposit: &Deposit) -> PlacedTransaction {
        let outputs = vec![self.bob.owns(60 * FINNEY), self.alice.owns(40 * FINNEY)];
        pay(self.chain.domain(), &self.alice, &[deposit_coin(deposit)], outputs)
    }

    /// Alice exits the deposit that she has spent.
    async fn start_theft(&self, deposit: &Deposit) {
        let alice = self.world.sender(&self.world.people.alice).await;
        let bond = self.world.deployment.bonds.exit_bond_wei;
        // An estimate made under a key that is listed is too low for one that is not.
        let call = self.world.root.start_standard_exit_of_deposit(deposit, 0, bond);
        alice.send(&Call { gas: GasLimit::Exactly(200_000), ..call }).await.unwrap();
    }

    async fn until_challenged(&self, watcher: &Watcher, deposit: &Deposit) {
        let started = Instant::now();
        loop {
            let exit = watcher.client.get::<ExitAnswer>(&format!("/v1/exits/{}", deposit.output_id())).await;
            let word = self.world.root.coin(deposit.output_id()).await.unwrap();
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
    let mut live = Live::start().await;
    let watcher = live.watcher();
    let (deposit, _) = live.first_block().await;
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

    // Again, as the coin is free again, with the watcher killed and started in between.
    watcher.kill();
    live.start_theft(&deposit).await;
    let watcher = live.watcher();
    live.until_challenged(&watcher, &deposit).await;
    assert!(watcher.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_that_drops_blocks_and_challenges_changes_nothing_in_the_end() {
    let mut live = Live::start().await;
    let watcher = live.watcher();
    let (deposit, coins) = live.first_block().await;
    watcher.until_verified(1).await;

    let payment = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
    let built = live.chain.block(&[payment], &[]);
    live.commit_and_serve(&built).await;
    watcher.until_verified(2).await;
    live.reorganise(2).await;
    watcher.until("back at block 1", |status| status.block.committed.get() == 1).await;
    live.commit(&built).await;
    watcher.until_verified(2).await;

    live.start_theft(&deposit).await;
    live.until_challenged(&watcher, &deposit).await;
    live.reorganise(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    live.until_challenged(&watcher, &deposit).await;
    assert!(watcher.alarms().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_of_the_anchor_and_a_reorganisation_leaves_it_good() {
    let mut live = Live::start().await;
    let watcher = live.watcher();
    let (_, coins) = live.first_block().await;
    watcher.until_verified(1).await;
    let path = format!("/v1/evidence/{}", coins[0].id);
    let early = watcher.client.get::<Evidence>(&path).await.unwrap_err();
    assert!(matches!(&early, ClientError::Problem { problem, .. } if problem.code == Code::NotReady), "{early:?}");

    watcher.until("final", |status| status.block.final_.get() == 1).await;
    let next = live.chain.block(&[], &[]);
    live.commit_and_serve(&next).await;
    watcher.until_verified(2).await;
    let Evidence { exported_at, coins, .. } = watcher.get(&path).await;
    coins[0].verify().unwrap();
    assert_eq!(coins[0].unspent.as_ref().unwrap().block.get(), 1, "block 2 is not final");
    live.reorganise(2).await;
    let still = live.world.root.node().block_by_number(exported_at.number).await.unwrap().unwrap();
    assert_eq!(still.at.hash, exported_at.hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_body_raises_the_alarm_after_grace_and_it_stays() {
    let mut live = Live::start().await;
    let watcher = live.watcher();
    let (_, coins) = live.first_block().await;
    watcher.until_verified(1).await;
    let payment = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
    let built = live.chain.block(&[payment], &[]);
    let header = live.commit(&built).await;
    watcher.until("seen", |status| status.block.committed.get() == 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(watcher.alarms().await.is_empty(), "its time is not over");

    live.world.move_time(PERIODS.grace() + 1).await;
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
    type Story = fn(&Live, &[Coin], &Deposit) -> Preimage;
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
    for (rule, story) in stories {
        let mut live = Live::start().await;
        // Without an account: a challenge would end the exit that R7 needs.
        let watcher = Watcher::start(&mut live.command());
        let (deposit, coins) = live.first_block().await;
        watcher.until_verified(1).await;
        if rule == "R7" {
            exit_change(&live, &watcher, &coins[1]).await;
            live.world.move_time(2 * PERIODS.minimum_exit_period).await;
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
async fn exit_change(live: &Live, watcher: &Watcher, change: &Coin) {
    let inclusion = watcher.client.inclusion(change.id).await.unwrap().verify().unwrap();
    let proof = InclusionProof {
        header: inclusion.header,
        tx_index: inclusion.place.index,
        witness_hash: inclusion.transaction.witness.hash(),
        path: inclusion.path,
    };
    let (body, bond) = (inclusion.transaction.body.encode(), live.world.deployment.bonds.exit_bond_wei);
    let call = live.world.root.start_standard_exit(&body, 1, &proof, 0, bond);
    live.world.send(&live.world.people.alice, &call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_chain_that_hangs_makes_it_blind_and_never_wrong() {
    let mut live = Live::start().await;
    let proxy = Proxy::start(live.world.anvil.url()).await;
    let mut command = live.command_at(&proxy.url(), live.data.path());
    let watcher = Watcher::start(command.args(["--finality-depth", "3"]));
    live.first_block().await;
    watcher.until_verified(1).await;
    proxy.set(Mischief::Stall);
    let stopped = Instant::now();
    watcher.until_alarm(|alarm| alarm.kind == AlarmKind::BlindRootChain).await;
    // A quarter of F, and a second to notice.
    assert!(stopped.elapsed() < Duration::from_secs(PERIODS.freeze_delay().div_ceil(4) + 2));
    assert!(!watcher.client.status().await.unwrap().synced);
    proxy.set(Mischief::None);
    watcher.until_verified(1).await;
    assert!(watcher.alarms().await.iter().all(|alarm| alarm.ended.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_answer_make_it_blind_before_they_make_it_certain() {
    let mut live = Live::start().await;
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
async fn guarded_coins_leave_when_a_block_is_withheld_or_invalid() {
    for kind in [AlarmKind::WithheldBlock, AlarmKind::InvalidBlock] {
        let mut live = Live::start().await;
        let (keystores, password) = (live.data.path().join("keystore"), live.data.path().join("password"));
        fs::create_dir_all(&keystores).unwrap();
        fs::write(&password, "secret\n").unwrap();
        live.world.people.alice.account().save_keystore(&keystores, "alice", "secret").unwrap();
        let mut command = live.command();
        let watcher = Watcher::start(command.args(["--guard", "alice", "--password-file"]).arg(password));
        let (spent, coins) = live.first_block().await;
        let uncovered = live.deposit(7 * FINNEY).await;
        watcher.until_verified(1).await;

        // Bob takes alice's change.
        let theft = pay(live.chain.domain(), &live.bob, &coins[1..], vec![live.bob.owns(40 * FINNEY)]);
        let built = live.chain.block(&[theft], &[]);
        let bad = live.commit(&built).await;
        watcher.until("seen", |status| status.block.committed.get() == 2).await;
        assert!(watcher.get::<List<ExitAnswer>>("/v1/exits").await.items.is_empty());
        if kind == AlarmKind::WithheldBlock {
            live.world.move_time(PERIODS.grace() + 1).await;
        } else {
            live.bodies.put(2, built.body);
        }
        watcher.until_alarm(|alarm| alarm.kind == kind).await;
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
                "started before T + MEP − G: it is paid before anything of the bad block"
            );
        }
        // The spent deposit stays: its exit would be challenged. So does bob's coin, which nobody guards.
        let left: BTreeSet<_> = exits.iter().map(|exit| exit.id).collect();
        assert_eq!(left, BTreeSet::from([coins[1].id, uncovered.output_id()]));
        assert!(!left.contains(&spent.output_id()));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(watcher.get::<List<ExitAnswer>>("/v1/exits").await.items.len(), 2, "once each");
        // That there is no account to convict the block is another.
        let alarms = watcher.alarms().await;
        assert_eq!(alarms.iter().filter(|alarm| alarm.kind != AlarmKind::ActFails).count(), 1, "{alarms:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_set_aside_loudly_and_made_anew() {
    let mut live = Live::start().await;
    let watcher = live.watcher();
    let (deposit, _) = live.first_block().await;
    watcher.until_verified(1).await;
    watcher.kill();
    let history = live.data.path().join("history");
    for file in fs::read_dir(&history).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let bytes: Vec<u8> = fs::read(&file).unwrap().iter().map(|byte| byte ^ 0x5a).collect();
        fs::write(file, bytes).unwrap();
    }
    let watcher = live.watcher();
    let alarm = watcher.until_alarm(|alarm| alarm.kind == AlarmKind::Damaged).await;
    assert!(alarm.message.contains("history.damaged-1"), "{}", alarm.message);
    watcher.until_verified(1).await;
    live.start_theft(&deposit).await;
    live.until_challenged(&watcher, &deposit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_catches_up_from_nothing_and_from_an_archive_folder_and_says_how_far_it_is() {
    let mut live = Live::start().await;
    let (deposit, mut coins) = live.first_block().await;
    let mut hidden = Vec::new();
    for number in 2..=4 {
        let payment = pay(live.chain.domain(), &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
        coins = made(&payment, number, 0);
        let built = live.chain.block(&[payment], &[]);
        live.commit(&built).await;
        hidden.push(built.body);
    }
    let watcher = live.watcher();
    for (number, body) in (2..).zip(hidden) {
        let is_behind =
            |status: &Status| status.block.committed.get() == 4 && status.block.verified.get() == number - 1;
        let status = watcher.until("as far as bodies are served", is_behind).await;
        assert!(!status.synced, "{status:?}");
        live.bodies.put(number, body);
    }
    watcher.until_verified(4).await;
    assert!(watcher.stop().success());

    // Bodies alone, and nobody who serves any.
    let archive = std::mem::replace(&mut live.data, tempfile::tempdir().unwrap());
    fs::rename(archive.path().join("archive"), live.data.path().join("archive")).unwrap();
    live.server = "http://127.0.0.1:1".to_owned();
    let watcher = live.watcher();
    watcher.until_verified(4).await;
    live.start_theft(&deposit).await;
    live.until_challenged(&watcher, &deposit).await;
    assert!(watcher.alarms().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_chain_that_lies_makes_it_blind_and_never_wrong() {
    let mut live = Live::start().await;
    let head: Value =
        live.world.root.node().rpc().read("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
    // None: another chain, with the same id and a contract at the same address.
    let elsewhere = World::bare().await;
    assert_eq!(elsewhere.deployment.contract, live.world.deployment.contract);
    let lies = [
        Some(Mischief::Stall),
        Some(Mischief::Lie { method: "eth_getBlockByNumber", result: head }),
        Some(Mischief::HeadAhead(1_000_000)),
        Some(Mischief::Huge(64 << 20)),
        Some(Mischief::Cut),
        Some(Mischief::Lie { method: "eth_getLogs", result: json!([]) }),
        None,
    ];
    let mut watchers = Vec::new();
    for lie in lies {
        let proxy = Proxy::start(live.world.anvil.url()).await;
        let data = tempfile::tempdir().unwrap();
        let mut command = live.command_at(&proxy.url(), data.path());
        let watcher = Watcher::start(command.args(["--finality-depth", "3"]));
        watchers.push((lie, proxy, watcher, data));
    }
    let (_, coins) = live.first_block().await;
    for (_, _, watcher, _) in &watchers {
        watcher.until_verified(1).await;
    }
    for (lie, proxy, ..) in &watchers {
        match lie {
            Some(mischief) => proxy.set(mischief.clone()),
            None => proxy.redirect(elsewhere.anvil.url()),
        }
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
        proxy.set(Mischief::None);
        proxy.redirect(live.world.anvil.url());
    }
    for (lie, _, watcher, _) in &watchers {
        watcher.until_verified(2).await;
        let alarms = watcher.alarms().await;
        assert!(alarms.iter().all(|alarm| alarm.kind == AlarmKind::BlindRootChain), "{lie:?}: {alarms:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unsafe_is_refused_with_exit_code_3() {
    let live = Live::start().await;
    let watcher = live.watcher();
    watcher.until("synced", |status| status.synced).await;
    let locked = live.command().stdout(Stdio::null()).status().unwrap();
    assert_eq!(locked.code(), Some(3), "another process works in the folder");
    assert!(watcher.stop().success());

    let other = Live::start().await;
    let mut command = other.command_at(other.world.anvil.url(), live.data.path());
    let foreign = command.args(["--finality-depth", "3"]).stdout(Stdio::null()).status().unwrap();
    assert_eq!(foreign.code(), Some(3), "the folder is another deployment's");

    for depth in ["129", "60"] {
        let mut command = other.command_at(other.world.anvil.url(), other.data.path());
        let status = command.args(["--finality-depth", depth]).stdout(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(3), "depth {depth}");
    }
}
