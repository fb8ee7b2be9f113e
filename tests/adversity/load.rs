//! Too many at once: honest clients beside a flood, idle connections, slow and half-open ones.
//! `PLASMID_FAULT_SECS` is how long the flood lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::hex;
use plasmid_exit_game::signature::Domain;
use plasmid_harness::people::{Coin, Person, Signed};
use plasmid_harness::world::{World, ether};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::metrics::series;
use crate::wire::{Reply, Wire, address, post, resident_kib, setting};

/// How much a service may grow under a flood of requests that it refuses.
pub(crate) const MEMORY_GROWTH_MAX_KIB: u64 = 64 << 10;
const STRANGERS: u64 = 64;
const HONEST: usize = 8;
/// How long they are measured before the flood: a part of the flood's time, and at least so long.
const ALONE_DIVISOR: u32 = 4;
const ALONE_MIN: Duration = Duration::from_secs(4);

/// Neither service has panicked.
pub(crate) fn no_panic(world: &World) {
    for program in ["plasmid-operator", "plasmid-watcher"] {
        let log = world.log(program);
        let panics: Vec<_> = log.lines().filter(|line| line.contains("panicked")).collect();
        assert!(panics.is_empty(), "{program}: {panics:?}");
    }
}

fn json(signed: &Signed) -> Vec<u8> {
    let (body, signature) = (signed.body.encode(), signed.signature.encode());
    let (body, signature) = (hex::encode_prefixed(body), hex::encode_prefixed(signature));
    format!("{{\"body\":\"{body}\",\"signature\":\"{signature}\"}}").into_bytes()
}

/// Pays its own coin to itself, on and on, over one connection, until it is over. Every answer is an acceptance.
async fn pays_on(
    address: String,
    owner: Person,
    domain: Domain,
    mut coin: Coin,
    is_over: Arc<AtomicBool>,
) -> (Coin, u64) {
    let mut paid = 0;
    let mut wire = None;
    while !is_over.load(Ordering::Relaxed) {
        let signed = owner.sign(&domain, &[coin], vec![coin.output]);
        let request = post("/v1/transactions", "application/json", &json(&signed));
        let reply = loop {
            let mut open = match wire.take() {
                Some(open) => open,
                None => Wire::connect(&address).await.expect("the operator is there"),
            };
            // A connection that the server has closed is opened again, as any client does.
            if let Ok(reply) = open.exchange(&request).await {
                wire = (!reply.is_last).then_some(open);
                break reply;
            }
        };
        match reply.status {
            200 => {
                let answer: plasmid_node::wire::Accepted = serde_json::from_slice(&reply.body).expect("an acceptance");
                let id = plasmid_exit_game::output::OutputId::of_output(signed.body.hash(), 0);
                coin = Coin { id, position: answer.positions[0], output: coin.output };
                paid += 1;
            }
            429 | 503 => assert!(reply.is_civil(), "{reply:?}"),
            status => panic!("{status}: {}", String::from_utf8_lossy(&reply.body)),
        }
    }
    (coin, paid)
}

/// Runs the honest clients for a time and returns their coins, how many payments they made, and how many a second.
async fn throughput(world: &World, coins: Vec<Coin>, time: Duration) -> (Vec<Coin>, u64, f64) {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for coin in coins {
        let address = address(world.operator().url());
        clients.spawn(pays_on(address, world.people.alice.clone(), world.domain(), coin, is_over.clone()));
    }
    tokio::time::sleep(time).await;
    is_over.store(true, Ordering::Relaxed);
    let ended = clients.join_all().await;
    let paid: u64 = ended.iter().map(|(_, paid)| paid).sum();
    (ended.into_iter().map(|(coin, _)| coin).collect(), paid, paid as f64 / began.elapsed().as_secs_f64())
}

/// A stranger who sends changed copies of a valid payment as fast as they are answered.
async fn floods(address: String, valid: Signed, seed: u64, is_over: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    let mut random = StdRng::seed_from_u64(seed);
    let (body, signature) = (valid.body.encode(), valid.signature.encode());
    let mut wire = None;
    while !is_over.load(Ordering::Relaxed) {
        let (mut body, mut signature) = (body.clone(), signature);
        for _ in 0..random.random_range(1..=3) {
            let at = random.random_range(0..body.len() + signature.len());
            let bit = 1 << random.random_range(0..8);
            match body.get_mut(at) {
                Some(byte) => *byte ^= bit,
                None => signature[at - body.len()] ^= bit,
            }
        }
        if (&body, &signature) == (&valid.body.encode(), &valid.signature.encode()) {
            continue;
        }
        let request = if random.random_range(0..4) == 0 {
            let item = [&(body.len() as u16).to_be_bytes()[..], &body, &signature].concat();
            // Now and then as many as one request may hold.
            let count = if random.random_range(0..50) == 0 { 1_000 } else { random.random_range(1..4) };
            post("/v1/transactions/batch", "application/octet-stream", &item.repeat(count))
        } else {
            let (body, signature) = (hex::encode_prefixed(&body), hex::encode_prefixed(signature));
            let text = format!("{{\"body\":\"{body}\",\"signature\":\"{signature}\"}}");
            post("/v1/transactions", "application/json", text.as_bytes())
        };
        let mut open = match wire.take() {
            Some(open) => open,
            None => match Wire::connect(&address).await {
                Ok(open) => open,
                Err(_) => continue,
            },
        };
        let Ok(reply) = open.exchange(&request).await else { continue };
        answered.fetch_add(1, Ordering::Relaxed);
        assert!(reply.is_civil(), "{reply:?} {}", String::from_utf8_lossy(&reply.body));
        assert!(!is_accepted(&reply), "a changed payment: {}", String::from_utf8_lossy(&reply.body));
        wire = (!reply.is_last).then_some(open);
    }
}

