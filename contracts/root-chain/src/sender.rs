//! Transactions out: nonces, fees, broadcast, and staying with a transaction until it is in, final or given up.
//!
//! Two levels. [`Sender::send`] and [`Sender::send_until_final`] do all of it. [`next_nonce`](Sender::next_nonce),
//! [`gas_limit`](Sender::gas_limit), [`fees`](Sender::fees), [`sign`](Sender::sign) and
//! [`broadcast`](Sender::broadcast) are the steps, for who must write down what it signed before anybody sees it.
//! One account belongs to one `Sender` of one process.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use serde_json::json;

use crate::account::{Account, Fees, SignedTransaction};
use crate::bindings::Revert;
use crate::node::{At, Call, GasLimit, Landed, Node, ReadError};
use crate::rpc::RpcError;

/// How a [`Sender`] waits and pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderSettings {
    /// Pause between two looks at the chain.
    pub poll_interval: Duration,
    /// Root blocks without the transaction after which it is replaced by one with higher fees.
    pub bump_after_blocks: u64,
    /// Most that is offered for a unit of gas, in wei: fees rise no further.
    pub max_fee_wei_max: u128,
    /// When a transaction is given up.
    pub give_up_after: Duration,
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(250),
            bump_after_blocks: 3,
            max_fee_wei_max: 500_000_000_000,
            give_up_after: Duration::from_secs(600),
        }
    }
}

/// Sends the transactions of one account.
#[derive(Debug)]
pub struct Sender {
    node: Node,
    account: Account,
    chain_id: u64,
    settings: SenderSettings,
    /// Held from the choice of a nonce to its first broadcast: a nonce whose broadcast fails must not leave a gap below
    /// another's.
    choosing: tokio::sync::Mutex<()>,
    /// Nonces of the transactions that are being waited for.
    in_flight: Mutex<BTreeSet<u64>>,
}

impl Sender {
    /// Makes the sender of an account. Asks for the chain's id, which every transaction is signed for.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the node cannot be asked.
    pub async fn new(node: Node, account: Account, settings: SenderSettings) -> Result<Self, ReadError> {
        let chain_id = node.chain_id().await?;
        let (choosing, in_flight) = (tokio::sync::Mutex::default(), Mutex::default());
        Ok(Self { node, account, chain_id, settings, choosing, in_flight })
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the node that transactions go to.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Sends a call and waits until it is in a block.
    ///
    /// A transaction that a reorganisation drops later is not sent again: [`send_until_final`](Self::send_until_final)
    /// does that. If the returned future is dropped, the transaction may land or be replaced by the next one.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn send(&self, call: &Call) -> Result<Landed, SendError> {
        self.send_until_final(call, 0).await
    }

