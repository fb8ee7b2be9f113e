//! The follower: facts in order, reorganisations as steps, liars refused.

use std::time::Duration;

use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::follower::{FollowError, Follower, FollowerSettings, Step};
use plasmid_root_chain::node::{LogRange, Node, ReadError};
use plasmid_root_chain::rpc::{Rpc, RpcError, RpcSettings};
use tokio::time::timeout;

use crate::anvil::{Anvil, address};

/// A consumer: connects and disconnects as it is told, and checks that it is told well.
struct Consumer {
    follower: Follower,
    blocks: Vec<RootBlock>,
    disconnected: usize,
}

impl Consumer {
    fn new(root_chain: &RootChain, deployment: Deployment, connected: &[RootRef], finality_depth: u64) -> Self {
        let settings =
            FollowerSettings { poll_interval: Duration::from_millis(10), ..FollowerSettings::new(finality_depth) };
        let follower = Follower::new(root_chain.clone(), deployment, connected, settings);
        Self { follower, blocks: Vec::new(), disconnected: 0 }
    }

    /// Takes steps until there are none for a while.
    async fn catch_up(&mut self) {
        while let Ok(step) = timeout(Duration::from_millis(300), self.follower.next()).await {
            match step.unwrap() {
                Step::Connect(block) => {
                    assert!(self.blocks.last().is_none_or(|last| last.at.number < block.at.number));
                    self.blocks.push(block);
                }
                Step::Disconnect(at) => {
                    assert_eq!(self.blocks.pop().map(|last| last.at), Some(at));
                    self.disconnected += 1;
                }
            }
        }
        assert_eq!(self.follower.head(), self.blocks.last().map(|last| last.at));
    }

    fn events(&self) -> Vec<RootEvent> {
        self.blocks.iter().flat_map(|block| block.events.clone()).collect()
    }

    fn deposited(&self) -> Vec<u128> {
        let amounts = self.events().into_iter().filter_map(|event| match event {
            RootEvent::Deposited(deposit) => Some(deposit.output.amount),
            // The deployment posts the operator's bond.
            RootEvent::BondFunded { .. } => None,
            event => panic!("{event:?}"),
        });
        amounts.collect()
    }
}

#[tokio::test]
async fn every_block_near_the_head_is_connected_and_only_those_with_events_far_below() {
    let anvil = Anvil::start();
    anvil.mine(7).await;
    let (root_chain, deployment) = anvil.deploy().await;
    let sender = anvil.sender(1).await;
    sender.send(&root_chain.deposit(address(1), 1)).await.unwrap();
    anvil.mine(100).await;
    sender.send(&root_chain.deposit(address(2), 2)).await.unwrap();
    anvil.mine(10).await;
    sender.send(&root_chain.deposit(address(2), 3)).await.unwrap();
    let head = root_chain.node().head().await.unwrap().at;

    let mut consumer = Consumer::new(&root_chain, deployment, &[], 5);
    consumer.catch_up().await;
    assert_eq!(consumer.deposited(), [1, 2, 3]);
    assert_eq!(consumer.follower.head(), Some(head));
    let numbers: Vec<_> = consumer.blocks.iter().map(|block| block.at.number).collect();
    let first = deployment.block.number;
    assert_eq!(numbers[..3], [first, first + 1, first + 102]);
    assert_eq!(
        numbers[3..],
        [head.number - 5, head.number - 4, head.number - 3, head.number - 2, head.number - 1, head.number]
    );
    assert_eq!(consumer.follower.anchor().map(|anchor| anchor.number), Some(head.number - 5));
    let progress = consumer.follower.progress();
    assert_eq!((progress.done, progress.total), (head.number - first + 1, head.number - first + 1));
}

#[tokio::test]
async fn a_reorganisation_is_disconnected_block_by_block_and_ends_in_the_same_state_as_a_fresh_start() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let sender = anvil.sender(1).await;
    let mut consumer = Consumer::new(&root_chain, deployment, &[], 3);
    for amount in 1..=5 {
        sender.send(&root_chain.deposit(address(1), amount)).await.unwrap();
    }
    consumer.catch_up().await;
    assert_eq!(consumer.deposited(), [1, 2, 3, 4, 5]);

    anvil.reorganise(3).await;
    consumer.catch_up().await;
    assert_eq!(consumer.disconnected, 3);
    assert_eq!(consumer.deposited(), [1, 2]);
    sender.send(&root_chain.deposit(address(1), 6)).await.unwrap();
    consumer.catch_up().await;
    assert_eq!(consumer.deposited(), [1, 2, 6]);

    // Deeper than the finality depth: as far as blocks are remembered, that is a step like any other.
    anvil.reorganise(5).await;
    anvil.mine(8).await;
    consumer.catch_up().await;
    let mut fresh = Consumer::new(&root_chain, deployment, &[], 100);
    fresh.catch_up().await;
    assert_eq!(consumer.events(), fresh.events());
    assert_eq!(consumer.follower.head(), fresh.follower.head());
}

