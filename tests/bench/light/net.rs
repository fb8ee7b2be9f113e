//! A root chain, a child chain of many coins made by the services' own code, and its server.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, ensure};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::ledger::Leaf;
use plasmid_exit_game::output::{ETHER, Output};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_harness::anvil::{Anvil, FUNDED_KEYS, Mining, mine_blocks};
use plasmid_harness::cheat::made as made_at;
use plasmid_harness::people::{Coin, People, Signed};
use plasmid_light_watcher::watch::{Settings, Watch};
use plasmid_node::archive::Archive;
use plasmid_node::chain::{BlockCheck, Chain, SharedChain};
use plasmid_node::client::{Client, ClientLimits};
use plasmid_node::http::{Common, Events, Limits, ServiceStatus, Traffic, common_routes, serve};
use plasmid_node::recover::recover;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::calls::Submission;
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::deploy::{self, Parameters};
use plasmid_root_chain::follower::{Follower, FollowerSettings, Step};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::OWN;
use crate::counted::Counted;

const PERIODS: Periods = Periods { minimum_exit_period: 604_800, sunset: 4_838_400 };
/// Root blocks to finality.
pub(crate) const FINALITY_DEPTH: u64 = 3;
/// Gas that submitting a block takes at most.
const SUBMIT_GAS: u64 = 200_000;

/// A root chain, a child chain with coins, and its server.
pub(crate) struct Net {
    pub(crate) anvil: Anvil,
    pub(crate) root: RootChain,
    pub(crate) deployment: Deployment,
    pub(crate) people: People,
    pub(crate) chain: SharedChain,
    /// Another service that verifies every block.
    pub(crate) full: Chain,
    pub(crate) follower: Follower,
    /// Coins that are paid on, and the owners whose coins are guarded.
    pub(crate) spendable: VecDeque<Coin>,
    pub(crate) owners: Vec<Address>,
    pub(crate) owned: Vec<Vec<Coin>>,
    pub(crate) root_bytes: Counted,
    pub(crate) server_bytes: Counted,
    _folders: Vec<TempDir>,
}

impl Net {
    /// Starts it with so many unspent coins, in one block.
    pub(crate) async fn start(coins: usize) -> anyhow::Result<Self> {
        let (anvil, people) = (Anvil::start(Mining::Instant), People::new());
        let node = Node::new(Rpc::new(&[anvil.url()], RpcSettings::default())?);
        let _: Value = node.rpc().read("anvil_setBlockTimestampInterval", json!([1])).await?;
        let settings = SenderSettings { poll_interval: Duration::from_millis(5), ..SenderSettings::default() };
        let sender = Sender::new(node.clone(), Account::from_hex(FUNDED_KEYS[0])?, settings).await?;
        let bonds = Bonds::at_base_fee(1_000_000_000).context("a small base fee")?;
        let operator_bond_wei = bonds.operator_bond_wei().context("a small base fee")?;
        let parameters =
            Parameters { operator: sender.account().address(), periods: PERIODS, bonds, operator_bond_wei };
        let deployment = deploy::deploy(&sender, &parameters).await?.deployment;
        let root = RootChain::new(node, deployment.contract);
        sender.send(&root.deposit(people.alice.address(), coins as u128)).await?;

        let folders = vec![tempfile::tempdir()?, tempfile::tempdir()?];
        let chain_in = |folder: &TempDir| -> anyhow::Result<Chain> {
            Ok(Chain::new(PERIODS, FINALITY_DEPTH, Archive::open(folder.path())?))
        };
        let chain: SharedChain = Arc::new(RwLock::new(chain_in(&folders[0])?));
        let full = chain_in(&folders[1])?;
        let server = serve_chain(chain.clone(), &deployment).await?;
        let (server_bytes, root_bytes) = (Counted::start(&server).await?, Counted::start(anvil.url()).await?);
        let follower = Follower::new(root.clone(), deployment, &[], FollowerSettings::new(FINALITY_DEPTH));
        let owners: Vec<_> = OWN.iter().map(|&own| Address::left_padding_from(&(own as u64).to_be_bytes())).collect();
        let (spendable, owned) = (VecDeque::new(), vec![Vec::new(); OWN.len()]);
        let mut net = Self {
            anvil,
            root,
            deployment,
            people,
            chain,
            full,
            follower,
            spendable,
            owners,
            owned,
            root_bytes,
            server_bytes,
            _folders: folders,
        };
        net.follow().await?;
        net.fill(coins).await?;
        Ok(net)
    }

    /// Splits the deposit into coins of one unit each, some of them the guarded owners', far apart from each other.
    async fn fill(&mut self, coins: usize) -> anyhow::Result<()> {
        let deposit = *self.chain().game().deposits(0, 1).next().context("the deposit is seen")?;
        let position = Position::of_deposit(0).context("nonce 0")?;
        let mut open = VecDeque::from([Coin { id: deposit.output_id(), position, output: deposit.output }]);
        let of_owners: Vec<usize> =
            OWN.iter().enumerate().flat_map(|(owner, &own)| std::iter::repeat_n(owner, own)).collect();
        let (mut payments, mut made) = (Vec::new(), 0);
        let mut place = self.next_place();
        while let Some(coin) = open.pop_front() {
            let amount = coin.output.amount;
            let parts = amount.min(16);
            let outputs = (0..parts).map(|part| {
                let amount = amount / parts + u128::from(part < amount % parts);
                let turn = coins / of_owners.len();
                let owner = match (amount, made % turn, of_owners.get(made / turn)) {
                    (1, 0, Some(&owner)) => self.owners[owner],
                    _ => self.people.alice.address(),
                };
                made += usize::from(amount == 1);
                Output { owner, asset: ETHER, amount }
            });
            let signed = self.people.alice.sign(&self.deployment.domain(), &[coin], outputs.collect());
            for coin in made_at(place, &signed.placed()) {
                match self.owners.iter().position(|&owner| owner == coin.output.owner) {
                    Some(owner) => self.owned[owner].push(coin),
                    None if coin.output.amount > 1 => open.push_back(coin),
                    None => self.spendable.push_back(coin),
                }
            }
            payments.push(signed);
            place.index = TxIndex::new(place.index.get() + 1).context("less than 2^20")?;
        }
        self.commit(&payments).await.map(drop)
    }

