//! `plasmid exit challenge` of an in-flight exit: what a watcher would show against it, by hand. §6.3, §6.5, §7.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail};
use plasmid_exit_game::exit::in_flight::duty::{self, Act, Duty, Evidence, Inclusion};
use plasmid_exit_game::exit::in_flight::{Piece, SignedTransaction};
use plasmid_exit_game::game::InFlightExit;
use plasmid_exit_game::output::{ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_node::wire::{IncludedTransaction, form};
use plasmid_root_chain::calls::Spend;
use plasmid_root_chain::node::Call;
use serde::Serialize;

use super::open_exit;
use super::view::PieceName;
use crate::amount::shown;
use crate::evidence::sources::Sources;
use crate::exit::plan::{Cost, proof_of};
use crate::failure::Failure;
use crate::report::Items;
use crate::session::{Session, transact};

/// A challenge as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Challenged {
    #[serde(with = "form")]
    tx_hash: TxHash,
    /// The piece that is removed; none if it is the exit's canonicity that is challenged.
    piece: Option<PieceName>,
    /// The transaction that is shown against it.
    #[serde(with = "form")]
    spender: TxHash,
    /// What the challenger wins: of a piece its bond, of canonicity the start's if nobody answers. In wei.
    #[serde(with = "form")]
    reward: u128,
    #[serde(flatten)]
    cost: Cost,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Challenged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.transaction.is_some() { "challenged" } else { "would challenge" };
        write!(f, "{}\n  {what} ", self.tx_hash)?;
        match &self.piece {
            Some(piece) => write!(f, "{piece}")?,
            None => write!(f, "its canonicity")?,
        }
        write!(f, " by {}, for {}: {}", self.spender, shown(self.reward, ETHER), self.cost)
    }
}

/// Shows all that is due against an open in-flight exit, by inclusions in blocks that the watcher found valid.
pub(crate) async fn challenge(
    session: &Session,
    tx_hash: TxHash,
    is_dry_run: bool,
) -> anyhow::Result<Items<Challenged>> {
    let sender = session.sender().await?;
    let account = sender.account().address();
    let sources = Sources::open(session, account, None).await?;
    let exit = open_exit(&sources, tx_hash)?;
    let Some(verified) = sources.verified().await? else {
        let what = "no watcher says which blocks are valid, and a challenge by a block that is not may lose its bond: add \
                    --watcher-url URL";
        return Err(Failure::Refused(what.to_owned()).into());
    };
    let known = Known::find(&sources, exit, verified).await;
    let due = duty::due(&sources.game, &known).into_iter().filter(|duty| duty.tx_hash == tx_hash);
    let mut planned = Vec::new();
    for Duty { act, .. } in due {
        let Some((call, challenge)) = known.plan(session, account, exit, act).await? else { continue };
        planned.push((call, challenge));
    }
    if planned.is_empty() {
        bail!("nothing that is known speaks against the exit of {tx_hash}: it stands");
    }
    let mut items = Vec::with_capacity(planned.len());
    for (call, challenge) in planned {
        let transaction = match is_dry_run {
            true => None,
            false => Some(transact(&sender, &call, "challenge the in-flight exit").await?.transaction),
        };
        items.push(Challenged { transaction, ..challenge });
    }
    Ok(Items { items, none: "" })
}

/// What servers prove of one exit's transaction and of the spends of its coins.
struct Known {
    own: Option<IncludedTransaction>,
    included: BTreeMap<OutputId, IncludedTransaction>,
    signed: BTreeMap<OutputId, SignedTransaction>,
}

impl Known {
    async fn find(sources: &Sources<'_>, exit: &InFlightExit, verified: BlockNumber) -> Self {
        let is_valid = |included: &IncludedTransaction| included.place.block <= verified;
        let own = sources.inclusion(exit.tx_hash).await.filter(is_valid);
        let (mut included, mut signed) = (BTreeMap::new(), BTreeMap::new());
        for input in &exit.data.inputs {
            let spend = sources.included_spend(input.output_id, exit.data.owner).await.filter(is_valid);
            included.extend(spend.map(|spend| (input.output_id, spend)));
        }
        for piece in exit.live_pieces.iter() {
            if let (Piece::Output(_), Some((id, output))) = (piece, exit.coin(piece)) {
                signed.extend(sources.signed_spend(id, output.owner).await.map(|spend| (id, spend)));
            }
        }
        Self { own, included, signed }
    }

    /// Makes the call of an act; `None` for the answer to a competitor, which is no challenge.
    async fn plan(
        &self,
        session: &Session,
        account: Address,
        exit: &InFlightExit,
        act: Act,
    ) -> anyhow::Result<Option<(Call, Challenged)>> {
        let (root, bonds, body) = (&session.root, session.deployment.bonds, &exit.transaction.body);
        let (in_flight_bond, of_piece) =
            (bonds.in_flight_bond_wei, bonds.of_pieces(1, body.inputs().len()).context("a bond passes 128 bits")?);
        let (call, piece, spender, bond, reward) = match act {
            Act::Respond { .. } => return Ok(None),
            Act::ChallengeCanonicity { input, competitor } => {
                let Some(spend) = self.spend_of_input(exit, input) else { return Ok(None) };
                let call = root.challenge_not_canonical(exit.tx_hash, &exit.data, input, &spend, in_flight_bond);
                (call, None, competitor.tx_hash, in_flight_bond, in_flight_bond)
            }
            Act::ChallengePiece { piece: piece @ Piece::Input(input), shown, .. } => {
                let Some(spend) = self.spend_of_input(exit, input) else { return Ok(None) };
                let call = root.challenge_piece_spent(body, Some(&exit.data), piece.number(), &spend);
                (call, Some(piece), shown.tx_hash, 0, of_piece)
            }
            Act::ChallengePiece { piece: piece @ Piece::Output(_), output_id, .. } => {
                let (Some(own), Some(signed)) = (&self.own, self.signed.get(&output_id)) else { return Ok(None) };
                let spend = Spend { transaction: signed.clone(), inclusion: Some(proof_of(own)) };
                let call = root.challenge_piece_spent(body, None, piece.number(), &spend);
                (call, Some(piece), signed.body.hash(), 0, of_piece)
            }
        };
        let cost = Cost::of(root, account, &call, bond).await?;
        let (tx_hash, piece) = (exit.tx_hash, piece.map(PieceName::from));
        Ok(Some((call, Challenged { tx_hash, piece, spender, reward, cost, transaction: None })))
    }

    fn spend_of_input(&self, exit: &InFlightExit, input: u8) -> Option<Spend> {
        let spend = self.included.get(&exit.data.inputs.get(usize::from(input))?.output_id)?;
        Some(Spend { transaction: spend.transaction.clone().into(), inclusion: Some(proof_of(spend)) })
    }
}

impl Evidence for Known {
    fn inclusion(&self, tx_hash: TxHash) -> Option<Inclusion> {
        self.own.as_ref().map(place_of).filter(|own| own.tx_hash == tx_hash)
    }

    fn included_spend(&self, output_id: OutputId) -> Option<Inclusion> {
        self.included.get(&output_id).map(place_of)
    }

    /// What its inputs' places have to say is `plasmid exit improve`'s question.
    fn coin(&self, _output_id: OutputId) -> Option<(Position, Output)> {
        None
    }

    fn has_signed_spend(&self, output_id: OutputId, _owner: Address) -> bool {
        self.signed.contains_key(&output_id)
    }
}

fn place_of(included: &IncludedTransaction) -> Inclusion {
    let tx_hash = included.transaction.body.hash();
    Inclusion { tx_hash, place: included.place, timestamp: included.header.timestamp }
}
