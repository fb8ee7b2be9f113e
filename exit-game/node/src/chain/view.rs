//! Look-ups of the chain: what goes over HTTP.

use alloy_primitives::Address;
use plasmid_exit_game::game::CoinExit;
use plasmid_exit_game::ledger;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, PositionKind};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::utxo_tree;

use super::block::{Content, Stage};
use super::body::Source;
use super::coin_index::Cursor;
use super::{Body, BodyError, Chain};
use crate::wire::{self, BlockChoice, BlockState, CoinState, List, Verdict};

/// Most items of one page.
pub const PAGE_LEN_MAX: usize = 1_000;

impl Chain {
    /// Returns the block, local or committed.
    #[must_use]
    pub fn block(&self, number: BlockNumber) -> Option<wire::Block> {
        let state = self.block_state(number)?;
        let committed = self.game.header(number);
        let (tx_count, deposit_count) = match (committed, self.local(number)) {
            (Some((header, _)), _) => (header.tx_count, header.deposit_count),
            (None, Some(local)) => (self.leaf_count(number), local.deposit_count),
            (None, None) => return None,
        };
        let verdict = match self.verdicts.get(&number) {
            _ if self.agrees(number) => Verdict::Valid,
            Some(verdict) => *verdict,
            None => Verdict::Unknown,
        };
        let header = committed.map(|(header, _)| (*header).into());
        Some(wire::Block {
            number,
            state,
            verdict,
            tx_count,
            deposit_count,
            header,
            root: committed.map(|(_, at)| (*at).into()),
        })
    }

    /// Returns up to `limit` blocks from `from` on, at most [`PAGE_LEN_MAX`].
    #[must_use]
    pub fn blocks(&self, from: BlockNumber, limit: usize) -> List<wire::Block> {
        let limit = limit.clamp(1, PAGE_LEN_MAX);
        let last = self.last_local_block().max(self.game.last_block());
        let numbers = std::iter::successors(Some(from.max(BlockNumber::FIRST)), |number| number.next());
        let mut numbers = numbers.take_while(|&number| number <= last);
        let items = numbers.by_ref().take(limit).filter_map(|number| self.block(number)).collect();
        List { items, cursor: numbers.next().map(|number| number.to_string()) }
    }

    /// Returns how far the block has got, or `None` if there is none.
    #[must_use]
    pub fn block_state(&self, number: BlockNumber) -> Option<BlockState> {
        if number != BlockNumber::ZERO && number <= self.game.last_block() {
            if self.game.is_void(number) {
                return Some(BlockState::Void);
            }
            return Some(if number <= self.final_block() { BlockState::Final } else { BlockState::Committed });
        }
        Some(match self.local(number)?.stage {
            Stage::Open => BlockState::Open,
            Stage::Closed | Stage::Sealed(_) if number <= self.submitted => BlockState::Submitted,
            Stage::Closed | Stage::Sealed(_) => BlockState::Closed,
        })
    }

    /// Returns the coin, or `None` if nothing made it that this server holds for valid.
    #[must_use]
    pub fn coin(&self, id: OutputId) -> Option<wire::Coin> {
        if let Some(coin) = self.ledger.coin(id) {
            return Some(self.coin_of_ledger(id, coin));
        }
        if let Some(deposit) = self.coins.pending(id) {
            let position = Position::of_deposit(deposit.nonce)?;
            let state = self.exit_state(id).unwrap_or(CoinState::Pending);
            return Some(wire::Coin { id, position, output: deposit.output, state, spender: None });
        }
        let coin = self.coins.dropped(id)?;
        Some(wire::Coin { id, position: coin.position, output: coin.output, state: CoinState::Dropped, spender: None })
    }

