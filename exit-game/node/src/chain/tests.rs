//! Stories of blocks and coins, as an operator and as a watcher see them.

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::block::decode_items;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{Fault, Rule};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::transaction::{body_len, witness_len};
use plasmid_exit_game::tx_tree;
use proptest::prelude::*;

use std::collections::BTreeSet;

use super::*;
use crate::archive::ArchiveError;
use crate::recover::recover;
use crate::story::{DOMAIN, FINALITY_DEPTH, Story, deposited, person};
use crate::wire::{BlockChoice, BlockState, CoinState, Inclusion};

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

fn state(story: &Story, id: OutputId) -> CoinState {
    story.chain.coin(id).unwrap().state
}

/// Checks what must hold of every chain at any time.
fn check(chain: &Chain) {
    let mut unspent = 0;
    for (id, coin) in chain.ledger().coins() {
        let shown = chain.coin(id).unwrap();
        assert_eq!((shown.position, shown.output), (coin.position, coin.output));
        assert_eq!(shown.spender.is_some(), coin.spender.is_some());
        unspent += u64::from(coin.spender.is_none());
        let listed = chain.coins(coin.output.owner, Some(coin.output.asset), None, 1_000).unwrap();
        assert!(listed.items.contains(&shown));
    }
    let owners: BTreeSet<_> = chain.ledger().coins().map(|(_, coin)| coin.output.owner).collect();
    let listed = owners.iter().flat_map(|&owner| chain.coins(owner, None, None, 1_000).unwrap().items);
    let listed: Vec<_> = listed.filter(|coin| coin.state != CoinState::Pending).collect();
    assert_eq!(listed.len(), chain.ledger().coins().count());
    assert_eq!(listed.iter().filter(|coin| coin.spender.is_none()).count() as u64, unspent);
}

#[test]
fn a_payments_life_from_deposit_to_finality() {
    let mut story = Story::new();
    let (alice, bob) = (person(1), person(2));
    let (deposit, _) = story.deposit(&alice, 10);
    let id = deposit.output_id();
    assert_eq!(state(&story, id), CoinState::Pending);
    assert_eq!(story.chain.coins(alice.address(), None, None, 9).unwrap().items, [story.chain.coin(id).unwrap()]);
    assert_eq!(story.chain.next_place(), None, "no block is open");
    assert_eq!(story.chain.cover_deposits(1), Err(CoverError::NoOpenBlock));

    assert_eq!(story.chain.open_block(), number(1));
    assert_eq!(story.chain.heads().accepted, number(0), "an empty open block is nothing yet");
    let refused = story.chain.cover_deposits(2);
    assert_eq!(refused, Err(CoverError::NoSuchDeposits { deposit_count: 2, existing: 1 }));
    story.chain.cover_deposits(1).unwrap();
    assert_eq!(state(&story, id), CoinState::Accepted);

    let (hash, made) = story.pays(&alice, &[id], &[bob.owns(3), alice.owns(7)]);
    assert_eq!(state(&story, id), CoinState::Spent);
    assert_eq!(story.chain.coin(id).unwrap().spender, Some(hash));
    assert_eq!((state(&story, made[0]), state(&story, made[1])), (CoinState::Accepted, CoinState::Accepted));
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Open));
    assert_eq!((story.chain.uncommitted(), story.chain.heads().accepted), (1, number(1)));
    assert_eq!(story.chain.heads().closed, number(0));
    check(&story.chain);

    story.close();
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Closed));
    story.chain.set_submitted(number(1));
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Submitted));
    assert!(story.chain.body(number(1)).is_none(), "what is not committed may change");
    assert!(matches!(story.chain.unspent(made[0], BlockChoice::LATEST), Err(UnspentLookupError::NoSuchBlock { .. })));

    let (header, _) = story.commit();
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Committed));
    assert_eq!(
        (state(&story, made[0]), story.chain.transaction(hash).unwrap().state),
        (CoinState::Committed, CoinState::Committed)
    );
    assert_eq!((story.chain.uncommitted(), story.chain.verified_block()), (0, number(1)));
    let block = story.chain.block(number(1)).unwrap();
    assert_eq!((block.header, block.verdict), (Some(header.into()), Verdict::Valid));

    let place = story.chain.place_of(hash).unwrap();
    let inclusion = Inclusion::from(&story.chain.body(number(1)).unwrap().inclusion(place.index).unwrap());
    assert_eq!(inclusion.verify().unwrap().transaction.body.hash(), hash);
    let proof = story.chain.unspent(made[0], BlockChoice::LATEST).unwrap();
    proof.verify(made[0], &bob.owns(3)).unwrap();
    let spent = story.chain.unspent(id, BlockChoice::LATEST);
    assert_eq!(spent, Err(UnspentLookupError::Spent { id, spender: hash }));

    story.root_blocks(FINALITY_DEPTH - 1);
    assert_eq!((state(&story, made[0]), story.chain.final_block()), (CoinState::Committed, number(0)));
    story.root_blocks(1);
    assert_eq!((state(&story, made[0]), story.chain.final_block()), (CoinState::Final, number(1)));
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Final));
    let (late, _) = story.deposit(&bob, 5);
    assert_eq!(state(&story, late.output_id()), CoinState::Pending);
    let unmade = story.chain.unspent(late.output_id(), BlockChoice::LATEST);
    assert_eq!(unmade, Err(UnspentLookupError::NotYetMade { id: late.output_id(), number: number(1) }));
    check(&story.chain);
}

