//! The game follows the root chain block by block, and back: a reorganisation leaves no trace. §3.1, §5.

use alloy_primitives::{Address, B256, Bytes, U256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_exit_game::game::{CoinExit, Game, GameError};
use plasmid_exit_game::output::{Deposit, ETHER, Output, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};

const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);
const SPENDER: TxHash = TxHash(B256::ZERO);

fn root_block(number: u64, branch: u8, events: Vec<RootEvent>) -> RootBlock {
    let hash = |number: u64, branch| {
        let mut hash = B256::repeat_byte(branch);
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    };
    RootBlock {
        at: RootRef { number, hash: hash(number, branch) },
        parent: hash(number - 1, branch),
        timestamp: 10_000 + number,
        events,
    }
}

fn deposit(nonce: u64) -> Deposit {
    Deposit { nonce, output: Output { owner: ALICE, asset: ETHER, amount: 5 } }
}

fn exit_of(deposit: &Deposit, key: u64) -> ExitRecord {
    let position = Position::of_deposit(deposit.nonce).unwrap();
    ExitRecord { output_id: deposit.output_id(), position, output: deposit.output, key }
}

fn header(number: u64, deposit_count: u64) -> Header {
    let number = BlockNumber::new(number).unwrap();
    Header { number, tx_root: B256::ZERO, utxo_root: B256::ZERO, tx_count: 0, deposit_count, timestamp: 10_000 }
}

fn game(blocks: &[RootBlock]) -> Game {
    let mut game = Game::new(PERIODS, 64);
    blocks.iter().for_each(|block| game.connect_block(block).expect("a possible history"));
    game
}

#[test]
fn an_exit_freezes_its_coin_at_the_head_and_frees_it_at_the_anchor() {
    let (coin, key) = (deposit(0), 10_700);
    let id = coin.output_id();
    let mut game = game(&[
        root_block(1, 0, vec![RootEvent::Deposited(coin)]),
        root_block(2, 0, vec![RootEvent::StandardExitStarted(exit_of(&coin, key))]),
    ]);
    assert_eq!(game.freeze_of(id), Some(key - 300));
    assert!(!game.is_spendable(id, SPENDER, 2));

    let (spend, signature) = (Bytes::new(), Bytes::new());
    let challenged = RootEvent::StandardExitChallenged { output_id: id, challenger: BOB, spend, signature };
    game.connect_block(&root_block(3, 0, vec![challenged])).unwrap();
    assert_eq!(game.freeze_of(id), None);
    assert!(!game.is_spendable(id, SPENDER, 2), "the challenge may still be reorganised away");
    assert!(game.is_spendable(id, SPENDER, 3));
}

#[test]
fn a_paid_coin_stays_frozen_for_ever_from_the_time_of_its_exit() {
    let coin = deposit(0);
    let id = coin.output_id();
    let paid = RootEvent::ExitPaid { output_id: id, payee: BOB, amount: 5, paid: 5, credited: false };
    let mut game = game(&[
        root_block(1, 0, vec![RootEvent::Deposited(coin)]),
        root_block(2, 0, vec![RootEvent::StandardExitStarted(exit_of(&coin, 10_700))]),
        root_block(3, 0, vec![RootEvent::ExitAssigned { output_id: id, payee: BOB }]),
    ]);
    assert_eq!(game.pending_exits().map(|exit| exit.payee).collect::<Vec<_>>(), [BOB]);
    game.connect_block(&root_block(4, 0, vec![paid])).unwrap();
    assert_eq!(game.exit(id), Some(&CoinExit::Settled { freeze: 10_400 }));
    assert_eq!(game.pending_exits().count(), 0);
    let again = game.connect_block(&root_block(5, 0, vec![RootEvent::StandardExitStarted(exit_of(&coin, 11_000))]));
    assert_eq!(again, Err(GameError::AlreadyExiting { output_id: id }));
}

#[test]
fn deposits_and_blocks_count_from_the_root_block_that_holds_them() {
    let game = game(&[
        root_block(1, 0, vec![RootEvent::Deposited(deposit(0)), RootEvent::BlockSubmitted(header(1, 1))]),
        root_block(2, 0, vec![RootEvent::Deposited(deposit(1))]),
        root_block(3, 0, vec![RootEvent::BlockSubmitted(header(2, 2))]),
    ]);
    assert_eq!((game.deposit_count_at(0), game.deposit_count_at(1), game.deposit_count_at(9)), (0, 1, 2));
    assert_eq!((game.last_block_at(0).get(), game.last_block_at(2).get(), game.last_block().get()), (0, 1, 2));
    assert_eq!(game.deposits(1, 9).map(|deposit| deposit.nonce).collect::<Vec<_>>(), [1]);
    assert_eq!(game.anchor(2).map(|(at, timestamp)| (at.number, timestamp)), Some((1, 10_001)));
    assert_eq!(game.anchor(3), None);
}

#[test]
fn a_reorganisation_leaves_no_trace() {
    let coin = deposit(0);
    let id = coin.output_id();
    let shared = [root_block(1, 0, vec![RootEvent::Deposited(coin)]), root_block(2, 0, vec![])];
    let lost = [
        root_block(
            3,
            1,
            vec![RootEvent::StandardExitStarted(exit_of(&coin, 10_700)), RootEvent::Deposited(deposit(1))],
        ),
        root_block(4, 1, vec![RootEvent::ExitAssigned { output_id: id, payee: BOB }]),
        root_block(5, 1, vec![RootEvent::Credited { account: BOB, asset: ETHER, amount: U256::from(7) }]),
        root_block(
            6,
            1,
            vec![
                RootEvent::Claimed { account: BOB, asset: ETHER, to: BOB, amount: U256::from(7) },
                RootEvent::BlockSubmitted(header(1, 2)),
            ],
        ),
    ];
    let mut game = game(&shared);
    lost.iter().for_each(|block| game.connect_block(block).unwrap());
    assert_eq!((game.claimable(BOB, ETHER), game.last_block().get()), (U256::ZERO, 1));
    for block in lost.iter().rev() {
        assert_eq!(game.disconnect_block(), Some(block.at));
    }
    assert_eq!(game.at(), Some(shared[1].at));
    assert_eq!((game.deposit_count(), game.last_block().get(), game.exit(id)), (1, 0, None));
}

#[test]
fn a_node_that_contradicts_itself_changes_nothing() {
    let (coin, other) = (deposit(0), deposit(1));
    let mut game = game(&[root_block(1, 0, vec![RootEvent::Deposited(coin)])]);
    let id = other.output_id();
    let nonsense = [
        (RootEvent::Deposited(deposit(2)), GameError::DepositOutOfOrder { nonce: 2, next: 1 }),
        (
            RootEvent::BlockSubmitted(header(2, 1)),
            GameError::BlockOutOfOrder { number: BlockNumber::new(2).unwrap(), last: BlockNumber::ZERO },
        ),
        (
            RootEvent::BlockSubmitted(header(1, 9)),
            GameError::DepositCount { number: BlockNumber::FIRST, deposit_count: 9 },
        ),
        (RootEvent::ExitAssigned { output_id: id, payee: BOB }, GameError::NotExiting { output_id: id }),
    ];
    for (event, error) in nonsense {
        let first = RootEvent::StandardExitStarted(exit_of(&coin, 10_700));
        assert_eq!(game.connect_block(&root_block(2, 0, vec![first, event])), Err(error));
        assert_eq!(game.exit(coin.output_id()), None, "the whole root block is refused");
    }
}
