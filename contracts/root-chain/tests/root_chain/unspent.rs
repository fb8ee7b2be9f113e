//! Claims about the unspent tree and the settlement by it, on a real contract. §3 (R9), §8.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::{Conviction, Creation, Rule, ShownBody, ShownCoin, SpentCoin};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::transaction::{INPUTS_MAX, OUTPUTS_MAX, Transaction};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{self, UtxoTree};
use plasmid_root_chain::client::{MissingClaim, OpenClaim, RootChain};
use plasmid_root_chain::deploy::ANSWER_MISSING_GAS;
use plasmid_root_chain::sender::Sender;

use crate::anvil::{Anvil, PERIODS, address};
use crate::contract::{assert_is_constant, commit_tree, deposited, events};
use crate::faults::broken_block;
use crate::operations::refusal;

const AMOUNT: u128 = 1_000;
const WITNESS_HASH: B256 = B256::repeat_byte(5);
const MEP: u64 = PERIODS.minimum_exit_period;

fn of_deposit(deposit: &Deposit) -> ShownCoin {
    let fields = Bytes::copy_from_slice(&deposit.output.deposit_fields());
    ShownCoin { creation: Creation { fields, index: deposit.nonce }, inclusion: InclusionProof::NONE }
}

fn position_of(deposit: &Deposit) -> Position {
    Position::of_deposit(deposit.nonce).unwrap()
}

/// The tree that holds these coins.
fn tree(coins: &[(Position, OutputId, Output)]) -> UtxoTree {
    let values = coins.iter().map(|(position, id, output)| (*position, Some(utxo_tree::value(*id, output))));
    UtxoTree::default().updated(values)
}

fn holding(deposits: &[Deposit]) -> UtxoTree {
    let coins = deposits.iter().map(|deposit| (position_of(deposit), deposit.output_id(), deposit.output));
    tree(&coins.collect::<Vec<_>>())
}

async fn deposit(root_chain: &RootChain, owner: &Sender) -> Deposit {
    let address = owner.account().address();
    deposited(root_chain, &owner.send(&root_chain.deposit(address, AMOUNT)).await.unwrap())
}

#[tokio::test]
async fn who_shows_the_coin_that_was_claimed_missing_takes_the_claimants_bond() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice, bob) = (anvil.sender(0).await, anvil.sender(1).await, anvil.sender(2).await);
    let coins = [deposit(&root_chain, &alice).await, deposit(&root_chain, &alice).await];
    let coin = coins[0];
    let (position, number, bond) = (position_of(&coin), BlockNumber::FIRST, deployment.bonds.missing_bond_wei);
    anvil.move_time(10).await;
    let tree = holding(&coins);
    let header = commit_tree(&root_chain, &operator, 1, &[], 2, tree.root()).await;
    assert_eq!(root_chain.missing_claim(number, position).await.unwrap(), None);

    let claim = |bond| root_chain.claim_missing(&header, &of_deposit(&coin), bond);
    assert_eq!(refusal(&bob, &claim(bond - 1)).await, "WrongBond");
    let landed = bob.send(&claim(bond)).await.unwrap();
    let value = utxo_tree::value(coin.output_id(), &coin.output);
    let claimed =
        RootEvent::MissingClaimed { number, position, output_id: coin.output_id(), value, claimant: address(2) };
    assert_eq!(events(&root_chain, &landed), [claimed]);
    let claimed_at = root_chain.node().block_by_hash(landed.block.hash).await.unwrap().unwrap().timestamp;
    let open = MissingClaim { claimant: address(2), open: Some(OpenClaim { claimed_at, value }) };
    assert_eq!(root_chain.missing_claim(number, position).await.unwrap(), Some(open));
    assert_eq!(refusal(&bob, &claim(bond)).await, "AlreadyClaimed");
    assert_eq!(refusal(&bob, &root_chain.convict_missing(&header, position.bits())).await, "TooEarlyToConvict");
    assert_eq!(refusal(&bob, &root_chain.reclaim_missing(&header, position.bits())).await, "ClaimRuns");

    let answer = |at: &Deposit| {
        let membership = tree.prove(position_of(at)).unwrap().encode();
        root_chain.answer_missing(&header, position.bits(), &membership)
    };
    assert_eq!(refusal(&alice, &answer(&coins[1])).await, "NotHeld");
    let before = anvil.node().balance(ETHER, root_chain.contract()).await.unwrap();
    let landed = alice.send(&answer(&coin)).await.unwrap();
    let answered = RootEvent::MissingAnswered { number, position, answerer: address(1) };
    assert_eq!(events(&root_chain, &landed), [answered]);
    let after = anvil.node().balance(ETHER, root_chain.contract()).await.unwrap();
    assert_eq!(before - after, U256::from(bond));
    let ended = MissingClaim { claimant: address(2), open: None };
    assert_eq!(root_chain.missing_claim(number, position).await.unwrap(), Some(ended));
    assert_eq!(refusal(&bob, &claim(bond)).await, "AlreadyClaimed");
}

