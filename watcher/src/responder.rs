//! What the watcher does on the root chain by itself: which acts are due is a pure function of what is known. §7.
//!
//! An act that is due is sent and looked after until it is final; as long as it stays due it is tried again. Nothing is
//! remembered across restarts: what is still due then is decided anew from the root chain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plasmid_exit_game::block::decode_items;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::game::{CoinExit, Game, PendingExit};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::Place;
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::tx_tree::LEAVES_MAX;
use plasmid_node::archive::Archive;
use plasmid_node::recover;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::Landed;
use plasmid_root_chain::sender::{SendError, Sender};
use tokio::task::{AbortHandle, JoinSet};

use crate::alarms::{Alarm, AlarmKind};
use crate::history::{History, SignedBody, Source};
use crate::metrics::{ActOutcome, Metrics, Outcome};

/// Most acts on their way at a time; the most urgent go first.
const ACTS_MAX: usize = 16;
/// Failures in a row after which somebody must know.
const FAILURES_ALARMING: u32 = 3;
/// Pause after a failure; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A standard exit of a coin whose owner has signed a spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The exit.
    pub exit: PendingExit,
    /// Where the spends are that its owner signed: any of them will do.
    pub spends: Vec<Source>,
}

/// Tells one exit of a coin from another one of the same coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExitId {
    /// The coin.
    pub output_id: OutputId,
    /// Number of the root block that holds the start.
    pub started_in: u64,
    /// The exit's key.
    pub key: u64,
}

impl ExitId {
    fn of(exit: &PendingExit) -> Self {
        Self { output_id: exit.record.output_id, started_in: exit.started_in, key: exit.record.key }
    }
}

/// Returns the challenges that are due, those of the earliest keys first. §5.2.
#[must_use]
pub fn due_challenges(game: &Game, history: &History) -> Vec<Challenge> {
    let challenge = |&exit: &PendingExit| {
        let owner = exit.record.output.owner;
        let spends = history.spends_by(exit.record.output_id, owner).map(|spend| spend.source).collect::<Vec<_>>();
        (!spends.is_empty()).then_some(Challenge { exit, spends })
    };
    let mut due: Vec<_> = game.pending_exits().filter_map(challenge).collect();
    due.sort_by_key(|challenge| challenge.exit.record.key);
    due
}

/// Sends what is due and stays with it.
#[derive(Debug)]
pub struct Responder {
    root_chain: RootChain,
    /// Without one, what is due is an alarm.
    sender: Option<Arc<Sender>>,
    archive: Archive,
    domain: Domain,
    finality_depth: u64,
    metrics: Metrics,
    running: JoinSet<(ExitId, Result<Landed, SendError>)>,
    sent: BTreeMap<ExitId, AbortHandle>,
    failed: BTreeMap<ExitId, Failure>,
}

#[derive(Debug)]
struct Failure {
    count: u32,
    retry_at: Instant,
    what: String,
}

