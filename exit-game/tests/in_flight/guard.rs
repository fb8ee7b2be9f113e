//! What a watcher does in flight for the owners that it guards. §7.

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::exit::in_flight::guard::{self, Guard, OwnAct, Payout};
use plasmid_exit_game::exit::in_flight::{Decision, InFlightData, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::output::{ETHER, Output};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::Transaction;

use crate::world::{
    ALICE, BOB, CAROL, HALF, INPUT_FREEZE, KEY, Known, START, World, coin, exit_record, payment, piece_challenged,
    piggybacked, place, spend_of_output, started, started_at, step,
};

/// From then on it is certain whether the exit's transaction got into a block before the freeze.
const CERTAIN: u64 = INPUT_FREEZE + 21 + 1;

const BOBS: Output = Output { owner: BOB, asset: ETHER, amount: 0 };

/// Alice and Bob are guarded; Carol challenges for them.
fn guard(bad_since: Option<u64>) -> Guard<'static> {
    Guard { owners: &[ALICE, BOB], accounts: &[ALICE, BOB, CAROL], bad_since, bounty_wei: 2 }
}

/// What is due, by owner.
fn due(world: &World, known: &Known, bad_since: Option<u64>) -> Vec<(Address, OwnAct)> {
    let due = guard::due(&world.game, known, &guard(bad_since));
    due.into_iter().map(|duty| (duty.owner, duty.act)).collect()
}

fn piggyback(pieces: &[Piece]) -> OwnAct {
    OwnAct::Piggyback { asset: ETHER, pieces: pieces.iter().copied().collect() }
}

/// Claims of all that Alice and Bob have in the payment.
fn all_claims() -> Vec<(Address, OwnAct)> {
    vec![
        (ALICE, piggyback(&[Piece::Input(0), Piece::Input(1), Piece::Output(1)])),
        (BOB, piggyback(&[Piece::Output(0)])),
    ]
}

#[test]
fn pieces_are_claimed_once_it_is_certain_that_the_payment_is_in_no_valid_block() {
    let (mut world, own, mut known) = (World::new(), payment(1), Known::default());
    world.connect(started(&own));
    world.wait_until(CERTAIN - 1);
    assert_eq!(due(&world, &known, None), [], "it may still get into a block, and need not leave");
    world.wait_until(CERTAIN);
    assert_eq!(due(&world, &known, None), all_claims());
    known.include(&own, place(3, 1), INPUT_FREEZE);
    assert_eq!(due(&world, &known, None), [], "what it made stands on the chain");
    known.included.clear();
    world.wait_until(HALF);
    assert_eq!(due(&world, &known, None), [(CAROL, OwnAct::Close)], "the first half is over");
}

#[test]
fn nothing_is_claimed_in_an_exit_of_an_input_that_a_void_block_made() {
    let (mut world, own, known) = (World::new(), payment(1), Known::default());
    let mut start = started(&own);
    let RootEvent::InFlight { step, .. } = &mut start else { panic!("a step of an in-flight exit") };
    let InFlightStep::Started { data, .. } = &mut **step else { panic!("its start") };
    (data.inputs[0].position, data.inputs[0].created_at) = (place(3, 0).first_output(), 1);
    world.connect(start);
    world.wait_until(CERTAIN);
    let proven = |number| RootEvent::FaultProven {
        number: BlockNumber::new(number).unwrap(),
        rule: Rule::R1,
        accuser: CAROL,
        evidence: B256::ZERO,
        slashed: U256::ZERO,
    };
    world.connect(proven(4));
    assert_eq!(due(&world, &known, None), all_claims(), "the block of its input stands");
    world.connect(proven(3));
    assert_eq!(due(&world, &known, None), []);
    world.disconnect();
    assert_eq!(due(&world, &known, None), all_claims(), "a reorganisation took the conviction back");
}

#[test]
fn on_a_bad_chain_pieces_are_claimed_at_once_but_outputs_that_were_signed_away() {
    let (mut world, own, mut known) = (World::new(), payment(1), Known::default());
    world.connect(started(&own));
    assert_eq!(due(&world, &known, Some(START - 9)), all_claims());
    known.signed.insert(coin(&own, Piece::Output(0)), spend_of_output(&own, 0));
    assert_eq!(due(&world, &known, Some(START - 9)), all_claims()[..1]);
    world.wait_until(CERTAIN);
    assert_eq!(due(&world, &known, Some(START - 9)), all_claims(), "nobody can show the payment in a block any more");
}

