//! Payments that the operator first sees in an in-flight exit: it offers them to its writer like anybody's. §3.1.

use std::sync::Arc;

use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::signature::Domain;
use plasmid_node::chain::{Chain, SharedChain};

use crate::admission::{Admitted, FeePolicy};
use crate::block_builder::read;
use crate::writer::{Answered, QueueError, WriterHandle};

/// Returns the payments of open in-flight exits that stand in no local block and may still be accepted. §3.1.
#[must_use]
pub fn shown_in_exits(chain: &Chain) -> Vec<SignedTransaction> {
    let (now, periods) = (chain.game().now(), chain.game().periods());
    let exits = chain.game().in_flight_exits();
    let in_time = exits.filter(|exit| now <= periods.last_acceptance_in_flight(exit.start));
    in_time.filter(|exit| chain.place_of(exit.tx_hash).is_none()).map(|exit| exit.transaction.clone()).collect()
}

/// Offers to the writer what in-flight exits show.
#[derive(Debug, Clone)]
pub struct Offers {
    /// Where the exits stand.
    pub chain: SharedChain,
    /// Who decides.
    pub writer: WriterHandle,
    /// What signatures are made for.
    pub domain: Domain,
    /// What the operator asks for a transaction, of this one too.
    pub fees: Arc<FeePolicy>,
}

impl Offers {
    /// Has the writer decide. What it refuses is offered again the next time.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; nothing was looked at.
    pub async fn make(&self) -> Result<(), QueueError> {
        let shown = shown_in_exits(&read(&self.chain));
        if shown.is_empty() {
            return Ok(());
        }
        // The contract has checked the signature, but it is the node that says so.
        let admit = |SignedTransaction { body, signature }| Admitted::new(body, signature, &self.domain, &self.fees);
        let requests: Vec<_> = shown.into_iter().map(admit).collect();
        let hashes: Vec<_> = requests.iter().map(|request| request.hash).collect();
        for (tx_hash, answer) in hashes.into_iter().zip(self.writer.submit(requests).await?) {
            match answer {
                Answered::Accepted(_, place) => {
                    tracing::info!(%tx_hash, block = %place.block, "accepted: an in-flight exit shows it");
                }
                Answered::Repeated(_) => {}
                Answered::Refused(refusal) => {
                    tracing::debug!(%tx_hash, %refusal, "refused: an in-flight exit shows it")
                }
            }
        }
        Ok(())
    }
}
