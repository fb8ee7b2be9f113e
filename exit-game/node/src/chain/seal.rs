//! Roots of a closed block, computed without the chain's lock.

use std::sync::Arc;

use alloy_primitives::B256;
use plasmid_exit_game::ledger::{Leaf, unspent_updates};
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::UtxoTree;

use super::block::Roots;

/// A closed block whose roots are to be computed.
#[derive(Debug)]
pub struct Unsealed {
    pub(super) number: BlockNumber,
    pub(super) leaves: Arc<Vec<Leaf>>,
    pub(super) covered: Vec<Deposit>,
    /// The unspent tree before the block.
    pub(super) before: UtxoTree,
}

/// A closed block's roots.
#[derive(Debug)]
pub struct Sealed {
    pub(super) number: BlockNumber,
    /// What they were computed from.
    pub(super) leaves: Arc<Vec<Leaf>>,
    /// The unspent root before the block.
    pub(super) before: B256,
    pub(super) roots: Roots,
    pub(super) tree: UtxoTree,
}

impl Unsealed {
    /// Returns the block's number.
    #[must_use]
    pub fn number(&self) -> BlockNumber {
        self.number
    }

    /// Computes the roots: hashes in proportion to the block.
    #[must_use]
    pub fn seal(self) -> Sealed {
        let Self { number, leaves, covered, before } = self;
        let mut hashes: Vec<B256> = leaves.iter().map(leaf_hash).collect();
        // Empty leaves at the end are left away: the block ends at its last transaction (§1.7).
        let tx_count = hashes.iter().rposition(|hash| *hash != tx_tree::EMPTY_LEAF).map_or(0, |last| last + 1);
        hashes.truncate(tx_count);
        let tree = before.updated(unspent_updates(number, &leaves, &covered));
        let tx_count = u32::try_from(tx_count).expect("a block has at most 2^20 leaves");
        let roots = Roots { tx_root: tx_tree::root(&hashes), utxo_root: tree.root(), tx_count };
        Sealed { number, leaves, before: before.root(), roots, tree }
    }
}

/// Returns the hash of a leaf of the local chain, all of whose transactions are canonical.
pub(super) fn leaf_hash(leaf: &Leaf) -> B256 {
    leaf.transaction().map_or(tx_tree::EMPTY_LEAF, |recovered| recovered.leaf())
}
