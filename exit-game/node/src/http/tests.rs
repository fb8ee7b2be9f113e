//! The server over real sockets: every route through the client, and strangers of all kinds.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{Transaction, body_len, witness_len};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warp::Filter;

use super::*;
use crate::client::{Client, ClientError, ClientLimits};
use crate::problem::{Code, Problem};
use crate::story::{DOMAIN, Story, person};
use crate::wire::form::Form;
use crate::wire::{Answer, BlockChoice, BlockState, CoinState, UnspentQuery};

const LIMITS: Limits = Limits {
    connections_max: 64,
    header_timeout: Duration::from_millis(300),
    request_timeout: Duration::from_millis(700),
    stall_timeout: Duration::from_millis(300),
    connection_time_max: Duration::from_secs(60),
    shutdown_timeout: Duration::from_secs(2),
};

/// A server with a payment in block 1, which is committed, and one in block 2, which is not.
struct Server {
    address: String,
    common: Common,
    folder: tempfile::TempDir,
    deposit: OutputId,
    paid: OutputId,
    pending_payment: OutputId,
    tx_hash: TxHash,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn server(limits: Limits) -> Server {
    let mut story = Story::new();
    let (alice, bob) = (person(1), person(2));
    let deposit = story.funds(&alice, 10);
    let (tx_hash, made) = story.pays(&alice, &[deposit], &[bob.owns(4), alice.owns(6)]);
    story.close();
    story.commit();
    let (_, more) = story.pays(&bob, &[made[0]], &[bob.owns(4)]);
    let Story { chain, folder, .. } = story;

    let mut metrics = Registry::default();
    metrics.register("payments", "Payments", Counter::<u64>::default());
    let traffic = Traffic::new(&mut metrics);
    let status = ServiceStatus {
        chain_id: DOMAIN.chain_id,
        contract: DOMAIN.contract,
        deployment_block: 100,
        synced: true,
        halted: false,
        closed: false,
        alarms: 0,
    };
    let common = Common {
        chain: Arc::new(RwLock::new(chain)),
        events: Events::new(4, 0xabc),
        status: Arc::new(move || status),
        receipt: Arc::new(|_| None),
        metrics: Arc::new(metrics),
    };
    let large = warp::path!("large").map(|| Response::new(vec![7; 64 << 20].into()));
    let panics = warp::path!("panics").map(|| -> Response { panic!("as asked for") });
    let slow = warp::path!("slow").then(async || {
        tokio::time::sleep(Duration::from_millis(400)).await;
        json(&"done")
    });
    let stuck = warp::path!("stuck").then(async || -> Response { std::future::pending().await });
    let echo = warp::path!("echo").and(warp::post()).and(body(1_000));
    let echo = echo.map(|body: Result<bytes::Bytes, Problem>| respond(body.map(|body| body.len())));
    let own = large.or(panics).unify().or(slow).unify().or(stuck).unify().or(echo).unify();
    let routes = common_routes(common.clone()).or(own).unify();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, routes, limits, traffic, async { drop(stopped.await) }));
    Server { address, common, folder, deposit, paid: made[0], pending_payment: more[0], tx_hash, stop, serving }
}

impl Server {
    fn client(&self) -> Client {
        Client::new(&format!("http://{}/", self.address), ClientLimits::default()).unwrap()
    }

    async fn raw(&self, request: &str) -> String {
        String::from_utf8_lossy(&self.raw_bytes(request).await).into_owned()
    }

    /// Sends bytes and returns all that comes back until the server closes.
    async fn raw_bytes(&self, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut reply)).await.expect("the server closes");
        reply
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        self.raw(&request(path, headers)).await
    }
}

fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
}

fn status_of(reply: &str) -> u16 {
    reply.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {reply:?}")).parse().unwrap()
}

