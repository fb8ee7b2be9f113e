//! `plasmid receipt list` and `prove`: what the operator has promised, and whether it kept it. §1.10, §3.

use std::fmt;

use alloy_primitives::B256;
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

pub(crate) mod prove;

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
    /// Slash the operator for a receipt that it broke, for half of the slash
    Prove(prove::ProveArgs),
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

/// What is known of a receipt.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) row: Row,
    /// The header of the promised block, once it is committed.
    pub(crate) header: Option<Header>,
    /// How it is broken, if it is.
    pub(crate) breach: Option<Breach>,
}

/// How a receipt is broken, with what shows it.
#[derive(Debug)]
pub(crate) struct Breach {
    /// Whether the promised place shows it, and not time alone.
    is_about_place: bool,
    /// The leaf that stands in the promised place, with its way to the block's root; none where the block ends before.
    held: Option<(B256, Vec<B256>)>,
    /// Root-chain time, in seconds, from which on nobody is slashed for it any more.
    until: u64,
}

/// Returns the receipts of the account's own transactions, in the order of their places.
pub(crate) async fn list(session: &Session) -> anyhow::Result<Items<Row>> {
    let wallet = session.wallet(session.settings().address_or_own(None)?).await?;
    let game = session.game().await?;
    let servers = session.servers().unwrap_or_default();
    let mut items = Vec::new();
    for sent in wallet.sent()? {
        let Some(accepted) = sent.accepted() else { continue };
        items.push(look(&servers, accepted, &game).await.row);
    }
    items.sort_by_key(|row| (row.block, row.index));
    Ok(Items { items, none: "no receipts: `plasmid send` keeps those of its payments" })
}

/// Looks what became of a receipt.
async fn look(servers: &[Client], accepted: &Accepted, game: &Game) -> Found {
    let receipt = &accepted.receipt;
    let header = game.header(receipt.number).map(|(header, _)| *header);
    let (state, reason, breach) = standing(servers, accepted, header.as_ref(), game).await;
    let row = Row {
        tx_hash: accepted.tx_hash,
        block: receipt.number.get(),
        index: receipt.index.get(),
        by: receipt.by,
        committed_at: header.map(|header| header.timestamp),
        state,
        reason,
    };
    Found { row, header, breach }
}

type Judged = (Standing, Option<String>, Option<Breach>);

async fn standing(servers: &[Client], accepted: &Accepted, header: Option<&Header>, game: &Game) -> Judged {
    let number = accepted.receipt.number;
    let is_over = game.halt().is_some() || game.closed_at().is_some();
    if game.is_void(number) || (header.is_none() && is_over) {
        let what = "the chain is halted or closed: promises of its later blocks ended with it";
        return (Standing::Void, Some(what.to_owned()), None);
    }
    let in_time = in_time(accepted.receipt.by, header.map(|header| header.timestamp), game);
    let is_provable = in_time.2.as_ref().is_some_and(|breach| game.now() < breach.until);
    let Some(header) = header.filter(|_| !is_provable) else { return in_time };
    let until = header.timestamp.saturating_add(game.periods().minimum_exit_period.saturating_mul(2));
    // Absence beyond the last leaf is shown by the header alone. §1.7
    if accepted.receipt.index.get() >= header.tx_count {
        let breach = Breach { is_about_place: true, held: None, until };
        return (Standing::Broken, Some(format!("block {number} ends before its place")), Some(breach));
    }
    for server in servers {
        match held_leaf(server, accepted, header).await {
            Some((leaf, _)) if leaf == accepted.receipt.leaf => return in_time,
            Some(held) => {
                let breach = Breach { is_about_place: true, held: Some(held), until };
                return (Standing::Broken, Some(format!("block {number} does not hold it in its place")), Some(breach));
            }
            None => {}
        }
    }
    if in_time.0 == Standing::Broken {
        return in_time;
    }
    (Standing::Unknown, Some(format!("nobody shows what block {number} holds in its place: name another server")), None)
}

/// Tells what became of a promise as far as time goes: after `by` it is late, and F after that broken. §3.
fn in_time(by: u64, committed_at: Option<u64>, game: &Game) -> Judged {
    let slashable_after = by.saturating_add(game.periods().freeze_delay());
    match (committed_at, committed_at.unwrap_or(game.now())) {
        (_, then) if then > by => {
            let what = if committed_at.is_some() { "was committed" } else { "is still not committed" };
            let reason = Some(format!("its block {what} {} s after its time", then - by));
            if then <= slashable_after {
                return (Standing::Late, reason, None);
            }
            let until = slashable_after.saturating_add(game.periods().minimum_exit_period);
            (Standing::Broken, reason, Some(Breach { is_about_place: false, held: None, until }))
        }
        (Some(_), _) => (Standing::Kept, None, None),
        (None, _) => (Standing::Open, None, None),
    }
}

/// Returns the leaf that the block holds in the promised place, with its way to the block's root, if the server can show it.
async fn held_leaf(server: &Client, accepted: &Accepted, header: &Header) -> Option<(B256, Vec<B256>)> {
    let index = accepted.receipt.index;
    if let Ok(inclusion) = server.inclusion(OutputId::of_output(accepted.tx_hash, 0)).await
        && let Ok(included) = inclusion.verify()
        && included.header == *header
        && included.place.index == index
    {
        let transaction = &included.transaction;
        return Some((tx_tree::leaf(transaction.body.hash(), transaction.witness.hash()), included.path));
    }
    let bytes = server.body(header.number, BODY_BYTES_MAX).await.ok()?;
    let leaves: Vec<_> = decode_items(&bytes, header.tx_count).ok()?.iter().map(BodyItem::leaf).collect();
    let is_body = leaves.len() == header.tx_count as usize && tx_tree::root(&leaves) == header.tx_root;
    let index = index.get() as usize;
    is_body.then(|| Some((leaves[index], tx_tree::path(&leaves, index)?))).flatten()
}
