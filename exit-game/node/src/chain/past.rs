//! The unspent tree as it was after any block of the chain. §1.8.

use plasmid_exit_game::ledger::exists_by;
use plasmid_exit_game::output::{Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::utxo_tree::{self, UtxoTree};

use super::{Chain, index_of, number_at};

/// An unspent tree of the past: taken under the chain's lock, made without it.
#[derive(Debug, Clone)]
pub struct PastTree {
    /// A tree that is kept, of the block itself or a later one.
    kept: UtxoTree,
    /// What the blocks between changed: coins that were spent, and those that were made (`None`).
    undone: Vec<(Position, Option<(OutputId, Output)>)>,
}

impl PastTree {
    /// Returns the tree: the one that is kept, with what the blocks between changed undone.
    #[must_use]
    pub fn restore(self) -> UtxoTree {
        let value = |(output_id, output): (OutputId, Output)| utxo_tree::value(output_id, &output);
        self.kept.updated(self.undone.into_iter().map(|(position, coin)| (position, coin.map(value))))
    }
}

impl Chain {
    /// Returns the unspent tree after a committed block that this service holds for valid, however old it is; the empty one for
    /// block 0.
    #[must_use]
    pub fn past_tree(&self, number: BlockNumber) -> Option<PastTree> {
        if number == BlockNumber::ZERO {
            return Some(PastTree { kept: self.empty_tree.clone(), undone: Vec::new() });
        }
        let block = self.local(number).filter(|_| self.agrees(number))?;
        let kept_at = index_of(number)?.max(self.pruned);
        let kept = self.blocks.get(kept_at)?;
        let (until, kept_count) = (number_at(kept_at), kept.deposit_count);
        let undone = self.ledger.coins().filter_map(|(output_id, coin)| {
            let was_spent_later = coin.spender.is_some_and(|place| place.block > number && place.block <= until);
            if exists_by(coin.position, number, block.deposit_count) {
                was_spent_later.then_some((coin.position, Some((output_id, coin.output))))
            } else {
                exists_by(coin.position, until, kept_count).then_some((coin.position, None))
            }
        });
        Some(PastTree { undone: if until == number { Vec::new() } else { undone.collect() }, kept: kept.tree.clone()? })
    }
}
