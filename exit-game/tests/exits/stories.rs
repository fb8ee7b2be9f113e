//! Stories with alice, bob and a thief. §4, §5.2.

use alloy_primitives::U256;
use plasmid_exit_game::exit::contract::Revert;
use plasmid_exit_game::exit::standard::{CoinState, ExitRecord, Standing};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::Position;

use crate::world::{BOND, BOUNTY, MEP, PERIODS, TOKEN, World, address, output};

const BOND_BACK: u128 = BOND - BOUNTY;

fn paid(record: &ExitRecord, payee: &str) -> RootEvent {
    let (output_id, amount) = (record.output_id, record.output.amount);
    RootEvent::ExitPaid { output_id, payee: address(payee), amount, paid: amount, credited: false }
}

#[test]
fn a_deposit_that_no_block_covers_is_exited() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let record = world.start("alice", &coin).unwrap();
    assert_eq!(record.key, (world.now + MEP).next_multiple_of(3), "one period, rounded up to G");
    assert!(world.contract.coin(coin.id).is_exit_of(&record));
    assert_eq!(world.start("alice", &coin), Err(Revert::AlreadyExiting { output_id: coin.id }));

    world.now = record.key - 1;
    assert_eq!(world.process("carol", ETHER, &[record]), [], "not before its key");
    world.now = record.key;
    let cleared = RootEvent::ExitKeysCleared { asset: ETHER, head: 0 };
    assert_eq!(world.process("carol", ETHER, &[record]), [cleared, paid(&record, "alice")]);

    assert_eq!(world.received("alice", ETHER), 500 + BOND_BACK);
    assert_eq!(world.received("carol", ETHER), BOUNTY);
    assert_eq!(world.contract.owed(ETHER), Some(0));
    let freeze = record.key - MEP / 2;
    assert_eq!(world.contract.coin(coin.id), CoinState::settled(freeze));
    assert_eq!(world.start("alice", &coin), Err(Revert::AlreadySettled { output_id: coin.id, freeze }));
    assert_eq!(world.process("carol", ETHER, &[record]), [], "nothing is paid twice");
}

#[test]
fn an_output_is_exited_by_its_owner_with_its_inclusion() {
    let mut world = World::new();
    let coin = world.deposit("alice", TOKEN, 500);
    let tx = world.sign("alice", &[&coin], vec![output("bob", TOKEN, 200), output("alice", TOKEN, 300)]);
    let other = world.sign("alice", &[&coin], vec![output("carol", TOKEN, 1)]);
    let coins = world.commit(&[other, tx]);
    let created = world.now;
    let bobs = &coins[1][0];

    world.now += 10;
    let record = world.start("bob", bobs).unwrap();
    assert_eq!(
        record,
        ExitRecord { output_id: bobs.id, position: bobs.position, output: bobs.output, key: created + 1_200 }
    );
    world.now = record.key;
    world.process("bob", TOKEN, &[record]);
    assert_eq!((world.received("bob", TOKEN), world.received("bob", ETHER)), (200, BOND));
    assert_eq!(world.contract.owed(TOKEN), Some(300));
}

#[test]
fn an_exit_of_a_spent_coin_is_challenged() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let spend = world.sign("alice", &[&coin], vec![output("bob", ETHER, 500)]);
    let bobs = world.commit(std::slice::from_ref(&spend)).remove(0).remove(0);
    let theft = world.start("alice", &coin).unwrap();
    world.assign("alice", &theft, "accomplice").unwrap();

    let events = world.challenge("carol", &theft, &spend).unwrap();
    let challenged = RootEvent::StandardExitChallenged {
        output_id: coin.id,
        challenger: address("carol"),
        spend: spend.body.encode().into(),
        signature: spend.witness.signature.encode().into(),
    };
    assert_eq!(events, [challenged]);
    assert_eq!(world.received("carol", ETHER), BOND);
    assert_eq!(world.contract.coin(coin.id), CoinState::DEPOSITED, "nothing of the exit is left");
    assert_eq!(world.challenge("carol", &theft, &spend), Err(Revert::NotExiting { output_id: coin.id }));

    let record = world.start("bob", &bobs).unwrap();
    world.now = record.key;
    let cleared = |head| RootEvent::ExitKeysCleared { asset: ETHER, head };
    let events = world.process("bob", ETHER, &[theft, record]);
    assert_eq!(events, [cleared(record.key), cleared(0), paid(&record, "bob")], "the head passes the empty key");
    assert_eq!(world.received("bob", ETHER), 500 + BOND);
}

