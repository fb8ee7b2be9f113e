//! A server between a client and an honest one: it lies, lags, denies or goes silent, and counts what it is asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use warp::Filter;
use warp::http::{Method, Response};
use warp::path::FullPath;

/// What the server does to its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guise {
    /// Passes them on.
    Honest,
    /// Changes the last byte of every proof that a coin is unspent.
    Lying,
    /// Knows no coin and no transaction.
    Denying,
    /// Has seen nothing after the block with this number.
    Lagging(u64),
}

/// A running server. It ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct FalseServer {
    address: SocketAddr,
    guise: Arc<Mutex<Guise>>,
    requests: Arc<AtomicUsize>,
}

impl FalseServer {
    /// Starts a server that is honest so far, before the one at `upstream`.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn start(upstream: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Self { address, guise: Arc::new(Mutex::new(Guise::Honest)), requests: Arc::default() };
        let (serving, upstream, client) = (server.clone(), upstream.to_owned(), reqwest::Client::new());
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let route = warp::method().and(warp::path::full()).and(query).and(warp::body::bytes()).then(
            move |method: Method, path: FullPath, query: String, body: Bytes| {
                let (serving, client) = (serving.clone(), client.clone());
                let url = format!("{upstream}{}?{query}", path.as_str());
                async move { serving.answer(&client, method, path.as_str(), &url, body).await }
            },
        );
        tokio::spawn(warp::serve(route).incoming(listener).run());
        server
    }

    /// Returns where it serves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what it does from the next request on.
    ///
    /// # Panics
    ///
    /// Never: no holder of the lock panics.
    pub fn set(&self, guise: Guise) {
        *self.guise.lock().expect("no holder panics") = guise;
    }

    /// Returns how many requests it got since this was asked last.
    pub fn take_requests(&self) -> usize {
        self.requests.swap(0, Ordering::Relaxed)
    }

    async fn answer(
        &self,
        client: &reqwest::Client,
        method: Method,
        path: &str,
        url: &str,
        body: Bytes,
    ) -> Response<Vec<u8>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let guise = *self.guise.lock().expect("no holder panics");
        let block = path.strip_prefix("/v1/blocks/").and_then(|number| number.parse().ok());
        let is_unknown = match guise {
            Guise::Lagging(last) => block.is_some_and(|number: u64| number > last),
            Guise::Denying => path.starts_with("/v1/outputs/") || path.starts_with("/v1/transactions/"),
            Guise::Honest | Guise::Lying => false,
        };
        if is_unknown {
            return reply(404, &not_found());
        }
        let request = client.request(method, url).header("content-type", "application/json").body(body);
        let answer = async {
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, serde_json::from_slice::<Value>(&answer.bytes().await.ok()?).ok()?))
        };
        let Some((status, mut answer)) = answer.await else { return reply(502, &Value::Null) };
        match guise {
            Guise::Lying if path == "/v1/unspent" => {
                for proof in answer.as_array_mut().into_iter().flatten() {
                    if let Some(Value::String(digits)) = proof.get_mut("proof") {
                        let last = digits.pop();
                        digits.push(if last == Some('0') { '1' } else { '0' });
                    }
                }
            }
            Guise::Denying if path == "/v1/unspent" => {
                answer.as_array_mut().into_iter().flatten().for_each(|proof| *proof = not_found())
            }
            Guise::Lagging(last) if path == "/v1/status" => answer["block"]["verified"] = json!(last),
            Guise::Honest | Guise::Lying | Guise::Denying | Guise::Lagging(_) => {}
        }
        reply(status, &answer)
    }
}

fn not_found() -> Value {
    json!({
        "type": "urn:plasmid:problem:not-found", "title": "There is no such thing", "status": 404, "detail": "never heard of it",
        "code": "not-found"
    })
}

fn reply(status: u16, body: &Value) -> Response<Vec<u8>> {
    let body = body.to_string().into_bytes();
    Response::builder().status(status).body(body).expect("a status and no headers")
}
