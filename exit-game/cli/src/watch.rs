//! `plasmid watch`: the light watcher of own coins. §7

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::Context as _;
use clap::Args;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_light_watcher::report::Report;
use plasmid_light_watcher::watch::{self, Watch, WatchError};
use plasmid_node::client::{Client, ClientLimits};
use plasmid_node::settings::parse_address;
use tokio::process::Command;

use crate::failure::Failure;
use crate::report::Format;
use crate::session::{Progress, Session};

/// Most bytes of a server's reply.
const REPLY_BYTES_MAX: usize = 4 << 20;
/// Looks in the time in which an operator serves a block: one that is withheld is noticed soon after.
const LOOKS_IN_GRACE: u64 = 4;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid watch --account alice --exit
  plasmid watch 0x7099…79C8 --server https://watcher.example --on-alarm ./tell-me
  plasmid watch --once --json --account alice      for cron: exit code 4 if something is wrong, 5 if it cannot be seen

Asks the operator, the watcher and every --server, and believes none of them: proofs are checked against the root chain. With
an account it challenges exits of what its coins were paid with; with --exit coins that nobody shows leave by themselves.")]
pub(crate) struct WatchArgs {
    /// Whose coins [default: the account's]
    #[arg(value_name = "ADDR", value_parser = parse_address)]
    owners: Vec<Address>,
    /// Look once and end
    #[arg(long)]
    once: bool,
    /// Raise an alarm to see that it arrives
    #[arg(long)]
    test_alarm: bool,
    /// Start the exits of the account's coins that nobody shows in the newest block, and of all after a halt
    #[arg(long)]
    exit: bool,
    /// Ask this server, too: an operator or watcher of anybody's
    #[arg(long, value_name = "URL")]
    server: Vec<String>,
    /// Run this program when alarms begin, with the report as JSON on its standard input
    #[arg(long, value_name = "PROGRAM")]
    on_alarm: Option<String>,
    /// Seconds between two looks [default: a quarter of the time in which an operator serves a block]
    #[arg(long, value_name = "SECS")]
    interval_secs: Option<u64>,
    /// Root blocks that must lie on one for it to be final
    #[arg(long, value_name = "BLOCKS", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=128))]
    finality_depth: u64,
}

/// Runs `plasmid watch`.
pub(crate) async fn run(args: &WatchArgs, session: &Session, format: Format) -> anyhow::Result<ExitCode> {
    let mut watching = Watching::open(args, session).await?;
    let grace = session.deployment.periods.grace();
    let interval = Duration::from_secs(args.interval_secs.unwrap_or(grace / LOOKS_IN_GRACE).max(1));
    loop {
        let report = watching.look().await?;
        watching.show(&report, format)?;
        watching.tell(&report).await;
        if args.once {
            let said = watching.watch.finish_acts().await;
            said.iter().for_each(|words| eprintln!("{words}"));
            return Ok(report.exit_code().into());
        }
        match watching.watch.pause(interval).await {
            Ok(said) => said.iter().for_each(|words| eprintln!("{words}")),
            // The next look tells.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

struct Watching<'a> {
    args: &'a WatchArgs,
    session: &'a Session,
    owners: Vec<Address>,
    watch: Watch,
    /// Alarms that somebody was told of.
    told: Vec<String>,
    /// What was shown last.
    shown: String,
}

impl<'a> Watching<'a> {
    async fn open(args: &'a WatchArgs, session: &'a Session) -> anyhow::Result<Self> {
        let settings = session.settings();
        let has_account = settings.account.is_some() || settings.private_key.is_some();
        let sender = if has_account { Some(Arc::new(session.sender().await?)) } else { None };
        let account = sender.as_ref().map(|sender| sender.account().address());
        if args.exit && account.is_none() {
            let what = "nobody's coins can leave without an account: add --account NAME, or leave out --exit";
            return Err(Failure::Usage(what.to_owned()).into());
        }
        let owners = match (args.owners.as_slice(), account) {
            ([], None) => return Err(Failure::Usage("no owner is given: add ADDR or --account NAME".to_owned()).into()),
            ([], Some(account)) => vec![account],
            (owners, _) => owners.to_vec(),
        };
        let urls = [&settings.operator_url, &settings.watcher_url].into_iter().flatten().chain(&args.server);
        let limits = ClientLimits { reply_bytes_max: REPLY_BYTES_MAX, ..ClientLimits::default() };
        let servers =
            urls.map(|url| Client::new(url, limits)).collect::<Result<Vec<_>, _>>().context("use --server")?;
        if servers.is_empty() {
            let what = "no server is given: add --server URL, --operator-url URL or --watcher-url URL";
            return Err(Failure::Usage(what.to_owned()).into());
        }
        session.claim().await?;
        let watching = watch::Settings {
            owners: owners.clone(),
            servers,
            folder: settings.data_dir.join("watch"),
            finality_depth: args.finality_depth,
            leaves: args.exit,
        };
        let senders = sender.into_iter().collect();
        let watch =
            Watch::open(session.root.clone(), session.deployment, watching, senders).context("open the watch")?;
        Ok(Self { args, session, owners, watch, told: Vec::new(), shown: String::new() })
    }

    /// Looks at both chains; that nothing can be seen is a report, too.
    async fn look(&mut self) -> anyhow::Result<Report> {
        let mut signed = Vec::new();
        for &owner in &self.owners {
            for sent in self.session.wallet(owner).await?.sent()? {
                signed.push(SignedTransaction { body: sent.transaction()?, signature: sent.signature });
            }
        }
        let mut progress = Progress::new("reading the root chain's events");
        let looked = async {
            self.watch.catch_up(|at| progress.show(format_args!("{} of {} root blocks", at.done, at.total))).await?;
            self.watch.sign(&signed);
            self.watch.look().await
        };
        let report = match looked.await {
            Ok(report) => report,
            Err(WatchError::Store(error)) => return Err(error.into()),
            Err(error) => self.watch.blind(&error),
        };
        Ok(if self.args.test_alarm { report.with_test() } else { report })
    }

    /// Fills the screen; elsewhere a report is written when it differs from the last one.
    fn show(&mut self, report: &Report, format: Format) -> anyhow::Result<()> {
        let text = report.to_string();
        if format == Format::Text && !self.args.once && io::stdout().is_terminal() {
            print!("\x1b[2J\x1b[H");
            io::stdout().flush()?;
        } else if format == Format::Text && text == self.shown {
            return Ok(());
        }
        self.shown = text;
        format.print(report)
    }

    /// Runs the program that tells a person, once for each alarm that begins.
    async fn tell(&mut self, report: &Report) {
        let names: Vec<_> = report.alarms.iter().map(|alarm| format!("{:?} {:?}", alarm.kind, alarm.coin)).collect();
        let is_news = names.iter().any(|name| !self.told.contains(name));
        self.told = names;
        if let (true, Some(program)) = (is_news, &self.args.on_alarm)
            && let Err(error) = run_program(program, report).await
        {
            eprintln!("{program} could not be told: {error:#}");
        }
    }
}

async fn run_program(program: &str, report: &Report) -> anyhow::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().context("start it")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&serde_json::to_vec(report)?).await.context("write to it")?;
    }
    let status = child.wait().await?;
    anyhow::ensure!(status.success(), "it ended with {status}");
    Ok(())
}
