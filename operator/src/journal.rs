//! The log of everything that the operator has promised: append-only, durable before anything is said about it.
//!
//! A record is a frame: `magic │ length │ index │ start of its group │ checksum of the record │ chained hash │ checksum of
//! this header │ record`. A group of records is written at once and made durable with one `fdatasync`. What holds:
//!
//! - A group that [`Journal::append`] returned from is on disk. After a failed write or sync nothing is ever appended again by
//!   this process: what the disk holds is then unknown.
//! - At opening, an end that never fully reached the disk is cut off, loudly. Any other damage names its record and is an
//!   error: a person decides, since acknowledged transactions may be affected.
//! - The chained hash begins with the deployment's name, so that a log of another one does not open.

mod file;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, keccak256};
use plasmid_node::kill_point;

pub use file::{FaultPlan, FileFault, FileOperation};
pub use record::{ClosedBlock, CoveredDeposits, Intent, ReceiptBatch, Record, RecordError};

use file::LogFile;

const MAGIC: [u8; 4] = *b"PLMD";
const HEADER_LEN: usize = 64;
/// Bytes of the longest record. Nothing longer is written, so nothing longer is read.
pub const RECORD_LEN_MAX: usize = 16 << 20;
/// The unit in which disks lose what was not yet durable: such a piece reads as zeros.
const SECTOR: u64 = 512;

/// Where a record begins in the log, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordOffset(u64);

/// The log, opened for writing. There is one for a file on a machine: the file is locked.
#[derive(Debug)]
pub struct Journal {
    file: Arc<LogFile>,
    end: u64,
    next_index: u64,
    chain: B256,
    is_poisoned: bool,
    last_sync: Duration,
}

impl Journal {
    /// Opens or creates the log of the deployment named by `deployment`, and checks all of it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] names the first record that is not as it was written; [`JournalError::File`] if the file
    /// cannot be used, as when another process has it open.
    pub fn open(path: &Path, deployment: B256, faults: FaultPlan) -> Result<Self, JournalError> {
        let file = |operation| move |source| JournalError::File { path: path.to_owned(), operation, source };
        let log = Arc::new(LogFile::open(path, faults).map_err(file("open and lock"))?);
        let mut scan = Scan { file: &log, at: 0, index: 0, chain: deployment, group: 0 };
        let len = log.len().map_err(file("measure"))?;
        while scan.at < len {
            match scan.next().map_err(file("read"))? {
                Frame::Whole => {}
                Frame::Cut if !scan.has_later_group(len).map_err(file("read"))? => {
                    let lost = len - scan.at;
                    tracing::error!(record = scan.index, bytes = lost, "the log ends in a torn write; cutting it off");
                    log.cut(scan.at).map_err(file("cut"))?;
                    break;
                }
                Frame::Cut | Frame::Damaged => {
                    return Err(JournalError::Damaged { path: path.to_owned(), record: scan.index, offset: scan.at });
                }
            }
        }
        let Scan { at: end, index: next_index, chain, group, .. } = scan;
        // The last group may be what a failed sync left in memory alone: only a second write makes sure of it.
        let last_group = log.read_at(group, (end - group) as usize).map_err(file("read"))?;
        log.write_at(group, &last_group).and_then(|()| log.sync()).map_err(file("make durable"))?;
        Ok(Self { file: log, end, next_index, chain, is_poisoned: false, last_sync: Duration::ZERO })
    }

    /// Appends the records, makes them durable, and returns where each begins.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: none of the group counts as written, and the log takes no more.
    pub fn append(&mut self, records: &[Record]) -> Result<Vec<RecordOffset>, AppendError> {
        if self.is_poisoned {
            return Err(AppendError::Poisoned);
        }
        let (mut bytes, mut offsets) = (Vec::new(), Vec::with_capacity(records.len()));
        let (mut index, mut chain) = (self.next_index, self.chain);
        for record in records {
            offsets.push(RecordOffset(self.end + bytes.len() as u64));
            let payload = record.encode();
            if payload.len() > RECORD_LEN_MAX {
                return Err(AppendError::TooLong { len: payload.len() });
            }
            chain = chained(chain, &payload);
            bytes.extend_from_slice(&header(index, self.end, chain, &payload));
            bytes.extend_from_slice(&payload);
            index += 1;
        }
        // Whatever happens from here on, the disk may hold a part of it.
        self.is_poisoned = true;
        self.file.write_at(self.end, &bytes)?;
        kill_point::reached("log-written");
        let written = Instant::now();
        self.file.sync()?;
        self.last_sync = written.elapsed();
        kill_point::reached("log-synced");
        self.is_poisoned = false;
        self.end += bytes.len() as u64;
        (self.next_index, self.chain) = (index, chain);
        Ok(offsets)
    }