#[test]
fn a_spend_that_no_block_includes_challenges_too() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let spend = world.sign("alice", &[&coin], vec![output("bob", ETHER, 1)]);
    let record = world.start("alice", &coin).unwrap();
    world.now = record.key + 5 * MEP;
    world.challenge("bob", &record, &spend).expect("until it is paid");
}

#[test]
fn exits_under_one_key_are_paid_in_any_order_with_one_bounty() {
    let mut world = World::new();
    let coins = [5, 6, 7].map(|amount| world.deposit("alice", ETHER, amount));
    world.now = world.now.next_multiple_of(3) + 1;
    let first = world.start("alice", &coins[0]).unwrap();
    world.now += 1;
    let second = world.start("alice", &coins[1]).unwrap();
    world.now += 2;
    let later = world.start("alice", &coins[2]).unwrap();
    assert_eq!((second.key, later.key), (first.key, first.key + 3));
    let listed = world.contract.exit_keys(ETHER).unwrap().iter().collect::<Vec<_>>();
    assert_eq!(listed, [(first.key, 2), (later.key, 1)]);

    world.now = later.key;
    let cleared = |head| RootEvent::ExitKeysCleared { asset: ETHER, head };
    let events = world.process("carol", ETHER, &[later, second, first, later]);
    let expected =
        [paid(&second, "alice"), cleared(later.key), paid(&first, "alice"), cleared(0), paid(&later, "alice")];
    assert_eq!(events, expected, "a later key waits for the turn of its own");
    assert_eq!(world.received("alice", ETHER), 18 + 3 * BOND_BACK);
    assert_eq!(world.received("carol", ETHER), 3 * BOUNTY);
    assert_eq!(world.money.tried.iter().filter(|payment| payment.to == address("carol")).count(), 1);
}

#[test]
fn coins_made_before_a_bad_block_are_paid_before_those_it_mints() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let tx = world.sign("alice", &[&coin], vec![output("bob", ETHER, 300), output("alice", ETHER, 200)]);
    let honest = world.commit(&[tx]).remove(0);
    world.now += 100;
    let bait = world.deposit("thief", ETHER, 1);
    let mint = world.sign("thief", &[&bait], vec![output("thief", ETHER, 501)]);
    let minted = world.commit(&[mint]).remove(0).remove(0);
    let bad_at = world.now;
    let theft = world.start("thief", &minted).unwrap();

    // The last moment at which the claim of §4 holds.
    world.now = bad_at + MEP - PERIODS.granularity() - 1;
    let late_deposit = world.deposit("carol", ETHER, 50);
    let records = [("alice", &honest[1]), ("bob", &honest[0]), ("carol", &late_deposit)]
        .map(|(name, c)| world.start(name, c).unwrap());
    assert!(records.iter().all(|record| record.key < theft.key));

    world.now = theft.key;
    world.process("anyone", ETHER, &[theft]);
    assert_eq!(world.received("thief", ETHER), 0, "others are before him");
    world.process("anyone", ETHER, &[records[0], records[1], records[2], theft]);
    world.process("anyone", ETHER, &[records[2], records[1], records[0], theft]);
    let received = ["alice", "bob", "carol"].map(|name| world.received(name, ETHER) - BOND_BACK);
    assert_eq!(received, [200, 300, 50]);
    assert_eq!(world.received("thief", ETHER), 1 + BOND_BACK, "what is left: his own deposit");
}

