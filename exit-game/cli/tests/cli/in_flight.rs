//! Payments whose inclusion is unknown leave in flight: by an evidence file alone, by the wallet alone, against the will of others.

use std::path::{Path, PathBuf};
use std::slice::from_ref;

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::in_flight::{InFlightData, InputData};
use plasmid_exit_game::output::{ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, PositionKind, TxIndex};
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_harness::anvil::{FUNDED_KEYS, move_time};
use plasmid_harness::world::{World, eventually};
use plasmid_node::wire::evidence::{DepositNonce, EVIDENCE_FORMAT, Evidence, EvidenceCoin, EvidenceTransaction};
use plasmid_node::wire::form::{self, Form as _};
use plasmid_node::wire::{BlockHeads, Coin, CoinState, Inclusion, Status, TransactionAnswer, Verdict};
use plasmid_root_chain::account::Account;
use plasmid_root_chain::bindings::Value as Argument;
use plasmid_root_chain::calls::{self, Spend};
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::deploy::deploy_artifact;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child_chain::commit;
use crate::evidence::{self, Story, is_final_at};
use crate::operator::{StubOperator, placed};
use crate::root_chain::{node, sender};
use crate::sends::{accepting, alice_with_a_coin};
use crate::user::{Net, User, address};

const ALICE: usize = 3;
const BOB: usize = 4;
const CAROL: usize = 5;
const UNIT: u128 = 1_000_000_000_000_000_000;

// ------------------------------------------------------------ what people hold

/// Somebody on a new machine, who knows a node of the root chain and nothing else.
fn stranded(net: &Net, folder: &TempDir, index: usize) -> User {
    let mut user = net.user(index);
    user.environment.retain(|(name, _)| *name != "PLASMID_CONTRACT");
    User { folder: folder.path().join(format!("machine-{index}")), ..user }
}

fn domain(net: &Net) -> Domain {
    Domain { chain_id: 31_337, contract: net.contract.parse().unwrap() }
}

fn root(net: &Net) -> RootChain {
    RootChain::new(node(net), net.contract.parse().unwrap())
}

/// What the contract holds beside the operator's bond.
async fn held(root: &RootChain) -> U256 {
    let bond = root.operator_bond().await.unwrap();
    let all = root.node().balance(ETHER, root.contract()).await.unwrap();
    all - U256::from(bond.fault_part_wei + bond.receipt_part_wei)
}

fn to(index: usize, asset: Address, amount: u128) -> Output {
    Output { owner: address(index), asset, amount }
}

/// Deposits and returns the coin with its proof.
fn deposit(user: &User, args: &[&str]) -> EvidenceCoin {
    let made = user.run(&[&["deposit"], args, &["--json"]].concat()).json();
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    let position = Position::from_bits(text("position").parse().unwrap()).unwrap();
    let PositionKind::Deposit(nonce) = position.kind() else { panic!("not a deposit") };
    let output = Output {
        owner: form::parse(&text("owner")).unwrap(),
        asset: form::parse(&text("asset")).unwrap(),
        amount: text("amount").parse().unwrap(),
    };
    let (id, deposit) = (form::parse(&text("id")).unwrap(), Some(DepositNonce { nonce }));
    EvidenceCoin { id, position, output, deposit, made: None, unspent: None }
}

/// A payment of `inputs`, signed by their owner.
fn pay(net: &Net, index: usize, inputs: &[EvidenceCoin], outputs: Vec<Output>) -> PlacedTransaction {
    let body = Transaction::new(inputs.iter().map(|input| input.id).collect(), outputs, B256::ZERO).unwrap();
    let account = Account::from_hex(FUNDED_KEYS[index]).unwrap();
    let signature = account.sign_digest(body.signing_hash(&domain(net)));
    let placement = sorted(&body, inputs).iter().map(|input| input.position).collect();
    PlacedTransaction { body, witness: Witness { signature, placement } }
}

fn sorted(body: &Transaction, inputs: &[EvidenceCoin]) -> Vec<EvidenceCoin> {
    let find = |id: &OutputId| inputs.iter().find(|input| input.id == *id).unwrap().clone();
    body.inputs().iter().map(find).collect()
}

