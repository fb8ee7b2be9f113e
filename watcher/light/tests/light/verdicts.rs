//! What became of each coin: shown, awaited, missing; and which server said what. §1.8, §7

use alloy_primitives::B256;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_light_watcher::answer::{self, Heard, Standing};
use plasmid_light_watcher::verdict::{AlarmKind, Fate};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::{self, Answer, TransactionAnswer, Unspent, Verdict};

use crate::world::{DOMAIN, PERIODS, URL, World, person};

#[test]
fn a_coin_that_the_newest_tree_holds_is_accounted_for() {
    let (alice, bob) = (person(1), person(2));
    let mut world = World::guarding(&[&bob]);
    let hers = world.deposit(&alice, 10);
    let his = world.commit(&[alice.pays(&hers, &[bob.gets(4), alice.gets(6)])])[0];
    world.receive(&his);
    let fates = world.look_at(1);
    assert_eq!((fates.of(&his), fates.kinds()), (Some(Fate::Held), vec![]));
    assert_eq!(world.kept.sound.get(), 1);
    // What passed meanwhile is not asked for: the newest block alone shows it.
    (0..50).for_each(|_| drop(world.commit(&[])));
    assert_eq!(world.look_at(51).of(&his), Some(Fate::Held));
    assert_eq!((world.kept.sound.get(), world.kept.coins[&his.id].held()), (51, BlockNumber::new(51)));
}

#[test]
fn a_deposit_that_no_block_covers_is_nobodys_to_show() {
    let alice = person(1);
    let mut world = World::guarding(&[&alice]);
    world.commit(&[]);
    let deposit = world.deposit(&alice, 10);
    let fates = world.look_at(1);
    assert_eq!((fates.of(&deposit), fates.kinds()), (Some(Fate::Pending), vec![]));
    world.commit(&[]);
    assert_eq!(world.look_at(2).of(&deposit), Some(Fate::Held));
}

#[test]
fn a_coin_that_is_left_out_of_the_tree_is_awaited_for_the_grace_and_then_an_alarm() {
    let alice = person(1);
    let mut world = World::guarding(&[&alice]);
    let coin = world.deposit(&alice, 10);
    world.commit(&[]);
    world.look_at(1);
    world.removed.push(coin.position);
    world.commit(&[]);
    let fates = world.look_at(2);
    assert_eq!((fates.of(&coin), fates.kinds(), world.kept.sound.get()), (Some(Fate::Awaited), vec![], 1));
    world.pass(PERIODS.grace() + 1);
    let fates = world.look_at(2);
    assert_eq!((fates.of(&coin), fates.kinds()), (Some(Fate::Missing), vec![AlarmKind::CoinMissing]));
    assert_eq!(fates.alarms[0].coin, Some(coin.id));
    assert!(fates.alarms[0].message.contains("the coin is unknown"), "it tells what servers said: {:?}", fates.alarms);
    // That an older block held it is nothing new.
    let held = [(coin.id, world.unspent(1, coin.id))].into();
    assert_eq!(world.hear(1, held).of(&coin), Some(Fate::Missing));
}

#[test]
fn one_server_that_shows_a_coin_outweighs_all_that_deny_it() {
    let alice = person(1);
    let mut world = World::guarding(&[&alice]);
    let coin = world.deposit(&alice, 10);
    world.commit(&[]);
    let denied = Answer::Problem(Problem::new(Code::NotFound, "never heard of it"));
    assert_eq!(world.hear(1, [(coin.id, denied.clone())].into()).of(&coin), Some(Fate::Awaited));
    world.pass(PERIODS.grace() + 1);
    assert_eq!(world.hear(1, [(coin.id, denied)].into()).of(&coin), Some(Fate::Missing));
    let fates = world.look_at(1);
    assert_eq!((fates.of(&coin), fates.kinds(), world.kept.sound.get()), (Some(Fate::Held), vec![], 1));
}

#[test]
fn servers_that_lag_do_not_alarm_as_long_as_they_move_on() {
    let alice = person(1);
    let mut world = World::guarding(&[&alice]);
    let coin = world.deposit(&alice, 10);
    world.commit(&[]);
    world.look_at(1);
    world.commit(&[]);
    for number in 2..10 {
        world.commit(&[]);
        world.pass(PERIODS.grace() - 2);
        assert_eq!(world.look_at(number).of(&coin), Some(Fate::Awaited), "one block behind, and one further each time");
    }
    world.pass(PERIODS.grace() + 1);
    assert_eq!(world.look_at(9).of(&coin), Some(Fate::Missing), "it stands still for longer than the grace");
}

