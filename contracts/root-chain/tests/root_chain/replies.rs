//! Nodes that misbehave: every reply ends in a typed error, within the limits of time and size.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plasmid_root_chain::node::{Node, ReadError};
use plasmid_root_chain::rpc::{Rpc, RpcError, RpcSettings};

/// A server that answers each request with the same bytes, a part at a time.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// `parts` are sent with a pause before each; then the connection is closed.
    fn start(parts: Vec<(Duration, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://user:secret@{}/key", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let parts = parts.clone();
                std::thread::spawn(move || {
                    let mut request = [0; 4_096];
                    let _ = stream.read(&mut request);
                    for (pause, part) in parts {
                        std::thread::sleep(pause);
                        if stream.write_all(&part).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, requests }
    }

    fn answering(body: &str) -> Self {
        Self::start(vec![(Duration::ZERO, http("200 OK", body))])
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

fn settings() -> RpcSettings {
    RpcSettings {
        connect_timeout: Duration::from_millis(200),
        timeout: Duration::from_millis(400),
        reply_bytes_max: 10_000,
        rounds: 2,
        backoff: Duration::from_millis(10),
    }
}

fn node_at(urls: &[&str]) -> Node {
    Node::new(Rpc::new(urls, settings()).unwrap())
}

async fn failure_at(server: &Server) -> ReadError {
    node_at(&[&server.url]).chain_id().await.unwrap_err()
}

#[tokio::test]
async fn replies_that_are_no_answer_are_errors() {
    for body in [
        "",
        "{",
        "null",
        "[]",
        "<html>",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"result":null}"#,
        r#"{"result":"0x1zz"}"#,
        r#"{"result":"0x10000000000000000"}"#,
        r#"{"result":-1}"#,
        r#"{"result":{"chain":1}}"#,
        r#"{"error":"no"}"#,
        "{\"result\":\"\u{0}\"}",
        &"[".repeat(9_000),
    ] {
        let server = Server::answering(body);
        let answer = node_at(&[&server.url]).chain_id().await;
        let error = answer.expect_err(body);
        assert!(matches!(error, ReadError::Rpc(RpcError::Malformed { .. })), "{body}: {error:?}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 2, "reads are tried again");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_not_read_to_its_end() {
    let endless = vec![(Duration::ZERO, b"HTTP/1.1 200 OK\r\n\r\n".to_vec()); 1]
        .into_iter()
        .chain((0..1_000).map(|_| (Duration::from_millis(1), vec![b' '; 1_000])));
    let server = Server::start(endless.collect());
    let error = failure_at(&server).await;
    assert!(matches!(error, ReadError::Rpc(RpcError::TooLarge { bytes_max: 10_000, .. })), "{error:?}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1, "it would be no smaller the second time");
}

#[tokio::test]
async fn a_reply_that_is_cut_is_an_error() {
    let whole = http("200 OK", r#"{"result":"0x1"}"#);
    assert_eq!(node_at(&[&Server::start(vec![(Duration::ZERO, whole.clone())]).url]).chain_id().await.unwrap(), 1);
    for len in [0, 5, 30, whole.len() - 5] {
        let error = failure_at(&Server::start(vec![(Duration::ZERO, whole[..len].to_vec())])).await;
        assert!(matches!(error, ReadError::Rpc(RpcError::Unreachable { .. })), "{len}: {error:?}");
    }
}

#[tokio::test]
async fn a_slow_reply_is_waited_for_no_longer_than_allowed() {
    let whole = http("200 OK", r#"{"result":"0x1"}"#);
    let drops = whole.iter().map(|&byte| (Duration::from_millis(100), vec![byte])).collect();
    for parts in [vec![(Duration::from_secs(30), whole.clone())], drops] {
        let server = Server::start(parts);
        let before = Instant::now();
        let error = failure_at(&server).await;
        assert!(matches!(error, ReadError::Rpc(RpcError::TimedOut { .. })), "{error:?}");
        assert!(before.elapsed() < Duration::from_millis(1_500));
    }
}

#[tokio::test]
async fn what_the_node_itself_says_is_kept() {
    let refusal =
        r#"{"error":{"code":-32005,"message":"WORDS","data":{"limit":1}}}"#.replace("WORDS", &"x".repeat(5_000));
    for status in ["200 OK", "429 Too Many Requests"] {
        let error = failure_at(&Server::start(vec![(Duration::ZERO, http(status, &refusal))])).await;
        let ReadError::Rpc(RpcError::Refused(refusal)) = error else { panic!("{error:?}") };
        assert_eq!((refusal.code, refusal.message.len(), refusal.data), (-32_005, 300, None));
    }
    let error = failure_at(&Server::start(vec![(Duration::ZERO, http("502 Bad Gateway", "<html>"))])).await;
    assert!(matches!(error, ReadError::Rpc(RpcError::Status { status: 502, .. })), "{error:?}");
}

#[tokio::test]
async fn the_next_node_is_asked_when_one_fails() {
    let (bad, good) = (Server::answering("{"), Server::answering(r#"{"result":"0x7"}"#));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = node_at(&[&format!("http://{gone}"), &bad.url, &good.url]);
    assert_eq!(node.chain_id().await.unwrap(), 7);
    assert_eq!(node.rpc().failures(), 2);
    assert_eq!(node.chain_id().await.unwrap(), 7);
    assert_eq!((bad.requests.load(Ordering::SeqCst), good.requests.load(Ordering::SeqCst)), (1, 2), "it stays there");
}

#[tokio::test]
async fn answers_to_another_question_are_errors() {
    let block =
        r#"{"result":{"number":"0x5","hash":"0xHH","parentHash":"0xHH","timestamp":"0x1","baseFeePerGas":"0x1"}}"#;
    let server = Server::answering(&block.replace("HH", &"11".repeat(32)));
    let node = node_at(&[&server.url]);
    assert_eq!(node.head().await.unwrap().at.number, 5);
    assert!(matches!(node.block_by_number(6).await, Err(ReadError::Contradiction { .. })));
    assert!(matches!(node.block_by_hash([0x22; 32].into()).await, Err(ReadError::Contradiction { .. })));
    let server = Server::answering(
        &block.replace("HH", &"11".repeat(32)).replace("\"0x1\"}}", "\"0x1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\"}}"),
    );
    assert!(matches!(node_at(&[&server.url]).head().await, Err(ReadError::Wei { .. })));
}

#[test]
fn urls_that_are_no_nodes_are_refused() {
    for urls in [&[][..], &["127.0.0.1:8545"], &["ftp://example.com"], &["http://"]] {
        assert!(matches!(Rpc::new(urls, settings()), Err(RpcError::Url { .. })), "{urls:?}");
    }
}
