//! `plasmid exit start`.

use std::fmt;

use alloy_primitives::B256;
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plasmid_exit_game::output::OutputId;
use plasmid_node::client::Client;
use plasmid_node::wire::evidence::EvidenceCoin;
use plasmid_node::wire::form;
use plasmid_root_chain::client::CoinWord;
use serde::Serialize;

use crate::amount::shown;
use crate::coins::parse_id;
use crate::exit::plan::{BadBlock, Plan, Terms};
use crate::failure::Failure;
use crate::holdings::{self, is_exiting, is_settled};
use crate::report::Items;
use crate::session::{Session, transact};
use crate::wallet::store::{Wallet, signed_for};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit start 0x83c1…77aa --dry-run
  plasmid exit start 0x83c1…77aa 0x1b09…c0de --account alice")]
pub(crate) struct StartArgs {
    /// Ids of the coins
    #[arg(required = true, value_name = "COIN", value_parser = parse_id)]
    pub(crate) coins: Vec<OutputId>,
    /// Show bond, gas, key and deadline, and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// An exit as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    #[serde(with = "form")]
    pub(crate) id: OutputId,
    #[serde(flatten)]
    pub(crate) terms: Terms,
    /// The root-chain transaction that started it; none in a dry run.
    #[serde(with = "form")]
    pub(crate) transaction: Option<B256>,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.transaction.is_some() { "exit started" } else { "exit would start" };
        write!(f, "{}\n  {what}: {}", self.id, self.terms)
    }
}

/// Starts the exits, one transaction each.
pub(crate) async fn start(session: &Session, args: &StartArgs) -> anyhow::Result<Items<Started>> {
    let sender = session.sender().await?;
    let owner = sender.account().address();
    let wallet = session.wallet(owner).await?;
    let bad = BadBlock::find(session).await?;
    // All are looked at before the first starts: a mistake in one must not leave half of them done.
    let mut planned = Vec::with_capacity(args.coins.len());
    for &id in &args.coins {
        let evidence = evidence_for(session, &wallet, id).await?;
        if evidence.output.owner != owner {
            bail!(Failure::Refused(format!("{id} belongs to {}, not to {owner}", evidence.output.owner)));
        }
        planned.push((id, Plan::make(session, &evidence, bad).await?));
    }
    let mut items = Vec::with_capacity(planned.len());
    for (id, plan) in planned {
        let transaction = if args.dry_run {
            None
        } else {
            eprintln!("exit of {id}: {}", plan.terms);
            Some(transact(&sender, &plan.call, "start the exit").await?.transaction)
        };
        items.push(Started { id, terms: plan.terms, transaction });
    }
    Ok(Items { items, none: "" })
}

/// Returns the checked proof of the coin's creation, if an exit of it would stand.
async fn evidence_for(session: &Session, wallet: &Wallet, id: OutputId) -> anyhow::Result<EvidenceCoin> {
    let word = session.root.coin(id).await.context("read the coin's word on the root chain")?;
    if is_exiting(&word) {
        bail!("{id} is exiting already: `plasmid exit status {id}` shows how far it is");
    }
    if is_settled(&word) {
        bail!("{id} has left already: it was settled with freeze time {}", word.state);
    }
    let sent = wallet.sent()?;
    if let Some(by) =
        signed_for(&sent).context("read the wallet's own transactions")?.get(&id).and_then(|by| by.first())
    {
        bail!(Failure::Refused(format!(
            "you have signed {by} over {id}: anybody who has that transaction can end this exit and take the bond. If it is in \
             no block, exit it in flight instead"
        )));
    }
    let servers = session.servers().unwrap_or_default();
    for server in &servers {
        refuse_if_spent(session, server, id).await?;
    }
    find_evidence(session, wallet, &servers, id, &word).await
}

async fn refuse_if_spent(session: &Session, server: &Client, id: OutputId) -> anyhow::Result<()> {
    let asked = async { holdings::proven_spend(session, server, &server.coin(id).await?).await };
    match asked.await {
        Ok(Some(spend)) => {
            let what = format!(
                "{id} is spent by {}, and {} has the owner's signature: anybody can end this exit with it and take the bond",
                spend.tx_hash,
                server.url()
            );
            Err(Failure::Refused(what).into())
        }
        // What a server cannot prove does not keep anybody from leaving.
        Ok(None) => Ok(()),
        Err(error) if holdings::is_not_found(&error) => Ok(()),
        Err(error) => {
            eprintln!("{}: whether the coin is spent is not known: {error}", server.url());
            Ok(())
        }
    }
}

async fn find_evidence(
    session: &Session,
    wallet: &Wallet,
    servers: &[Client],
    id: OutputId,
    word: &CoinWord,
) -> anyhow::Result<EvidenceCoin> {
    let known = wallet.coins()?.remove(&id);
    if let Some(known) = known
        && holdings::verify(session, &known, word).await?.is_ok()
    {
        return Ok(known);
    }
    if servers.is_empty() {
        let what = "the wallet has no proof of the coin's creation: add --operator-url URL or --watcher-url URL";
        return Err(Failure::Usage(what.to_owned()).into());
    }
    let holding = holdings::holding(session, id, Some(wallet)).await.context("ask for the coin")?;
    let evidence = holding.proof.map_err(|reason| anyhow!("the creation of {id} is not proven: {reason}"))?;
    eprintln!("{id}: {} proven to {}", shown(evidence.output.amount, evidence.output.asset), evidence.output.owner);
    wallet.save_coin(&evidence)?;
    Ok(evidence)
}
