//! Wrong unspent roots told to the judge and its inquest: what is found, and what is owed to claims. §1.8, §3 (R8, R9), §7.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{self, Difference, FaultProof, Rule};
use plasmid_exit_game::game::GameState;
use plasmid_exit_game::output::{Deposit, OutputId};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::utxo_tree::{self, UtxoTree};
use plasmid_watcher::duty::{self, Charge, Due, Guard};
use plasmid_watcher::finding::{Finding, Withholding};
use plasmid_watcher::inquest::Inquest;
use plasmid_watcher::metrics::Metrics;
use plasmid_watcher::missing::{CLAIMS_MAX, MissingAct};
use plasmid_watcher::proving;
use plasmid_watcher::servers::Servers;
use plasmid_watcher::suspect::Suspect;
use prometheus_client::registry::Registry;

use crate::child_chain::{ChildChain, Coin, Person, deposit_coin, made, pay};
use crate::world::{DOMAIN, PERIODS, World};

const ME: Address = Address::repeat_byte(0x3e);
const SOMEBODY: Address = Address::repeat_byte(0x5b);

/// A world in which alice deposited 100 and 5, block 1 covers both, pays 60 of the first to bob and 40 back to her; then she
/// deposited 7 and 8. Block 2 covers the 7; alice pays her 40 to bob, who pays 30 of it back, and its tree is what a story makes it.
struct Start {
    world: World,
    deposited: Coin,
    untouched: Coin,
    covered: Coin,
    uncovered: Coin,
    bobs: Coin,
    change: Coin,
    /// Bob's 40, which he has spent, and what he paid with it.
    passing: Coin,
    last: Coin,
    header: Header,
    /// The tree that block 2 should have, and the one that it has.
    good: UtxoTree,
    tree: UtxoTree,
}

fn start(spoil: impl FnOnce(&Start) -> UtxoTree) -> Start {
    let (alice, bob) = (Person::new(1), Person::new(2));
    let (mut world, mut operator) = (World::new(), ChildChain::new(DOMAIN));
    world.root_block(1, vec![RootEvent::BondFunded { funder: SOMEBODY, fault_part: 30, receipt_part: 10 }]);
    let first = [world.deposit(alice.owns(100)), world.deposit(alice.owns(5))];
    let [deposited, untouched] = [deposit_coin(&first[0]), deposit_coin(&first[1])];
    let payment = pay(&DOMAIN, &alice, &[deposited], vec![bob.owns(60), alice.owns(40)]);
    let coins = made(&payment, 1, 0);
    world.commit_and_serve(&operator.block(&[payment], &first));
    let covered = world.deposit(alice.owns(7));
    let uncovered = deposit_coin(&world.deposit(alice.owns(8)));
    assert_eq!(world.judge_all(), [(1, Finding::Valid)]);
    let to_bob = pay(&DOMAIN, &alice, &coins[1..], vec![bob.owns(40)]);
    let passing = made(&to_bob, 2, 0)[0];
    let back = pay(&DOMAIN, &bob, &[passing], vec![alice.owns(30), bob.owns(10)]);
    let last = made(&back, 2, 1)[0];
    let built = operator.block(&[to_bob, back], &[covered]);
    let (good, covered) = (operator.tree().clone(), deposit_coin(&covered));
    let (bobs, change, tree, header) = (coins[0], coins[1], good.clone(), built.header);
    let mut start =
        Start { world, deposited, untouched, covered, uncovered, bobs, change, passing, last, header, good, tree };
    start.tree = spoil(&start);
    start.header = start.world.commit_and_serve(&built.over(&start.tree));
    let computed = start.good.root();
    assert_eq!(start.world.judge_all(), [(2, Finding::Withheld(Withholding::UnspentRoot { computed }))]);
    start
}

/// Nothing but its root is known of such a tree.
fn garbage(_: &Start) -> UtxoTree {
    at(7).map_or_else(UtxoTree::default, |position| {
        UtxoTree::default().updated([(position, Some(B256::repeat_byte(7)))])
    })
}

