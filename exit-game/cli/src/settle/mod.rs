//! `plasmid settle`: own coins come out by the last good block after the chain's end, without bond, wait and game. §8.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`ending`] | how the chain has ended, and which exits are paid first |
//! | [`coins`] | which coins the settlement pays to the account, with their proofs |

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::wire::form;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::sender::Sender;
use serde::Serialize;

use self::coins::{Found, Search, Withdrawal};
use self::ending::{Ending, Queue};
use crate::amount::{Asset, shown};
use crate::coins::parse_id;
use crate::evidence::export::LeftOut;
use crate::evidence::sources::Sources;
use crate::exit::from_file::{self, Opened};
use crate::exit::plan::Cost;
use crate::failure::Failure;
use crate::holdings::is_settled;
use crate::session::{Session, Settings, transact};

mod coins;
mod ending;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid settle --dry-run
  plasmid settle --account alice
  plasmid settle 0x83c1…77aa --account alice
  plasmid settle --evidence alice.json --l1-url http://127.0.0.1:8545 --account alice

After a halt, or when the chain was closed, whatever the last good block's unspent tree holds is paid to its owner: two periods
and a freeze delay later, once the exits that started in time are paid, which this command does if nobody else has. The proofs
come from any server, or from a file of `plasmid evidence export` as of that block. Doing it again goes on where it stopped.")]
pub(crate) struct SettleArgs {
    /// Ids of the coins; none means all that can be withdrawn
    #[arg(value_name = "COIN", value_parser = parse_id)]
    coins: Vec<OutputId>,
    /// Take the proofs from this file of `plasmid evidence export`: no operator and no watcher is needed
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Show when coins can be withdrawn, what each pays and what comes first, and withdraw nothing
    #[arg(long)]
    dry_run: bool,
}

/// A settlement as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The last block that is not void, zero for none.
    #[serde(with = "form")]
    last_block: BlockNumber,
    /// Exits with keys until then are paid first, in seconds.
    exits_until: u64,
    /// From when on coins are withdrawn, in seconds.
    opens_at: u64,
    /// How long until then.
    remaining: u64,
    /// The exits that come first, in a dry run.
    exits_first: Vec<Queue>,
    items: Vec<Withdrawn>,
    left_out: Vec<LeftOut>,
}

/// A withdrawn coin as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawn {
    #[serde(with = "form")]
    id: OutputId,
    #[serde(with = "form")]
    asset: Address,
    #[serde(with = "form")]
    payee: Address,
    #[serde(with = "form")]
    amount: u128,
    /// Less than the amount where the asset cannot cover it.
    #[serde(with = "form")]
    paid: u128,
    /// Whether the payment failed and waits to be claimed.
    credited: bool,
    /// What the call costs, in a dry run of one that would be taken.
    #[serde(flatten)]
    cost: Option<Cost>,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remaining {
            0 => writeln!(f, "settlement by block {}, open since {}", self.last_block, self.opens_at)?,
            secs => writeln!(f, "settlement by block {}, opens at {}: in {secs} s", self.last_block, self.opens_at)?,
        }
        for Queue { asset, exits, until, .. } in &self.exits_first {
            writeln!(f, "{exits} exits of {} are paid first, the last from {until} on", Asset(*asset))?;
        }
        self.items.iter().try_for_each(|item| writeln!(f, "{item}"))?;
        if self.items.is_empty() { f.write_str("no coin is left to withdraw") } else { Ok(()) }
    }
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.transaction, self.credited) {
            (None, _) => "would be paid",
            (Some(_), false) => "paid",
            (Some(_), true) => "credited (`plasmid exit claim` takes it)",
        };
        write!(f, "{}\n  {} {how}", self.id, shown(self.paid, self.asset))?;
        match self.amount.saturating_sub(self.paid) {
            0 => {}
            short => write!(f, ", {} is not covered", shown(short, self.asset))?,
        }
        self.cost.as_ref().map_or(Ok(()), |cost| write!(f, ", {cost}"))
    }
}

