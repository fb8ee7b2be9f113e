//! Reorganisations of the root chain, which lose every transaction of the blocks that they take away. §2, §3.1.

use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::position::BlockNumber;
use plasmid_harness::anvil::{go_on_mining, mine, mine_blocks, reorganise, stop_mining, waiting};
use plasmid_harness::people::{Coin, Person};
use plasmid_harness::world::{ETHER_UNIT, PERIODS, Setup, World, ether, eventually};
use plasmid_node::client::ClientError;
use plasmid_node::problem::Code;
use plasmid_node::wire::CoinState;
use plasmid_root_chain::node::Call;
use plasmid_root_chain::rpc::Rpc;

/// Anvil goes no deeper.
const DEPTHS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
/// A finality depth above all of them; F is 300 s, since the depth may take half of it.
const DEEP: Setup = Setup { periods: Periods { minimum_exit_period: 2_400, sunset: 19_200 }, finality_depth: 70 };
/// A finality depth below all but the first.
const SHALLOW: Setup = Setup { periods: PERIODS, finality_depth: 1 };

fn rpc(world: &World) -> &Rpc {
    world.root.node().rpc()
}

/// Makes everything that is on the root chain final.
async fn bury(world: &World) {
    mine_blocks(rpc(world), DEEP.finality_depth).await;
    world.settled().await;
}

/// Waits until so many transactions wait to be in a root block.
async fn waits(world: &World, count: u64) {
    let what = format!("{count} transactions wait for a root block");
    eventually(&what, async || (waiting(rpc(world)).await >= count).then_some(())).await;
}

/// Returns `count` coins of one ether each, all in one final block.
async fn coins(world: &World, person: &Person, count: usize) -> Vec<Coin> {
    let deposit = world.deposit(person, count as u128 * ETHER_UNIT).await;
    bury(world).await;
    world.covered(&deposit).await;
    let mut coins = Vec::new();
    let mut rest = deposit;
    while coins.len() < count {
        let left = count - coins.len();
        let made = left.min(15);
        let mut outputs = vec![ether(person, ETHER_UNIT); made];
        outputs.extend((left > made).then(|| ether(person, (left - made) as u128 * ETHER_UNIT)));
        let mut paid = world.pay(person, &[rest], outputs).await;
        rest = paid[paid.len() - 1];
        paid.truncate(made);
        coins.extend(paid);
    }
    world.committed(&rest).await;
    bury(world).await;
    coins
}

async fn is_exiting(world: &World, coin: &Coin) -> bool {
    !world.root.coin(coin.id).await.expect("the root chain answers").record_hash.is_zero()
}

/// Sends a call while nobody mines, and returns once it waits.
async fn send_unmined(world: &World, person: &Person, call: &Call) {
    let sender = world.sender(person).await;
    let nonce = sender.next_nonce().await.expect("the root chain answers");
    let gas = sender.gas_limit(call).await.expect("the call is in order");
    let transaction = sender.sign(call, nonce, gas + 50_000, sender.fees().await.expect("the root chain answers"));
    sender.broadcast(&transaction).await.expect("the root chain takes it");
}

/// The roots to which a block is committed, if it is.
async fn roots(world: &World, number: BlockNumber) -> Option<[String; 3]> {
    let header = world.operator().block(number).await.ok()?.header?;
    Some([
        header.tx_root.to_string(),
        header.utxo_root.to_string(),
        format!("{} {}", header.tx_count, header.deposit_count),
    ])
}

/// The code with which the operator refuses the payment, if it does.
async fn refusal(world: &World, payer: &Person, coin: &Coin, to: &Person) -> Option<Code> {
    match world.try_pay(payer, &[*coin], vec![ether(to, coin.output.amount)]).await {
        Ok(_) => None,
        Err(ClientError::Problem { problem, .. }) => Some(problem.code),
        Err(error) => panic!("not refused but failed: {error:?}"),
    }
}

/// A watcher that found all committed blocks valid, and nothing alarming.
async fn all_is_well(world: &World) {
    world.settled().await;
    let status = world.watcher().status().await.expect("the watcher answers");
    assert_eq!((status.alarms, status.block.verified), (0, status.block.committed), "{status:?}");
}