#[tokio::test]
async fn a_claim_that_nobody_answers_convicts_its_block_and_frees_the_claims_on_later_ones() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice, bob) = (anvil.sender(0).await, anvil.sender(1).await, anvil.sender(2).await);
    let coins = [deposit(&root_chain, &alice).await, deposit(&root_chain, &alice).await];
    let bond = deployment.bonds.missing_bond_wei;
    anvil.move_time(10).await;
    let without = holding(&coins[1..]).root();
    let header = commit_tree(&root_chain, &operator, 1, &[], 2, without).await;
    anvil.move_time(10).await;
    let later = commit_tree(&root_chain, &operator, 2, &[], 2, without).await;
    for header in [&header, &later] {
        alice.send(&root_chain.claim_missing(header, &of_deposit(&coins[0]), bond)).await.unwrap();
    }
    let position = position_of(&coins[0]);
    anvil.move_time(MEP / 2).await;
    let convict = root_chain.convict_missing(&header, position.bits());
    // Whoever says so, claimed it or not.
    let landed = bob.send(&convict).await.unwrap();
    let (number, claimant, slash) = (BlockNumber::FIRST, address(1), deployment.bonds.fault_slash_wei);
    let proven = RootEvent::FaultProven {
        number,
        rule: Rule::R9,
        accuser: claimant,
        evidence: keccak256(&convict.data),
        slashed: U256::from(slash),
    };
    let rewarded = RootEvent::FaultRewarded { number, accuser: claimant, amount: U256::from(slash / 2) };
    let convicted = RootEvent::MissingConvicted { number, position, claimant };
    assert_eq!(events(&root_chain, &landed), [convicted, proven, rewarded]);
    let conviction = Conviction { root_block: landed.block.number, reward: 0 };
    assert_eq!(root_chain.conviction(number).await.unwrap(), Some(conviction));
    assert_eq!(root_chain.child_chain().await.unwrap().halted_from, Some(number));
    assert_eq!(refusal(&bob, &convict).await, "NotClaimed");

    assert_eq!(refusal(&bob, &root_chain.convict_missing(&later, position.bits())).await, "VoidBlock");
    let landed = bob.send(&root_chain.reclaim_missing(&later, position.bits())).await.unwrap();
    let returned = RootEvent::MissingReturned { number: later.number, position, claimant };
    assert_eq!(events(&root_chain, &landed), [returned]);
}

/// A tree in which the path to this coin has as many siblings as can be.
fn deepest_tree(position: Position, id: OutputId, output: Output) -> UtxoTree {
    let neighbours = (0..63).map(|bit| Position::from_bits(position.bits() ^ 1 << bit).unwrap());
    let all = neighbours.chain(Position::of_deposit(0)).map(|neighbour| (neighbour, id, output));
    tree(&all.chain([(position, id, output)]).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_claims_bond_covers_the_dearest_answer() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice, bob) = (anvil.sender(0).await, anvil.sender(1).await, anvil.sender(2).await);
    let coin = deposit(&root_chain, &alice).await;
    let others = (1..INPUTS_MAX as u64).map(|other| OutputId(keccak256(other.to_be_bytes())));
    let output = Output { owner: address(2), asset: ETHER, amount: u128::MAX };
    let inputs = others.chain([coin.output_id()]).collect();
    let largest = Transaction::new(inputs, vec![output; OUTPUTS_MAX], B256::repeat_byte(9)).unwrap();
    let mut leaves: Vec<_> = (0..tx_tree::LEAVES_MAX as u64).map(|i| keccak256(i.to_be_bytes())).collect();
    leaves[777_777] = tx_tree::leaf(largest.hash(), WITNESS_HASH);
    let place = Place { block: BlockNumber::FIRST, index: TxIndex::new(777_777).unwrap() };
    let made = place.output(0).unwrap();
    let tree = deepest_tree(made, OutputId::of_output(largest.hash(), 0), output);
    anvil.move_time(10).await;
    let header = commit_tree(&root_chain, &operator, 1, &leaves, 1, tree.root()).await;
    let path = tx_tree::path(&leaves, 777_777).unwrap();
    let inclusion = InclusionProof { header, index: 777_777, witness_hash: WITNESS_HASH, path };
    let creation = Creation { fields: largest.encode().into(), index: 0 };
    for coin in [of_deposit(&coin), ShownCoin { creation, inclusion: inclusion.clone() }] {
        let claim = root_chain.claim_missing(&header, &coin, deployment.bonds.missing_bond_wei);
        alice.send(&claim).await.unwrap();
    }

    let output = Bytes::copy_from_slice(&coin.output.encode());
    let spend = ShownBody { body: largest.encode().into(), inclusion };
    let spent = SpentCoin { output_id: coin.output_id(), output, spend };
    let membership = tree.prove(made).unwrap().encode();
    assert_eq!(membership.len(), 8 + 64 * 32);
    let covered = position_of(&coin);
    let by_spend = root_chain.answer_missing_spent(header.number, covered.bits(), &spent);
    let by_membership = root_chain.answer_missing(&header, made.bits(), &membership);
    let mut dearest = 0;
    for (position, answer) in [(covered, by_spend), (made, by_membership)] {
        let landed = bob.send(&answer).await.unwrap();
        let answered = RootEvent::MissingAnswered { number: header.number, position, answerer: address(2) };
        assert_eq!(events(&root_chain, &landed), [answered]);
        dearest = dearest.max(landed.gas_used);
    }
    assert_is_constant(dearest, ANSWER_MISSING_GAS);
}

