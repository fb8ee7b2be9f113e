//! The loop: root-chain steps, bodies and the ends of acts come in; judging, asking, alarming and acting follow each of them.
//!
//! Three kinds of tasks run beside it, all bounded: one follows the root chain, a few fetch bodies, a few look after
//! transactions. The loop is the only one that changes what is known. It uses the machine's clock only to pace itself and to
//! notice that it is blind.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use plasmid_exit_game::facts::{RootBlock, RootEvent};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::archive::Archive;
use plasmid_node::chain::{Chain, SharedChain};
use plasmid_node::http::{EventKind, Events, ServiceStatus};
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::follower::{FollowError, Follower, FollowerSettings, Progress, Step};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet, block_in_place};

use crate::alarms::{Alarm, AlarmKind, Alarms, AlarmsError, Outlook};
use crate::body::body_len_max;
use crate::history::History;
use crate::judge::{Judge, JudgeError, SharedHistory};
use crate::metrics::Metrics;
use crate::responder::Responder;
use crate::servers::{Attempt, Servers};

/// Bodies that are fetched at a time, and how many bytes they may have together unless it is one alone.
const ATTEMPTS_MAX: usize = 4;
const ATTEMPTS_LEN_MAX: usize = 1 << 30;
/// Root-chain steps that wait to be taken in.
const STEPS_WAITING_MAX: usize = 64;
/// Pause between two looks at what time alone changes.
const TICK: Duration = Duration::from_millis(250);
/// Pause after a failure to follow the root chain.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
/// Pause after a failure to get a body; it doubles with each.
const ATTEMPT_PAUSE_FIRST: Duration = Duration::from_millis(250);
const ATTEMPT_PAUSE_MAX: Duration = Duration::from_secs(8);
/// Attempts without an answer of any server after which the watcher calls itself blind.
const UNANSWERED_ALARMING: u32 = 3;
/// Longest silence of the root chain, by the machine's clock, before the watcher calls itself blind: a quarter of F, but no
/// longer than this.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// What the API reads of a running watcher.
#[derive(Debug)]
pub struct Shared {
    /// The chain.
    pub chain: SharedChain,
    /// What was seen.
    pub history: SharedHistory,
    /// The alarms.
    pub alarms: Mutex<Alarms>,
    /// Part of `/v1/status`.
    pub status: Mutex<ServiceStatus>,
    /// Exits that are being challenged.
    pub challenged: Mutex<BTreeSet<OutputId>>,
    /// What happens, as a stream.
    pub events: Events,
}

/// What a [`Sync`] runs on.
#[derive(Debug)]
pub struct Parts {
    /// The contract, at its nodes.
    pub root_chain: RootChain,
    /// What the deployment fixed.
    pub deployment: Deployment,
    /// How the root chain is followed.
    pub follower: FollowerSettings,
    /// Where bodies come from.
    pub servers: Servers,
    /// Who acts.
    pub responder: Responder,
    /// Bodies on disk.
    pub archive: Archive,
    /// What is counted.
    pub metrics: Metrics,
    /// Alarms that stand as long as this process runs: what was found damaged at its start.
    pub lasting: Vec<Alarm>,
}

/// Follows both chains until it is told to stop.
#[derive(Debug)]
pub struct Sync {
    parts: Parts,
    shared: Arc<Shared>,
    judge: Judge,
    steps: mpsc::Receiver<Result<(Step, Progress), FollowError>>,
    follower: AbortHandle,
    /// Bodies that are being fetched, with the root-chain time at which each attempt began.
    attempts: JoinSet<(u64, Attempt)>,
    asked: BTreeMap<BlockNumber, Asked>,
    progress: Option<Progress>,
    /// When the machine's clock last saw a new root block.
    root_seen: Instant,
    /// What keeps the follower from following.
    trouble: Option<String>,
}

/// A body that was asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Bytes set aside for the attempt under way, if one is.
    reserved: Option<usize>,
    retry_at: Instant,
    pause: Duration,
    unanswered: u32,
}

impl Sync {
    /// Returns a watcher that knows nothing of the root chain yet. `shared.chain` is new. Must be called within a runtime.
    #[must_use]
    pub fn new(parts: Parts, shared: Arc<Shared>) -> Self {
        let judge = Judge::new(shared.chain.clone(), shared.history.clone(), parts.deployment.domain());
        let (steps, follower) =
            follow(Follower::new(parts.root_chain.clone(), parts.deployment, &[], parts.follower.clone()));
        Self {
            parts,
            shared,
            judge,
            steps,
            follower,
            attempts: JoinSet::new(),
            asked: BTreeMap::new(),
            progress: None,
            root_seen: Instant::now(),
            trouble: None,
        }
    }

