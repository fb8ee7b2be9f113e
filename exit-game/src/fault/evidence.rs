//! From a fault that the ledger found to its complete evidence. §3.

use alloc::vec::Vec;

use alloy_primitives::{B256, Bytes, keccak256};

use super::{Creation, Fault, FaultProof, Origin, ShownBody, ShownLeaf};
use crate::block::{BodyItem, Header};
use crate::exit::contract::InclusionProof;
use crate::exit::in_flight::Piece;
use crate::game::{CoinExit, Game, PendingExit};
use crate::output::OutputId;
use crate::position::{BlockNumber, Place, PositionKind};
use crate::transaction::{PlacedTransaction, Transaction};
use crate::tx_tree;

/// The data of committed blocks and deposits from which evidence is made.
pub trait BlockData {
    /// Returns the header of a committed block.
    fn header(&self, number: BlockNumber) -> Option<Header>;
    /// Returns all leaves of a block as they were served, each with its preimage if that is at hand.
    fn items(&self, number: BlockNumber) -> Option<Vec<LeafData>>;
    /// Returns what made a coin: the deposit with this id, or a transaction of any block that is at hand.
    fn creation(&self, output_id: OutputId) -> Option<Creation>;
}

/// A leaf with its preimage, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafData {
    /// The leaf.
    pub leaf: B256,
    /// Body and witness; `None` for an empty leaf and where they are not at hand.
    pub preimage: Option<(Bytes, Bytes)>,
}

impl From<&BodyItem<'_>> for LeafData {
    fn from(item: &BodyItem<'_>) -> Self {
        let preimage = match item {
            BodyItem::Empty | BodyItem::Opaque(_) => None,
            BodyItem::Preimage { body, witness } => {
                Some((Bytes::copy_from_slice(body), Bytes::copy_from_slice(witness)))
            }
        };
        Self { leaf: item.leaf(), preimage }
    }
}

/// Returns the complete evidence of `fault`, which the ledger found in the transaction at `place`; `None` if the data that it
/// takes are not at hand. §3.
///
/// `game` tells what froze the coin where R7 is broken.
pub fn evidence(place: Place, fault: &Fault, data: &impl BlockData, game: &Game) -> Option<FaultProof> {
    let leaf = || shown_leaf(place, data);
    let spend = || leaf().map(|leaf| ShownBody { body: leaf.body, inclusion: leaf.inclusion });
    let input_of = |input: &usize| u8::try_from(*input).ok();
    Some(match fault {
        Fault::NotCanonical(_) => FaultProof::NotCanonical { leaf: leaf()? },
        Fault::NotBefore { input, .. } => FaultProof::NotBefore { leaf: leaf()?, input: input_of(input)? },
        Fault::NoSuchInput { input, output_id, placement } => {
            let (leaf, input) = (leaf()?, input_of(input)?);
            match placement.kind() {
                PositionKind::Deposit(nonce) => {
                    let creation = not_deposited(*output_id, nonce, data)?;
                    FaultProof::NotDeposited { leaf, input, creation }
                }
                // The ledger knows the blocks before, so it was made nowhere else under this placement.
                PositionKind::Output(place, _) => FaultProof::NotMade { leaf, input, origin: origin(place, data)? },
            }
        }
        Fault::NotSignedByOwner { input, .. } => {
            let leaf = leaf()?;
            let output_id = *Transaction::decode(&leaf.body).ok()?.inputs().get(*input)?;
            let creation = data.creation(output_id)?;
            FaultProof::NotSigned { leaf, input: input_of(input)?, creation }
        }
        Fault::Unbalanced { .. } => {
            let spend = spend()?;
            let inputs = Transaction::decode(&spend.body).ok()?;
            let creations = inputs.inputs().iter().map(|&output_id| data.creation(output_id));
            FaultProof::Unbalanced { creations: creations.collect::<Option<_>>()?, spend }
        }
        Fault::DoubleSpend { output_id, first, .. } => {
            let ShownLeaf { body, inclusion, .. } = shown_leaf(*first, data)?;
            FaultProof::DoubleSpend { spend: spend()?, other: ShownBody { body, inclusion }, output_id: *output_id }
        }
        Fault::Frozen { input, output_id, .. } => frozen(spend()?, input_of(input)?, *output_id, game)?,
    })
}

pub(super) fn shown_leaf(place: Place, data: &impl BlockData) -> Option<ShownLeaf> {
    let header = data.header(place.block)?;
    let items = data.items(place.block)?;
    let index = place.index.get();
    let (body, witness) = items.get(index as usize)?.preimage.clone()?;
    let path = path_of(&items, index)?;
    let inclusion = InclusionProof { header, index, witness_hash: keccak256(&witness), path };
    Some(ShownLeaf { body, witness, inclusion })
}

