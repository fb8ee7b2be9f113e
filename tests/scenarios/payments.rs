//! What the operator takes, and what it refuses with a stable code.

use std::io::Write;
use std::process::{Command, Stdio};

use alloy_primitives::{B256, hex};
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::{PositionKind, TxIndex};
use plasmid_exit_game::transaction::Transaction;
use plasmid_harness::anvil::repository;
use plasmid_harness::people::{Coin, Person};
use plasmid_harness::world::{ETHER_UNIT, World, ether};
use plasmid_node::client::ClientError;
use plasmid_node::problem::Code;
use serde_json::{Value, json};

/// The code with which the operator refused.
fn code(error: &ClientError) -> Code {
    match error {
        ClientError::Problem { problem, .. } => problem.code,
        other => panic!("not refused but failed: {other:?}"),
    }
}

/// Returns `count` coins of a wei each, made by one transaction of somebody's deposit.
async fn change(world: &World, person: &Person, count: u128) -> Vec<Coin> {
    let deposit = world.deposit(person, count).await;
    world.covered(&deposit).await;
    world.pay(person, &[deposit], vec![ether(person, 1); count as usize]).await
}

#[tokio::test]
async fn a_coin_is_spent_on_and_on_within_one_block() {
    let world = World::honest().await;
    let deposit = world.deposit(&world.people.alice, ETHER_UNIT).await;
    world.covered(&deposit).await;
    world.settled().await;
    let people = [&world.people.alice, &world.people.bob, &world.people.carol];
    let mut coin = deposit;
    let mut blocks = Vec::new();
    for hop in 0..9 {
        let (from, to) = (people[hop % 3], people[(hop + 1) % 3]);
        coin = world.pay(from, &[coin], vec![ether(to, ETHER_UNIT)]).await[0];
        blocks.push(coin.position.block().expect("a child-chain coin"));
    }
    assert!(blocks.windows(2).any(|pair| pair[0] == pair[1]), "some hops share a block: {blocks:?}");
    world.committed(&coin).await;
    world.settled().await;
    assert_eq!(world.watcher().coin(coin.id).await.expect("the watcher has it").position, coin.position);
}

#[tokio::test]
async fn sixteen_inputs_of_one_owner_and_sixteen_outputs_to_sixteen_owners() {
    let world = World::honest().await;
    let alice = &world.people.alice;
    let coins = change(&world, alice, 16).await;
    assert_eq!(coins.len(), 16);
    let owners = (1..=16u8).map(alloy_primitives::Address::repeat_byte);
    let outputs = owners.map(|owner| plasmid_exit_game::output::Output { owner, asset: ETHER, amount: 1 }).collect();
    let made = world.pay(alice, &coins, outputs).await;
    world.committed(&made[15]).await;
    world.settled().await;
    let block = made[15].position.block().expect("a child-chain coin");
    let seen = world.watcher().block(block).await.expect("the watcher has the block");
    assert_eq!(seen.verdict, plasmid_node::wire::Verdict::Valid);
}

#[tokio::test]
async fn inputs_of_two_owners_are_refused() {
    let world = World::honest().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let (hers, his) = (world.deposit(alice, 5).await, world.deposit(bob, 5).await);
    world.covered(&hers).await;
    world.covered(&his).await;
    let error = world.try_pay(alice, &[hers, his], vec![ether(alice, 10)]).await.expect_err("two owners");
    assert_eq!(code(&error), Code::BadSignature);
}

#[tokio::test]
async fn each_reason_for_refusal_has_its_code() {
    let world = World::honest().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let coins = change(&world, alice, 3).await;
    let refused = async |payer: &Person, coins: &[Coin], outputs| {
        code(&world.try_pay(payer, coins, outputs).await.expect_err("not a payment to take"))
    };
    assert_eq!(refused(bob, &coins[..1], vec![ether(bob, 1)]).await, Code::BadSignature);
    assert_eq!(refused(alice, &coins[..1], vec![ether(bob, 2)]).await, Code::Unbalanced);
    let unknown = Coin { id: plasmid_exit_game::output::OutputId(B256::repeat_byte(1)), ..coins[0] };
    assert_eq!(refused(alice, &[unknown], vec![ether(bob, 1)]).await, Code::UnknownInput);

    let spend = vec![ether(bob, 1)];
    let first = world.pay(alice, &coins[..1], spend.clone()).await;
    let again = world.pay(alice, &coins[..1], spend).await;
    assert_eq!(first, again, "the same payment has the same answer");
    assert_eq!(refused(alice, &coins[..1], vec![ether(alice, 1)]).await, Code::AlreadySpent);

    world.committed(&first[0]).await;
    world.settled().await;
    world.start_exit(alice, &coins[1]).await;
    world.settled().await;
    assert_eq!(refused(alice, &coins[1..2], vec![ether(bob, 1)]).await, Code::Exiting);
}

