//! The wallet's memory: every transaction that its owner signed, and every coin with the proof of its creation.
//!
//! One JSON file each, replaced in one step (written beside, synced, renamed, folder synced), so that a kill at any moment
//! leaves the old record or the new one. A transaction is saved before it is sent and again with its receipt before
//! success is reported: whatever left this machine is on its disk. Records are never deleted; a damaged one is an error,
//! since a forgotten signature is a second signature waiting to happen.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes};
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{BodyError, Transaction};
use plasmid_node::wire::Accepted;
use plasmid_node::wire::evidence::EvidenceCoin;
use plasmid_node::wire::form::{self, Form};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Files still being written end in this; what a kill leaves of them is ignored.
const UNFINISHED: &str = "unfinished";

/// A transaction that the owner has signed. §7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SentTransaction {
    /// Its name.
    #[serde(with = "form")]
    pub(crate) tx_hash: TxHash,
    /// Who is paid; the owner itself for a merge.
    #[serde(with = "form")]
    pub(crate) to: Address,
    /// In which asset.
    #[serde(with = "form")]
    pub(crate) asset: Address,
    /// How much, in base units.
    #[serde(with = "form")]
    pub(crate) amount: u128,
    /// The body that was signed.
    #[serde(with = "form")]
    pub(crate) body: Bytes,
    /// The owner's signature; after a repeat the one that the operator accepted first.
    #[serde(with = "form")]
    pub(crate) signature: Signature,
    /// Root-chain time of the signature, in seconds.
    pub(crate) signed_at: u64,
    /// The transaction over the same coins that this one is to replace.
    #[serde(with = "form")]
    pub(crate) replaces: Option<TxHash>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What became of a signed transaction, as far as the operator has said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Outcome {
    /// No answer is known: it may have been accepted.
    Unanswered,
    /// Accepted, with a receipt that was checked.
    Accepted(Box<Accepted>),
    /// Refused for good, with the stable code. Its signature is out all the same.
    Refused(String),
}

impl SentTransaction {
    /// Decodes the body.
    pub(crate) fn transaction(&self) -> Result<Transaction, BodyError> {
        Transaction::decode(&self.body)
    }

    /// Returns the operator's answer, if it accepted.
    pub(crate) fn accepted(&self) -> Option<&Accepted> {
        match &self.outcome {
            Outcome::Accepted(accepted) => Some(accepted),
            Outcome::Unanswered | Outcome::Refused(_) => None,
        }
    }
}

/// One owner's records of one deployment.
#[derive(Debug, Clone)]
pub(crate) struct Wallet {
    sent: PathBuf,
    coins: PathBuf,
    lock: PathBuf,
}

/// Held while coins are chosen and signed for: no two processes may choose the same.
#[derive(Debug)]
pub(crate) struct SigningLock {
    _file: File,
}

impl Wallet {
    /// Opens the records of `owner` below `folder`, which belongs to one deployment; makes the folders if need be.
    pub(crate) fn open(folder: &Path, owner: Address) -> Result<Self, StoreError> {
        let folder = folder.join("wallet").join(owner.write());
        let wallet = Self { sent: folder.join("sent"), coins: folder.join("coins"), lock: folder.join("lock") };
        for folder in [&wallet.sent, &wallet.coins] {
            fs::create_dir_all(folder).map_err(|source| StoreError::Io { path: folder.clone(), source })?;
        }
        Ok(wallet)
    }

