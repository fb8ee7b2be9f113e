//! The one writer: a thread that takes messages in order, lets the [`Operator`] decide, makes the records durable, and only then
//! answers.
//!
//! Messages that wait are taken together and share one sync of the log. After a failed write nothing is decided or answered
//! positively any more, while the root chain is still followed and reads go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLockWriteGuard};
use std::time::Instant;

use plasmid_exit_game::game::GameError;
use plasmid_exit_game::position::{BlockNumber, Place};
use plasmid_node::chain::{BodyError, Chain, SharedChain};
use plasmid_node::kill_point;
use plasmid_root_chain::follower::Step;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::admission::Admitted;
use crate::block_builder::read;
use crate::committer::{AccountState, Decision, Waiting};
use crate::journal::{Journal, ReadRecordError, Record, RecordOffset};
use crate::metrics::Metrics;
use crate::operator::{Operator, RootView};
use crate::receipts::{Receipts, SignedBatch};
use crate::sequencer::{Outcome, Refusal, ReplayError, Stop};

/// Most messages that wait.
const QUEUE_MAX: usize = 4_096;
/// Most transactions that share one sync of the log.
const GROUP_TXS_MAX: usize = 8_192;

/// What became of a request, once that is durable.
#[derive(Debug, Clone)]
pub enum Answered {
    /// Accepted now, in this batch.
    Accepted(Arc<SignedBatch>, Place),
    /// Accepted before, at this place.
    Repeated(Place),
    /// Not accepted.
    Refused(Refusal),
}

/// Whether the operator works, for all who ask.
#[derive(Debug, Default)]
pub struct Health {
    is_replayed: AtomicBool,
    is_at_head: AtomicBool,
    is_poisoned: AtomicBool,
    is_alarming: AtomicBool,
}

impl Health {
    /// Returns whether log and root chain have been followed to their ends and the log takes records.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_replayed.load(Ordering::Acquire)
            && self.is_at_head.load(Ordering::Acquire)
            && !self.is_poisoned.load(Ordering::Acquire)
    }

    /// Returns whether nothing is accepted for a reason that a person should know.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.is_alarming.load(Ordering::Acquire)
    }
}

enum Message {
    Transactions { requests: Vec<Admitted>, reply: oneshot::Sender<Vec<Answered>>, room: OwnedSemaphorePermit },
    Root { step: Step, blocks_behind: u64, done: oneshot::Sender<()> },
    Doubt,
    BlockInterval,
    Decide { account: AccountState, reply: oneshot::Sender<Decision> },
}

/// The way to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    queue: mpsc::Sender<Message>,
    /// One permit for each transaction that may wait.
    room: Arc<Semaphore>,
}

/// The writer is busy, or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// As many transactions wait as may.
    #[error("{TXS_WAITING_MAX} transactions wait already")]
    Full,
    /// The operator is stopping.
    #[error("the operator is stopping")]
    Stopped,
}

/// Most transactions that wait for the writer.
pub const TXS_WAITING_MAX: usize = 65_536;

impl WriterHandle {
    /// Has the writer decide on transactions, in their order, and waits until that is durable.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; none of them was looked at.
    pub async fn submit(&self, requests: Vec<Admitted>) -> Result<Vec<Answered>, QueueError> {
        let permits = u32::try_from(requests.len()).map_err(|_| QueueError::Full)?;
        // They give the room back when they are decided, even if nobody waits for that any more.
        let room = self.room.clone().try_acquire_many_owned(permits).map_err(|_| QueueError::Full)?;
        let (reply, answers) = oneshot::channel();
        self.queue.try_send(Message::Transactions { requests, reply, room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => QueueError::Full,
            mpsc::error::TrySendError::Closed(_) => QueueError::Stopped,
        })?;
        answers.await.map_err(|_| QueueError::Stopped)
    }

    /// Tells the writer of a step of the root chain and waits until its consequences are durable. `blocks_behind` is how many
    /// further root blocks the follower knows of.
    ///
    /// # Errors
    ///
    /// [`QueueError::Stopped`].
    pub async fn follow(&self, step: Step, blocks_behind: u64) -> Result<(), QueueError> {
        let (done, is_done) = oneshot::channel();
        self.send(Message::Root { step, blocks_behind, done }).await?;
        is_done.await.map_err(|_| QueueError::Stopped)
    }

    /// Tells the writer that the root chain's node cannot be believed: nothing is accepted until the next step.
    ///
    /// # Errors
    ///
    /// [`QueueError::Stopped`].
    pub async fn doubt(&self) -> Result<(), QueueError> {
        self.send(Message::Doubt).await
    }

    /// Tells the writer that a block interval is over.
    ///
    /// # Errors
    ///
    /// [`QueueError::Stopped`].
    pub async fn block_interval(&self) -> Result<(), QueueError> {
        self.send(Message::BlockInterval).await
    }

