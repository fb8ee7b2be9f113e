//! The loop: root-chain steps, bodies and the ends of acts come in; judging, asking, alarming and acting follow each of them.
//!
//! Three kinds of tasks run beside it, all bounded: one follows the root chain, a few fetch bodies, a few look after
//! transactions. The loop is the only one that changes what is known. It uses the machine's clock only to pace itself and to
//! notice that it is blind.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use plasmid_exit_game::facts::{RootBlock, RootEvent};
use plasmid_exit_game::game::MissingClaim;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::archive::Archive;
use plasmid_node::chain::Chain;
use plasmid_node::http::EventKind;
use plasmid_root_chain::client::{ChildChain, Deployment, RootChain};
use plasmid_root_chain::follower::{FollowError, Follower, FollowerSettings, Progress, Step};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet, block_in_place};

use crate::alarms::{Alarm, AlarmKind, AlarmsError, Outlook};
use crate::distrust::{Count, Distrust};
use crate::fetching::Fetching;
use crate::finding::Finding;
use crate::inquest::Inquest;
use crate::judge::{Judge, JudgeError};
use crate::metrics::Metrics;
use crate::missing::{Claims, MissingAct, Owed};
use crate::responder::Responder;
use crate::servers::{Attempt, Servers};
use crate::shared::{Shared, leave_before};

/// Root-chain steps that wait to be taken in.
const STEPS_WAITING_MAX: usize = 64;
/// Pause between two looks at what time alone changes.
const TICK: Duration = Duration::from_millis(250);
/// Time between two questions to the contract how far the chain is: twice as long, and a node without logs is caught.
const CROSS_CHECK_EVERY: Duration = Duration::from_secs(8);
/// Time between two words about progress while catching up.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Pause after a failure to follow the root chain.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
/// Longest time without a new head of the root chain, by the machine's clock, before the watcher calls itself blind: a
/// quarter of F, but no longer than this.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// What a [`Watcher`] runs on.
#[derive(Debug)]
pub struct Parts {
    /// The contract, at its nodes.
    pub root_chain: RootChain,
    /// What the deployment fixed.
    pub deployment: Deployment,
    /// How the root chain is followed.
    pub follower: FollowerSettings,
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
pub struct Watcher {
    parts: Parts,
    shared: Arc<Shared>,
    judge: Judge,
    steps: mpsc::Receiver<Followed>,
    follower: AbortHandle,
    fetching: Fetching,
    inquest: Inquest,
    progress: Option<Progress>,
    /// When a new root block was last seen that was the node's head, by the machine's clock.
    head_seen: Instant,
    /// What keeps the follower from following.
    trouble: Option<String>,
    distrust: Distrust,
    /// At most one question to the contract, and when the next is due.
    checks: JoinSet<Option<ChildChain>>,
    check_at: Instant,
    /// When progress was last told.
    told_at: Instant,
}

/// What the follower has to say: a step with how far it is, or why there is none.
type Followed = Result<(Step, Progress), FollowError>;

impl Watcher {
    /// Returns a watcher that knows nothing of the root chain yet. `shared.chain` is new. Must be called within a runtime.
    #[must_use]
    pub fn new(parts: Parts, servers: Servers, shared: Arc<Shared>) -> Self {
        let judge = Judge::new(shared.chain.clone(), shared.history.clone(), parts.deployment.domain());
        let follower = Follower::new(parts.root_chain.clone(), parts.deployment, &[], parts.follower.clone());
        let (steps, follower) = follow(follower, Duration::ZERO);
        Self {
            parts,
            shared,
            judge,
            steps,
            follower,
            inquest: Inquest::new(servers.clone()),
            fetching: Fetching::new(servers),
            progress: None,
            head_seen: Instant::now(),
            trouble: None,
            distrust: Distrust::default(),
            checks: JoinSet::new(),
            check_at: Instant::now(),
            told_at: Instant::now(),
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
                (began_at, attempt) = self.fetching.next() => block_in_place(|| self.take_attempt(began_at, &attempt))?,
                found = self.inquest.next() => block_in_place(|| self.inquest.take(found, &self.judge)),
                () = self.parts.responder.finished() => {}
                Some(check) = self.checks.join_next() => {
                    if let Some(contract) = check.expect("asking the contract does not panic") {
                        block_in_place(|| self.take_check(&contract));
                    }
                }
                _ = tick.tick() => {}
            }
            block_in_place(|| self.look())?;
        }
    }

