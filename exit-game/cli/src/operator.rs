//! `plasmid operator …`: the operator's bond and keys. §2, §3.

use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::settings::parse_address;
use plasmid_node::wire::form;
use plasmid_root_chain::calls::KEY_LEAD_BLOCKS;
use plasmid_root_chain::client::{ChildChain, OperatorBond};
use plasmid_root_chain::node::Call;
use plasmid_root_chain::sender::Sender;
use serde::Serialize;

use crate::amount::{Amount, shown};
use crate::failure::Failure;
use crate::report::Format;
use crate::session::{Session, Settings, transact};

/// `plasmid operator …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the operator's keys and bond
    #[command(before_help = "Examples:\n  plasmid operator show\n  plasmid operator show --json")]
    Show,
    /// Add to the operator's bond: no block is committed while a part of it is below one slash
    FundBond(FundArgs),
    /// Take what is left of the bond, two periods after the chain was closed
    WithdrawBond(WithdrawArgs),
    /// Propose the operator's next key, as its present one
    Propose(ProposeArgs),
    /// Accept to be the operator's key, as the one proposed
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid operator fund-bond --faults 10ether --account operator
  plasmid operator fund-bond --faults 10ether --receipts 4ether --account anybody")]
pub(crate) struct FundArgs {
    /// What is added to the part that faults are slashed from
    #[arg(long, value_name = "AMOUNT", required_unless_present = "receipts")]
    faults: Option<Amount>,
    /// What is added to the part that broken receipts are slashed from
    #[arg(long, value_name = "AMOUNT")]
    receipts: Option<Amount>,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid operator withdraw-bond --account operator
  plasmid operator withdraw-bond --to 0x7099…79C8 --account operator")]
pub(crate) struct WithdrawArgs {
    /// Who gets it [default: the account]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    to: Option<Address>,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid operator propose 0x7099…79C8 --account operator
  plasmid operator propose --take-back --account operator

The next key then accepts with `plasmid operator accept` and names its first block; until then the proposal can be taken back.
One rotation at a time: nothing is proposed until the last one's first block is the next.")]
pub(crate) struct ProposeArgs {
    /// The next key's address
    #[arg(value_name = "ADDR", value_parser = parse_address, required_unless_present = "take_back")]
    next: Option<Address>,
    /// Take the last proposal back
    #[arg(long, conflicts_with = "next")]
    take_back: bool,
}

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid operator accept 4800 --account next

From that block on receipts and blocks are this key's. The operator's service runs with the old key up to the block before,
and is then started with this key on the same data folder.")]
pub(crate) struct AcceptArgs {
    /// The key's first block, more than 300 above the next
    #[arg(value_name = "BLOCK", value_parser = parse_block)]
    first_block: BlockNumber,
}

/// Runs `plasmid operator …`.
pub(crate) async fn run(command: &Command, settings: &Settings, format: Format) -> anyhow::Result<()> {
    let session = Session::open(settings).await?;
    match command {
        Command::Show => format.print(&show(&session).await?),
        Command::FundBond(args) => format.print(&fund(&session, args).await?),
        Command::WithdrawBond(args) => format.print(&withdraw(&session, args).await?),
        Command::Propose(args) => format.print(&propose(&session, args).await?),
        Command::Accept(args) => format.print(&accept(&session, args).await?),
    }
}

fn parse_block(text: &str) -> Result<BlockNumber, &'static str> {
    text.parse().ok().and_then(BlockNumber::new).ok_or("no block has this number")
}

// ------------------------------------------------------------------ show

/// The operator as the contract knows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(with = "form")]
    next_block: BlockNumber,
    /// Every key that has been accepted, with its first block.
    keys: Vec<Key>,
    #[serde(with = "form")]
    proposed: Option<Address>,
    #[serde(flatten)]
    bond: Bond,
}

/// A key of the operator's.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    #[serde(with = "form")]
    operator: Address,
    #[serde(with = "form")]
    first_block: BlockNumber,
}

