//! `plasmid deploy`: a new contract on the root chain.

use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use clap::Args;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::output::ETHER;
use plasmid_node::wire::form;
use plasmid_root_chain::client::Bonds;
use plasmid_root_chain::deploy::{self, Deployed, Parameters};
use plasmid_root_chain::sender::Sender;
use serde::Serialize;

use crate::amount::{Amount, shown};
use crate::failure::Failure;

const WEEK_SECS: u64 = 7 * 24 * 3600;
/// What a fault costs the operator of a devnet.
const DEVNET_FAULT_SLASH: Amount = Amount::ether(10);
/// What broken receipts of a block cost it.
const DEVNET_RECEIPT_SLASH: Amount = Amount::ether(1);

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid deploy --l1-url http://127.0.0.1:8545 --account operator
  plasmid deploy --operator 0x7099…79C8 --min-exit-period 604800 --sunset 4838400 --base-fee 20000000000
  plasmid deploy --account operator --fault-slash 100ether --receipt-slash 1ether --operator-bond 110ether

The operator's bond is paid with the deployment. Of each slash half is burned and half rewards who proved the fault: without
--fault-slash and --receipt-slash the reward pays for announcement and proof twice at --base-fee, which is the least that is
fair. What an operator could gain by a broken promise, and what a chain may come to hold, call for more.")]
pub(crate) struct DeployArgs {
    /// MEP: seconds between an exit's start and its payment, at least
    #[arg(long, value_name = "SECS", default_value_t = WEEK_SECS)]
    min_exit_period: u64,
    /// Seconds without a block after which anyone may close the chain; at least MEP [default: eight MEP]
    #[arg(long, value_name = "SECS")]
    sunset: Option<u64>,
    /// Whose key signs the blocks [default: the account that deploys]
    #[arg(long, value_name = "ADDR", value_parser = plasmid_node::settings::parse_address)]
    operator: Option<Address>,
    /// Wei a unit of gas costs at most while exits are challenged: bonds, bounties and slashes are computed from it
    #[arg(long, value_name = "WEI", default_value_t = 20_000_000_000)]
    base_fee: u128,
    /// What the operator loses by an invalid block [default: from the base fee]
    #[arg(long, value_name = "AMOUNT")]
    fault_slash: Option<Amount>,
    /// What the operator loses by a broken receipt, once a block [default: from the base fee]
    #[arg(long, value_name = "AMOUNT")]
    receipt_slash: Option<Amount>,
    /// What is put up for the operator: a fault's slash, the rest for receipts [default: for one fault and four receipts]
    #[arg(long, value_name = "AMOUNT")]
    operator_bond: Option<Amount>,
}

/// A deployment as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) chain_id: u64,
    #[serde(with = "form")]
    pub(crate) contract: Address,
    #[serde(with = "form")]
    code_hash: B256,
    deployment_block: u64,
    #[serde(with = "form")]
    deployment_block_hash: B256,
    #[serde(with = "form")]
    operator: Address,
    min_exit_period: u64,
    sunset: u64,
    #[serde(with = "form")]
    exit_bond: u128,
    #[serde(with = "form")]
    exit_bounty: u128,
    #[serde(with = "form")]
    fault_slash: u128,
    #[serde(with = "form")]
    receipt_slash: u128,
    #[serde(with = "form")]
    missing_bond: u128,
    #[serde(with = "form")]
    operator_bond: u128,
    gas_used: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RootChain    {} on chain {}", self.contract, self.chain_id)?;
        writeln!(f, "code hash    {}", self.code_hash)?;
        writeln!(
            f,
            "deployed in  root block {} ({}), {} gas",
            self.deployment_block, self.deployment_block_hash, self.gas_used
        )?;
        writeln!(f, "operator     {}", self.operator)?;
        writeln!(f, "periods      MEP {} s, sunset {} s", self.min_exit_period, self.sunset)?;
        writeln!(
            f,
            "exit bond    {}, of which bounty {}",
            shown(self.exit_bond, ETHER),
            shown(self.exit_bounty, ETHER)
        )?;
        writeln!(
            f,
            "claim bond   {} to say that a block's unspent tree lacks a coin",
            shown(self.missing_bond, ETHER)
        )?;
        let slashes = [self.fault_slash, self.receipt_slash].map(|slash| shown(slash, ETHER));
        let [fault, receipt] = slashes;
        write!(f, "slashes      {fault} a fault, {receipt} a block with broken receipts, from a bond of ")?;
        f.write_str(&shown(self.operator_bond, ETHER))
    }
}

