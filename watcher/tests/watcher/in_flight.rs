//! In-flight exits told to the judge: which blocks they make invalid, and what is owed them. §3.1, §6, §7.

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::duty::{Act, Duty};
use plasmid_exit_game::exit::in_flight::{InFlightData, InputData, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_watcher::duty::{self, Charge, Due, Guard};
use plasmid_watcher::finding::Finding;
use plasmid_watcher::in_flight::due;

use crate::child_chain::{ChildChain, Coin, Person, deposit_coin, made, pay};
use crate::world::{DOMAIN, PERIODS, World};

const CAROL: Address = Address::repeat_byte(0xca);

/// A world in which alice owns the deposit `coin`, which the next block covers.
struct Start {
    world: World,
    operator: ChildChain,
    alice: Person,
    bob: Person,
    coin: Coin,
}

fn start() -> Start {
    let (alice, bob) = (Person::new(1), Person::new(2));
    let (mut world, mut operator) = (World::new(), ChildChain::new(DOMAIN));
    let deposit = world.deposit(alice.owns(100));
    world.commit_and_serve(&operator.block(&[], &[deposit]));
    assert_eq!(world.judge_all(), [(1, Finding::Valid)]);
    Start { world, operator, alice, bob, coin: deposit_coin(&deposit) }
}

impl Start {
    /// Starts the in-flight exit of a payment over alice's coin, and returns its start.
    fn start_exit(&mut self, payment: &PlacedTransaction) -> u64 {
        let start = self.world.now() + 1;
        let input = InputData {
            output_id: self.coin.id,
            position: self.coin.position,
            created_at: 0,
            asset: self.coin.output.asset,
            amount: self.coin.output.amount,
        };
        let data = InFlightData { starter: CAROL, owner: self.alice.address(), inputs: vec![input] };
        let key = PERIODS.exit_key(start, None);
        self.step(payment, InFlightStep::Started { data, start, key, transaction: signed(payment) });
        start
    }

    fn step(&mut self, payment: &PlacedTransaction, step: InFlightStep) {
        self.world.root_block(1, vec![in_flight(payment, step)]);
    }

    fn due(&self) -> Vec<Duty> {
        due(&self.world.judge.chain(), &self.world.judge.history())
    }
}

fn signed(payment: &PlacedTransaction) -> SignedTransaction {
    SignedTransaction { body: payment.body.clone(), signature: payment.witness.signature }
}

fn in_flight(payment: &PlacedTransaction, step: InFlightStep) -> RootEvent {
    RootEvent::InFlight { tx_hash: payment.body.hash(), step: Box::new(step) }
}

fn place(block: u64, index: u32) -> Place {
    Place { block: BlockNumber::new(block).unwrap(), index: TxIndex::new(index).unwrap() }
}

fn is_frozen(findings: &[(u64, Finding)]) -> bool {
    matches!(findings, [(2, Finding::Invalid(breach))] if breach.rule == "R7")
}

#[test]
fn a_spend_after_the_freeze_of_an_input_is_invalid_until_the_exit_is_closed_and_again_if_that_is_undone() {
    let mut s = start();
    let payment = pay(&DOMAIN, &s.alice, &[s.coin], vec![s.bob.owns(100)]);
    let started = s.start_exit(&payment);
    s.world.root_block(PERIODS.freeze_of_in_flight_input(started) - s.world.now(), vec![]);
    s.world.commit_and_serve(&s.operator.block(std::slice::from_ref(&payment), &[]));
    assert!(is_frozen(&s.world.judge_all()), "its own transaction included");
    s.world.root_block(PERIODS.end_of_first_half(started) - s.world.now(), vec![]);
    let closed = in_flight(&payment, InFlightStep::Closed);
    s.world.root_block(1, vec![closed.clone()]);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    s.world.reorganise(1);
    assert!(is_frozen(&s.world.judge_all()));
    s.world.root_block(1, vec![closed]);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    s.world.restart();
    assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, Finding::Valid)]);
}

#[test]
fn an_exit_of_a_payment_whose_coin_was_spent_otherwise_is_challenged_once_the_spend_is_in_a_valid_block() {
    let mut s = start();
    let [payment, competitor] = [60, 70].map(|amount| {
        let outputs = vec![s.bob.owns(amount), s.alice.owns(100 - amount)];
        pay(&DOMAIN, &s.alice, &[s.coin], outputs)
    });
    s.start_exit(&payment);
    let owner = s.alice.address();
    let pieces = PieceSet::from_iter([Piece::Input(0)]);
    s.step(&payment, InFlightStep::Piggybacked { owner, asset: s.coin.output.asset, pieces });
    let built = s.operator.block(std::slice::from_ref(&competitor), &[]);
    let header = s.world.commit(&built);
    assert!(s.world.judge_all().is_empty());
    assert_eq!(s.due(), [], "nothing is known of a block that is not served");
    s.world.serve(header, &built.body);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    for _ in 0..2 {
        let due = s.due();
        let [canonicity, piece] = due[..] else { panic!("{due:?}") };
        let Act::ChallengeCanonicity { input: 0, competitor: shown } = canonicity.act else { panic!("{canonicity:?}") };
        assert_eq!((shown.tx_hash, shown.place), (competitor.body.hash(), place(2, 0)));
        assert!(matches!(piece.act, Act::ChallengePiece { piece: Piece::Input(0), .. }), "{piece:?}");
        s.world.restart();
        assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, Finding::Valid)]);
    }
}

