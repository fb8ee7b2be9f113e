//! Facts of a watcher, and of an operator that starts again: committed blocks that are checked, applied and taken back.

use plasmid_exit_game::block::Header;
use plasmid_exit_game::ledger::{BlockVerdict, Leaf};
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::BlockNumber;

use super::block::{Block, Content, Stage};
use super::{ApplyBlockError, BlockCheck, BodyError, Chain, index_of, placed};
use crate::wire::Verdict;

impl Chain {
    /// Checks the next block, which the root chain has committed, and applies it to the local chain if it is valid.
    ///
    /// `leaves` are all its leaves; the caller has compared their tree with the header's root, and keeps the body in the
    /// archive ([`Self::archived`]) or leaves it in memory. Any verdict but valid is the caller's to record
    /// ([`Self::set_verdict`]): it depends on what else was served.
    ///
    /// # Errors
    ///
    /// [`ApplyBlockError`] if it is not the next block, not the one committed, or has another number of leaves.
    pub fn apply_block(&mut self, header: &Header, leaves: Vec<Leaf>) -> Result<BlockCheck, ApplyBlockError> {
        let (number, last) = (header.number, self.last_local_block());
        if last.next() != Some(number) {
            return Err(ApplyBlockError::NotNext { number, last });
        }
        // The last block may still be open or unsealed.
        let Some(tree) = self.tree_before(self.blocks.len()).cloned() else {
            return Err(ApplyBlockError::NotNext { number, last });
        };
        if self.game.header(number).map(|(committed, _)| committed) != Some(header) {
            return Err(ApplyBlockError::NotCommitted { number });
        }
        if leaves.len() != header.tx_count as usize {
            return Err(ApplyBlockError::LeafCount { number, leaves: leaves.len(), tx_count: header.tx_count });
        }
        let covered: Vec<Deposit> =
            self.game.deposits(self.local_deposit_count(), header.deposit_count).copied().collect();
        let verdict = self.ledger.apply_block(header, &leaves, &covered, &tree, |id| self.game.freeze_of(id));
        let tree = match verdict {
            BlockVerdict::Valid { tree } => tree,
            BlockVerdict::Invalid { index, fault } => return Ok(BlockCheck::Invalid { index, fault }),
            BlockVerdict::WrongUnspentRoot { computed } => return Ok(BlockCheck::WrongUnspentRoot { computed }),
        };
        covered.iter().for_each(|deposit| self.coins.cover(deposit));
        for (place, recovered) in placed(number, &leaves) {
            self.index(place, recovered);
        }
        self.blocks.push(Block::applied(header, leaves, covered, tree));
        self.verdicts.remove(&number);
        self.prune();
        Ok(BlockCheck::Valid)
    }

    /// Takes back the last local block and returns its number, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if its body is needed and cannot be read from the archive; nothing has changed.
    pub fn revert_block(&mut self) -> Result<Option<BlockNumber>, BodyError> {
        let number = self.last_local_block();
        let Some(block) = self.blocks.last() else { return Ok(None) };
        let leaves = block.leaves(number, &self.archive)?;
        let block = self.blocks.pop().expect("looked at above");
        let transactions: Vec<_> = placed(number, &leaves).collect();
        for (place, recovered) in transactions.into_iter().rev() {
            self.unindex(place, recovered);
            self.ledger.revert_transaction(recovered);
        }
        for deposit in &block.covered {
            self.ledger.uncover(deposit);
            let is_on_root_chain = self.game.deposits(deposit.nonce, self.game.deposit_count()).next() == Some(deposit);
            self.coins.uncover(deposit);
            if !is_on_root_chain {
                self.coins.withdraw(deposit);
            }
        }
        self.pruned = self.pruned.min(self.blocks.len());
        Ok(Some(number))
    }

    /// Records what a watcher found of a block that it cannot apply. A block that is applied is valid.
    pub fn set_verdict(&mut self, number: BlockNumber, verdict: Verdict) {
        if number > self.last_local_block() {
            self.verdicts.insert(number, verdict);
        }
    }

    /// Notes that the archive has the block's body, which leaves memory if it is committed.
    ///
    /// An operator archives final blocks only: what may still be dropped stays in memory, or comes back to it
    /// ([`Self::recall_uncommitted`]).
    pub fn archived(&mut self, number: BlockNumber) {
        if number <= self.game.last_block()
            && let Some(block) = index_of(number).and_then(|index| self.blocks.get_mut(index))
            && matches!(block.stage, Stage::Sealed(_))
        {
            block.content = Content::Archived;
        }
    }
}
