//! Transactions on their way: what is sent, what is answered, what is promised.

use alloy_primitives::{B256, Bytes};
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::{BlockNumber, Position, TxIndex};
use plasmid_exit_game::receipt::{self, SignedReceipt};
use plasmid_exit_game::signature::{SIGNATURE_LEN, Signature};
use serde::{Deserialize, Serialize};

use super::{CoinState, form};
use crate::problem::Problem;

/// A receipt as one client gets it. §1.10.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// The block that will hold the leaf.
    #[serde(with = "form")]
    pub number: BlockNumber,
    /// Its index there.
    #[serde(with = "form")]
    pub index: TxIndex,
    /// The leaf.
    #[serde(with = "form")]
    pub leaf: B256,
    /// Index of the batch's first leaf.
    pub first: u32,
    /// How many leaves the batch has.
    pub count: u32,
    /// Root of the batch's tree.
    #[serde(with = "form")]
    pub root: B256,
    /// When the block is committed at the latest, in seconds.
    pub by: u64,
    /// Siblings of the leaf in the batch's tree, lowest first.
    #[serde(with = "form")]
    pub path: Vec<B256>,
    /// The operator's signature.
    #[serde(with = "form")]
    pub signature: Signature,
}

impl Receipt {
    /// Returns the form of a receipt for `leaf`.
    #[must_use]
    pub fn new(signed: &SignedReceipt, leaf: B256) -> Self {
        let receipt::Receipt { number, first, count, root, by } = signed.receipt;
        let (index, path, signature) = (signed.index, signed.path.clone(), signed.signature);
        Self { number, index, leaf, first, count, root, by, path, signature }
    }

    /// Returns the receipt, if its path leads from its leaf to its root.
    ///
    /// Who signed it, when it ends and whose leaf it is are [`SignedReceipt::check`]'s questions.
    ///
    /// # Errors
    ///
    /// [`ReceiptPathError`] if it promises another leaf.
    pub fn signed(&self) -> Result<SignedReceipt, ReceiptPathError> {
        let Self { number, first, count, root, by, .. } = *self;
        let receipt = receipt::Receipt { number, first, count, root, by };
        let signed = SignedReceipt { receipt, signature: self.signature, index: self.index, path: self.path.clone() };
        if signed.promises(self.leaf) { Ok(signed) } else { Err(ReceiptPathError { leaf: self.leaf }) }
    }
}

/// A receipt's path does not lead from its leaf to its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receipt's path does not lead from leaf {leaf} to its root")]
pub struct ReceiptPathError {
    /// The leaf.
    pub leaf: B256,
}

/// Body of POST `/v1/transactions`. Both parts may be anything yet: what is not canonical has an error code of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submission {
    /// The transaction's body.
    #[serde(with = "form")]
    pub body: Bytes,
    /// The inputs' owner's signature.
    #[serde(with = "form")]
    pub signature: [u8; SIGNATURE_LEN],
}

/// Answer of POST `/v1/transactions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accepted {
    /// The transaction's name.
    #[serde(with = "form")]
    pub tx_hash: TxHash,
    /// Positions of its outputs, in order.
    #[serde(with = "form")]
    pub positions: Vec<Position>,
    /// The placement that the operator wrote into the witness: 8 bytes an input, big-endian.
    #[serde(with = "form")]
    pub placement: Bytes,
    /// The operator's promise.
    pub receipt: Receipt,
}

/// One answer of several: what was asked for, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer<T> {
    /// What was asked for.
    Done(T),
    /// Why not.
    Problem(Problem),
}

impl<T> Answer<T> {
    /// Returns the answer as a result.
    ///
    /// # Errors
    ///
    /// The problem.
    pub fn into_result(self) -> Result<T, Problem> {
        match self {
            Self::Done(done) => Ok(done),
            Self::Problem(problem) => Err(problem),
        }
    }
}

/// Answer of `/v1/transactions/{txHash}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransactionAnswer {
    /// The transaction's name.
    #[serde(with = "form")]
    pub tx_hash: TxHash,
    /// Its body.
    #[serde(with = "form")]
    pub body: Bytes,
    /// The inputs' owner's signature.
    #[serde(with = "form")]
    pub signature: Signature,
    /// Where the operator says its inputs were made: 8 bytes an input, big-endian.
    #[serde(with = "form")]
    pub placement: Bytes,
    /// Its place: the position of its output 0; of a dropped transaction the one that it had.
    #[serde(with = "form")]
    pub place: Position,
    /// How far it has got: `accepted`, `committed`, `final`, `void` or `dropped`.
    pub state: CoinState,
    /// The operator's promise, where this server has it.
    pub receipt: Option<Receipt>,
}