/// The inclusion of a block's only transaction.
fn included(header: Header, transaction: &PlacedTransaction) -> Inclusion {
    Inclusion {
        header: header.into(),
        index: TxIndex::new(0).unwrap(),
        path: Vec::new(),
        body: transaction.body.encode().into(),
        witness: transaction.witness.encode().into(),
    }
}

/// Output `index` as that inclusion shows it.
fn coin_of(made: &Inclusion, index: u8) -> EvidenceCoin {
    let included = made.verify().unwrap();
    let body = &included.transaction.body;
    EvidenceCoin {
        id: OutputId::of_output(body.hash(), index),
        position: included.place.output(index).unwrap(),
        output: body.outputs()[usize::from(index)],
        deposit: None,
        made: Some(made.clone()),
        unspent: None,
    }
}

/// Writes a file that holds one payment.
async fn write(net: &Net, path: &Path, payment: &PlacedTransaction, inputs: &[EvidenceCoin], made: Option<Inclusion>) {
    let placement = sorted(&payment.body, inputs).iter().map(|input| input.position).collect();
    let witness = Witness { placement, ..payment.witness.clone() };
    let transaction = EvidenceTransaction {
        tx_hash: payment.body.hash(),
        body: payment.body.encode().into(),
        witness: witness.encode().into(),
        made,
        receipt: None,
        inputs: sorted(&payment.body, inputs),
    };
    let evidence = Evidence {
        format: EVIDENCE_FORMAT.to_owned(),
        chain_id: 31_337,
        contract: net.contract.parse().unwrap(),
        exported_at: node(net).head().await.unwrap().at.into(),
        coins: Vec::new(),
        transactions: vec![transaction],
    };
    std::fs::write(path, serde_json::to_vec(&evidence).unwrap()).unwrap();
}

fn refused(user: &User, args: &[&str], code: i32, why: &str) {
    let ran = user.run(args);
    assert_eq!(ran.code, code, "{args:?}: {}", ran.stderr);
    assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{args:?}: stdout is for data");
}

