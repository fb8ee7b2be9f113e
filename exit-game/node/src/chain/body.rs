//! A block's body, wherever it is kept.

use std::ops::Range;
use std::sync::Arc;

use alloy_primitives::B256;
use bytes::Bytes;
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::ledger::Leaf;
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::tx_tree;

use super::seal::leaf_hash;
use crate::archive::{Archive, ArchiveError, items_of};
use crate::wire::IncludedTransaction;

/// The body of a committed block: taken under the chain's lock, read without it.
#[derive(Debug, Clone)]
pub struct Body {
    pub(super) header: Header,
    pub(super) source: Source,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Memory(Arc<Vec<Leaf>>),
    Archive(Archive),
}

impl Body {
    /// Returns the block's header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the whole body, which has the header's root.
    ///
    /// # Errors
    ///
    /// [`BodyError::Archive`] if the archive's file is not that body.
    pub fn bytes(&self) -> Result<Bytes, BodyError> {
        match &self.source {
            Source::Memory(leaves) => Ok(encode(self.leaves(leaves)).into()),
            Source::Archive(archive) => {
                let Header { number, tx_root, tx_count, .. } = self.header;
                Ok(archive.read(number, tx_root, tx_count).map_err(self.unreadable())?.into())
            }
        }
    }

    /// Returns the body's length in bytes.
    ///
    /// # Errors
    ///
    /// [`BodyError::Archive`] if the archive has no such file.
    pub fn bytes_len(&self) -> Result<u64, BodyError> {
        match &self.source {
            Source::Memory(leaves) => Ok(encode(self.leaves(leaves)).len() as u64),
            Source::Archive(archive) => archive.body_len(self.header.number).map_err(self.unreadable()),
        }
    }

    /// Returns a part of the body. From the archive it is unchecked: whoever puts the parts together has the root.
    ///
    /// # Errors
    ///
    /// [`BodyError::Archive`] if the archive has no such file.
    pub fn part(&self, range: Range<u64>) -> Result<Bytes, BodyError> {
        match &self.source {
            Source::Memory(leaves) => {
                let bytes = Bytes::from(encode(self.leaves(leaves)));
                let end = usize::try_from(range.end).map_or(bytes.len(), |end| end.min(bytes.len()));
                Ok(bytes.slice(usize::try_from(range.start).map_or(end, |start| start.min(end))..end))
            }
            Source::Archive(archive) => {
                Ok(archive.read_range(self.header.number, range).map_err(self.unreadable())?.into())
            }
        }
    }

    /// Returns the transaction at `index`.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if the body cannot be read or has no transaction there.
    pub fn transaction(&self, index: TxIndex) -> Result<PlacedTransaction, BodyError> {
        Ok(self.find(index)?.0)
    }

    /// Returns the transaction at `index` with the proof that it stands there.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if the body cannot be read or has no transaction there.
    pub fn inclusion(&self, index: TxIndex) -> Result<IncludedTransaction, BodyError> {
        let (transaction, leaves) = self.find(index)?;
        let path = tx_tree::path(&leaves, index.get() as usize).ok_or_else(|| self.no_transaction(index))?;
        let place = Place { block: self.header.number, index };
        Ok(IncludedTransaction { header: self.header, place, path, transaction })
    }

    /// Returns a transaction and the hashes of all leaves.
    fn find(&self, index: TxIndex) -> Result<(PlacedTransaction, Vec<B256>), BodyError> {
        let at = index.get() as usize;
        match &self.source {
            Source::Memory(leaves) => {
                let leaves = self.leaves(leaves);
                let recovered = leaves.get(at).and_then(Leaf::transaction).ok_or_else(|| self.no_transaction(index))?;
                Ok((recovered.transaction.clone(), leaves.iter().map(leaf_hash).collect()))
            }
            Source::Archive(_) => {
                let body = self.bytes()?;
                let Header { number, tx_root, tx_count, .. } = self.header;
                let items = items_of(&body, tx_root, tx_count)
                    .map_err(|source| self.unreadable()(ArchiveError::Damaged { number, source }))?;
                let transaction = items.get(at).and_then(BodyItem::transaction).and_then(Result::ok);
                let transaction = transaction.ok_or_else(|| self.no_transaction(index))?;
                Ok((transaction, items.iter().map(BodyItem::leaf).collect()))
            }
        }
    }

    /// Empty leaves at a block's end are not part of it.
    fn leaves<'a>(&self, leaves: &'a [Leaf]) -> &'a [Leaf] {
        &leaves[..leaves.len().min(self.header.tx_count as usize)]
    }

    fn unreadable(&self) -> impl Fn(ArchiveError) -> BodyError {
        let number = self.header.number;
        move |source| BodyError::Archive { number, source }
    }

    fn no_transaction(&self, index: TxIndex) -> BodyError {
        BodyError::NoTransaction { number: self.header.number, index }
    }
}

/// Returns the bytes that are served and archived. §1.7.
fn encode(leaves: &[Leaf]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        match leaf.transaction() {
            None => BodyItem::Empty.encode_to(&mut bytes),
            Some(recovered) => {
                let PlacedTransaction { body, witness } = &recovered.transaction;
                BodyItem::Preimage { body: &body.encode(), witness: &witness.encode() }.encode_to(&mut bytes);
            }
        }
    }
    bytes
}

/// Why a block's body does not give what is asked for.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The archive cannot give it.
    #[error("the body of block {number} cannot be read")]
    Archive {
        /// The block.
        number: BlockNumber,
        /// Why.
        source: ArchiveError,
    },
    /// An empty leaf, one that is no canonical transaction, or none at all.
    #[error("leaf {index} of block {number} is no transaction")]
    NoTransaction {
        /// The block.
        number: BlockNumber,
        /// The leaf.
        index: TxIndex,
    },
}
