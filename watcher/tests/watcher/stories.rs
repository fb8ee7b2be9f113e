//! Stories told to the judge: what it finds, and that it finds the same again.

use std::fs;
use std::path::Path;

use alloy_primitives::Address;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_watcher::alarms::Alarm;
use plasmid_watcher::duty::due_challenges;
use plasmid_watcher::finding::{Finding, Withholding};
use plasmid_watcher::history::{History, Source, Spend};

use crate::child_chain::{ChildChain, Coin, Person, deposit_coin, made, pay, preimage};
use crate::world::{DOMAIN, PERIODS, World};

/// A world in which alice deposited 100 and block 1 pays 60 to bob and 40 back to her.
struct Start {
    world: World,
    operator: ChildChain,
    alice: Person,
    bob: Person,
    deposited: Coin,
    payment: PlacedTransaction,
    bobs: Coin,
    change: Coin,
}

fn start() -> Start {
    let (alice, bob) = (Person::new(1), Person::new(2));
    let (mut world, mut operator) = (World::new(), ChildChain::new(DOMAIN));
    let deposit = world.deposit(alice.owns(100));
    let deposited = deposit_coin(&deposit);
    let payment = pay(&DOMAIN, &alice, &[deposited], vec![bob.owns(60), alice.owns(40)]);
    let coins = made(&payment, 1, 0);
    world.commit_and_serve(&operator.block(std::slice::from_ref(&payment), &[deposit]));
    assert_eq!(world.judge_all(), [(1, Finding::Valid)]);
    Start { world, operator, alice, bob, deposited, payment, bobs: coins[0], change: coins[1] }
}

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

fn rule_and_index(finding: &Finding) -> (&str, u32) {
    match finding {
        Finding::Invalid(breach) => (&breach.rule, breach.index),
        other => panic!("{other}"),
    }
}

fn exit_of(coin: Coin, start: u64, created: Option<u64>) -> ExitRecord {
    let key = PERIODS.exit_key(start, created);
    ExitRecord { output_id: coin.id, position: coin.position, output: coin.output, key }
}

#[test]
fn a_block_that_breaks_a_rule_is_invalid_by_that_rule_and_index() {
    // Each commits, as block 2, an honest payment of bob's first and then what breaks the rule.
    type Story = fn(&mut Start) -> Vec<(Vec<u8>, Vec<u8>)>;
    let stories: [(&str, Story); 6] = [
        ("R1", |s| {
            let (mut body, witness) = preimage(&pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)]));
            body[0] = 2;
            vec![(body, witness)]
        }),
        ("R2", |s| {
            let later = Coin { position: Position::from_bits(2 << 24 | 7 << 4).unwrap(), ..s.change };
            vec![preimage(&pay(&DOMAIN, &s.alice, &[later], vec![s.alice.owns(40)]))]
        }),
        ("R3", |s| {
            let never = Coin { id: OutputId([9; 32].into()), ..s.change };
            vec![preimage(&pay(&DOMAIN, &s.alice, &[never], vec![s.alice.owns(40)]))]
        }),
        ("R4", |s| vec![preimage(&pay(&DOMAIN, &s.bob, &[s.change], vec![s.bob.owns(40)]))]),
        ("R5", |s| vec![preimage(&pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(41)]))]),
        ("R6", |s| vec![preimage(&pay(&DOMAIN, &s.alice, &[s.deposited], vec![s.alice.owns(100)]))]),
    ];
    for (rule, story) in stories {
        let mut s = start();
        let mut leaves = vec![preimage(&pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]))];
        leaves.extend(story(&mut s));
        s.world.commit_and_serve(&s.operator.block_of(&leaves, &[]));
        let after = s.operator.block(&[], &[]);
        s.world.commit_and_serve(&after);
        for _ in 0..2 {
            let found = s.world.judge_all();
            let (block, finding) = found.last().unwrap();
            assert_eq!((*block, rule_and_index(finding)), (2, (rule, 1)), "{finding}");
            let record = s.world.judge.history().record(number(3)).cloned().unwrap();
            assert_eq!(
                (record.finding, record.is_served),
                (Finding::Unknown, true),
                "what follows a bad block is unknown"
            );
            s.world.restart();
        }
    }
}

