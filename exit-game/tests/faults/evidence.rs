//! Every fault that the ledger reports is proven with what was served, under its rule, and halts the chain there.

use alloy_primitives::B256;
use plasmid_exit_game::exit::contract::{Halt, Revert};
use plasmid_exit_game::exit::in_flight::{Piece, PieceSet};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{Fault, FaultProof, Rule, double_spend};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{Place, Position, PositionKind};
use proptest::prelude::*;

use crate::court::{Coin, Court, MEP, PERIODS, Served, gets, made, place, served};

/// Bytes that are no body and no witness.
pub(crate) const JUNK: &[u8] = b"junk";

/// What an operator can do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Body,
    Witness,
    OwnPlace,
    LaterPlace,
    NoBlock,
    NoLeaf,
    EmptyLeaf,
    NoOutput,
    OtherTransaction,
    NotCovered,
    NeverDeposited,
    OtherNonce,
    OutputAsDeposit,
    DepositAsOutput,
    NotSigned,
    ValueMade,
    SpentTwiceInABlock,
    SpentTwiceAcrossBlocks,
    SameTransactionTwice,
    Settled,
    Exiting,
    InputInFlight,
    OutputInFlight,
}

pub(crate) const ALL: [(Wrong, Rule); 23] = [
    (Wrong::Body, Rule::R1),
    (Wrong::Witness, Rule::R1),
    (Wrong::OwnPlace, Rule::R2),
    (Wrong::LaterPlace, Rule::R2),
    (Wrong::NoBlock, Rule::R3),
    (Wrong::NoLeaf, Rule::R3),
    (Wrong::EmptyLeaf, Rule::R3),
    (Wrong::NoOutput, Rule::R3),
    (Wrong::OtherTransaction, Rule::R3),
    (Wrong::NotCovered, Rule::R3),
    (Wrong::NeverDeposited, Rule::R3),
    (Wrong::OtherNonce, Rule::R3),
    (Wrong::OutputAsDeposit, Rule::R3),
    (Wrong::DepositAsOutput, Rule::R3),
    (Wrong::NotSigned, Rule::R4),
    (Wrong::ValueMade, Rule::R5),
    (Wrong::SpentTwiceInABlock, Rule::R6),
    (Wrong::SpentTwiceAcrossBlocks, Rule::R6),
    (Wrong::SameTransactionTwice, Rule::R6),
    (Wrong::Settled, Rule::R7),
    (Wrong::Exiting, Rule::R7),
    (Wrong::InputInFlight, Rule::R7),
    (Wrong::OutputInFlight, Rule::R7),
];

/// Pays alice's coins to herself so many times, and leaves an empty leaf in each block.
pub(crate) fn honest_past(court: &mut Court, blocks: usize) -> [Coin; 3] {
    let mut coins = [court.deposit("alice", 10), court.deposit("alice", 20), court.deposit("alice", 30)];
    for _ in 0..=blocks {
        let payments = [0, 1].map(|i| court.sign("alice", &[coins[i]], vec![gets("alice", 10 * (i as u128 + 1))]));
        let block = court.next_place().block.get();
        let leaves = vec![None, served(&payments[0]), served(&payments[1])];
        assert_eq!(court.commit(leaves, 0), None);
        for (index, coin) in coins[..2].iter_mut().enumerate() {
            *coin = made(&payments[index], place(block, index as u32 + 1));
        }
    }
    coins
}

