//! The round trip: what the protocol is for, shown on real parts.

use alloy_primitives::U256;
use anyhow::{Context as _, ensure};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_node::wire::CoinState;
use serde::Serialize;

use super::{Devnet, Person, wait};
use crate::amount::{Amount, Asset, shown};
use crate::deposit::{self, DepositArgs};
use crate::exit::plan::Plan;
use crate::exit::process::{self, ProcessArgs};
use crate::exit::start;
use crate::holdings;
use crate::send::{self, SendArgs};
use crate::session::{Session, transact};

const DEPOSIT_WEI: u128 = 1_000_000_000_000_000_000;
const PAYMENT_WEI: u128 = 400_000_000_000_000_000;

/// A step with what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    name: &'static str,
    pub(super) ok: bool,
    detail: String,
}

/// The steps in their order, which others rely on.
const STEPS: [&str; 6] = ["deposit", "pay", "commit", "exit", "paid", "thief_challenged"];

/// Shows the round trip. A step that fails is the last that is tried.
pub(super) async fn show(devnet: &Devnet) -> Vec<Step> {
    let mut steps = Vec::new();
    let outcome = walk(devnet, &mut steps).await;
    if let Err(error) = outcome {
        let names = &STEPS[steps.len()..];
        for (index, name) in names.iter().enumerate() {
            let detail = if index == 0 { format!("{error:#}") } else { format!("not tried: {} failed", names[0]) };
            eprintln!("{name}: FAILED: {detail}");
            steps.push(Step { name, ok: false, detail });
        }
    }
    steps
}

async fn walk(devnet: &Devnet, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    let mut held = |detail: String| {
        let name = STEPS[steps.len()];
        eprintln!("{name}: ok: {detail}\n");
        steps.push(Step { name, ok: true, detail });
    };
    let alice = Session::open(&devnet.settings(Person::Alice)).await?;
    let bob = Session::open(&devnet.settings(Person::Bob)).await?;

    let deposited = deposit(devnet, &alice).await?;
    held(format!("alice's coin {deposited} of {} can be spent", shown(DEPOSIT_WEI, ETHER)));

    let paid = pay(&alice, &bob).await?;
    let receipt = &paid.receipt;
    held(format!("accepted as transaction {} of block {}, receipt by {}", receipt.index, receipt.number, receipt.by));

    let bobs = paid.outputs[0];
    held(commit(devnet, &bob, bobs).await?);

    let exit = start_exit(&bob, bobs).await?;
    held(format!("bob's coin is exiting, to be paid from {} on", exit.terms.key));

    held(get_paid(devnet, &bob, bobs, exit.terms.key).await?);

    held(steal(devnet, &alice, paid.inputs[0]).await?);
    Ok(())
}

async fn deposit(devnet: &Devnet, alice: &Session) -> anyhow::Result<OutputId> {
    let amount = Amount { base_units: DEPOSIT_WEI, is_ether: true };
    let args = DepositArgs { amount, asset: Asset(ETHER), owner: None, wait: false };
    let id = deposit::deposit(alice, &args).await?.id;
    wait("the operator to take in the deposit", async || {
        Ok((devnet.operator.coin(id).await?.state != CoinState::Pending).then_some(()))
    })
    .await?;
    Ok(id)
}

async fn pay(alice: &Session, bob: &Session) -> anyhow::Result<send::Report> {
    let amount = Amount { base_units: PAYMENT_WEI, is_ether: true };
    let args = SendArgs { to: bob.account()?.address(), amount, asset: Asset(ETHER), replace: None };
    send::send(alice, &args).await
}

/// Waits for the payment's block, and checks as its receiver would: proof, header on the root chain, watcher's verdict.
async fn commit(devnet: &Devnet, bob: &Session, coin: OutputId) -> anyhow::Result<String> {
    let block = wait("the payment's block to be committed and verified", async || {
        let holding = holdings::holding(bob, coin, None).await?;
        let verified = devnet.watcher.status().await?.block.verified;
        Ok(holding.block().filter(|&block| holding.proof.is_ok() && block <= verified))
    })
    .await?;
    Ok(format!("block {block} is on the root chain, holds bob's coin by proof, and the watcher found it valid"))
}

async fn start_exit(bob: &Session, coin: OutputId) -> anyhow::Result<start::Started> {
    let started = start::start(bob, &[coin], false).await?;
    started.items.into_iter().next().context("one exit was asked for")
}

/// Moves time to the exit's key, lets carol process it, and counts bob's money.
async fn get_paid(devnet: &Devnet, bob: &Session, coin: OutputId, key: u64) -> anyhow::Result<String> {
    let account = bob.account()?.address();
    let before = bob.root.node().balance(ETHER, account).await?;
    devnet.move_time_to(key).await?;
    let carol = Session::open(&devnet.settings(Person::Carol)).await?;
    let processed = process::process(&carol, &ProcessArgs { asset: None, dry_run: false }).await?;
    ensure!(processed.items.iter().any(|exit| exit.id == coin), "bob's exit was not among those processed");

    let got = bob.root.node().balance(ETHER, account).await?.saturating_sub(before);
    let bonds = bob.deployment.bonds;
    let due = PAYMENT_WEI + bonds.exit_bond_wei - bonds.exit_bounty_wei;
    ensure!(got == U256::from(due), "bob's balance rose by {got} wei instead of {due}");
    Ok(format!("bob's balance rose by {}: the coin and his bond less the bounty", shown(due, ETHER)))
}

/// Alice exits the coin that she has spent, and the watcher ends that by itself. The operator, who would do so too, is
/// stopped meanwhile.
async fn steal(devnet: &Devnet, alice: &Session, spent: OutputId) -> anyhow::Result<String> {
    devnet.settled().await?;
    let _stopped = devnet.operator_group.pause()?;
    let sender = alice.sender().await?;
    let wallet = alice.wallet(sender.account().address()).await?;
    let evidence = wallet.coins()?.remove(&spent).context("alice's wallet has lost the coin that it spent")?;
    let plan = Plan::make(alice, &evidence, None).await?;
    transact(&sender, &plan.call, "the thief exits the spent coin").await?;
    wait("the watcher to challenge the thief's exit", async || {
        Ok(alice.root.coin(spent).await?.record_hash.is_zero().then_some(()))
    })
    .await?;
    let mut challenger = None;
    alice
        .replay(|block| {
            challenger = block.events.iter().fold(challenger, |last, event| match event {
                RootEvent::StandardExitChallenged { output_id, challenger, .. } if *output_id == spent => {
                    Some(*challenger)
                }
                _ => last,
            });
            Ok(())
        })
        .await?;
    let challenger = challenger.context("the exit ended without a challenge")?;
    ensure!(challenger == Person::Watcher.account()?.address(), "{challenger} challenged it, not the watcher");
    Ok(format!("with the operator stopped, the watcher ended the exit of the spent coin {spent} and took its bond"))
}
