//! Proofs of faults and broken receipts on a real contract: every call is taken, every event is a fact, every view is read. §3.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{
    Conviction, Creation, FaultProof, HeldKey, Origin, Rule, ShownBody, ShownLeaf, SpentCoin,
};
use plasmid_exit_game::output::{ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
use plasmid_exit_game::tx_tree;
use plasmid_root_chain::calls::announcement_of;
use plasmid_root_chain::client::{OperatorBond, RootChain};
use plasmid_root_chain::deploy::{ANNOUNCE_GAS, PROVE_RECEIPT_GAS};
use plasmid_root_chain::node::Call;
use plasmid_root_chain::sender::Sender;

use crate::anvil::{Anvil, PERIODS, account, address};
use crate::contract::{assert_is_constant, commit, events};
use crate::operations::refusal;

/// Commits a block with a leaf that no decoder takes, and proves it.
pub(crate) async fn broken_block(
    root_chain: &RootChain,
    operator: &Sender,
    number: u64,
    deposit_count: u64,
) -> FaultProof {
    let (body, witness) = (Bytes::from_static(&[1, 2, 3]), Bytes::from_static(&[4]));
    let witness_hash = keccak256(&witness);
    let leaves = [tx_tree::EMPTY_LEAF, tx_tree::leaf(TxHash(keccak256(&body)), witness_hash)];
    let header = commit(root_chain, operator, number, &leaves, deposit_count).await;
    let path = tx_tree::path(&leaves, 1).unwrap();
    FaultProof::NotCanonical {
        leaf: ShownLeaf { body, witness, inclusion: InclusionProof { header, index: 1, witness_hash, path } },
    }
}

async fn announce(root_chain: &RootChain, sender: &Sender, call: &Call) -> u64 {
    let announcement = announcement_of(sender.account().address(), call);
    let landed = sender.send(&root_chain.announce_fault(announcement)).await.unwrap();
    assert_eq!(events(root_chain, &landed), [RootEvent::FaultAnnounced { announcement }]);
    assert_eq!(root_chain.announcement(announcement).await.unwrap(), Some(landed.block.number));
    assert_is_constant(landed.gas_used, ANNOUNCE_GAS);
    landed.block.number
}

#[tokio::test]
async fn a_fault_that_was_announced_halts_the_chain_and_rewards_its_accuser() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice) = (anvil.sender(0).await, anvil.sender(1).await);
    anvil.move_time(10).await;
    commit(&root_chain, &operator, 1, &[], 0).await;
    anvil.move_time(10).await;
    let proof = broken_block(&root_chain, &operator, 2, 0).await;
    let number = BlockNumber::new(2).unwrap();
    assert_eq!(root_chain.conviction(number).await.unwrap(), None);

    let call = root_chain.prove_fault(&proof);
    assert_eq!(root_chain.announcement(announcement_of(address(1), &call)).await.unwrap(), None);
    announce(&root_chain, &alice, &call).await;
    let again = root_chain.announce_fault(announcement_of(address(1), &call));
    assert_eq!(refusal(&alice, &again).await, "AlreadyAnnounced");
    anvil.mine(1).await;
    let landed = alice.send(&call).await.unwrap();
    let slash = deployment.bonds.fault_slash_wei;
    let proven = RootEvent::FaultProven {
        number,
        rule: Rule::R1,
        accuser: address(1),
        evidence: keccak256(&call.data),
        slashed: U256::from(slash),
    };
    let rewarded = RootEvent::FaultRewarded { number, accuser: address(1), amount: U256::from(slash / 2) };
    assert_eq!(events(&root_chain, &landed), [proven, rewarded]);
    let conviction = Conviction { root_block: landed.block.number, reward: 0 };
    assert_eq!(root_chain.conviction(number).await.unwrap(), Some(conviction));
    let receipt_part_wei = deployment.bonds.operator_bond_wei().unwrap() - slash;
    let left = OperatorBond { fault_part_wei: 0, receipt_part_wei };
    assert_eq!(root_chain.operator_bond().await.unwrap(), left);
    let child_chain = root_chain.child_chain().await.unwrap();
    let now = anvil.node().head().await.unwrap().timestamp;
    assert_eq!((child_chain.halted_from, child_chain.halted_at), (Some(number), Some(now)));
    assert_eq!(refusal(&alice, &call).await, "AlreadyConvicted");
    assert_eq!(refusal(&alice, &root_chain.fund_bond(1, 1)).await, "ChainStopped");
}

