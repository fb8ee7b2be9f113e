//! The order of transactions: which are accepted, where each stands, when a block ends, what must be dropped. Pure: the chain,
//! its root chain's facts and all requests are arguments, records for the log come out.
//!
//! What a decision changes in the chain at once, the record that it returns changes again at a restart ([`Sequencer::replay`]):
//! the chain is a function of the log and of the deposits that it names. Nobody is told of a decision before its record is
//! durable.

use std::collections::BTreeMap;
use std::ops::Bound;

use alloy_primitives::Address;
use plasmid_exit_game::fault::Fault;
use plasmid_exit_game::game::Game;
use plasmid_exit_game::ledger::RecoveredTransaction;
use plasmid_exit_game::output::{Deposit, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place};
use plasmid_exit_game::transaction::{PlacedTransaction, Witness};
use plasmid_node::chain::{AcceptError, Chain, SealedBlock};
use plasmid_node::problem::Code;
use plasmid_root_chain::calls::KEY_LEAD_BLOCKS;

use crate::admission::Admitted;
use crate::journal::{ClosedBlock, CoveredDeposits, ReceiptBatch, Record};

/// Most transactions of one receipt batch: a path of ten siblings.
pub const BATCH_TXS_MAX: usize = 1_024;
/// A block is promised to be committed so long after its first acceptance, as a divisor of F: F/4. §1.10.
const PROMISE_DIVISOR: u64 = 4;
/// A block is not submitted so shortly before a freeze of a coin that it spends, as a divisor of F: what is frozen by then is
/// dropped, so that the others need not race against it.
const LANDING_DIVISOR: u64 = 16;

/// The operator's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A block with so many places given is full: at most 2^20, at least one.
    pub block_txs_max: u32,
    /// An empty block is committed when none was for so long, in seconds of root-chain time.
    pub idle_interval_secs: u64,
    /// Timestamp of the root block that holds the deployment: before the first block, the idle time counts from it.
    pub deployed_at: u64,
    /// The key of this operator, which signs its own blocks alone. §2.
    pub key: Address,
    /// The deployment's first key.
    pub first_key: Address,
    /// The least that each part of the bond must hold, in wei: what a fault takes, and what a broken receipt does. §3.
    pub slashes_wei: (u128, u128),
}

/// The one writer's state beside the chain's.
#[derive(Debug, Clone)]
pub struct Sequencer {
    rules: Rules,
    /// Deposits that the local chain covers.
    covered: u64,
    /// How many of them the root chain has, at its head, as they were when they were covered.
    matched: u64,
    /// What the open block holds.
    open: OpenBlock,
    /// Promises of closed blocks, final ones too: a reorganisation may take any of them back.
    promises: BTreeMap<BlockNumber, u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OpenBlock {
    places: u32,
    by: Option<u64>,
    has_deposits: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has this place now.
    Accepted(Place),
    /// It was accepted before, at this place.
    Repeated(Place),
    /// It was not accepted.
    Refused(Refusal),
}

/// Why a transaction is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing new is accepted now.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// No coin of the child chain has this name.
    #[error("input {output_id} is unknown")]
    UnknownInput {
        /// The input.
        output_id: OutputId,
    },
    /// Somebody else signed, or nobody. R4.
    #[error("the owner of input {output_id} did not sign")]
    BadSignature {
        /// The first input whose owner did not.
        output_id: OutputId,
    },
    /// The fee is below the minimum.
    #[error("no output pays the fee: see /v1/fees")]
    FeeTooLow,
    /// Another accepted transaction spends an input. R6.
    #[error("input {output_id} is spent by transaction {spender}")]
    AlreadySpent {
        /// The input.
        output_id: OutputId,
        /// What spends it.
        spender: TxHash,
    },
    /// An input is leaving, or came back so recently that this is not final. §3.1.
    #[error("input {output_id} is exiting")]
    Exiting {
        /// The input.
        output_id: OutputId,
    },
    /// Inputs and outputs do not balance. R5.
    #[error("{0}")]
    Unbalanced(Fault),
}

