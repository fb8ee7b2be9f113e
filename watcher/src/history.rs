//! What the watcher has seen: a record of every committed block, and who made and who spent each coin.
//!
//! A signed spend is evidence wherever it stands, so every body counts, valid or not. On disk (sled) lies one record a block
//! with its signers, one batch and one flush at a time; the index of coins is in memory, made again at every start from the
//! archived bodies and these records without recovering a signature. Everything but *withheld* marks can be made again from
//! the root chain and the archive; the marks are handed in by whoever keeps the alarms. The only module that knows sled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::ledger::{Leaf, RecoveredTransaction};
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::{SIGNATURE_LEN, Signature};
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::kill_point;
use serde::{Deserialize, Serialize};

use crate::alarms::Alarm;
use crate::finding::Finding;

const RECORD: u8 = b'b';
const SIGNERS: u8 = b's';
const LOOSE: u8 = b'l';

/// Bytes of sled's page cache.
const CACHE_LEN: u64 = 64 << 20;
const ADDRESS_LEN: usize = 20;

/// What is kept of a committed block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockRecord {
    /// The header's hash: another commitment under the same number is another block.
    pub commitment: B256,
    /// Root-chain time at which the body was first asked for, in seconds.
    pub asked_at: u64,
    /// Whether the body with every preimage has been served.
    pub is_served: bool,
    /// What was found.
    pub finding: Finding,
}

impl BlockRecord {
    /// Returns the record of a block that was just asked for.
    #[must_use]
    pub fn new(commitment: B256, asked_at: u64) -> Self {
        Self { commitment, asked_at, is_served: false, finding: Finding::Unknown }
    }
}

/// A spend of a coin: who signed it and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spend {
    /// Whose signature it bears. Evidence only if this is the coin's owner.
    pub signer: Address,
    /// Where body and signature are.
    pub source: Source,
}

/// Where a spend's body and signature are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In a committed block's archived body.
    Block(Place),
    /// In this store: shown in a call on the root chain, or from a block that a reorganisation unmade.
    Loose(TxHash),
}

/// The store with its index. One writer.
#[derive(Debug)]
pub struct History {
    db: sled::Db,
    records: BTreeMap<BlockNumber, BlockRecord>,
    made: BTreeSet<(OutputId, Position)>,
    spent: BTreeSet<(OutputId, Spend)>,
    guarded: BTreeSet<Address>,
    /// Every payment by or to a guarded owner, with its signer.
    guarded_payments: BTreeMap<(TxHash, Address), SignedTransaction>,
}

