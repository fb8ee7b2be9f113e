//! The light watcher on a real root chain: servers told apart, coins that leave by themselves, thieves challenged. §7.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::utxo_tree::{self, UtxoTree};
use plasmid_harness::cheat::{Serving, made};
use plasmid_harness::false_server::{FalseServer, Guise};
use plasmid_harness::people::{Coin, Person};
use plasmid_harness::world::{ETHER_UNIT, FINALITY_DEPTH, PERIODS, World, deposit_of, ether};
use plasmid_light_watcher::report::{Report, State};
use plasmid_light_watcher::verdict::{AlarmKind, Fate};
use plasmid_light_watcher::watch::{Settings, Watch};
use plasmid_node::client::{Client, ClientLimits};
use plasmid_root_chain::calls::InputProof;
use tempfile::TempDir;

/// A person's light watcher, with its folder.
struct Guarding<'a> {
    world: &'a World,
    owner: &'a Person,
    servers: Vec<String>,
    folder: TempDir,
    watch: Option<Watch>,
}

impl<'a> Guarding<'a> {
    async fn start(world: &'a World, owner: &'a Person, servers: &[&str]) -> Self {
        let servers = servers.iter().map(|&url| url.to_owned()).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut guarding = Self { world, owner, servers, folder, watch: None };
        guarding.restart().await;
        guarding
    }

    /// Starts on what the folder holds.
    async fn restart(&mut self) {
        self.watch = None;
        let limits = ClientLimits { timeout: Duration::from_secs(3), ..ClientLimits::default() };
        let settings = Settings {
            owners: vec![self.owner.address()],
            servers: self.servers.iter().map(|url| Client::new(url, limits).expect("a URL")).collect(),
            folder: self.folder.path().to_owned(),
            finality_depth: FINALITY_DEPTH,
            leaves: true,
        };
        let sender = Arc::new(self.world.sender(self.owner).await);
        let watch = Watch::open(self.world.root.clone(), self.world.deployment, settings, vec![sender]);
        self.watch = Some(watch.expect("a fresh folder, or its own"));
    }

    /// Looks once, at all that is final by now.
    async fn look(&mut self) -> Report {
        let watch = self.watch.as_mut().expect("started");
        watch.catch_up(|_| {}).await.expect("the root chain is followed");
        watch.look().await.expect("the root chain answers")
    }

    /// Looks until a report is as wanted; what is due is done meanwhile.
    async fn until(&mut self, what: &str, is_wanted: impl Fn(&Report) -> bool) -> Report {
        for _ in 0..60 {
            let report = self.look().await;
            if is_wanted(&report) {
                return report;
            }
            let said = self.watch.as_mut().expect("started").pause(Duration::from_millis(500)).await;
            drop(said.expect("the root chain is followed"));
        }
        panic!("waited for this: {what}\n{}", self.look().await);
    }
}

fn fate(report: &Report, coin: &Coin) -> Option<Fate> {
    report.coins.iter().find(|row| row.id == coin.id).map(|row| row.fate)
}

fn states(report: &Report) -> Vec<&'static str> {
    report.servers.iter().map(|server| server.state).collect()
}

/// Alice pays Bob an ether of her two; the payment is committed and final.
async fn bob_is_paid(world: &World) -> Coin {
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let hers = world.deposit(alice, 2 * ETHER_UNIT).await;
    world.covered(&hers).await;
    let coins = world.pay(alice, &[hers], vec![ether(bob, ETHER_UNIT), ether(alice, ETHER_UNIT)]).await;
    world.committed(&coins[0]).await;
    coins[0]
}

