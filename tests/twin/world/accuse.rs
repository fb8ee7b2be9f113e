//! What is shown against the operator: proofs of faults, true and lying ones, and receipts.

use alloy_primitives::{B256, Bytes, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::in_flight::Piece;
use plasmid_exit_game::fault::{Creation, FaultProof, Origin, ShownBody, ShownLeaf};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Position, PositionKind};
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
use plasmid_exit_game::signature::{SIGNATURE_LEN, Signature};
use plasmid_exit_game::transaction::Transaction;
use plasmid_exit_game::tx_tree;

use super::World;
use crate::action::{Accusation, Evidence, Kind, ReceiptRef};
use crate::call::Function;
use crate::chain::Block;
use crate::evm::{OPERATOR, key_of};

/// Receipts promise no more leaves than these, however many they say.
const LEAVES_MAX: u32 = 16;

impl World {
    /// Returns the call that shows the evidence, as far as there is something to show.
    pub(super) fn shown(&self, what: &Evidence) -> Option<Function> {
        Some(match what {
            Evidence::Fault(accusation) => Function::ProveFault { proof: Box::new(self.proof(accusation)?) },
            Evidence::Receipt(receipt) => self.receipt(receipt)?,
        })
    }

    /// Returns the proof of an accusation, with what the child chain has of all that it takes. It may well prove nothing.
    pub(crate) fn proof(&self, accusation: &Accusation) -> Option<FaultProof> {
        match accusation.kind {
            Kind::HeldSpent | Kind::HeldNotMade | Kind::HeldNotDeposited => self.held_proof(accusation),
            _ => self.leaf_proof(accusation),
        }
    }

    fn leaf_proof(&self, accusation: &Accusation) -> Option<FaultProof> {
        let &Accusation { kind, place, input, other, nth } = accusation;
        let leaf = self.leaf(place)?;
        let spend = ShownBody { body: leaf.body.clone(), inclusion: leaf.inclusion.clone() };
        let body = Transaction::decode(&leaf.body).ok();
        let inputs = body.as_ref().map_or(&[][..], Transaction::inputs);
        let output_id = inputs.get(usize::from(input)).copied().unwrap_or(OutputId(B256::ZERO));
        let creation = |id| self.chain.creation(id).unwrap_or(Creation::NONE);
        Some(match kind {
            Kind::NotCanonical => FaultProof::NotCanonical { leaf },
            Kind::NotBefore => FaultProof::NotBefore { leaf, input },
            Kind::NotMade => {
                let at = SIGNATURE_LEN + 8 * usize::from(input);
                let bits =
                    leaf.witness.get(at..at + 8).map(|bits| u64::from_be_bytes(bits.try_into().expect("8 bytes")));
                FaultProof::NotMade { origin: self.origin(bits.and_then(Position::from_bits)), leaf, input }
            }
            Kind::NotDeposited => {
                let mut creation = creation(output_id);
                if let Ok(body) = Transaction::decode(&creation.fields) {
                    creation.fields = Bytes::copy_from_slice(body.hash().0.as_slice());
                }
                let creation = if nth % 4 == 0 { Creation::NONE } else { creation };
                FaultProof::NotDeposited { leaf, input, creation }
            }
            Kind::NotSigned => FaultProof::NotSigned { leaf, input, creation: creation(output_id) },
            Kind::Unbalanced => {
                FaultProof::Unbalanced { spend, creations: inputs.iter().map(|&id| creation(id)).collect() }
            }
            Kind::DoubleSpend => {
                let ShownLeaf { body, inclusion, .. } = self.leaf(other)?;
                FaultProof::DoubleSpend { spend, other: ShownBody { body, inclusion }, output_id }
            }
            Kind::Settled => FaultProof::Settled { spend, input },
            Kind::Exiting => {
                let of_coin = self.records.values().rev().find(|record| record.output_id == output_id);
                let exit = *of_coin.or_else(|| self.records.values().next())?;
                FaultProof::Exiting { spend, input, exit }
            }
            Kind::ExitingInFlight => {
                let signed = self.chain.transactions.values().filter_map(|signed| {
                    let exit = self.model.in_flight_exit(signed.tx_hash)?;
                    let is_it = |piece: &Piece| exit.coin(*piece).is_some_and(|(id, _)| id == output_id);
                    Some((signed, (0..).map_while(Piece::new).find(is_it)?))
                });
                let all: Vec<_> = signed.collect();
                let (signed, piece) = match all.get(usize::from(nth) % all.len().max(1)) {
                    Some(&(signed, piece)) => (signed, piece.number()),
                    None => (self.chain.transactions.values().next()?, nth % 40),
                };
                FaultProof::ExitingInFlight { spend, input, exit_body: signed.bytes.clone(), piece }
            }
            Kind::HeldSpent | Kind::HeldNotMade | Kind::HeldNotDeposited => return None,
        })
    }