fn wei(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

// --------------------------------------------------------------------- stories

/// Alice has paid bob 0.4 of her ether. Her file holds the payment. Then the operator commits a block with it that it shows to
/// nobody, and is gone.
async fn withheld(folder: &TempDir) -> (Net, String, PathBuf) {
    let (net, operator, alice) = alice_with_a_coin().await;
    operator.set(accepting(&net, 0, 10).await);
    let sent = alice.run(&["send", &address(BOB).to_string(), "0.4ether", "--json"]).json();
    let path = folder.path().join("alice.json");
    let export = ["evidence", "export", path.to_str().unwrap(), "--finality-depth", "0", "--json"];
    let exported = alice.run(&export).json();
    assert_eq!((&exported["coins"], &exported["transactions"]), (&json!(0), &json!(1)), "{exported}");
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let payment = &file["transactions"][0];
    assert!(payment["receipt"].is_object() && payment["made"].is_null(), "{payment}");
    assert_eq!(payment["inputs"][0]["deposit"], json!({ "nonce": 0 }), "a spent deposit");
    let leaf = placed(&operator.submitted()[0], Position::of_deposit(0).unwrap());
    commit(&net, BlockNumber::FIRST, &[leaf]).await;

    let alone = stranded(&net, folder, ALICE).with("PLASMID_CONTRACT", &net.contract);
    let again = alone.run(&export).json();
    let counts = (&again["coins"], &again["transactions"]);
    assert_eq!(counts, (&json!(0), &json!(1)), "exported again by an empty wallet it is still there: {again}");
    (net, sent["txHash"].as_str().unwrap().to_owned(), path)
}

#[tokio::test]
async fn a_payment_in_a_withheld_block_leaves_with_its_file_alone_when_the_operator_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (net, tx, path) = withheld(&folder).await;
    let (tx, file) = (tx.as_str(), path.to_str().unwrap());
    let (alice, bob) = (stranded(&net, &folder, ALICE), stranded(&net, &folder, BOB));
    let carol = net.user(CAROL);
    assert_eq!(alice.run(&["evidence", "check", file, "--json"]).json()["usable"], true);

    let dry = ["exit", "in-flight", tx, "--evidence", file, "--dry-run"];
    let shown = alice.run(&dry).stdout;
    for word in ["exit would start: bond", "gas = ", "first half until", "paid from", "input 0: 1 ether", "next: "] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let would = alice.run(&[&dry[..], &["--json"]].concat()).json();
    assert!(would["gas"].is_u64() && would["transaction"].is_null() && would["warnings"] == json!([]), "{would}");
    assert_eq!(would["pieces"].as_array().unwrap().len(), 3);
    assert!(would["next"].to_string().contains(&address(BOB).to_string()), "bob has to act, too: {would}");
    assert_eq!(carol.run(&["exit", "list", "--json"]).json()["items"], json!([]), "nothing was started");
    let bobs = bob.run(&[&dry[..], &["--json"]].concat()).json();
    assert_eq!(bobs["warnings"].as_array().unwrap().len(), 1, "alice may have signed twice: {bobs}");
    let carols = carol.run(&[&dry[..], &["--json"]].concat()).json();
    assert_eq!(carols["warnings"].as_array().unwrap().len(), 2, "and nothing of it is carol's: {carols}");
    refused(&carol, &["exit", "piggyback", tx], 1, "no in-flight exit");
    refused(&carol, &["exit", "in-flight", tx], 1, "neither wallet, file nor server");

    let started = alice.run(&["exit", "in-flight", tx, "--evidence", file, "--json"]).json();
    assert!(started["transaction"].is_string());
    refused(&alice, &["exit", "in-flight", tx, "--evidence", file], 1, "open already");
    let listed = carol.run(&["exit", "list", "--json"]).only_item();
    assert_eq!(
        (&listed["kind"], &listed["txHash"], &listed["outlook"]),
        (&json!("in-flight"), &json!(tx), &json!("canonical"))
    );
    assert_eq!(listed["key"], started["key"]);
    let spent = listed["pieces"][0]["id"].as_str().unwrap();
    let alice = alice.with("PLASMID_CONTRACT", &net.contract);
    refused(&alice, &["exit", "start", spent], 3, "exits in flight");
    refused(&carol, &["exit", "close", tx], 1, "can be closed from");
    refused(&carol, &["exit", "improve", tx], 1, "no older place");
    refused(&carol, &["exit", "respond", tx], 1, "nothing to answer");
    refused(&carol, &["exit", "piggyback", tx], 1, "has no piece of");
    refused(&carol, &["exit", "challenge", tx], 3, "add --watcher-url");

    let dry = alice.run(&["exit", "piggyback", tx, "--evidence", file, "--dry-run", "--json"]).json();
    let both = json!([{ "side": "input", "index": 0 }, { "side": "output", "index": 1 }]);
    assert_eq!((&dry["claims"][0]["pieces"], &dry["claims"][0]["transaction"]), (&both, &Value::Null));
    let alices = alice.run(&["exit", "piggyback", tx, "--evidence", file, "--json"]).json();
    assert_eq!((&alices["claims"][0]["pieces"], &alices["leftOut"]), (&both, &json!([])));
    let bobs = bob.run(&["exit", "piggyback", tx, "--evidence", file, "--json"]).json();
    assert_eq!(wei(&alices["claims"][0]["bond"]), 2 * wei(&bobs["claims"][0]["bond"]));
    let live = |exit: &Value| exit["pieces"].as_array().unwrap().iter().filter(|piece| piece["live"] == true).count();
    assert_eq!(live(&carol.run(&["exit", "status", tx, "--json"]).json()["exit"]), 3);
    let output = OutputId::of_output(form::parse(tx).unwrap(), 0).write();
    assert_eq!(carol.run(&["exit", "status", &output, "--json"]).json()["inFlight"], json!([tx]));
    refused(&alice, &["exit", "piggyback", tx, "--evidence", file], 1, "has no piece of");

    move_time(node(&net).rpc(), 400).await;
    refused(&bob, &["exit", "piggyback", tx, "--evidence", file], 1, "the first half");
    refused(&carol, &["exit", "close", tx], 1, "wait for their turn");
    assert_eq!(carol.run(&["exit", "process", "--json"]).json()["items"], json!([]), "not its time yet");
    move_time(node(&net).rpc(), 300).await;
    let paid = |ran: Value| {
        let items = ran["items"].as_array().unwrap().clone();
        assert!(items.iter().all(|item| item["inFlight"] == json!(tx) && item["credited"] == false), "{items:?}");
        let mut paid: Vec<_> =
            items.iter().map(|item| (item["payee"].clone().to_string(), wei(&item["paid"]))).collect();
        paid.sort();
        paid
    };
    let quoted = |index: usize| json!(address(index).to_string()).to_string();
    let mut due = vec![(quoted(ALICE), 0), (quoted(ALICE), UNIT / 10 * 6), (quoted(BOB), UNIT / 10 * 4)];
    due.sort();
    assert_eq!(paid(carol.run(&["exit", "process", "--dry-run", "--json"]).json()), due);
    let before = node(&net).balance(ETHER, address(BOB)).await.unwrap();
    let processed = carol.run(&["exit", "process", "--json"]);
    assert!(processed.stderr.contains("is decided: canonical"), "{}", processed.stderr);
    assert_eq!(paid(processed.json()), due);
    let returned = wei(&bobs["claims"][0]["bond"]) - wei(&bobs["claims"][0]["bounty"]);
    let gained = node(&net).balance(ETHER, address(BOB)).await.unwrap() - before;
    assert_eq!(gained, U256::from(UNIT / 10 * 4 + returned));

    let closed = carol.run(&["exit", "close", tx, "--json"]).json();
    assert_eq!(closed["bonds"], json!([{ "to": address(ALICE).to_string(), "amount": started["bond"] }]));
    assert_eq!(carol.run(&["exit", "list", "--json"]).json()["items"], json!([]));
    assert_eq!(held(&root(&net)).await, U256::ZERO, "nothing is left behind");
    refused(&carol, &["exit", "close", tx], 1, "no in-flight exit");
    refused(&alice, &["exit", "in-flight", tx, "--evidence", file], 1, "nothing would be paid");
    assert_eq!(carol.run(&["exit", "status", &output, "--json"]).json()["state"], "settled");
}

