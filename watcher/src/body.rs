//! Bodies of blocks as strangers serve them: checked against the header's root, merged, read on all cores. §1.7.

use std::thread;

use alloy_primitives::Address;
use bytes::Bytes;
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::ledger::{Leaf, RecoveredTransaction};
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::transaction::{BODY_LEN_MAX, WITNESS_LEN_MAX};
use plasmid_node::archive::{OtherBody, items_of};
use plasmid_node::recover;

/// Bytes of the longest canonical item: two lengths, body, witness.
const ITEM_LEN_MAX: usize = 4 + BODY_LEN_MAX + WITNESS_LEN_MAX;
/// Bytes beyond that a body may have in all, so that a leaf that is not canonical is taken and can be proven.
const EXCESS_MAX: usize = 1 << 20;
/// Fewer items than this are not worth a thread.
const ITEMS_PER_THREAD_MIN: usize = 64;

/// Returns the most bytes of a body with `tx_count` leaves that are taken. A longer one counts as not served.
#[must_use]
pub fn body_len_max(tx_count: u32) -> usize {
    ITEM_LEN_MAX.saturating_mul(tx_count as usize).saturating_add(EXCESS_MAX)
}

/// A body that has the header's root, from whomever it came. Some of its leaves may lack their preimages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBody {
    header: Header,
    bytes: Bytes,
    is_whole: bool,
}

impl ServedBody {
    /// Compares the tree over a served body's leaves with the header.
    ///
    /// # Errors
    ///
    /// [`OtherBody`]: the server lies or fails, which says nothing about the block.
    pub fn check(header: Header, bytes: Bytes) -> Result<Self, OtherBody> {
        let items = items_of(&bytes, header.tx_root, header.tx_count)?;
        let is_whole = !items.iter().any(|item| matches!(item, BodyItem::Opaque(_)));
        Ok(Self { header, bytes, is_whole })
    }

    /// Returns the header whose body it is.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns whether it has the preimage of every leaf.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Returns the body's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Joins two bodies of one block: of each leaf the preimage if either has it.
#[must_use]
pub fn merge(one: &[BodyItem<'_>], other: &[BodyItem<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (one, other) in one.iter().zip(other) {
        let fuller = if matches!(one, BodyItem::Opaque(_)) { other } else { one };
        fuller.encode_to(&mut bytes);
    }
    bytes
}

/// Reads the leaves with their signers; `None` for a leaf whose preimage is missing.
///
/// `signers` are those that an earlier reading found, in order; where there is none, or it is zero, it is recovered.
#[must_use]
pub fn read_leaves(items: &[BodyItem<'_>], domain: &Domain, signers: &[Address]) -> Vec<Option<Leaf>> {
    on_all_cores(items, |index, item| {
        Leaf::read(item, |transaction| match signers.get(index).filter(|signer| !signer.is_zero()) {
            Some(&signer) => RecoveredTransaction { hash: transaction.body.hash(), transaction, signer: Some(signer) },
            None => recover::recover(transaction, domain),
        })
    })
}

/// Maps items with their indexes, in order, on as many threads as there are cores.
fn on_all_cores<I: Sync, T: Send>(items: &[I], map: impl Fn(usize, &I) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let chunk_len = items.len().div_ceil(threads).max(ITEMS_PER_THREAD_MIN);
    let map_chunk = &|(chunk, items): (usize, &[I])| -> Vec<T> {
        items.iter().enumerate().map(|(offset, item)| map(chunk * chunk_len + offset, item)).collect()
    };
    thread::scope(|scope| {
        let mut chunks = items.chunks(chunk_len).enumerate();
        let first = chunks.next();
        let spawned: Vec<_> = chunks.map(|chunk| scope.spawn(move || map_chunk(chunk))).collect();
        let mut mapped = first.map(map_chunk).unwrap_or_default();
        for thread in spawned {
            mapped.extend(thread.join().expect("reading a leaf does not panic"));
        }
        mapped
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use plasmid_exit_game::position::BlockNumber;
    use plasmid_exit_game::tx_tree;

    use super::*;

    fn header(items: &[BodyItem<'_>]) -> Header {
        let leaves: Vec<B256> = items.iter().map(BodyItem::leaf).collect();
        Header {
            number: BlockNumber::FIRST,
            tx_root: tx_tree::root(&leaves),
            utxo_root: B256::ZERO,
            tx_count: items.len() as u32,
            deposit_count: 0,
            timestamp: 1,
        }
    }

    fn bytes(items: &[BodyItem<'_>]) -> Bytes {
        let mut bytes = Vec::new();
        items.iter().for_each(|item| item.encode_to(&mut bytes));
        bytes.into()
    }

    #[test]
    fn a_body_that_does_not_match_the_root_is_no_body() {
        let items = [BodyItem::Preimage { body: b"a", witness: b"b" }, BodyItem::Empty];
        let header = header(&items);
        assert!(ServedBody::check(header, bytes(&items)).is_ok());

        let other = bytes(&[BodyItem::Preimage { body: b"a", witness: b"c" }, BodyItem::Empty]);
        assert!(matches!(ServedBody::check(header, other), Err(OtherBody::Root { .. })));
        assert!(matches!(ServedBody::check(header, bytes(&items[..1])), Err(OtherBody::LeafCount { actual: 1, .. })));
        assert!(matches!(ServedBody::check(header, Bytes::from_static(b"\x00")), Err(OtherBody::Format(_))));
        let longer = [bytes(&items), bytes(&items)].concat();
        assert!(matches!(ServedBody::check(header, longer.into()), Err(OtherBody::Format(_))));
    }

    #[test]
    fn two_servers_together_have_what_neither_has() {
        let whole =
            [BodyItem::Preimage { body: b"a", witness: b"b" }, BodyItem::Preimage { body: b"c", witness: b"d" }];
        let first = [whole[0].clone(), BodyItem::Opaque(whole[1].leaf())];
        let second = [BodyItem::Opaque(whole[0].leaf()), whole[1].clone()];
        for partial in [&first, &second] {
            ServedBody::check(header(&whole), bytes(partial)).unwrap();
        }
        assert_eq!(merge(&first, &second), bytes(&whole));
        assert_eq!(merge(&second, &first), bytes(&whole));
    }

    #[test]
    fn leaves_keep_their_order_on_all_cores() {
        let items: Vec<usize> = (0..1_000).collect();
        assert_eq!(on_all_cores(&items, |index, item| (index, *item)), (0..1_000).map(|i| (i, i)).collect::<Vec<_>>());
        assert!(on_all_cores(&[0; 0], |_, item| *item).is_empty());
    }
}
