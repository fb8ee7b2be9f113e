//! Settings of `plasmid-watcher`, and what makes them unsafe.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use plasmid_exit_game::exit::key::Periods;
use plasmid_node::settings::CommonArgs;
use plasmid_root_chain::node::{Node, ReadError};

/// Deepest finality that the services can undo. INTERFACES.
const FINALITY_DEPTH_MAX: u64 = 128;
/// How many root blocks are looked at to tell how long one takes.
const SAMPLE_BLOCKS: u64 = 16;

const EXAMPLES: &str = "Examples:
  Follow a development chain, and answer wrong exits with an account of anvil's:
    plasmid-watcher --l1-url http://127.0.0.1:8545 --contract 0x… --server http://127.0.0.1:9080 \\
      --finality-depth 3 --unsafe-private-key 0x…
  Follow a chain with two nodes and two servers, and leave for two accounts if a block is bad:
    plasmid-watcher --config watcher.toml --l1-url https://a.example --l1-url https://b.example \\
      --server https://operator.example --server https://watcher.example \\
      --account watcher --password-file secret --guard alice --guard bob
";

/// Follows both chains, verifies every block and answers wrong exits by itself.
#[derive(Debug, Clone, Parser)]
#[command(name = "plasmid-watcher", version, before_help = EXAMPLES)]
pub struct Config {
    /// What every binary has
    #[command(flatten)]
    pub common: CommonArgs,
    /// Address that HTTP is served at
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9081")]
    pub listen: SocketAddr,
    /// Who serves bodies: the operator, other watchers; asked in this order
    #[arg(long, value_name = "URL", required = true)]
    pub server: Vec<String>,
    /// Keystore in the data folder whose coins and payments leave when a block is withheld or invalid
    #[arg(long, value_name = "NAME")]
    pub guard: Vec<String>,
    /// Root blocks on top of one that make it final
    #[arg(long, value_name = "BLOCKS", default_value_t = 64)]
    pub finality_depth: u64,
    /// Raise a test alarm for as long as the watcher runs
    #[arg(long)]
    pub test_alarm: bool,
}

impl Config {
    /// Returns the folder of the archived bodies.
    #[must_use]
    pub fn archive_dir(&self) -> PathBuf {
        self.common.data_dir.join("archive")
    }

    /// Returns the folder of the history.
    #[must_use]
    pub fn history_dir(&self) -> PathBuf {
        self.common.data_dir.join("history")
    }

    /// Returns the alarms' file.
    #[must_use]
    pub fn alarms_file(&self) -> PathBuf {
        self.common.data_dir.join("alarms.json")
    }

    /// Returns the file of a keystore.
    #[must_use]
    pub fn keystore_file(&self, name: &str) -> PathBuf {
        self.common.data_dir.join("keystore").join(name)
    }
}

/// Checks that a finality depth leaves time to act: at most 128 root blocks, and at most F/2 of time.
///
/// # Errors
///
/// [`UnsafeDepth`]; a service refuses to start with it.
pub fn check_finality_depth(depth: u64, root_block_secs: Option<u64>, periods: &Periods) -> Result<(), UnsafeDepth> {
    if depth > FINALITY_DEPTH_MAX {
        return Err(UnsafeDepth::TooDeep { depth });
    }
    let (secs, half_freeze_delay) = (root_block_secs.unwrap_or(0), periods.freeze_delay() / 2);
    if depth.saturating_mul(secs) > half_freeze_delay {
        return Err(UnsafeDepth::TooSlow { depth, secs, half_freeze_delay });
    }
    Ok(())
}

/// Returns how many seconds a root block takes: the median of the last few, or `None` on a chain of one block.
///
/// # Errors
///
/// [`ReadError`], as for every question.
pub async fn root_block_secs(node: &Node) -> Result<Option<u64>, ReadError> {
    let head = node.head().await?;
    let (mut secs, mut later) = (Vec::new(), head.timestamp);
    for number in (head.at.number.saturating_sub(SAMPLE_BLOCKS)..head.at.number).rev() {
        let Some(block) = node.block_by_number(number).await? else { break };
        secs.push(later.saturating_sub(block.timestamp));
        later = block.timestamp;
    }
    secs.sort_unstable();
    Ok(secs.get(secs.len() / 2).copied())
}

/// A setting without which nothing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("--{name} is needed: {what}")]
pub struct MissingSetting {
    /// The setting's name.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
}

/// Why a finality depth is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeDepth {
    /// More than can be undone.
    #[error("finality depth {depth} is more than {FINALITY_DEPTH_MAX}")]
    TooDeep {
        /// The depth.
        depth: u64,
    },
    /// What is final comes too late to act upon.
    #[error(
        "finality depth {depth} takes more than {half_freeze_delay} s (half the freeze delay) at {secs} s a root block"
    )]
    TooSlow {
        /// The depth.
        depth: u64,
        /// Seconds that a root block takes.
        secs: u64,
        /// F/2, in seconds.
        half_freeze_delay: u64,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_begins_with_examples() {
        Config::command().debug_assert();
        assert!(Config::command().render_help().to_string().starts_with("Examples:"));
    }

    #[test]
    fn a_depth_that_leaves_no_time_is_refused() {
        let devnet = Periods { minimum_exit_period: 600, sunset: 4_800 };
        assert_eq!(check_finality_depth(3, Some(1), &devnet), Ok(()));
        assert_eq!(check_finality_depth(37, Some(1), &devnet), Ok(()));
        assert!(matches!(check_finality_depth(38, Some(1), &devnet), Err(UnsafeDepth::TooSlow { .. })));
        assert!(matches!(check_finality_depth(4, Some(12), &devnet), Err(UnsafeDepth::TooSlow { .. })));
        assert!(matches!(check_finality_depth(129, None, &devnet), Err(UnsafeDepth::TooDeep { .. })));
        let production = Periods { minimum_exit_period: 7 * 86_400, sunset: 30 * 86_400 };
        assert_eq!(check_finality_depth(128, Some(12), &production), Ok(()));
    }
}
