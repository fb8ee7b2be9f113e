//! Settings: flag, then `PLASMID_…` environment, then settings file, then default, under one name. Logging and exit codes.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Id, Parser};
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use crate::wire::form::{self, FormError};

/// The settings that every binary has.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// JSON-RPC address of a root-chain node; several for failover
    #[arg(long, global = true, value_name = "URL")]
    pub l1_url: Vec<String>,
    /// Address of the RootChain contract
    #[arg(long, global = true, value_parser = parse_address)]
    pub contract: Option<Address>,
    /// Folder for everything that is kept
    #[arg(long, global = true, value_name = "DIR", default_value = "plasmid-data")]
    pub data_dir: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Settings file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of a keystore in the data folder
    #[arg(long, global = true, value_name = "NAME")]
    pub account: Option<String>,
    /// Private key in plain sight: for development chains only
    #[arg(long, global = true, value_name = "HEX", hide_env_values = true, conflicts_with = "account")]
    pub unsafe_private_key: Option<String>,
    /// File with the keystore's password
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// Reads an address, for `value_parser`.
///
/// # Errors
///
/// [`FormError`].
pub fn parse_address(text: &str) -> Result<Address, FormError> {
    form::parse(text)
}

/// Reads the settings of a binary from its arguments, the environment and the settings file.
///
/// Every option of the command itself, `global` ones included, has its environment variable and its key by name; options of
/// subcommands are flags alone. A settings file gives a value for an option that is there: a string, number or boolean, an
/// array of these for one that is repeated, and tables `asset`, `minimum` for one that takes `ASSET=MINIMUM`.
///
/// # Errors
///
/// [`SettingsError`]; a binary prints it and exits with code 2, or lets [`clap::Error::exit`] do so.
pub fn load<T: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<T, SettingsError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = T::command();
    // The derived ids: those of help and version are not there yet.
    let ids: Vec<_> =
        command.get_arguments().filter(|arg| arg.get_long().is_some()).map(|arg| arg.get_id().clone()).collect();
    for id in ids {
        command = command.mut_arg(id, |arg| {
            let variable = variable_of(&arg);
            arg.env(variable)
        });
    }
    if let Some(file) = settings_file(&args) {
        command = with_defaults_of(command, &file)?;
    }
    let mut matches = command.try_get_matches_from_mut(args)?;
    // Of two options that exclude each other, the one in the file gives way to the one on the command line.
    let is_explicit = |id: &Id, matches: &ArgMatches| {
        let source = matches.value_source(id.as_str());
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    for arg in command.get_arguments().filter(|arg| !is_explicit(arg.get_id(), &matches)).cloned().collect::<Vec<_>>() {
        if command.get_arg_conflicts_with(&arg).iter().any(|other| is_explicit(other.get_id(), &matches)) {
            let _ = matches.try_clear_id(arg.get_id().as_str());
        }
    }
    T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command).into())
}

/// Returns the settings file that the arguments or the environment name.
///
/// Looked for before clap reads the arguments, since the file decides what clap may miss in them.
fn settings_file(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(file) = arg.to_str().and_then(|arg| arg.strip_prefix("--config=")) {
            return Some(file.into());
        }
    }
    env::var_os("PLASMID_CONFIG").map(PathBuf::from)
}

fn variable_of(arg: &Arg) -> String {
    let name = arg.get_long().unwrap_or_default();
    format!("PLASMID_{}", name.replace('-', "_").to_uppercase())
}

/// Sets what the file says as the defaults of the command's options.
fn with_defaults_of(mut command: Command, file: &Path) -> Result<Command, SettingsError> {
    let text = fs::read_to_string(file).map_err(|source| SettingsError::Read { file: file.to_owned(), source })?;
    let table: Table =
        text.parse().map_err(|source| SettingsError::Toml { file: file.to_owned(), source: Box::new(source) })?;
    for (key, value) in table {
        let named = |arg: &&Arg| arg.get_long().is_some_and(|long| long.replace('-', "_") == key);
        let Some(arg) = command.get_arguments().find(named).filter(|arg| arg.get_long() != Some("config")) else {
            return Err(SettingsError::UnknownKey { file: file.to_owned(), key });
        };
        let refused = |detail: String| SettingsError::Value { file: file.to_owned(), key: key.clone(), detail };
        let values = values_of(arg, &value).map_err(|detail| refused(detail.to_owned()))?;
        try_values(arg, &values).map_err(refused)?;
        // What has a default is not missed: clap would call it a contradiction.
        let id = arg.get_id().clone();
        command = command.mut_arg(id, |arg| arg.required(false).default_values(values));
    }
    Ok(command)
}

