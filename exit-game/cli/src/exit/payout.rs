//! `plasmid exit assign` and `claim`: to whom exits are paid, and what a failed payment left behind.

use std::collections::BTreeSet;
use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::OutputId;
use plasmid_node::settings::parse_address;
use plasmid_node::wire::form;
use serde::Serialize;

use crate::amount::shown;
use crate::coins::parse_id;
use crate::exit::pending::pending_exit;
use crate::failure::Failure;
use crate::report::Items;
use crate::session::{Session, transact};

// ---------------------------------------------------------------- assign

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit assign 0x83c1…77aa 0x7099…79C8 --account alice")]
pub(crate) struct AssignArgs {
    /// The coin whose exit is pending
    #[arg(value_parser = parse_id)]
    id: OutputId,
    /// Who is paid from now on, the bond included
    #[arg(value_parser = parse_address)]
    to: Address,
}

/// A handed-on claim as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Assigned {
    #[serde(with = "form")]
    id: OutputId,
    #[serde(with = "form")]
    payee: Address,
    #[serde(with = "form")]
    transaction: B256,
}

impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exit of {} pays {} from now on", self.id, self.payee)
    }
}

/// Hands the account's claim to an exit to somebody else.
pub(crate) async fn assign(session: &Session, args: &AssignArgs) -> anyhow::Result<Assigned> {
    let exit = pending_exit(&session.game().await?, args.id)?;
    let sender = session.sender().await?;
    let account = sender.account().address();
    if exit.payee != account {
        bail!(Failure::Refused(format!("the exit of {} pays {}, not {account}", args.id, exit.payee)));
    }
    let call = session.root.assign_exit(&exit.record, args.to);
    let transaction = transact(&sender, &call, "assign the exit").await?.transaction;
    Ok(Assigned { id: args.id, payee: args.to, transaction })
}

// ----------------------------------------------------------------- claim

/// A claimed credit as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claimed {
    #[serde(with = "form")]
    asset: Address,
    #[serde(with = "form")]
    amount: u128,
    #[serde(with = "form")]
    to: Address,
    #[serde(with = "form")]
    transaction: B256,
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claimed {} for {}", shown(self.amount, self.asset), self.to)
    }
}

/// Takes the account's credits in all assets.
pub(crate) async fn claim(session: &Session) -> anyhow::Result<Items<Claimed>> {
    let sender = session.sender().await?;
    let account = sender.account().address();
    let mut assets = BTreeSet::new();
    session
        .replay(|block| {
            assets.extend(block.events.iter().filter_map(|event| match event {
                RootEvent::Credited { account: of, asset, .. } if *of == account => Some(*asset),
                _ => None,
            }));
            Ok(())
        })
        .await?;
    let mut items = Vec::new();
    for asset in assets {
        let credit = session.root.claimable(account, asset).await.context("read the credit")?;
        let amount = u128::try_from(credit).map_err(|_| anyhow!("a credit of {credit} base units is out of range"))?;
        if amount != 0 {
            let call = session.root.claim(asset, account);
            let transaction = transact(&sender, &call, "claim the credit").await?.transaction;
            items.push(Claimed { asset, amount, to: account, transaction });
        }
    }
    Ok(Items { items, none: "nothing to claim" })
}