#[test]
fn a_transaction_is_accepted_at_the_next_place_if_it_is_valid_there() {
    let mut story = Story::new();
    let (alice, bob) = (person(1), person(2));
    let id = story.funds(&alice, 10);
    let good = story.place(alice.signs(&[id], &[bob.owns(10)], 0));
    let place = story.chain.next_place().unwrap();
    let beyond = Place { index: TxIndex::new(1).unwrap(), ..place };
    assert_eq!(story.chain.accept(beyond, good.clone()), Err(AcceptError::NotNext { place: beyond }));
    let unbalanced = story.place(alice.signs(&[id], &[bob.owns(11)], 0));
    let refused = story.chain.accept(place, unbalanced);
    assert!(matches!(refused, Err(AcceptError::Fault(Fault::Unbalanced { .. }))));
    let stolen = story.place(bob.signs(&[id], &[bob.owns(10)], 0));
    assert!(matches!(story.chain.accept(place, stolen), Err(AcceptError::Fault(Fault::NotSignedByOwner { .. }))));
    story.chain.accept(place, good).unwrap();
    let again = story.place(alice.signs(&[id], &[alice.owns(10)], 0));
    assert!(matches!(story.chain.accept(beyond, again), Err(AcceptError::Fault(Fault::DoubleSpend { .. }))));
    check(&story.chain);
}

/// The root blocks of a story, in which alice and bob pay each other in two blocks, and the bodies.
fn two_blocks() -> (Story, Vec<RootBlock>, Vec<OutputId>) {
    let mut story = Story::new();
    let (alice, bob) = (person(1), person(2));
    let (deposit, first) = story.deposit(&alice, 10);
    story.chain.open_block();
    story.chain.cover_deposits(1).unwrap();
    let (_, made) = story.pays(&alice, &[deposit.output_id()], &[bob.owns(4), alice.owns(6)]);
    story.close();
    let (_, second) = story.commit();
    let (late, third) = story.deposit(&bob, 5);
    story.chain.open_block();
    story.chain.cover_deposits(2).unwrap();
    let (_, more) = story.pays(&bob, &[made[0], late.output_id()], &[alice.owns(9)]);
    let (_, last) = story.pays(&alice, &[made[1], more[0]], &[bob.owns(15)]);
    story.close();
    let (_, fourth) = story.commit();
    let ids = [vec![deposit.output_id(), late.output_id()], made, more, last].concat();
    (story, vec![first, second, third, fourth], ids)
}