/// Real services, but the watcher asks one that has no bodies: to it every block is withheld. What stands in one is final and
/// may yet be lost; in flight it leaves ahead of all that the block might have minted.
#[tokio::test]
async fn what_a_withheld_block_paid_leaves_in_flight_ahead_of_the_block() {
    let mut world = World::bare().await;
    world.start_operator();
    let nothing = Coin {
        id: OutputId(B256::ZERO),
        position: Position::of_deposit(0).unwrap(),
        output: to(ALICE, ETHER, UNIT),
        state: CoinState::Pending,
        spender: None,
    };
    let without_bodies = StubOperator::start(world.domain(), nothing);
    world.start_watcher(&without_bodies.url);
    let mut story = Story::of(world);
    let people = story.world.people.clone();
    let (alice, bob) = (story.served(&people.alice), story.served(&people.bob));
    evidence::deposit(&alice, "4ether");
    let sent = alice.run(&["send", &people.bob.address().to_string(), "1ether", "--json"]).json();
    let (tx, id) = (sent["txHash"].as_str().unwrap(), sent["outputs"][0].as_str().unwrap());
    is_final_at(&story.world.operator(), id).await;
    let [alices, bobs] = ["alice.json", "bob.json"].map(|name| story.path(name));
    for (user, path) in [(&alice, &alices), (&bob, &bobs)] {
        let exported = evidence::export(user, path, &[]).json();
        assert_eq!(
            (&exported["coins"], &exported["transactions"]),
            (&json!(1), &json!(1)),
            "final, not valid: {exported}"
        );
    }
    move_time(story.world.root.node().rpc(), 30).await;
    let block = BlockNumber::new(sent["receipt"]["number"].as_u64().unwrap()).unwrap();
    eventually("the grace time of the payment's block is over", || async {
        let block = story.world.watcher().block(block).await.ok()?;
        (block.verdict == Verdict::Withheld).then_some(())
    })
    .await;
    let next = bob.run(&["coin", id, "--json"]).json()["next"].to_string();
    assert!(next.contains(&format!("plasmid exit in-flight {tx}")), "{next}");
    story.world.kill_operator();
    story.world.kill_watcher();

    let (alice, bob) = (story.stranded(&people.alice, "new-alice"), story.stranded(&people.bob, "new-bob"));
    let [alices, bobs] = [&alices, &bobs].map(|path| path.to_str().unwrap());
    let alone = bob.run(&["exit", "start", "--evidence", bobs, "--dry-run", "--json"]).only_item();
    let started = bob.run(&["exit", "in-flight", tx, "--evidence", bobs, "--json"]).json();
    let (in_flight, standard) = (started["key"].as_u64().unwrap(), alone["key"].as_u64().unwrap());
    assert!(in_flight + 300 < standard, "{in_flight} is not before {standard}");
    assert_eq!(started["warnings"].as_array().unwrap().len(), 1, "the payment is alice's: {started}");
    for (user, file, pieces) in [(&bob, bobs, 1), (&alice, alices, 2)] {
        let claimed = user.run(&["exit", "piggyback", tx, "--evidence", file, "--json"]).json();
        assert_eq!(claimed["claims"][0]["pieces"].as_array().unwrap().len(), pieces, "{claimed}");
    }
    let carol = story.stranded(&people.carol, "carol");
    let carol = carol.with("PLASMID_CONTRACT", &story.world.deployment.contract.to_string());
    move_time(story.world.root.node().rpc(), 700).await;
    assert_eq!(carol.run(&["exit", "process", "--json"]).json()["items"].as_array().unwrap().len(), 3);
    assert_eq!(
        bob.run(&["exit", "close", tx, "--evidence", bobs, "--json"]).json()["bonds"][0]["amount"],
        started["bond"]
    );
    assert_eq!(held(&story.world.root).await, U256::ZERO, "all is paid, all bonds are back");
    let again = bob.run(&["exit", "start", "--evidence", bobs, "--json"]);
    assert_eq!(again.json()["items"], json!([]), "his coin has left: {}", again.stderr);
}

