//! After a bad block: the watcher says so, and older coins leave first. §3, §4, §7.

use alloy_primitives::B256;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::ETHER;
use plasmid_harness::cheat::Serving;
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether, eventually};
use plasmid_node::wire::Verdict;

#[tokio::test]
async fn older_coins_are_paid_before_what_a_withheld_block_mints() {
    let (world, mut cheat) = World::cheated().await;
    let (alice, mallory) = (&world.people.alice, &world.people.mallory);
    let alices = world.deposit(alice, 10 * ETHER_UNIT).await;
    let mallorys = world.deposit(mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&alices), deposit_of(&mallorys)]);
    let honest = alice.sign(&world.domain(), &[alices], vec![ether(alice, 10 * ETHER_UNIT)]);
    let good = cheat.commit(std::slice::from_ref(&honest), Serving::Served).await;
    assert_eq!(world.verdict(good).await, Verdict::Valid);

    // Mallory and the operator mint eleven ether out of one, and show it to nobody.
    let minting = mallory.sign(&world.domain(), &[mallorys], vec![ether(mallory, 11 * ETHER_UNIT)]);
    let bad = cheat.commit(std::slice::from_ref(&minting), Serving::Withheld).await;
    world.move_time(PERIODS.grace() + 5).await;
    assert_eq!(world.verdict(bad).await, Verdict::Withheld);

    let minted = world.start_exit_by(mallory, &minting, 0, &cheat.inclusion(bad, 0)).await;
    world.move_time(PERIODS.minimum_exit_period / 2).await;
    let alices = world.start_exit_by(alice, &honest, 0, &cheat.inclusion(good, 0)).await;
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
    assert_eq!(world.verdict(hidden).await, Verdict::Withheld);
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
    assert_eq!(world.verdict(block).await, Verdict::Withheld);
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
    assert_eq!(world.verdict(bad).await, Verdict::Invalid);
    world.start_exit(mallory, &coin).await;
    eventually("the exit is challenged", || async {
        world.root.coin(coin.id).await.ok()?.record_hash.is_zero().then_some(())
    })
    .await;
}