    /// Asks what to submit, and waits until an intent is durable.
    ///
    /// # Errors
    ///
    /// [`QueueError::Stopped`].
    pub async fn decide(&self, account: AccountState) -> Result<Decision, QueueError> {
        let (reply, decision) = oneshot::channel();
        self.send(Message::Decide { account, reply }).await?;
        decision.await.map_err(|_| QueueError::Stopped)
    }

    /// Returns how many transactions wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        TXS_WAITING_MAX - self.room.available_permits()
    }

    async fn send(&self, message: Message) -> Result<(), QueueError> {
        self.queue.send(message).await.map_err(|_| QueueError::Stopped)
    }
}

/// What the writer works with.
#[derive(Debug)]
pub struct Writer {
    chain: SharedChain,
    operator: Operator,
    journal: Journal,
    receipts: Receipts,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    /// Told when there may be a block to seal or a body to archive.
    changed: Arc<Notify>,
    queue: mpsc::Receiver<Message>,
    /// When the last root block came, unless the node is not believed since.
    last_root_block: Option<Instant>,
    /// The log's records that wait for deposits which the root chain lacks.
    replay: Option<Replay>,
    /// Why nothing is accepted, as it was told last.
    told: Option<Stop>,
}

/// The part of the log that is not applied yet.
struct Replay {
    records: Box<dyn Iterator<Item = Result<(RecordOffset, Record), ReadRecordError>> + Send>,
    next: Option<(RecordOffset, Record)>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("next", &self.next.as_ref().map(|(offset, _)| offset)).finish_non_exhaustive()
    }
}

/// What is told once the group is durable.
enum After {
    Transactions(Vec<Outcome>, oneshot::Sender<Vec<Answered>>),
    Root(oneshot::Sender<()>),
    Decision(Decision, oneshot::Sender<Decision>),
}

/// Why the writer cannot go on. The operator stops; a person must look.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The log cannot be read back.
    #[error("the log cannot be read")]
    Read(#[from] ReadRecordError),
    /// The log was written by another program, or is another chain's.
    #[error("the log does not apply")]
    Replay(#[source] ReplayError),
    /// The root chain has blocks that the log does not know: the log is an old copy.
    #[error(
        "the root chain has committed block {committed}, but the log closes no block after {closed}: it is an old copy"
    )]
    LogBehind {
        /// The last block on the root chain.
        committed: BlockNumber,
        /// The last that the log closes.
        closed: BlockNumber,
    },
    /// The root chain has another block than the log.
    #[error("block {number} on the root chain is not the one in the log: the log is another's, or another has the key")]
    OtherBlock {
        /// The first such block.
        number: BlockNumber,
    },
    /// The root chain's node contradicts itself.
    #[error("the root chain contradicts itself")]
    Game(#[from] GameError),
    /// A block that was final must be submitted again, and the archive does not give its body. The log does, at the next
    /// start.
    #[error(
        "a final block that the root chain has lost cannot be read back from the archive; a restart takes it from the log"
    )]
    Recall(#[from] BodyError),
    /// More root blocks were taken back than can be undone.
    #[error("the root chain was reorganised deeper than can be undone")]
    TooDeep,
}

