//! Broken rules told to the judge: their evidence, which step of a proof is due, and what is void. §3, §7.

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{self, Rule};
use plasmid_exit_game::game::GameState;
use plasmid_exit_game::output::{Deposit, OutputId};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_node::wire::Verdict;
use plasmid_watcher::duty::{self, ActId, Charge, Due, Guard};
use plasmid_watcher::finding::Finding;
use plasmid_watcher::proving::{Case, Step};

use crate::child_chain::{Built, ChildChain, Coin, Person, Preimage, deposit_coin, made, pay, preimage};
use crate::world::{DOMAIN, PERIODS, World};

/// What a conviction takes, in wei.
const SLASH: u128 = 10;
const SOMEBODY: Address = Address::repeat_byte(0x5b);
const ANNOUNCEMENT: B256 = B256::repeat_byte(0xa0);

/// A world in which alice deposited 100, block 1 pays 60 to bob and 40 back to her, and a deposit of 7 is not covered.
struct Start {
    world: World,
    operator: ChildChain,
    alice: Person,
    bob: Person,
    deposited: Coin,
    uncovered: Deposit,
    bobs: Coin,
    change: Coin,
}

fn start() -> Start {
    let (alice, bob) = (Person::new(1), Person::new(2));
    let (mut world, mut operator) = (World::guarding(vec![alice.address()]), ChildChain::new(DOMAIN));
    let funded = RootEvent::BondFunded { funder: SOMEBODY, fault_part: 3 * SLASH, receipt_part: SLASH };
    world.root_block(1, vec![funded]);
    let deposit = world.deposit(alice.owns(100));
    let deposited = deposit_coin(&deposit);
    let payment = pay(&DOMAIN, &alice, &[deposited], vec![bob.owns(60), alice.owns(40)]);
    let coins = made(&payment, 1, 0);
    world.commit_and_serve(&operator.block(std::slice::from_ref(&payment), &[deposit]));
    let uncovered = world.deposit(alice.owns(7));
    assert_eq!(world.judge_all(), [(1, Finding::Valid)]);
    Start { world, operator, alice, bob, deposited, uncovered, bobs: coins[0], change: coins[1] }
}

impl Start {
    /// Block 2: an honest payment of bob's, and what breaks a rule.
    fn commit_broken(&mut self, broken: Preimage) -> Built {
        let honest = preimage(&pay(&DOMAIN, &self.bob, &[self.bobs], vec![self.bob.owns(60)]));
        let built = self.operator.block_of(&[honest, broken], &[]);
        self.world.commit_and_serve(&built);
        built
    }

    /// Block 2 makes money, and is found out.
    fn commit_mint(&mut self) {
        let mint = pay(&DOMAIN, &self.alice, &[self.change], vec![self.alice.owns(41)]);
        self.commit_broken(preimage(&mint));
        assert_eq!(self.world.judge_all().len(), 1);
    }

    fn step(&self) -> Option<Step> {
        let case = Case { proof: self.world.judge.proof()?.clone(), announcement: ANNOUNCEMENT };
        case.step(self.world.judge.chain().game(), &DOMAIN)
    }

    fn announce(&mut self) {
        self.world.root_block(1, vec![RootEvent::FaultAnnounced { announcement: ANNOUNCEMENT }]);
    }

    fn convict(&mut self, block: u64) {
        self.world.root_block(1, vec![convicted(block)]);
    }

    /// What alice's guard has to do.
    fn due(&self) -> Vec<ActId> {
        let owners = vec![self.alice.address()];
        let guard = Guard { accounts: owners.clone(), owners, bounty_wei: 0, piece_bounty_wei: 0 };
        let (chain, history) = (self.world.judge.chain(), self.world.judge.history());
        let charge = Charge { bad: self.world.judge.bad(), ..Charge::default() };
        duty::due(&chain, &history, &guard, &charge).iter().map(Due::id).collect()
    }

    fn exit_change(&mut self) -> ExitRecord {
        let start = self.world.now() + 1;
        let key = PERIODS.exit_key(start, Some(start - 1));
        let Coin { id, position, output } = self.change;
        let exit = ExitRecord { output_id: id, position, output, key };
        self.world.root_block(1, vec![RootEvent::StandardExitStarted(exit)]);
        exit
    }
}

