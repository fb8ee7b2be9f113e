//! `scripts/bench light`: what a light watcher reads and takes beside what it need not read.
//!
//! A chain with 10^5 and with 10^6 unspent coins is served over HTTP by the services' own code; blocks of payments land on a
//! real root chain. Every figure stands beside a named baseline of the same run.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use plasmid_exit_game::position::TxIndex;
use plasmid_harness::anvil::mine_blocks;
use plasmid_harness::cheat::made;
use plasmid_light_watcher::report::State;
use plasmid_node::client::{Client, ClientLimits};
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::follower::{Follower, FollowerSettings};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};

use crate::net::{FINALITY_DEPTH, Net};
use crate::rows::{Row, Rows};

mod counted;
mod net;
mod proofs;
mod rows;

/// How many coins an owner has.
const OWN: [usize; 3] = [1, 10, 100];
/// Payments of a block, and blocks that are measured.
const PAYMENTS: usize = 1_000;
const BLOCKS: usize = 10;
/// Blocks that pass while nobody watches.
const ABSENCE: u64 = 10_000;
/// How long the program may take to find a hundred coins.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut rows = Rows::default();
    for (coins, name) in [(100_000, "1e5"), (1_000_000, "1e6")] {
        let mut net = Net::start(coins).await.with_context(|| format!("a chain of {coins} coins"))?;
        let proofs = if coins == 100_000 { Some(net.crates_proofs()?) } else { None };
        net.blocks(name, &mut rows).await?;
        if let Some(proofs) = proofs {
            proofs.into_iter().for_each(|row| rows.push(row));
            net.absence(&mut rows).await?;
        }
        rows.push(Row::against(&format!("peak_memory_{name}"), net.peak_memory().await?, "MiB", "limit", 64.0));
    }
    rows.write()
}

impl Net {
    /// What a block costs a light watcher, and a full one.
    async fn blocks(&mut self, name: &str, rows: &mut Rows) -> anyhow::Result<()> {
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
        let mut watches = Vec::new();
        for (owner, folder) in folders.iter().enumerate() {
            let mut watch = self.watch(owner, folder)?;
            watch.catch_up(|_| {}).await?;
            let report = watch.look().await?;
            ensure!(report.state == State::Green && report.coins.len() == OWN[owner], "all coins are found: {report}");
            watches.push(watch);
        }
        let (mut body_bytes, mut full_ms) = (0, 0.0);
        let (mut bytes, mut ms) = ([0; OWN.len()], [0.0; OWN.len()]);
        for _ in 0..BLOCKS {
            let mut payments = Vec::with_capacity(PAYMENTS);
            let mut place = self.next_place();
            for index in 0..PAYMENTS as u32 {
                let coin = self.spendable.pop_front().context("coins to pay with")?;
                let signed = self.people.alice.sign(&self.deployment.domain(), &[coin], vec![coin.output]);
                place.index = TxIndex::new(index).context("less than 2^20")?;
                self.spendable.extend(made(place, &signed.placed()));
                payments.push(signed);
            }
            full_ms += self.commit(&payments).await?;
            body_bytes +=
                Client::new(&self.server_bytes.url, ClientLimits::default())?.body(place.block, 64 << 20).await?.len();
            for (owner, watch) in watches.iter_mut().enumerate() {
                watch.catch_up(|_| {}).await?;
                self.server_bytes.take();
                let begin = Instant::now();
                let report = watch.look().await?;
                ms[owner] += begin.elapsed().as_secs_f64() * 1e3;
                bytes[owner] += self.server_bytes.take();
                ensure!(report.state == State::Green && report.block == place.block, "{report}");
            }
        }
        let each = |sum: f64| sum / BLOCKS as f64;
        for (owner, own) in OWN.into_iter().enumerate() {
            let body = format!("body of a block of {PAYMENTS} payments");
            let (what, value) = (format!("bytes_{own}_of_{name}"), each(bytes[owner] as f64));
            rows.push(Row::against(&what, value, "bytes/block", &body, each(body_bytes as f64)));
            let full = format!("a full watcher recovers and applies {PAYMENTS} payments");
            rows.push(Row::against(&format!("ms_{own}_of_{name}"), each(ms[owner]), "ms/block", &full, each(full_ms)));
        }
        Ok(())
    }

    /// What it costs to come back after many blocks.
    async fn absence(&mut self, rows: &mut Rows) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let owner = OWN.len() - 1;
        let mut watch = self.watch(owner, &folder)?;
        watch.catch_up(|_| {}).await?;
        watch.look().await?;
        drop(watch);
        for _ in 0..ABSENCE {
            let number = self.seal(&[])?;
            self.submit(number).await?;
        }
        mine_blocks(self.root.node().rpc(), FINALITY_DEPTH).await;

        // A service that follows everything, through the same counter.
        let node = Node::new(Rpc::new(&[&self.root_bytes.url], RpcSettings::default())?);
        let root = RootChain::new(node, self.deployment.contract);
        let last = self.follower.head().context("it has followed")?;
        let mut all = Follower::new(root, self.deployment, &[last], FollowerSettings::new(FINALITY_DEPTH));
        let head = self.root.node().head().await?.at.number;
        self.root_bytes.take();
        let begin = Instant::now();
        while all.head().is_none_or(|at| at.number < head) {
            all.next().await?;
        }
        let (all_ms, all_bytes) = (begin.elapsed().as_secs_f64() * 1e3, self.root_bytes.take());
        self.follow().await?;

        self.server_bytes.take();
        let begin = Instant::now();
        let mut watch = self.watch(owner, &folder)?;
        watch.catch_up(|_| {}).await?;
        let report = watch.look().await?;
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        ensure!(report.state == State::Green && report.block.get() > ABSENCE, "it has caught up: {report}");
        let (root_bytes, server_bytes) = (self.root_bytes.take() as f64, self.server_bytes.take() as f64);
        let baseline = "following every event of these blocks, before any body is read";
        rows.push(Row::against("catch_up_10000_blocks_100_own", ms, "ms", baseline, all_ms));
        rows.push(Row::against(
            "catch_up_10000_blocks_100_own_root_chain",
            root_bytes,
            "bytes",
            baseline,
            all_bytes as f64,
        ));
        let headers = 192.0 * ABSENCE as f64;
        rows.push(Row::against(
            "catch_up_10000_blocks_100_own_servers",
            server_bytes,
            "bytes",
            "these blocks' headers",
            headers,
        ));
        Ok(())
    }

    /// The most memory that the program takes for a hundred coins, from its first look on, in MiB.
    async fn peak_memory(&self) -> anyhow::Result<f64> {
        let folder = tempfile::tempdir()?;
        let program =
            std::env::current_exe()?.ancestors().nth(2).context("benches lie in target/PROFILE/deps")?.join("plasmid");
        let mut child = Command::new(&program)
            .args(["watch", &self.owners[OWN.len() - 1].to_string(), "--interval-secs", "1", "--json"])
            .args(["--finality-depth", &FINALITY_DEPTH.to_string(), "--l1-url", self.anvil.url()])
            .args(["--contract", &self.deployment.contract.to_string(), "--server", &self.server_bytes.url])
            .arg("--data-dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let file = folder.path().join("watch/light.json");
        let is_found = || std::fs::metadata(&file).is_ok_and(|file| file.len() > 10_000);
        let begin = Instant::now();
        while !is_found() && begin.elapsed() < FIRST_LOOK_MAX {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Some more looks.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        child.kill()?;
        child.wait()?;
        ensure!(is_found(), "the program finds its coins");
        let status = status?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak.map(|kib: f64| kib / 1024.0).context("the system tells the peak")
    }
}