impl Writer {
    /// Returns the writer over an opened log, and the way to it.
    #[must_use]
    pub fn new(
        chain: SharedChain,
        operator: Operator,
        journal: Journal,
        receipts: Receipts,
        metrics: Arc<Metrics>,
    ) -> (Self, WriterHandle) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let handle = WriterHandle { queue: sender, room: Arc::new(Semaphore::new(TXS_WAITING_MAX)) };
        let replay = Some(Replay { records: Box::new(journal.records()), next: None });
        let (health, changed, last_root_block) = (Arc::default(), Arc::default(), Some(Instant::now()));
        let writer = Self {
            chain,
            operator,
            journal,
            receipts,
            health,
            metrics,
            changed,
            queue,
            last_root_block,
            replay,
            told: Some(Stop::NotReady),
        };
        (writer, handle)
    }

    /// Returns whether the operator works, as it changes.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Returns what is told when there may be a block to seal or a body to archive.
    #[must_use]
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Works until every [`WriterHandle`] is gone.
    ///
    /// # Errors
    ///
    /// [`WriterError`].
    pub fn run(mut self) -> Result<(), WriterError> {
        while let Some(first) = self.queue.blocking_recv() {
            let mut messages = vec![first];
            let mut txs = txs_in(&messages[0]);
            while txs < GROUP_TXS_MAX
                && messages.len() < QUEUE_MAX
                && let Ok(message) = self.queue.try_recv()
            {
                txs += txs_in(&message);
                messages.push(message);
            }
            self.handle(messages)?;
        }
        Ok(())
    }

    fn handle(&mut self, messages: Vec<Message>) -> Result<(), WriterError> {
        let (mut records, mut after) = (Vec::new(), Vec::with_capacity(messages.len()));
        for message in messages {
            match message {
                Message::Transactions { requests, reply, room } => {
                    drop(room);
                    after.push(After::Transactions(self.accept(requests, &mut records), reply));
                }
                Message::Root { step, blocks_behind, done } => {
                    self.follow(step, blocks_behind, &mut records)?;
                    after.push(After::Root(done));
                }
                Message::Doubt => self.last_root_block = None,
                Message::BlockInterval => {
                    if self.decides() {
                        let chain = self.chain.clone();
                        records.extend(self.operator.close_if_due(&mut write(&chain)));
                    }
                }
                Message::Decide { account, reply } => {
                    after.push(After::Decision(self.decide(&account, &mut records), reply));
                }
            }
        }
        let is_durable = self.append(&records);
        let batches = if is_durable { self.sign(records) } else { Vec::new() };
        if !batches.is_empty() {
            kill_point::reached("answer");
        }
        for told in after {
            // Whoever asked may have gone.
            match told {
                After::Transactions(outcomes, reply) => {
                    let answers = outcomes.into_iter().map(|outcome| answer(outcome, &batches, is_durable));
                    let _ = reply.send(answers.collect());
                }
                After::Root(done) => _ = done.send(()),
                After::Decision(decision, reply) => {
                    let decision = if is_durable { decision } else { Decision::Wait(Waiting::NothingToSubmit) };
                    let _ = reply.send(decision);
                }
            }
        }
        self.changed.notify_one();
        self.tell();
        Ok(())
    }

    /// Says loudly when nothing new is accepted any more, why, and when that is over.
    fn tell(&mut self) {
        let stop = match self.decides() {
            true => self.operator.stop(&read(&self.chain), self.view()),
            false => Some(self.not_deciding()),
        };
        if stop == self.told {
            return;
        }
        let is_poisoned = self.journal.is_poisoned();
        self.health
            .is_alarming
            .store(is_poisoned || stop.is_some_and(|stop| stop != Stop::NotReady), Ordering::Release);
        self.metrics.set_stop(stop, self.health.is_alarming());
        match stop {
            None => tracing::warn!("transactions are accepted"),
            Some(Stop::NotReady) => {
                tracing::warn!("no transaction is accepted: not at the heads of log and root chain")
            }
            Some(Stop::RootChainReorganised) => tracing::error!(
                "no transaction is accepted: a reorganisation deeper than the finality depth took a covered deposit. Have the \
                 same deposits made again, in their order (same owners, assets, amounts): then this goes on by itself. If \
                 others have taken their place, blocks of this log can land no more: a person must decide"
            ),
            Some(stop) => tracing::error!("no transaction is accepted: {stop}"),
        }
        self.told = stop;
    }

    /// Whether decisions are made: the log is replayed and can be written.
    fn decides(&self) -> bool {
        self.replay.is_none() && !self.journal.is_poisoned()
    }

    fn accept(&mut self, requests: Vec<Admitted>, records: &mut Vec<Record>) -> Vec<Outcome> {
        if !self.decides() {
            let stop = self.not_deciding();
            return requests.iter().map(|_| Outcome::Refused(stop.into())).collect();
        }
        let (accepted, outcomes) = self.operator.accept(&mut write(&self.chain), requests, self.view());
        records.extend(accepted);
        outcomes
    }

    fn view(&self) -> RootView {
        match self.health.is_at_head.load(Ordering::Acquire) {
            true => {
                let blind_secs = self.last_root_block.map_or(u64::MAX, |last| last.elapsed().as_secs());
                RootView::Head { blind_secs }
            }
            false => RootView::Behind,
        }
    }

    fn not_deciding(&self) -> Stop {
        match &self.replay {
            // All of the root chain is known, and still a record does not apply.
            Some(Replay { next: Some(_), .. }) => Stop::RootChainReorganised,
            Some(Replay { next: None, .. }) | None => Stop::NotReady,
        }
    }

    fn follow(&mut self, step: Step, blocks_behind: u64, records: &mut Vec<Record>) -> Result<(), WriterError> {
        let shared = self.chain.clone();
        let mut chain = write(&shared);
        match step {
            Step::Connect(block) => {
                chain.connect_root_block(&block)?;
                self.last_root_block = Some(Instant::now());
            }
            Step::Disconnect(at) => {
                if chain.disconnect_root_block() != Some(at) {
                    return Err(WriterError::TooDeep);
                }
                chain.recall_uncommitted()?;
                tracing::warn!(%at, "the root chain was reorganised");
            }
        }
        // A block or two come and go at any time; what lies deeper must be known before anything is promised.
        let is_at_head = blocks_behind <= chain.finality_depth();
        self.health.is_at_head.store(is_at_head, Ordering::Release);
        if blocks_behind == 0 && self.replay.is_some() {
            self.replay(&mut chain)?;
        }
        if self.replay.is_none() {
            check_committed(&chain)?;
        }
        if self.decides() {
            records.extend(self.operator.observe_root_chain(&mut chain));
        }
        Ok(())
    }

    /// Applies what is left of the log, as far as the root chain has the deposits.
    fn replay(&mut self, chain: &mut Chain) -> Result<(), WriterError> {
        let Some(replay) = &mut self.replay else { return Ok(()) };
        loop {
            let (offset, record) = match replay.next.take() {
                Some(entry) => entry,
                None => match replay.records.next().transpose()? {
                    Some(entry) => entry,
                    None => break,
                },
            };
            match self.operator.replay(chain, &record) {
                Ok(()) => self.receipts.record(offset, &record),
                Err(error @ ReplayError::DepositsGone { .. }) => {
                    tracing::error!(%error, "waiting for the same deposits to return; if they do not, a person must decide");
                    replay.next = Some((offset, record));
                    return Ok(());
                }
                Err(error) => return Err(WriterError::Replay(error)),
            }
        }
        self.replay = None;
        let (committed, open) = (chain.game().last_block(), chain.open_block());
        if committed >= open {
            let closed = open.previous().unwrap_or(BlockNumber::ZERO);
            return Err(WriterError::LogBehind { committed, closed });
        }
        tracing::info!(records = self.journal.len(), block = %open, "log and root chain are followed to their ends");
        self.health.is_replayed.store(true, Ordering::Release);
        Ok(())
    }

    fn decide(&mut self, account: &AccountState, records: &mut Vec<Record>) -> Decision {
        if !self.decides() {
            return Decision::Wait(Waiting::NothingToSubmit);
        }
        let decision = self.operator.decide(&write(&self.chain), account);
        if let Decision::Sign(intent) = decision {
            records.push(Record::Intended(intent));
        }
        decision
    }

    /// Makes the records durable; returns whether they, and everything before them, are.
    fn append(&mut self, records: &[Record]) -> bool {
        if records.is_empty() {
            return !self.journal.is_poisoned();
        }
        let has_drops = records.iter().any(|record| matches!(record, Record::Dropped(_)));
        kill_point::reached("log-append");
        if has_drops {
            kill_point::reached("drop-decided");
        }
        let started = Instant::now();
        match self.journal.append(records) {
            Ok(offsets) => {
                if has_drops {
                    kill_point::reached("drop-recorded");
                }
                self.metrics.observe_append(records, started.elapsed(), self.journal.last_sync());
                offsets.into_iter().zip(records).for_each(|(offset, record)| self.receipts.record(offset, record));
                true
            }
            Err(error) => {
                tracing::error!(%error, source = ?error, "the log cannot be written: nothing is accepted any more");
                self.health.is_poisoned.store(true, Ordering::Release);
                false
            }
        }
    }

    fn sign(&self, records: Vec<Record>) -> Vec<Arc<SignedBatch>> {
        let batches = records.into_iter().filter_map(|record| match record {
            Record::Accepted(batch) => Some(Arc::new(self.receipts.sign(batch))),
            Record::Covered(_) | Record::Closed(_) | Record::Dropped(_) | Record::Intended(_) => None,
        });
        batches.collect()
    }
}