fn convicted(block: u64) -> RootEvent {
    let (evidence, slashed) = (B256::repeat_byte(1), U256::from(SLASH));
    RootEvent::FaultProven { number: number(block), rule: Rule::R5, accuser: SOMEBODY, evidence, slashed }
}

fn rewarded(block: u64) -> RootEvent {
    RootEvent::FaultRewarded { number: number(block), accuser: SOMEBODY, amount: U256::from(SLASH / 2) }
}

fn challenge(coin: &Coin, spend: &PlacedTransaction) -> RootEvent {
    RootEvent::StandardExitChallenged {
        output_id: coin.id,
        challenger: SOMEBODY,
        spend: spend.body.encode().into(),
        signature: spend.witness.signature.encode().to_vec().into(),
    }
}

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

fn at(block: u64, index: u64, output: u64) -> Position {
    Position::from_bits(block << 24 | index << 4 | output).unwrap()
}

#[test]
fn a_broken_rule_is_found_with_evidence_that_convicts_the_same_after_a_restart() {
    type Story = fn(&mut Start) -> Preimage;
    fn of(s: &Start, coin: Coin) -> Preimage {
        preimage(&pay(&DOMAIN, &s.alice, &[coin], vec![s.alice.owns(coin.output.amount)]))
    }
    let stories: [(Rule, Story); 16] = [
        (Rule::R1, |s| {
            let (mut body, witness) = of(s, s.change);
            body[0] = 2;
            (body, witness)
        }),
        (Rule::R1, |s| {
            let (body, mut witness) = of(s, s.change);
            witness.push(0);
            (body, witness)
        }),
        (Rule::R2, |s| of(s, Coin { position: at(2, 7, 0), ..s.change })),
        (Rule::R2, |s| of(s, Coin { position: at(2, 1, 0), ..s.change })),
        (Rule::R3, |s| of(s, Coin { id: OutputId([9; 32].into()), ..s.change })),
        (Rule::R3, |s| of(s, Coin { position: at(0, 3, 0), ..s.change })),
        (Rule::R3, |s| of(s, Coin { position: at(1, 1, 0), ..s.change })),
        (Rule::R3, |s| of(s, Coin { position: at(1, 0, 2), ..s.change })),
        (Rule::R3, |s| of(s, Coin { position: at(2, 0, 0), ..s.change })),
        (Rule::R3, |s| of(s, deposit_coin(&s.uncovered))),
        (Rule::R3, |s| of(s, deposit_coin(&Deposit { nonce: 0, output: s.alice.owns(9) }))),
        (Rule::R3, |s| of(s, Coin { position: s.deposited.position, ..s.change })),
        (Rule::R4, |s| preimage(&pay(&DOMAIN, &s.bob, &[s.change], vec![s.bob.owns(40)]))),
        (Rule::R5, |s| preimage(&pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(39)]))),
        (Rule::R6, |s| of(s, s.deposited)),
        (Rule::R7, |s| {
            let exit = s.exit_change();
            s.world.root_block(PERIODS.freeze_of_standard_exit(exit.key) - s.world.now(), vec![]);
            of(s, s.change)
        }),
    ];
    for (story_number, (rule, story)) in stories.into_iter().enumerate() {
        let mut s = start();
        let broken = story(&mut s);
        s.commit_broken(broken);
        let mut proofs = Vec::new();
        for _ in 0..2 {
            let found = s.world.judge_all();
            assert!(matches!(found.last(), Some((2, Finding::Invalid(_)))), "story {story_number}: {found:?}");
            let proof = s.world.judge.proof().expect("the evidence is at hand").clone();
            let chain = s.world.judge.chain();
            let state = GameState { game: chain.game(), domain: &DOMAIN };
            assert_eq!((proof.rule(), fault::check(&proof, &state)), (rule, Ok(number(2))), "story {story_number}");
            drop(chain);
            proofs.push(proof);
            s.world.restart();
        }
        assert_eq!(proofs[0], proofs[1], "story {story_number}");
    }
}

