//! `plasmid exit in-flight`: starting the exit of a payment. §6.1, §7.

use std::fmt;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, anyhow, bail};
use plasmid_exit_game::exit::in_flight::{InFlightData, InputData, OldestPlace, PieceSet, SignedTransaction};
use plasmid_exit_game::game::InFlightExit;
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_node::wire::evidence::{CoinOrigin, EvidenceCoin, EvidenceTransaction};
use plasmid_node::wire::{IncludedTransaction, form};
use serde::Serialize;

use super::view::{self, Shown, is_settled};
use super::{Acting, RiskArgs, input_proof};
use crate::evidence::sources::Sources;
use crate::exit::plan::Cost;
use crate::failure::Failure;
use crate::session::Settings;

/// A started exit as it is shown; of a dry run as it would start now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    #[serde(flatten)]
    exit: Shown,
    #[serde(flatten)]
    cost: Cost,
    /// What the bond risks.
    warnings: Vec<String>,
    /// The root-chain transaction that started it; none in a dry run.
    #[serde(with = "form")]
    transaction: Option<B256>,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.exit)?;
        let what = if self.transaction.is_some() { "exit started" } else { "exit would start" };
        write!(f, "  {what}: {}", self.cost)?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  warning: {warning}"))
    }
}

/// Runs `plasmid exit in-flight`.
pub(crate) async fn run(args: &RiskArgs, settings: &Settings) -> anyhow::Result<Started> {
    let acting = Acting::open(&args.common, settings).await?;
    let (root, tx_hash) = (&acting.session.root, acting.tx_hash);
    let sources = acting.sources().await?;
    if sources.game.in_flight_exit(tx_hash).is_some() {
        bail!(
            "an in-flight exit of {tx_hash} is open already: `plasmid exit piggyback {tx_hash}` claims your pieces of it, \
             `plasmid exit status {tx_hash}` shows how far it is"
        );
    }
    let included = sources.inclusion(tx_hash).await;
    let payment = sources.payment(tx_hash, included.as_ref()).await;
    let payment = payment.map_err(|reason| anyhow!("{tx_hash} cannot exit in flight: {reason}"))?;
    let exit = planned(&acting, &sources, &payment)?;
    let risks = Risks::find(&acting, &sources, &exit, included.as_ref()).await?;
    if let (Some(lost), false) = (&risks.lost, args.risk_bond) {
        bail!(Failure::Refused(format!("{lost}. --risk-bond starts the exit all the same")));
    }

    let proofs = payment.inputs.iter().map(input_proof).collect::<Result<Vec<_>, _>>()?;
    let bond = acting.session.deployment.bonds.in_flight_bond_wei;
    let call = root.start_in_flight_exit(&exit.transaction, &proofs, bond);
    let cost = Cost::of(root, acting.account(), &call, bond).await?;
    let warnings: Vec<_> = risks.lost.into_iter().chain(risks.warnings).collect();
    if !acting.is_dry_run {
        warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
    let landed = acting.send(&call, "start the in-flight exit").await?;
    let exit = Shown::new(&acting.after(exit, landed.as_ref())?, &sources.game, sources.void_from);
    Ok(Started { exit, cost, warnings, transaction: landed.map(|receipt| receipt.transaction) })
}

/// Returns the exit as it would start now.
fn planned(acting: &Acting, sources: &Sources<'_>, payment: &EvidenceTransaction) -> anyhow::Result<InFlightExit> {
    let (periods, start) = (sources.game.periods(), sources.game.now());
    let transaction = PlacedTransaction::decode(&payment.body, &payment.witness).context("read the payment")?;
    let inputs = payment.inputs.iter().map(input_data).collect::<Result<Vec<_>, _>>()?;
    // A transaction exits with the maximum over all its inputs. §4
    let key = inputs.iter().map(|input| periods.exit_key(start, input.created())).max().unwrap_or(start);
    let owner = payment.inputs.first().map_or(Address::ZERO, |input| input.output.owner);
    Ok(InFlightExit {
        tx_hash: payment.tx_hash,
        transaction: SignedTransaction::from(transaction),
        data: InFlightData { starter: acting.account(), owner, inputs },
        start,
        key,
        live_pieces: PieceSet::NONE,
        challenged_pieces: PieceSet::NONE,
        oldest: OldestPlace::Nobodys,
        challenger: None,
        decision: None,
        started_in: 0,
    })
}

/// Returns an input as the contract will keep it.
pub(super) fn input_data(coin: &EvidenceCoin) -> anyhow::Result<InputData> {
    let created_at = match coin.verify().context("read the proof of an input's creation")? {
        CoinOrigin::Deposit(_) => 0,
        CoinOrigin::Transaction(included) => included.header.timestamp,
    };
    let EvidenceCoin { id: output_id, position, output, .. } = *coin;
    Ok(InputData { output_id, position, created_at, asset: output.asset, amount: output.amount })
}

/// What a start risks.
struct Risks {
    /// Why its bond is lost, as far as anybody can tell.
    lost: Option<String>,
    /// Why it may be.
    warnings: Vec<String>,
}

impl Risks {
    async fn find(
        acting: &Acting,
        sources: &Sources<'_>,
        exit: &InFlightExit,
        included: Option<&IncludedTransaction>,
    ) -> anyhow::Result<Self> {
        let (account, owner, tx_hash) = (acting.account(), exit.data.owner, exit.tx_hash);
        let mut warnings = Vec::new();
        if view::pieces(exit).all(|(_, _, output)| output.owner != account) {
            warnings.push(format!("no input and no output of it is {account}'s: you put up the bond for others"));
        }
        if owner != account {
            warnings.push(format!(
                "{owner} made this payment, not you, and may have signed another one over its coins: whoever shows an older one, \
                 or one while this is in no block, takes your bond"
            ));
        }
        let mut lost = None;
        let mut settled = 0;
        for InputData { output_id, .. } in &exit.data.inputs {
            if is_settled(&sources.game, *output_id) {
                settled += 1;
                warnings.push(format!(
                    "input {output_id} has left already: this exit pays no output, and of the inputs the others alone"
                ));
            }
            let others = sources.signed.get(output_id).into_iter().flatten().filter(|&&other| other != tx_hash);
            warnings.extend(others.map(|other| {
                format!(
                    "you have signed {other} over {output_id}, too: exit both in flight; whoever shows one against the other \
                     takes your bond"
                )
            }));
            if let Some(spend) = sources.included_spend(*output_id, owner).await
                && spend.transaction.body.hash() != tx_hash
                && included.is_none_or(|included| spend.place < included.place)
            {
                lost = Some(format!(
                    "{} spends input {output_id} of {tx_hash}, too, and stands as {}: whoever shows that takes the bond",
                    spend.transaction.body.hash(),
                    spend.place
                ));
            }
        }
        if settled == exit.data.inputs.len() {
            bail!("every input of {tx_hash} has left already: nothing would be paid");
        }
        Ok(Self { lost, warnings })
    }
}