fn leaves_of(story: &Story, number: BlockNumber) -> Vec<Leaf> {
    let body = story.chain.body(number).unwrap().bytes().unwrap();
    let items = decode_items(&body, 1 << 20).unwrap();
    items.iter().map(|item| Leaf::read(item, |transaction| recover(transaction, &DOMAIN)).unwrap()).collect()
}

#[test]
fn a_watcher_that_applies_the_bodies_sees_what_the_operator_sees() {
    let (operator, root_blocks, ids) = two_blocks();
    let mut watcher = Story::new();
    root_blocks.iter().for_each(|block| watcher.chain.connect_root_block(block).unwrap());
    assert_eq!(watcher.chain.block(number(1)).unwrap().verdict, Verdict::Unknown);
    assert_eq!((watcher.chain.heads().verified, watcher.chain.heads().accepted), (number(0), number(2)));
    for n in 1..=2 {
        let header = operator.chain.game().header(number(n)).unwrap().0;
        let checked = watcher.chain.apply_block(&header, leaves_of(&operator, number(n)));
        assert_eq!(checked, Ok(BlockCheck::Valid));
        assert_eq!(watcher.chain.block(number(n)), operator.chain.block(number(n)));
        check(&watcher.chain);
    }
    for &id in &ids {
        assert_eq!(watcher.chain.coin(id), operator.chain.coin(id));
        let choice = BlockChoice::Number(number(1));
        assert_eq!(watcher.chain.unspent(id, choice), operator.chain.unspent(id, choice));
    }
    assert_eq!(watcher.chain.heads(), operator.chain.heads());
    for owner in [person(1).address(), person(2).address()] {
        assert_eq!(watcher.chain.coins(owner, None, None, 9), operator.chain.coins(owner, None, None, 9));
    }
}

#[test]
fn a_block_that_is_not_the_next_committed_one_is_no_question() {
    let (operator, root_blocks, _) = two_blocks();
    let mut watcher = Story::new();
    root_blocks.iter().for_each(|block| watcher.chain.connect_root_block(block).unwrap());
    let (first, second) =
        (operator.chain.game().header(number(1)).unwrap().0, operator.chain.game().header(number(2)).unwrap().0);
    let refused = watcher.chain.apply_block(&second, vec![]);
    assert_eq!(refused, Err(ApplyBlockError::NotNext { number: number(2), last: number(0) }));
    let other = Header { timestamp: 1, ..first };
    assert_eq!(watcher.chain.apply_block(&other, vec![]), Err(ApplyBlockError::NotCommitted { number: number(1) }));
    let refused = watcher.chain.apply_block(&first, vec![]);
    assert_eq!(refused, Err(ApplyBlockError::LeafCount { number: number(1), leaves: 0, tx_count: 1 }));
    let checked = watcher.chain.apply_block(&first, vec![Leaf::Empty]).unwrap();
    assert!(matches!(checked, BlockCheck::WrongUnspentRoot { .. }));
    watcher.chain.set_verdict(number(1), Verdict::Withheld);
    assert_eq!(watcher.chain.block(number(1)).unwrap().verdict, Verdict::Withheld);
    assert_eq!(watcher.chain.ledger().coins().count(), 0);
    check(&watcher.chain);

    let forged = leaves_of(&operator, number(1)).into_iter().map(|leaf| match leaf {
        Leaf::Transaction(recovered) => Leaf::Transaction(RecoveredTransaction { signer: None, ..recovered }),
        other => other,
    });
    let checked = watcher.chain.apply_block(&first, forged.collect()).unwrap();
    assert!(matches!(checked, BlockCheck::Invalid { fault: Fault::NotSignedByOwner { .. }, .. }));
    assert_eq!(watcher.chain.apply_block(&first, leaves_of(&operator, number(1))), Ok(BlockCheck::Valid));
    assert_eq!(watcher.chain.block(number(1)).unwrap().verdict, Verdict::Valid);
}