    /// Sends a call and stays with it until `finality_depth` blocks lie above it: replaces it by one with higher fees
    /// when blocks pass it over, and broadcasts it again when a reorganisation drops it. A lower nonce that the
    /// reorganisation freed as well, and nobody waits for, is filled by the sender's next call.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn send_until_final(&self, call: &Call, finality_depth: u64) -> Result<Landed, SendError> {
        let gas_limit = self.gas_limit(call).await?;
        let mut delivery = self.start(call, gas_limit).await?;
        let waiting = self.stay_with(&mut delivery, finality_depth);
        let Ok(landed) = tokio::time::timeout(self.settings.give_up_after, waiting).await else {
            let transaction = delivery.latest().hash;
            return Err(SendError::GivenUp { transaction, nonce: delivery.reserved.nonce, source: delivery.trouble });
        };
        let landed = landed?;
        if landed.is_success { Ok(landed) } else { Err(self.failure(call, &landed).await) }
    }

    /// Returns the lowest nonce that is in no block and that no call of this sender is waiting for.
    ///
    /// It falls when a reorganisation drops transactions. What another process left in the node's pool is not counted:
    /// it is replaced.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the node cannot be asked.
    pub async fn next_nonce(&self) -> Result<u64, ReadError> {
        let first = self.node.transaction_count(self.account.address()).await?;
        let in_flight = self.in_flight();
        Ok((first..).find(|nonce| !in_flight.contains(nonce)).unwrap_or(u64::MAX))
    }

    /// Tries a call without sending it, and returns the gas that its transaction needs: a quarter more than the node
    /// estimates, and what the call says beside or instead of that.
    ///
    /// # Errors
    ///
    /// [`SendError::Refused`] if it reverts, [`SendError::Read`] if the node cannot be asked.
    pub async fn gas_limit(&self, call: &Call) -> Result<u64, SendError> {
        let from = self.account.address();
        // In the newest block, whose time is past, what is in order next may still be refused.
        self.node.call(Some(from), call, At::Next).await?;
        let more = match call.gas {
            GasLimit::Exactly(gas) => return Ok(gas),
            GasLimit::Estimated => 0,
            GasLimit::EstimatedPlus(more) => more,
        };
        let estimate = self.node.estimate_gas(from, call).await?;
        Ok(estimate.saturating_add(estimate / 4).saturating_add(more))
    }

    /// Returns what a transaction offers now: room for the base fee to double, and no more than the settings allow.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the node cannot be asked.
    pub async fn fees(&self) -> Result<Fees, ReadError> {
        let prices = self.node.gas_prices().await?;
        // Saturating is right: the next line bounds the sum.
        let wanted = prices.base_fee_wei.saturating_mul(2).saturating_add(prices.priority_fee_wei);
        let max_fee_wei = wanted.min(self.settings.max_fee_wei_max);
        Ok(Fees { max_fee_wei, max_priority_fee_wei: prices.priority_fee_wei.min(max_fee_wei) })
    }

    /// Returns the least fees with which nodes let a transaction replace one with `fees`, an eighth more, or `None` if
    /// the settings do not allow so much.
    #[must_use]
    pub fn raised(&self, fees: Fees) -> Option<Fees> {
        let raised = |fee: u128| fee.checked_add(fee / 8)?.checked_add(1);
        let max_fee_wei = raised(fees.max_fee_wei).filter(|&fee| fee <= self.settings.max_fee_wei_max)?;
        Some(Fees { max_fee_wei, max_priority_fee_wei: raised(fees.max_priority_fee_wei)? })
    }

    /// Signs a call. Nobody sees it before [`broadcast`](Self::broadcast).
    #[must_use]
    pub fn sign(&self, call: &Call, nonce: u64, gas_limit: u64, fees: Fees) -> SignedTransaction {
        self.account.sign_transaction(self.chain_id, call, nonce, gas_limit, fees)
    }

    /// Hands a transaction to the node. Doing it again is harmless.
    ///
    /// # Errors
    ///
    /// [`SendError::NonceTaken`] if a transaction with its nonce (itself, perhaps) is in a block,
    /// [`SendError::Underpriced`] if the node wants higher fees, [`SendError::Read`] if it cannot be reached or
    /// refuses; after a failure to reach it the node may have the transaction all the same.
    pub async fn broadcast(&self, transaction: &SignedTransaction) -> Result<(), SendError> {
        let error = match self.node.rpc().write::<B256>("eth_sendRawTransaction", json!([transaction.raw])).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // Nodes agree on these answers in substance only.
        let words = match &error {
            RpcError::Refused(refusal) => refusal.message.to_lowercase(),
            _ => String::new(),
        };
        let is_about = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        if is_about(&["already known", "already imported", "alreadyknown", "known transaction"]) {
            Ok(())
        } else if is_about(&["nonce too low", "oldnonce", "nonce is too low"]) {
            Err(SendError::NonceTaken { nonce: transaction.nonce })
        } else if is_about(&["underpriced", "replacement", "fee too low", "feetoolow", "max fee per gas less than"]) {
            Err(SendError::Underpriced { fees: transaction.fees })
        } else {
            Err(SendError::Read(error.into()))
        }
    }

    /// Signs a call with a nonce of its own and broadcasts it.
    async fn start<'a>(&'a self, call: &'a Call, gas_limit: u64) -> Result<Delivery<'a>, SendError> {
        let _choosing = self.choosing.lock().await;
        let nonce = self.next_nonce().await?;
        let reserved = Reserved::new(self, nonce);
        let transaction = self.sign(call, nonce, gas_limit, self.fees().await?);
        let mut delivery = Delivery {
            call,
            gas_limit,
            reserved,
            transactions: vec![transaction],
            offered_at: self.node.head().await?.at.number,
            is_offered: false,
            was_included: false,
            was_taken: false,
            trouble: None,
        };
        match self.offer(&mut delivery).await {
            // A node that broke off may have it: staying with it will tell, and offers it again.
            Err(SendError::Read(ReadError::Rpc(error))) if !matches!(error, RpcError::Refused(_)) => {
                delivery.trouble = Some(error.into());
            }
            outcome => outcome?,
        }
        Ok(delivery)
    }

    async fn stay_with(&self, delivery: &mut Delivery<'_>, finality_depth: u64) -> Result<Landed, SendError> {
        loop {
            match self.look_after(delivery, finality_depth).await {
                Ok(Some(landed)) => return Ok(landed),
                Ok(None) => {}
                // The transaction is out there whether or not we can see it.
                Err(SendError::Read(trouble)) => delivery.trouble = Some(trouble),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(self.settings.poll_interval).await;
        }
    }

    /// Looks once how far a transaction is, and does what it needs. Tells where it landed when that lies deep enough.
    async fn look_after(&self, delivery: &mut Delivery<'_>, depth: u64) -> Result<Option<Landed>, SendError> {
        // The count comes first: what it counts has a receipt by the time that receipts are asked for.
        let count = self.node.transaction_count(self.account.address()).await?;
        let head = self.node.head().await?.at.number;
        for transaction in delivery.transactions.iter().rev() {
            if let Some(landed) = self.node.landed(transaction.hash).await? {
                delivery.was_included = true;
                delivery.was_taken = false;
                return Ok(Some(landed).filter(|landed| head >= landed.block.number.saturating_add(depth)));
            }
        }
        let nonce = delivery.reserved.nonce;
        if count > nonce {
            // Asked twice, in case that a reorganisation came between the two questions.
            if std::mem::replace(&mut delivery.was_taken, true) {
                return Err(SendError::NonceTaken { nonce });
            }
            return Ok(None);
        }
        delivery.was_taken = false;
        if std::mem::take(&mut delivery.was_included) {
            tracing::warn!(transaction = %delivery.latest().hash, "a reorganisation dropped the transaction");
            delivery.is_offered = false;
        } else if head >= delivery.offered_at.saturating_add(self.settings.bump_after_blocks) {
            let now = self.fees().await?;
            if let Some(raised) = self.raised(delivery.latest().fees) {
                let fees = Fees {
                    max_fee_wei: raised.max_fee_wei.max(now.max_fee_wei),
                    max_priority_fee_wei: raised.max_priority_fee_wei.max(now.max_priority_fee_wei),
                };
                delivery.sign_again(self, fees);
                tracing::info!(transaction = %delivery.latest().hash, nonce, "a dearer transaction replaces the last");
            }
            delivery.is_offered = false;
        }
        if !delivery.is_offered {
            match self.offer(delivery).await {
                // Then it, or one before it, has just landed: the next look finds its receipt.
                Ok(()) | Err(SendError::NonceTaken { .. }) => delivery.offered_at = head,
                // The node wants more than the settings allow: what it has may land yet.
                Err(SendError::Underpriced { .. }) => delivery.offered_at = head,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Broadcasts the latest transaction, with higher fees as long as the node has a dearer one of this nonce.
    async fn offer(&self, delivery: &mut Delivery<'_>) -> Result<(), SendError> {
        loop {
            let Err(error) = self.broadcast(delivery.latest()).await else {
                delivery.is_offered = true;
                return Ok(());
            };
            match (&error, self.raised(delivery.latest().fees)) {
                (SendError::Underpriced { .. }, Some(fees)) => delivery.sign_again(self, fees),
                _ => return Err(error),
            }
        }
    }

    /// Tells why a transaction in a block failed, as far as its block's final state shows it.
    async fn failure(&self, call: &Call, landed: &Landed) -> SendError {
        let replayed = self.node.call(Some(self.account.address()), call, At::Block(landed.block.hash)).await;
        let revert = match replayed {
            Err(ReadError::Reverted(revert)) => Some(revert),
            _ => None,
        };
        SendError::Failed { transaction: landed.transaction, revert }
    }

    fn in_flight(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // Each critical section is one operation on the set: it is whole even if a thread panicked.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on its way into a block.
struct Delivery<'a> {
    call: &'a Call,
    gas_limit: u64,
    reserved: Reserved<'a>,
    /// All that were signed for it, each dearer than the one before; never empty. At most one of them can land.
    transactions: Vec<SignedTransaction>,
    /// The head when the latest was broadcast.
    offered_at: u64,
    /// Whether the node has taken the latest.
    is_offered: bool,
    was_included: bool,
    was_taken: bool,
    /// The last failure to see what became of it.
    trouble: Option<ReadError>,
}

impl Delivery<'_> {
    fn latest(&self) -> &SignedTransaction {
        self.transactions.last().expect("it starts with one and none is removed")
    }

    fn sign_again(&mut self, sender: &Sender, fees: Fees) {
        self.transactions.push(sender.sign(self.call, self.reserved.nonce, self.gas_limit, fees));
    }
}

/// A nonce that no other call takes until this is dropped.
struct Reserved<'a> {
    sender: &'a Sender,
    nonce: u64,
}

impl<'a> Reserved<'a> {
    fn new(sender: &'a Sender, nonce: u64) -> Self {
        sender.in_flight().insert(nonce);
        Self { sender, nonce }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.sender.in_flight().remove(&self.nonce);
    }
}

/// Why a call has not taken effect.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The call reverts as things stand. Nothing was sent.
    #[error("the contract refuses the call")]
    Refused(#[source] Revert),
    /// The transaction is in a block and failed.
    #[error("transaction {transaction} failed")]
    Failed {
        /// Its hash.
        transaction: B256,
        /// Why, if it fails again after its block; otherwise it ran out of gas or something changed.
        #[source]
        revert: Option<Revert>,
    },
    /// Another transaction with this nonce is in a block: another process uses the account.
    #[error("nonce {nonce} is taken by another transaction")]
    NonceTaken {
        /// The nonce.
        nonce: u64,
    },
    /// The node wants higher fees than the settings allow.
    #[error("a maximum of {} wei for a unit of gas is not enough", fees.max_fee_wei)]
    Underpriced {
        /// What was offered.
        fees: Fees,
    },
    /// It was in no block, or not deep enough, when the time was up. It may still land.
    #[error("transaction {transaction} with nonce {nonce} did not get there in time")]
    GivenUp {
        /// Hash of the latest transaction sent for the call.
        transaction: B256,
        /// The nonce.
        nonce: u64,
        /// What kept us from seeing it, if anything.
        #[source]
        source: Option<ReadError>,
    },
    /// The node could not be asked, or refused.
    #[error("the root chain cannot be used")]
    Read(#[source] ReadError),
}

impl From<ReadError> for SendError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reverted(revert) => Self::Refused(revert),
            error => Self::Read(error),
        }
    }
}
