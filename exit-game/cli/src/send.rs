//! `plasmid send`: money across. What a wallet may sign, and what it keeps of it. §1.10, §7.
//!
//! The order of steps makes a kill harmless: a signed transaction is in the wallet before the operator sees it, and its
//! receipt is in the wallet before success is reported. Whatever is unanswered at the next start is sent again, the same
//! bytes, to which the operator gives the same answer.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::client::Client;
use plasmid_node::settings::parse_address;
use plasmid_node::wire::form::{self, Form as _};
use plasmid_node::wire::{CoinState, Receipt};
use plasmid_root_chain::account::Account;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use self::delivery::refusal;
use crate::amount::{Amount, Asset, shown};
use crate::failure::Failure;
use crate::holdings::{self, Holding};
use crate::session::{Progress, Session};
use crate::wallet::selection::{Payment, Plan, SelectionError, Spend, Spendable, plan};
use crate::wallet::store::{Outcome, SentTransaction, SigningLock, Wallet, signed_for};

mod delivery;

/// How long another command may be signing for the same account.
const LOCK_SECS_MAX: u64 = 120;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  plasmid send 0x7099…79C8 0.25ether --account alice
  plasmid send 0x7099…79C8 5000000 --asset 0x5FbD…0aa3
  plasmid send 0x7099…79C8 0.25ether --replace 0x1f3a…90cc

A send that was interrupted is repeated with the same command: the same transaction is sent again, never a second one.")]
pub(crate) struct SendArgs {
    /// Who is paid
    #[arg(value_parser = parse_address)]
    pub(crate) to: Address,
    /// Base units of the asset, or ether with its unit: 1000000, 0.5ether, 20gwei
    pub(crate) amount: Amount,
    /// `ether`, or the token's address
    #[arg(long, default_value = "ether")]
    pub(crate) asset: Asset,
    /// Sign a second time over the coins of this transaction of yours
    #[arg(long, value_name = "TX", value_parser = parse_hash)]
    pub(crate) replace: Option<TxHash>,
}

pub(crate) fn parse_hash(text: &str) -> Result<TxHash, form::FormError> {
    form::parse(text)
}

/// A payment as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(with = "form")]
    pub(crate) tx_hash: TxHash,
    #[serde(with = "form")]
    pub(crate) to: Address,
    #[serde(with = "form")]
    pub(crate) asset: Address,
    #[serde(with = "form")]
    pub(crate) amount: u128,
    #[serde(with = "form")]
    pub(crate) inputs: Vec<OutputId>,
    /// The coins it makes: the payment first.
    #[serde(with = "form")]
    pub(crate) outputs: Vec<OutputId>,
    pub(crate) receipt: Receipt,
    /// Whether this ends a send that was interrupted before.
    pub(crate) resumed: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { number, index, by, .. } = &self.receipt;
        writeln!(f, "sent {} to {}", shown(self.amount, self.asset), self.to)?;
        writeln!(f, "transaction {}", self.tx_hash)?;
        writeln!(f, "coin        {}", self.outputs[0].write())?;
        write!(f, "accepted    as transaction {index} of block {number}, promised to be committed by {by}")
    }
}

impl Report {
    fn new(sent: &SentTransaction, resumed: bool) -> anyhow::Result<Self> {
        let accepted = sent.accepted().context("the operator has not accepted the transaction")?;
        let body = sent.transaction().context("read the wallet's own transaction")?;
        Ok(Self {
            tx_hash: sent.tx_hash,
            to: sent.to,
            asset: sent.asset,
            amount: sent.amount,
            inputs: body.inputs().to_vec(),
            outputs: made_by(sent.tx_hash, &body).collect(),
            receipt: accepted.receipt.clone(),
            resumed,
        })
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    to: Address,
    asset: Address,
    amount: u128,
}

/// One `send` at work.
struct Sending<'a> {
    session: &'a Session,
    operator: Client,
    account: Account,
    wallet: Wallet,
    _lock: SigningLock,
}

/// Sends a payment, or goes on with the same one that was interrupted.
pub(crate) async fn send(session: &Session, args: &SendArgs) -> anyhow::Result<Report> {
    let amount = args.amount.of(args.asset).map_err(|error| Failure::Usage(error.to_string()))?;
    let request = Request { to: args.to, asset: args.asset.0, amount };
    let account = session.account()?;
    let wallet = session.wallet(account.address()).await?;
    let lock = lock(&wallet).await?;
    let sending = Sending { session, operator: session.operator()?, account, wallet, _lock: lock };

    if let Some(sent) = sending.finish_interrupted(request, args.replace).await? {
        return Report::new(&sent, true);
    }
    sending.check_chain().await?;
    loop {
        let (spend, is_payment) = match sending.plan(request, args.replace).await? {
            Plan::Pay(spend) => (spend, true),
            Plan::Merge(spend) => {
                eprintln!(
                    "send: one transaction spends at most 16 coins: merging {} of them first",
                    spend.inputs.len()
                );
                (spend, false)
            }
        };
        let sent = sending.sign(request, spend, is_payment, args.replace).await?;
        let sent = sending.deliver(sent).await?;
        if is_payment {
            return Report::new(&sent, false);
        }
    }
}