#[test]
fn a_reorganisation_takes_a_watcher_back_and_forth() {
    let (operator, root_blocks, ids) = two_blocks();
    for is_archived in [false, true] {
        let mut watcher = Story::new();
        let mut before = Vec::new();
        for block in &root_blocks {
            before.push((format!("{:?}", watcher.chain.ledger()), watcher.chain.heads()));
            watcher.chain.connect_root_block(block).unwrap();
            while let Some(header) =
                watcher.chain.last_local_block().next().and_then(|next| watcher.chain.game().header(next))
            {
                let (header, n) = (header.0, header.0.number);
                assert_eq!(watcher.chain.apply_block(&header, leaves_of(&operator, n)), Ok(BlockCheck::Valid));
                if is_archived {
                    let body = operator.chain.body(n).unwrap().bytes().unwrap();
                    watcher.chain.archive().write(n, &body).unwrap();
                    watcher.chain.archived(n);
                }
            }
        }
        for (ledger, heads) in before.into_iter().rev() {
            watcher.chain.disconnect_root_block().unwrap();
            while watcher.chain.last_local_block() > watcher.chain.game().last_block() {
                let n = watcher.chain.revert_block().unwrap().unwrap();
                watcher.chain.archive().remove(n).unwrap();
            }
            assert_eq!((format!("{:?}", watcher.chain.ledger()), watcher.chain.heads()), (ledger, heads));
            check(&watcher.chain);
        }
        assert!(ids.iter().all(|&id| watcher.chain.coin(id).is_none()));
        assert_eq!(watcher.chain.coins(person(1).address(), None, None, 9).unwrap().items, []);
        assert!(matches!(watcher.chain.revert_block(), Ok(None)));
    }
}

#[test]
fn an_operators_block_outlives_a_reorganisation_and_lands_again() {
    let (mut story, _, ids) = two_blocks();
    story.undo_root_block();
    assert_eq!(story.chain.block_state(number(2)), Some(BlockState::Closed));
    assert_eq!((story.chain.uncommitted(), story.chain.disagreement()), (2, None));
    assert_eq!(state(&story, ids[5]), CoinState::Accepted);
    story.root_block(vec![]);
    story.commit();
    assert_eq!((story.chain.disagreement(), story.chain.verified_block()), (None, number(2)));
    check(&story.chain);
}

#[test]
fn a_block_that_somebody_else_committed_is_noticed() {
    let (mut story, _, _) = two_blocks();
    let (header, _) = *story.chain.game().header(number(2)).unwrap();
    story.undo_root_block();
    let other = Header { utxo_root: B256::repeat_byte(9), timestamp: 2_000, ..header };
    story.root_block(vec![RootEvent::BlockSubmitted(other)]);
    assert_eq!(story.chain.disagreement(), Some(number(2)));
    assert_eq!(story.chain.verified_block(), number(1));
    assert_eq!(story.chain.block(number(2)).unwrap().verdict, Verdict::Unknown);
    assert!(story.chain.body(number(2)).is_none());
}