fn at(block: u64) -> Option<Position> {
    Position::from_bits(block << 24)
}

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

impl Start {
    fn suspect(&mut self) -> Suspect {
        self.world.judge.suspect().unwrap().expect("its bodies are valid and its root is wrong")
    }

    fn proof(&self, found: Option<Difference>) -> FaultProof {
        let Some(Difference::Kept(held)) = found else { panic!("{found:?}") };
        proving::held_evidence(held, &self.world.judge.chain(), &self.world.judge.history()).expect("it is at hand")
    }

    fn check(&self, proof: &FaultProof) {
        let chain = self.world.judge.chain();
        let state = GameState { game: chain.game(), domain: &DOMAIN };
        assert_eq!((proof.rule(), fault::check(proof, &state)), (Rule::R8, Ok(number(2))));
    }

    fn claim(&mut self, coin: Coin, claimant: Address) {
        let claimed = RootEvent::MissingClaimed {
            number: number(2),
            position: coin.position,
            output_id: coin.id,
            value: coin.value(),
            claimant,
        };
        self.world.root_block(1, vec![claimed]);
    }

    fn answer(&mut self, position: Position) {
        self.world.root_block(1, vec![RootEvent::MissingAnswered { number: number(2), position, answerer: SOMEBODY }]);
    }

    /// What this watcher has to do about claims.
    fn due(&self, inquest: &Inquest) -> Vec<(MissingAct, OutputId)> {
        due(&self.world, inquest)
    }
}

fn due(world: &World, inquest: &Inquest) -> Vec<(MissingAct, OutputId)> {
    let guard = Guard { accounts: vec![ME], ..Guard::default() };
    let charge = Charge { bad: world.judge.bad(), lacking: inquest.lacking(), ..Charge::default() };
    let due = duty::due(&world.judge.chain(), &world.judge.history(), &guard, &charge);
    let of_claims = due.into_iter().filter_map(|due| match due {
        Due::Missing(duty) => Some((duty.act, duty.missing.output_id)),
        _ => None,
    });
    of_claims.collect()
}

/// An inquest that has nobody to ask.
fn inquest() -> Inquest {
    Inquest::new(Servers::new(Vec::new(), Metrics::new(&mut Registry::default())))
}

/// Lets the inquest go on until it waits for something else.
async fn go_on(inquest: &mut Inquest, world: &mut World) {
    let mut silences = 0;
    while silences < 2 {
        inquest.look(&mut world.judge, &[ME]).unwrap();
        match tokio::time::timeout(Duration::from_millis(500), inquest.next()).await {
            Ok(found) => inquest.take(found, &world.judge),
            Err(_) => silences += 1,
        }
    }
}

#[test]
fn one_coin_that_is_kept_is_found_by_trying_and_proven() {
    type Story = fn(&Start) -> Coin;
    let stories: [Story; 3] = [|s| s.change, |s| s.passing, |s| s.deposited];
    for story in stories {
        let mut s = start(|s| s.good.updated([(story(s).position, Some(story(s).value()))]));
        let mut proofs = Vec::new();
        for _ in 0..2 {
            let suspect = s.suspect();
            let proof = s.proof(suspect.try_each(suspect.coins()));
            assert!(matches!(&proof, FaultProof::HeldSpent { spent, .. } if spent.output_id == story(&s).id));
            s.check(&proof);
            proofs.push(proof);
            s.world.restart();
            s.world.judge_all();
        }
        assert_eq!(proofs[0], proofs[1], "the same evidence after a restart");
    }
}

#[test]
fn a_deposit_that_the_block_does_not_cover_is_found_by_trying_and_proven() {
    let mut s = start(|s| s.good.updated([(s.uncovered.position, Some(s.uncovered.value()))]));
    let suspect = s.suspect();
    let proof = s.proof(suspect.try_each(suspect.coins()));
    assert!(matches!(proof, FaultProof::HeldNotDeposited { .. }));
    s.check(&proof);
}

