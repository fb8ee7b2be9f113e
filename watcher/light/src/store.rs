//! The small file in which everything is kept, replaced in one step; one process at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use plasmid_exit_game::signature::Domain;

use crate::kept::{Kept, Written};

const FILE: &str = "light.json";
const LOCK: &str = "light.lock";

/// The file, held by this process.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// What the file holds.
    written: Vec<u8>,
    _lock: File,
}

impl Store {
    /// Opens the file in `folder`, which is the deployment's own; returns what was kept, if anything was.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(folder: &Path, domain: &Domain) -> Result<(Self, Kept), StoreError> {
        let path = folder.join(FILE);
        let failed = |source| StoreError::Io { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::create(folder.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let written = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(failed(source)),
        };
        let kept = if written.is_empty() {
            Kept::default()
        } else {
            let kept = serde_json::from_slice::<Written>(&written).ok().and_then(|written| written.read(domain));
            kept.ok_or_else(|| StoreError::Damaged { path: path.clone() })?
        };
        Ok((Self { path, written, _lock: lock }, kept))
    }

    /// Keeps it: beside the file, synced, renamed. Writes nothing if nothing has changed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn save(&mut self, kept: &Kept) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(&Written::from(kept)).expect("string keys and no other way to fail");
        if bytes == self.written {
            return Ok(());
        }
        self.replace(&bytes).map_err(|source| StoreError::Io { path: self.path.clone(), source })?;
        self.written = bytes;
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path.with_extension("json.part");
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system failed.
    #[error("{path} cannot be read or written", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process guards from the same folder.
    #[error("another light watcher works in {folder}", folder = folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// What it holds does not decode.
    #[error("{path} is damaged: move it away, and all is read anew", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}