fn txs_in(message: &Message) -> usize {
    match message {
        Message::Transactions { requests, .. } => requests.len(),
        Message::Root { .. } | Message::Doubt | Message::BlockInterval | Message::Decide { .. } => 0,
    }
}

fn answer(outcome: Outcome, batches: &[Arc<SignedBatch>], is_durable: bool) -> Answered {
    match outcome {
        Outcome::Accepted(_) | Outcome::Repeated(_) if !is_durable => Answered::Refused(Stop::NotReady.into()),
        Outcome::Accepted(place) => {
            let batch = batches.iter().find(|batch| batch.holds(place)).expect("each accepted one is in a batch");
            Answered::Accepted(batch.clone(), place)
        }
        Outcome::Repeated(place) => Answered::Repeated(place),
        Outcome::Refused(refusal) => Answered::Refused(refusal),
    }
}

/// Finds out whether the root chain has the blocks that the log has.
fn check_committed(chain: &Chain) -> Result<(), WriterError> {
    match chain.disagreement() {
        // Without roots it only has not been compared yet.
        Some(number) if chain.sealed_block(number).is_some() => Err(WriterError::OtherBlock { number }),
        Some(_) | None => Ok(()),
    }
}

fn write(chain: &SharedChain) -> RwLockWriteGuard<'_, Chain> {
    // A reader's panic leaves the chain whole; the writer's own ends the program.
    chain.write().unwrap_or_else(PoisonError::into_inner)
}
