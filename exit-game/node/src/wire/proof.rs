//! Proofs: that a transaction stands in a block, that a coin was unspent after one. The receiver checks them.

use alloy_primitives::{B256, Bytes};
use plasmid_exit_game::block;
use plasmid_exit_game::output::{Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::transaction::{PlacedTransaction, PlacedTransactionError};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{self, MembershipProof};
use serde::{Deserialize, Serialize};

use super::{Header, form};

/// Proof that a transaction stands in a block. §1.7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inclusion {
    /// The block's header.
    pub header: Header,
    /// The transaction's index in it.
    #[serde(with = "form")]
    pub index: TxIndex,
    /// Siblings of its leaf, lowest first.
    #[serde(with = "form")]
    pub path: Vec<B256>,
    /// The transaction's body.
    #[serde(with = "form")]
    pub body: Bytes,
    /// Its witness.
    #[serde(with = "form")]
    pub witness: Bytes,
}

/// A transaction whose inclusion under [`Self::header`] is proven. Whether the root chain has the header is still to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedTransaction {
    /// The block's header.
    pub header: block::Header,
    /// Where the transaction stands.
    pub place: Place,
    /// Siblings of its leaf, lowest first.
    pub path: Vec<B256>,
    /// The transaction.
    pub transaction: PlacedTransaction,
}

impl From<&IncludedTransaction> for Inclusion {
    fn from(included: &IncludedTransaction) -> Self {
        let IncludedTransaction { header, place, path, transaction } = included;
        let (body, witness) = (transaction.body.encode().into(), transaction.witness.encode().into());
        Self { header: (*header).into(), index: place.index, path: path.clone(), body, witness }
    }
}

impl Inclusion {
    /// Decodes the transaction and checks the path against the header's root.
    ///
    /// # Errors
    ///
    /// [`InclusionError`] if the transaction is not canonical or the path does not lead to the root.
    pub fn verify(&self) -> Result<IncludedTransaction, InclusionError> {
        let transaction = PlacedTransaction::decode(&self.body, &self.witness)?;
        let leaf = tx_tree::leaf(transaction.body.hash(), transaction.witness.hash());
        let root = tx_tree::root_of_path(leaf, self.index.get(), self.header.tx_count, &self.path);
        if root != Some(self.header.tx_root) {
            return Err(InclusionError::NotIncluded { block: self.header.number, index: self.index });
        }
        let place = Place { block: self.header.number, index: self.index };
        Ok(IncludedTransaction { header: self.header.into(), place, path: self.path.clone(), transaction })
    }
}

/// Why an inclusion proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// The transaction does not decode.
    #[error("the transaction is not canonical")]
    NotCanonical(#[from] PlacedTransactionError),
    /// Wrong path, index or root.
    #[error("the path does not lead from leaf {index} to the root of block {block}")]
    NotIncluded {
        /// The block.
        block: BlockNumber,
        /// The index claimed.
        index: TxIndex,
    },
}

/// Proof that a coin was unspent after a block. §1.8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unspent {
    /// The block's number.
    #[serde(with = "form")]
    pub block: BlockNumber,
    /// Its header.
    pub header: Header,
    /// The coin's position.
    #[serde(with = "form")]
    pub position: Position,
    /// What the tree holds under it.
    #[serde(with = "form")]
    pub value: B256,
    /// The proof of membership.
    #[serde(with = "form")]
    pub proof: MembershipProof,
}

impl Unspent {
    /// Checks that the proof shows the coin `id` with `output` under this position and the header's root.
    ///
    /// # Errors
    ///
    /// [`UnspentError`] for each way in which it does not.
    pub fn verify(&self, id: OutputId, output: &Output) -> Result<(), UnspentError> {
        if self.block != self.header.number {
            return Err(UnspentError::OtherBlock { block: self.block, header: self.header.number });
        }
        if self.value != utxo_tree::value(id, output) {
            return Err(UnspentError::OtherCoin { id });
        }
        if !self.proof.verify(self.header.utxo_root, self.position, self.value) {
            return Err(UnspentError::NotHeld { position: self.position, block: self.block });
        }
        Ok(())
    }
}

/// Why a membership proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnspentError {
    /// The header is another block's.
    #[error("the proof is for block {block} but the header is block {header}'s")]
    OtherBlock {
        /// The number claimed.
        block: BlockNumber,
        /// The header's.
        header: BlockNumber,
    },
    /// The value is another coin's.
    #[error("the proof's value is not that of coin {id}")]
    OtherCoin {
        /// The coin asked for.
        id: OutputId,
    },
    /// The proof does not lead to the root.
    #[error("the proof does not show position {position} under the unspent root of block {block}")]
    NotHeld {
        /// The position.
        position: Position,
        /// The block.
        block: BlockNumber,
    },
}

/// Body of POST `/v1/unspent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnspentQuery {
    /// After which block.
    pub block: BlockChoice,
    /// Which coins.
    #[serde(with = "form")]
    pub ids: Vec<OutputId>,
}

/// A block by its number, or the newest committed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BlockChoice {
    /// The block with this number.
    Number(#[serde(with = "form")] BlockNumber),
    /// The newest committed block that this server has verified.
    Latest(Latest),
}

impl BlockChoice {
    /// The newest committed block that the server has verified.
    pub const LATEST: Self = Self::Latest(Latest::Latest);
}

/// The word `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latest {
    /// `latest`.
    Latest,
}