/// The operator's bond beside what a slash takes.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bond {
    #[serde(with = "form")]
    fault_part: u128,
    #[serde(with = "form")]
    fault_slash: u128,
    #[serde(with = "form")]
    receipt_part: u128,
    #[serde(with = "form")]
    receipt_slash: u128,
    /// Whether a part is below its slash, so that no block is committed.
    short: bool,
}

impl fmt::Display for Bond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [("faults", self.fault_part, self.fault_slash), ("receipts", self.receipt_part, self.receipt_slash)];
        for (of, part, slash) in parts {
            writeln!(f, "bond for {of:<8} {}, a slash takes {}", shown(part, ETHER), shown(slash, ETHER))?;
        }
        if self.short {
            write!(f, "the bond is short: no block is committed until `plasmid operator fund-bond`")
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "next block        {}", self.next_block)?;
        for Key { operator, first_block } in &self.keys {
            writeln!(f, "operator          {operator} from block {first_block} on")?;
        }
        if let Some(proposed) = self.proposed {
            writeln!(f, "proposed          {proposed}")?;
        }
        self.bond.fmt(f)
    }
}

async fn show(session: &Session) -> anyhow::Result<Shown> {
    let ChildChain { next_number, .. } = child_chain(session).await?;
    let proposed = session.root.proposed_operator().await.context("read the proposed key")?;
    Ok(Shown { next_block: next_number, keys: keys(session).await?, proposed, bond: bond(session).await? })
}

async fn keys(session: &Session) -> anyhow::Result<Vec<Key>> {
    let game = session.game().await?;
    let mut keys = vec![Key { operator: session.deployment.operator, first_block: BlockNumber::FIRST }];
    while let Some((first_block, operator)) = keys.last().and_then(|last| game.next_operator(last.first_block)) {
        keys.push(Key { operator, first_block });
    }
    Ok(keys)
}

async fn bond(session: &Session) -> anyhow::Result<Bond> {
    let OperatorBond { fault_part_wei: fault_part, receipt_part_wei: receipt_part } =
        session.root.operator_bond().await.context("read the operator's bond")?;
    let (fault_slash, receipt_slash) =
        (session.deployment.bonds.fault_slash_wei, session.deployment.bonds.receipt_slash_wei);
    let short = fault_part < fault_slash || receipt_part < receipt_slash;
    Ok(Bond { fault_part, fault_slash, receipt_part, receipt_slash, short })
}

// ------------------------------------------------------------------ bond

/// A bond that was paid in or out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    /// Wei that were.
    #[serde(with = "form")]
    amount: u128,
    #[serde(flatten)]
    bond: Bond,
    #[serde(with = "form")]
    transaction: B256,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "moved {}", shown(self.amount, ETHER))?;
        self.bond.fmt(f)
    }
}

async fn fund(session: &Session, args: &FundArgs) -> anyhow::Result<Moved> {
    let ChildChain { halted_from, closed_at, .. } = child_chain(session).await?;
    if halted_from.is_some() || closed_at.is_some() {
        let what = "the chain is halted or closed: its operator's bond takes no more";
        return Err(Failure::Refused(what.to_owned()).into());
    }
    let [faults, receipts] = [args.faults, args.receipts].map(|part| part.map_or(0, |amount| amount.base_units));
    let amount = faults.checked_add(receipts).context("add the two parts up")?;
    let call = session.root.fund_bond(faults, receipts);
    let transaction = transact(&session.sender().await?, &call, "fund the bond").await?.transaction;
    Ok(Moved { amount, bond: bond(session).await?, transaction })
}

