//! `plasmid`: the command line of users and auditors, and the devnet.
//!
//! This file is the wiring: a command line becomes settings and a command, a command becomes a report on stdout, an error
//! becomes words on stderr and an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use plasmid_node::settings::{self, CommonArgs, SettingsError};
use session::{Session, Settings};

use crate::report::Format;

mod accounts;
mod amount;
mod close_chain;
mod coins;
mod deploy;
mod deposit;
mod devnet;
mod evidence;
mod exit;
mod failure;
mod holdings;
mod operator;
mod receipts;
mod report;
mod send;
mod session;
mod settle;
mod wallet;
mod watch;

/// Deposit, pay, and exit: a Plasma child chain from its owner's side.
#[derive(Debug, Parser)]
#[command(
    name = "plasmid",
    version,
    before_help = "Examples:
  plasmid devnet
  plasmid account new alice
  plasmid deposit 1.5ether --account alice --wait
  plasmid send 0x7099…79C8 0.25ether --account alice
  plasmid coins --account alice
  plasmid exit start 0x83c1…77aa --account alice --dry-run
  plasmid evidence export alice.json --account alice

Every option that all commands have can stand in the environment (PLASMID_L1_URL) or in a settings file (l1_url).
Exit codes: 0 ok, 1 failure, 2 usage, 3 refused for safety, 4 violation found, 5 unreachable or not synced, 6 timed out
waiting for the root chain."
)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    /// Address of the operator's service
    #[arg(long, global = true, value_name = "URL")]
    operator_url: Option<String>,
    /// Address of a watcher you trust to tell valid blocks from others
    #[arg(long, global = true, value_name = "URL")]
    watcher_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make, list and import accounts
    #[command(subcommand)]
    Account(accounts::Command),
    /// Deploy the contract
    Deploy(deploy::DeployArgs),
    /// Bring ether or tokens in
    Deposit(deposit::DepositArgs),
    /// Pay somebody on the child chain
    Send(send::SendArgs),
    /// Show totals by asset
    Balance(coins::OwnerArgs),
    /// List coins: state, deadline, cost to exit, who must act next
    Coins(coins::OwnerArgs),
    /// Show one coin and its history
    Coin(coins::CoinArgs),
    /// Take coins out, and watch others do so
    #[command(subcommand)]
    Exit(exit::Command),
    /// Keep and check the file with which coins leave even when nobody else is there
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// What the operator promised
    #[command(subcommand)]
    Receipt(receipts::Command),
    /// Withdraw own coins after the chain's end
    Settle(settle::SettleArgs),
    /// Guard own coins by their proofs alone, with the help of servers that nobody believes
    Watch(watch::WatchArgs),
    /// End a chain that had no block for its sunset time
    CloseChain(close_chain::CloseChainArgs),
    /// The operator's bond and keys
    #[command(subcommand)]
    Operator(operator::Command),
    /// Start everything on this machine and show the round trip
    Devnet(devnet::DevnetArgs),
    /// Run a program until standard input ends
    #[command(hide = true, disable_help_flag = true)]
    Supervise {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let Cli { common, operator_url, watcher_url, command } = match settings::load::<Cli>(std::env::args_os()) {
        Ok(cli) => cli,
        Err(SettingsError::Usage(error)) => error.exit(),
        Err(error) => return failed(&failure::Failure::Usage(format!("{:#}", anyhow::Error::from(error))).into()),
    };
    let format = if common.json { Format::Json } else { Format::Text };
    let settings = Settings {
        l1_urls: common.l1_url,
        contract: common.contract,
        operator_url,
        watcher_url,
        data_dir: common.data_dir,
        account: common.account,
        private_key: common.unsafe_private_key,
        password_file: common.password_file,
    };
    match run(&command, &settings, format) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("plasmid: {error:#}");
    failure::exit_code(error).into()
}

#[tokio::main(flavor = "current_thread")]
async fn run(command: &Command, settings: &Settings, format: Format) -> anyhow::Result<ExitCode> {
    let session = async || Session::open(settings).await;
    match command {
        Command::Account(command) => accounts::run(command, settings, format)?,
        Command::Deploy(args) => {
            let sender = session::sender(settings.node()?, settings.account()?).await?;
            format.print(&deploy::deploy(&sender, args).await?)?;
        }
        Command::Deposit(args) => format.print(&deposit::deposit(&session().await?, args).await?)?,
        Command::Send(args) => format.print(&send::send(&session().await?, args).await?)?,
        Command::Balance(args) => format.print(&coins::balance(&session().await?, args).await?)?,
        Command::Coins(args) => format.print(&coins::coins(&session().await?, args).await?)?,
        Command::Coin(args) => format.print(&coins::coin(&session().await?, args).await?)?,
        Command::Exit(command) => exit::run(command, settings, format).await?,
        Command::Evidence(command) => evidence::run(command, settings, format).await?,
        Command::Receipt(receipts::Command::List) => format.print(&receipts::list(&session().await?).await?)?,
        Command::Receipt(receipts::Command::Prove(args)) => {
            format.print(&receipts::prove::prove(&session().await?, args).await?)?;
        }
        Command::Settle(args) => format.print(&settle::run(args, settings).await?)?,
        Command::Watch(args) => return watch::run(args, &session().await?, format).await,
        Command::CloseChain(args) => format.print(&close_chain::close_chain(&session().await?, args).await?)?,
        Command::Operator(command) => operator::run(command, settings, format).await?,
        Command::Devnet(args) => return devnet::run(args).await,
        Command::Supervise { command } => return Ok(ExitCode::from(devnet::process::supervise(command)?)),
    }
    Ok(ExitCode::SUCCESS)
}
