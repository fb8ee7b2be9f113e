//! `plasmid evidence …`: one file with which coins leave by the root chain alone. INTERFACES *Files*, §7.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`mod@file`] | reading a file strictly, writing it in one step and for its owner alone |
//! | [`proof`] | what a file's own bytes prove, and what they do not |
//! | [`check`] | what the root chain says to them, as a report |
//! | [`sources`] | the oldest proofs that wallet, file, servers and the root chain itself have of a coin or payment |
//! | [`gather`] | the account's coins and unfinished payments with everything that their exits show |
//! | [`export`] | which root block counts as final, and writing them down |

use anyhow::Context as _;
use clap::Subcommand;
use plasmid_node::wire::RootBlock;
use plasmid_node::wire::evidence::Evidence;

use crate::failure::Failure;
use crate::report::Format;
use crate::session::{Session, Settings};

pub(crate) mod check;
pub(crate) mod export;
pub(crate) mod file;
mod gather;
pub(crate) mod proof;
pub(crate) mod sources;

/// `plasmid evidence …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write all that is needed to exit own coins with a root-chain node alone
    Export(export::ExportArgs),
    /// Check such a file, against the root chain or by itself
    Check(check::CheckArgs),
}

/// Runs `plasmid evidence …`.
pub(crate) async fn run(command: &Command, settings: &Settings, format: Format) -> anyhow::Result<()> {
    match command {
        Command::Export(args) => export::run(args, &Session::open(settings).await?, format).await,
        Command::Check(args) => check::run(args, settings, format).await,
    }
}

/// Opens the deployment that a file is of: the one that the settings name, if they name one.
///
/// # Errors
///
/// [`Failure::Refused`] if the file is of another contract or of another root chain.
pub(crate) async fn session(settings: &Settings, evidence: &Evidence) -> anyhow::Result<Session> {
    refuse_other_contract(settings, evidence)?;
    let settings = Settings { contract: Some(evidence.contract), ..settings.clone() };
    let session = Session::open(&settings).await?;
    let chain_id = session.deployment.chain_id;
    if chain_id != evidence.chain_id {
        let what = format!("the file is of root chain {}, and the node follows {chain_id}", evidence.chain_id);
        return Err(Failure::Refused(what).into());
    }
    Ok(session)
}

/// Refuses a file of another contract than the settings name; a file of any contract if they name none.
fn refuse_other_contract(settings: &Settings, evidence: &Evidence) -> anyhow::Result<()> {
    match settings.contract.filter(|&contract| contract != evidence.contract) {
        None => Ok(()),
        Some(contract) => {
            let what = format!("the file is of contract {}, not of {contract}", evidence.contract);
            Err(Failure::Refused(what).into())
        }
    }
}

/// Returns why the root chain is not the one on which the file was exported, if it is not.
pub(crate) async fn other_branch(session: &Session, evidence: &Evidence) -> anyhow::Result<Option<String>> {
    let RootBlock { number, hash } = evidence.exported_at;
    let block = session.root.node().block_by_number(number).await;
    let block = block.context("look for the root block at which the file was exported")?;
    Ok(match block {
        Some(block) if block.at.hash == hash => None,
        Some(block) => Some(format!("root block {number} is {}, but the file was exported at {hash}", block.at.hash)),
        None => Some(format!("the file was exported at root block {number}, which the root chain does not have")),
    })
}
