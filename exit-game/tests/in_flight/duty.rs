//! What a watcher owes every in-flight exit. §7.

use plasmid_exit_game::exit::in_flight::duty::{self, Act, Evidence};
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace, Piece, SignedTransaction};
use plasmid_exit_game::facts::InFlightStep;
use proptest::prelude::*;

use crate::world::{
    BOB, CAROL, HALF, INPUT_FREEZE, KEY, Known, START, World, coin, payment, piggybacked, place, spend_of_output,
    started, step,
};

/// What the contract says to an act.
fn outcome(act: Act) -> InFlightStep {
    match act {
        Act::ChallengeCanonicity { competitor, .. } => InFlightStep::CanonicityChallenged {
            challenger: CAROL,
            place: Some(competitor.place),
            competitor: payment(2),
        },
        Act::Respond { own } => InFlightStep::CanonicityAnswered { responder: CAROL, place: own.place },
        Act::ChallengePiece { piece, shown, .. } => {
            InFlightStep::PieceChallenged { challenger: CAROL, piece, place: shown.place, spend: payment(2) }
        }
    }
}

#[test]
fn an_exit_whose_input_is_spent_in_a_valid_block_is_challenged_in_the_first_half_alone() {
    let (mut world, own, other, mut known) = (World::new(), payment(1), payment(2), Known::default());
    world.connect(started(&own));
    assert_eq!(duty::due(&world.game, &known), [], "nothing is known against it");
    known.include(&other, place(3, 1), START - 9);
    let competitor = known.inclusion(other.body.hash()).unwrap();
    let due = duty::due(&world.game, &known);
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].act, due[0].before), (Act::ChallengeCanonicity { input: 0, competitor }, HALF));
    world.wait_until(HALF - 1);
    assert_eq!(duty::due(&world.game, &known).len(), 1, "nothing needs to be piggybacked");
    world.wait_until(HALF);
    assert_eq!(duty::due(&world.game, &known), []);
}

#[test]
fn a_competitor_that_is_in_no_block_does_not_spare_the_watcher_the_one_that_is() {
    let (mut world, own, other, mut known) = (World::new(), payment(1), payment(2), Known::default());
    known.include(&other, place(3, 1), START - 9);
    world.connect(started(&own));
    for shown in [None, Some(place(5, 0)), Some(place(3, 2))] {
        let competitor = payment(3);
        world.connect(step(&own, InFlightStep::CanonicityChallenged { challenger: BOB, place: shown, competitor }));
        assert!(
            matches!(duty::due(&world.game, &known)[..], [duty] if matches!(duty.act, Act::ChallengeCanonicity { .. }))
        );
    }
    let shown = Some(place(3, 1));
    world.connect(step(&own, InFlightStep::CanonicityChallenged { challenger: BOB, place: shown, competitor: other }));
    assert_eq!(duty::due(&world.game, &known), []);
}

#[test]
fn a_wrong_competitor_is_answered_until_the_exit_is_decided() {
    let (mut world, own, other, mut known) = (World::new(), payment(1), payment(2), Known::default());
    known.include(&own, place(3, 1), START - 9);
    world.connect(started(&own));
    assert_eq!(duty::due(&world.game, &known), [], "it is canonical as it stands");
    let challenged = InFlightStep::CanonicityChallenged { challenger: BOB, place: None, competitor: other };
    world.connect(step(&own, challenged));
    world.wait_until(KEY + 1);
    let due = duty::due(&world.game, &known);
    assert!(matches!(due[..], [duty] if matches!(duty.act, Act::Respond { .. }) && duty.before == KEY));
    world.connect(step(&own, InFlightStep::CanonicityAnswered { responder: CAROL, place: place(4, 0) }));
    assert_eq!(duty::due(&world.game, &known).len(), 1, "the younger place may yet be void");
    world.connect(step(&own, InFlightStep::Decided(Decision::Canonical)));
    assert_eq!(duty::due(&world.game, &known), []);
}

