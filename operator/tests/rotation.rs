//! A rotation of the operator's key with real processes: one key up to its last block, killed, and the next one on the same
//! data folder. §2.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::client::{Client, ClientError, ClientLimits};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::{Accepted, CoinState};
use plasmid_root_chain::account::Account;
use plasmid_root_chain::calls::KEY_LEAD_BLOCKS;
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::deploy::{self, Parameters};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

const FIRST_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const NEXT_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const ALICE_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
/// A week: promises last for hours, in which all blocks of the first key come.
const PERIODS: Periods = Periods { minimum_exit_period: 604_800, sunset: 4_838_400 };
const AMOUNT: u128 = 1_000;

/// A process that ends with the test.
struct Process(Child);

impl Process {
    /// Ends it at once, as kill -9 does.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The pinned anvil, which makes a block for each transaction, each a second after the last.
fn anvil() -> (Process, String) {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/@foundry-rs");
    let entries = std::fs::read_dir(packages).expect("anvil is installed: scripts/test does that");
    let is_anvil = |path: &PathBuf| path.to_string_lossy().contains("/anvil-") && path.exists();
    let program = entries.map(|entry| entry.unwrap().path().join("bin/anvil")).find(is_anvil).expect("anvil");
    let mut process =
        Command::new(program).args(["--port", "0", "--hardfork", "osaka"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let url = lines.find_map(|line| Some(format!("http://{}", line.unwrap().split_once("Listening on ")?.1.trim())));
    // Nobody reads on, and a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    (Process(process), url.expect("anvil says where it listens"))
}

/// Starts the operator with a key; `listen` is where it serves.
fn operator(url: &str, deployment: &Deployment, folder: &Path, key: &str, listen: &str) -> Process {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_plasmid-operator"))
        .args(["--l1-url", url, "--contract", &deployment.contract.to_string()])
        .args(["--data-dir", &folder.join("data").to_string_lossy(), "--listen", listen])
        .args(["--finality-depth", "1", "--block-txs-max", "1", "--block-interval-secs", "1"])
        .args(["--unsafe-private-key", key])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn();
    Process(process.unwrap())
}

async fn eventually<T>(what: &str, secs: u64, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(secs);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {secs} s for this: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn problem_of(refused: Result<Accepted, ClientError>) -> Problem {
    match refused {
        Err(ClientError::Problem { problem, .. }) => *problem,
        answer => panic!("{answer:?}"),
    }
}

/// Payments of alice to herself, each over the output of the one before.
fn payments(deposit: &Deposit, deployment: &Deployment, count: u64) -> Vec<(Transaction, Signature)> {
    let alice = Account::from_hex(ALICE_KEY).unwrap();
    let mut coin = deposit.output_id();
    let payments = (0..count).map(|_| {
        let body = Transaction::new(vec![coin], vec![deposit.output], B256::ZERO).unwrap();
        coin = OutputId::of_output(body.hash(), 0);
        let signature = alice.sign_digest(body.signing_hash(&deployment.domain()));
        (body, signature)
    });
    payments.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_key_goes_on_where_the_first_one_ended() {
    let (_anvil, url) = anvil();
    let node = Node::new(Rpc::new(std::slice::from_ref(&url), RpcSettings::default()).unwrap());
    node.rpc().write::<Value>("anvil_setBlockTimestampInterval", json!([1])).await.unwrap();
    let sender = async |key: &str| {
        Sender::new(node.clone(), Account::from_hex(key).unwrap(), SenderSettings::default()).await.unwrap()
    };
    let (first, next, alice) = (sender(FIRST_KEY).await, sender(NEXT_KEY).await, sender(ALICE_KEY).await);
    let bonds = Bonds::at_base_fee(1_000_000_000).unwrap();
    let (key, operator_bond_wei) = (first.account().address(), bonds.operator_bond_wei().unwrap());
    let parameters = Parameters { operator: key, periods: PERIODS, bonds, operator_bond_wei };
    let deployment = deploy::deploy(&first, &parameters).await.unwrap().deployment;
    let root_chain = RootChain::new(node.clone(), deployment.contract);
    let (next_key, takes_over) = (next.account().address(), BlockNumber::new(2 + KEY_LEAD_BLOCKS).unwrap());
    first.send(&root_chain.propose_operator(next_key)).await.unwrap();
    next.send(&root_chain.accept_operator(takes_over)).await.unwrap();
    let owner = alice.account().address();
    alice.send(&root_chain.deposit(owner, AMOUNT)).await.unwrap();
    let deposit = Deposit { nonce: 0, output: Output { owner, asset: ETHER, amount: AMOUNT } };
    node.rpc().write::<Value>("anvil_mine", json!(["0x5"])).await.unwrap();

    let folder = TempDir::new().unwrap();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let client = Client::new(&format!("http://{listen}"), ClientLimits::default()).unwrap();
    let mut running = operator(&url, &deployment, folder.path(), FIRST_KEY, &listen);
    eventually("the deposit is covered", 60, async || {
        let state = client.coin(deposit.output_id()).await.ok()?.state;
        (state != CoinState::Pending).then_some(())
    })
    .await;

    // The next key has nothing to do yet.
    let idle = folder.path().join("idle");
    std::fs::create_dir(&idle).unwrap();
    let mut early = operator(&url, &deployment, &idle, NEXT_KEY, "127.0.0.1:0");
    assert_eq!(early.0.wait().unwrap().code(), Some(3), "refused");

    let payments = payments(&deposit, &deployment, takes_over.get() + 1);
    let block_of = |accepted: &Accepted, key: Address| {
        let signed = accepted.receipt.signed().unwrap();
        assert_eq!(signed.signature.recover(signed.receipt.signing_hash(&deployment.domain())), Some(key));
        signed.receipt.number
    };
    let (mut answers, mut last) = (Vec::new(), None);
    let refused = loop {
        let (body, signature) = &payments[answers.len()];
        match client.submit(body, signature).await {
            Ok(accepted) => {
                let number = block_of(&accepted, key);
                assert!(last.is_none_or(|last: BlockNumber| last.next() == Some(number)), "one payment a block");
                last = Some(number);
                answers.push(accepted);
            }
            refused => break problem_of(refused),
        }
    };
    assert_eq!((refused.code, last), (Code::OtherKey, takes_over.previous()));
    assert!(refused.detail.contains(&format!("block {takes_over}")) && refused.detail.contains(&next_key.to_string()));
    let (body, signature) = &payments[answers.len()];

    // It is killed half way, and goes on.
    eventually("the first blocks are committed", 60, async || {
        (client.status().await.ok()?.block.committed.get() > 20).then_some(())
    })
    .await;
    running.kill();
    let mut running = operator(&url, &deployment, folder.path(), FIRST_KEY, &listen);
    eventually("all blocks of the first key are committed", 400, async || {
        (root_chain.child_chain().await.unwrap().next_number == takes_over).then_some(())
    })
    .await;
    assert_eq!(client.submit(&payments[0].0, &payments[0].1).await.unwrap(), answers[0], "promises are repeated");
    assert_eq!(problem_of(client.submit(body, signature).await).code, Code::OtherKey);
    running.kill();

    let _running = operator(&url, &deployment, folder.path(), NEXT_KEY, &listen);
    let accepted = eventually("the next key is ready", 60, async || client.submit(body, signature).await.ok()).await;
    assert_eq!(block_of(&accepted, next_key), takes_over);
    let output = OutputId::of_output(body.hash(), 0);
    eventually("its block is committed", 60, async || {
        let coin = client.coin(output).await.ok()?;
        matches!(coin.state, CoinState::Committed | CoinState::Final).then_some(())
    })
    .await;
    assert_eq!(root_chain.child_chain().await.unwrap().next_number.get(), takes_over.get() + 1, "no number twice");
    let others = problem_of(client.submit(&payments[0].0, &payments[0].1).await);
    assert_eq!(others.code, Code::OtherKey, "only its own key repeats a receipt");
    assert_eq!(client.transaction(payments[0].0.hash()).await.unwrap().receipt, None);
    assert_eq!(client.transaction(body.hash()).await.unwrap().receipt, Some(accepted.receipt));
}
