//! `plasmid deposit`: money in.

use std::fmt;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, bail};
use clap::Args;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, ETHER, OutputId};
use plasmid_exit_game::position::Position;
use plasmid_node::settings::parse_address;
use plasmid_node::wire::evidence::{DepositNonce, EvidenceCoin};
use plasmid_node::wire::form;
use plasmid_root_chain::calls::approve;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::Landed;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::amount::{Amount, Asset, shown};
use crate::failure::Failure;
use crate::session::{Progress, Session, transact};

/// How long `--wait` waits for a block of the child chain.
const WAIT_SECS_MAX: u64 = 900;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid deposit 1.5ether --account alice
  plasmid deposit 5000000 --asset 0x5FbD…0aa3 --wait
  plasmid deposit 1ether --for 0x7099…79C8")]
pub(crate) struct DepositArgs {
    /// Base units of the asset, or ether with its unit: 1000000, 0.5ether, 20gwei
    pub(crate) amount: Amount,
    /// `ether`, or the token's address
    #[arg(long, default_value = "ether")]
    pub(crate) asset: Asset,
    /// Who owns the deposit [default: the account]
    #[arg(long = "for", value_name = "ADDR", value_parser = parse_address)]
    pub(crate) owner: Option<Address>,
    /// Return only when a block of the child chain covers it, so that it can be spent
    #[arg(long)]
    pub(crate) wait: bool,
}

/// A deposit as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(with = "form")]
    pub(crate) id: OutputId,
    #[serde(with = "form")]
    pub(crate) position: Position,
    pub(crate) nonce: u64,
    #[serde(with = "form")]
    pub(crate) owner: Address,
    #[serde(with = "form")]
    pub(crate) asset: Address,
    #[serde(with = "form")]
    pub(crate) amount: u128,
    #[serde(with = "form")]
    pub(crate) transaction: B256,
    pub(crate) root_block: u64,
    /// Whether a block of the child chain covers it, as far as was waited for.
    pub(crate) covered: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "deposited {} for {}", shown(self.amount, self.asset), self.owner)?;
        writeln!(f, "coin      {}", self.id)?;
        write!(f, "deposit   {} in root block {}", self.nonce, self.root_block)?;
        if self.covered { write!(f, ", covered by the child chain") } else { Ok(()) }
    }
}

/// Makes a deposit, and keeps it in the wallet if it is the account's own.
pub(crate) async fn deposit(session: &Session, args: &DepositArgs) -> anyhow::Result<Report> {
    let asset = args.asset.0;
    let amount = args.amount.of(args.asset).map_err(|error| Failure::Usage(error.to_string()))?;
    let sender = session.sender().await?;
    let account = sender.account().address();
    let owner = args.owner.unwrap_or(account);
    let child_chain = session.root.child_chain().await.context("read the child chain's state")?;
    if child_chain.halted_from.is_some() || child_chain.closed_at.is_some() {
        bail!(Failure::Refused("the chain is halted or closed: it takes no more deposits".to_owned()));
    }
    let held = session.root.node().balance(asset, account).await.context("read the account's balance")?;
    if held < U256::from(amount) {
        bail!("{account} has {held} base units of {}, which is less than {amount}: nothing was sent", args.asset);
    }
    let wallet = if owner == account { Some(session.wallet(owner).await?) } else { None };

    let call = if asset == ETHER {
        session.root.deposit(owner, amount)
    } else {
        transact(&sender, &approve(asset, session.root.contract(), amount), "approve the deposit").await?;
        session.root.deposit_erc20(asset, amount, owner)
    };
    let receipt = transact(&sender, &call, "deposit").await?;
    let made = deposit_in(session, &receipt)?;
    let position = Position::of_deposit(made.nonce).context("the deposit's nonce is out of range")?;
    let id = made.output_id();
    if let Some(wallet) = wallet {
        let (output, deposit) = (made.output, Some(DepositNonce { nonce: made.nonce }));
        wallet.save_coin(&EvidenceCoin { id, position, output, deposit, made: None, unspent: None })?;
    }
    if args.wait {
        wait_until_covered(session, made.nonce).await?;
    }
    Ok(Report {
        id,
        position,
        nonce: made.nonce,
        owner: made.output.owner,
        asset: made.output.asset,
        amount: made.output.amount,
        transaction: receipt.transaction,
        root_block: receipt.block.number,
        covered: args.wait,
    })
}

/// Returns the deposit that a transaction made: a token may deliver less than was asked of it.
fn deposit_in(session: &Session, receipt: &Landed) -> anyhow::Result<Deposit> {
    let contract = session.root.contract();
    for log in receipt.logs.iter().filter(|log| log.address == contract) {
        if let RootEvent::Deposited(deposit) = decode_event(contract, log).context("understand the deposit's event")? {
            return Ok(deposit);
        }
    }
    bail!("transaction {} is in a block but says of no deposit", receipt.transaction)
}

async fn wait_until_covered(session: &Session, nonce: u64) -> anyhow::Result<()> {
    eprintln!("deposit: waiting for a block of the child chain that covers it ...");
    let mut progress = Progress::new("waiting");
    let start = Instant::now();
    while session.root.child_chain().await.context("read the child chain's head")?.deposit_count <= nonce {
        let waited = start.elapsed().as_secs();
        if waited >= WAIT_SECS_MAX {
            let what = format!(
                "no block of the child chain has covered deposit {nonce} within {WAIT_SECS_MAX} s. The deposit \
                                is made: look again with `plasmid coins`, or take it back with `plasmid exit start`"
            );
            return Err(Failure::TimedOut(what).into());
        }
        progress.show(format_args!("{waited} s"));
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
