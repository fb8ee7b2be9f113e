//! `plasmid receipt list`: what the operator has promised, and whether it kept it. §1.10, §3.

use std::fmt;

use clap::Subcommand;
use plasmid_exit_game::block::{BodyItem, Header, decode_items};
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::tx_tree;
use plasmid_node::client::Client;
use plasmid_node::wire::{Accepted, form};
use serde::Serialize;

use crate::report::Items;
use crate::session::Session;

/// Most bytes of a block's body that are fetched to look for one leaf.
const BODY_BYTES_MAX: usize = 1 << 30;

/// `plasmid receipt …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the receipts of own payments: open, kept, late or broken
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
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n  {}: transaction {} of block {} by {}",
            self.tx_hash, self.state, self.index, self.block, self.by
        )?;
        self.committed_at.map_or(Ok(()), |committed_at| write!(f, ", committed at {committed_at}"))
    }
}

/// Returns the receipts of the account's own transactions, in the order of their places.
pub(crate) async fn list(session: &Session) -> anyhow::Result<Items<Row>> {
    let wallet = session.wallet(session.settings().address_or_own(None)?).await?;
    let game = session.game().await?;
    let servers = session.servers().unwrap_or_default();
    let mut items = Vec::new();
    for sent in wallet.sent()? {
        let Some(accepted) = sent.accepted() else { continue };
        let receipt = &accepted.receipt;
        let committed_at = game.header(receipt.number).map(|(header, _)| header.timestamp);
        items.push(Row {
            tx_hash: sent.tx_hash,
            block: receipt.number.get(),
            index: receipt.index.get(),
            by: receipt.by,
            committed_at,
            state: standing(&servers, accepted, &game).await?,
        });
    }
    items.sort_by_key(|row| (row.block, row.index));
    Ok(Items { items, none: "no receipts: `plasmid send` keeps those of its payments" })
}

async fn standing(servers: &[Client], accepted: &Accepted, game: &Game) -> anyhow::Result<Standing> {
    let receipt = &accepted.receipt;
    let header = game.header(receipt.number).map(|(header, _)| header);
    let in_time = in_time(receipt.by, header.map(|header| header.timestamp), game);
    let Some(header) = header.filter(|_| in_time != Standing::Broken) else { return Ok(in_time) };
    for server in servers {
        match is_in_place(server, accepted, header).await {
            Some(true) => return Ok(in_time),
            Some(false) => return Ok(Standing::Broken),
            None => {}
        }
    }
    Ok(Standing::Unknown)
}

/// Tells what became of a promise as far as time goes: after `by` it is late, and F after that broken. §3.
fn in_time(by: u64, committed_at: Option<u64>, game: &Game) -> Standing {
    let slashable_after = by.saturating_add(game.periods().freeze_delay());
    match (committed_at, committed_at.unwrap_or(game.now())) {
        (_, then) if then > slashable_after => Standing::Broken,
        (_, then) if then > by => Standing::Late,
        (Some(_), _) => Standing::Kept,
        (None, _) => Standing::Open,
    }
}

/// Tells whether the block holds the promised leaf in its place, if the server can prove it one way or the other.
async fn is_in_place(server: &Client, accepted: &Accepted, header: &Header) -> Option<bool> {
    let receipt = &accepted.receipt;
    if receipt.index.get() >= header.tx_count {
        return Some(false);
    }
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
