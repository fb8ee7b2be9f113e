//! The in-flight exits of the game: those that are open, and which coins they freeze and lock. §3.1, §6.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use alloy_primitives::{Address, B256};

use super::{GameError, restore};
use crate::exit::in_flight::{Decision, InFlightData, InputData, OldestPlace, Piece, PieceSet, SignedTransaction};
use crate::exit::key::Periods;
use crate::facts::InFlightStep;
use crate::output::{Output, OutputId, TxHash};

/// An open in-flight exit. §6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlightExit {
    /// Its transaction's hash, under which it is open.
    pub tx_hash: TxHash,
    /// The transaction.
    pub transaction: SignedTransaction,
    /// What the contract keeps the hash of.
    pub data: InFlightData,
    /// When it started, in seconds.
    pub start: u64,
    /// When its pieces can be paid, in seconds. §4.
    pub key: u64,
    /// Piggybacked, and neither challenged away nor paid.
    pub live_pieces: PieceSet,
    /// Pieces that were challenged away.
    pub challenged_pieces: PieceSet,
    /// The oldest place that was shown.
    pub oldest: OldestPlace,
    /// Whose bond is held for the place that he showed.
    pub challenger: Option<Address>,
    /// What it pays, once the turn of its first piece came.
    pub decision: Option<Decision>,
    /// Number of the root block that holds the start.
    pub started_in: u64,
}

impl InFlightExit {
    /// Returns the coin behind a piece: its name, and owner, asset and amount; `None` if the transaction has no such input
    /// or output.
    #[must_use]
    pub fn coin(&self, piece: Piece) -> Option<(OutputId, Output)> {
        match piece {
            Piece::Input(index) => {
                let input = self.data.inputs.get(usize::from(index))?;
                let output = Output { owner: self.data.owner, asset: input.asset, amount: input.amount };
                Some((input.output_id, output))
            }
            Piece::Output(index) => {
                let output = self.transaction.body.outputs().get(usize::from(index))?;
                Some((OutputId::of_output(self.tx_hash, index), *output))
            }
        }
    }

    /// Returns the names of its inputs and outputs.
    pub fn coins(&self) -> impl Iterator<Item = OutputId> {
        let outputs = (0..self.transaction.body.outputs().len() as u8).map(|i| OutputId::of_output(self.tx_hash, i));
        self.data.inputs.iter().map(|input| input.output_id).chain(outputs)
    }

    /// Returns whether the decision pays this side's pieces. §6.7.
    fn pays(&self, piece: Piece) -> bool {
        let paid_by = match piece {
            Piece::Input(_) => Decision::NonCanonical,
            Piece::Output(_) => Decision::Canonical,
        };
        self.decision == Some(paid_by)
    }
}

/// How an output of an exiting transaction fares.
#[derive(Debug, Clone, Copy)]
pub(super) enum OutputPiece {
    /// It is piggybacked in the exit of this transaction.
    Live(TxHash),
    /// It was, and ended without being paid in the root block with this number.
    Ended { ended_in: u64 },
}

/// An exit's name among all that ever were: its transaction, and when it started.
type ExitKey = (TxHash, u64);

/// One change with what undoes it.
#[derive(Debug, Clone)]
pub(super) enum InFlightChange {
    Exit { tx_hash: TxHash, before: Option<Box<InFlightExit>> },
    Locked { output_id: OutputId, exit: ExitKey },
    Closed { exit: ExitKey },
    Output { output_id: OutputId, before: Option<OutputPiece> },
}

/// A coin that a step settled, with the time from which no block may spend it.
pub(super) type Settlement = (OutputId, u64);

/// The open exits with an index of their coins.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlightExits {
    open: BTreeMap<TxHash, Box<InFlightExit>>,
    /// Every exit that was closed, with the number of the root block that closed it.
    closed: BTreeMap<ExitKey, u64>,
    /// Every exit, open or closed, of each input.
    locks: BTreeSet<(OutputId, ExitKey)>,
    outputs: BTreeMap<OutputId, OutputPiece>,
}