#[test]
fn an_exit_of_an_included_payment_is_defended_and_its_spent_output_challenged_by_what_was_shown_alone() {
    let mut s = start();
    let payment = pay(&DOMAIN, &s.alice, &[s.coin], vec![s.bob.owns(100)]);
    let competitor = pay(&DOMAIN, &s.alice, &[s.coin], vec![s.alice.owns(100)]);
    s.world.commit_and_serve(&s.operator.block(std::slice::from_ref(&payment), &[]));
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    s.start_exit(&payment);
    let pieces = PieceSet::from_iter([Piece::Output(0)]);
    s.step(&payment, InFlightStep::Piggybacked { owner: s.bob.address(), asset: s.coin.output.asset, pieces });
    assert_eq!(s.due(), [], "it is canonical as it stands");

    let challenged =
        InFlightStep::CanonicityChallenged { challenger: CAROL, place: None, competitor: signed(&competitor) };
    s.step(&payment, challenged);
    let due = s.due();
    assert!(
        matches!(due[..], [duty] if matches!(duty.act, Act::Respond { own } if own.place == place(2, 0))),
        "{due:?}"
    );
    s.step(&payment, InFlightStep::CanonicityAnswered { responder: CAROL, place: place(2, 0) });
    assert_eq!(s.due(), []);

    // Bob signed his output away in a transaction that is in no block, but was shown on the root chain.
    let spend = pay(&DOMAIN, &s.bob, &made(&payment, 2, 0), vec![s.alice.owns(100)]);
    let coin = made(&payment, 2, 0)[0];
    let input = InputData {
        output_id: coin.id,
        position: coin.position,
        created_at: s.world.now(),
        asset: coin.output.asset,
        amount: coin.output.amount,
    };
    let data = InFlightData { starter: CAROL, owner: s.bob.address(), inputs: vec![input] };
    let start = s.world.now() + 1;
    let key = PERIODS.exit_key(start, input.created());
    s.step(&spend, InFlightStep::Started { data, start, key, transaction: signed(&spend) });
    let due = s.due();
    let [duty] = due[..] else { panic!("{due:?}") };
    let Act::ChallengePiece { piece: Piece::Output(0), shown, .. } = duty.act else { panic!("{duty:?}") };
    assert_eq!((duty.tx_hash, shown.place), (payment.body.hash(), place(2, 0)));
}

/// The payments that leave a bad chain in flight, and who starts that, for guarded owners.
fn starts(world: &World, owners: &[Address]) -> Vec<(TxHash, Address)> {
    let guard = Guard { owners: owners.to_vec(), accounts: owners.to_vec(), bounty_wei: 0, piece_bounty_wei: 0 };
    let charge = Charge { bad: world.judge.bad(), ..Charge::default() };
    let due = duty::due(&world.judge.chain(), &world.judge.history(), &guard, &charge);
    let start = |due| if let Due::Start(start) = due { Some((start.tx_hash, start.owner)) } else { None };
    due.into_iter().filter_map(start).collect()
}

#[test]
fn a_guarded_owners_payment_leaves_from_a_bad_chain_wherever_it_was_seen() {
    let (alice, bob) = (Person::new(1), Person::new(2));
    let guarded = [bob.address()];
    let (mut world, mut operator) = (World::guarding(guarded.to_vec()), ChildChain::new(DOMAIN));
    let deposits = [10, 20, 30].map(|amount| world.deposit(alice.owns(amount)));
    world.commit_and_serve(&operator.block(&[], &deposits));
    assert_eq!(world.judge_all(), [(1, Finding::Valid)]);
    let [first, second, third] = deposits.map(|deposit| deposit_coin(&deposit));
    let payments = [(first, 10), (second, 20), (third, 30)]
        .map(|(coin, amount)| pay(&DOMAIN, &alice, &[coin], vec![bob.owns(amount)]));
    let to_herself = pay(&DOMAIN, &alice, &[second], vec![alice.owns(20)]);

    // One in a block with a preimage missing, one after it, and one that only a call on the root chain has shown.
    let bad = operator.block(&[payments[0].clone(), to_herself], &[]);
    let header = world.commit(&bad);
    world.serve(header, &bad.without(&[1]));
    world.pass(PERIODS.grace() + 1);
    world.fail_to_serve(2);
    assert!(matches!(world.judge_all()[..], [(2, Finding::Withheld(_))]));
    world.commit_and_serve(&operator.block(&payments[1..2], &[]));
    assert!(world.judge_all().is_empty());
    let shown = signed(&payments[2]);
    let competitor = InFlightStep::CanonicityChallenged { challenger: CAROL, place: None, competitor: shown };
    let other = pay(&DOMAIN, &alice, &[third], vec![alice.owns(30)]);
    let input = InputData {
        output_id: third.id,
        position: third.position,
        created_at: 0,
        asset: third.output.asset,
        amount: third.output.amount,
    };
    let data = InFlightData { starter: CAROL, owner: alice.address(), inputs: vec![input] };
    let start = world.now() + 1;
    let key = PERIODS.exit_key(start, None);
    let started = InFlightStep::Started { data, start, key, transaction: signed(&other) };
    world.root_block(1, vec![in_flight(&other, started), in_flight(&other, competitor)]);

    let mut expected = payments.map(|payment| (payment.body.hash(), bob.address())).to_vec();
    expected.sort();
    for _ in 0..2 {
        assert_eq!(starts(&world, &guarded), expected);
        world.restart();
        world.judge_all();
    }
    assert_eq!(starts(&world, &[]), []);
}