    /// Takes the lock, or returns `None` while another process has it.
    pub(crate) fn try_lock(&self) -> Result<Option<SigningLock>, StoreError> {
        let failed = |source| StoreError::Io { path: self.lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(SigningLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Saves a signed transaction, over its earlier record if there is one. It is on disk when this returns.
    pub(crate) fn save_sent(&self, sent: &SentTransaction) -> Result<(), StoreError> {
        save(&self.sent, &sent.tx_hash.write(), sent)
    }

    /// Returns all signed transactions, in the order of their signing times.
    pub(crate) fn sent(&self) -> Result<Vec<SentTransaction>, StoreError> {
        let mut sent: Vec<SentTransaction> = load_all(&self.sent)?;
        sent.sort_by_key(|sent| (sent.signed_at, sent.tx_hash));
        Ok(sent)
    }

    /// Saves a coin with the proof of its creation, which the caller has checked. It is on disk when this returns.
    pub(crate) fn save_coin(&self, coin: &EvidenceCoin) -> Result<(), StoreError> {
        save(&self.coins, &coin.id.write(), coin)
    }

    /// Returns the coins saved, by name.
    pub(crate) fn coins(&self) -> Result<BTreeMap<OutputId, EvidenceCoin>, StoreError> {
        Ok(load_all::<EvidenceCoin>(&self.coins)?.into_iter().map(|coin| (coin.id, coin)).collect())
    }
}

/// Returns which coins have been signed for, and by which transactions.
pub(crate) fn signed_for(sent: &[SentTransaction]) -> Result<BTreeMap<OutputId, Vec<TxHash>>, BodyError> {
    let mut signed: BTreeMap<OutputId, Vec<TxHash>> = BTreeMap::new();
    for sent in sent {
        for &input in sent.transaction()?.inputs() {
            signed.entry(input).or_default().push(sent.tx_hash);
        }
    }
    Ok(signed)
}

fn save<T: Serialize>(folder: &Path, name: &str, record: &T) -> Result<(), StoreError> {
    let path = folder.join(format!("{name}.json"));
    let bytes = serde_json::to_vec_pretty(record).expect("records have string keys and no other way to fail");
    replace(folder, &path, &bytes).map_err(|source| StoreError::Io { path, source })
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

fn load_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>, StoreError> {
    let failed = |source| StoreError::Io { path: folder.to_owned(), source };
    let mut records = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let bytes = fs::read(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?;
        records.push(serde_json::from_slice(&bytes).map_err(|source| StoreError::Damaged { path, source })?);
    }
    Ok(records)
}

/// Why the wallet's records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{path}: the wallet cannot read or write its records", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is damaged: restore it from a backup, or move it away if you know that it may be forgotten", path = path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use k256::ecdsa::SigningKey;
    use plasmid_exit_game::output::{ETHER, Output};
    use plasmid_exit_game::position::Position;
    use plasmid_node::wire::evidence::DepositNonce;

    use super::*;

    const OWNER: Address = Address::repeat_byte(0xa1);

    fn sent(input: u8, signed_at: u64) -> SentTransaction {
        let output = Output { owner: OWNER, asset: ETHER, amount: 5 };
        let body = Transaction::new(vec![OutputId(B256::repeat_byte(input))], vec![output], B256::ZERO).unwrap();
        let key = SigningKey::from_slice(&[1; 32]).unwrap();
        SentTransaction {
            tx_hash: body.hash(),
            to: OWNER,
            asset: ETHER,
            amount: 5,
            body: body.encode().into(),
            signature: Signature::sign(&key, body.hash().0),
            signed_at,
            replaces: None,
            outcome: Outcome::Unanswered,
        }
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::open(folder.path(), OWNER).unwrap();
        let (first, second) = (sent(1, 10), sent(2, 9));
        wallet.save_sent(&first).unwrap();
        wallet.save_sent(&second).unwrap();
        let refused = SentTransaction { outcome: Outcome::Refused("fee-too-low".to_owned()), ..second };
        wallet.save_sent(&refused).unwrap();

        let position = Position::of_deposit(3).unwrap();
        let output = Output { owner: OWNER, asset: ETHER, amount: 7 };
        let (deposit, made, unspent) = (Some(DepositNonce { nonce: 3 }), None, None);
        let coin = EvidenceCoin { id: OutputId(B256::repeat_byte(9)), position, output, deposit, made, unspent };
        wallet.save_coin(&coin).unwrap();

        let wallet = Wallet::open(folder.path(), OWNER).unwrap();
        assert_eq!(wallet.sent().unwrap(), [refused, first], "the newer record, in order of time");
        assert_eq!(wallet.coins().unwrap(), BTreeMap::from([(coin.id, coin)]));
        let other = Wallet::open(folder.path(), Address::repeat_byte(0xb0)).unwrap();
        assert_eq!(other.sent().unwrap(), [], "another owner's records are its own");
    }

    #[test]
    fn a_kill_between_any_two_steps_leaves_the_old_record_or_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::open(folder.path(), OWNER).unwrap();
        let old = sent(1, 10);
        wallet.save_sent(&old).unwrap();
        let new = SentTransaction { outcome: Outcome::Refused("exiting".to_owned()), ..old.clone() };
        let bytes = serde_json::to_vec_pretty(&new).unwrap();
        let path = wallet.sent.join(format!("{}.json", old.tx_hash.write()));

        // Killed while writing: any length may have reached the disk.
        for length in 0..=bytes.len() {
            fs::write(path.with_extension(UNFINISHED), &bytes[..length]).unwrap();
            assert_eq!(wallet.sent().unwrap(), std::slice::from_ref(&old));
        }
        // The next start simply writes again.
        wallet.save_sent(&new).unwrap();
        assert_eq!(wallet.sent().unwrap(), [new]);
        assert!(!path.with_extension(UNFINISHED).exists());
    }

    #[test]
    fn a_damaged_record_is_an_error_and_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::open(folder.path(), OWNER).unwrap();
        wallet.save_sent(&sent(1, 10)).unwrap();
        let path = wallet.sent.join(format!("{}.json", sent(1, 10).tx_hash.write()));
        fs::write(&path, b"{").unwrap();
        assert!(matches!(wallet.sent(), Err(StoreError::Damaged { path: damaged, .. }) if damaged == path));
    }

    #[test]
    fn one_process_signs_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::open(folder.path(), OWNER).unwrap();
        let held = wallet.try_lock().unwrap().unwrap();
        assert!(wallet.try_lock().unwrap().is_none());
        drop(held);
        assert!(wallet.try_lock().unwrap().is_some());
    }

    #[test]
    fn every_signature_over_a_coin_is_remembered() {
        let (first, second) = (sent(1, 10), sent(2, 11));
        let again = SentTransaction { tx_hash: TxHash(B256::repeat_byte(7)), ..first.clone() };
        let signed = signed_for(&[first.clone(), second, again.clone()]).unwrap();
        assert_eq!(signed[&OutputId(B256::repeat_byte(1))], [first.tx_hash, again.tx_hash]);
        assert_eq!(signed.len(), 2);
    }
}
