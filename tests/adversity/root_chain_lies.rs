//! A bad network, or a bad node, between the services and the root chain. §2, §7.

use std::time::{Duration, Instant};

use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_harness::anvil::{Anvil, Mining, mine_blocks};
use plasmid_harness::cheat::Serving;
use plasmid_harness::people::{Coin, Person};
use plasmid_harness::proxy::{Mischief, Proxy};
use plasmid_harness::world::{ETHER_UNIT, Setup, World, ether, eventually};
use plasmid_node::client::ClientError;
use plasmid_node::problem::Code;
use plasmid_node::wire::Verdict;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use serde_json::{Value, json};

use crate::metrics::series;

/// F is 30 s, so that an operator is blind after 7 s and a watcher after 8 s.
const HASTY: Setup = Setup { periods: Periods { minimum_exit_period: 240, sunset: 1_920 }, finality_depth: 3 };
/// How much later than that a blindness may show: a tick, a request, a busy machine.
const MARGIN: Duration = Duration::from_secs(4);
/// How long each mischief lasts where blindness is not the point.
const SPELL: Duration = Duration::from_millis(2_500);

/// When a lie begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misled {
    Before,
    Later,
}

/// A world whose services reach the root chain through a proxy each.
async fn proxied() -> (World, [Proxy; 2]) {
    let mut world = World::bare_with(HASTY).await;
    let proxies = [Proxy::start(world.anvil.url()).await, Proxy::start(world.anvil.url()).await];
    world.lead("plasmid-operator", &proxies[0].url());
    world.lead("plasmid-watcher", &proxies[1].url());
    world.start_services().await;
    (world, proxies)
}

fn set(proxies: &[Proxy; 2], mischief: &Mischief) {
    proxies.iter().for_each(|proxy| proxy.set(mischief.clone()));
}

