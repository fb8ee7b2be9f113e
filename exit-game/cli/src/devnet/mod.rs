//! `plasmid devnet`: root chain, contract, operator and watcher on this machine, and the round trip on them.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`anvil`] | the root chain and its clock |
//! | [`process`] | child processes that never outlive us |
//! | [`round_trip`] | deposit, pay, commit, exit, paid, and a thief challenged |

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::{Context as _, bail};
use clap::Args;
use plasmid_node::client::{Client, ClientLimits};
use plasmid_node::wire::{Status, form};
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::deploy::{self, DeployArgs};
use crate::devnet::anvil::FUNDED_KEYS;
use crate::devnet::process::{Group, Process};
use crate::devnet::round_trip::Step;
use crate::failure::Failure;
use crate::session::{self, Settings};

mod anvil;
pub(crate) mod process;
mod round_trip;

/// Root blocks after which the devnet's services take one for final.
const FINALITY_DEPTH: &str = "3";
/// How long a part may take to come up, or to catch up.
const READY_SECS_MAX: u64 = 120;
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  scripts/devnet                       builds all that is needed first
  plasmid devnet --data /tmp/net       keeps everything, goes on from there the next time
  plasmid devnet --once | tail -1      ends after the round trip")]
pub(crate) struct DevnetArgs {
    /// End after the round trip; exit code 0 only if every step held
    #[arg(long)]
    once: bool,
    /// Folder for everything, the root chain's state too [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The root chain's program
    #[arg(long, value_name = "PATH", env = "PLASMID_ANVIL", default_value = "anvil")]
    anvil: PathBuf,
}

/// The people of a devnet and their keys, in anvil's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Person {
    Deployer,
    Operator,
    Watcher,
    Alice,
    Bob,
    Carol,
}

impl Person {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deployer => "deployer",
            Self::Operator => "operator",
            Self::Watcher => "watcher",
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Carol => "carol",
        }
    }

    pub(super) fn key(self) -> &'static str {
        FUNDED_KEYS[self as usize]
    }

    pub(super) fn account(self) -> anyhow::Result<Account> {
        Account::from_hex(self.key()).context("read a devnet key")
    }
}

/// What a devnet is, as it is printed and kept in `devnet.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addresses {
    chain_id: u64,
    #[serde(with = "form")]
    contract: Address,
    l1_url: String,
    operator_url: String,
    watcher_url: String,
    accounts: Vec<Funded>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Funded {
    name: String,
    #[serde(with = "form")]
    address: Address,
    private_key: String,
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    ok: bool,
    steps: &'a [Step],
    #[serde(flatten)]
    addresses: &'a Addresses,
}

/// A running devnet, seen from its people.
#[derive(Debug)]
pub(super) struct Devnet {
    folder: PathBuf,
    node: Node,
    operator: Client,
    operator_group: Group,
    watcher: Client,
    addresses: Addresses,
}

