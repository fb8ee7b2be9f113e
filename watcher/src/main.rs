//! Wiring of `plasmid-watcher`: settings, data folder, root chain, loop, HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use anyhow::{Context, Result, bail};
use plasmid_node::archive::Archive;
use plasmid_node::chain::Chain;
use plasmid_node::client::{Client, ClientLimits};
use plasmid_node::data_folder::{self, DataFolder};
use plasmid_node::http::{Common, Events, Limits, ServiceStatus, Traffic, serve};
use plasmid_node::settings::{self, ExitCode, SettingsError};
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::follower::FollowerSettings;
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use plasmid_watcher::alarms::{Alarm, AlarmKind, Alarms};
use plasmid_watcher::api;
use plasmid_watcher::config::{Config, MissingSetting, UnsafeDepth, check_finality_depth, root_block_secs};
use plasmid_watcher::history::History;
use plasmid_watcher::metrics::Metrics;
use plasmid_watcher::responder::{Accounts, Responder};
use plasmid_watcher::servers::Servers;
use plasmid_watcher::shared::Shared;
use plasmid_watcher::sync::{Parts, Watcher};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Events that a listener may have missed and still gets.
const EVENTS_KEPT: usize = 1_024;
/// How long an act is stayed with; what is still due then is sent anew.
const ACT_TIME_MAX: Duration = Duration::from_secs(3_600);

fn main() -> process::ExitCode {
    let config: Config = match settings::load(std::env::args_os()) {
        Ok(config) => config,
        Err(SettingsError::Usage(error)) => error.exit(),
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::new(error));
            return ExitCode::Usage.into();
        }
    };
    settings::init_logging();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime");
    match runtime.and_then(|runtime| runtime.block_on(run(config))) {
        Ok(()) => ExitCode::Ok.into(),
        Err(error) => {
            eprintln!("{error:#}");
            exit_code(&error).into()
        }
    }
}

/// What the process says with its end.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is = |found: bool, code| found.then_some(code);
    is(error.is::<MissingSetting>(), ExitCode::Usage)
        .or(is(error.is::<UnsafeDepth>() || error.is::<data_folder::DataFolderError>(), ExitCode::Refused))
        .or(is(error.is::<plasmid_root_chain::node::ReadError>(), ExitCode::Unreachable))
        .unwrap_or(ExitCode::Failure)
}

async fn run(config: Config) -> Result<()> {
    let (root_chain, deployment) = connect(&config).await?;
    let node = root_chain.node();
    let block_secs = root_block_secs(node).await.context("measure the root chain's block time")?;
    check_finality_depth(config.finality_depth, block_secs, &deployment.periods).context("check the finality depth")?;
    let identity = data_folder::Deployment {
        chain_id: deployment.chain_id,
        contract: deployment.contract,
        deployment_block_hash: deployment.block.hash,
    };
    let _folder = DataFolder::open(&config.common.data_dir, &identity).context("open the data folder")?;
    let archive = Archive::open(&config.archive_dir()).context("open the archive")?;
    let (mut history, alarms, lasting) = open_stores(&config)?;

    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let traffic = Traffic::new(&mut registry);
    let clients = config.server.iter().map(|url| Client::new(url, ClientLimits::default()));
    let clients = clients.collect::<Result<Vec<_>, _>>().context("read the servers' addresses")?;
    let servers = Servers::new(clients, metrics.clone());
    let accounts = accounts(&config, node).await?;
    let guarded = accounts.guarded.iter().map(|sender| sender.account().address());
    history.guard(guarded).context("look for payments of guarded accounts")?;
    let responder = Responder::new(
        root_chain.clone(),
        &deployment,
        accounts,
        archive.clone(),
        config.finality_depth,
        metrics.clone(),
    );
    let status = ServiceStatus {
        chain_id: deployment.chain_id,
        contract: deployment.contract,
        deployment_block: deployment.block.number,
        synced: false,
        halted: false,
        closed: false,
        alarms: 0,
    };
    let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let shared = Arc::new(Shared::new(
        Chain::new(deployment.periods, config.finality_depth, archive.clone()),
        Arc::new(RwLock::new(history)),
        alarms,
        status,
        Events::new(EVENTS_KEPT, run),
    ));
    let common = Common {
        chain: shared.chain.clone(),
        events: shared.events.clone(),
        status: {
            let shared = shared.clone();
            Arc::new(move || shared.status())
        },
        receipt: Arc::new(|_| None),
        metrics: Arc::new(registry),
    };
    let watcher = Watcher::new(
        Parts {
            root_chain,
            deployment,
            follower: FollowerSettings::new(config.finality_depth),
            responder,
            archive,
            metrics,
            lasting,
        },
        servers,
        shared.clone(),
    );

    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("listen at {}", config.listen))?;
    let address = listener.local_addr().context("listen")?;
    let (stop, stopped) = tokio::sync::watch::channel(());
    let routes = api::routes(common, shared);
    let server = tokio::spawn(serve(listener, routes, Limits::default(), traffic, until_changed(stopped.clone())));
    let sync = tokio::spawn(watcher.run(until_changed(stopped)));
    announce(&config, &deployment, address);
    let mut interrupted = signal(SignalKind::interrupt()).context("listen to signals")?;
    let mut terminated = signal(SignalKind::terminate()).context("listen to signals")?;
    tokio::pin!(sync);
    let ended = tokio::select! {
        _ = interrupted.recv() => None,
        _ = terminated.recv() => None,
        ended = &mut sync => Some(ended),
    };
    tracing::info!("stopping");
    // Nobody listens any more if both have ended.
    let _ = stop.send(());
    let ended = match ended {
        Some(ended) => ended,
        None => sync.await,
    };
    server.await.context("serve")?;
    ended.context("follow the chains")?.context("follow the chains")
}

