//! The operator's bond and keys, and the end of the chain, on a real contract. §2, §3, §8.

use alloy_primitives::{Address, U256};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::BlockNumber;
use plasmid_root_chain::calls::KEY_LEAD_BLOCKS;
use plasmid_root_chain::client::{OperatorBond, RootChain};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Call, LogRange};
use plasmid_root_chain::sender::{SendError, Sender};

use crate::anvil::{Anvil, PERIODS, address};
use crate::contract::{commit, events};

/// Sends a call that has one event.
async fn event(root_chain: &RootChain, sender: &Sender, call: &Call) -> RootEvent {
    let landed = sender.send(call).await.unwrap();
    match &events(root_chain, &landed)[..] {
        [event] => event.clone(),
        events => panic!("{events:?}"),
    }
}

/// Returns the name of the error with which a call is refused.
pub(crate) async fn refusal(sender: &Sender, call: &Call) -> String {
    match sender.send(call).await {
        Err(SendError::Refused(revert)) => revert.name,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_bond_is_posted_funded_and_withdrawn_when_the_chain_has_long_been_closed() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice) = (anvil.sender(0).await, anvil.sender(1).await);
    let (fault, bond) = (deployment.bonds.fault_slash_wei, deployment.bonds.operator_bond_wei().unwrap());
    let posted = OperatorBond { fault_part_wei: fault, receipt_part_wei: bond - fault };
    assert_eq!(root_chain.operator_bond().await.unwrap(), posted);
    let number = deployment.block.number;
    let logs = anvil.node().logs(root_chain.contract(), LogRange::Numbers(number, number)).await.unwrap();
    let facts: Vec<_> = logs.iter().map(|log| decode_event(root_chain.contract(), log).unwrap()).collect();
    let funded = |funder: Address, fault_part, receipt_part| RootEvent::BondFunded { funder, fault_part, receipt_part };
    assert_eq!(facts, [funded(address(0), posted.fault_part_wei, posted.receipt_part_wei)]);

    assert_eq!(event(&root_chain, &alice, &root_chain.fund_bond(3, 4)).await, funded(address(1), 3, 4));
    let now = OperatorBond { fault_part_wei: fault + 3, receipt_part_wei: bond - fault + 4 };
    assert_eq!(root_chain.operator_bond().await.unwrap(), now);

    let stranger = Address::repeat_byte(0xaa);
    assert_eq!(refusal(&alice, &root_chain.close_chain()).await, "NotYetSunset");
    assert_eq!(refusal(&operator, &root_chain.withdraw_bond(stranger)).await, "BondLocked");
    anvil.move_time(PERIODS.sunset + 10).await;
    assert_eq!(event(&root_chain, &alice, &root_chain.close_chain()).await, RootEvent::ChainClosed);
    let closed_at = root_chain.child_chain().await.unwrap().closed_at.unwrap();
    assert_eq!(closed_at, anvil.node().head().await.unwrap().timestamp);
    assert_eq!(refusal(&operator, &root_chain.withdraw_bond(stranger)).await, "BondLocked");
    anvil.move_time(2 * PERIODS.minimum_exit_period + 10).await;
    assert_eq!(refusal(&alice, &root_chain.withdraw_bond(stranger)).await, "NotOperator");
    let withdrawn = RootEvent::BondWithdrawn { to: stranger, amount: U256::from(bond + 7) };
    assert_eq!(event(&root_chain, &operator, &root_chain.withdraw_bond(stranger)).await, withdrawn);
    assert_eq!(anvil.node().balance(ETHER, stranger).await.unwrap(), U256::from(bond + 7));
    let nothing = OperatorBond { fault_part_wei: 0, receipt_part_wei: 0 };
    assert_eq!(root_chain.operator_bond().await.unwrap(), nothing);
}

#[tokio::test]
async fn a_key_is_proposed_accepts_and_takes_over_far_ahead() {
    let anvil = Anvil::start();
    let (root_chain, _) = anvil.deploy().await;
    let (operator, alice) = (anvil.sender(0).await, anvil.sender(1).await);
    let earliest = BlockNumber::new(2 + KEY_LEAD_BLOCKS).unwrap();
    let proposed = |next| RootEvent::OperatorProposed { next };
    assert_eq!(root_chain.proposed_operator().await.unwrap(), None);
    assert_eq!(refusal(&alice, &root_chain.propose_operator(address(1))).await, "NotOperator");
    let propose = root_chain.propose_operator(address(1));
    assert_eq!(event(&root_chain, &operator, &propose).await, proposed(address(1)));
    assert_eq!(root_chain.proposed_operator().await.unwrap(), Some(address(1)));
    let take_back = root_chain.propose_operator(Address::ZERO);
    assert_eq!(event(&root_chain, &operator, &take_back).await, proposed(Address::ZERO));
    assert_eq!(refusal(&alice, &root_chain.accept_operator(earliest)).await, "NotProposed");

    event(&root_chain, &operator, &propose).await;
    let too_soon = root_chain.accept_operator(earliest.previous().unwrap());
    assert_eq!(refusal(&alice, &too_soon).await, "WrongFirstBlock");
    let accepted = RootEvent::OperatorAccepted { operator: address(1), first_block: earliest };
    assert_eq!(event(&root_chain, &alice, &root_chain.accept_operator(earliest)).await, accepted);
    assert_eq!(root_chain.proposed_operator().await.unwrap(), None);
    assert_eq!(root_chain.operator_of(earliest.previous().unwrap()).await.unwrap(), address(0));
    assert_eq!(root_chain.operator_of(earliest).await.unwrap(), address(1));
    assert_eq!(refusal(&operator, &propose).await, "RotationPending");
    anvil.move_time(10).await;
    commit(&root_chain, &operator, 1, &[], 0).await;
}
