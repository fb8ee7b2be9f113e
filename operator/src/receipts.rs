//! Receipts and answers: pure functions of the log's batches and the operator's key. §1.10.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use alloy_primitives::{Address, B256};
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::receipt::{Receipt, SignedReceipt};
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::tx_tree;
use plasmid_node::wire;
use plasmid_root_chain::account::Account;

use crate::journal::{JournalReader, ReadRecordError, ReceiptBatch, Record, RecordOffset};

/// Signs receipts, always with the same bytes for the same batch.
#[derive(Debug, Clone)]
pub struct ReceiptSigner {
    account: Account,
    domain: Domain,
}

impl ReceiptSigner {
    /// Returns the signer of one deployment's receipts with the operator's key.
    #[must_use]
    pub fn new(account: Account, domain: Domain) -> Self {
        Self { account, domain }
    }

    /// Signs the receipt of a batch.
    #[must_use]
    pub fn sign(&self, batch: ReceiptBatch) -> SignedBatch {
        let leaves = batch.leaves();
        let receipt = Receipt {
            number: batch.number,
            first: batch.first,
            count: leaves.len() as u32,
            root: tx_tree::root(&leaves),
            by: batch.by,
        };
        let signature = self.account.sign_digest(receipt.signing_hash(&self.domain));
        let paths = tx_tree::all_paths(&leaves);
        SignedBatch { batch, leaves, paths, receipt, signature }
    }
}

/// A batch with its receipt.
#[derive(Debug, Clone)]
pub struct SignedBatch {
    batch: ReceiptBatch,
    leaves: Vec<B256>,
    paths: Vec<Vec<B256>>,
    receipt: Receipt,
    signature: Signature,
}

impl SignedBatch {
    /// Returns whether the batch holds the transaction at `place`.
    #[must_use]
    pub fn holds(&self, place: Place) -> bool {
        let first = self.batch.first;
        place.block == self.batch.number && place.index.get().wrapping_sub(first) < self.receipt.count
    }

    /// Returns the answer to who sent the transaction at `index` of the block, or `None` if the batch does not hold it.
    #[must_use]
    pub fn answer(&self, index: TxIndex) -> Option<wire::Accepted> {
        let offset = index.get().checked_sub(self.batch.first)? as usize;
        let (item, leaf) = (self.batch.items.get(offset)?, *self.leaves.get(offset)?);
        let place = Place { block: self.batch.number, index };
        let outputs = 0..item.body.outputs().len() as u8;
        let path = self.paths[offset].clone();
        let signed = SignedReceipt { receipt: self.receipt, signature: self.signature, index, path };
        Some(wire::Accepted {
            tx_hash: item.body.hash(),
            positions: outputs.filter_map(|output_index| place.output(output_index)).collect(),
            placement: item.witness.placement.iter().flat_map(|position| position.bits().to_be_bytes()).collect(),
            receipt: wire::Receipt::new(&signed, leaf),
        })
    }
}

/// Finds any batch that was ever acknowledged. Cheap to clone; clones share the index.
#[derive(Debug, Clone)]
pub struct Receipts {
    signer: ReceiptSigner,
    log: JournalReader,
    /// Where the batch that begins at a place stands in the log.
    index: Arc<RwLock<BTreeMap<(BlockNumber, u32), RecordOffset>>>,
    /// Batches that were read last, the newest at the end: who repeats one transaction often repeats its neighbours.
    recent: Arc<Mutex<RecentBatches>>,
}

type RecentBatches = VecDeque<(RecordOffset, Arc<SignedBatch>)>;

/// Most batches that are kept in memory for repeats.
const RECENT_MAX: usize = 16;

impl Receipts {
    /// Returns an empty index over a log.
    #[must_use]
    pub fn new(signer: ReceiptSigner, log: JournalReader) -> Self {
        Self { signer, log, index: Arc::default(), recent: Arc::default() }
    }

    /// Takes in a record that is durable.
    pub fn record(&self, offset: RecordOffset, record: &Record) {
        if let Record::Accepted(batch) = record {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            index.insert((batch.number, batch.first), offset);
        }
    }

    /// Returns the key that signs.
    #[must_use]
    pub fn key(&self) -> Address {
        self.signer.account.address()
    }

    /// Signs a batch that is durable.
    #[must_use]
    pub fn sign(&self, batch: ReceiptBatch) -> SignedBatch {
        self.signer.sign(batch)
    }

    /// Returns the answer that the transaction at `place` got, or `None` if none was accepted there.
    ///
    /// # Errors
    ///
    /// [`ReadRecordError`] if the log cannot be read.
    pub fn answer_at(&self, place: Place) -> Result<Option<wire::Accepted>, ReadRecordError> {
        let offset = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let upto = (place.block, 0)..=(place.block, place.index.get());
            index.range(upto).next_back().map(|(_, &offset)| offset)
        };
        let Some(offset) = offset else { return Ok(None) };
        Ok(self.batch_at(offset)?.and_then(|batch| batch.answer(place.index)))
    }

    /// Reads and signs the batch at `offset`, unless it was just read.
    fn batch_at(&self, offset: RecordOffset) -> Result<Option<Arc<SignedBatch>>, ReadRecordError> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, batch)) = recent().iter().find(|(at, _)| *at == offset) {
            return Ok(Some(batch.clone()));
        }
        let Record::Accepted(batch) = self.log.read(offset)? else { return Ok(None) };
        let batch = Arc::new(self.signer.sign(batch));
        let mut recent = recent();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((offset, batch.clone()));
        Ok(Some(batch))
    }
}
