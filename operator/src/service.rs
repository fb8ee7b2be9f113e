//! The operator as a whole: checks that it may start, joins its parts, and runs them until it is told to stop.

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Context, Result, anyhow};
use plasmid_node::archive::Archive;
use plasmid_node::chain::{Chain, SharedChain};
use plasmid_node::data_folder::{self, DataFolder, DataFolderError};
use plasmid_node::http::{Common, Events, Limits, ServiceStatus, Traffic, common_routes, serve};
use plasmid_node::settings::ExitCode;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::follower::{Follower, FollowerSettings};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use warp::Filter;

use crate::api::Api;
use crate::block_builder;
use crate::config::Config;
use crate::following::Following;
use crate::in_flight::Offers;
use crate::journal::{FaultPlan, Journal, JournalError};
use crate::metrics::Metrics;
use crate::operator::Operator;
use crate::receipts::{ReceiptSigner, Receipts};
use crate::sequencer::Rules;
use crate::submitter::Submitter;
use crate::writer::{Health, Writer, WriterError, WriterHandle};

/// Greatest finality depth.
const FINALITY_DEPTH_MAX: u64 = 128;
/// Root blocks whose distances tell the root chain's block time.
const BLOCK_TIME_SAMPLE: u64 = 32;
/// Events kept for those who listen again.
const EVENTS_KEPT: usize = 1_024;

/// Why the operator refuses to run: nothing is broken here, but going on would be unsafe. Exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Returns the code with which the program ends for `error`.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_refused = error.chain().any(|cause| {
        let folder = cause.downcast_ref::<DataFolderError>();
        let writer = cause.downcast_ref::<WriterError>();
        cause.is::<Refused>()
            || matches!(folder, Some(DataFolderError::OtherDeployment { .. } | DataFolderError::Locked { .. }))
            || matches!(
                writer,
                Some(WriterError::LogBehind { .. } | WriterError::OtherBlock { .. } | WriterError::Replay(_))
            )
            || matches!(cause.downcast_ref::<JournalError>(), Some(JournalError::Damaged { .. }))
    });
    if is_refused { ExitCode::Refused } else { ExitCode::Failure }
}

/// Runs the operator with `config` and `account` until `shutdown` is done. `listener` is where HTTP is served; `faults` breaks
/// the log's file on purpose.
///
/// # Errors
///
/// Whatever keeps it from starting, or from going on; [`exit_code`] tells which kind.
pub async fn run(
    config: Config,
    account: Account,
    listener: TcpListener,
    faults: FaultPlan,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let rpc = Rpc::new(&config.common.l1_url, RpcSettings::default()).context("l1_url")?;
    let contract = config.common.contract.context("contract is missing")?;
    let root_chain = RootChain::new(Node::new(rpc), contract);
    let deployment = root_chain.deployment().await.context("read the deployment")?;
    check_finality(&config, &root_chain, &deployment).await?;
    check_operator(&root_chain, &account).await?;
    let deployed_at = root_chain.node().block_by_number(deployment.block.number).await?;
    let deployed_at = deployed_at.context("the deployment's root block is gone")?.timestamp;

    let folder = open_folder(&config.common.data_dir, &deployment)?;
    let archive = Archive::open(&folder.path().join("blocks")).context("open the archive")?;
    let journal = Journal::open(&folder.path().join("journal"), log_name(&deployment), faults)?;

    let chain: SharedChain = Arc::new(RwLock::new(Chain::new(deployment.periods, config.finality_depth, archive)));
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let traffic = Traffic::new(&mut registry);
    let receipts = Receipts::new(ReceiptSigner::new(account.clone(), deployment.domain()), journal.reader());
    let operator = Operator::new(rules(&config, &deployment, deployed_at, account.address()), config.finality_depth);
    let (writer, handle) = Writer::new(chain.clone(), operator, journal, receipts.clone(), metrics.clone());
    let (health, changed) = (writer.health(), writer.changed());
    let wake = Arc::new(Notify::new());

    let (fees, domain) = (Arc::new(config.fees(account.address())), deployment.domain());
    let offers = Offers { chain: chain.clone(), writer: handle.clone(), domain, fees: fees.clone() };
    let api = Api::new(handle.clone(), receipts, chain.clone(), &deployment, fees, metrics.clone());
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let events = Events::new(EVENTS_KEPT, started);
    let common = common(&api, &chain, &health, &deployment, events.clone(), registry);

    let sender_settings = SenderSettings { give_up_after: give_up_after(&deployment), ..SenderSettings::default() };
    let sender = Sender::new(root_chain.node().clone(), account, sender_settings).await?;
    let submitter =
        Submitter::new(chain.clone(), root_chain.clone(), sender, handle.clone(), metrics.clone(), wake.clone());
    let follower = Follower::new(root_chain.clone(), deployment, &[], FollowerSettings::new(config.finality_depth));
    let following = Following {
        root_chain,
        follower,
        chain: chain.clone(),
        writer: handle.clone(),
        offers,
        metrics,
        events,
        wake: wake.clone(),
    };

    let (stop, stopped) = watch::channel(false);
    let (failed, failure) = oneshot::channel();
    let writer_thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
        drop(failed.send(writer.run()));
    });
    let writer_thread = writer_thread.context("start the writer")?;

    let address = listener.local_addr().context("listen")?;
    let http = tokio::spawn(serve(
        listener,
        api.routes().or(common_routes(common)).unify(),
        Limits::default(),
        traffic,
        until(stopped.clone()),
    ));
    let tasks = [
        tokio::spawn(submitter.run()),
        tokio::spawn(block_builder::run(chain.clone(), changed, wake)),
        tokio::spawn(following.run()),
        tokio::spawn(tick(handle, config.block_interval())),
        tokio::spawn(say_when_ready(health, address)),
    ];

    let outcome = tokio::select! {
        () = shutdown => Ok(()),
        ended = failure => match ended {
            Ok(Ok(())) => Err(anyhow!("the writer ended by itself")),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(anyhow!("the writer panicked")),
        },
    };
    tracing::info!("stopping");
    let _ = stop.send(true);
    match &outcome {
        Ok(()) => drop(http.await),
        Err(_) => http.abort(),
    }
    for task in tasks {
        task.abort();
        drop(task.await);
    }
    // All ways to the writer are gone: it ends when what it was handed is durable.
    drop(tokio::task::spawn_blocking(move || writer_thread.join()).await);
    outcome
}

