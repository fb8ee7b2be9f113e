//! Child-chain blocks: the header that the root chain commits to, and the body as it is served and archived. §1.7, §1.9.

use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};

use crate::decode::{Reader, Truncated};
use crate::output::TxHash;
use crate::position::BlockNumber;
use crate::transaction::{PlacedTransaction, PlacedTransactionError};
use crate::tx_tree;

/// A block's header. §1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The block's number, from 1.
    pub number: BlockNumber,
    /// Root of the transaction tree, zero exactly when `tx_count` is.
    pub tx_root: B256,
    /// Root of the unspent tree after this block.
    pub utxo_root: B256,
    /// Number of leaves, at most 2^20.
    pub tx_count: u32,
    /// Deposits with a smaller nonce exist on the child chain from this block on.
    pub deposit_count: u64,
    /// Timestamp of the root-chain block that holds the commitment, in seconds; strictly increasing.
    pub timestamp: u64,
}

impl Header {
    /// What stands where no block is shown: its number is zero, which no block has.
    pub const NONE: Self = Self {
        number: BlockNumber::ZERO,
        tx_root: B256::ZERO,
        utxo_root: B256::ZERO,
        tx_count: 0,
        deposit_count: 0,
        timestamp: 0,
    };

    /// Returns `H(abi.encode(fields))`, the one word that the root chain keeps of a block. §1.9.
    #[must_use]
    pub fn commitment(&self) -> B256 {
        let mut words = [0; 192];
        words[24..32].copy_from_slice(&self.number.get().to_be_bytes());
        words[32..64].copy_from_slice(self.tx_root.as_slice());
        words[64..96].copy_from_slice(self.utxo_root.as_slice());
        words[124..128].copy_from_slice(&self.tx_count.to_be_bytes());
        words[152..160].copy_from_slice(&self.deposit_count.to_be_bytes());
        words[184..192].copy_from_slice(&self.timestamp.to_be_bytes());
        keccak256(words)
    }
}

/// One leaf of a block's body, as served: bytes that may or may not be canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyItem<'a> {
    /// The place of a dropped transaction. §1.7.
    Empty,
    /// A leaf's preimage: the bytes of a body and of a witness, each 1 to 65,534 bytes long.
    Preimage {
        /// Bytes said to be a transaction body.
        body: &'a [u8],
        /// Bytes said to be its witness.
        witness: &'a [u8],
    },
    /// A leaf whose preimage the server does not have or this form cannot carry.
    Opaque(B256),
}

const OPAQUE_MARK: u16 = 0xffff;

impl<'a> BodyItem<'a> {
    /// Returns the leaf that the item stands for. §1.7.
    #[must_use]
    pub fn leaf(&self) -> B256 {
        match self {
            Self::Empty => tx_tree::EMPTY_LEAF,
            Self::Preimage { body, witness } => tx_tree::leaf(TxHash(keccak256(body)), keccak256(witness)),
            Self::Opaque(leaf) => *leaf,
        }
    }

    /// Decodes the preimage: `None` for an empty or opaque leaf.
    ///
    /// # Errors
    ///
    /// [`PlacedTransactionError`] if it is not canonical (R1).
    pub fn transaction(&self) -> Option<Result<PlacedTransaction, PlacedTransactionError>> {
        match self {
            Self::Empty | Self::Opaque(_) => None,
            Self::Preimage { body, witness } => Some(PlacedTransaction::decode(body, witness)),
        }
    }