/// Commits a block that is wrong in this way, and returns what the ledger finds.
fn break_rule(court: &mut Court, wrong: Wrong, coins: [Coin; 3]) -> (Place, Fault) {
    let [coin, other, deposit] = coins;
    let at = court.next_place();
    let spends = |court: &Court, coin: Coin| served(&court.sign("alice", &[coin], vec![gets("bob", 10)]));
    let alone = |court: &mut Court, leaf: Served| court.commit(vec![leaf], 0);
    let placed = |position: Position| (coin.0, position);
    let found = match wrong {
        Wrong::Body => alone(court, Some((JUNK.to_vec(), JUNK.to_vec()))),
        Wrong::Witness => {
            let (body, _) = spends(court, coin).unwrap();
            alone(court, Some((body, JUNK.to_vec())))
        }
        Wrong::OwnPlace => alone(court, spends(court, placed(at.first_output()))),
        Wrong::LaterPlace => alone(court, spends(court, placed(at.output(1).unwrap()))),
        Wrong::NoBlock => alone(court, spends(court, placed(Position::from_bits(0).unwrap()))),
        Wrong::NoLeaf => alone(court, spends(court, placed(place(1, 9).first_output()))),
        Wrong::EmptyLeaf => alone(court, spends(court, placed(place(1, 0).first_output()))),
        Wrong::NoOutput => {
            let payment = court.sign("alice", &[coin], vec![gets("alice", 10)]);
            let made = court.commit_valid(std::slice::from_ref(&payment))[0];
            let id = OutputId::of_output(payment.body.hash(), 1);
            let PositionKind::Output(block, _) = made.1.kind() else { panic!("made in a block") };
            alone(court, spends(court, (id, block.output(1).unwrap())))
        }
        Wrong::OtherTransaction => alone(court, spends(court, placed(other.1))),
        Wrong::NotCovered => {
            let fresh = court.deposit("alice", 10);
            let leaf = spends(court, fresh);
            court.commit(vec![leaf], 1)
        }
        Wrong::NeverDeposited => {
            let nobodys = OutputId(B256::repeat_byte(7));
            alone(court, spends(court, (nobodys, Position::of_deposit(0).unwrap())))
        }
        Wrong::OtherNonce => alone(court, spends(court, (deposit.0, Position::of_deposit(0).unwrap()))),
        Wrong::OutputAsDeposit => alone(court, spends(court, placed(Position::of_deposit(0).unwrap()))),
        Wrong::DepositAsOutput => alone(court, spends(court, (deposit.0, coin.1))),
        Wrong::NotSigned => {
            let leaf = served(&court.sign("thief", &[coin], vec![gets("thief", 10)]));
            alone(court, leaf)
        }
        Wrong::ValueMade => {
            let leaf = served(&court.sign("alice", &[coin, deposit], vec![gets("alice", 41)]));
            alone(court, leaf)
        }
        Wrong::SpentTwiceInABlock => {
            let second = served(&court.sign("alice", &[coin, other], vec![gets("carol", 30)]));
            let first = spends(court, coin);
            court.commit(vec![first, second], 0)
        }
        Wrong::SpentTwiceAcrossBlocks => {
            let first = court.sign("alice", &[coin], vec![gets("bob", 10)]);
            court.commit_valid(&[first]);
            let second = served(&court.sign("alice", &[coin], vec![gets("carol", 10)]));
            alone(court, second)
        }
        Wrong::SameTransactionTwice => {
            let leaf = spends(court, coin);
            court.commit(vec![leaf.clone(), leaf], 0)
        }
        Wrong::Settled => {
            let exit = court.start_exit("alice", coin);
            court.wait_until(exit.key);
            court.process(&[exit]);
            let leaf = spends(court, coin);
            alone(court, leaf)
        }
        Wrong::Exiting => {
            let exit = court.start_exit("alice", coin);
            court.wait_until(PERIODS.freeze_of_standard_exit(exit.key));
            let leaf = spends(court, coin);
            alone(court, leaf)
        }
        Wrong::InputInFlight => {
            let payment = court.sign("alice", &[coin], vec![gets("bob", 10)]);
            court.start_in_flight(&payment);
            court.wait(PERIODS.freeze_delay());
            alone(court, served(&payment))
        }
        Wrong::OutputInFlight => {
            let payment = court.sign("alice", &[coin], vec![gets("alice", 10)]);
            let made = court.commit_valid(std::slice::from_ref(&payment))[0];
            court.start_in_flight(&payment);
            court.piggyback("alice", &payment.clone().into(), PieceSet::from_iter([Piece::Output(0)]));
            let key = court.contract.in_flight_exit(payment.body.hash()).unwrap().key;
            court.wait_until(PERIODS.freeze_of_in_flight_output(key));
            alone(court, spends(court, made))
        }
    };
    found.unwrap_or_else(|| panic!("the ledger finds nothing wrong: {wrong:?}"))
}