/// Refuses an account whose receipts nobody would trust and whose blocks the contract would not take.
async fn check_operator(root_chain: &RootChain, account: &Account) -> Result<()> {
    let next = root_chain.child_chain().await.context("read the child chain's head")?.next_number;
    let operator = root_chain.operator_of(next).await.context("read the operator's address")?;
    if operator != account.address() {
        let reason = format!("block {next} is {operator}'s to submit, not {}'s", account.address());
        return Err(Refused(reason).into());
    }
    Ok(())
}

/// Refuses a finality depth at which anchors would be too old, or older than the contract sees.
async fn check_finality(config: &Config, root_chain: &RootChain, deployment: &Deployment) -> Result<()> {
    let depth = config.finality_depth;
    if depth > FINALITY_DEPTH_MAX {
        return Err(Refused(format!("finality_depth is {depth}; at most {FINALITY_DEPTH_MAX}")).into());
    }
    let freeze_delay = deployment.periods.freeze_delay();
    if let Some(block_secs) = block_time(root_chain.node()).await.context("measure the root chain's block time")?
        && depth.saturating_mul(block_secs) > freeze_delay / 2
    {
        return Err(Refused(format!(
            "finality_depth {depth} × {block_secs} s a root block is more than half the freeze delay of {freeze_delay} s"
        ))
        .into());
    }
    Ok(())
}

/// Returns the median time between the last root blocks, in seconds.
async fn block_time(node: &Node) -> Result<Option<u64>> {
    let head = node.head().await?;
    let mut times = vec![head.timestamp];
    for number in (head.at.number.saturating_sub(BLOCK_TIME_SAMPLE)..head.at.number).rev() {
        times.push(node.block_by_number(number).await?.context("a root block is gone")?.timestamp);
    }
    let mut distances: Vec<u64> = times.windows(2).map(|pair| pair[0].saturating_sub(pair[1])).collect();
    distances.sort_unstable();
    Ok(distances.get(distances.len() / 2).copied())
}

fn rules(config: &Config, deployment: &Deployment, deployed_at: u64, key: Address) -> Rules {
    let periods = deployment.periods;
    // Half of the sunset leaves as much again for the empty block to land.
    let longest = periods.sunset / 2;
    let idle_interval_secs =
        config.idle_interval_secs.unwrap_or(periods.minimum_exit_period / 4).clamp(1, longest.max(1));
    let slashes_wei = (deployment.bonds.fault_slash_wei, deployment.bonds.receipt_slash_wei);
    Rules {
        block_txs_max: config.block_txs_max,
        idle_interval_secs,
        deployed_at,
        key,
        first_key: deployment.operator,
        slashes_wei,
    }
}

/// A challenge that does not land makes way for blocks after this time; it is sent again later.
fn give_up_after(deployment: &Deployment) -> Duration {
    Duration::from_secs((deployment.periods.freeze_delay() / 8).clamp(10, 600))
}

fn open_folder(path: &Path, deployment: &Deployment) -> Result<DataFolder> {
    let of = data_folder::Deployment {
        chain_id: deployment.chain_id,
        contract: deployment.contract,
        deployment_block_hash: deployment.block.hash,
    };
    DataFolder::open(path, &of).context("open the data folder")
}

/// Returns the name of a deployment, with which its log begins.
#[must_use]
pub fn log_name(deployment: &Deployment) -> B256 {
    let chain_id = deployment.chain_id.to_be_bytes();
    keccak256([&chain_id[..], deployment.contract.as_slice(), deployment.block.hash.as_slice()].concat())
}

fn common(
    api: &Api,
    chain: &SharedChain,
    health: &Arc<Health>,
    deployment: &Deployment,
    events: Events,
    registry: Registry,
) -> Common {
    let (api, health, status_of) = (api.clone(), health.clone(), chain.clone());
    let (chain_id, contract, deployment_block) = (deployment.chain_id, deployment.contract, deployment.block.number);
    Common {
        chain: chain.clone(),
        events,
        status: Arc::new(move || ServiceStatus {
            chain_id,
            contract,
            deployment_block,
            synced: health.is_ready(),
            halted: block_builder::read(&status_of).game().halt().is_some(),
            closed: block_builder::read(&status_of).game().closed_at().is_some(),
            alarms: health.is_alarming().into(),
        }),
        receipt: Arc::new(move |tx_hash| api.receipt(tx_hash)),
        metrics: Arc::new(registry),
    }
}

async fn tick(writer: WriterHandle, interval: Duration) {
    let mut interval = tokio::time::interval(interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if writer.block_interval().await.is_err() {
            return;
        }
    }
}

async fn say_when_ready(health: Arc<Health>, address: std::net::SocketAddr) {
    while !health.is_ready() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("plasmid-operator is ready on http://{address}");
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone: then it is time too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
