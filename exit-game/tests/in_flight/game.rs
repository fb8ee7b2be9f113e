//! What in-flight exits freeze, lock and settle. §3.1, §6.

use plasmid_exit_game::exit::in_flight::{Decision, InFlightData, Piece};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::game::{CoinExit, GameError};
use proptest::prelude::*;

use crate::world::{
    ALICE, BOB, CAROL, HALF, INPUT_FREEZE, KEY, LAST_ACCEPTANCE, START, World, coin, exit_of, paid, payment,
    piece_challenged, piggybacked, place, returned, started, step,
};

#[test]
fn an_exits_inputs_are_locked_against_all_but_its_own_transaction() {
    let (mut world, own, other) = (World::new(), payment(1), payment(2).body.hash());
    let (tx_hash, input) = (own.body.hash(), coin(&own, Piece::Input(0)));
    assert!(world.game.is_spendable(input, other, 0));
    world.connect(started(&own));
    assert_eq!(world.game.freeze_of(input), Some(INPUT_FREEZE));
    assert_eq!(world.game.in_flight_exits_of_input(input).map(|exit| exit.tx_hash).collect::<Vec<_>>(), [tx_hash]);
    assert!(!world.game.is_spendable(input, other, u64::MAX));
    world.wait_until(LAST_ACCEPTANCE);
    assert!(world.game.is_spendable(input, tx_hash, 0), "until F/2 after the start");
    world.wait_until(LAST_ACCEPTANCE + 1);
    assert!(!world.game.is_spendable(input, tx_hash, u64::MAX));

    world.wait_until(HALF);
    let closed = world.connect(step(&own, InFlightStep::Closed));
    assert_eq!((world.game.freeze_of(input), world.game.in_flight_exit(tx_hash)), (None, None));
    for spender in [tx_hash, other] {
        assert!(!world.game.is_spendable(input, spender, closed - 1), "the close may still be reorganised away");
        assert!(world.game.is_spendable(input, spender, closed));
    }
}

#[test]
fn a_later_exit_of_the_same_transaction_is_new_and_does_not_hide_that_the_close_is_young() {
    let (mut world, own) = (World::new(), payment(1));
    let (tx_hash, input) = (own.body.hash(), coin(&own, Piece::Input(1)));
    world.connect(started(&own));
    world.wait_until(HALF);
    let closed = world.connect(step(&own, InFlightStep::Closed));
    let RootEvent::InFlight { step: first, .. } = started(&own) else { unreachable!() };
    let InFlightStep::Started { data, transaction, .. } = *first else { unreachable!() };
    let again = InFlightStep::Started { data, start: HALF, key: KEY + 300, transaction };
    world.connect(step(&own, again));
    assert_eq!(world.game.freeze_of(input), Some(HALF + 75));
    assert!(!world.game.is_spendable(input, tx_hash, closed - 1), "the first exit's freeze may come back");
    assert!(world.game.is_spendable(input, tx_hash, closed));
}

#[test]
fn a_competing_exit_locks_a_transaction_out_of_its_own() {
    let (mut world, own, other) = (World::new(), payment(1), payment(2));
    world.connect(started(&own));
    world.connect(started(&other));
    let input = coin(&own, Piece::Input(0));
    assert_eq!(world.game.in_flight_exits_of_input(input).count(), 2);
    for spender in [&own, &other] {
        assert!(!world.game.is_spendable(input, spender.body.hash(), u64::MAX));
    }
}

