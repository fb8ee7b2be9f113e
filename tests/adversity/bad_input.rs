//! Strangers who send nonsense. `PLASMID_FAULT_BODIES` is how many malformed requests are sent.

use std::collections::BTreeMap;
use std::io;

use alloy_primitives::hex;
use plasmid_harness::world::{World, ether};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::load::{MEMORY_GROWTH_MAX_KIB, no_panic};
use crate::wire::{Reply, Wire, address, post, resident_kib, setting};

const ONE: &str = "/v1/transactions";
const MANY: &str = "/v1/transactions/batch";
const CONNECTIONS: u64 = 16;
const CONTENT_TYPES: [&str; 7] = [
    "application/json",
    "application/octet-stream",
    "text/plain; charset=utf-16",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "",
    "a/b/c;;;=",
];

/// A request, and how it ends.
enum Nonsense {
    /// A whole request: the connection may go on.
    Whole(Vec<u8>),
    /// Nothing follows, though something should.
    CutOff(Vec<u8>),
}

fn random_bytes(random: &mut StdRng, max: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..=max)];
    random.fill_bytes(&mut bytes);
    bytes
}

fn mutate(random: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..bytes.len().max(1));
        match random.random_range(0..6) {
            _ if bytes.is_empty() => bytes.push(random.random()),
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.random()),
            4 => drop(bytes.remove(at)),
            _ => bytes.extend_from_within(at..),
        }
    }
}

/// Makes a request that nobody should take, from valid ones.
fn nonsense(random: &mut StdRng, json: &[u8], binary: &[u8]) -> Nonsense {
    let content_type = CONTENT_TYPES[random.random_range(0..CONTENT_TYPES.len())];
    let path = if random.random() { ONE } else { MANY };
    let whole = |body: &[u8]| Nonsense::Whole(post(path, content_type, body));
    let head =
        |rest: &str| format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n{rest}\r\n\r\n");
    match random.random_range(0..16) {
        0 => whole(&random_bytes(random, 4_000)),
        1 => whole(&[]),
        2 | 3 => {
            let mut body = json.to_vec();
            mutate(random, &mut body);
            Nonsense::Whole(post(ONE, content_type, &body))
        }
        4 | 5 => {
            let mut body = binary.repeat(random.random_range(1..4));
            mutate(random, &mut body);
            Nonsense::Whole(post(MANY, content_type, &body))
        }
        6 => {
            let depth = random.random_range(1..4_000);
            let (open, close) = if random.random() { ("[", "]") } else { ("{\"body\":", "}") };
            whole(&[open.repeat(depth), close.repeat(depth)].concat().into_bytes()[..])
        }
        7 => {
            let texts = [
                r#"{"body":null,"signature":[]}"#,
                r#"{"body":1e999999,"signature":-0}"#,
                r#"{"body":"0x","signature":"0x"}"#,
                r#"{"body":"0x00","body":"0x00","signature":"0x"}"#,
                r#"{"body":"\ud800","signature":"\u0000"}"#,
                r#"{"body":"0xzz","signature":"0xzz","more":{}}"#,
                "nul",
                "\"",
                "{",
                "[1,2",
                "\u{feff}{}",
                "123456789012345678901234567890",
            ];
            whole(texts[random.random_range(0..texts.len())].as_bytes())
        }
        8 => whole(&vec![b'['; random.random_range(1..200_000)]),
        // Far more than anybody takes, as far as the head says.
        9 => Nonsense::CutOff(
            head(&format!("content-length: {}", random.random_range(1_u64 << 30..1 << 62))).into_bytes(),
        ),
        10 => {
            let body = if path == ONE { json } else { binary };
            let mut request = post(path, content_type, body);
            request.truncate(request.len() - random.random_range(1..body.len()));
            Nonsense::CutOff(request)
        }
        11 => {
            let chunks = [
                "zz\r\nabc\r\n0\r\n\r\n",
                "-1\r\n\r\n",
                "ffffffffffffffffff\r\nx",
                "5\r\nab",
                "5;x=\"\r\nabcde",
                "\r\n\r\n",
            ];
            let chunk = chunks[random.random_range(0..chunks.len())];
            Nonsense::CutOff([head("transfer-encoding: chunked").as_bytes(), chunk.as_bytes()].concat())
        }
        12 => {
            let mut request = head("transfer-encoding: chunked").into_bytes();
            for _ in 0..random.random_range(0..20) {
                let chunk = random_bytes(random, 300);
                if !chunk.is_empty() {
                    request.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat());
                }
            }
            request.extend(b"0\r\n\r\n");
            Nonsense::Whole(request)
        }
        13 => {
            let heads = [
                "content-length: -1",
                "content-length: 1\r\ncontent-length: 2",
                "content-length: 5\r\ntransfer-encoding: chunked",
                "content-length: 99999999999999999999999999",
                "transfer-encoding: gzip, chunked, x",
                "x: \u{0}\u{1}",
                " folded: yes",
            ];
            Nonsense::CutOff(head(heads[random.random_range(0..heads.len())]).into_bytes())
        }
        14 => Nonsense::CutOff(head(&format!("x: {}", "y".repeat(random.random_range(1..60_000)))).into_bytes()),
        _ => Nonsense::CutOff(random_bytes(random, 2_000)),
    }
}