#[tokio::test]
async fn an_output_that_was_signed_away_is_claimed_only_when_that_is_safe() {
    let (net, operator, alice) = alice_with_a_coin().await;
    operator.set(accepting(&net, 0, 30).await);
    let sent = alice.run(&["send", &address(BOB).to_string(), "0.4ether", "--json"]).json();
    let tx = sent["txHash"].as_str().unwrap();
    let place = Place { block: BlockNumber::FIRST, index: TxIndex::new(0).unwrap() };
    operator.know(Coin {
        id: form::parse(sent["outputs"][1].as_str().unwrap()).unwrap(),
        position: place.output(1).unwrap(),
        output: to(ALICE, ETHER, UNIT / 10 * 6),
        state: CoinState::Accepted,
        spender: None,
    });
    assert_eq!(alice.run(&["send", &address(CAROL).to_string(), "0.6ether"]).code, 0);

    // The wallet has the payment, the root chain its deposit: no operator is asked.
    let alice = net.user(ALICE);
    assert_eq!(alice.run(&["exit", "in-flight", tx, "--json"]).json()["warnings"], json!([]));
    let claimed = alice.run(&["exit", "piggyback", tx, "--json"]).json();
    assert_eq!(claimed["claims"][0]["pieces"], json!([{ "side": "input", "index": 0 }]));
    assert_eq!((&claimed["leftOut"][0]["side"], &claimed["leftOut"][0]["index"]), (&json!("output"), &json!(1)));
    refused(&alice, &["exit", "piggyback", tx], 3, "try again after");
    // F + grace is 96 s.
    move_time(node(&net).rpc(), 100).await;
    refused(&alice, &["exit", "piggyback", tx], 3, "no watcher says");
    let risked = alice.run(&["exit", "piggyback", tx, "--risk-bond", "--json"]).json();
    assert_eq!(risked["claims"][0]["pieces"], json!([{ "side": "output", "index": 1 }]));
}