/// Returns the values of a key as the flag would take them.
fn values_of(arg: &Arg, value: &Value) -> Result<Vec<String>, &'static str> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let is_repeated = matches!(arg.get_action(), ArgAction::Append);
    match value {
        Value::Array(values) if is_repeated => values.iter().map(|value| text_of(value, is_switch)).collect(),
        Value::Array(_) => Err("takes one value, not an array"),
        value => Ok(vec![text_of(value, is_switch)?]),
    }
}

fn text_of(value: &Value, is_switch: bool) -> Result<String, &'static str> {
    match value {
        Value::Boolean(value) if is_switch => Ok(value.to_string()),
        _ if is_switch => Err("takes true or false"),
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Table(table) => match (table.get("asset"), table.get("minimum"), table.len()) {
            (Some(Value::String(asset)), Some(Value::String(minimum)), 2) => Ok(format!("{asset}={minimum}")),
            (Some(Value::String(asset)), Some(Value::Integer(minimum)), 2) => Ok(format!("{asset}={minimum}")),
            _ => Err("takes asset and minimum"),
        },
        Value::Boolean(_) => Err("takes no boolean"),
        Value::Datetime(_) => Err("takes no date"),
        Value::Array(_) => Err("takes no array of arrays"),
    }
}

/// Lets the option itself judge the values, so that the file and the key are named if it refuses one.
fn try_values(arg: &Arg, values: &[String]) -> Result<(), String> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    if is_switch {
        return Ok(());
    }
    let arg = Arg::new("value").long("value").value_parser(arg.get_value_parser().clone()).action(ArgAction::Append);
    let args = values.iter().map(|value| format!("--value={value}"));
    let command = Command::new("settings").no_binary_name(true).disable_help_flag(true).arg(arg);
    command.try_get_matches_from(args).map(drop).map_err(|error| match error.source() {
        Some(source) => source.to_string(),
        None => format!("{values:?} is not what it takes"),
    })
}