impl History {
    /// Opens the store in `folder`, which is made if there is none. The index holds loose spends alone yet: blocks join it
    /// with [`Self::index`].
    ///
    /// # Errors
    ///
    /// [`HistoryError::Damaged`] if the store cannot be read whole, and [`HistoryError::Store`].
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        let open = || sled::Config::new().path(folder).cache_capacity(CACHE_LEN).flush_every_ms(None).open();
        // sled panics on some kinds of damage instead of saying so.
        let opened = catch_unwind(|| open().map(|db| catch_unwind(AssertUnwindSafe(|| Self::load(db)))));
        match opened {
            Ok(Ok(Ok(loaded))) => loaded,
            Ok(Err(sled::Error::Io(source))) => Err(HistoryError::Io { action: "open", path: folder.into(), source }),
            Ok(Err(error)) => Err(HistoryError::Damaged { what: error.to_string() }),
            Ok(Ok(Err(_))) | Err(_) => Err(HistoryError::Damaged { what: "the store panics".to_owned() }),
        }
    }

    /// Opens the store, or sets a damaged one aside under another name, returned, and begins a new one.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] if that cannot be done either.
    pub fn open_or_set_aside(folder: &Path) -> Result<(Self, Option<PathBuf>), HistoryError> {
        match Self::open(folder) {
            Ok(history) => Ok((history, None)),
            Err(HistoryError::Damaged { .. }) => {
                let aside = (1..).map(|n| folder.with_extension(format!("damaged-{n}"))).find(|path| !path.exists());
                let aside = aside.expect("some number is free");
                fs::rename(folder, &aside).map_err(|source| HistoryError::Io {
                    action: "set aside",
                    path: folder.into(),
                    source,
                })?;
                kill_point::reached("store-set-aside");
                Ok((Self::open(folder)?, Some(aside)))
            }
            Err(error) => Err(error),
        }
    }

    fn load(db: sled::Db) -> Result<Self, HistoryError> {
        let mut history = Self {
            db,
            records: BTreeMap::new(),
            made: BTreeSet::new(),
            spent: BTreeSet::new(),
            guarded: BTreeSet::new(),
            guarded_payments: BTreeMap::new(),
        };
        let damaged = |what: &str| HistoryError::Damaged { what: what.to_owned() };
        // Every value is read once, so that damage shows now and not in the middle of a duty.
        for entry in history.db.iter() {
            let (key, value) = entry.map_err(|error| damaged(&error.to_string()))?;
            match key.split_first() {
                Some((&RECORD, number)) => {
                    let number = number.try_into().ok().and_then(|number| BlockNumber::new(u64::from_be_bytes(number)));
                    let number = number.ok_or_else(|| damaged("a record is of no block"))?;
                    let record =
                        serde_json::from_slice(&value).map_err(|_| damaged("a block's record does not decode"))?;
                    history.records.insert(number, record);
                }
                Some((&SIGNERS, number)) if number.len() == 8 && value.len() % ADDRESS_LEN == 32 % ADDRESS_LEN => {}
                Some((&LOOSE, key)) if key.len() == 64 => {
                    let output_id = OutputId(B256::from_slice(&key[..32]));
                    let tx_hash = TxHash(B256::from_slice(&key[32..]));
                    let (signer, _) = decode_loose(&value).ok_or_else(|| damaged("a spend does not decode"))?;
                    history.spent.insert((output_id, Spend { signer, source: Source::Loose(tx_hash) }));
                }
                _ => return Err(damaged("a key is of no known kind")),
            }
        }
        Ok(history)
    }

    /// Keeps the payments by and to these owners at hand. Called before any block joins the index.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn guard(&mut self, owners: impl IntoIterator<Item = Address>) -> Result<(), HistoryError> {
        self.guarded.extend(owners);
        for entry in self.db.scan_prefix([LOOSE]) {
            let (_, value) = entry?;
            if let Some((signer, signed)) = decode_loose(&value) {
                self.keep_if_guarded(signer, &signed);
            }
        }
        Ok(())
    }

    /// Returns the guarded owners.
    #[must_use]
    pub fn guarded(&self) -> &BTreeSet<Address> {
        &self.guarded
    }

    /// Returns the payments that a guarded owner signed or is paid by, with hash and signer, wherever they stand.
    pub fn guarded_payments(&self) -> impl Iterator<Item = (TxHash, Address, &SignedTransaction)> {
        self.guarded_payments.iter().map(|(&(tx_hash, signer), signed)| (tx_hash, signer, signed))
    }

    /// Returns the record of a block, if it was looked at.
    #[must_use]
    pub fn record(&self, number: BlockNumber) -> Option<&BlockRecord> {
        self.records.get(&number)
    }

    /// Returns who signed each leaf of the block's body with the root `tx_root`, zero for none, if [`Self::put`] stored it.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn signers(&self, number: BlockNumber, tx_root: B256) -> Result<Option<Vec<Address>>, HistoryError> {
        let value = self.db.get(key_of(SIGNERS, number))?;
        let signers = value.as_deref().and_then(|value| value.strip_prefix(tx_root.as_slice()));
        Ok(signers.map(|signers| signers.as_chunks::<ADDRESS_LEN>().0.iter().map(Address::from).collect()))
    }

    /// Returns whether the signers of these leaves are stored.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn has_signers(
        &self,
        number: BlockNumber,
        tx_root: B256,
        leaves: &[Option<Leaf>],
    ) -> Result<bool, HistoryError> {
        Ok(self.db.get(key_of(SIGNERS, number))?.is_some_and(|value| value == signers_value(tx_root, leaves)))
    }

    /// Stores the record of block `number`, and with a body's root and leaves also their signers. On disk when this returns.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn put(
        &mut self,
        number: BlockNumber,
        record: BlockRecord,
        body: Option<(B256, &[Option<Leaf>])>,
    ) -> Result<(), HistoryError> {
        let mut batch = sled::Batch::default();
        batch.insert(&key_of(RECORD, number), serde_json::to_vec(&record).expect("a record has a JSON form"));
        if let Some((tx_root, leaves)) = body {
            batch.insert(&key_of(SIGNERS, number), signers_value(tx_root, leaves));
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        self.records.insert(number, record);
        Ok(())
    }

    /// Marks again as withheld the blocks that alarms say were, where the store has no record of them: after it was made anew.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn restore_marks(&mut self, alarms: &[Alarm]) -> Result<(), HistoryError> {
        // Of two blocks with one number the newer alarm's is the one that counts.
        for alarm in alarms.iter().rev() {
            let (Some(number), Some(commitment), Some(missing)) = (alarm.block, alarm.commitment, alarm.withholding)
            else {
                continue;
            };
            if self.record(number).is_none() {
                let finding = Finding::Withheld(missing);
                self.put(number, BlockRecord { finding, ..BlockRecord::new(commitment, alarm.since) }, None)?;
            }
        }
        Ok(())
    }

    /// Forgets block `number` with these leaves, in whose place the root chain has another one. Its spends stay, loose.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn unmake(&mut self, number: BlockNumber, leaves: &[Option<Leaf>]) -> Result<(), HistoryError> {
        let mut batch = sled::Batch::default();
        batch.remove(&key_of(RECORD, number));
        batch.remove(&key_of(SIGNERS, number));
        for (_, transaction) in transactions(number, leaves) {
            let Some(signer) = transaction.signer else { continue };
            insert_loose(&mut batch, signer, &transaction.transaction.clone().into());
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        self.records.remove(&number);
        self.unindex(number, leaves);
        Ok(())
    }

    /// Stores a spend that was seen in no block. On disk when this returns.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn put_loose(&mut self, signer: Address, signed: &SignedTransaction) -> Result<(), HistoryError> {
        let mut batch = sled::Batch::default();
        let hash = insert_loose(&mut batch, signer, signed);
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        for &input in signed.body.inputs() {
            self.spent.insert((input, Spend { signer, source: Source::Loose(hash) }));
        }
        self.keep_if_guarded(signer, signed);
        Ok(())
    }

    /// Returns a loose spend.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Store`].
    pub fn loose(&self, output_id: OutputId, tx_hash: TxHash) -> Result<Option<SignedTransaction>, HistoryError> {
        let value = self.db.get(loose_key(output_id, tx_hash))?;
        Ok(value.and_then(|value| decode_loose(&value)).map(|(_, signed)| signed))
    }

    /// Takes a block's coins and spends into the index; again is harmless.
    pub fn index(&mut self, number: BlockNumber, leaves: &[Option<Leaf>]) {
        for (place, transaction) in transactions(number, leaves) {
            for (position, output_id) in made_by(place, transaction) {
                self.made.insert((output_id, position));
            }
            let signer = transaction.signer.unwrap_or_default();
            for &input in transaction.transaction.body.inputs() {
                self.spent.insert((input, Spend { signer, source: Source::Block(place) }));
            }
            if transaction.signer.is_some() && !self.guarded.is_empty() {
                self.keep_if_guarded(signer, &transaction.transaction.clone().into());
            }
        }
    }

    /// Returns the positions at which blocks make the coin, valid or not, oldest first.
    pub fn made(&self, output_id: OutputId) -> impl Iterator<Item = Position> {
        let first = Position::from_bits(0).expect("zero is a position");
        let last = Position::from_bits(u64::MAX >> 1).expect("every position of a child-chain coin is one");
        self.made.range((output_id, first)..=(output_id, last)).map(|&(_, position)| position)
    }

    /// Returns every spend of the coin, by signer.
    pub fn spends(&self, output_id: OutputId) -> impl Iterator<Item = Spend> {
        self.spends_between(output_id, Address::ZERO, Address::repeat_byte(0xff))
    }

    /// Returns the spends of the coin that `owner` signed.
    pub fn spends_by(&self, output_id: OutputId, owner: Address) -> impl Iterator<Item = Spend> {
        self.spends_between(output_id, owner, owner)
    }

    fn spends_between(&self, output_id: OutputId, from: Address, to: Address) -> impl Iterator<Item = Spend> {
        let first = Place { block: BlockNumber::ZERO, index: TxIndex::new(0).expect("below 2^20") };
        let from = Spend { signer: from, source: Source::Block(first) };
        let to = Spend { signer: to, source: Source::Loose(TxHash(B256::repeat_byte(0xff))) };
        self.spent.range((output_id, from)..=(output_id, to)).map(|&(_, spend)| spend)
    }

    fn keep_if_guarded(&mut self, signer: Address, signed: &SignedTransaction) {
        let owners = signed.body.outputs().iter().map(|output| output.owner);
        if owners.chain([signer]).any(|owner| self.guarded.contains(&owner)) {
            self.guarded_payments.insert((signed.body.hash(), signer), signed.clone());
        }
    }

    fn unindex(&mut self, number: BlockNumber, leaves: &[Option<Leaf>]) {
        for (place, transaction) in transactions(number, leaves) {
            for (position, output_id) in made_by(place, transaction) {
                self.made.remove(&(output_id, position));
            }
            let signer = transaction.signer.unwrap_or_default();
            for &input in transaction.transaction.body.inputs() {
                self.spent.remove(&(input, Spend { signer, source: Source::Block(place) }));
                if transaction.signer.is_some() {
                    self.spent.insert((input, Spend { signer, source: Source::Loose(transaction.hash) }));
                }
            }
        }
    }
}

