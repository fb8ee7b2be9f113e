//! What a light watcher does on the root chain: for the payments that made its coins, and for the coins. §5.2, §6, §7

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::exit::in_flight::duty::{Act, Duty};
use plasmid_exit_game::exit::in_flight::guard::{OwnAct, OwnDuty};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::position::BlockNumber;
use plasmid_light_watcher::duty::{Due, Guard};
use plasmid_light_watcher::verdict::{AlarmKind, Fate};

use crate::world::{Coin, DOMAIN, PERIODS, Person, World, person};

/// Bob, who is guarded, has a coin that Mallory paid him with her deposit, in block 1: Mallory, Bob, her coin, his.
fn paid() -> (World, Person, Person, Coin, Coin) {
    let (mallory, bob) = (person(3), person(2));
    let mut world = World::guarding(&[&bob]);
    let hers = world.deposit(&mallory, 10);
    let his = world.commit(&[mallory.pays(&hers, &[bob.gets(10)])])[0];
    world.receive(&his);
    world.look_at(1);
    (world, mallory, bob, hers, his)
}

/// Lets the newest block be without the coin for longer than the grace.
fn lose(world: &mut World, coin: &Coin) {
    world.removed.push(coin.position);
    world.commit(&[]);
    let number = world.headers.len();
    world.look_at(number);
    world.pass(PERIODS.grace() + 1);
    assert_eq!(world.look_at(number).of(coin), Some(Fate::Missing));
}

#[test]
fn a_payer_who_exits_what_she_paid_with_is_challenged_by_the_payment() {
    let (mut world, mallory, _, hers, _) = paid();
    assert_eq!(world.due(), []);
    world.exit_starts(&hers);
    let due = world.due();
    let [Due::Challenge { exit, by }] = &due[..] else { panic!("{due:?}") };
    assert_eq!((exit.record.output_id, world.kept.payments[by].signer), (hers.id, Some(mallory.address())));
    // What others exit that paid for nothing here is others' affair, and who has no account can do nothing.
    let foreign = world.deposit(&mallory, 3);
    world.exit_starts(&foreign);
    assert_eq!(world.due().len(), 1);
    world.guard = Guard::default();
    assert_eq!(world.due(), []);
}

#[test]
fn a_competing_payment_that_exits_in_flight_meets_the_one_that_made_the_coin() {
    let (mut world, mallory, _, hers, his) = paid();
    let again = mallory.pays(&hers, &[mallory.gets(10)]);
    world.in_flight_exit_starts(&again, &hers);
    let due = world.due();
    let [Due::InFlight(Duty { tx_hash, act: Act::ChallengeCanonicity { input: 0, competitor }, .. })] = due[..] else {
        panic!("{due:?}")
    };
    assert_eq!((tx_hash, competitor.place), (again.body.hash(), his.place()));
}

#[test]
fn a_missing_coin_that_a_sound_block_made_leaves_by_itself() {
    let (mut world, _, bob, _, his) = paid();
    lose(&mut world, &his);
    assert_eq!(world.due(), [Due::Leave { id: his.id, owner: bob.address() }]);
    // On its way it is not due again; that it was missing stays an alarm, and the chain unsound, until it is out.
    world.exit_starts(&his);
    let fates = world.look_at(2);
    assert_eq!(
        (fates.of(&his), fates.kinds(), world.due()),
        (Some(Fate::Exiting), vec![AlarmKind::CoinMissing], vec![])
    );
    assert_eq!(world.kept.sound.get(), 1);

    let (mut world, _, _, _, his) = paid();
    world.guard.leaving.clear();
    lose(&mut world, &his);
    assert_eq!(world.due(), [], "unless it is not told to");
}

#[test]
fn a_coin_whose_spend_is_signed_leaves_with_the_spend() {
    let (mut world, _, bob, _, his) = paid();
    let spend = bob.pays(&his, &[person(4).gets(10)]);
    world.kept.sign(&SignedTransaction::from(spend.clone()), &DOMAIN);
    lose(&mut world, &his);
    assert_eq!(world.due(), [Due::Start { tx_hash: spend.body.hash(), owner: bob.address() }]);
    world.in_flight_exit_starts(&spend, &his);
    let due = world.due();
    let [Due::Own(OwnDuty { act: OwnAct::Piggyback { pieces, .. }, owner, .. })] = &due[..] else { panic!("{due:?}") };
    assert_eq!((pieces.bits(), *owner), (1, bob.address()), "his input comes back if the spend is not canonical");
}

#[test]
fn a_payment_that_only_a_bad_block_holds_leaves_in_flight() {
    let (mut world, mallory, bob, _, his) = paid();
    let more = world.deposit(&mallory, 5);
    world.removed.push(his.position);
    let late = world.commit(&[mallory.pays(&more, &[bob.gets(5)])])[0];
    world.receive(&late);
    world.look_at(2);
    world.pass(PERIODS.grace() + 1);
    world.look_at(2);
    let tx_hash = world.kept.coins[&late.id].made_by.unwrap();
    let (start, leave) =
        (Due::Start { tx_hash, owner: bob.address() }, Due::Leave { id: his.id, owner: bob.address() });
    assert_eq!(world.due(), [start, leave]);
}

#[test]
fn after_a_halt_everything_leaves_and_void_payments_in_flight() {
    let (mut world, mallory, bob, _, his) = paid();
    let more = world.deposit(&mallory, 5);
    let late = world.commit(&[mallory.pays(&more, &[bob.gets(5)])])[0];
    world.receive(&late);
    world.look_at(2);
    assert_eq!(world.due(), []);
    let number = BlockNumber::new(2).unwrap();
    let (accuser, evidence, slashed) = (Address::repeat_byte(9), B256::ZERO, U256::from(5));
    world.root_block(1, vec![RootEvent::FaultProven { number, rule: Rule::R1, accuser, evidence, slashed }]);
    world.headers.pop();
    assert_eq!(world.look_at(1).kinds(), [AlarmKind::Halted]);
    let tx_hash = world.kept.coins[&late.id].made_by.unwrap();
    let (start, leave) =
        (Due::Start { tx_hash, owner: bob.address() }, Due::Leave { id: his.id, owner: bob.address() });
    assert_eq!(world.due(), [start, leave]);
}

#[test]
fn an_exit_whose_turn_has_come_is_paid() {
    let (mut world, _, bob, _, his) = paid();
    world.exit_starts(&his);
    world.pass(2 * PERIODS.minimum_exit_period + 10);
    let due = world.due();
    let [Due::Process(payout)] = &due[..] else { panic!("{due:?}") };
    assert_eq!((payout.owner, payout.exits.len()), (bob.address(), 1));
}
