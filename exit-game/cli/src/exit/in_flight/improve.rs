//! `plasmid exit improve`: older places of an exit's inputs, so that nobody makes it younger than it is. §6.1.

use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;

use alloy_primitives::B256;
use anyhow::bail;
use plasmid_exit_game::exit::in_flight::{InputData, Piece, PieceSet};
use plasmid_exit_game::game::InFlightExit;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::Position;
use plasmid_node::wire::evidence::EvidenceCoin;
use plasmid_node::wire::form;
use serde::Serialize;

use super::start::input_data;
use super::view::{self, Shown, Times};
use super::{Acting, InFlightArgs, input_proof, open_exit};
use crate::evidence::sources::Sources;
use crate::exit::plan::{Cost, hint};
use crate::session::Settings;

/// An improved exit as it is shown; of a dry run as it would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Improved {
    #[serde(flatten)]
    exit: Shown,
    #[serde(flatten)]
    cost: Cost,
    improvements: Vec<Improvement>,
    /// The key that it had.
    former_key: u64,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

/// An input with an older place.
#[derive(Debug, Serialize)]
struct Improvement {
    #[serde(with = "form")]
    id: OutputId,
    #[serde(with = "form")]
    from: Position,
    #[serde(with = "form")]
    to: Position,
}

impl fmt::Display for Improved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.exit)?;
        for Improvement { id, from, to } in &self.improvements {
            writeln!(f, "  input {id}: from {from} to {to}")?;
        }
        let what = if self.transaction.is_some() { "improved" } else { "would be improved" };
        write!(f, "  {what} from key {} to {}: {}", self.former_key, self.exit.times.key, self.cost)
    }
}

/// Runs `plasmid exit improve`.
pub(crate) async fn run(args: &InFlightArgs, settings: &Settings) -> anyhow::Result<Improved> {
    let acting = Acting::open(args, settings).await?;
    let (root, tx_hash) = (&acting.session.root, acting.tx_hash);
    let sources = acting.sources().await?;
    let (exit, periods) = (open_exit(&sources, tx_hash)?, sources.game.periods());
    let end = Times::of(exit, &periods).first_half_ends;
    if sources.game.now() >= end {
        bail!("the first half of the exit of {tx_hash} ended at {end}: its places stay as they are");
    }
    let older = older_places(&sources, exit).await;
    if older.is_empty() {
        bail!(
            "no older place of an input of {tx_hash} is known: --evidence FILE, --operator-url URL or --watcher-url URL may show one"
        );
    }

    let mut improved = exit.clone();
    for (index, coin) in &older {
        improved.data.inputs[usize::from(*index)] = input_data(coin)?;
    }
    let keys = improved.data.inputs.iter().map(|input| periods.exit_key(exit.start, input.created()));
    improved.key = keys.max().unwrap_or(exit.key);
    let which: PieceSet = older.iter().map(|&(index, _)| Piece::Input(index)).collect();
    let proofs = older.iter().map(|(_, coin)| input_proof(coin)).collect::<Result<Vec<_>, _>>()?;
    let hints = hints(&acting, &improved).await?;
    let call = root.improve_in_flight_exit(&exit.transaction.body, &exit.data, which, &proofs, &hints);
    let cost = Cost::of(root, acting.account(), &call, 0).await?;
    let landed = acting.send(&call, "improve the in-flight exit").await?;
    let improvements = older.iter().map(|(index, coin)| Improvement {
        id: coin.id,
        from: exit.data.inputs[usize::from(*index)].position,
        to: coin.position,
    });
    Ok(Improved {
        improvements: improvements.collect(),
        former_key: exit.key,
        exit: Shown::new(&acting.after(improved, landed.as_ref())?, &sources.game, sources.void_from),
        cost,
        transaction: landed.map(|receipt| receipt.transaction),
    })
}

/// Returns the inputs for which an older place than the exit's is known, each with its proof there.
async fn older_places(sources: &Sources<'_>, exit: &InFlightExit) -> Vec<(u8, EvidenceCoin)> {
    let mut older = Vec::new();
    for (index, &InputData { output_id, position, .. }) in (0u8..).zip(&exit.data.inputs) {
        if let Ok(coin) = sources.creation(output_id).await
            && coin.position < position
        {
            older.push((index, coin));
        }
    }
    older
}

/// Returns a hint for each live piece's asset, and zero for all other inputs and outputs: they are not counted over.
async fn hints(acting: &Acting, improved: &InFlightExit) -> anyhow::Result<Vec<u64>> {
    let mut of_assets = BTreeMap::new();
    for (piece, _, output) in view::pieces(improved) {
        if let (true, Entry::Vacant(asset)) = (improved.live_pieces.has(piece), of_assets.entry(output.asset)) {
            asset.insert(hint(&acting.session.root, output.asset, improved.key).await?);
        }
    }
    Ok(view::pieces(improved).map(|(_, _, output)| of_assets.get(&output.asset).copied().unwrap_or(0)).collect())
}
