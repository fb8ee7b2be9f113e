//! `plasmid close-chain`: the end of a chain whose operator has stopped. §8.

use std::fmt;

use alloy_primitives::B256;
use anyhow::Context as _;
use clap::Args;
use plasmid_node::wire::form;
use plasmid_root_chain::client::ChildChain;
use serde::Serialize;

use crate::exit::plan::Cost;
use crate::failure::Failure;
use crate::session::{Session, transact};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid close-chain --dry-run
  plasmid close-chain --account alice

Anybody may close a chain that had no block for its sunset time. From then on it takes no deposits and no blocks; coins leave
by their exits as before, and later by `plasmid settle`.")]
pub(crate) struct CloseChainArgs {
    /// Show when the chain can be closed, and what that costs, and close nothing
    #[arg(long)]
    dry_run: bool,
}

/// A closing as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// When the last block was committed, or the contract deployed, in seconds.
    last_timestamp: u64,
    /// From when on the chain can be closed, in seconds.
    sunset_at: u64,
    /// How long until then.
    remaining: u64,
    #[serde(flatten)]
    cost: Option<Cost>,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last_timestamp, sunset_at, remaining, .. } = self;
        write!(f, "the last block came at {last_timestamp}, sunset is at {sunset_at}: ")?;
        match (self.transaction, &self.cost) {
            (Some(_), _) => write!(f, "closed"),
            (None, Some(cost)) => write!(f, "can be closed, {cost}"),
            (None, None) => write!(f, "can be closed in {remaining} s"),
        }
    }
}

/// Closes the chain.
pub(crate) async fn close_chain(session: &Session, args: &CloseChainArgs) -> anyhow::Result<Report> {
    let ChildChain { last_timestamp, halted_from, closed_at, .. } =
        session.root.child_chain().await.context("read the child chain's state")?;
    if let Some(number) = halted_from {
        let what = format!("a fault has halted the chain from block {number} on: that has ended it already");
        return Err(Failure::Refused(what).into());
    }
    if let Some(closed_at) = closed_at {
        return Err(Failure::Refused(format!("the chain was closed at {closed_at} already")).into());
    }
    let sunset_at = last_timestamp.saturating_add(session.deployment.periods.sunset);
    let remaining = sunset_at.saturating_sub(session.now().await?);
    let mut report = Report { last_timestamp, sunset_at, remaining, cost: None, transaction: None };
    if remaining != 0 {
        if args.dry_run {
            return Ok(report);
        }
        let what =
            format!("the operator has until {sunset_at} for its next block: the chain can be closed in {remaining} s");
        return Err(Failure::Refused(what).into());
    }
    let sender = session.sender().await?;
    let call = session.root.close_chain();
    report.cost = Some(Cost::of(&session.root, sender.account().address(), &call, 0).await?);
    if !args.dry_run {
        report.transaction = Some(transact(&sender, &call, "close the chain").await?.transaction);
    }
    Ok(report)
}
