//! What comes of the chain's facts: blocks to submit, verdicts, refusals.

use alloy_primitives::B256;
use plasmid_exit_game::fault::Fault;
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};

/// A block's header without the timestamp, which only the root chain gives. §1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedBlock {
    /// The block's number.
    pub number: BlockNumber,
    /// Root of the transaction tree, zero exactly when `tx_count` is.
    pub tx_root: B256,
    /// Root of the unspent tree after the block.
    pub utxo_root: B256,
    /// Number of leaves, up to the last that is not empty.
    pub tx_count: u32,
    /// Deposits with a smaller nonce exist from this block on.
    pub deposit_count: u64,
}

/// What became of a block that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockCheck {
    /// Every rule holds; it is applied.
    Valid,
    /// A transaction breaks a rule; nothing has changed.
    Invalid {
        /// Its index in the block.
        index: TxIndex,
        /// Which rule, and where the evidence is.
        fault: Fault,
    },
    /// The header commits to another unspent set than the bodies give; nothing has changed.
    WrongUnspentRoot {
        /// The root that they give.
        computed: B256,
    },
}

/// Why deposits cannot be covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoverError {
    /// There is no block to cover them.
    #[error("no block is open")]
    NoOpenBlock,
    /// The root chain has fewer.
    #[error("{deposit_count} deposits are to be covered but there are {existing}")]
    NoSuchDeposits {
        /// How many are asked for.
        deposit_count: u64,
        /// How many there are.
        existing: u64,
    },
}

/// Why a transaction cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Another place is the next one.
    #[error("{place} is not the next place")]
    NotNext {
        /// The place asked for.
        place: Place,
    },
    /// It breaks a rule there.
    #[error("the transaction breaks a rule")]
    Fault(#[from] Fault),
}

/// Why a transaction cannot be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DropError {
    /// The local chain does not hold it.
    #[error("transaction {tx_hash} is in no local block")]
    Unknown {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// Its block, or a descendant's, is on the root chain or in the archive.
    #[error("block {block} is committed or archived")]
    Committed {
        /// The block.
        block: BlockNumber,
    },
}

/// Why a block is not one to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyBlockError {
    /// It does not follow the last local block.
    #[error("block {number} does not follow block {last}")]
    NotNext {
        /// Its number.
        number: BlockNumber,
        /// The last local one's.
        last: BlockNumber,
    },
    /// The root chain has another header, or none.
    #[error("the header of block {number} is not the committed one")]
    NotCommitted {
        /// Its number.
        number: BlockNumber,
    },
    /// The header counts otherwise.
    #[error("{leaves} leaves where the header of block {number} has {tx_count}")]
    LeafCount {
        /// Its number.
        number: BlockNumber,
        /// How many were given.
        leaves: usize,
        /// How many it has.
        tx_count: u32,
    },
}
