//! `plasmid exit …`: the exit game from an owner's and a watcher's side.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`plan`] | what an exit would cost, when it would pay and until when it is in time |
//! | [`start`] | starting exits |
//! | [`from_file`] | which coins of an evidence file can start one |
//! | [`challenge`] | ending somebody's exit of a spent coin |
//! | [`pending`] | the exits as they stand |
//! | [`payout`] | paying exits, handing on claims, taking credits |

use clap::Subcommand;

use crate::report::Format;
use crate::session::{Session, Settings};

pub(crate) mod challenge;
mod from_file;
pub(crate) mod payout;
pub(crate) mod pending;
pub(crate) mod plan;
pub(crate) mod start;

/// `plasmid exit …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start standard exits of own coins
    Start(start::StartArgs),
    /// End an exit of a spent coin, and take its bond
    Challenge(challenge::ChallengeArgs),
    /// List the pending exits
    List,
    /// Show how far the exit of a coin is
    Status(pending::StatusArgs),
    /// Pay the exits whose time has come, and earn their bounties
    Process(payout::ProcessArgs),
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
        Command::Challenge(args) => format.print(&challenge::challenge(&session().await?, args).await?),
        Command::List => format.print(&pending::list(&session().await?).await?),
        Command::Status(args) => format.print(&pending::status(&session().await?, args).await?),
        Command::Process(args) => format.print(&payout::process(&session().await?, args).await?),
        Command::Assign(args) => format.print(&payout::assign(&session().await?, args).await?),
        Command::Claim => format.print(&payout::claim(&session().await?).await?),
    }
}
