//! Receipts: the operator's signed promise of exact places, by a time. §1.10.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, keccak256};

use crate::block::Header;
use crate::position::{BlockNumber, TxIndex};
use crate::signature::{Domain, Signature};
use crate::tx_tree;

const RECEIPT_TYPE: &str = "Receipt(uint64 number,uint32 first,uint32 count,bytes32 root,uint64 by)";

/// A batch of consecutive leaves that the operator promises in one block. §1.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The block that will hold them.
    pub number: BlockNumber,
    /// Index of the first promised leaf.
    pub first: u32,
    /// How many leaves follow from there; at least 1 in a receipt that promises something.
    pub count: u32,
    /// Root of the tree of §1.7 over the promised leaves alone.
    pub root: B256,
    /// The block is committed no later than this root-chain time, in seconds.
    pub by: u64,
}

impl Receipt {
    /// Returns whether it promises something: leaves that a block can have. §3.
    #[must_use]
    pub fn is_a_promise(&self) -> bool {
        let end = self.first.checked_add(self.count);
        self.count != 0 && end.is_some_and(|end| end as usize <= tx_tree::LEAVES_MAX)
    }

    /// Returns the last time at which its block is committed without breaking it, in seconds. `freeze_delay` is F. §3.
    #[must_use]
    pub fn latest(&self, freeze_delay: u64) -> u64 {
        self.by.saturating_add(freeze_delay)
    }

    /// Returns the EIP-712 digest that the operator signs. §1.10.
    #[must_use]
    pub fn signing_hash(&self, domain: &Domain) -> B256 {
        let mut words = [0; 192];
        words[..32].copy_from_slice(keccak256(RECEIPT_TYPE).as_slice());
        words[56..64].copy_from_slice(&self.number.get().to_be_bytes());
        words[92..96].copy_from_slice(&self.first.to_be_bytes());
        words[124..128].copy_from_slice(&self.count.to_be_bytes());
        words[128..160].copy_from_slice(self.root.as_slice());
        words[184..192].copy_from_slice(&self.by.to_be_bytes());
        domain.digest(keccak256(words))
    }
}

/// What a client keeps of an accepted transaction: the batch's receipt, its signature, and the way to its own leaf. §1.10.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignedReceipt {
    /// The promise.
    pub receipt: Receipt,
    /// The operator's signature over [`Receipt::signing_hash`].
    pub signature: Signature,
    /// Index of the client's leaf in the block: `first <= index < first + count`.
    pub index: TxIndex,
    /// Siblings of the client's leaf in the batch's tree, lowest first.
    pub path: Vec<B256>,
}

/// A leaf that a receipt promises and its block does not hold. §3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokenPromise {
    /// The leaf's index in the block.
    pub index: u32,
    /// The promised leaf.
    pub promised: B256,
    /// Its siblings in the receipt's tree, lowest first.
    pub promised_path: Vec<B256>,
    /// What the block has in its place. Neither leaf is read where the block has none.
    pub held: B256,
    /// Its siblings in the block's tree, lowest first.
    pub held_path: Vec<B256>,
}

impl BrokenPromise {
    /// What stands where time alone breaks the receipt.
    pub const NONE: Self =
        Self { index: 0, promised: B256::ZERO, promised_path: Vec::new(), held: B256::ZERO, held_path: Vec::new() };

    /// Returns whether `receipt` promises a leaf that the block with this header does not hold: one beyond its end, or
    /// another than what stands there. §3.
    #[must_use]
    pub fn is_of(&self, receipt: &Receipt, header: &Header) -> bool {
        let &Self { index, promised, ref promised_path, held, ref held_path } = self;
        let Some(offset) = index.checked_sub(receipt.first).filter(|&offset| offset < receipt.count) else {
            return false;
        };
        if index >= header.tx_count {
            return true;
        }
        tx_tree::root_of_path(promised, offset, receipt.count, promised_path) == Some(receipt.root)
            && tx_tree::root_of_path(held, index, header.tx_count, held_path) == Some(header.tx_root)
            && promised != held
    }
}

/// How far a receipt's `by` may lie ahead of now for a wallet to trust it, as a divisor of F: F/2. §1.10.
const TRUST_DIVISOR: u64 = 2;

