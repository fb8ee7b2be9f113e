//! `plasmid exit process`: paying the exits and the pieces of in-flight exits whose turn has come. §5.2, §6.7.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use clap::Args;
use plasmid_exit_game::exit::in_flight::PieceSet;
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::game::{Game, InFlightExit, PendingExit};
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::{INPUTS_MAX, OUTPUTS_MAX};
use plasmid_node::wire::form;
use plasmid_root_chain::calls::{PROCESS_EXITS_MAX, PieceRecord};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::Landed;
use plasmid_root_chain::sender::Sender;
use serde::Serialize;

use crate::amount::{Asset, shown};
use crate::exit::in_flight::view;
use crate::holdings::void_from;
use crate::report::Items;
use crate::session::{Session, transact};

/// Exits that the decision of one in-flight exit costs as much gas as: it settles up to 16 inputs.
const DECISION_WEIGHT: usize = 2;
// All pieces of one exit fit into a transaction.
const _: () = assert!(INPUTS_MAX + OUTPUTS_MAX + DECISION_WEIGHT <= PROCESS_EXITS_MAX);

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit process --account carol
  plasmid exit process --asset ether --dry-run")]
pub(crate) struct ProcessArgs {
    /// Only exits of this asset: `ether`, or the token's address
    #[arg(long)]
    pub(crate) asset: Option<Asset>,
    /// Show what would be processed, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A processed exit or piece as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Processed {
    /// The coin.
    #[serde(with = "form")]
    pub(crate) id: OutputId,
    /// The exiting payment of which it is a piece.
    #[serde(with = "form")]
    in_flight: Option<TxHash>,
    #[serde(with = "form")]
    asset: Address,
    #[serde(with = "form")]
    payee: Address,
    /// What it was paid, its bond not counted; zero if it was void, its coin settled before, or its side not the one that is
    /// paid. Base units.
    #[serde(with = "form")]
    paid: u128,
    /// Whether the payment failed and waits to be claimed.
    credited: bool,
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Processed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.transaction, self.credited) {
            (None, _) => "would be paid",
            (Some(_), false) => "paid",
            (Some(_), true) => "credited",
        };
        write!(f, "{}\n  {} {how} to {}", self.id, shown(self.paid, self.asset), self.payee)?;
        self.in_flight.map_or(Ok(()), |tx_hash| write!(f, ", in flight with {tx_hash}"))
    }
}

/// An exit whose time has come, in one asset.
#[derive(Debug, Clone)]
enum Due<'a> {
    Standard(&'a PendingExit),
    /// Live pieces of the asset.
    Pieces(&'a InFlightExit, PieceSet),
}

impl Due<'_> {
    fn key(&self) -> u64 {
        match self {
            Self::Standard(exit) => exit.record.key,
            Self::Pieces(exit, _) => exit.key,
        }
    }

    /// How many exits it costs as much gas as.
    fn weight(&self) -> usize {
        match self {
            Self::Standard(_) => 1,
            Self::Pieces(_, pieces) => pieces.len() as usize + DECISION_WEIGHT,
        }
    }

    /// Returns what would be done as things stand.
    fn would(&self, game: &Game, void_from: Option<BlockNumber>) -> Vec<Processed> {
        let blank = |id, in_flight, asset, payee, paid| Processed {
            id,
            in_flight,
            asset,
            payee,
            paid,
            credited: false,
            transaction: None,
        };
        match self {
            Self::Standard(PendingExit { record, payee, settled, .. }) => {
                let paid = if settled.is_some() { 0 } else { record.output.amount };
                vec![blank(record.output_id, None, record.output.asset, *payee, paid)]
            }
            Self::Pieces(exit, pieces) => {
                let decision = view::outlook(exit, game, void_from);
                let due = view::pieces(exit).filter(|(piece, ..)| pieces.has(*piece));
                due.map(|(piece, id, output)| {
                    let is_paid = view::is_paid_by(decision, piece) && !view::is_settled(game, id);
                    let paid = if is_paid { output.amount } else { 0 };
                    blank(id, Some(exit.tx_hash), output.asset, output.owner, paid)
                })
                .collect()
            }
        }
    }
}

/// Pays the exits whose time has come.
pub(crate) async fn process(session: &Session, args: &ProcessArgs) -> anyhow::Result<Items<Processed>> {
    let items = if args.dry_run {
        let (game, void_from) = (session.game().await?, void_from(session).await?);
        let due = due(&game, args.asset, u64::MAX);
        due.values().flatten().flat_map(|due| due.would(&game, void_from)).collect()
    } else {
        pay(session, &session.sender().await?, args.asset, u64::MAX).await?
    };
    Ok(Items { items, none: "no exit is due" })
}

