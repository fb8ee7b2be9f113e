//! The unspent tree: a sparse Merkle commitment to the unspent set, and its proofs of membership. §1.8.
//!
//! Roots follow the hashing rules of the `sparse-merkle-tree` crate with keccak-256, which is the oracle in the tests. The
//! tree is persistent: an update returns a new tree that shares what did not change, so old roots stay provable at the
//! price of what changed since. Only coins' positions are keys, in the top 64 of 256 heights.

use alloc::sync::Arc;
use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};

use crate::decode::Reader;
use crate::output::{Output, OutputId};
use crate::position::Position;

/// Heights below this one have no siblings: a key's other 192 bits are zero. §1.8.
const HEIGHT_BASE: u16 = 192;
const HEIGHTS: u16 = 256;

const MERGE_NORMAL: u8 = 1;
const MERGE_ZEROS: u8 = 2;

/// Returns the value that the tree holds under a coin's position: `H(outputId ‖ output bytes)`. §1.8.
#[must_use]
pub fn value(output_id: OutputId, output: &Output) -> B256 {
    let mut preimage = [0; 89];
    preimage[..32].copy_from_slice(output_id.0.as_slice());
    preimage[32..].copy_from_slice(&output.encode());
    keccak256(preimage)
}

/// A state of the unspent tree. Cloning is one reference count.
#[derive(Debug, Clone, Default)]
pub struct UtxoTree {
    top: Option<Arc<Node>>,
}

/// A subtree with at least one key. Every edge downwards may skip heights at which the other side is empty.
#[derive(Debug)]
enum Node {
    Leaf {
        key: u64,
        value: B256,
    },
    /// Two non-empty sides that part at height 192 + `bit`; `hash` is that height's merged value.
    Branch {
        bit: u8,
        prefix: u64,
        hash: B256,
        left: Arc<Node>,
        right: Arc<Node>,
    },
}

impl UtxoTree {
    /// Returns the root, zero for the empty tree. §1.8.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.top.as_ref().map_or(B256::ZERO, |top| top.hash_below(HEIGHTS))
    }

    /// Returns the value under `position`, or `None` if the tree holds no such key.
    #[must_use]
    pub fn get(&self, position: Position) -> Option<B256> {
        let key = position.bits();
        let mut node = self.top.as_ref()?;
        loop {
            match node.as_ref() {
                Node::Leaf { key: held, value } => return (*held == key).then_some(*value),
                Node::Branch { bit, left, right, .. } => node = if key >> bit & 1 == 0 { left } else { right },
            }
        }
    }

    /// Returns the tree after setting each position to its value, or removing it where that is `None`.
    ///
    /// Later updates of one position win. O(64) hashes an update.
    #[must_use]
    pub fn updated(&self, updates: impl IntoIterator<Item = (Position, Option<B256>)>) -> Self {
        let mut top = self.top.clone();
        for (position, value) in updates {
            top = match value {
                Some(value) => Some(insert(top.as_ref(), position.bits(), value)),
                None => top.and_then(|top| remove(&top, position.bits())),
            };
        }
        Self { top }
    }

    /// Returns the proof that the tree holds `position`, or `None` if it does not.
    #[must_use]
    pub fn prove(&self, position: Position) -> Option<MembershipProof> {
        let key = position.bits();
        let mut node = self.top.as_ref()?;
        let (mut bitmap, mut siblings) = (0u64, Vec::new());
        loop {
            match node.as_ref() {
                Node::Leaf { key: held, .. } => {
                    siblings.reverse();
                    return (*held == key).then_some(MembershipProof { bitmap, siblings });
                }
                Node::Branch { bit, left, right, .. } => {
                    let (own, other) = if key >> bit & 1 == 0 { (left, right) } else { (right, left) };
                    bitmap |= 1 << bit;
                    siblings.push(other.hash_below(HEIGHT_BASE + u16::from(*bit)));
                    node = own;
                }
            }
        }
    }
}

impl Node {
    fn key(&self) -> u64 {
        match self {
            Self::Leaf { key, .. } => *key,
            Self::Branch { prefix, .. } => *prefix,
        }
    }