async fn lock(wallet: &Wallet) -> anyhow::Result<SigningLock> {
    let mut progress = Progress::new("waiting for another command that signs for this account");
    let start = Instant::now();
    loop {
        if let Some(lock) = wallet.try_lock()? {
            return Ok(lock);
        }
        let waited = start.elapsed().as_secs();
        if waited >= LOCK_SECS_MAX {
            bail!("another command has been signing for this account for {waited} s: end it, or wait for it");
        }
        progress.show(format_args!("{waited} s"));
        sleep(Duration::from_millis(50)).await;
    }
}

impl Sending<'_> {
    /// Sends again what was signed but never answered. Returns the transaction that is what `request` asks for, if one is.
    async fn finish_interrupted(
        &self,
        request: Request,
        replace: Option<TxHash>,
    ) -> anyhow::Result<Option<SentTransaction>> {
        let mut found = None;
        for sent in self.wallet.sent()? {
            // What is to be replaced, because it gets no answer, must not be waited for.
            if sent.outcome != Outcome::Unanswered || Some(sent.tx_hash) == replace {
                continue;
            }
            let is_requested =
                Request { to: sent.to, asset: sent.asset, amount: sent.amount } == request && sent.replaces == replace;
            eprintln!("send: going on with {}, which was interrupted before its answer", sent.tx_hash);
            match self.deliver(sent).await {
                Ok(sent) if is_requested && found.is_none() => found = Some(sent),
                Ok(_) => {}
                // It is refused for good now and will not be tried again.
                Err(error) if !is_requested && error.downcast_ref().is_some_and(|error| refusal(error).is_some()) => {
                    eprintln!("send: {error:#}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn check_chain(&self) -> anyhow::Result<()> {
        let child_chain = self.session.root.child_chain().await.context("read the child chain's state")?;
        if let Some(number) = child_chain.halted_from {
            let what =
                format!("the chain is halted from block {number} on: nothing can be sent any more, only exits go on");
            return Err(Failure::Refused(what).into());
        }
        if child_chain.closed_at.is_some() {
            let what = "the chain is closed: nothing can be sent any more, only exits go on";
            return Err(Failure::Refused(what.to_owned()).into());
        }
        Ok(())
    }

    async fn plan(&self, request: Request, replace: Option<TxHash>) -> anyhow::Result<Plan> {
        let owner = self.account.address();
        let sent = self.wallet.sent()?;
        let signed = signed_for(&sent).context("read the wallet's own transactions")?;
        let held = holdings::holdings(self.session, owner, Some(&self.wallet)).await?;
        let verified = self.verified().await?;
        let now = self.session.now().await?;
        let promised: BTreeSet<OutputId> = sent.iter().filter_map(|sent| promised(sent, now)).flatten().collect();

        let replaced = replace.map(|tx_hash| inputs_to_replace(&sent, tx_hash)).transpose()?;
        let (mut spendable, mut reserved, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        for holding in &held {
            let coin = Spendable { id: holding.coin.id, position: holding.coin.position, output: holding.coin.output };
            if let Err(reason) = why_not(holding, verified, &promised) {
                reasons.push((coin, reason));
            } else if replaced.as_ref().is_some_and(|inputs| inputs.contains(&coin.id)) {
                spendable.push(coin);
            } else if signed.contains_key(&coin.id) {
                reserved.push(coin);
            } else if replaced.is_none() {
                spendable.push(coin);
            }
        }

        let payment = Payment {
            from: owner,
            to: request.to,
            asset: request.asset,
            amount: request.amount,
            fee: self.fee(request, &spendable).await?,
        };
        let missing = match plan(&spendable, &payment) {
            Ok(plan) => return Ok(plan),
            Err(SelectionError::NotEnough { asset, available, needed }) => (asset, available, needed),
            Err(error) => return Err(error.into()),
        };
        let (asset, available, needed) = missing;
        for (coin, reason) in reasons.iter().filter(|(coin, _)| coin.output.asset == asset) {
            eprintln!("send: {} ({}) cannot be spent: {reason}", coin.id, shown(coin.output.amount, asset));
        }
        reserved.extend(spendable.iter().copied());
        if replace.is_none() && plan(&reserved, &payment).is_ok() {
            let by: BTreeSet<_> = reserved.iter().filter_map(|coin| signed.get(&coin.id)).flatten().collect();
            let by: Vec<_> = by.into_iter().map(|tx_hash| tx_hash.write()).collect();
            let what = format!(
                "{} can be spent without touching coins that you have signed for already, and {} are needed. A second \
                 signature over a coin is safe only if you know what became of the first: repeat the earlier send, or sign \
                 again with --replace {}",
                shown(available, asset),
                shown(needed, asset),
                by.join(" or "),
            );
            return Err(Failure::Refused(what).into());
        }
        let (available, needed) = (shown(available, asset), shown(needed, asset));
        Err(anyhow!(
            "{available} can be spent, but {needed} are needed: deposit more, wait for what is on its way, or send less"
        ))
    }

    /// Returns the last block up to which the watcher found all valid, or `None` without a watcher.
    async fn verified(&self) -> anyhow::Result<Option<BlockNumber>> {
        let Some(watcher) = self.session.watcher()? else { return Ok(None) };
        let status = watcher.status().await.context("ask the watcher, without whom no committed coin is spent")?;
        let deployment = &self.session.deployment;
        if (status.chain_id, status.contract) != (deployment.chain_id, deployment.contract) {
            let what = format!("{} watches another chain or contract", watcher.url());
            return Err(Failure::Refused(what).into());
        }
        Ok(Some(status.block.verified))
    }

    /// Returns the output that pays the operator, in the paid asset if it may be, otherwise in one that is there.
    async fn fee(&self, request: Request, spendable: &[Spendable]) -> anyhow::Result<Option<Output>> {
        let fees = self.operator.fees().await.context("ask the operator for its fees")?;
        let held = |asset: Address| spendable.iter().any(|coin| coin.output.asset == asset);
        let in_asset = fees.assets.iter().find(|fee| fee.asset == request.asset);
        let fee = in_asset.or_else(|| fees.assets.iter().find(|fee| held(fee.asset))).or(fees.assets.first());
        Ok(fee.filter(|fee| fee.minimum != 0).map(|fee| Output {
            owner: fees.address,
            asset: fee.asset,
            amount: fee.minimum,
        }))
    }

    /// Signs and saves a transaction. From here on its coins are never chosen again by themselves.
    async fn sign(
        &self,
        request: Request,
        spend: Spend,
        is_payment: bool,
        replaces: Option<TxHash>,
    ) -> anyhow::Result<SentTransaction> {
        let (to, amount) = match spend.outputs.first() {
            Some(merged) if !is_payment => (merged.owner, merged.amount),
            _ => (request.to, request.amount),
        };
        let body = Transaction::new(spend.inputs, spend.outputs, B256::ZERO).context("make the transaction")?;
        if let Some(replaced) = replaces {
            eprintln!(
                "send: signing a second transaction over coins of {replaced}. Both are kept. The operator takes one of them, \
                 whichever it likes; if you must leave, exit both in flight. Do not count either as paid before it stands in \
                 a valid block."
            );
        }
        let sent = SentTransaction {
            tx_hash: body.hash(),
            to,
            asset: request.asset,
            amount,
            signature: self.account.sign_digest(body.signing_hash(&self.session.deployment.domain())),
            body: body.encode().into(),
            signed_at: self.session.now().await?,
            replaces,
            outcome: Outcome::Unanswered,
        };
        self.wallet.save_sent(&sent)?;
        Ok(sent)
    }
}

/// Tells why a coin may not be spent. §7.
fn why_not(holding: &Holding, verified: Option<BlockNumber>, promised: &BTreeSet<OutputId>) -> Result<(), String> {
    let coin = &holding.coin;
    match coin.state {
        CoinState::Pending => Err("no block of the child chain covers the deposit yet".to_owned()),
        CoinState::Exiting => Err("it is exiting".to_owned()),
        CoinState::Exited | CoinState::Void | CoinState::Dropped | CoinState::Spent => Err("it is gone".to_owned()),
        CoinState::Accepted if !coin.position.is_deposit() => {
            let why = "its block is not committed yet, and no receipt of yours promises it";
            if promised.contains(&coin.id) { Ok(()) } else { Err(why.to_owned()) }
        }
        CoinState::Accepted | CoinState::Committed | CoinState::Final => {
            holding.proof.as_ref().map_err(|reason| format!("its creation is not proven: {reason}"))?;
            match (holding.block(), verified) {
                (None, _) => Ok(()),
                (Some(_), None) => Err("no watcher vouches for its block: add --watcher-url URL".to_owned()),
                (Some(block), Some(verified)) if block > verified => {
                    Err(format!("the watcher has found blocks valid up to {verified} only, and block {block} made it"))
                }
                (Some(_), Some(_)) => Ok(()),
            }
        }
    }
}

/// Returns the outputs of a transaction whose receipt still promises it.
fn promised(sent: &SentTransaction, now: u64) -> Option<Vec<OutputId>> {
    sent.accepted().filter(|accepted| accepted.receipt.by >= now)?;
    let body = sent.transaction().ok()?;
    Some(made_by(sent.tx_hash, &body).collect())
}

fn made_by(tx_hash: TxHash, body: &Transaction) -> impl Iterator<Item = OutputId> + use<'_> {
    (0u8..).zip(body.outputs()).map(move |(index, _)| OutputId::of_output(tx_hash, index))
}

fn inputs_to_replace(sent: &[SentTransaction], tx_hash: TxHash) -> anyhow::Result<Vec<OutputId>> {
    let sent = sent.iter().find(|sent| sent.tx_hash == tx_hash);
    let sent = sent.ok_or_else(|| anyhow!("this wallet has not signed {tx_hash}: there is nothing to replace"))?;
    Ok(sent.transaction().context("read the wallet's own transaction")?.inputs().to_vec())
}
