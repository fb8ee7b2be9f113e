//! Blocks with any leaves, committed with the operator's key.

use alloy_primitives::B256;
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::tx_tree;
use plasmid_harness::anvil::move_time;
use plasmid_root_chain::calls::Submission;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::events::decode_event;

use crate::root_chain::{node, sender};
use crate::user::Net;

const OPERATOR: usize = 0;

/// Commits a block of these leaves over the first deposit, served by nobody, and returns its header.
pub(crate) async fn commit(net: &Net, number: BlockNumber, leaves: &[PlacedTransaction]) -> Header {
    let hashes: Vec<B256> = leaves.iter().map(|leaf| tx_tree::leaf(leaf.body.hash(), leaf.witness.hash())).collect();
    // A block is later than the one before, or the deployment, by a second at least.
    move_time(node(net).rpc(), 2).await;
    let head = node(net).head().await.unwrap();
    let block = Submission {
        number,
        tx_root: tx_tree::root(&hashes),
        utxo_root: B256::repeat_byte(7),
        tx_count: hashes.len() as u32,
        deposit_count: 1,
        anchor: head.at,
        not_after: head.timestamp + 60,
    };
    let root = RootChain::new(node(net), net.contract.parse().unwrap());
    let landed = sender(net, OPERATOR).await.send(&root.submit_block(&block)).await.unwrap();
    let events = landed.logs.iter().map(|log| decode_event(root.contract(), log).unwrap());
    let mut headers = events.filter_map(|event| match event {
        RootEvent::BlockSubmitted(header) => Some(header),
        _ => None,
    });
    headers.next().expect("a submission says so")
}

/// Returns the body of a block with these leaves.
pub(crate) fn body_of(leaves: &[PlacedTransaction]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        let (body, witness) = (leaf.body.encode(), leaf.witness.encode());
        BodyItem::Preimage { body: &body, witness: &witness }.encode_to(&mut bytes);
    }
    bytes
}