    /// Returns how long the disk took to make the last group durable, by the machine's clock.
    #[must_use]
    pub fn last_sync(&self) -> Duration {
        self.last_sync
    }

    /// Returns whether the log takes no more records because a write failed.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Returns how many records the log holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.next_index
    }

    /// Returns whether the log holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next_index == 0
    }

    /// Returns a reader of what is durable, for other threads.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        JournalReader { file: self.file.clone() }
    }

    /// Reads all records in order, each with where it begins.
    pub fn records(&self) -> impl Iterator<Item = Result<(RecordOffset, Record), ReadRecordError>> + use<> {
        let (reader, end) = (self.reader(), self.end);
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let offset = RecordOffset(at);
            Some(reader.read_framed(offset).map(|(record, len)| {
                at += len;
                (offset, record)
            }))
            .inspect(|outcome| {
                if outcome.is_err() {
                    at = end;
                }
            })
        })
    }
}

/// Reads single records while the log grows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JournalReader {
    file: Arc<LogFile>,
}

impl JournalReader {
    /// Reads the record at `offset`, which an append returned.
    ///
    /// # Errors
    ///
    /// [`ReadRecordError`] if the file cannot be read, or is not any more as it was written.
    pub fn read(&self, offset: RecordOffset) -> Result<Record, ReadRecordError> {
        Ok(self.read_framed(offset)?.0)
    }

    fn read_framed(&self, RecordOffset(offset): RecordOffset) -> Result<(Record, u64), ReadRecordError> {
        let damaged = ReadRecordError::Damaged { offset };
        let header = Header::decode(&self.file.read_at(offset, HEADER_LEN)?).ok_or(damaged)?;
        let payload = self.file.read_at(offset + HEADER_LEN as u64, header.len)?;
        if payload.len() != header.len || crc32c::crc32c(&payload) != header.payload_crc {
            return Err(ReadRecordError::Damaged { offset });
        }
        let record = Record::decode(&payload).map_err(|source| ReadRecordError::NotARecord { offset, source })?;
        Ok((record, (HEADER_LEN + header.len) as u64))
    }
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed.
    #[error("cannot {operation} the log {}", path.display())]
    File {
        /// The log.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A record is not as it was written, or belongs to another deployment's log.
    #[error(
        "record {record} of the log {}, at byte {offset}, is damaged or of another deployment; acknowledged transactions \
         may be lost, so the operator does not start: restore the file",
        path.display()
    )]
    Damaged {
        /// The log.
        path: PathBuf,
        /// The record's index, from 0.
        record: u64,
        /// Where it begins.
        offset: u64,
    },
}