/// Deploys the contract.
pub(crate) async fn deploy(sender: &Sender, args: &DeployArgs) -> anyhow::Result<Report> {
    let DeployArgs { min_exit_period, sunset, operator, base_fee, fault_slash, receipt_slash, operator_bond } = *args;
    let sunset = sunset.unwrap_or_else(|| min_exit_period.saturating_mul(8));
    if min_exit_period == 0 || sunset < min_exit_period {
        let what = format!(
            "a sunset of {sunset} s and a minimum exit period of {min_exit_period} s: the period must be \
                            above zero and the sunset no shorter"
        );
        return Err(Failure::Usage(what).into());
    }
    let bonds = Bonds::at_base_fee(base_fee);
    let mut bonds = bonds.ok_or_else(|| Failure::Usage(format!("--base-fee {base_fee}: no base fee is that high")))?;
    bonds.fault_slash_wei = fault_slash.map_or(bonds.fault_slash_wei, |slash| slash.base_units);
    bonds.receipt_slash_wei = receipt_slash.map_or(bonds.receipt_slash_wei, |slash| slash.base_units);
    let least = bonds.fault_slash_wei.checked_add(bonds.receipt_slash_wei);
    let operator_bond_wei = operator_bond.map(|bond| bond.base_units).or(bonds.operator_bond_wei());
    let operator_bond_wei = operator_bond_wei.filter(|&bond| least.is_some_and(|least| bond >= least));
    let operator_bond_wei = operator_bond_wei.ok_or_else(|| {
        let slashes = [bonds.fault_slash_wei, bonds.receipt_slash_wei].map(|slash| shown(slash, ETHER)).join(" and ");
        Failure::Usage(format!("the operator's bond must cover one slash of each kind, {slashes}"))
    })?;
    let operator = operator.unwrap_or(sender.account().address());
    let periods = Periods { minimum_exit_period: min_exit_period, sunset };
    let parameters = Parameters { operator, periods, bonds, operator_bond_wei };
    eprintln!("deploying RootChain from {} and waiting for the root chain ...", sender.account().address());
    let Deployed { deployment, code_hash, gas_used } =
        deploy::deploy(sender, &parameters).await.context("deploy RootChain")?;
    Ok(Report {
        chain_id: deployment.chain_id,
        contract: deployment.contract,
        code_hash,
        deployment_block: deployment.block.number,
        deployment_block_hash: deployment.block.hash,
        operator,
        min_exit_period: deployment.periods.minimum_exit_period,
        sunset: deployment.periods.sunset,
        exit_bond: deployment.bonds.exit_bond_wei,
        exit_bounty: deployment.bonds.exit_bounty_wei,
        fault_slash: deployment.bonds.fault_slash_wei,
        receipt_slash: deployment.bonds.receipt_slash_wei,
        missing_bond: deployment.bonds.missing_bond_wei,
        operator_bond: operator_bond_wei,
        gas_used,
    })
}

impl DeployArgs {
    /// The parameters of a devnet.
    pub(crate) fn of_devnet(operator: Address) -> Self {
        Self {
            min_exit_period: 600,
            sunset: Some(4_800),
            operator: Some(operator),
            base_fee: 20_000_000_000,
            fault_slash: Some(DEVNET_FAULT_SLASH),
            receipt_slash: Some(DEVNET_RECEIPT_SLASH),
            operator_bond: None,
        }
    }
}
