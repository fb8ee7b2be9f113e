//! Sends that are interrupted, refused or answered falsely.

use alloy_primitives::Address;
use k256::ecdsa::SigningKey;
use plasmid_exit_game::output::{ETHER, Output};
use plasmid_exit_game::position::Position;
use plasmid_exit_game::signature::Domain;
use plasmid_harness::anvil::FUNDED_KEYS;
use plasmid_node::problem::Code;
use plasmid_node::wire::form::{self, Form as _};
use plasmid_node::wire::{Coin, CoinState};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};

use crate::operator::{Mood, StubOperator, hash_of, inputs_of};
use crate::user::{Net, User, address};

const ALICE: usize = 3;
const BOB: usize = 4;

/// A root chain, an operator with one coin of alice's, and alice, who has deposited it.
pub(crate) async fn alice_with_a_coin() -> (Net, StubOperator, User) {
    let net = Net::start();
    let deposited = net.user(ALICE).run(&["deposit", "1ether", "--json"]).json();
    let coin = Coin {
        id: form::parse(deposited["id"].as_str().unwrap()).unwrap(),
        position: Position::of_deposit(0).unwrap(),
        output: Output { owner: address(ALICE), asset: ETHER, amount: 1_000_000_000_000_000_000 },
        state: CoinState::Committed,
        spender: None,
    };
    let contract: Address = net.contract.parse().unwrap();
    let operator = StubOperator::start(Domain { chain_id: 31_337, contract }, coin);
    let alice = net.user(ALICE).with("PLASMID_OPERATOR_URL", &operator.url);
    (net, operator, alice)
}

/// The operator accepts with the key of account `index`, for a block due in `ahead` seconds.
pub(crate) async fn accepting(net: &Net, index: usize, ahead: u64) -> Mood {
    let node = Node::new(Rpc::new(&[net.anvil.url()], RpcSettings::default()).unwrap());
    let by = node.head().await.unwrap().timestamp + ahead;
    let key = alloy_primitives::hex::decode(FUNDED_KEYS[index]).unwrap();
    Mood::Accepting { key: SigningKey::from_slice(&key).unwrap(), by }
}

#[tokio::test]
async fn an_interrupted_send_goes_on_with_the_same_bytes() {
    let (net, operator, alice) = alice_with_a_coin().await;
    let bob = address(BOB).to_string();
    let interrupted = alice.run(&["send", &bob, "0.4ether"]);
    assert_eq!(interrupted.code, 5, "{}", interrupted.stderr);
    assert!(interrupted.stderr.contains("repeat the command"), "{}", interrupted.stderr);

    operator.set(accepting(&net, 0, 10).await);
    let sent = alice.run(&["send", &bob, "0.4ether", "--json"]).json();
    assert_eq!(sent["resumed"], true);
    let submitted = operator.submitted();
    assert_eq!(submitted[1..], submitted[..1], "the same body and signature");
    assert_eq!(sent["txHash"], hash_of(&submitted[0]).write());
    assert_eq!(alice.run(&["receipt", "list", "--json"]).only_item()["state"], "open");

    let again = alice.run(&["send", &bob, "0.4ether"]);
    assert_eq!(again.code, 3, "another payment would be a second signature over the coin: {}", again.stderr);
    assert_eq!(operator.submitted().len(), 2);
}

#[tokio::test]
async fn a_second_signature_over_a_coin_is_made_only_when_told_to() {
    let (net, operator, alice) = alice_with_a_coin().await;
    let bob = address(BOB).to_string();
    operator.set(Mood::Refusing(Code::FeeTooLow));
    assert_eq!(alice.run(&["send", &bob, "0.4ether"]).code, 1);

    operator.set(accepting(&net, 0, 10).await);
    let refused = alice.run(&["send", &bob, "0.3ether"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    let first = hash_of(&operator.submitted()[0]).write();
    assert!(refused.stderr.contains(&format!("--replace {first}")), "{}", refused.stderr);
    assert_eq!(operator.submitted().len(), 1);
    let exit = alice.run(&["exit", "start", &inputs_of(&operator.submitted()[0])[0].write()]);
    assert_eq!(exit.code, 3, "whoever has the signature could end it: {}", exit.stderr);

    let replaced = alice.run(&["send", &bob, "0.3ether", "--replace", &first, "--json"]);
    assert_eq!(replaced.json()["amount"], "300000000000000000");
    assert!(replaced.stderr.contains("exit both in flight"), "it says what that risks");
    let submitted = operator.submitted();
    assert_eq!(inputs_of(&submitted[1]), inputs_of(&submitted[0]));
    let unknown = address(BOB).into_word().to_string();
    assert_eq!(alice.run(&["send", &bob, "0.3ether", "--replace", &unknown]).code, 1, "nothing to replace");
}

#[tokio::test]
async fn a_receipt_that_cannot_be_relied_on_is_no_success() {
    let (net, operator, alice) = alice_with_a_coin().await;
    let bob = address(BOB).to_string();
    // Another key; a time that is past; a promise too far ahead (F is 75 s).
    for (key, ahead) in [(BOB, 10), (0, 0), (0, 60)] {
        let mood = accepting(&net, key, ahead).await;
        operator.set(if ahead == 0 { past(mood) } else { mood });
        let refused = alice.run(&["send", &bob, "0.4ether"]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stdout.is_empty());
    }
    operator.set(accepting(&net, 0, 10).await);
    assert_eq!(alice.run(&["send", &bob, "0.4ether", "--json"]).json()["resumed"], true);
    let submitted = operator.submitted();
    assert!(submitted.iter().all(|submission| *submission == submitted[0]), "one transaction all the time");
}

fn past(mood: Mood) -> Mood {
    match mood {
        Mood::Accepting { key, by } => Mood::Accepting { key, by: by - 100 },
        other => other,
    }
}