    /// Appends the item's bytes: `u16 length ‖ body ‖ u16 length ‖ witness`; `0` for an empty leaf; `0xffff ‖ leaf` for an
    /// opaque one. A preimage with a part that is empty or longer than 65,534 bytes is written as opaque.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Empty => bytes.extend_from_slice(&0u16.to_be_bytes()),
            Self::Opaque(leaf) => {
                bytes.extend_from_slice(&OPAQUE_MARK.to_be_bytes());
                bytes.extend_from_slice(leaf.as_slice());
            }
            Self::Preimage { body, witness } => match (part_len(body), part_len(witness)) {
                (Some(body_len), Some(witness_len)) => {
                    bytes.extend_from_slice(&body_len.to_be_bytes());
                    bytes.extend_from_slice(body);
                    bytes.extend_from_slice(&witness_len.to_be_bytes());
                    bytes.extend_from_slice(witness);
                }
                _ => Self::Opaque(self.leaf()).encode_to(bytes),
            },
        }
    }

    fn decode_from(reader: &mut Reader<'a>) -> Result<Self, Truncated> {
        match u16::from_be_bytes(reader.array()?) {
            0 => Ok(Self::Empty),
            OPAQUE_MARK => Ok(Self::Opaque(B256::new(reader.array()?))),
            len => {
                let body = reader.take(usize::from(len))?;
                let len = u16::from_be_bytes(reader.array()?);
                // An encoder never writes these lengths: one form for each thing.
                if len == 0 || len == OPAQUE_MARK {
                    return Err(Truncated);
                }
                let witness = reader.take(usize::from(len))?;
                Ok(Self::Preimage { body, witness })
            }
        }
    }
}

fn part_len(part: &[u8]) -> Option<u16> {
    u16::try_from(part.len()).ok().filter(|&len| len != 0 && len != OPAQUE_MARK)
}

/// Splits a served body into its items, in block order.
///
/// # Errors
///
/// [`BodyFormatError`] if the bytes are not what [`BodyItem::encode_to`] writes, or hold more than `items_max` items.
pub fn decode_items(bytes: &[u8], items_max: u32) -> Result<Vec<BodyItem<'_>>, BodyFormatError> {
    let mut reader = Reader::new(bytes);
    let mut items = Vec::new();
    while !reader.is_empty() {
        if items.len() as u64 >= u64::from(items_max) {
            return Err(BodyFormatError::TooMany { items_max });
        }
        let index = items.len();
        items.push(BodyItem::decode_from(&mut reader).map_err(|Truncated| BodyFormatError::Item { index })?);
    }
    Ok(items)
}

/// Why bytes are no served body. It says nothing about the block, only about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFormatError {
    /// The item at this index is cut off or has a length that no encoder writes.
    #[error("item {index} is malformed")]
    Item {
        /// Index of the item.
        index: usize,
    },
    /// More items than the block has leaves.
    #[error("more than {items_max} items")]
    TooMany {
        /// The most that were expected.
        items_max: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_decode_to_themselves() {
        let long = alloc::vec![7; 65_535];
        let items = [
            BodyItem::Preimage { body: b"body", witness: b"witness" },
            BodyItem::Empty,
            BodyItem::Opaque(B256::repeat_byte(3)),
            BodyItem::Preimage { body: &long[..65_534], witness: b"w" },
        ];
        let mut bytes = Vec::new();
        items.iter().for_each(|item| item.encode_to(&mut bytes));
        assert_eq!(decode_items(&bytes, 4).unwrap(), items);
        assert_eq!(decode_items(&bytes, 3), Err(BodyFormatError::TooMany { items_max: 3 }));
        assert_eq!(decode_items(&bytes[..bytes.len() - 1], 4), Err(BodyFormatError::Item { index: 3 }));
    }

    #[test]
    fn a_preimage_that_the_form_cannot_carry_is_served_as_its_leaf() {
        let long = alloc::vec![7; 65_535];
        for (body, witness) in [(&long[..], &b"w"[..]), (b"b", &long[..]), (b"", b"w"), (b"b", b"")] {
            let item = BodyItem::Preimage { body, witness };
            let mut bytes = Vec::new();
            item.encode_to(&mut bytes);
            assert_eq!(decode_items(&bytes, 1).unwrap(), [BodyItem::Opaque(item.leaf())]);
        }
        assert_eq!(decode_items(&[0, 1, 9, 0, 0], 1), Err(BodyFormatError::Item { index: 0 }), "empty witness");
    }
}
