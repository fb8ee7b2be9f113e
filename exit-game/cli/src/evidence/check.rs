//! `plasmid evidence check`: whether a file would carry its coins out.

use std::fmt;
use std::path::PathBuf;

use alloy_primitives::Address;
use anyhow::{Context as _, anyhow};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::wire::evidence::{Evidence, EvidenceCoin, EvidenceTransaction};
use plasmid_node::wire::{RootBlock, form};
use serde::Serialize;

use super::proof::{self, Findings};
use super::{file, other_branch, refuse_other_contract, session};
use crate::amount::shown;
use crate::failure::Failure;
use crate::holdings::{self, is_exiting, is_settled, is_void, void_from};
use crate::report::Format;
use crate::session::{Progress, Session, Settings};

/// Coins that the root chain is asked about at once.
const PARALLEL: usize = 8;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid evidence check bob.json
  plasmid evidence check bob.json --offline --json

Exit codes: 0 usable, 1 broken, 3 of another chain or contract, 5 unreachable. The contract is the file's own unless one
is given.")]
pub(crate) struct CheckArgs {
    /// The file
    file: PathBuf,
    /// Do not ask the root chain: check names, hashes, paths and signatures alone
    #[arg(long)]
    offline: bool,
}

/// How far the coin of an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Its exit can start.
    Ready,
    /// Its exit is pending.
    Exiting,
    /// It has left.
    Exited,
    /// Its proof holds in itself; the root chain was not asked.
    Unchecked,
    /// It cannot leave with what is shown.
    Broken,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "can exit",
            Self::Exiting => "is exiting",
            Self::Exited => "has left",
            Self::Unchecked => "is proven, if the root chain agrees",
            Self::Broken => "is broken",
        })
    }
}

/// A file as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    usable: bool,
    chain_id: u64,
    #[serde(with = "form")]
    contract: Address,
    exported_at: RootBlock,
    coins: Vec<CoinRow>,
    transactions: Vec<TransactionRow>,
}

