//! JSON-RPC 2.0 over HTTP, with limits of its own.
//!
//! Answers for bounded waiting and bounded replies, for failing over between several nodes, and for repeating reads.
//! What the results mean is the caller's affair. No reply, however hostile, panics or takes more than the stated time
//! and memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::Bytes;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Characters of a node's message that are kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// Limits of an [`Rpc`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcSettings {
    /// Most time to open a connection.
    pub connect_timeout: Duration,
    /// Most time for one request, from connecting to the reply's last byte.
    pub timeout: Duration,
    /// Most bytes of one reply's body.
    pub reply_bytes_max: usize,
    /// How often a read is tried at each node, at least once.
    pub rounds: u32,
    /// Pause after a round of failures; it doubles after each.
    pub backoff: Duration,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(10),
            reply_bytes_max: 16 << 20,
            rounds: 3,
            backoff: Duration::from_millis(100),
        }
    }
}

/// A client of one or more nodes of the same chain. Cheap to clone; clones share connections and the node in use.
#[derive(Debug, Clone)]
pub struct Rpc {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Client,
    urls: Vec<Url>,
    settings: RpcSettings,
    /// Node failures so far. The node in use is this modulo the number of nodes: each failure moves on to the next.
    failures: AtomicU64,
}

impl Rpc {
    /// Makes a client of the nodes at `urls` (`http` or `https`), which are used in this order. Nothing is sent yet.
    ///
    /// The environment's proxy settings are ignored: settings decide who sees the traffic.
    ///
    /// # Errors
    ///
    /// [`RpcError::Url`] if there is no URL or one is not a node's, [`RpcError::Client`] if TLS cannot be set up.
    pub fn new<U: AsRef<str>>(urls: &[U], settings: RpcSettings) -> Result<Self, RpcError> {
        let urls = urls.iter().map(|url| parse_url(url.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(RpcError::Url { reason: "no URL given".to_owned() });
        }
        let mut http = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy();
        if urls.iter().all(|url| url.scheme() == "http") {
            // Without this a machine without certificates could not even speak to a node of its own.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|source| RpcError::Client { source })?;
        Ok(Self { inner: Arc::new(Inner { http, urls, settings, failures: AtomicU64::new(0) }) })
    }

    /// Calls a method that changes nothing, again if need be: at most `rounds` times at each node.
    ///
    /// # Errors
    ///
    /// [`RpcError`]: the last failure. A reply that is too large and an answer of the node's own are not tried again.
    pub async fn read<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, RpcError> {
        let settings = &self.inner.settings;
        let mut pause = settings.backoff;
        let mut round = 1;
        loop {
            let error = match self.read_once_each(method, &params).await {
                Err(error) if error.is_of_the_node() => error,
                outcome => return outcome,
            };
            if round >= settings.rounds {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            round += 1;
        }
    }

    /// Calls a method that may change something, once, at the node in use.
    ///
    /// # Errors
    ///
    /// [`RpcError`]. After a time-out or a broken reply the call may have had its effect all the same.
    pub async fn write<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, RpcError> {
        let failures = self.failures();
        let outcome = self.exchange(self.node(failures), method, &params).await;
        if outcome.as_ref().is_err_and(RpcError::is_of_the_node) {
            self.fail_over(failures);
        }
        outcome
    }

    /// Returns how often a node has failed so far. Two answers with the same count before and after come from one node.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::SeqCst)
    }

    /// Moves on to the next node, unless somebody has done so since `failures` were counted.
    pub fn fail_over(&self, failures: u64) {
        let counted = self.inner.failures.compare_exchange(failures, failures + 1, Ordering::SeqCst, Ordering::SeqCst);
        if counted.is_ok() && self.inner.urls.len() > 1 {
            tracing::warn!(
                from = host(self.node(failures)),
                to = host(self.node(failures + 1)),
                "root-chain node failed"
            );
        }
    }

    fn node(&self, failures: u64) -> &Url {
        let urls = &self.inner.urls;
        &urls[(failures % urls.len() as u64) as usize]
    }

    async fn read_once_each<T: DeserializeOwned>(&self, method: &'static str, params: &Value) -> Result<T, RpcError> {
        let mut tried = 1;
        loop {
            let failures = self.failures();
            match self.exchange(self.node(failures), method, params).await {
                Err(error) if error.is_of_the_node() => {
                    self.fail_over(failures);
                    if tried == self.inner.urls.len() {
                        return Err(error);
                    }
                    tried += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        url: &Url,
        method: &'static str,
        params: &Value,
    ) -> Result<T, RpcError> {
        let failed = |source: reqwest::Error| {
            let source = source.without_url();
            if source.is_timeout() {
                RpcError::TimedOut { node: host(url), method, after: self.inner.settings.timeout }
            } else {
                RpcError::Unreachable { node: host(url), method, source }
            }
        };
        let malformed = |source| RpcError::Malformed { node: host(url), method, source };

        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = self.inner.http.post(url.clone()).header("content-type", "application/json").body(request);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.inner.settings.reply_bytes_max {
                let bytes_max = self.inner.settings.reply_bytes_max;
                return Err(RpcError::TooLarge { node: host(url), method, bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        // Some nodes send their error objects with a status of failure: what the body says goes first.
        match serde_json::from_slice::<Reply>(&body) {
            Ok(Reply { error: Some(error), .. }) => Err(RpcError::Refused(error.into())),
            _ if !status.is_success() => Err(RpcError::Status { node: host(url), method, status: status.as_u16() }),
            Ok(Reply { result, error: None }) => serde_json::from_value(result).map_err(malformed),
            Err(source) => Err(malformed(source)),
        }
    }
}

/// A reply's two possible members. A `null` result is a result.
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    result: Value,
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

/// A node's own answer that it will not do as it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct Refusal {
    /// JSON-RPC's error code.
    pub code: i64,
    /// The node's words, cut to 300 characters.
    pub message: String,
    /// What a reverted call returned, if the node says so.
    pub data: Option<Bytes>,
}

impl From<ReplyError> for Refusal {
    fn from(error: ReplyError) -> Self {
        Self {
            code: error.code,
            message: error.message.chars().take(MESSAGE_CHARS_MAX).collect(),
            data: error.data.as_str().and_then(|data| data.parse().ok()),
        }
    }
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// A setting is no node's address.
    #[error("not the URL of a node: {reason}")]
    Url {
        /// What is wrong with it. The URL itself may hold a secret.
        reason: String,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client cannot be set up")]
    Client {
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// No connection, or one that broke before the reply's end.
    #[error("{method}: node {node} cannot be reached or broke off")]
    Unreachable {
        /// The node's host and port.
        node: String,
        /// The method called.
        method: &'static str,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// No complete reply in time.
    #[error("{method}: no reply from node {node} within {after:?}")]
    TimedOut {
        /// The node's host and port.
        node: String,
        /// The method called.
        method: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The node answered with an HTTP failure.
    #[error("{method}: node {node} answered with HTTP status {status}")]
    Status {
        /// The node's host and port.
        node: String,
        /// The method called.
        method: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// The reply is larger than allowed; reading stopped there.
    #[error("{method}: reply of node {node} has more than {bytes_max} bytes")]
    TooLarge {
        /// The node's host and port.
        node: String,
        /// The method called.
        method: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// The reply is not JSON-RPC, or its result is not of the expected form.
    #[error("{method}: malformed reply of node {node}")]
    Malformed {
        /// The node's host and port.
        node: String,
        /// The method called.
        method: &'static str,
        /// Where it breaks off.
        #[source]
        source: serde_json::Error,
    },
    /// The node answered with an error of its own.
    #[error("the node refused")]
    Refused(#[source] Refusal),
}

impl RpcError {
    /// Tells whether another node may do better: not for what the node itself answered, nor for a reply too large.
    fn is_of_the_node(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Status { .. } | Self::Malformed { .. } => true,
            Self::Url { .. } | Self::Client { .. } | Self::TooLarge { .. } | Self::Refused(_) => false,
        }
    }
}

fn parse_url(text: &str) -> Result<Url, RpcError> {
    let url = Url::parse(text).map_err(|error| RpcError::Url { reason: error.to_string() })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(RpcError::Url { reason: format!("scheme {scheme} is not http or https") }),
    }
}

/// Names a node without its path and user, where access keys stand.
fn host(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}
