//! Deposit, spend, commit, kill, again: the operator on a real root chain, over real HTTP.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use clap::Parser;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::{position::Position, tx_tree};
use plasmid_node::client::{Client, ClientError, ClientLimits};
use plasmid_node::problem::Code;
use plasmid_node::settings::ExitCode;
use plasmid_node::wire::{Accepted, BlockChoice, Coin, CoinState};
use plasmid_operator::config::Config;
use plasmid_operator::journal::{FaultPlan, FileFault, FileOperation};
use plasmid_operator::service;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::deploy::{self, Parameters};
use plasmid_root_chain::node::Node;
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{Sender, SenderSettings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const OPERATOR_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ALICE_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };

/// An anvil on a free port, ended with the test.
struct Anvil(Child, String);

impl Anvil {
    fn start() -> Self {
        let mut process = Command::new(executable())
            .args(["--port", "0", "--hardfork", "osaka", "--block-time", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("anvil is installed: scripts/test does that");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url =
            lines.find_map(|line| Some(format!("http://{}", line.unwrap().split_once("Listening on ")?.1.trim())));
        // Nobody reads on, and a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self(process, url.expect("anvil says where it listens"))
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The pinned anvil itself: npm's launcher would leave it running when killed.
fn executable() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/@foundry-rs");
    let entries = std::fs::read_dir(packages).expect("anvil is installed: scripts/test does that");
    let is_anvil = |path: &PathBuf| path.to_string_lossy().contains("/anvil-") && path.exists();
    entries.map(|entry| entry.unwrap().path().join("bin/anvil")).find(is_anvil).expect("anvil is installed")
}

struct Running {
    client: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(anvil: &Anvil, contract: Address, data_dir: &Path, faults: FaultPlan) -> Self {
        let config = Config::parse_from([
            "plasmid-operator",
            "--l1-url",
            &anvil.1,
            "--contract",
            &contract.to_string(),
            "--data-dir",
            &data_dir.to_string_lossy(),
            "--finality-depth",
            "3",
        ]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let account = Account::from_hex(OPERATOR_KEY).unwrap();
        let task = tokio::spawn(service::run(config, account, listener, faults, async { drop(stopped.await) }));
        let client = Client::new(&format!("http://{address}"), ClientLimits::default()).unwrap();
        Self { client, stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited a minute for this: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A deployment on an anvil of its own, with alice.
struct World {
    node: Node,
    root_chain: RootChain,
    deployment: Deployment,
    alice: Account,
    sender: Sender,
    folder: TempDir,
    anvil: Anvil,
}

impl World {
    async fn new() -> Self {
        let anvil = Anvil::start();
        let node = Node::new(Rpc::new(std::slice::from_ref(&anvil.1), RpcSettings::default()).unwrap());
        let operator = Account::from_hex(OPERATOR_KEY).unwrap();
        let bonds = Bonds::at_base_fee(1_000_000_000).unwrap();
        // The least that there can be.
        let operator_bond_wei = bonds.fault_slash_wei + bonds.receipt_slash_wei;
        let parameters = Parameters { operator: operator.address(), periods: PERIODS, bonds, operator_bond_wei };
        let deployer = Sender::new(node.clone(), operator, SenderSettings::default()).await.unwrap();
        let deployment = deploy::deploy(&deployer, &parameters).await.unwrap().deployment;
        let root_chain = RootChain::new(node.clone(), deployment.contract);
        let alice = Account::from_hex(ALICE_KEY).unwrap();
        let sender = Sender::new(node.clone(), alice.clone(), SenderSettings::default()).await.unwrap();
        Self { node, root_chain, deployment, alice, sender, folder: tempfile::tempdir().unwrap(), anvil }
    }

    async fn start(&self, faults: FaultPlan) -> Running {
        Running::start(&self.anvil, self.deployment.contract, self.folder.path(), faults).await
    }

    /// Alice's deposit `nonce`, once the operator covers it.
    async fn deposit(&self, operator: &Running, nonce: u64) -> Deposit {
        self.sender.send(&self.root_chain.deposit(self.alice.address(), 1_000)).await.unwrap();
        let output = Output { owner: self.alice.address(), asset: ETHER, amount: 1_000 };
        let deposit = Deposit { nonce, output };
        eventually("the deposit is covered", async || {
            let state = operator.client.coin(deposit.output_id()).await.ok()?.state;
            (state != CoinState::Pending).then_some(())
        })
        .await;
        deposit
    }

    fn sign(&self, input: OutputId, outputs: Vec<Output>) -> (Transaction, Signature) {
        let body = Transaction::new(vec![input], outputs, B256::ZERO).unwrap();
        let signature = self.alice.sign_digest(body.signing_hash(&self.deployment.domain()));
        (body, signature)
    }
}

async fn committed(operator: &Running, id: OutputId) -> Coin {
    eventually("the payment is committed", async || {
        let coin = operator.client.coin(id).await.ok()?;
        matches!(coin.state, CoinState::Committed | CoinState::Final).then_some(coin)
    })
    .await
}

/// Sends again and again while the operator is not ready.
async fn submitted(operator: &Running, body: &Transaction, signature: &Signature) -> Accepted {
    eventually("the operator is ready", async || match operator.client.submit(body, signature).await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            assert_eq!(code_of(error), Code::NotReady);
            None
        }
    })
    .await
}

fn code_of(error: ClientError) -> Code {
    match error {
        ClientError::Problem { problem, .. } => problem.code,
        error => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_is_spent_committed_and_stays_so_over_a_restart() {
    let world = World::new().await;
    let operator = world.start(FaultPlan::default()).await;
    let deposit = world.deposit(&operator, 0).await;
    let output = deposit.output;

    let bob = Address::repeat_byte(0xb0);
    let outputs = vec![Output { owner: bob, amount: 300, ..output }, Output { amount: 700, ..output }];
    let (body, signature) = world.sign(deposit.output_id(), outputs);
    let accepted = operator.client.submit(&body, &signature).await.unwrap();

    let placement = vec![Position::of_deposit(0).unwrap()];
    let placed = PlacedTransaction { body: body.clone(), witness: Witness { signature, placement } };
    let leaf = tx_tree::leaf(placed.body.hash(), placed.witness.hash());
    let now = world.node.head().await.unwrap().timestamp;
    let (domain, key) = (world.deployment.domain(), Account::from_hex(OPERATOR_KEY).unwrap().address());
    accepted.receipt.signed().unwrap().check(&domain, key, leaf, now, PERIODS.freeze_delay()).unwrap();
    assert_eq!(operator.client.submit(&body, &signature).await.unwrap(), accepted, "a repeat has the first answer");

    let (other, signed) = world.sign(deposit.output_id(), vec![output]);
    assert_eq!(code_of(operator.client.submit(&other, &signed).await.unwrap_err()), Code::AlreadySpent);
    assert_eq!(code_of(operator.client.submit(&other, &signature).await.unwrap_err()), Code::BadSignature);

    // Its outputs can be spent at once.
    let (next, signed) = world.sign(OutputId::of_output(body.hash(), 1), vec![Output { amount: 700, ..output }]);
    let chained = operator.client.submit(&next, &signed).await.unwrap();
    let coin = committed(&operator, OutputId::of_output(next.hash(), 0)).await;
    assert_eq!(coin.position, chained.positions[0]);
    let header = operator.client.inclusion(coin.id).await.unwrap().verify().unwrap().header;
    let word = world.root_chain.commitment(header.number).await.unwrap();
    assert_eq!(word, Some(header.commitment()), "what is proven is what the root chain has");
    operator.client.unspent(coin.id, BlockChoice::LATEST).await.unwrap();

    operator.stop().await;
    let operator = world.start(FaultPlan::default()).await;
    assert_eq!(submitted(&operator, &body, &signature).await, accepted, "the same answer after a restart");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_of_a_coin_whose_spend_was_accepted_is_challenged() {
    let world = World::new().await;
    let operator = world.start(FaultPlan::default()).await;
    let deposit = world.deposit(&operator, 0).await;
    let (body, signature) = world.sign(deposit.output_id(), vec![deposit.output]);
    operator.client.submit(&body, &signature).await.unwrap();

    let bond = world.deployment.bonds.exit_bond_wei;
    world.sender.send(&world.root_chain.start_standard_exit_of_deposit(&deposit, 0, bond)).await.unwrap();
    eventually("the exit is challenged", async || {
        let word = world.root_chain.coin(deposit.output_id()).await.unwrap();
        word.record_hash.is_zero().then_some(())
    })
    .await;
    committed(&operator, OutputId::of_output(body.hash(), 0)).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_chain_takes_nothing_more_and_is_read_as_before() {
    let world = World::new().await;
    let operator = world.start(FaultPlan::default()).await;
    let deposit = world.deposit(&operator, 0).await;
    let (body, signature) = world.sign(deposit.output_id(), vec![deposit.output]);
    let accepted = operator.client.submit(&body, &signature).await.unwrap();
    let paid = OutputId::of_output(body.hash(), 0);
    let number = committed(&operator, paid).await.position.block().unwrap();
    operator.stop().await;

    world.node.rpc().write::<Value>("evm_increaseTime", json!([PERIODS.sunset + 10])).await.unwrap();
    world.sender.send(&world.root_chain.close_chain()).await.unwrap();
    let operator = world.start(FaultPlan::default()).await;
    let (next, signed) = world.sign(paid, vec![deposit.output]);
    eventually("it has seen the end", async || operator.client.status().await.ok().filter(|status| status.closed))
        .await;
    eventually("it has read its log", async || {
        let code = code_of(operator.client.submit(&next, &signed).await.unwrap_err());
        (code == Code::Halted).then_some(())
    })
    .await;
    let status = operator.client.status().await.unwrap();
    assert_eq!((status.closed, status.halted, status.alarms), (true, false, 1));
    assert_eq!(operator.client.submit(&body, &signature).await.unwrap(), accepted, "what was promised is repeated");
    assert!(operator.client.inclusion(paid).await.unwrap().verify().is_ok());
    assert!(!operator.client.body(number, 1 << 20).await.unwrap().is_empty());
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_short_bond_it_waits_until_that_is_funded() {
    let world = World::new().await;
    let operator = world.start(FaultPlan::default()).await;
    let deposit = world.deposit(&operator, 0).await;
    let (body, signature) = world.sign(deposit.output_id(), vec![deposit.output]);
    operator.client.submit(&body, &signature).await.unwrap();
    let paid = OutputId::of_output(body.hash(), 0);
    committed(&operator, paid).await;

    // Somebody got its key to sign a second promise for the same place.
    let included = operator.client.inclusion(paid).await.unwrap().verify().unwrap();
    let (header, index) = (included.header, included.place.index.get());
    let promised = B256::repeat_byte(9);
    let receipt = Receipt { number: header.number, first: index, count: 1, root: promised, by: header.timestamp };
    let key = Account::from_hex(OPERATOR_KEY).unwrap();
    let signed = key.sign_digest(receipt.signing_hash(&world.deployment.domain()));
    let held = tx_tree::leaf(body.hash(), included.transaction.witness.hash());
    let promise = BrokenPromise { index, promised, promised_path: Vec::new(), held, held_path: included.path };
    let prove = world.root_chain.prove_broken_receipt(&receipt, &signed, Some(&header), &promise);
    world.sender.send(&prove).await.unwrap();

    let (next, signed) = world.sign(paid, vec![deposit.output]);
    eventually("it is alarmed", async || operator.client.status().await.ok().filter(|status| status.alarms != 0)).await;
    assert_eq!(code_of(operator.client.submit(&next, &signed).await.unwrap_err()), Code::BondShort);
    let slash = world.deployment.bonds.receipt_slash_wei;
    world.sender.send(&world.root_chain.fund_bond(0, slash)).await.unwrap();
    eventually("it goes on", async || operator.client.submit(&next, &signed).await.ok()).await;
    committed(&operator, OutputId::of_output(next.hash(), 0)).await;
    assert_eq!(operator.client.status().await.unwrap().alarms, 0);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_disk_stops_acceptance_and_nothing_else() {
    let world = World::new().await;
    let is_broken = Arc::new(AtomicBool::new(false));
    let faults = FaultPlan::new({
        let is_broken = is_broken.clone();
        move |operation| match operation {
            FileOperation::Sync if is_broken.load(Ordering::SeqCst) => FileFault::Fail(io::ErrorKind::Other),
            _ => FileFault::None,
        }
    });
    let operator = world.start(faults).await;
    let deposit = world.deposit(&operator, 0).await;
    let (body, signature) = world.sign(deposit.output_id(), vec![deposit.output]);
    is_broken.store(true, Ordering::SeqCst);
    assert_eq!(code_of(operator.client.submit(&body, &signature).await.unwrap_err()), Code::NotReady);
    is_broken.store(false, Ordering::SeqCst);
    assert_eq!(code_of(operator.client.submit(&body, &signature).await.unwrap_err()), Code::NotReady, "never again");
    assert!(operator.client.coin(deposit.output_id()).await.is_ok(), "reads go on");
    assert!(!operator.client.status().await.unwrap().synced);
    operator.stop().await;

    let operator = world.start(FaultPlan::default()).await;
    submitted(&operator, &body, &signature).await;
    committed(&operator, OutputId::of_output(body.hash(), 0)).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_the_log_is_refused() {
    let world = World::new().await;
    let operator = world.start(FaultPlan::default()).await;
    let deposit = world.deposit(&operator, 0).await;
    let (log, copy) = (world.folder.path().join("journal"), world.folder.path().join("copy"));
    std::fs::copy(&log, &copy).unwrap();
    let (body, signature) = world.sign(deposit.output_id(), vec![deposit.output]);
    operator.client.submit(&body, &signature).await.unwrap();
    committed(&operator, OutputId::of_output(body.hash(), 0)).await;
    operator.stop().await;

    std::fs::rename(&copy, &log).unwrap();
    let operator = world.start(FaultPlan::default()).await;
    let error = operator.task.await.unwrap().unwrap_err();
    assert_eq!(service::exit_code(&error), ExitCode::Refused, "{error:#}");
}