#[tokio::test]
async fn a_deposit_a_block_and_an_exit_taken_back_above_finality_need_no_person() {
    let world = deep_world().await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let coins = coins(&world, alice, 2 * DEPTHS.len()).await;
    for (depth, pair) in DEPTHS.into_iter().zip(coins.chunks(2)) {
        let (paid_with, exiting) = (pair[0], pair[1]);
        stop_mining(rpc(&world)).await;
        world.seen().await;
        let payment = world.pay(alice, &[paid_with], vec![ether(bob, ETHER_UNIT)]).await[0];
        let number = payment.position.block().expect("a child-chain coin");
        waits(&world, 1).await;
        send_unmined(&world, bob, &world.root.deposit(bob.address(), depth.into())).await;
        send_unmined(&world, alice, &world.exit_call(&exiting, 0).await).await;
        waits(&world, 3).await;
        mine(rpc(&world)).await;
        mine_blocks(rpc(&world), depth - 1).await;
        world.seen().await;
        let committed_to = roots(&world, number).await.expect("the block is committed");
        assert!(is_exiting(&world, &exiting).await);
        assert_eq!(refusal(&world, alice, &exiting, bob).await, Some(Code::Exiting), "exits count at the head");

        reorganise(rpc(&world), depth).await;
        world.seen().await;
        assert_eq!(roots(&world, number).await, None, "the block at depth {depth} is gone");
        assert!(!is_exiting(&world, &exiting).await, "and so is the exit");

        go_on_mining(rpc(&world)).await;
        let landed = eventually("the block lands again", async || roots(&world, number).await).await;
        assert_eq!(landed, committed_to, "with the same content, after {depth} root blocks were taken back");
        let spent = world.pay(alice, &[exiting], vec![ether(bob, ETHER_UNIT)]).await[0];
        world.committed(&spent).await;

        // Bob has his ether, and deposits it again. It counts once it is final, and not a root block earlier.
        world.settled().await;
        stop_mining(rpc(&world)).await;
        send_unmined(&world, bob, &world.root.deposit(bob.address(), depth.into())).await;
        mine(rpc(&world)).await;
        mine_blocks(rpc(&world), DEEP.finality_depth - 1).await;
        world.seen().await;
        let mine_of_bob = async || {
            let page = world.operator().coins(bob.address(), None, None).await.expect("the operator answers");
            let of_depth = |coin: &&plasmid_node::wire::Coin| coin.output.amount == u128::from(depth);
            page.items.iter().find(of_depth).map(|coin| coin.state)
        };
        assert_eq!(mine_of_bob().await, Some(CoinState::Pending));
        mine(rpc(&world)).await;
        eventually("the deposit is credited", async || (mine_of_bob().await? != CoinState::Pending).then_some(()))
            .await;
        go_on_mining(rpc(&world)).await;
        // Its block must not be the one that the next round finds waiting.
        let is_committed = |state| matches!(state, CoinState::Committed | CoinState::Final);
        eventually("and committed", async || is_committed(mine_of_bob().await?).then_some(())).await;
        world.settled().await;
    }
    all_is_well(&world).await;
    println!(
        "faults: reorganisations of {DEPTHS:?} root blocks below finality depth 70, each without a deposit, a block and an exit: 0 lost"
    );
}

#[tokio::test]
async fn a_challenge_taken_back_is_sent_again() {
    let world = deep_world().await;
    let (mallory, bob) = (&world.people.mallory, &world.people.bob);
    let coins = coins(&world, mallory, DEPTHS.len()).await;
    for coin in &coins {
        world.pay(mallory, &[*coin], vec![ether(bob, ETHER_UNIT)]).await;
    }
    world.settled().await;
    let mut again = 0;
    for (depth, coin) in DEPTHS.into_iter().zip(&coins) {
        stop_mining(rpc(&world)).await;
        world.seen().await;
        send_unmined(&world, mallory, &world.exit_call(coin, 0).await).await;
        mine(rpc(&world)).await;
        assert!(is_exiting(&world, coin).await);
        waits(&world, 1).await;
        mine(rpc(&world)).await;
        assert!(!is_exiting(&world, coin).await, "challenged");
        mine_blocks(rpc(&world), depth - 1).await;
        world.seen().await;
        reorganise(rpc(&world), depth).await;
        assert!(is_exiting(&world, coin).await, "the challenge at depth {depth} is gone");
        go_on_mining(rpc(&world)).await;
        eventually("the challenge is sent again", async || (!is_exiting(&world, coin).await).then_some(())).await;
        again += 1;
        bury(&world).await;
        assert!(!is_exiting(&world, coin).await);
    }
    all_is_well(&world).await;
    println!(
        "faults: reorganisations of {DEPTHS:?} root blocks, each without a challenge: {again} sent again, 0 missed"
    );
}

