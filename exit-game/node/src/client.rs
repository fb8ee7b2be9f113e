//! The services' HTTP client: typed requests, bounded replies.

use std::time::Duration;

use alloy_primitives::Address;
use bytes::Bytes;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::wire::form::Form;
use crate::wire::{
    Accepted, Answer, Block, BlockChoice, Coin, Fees, Inclusion, List, Status, Submission, TransactionAnswer, Unspent,
    UnspentQuery,
};

/// What a client waits for and takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// How long a request may take in all.
    pub timeout: Duration,
    /// How long the download of a block's body may take in all.
    pub body_timeout: Duration,
    /// Most bytes of a reply, but for a block's body.
    pub reply_bytes_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), body_timeout: Duration::from_secs(120), reply_bytes_max: 16 << 20 }
    }
}

/// A client of one operator or watcher. Cloning is cheap; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    limits: ClientLimits,
}

impl Client {
    /// Returns a client of the server at `url`, `http://host:port` or `https://…`, with or without a path before `/v1`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Url`].
    pub fn new(url: &str, limits: ClientLimits) -> Result<Self, ClientError> {
        let refused = || ClientError::Url { url: url.to_owned() };
        let parsed = Url::parse(url).map_err(|_| refused())?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(refused());
        }
        // What a server says is taken from it alone: no redirects, no proxies that the environment names.
        let builder = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy();
        let http = builder.connect_timeout(limits.timeout).build().map_err(|_| refused())?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), limits })
    }

    /// Returns the server's address as it was given, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Sends a signed transaction. Doing it again repeats the first answer.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn submit(&self, body: &Transaction, signature: &Signature) -> Result<Accepted, ClientError> {
        let submission = Submission { body: body.encode().into(), signature: signature.encode() };
        self.post("/v1/transactions", "application/json", to_json(&submission)).await
    }

    /// Sends signed transactions in one request; the answers come in order.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the request as a whole fails.
    pub async fn submit_batch(
        &self,
        transactions: &[(Transaction, Signature)],
    ) -> Result<Vec<Answer<Accepted>>, ClientError> {
        let mut bytes = Vec::new();
        for (body, signature) in transactions {
            let body = body.encode();
            let length = u16::try_from(body.len()).expect("a body has at most BODY_LEN_MAX bytes");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(&signature.encode());
        }
        self.post("/v1/transactions/batch", "application/octet-stream", bytes).await
    }

    /// Returns a block.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn block(&self, number: BlockNumber) -> Result<Block, ClientError> {
        self.get(&format!("/v1/blocks/{number}")).await
    }

    /// Returns up to `limit` blocks from `from` on.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn blocks(&self, from: BlockNumber, limit: usize) -> Result<List<Block>, ClientError> {
        self.get(&format!("/v1/blocks?from={from}&limit={limit}")).await
    }

    /// Returns a block's body, at most `bytes_max` bytes. What it holds is the caller's to check.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn body(&self, number: BlockNumber, bytes_max: usize) -> Result<Bytes, ClientError> {
        let url = format!("{}/v1/blocks/{number}/body", self.base);
        let request = self.http.get(&url).timeout(self.limits.body_timeout);
        Ok(self.send(request, &url, bytes_max).await?.into())
    }

    /// Returns a coin.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn coin(&self, id: OutputId) -> Result<Coin, ClientError> {
        self.get(&format!("/v1/outputs/{}", id.write())).await
    }

    /// Returns a page of the coins of `owner`, unspent ones first.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn coins(
        &self,
        owner: Address,
        asset: Option<Address>,
        cursor: Option<&str>,
    ) -> Result<List<Coin>, ClientError> {
        let mut path = format!("/v1/outputs?owner={}", owner.write());
        for (name, value) in [("asset", asset.map(|asset| asset.write())), ("cursor", cursor.map(str::to_owned))] {
            if let Some(value) = value {
                path = format!("{path}&{name}={value}");
            }
        }
        self.get(&path).await
    }

    /// Returns the proof of the transaction that made a coin.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn inclusion(&self, id: OutputId) -> Result<Inclusion, ClientError> {
        self.get(&format!("/v1/outputs/{}/inclusion", id.write())).await
    }

    /// Returns the proof that a coin was unspent after a block.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn unspent(&self, id: OutputId, block: BlockChoice) -> Result<Unspent, ClientError> {
        let block = match block {
            BlockChoice::Number(number) => number.to_string(),
            BlockChoice::Latest(_) => "latest".to_owned(),
        };
        self.get(&format!("/v1/outputs/{}/unspent?block={block}", id.write())).await
    }

    /// Returns such proofs of many coins, in order.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the request as a whole fails.
    pub async fn unspent_many(&self, query: &UnspentQuery) -> Result<Vec<Answer<Unspent>>, ClientError> {
        self.post("/v1/unspent", "application/json", to_json(query)).await
    }

    /// Returns a transaction.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn transaction(&self, tx_hash: TxHash) -> Result<TransactionAnswer, ClientError> {
        self.get(&format!("/v1/transactions/{}", tx_hash.write())).await
    }

    /// Returns what the operator asks for a transaction.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn fees(&self) -> Result<Fees, ClientError> {
        self.get("/v1/fees").await
    }

    /// Returns how the server is.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Returns the JSON at `path`, which begins with a slash: for the routes that one service alone has.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.base);
        self.json(self.http.get(&url), &url).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.base);
        self.json(self.http.post(&url).header(CONTENT_TYPE, content_type).body(body), &url).await
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder, url: &str) -> Result<T, ClientError> {
        let reply = self.send(request.timeout(self.limits.timeout), url, self.limits.reply_bytes_max).await?;
        serde_json::from_slice(&reply)
            .map_err(|error| ClientError::Malformed { url: url.to_owned(), detail: error.to_string() })
    }

    /// Returns the bytes of a reply with status 200.
    async fn send(&self, request: RequestBuilder, url: &str, bytes_max: usize) -> Result<Vec<u8>, ClientError> {
        let response = request.send().await.map_err(|error| no_reply(url, error))?;
        let status = response.status();
        if status.as_u16() == 200 {
            return read(response, url, bytes_max).await;
        }
        let reply = read(response, url, self.limits.reply_bytes_max).await?;
        Err(match serde_json::from_slice::<Problem>(&reply) {
            Ok(problem) => ClientError::Problem { url: url.to_owned(), problem: Box::new(problem) },
            Err(_) => {
                ClientError::Malformed { url: url.to_owned(), detail: format!("status {status} without a problem") }
            }
        })
    }
}

async fn read(mut response: Response, url: &str, bytes_max: usize) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_reply(url, error))? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(ClientError::TooLarge { url: url.to_owned(), bytes_max });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn no_reply(url: &str, error: reqwest::Error) -> ClientError {
    let url = url.to_owned();
    if error.is_timeout() {
        ClientError::TimedOut { url }
    } else {
        ClientError::Unreachable { url, source: error.without_url() }
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers")
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{url} is no address of a server")]
    Url {
        /// What was given.
        url: String,
    },
    /// No connection, or it broke.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The time was over.
    #[error("{url} did not answer in time")]
    TimedOut {
        /// What was asked.
        url: String,
    },
    /// The reply had more bytes than were asked for.
    #[error("{url} answered with more than {bytes_max} bytes")]
    TooLarge {
        /// What was asked.
        url: String,
        /// How many are taken.
        bytes_max: usize,
    },
    /// The reply is not what the route answers.
    #[error("{url} answered with something else: {detail}")]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The server said why not.
    #[error("{url} refused: {problem}")]
    Problem {
        /// What was asked.
        url: String,
        /// What it said.
        problem: Box<Problem>,
    },
}
