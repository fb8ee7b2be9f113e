//! A claim that a tree lacks a coin convicts if nobody answers, and feeds whoever does. R9

use alloy_primitives::U256;
use plasmid_exit_game::exit::contract::{Halt, Revert};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{Conviction, Difference, Rule, ShownCoin, SpentCoin, spent_coin};
use plasmid_exit_game::game::MissingClaim;
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::utxo_tree::value;

use crate::court::{Coin, Court, FAULT_SLASH, MEP, MISSING_BOND, address, evidence_of, gets, place};

type Done = Result<Vec<RootEvent>, Revert>;

impl Court {
    fn claim(&mut self, caller: &str, block: u64, coin: &ShownCoin) -> Done {
        self.claim_with(caller, block, coin, MISSING_BOND)
    }

    fn claim_with(&mut self, caller: &str, block: u64, coin: &ShownCoin, wei: u128) -> Done {
        let header = self.blocks[block as usize - 1].header;
        self.act(caller, |contract, call, _| contract.claim_missing(call, U256::from(wei), &header, coin))
    }

    /// Answers by what the block's tree holds there, nothing if it holds nothing.
    fn answer(&mut self, caller: &str, block: u64, position: Position) -> Done {
        let header = self.blocks[block as usize - 1].header;
        let membership = self.held(block, position).map_or_else(Vec::new, |held| held.proof.to_vec());
        self.act(caller, |contract, call, pay| {
            contract.answer_missing(call, &header, position.bits(), &membership, pay)
        })
    }

    fn answer_spent(&mut self, caller: &str, block: u64, position: Position, spent: &SpentCoin) -> Done {
        let number = BlockNumber::new(block).unwrap();
        self.act(caller, |contract, call, pay| contract.answer_missing_spent(call, number, position.bits(), spent, pay))
    }

    fn convict_missing(&mut self, caller: &str, block: u64, position: Position) -> Done {
        let header = self.blocks[block as usize - 1].header;
        let evidence = evidence_of(&(block, position));
        self.act(caller, |contract, call, pay| contract.convict_missing(call, &header, position.bits(), evidence, pay))
    }

    fn reclaim(&mut self, caller: &str, block: u64, position: Position) -> Done {
        let header = self.blocks[block as usize - 1].header;
        self.act(caller, |contract, call, pay| contract.reclaim_missing(call, &header, position.bits(), pay))
    }
}

/// Commits a block that leaves out what it makes: the only payment of alice's coin. Returns her coin and what the payment made.
fn left_out() -> (Court, Coin, Coin) {
    let mut court = Court::new();
    let coin = court.deposit("alice", 10);
    let payment = court.sign("alice", &[coin], vec![gets("bob", 10)]);
    let position = place(1, 0).first_output();
    let found = court.commit_lying(&[payment], 0, |tree| tree.updated([(position, None)]));
    let Some(Difference::LeftOut { output_id, position }) = found else { panic!("{found:?}") };
    (court, coin, (output_id, position))
}

const NUMBER: BlockNumber = BlockNumber::FIRST;

