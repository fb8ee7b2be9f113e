//! Which acts are due, as a pure function of what is kept and of the open exits. §5.2, §6, §7
//!
//! Payments in blocks up to [`Kept::sound`] count as standing in valid blocks, as a full watcher's do in those that it verified:
//! what is owed to in-flight exits follows from the same rules ([`duty`](in_flight_duty), [`guard`]), over fewer payments.

use std::fmt;

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::duty::{self as in_flight_duty, Act, Duty, Evidence, Inclusion};
use plasmid_exit_game::exit::in_flight::guard::{self, OwnAct, OwnDuty, Payout};
use plasmid_exit_game::game::{Game, PendingExit};
use plasmid_exit_game::output::{ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::Position;

use crate::kept::{GuardedCoin, Kept};
use crate::verdict::{Fate, Newest, fate};

/// Who acts, and how far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The accounts that act; without any nothing is due.
    pub accounts: Vec<Address>,
    /// Those among them whose coins leave by themselves.
    pub leaving: Vec<Address>,
    /// What an exit costs its owner in any case, in wei: less ether than this stays.
    pub bounty_wei: u128,
    /// What a piece of an in-flight exit costs its owner, likewise.
    pub piece_bounty_wei: u128,
}

/// An act that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// The exit of an input of a kept payment is challenged by the payment. §5.2
    Challenge {
        /// The exit.
        exit: PendingExit,
        /// The payment.
        by: TxHash,
    },
    /// An in-flight exit is owed something. §6.3–6.5
    InFlight(Duty),
    /// An owner acts in an in-flight exit. §6.1, §6.2, §6.8
    Own(OwnDuty),
    /// A payment leaves in flight. §6.1
    Start {
        /// The payment.
        tx_hash: TxHash,
        /// Who starts it.
        owner: Address,
    },
    /// A coin leaves. §5.2
    Leave {
        /// The coin.
        id: OutputId,
        /// Its owner.
        owner: Address,
    },
    /// An owner is paid. §5.2, §6.7
    Process(Payout),
}

/// Its name: tells an act from every other, and the same act is one.
impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge { exit: PendingExit { record, started_in, .. }, .. } => {
                write!(
                    f,
                    "the challenge of the exit of spent coin {} started in root block {started_in}",
                    record.output_id
                )
            }
            Self::InFlight(Duty { tx_hash, start, act, .. }) => {
                let what = match act {
                    Act::ChallengeCanonicity { competitor, .. } => format!("the competitor {}", competitor.tx_hash),
                    Act::Respond { own } => format!("the response at {}", own.place),
                    Act::ChallengePiece { piece, .. } => format!("the challenge of piece {}", piece.number()),
                };
                write!(f, "{what} in the exit in flight of {tx_hash} since {start}")
            }
            Self::Own(OwnDuty { tx_hash, start, owner, act, .. }) => {
                let what = match act {
                    OwnAct::Improve { older } => format!("older places of {} inputs", older.len()),
                    OwnAct::Piggyback { asset, pieces } => format!("pieces {:#x} of asset {asset}", pieces.bits()),
                    OwnAct::Close => "the close".to_owned(),
                };
                write!(f, "{what}, by {owner} in the exit in flight of {tx_hash} since {start}")
            }
            Self::Start { tx_hash, .. } => write!(f, "the exit in flight of {tx_hash}"),
            Self::Leave { id, .. } => write!(f, "the exit of coin {id}"),
            Self::Process(Payout { asset, key, .. }) => write!(f, "the payment of asset {asset} at key {key}"),
        }
    }
}

/// Returns all that is due, what others' exits ask for first.
#[must_use]
pub fn due(kept: &Kept, newest: &Newest, game: &Game, guard: &Guard) -> Vec<Due> {
    if guard.accounts.is_empty() {
        return Vec::new();
    }
    let known = Known { kept };
    let bad_since = kept.bad_since(game);
    let in_flight = guard::Guard {
        owners: &guard.leaving,
        accounts: &guard.accounts,
        bad_since,
        bounty_wei: guard.piece_bounty_wei,
    };
    let mut due: Vec<_> = game.pending_exits().filter_map(|exit| challenge(exit, kept)).collect();
    due.extend(in_flight_duty::due(game, &known).into_iter().map(Due::InFlight));
    due.extend(guard::due(game, &known, &in_flight).into_iter().map(Due::Own));
    due.extend(kept.payments.iter().filter_map(|(&tx_hash, payment)| {
        let signer = payment.signer.filter(|_| payment.is_complete())?;
        let owner = guard::starter(&payment.signed(), signer, game, &known, &in_flight)?;
        Some(Due::Start { tx_hash, owner })
    }));
    let leaves = kept.coins.values().filter(|coin| may_leave(coin, kept, newest, game, guard));
    due.extend(leaves.map(|coin| Due::Leave { id: coin.id, owner: coin.output.owner }));
    due.extend(guard::payouts(game, &in_flight).into_iter().map(Due::Process));
    due
}

/// An exit of a coin that its owner spent by a kept payment; what a guarded owner does is its own affair.
fn challenge(exit: &PendingExit, kept: &Kept) -> Option<Due> {
    let (id, owner) = (exit.record.output_id, exit.record.output.owner);
    let (&by, _) = kept.spend_of(id, owner).filter(|_| !kept.owners.contains(&owner))?;
    Some(Due::Challenge { exit: *exit, by })
}

/// A coin leaves by itself when it is missing, or the chain is halted, if a sound block or a deposit made it and its owner has
/// signed no spend: otherwise it leaves with the payment that made it, or with the spend. §7
fn may_leave(coin: &GuardedCoin, kept: &Kept, newest: &Newest, game: &Game, guard: &Guard) -> bool {
    let output = &coin.output;
    let is_worth_it = output.asset != ETHER || output.amount > guard.bounty_wei;
    let is_sound = coin.position.block().is_none_or(|block| block <= kept.sound);
    let is_threatened = match fate(coin, newest, game) {
        Fate::Missing => true,
        Fate::Held | Fate::Pending | Fate::Awaited => game.halt().is_some(),
        Fate::Exiting => false,
    };
    let is_signed_away = kept.spend_of(coin.id, output.owner).is_some();
    guard.leaving.contains(&output.owner) && is_worth_it && is_sound && is_threatened && !is_signed_away
}

/// What is known: the kept payments, and what made their inputs and the guarded coins.
struct Known<'a> {
    kept: &'a Kept,
}

impl Evidence for Known<'_> {
    fn inclusion(&self, tx_hash: TxHash) -> Option<Inclusion> {
        let included = self.kept.payments.get(&tx_hash)?.included.as_ref()?;
        let inclusion = Inclusion { tx_hash, place: included.place, timestamp: included.header.timestamp };
        (included.place.block <= self.kept.sound).then_some(inclusion)
    }

    fn included_spend(&self, output_id: OutputId) -> Option<Inclusion> {
        let spends = self.kept.payments.iter().filter(|(_, payment)| payment.spends(output_id));
        spends.filter_map(|(&tx_hash, _)| self.inclusion(tx_hash)).min_by_key(|spend| spend.place)
    }

    fn coin(&self, output_id: OutputId) -> Option<(Position, Output)> {
        if let Some(coin) = self.kept.coins.get(&output_id) {
            return Some((coin.position, coin.output));
        }
        let mut inputs = self.kept.payments.values().flat_map(|payment| &payment.inputs);
        inputs.find(|input| input.id == output_id).map(|input| (input.position, input.output))
    }

    fn has_signed_spend(&self, output_id: OutputId, owner: Address) -> bool {
        self.kept.spend_of(output_id, owner).is_some()
    }
}