#[test]
fn a_block_that_was_served_too_late_is_looked_into_all_the_same() {
    let mut s = start(|s| s.good.updated([(s.bobs.position, None)]));
    s.world.reorganise(1);
    assert_eq!(s.world.judge.wrong_root(), None);
    s.world.root_block(1, vec![RootEvent::BlockSubmitted(Header { timestamp: s.world.now() + 1, ..s.header })]);
    let body = fs::read(s.world.archive_dir().join("000000000002.body")).unwrap();
    fs::remove_file(s.world.archive_dir().join("000000000002.body")).unwrap();
    s.world.stop();
    fs::remove_dir_all(s.world.history_dir()).unwrap();
    s.world.restart();
    s.world.fail_to_serve(2);
    s.world.pass(PERIODS.grace() + 1);
    s.world.fail_to_serve(2);
    let withheld = Finding::Withheld(Withholding::Body);
    assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, withheld)]);
    assert_eq!(s.world.judge.wrong_root(), None);
    let header = s.world.judge.chain().game().header(number(2)).unwrap().0;
    s.world.serve(header, &body);
    assert!(s.world.judge_all().is_empty(), "the mark stays");
    let (suspect, Coin { id, position, .. }) = (s.suspect(), s.bobs);
    assert_eq!(suspect.try_each(suspect.coins()), Some(Difference::LeftOut { output_id: id, position }));
}

#[test]
fn one_coin_that_is_left_out_is_found_by_trying() {
    type Story = fn(&Start) -> Coin;
    let stories: [Story; 4] = [|s| s.last, |s| s.covered, |s| s.bobs, |s| s.untouched];
    for story in stories {
        let mut s = start(|s| s.good.updated([(story(s).position, None)]));
        let (suspect, Coin { id, position, .. }) = (s.suspect(), story(&s));
        let found = suspect.try_each(suspect.coins());
        assert_eq!(found, Some(Difference::LeftOut { output_id: id, position }));
    }
}

#[test]
fn what_servers_show_that_must_not_be_there_is_proven() {
    // With another coin left out, trying finds nothing.
    type Story = fn(&Start) -> (Position, B256);
    let stories: [Story; 6] = [
        |s| (s.bobs.position, B256::repeat_byte(1)),
        |s| (s.untouched.position, s.covered.value()),
        |s| (s.change.position, s.change.value()),
        |_| (at(1).unwrap(), B256::repeat_byte(2)),
        |_| (at(3).unwrap(), B256::repeat_byte(3)),
        |_| (Position::of_deposit(9).unwrap(), B256::repeat_byte(4)),
    ];
    for story in stories {
        let mut s = start(|s| {
            let (position, value) = story(s);
            s.good.updated([(position, Some(value)), (s.last.position, None)])
        });
        let suspect = s.suspect();
        assert_eq!(suspect.try_each(suspect.coins()), None);
        let wrong = Coin { position: story(&s).0, ..s.bobs };
        let shown = [s.untouched, wrong, s.covered].map(|coin| coin.shown_by(&s.tree, s.header).unwrap());
        let proof = s.proof(suspect.compare(suspect.coins(), &shown, &BTreeSet::new()));
        s.check(&proof);

        // What does not prove itself is not read.
        let lies = shown.clone().map(|shown| plasmid_node::wire::Unspent { value: B256::repeat_byte(9), ..shown });
        let found = suspect.compare(suspect.coins(), &lies, &BTreeSet::new());
        assert!(matches!(found, Some(Difference::LeftOut { .. })), "{found:?}");
    }
}