    /// Returns up to `limit` coins of `owner`, at most [`PAGE_LEN_MAX`], of one asset or of all, from `cursor` on.
    ///
    /// Unspent coins come first; then by asset and position.
    ///
    /// # Errors
    ///
    /// [`CursorError`] if the cursor is not one that a page gave.
    pub fn coins(
        &self,
        owner: Address,
        asset: Option<Address>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<List<wire::Coin>, CursorError> {
        let cursor = cursor.map(|text| Cursor::read(text, asset)).transpose()?;
        let limit = limit.clamp(1, PAGE_LEN_MAX);
        let mut coins = self.coins.after(owner, asset, cursor).peekable();
        let (mut items, mut last) = (Vec::new(), None);
        while items.len() < limit
            && let Some((id, cursor)) = coins.next()
        {
            items.extend(self.coin(id));
            last = Some(cursor);
        }
        let cursor = coins.peek().and(last).map(|cursor| cursor.write());
        Ok(List { items, cursor })
    }

    /// Returns the proof that the coin was unspent after the block.
    ///
    /// # Errors
    ///
    /// [`UnspentLookupError`] for each reason for which there is none.
    pub fn unspent(&self, id: OutputId, block: BlockChoice) -> Result<wire::Unspent, UnspentLookupError> {
        let number = match block {
            BlockChoice::Number(number) => number,
            BlockChoice::Latest(_) => self.verified_block(),
        };
        let (Some(local), Some((header, _)), true) =
            (self.local(number), self.game.header(number), self.agrees(number))
        else {
            return Err(UnspentLookupError::NoSuchBlock { number });
        };
        let tree = local.tree.as_ref().ok_or(UnspentLookupError::TooOld { number })?;
        let Some(coin) = self.ledger.coin(id) else {
            return Err(match self.coins.pending(id) {
                Some(_) => UnspentLookupError::NotYetMade { id, number },
                None => UnspentLookupError::UnknownCoin { id },
            });
        };
        let (position, value) = (coin.position, utxo_tree::value(id, &coin.output));
        match (tree.prove(position), coin.spender) {
            (Some(proof), _) => Ok(wire::Unspent { block: number, header: (*header).into(), position, value, proof }),
            (None, Some(place)) if place.block <= number => match self.transaction_at(place) {
                Some(spender) => Err(UnspentLookupError::Spent { id, spender }),
                None => Err(UnspentLookupError::NotYetMade { id, number }),
            },
            (None, _) => Err(UnspentLookupError::NotYetMade { id, number }),
        }
    }

    /// Returns where the transaction stands in the local chain.
    #[must_use]
    pub fn place_of(&self, tx_hash: TxHash) -> Option<Place> {
        self.places.get(&tx_hash).copied()
    }

    /// Returns the hash of the transaction at `place`, or `None` if no transaction of the local chain stands there.
    #[must_use]
    pub fn transaction_at(&self, place: Place) -> Option<TxHash> {
        *self.local(place.block)?.hashes.get(place.index.get() as usize)?
    }

    /// Returns the transaction, a dropped one included, to be read without the lock.
    #[must_use]
    pub fn transaction(&self, tx_hash: TxHash) -> Option<StoredTransaction> {
        if let Some(place) = self.place_of(tx_hash) {
            let stored = match &self.local(place.block)?.content {
                Content::Memory(leaves) => {
                    let recovered = leaves.get(place.index.get() as usize)?.transaction()?;
                    Stored::Here(recovered.transaction.clone())
                }
                Content::Archived => Stored::InBody(self.body(place.block)?),
            };
            return Some(StoredTransaction { place, state: self.made_state(place.first_output()), stored });
        }
        let dropped = self.dropped.get(&tx_hash)?;
        let stored = Stored::Here(dropped.transaction.clone());
        Some(StoredTransaction { place: dropped.place, state: CoinState::Dropped, stored })
    }

    /// Returns the body of a committed block that is local, or in the archive: a watcher's holds those of bad blocks too, as
    /// evidence.
    #[must_use]
    pub fn body(&self, number: BlockNumber) -> Option<Body> {
        let (header, _) = self.game.header(number)?;
        let source = match self.local(number).filter(|_| self.agrees(number)).map(|block| &block.content) {
            Some(Content::Memory(leaves)) => Source::Memory(leaves.clone()),
            Some(Content::Archived) => Source::Archive(self.archive.clone()),
            None if self.archive.holds(number) => Source::Archive(self.archive.clone()),
            None => return None,
        };
        Some(Body { header: *header, source })
    }

    /// Returns how far the chain has got.
    #[must_use]
    pub fn heads(&self) -> wire::BlockHeads {
        let (local, committed) = (self.last_local_block(), self.game.last_block());
        let before_last = |number: BlockNumber| number.previous().unwrap_or(BlockNumber::ZERO);
        let (accepted, closed) = match self.blocks.last() {
            Some(last) if last.is_open() && last.hashes.is_empty() && last.covered.is_empty() => {
                (before_last(local), before_last(local))
            }
            Some(last) if last.is_open() => (local, before_last(local)),
            Some(_) | None => (local, local),
        };
        wire::BlockHeads {
            accepted: accepted.max(committed),
            closed: closed.max(committed),
            committed,
            final_: self.final_block(),
            verified: self.verified_block(),
        }
    }

    /// Returns the newest root block, if there is one.
    #[must_use]
    pub fn root_head(&self) -> Option<wire::RootHead> {
        let at = self.game.at()?;
        Some(wire::RootHead { number: at.number, hash: at.hash, timestamp: self.game.now() })
    }

    /// Returns how many accepted transactions are not committed.
    #[must_use]
    pub fn uncommitted(&self) -> u64 {
        let committed = usize::try_from(self.game.last_block().get()).unwrap_or(usize::MAX);
        self.blocks.iter().skip(committed).map(|block| block.tx_total).sum()
    }

    /// Returns the number of the last block at finality depth, 0 for none.
    #[must_use]
    pub fn final_block(&self) -> BlockNumber {
        self.game
            .anchor(self.finality_depth)
            .map_or(BlockNumber::ZERO, |(anchor, _)| self.game.last_block_at(anchor.number))
    }

    /// Returns the number of the last block that is committed and valid with all before it, 0 for none.
    #[must_use]
    pub fn verified_block(&self) -> BlockNumber {
        match self.disagreement() {
            Some(first) => first.previous().unwrap_or(BlockNumber::ZERO),
            None => self.last_local_block().min(self.game.last_block()),
        }
    }

    fn coin_of_ledger(&self, id: OutputId, coin: &ledger::Coin) -> wire::Coin {
        let spender = coin.spender.and_then(|place| self.transaction_at(place));
        let state = match (self.exit_state(id), coin.spender) {
            (Some(state), _) => state,
            (None, Some(_)) => CoinState::Spent,
            (None, None) => self.made_state(coin.position),
        };
        wire::Coin { id, position: coin.position, output: coin.output, state, spender }
    }

    /// An exit shows even where the coin is spent: somebody must challenge it.
    fn exit_state(&self, id: OutputId) -> Option<CoinState> {
        match self.game.exit(id)? {
            CoinExit::Pending(_) => Some(CoinState::Exiting),
            CoinExit::Settled { .. } => Some(CoinState::Exited),
            CoinExit::Freed { .. } => None,
        }
    }

    /// Returns how far the block has got that made, or covers, what stands at `position`. What a void block makes is void; a
    /// deposit is none the worse for being covered by one. §3
    fn made_state(&self, position: Position) -> CoinState {
        let exists_by = |number: BlockNumber| match position.kind() {
            PositionKind::Output(place, _) => place.block <= number,
            PositionKind::Deposit(nonce) => {
                self.game.header(number).is_some_and(|(header, _)| nonce < header.deposit_count)
            }
        };
        if position.block().is_some_and(|block| self.game.is_void(block)) {
            CoinState::Void
        } else if exists_by(self.final_block()) {
            CoinState::Final
        } else if exists_by(self.game.last_block()) {
            CoinState::Committed
        } else if position.block().is_none() && (self.game.halt().is_some() || self.game.closed_at().is_some()) {
            // No block will ever cover it.
            CoinState::Pending
        } else {
            CoinState::Accepted
        }
    }

    /// Returns how many leaves a local block has so far.
    fn leaf_count(&self, number: BlockNumber) -> u32 {
        match self.local(number).map(|block| (&block.stage, block.hashes.len())) {
            Some((Stage::Sealed(roots), _)) => roots.tx_count,
            Some((Stage::Open | Stage::Closed, leaves)) => u32::try_from(leaves).unwrap_or(u32::MAX),
            None => 0,
        }
    }
}

/// A transaction that the chain knows: taken under the lock, read without it.
#[derive(Debug)]
pub struct StoredTransaction {
    /// Where it stands, or stood before it was dropped.
    pub place: Place,
    /// How far it has got.
    pub state: CoinState,
    stored: Stored,
}

#[derive(Debug)]
enum Stored {
    Here(PlacedTransaction),
    InBody(Body),
}

impl StoredTransaction {
    /// Returns body and witness.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if it cannot be read from the archive.
    pub fn read(self) -> Result<PlacedTransaction, BodyError> {
        match self.stored {
            Stored::Here(transaction) => Ok(transaction),
            Stored::InBody(body) => body.transaction(self.place.index),
        }
    }
}

/// A cursor that no page gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that a page gave")]
pub struct CursorError;

/// Why there is no proof that a coin was unspent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnspentLookupError {
    /// Nothing made the coin.
    #[error("coin {id} is unknown")]
    UnknownCoin {
        /// The coin.
        id: OutputId,
    },
    /// No such block is both committed and verified.
    #[error("block {number} is not committed and verified")]
    NoSuchBlock {
        /// The block.
        number: BlockNumber,
    },
    /// Its tree is kept no more.
    #[error("the unspent tree of block {number} is not kept any more")]
    TooOld {
        /// The block.
        number: BlockNumber,
    },
    /// The coin was made later.
    #[error("coin {id} did not exist after block {number}")]
    NotYetMade {
        /// The coin.
        id: OutputId,
        /// The block.
        number: BlockNumber,
    },
    /// It was spent in that block or before.
    #[error("coin {id} is spent by transaction {spender}")]
    Spent {
        /// The coin.
        id: OutputId,
        /// What spends it.
        spender: TxHash,
    },
}
