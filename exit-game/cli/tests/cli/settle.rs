//! The end of a chain: what its last good block holds is withdrawn by whoever owns it. §8.

use std::slice;

use alloy_primitives::{B256, U256};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::transaction::Transaction;
use plasmid_harness::anvil::{FUNDED_KEYS, move_time};
use plasmid_harness::cheat::{Serving, made};
use plasmid_harness::people::{People, Person};
use plasmid_harness::world::{ETHER_UNIT, PERIODS, World, deposit_of, ether, eventually};
use plasmid_node::wire::form::Form as _;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::sender::{Sender, SenderSettings};
use serde_json::{Value, json};

use crate::evidence::{Story, deposit, export, is_final_at, pay};
use crate::root_chain::node;
use crate::user::{Net, Ran, User, address};

const ALICE: usize = 3;
/// From the end of a chain to its settlement: two periods and a freeze delay, with some seconds of every test's own.
const UNTIL_OPEN: u64 = 2 * 600 + 75 + 10;

fn settle(user: &User, options: &[&str]) -> Ran {
    user.run(&[&["settle", "--json"], options].concat())
}

fn refused(ran: &Ran, why: &str) {
    assert_eq!((ran.code, ran.stderr.contains(why)), (3, true), "{}", ran.stderr);
    assert!(ran.stdout.is_empty(), "stdout is for data");
}