#[test]
fn a_spend_after_the_freeze_is_invalid_until_the_exit_is_challenged_and_again_if_that_is_undone() {
    let mut s = start();
    let started = s.world.now() + 1;
    let exit = exit_of(s.change, started, Some(started - 1));
    s.world.root_block(1, vec![RootEvent::StandardExitStarted(exit)]);
    let freeze = PERIODS.freeze_of_standard_exit(exit.key);
    s.world.root_block(freeze - s.world.now(), vec![]);
    let spend = pay(&DOMAIN, &s.alice, &[s.change], vec![s.bob.owns(40)]);
    let header = s.world.commit_and_serve(&s.operator.block(std::slice::from_ref(&spend), &[]));
    assert!(header.timestamp > freeze);
    let found = s.world.judge_all();
    assert_eq!(rule_and_index(&found[0].1), ("R7", 0));

    // A block after it, and then the challenge: what was frozen is free.
    s.world.commit_and_serve(&s.operator.block(&[], &[]));
    assert!(s.world.judge_all().is_empty());
    let due = {
        let (chain, history) = (s.world.judge.chain(), s.world.judge.history());
        due_challenges(chain.game(), &history)
    };
    assert_eq!(due.len(), 1, "the block is invalid, and the spend in it is evidence all the same");
    let challenge = RootEvent::StandardExitChallenged {
        output_id: s.change.id,
        challenger: Address::repeat_byte(7),
        spend: spend.body.encode().into(),
        signature: spend.witness.signature.encode().to_vec().into(),
    };
    s.world.root_block(1, vec![challenge.clone()]);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid), (3, Finding::Valid)]);
    s.world.reorganise(1);
    assert_eq!(s.world.judge.chain().last_local_block(), number(1));
    assert_eq!(rule_and_index(&s.world.judge_all()[0].1), ("R7", 0));
    s.world.root_block(1, vec![challenge]);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid), (3, Finding::Valid)]);
    s.world.restart();
    assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, Finding::Valid), (3, Finding::Valid)]);
}

#[test]
fn a_body_that_is_not_served_within_grace_is_withheld_for_good() {
    let mut s = start();
    let spend = pay(&DOMAIN, &s.alice, &[s.change], vec![s.bob.owns(40)]);
    let built = s.operator.block(&[spend], &[]);
    let header = s.world.commit(&built);
    s.world.pass(100);
    s.world.fail_to_serve(2);
    assert!(s.world.judge_all().is_empty(), "first asked for late: grace counts from then");
    s.world.pass(PERIODS.grace());
    s.world.fail_to_serve(2);
    assert!(s.world.judge_all().is_empty(), "served now it would be in time");
    s.world.restart();
    s.world.pass(1);
    s.world.fail_to_serve(2);
    assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, Finding::Withheld(Withholding::Body))]);

    // Served later it is kept and is evidence, but the mark stays.
    s.world.serve(header, &built.body);
    assert!(s.world.judge_all().is_empty());
    assert_eq!(s.world.judge.history().spends(s.change.id).count(), 1);
    s.world.restart();
    assert_eq!(s.world.judge_all()[1], (2, Finding::Withheld(Withholding::Body)));
}

#[test]
fn a_head_far_ahead_that_is_gone_the_next_moment_does_not_end_the_time_to_serve() {
    let mut s = start();
    let built = s.operator.block(&[pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)])], &[]);
    let header = s.world.commit(&built);
    s.world.fail_to_serve(2);
    s.world.root_block(10_000, vec![]);
    s.world.fail_to_serve(2);
    assert!(s.world.judge_all().is_empty(), "in truth it is not over");
    s.world.reorganise(1);
    s.world.serve(header, &built.body);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
}