#[test]
fn a_newest_block_that_nobody_has_in_time_is_withheld_and_silence_is_blindness() {
    let alice = person(1);
    let mut world = World::guarding(&[&alice]);
    world.commit(&[]);
    world.look_at(1);
    world.commit(&[]);
    assert_eq!(world.look_at(1).kinds(), []);
    world.pass(PERIODS.grace() + 1);
    assert_eq!(world.look_at(1).kinds(), [AlarmKind::BlockWithheld]);
    assert_eq!(world.hear_nothing().kinds(), [AlarmKind::BlindServers]);
    assert_eq!(world.look_at(2).kinds(), []);

    // One's own network may be the reason for silence: coins wait longer, and most of the time to leave is left.
    let coin = world.deposit(&alice, 10);
    world.commit(&[]);
    world.look_at(3);
    world.commit(&[]);
    world.hear_nothing();
    world.pass(PERIODS.grace() + 1);
    assert_eq!(world.hear_nothing().of(&coin), Some(Fate::Awaited));
    world.pass(PERIODS.minimum_exit_period / 4);
    assert_eq!(world.hear_nothing().of(&coin), Some(Fate::Missing));
}

#[test]
fn a_false_proof_is_a_lie_and_who_is_behind_or_ignorant_is_no_liar() {
    let (alice, bob) = (person(1), person(2));
    let mut world = World::guarding(&[&alice]);
    let coin = world.deposit(&alice, 10);
    let other = world.deposit(&alice, 11);
    world.commit(&[]);
    world.commit(&[alice.pays(&other, &[bob.gets(11)])]);
    let (guarded, newest) = (world.kept.coins[&coin.id].clone(), world.headers[1]);
    let hear = |answer| answer::hear(&guarded, &newest, answer);
    let (Answer::Done(good), Answer::Done(stale)) = (world.unspent(2, coin.id), world.unspent(1, coin.id)) else {
        panic!("it was held in both")
    };
    assert_eq!(hear(Answer::Done(good.clone())), Heard::Held(good.clone()));
    let forged = wire::Header { timestamp: 7, ..good.header };
    for (what, lie) in [
        ("another block", stale.clone()),
        ("another block's proof", Unspent { proof: stale.proof, ..good.clone() }),
        ("another value", Unspent { value: B256::ZERO, ..good.clone() }),
        ("another position", Unspent { position: other.position, ..good.clone() }),
        ("another header", Unspent { header: forged, ..good }),
    ] {
        assert!(matches!(hear(Answer::Done(lie)), Heard::Lie(_)), "{what}");
    }
    for code in [Code::NotFound, Code::RootTooOld, Code::Busy] {
        assert!(matches!(hear(Answer::Problem(Problem::new(code, "no"))), Heard::Denied(_)));
    }

    let standing = |block: Option<wire::Block>| answer::standing(block.as_ref(), &world.newest());
    let behind = |says| Standing::Behind { verified: BlockNumber::ZERO, says };
    assert_eq!(standing(Some(world.block(2))), Standing::AtHead);
    assert_eq!(standing(None), behind(Verdict::Unknown));
    let withheld = wire::Block { verdict: Verdict::Withheld, ..world.block(2) };
    assert_eq!(standing(Some(withheld)), behind(Verdict::Withheld));
    let elsewhere = wire::Block { header: Some(forged), ..world.block(2) };
    assert!(matches!(standing(Some(elsewhere)), Standing::Lying(_)));
}

#[test]
fn a_liar_is_named_and_its_lie_kept() {
    let alice = person(1);
    let mut world = World::guarding(&[&alice]);
    let coin = world.deposit(&alice, 10);
    world.commit(&[]);
    let Answer::Done(held) = world.unspent(1, coin.id) else { panic!("it is held") };
    let lie = Unspent { value: B256::ZERO, ..held };
    assert_eq!(world.hear(1, [(coin.id, Answer::Done(lie))].into()).of(&coin), Some(Fate::Awaited));
    assert!(world.kept.distrusted[URL].contains("value"), "{:?}", world.kept.distrusted);
}

#[test]
fn a_coin_is_spent_when_its_owner_signed_and_not_because_somebody_says_so() {
    let (alice, mallory) = (person(1), person(3));
    let mut world = World::guarding(&[&alice]);
    let coin = world.deposit(&alice, 10);
    let guarded = world.kept.coins[&coin.id].clone();
    let shown = |tx: &PlacedTransaction| TransactionAnswer {
        tx_hash: tx.body.hash(),
        body: tx.body.encode().into(),
        signature: tx.witness.signature,
        placement: Default::default(),
        place: coin.position,
        state: wire::CoinState::Final,
        receipt: None,
    };
    let (hers, thiefs) = (alice.pays(&coin, &[mallory.gets(10)]), mallory.pays(&coin, &[mallory.gets(9)]));
    let is_spend =
        |named: &PlacedTransaction, tx| answer::spend(&guarded, named.body.hash(), &shown(tx), &DOMAIN).is_some();
    assert!(is_spend(&hers, &hers) && !is_spend(&thiefs, &thiefs));
    assert!(!is_spend(&thiefs, &hers), "another one than was named");

    world.commit(std::slice::from_ref(&hers));
    let spent = Problem::new(Code::AlreadySpent, "gone").with_spender(hers.body.hash());
    let fates = world.hear(1, [(coin.id, Answer::Problem(spent))].into());
    assert_eq!((fates.of(&coin), fates.kinds(), world.kept.coins.len()), (None, vec![], 0));
}