    /// Returns the subtree's hash as a child of a merge at `height` (256: as the root).
    fn hash_below(&self, height: u16) -> B256 {
        match self {
            Self::Leaf { key, value } => skip_zeros(0, height, *key, *value),
            Self::Branch { bit, prefix, hash, .. } => {
                skip_zeros(HEIGHT_BASE + u16::from(*bit) + 1, height, *prefix, *hash)
            }
        }
    }

    fn branch(bit: u8, left: Arc<Self>, right: Arc<Self>) -> Arc<Self> {
        let height = HEIGHT_BASE + u16::from(bit);
        let prefix = above(left.key(), height);
        let hash = merge_normal(height, prefix, left.hash_below(height), right.hash_below(height));
        Arc::new(Self::Branch { bit, prefix, hash, left, right })
    }
}

/// Puts `value` under `key` into the subtree `node`.
fn insert(node: Option<&Arc<Node>>, key: u64, value: B256) -> Arc<Node> {
    let leaf = || Arc::new(Node::Leaf { key, value });
    let Some(node) = node else { return leaf() };
    // The highest bit in which the key leaves the subtree, if it does.
    let parting = match node.as_ref() {
        Node::Leaf { key: held, .. } => (held ^ key).checked_ilog2(),
        Node::Branch { bit, prefix, .. } => (prefix ^ key).checked_ilog2().filter(|parting| parting > &u32::from(*bit)),
    };
    if let Some(parting) = parting {
        let bit = parting as u8;
        let (left, right) = if key >> bit & 1 == 0 { (leaf(), node.clone()) } else { (node.clone(), leaf()) };
        return Node::branch(bit, left, right);
    }
    match node.as_ref() {
        Node::Leaf { .. } => leaf(),
        Node::Branch { bit, left, right, .. } if key >> bit & 1 == 0 => {
            Node::branch(*bit, insert(Some(left), key, value), right.clone())
        }
        Node::Branch { bit, left, right, .. } => Node::branch(*bit, left.clone(), insert(Some(right), key, value)),
    }
}

/// Takes `key` out of the subtree `node`; the subtree stays as it is if it does not hold the key.
fn remove(node: &Arc<Node>, key: u64) -> Option<Arc<Node>> {
    match node.as_ref() {
        Node::Leaf { key: held, .. } => (*held != key).then(|| node.clone()),
        Node::Branch { bit, left, right, .. } => {
            let (own, other) = if key >> bit & 1 == 0 { (left, right) } else { (right, left) };
            let Some(kept) = remove(own, key) else { return Some(other.clone()) };
            if Arc::ptr_eq(&kept, own) {
                return Some(node.clone());
            }
            let (left, right) = if key >> bit & 1 == 0 { (kept, other.clone()) } else { (other.clone(), kept) };
            Some(Node::branch(*bit, left, right))
        }
    }
}

/// Proof that the tree with some root holds a key: `bitmap u64 ‖ siblings`. §1.8.
///
/// Bit *b* of the bitmap says that height 192+*b* has a non-zero sibling; the siblings follow, lowest first, none of them
/// zero. Absence cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MembershipProof {
    bitmap: u64,
    siblings: Vec<B256>,
}