#[test]
fn evidence_is_announced_and_shown_once_the_announcement_is_two_root_blocks_old() {
    let mut s = start();
    s.commit_mint();
    assert_eq!(s.step(), Some(Step::Announce));
    s.announce();
    assert_eq!(s.step(), None, "in the next root block it is one block old");
    s.world.root_block(1, vec![]);
    assert_eq!(s.step(), Some(Step::Prove));

    // A reorganisation takes the announcement, and brings it back later.
    s.world.reorganise(2);
    assert_eq!(s.step(), Some(Step::Announce));
    s.announce();
    s.world.root_block(1, vec![]);
    s.world.restart();
    s.world.judge_all();
    assert_eq!(s.step(), Some(Step::Prove), "what was announced before the restart is found again");

    s.world.root_block(1, vec![convicted(2), rewarded(2)]);
    assert_eq!(s.step(), None);
    s.world.reorganise(1);
    assert_eq!(s.step(), Some(Step::Prove), "the conviction is gone, and is made again");
}

#[test]
fn whoever_copies_the_evidence_leaves_the_reward_to_the_one_who_announced_it() {
    let mut s = start();
    s.commit_mint();
    s.announce();
    s.world.root_block(1, vec![]);
    s.convict(2);
    assert_eq!(s.step(), Some(Step::Prove), "the reward waits for it");
    s.world.root_block(1, vec![rewarded(2)]);
    assert_eq!(s.step(), None);
}

#[test]
fn somebody_else_who_was_first_is_not_fought() {
    // Without our announcement, with one that is too young, and with the reward paid.
    let mut s = start();
    s.commit_mint();
    s.convict(2);
    assert_eq!(s.step(), None);
    s.world.reorganise(1);
    s.announce();
    s.convict(2);
    assert_eq!(s.step(), None);
    s.world.reorganise(1);
    s.world.root_block(1, vec![]);
    s.world.root_block(1, vec![convicted(2), rewarded(2)]);
    assert_eq!(s.step(), None);
    // Nor if an earlier block was convicted.
    s.world.reorganise(1);
    assert_eq!(s.step(), Some(Step::Prove));
    s.convict(1);
    assert_eq!(s.step(), None);
}

#[test]
fn what_is_urgent_is_shown_at_once_and_what_is_too_late_not_at_all() {
    let mut s = start();
    s.commit_mint();
    let committed_at = s.world.now();
    let end = PERIODS.end_of_convictions(committed_at);
    s.world.root_block(end - PERIODS.grace() - 1 - committed_at, vec![]);
    assert_eq!(s.step(), Some(Step::Announce));
    s.world.root_block(1, vec![]);
    assert_eq!(s.step(), Some(Step::Prove));
    s.world.root_block(PERIODS.grace() - 1, vec![]);
    assert_eq!(s.step(), Some(Step::Prove), "in the last second");
    s.world.root_block(1, vec![]);
    assert_eq!(s.step(), None);
}

#[test]
fn a_spend_after_the_freeze_is_proven_at_once_and_no_more_once_the_exit_has_ended() {
    let mut s = start();
    let exit = s.exit_change();
    s.world.root_block(PERIODS.freeze_of_standard_exit(exit.key) - s.world.now(), vec![]);
    let spend = pay(&DOMAIN, &s.alice, &[s.change], vec![s.bob.owns(40)]);
    s.commit_broken(preimage(&spend));
    s.world.judge_all();
    assert_eq!(s.step(), Some(Step::Announce));
    s.world.root_block(1, vec![challenge(&s.change, &spend)]);
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    assert_eq!(s.step(), None);

    // Convicted before, it stays so.
    s.world.reorganise(1);
    s.world.judge_all();
    s.convict(2);
    s.world.root_block(1, vec![challenge(&s.change, &spend)]);
    assert!(s.world.judge_all().is_empty());
    assert_eq!(s.world.judge.chain().last_local_block(), number(1));
    assert_eq!(s.step(), None, "the evidence has lost its object");
}

#[test]
fn a_conviction_of_a_valid_block_is_believed_and_said_and_what_it_takes_away_comes_back() {
    let mut s = start();
    let payment = pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]);
    s.world.commit_and_serve(&s.operator.block(&[payment], &[]));
    s.world.commit_and_serve(&s.operator.block(&[], &[]));
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid), (3, Finding::Valid)]);
    for _ in 0..2 {
        s.convict(2);
        assert_eq!(s.world.judge_all(), [(2, Finding::Void)]);
        assert_eq!(s.world.judge.overruled(), Some(number(2)));
        assert_eq!(s.world.judge.chain().last_local_block(), number(1));
        s.world.restart();
        assert_eq!(s.world.judge_all(), [(1, Finding::Valid), (2, Finding::Void)]);

        s.world.reorganise(1);
        assert_eq!(s.world.judge.overruled(), None);
        assert_eq!(s.world.judge_all(), [(2, Finding::Valid), (3, Finding::Valid)]);
    }
}

