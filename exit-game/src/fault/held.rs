//! R8: what an unspent tree holds and must not; R9: a coin that it lacks. §1.8, §3.

use alloy_primitives::{B256, Bytes, keccak256};

use super::court::Court;
use super::{Creation, Origin, RootState, ShownBody};
use crate::block::Header;
use crate::exit::contract::{InclusionProof, Revert};
use crate::exit::standard::Standing;
use crate::output::{OutputId, TxHash};
use crate::position::{Position, PositionKind};
use crate::utxo_tree::{self, MembershipProof};

/// What the unspent tree of a block holds under a key. §1.8.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldKey {
    /// The block's header.
    pub header: Header,
    /// The key: 64 bits, which need not be a position that exists.
    pub position: u64,
    /// What it holds there.
    pub value: B256,
    /// The bytes of the proof of membership.
    pub proof: Bytes,
}

impl HeldKey {
    /// Returns whether the tree with the header's root holds the value.
    #[must_use]
    pub fn is_held(&self) -> bool {
        is_held(&self.header, self.position, self.value, &self.proof)
    }
}

/// A coin by what made it, as a claim that a tree lacks it and its withdrawal after the chain's end show it. R9, §8.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShownCoin {
    /// What made it.
    pub creation: Creation,
    /// The body's inclusion; not read for a deposit.
    pub inclusion: InclusionProof,
}

/// A coin, shown by what a tree would hold of it, with a transaction that spends it. R8, R9.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpentCoin {
    /// The coin.
    pub output_id: OutputId,
    /// Its 57 bytes: with the id, the preimage of the tree's value.
    pub output: Bytes,
    /// The transaction that spends it.
    pub spend: ShownBody,
}

impl SpentCoin {
    /// Refuses a tree's value that is not this coin's. §1.8.
    pub(crate) fn check_value(&self, value: B256) -> Result<(), Revert> {
        let is_its = keccak256([self.output_id.0.as_slice(), &self.output].concat()) == value;
        if is_its { Ok(()) } else { Err(Revert::NotTheValue) }
    }
}

/// Returns whether the unspent tree of a block holds a value, which is not zero, under a key. §1.8.
pub(crate) fn is_held(header: &Header, key: u64, value: B256, proof: &[u8]) -> bool {
    let proof = MembershipProof::decode(proof);
    !value.is_zero() && proof.is_ok_and(|proof| proof.root(key, value) == header.utxo_root)
}

impl<S: RootState> Court<'_, S> {
    /// Refuses what the tree of a block that can be convicted does not hold.
    pub(super) fn accuse_held(&self, held: &HeldKey) -> Result<(), Revert> {
        let number = held.header.number;
        if !self.is_committed(&held.header) {
            return Err(Revert::UnknownHeader { number });
        }
        self.check_convictable(&held.header)?;
        if held.is_held() { Ok(()) } else { Err(Revert::NotHeld) }
    }

    /// Returns whether the transaction at the held position of the child chain, which is not after the block, makes the output
    /// with this value.
    pub(super) fn is_made(&self, held: &HeldKey, origin: &Origin) -> Result<bool, Revert> {
        let kind = Position::from_bits(held.position).map(Position::kind);
        let Some(PositionKind::Output(place, index)) = kind else { return Err(Revert::NotAFault) };
        if place.block > held.header.number || !self.has_leaf(place, origin)? {
            return Ok(false);
        }
        let output_id = OutputId::of_output(TxHash(origin.tx_hash), index);
        Ok(origin.output(index)?.is_some_and(|output| utxo_tree::value(output_id, &output) == held.value))
    }

    /// Returns whether the deposit at the held position, which the block covers, made the output with this value.
    pub(super) fn is_deposited(&self, held: &HeldKey, creation: &Creation) -> Result<bool, Revert> {
        // Bits that §1.1 leaves zero in a deposit's position make it nobody's.
        let Some(position) = Position::from_bits(held.position) else { return Ok(false) };
        let PositionKind::Deposit(nonce) = position.kind() else { return Err(Revert::NotAFault) };
        if nonce >= held.header.deposit_count {
            return Ok(false);
        }
        let nothing = OutputId(B256::ZERO);
        let deposit = creation.deposit().ok_or(Revert::NotTheCreation { output_id: nothing })?;
        let output_id = deposit.output_id();
        if deposit.nonce != nonce || self.state.coin(output_id).standing() == Standing::Unknown {
            return Err(Revert::NotTheCreation { output_id });
        }
        Ok(utxo_tree::value(output_id, &deposit.output) == held.value)
    }
}
