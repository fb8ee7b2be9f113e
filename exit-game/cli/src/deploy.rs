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

use crate::amount::shown;
use crate::failure::Failure;

const WEEK_SECS: u64 = 7 * 24 * 3600;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid deploy --l1-url http://127.0.0.1:8545 --account operator
  plasmid deploy --operator 0x7099…79C8 --min-exit-period 604800 --sunset 4838400 --base-fee 20000000000")]
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
    /// Wei a unit of gas costs at most while exits are challenged: bonds and bounties are computed from it
    #[arg(long, value_name = "WEI", default_value_t = 20_000_000_000)]
    base_fee: u128,
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
        write!(f, "exit bond    {}, of which bounty {}", shown(self.exit_bond, ETHER), shown(self.exit_bounty, ETHER))
    }
}

/// Deploys the contract.
pub(crate) async fn deploy(sender: &Sender, args: &DeployArgs) -> anyhow::Result<Report> {
    let DeployArgs { min_exit_period, sunset, operator, base_fee } = *args;
    let sunset = sunset.unwrap_or_else(|| min_exit_period.saturating_mul(8));
    if min_exit_period == 0 || sunset < min_exit_period {
        let what = format!(
            "a sunset of {sunset} s and a minimum exit period of {min_exit_period} s: the period must be \
                            above zero and the sunset no shorter"
        );
        return Err(Failure::Usage(what).into());
    }
    let bonds = Bonds::at_base_fee(base_fee);
    let bonds = bonds.ok_or_else(|| Failure::Usage(format!("--base-fee {base_fee}: no base fee is that high")))?;
    let operator = operator.unwrap_or(sender.account().address());
    let parameters = Parameters { operator, periods: Periods { minimum_exit_period: min_exit_period, sunset }, bonds };
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
        gas_used,
    })
}

impl DeployArgs {
    /// The parameters of a devnet.
    pub(crate) fn of_devnet(operator: Address) -> Self {
        Self { min_exit_period: 600, sunset: Some(4_800), operator: Some(operator), base_fee: 20_000_000_000 }
    }
}
