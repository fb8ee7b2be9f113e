//! `plasmid exit piggyback`: claiming all own pieces of an open exit, inputs and outputs. §6.2, §7.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail};
use plasmid_exit_game::exit::in_flight::{Piece, PieceSet};
use plasmid_exit_game::game::InFlightExit;
use plasmid_exit_game::output::{ETHER, OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::wire::{IncludedTransaction, form};
use plasmid_root_chain::node::Call;
use serde::Serialize;

use super::view::{self, PieceName, Shown, Times, is_settled};
use super::{Acting, RiskArgs, open_exit};
use crate::amount::shown;
use crate::evidence::sources::Sources;
use crate::exit::plan::{Cost, hint};
use crate::failure::Failure;
use crate::session::Settings;

/// Claimed pieces as they are shown; of a dry run as they would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Piggybacked {
    #[serde(flatten)]
    exit: Shown,
    /// One for each asset.
    claims: Vec<Claim>,
    left_out: Vec<LeftOut>,
}

/// The pieces of one asset.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    #[serde(with = "form")]
    asset: Address,
    pieces: Vec<PieceName>,
    /// The part of the bonds that goes to whoever processes the pieces, in wei.
    #[serde(with = "form")]
    bounty: u128,
    #[serde(flatten)]
    cost: Cost,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

/// An own piece that is not claimed.
#[derive(Debug, Serialize)]
struct LeftOut {
    #[serde(flatten)]
    piece: PieceName,
    reason: String,
}

impl fmt::Display for Piggybacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.exit)?;
        for Claim { pieces, bounty, cost, transaction, .. } in &self.claims {
            let what = if transaction.is_some() { "piggybacked" } else { "would be piggybacked" };
            let pieces: Vec<_> = pieces.iter().map(PieceName::to_string).collect();
            write!(f, "\n  {what}: {}: {cost} (bounty {})", pieces.join(", "), shown(*bounty, ETHER))?;
        }
        self.left_out.iter().try_for_each(|LeftOut { piece, reason }| write!(f, "\n  left out: {piece}: {reason}"))
    }
}

/// Runs `plasmid exit piggyback`.
pub(crate) async fn run(args: &RiskArgs, settings: &Settings) -> anyhow::Result<Piggybacked> {
    let acting = Acting::open(&args.common, settings).await?;
    let (account, tx_hash) = (acting.account(), acting.tx_hash);
    let sources = acting.sources().await?;
    let mut exit = open_exit(&sources, tx_hash)?.clone();
    let end = Times::of(&exit, &sources.game.periods()).first_half_ends;
    if sources.game.now() >= end {
        bail!("the first half of the exit of {tx_hash} ended at {end}: nothing of it can be piggybacked any more");
    }
    let Own { safe, left_out } = Own::find(&sources, &exit, account, args.risk_bond).await?;
    if safe.is_empty() {
        if let Some(LeftOut { piece, reason }) = left_out.first() {
            let what = format!("no piece of {tx_hash} can be piggybacked safely: {piece}: {reason}");
            return Err(Failure::Refused(what).into());
        }
        bail!(
            "{tx_hash} has no piece of {account}'s that is not piggybacked: `plasmid exit status {tx_hash}` shows whose they are"
        );
    }
    if !acting.is_dry_run {
        left_out.iter().for_each(|LeftOut { piece, reason }| eprintln!("left out: {piece}: {reason}"));
    }

    // All are looked at before the first is claimed: a mistake in one must not leave half of them done.
    let mut planned = Vec::with_capacity(safe.len());
    for (asset, pieces) in safe {
        planned.push(plan(&acting, &exit, asset, pieces).await?);
    }
    let mut claims = Vec::with_capacity(planned.len());
    for (call, claim) in planned {
        let landed = acting.send(&call, "piggyback").await?;
        exit = acting.after(exit, landed.as_ref())?;
        claims.push(Claim { transaction: landed.map(|receipt| receipt.transaction), ..claim });
    }
    Ok(Piggybacked { exit: Shown::new(&exit, &sources.game, sources.void_from), claims, left_out })
}

