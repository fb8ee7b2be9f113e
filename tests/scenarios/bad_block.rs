//! After a bad block: the watcher says so, and older coins leave first. §3, §4, §7.

use alloy_primitives::B256;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, ETHER};
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_harness::cheat::{CheatingOperator, Serving};
use plasmid_harness::people::Coin;
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, ether, eventually};
use plasmid_node::wire::Verdict;
use plasmid_root_chain::calls::InclusionProof;

/// Waits until the watcher has a verdict on a block.
async fn verdict(world: &World, number: BlockNumber) -> Verdict {
    eventually("the watcher has a verdict", || async {
        let verdict = world.watcher().block(number).await.ok()?.verdict;
        (verdict != Verdict::Unknown).then_some(verdict)
    })
    .await
}

fn deposit_of(coin: &Coin) -> Deposit {
    match coin.position.kind() {
        PositionKind::Deposit(nonce) => Deposit { nonce, output: coin.output },
        PositionKind::Output(..) => panic!("not a deposit"),
    }
}

/// Starts an exit of the only transaction's output in a block that the cheating operator made.
async fn exit_alone(
    world: &World,
    cheat: &CheatingOperator,
    number: BlockNumber,
    signed: &plasmid_harness::people::Signed,
    owner: &plasmid_harness::people::Person,
) -> plasmid_exit_game::exit::standard::ExitRecord {
    let header = cheat.header(number);
    let transaction = signed.placed();
    let tx_index = plasmid_exit_game::position::TxIndex::new(0).expect("an index");
    let proof = InclusionProof { header, tx_index, witness_hash: transaction.witness.hash(), path: Vec::new() };
    let bond = world.deployment.bonds.exit_bond_wei;
    let call = world.root.start_standard_exit(&transaction.body.encode(), 0, &proof, 0, bond);
    let receipt = world.send(owner, &call).await;
    world.started(&receipt)
}

#[tokio::test]
async fn older_coins_are_paid_before_what_a_bad_block_mints() {
    let (world, mut cheat) = World::cheated().await;
    let (alice, mallory) = (&world.people.alice, &world.people.mallory);
    let alices = world.deposit(alice, 10 * ETHER_UNIT).await;
    let mallorys = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&alices), deposit_of(&mallorys)]);
    let honest = alice.sign(&world.domain(), &[alices], vec![ether(alice, 10 * ETHER_UNIT)]);
    let good = cheat.commit(std::slice::from_ref(&honest), Serving::Served).await;
    assert_eq!(verdict(&world, good).await, Verdict::Valid);

    // Mallory and the operator mint eleven ether out of one.
    let minting = mallory.sign(&world.domain(), &[mallorys], vec![ether(mallory, 11 * ETHER_UNIT)]);
    let bad = cheat.commit(std::slice::from_ref(&minting), Serving::Served).await;
    assert_eq!(verdict(&world, bad).await, Verdict::Invalid);

    let minted = exit_alone(&world, &cheat, bad, &minting, mallory).await;
    world.move_time(PERIODS.minimum_exit_period / 2).await;
    let alices = exit_alone(&world, &cheat, good, &honest, alice).await;
    assert!(alices.key < minted.key, "alice started later and still leaves first");
    world.move_time_to(minted.key).await;
    let events = world.process(ETHER, &[minted, alices, minted]).await;
    let paid: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            RootEvent::ExitPaid { output_id, paid, .. } => Some((*output_id, *paid)),
            _ => None,
        })
        .collect();
    let (hers, minted_id) = (alices.output_id, minted.output_id);
    assert_eq!(paid, [(hers, 10 * ETHER_UNIT), (minted_id, ETHER_UNIT)], "and the thief gets what is left");
    assert_eq!(world.root.asset(ETHER).await.expect("the root chain answers").owed, 0);
}

#[tokio::test]
async fn a_withheld_body_is_an_alarm_after_the_grace_time_and_stays_one() {
    let (world, mut cheat) = World::cheated().await;
    let alice = &world.people.alice;
    let coin = world.deposit(alice, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let payment = alice.sign(&world.domain(), &[coin], vec![ether(alice, ETHER_UNIT)]);
    let hidden = cheat.commit(&[payment], Serving::Withheld).await;
    world.move_time(PERIODS.grace() + 5).await;
    assert_eq!(verdict(&world, hidden).await, Verdict::Withheld);
    let status = world.watcher().status().await.expect("the watcher answers");
    assert!(status.alarms > 0 && status.synced, "loud, and still following: {status:?}");

    cheat.relent(hidden);
    let next = cheat.commit(&[], Serving::Served).await;
    world.settled().await;
    assert_eq!(world.watcher().block(hidden).await.expect("known").verdict, Verdict::Withheld);
    assert_eq!(world.watcher().block(next).await.expect("known").verdict, Verdict::Unknown);
}

#[tokio::test]
async fn an_unspent_root_that_the_bodies_do_not_reproduce_is_withheld_data() {
    let (world, mut cheat) = World::cheated().await;
    let alice = &world.people.alice;
    let coin = world.deposit(alice, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let payment = alice.sign(&world.domain(), &[coin], vec![ether(alice, ETHER_UNIT)]).placed();
    let leaves = [(payment.body.encode(), payment.witness.encode())];
    let block = cheat.commit_raw(&leaves, B256::repeat_byte(1), Serving::Served).await;
    assert_eq!(verdict(&world, block).await, Verdict::Withheld);
}

#[tokio::test]
async fn a_spend_in_a_bad_block_is_still_evidence_against_a_thief() {
    let (world, mut cheat) = World::cheated().await;
    let (mallory, bob) = (&world.people.mallory, &world.people.bob);
    let coin = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&coin)]);
    let payment = mallory.sign(&world.domain(), &[coin], vec![ether(bob, ETHER_UNIT)]);
    let minting = mallory.sign(&world.domain(), &[coin], vec![ether(mallory, 2 * ETHER_UNIT)]);
    let bad = cheat.commit(&[payment, minting], Serving::Served).await;
    assert_eq!(verdict(&world, bad).await, Verdict::Invalid);
    world.start_exit(mallory, &coin).await;
    eventually("the exit is challenged", || async {
        world.root.coin(coin.id).await.ok()?.record_hash.is_zero().then_some(())
    })
    .await;
}
