//! Which acts are due, as pure functions of what is known. §5.2, §6, §7.

use std::fmt;

use alloy_primitives::{Address, B256};
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::exit::in_flight::duty::{Act, Duty};
use plasmid_exit_game::exit::in_flight::guard::{self, OwnAct, OwnDuty, Payout};
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::game::{CoinExit, Game, PendingExit};
use plasmid_exit_game::output::{ETHER, OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::chain::Chain;
use plasmid_node::wire;

use crate::evidence::SPENDS_MAX;
use crate::finding::Finding;
use crate::history::{History, Source};
use crate::in_flight::{self, Known};
use crate::missing::{Claims, Missing, MissingAct, MissingDuty};
use crate::proving::{Case, Step};

/// Most coins that are looked at to leave at a time: there will be another time.
const LEAVES_MAX: usize = 1_000;

/// Tells an act from every other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActId {
    /// The challenge of an exit.
    Challenge {
        /// The coin.
        output_id: OutputId,
        /// Number of the root block that holds the start: a coin may exit more than once.
        started_in: u64,
        /// The exit's key.
        key: u64,
    },
    /// The announcement of evidence against a block.
    Announce {
        /// The block.
        number: BlockNumber,
        /// The announcement.
        announcement: B256,
    },
    /// The proof that a block is invalid.
    Prove {
        /// The block.
        number: BlockNumber,
        /// The evidence's announcement.
        announcement: B256,
    },
    /// An act about a coin that an unspent tree is said to lack.
    Missing(MissingDuty),
    /// The start of an exit.
    Leave {
        /// The coin.
        output_id: OutputId,
    },
    /// An act for an open in-flight exit.
    InFlight {
        /// The exit's transaction.
        tx_hash: TxHash,
        /// When the exit started, in seconds.
        start: u64,
        /// What is done.
        act: Act,
    },
    /// The start of an in-flight exit.
    Start {
        /// The payment.
        tx_hash: TxHash,
    },
    /// A guarded owner's act in an open in-flight exit.
    Own {
        /// The exit's transaction.
        tx_hash: TxHash,
        /// When the exit started, in seconds.
        start: u64,
        /// Who does it.
        owner: Address,
        /// What is done.
        act: OwnAct,
    },
    /// The processing of what a key's turn pays.
    Process {
        /// The asset.
        asset: Address,
        /// The key.
        key: u64,
    },
}

impl ActId {
    /// Returns the name of the coin, transaction or asset that it is about.
    #[must_use]
    pub fn subject(&self) -> B256 {
        match self {
            Self::Challenge { output_id, .. } | Self::Leave { output_id } => output_id.0,
            Self::InFlight { tx_hash, .. } | Self::Start { tx_hash } | Self::Own { tx_hash, .. } => tx_hash.0,
            Self::Announce { announcement, .. } | Self::Prove { announcement, .. } => *announcement,
            Self::Missing(duty) => duty.missing.output_id.0,
            Self::Process { asset, .. } => asset.into_word(),
        }
    }