    /// Follows both chains until `shutdown` is done. All that is known is on disk at any time.
    ///
    /// # Errors
    ///
    /// [`SyncError`] if the disk fails: a restart goes on where it stopped.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), SyncError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                Some(step) = self.steps.recv() => block_in_place(|| self.take_step(step))?,
                Some(attempt) = self.attempts.join_next() => {
                    let (began_at, attempt) = attempt.expect("fetching a body does not panic");
                    block_in_place(|| self.take_attempt(began_at, &attempt))?;
                }
                () = self.parts.responder.finished() => {}
                _ = tick.tick() => {}
            }
            block_in_place(|| self.look())?;
        }
    }

    fn take_step(&mut self, step: Result<(Step, Progress), FollowError>) -> Result<(), SyncError> {
        let (step, progress) = match step {
            Ok(step) => step,
            Err(error) => {
                self.parts.metrics.root_failures.inc();
                tracing::warn!("cannot follow the root chain: {}", crate::error_chain(&error));
                if matches!(error, FollowError::TooDeep { .. }) {
                    self.start_again();
                }
                self.trouble = Some(crate::error_chain(&error));
                return Ok(());
            }
        };
        match step {
            Step::Connect(block) => match self.judge.connect(&block) {
                Ok(()) => {
                    self.root_seen = Instant::now();
                    self.trouble = None;
                    self.publish(&block);
                }
                Err(JudgeError::Game(error)) => {
                    // The node lies, or mixes up chains: nothing of it is believed, and another look may find another node.
                    self.parts.metrics.root_failures.inc();
                    tracing::error!(block = %block.at, "the root chain's node contradicts itself: {error}");
                    self.trouble = Some(error.to_string());
                    self.refollow();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
            Step::Disconnect(at) => {
                tracing::warn!("the root chain was reorganised: {at} is gone");
                if !self.judge.disconnect()? {
                    self.start_again();
                    return Ok(());
                }
            }
        }
        self.report_progress(progress);
        self.progress = Some(progress);
        Ok(())
    }

    fn take_attempt(&mut self, began_at: u64, attempt: &Attempt) -> Result<(), SyncError> {
        let number = attempt.header.number;
        for body in &attempt.bodies {
            let started = Instant::now();
            self.judge.take_body(body)?;
            self.parts.metrics.reading_seconds.observe(started.elapsed().as_secs_f64());
        }
        if attempt.is_whole() {
            self.asked.remove(&number);
            return Ok(());
        }
        self.judge.take_failure(number, began_at)?;
        if let Some(asked) = self.asked.get_mut(&number) {
            asked.reserved = None;
            asked.retry_at = Instant::now() + asked.pause;
            asked.pause = asked.pause.saturating_mul(2).min(ATTEMPT_PAUSE_MAX);
            asked.unanswered = if attempt.is_answered { 0 } else { asked.unanswered.saturating_add(1) };
        }
        Ok(())
    }

    /// Does what is due now. Again is harmless.
    fn look(&mut self) -> Result<(), SyncError> {
        loop {
            let started = Instant::now();
            let Some((number, finding)) = self.judge.judge_next()? else { break };
            self.parts.metrics.judging_seconds.observe(started.elapsed().as_secs_f64());
            tracing::info!(block = %number, "{finding}");
            self.shared.events.publish(EventKind::Verdict, &VerdictEvent { number: number.get(), finding: &finding });
        }
        if self.is_at_head() {
            self.ask();
            let (chain, history) = (self.judge.chain(), self.judge.history());
            self.parts.responder.act(chain.game(), &history);
        }
        self.alarm()?;
        self.show();
        Ok(())
    }

    /// Asks for the bodies that are missing. Only at the head: grace counts from the first asking, in root-chain time, which
    /// runs fast while catching up.
    fn ask(&mut self) {
        let now = Instant::now();
        let reserved = |asked: &BTreeMap<BlockNumber, Asked>| -> (usize, usize) {
            let lens = asked.values().filter_map(|asked| asked.reserved);
            lens.fold((0, 0), |(count, total), len| (count + 1, total + len))
        };
        let is_due =
            |number| self.asked.get(&number).is_none_or(|asked| asked.reserved.is_none() && asked.retry_at <= now);
        for header in self.judge.wanted(is_due, ATTEMPTS_MAX) {
            let (count, total) = reserved(&self.asked);
            let len = body_len_max(header.tx_count);
            if count >= ATTEMPTS_MAX || (count > 0 && total.saturating_add(len) > ATTEMPTS_LEN_MAX) {
                break;
            }
            let first = Asked { reserved: None, retry_at: now, pause: ATTEMPT_PAUSE_FIRST, unanswered: 0 };
            self.asked.entry(header.number).or_insert(first).reserved = Some(len);
            let began_at = self.judge.ask(header.number);
            let servers = self.parts.servers.clone();
            self.attempts.spawn(async move { (began_at, servers.body(header).await) });
        }
        let last = self.judge.chain().game().last_block();
        self.asked.retain(|&number, asked| asked.reserved.is_some() || number <= last);
    }

    fn alarm(&mut self) -> Result<(), SyncError> {
        let now = self.judge.chain().game().now();
        let mut alarming = self.parts.lasting.clone();
        if let Some((number, finding)) = self.judge.bad() {
            let commitment = self.judge.chain().game().header(*number).map(|(header, _)| header.commitment());
            alarming.extend(Alarm::of_block(*number, commitment.unwrap_or_default(), finding, now));
        }
        let silence = self.root_seen.elapsed();
        if silence > self.silence_max() {
            let why = self.trouble.as_deref().unwrap_or("the node shows no new block");
            let message = format!("no new root block for {} s: {why}", silence.as_secs());
            alarming.push(Alarm::new(AlarmKind::BlindRootChain, "", now, message));
        }
        let unanswered = self.asked.iter().find(|(_, asked)| asked.unanswered >= UNANSWERED_ALARMING);
        if let Some((number, _)) = unanswered {
            let message = format!("no server answers, and the body of block {number} is missing");
            alarming.push(Alarm::new(AlarmKind::BlindServers, "", now, message));
        }
        for number in self.judge.damaged() {
            let message = format!("the archived body of block {number} was damaged and is fetched again");
            alarming.push(Alarm::new(AlarmKind::Damaged, &format!("body-{number}"), now, message));
        }
        alarming.extend(self.parts.responder.alarms(now));
        let outlook = if self.is_at_head() { Outlook::Whole } else { Outlook::Partial };
        let mut alarms = self.shared.alarms();
        for alarm in alarms.reconcile(alarming, outlook, now)? {
            self.shared.events.publish(EventKind::Alarm, &alarm);
        }
        Ok(())
    }

    /// Brings status and metrics up to date.
    fn show(&mut self) {
        let is_blind = {
            let alarms = self.shared.alarms();
            self.parts.metrics.alarms.set(alarms.standing().count() as u64);
            let is_blind = |alarm: &Alarm| matches!(alarm.kind, AlarmKind::BlindRootChain | AlarmKind::BlindServers);
            alarms.standing().any(is_blind)
        };
        let metrics = &self.parts.metrics;
        let chain = self.judge.chain();
        let (verified, committed) = (chain.last_local_block().get(), chain.game().last_block().get());
        metrics.verified_block.set(verified);
        metrics.unverified_blocks.set(committed.saturating_sub(verified));
        metrics.missing_bodies.set(self.judge.missing_count() as u64);
        metrics.root_block.set(chain.game().at().map_or(0, |at| at.number));
        metrics.root_lag_blocks.set(self.progress.map_or(0, |progress| progress.total.saturating_sub(progress.done)));
        metrics.root_silence_seconds.set(i64::try_from(self.root_seen.elapsed().as_secs()).unwrap_or(i64::MAX));
        metrics.blind.set(is_blind.into());
        let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.synced = self.is_at_head() && self.judge.is_done() && !is_blind;
        status.alarms = metrics.alarms.get();
        let mut challenged = self.shared.challenged.lock().unwrap_or_else(PoisonError::into_inner);
        *challenged = self.parts.responder.challenged().collect();
    }

    fn is_at_head(&self) -> bool {
        self.progress.is_some_and(|progress| progress.done >= progress.total)
    }

    fn silence_max(&self) -> Duration {
        Duration::from_secs(self.parts.deployment.periods.freeze_delay().div_ceil(4)).min(SILENCE_MAX)
    }

    fn report_progress(&self, progress: Progress) {
        const EVERY: u64 = 10_000;
        let before = self.progress.map_or(0, |progress| progress.done);
        if progress.done / EVERY != before / EVERY && progress.done < progress.total {
            tracing::info!(done = progress.done, total = progress.total, "catching up with the root chain");
        }
    }

    fn publish(&self, block: &RootBlock) {
        for event in &block.events {
            let (kind, id, what) = match event {
                RootEvent::BlockSubmitted(header) => {
                    let number = header.number.get();
                    self.shared.events.publish(EventKind::BlockCommitted, &NumberEvent { number });
                    continue;
                }
                RootEvent::StandardExitStarted(record) => (EventKind::Exit, record.output_id, "started"),
                RootEvent::StandardExitChallenged { output_id, .. } => (EventKind::Exit, *output_id, "challenged"),
                RootEvent::ExitAssigned { output_id, .. } => (EventKind::Exit, *output_id, "assigned"),
                RootEvent::ExitPaid { output_id, .. } => (EventKind::Exit, *output_id, "paid"),
                RootEvent::ExitReturned { output_id, .. } => (EventKind::Exit, *output_id, "returned"),
                RootEvent::Deposited(_)
                | RootEvent::AssetRecorded { .. }
                | RootEvent::ExitKeysCleared { .. }
                | RootEvent::Credited { .. }
                | RootEvent::Claimed { .. } => continue,
            };
            self.shared.events.publish(kind, &ExitEvent { id: id.to_string(), what });
        }
    }

    /// Follows again from what is held as connected.
    fn refollow(&mut self) {
        let node = self.parts.root_chain.node();
        node.rpc().fail_over(node.rpc().failures());
        let connected: Vec<_> = self.judge.connected().collect();
        let Parts { root_chain, deployment, follower, .. } = &self.parts;
        self.follower.abort();
        (self.steps, self.follower) =
            follow(Follower::new(root_chain.clone(), *deployment, &connected, follower.clone()));
    }

    /// Forgets the chain and replays it: a reorganisation went back further than can be undone.
    fn start_again(&mut self) {
        tracing::error!("the root chain was reorganised deeper than can be undone: replaying it from the deployment");
        let Parts { deployment, follower, archive, .. } = &self.parts;
        let chain = Chain::new(deployment.periods, follower.finality_depth, archive.clone());
        *self.shared.chain.write().expect("no writer panics") = chain;
        self.judge = Judge::new(self.shared.chain.clone(), self.shared.history.clone(), deployment.domain());
        self.progress = None;
        self.refollow();
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Shared {
    /// Returns what a watcher that knows nothing yet shares.
    #[must_use]
    pub fn new(chain: Chain, history: SharedHistory, alarms: Alarms, status: ServiceStatus, events: Events) -> Self {
        Self {
            chain: Arc::new(RwLock::new(chain)),
            history,
            alarms: Mutex::new(alarms),
            status: Mutex::new(status),
            challenged: Mutex::default(),
            events,
        }
    }

    /// Returns the chain, for reading.
    pub fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().expect("no writer panics")
    }

    /// Returns the history, for reading. Locked after the chain, never before.
    pub fn history(&self) -> RwLockReadGuard<'_, History> {
        self.history.read().expect("no writer panics")
    }

    /// Returns the service's part of `/v1/status`.
    pub fn status(&self) -> ServiceStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a challenge of the coin's exit is on its way.
    pub fn is_being_challenged(&self, output_id: OutputId) -> bool {
        self.challenged.lock().unwrap_or_else(PoisonError::into_inner).contains(&output_id)
    }

    /// Returns the root-chain time before which exits of good coins are to be started, T + MEP − G, if a block is bad. §4.
    pub fn leave_before(&self, chain: &Chain) -> Option<u64> {
        let number = chain.last_local_block().next()?;
        let (header, _) = chain.game().header(number)?;
        let record = self.history().record(number).filter(|record| record.commitment == header.commitment()).cloned();
        record.filter(|record| record.finding.is_bad())?;
        let periods = chain.game().periods();
        Some((header.timestamp + periods.minimum_exit_period).saturating_sub(periods.granularity()))
    }

    /// Returns the alarms. A panic elsewhere leaves them whole.
    pub fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a follower beside the loop: its requests are not to be dropped half-way whenever something else happens.
fn follow(mut follower: Follower) -> (mpsc::Receiver<Result<(Step, Progress), FollowError>>, AbortHandle) {
    let (sender, receiver) = mpsc::channel(STEPS_WAITING_MAX);
    let task = tokio::spawn(async move {
        loop {
            let step = follower.next().await;
            let is_failed = step.is_err();
            let step = step.map(|step| (step, follower.progress()));
            if sender.send(step).await.is_err() {
                return;
            }
            if is_failed {
                tokio::time::sleep(FOLLOW_PAUSE).await;
            }
        }
    });
    (receiver, task.abort_handle())
}

#[derive(Serialize)]
struct NumberEvent {
    number: u64,
}

#[derive(Serialize)]
struct VerdictEvent<'a> {
    number: u64,
    #[serde(flatten)]
    finding: &'a crate::finding::Finding,
}

#[derive(Serialize)]
struct ExitEvent {
    id: String,
    what: &'static str,
}

/// Why the watcher stops.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// What is found cannot be kept.
    #[error("the watcher cannot go on")]
    Judge(#[from] JudgeError),
    /// The alarms cannot be kept.
    #[error("the watcher cannot go on")]
    Alarms(#[from] AlarmsError),
}
