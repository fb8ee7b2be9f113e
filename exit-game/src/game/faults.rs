//! Convictions, slashes, the operator's keys and bond, and the end of the chain, as events tell them. §2, §3, §8.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256};

use super::{CoinExit, Game, GameError, PendingExit, restore};
use crate::exit::contract::Halt;
use crate::exit::key::Periods;
use crate::exit::standard::CoinState;
use crate::facts::RootEvent;
use crate::fault::{Conviction, OpenInFlightExit, RootState};
use crate::output::{OutputId, TxHash};
use crate::position::BlockNumber;
use crate::signature::Domain;

/// Whether and how the chain has ended. §3, §8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Halting {
    /// Set once a block was convicted.
    pub halt: Option<Halt>,
    /// When the chain was closed, in seconds.
    pub closed_at: Option<u64>,
}

/// All of it but in-flight and standard exits.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    ending: Halting,
    announcements: BTreeMap<B256, u64>,
    convictions: BTreeMap<BlockNumber, Conviction>,
    slashed_receipts: BTreeMap<BlockNumber, Conviction>,
    /// The keys that came after the first, each with its first block, ascending.
    operators: Vec<(BlockNumber, Address)>,
    /// What faults take, and what broken receipts take, in wei.
    bond: (u128, u128),
}

/// One change with what undoes it.
#[derive(Debug, Clone)]
pub(super) enum FaultsChange {
    Announced { announcement: B256 },
    Convicted { number: BlockNumber, before: Option<Conviction>, ending: Halting, bond: (u128, u128) },
    Slashed { number: BlockNumber, before: Option<Conviction>, bond: (u128, u128) },
    Bond { before: (u128, u128) },
    Rotated,
    Closed { before: Halting },
}

impl Faults {
    /// Takes in an event of root block `at_number`, whose time is `timestamp`.
    pub(super) fn apply(
        &mut self,
        at_number: u64,
        timestamp: u64,
        event: &RootEvent,
    ) -> Result<FaultsChange, GameError> {
        let contradiction = |what| GameError::Fault { what };
        let bond = self.bond;
        match *event {
            RootEvent::FaultAnnounced { announcement } => {
                if self.announcements.contains_key(&announcement) {
                    return Err(contradiction("an announcement"));
                }
                self.announcements.insert(announcement, at_number);
                Ok(FaultsChange::Announced { announcement })
            }
            RootEvent::FaultProven { number, slashed, .. } => {
                let ending = self.ending;
                let is_void = ending.halt.is_some_and(|halt| halt.from <= number);
                let slashed = u128::try_from(slashed).ok().filter(|_| !is_void);
                let left = slashed.and_then(|slashed| Some((slashed, bond.0.checked_sub(slashed)?)));
                let (slashed, left) = left.ok_or(contradiction("a conviction"))?;
                self.bond.0 = left;
                self.ending.halt = Some(Halt { from: number, at: timestamp });
                let conviction = Conviction { root_block: at_number, reward: slashed / 2 };
                let before = self.convictions.insert(number, conviction);
                Ok(FaultsChange::Convicted { number, before, ending, bond })
            }
            RootEvent::FaultRewarded { number, .. } => {
                let before = self.convictions.get(&number).copied();
                let conviction = before.ok_or(contradiction("a reward"))?;
                self.convictions.insert(number, Conviction { reward: 0, ..conviction });
                Ok(FaultsChange::Convicted { number, before, ending: self.ending, bond })
            }
            RootEvent::ReceiptSlashed { number, slashed, .. } => {
                let slashed = u128::try_from(slashed).ok();
                let left = slashed.and_then(|slashed| Some((slashed, bond.1.checked_sub(slashed)?)));
                let (slashed, left) = left.ok_or(contradiction("a slashed receipt"))?;
                self.bond.1 = left;
                let conviction = Conviction { root_block: at_number, reward: slashed / 2 };
                let before = self.slashed_receipts.insert(number, conviction);
                Ok(FaultsChange::Slashed { number, before, bond })
            }
            RootEvent::ReceiptRewarded { number, .. } => {
                let before = self.slashed_receipts.get(&number).copied();
                let conviction = before.ok_or(contradiction("a reward"))?;
                self.slashed_receipts.insert(number, Conviction { reward: 0, ..conviction });
                Ok(FaultsChange::Slashed { number, before, bond })
            }
            RootEvent::BondFunded { fault_part, receipt_part, .. } => {
                let grown = bond.0.checked_add(fault_part).zip(bond.1.checked_add(receipt_part));
                self.bond = grown.ok_or(contradiction("the bond"))?;
                Ok(FaultsChange::Bond { before: bond })
            }
            RootEvent::BondWithdrawn { .. } => {
                self.bond = (0, 0);
                Ok(FaultsChange::Bond { before: bond })
            }
            RootEvent::OperatorAccepted { operator, first_block } => {
                if self.operators.last().is_some_and(|&(last, _)| first_block <= last) {
                    return Err(contradiction("a rotation"));
                }
                self.operators.push((first_block, operator));
                Ok(FaultsChange::Rotated)
            }
            RootEvent::ChainClosed => {
                let before = self.ending;
                if before != Halting::default() {
                    return Err(contradiction("a closing"));
                }
                self.ending.closed_at = Some(timestamp);
                Ok(FaultsChange::Closed { before })
            }
            _ => Err(contradiction("an event of another kind")),
        }
    }

