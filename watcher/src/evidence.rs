//! What acts have to show: taken out under the locks as values, read from the archive without them.

use alloy_primitives::Address;
use plasmid_exit_game::block::decode_items;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::Place;
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::tx_tree::LEAVES_MAX;
use plasmid_node::archive::Archive;
use plasmid_node::chain::{Body, BodyError};
use plasmid_node::recover;
use plasmid_node::wire::IncludedTransaction;
use plasmid_root_chain::calls::InclusionProof;
use plasmid_root_chain::sender::SendError;

use crate::history::{History, Source};

/// Most spends of one coin that are looked at: one is enough, unless the archive has lost it.
pub(crate) const SPENDS_MAX: usize = 16;

/// The spends of a coin that its owner signed: any of them will do.
#[derive(Debug)]
pub(crate) struct Spends {
    output_id: OutputId,
    owner: Address,
    found: Vec<Found>,
    archive: Archive,
    domain: Domain,
}

#[derive(Debug)]
enum Found {
    Loose(SignedTransaction),
    Archived(Place),
}

impl Spends {
    /// Takes out the spends at these sources.
    pub(crate) fn of(
        output_id: OutputId,
        owner: Address,
        sources: impl Iterator<Item = Source>,
        archive: &Archive,
        history: &History,
        domain: Domain,
    ) -> Self {
        let found = sources.take(SPENDS_MAX).filter_map(|source| match source {
            Source::Loose(tx_hash) => history.loose(output_id, tx_hash).ok().flatten().map(Found::Loose),
            Source::Block(place) => Some(Found::Archived(place)),
        });
        Self { output_id, owner, found: found.collect(), archive: archive.clone(), domain }
    }

    /// Reads the first one that is what it was when it was seen.
    ///
    /// # Errors
    ///
    /// [`ActError::Lost`] if there is none.
    pub(crate) fn read(&self) -> Result<SignedTransaction, ActError> {
        let read = |found: &Found| match found {
            Found::Loose(signed) => Some(signed.clone()),
            Found::Archived(place) => archived(&self.archive, *place),
        };
        self.found.iter().filter_map(read).find(|signed| self.is_spend(signed)).ok_or(ActError::Lost)
    }

    fn is_spend(&self, signed: &SignedTransaction) -> bool {
        let signer = recover::signer(&signed.signature, signed.body.signing_hash(&self.domain));
        signed.body.inputs().contains(&self.output_id) && signer == Some(self.owner)
    }
}

/// Reads the transaction at a place of a block, and the proof that it stands there.
///
/// # Errors
///
/// [`ActError::Read`] if the body cannot be read.
pub(crate) fn inclusion(block: &Body, place: Place) -> Result<(SignedTransaction, InclusionProof), ActError> {
    let IncludedTransaction { header, place, path, transaction } = block.inclusion(place.index)?;
    let witness_hash = transaction.witness.hash();
    Ok((transaction.into(), InclusionProof { header, tx_index: place.index, witness_hash, path }))
}

/// Why an act does not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActError {
    /// The root chain does not take it.
    #[error("the call was not made")]
    Send(#[from] SendError),
    /// What it has to show cannot be read.
    #[error("the evidence cannot be read")]
    Read(#[from] BodyError),
    /// What it has to show is not there.
    #[error("the archive has lost the evidence")]
    Lost,
}

fn archived(archive: &Archive, place: Place) -> Option<SignedTransaction> {
    let bytes = archive.read_range(place.block, 0..archive.body_len(place.block).ok()?).ok()?;
    let items = decode_items(&bytes, LEAVES_MAX as u32).ok()?;
    items.get(place.index.get() as usize)?.transaction()?.ok().map(SignedTransaction::from)
}

/// Reads what an act shows where that stops nobody else.
pub(crate) async fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ActError> + Send + 'static,
) -> Result<T, ActError> {
    tokio::task::spawn_blocking(read).await.expect("reading does not panic")
}