#[test]
fn a_piggybacked_output_freezes_at_the_exits_present_key_and_is_free_once_challenged_away() {
    let (mut world, own, spender) = (World::new(), payment(1), payment(2).body.hash());
    let output = coin(&own, Piece::Output(1));
    world.connect(started(&own));
    assert_eq!(world.game.freeze_of(output), None, "nothing is piggybacked yet");
    world.connect(piggybacked(&own, &[Piece::Output(1)]));
    assert_eq!(world.game.freeze_of(output), Some(KEY - 300 + 75));
    assert_eq!(world.game.in_flight_exit_of_output(output).map(|exit| exit.tx_hash), Some(own.body.hash()));
    let data = world.game.in_flight_exit(own.body.hash()).unwrap().data.clone();
    world.connect(step(&own, InFlightStep::Improved { key: KEY - 30, data }));
    assert_eq!(world.game.freeze_of(output), Some(KEY - 330 + 75));
    assert!(!world.game.is_spendable(output, spender, u64::MAX));

    let ended = world.connect(piece_challenged(&own, Piece::Output(1)));
    assert_eq!(world.game.freeze_of(output), None);
    assert!(!world.game.is_spendable(output, spender, ended - 1));
    assert!(world.game.is_spendable(output, spender, ended));
    world.connect(piggybacked(&own, &[Piece::Output(1)]));
    assert!(!world.game.is_spendable(output, spender, u64::MAX), "it may be piggybacked again");
}

#[test]
fn a_canonical_decision_settles_all_inputs_and_a_standard_exit_of_one_pays_nothing() {
    let (mut world, own) = (World::new(), payment(1));
    let [first, second] = [0, 1].map(|index| coin(&own, Piece::Input(index)));
    world.connect(exit_of(first));
    world.connect(started(&own));
    world.connect(piggybacked(&own, &[Piece::Output(0), Piece::Input(1)]));
    assert_eq!(world.game.freeze_of(first), Some(INPUT_FREEZE), "the earlier of both");
    world.connect(step(&own, InFlightStep::Decided(Decision::Canonical)));
    assert_eq!(world.game.exit(second), Some(&CoinExit::Settled { freeze: INPUT_FREEZE }));
    assert!(matches!(world.game.exit(first), Some(CoinExit::Pending(exit)) if exit.settled == Some(INPUT_FREEZE)));

    let exit_paid = RootEvent::ExitPaid { output_id: first, payee: ALICE, amount: 5, paid: 5, credited: false };
    let refused = world.connect_at(KEY, vec![exit_paid]);
    assert_eq!(refused, Err(GameError::AlreadySettled { output_id: first }));
    world.connect(RootEvent::ExitReturned { output_id: first, payee: ALICE });
    assert_eq!(world.game.exit(first), Some(&CoinExit::Settled { freeze: INPUT_FREEZE }));

    world.connect(paid(&own, Piece::Output(0)));
    world.connect(returned(&own, Piece::Input(1)));
    world.connect(step(&own, InFlightStep::Closed));
    let output = coin(&own, Piece::Output(0));
    assert_eq!(world.game.freeze_of(output), Some(KEY - 300 + 75));
    assert_eq!(world.game.freeze_of(second), Some(INPUT_FREEZE), "for ever");
    for settled in [first, second, output] {
        assert!(!world.game.is_spendable(settled, own.body.hash(), u64::MAX));
    }
}

#[test]
fn a_non_canonical_exit_pays_inputs_and_frees_its_outputs() {
    let (mut world, own, other) = (World::new(), payment(1), payment(2));
    let [first, second] = [0, 1].map(|index| coin(&own, Piece::Input(index)));
    world.connect(started(&own));
    world.connect(piggybacked(&own, &[Piece::Output(0), Piece::Input(0)]));
    let competitor = InFlightStep::CanonicityChallenged { challenger: CAROL, place: None, competitor: other.clone() };
    world.connect(step(&own, competitor));
    world.connect(step(&own, InFlightStep::Decided(Decision::NonCanonical)));
    let ended = world.connect(returned(&own, Piece::Output(0)));
    world.connect(paid(&own, Piece::Input(0)));
    let closed = world.connect(step(&own, InFlightStep::Closed));
    assert_eq!(world.game.exit(first), Some(&CoinExit::Settled { freeze: INPUT_FREEZE }));
    assert_eq!(world.game.freeze_of(second), None);
    assert!(world.game.is_spendable(second, other.body.hash(), closed));
    assert!(world.game.is_spendable(coin(&own, Piece::Output(0)), other.body.hash(), ended));
}

