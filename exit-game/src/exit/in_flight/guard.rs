//! What a watcher does in flight for the owners that it guards: which payments leave, and what is done in the exits in which
//! they have coins. Pure, from the open exits, *now*, and what is known. §6, §7.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use alloy_primitives::Address;

use super::duty::Evidence;
use super::{Piece, PieceSet, SignedTransaction};
use crate::exit::standard::ExitRecord;
use crate::game::{CoinExit, Game, InFlightExit, PendingExit};
use crate::ledger::check_balance;
use crate::output::{ETHER, Output, OutputId, TxHash};
use crate::position::Position;

/// Whose coins are guarded, and how the chain is.
#[derive(Debug, Clone, Copy)]
pub struct Guard<'a> {
    /// The owners.
    pub owners: &'a [Address],
    /// All accounts that act: an exit in which one has a bond is closed.
    pub accounts: &'a [Address],
    /// Timestamp of the first block that is bad, in seconds, if coins are to leave because of it.
    pub bad_since: Option<u64>,
    /// What a piece costs its owner in any case, in wei: less ether than this is not claimed.
    pub bounty_wei: u128,
}

/// An act that is due for a guarded owner, in an open exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnDuty {
    /// The exit's transaction.
    pub tx_hash: TxHash,
    /// When the exit started, in seconds: tells it from a later one of the same transaction.
    pub start: u64,
    /// Whose act it is.
    pub owner: Address,
    /// What is to be done.
    pub act: OwnAct,
    /// The act is surely in time while *now* is less than this, in seconds.
    pub before: u64,
}

/// What an owner does in an in-flight exit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnAct {
    /// Show that inputs are older than the exit says. §6.1.
    Improve {
        /// Index of each such input, with its place.
        older: Vec<(u8, Position)>,
    },
    /// Claim pieces of one asset. §6.2.
    Piggyback {
        /// The asset.
        asset: Address,
        /// The pieces, all the owner's.
        pieces: PieceSet,
    },
    /// End an exit that is over: what bonds are left go back. §6.8.
    Close,
}

impl OwnAct {
    /// Returns whether `exit` stands as if it had been done.
    #[must_use]
    pub fn is_done(&self, exit: &InFlightExit) -> bool {
        match self {
            Self::Improve { older } => older.iter().all(|&(index, position)| {
                exit.data.inputs.get(usize::from(index)).is_some_and(|input| input.position <= position)
            }),
            Self::Piggyback { pieces, .. } => {
                let claimed = exit.live_pieces.with(exit.challenged_pieces);
                exit.decision.is_some() || claimed.shared(*pieces) == *pieces
            }
            Self::Close => false,
        }
    }
}

/// Returns what guarded owners are to do in open exits, what is to be done soonest first.
#[must_use]
pub fn due(game: &Game, evidence: &impl Evidence, guard: &Guard<'_>) -> Vec<OwnDuty> {
    let mut due: Vec<_> = game.in_flight_exits().flat_map(|exit| due_for(game, exit, evidence, guard)).collect();
    due.sort_by_key(|duty| duty.before);
    due
}

fn due_for(game: &Game, exit: &InFlightExit, evidence: &impl Evidence, guard: &Guard<'_>) -> Vec<OwnDuty> {
    let duty = |owner, act, before| OwnDuty { tx_hash: exit.tx_hash, start: exit.start, owner, act, before };
    let end = game.periods().end_of_first_half(exit.start);
    if game.now() >= end {
        return close(game, exit, guard).map(|owner| duty(owner, OwnAct::Close, u64::MAX)).into_iter().collect();
    }
    let improvement = improvement(exit, evidence, guard).map(|(owner, act)| duty(owner, act, end));
    let claims = claims(game, exit, evidence, guard);
    let claims = claims.into_iter().map(|((owner, asset), pieces)| {
        let pieces = PieceSet::from_iter(pieces);
        duty(owner, OwnAct::Piggyback { asset, pieces }, end)
    });
    improvement.into_iter().chain(claims).collect()
}

