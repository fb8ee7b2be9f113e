//! `plasmid exit challenge`.

use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail};
use clap::Args;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::output::{ETHER, OutputId, TxHash};
use plasmid_node::wire::form;
use serde::Serialize;

use crate::amount::shown;
use crate::coins::parse_id;
use crate::exit::in_flight;
use crate::exit::pending::pending_exit;
use crate::holdings::{Spend, first_answer, proven_spend};
use crate::report::Items;
use crate::session::{Session, transact};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit challenge 0x83c1…77aa --account alice
  plasmid exit challenge 0x1f3a…90cc --watcher-url http://127.0.0.1:8546 --account alice --dry-run")]
pub(crate) struct ChallengeArgs {
    /// The coin whose exit is pending, or the payment that is exiting
    #[arg(value_parser = parse_id)]
    id: OutputId,
    /// Show the spend that would be shown, and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// A challenge as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Challenged {
    #[serde(with = "form")]
    id: OutputId,
    #[serde(with = "form")]
    spender: TxHash,
    /// What the challenger gets, in wei.
    #[serde(with = "form")]
    bond: u128,
    #[serde(with = "form")]
    challenger: Address,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Challenged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.transaction.is_some() { "ended the exit of" } else { "would end the exit of" };
        write!(f, "{what} {} by its spend {}, for {}", self.id, self.spender, shown(self.bond, ETHER))
    }
}

/// What was challenged.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Report {
    Standard(Challenged),
    InFlight(Items<in_flight::challenge::Challenged>),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(challenged) => challenged.fmt(f),
            Self::InFlight(challenged) => challenged.fmt(f),
        }
    }
}

/// Challenges the exit of a coin or payment by what servers know.
pub(crate) async fn challenge(session: &Session, args: &ChallengeArgs) -> anyhow::Result<Report> {
    let game = session.game().await.context("look for the exit")?;
    let tx_hash = TxHash(args.id.0);
    if game.in_flight_exit(tx_hash).is_some() {
        return in_flight::challenge::challenge(session, tx_hash, args.dry_run).await.map(Report::InFlight);
    }
    let record = pending_exit(&game, args.id)?.record;
    standard(session, args, &record).await.map(Report::Standard)
}

/// Ends the exit of a coin by a spend that a server knows.
async fn standard(session: &Session, args: &ChallengeArgs, record: &ExitRecord) -> anyhow::Result<Challenged> {
    let id = args.id;
    let servers = session.servers()?;
    let (_, spend) = first_answer(&servers, async |server| {
        let coin = server.coin(id).await?;
        proven_spend(session, server, &coin).await
    })
    .await
    .context("ask for a spend of the coin")?;
    let Some(Spend { tx_hash, body, signature }) = spend else {
        bail!("no server shows a spend of {id} with its owner's signature: its exit stands");
    };
    let sender = session.sender().await?;
    let transaction = if args.dry_run {
        None
    } else {
        let call = session.root.challenge_standard_exit(record, &body.encode(), &signature);
        Some(transact(&sender, &call, "challenge the exit").await?.transaction)
    };
    let (bond, challenger) = (session.deployment.bonds.exit_bond_wei, sender.account().address());
    Ok(Challenged { id, spender: tx_hash, bond, challenger, transaction })
}