#[test]
fn a_coin_that_no_server_shows_is_missing_unless_it_is_claimed() {
    let mut s = start(|s| s.good.updated([(s.bobs.position, None), (s.covered.position, None)]));
    let suspect = s.suspect();
    assert_eq!(suspect.try_each(suspect.coins()), None);
    let shown: Vec<_> = suspect
        .coins()
        .iter()
        .filter_map(|&(id, coin)| Coin { id, position: coin.position, output: coin.output }.shown_by(&s.tree, s.header))
        .collect();
    let missing = |claimed: &[Coin]| {
        let claimed = claimed.iter().map(|coin| coin.position).collect();
        suspect.compare(suspect.coins(), &shown, &claimed)
    };
    let left_out = |Coin { id, position, .. }| Some(Difference::LeftOut { output_id: id, position });
    assert_eq!(missing(&[]), left_out(s.covered), "what the block makes and covers comes first");
    assert_eq!(missing(&[s.covered]), left_out(s.bobs));
    assert_eq!(missing(&[s.covered, s.bobs]), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coin_left_out_is_claimed_once_and_convicts_after_half_a_period() {
    let mut s = start(|s| s.good.updated([(s.bobs.position, None)]));
    let mut inquest = inquest();
    go_on(&mut inquest, &mut s.world).await;
    let bobs = s.bobs.id;
    assert_eq!(s.due(&inquest), [(MissingAct::Claim, bobs)]);
    s.claim(s.bobs, ME);
    assert!(s.due(&inquest).is_empty(), "it may be answered");
    s.world.reorganise(1);
    assert_eq!(s.due(&inquest), [(MissingAct::Claim, bobs)]);
    s.claim(s.bobs, ME);
    s.world.root_block(PERIODS.minimum_exit_period / 2 - 1, vec![]);
    assert!(s.due(&inquest).is_empty());
    s.world.root_block(1, vec![]);
    assert_eq!(s.due(&inquest), [(MissingAct::Convict, bobs)]);

    // Killed between claim and conviction, it goes on.
    let mut inquest = self::inquest();
    s.world.restart();
    s.world.judge_all();
    go_on(&mut inquest, &mut s.world).await;
    assert_eq!(s.due(&inquest), [(MissingAct::Convict, bobs)]);
    let position = s.bobs.position;
    let (number, evidence, slashed) = (number(2), B256::ZERO, U256::from(10));
    let convicted = vec![
        RootEvent::MissingConvicted { number, position, claimant: ME },
        RootEvent::FaultProven { number, rule: Rule::R9, accuser: ME, evidence, slashed },
    ];
    s.world.root_block(1, convicted);
    assert!(s.due(&inquest).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_somebody_else_is_not_made_again_and_convicts_a_little_later() {
    let mut s = start(|s| s.good.updated([(s.last.position, None)]));
    let mut inquest = inquest();
    s.claim(s.last, SOMEBODY);
    go_on(&mut inquest, &mut s.world).await;
    assert!(s.due(&inquest).is_empty());
    s.world.root_block(PERIODS.minimum_exit_period / 2, vec![]);
    assert!(s.due(&inquest).is_empty(), "who made it gains by it, and goes first");
    s.world.root_block(PERIODS.grace(), vec![]);
    assert_eq!(s.due(&inquest), [(MissingAct::Convict, s.last.id)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_server_shows_anything_coins_are_claimed_one_after_the_other() {
    let mut s = start(garbage);
    let mut inquest = inquest();
    go_on(&mut inquest, &mut s.world).await;
    assert!(s.due(&inquest).is_empty(), "servers have the time of grace");
    s.world.root_block(PERIODS.grace(), vec![]);
    let mut claimed = BTreeSet::new();
    for _ in 0..CLAIMS_MAX {
        go_on(&mut inquest, &mut s.world).await;
        let [(MissingAct::Claim, id)] = s.due(&inquest)[..] else { panic!("{:?}", s.due(&inquest)) };
        assert!(claimed.insert(id), "each once");
        let suspect = s.suspect();
        let &(_, coin) = suspect.coins().iter().find(|(known, _)| *known == id).unwrap();
        assert_eq!(s.good.get(coin.position), Some(utxo_tree::value(id, &coin.output)), "it must be held");
        s.claim(Coin { id, position: coin.position, output: coin.output }, ME);
        go_on(&mut inquest, &mut s.world).await;
        assert!(s.due(&inquest).is_empty());
        s.answer(coin.position);
    }
    go_on(&mut inquest, &mut s.world).await;
    assert!(s.due(&inquest).is_empty(), "each answer costs a bond");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_the_operator_makes_to_answer_them_late_do_not_use_up_the_time() {
    let mut s = start(garbage);
    let mut inquest = inquest();
    s.world.root_block(PERIODS.grace(), vec![]);
    go_on(&mut inquest, &mut s.world).await;
    let [(MissingAct::Claim, first)] = s.due(&inquest)[..] else { panic!() };
    let suspect = s.suspect();
    let &(_, coin) = suspect.coins().iter().find(|(known, _)| *known == first).unwrap();
    s.claim(Coin { id: first, position: coin.position, output: coin.output }, SOMEBODY);
    go_on(&mut inquest, &mut s.world).await;
    let [(MissingAct::Claim, second)] = s.due(&inquest)[..] else { panic!("{:?}", s.due(&inquest)) };
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_too_late_and_of_a_void_block_the_bond_comes_back() {
    let mut s = start(|s| s.good.updated([(s.bobs.position, None)]));
    let mut inquest = inquest();
    go_on(&mut inquest, &mut s.world).await;
    s.claim(s.bobs, ME);
    let (evidence, slashed) = (B256::ZERO, U256::from(10));
    let convicted = RootEvent::FaultProven { number: number(1), rule: Rule::R8, accuser: SOMEBODY, evidence, slashed };
    s.world.root_block(1, vec![convicted]);
    s.world.judge_all();
    assert_eq!(s.due(&inquest), [(MissingAct::Reclaim, s.bobs.id)]);
    s.world.reorganise(2);
    s.world.judge_all();
    go_on(&mut inquest, &mut s.world).await;
    assert_eq!(s.due(&inquest), [(MissingAct::Claim, s.bobs.id)]);
    let left = PERIODS.end_of_claims(s.header.timestamp) - s.world.now();
    s.world.root_block(left - 1, vec![]);
    assert_eq!(s.due(&inquest), [(MissingAct::Claim, s.bobs.id)]);
    s.world.root_block(1, vec![]);
    assert!(s.due(&inquest).is_empty());

    // One that was made in time and by which nobody convicted.
    s.world.reorganise(1);
    s.claim(s.bobs, ME);
    s.world.root_block(PERIODS.end_of_convictions(s.header.timestamp) - s.world.now() - 1, vec![]);
    assert_eq!(s.due(&inquest), [(MissingAct::Convict, s.bobs.id)]);
    s.world.root_block(1, vec![]);
    assert_eq!(s.due(&inquest), [(MissingAct::Reclaim, s.bobs.id)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_against_a_valid_block_is_answered_in_time_by_whoever_watches() {
    let (alice, mut operator) = (Person::new(1), ChildChain::new(DOMAIN));
    let mut world = World::new();
    let deposit: Deposit = world.deposit(alice.owns(100));
    world.commit_and_serve(&operator.block(&[], &[deposit]));
    assert_eq!(world.judge_all(), [(1, Finding::Valid)]);
    let Coin { id, position, .. } = deposit_coin(&deposit);
    let claimed = RootEvent::MissingClaimed {
        number: number(1),
        position,
        output_id: id,
        value: deposit_coin(&deposit).value(),
        claimant: SOMEBODY,
    };
    world.root_block(1, vec![claimed]);
    let inquest = inquest();
    assert_eq!(due(&world, &inquest), [(MissingAct::Answer, id)]);
    world.root_block(PERIODS.minimum_exit_period / 2 - 1, vec![]);
    assert_eq!(due(&world, &inquest), [(MissingAct::Answer, id)]);
    world.root_block(1, vec![]);
    assert!(due(&world, &inquest).is_empty(), "too late, and a valid block is not to be convicted");
    world.reorganise(1);
    world.root_block(0, vec![RootEvent::MissingAnswered { number: number(1), position, answerer: SOMEBODY }]);
    assert!(due(&world, &inquest).is_empty());
}
