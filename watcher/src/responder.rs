//! What the watcher does on the root chain by itself: which acts are due is a pure function of what is known. §7.
//!
//! An act that is due is sent and looked after until it is final; as long as it stays due it is tried again. Nothing is
//! remembered across restarts: what is still due then is decided anew from the root chain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use plasmid_exit_game::block::decode_items;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::Place;
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::tx_tree::LEAVES_MAX;
use plasmid_node::archive::Archive;
use plasmid_node::chain::{BodyError, Chain};
use plasmid_node::kill_point;
use plasmid_node::recover;
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::node::{Call, Landed};
use plasmid_root_chain::sender::{SendError, Sender};
use tokio::task::{AbortHandle, JoinSet};

use crate::alarms::{Alarm, AlarmKind};
use crate::duty::{ActId, Challenge, Guard, Leave, due_challenges, due_leaves};
use crate::history::{History, SignedBody, Source};
use crate::leaving;
use crate::metrics::{ActOutcome, Metrics, Outcome};

/// Most acts on their way at a time; the most urgent go first.
const ACTS_MAX: usize = 16;
/// Failures in a row after which somebody must know.
const FAILURES_ALARMING: u32 = 3;
/// Pause after a failure; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Who acts. One account has one sender, whatever it does.
#[derive(Debug, Default)]
pub struct Accounts {
    /// Who challenges. Without one, what is due is an alarm.
    pub challenger: Option<Arc<Sender>>,
    /// Whose coins leave when a block is bad.
    pub guarded: Vec<Arc<Sender>>,
}

/// Sends what is due and stays with it.
#[derive(Debug)]
pub struct Responder {
    root_chain: RootChain,
    challenger: Option<Arc<Sender>>,
    guarded: BTreeMap<Address, Arc<Sender>>,
    guard: Guard,
    archive: Archive,
    domain: Domain,
    bond_wei: u128,
    finality_depth: u64,
    metrics: Metrics,
    running: JoinSet<(ActId, Result<Landed, ActError>)>,
    sent: BTreeMap<ActId, AbortHandle>,
    failed: BTreeMap<ActId, Failure>,
}

#[derive(Debug)]
struct Failure {
    count: u32,
    retry_at: Instant,
    what: String,
}