/// Why nothing new is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Stop {
    /// The operator is still catching up, or its log cannot be written.
    #[error("the operator is not ready")]
    NotReady,
    /// No new root block comes, or a closed block waits beyond its promise.
    #[error("the root chain is behind: what is accepted now might not be committed in time")]
    RootChainBehind,
    /// A deposit that the child chain covers is gone from the root chain.
    #[error("the root chain was reorganised deeper than finality and lacks a covered deposit")]
    RootChainReorganised,
    /// A block is another key's, by a rotation. §2.
    #[error("block {number} is for the key {operator} to make: its operator takes over with that block")]
    OtherKey {
        /// The first such block that is not committed.
        number: BlockNumber,
        /// Whose it is.
        operator: Address,
    },
    /// A part of the operator's bond is below one slash. §3.
    #[error("the operator's bond is short: no block is committed until it is funded")]
    BondShort,
    /// The chain is halted or closed.
    #[error("the chain is halted or closed")]
    Halted,
}

impl Stop {
    /// Returns the code by which the reason is known over HTTP.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::NotReady => Code::NotReady,
            Self::RootChainBehind => Code::RootChainBehind,
            Self::RootChainReorganised => Code::RootChainReorganised,
            Self::OtherKey { .. } => Code::OtherKey,
            Self::BondShort => Code::BondShort,
            Self::Halted => Code::Halted,
        }
    }
}