/// Why the store fails.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read whole.
    #[error("the history is damaged: {what}")]
    Damaged {
        /// In what way.
        what: String,
    },
    /// sled failed.
    #[error("the history's store failed")]
    Store(#[from] sled::Error),
    /// The file system failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn key_of(kind: u8, number: BlockNumber) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.get().to_be_bytes());
    key
}

/// `tx_root ‖ signer 20 B a leaf`.
fn signers_value(tx_root: B256, leaves: &[Option<Leaf>]) -> Vec<u8> {
    let signer = |leaf: &Option<Leaf>| leaf.as_ref()?.transaction()?.signer;
    let signers = leaves.iter().flat_map(|leaf| signer(leaf).unwrap_or_default().into_array());
    tx_root.0.into_iter().chain(signers).collect()
}

/// The transactions of a block with their places. A leaf whose preimage is missing is `None`.
fn transactions(block: BlockNumber, leaves: &[Option<Leaf>]) -> impl Iterator<Item = (Place, &RecoveredTransaction)> {
    leaves.iter().enumerate().filter_map(move |(index, leaf)| {
        let index = u32::try_from(index).ok().and_then(TxIndex::new)?;
        Some((Place { block, index }, leaf.as_ref()?.transaction()?))
    })
}

fn made_by(place: Place, transaction: &RecoveredTransaction) -> impl Iterator<Item = (Position, OutputId)> {
    transaction.output_ids().zip(0..).filter_map(move |(output_id, index)| Some((place.output(index)?, output_id)))
}

/// Adds a loose spend under each of its inputs: `signer ‖ signature ‖ body`. Returns the transaction's hash.
fn insert_loose(batch: &mut sled::Batch, signer: Address, signed: &SignedTransaction) -> TxHash {
    let hash = signed.body.hash();
    let value = [signer.as_slice(), &signed.signature.encode(), &signed.body.encode()].concat();
    for &input in signed.body.inputs() {
        batch.insert(&loose_key(input, hash)[..], value.as_slice());
    }
    hash
}

fn loose_key(output_id: OutputId, tx_hash: TxHash) -> [u8; 65] {
    let mut key = [LOOSE; 65];
    key[1..33].copy_from_slice(output_id.0.as_slice());
    key[33..].copy_from_slice(tx_hash.0.as_slice());
    key
}

fn decode_loose(value: &[u8]) -> Option<(Address, SignedTransaction)> {
    let (signer, rest) = value.split_first_chunk::<ADDRESS_LEN>()?;
    let (signature, body) = rest.split_first_chunk::<SIGNATURE_LEN>()?;
    let signed =
        SignedTransaction { body: Transaction::decode(body).ok()?, signature: Signature::decode(*signature).ok()? };
    Some((Address::from(signer), signed))
}
