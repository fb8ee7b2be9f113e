//! `plasmid exit list` and `plasmid exit status`: the exits as the contract's events tell them, of coins and of payments.

use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::anyhow;
use clap::Args;
use plasmid_exit_game::game::{CoinExit, Game, PendingExit};
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::Position;
use plasmid_node::wire::form;
use serde::Serialize;

use crate::amount::shown;
use crate::coins::parse_id;
use crate::exit::in_flight;
use crate::holdings::void_from;
use crate::report::Items;
use crate::session::Session;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit status 0x83c1…77aa
  plasmid exit status 0x1f3a…90cc")]
pub(crate) struct StatusArgs {
    /// The coin, or the payment that is exiting
    #[arg(value_parser = parse_id)]
    id: OutputId,
}

/// A pending exit as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    #[serde(with = "form")]
    pub(crate) id: OutputId,
    #[serde(with = "form")]
    position: Position,
    #[serde(with = "form")]
    owner: Address,
    /// Who is paid: the owner, or whom the claim was handed to.
    #[serde(with = "form")]
    payee: Address,
    #[serde(with = "form")]
    asset: Address,
    #[serde(with = "form")]
    amount: u128,
    /// When it can be paid at the earliest, in seconds of root-chain time.
    pub(crate) key: u64,
    /// Seconds until then, zero if it has come.
    pub(crate) remaining: u64,
    /// Pending exits of the asset with earlier keys, which are paid first.
    ahead: usize,
}

impl Shown {
    fn new(exit: &PendingExit, game: &Game) -> Self {
        let record = &exit.record;
        let is_ahead =
            |other: &&PendingExit| other.record.output.asset == record.output.asset && other.record.key < record.key;
        Self {
            id: record.output_id,
            position: record.position,
            owner: record.output.owner,
            payee: exit.payee,
            asset: record.output.asset,
            amount: record.output.amount,
            key: record.key,
            remaining: record.key.saturating_sub(game.now()),
            ahead: game.pending_exits().filter(is_ahead).count(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.id)?;
        write!(f, "  {} to {}, key {}", shown(self.amount, self.asset), self.payee, self.key)?;
        match self.remaining {
            0 => write!(f, ": its time has come")?,
            remaining => write!(f, ", in {remaining} s")?,
        }
        write!(f, ", {} ahead of it", self.ahead)
    }
}

/// An exit on the list.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Listed {
    Standard(Shown),
    InFlight(in_flight::view::Shown),
}

impl Listed {
    /// In the order of payment.
    fn order(&self) -> (u64, B256) {
        match self {
            Self::Standard(exit) => (exit.key, exit.id.0),
            Self::InFlight(exit) => (exit.times.key, exit.tx_hash.0),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(exit) => exit.fmt(f),
            Self::InFlight(exit) => exit.fmt(f),
        }
    }
}

/// How far a coin has got in leaving, or an exiting payment, as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    #[serde(with = "form")]
    id: OutputId,
    /// Of a coin `none`, `pending`, `ended` (without settling the coin) or `settled`; of an exiting payment `open`.
    state: &'static str,
    /// The pending exit of the coin, or the open one of the payment.
    exit: Option<Listed>,
    /// Of a settled coin: the time from which no block may spend it, in seconds.
    freeze: Option<u64>,
    /// The exiting payments that spend the coin or made it.
    #[serde(with = "form")]
    in_flight: Vec<TxHash>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.exit, self.freeze) {
            (Some(exit), _) => write!(f, "{exit}"),
            (None, Some(freeze)) => write!(f, "{}\n  settled: it has left, with freeze time {freeze}", self.id),
            (None, None) => write!(f, "{}\n  no exit is pending ({})", self.id, self.state),
        }?;
        self.in_flight.iter().try_for_each(|tx_hash| {
            write!(f, "\n  in flight with {tx_hash}: `plasmid exit status {tx_hash}` shows how far that is")
        })
    }
}

/// Returns all pending exits and exiting payments, in the order of their keys.
pub(crate) async fn list(session: &Session) -> anyhow::Result<Items<Listed>> {
    let (game, void_from) = (session.game().await?, void_from(session).await?);
    let standard = game.pending_exits().map(|exit| Listed::Standard(Shown::new(exit, &game)));
    let in_flight = game.in_flight_exits();
    let in_flight = in_flight.map(|exit| Listed::InFlight(in_flight::view::Shown::new(exit, &game, void_from)));
    let mut items: Vec<_> = standard.chain(in_flight).collect();
    items.sort_by_key(Listed::order);
    Ok(Items { items, none: "no exit is pending" })
}

/// Returns how far one coin or exiting payment is.
pub(crate) async fn status(session: &Session, args: &StatusArgs) -> anyhow::Result<Status> {
    let (game, id) = (session.game().await?, args.id);
    if let Some(exit) = game.in_flight_exit(TxHash(id.0)) {
        let exit = in_flight::view::Shown::new(exit, &game, void_from(session).await?);
        let exit = Some(Listed::InFlight(exit));
        return Ok(Status { id, state: "open", exit, freeze: None, in_flight: Vec::new() });
    }
    let in_flight = game.in_flight_exits_of_input(id).chain(game.in_flight_exit_of_output(id));
    let in_flight = in_flight.map(|exit| exit.tx_hash).collect();
    let blank = Status { id, state: "none", exit: None, freeze: None, in_flight };
    Ok(match game.exit(id) {
        None => blank,
        Some(CoinExit::Pending(exit)) => {
            let exit = Some(Listed::Standard(Shown::new(exit, &game)));
            Status { state: "pending", exit, ..blank }
        }
        Some(CoinExit::Settled { freeze }) => Status { state: "settled", freeze: Some(*freeze), ..blank },
        Some(CoinExit::Freed { .. }) => Status { state: "ended", ..blank },
    })
}

/// Returns the pending exit of a coin.
pub(crate) fn pending_exit(game: &Game, id: OutputId) -> anyhow::Result<PendingExit> {
    match game.exit(id) {
        Some(CoinExit::Pending(exit)) => Ok(*exit),
        None | Some(CoinExit::Settled { .. } | CoinExit::Freed { .. }) => Err(anyhow!("no exit of {id} is pending")),
    }
}
