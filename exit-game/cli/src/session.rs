//! What a command works with: the deployment on its root chain, the services, the data folder, the account.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::Context as _;
use plasmid_exit_game::facts::RootBlock;
use plasmid_exit_game::game::Game;
use plasmid_node::client::{Client, ClientLimits};
use plasmid_node::data_folder::{self, DataFolder, DataFolderError};
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::follower::{Follower, FollowerSettings, Step};
use plasmid_root_chain::node::{Call, Landed, Node};
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use tokio::time::timeout;

use crate::accounts;
use crate::failure::Failure;
use crate::wallet::store::Wallet;

/// Most time without news from the root chain while its past is read.
const FOLLOW_SECS_MAX: u64 = 60;
/// How long a data folder may be taken by another command that is just opening it.
const FOLDER_TRIES: u32 = 50;
const FOLDER_PAUSE: Duration = Duration::from_millis(100);

/// Where everything is, as the user says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) l1_urls: Vec<String>,
    pub(crate) contract: Option<Address>,
    pub(crate) operator_url: Option<String>,
    pub(crate) watcher_url: Option<String>,
    pub(crate) data_dir: PathBuf,
    pub(crate) account: Option<String>,
    pub(crate) private_key: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
}

impl Settings {
    /// Returns the root chain's node.
    pub(crate) fn node(&self) -> anyhow::Result<Node> {
        if self.l1_urls.is_empty() {
            return Err(Failure::Usage("no node of the root chain is given: add --l1-url URL".to_owned()).into());
        }
        Ok(Node::new(Rpc::new(&self.l1_urls, RpcSettings::default()).context("use --l1-url")?))
    }

    /// Returns the account that signs.
    pub(crate) fn account(&self) -> anyhow::Result<Account> {
        match (&self.private_key, &self.account) {
            (Some(key), _) => Account::from_hex(key).context("use --unsafe-private-key"),
            (None, Some(name)) => accounts::open(&self.data_dir, name, self.password_file.as_deref()),
            (None, None) => {
                let what = "no account is given: add --account NAME (`plasmid account new NAME` makes one)";
                Err(Failure::Usage(what.to_owned()).into())
            }
        }
    }

    /// Returns `address`, or the account's own without one.
    pub(crate) fn address_or_own(&self, address: Option<Address>) -> anyhow::Result<Address> {
        address.map_or_else(|| Ok(self.account()?.address()), Ok)
    }
}

/// One deployment with everything around it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) root: RootChain,
    pub(crate) deployment: Deployment,
    settings: Settings,
}