fn items(report: &Value) -> Vec<(&str, &str)> {
    let items = report["items"].as_array().unwrap().iter();
    items.map(|item| (item["id"].as_str().unwrap(), item["paid"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn after_the_closing_coins_come_out_by_a_file_or_a_watcher_once_earlier_exits_are_paid() {
    let mut story = Story::of(World::honest().await);
    let people = story.world.people.clone();
    let (alice, bob) = (story.served(&people.alice), story.served(&people.bob));
    deposit(&alice, "4ether");
    let made = pay(&story, &alice, &people.bob, "1ether").await;
    let (bobs, change) = (&made[0], &made[1]);
    is_final_at(&story.world.watcher(), bobs).await;
    is_final_at(&story.world.operator(), bobs).await;
    let path = story.path("bob.json");
    assert_eq!(export(&bob, &path, &[]).json()["coins"], 1);
    story.world.kill_operator();
    let (watcher, contract) = (story.world.watcher(), story.world.deployment.contract.to_string());
    let named = |person: &Person| story.stranded(person, person.name).with("PLASMID_CONTRACT", &contract);
    let watched = |person: &Person| named(person).with("PLASMID_WATCHER_URL", watcher.url());
    let (alice, carol) = (watched(&people.alice), named(&people.carol));
    let bob = story.stranded(&people.bob, "another-machine");
    let by_file = ["--evidence", path.to_str().unwrap()];

    // A deposit that no block covers any more, and an exit in time before the end.
    let uncovered = carol.run(&["deposit", "2ether", "--json"]).json()["id"].as_str().unwrap().to_owned();
    for dry in [&[][..], &["--dry-run"]] {
        refused(&settle(&alice, dry), "the chain has not ended");
    }
    let rpc = story.world.root.node().rpc();
    move_time(rpc, PERIODS.sunset + 10).await;
    alice.run(&["close-chain", "--json"]).json();
    alice.run(&["exit", "start", change, "--json"]).only_item();
    let early = settle(&bob, &[&by_file[..], &["--dry-run"]].concat()).json();
    assert_eq!(items(&early), [(bobs.as_str(), "1000000000000000000")], "{early}");
    assert!(early["remaining"].as_u64().unwrap() > UNTIL_OPEN - 60, "{early}");
    assert_eq!(
        early["exitsFirst"],
        json!([{ "asset": ETHER.write(), "exits": 1, "until": early["exitsFirst"][0]["until"] }])
    );
    refused(&settle(&bob, &by_file), "coins can be withdrawn from");

    move_time(rpc, UNTIL_OPEN).await;
    let without = settle(&named(&people.bob), &[]).json();
    assert_eq!(items(&without), [], "his wallet has no proof of it: {without}");
    let alone = settle(&bob, &[&by_file[..], &["--dry-run"]].concat()).json();
    assert_eq!((&alone["remaining"], &alone["exitsFirst"][0]["exits"]), (&json!(0), &json!(1)), "{alone}");
    let leaving = settle(&alice, &["--dry-run"]).json();
    assert_eq!(
        (items(&leaving), &leaving["leftOut"][0]["id"]),
        (vec![], &json!(change)),
        "its exit pays it: {leaving}"
    );
    let before = story.world.balance(ETHER, people.alice.address()).await;
    let report = settle(&bob, &by_file).json();
    assert_eq!(items(&report), [(bobs.as_str(), "1000000000000000000")], "{report}");
    assert!(report["items"][0]["transaction"].is_string());
    let gained = story.world.balance(ETHER, people.alice.address()).await - before;
    assert!(gained > U256::from(3 * ETHER_UNIT), "alice's exit was paid before");
    let again = settle(&bob, &by_file);
    assert_eq!((items(&again.json()), again.stderr.contains("1 coins have left already")), (vec![], true));

    assert_eq!(items(&settle(&alice, &[]).json()), [], "her deposit is spent, the rest has left");
    let report = settle(&carol, &[&uncovered]).json();
    assert_eq!(items(&report), [(uncovered.as_str(), "2000000000000000000")], "no server is asked for a deposit");
    assert_eq!(story.world.root.asset(ETHER).await.unwrap().owed, 0);
    assert!(alice.run(&["settle", "--help"]).stdout.starts_with("Examples:"));
}

#[tokio::test]
async fn after_a_halt_a_spend_in_a_void_block_counts_for_nothing_and_a_payee_withdraws_in_the_owners_place() {
    let (mut world, mut cheat) = World::cheated().await;
    world.leave_alone();
    let People { alice, bob, carol, mallory, .. } = People::new();
    let domain = world.domain();
    let alices = world.deposit(&alice, 5 * ETHER_UNIT).await;
    let mallorys = world.deposit(&mallory, ETHER_UNIT).await;
    cheat.cover(&[alices, mallorys].map(|coin| deposit_of(&coin)));
    let outputs = vec![ether(&bob, 2 * ETHER_UNIT), ether(&alice, 3 * ETHER_UNIT)];
    let payment = alice.sign(&domain, &[alices], outputs);
    let good = made(cheat.next_place(0), &payment.placed());
    cheat.commit(slice::from_ref(&payment), Serving::Served).await;
    let spend = bob.sign(&domain, &good[..1], vec![ether(&carol, 2 * ETHER_UNIT)]);
    let void = made(cheat.next_place(0), &spend.placed())[0];
    let minting = mallory.sign(&domain, &[mallorys], vec![ether(&mallory, 9 * ETHER_UNIT)]);
    let bad = cheat.commit(&[spend, minting], Serving::Served).await;
    eventually("the chain is halted", async || {
        (world.root.child_chain().await.ok()?.halted_from == Some(bad)).then_some(())
    })
    .await;
    world.kill_watcher();
    world.start_watcher(&cheat.url());
    world.seen().await;

    let story = Story::of(world);
    let (watcher, contract) = (story.world.watcher(), story.world.deployment.contract.to_string());
    let served = |person: &Person| {
        let user = story.stranded(person, person.name).with("PLASMID_CONTRACT", &contract);
        user.with("PLASMID_WATCHER_URL", watcher.url())
    };
    move_time(story.world.root.node().rpc(), UNTIL_OPEN).await;
    let change = good[1].id.write();
    served(&alice).run(&["exit", "start", &change, "--json"]).only_item();
    served(&alice).run(&["exit", "assign", &change, &carol.address().to_string(), "--json"]).json();

    let report = settle(&served(&bob), &[]).json();
    assert_eq!(
        (&report["lastBlock"], items(&report)),
        (&json!(1), vec![(&*good[0].id.write(), "2000000000000000000")])
    );
    let of_void = settle(&served(&carol), &[&void.id.write()]);
    assert_eq!((of_void.code, of_void.stderr.contains("cannot be withdrawn")), (1, true), "{}", of_void.stderr);
    let sold = settle(&served(&alice), &[&change]);
    assert_eq!((sold.code, sold.stderr.contains("withdraws it, not")), (1, true), "{}", sold.stderr);
    let report = settle(&served(&carol), &[]).json();
    assert_eq!(items(&report), [(&*change, "3000000000000000000")], "{report}");
    assert_eq!(report["items"][0]["payee"], json!(carol.address().to_string()));
    let report = settle(&served(&mallory), &[]).json();
    assert_eq!(items(&report), [(&*mallorys.id.write(), "1000000000000000000")], "what it owned before the fault");
}

/// Starts an exit and ends it by a spend of the coin: its key stays, without exits.
async fn start_and_challenge(root: &RootChain, alice: &Sender, domain: &Domain, coin: &Deposit, bond: u128) {
    let landed = alice.send(&root.start_standard_exit_of_deposit(coin, 0, bond)).await.unwrap();
    let record = landed.logs.iter().find_map(|log| match decode_event(root.contract(), log).unwrap() {
        RootEvent::StandardExitStarted(record) => Some(record),
        _ => None,
    });
    let output = Output { owner: address(ALICE), asset: ETHER, amount: 1 };
    let spend = Transaction::new(vec![coin.output_id()], vec![output], B256::ZERO).unwrap();
    let signature = Account::from_hex(FUNDED_KEYS[ALICE]).unwrap().sign_digest(spend.signing_hash(domain));
    alice.send(&root.challenge_standard_exit(&record.unwrap(), &spend.encode(), &signature)).await.unwrap();
}

#[tokio::test]
async fn a_long_run_of_keys_without_exits_is_cleared_before_the_first_coin() {
    let net = Net::start();
    let alice = net.user(ALICE);
    let root = RootChain::new(node(&net), net.contract.parse().unwrap());
    let deployment = root.deployment().await.unwrap();
    let account = Account::from_hex(FUNDED_KEYS[ALICE]).unwrap();
    let settings = SenderSettings { poll_interval: std::time::Duration::from_millis(10), ..SenderSettings::default() };
    let sender = Sender::new(node(&net), account, settings).await.unwrap();
    for nonce in 0..25 {
        sender.send(&root.deposit(address(ALICE), 7)).await.unwrap();
        let coin = Deposit { nonce, output: Output { owner: address(ALICE), asset: ETHER, amount: 7 } };
        move_time(node(&net).rpc(), PERIODS.granularity()).await;
        let bond = deployment.bonds.exit_bond_wei;
        start_and_challenge(&root, &sender, &deployment.domain(), &coin, bond).await;
    }
    assert_eq!(root.exit_keys(ETHER, 0, 100).await.unwrap().len(), 25);
    move_time(node(&net).rpc(), PERIODS.sunset + 10).await;
    alice.run(&["close-chain", "--json"]).json();
    move_time(node(&net).rpc(), UNTIL_OPEN).await;

    let unreachable = settle(&net.user(ALICE).with("PLASMID_WATCHER_URL", "http://127.0.0.1:1"), &[]);
    assert_eq!(unreachable.code, 5, "who names servers wants to hear of them: {}", unreachable.stderr);
    let unknown = settle(&alice, &[&OutputId(B256::repeat_byte(1)).write()]);
    assert_eq!((unknown.code, unknown.stderr.contains("cannot be withdrawn")), (1, true), "{}", unknown.stderr);
    let coin = Deposit { nonce: 3, output: Output { owner: address(ALICE), asset: ETHER, amount: 7 } };
    let id = coin.output_id().write();
    assert_eq!(settle(&alice, &["--dry-run"]).json()["items"].as_array().unwrap().len(), 25);
    let ran = settle(&alice, &[&id]);
    assert_eq!(items(&ran.json()), [(&*id, "7")]);
    assert!(ran.stderr.contains("clear keys without exits"), "{}", ran.stderr);
    assert_eq!(root.exit_keys(ETHER, 0, 1).await.unwrap(), []);
    assert_eq!(items(&settle(&alice, &[&id]).json()), [], "it has left");
    assert_eq!(settle(&alice, &["--dry-run"]).json()["items"].as_array().unwrap().len(), 24);
}
