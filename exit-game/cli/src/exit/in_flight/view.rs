//! An in-flight exit as it is shown: its pieces, its times, how it would be decided, and who has to act next. §6.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace, Piece};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::game::{CoinExit, Game, InFlightExit, PendingExit};
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_node::wire::form;
use serde::Serialize;

use crate::amount::shown;

/// When what can be done, in seconds of root-chain time.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Times {
    pub(crate) start: u64,
    /// Before this it can be improved, piggybacked, and challenged for its canonicity.
    pub(crate) first_half_ends: u64,
    /// No later block may spend its inputs. §3.1.
    pub(crate) freeze: u64,
    /// Until then its owner does not piggyback an output that was signed away. §7.
    pub(crate) signed_away_until: u64,
    /// When its pieces can be paid at the earliest. Until then at least, it can be answered.
    pub(crate) key: u64,
}

impl Times {
    pub(crate) fn of(exit: &InFlightExit, periods: &Periods) -> Self {
        let freeze = periods.freeze_of_in_flight_input(exit.start);
        Self {
            start: exit.start,
            first_half_ends: periods.end_of_first_half(exit.start),
            freeze,
            signed_away_until: freeze.saturating_add(periods.grace()),
            key: exit.key,
        }
    }

    /// Returns from when on the exit can be closed, if it has no live pieces by then. §6.8.
    pub(crate) fn close_from(&self, exit: &InFlightExit) -> u64 {
        // A challenge in the last second leaves time for a response.
        if exit.challenger.is_some() && exit.decision.is_none() { self.key } else { self.first_half_ends }
    }
}

/// A piece as it is shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PieceRow {
    #[serde(flatten)]
    name: PieceName,
    #[serde(with = "form")]
    id: OutputId,
    #[serde(with = "form")]
    owner: Address,
    #[serde(with = "form")]
    asset: Address,
    #[serde(with = "form")]
    amount: u128,
    /// Whether it is piggybacked, and neither challenged away nor paid.
    live: bool,
}

/// A piece's name: `{"side":"input","index":0}`.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct PieceName {
    side: &'static str,
    index: u8,
}

impl From<Piece> for PieceName {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Input(index) => Self { side: "input", index },
            Piece::Output(index) => Self { side: "output", index },
        }
    }
}

impl fmt::Display for PieceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.side, self.index)
    }
}

/// An open in-flight exit as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    #[serde(with = "form")]
    pub(crate) tx_hash: TxHash,
    #[serde(with = "form")]
    starter: Address,
    /// Owner of all inputs.
    #[serde(with = "form")]
    owner: Address,
    #[serde(flatten)]
    pub(crate) times: Times,
    /// Seconds until its key, zero if it has come.
    remaining: u64,
    pieces: Vec<PieceRow>,
    /// Whose the oldest place is that was shown: `nobody`, `competitor` or `own`.
    oldest: &'static str,
    /// That place: the position of its output 0; none if it is nobody's, or of a competitor that is not included.
    #[serde(with = "form")]
    place: Option<Position>,
    /// Whose bond is held for it.
    #[serde(with = "form")]
    challenger: Option<Address>,
    /// `canonical`, `non-canonical` or `void`, once the turn of its first piece came.
    decision: Option<&'static str>,
    /// How it would be decided as it stands, or is decided.
    outlook: &'static str,
    /// Who must act next, and how.
    next: Vec<String>,
}