#[test]
fn after_a_conviction_coins_leave_and_so_do_payments_in_void_blocks() {
    let mut s = start();
    let payment = pay(&DOMAIN, &s.alice, &[s.change], vec![s.bob.owns(30), s.alice.owns(10)]);
    s.world.commit_and_serve(&s.operator.block(std::slice::from_ref(&payment), &[s.uncovered]));
    assert_eq!(s.world.judge_all(), [(2, Finding::Valid)]);
    assert!(s.due().is_empty());
    s.convict(2);
    s.world.judge_all();
    let uncovered = ActId::Leave { output_id: s.uncovered.output_id() };
    let in_flight = ActId::Start { tx_hash: payment.body.hash() };
    // Of the change its owner signed a spend: it leaves with that, and not the coin that the payment made.
    assert_eq!(s.due(), [in_flight, uncovered]);
    s.world.reorganise(1);
    s.world.judge_all();
    assert!(s.due().is_empty(), "never for an event that a reorganisation removed");
}

#[test]
fn a_void_block_that_was_never_served_ends_the_chain_all_the_same() {
    let mut s = start();
    let payment = pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(40)]);
    let built = s.operator.block(std::slice::from_ref(&payment), &[]);
    let header = s.world.commit(&built);
    s.convict(2);
    assert_eq!(s.world.judge_all(), [(2, Finding::Void)]);
    assert_eq!(s.world.judge.overruled(), None);
    let leave = |output_id| ActId::Leave { output_id };
    assert_eq!(s.due(), [leave(s.change.id), leave(s.uncovered.output_id())], "nobody has shown a spend of it");

    // Somebody challenges the exit of the change with the payment: that leaves then.
    s.exit_change();
    s.world.root_block(1, vec![challenge(&s.change, &payment)]);
    assert_eq!(s.due(), [ActId::Start { tx_hash: payment.body.hash() }, leave(s.uncovered.output_id())]);
    s.world.serve(header, &built.body);
    assert!(s.world.judge_all().is_empty());
}

#[test]
fn what_a_withheld_block_breaks_is_proven_once_it_is_served() {
    let mut s = start();
    let honest = pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]);
    let mint = pay(&DOMAIN, &s.alice, &[s.change], vec![s.alice.owns(41)]);
    let built = s.operator.block(&[mint, honest], &[]);
    let header = s.world.commit(&built);
    s.world.fail_to_serve(2);
    s.world.pass(PERIODS.grace() + 1);
    s.world.fail_to_serve(2);
    assert!(matches!(s.world.judge_all()[..], [(2, Finding::Withheld(_))]));
    assert_eq!(s.step(), None);
    // Too late, and not all of it: what is at hand is enough.
    for body in [built.without(&[1]), built.body] {
        s.world.serve(header, &body);
        assert!(s.world.judge_all().is_empty(), "the mark stays");
        let verdict = s.world.judge.chain().block(number(2)).map(|block| block.verdict);
        assert_eq!(verdict, Some(Verdict::Withheld));
        assert_eq!(s.step(), Some(Step::Announce));
    }
    s.world.restart();
    assert!(matches!(s.world.judge_all()[..], [_, (2, Finding::Withheld(_))]));
    assert_eq!(s.step(), Some(Step::Announce));
    s.convict(2);
    assert!(matches!(s.world.judge.bad(), Some((_, Finding::Withheld(_)))));
    assert_eq!(s.step(), None);
}

#[test]
fn a_withheld_block_that_is_served_too_late_and_breaks_nothing_stays_withheld() {
    let mut s = start();
    let honest = pay(&DOMAIN, &s.bob, &[s.bobs], vec![s.bob.owns(60)]);
    let built = s.operator.block(&[honest], &[]);
    let header = s.world.commit(&built);
    s.world.fail_to_serve(2);
    s.world.pass(PERIODS.grace() + 1);
    s.world.fail_to_serve(2);
    s.world.judge_all();
    s.world.serve(header, &built.body);
    assert!(s.world.judge_all().is_empty());
    assert!(s.world.judge.proof().is_none());
    let chain = s.world.judge.chain();
    assert_eq!(chain.block(number(2)).map(|block| block.verdict), Some(Verdict::Withheld));
    assert_eq!(chain.last_local_block(), number(1));
}
