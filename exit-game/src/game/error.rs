//! What an honest node never shows.

use alloy_primitives::Address;

use crate::output::{OutputId, TxHash};
use crate::position::{BlockNumber, Position};

/// Why a root block's events cannot be: they contradict the ones before. Only a lying or mixed-up node shows such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GameError {
    /// A nonce is missing or doubled.
    #[error("deposit {nonce} does not follow the {next} before it")]
    DepositOutOfOrder {
        /// The deposit's.
        nonce: u64,
        /// The one expected.
        next: u64,
    },
    /// A block number is missing or doubled.
    #[error("block {number} does not follow block {last}")]
    BlockOutOfOrder {
        /// The block's.
        number: BlockNumber,
        /// The last one's.
        last: BlockNumber,
    },
    /// A block covers fewer deposits than the one before, or more than there are.
    #[error("block {number} covers {deposit_count} deposits")]
    DepositCount {
        /// The block's number.
        number: BlockNumber,
        /// What it claims.
        deposit_count: u64,
    },
    /// The coin's exit is pending or paid.
    #[error("an exit of {output_id} is started that already exits")]
    AlreadyExiting {
        /// The coin.
        output_id: OutputId,
    },
    /// No exit of the coin is pending.
    #[error("an exit of {output_id} goes on that is not pending")]
    NotExiting {
        /// The coin.
        output_id: OutputId,
    },
    /// The coin was settled before, for good.
    #[error("{output_id} is paid that is settled")]
    AlreadySettled {
        /// The coin.
        output_id: OutputId,
    },
    /// An in-flight exit of the transaction is open.
    #[error("an in-flight exit of {tx_hash} is started that is open")]
    AlreadyOpen {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// No in-flight exit of the transaction is open.
    #[error("an in-flight exit of {tx_hash} goes on that is not open")]
    NotOpen {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// A piece, an input or a decision that the open exit cannot have.
    #[error("a step of the in-flight exit of {tx_hash} contradicts those before")]
    InFlightStep {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// A conviction, a slash, a key or an end of the chain that cannot be after those before.
    #[error("{what} contradicts what came before")]
    Fault {
        /// Which event.
        what: &'static str,
    },
    /// A claim is made twice, or ends that is not open.
    #[error("a claim that block {number} lacks a coin at {position} contradicts what came before")]
    MissingClaim {
        /// The block.
        number: BlockNumber,
        /// Where the coin was made.
        position: Position,
    },
    /// More than 256 bits.
    #[error("the credit of {account} overflows")]
    Credit {
        /// Whose.
        account: Address,
    },
}
