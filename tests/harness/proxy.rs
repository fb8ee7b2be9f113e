//! A proxy before the root chain that delays, cuts, repeats and falsifies replies, as bad networks and bad nodes do.

use std::net::SocketAddr;
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
        let proxy = Self { address, mischief: Arc::new(Mutex::new(Mischief::None)) };
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            client: reqwest::Client::new(),
            mischief: proxy.mischief.clone(),
            earlier: Mutex::default(),
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
}

struct State {
    upstream: String,
    client: reqwest::Client,
    mischief: Arc<Mutex<Mischief>>,
    /// The first reply's result to each method.
    earlier: Mutex<std::collections::BTreeMap<String, Value>>,
}

impl State {
    /// Answers one request and closes the connection.
    async fn serve(&self, mut connection: TcpStream) -> anyhow::Result<()> {
        let mischief = self.mischief.lock().expect("no holder panics").clone();
        if mischief == Mischief::Down {
            return Ok(());
        }
        let request = read_request(&mut connection).await?;
        let forwarded = self.client.post(&self.upstream).header("content-type", "application/json");
        let reply = forwarded.body(request.to_string()).send().await?.bytes().await?;
        let mut reply: Value = serde_json::from_slice(&reply)?;
        let method = request["method"].as_str().unwrap_or_default().to_owned();
        let first = self
            .earlier
            .lock()
            .expect("no holder panics")
            .entry(method.clone())
            .or_insert_with(|| reply["result"].clone())
            .clone();
        let mut body = match &mischief {
            Mischief::Delay(time) => {
                tokio::time::sleep(*time).await;
                reply.to_string().into_bytes()
            }
            Mischief::Stall => return std::future::pending().await,
            Mischief::Repeat => {
                reply["result"] = first;
                reply.to_string().into_bytes()
            }
            Mischief::Lie { method: of, result } if *of == method => {
                json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string().into_bytes()
            }
            Mischief::Huge(length) => vec![b' '; *length],
            Mischief::None | Mischief::Cut | Mischief::Down | Mischief::Lie { .. } => reply.to_string().into_bytes(),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        if mischief == Mischief::Cut {
            body.truncate(body.len() / 2);
        }
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(&body).await?;
        connection.shutdown().await?;
        Ok(())
    }
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
