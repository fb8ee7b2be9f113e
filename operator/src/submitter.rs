//! The operator's account at the root chain: one transaction at a time, submissions of blocks and challenges of exits.
//!
//! Decides nothing about blocks: it tells the writer how the account stands, signs what the writer has written down, and shows
//! it to the node. Everything is derived from the chain at each root block, so that repeats, restarts and reorganisations need
//! no memory here.

use std::sync::Arc;
use std::time::Duration;

use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::game::PendingExit;
use plasmid_node::chain::{BodyError, SharedChain};
use plasmid_node::kill_point;
use plasmid_root_chain::account::Fees;
use plasmid_root_chain::calls::Submission;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::{Call, ReadError};
use plasmid_root_chain::sender::{SendError, Sender};
use tokio::sync::Notify;

use crate::block_builder::{read, write};
use crate::committer::{AccountState, Decision};
use crate::journal::Intent;
use crate::metrics::Metrics;
use crate::writer::{QueueError, WriterHandle};

/// Most challenges that are sent together.
const CHALLENGES_MAX: usize = 16;
/// Pause after a failure, and between two looks when nothing is told.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends the operator's transactions.
#[derive(Debug)]
pub struct Submitter {
    chain: SharedChain,
    root_chain: RootChain,
    sender: Sender,
    writer: WriterHandle,
    metrics: Arc<Metrics>,
    /// Told of new roots and new root blocks.
    wake: Arc<Notify>,
    /// The root block at which exits were last looked at.
    looked_at: Option<RootRef>,
    last_shown: Option<(RootRef, Intent)>,
}

/// Why a round did not get to its end. The next begins anew.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("the root chain cannot be read")]
    Read(#[from] ReadError),
    #[error("the transaction was not sent")]
    Send(#[from] SendError),
    #[error("the body of a spend cannot be read")]
    Body(#[from] BodyError),
    #[error("the writer is gone")]
    Writer(#[from] QueueError),
}

impl Submitter {
    /// Returns the submitter of one account.
    #[must_use]
    pub fn new(
        chain: SharedChain,
        root_chain: RootChain,
        sender: Sender,
        writer: WriterHandle,
        metrics: Arc<Metrics>,
        wake: Arc<Notify>,
    ) -> Self {
        Self { chain, root_chain, sender, writer, metrics, wake, looked_at: None, last_shown: None }
    }

    /// Works until the writer is gone.
    pub async fn run(mut self) {
        loop {
            match self.round().await {
                Ok(()) => drop(tokio::time::timeout(PAUSE, self.wake.notified()).await),
                Err(RoundError::Writer(_)) => return,
                Err(error) => {
                    tracing::warn!(%error, source = ?error, "nothing was sent to the root chain");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        let Some(head) = read(&self.chain).game().at() else { return Ok(()) };
        let is_new_head = self.looked_at != Some(head);
        let has_block = {
            let chain = read(&self.chain);
            chain.game().last_block().next().is_some_and(|number| chain.sealed_block(number).is_some())
        };
        if !has_block && !is_new_head {
            return Ok(());
        }
        let Some(account) = self.account_state().await? else { return Ok(()) };
        self.looked_at = Some(head);
        // While a submission is out the account is not free for anything else.
        if is_new_head && self.last_shown.is_none_or(|(_, last)| last.nonce < account.nonce) {
            let due = self.due_challenges()?;
            if !due.is_empty() {
                self.challenge(due).await;
                return Ok(());
            }
        }
        match self.writer.decide(account).await? {
            Decision::Sign(intent) | Decision::Keep(intent) => self.show(head, intent).await?,
            Decision::Wait(waiting) => tracing::debug!(?waiting, "no submission"),
        }
        Ok(())
    }

    /// Looks at the account; `None` if a root block came meanwhile.
    async fn account_state(&self) -> Result<Option<AccountState>, ReadError> {
        let node = self.sender.node();
        let before = node.head().await?.at;
        let nonce = node.transaction_count(self.sender.account().address()).await?;
        let Fees { max_fee_wei, max_priority_fee_wei } = self.sender.fees().await?;
        let after = node.head().await?.at;
        let state = AccountState { at: before.hash, nonce, max_fee_wei, priority_fee_wei: max_priority_fee_wei };
        Ok((before == after).then_some(state))
    }

    /// Signs a submission that is in the log, and shows it to the node once a root block.
    async fn show(&mut self, head: RootRef, intent: Intent) -> Result<(), RoundError> {
        if self.last_shown == Some((head, intent)) {
            return Ok(());
        }
        kill_point::reached("intent-recorded");
        let block = intent.block;
        let call = self.root_chain.submit_block(&Submission {
            number: block.number,
            tx_root: block.tx_root,
            utxo_root: block.utxo_root,
            tx_count: block.tx_count,
            deposit_count: block.deposit_count,
            anchor: intent.anchor,
            not_after: intent.not_after,
        });
        let fees = Fees { max_fee_wei: intent.max_fee_wei, max_priority_fee_wei: intent.priority_fee_wei };
        let transaction = self.sender.sign(&call, intent.nonce, intent.gas, fees);
        kill_point::reached("submission-signed");
        let replaces = self.last_shown.is_some_and(|(_, last)| last != intent && last.nonce == intent.nonce);
        if replaces {
            self.metrics.observe_replacement();
        }
        match self.sender.broadcast(&transaction).await {
            Ok(()) => tracing::info!(block = %block.number, transaction = %transaction.hash, "submitted"),
            // It has landed, and the follower will tell.
            Err(SendError::NonceTaken { .. }) => {}
            // Another one with this nonce is out there; the committer raises its offer after some blocks.
            Err(error @ SendError::Underpriced { .. }) => {
                tracing::warn!(%error, "the submission waits for higher fees")
            }
            Err(error) => return Err(error.into()),
        }
        kill_point::reached("submission-broadcast");
        self.last_shown = Some((head, intent));
        write(&self.chain).set_submitted(block.number);
        Ok(())
    }

    async fn challenge(&self, due: Vec<(PendingExit, Call)>) {
        let sent = due.iter().map(|(exit, call)| async move {
            let coin = exit.record.output_id;
            match self.sender.send(call).await {
                Ok(_) => {
                    self.metrics.observe_challenge();
                    tracing::warn!(%coin, "challenged the exit of a spent coin");
                }
                Err(error) => tracing::warn!(%coin, %error, "the exit of a spent coin is not challenged yet"),
            }
        });
        futures::future::join_all(sent).await;
    }

    /// Returns the challenges of pending exits of coins whose spend was accepted: before the commit nobody else may have that
    /// body. §5.2.
    fn due_challenges(&self) -> Result<Vec<(PendingExit, Call)>, BodyError> {
        let spends: Vec<_> = {
            let chain = read(&self.chain);
            let pending = chain.game().pending_exits().filter_map(|exit| {
                let spender = chain.ledger().coin(exit.record.output_id)?.spender?;
                Some((*exit, chain.transaction(chain.transaction_at(spender)?)?))
            });
            pending.take(CHALLENGES_MAX).collect()
        };
        let calls = spends.into_iter().map(|(exit, spend)| {
            let spend = spend.read()?;
            let (body, signature) = (spend.body.encode(), &spend.witness.signature);
            Ok((exit, self.root_chain.challenge_standard_exit(&exit.record, &body, signature)))
        });
        calls.collect()
    }
}