/// A mischief's name without what it says.
fn name(mischief: &Mischief) -> String {
    let text = format!("{mischief:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// What became of a payment: accepted, or refused with this code.
async fn paid(world: &World, payer: &Person, coin: &Coin, to: &Person) -> Result<(), Code> {
    let signed = payer.sign(&world.domain(), &[*coin], vec![ether(to, coin.output.amount)]);
    match world.operator().submit(&signed.body, &signed.signature).await {
        Ok(_) => Ok(()),
        Err(ClientError::Problem { problem, .. }) => Err(problem.code),
        Err(error) => panic!("not refused but failed: {error:?}"),
    }
}

/// Returns at least `count` coins of somebody's.
async fn change(world: &World, person: &Person, count: usize) -> Vec<Coin> {
    let mut coins = Vec::new();
    while coins.len() < count {
        let deposit = world.deposit(person, 16).await;
        world.covered(&deposit).await;
        coins.extend(world.pay(person, &[deposit], vec![ether(person, 1); 16]).await);
    }
    world.settled().await;
    coins
}

/// Every committed block is one that the watcher found valid, and it has nothing to alarm about.
async fn nothing_is_wrong(world: &World, after: &str) {
    world.settled().await;
    let status = world.watcher().status().await.expect("the watcher answers");
    assert_eq!(status.block.verified, status.block.committed, "{after}: {status:?}");
    let contract = world.root.child_chain().await.expect("the root chain answers");
    let committed = contract.next_number.previous().expect("numbers begin with 1");
    assert!(status.block.committed <= committed, "{after}: {status:?}");
    for alarm in alarms(world).await {
        let kind = alarm["kind"].as_str().unwrap_or_default();
        assert!(kind == "blind-root-chain" || kind == "blind-servers", "{after}: {alarm}");
    }
}

async fn alarms(world: &World) -> Vec<Value> {
    let reply = reqwest::get(format!("{}/v1/alarms", world.watcher().url())).await.expect("the watcher answers");
    let alarms: Value = serde_json::from_slice(&reply.bytes().await.expect("the whole answer")).expect("JSON");
    alarms["items"].as_array().or(alarms.as_array()).expect("a list").clone()
}

/// The alarm that the watcher is blind, if it stands.
async fn blind(world: &World) -> Option<Value> {
    let is_blind = |alarm: &Value| alarm["kind"] == "blind-root-chain" && alarm["ended"].is_null();
    alarms(world).await.into_iter().find(is_blind)
}

#[tokio::test]
async fn no_mischief_on_the_way_to_the_root_chain_makes_a_wrong_commitment_or_verdict() {
    let (world, proxies) = proxied().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let mischiefs = [
        Mischief::Delay(Duration::from_millis(600)),
        Mischief::Cut,
        Mischief::Repeat,
        Mischief::Reorder,
        Mischief::Garbage("{\"jsonrpc\":\"2.0\",\"id\":1"),
        Mischief::Garbage("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"number\":\"0xffffffffffffffffffffffff\"}}"),
        Mischief::Huge(32 << 20),
        Mischief::HeadBehind(4),
        Mischief::HeadAhead(1_000_000),
        Mischief::HeadForged(10_000),
        Mischief::Lie { method: "eth_getBlockByNumber", result: Value::Null },
        Mischief::Lie { method: "eth_chainId", result: json!("0x1") },
        Mischief::Down,
    ];
    let coins = change(&world, alice, mischiefs.len() * 3).await;
    let (mut accepted, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    for (mischief, coins) in mischiefs.iter().zip(coins.chunks(3)) {
        set(&proxies, mischief);
        let began = Instant::now();
        for coin in coins {
            match paid(&world, alice, coin, bob).await {
                Ok(()) => accepted += 1,
                Err(Code::RootChainBehind | Code::NotReady) => refused += 1,
                Err(code) => panic!("{mischief:?}: {code:?}"),
            }
            tokio::time::sleep(SPELL / 3).await;
        }
        if matches!(mischief, Mischief::Delay(_)) {
            // A slow node is followed all the same, if not to its head.
            let head = world.root.node().head().await.expect("the root chain answers").at.number;
            eventually("both services follow a slow node", async || {
                let (operator, watcher) = (world.operator().status().await.ok()?, world.watcher().status().await.ok()?);
                (operator.root?.number >= head && watcher.root?.number >= head).then_some(())
            })
            .await;
        }
        let lasted = began.elapsed();
        set(&proxies, &Mischief::None);
        let began = Instant::now();
        nothing_is_wrong(&world, &format!("{mischief:?}")).await;
        println!("{}: lasted {lasted:.1?}, all well after {:.1?}", name(mischief), began.elapsed());
        slowest = slowest.max(began.elapsed());
    }
    let spoilt = proxies.iter().map(Proxy::spoilt).sum::<u64>();
    println!(
        "faults: {} kinds of mischief, {spoilt} replies spoilt: {accepted} payments accepted, {refused} refused, \
         0 wrong commitments, 0 wrong verdicts, all recovered within {slowest:?}",
        mischiefs.len()
    );
}

#[tokio::test]
async fn a_node_that_comes_back_on_another_chain_is_not_followed() {
    let (world, proxies) = proxied().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let coins = change(&world, alice, 2).await;
    // Same chain id, same addresses; shorter at first, longer later.
    let other = Anvil::start(Mining::EverySecond);
    let rpc = Rpc::new(&[other.url().to_owned()], RpcSettings::default()).expect("anvil's address is a URL");
    for (coin, blocks) in coins.iter().zip([1, 1_000]) {
        mine_blocks(&rpc, blocks).await;
        let before = world.watcher().status().await.expect("the watcher answers").block;
        proxies.iter().for_each(|proxy| proxy.redirect(other.url()));
        tokio::time::sleep(SPELL).await;
        for client in [world.operator(), world.watcher()] {
            let status = client.status().await.expect("a service that goes on");
            assert!(status.block.committed >= before.committed, "nothing is taken back: {status:?}");
        }
        // Accepted or not: what is accepted is committed in the end, and on the right chain.
        let outcome = paid(&world, alice, coin, bob).await;
        assert!(matches!(outcome, Ok(()) | Err(Code::RootChainBehind)), "{outcome:?}");
        proxies.iter().for_each(|proxy| proxy.redirect(world.anvil.url()));
        nothing_is_wrong(&world, "another chain").await;
    }
    println!("faults: 2 times another chain behind the same address: 0 blocks taken back, 0 wrong commitments");
}

#[tokio::test]
async fn a_node_that_leaves_out_logs_is_not_believed() {
    let (world, proxies) = proxied().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let mut coins = change(&world, alice, 48).await.into_iter();
    for round in 1..=2 {
        proxies[0].set(Mischief::Lie { method: "eth_getLogs", result: json!([]) });
        let left_out = world.deposit(bob, 7).await;
        let began = Instant::now();
        while paid(&world, alice, &coins.next().expect("one for each try"), bob).await != Err(Code::RootChainBehind) {
            assert!(began.elapsed() < MARGIN, "still accepting after {:?}", began.elapsed());
            tokio::time::sleep(MARGIN / 16).await;
        }
        let stopped = began.elapsed();
        let log = world.log("plasmid-operator");
        assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("logs")), "loudly: {log}");

        proxies[0].set(Mischief::None);
        world.covered(&left_out).await;
        let again = world.deposit(bob, 7).await;
        world.covered(&again).await;
        assert_eq!(paid(&world, bob, &left_out, alice).await, Ok(()));
        nothing_is_wrong(&world, "logs left out").await;
        println!("faults: {round}. deposit left out of the logs: stopped after {stopped:?}, then whole again");
    }
}

#[tokio::test]
async fn blindness_is_said_in_time_and_what_was_missed_is_made_up_for() {
    let (world, proxies) = proxied().await;
    let (mallory, bob) = (&world.people.mallory, &world.people.bob);
    let (operator_blind, watcher_blind) = (Duration::from_secs(7), Duration::from_secs(8));
    let coins = change(&world, mallory, 12).await;
    let head: Value =
        world.root.node().rpc().read("eth_getBlockByNumber", json!(["latest", false])).await.expect("a head");
    let mischiefs = [Mischief::Stall, Mischief::Down, Mischief::Lie { method: "eth_getBlockByNumber", result: head }];
    for (mischief, coins) in mischiefs.iter().zip(coins.chunks(4)) {
        let (stolen, others) = (coins[0], &coins[1..]);
        let name = name(mischief);
        assert_eq!(paid(&world, mallory, &stolen, bob).await, Ok(()));
        world.settled().await;
        let blind_before = series(&world.watcher(), "plasmid_watcher_blind").await;
        assert_eq!(blind_before, Some(0.0));
        set(&proxies, mischief);
        let began = Instant::now();
        // A thief has waited for this.
        world.start_exit(mallory, &stolen).await;

        let alarm = eventually("the watcher says that it is blind", async || blind(&world).await).await;
        let said_after = began.elapsed();
        assert!(said_after < watcher_blind + MARGIN, "{mischief:?}: blind said after {said_after:?}");
        assert_eq!(series(&world.watcher(), "plasmid_watcher_blind").await, Some(1.0), "{alarm}");
        let stopped = eventually("the operator refuses", async || match paid(&world, mallory, &others[0], bob).await {
            Err(Code::RootChainBehind) => Some(began.elapsed()),
            Ok(()) | Err(_) => None,
        })
        .await;
        assert!(stopped < operator_blind + MARGIN * 2, "{mischief:?}: stopped after {stopped:?}");
        let lag = series(&world.operator(), "plasmid_operator_root_chain_lag_seconds").await;
        assert!(lag >= Some(operator_blind.as_secs_f64() - 1.0), "{mischief:?}: lag {lag:?}");
        println!("{name}: watcher blind after {said_after:?}, operator stopped within {stopped:?}");

        set(&proxies, &Mischief::None);
        let began = Instant::now();
        eventually("the exit is challenged", async || {
            world.root.coin(stolen.id).await.ok()?.record_hash.is_zero().then_some(())
        })
        .await;
        let challenged = began.elapsed();
        eventually("the operator goes on", async || paid(&world, mallory, &others[1], bob).await.ok()).await;
        nothing_is_wrong(&world, &name).await;
        assert!(blind(&world).await.is_none(), "the alarm is over");
        println!("faults: {name}: challenged {challenged:?} after sight came back, 0 missed");
    }
}

#[tokio::test]
async fn what_a_cheat_commits_while_the_watcher_is_misled_is_found_and_nothing_else() {
    let mut world = World::bare_with(HASTY).await;
    let proxy = Proxy::start(world.anvil.url()).await;
    world.lead("plasmid-watcher", &proxy.url());
    let mut cheat = world.cheat().await;
    world.start_watcher(&cheat.url());
    let (alice, mallory) = (&world.people.alice, &world.people.mallory);
    let coin = world.deposit(alice, 100).await;
    cheat.cover(&[deposit_of(&coin)]);
    let mut coin = coin;
    let verdict = async |world: &World, number: BlockNumber| {
        world.watcher().block(number).await.map_or(Verdict::Unknown, |block| block.verdict)
    };
    let missing = Mischief::Lie { method: "eth_getLogs", result: json!([]) };
    // Misled before the block is committed, or when it is known and its body asked for in vain.
    let mischiefs = [
        (Misled::Before, Mischief::HeadForged(10_000)),
        (Misled::Later, Mischief::HeadForged(10_000)),
        (Misled::Later, Mischief::HeadAhead(1_000)),
        (Misled::Before, Mischief::HeadBehind(5)),
        (Misled::Before, Mischief::Reorder),
        (Misled::Later, Mischief::Reorder),
        (Misled::Before, missing),
    ];
    for (when, mischief) in &mischiefs {
        // The body comes late, though not too late: in truth its time is not over.
        let place = cheat.next_place(0);
        let payment = alice.sign(&world.domain(), &[coin], vec![ether(alice, 100)]);
        if *when == Misled::Before {
            proxy.set(mischief.clone());
        }
        let number = cheat.commit(std::slice::from_ref(&payment), Serving::Withheld).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.set(mischief.clone());
        tokio::time::sleep(SPELL).await;
        assert_eq!(verdict(&world, number).await, Verdict::Unknown, "{when:?} {mischief:?}");
        proxy.set(Mischief::None);
        cheat.relent(number);
        let what = format!("the block is found valid after {mischief:?}");
        eventually(&what, async || {
            let verdict = verdict(&world, number).await;
            assert!(matches!(verdict, Verdict::Unknown | Verdict::Valid), "{when:?} {mischief:?}: {verdict:?}");
            (verdict == Verdict::Valid).then_some(())
        })
        .await;
        coin = plasmid_harness::cheat::made(place, &payment.placed())[0];
    }
    proxy.set(Mischief::Stall);
    let minting = mallory.sign(&world.domain(), &[coin], vec![ether(mallory, ETHER_UNIT)]);
    let bad = cheat.commit(&[minting], Serving::Served).await;
    tokio::time::sleep(SPELL).await;
    proxy.set(Mischief::None);
    eventually("the bad block is found", async || (verdict(&world, bad).await == Verdict::Invalid).then_some(())).await;
    let found = alarms(&world).await;
    assert!(found.iter().any(|alarm| alarm["kind"] == "invalid-block" && alarm["ended"].is_null()), "{found:?}");
    println!(
        "faults: {} lies while bodies were late: 0 wrong verdicts; 1 bad block behind a stall: found",
        mischiefs.len()
    );
}

fn deposit_of(coin: &Coin) -> Deposit {
    match coin.position.kind() {
        PositionKind::Deposit(nonce) => Deposit { nonce, output: coin.output },
        PositionKind::Output(..) => panic!("not a deposit"),
    }
}