/// Plans the claim of pieces of one asset.
async fn plan(acting: &Acting, exit: &InFlightExit, asset: Address, pieces: PieceSet) -> anyhow::Result<(Call, Claim)> {
    let (root, bonds) = (&acting.session.root, acting.session.deployment.bonds);
    let inputs = exit.data.inputs.len();
    let too_much = "the bonds pass 128 bits";
    let bond = bonds.of_pieces(pieces.len(), inputs).context(too_much)?;
    let bounty = bonds.piece_bounty_per_input_wei.checked_mul(inputs as u128);
    let bounty = bounty.and_then(|bounty| bounty.checked_add(bonds.piece_bounty_wei)?.checked_mul(pieces.len().into()));
    let hint = hint(root, asset, exit.key).await?;
    let call = root.piggyback(&exit.transaction.body, Some(&exit.data), pieces, hint, bond);
    let claim = Claim {
        asset,
        pieces: pieces.iter().map(PieceName::from).collect(),
        bounty: bounty.context(too_much)?,
        cost: Cost::of(root, acting.account(), &call, bond).await?,
        transaction: None,
    };
    Ok((call, claim))
}

/// The account's pieces that are not claimed yet.
struct Own {
    /// By asset: a call takes those of one.
    safe: BTreeMap<Address, PieceSet>,
    left_out: Vec<LeftOut>,
}

impl Own {
    async fn find(
        sources: &Sources<'_>,
        exit: &InFlightExit,
        account: Address,
        risk_bond: bool,
    ) -> anyhow::Result<Self> {
        let known = Known { included: sources.inclusion(exit.tx_hash).await, verified: sources.verified().await? };
        let (mut safe, mut left_out) = (BTreeMap::<Address, PieceSet>::new(), Vec::new());
        let own =
            view::pieces(exit).filter(|&(piece, _, output)| output.owner == account && !exit.live_pieces.has(piece));
        for (piece, id, output) in own {
            let obstacle = if is_settled(&sources.game, id) {
                Some("it has left already".to_owned())
            } else if exit.challenged_pieces.has(piece) && !risk_bond {
                Some("it was challenged away by a spend, with which anybody can do so again".to_owned())
            } else {
                known.risk(sources, exit, piece, id, account).await.filter(|_| !risk_bond)
            };
            match obstacle {
                Some(reason) => left_out.push(LeftOut { piece: piece.into(), reason }),
                None => {
                    let pieces = safe.entry(output.asset).or_default();
                    *pieces = pieces.with(PieceSet::from_iter([piece]));
                }
            }
        }
        Ok(Self { safe, left_out })
    }
}

/// What is known of the exit's own transaction.
struct Known {
    included: Option<IncludedTransaction>,
    /// The last block that the watcher found valid, if one is asked.
    verified: Option<BlockNumber>,
}

impl Known {
    /// Returns why a piece's bond may be lost, if it may.
    async fn risk(
        &self,
        sources: &Sources<'_>,
        exit: &InFlightExit,
        piece: Piece,
        id: OutputId,
        owner: Address,
    ) -> Option<String> {
        match piece {
            Piece::Input(_) => {
                let spend = sources.included_spend(id, owner).await?;
                let (hash, place) = (spend.transaction.body.hash(), spend.place);
                let freeze = Times::of(exit, &sources.game.periods()).freeze;
                let is_challenge = hash != exit.tx_hash && spend.header.timestamp <= freeze;
                is_challenge.then(|| format!("{hash} spends it as {place}: whoever shows that takes the bond"))
            }
            Piece::Output(_) => {
                let signed = sources.signed.get(&id).and_then(|by| by.first()).copied();
                let by = match signed {
                    Some(by) => by,
                    None => sources.signed_spend(id, owner).await?.body.hash(),
                };
                self.risk_of_signed_away(sources, exit, by)
            }
        }
    }

    /// An output that was signed away is piggybacked only once its payment cannot be in a block any more that counts, and is in
    /// none that is valid. §7
    fn risk_of_signed_away(&self, sources: &Sources<'_>, exit: &InFlightExit, by: TxHash) -> Option<String> {
        let Times { signed_away_until, first_half_ends, .. } = Times::of(exit, &sources.game.periods());
        let signed = format!(
            "you have signed {by} over it, and whoever shows that with a block that holds the payment takes the bond"
        );
        if sources.game.now() <= signed_away_until {
            return Some(format!("{signed}: try again after {signed_away_until} and before {first_half_ends}"));
        }
        let Some(verified) = self.verified else {
            return Some(format!(
                "{signed}, and no watcher says whether a valid block does: add --watcher-url URL, or --risk-bond"
            ));
        };
        let included = self.included.as_ref().filter(|included| included.place.block <= verified)?;
        Some(format!("{signed}: it stands as {}", included.place))
    }
}
