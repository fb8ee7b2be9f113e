//! What a watcher owes every in-flight exit on the chain: pure, from the open exits, *now*, and what is known. §7.
//!
//! All of it rests on inclusions in blocks that are valid with all earlier bodies served. In such blocks a coin is spent at most
//! once and they are older than all others: of a transaction and its competitors at most one has a place there, and no place
//! that anybody can show is older. Hence nothing is ever owed against a canonical exit.

use alloc::vec::Vec;

use alloy_primitives::Address;

use super::{OldestPlace, Piece};
use crate::exit::key::Periods;
use crate::game::{Game, InFlightExit};
use crate::output::{Output, OutputId, TxHash};
use crate::position::{Place, Position};

/// A transaction's place in a block that is valid with all earlier bodies served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inclusion {
    /// The transaction.
    pub tx_hash: TxHash,
    /// Its place.
    pub place: Place,
    /// The block's timestamp, in seconds.
    pub timestamp: u64,
}

/// What a watcher knows.
pub trait Evidence {
    /// Returns where the transaction stands in a block that is valid with all earlier bodies served.
    fn inclusion(&self, tx_hash: TxHash) -> Option<Inclusion>;

    /// Returns which transaction spends the coin in such a block.
    fn included_spend(&self, output_id: OutputId) -> Option<Inclusion>;

    /// Returns where the coin was made, with owner, asset and amount, if it is a deposit or such a block made it.
    fn coin(&self, output_id: OutputId) -> Option<(Position, Output)>;

    /// Returns whether a transaction is at hand that spends the coin with `owner`'s signature, included or not.
    fn has_signed_spend(&self, output_id: OutputId, owner: Address) -> bool;
}

/// An act that is due for an open exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duty {
    /// The exit's transaction.
    pub tx_hash: TxHash,
    /// When the exit started, in seconds: tells it from a later one of the same transaction.
    pub start: u64,
    /// What is to be done.
    pub act: Act,
    /// The act is surely in time while *now* is less than this, in seconds.
    pub before: u64,
}

/// What is to be done for an in-flight exit, with the evidence that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Show the competitor that spends an input. §6.3.
    ChallengeCanonicity {
        /// Index of the input.
        input: u8,
        /// The competitor, included.
        competitor: Inclusion,
    },
    /// Show the exit's own transaction at its place. §6.4.
    Respond {
        /// That place.
        own: Inclusion,
    },
    /// Show that the coin of a live piece is spent. §6.5.
    ChallengePiece {
        /// The piece.
        piece: Piece,
        /// Its coin.
        output_id: OutputId,
        /// The coin's owner, who signed the spend.
        owner: Address,
        /// Of an input the spend, of an output the exit's own transaction.
        shown: Inclusion,
    },
}

impl Act {
    /// Returns the inclusion that it shows.
    #[must_use]
    pub fn shown(&self) -> &Inclusion {
        match self {
            Self::ChallengeCanonicity { competitor: shown, .. }
            | Self::Respond { own: shown }
            | Self::ChallengePiece { shown, .. } => shown,
        }
    }

    /// Returns whether `exit` stands as if somebody had done it.
    #[must_use]
    pub fn is_done(&self, exit: &InFlightExit) -> bool {
        match self {
            Self::ChallengeCanonicity { competitor: shown, .. } | Self::Respond { own: shown } => {
                !exit.oldest.is_bettered_by(shown.place)
            }
            Self::ChallengePiece { piece, .. } => !exit.live_pieces.has(*piece),
        }
    }
}

/// Returns what is due for all open exits, what is to be done soonest first.
#[must_use]
pub fn due(game: &Game, evidence: &impl Evidence) -> Vec<Duty> {
    let (periods, now) = (game.periods(), game.now());
    let mut due: Vec<_> = game.in_flight_exits().flat_map(|exit| due_for(exit, &periods, now, evidence)).collect();
    due.sort_by_key(|duty| duty.before);
    due
}

/// Returns what is due at `now` for one open exit.
fn due_for(exit: &InFlightExit, periods: &Periods, now: u64, evidence: &impl Evidence) -> Vec<Duty> {
    let own = evidence.inclusion(exit.tx_hash);
    let canonicity = match own {
        Some(own) => response(exit, own),
        None => challenge(exit, periods, now, evidence),
    };
    let pieces = exit.live_pieces.iter().filter_map(|piece| piece_challenge(exit, piece, own, periods, evidence));
    let duty = |(act, before)| Duty { tx_hash: exit.tx_hash, start: exit.start, act, before };
    canonicity.into_iter().chain(pieces).map(duty).collect()
}

/// Shows the own place if an oldest place is younger. Nothing is to be answered while the exit is canonical as it stands, and
/// nothing can be once it is decided, which is never before its key.
fn response(exit: &InFlightExit, own: Inclusion) -> Option<(Act, u64)> {
    let is_wrong = match exit.oldest {
        OldestPlace::Nobodys => false,
        // One's own place is bettered too: a block of the younger one may yet be void.
        OldestPlace::Competitors(_) | OldestPlace::Own(_) => exit.oldest.is_bettered_by(own.place),
    };
    (is_wrong && exit.decision.is_none()).then_some((Act::Respond { own }, exit.key))
}

/// Shows the oldest competitor, unless what was shown is as old. It is due whether or not anything is piggybacked yet, and
/// against a competitor that was not included too: this transaction may be included where nobody can see it.
fn challenge(exit: &InFlightExit, periods: &Periods, now: u64, evidence: &impl Evidence) -> Option<(Act, u64)> {
    let end = periods.end_of_first_half(exit.start);
    if now >= end {
        return None;
    }
    let spends = exit.data.inputs.iter().zip(0u8..).filter_map(|(input, index)| {
        let competitor = evidence.included_spend(input.output_id)?;
        (competitor.tx_hash != exit.tx_hash).then_some((index, competitor))
    });
    let (input, competitor) = spends.min_by_key(|(_, competitor)| competitor.place)?;
    let act = Act::ChallengeCanonicity { input, competitor };
    exit.oldest.is_bettered_by(competitor.place).then_some((act, end))
}

/// Shows that a piece's coin is spent, by an inclusion that the freeze of the inputs allows.
fn piece_challenge(
    exit: &InFlightExit,
    piece: Piece,
    own: Option<Inclusion>,
    periods: &Periods,
    evidence: &impl Evidence,
) -> Option<(Act, u64)> {
    let (output_id, output) = exit.coin(piece)?;
    let owner = output.owner;
    let shown = match piece {
        Piece::Input(_) => evidence.included_spend(output_id).filter(|spend| spend.tx_hash != exit.tx_hash),
        Piece::Output(_) => own.filter(|_| evidence.has_signed_spend(output_id, owner)),
    }?;
    if shown.timestamp > periods.freeze_of_in_flight_input(exit.start) {
        return None;
    }
    Some((Act::ChallengePiece { piece, output_id, owner, shown }, exit.key))
}
