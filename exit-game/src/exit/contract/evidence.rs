//! What callers show: inclusions, signed spends, and what made an input. §1.5, §1.7, §6.1.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, Bytes};

use super::{Contract, Revert};
use crate::block::Header;
use crate::exit::in_flight::{InputData, SignedTransaction};
use crate::exit::standard::Standing;
use crate::output::{Deposit, Output, OutputId, TxHash};
use crate::position::{BlockNumber, Place, Position, PositionKind, TxIndex};
use crate::signature::Signature;
use crate::transaction::Transaction;
use crate::tx_tree;

/// Proof that a block includes a transaction whose body is given beside it. §1.7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InclusionProof {
    /// The block's header.
    pub header: Header,
    /// The transaction's index in the block.
    pub index: u32,
    /// Hash of the transaction's witness.
    pub witness_hash: B256,
    /// Siblings from the leaf up, exactly as many as the tree is deep.
    pub path: Vec<B256>,
}

impl InclusionProof {
    /// What stands where no inclusion is shown: its block number is zero, which no block has.
    pub const NONE: Self = Self { header: Header::NONE, index: 0, witness_hash: B256::ZERO, path: Vec::new() };

    /// Returns where the proof shows the transaction in the block that has its header. §1.7.
    pub(crate) fn place(&self, tx_hash: TxHash) -> Result<Place, Revert> {
        let Self { header, index, witness_hash, path } = self;
        let (number, leaf) = (header.number, tx_tree::leaf(tx_hash, *witness_hash));
        let root = tx_tree::root_of_path(leaf, *index, header.tx_count, path);
        let included = TxIndex::new(*index).filter(|_| root == Some(header.tx_root));
        included.map(|index| Place { block: number, index }).ok_or(Revert::NotIncluded { number, index: *index })
    }
}

/// Proof of what made an input of an in-flight exit, and where. §6.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InputProof {
    /// The 64 bits of the input's placement.
    pub position: u64,
    /// The body that made it; a deposit's owner, asset and amount, 56 bytes.
    pub creation: Bytes,
    /// That body's inclusion; not read for a deposit.
    pub inclusion: InclusionProof,
}

/// A transaction shown against an in-flight exit. §6.3, §6.5.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spend {
    /// Its body.
    pub body: Bytes,
    /// Its inputs' owner's signature, 64 bytes.
    pub signature: Bytes,
    /// Inclusion of this transaction, or of the exit's own, as each call says.
    pub inclusion: InclusionProof,
}

impl Contract {
    /// Returns where a proof shows the transaction: in a committed block that is not void. §1.7, §3.
    pub(super) fn included_place(&self, tx_hash: TxHash, proof: &InclusionProof) -> Result<Place, Revert> {
        let number = self.committed_number(&proof.header)?;
        self.check_not_void(number)?;
        proof.place(tx_hash)
    }

    /// Returns where a competitor is included, `None` if no block is shown, or a void one. §6.3.
    pub(super) fn place_of_competitor(&self, tx_hash: TxHash, proof: &InclusionProof) -> Result<Option<Place>, Revert> {
        if proof.header.number == BlockNumber::ZERO {
            return Ok(None);
        }
        let number = self.committed_number(&proof.header)?;
        let place = proof.place(tx_hash)?;
        Ok((!self.is_void(number)).then_some(place))
    }

    /// Returns where a body stands in a committed block. §1.7.
    pub(super) fn committed_place(&self, tx_hash: TxHash, proof: &InclusionProof) -> Result<Place, Revert> {
        self.committed_number(&proof.header)?;
        proof.place(tx_hash)
    }

    /// Returns the number of a header that is that of a committed block. §1.9.
    pub(super) fn committed_number(&self, header: &Header) -> Result<BlockNumber, Revert> {
        let (number, commitment) = (header.number, header.commitment());
        if self.commitment(number) == Some(commitment) { Ok(number) } else { Err(Revert::UnknownHeader { number }) }
    }

    /// Returns a transaction that spends the coin with its owner's signature. §5.2.
    pub(super) fn signed_spend(
        &self,
        output_id: OutputId,
        owner: Address,
        body: &[u8],
        signature: &[u8],
    ) -> Result<SignedTransaction, Revert> {
        let spend = Transaction::decode(body).ok().filter(|spend| spend.inputs().contains(&output_id));
        let signed = spend.and_then(|spend| self.signed_by(owner, spend, signature));
        signed.ok_or(Revert::NotASpend { output_id })
    }

    /// Returns the transaction with its signature, `None` if that is not `owner`'s. §1.6.
    pub(super) fn signed_by(&self, owner: Address, body: Transaction, signature: &[u8]) -> Option<SignedTransaction> {
        let signature = Signature::decode(signature.try_into().ok()?).ok()?;
        let signer = signature.recover(body.signing_hash(&self.domain))?;
        (signer == owner).then_some(SignedTransaction { body, signature })
    }

    /// Returns an input whose creation is proven, and its owner. §6.1.
    pub(super) fn proven_input(&self, output_id: OutputId, proof: &InputProof) -> Result<(InputData, Address), Revert> {
        let InputProof { position: bits, creation, inclusion } = proof;
        let not_the_input = Revert::NotTheInput { output_id, position: *bits };
        let position = Position::from_bits(*bits);
        let (position, created_at, output) = match position.map(|position| (position, position.kind())) {
            // A deposit's position with bits that §1.1 leaves zero is still asked for a deposit's fields.
            None => return Err(deposited(creation).map_or(Revert::NotCanonical, |_| not_the_input)),
            Some((position, PositionKind::Deposit(nonce))) => {
                let output = deposited(creation).ok_or(Revert::NotCanonical)?;
                let was_taken = match self.coin(output_id).standing() {
                    Standing::Unknown => false,
                    Standing::Deposited | Standing::Settled { .. } => true,
                };
                if !was_taken || (Deposit { nonce, output }).output_id() != output_id {
                    return Err(not_the_input);
                }
                (position, 0, output)
            }
            Some((position, PositionKind::Output(place, output_index))) => {
                let creation = Transaction::decode(creation).map_err(|_| Revert::NotCanonical)?;
                let output = creation.outputs().get(usize::from(output_index));
                let output = *output.ok_or(Revert::NoSuchOutput { output_index })?;
                let tx_hash = creation.hash();
                let shown = self.included_place(tx_hash, inclusion)?;
                if shown != place || OutputId::of_output(tx_hash, output_index) != output_id {
                    return Err(not_the_input);
                }
                (position, inclusion.header.timestamp, output)
            }
        };
        let Output { owner, asset, amount } = output;
        Ok((InputData { output_id, position, created_at, asset, amount }, owner))
    }
}

/// Reads the fields by which a deposit is shown.
fn deposited(fields: &[u8]) -> Option<Output> {
    fields.try_into().ok().map(Output::from_deposit_fields)
}
