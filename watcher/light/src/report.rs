//! One screen: green, or what is wrong and what to do.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::Address;
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_node::settings::ExitCode;
use plasmid_node::wire::form;
use serde::Serialize;

use crate::answer::Standing;
use crate::kept::Kept;
use crate::verdict::{Alarm, AlarmKind, Fate, Look, Newest, fate};

/// How all of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every coin is accounted for in the newest block.
    Green,
    /// Something is not shown yet, and not late.
    Waiting,
    /// Nothing can be seen.
    Blind,
    /// Something is wrong.
    Alarm,
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How all of it is.
    pub state: State,
    /// The newest root block seen; none if the root chain cannot be followed.
    pub root: Option<u64>,
    /// Its timestamp, in seconds: *now*.
    pub now: u64,
    /// The newest block that is final and not void.
    #[serde(with = "form")]
    pub block: BlockNumber,
    /// The last block up to which everything was accounted for.
    #[serde(with = "form")]
    pub sound: BlockNumber,
    /// What is alarming, the worst first.
    pub alarms: Vec<Alarm>,
    /// The coins.
    pub coins: Vec<CoinRow>,
    /// The servers.
    pub servers: Vec<ServerRow>,
    /// Acts on their way.
    pub acts: Vec<String>,
}

/// A coin as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CoinRow {
    /// Its name.
    #[serde(with = "form")]
    pub id: OutputId,
    /// Where it was made.
    #[serde(with = "form")]
    pub position: Position,
    /// Its asset.
    #[serde(with = "form")]
    pub asset: Address,
    /// Its amount, in base units.
    #[serde(with = "form")]
    pub amount: u128,
    /// What became of it.
    pub fate: Fate,
}

/// A server as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerRow {
    /// Its address.
    pub url: String,
    /// `good`, `behind`, `lying` or `unreachable`.
    pub state: &'static str,
    /// More about that.
    pub detail: String,
    /// The false proof that it gave once, if it did.
    pub distrusted: Option<String>,
}

impl Report {
    /// Returns what is to be shown after a look.
    #[must_use]
    pub fn new(kept: &Kept, look: &Look, newest: &Newest, game: &Game, alarms: Vec<Alarm>, acts: Vec<String>) -> Self {
        let coins = kept.coins.values().map(|coin| CoinRow {
            id: coin.id,
            position: coin.position,
            asset: coin.output.asset,
            amount: coin.output.amount,
            fate: fate(coin, newest, game),
        });
        let coins: Vec<_> = coins.collect();
        let is_waiting = kept.unserved_since.is_some() || coins.iter().any(|coin| coin.fate == Fate::Awaited);
        let state = match (alarms.iter().any(|alarm| alarm.kind.is_violation()), alarms.is_empty()) {
            (true, _) => State::Alarm,
            (false, false) => State::Blind,
            (false, true) if is_waiting => State::Waiting,
            (false, true) => State::Green,
        };
        let servers = look.servers.iter().map(|(url, standing)| {
            let (state, detail) = match standing {
                Standing::AtHead => ("good", String::new()),
                Standing::Behind { verified, says } => (
                    "behind",
                    format!("has verified block {verified}; of block {} it says {}", newest.number, form_of(says)),
                ),
                Standing::Lying(what) => ("lying", what.clone()),
                Standing::Unreachable(why) => ("unreachable", why.clone()),
            };
            let distrusted = kept.distrusted.get(url).cloned();
            ServerRow { url: url.clone(), state, detail, distrusted }
        });
        Self {
            state,
            root: game.at().map(|at| at.number),
            now: game.now(),
            block: newest.number,
            sound: kept.sound,
            alarms,
            coins,
            servers: servers.collect(),
            acts,
        }
    }

    /// Returns the report of who cannot see the root chain.
    #[must_use]
    pub fn blind(alarm: Alarm, kept: &Kept) -> Self {
        let (block, sound) = (BlockNumber::ZERO, kept.sound);
        let (coins, servers, acts) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            state: State::Blind,
            root: None,
            now: alarm.since,
            block,
            sound,
            alarms: vec![alarm],
            coins,
            servers,
            acts,
        }
    }

    /// Adds an alarm that says nothing but that alarms arrive.
    #[must_use]
    pub fn with_test(mut self) -> Self {
        let message = "somebody tests whether alarms arrive".to_owned();
        self.alarms.push(Alarm::new(AlarmKind::Test, self.now, message, "nothing, if you expected it"));
        Self { state: State::Alarm, ..self }
    }

    /// Returns the exit code of a single look.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.state {
            State::Green => ExitCode::Ok,
            State::Alarm => ExitCode::Violation,
            State::Waiting | State::Blind => ExitCode::Unreachable,
        }
    }
}

fn form_of(verdict: &plasmid_node::wire::Verdict) -> String {
    format!("{verdict:?}").to_lowercase()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, root, now, block, sound, alarms, coins, servers, acts } = self;
        let word = match state {
            State::Green => "GREEN: every coin is accounted for",
            State::Waiting => "WAITING: not all is shown yet, and nothing is late",
            State::Blind => "BLIND: nothing can be said",
            State::Alarm => "ALARM",
        };
        writeln!(f, "{word}")?;
        for alarm in alarms {
            writeln!(f, "  ! {alarm}")?;
        }
        match root {
            Some(root) => writeln!(f, "root block {root}, time {now}; block {block}, sound up to {sound}")?,
            None => writeln!(f, "no root chain; sound up to block {sound}")?,
        }
        let mut fates = BTreeMap::<_, usize>::new();
        coins.iter().for_each(|coin| *fates.entry(format!("{:?}", coin.fate).to_lowercase()).or_default() += 1);
        let fates: Vec<_> = fates.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
        writeln!(f, "coins: {}", if fates.is_empty() { "none".to_owned() } else { fates.join(", ") })?;
        for ServerRow { url, state, detail, distrusted } in servers {
            write!(f, "{url}: {state}")?;
            if !detail.is_empty() {
                write!(f, ", {detail}")?;
            }
            match distrusted.as_ref().filter(|_| *state != "lying") {
                Some(lie) => writeln!(f, " (distrusted: {lie})")?,
                None => writeln!(f)?,
            }
        }
        acts.iter().try_for_each(|act| writeln!(f, "on its way: {act}"))
    }
}
