//! The JSON of the services, field by field as it goes over HTTP and into evidence files.
//!
//! What is read is read strictly: unknown fields are refused, and a value that has arrived has its type's form. Whether a
//! proof proves anything is another question: the receiver asks [`Inclusion::verify`], [`Unspent::verify`] and
//! [`Receipt::signed`].

use alloy_primitives::{Address, B256};
use plasmid_exit_game::block;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use serde::{Deserialize, Serialize};

pub mod evidence;
pub mod form;
mod payment;
mod proof;

pub use payment::{Accepted, Answer, Receipt, ReceiptPathError, Submission, TransactionAnswer};
pub use proof::{
    BlockChoice, IncludedTransaction, Inclusion, InclusionError, Latest, Unspent, UnspentError, UnspentQuery,
};

/// The six fields of a header. §1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// The block's number.
    #[serde(with = "form")]
    pub number: BlockNumber,
    /// Root of the transaction tree.
    #[serde(with = "form")]
    pub tx_root: B256,
    /// Root of the unspent tree.
    #[serde(with = "form")]
    pub utxo_root: B256,
    /// Number of leaves.
    pub tx_count: u32,
    /// Deposits with a smaller nonce exist from this block on.
    pub deposit_count: u64,
    /// Seconds of root-chain time.
    pub timestamp: u64,
}

impl From<block::Header> for Header {
    fn from(header: block::Header) -> Self {
        let block::Header { number, tx_root, utxo_root, tx_count, deposit_count, timestamp } = header;
        Self { number, tx_root, utxo_root, tx_count, deposit_count, timestamp }
    }
}

impl From<Header> for block::Header {
    fn from(header: Header) -> Self {
        let Header { number, tx_root, utxo_root, tx_count, deposit_count, timestamp } = header;
        Self { number, tx_root, utxo_root, tx_count, deposit_count, timestamp }
    }
}

/// How far a block has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockState {
    /// Being filled.
    Open,
    /// No more is added.
    Closed,
    /// Sent to the root chain, not yet landed.
    Submitted,
    /// On the root chain.
    Committed,
    /// On the root chain at finality depth.
    Final,
    /// At or after a block that was convicted. §3.
    Void,
}

/// What a watcher found of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every rule holds, and so for all blocks before.
    Valid,
    /// A rule is broken, with proof.
    Invalid,
    /// Data was not served in time, or the unspent root is not what the bodies give.
    Withheld,
    /// Not looked at yet, or an earlier block is not valid.
    Unknown,
}

/// How far a coin, or the transaction that makes it, has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoinState {
    /// A deposit that no block covers yet.
    Pending,
    /// Made by an accepted transaction, whose block is not committed.
    Accepted,
    /// Its block is on the root chain.
    Committed,
    /// Its block is on the root chain at finality depth.
    Final,
    /// Spent by an accepted transaction.
    Spent,
    /// An exit of it is pending.
    Exiting,
    /// Settled: it has left.
    Exited,
    /// Made in a void block.
    Void,
    /// Made by a transaction that was dropped. §3.1.
    Dropped,
}

/// A root-chain block's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RootBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    #[serde(with = "form")]
    pub hash: B256,
}

impl From<RootRef> for RootBlock {
    fn from(RootRef { number, hash }: RootRef) -> Self {
        Self { number, hash }
    }
}

/// Answer of `/v1/blocks/{n}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Block {
    /// The block's number.
    #[serde(with = "form")]
    pub number: BlockNumber,
    /// How far it has got.
    pub state: BlockState,
    /// What this server found of it.
    pub verdict: Verdict,
    /// Its leaves so far.
    pub tx_count: u32,
    /// The deposits that it covers so far, those of earlier blocks included.
    pub deposit_count: u64,
    /// Its header, once it is committed.
    pub header: Option<Header>,
    /// The root block that holds the commitment.
    pub root: Option<RootBlock>,
}

/// A coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Coin {
    /// Its name.
    #[serde(with = "form")]
    pub id: OutputId,
    /// Where it was made.
    #[serde(with = "form")]
    pub position: Position,
    /// Owner, asset and amount.
    #[serde(with = "form")]
    pub output: Output,
    /// How far it has got.
    pub state: CoinState,
    /// The transaction that spends it.
    #[serde(with = "form")]
    pub spender: Option<TxHash>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask with for the next page, if there is one.
    pub cursor: Option<String>,
}

/// Answer of `/v1/fees`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// Who is paid.
    #[serde(with = "form")]
    pub address: Address,
    /// The assets in which a fee may be paid; none where no fee is asked.
    pub assets: Vec<Fee>,
}

/// A fee in one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// The asset.
    #[serde(with = "form")]
    pub asset: Address,
    /// The least that a transaction pays, in base units.
    #[serde(with = "form")]
    pub minimum: u128,
}

/// Answer of `/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Status {
    /// The root chain's id.
    pub chain_id: u64,
    /// The contract.
    #[serde(with = "form")]
    pub contract: Address,
    /// Number of the root block that holds its deployment.
    pub deployment_block: u64,
    /// The newest root block seen, if any was.
    pub root: Option<RootHead>,
    /// How far the child chain has got.
    pub block: BlockHeads,
    /// Whether the server has followed both chains to their heads.
    pub synced: bool,
    /// Whether a fault has halted the chain. §3.
    pub halted: bool,
    /// Whether the chain was closed. §8.
    pub closed: bool,
    /// How many alarms stand.
    pub alarms: u64,
    /// How many accepted transactions are not committed.
    pub uncommitted: u64,
}

/// A root-chain head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootHead {
    /// Its number.
    pub number: u64,
    /// Its hash.
    #[serde(with = "form")]
    pub hash: B256,
    /// Its timestamp, in seconds.
    pub timestamp: u64,
}

/// Numbers of the last blocks that have got so far, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockHeads {
    /// The last with an accepted transaction or a covered deposit.
    #[serde(with = "form")]
    pub accepted: BlockNumber,
    /// The last that is closed.
    #[serde(with = "form")]
    pub closed: BlockNumber,
    /// The last on the root chain.
    #[serde(with = "form")]
    pub committed: BlockNumber,
    /// The last at finality depth.
    #[serde(with = "form", rename = "final")]
    pub final_: BlockNumber,
    /// The last that is committed and valid, with all before it.
    #[serde(with = "form")]
    pub verified: BlockNumber,
}

#[cfg(test)]
mod tests;
