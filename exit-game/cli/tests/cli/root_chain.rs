//! Deposits and exits with a root chain and nothing else.

use alloy_primitives::{Address, U256};
use plasmid_harness::anvil::FUNDED_KEYS;
use plasmid_harness::anvil::move_time;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::bindings::Value;
use plasmid_root_chain::calls;
use plasmid_root_chain::deploy::{ANSWER_MISSING_GAS, deploy_artifact};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};

use crate::user::{Net, address};

const ALICE: usize = 3;
const BOB: usize = 4;
const CAROL: usize = 5;
const ETHER_WEI: u128 = 1_000_000_000_000_000_000;

pub(crate) fn node(net: &Net) -> Node {
    Node::new(Rpc::new(&[net.anvil.url()], RpcSettings::default()).unwrap())
}

pub(crate) async fn sender(net: &Net, index: usize) -> Sender {
    let account = Account::from_hex(FUNDED_KEYS[index]).unwrap();
    Sender::new(node(net), account, SenderSettings::default()).await.unwrap()
}

async fn ether_of(net: &Net, account: Address) -> U256 {
    node(net).balance(Address::ZERO, account).await.unwrap()
}

#[tokio::test]
async fn a_deposit_leaves_again_without_any_server_and_its_claim_can_be_handed_on() {
    let net = Net::start();
    let (alice, bob, carol) = (net.user(ALICE), net.user(BOB), net.user(CAROL));

    let deposited = alice.run(&["deposit", "1.5ether", "--json"]).json();
    assert_eq!(deposited["amount"], "1500000000000000000");
    assert_eq!(deposited["position"], (1u64 << 63).to_string(), "positions are decimal strings");
    assert_eq!(deposited["owner"], address(ALICE).to_string());
    let id = deposited["id"].as_str().unwrap();

    let dry = alice.run(&["exit", "start", id, "--dry-run", "--json"]).only_item();
    assert!(dry["bond"].is_string() && dry["gas"].is_u64() && dry["key"].is_u64() && dry["transaction"].is_null());
    assert_eq!(alice.run(&["exit", "list", "--json"]).json()["items"], serde_json::json!([]), "nothing was started");
    assert_ne!(bob.run(&["exit", "start", id]).code, 0, "it is not bob's");

    let started = alice.run(&["exit", "start", id, "--json"]).only_item();
    assert!(started["transaction"].as_str().unwrap().starts_with("0x"));
    let again = alice.run(&["exit", "start", id]);
    assert_eq!((again.code, again.stderr.contains("exiting already")), (1, true), "{}", again.stderr);
    let listed = alice.run(&["exit", "list", "--json"]).only_item();
    assert_eq!((&listed["id"], &listed["payee"]), (&deposited["id"], &deposited["owner"]));

    assert_eq!(bob.run(&["exit", "assign", id, &address(BOB).to_string()]).code, 3, "it pays alice, not bob");
    assert_eq!(alice.run(&["exit", "assign", id, &address(BOB).to_string()]).code, 0);
    assert_eq!(alice.run(&["exit", "status", id, "--json"]).json()["exit"]["payee"], address(BOB).to_string());

    assert_eq!(carol.run(&["exit", "process", "--json"]).json()["items"], serde_json::json!([]), "not its time yet");
    move_time(node(&net).rpc(), 700).await;
    let before = ether_of(&net, address(BOB)).await;
    let processed = carol.run(&["exit", "process", "--json"]).only_item();
    assert_eq!((&processed["id"], &processed["paid"]), (&deposited["id"], &deposited["amount"]));
    let wei = |field: &str| started[field].as_str().unwrap().parse::<u128>().unwrap();
    let paid = ether_of(&net, address(BOB)).await - before;
    assert_eq!(paid, U256::from(ETHER_WEI * 3 / 2 + wei("bond") - wei("bounty")));
    assert_eq!(alice.run(&["exit", "status", id, "--json"]).json()["state"], "settled");
    assert_eq!(alice.run(&["exit", "start", id]).code, 1, "what has left cannot leave again");
}