/// Pays the exits whose time has come, those with keys up to `until`, in the order of their keys, as many a transaction as its
/// gas surely suffices for.
pub(crate) async fn pay(
    session: &Session,
    sender: &Sender,
    asset: Option<Asset>,
    until: u64,
) -> anyhow::Result<Vec<Processed>> {
    let mut items = Vec::new();
    loop {
        // Read again for every transaction: others process too, and payments change what the next ones cost.
        let game = session.game().await?;
        let due = due(&game, asset, until);
        let Some((&asset, due)) = due.first_key_value() else { return Ok(items) };
        let chunk = chunk(due);
        let (mut exits, mut pieces) = (Vec::new(), Vec::new());
        for due in chunk {
            match due {
                Due::Standard(exit) => exits.push(exit.record),
                Due::Pieces(exit, which) => pieces.push(PieceRecord {
                    body: exit.transaction.body.clone(),
                    data: exit.data.clone(),
                    pieces: *which,
                }),
            }
        }
        let what = format!("process {} of {} exits of {}", chunk.len(), due.len(), Asset(asset));
        let receipt = transact(sender, &session.root.process_exits(asset, &exits, &pieces), &what).await?;
        let done = processed(session, asset, &receipt)?;
        if done.is_empty() {
            eprintln!("{what}: nothing was done; somebody else may have been first");
            return Ok(items);
        }
        items.extend(done);
    }
}

/// Returns what is due with a key up to `until`, by asset, in the order of keys.
fn due(game: &Game, asset: Option<Asset>, until: u64) -> BTreeMap<Address, Vec<Due<'_>>> {
    let until = until.min(game.now());
    let mut due: BTreeMap<Address, Vec<Due<'_>>> = BTreeMap::new();
    for exit in game.pending_exits().filter(|exit| exit.record.key <= until) {
        due.entry(exit.record.output.asset).or_default().push(Due::Standard(exit));
    }
    for exit in game.in_flight_exits().filter(|exit| exit.key <= until) {
        let mut by_asset: BTreeMap<Address, PieceSet> = BTreeMap::new();
        for (piece, _, output) in view::pieces(exit).filter(|(piece, ..)| exit.live_pieces.has(*piece)) {
            let pieces = by_asset.entry(output.asset).or_default();
            *pieces = pieces.with(PieceSet::from_iter([piece]));
        }
        for (asset, pieces) in by_asset {
            due.entry(asset).or_default().push(Due::Pieces(exit, pieces));
        }
    }
    due.retain(|&of, _| asset.is_none_or(|asset| asset.0 == of));
    due.values_mut().for_each(|due| due.sort_by_key(Due::key));
    due
}

/// Returns the first ones that a transaction surely has the gas for, one at least.
fn chunk<'a, 'b>(due: &'b [Due<'a>]) -> &'b [Due<'a>] {
    let mut weight = 0;
    let fits = due.iter().take_while(|due| {
        weight += due.weight();
        weight <= PROCESS_EXITS_MAX
    });
    &due[..fits.count().max(1).min(due.len())]
}

/// Returns what a processing call did, by its events.
fn processed(session: &Session, asset: Address, receipt: &Landed) -> anyhow::Result<Vec<Processed>> {
    let contract = session.root.contract();
    let done = |id, in_flight, payee, paid, credited| {
        let transaction = Some(receipt.transaction);
        Processed { id, in_flight, asset, payee, paid, credited, transaction }
    };
    let mut all = Vec::new();
    for log in receipt.logs.iter().filter(|log| log.address == contract) {
        match decode_event(contract, log).context("understand the contract's events")? {
            RootEvent::ExitPaid { output_id, payee, paid, credited, .. } => {
                all.push(done(output_id, None, payee, paid, credited));
            }
            RootEvent::ExitReturned { output_id, payee } => all.push(done(output_id, None, payee, 0, false)),
            RootEvent::InFlight { tx_hash, step } => match *step {
                InFlightStep::Decided(decision) => {
                    eprintln!("the exiting payment {tx_hash} is decided: {}", view::word(decision));
                }
                InFlightStep::PiecePaid { output_id, payee, paid, credited, .. } => {
                    all.push(done(output_id, Some(tx_hash), payee, paid, credited));
                }
                InFlightStep::PieceReturned { output_id, payee, .. } => {
                    all.push(done(output_id, Some(tx_hash), payee, 0, false));
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use plasmid_exit_game::exit::standard::ExitRecord;
    use plasmid_exit_game::output::{ETHER, Output};
    use plasmid_exit_game::position::Position;

    use super::*;

    #[test]
    fn a_transaction_is_given_no_more_than_its_gas_suffices_for() {
        let output = Output { owner: Address::repeat_byte(1), asset: ETHER, amount: 1 };
        let position = Position::of_deposit(0).unwrap();
        let record = ExitRecord { output_id: OutputId(B256::ZERO), position, output, key: 5 };
        let exit = PendingExit { record, payee: output.owner, started_in: 1, settled: None };
        let many = vec![Due::Standard(&exit); PROCESS_EXITS_MAX + 3];
        assert_eq!(chunk(&many).len(), PROCESS_EXITS_MAX);
        assert_eq!(chunk(&many[..2]).len(), 2);
        assert!(chunk(&[]).is_empty());
    }
}
