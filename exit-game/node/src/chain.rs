//! The child chain as one service knows it: the root chain's facts, the ledger, blocks, trees, bodies, and who owns what.
//!
//! Both services' state of record in memory. Facts change it, through few methods named after them; everything else is a
//! look-up, and returns what goes over HTTP. It knows no clock, no socket and no key. A service shares it as
//! [`SharedChain`]; what is slow (roots, bodies, proofs) is taken out under the lock as a value ([`Unsealed`], [`Body`]) and
//! done without it.
//!
//! The *local* chain is every block from 1 on that this service holds: an operator's run ahead of the root chain (the last
//! one open), a watcher's are the committed ones that it found valid.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::facts::{RootBlock, RootRef};
use plasmid_exit_game::game::{Game, GameError};
use plasmid_exit_game::ledger::{Leaf, Ledger, RecoveredTransaction};
use plasmid_exit_game::output::{Deposit, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::utxo_tree::UtxoTree;

use self::block::{Block, Content, Stage};
use self::coin_index::CoinIndex;
use crate::archive::Archive;
use crate::wire::Verdict;

mod block;
mod body;
mod coin_index;
mod operator;
mod outcome;
mod past;
mod seal;
mod view;
mod watcher;

pub use body::{Body, BodyError};
pub use outcome::{AcceptError, ApplyBlockError, BlockCheck, CoverError, DropError, SealedBlock};
pub use past::PastTree;
pub use seal::{Sealed, Unsealed};
pub use view::{CursorError, PAGE_LEN_MAX, StoredTransaction, UnspentLookupError};

/// A chain that a service's tasks share.
pub type SharedChain = Arc<RwLock<Chain>>;

/// How many root blocks can be disconnected: more than the greatest finality depth, 128.
pub const ROOT_UNDO_MAX: usize = 1_024;
/// Of how many blocks the unspent trees are kept, apart from those not yet committed.
pub const TREES_KEPT: usize = 1_024;

/// The child chain as one service knows it.
#[derive(Debug)]
pub struct Chain {
    game: Game,
    ledger: Ledger,
    archive: Archive,
    finality_depth: u64,
    /// By number − 1.
    blocks: Vec<Block>,
    /// Blocks up to this one have been sent to the root chain.
    submitted: BlockNumber,
    /// Of every transaction in `blocks`.
    places: HashMap<TxHash, Place>,
    dropped: HashMap<TxHash, Dropped>,
    coins: CoinIndex,
    /// Of blocks that are not in `blocks`.
    verdicts: BTreeMap<BlockNumber, Verdict>,
    /// So many blocks, from the first on, have lost their trees.
    pruned: usize,
    /// The unspent tree before block 1.
    empty_tree: UtxoTree,
}

/// A transaction that was dropped.
#[derive(Debug)]
struct Dropped {
    /// Where it stood.
    place: Place,
    transaction: PlacedTransaction,
}

impl Chain {
    /// Returns the state before the first root block of a deployment with these periods.
    ///
    /// `finality_depth` is how many root blocks stand on one that counts as final, at most 128; `archive` holds the bodies
    /// of blocks that [`Self::archived`] names.
    #[must_use]
    pub fn new(periods: Periods, finality_depth: u64, archive: Archive) -> Self {
        Self {
            game: Game::new(periods, ROOT_UNDO_MAX),
            ledger: Ledger::default(),
            archive,
            finality_depth,
            blocks: Vec::new(),
            submitted: BlockNumber::ZERO,
            places: HashMap::new(),
            dropped: HashMap::new(),
            coins: CoinIndex::default(),
            verdicts: BTreeMap::new(),
            pruned: 0,
            empty_tree: UtxoTree::default(),
        }
    }

    // Facts of the root chain.

    /// Takes in the next root block: deposits become pending coins, submitted blocks committed, exits take their course.
    ///
    /// A committed block need not be the local one of that number: see [`Self::disagreement`].
    ///
    /// # Errors
    ///
    /// [`GameError`] if the events contradict what came before; nothing has changed.
    pub fn connect_root_block(&mut self, block: &RootBlock) -> Result<(), GameError> {
        let deposits_before = self.game.deposit_count();
        self.game.connect_block(block)?;
        for deposit in self.game.deposits(deposits_before, self.game.deposit_count()) {
            // One that a reorganisation brings back may be covered already.
            if self.ledger.coin(deposit.output_id()).is_none() {
                self.coins.announce(deposit);
            }
        }
        self.prune();
        Ok(())
    }

    /// Takes back the last root block and returns its name, or `None` if it cannot be undone any more.
    ///
    /// The local chain stays as it is. An operator's blocks are merely uncommitted again; a watcher reverts those that the
    /// root chain has no more ([`Self::revert_block`]).
    pub fn disconnect_root_block(&mut self) -> Option<RootRef> {
        let last = self.game.at()?;
        let kept = last.number.checked_sub(1).map_or(0, |number| self.game.deposit_count_at(number));
        let lost: Vec<Deposit> = self.game.deposits(kept, self.game.deposit_count()).copied().collect();
        let disconnected = self.game.disconnect_block()?;
        lost.iter().for_each(|deposit| self.coins.withdraw(deposit));
        let committed = self.game.last_block();
        self.verdicts.retain(|&number, _| number <= committed);
        Some(disconnected)
    }

    // The parts.

    /// Returns the root chain's facts at its head.
    #[must_use]
    pub fn game(&self) -> &Game {
        &self.game
    }

    /// Returns every coin of the local chain.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the archive.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Returns the finality depth in root blocks.
    #[must_use]
    pub fn finality_depth(&self) -> u64 {
        self.finality_depth
    }

    /// Returns the number of the last local block, 0 for none.
    #[must_use]
    pub fn last_local_block(&self) -> BlockNumber {
        BlockNumber::new(self.blocks.len() as u64).expect("memory ends long before 2^39 blocks")
    }

    /// Returns the first local block that is not the one that the root chain has committed under its number.
    ///
    /// A watcher reverts from there on; an operator that sees one has lost its log or its key.
    #[must_use]
    pub fn disagreement(&self) -> Option<BlockNumber> {
        let common = self.last_local_block().min(self.game.last_block());
        // A reorganisation changes the end of the chain: below the last block that agrees all do.
        let mut number = common;
        while number > BlockNumber::ZERO && !self.agrees(number) {
            number = number.previous().expect("not zero");
        }
        (number < common).then(|| number.next().expect("below another number"))
    }

    /// Returns what is to be submitted for the block, once it is sealed.
    #[must_use]
    pub fn sealed_block(&self, number: BlockNumber) -> Option<SealedBlock> {
        let block = self.local(number)?;
        let Stage::Sealed(roots) = &block.stage else { return None };
        let (tx_root, utxo_root, tx_count) = (roots.tx_root, roots.utxo_root, roots.tx_count);
        Some(SealedBlock { number, tx_root, utxo_root, tx_count, deposit_count: block.deposit_count })
    }

    /// Returns the transactions of the local blocks that the root chain has not committed, the open one's included, in order.
    pub fn uncommitted_transactions(&self) -> impl Iterator<Item = (Place, &RecoveredTransaction)> {
        let committed = usize::try_from(self.game.last_block().get()).unwrap_or(usize::MAX);
        let blocks = self.blocks.iter().enumerate().skip(committed);
        let in_memory = blocks.filter_map(|(index, block)| match &block.content {
            Content::Memory(leaves) => Some((number_at(index), leaves)),
            Content::Archived => None,
        });
        in_memory.flat_map(|(number, leaves)| placed(number, leaves))
    }

    // What the methods above are made of.

    fn local(&self, number: BlockNumber) -> Option<&Block> {
        self.blocks.get(index_of(number)?)
    }

    /// Returns how many deposits the last local block covers.
    fn local_deposit_count(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.deposit_count)
    }

    /// Returns whether the local block is the one that the root chain has committed under its number.
    fn agrees(&self, number: BlockNumber) -> bool {
        let Some(sealed) = self.sealed_block(number) else { return false };
        self.game.header(number).is_some_and(|(header, _)| {
            let Header { number, tx_root, utxo_root, tx_count, deposit_count, timestamp: _ } = *header;
            sealed == SealedBlock { number, tx_root, utxo_root, tx_count, deposit_count }
        })
    }

    /// Returns the unspent tree before the block at `index`, if that before it is sealed and its tree kept.
    fn tree_before(&self, index: usize) -> Option<&UtxoTree> {
        match index.checked_sub(1) {
            Some(previous) => self.blocks.get(previous)?.tree.as_ref(),
            None => Some(&self.empty_tree),
        }
    }

    /// Writes an applied transaction into the indexes.
    fn index(&mut self, place: Place, recovered: &RecoveredTransaction) {
        self.places.insert(recovered.hash, place);
        if self.dropped.remove(&recovered.hash).is_some() {
            recovered.output_ids().for_each(|id| self.coins.forget_dropped(id));
        }
        for &id in recovered.transaction.body.inputs() {
            if let Some(coin) = self.ledger.coin(id) {
                self.coins.spend(id, coin);
            }
        }
        for id in recovered.output_ids() {
            if let Some(coin) = self.ledger.coin(id) {
                self.coins.make(id, coin);
            }
        }
    }

    /// Undoes [`Self::index`], before the ledger reverts the transaction.
    fn unindex(&mut self, place: Place, recovered: &RecoveredTransaction) {
        for id in recovered.output_ids() {
            if let Some(coin) = self.ledger.coin(id) {
                self.coins.unmake(id, coin);
            }
        }
        for &id in recovered.transaction.body.inputs() {
            if let Some(coin) = self.ledger.coin(id) {
                self.coins.unspend(id, coin);
            }
        }
        if self.places.get(&recovered.hash) == Some(&place) {
            self.places.remove(&recovered.hash);
        }
    }

    /// Returns how many blocks are sealed: the first ones.
    fn sealed_len(&self) -> usize {
        self.blocks.iter().rposition(|block| matches!(block.stage, Stage::Sealed(_))).map_or(0, |last| last + 1)
    }

    /// Lets go of trees that are neither among the last ones nor needed for a block to come.
    fn prune(&mut self) {
        let committed = usize::try_from(self.game.last_block().get()).unwrap_or(usize::MAX);
        // The last sealed block's tree is what the next one's is made from, and so is the last committed one's after a drop.
        let needed_from = self.sealed_len().min(committed).saturating_sub(1);
        let kept_from = self.blocks.len().saturating_sub(TREES_KEPT).min(needed_from);
        for block in self.blocks.iter_mut().take(kept_from).skip(self.pruned) {
            block.tree = None;
        }
        self.pruned = self.pruned.max(kept_from);
        self.keep_last_good_tree();
    }

    /// Keeps the unspent tree of the last block that is not void: after a halt coins are withdrawn by it. §8.
    fn keep_last_good_tree(&mut self) {
        let Some(number) = self.game.halt().and_then(|halt| halt.from.previous()) else { return };
        let is_lost = |index: &usize| self.blocks.get(*index).is_some_and(|block| block.tree.is_none());
        if let Some(index) = index_of(number).filter(is_lost)
            && let Some(past) = self.past_tree(number)
        {
            self.blocks[index].tree = Some(past.restore());
        }
    }
}

/// Returns the transactions of a block with their places.
fn placed(number: BlockNumber, leaves: &[Leaf]) -> impl Iterator<Item = (Place, &RecoveredTransaction)> {
    leaves.iter().enumerate().filter_map(move |(index, leaf)| {
        let index = TxIndex::new(u32::try_from(index).ok()?)?;
        Some((Place { block: number, index }, leaf.transaction()?))
    })
}

fn index_of(number: BlockNumber) -> Option<usize> {
    usize::try_from(number.get().checked_sub(1)?).ok()
}

fn number_at(index: usize) -> BlockNumber {
    BlockNumber::new(index as u64 + 1).expect("memory ends long before 2^39 blocks")
}

#[cfg(test)]
mod tests;
