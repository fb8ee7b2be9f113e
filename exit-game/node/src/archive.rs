//! Bodies of blocks as files: `NNNNNNNNNNNN.body`, exactly the bytes that are served. §7.
//!
//! A file is written under another name, synced and renamed, so that whatever has the name is whole. It never changes:
//! writing the same bytes again does nothing, other bytes are refused. Only [`Archive::remove`] takes one away, for a block
//! that a reorganisation of the root chain unmade or a file that was damaged.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use plasmid_exit_game::block::{BodyFormatError, BodyItem, decode_items};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::tx_tree;

use crate::kill_point;

/// A folder of bodies. Cloning is cheap; clones share the folder.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: Arc<Path>,
    /// One writer at a time: a block's half-written file has one name.
    writing: Arc<Mutex<()>>,
}

impl Archive {
    /// Opens the folder, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`].
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        Ok(Self { folder: folder.into(), writing: Arc::default() })
    }

    /// Writes the body of block `number`. When this returns, the file survives a power loss.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::OtherBytes`] if the block has another body already, and [`ArchiveError::Io`].
    pub fn write(&self, number: BlockNumber, body: &[u8]) -> Result<(), ArchiveError> {
        // What a writer that panicked left behind is half a file under the other name: overwritten below.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(number);
        match fs::read(&path) {
            Ok(archived) if archived == body => return Ok(()),
            Ok(_) => return Err(ArchiveError::OtherBytes { number }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
        let half_written = path.with_extension("body.part");
        let write = || {
            let mut file = File::create(&half_written)?;
            file.write_all(body)?;
            file.sync_all()
        };
        write().map_err(failed("write", &half_written))?;
        kill_point::reached("archive-written");
        fs::rename(&half_written, &path).map_err(failed("rename", &half_written))?;
        kill_point::reached("archive-renamed");
        self.sync_folder()
    }

    /// Returns whether there is a body of block `number`.
    #[must_use]
    pub fn holds(&self, number: BlockNumber) -> bool {
        self.path(number).is_file()
    }

    /// Returns the length of the body of block `number` in bytes.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Missing`] and [`ArchiveError::Io`].
    pub fn body_len(&self, number: BlockNumber) -> Result<u64, ArchiveError> {
        let path = self.path(number);
        Ok(fs::metadata(&path).map_err(missing_or_failed(number, &path))?.len())
    }

    /// Returns bytes of the body of block `number`, unchecked, as many of `range` as the file has.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Missing`] and [`ArchiveError::Io`].
    pub fn read_range(&self, number: BlockNumber, range: Range<u64>) -> Result<Vec<u8>, ArchiveError> {
        let path = self.path(number);
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(missing_or_failed(number, &path))
    }

    /// Returns the body of block `number`, whose tree has the root `tx_root` over `tx_count` leaves.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Damaged`] if the file is not that body, [`ArchiveError::Missing`] and [`ArchiveError::Io`].
    pub fn read(&self, number: BlockNumber, tx_root: B256, tx_count: u32) -> Result<Vec<u8>, ArchiveError> {
        let path = self.path(number);
        let body = fs::read(&path).map_err(missing_or_failed(number, &path))?;
        items_of(&body, tx_root, tx_count).map_err(|source| ArchiveError::Damaged { number, source })?;
        Ok(body)
    }

    /// Takes away the body of block `number`, if there is one: a damaged file, or a block that was unmade.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`].
    pub fn remove(&self, number: BlockNumber) -> Result<(), ArchiveError> {
        let path = self.path(number);
        match fs::remove_file(&path) {
            Ok(()) => self.sync_folder(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }

    fn path(&self, number: BlockNumber) -> PathBuf {
        self.folder.join(format!("{:012}.body", number.get()))
    }

    /// A renamed or removed file survives a power loss only once its folder is synced.
    fn sync_folder(&self) -> Result<(), ArchiveError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", &self.folder))
    }
}

/// Splits a served or archived body into its items, if they are all the leaves of the block with this root.
///
/// # Errors
///
/// [`OtherBody`] if they are not.
pub fn items_of(body: &[u8], tx_root: B256, tx_count: u32) -> Result<Vec<BodyItem<'_>>, OtherBody> {
    let items = decode_items(body, tx_count)?;
    if items.len() != tx_count as usize {
        return Err(OtherBody::LeafCount { expected: tx_count, actual: items.len() });
    }
    let leaves: Vec<B256> = items.iter().map(BodyItem::leaf).collect();
    let actual = tx_tree::root(&leaves);
    if actual == tx_root { Ok(items) } else { Err(OtherBody::Root { expected: tx_root, actual }) }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Io { action, path, source }
}

fn missing_or_failed(number: BlockNumber, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::NotFound => ArchiveError::Missing { number },
        _ => ArchiveError::Io { action: "read", path, source },
    }
}

