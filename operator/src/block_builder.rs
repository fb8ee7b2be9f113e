//! Closed blocks get their roots, and final ones go to the archive: hashing and files, off the writer's thread.

use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use plasmid_exit_game::position::BlockNumber;
use plasmid_node::archive::ArchiveError;
use plasmid_node::chain::{BodyError, Chain, SharedChain};
use plasmid_node::kill_point;
use tokio::sync::Notify;

/// Seals and archives what there is each time that `changed` tells of it; tells `sealed` when a block has its roots.
pub async fn run(chain: SharedChain, changed: Arc<Notify>, sealed: Arc<Notify>) {
    let mut archived = BlockNumber::ZERO;
    loop {
        let shared = chain.clone();
        let progress = tokio::task::spawn_blocking(move || (seal_all(&shared), archive_final(&shared, archived)));
        match progress.await {
            Ok((has_sealed, outcome)) => {
                if has_sealed {
                    sealed.notify_one();
                }
                match outcome {
                    Ok(last) => archived = last,
                    Err(error) => tracing::error!(%error, source = ?error, "a final block's body cannot be archived"),
                }
            }
            Err(error) => tracing::error!(%error, "sealing failed"),
        }
        changed.notified().await;
    }
}

/// Computes the roots of all closed blocks without them; returns whether there was one.
fn seal_all(chain: &SharedChain) -> bool {
    let mut has_sealed = false;
    loop {
        // The guard ends here: hashing goes on without the lock.
        let Some(unsealed) = read(chain).next_unsealed() else { return has_sealed };
        let sealed = unsealed.seal();
        has_sealed |= write(chain).seal(sealed);
        kill_point::reached("block-sealed");
    }
}

/// Writes the bodies of final blocks after `archived` and returns the last that is in the archive.
fn archive_final(chain: &SharedChain, mut archived: BlockNumber) -> Result<BlockNumber, ArchiveFinalError> {
    // What a reorganisation took back is archived again when it is final again.
    archived = archived.min(read(chain).final_block());
    loop {
        let (number, body, archive) = {
            let chain = read(chain);
            let Some(number) = archived.next().filter(|&number| number <= chain.final_block()) else {
                return Ok(archived);
            };
            // Not sealed yet, after a restart.
            let Some(body) = chain.body(number) else { return Ok(archived) };
            (number, body, chain.archive().clone())
        };
        let bytes = body.bytes()?;
        match archive.write(number, &bytes) {
            // A block's that a reorganisation unmade, and that lost a transaction before it was final again; or damaged.
            Err(ArchiveError::OtherBytes { .. }) => {
                archive.remove(number)?;
                archive.write(number, &bytes)?;
            }
            written => written?,
        }
        write(chain).archived(number);
        archived = number;
    }
}

#[derive(Debug, thiserror::Error)]
enum ArchiveFinalError {
    #[error("the body cannot be made")]
    Body(#[from] BodyError),
    #[error("the body cannot be written")]
    Archive(#[from] ArchiveError),
}

pub(crate) fn read(chain: &SharedChain) -> RwLockReadGuard<'_, Chain> {
    chain.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write(chain: &SharedChain) -> RwLockWriteGuard<'_, Chain> {
    chain.write().unwrap_or_else(PoisonError::into_inner)
}
