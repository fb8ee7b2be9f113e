//! `plasmid exit …`: the exit game from an owner's and a watcher's side.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`plan`] | what an exit would cost, when it would pay and until when it is in time |
//! | [`start`] | starting exits |
//! | [`from_file`] | which coins of an evidence file can start one |
//! | [`in_flight`] | payments whose inclusion is unknown: start, improve, piggyback, respond, close |
//! | [`challenge`] | ending somebody's exit of a spent coin |
//! | [`pending`] | the exits as they stand |
//! | [`process`] | paying exits and pieces whose turn has come |
//! | [`payout`] | handing on claims, taking credits |

use clap::Subcommand;

use crate::report::Format;
use crate::session::{Session, Settings};

pub(crate) mod challenge;
pub(crate) mod from_file;
mod in_flight;
mod payout;
pub(crate) mod pending;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod start;

/// `plasmid exit …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start standard exits of own coins
    Start(start::StartArgs),
    /// Start the exit of a payment whose inclusion is unknown or too late
    #[command(before_help = "Examples:
  plasmid exit in-flight 0x1f3a…90cc --dry-run
  plasmid exit in-flight 0x1f3a…90cc --account alice
  plasmid exit in-flight 0x1f3a…90cc --evidence alice.json --l1-url http://127.0.0.1:8545 --account alice

Who starts it gets nothing by that: `plasmid exit piggyback` claims inputs and outputs, until half a period after the start.
Whoever is paid, and has no body of the payment, asks its payer for a file of `plasmid evidence export`.")]
    InFlight(in_flight::RiskArgs),
    /// Show older places of the inputs of an exiting payment, lest it waits for too long
    #[command(before_help = "Examples:
  plasmid exit improve 0x1f3a…90cc --dry-run
  plasmid exit improve 0x1f3a…90cc --evidence alice.json --l1-url http://127.0.0.1:8545 --account alice")]
    Improve(in_flight::InFlightArgs),
    /// Claim all own inputs and outputs of an exiting payment
    #[command(before_help = "Examples:
  plasmid exit piggyback 0x1f3a…90cc --dry-run
  plasmid exit piggyback 0x1f3a…90cc --account bob
  plasmid exit piggyback 0x1f3a…90cc --evidence bob.json --l1-url http://127.0.0.1:8545 --account bob

Claim all that is yours: outputs are paid if the payment is canonical, inputs if it is not, and either side's bonds return. A
piece whose bond somebody could take is left out; if it is the only one, the exit code is 3.")]
    Piggyback(in_flight::RiskArgs),
    /// Answer a competitor by the block that holds the payment, and take the challenger's bond
    #[command(before_help = "Examples:
  plasmid exit respond 0x1f3a…90cc --dry-run
  plasmid exit respond 0x1f3a…90cc --evidence alice.json --l1-url http://127.0.0.1:8545 --account alice")]
    Respond(in_flight::InFlightArgs),
    /// End the exit of a payment that is over: its bonds go where they belong
    #[command(before_help = "Examples:
  plasmid exit close 0x1f3a…90cc --dry-run
  plasmid exit close 0x1f3a…90cc --account alice")]
    Close(in_flight::InFlightArgs),
    /// End an exit of a spent coin, or show what speaks against an exiting payment, for the bonds
    Challenge(challenge::ChallengeArgs),
    /// List the pending exits and exiting payments
    List,
    /// Show how far the exit of a coin or payment is
    Status(pending::StatusArgs),
    /// Pay the exits whose time has come, and earn their bounties
    Process(process::ProcessArgs),
    /// Hand the claim to an exit to somebody else
    Assign(payout::AssignArgs),
    /// Take what a failed payment left behind
    Claim,
}

/// Runs `plasmid exit …`.
pub(crate) async fn run(command: &Command, settings: &Settings, format: Format) -> anyhow::Result<()> {
    let session = async || Session::open(settings).await;
    match command {
        // A file says which deployment it is of.
        Command::Start(args) => format.print(&start::run(args, settings).await?),
        Command::InFlight(args) => format.print(&in_flight::start::run(args, settings).await?),
        Command::Improve(args) => format.print(&in_flight::improve::run(args, settings).await?),
        Command::Piggyback(args) => format.print(&in_flight::piggyback::run(args, settings).await?),
        Command::Respond(args) => format.print(&in_flight::finish::respond(args, settings).await?),
        Command::Close(args) => format.print(&in_flight::finish::close(args, settings).await?),
        Command::Challenge(args) => format.print(&challenge::challenge(&session().await?, args).await?),
        Command::List => format.print(&pending::list(&session().await?).await?),
        Command::Status(args) => format.print(&pending::status(&session().await?, args).await?),
        Command::Process(args) => format.print(&process::process(&session().await?, args).await?),
        Command::Assign(args) => format.print(&payout::assign(&session().await?, args).await?),
        Command::Claim => format.print(&payout::claim(&session().await?).await?),
    }
}