    /// Returns whether the root chain shows that somebody has done it, or that it is too late for ever.
    #[must_use]
    pub fn is_done(&self, game: &Game) -> bool {
        match self {
            Self::Challenge { output_id, started_in, key } => match game.exit(*output_id) {
                None => false,
                Some(CoinExit::Pending(exit)) => {
                    exit.started_in > *started_in || (exit.started_in == *started_in && exit.record.key != *key)
                }
                Some(CoinExit::Freed { .. } | CoinExit::Settled { .. }) => true,
            },
            Self::Announce { announcement, .. } => game.announcement(*announcement).is_some(),
            Self::Prove { number, .. } => game.is_void(*number),
            Self::Missing(duty) => duty.is_done(game),
            Self::Leave { output_id } => match game.exit(*output_id) {
                Some(CoinExit::Pending(_) | CoinExit::Settled { .. }) => true,
                None | Some(CoinExit::Freed { .. }) => false,
            },
            Self::InFlight { tx_hash, start, act } => match game.in_flight_exit(*tx_hash) {
                Some(exit) if exit.start == *start => act.is_done(exit),
                Some(_) | None => game.is_in_flight_exit_closed(*tx_hash, *start),
            },
            Self::Start { tx_hash } => game.in_flight_exit(*tx_hash).is_some(),
            Self::Own { tx_hash, start, act, .. } => match game.in_flight_exit(*tx_hash) {
                Some(exit) if exit.start == *start => act.is_done(exit),
                Some(_) | None => game.is_in_flight_exit_closed(*tx_hash, *start),
            },
            // What was paid is due no more; and where nothing is due the call does nothing.
            Self::Process { .. } => true,
        }
    }
}

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge { output_id, .. } => write!(f, "the challenge of the exit of spent coin {output_id}"),
            Self::Announce { number, .. } => write!(f, "the announcement of evidence against block {number}"),
            Self::Prove { number, .. } => write!(f, "the proof that block {number} is invalid"),
            Self::Missing(MissingDuty { missing: Missing { number, output_id, .. }, act }) => {
                let what = match act {
                    MissingAct::Claim => "the claim",
                    MissingAct::Answer => "the answer to the claim",
                    MissingAct::Convict => "the conviction by the claim",
                    MissingAct::Reclaim => "the return of the bond for the claim",
                };
                write!(f, "{what} that the unspent tree of block {number} lacks coin {output_id}")
            }
            Self::Leave { output_id } => write!(f, "the exit of guarded coin {output_id}"),
            Self::InFlight { tx_hash, act, .. } => {
                let what = match act {
                    Act::ChallengeCanonicity { .. } => "the challenge",
                    Act::Respond { .. } => "the response",
                    Act::ChallengePiece { .. } => "the challenge of a piece",
                };
                write!(f, "{what} in the in-flight exit of {tx_hash}")
            }
            Self::Start { tx_hash } => write!(f, "the in-flight exit of {tx_hash}"),
            Self::Own { tx_hash, owner, act, .. } => {
                let what = match act {
                    OwnAct::Improve { .. } => "the improvement",
                    OwnAct::Piggyback { .. } => "the piggyback",
                    OwnAct::Close => "the close",
                };
                write!(f, "{what} of {owner} in the in-flight exit of {tx_hash}")
            }
            Self::Process { asset, key } => write!(f, "the processing of asset {asset} at key {key}"),
        }
    }
}

/// An act that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// A block that is not valid is to be convicted: so far has it got.
    Convict(Step, Box<Case>),
    /// A coin that an unspent tree is said to lack needs something.
    Missing(MissingDuty),
    /// The exit of a spent coin is to be challenged.
    Challenge(Challenge),
    /// An in-flight exit is owed something.
    InFlight(Duty),
    /// A guarded owner is to act in an in-flight exit.
    Own(OwnDuty),
    /// A guarded owner's payment leaves.
    Start(Start),
    /// A guarded coin leaves.
    Leave(Leave),
    /// A guarded owner is to be paid.
    Process(Payout),
}

impl Due {
    /// Returns its name.
    #[must_use]
    pub fn id(&self) -> ActId {
        match self {
            Self::Convict(step, case) => {
                let (number, announcement) = (case.accused(), case.announcement);
                match step {
                    Step::Announce => ActId::Announce { number, announcement },
                    Step::Prove => ActId::Prove { number, announcement },
                }
            }
            Self::Missing(duty) => ActId::Missing(*duty),
            Self::Challenge(challenge) => challenge.id(),
            Self::InFlight(Duty { tx_hash, start, act, .. }) => {
                ActId::InFlight { tx_hash: *tx_hash, start: *start, act: *act }
            }
            Self::Own(OwnDuty { tx_hash, start, owner, act, .. }) => {
                ActId::Own { tx_hash: *tx_hash, start: *start, owner: *owner, act: act.clone() }
            }
            Self::Start(start) => ActId::Start { tx_hash: start.tx_hash },
            Self::Leave(leave) => leave.id(),
            Self::Process(payout) => ActId::Process { asset: payout.asset, key: payout.key },
        }
    }
}