/// Runs `plasmid settle`.
pub(crate) async fn run(args: &SettleArgs, settings: &Settings) -> anyhow::Result<Report> {
    let (session, evidence) = match &args.evidence {
        None => (Session::open(settings).await?, None),
        Some(file) => {
            let Opened { session, evidence } = from_file::open(file, settings).await?;
            (session, Some(evidence))
        }
    };
    let account = session.account()?.address();
    let sources = Sources::open(&session, account, evidence.as_ref()).await?;
    let ending = Ending::of(&sources.game)?;
    let now = sources.game.now();
    let Found { withdrawals, left_out, settled, spent } =
        Search { from: &sources, has_file: evidence.is_some(), ending, account }.find(&args.coins).await?;
    for LeftOut { id, reason } in &left_out {
        eprintln!("left out: {id}: {reason}");
    }
    if settled + spent != 0 {
        eprintln!("{settled} coins have left already, {spent} are spent, as servers say");
    }
    if let Some(LeftOut { id, reason }) = left_out.first().filter(|_| !args.coins.is_empty()) {
        return Err(anyhow!("coin {id} cannot be withdrawn: {reason}"));
    }
    let mut report = Report {
        last_block: ending.last_number(),
        exits_until: ending.exits_until,
        opens_at: ending.opens_at,
        remaining: ending.opens_at.saturating_sub(now),
        exits_first: Vec::new(),
        items: Vec::new(),
        left_out,
    };
    if args.dry_run {
        (report.exits_first, report.items) = plan(&session, &ending, account, report.remaining, &withdrawals).await?;
        return Ok(report);
    }
    if report.remaining != 0 {
        let what = format!("coins can be withdrawn from {} on: in {} s", report.opens_at, report.remaining);
        bail!(Failure::Refused(what));
    }
    let sender = session.sender().await?;
    let assets: BTreeSet<_> = withdrawals.iter().map(|withdrawal| withdrawal.output.asset).collect();
    for asset in assets {
        Queue::clear(&session, &sender, asset, ending.exits_until).await?;
    }
    for withdrawal in &withdrawals {
        let word = session.root.coin(withdrawal.id).await.context("read a coin's word on the root chain")?;
        if is_settled(&word) {
            eprintln!("{} has left by an exit that came first", withdrawal.id);
        } else {
            report.items.push(withdraw(&session, &sender, withdrawal).await?);
        }
    }
    Ok(report)
}

/// Returns the exits that come first, and what would be paid as things stand.
async fn plan(
    session: &Session,
    ending: &Ending,
    payee: Address,
    remaining: u64,
    withdrawals: &[Withdrawal],
) -> anyhow::Result<(Vec<Queue>, Vec<Withdrawn>)> {
    let root = &session.root;
    let (mut queues, mut owed) = (BTreeMap::new(), BTreeMap::new());
    let mut items = Vec::with_capacity(withdrawals.len());
    for Withdrawal { id, output, call, .. } in withdrawals {
        let asset = output.asset;
        if let Entry::Vacant(entry) = owed.entry(asset) {
            entry.insert(root.asset(asset).await.context("read what is owed in the asset")?.owed);
            queues.insert(asset, Queue::read(root, asset, ending.exits_until).await?);
        }
        let left = owed.entry(asset).or_default();
        let paid = output.amount.min(*left);
        *left -= paid;
        let is_open = remaining == 0 && queues.get(&asset).is_none_or(|queue| queue.exits == 0);
        let cost = if is_open { Some(Cost::of(root, payee, call, 0).await?) } else { None };
        let amount = output.amount;
        items.push(Withdrawn { id: *id, asset, payee, amount, paid, credited: false, cost, transaction: None });
    }
    Ok((queues.into_values().filter(|queue| queue.exits != 0).collect(), items))
}

/// Withdraws one coin.
async fn withdraw(session: &Session, sender: &Sender, withdrawal: &Withdrawal) -> anyhow::Result<Withdrawn> {
    let Withdrawal { id, call, .. } = withdrawal;
    let landed = transact(sender, call, &format!("withdraw {id}")).await?;
    let contract = session.root.contract();
    for log in landed.logs.iter().filter(|log| log.address == contract) {
        let event = decode_event(contract, log).context("understand the contract's events")?;
        if let RootEvent::CoinWithdrawn { output_id, payee, asset, amount, paid, credited } = event
            && output_id == *id
        {
            let transaction = Some(landed.transaction);
            return Ok(Withdrawn { id: *id, asset, payee, amount, paid, credited, cost: None, transaction });
        }
    }
    Err(anyhow!("the root chain took the call and does not say that {id} was withdrawn"))
}