#[test]
fn a_dropped_transaction_goes_with_its_descendants_and_may_come_back() {
    let mut story = Story::new();
    let (alice, bob, carol) = (person(1), person(2), person(3));
    let (first, second) = (story.funds(&alice, 10), story.funds(&carol, 20));
    let (kept, _) = story.pays(&carol, &[second], &[carol.owns(20)]);
    let (dropped, made) = story.pays(&alice, &[first], &[bob.owns(10)]);
    story.chain.close_block();
    let sealing = story.chain.next_unsealed().unwrap();
    let (child, made_later) = story.pays(&bob, &[made[0]], &[carol.owns(10)]);
    story.close();
    story.chain.set_submitted(number(1));
    let child_place = story.chain.place_of(child).unwrap();

    let unknown = TxHash(B256::ZERO);
    assert_eq!(story.chain.drop_transactions(&[unknown]), Err(DropError::Unknown { tx_hash: unknown }));
    assert_eq!(story.chain.drop_transactions(&[]), Ok(vec![]));
    let place = story.chain.place_of(dropped).unwrap();
    assert_eq!(story.chain.drop_transactions(&[dropped]), Ok(vec![(dropped, place), (child, child_place)]));
    check(&story.chain);
    assert!(!story.chain.seal(sealing.seal()), "roots of what was are no roots of what is");
    assert_eq!(story.chain.block_state(number(1)), Some(BlockState::Closed), "it is to be sent anew");
    assert_eq!((state(&story, first), state(&story, made[0])), (CoinState::Accepted, CoinState::Dropped));
    assert_eq!(state(&story, made_later[0]), CoinState::Dropped);
    let stored = story.chain.transaction(child).unwrap();
    assert_eq!((stored.state, stored.place), (CoinState::Dropped, child_place));
    assert_eq!(stored.read().unwrap().body.hash(), child);
    assert_eq!(story.chain.coins(bob.address(), None, None, 9).unwrap().items, []);
    assert_eq!(story.chain.uncommitted(), 1);

    story.seal();
    let sealed = story.chain.sealed_block(number(1)).unwrap();
    assert_eq!(sealed.tx_count, 1, "a block ends at its last transaction");
    assert_eq!(story.chain.sealed_block(number(2)).unwrap().tx_root, B256::ZERO);
    assert_eq!(story.chain.sealed_block(number(2)).unwrap().utxo_root, sealed.utxo_root);
    let (again, _) = story.pays(&alice, &[first], &[bob.owns(10)]);
    assert_eq!((again, state(&story, made[0])), (dropped, CoinState::Accepted));
    assert_eq!(story.chain.place_of(dropped).unwrap().block, number(3));
    story.close();
    (0..3).for_each(|_| drop(story.commit()));
    assert_eq!(story.chain.drop_transactions(&[kept]), Err(DropError::Committed { block: number(1) }));
    assert_eq!(story.chain.body(number(1)).unwrap().bytes().unwrap().len(), 4 + body_len(1, 1) + witness_len(1));
    check(&story.chain);
}

#[test]
fn dropping_a_transaction_leaves_the_roots_of_a_chain_without_it() {
    let (alice, bob) = (person(1), person(2));
    let story_with = |drops: bool| {
        let mut story = Story::new();
        let (first, second) = (story.funds(&alice, 10), story.funds(&bob, 20));
        if drops {
            let (hash, _) = story.pays(&alice, &[first], &[bob.owns(10)]);
            story.close();
            story.chain.drop_transactions(&[hash]).unwrap();
        } else {
            story.close();
        }
        story.pays(&bob, &[second], &[bob.owns(20)]);
        story.close();
        story.seal();
        (story.chain.sealed_block(number(1)), story.chain.sealed_block(number(2)))
    };
    assert_eq!(story_with(true), story_with(false));
}