    fn take_step(&mut self, step: Followed) -> Result<(), SyncError> {
        let (step, progress) = match step {
            Ok(step) => step,
            Err(error) => {
                self.parts.metrics.root_failures.inc();
                tracing::warn!("cannot follow the root chain: {}", crate::error_chain(&error));
                if matches!(error, FollowError::TooDeep { .. }) {
                    self.start_again(FOLLOW_PAUSE);
                }
                self.trouble = Some(crate::error_chain(&error));
                return Ok(());
            }
        };
        match step {
            Step::Connect(block) => match self.judge.connect(&block) {
                Ok(()) => {
                    self.trouble = None;
                    if progress.done >= progress.total {
                        self.head_seen = Instant::now();
                        self.publish(&block);
                    }
                }
                Err(JudgeError::Game(error)) => {
                    self.distrust(format!("{} contradicts what came before: {error}", block.at));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
            Step::Disconnect(at) => {
                tracing::warn!("the root chain was reorganised: {at} is gone");
                if !self.judge.disconnect()? {
                    self.start_again(FOLLOW_PAUSE);
                    return Ok(());
                }
            }
        }
        self.progress = Some(progress);
        self.tell_progress();
        Ok(())
    }

    fn take_attempt(&mut self, began_at: u64, attempt: &Attempt) -> Result<(), SyncError> {
        for body in &attempt.bodies {
            let started = Instant::now();
            self.judge.take_body(body)?;
            self.parts.metrics.reading_seconds.observe(started.elapsed().as_secs_f64());
        }
        self.fetching.note(attempt);
        if !attempt.is_whole() {
            self.judge.take_failure(attempt.header.number, began_at)?;
        }
        Ok(())
    }

    /// Does what is due now. Again is harmless.
    fn look(&mut self) -> Result<(), SyncError> {
        loop {
            let started = Instant::now();
            let Some((number, finding)) = self.judge.judge_next()? else { break };
            self.parts.metrics.judging_seconds.observe(started.elapsed().as_secs_f64());
            if self.is_at_head() {
                tracing::info!(block = %number, "{finding}");
                let event = VerdictEvent { number: number.get(), finding: &finding };
                self.shared.events.publish(EventKind::Verdict, &event);
            }
            self.tell_progress();
        }
        if self.is_at_head() {
            // Only at the head: grace counts from the first asking, in root-chain time, which runs fast while catching up.
            self.fetching.ask(&mut self.judge);
            self.inquest.look(&mut self.judge, self.parts.responder.accounts())?;
            let (chain, history) = (self.judge.chain(), self.judge.history());
            let proof = self.judge.proof().or(self.inquest.proof());
            self.parts.responder.act(&chain, &history, self.judge.bad(), proof, self.inquest.lacking());
            drop((chain, history));
            self.cross_check();
        }
        self.alarm()?;
        self.show();
        Ok(())
    }

    fn alarm(&mut self) -> Result<(), SyncError> {
        let now = self.judge.chain().game().now();
        let mut alarming = self.parts.lasting.clone();
        if let Some((number, finding)) = self.judge.bad() {
            let commitment = self.judge.chain().game().header(*number).map(|(header, _)| header.commitment());
            alarming.extend(Alarm::of_block(*number, commitment.unwrap_or_default(), finding, now));
        }
        if let Some((number, Finding::Invalid(_))) = self.judge.bad()
            && self.judge.proof().is_none()
        {
            let message = format!("the archive has lost evidence against block {number}: it cannot be proven");
            alarming.push(Alarm::new(AlarmKind::ActFails, &format!("proof-{number}"), now, message));
        }
        alarming.extend(self.inquest.alarm(now));
        alarming.extend(self.false_claims(now));
        alarming.extend(self.end_of_chain(now));
        let silence = self.head_seen.elapsed();
        if let Some(why) = self.distrust.why() {
            let message = format!("the root chain's node cannot be believed: {why}");
            alarming.push(Alarm::new(AlarmKind::BlindRootChain, "", now, message));
        } else if silence > self.silence_max() {
            let behind = self.progress.map_or(0, |progress| progress.total.saturating_sub(progress.done));
            let why = self.trouble.as_deref().unwrap_or("the node shows no other");
            let message =
                format!("no new head of the root chain for {} s, {behind} blocks behind: {why}", silence.as_secs());
            alarming.push(Alarm::new(AlarmKind::BlindRootChain, "", now, message));
        }
        if let Some(number) = self.fetching.unanswered() {
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

    /// Returns the alarms about claims against valid blocks. §3, R9.
    fn false_claims(&self, now: u64) -> Vec<Alarm> {
        let chain = self.judge.chain();
        let claims = Claims { game: chain.game(), last_valid: chain.verified_block(), first_bad: None };
        let alarm = |claim: &MissingClaim| {
            let Owed { act: MissingAct::Answer, before, .. } = claims.owed(claim, &[])? else { return None };
            let MissingClaim { number, position, output_id, .. } = *claim;
            let before = before.unwrap_or_default();
            let message = format!(
                "somebody claims that the unspent tree of block {number}, which is valid, lacks coin {output_id}: this must be \
                 answered before {before}"
            );
            let alarm = Alarm::new(AlarmKind::MissingClaim, &format!("{number}-{position}"), now, message);
            Some(Alarm { block: Some(number), ..alarm })
        };
        chain.game().missing_claims().filter_map(alarm).collect()
    }

    /// Returns the alarms about a conviction. §3, §4.
    fn end_of_chain(&self, now: u64) -> Vec<Alarm> {
        let chain = self.judge.chain();
        let halted = chain.game().halt().map(|halt| {
            let committed_at = chain.game().header(halt.from).map_or(0, |(header, _)| header.timestamp);
            let message = format!(
                "block {} was convicted: it and all later ones are void; coins made before and payments in them are to leave, \
                 by exits that start before {}",
                halt.from,
                leave_before(committed_at, &chain.game().periods())
            );
            let alarm = Alarm::new(AlarmKind::Halted, &halt.from.to_string(), now, message);
            Alarm { block: Some(halt.from), ..alarm }
        });
        let overruled = self.judge.overruled().map(|number| {
            let message = format!("block {number} was convicted, but this watcher found it valid");
            let alarm = Alarm::new(AlarmKind::Overruled, &number.to_string(), now, message);
            Alarm { block: Some(number), ..alarm }
        });
        halted.into_iter().chain(overruled).collect()
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
        metrics.root_silence_seconds.set(i64::try_from(self.head_seen.elapsed().as_secs()).unwrap_or(i64::MAX));
        metrics.blind.set(is_blind.into());
        metrics
            .missing_claims
            .set(chain.game().missing_claims().filter(|claim| claim.claimed_at.is_some()).count() as u64);
        metrics.halted.set(chain.game().halt().is_some().into());
        let mut status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.synced = self.is_at_head() && self.judge.is_done() && !is_blind;
        status.halted = chain.game().halt().is_some();
        status.closed = chain.game().closed_at().is_some();
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

    /// Says now and then how far catching up is.
    fn tell_progress(&mut self) {
        let Some(Progress { done, total }) = self.progress else { return };
        let (verified, committed) = {
            let chain = self.judge.chain();
            (chain.last_local_block(), chain.game().last_block())
        };
        let is_behind = done < total || (verified < committed && self.judge.bad().is_none());
        if is_behind && self.told_at.elapsed() > PROGRESS_EVERY {
            self.told_at = Instant::now();
            tracing::info!(root_blocks = done, of = total, %verified, %committed, "catching up");
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
                RootEvent::CoinWithdrawn { output_id, .. } => (EventKind::Exit, *output_id, "withdrawn"),
                RootEvent::Deposited(_)
                | RootEvent::InFlight { .. }
                | RootEvent::AssetRecorded { .. }
                | RootEvent::ExitKeysCleared { .. }
                | RootEvent::Credited { .. }
                | RootEvent::Claimed { .. }
                | RootEvent::FaultAnnounced { .. }
                | RootEvent::FaultProven { .. }
                | RootEvent::FaultRewarded { .. }
                | RootEvent::ReceiptSlashed { .. }
                | RootEvent::ReceiptRewarded { .. }
                | RootEvent::BondFunded { .. }
                | RootEvent::BondWithdrawn { .. }
                | RootEvent::OperatorProposed { .. }
                | RootEvent::OperatorAccepted { .. }
                | RootEvent::MissingClaimed { .. }
                | RootEvent::MissingAnswered { .. }
                | RootEvent::MissingConvicted { .. }
                | RootEvent::MissingReturned { .. }
                | RootEvent::ChainClosed => continue,
            };
            self.shared.events.publish(kind, &ExitEvent { id: id.to_string(), what });
        }
    }

    /// Believes the node no more: moves on to the next one, and replays all that was believed.
    fn distrust(&mut self, why: String) {
        self.parts.metrics.root_failures.inc();
        tracing::error!("the root chain's node cannot be believed: {why}");
        let node = self.parts.root_chain.node();
        node.rpc().fail_over(node.rpc().failures());
        let times = self.distrust.catch(why);
        self.start_again(FOLLOW_PAUSE.saturating_mul(1 << times.min(9)));
    }

    /// Asks the contract itself how far the chain is, now and then, and compares.
    fn cross_check(&mut self) {
        if self.check_at > Instant::now() || !self.checks.is_empty() {
            return;
        }
        self.check_at = Instant::now() + CROSS_CHECK_EVERY;
        let root_chain = self.parts.root_chain.clone();
        // A node that does not answer is the follower's trouble.
        self.checks.spawn(async move { root_chain.child_chain().await.ok() });
    }

    fn take_check(&mut self, contract: &ChildChain) {
        let events = {
            let chain = self.judge.chain();
            Count { blocks: chain.game().last_block(), deposits: chain.game().deposit_count() }
        };
        let blocks = contract.next_number.previous().unwrap_or(BlockNumber::ZERO);
        let contract = Count { blocks, deposits: contract.next_nonce };
        if self.is_at_head() && self.distrust.compare(events, contract) {
            self.distrust("its logs lack what its state has".to_owned());
        }
    }

    /// Forgets the chain and replays it, after a pause. What is on disk stays, and the alarms.
    fn start_again(&mut self, pause: Duration) {
        tracing::error!("replaying the root chain from the deployment");
        let Parts { root_chain, deployment, follower, archive, .. } = &self.parts;
        let chain = Chain::new(deployment.periods, follower.finality_depth, archive.clone());
        *self.shared.chain.write().expect("no writer panics") = chain;
        self.inquest.end();
        self.judge = Judge::new(self.shared.chain.clone(), self.shared.history.clone(), deployment.domain());
        self.progress = None;
        self.follower.abort();
        let follower = Follower::new(root_chain.clone(), *deployment, &[], follower.clone());
        (self.steps, self.follower) = follow(follower, pause);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Runs a follower beside the loop: its requests are not to be dropped half-way whenever something else happens.
fn follow(mut follower: Follower, pause: Duration) -> (mpsc::Receiver<Followed>, AbortHandle) {
    let (sender, receiver) = mpsc::channel(STEPS_WAITING_MAX);
    let task = tokio::spawn(async move {
        tokio::time::sleep(pause).await;
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
    finding: &'a Finding,
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
