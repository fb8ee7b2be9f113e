//! Getting a signed transaction accepted, and checking what the operator says to it. §1.10.

use std::time::Duration;

use anyhow::Context as _;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::Place;
use plasmid_exit_game::receipt::ReceiptError;
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction};
use plasmid_exit_game::tx_tree;
use plasmid_node::client::ClientError;
use plasmid_node::problem::Code;
use plasmid_node::wire::Accepted;
use tokio::time::{Instant, sleep};

use super::Sending;
use crate::failure::Failure;
use crate::holdings;
use crate::wallet::store::{Outcome, SentTransaction};

/// How long a busy operator is asked again.
const DELIVERY_MAX: Duration = Duration::from_secs(30);

impl Sending<'_> {
    /// Sends a saved transaction until it is answered, and saves the answer.
    pub(super) async fn deliver(&self, sent: SentTransaction) -> anyhow::Result<SentTransaction> {
        let body = sent.transaction().context("read the wallet's own transaction")?;
        let accepted = match self.submit(&body, &sent.signature).await {
            Ok(accepted) => accepted,
            Err(error) => {
                let tx_hash = sent.tx_hash;
                let Some(code) = refusal(&error) else {
                    let what = format!("no answer to {tx_hash} yet: repeat the command to send the same again");
                    return Err(anyhow::Error::from(error).context(what));
                };
                self.wallet.save_sent(&SentTransaction { outcome: Outcome::Refused(code.to_string()), ..sent })?;
                let what = format!(
                    "the operator refuses {tx_hash}. It is signed, so its coins stay reserved: --replace {tx_hash} signs over \
                     them again"
                );
                return Err(anyhow::Error::from(error).context(what));
            }
        };
        let signature = self.check_answer(&sent, &body, &accepted).await?;
        let sent = SentTransaction { signature, outcome: Outcome::Accepted(Box::new(accepted)), ..sent };
        self.wallet.save_sent(&sent)?;
        Ok(sent)
    }

    /// Submits a transaction, again for a while if the operator is busy.
    async fn submit(&self, body: &Transaction, signature: &Signature) -> Result<Accepted, ClientError> {
        let start = Instant::now();
        loop {
            let error = match self.operator.submit(body, signature).await {
                Err(error) => error,
                accepted => return accepted,
            };
            let pause = match &error {
                ClientError::Problem { problem, .. } => problem.code.retry_after_secs(),
                _ => None,
            };
            match pause.map(|secs| Duration::from_secs(secs.into())) {
                Some(pause) if start.elapsed() + pause <= DELIVERY_MAX => {
                    eprintln!("send: {error}; trying again in {} s", pause.as_secs());
                    sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Checks the operator's answer, and returns the signature that stands in the leaf that it promises. §1.10.
    async fn check_answer(
        &self,
        sent: &SentTransaction,
        body: &Transaction,
        accepted: &Accepted,
    ) -> anyhow::Result<Signature> {
        let refused = |why: &str| {
            Failure::Refused(format!(
                "the operator's answer to {} cannot be relied on: {why}. Do not count it as sent; repeat the command, and \
                 show the operator's answer to a watcher",
                sent.tx_hash
            ))
        };
        let signed = accepted.receipt.signed().map_err(|error| refused(&error.to_string()))?;
        let place = Place { block: signed.receipt.number, index: signed.index };
        let positions: Option<Vec<_>> = (0..).zip(body.outputs()).map(|(index, _)| place.output(index)).collect();
        if accepted.tx_hash != sent.tx_hash || Some(&accepted.positions) != positions.as_ref() {
            return Err(refused("it is about another transaction or place").into());
        }

        let leaf_with = |signature: &Signature| {
            let witness = [&signature.encode()[..], &accepted.placement].concat();
            PlacedTransaction::decode(&sent.body, &witness)
                .map(|placed| tx_tree::leaf(sent.tx_hash, placed.witness.hash()))
                .map_err(|error| refused(&error.to_string()))
        };
        let mut signature = sent.signature;
        if !signed.promises(leaf_with(&signature)?) {
            // The first accepted signature counts: another of the owner's devices may have made it.
            signature =
                self.operator.transaction(sent.tx_hash).await.context("ask for the accepted signature")?.signature;
            let digest = body.signing_hash(&self.session.deployment.domain());
            if signature.recover(digest) != Some(self.account.address()) {
                return Err(refused("it promises a signature that is not the owner's").into());
            }
        }

        let number = signed.receipt.number;
        let key = self.session.root.operator_of(number).await.context("read the operator's key on the root chain")?;
        let (now, freeze_delay) = (self.session.now().await?, self.session.deployment.periods.freeze_delay());
        let domain = self.session.deployment.domain();
        match signed.check(&domain, key, leaf_with(&signature)?, now, freeze_delay) {
            Ok(()) => Ok(signature),
            // A repeat long after the first answer: what counts then is that the promise was kept.
            Err(ReceiptError::Past { .. }) if self.is_included(sent.tx_hash, place).await? => Ok(signature),
            Err(error) => Err(refused(&error.to_string()).into()),
        }
    }

    async fn is_included(&self, tx_hash: TxHash, place: Place) -> anyhow::Result<bool> {
        let inclusion = match self.operator.inclusion(OutputId::of_output(tx_hash, 0)).await {
            Err(error) if holdings::is_not_found(&error) => return Ok(false),
            answer => answer.context("ask for the transaction's inclusion")?,
        };
        let Ok(included) = inclusion.verify() else { return Ok(false) };
        let commitment = self.session.root.commitment(place.block).await.context("read a block's commitment")?;
        Ok(included.place == place
            && included.transaction.body.hash() == tx_hash
            && commitment == Some(included.header.commitment()))
    }
}

/// Returns why the operator will never accept a transaction, if that is what it said: 409 and 422 are about the transaction
/// itself, everything else about the moment.
pub(super) fn refusal(error: &ClientError) -> Option<Code> {
    match error {
        ClientError::Problem { problem, .. } if matches!(problem.code.status(), 409 | 422) => Some(problem.code),
        _ => None,
    }
}