#[test]
fn steps_that_cannot_be_change_nothing() {
    let (mut world, own) = (World::new(), payment(1));
    let tx_hash = own.body.hash();
    let not_open = world.connect_at(START, vec![piggybacked(&own, &[Piece::Output(0)])]);
    assert_eq!(not_open, Err(GameError::NotOpen { tx_hash }));
    world.connect(started(&own));
    world.connect(piggybacked(&own, &[Piece::Output(0)]));
    let before = format!("{:?}", world.game);
    let contradiction = GameError::InFlightStep { tx_hash };
    let decided = |decision| step(&own, InFlightStep::Decided(decision));
    let data = world.game.in_flight_exit(tx_hash).unwrap().data.clone();
    let other_inputs = InFlightStep::Improved { key: KEY, data: InFlightData { inputs: vec![], ..data.clone() } };
    let other_owner = InFlightStep::Improved { key: KEY, data: InFlightData { owner: BOB, ..data } };
    for (events, error) in [
        (vec![started(&own)], GameError::AlreadyOpen { tx_hash }),
        (vec![piggybacked(&own, &[Piece::Input(0), Piece::Output(0)])], contradiction),
        (vec![piggybacked(&own, &[Piece::Input(2)])], contradiction),
        (vec![piggybacked(&own, &[Piece::Output(15)])], contradiction),
        (vec![piece_challenged(&own, Piece::Input(0))], contradiction),
        (vec![paid(&own, Piece::Output(0))], contradiction),
        (vec![decided(Decision::NonCanonical), paid(&own, Piece::Output(0))], contradiction),
        (vec![returned(&own, Piece::Output(0))], contradiction),
        (vec![decided(Decision::Void), decided(Decision::Void)], contradiction),
        (vec![step(&own, other_inputs)], contradiction),
        (vec![step(&own, other_owner)], contradiction),
        (vec![step(&own, InFlightStep::Closed)], contradiction),
        (
            vec![decided(Decision::Canonical), exit_of(coin(&own, Piece::Input(0)))],
            GameError::AlreadyExiting { output_id: coin(&own, Piece::Input(0)) },
        ),
    ] {
        assert_eq!(world.connect_at(START, events.clone()), Err(error), "{events:?}");
        assert_eq!(format!("{:?}", world.game), before, "{events:?}");
    }
}

/// Some event about one of two competing payments. Most are possible, by far not all.
fn any_event() -> impl Strategy<Value = RootEvent> {
    let piece = || (0..18u8).prop_map(|number| Piece::new(if number < 2 { number } else { 16 + number % 2 }).unwrap());
    (1..3u8, 0..12u8, piece()).prop_map(|(memo, kind, piece)| {
        let own = payment(memo);
        let competitor = payment(3 - memo);
        match kind {
            0..3 => started(&own),
            3 | 4 => piggybacked(&own, &[piece]),
            5 => {
                let place = Some(place(3, 0));
                step(&own, InFlightStep::CanonicityChallenged { challenger: CAROL, place, competitor })
            }
            6 => step(&own, InFlightStep::CanonicityAnswered { responder: BOB, place: place(2, 0) }),
            7 => piece_challenged(&own, piece),
            8 if piece == Piece::Input(0) => step(&own, InFlightStep::Decided(Decision::NonCanonical)),
            8 => step(&own, InFlightStep::Decided(Decision::Canonical)),
            9 => paid(&own, piece),
            10 => returned(&own, piece),
            _ if piece == Piece::Input(1) => exit_of(coin(&own, piece)),
            _ => step(&own, InFlightStep::Closed),
        }
    })
}

proptest! {
    #[test]
    fn a_reorganisation_leaves_no_trace(events in prop::collection::vec(any_event(), 1..40)) {
        let mut world = World::new();
        let mut states = vec![format!("{:?}", world.game)];
        for event in events {
            if world.connect_at(START, vec![event]).is_ok() {
                states.push(format!("{:?}", world.game));
            } else {
                prop_assert_eq!(&format!("{:?}", world.game), states.last().unwrap());
            }
        }
        while states.len() > 1 {
            states.pop();
            world.disconnect();
            prop_assert_eq!(&format!("{:?}", world.game), states.last().unwrap());
        }
    }
}