    pub(super) fn revert(&mut self, change: FaultsChange) {
        match change {
            FaultsChange::Announced { announcement } => drop(self.announcements.remove(&announcement)),
            FaultsChange::Convicted { number, before, ending, bond } => {
                restore(&mut self.convictions, number, before);
                (self.ending, self.bond) = (ending, bond);
            }
            FaultsChange::Slashed { number, before, bond } => {
                restore(&mut self.slashed_receipts, number, before);
                self.bond = bond;
            }
            FaultsChange::Bond { before } => self.bond = before,
            FaultsChange::Rotated => drop(self.operators.pop()),
            FaultsChange::Closed { before } => self.ending = before,
        }
    }
}

impl Game {
    /// Returns from where on blocks are void, once one was convicted. §3.
    #[must_use]
    pub fn halt(&self) -> Option<Halt> {
        self.faults.ending.halt
    }

    /// Returns when the chain was closed, in seconds. §8.
    #[must_use]
    pub fn closed_at(&self) -> Option<u64> {
        self.faults.ending.closed_at
    }

    /// Returns whether block `number` is void. §3.
    #[must_use]
    pub fn is_void(&self, number: BlockNumber) -> bool {
        self.halt().is_some_and(|halt| halt.from <= number)
    }

    /// Returns the root block in which an announcement was first made. §3.
    #[must_use]
    pub fn announcement(&self, announcement: B256) -> Option<u64> {
        self.faults.announcements.get(&announcement).copied()
    }

    /// Returns the conviction of a block. §3.
    #[must_use]
    pub fn conviction(&self, number: BlockNumber) -> Option<Conviction> {
        self.faults.convictions.get(&number).copied()
    }

    /// Returns when a receipt for a block was slashed. §3.
    #[must_use]
    pub fn slashed_receipt(&self, number: BlockNumber) -> Option<Conviction> {
        self.faults.slashed_receipts.get(&number).copied()
    }

    /// Returns the operator's key for a block number, `first` being the deployment's. §2.
    #[must_use]
    pub fn operator_of(&self, number: BlockNumber, first: Address) -> Address {
        let keys = self.faults.operators.iter().rev();
        keys.into_iter().find(|(from, _)| *from <= number).map_or(first, |&(_, key)| key)
    }

    /// Returns the first block after `number` that is another key's than `number`'s, and whose. §2.
    #[must_use]
    pub fn next_operator(&self, number: BlockNumber) -> Option<(BlockNumber, Address)> {
        self.faults.operators.iter().find(|(from, _)| *from > number).copied()
    }

    /// Returns what is left of the operator's bond: for faults, and for broken receipts, in wei. §3.
    #[must_use]
    pub fn operator_bond(&self) -> (u128, u128) {
        self.faults.bond
    }
}

/// A game with the domain of its signatures: what a verdict depends on, as the contract's events tell it.
#[derive(Debug, Clone, Copy)]
pub struct GameState<'a> {
    /// The exit game.
    pub game: &'a Game,
    /// The domain of signatures.
    pub domain: &'a Domain,
}

impl RootState for GameState<'_> {
    fn domain(&self) -> &Domain {
        self.domain
    }

    fn periods(&self) -> Periods {
        self.game.periods()
    }

    fn now(&self) -> u64 {
        self.game.now()
    }

    fn commitment(&self, number: BlockNumber) -> Option<B256> {
        self.game.header(number).map(|(header, _)| header.commitment())
    }

    fn halted_from(&self) -> Option<BlockNumber> {
        self.game.halt().map(|halt| halt.from)
    }

    fn conviction(&self, number: BlockNumber) -> Option<Conviction> {
        self.game.conviction(number)
    }

    fn coin(&self, output_id: OutputId) -> CoinState {
        let is_deposit = self.game.deposit_ids.contains(&output_id);
        let unsettled = if is_deposit { CoinState::DEPOSITED } else { CoinState::default() };
        match self.game.exit(output_id) {
            Some(CoinExit::Settled { freeze }) => unsettled.with_settlement(*freeze),
            Some(CoinExit::Pending(PendingExit { record, settled, .. })) => {
                let exiting = unsettled.with_exit(record);
                settled.map_or(exiting, |freeze| exiting.with_settlement(freeze))
            }
            Some(CoinExit::Freed { .. }) | None => unsettled,
        }
    }

    fn open_in_flight_exit(&self, tx_hash: TxHash) -> Option<OpenInFlightExit> {
        let exit = self.game.in_flight_exit(tx_hash)?;
        Some(OpenInFlightExit { start: exit.start, key: exit.key, live: exit.live_pieces })
    }
}