/// Checks that a reply is a problem in full.
fn problem_of(reply: &str) -> Problem {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    let problem: Problem = serde_json::from_value(json.clone()).unwrap();
    assert_eq!((status_of(reply), &json["status"]), (problem.code.status(), &status_of(reply).into()));
    assert_eq!(json["type"], format!("urn:plasmid:problem:{}", problem.code));
    assert_eq!(head.contains("retry-after: "), matches!(problem.code.status(), 429 | 503));
    problem
}

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

fn code_of<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Code {
    match result.unwrap_err() {
        ClientError::Problem { problem, .. } => problem.code,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn every_route_answers_what_the_chain_knows() {
    let server = server(LIMITS).await;
    let client = server.client();
    let block = client.block(number(1)).await.unwrap();
    assert_eq!((block.state, block.tx_count), (BlockState::Committed, 1));
    assert_eq!(client.blocks(number(1), 1).await.unwrap().items, [block]);
    assert_eq!(client.blocks(number(1), 9).await.unwrap().items[1].state, BlockState::Open);
    let body = client.body(number(1), 10_000).await.unwrap();
    assert_eq!(body.len(), 4 + body_len(1, 2) + witness_len(1));

    let coin = client.coin(server.paid).await.unwrap();
    assert_eq!((coin.state, coin.output), (CoinState::Spent, person(2).owns(4)));
    let coins = client.coins(person(2).address(), None, None).await.unwrap();
    assert_eq!(coins.items.iter().map(|coin| coin.id).collect::<Vec<_>>(), [server.pending_payment, server.paid]);
    assert_eq!(coins.cursor, None);

    let included = client.inclusion(server.paid).await.unwrap().verify().unwrap();
    assert_eq!(included.place, Place { block: number(1), index: TxIndex::new(0).unwrap() });
    assert_eq!(included.transaction.body.hash(), server.tx_hash);
    for block in [BlockChoice::LATEST, BlockChoice::Number(number(1))] {
        let unspent = client.unspent(server.paid, block).await.unwrap();
        unspent.verify(server.paid, &person(2).owns(4)).unwrap();
        let unknown = OutputId(B256::ZERO);
        let query = UnspentQuery { block, ids: vec![server.paid, unknown, server.deposit] };
        let answers = client.unspent_many(&query).await.unwrap();
        assert_eq!(answers[0], Answer::Done(unspent));
        let problems: Vec<_> = answers.into_iter().skip(1).map(|answer| answer.into_result().unwrap_err()).collect();
        assert_eq!((problems[0].code, problems[1].code), (Code::NotFound, Code::AlreadySpent));
        assert_eq!(problems[1].spender, Some(server.tx_hash));
    }
    let transaction = client.transaction(server.tx_hash).await.unwrap();
    assert_eq!(transaction.state, CoinState::Committed);
    assert_eq!((transaction.place, transaction.receipt), (included.place.first_output(), None));
    assert_eq!(Transaction::decode(&transaction.body).unwrap().hash(), server.tx_hash);
    let status = client.status().await.unwrap();
    assert_eq!((status.block.committed, status.block.accepted, status.uncommitted), (number(1), number(2), 1));

    assert!(server.get("/livez", "").await.ends_with("live\n"));
    assert!(server.get("/readyz", "").await.ends_with("ready\n"));
    assert!(server.get("/metrics", "").await.contains("payments_total 0\n"));
    let openapi: serde_json::Value = client.get("/openapi.json").await.unwrap();
    for path in ["/v1/blocks/{n}", "/v1/unspent", "/v1/events", "/v1/transactions/batch", "/v1/exits"] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_a_problem() {
    let server = server(LIMITS).await;
    let client = server.client();
    assert_eq!(code_of(client.block(number(9)).await), Code::NotFound);
    assert_eq!(code_of(client.body(number(2), 9).await), Code::NotFound);
    assert_eq!(code_of(client.coin(OutputId(B256::ZERO)).await), Code::NotFound);
    assert_eq!(code_of(client.inclusion(server.deposit).await), Code::NotFound);
    assert_eq!(code_of(client.inclusion(server.pending_payment).await), Code::NotFound);
    assert_eq!(code_of(client.unspent(server.paid, BlockChoice::Number(number(2))).await), Code::NotFound);
    assert_eq!(code_of(client.transaction(TxHash(B256::ZERO)).await), Code::NotFound);
    let signature = Signature::decode([1; 64]).unwrap();
    let (body, _) = person(1).signs(&[server.deposit], &[person(1).owns(1)], 0);
    assert_eq!(code_of(client.submit(&body, &signature).await), Code::NotFound);

    let owner = person(1).address().write();
    let malformed = [
        "/v1/blocks/x",
        "/v1/blocks/-1",
        "/v1/blocks/01",
        "/v1/blocks/999999999999",
        "/v1/blocks?from=x",
        "/v1/blocks?to=1",
        "/v1/outputs",
        "/v1/outputs?owner=0x12",
        "/v1/outputs/0x12",
        "/v1/outputs/0X",
        "/v1/outputs/%00/inclusion",
        "/v1/transactions/x",
        &format!("/v1/outputs?owner={owner}&cursor=x"),
        &format!("/v1/outputs?owner={owner}&asset=x"),
        &format!("/v1/outputs/{}/unspent?block=x", server.paid.write()),
    ];
    for path in malformed {
        assert_eq!(problem_of(&server.get(path, "").await).code, Code::Malformed, "{path}");
    }
    for path in ["/", "/v1", "/v2/status", "/v1/status/x", "/v1/blocks/1/body/x"] {
        assert_eq!(problem_of(&server.get(path, "").await).code, Code::NotFound, "{path}");
    }
    for (method, path) in
        [("POST", "/v1/status"), ("DELETE", "/v1/blocks/1"), ("GET", "/v1/unspent"), ("PUT", "/livez")]
    {
        let request = request(path, "Content-Length: 0\r\n").replacen("GET", method, 1);
        assert_eq!(problem_of(&server.raw(&request).await).code, Code::MethodNotAllowed, "{method} {path}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_or_no_json_is_refused() {
    let server = server(LIMITS).await;
    let post = async |path: &str, headers: &str, body: &str| {
        server.raw(&format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}")).await
    };
    let reply = post("/echo", "Content-Length: 1000\r\n", &"x".repeat(1_000)).await;
    assert!(reply.ends_with("1000"), "{reply}");
    assert_eq!(problem_of(&post("/echo", "Content-Length: 1001\r\n", "").await).code, Code::TooLarge);
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
    let reply = post("/echo", "Transfer-Encoding: chunked\r\n", &format!("{chunk}{chunk}0\r\n\r\n")).await;
    assert_eq!(problem_of(&reply).code, Code::TooLarge);

    for body in ["", "{", "[]", "{\"block\":1}", "{\"block\":-1,\"ids\":[]}", "{\"block\":1,\"ids\":[],\"more\":1}"] {
        let reply = post("/v1/unspent", &format!("Content-Length: {}\r\n", body.len()), body).await;
        assert_eq!(problem_of(&reply).code, Code::Malformed, "{body}");
    }
    let query = UnspentQuery { block: BlockChoice::LATEST, ids: vec![server.paid; 1_001] };
    assert_eq!(code_of(server.client().unspent_many(&query).await), Code::TooLarge);
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(!server.raw(&head).await.contains("200 OK"));
    assert!(server.client().status().await.is_ok());
}

#[tokio::test]
async fn a_body_has_a_tag_and_is_served_in_parts() {
    let server = server(LIMITS).await;
    let whole = server.client().body(number(1), 10_000).await.unwrap();
    let header = server.common.chain.read().unwrap().block(number(1)).unwrap().header.unwrap();
    let tag = format!("\"{}\"", header.tx_root.write());
    let path = "/v1/blocks/1/body";
    let reply = server.get(path, "").await;
    assert_eq!(status_of(&reply), 200);
    assert!(reply.contains(&format!("etag: {tag}\r\n")) && reply.contains("accept-ranges: bytes\r\n"), "{reply}");
    assert!(reply.contains("immutable\r\n") && reply.contains("content-type: application/octet-stream"));
    for condition in [&tag, "*", &format!("\"other\", {tag}")] {
        let reply = server.get(path, &format!("If-None-Match: {condition}\r\n")).await;
        assert_eq!(status_of(&reply), 304);
        assert!(reply.ends_with("\r\n\r\n") && reply.contains(&tag));
    }
    assert_eq!(status_of(&server.get(path, "If-None-Match: \"other\"\r\n").await), 200);

    // Once from memory, once from the archive.
    for _ in 0..2 {
        let total = whole.len();
        let part = async |range: &str, more: &str| {
            let reply = server.raw_bytes(&request(path, &format!("Range: {range}\r\n{more}"))).await;
            let end = reply.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            (String::from_utf8(reply[..end].to_vec()).unwrap(), reply[end..].to_vec())
        };
        for (range, from, to) in [("bytes=2-9", 2, 10), ("bytes=100-", 100, total), ("bytes=-7", total - 7, total)] {
            let (head, body) = part(range, "").await;
            assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
            assert!(head.contains(&format!("content-range: bytes {from}-{}/{total}", to - 1)), "{head}");
            assert_eq!(body, whole[from..to]);
        }
        let refused = server.get(path, "Range: bytes=99999-\r\n").await;
        assert_eq!(problem_of(&refused).code, Code::RangeNotSatisfiable);
        assert!(refused.contains(&format!("content-range: bytes */{total}\r\n")));
        let (head, _) = part("bytes=2-9", &format!("If-Range: {tag}\r\n")).await;
        assert!(head.starts_with("HTTP/1.1 206 "));
        let (head, _) = part("bytes=2-9", "If-Range: \"other\"\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "));

        let mut chain = server.common.chain.write().unwrap();
        chain.archive().write(number(1), &whole).unwrap();
        chain.archived(number(1));
    }
    let file = server.folder.path().join("000000000001.body");
    std::fs::write(file, &whole[1..]).unwrap();
    assert_eq!(problem_of(&server.get(path, "").await).code, Code::NotReady);
}

#[tokio::test]
async fn who_is_slow_is_cut_off_and_disturbs_nobody() {
    let server = server(Limits { connections_max: 2, ..LIMITS }).await;
    let started = Instant::now();
    assert_eq!(server.raw("GET /v1/sta").await, "", "half a head");
    assert_eq!(server.raw("").await, "", "nothing at all");
    let reply =
        server.raw("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf").await;
    assert_eq!(problem_of(&reply).code, Code::NotReady, "half a body");
    assert_eq!(problem_of(&server.get("/stuck", "").await).code, Code::NotReady);
    assert!(started.elapsed() < Duration::from_secs(4));

    // Two who take nothing of what they asked for hold all connections, for a while.
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        idle.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let status = timeout(Duration::from_secs(4), server.client().status()).await.expect("they are cut off");
    assert!(status.is_ok());
}

#[tokio::test]
async fn one_who_comes_is_let_in_for_the_one_who_is_silent_longest() {
    let server = server(Limits { connections_max: 3, header_timeout: Duration::from_secs(60), ..LIMITS }).await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(TcpStream::connect(&server.address).await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The first says a little: now the second has been silent for the longest.
    strangers[0].write_all(b"GET /v1/sta").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(status_of(&server.get("/livez", "").await), 200);
    let is_closed =
        async |stream: &mut TcpStream| timeout(Duration::from_millis(100), stream.read(&mut [0; 1])).await.is_ok();
    let mut closed = Vec::new();
    for stranger in &mut strangers {
        closed.push(is_closed(stranger).await);
    }
    assert_eq!(closed, [false, true, false]);
    for _ in 0..100 {
        strangers.push(TcpStream::connect(&server.address).await.unwrap());
    }
    assert_eq!(status_of(&server.get("/livez", "").await), 200);
    let metrics = server.get("/metrics", "").await;
    assert!(metrics.contains("plasmid_http_connections 3"), "{metrics}");
    assert!(metrics.contains("plasmid_http_responses_total{status=\"200\"} 2"), "{metrics}");
    assert!(!metrics.contains("plasmid_http_connections_evicted_total 0"), "{metrics}");
}

#[tokio::test]
async fn a_connection_ends_when_its_time_is_over() {
    let server = server(Limits { connection_time_max: Duration::from_millis(200), ..LIMITS }).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    timeout(Duration::from_secs(4), stream.read_to_end(&mut reply)).await.expect("it ends").ok();
    assert!(reply.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_panic_is_answered_and_the_server_goes_on() {
    let server = server(LIMITS).await;
    assert_eq!(problem_of(&server.get("/panics", "").await).code, Code::NotReady);
    assert!(server.client().status().await.is_ok());
}

#[tokio::test]
async fn at_shutdown_what_was_asked_is_answered_and_nothing_new_taken() {
    let server = server(LIMITS).await;
    let Server { address, stop, serving, .. } = server;
    let asked = async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(request("/slow", "").as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    };
    let stopped = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send(()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(TcpStream::connect(&address).await.is_err());
    };
    let (reply, ()) = tokio::join!(asked, stopped);
    assert!(reply.ends_with("\"done\""), "{reply}");
    timeout(Duration::from_secs(3), serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn events_come_live_and_again_for_who_missed_them() {
    let server = server(LIMITS).await;
    let listen = async |last_id: &str| {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: x\r\n{last_id}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream
    };
    let heard = async |stream: &mut TcpStream| {
        let mut bytes = vec![0; 10_000];
        let mut text = String::new();
        while let Ok(Ok(read @ 1..)) = timeout(Duration::from_millis(200), stream.read(&mut bytes)).await {
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        text.lines().filter_map(|line| Some(line.strip_prefix("id:")?.to_owned())).collect::<Vec<_>>()
    };
    let mut early = listen("").await;
    for n in 1..=6 {
        server.common.events.publish(EventKind::BlockClosed, &n);
    }
    assert_eq!(heard(&mut early).await, ["abc-3", "abc-4", "abc-5", "abc-6"], "the last four are kept");
    server.common.events.publish(EventKind::Alarm, &serde_json::json!({"block": 7}));
    assert_eq!(heard(&mut early).await, ["abc-7"]);
    assert_eq!(heard(&mut listen("").await).await, [""; 0]);
    assert_eq!(heard(&mut listen("Last-Event-ID: abc-5\r\n").await).await, ["abc-6", "abc-7"]);
    assert_eq!(heard(&mut listen("Last-Event-ID: abc-7\r\n").await).await, [""; 0]);
    for earlier in ["abd-6", "x", "abc-", "abc-1"] {
        let ids = heard(&mut listen(&format!("Last-Event-ID: {earlier}\r\n")).await).await;
        assert_eq!(ids, ["abc-4", "abc-5", "abc-6", "abc-7"], "{earlier}");
    }
}

#[tokio::test]
async fn a_client_knows_why_it_got_no_answer() {
    let server = server(LIMITS).await;
    let limits =
        ClientLimits { timeout: Duration::from_millis(200), reply_bytes_max: 1_000, ..ClientLimits::default() };
    let client = Client::new(&format!("http://{}", server.address), limits).unwrap();
    assert!(matches!(client.get::<String>("/stuck").await, Err(ClientError::TimedOut { .. })));
    assert!(matches!(client.get::<String>("/large").await, Err(ClientError::TooLarge { bytes_max: 1_000, .. })));
    assert!(matches!(client.body(number(1), 10).await, Err(ClientError::TooLarge { bytes_max: 10, .. })));
    assert!(matches!(client.get::<String>("/livez").await, Err(ClientError::Malformed { .. })));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Client::new(&format!("http://{free}"), limits).unwrap();
    assert!(matches!(nobody.status().await, Err(ClientError::Unreachable { .. })));
    for url in ["", "127.0.0.1:1", "ftp://x", "http://", "http://x?y", "file:///x"] {
        assert!(matches!(Client::new(url, limits), Err(ClientError::Url { .. })), "{url}");
    }
}
