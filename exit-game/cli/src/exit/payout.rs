//! `plasmid exit process`, `assign` and `claim`: how exits get paid.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::OutputId;
use plasmid_node::settings::parse_address;
use plasmid_node::wire::form;
use plasmid_root_chain::calls::PROCESS_EXITS_MAX;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::Landed;
use serde::Serialize;

use crate::amount::{Asset, shown};
use crate::coins::parse_id;
use crate::exit::pending::record_of;
use crate::failure::Failure;
use crate::report::Items;
use crate::session::{Session, transact};

// --------------------------------------------------------------- process

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit process --account carol
  plasmid exit process --asset ether --dry-run")]
pub(crate) struct ProcessArgs {
    /// Only exits of this asset: `ether`, or the token's address
    #[arg(long)]
    pub(crate) asset: Option<Asset>,
    /// Show what would be processed, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A processed exit as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Processed {
    #[serde(with = "form")]
    pub(crate) id: OutputId,
    #[serde(with = "form")]
    asset: Address,
    #[serde(with = "form")]
    payee: Address,
    /// What it was paid, its bond not counted; zero if it was void or its coin settled before. Base units.
    #[serde(with = "form")]
    paid: u128,
    /// Whether the payment failed and waits to be claimed.
    credited: bool,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Processed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.transaction, self.credited) {
            (None, _) => "would be paid",
            (Some(_), false) => "paid",
            (Some(_), true) => "credited",
        };
        write!(f, "{}\n  {} {how} to {}", self.id, shown(self.paid, self.asset), self.payee)
    }
}

/// Pays the exits whose time has come, in the order of their keys, as many a transaction as its gas surely suffices for.
pub(crate) async fn process(session: &Session, args: &ProcessArgs) -> anyhow::Result<Items<Processed>> {
    let sender = session.sender().await?;
    let mut items = Vec::new();
    loop {
        // Read again for every transaction: others process too, and payments change what the next ones cost.
        let game = session.game().await?;
        let due = due_exits(&game, args.asset);
        if args.dry_run {
            let would = due.values().flatten().map(|record| Processed {
                id: record.output_id,
                asset: record.output.asset,
                payee: record.output.owner,
                paid: record.output.amount,
                credited: false,
                transaction: None,
            });
            items.extend(would);
            break;
        }
        let Some((&asset, due)) = due.first_key_value() else { break };
        let chunk = &due[..due.len().min(PROCESS_EXITS_MAX)];
        let what = format!("process {} of {} exits of {}", chunk.len(), due.len(), Asset(asset));
        let receipt = transact(&sender, &session.root.process_exits(asset, chunk), &what).await?;
        let done = processed(session, asset, &receipt)?;
        if done.is_empty() {
            eprintln!("{what}: nothing was done; somebody else may have been first");
            break;
        }
        items.extend(done);
    }
    Ok(Items { items, none: "no exit is due" })
}

/// Returns the exits whose time has come, by asset, in the order of their keys.
fn due_exits(game: &Game, asset: Option<Asset>) -> BTreeMap<Address, Vec<ExitRecord>> {
    let mut due: BTreeMap<Address, Vec<ExitRecord>> = BTreeMap::new();
    for exit in game.pending_exits().filter(|exit| exit.record.key <= game.now()) {
        let of = exit.record.output.asset;
        if asset.is_none_or(|asset| asset.0 == of) {
            due.entry(of).or_default().push(exit.record);
        }
    }
    due.values_mut().for_each(|records| records.sort_by_key(|record| record.key));
    due
}

/// Returns what a processing call did, by its events.
fn processed(session: &Session, asset: Address, receipt: &Landed) -> anyhow::Result<Vec<Processed>> {
    let contract = session.root.contract();
    let transaction = Some(receipt.transaction);
    let mut done = Vec::new();
    for log in receipt.logs.iter().filter(|log| log.address == contract) {
        match decode_event(contract, log).context("understand the contract's events")? {
            RootEvent::ExitPaid { output_id: id, payee, paid, credited, .. } => {
                done.push(Processed { id, asset, payee, paid, credited, transaction });
            }
            RootEvent::ExitReturned { output_id: id, payee } => {
                done.push(Processed { id, asset, payee, paid: 0, credited: false, transaction });
            }
            _ => {}
        }
    }
    Ok(done)
}

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
    let exit = record_of(session, args.id).await?;
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
