//! Lies about the unspent set that nobody can prove, and lies about lies. §1.8, §3 (R8, R9), §7. The fault matrix has the rest.

use alloy_primitives::{B256, U256};
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{Creation, ShownCoin};
use plasmid_exit_game::output::ETHER;
use plasmid_harness::cheat::Serving;
use plasmid_harness::people::{Coin, People};
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether, eventually};
use plasmid_node::wire::Verdict;

#[tokio::test]
async fn a_key_never_made_in_a_tree_that_is_otherwise_shown_makes_guarded_owners_leave() {
    let People { alice, mallory, .. } = People::new();
    let (world, mut cheat) = World::cheated_guarding(std::slice::from_ref(&alice)).await;
    let alices = world.deposit(&alice, 2 * ETHER_UNIT).await;
    let mallorys = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&alices), deposit_of(&mallorys)]);
    let good = cheat.commit(&[], Serving::Served).await;
    assert_eq!(world.verdict(good).await, Verdict::Valid);

    // Every coin can be shown, so nothing is missing; and nobody knows what to ask for.
    let payment = mallory.sign(&world.domain(), &[mallorys], vec![ether(&mallory, ETHER_UNIT)]);
    let never_made = cheat.next_place(7).first_output();
    let bad = cheat
        .commit_lying(&[payment], |tree| {
            let tree = tree.updated([(never_made, Some(B256::repeat_byte(7)))]);
            (tree.root(), tree)
        })
        .await;
    assert_eq!(world.verdict(bad).await, Verdict::Withheld);
    let exit = world.until_exiting(alices.id).await;
    world.move_time_to(exit.key).await;
    world.process(ETHER, &[exit]).await;
    assert_eq!(world.books().await.paid(&alice, ETHER), 2 * ETHER_UNIT);
    let is_claim = |event: &RootEvent| matches!(event, RootEvent::MissingClaimed { .. });
    assert!(!world.history().await.iter().any(is_claim), "no bond is put up for what everybody shows");
}

#[tokio::test]
async fn false_claims_against_an_honest_operator_lose_their_bonds_to_a_watcher() {
    let world = World::honest().await;
    let People { alice, mallory, watcher, .. } = &world.people;
    let deposit = world.deposit(alice, 2 * ETHER_UNIT).await;
    world.covered(&deposit).await;
    let made = world.pay(alice, &[deposit], vec![ether(alice, ETHER_UNIT); 2]).await;
    world.committed(&made[0]).await;
    world.settled().await;

    // One coin that the tree holds, one that was spent: both are where Mallory says, and neither is missing.
    let held = shown_output(&world, &made[1]).await;
    let fields = deposit.output.deposit_fields().to_vec().into();
    let spent =
        ShownCoin { creation: Creation { fields, index: deposit_of(&deposit).nonce }, inclusion: InclusionProof::NONE };
    let header = held.inclusion.header;
    let bond = world.deployment.bonds.missing_bond_wei;
    let before = (world.ether_beside_gas(mallory).await, world.balance(ETHER, watcher.address()).await);
    for (claimed, coin) in [(1, &held), (2, &spent)] {
        world.send(mallory, &world.root.claim_missing(&header, coin, bond)).await;
        eventually("the claim is answered", || async {
            let is_answer = |event: &&RootEvent| {
                matches!(event, RootEvent::MissingAnswered { answerer, .. } if *answerer == watcher.address())
            };
            (world.history().await.iter().filter(is_answer).count() == claimed).then_some(())
        })
        .await;
    }
    assert_eq!(before.0 - world.ether_beside_gas(mallory).await, U256::from(2 * bond));
    assert!(world.balance(ETHER, watcher.address()).await > before.1, "an answer costs less than its bond");
    world.move_time(PERIODS.minimum_exit_period / 2).await;
    let convict = world.root.convict_missing(&header, made[1].position.bits());
    assert!(world.try_send(mallory, &convict).await.is_err(), "the claim has ended");
    world.settled().await;
}

/// Returns what made a coin, by the operator's word.
async fn shown_output(world: &World, coin: &Coin) -> ShownCoin {
    let inclusion = world.operator().inclusion(coin.id).await.expect("the operator proves inclusion");
    let included = inclusion.verify().expect("the proof is right");
    ShownCoin {
        creation: Creation { fields: inclusion.body, index: (coin.position.bits() & 15) },
        inclusion: InclusionProof {
            header: included.header,
            index: included.place.index.get(),
            witness_hash: included.transaction.witness.hash(),
            path: included.path,
        },
    }
}
