//! The devnet's root chain: an anvil process whose blocks, state and clock survive a restart.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plasmid_root_chain::node::Node;
use serde::Deserialize;
use serde_json::{Value, json};

use super::process::Process;

/// Private keys of the accounts that anvil funds with 10,000 ether each: those of its documented test mnemonic.
pub(super) const FUNDED_KEYS: [&str; 10] = [
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

/// What is read of a saved state: where its clock stood.
#[derive(Deserialize)]
struct SavedState {
    block: SavedBlock,
}

#[derive(Deserialize)]
struct SavedBlock {
    timestamp: Value,
}

/// Starts anvil with a block a second, going on from the state in `folder` if there is one, and returns its URL.
pub(super) fn start(program: &Path, folder: &Path, logs: &Path) -> anyhow::Result<(Process, String)> {
    let state = folder.join("anvil.json");
    let port = free_port()?.to_string();
    let mut arguments: Vec<PathBuf> =
        ["--hardfork", "osaka", "--block-time", "1", "--state-interval", "5", "--port", &port, "--state"]
            .map(PathBuf::from)
            .to_vec();
    arguments.push(state.clone());
    if state.exists() {
        // A restarted anvil would go back to the machine's clock, behind the time that was skipped.
        arguments.extend(["--timestamp".into(), (saved_time(&state)? + 1).to_string().into()]);
    }
    let process = Process::start("anvil", program, &arguments, &[], logs)?;
    Ok((process, format!("http://127.0.0.1:{port}")))
}

/// Moves the root chain's time forward and makes a block there.
pub(super) async fn move_time(node: &Node, secs: u64) -> anyhow::Result<()> {
    let _: Value = node.rpc().write("evm_increaseTime", json!([secs])).await.context("move the root chain's clock")?;
    let _: Value = node.rpc().write("evm_mine", json!([])).await.context("make a root block")?;
    Ok(())
}

/// Returns a port that nobody listens on.
pub(super) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}

fn saved_time(state: &Path) -> anyhow::Result<u64> {
    let of = || format!("read the root chain's time in {}", state.display());
    let saved: SavedState = serde_json::from_slice(&fs::read(state).with_context(of)?).with_context(of)?;
    let time = match &saved.block.timestamp {
        Value::String(hex) => hex.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()),
        other => other.as_u64(),
    };
    time.with_context(of)
}