/// Runs `plasmid devnet`.
pub(crate) async fn run(args: &DevnetArgs) -> anyhow::Result<ExitCode> {
    let (folder, temporary) = match &args.data {
        Some(folder) => (folder.clone(), None),
        None => {
            let temporary = TempDir::with_prefix("plasmid-devnet-").context("make a temporary folder")?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let _lock = take(&folder)?;
    let mut processes = Vec::new();
    let outcome = tokio::select! {
        outcome = live(args, &folder, &mut processes) => outcome,
        outcome = asked_to_end() => outcome.map(|()| ExitCode::SUCCESS),
    };
    eprintln!("ending all parts ...");
    while let Some(process) = processes.pop() {
        process.end().await;
    }
    if let Some(temporary) = temporary
        && !matches!(outcome, Ok(code) if code == ExitCode::SUCCESS)
    {
        eprintln!("logs and data are kept in {}", temporary.keep().display());
    }
    outcome
}

/// Starts everything into `processes`, shows the round trip, and stays.
async fn live(args: &DevnetArgs, folder: &Path, processes: &mut Vec<Process>) -> anyhow::Result<ExitCode> {
    let devnet = start(args, folder, processes).await?;
    let Addresses { contract, l1_url, operator_url, watcher_url, accounts, .. } = &devnet.addresses;
    eprintln!("\nroot chain  {l1_url}\ncontract    {contract}\noperator    {operator_url}\nwatcher     {watcher_url}");
    eprintln!("data, logs  {}\n", folder.display());
    for Funded { name, address, private_key } in accounts {
        eprintln!("{name:<11} {address}  {private_key}");
    }
    eprintln!();

    let steps = tokio::select! {
        steps = round_trip::show(&devnet) => steps,
        ended = watch_over(processes) => return Err(ended),
    };
    let ok = steps.iter().all(|step| step.ok);
    println!("{}", serde_json::to_string(&Summary { ok, steps: &steps, addresses: &devnet.addresses })?);
    if args.once {
        return Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    eprintln!("\nthe devnet is up; Ctrl-C ends it. Try:\n  plasmid balance --l1-url {l1_url} --contract {contract} \\");
    eprintln!("    --operator-url {operator_url} --watcher-url {watcher_url} \\");
    eprintln!("    --unsafe-private-key {}", Person::Alice.key());
    Err(watch_over(processes).await)
}

async fn start(args: &DevnetArgs, folder: &Path, processes: &mut Vec<Process>) -> anyhow::Result<Devnet> {
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
    eprintln!("starting the root chain ...");
    let (anvil, l1_url) = anvil::start(&args.anvil, folder, &logs)?;
    processes.push(anvil);
    let node = Node::new(Rpc::new(&[&l1_url], RpcSettings { rounds: 1, ..RpcSettings::default() })?);
    let is_up = async || node.head().await.is_ok_and(|head| head.at.number > 0);
    ready("the root chain", processes, is_up).await.context("scripts/devnet installs anvil, --anvil names another")?;

    let kept = folder.join("devnet.json");
    let (chain_id, contract) = match fs::read(&kept) {
        Ok(bytes) => {
            let kept: Addresses = serde_json::from_slice(&bytes).with_context(|| format!("read {}", kept.display()))?;
            let what = "the root chain's state does not have the contract any more: start with another folder";
            RootChain::new(node.clone(), kept.contract).deployment().await.context(what)?;
            (kept.chain_id, kept.contract)
        }
        Err(_) => deploy(&node).await?,
    };

    let operator_port = anvil::free_port()?;
    let watcher_port = anvil::free_port()?;
    let operator_url = format!("http://127.0.0.1:{operator_port}");
    let watcher_url = format!("http://127.0.0.1:{watcher_port}");
    let addresses = Addresses { chain_id, contract, l1_url, operator_url, watcher_url, accounts: funded()? };
    fs::write(&kept, serde_json::to_vec_pretty(&addresses)?).with_context(|| format!("write {}", kept.display()))?;

    eprintln!("starting operator and watcher ...");
    let process = service("operator", operator_port, Person::Operator, &[], &addresses, folder)?;
    let operator_group = process.group()?;
    processes.push(process);
    let server = ["--server", &addresses.operator_url];
    processes.push(service("watcher", watcher_port, Person::Watcher, &server, &addresses, folder)?);
    let operator = Client::new(&addresses.operator_url, ClientLimits::default())?;
    let watcher = Client::new(&addresses.watcher_url, ClientLimits::default())?;
    let is_synced = async |client: &Client| client.status().await.is_ok_and(|status| status.synced);
    ready("the operator", processes, async || is_synced(&operator).await).await?;
    ready("the watcher", processes, async || is_synced(&watcher).await).await?;
    Ok(Devnet { folder: folder.to_owned(), node, operator, operator_group, watcher, addresses })
}

async fn deploy(node: &Node) -> anyhow::Result<(u64, Address)> {
    let sender = session::sender(node.clone(), Person::Deployer.account()?).await?;
    let report = deploy::deploy(&sender, &DeployArgs::of_devnet(Person::Operator.account()?.address())).await?;
    Ok((report.chain_id, report.contract))
}

fn service(
    name: &'static str,
    port: u16,
    person: Person,
    more: &[&str],
    addresses: &Addresses,
    folder: &Path,
) -> anyhow::Result<Process> {
    let beside = std::env::current_exe().context("find this program's own file")?;
    let program = beside.with_file_name(format!("plasmid-{name}"));
    let data_dir = folder.join(name).into_os_string().into_string();
    let Ok(data_dir) = data_dir else { bail!("{} is not text", folder.display()) };
    let (contract, listen) = (addresses.contract.to_string(), format!("127.0.0.1:{port}"));
    let mut arguments = vec![
        "--l1-url",
        &addresses.l1_url,
        "--contract",
        &contract,
        "--data-dir",
        &data_dir,
        "--listen",
        &listen,
        "--finality-depth",
        FINALITY_DEPTH,
    ];
    arguments.extend(more);
    Process::start(name, &program, &arguments, &[("PLASMID_UNSAFE_PRIVATE_KEY", person.key())], &folder.join("logs"))
}

fn funded() -> anyhow::Result<Vec<Funded>> {
    let people = [Person::Deployer, Person::Operator, Person::Watcher, Person::Alice, Person::Bob, Person::Carol];
    let funded = |(index, key): (usize, &&str)| {
        let name = people.get(index).map_or_else(|| format!("account {index}"), |person| person.name().to_owned());
        let address = Account::from_hex(key).context("read a devnet key")?.address();
        Ok(Funded { name, address, private_key: (*key).to_owned() })
    };
    FUNDED_KEYS.iter().enumerate().map(funded).collect()
}

impl Devnet {
    /// Returns what `person` would write on the command line.
    pub(super) fn settings(&self, person: Person) -> Settings {
        Settings {
            l1_urls: vec![self.addresses.l1_url.clone()],
            contract: Some(self.addresses.contract),
            operator_url: Some(self.addresses.operator_url.clone()),
            watcher_url: Some(self.addresses.watcher_url.clone()),
            data_dir: self.folder.join("people").join(person.name()),
            account: None,
            private_key: Some(person.key().to_owned()),
            password_file: None,
        }
    }

    /// Waits until both services report the root chain's head, nothing accepted is uncommitted, and the watcher has verified
    /// every block: only then may time be moved.
    pub(super) async fn settled(&self) -> anyhow::Result<()> {
        wait("both services to settle", async || {
            let head = self.node.head().await?.at.number;
            let (operator, watcher) = (self.operator.status().await?, self.watcher.status().await?);
            let is_at_head = |status: &Status| status.synced && status.root.is_some_and(|root| root.number >= head);
            let committed = operator.block.committed;
            Ok((is_at_head(&operator)
                && is_at_head(&watcher)
                && operator.uncommitted == 0
                && watcher.block.committed == committed
                && watcher.block.verified == committed)
                .then_some(()))
        })
        .await
    }

    /// Moves the root chain's time to `time`, when everything has settled.
    pub(super) async fn move_time_to(&self, time: u64) -> anyhow::Result<()> {
        self.settled().await?;
        let now = self.node.head().await?.timestamp;
        if time > now {
            anvil::move_time(&self.node, time - now).await?;
        }
        Ok(())
    }
}

/// Asks until there is something, or too much time has passed. What fails meanwhile is said only then.
pub(super) async fn wait<T>(what: &str, ask: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if let Ok(Some(found)) = answer {
            return Ok(found);
        }
        if start.elapsed() > Duration::from_secs(READY_SECS_MAX) {
            let waited = Failure::TimedOut(format!("waited {READY_SECS_MAX} s for {what}"));
            return Err(match answer {
                Ok(_) => waited.into(),
                Err(error) => error.context(waited),
            });
        }
        sleep(POLL).await;
    }
}

async fn ready(what: &str, processes: &mut [Process], is_ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_ready().await {
        processes.iter_mut().try_for_each(Process::check)?;
        if start.elapsed() > Duration::from_secs(READY_SECS_MAX) {
            bail!(Failure::TimedOut(format!("{what} is not ready after {READY_SECS_MAX} s: its log says why")));
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Returns when a process has ended, with the reason.
async fn watch_over(processes: &mut [Process]) -> anyhow::Error {
    loop {
        if let Err(ended) = processes.iter_mut().try_for_each(Process::check) {
            return ended;
        }
        sleep(POLL).await;
    }
}

async fn asked_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen to signals")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listen to Ctrl-C"),
    }
}

/// Takes a devnet's folder for this process.
fn take(folder: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join("devnet.lock");
    let file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(Failure::Refused(format!("another devnet runs in {}", folder.display())))
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}