/// Sends what is logged to stderr: `PLASMID_LOG` chooses what, `info` without it.
pub fn init_logging() {
    let filter = EnvFilter::try_from_env("PLASMID_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// How a binary ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Ok = 0,
    /// It failed.
    Failure = 1,
    /// It was called wrongly.
    Usage = 2,
    /// It refused, for safety.
    Refused = 3,
    /// It found a violation of the protocol.
    Violation = 4,
    /// A server or node cannot be reached or is not at the head.
    Unreachable = 5,
    /// The root chain did not do it in time.
    TimedOut = 6,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line or the environment is wrong, or asks for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The settings file cannot be read.
    #[error("cannot read the settings file {file}")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The settings file is no TOML.
    #[error("the settings file {file} is not TOML")]
    Toml {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// The settings file has a key that is no setting.
    #[error("{file}: there is no setting {key}")]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
    },
    /// The settings file has a value that the setting does not take.
    #[error("{file}: {key}: {detail}")]
    Value {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::Subcommand;

    use super::*;

    #[derive(Debug, Parser)]
    struct Example {
        #[command(flatten)]
        common: CommonArgs,
        /// Where to listen
        #[arg(long)]
        listen: std::net::SocketAddr,
        #[arg(long, default_value_t = 3)]
        finality_depth: u64,
        #[arg(long, value_name = "ASSET=MINIMUM")]
        fee: Vec<String>,
        #[command(subcommand)]
        command: Option<ExampleCommand>,
    }

    #[derive(Debug, Subcommand)]
    enum ExampleCommand {
        Send {
            #[arg(long)]
            asset: Option<Address>,
        },
    }

    fn load_with(file: &str, args: &[&str]) -> Result<Example, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        fs::write(&path, file).unwrap();
        let config = ["example".into(), "--config".into(), path.into_os_string()];
        load(config.into_iter().chain(args.iter().map(OsString::from)))
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let file = "listen = \"127.0.0.1:1\"\nfinality_depth = 7\njson = true\nl1_url = [\"http://a\", \"http://b\"]\n\
                    [[fee]]\nasset = \"0x00\"\nminimum = \"5\"\n[[fee]]\nasset = \"0x01\"\nminimum = 6\n";
        let settings = load_with(file, &[]).unwrap();
        assert_eq!((settings.listen.port(), settings.finality_depth, settings.common.json), (1, 7, true));
        assert_eq!(settings.common.l1_url, ["http://a", "http://b"]);
        assert_eq!(settings.fee, ["0x00=5", "0x01=6"]);
        assert_eq!(settings.common.data_dir, PathBuf::from("plasmid-data"));
        let settings =
            load_with(file, &["--listen=127.0.0.1:2", "--l1-url", "http://c", "--finality-depth", "8"]).unwrap();
        assert_eq!((settings.listen.port(), settings.finality_depth), (2, 8));
        assert_eq!(settings.common.l1_url, ["http://c"]);

        let args = ["example", "--listen", "127.0.0.1:3", "send"].map(OsString::from);
        let settings: Example = load(args).unwrap();
        assert_eq!((settings.finality_depth, settings.common.json), (3, false));
        assert!(matches!(settings.command, Some(ExampleCommand::Send { asset: None })));
        assert!(matches!(load_with("", &[]), Err(SettingsError::Usage(_))), "the address to listen on is missing");
    }

    #[test]
    fn settings_of_the_whole_command_may_stand_after_a_subcommand() {
        let settings = load_with("listen = \"127.0.0.1:1\"\n", &["send", "--json", "--l1-url=http://a"]).unwrap();
        assert!(settings.common.json);
        assert_eq!(settings.common.l1_url, ["http://a"]);
    }

    #[test]
    fn of_two_that_exclude_each_other_the_flag_counts() {
        let file = "listen = \"127.0.0.1:1\"\nunsafe_private_key = \"0x01\"\n";
        assert_eq!(load_with(file, &[]).unwrap().common.unsafe_private_key.as_deref(), Some("0x01"));
        let settings = load_with(file, &["--account", "alice"]).unwrap().common;
        assert_eq!((settings.account.as_deref(), settings.unsafe_private_key), (Some("alice"), None));
        assert!(load_with(file, &["--account", "alice", "--unsafe-private-key", "0x02"]).is_err());
    }

    #[test]
    fn what_the_file_says_wrongly_is_named() {
        for (file, expected) in [
            ("lissten = 1", "lissten"),
            ("config = \"x\"", "config"),
            ("asset = \"x\"", "asset"),
            ("listen = \"nowhere\"", "listen"),
            ("finality_depth = \"many\"", "finality_depth"),
            ("finality_depth = -1", "finality_depth"),
            ("finality_depth = [1]", "finality_depth"),
            ("finality_depth = true", "finality_depth"),
            ("json = \"yes\"", "json"),
            ("json = 1", "json"),
            ("contract = \"0x12\"", "contract"),
            ("[[fee]]\nasset = \"0x00\"", "fee"),
            ("fee = [[1]]", "fee"),
            ("listen = 2020-01-01", "listen"),
        ] {
            match load_with(file, &[]) {
                Err(SettingsError::UnknownKey { key, .. } | SettingsError::Value { key, .. }) => {
                    assert_eq!(key, expected)
                }
                other => panic!("{file}: {other:?}"),
            }
        }
        assert!(matches!(load_with("listen = ", &[]), Err(SettingsError::Toml { .. })));
        let missing = ["example", "--config=/nonexistent/settings.toml"].map(OsString::from);
        assert!(matches!(load::<Example>(missing), Err(SettingsError::Read { .. })));
    }

    #[test]
    fn the_environment_goes_before_the_file_and_after_a_flag() {
        // The variables of this process are everybody's: the test runs itself again with its own.
        if env::var_os("PLASMID_FINALITY_DEPTH").is_none() {
            let test = "settings::tests::the_environment_goes_before_the_file_and_after_a_flag";
            let mut again = std::process::Command::new(env::current_exe().unwrap());
            let variables = [("PLASMID_FINALITY_DEPTH", "9"), ("PLASMID_JSON", "true"), ("PLASMID_L1_URL", "http://e")];
            let output = again.args(["--exact", test]).envs(variables).output().unwrap();
            return assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let file = "listen = \"127.0.0.1:1\"\nfinality_depth = 7\nl1_url = [\"http://a\", \"http://b\"]\n";
        let settings = load_with(file, &[]).unwrap();
        assert_eq!((settings.finality_depth, settings.common.json), (9, true));
        assert_eq!(settings.common.l1_url, ["http://e"]);
        assert_eq!(load_with(file, &["--finality-depth", "8"]).unwrap().finality_depth, 8);
    }
}
