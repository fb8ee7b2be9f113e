//! `plasmid exit start`.

use std::fmt;
use std::path::PathBuf;

use alloy_primitives::B256;
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::OutputId;
use plasmid_node::client::Client;
use plasmid_node::wire::evidence::EvidenceCoin;
use plasmid_node::wire::form;
use plasmid_root_chain::client::CoinWord;
use serde::Serialize;

use crate::amount::shown;
use crate::coins::parse_id;
use crate::exit::from_file;
use crate::exit::plan::{BadBlock, Plan, Terms};
use crate::failure::Failure;
use crate::holdings::{self, is_exiting, is_settled};
use crate::report::Items;
use crate::session::{Session, Settings, transact};
use crate::wallet::store::{Wallet, signed_for};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid exit start 0x83c1…77aa --dry-run
  plasmid exit start 0x83c1…77aa 0x1b09…c0de --account alice
  plasmid exit start --evidence alice.json --l1-url http://127.0.0.1:8545 --account alice")]
pub(crate) struct StartArgs {
    /// Ids of the coins; with --evidence none means all that can exit
    #[arg(required_unless_present = "evidence", value_name = "COIN", value_parser = parse_id)]
    pub(crate) coins: Vec<OutputId>,
    /// Take the proofs from this file of `plasmid evidence export`: no operator and no watcher is needed
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: Option<PathBuf>,
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

/// Runs `plasmid exit start`.
pub(crate) async fn run(args: &StartArgs, settings: &Settings) -> anyhow::Result<Items<Started>> {
    match &args.evidence {
        None => start(&Session::open(settings).await?, &args.coins, args.dry_run).await,
        Some(file) => {
            let opened = from_file::open(file, settings).await?;
            let session = &opened.session;
            let owner = session.account()?.address();
            let coins = opened.coins(&session.wallet(owner).await?, owner, &args.coins).await?;
            start_all(session, &coins, args.dry_run).await
        }
    }
}

/// Starts the exits of coins by what wallet and servers know of them.
pub(crate) async fn start(session: &Session, coins: &[OutputId], dry_run: bool) -> anyhow::Result<Items<Started>> {
    let wallet = session.wallet(session.account()?.address()).await?;
    let game = session.game().await?;
    let mut found = Vec::with_capacity(coins.len());
    for &id in coins {
        found.push(evidence_for(session, &wallet, &game, id).await?);
    }
    start_all(session, &found, dry_run).await
}

/// Starts the exits, one transaction each.
async fn start_all(session: &Session, coins: &[EvidenceCoin], dry_run: bool) -> anyhow::Result<Items<Started>> {
    let sender = session.sender().await?;
    let owner = sender.account().address();
    let bad = BadBlock::find(session).await?;
    let void_from = holdings::void_from(session).await?;
    // All are looked at before the first starts: a mistake in one must not leave half of them done.
    let mut planned = Vec::with_capacity(coins.len());
    for coin in coins {
        if coin.output.owner != owner {
            bail!(Failure::Refused(format!("{} belongs to {}, not to {owner}", coin.id, coin.output.owner)));
        }
        if holdings::is_void(coin.position, void_from) {
            let what = format!(
                "the block that made {} is void: nothing of it leaves by itself, only the payment that made it, in flight",
                coin.id
            );
            return Err(Failure::Refused(what).into());
        }
        planned.push((coin.id, Plan::make(session, coin, bad).await?));
    }
    let mut items = Vec::with_capacity(planned.len());
    for (id, plan) in planned {
        let transaction = if dry_run {
            None
        } else {
            eprintln!("exit of {id}: {}", plan.terms);
            Some(transact(&sender, &plan.call, "start the exit").await?.transaction)
        };
        items.push(Started { id, terms: plan.terms, transaction });
    }
    Ok(Items { items, none: "no coin is left to exit" })
}

/// Returns the checked proof of the coin's creation, if an exit of it would stand.
async fn evidence_for(session: &Session, wallet: &Wallet, game: &Game, id: OutputId) -> anyhow::Result<EvidenceCoin> {
    let word = session.root.coin(id).await.context("read the coin's word on the root chain")?;
    match obstacle(session, wallet, game, id, &word).await? {
        Some(obstacle) => Err(obstacle),
        None => find_evidence(session, wallet, &session.servers().unwrap_or_default(), id, &word).await,
    }
}

/// Returns why an exit of the coin would not stand, if it would not. Fails only if that cannot be found out.
pub(crate) async fn obstacle(
    session: &Session,
    wallet: &Wallet,
    game: &Game,
    id: OutputId,
    word: &CoinWord,
) -> anyhow::Result<Option<anyhow::Error>> {
    if is_exiting(word) {
        return Ok(Some(anyhow!("{id} is exiting already: `plasmid exit status {id}` shows how far it is")));
    }
    if is_settled(word) {
        return Ok(Some(anyhow!("{id} has left already: it was settled with freeze time {}", word.state)));
    }
    if let Some(exit) = game.in_flight_exits_of_input(id).next() {
        let what = format!(
            "the payment {tx_hash}, which spends {id}, exits in flight: its signature is on the root chain, and anybody can end \
             another exit of the coin with it and take the bond. Claim the coin there: `plasmid exit piggyback {tx_hash}`",
            tx_hash = exit.tx_hash
        );
        return Ok(Some(Failure::Refused(what).into()));
    }
    let sent = wallet.sent()?;
    let signed = signed_for(&sent).context("read the wallet's own transactions")?;
    if let Some(by) = signed.get(&id).and_then(|by| by.first()) {
        let what = format!(
            "you have signed {by} over {id}: anybody who has that transaction can end this exit and take the bond. If it is in \
             no block, exit it in flight instead: `plasmid exit in-flight {by}`"
        );
        return Ok(Some(Failure::Refused(what).into()));
    }
    for server in session.servers().unwrap_or_default() {
        let asked = async { holdings::proven_spend(session, &server, &server.coin(id).await?).await };
        match asked.await {
            Ok(Some(spend)) => {
                let what = format!(
                    "{id} is spent by {}, and {} has the owner's signature: anybody can end this exit with it and take the bond",
                    spend.tx_hash,
                    server.url()
                );
                return Ok(Some(Failure::Refused(what).into()));
            }
            // What a server cannot prove does not keep anybody from leaving.
            Ok(None) => {}
            Err(error) if holdings::is_not_found(&error) => {}
            Err(error) => eprintln!("{}: whether the coin is spent is not known: {error}", server.url()),
        }
    }
    Ok(None)
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
        let what = "the wallet has no proof of the coin's creation: add --operator-url URL, --watcher-url URL, or --evidence FILE";
        return Err(Failure::Usage(what.to_owned()).into());
    }
    let holding = holdings::holding(session, id, Some(wallet)).await.context("ask for the coin")?;
    let evidence = holding.proof.map_err(|reason| anyhow!("the creation of {id} is not proven: {reason}"))?;
    eprintln!("{id}: {} proven to {}", shown(evidence.output.amount, evidence.output.asset), evidence.output.owner);
    wallet.save_coin(&evidence)?;
    Ok(evidence)
}
