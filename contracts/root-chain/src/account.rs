//! Keys: where they come from, and what they sign.
//!
//! With [`bindings`](crate::bindings) one of the two modules with ethers types inside.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use ethers_core::rand::thread_rng;
use ethers_core::types::transaction::eip2718::TypedTransaction;
use ethers_core::types::{self as ethers, Eip1559TransactionRequest, H160, NameOrAddress};
use ethers_signers::{LocalWallet, WalletError};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::signature::{Signature, address_of};
use serde::Deserialize;

use crate::node::Call;

/// Most memory that a keystore's key derivation may ask for, in bytes. Usual ones ask for 256 MiB at most.
const KEYSTORE_MEMORY_MAX: u64 = 1 << 30;

/// A key and its address. Never shows the key.
#[derive(Clone)]
pub struct Account {
    key: SigningKey,
    address: Address,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Account {
    /// Takes a raw key: 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    ///
    /// [`AccountError::Key`] if these are no key.
    pub fn from_hex(key: &str) -> Result<Self, AccountError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(key, &mut bytes).map_err(|_| AccountError::Key)?;
        Ok(Self::from_key(SigningKey::from_slice(&bytes).map_err(|_| AccountError::Key)?))
    }

    /// Opens a keystore file (version 3, as cast and geth write them).
    ///
    /// # Errors
    ///
    /// [`AccountError`] if the file cannot be read, is no keystore, or has another password.
    pub fn from_keystore(path: &Path, password: &str) -> Result<Self, AccountError> {
        let text = fs::read_to_string(path).map_err(|source| AccountError::Read { path: path.to_owned(), source })?;
        let is_usable = serde_json::from_str(&text).is_ok_and(|file: KeystoreFile| file.is_usable());
        if !is_usable {
            return Err(AccountError::Form { path: path.to_owned() });
        }
        let wallet = LocalWallet::decrypt_keystore(path, password);
        let wallet = wallet.map_err(|source| AccountError::Keystore { path: path.to_owned(), source })?;
        Ok(Self::from_key(wallet.signer().clone()))
    }

    /// Makes a new random key and its keystore file `directory/name`, which must not exist.
    ///
    /// # Errors
    ///
    /// [`AccountError`] if the file exists or cannot be written.
    pub fn create_keystore(directory: &Path, name: &str, password: &str) -> Result<Self, AccountError> {
        let account = Self::from_key(LocalWallet::new(&mut thread_rng()).signer().clone());
        account.save_keystore(directory, name, password)?;
        Ok(account)
    }

    /// Writes the key into a keystore file `directory/name`, which must not exist.
    ///
    /// # Errors
    ///
    /// [`AccountError`] if the file exists or cannot be written.
    pub fn save_keystore(&self, directory: &Path, name: &str, password: &str) -> Result<(), AccountError> {
        let path = directory.join(name);
        // A keystore that is written over is money lost.
        if path.exists() {
            return Err(AccountError::Exists { path });
        }
        let key = self.key.to_bytes();
        let saved = LocalWallet::encrypt_keystore(directory, &mut thread_rng(), key, password, Some(name));
        saved.map(drop).map_err(|source| AccountError::Keystore { path, source })
    }

    /// Returns the address that belongs to the key.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest of the child chain: a transaction's or a receipt's. §1.6, §1.10.
    #[must_use]
    pub fn sign_digest(&self, digest: B256) -> Signature {
        Signature::sign(&self.key, digest)
    }

    /// Signs a transaction of the root chain (EIP-1559).
    pub(crate) fn sign_transaction(
        &self,
        chain_id: u64,
        call: &Call,
        nonce: u64,
        gas_limit: u64,
        fees: Fees,
    ) -> SignedTransaction {
        let request = Eip1559TransactionRequest {
            from: Some(H160(self.address.into_array())),
            to: call.to.map(|to| NameOrAddress::Address(H160(to.into_array()))),
            gas: Some(gas_limit.into()),
            value: Some(ethers_uint(call.value_wei)),
            data: Some(call.data.to_vec().into()),
            nonce: Some(nonce.into()),
            access_list: ethers::transaction::eip2930::AccessList::default(),
            max_priority_fee_per_gas: Some(fees.max_priority_fee_wei.into()),
            max_fee_per_gas: Some(fees.max_fee_wei.into()),
            chain_id: Some(chain_id.into()),
        };
        let transaction = TypedTransaction::Eip1559(request);
        let signature = self.sign_digest(B256::new(transaction.sighash().0));
        let raw = transaction.rlp_signed(&ethers::Signature {
            r: signature.r().into(),
            s: signature.s().into(),
            v: u64::from(signature.is_y_odd()),
        });
        SignedTransaction { hash: keccak256(&raw), raw: raw.0.into(), nonce, fees }
    }

