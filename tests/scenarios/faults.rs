//! An invalid block is convicted by a watcher that nobody tends, and the chain comes to its end in order. §3, §6.6, §7.

use std::slice;

use alloy_primitives::{Address, U256};
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::exit::in_flight::Piece;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{FaultProof, Rule, ShownLeaf};
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::BlockNumber;
use plasmid_harness::cheat::{Serving, made};
use plasmid_harness::people::{People, Signed};
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether};
use plasmid_root_chain::calls::InputProof;

/// What the contract tells of faults: announcements; block, rule and accuser of each conviction; who was rewarded.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    announced: usize,
    proven: Vec<(BlockNumber, Rule, Address)>,
    rewarded: Vec<Address>,
}

async fn told(world: &World) -> Told {
    let mut told = Told::default();
    for event in world.history().await {
        match event {
            RootEvent::FaultAnnounced { .. } => told.announced += 1,
            RootEvent::FaultProven { number, rule, accuser, .. } => told.proven.push((number, rule, accuser)),
            RootEvent::FaultRewarded { accuser, .. } => told.rewarded.push(accuser),
            _ => {}
        }
    }
    told
}

#[tokio::test]
async fn after_the_halt_what_was_made_before_is_paid_and_nothing_that_a_void_block_made() {
    let mut world = World::bare().await;
    world.leave_alone();
    let mut cheat = world.cheat().await;
    let People { alice, bob, carol, mallory, watcher, .. } = People::new();
    let (domain, bonds) = (world.domain(), world.deployment.bonds);
    let alices = world.deposit(&alice, 10 * ETHER_UNIT).await;
    let bobs = world.deposit(&bob, 4 * ETHER_UNIT).await;
    let carols = world.deposit(&carol, ETHER_UNIT).await;
    let mallorys = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[alices, bobs, carols, mallorys].map(|coin| deposit_of(&coin)));
    let honest = alice.sign(&domain, &[alices], vec![ether(&alice, 10 * ETHER_UNIT)]);
    let good = cheat.commit(slice::from_ref(&honest), Serving::Served).await;
    let (alice_before, bob_before) = (world.ether_beside_gas(&alice).await, world.ether_beside_gas(&bob).await);
    let mallory_before = world.ether_beside_gas(&mallory).await;
    let pending = world.start_exit(&bob, &bobs).await;

    // Block 2 mints, block 3 hands on what it minted, and mallory starts to leave with it before anybody looks.
    let minting = mallory.sign(&domain, &[mallorys], vec![ether(&mallory, 11 * ETHER_UNIT)]);
    let payment = carol.sign(&domain, &[carols], vec![ether(&bob, ETHER_UNIT)]);
    let minted = made(cheat.next_place(0), &minting.placed())[0];
    let bad = cheat.commit(&[minting.clone(), payment.clone()], Serving::Served).await;
    let passed_on = mallory.sign(&domain, &[minted], vec![ether(&mallory, 11 * ETHER_UNIT)]);
    let after = cheat.commit(slice::from_ref(&passed_on), Serving::Served).await;
    let void = world.start_exit_by(&mallory, &passed_on, 0, &cheat.inclusion(after, 0)).await;

    world.start_watcher(&cheat.url());
    world.until_halted(bad).await;
    let whole =
        Told { announced: 1, proven: vec![(bad, Rule::R5, watcher.address())], rewarded: vec![watcher.address()] };
    assert_eq!(told(&world).await, whole);
    assert_eq!(world.root.operator_bond().await.expect("the root chain answers").fault_part_wei, 0);
    let start = |creation: &Signed, number, index| {
        let inclusion = cheat.inclusion(number, index);
        world.root.start_standard_exit(&creation.body.encode(), 0, &inclusion, 0, bonds.exit_bond_wei)
    };
    assert_eq!(world.refusal(&alice, &world.root.deposit(alice.address(), ETHER_UNIT)).await, "ChainStopped");
    assert_eq!(world.refusal(&mallory, &start(&minting, bad, 0)).await, "VoidBlock");
    assert_eq!(world.refusal(&bob, &start(&payment, bad, 1)).await, "VoidBlock");
    let by_minted = [cheat.made_by(&minting, bad, 0, 0)];
    let in_flight = world.root.start_in_flight_exit(&passed_on.shown(), &by_minted, bonds.in_flight_bond_wei);
    assert_eq!(world.refusal(&mallory, &in_flight).await, "VoidBlock");

    let exit = world.start_exit_by(&alice, &honest, 0, &cheat.inclusion(good, 0)).await;
    let started = world.start_in_flight(&bob, &payment, &[InputProof::Deposit(deposit_of(&carols))]).await;
    world.piggyback(&bob, &payment, &[Piece::Output(0)]).await;
    assert!(pending.key <= started.key && started.key < exit.key && exit.key < void.key, "what is older leaves first");
    world.move_time_to(void.key).await;
    world.process(ETHER, &[pending]).await;
    world.process_pieces(ETHER, &[&payment]).await;
    let events = world.process(ETHER, &[exit, void]).await;
    let nothing = RootEvent::ExitReturned { output_id: void.output_id, payee: mallory.address() };
    assert!(events.contains(&nothing), "it gave its bond back alone: {events:?}");
    world.close_in_flight(&bob, &payment).await;

    let books = world.books().await;
    assert_eq!(books.paid(&alice, ETHER), 10 * ETHER_UNIT);
    assert_eq!(books.paid(&bob, ETHER), 5 * ETHER_UNIT, "his deposit, and carol's payment in the void block");
    assert_eq!(books.paid(&mallory, ETHER), 0);
    // Bonds are back but for what whoever processes earns.
    let exit_bounty = U256::from(bonds.exit_bounty_wei);
    let piece_bounty = U256::from(bonds.piece_bounty_wei + bonds.piece_bounty_per_input_wei);
    let gains = async |person, before| world.ether_beside_gas(person).await + exit_bounty - before;
    assert_eq!(gains(&alice, alice_before).await, U256::from(10 * ETHER_UNIT));
    assert_eq!(gains(&bob, bob_before).await + piece_bounty, U256::from(5 * ETHER_UNIT));
    assert_eq!(gains(&mallory, mallory_before).await, U256::ZERO);
}

