//! `plasmid exit list` and `plasmid exit status`: the exits as the contract's events tell them.

use std::fmt;

use alloy_primitives::Address;
use anyhow::{Context as _, anyhow};
use clap::Args;
use plasmid_exit_game::game::{CoinExit, Game, PendingExit};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::Position;
use plasmid_node::wire::form;
use serde::Serialize;

use crate::amount::shown;
use crate::coins::parse_id;
use crate::report::Items;
use crate::session::Session;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit status 0x83c1…77aa")]
pub(crate) struct StatusArgs {
    /// The coin
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

/// How far a coin has got in leaving, as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    #[serde(with = "form")]
    id: OutputId,
    /// `none`, `pending`, `ended` (without settling the coin) or `settled`.
    state: &'static str,
    /// The pending exit.
    exit: Option<Shown>,
    /// Of a settled coin: the time from which no block may spend it, in seconds.
    freeze: Option<u64>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.exit, self.freeze) {
            (Some(exit), _) => write!(f, "{exit}"),
            (None, Some(freeze)) => write!(f, "{}\n  settled: it has left, with freeze time {freeze}", self.id),
            (None, None) => write!(f, "{}\n  no exit is pending ({})", self.id, self.state),
        }
    }
}

/// Returns all pending exits, in the order of their keys.
pub(crate) async fn list(session: &Session) -> anyhow::Result<Items<Shown>> {
    let game = session.game().await?;
    let mut items: Vec<_> = game.pending_exits().map(|exit| Shown::new(exit, &game)).collect();
    items.sort_by_key(|exit| (exit.key, exit.id));
    Ok(Items { items, none: "no exit is pending" })
}

/// Returns how far one coin is.
pub(crate) async fn status(session: &Session, args: &StatusArgs) -> anyhow::Result<Status> {
    let game = session.game().await?;
    let blank = Status { id: args.id, state: "none", exit: None, freeze: None };
    Ok(match game.exit(args.id) {
        None => blank,
        Some(CoinExit::Pending(exit)) => Status { state: "pending", exit: Some(Shown::new(exit, &game)), ..blank },
        Some(CoinExit::Settled { freeze }) => Status { state: "settled", freeze: Some(*freeze), ..blank },
        Some(CoinExit::Freed { .. }) => Status { state: "ended", ..blank },
    })
}

/// Returns the pending exit of a coin.
pub(crate) async fn record_of(session: &Session, id: OutputId) -> anyhow::Result<PendingExit> {
    let game = session.game().await.context("look for the exit")?;
    match game.exit(id) {
        Some(CoinExit::Pending(exit)) => Ok(*exit),
        None | Some(CoinExit::Settled { .. } | CoinExit::Freed { .. }) => Err(anyhow!("no exit of {id} is pending")),
    }
}
