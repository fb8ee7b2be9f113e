//! One story's world: a root chain, a deployment, the services as processes, and what people do with them.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Position, PositionKind};
use plasmid_exit_game::signature::Domain;
use plasmid_node::client::{Client, ClientError, ClientLimits};
use plasmid_node::wire::{Accepted, CoinState, Status, Verdict};
use plasmid_root_chain::bindings::Value;
use plasmid_root_chain::calls::{self, InclusionProof};
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::deploy::{self, Parameters};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Call, Landed, Node};
use plasmid_root_chain::rpc::{Rpc, RpcSettings};
use plasmid_root_chain::sender::{SendError, Sender, SenderSettings};
use tempfile::TempDir;

use crate::anvil::{self, Anvil, Mining, repository};
use crate::cheat::CheatingOperator;
use crate::people::{Coin, People, Person, Signed};
use crate::trouble::Trouble;

/// Periods of a devnet: MEP 600 s, so F 75, G 3, grace 21.
pub const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
/// Root blocks to finality on a devnet.
pub const FINALITY_DEPTH: u64 = 3;
/// One ether, in wei.
pub const ETHER_UNIT: u128 = 1_000_000_000_000_000_000;

/// How long anything may take that should happen by itself.
const PATIENCE: Duration = Duration::from_secs(60);
const BOND_BASE_FEE_WEI: u128 = 1_000_000_000;

/// What a world is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// The periods of its deployment.
    pub periods: Periods,
    /// Root blocks to finality, for both services.
    pub finality_depth: u64,
}

impl Setup {
    /// A devnet's.
    pub const DEVNET: Self = Self { periods: PERIODS, finality_depth: FINALITY_DEPTH };
}

/// A world for one story.
#[derive(Debug)]
pub struct World {
    operator: Option<Service>,
    watcher: Option<Service>,
    data: TempDir,
    setup: Setup,
    /// Whose coins the watcher guards.
    guarded: Vec<Person>,
    /// Where a service reaches the root chain, if not at anvil itself.
    ways: BTreeMap<String, String>,
    /// What people sent, as it landed.
    sent: Mutex<Vec<Sent>>,
    /// What disturbs its in-flight exits.
    pub(crate) trouble: Trouble,
    /// How often it did: kills and transactions taken back.
    pub(crate) troubles: AtomicUsize,
    /// Who lives in it.
    pub people: People,
    /// The deployment.
    pub root: RootChain,
    /// What the deployment fixed.
    pub deployment: Deployment,
    /// Its root chain. Dropped after the services, which would complain.
    pub anvil: Anvil,
}

impl World {
    /// A world with an honest operator and a watcher.
    pub async fn honest() -> Self {
        Self::honest_with(Setup::DEVNET).await
    }

    /// As [`Self::honest`], made otherwise.
    pub async fn honest_with(setup: Setup) -> Self {
        let mut world = Self::bare_with(setup).await;
        world.start_services().await;
        world
    }

    /// Starts operator and watcher, and waits until they are settled.
    pub async fn start_services(&mut self) {
        self.start_operator();
        let operator_url = self.operator.as_ref().expect("started above").url.clone();
        self.start_watcher(&operator_url);
        self.settled().await;
    }

    /// A world with a cheating operator, and a watcher that asks it for bodies.
    pub async fn cheated() -> (Self, CheatingOperator) {
        let mut world = Self::bare().await;
        let cheat = world.cheat().await;
        world.start_watcher(&cheat.url());
        (world, cheat)
    }

    /// As [`Self::cheated`], with a watcher that guards these people's coins.
    pub async fn cheated_guarding(people: &[Person]) -> (Self, CheatingOperator) {
        let mut world = Self::bare().await;
        let cheat = world.cheat().await;
        world.guard(people);
        world.start_watcher(&cheat.url());
        (world, cheat)
    }

    /// Has the watcher guard these people's coins, from its next start on.
    fn guard(&mut self, people: &[Person]) {
        let data_dir = self.data_dir("plasmid-watcher");
        let keystores = data_dir.join("keystore");
        std::fs::create_dir_all(&keystores).expect("a folder can be made");
        std::fs::write(data_dir.join("password"), "secret").expect("a file can be written");
        for person in people {
            person.account().save_keystore(&keystores, person.name, "secret").expect("a new keystore");
        }
        self.guarded = people.to_vec();
    }

