//! A data folder: it belongs to one deployment, and one process at a time works in it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::wire::form;

/// Says whose the folder is.
const CHAIN_FILE: &str = "chain.json";
/// Locked by the process that works in the folder.
const LOCK_FILE: &str = "lock";

/// What tells one deployment from every other, a restarted development chain with equal addresses included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// The root chain's id.
    pub chain_id: u64,
    /// The contract.
    #[serde(with = "form")]
    pub contract: Address,
    /// Hash of the root block that holds the deployment.
    #[serde(with = "form")]
    pub deployment_block_hash: B256,
}

/// A data folder that this process holds.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The lock lasts as long as the file is open.
    _lock: File,
}

impl DataFolder {
    /// Takes the folder `path` for `deployment`: makes it at first use, refuses it if it is another deployment's or another
    /// process works in it.
    ///
    /// # Errors
    ///
    /// [`DataFolderError`]; a service that cannot have its folder exits with code 3.
    pub fn open(path: &Path, deployment: &Deployment) -> Result<Self, DataFolderError> {
        fs::create_dir_all(path).map_err(failed("make", path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(failed("make", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataFolderError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path)(error)),
        }
        let chain_path = path.join(CHAIN_FILE);
        match fs::read(&chain_path) {
            Ok(json) => check(path, &chain_path, &json, deployment)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => write(path, &chain_path, deployment)?,
            Err(error) => return Err(failed("read", &chain_path)(error)),
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Returns the folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn check(path: &Path, chain_path: &Path, json: &[u8], expected: &Deployment) -> Result<(), DataFolderError> {
    let found: Deployment = serde_json::from_slice(json)
        .map_err(|source| DataFolderError::Unreadable { path: chain_path.to_owned(), source })?;
    if found == *expected {
        return Ok(());
    }
    let (found, expected) = (Box::new(found), Box::new(*expected));
    Err(DataFolderError::OtherDeployment { path: path.to_owned(), found, expected })
}

/// Writes the file under another name and renames it: it is whole or not there.
fn write(path: &Path, chain_path: &Path, deployment: &Deployment) -> Result<(), DataFolderError> {
    let json = serde_json::to_vec_pretty(deployment).expect("three plain fields");
    let half_written = chain_path.with_extension("json.part");
    let write = || {
        let mut file = File::create(&half_written)?;
        file.write_all(&json)?;
        file.sync_all()?;
        fs::rename(&half_written, chain_path)?;
        File::open(path)?.sync_all()
    };
    write().map_err(failed("write", chain_path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataFolderError {
    let path = path.to_owned();
    move |source| DataFolderError::Io { action, path, source }
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// It was made for another chain, contract or deployment.
    #[error("{path} belongs to {found:?}, not to {expected:?}")]
    OtherDeployment {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: Box<Deployment>,
        /// Who asked.
        expected: Box<Deployment>,
    },
    /// Another process holds it.
    #[error("another process works in {path}")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// What it says of itself cannot be understood.
    #[error("{path} does not say which chain the folder belongs to")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file system failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: Deployment = Deployment {
        chain_id: 31_337,
        contract: Address::repeat_byte(0xcc),
        deployment_block_hash: B256::repeat_byte(1),
    };

    #[test]
    fn a_folder_serves_one_deployment_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        drop(DataFolder::open(&path, &DEPLOYMENT).unwrap());
        assert_eq!(DataFolder::open(&path, &DEPLOYMENT).unwrap().path(), path);
        // A development chain that was started anew: only the block's hash differs.
        let anew = Deployment { deployment_block_hash: B256::repeat_byte(2), ..DEPLOYMENT };
        for other in
            [anew, Deployment { chain_id: 1, ..DEPLOYMENT }, Deployment { contract: Address::ZERO, ..DEPLOYMENT }]
        {
            assert!(matches!(DataFolder::open(&path, &other), Err(DataFolderError::OtherDeployment { .. })));
        }
        DataFolder::open(&path, &DEPLOYMENT).unwrap();
    }

    #[test]
    fn one_process_at_a_time_works_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let held = DataFolder::open(folder.path(), &DEPLOYMENT).unwrap();
        assert!(matches!(DataFolder::open(folder.path(), &DEPLOYMENT), Err(DataFolderError::Locked { .. })));
        drop(held);
        DataFolder::open(folder.path(), &DEPLOYMENT).unwrap();
    }

    #[test]
    fn a_folder_that_does_not_say_whose_it_is_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let whole = serde_json::to_string(&DEPLOYMENT).unwrap();
        let more = whole.replace('{', "{\"more\":1,");
        for json in ["", "{}", "[]", &whole[..whole.len() - 1], &more] {
            fs::write(folder.path().join(CHAIN_FILE), json).unwrap();
            assert!(matches!(DataFolder::open(folder.path(), &DEPLOYMENT), Err(DataFolderError::Unreadable { .. })));
        }
    }
}
