//! From a wrong unspent root to what the tree holds or lacks, and its evidence. §1.8, §3 (R8, R9).

use alloy_primitives::Bytes;

use super::evidence::{origin, shown_leaf};
use super::{BlockData, Creation, FaultProof, HeldKey, Origin, ShownBody, ShownCoin, SpentCoin};
use crate::block::Header;
use crate::exit::contract::InclusionProof;
use crate::game::Game;
use crate::ledger::Coin;
use crate::output::{Output, OutputId, TxHash};
use crate::position::{Place, Position, PositionKind};
use crate::utxo_tree::{self, UtxoTree};

/// The one coin by which a block's unspent tree is another than it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// R8: the tree holds a coin that it must not.
    Kept(HeldKey),
    /// R9: the tree lacks a coin that it must hold.
    LeftOut {
        /// The coin.
        output_id: OutputId,
        /// Where it was made.
        position: Position,
    },
}

/// Finds the one coin that explains a wrong unspent root: the header's is that of `tree`, the tree which the block should have,
/// with a coin kept that it does not hold, or one left out that it holds. O(64) hashes a candidate.
///
/// `coins` are the candidates with their names: those that the block spends, makes or covers, or any others.
pub fn difference(
    header: &Header,
    tree: &UtxoTree,
    coins: impl IntoIterator<Item = (OutputId, Coin)>,
) -> Option<Difference> {
    coins.into_iter().find_map(|(output_id, Coin { position, output, .. })| {
        let value = utxo_tree::value(output_id, &output);
        let is_in_it = tree.get(position).is_some();
        let other = tree.updated([(position, (!is_in_it).then_some(value))]);
        if other.root() != header.utxo_root {
            return None;
        }
        Some(match other.prove(position) {
            None => Difference::LeftOut { output_id, position },
            Some(proof) => {
                let proof = proof.encode().into();
                Difference::Kept(HeldKey { header: *header, position: position.bits(), value, proof })
            }
        })
    })
}

/// Returns the evidence that a block's unspent tree must not hold what it holds; `None` if it must, or if the data that it takes
/// are not at hand. R8.
///
/// `spender` tells where a coin is spent; spends after the block do not count.
pub fn held_evidence(
    held: HeldKey,
    data: &impl BlockData,
    game: &Game,
    spender: impl FnOnce(OutputId) -> Option<Place>,
) -> Option<FaultProof> {
    let Header { number, deposit_count, .. } = held.header;
    let (output_id, output) = match Position::from_bits(held.position).map(Position::kind) {
        None => return Some(FaultProof::HeldNotDeposited { held, creation: Creation::NONE }),
        Some(PositionKind::Deposit(nonce)) if nonce >= deposit_count => {
            return Some(FaultProof::HeldNotDeposited { held, creation: Creation::NONE });
        }
        Some(PositionKind::Deposit(nonce)) => {
            let deposit = game.deposits(nonce, nonce + 1).next()?;
            let (output_id, output) = (deposit.output_id(), deposit.output);
            if utxo_tree::value(output_id, &output) != held.value {
                let fields = Bytes::copy_from_slice(&output.deposit_fields());
                return Some(FaultProof::HeldNotDeposited { held, creation: Creation { fields, index: nonce } });
            }
            (output_id, output)
        }
        Some(PositionKind::Output(place, _)) if place.block > number => {
            return Some(FaultProof::HeldNotMade { held, origin: Origin::NONE });
        }
        Some(PositionKind::Output(place, index)) => {
            let origin = origin(place, data)?;
            let output_id = OutputId::of_output(TxHash(origin.tx_hash), index);
            let made = origin.output(index).ok().flatten();
            match made.filter(|output| utxo_tree::value(output_id, output) == held.value) {
                None => return Some(FaultProof::HeldNotMade { held, origin }),
                Some(output) => (output_id, output),
            }
        }
    };
    let place = spender(output_id).filter(|place| place.block <= number)?;
    Some(FaultProof::HeldSpent { held, spent: spent_coin(output_id, &output, place, data)? })
}

/// Returns what shows a coin with its spend at a place; `None` if the data are not at hand. R8, R9.
#[must_use]
pub fn spent_coin(output_id: OutputId, output: &Output, place: Place, data: &impl BlockData) -> Option<SpentCoin> {
    let output = Bytes::copy_from_slice(&output.encode());
    Some(SpentCoin { output_id, output, spend: shown_body(place, data)? })
}

/// Returns what shows a coin by its making, for a claim that a tree lacks it or for its withdrawal; `None` if the data are not
/// at hand. R9, §8.
#[must_use]
pub fn shown_coin(output_id: OutputId, position: Position, data: &impl BlockData) -> Option<ShownCoin> {
    let creation = data.creation(output_id)?;
    let inclusion = match position.kind() {
        PositionKind::Deposit(_) => InclusionProof::NONE,
        PositionKind::Output(place, _) => shown_body(place, data)?.inclusion,
    };
    Some(ShownCoin { creation, inclusion })
}

fn shown_body(place: Place, data: &impl BlockData) -> Option<ShownBody> {
    shown_leaf(place, data).map(|leaf| ShownBody { body: leaf.body, inclusion: leaf.inclusion })
}
