//! An anvil process of one test's own, ended with it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy_primitives::{Address, U64};
use plasmid_exit_game::exit::key::Periods;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::deploy::{Parameters, deploy};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use serde_json::{Value, json};

/// Keys that every anvil funds with 10,000 ether.
const KEYS: [&str; 3] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

/// MEP of the contracts that tests deploy.
pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };

pub(crate) struct Anvil {
    process: Child,
    pub(crate) url: String,
    pub(crate) rpc: Rpc,
}

impl Anvil {
    /// Starts an anvil that makes a block for each transaction.
    pub(crate) fn start() -> Self {
        // The package's launcher is a script whose end does not end what it launched: hence the program itself.
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node_modules/@foundry-rs");
        let entries = packages.read_dir().expect("contracts/node_modules is installed");
        let programs = entries.map(|entry| entry.unwrap().path()).filter(|package| {
            package.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("anvil-"))
        });
        let program = programs.map(|package| package.join("bin/anvil")).next().expect("anvil for this platform");
        let mut process = Command::new(program)
            .args(["--port", "0", "--hardfork", "osaka"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("anvil says where it listens").unwrap();
            if let Some((_, address)) = line.split_once("Listening on ") {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://{address}");
        let rpc = Rpc::new(&[&url], RpcSettings::default()).unwrap();
        Self { process, url, rpc }
    }

    pub(crate) fn node(&self) -> Node {
        Node::new(self.rpc.clone())
    }

    /// Makes the sender of funded account `index`.
    pub(crate) async fn sender(&self, index: usize) -> Sender {
        Sender::new(self.node(), account(index), sender_settings()).await.unwrap()
    }

    /// Deploys RootChain, with funded account 0 as its operator.
    pub(crate) async fn deploy(&self) -> (RootChain, Deployment) {
        let bonds = Bonds::at_base_fee(1_000_000_000).unwrap();
        let operator_bond_wei = bonds.operator_bond_wei().unwrap();
        let parameters = Parameters { operator: account(0).address(), periods: PERIODS, bonds, operator_bond_wei };
        let deployed = deploy(&self.sender(0).await, &parameters).await.unwrap();
        (RootChain::new(self.node(), deployed.deployment.contract), deployed.deployment)
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.control("anvil_mine", json!([U64::from(blocks)])).await;
    }

    /// Replaces the last `depth` blocks by empty ones and drops their transactions.
    pub(crate) async fn reorganise(&self, depth: u64) {
        self.control("anvil_reorg", json!([depth, []])).await;
    }

    pub(crate) async fn move_time(&self, secs: u64) {
        self.control("evm_increaseTime", json!([secs])).await;
        self.mine(1).await;
    }

    pub(crate) async fn control(&self, method: &'static str, params: Value) {
        self.rpc.write::<Value>(method, params).await.unwrap();
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn account(index: usize) -> Account {
    Account::from_hex(KEYS[index]).unwrap()
}

pub(crate) fn address(index: usize) -> Address {
    account(index).address()
}

pub(crate) fn sender_settings() -> SenderSettings {
    SenderSettings {
        poll_interval: Duration::from_millis(20),
        give_up_after: Duration::from_secs(20),
        ..SenderSettings::default()
    }
}