#[test]
fn an_exit_that_was_handed_on_pays_its_new_payee() {
    let mut world = World::new();
    let coin = world.deposit("alice", TOKEN, 500);
    let record = world.start("alice", &coin).unwrap();
    let events = world.assign("alice", &record, "bob").unwrap();
    assert_eq!(events, [RootEvent::ExitAssigned { output_id: coin.id, payee: address("bob") }]);
    assert!(world.contract.coin(coin.id).is_exit_of(&record), "the record stays as it is");
    let refused = Revert::NotPayee { caller: address("alice"), payee: address("bob") };
    assert_eq!(world.assign("alice", &record, "alice"), Err(refused));
    world.assign("bob", &record, "carol").unwrap();

    world.now = record.key;
    assert_eq!(world.process("dave", TOKEN, &[record])[1..], [paid(&record, "carol")]);
    assert_eq!((world.received("carol", TOKEN), world.received("carol", ETHER)), (500, BOND_BACK));
    assert_eq!((world.received("alice", ETHER), world.received("bob", ETHER)), (0, 0));
}

#[test]
fn a_handover_ends_with_its_exit() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let spend = world.sign("alice", &[&coin], vec![output("alice", ETHER, 500)]);
    let first = world.start("alice", &coin).unwrap();
    world.assign("alice", &first, "bob").unwrap();
    world.challenge("carol", &first, &spend).unwrap();
    let second = world.start("alice", &coin).unwrap();
    world.now = second.key;
    world.process("carol", ETHER, &[second]);
    assert_eq!((world.received("alice", ETHER), world.received("bob", ETHER)), (500 + BOND_BACK, 0));
}

#[test]
fn a_payment_that_fails_is_claimed_later() {
    let mut world = World::new();
    let coin = world.deposit("alice", TOKEN, 500);
    let other = world.deposit("bob", TOKEN, 30);
    let records = [world.start("alice", &coin).unwrap(), world.start("bob", &other).unwrap()];
    world.refuse("alice", TOKEN);
    world.now = records[1].key;
    let (output_id, alice) = (coin.id, address("alice"));
    let events = world.process("carol", TOKEN, &records);
    let expected = [
        RootEvent::Credited { account: alice, asset: TOKEN, amount: U256::from(500) },
        RootEvent::ExitPaid { output_id, payee: alice, amount: 500, paid: 500, credited: true },
        RootEvent::ExitKeysCleared { asset: TOKEN, head: 0 },
        paid(&records[1], "bob"),
    ];
    assert_eq!(events, expected, "one payment that fails holds nobody up");
    assert_eq!((world.received("bob", TOKEN), world.credit("alice", TOKEN)), (30, 500));
    assert_eq!(world.received("alice", ETHER), BOND_BACK, "the bond is another payment");
    assert_eq!(world.contract.owed(TOKEN), Some(0), "a credit is held apart");

    let failed = Revert::ClaimFailed { asset: TOKEN, to: alice, amount: U256::from(500) };
    assert_eq!(world.claim("alice", TOKEN, alice), Err(failed));
    let nothing = Revert::NothingToClaim { account: address("bob"), asset: TOKEN };
    assert_eq!(world.claim("bob", TOKEN, address("bob")), Err(nothing));
    let to = address("alice's other account");
    let claimed = RootEvent::Claimed { account: alice, asset: TOKEN, to, amount: U256::from(500) };
    assert_eq!(world.claim("alice", TOKEN, to), Ok(vec![claimed]));
    assert_eq!(world.received("alice's other account", TOKEN), 500);
    assert_eq!(world.claim("alice", TOKEN, to), Err(Revert::NothingToClaim { account: alice, asset: TOKEN }));
}

#[test]
fn ether_bonds_and_bounties_that_cannot_be_paid_are_credited() {
    let mut world = World::new();
    let coins =
        [world.deposit("alice", ETHER, 500), world.deposit("alice", TOKEN, 9), world.deposit("alice", ETHER, 1)];
    let [ether, token, spent] = [0, 1, 2].map(|i| world.start("alice", &coins[i]).unwrap());
    for name in ["alice", "bob"] {
        world.refuse(name, ETHER);
    }
    let spend = world.sign("alice", &[&coins[2]], vec![output("bob", ETHER, 1)]);
    world.challenge("bob", &spent, &spend).unwrap();
    assert_eq!(world.credit("bob", ETHER), BOND);

    world.now = token.key;
    world.process("bob", ETHER, &[ether]);
    assert_eq!(world.credit("alice", ETHER), 500 + BOND_BACK);
    let events = world.process("bob", TOKEN, &[token]);
    assert!(events.contains(&paid(&token, "alice")), "its asset was delivered, only the bond was not");
    assert_eq!(world.credit("alice", ETHER), 500 + 2 * BOND_BACK);
    assert_eq!(world.credit("bob", ETHER), BOND + 2 * BOUNTY);
}