    /// Starts a cheating operator, with the operator's key.
    pub async fn cheat(&self) -> CheatingOperator {
        CheatingOperator::start(self.root.clone(), self.sender(&self.people.operator).await).await
    }

    /// A world with a deployment and no services.
    pub async fn bare() -> Self {
        Self::bare_with(Setup::DEVNET).await
    }

    /// As [`Self::bare`], made otherwise.
    pub async fn bare_with(setup: Setup) -> Self {
        let anvil = Anvil::start(Mining::EverySecond);
        let people = People::new();
        let node = node(anvil.url());
        let deployer = sender(node.clone(), &people.processor).await;
        let bonds = Bonds::at_base_fee(BOND_BASE_FEE_WEI).expect("a small base fee");
        let (operator, operator_bond_wei) = (people.operator.address(), bonds.operator_bond_wei());
        let operator_bond_wei = operator_bond_wei.expect("a small base fee");
        let parameters = Parameters { operator, periods: setup.periods, bonds, operator_bond_wei };
        let deployment = deploy::deploy(&deployer, &parameters).await.expect("the contract deploys").deployment;
        let root = RootChain::new(node, deployment.contract);
        let data = TempDir::new().expect("a temporary folder");
        Self {
            anvil,
            people,
            root,
            deployment,
            operator: None,
            watcher: None,
            data,
            setup,
            guarded: Vec::new(),
            ways: BTreeMap::new(),
            sent: Mutex::default(),
            trouble: Trouble::of_environment(),
            troubles: AtomicUsize::new(0),
        }
    }

    /// Has a service reach the root chain at `url`, from its next start on.
    pub fn lead(&mut self, program: &str, url: &str) {
        self.ways.insert(program.to_owned(), url.to_owned());
    }

    /// Starts the operator, or starts it again on its data folder.
    pub fn start_operator(&mut self) {
        self.start_operator_with(&[]);
    }

    /// As [`Self::start_operator`], with these variables in its environment.
    pub fn start_operator_with(&mut self, environment: &[(&str, &str)]) {
        let listen = self.operator.take().map_or_else(free_address, |old| old.listen.clone());
        let args = ["--block-interval-secs", "2"].map(str::to_owned);
        let operator = self.service("plasmid-operator", &listen, &self.people.operator, &args, environment);
        self.operator = Some(operator);
    }

    /// Starts the watcher, or starts it again on its data folder; it asks `server` for bodies.
    pub fn start_watcher(&mut self, server: &str) {
        self.start_watcher_with(server, &[]);
    }

    /// As [`Self::start_watcher`], with these variables in its environment.
    pub fn start_watcher_with(&mut self, server: &str, environment: &[(&str, &str)]) {
        let listen = self.watcher.take().map_or_else(free_address, |old| old.listen.clone());
        let mut args = ["--server", server].map(str::to_owned).to_vec();
        if !self.guarded.is_empty() {
            let password = self.data_dir("plasmid-watcher").join("password");
            args.extend(["--password-file".to_owned(), password.to_string_lossy().into_owned()]);
            args.extend(self.guarded.iter().flat_map(|person| ["--guard".to_owned(), person.name.to_owned()]));
        }
        let watcher = self.service("plasmid-watcher", &listen, &self.people.watcher, &args, environment);
        self.watcher = Some(watcher);
    }

    /// Ends the operator at once, as kill -9 does.
    pub fn kill_operator(&mut self) {
        self.operator.as_mut().expect("an operator").kill();
    }

    /// Ends the watcher at once, as kill -9 does.
    pub fn kill_watcher(&mut self) {
        self.watcher.as_mut().expect("a watcher").kill();
    }

    /// Tells whether there is no operator that submits again what a reorganisation takes back.
    pub(crate) fn is_cheated(&self) -> bool {
        self.operator.is_none()
    }

    /// Ends the watcher at once, as kill -9 does, until [`Self::restart_watcher`].
    pub(crate) fn stop_watcher(&self) {
        self.watcher.as_ref().expect("a watcher").stop();
    }

