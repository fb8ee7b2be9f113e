//! One block of the local chain.

use std::sync::Arc;

use alloy_primitives::B256;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::ledger::{Leaf, RecoveredTransaction};
use plasmid_exit_game::output::{Deposit, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::utxo_tree::UtxoTree;

use super::BodyError;
use crate::archive::{Archive, ArchiveError, items_of};

#[derive(Debug)]
pub(super) struct Block {
    /// Deposits with a smaller nonce exist from this block on.
    pub(super) deposit_count: u64,
    /// Those that the block before did not cover.
    pub(super) covered: Vec<Deposit>,
    /// By index; `None` for an empty leaf.
    pub(super) hashes: Vec<Option<TxHash>>,
    /// How many leaves are not empty.
    pub(super) tx_total: u64,
    pub(super) content: Content,
    pub(super) stage: Stage,
    /// The unspent tree after the block, once it is sealed and as long as it is kept.
    pub(super) tree: Option<UtxoTree>,
}

/// Where a block's leaves are.
#[derive(Debug)]
pub(super) enum Content {
    Memory(Arc<Vec<Leaf>>),
    Archived,
}

#[derive(Debug)]
pub(super) enum Stage {
    Open,
    Closed,
    Sealed(Roots),
}

/// What a block commits to, apart from the deposits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Roots {
    pub(super) tx_root: B256,
    pub(super) utxo_root: B256,
    pub(super) tx_count: u32,
}

impl Block {
    pub(super) fn open(deposit_count: u64) -> Self {
        Self {
            deposit_count,
            covered: Vec::new(),
            hashes: Vec::new(),
            tx_total: 0,
            content: Content::Memory(Arc::default()),
            stage: Stage::Open,
            tree: None,
        }
    }

    pub(super) fn applied(header: &Header, leaves: Vec<Leaf>, covered: Vec<Deposit>, tree: UtxoTree) -> Self {
        let Header { tx_root, utxo_root, tx_count, deposit_count, .. } = *header;
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf.transaction().map(|recovered| recovered.hash)).collect();
        Self {
            deposit_count,
            covered,
            tx_total: hashes.iter().flatten().count() as u64,
            hashes,
            content: Content::Memory(Arc::new(leaves)),
            stage: Stage::Sealed(Roots { tx_root, utxo_root, tx_count }),
            tree: Some(tree),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Forgets the roots, for leaves that have changed or a block before that has.
    pub(super) fn unseal(&mut self) {
        if matches!(self.stage, Stage::Sealed(_)) {
            (self.stage, self.tree) = (Stage::Closed, None);
        }
    }

    /// Returns the leaves to be changed, if they are in memory. Whoever else holds them keeps the old ones.
    pub(super) fn leaves_mut(&mut self) -> Option<&mut Vec<Leaf>> {
        match &mut self.content {
            Content::Memory(leaves) => Some(Arc::make_mut(leaves)),
            Content::Archived => None,
        }
    }

    /// Returns the leaves, from the archive if they are there: then without signers.
    pub(super) fn leaves(&self, number: BlockNumber, archive: &Archive) -> Result<Arc<Vec<Leaf>>, BodyError> {
        match (&self.content, &self.stage) {
            (Content::Memory(leaves), _) => Ok(leaves.clone()),
            (Content::Archived, Stage::Sealed(roots)) => {
                let failed = |source| BodyError::Archive { number, source };
                let body = archive.read(number, roots.tx_root, roots.tx_count).map_err(failed)?;
                let items = items_of(&body, roots.tx_root, roots.tx_count)
                    .map_err(|source| failed(ArchiveError::Damaged { number, source }))?;
                Ok(Arc::new(items.iter().filter_map(|item| Leaf::read(item, without_signer)).collect()))
            }
            (Content::Archived, Stage::Open | Stage::Closed) => unreachable!("only sealed blocks are archived"),
        }
    }
}

fn without_signer(transaction: PlacedTransaction) -> RecoveredTransaction {
    RecoveredTransaction { hash: transaction.body.hash(), signer: None, transaction }
}
