//! The exit game as the root chain tells it: blocks and events in, state out, reversible block by block. §3.1, §5–§7.
//!
//! A [`Game`] stands at a root-chain head. Whoever needs the anchor's view asks with the anchor's number: what takes (exits)
//! counts at the head, what gives (deposits, coins freed by a challenge) at the anchor.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use alloy_primitives::{Address, U256};

use crate::block::Header;
use crate::exit::key::Periods;
use crate::exit::standard::ExitRecord;
use crate::facts::{RootBlock, RootEvent, RootRef};
use crate::output::{Deposit, OutputId, TxHash};
use crate::position::BlockNumber;

mod error;
mod faults;
mod in_flight;
mod missing;

pub use self::error::GameError;
use self::faults::{Faults, FaultsChange};
pub use self::faults::{GameState, Halting};
pub use self::in_flight::InFlightExit;
use self::in_flight::{InFlightChange, InFlightExits};
pub use self::missing::MissingClaim;
use self::missing::{MissingChange, MissingClaims};

/// A pending standard exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingExit {
    /// What the contract keeps the hash of.
    pub record: ExitRecord,
    /// Who is paid: the owner, until the claim is handed on.
    pub payee: Address,
    /// Number of the root block that holds the start.
    pub started_in: u64,
    /// The coin's recorded freeze, in seconds, if an in-flight exit or its withdrawal has settled it since: this exit pays
    /// nothing. §5.1, §8.
    pub settled: Option<u64>,
}

/// How far a coin has got in leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoinExit {
    /// An exit is pending.
    Pending(PendingExit),
    /// Settled for good: paid, with the time from which no block may spend it. §5.1.
    Settled {
        /// Seconds of root-chain time.
        freeze: u64,
    },
    /// An exit was ended without settling the coin, in the root block with this number.
    Freed {
        /// A root block's number.
        ended_in: u64,
    },
}

/// What the contract holds, as far as its events tell, at one root-chain block.
#[derive(Debug, Clone)]
pub struct Game {
    periods: Periods,
    /// Most root blocks that can be disconnected.
    undo_max: usize,
    undo: VecDeque<ConnectedBlock>,
    /// By nonce, with the root block that holds each.
    deposits: Vec<(Deposit, u64)>,
    /// The names of these deposits.
    deposit_ids: BTreeSet<OutputId>,
    /// By number − 1, with the root block that holds each.
    headers: Vec<(Header, RootRef)>,
    exits: BTreeMap<OutputId, CoinExit>,
    in_flight: InFlightExits,
    faults: Faults,
    missing: MissingClaims,
    claimable: BTreeMap<(Address, Address), U256>,
}

#[derive(Debug, Clone)]
struct ConnectedBlock {
    at: RootRef,
    timestamp: u64,
    changes: Vec<Change>,
}

/// One change with what undoes it.
#[derive(Debug, Clone)]
enum Change {
    Deposited,
    Submitted,
    Exit { output_id: OutputId, before: Option<CoinExit> },
    InFlight(InFlightChange),
    Faults(FaultsChange),
    Missing(MissingChange),
    Claimable { of: (Address, Address), before: Option<U256> },
}

impl Game {
    /// Returns the state before the first block of a deployment with these periods.
    ///
    /// The last `undo_max` root blocks can be disconnected.
    #[must_use]
    pub fn new(periods: Periods, undo_max: usize) -> Self {
        Self {
            periods,
            undo_max,
            undo: VecDeque::new(),
            deposits: Vec::new(),
            deposit_ids: BTreeSet::new(),
            headers: Vec::new(),
            exits: BTreeMap::new(),
            in_flight: InFlightExits::default(),
            faults: Faults::default(),
            missing: MissingClaims::default(),
            claimable: BTreeMap::new(),
        }
    }

    /// Takes in the next root-chain block.
    ///
    /// # Errors
    ///
    /// [`GameError`] if the events contradict what came before, which an honest node never shows; the state is unchanged.
    pub fn connect_block(&mut self, block: &RootBlock) -> Result<(), GameError> {
        let mut changes = Vec::with_capacity(block.events.len());
        for event in &block.events {
            if let Err(error) = self.apply(block, event, &mut changes) {
                self.revert(changes);
                return Err(error);
            }
        }
        self.undo.push_back(ConnectedBlock { at: block.at, timestamp: block.timestamp, changes });
        if self.undo.len() > self.undo_max {
            self.undo.pop_front();
        }
        Ok(())
    }

    /// Takes back the last root-chain block and returns its name, or `None` if it cannot be undone any more.
    pub fn disconnect_block(&mut self) -> Option<RootRef> {
        let ConnectedBlock { at, changes, .. } = self.undo.pop_back()?;
        self.revert(changes);
        Some(at)
    }