#[test]
fn of_a_payment_with_another_spend_of_an_input_only_what_that_leaves_is_claimed() {
    let (mut world, own, mut known) = (World::new(), payment(1), Known::default());
    let body = Transaction::new(vec![coin(&own, Piece::Input(1))], vec![Output { amount: 5, ..BOBS }], B256::ZERO);
    let other = SignedTransaction { body: body.unwrap(), signature: own.signature };
    known.include(&other, place(3, 1), START - 9);
    world.connect(started(&own));
    world.wait_until(CERTAIN);
    assert_eq!(due(&world, &known, None), [(ALICE, piggyback(&[Piece::Input(0)]))]);
}

#[test]
fn a_claim_is_done_once_the_piece_is_live_and_not_made_again_after_a_challenge() {
    let (mut world, own, known) = (World::new(), payment(1), Known::default());
    world.connect(started(&own));
    world.wait_until(CERTAIN);
    let (_, act) = due(&world, &known, None).remove(0);
    assert!(!act.is_done(world.game.in_flight_exit(own.body.hash()).unwrap()));
    world.connect(piggybacked(&own, &[Piece::Input(0), Piece::Input(1), Piece::Output(1)]));
    assert!(act.is_done(world.game.in_flight_exit(own.body.hash()).unwrap()));
    assert_eq!(due(&world, &known, None), all_claims()[1..]);
    world.connect(piece_challenged(&own, Piece::Input(1)));
    assert!(act.is_done(world.game.in_flight_exit(own.body.hash()).unwrap()));
    assert_eq!(due(&world, &known, None), all_claims()[1..], "the same evidence would take it again");
}

#[test]
fn what_is_worth_less_than_its_bounty_is_not_claimed() {
    let (mut world, own, known) = (World::new(), payment(1), Known::default());
    world.connect(started(&own));
    world.wait_until(CERTAIN);
    let poor = Guard { bounty_wei: 5, ..guard(None) };
    let due = guard::due(&world.game, &known, &poor);
    assert_eq!(due.into_iter().map(|duty| duty.act).collect::<Vec<_>>(), [piggyback(&[Piece::Output(0)])]);
}

#[test]
fn an_exit_squatted_with_a_younger_place_is_improved() {
    let (mut world, own, mut known) = (World::new(), payment(1), Known::default());
    // Alice spends a coin that block 3 made; a stranger shows a copy of its creation in block 7.
    let made = coin(&own, Piece::Output(1));
    let output = own.body.outputs()[1];
    let position = |block| place(block, 2).output(1).unwrap();
    known.made.insert(made, (position(3), output));
    let body = Transaction::new(vec![made], vec![Output { amount: output.amount, ..BOBS }], B256::ZERO).unwrap();
    let next = SignedTransaction { body, signature: own.signature };
    let shown = |position| {
        let input = plasmid_exit_game::exit::in_flight::InputData {
            output_id: made,
            position,
            created_at: START - 90,
            asset: ETHER,
            amount: output.amount,
        };
        InFlightData { starter: CAROL, owner: ALICE, inputs: vec![input] }
    };
    let (start, key) = (START, KEY + 600);
    let data = shown(position(7));
    world.connect(step(&next, InFlightStep::Started { data, start, key, transaction: next.clone() }));
    let improve = OwnAct::Improve { older: vec![(0, position(3))] };
    assert_eq!(due(&world, &known, None), [(ALICE, improve.clone())]);
    let exit = |world: &World| world.game.in_flight_exit(next.body.hash()).unwrap().clone();
    assert!(!improve.is_done(&exit(&world)));
    world.connect(step(&next, InFlightStep::Improved { key: KEY, data: shown(position(3)) }));
    assert!(improve.is_done(&exit(&world)));
    assert_eq!(due(&world, &known, None), []);
}

#[test]
fn an_exit_that_is_over_is_closed_but_not_while_a_competitor_may_be_answered() {
    let (mut world, own, known) = (World::new(), payment(1), Known::default());
    world.connect(started(&own));
    let competitor = payment(2);
    let challenged = InFlightStep::CanonicityChallenged { challenger: BOB, place: None, competitor };
    world.connect(step(&own, challenged));
    world.connect(piggybacked(&own, &[Piece::Input(0)]));
    world.wait_until(HALF);
    assert_eq!(due(&world, &known, None), [], "a piece is live");
    world.connect(piece_challenged(&own, Piece::Input(0)));
    assert_eq!(due(&world, &known, None), [], "there must be time for a response");
    world.wait_until(KEY);
    assert_eq!(due(&world, &known, None), [(CAROL, OwnAct::Close)], "who started it has a bond in it");
    let stranger = Guard { owners: &[BOB], accounts: &[], bad_since: None, bounty_wei: 0 };
    assert_eq!(guard::due(&world.game, &known, &stranger), [], "others close theirs");
    world.connect(step(&own, InFlightStep::Closed));
    assert_eq!(due(&world, &known, None), []);
}