#[tokio::test]
async fn a_follower_goes_on_where_it_was_even_if_that_is_gone() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let sender = anvil.sender(1).await;
    for amount in 1..=3 {
        sender.send(&root_chain.deposit(address(1), amount)).await.unwrap();
    }
    let mut before = Consumer::new(&root_chain, deployment, &[], 3);
    before.catch_up().await;
    anvil.reorganise(2).await;

    let connected: Vec<_> = before.blocks.iter().map(|block| block.at).collect();
    let mut after = Consumer::new(&root_chain, deployment, &connected, 3);
    after.blocks = before.blocks;
    after.catch_up().await;
    assert_eq!(after.disconnected, 2);
    assert_eq!(after.deposited(), [1]);

    let gone = &connected[connected.len() - 2..];
    let mut forgetful = Consumer::new(&root_chain, deployment, gone, 3);
    assert_eq!(forgetful.follower.next().await.unwrap(), Step::Disconnect(gone[1]));
    let error = forgetful.follower.next().await.unwrap_err();
    assert!(matches!(error, FollowError::TooDeep { oldest } if oldest == gone[0]), "{error}");
}

#[tokio::test]
async fn logs_too_large_for_one_reply_are_fetched_in_parts() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let sender = anvil.sender(1).await;
    let fees = sender.fees().await.unwrap();
    for amount in 1..=150 {
        let call = root_chain.deposit(address(1), amount);
        sender.broadcast(&sender.sign(&call, amount as u64 - 1, 100_000, fees)).await.unwrap();
    }
    // Enough for the contract's code, and for half of the logs.
    let settings = RpcSettings { reply_bytes_max: 60_000, ..RpcSettings::default() };
    let narrow = RootChain::new(Node::new(Rpc::new(&[&anvil.url], settings).unwrap()), deployment.contract);
    let whole = narrow.node().logs(deployment.contract, LogRange::Numbers(0, 1_000)).await;
    assert!(matches!(whole, Err(ReadError::Rpc(RpcError::TooLarge { .. }))));
    let mut consumer = Consumer::new(&narrow, deployment, &[], 3);
    consumer.catch_up().await;
    assert!(consumer.deposited().into_iter().eq(1..=150));
}

#[tokio::test]
async fn a_shorter_chain_of_the_same_blocks_is_a_node_that_lags_behind() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    anvil.mine(5).await;
    let mut consumer = Consumer::new(&root_chain, deployment, &[], 3);
    consumer.catch_up().await;
    anvil.control("anvil_rollback", serde_json::json!([2])).await;
    consumer.catch_up().await;
    assert_eq!(consumer.disconnected, 0);
    // Once it has other blocks, those behind are gone.
    anvil.move_time(1_000).await;
    consumer.catch_up().await;
    assert_eq!(consumer.disconnected, 2);
}

#[tokio::test]
async fn another_chain_is_refused_whenever_it_appears() {
    let (anvil, other) = (Anvil::start(), Anvil::start());
    let (root_chain, deployment) = anvil.deploy().await;
    other.mine(3).await;
    let mut stranger = Consumer::new(&RootChain::new(other.node(), deployment.contract), deployment, &[], 3);
    let error = stranger.follower.next().await.unwrap_err();
    assert!(matches!(error, FollowError::NoDeployment { .. }), "{error}");

    let wrong_id = Deployment { chain_id: 1, ..deployment };
    let error = Consumer::new(&root_chain, wrong_id, &[], 3).follower.next().await.unwrap_err();
    assert!(matches!(error, FollowError::OtherChain { expected: 1, found: 31_337 }), "{error}");

    // The second node is asked only once the first is gone; nothing of it is taken for a fact.
    let settings = RpcSettings { connect_timeout: Duration::from_millis(200), ..RpcSettings::default() };
    let rpc = Rpc::new(&[&anvil.url, &other.url], settings).unwrap();
    let both = RootChain::new(Node::new(rpc), deployment.contract);
    let mut consumer = Consumer::new(&both, deployment, &[], 3);
    consumer.catch_up().await;
    assert_eq!(consumer.blocks.len(), 1);
    drop(anvil);
    let error = consumer.follower.next().await.unwrap_err();
    assert!(matches!(error, FollowError::NoDeployment { .. }), "{error}");
    // It does not stay there: the first node is asked again.
    let error = consumer.follower.next().await.unwrap_err();
    assert!(matches!(error, FollowError::NoDeployment { .. } | FollowError::Read(_)), "{error}");
    assert_eq!(consumer.follower.head(), Some(deployment.block));
}