#[tokio::test]
async fn a_watcher_convicts_the_first_invalid_block_though_a_later_one_was_convicted_before() {
    let mut world = World::bare().await;
    world.leave_alone();
    let mut cheat = world.cheat().await;
    let People { carol, mallory, watcher, .. } = People::new();
    let coin = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let minting = mallory.sign(&world.domain(), &[coin], vec![ether(&mallory, 2 * ETHER_UNIT)]);
    let first = cheat.commit(&[minting], Serving::Served).await;
    let leaf = (vec![1], vec![0]);
    let root = cheat.header(first).utxo_root;
    let second = cheat.commit_raw(slice::from_ref(&leaf), root, Serving::Served).await;
    let inclusion = cheat.inclusion(second, 0);
    let shown = ShownLeaf {
        body: leaf.0.into(),
        witness: leaf.1.into(),
        inclusion: InclusionProof {
            header: inclusion.header,
            index: inclusion.tx_index.get(),
            witness_hash: inclusion.witness_hash,
            path: inclusion.path,
        },
    };
    world.send(&carol, &world.root.prove_fault(&FaultProof::NotCanonical { leaf: shown })).await;
    world.until_halted(second).await;

    world.start_watcher(&cheat.url());
    world.until_halted(first).await;
    let proven = vec![(second, Rule::R1, carol.address()), (first, Rule::R5, watcher.address())];
    let all = Told { announced: 1, proven, rewarded: Vec::new() };
    assert_eq!(told(&world).await, all, "the first conviction has taken all that there was");
    let waiting = world.root.conviction(second).await.expect("the root chain answers").expect("it was convicted");
    assert_eq!(waiting.reward, world.deployment.bonds.fault_slash_wei / 2, "nobody had announced it");
}

#[tokio::test]
async fn a_watcher_killed_after_its_announcement_proves_by_the_same_one() {
    let mut world = World::bare().await;
    world.leave_alone();
    let mut cheat = world.cheat().await;
    let People { mallory, watcher, .. } = People::new();
    let coin = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let minting = mallory.sign(&world.domain(), &[coin], vec![ether(&mallory, 2 * ETHER_UNIT)]);
    let bad = cheat.commit(&[minting], Serving::Served).await;
    world.start_watcher_with(&cheat.url(), &[("PLASMID_KILL_AT", "fault-announced")]);
    while !world.has_watcher_ended() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(told(&world).await.proven, []);
    world.start_watcher(&cheat.url());
    world.until_halted(bad).await;
    let accuser = watcher.address();
    let proven = vec![(bad, Rule::R5, accuser)];
    assert_eq!(told(&world).await, Told { announced: 1, proven, rewarded: vec![accuser] });
}

#[tokio::test]
async fn an_honest_operator_is_accused_of_nothing_while_coins_move_and_leave() {
    let world = World::honest().await;
    let People { alice, bob, .. } = &world.people;
    let (first, second) = (world.deposit(alice, 5 * ETHER_UNIT).await, world.deposit(bob, ETHER_UNIT).await);
    world.covered(&first).await;
    world.covered(&second).await;
    let outputs = vec![ether(bob, 2 * ETHER_UNIT), ether(alice, 3 * ETHER_UNIT)];
    let coins = world.pay(alice, &[first], outputs).await;
    world.committed(&coins[1]).await;
    // One coin leaves and is paid; a coin beside it is exiting, past its freeze, while blocks go on.
    let exit = world.start_exit(alice, &coins[1]).await;
    let exiting = world.start_exit(bob, &second).await;
    world.move_time_to(PERIODS.freeze_of_standard_exit(exiting.key) + 1).await;
    let moved = world.pay(bob, &coins[..1], vec![ether(alice, 2 * ETHER_UNIT)]).await;
    world.committed(&moved[0]).await;
    world.move_time_to(exit.key.max(exiting.key)).await;
    world.process(ETHER, &[exiting, exit]).await;
    let last = world.pay(alice, &moved, vec![ether(bob, 2 * ETHER_UNIT)]).await;
    world.committed(&last[0]).await;
    world.settled().await;
    assert_eq!(told(&world).await, Told::default());
    let status = world.watcher().status().await.expect("the watcher answers");
    assert!(!status.halted && status.synced, "{status:?}");
    let bond = world.root.operator_bond().await.expect("the root chain answers");
    assert_eq!(bond.fault_part_wei, world.deployment.bonds.fault_slash_wei);
}
