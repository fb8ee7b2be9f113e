//! `plasmid receipt prove`: the operator slashed for a receipt that it did not keep. §3.
//!
//! A proof is announced before it is shown, lest whoever sees it takes the reward. What was announced is found on the root
//! chain again: a command that was interrupted goes on where it was.

use std::fmt;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use anyhow::{Context as _, anyhow};
use clap::Args;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{ETHER, OutputId, TxHash};
use plasmid_exit_game::receipt::BrokenPromise;
use plasmid_node::wire::{Accepted, form};
use plasmid_root_chain::calls::announcement_of;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Call, Landed};
use plasmid_root_chain::sender::Sender;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Breach, Found, Row, look};
use crate::amount::shown;
use crate::coins::parse_id;
use crate::exit::plan::Cost;
use crate::failure::Failure;
use crate::session::{Session, transact};

/// Root blocks from an announcement to the proof that is rewarded for it.
const ANNOUNCED_BLOCKS: u64 = 2;
/// How long these may take.
const WAIT_MAX: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid receipt prove 0x1f3a…90cc --dry-run
  plasmid receipt prove 0x1f3a…90cc --account alice

Says whether the operator kept its receipt. If not, announces the proof, waits for two root blocks, and proves: the operator
loses the slash, and half of it is the account's. Interrupted, it goes on when it is called again.")]
pub(crate) struct ProveArgs {
    /// The payment
    #[arg(value_name = "TX", value_parser = parse_id)]
    tx: OutputId,
    /// Say whether the receipt is kept, or what the proof costs, and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// What became of a receipt, and of its proof.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proven {
    #[serde(flatten)]
    row: Row,
    /// Until when it can be proven broken, in seconds; none if it is not.
    until: Option<u64>,
    /// Number of the root block that holds the announcement.
    announced_in: Option<u64>,
    /// What the proof itself costs.
    #[serde(flatten)]
    cost: Option<Cost>,
    #[serde(with = "form")]
    transaction: Option<B256>,
    /// What the operator lost, in wei.
    slashed: String,
    /// What of that the account got, in wei.
    reward: String,
}

impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row.fmt(f)?;
        if let (Some(until), None) = (self.until, self.transaction) {
            write!(f, "\n  can be proven until {until}")?;
        }
        if let Some(cost) = &self.cost {
            write!(f, "\n  proof: {cost}")?;
        }
        let wei = |text: &str| text.parse().map_or_else(|_| format!("{text} wei"), |wei| shown(wei, ETHER));
        match self.transaction {
            Some(_) => write!(f, "\n  proven: the operator lost {}, you got {}", wei(&self.slashed), wei(&self.reward)),
            None => Ok(()),
        }
    }
}

/// Runs `plasmid receipt prove`.
pub(crate) async fn prove(session: &Session, args: &ProveArgs) -> anyhow::Result<Proven> {
    let tx_hash = TxHash(args.tx.0);
    let account = session.account()?.address();
    let sent = session.wallet(account).await?.sent()?;
    let accepted = sent.iter().find(|sent| sent.tx_hash == tx_hash).and_then(|sent| sent.accepted());
    let accepted = accepted.ok_or_else(|| {
        anyhow!("the wallet of {account} has no receipt of {tx_hash}: `plasmid receipt list` shows those that it has")
    })?;
    let game = session.game().await?;
    let servers = session.servers().unwrap_or_default();
    let Found { row, header, breach } = look(&servers, accepted, &game).await;
    let none = U256::ZERO.to_string();
    let mut proven = Proven {
        row,
        until: breach.as_ref().map(|breach| breach.until),
        announced_in: None,
        cost: None,
        transaction: None,
        slashed: none.clone(),
        reward: none,
    };
    let Some(breach) = breach else { return Ok(proven) };
    if game.now() >= breach.until {
        let what = format!("the receipt was broken, and could be proven until {}: that is over", breach.until);
        return Err(Failure::Refused(what).into());
    }
    let receipt = accepted.receipt.signed().context("read the wallet's own receipt")?;
    let promise = promise(accepted, &breach);
    let call = session.root.prove_broken_receipt(&receipt.receipt, &receipt.signature, header.as_ref(), &promise);

    let sender = session.sender().await?;
    let announcement = announcement_of(sender.account().address(), &call);
    proven.announced_in = session.root.announcement(announcement).await.context("look for the announcement")?;
    check_unslashed(session, accepted, proven.announced_in).await?;
    proven.cost = Some(Cost::of(&session.root, sender.account().address(), &call, 0).await?);
    if args.dry_run {
        return Ok(proven);
    }
    proven.announced_in = Some(announced(session, &sender, announcement).await?);
    let landed = transact(&sender, &call, "prove the broken receipt").await?;
    let (slashed, reward) = gained(session, &call, &landed)?;
    (proven.slashed, proven.reward) = (slashed.to_string(), reward.to_string());
    proven.transaction = Some(landed.transaction);
    Ok(proven)
}

