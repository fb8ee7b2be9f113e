//! Roots and proofs against the crate that defines them, and what its own proofs get wrong. §1.8

use alloc::collections::BTreeMap;
use alloc::vec;

use proptest::prelude::*;
use sparse_merkle_tree::merge::{MergeValue, hash_base_node};
use sparse_merkle_tree::{CompiledMerkleProof, H256, SparseMerkleTree, default_store::DefaultStore, traits::Hasher};

use super::*;

#[derive(Default)]
struct Keccak(Vec<u8>);

impl Hasher for Keccak {
    fn write_h256(&mut self, word: &H256) {
        self.0.extend_from_slice(word.as_slice());
    }
    fn write_byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
    fn finish(self) -> H256 {
        keccak256(self.0).0.into()
    }
}

type Oracle = SparseMerkleTree<Keccak, H256, DefaultStore<H256>>;

/// Positions close to each other and far apart, children and deposits.
fn any_position() -> impl Strategy<Value = Position> {
    let child = (0..4u64, 0..4u64, 0..16u64).prop_map(|(block, index, output)| block << 24 | index << 4 | output);
    let deposit = (0..8u64).prop_map(|nonce| 1 << 63 | nonce << 4);
    let anywhere =
        any::<u64>().prop_map(|bits| if bits >> 63 == 1 { bits & (1 << 63 | 0xfff_ffff_fff0) } else { bits });
    prop_oneof![child, deposit, anywhere].prop_map(|bits| Position::from_bits(bits).unwrap())
}

/// Forges the crate's proof that a tree does not hold a key that it holds, from the proof that it does.
///
/// Below some height the key's path has no sibling, and all of it is one merge-with-zero value. Shown as the *sibling* of
/// nothing at a height at which the key's bit is set, with that bit noted in advance, it merges into itself: nobody checks
/// that its bits and its count are those of the other side. `None` if the key has no such height.
fn forged_absence(proof: &MembershipProof, key: u64, value: B256) -> Option<(u16, MergeValue, Vec<u8>)> {
    let siblings: Vec<_> = (0..64u16)
        .filter(|bit| proof.bitmap >> bit & 1 == 1)
        .map(|bit| HEIGHT_BASE + bit)
        .zip(&proof.siblings)
        .collect();
    // The value of the path's part below each height without siblings, and where that part begins.
    let (mut node, mut from) = (value, 0);
    let mut parts = vec![(from, node)];
    for &(height, &sibling) in &siblings {
        let own = skip_zeros(from, height, key, node);
        let (left, right) = if key >> (height - HEIGHT_BASE) & 1 == 0 { (own, sibling) } else { (sibling, own) };
        (node, from) = (merge_normal(height, above(key, height), left, right), height + 1);
        parts.push((from, node));
    }
    let is_set = |height: u16| key >> (height - HEIGHT_BASE) & 1 == 1;
    let is_free = |height: &u16| siblings.iter().all(|(of, _)| of != height) && is_set(*height);
    let at = (HEIGHT_BASE..HEIGHTS).find(is_free)?;
    let &(from, node) = parts.iter().rev().find(|(from, _)| *from <= at)?;
    let base_node = hash_base_node::<Keccak>(from as u8, &tree_key(above(key, from)).into(), &node.0.into());
    let noted = tree_key(key & bits_from(from) & !bits_from(at + 1));
    let part = MergeValue::MergeWithZero { base_node, zero_bits: noted.into(), zero_count: (at - from) as u8 };

    let zeros = |to: u16, after: u16| if to == after { vec![] } else { vec![0x4f, (to - after) as u8] };
    let mut program = [vec![0x4c], zeros(at, 0), vec![0x51, (at - from) as u8]].concat();
    program.extend_from_slice(base_node.as_slice());
    program.extend_from_slice(&noted);
    let mut next = at + 1;
    for (height, sibling) in siblings.into_iter().filter(|(height, _)| *height > at) {
        program.extend(zeros(height, next));
        program.push(0x50);
        program.extend_from_slice(sibling.as_slice());
        next = height + 1;
    }
    program.extend(zeros(HEIGHTS, next));
    Some((at, part, program))
}