/// Why records were not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A write failed before. Only a restart finds out what the disk holds.
    #[error("the log takes no more records since a write failed")]
    Poisoned,
    /// The write failed now.
    #[error("the log cannot be written")]
    File(#[from] io::Error),
    /// The caller made a record that no reader would take.
    #[error("a record of {len} bytes is too long")]
    TooLong {
        /// Its length.
        len: usize,
    },
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRecordError {
    /// A file operation failed.
    #[error("the log cannot be read")]
    File(#[from] io::Error),
    /// The bytes have changed since they were written.
    #[error("the record at byte {offset} is damaged")]
    Damaged {
        /// Where it begins.
        offset: u64,
    },
    /// The bytes are as written, by another version of this program.
    #[error("the record at byte {offset} is not one of this version")]
    NotARecord {
        /// Where it begins.
        offset: u64,
        /// What the decoder says.
        #[source]
        source: RecordError,
    },
}

/// A frame's header; in the file it has its own checksum, so that a length that it states is the one written.
struct Header {
    len: usize,
    index: u64,
    group: u64,
    payload_crc: u32,
    chain: B256,
}

impl Header {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.try_into().ok()?;
        let u32_at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let header = Self {
            len: u32_at(4) as usize,
            index: u64_at(8),
            group: u64_at(16),
            payload_crc: u32_at(24),
            chain: B256::from_slice(&bytes[28..60]),
        };
        (bytes[..4] == MAGIC && u32_at(60) == crc32c::crc32c(&bytes[..60]) && header.len <= RECORD_LEN_MAX)
            .then_some(header)
    }
}

fn header(index: u64, group: u64, chain: B256, payload: &[u8]) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes[8..16].copy_from_slice(&index.to_be_bytes());
    bytes[16..24].copy_from_slice(&group.to_be_bytes());
    bytes[24..28].copy_from_slice(&crc32c::crc32c(payload).to_be_bytes());
    bytes[28..60].copy_from_slice(chain.as_slice());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn chained(chain: B256, payload: &[u8]) -> B256 {
    let mut preimage = Vec::with_capacity(32 + payload.len());
    preimage.extend_from_slice(chain.as_slice());
    preimage.extend_from_slice(payload);
    keccak256(preimage)
}

/// The check of a whole log, frame by frame.
struct Scan<'a> {
    file: &'a LogFile,
    at: u64,
    index: u64,
    chain: B256,
    /// Where the group of the last whole frame begins.
    group: u64,
}

enum Frame {
    Whole,
    /// A part of it never reached the disk.
    Cut,
    Damaged,
}

impl Scan<'_> {
    fn next(&mut self) -> io::Result<Frame> {
        let head = self.file.read_at(self.at, HEADER_LEN)?;
        let Some(header) = Header::decode(&head) else {
            return self.cut_or_damaged(2 * SECTOR as usize);
        };
        let frame_len = HEADER_LEN + header.len;
        let payload = self.file.read_at(self.at + HEADER_LEN as u64, header.len)?;
        if payload.len() < header.len || crc32c::crc32c(&payload) != header.payload_crc {
            return self.cut_or_damaged(frame_len);
        }
        let chain = chained(self.chain, &payload);
        if header.index != self.index || header.chain != chain || header.group > self.at {
            return Ok(Frame::Damaged);
        }
        self.at += frame_len as u64;
        (self.index, self.chain, self.group) = (self.index + 1, chain, header.group);
        Ok(Frame::Whole)
    }

    /// Tells for a frame of `len` bytes that is not whole whether a part of it never reached the disk: the file ends within
    /// it, a piece is zero as far as a sector reaches, or nothing but zeros follow. Nothing that is written looks so.
    fn cut_or_damaged(&self, len: usize) -> io::Result<Frame> {
        let frame = self.file.read_at(self.at, len)?;
        let is_zero = |piece: &[u8]| piece.iter().all(|&byte| byte == 0);
        let (head, rest) = frame.split_at(((SECTOR - self.at % SECTOR) as usize).min(frame.len()));
        let mut pieces = std::iter::once(head).chain(rest.chunks(SECTOR as usize));
        let is_cut = is_zero(&frame)
            || frame.len() < HEADER_LEN
            || (frame.len() < len && Header::decode(&frame[..HEADER_LEN]).is_some())
            || pieces.any(|piece| piece.len() >= HEADER_LEN && is_zero(piece));
        Ok(if is_cut { Frame::Cut } else { Frame::Damaged })
    }

    /// Whether a group follows that was begun when everything up to here was durable.
    fn has_later_group(&self, len: u64) -> io::Result<bool> {
        let rest = self.file.read_at(self.at, (len - self.at) as usize)?;
        Ok(rest
            .windows(HEADER_LEN)
            .any(|window| window[..4] == MAGIC && Header::decode(window).is_some_and(|header| header.group > self.at)))
    }
}

#[cfg(test)]
mod tests;
