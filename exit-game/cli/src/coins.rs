//! `plasmid balance`, `plasmid coins` and `plasmid coin`: what somebody owns, and what has to happen to it next.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::Address;
use anyhow::Context as _;
use clap::Args;
use plasmid_exit_game::exit::in_flight::Piece;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::{ETHER, OutputId, TxHash};
use plasmid_exit_game::position::Position;
use plasmid_node::settings::parse_address;
use plasmid_node::wire::{CoinState, form};
use serde::Serialize;

use crate::amount::shown;
use crate::exit::plan::{BadBlock, Plan, Terms};
use crate::holdings::{self, Holding};
use crate::report::Items;
use crate::session::Session;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid balance --account alice
  plasmid balance 0x7099…79C8 --json")]
pub(crate) struct OwnerArgs {
    /// Whose coins [default: the account's]
    #[arg(value_parser = parse_address)]
    pub(crate) owner: Option<Address>,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid coin 0x83c1…77aa")]
pub(crate) struct CoinArgs {
    /// The coin's id
    #[arg(value_parser = parse_id)]
    id: OutputId,
}

pub(crate) fn parse_id(text: &str) -> Result<OutputId, form::FormError> {
    form::parse(text)
}

// --------------------------------------------------------------- balance

/// An owner's totals in one asset, in base units.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Balance {
    #[serde(with = "form")]
    asset: Address,
    /// Proven and not on the way out.
    #[serde(with = "form")]
    available: u128,
    /// Deposits that no block covers, and coins whose block is not committed.
    #[serde(with = "form")]
    pending: u128,
    /// Leaving: paid by the root chain when their time comes.
    #[serde(with = "form")]
    exiting: u128,
    /// What a server claims without a proof that holds.
    #[serde(with = "form")]
    unproven: u128,
    /// Payments that failed: `plasmid exit claim` takes them.
    claimable: String,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shown(self.available, self.asset))?;
        let parts = [(self.pending, "pending"), (self.exiting, "exiting"), (self.unproven, "claimed without proof")];
        for (amount, what) in parts.into_iter().filter(|&(amount, _)| amount != 0) {
            write!(f, ", {} {what}", shown(amount, self.asset))?;
        }
        if self.claimable == "0" { Ok(()) } else { write!(f, ", {} base units to claim", self.claimable) }
    }
}

/// Returns an owner's totals by asset; ether always, and first.
pub(crate) async fn balance(session: &Session, args: &OwnerArgs) -> anyhow::Result<Items<Balance>> {
    let owner = session.settings().address_or_own(args.owner)?;
    let mut totals = BTreeMap::from([(ETHER, Balance::default())]);
    for holding in holdings::holdings(session, owner, None).await? {
        let (asset, amount) = (holding.coin.output.asset, holding.coin.output.amount);
        let total = totals.entry(asset).or_default();
        total.asset = asset;
        let part = match (holding.coin.state, &holding.proof) {
            (CoinState::Exiting, _) => &mut total.exiting,
            (CoinState::Pending | CoinState::Accepted, _) => &mut total.pending,
            (CoinState::Committed | CoinState::Final, Ok(_)) => &mut total.available,
            (CoinState::Committed | CoinState::Final, Err(_)) => &mut total.unproven,
            (CoinState::Spent | CoinState::Exited | CoinState::Void | CoinState::Dropped, _) => continue,
        };
        *part = part.checked_add(amount).context("the coins add up to more than 128 bits")?;
    }
    for (&asset, total) in &mut totals {
        total.claimable = session.root.claimable(owner, asset).await.context("read the credit")?.to_string();
    }
    Ok(Items { items: totals.into_values().collect(), none: "" })
}

// ----------------------------------------------------------------- coins

/// A coin with what its owner has to know.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    #[serde(with = "form")]
    pub(crate) id: OutputId,
    #[serde(with = "form")]
    pub(crate) position: Position,
    #[serde(with = "form")]
    pub(crate) asset: Address,
    #[serde(with = "form")]
    pub(crate) amount: u128,
    pub(crate) state: CoinState,
    /// Why its creation is not proven, if it is not.
    pub(crate) unproven: Option<String>,
    /// Root-chain time, in seconds, before which its exit must start to be paid ahead of a bad block's coins.
    deadline: Option<u64>,
    /// On what terms an exit could start now; none where none can.
    exit: Option<Terms>,
    /// Who must act next, and how.
    next: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = serde_json::to_value(self.state).map_err(|_| fmt::Error)?;
        writeln!(f, "{}", self.id)?;
        writeln!(
            f,
            "  {} at {}, {}",
            shown(self.amount, self.asset),
            self.position,
            state.as_str().unwrap_or_default()
        )?;
        if let Some(reason) = &self.unproven {
            writeln!(f, "  not proven: {reason}")?;
        }
        if let Some(terms) = &self.exit {
            writeln!(f, "  exit now: {terms}")?;
        }
        write!(f, "  next: {}", self.next)
    }
}

