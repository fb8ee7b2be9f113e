use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::Address;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::output::{ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_node::chain::SealedBlock;
use proptest::prelude::*;

use super::*;

const DEPLOYMENT: B256 = B256::repeat_byte(0xdd);

fn output(amount: u128) -> Output {
    Output { owner: Address::repeat_byte(1), asset: ETHER, amount }
}

fn transaction(seed: u8) -> PlacedTransaction {
    let body = Transaction::new(vec![OutputId(B256::repeat_byte(seed))], vec![output(1)], B256::ZERO).unwrap();
    let signature = Signature::decode([1; 64]).unwrap();
    PlacedTransaction { body, witness: Witness { signature, placement: vec![Position::of_deposit(7).unwrap()] } }
}

fn sealed() -> SealedBlock {
    let number = BlockNumber::FIRST;
    SealedBlock {
        number,
        tx_count: 3,
        deposit_count: 2,
        tx_root: B256::repeat_byte(5),
        utxo_root: B256::repeat_byte(6),
    }
}

/// One record of each kind.
fn records() -> Vec<Record> {
    let number = BlockNumber::FIRST;
    vec![
        Record::Covered(CoveredDeposits { number, first_nonce: 0, outputs: vec![output(5), output(6)] }),
        Record::Accepted(ReceiptBatch { number, first: 0, by: 99, items: (0..3).map(transaction).collect() }),
        Record::Closed(ClosedBlock { number, tx_count: 3, deposit_count: 2 }),
        Record::Dropped(vec![Place { block: number, index: TxIndex::new(1).unwrap() }]),
        Record::Intended(Intent {
            block: sealed(),
            anchor: RootRef { number: 10, hash: B256::repeat_byte(7) },
            not_after: 100,
            nonce: 1,
            gas: 200_000,
            max_fee_wei: 1 << 70,
            priority_fee_wei: 0,
        }),
    ]
}

fn open(path: &Path) -> Result<Journal, JournalError> {
    Journal::open(path, DEPLOYMENT, FaultPlan::default())
}

fn contents(journal: &Journal) -> Vec<Record> {
    journal.records().map(|entry| entry.unwrap().1).collect()
}

/// A log with each record in a group of its own, and its bytes.
fn written(path: &Path) -> Vec<u8> {
    let mut journal = open(path).unwrap();
    records().iter().for_each(|record| drop(journal.append(std::slice::from_ref(record)).unwrap()));
    std::fs::read(path).unwrap()
}

#[test]
fn a_record_decodes_to_itself_and_no_other_bytes_do() {
    for record in records() {
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Ok(record));
        assert_eq!(Record::decode(&bytes[..bytes.len() - 1]), Err(RecordError));
        assert_eq!(Record::decode(&[&bytes[..], &[0]].concat()), Err(RecordError));
    }
    assert_eq!(Record::decode(&[]), Err(RecordError));
    assert_eq!(Record::decode(&[9]), Err(RecordError));
    assert_eq!(Record::decode(&[DROPPED_KIND]), Err(RecordError), "nothing dropped");
}

const DROPPED_KIND: u8 = 4;

proptest! {
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(index in 0..5usize, at in 0..2_000usize, to in any::<u8>()) {
        let mut bytes = records()[index].encode();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }
}

#[test]
fn what_was_appended_is_there_after_a_restart_at_the_same_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut journal = open(&path).unwrap();
    assert!(journal.is_empty());
    let mut offsets = journal.append(&records()[..2]).unwrap();
    offsets.extend(journal.append(&records()[2..]).unwrap());
    drop(journal);

    let journal = open(&path).unwrap();
    assert_eq!(journal.len(), 5);
    let read: Vec<_> = journal.records().map(Result::unwrap).collect();
    assert_eq!(read.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), offsets);
    assert_eq!(contents(&journal), records());
    assert_eq!(journal.reader().read(offsets[2]).unwrap(), records()[2]);
}

#[test]
fn one_process_has_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let journal = open(&path).unwrap();
    assert!(matches!(open(&path), Err(JournalError::File { operation: "open and lock", .. })));
    drop(journal);
    assert!(open(&path).is_ok());
}

#[test]
fn the_log_of_another_deployment_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    written(&path);
    let outcome = Journal::open(&path, B256::ZERO, FaultPlan::default());
    assert!(matches!(outcome, Err(JournalError::Damaged { record: 0, .. })));
}