#[tokio::test]
async fn a_covered_deposit_taken_back_stops_the_operator_until_it_returns() {
    let mut world = World::honest_with(SHALLOW).await;
    let (alice, bob, carol) = (world.people.alice.clone(), world.people.bob.clone(), world.people.carol.clone());
    let funds = world.deposit(&alice, 100).await;
    world.covered(&funds).await;
    let change = world.pay(&alice, &[funds], vec![ether(&alice, 10); 10]).await;
    world.committed(&change[0]).await;
    world.settled().await;
    mine_blocks(rpc(&world), 64).await;
    world.settled().await;
    let mut stops = 0;
    for (depth, hers) in DEPTHS[1..].iter().copied().zip(&change) {
        stop_mining(rpc(&world)).await;
        world.seen().await;
        send_unmined(&world, &bob, &world.root.deposit(bob.address(), depth.into())).await;
        mine(rpc(&world)).await;
        mine_blocks(rpc(&world), depth - 1).await;
        let (id, output) = own_coin(&world, &bob, depth).await;
        world.covered(&id).await;
        let payment = world.pay(&bob, &[id], vec![output]).await[0];
        reorganise(rpc(&world), depth).await;
        world.seen().await;
        go_on_mining(rpc(&world)).await;
        assert_eq!(refusal(&world, &alice, hers, &carol).await, Some(Code::RootChainReorganised), "depth {depth}");
        let log = world.log("plasmid-operator");
        let says = log.lines().filter(|line| line.contains("ERROR") && line.contains("covered deposit")).count();
        stops += 1;
        assert!(says >= stops, "loudly, {stops} times: {log}");
        if depth == 8 {
            world.kill_operator();
            world.start_operator();
            eventually("the operator, started again, says the same", async || {
                match world.try_pay(&alice, &[*hers], vec![ether(&carol, 10)]).await {
                    Err(ClientError::Problem { problem, .. }) => {
                        (problem.code == Code::RootChainReorganised).then_some(())
                    }
                    _ => None,
                }
            })
            .await;
        }

        let returned = world.deposit(&bob, depth.into()).await;
        assert_eq!(returned.id, id.id, "the same deposit");
        eventually("the operator goes on", async || {
            world.try_pay(&alice, &[*hers], vec![ether(&carol, 10)]).await.ok()
        })
        .await;
        world.committed(&payment).await;
        all_is_well(&world).await;
    }

    // Another deposit in its place: only a person can help now.
    let id = world.deposit(&bob, 1_000).await;
    world.covered(&id).await;
    stop_mining(rpc(&world)).await;
    reorganise(rpc(&world), 8).await;
    go_on_mining(rpc(&world)).await;
    world.deposit(&carol, 1_000).await;
    for _ in 0..5 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(refusal(&world, &alice, &change[9], &carol).await, Some(Code::RootChainReorganised));
    }
    println!(
        "faults: {stops} reorganisations deeper than finality took a covered deposit: stopped, and went on when it returned; 1 did not return: stopped for good"
    );
}

#[tokio::test]
async fn a_final_block_taken_back_below_finality_lands_again() {
    let world = World::honest_with(SHALLOW).await;
    let (alice, bob) = (&world.people.alice, &world.people.bob);
    let funds = world.deposit(alice, 100).await;
    world.covered(&funds).await;
    let change = world.pay(alice, &[funds], vec![ether(alice, 10); 10]).await;
    world.committed(&change[0]).await;
    world.settled().await;
    mine_blocks(rpc(&world), 64).await;
    world.settled().await;
    let archive = world.data_dir("plasmid-operator").join("blocks");
    for (depth, coin) in DEPTHS[1..].iter().copied().zip(&change) {
        stop_mining(rpc(&world)).await;
        world.seen().await;
        let payment = world.pay(alice, &[*coin], vec![ether(bob, 10)]).await[0];
        let number = payment.position.block().expect("a child-chain coin");
        waits(&world, 1).await;
        mine(rpc(&world)).await;
        mine_blocks(rpc(&world), depth - 1).await;
        let body = archive.join(format!("{:012}.body", number.get()));
        eventually("the block is final and archived", async || body.is_file().then_some(())).await;
        let committed_to = roots(&world, number).await.expect("the block is committed");
        reorganise(rpc(&world), depth).await;
        world.seen().await;
        assert_eq!(roots(&world, number).await, None, "the block at depth {depth} is gone");
        go_on_mining(rpc(&world)).await;
        let landed = eventually("the block lands again", async || roots(&world, number).await).await;
        assert_eq!(landed, committed_to, "with the same content, after {depth} root blocks were taken back");
        let again = world.pay(bob, &[payment], vec![ether(bob, 10)]).await[0];
        world.committed(&again).await;
        all_is_well(&world).await;
    }
    println!(
        "faults: reorganisations of {:?} root blocks above finality depth 1, each without a final block: 0 lost",
        &DEPTHS[1..]
    );
}

/// Returns the deposit of this amount that the operator knows of, and an output that gives it back.
async fn own_coin(world: &World, person: &Person, amount: u64) -> (Coin, plasmid_exit_game::output::Output) {
    let found = eventually("the operator knows the deposit", async || {
        let page = world.operator().coins(person.address(), None, None).await.ok()?;
        page.items.into_iter().find(|coin| coin.output.amount == u128::from(amount) && coin.spender.is_none())
    })
    .await;
    (Coin { id: found.id, position: found.position, output: found.output }, found.output)
}

/// A world at finality depth 70, with as many root blocks.
async fn deep_world() -> World {
    let mut world = World::bare_with(DEEP).await;
    mine_blocks(rpc(&world), DEEP.finality_depth).await;
    world.start_services().await;
    world
}