/// Sends one, on the connection that is open or a new one. `Ok(None)`: closed without a word.
async fn send(wire: &mut Option<Wire>, address: &str, request: Nonsense) -> io::Result<Option<Reply>> {
    let mut open = match wire.take() {
        Some(open) => open,
        None => Wire::connect(address).await?,
    };
    let reply = match request {
        Nonsense::Whole(bytes) => open.exchange(&bytes).await,
        Nonsense::CutOff(bytes) => return Ok(open.end_with(&bytes).await.ok()),
    };
    match reply {
        Ok(reply) => {
            *wire = (!reply.is_last).then_some(open);
            Ok(Some(reply))
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(error),
        Err(_) => Ok(None),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_with_stable_codes_and_cost_no_memory() {
    let count = setting("PLASMID_FAULT_BODIES", 20_000);
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let world = World::honest().await;
    let alice = &world.people.alice;
    let deposit = world.deposit(alice, 10).await;
    world.covered(&deposit).await;
    let signed = alice.sign(&world.domain(), &[deposit], vec![ether(alice, 10)]);
    let (body, signature) = (signed.body.encode(), signed.signature.encode());
    let json = format!(
        "{{\"body\":\"{}\",\"signature\":\"{}\"}}",
        hex::encode_prefixed(&body),
        hex::encode_prefixed(signature)
    );
    let binary = [&(body.len() as u16).to_be_bytes()[..], &body, &signature].concat();
    let (json, binary) = (json.into_bytes(), binary);

    let pid = world.pid("plasmid-operator");
    let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
    let mut warm = 0;
    for (round, share) in [count / 10, count - count / 10].into_iter().enumerate() {
        let mut strangers = JoinSet::new();
        for stranger in 0..CONNECTIONS {
            let (json, binary) = (json.clone(), binary.clone());
            let address = address(world.operator().url());
            let mut random = StdRng::seed_from_u64(seed ^ (round as u64 * CONNECTIONS + stranger));
            strangers.spawn(async move {
                let (mut wire, mut statuses) = (None, BTreeMap::<String, u64>::new());
                for _ in 0..share / CONNECTIONS {
                    let request = nonsense(&mut random, &json, &binary);
                    let status = match send(&mut wire, &address, request).await.expect("the operator is there") {
                        Some(reply) => {
                            assert!(reply.is_civil(), "{reply:?} {}", String::from_utf8_lossy(&reply.body));
                            reply.status.to_string()
                        }
                        None => "closed".to_owned(),
                    };
                    *statuses.entry(status).or_default() += 1;
                }
                statuses
            });
        }
        while let Some(seen) = strangers.join_next().await {
            for (status, count) in seen.expect("no stranger panics") {
                *statuses.entry(status).or_default() += count;
            }
        }
        if round == 0 {
            warm = resident_kib(pid);
        }
    }
    let end = resident_kib(pid);
    let sent = statuses.values().sum::<u64>();
    println!("faults: {sent} malformed requests: {statuses:?}; memory {warm} KiB when warm, {end} KiB after");
    assert!(end.saturating_sub(warm) < MEMORY_GROWTH_MAX_KIB, "{warm} KiB, then {end} KiB");
    no_panic(&world);
    let answered = world.operator().submit(&signed.body, &signed.signature).await;
    answered.expect("and the payment that all of them were made from is accepted");
    world.settled().await;
}