/// What speaks against the chain.
#[derive(Debug, Clone, Copy, Default)]
pub struct Charge<'a> {
    /// The first bad block, with what was found of it.
    pub bad: Option<&'a (BlockNumber, Finding)>,
    /// What is due so that it is convicted by evidence ([`Case::step`]).
    pub conviction: Option<(Step, &'a Case)>,
    /// A coin that its unspent tree seems to lack.
    pub lacking: Option<Missing>,
}

/// Returns all that is due, the most urgent of each kind first. §7.
#[must_use]
pub fn due(chain: &Chain, history: &History, guard: &Guard, charge: &Charge<'_>) -> Vec<Due> {
    let (game, known) = (chain.game(), Known { chain, history });
    let bad_since = time_to_leave(game, charge.bad);
    let in_flight = guard.in_flight(bad_since);
    let convict = |(step, case): (Step, &Case)| Due::Convict(step, Box::new(case.clone()));
    let mut due: Vec<_> = charge.conviction.map(convict).into_iter().collect();
    due.extend(due_challenges(game, history).into_iter().map(Due::Challenge));
    due.extend(in_flight::due(chain, history).into_iter().map(Due::InFlight));
    let first_bad = charge.bad.map(|&(number, _)| number);
    let claims = Claims { game, last_valid: chain.verified_block(), first_bad };
    due.extend(claims.due(charge.lacking, &guard.accounts).into_iter().map(Due::Missing));
    due.extend(guard::due(game, &known, &in_flight).into_iter().map(Due::Own));
    due.extend(due_starts(chain, history, &in_flight).into_iter().map(Due::Start));
    if bad_since.is_some() {
        due.extend(due_leaves(chain, history, guard).into_iter().map(Due::Leave));
    }
    due.extend(guard::payouts(game, &in_flight).into_iter().map(Due::Process));
    due
}

/// A standard exit of a coin whose owner has signed a spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The exit.
    pub exit: PendingExit,
    /// Where the spends are that its owner signed: any of them will do.
    pub spends: Vec<Source>,
}

impl Challenge {
    /// Returns its name.
    #[must_use]
    pub fn id(&self) -> ActId {
        let PendingExit { record, started_in, .. } = self.exit;
        ActId::Challenge { output_id: record.output_id, started_in, key: record.key }
    }
}

/// Returns the challenges that are due, those of the earliest keys first. §5.2.
#[must_use]
pub fn due_challenges(game: &Game, history: &History) -> Vec<Challenge> {
    let challenge = |&exit: &PendingExit| {
        let owner = exit.record.output.owner;
        let spends = history.spends_by(exit.record.output_id, owner).take(SPENDS_MAX);
        let spends: Vec<_> = spends.map(|spend| spend.source).collect();
        (!spends.is_empty()).then_some(Challenge { exit, spends })
    };
    let mut due: Vec<_> = game.pending_exits().filter_map(challenge).collect();
    due.sort_by_key(|challenge| challenge.exit.record.key);
    due
}

/// Returns when the first block was committed that is not valid, in seconds, if guarded coins are to leave now because of it:
/// `bad` is that block with what was found of it. §7.
///
/// At once; only R7 waits half a period, which leaves as much again: a challenge of the exit makes the block valid, as long as
/// it is not convicted.
#[must_use]
pub fn time_to_leave(game: &Game, bad: Option<&(BlockNumber, Finding)>) -> Option<u64> {
    let (number, finding) = bad?;
    let is_frozen = matches!(finding, Finding::Invalid(breach) if breach.is_of(Rule::R7));
    let patience = if is_frozen && !game.is_void(*number) { game.periods().minimum_exit_period / 2 } else { 0 };
    let committed_at = game.header(*number).map_or(0, |(header, _)| header.timestamp);
    (finding.is_bad() && game.now() >= committed_at.saturating_add(patience)).then_some(committed_at)
}