/// Signs with ethers.js, which shares no code with this project.
fn sign_elsewhere(world: &World, payer: &Person, coins: &[Coin], to: &Person) -> Value {
    let domain = world.domain();
    let total: u128 = coins.iter().map(|coin| coin.output.amount).sum();
    let request = json!({
        "chainId": domain.chain_id,
        "contract": domain.contract,
        "privateKey": payer.key,
        "inputs": coins.iter().map(|coin| coin.id.0).collect::<Vec<_>>(),
        "outputs": [{ "owner": to.address(), "asset": ETHER, "amount": total.to_string() }],
        "memo": B256::repeat_byte(7),
    });
    let mut node = Command::new("node")
        .arg(repository().join("tests/clients/sign.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node is installed");
    node.stdin.take().expect("piped above").write_all(request.to_string().as_bytes()).expect("Node reads");
    let output = node.wait_with_output().expect("Node ends");
    assert!(output.status.success(), "the client failed; scripts/test installs its packages");
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

#[tokio::test]
async fn an_independent_client_is_understood_and_one_bit_changed_is_refused() {
    let world = World::honest().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let coins = change(&world, alice, 2).await;
    let signed = sign_elsewhere(&world, alice, &coins, bob);
    let body = hex::decode(signed["body"].as_str().expect("hex")).expect("hex");
    let ours = Transaction::decode(&body).expect("the client's body is canonical");
    assert_eq!(json!(ours.hash().0), signed["txHash"]);
    assert_eq!(json!(ours.signing_hash(&world.domain())), signed["digest"]);

    let http = reqwest::Client::new();
    let url = format!("{}/v1/transactions", world.operator().url());
    let post = async |body: &[u8], signature: &[u8]| {
        let request = json!({ "body": hex::encode_prefixed(body), "signature": hex::encode_prefixed(signature) });
        let reply = http.post(&url).header("content-type", "application/json").body(request.to_string()).send().await;
        let reply = reply.expect("the operator answers");
        let status = reply.status().as_u16();
        let answer = reply.bytes().await.expect("the whole answer");
        (status, serde_json::from_slice::<Value>(&answer).expect("JSON"))
    };
    let signature = hex::decode(signed["signature"].as_str().expect("hex")).expect("hex");
    for bit in 0..8 * (body.len() + signature.len()) {
        let (mut body, mut signature) = (body.clone(), signature.clone());
        match body.get_mut(bit / 8) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            None => signature[bit / 8 - body.len()] ^= 1 << (bit % 8),
        }
        let (status, problem) = post(&body, &signature).await;
        assert!((400..500).contains(&status), "bit {bit}: {status} {problem}");
        let code = problem["code"].as_str().unwrap_or_default();
        let expected = ["not-canonical", "bad-signature", "unknown-input", "unbalanced"];
        assert!(expected.contains(&code), "bit {bit}: {problem}");
    }
    let (status, accepted) = post(&body, &signature).await;
    assert_eq!((status, &accepted["txHash"]), (200, &signed["txHash"]), "{accepted}");
}

#[tokio::test]
async fn blocks_are_numbered_and_placed_without_gaps() {
    let world = World::honest().await;
    let coins = change(&world, &world.people.alice, 3).await;
    let made = [
        world.pay(&world.people.alice, &coins[..1], vec![ether(&world.people.bob, 1)]).await[0],
        world.pay(&world.people.alice, &coins[1..2], vec![ether(&world.people.bob, 1)]).await[0],
    ];
    let places = made.map(|coin| match coin.position.kind() {
        PositionKind::Output(place, 0) => place,
        kind => panic!("{kind:?}"),
    });
    let next = TxIndex::new(places[0].index.get() + 1);
    let is_next = places[0].block == places[1].block && Some(places[1].index) == next;
    assert!(is_next || places[0].block.next() == Some(places[1].block), "{places:?}");
}