fn path_of(items: &[LeafData], index: u32) -> Option<Vec<B256>> {
    let leaves: Vec<_> = items.iter().map(|item| item.leaf).collect();
    tx_tree::path(&leaves, index as usize)
}

/// Returns what stands at a place of the child chain.
pub(super) fn origin(place: Place, data: &impl BlockData) -> Option<Origin> {
    if place.block == BlockNumber::ZERO {
        return Some(Origin::NONE);
    }
    let (header, index) = (data.header(place.block)?, place.index.get());
    if index >= header.tx_count {
        return Some(Origin { header, ..Origin::NONE });
    }
    let items = data.items(place.block)?;
    let item = items.get(index as usize)?;
    let origin = Origin { header, path: path_of(&items, index)?, ..Origin::NONE };
    if item.leaf == tx_tree::EMPTY_LEAF {
        return Some(origin);
    }
    let (body, witness) = item.preimage.clone()?;
    Some(Origin { tx_hash: keccak256(&body), witness_hash: keccak256(&witness), body, witness, ..origin })
}

/// Returns what shows that a coin is not the deposit with this nonce: what made it, if something else did.
fn not_deposited(output_id: OutputId, nonce: u64, data: &impl BlockData) -> Option<Creation> {
    let Some(creation) = data.creation(output_id) else { return Some(Creation::NONE) };
    match Transaction::decode(&creation.fields) {
        Ok(body) => Some(Creation { fields: Bytes::copy_from_slice(body.hash().0.as_slice()), index: creation.index }),
        Err(_) if creation.index != nonce => Some(creation),
        // The very deposit, which the block does not cover yet.
        Err(_) => Some(Creation::NONE),
    }
}

/// Returns the evidence that an input of `spend` was frozen before its block, whichever exit froze it: the exits as they
/// stand, of which others may bind than when the ledger asked.
fn frozen(spend: ShownBody, input: u8, output_id: OutputId, game: &Game) -> Option<FaultProof> {
    let (periods, timestamp) = (game.periods(), spend.inclusion.header.timestamp);
    match game.exit(output_id) {
        Some(CoinExit::Settled { freeze } | CoinExit::Pending(PendingExit { settled: Some(freeze), .. })) => {
            return (*freeze < timestamp).then_some(FaultProof::Settled { spend, input });
        }
        Some(CoinExit::Pending(PendingExit { record, .. }))
            if periods.freeze_of_standard_exit(record.key) < timestamp =>
        {
            return Some(FaultProof::Exiting { spend, input, exit: *record });
        }
        Some(CoinExit::Pending(_) | CoinExit::Freed { .. }) | None => {}
    }
    let as_input =
        game.in_flight_exits_of_input(output_id).map(|exit| (exit, periods.freeze_of_in_flight_input(exit.start)));
    let as_output =
        game.in_flight_exit_of_output(output_id).map(|exit| (exit, periods.freeze_of_in_flight_output(exit.key)));
    let (exit, _) = as_input.chain(as_output).find(|&(_, freeze)| freeze < timestamp)?;
    let piece = (0..).map_while(Piece::new).find(|&piece| exit.coin(piece).is_some_and(|(id, _)| id == output_id))?;
    let exit_body = exit.transaction.body.encode().into();
    Some(FaultProof::ExitingInFlight { spend, input, exit_body, piece: piece.number() })
}

/// Returns the evidence that one of two transactions is a double spend, as calls on the root chain have shown them; `None` if
/// they share no coin or are one place of one transaction. R6.
#[must_use]
pub fn double_spend(spend: ShownBody, other: ShownBody) -> Option<FaultProof> {
    let place = |shown: &ShownBody| (shown.inclusion.header.number, shown.inclusion.index);
    if place(&spend) == place(&other) {
        return None;
    }
    let (body, other_body) = (Transaction::decode(&spend.body).ok()?, Transaction::decode(&other.body).ok()?);
    let output_id = *body.inputs().iter().find(|id| other_body.inputs().contains(id))?;
    Some(FaultProof::DoubleSpend { spend, other, output_id })
}

impl Creation {
    /// Returns what shows output `index` of a transaction.
    #[must_use]
    pub fn of_output(transaction: &PlacedTransaction, index: u8) -> Self {
        Self { fields: transaction.body.encode().into(), index: u64::from(index) }
    }
}