    fn from_key(key: SigningKey) -> Self {
        let address = address_of(key.verifying_key());
        Self { key, address }
    }
}

/// What a transaction offers for a unit of gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// Most that it pays in all.
    pub max_fee_wei: u128,
    /// Most that it pays beside the base fee.
    pub max_priority_fee_wei: u128,
}

/// A transaction of the root chain, ready to broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    /// Its bytes.
    pub raw: Bytes,
    /// Its name: keccak-256 of the bytes.
    pub hash: B256,
    /// Its place among its sender's transactions.
    pub nonce: u64,
    /// What it offers.
    pub fees: Fees,
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not 32 bytes of hex, or not a key of secp256k1. The text is not repeated: it may be one but for a digit.
    #[error("not a private key of 64 hex digits")]
    Key,
    /// The file cannot be read.
    #[error("keystore {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The file is no keystore.
    #[error("{} is no keystore of version 3", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The file exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The password is another, or the file cannot be written.
    #[error("keystore {} cannot be used", path.display())]
    Keystore {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: WalletError,
    },
}

/// The parts of a keystore on which the library that decrypts it would panic, were they of another length.
#[derive(Deserialize)]
struct KeystoreFile {
    crypto: KeystoreCrypto,
}

#[derive(Deserialize)]
struct KeystoreCrypto {
    ciphertext: String,
    cipherparams: KeystoreCipher,
    kdfparams: KeystoreDerivation,
}

#[derive(Deserialize)]
struct KeystoreCipher {
    iv: String,
}

#[derive(Deserialize)]
struct KeystoreDerivation {
    dklen: u64,
    n: Option<u64>,
    r: Option<u64>,
}

impl KeystoreFile {
    fn is_usable(&self) -> bool {
        let KeystoreCrypto { ciphertext, cipherparams, kdfparams } = &self.crypto;
        let memory =
            kdfparams.n.unwrap_or(1).checked_mul(kdfparams.r.unwrap_or(1)).and_then(|blocks| blocks.checked_mul(128));
        ciphertext.len() == 64
            && cipherparams.iv.len() == 32
            && kdfparams.dklen == 32
            && memory.is_some_and(|memory| memory <= KEYSTORE_MEMORY_MAX)
    }
}

fn ethers_uint(number: U256) -> ethers::U256 {
    number.to_be_bytes::<32>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keystore_opens_with_its_password_alone_and_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let account = Account::create_keystore(directory.path(), "alice", "secret").unwrap();
        let path = directory.path().join("alice");
        assert_eq!(Account::from_keystore(&path, "secret").unwrap().address(), account.address());
        assert!(matches!(Account::from_keystore(&path, "other"), Err(AccountError::Keystore { .. })));
        let again = Account::create_keystore(directory.path(), "alice", "secret");
        assert!(matches!(again, Err(AccountError::Exists { .. })));
    }

    #[test]
    fn a_damaged_keystore_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        Account::create_keystore(directory.path(), "alice", "secret").unwrap();
        let text = fs::read_to_string(directory.path().join("alice")).unwrap();
        let damaged = directory.path().join("damaged");
        let replaced = [
            ("\"dklen\":32", "\"dklen\":0"),
            ("\"iv\":\"", "\"iv\":\"00"),
            ("\"n\":", "\"n\":4294967"),
            ("\"ciphertext\":\"", "\"ciphertext\":\"00"),
        ];
        for (old, new) in replaced {
            assert!(text.contains(old), "{text}");
            fs::write(&damaged, text.replace(old, new)).unwrap();
            assert!(matches!(Account::from_keystore(&damaged, "secret"), Err(AccountError::Form { .. })));
        }
        for cut in 0..text.len() {
            fs::write(&damaged, &text[..cut]).unwrap();
            assert!(matches!(Account::from_keystore(&damaged, "secret"), Err(AccountError::Form { .. })));
        }
    }

    #[test]
    fn keys_have_their_address_and_stay_secret() {
        let key = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let account = Account::from_hex(key).unwrap();
        assert_eq!(account.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert!(!format!("{account:?}").contains("ac0974"));
        let digest = B256::repeat_byte(7);
        assert_eq!(account.sign_digest(digest).recover(digest), Some(account.address()));
        for wrong in ["", "0x", "00", &key[..65], "0x0000000000000000000000000000000000000000000000000000000000000000"]
        {
            assert!(matches!(Account::from_hex(wrong), Err(AccountError::Key)), "{wrong}");
        }
    }
}
