//! What an unspent tree must not hold convicts, found alone or in a server's answer; what it must hold convicts nobody. R8

use alloy_primitives::{B256, Bytes, keccak256};
use plasmid_exit_game::exit::contract::{Halt, Revert, Submission};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{
    BlockData, Creation, Difference, FaultProof, HeldKey, Origin, Rule, held_evidence, spent_coin,
};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{Place, Position};
use plasmid_exit_game::utxo_tree::{MembershipProof, UtxoTree, value};

use crate::court::{Coin, Court, MEP, gets, place, served};
use crate::operations::empty_block;

/// A tree that holds a key more, or another value under it.
fn with(tree: &UtxoTree, position: Position, value: B256) -> UtxoTree {
    tree.updated([(position, Some(value))])
}

fn value_of(coin: Coin, owner: &str, amount: u128) -> B256 {
    value(coin.0, &gets(owner, amount))
}

/// Returns a chain whose first block has an empty leaf and pays alice's first coin of three to bob, and the coins: alice's
/// first, spent, her second, and bob's.
fn past() -> (Court, [Coin; 3]) {
    let mut court = Court::new();
    let (first, second) = (court.deposit("alice", 10), court.deposit("alice", 20));
    let payment = court.sign("alice", &[first], vec![gets("bob", 10)]);
    assert_eq!(court.commit(vec![None, served(&payment)], 0), None);
    let bobs = (OutputId::of_output(payment.body.hash(), 0), place(1, 1).first_output());
    (court, [first, second, bobs])
}

/// Convicts block `number` by what its tree holds, and returns the proof.
fn assert_convicted(court: &mut Court, held: HeldKey, spender: Option<Place>) -> FaultProof {
    let number = held.header.number;
    let proof = held_evidence(held, court, &court.game, |_| spender).expect("it must not be there");
    assert_eq!((proof.rule(), proof.accused()), (Rule::R8, number));
    assert_eq!(court.verdict(&proof), Ok(number), "{proof:?}");
    let events = court.prove("carol", &proof).unwrap();
    assert!(matches!(events[0], RootEvent::FaultProven { rule: Rule::R8, .. }));
    assert_eq!(court.game.halt(), Some(Halt { from: number, at: court.now }));
    proof
}

#[test]
fn a_coin_kept_although_it_is_spent_is_found_alone_and_convicts() {
    for of_block in [false, true] {
        let (mut court, [_, second, bobs]) = past();
        // Either a deposit or an output of a transaction, spent in this block.
        let (coin, owner, amount) = if of_block { (bobs, "bob", 10) } else { (second, "alice", 20) };
        let spend = court.sign(owner, &[coin], vec![gets("carol", amount)]);
        let kept = value_of(coin, owner, amount);
        let found = court.commit_lying(&[spend], 0, |tree| with(tree, coin.1, kept));
        let Some(Difference::Kept(held)) = found else { panic!("{found:?}") };
        assert_eq!((held.position, held.value), (coin.1.bits(), kept));
        let proof = assert_convicted(&mut court, held, Some(place(2, 0)));
        assert!(matches!(proof, FaultProof::HeldSpent { .. }));
    }
}

#[test]
fn a_coin_put_back_long_after_its_spend_convicts_by_a_servers_answer() {
    let (mut court, [first, ..]) = past();
    court.commit_valid(&[]);
    assert_eq!(court.commit_lying(&[], 0, |tree| with(tree, first.1, value_of(first, "alice", 10))), None);
    let held = court.held(3, first.1).unwrap();
    let proof = assert_convicted(&mut court, held, Some(place(1, 1)));
    assert!(matches!(proof, FaultProof::HeldSpent { .. }));
}

#[test]
fn what_no_transaction_made_there_convicts() {
    let bits = |bits: u64| Position::from_bits(bits).unwrap();
    let at = |block, index, output| place(block, index).output(output).unwrap();
    let nowhere = [at(3, 0, 0), bits(0), at(1, 2, 0), at(1, 0, 0), at(1, 1, 1), at(2, 0, 0)];
    for position in nowhere {
        let (mut court, [_, second, _]) = past();
        court.commit_lying(&[], 0, |tree| with(tree, position, value_of(second, "alice", 20)));
        let held = court.held(2, position).unwrap();
        let proof = assert_convicted(&mut court, held, None);
        assert!(matches!(proof, FaultProof::HeldNotMade { .. }), "{position}");
    }
    // Bob's coin, worth more.
    let (mut court, [.., bobs]) = past();
    court.commit_lying(&[], 0, |tree| with(tree, bobs.1, value_of(bobs, "bob", 11)));
    let held = court.held(2, bobs.1).unwrap();
    assert!(matches!(assert_convicted(&mut court, held, None), FaultProof::HeldNotMade { .. }));
}

#[test]
fn a_deposit_that_is_not_covered_or_is_another_convicts() {
    let (mut court, [_, second, _]) = past();
    let fresh = court.deposit("alice", 5);
    court.commit_lying(&[], 1, |tree| with(tree, fresh.1, value_of(fresh, "alice", 5)));
    let held = court.held(2, fresh.1).unwrap();
    assert!(matches!(assert_convicted(&mut court, held, None), FaultProof::HeldNotDeposited { .. }));

    let (mut other, _) = past();
    other.commit_lying(&[], 0, |tree| with(tree, second.1, value_of(second, "thief", 20)));
    let held = other.held(2, second.1).unwrap();
    assert!(matches!(assert_convicted(&mut other, held, None), FaultProof::HeldNotDeposited { .. }));
}

