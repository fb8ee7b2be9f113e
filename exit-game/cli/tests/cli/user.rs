//! Somebody who types commands.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alloy_primitives::Address;
use plasmid_harness::anvil::{Anvil, FUNDED_KEYS, Mining};
use plasmid_root_chain::account::Account;
use serde_json::Value;
use tempfile::TempDir;

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Returns the one JSON object on stdout.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        assert_eq!(self.stdout.lines().count(), 1, "one object: {}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Returns the only entry of the list on stdout.
    pub(crate) fn only_item(&self) -> Value {
        let items = self.json()["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 1, "{items:?}");
        items[0].clone()
    }
}

/// A root chain with a contract, and a folder for each user's data.
pub(crate) struct Net {
    pub(crate) anvil: Anvil,
    pub(crate) contract: String,
    folders: TempDir,
}

impl Net {
    /// Starts a root chain and deploys the contract with the periods of a devnet.
    pub(crate) fn start() -> Self {
        let mut net = Self {
            anvil: Anvil::start(Mining::Instant),
            contract: String::new(),
            folders: tempfile::tempdir().unwrap(),
        };
        let deployed = net.user(0).run(&["deploy", "--min-exit-period", "600", "--sunset", "4800", "--json"]).json();
        net.contract = deployed["contract"].as_str().unwrap().to_owned();
        net
    }

    /// Returns the user with anvil's account number `index`, who deployed and operates as 0.
    pub(crate) fn user(&self, index: usize) -> User {
        let mut environment = vec![
            ("PLASMID_L1_URL", self.anvil.url().to_owned()),
            ("PLASMID_UNSAFE_PRIVATE_KEY", FUNDED_KEYS[index].to_owned()),
        ];
        if !self.contract.is_empty() {
            environment.push(("PLASMID_CONTRACT", self.contract.clone()));
        }
        User { folder: self.folders.path().join(index.to_string()), environment }
    }
}

/// Returns the address of anvil's account number `index`.
pub(crate) fn address(index: usize) -> Address {
    Account::from_hex(FUNDED_KEYS[index]).unwrap().address()
}

/// Somebody with an account and a data folder.
pub(crate) struct User {
    pub(crate) folder: PathBuf,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl User {
    /// Sets a setting in the environment.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Starts `plasmid`, which is killed when what is returned is dropped.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running(self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Runs `plasmid` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran {
            code: output.status.code().expect("not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plasmid"));
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--data-dir").arg(&self.folder).args(args);
        command
    }
}

/// A command that has not ended.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