#[test]
fn an_asset_that_cannot_cover_an_exit_pays_what_is_left_and_owes_nothing_later() {
    let mut world = World::new();
    let bait = world.deposit("thief", TOKEN, 40);
    let mint = world.sign("thief", &[&bait], vec![output("thief", TOKEN, 100), output("thief", TOKEN, 5)]);
    let minted = world.commit(&[mint]).remove(0);
    let records = [0, 1].map(|i| world.start("thief", &minted[i]).unwrap());
    world.now = records[1].key;
    let events = world.process("carol", TOKEN, &records);
    let payee = address("thief");
    let short = |i: usize, paid| {
        let ExitRecord { output_id, output, .. } = records[i];
        RootEvent::ExitPaid { output_id, payee, amount: output.amount, paid, credited: false }
    };
    assert_eq!(events, [short(0, 40), RootEvent::ExitKeysCleared { asset: TOKEN, head: 0 }, short(1, 0)]);

    let later = world.deposit("bob", TOKEN, 77);
    assert_eq!(world.contract.owed(TOKEN), Some(77));
    let freeze = records[0].key - MEP / 2;
    let settled = Revert::AlreadySettled { output_id: minted[0].id, freeze };
    assert_eq!(world.start("thief", &minted[0]), Err(settled), "the coin is settled for good");
    let record = world.start("bob", &later).unwrap();
    world.now = record.key;
    world.process("carol", TOKEN, &[record]);
    assert_eq!(world.received("bob", TOKEN), 77, "later deposits belong to others");
}

#[test]
fn an_exit_of_a_void_blocks_coin_gives_back_its_bond_alone() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let to_self = world.sign("alice", &[&coin], vec![output("alice", ETHER, 500)]);
    let good = world.commit(&[to_self]).remove(0).remove(0);
    let payment = world.sign("alice", &[&good], vec![output("thief", ETHER, 400), output("thief", ETHER, 100)]);
    let bad = world.commit(&[payment]).remove(0);
    let before_halt = world.start("thief", &bad[0]).unwrap();
    world.assign("thief", &before_halt, "accomplice").unwrap();
    world.halt(2).unwrap();
    assert_eq!(world.start("thief", &bad[1]), Err(Revert::VoidBlock { number: bad[0].position.block().unwrap() }));
    let honest = world.start("alice", &good).unwrap();
    let deposit = world.start("alice", &coin).expect("a deposit is never void");

    world.now = before_halt.key;
    let records = [deposit, honest, before_halt];
    let payee = address("accomplice");
    let returned = RootEvent::ExitReturned { output_id: before_halt.output_id, payee };
    assert_eq!(world.process("carol", ETHER, &records).last(), Some(&returned));
    assert_eq!(world.received("accomplice", ETHER), BOND_BACK);
    assert_eq!(world.contract.coin(bad[0].id).standing(), Standing::Unknown, "it is not settled");
    assert_eq!(world.received("carol", ETHER), 3 * BOUNTY);
}

#[test]
fn records_that_do_not_match_are_skipped() {
    let mut world = World::new();
    let coins = [world.deposit("alice", ETHER, 5), world.deposit("alice", TOKEN, 6)];
    let [ether, token] = [0, 1].map(|i| world.start("alice", &coins[i]).unwrap());
    world.now = token.key;
    let forged = [
        ExitRecord { position: Position::of_deposit(9).unwrap(), ..ether },
        ExitRecord { output: output("thief", ETHER, 5), ..ether },
        ExitRecord { output: output("alice", ETHER, 500), ..ether },
        ExitRecord { key: ether.key - 3, ..ether },
        ExitRecord { output_id: coins[1].id, ..ether },
        token,
    ];
    let before = world.contract.clone();
    assert_eq!(world.process("thief", ETHER, &forged), []);
    assert_eq!(world.contract, before);
    assert_eq!(world.money.tried, [], "no bounty for nothing");
    assert!(world.process("carol", ETHER, &[&forged[..], &[ether]].concat()).contains(&paid(&ether, "alice")));
}