#[test]
fn a_torn_end_is_cut_and_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(&folder.path().join("whole"));
    let path = folder.path().join("torn");
    for len in 0..whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        let mut journal = open(&path).unwrap_or_else(|error| panic!("{len} bytes: {error}"));
        let kept = contents(&journal);
        assert_eq!(kept, records()[..kept.len()]);
        journal.append(&records()[4..]).unwrap();
        drop(journal);
        assert_eq!(contents(&open(&path).unwrap()).len(), kept.len() + 1);
    }
}

#[test]
fn sectors_of_the_last_group_that_never_arrived_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut journal = open(&path).unwrap();
    journal.append(&records()[..1]).unwrap();
    let durable = std::fs::metadata(&path).unwrap().len() as usize;
    let many = Record::Accepted(ReceiptBatch {
        number: BlockNumber::FIRST,
        first: 0,
        by: 1,
        items: (0..20).map(transaction).collect(),
    });
    journal.append(&[many.clone(), many.clone(), many]).unwrap();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    for sector in 1..whole.len() / 512 {
        let mut torn = whole.clone();
        torn[sector * 512..(sector + 1) * 512].fill(0);
        std::fs::write(&path, &torn).unwrap();
        let kept = contents(&open(&path).unwrap()).len();
        assert!((1..4).contains(&kept) && sector * 512 >= durable);
    }
    std::fs::write(&path, [&whole[..], &[0; 4096]].concat()).unwrap();
    assert_eq!(contents(&open(&path).unwrap()).len(), 4, "the file grew but nothing was written");
}

#[test]
fn a_sector_lost_before_the_last_group_is_no_torn_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut journal = open(&path).unwrap();
    let many = Record::Accepted(ReceiptBatch {
        number: BlockNumber::FIRST,
        first: 0,
        by: 1,
        items: (0..20).map(transaction).collect(),
    });
    journal.append(std::slice::from_ref(&many)).unwrap();
    journal.append(&[many]).unwrap();
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1024..1536].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(open(&path), Err(JournalError::Damaged { record: 0, .. })));
}

#[test]
fn every_flipped_byte_is_found_and_its_record_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole");
    let whole = written(&path);
    let ends: Vec<usize> = {
        let journal = open(&path).unwrap();
        let starts: Vec<_> = journal.records().map(|entry| entry.unwrap().0.0 as usize).collect();
        starts[1..].iter().copied().chain([whole.len()]).collect()
    };
    let path = folder.path().join("flipped");
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, whole[at]] {
            let mut flipped = whole.clone();
            flipped[at] ^= flip;
            if flip == 0 {
                continue;
            }
            std::fs::write(&path, &flipped).unwrap();
            let expected = ends.iter().position(|&end| at < end).unwrap() as u64;
            match open(&path) {
                Err(JournalError::Damaged { record, .. }) => assert_eq!(record, expected, "byte {at}"),
                outcome => panic!("byte {at}: {outcome:?}"),
            }
            assert_eq!(std::fs::read(&path).unwrap(), flipped, "a damaged log is left as it is");
        }
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_ever_appended() {
    let failures = [
        (FileOperation::Write(0), FileFault::Fail(io::ErrorKind::StorageFull)),
        (FileOperation::Write(0), FileFault::Short(40)),
        (FileOperation::Sync, FileFault::Fail(io::ErrorKind::Other)),
    ];
    for (failing, fault) in failures {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let calls = Arc::new(AtomicUsize::new(0));
        let plan = FaultPlan::new({
            let calls = calls.clone();
            move |operation| {
                let is_meant = std::mem::discriminant(&operation) == std::mem::discriminant(&failing);
                // The first is the opening's, the second the first append's.
                if is_meant && calls.fetch_add(1, Ordering::SeqCst) == 2 { fault } else { FileFault::None }
            }
        });
        let mut journal = Journal::open(&path, DEPLOYMENT, plan).unwrap();
        journal.append(&records()[..2]).unwrap();
        assert!(matches!(journal.append(&records()[2..3]), Err(AppendError::File(_))));
        assert!(journal.is_poisoned());
        assert!(matches!(journal.append(&records()[3..4]), Err(AppendError::Poisoned)));
        assert_eq!(contents(&journal), records()[..2], "reads go on");
        drop(journal);
        let found = contents(&open(&path).unwrap());
        assert!(found == records()[..2] || found == records()[..3], "what was acknowledged is there");
    }
}

#[test]
fn a_slow_disk_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let plan = FaultPlan::new(|_| FileFault::Delay(Duration::from_millis(1)));
    let mut journal = Journal::open(&folder.path().join("log"), DEPLOYMENT, plan).unwrap();
    journal.append(&records()).unwrap();
    assert_eq!(contents(&journal), records());
}