#[test]
fn a_coin_left_out_convicts_when_nobody_answers() {
    let (mut court, _, bobs) = left_out();
    let (shown, claimed_at) = (court.shown_coin(bobs), court.now);
    court.claim("carol", 1, &shown).unwrap();
    let claim = *court.game.missing_claims().next().unwrap();
    let held = value(bobs.0, &gets("bob", 10));
    let expected = MissingClaim {
        number: NUMBER,
        position: bobs.1,
        output_id: bobs.0,
        value: held,
        claimant: address("carol"),
        claimed_at: Some(claimed_at),
    };
    assert_eq!(claim, expected);
    assert_eq!(court.answer("operator", 1, bobs.1), Err(Revert::NotHeld), "there is no membership");

    let from = claimed_at + MEP / 2;
    court.wait_until(from - 1);
    assert_eq!(court.convict_missing("dave", 1, bobs.1), Err(Revert::TooEarlyToConvict { from }));
    court.wait_until(from);
    assert_eq!(court.answer("operator", 1, bobs.1), Err(Revert::TooLateToAnswer { until: from }));
    let events = court.convict_missing("dave", 1, bobs.1).unwrap();
    assert!(matches!(
        events[..],
        [
            RootEvent::MissingConvicted { .. },
            RootEvent::FaultProven { rule: Rule::R9, .. },
            RootEvent::FaultRewarded { .. }
        ]
    ));
    assert_eq!(court.received("carol"), MISSING_BOND + FAULT_SLASH / 2, "whoever says so");
    assert_eq!(court.received("dave"), 0);
    assert_eq!(court.game.halt(), Some(Halt { from: NUMBER, at: court.now }));
    assert_eq!(court.game.conviction(NUMBER), Some(Conviction { root_block: court.now, reward: 0 }));
    assert_eq!(court.game.missing_claim(NUMBER, bobs.1).unwrap().claimed_at, None);
    let again = Revert::NotClaimed { number: NUMBER, position: bobs.1.bits() };
    assert_eq!(court.convict_missing("dave", 1, bobs.1), Err(again));
}

#[test]
fn a_claim_about_a_coin_that_is_there_feeds_whoever_answers() {
    let mut court = Court::new();
    let coin = court.deposit("alice", 10);
    court.commit_valid(&[]);
    let shown = court.shown_coin(coin);
    court.claim("troll", 1, &shown).unwrap();
    let again = Revert::AlreadyClaimed { number: NUMBER, position: coin.1 };
    assert_eq!(court.claim("troll", 1, &shown), Err(again));
    court.wait(MEP / 2 - 1);
    court.answer("watcher", 1, coin.1).unwrap();
    assert_eq!(court.received("watcher"), MISSING_BOND);
    assert_eq!(court.claim("troll", 1, &shown), Err(again), "not once more");
    court.wait(1);
    let ended = Revert::NotClaimed { number: NUMBER, position: coin.1.bits() };
    assert_eq!(court.convict_missing("troll", 1, coin.1), Err(ended));
    assert_eq!(court.reclaim("troll", 1, coin.1), Err(ended));
    assert_eq!(court.game.halt(), None);
}

#[test]
fn a_claim_about_a_spent_coin_is_answered_by_its_spend() {
    let mut court = Court::new();
    let (coin, other) = (court.deposit("alice", 10), court.deposit("alice", 20));
    let payment = court.sign("alice", &[coin], vec![gets("bob", 10)]);
    court.commit_valid(&[payment]);
    let later = court.sign("alice", &[other], vec![gets("bob", 20)]);
    court.commit_valid(&[later]);
    let [shown, held] = [coin, other].map(|coin| court.shown_coin(coin));
    court.claim("troll", 1, &shown).unwrap();
    court.claim("troll", 1, &held).unwrap();

    let spend = spent_coin(coin.0, &gets("alice", 10), place(1, 0), &court).unwrap();
    let of_other = spent_coin(other.0, &gets("alice", 20), place(2, 0), &court).unwrap();
    assert_eq!(court.answer_spent("watcher", 1, coin.1, &of_other), Err(Revert::NotTheValue));
    let unrelated = spent_coin(other.0, &gets("alice", 20), place(1, 0), &court).unwrap();
    let not_a_spend = Revert::NotASpend { output_id: other.0 };
    assert_eq!(court.answer_spent("watcher", 1, other.1, &unrelated), Err(not_a_spend));
    let later = Revert::LaterBlock { shown: 2, number: 1 };
    assert_eq!(court.answer_spent("watcher", 1, other.1, &of_other), Err(later), "the tree of block 1 must hold it");
    court.answer_spent("watcher", 1, coin.1, &spend).unwrap();
    court.answer("watcher", 1, other.1).unwrap();
    assert_eq!(court.received("watcher"), 2 * MISSING_BOND);
}