#[tokio::test]
async fn all_own_pieces_of_all_assets_are_claimed_with_one_call_each() {
    let (net, folder) = (Net::start(), tempfile::tempdir().unwrap());
    let alice = net.user(ALICE);
    let minter = sender(&net, ALICE).await;
    let artifact = include_str!("../../../../contracts/artifacts/testing/HostileToken.json");
    let (token, _) = deploy_artifact(&minter, artifact, &[]).await.unwrap();
    let mint: [Argument; 2] = [address(ALICE).into(), 1_000u64.into()];
    minter.send(&calls::call(token, "mint(address,uint256)", &mint).unwrap()).await.unwrap();
    let asset = token.to_string();
    let coins = [deposit(&alice, &["1ether"]), deposit(&alice, &["1000", "--asset", &asset])];
    let outputs = vec![to(ALICE, ETHER, UNIT), to(BOB, token, 400), to(ALICE, token, 600)];
    let payment = pay(&net, ALICE, &coins, outputs);
    let (tx, path) = (payment.body.hash().write(), folder.path().join("alice.json"));
    write(&net, &path, &payment, &coins, None).await;

    let alice = stranded(&net, &folder, ALICE);
    let on = |command: &'static str| {
        ["exit", command, &tx, "--evidence", path.to_str().unwrap(), "--json"].map(str::to_owned)
    };
    let run = |user: &User, command| user.run(&on(command).each_ref().map(String::as_str)).json();
    run(&alice, "in-flight");
    let claimed = run(&alice, "piggyback");
    let claims = claimed["claims"].as_array().unwrap();
    let by_asset: Vec<_> = claims.iter().map(|claim| claim["pieces"].as_array().unwrap().len()).collect();
    assert_eq!((by_asset, claims[0]["asset"] != claims[1]["asset"]), (vec![2, 2], true), "{claimed}");
    run(&stranded(&net, &folder, BOB), "piggyback");

    move_time(node(&net).rpc(), 700).await;
    let carol = net.user(CAROL);
    assert_eq!(
        carol.run(&["exit", "process", "--asset", &asset, "--json"]).json()["items"].as_array().unwrap().len(),
        3
    );
    let rest = carol.run(&["exit", "process", "--json"]).json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 2, "{rest}");
    assert_eq!(node(&net).balance(token, address(BOB)).await.unwrap(), U256::from(400));
    assert_eq!(node(&net).balance(token, address(ALICE)).await.unwrap(), U256::from(600));
    run(&alice, "close");
    assert_eq!(held(&root(&net)).await, U256::ZERO);
}

#[tokio::test]
async fn an_exit_squatted_with_a_younger_place_is_improved() {
    let (net, folder) = (Net::start(), tempfile::tempdir().unwrap());
    let coin = deposit(&net.user(ALICE), &["1ether"]);
    let parent = pay(&net, ALICE, &[coin], vec![to(ALICE, ETHER, UNIT)]);
    let old = coin_of(&included(commit(&net, BlockNumber::FIRST, from_ref(&parent)).await, &parent), 0);
    move_time(node(&net).rpc(), 50).await;
    let second = BlockNumber::new(2).unwrap();
    let young = coin_of(&included(commit(&net, second, from_ref(&parent)).await, &parent), 0);
    let child = pay(&net, ALICE, from_ref(&old), vec![to(BOB, ETHER, UNIT)]);
    let tx = child.body.hash().write();
    let (alices, mallorys) = (folder.path().join("alice.json"), folder.path().join("mallory.json"));
    write(&net, &alices, &child, from_ref(&old), None).await;
    write(&net, &mallorys, &child, &[young], None).await;

    let on = |command: &'static str, path: &Path| {
        ["exit", command, &tx, "--evidence", path.to_str().unwrap(), "--json"].map(str::to_owned)
    };
    let run = |user: &User, args: [String; 6]| user.run(&args.each_ref().map(String::as_str));
    let (alice, bob, carol) = (net.user(ALICE), net.user(BOB), net.user(CAROL));
    let squatted = run(&carol, on("in-flight", &mallorys)).json();
    assert_eq!(run(&alice, on("piggyback", &alices)).code, 0);
    assert_eq!(run(&bob, on("piggyback", &alices)).code, 0);
    let late = squatted["key"].as_u64().unwrap();
    let improved = run(&alice, on("improve", &alices)).json();
    let early = improved["key"].as_u64().unwrap();
    assert_eq!(improved["formerKey"], squatted["key"]);
    assert!(early + 50 <= late, "{early} is not before {late}");
    assert_eq!(improved["improvements"][0]["to"], json!(old.position.to_string()));
    assert_eq!(alice.run(&["exit", "status", &tx, "--json"]).json()["exit"]["key"], json!(early));
    let keys = root(&net).exit_keys(ETHER, 0, 10).await.unwrap();
    let counted: Vec<_> = keys.iter().filter(|key| key.count != 0).map(|key| (key.key, key.count)).collect();
    assert_eq!(counted, [(early, 2)], "live pieces are counted over");
    let again = run(&alice, on("improve", &alices));
    assert_eq!((again.code, again.stderr.contains("no older place")), (1, true), "{}", again.stderr);
}

