//! `plasmid exit in-flight`, `improve`, `piggyback`, `respond` and `close`: a payment leaves whose inclusion is unknown. §6.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`start`] | starting the exit of a payment, and what that risks |
//! | [`improve`] | older places of its inputs |
//! | [`piggyback`] | claiming all own pieces of it, but those whose bond would be lost |
//! | [`challenge`] | what a watcher would show against it, by hand |
//! | [`finish`] | answering a competitor, and ending it |
//! | [`view`] | the exit as it is shown |

use std::path::PathBuf;

use alloy_primitives::Address;
use anyhow::{Context as _, anyhow};
use clap::Args;
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::game::InFlightExit;
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::PositionKind;
use plasmid_node::wire::evidence::{CoinOrigin, Evidence, EvidenceCoin};
use plasmid_root_chain::calls::InputProof;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Call, Landed};
use plasmid_root_chain::sender::Sender;

use crate::evidence::sources::Sources;
use crate::exit::from_file;
use crate::exit::plan::proof_of;
use crate::send::parse_hash;
use crate::session::{Session, Settings, transact};

pub(crate) mod challenge;
pub(crate) mod finish;
pub(crate) mod improve;
pub(crate) mod piggyback;
pub(crate) mod start;
pub(crate) mod view;

// No doc comments on these two: clap would take them for each command's own.
#[derive(Debug, Args)]
pub(crate) struct InFlightArgs {
    /// The payment's hash
    #[arg(value_name = "TX", value_parser = parse_hash)]
    tx_hash: TxHash,
    /// Look for proofs in this file of `plasmid evidence export`, too: no operator and no watcher is needed
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Show costs, times and who must act, and send nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RiskArgs {
    #[command(flatten)]
    common: InFlightArgs,
    /// Go on where somebody could take the bond
    #[arg(long)]
    risk_bond: bool,
}

/// One of these commands at work.
struct Acting {
    session: Session,
    file: Option<Evidence>,
    sender: Sender,
    tx_hash: TxHash,
    is_dry_run: bool,
}

impl Acting {
    /// Opens the deployment: an evidence file's own where there is one.
    async fn open(args: &InFlightArgs, settings: &Settings) -> anyhow::Result<Self> {
        let (session, file) = match &args.evidence {
            None => (Session::open(settings).await?, None),
            Some(path) => {
                let from_file::Opened { session, evidence } = from_file::open(path, settings).await?;
                (session, Some(evidence))
            }
        };
        let sender = session.sender().await?;
        Ok(Self { session, file, sender, tx_hash: args.tx_hash, is_dry_run: args.dry_run })
    }

    /// Returns who acts.
    fn account(&self) -> Address {
        self.sender.account().address()
    }

    /// Asks everybody who may know something.
    async fn sources(&self) -> anyhow::Result<Sources<'_>> {
        Sources::open(&self.session, self.account(), self.file.as_ref()).await
    }

    /// Sends the call, unless this is a dry run.
    async fn send(&self, call: &Call, what: &str) -> anyhow::Result<Option<Landed>> {
        if self.is_dry_run {
            return Ok(None);
        }
        transact(&self.sender, call, what).await.map(Some)
    }

    /// Returns the exit as a start, improvement or piggyback leaves it; after a dry run as it was planned.
    fn after(&self, mut exit: InFlightExit, receipt: Option<&Landed>) -> anyhow::Result<InFlightExit> {
        let contract = self.session.root.contract();
        for log in receipt.into_iter().flat_map(|receipt| &receipt.logs).filter(|log| log.address == contract) {
            match decode_event(contract, log).context("understand the contract's events")? {
                RootEvent::InFlight { tx_hash, step } if tx_hash == exit.tx_hash => take(&mut exit, *step),
                _ => {}
            }
        }
        Ok(exit)
    }
}

/// Takes in a step that starts an exit or changes its data or pieces.
fn take(exit: &mut InFlightExit, step: InFlightStep) {
    match step {
        InFlightStep::Started { data, start, key, .. } => (exit.data, exit.start, exit.key) = (data, start, key),
        InFlightStep::Improved { key, data } => (exit.key, exit.data) = (key, data),
        InFlightStep::Piggybacked { pieces, .. } => exit.live_pieces = exit.live_pieces.with(pieces),
        _ => {}
    }
}

/// Returns the open exit of a payment.
fn open_exit<'a>(sources: &'a Sources<'_>, tx_hash: TxHash) -> anyhow::Result<&'a InFlightExit> {
    sources.game.in_flight_exit(tx_hash).ok_or_else(|| {
        anyhow!("no in-flight exit of {tx_hash} is open: `plasmid exit in-flight {tx_hash}` starts one, `plasmid exit list` shows \
                 those that are")
    })
}

/// Returns what shows an input to the contract. §6.1
fn input_proof(coin: &EvidenceCoin) -> anyhow::Result<InputProof> {
    let origin = coin.verify().context("read the proof of an input's creation")?;
    Ok(match (origin, coin.position.kind()) {
        (CoinOrigin::Deposit(deposit), _) => InputProof::Deposit(deposit),
        (CoinOrigin::Transaction(included), PositionKind::Output(_, output_index)) => InputProof::Output {
            creation: included.transaction.body.clone(),
            output_index,
            inclusion: proof_of(&included),
        },
        (CoinOrigin::Transaction(_), PositionKind::Deposit(_)) => {
            return Err(anyhow!("input {} was paid, and its proof places it among the deposits", coin.id));
        }
    })
}
