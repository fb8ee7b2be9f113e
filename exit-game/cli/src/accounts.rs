//! Accounts: keystore files (version 3, as cast and geth write them) below the data folder, and passwords.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead as _, IsTerminal as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use plasmid_node::wire::form;
use plasmid_root_chain::account::Account;
use rustix::termios::{self, LocalModes, OptionalActions};
use serde::Serialize;

use crate::failure::Failure;
use crate::report::{Format, Items};
use crate::session::Settings;

const KEYSTORES: &str = "keystore";

/// `plasmid account …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new key and its keystore
    #[command(
        before_help = "Examples:\n  plasmid account new alice\n  plasmid account new alice --password-file secret.txt"
    )]
    New(Named),
    /// List the keystores
    List,
    /// Take in an existing private key, asked for or read from standard input
    #[command(before_help = "Examples:\n  plasmid account import alice\n  plasmid account import alice < key.txt")]
    Import(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// What the account is called from now on: the keystore's file name
    #[arg(value_parser = parse_name)]
    name: String,
}

/// An account as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    #[serde(with = "form")]
    address: Option<Address>,
    path: PathBuf,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{}  {address}  {}", self.name, self.path.display()),
            None => write!(f, "{}  {}", self.name, self.path.display()),
        }
    }
}

/// Runs `plasmid account …`.
pub(crate) fn run(command: &Command, settings: &Settings, format: Format) -> anyhow::Result<()> {
    let folder = settings.data_dir.join(KEYSTORES);
    let password_file = settings.password_file.as_deref();
    let made = |name: &str, account: Account| {
        format.print(&Shown { name: name.to_owned(), address: Some(account.address()), path: folder.join(name) })
    };
    match command {
        Command::New(Named { name }) => {
            make_private(&folder)?;
            let password = new_password(password_file)?;
            let account = Account::create_keystore(&folder, name, &password).context("make a keystore")?;
            close_to_others(&folder.join(name))?;
            made(name, account)
        }
        Command::List => {
            let mut items = list(&folder)?;
            items.sort_by(|one, other| one.name.cmp(&other.name));
            format.print(&Items { items, none: "no accounts: `plasmid account new NAME` makes one" })
        }
        Command::Import(Named { name }) => {
            let key = match &settings.private_key {
                Some(key) => key.clone(),
                None => ask("private key: ")?,
            };
            let account = Account::from_hex(key.trim()).context("import the key")?;
            make_private(&folder)?;
            account.save_keystore(&folder, name, &new_password(password_file)?).context("make a keystore")?;
            close_to_others(&folder.join(name))?;
            made(name, account)
        }
    }
}

/// Opens the account `name` below the data folder, with the password in `password_file` or asked for.
pub(crate) fn open(data_dir: &Path, name: &str, password_file: Option<&Path>) -> anyhow::Result<Account> {
    let name = parse_name(name).map_err(Failure::Usage)?;
    let path = data_dir.join(KEYSTORES).join(&name);
    if !path.exists() {
        bail!("there is no account {name} in {}: `plasmid account new {name}` makes one", data_dir.display());
    }
    let password = match password_file {
        Some(file) => password_in(file)?,
        None => ask(&format!("password of {name}: "))?,
    };
    Account::from_keystore(&path, &password).with_context(|| format!("open account {name}"))
}

/// Makes a folder that its owner alone can read.
fn make_private(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("make {}", folder.display()))
}

/// Lets a keystore's owner alone read it; its folder has kept others out so far.
fn close_to_others(keystore: &Path) -> anyhow::Result<()> {
    let closed = fs::set_permissions(keystore, Permissions::from_mode(0o600));
    closed.with_context(|| format!("make {} readable by its owner alone", keystore.display()))
}

fn list(folder: &Path) -> anyhow::Result<Vec<Shown>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("read {}", folder.display()))?,
    };
    let mut items = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            items.push(Shown { name: name.to_owned(), address: address_in(&path), path: path.clone() });
        }
    }
    Ok(items)
}

/// Returns the address that a keystore says it is for; many do not say.
fn address_in(path: &Path) -> Option<Address> {
    let keystore: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    keystore.get("address")?.as_str()?.parse().ok()
}

/// Takes a name that is a file name and nothing else.
fn parse_name(name: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.len() <= 100 && name.chars().all(is_plain) && !name.starts_with('.') {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} is no account name: letters, digits, `-`, `_` and `.` make one"))
    }
}

fn new_password(file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(file) = file {
        return password_in(file);
    }
    let password = ask("new password: ")?;
    if io::stdin().is_terminal() && ask("the same again: ")? != password {
        bail!("the two passwords differ: nothing was made");
    }
    Ok(password)
}

fn password_in(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("read the password in {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Reads a line from standard input, without showing it on a terminal.
fn ask(question: &str) -> anyhow::Result<String> {
    let stdin = io::stdin();
    let mut answer = String::new();
    let taken = if stdin.is_terminal() {
        eprint!("{question}");
        let shown = termios::tcgetattr(&stdin).context("read the terminal's settings")?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("hide what is typed")?;
        let taken = stdin.lock().read_line(&mut answer);
        termios::tcsetattr(&stdin, OptionalActions::Flush, &shown).context("show what is typed again")?;
        eprintln!();
        taken
    } else {
        stdin.lock().read_line(&mut answer)
    };
    if taken.context("read standard input")? == 0 {
        let what = format!("{question}nothing on standard input: use --password-file, or a terminal");
        return Err(Failure::Usage(what).into());
    }
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name_and_nothing_else() {
        for name in ["alice", "a.b-c_9"] {
            assert_eq!(parse_name(name), Ok(name.to_owned()));
        }
        for name in ["", ".", "..", ".hidden", "a/b", "../alice", "a b", "ä", "a\0"] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
    }
}
