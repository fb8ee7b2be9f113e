//! The operator's settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::{Context, ensure};
use clap::Parser;
use plasmid_exit_game::tx_tree::LEAVES_MAX;
use plasmid_node::settings::{CommonArgs, parse_address};
use plasmid_node::wire::form;

use crate::admission::FeePolicy;

/// Produces Plasmid's blocks: takes transactions, promises each its place, commits blocks to the root chain.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "plasmid-operator",
    version,
    before_help = "\
Examples:
  plasmid-operator --l1-url http://127.0.0.1:8545 --contract 0x… --data-dir operator --account operator
  plasmid-operator --config operator.toml
  PLASMID_L1_URL=http://127.0.0.1:8545 plasmid-operator --contract 0x… --unsafe-private-key 0x… --finality-depth 3
"
)]
pub struct Config {
    /// The settings that every binary has
    #[command(flatten)]
    pub common: CommonArgs,
    /// Where HTTP is served
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Seconds between two blocks when there is work
    #[arg(long, default_value_t = 2, value_name = "SECONDS")]
    pub block_interval_secs: u64,
    /// Seconds of root-chain time after which an empty block is committed [default: a quarter of the minimum exit period]
    #[arg(long, value_name = "SECONDS")]
    pub idle_interval_secs: Option<u64>,
    /// Transactions after which a block is full
    #[arg(long, default_value_t = LEAVES_MAX as u32, value_name = "COUNT")]
    pub block_txs_max: u32,
    /// Root blocks that must lie on one for it to be final
    #[arg(long, default_value_t = 64, value_name = "BLOCKS")]
    pub finality_depth: u64,
    /// Who is paid the fees [default: the operator's account]
    #[arg(long, value_parser = parse_address, value_name = "ADDRESS")]
    pub fee_address: Option<Address>,
    /// An asset in which fees may be paid, and the least that is taken, in base units; repeatable; none: no fee is asked
    #[arg(long, value_parser = parse_fee, value_name = "ASSET=MINIMUM")]
    pub fee: Vec<(Address, u128)>,
}

impl Config {
    /// Returns the fee policy; `account` is who is paid unless a setting says otherwise.
    #[must_use]
    pub fn fees(&self, account: Address) -> FeePolicy {
        let minimums: BTreeMap<_, _> = self.fee.iter().copied().collect();
        FeePolicy { address: self.fee_address.unwrap_or(account), minimums }
    }

    /// Returns the pause between two blocks when there is work.
    #[must_use]
    pub fn block_interval(&self) -> Duration {
        Duration::from_secs(self.block_interval_secs.max(1))
    }

    /// Checks what no single setting shows.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn check(&self) -> anyhow::Result<()> {
        let places = 1..=LEAVES_MAX as u32;
        ensure!(places.contains(&self.block_txs_max), "block_txs_max must be 1 to {LEAVES_MAX}");
        ensure!(!self.common.l1_url.is_empty(), "l1_url is missing");
        self.common.contract.context("contract is missing")?;
        let has_account = self.common.account.is_some() && self.common.password_file.is_some();
        let has_key = self.common.unsafe_private_key.is_some();
        ensure!(has_account || has_key, "account and password_file are missing, or unsafe_private_key");
        Ok(())
    }
}

fn parse_fee(text: &str) -> Result<(Address, u128), String> {
    let (asset, minimum) = text.split_once('=').ok_or("not ASSET=MINIMUM")?;
    let asset = form::parse(asset).map_err(|error| error.to_string())?;
    let minimum = form::parse(minimum).map_err(|error| error.to_string())?;
    Ok((asset, minimum))
}