impl Session {
    /// Finds the deployment on the root chain.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let Some(contract) = settings.contract else {
            return Err(Failure::Usage("no contract is given: add --contract ADDRESS".to_owned()).into());
        };
        let root = RootChain::new(settings.node()?, contract);
        let deployment = root.deployment().await.context("read the deployment on the root chain")?;
        Ok(Self { root, deployment, settings: settings.clone() })
    }

    /// Returns the operator's client.
    pub(crate) fn operator(&self) -> anyhow::Result<Client> {
        let url = self.settings.operator_url.as_deref();
        let url = url.ok_or_else(|| Failure::Usage("no operator is given: add --operator-url URL".to_owned()))?;
        Client::new(url, ClientLimits::default()).context("use --operator-url")
    }

    /// Returns the watcher's client, if one is given.
    pub(crate) fn watcher(&self) -> anyhow::Result<Option<Client>> {
        let url = self.settings.watcher_url.as_deref();
        url.map(|url| Client::new(url, ClientLimits::default()).context("use --watcher-url")).transpose()
    }

    /// Returns the services that are given: the operator, who knows the newest, first.
    pub(crate) fn servers(&self) -> anyhow::Result<Vec<Client>> {
        let mut servers = Vec::new();
        if self.settings.operator_url.is_some() {
            servers.push(self.operator()?);
        }
        servers.extend(self.watcher()?);
        if servers.is_empty() {
            let what = "no server is given: add --operator-url URL or --watcher-url URL";
            return Err(Failure::Usage(what.to_owned()).into());
        }
        Ok(servers)
    }

    /// Returns the account that signs.
    pub(crate) fn account(&self) -> anyhow::Result<Account> {
        self.settings.account()
    }

    /// Returns the settings that the session was opened with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens the wallet of `owner` in the data folder, which must be this deployment's.
    pub(crate) async fn wallet(&self, owner: Address) -> anyhow::Result<Wallet> {
        self.claim().await?;
        Wallet::open(&self.settings.data_dir, owner).context("open the wallet")
    }

    /// Marks the data folder as this deployment's, or refuses it as another one's.
    pub(crate) async fn claim(&self) -> anyhow::Result<()> {
        claim(&self.settings.data_dir, &self.deployment).await
    }

    /// Returns *now*: the timestamp of the newest root block, in seconds.
    pub(crate) async fn now(&self) -> anyhow::Result<u64> {
        Ok(self.root.node().head().await.context("read the root chain's head")?.timestamp)
    }

    /// Returns who sends the account's root-chain transactions.
    pub(crate) async fn sender(&self) -> anyhow::Result<Sender> {
        sender(self.root.node().clone(), self.account()?).await
    }

    /// Returns the exit game as the contract's events up to the root chain's head tell it.
    pub(crate) async fn game(&self) -> anyhow::Result<Game> {
        let mut game = Game::new(self.deployment.periods, 1);
        self.replay(|block| game.connect_block(block).context("understand the contract's events")).await?;
        Ok(game)
    }

    /// Shows the contract's events up to the root chain's head to `see`, root block by root block.
    pub(crate) async fn replay(&self, mut see: impl FnMut(&RootBlock) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let head = self.root.node().head().await.context("read the root chain's head")?.at.number;
        // A depth of zero reads all of the past in long ranges: nothing of it is kept beyond this command.
        let mut follower = Follower::new(self.root.clone(), self.deployment, &[], FollowerSettings::new(0));
        let mut progress = Progress::new("reading the root chain's events");
        while follower.head().is_none_or(|at| at.number < head) {
            let step = timeout(Duration::from_secs(FOLLOW_SECS_MAX), follower.next()).await;
            let step =
                step.map_err(|_| Failure::Unreachable("the root chain's node has stalled: try another".to_owned()))?;
            match step.context("read the contract's events")? {
                Step::Connect(block) => see(&block)?,
                Step::Disconnect(at) => {
                    let what = format!("the root chain lost {at} while it was read: try again");
                    return Err(Failure::Unreachable(what).into());
                }
            }
            let follower = follower.progress();
            progress.show(format_args!("{} of {} root blocks", follower.done, follower.total));
        }
        Ok(())
    }
}

/// Returns who sends root-chain transactions of `account` through `node`.
pub(crate) async fn sender(node: Node, account: Account) -> anyhow::Result<Sender> {
    Sender::new(node, account, SenderSettings::default()).await.context("read the root chain's id")
}

/// Sends a call and waits until it is in a block; `what` names it in talk and errors.
pub(crate) async fn transact(sender: &Sender, call: &Call, what: &str) -> anyhow::Result<Landed> {
    eprintln!("{what}: sending a transaction from {} and waiting for the root chain ...", sender.account().address());
    let receipt = sender.send(call).await.with_context(|| what.to_owned())?;
    eprintln!("{what}: in root block {}, {} gas", receipt.block.number, receipt.gas_used);
    Ok(receipt)
}

/// Marks the folder as this deployment's, or refuses it as another one's. Commands share a folder: its lock is held only for
/// that, and the wallet has locks of its own.
async fn claim(folder: &Path, deployment: &Deployment) -> anyhow::Result<()> {
    let deployment = data_folder::Deployment {
        chain_id: deployment.chain_id,
        contract: deployment.contract,
        deployment_block_hash: deployment.block.hash,
    };
    let mut tries = 1;
    loop {
        match DataFolder::open(folder, &deployment) {
            Err(DataFolderError::Locked { .. }) if tries < FOLDER_TRIES => tokio::time::sleep(FOLDER_PAUSE).await,
            outcome => return outcome.map(drop).context("use --data-dir"),
        }
        tries += 1;
    }
}

/// A line on stderr that tells how far something long has come: on terminals only, and only if it is long.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    next: tokio::time::Instant,
    is_shown: bool,
}

impl Progress {
    const PAUSE: Duration = Duration::from_secs(1);

    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, next: tokio::time::Instant::now() + Self::PAUSE, is_shown: false }
    }

    /// Shows `state`, at most once a second.
    pub(crate) fn show(&mut self, state: impl std::fmt::Display) {
        let now = tokio::time::Instant::now();
        if now < self.next || !io::stderr().is_terminal() {
            return;
        }
        self.next = now + Self::PAUSE;
        self.is_shown = true;
        eprint!("\r\x1b[K{}: {state}", self.what);
        let _ = io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