async fn until_changed(mut watch: tokio::sync::watch::Receiver<()>) {
    // A sender that is gone says the same.
    let _ = watch.changed().await;
}

async fn connect(config: &Config) -> Result<(RootChain, Deployment)> {
    if config.common.l1_url.is_empty() {
        bail!(MissingSetting { name: "l1-url", what: "the address of a root-chain node" });
    }
    let contract = config.common.contract.ok_or(MissingSetting { name: "contract", what: "RootChain's address" })?;
    let rpc = Rpc::new(&config.common.l1_url, RpcSettings::default()).context("read --l1-url")?;
    let root_chain = RootChain::new(Node::new(rpc), contract);
    let deployment = root_chain.deployment().await.context("read the deployment from the root chain")?;
    Ok((root_chain, deployment))
}

/// Opens history and alarms; what is damaged is set aside, and said as alarms.
fn open_stores(config: &Config) -> Result<(History, Alarms, Vec<Alarm>)> {
    let mut lasting = Vec::new();
    let mut damaged = |what: &str, aside: &Path| {
        let message = format!("the {what} was damaged, is now {}, and is made anew", aside.display());
        lasting.push(Alarm::new(AlarmKind::Damaged, what, 0, message));
    };
    let (alarms, aside) = Alarms::open(config.alarms_file()).context("open the alarms")?;
    aside.iter().for_each(|aside| damaged("alarms", aside));
    let (mut history, aside) = History::open_or_set_aside(&config.history_dir()).context("open the history")?;
    aside.iter().for_each(|aside| damaged("history", aside));
    // At every start: one that was killed before this leaves an empty store that is not damaged.
    history.restore_marks(alarms.all()).context("restore the marks of withheld blocks")?;
    if config.test_alarm {
        lasting.push(Alarm::new(AlarmKind::Test, "", 0, "this is a test".to_owned()));
    }
    Ok((history, alarms, lasting))
}

/// Returns who acts. Without an account this watcher only watches; what should be challenged is an alarm.
async fn accounts(config: &Config, node: &Node) -> Result<Accounts> {
    let challenger = match (&config.common.account, &config.common.unsafe_private_key) {
        (None, None) => {
            tracing::warn!("no account: wrong exits raise an alarm and are not challenged");
            None
        }
        (Some(name), _) => Some(keystore(config, name)?),
        (None, Some(key)) => Some(Account::from_hex(key).context("read --unsafe-private-key")?),
    };
    let mut senders: BTreeMap<_, Arc<Sender>> = BTreeMap::new();
    let mut accounts = Accounts::default();
    if let Some(challenger) = challenger {
        accounts.challenger = Some(sender(challenger, node, &mut senders).await?);
    }
    for name in &config.guard {
        accounts.guarded.push(sender(keystore(config, name)?, node, &mut senders).await?);
    }
    Ok(accounts)
}

/// Returns the account's sender: the one that it has, or a new one.
async fn sender(account: Account, node: &Node, senders: &mut BTreeMap<Address, Arc<Sender>>) -> Result<Arc<Sender>> {
    if let Some(sender) = senders.get(&account.address()) {
        return Ok(sender.clone());
    }
    let address = account.address();
    let settings = SenderSettings { give_up_after: ACT_TIME_MAX, ..SenderSettings::default() };
    let sender = Sender::new(node.clone(), account, settings).await.context("ask for the root chain's id")?;
    Ok(senders.entry(address).or_insert(Arc::new(sender)).clone())
}

fn keystore(config: &Config, name: &str) -> Result<Account> {
    let password = match &config.common.password_file {
        Some(file) => fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?,
        None => bail!(MissingSetting { name: "password-file", what: "the password of --account and --guard" }),
    };
    Account::from_keystore(&config.keystore_file(name), password.trim_end_matches(['\r', '\n']))
        .with_context(|| format!("open account {name}"))
}

/// The ready line.
fn announce(config: &Config, deployment: &Deployment, address: std::net::SocketAddr) {
    if config.common.json {
        let line = serde_json::json!({
            "ready": true,
            "url": format!("http://{address}"),
            "contract": deployment.contract.to_checksum(None),
            "chainId": deployment.chain_id,
        });
        println!("{line}");
    } else {
        println!("plasmid-watcher ready at http://{address}");
    }
}