impl Sequencer {
    /// Returns the state before the first record.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, covered: 0, matched: 0, open: OpenBlock::default(), promises: BTreeMap::new() }
    }

    /// Applies a record of the log to `chain`, as the decision behind it did.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]. Nothing has changed if the root chain lacks a deposit; after the others the state is of no use.
    pub fn replay(&mut self, chain: &mut Chain, record: &Record) -> Result<(), ReplayError> {
        match record {
            Record::Accepted(batch) => self.replay_batch(chain, batch),
            Record::Covered(covered) => self.replay_cover(chain, covered),
            Record::Closed(closed) => {
                let number = chain.open_block();
                if self.closed(number) != *closed {
                    return Err(ReplayError::Contradiction { number });
                }
                self.close(chain);
                Ok(())
            }
            Record::Dropped(places) => {
                let hashes: Option<Vec<_>> = places.iter().map(|&place| chain.transaction_at(place)).collect();
                let number = places[0].block;
                let dropped = hashes.and_then(|hashes| chain.drop_transactions(&hashes).ok());
                let is_as_written = dropped.is_some_and(|dropped| dropped.iter().map(|(_, place)| place).eq(places));
                if is_as_written { Ok(()) } else { Err(ReplayError::Contradiction { number }) }
            }
            Record::Intended(_) => Ok(()),
        }
    }

    /// Decides on a group of requests, one after the other, and applies what it accepts.
    ///
    /// With `stop` nothing new is accepted; what was accepted before is still repeated. Outcomes are in the order of the
    /// requests.
    pub fn accept(
        &mut self,
        chain: &mut Chain,
        requests: Vec<Admitted>,
        stop: Option<Stop>,
    ) -> (Vec<Record>, Vec<Outcome>) {
        let mut records = Vec::new();
        let outcomes = requests.into_iter().map(|request| match self.accept_one(chain, request, stop, &mut records) {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::Refused(refusal),
        });
        let outcomes = outcomes.collect();
        (records, outcomes)
    }

    /// Lets the open block cover the deposits that have become final. §3.1.
    pub fn cover(&mut self, chain: &mut Chain) -> Option<Record> {
        let (anchor, _) = chain.game().anchor(chain.finality_depth())?;
        let count = chain.game().deposit_count_at(anchor.number);
        if count <= self.covered || self.matched < self.covered {
            return None;
        }
        let outputs = chain.game().deposits(self.covered, count).map(|deposit| deposit.output).collect();
        let covered = CoveredDeposits { number: chain.open_block(), first_nonce: self.covered, outputs };
        chain.cover_deposits(count).expect("a block is open, and the game has counted these deposits");
        self.count_covered(count);
        Some(Record::Covered(covered))
    }

    /// Closes the open block if there is work and no closed block waits to be committed, or if the idle time is over.
    pub fn close_if_due(&mut self, chain: &mut Chain) -> Option<Record> {
        let number = chain.open_block();
        let last = chain.game().last_block();
        if last.next() != Some(number) {
            return None;
        }
        let last_time = chain.game().header(last).map_or(self.rules.deployed_at, |(header, _)| header.timestamp);
        let is_idle_over = chain.game().now() >= last_time.saturating_add(self.rules.idle_interval_secs);
        let has_work = self.open.places != 0 || self.open.has_deposits;
        (has_work || is_idle_over).then(|| self.close(chain))
    }

    /// Drops what can no longer be committed before a freeze, with all that spends its outputs. §3.1.
    ///
    /// Blocks up to `bound` are in signed submissions that can still land: nothing is dropped that changes one of them.
    pub fn drop_frozen(&mut self, chain: &mut Chain, bound: Option<BlockNumber>) -> Option<Record> {
        let game = chain.game();
        let too_late = game.now().saturating_add(landing_time(game));
        let is_frozen =
            |transaction: &RecoveredTransaction| earliest_freeze_of(game, transaction).is_some_and(|f| f < too_late);
        let frozen: Vec<(BlockNumber, TxHash)> = chain
            .uncommitted_transactions()
            .filter(|(_, transaction)| is_frozen(transaction))
            .map(|(place, transaction)| (place.block, transaction.hash))
            .collect();
        // What spends their outputs stands in no earlier block.
        if frozen.is_empty() || frozen.first().map(|&(number, _)| number) <= bound {
            return None;
        }
        let hashes: Vec<TxHash> = frozen.into_iter().map(|(_, hash)| hash).collect();
        let dropped = chain.drop_transactions(&hashes).expect("they were found in blocks that are not committed");
        Some(Record::Dropped(dropped.into_iter().map(|(_, place)| place).collect()))
    }

    /// Compares the covered deposits with those that the root chain has now. Called after every step of the root chain.
    pub fn observe_deposits(&mut self, chain: &Chain) {
        let game = chain.game();
        self.matched = self.matched.min(game.deposit_count());
        let is_covered = |deposit: &Deposit| chain.ledger().coin(deposit.output_id()).is_some();
        let same = game.deposits(self.matched, self.covered).take_while(|deposit| is_covered(deposit)).count();
        self.matched += same as u64;
    }

    /// Returns why nothing new may be accepted, as far as the chain tells: nothing can be submitted, the open block is another
    /// key's, or a block waits beyond its promise.
    #[must_use]
    pub fn stop(&self, chain: &Chain) -> Option<Stop> {
        let game = chain.game();
        let open = chain.next_place().map(|place| place.block).or_else(|| chain.last_local_block().next());
        let stop = self.stop_submitting(game).or_else(|| self.stop_at(game, open?));
        if stop.is_some() {
            return stop;
        }
        let mut uncommitted = self.promises.range((Bound::Excluded(game.last_block()), Bound::Unbounded));
        let is_late = uncommitted.next().map(|(_, &by)| by).or(self.open.by).is_some_and(|by| by < game.now());
        is_late.then_some(Stop::RootChainBehind)
    }

    /// Returns why the next block cannot be submitted whatever it holds: a covered deposit is gone, the block is another key's,
    /// or the bond is short.
    #[must_use]
    pub fn stop_submitting(&self, game: &Game) -> Option<Stop> {
        if self.matched < self.covered {
            return Some(Stop::RootChainReorganised);
        }
        let ((for_faults, for_receipts), (fault, receipt)) = (game.operator_bond(), self.rules.slashes_wei);
        let is_short = for_faults < fault || for_receipts < receipt;
        let other_key = game.last_block().next().and_then(|number| self.stop_at(game, number));
        other_key.or(is_short.then_some(Stop::BondShort))
    }

    /// Returns why nothing may be promised in block `number`: its key is another, or may still become another. §2.
    fn stop_at(&self, game: &Game, number: BlockNumber) -> Option<Stop> {
        let operator = game.operator_of(number, self.rules.first_key);
        if operator != self.rules.key {
            return Some(Stop::OtherKey { number, operator });
        }
        let ahead = number.get().saturating_sub(game.last_block().get() + 1);
        (ahead > KEY_LEAD_BLOCKS).then_some(Stop::RootChainBehind)
    }

    fn accept_one(
        &mut self,
        chain: &mut Chain,
        request: Admitted,
        stop: Option<Stop>,
        records: &mut Vec<Record>,
    ) -> Result<Outcome, Refusal> {
        let Admitted { body, hash, signature, signer, is_paying } = request;
        let mut placement = Vec::with_capacity(body.inputs().len());
        let mut spender = None;
        for &output_id in body.inputs() {
            let coin = chain.ledger().coin(output_id).ok_or(Refusal::UnknownInput { output_id })?;
            if signer != Some(coin.output.owner) {
                return Err(Refusal::BadSignature { output_id });
            }
            spender = spender.or(coin.spender.map(|place| (output_id, place)));
            placement.push(coin.position);
        }
        // Its owner signed it: whether or not it could be accepted now, the first answer holds.
        if let Some(place) = chain.place_of(hash) {
            return Ok(Outcome::Repeated(place));
        }
        if let Some(stop) = stop {
            return Err(stop.into());
        }
        if let Some((output_id, place)) = spender {
            let spender = chain.transaction_at(place).expect("the ledger's spenders stand in the chain");
            return Err(Refusal::AlreadySpent { output_id, spender });
        }
        let anchor = chain.game().anchor(chain.finality_depth()).map_or(0, |(at, _)| at.number);
        if let Some(&output_id) = body.inputs().iter().find(|&&id| !chain.game().is_spendable(id, hash, anchor)) {
            return Err(Refusal::Exiting { output_id });
        }
        if !is_paying {
            return Err(Refusal::FeeTooLow);
        }
        let is_full = self.open.places == self.rules.block_txs_max;
        let open = chain.open_block();
        let number = if is_full { open.next().unwrap_or(open) } else { open };
        if let Some(stop) = self.stop_at(chain.game(), number) {
            return Err(stop.into());
        }
        if is_full {
            records.push(self.close(chain));
        }
        chain.open_block();
        let place = chain.next_place().expect("the open block is not full");
        let transaction = PlacedTransaction { body, witness: Witness { signature, placement } };
        let item = transaction.clone();
        chain.accept(place, RecoveredTransaction { transaction, hash, signer }).map_err(|error| match error {
            AcceptError::Fault(fault) => Refusal::Unbalanced(fault),
            AcceptError::NotNext { .. } => unreachable!("the place is the next one"),
        })?;
        let periods = chain.game().periods();
        let by = self.count_accepted(chain.game().now().saturating_add(periods.freeze_delay() / PROMISE_DIVISOR));
        match records.last_mut() {
            Some(Record::Accepted(batch)) if batch.items.len() < BATCH_TXS_MAX => batch.items.push(item),
            _ => {
                let (number, first) = (place.block, place.index.get());
                records.push(Record::Accepted(ReceiptBatch { number, first, by, items: vec![item] }));
            }
        }
        Ok(Outcome::Accepted(place))
    }

    fn replay_batch(&mut self, chain: &mut Chain, batch: &ReceiptBatch) -> Result<(), ReplayError> {
        let contradiction = || ReplayError::Contradiction { number: batch.number };
        for (i, item) in batch.items.iter().enumerate() {
            chain.open_block();
            let place = chain.next_place().ok_or_else(contradiction)?;
            let index = u64::from(batch.first) + i as u64;
            if place.block != batch.number || u64::from(place.index.get()) != index {
                return Err(contradiction());
            }
            // The signature was checked before the record was written.
            let signer = chain.ledger().coin(item.body.inputs()[0]).map(|coin| coin.output.owner);
            let recovered = RecoveredTransaction { transaction: item.clone(), hash: item.body.hash(), signer };
            chain.accept(place, recovered).map_err(|_| contradiction())?;
            if self.count_accepted(batch.by) != batch.by {
                return Err(contradiction());
            }
        }
        Ok(())
    }

    fn replay_cover(&mut self, chain: &mut Chain, covered: &CoveredDeposits) -> Result<(), ReplayError> {
        let CoveredDeposits { number, first_nonce, outputs } = covered;
        let count = first_nonce.saturating_add(outputs.len() as u64);
        if chain.open_block() != *number || *first_nonce != self.covered {
            return Err(ReplayError::Contradiction { number: *number });
        }
        let made = chain.game().deposits(*first_nonce, count).map(|deposit| &deposit.output);
        if !made.eq(outputs) {
            return Err(ReplayError::DepositsGone { first_nonce: *first_nonce, count: outputs.len() });
        }
        chain.cover_deposits(count).map_err(|_| ReplayError::Contradiction { number: *number })?;
        self.count_covered(count);
        Ok(())
    }

    /// Counts an acceptance and returns the open block's promise, which the first fixes.
    fn count_accepted(&mut self, by: u64) -> u64 {
        self.open.places += 1;
        *self.open.by.get_or_insert(by)
    }

    fn count_covered(&mut self, count: u64) {
        (self.covered, self.matched, self.open.has_deposits) = (count, count, true);
    }

    fn closed(&self, number: BlockNumber) -> ClosedBlock {
        ClosedBlock { number, tx_count: self.open.places, deposit_count: self.covered }
    }

    fn close(&mut self, chain: &mut Chain) -> Record {
        let number = chain.open_block();
        chain.close_block();
        let closed = self.closed(number);
        let OpenBlock { by, .. } = std::mem::take(&mut self.open);
        self.promises.extend(by.map(|by| (number, by)));
        Record::Closed(closed)
    }
}