/// Shows the oldest places, if the exit has others: its pieces would be paid later than they may be.
fn improvement(exit: &InFlightExit, evidence: &impl Evidence, guard: &Guard<'_>) -> Option<(Address, OwnAct)> {
    let outputs = exit.transaction.body.outputs().iter().map(|output| output.owner);
    let owner = guard.first_of([exit.data.owner].into_iter().chain(outputs))?;
    let older = exit.data.inputs.iter().zip(0..).filter_map(|(input, index)| {
        let (position, _) = evidence.coin(input.output_id)?;
        (position < input.position).then_some((index, position))
    });
    let older: Vec<_> = older.collect();
    (!older.is_empty()).then_some((owner, OwnAct::Improve { older }))
}

/// Returns the pieces to claim, by owner and asset.
///
/// None while the transaction is in a valid block: what it made stands on the chain. As long as it may still get into one,
/// which is known once the freeze of its inputs and the grace of the last block before it are over, nothing is claimed but
/// what leaves anyway because the chain is bad. Nothing is claimed where an input's own block is void: such an exit pays nothing.
fn claims(
    game: &Game,
    exit: &InFlightExit,
    evidence: &impl Evidence,
    guard: &Guard<'_>,
) -> BTreeMap<(Address, Address), Vec<Piece>> {
    let periods = game.periods();
    let is_certain = game.now() > periods.freeze_of_in_flight_input(exit.start).saturating_add(periods.grace());
    let mut claims = BTreeMap::<_, Vec<_>>::new();
    let mut blocks = exit.data.inputs.iter().filter_map(|input| input.position.block());
    let is_void = blocks.any(|number| game.is_void(number));
    if is_void || evidence.inclusion(exit.tx_hash).is_some() || !(is_certain || guard.bad_since.is_some()) {
        return claims;
    }
    let inputs = exit.data.inputs.iter().zip(0..).map(|(input, index)| (Piece::Input(index), input.output_id));
    let is_spent = |output_id| evidence.included_spend(output_id).is_some();
    // With another spend of an input in a valid block it is not canonical, and pays no output.
    let pays_outputs = !exit.data.inputs.iter().any(|input| is_spent(input.output_id));
    let outputs = (0..exit.transaction.body.outputs().len() as u8)
        .filter(|_| pays_outputs)
        .map(|index| (Piece::Output(index), OutputId::of_output(exit.tx_hash, index)));
    for (piece, output_id) in inputs.chain(outputs) {
        let Some((_, output)) = exit.coin(piece) else { continue };
        let is_ours = guard.owners.contains(&output.owner) && guard.is_worth_it(&output);
        let is_open = !exit.live_pieces.with(exit.challenged_pieces).has(piece) && !is_settled(game, output_id);
        let is_free = match piece {
            Piece::Input(_) => !is_spent(output_id),
            // Whoever shows the spend and where the transaction stands takes the piece: that is ruled out by now.
            Piece::Output(_) => is_certain || !evidence.has_signed_spend(output_id, output.owner),
        };
        if is_ours && is_open && is_free {
            claims.entry((output.owner, output.asset)).or_default().push(piece);
        }
    }
    claims
}

/// Returns who closes the exit, if it can be closed and holds a bond of ours or a guarded owner's inputs.
fn close(game: &Game, exit: &InFlightExit, guard: &Guard<'_>) -> Option<Address> {
    let may_be_answered = exit.challenger.is_some() && exit.decision.is_none() && game.now() < exit.key;
    if !exit.live_pieces.is_empty() || may_be_answered {
        return None;
    }
    let mut bearers = [exit.data.starter].into_iter().chain(exit.challenger);
    bearers.find(|account| guard.accounts.contains(account)).or_else(|| guard.first_of([exit.data.owner].into_iter()))
}

