//! The operator's bond and keys, and the end of a chain, from the command line.

use plasmid_harness::anvil::move_time;
use plasmid_root_chain::node::Node;
use serde_json::{Value, json};

use crate::root_chain::node;
use crate::user::{Net, Ran, User, address};

const OPERATOR: usize = 0;
const ALICE: usize = 3;
const BOB: usize = 4;
const SUNSET: u64 = 4_800;
const MEP: u64 = 600;

fn refused(ran: &Ran, why: &str) {
    assert_eq!((ran.code, ran.stderr.contains(why)), (3, true), "{}", ran.stderr);
    assert!(ran.stdout.is_empty(), "stdout is for data");
}

fn wei(report: &Value, field: &str) -> u128 {
    report[field].as_str().unwrap().parse().unwrap()
}

async fn move_by(net: &Net, secs: u64) {
    let node: Node = node(net);
    move_time(node.rpc(), secs).await;
}

#[tokio::test]
async fn a_chain_is_closed_after_its_sunset_and_its_bond_comes_back_two_periods_later() {
    let net = Net::start();
    let (operator, alice) = (net.user(OPERATOR), net.user(ALICE));
    let early = alice.run(&["close-chain", "--dry-run", "--json"]).json();
    assert!(early["remaining"].as_u64().unwrap() > SUNSET - 60 && early["transaction"].is_null(), "{early}");
    refused(&alice.run(&["close-chain"]), "the chain can be closed in");
    refused(&operator.run(&["operator", "withdraw-bond"]), "the chain goes on");

    move_by(&net, SUNSET + 10).await;
    let dry = alice.run(&["close-chain", "--dry-run", "--json"]).json();
    assert_eq!((&dry["remaining"], dry["gas"].is_u64(), &dry["transaction"]), (&json!(0), true, &json!(null)));
    assert!(alice.run(&["close-chain", "--json"]).json()["transaction"].is_string());
    refused(&alice.run(&["close-chain"]), "was closed");
    refused(&alice.run(&["deposit", "1ether"]), "no more deposits");
    refused(&alice.run(&["operator", "fund-bond", "--faults", "1ether"]), "takes no more");
    refused(&operator.run(&["operator", "withdraw-bond"]), "can be withdrawn from");

    move_by(&net, 2 * MEP + 10).await;
    refused(&alice.run(&["operator", "withdraw-bond"]), "is 0x");
    let bond = operator.run(&["operator", "show", "--json"]).json();
    let to = address(BOB).to_string();
    let withdrawn = operator.run(&["operator", "withdraw-bond", "--to", &to, "--json"]).json();
    assert_eq!(wei(&withdrawn, "amount"), wei(&bond, "faultPart") + wei(&bond, "receiptPart"));
    assert_eq!((&withdrawn["faultPart"], &withdrawn["receiptPart"]), (&json!("0"), &json!("0")));
}

#[tokio::test]
async fn anybody_funds_the_bond() {
    let net = Net::start();
    let alice: User = net.user(ALICE);
    let before = alice.run(&["operator", "show", "--json"]).json();
    assert_eq!(before["short"], false);
    let args = ["operator", "fund-bond", "--faults", "1ether", "--receipts", "2gwei", "--json"];
    let funded = alice.run(&args).json();
    assert_eq!(wei(&funded, "amount"), 1_000_000_002_000_000_000);
    assert_eq!(wei(&funded, "faultPart"), wei(&before, "faultPart") + 1_000_000_000_000_000_000);
    assert_eq!(wei(&funded, "receiptPart"), wei(&before, "receiptPart") + 2_000_000_000);
    assert_eq!(alice.run(&["operator", "fund-bond"]).code, 2, "of what part?");
    for command in [&["operator", "fund-bond"][..], &["operator", "accept"], &["close-chain"], &["receipt", "prove"]] {
        assert!(alice.run(&[command, &["--help"]].concat()).stdout.starts_with("Examples:"), "{command:?}");
    }
}

#[tokio::test]
async fn a_key_is_proposed_by_the_present_one_and_accepts_for_a_block_far_ahead() {
    let net = Net::start();
    let (operator, alice) = (net.user(OPERATOR), net.user(ALICE));
    let next = address(ALICE).to_string();
    refused(&alice.run(&["operator", "propose", &next]), "so is this");
    refused(&alice.run(&["operator", "accept", "500"]), "no key is proposed");
    assert_eq!(operator.run(&["operator", "propose", &next, "--json"]).json()["proposed"], next);
    assert_eq!(operator.run(&["operator", "propose", "--take-back", "--json"]).json()["proposed"], json!(null));
    operator.run(&["operator", "propose", &next, "--json"]).json();
    refused(&net.user(BOB).run(&["operator", "accept", "500"]), "the key that is proposed is");
    refused(&alice.run(&["operator", "accept", "301"]), "too soon");
    let accepted = alice.run(&["operator", "accept", "302", "--json"]).json();
    let keys = json!([
        { "operator": address(OPERATOR).to_string(), "firstBlock": 1 },
        { "operator": next, "firstBlock": 302 },
    ]);
    assert_eq!((&accepted["keys"], &accepted["proposed"]), (&keys, &json!(null)));
    assert_eq!(operator.run(&["operator", "show", "--json"]).json()["keys"], keys);
    refused(&operator.run(&["operator", "propose", &next]), "takes over from block 302");
}