/// Returns the coins of an owner that are not spent.
pub(crate) async fn coins(session: &Session, args: &OwnerArgs) -> anyhow::Result<Items<Row>> {
    let owner = session.settings().address_or_own(args.owner)?;
    let prospects = Prospects::find(session).await?;
    let held = holdings::holdings(session, owner, None).await?;
    let mut items = Vec::new();
    for holding in held.iter().filter(|holding| holding.coin.state != CoinState::Exited) {
        items.push(row(session, holding, &prospects).await?);
    }
    Ok(Items { items, none: "no coins: `plasmid deposit` brings money in" })
}

/// What all coins have in common.
#[derive(Debug, Clone, Copy)]
struct Prospects {
    bad: Option<BadBlock>,
    is_closed: bool,
    periods: Periods,
    /// Root-chain time, in seconds.
    now: u64,
}

impl Prospects {
    async fn find(session: &Session) -> anyhow::Result<Self> {
        let child_chain = session.root.child_chain().await.context("read the child chain's state")?;
        Ok(Self {
            bad: BadBlock::find(session).await?,
            is_closed: child_chain.closed_at.is_some(),
            periods: session.deployment.periods,
            now: session.now().await?,
        })
    }

    /// Returns the block from which on all are void, if a fault has halted the chain.
    fn halt(&self) -> Option<BadBlock> {
        self.bad.filter(|bad| bad.is_void)
    }
}

async fn row(session: &Session, holding: &Holding, prospects: &Prospects) -> anyhow::Result<Row> {
    let coin = &holding.coin;
    let exit = match (coin.state, &holding.proof) {
        (CoinState::Pending | CoinState::Committed | CoinState::Final, Ok(proof)) => {
            Some(Plan::make(session, proof, prospects.bad).await?.terms)
        }
        _ => None,
    };
    let deadline = match (&exit, coin.state) {
        (Some(terms), _) => terms.deadline,
        (None, CoinState::Void | CoinState::Accepted) => prospects.halt().map(|bad| bad.deadline(prospects.periods)),
        (None, _) => None,
    };
    Ok(Row {
        id: coin.id,
        position: coin.position,
        asset: coin.output.asset,
        amount: coin.output.amount,
        state: coin.state,
        unproven: holding.proof.as_ref().err().cloned(),
        deadline,
        exit,
        next: next(holding, deadline, prospects),
    })
}

/// Says who must act next.
fn next(holding: &Holding, deadline: Option<u64>, prospects: &Prospects) -> String {
    let &Prospects { bad, is_closed, periods, now } = prospects;
    let in_bad = |bad: &BadBlock| holding.block().is_some_and(|block| block >= bad.number);
    let maker = holding.proof.as_ref().ok().and_then(holdings::maker_of).map_or("TX".to_owned(), |tx| tx.to_string());
    let in_flight = format!("`plasmid exit in-flight {maker}`");
    let before = match deadline {
        Some(deadline) if deadline > now => format!(" before {deadline} (in {} s)", deadline - now),
        Some(deadline) => format!("; what started before {deadline} goes first"),
        None => String::new(),
    };
    let is_over = is_closed || prospects.halt().is_some();
    match holding.coin.state {
        CoinState::Pending | CoinState::Committed | CoinState::Final if is_over => {
            let what = if is_closed { "closed" } else { "halted" };
            format!(
                "the owner, since the chain is {what}: `plasmid exit start`{before}, or in the end `plasmid settle`"
            )
        }
        CoinState::Accepted if is_over => {
            format!("the owner, since its block will not be committed: {in_flight}{before}")
        }
        CoinState::Pending => "the operator, to cover the deposit with a block".to_owned(),
        CoinState::Accepted => "the operator, to commit its block".to_owned(),
        CoinState::Committed | CoinState::Final => match (bad, deadline) {
            (Some(bad), _) if in_bad(&bad) => format!(
                "nobody yet: block {} is not known to be valid; do not count the coin as received. If it stays so, \
                 {in_flight} takes the payment out",
                bad.number
            ),
            (Some(bad), Some(deadline)) if deadline > now => {
                format!("the owner, if block {} stays bad: `plasmid exit start`{before}", bad.number)
            }
            (Some(bad), Some(_)) => format!("the owner: block {} is bad and older exits go first", bad.number),
            (Some(_) | None, None) | (None, Some(_)) => "nobody".to_owned(),
        },
        CoinState::Exiting => format!(
            "anybody: a spend of it ends its exit; when its time has come `plasmid exit process` pays it, {} s after the start \
             at the earliest",
            periods.minimum_exit_period
        ),
        CoinState::Spent => "nobody: it is spent".to_owned(),
        CoinState::Exited => "nobody: it has left".to_owned(),
        CoinState::Void => {
            format!("the owner, to exit the payment in flight, since its block is void: {in_flight}{before}")
        }
        CoinState::Dropped => "the owner, to send the transaction that makes it again".to_owned(),
    }
}