/// Breaks a rule after an honest past, and convicts the block.
fn assert_convicted(wrong: Wrong, rule: Rule, past: usize) {
    let mut court = Court::new();
    let coins = honest_past(&mut court, past);
    let found = break_rule(&mut court, wrong, coins);
    assert_eq!(found.1.rule(), rule, "{wrong:?}");
    let number = found.0.block;
    let proof = court.evidence(&found).unwrap_or_else(|| panic!("{wrong:?} cannot be proven: {found:?}"));
    assert_eq!((proof.rule(), proof.accused()), (rule, number), "{wrong:?}");
    assert_eq!(court.verdict(&proof), Ok(number), "{wrong:?}");
    let events = court.prove("carol", &proof).unwrap();
    assert!(
        matches!(events[0], RootEvent::FaultProven { number: n, rule: r, .. } if (n, r) == (number, rule)),
        "{wrong:?}"
    );
    assert_eq!(court.game.halt(), Some(Halt { from: number, at: court.now }));
    assert_eq!(court.contract.head().halt, court.game.halt());
}

#[test]
fn every_fault_is_proven_with_what_was_served() {
    for (wrong, rule) in ALL {
        assert_convicted(wrong, rule, 0);
    }
}

#[test]
fn what_is_not_served_cannot_be_proven() {
    let mut court = Court::new();
    let coins = honest_past(&mut court, 0);
    let found = break_rule(&mut court, Wrong::SpentTwiceAcrossBlocks, coins);
    let first = found.0.block.get() as usize - 2;
    court.blocks[first].leaves[0].preimage = None;
    assert_eq!(court.evidence(&found), None);
}

#[test]
fn two_spends_shown_on_the_root_chain_convict_the_later() {
    let mut court = Court::new();
    let coins = honest_past(&mut court, 0);
    let found = break_rule(&mut court, Wrong::SpentTwiceAcrossBlocks, coins);
    let later = found.0;
    let earlier = place(later.block.get() - 1, 0);
    for (one, other) in [(earlier, later), (later, earlier)] {
        let proof = double_spend(court.shown_body(one).unwrap(), court.shown_body(other).unwrap()).unwrap();
        assert_eq!(court.verdict(&proof), Ok(later.block));
    }
    let alone = court.shown_body(later).unwrap();
    assert_eq!(double_spend(alone.clone(), alone), None, "one place is one spend");
    let unrelated = court.shown_body(place(1, 1)).unwrap();
    assert_eq!(double_spend(unrelated, court.shown_body(later).unwrap()), None);
}

#[test]
fn a_freeze_is_proven_by_an_exit_that_stands_and_by_none_that_ended() {
    let mut court = Court::new();
    let [coin, ..] = honest_past(&mut court, 0);
    let payment = court.sign("alice", &[coin], vec![gets("bob", 10)]);
    court.start_in_flight(&payment);
    court.wait(PERIODS.freeze_delay());
    let found = court.commit(vec![served(&payment)], 0).expect("it is frozen");
    let proof = court.evidence(&found).unwrap();
    assert_eq!(court.verdict(&proof), Ok(found.0.block));

    court.wait(MEP / 2);
    let tx_hash = payment.body.hash();
    let data = court.contract.in_flight_exit(tx_hash).unwrap().data.encode();
    court.act("anyone", |contract, call, pay| contract.close_in_flight_exit(call, tx_hash, &data, pay)).unwrap();
    assert_eq!(court.evidence(&found), None);
    assert_eq!(court.verdict(&proof), Err(Revert::NotOpen { tx_hash }), "the block is valid again");
    assert!(matches!(proof, FaultProof::ExitingInFlight { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(10_000) / 4, ..ProptestConfig::default() })]

    #[test]
    fn every_broken_block_is_convicted(which in 0..ALL.len(), past in 0..5usize) {
        let (wrong, rule) = ALL[which];
        assert_convicted(wrong, rule, past);
    }
}