#[tokio::test]
async fn a_wrong_competitor_is_answered_by_the_block_that_holds_the_payment() {
    let (net, folder) = (Net::start(), tempfile::tempdir().unwrap());
    let coin = deposit(&net.user(ALICE), &["1ether"]);
    let payment = pay(&net, ALICE, from_ref(&coin), vec![to(BOB, ETHER, UNIT)]);
    let other = pay(&net, ALICE, from_ref(&coin), vec![to(CAROL, ETHER, UNIT)]);
    let made = included(commit(&net, BlockNumber::FIRST, from_ref(&payment)).await, &payment);
    let (tx, path) = (payment.body.hash().write(), folder.path().join("bob.json"));
    write(&net, &path, &payment, from_ref(&coin), Some(made)).await;
    let bob = stranded(&net, &folder, BOB);
    let respond = ["exit", "respond", &tx, "--evidence", path.to_str().unwrap(), "--json"];
    let started = bob.run(&["exit", "in-flight", &tx, "--evidence", path.to_str().unwrap(), "--json"]).json();
    refused(&bob, &respond, 1, "nothing to answer");

    let input = InputData { output_id: coin.id, position: coin.position, created_at: 0, asset: ETHER, amount: UNIT };
    let data = InFlightData { starter: address(BOB), owner: address(ALICE), inputs: vec![input] };
    let competitor = Spend { transaction: other.into(), inclusion: None };
    let bond = wei(&started["bond"]);
    let challenge = root(&net).challenge_not_canonical(payment.body.hash(), &data, 0, &competitor, bond);
    sender(&net, CAROL).await.send(&challenge).await.unwrap();
    let status = net.user(CAROL).run(&["exit", "status", &tx, "--json"]).json()["exit"].clone();
    assert_eq!((&status["oldest"], &status["outlook"]), (&json!("competitor"), &json!("non-canonical")));
    assert!(status["next"].to_string().contains("plasmid exit respond"), "{status}");
    refused(&net.user(CAROL), &["exit", "respond", &tx], 1, "no block that holds");

    let dry = bob.run(&[&respond[..], &["--dry-run"]].concat()).json();
    assert_eq!((wei(&dry["reward"]), &dry["transaction"]), (bond, &Value::Null));
    assert!(bob.run(&respond).json()["transaction"].is_string());
    let status = net.user(CAROL).run(&["exit", "status", &tx, "--json"]).json()["exit"].clone();
    assert_eq!((&status["oldest"], &status["outlook"]), (&json!("own"), &json!("canonical")));
    assert!(status["challenger"].is_null());
    refused(&bob, &respond, 1, "nothing to answer");
}

/// A watcher that knows of one payment, in block 1, and found that valid.
fn watcher(net: &Net, coin: &EvidenceCoin, payment: &PlacedTransaction, made: &Inclusion) -> StubOperator {
    let tx_hash = payment.body.hash();
    let (state, spender) = (CoinState::Spent, Some(tx_hash));
    let spent = Coin { id: coin.id, position: coin.position, output: coin.output, state, spender };
    let watcher = StubOperator::start(domain(net), spent);
    let first = BlockNumber::FIRST;
    let heads = BlockHeads { accepted: first, closed: first, committed: first, final_: first, verified: first };
    let status = Status {
        chain_id: 31_337,
        contract: net.contract.parse().unwrap(),
        deployment_block: 1,
        root: None,
        block: heads,
        synced: true,
        halted: false,
        closed: false,
        alarms: 0,
        uncommitted: 0,
    };
    watcher.answer("/v1/status".to_owned(), &status);
    watcher.answer(format!("/v1/outputs/{}", coin.id), &spent);
    let place = Place { block: first, index: TxIndex::new(0).unwrap() };
    let answer = TransactionAnswer {
        tx_hash,
        body: payment.body.encode().into(),
        signature: payment.witness.signature,
        placement: payment.witness.encode()[64..].to_vec().into(),
        place: place.first_output(),
        state: CoinState::Final,
        receipt: None,
    };
    watcher.answer(format!("/v1/transactions/{tx_hash}"), &answer);
    watcher.answer(format!("/v1/outputs/{}/inclusion", OutputId::of_output(tx_hash, 0)), made);
    watcher
}

