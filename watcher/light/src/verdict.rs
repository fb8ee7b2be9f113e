//! What is concluded from one look at all servers: what became of each coin, what is alarming, what a person should do. Pure. §7

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::{Address, B256};
use plasmid_exit_game::exit::in_flight::Piece;
use plasmid_exit_game::game::{CoinExit, Game, InFlightExit};
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::wire::{Unspent, form};
use serde::Serialize;

use crate::answer::Standing;
use crate::kept::{GuardedCoin, Kept, Unproven};

/// The newest block that is final and not void: what coins are looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Its number, zero before the first.
    pub number: BlockNumber,
    /// Its header's commitment on the root chain.
    pub commitment: B256,
    /// Deposits with a smaller nonce are in it; `None` where void blocks follow it: then only its header tells.
    pub deposit_count: Option<u64>,
}

/// What one round of questions brought.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Each server asked, in order, and how it stands.
    pub servers: Vec<(String, Standing)>,
    /// Proofs that verified, the newest of each coin.
    pub held: BTreeMap<OutputId, Unspent>,
    /// Coins of which a spend was shown that their owner signed, included in a block up to the newest.
    pub spent: BTreeMap<OutputId, TxHash>,
    /// What servers said of a coin instead, one line each.
    pub said: BTreeMap<OutputId, Vec<String>>,
}

impl Look {
    /// Returns whether any server has verified the newest block.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.servers.iter().any(|(_, standing)| *standing == Standing::AtHead)
    }

    /// Returns whether any server gave an answer that means something.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let answers = |standing: &Standing| matches!(standing, Standing::AtHead | Standing::Behind { .. });
        self.servers.iter().any(|(_, standing)| answers(standing))
    }
}

/// What became of a coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The newest block's tree holds it.
    Held,
    /// No block covers the deposit yet.
    Pending,
    /// An exit of it is pending or open.
    Exiting,
    /// Nobody has shown it in the newest block, and it is not time for an alarm.
    Awaited,
    /// Nobody has, and the time is over.
    Missing,
}

/// Returns what became of a coin, as far as it is known at *now*.
#[must_use]
pub fn fate(coin: &GuardedCoin, newest: &Newest, game: &Game) -> Fate {
    if is_exiting(coin.id, game) {
        return Fate::Exiting;
    }
    match &coin.unproven {
        Some(unproven) if is_late(unproven, game) => Fate::Missing,
        Some(_) => Fate::Awaited,
        None if coin.held().is_some_and(|held| held >= newest.number) => Fate::Held,
        None => Fate::Pending,
    }
}

/// Whether a coin should have been shown by now. Nobody need do so in the grace in which blocks are served; if nobody answers at
/// all, which one's own network may be the reason for, the wait is longer, and most of the time to leave is left. §3, §4
fn is_late(unproven: &Unproven, game: &Game) -> bool {
    let periods = game.periods();
    let patience = if unproven.said.is_empty() { periods.minimum_exit_period / 4 } else { periods.grace() };
    game.now() > unproven.since.saturating_add(patience)
}

/// Whether the coin is on its way out: by a standard exit, or as a live piece of an exit in flight.
fn is_exiting(id: OutputId, game: &Game) -> bool {
    let is_live_input = |exit: &InFlightExit| {
        exit.live_pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Input(_)) && exit.coin(piece).is_some_and(|(of, _)| of == id))
    };
    matches!(game.exit(id), Some(CoinExit::Pending(_)))
        || game.in_flight_exit_of_output(id).is_some()
        || game.in_flight_exits_of_input(id).any(is_live_input)
}

impl Kept {
    /// Takes in what a round of questions brought.
    pub fn conclude(&mut self, look: &Look, newest: &Newest, game: &Game) {
        let now = game.now();
        self.coins.retain(|id, _| {
            let is_settled = matches!(game.exit(*id), Some(CoinExit::Settled { .. }));
            !is_settled && !look.spent.contains_key(id)
        });
        for coin in self.coins.values_mut() {
            let is_later = |unspent: &&Unspent| coin.held().is_none_or(|held| held < unspent.block);
            let news = look.held.get(&coin.id).filter(is_later).cloned();
            let has_news = news.is_some();
            coin.unspent = news.or(coin.unspent.take());
            let is_shown = coin.held().is_some_and(|held| held >= newest.number);
            // Of a deposit beside void blocks nobody else knows whether the last good one covers it.
            let is_due =
                newest.deposit_count.map_or(coin.made_by.is_some(), |count| coin.is_made_by(newest.number, count));
            if is_shown || !is_due {
                coin.unproven = None;
            }
            // A coin on its way out need not be shown; one that leaves because it was not is missing until it is out.
            if is_shown || !is_due || is_exiting(coin.id, game) {
                continue;
            }
            let mut said = look.said.get(&coin.id).cloned().unwrap_or_default();
            if said.is_empty() && look.is_answered() {
                said.push(format!("no server has verified block {}", newest.number));
            }
            match &mut coin.unproven {
                // What was shown in a later block than before waits anew.
                Some(unproven) if !has_news => {
                    if !said.is_empty() {
                        unproven.said = said;
                    }
                }
                unproven => *unproven = Some(Unproven { since: now, said }),
            }
        }
        self.unserved_since = if look.is_served() { None } else { self.unserved_since.or(Some(now)) };
        if self.unserved_since.is_none() && self.coins.values().all(|coin| coin.unproven.is_none()) {
            self.sound = newest.number;
        }
        // What a conviction made void was never sound.
        self.sound = self.sound.min(newest.number);
        self.forget_payments();
        for (server, standing) in &look.servers {
            if let Standing::Lying(what) = standing {
                self.distrusted.insert(server.clone(), what.clone());
            }
        }
    }

