//! The servers of bodies and memberships: operator and other watchers, one after the other. None is believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plasmid_exit_game::block::Header;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::client::{Client, ClientError};
use plasmid_node::wire::{Answer, BlockChoice, Unspent, UnspentQuery};

use crate::body::{ServedBody, body_len_max};
use crate::metrics::{FailureReason, Metrics, ServerFailure};

/// The configured servers. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Servers {
    clients: Arc<[Client]>,
    /// Index of the one that answered last.
    preferred: Arc<AtomicUsize>,
    metrics: Metrics,
}

/// What an attempt to get a body gave.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The block.
    pub header: Header,
    /// What was served, the last one whole if any is.
    pub bodies: Vec<ServedBody>,
    /// Whether a server answered at all, be it with a refusal.
    pub is_answered: bool,
}

impl Attempt {
    /// Returns whether the body was served with every preimage.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bodies.last().is_some_and(ServedBody::is_whole)
    }
}

impl Servers {
    /// Returns the servers, asked in this order at first.
    #[must_use]
    pub fn new(clients: Vec<Client>, metrics: Metrics) -> Self {
        Self { clients: clients.into(), preferred: Arc::default(), metrics }
    }

    /// Asks each server in turn until one serves the whole body.
    pub async fn body(&self, header: Header) -> Attempt {
        let mut attempt = Attempt { header, bodies: Vec::new(), is_answered: false };
        let first = self.preferred.load(Ordering::Relaxed);
        for offset in 0..self.clients.len() {
            let index = (first + offset) % self.clients.len();
            let served = self.ask(&self.clients[index], header).await;
            attempt.is_answered |= !matches!(served, Err(FailureReason::Unreachable));
            let reason = match served {
                Ok(body) if body.is_whole() => {
                    attempt.bodies.push(body);
                    self.preferred.store(index, Ordering::Relaxed);
                    return attempt;
                }
                Ok(body) => {
                    attempt.bodies.push(body);
                    FailureReason::Partial
                }
                Err(reason) => reason,
            };
            self.metrics.server_failures.get_or_create(&ServerFailure { reason }).inc();
        }
        attempt
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// Asks one of them which of these coins the unspent tree of a block holds. Returns what it shows, unchecked.
    pub async fn unspent(&self, server: usize, number: BlockNumber, ids: &[OutputId]) -> Vec<Unspent> {
        let Some(client) = self.clients.get(server) else { return Vec::new() };
        let query = UnspentQuery { block: BlockChoice::Number(number), ids: ids.to_vec() };
        let answers = client.unspent_many(&query).await.unwrap_or_else(|error| {
            tracing::debug!(%number, server = client.url(), "no memberships: {error}");
            self.metrics.server_failures.get_or_create(&ServerFailure { reason: reason_of(&error) }).inc();
            Vec::new()
        });
        let shown = answers.into_iter().filter_map(|answer| match answer {
            Answer::Done(unspent) => Some(unspent),
            Answer::Problem(_) => None,
        });
        shown.collect()
    }

    async fn ask(&self, client: &Client, header: Header) -> Result<ServedBody, FailureReason> {
        let (number, server) = (header.number, client.url());
        let bytes = match client.body(number, body_len_max(header.tx_count)).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::debug!(%number, server, "no body: {error}");
                return Err(reason_of(&error));
            }
        };
        let checked = tokio::task::spawn_blocking(move || ServedBody::check(header, bytes)).await;
        checked.expect("checking a body does not panic").map_err(|error| {
            tracing::warn!(%number, server, "the server lies: {error}");
            FailureReason::Lied
        })
    }
}

fn reason_of(error: &ClientError) -> FailureReason {
    match error {
        ClientError::Unreachable { .. } | ClientError::TimedOut { .. } | ClientError::Url { .. } => {
            FailureReason::Unreachable
        }
        ClientError::Problem { .. } => FailureReason::Refused,
        ClientError::TooLarge { .. } | ClientError::Malformed { .. } => FailureReason::Lied,
    }
}
