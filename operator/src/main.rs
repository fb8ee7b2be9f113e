//! `plasmid-operator`: reads its settings, opens its account, and runs the service until it is told to stop.

use std::process::ExitCode;

use anyhow::{Context, Result};
use plasmid_node::settings::{self, CommonArgs, SettingsError};
use plasmid_operator::config::Config;
use plasmid_operator::journal::FaultPlan;
use plasmid_operator::service;
use plasmid_root_chain::account::Account;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let config = match settings::load::<Config>(std::env::args_os()) {
        Ok(config) => config,
        Err(SettingsError::Usage(error)) => error.exit(),
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::from(error));
            return settings::ExitCode::Usage.into();
        }
    };
    if let Err(error) = config.check() {
        eprintln!("plasmid-operator: {error:#}");
        return settings::ExitCode::Usage.into();
    }
    settings::init_logging();
    match run(config) {
        Ok(()) => settings::ExitCode::Ok.into(),
        Err(error) => {
            eprintln!("plasmid-operator: {error:#}");
            service::exit_code(&error).into()
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> Result<()> {
    let account = open_account(&config.common)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("listen on {}", config.listen))?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    service::run(config, account, listener, FaultPlan::default(), shutdown).await
}

fn open_account(common: &CommonArgs) -> Result<Account> {
    if let Some(key) = &common.unsafe_private_key {
        return Ok(Account::from_hex(key)?);
    }
    let name = common.account.as_ref().context("account is missing")?;
    let file = common.password_file.as_ref().context("password_file is missing")?;
    let password = std::fs::read_to_string(file).context("read password_file")?;
    Account::from_keystore(&common.data_dir.join("keystore").join(name), password.trim_end_matches(['\r', '\n']))
        .context("open the operator's account")
}