impl MembershipProof {
    /// Decodes `bitmap u64 ‖ siblings 32 each`; accepts exactly what [`Self::encode`] returns.
    ///
    /// # Errors
    ///
    /// [`MembershipProofError`] if the length does not fit the bitmap or a sibling is zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, MembershipProofError> {
        let mut reader = Reader::new(bytes);
        let bitmap = u64::from_be_bytes(reader.array().map_err(|_| MembershipProofError::Length)?);
        if bytes.len() != 8 + 32 * bitmap.count_ones() as usize {
            return Err(MembershipProofError::Length);
        }
        let mut siblings = Vec::with_capacity(bitmap.count_ones() as usize);
        for _ in 0..bitmap.count_ones() {
            let sibling = B256::new(reader.array().expect("length checked above"));
            if sibling.is_zero() {
                return Err(MembershipProofError::ZeroSibling);
            }
            siblings.push(sibling);
        }
        Ok(Self { bitmap, siblings })
    }

    /// Returns the bytes: 8 for the bitmap, big-endian, and 32 a sibling.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.siblings.len());
        bytes.extend_from_slice(&self.bitmap.to_be_bytes());
        self.siblings.iter().for_each(|sibling| bytes.extend_from_slice(sibling.as_slice()));
        bytes
    }

    /// Returns the heights with a sibling: bit *b* stands for height 192+*b*.
    #[must_use]
    pub fn bitmap(&self) -> u64 {
        self.bitmap
    }

    /// Returns the siblings, lowest first; as many as the bitmap has bits.
    #[must_use]
    pub fn siblings(&self) -> &[B256] {
        &self.siblings
    }

    /// Returns whether the tree with root `root` holds `value` under `position`. A zero value is never held.
    #[must_use]
    pub fn verify(&self, root: B256, position: Position, value: B256) -> bool {
        !value.is_zero() && self.root(position.bits(), value) == root
    }

    /// Returns the root of the tree that holds `value`, which is not zero, under a key: 64 bits that need not be a position.
    #[must_use]
    pub fn root(&self, key: u64, value: B256) -> B256 {
        let (mut node, mut from) = (value, 0);
        for (bit, &sibling) in (0..64u16).filter(|bit| self.bitmap >> bit & 1 == 1).zip(&self.siblings) {
            let height = HEIGHT_BASE + bit;
            let own = skip_zeros(from, height, key, node);
            let (left, right) = if key >> bit & 1 == 0 { (own, sibling) } else { (sibling, own) };
            node = merge_normal(height, above(key, height), left, right);
            from = height + 1;
        }
        skip_zeros(from, HEIGHTS, key, node)
    }
}

/// Why bytes are no membership proof. §1.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MembershipProofError {
    /// Not 8 bytes and 32 for each bit set.
    #[error("the length does not fit the bitmap")]
    Length,
    /// The form has no zero siblings.
    #[error("a sibling is zero")]
    ZeroSibling,
}

/// Merges the value `node`, made below height `from`, with empty sides at heights `from..to`. The crate's `merge_with_zero`.
fn skip_zeros(from: u16, to: u16, key: u64, node: B256) -> B256 {
    if from == to {
        return node;
    }
    let mut base = [0; 65];
    base[0] = from as u8;
    base[1..33].copy_from_slice(&tree_key(above(key, from)));
    base[33..].copy_from_slice(node.as_slice());
    // Bits of the key at heights from..to say on which side the empty sibling stood.
    let zero_bits = key & !bits_from(to) & bits_from(from);
    let mut merged = [0; 66];
    merged[0] = MERGE_ZEROS;
    merged[1..33].copy_from_slice(keccak256(base).as_slice());
    merged[33..65].copy_from_slice(&tree_key(zero_bits));
    merged[65] = (to - from) as u8; // 256 counts as 0, as in the crate
    keccak256(merged)
}

/// Merges two non-zero sides at `height`. The crate's `merge`.
fn merge_normal(height: u16, node_key: u64, left: B256, right: B256) -> B256 {
    let mut preimage = [0; 98];
    preimage[0] = MERGE_NORMAL;
    preimage[1] = height as u8;
    preimage[2..34].copy_from_slice(&tree_key(node_key));
    preimage[34..66].copy_from_slice(left.as_slice());
    preimage[66..].copy_from_slice(right.as_slice());
    keccak256(preimage)
}

/// The part of a key above `height`: the crate's `parent_path`.
fn above(key: u64, height: u16) -> u64 {
    key & bits_from(height + 1)
}

/// A mask of the key bits that stand at `height` or above.
fn bits_from(height: u16) -> u64 {
    match height.saturating_sub(HEIGHT_BASE) {
        0 => u64::MAX,
        shift @ 1..64 => u64::MAX << shift,
        _ => 0,
    }
}

/// A position as the crate's 256-bit key: little-endian in bytes 24..32. §1.8.
fn tree_key(key: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&key.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests;