#[tokio::test]
async fn the_reward_of_a_proof_that_was_not_announced_waits_for_who_announced_in_time() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice, bob) = (anvil.sender(0).await, anvil.sender(1).await, anvil.sender(2).await);
    anvil.move_time(10).await;
    let proof = broken_block(&root_chain, &operator, 1, 0).await;
    let call = root_chain.prove_fault(&proof);
    announce(&root_chain, &alice, &call).await;
    anvil.mine(1).await;
    let landed = bob.send(&call).await.unwrap();
    assert!(matches!(events(&root_chain, &landed)[..], [RootEvent::FaultProven { .. }]), "{landed:?}");
    let reward = deployment.bonds.fault_slash_wei / 2;
    let waiting = Conviction { root_block: landed.block.number, reward };
    assert_eq!(root_chain.conviction(BlockNumber::FIRST).await.unwrap(), Some(waiting));
    assert_eq!(refusal(&bob, &call).await, "AlreadyConvicted");
    let landed = alice.send(&call).await.unwrap();
    let amount = U256::from(reward);
    let rewarded = RootEvent::FaultRewarded { number: BlockNumber::FIRST, accuser: address(1), amount };
    assert_eq!(events(&root_chain, &landed), [rewarded]);
}

/// The contract reads each proof as far as its header, which nobody committed.
#[tokio::test]
async fn every_prover_is_reached() {
    let anvil = Anvil::start();
    let (root_chain, _) = anvil.deploy().await;
    let alice = anvil.sender(1).await;
    let output_id = OutputId(B256::repeat_byte(1));
    let bytes = Bytes::from_static(&[7; 40]);
    let inclusion = InclusionProof { path: vec![B256::repeat_byte(3)], ..InclusionProof::NONE };
    let leaf = ShownLeaf { body: bytes.clone(), witness: bytes.clone(), inclusion: inclusion.clone() };
    let spend = ShownBody { body: bytes.clone(), inclusion: inclusion.clone() };
    let creation = Creation { fields: bytes.clone(), index: 5 };
    let origin = Origin {
        header: inclusion.header,
        path: inclusion.path.clone(),
        tx_hash: B256::repeat_byte(4),
        witness_hash: B256::repeat_byte(5),
        body: bytes.clone(),
        witness: bytes.clone(),
    };
    let held =
        HeldKey { header: inclusion.header, position: u64::MAX, value: B256::repeat_byte(6), proof: bytes.clone() };
    let spent = SpentCoin { output_id, output: bytes.clone(), spend: spend.clone() };
    let output = Output { owner: address(1), asset: ETHER, amount: 1 };
    let exit = ExitRecord { output_id, position: Position::of_deposit(0).unwrap(), output, key: 9 };
    let (input, exit_body) = (15, bytes.clone());
    for proof in [
        FaultProof::NotCanonical { leaf: leaf.clone() },
        FaultProof::NotBefore { leaf: leaf.clone(), input },
        FaultProof::NotMade { leaf: leaf.clone(), input, origin: origin.clone() },
        FaultProof::NotDeposited { leaf: leaf.clone(), input, creation: creation.clone() },
        FaultProof::NotSigned { leaf, input, creation: creation.clone() },
        FaultProof::Unbalanced { spend: spend.clone(), creations: vec![creation.clone(), creation.clone()] },
        FaultProof::DoubleSpend { spend: spend.clone(), other: spend.clone(), output_id },
        FaultProof::HeldSpent { held: held.clone(), spent },
        FaultProof::HeldNotMade { held: held.clone(), origin },
        FaultProof::HeldNotDeposited { held, creation },
        FaultProof::Settled { spend: spend.clone(), input },
        FaultProof::Exiting { spend: spend.clone(), input, exit },
        FaultProof::ExitingInFlight { spend, input, exit_body, piece: 31 },
    ] {
        assert_eq!(refusal(&alice, &root_chain.prove_fault(&proof)).await, "UnknownHeader", "{proof:?}");
    }
}

/// A receipt for all leaves of block 1, due at `by`, that the operator's key signed.
fn receipt(leaves: &[B256], by: u64) -> Receipt {
    Receipt { number: BlockNumber::FIRST, first: 0, count: leaves.len() as u32, root: tx_tree::root(leaves), by }
}