#[test]
fn a_payment_leaves_a_bad_chain_in_flight_unless_it_cannot_pay() {
    let (own, bad_since) = (payment(1), START - 9);
    let starter = |world: &World, known: &Known, payment: &SignedTransaction, signer, bad_since| {
        guard::starter(payment, signer, &world.game, known, &guard(bad_since))
    };
    let (mut world, mut known) = (World::new(), Known::default());
    assert_eq!(starter(&world, &known, &own, ALICE, None), None, "the chain is good");
    assert_eq!(starter(&world, &known, &own, ALICE, Some(bad_since)), Some(ALICE));
    assert_eq!(starter(&world, &known, &own, BOB, Some(bad_since)), None, "its inputs are not the signer's");
    let inputs = own.body.inputs().to_vec();
    let minting = Transaction::new(inputs.clone(), vec![Output { amount: 11, ..BOBS }], B256::ZERO).unwrap();
    let minting = SignedTransaction { body: minting, signature: own.signature };
    assert_eq!(starter(&world, &known, &minting, ALICE, Some(bad_since)), None, "it does not balance");
    let unknown = spend_of_output(&own, 0);
    assert_eq!(starter(&world, &known, &unknown, BOB, Some(bad_since)), None, "no valid block made its input");
    let carols = Guard { owners: &[CAROL], ..guard(Some(bad_since)) };
    assert_eq!(guard::starter(&own, ALICE, &world.game, &known, &carols), None, "nobody guarded has anything in it");

    known.include(&payment(2), place(3, 1), START - 90);
    assert_eq!(starter(&world, &known, &own, ALICE, Some(bad_since)), None, "another spend stands in a valid block");
    known.included.clear();
    known.include(&own, place(3, 1), START - 90);
    assert_eq!(starter(&world, &known, &own, ALICE, Some(bad_since)), None, "it stands there itself");
    known.included.clear();

    world.connect(started(&own));
    assert_eq!(starter(&world, &known, &own, ALICE, Some(bad_since)), None, "it leaves already");
    world.wait_until(HALF);
    world.connect(step(&own, InFlightStep::Closed));
    assert_eq!(starter(&world, &known, &own, ALICE, Some(bad_since)), None, "it was tried");
    assert_eq!(starter(&world, &known, &own, ALICE, Some(START + 1)), Some(ALICE), "but not since the chain is bad");
    world.connect(started_at(&own, HALF));
    world.connect(step(&own, InFlightStep::Decided(Decision::Canonical)));
    assert_eq!(starter(&world, &known, &payment(2), ALICE, Some(bad_since)), None, "the inputs are settled");
}

#[test]
fn guarded_owners_are_paid_in_the_order_of_keys() {
    let (mut world, own) = (World::new(), payment(1));
    let tx_hash = own.body.hash();
    let [older, own_input] = [0, 1].map(|index| coin(&own, Piece::Input(index)));
    let exit = exit_record(older, CAROL, KEY - 3);
    world.connect(RootEvent::StandardExitStarted(exit));
    world.connect(RootEvent::StandardExitStarted(exit_record(own_input, CAROL, KEY)));
    world.connect(started(&own));
    world.connect(piggybacked(&own, &[Piece::Output(0), Piece::Output(1)]));
    let payouts = |world: &World| guard::payouts(&world.game, &Guard { owners: &[BOB], ..guard(None) });
    world.wait_until(KEY - 1);
    assert_eq!(payouts(&world), [], "nothing of Bob's is due");
    world.wait_until(KEY);
    let first = Payout { asset: ETHER, key: KEY - 3, owner: BOB, exits: vec![exit], pieces: [].into() };
    assert_eq!(payouts(&world), [first], "a stranger's exit stands before");
    let paid_exit = RootEvent::ExitPaid { output_id: older, payee: CAROL, amount: 5, paid: 5, credited: false };
    world.connect(paid_exit);
    let pieces = PieceSet::from_iter([Piece::Output(0)]);
    let second = Payout { asset: ETHER, key: KEY, owner: BOB, exits: vec![], pieces: [(tx_hash, pieces)].into() };
    assert_eq!(payouts(&world), [second], "of one key any order will do: Bob's own");
}
