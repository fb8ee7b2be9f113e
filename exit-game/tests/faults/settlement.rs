//! After the chain's end owners withdraw by the last good tree, once older exits are paid. §8

use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::Revert;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{FaultProof, ShownCoin};
use plasmid_exit_game::game::{CoinExit, PendingExit};
use plasmid_exit_game::output::{Deposit, ETHER, Output};
use plasmid_exit_game::position::BlockNumber;

use crate::court::{Coin, Court, MEP, PERIODS, address, gets, place};
use crate::evidence::JUNK;

type Done = Result<Vec<RootEvent>, Revert>;

impl Court {
    /// Commits a block that is not canonical, and convicts it.
    fn halt(&mut self) {
        let block = self.next_place().block.get();
        self.commit(vec![Some((JUNK.to_vec(), JUNK.to_vec()))], 0).unwrap();
        let leaf = self.shown_leaf(place(block, 0)).unwrap();
        self.prove("carol", &FaultProof::NotCanonical { leaf }).unwrap();
    }

    /// Withdraws by the tree of a block.
    fn withdraw(&mut self, caller: &str, block: u64, coin: Coin) -> Done {
        let header = self.blocks[block as usize - 1].header;
        let membership = self.held(block, coin.1).map_or_else(Vec::new, |held| held.proof.to_vec());
        let shown: ShownCoin = self.shown_coin(coin);
        self.act(caller, |contract, call, pay| contract.withdraw_settled(call, &header, &membership, &shown, pay))
    }

    fn withdraw_deposit(&mut self, caller: &str, header: &Header, nonce: u64, output: Output) -> Done {
        let deposit = Deposit { nonce, output };
        self.act(caller, |contract, call, pay| contract.withdraw_settled_deposit(call, header, &deposit, pay))
    }

    fn assign(&mut self, caller: &str, exit: &ExitRecord, payee: &str) {
        let payee = address(payee);
        self.act(caller, |contract, call, _| contract.assign_exit(call, exit, payee)).unwrap();
    }
}

/// When withdrawals begin on a chain that ends now.
fn start_of_settlement(court: &Court) -> u64 {
    court.now + 2 * MEP + PERIODS.freeze_delay()
}

#[test]
fn owners_withdraw_what_the_last_good_tree_holds() {
    let mut court = Court::new();
    let (coin, kept) = (court.deposit("alice", 10), court.deposit("alice", 20));
    let payment = court.sign("alice", &[coin], vec![gets("bob", 10)]);
    let [bobs] = court.commit_valid(&[payment])[..] else { panic!("one coin") };
    assert_eq!(court.withdraw("bob", 1, bobs), Err(Revert::StillRunning));
    court.halt();
    let from = start_of_settlement(&court);
    court.wait_until(from - 1);
    assert_eq!(court.withdraw("bob", 1, bobs), Err(Revert::NotYetSettling { from }));
    court.wait_until(from);
    let (shown, last) = (BlockNumber::new(2).unwrap(), BlockNumber::FIRST);
    assert_eq!(court.withdraw("bob", 2, bobs), Err(Revert::NotTheLastBlock { shown, last }), "that one is void");
    assert_eq!(court.withdraw("alice", 1, coin), Err(Revert::NotHeld), "it is spent");
    let (caller, payee) = (address("thief"), address("bob"));
    assert_eq!(court.withdraw("thief", 1, bobs), Err(Revert::NotPayee { caller, payee }));

    let events = court.withdraw("bob", 1, bobs).unwrap();
    assert!(matches!(events[..], [RootEvent::CoinWithdrawn { amount: 10, paid: 10, credited: false, .. }]));
    court.withdraw("alice", 1, kept).unwrap();
    assert_eq!((court.received("bob"), court.received("alice")), (10, 20));
    assert_eq!(court.contract.owed(ETHER), Some(0), "nothing is left for anybody");
    assert_eq!(court.game.exit(bobs.0), Some(&CoinExit::Settled { freeze: from }));
    let settled = Revert::AlreadySettled { output_id: bobs.0, freeze: from };
    assert_eq!(court.withdraw("bob", 1, bobs), Err(settled));
}