fn other_leaf(promised: &[B256], held: &[B256], index: usize) -> BrokenPromise {
    BrokenPromise {
        index: index as u32,
        promised: promised[index],
        promised_path: tx_tree::path(promised, index).unwrap(),
        held: held[index],
        held_path: tx_tree::path(held, index).unwrap(),
    }
}

#[tokio::test]
async fn a_broken_receipt_costs_the_operator_without_a_halt() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice) = (anvil.sender(0).await, anvil.sender(1).await);
    let mut promised: Vec<_> = (0..tx_tree::LEAVES_MAX as u64).map(|i| keccak256(i.to_be_bytes())).collect();
    let by = anvil.node().head().await.unwrap().timestamp + 60;
    let receipt = receipt(&promised, by);
    let signature = account(0).sign_digest(receipt.signing_hash(&deployment.domain()));
    let held = {
        promised[777_777] = tx_tree::EMPTY_LEAF;
        let held = promised.clone();
        promised[777_777] = keccak256(777_777u64.to_be_bytes());
        held
    };
    anvil.move_time(10).await;
    let header: Header = commit(&root_chain, &operator, 1, &held, 0).await;
    let prove = |promise: &BrokenPromise, signature| {
        root_chain.prove_broken_receipt(&receipt, signature, Some(&header), promise)
    };
    let kept = other_leaf(&promised, &held, 5);
    assert_eq!(refusal(&alice, &prove(&kept, &signature)).await, "NotBroken");
    let promise = other_leaf(&promised, &held, 777_777);
    let forged = account(1).sign_digest(receipt.signing_hash(&deployment.domain()));
    assert_eq!(refusal(&alice, &prove(&promise, &forged)).await, "NotSignedByOperator");
    assert_eq!(root_chain.slashed_receipt(BlockNumber::FIRST).await.unwrap(), None);

    let call = prove(&promise, &signature);
    announce(&root_chain, &alice, &call).await;
    anvil.mine(1).await;
    let landed = alice.send(&call).await.unwrap();
    let (number, accuser, slash) = (BlockNumber::FIRST, address(1), deployment.bonds.receipt_slash_wei);
    let evidence = keccak256(&call.data);
    let slashed = RootEvent::ReceiptSlashed { number, accuser, evidence, slashed: U256::from(slash) };
    let rewarded = RootEvent::ReceiptRewarded { number, accuser, amount: U256::from(slash / 2) };
    assert_eq!(events(&root_chain, &landed), [slashed, rewarded]);
    assert_is_constant(landed.gas_used, PROVE_RECEIPT_GAS);
    let once = Conviction { root_block: landed.block.number, reward: 0 };
    assert_eq!(root_chain.slashed_receipt(number).await.unwrap(), Some(once));
    assert_eq!(refusal(&alice, &call).await, "AlreadySlashed");
    let bond = root_chain.operator_bond().await.unwrap();
    assert_eq!(bond.receipt_part_wei, 3 * slash);
    assert_eq!(root_chain.child_chain().await.unwrap().halted_from, None);
    anvil.move_time(10).await;
    commit(&root_chain, &operator, 2, &[], 0).await;
}

#[tokio::test]
async fn a_receipt_of_a_block_that_does_not_come_is_broken_by_time() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let alice = anvil.sender(1).await;
    let by = anvil.node().head().await.unwrap().timestamp + 10;
    let receipt = receipt(&[B256::repeat_byte(9)], by);
    let signature = account(0).sign_digest(receipt.signing_hash(&deployment.domain()));
    let call = root_chain.prove_broken_receipt(&receipt, &signature, None, &BrokenPromise::NONE);
    assert_eq!(refusal(&alice, &call).await, "NotBroken", "not yet");
    anvil.move_time(PERIODS.freeze_delay() + 20).await;
    let landed = alice.send(&call).await.unwrap();
    assert!(matches!(events(&root_chain, &landed)[..], [RootEvent::ReceiptSlashed { .. }]), "{landed:?}");
    let reward = deployment.bonds.receipt_slash_wei / 2;
    let waiting = Conviction { root_block: landed.block.number, reward };
    assert_eq!(root_chain.slashed_receipt(BlockNumber::FIRST).await.unwrap(), Some(waiting), "nobody announced it");
}
