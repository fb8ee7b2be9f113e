//! `plasmid receipt list`: what the operator has promised, and whether it kept it. §1.10, §3.

use std::fmt;

use anyhow::Context as _;
use clap::Subcommand;
use plasmid_exit_game::block::{BodyItem, Header, decode_items};
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::tx_tree;
use plasmid_node::client::Client;
use plasmid_node::wire::{Accepted, form};
use plasmid_root_chain::client::ChildChain;
use serde::Serialize;

use crate::report::Items;
use crate::session::Session;

/// Most bytes of a block's body that are fetched to look for one leaf.
const BODY_BYTES_MAX: usize = 1 << 30;

/// `plasmid receipt …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the receipts of own payments: open, kept, late, broken or void
    #[command(
        before_help = "Examples:\n  plasmid receipt list --account alice\n  plasmid receipt list --account alice --json"
    )]
    List,
}

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Its time is not over, and its block not committed.
    Open,
    /// The block was committed in time, with the transaction in its place.
    Kept,
    /// The promised time is over, by less than a freeze delay.
    Late,
    /// It is over by more, or the block was committed without the transaction in its place: slashable.
    Broken,
    /// A fault has voided its block, or ended the chain before it: the promise ended with it, and is not slashable.
    Void,
    /// The block is committed, but nobody shows whether the transaction is in its place.
    Unknown,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Kept => "kept",
            Self::Late => "late",
            Self::Broken => "broken",
            Self::Void => "void",
            Self::Unknown => "unknown",
        })
    }
}

/// A receipt as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    #[serde(with = "form")]
    tx_hash: TxHash,
    block: u64,
    index: u32,
    /// When the block was promised at the latest, in seconds.
    by: u64,
    /// When it was committed, in seconds.
    committed_at: Option<u64>,
    state: Standing,
    /// What makes it late or broken, or why nothing is known.
    reason: Option<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n  {}: transaction {} of block {} by {}",
            self.tx_hash, self.state, self.index, self.block, self.by
        )?;
        if let Some(committed_at) = self.committed_at {
            write!(f, ", committed at {committed_at}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, "\n  {reason}"))
    }
}

/// Returns the receipts of the account's own transactions, in the order of their places.
pub(crate) async fn list(session: &Session) -> anyhow::Result<Items<Row>> {
    let wallet = session.wallet(session.settings().address_or_own(None)?).await?;
    let game = session.game().await?;
    let child_chain = session.root.child_chain().await.context("read the child chain's state")?;
    let servers = session.servers().unwrap_or_default();
    let mut items = Vec::new();
    for sent in wallet.sent()? {
        let Some(accepted) = sent.accepted() else { continue };
        let receipt = &accepted.receipt;
        let header = game.header(receipt.number).map(|(header, _)| header);
        let (state, reason) = standing(&servers, accepted, header, &child_chain, &game).await;
        items.push(Row {
            tx_hash: sent.tx_hash,
            block: receipt.number.get(),
            index: receipt.index.get(),
            by: receipt.by,
            committed_at: header.map(|header| header.timestamp),
            state,
            reason,
        });
    }
    items.sort_by_key(|row| (row.block, row.index));
    Ok(Items { items, none: "no receipts: `plasmid send` keeps those of its payments" })
}

async fn standing(
    servers: &[Client],
    accepted: &Accepted,
    header: Option<&Header>,
    child_chain: &ChildChain,
    game: &Game,
) -> (Standing, Option<String>) {
    let number = accepted.receipt.number;
    let is_over = child_chain.halted_from.is_some() || child_chain.closed_at.is_some();
    if child_chain.halted_from.is_some_and(|from| number >= from) || (header.is_none() && is_over) {
        return (
            Standing::Void,
            Some("the chain is halted or closed: promises of its later blocks ended with it".to_owned()),
        );
    }
    let in_time = in_time(accepted.receipt.by, header.map(|header| header.timestamp), game);
    let Some(header) = header.filter(|_| in_time.0 != Standing::Broken) else { return in_time };
    // Absence beyond the last leaf is shown by the header alone. §1.7
    if accepted.receipt.index.get() >= header.tx_count {
        return (Standing::Broken, Some(format!("block {number} ends before its place")));
    }
    for server in servers {
        match is_in_place(server, accepted, header).await {
            Some(true) => return in_time,
            Some(false) => return (Standing::Broken, Some(format!("block {number} does not hold it in its place"))),
            None => {}
        }
    }
    (Standing::Unknown, Some(format!("nobody shows what block {number} holds in its place: name another server")))
}

/// Tells what became of a promise as far as time goes: after `by` it is late, and F after that broken. §3.
fn in_time(by: u64, committed_at: Option<u64>, game: &Game) -> (Standing, Option<String>) {
    let slashable_after = by.saturating_add(game.periods().freeze_delay());
    match (committed_at, committed_at.unwrap_or(game.now())) {
        (_, then) if then > by => {
            let state = if then > slashable_after { Standing::Broken } else { Standing::Late };
            let what = if committed_at.is_some() { "was committed" } else { "is still not committed" };
            (state, Some(format!("its block {what} {} s after its time", then - by)))
        }
        (Some(_), _) => (Standing::Kept, None),
        (None, _) => (Standing::Open, None),
    }
}

/// Tells whether the block holds the promised leaf in its place, if the server can prove it one way or the other.
async fn is_in_place(server: &Client, accepted: &Accepted, header: &Header) -> Option<bool> {
    let receipt = &accepted.receipt;
    if let Ok(inclusion) = server.inclusion(OutputId::of_output(accepted.tx_hash, 0)).await
        && let Ok(included) = inclusion.verify()
        && included.header == *header
        && included.place.index == receipt.index
    {
        let leaf = tx_tree::leaf(accepted.tx_hash, included.transaction.witness.hash());
        return Some(leaf == receipt.leaf && included.transaction.body.hash() == accepted.tx_hash);
    }
    let bytes = server.body(header.number, BODY_BYTES_MAX).await.ok()?;
    let leaves: Vec<_> = decode_items(&bytes, header.tx_count).ok()?.iter().map(BodyItem::leaf).collect();
    let is_body = leaves.len() == header.tx_count as usize && tx_tree::root(&leaves) == header.tx_root;
    is_body.then(|| leaves[receipt.index.get() as usize] == receipt.leaf)
}