/// Returns who starts the in-flight exit of a payment that `signer` signed, if it leaves: it is in no valid block although
/// the chain is bad, a guarded owner has something in it, no input is spent otherwise or settled, and it was not tried since:
/// another try would feed the bonds to whoever ended the first.
#[must_use]
pub fn starter(
    payment: &SignedTransaction,
    signer: Address,
    game: &Game,
    evidence: &impl Evidence,
    guard: &Guard<'_>,
) -> Option<Address> {
    let bad_since = guard.bad_since?;
    let tx_hash = payment.body.hash();
    let is_tried = game.in_flight_exit(tx_hash).is_some() || game.is_in_flight_exit_closed_since(tx_hash, bad_since);
    if is_tried || evidence.inclusion(tx_hash).is_some() {
        return None;
    }
    let mut inputs = Vec::new();
    for &output_id in payment.body.inputs() {
        let (_, output) = evidence.coin(output_id)?;
        if output.owner != signer || evidence.included_spend(output_id).is_some() || is_settled(game, output_id) {
            return None;
        }
        inputs.push(output);
    }
    check_balance(&inputs, payment.body.outputs()).ok()?;
    let coins = inputs.iter().chain(payment.body.outputs());
    let worthy = coins.filter(|coin| guard.is_worth_it(coin));
    guard.first_of(worthy.map(|coin| coin.owner))
}

/// Exits and pieces of one asset, all under the key whose turn it is. §4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// The asset.
    pub asset: Address,
    /// The key, in seconds.
    pub key: u64,
    /// The guarded owner for whom it is made.
    pub owner: Address,
    /// The standard exits.
    pub exits: Vec<ExitRecord>,
    /// The pieces, exit by exit.
    pub pieces: BTreeMap<TxHash, PieceSet>,
}

/// Returns what is to be processed so that guarded owners are paid: of each asset in which one has something due, what stands
/// first; of the key under which theirs stand, theirs alone. §5.2, §6.7.
#[must_use]
pub fn payouts(game: &Game, guard: &Guard<'_>) -> Vec<Payout> {
    let due = due_turns(game);
    let mut ours = BTreeMap::<Address, (u64, Address)>::new();
    for turn in due.iter().filter(|turn| guard.owners.contains(&turn.payee)) {
        let first = ours.entry(turn.asset).or_insert((turn.key, turn.payee));
        *first = (*first).min((turn.key, turn.payee));
    }
    let payout = |(asset, (our_key, owner)): (Address, (u64, Address))| {
        let of_asset = || due.iter().filter(move |turn| turn.asset == asset);
        let key = of_asset().map(|turn| turn.key).min().unwrap_or(our_key);
        let is_in = |turn: &&Turn| turn.key == key && (key < our_key || guard.owners.contains(&turn.payee));
        let mut payout = Payout { asset, key, owner, exits: Vec::new(), pieces: BTreeMap::new() };
        for turn in of_asset().filter(is_in) {
            match turn.what {
                What::Exit(record) => payout.exits.push(record),
                What::Piece(tx_hash, piece) => {
                    let pieces = payout.pieces.entry(tx_hash).or_default();
                    *pieces = pieces.with(PieceSet::from_iter([piece]));
                }
            }
        }
        payout
    };
    ours.into_iter().map(payout).collect()
}

/// A standard exit or a piece whose key is not later than *now*.
struct Turn {
    asset: Address,
    key: u64,
    payee: Address,
    what: What,
}

enum What {
    Exit(ExitRecord),
    Piece(TxHash, Piece),
}

fn due_turns(game: &Game) -> Vec<Turn> {
    let exits = game.pending_exits().map(|exit| {
        let ExitRecord { key, output, .. } = exit.record;
        Turn { asset: output.asset, key, payee: exit.payee, what: What::Exit(exit.record) }
    });
    let pieces = game.in_flight_exits().flat_map(|exit| {
        exit.live_pieces.iter().filter_map(|piece| {
            let (_, output) = exit.coin(piece)?;
            let what = What::Piece(exit.tx_hash, piece);
            Some(Turn { asset: output.asset, key: exit.key, payee: output.owner, what })
        })
    });
    exits.chain(pieces).filter(|turn| turn.key <= game.now()).collect()
}

impl Guard<'_> {
    fn first_of(&self, mut owners: impl Iterator<Item = Address>) -> Option<Address> {
        owners.find(|owner| self.owners.contains(owner))
    }

    fn is_worth_it(&self, coin: &Output) -> bool {
        coin.asset != ETHER || coin.amount > self.bounty_wei
    }
}

fn is_settled(game: &Game, output_id: OutputId) -> bool {
    match game.exit(output_id) {
        Some(CoinExit::Settled { .. } | CoinExit::Pending(PendingExit { settled: Some(_), .. })) => true,
        Some(CoinExit::Pending(_) | CoinExit::Freed { .. }) | None => false,
    }
}