#[test]
fn a_head_far_ahead_at_the_first_asking_does_not_stretch_the_time_to_serve() {
    let mut s = start();
    s.world.commit(&s.operator.block(&[pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)])], &[]));
    s.world.root_block(10_000, vec![]);
    s.world.fail_to_serve(2);
    s.world.reorganise(1);
    s.world.restart();
    s.world.fail_to_serve(2);
    s.world.pass(PERIODS.grace() + 1);
    s.world.fail_to_serve(2);
    assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, Finding::Withheld(Withholding::Body))]);
}

#[test]
fn a_mark_outlives_the_store() {
    let mut s = start();
    let built = s.operator.block(&[pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)])], &[]);
    let header = s.world.commit(&built);
    s.world.fail_to_serve(2);
    s.world.pass(PERIODS.grace() + 1);
    s.world.fail_to_serve(2);
    let withheld = (2, Finding::Withheld(Withholding::Body));
    assert_eq!(s.world.judge_all(), std::slice::from_ref(&withheld));
    let alarm = Alarm::of_block(number(2), header.commitment(), &withheld.1, s.world.now()).unwrap();

    s.world.stop();
    fs::remove_dir_all(s.world.history_dir()).unwrap();
    History::open(&s.world.history_dir()).unwrap().restore_marks(&[alarm]).unwrap();
    s.world.restart();
    s.world.serve(header, &built.body);
    assert_eq!(s.world.judge_all(), [(1, Finding::Valid), withheld]);
}

#[test]
fn a_jump_of_time_is_no_withholding() {
    let mut s = start();
    let built = s.operator.block(&[pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)])], &[]);
    let header = s.world.commit(&built);
    let began_at = s.world.judge.ask(number(2));
    s.world.pass(10 * PERIODS.grace());
    s.world.judge.take_failure(number(2), began_at).unwrap();
    assert!(s.world.judge_all().is_empty(), "the attempt that failed began in time");
    s.world.serve(header, &built.body);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
}

#[test]
fn a_hidden_preimage_is_withheld_unless_what_is_shown_proves_more() {
    let mut s = start();
    let honest = preimage(&pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]));
    let theft = preimage(&pay(&DOMAIN, &s.bob, &[s.change], vec![s.bob.owns(40)]));
    let built = s.operator.block_of(&[honest, theft], &[]);
    let header = s.world.commit(&built);

    // The theft might be proven, or not, by what is hidden before it.
    s.world.serve(header, &built.without(&[0]));
    s.world.fail_to_serve(2);
    assert!(s.world.judge_all().is_empty());
    // What is hidden after it changes nothing.
    let mut other = World::new();
    std::mem::swap(&mut other, &mut s.world);
    other.pass(PERIODS.grace() + 1);
    other.fail_to_serve(2);
    assert_eq!(other.judge_all(), [(2, Finding::Withheld(Withholding::Preimage { index: 0 }))]);

    let mut s = start();
    let theft = preimage(&pay(&DOMAIN, &s.bob, &[s.change], vec![s.bob.owns(40)]));
    let honest = preimage(&pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]));
    let built = s.operator.block_of(&[theft, honest], &[]);
    let header = s.world.commit(&built);
    s.world.serve(header, &built.without(&[1]));
    assert_eq!(rule_and_index(&s.world.judge_all()[0].1), ("R4", 0));
}

#[test]
fn two_servers_together_serve_a_body() {
    let mut s = start();
    let payments = [
        pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]),
        pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)]),
    ];
    let built = s.operator.block(&payments, &[]);
    let header = s.world.commit(&built);
    s.world.serve(header, &built.without(&[0]));
    assert!(s.world.judge_all().is_empty());
    s.world.serve(header, &built.without(&[1]));
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
}