async fn withdraw(session: &Session, args: &WithdrawArgs) -> anyhow::Result<Moved> {
    let sender = session.sender().await?;
    let child_chain = child_chain(session).await?;
    check_operator(session, &sender, &child_chain).await?;
    let refused = |what: String| Err(Failure::Refused(what).into());
    if let Some(number) = child_chain.halted_from {
        return refused(format!("a fault has halted the chain from block {number} on: what is left of the bond stays"));
    }
    let Some(closed_at) = child_chain.closed_at else {
        return refused("the chain goes on, and so does what its operator's bond is for".to_owned());
    };
    let from = closed_at.saturating_add(session.deployment.periods.minimum_exit_period.saturating_mul(2));
    let now = session.now().await?;
    if now < from {
        return refused(format!("the bond can be withdrawn from {from} on, in {} s", from - now));
    }
    let Bond { fault_part, receipt_part, .. } = bond(session).await?;
    let amount = fault_part.checked_add(receipt_part).context("add the two parts up")?;
    let call = session.root.withdraw_bond(args.to.unwrap_or(sender.account().address()));
    let transaction = transact(&sender, &call, "withdraw the bond").await?.transaction;
    Ok(Moved { amount, bond: bond(session).await?, transaction })
}

// ------------------------------------------------------------------ keys

/// A step of a rotation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    /// The key that is proposed now.
    #[serde(with = "form")]
    proposed: Option<Address>,
    keys: Vec<Key>,
    #[serde(with = "form")]
    transaction: B256,
}

impl fmt::Display for Rotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.proposed {
            Some(proposed) => writeln!(f, "proposed  {proposed}")?,
            None => writeln!(f, "proposed  nobody")?,
        }
        let mut keys = self.keys.iter();
        keys.try_for_each(|Key { operator, first_block }| {
            writeln!(f, "operator  {operator} from block {first_block} on")
        })
    }
}

async fn propose(session: &Session, args: &ProposeArgs) -> anyhow::Result<Rotated> {
    let sender = session.sender().await?;
    let child_chain = child_chain(session).await?;
    check_operator(session, &sender, &child_chain).await?;
    let pending = keys(session).await?.into_iter().find(|key| key.first_block > child_chain.next_number);
    if let Some(Key { operator, first_block }) = pending {
        let what =
            format!("{operator} takes over from block {first_block} on: nothing is proposed until that is the next");
        return Err(Failure::Refused(what).into());
    }
    rotate(session, &sender, &session.root.propose_operator(args.next.unwrap_or_default()), "propose the key").await
}

async fn accept(session: &Session, args: &AcceptArgs) -> anyhow::Result<Rotated> {
    let sender = session.sender().await?;
    let proposed = session.root.proposed_operator().await.context("read the proposed key")?;
    if proposed != Some(sender.account().address()) {
        let what = match proposed {
            Some(proposed) => format!("the key that is proposed is {proposed}, not {}", sender.account().address()),
            None => "no key is proposed: the operator's present key does that".to_owned(),
        };
        return Err(Failure::Refused(what).into());
    }
    let next = child_chain(session).await?.next_number;
    if args.first_block.get() <= next.get().saturating_add(KEY_LEAD_BLOCKS) {
        let what = format!(
            "block {} is too soon: the next is {next}, and the key of a block is fixed once it is {KEY_LEAD_BLOCKS} ahead",
            args.first_block
        );
        return Err(Failure::Refused(what).into());
    }
    rotate(session, &sender, &session.root.accept_operator(args.first_block), "accept the key").await
}

async fn rotate(session: &Session, sender: &Sender, call: &Call, what: &str) -> anyhow::Result<Rotated> {
    let transaction = transact(sender, call, what).await?.transaction;
    let proposed = session.root.proposed_operator().await.context("read the proposed key")?;
    Ok(Rotated { proposed, keys: keys(session).await?, transaction })
}

// ------------------------------------------------------------- in common

async fn child_chain(session: &Session) -> anyhow::Result<ChildChain> {
    session.root.child_chain().await.context("read the child chain's state")
}

/// Refuses whoever is not the operator of the next block.
async fn check_operator(session: &Session, sender: &Sender, child_chain: &ChildChain) -> anyhow::Result<()> {
    let next = child_chain.next_number;
    let operator = session.root.operator_of(next).await.context("read the operator's key")?;
    if operator == sender.account().address() {
        return Ok(());
    }
    Err(Failure::Refused(format!("block {next} is {operator}'s, and so is this, not {}'s", sender.account().address()))
        .into())
}
