//! A real root chain for one test: an anvil process of its own, ended with the test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alloy_primitives::{Address, U256};
use plasmid_root_chain::rpc::Rpc;
use serde_json::{Value, json};

/// Private keys of the accounts that every anvil funds with 10,000 ether each (its documented test mnemonic).
pub const FUNDED_KEYS: [&str; 10] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
];

/// When anvil makes blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// One a second, as on a devnet.
    EverySecond,
    /// One for each transaction, at once.
    Instant,
}

/// A running anvil.
#[derive(Debug)]
pub struct Anvil {
    process: Child,
    url: String,
}

impl Anvil {
    /// Starts an anvil on a free port.
    ///
    /// # Panics
    ///
    /// If the pinned anvil is not installed (`scripts/test` does that) or does not come up.
    #[must_use]
    pub fn start(mining: Mining) -> Self {
        let anvil = executable();
        let mut command = Command::new(&anvil);
        command.args(["--port", "0", "--hardfork", "osaka", "--gas-limit", "60000000"]);
        match mining {
            Mining::EverySecond => command.args(["--block-time", "1"]),
            Mining::Instant => &mut command,
        };
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}; run scripts/test once", anvil.display()));
        let stdout = process.stdout.take().expect("piped above");
        let mut lines = BufReader::new(stdout).lines();
        let url = loop {
            let line = lines.next().expect("anvil says where it listens").expect("anvil's output is text");
            if let Some((_, address)) = line.split_once("Listening on ") {
                break format!("http://{}", address.trim());
            }
        };
        // Reading on keeps anvil from blocking on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url }
    }

    /// Returns where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Ended already, or ended now: nothing else can be done about it here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Moves the root chain's time forward by `secs` and makes a block there.
///
/// # Panics
///
/// If anvil refuses.
pub async fn move_time(rpc: &Rpc, secs: u64) {
    let _: Value = rpc.read("evm_increaseTime", json!([secs])).await.expect("anvil moves its clock");
    mine(rpc).await;
}

/// Makes one root block now.
///
/// # Panics
///
/// If anvil refuses.
pub async fn mine(rpc: &Rpc) {
    let _: Value = rpc.read("evm_mine", json!([])).await.expect("anvil makes a block");
}

/// Makes one root block with this timestamp, which is after the last one's.
///
/// # Panics
///
/// If anvil refuses.
pub async fn mine_at(rpc: &Rpc, timestamp: u64) {
    let _: Value = rpc.read("evm_setNextBlockTimestamp", json!([timestamp])).await.expect("anvil sets its clock");
    mine(rpc).await;
}

/// Makes `count` root blocks now, a second apart.
///
/// # Panics
///
/// If anvil refuses.
pub async fn mine_blocks(rpc: &Rpc, count: u64) {
    let _: Value = rpc.read("anvil_mine", json!([count, 1])).await.expect("anvil makes blocks");
}

/// Makes no more root blocks but by [`mine`] and [`mine_blocks`], until [`go_on_mining`].
///
/// # Panics
///
/// If anvil refuses.
pub async fn stop_mining(rpc: &Rpc) {
    let _: Value = rpc.read("evm_setIntervalMining", json!([0])).await.expect("anvil stops its clock");
}

/// Makes a root block a second again.
///
/// # Panics
///
/// If anvil refuses.
pub async fn go_on_mining(rpc: &Rpc) {
    let _: Value = rpc.read("evm_setIntervalMining", json!([1])).await.expect("anvil starts its clock");
}

/// Replaces the last `depth` root blocks by as many empty ones, all at one time. Their transactions are lost: they do not
/// go back into the pool.
///
/// # Panics
///
/// If anvil refuses: it goes at most 64 blocks back.
pub async fn reorganise(rpc: &Rpc, depth: u64) {
    let _: Value = rpc.read("anvil_reorg", json!([depth, []])).await.expect("anvil reorganises");
}

/// Replaces the last root blocks by others at these times, oldest first. Their transactions are lost as in [`reorganise`].
///
/// # Panics
///
/// If anvil refuses.
pub async fn replace(rpc: &Rpc, times: &[u64]) {
    if !times.is_empty() {
        let _: Value = rpc.read("anvil_rollback", json!([times.len()])).await.expect("anvil goes back");
    }
    for &time in times {
        mine_at(rpc, time).await;
    }
}

/// Gives an account that much ether, in wei, from nowhere.
///
/// # Panics
///
/// If anvil refuses.
pub async fn endow(rpc: &Rpc, account: Address, wei: u128) {
    let _: Value = rpc.read("anvil_setBalance", json!([account, U256::from(wei)])).await.expect("anvil sets a balance");
}

/// Returns how many transactions wait to be in a root block.
///
/// # Panics
///
/// If anvil does not say.
pub async fn waiting(rpc: &Rpc) -> u64 {
    let pool: Value = rpc.read("txpool_status", json!([])).await.expect("anvil shows its pool");
    pool["pending"].as_str().and_then(number).expect("a number in hex")
}

/// Reads a number as the root chain writes it.
pub(crate) fn number(hex: &str) -> Option<u64> {
    u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok()
}

/// Takes all transactions that wait out of the pool, as if nobody had sent them.
///
/// # Panics
///
/// If anvil refuses.
pub async fn forget_waiting(rpc: &Rpc) {
    let _: Value = rpc.read("anvil_dropAllTransactions", json!([])).await.expect("anvil empties its pool");
}

/// The pinned anvil itself: npm's launcher would leave it running when killed.
fn executable() -> PathBuf {
    let packages = repository().join("contracts/node_modules/@foundry-rs");
    let entries = std::fs::read_dir(&packages).into_iter().flatten().flatten();
    let native = entries.map(|entry| entry.path().join("bin/anvil")).find(|path| {
        let is_anvil = path.ancestors().nth(2).and_then(|package| package.file_name());
        path.exists() && is_anvil.is_some_and(|name| name.to_string_lossy().starts_with("anvil-"))
    });
    native.unwrap_or_else(|| panic!("no anvil in {}; run scripts/test once", packages.display()))
}

/// Returns the checkout's folder.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
