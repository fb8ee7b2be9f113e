//! The root chain's steps on their way to the writer.
//!
//! A node that indexes its logs late, or leaves some out, shows a chain in which nothing happens. The contract's own counters
//! give it away: near the head no block is taken from a node whose events are not as many as the contract has counted.
//! (Exits it does not count; and a node that lies about state and logs alike can only be told by another node.)

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_node::chain::SharedChain;
use plasmid_node::http::{EventKind, Events};
use plasmid_node::kill_point;
use plasmid_node::wire::BlockHeads;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::follower::{FollowError, Follower, Step};
use plasmid_root_chain::node::{At, ReadError};
use tokio::sync::Notify;

use crate::block_builder::read;
use crate::in_flight::Offers;
use crate::metrics::Metrics;
use crate::writer::{QueueError, WriterHandle};

/// Pause after a failure to follow the root chain, and between two looks at the clock.
const PAUSE: Duration = Duration::from_secs(1);

/// What follows the root chain, and whom it tells.
#[derive(Debug)]
pub struct Following {
    /// The contract, at its nodes.
    pub root_chain: RootChain,
    /// Where the steps come from.
    pub follower: Follower,
    /// The chain that the writer applies them to.
    pub chain: SharedChain,
    /// Who takes them.
    pub writer: WriterHandle,
    /// Told of every step: in-flight exits may show payments.
    pub offers: Offers,
    /// Told how far the chain is.
    pub metrics: Arc<Metrics>,
    /// Told of blocks that are closed, committed, final.
    pub events: Events,
    /// Told of every step.
    pub wake: Arc<Notify>,
}

impl Following {
    /// Hands the steps to the writer until it is gone.
    pub async fn run(mut self) {
        let (chain, metrics, events) = (self.chain.clone(), self.metrics.clone(), self.events.clone());
        let report = |since: Instant, before| report(&chain, &metrics, &events, since.elapsed(), before);
        let mut newest = Instant::now();
        let mut heads = read(&chain).heads();
        let mut looks = tokio::time::interval(PAUSE);
        loop {
            // A request to the node must not be given up only because it is time to look at the clock.
            let step = {
                let mut next = pin!(self.next());
                loop {
                    tokio::select! {
                        step = &mut next => break step,
                        _ = looks.tick() => heads = report(newest, heads),
                    }
                }
            };
            let taken = match step {
                Ok(step) => {
                    let taken = self.writer.follow(step, self.blocks_behind()).await;
                    if taken.is_ok()
                        && let Err(error) = self.offers.make().await
                    {
                        tracing::warn!(%error, "payments that in-flight exits show are not looked at");
                    }
                    taken.inspect(|()| {
                        newest = Instant::now();
                        self.wake.notify_one();
                        heads = report(newest, heads);
                    })
                }
                Err(error) => self.fail(error).await,
            };
            if taken.is_err() {
                return;
            }
        }
    }

    /// Waits for the next step, and looks whether it can be believed.
    async fn next(&mut self) -> Result<Step, StepError> {
        let step = self.follower.next().await?;
        // Of older blocks a node need not know the state.
        let is_near = self.blocks_behind() < read(&self.chain).finality_depth().max(1);
        if let Step::Connect(block) = &step
            && is_near
            && let Err(error) = self.check(block).await
        {
            self.follower.refuse();
            return Err(error);
        }
        Ok(step)
    }

    /// Finds out whether the events up to `block`, the next one, are as many as the contract has counted.
    async fn check(&self, block: &RootBlock) -> Result<(), StepError> {
        let contract = self.root_chain.child_chain_at(At::Block(block.at.hash)).await?;
        let count = |is: fn(&RootEvent) -> bool| block.events.iter().filter(|event| is(event)).count() as u64;
        let chain = read(&self.chain);
        let blocks = chain.game().last_block().get() + count(|event| matches!(event, RootEvent::BlockSubmitted(_)));
        let deposits = chain.game().deposit_count() + count(|event| matches!(event, RootEvent::Deposited(_)));
        let counted = (contract.next_number.get().saturating_sub(1), contract.next_nonce);
        if (blocks, deposits) == counted {
            Ok(())
        } else {
            Err(StepError::LogsMissing { at: block.at, blocks, deposits, counted })
        }
    }

    /// Says what is wrong, and pauses.
    async fn fail(&self, error: StepError) -> Result<(), QueueError> {
        if let StepError::LogsMissing { .. } = error {
            tracing::error!(%error, "the root chain's node cannot be believed");
            let rpc = self.root_chain.node().rpc();
            rpc.fail_over(rpc.failures());
            self.writer.doubt().await?;
        } else {
            tracing::warn!(%error, source = ?error, "the root chain cannot be followed");
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// Returns how many further root blocks the follower knows of.
    fn blocks_behind(&self) -> u64 {
        let progress = self.follower.progress();
        progress.total.saturating_sub(progress.done)
    }
}

/// Why there is no next step.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("the contract's state cannot be read")]
    Read(#[from] ReadError),
    #[error(
        "up to {at} its logs have {blocks} blocks and {deposits} deposits, its state {counted:?}; if this does not pass, start the \
         operator again with another node"
    )]
    LogsMissing { at: RootRef, blocks: u64, deposits: u64, counted: (u64, u64) },
}

/// Tells metrics and listeners how far the chain has got since `before`, and returns that.
fn report(
    chain: &SharedChain,
    metrics: &Metrics,
    events: &Events,
    root_lag: Duration,
    before: BlockHeads,
) -> BlockHeads {
    let (uncommitted, now) = {
        let chain = read(chain);
        (chain.uncommitted(), chain.heads())
    };
    metrics.set_root_chain_lag(root_lag);
    metrics.set_child_chain(uncommitted, now.committed);
    if now.closed > before.closed {
        events.publish(EventKind::BlockClosed, &now);
    }
    if now.committed > before.committed {
        kill_point::reached("block-landed");
        events.publish(EventKind::BlockCommitted, &now);
    }
    if now.final_ > before.final_ {
        events.publish(EventKind::BlockFinal, &now);
    }
    now
}