    /// Starts the watcher again after [`Self::stop_watcher`], as it was started.
    pub(crate) fn restart_watcher(&self) {
        self.watcher.as_ref().expect("a watcher").restart();
    }

    /// Returns whether the operator has ended by itself, or been killed.
    pub fn has_operator_ended(&mut self) -> bool {
        self.operator.as_mut().expect("an operator").has_ended()
    }

    /// Returns whether the watcher has ended by itself, or been killed.
    pub fn has_watcher_ended(&mut self) -> bool {
        self.watcher.as_mut().expect("a watcher").has_ended()
    }

    fn service(
        &self,
        program: &str,
        listen: &str,
        person: &Person,
        args: &[String],
        environment: &[(&str, &str)],
    ) -> Service {
        let data_dir = self.data.path().join(program);
        std::fs::create_dir_all(&data_dir).expect("a folder can be made");
        let log = std::fs::File::options().create(true).append(true).open(data_dir.with_extension("log"));
        let mut command = Command::new(binary(program));
        command
            .args([
                "--l1-url",
                self.ways.get(program).map_or(self.anvil.url(), String::as_str),
                "--contract",
                &self.deployment.contract.to_string(),
            ])
            .args(["--data-dir", &data_dir.to_string_lossy(), "--listen", listen])
            .args(["--finality-depth", &self.setup.finality_depth.to_string(), "--unsafe-private-key", person.key])
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log can be opened"));
        let child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}; scripts/test builds it"));
        let process = Mutex::new(Process { command, child });
        Service { process, listen: listen.to_owned(), url: format!("http://{listen}"), is_running: true }
    }

    /// Returns the process id of a service.
    ///
    /// # Panics
    ///
    /// If it was never started.
    #[must_use]
    pub fn pid(&self, program: &str) -> u32 {
        let service = if program == "plasmid-operator" { &self.operator } else { &self.watcher };
        service.as_ref().expect("a service").process.lock().expect("no holder panics").child.id()
    }

    /// Returns a client of the operator.
    #[must_use]
    pub fn operator(&self) -> Client {
        client(&self.operator.as_ref().expect("an operator").url)
    }

    /// Returns a client of the watcher.
    #[must_use]
    pub fn watcher(&self) -> Client {
        client(&self.watcher.as_ref().expect("a watcher").url)
    }

    /// Returns what a service has written to its log.
    #[must_use]
    pub fn log(&self, program: &str) -> String {
        std::fs::read_to_string(self.data.path().join(program).with_extension("log")).unwrap_or_default()
    }

    /// Returns the folder in which a service keeps its data.
    #[must_use]
    pub fn data_dir(&self, program: &str) -> PathBuf {
        self.data.path().join(program)
    }

    /// Returns the signing domain.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.deployment.domain()
    }

    /// Returns a sender of somebody's root-chain transactions.
    pub async fn sender(&self, person: &Person) -> Sender {
        sender(self.root.node().clone(), person).await
    }

    /// Sends a call that has to succeed.
    pub async fn send(&self, person: &Person, call: &Call) -> Landed {
        self.try_send(person, call).await.unwrap_or_else(|error| panic!("{}'s call fails: {error:?}", person.name))
    }

    /// Sends a call that may fail.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the contract's reason if it reverts.
    pub async fn try_send(&self, person: &Person, call: &Call) -> Result<Landed, SendError> {
        let landed = self.sender(person).await.send(call).await?;
        self.remember(person, call, landed.clone());
        Ok(landed)
    }

    /// Remembers what somebody sent.
    pub(crate) fn remember(&self, person: &Person, call: &Call, landed: Landed) {
        let sent = Sent { person: person.clone(), call: call.clone(), landed };
        self.sent.lock().expect("no holder panics").push(sent);
    }

    /// Takes what landed after root block `number` from what people sent, and returns it in order.
    pub(crate) fn take_sent_after(&self, number: u64) -> Vec<Sent> {
        let mut sent = self.sent.lock().expect("no holder panics");
        sent.extract_if(.., |sent| sent.landed.block.number > number).collect()
    }

    /// Returns what somebody would have of ether had all that they sent been free of gas.
    pub async fn ether_beside_gas(&self, person: &Person) -> U256 {
        let balance = self.balance(ETHER, person.address()).await;
        let sent = self.sent.lock().expect("no holder panics");
        let theirs = sent.iter().filter(|sent| sent.person.address() == person.address());
        balance + theirs.map(|sent| gas_of(&sent.landed)).sum::<U256>()
    }

    /// Returns *now*: the newest root block's timestamp.
    pub async fn now(&self) -> u64 {
        self.root.node().head().await.expect("the root chain answers").timestamp
    }

    /// Waits until operator and watcher report the root chain's head and nothing accepted is uncommitted.
    pub async fn settled(&self) {
        let what = "operator and watcher report the head and nothing accepted is uncommitted";
        eventually(what, || async {
            let head = self.root.node().head().await.ok()?;
            for service in self.operator.iter().chain(&self.watcher).filter(|service| service.is_running) {
                let status = client(&service.url).status().await.ok()?;
                if !is_settled(&status, head.at.number) {
                    return None;
                }
            }
            Some(())
        })
        .await;
        if self.operator.is_some() {
            let chain = self.root.child_chain().await.expect("the root chain answers");
            assert_eq!(chain.halted_from, None, "an honest operator is never convicted");
        }
    }

    /// Waits until operator and watcher have seen the root chain's head, whatever they make of it.
    pub async fn seen(&self) {
        eventually("operator and watcher see the root chain's head", || async {
            let head = self.root.node().head().await.ok()?;
            for service in self.operator.iter().chain(&self.watcher).filter(|service| service.is_running) {
                let root = client(&service.url).status().await.ok()?.root?;
                if root.hash != head.at.hash {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Moves time forward, once everything is settled.
    pub async fn move_time(&self, secs: u64) {
        // What was done in time cannot be done again later.
        self.bury().await;
        self.settled().await;
        anvil::move_time(self.root.node().rpc(), secs).await;
        self.settled().await;
    }

    /// Moves time forward to `timestamp`, once everything is settled; does nothing if it is past.
    pub async fn move_time_to(&self, timestamp: u64) {
        self.settled().await;
        let now = self.now().await;
        if now < timestamp {
            self.move_time(timestamp - now).await;
        }
    }

    /// Waits until the watcher has a verdict on a block, and returns it.
    pub async fn verdict(&self, number: BlockNumber) -> Verdict {
        self.until("the watcher has a verdict", || async {
            let verdict = self.watcher().block(number).await.ok()?.verdict;
            (verdict != Verdict::Unknown).then_some(verdict)
        })
        .await
    }

    /// Deposits ether for the depositor and returns the coin.
    pub async fn deposit(&self, person: &Person, amount: u128) -> Coin {
        let receipt = self.send(person, &self.root.deposit(person.address(), amount)).await;
        self.deposited(&receipt)
    }

    /// Deposits tokens for the depositor, who gets them first, and returns the coin.
    pub async fn deposit_token(&self, person: &Person, token: Address, amount: u128) -> Coin {
        let mint = calls::call(token, "mint(address,uint256)", &[person.address().into(), amount.into()]);
        self.send(person, &mint.expect("a test token mints")).await;
        self.send(person, &calls::approve(token, self.deployment.contract, amount)).await;
        let receipt = self.send(person, &self.root.deposit_erc20(token, amount, person.address())).await;
        self.deposited(&receipt)
    }

    /// Returns the coin of the deposit that a receipt shows.
    #[must_use]
    pub fn deposited(&self, receipt: &Landed) -> Coin {
        let deposit = self.events(receipt).into_iter().find_map(|event| match event {
            RootEvent::Deposited(deposit) => Some(deposit),
            _ => None,
        });
        coin_of(&deposit.expect("a deposit says so"))
    }

    /// Waits until the operator takes a coin for spendable.
    pub async fn covered(&self, coin: &Coin) {
        eventually("the deposit is covered", || async {
            let state = self.operator().coin(coin.id).await.ok()?.state;
            matches!(state, CoinState::Accepted | CoinState::Committed | CoinState::Final).then_some(())
        })
        .await;
    }

    /// Pays: signs a spend of `coins` into `outputs` and returns the coins that the operator's answer promises.
    ///
    /// # Panics
    ///
    /// If the operator refuses, or its receipt is not what a wallet trusts.
    pub async fn pay(&self, payer: &Person, coins: &[Coin], outputs: Vec<Output>) -> Vec<Coin> {
        self.try_pay(payer, coins, outputs).await.unwrap_or_else(|error| panic!("{} cannot pay: {error:?}", payer.name))
    }

    /// As [`Self::pay`], for payments that may be refused.
    ///
    /// # Errors
    ///
    /// [`ClientError`], with the operator's problem.
    pub async fn try_pay(
        &self,
        payer: &Person,
        coins: &[Coin],
        outputs: Vec<Output>,
    ) -> Result<Vec<Coin>, ClientError> {
        let signed = payer.sign(&self.domain(), coins, outputs);
        let accepted: Accepted = self.operator().submit(&signed.body, &signed.signature).await?;
        let leaf = plasmid_exit_game::tx_tree::leaf(signed.body.hash(), signed.placed().witness.hash());
        let receipt = accepted.receipt.signed().expect("the receipt's path leads to its root");
        let (now, freeze_delay) = (self.now().await, self.setup.periods.freeze_delay());
        let operator = self.people.operator.address();
        receipt.check(&self.domain(), operator, leaf, now, freeze_delay).expect("a receipt that a wallet trusts");
        let hash = signed.body.hash();
        let coin =
            |(index, (&output, &position))| Coin { id: OutputId::of_output(hash, index as u8), position, output };
        Ok(signed.body.outputs().iter().zip(&accepted.positions).enumerate().map(coin).collect())
    }

    /// Waits until a coin's block is on the root chain.
    pub async fn committed(&self, coin: &Coin) {
        eventually("the payment is committed", || async {
            let state = self.operator().coin(coin.id).await.ok()?.state;
            matches!(state, CoinState::Committed | CoinState::Final).then_some(())
        })
        .await;
    }

    /// Starts the standard exit of a coin by its inclusion proof from the operator, or of a deposit.
    pub async fn start_exit(&self, owner: &Person, coin: &Coin) -> ExitRecord {
        let call = self.exit_call(coin, 0).await;
        self.send(owner, &call).await;
        self.until_exiting(coin.id).await
    }

    /// Starts the standard exit of an output by an inclusion proof that the owner has from somebody.
    pub async fn start_exit_by(
        &self,
        owner: &Person,
        creation: &Signed,
        index: u8,
        proof: &InclusionProof,
    ) -> ExitRecord {
        let bond = self.deployment.bonds.exit_bond_wei;
        let call = self.root.start_standard_exit(&creation.body.encode(), index, proof, 0, bond);
        self.send(owner, &call).await;
        self.until_exiting(OutputId::of_output(creation.body.hash(), index)).await
    }

    /// Returns the call that starts a coin's exit with this hint.
    pub async fn exit_call(&self, coin: &Coin, hint: u64) -> Call {
        let bond = self.deployment.bonds.exit_bond_wei;
        match coin.position.kind() {
            PositionKind::Deposit(nonce) => {
                self.root.start_standard_exit_of_deposit(&Deposit { nonce, output: coin.output }, hint, bond)
            }
            PositionKind::Output(_, index) => {
                let inclusion = self.operator().inclusion(coin.id).await.expect("the operator proves inclusion");
                let included = inclusion.verify().expect("the proof is right");
                let proof = InclusionProof {
                    header: included.header,
                    tx_index: included.place.index,
                    witness_hash: included.transaction.witness.hash(),
                    path: included.path,
                };
                self.root.start_standard_exit(&inclusion.body, index, &proof, hint, bond)
            }
        }
    }

    /// Returns the record of the exit that a receipt shows to be started.
    #[must_use]
    pub fn started(&self, receipt: &Landed) -> ExitRecord {
        let record = self.events(receipt).into_iter().find_map(|event| match event {
            RootEvent::StandardExitStarted(record) => Some(record),
            _ => None,
        });
        record.expect("a start says so")
    }

    /// Processes exits and returns the contract's events.
    pub async fn process(&self, asset: Address, exits: &[ExitRecord]) -> Vec<RootEvent> {
        let receipt = self.send(&self.people.processor, &self.root.process_exits(asset, exits, &[])).await;
        self.events(&receipt)
    }

    /// Returns the contract's events in a receipt, in order.
    #[must_use]
    pub fn events(&self, receipt: &Landed) -> Vec<RootEvent> {
        let contract = self.deployment.contract;
        let ours = receipt.logs.iter().filter(|log| log.address == contract);
        ours.map(|log| decode_event(contract, log).expect("our own events decode")).collect()
    }

    /// Returns what somebody has of an asset on the root chain.
    pub async fn balance(&self, asset: Address, account: Address) -> U256 {
        self.root.node().balance(asset, account).await.expect("the root chain answers")
    }

    /// Deploys one of the contracts made for tests.
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    pub async fn deploy_testing(&self, name: &str, args: &[Value]) -> Address {
        let path = repository().join("contracts/artifacts/testing").join(name).with_extension("json");
        let artifact = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let sender = self.sender(&self.people.processor).await;
        deploy::deploy_artifact(&sender, &artifact, args).await.expect("a test contract deploys").0
    }
}

/// Returns the coin that a deposit makes.
#[must_use]
pub fn coin_of(deposit: &Deposit) -> Coin {
    let position = Position::of_deposit(deposit.nonce).expect("few deposits");
    Coin { id: deposit.output_id(), position, output: deposit.output }
}

/// Returns the deposit that made a coin.
///
/// # Panics
///
/// If a transaction did.
#[must_use]
pub fn deposit_of(coin: &Coin) -> Deposit {
    match coin.position.kind() {
        PositionKind::Deposit(nonce) => Deposit { nonce, output: coin.output },
        PositionKind::Output(..) => panic!("not a deposit"),
    }
}

fn gas_of(landed: &Landed) -> U256 {
    U256::from(landed.gas_used) * U256::from(landed.gas_price_wei)
}

/// Returns an amount of ether to somebody, as an output.
#[must_use]
pub fn ether(person: &Person, amount: u128) -> Output {
    person.gets(ETHER, amount)
}

/// Waits until `look` finds something.
///
/// # Panics
///
/// If that takes longer than a minute.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for this: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A call of somebody's, and how it landed.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) person: Person,
    pub(crate) call: Call,
    landed: Landed,
}

/// A running service.
#[derive(Debug)]
struct Service {
    process: Mutex<Process>,
    listen: String,
    url: String,
    is_running: bool,
}

#[derive(Debug)]
struct Process {
    command: Command,
    child: Child,
}

impl Service {
    fn has_ended(&mut self) -> bool {
        let process = self.process.get_mut().expect("no holder panics");
        self.is_running &= process.child.try_wait().is_ok_and(|status| status.is_none());
        !self.is_running
    }

    fn kill(&mut self) {
        self.stop();
        self.is_running = false;
    }

    fn stop(&self) {
        let mut process = self.process.lock().expect("no holder panics");
        // Ended already, or ended now.
        let _ = process.child.kill();
        let _ = process.child.wait();
    }

    fn restart(&self) {
        let mut process = self.process.lock().expect("no holder panics");
        process.child = process.command.spawn().expect("it was started before");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_settled(status: &Status, head: u64) -> bool {
    let at_head = status.root.is_some_and(|root| root.number >= head);
    status.synced && at_head && status.uncommitted == 0
}

fn node(url: &str) -> Node {
    Node::new(Rpc::new(&[url.to_owned()], RpcSettings::default()).expect("anvil's address is a URL"))
}

fn client(url: &str) -> Client {
    Client::new(url, ClientLimits::default()).expect("a local address is a URL")
}

async fn sender(node: Node, person: &Person) -> Sender {
    let settings = SenderSettings { poll_interval: Duration::from_millis(100), ..SenderSettings::default() };
    Sender::new(node, person.account().clone(), settings).await.expect("the root chain answers")
}

/// An address that stays the service's while it is down: below the ports that the system gives out by itself, and other than
/// those of tests in other processes.
fn free_address() -> String {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 1_000) as u16 * 16;
    let mut addresses = std::iter::repeat_with(|| {
        let port = 16_000 + (first + TRIED.fetch_add(1, Ordering::Relaxed)) % 16_000;
        format!("127.0.0.1:{port}")
    });
    addresses.find(|address| TcpListener::bind(address).is_ok()).expect("it goes on for ever")
}

/// The service's binary, built beside this test.
pub(crate) fn binary(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").join(program)
}
