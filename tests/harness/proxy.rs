//! A proxy before the root chain that delays, cuts, repeats and falsifies replies, as bad networks and bad nodes do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the proxy does to a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mischief {
    /// Passes it on.
    None,
    /// Passes it on after this time.
    Delay(Duration),
    /// Takes the request and never answers.
    Stall,
    /// Answers with half of the reply and closes the connection.
    Cut,
    /// Answers with the reply to an earlier request of the same method, if there was one.
    Repeat,
    /// Answers with the reply to whichever request came before.
    Reorder,
    /// Answers with this text in place of a reply.
    Garbage(&'static str),
    /// Shows the block so many below the head for the head.
    HeadBehind(u64),
    /// Shows a head so many blocks and seconds beyond the real one, of which the node has nothing else.
    HeadAhead(u64),
    /// Shows one block more than there is, without events, so many seconds later.
    HeadForged(u64),
    /// Answers with this many bytes of nothing.
    Huge(usize),
    /// Answers requests of this method with this result.
    Lie {
        /// A JSON-RPC method.
        method: &'static str,
        /// What it is said to return.
        result: Value,
    },
    /// Refuses connections.
    Down,
}

/// A running proxy. It ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    mischief: Arc<Mutex<Mischief>>,
    upstream: Arc<Mutex<String>>,
    replies: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy before the node at `upstream`.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mischief = Arc::new(Mutex::new(Mischief::None));
        let upstream = Arc::new(Mutex::new(upstream.to_owned()));
        let proxy = Self { address, mischief, upstream, replies: Arc::default() };
        let state = Arc::new(State {
            proxy: proxy.clone(),
            client: reqwest::Client::new(),
            earlier: Mutex::default(),
            last: Mutex::default(),
        });
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = state.clone();
                // A client that goes away in the middle is the client's business.
                tokio::spawn(async move { state.serve(connection).await.ok() });
            }
        });
        proxy
    }

    /// Returns where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what it does from the next request on.
    ///
    /// # Panics
    ///
    /// Never: no holder of the lock panics.
    pub fn set(&self, mischief: Mischief) {
        *self.mischief.lock().expect("no holder panics") = mischief;
    }

    /// Asks another node from the next request on.
    ///
    /// # Panics
    ///
    /// Never: no holder of the lock panics.
    pub fn redirect(&self, upstream: &str) {
        upstream.clone_into(&mut self.upstream.lock().expect("no holder panics"));
    }

    /// Returns how many requests were answered with anything but the truth.
    #[must_use]
    pub fn spoilt(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }
}

struct State {
    proxy: Proxy,
    client: reqwest::Client,
    /// The first reply's result to each method.
    earlier: Mutex<BTreeMap<String, Value>>,
    /// The last request's result.
    last: Mutex<Value>,
}

impl State {
    /// Answers one request and closes the connection.
    async fn serve(&self, mut connection: TcpStream) -> anyhow::Result<()> {
        let mischief = self.proxy.mischief.lock().expect("no holder panics").clone();
        if mischief != Mischief::None {
            self.proxy.replies.fetch_add(1, Ordering::Relaxed);
        }
        if mischief == Mischief::Down {
            return Ok(());
        }
        let request = read_request(&mut connection).await?;
        let body = match &mischief {
            Mischief::Stall => return std::future::pending().await,
            Mischief::Huge(length) => vec![b' '; *length],
            Mischief::Garbage(text) => text.as_bytes().to_vec(),
            _ => self.reply(&mischief, &request).await?.to_string().into_bytes(),
        };
        if let Mischief::Delay(time) = &mischief {
            tokio::time::sleep(*time).await;
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let shown = if mischief == Mischief::Cut { body.len() / 2 } else { body.len() };
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(&body[..shown]).await?;
        connection.shutdown().await?;
        Ok(())
    }

    /// The reply, as the mischief makes it out of the node's.
    async fn reply(&self, mischief: &Mischief, request: &Value) -> anyhow::Result<Value> {
        let mut reply = self.ask(request).await?;
        let method = request["method"].as_str().unwrap_or_default();
        let first = {
            let mut earlier = self.earlier.lock().expect("no holder panics");
            earlier.entry(method.to_owned()).or_insert_with(|| reply["result"].clone()).clone()
        };
        let last = std::mem::replace(&mut *self.last.lock().expect("no holder panics"), reply["result"].clone());
        let is_about_head = method == "eth_getBlockByNumber" && request["params"][0] == "latest";
        match mischief {
            Mischief::Repeat => reply["result"] = first,
            Mischief::Reorder => reply["result"] = last,
            Mischief::Lie { method: of, result } if *of == method => reply = answer(request, result.clone()),
            Mischief::HeadBehind(blocks) if is_about_head => {
                let number = number(&reply["result"]["number"]).saturating_sub(*blocks);
                let mut request = request.clone();
                request["params"][0] = json!(format!("{number:#x}"));
                reply = self.ask(&request).await?;
            }
            Mischief::HeadAhead(by) if is_about_head => {
                for field in ["number", "timestamp"] {
                    reply["result"][field] = json!(format!("{:#x}", number(&reply["result"][field]) + by));
                }
                for field in ["hash", "parentHash"] {
                    reply["result"][field] = json!(format!("0x{by:064x}"));
                }
            }
            Mischief::HeadForged(secs) if is_about_head => {
                let head = &mut reply["result"];
                head["parentHash"] = head["hash"].clone();
                head["hash"] = json!(format!("0x{:064x}", u64::MAX));
                head["number"] = json!(format!("{:#x}", number(&head["number"]) + 1));
                head["timestamp"] = json!(format!("{:#x}", number(&head["timestamp"]) + secs));
            }
            Mischief::HeadForged(_) if method == "eth_getLogs" && reply["error"].is_object() => {
                reply = answer(request, json!([]));
            }
            Mischief::None
            | Mischief::Delay(_)
            | Mischief::Stall
            | Mischief::Cut
            | Mischief::Garbage(_)
            | Mischief::Huge(_)
            | Mischief::Lie { .. }
            | Mischief::HeadBehind(_)
            | Mischief::HeadAhead(_)
            | Mischief::HeadForged(_)
            | Mischief::Down => {}
        }
        Ok(reply)
    }

    async fn ask(&self, request: &Value) -> anyhow::Result<Value> {
        let upstream = self.proxy.upstream.lock().expect("no holder panics").clone();
        let forwarded = self.client.post(upstream).header("content-type", "application/json");
        let reply = forwarded.body(request.to_string()).send().await?.bytes().await?;
        Ok(serde_json::from_slice(&reply)?)
    }
}

fn answer(request: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
}

/// Reads a number as nodes write it.
fn number(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

/// Reads a POST's JSON body.
async fn read_request(connection: &mut TcpStream) -> anyhow::Result<Value> {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        anyhow::ensure!(reader.read_line(&mut line).await? != 0, "the client went away");
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}