    /// Returns the leaf at a place, modulo how many blocks and leaves there are; none if that is empty.
    pub(super) fn leaf(&self, (number, index): (u64, u32)) -> Option<ShownLeaf> {
        let blocks = self.chain.blocks.len().max(1);
        let block = self.chain.blocks.get(usize::try_from(number).ok()? % blocks)?;
        let index = index % u32::try_from(block.leaves.len().max(1)).ok()?;
        let (body, witness) = block.leaves.get(index as usize)?.preimage.clone()?;
        Some(ShownLeaf { body, witness, inclusion: block.inclusion(index)? })
    }

    /// Returns what stands where an input is placed, as far as there is such a place.
    pub(super) fn origin(&self, placement: Option<Position>) -> Origin {
        let Some(PositionKind::Output(place, _)) = placement.map(Position::kind) else { return Origin::NONE };
        let Some(block) = self.chain.block(place.block.get()) else { return Origin::NONE };
        let (header, index) = (block.header, place.index.get() as usize);
        let Some(leaf) = block.leaves.get(index) else { return Origin { header, ..Origin::NONE } };
        let origin = Origin { header, path: block.paths[index].clone(), ..Origin::NONE };
        let Some((body, witness)) = leaf.preimage.clone() else { return origin };
        Origin { tx_hash: keccak256(&body), witness_hash: keccak256(&witness), body, witness, ..origin }
    }

    fn receipt(&self, receipt: &ReceiptRef) -> Option<Function> {
        let &ReceiptRef { number, first, count, by, altered, shown, signer, with_header } = receipt;
        let block = self.chain.block(number);
        let at = |index: u32| first.saturating_add(index);
        let held: Vec<B256> = block.into_iter().flat_map(|block| &block.leaves).map(|leaf| leaf.leaf).collect();
        let leaf = |index: u32| held.get(index as usize).copied().unwrap_or_else(|| keccak256(index.to_be_bytes()));
        let promised: Vec<B256> = (0..count.min(LEAVES_MAX))
            .map(|offset| if altered == Some(at(offset)) { keccak256([1]) } else { leaf(at(offset)) })
            .collect();
        let number = BlockNumber::new(number)?;
        let receipt = Receipt { number, first, count, root: tx_tree::root(&promised), by };
        let key = key_of(signer % (OPERATOR + 1));
        let signature = Signature::sign(key, receipt.signing_hash(&self.domain));
        let offset = shown.checked_sub(first).map_or(usize::MAX, |offset| offset as usize);
        let broken = BrokenPromise {
            index: shown,
            promised: promised.get(offset).copied().unwrap_or_default(),
            promised_path: tx_tree::path(&promised, offset).unwrap_or_default(),
            held: held.get(shown as usize).copied().unwrap_or_default(),
            held_path: tx_tree::path(&held, shown as usize).unwrap_or_default(),
        };
        let header = block.filter(|_| with_header).map_or(Header::NONE, |block: &Block| block.header);
        let signature = Bytes::copy_from_slice(&signature.encode());
        Some(Function::ProveBrokenReceipt { receipt, signature, header, broken })
    }
}
