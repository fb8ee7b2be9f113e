//! `plasmid exit respond` and `close`: the answer to a competitor, and the end. §6.4, §6.8.

use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::{anyhow, bail};
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace};
use plasmid_exit_game::game::InFlightExit;
use plasmid_exit_game::output::{ETHER, TxHash};
use plasmid_node::wire::form;
use serde::Serialize;

use super::view::{Shown, Times, word};
use super::{Acting, InFlightArgs, open_exit};
use crate::amount::shown;
use crate::exit::plan::{Cost, proof_of};
use crate::session::Settings;

// --------------------------------------------------------------- respond

/// An answer as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Responded {
    #[serde(flatten)]
    exit: Shown,
    /// The challenger's bond, which the responder gets, in wei.
    #[serde(with = "form")]
    reward: u128,
    #[serde(flatten)]
    cost: Cost,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Responded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.exit)?;
        let what = if self.transaction.is_some() { "answered" } else { "would be answered" };
        write!(f, "  {what}, for {}: {}", shown(self.reward, ETHER), self.cost)
    }
}

/// Runs `plasmid exit respond`.
pub(crate) async fn respond(args: &InFlightArgs, settings: &Settings) -> anyhow::Result<Responded> {
    let acting = Acting::open(args, settings).await?;
    let (root, tx_hash) = (&acting.session.root, acting.tx_hash);
    let sources = acting.sources().await?;
    let mut exit = open_exit(&sources, tx_hash)?.clone();
    check_answerable(&exit)?;
    let included = sources.inclusion(tx_hash).await.ok_or_else(|| {
        anyhow!(
            "no block that holds {tx_hash} is known: --evidence FILE, --operator-url URL or --watcher-url URL may show one"
        )
    })?;
    let place = included.place;
    if !exit.oldest.is_bettered_by(place) {
        bail!("{tx_hash} stands as {place}, which is not older than what was shown: there is nothing to answer");
    }
    let reward = exit.challenger.map_or(0, |_| acting.session.deployment.bonds.in_flight_bond_wei);
    let call = root.respond_not_canonical(tx_hash, &proof_of(&included));
    let cost = Cost::of(root, acting.account(), &call, 0).await?;
    let landed = acting.send(&call, "respond").await?;
    (exit.oldest, exit.challenger) = (OldestPlace::Own(place), None);
    let exit = Shown::new(&exit, &sources.game, sources.void_from);
    Ok(Responded { exit, reward, cost, transaction: landed.map(|receipt| receipt.transaction) })
}

fn check_answerable(exit: &InFlightExit) -> anyhow::Result<()> {
    let tx_hash = exit.tx_hash;
    if let Some(decision) = exit.decision {
        bail!("the exit of {tx_hash} is decided for good: {}", word(decision));
    }
    if exit.oldest == OldestPlace::Nobodys {
        bail!("nobody has challenged the exit of {tx_hash}: there is nothing to answer");
    }
    Ok(())
}

// ----------------------------------------------------------------- close

/// A closed exit as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Closed {
    #[serde(with = "form")]
    tx_hash: TxHash,
    /// Who gets the bonds that are left.
    bonds: Vec<Bond>,
    #[serde(flatten)]
    cost: Cost,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

/// A bond that is returned or won.
#[derive(Debug, Serialize)]
struct Bond {
    #[serde(with = "form")]
    to: Address,
    #[serde(with = "form")]
    amount: u128,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.transaction.is_some() { "closed" } else { "would be closed" };
        write!(f, "{}\n  {what}: {}", self.tx_hash, self.cost)?;
        self.bonds.iter().try_for_each(|Bond { to, amount }| write!(f, "\n  {} to {to}", shown(*amount, ETHER)))
    }
}

/// Runs `plasmid exit close`.
pub(crate) async fn close(args: &InFlightArgs, settings: &Settings) -> anyhow::Result<Closed> {
    let acting = Acting::open(args, settings).await?;
    let (root, tx_hash) = (&acting.session.root, acting.tx_hash);
    let sources = acting.sources().await?;
    let exit = open_exit(&sources, tx_hash)?;
    if !exit.live_pieces.is_empty() {
        bail!(
            "{} pieces of {tx_hash} wait for their turn: `plasmid exit process` pays them from {} on, and then it can be closed",
            exit.live_pieces.len(),
            exit.key
        );
    }
    let (now, from) = (sources.game.now(), Times::of(exit, &sources.game.periods()).close_from(exit));
    if now < from {
        bail!("the exit of {tx_hash} can be closed from {from} on, in {} s", from - now);
    }
    let call = root.close_in_flight_exit(tx_hash, &exit.data);
    let cost = Cost::of(root, acting.account(), &call, 0).await?;
    let bonds = bonds(exit, acting.session.deployment.bonds.in_flight_bond_wei);
    let landed = acting.send(&call, "close the in-flight exit").await?;
    Ok(Closed { tx_hash, bonds, cost, transaction: landed.map(|receipt| receipt.transaction) })
}

/// Returns where the bonds go. §6.8
fn bonds(exit: &InFlightExit, bond: u128) -> Vec<Bond> {
    let starter = exit.data.starter;
    let to = match (exit.challenger, exit.decision) {
        (None, _) => vec![starter],
        (Some(challenger), None | Some(Decision::NonCanonical)) => vec![challenger, challenger],
        (Some(challenger), Some(Decision::Canonical | Decision::Void)) => vec![starter, challenger],
    };
    to.into_iter().map(|to| Bond { to, amount: bond }).collect()
}