impl Shown {
    pub(crate) fn new(exit: &InFlightExit, game: &Game, void_from: Option<BlockNumber>) -> Self {
        let times = Times::of(exit, &game.periods());
        let row = |(piece, id, output): (Piece, OutputId, Output)| PieceRow {
            name: piece.into(),
            id,
            owner: output.owner,
            asset: output.asset,
            amount: output.amount,
            live: exit.live_pieces.has(piece),
        };
        let pieces: Vec<_> = pieces(exit).map(row).collect();
        let (oldest, place) = match exit.oldest {
            OldestPlace::Nobodys => ("nobody", None),
            OldestPlace::Competitors(place) => ("competitor", place),
            OldestPlace::Own(place) => ("own", Some(place)),
        };
        Self {
            tx_hash: exit.tx_hash,
            starter: exit.data.starter,
            owner: exit.data.owner,
            times,
            remaining: exit.key.saturating_sub(game.now()),
            next: next(exit, &pieces, &times, game.now()),
            pieces,
            oldest,
            place: place.map(|place| place.first_output()),
            challenger: exit.challenger,
            decision: exit.decision.map(word),
            outlook: word(outlook(exit, game, void_from)),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Times { start, first_half_ends, key, .. } = self.times;
        writeln!(f, "{}", self.tx_hash)?;
        writeln!(f, "  in flight since {start}, first half until {first_half_ends}, paid from {key} on")?;
        match self.decision {
            Some(decision) => writeln!(f, "  decided: {decision}")?,
            None => writeln!(f, "  {} as it stands", self.outlook)?,
        }
        for PieceRow { name, id, owner, asset, amount, live } in &self.pieces {
            let live = if *live { ", piggybacked" } else { "" };
            writeln!(f, "  {name}: {} of {owner}{live} ({id})", shown(*amount, *asset))?;
        }
        write!(f, "  next: {}", if self.next.is_empty() { "nobody".to_owned() } else { self.next.join("\n        ") })
    }
}

/// Returns the pieces that an exit's transaction has: inputs first.
pub(crate) fn pieces(exit: &InFlightExit) -> impl Iterator<Item = (Piece, OutputId, Output)> {
    let all = (0u8..32).filter_map(Piece::new);
    all.filter_map(|piece| exit.coin(piece).map(|(id, output)| (piece, id, output)))
}

/// Returns how an exit is decided, or would be if its turn came now. §6.6.
pub(crate) fn outlook(exit: &InFlightExit, game: &Game, void_from: Option<BlockNumber>) -> Decision {
    if let Some(decision) = exit.decision {
        return decision;
    }
    let is_void = |block: BlockNumber| void_from.is_some_and(|from| block >= from);
    if exit.data.inputs.iter().any(|input| input.position.block().is_some_and(is_void)) {
        return Decision::Void;
    }
    let is_oldest = match exit.oldest {
        OldestPlace::Nobodys => true,
        OldestPlace::Competitors(_) => false,
        OldestPlace::Own(place) => !is_void(place.block),
    };
    let is_unsettled = exit.data.inputs.iter().all(|input| !is_settled(game, input.output_id));
    if is_oldest && is_unsettled { Decision::Canonical } else { Decision::NonCanonical }
}

/// Returns whether a piece is of the side that a decision pays. §6.7.
pub(crate) fn is_paid_by(decision: Decision, piece: Piece) -> bool {
    matches!((decision, piece), (Decision::Canonical, Piece::Output(_)) | (Decision::NonCanonical, Piece::Input(_)))
}

/// Returns whether a coin has left for good.
pub(crate) fn is_settled(game: &Game, id: OutputId) -> bool {
    match game.exit(id) {
        Some(CoinExit::Settled { .. } | CoinExit::Pending(PendingExit { settled: Some(_), .. })) => true,
        Some(CoinExit::Pending(_) | CoinExit::Freed { .. }) | None => false,
    }
}

/// Returns a decision as it is written.
pub(crate) fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Canonical => "canonical",
        Decision::NonCanonical => "non-canonical",
        Decision::Void => "void",
    }
}

fn next(exit: &InFlightExit, pieces: &[PieceRow], times: &Times, now: u64) -> Vec<String> {
    let tx_hash = exit.tx_hash;
    let mut next = Vec::new();
    if now < times.first_half_ends {
        let mut waiting: BTreeMap<Address, Vec<String>> = BTreeMap::new();
        for piece in pieces.iter().filter(|piece| !piece.live) {
            waiting.entry(piece.owner).or_default().push(piece.name.to_string());
        }
        next.extend(waiting.into_iter().map(|(owner, pieces)| {
            let (pieces, before) = (pieces.join(", "), times.first_half_ends);
            format!("{owner}, to claim {pieces} before {before}: `plasmid exit piggyback {tx_hash}`")
        }));
        let before = times.first_half_ends;
        next.push(format!("whoever knows a block with another spend of an input, to show it before {before}"));
    }
    if matches!(exit.oldest, OldestPlace::Competitors(_)) && exit.decision.is_none() {
        next.push(format!(
            "whoever knows an older block with the payment, to show it before the exit is decided, at {} at the earliest: \
             `plasmid exit respond {tx_hash}`",
            times.key
        ));
    }
    if exit.live_pieces.is_empty() {
        next.push(format!("anybody, to close it from {} on: `plasmid exit close {tx_hash}`", times.close_from(exit)));
    } else {
        next.push(format!("anybody, to have its pieces paid from {} on: `plasmid exit process`", times.key));
    }
    next
}