#[test]
fn a_coin_that_the_block_need_not_hold_is_not_claimed() {
    let mut court = Court::new();
    let coin = court.deposit("alice", 10);
    court.commit_valid(&[]);
    let (fresh, payment) = (court.deposit("alice", 20), court.sign("alice", &[coin], vec![gets("bob", 10)]));
    let [bobs] = court.commit_valid(&[payment])[..] else { panic!("one coin") };
    let [shown, fresh, bobs] = [coin, fresh, bobs].map(|coin| court.shown_coin(coin));
    assert_eq!(court.claim("troll", 1, &bobs), Err(Revert::LaterBlock { shown: 2, number: 1 }));
    assert_eq!(court.claim("troll", 1, &fresh), Err(Revert::LaterBlock { shown: 1, number: 1 }), "not covered yet");
    let sent = U256::from(MISSING_BOND - 1);
    let wrong = Revert::WrongBond { sent, bond: U256::from(MISSING_BOND) };
    assert_eq!(court.claim_with("troll", 1, &shown, MISSING_BOND - 1), Err(wrong));
    let mut nobodys = shown.clone();
    nobodys.creation.index = 7;
    assert!(matches!(court.claim("troll", 1, &nobodys), Err(Revert::NotADeposit { .. })));
    let mut beyond = bobs;
    beyond.creation.index = 1;
    assert_eq!(court.claim("troll", 2, &beyond), Err(Revert::NotCanonical), "no such output");
}

#[test]
fn claims_count_for_one_period_and_convict_for_two() {
    let (mut court, coin, bobs) = left_out();
    let [shown, of_alice] = [bobs, coin].map(|coin| court.shown_coin(coin));
    let made = court.now;
    court.wait_until(made + MEP - 1);
    court.claim("carol", 1, &shown).unwrap();
    court.wait_until(made + MEP);
    let until = made + MEP;
    assert_eq!(court.claim("carol", 1, &of_alice), Err(Revert::TooLateToClaim { until }));
    let until = made + 2 * MEP;
    court.wait_until(until - 1);
    assert_eq!(court.reclaim("carol", 1, bobs.1), Err(Revert::ClaimRuns { until }));
    court.wait_until(until);
    assert_eq!(court.convict_missing("carol", 1, bobs.1), Err(Revert::TooLateToProve { until }));
    court.reclaim("dave", 1, bobs.1).unwrap();
    assert_eq!(court.received("carol"), MISSING_BOND, "to the claimant, whoever says so");
    assert_eq!(court.game.halt(), None);
}

#[test]
fn one_conviction_sends_the_other_claims_home() {
    let (mut court, coin, bobs) = left_out();
    let [shown, of_alice] = [bobs, coin].map(|coin| court.shown_coin(coin));
    court.claim("carol", 1, &shown).unwrap();
    court.claim("dave", 1, &of_alice).unwrap();
    court.wait(MEP / 2);
    court.convict_missing("carol", 1, bobs.1).unwrap();
    let void = Revert::VoidBlock { number: NUMBER };
    assert_eq!(court.convict_missing("dave", 1, coin.1), Err(void));
    assert_eq!(court.claim("dave", 1, &shown), Err(void));
    court.reclaim("anyone", 1, coin.1).unwrap();
    assert_eq!(court.received("dave"), MISSING_BOND);
}

#[test]
fn a_reorganisation_takes_claims_and_their_ends_back() {
    let (mut court, _, bobs) = left_out();
    let shown = court.shown_coin(bobs);
    court.claim("carol", 1, &shown).unwrap();
    court.wait(MEP / 2);
    court.convict_missing("carol", 1, bobs.1).unwrap();
    let claimed_at = |court: &Court| court.game.missing_claim(NUMBER, bobs.1).map(|claim| claim.claimed_at);
    assert_eq!(claimed_at(&court), Some(None));
    court.game.disconnect_block().unwrap();
    assert!(matches!(claimed_at(&court), Some(Some(_))), "it is open again");
    assert_eq!((court.game.halt(), court.game.conviction(NUMBER)), (None, None));
    court.game.disconnect_block().unwrap();
    court.game.disconnect_block().unwrap();
    assert_eq!(claimed_at(&court), None);
}