// ------------------------------------------------------------------ coin

/// One coin with its history on the root chain.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details {
    #[serde(flatten)]
    row: Row,
    #[serde(with = "form")]
    owner: Address,
    #[serde(with = "form")]
    spender: Option<TxHash>,
    timeline: Vec<Entry>,
}

/// Something that happened to a coin.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// Root-chain time, in seconds.
    timestamp: u64,
    root_block: u64,
    event: String,
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.row)?;
        writeln!(f, "  owner: {}", self.owner)?;
        if let Some(spender) = self.spender {
            writeln!(f, "  spent by: {spender}")?;
        }
        self.timeline.iter().try_for_each(|Entry { timestamp, root_block, event }| {
            writeln!(f, "  {timestamp}  root block {root_block}  {event}")
        })
    }
}

/// Returns one coin and what happened to it.
pub(crate) async fn coin(session: &Session, args: &CoinArgs) -> anyhow::Result<Details> {
    let prospects = Prospects::find(session).await?;
    let holding = holdings::holding(session, args.id, None).await?;
    let row = row(session, &holding, &prospects).await?;
    let mut timeline = Vec::new();
    session
        .replay(|block| {
            let told = block.events.iter().filter_map(|event| about(event, &holding));
            timeline.extend(told.map(|event| Entry { timestamp: block.timestamp, root_block: block.at.number, event }));
            Ok(())
        })
        .await?;
    Ok(Details { row, owner: holding.coin.output.owner, spender: holding.coin.spender, timeline })
}

/// Tells what an event says of a coin, if it does.
fn about(event: &RootEvent, holding: &Holding) -> Option<String> {
    let id = holding.coin.id;
    match event {
        RootEvent::Deposited(deposit) if deposit.output_id() == id => {
            Some(format!("deposit {} made it", deposit.nonce))
        }
        RootEvent::BlockSubmitted(header) if holding.block() == Some(header.number) => {
            Some(format!("block {} made it", header.number))
        }
        RootEvent::StandardExitStarted(record) if record.output_id == id => {
            Some(format!("its exit was started; it can be paid from {} on", record.key))
        }
        RootEvent::StandardExitChallenged { output_id, challenger, .. } if *output_id == id => {
            Some(format!("its exit was ended by {challenger}, who showed a spend"))
        }
        RootEvent::ExitAssigned { output_id, payee } if *output_id == id => {
            Some(format!("the claim to its exit went to {payee}"))
        }
        RootEvent::ExitPaid { output_id, payee, paid, credited, .. } if *output_id == id => {
            let how = if *credited { "credited to" } else { "paid to" };
            Some(format!("{} {how} {payee}", shown(*paid, holding.coin.output.asset)))
        }
        RootEvent::ExitReturned { output_id, payee } if *output_id == id => {
            Some(format!("its exit returned the bond to {payee} and paid nothing"))
        }
        RootEvent::CoinWithdrawn { output_id, payee, paid, credited, .. } if *output_id == id => {
            let how = if *credited { "credited to" } else { "paid to" };
            Some(format!("{} {how} {payee} in the settlement", shown(*paid, holding.coin.output.asset)))
        }
        RootEvent::InFlight { tx_hash, step } => about_in_flight(*tx_hash, step, holding),
        _ => None,
    }
}

/// Tells what a step of an in-flight exit says of a coin, if it does.
fn about_in_flight(tx_hash: TxHash, step: &InFlightStep, holding: &Holding) -> Option<String> {
    let id = holding.coin.id;
    let is_it = |piece: Piece| matches!(piece, Piece::Output(index) if OutputId::of_output(tx_hash, index) == id);
    match step {
        InFlightStep::Started { data, key, .. } if data.inputs.iter().any(|input| input.output_id == id) => {
            Some(format!("the payment {tx_hash}, which spends it, exits in flight; it can be paid from {key} on"))
        }
        InFlightStep::Piggybacked { owner, pieces, .. } if pieces.iter().any(is_it) => {
            Some(format!("{owner} claimed it in the exit of {tx_hash}, which made it"))
        }
        InFlightStep::PieceChallenged { challenger, piece, .. } if is_it(*piece) => {
            Some(format!("its claim in the exit of {tx_hash} was ended by {challenger}, who showed a spend"))
        }
        InFlightStep::PiecePaid { output_id, payee, paid, credited, .. } if *output_id == id => {
            let how = if *credited { "credited to" } else { "paid to" };
            Some(format!("{} {how} {payee} by the exit of {tx_hash}", shown(*paid, holding.coin.output.asset)))
        }
        InFlightStep::PieceReturned { output_id, payee, .. } if *output_id == id => {
            Some(format!("the exit of {tx_hash} returned the bond of its claim to {payee} and paid nothing"))
        }
        _ => None,
    }
}