#[tokio::test]
async fn coins_of_the_last_good_block_are_withdrawn_after_a_halt() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice, bob) = (anvil.sender(0).await, anvil.sender(1).await, anvil.sender(2).await);
    let (spent, kept) = (deposit(&root_chain, &bob).await, deposit(&root_chain, &bob).await);
    let output = Output { owner: address(1), asset: ETHER, amount: AMOUNT };
    let payment = Transaction::new(vec![spent.output_id()], vec![output], B256::ZERO).unwrap();
    let leaves = [tx_tree::EMPTY_LEAF, tx_tree::leaf(payment.hash(), WITNESS_HASH)];
    let place = Place { block: BlockNumber::FIRST, index: TxIndex::new(1).unwrap() };
    let (position, paid) = (place.output(0).unwrap(), OutputId::of_output(payment.hash(), 0));
    let tree = tree(&[(position, paid, output), (position_of(&kept), kept.output_id(), kept.output)]);
    anvil.move_time(10).await;
    let header = commit_tree(&root_chain, &operator, 1, &leaves, 2, tree.root()).await;
    let uncovered = deposit(&root_chain, &bob).await;
    let exit = root_chain.start_standard_exit_of_deposit(&kept, 0, deployment.bonds.exit_bond_wei);
    let exit = match events(&root_chain, &bob.send(&exit).await.unwrap())[..] {
        [RootEvent::StandardExitStarted(exit)] => exit,
        ref events => panic!("{events:?}"),
    };
    anvil.move_time(10).await;
    let fault = broken_block(&root_chain, &operator, 2, 2).await;

    let path = tx_tree::path(&leaves, 1).unwrap();
    let inclusion = InclusionProof { header, index: 1, witness_hash: WITNESS_HASH, path };
    let creation = Creation { fields: payment.encode().into(), index: 0 };
    let coin = ShownCoin { creation, inclusion };
    let membership = tree.prove(position).unwrap().encode();
    let withdraw = root_chain.withdraw_settled(&header, &membership, &coin);
    let withdraw_deposit = root_chain.withdraw_settled_deposit(Some(&header), &uncovered);
    assert_eq!(refusal(&alice, &withdraw).await, "StillRunning");
    alice.send(&root_chain.prove_fault(&fault)).await.unwrap();
    assert_eq!(refusal(&alice, &withdraw).await, "NotYetSettling");
    anvil.move_time(2 * MEP + PERIODS.freeze_delay()).await;
    assert_eq!(refusal(&bob, &withdraw).await, "NotPayee");
    assert_eq!(refusal(&alice, &withdraw).await, "ExitsPending");
    assert_eq!(refusal(&bob, &root_chain.withdraw_settled_deposit(Some(&header), &kept)).await, "DepositCovered");
    assert_eq!(refusal(&bob, &root_chain.withdraw_settled_deposit(None, &uncovered)).await, "NotTheLastBlock");
    bob.send(&root_chain.process_exits(ETHER, &[exit], &[])).await.unwrap();

    let withdrawn = |output_id, payee| RootEvent::CoinWithdrawn {
        output_id,
        payee,
        asset: ETHER,
        amount: AMOUNT,
        paid: AMOUNT,
        credited: false,
    };
    let landed = alice.send(&withdraw).await.unwrap();
    assert_eq!(events(&root_chain, &landed), [withdrawn(paid, address(1))]);
    assert_eq!(refusal(&alice, &withdraw).await, "AlreadySettled");
    let landed = bob.send(&withdraw_deposit).await.unwrap();
    assert_eq!(events(&root_chain, &landed), [withdrawn(uncovered.output_id(), address(2))]);
    let now = root_chain.node().block_by_hash(landed.block.hash).await.unwrap().unwrap().timestamp;
    assert_eq!(root_chain.coin(uncovered.output_id()).await.unwrap().state, now);
    assert_eq!(root_chain.asset(ETHER).await.unwrap().owed, 0);
}

#[tokio::test]
async fn a_deposit_is_withdrawn_from_a_chain_that_never_had_a_block() {
    let anvil = Anvil::start();
    let (root_chain, _) = anvil.deploy().await;
    let alice = anvil.sender(1).await;
    let deposit = deposit(&root_chain, &alice).await;
    anvil.move_time(PERIODS.sunset).await;
    alice.send(&root_chain.close_chain()).await.unwrap();
    anvil.move_time(2 * MEP + PERIODS.freeze_delay()).await;
    let landed = alice.send(&root_chain.withdraw_settled_deposit(None, &deposit)).await.unwrap();
    assert!(matches!(events(&root_chain, &landed)[..], [RootEvent::CoinWithdrawn { .. }]), "{landed:?}");
}