    /// Returns since when the chain is bad for these coins, in seconds, if it is: then what is in later blocks than
    /// [`Self::sound`] leaves in flight. §7
    #[must_use]
    pub fn bad_since(&self, game: &Game) -> Option<u64> {
        let missing = self.coins.values().filter_map(|coin| coin.unproven.as_ref());
        let missing = missing.filter(|unproven| is_late(unproven, game)).map(|unproven| unproven.since);
        missing.chain(game.halt().map(|halt| halt.at)).min()
    }
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// A block was convicted: the chain has ended.
    Halted,
    /// No server shows an own coin in the newest block.
    CoinMissing,
    /// No server has the newest block although its time is over.
    BlockWithheld,
    /// An act on the root chain does not get through.
    ActFails,
    /// No server answers.
    BlindServers,
    /// The root chain cannot be followed.
    BlindRootChain,
    /// Somebody tests whether alarms arrive.
    Test,
}

impl AlarmKind {
    /// Returns whether it says that something is wrong with the chain or a coin, rather than with one's own eyes.
    #[must_use]
    pub fn is_violation(self) -> bool {
        match self {
            Self::Halted | Self::CoinMissing | Self::BlockWithheld | Self::ActFails | Self::Test => true,
            Self::BlindServers | Self::BlindRootChain => false,
        }
    }
}

/// What a person must know, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// What it is about.
    pub kind: AlarmKind,
    /// The coin, where it is about one.
    #[serde(with = "form")]
    pub coin: Option<OutputId>,
    /// Since when, in seconds of root-chain time.
    pub since: u64,
    /// What happened.
    pub message: String,
    /// What to do.
    pub advice: String,
}

impl Alarm {
    /// Returns an alarm that is about no coin.
    #[must_use]
    pub fn new(kind: AlarmKind, since: u64, message: String, advice: &str) -> Self {
        Self { kind, coin: None, since, message, advice: advice.to_owned() }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    do: {}", self.message, self.advice)
    }
}

/// Returns what is alarming, the worst first. `leaving` are the owners whose coins leave by themselves.
#[must_use]
pub fn alarms(kept: &Kept, look: &Look, newest: &Newest, game: &Game, leaving: &[Address]) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if let Some(halt) = game.halt() {
        let message = format!("block {} was proven invalid: it and all later blocks are void", halt.from);
        let advice = "leave: `plasmid exit start COIN`, or `plasmid settle` once the settlement begins";
        alarms.push(Alarm::new(AlarmKind::Halted, halt.at, message, advice));
    }
    for coin in kept.coins.values() {
        let Some(unproven) = coin.unproven.as_ref().filter(|unproven| is_late(unproven, game)) else { continue };
        let said = match unproven.said.as_slice() {
            [] => "nobody answers".to_owned(),
            said => said.join("; "),
        };
        let message = format!("coin {} is not shown in block {} or later: {said}", coin.id, newest.number);
        let advice = match (fate(coin, newest, game), leaving.contains(&coin.output.owner)) {
            (Fate::Exiting, _) => "nothing: it is leaving".to_owned(),
            (_, true) => "nothing: it leaves by itself".to_owned(),
            (_, false) => format!("ask another watcher (--server URL), or leave: `plasmid exit start {}`", coin.id),
        };
        alarms.push(Alarm {
            kind: AlarmKind::CoinMissing,
            coin: Some(coin.id),
            since: unproven.since,
            message,
            advice,
        });
    }
    if let Some(since) = kept.unserved_since {
        let is_over = game.now() > since.saturating_add(game.periods().grace());
        if !look.is_answered() {
            let advice = "look at your network, or name another server (--server URL)";
            alarms.push(Alarm::new(AlarmKind::BlindServers, since, "no server answers".to_owned(), advice));
        } else if is_over {
            let message = format!("block {} is on the root chain and no server has verified it in time", newest.number);
            let advice = "ask another watcher (--server URL); if none has it, leave in time";
            alarms.push(Alarm::new(AlarmKind::BlockWithheld, since, message, advice));
        }
    }
    alarms
}