impl Responder {
    /// Returns a responder that acts with these accounts and follows each act to `finality_depth`.
    #[must_use]
    pub fn new(
        root_chain: RootChain,
        deployment: &Deployment,
        accounts: Accounts,
        archive: Archive,
        finality_depth: u64,
        metrics: Metrics,
    ) -> Self {
        let guarded = accounts.guarded.into_iter().map(|sender| (sender.account().address(), sender));
        let guarded: BTreeMap<_, _> = guarded.collect();
        Self {
            root_chain,
            challenger: accounts.challenger,
            guard: Guard { owners: guarded.keys().copied().collect(), bounty_wei: deployment.bonds.exit_bounty_wei },
            guarded,
            archive,
            domain: deployment.domain(),
            bond_wei: deployment.bonds.exit_bond_wei,
            finality_depth,
            metrics,
            running: JoinSet::new(),
            sent: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Sends what is due and not on its way; stops what a reorganisation made pointless.
    ///
    /// `is_bad` says whether coins of this chain should leave: its first block that is not valid is invalid or withheld.
    pub fn act(&mut self, chain: &Chain, history: &History, is_bad: bool) {
        let challenges = due_challenges(chain.game(), history);
        let leaves = if is_bad { due_leaves(chain, history, &self.guard) } else { Vec::new() };
        let is_due =
            |id: &ActId| challenges.iter().any(|due| due.id() == *id) || leaves.iter().any(|due| due.id() == *id);
        self.sent.retain(|id, task| {
            // What is neither due nor done never was: it must not be sent again or paid dearer.
            let is_done = id.is_done(chain.game());
            if is_done {
                kill_point::reached("act-landed");
            }
            let is_kept = is_due(id) || is_done;
            if !is_kept {
                task.abort();
            }
            is_kept
        });
        self.failed.retain(|id, _| is_due(id));
        for challenge in &challenges {
            if self.is_to_send(&challenge.id()) {
                self.challenge(challenge, history);
            }
        }
        for leave in &leaves {
            if self.is_to_send(&leave.id()) {
                self.leave(leave, chain);
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
                        kill_point::reached("act-final");
                        self.count(Outcome::Landed);
                        self.failed.remove(&id);
                        tracing::info!(coin = %id.output_id(), transaction = %landed.transaction, "{id} is final");
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
        let alarm = |(id, failure): (&ActId, &Failure)| {
            let message = format!("{id} does not get through: {}", failure.what);
            Alarm::new(AlarmKind::ActFails, &format!("{:x}", id.output_id().0), now, message)
        };
        failing.map(alarm).collect()
    }

    /// Returns the coins whose exits are being challenged.
    pub fn challenged(&self) -> impl Iterator<Item = OutputId> {
        self.sent.keys().filter(|id| matches!(id, ActId::Challenge { .. })).map(ActId::output_id)
    }

    fn is_to_send(&self, id: &ActId) -> bool {
        let is_waiting = self.failed.get(id).is_some_and(|failure| failure.retry_at > Instant::now());
        self.sent.len() < ACTS_MAX && !self.sent.contains_key(id) && !is_waiting
    }

    fn challenge(&mut self, challenge: &Challenge, history: &History) {
        let (id, record) = (challenge.id(), &challenge.exit.record);
        let Some(sender) = self.challenger.clone() else {
            let failure = Failure {
                count: FAILURES_ALARMING,
                retry_at: Instant::now() + RETRY_MAX,
                what: "there is no account to do it".to_owned(),
            };
            self.failed.insert(id, failure);
            return;
        };
        let Some(spend) = challenge.spends.iter().find_map(|&source| self.evidence(history, record, source)) else {
            self.fail(id, ActError::Lost.to_string());
            return;
        };
        let call = self.root_chain.challenge_standard_exit(record, &spend.body.encode(), &spend.signature);
        self.send(id, sender, async move { Ok(call) });
    }

    fn leave(&mut self, leave: &Leave, chain: &Chain) {
        let id = leave.id();
        let Some(sender) = self.guarded.get(&leave.coin.output.owner).cloned() else { return };
        let body = leave.coin.position.block().and_then(|block| chain.body(block));
        let (root_chain, bond_wei, leave) = (self.root_chain.clone(), self.bond_wei, leave.clone());
        self.send(id, sender, async move { leaving::exit_call(&root_chain, bond_wei, &leave, body).await });
    }

    fn send(
        &mut self,
        id: ActId,
        sender: Arc<Sender>,
        call: impl Future<Output = Result<Call, ActError>> + Send + 'static,
    ) {
        tracing::warn!(coin = %id.output_id(), "sending {id}");
        kill_point::reached("act-decided");
        self.count(Outcome::Sent);
        let depth = self.finality_depth;
        let task = self.running.spawn(async move {
            let landed = async { Ok(sender.send_until_final(&call.await?, depth).await?) };
            (id, landed.await)
        });
        self.sent.insert(id, task);
    }

    fn fail(&mut self, id: ActId, what: String) {
        self.count(Outcome::Failed);
        tracing::warn!(coin = %id.output_id(), "{id} does not get through: {what}");
        let count = self.failed.get(&id).map_or(1, |failure| failure.count.saturating_add(1));
        let pause = RETRY_FIRST.saturating_mul(1 << (count - 1).min(6)).min(RETRY_MAX);
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

/// Why an act does not get through.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The root chain does not take it.
    #[error("the call was not made")]
    Send(#[from] SendError),
    /// What it has to show cannot be read.
    #[error("the evidence cannot be read")]
    Read(#[from] BodyError),
    /// What it has to show is not there.
    #[error("the archive has lost the evidence")]
    Lost,
}
