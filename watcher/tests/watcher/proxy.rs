//! A proxy before a root-chain node that tells the truth, or a lie.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use plasmid_node::http::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use warp::Filter;

/// What the node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It does not answer.
    Stall,
    /// Its head stays where it was.
    StaleHead,
    /// Its head is a block that it does not have.
    FutureHead,
    /// Its replies are too large.
    Huge,
    /// Its replies are cut off.
    Cut,
    /// It has no logs.
    NoLogs,
    /// It is a node of another chain, with the same id and a contract at the same address.
    OtherChain,
}

/// A running proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    http: reqwest::Client,
    node: String,
    elsewhere: String,
    lie: Mutex<Option<Lie>>,
    /// The head when the lie began.
    head: Mutex<Option<Value>>,
}

impl Proxy {
    pub(crate) async fn start(node: &str, elsewhere: &str) -> Self {
        let state = Arc::new(State {
            http: reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap(),
            node: node.to_owned(),
            elsewhere: elsewhere.to_owned(),
            lie: Mutex::default(),
            head: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answering = state.clone();
        let route = warp::body::bytes().then(move |request: Bytes| {
            let state = answering.clone();
            async move { state.answer(&request).await }
        });
        tokio::spawn(warp::serve(route).incoming(listener).run());
        Self { url, state }
    }

    pub(crate) fn tell(&self, lie: Option<Lie>) {
        *self.state.head.lock().unwrap() = None;
        *self.state.lie.lock().unwrap() = lie;
    }
}

impl State {
    async fn answer(&self, request: &[u8]) -> Response {
        let question: Value = serde_json::from_slice(request).unwrap();
        let is_head = question["method"] == "eth_getBlockByNumber" && question["params"][0] == "latest";
        let lie = *self.lie.lock().unwrap();
        let node = if lie == Some(Lie::OtherChain) { &self.elsewhere } else { &self.node };
        let reply = self.http.post(node).header("content-type", "application/json").body(request.to_vec()).send().await;
        let text = reply.unwrap().text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        let text = match lie {
            None | Some(Lie::OtherChain) => text,
            Some(Lie::Stall) => {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                text
            }
            Some(Lie::StaleHead) if is_head => {
                answer["result"] = self.head.lock().unwrap().get_or_insert(answer["result"].clone()).clone();
                answer.to_string()
            }
            Some(Lie::FutureHead) if is_head => {
                answer["result"]["number"] = json!("0xffffff");
                answer["result"]["hash"] = json!(format!("0x{}", "ab".repeat(32)));
                answer["result"]["parentHash"] = json!(format!("0x{}", "cd".repeat(32)));
                answer.to_string()
            }
            Some(Lie::StaleHead | Lie::FutureHead) => text,
            Some(Lie::Huge) => format!("{text}{}", " ".repeat(64 << 20)),
            Some(Lie::Cut) => text[..text.len() / 2].to_owned(),
            Some(Lie::NoLogs) if question["method"] == "eth_getLogs" => {
                answer["result"] = json!([]);
                answer.to_string()
            }
            Some(Lie::NoLogs) => text,
        };
        warp::http::Response::builder().header("content-type", "application/json").body(text.into()).unwrap()
    }
}
