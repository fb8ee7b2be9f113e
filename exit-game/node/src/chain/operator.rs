//! Facts of an operator: what it covers, accepts, closes, seals and drops, ahead of the root chain.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use plasmid_exit_game::ledger::{Leaf, RecoveredTransaction};
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};

use super::block::{Block, Content, Stage};
use super::{
    AcceptError, BodyError, Chain, CoverError, DropError, Dropped, Sealed, Unsealed, index_of, number_at, placed,
};

impl Chain {
    /// Opens the next block if none is open, and returns the number of the open one.
    pub fn open_block(&mut self) -> BlockNumber {
        if !self.blocks.last().is_some_and(Block::is_open) {
            self.blocks.push(Block::open(self.local_deposit_count()));
        }
        self.last_local_block()
    }

    /// Returns where the next accepted transaction goes: `None` if no block is open or the open one is full.
    #[must_use]
    pub fn next_place(&self) -> Option<Place> {
        let open = self.blocks.last().filter(|block| block.is_open())?;
        let index = TxIndex::new(u32::try_from(open.hashes.len()).ok()?)?;
        Some(Place { block: self.last_local_block(), index })
    }

    /// Lets the open block cover the deposits with nonces below `deposit_count`, if it does not cover more already.
    ///
    /// # Errors
    ///
    /// [`CoverError`] if no block is open or there are not so many deposits; nothing has changed.
    pub fn cover_deposits(&mut self, deposit_count: u64) -> Result<(), CoverError> {
        let open = self.blocks.last_mut().filter(|block| block.is_open()).ok_or(CoverError::NoOpenBlock)?;
        let existing = self.game.deposit_count();
        if deposit_count > existing {
            return Err(CoverError::NoSuchDeposits { deposit_count, existing });
        }
        for deposit in self.game.deposits(open.deposit_count, deposit_count) {
            self.ledger.cover(deposit);
            self.coins.cover(deposit);
            open.covered.push(*deposit);
        }
        open.deposit_count = open.deposit_count.max(deposit_count);
        Ok(())
    }

    /// Checks R2 to R6 for a transaction at `place`, which is [`Self::next_place`], and applies it there.
    ///
    /// Whether its inputs may be spent at all (§3.1) is the caller's question to [`Game::is_spendable`](plasmid_exit_game::game::Game::is_spendable). A transaction that
    /// was dropped is accepted like a new one.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]; nothing has changed.
    pub fn accept(&mut self, place: Place, recovered: RecoveredTransaction) -> Result<(), AcceptError> {
        if self.next_place() != Some(place) {
            return Err(AcceptError::NotNext { place });
        }
        self.ledger.check_transaction(place, &recovered)?;
        self.ledger.apply_transaction(place, &recovered);
        self.index(place, &recovered);
        let open = self.blocks.last_mut().expect("the next place is in an open block");
        open.hashes.push(Some(recovered.hash));
        open.tx_total += 1;
        open.leaves_mut().expect("an open block is in memory").push(Leaf::Transaction(recovered));
        Ok(())
    }

    /// Closes the open block and returns its number, or `None` if none is open. Its roots are still to be computed:
    /// [`Self::next_unsealed`].
    pub fn close_block(&mut self) -> Option<BlockNumber> {
        let open = self.blocks.last_mut().filter(|block| block.is_open())?;
        open.stage = Stage::Closed;
        Some(self.last_local_block())
    }

    /// Returns the first closed block without roots, as a value whose roots are computed without the lock.
    #[must_use]
    pub fn next_unsealed(&self) -> Option<Unsealed> {
        // Blocks are sealed in order: what is not is at the end.
        let index = self.sealed_len();
        let block = self.blocks.get(index).filter(|block| matches!(block.stage, Stage::Closed))?;
        let Content::Memory(leaves) = &block.content else { return None };
        let before = self.tree_before(index)?.clone();
        Some(Unsealed { number: number_at(index), leaves: leaves.clone(), covered: block.covered.clone(), before })
    }

    /// Takes in a block's roots and returns whether they still are the block's: not if a transaction was dropped since.
    pub fn seal(&mut self, sealed: Sealed) -> bool {
        let Sealed { number, leaves, before, roots, tree } = sealed;
        let Some(index) = index_of(number) else { return false };
        if self.tree_before(index).is_none_or(|tree| tree.root() != before) {
            return false;
        }
        let Some(block) = self.blocks.get_mut(index).filter(|block| matches!(block.stage, Stage::Closed)) else {
            return false;
        };
        // A drop copies the leaves that a seal in the making holds on to.
        if !matches!(&block.content, Content::Memory(current) if Arc::ptr_eq(current, &leaves)) {
            return false;
        }
        (block.stage, block.tree) = (Stage::Sealed(roots), Some(tree));
        self.prune();
        true
    }