/// When a block must have landed, for the sake of the coins that it spends. §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freeze {
    /// None of them is leaving.
    Never,
    /// At this time, in seconds, the first of them freezes.
    At(u64),
    /// The exit of one was ended in a root block that is not final: what gives counts at the anchor.
    FreedNotFinal,
}

/// Returns when an uncommitted block must have landed.
#[must_use]
pub fn freeze_of_block(chain: &Chain, block: &SealedBlock) -> Freeze {
    let game = chain.game();
    let anchor = game.anchor(chain.finality_depth()).map_or(0, |(at, _)| at.number);
    let transactions = chain.uncommitted_transactions().skip_while(|(place, _)| place.block < block.number);
    let of_block = transactions.take_while(|(place, _)| place.block == block.number);
    let mut earliest = Freeze::Never;
    for &id in of_block.flat_map(|(_, transaction)| transaction.transaction.body.inputs()) {
        if game.freed_in(id).is_some_and(|freed_in| freed_in > anchor) {
            return Freeze::FreedNotFinal;
        }
        match (game.freeze_of(id), earliest) {
            (Some(freeze), Freeze::At(before)) => earliest = Freeze::At(freeze.min(before)),
            (Some(freeze), _) => earliest = Freeze::At(freeze),
            (None, _) => {}
        }
    }
    earliest
}

/// Returns how long before a freeze a submission must at least be signed, in seconds.
#[must_use]
pub fn landing_time(game: &Game) -> u64 {
    (game.periods().freeze_delay() / LANDING_DIVISOR).max(1)
}

fn earliest_freeze_of(game: &Game, transaction: &RecoveredTransaction) -> Option<u64> {
    transaction.transaction.body.inputs().iter().filter_map(|&id| game.freeze_of(id)).min()
}

/// Why a record does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The root chain does not have, or not yet, the deposits that the record covers.
    #[error("the root chain lacks {count} covered deposits from nonce {first_nonce} on, or has others")]
    DepositsGone {
        /// Nonce of the first of them.
        first_nonce: u64,
        /// How many the record covers.
        count: usize,
    },
    /// The record does not follow from those before: another program wrote it.
    #[error("the log contradicts itself at block {number}")]
    Contradiction {
        /// The block.
        number: BlockNumber,
    },
}