impl InFlightExits {
    pub(super) fn get(&self, tx_hash: TxHash) -> Option<&InFlightExit> {
        self.open.get(&tx_hash).map(Box::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &InFlightExit> {
        self.open.values().map(Box::as_ref)
    }

    /// The open exits with this input.
    pub(super) fn of_input(&self, output_id: OutputId) -> impl Iterator<Item = &InFlightExit> {
        let open = self.locks(output_id).filter(|exit| !self.closed.contains_key(exit));
        open.filter_map(|(tx_hash, _)| self.get(tx_hash))
    }

    /// Whether the exit of this transaction that started then was closed.
    pub(super) fn is_closed(&self, tx_hash: TxHash, start: u64) -> bool {
        self.closed.contains_key(&(tx_hash, start))
    }

    /// Whether an exit of this transaction that started then or later was closed.
    pub(super) fn is_closed_since(&self, tx_hash: TxHash, start: u64) -> bool {
        self.closed.range((tx_hash, start)..=(tx_hash, u64::MAX)).next().is_some()
    }

    /// The open exit in which this output is piggybacked.
    pub(super) fn of_live_output(&self, output_id: OutputId) -> Option<&InFlightExit> {
        match self.outputs.get(&output_id)? {
            OutputPiece::Live(tx_hash) => self.get(*tx_hash),
            OutputPiece::Ended { .. } => None,
        }
    }

    /// The earliest freeze of a coin that is not settled. §3.1.
    pub(super) fn freeze_of(&self, output_id: OutputId, periods: &Periods) -> Option<u64> {
        let as_input = self.of_input(output_id).map(|exit| periods.freeze_of_in_flight_input(exit.start)).min();
        let as_output = self.of_live_output(output_id).map(|exit| periods.freeze_of_in_flight_output(exit.key));
        as_input.into_iter().chain(as_output).min()
    }

    /// The last root block that closed an exit with this input, or ended the output's piece without paying it.
    pub(super) fn freed_in(&self, output_id: OutputId) -> Option<u64> {
        let as_input = self.locks(output_id).filter_map(|exit| self.closed.get(&exit).copied()).max();
        let as_output = match self.outputs.get(&output_id) {
            Some(OutputPiece::Ended { ended_in }) => Some(*ended_in),
            Some(OutputPiece::Live(_)) | None => None,
        };
        as_input.max(as_output)
    }

    /// Whether no open exit keeps an operator from accepting `spender` over the coin. §3.1.
    pub(super) fn is_spendable(&self, output_id: OutputId, spender: TxHash, periods: &Periods, now: u64) -> bool {
        let is_own =
            |exit: &InFlightExit| exit.tx_hash == spender && now <= periods.last_acceptance_in_flight(exit.start);
        self.of_input(output_id).all(is_own) && self.of_live_output(output_id).is_none()
    }

    /// Takes in a step in root block `at_number` and returns the coins that it settles.
    pub(super) fn apply(
        &mut self,
        at_number: u64,
        tx_hash: TxHash,
        step: &InFlightStep,
        periods: &Periods,
        changes: &mut Vec<InFlightChange>,
    ) -> Result<Vec<Settlement>, GameError> {
        if let InFlightStep::Started { data, start, key, transaction } = step {
            let exit = InFlightExit {
                tx_hash,
                transaction: transaction.clone(),
                data: data.clone(),
                start: *start,
                key: *key,
                live_pieces: PieceSet::NONE,
                challenged_pieces: PieceSet::NONE,
                oldest: OldestPlace::Nobodys,
                challenger: None,
                decision: None,
                started_in: at_number,
            };
            return self.start(exit, changes).map(|()| Vec::new());
        }
        let mut exit = self.open.get(&tx_hash).ok_or(GameError::NotOpen { tx_hash })?.clone();
        let contradiction = GameError::InFlightStep { tx_hash };
        let mut settled = Vec::new();
        match step {
            InFlightStep::Started { .. } => return Err(GameError::AlreadyOpen { tx_hash }),
            InFlightStep::Improved { key, data } => {
                let ids = exit.data.inputs.iter().map(|input| input.output_id);
                let is_same = ids.eq(data.inputs.iter().map(|input| input.output_id));
                if !is_same || (data.starter, data.owner) != (exit.data.starter, exit.data.owner) {
                    return Err(contradiction);
                }
                exit.key = *key;
                exit.data.clone_from(data);
            }
            InFlightStep::Piggybacked { pieces, .. } => {
                for piece in pieces.iter() {
                    let (output_id, _) = exit.coin(piece).ok_or(contradiction)?;
                    if exit.live_pieces.has(piece) {
                        return Err(contradiction);
                    }
                    if matches!(piece, Piece::Output(_)) {
                        self.set_output(output_id, Some(OutputPiece::Live(tx_hash)), changes);
                    }
                }
                exit.live_pieces = exit.live_pieces.with(*pieces);
            }
            InFlightStep::CanonicityChallenged { challenger, place, .. } => {
                exit.oldest = OldestPlace::Competitors(*place);
                exit.challenger = Some(*challenger);
            }
            InFlightStep::CanonicityAnswered { place, .. } => {
                exit.oldest = OldestPlace::Own(*place);
                exit.challenger = None;
            }
            InFlightStep::Decided(decision) => {
                if exit.decision.replace(*decision).is_some() {
                    return Err(contradiction);
                }
                if *decision == Decision::Canonical {
                    let freeze = periods.freeze_of_in_flight_input(exit.start);
                    settled.extend(exit.data.inputs.iter().map(|input| (input.output_id, freeze)));
                }
            }
            InFlightStep::PieceChallenged { piece, .. } => {
                let (output_id, _) = end_piece(&mut exit, *piece)?;
                exit.challenged_pieces = exit.challenged_pieces.with(PieceSet::from_iter([*piece]));
                if matches!(piece, Piece::Output(_)) {
                    self.set_output(output_id, Some(OutputPiece::Ended { ended_in: at_number }), changes);
                }
            }
            InFlightStep::PieceReturned { output_id: of, piece, .. } => {
                let (output_id, _) = end_piece(&mut exit, *piece)?;
                if output_id != *of || exit.decision.is_none() {
                    return Err(contradiction);
                }
                if matches!(piece, Piece::Output(_)) {
                    self.set_output(output_id, Some(OutputPiece::Ended { ended_in: at_number }), changes);
                }
            }
            InFlightStep::PiecePaid { output_id: of, piece, .. } => {
                let (output_id, _) = end_piece(&mut exit, *piece)?;
                if output_id != *of || !exit.pays(*piece) {
                    return Err(contradiction);
                }
                match piece {
                    Piece::Input(_) => settled.push((output_id, periods.freeze_of_in_flight_input(exit.start))),
                    Piece::Output(_) => {
                        self.set_output(output_id, None, changes);
                        settled.push((output_id, periods.freeze_of_in_flight_output(exit.key)));
                    }
                }
            }
            InFlightStep::Closed => {
                if !exit.live_pieces.is_empty() {
                    return Err(contradiction);
                }
                let closed = (tx_hash, exit.start);
                self.closed.insert(closed, at_number);
                changes.push(InFlightChange::Closed { exit: closed });
                self.set_exit(tx_hash, None, changes);
                return Ok(settled);
            }
        }
        self.set_exit(tx_hash, Some(exit), changes);
        Ok(settled)
    }

    /// Undoes a change. It must be the last one.
    pub(super) fn revert(&mut self, change: InFlightChange) {
        match change {
            InFlightChange::Exit { tx_hash, before } => drop(restore(&mut self.open, tx_hash, before)),
            InFlightChange::Locked { output_id, exit } => drop(self.locks.remove(&(output_id, exit))),
            InFlightChange::Closed { exit } => drop(self.closed.remove(&exit)),
            InFlightChange::Output { output_id, before } => drop(restore(&mut self.outputs, output_id, before)),
        }
    }

    fn start(&mut self, exit: InFlightExit, changes: &mut Vec<InFlightChange>) -> Result<(), GameError> {
        let tx_hash = exit.tx_hash;
        if self.open.contains_key(&tx_hash) {
            return Err(GameError::AlreadyOpen { tx_hash });
        }
        // The one before was closed half a period after its start at the earliest.
        if self.is_closed(tx_hash, exit.start) {
            return Err(GameError::InFlightStep { tx_hash });
        }
        for &InputData { output_id, .. } in &exit.data.inputs {
            let exit = (tx_hash, exit.start);
            self.locks.insert((output_id, exit));
            changes.push(InFlightChange::Locked { output_id, exit });
        }
        self.set_exit(tx_hash, Some(Box::new(exit)), changes);
        Ok(())
    }

    /// Every exit with this input.
    fn locks(&self, output_id: OutputId) -> impl Iterator<Item = ExitKey> {
        let (first, last) = (TxHash(B256::ZERO), TxHash(B256::repeat_byte(0xff)));
        self.locks.range((output_id, (first, 0))..=(output_id, (last, u64::MAX))).map(|&(_, exit)| exit)
    }

    fn set_exit(&mut self, tx_hash: TxHash, exit: Option<Box<InFlightExit>>, changes: &mut Vec<InFlightChange>) {
        let before = restore(&mut self.open, tx_hash, exit);
        changes.push(InFlightChange::Exit { tx_hash, before });
    }

    fn set_output(&mut self, output_id: OutputId, piece: Option<OutputPiece>, changes: &mut Vec<InFlightChange>) {
        let before = restore(&mut self.outputs, output_id, piece);
        changes.push(InFlightChange::Output { output_id, before });
    }
}

/// Takes a live piece out of an exit and returns its coin.
fn end_piece(exit: &mut InFlightExit, piece: Piece) -> Result<(OutputId, Output), GameError> {
    let coin = exit.coin(piece).filter(|_| exit.live_pieces.has(piece));
    let coin = coin.ok_or(GameError::InFlightStep { tx_hash: exit.tx_hash })?;
    exit.live_pieces = exit.live_pieces.without(piece);
    Ok(coin)
}