#[tokio::test]
async fn a_liar_a_laggard_and_the_dead_are_told_apart_and_one_honest_server_is_enough() {
    let world = World::honest().await;
    let bob = &world.people.bob;
    let coin = bob_is_paid(&world).await;
    let (liar, laggard) =
        (FalseServer::start(world.operator().url()).await, FalseServer::start(world.operator().url()).await);
    let (liar_url, laggard_url, honest) = (liar.url(), laggard.url(), world.watcher().url().to_owned());
    let mut guarding = Guarding::start(&world, bob, &[&liar_url, &laggard_url, "http://127.0.0.1:9", &honest]).await;
    let seen = guarding.until("bob's coin is found and shown", |report| fate(report, &coin) == Some(Fate::Held)).await;
    assert_eq!((seen.state, states(&seen)), (State::Green, vec!["good", "good", "unreachable", "good"]));

    liar.set(Guise::Lying);
    laggard.set(Guise::Lagging(seen.block.get()));
    let more = world.deposit(&world.people.alice, ETHER_UNIT).await;
    world.covered(&more).await;
    world.settled().await;
    let block = seen.block;
    let report = guarding.until("the next block is final", |report| report.block > block).await;
    assert_eq!(
        (report.state, states(&report)),
        (State::Green, vec!["lying", "behind", "unreachable", "good"]),
        "{report}"
    );
    assert!(report.servers[0].detail.contains("does not show position"), "{report}");

    // Only the liar and the laggard are left: the coin is awaited, and after the grace an alarm that names what they said.
    guarding.servers.truncate(2);
    guarding.restart().await;
    let last = world.deposit(&world.people.alice, ETHER_UNIT).await;
    world.covered(&last).await;
    world.settled().await;
    let block = report.block;
    let report = guarding.until("the next block is final", |report| report.block > block).await;
    assert_eq!((report.state, fate(&report, &coin)), (State::Waiting, Some(Fate::Awaited)), "{report}");
    assert_eq!(report.servers[0].url, laggard_url, "who lied is asked last");
    laggard.set(Guise::Denying);
    world.move_time(PERIODS.grace() + 2).await;
    let report = guarding.until("an alarm", |report| report.state == State::Alarm).await;
    let missing = report.alarms.iter().find(|alarm| alarm.kind == AlarmKind::CoinMissing).expect("of the coin");
    assert!(missing.message.contains(&laggard_url) && missing.message.contains("never heard of it"), "{report}");
    laggard.set(Guise::Honest);
    guarding.until("its exit is on the way", |report| fate(report, &coin) == Some(Fate::Exiting)).await;
}

#[tokio::test]
async fn a_coin_that_the_operator_leaves_out_of_the_tree_is_paid_by_its_own_exit() {
    let (world, mut cheat) = World::cheated().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let hers = world.deposit(alice, 3 * ETHER_UNIT).await;
    cheat.cover(&[deposit_of(&hers)]);
    let payment = alice.sign(&world.domain(), &[hers], vec![ether(bob, ETHER_UNIT), ether(alice, 2 * ETHER_UNIT)]);
    let coins = made(cheat.next_place(0), &payment.placed());
    cheat.commit(std::slice::from_ref(&payment), Serving::Served).await;
    let watcher = world.watcher().url().to_owned();
    let mut guarding = Guarding::start(&world, bob, &[&watcher]).await;
    guarding.until("bob's coin is found and shown", |report| fate(report, &coins[0]) == Some(Fate::Held)).await;

    // The next block's tree has alice's coin and not his.
    let value = utxo_tree::value(coins[1].id, &coins[1].output);
    let without = UtxoTree::default().updated([(coins[1].position, Some(value))]);
    cheat.commit_raw(&[], without.root(), Serving::Served).await;
    world.seen().await;
    guarding.until("nobody shows his coin", |report| fate(report, &coins[0]) == Some(Fate::Awaited)).await;
    world.move_time(PERIODS.grace() + 2).await;
    // From here on nobody helps him.
    let folder = &guarding.folder;
    assert!(folder.path().join("light.json").exists());
    guarding.restart().await;
    guarding.until("his coin leaves by itself", |report| fate(report, &coins[0]) == Some(Fate::Exiting)).await;
    let record = world.until_exiting(coins[0].id).await;
    let before = world.balance(ETHER, bob.address()).await;
    world.move_time_to(record.key).await;
    guarding.until("he is paid", |report| fate(report, &coins[0]).is_none()).await;
    let gained = world.balance(ETHER, bob.address()).await.saturating_sub(before);
    assert!(gained > U256::from(ETHER_UNIT), "the coin and most of the bond, less gas: {gained}");
}