#[test]
fn a_key_that_is_no_position_convicts() {
    let (mut court, _) = past();
    let (key, worth) = (1 << 63 | 1, B256::repeat_byte(7));
    let lone = MembershipProof::decode(&[0; 8]).unwrap();
    let proof = Bytes::copy_from_slice(&lone.encode());
    let submission = Submission { utxo_root: lone.root(key, worth), deposit_count: 2, ..empty_block(2) };
    court.wait(1);
    let events = court.act("operator", |contract, call, _| contract.submit_block(call, &submission)).unwrap();
    let [RootEvent::BlockSubmitted(header)] = events[..] else { panic!("a block is one event") };
    let held = HeldKey { header, position: key, value: worth, proof };
    let proof = assert_convicted(&mut court, held, None);
    assert!(matches!(proof, FaultProof::HeldNotDeposited { .. }));
}

#[test]
fn what_the_tree_must_hold_convicts_nobody() {
    let (mut court, [first, second, bobs]) = past();
    let later = court.sign("alice", &[second], vec![gets("carol", 20)]);
    court.commit_valid(&[later]);
    for coin in [second, bobs] {
        let held = court.held(1, coin.1).unwrap();
        let spender = place(2, 0);
        assert_eq!(held_evidence(held.clone(), &court, &court.game, |_| Some(spender)), None, "spent only later");
        let output = if coin == bobs { gets("bob", 10) } else { gets("alice", 20) };
        let spent = spent_coin(coin.0, &output, spender, &court).unwrap();
        let leaf = court.shown_leaf(place(1, 1)).unwrap();
        let origin = Origin {
            header: leaf.inclusion.header,
            path: leaf.inclusion.path.clone(),
            tx_hash: keccak256(&leaf.body),
            witness_hash: leaf.inclusion.witness_hash,
            body: leaf.body,
            witness: leaf.witness,
        };
        let creation = court.creation(second.0).unwrap();
        for proof in [
            FaultProof::HeldSpent { held: held.clone(), spent },
            FaultProof::HeldNotMade { held: held.clone(), origin },
            FaultProof::HeldNotDeposited { held, creation },
        ] {
            assert_eq!(court.prove("carol", &proof), Err(Revert::NotAFault), "{proof:?}");
            assert_eq!(court.verdict(&proof), Err(Revert::NotAFault));
        }
    }
    assert_eq!(court.held(1, first.1), None, "the spent coin is not there");
}

#[test]
fn what_is_tampered_with_is_refused() {
    let (mut court, [_, second, _]) = past();
    let spend = court.sign("alice", &[second], vec![gets("carol", 20)]);
    let kept = value_of(second, "alice", 20);
    let found = court.commit_lying(std::slice::from_ref(&spend), 0, |tree| with(tree, second.1, kept));
    let Some(Difference::Kept(held)) = found else { panic!("{found:?}") };
    let spent = spent_coin(second.0, &gets("alice", 20), place(2, 0), &court).unwrap();
    let prove = |court: &mut Court, held: HeldKey| {
        let spent = spent.clone();
        court.prove("carol", &FaultProof::HeldSpent { held, spent })
    };
    let mut longer = held.proof.to_vec();
    longer.push(0);
    let lies = [
        HeldKey { value: B256::ZERO, ..held.clone() },
        HeldKey { value: B256::repeat_byte(1), ..held.clone() },
        HeldKey { position: held.position ^ 16, ..held.clone() },
        HeldKey { proof: longer.into(), ..held.clone() },
        HeldKey { proof: Bytes::new(), ..held.clone() },
    ];
    for lie in lies {
        assert_eq!(prove(&mut court, lie), Err(Revert::NotHeld));
    }
    let mut header = held.header;
    header.utxo_root = B256::ZERO;
    let unknown = HeldKey { header, ..held.clone() };
    assert_eq!(prove(&mut court, unknown), Err(Revert::UnknownHeader { number: header.number }));
    let mut other = spent.clone();
    other.output = Bytes::copy_from_slice(&gets("alice", 21).encode());
    let proof = FaultProof::HeldSpent { held: held.clone(), spent: other };
    assert_eq!(court.prove("carol", &proof), Err(Revert::NotTheValue));
    let deposit = FaultProof::HeldNotDeposited { held: held.clone(), creation: Creation::NONE };
    assert!(matches!(court.prove("carol", &deposit), Err(Revert::NotTheCreation { .. })));
    let origin = FaultProof::HeldNotMade { held: held.clone(), origin: Origin::NONE };
    assert_eq!(court.prove("carol", &origin), Err(Revert::NotAFault), "a deposit's position is the other prover's");

    court.wait_until(held.header.timestamp + 2 * MEP);
    let until = court.now;
    assert_eq!(prove(&mut court, held), Err(Revert::TooLateToProve { until }));
}

#[test]
fn several_differences_are_explained_by_no_single_coin() {
    let (mut court, [first, second, bobs]) = past();
    let both = |tree: &UtxoTree| with(tree, first.1, value_of(first, "alice", 10)).updated([(bobs.1, None)]);
    assert_eq!(court.commit_lying(&[], 0, both), None);
    let held = court.held(2, first.1).unwrap();
    assert!(held.is_held() && court.held(2, second.1).is_some() && court.held(2, bobs.1).is_none());
    assert_convicted(&mut court, held, Some(place(1, 1)));
}