fn is_accepted(reply: &Reply) -> bool {
    reply.status == 200 && reply.body.windows(8).any(|window| window == b"\"txHash\"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_clients_keep_half_of_their_throughput_beside_a_flood() {
    let world = World::honest().await;
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let (alice, mallory) = (&world.people.alice, &world.people.mallory);
    let (deposit, hers) = (world.deposit(alice, HONEST as u128).await, world.deposit(mallory, 1).await);
    world.covered(&deposit).await;
    world.covered(&hers).await;
    let valid = mallory.sign(&world.domain(), &[hers], vec![ether(mallory, 1)]);
    let coins = world.pay(alice, &[deposit], vec![ether(alice, 1); HONEST]).await;
    let time = Duration::from_secs(setting("PLASMID_FAULT_SECS", 10));
    let (coins, ..) = throughput(&world, coins, ALONE_MIN / 4).await;
    // What a payment leaves in memory for ever: its coins, its place. (Its body only until the block is final.)
    let pid = world.pid("plasmid-operator");
    world.settled().await;
    let small = resident_kib(pid);
    let (coins, paid, alone) = throughput(&world, coins, ALONE_MIN.max(time / ALONE_DIVISOR)).await;
    world.settled().await;
    let payment_kib = resident_kib(pid).saturating_sub(small) as f64 / paid as f64;

    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut strangers = JoinSet::new();
    for stranger in 0..STRANGERS {
        let address = address(world.operator().url());
        strangers.spawn(floods(address, valid.clone(), seed ^ stranger, is_over.clone(), answered.clone()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let warm = resident_kib(pid);
    let before = answered.load(Ordering::Relaxed);
    let (_, paid, beside) = throughput(&world, coins, time).await;
    let refused = answered.load(Ordering::Relaxed) - before;
    is_over.store(true, Ordering::Relaxed);
    // What honest clients are paid for stays in memory until it is committed and final: look when that is over.
    strangers.join_all().await;
    world.settled().await;
    let end = resident_kib(pid);
    let explained = (paid as f64 * payment_kib) as u64;
    println!(
        "faults: {refused} changed payments refused in {time:?} over {STRANGERS} connections; {HONEST} honest clients: \
         {alone:.0} payments/s alone, {beside:.0}/s beside them ({:.0} %); memory {warm} KiB when warm, {end} KiB after \
         {paid} payments, each of which needs {payment_kib:.2} KiB",
        100.0 * beside / alone
    );
    no_panic(&world);
    assert!(beside >= alone / 2.0, "{beside:.0}/s beside the flood, {alone:.0}/s alone");
    assert!(end.saturating_sub(warm + explained) < MEMORY_GROWTH_MAX_KIB, "{warm} KiB, then {end} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_that_say_nothing_or_little_keep_nobody_out() {
    const IDLE: usize = 10_000;
    let world = World::honest().await;
    let operator = address(world.operator().url());
    let alice = &world.people.alice;
    let deposit = world.deposit(alice, 1).await;
    world.covered(&deposit).await;
    let (mut coin, mut slowest, mut honest) = (deposit, Duration::ZERO, 0);
    let mut pays = async |coin: Coin| {
        let signed = alice.sign(&world.domain(), &[coin], vec![ether(alice, 1)]);
        let began = Instant::now();
        let mut wire = Wire::connect(&operator).await.expect("a connection");
        let reply = wire.exchange(&post("/v1/transactions", "application/json", &json(&signed))).await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        slowest = slowest.max(began.elapsed());
        honest += 1;
        let answer: plasmid_node::wire::Accepted = serde_json::from_slice(&reply.body).expect("an acceptance");
        let id = plasmid_exit_game::output::OutputId::of_output(signed.body.hash(), 0);
        Coin { id, position: answer.positions[0], output: coin.output }
    };

    let mut idle = Vec::new();
    let pid = world.pid("plasmid-operator");
    for opened in 0..IDLE {
        match Wire::connect(&operator).await {
            Ok(mut wire) => {
                // One in three says nothing, one begins a head, one begins a body.
                let words: &[u8] = match opened % 3 {
                    0 => b"",
                    1 => b"POST /v1/transactions HTTP/1.1\r\nhost:",
                    _ => b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{\"body\":",
                };
                drop(wire.send(words).await);
                idle.push(wire);
            }
            // As many as this process may have.
            Err(error) if error.raw_os_error() == Some(24) => break,
            Err(error) => panic!("connection {opened}: {error}"),
        }
        if opened % 500 == 0 {
            coin = pays(coin).await;
        }
    }
    // Those who are still there say a little more, now and then.
    for round in 0..8 {
        for wire in idle.iter_mut().skip(round).step_by(8) {
            drop(wire.send(b" ").await);
        }
        coin = pays(coin).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let (opened, memory) = (idle.len(), resident_kib(pid));
    let open = series(&world.operator(), "plasmid_http_connections").await;
    let evicted = series(&world.operator(), "plasmid_http_connections_evicted_total").await;
    assert!(open.is_some_and(|open| open <= 1_024.0), "{open:?}");
    drop(idle);
    pays(coin).await;
    no_panic(&world);
    println!(
        "faults: {opened} connections opened that say nothing or little, {open:?} kept, {evicted:?} closed for others: \
         {honest} honest requests answered, the slowest in {slowest:?}; memory {memory} KiB"
    );
    assert!(opened > 5_000 && slowest < Duration::from_secs(5));
}