#[test]
fn a_deposit_that_no_good_block_covers_is_withdrawn_by_its_fields() {
    let mut court = Court::new();
    let first = court.deposit("alice", 10);
    court.commit_valid(&[]);
    court.deposit("alice", 20);
    court.halt();
    court.wait_until(start_of_settlement(&court));
    let header = court.blocks[0].header;
    assert_eq!(
        court.withdraw_deposit("alice", &header, 0, gets("alice", 10)),
        Err(Revert::DepositCovered { nonce: 0 })
    );
    let wrong = court.withdraw_deposit("alice", &header, 1, gets("alice", 21));
    assert!(matches!(wrong, Err(Revert::NotADeposit { .. })));
    court.withdraw_deposit("alice", &header, 1, gets("alice", 20)).unwrap();
    court.withdraw("alice", 1, first).unwrap();
    assert_eq!(court.received("alice"), 30);
}

#[test]
fn without_a_good_block_every_deposit_is_withdrawn() {
    let mut court = Court::new();
    court.deposit("alice", 10);
    court.halt();
    court.wait_until(start_of_settlement(&court));
    let void = court.blocks[0].header;
    let (shown, last) = (void.number, BlockNumber::ZERO);
    let refused = court.withdraw_deposit("alice", &void, 0, gets("alice", 10));
    assert_eq!(refused, Err(Revert::NotTheLastBlock { shown, last }));
    court.withdraw_deposit("alice", &Header::NONE, 0, gets("alice", 10)).unwrap();
    assert_eq!(court.received("alice"), 10);
}

#[test]
fn a_chain_that_was_closed_is_settled_as_well() {
    let mut court = Court::new();
    let coin = court.deposit("alice", 10);
    court.commit_valid(&[]);
    court.wait(PERIODS.sunset);
    court.act("anyone", |contract, call, _| contract.close_chain(call)).unwrap();
    let from = start_of_settlement(&court);
    court.wait_until(from - 1);
    assert_eq!(court.withdraw("alice", 1, coin), Err(Revert::NotYetSettling { from }));
    court.wait_until(from);
    court.withdraw("alice", 1, coin).unwrap();
    assert_eq!(court.received("alice"), 10);
}

#[test]
fn exits_started_in_time_go_first_and_later_ones_pay_nothing() {
    let mut court = Court::new();
    let [early, late, other] = [10, 20, 30].map(|amount| court.deposit("alice", amount));
    court.commit_valid(&[]);
    court.halt();
    let first = court.start_exit("alice", early);
    let from = start_of_settlement(&court);
    court.wait_until(from - 1);
    let second = court.start_exit("alice", late);
    court.wait_until(from);
    let pending = Revert::ExitsPending { asset: ETHER, key: first.key };
    assert_eq!(court.withdraw("alice", 1, other), Err(pending), "of the same asset");
    court.process(&[first]);
    court.withdraw("alice", 1, other).unwrap();
    court.withdraw("alice", 1, late).unwrap();
    let exit = court.game.exit(late.0).copied();
    assert!(matches!(exit, Some(CoinExit::Pending(PendingExit { settled: Some(freeze), .. })) if freeze == from));
    let received = court.received("alice");
    court.wait_until(second.key);
    court.process(&[second]);
    assert_eq!(court.received("alice"), received + 10, "the bond alone");
    assert_eq!(court.game.exit(late.0), Some(&CoinExit::Settled { freeze: from }));
}

#[test]
fn who_was_handed_a_claim_withdraws_in_the_owners_place() {
    let mut court = Court::new();
    let coin = court.deposit("alice", 10);
    court.commit_valid(&[]);
    court.halt();
    let from = start_of_settlement(&court);
    court.wait_until(from);
    let exit = court.start_exit("alice", coin);
    court.assign("alice", &exit, "bob");
    let (caller, payee) = (address("alice"), address("bob"));
    assert_eq!(court.withdraw("alice", 1, coin), Err(Revert::NotPayee { caller, payee }), "she has sold it");
    court.withdraw("bob", 1, coin).unwrap();
    assert_eq!((court.received("alice"), court.received("bob")), (0, 10));
}
