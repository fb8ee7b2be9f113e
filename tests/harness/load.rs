//! Load: clients that pay whatever happens to the operator, and remember every answer.
//!
//! A client that gets no answer, or 429 or 503, sends the same bytes again until it gets one. Now and then, and after each
//! failure, it asks again for payments that were acknowledged, whose answers must not change by a byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_exit_game::signature::Domain;
use plasmid_node::wire::{Accepted, Submission};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use tokio::task::JoinHandle;

use crate::people::{Coin, Person, Signed};
use crate::world::World;

/// Longest pause of a client between two payments.
const THINKING_MAX: Duration = Duration::from_millis(60);
/// Pause before the same is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Most coins that a client spends or makes at once.
const COINS_MAX: usize = 3;
/// Payments asked for again after a failure.
const REPEATED_AFTER_FAILURE: usize = 3;

/// A payment that the operator has acknowledged.
#[derive(Debug, Clone)]
pub struct Payment {
    /// What was sent.
    pub signed: Signed,
    /// What was answered.
    pub accepted: Accepted,
    /// The same, byte for byte.
    pub answer: Bytes,
}

/// What clients have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// What was acknowledged, each client's payments in their order.
    pub payments: Vec<Payment>,
    /// How often a payment was asked for again after it was acknowledged.
    pub repeats: u64,
    /// How often no answer came, or 429 or 503.
    pub failures: u64,
    /// Answers to a repeat that were not the first one.
    pub different: Vec<String>,
    /// Refusals of payments that nothing speaks against.
    pub refusals: Vec<String>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// Starts a client for each person, with a coin to begin with.
    #[must_use]
    pub fn start(world: &World, clients: &[(&Person, Coin)], seed: u64) -> Self {
        let (is_over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |(index, &(person, coin)): (u64, &(&Person, Coin))| {
            let client = Client {
                desk: Desk::of(world),
                domain: world.domain(),
                person: person.clone(),
                coins: vec![coin],
                random: StdRng::seed_from_u64(seed ^ index),
                is_over: is_over.clone(),
                acknowledged: acknowledged.clone(),
                seen: Seen::default(),
            };
            tokio::spawn(client.pay_on())
        };
        let clients = (0..).zip(clients).map(client).collect();
        Self { is_over, acknowledged, clients }
    }

    /// Returns how many payments were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets each client finish what it has begun, and returns what they have seen.
    ///
    /// # Panics
    ///
    /// If a client gets no answer for a minute.
    pub async fn stop(self) -> Seen {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = tokio::time::timeout(Duration::from_secs(60), client).await;
            let seen = seen.expect("the operator answers within a minute").expect("a client does not panic");
            all.payments.extend(seen.payments);
            all.repeats += seen.repeats;
            all.failures += seen.failures;
            all.different.extend(seen.different);
            all.refusals.extend(seen.refusals);
        }
        all
    }
}

/// Where payments are handed in; answers come as bytes.
#[derive(Debug, Clone)]
pub struct Desk {
    http: reqwest::Client,
    url: String,
}

impl Desk {
    /// Returns the operator's, whether or not it is running.
    ///
    /// # Panics
    ///
    /// If the system has no sockets.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        let url = format!("{}/v1/transactions", world.operator().url());
        Self { http: http.expect("a client without special wishes"), url }
    }

    /// Hands in a payment once; `None` if no whole answer came.
    pub async fn hand_in(&self, signed: &Signed) -> Option<(StatusCode, Bytes)> {
        let submission = Submission { body: signed.body.encode().into(), signature: signed.signature.encode() };
        let body = serde_json::to_vec(&submission).expect("two strings");
        let request = self.http.post(&self.url).header("content-type", "application/json").body(body);
        let reply = request.send().await.ok()?;
        let status = reply.status();
        Some((status, reply.bytes().await.ok()?))
    }
}

struct Client {
    desk: Desk,
    domain: Domain,
    person: Person,
    coins: Vec<Coin>,
    random: StdRng,
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    seen: Seen,
}

impl Client {
    async fn pay_on(mut self) -> Seen {
        while !self.is_over.load(Ordering::Relaxed) {
            let signed = self.next_payment();
            let failures = self.seen.failures;
            let Some(answer) = self.insist(&signed).await else { break };
            if let Err(what) = self.take(signed, answer) {
                self.seen.refusals.push(what);
                break;
            }
            let count = if self.seen.failures > failures { REPEATED_AFTER_FAILURE } else { 0 };
            let latest = self.seen.payments.len().saturating_sub(count)..self.seen.payments.len();
            let any = self.random.random_range(0..4 * self.seen.payments.len());
            for index in latest.chain([any]) {
                self.repeat(index).await;
            }
            tokio::time::sleep(THINKING_MAX.mul_f64(self.random.random())).await;
        }
        self.seen
    }

    /// Spends some coins of its own into others.
    fn next_payment(&mut self) -> Signed {
        let count = self.random.random_range(1..=COINS_MAX.min(self.coins.len()));
        let spent: Vec<Coin> =
            (0..count).map(|_| self.coins.swap_remove(self.random.random_range(0..self.coins.len()))).collect();
        let mut left: u128 = spent.iter().map(|coin| coin.output.amount).sum();
        let count = self.random.random_range(1..=COINS_MAX) as u128;
        let mut outputs = Vec::new();
        while left > 0 {
            let is_last = outputs.len() as u128 + 1 == count;
            let amount = if is_last { left } else { self.random.random_range(1..=left) };
            outputs.push(self.person.gets(ETHER, amount));
            left -= amount;
        }
        self.person.sign(&self.domain, &spent, outputs)
    }

    /// Sends a payment until it is answered; `None` if it is refused.
    async fn insist(&mut self, signed: &Signed) -> Option<Bytes> {
        loop {
            match self.desk.hand_in(signed).await {
                Some((StatusCode::OK, answer)) => return Some(answer),
                None | Some((StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _)) => {
                    self.seen.failures += 1;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Some((status, problem)) => {
                    self.seen.refusals.push(format!("{status}: {}", String::from_utf8_lossy(&problem)));
                    return None;
                }
            }
        }
    }

    /// Takes in the first answer to a payment, with the coins that it promises.
    fn take(&mut self, signed: Signed, answer: Bytes) -> Result<(), String> {
        let accepted: Accepted = serde_json::from_slice(&answer).map_err(|error| format!("no answer: {error}"))?;
        let hash = signed.body.hash();
        let made = signed.body.outputs().iter().zip(&accepted.positions).zip(0..);
        let coin = |((&output, &position), index)| Coin { id: OutputId::of_output(hash, index), position, output };
        self.coins.extend(made.map(coin));
        self.seen.payments.push(Payment { signed, accepted, answer });
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Asks again for an acknowledged payment, if there is one of this index, and compares.
    async fn repeat(&mut self, index: usize) {
        let Some(Payment { signed, answer, .. }) = self.seen.payments.get(index).cloned() else { return };
        self.seen.repeats += 1;
        let again = self.insist(&signed).await;
        if again.as_ref() != Some(&answer) {
            self.seen.different.push(format!("first {answer:?}, then {again:?}"));
        }
    }
}