#[tokio::test]
async fn whoever_exits_a_payment_over_coins_that_are_spent_loses_bonds() {
    let (net, folder) = (Net::start(), tempfile::tempdir().unwrap());
    let coin = deposit(&net.user(ALICE), &["1ether"]);
    let payment = pay(&net, ALICE, from_ref(&coin), vec![to(BOB, ETHER, UNIT)]);
    let made = included(commit(&net, BlockNumber::FIRST, from_ref(&payment)).await, &payment);
    let theft = pay(&net, ALICE, from_ref(&coin), vec![to(ALICE, ETHER, UNIT)]);
    let (tx, path) = (theft.body.hash().write(), folder.path().join("alice.json"));
    write(&net, &path, &theft, from_ref(&coin), None).await;
    let watcher = watcher(&net, &coin, &payment, &made);

    let alice = stranded(&net, &folder, ALICE).with("PLASMID_WATCHER_URL", &watcher.url);
    let on = |command: &'static str| ["exit", command, tx.as_str(), "--evidence", path.to_str().unwrap()];
    refused(&alice, &on("in-flight"), 3, "whoever shows that takes the bond");
    let risked = alice.run(&[&on("in-flight")[..], &["--risk-bond", "--json"]].concat()).json();
    assert_eq!(risked["warnings"].as_array().unwrap().len(), 1, "{risked}");
    let output = alice.run(&[&on("piggyback")[..], &["--json"]].concat()).json();
    assert_eq!(output["leftOut"][0]["side"], "input", "{output}");
    refused(&alice, &on("piggyback"), 3, "whoever shows that takes the bond");
    assert_eq!(alice.run(&[&on("piggyback")[..], &["--risk-bond"]].concat()).code, 0);

    let carol = net.user(CAROL).with("PLASMID_WATCHER_URL", &watcher.url);
    let dry = carol.run(&["exit", "challenge", &tx, "--dry-run", "--json"]).json();
    assert_eq!(dry["items"].as_array().unwrap().len(), 2, "{dry}");
    assert!(dry["items"][0]["transaction"].is_null());
    let shown = carol.run(&["exit", "challenge", &tx, "--json"]).json();
    let spenders: Vec<_> = shown["items"].as_array().unwrap().iter().map(|item| &item["spender"]).collect();
    let spender = json!(payment.body.hash().write());
    assert_eq!(spenders, [&spender, &spender]);
    refused(&carol, &["exit", "challenge", &tx], 1, "it stands");

    // Her output is still claimed, and is not what a non-canonical exit pays.
    move_time(node(&net).rpc(), 700).await;
    let returned = carol.run(&["exit", "process", "--json"]).only_item();
    assert_eq!((wei(&returned["paid"]), &returned["payee"]), (0, &json!(address(ALICE).to_string())));
    let closed = carol.run(&["exit", "close", &tx, "--json"]).json();
    let bond = json!({ "to": address(CAROL).to_string(), "amount": risked["bond"] });
    assert_eq!(closed["bonds"], json!([bond, bond]));
    assert_eq!(held(&root(&net)).await, U256::from(UNIT), "the coin alone");
}

#[test]
fn the_help_of_each_command_begins_with_examples() {
    let net = Net::start();
    let user = net.user(ALICE);
    for command in ["in-flight", "improve", "piggyback", "respond", "close", "challenge", "status", "process"] {
        let help = user.run(&["exit", command, "--help"]);
        assert!(help.stdout.starts_with("Examples:\n  plasmid exit "), "{command}: {}", help.stdout);
        assert_ne!(user.run(&["exit", command, "0x12"]).code, 0, "{command}");
    }
    for command in ["in-flight", "improve", "piggyback", "respond", "close"] {
        let help = user.run(&["exit", command, "--help"]).stdout;
        assert!(["--dry-run", "--json", "--evidence"].iter().all(|option| help.contains(option)), "{help}");
        assert_eq!(user.run(&["exit", command]).code, 2, "{command} needs a payment");
        refused(&user, &["exit", command, &TxHash(B256::repeat_byte(9)).write()], 1, "0x0909");
    }
}