#[test]
fn a_piece_is_challenged_by_an_inclusion_that_the_freeze_allows() {
    let (own, other) = (payment(1), payment(2));
    let due_of = |piece, included: &SignedTransaction, timestamp, spend: Option<SignedTransaction>| {
        let (mut world, mut known) = (World::new(), Known::default());
        known.include(included, place(3, 1), timestamp);
        known.signed.extend(spend.map(|spend| (spend.body.inputs()[0], spend)));
        world.connect(started(&own));
        world.connect(piggybacked(&own, &[piece]));
        world.wait_until(KEY);
        duty::due(&world.game, &known).iter().filter(|duty| matches!(duty.act, Act::ChallengePiece { .. })).count()
    };
    assert_eq!(due_of(Piece::Input(1), &other, INPUT_FREEZE, None), 1);
    assert_eq!(due_of(Piece::Input(1), &other, INPUT_FREEZE + 1, None), 0);
    assert_eq!(due_of(Piece::Input(1), &own, INPUT_FREEZE, None), 0, "its own transaction is no other spend");
    let spend = Some(spend_of_output(&own, 1));
    assert_eq!(due_of(Piece::Output(1), &own, INPUT_FREEZE, spend.clone()), 1);
    assert_eq!(due_of(Piece::Output(1), &own, INPUT_FREEZE + 1, spend.clone()), 0);
    assert_eq!(due_of(Piece::Output(0), &own, INPUT_FREEZE, spend.clone()), 0, "another output is spent");
    assert_eq!(due_of(Piece::Output(1), &other, INPUT_FREEZE, spend), 0, "the transaction itself must be included");
}

proptest! {
    /// Whatever strangers show, an exit ends as the valid blocks have it once what is due is done, and nothing that is due
    /// harms an exit that is canonical.
    #[test]
    fn doing_what_is_due_leaves_every_exit_as_the_valid_blocks_have_it(
        included in 0..4u8,
        strangers in prop::collection::vec((any::<bool>(), 0..3u8, 0..4u8), 0..8),
        is_output_spent in any::<bool>(),
        timestamp in START - 100..START + 200,
    ) {
        let (mut world, mut known, own, other) = (World::new(), Known::default(), payment(1), payment(2));
        match included {
            0 => known.include(&own, place(3, 1), timestamp),
            1 => known.include(&other, place(3, 1), timestamp),
            _ => {}
        }
        if is_output_spent {
            known.signed.insert(coin(&own, Piece::Output(0)), spend_of_output(&own, 0));
        }
        world.connect(started(&own));
        let pieces = [Piece::Input(0), Piece::Input(1), Piece::Output(0), Piece::Output(1)];
        world.connect(piggybacked(&own, &pieces));
        for (is_response, kind, index) in strangers {
            // Places that strangers can show are those of valid blocks, or younger: in blocks that nobody may know.
            let shown = match (is_response, kind) {
                (_, 0) => Some(place(4, u32::from(index))),
                (true, _) => (included == 0).then(|| place(3, 1)).or(Some(place(5, u32::from(index)))),
                (false, 1) => (included == 1).then(|| place(3, 1)),
                (false, _) => None,
            };
            let oldest = world.game.in_flight_exit(own.body.hash()).unwrap().oldest;
            let is_taken = match (oldest, shown) {
                (OldestPlace::Nobodys, _) => !is_response,
                (oldest, Some(shown)) => oldest.is_bettered_by(shown),
                (_, None) => false,
            };
            match shown {
                Some(place) if is_taken && is_response => {
                    world.connect(step(&own, InFlightStep::CanonicityAnswered { responder: BOB, place }));
                }
                shown if is_taken => {
                    let challenged =
                        InFlightStep::CanonicityChallenged { challenger: BOB, place: shown, competitor: other.clone() };
                    world.connect(step(&own, challenged));
                }
                _ => {}
            }
            let due = duty::due(&world.game, &known);
            prop_assert!(due.len() <= 5);
            for duty in due {
                if matches!(duty.act, Act::ChallengeCanonicity { .. }) {
                    prop_assert_eq!(included, 1, "never against a canonical one");
                }
                world.connect(step(&own, outcome(duty.act)));
            }
            prop_assert_eq!(duty::due(&world.game, &known), vec![], "once is enough");
        }
        for duty in duty::due(&world.game, &known) {
            world.connect(step(&own, outcome(duty.act)));
        }
        let exit = world.game.in_flight_exit(own.body.hash()).unwrap();
        let in_time = timestamp <= INPUT_FREEZE;
        match included {
            0 => prop_assert!(matches!(exit.oldest, OldestPlace::Nobodys) || exit.oldest == OldestPlace::Own(place(3, 1))),
            1 => prop_assert_eq!(exit.oldest, OldestPlace::Competitors(Some(place(3, 1)))),
            _ => {}
        }
        for piece in pieces {
            let is_spent = match piece {
                Piece::Input(_) => included == 1 && in_time,
                Piece::Output(index) => included == 0 && in_time && is_output_spent && index == 0,
            };
            prop_assert_eq!(exit.live_pieces.has(piece), !is_spent, "{:?}", piece);
        }
    }
}