    /// Returns the root block at which the state stands.
    #[must_use]
    pub fn at(&self) -> Option<RootRef> {
        self.undo.back().map(|block| block.at)
    }

    /// Returns *now*: the timestamp of the newest root block seen, in seconds; 0 before the first.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.undo.back().map_or(0, |block| block.timestamp)
    }

    /// Returns name and timestamp of the root block `depth` blocks before the newest: the anchor at that finality depth.
    #[must_use]
    pub fn anchor(&self, depth: u64) -> Option<(RootRef, u64)> {
        let number = self.at()?.number.checked_sub(depth)?;
        self.undo.iter().rev().find(|block| block.at.number <= number).map(|block| (block.at, block.timestamp))
    }

    /// Returns the deployment's periods.
    #[must_use]
    pub fn periods(&self) -> Periods {
        self.periods
    }

    /// Returns the deposits with nonces in `from..to` that have been made, in order.
    pub fn deposits(&self, from: u64, to: u64) -> impl Iterator<Item = &Deposit> {
        let (from, to) = (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(to).unwrap_or(usize::MAX));
        self.deposits.iter().take(to).skip(from).map(|(deposit, _)| deposit)
    }

    /// Returns how many deposits there are in root blocks up to `root_number`.
    #[must_use]
    pub fn deposit_count_at(&self, root_number: u64) -> u64 {
        self.deposits.partition_point(|(_, made_in)| *made_in <= root_number) as u64
    }

    /// Returns how many deposits there are.
    #[must_use]
    pub fn deposit_count(&self) -> u64 {
        self.deposits.len() as u64
    }

    /// Returns the header of a committed block, with the root block that holds the commitment.
    #[must_use]
    pub fn header(&self, number: BlockNumber) -> Option<&(Header, RootRef)> {
        self.headers.get(usize::try_from(number.get().checked_sub(1)?).ok()?)
    }

    /// Returns the number of the last committed block, 0 for none.
    #[must_use]
    pub fn last_block(&self) -> BlockNumber {
        self.headers.last().map_or(BlockNumber::ZERO, |(header, _)| header.number)
    }

    /// Returns the number of the last block committed in root blocks up to `root_number`, 0 for none.
    #[must_use]
    pub fn last_block_at(&self, root_number: u64) -> BlockNumber {
        let count = self.headers.partition_point(|(_, made_in)| made_in.number <= root_number);
        count.checked_sub(1).map_or(BlockNumber::ZERO, |last| self.headers[last].0.number)
    }

    /// Returns how many deposits the last committed block covers. §1.9.
    #[must_use]
    pub fn covered_deposits(&self) -> u64 {
        self.headers.last().map_or(0, |(header, _)| header.deposit_count)
    }

    /// Returns how far the coin has got in leaving, or `None` if nobody ever tried.
    #[must_use]
    pub fn exit(&self, output_id: OutputId) -> Option<&CoinExit> {
        self.exits.get(&output_id)
    }

    /// Returns the pending exits, by name of their coins.
    pub fn pending_exits(&self) -> impl Iterator<Item = &PendingExit> {
        self.exits.values().filter_map(|exit| match exit {
            CoinExit::Pending(pending) => Some(pending),
            CoinExit::Settled { .. } | CoinExit::Freed { .. } => None,
        })
    }

    /// Returns the open in-flight exit of a transaction. §6.
    #[must_use]
    pub fn in_flight_exit(&self, tx_hash: TxHash) -> Option<&InFlightExit> {
        self.in_flight.get(tx_hash)
    }

    /// Returns whether the in-flight exit of a transaction that started at `start` was closed. §6.8.
    #[must_use]
    pub fn is_in_flight_exit_closed(&self, tx_hash: TxHash, start: u64) -> bool {
        self.in_flight.is_closed(tx_hash, start)
    }

    /// Returns whether an in-flight exit of a transaction that started at `start` or later was closed. §6.8.
    #[must_use]
    pub fn is_in_flight_exit_closed_since(&self, tx_hash: TxHash, start: u64) -> bool {
        self.in_flight.is_closed_since(tx_hash, start)
    }

    /// Returns the open in-flight exits, by hash of their transactions. §6.
    pub fn in_flight_exits(&self) -> impl Iterator<Item = &InFlightExit> {
        self.in_flight.iter()
    }

    /// Returns the open in-flight exits of transactions that spend the coin. §6.
    pub fn in_flight_exits_of_input(&self, output_id: OutputId) -> impl Iterator<Item = &InFlightExit> {
        self.in_flight.of_input(output_id)
    }

    /// Returns the open in-flight exit of the transaction that made the coin, if the coin is piggybacked in it. §6.2.
    #[must_use]
    pub fn in_flight_exit_of_output(&self, output_id: OutputId) -> Option<&InFlightExit> {
        self.in_flight.of_live_output(output_id)
    }

    /// Returns the time after which no block may spend the coin, if it is exiting or settled: the earliest freeze that
    /// binds, and of a settled coin the recorded one alone. §3.1.
    #[must_use]
    pub fn freeze_of(&self, output_id: OutputId) -> Option<u64> {
        let pending = match self.exits.get(&output_id) {
            Some(CoinExit::Settled { freeze } | CoinExit::Pending(PendingExit { settled: Some(freeze), .. })) => {
                return Some(*freeze);
            }
            Some(CoinExit::Pending(pending)) => Some(self.periods.freeze_of_standard_exit(pending.record.key)),
            Some(CoinExit::Freed { .. }) | None => None,
        };
        pending.into_iter().chain(self.in_flight.freeze_of(output_id, &self.periods)).min()
    }

    /// Returns the number of the last root block that ended an exit of the coin without settling it: a reorganisation of that
    /// block brings the exit back, and its freeze with it. §3.1.
    #[must_use]
    pub fn freed_in(&self, output_id: OutputId) -> Option<u64> {
        let freed_in = match self.exits.get(&output_id) {
            Some(CoinExit::Freed { ended_in }) => Some(*ended_in),
            Some(CoinExit::Pending(_) | CoinExit::Settled { .. }) | None => None,
        };
        freed_in.max(self.in_flight.freed_in(output_id))
    }

    /// Returns whether an operator may accept `spender`, a transaction over the coin. §3.1.
    ///
    /// At the head no exit of the coin is pending or settled and no in-flight exit has it for a live piece; those that ended
    /// did so in root blocks not after the anchor. An open in-flight exit with the coin among its inputs locks it against all
    /// but its own transaction, which is accepted for F/2 after the start.
    #[must_use]
    pub fn is_spendable(&self, output_id: OutputId, spender: TxHash, anchor_number: u64) -> bool {
        let is_free = match self.exits.get(&output_id) {
            None | Some(CoinExit::Freed { .. }) => true,
            Some(CoinExit::Pending(_) | CoinExit::Settled { .. }) => false,
        };
        is_free
            && self.freed_in(output_id).is_none_or(|freed_in| freed_in <= anchor_number)
            && self.in_flight.is_spendable(output_id, spender, &self.periods, self.now())
    }

    /// Returns the account's credit in an asset, in base units. §5.2.
    #[must_use]
    pub fn claimable(&self, account: Address, asset: Address) -> U256 {
        self.claimable.get(&(account, asset)).copied().unwrap_or_default()
    }

    fn apply(&mut self, block: &RootBlock, event: &RootEvent, changes: &mut Vec<Change>) -> Result<(), GameError> {
        let at = block.at;
        match event {
            RootEvent::Deposited(deposit) => {
                let next = self.deposits.len() as u64;
                if deposit.nonce != next {
                    return Err(GameError::DepositOutOfOrder { nonce: deposit.nonce, next });
                }
                self.deposits.push((*deposit, at.number));
                self.deposit_ids.insert(deposit.output_id());
                changes.push(Change::Deposited);
            }
            RootEvent::BlockSubmitted(header) => {
                let last = self.last_block();
                if last.next() != Some(header.number) {
                    return Err(GameError::BlockOutOfOrder { number: header.number, last });
                }
                if header.deposit_count < self.covered_deposits() || header.deposit_count > self.deposit_count() {
                    return Err(GameError::DepositCount { number: header.number, deposit_count: header.deposit_count });
                }
                self.headers.push((*header, at));
                changes.push(Change::Submitted);
            }
            RootEvent::StandardExitStarted(record) => {
                if !matches!(self.exits.get(&record.output_id), None | Some(CoinExit::Freed { .. })) {
                    return Err(GameError::AlreadyExiting { output_id: record.output_id });
                }
                let (payee, started_in) = (record.output.owner, at.number);
                let pending = PendingExit { record: *record, payee, started_in, settled: None };
                self.set_exit(record.output_id, CoinExit::Pending(pending), changes);
            }
            RootEvent::StandardExitChallenged { output_id, .. } | RootEvent::ExitReturned { output_id, .. } => {
                let ended = match self.pending(*output_id)?.settled {
                    None => CoinExit::Freed { ended_in: at.number },
                    Some(freeze) => CoinExit::Settled { freeze },
                };
                self.set_exit(*output_id, ended, changes);
            }
            RootEvent::ExitAssigned { output_id, payee } => {
                let pending = self.pending(*output_id)?;
                self.set_exit(*output_id, CoinExit::Pending(PendingExit { payee: *payee, ..pending }), changes);
            }
            RootEvent::ExitPaid { output_id, .. } => {
                let pending = self.pending(*output_id)?;
                if pending.settled.is_some() {
                    return Err(GameError::AlreadySettled { output_id: *output_id });
                }
                let freeze = self.periods.freeze_of_standard_exit(pending.record.key);
                self.set_exit(*output_id, CoinExit::Settled { freeze }, changes);
            }
            RootEvent::InFlight { tx_hash, step } => {
                let mut of_exits = Vec::new();
                let settled = self.in_flight.apply(at.number, *tx_hash, step, &self.periods, &mut of_exits);
                changes.extend(of_exits.into_iter().map(Change::InFlight));
                for (output_id, freeze) in settled? {
                    self.settle(output_id, freeze, changes)?;
                }
            }
            RootEvent::Credited { account, asset, amount } => {
                let of = (*account, *asset);
                let credit = self.claimable(*account, *asset).checked_add(*amount);
                self.set_claimable(of, Some(credit.ok_or(GameError::Credit { account: *account })?), changes);
            }
            RootEvent::Claimed { account, asset, .. } => self.set_claimable((*account, *asset), None, changes),
            RootEvent::FaultAnnounced { .. }
            | RootEvent::FaultProven { .. }
            | RootEvent::FaultRewarded { .. }
            | RootEvent::ReceiptSlashed { .. }
            | RootEvent::ReceiptRewarded { .. }
            | RootEvent::BondFunded { .. }
            | RootEvent::BondWithdrawn { .. }
            | RootEvent::OperatorAccepted { .. }
            | RootEvent::ChainClosed => {
                changes.push(Change::Faults(self.faults.apply(at.number, block.timestamp, event)?));
            }
            RootEvent::MissingClaimed { .. }
            | RootEvent::MissingAnswered { .. }
            | RootEvent::MissingConvicted { .. }
            | RootEvent::MissingReturned { .. } => {
                changes.push(Change::Missing(self.missing.apply(block.timestamp, event)?));
            }
            RootEvent::CoinWithdrawn { output_id, .. } => self.settle(*output_id, block.timestamp, changes)?,
            RootEvent::AssetRecorded { .. }
            | RootEvent::ExitKeysCleared { .. }
            | RootEvent::OperatorProposed { .. } => {}
        }
        Ok(())
    }

    fn pending(&self, output_id: OutputId) -> Result<PendingExit, GameError> {
        match self.exits.get(&output_id) {
            Some(CoinExit::Pending(pending)) => Ok(*pending),
            None | Some(CoinExit::Settled { .. } | CoinExit::Freed { .. }) => Err(GameError::NotExiting { output_id }),
        }
    }

    /// Settles a coin by an in-flight exit, or by its withdrawal. A pending standard exit of it stays until its turn. §5.1.
    fn settle(&mut self, output_id: OutputId, freeze: u64, changes: &mut Vec<Change>) -> Result<(), GameError> {
        let settled = match self.exits.get(&output_id) {
            Some(CoinExit::Settled { .. } | CoinExit::Pending(PendingExit { settled: Some(_), .. })) => {
                return Err(GameError::AlreadySettled { output_id });
            }
            Some(CoinExit::Pending(pending)) => CoinExit::Pending(PendingExit { settled: Some(freeze), ..*pending }),
            Some(CoinExit::Freed { .. }) | None => CoinExit::Settled { freeze },
        };
        self.set_exit(output_id, settled, changes);
        Ok(())
    }

    fn set_exit(&mut self, output_id: OutputId, exit: CoinExit, changes: &mut Vec<Change>) {
        let before = self.exits.insert(output_id, exit);
        changes.push(Change::Exit { output_id, before });
    }

    fn set_claimable(&mut self, of: (Address, Address), amount: Option<U256>, changes: &mut Vec<Change>) {
        let before = restore(&mut self.claimable, of, amount);
        changes.push(Change::Claimable { of, before });
    }

    fn revert(&mut self, changes: Vec<Change>) {
        for change in changes.into_iter().rev() {
            match change {
                Change::Deposited => {
                    if let Some((deposit, _)) = self.deposits.pop() {
                        self.deposit_ids.remove(&deposit.output_id());
                    }
                }
                Change::Submitted => drop(self.headers.pop()),
                Change::Exit { output_id, before } => drop(restore(&mut self.exits, output_id, before)),
                Change::InFlight(change) => self.in_flight.revert(change),
                Change::Faults(change) => self.faults.revert(change),
                Change::Missing(change) => self.missing.revert(change),
                Change::Claimable { of, before } => drop(restore(&mut self.claimable, of, before)),
            }
        }
    }
}

/// Sets or removes an entry and returns what was there before.
fn restore<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}
