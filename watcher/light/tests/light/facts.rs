//! The root chain's past is read once: what is still open is read again, and no more. And what is kept is kept.

use alloy_primitives::{B256, keccak256};
use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_exit_game::output::Deposit;
use plasmid_light_watcher::facts::Facts;
use plasmid_light_watcher::kept::Kept;
use plasmid_light_watcher::store::{Store, StoreError};

use crate::world::{DOMAIN, FINALITY_DEPTH, PERIODS, World, person};

#[test]
fn reading_goes_on_after_the_last_final_block_before_which_nothing_is_open() {
    let (alice, bob) = (person(1), person(2));
    let mut world = World::guarding(&[&bob]);
    let resume = |world: &World| world.facts.resume().unwrap().number;
    let start = resume(&world);
    (0..100).for_each(|_| world.pass(1));
    assert!(resume(&world) > start + 80 && resume(&world) <= start + 100 - FINALITY_DEPTH);

    let coin = world.deposit(&alice, 10);
    world.exit_starts(&coin);
    let exit_in = start + 101;
    (0..100).for_each(|_| world.pass(1));
    assert!(resume(&world) < exit_in, "the exit must be seen again after a restart");
    world.root_block(1, vec![RootEvent::ExitReturned { output_id: coin.id, payee: alice.address() }]);
    (0..100).for_each(|_| world.pass(1));
    assert!(resume(&world) > exit_in);
}

#[test]
fn a_deposit_counts_when_it_is_final_and_a_reorganisation_takes_it_back() {
    let block = |number: u64, events| {
        let at = RootRef { number, hash: keccak256(number.to_be_bytes()) };
        RootBlock { at, parent: B256::ZERO, timestamp: number, events }
    };
    let deposit = Deposit { nonce: 70, output: person(1).gets(1) };
    let deposited = || vec![RootEvent::Deposited(deposit)];
    let mut facts = Facts::new(PERIODS, FINALITY_DEPTH, None);
    facts.connect(&block(1, vec![])).unwrap();
    facts.connect(&block(2, deposited())).unwrap();
    assert_eq!(facts.take_deposits(1), []);
    assert!(facts.disconnect());
    facts.connect(&block(2, vec![])).unwrap();
    facts.connect(&block(3, deposited())).unwrap();
    assert_eq!((facts.take_deposits(3), facts.take_deposits(3)), (vec![deposit], vec![]), "once");
}

#[test]
fn what_is_kept_survives_restarts_and_kills_and_belongs_to_one_process() {
    let (mallory, bob) = (person(3), person(2));
    let mut world = World::guarding(&[&bob]);
    let hers = world.deposit(&mallory, 10);
    let his = world.commit(&[mallory.pays(&hers, &[bob.gets(10)])])[0];
    world.receive(&his);
    world.look_at(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("light.json");
    let (mut store, kept) = Store::open(folder.path(), &DOMAIN).unwrap();
    assert_eq!(kept, Kept::default());
    assert!(matches!(Store::open(folder.path(), &DOMAIN), Err(StoreError::Locked { .. })));
    store.save(&world.kept).unwrap();
    drop(store);

    // A kill while it is written leaves the file as it was.
    std::fs::write(file.with_extension("json.part"), b"{\"owners\":[").unwrap();
    let (mut store, kept) = Store::open(folder.path(), &DOMAIN).unwrap();
    assert_eq!(kept, world.kept);
    assert!(kept.evidence(his.id).unwrap().verify().is_ok(), "all that its exit shows is there");
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size < 8_000, "a small file: {size} bytes");
    store.save(&kept).unwrap();
    drop(store);
    std::fs::write(&file, b"{").unwrap();
    assert!(matches!(Store::open(folder.path(), &DOMAIN), Err(StoreError::Damaged { .. })));
}