impl Responder {
    /// Returns a responder that acts with the sender's account, if it has one, and follows each act to `finality_depth`.
    #[must_use]
    pub fn new(
        root_chain: RootChain,
        sender: Option<Sender>,
        archive: Archive,
        domain: Domain,
        finality_depth: u64,
        metrics: Metrics,
    ) -> Self {
        Self {
            root_chain,
            sender: sender.map(Arc::new),
            archive,
            domain,
            finality_depth,
            metrics,
            running: JoinSet::new(),
            sent: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Sends what is due and not on its way; stops what a reorganisation made pointless.
    pub fn act(&mut self, game: &Game, history: &History) {
        // An exit that never was: its challenge must not be sent again or paid dearer. One that ended has met ours or
        // another's, and ours is followed until it is final.
        self.sent.retain(|id, task| {
            let is_pointless = match game.exit(id.output_id) {
                None => true,
                Some(CoinExit::Pending(exit)) => ExitId::of(exit) != *id,
                Some(CoinExit::Freed { .. } | CoinExit::Settled { .. }) => false,
            };
            if is_pointless {
                task.abort();
            }
            !is_pointless
        });
        let due = due_challenges(game, history);
        self.failed.retain(|id, _| due.iter().any(|challenge| ExitId::of(&challenge.exit) == *id));
        for challenge in due {
            let id = ExitId::of(&challenge.exit);
            let is_waiting = self.failed.get(&id).is_some_and(|failure| failure.retry_at > Instant::now());
            if self.sent.len() >= ACTS_MAX || self.sent.contains_key(&id) || is_waiting {
                continue;
            }
            match challenge.spends.iter().find_map(|&source| self.evidence(history, &challenge.exit.record, source)) {
                Some(spend) => self.send(id, &challenge.exit.record, &spend),
                None => self.fail(id, "the archive has lost the spend".to_owned()),
            }
        }
    }

    /// Waits until an act has come to its end; for ever if none is on its way. May be dropped while it waits.
    pub async fn finished(&mut self) {
        match self.running.join_next().await {
            None => std::future::pending().await,
            Some(Err(error)) if error.is_cancelled() => {}
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            Some(Ok((id, outcome))) => {
                self.sent.remove(&id);
                match outcome {
                    Ok(landed) => {
                        self.count(Outcome::Landed);
                        self.failed.remove(&id);
                        tracing::info!(coin = %id.output_id, transaction = %landed.transaction, "challenge is final");
                    }
                    Err(error) => self.fail(id, crate::error_chain(&error)),
                }
            }
        }
    }

    /// Returns the alarms about acts that do not get through.
    #[must_use]
    pub fn alarms(&self, now: u64) -> Vec<Alarm> {
        let failing = self.failed.iter().filter(|(_, failure)| failure.count >= FAILURES_ALARMING);
        let alarm = |(id, failure): (&ExitId, &Failure)| {
            let message = format!("the exit of {} cannot be challenged: {}", id.output_id, failure.what);
            Alarm::new(AlarmKind::ActFails, &format!("{:x}", id.output_id.0), now, message)
        };
        failing.map(alarm).collect()
    }

    /// Returns the exits that are being challenged.
    pub fn challenged(&self) -> impl Iterator<Item = OutputId> {
        self.sent.keys().map(|id| id.output_id)
    }

    fn send(&mut self, id: ExitId, exit: &ExitRecord, spend: &SignedBody) {
        tracing::warn!(coin = %id.output_id, owner = %exit.output.owner, "challenging the exit of a spent coin");
        let Some(sender) = self.sender.clone() else {
            self.failed.insert(
                id,
                Failure {
                    count: FAILURES_ALARMING,
                    retry_at: Instant::now() + RETRY_MAX,
                    what: "there is no account".to_owned(),
                },
            );
            return;
        };
        self.count(Outcome::Sent);
        let call = self.root_chain.challenge_standard_exit(exit, &spend.body.encode(), &spend.signature);
        let depth = self.finality_depth;
        let task = self.running.spawn(async move { (id, sender.send_until_final(&call, depth).await) });
        self.sent.insert(id, task);
    }

    fn fail(&mut self, id: ExitId, what: String) {
        self.count(Outcome::Failed);
        tracing::warn!(coin = %id.output_id, "the challenge does not get through: {what}");
        let count = self.failed.get(&id).map_or(1, |failure| failure.count.saturating_add(1));
        let pause = RETRY_FIRST.saturating_mul(1 << count.min(6)).min(RETRY_MAX);
        self.failed.insert(id, Failure { count, retry_at: Instant::now() + pause, what });
    }

    fn count(&self, outcome: Outcome) {
        self.metrics.acts.get_or_create(&ActOutcome { outcome }).inc();
    }

    /// Reads a spend of the exiting coin from where it was seen, and checks that it is one.
    fn evidence(&self, history: &History, exit: &ExitRecord, source: Source) -> Option<SignedBody> {
        let signed = match source {
            Source::Loose(tx_hash) => history.loose(exit.output_id, tx_hash).ok()??,
            Source::Block(place) => self.archived(place)?,
        };
        let signer = recover::signer(&signed.signature, signed.body.signing_hash(&self.domain));
        let is_spend = signed.body.inputs().contains(&exit.output_id) && signer == Some(exit.output.owner);
        is_spend.then_some(signed)
    }

    fn archived(&self, place: Place) -> Option<SignedBody> {
        let bytes = self.archive.read_range(place.block, 0..self.archive.body_len(place.block).ok()?).ok()?;
        let items = decode_items(&bytes, LEAVES_MAX as u32).ok()?;
        let transaction = items.get(place.index.get() as usize)?.transaction()?.ok()?;
        Some(SignedBody::of(&transaction))
    }
}