#[test]
fn what_is_archived_is_answered_from_disk_and_damage_is_told() {
    let (mut story, _, ids) = two_blocks();
    let body = story.chain.body(number(2)).unwrap();
    let (bytes, index) = (body.bytes().unwrap(), TxIndex::new(1).unwrap());
    let (inclusion, hash) =
        (body.inclusion(index).unwrap(), story.chain.transaction_at(Place { block: number(2), index }).unwrap());
    story.chain.archive().write(number(2), &bytes).unwrap();
    story.chain.archived(number(2));

    let body = story.chain.body(number(2)).unwrap();
    assert_eq!((body.bytes().unwrap(), body.bytes_len().unwrap()), (bytes.clone(), bytes.len() as u64));
    assert_eq!(body.part(3..7).unwrap(), bytes[3..7]);
    assert_eq!(body.inclusion(index).unwrap(), inclusion);
    assert_eq!(story.chain.transaction(hash).unwrap().read().unwrap(), inclusion.transaction);
    let none = TxIndex::new(2).unwrap();
    assert!(matches!(body.inclusion(none), Err(BodyError::NoTransaction { .. })));
    story.undo_root_block();
    assert_eq!(story.chain.drop_transactions(&[hash]), Err(DropError::Committed { block: number(2) }));

    let mut damaged = bytes.to_vec();
    damaged[40] ^= 1;
    let path = story.folder.path().join("000000000002.body");
    std::fs::write(&path, damaged).unwrap();
    assert!(matches!(body.bytes(), Err(BodyError::Archive { source: ArchiveError::Damaged { .. }, .. })));
    assert!(matches!(body.inclusion(index), Err(BodyError::Archive { .. })));
    let coins = story.chain.ledger().coins().count();
    assert!(story.chain.revert_block().is_err());
    assert!(story.chain.recall_uncommitted().is_err());
    assert_eq!(story.chain.ledger().coins().count(), coins);
    assert!(story.chain.coin(ids[5]).is_some());

    std::fs::write(&path, bytes).unwrap();
    story.chain.recall_uncommitted().unwrap();
    assert_eq!(story.chain.transaction(hash).unwrap().read().unwrap(), inclusion.transaction);
    let uncommitted: Vec<_> = story.chain.uncommitted_transactions().map(|(place, _)| place.block).collect();
    assert_eq!(uncommitted, [number(2); 2]);
    assert!(story.chain.drop_transactions(&[hash]).is_ok());
    story.seal();
    story.commit();
    check(&story.chain);
}

#[test]
fn an_exit_shows_in_the_coin_even_if_it_is_spent() {
    let (mut story, _, ids) = two_blocks();
    story.exit_starts(ids[0]);
    let coin = story.chain.coin(ids[0]).unwrap();
    assert!((coin.state, coin.spender.is_some()) == (CoinState::Exiting, true));
    story.exit_starts(ids[5]);
    let paid = RootEvent::ExitPaid { output_id: ids[5], payee: Address::ZERO, amount: 15, paid: 15, credited: false };
    let returned = RootEvent::ExitReturned { output_id: ids[0], payee: Address::ZERO };
    story.root_block(vec![paid, returned]);
    assert_eq!((state(&story, ids[0]), state(&story, ids[5])), (CoinState::Spent, CoinState::Exited));
}

#[test]
fn a_deposit_that_a_reorganisation_takes_away_is_gone() {
    let mut story = Story::new();
    let alice = person(1);
    let (first, _) = story.deposit(&alice, 1);
    let (second, block) = story.deposit(&alice, 2);
    story.undo_root_block();
    assert!(story.chain.coin(second.output_id()).is_none());
    assert_eq!(story.chain.coins(alice.address(), None, None, 9).unwrap().items.len(), 1);
    story.chain.connect_root_block(&block).unwrap();
    assert_eq!(story.chain.coin(second.output_id()).unwrap().position, deposited(1));
    assert_eq!(state(&story, first.output_id()), CoinState::Pending);
}