impl SignedReceipt {
    /// Checks that the receipt promises `leaf` at its index, in time, under the key `operator`. §1.10.
    ///
    /// `now` is the root chain's time and `freeze_delay` is F, both in seconds.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`] for each reason for which a wallet refuses it.
    pub fn check(
        &self,
        domain: &Domain,
        operator: Address,
        leaf: B256,
        now: u64,
        freeze_delay: u64,
    ) -> Result<(), ReceiptError> {
        if !self.promises(leaf) {
            return Err(ReceiptError::OtherLeaf);
        }
        if self.signature.recover(self.receipt.signing_hash(domain)) != Some(operator) {
            return Err(ReceiptError::OtherSigner);
        }
        let by = self.receipt.by;
        if by < now {
            return Err(ReceiptError::Past { by, now });
        }
        if by - now > freeze_delay / TRUST_DIVISOR {
            return Err(ReceiptError::TooFarAhead { by, now });
        }
        Ok(())
    }

    /// Returns whether the receipt's root commits to `leaf` at the receipt's index.
    #[must_use]
    pub fn promises(&self, leaf: B256) -> bool {
        let Receipt { first, count, root, .. } = self.receipt;
        let Some(offset) = self.index.get().checked_sub(first) else { return false };
        self.receipt.is_a_promise() && tx_tree::root_of_path(leaf, offset, count, &self.path) == Some(root)
    }
}

/// Why a wallet does not trust a receipt. §1.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It promises another leaf, or none, at its index.
    #[error("the receipt does not promise this transaction at its place")]
    OtherLeaf,
    /// Another key than the operator's signed it.
    #[error("the receipt is not signed by the operator")]
    OtherSigner,
    /// Its time is over.
    #[error("the receipt promised its block by {by}, and it is {now}")]
    Past {
        /// The promised time, in seconds.
        by: u64,
        /// The root chain's time, in seconds.
        now: u64,
    },
    /// It promises too little: a block far in the future.
    #[error("the receipt promises its block only by {by}, more than half a freeze delay after {now}")]
    TooFarAhead {
        /// The promised time, in seconds.
        by: u64,
        /// The root chain's time, in seconds.
        now: u64,
    },
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::SigningKey;

    use super::*;
    use crate::signature::address_of;

    #[test]
    fn a_wallet_trusts_a_receipt_of_its_own_leaf_by_the_operator_in_time() {
        let domain = Domain { chain_id: 31337, contract: Address::repeat_byte(0xcc) };
        let key = SigningKey::from_slice(&[1; 32]).unwrap();
        let operator = address_of(key.verifying_key());
        let leaves: Vec<B256> = (0..5u8).map(|i| keccak256([i])).collect();
        let receipt =
            Receipt { number: BlockNumber::FIRST, first: 10, count: 5, root: tx_tree::root(&leaves), by: 1_000 };
        let signed = SignedReceipt {
            receipt,
            signature: Signature::sign(&key, receipt.signing_hash(&domain)),
            index: TxIndex::new(12).unwrap(),
            path: tx_tree::path(&leaves, 2).unwrap(),
        };

        assert_eq!(signed.check(&domain, operator, leaves[2], 990, 75), Ok(()));
        assert_eq!(signed.check(&domain, operator, leaves[3], 990, 75), Err(ReceiptError::OtherLeaf));
        assert_eq!(signed.check(&domain, Address::ZERO, leaves[2], 990, 75), Err(ReceiptError::OtherSigner));
        let late = ReceiptError::Past { by: 1_000, now: 1_001 };
        assert_eq!(signed.check(&domain, operator, leaves[2], 1_001, 75), Err(late));
        let early = ReceiptError::TooFarAhead { by: 1_000, now: 962 };
        assert_eq!(signed.check(&domain, operator, leaves[2], 962, 75), Err(early));
        let elsewhere = SignedReceipt { index: TxIndex::new(9).unwrap(), ..signed.clone() };
        assert_eq!(elsewhere.check(&domain, operator, leaves[2], 990, 75), Err(ReceiptError::OtherLeaf));
    }
}