/// Returns the leaves that the proof shows: none where time alone breaks the receipt.
fn promise(accepted: &Accepted, breach: &Breach) -> BrokenPromise {
    if !breach.is_about_place {
        return BrokenPromise::NONE;
    }
    let receipt = &accepted.receipt;
    let (held, held_path) = breach.held.clone().unwrap_or_default();
    let (index, promised, promised_path) = (receipt.index.get(), receipt.leaf, receipt.path.clone());
    BrokenPromise { index, promised, promised_path, held, held_path }
}

/// Refuses a proof that would earn nothing: the block's receipts were slashed before this one was announced.
async fn check_unslashed(session: &Session, accepted: &Accepted, announced_in: Option<u64>) -> anyhow::Result<()> {
    let number = accepted.receipt.number;
    let slashed =
        session.root.slashed_receipt(number).await.context("look whether the block's receipts were slashed")?;
    let Some(slashed) = slashed else { return Ok(()) };
    let is_in_time = announced_in.is_some_and(|at| at.saturating_add(ANNOUNCED_BLOCKS) <= slashed.root_block);
    if slashed.reward != 0 && is_in_time {
        return Ok(());
    }
    let what = format!(
        "the operator was slashed for block {number} in root block {} already, once for all of its receipts",
        slashed.root_block
    );
    Err(Failure::Refused(what).into())
}

/// Announces what is not announced yet, and waits until a proof would be rewarded.
async fn announced(session: &Session, sender: &Sender, announcement: B256) -> anyhow::Result<u64> {
    let start = Instant::now();
    loop {
        let announced_in = session.root.announcement(announcement).await.context("look for the announcement")?;
        let Some(announced_in) = announced_in else {
            transact(sender, &session.root.announce_fault(announcement), "announce the proof").await?;
            continue;
        };
        // A proof that is sent now lands in a later block than the newest.
        let head = session.root.node().head().await.context("read the root chain's head")?.at.number;
        if head + 1 >= announced_in.saturating_add(ANNOUNCED_BLOCKS) {
            return Ok(announced_in);
        }
        if start.elapsed() > WAIT_MAX {
            let what = format!(
                "waited {} s for two root blocks after the announcement in {announced_in}: repeat the command, it stands",
                WAIT_MAX.as_secs()
            );
            return Err(Failure::TimedOut(what).into());
        }
        sleep(PAUSE).await;
    }
}

/// Returns what the operator lost, and what the prover got, in wei.
fn gained(session: &Session, call: &Call, landed: &Landed) -> anyhow::Result<(U256, U256)> {
    let contract = call.to.unwrap_or(session.deployment.contract);
    let (mut lost, mut got) = (U256::ZERO, U256::ZERO);
    for log in landed.logs.iter().filter(|log| log.address == contract) {
        match decode_event(contract, log).context("read what the proof did")? {
            RootEvent::ReceiptSlashed { slashed, .. } => lost = slashed,
            RootEvent::ReceiptRewarded { amount, .. } => got = amount,
            _ => {}
        }
    }
    Ok((lost, got))
}
