//! Which acts are due, as pure functions of what is known. §5.2, §7.

use std::fmt;

use alloy_primitives::Address;
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::game::{CoinExit, Game, PendingExit};
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::chain::Chain;
use plasmid_node::wire;

use crate::finding::Finding;
use crate::history::{History, Source};

/// Most spends of one coin that are looked at: one is enough, unless the archive has lost it.
const SPENDS_MAX: usize = 16;
/// Most coins that are looked at to leave at a time: there will be another time.
const LEAVES_MAX: usize = 1_000;

/// Tells an act from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The start of an exit.
    Leave {
        /// The coin.
        output_id: OutputId,
    },
}

impl ActId {
    /// Returns the coin that it is about.
    #[must_use]
    pub fn output_id(&self) -> OutputId {
        match self {
            Self::Challenge { output_id, .. } | Self::Leave { output_id } => *output_id,
        }
    }

    /// Returns whether the root chain shows that somebody has done it.
    #[must_use]
    pub fn is_done(&self, game: &Game) -> bool {
        match (self, game.exit(self.output_id())) {
            (_, None) => false,
            (Self::Challenge { started_in, key, .. }, Some(CoinExit::Pending(exit))) => {
                exit.started_in > *started_in || (exit.started_in == *started_in && exit.record.key != *key)
            }
            (Self::Challenge { .. }, Some(CoinExit::Freed { .. } | CoinExit::Settled { .. })) => true,
            (Self::Leave { .. }, Some(CoinExit::Pending(_) | CoinExit::Settled { .. })) => true,
            (Self::Leave { .. }, Some(CoinExit::Freed { .. })) => false,
        }
    }
}

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge { output_id, .. } => write!(f, "the challenge of the exit of spent coin {output_id}"),
            Self::Leave { output_id } => write!(f, "the exit of guarded coin {output_id}"),
        }
    }
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

/// Returns whether guarded coins are to leave now, with a chain whose first block that is not valid is `bad`. §7.
///
/// At once; only R7 waits half a period, which leaves as much again: a challenge of the exit makes the block valid.
#[must_use]
pub fn is_time_to_leave(game: &Game, bad: Option<&(BlockNumber, Finding)>) -> bool {
    let Some((number, finding)) = bad else { return false };
    let is_frozen = matches!(finding, Finding::Invalid(breach) if breach.is_of(Rule::R7));
    let patience = if is_frozen { game.periods().minimum_exit_period / 2 } else { 0 };
    let committed_at = game.header(*number).map_or(0, |(header, _)| header.timestamp);
    finding.is_bad() && game.now() >= committed_at.saturating_add(patience)
}

/// Whose coins leave when a block is bad.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The owners.
    pub owners: Vec<Address>,
    /// What an exit costs its owner in any case, in wei: less ether than this stays.
    pub bounty_wei: u128,
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