/// Whose coins leave when a block is bad.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The owners.
    pub owners: Vec<Address>,
    /// All accounts that act.
    pub accounts: Vec<Address>,
    /// What an exit costs its owner in any case, in wei: less ether than this stays.
    pub bounty_wei: u128,
    /// What a piece of an in-flight exit costs its owner, likewise.
    pub piece_bounty_wei: u128,
}

impl Guard {
    fn in_flight(&self, bad_since: Option<u64>) -> guard::Guard<'_> {
        let Self { owners, accounts, piece_bounty_wei, .. } = self;
        guard::Guard { owners, accounts, bad_since, bounty_wei: *piece_bounty_wei }
    }
}

/// A payment by or to a guarded owner whose in-flight exit is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its hash.
    pub tx_hash: TxHash,
    /// The payment.
    pub payment: SignedTransaction,
    /// Who starts it.
    pub owner: Address,
}

/// Returns the in-flight exits that are to be started because the chain is bad. §7.
#[must_use]
pub fn due_starts(chain: &Chain, history: &History, guard: &guard::Guard<'_>) -> Vec<Start> {
    if guard.bad_since.is_none() {
        return Vec::new();
    }
    let known = Known { chain, history };
    let start = |(tx_hash, signer, payment): (TxHash, Address, &SignedTransaction)| {
        let owner = guard::starter(payment, signer, chain.game(), &known, guard)?;
        Some(Start { tx_hash, payment: payment.clone(), owner })
    };
    history.guarded_payments().filter_map(start).take(LEAVES_MAX).collect()
}

/// A guarded coin whose exit is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// The coin.
    pub coin: wire::Coin,
    /// The key that its exit would have if it started now, in seconds of root-chain time. §4.
    pub key: u64,
}

impl Leave {
    /// Returns its name.
    #[must_use]
    pub fn id(&self) -> ActId {
        ActId::Leave { output_id: self.coin.id }
    }
}

/// Returns the exits that are to be started because the chain is bad: of every unspent coin of a guarded owner that a valid
/// block or a deposit made, the most valuable of each asset first. §7.
///
/// A coin of which its owner has signed a spend stays: its exit would be challenged.
#[must_use]
pub fn due_leaves(chain: &Chain, history: &History, guard: &Guard) -> Vec<Leave> {
    let game = chain.game();
    let mut due = Vec::new();
    for &owner in &guard.owners {
        let mut cursor = None;
        // Unspent coins come first, and a cursor that a page gave is good for the next.
        while let Ok(page) = chain.coins(owner, None, cursor.as_deref(), LEAVES_MAX) {
            let is_last = page.items.iter().any(|coin| coin.spender.is_some());
            let leaving = page.items.into_iter().filter(|coin| may_leave(game, history, guard, coin));
            due.extend(leaving.map(|coin| {
                let key = game.periods().exit_key(game.now(), created(game, &coin));
                Leave { coin, key }
            }));
            cursor = page.cursor;
            if is_last || cursor.is_none() || due.len() >= LEAVES_MAX {
                break;
            }
        }
    }
    due.sort_by_key(|leave| (leave.coin.output.asset, u128::MAX - leave.coin.output.amount));
    due
}

fn may_leave(game: &Game, history: &History, guard: &Guard, coin: &wire::Coin) -> bool {
    let output = &coin.output;
    let is_worth_it = output.asset != ETHER || output.amount > guard.bounty_wei;
    let is_still_in = match game.exit(coin.id) {
        None | Some(CoinExit::Freed { .. }) => true,
        Some(CoinExit::Pending(_) | CoinExit::Settled { .. }) => false,
    };
    let is_spent = coin.spender.is_some() || history.spends_by(coin.id, output.owner).next().is_some();
    is_worth_it && is_still_in && !is_spent
}

/// When the coin was made, in seconds of root-chain time; `None` for a deposit.
fn created(game: &Game, coin: &wire::Coin) -> Option<u64> {
    let (header, _) = game.header(coin.position.block()?)?;
    Some(header.timestamp)
}