    /// Looks at the chain.
    pub(crate) fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().expect("no holder panics")
    }

    /// Returns where the next block's first payment will stand.
    pub(crate) fn next_place(&self) -> Place {
        let mut chain = self.chain.write().expect("no holder panics");
        chain.open_block();
        chain.next_place().expect("an open block")
    }

    /// Makes a block of these payments and commits it; returns how long a full watcher takes to verify it, in milliseconds.
    pub(crate) async fn commit(&mut self, payments: &[Signed]) -> anyhow::Result<f64> {
        let domain = self.deployment.domain();
        let number = self.seal(payments)?;
        self.submit(number).await?;
        mine_blocks(self.root.node().rpc(), FINALITY_DEPTH).await;
        self.follow().await?;
        let header = self.chain().game().header(number).context("it was committed")?.0;
        let begin = Instant::now();
        let leaves = payments.iter().map(|payment| Leaf::Transaction(recover(payment.placed(), &domain))).collect();
        ensure!(matches!(self.full.apply_block(&header, leaves)?, BlockCheck::Valid), "the block is valid");
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    }

    /// Makes a block of these payments, and returns its number.
    pub(crate) fn seal(&self, payments: &[Signed]) -> anyhow::Result<BlockNumber> {
        let domain = self.deployment.domain();
        let mut chain = self.chain.write().expect("no holder panics");
        chain.open_block();
        let deposits = chain.game().deposit_count();
        chain.cover_deposits(deposits)?;
        for payment in payments {
            let place = chain.next_place().context("a block has room")?;
            chain.accept(place, recover(payment.placed(), &domain))?;
        }
        let number = chain.close_block().context("it was open")?;
        let unsealed = chain.next_unsealed().context("it was closed")?;
        ensure!(chain.seal(unsealed.seal()), "nothing came between");
        Ok(number)
    }

    /// Sends a block as fast as anvil takes it: each in a root block of its own.
    pub(crate) async fn submit(&self, number: BlockNumber) -> anyhow::Result<()> {
        let sealed = self.chain().sealed_block(number).context("it was sealed")?;
        let head = self.root.node().head().await?;
        let block = Submission {
            number,
            tx_root: sealed.tx_root,
            utxo_root: sealed.utxo_root,
            tx_count: sealed.tx_count,
            deposit_count: sealed.deposit_count,
            anchor: head.at,
            not_after: head.timestamp + 3_600,
        };
        let (from, call) = (self.deployment.operator, self.root.submit_block(&block));
        let transaction =
            json!([{ "from": from, "to": call.to, "data": call.data, "gas": format!("{SUBMIT_GAS:#x}") }]);
        let _: B256 = self.root.node().rpc().read("eth_sendTransaction", transaction).await?;
        while self.root.node().head().await?.at == head.at {}
        Ok(())
    }

    /// Lets both services see all that has happened.
    pub(crate) async fn follow(&mut self) -> anyhow::Result<()> {
        let head = self.root.node().head().await?.at.number;
        while self.follower.head().is_none_or(|at| at.number < head) {
            let Step::Connect(block) = self.follower.next().await? else { continue };
            self.chain.write().expect("no holder panics").connect_root_block(&block)?;
            self.full.connect_root_block(&block)?;
        }
        Ok(())
    }

    /// A light watcher of one owner's coins, whose bytes are counted.
    pub(crate) fn watch(&self, owner: usize, folder: &TempDir) -> anyhow::Result<Watch> {
        let settings = Settings {
            owners: vec![self.owners[owner]],
            servers: vec![Client::new(&self.server_bytes.url, ClientLimits::default())?],
            folder: folder.path().to_owned(),
            finality_depth: FINALITY_DEPTH,
            leaves: false,
        };
        let node = Node::new(Rpc::new(&[&self.root_bytes.url], RpcSettings::default())?);
        Ok(Watch::open(RootChain::new(node, self.deployment.contract), self.deployment, settings, Vec::new())?)
    }
}

/// The services' own routes over a chain.
async fn serve_chain(chain: SharedChain, deployment: &Deployment) -> anyhow::Result<String> {
    let mut metrics = Default::default();
    let traffic = Traffic::new(&mut metrics);
    let (chain_id, contract, deployment_block) = (deployment.chain_id, deployment.contract, deployment.block.number);
    let status =
        ServiceStatus { chain_id, contract, deployment_block, synced: true, halted: false, closed: false, alarms: 0 };
    let (events, metrics) = (Events::new(4, 1), Arc::new(metrics));
    let common = Common { chain, events, status: Arc::new(move || status), receipt: Arc::new(|_| None), metrics };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(serve(listener, common_routes(common), Limits::default(), traffic, std::future::pending()));
    Ok(url)
}