proptest! {
    #[test]
    fn a_blocks_updates_in_one_batch_make_the_crates_root(
        blocks in prop::collection::vec(
            prop::collection::btree_map(any_position(), prop::option::weighted(0.7, any::<[u8; 32]>()), 0..40), 1..8,
        ),
    ) {
        let (mut tree, mut oracle, mut kept) = (UtxoTree::default(), Oracle::default(), Vec::new());
        for block in blocks {
            let value = |value: Option<[u8; 32]>| value.map(B256::new).filter(|value| !value.is_zero());
            let updates: Vec<_> = block.into_iter().map(|(position, word)| (position, value(word))).collect();
            let leaves = updates.iter().map(|(position, value)| {
                (tree_key(position.bits()).into(), value.unwrap_or_default().0.into())
            });
            oracle.update_all(leaves.collect()).unwrap();
            tree = tree.updated(updates.iter().copied());
            prop_assert_eq!(tree.root().0, <[u8; 32]>::from(*oracle.root()));
            prop_assert_eq!(tree.updated(updates.iter().copied()).root(), tree.root(), "twice is once");
            kept.push((tree.clone(), tree.root(), updates));
        }
        // Every old root is still proven, whatever came after it.
        for (old, root, updates) in kept {
            for (position, value) in updates {
                match value {
                    Some(value) => prop_assert!(old.prove(position).unwrap().verify(root, position, value)),
                    None => prop_assert!(old.prove(position).is_none()),
                }
            }
        }
    }

    /// *Why* proofs are of membership only, and in a form of their own: the crate's accept absence of what is present.
    #[test]
    fn the_crate_believes_forged_absence_and_our_form_cannot_say_it(
        positions in prop::collection::btree_set(any_position(), 1..20), word in any::<[u8; 32]>(),
    ) {
        let value = Some(B256::new(word)).filter(|value| !value.is_zero()).unwrap_or(B256::repeat_byte(1));
        let (mut tree, mut oracle) = (UtxoTree::default(), Oracle::default());
        for &position in &positions {
            tree = tree.updated([(position, Some(value))]);
            oracle.update(tree_key(position.bits()).into(), value.0.into()).unwrap();
        }
        let mut forged = 0;
        for &position in &positions {
            let (key, root) = (position.bits(), tree.root());
            let Some((at, part, program)) = forged_absence(&tree.prove(position).unwrap(), key, value) else { continue };
            let absent = vec![(tree_key(key).into(), H256::zero())];
            let program = CompiledMerkleProof(program);
            prop_assert!(program.verify::<Keccak>(&root.0.into(), absent).unwrap(), "present, and believed absent");
            forged += 1;

            // Ours has words neither for nothing nor for such a sibling: its bytes are no proof, its hash is another one.
            prop_assert!(MembershipProof::decode(&program.0).is_err());
            let proof = tree.prove(position).unwrap();
            let mut said: Vec<_> = (0..64u16).filter(|bit| proof.bitmap >> bit & 1 == 1).zip(proof.siblings).collect();
            said.retain(|(bit, _)| HEIGHT_BASE + bit > at);
            said.insert(0, (at - HEIGHT_BASE, part.hash::<Keccak>().as_slice().try_into().unwrap()));
            let bitmap = said.iter().fold(0, |bitmap, (bit, _)| bitmap | 1 << bit);
            let ours = MembershipProof { bitmap, siblings: said.into_iter().map(|(_, sibling)| sibling).collect() };
            prop_assert_eq!(MembershipProof::decode(&ours.encode()), Ok(ours.clone()));
            for claimed in [B256::ZERO, value, keccak256(value)] {
                prop_assert!(!ours.verify(root, position, claimed));
            }
        }
        let is_forgeable = |position: &Position| positions.len() == 1 && position.bits() != 0;
        prop_assert!(forged > 0 || !positions.iter().any(is_forgeable), "a key alone has no siblings");
    }

    #[test]
    fn roots_are_the_crates_and_every_member_has_a_proof(
        updates in prop::collection::vec((any_position(), prop::option::weighted(0.7, any::<[u8; 32]>())), 1..60),
    ) {
        let (mut tree, mut oracle, mut model) = (UtxoTree::default(), Oracle::default(), BTreeMap::new());
        let mut history = Vec::new();
        for (position, value) in updates {
            let value = value.map(B256::new).filter(|value| !value.is_zero());
            history.push((tree.clone(), tree.root()));
            tree = tree.updated([(position, value)]);
            let leaf: H256 = value.unwrap_or_default().0.into();
            oracle.update(tree_key(position.bits()).into(), leaf).unwrap();
            prop_assert_eq!(tree.root().0, <[u8; 32]>::from(*oracle.root()));
            match value {
                Some(value) => model.insert(position, value),
                None => model.remove(&position),
            };
        }
        for (&position, &value) in &model {
            let proof = tree.prove(position).unwrap();
            prop_assert_eq!(tree.get(position), Some(value));
            prop_assert!(proof.verify(tree.root(), position, value));
            prop_assert_eq!(MembershipProof::decode(&proof.encode()), Ok(proof.clone()));
            prop_assert!(!proof.verify(tree.root(), position, keccak256(value)));
            let elsewhere = Position::from_bits(position.bits() ^ 1 << 30).unwrap();
            prop_assert!(!proof.verify(tree.root(), elsewhere, value));
        }
        for (old, root) in history {
            prop_assert_eq!(old.root(), root);
        }
    }

    #[test]
    fn a_proof_with_one_byte_changed_proves_nothing(
        positions in prop::collection::btree_set(any_position(), 2..20), byte in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let value = B256::repeat_byte(1);
        let tree = UtxoTree::default().updated(positions.iter().map(|&position| (position, Some(value))));
        for &position in &positions {
            let mut bytes = tree.prove(position).unwrap().encode();
            let byte = byte.index(bytes.len());
            bytes[byte] ^= flip;
            let accepted = MembershipProof::decode(&bytes).is_ok_and(|p| p.verify(tree.root(), position, value));
            prop_assert!(!accepted);
        }
    }
}