#[tokio::test]
async fn whoever_exits_what_she_paid_with_is_challenged_with_no_server_left() {
    let mut world = World::honest().await;
    let (bob, mallory) = (world.people.bob.clone(), world.people.mallory.clone());
    let (first, second) = (world.deposit(&mallory, ETHER_UNIT).await, world.deposit(&mallory, ETHER_UNIT).await);
    world.covered(&second).await;
    let mut paid = Vec::new();
    for coin in [first, second] {
        paid.extend(world.pay(&mallory, &[coin], vec![ether(&bob, ETHER_UNIT)]).await);
    }
    world.committed(&paid[1]).await;
    world.settled().await;
    let (operator, watcher) = (world.operator().url().to_owned(), world.watcher().url().to_owned());
    let kept = {
        let mut guarding = Guarding::start(&world, &bob, &[&operator, &watcher]).await;
        let is_held = |report: &Report| paid.iter().all(|coin| fate(report, coin) == Some(Fate::Held));
        guarding.until("bob's coins are found and shown", is_held).await;
        guarding.folder
    };
    world.kill_operator();
    world.kill_watcher();

    // With what one coin was paid she leaves; what the other was paid with she pays again, to herself, in flight.
    world.start_exit(&mallory, &first).await;
    let again = mallory.sign(&world.domain(), &[second], vec![ether(&mallory, ETHER_UNIT)]);
    world.start_in_flight(&mallory, &again, &[InputProof::Deposit(deposit_of(&second))]).await;
    let mut guarding = Guarding::start(&world, &bob, &[&operator, &watcher]).await;
    guarding.watch = None;
    guarding.folder = kept;
    guarding.restart().await;
    let report = guarding.until("nothing is left to do", |report| report.acts.is_empty()).await;
    assert_eq!(states(&report), ["unreachable", "unreachable"]);
    world.until_challenged(&first).await;
    let events = world.history().await;
    let is_bobs = |event: &&RootEvent| match event {
        RootEvent::StandardExitChallenged { output_id, challenger, .. } => {
            (*output_id, *challenger) == (first.id, bob.address())
        }
        RootEvent::InFlight { tx_hash, step } => match step.as_ref() {
            InFlightStep::CanonicityChallenged { challenger, place, .. } => {
                (*tx_hash, *challenger) == (again.body.hash(), bob.address()) && place.is_some()
            }
            _ => false,
        },
        _ => false,
    };
    assert_eq!(events.iter().filter(is_bobs).count(), 2, "{events:?}");
}

#[tokio::test]
async fn after_an_absence_it_asks_for_the_newest_block_alone() {
    let world = World::honest().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let coin = bob_is_paid(&world).await;
    let counting = FalseServer::start(world.operator().url()).await;
    let url = counting.url();
    let mut guarding = Guarding::start(&world, bob, &[&url]).await;
    let seen = guarding.until("bob's coin is found and shown", |report| fate(report, &coin) == Some(Fate::Held)).await;
    guarding.watch = None;
    for _ in 0..6 {
        let deposit = world.deposit(alice, ETHER_UNIT).await;
        world.covered(&deposit).await;
        let change = world.pay(alice, &[deposit], vec![ether(alice, ETHER_UNIT)]).await;
        world.committed(&change[0]).await;
    }
    world.settled().await;
    guarding.restart().await;
    counting.take_requests();
    let report = guarding.look().await;
    assert!(report.block.get() >= seen.block.get() + 5 && report.state == State::Green, "{report}");
    assert_eq!(counting.take_requests(), 3, "the header, the list of coins, the proofs");
}