#[test]
fn an_unspent_root_that_the_bodies_do_not_give_is_withheld() {
    let mut s = start();
    let mut built = s.operator.block(&[], &[]);
    let computed = built.header.utxo_root;
    built.header.utxo_root = [5; 32].into();
    s.world.commit_and_serve(&built);
    assert_eq!(s.world.judge_all(), [(2, Finding::Withheld(Withholding::UnspentRoot { computed }))]);
}

#[test]
fn a_reorganisation_that_drops_a_block_changes_nothing_in_the_end() {
    let mut s = start();
    let before = s.operator.clone();
    let payment = pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]);
    let built = s.operator.block(std::slice::from_ref(&payment), &[]);
    s.world.commit_and_serve(&built);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);

    s.world.reorganise(1);
    assert_eq!(s.world.judge.chain().last_local_block(), number(1));
    s.world.root_block(5, vec![]);
    s.world.commit(&built);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)], "its body is at hand");

    // Another block in its place: what was signed in the first one stays evidence.
    s.world.reorganise(2);
    let mut operator = before;
    let other = pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)]);
    let built = operator.block(std::slice::from_ref(&other), &[]);
    s.world.commit_and_serve(&built);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    for _ in 0..2 {
        let loose = Spend { signer: s.bob.address(), source: Source::Loose(payment.body.hash()) };
        assert_eq!(s.world.judge.history().spends(s.bobs.id).collect::<Vec<_>>(), [loose]);
        let signed = s.world.judge.history().loose(s.bobs.id, payment.body.hash()).unwrap().unwrap();
        assert_eq!(signed.body, payment.body);
        s.world.restart();
        s.world.judge_all();
    }
}

#[test]
fn a_deposit_and_its_block_that_a_reorganisation_drops_come_back() {
    let mut s = start();
    s.world.reorganise(2);
    assert_eq!(s.world.judge.chain().last_local_block(), BlockNumber::ZERO);
    assert!(s.world.judge.chain().ledger().coins().next().is_none());
    s.world.root_block(
        3,
        vec![RootEvent::Deposited(plasmid_exit_game::output::Deposit { nonce: 0, output: s.deposited.output })],
    );
    let mut operator = ChildChain::new(DOMAIN);
    let deposit = plasmid_exit_game::output::Deposit { nonce: 0, output: s.deposited.output };
    s.world.commit(&operator.block(&[s.payment], &[deposit]));
    assert_eq!(s.world.judge_all(), [(1, Finding::Valid)]);
}

/// What the history says of these coins and of the first blocks.
fn told(world: &World, coins: &[Coin]) -> String {
    let history = world.judge.history();
    let of_coin = |coin: &Coin| {
        format!("{:?} {:?}", history.made(coin.id).collect::<Vec<_>>(), history.spends(coin.id).collect::<Vec<_>>())
    };
    let of_block =
        |n| history.record(number(n)).map(|record| (record.commitment, record.is_served, record.finding.clone()));
    format!("{:?} {:?}", coins.iter().map(of_coin).collect::<Vec<_>>(), (1..4).map(of_block).collect::<Vec<_>>())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_history_made_anew_is_the_one_that_was_kept() {
    let mut s = start();
    let coins = [s.deposited, s.bobs, s.change];
    let theft = preimage(&pay(&DOMAIN, &s.bob, &[s.change], vec![s.bob.owns(40)]));
    s.world.commit_and_serve(&s.operator.block_of(&[theft], &[]));
    let later = pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]);
    s.world.commit_and_serve(&s.operator.block(&[later], &[]));
    s.world.judge_all();
    let kept = told(&s.world, &coins);

    s.world.restart();
    s.world.judge_all();
    assert_eq!(told(&s.world, &coins), kept, "after a restart");

    s.world.stop();
    fs::remove_dir_all(s.world.history_dir()).unwrap();
    s.world.restart();
    s.world.judge_all();
    assert_eq!(told(&s.world, &coins), kept, "without the store");

    s.world.stop();
    for entry in fs::read_dir(s.world.history_dir()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
    {
        let mut bytes = fs::read(entry.path()).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(entry.path(), bytes).unwrap();
    }
    s.world.restart();
    s.world.judge_all();
    assert_eq!(told(&s.world, &coins), kept, "with a damaged store");
    let aside = s.world.history_dir().with_extension("damaged-1");
    assert!(aside.is_dir(), "the damaged store is set aside");
}

