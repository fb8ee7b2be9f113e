//! Leaving with one file: exported while operator and watcher were there, used when they are gone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use alloy_primitives::U256;
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_harness::anvil::{mine_blocks, move_time, reorganise};
use plasmid_harness::people::Person;
use plasmid_harness::world::{ETHER_UNIT, World, eventually};
use plasmid_node::client::Client;
use plasmid_node::wire::CoinState;
use plasmid_node::wire::form;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::user::{Ran, User};

/// A world, and a folder for what its people keep on their own machines.
pub(crate) struct Story {
    pub(crate) world: World,
    folder: TempDir,
}

impl Story {
    async fn start() -> Self {
        Self::of(World::honest().await)
    }

    pub(crate) fn of(world: World) -> Self {
        Self { world, folder: tempfile::tempdir().unwrap() }
    }

    /// Somebody on a machine of that name, who knows a node of the root chain and nothing else.
    pub(crate) fn stranded(&self, person: &Person, machine: &str) -> User {
        let environment = vec![
            ("PLASMID_L1_URL", self.world.anvil.url().to_owned()),
            ("PLASMID_UNSAFE_PRIVATE_KEY", person.key.to_owned()),
        ];
        User { folder: self.folder.path().join(machine), environment }
    }

    pub(crate) fn served(&self, person: &Person) -> User {
        self.stranded(person, person.name)
            .with("PLASMID_CONTRACT", &self.world.deployment.contract.to_string())
            .with("PLASMID_OPERATOR_URL", self.world.operator().url())
            .with("PLASMID_WATCHER_URL", self.world.watcher().url())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until a coin's block is at finality depth, as operator and watcher see it.
    async fn is_final(&self, id: &str) {
        for server in [self.world.operator(), self.world.watcher()] {
            is_final_at(&server, id).await;
        }
    }
}

/// Waits until a coin's block is at finality depth, as a server sees it.
pub(crate) async fn is_final_at(server: &Client, id: &str) {
    let id: OutputId = form::parse(id).unwrap();
    eventually("the coin is final", || async {
        let coin = server.coin(id).await.ok()?;
        (coin.state == CoinState::Final).then_some(())
    })
    .await;
}

pub(crate) fn deposit(user: &User, amount: &str) -> String {
    user.run(&["deposit", amount, "--wait", "--json"]).json()["id"].as_str().unwrap().to_owned()
}

/// Pays and returns the coins made, once their block is committed.
pub(crate) async fn pay(story: &Story, payer: &User, to: &Person, amount: &str) -> Vec<String> {
    story.world.settled().await;
    let sent = payer.run(&["send", &to.address().to_string(), amount, "--json"]).json();
    story.world.settled().await;
    sent["outputs"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn export(user: &User, path: &Path, options: &[&str]) -> Ran {
    user.run(&[&["evidence", "export", path.to_str().unwrap(), "--json"], options].concat())
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Returns the body of what a server answers.
fn get(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_coin_leaves_with_its_file_alone_when_operator_and_watcher_are_gone() {
    let mut story = Story::start().await;
    let people = story.world.people.clone();
    let (alice, bob) = (story.served(&people.alice), story.served(&people.bob));
    deposit(&alice, "4ether");
    let id = pay(&story, &alice, &people.bob, "1ether").await.remove(0);
    let path = story.path("bob.json");
    let file = path.to_str().unwrap();

    // Deeper than the root chain is: nothing is final, and the file says so by holding none of it.
    let early = export(&bob, &path, &["--finality-depth", "1000000"]);
    let report = early.json();
    assert_eq!((&report["coins"], &report["leftOut"][0]["id"]), (&json!(0), &json!(id)), "{report}");
    assert!(early.stderr.contains("not at finality depth"), "{}", early.stderr);
    story.is_final(&id).await;
    let exported = export(&bob, &path, &[]).json();
    assert_eq!((&exported["coins"], &exported["leftOut"]), (&json!(1), &json!([])), "{exported}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let coin = read(&path)["coins"][0].clone();
    assert_eq!(coin["id"], json!(id));
    assert!(coin["made"].is_object() && coin["unspent"].is_object() && coin["deposit"].is_null(), "{coin}");
    assert_eq!(bob.run(&["evidence", "export", "--json"]).json()["coins"][0]["id"], json!(id), "or on standard output");
    assert_eq!(export(&bob, &path, &[]).json()["coins"], 1, "as often as one likes");
    let refused = export(&alice, &path, &[]);
    assert_eq!(refused.code, 3, "bob's file is not alice's to write over: {}", refused.stderr);

    let watchers = story.path("watchers.json");
    fs::write(&watchers, get(story.world.watcher().url(), &format!("/v1/evidence/{id}"))).unwrap();
    let stranded = story.stranded(&people.bob, "another-machine");
    reorganise(story.world.root.node().rpc(), 2).await;
    for file in [file, watchers.to_str().unwrap()] {
        let checked = stranded.run(&["evidence", "check", file]);
        assert_eq!(checked.code, 0, "a reorganisation that changes nothing final stales nothing: {}", checked.stderr);
    }

    story.world.kill_operator();
    story.world.kill_watcher();
    assert_eq!(export(&bob, &path, &[]).code, 5, "who names servers wants to hear of them");
    let alone = stranded.with("PLASMID_CONTRACT", &story.world.deployment.contract.to_string());
    assert_eq!(export(&alone, &path, &[]).json()["coins"], 1, "an empty wallet loses nothing that the file has");
    assert!(read(&path)["coins"][0]["unspent"].is_object());
    for program in ["plasmid-operator", "plasmid-watcher"] {
        fs::remove_dir_all(story.world.data_dir(program)).unwrap();
    }
    fs::remove_dir_all(&bob.folder).unwrap();
    let bob = story.stranded(&people.bob, "another-machine");
    assert_eq!(bob.run(&["evidence", "check", file, "--json"]).json()["coins"][0]["state"], "ready");
    assert_eq!(story.stranded(&people.alice, "alice").run(&["exit", "start", "--evidence", file]).code, 1, "not hers");

    let dry = bob.run(&["exit", "start", "--evidence", file, "--dry-run", "--json"]).only_item();
    assert_eq!((&dry["id"], &dry["transaction"]), (&json!(id), &Value::Null));
    assert!(dry["bond"].is_string() && dry["gas"].is_u64() && dry["key"].is_u64(), "{dry}");
    let started = bob.run(&["exit", "start", &id, "--evidence", file, "--json"]).only_item();
    assert!(started["transaction"].is_string());
    assert_eq!(bob.run(&["evidence", "check", file, "--json"]).json()["coins"][0]["state"], "exiting");
    assert_eq!(bob.run(&["exit", "start", &id, "--evidence", file]).code, 1, "twice is once too often");
    let none = bob.run(&["exit", "start", "--evidence", file, "--json"]);
    assert_eq!(none.json()["items"], json!([]), "nothing is left to start");
    assert!(none.stderr.contains("is exiting already"), "{}", none.stderr);

    let contract = story.world.deployment.contract.to_string();
    let bob = bob.with("PLASMID_CONTRACT", &contract);
    assert_eq!(bob.run(&["exit", "list", "--json"]).only_item()["id"], json!(id));
    assert_eq!(bob.run(&["exit", "status", &id, "--json"]).json()["state"], "pending");
    let carol = story.stranded(&people.carol, "carol").with("PLASMID_CONTRACT", &contract);
    assert_eq!(carol.run(&["exit", "process", "--json"]).json()["items"], json!([]), "not its time yet");
    let before = story.world.balance(ETHER, people.bob.address()).await;
    // Twice the minimum exit period after the coin was made, or once after the start, rounded up.
    move_time(story.world.root.node().rpc(), 1_300).await;
    let processed = carol.run(&["exit", "process", "--json"]).only_item();
    assert_eq!((&processed["id"], &processed["paid"]), (&json!(id), &json!(ETHER_UNIT.to_string())));
    let bonds = story.world.deployment.bonds;
    let gained = story.world.balance(ETHER, people.bob.address()).await - before;
    assert_eq!(gained, U256::from(ETHER_UNIT + bonds.exit_bond_wei - bonds.exit_bounty_wei));
    assert_eq!(bob.run(&["exit", "status", &id, "--json"]).json()["state"], "settled");
    assert_eq!(bob.run(&["evidence", "check", file, "--json"]).json()["coins"][0]["state"], "exited");
    assert_eq!(bob.run(&["exit", "claim", "--json"]).json()["items"], json!([]));
}

/// Writes `file`, checks it, and returns what the check said.
fn check(user: &User, path: &Path, file: &Value, options: &[&str]) -> Ran {
    fs::write(path, serde_json::to_vec(file).unwrap()).unwrap();
    let ran = user.run(&[&["evidence", "check", path.to_str().unwrap()], options].concat());
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

/// Returns the paths of all values in a JSON document that are neither objects nor arrays.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| leaves(item, &format!("{at}/{index}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

/// Returns another value of the same form.
fn other(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        // An address: small letters alone need no checksum.
        Value::String(text) if text.len() == 42 => json!(swap_last_digit(&text.to_lowercase())),
        Value::String(text) if text.starts_with("0x") => json!(swap_last_digit(text)),
        Value::String(text) => json!((text.parse::<u128>().unwrap() + 16).to_string()),
        _ => json!({}),
    }
}

fn swap_last_digit(text: &str) -> String {
    let (start, last) = text.split_at(text.len() - 1);
    format!("{start}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn a_file_with_any_field_changed_is_refused() {
    let story = Story::start().await;
    let people = story.world.people.clone();
    let alice = story.served(&people.alice);
    deposit(&alice, "2ether");
    // Between the two lies what is final at the first export: the deposit is, the payment is not.
    mine_blocks(story.world.root.node().rpc(), 60).await;
    let change = pay(&story, &alice, &people.bob, "0.5ether").await.remove(1);
    let path = story.path("alice.json");
    let early = export(&alice, &path, &["--finality-depth", "40"]).json();
    assert_eq!((&early["coins"], &early["transactions"]), (&json!(0), &json!(1)), "{early}");
    let transactions = read(&path)["transactions"].clone();
    assert!(transactions[0]["receipt"].is_object() && transactions[0]["made"].is_object());
    let bobs = export(&story.served(&people.bob), &story.path("bob.json"), &["--finality-depth", "40"]).json();
    assert_eq!(bobs["transactions"], 1, "whoever is paid may have to exit the payment too: {bobs}");

    let second = deposit(&alice, "0.1ether");
    story.is_final(&change).await;
    story.is_final(&second).await;
    let late = export(&alice, &path, &[]).json();
    assert_eq!((&late["coins"], &late["transactions"]), (&json!(2), &json!(0)), "all is final: {late}");
    let mut file = read(&path);
    file["transactions"] = transactions;
    let whole = check(&alice, &path, &file, &["--json"]).json();
    assert_eq!((&whole["usable"], &whole["coins"][0]["state"]), (&json!(true), &json!("ready")), "{whole}");
    assert_eq!(check(&alice, &path, &file, &["--offline"]).code, 0);

    // Another value of the right form: what names the chain is another chain's, all else is broken and named.
    let mut found = Vec::new();
    leaves(&file, "", &mut found);
    assert!(found.len() > 60, "{found:?}");
    let mut by_code = std::collections::BTreeMap::<i32, usize>::new();
    for at in &found {
        let mut changed = file.clone();
        let value = changed.pointer_mut(at).unwrap();
        *value = if at == "/format" { json!("plasmid-evidence/2") } else { other(value) };
        let ran = check(&alice, &path, &changed, &[]);
        let names_chain = ["/chainId", "/contract"].contains(&at.as_str()) || at.starts_with("/exportedAt");
        assert_eq!(ran.code, if names_chain { 3 } else { 1 }, "{at}: {}", ran.stderr);
        let entry = at.strip_prefix("/coins/").or(at.strip_prefix("/transactions/"));
        if let (1, Some(_)) = (ran.code, entry) {
            assert!(ran.stderr.contains("coin 0x") || ran.stderr.contains("transaction 0x"), "{at}: {}", ran.stderr);
        }
        *by_code.entry(ran.code).or_default() += 1;
    }
    // Another form: a field too few or too many, digits too few or too many.
    for at in &found {
        let (parent, name) = at.rsplit_once('/').unwrap();
        let mut forms = vec![json!(true)];
        if let Some(text) = file.pointer(at).unwrap().as_str() {
            let cut = text[..text.len() - 1].to_owned();
            forms.extend([
                json!(cut),
                json!(format!("{text}00g")),
                json!(text.trim_start_matches("0x")),
                json!(format!(" {text}")),
            ]);
            forms.retain(|form| form.as_str() != Some(text));
        }
        for form in forms {
            let mut changed = file.clone();
            *changed.pointer_mut(at).unwrap() = form.clone();
            let ran = check(&alice, &path, &changed, &["--offline"]);
            assert_eq!(ran.code, 1, "{at} = {form}: {}", ran.stderr);
        }
        let mut changed = file.clone();
        if let Some(fields) = changed.pointer_mut(parent).unwrap().as_object_mut() {
            let value = fields.remove(name).unwrap();
            assert_eq!(check(&alice, &path, &changed, &["--offline"]).code, 1, "{at} is missing");
            let fields = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            fields.insert(name.to_owned(), value);
            fields.insert("extra".to_owned(), json!(1));
            assert_eq!(check(&alice, &path, &changed, &["--offline"]).code, 1, "{parent} has a field too many");
        }
    }
    println!("{} fields changed, exit codes {by_code:?}", found.len());

    refused_otherwise(&story, &alice, &path, &file);
}

/// What no single field shows, and what `exit start` makes of it.
fn refused_otherwise(story: &Story, alice: &User, path: &Path, file: &Value) {
    let refused = |change: &dyn Fn(&mut Value), code: i32, why: &str| {
        let mut changed = file.clone();
        change(&mut changed);
        let ran = check(alice, path, &changed, &[]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
        let exit = alice.run(&["exit", "start", "--evidence", path.to_str().unwrap(), "--dry-run"]);
        assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
        (exit.code, exit.stderr)
    };
    let made = file["coins"].as_array().unwrap().iter().position(|coin| coin["made"].is_object()).unwrap();
    let twice = |file: &mut Value| {
        let coin = file["coins"][0].clone();
        file["coins"].as_array_mut().unwrap().push(coin);
    };
    refused(&twice, 1, "listed twice");
    let other_header = |file: &mut Value| file["coins"][made]["made"]["header"]["timestamp"] = json!(1);
    assert_eq!(refused(&other_header, 1, "has another block").0, 1);
    let no_block = |file: &mut Value| {
        for number in ["/unspent/block", "/unspent/header/number"] {
            *file["coins"][made].pointer_mut(number).unwrap() = json!(1_000_000);
        }
    };
    assert_eq!(refused(&no_block, 1, "has no block 1000000").0, 1);
    let long_path = |file: &mut Value| {
        let leaf = json!(format!("0x{}", "11".repeat(32)));
        file["coins"][made]["made"]["path"].as_array_mut().unwrap().push(leaf);
    };
    assert_eq!(refused(&long_path, 1, "the path does not lead").0, 1);
    let both = |file: &mut Value| file["coins"][made]["deposit"] = json!({ "nonce": 0 });
    assert_eq!(refused(&both, 1, "and not both").0, 1);
    assert_eq!(refused(&|file| file["chainId"] = json!(1), 3, "root chain 1").0, 3);
    let elsewhere = |file: &mut Value| file["contract"] = json!("0x00000000000000000000000000000000000000aa");
    assert_eq!(refused(&elsewhere, 3, "of contract").0, 3);
    let (code, said) =
        refused(&|file| file["exportedAt"]["hash"] = json!(format!("0x{}", "22".repeat(32))), 3, "exported at");
    assert_eq!(code, 0, "each coin proves itself: {said}");

    fs::write(path, serde_json::to_vec(file).unwrap()).unwrap();
    let check = ["evidence", "check", path.to_str().unwrap()];
    let without_node = story.stranded(&story.world.people.alice, "alice").with("PLASMID_L1_URL", "http://127.0.0.1:1");
    assert_eq!(without_node.run(&check).code, 5);
    assert_eq!(without_node.run(&[&check[..], &["--offline"]].concat()).code, 0);
    assert_eq!(story.stranded(&story.world.people.alice, "alice").run(&check).code, 0, "the file names the contract");
    assert_eq!(alice.run(&["evidence", "check", "no-such-file"]).code, 1);
    fs::write(path, "not evidence").unwrap();
    assert_eq!(export(alice, path, &[]).code, 3, "what is no evidence is not written over");

    // Any byte changed: refused, or as good as before (spaces, letters in hex); never a crash.
    let bytes = serde_json::to_vec(file).unwrap();
    for step in 0..300 {
        let mut changed = bytes.clone();
        let at = step * 7_919 % bytes.len();
        changed[at] = changed[at].wrapping_add(1 + (step % 200) as u8);
        fs::write(path, &changed).unwrap();
        let ran = alice.run(&[&check[..], &["--offline"]].concat());
        assert!([0, 1, 3].contains(&ran.code) && !ran.stderr.contains("panicked"), "byte {at}: {}", ran.stderr);
    }
}