/// Why bytes are not the body of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtherBody {
    /// They are no body at all.
    #[error("the body is malformed")]
    Format(#[from] BodyFormatError),
    /// They have fewer leaves.
    #[error("the body has {actual} leaves where the header has {expected}")]
    LeafCount {
        /// The header's.
        expected: u32,
        /// The body's.
        actual: usize,
    },
    /// They have other leaves.
    #[error("the body has the root {actual} where the header has {expected}")]
    Root {
        /// The header's.
        expected: B256,
        /// The body's.
        actual: B256,
    },
}

/// Why a body cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no such file.
    #[error("the archive has no body of block {number}")]
    Missing {
        /// The block.
        number: BlockNumber,
    },
    /// The file is not the body that it was.
    #[error("the archived body of block {number} is damaged")]
    Damaged {
        /// The block.
        number: BlockNumber,
        /// What is wrong with it.
        source: OtherBody,
    },
    /// A body is never replaced.
    #[error("the archive has another body of block {number}")]
    OtherBytes {
        /// The block.
        number: BlockNumber,
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

    fn body() -> (Vec<u8>, B256) {
        let items = [
            BodyItem::Preimage { body: b"body", witness: b"witness" },
            BodyItem::Opaque(B256::repeat_byte(3)),
            BodyItem::Empty,
        ];
        let mut bytes = Vec::new();
        items.iter().for_each(|item| item.encode_to(&mut bytes));
        (bytes, tx_tree::root(&items.iter().map(BodyItem::leaf).collect::<Vec<_>>()))
    }

    #[test]
    fn a_body_is_read_back_whole_and_in_parts_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, root) = body();
        let path = folder.path().join("archive");
        Archive::open(&path).unwrap().write(BlockNumber::FIRST, &bytes).unwrap();

        let archive = Archive::open(&path).unwrap();
        assert!(path.join("000000000001.body").is_file());
        assert!(archive.holds(BlockNumber::FIRST) && !archive.holds(BlockNumber::ZERO));
        assert_eq!(archive.body_len(BlockNumber::FIRST).unwrap(), bytes.len() as u64);
        assert_eq!(archive.read(BlockNumber::FIRST, root, 3).unwrap(), bytes);
        assert_eq!(archive.read_range(BlockNumber::FIRST, 2..6).unwrap(), bytes[2..6]);
        assert_eq!(archive.read_range(BlockNumber::FIRST, 4..u64::MAX).unwrap(), bytes[4..]);
        assert!(matches!(archive.read(BlockNumber::ZERO, root, 3), Err(ArchiveError::Missing { .. })));
    }

    #[test]
    fn a_body_is_written_once_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path()).unwrap();
        let (bytes, root) = body();
        archive.write(BlockNumber::FIRST, &bytes).unwrap();
        archive.write(BlockNumber::FIRST, &bytes).unwrap();
        assert!(matches!(archive.write(BlockNumber::FIRST, b"other"), Err(ArchiveError::OtherBytes { .. })));
        assert_eq!(archive.read(BlockNumber::FIRST, root, 3).unwrap(), bytes);

        archive.remove(BlockNumber::FIRST).unwrap();
        archive.remove(BlockNumber::FIRST).unwrap();
        archive.write(BlockNumber::FIRST, b"").unwrap();
        assert_eq!(archive.read(BlockNumber::FIRST, B256::ZERO, 0).unwrap(), b"");
    }

    #[test]
    fn whatever_happens_to_a_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path()).unwrap();
        let (bytes, root) = body();
        archive.write(BlockNumber::FIRST, &bytes).unwrap();
        let path = folder.path().join("000000000001.body");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            for damaged in [&damaged[..], &bytes[..at], &[&bytes[..], &bytes[at..]].concat()] {
                fs::write(&path, damaged).unwrap();
                let read = archive.read(BlockNumber::FIRST, root, 3);
                assert!(matches!(read, Err(ArchiveError::Damaged { .. })), "byte {at}");
            }
        }
    }

    #[test]
    fn a_kill_between_write_and_rename_leaves_nothing_that_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, root) = body();
        fs::write(folder.path().join("000000000001.body.part"), &bytes[..4]).unwrap();
        let archive = Archive::open(folder.path()).unwrap();
        assert!(!archive.holds(BlockNumber::FIRST));
        archive.write(BlockNumber::FIRST, &bytes).unwrap();
        assert_eq!(archive.read(BlockNumber::FIRST, root, 3).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn writers_of_one_block_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path()).unwrap();
        let (bytes, root) = body();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| archive.write(BlockNumber::FIRST, &bytes).unwrap());
            }
        });
        assert_eq!(archive.read(BlockNumber::FIRST, root, 3).unwrap(), bytes);
    }
}
