//! `plasmid evidence export`: the account's coins and unfinished payments, each with everything that its exit shows.
//!
//! Only what stands at finality depth goes in: a reorganisation would stale the rest. Every proof is held against the root
//! chain before it is written. A file that is there already is a source like the wallet, so that exporting again never
//! loses a proof; a file of anything else is not written over.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use plasmid_exit_game::facts::RootRef;
use plasmid_node::wire::evidence::{EVIDENCE_FORMAT, Evidence};
use plasmid_node::wire::{RootBlock, form};
use serde::Serialize;

use super::file::{self, FileError};
use super::gather::{Gathered, Gatherer};
use super::other_branch;
use super::sources::Sources;
use crate::failure::Failure;
use crate::holdings::first_answer;
use crate::report::Format;
use crate::session::Session;

/// Root blocks that make anything final where neither the user nor a server says less.
const FINALITY_DEPTH: u64 = 64;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid evidence export bob.json --account bob
  plasmid evidence export --account bob > bob.json

Keep the file where neither this machine's end nor the operator's reaches it, and export again after every payment:
`plasmid exit start --evidence bob.json` then needs a node of the root chain and nothing else, and so does `plasmid exit
in-flight TX --evidence bob.json` for a payment by or to the account that is in no valid and final block yet. Whoever is paid
can leave with the payer's file, too.")]
pub(crate) struct ExportArgs {
    /// Where to write it, for its owner alone [default: standard output]
    file: Option<PathBuf>,
    /// Root blocks that must lie on one for it to be final [default: as deep as the server's last final block, at most 64]
    #[arg(long, value_name = "BLOCKS")]
    finality_depth: Option<u64>,
}

/// A written file as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    path: PathBuf,
    exported_at: RootBlock,
    coins: usize,
    transactions: usize,
    left_out: Vec<LeftOut>,
}

/// A coin or transaction that does not go into the file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LeftOut {
    /// Its name.
    #[serde(with = "form")]
    pub(crate) id: alloy_primitives::B256,
    /// Why.
    pub(crate) reason: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, exported_at, coins, transactions, left_out } = self;
        writeln!(f, "{}: {coins} coins, {transactions} unfinished payments", path.display())?;
        write!(f, "as of root block {}, {} left out", exported_at.number, left_out.len())
    }
}

/// Runs `plasmid evidence export`.
pub(crate) async fn run(args: &ExportArgs, session: &Session, format: Format) -> anyhow::Result<()> {
    let owner = session.settings().address_or_own(None)?;
    let earlier = args.file.as_deref().map(|path| earlier(path, session, owner)).transpose()?.flatten();
    let sources = Sources::open(session, owner, earlier.as_ref()).await?;
    if sources.servers.is_empty() {
        eprintln!(
            "no server is named: only what the wallet holds is exported (--operator-url or --watcher-url adds one)"
        );
    }
    let final_at = final_at(&sources, args.finality_depth, earlier.as_ref()).await?;
    let gathered = Gatherer::new(&sources, owner, final_at.number).await?.gather().await?;
    let Gathered { coins, transactions, left_out } = gathered;
    for LeftOut { id, reason } in &left_out {
        eprintln!("left out: {id}: {reason}");
    }
    let evidence = Evidence {
        format: EVIDENCE_FORMAT.to_owned(),
        chain_id: session.deployment.chain_id,
        contract: session.deployment.contract,
        exported_at: final_at.into(),
        coins,
        transactions,
    };
    let Some(path) = &args.file else { return print(&evidence, format) };
    file::write(path, &evidence)?;
    format.print(&Report {
        path: path.clone(),
        exported_at: evidence.exported_at,
        coins: evidence.coins.len(),
        transactions: evidence.transactions.len(),
        left_out,
    })
}

/// Writes the file itself on stdout.
fn print(evidence: &Evidence, format: Format) -> anyhow::Result<()> {
    struct Pretty<'a>(&'a Evidence);
    impl fmt::Display for Pretty<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&serde_json::to_string_pretty(self.0).map_err(|_| fmt::Error)?)
        }
    }
    impl Serialize for Pretty<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }
    format.print(&Pretty(evidence))
}

/// Returns the file that would be written over, if there is one.
///
/// # Errors
///
/// [`Failure::Refused`] if it is anything but evidence of the same deployment and owner.
fn earlier(path: &Path, session: &Session, owner: alloy_primitives::Address) -> anyhow::Result<Option<Evidence>> {
    let refused = |why: &str| {
        Failure::Refused(format!(
            "{} {why}: it is not written over; name another file, or move it away",
            path.display()
        ))
    };
    let evidence = match file::read(path) {
        Err(FileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(FileError::Form { .. } | FileError::TooLarge { .. }) => {
            return Err(refused("is there already and is no evidence file, or a damaged one").into());
        }
        read => read?,
    };
    let deployment = &session.deployment;
    if (evidence.chain_id, evidence.contract) != (deployment.chain_id, deployment.contract) {
        return Err(refused("holds evidence of another chain or contract").into());
    }
    if evidence.coins.iter().any(|coin| coin.output.owner != owner) {
        return Err(refused("holds somebody else's coins").into());
    }
    Ok(Some(evidence))
}

/// Returns the newest root block that counts as final.
///
/// How deep is deep enough is the deployment's choice, which only its servers know. Without a depth from the user, the newest
/// of these counts: a deep one, the one that holds a server's last final block, and the one that an earlier export took. A
/// server that lies about it can make a file go stale by a reorganisation, and nothing else.
async fn final_at(sources: &Sources<'_>, depth: Option<u64>, earlier: Option<&Evidence>) -> anyhow::Result<RootRef> {
    let Sources { session, servers, game, .. } = sources;
    let head = game.at().context("the root chain has no blocks")?.number;
    let mut number = head.saturating_sub(depth.unwrap_or(FINALITY_DEPTH));
    if depth.is_none() {
        if let Some(earlier) = earlier
            && other_branch(session, earlier).await?.is_none()
        {
            number = number.max(earlier.exported_at.number);
        }
        if !servers.is_empty() {
            let status = first_answer(servers, async |server| server.status().await).await;
            let (_, status) = status.context("ask a server which block is final")?;
            number = number.max(game.header(status.block.final_).map_or(0, |(_, made_in)| made_in.number));
        }
    }
    let block = session.root.node().block_by_number(number).await.context("read a final root block")?;
    let gone = || Failure::Unreachable(format!("the node has lost root block {number}: try again, or another node"));
    Ok(block.ok_or_else(gone)?.at)
}
