//! Evidence files on disk: read strictly, written in one step and readable by their owner alone.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use plasmid_node::wire::evidence::{EVIDENCE_FORMAT, Evidence, EvidenceCoin, EvidenceTransaction};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Most bytes that are read as one file: some hundred thousand coins.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// A file still being written is called by its name and this; what a kill leaves of it is written over the next time.
const UNFINISHED: &str = ".unfinished";

/// Reads a file. Whether what it shows proves anything is another question: [`super::proof`].
///
/// # Errors
///
/// [`FileError`] for each way in which it is no evidence file.
pub(crate) fn read(path: &Path) -> Result<Evidence, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    decode(&bytes).map_err(|fault| FileError::Form { path: path.to_owned(), fault })
}

/// Decodes a file: every field there, no other, each in the one form that it has.
fn decode(bytes: &[u8]) -> Result<Evidence, FormFault> {
    let evidence: Evidence = serde_json::from_slice(bytes).map_err(|source| fault_of(bytes, source))?;
    if evidence.format != EVIDENCE_FORMAT {
        return Err(FormFault::Format { format: evidence.format });
    }
    Ok(evidence)
}

/// Names the entry in which decoding stopped, if it is one.
fn fault_of(bytes: &[u8], source: serde_json::Error) -> FormFault {
    let Ok(file) = serde_json::from_slice::<Value>(bytes) else { return FormFault::Json { source } };
    // Of another version nothing else can be said.
    if let Some(format) = file.get("format").and_then(Value::as_str).filter(|&format| format != EVIDENCE_FORMAT) {
        return FormFault::Format { format: format.to_owned() };
    }
    let entry = bad_entry::<EvidenceCoin>(&file, "coins", "id", "coin")
        .or_else(|| bad_entry::<EvidenceTransaction>(&file, "transactions", "txHash", "transaction"));
    match entry {
        Some(entry) => FormFault::Entry { entry, source },
        None => FormFault::Json { source },
    }
}

/// Returns the name of the first entry of a list that does not decode.
fn bad_entry<T: DeserializeOwned>(file: &Value, list: &str, name: &str, word: &str) -> Option<String> {
    let entries = file.get(list)?.as_array()?;
    let index = entries.iter().position(|entry| T::deserialize(entry).is_err())?;
    let name = entries[index].get(name).and_then(Value::as_str).unwrap_or("without a name");
    Some(format!("{word} {name} (entry {index} of {list})"))
}

/// Writes the file in one step: beside it, synced, renamed. A kill leaves the old file or the new one.
///
/// # Errors
///
/// [`FileError::Write`].
pub(crate) fn write(path: &Path, evidence: &Evidence) -> Result<(), FileError> {
    let mut bytes = serde_json::to_vec_pretty(evidence).expect("evidence has string keys and no other way to fail");
    bytes.push(b'\n');
    replace(path, &bytes).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file");
    let mut name = path.file_name().ok_or_else(no_file)?.to_owned();
    name.push(UNFINISHED);
    let unfinished = path.with_file_name(name);
    // What a kill left there may have another mode; a link there must not be followed.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Why a file is no evidence file, or cannot become one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{path} cannot be read", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is longer than any evidence file", path = path.display())]
    TooLarge { path: PathBuf },
    #[error("{path} is no evidence file, or a damaged one: take another copy, or export it again", path = path.display())]
    Form {
        path: PathBuf,
        #[source]
        fault: FormFault,
    },
    #[error("{path} cannot be written", path = path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What is wrong with a file's form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormFault {
    #[error("its format is {format:?}, and {EVIDENCE_FORMAT:?} is the one that is known here")]
    Format { format: String },
    #[error("{entry}")]
    Entry { entry: String, source: serde_json::Error },
    #[error("it does not decode")]
    Json { source: serde_json::Error },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use alloy_primitives::{Address, B256};
    use plasmid_exit_game::output::{ETHER, Output, OutputId};
    use plasmid_exit_game::position::Position;
    use plasmid_node::wire::RootBlock;
    use plasmid_node::wire::evidence::DepositNonce;

    use super::*;

    fn evidence() -> Evidence {
        let output = Output { owner: Address::repeat_byte(0xa1), asset: ETHER, amount: 7 };
        let coin = EvidenceCoin {
            id: OutputId(B256::repeat_byte(9)),
            position: Position::of_deposit(3).unwrap(),
            output,
            deposit: Some(DepositNonce { nonce: 3 }),
            made: None,
            unspent: None,
        };
        Evidence {
            format: EVIDENCE_FORMAT.to_owned(),
            chain_id: 31_337,
            contract: Address::repeat_byte(0xc0),
            exported_at: RootBlock { number: 5, hash: B256::repeat_byte(5) },
            coins: vec![coin],
            transactions: Vec::new(),
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evidence.json");
        write(&path, &evidence()).unwrap();
        assert_eq!(read(&path).unwrap(), evidence());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);

        // A file that anybody can read, what a kill left, and a link that somebody laid in the way.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, folder.path().join(format!("evidence.json{UNFINISHED}"))).unwrap();
        write(&path, &evidence()).unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&victim).unwrap().as_str()), (0o600, "untouched"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing unfinished stays");
        assert!(matches!(write(Path::new("/"), &evidence()), Err(FileError::Write { .. })));
    }

    #[test]
    fn a_file_cut_anywhere_is_no_evidence() {
        let bytes = serde_json::to_vec(&evidence()).unwrap();
        for length in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..length]), Err(FormFault::Json { .. })), "{length}");
        }
    }

    #[test]
    fn an_entry_that_does_not_decode_is_named() {
        let mut file = serde_json::to_value(evidence()).unwrap();
        file["coins"][0]["output"] = "0x01".into();
        match decode(&serde_json::to_vec(&file).unwrap()) {
            Err(FormFault::Entry { entry, source }) => {
                assert!(entry.starts_with("coin 0x0909") && entry.ends_with("(entry 0 of coins)"), "{entry}");
                assert!(source.to_string().starts_with("1 bytes where 57 are expected"), "{source}");
            }
            other => panic!("{other:?}"),
        }
        file["format"] = "plasmid-evidence/2".into();
        assert!(matches!(decode(&serde_json::to_vec(&file).unwrap()), Err(FormFault::Format { .. })));
    }

    #[test]
    fn a_missing_field_is_not_null() {
        for field in ["deposit", "made", "unspent", "id"] {
            let mut file = serde_json::to_value(evidence()).unwrap();
            file["coins"][0].as_object_mut().unwrap().remove(field);
            assert!(matches!(decode(&serde_json::to_vec(&file).unwrap()), Err(FormFault::Entry { .. })), "{field}");
        }
    }
}
