//! The transaction tree: a padded binary Merkle tree over a block's leaves, and over a receipt batch's. §1.7, §1.10.

use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};

use crate::output::TxHash;
use crate::position::TX_INDEX_BITS;

/// Most leaves of one tree: 2^20. §1.7.
pub const LEAVES_MAX: usize = 1 << TX_INDEX_BITS;
/// The leaf that stands for nothing: padding, or the place of a dropped transaction. §1.7.
pub const EMPTY_LEAF: B256 = B256::ZERO;

const LEAF_DOMAIN: u8 = 0x00;
const NODE_DOMAIN: u8 = 0x01;

/// Returns the leaf of a transaction: `H(0x00 ‖ txHash ‖ H(witness))`. §1.7.
#[must_use]
pub fn leaf(tx_hash: TxHash, witness_hash: B256) -> B256 {
    hash_pair(LEAF_DOMAIN, tx_hash.0, witness_hash)
}

/// Returns the number of levels above `count` leaves: `⌈log2 count⌉`, 0 for none or one. §1.7.
#[must_use]
pub fn depth(count: u32) -> u32 {
    if count < 2 { 0 } else { u32::BITS - (count - 1).leading_zeros() }
}

/// Returns the root over `leaves`, zero for none. §1.7.
///
/// At most [`LEAVES_MAX`] leaves; time and memory are linear in their number.
#[must_use]
pub fn root(leaves: &[B256]) -> B256 {
    match levels(leaves).last() {
        Some(top) => top[0],
        None => B256::ZERO,
    }
}

/// Returns the inclusion proof of the leaf at `index`: its siblings, lowest first; `None` if there is no such leaf. §1.7.
#[must_use]
pub fn path(leaves: &[B256], index: usize) -> Option<Vec<B256>> {
    (index < leaves.len()).then(|| paths(leaves, core::iter::once(index)).pop().expect("one index, one path"))
}

/// Returns the inclusion proof of every leaf, in order, with one pass over the tree. §1.7.
#[must_use]
pub fn all_paths(leaves: &[B256]) -> Vec<Vec<B256>> {
    paths(leaves, 0..leaves.len())
}

/// Returns the root that a leaf at `index` has under `path`, or `None` if no tree of `count` leaves has such a path:
/// `index >= count`, or not exactly [`depth`] siblings. §1.7.
#[must_use]
pub fn root_of_path(leaf: B256, index: u32, count: u32, path: &[B256]) -> Option<B256> {
    if index >= count || path.len() != depth(count) as usize {
        return None;
    }
    Some(path.iter().enumerate().fold(leaf, |node, (level, &sibling)| {
        if index >> level & 1 == 0 {
            hash_pair(NODE_DOMAIN, node, sibling)
        } else {
            hash_pair(NODE_DOMAIN, sibling, node)
        }
    }))
}

/// Levels of the tree from the padded leaves to the root; none for no leaves.
fn levels(leaves: &[B256]) -> Vec<Vec<B256>> {
    if leaves.is_empty() {
        return Vec::new();
    }
    let mut level = leaves.to_vec();
    level.resize(leaves.len().next_power_of_two(), EMPTY_LEAF);
    let mut levels = Vec::new();
    while level.len() > 1 {
        let above =
            level.as_chunks::<2>().0.iter().map(|[left, right]| hash_pair(NODE_DOMAIN, *left, *right)).collect();
        levels.push(core::mem::replace(&mut level, above));
    }
    levels.push(level);
    levels
}

fn paths(leaves: &[B256], indexes: impl Iterator<Item = usize>) -> Vec<Vec<B256>> {
    let levels = levels(leaves);
    let below_root = levels.len().saturating_sub(1);
    let siblings =
        |index: usize| levels[..below_root].iter().enumerate().map(move |(h, level)| level[(index >> h) ^ 1]);
    indexes.map(|index| siblings(index).collect()).collect()
}

fn hash_pair(domain: u8, left: B256, right: B256) -> B256 {
    let mut preimage = [0; 65];
    preimage[0] = domain;
    preimage[1..33].copy_from_slice(left.as_slice());
    preimage[33..].copy_from_slice(right.as_slice());
    keccak256(preimage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<B256> {
        (0..count).map(|i| keccak256([i])).collect()
    }

    #[test]
    fn every_leaf_has_a_path_to_the_root_and_no_other_index_has() {
        for count in 1..=33u8 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, path) in all_paths(&leaves).iter().enumerate() {
                let count = u32::from(count);
                assert_eq!(root_of_path(leaves[index], index as u32, count, path), Some(root));
                assert_eq!(Some(path), super::path(&leaves, index).as_ref());
                let other = (index as u32 + 1) % count;
                assert!(count == 1 || root_of_path(leaves[index], other, count, path) != Some(root));
                assert_eq!(root_of_path(leaves[index], count, count, path), None);
                assert_eq!(
                    root_of_path(leaves[index], index as u32, count, &[path.as_slice(), &[root]].concat()),
                    None
                );
            }
        }
    }

    #[test]
    fn depth_is_the_logarithm_rounded_up() {
        for (count, expected) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 20, 20)] {
            assert_eq!(depth(count), expected);
        }
        assert_eq!(root(&[]), B256::ZERO);
    }
}