#[test]
fn a_kill_between_two_writes_loses_nothing() {
    let mut s = start();
    let coins = [s.deposited, s.bobs, s.change];
    // The history as it was before block 2 was served, and as it was before it was judged; the archive is ahead of both.
    let copies = tempfile::tempdir().unwrap();
    let keep = |world: &World, name: &str| copy(&world.history_dir(), &copies.path().join(name));
    let header = {
        let payment = pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]);
        let built = s.operator.block(&[payment], &[]);
        let header = s.world.commit(&built);
        keep(&s.world, "committed");
        s.world.serve(header, &built.body);
        keep(&s.world, "served");
        header
    };
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    let kept = told(&s.world, &coins);
    for name in ["committed", "served"] {
        s.world.stop();
        fs::remove_dir_all(s.world.history_dir()).unwrap();
        copy(&copies.path().join(name), &s.world.history_dir());
        s.world.restart();
        assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, Finding::Valid)]);
        assert_eq!(told(&s.world, &coins), kept);
    }

    // A file that was damaged, or lost, is asked for again; that is our fault and never withholding.
    let file = s.world.archive_dir().join("000000000002.body");
    for damage in [|file: &Path| fs::write(file, [0; 9]).unwrap(), |file: &Path| fs::remove_file(file).unwrap()] {
        let body = fs::read(&file).unwrap();
        damage(&file);
        s.world.restart();
        s.world.pass(PERIODS.grace() * 3);
        s.world.fail_to_serve(2);
        s.world.pass(PERIODS.grace() * 3);
        s.world.fail_to_serve(2);
        assert_eq!(s.world.judge_all(), [(1, Finding::Valid)]);
        s.world.serve(header, &body);
        assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    }
}

#[test]
fn an_exit_of_a_spent_coin_is_challenged_and_no_other() {
    let mut s = start();
    let due = |world: &World| {
        let (chain, history) = (world.judge.chain(), world.judge.history());
        due_challenges(chain.game(), &history).iter().map(|due| due.exit.record.output_id).collect::<Vec<_>>()
    };
    let now = s.world.now() + 1;
    let (spent, unspent) = (exit_of(s.deposited, now, None), exit_of(s.bobs, now, Some(now - 1)));
    s.world.root_block(1, vec![RootEvent::StandardExitStarted(spent), RootEvent::StandardExitStarted(unspent)]);
    assert_eq!(due(&s.world), [s.deposited.id]);

    // A spend that somebody else signed is none.
    let theft = preimage(&pay(&DOMAIN, &s.alice, &[s.bobs], vec![s.alice.owns(60)]));
    s.world.commit_and_serve(&s.operator.block_of(&[theft], &[]));
    assert_eq!(due(&s.world), [s.deposited.id]);

    // What a reorganisation takes away is not challenged.
    s.world.reorganise(2);
    assert!(due(&s.world).is_empty());

    // A spend that was shown on the root chain is known for ever.
    s.world.root_block(1, vec![RootEvent::StandardExitStarted(unspent)]);
    let spend = pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]);
    s.world.root_block(
        1,
        vec![RootEvent::StandardExitChallenged {
            output_id: s.bobs.id,
            challenger: Address::repeat_byte(7),
            spend: spend.body.encode().into(),
            signature: spend.witness.signature.encode().to_vec().into(),
        }],
    );
    assert!(due(&s.world).is_empty());
    s.world.root_block(1, vec![RootEvent::StandardExitStarted(unspent)]);
    assert_eq!(due(&s.world), [s.bobs.id]);
    s.world.restart();
    assert_eq!(due(&s.world), [s.bobs.id]);
}