#[tokio::test]
async fn a_token_that_fails_on_payment_is_claimed_later() {
    let net = Net::start();
    let alice = net.user(ALICE);
    let sender = sender(&net, ALICE).await;
    let artifact = include_str!("../../../../contracts/artifacts/testing/HostileToken.json");
    let (token, _) = deploy_artifact(&sender, artifact, &[]).await.unwrap();
    let call = |signature: &str, args: &[Value]| calls::call(token, signature, args).unwrap();
    sender.send(&call("mint(address,uint256)", &[address(ALICE).into(), 1_000u64.into()])).await.unwrap();

    let asset = token.to_string();
    assert_eq!(alice.run(&["deposit", "0.5ether", "--asset", &asset]).code, 2, "a token has no ether");
    assert_eq!(alice.run(&["deposit", "1001", "--asset", &asset]).code, 1, "alice has less");
    let deposited = alice.run(&["deposit", "1000", "--asset", &asset, "--json"]).json();
    assert_eq!((&deposited["amount"], &deposited["asset"]), (&"1000".into(), &asset.clone().into()));
    let id = deposited["id"].as_str().unwrap();
    assert_eq!(alice.run(&["exit", "start", id]).code, 0);

    let blocked = |blocked: bool| call("blockAccount(address,bool)", &[address(ALICE).into(), Value::Bool(blocked)]);
    sender.send(&blocked(true)).await.unwrap();
    move_time(node(&net).rpc(), 700).await;
    let processed = net.user(CAROL).run(&["exit", "process", "--asset", &asset, "--json"]).only_item();
    assert_eq!(processed["credited"], true);

    assert_eq!(alice.run(&["exit", "claim"]).code, 1, "the token still refuses");
    sender.send(&blocked(false)).await.unwrap();
    let claimed = alice.run(&["exit", "claim", "--json"]).only_item();
    assert_eq!((&claimed["amount"], &claimed["asset"]), (&"1000".into(), &asset.into()));
    assert_eq!(node(&net).balance(token, address(ALICE)).await.unwrap(), U256::from(1_000));
    assert_eq!(alice.run(&["exit", "claim", "--json"]).json()["items"], serde_json::json!([]), "once");
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_is() {
    let net = Net::start();
    let alice = net.user(ALICE);
    let usage = ["deposit", "send", "exit start", "nonsense", "deposit -1", "deposit 1.5", "coin 0x12", "balance 0x12"];
    for line in usage {
        let args: Vec<_> = line.split(' ').collect();
        assert_eq!(alice.run(&args).code, 2, "{line}");
    }
    assert_eq!(alice.run(&["balance"]).code, 2, "no server is given");
    assert_eq!(net.user(ALICE).with("PLASMID_L1_URL", "no address").run(&["exit", "list"]).code, 2);
    assert_eq!(net.user(ALICE).with("PLASMID_L1_URL", "http://127.0.0.1:1").run(&["exit", "list"]).code, 5);
    assert_eq!(net.user(ALICE).with("PLASMID_OPERATOR_URL", "http://127.0.0.1:1").run(&["balance"]).code, 5);
    let nobody = address(9).to_string();
    assert_eq!(net.user(ALICE).with("PLASMID_CONTRACT", &nobody).run(&["exit", "list"]).code, 3, "no contract there");

    // The folder becomes this deployment's, and is refused to another.
    assert_eq!(alice.run(&["deposit", "1gwei"]).code, 0);
    let other = net.user(0).run(&["deploy", "--json"]).json();
    let elsewhere = net.user(ALICE).with("PLASMID_CONTRACT", other["contract"].as_str().unwrap());
    let refused = elsewhere.run(&["deposit", "1gwei"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stdout.is_empty(), "stdout is for data");
}

#[test]
fn a_deployment_is_what_was_asked_for() {
    let net = Net::start();
    let args = ["deploy", "--min-exit-period", "1000", "--base-fee", "1000000000", "--operator"];
    let operator = address(BOB).to_string();
    let deployed = net.user(0).run(&[&args[..], &[&operator, "--json"]].concat()).json();
    assert_eq!(deployed["operator"], operator);
    assert_eq!((&deployed["minExitPeriod"], &deployed["sunset"]), (&1_000.into(), &8_000.into()));
    assert_eq!(deployed["codeHash"].as_str().unwrap().len(), 66);
    assert!(deployed["exitBond"].is_string() && deployed["deploymentBlock"].is_u64());
    let wei = |field: &str| deployed[field].as_str().unwrap().parse::<u128>().unwrap();
    assert_eq!(wei("operatorBond"), wei("faultSlash") + 4 * wei("receiptSlash"));
    assert_eq!(wei("missingBond"), 3 * ANSWER_MISSING_GAS * 1_000_000_000);
    let slashes = ["deploy", "--fault-slash", "10ether", "--receipt-slash", "1ether", "--json", "--operator-bond"];
    assert_eq!(net.user(0).run(&[&slashes[..], &["10.9ether"]].concat()).code, 2, "one of each at least");
    let deployed = net.user(0).run(&[&slashes[..], &["11ether"]].concat()).json();
    assert_eq!(
        (&deployed["faultSlash"], &deployed["operatorBond"]),
        (&"10000000000000000000".into(), &"11000000000000000000".into())
    );
    assert_eq!(net.user(0).run(&["deploy", "--min-exit-period", "10", "--sunset", "9"]).code, 2);
    assert!(net.user(0).run(&["deploy", "--help"]).stdout.starts_with("Examples:"));
}