#[test]
fn pages_show_every_coin_once_unspent_ones_first() {
    let mut story = Story::new();
    let alice = person(1);
    let ids: Vec<_> = (0..7).map(|amount| story.funds(&alice, amount + 1)).collect();
    story.pays(&alice, &ids[1..3], &[alice.owns(5)]);
    for limit in 1..10 {
        for asset in [None, Some(Address::ZERO)] {
            let (mut coins, mut cursor) = (Vec::new(), None);
            loop {
                let page = story.chain.coins(alice.address(), asset, cursor.as_deref(), limit).unwrap();
                assert!(page.items.len() <= limit && !page.items.is_empty());
                coins.extend(page.items);
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let states: Vec<_> = coins.iter().map(|coin| coin.spender.is_some()).collect();
            assert_eq!(states, [false, false, false, false, false, false, true, true]);
            assert!(coins[..6].is_sorted_by_key(|coin| coin.position));
        }
    }
    let other = Some(Address::repeat_byte(7));
    assert_eq!(story.chain.coins(alice.address(), other, None, 9).unwrap().items, []);
    let page = story.chain.coins(alice.address(), None, None, 1).unwrap();
    assert_eq!(story.chain.coins(alice.address(), other, page.cursor.as_deref(), 9), Err(CursorError));

    story.close();
    for _ in 0..4 {
        story.close();
    }
    let page = story.chain.blocks(number(2), 3);
    assert_eq!(page.items.iter().map(|block| block.number).collect::<Vec<_>>(), [number(2), number(3), number(4)]);
    assert_eq!(page.cursor.as_deref(), Some("5"));
    assert_eq!(story.chain.blocks(number(5), 3).cursor, None);
    assert_eq!(story.chain.blocks(number(6), 3).items, []);
}

#[test]
fn trees_are_kept_for_a_while_and_as_long_as_they_are_needed() {
    let mut story = Story::new();
    let id = story.funds(&person(1), 10);
    for _ in 0..TREES_KEPT as u64 + 3 {
        story.close();
    }
    (0..3).for_each(|_| drop(story.commit()));
    let at = |story: &Story, n| story.chain.unspent(id, BlockChoice::Number(number(n)));
    assert_eq!(at(&story, 1), Err(UnspentLookupError::TooOld { number: number(1) }));
    assert!(at(&story, 3).is_ok(), "the next block's roots are computed from it");
    for _ in 3..TREES_KEPT as u64 + 3 {
        story.commit();
    }
    assert_eq!(at(&story, 3), Err(UnspentLookupError::TooOld { number: number(3) }));
    assert!(at(&story, 4).is_ok());
    story.close();
    story.commit();
    assert_eq!(story.chain.verified_block(), number(TREES_KEPT as u64 + 4));
}

#[test]
fn the_tree_of_the_last_good_block_is_there_after_a_halt_however_old_it_is() {
    let mut story = Story::new();
    let (alice, bob) = (person(1), person(2));
    let id = story.funds(&alice, 10);
    for block in 1..=TREES_KEPT as u64 + 9 {
        if block == 4 {
            story.pays(&alice, &[id], &[bob.owns(10)]);
        }
        story.close();
        story.commit();
    }
    let at = |story: &Story| story.chain.unspent(id, BlockChoice::Number(number(3)));
    assert_eq!(at(&story), Err(UnspentLookupError::TooOld { number: number(3) }));
    let (accuser, evidence, slashed) = (alice.address(), B256::ZERO, U256::ZERO);
    story.root_block(vec![RootEvent::FaultProven { number: number(4), rule: Rule::R9, accuser, evidence, slashed }]);
    at(&story).unwrap().verify(id, &alice.owns(10)).unwrap();
    story.root_blocks(3);
    assert!(at(&story).is_ok(), "it is kept");
}

#[test]
fn the_tree_after_any_block_can_be_had_however_old_it_is() {
    let mut story = Story::new();
    let alice = person(1);
    let mut coin = story.funds(&alice, 10);
    for block in 1..=TREES_KEPT as u64 + 12 {
        if block <= 12 {
            // One coin is made and spent in the block, one is left for the next, and a deposit stays.
            for _ in 0..2 {
                coin = story.pays(&alice, &[coin], &[alice.owns(10)]).1[0];
            }
            story.funds(&alice, 1);
        }
        story.close();
        story.commit();
    }
    for block in 0..=TREES_KEPT as u64 + 12 {
        let header = story.chain.game().header(number(block)).map(|&(header, _)| header);
        let tree = story.chain.past_tree(number(block)).unwrap().restore();
        assert_eq!(tree.root(), header.map_or(B256::ZERO, |header| header.utxo_root), "block {block}");
    }
    assert!(story.chain.past_tree(number(TREES_KEPT as u64 + 13)).is_none());
}

#[test]
fn a_long_run_of_blocks_is_sealed_after_all_even_if_the_root_chain_is_ahead() {
    let mut story = Story::new();
    let blocks = TREES_KEPT as u64 + 9;
    for _ in 0..blocks {
        story.close();
    }
    let mut again = Story::new();
    for _ in 0..blocks {
        let (_, block) = story.commit();
        again.chain.connect_root_block(&block).unwrap();
        again.chain.open_block();
        again.chain.close_block();
    }
    again.seal();
    assert_eq!(again.chain.verified_block(), number(blocks));
}

proptest! {
    #[test]
    fn no_cursor_makes_a_page_panic(cursor in "(un)?spent\\.(0x[0-9a-f]{40})?\\.[0-9]{0,20}|.{0,30}", limit in any::<usize>()) {
        let mut story = Story::new();
        let alice = person(1);
        story.funds(&alice, 1);
        for asset in [None, Some(Address::ZERO), Some(Address::repeat_byte(0xff))] {
            if let Ok(page) = story.chain.coins(alice.address(), asset, Some(&cursor), limit) {
                prop_assert!(page.items.len() <= 1);
            }
        }
    }

    /// Random payments, blocks, drops and reorganisations, and the operator's chain still is what a watcher finds valid.
    #[test]
    fn whatever_an_operator_does_a_watcher_finds_valid(steps in prop::collection::vec((0..8u8, any::<prop::sample::Index>()), 1..60)) {
        let mut story = Story::new();
        let people = [person(1), person(2), person(3)];
        let mut root_blocks: Vec<RootBlock> = Vec::new();
        for (step, index) in steps {
            match step {
                0 => root_blocks.push(story.deposit(index.get(&people), 10).1),
                1 => {
                    story.chain.open_block();
                    story.chain.cover_deposits(story.chain.game().deposit_count()).unwrap();
                }
                2..=4 => {
                    let unspent: Vec<_> = story.chain.ledger().coins().filter(|(_, coin)| coin.spender.is_none()).map(|(id, coin)| (id, *coin)).collect();
                    if !unspent.is_empty() {
                        let (id, coin) = *index.get(&unspent);
                        let owner = people.iter().find(|person| person.address() == coin.output.owner).unwrap();
                        let to = index.get(&people);
                        let split = if coin.output.amount > 1 { vec![to.owns(1), owner.owns(coin.output.amount - 1)] } else { vec![to.owns(1)] };
                        story.pays(owner, &[id], &split);
                    }
                }
                5 => {
                    story.close();
                }
                6 => {
                    let next = story.chain.game().last_block().next().unwrap();
                    if story.chain.sealed_block(next).is_some() {
                        root_blocks.push(story.commit().1);
                    } else if let Some(block) = root_blocks.last() && block.events.iter().all(|event| matches!(event, RootEvent::BlockSubmitted(_))) {
                        story.undo_root_block();
                        root_blocks.pop();
                    }
                }
                _ => {
                    let committed = story.chain.game().last_block();
                    let hashes: Vec<_> = story.chain.places.iter().filter(|(_, place)| place.block > committed).map(|(&hash, _)| hash).collect();
                    if !hashes.is_empty() {
                        let hash = *index.get(&hashes);
                        prop_assert!(!story.chain.drop_transactions(&[hash]).unwrap().is_empty());
                        story.seal();
                    }
                }
            }
            check(&story.chain);
        }
        story.close();
        while story.chain.sealed_block(story.chain.game().last_block().next().unwrap()).is_some() {
            root_blocks.push(story.commit().1);
        }
        let mut watcher = Story::new();
        for block in &root_blocks {
            watcher.chain.connect_root_block(block).unwrap();
        }
        for n in 1..=story.chain.last_local_block().get() {
            let header = story.chain.game().header(number(n)).unwrap().0;
            let leaves = leaves_of(&story, number(n));
            let hashes: Vec<B256> = leaves.iter().map(|leaf| leaf.transaction().map_or(B256::ZERO, |recovered| recovered.leaf())).collect();
            prop_assert_eq!(tx_tree::root(&hashes), header.tx_root);
            prop_assert_eq!(watcher.chain.apply_block(&header, leaves), Ok(BlockCheck::Valid));
        }
        prop_assert_eq!(watcher.chain.ledger().coins().collect::<Vec<_>>(), story.chain.ledger().coins().collect::<Vec<_>>());
        check(&watcher.chain);
    }
}