    /// Notes that the blocks up to `number` have been sent to the root chain; with a smaller number, that later ones have
    /// not.
    pub fn set_submitted(&mut self, number: BlockNumber) {
        self.submitted = number;
    }

    /// Takes archived blocks back into memory that are committed no more, after a reorganisation deeper than finality: an
    /// operator submits them again, and may have to drop from them.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if the archive cannot give one; it, and those after it, stay there.
    pub fn recall_uncommitted(&mut self) -> Result<(), BodyError> {
        let committed = usize::try_from(self.game.last_block().get()).unwrap_or(usize::MAX);
        for (index, block) in self.blocks.iter_mut().enumerate().skip(committed) {
            block.content = Content::Memory(block.leaves(number_at(index), &self.archive)?);
        }
        Ok(())
    }

    /// Drops the transactions `hashes` and all their descendants (§3.1): empty leaves take their places, the ledger is as if
    /// they had never been accepted, and the blocks concerned are to be sealed again. Returns what was dropped, in order.
    ///
    /// # Errors
    ///
    /// [`DropError`] if one of them is unknown or its block is committed or archived; nothing has changed.
    pub fn drop_transactions(&mut self, hashes: &[TxHash]) -> Result<Vec<(TxHash, Place)>, DropError> {
        let mut doomed = BTreeSet::new();
        for &tx_hash in hashes {
            doomed.insert(*self.places.get(&tx_hash).ok_or(DropError::Unknown { tx_hash })?);
        }
        let Some(first) = doomed.first().map(|place| place.block) else { return Ok(Vec::new()) };
        // An operator that replays its log finds blocks committed from which it has yet to drop: they do not agree.
        if self.agrees(first) {
            return Err(DropError::Committed { block: first });
        }
        let first_index = index_of(first).expect("a transaction's block is not 0");
        let dropped = self.with_descendants(first_index, &doomed)?;
        for &(_, place) in dropped.iter().rev() {
            self.drop_transaction(place);
        }
        for block in &mut self.blocks[first_index..] {
            block.unseal();
        }
        self.submitted = self.submitted.min(number_at(first_index).previous().expect("a transaction's block is not 0"));
        Ok(dropped)
    }

    /// Returns the transactions at `doomed` and all that spend their coins, in order, from the block at `first_index` on.
    fn with_descendants(
        &self,
        first_index: usize,
        doomed: &BTreeSet<Place>,
    ) -> Result<Vec<(TxHash, Place)>, DropError> {
        let mut found = Vec::new();
        let mut gone = HashSet::new();
        for (index, block) in self.blocks.iter().enumerate().skip(first_index) {
            let number = number_at(index);
            let Content::Memory(leaves) = &block.content else { return Err(DropError::Committed { block: number }) };
            for (place, recovered) in placed(number, leaves) {
                let inputs = recovered.transaction.body.inputs();
                if doomed.contains(&place) || inputs.iter().any(|input| gone.contains(input)) {
                    gone.extend(recovered.output_ids());
                    found.push((recovered.hash, place));
                }
            }
        }
        Ok(found)
    }

    /// Takes one transaction out whose coins nobody spends; its block is in memory.
    fn drop_transaction(&mut self, place: Place) {
        let Some(block) = index_of(place.block).and_then(|index| self.blocks.get_mut(index)) else { return };
        let index = place.index.get() as usize;
        let Some(leaf) = block.leaves_mut().and_then(|leaves| leaves.get_mut(index)) else { return };
        let Leaf::Transaction(recovered) = std::mem::replace(leaf, Leaf::Empty) else { return };
        block.hashes[index] = None;
        block.tx_total -= 1;
        for id in recovered.output_ids() {
            if let Some(coin) = self.ledger.coin(id) {
                self.coins.drop_coin(id, coin);
            }
        }
        self.unindex(place, &recovered);
        self.ledger.revert_transaction(&recovered);
        self.dropped.insert(recovered.hash, Dropped { place, transaction: recovered.transaction });
    }
}
