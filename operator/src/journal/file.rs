//! The one way to the log's file: every operation goes through [`LogFile`], where a fault harness can break it.
//!
//! The files are real. Without a [`FaultPlan`] nothing stands between the log and the operating system.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An operation on the log's file that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOperation {
    /// So many bytes are read.
    Read(usize),
    /// So many bytes are written.
    Write(usize),
    /// What was written is made durable.
    Sync,
    /// The end is cut off.
    Cut,
}

/// What becomes of a [`FileOperation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// It is done as asked.
    None,
    /// It fails and does nothing.
    Fail(io::ErrorKind),
    /// So many bytes of it are done before it fails, as when the disk is full.
    Short(usize),
    /// It is done after a pause.
    Delay(Duration),
}

/// Decides, operation by operation, what goes wrong. The default lets everything pass.
#[derive(Clone, Default)]
pub struct FaultPlan(Option<Arc<dyn Fn(FileOperation) -> FileFault + Send + Sync>>);

impl FaultPlan {
    /// Returns the plan that asks `decide` before every operation.
    pub fn new(decide: impl Fn(FileOperation) -> FileFault + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(decide)))
    }

    /// Returns how many of `len` bytes may be handled, or the failure that was planned.
    fn before(&self, operation: FileOperation, len: usize) -> Result<usize, io::Error> {
        match self.0.as_ref().map_or(FileFault::None, |decide| decide(operation)) {
            FileFault::None => Ok(len),
            FileFault::Fail(kind) => Err(kind.into()),
            FileFault::Short(done) => Ok(done.min(len)),
            FileFault::Delay(pause) => {
                std::thread::sleep(pause);
                Ok(len)
            }
        }
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "FaultPlan(planned)" } else { "FaultPlan(none)" })
    }
}

/// The log's file, locked for this process as long as it is open.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    faults: FaultPlan,
}

impl LogFile {
    /// Opens or creates the file; a new one is durable in its folder before this returns.
    pub(super) fn open(path: &Path, faults: FaultPlan) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, faults })
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads up to `len` bytes at `offset`; fewer only at the end of the file.
    pub(super) fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.faults.before(FileOperation::Read(len), len)?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let allowed = self.faults.before(FileOperation::Write(bytes.len()), bytes.len())?;
        self.file.write_all_at(&bytes[..allowed], offset)?;
        if allowed < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.faults.before(FileOperation::Sync, 0)?;
        self.file.sync_data()
    }

    /// Cuts everything from `len` on and makes that durable.
    pub(super) fn cut(&self, len: u64) -> io::Result<()> {
        self.faults.before(FileOperation::Cut, 0)?;
        self.file.set_len(len)?;
        self.file.sync_all()
    }
}
