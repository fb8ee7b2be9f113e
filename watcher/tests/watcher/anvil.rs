//! An anvil process of one test's own, ended with it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy_primitives::U64;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::deploy::{Parameters, deploy};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use serde_json::{Value, json};

use crate::world::PERIODS;

/// Keys that every anvil funds with 10,000 ether: the operator's, the watcher's, alice's, bob's.
pub(crate) const KEYS: [&str; 4] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

pub(crate) struct Anvil {
    process: Child,
    pub(crate) url: String,
    rpc: Rpc,
}

impl Anvil {
    /// Starts an anvil that makes a block a second.
    pub(crate) fn start() -> Self {
        // The package's launcher is a script whose end does not end what it launched: hence the program itself.
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/@foundry-rs");
        let entries = packages.read_dir().expect("contracts/node_modules is installed");
        let programs = entries.map(|entry| entry.unwrap().path()).filter(|package| {
            package.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("anvil-"))
        });
        let program = programs.map(|package| package.join("bin/anvil")).next().expect("anvil for this platform");
        let mut process = Command::new(program)
            .args(["--port", "0", "--hardfork", "osaka", "--block-time", "1"])
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

    pub(crate) async fn sender(&self, index: usize) -> Sender {
        let settings = SenderSettings {
            poll_interval: Duration::from_millis(50),
            give_up_after: Duration::from_secs(30),
            ..SenderSettings::default()
        };
        Sender::new(self.node(), Account::from_hex(KEYS[index]).unwrap(), settings).await.unwrap()
    }

    /// Deploys RootChain, with funded account 0 as its operator.
    pub(crate) async fn deploy(&self) -> (RootChain, Deployment) {
        let operator = self.sender(0).await;
        let bonds = Bonds::at_base_fee(1_000_000_000).unwrap();
        let parameters = Parameters { operator: operator.account().address(), periods: PERIODS, bonds };
        let deployed = deploy(&operator, &parameters).await.unwrap();
        (RootChain::new(self.node(), deployed.deployment.contract), deployed.deployment)
    }

    /// Replaces the last `depth` blocks by empty ones and drops their transactions.
    pub(crate) async fn reorganise(&self, depth: u64) {
        self.control("anvil_reorg", json!([depth, []])).await;
    }

    pub(crate) async fn move_time(&self, secs: u64) {
        self.control("evm_increaseTime", json!([secs])).await;
        self.control("anvil_mine", json!([U64::from(1)])).await;
    }

    pub(crate) async fn control(&self, method: &'static str, params: Value) {
        self.rpc.write::<Value>(method, params).await.unwrap();
    }

    /// Lets the process hang, or go on.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