#[derive(Debug, Serialize)]
struct CoinRow {
    #[serde(with = "form")]
    id: OutputId,
    #[serde(with = "form")]
    owner: Address,
    #[serde(with = "form")]
    asset: Address,
    #[serde(with = "form")]
    amount: u128,
    state: Standing,
    /// Why it is broken.
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TransactionRow {
    #[serde(with = "form")]
    tx_hash: TxHash,
    /// Why it is broken, if it is.
    reason: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on root chain {}, exported at root block {}",
            self.contract, self.chain_id, self.exported_at.number
        )?;
        for coin in &self.coins {
            write!(f, "{}\n  {} of {} {}", coin.id, shown(coin.amount, coin.asset), coin.owner, coin.state)?;
            writeln!(f, "{}", because(coin.reason.as_deref()))?;
        }
        for transaction in &self.transactions {
            let state = if transaction.reason.is_none() { "can exit in flight" } else { "is broken" };
            writeln!(f, "{}\n  {state}{}", transaction.tx_hash, because(transaction.reason.as_deref()))?;
        }
        if self.coins.is_empty() && self.transactions.is_empty() { write!(f, "it holds nothing") } else { Ok(()) }
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

impl Report {
    /// Returns the first entry that is broken, with the reason.
    fn broken(&self) -> Option<String> {
        let coins = self.coins.iter().filter_map(|coin| Some(format!("coin {}: {}", coin.id, coin.reason.as_ref()?)));
        let transactions = self.transactions.iter();
        let transactions =
            transactions.filter_map(|entry| Some(format!("transaction {}: {}", entry.tx_hash, entry.reason.as_ref()?)));
        coins.chain(transactions).next()
    }
}

/// Runs `plasmid evidence check`.
pub(crate) async fn run(args: &CheckArgs, settings: &Settings, format: Format) -> anyhow::Result<()> {
    let evidence = file::read(&args.file)?;
    let findings = proof::look(&evidence);
    let report = if args.offline {
        refuse_other_contract(settings, &evidence)?;
        let unchecked = evidence.coins.iter().map(|_| Ok(Standing::Unchecked)).collect();
        let complete = evidence.transactions.iter().map(|_| Ok(())).collect();
        report(&evidence, findings, unchecked, complete)
    } else {
        let session = session(settings, &evidence).await?;
        if let Some(why) = other_branch(&session, &evidence).await? {
            let what = format!(
                "{}: {why}. It is of another chain, or of a branch that the root chain has left: export it again",
                args.file.display()
            );
            return Err(Failure::Refused(what).into());
        }
        let (coins, transactions) = on_root_chain(&session, &evidence).await?;
        report(&evidence, findings, coins, transactions)
    };
    format.print(&report)?;
    match report.broken() {
        None => Ok(()),
        Some(broken) => Err(anyhow!("{} cannot be relied on: {broken}", args.file.display())),
    }
}

fn report(
    evidence: &Evidence,
    findings: Findings,
    coins: Vec<Result<Standing, String>>,
    transactions: Vec<Result<(), String>>,
) -> Report {
    let coins = evidence.coins.iter().zip(findings.coins).zip(coins).map(|((coin, found), standing)| {
        let standing = found.map_err(|fault| chain_of(fault.into())).and(standing);
        CoinRow {
            id: coin.id,
            owner: coin.output.owner,
            asset: coin.output.asset,
            amount: coin.output.amount,
            state: *standing.as_ref().unwrap_or(&Standing::Broken),
            reason: standing.err(),
        }
    });
    let transactions = evidence.transactions.iter().zip(findings.transactions).zip(transactions);
    let transactions = transactions.map(|((transaction, found), standing)| TransactionRow {
        tx_hash: transaction.tx_hash,
        reason: found.map_err(|fault| chain_of(fault.into())).and(standing).err(),
    });
    let (coins, transactions): (Vec<_>, Vec<_>) = (coins.collect(), transactions.collect());
    let usable = coins.iter().all(|coin| coin.reason.is_none()) && transactions.iter().all(|row| row.reason.is_none());
    let Evidence { chain_id, contract, exported_at, .. } = *evidence;
    Report { usable, chain_id, contract, exported_at, coins, transactions }
}

fn chain_of(error: anyhow::Error) -> String {
    format!("{error:#}")
}

type OnRootChain = (Vec<Result<Standing, String>>, Vec<Result<(), String>>);

/// Holds all entries against the root chain. Fails only if it cannot be asked.
async fn on_root_chain(session: &Session, evidence: &Evidence) -> anyhow::Result<OnRootChain> {
    let void_from = void_from(session).await?;
    let mut progress = Progress::new("checking coins against the root chain");
    let mut coins = Vec::with_capacity(evidence.coins.len());
    let mut found = stream::iter(&evidence.coins).map(|coin| standing(session, coin, void_from)).buffered(PARALLEL);
    while let Some(standing) = found.try_next().await? {
        coins.push(standing);
        progress.show(format_args!("{} of {}", coins.len(), evidence.coins.len()));
    }
    let mut transactions = Vec::with_capacity(evidence.transactions.len());
    for transaction in &evidence.transactions {
        transactions.push(check_transaction(session, transaction, void_from).await?);
    }
    Ok((coins, transactions))
}

/// Returns how far a coin is, or why it cannot leave with what is shown. Fails only if the root chain cannot be asked.
pub(crate) async fn standing(
    session: &Session,
    coin: &EvidenceCoin,
    void_from: Option<BlockNumber>,
) -> anyhow::Result<Result<Standing, String>> {
    let word = session.root.coin(coin.id).await.context("read a coin's word on the root chain")?;
    if let Err(reason) = holdings::verify(session, coin, &word).await? {
        return Ok(Err(reason));
    }
    Ok(match void_from.filter(|_| is_void(coin.position, void_from)) {
        _ if is_settled(&word) => Ok(Standing::Exited),
        _ if is_exiting(&word) => Ok(Standing::Exiting),
        Some(from) => Err(format!("blocks from {from} on are void: only the payment that made it can exit, in flight")),
        None => Ok(Standing::Ready),
    })
}

async fn check_transaction(
    session: &Session,
    transaction: &EvidenceTransaction,
    void_from: Option<BlockNumber>,
) -> anyhow::Result<Result<(), String>> {
    for input in &transaction.inputs {
        if let Err(reason) = standing(session, input, void_from).await? {
            return Ok(Err(format!("its input {}: {reason}", input.id)));
        }
    }
    if let Some(made) = &transaction.made
        && let Err(reason) = holdings::verify_header(session, &made.header).await?
    {
        return Ok(Err(reason));
    }
    if let Some(Ok(signed)) = transaction.receipt.as_ref().map(plasmid_node::wire::Receipt::signed) {
        let number = signed.receipt.number;
        let key = session.root.operator_of(number).await.context("read the operator's key on the root chain")?;
        if signed.signature.recover(signed.receipt.signing_hash(&session.deployment.domain())) != Some(key) {
            return Ok(Err(format!("its receipt is not signed by {key}, who makes block {number}")));
        }
    }
    Ok(Ok(()))
}
