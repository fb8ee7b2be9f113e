//! Every call, every view and every event, against the real contract.

use alloy_primitives::{Address, B256, U256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{INPUTS_MAX, OUTPUTS_MAX, Transaction};
use plasmid_exit_game::tx_tree;
use plasmid_root_chain::calls::{self, InclusionProof, Submission};
use plasmid_root_chain::client::{AssetWord, CoinWord, Deployment, ExitKey, RootChain};
use plasmid_root_chain::deploy::{CHALLENGE_GAS, PROCESS_EXIT_GAS, deploy_artifact};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{At, Landed, ReadError};
use plasmid_root_chain::sender::Sender;

use crate::anvil::{Anvil, PERIODS, account, address};

const TOKEN: &str = include_str!("../../../artifacts/testing/PermitToken.json");

pub(crate) fn events(root_chain: &RootChain, landed: &Landed) -> Vec<RootEvent> {
    let logs = landed.logs.iter().filter(|log| log.address == root_chain.contract());
    logs.map(|log| decode_event(root_chain.contract(), log).unwrap()).collect()
}

fn started(root_chain: &RootChain, landed: &Landed) -> ExitRecord {
    match events(root_chain, landed)[..] {
        [RootEvent::StandardExitStarted(record)] => record,
        ref events => panic!("{events:?}"),
    }
}

pub(crate) fn deposited(root_chain: &RootChain, landed: &Landed) -> Deposit {
    match events(root_chain, landed)[..] {
        [RootEvent::Deposited(deposit)] | [RootEvent::AssetRecorded { .. }, RootEvent::Deposited(deposit)] => deposit,
        ref events => panic!("{events:?}"),
    }
}

/// Commits a block with any unspent root and returns its header.
pub(crate) async fn commit(
    root_chain: &RootChain,
    operator: &Sender,
    number: u64,
    leaves: &[B256],
    deposit_count: u64,
) -> Header {
    commit_tree(root_chain, operator, number, leaves, deposit_count, B256::repeat_byte(2)).await
}

/// Commits a block with this unspent root and returns its header.
pub(crate) async fn commit_tree(
    root_chain: &RootChain,
    operator: &Sender,
    number: u64,
    leaves: &[B256],
    deposit_count: u64,
    utxo_root: B256,
) -> Header {
    let anchor = root_chain.node().head().await.unwrap();
    let submission = Submission {
        number: BlockNumber::new(number).unwrap(),
        tx_root: tx_tree::root(leaves),
        utxo_root,
        tx_count: leaves.len() as u32,
        deposit_count,
        anchor: anchor.at,
        not_after: anchor.timestamp + 60,
    };
    let landed = operator.send(&root_chain.submit_block(&submission)).await.unwrap();
    let header = match events(root_chain, &landed)[..] {
        [RootEvent::BlockSubmitted(header)] => header,
        ref events => panic!("{events:?}"),
    };
    let block = root_chain.node().block_by_hash(landed.block.hash).await.unwrap().unwrap();
    assert_eq!(
        (header.number, header.tx_root, header.utxo_root),
        (submission.number, submission.tx_root, submission.utxo_root)
    );
    assert_eq!(
        (header.tx_count, header.deposit_count, header.timestamp),
        (submission.tx_count, deposit_count, block.timestamp)
    );
    assert_eq!(root_chain.commitment(header.number).await.unwrap(), Some(header.commitment()));
    header
}

/// The largest transaction that spends a coin of account 1, with its signature.
fn largest_spend(output_id: OutputId, deployment: &Deployment) -> (Vec<u8>, Signature) {
    let others = (1..INPUTS_MAX as u64).map(|other| OutputId(keccak256(other.to_be_bytes())));
    let outputs = vec![Output { owner: address(2), asset: ETHER, amount: u128::MAX }; OUTPUTS_MAX];
    let spend = Transaction::new(others.chain([output_id]).collect(), outputs, B256::repeat_byte(9)).unwrap();
    let signature = account(1).sign_digest(spend.signing_hash(&deployment.domain()));
    (spend.encode(), signature)
}

/// Checks that a constant of gas covers what was measured, and not much more.
pub(crate) fn assert_is_constant(measured: u64, constant: u128) {
    let measured = u128::from(measured);
    assert!(measured <= constant && constant * 9 / 10 <= measured, "{measured} gas, not {constant}");
}

#[tokio::test]
async fn a_deployment_says_what_it_fixed() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    assert_eq!((deployment.chain_id, deployment.periods, deployment.operator), (31_337, PERIODS, address(0)));
    assert_eq!(root_chain.deployment().await.unwrap(), deployment);
    assert_eq!(root_chain.operator_of(BlockNumber::FIRST).await.unwrap(), address(0));
    let nowhere = RootChain::new(anvil.node(), Address::repeat_byte(1));
    assert!(matches!(nowhere.deployment().await, Err(ReadError::NoContract { .. })));

    let (token, _) = deploy_artifact(&anvil.sender(0).await, TOKEN, &[]).await.unwrap();
    let other = RootChain::new(anvil.node(), token);
    assert!(matches!(other.deployment().await, Err(ReadError::Reverted(_))));
    assert!(matches!(anvil.node().balance(root_chain.contract(), token).await, Err(ReadError::Reverted(_))));
}

#[tokio::test]
async fn deposits_and_blocks_and_exits_of_ether() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice, bob) = (anvil.sender(0).await, anvil.sender(1).await, anvil.sender(2).await);
    let bond = deployment.bonds.exit_bond_wei;
    let output = Output { owner: address(1), asset: ETHER, amount: 1_000 };

    let deposit = deposited(&root_chain, &bob.send(&root_chain.deposit(address(1), 1_000)).await.unwrap());
    assert_eq!(deposit, Deposit { nonce: 0, output });
    let word = root_chain.coin(deposit.output_id()).await.unwrap();
    assert_eq!(word, CoinWord { record_hash: B256::ZERO, is_assigned: false, state: 1 });
    let second = deposited(&root_chain, &bob.send(&root_chain.deposit(address(1), 1_000)).await.unwrap());

    // A payment to alice, in a block of three.
    let payment = Transaction::new(vec![deposit.output_id()], vec![output], B256::ZERO).unwrap();
    let witness_hash = B256::repeat_byte(5);
    anvil.move_time(10).await;
    let leaves = [tx_tree::EMPTY_LEAF, tx_tree::leaf(payment.hash(), witness_hash), B256::repeat_byte(6)];
    let header = commit(&root_chain, &operator, 1, &leaves, 2).await;
    anvil.move_time(10).await;
    commit(&root_chain, &operator, 2, &[], 2).await;
    let child_chain = root_chain.child_chain().await.unwrap();
    assert_eq!((child_chain.next_number.get(), child_chain.deposit_count, child_chain.next_nonce), (3, 2, 2));
    assert_eq!((child_chain.halted_from, child_chain.halted_at, child_chain.closed_at), (None, None, None));
    assert_eq!(root_chain.commitment(child_chain.next_number).await.unwrap(), None);

    let tx_index = TxIndex::new(1).unwrap();
    let proof = InclusionProof { header, tx_index, witness_hash, path: tx_tree::path(&leaves, 1).unwrap() };
    let start = root_chain.start_standard_exit(&payment.encode(), 0, &proof, 0, bond);
    let of_payment = started(&root_chain, &alice.send(&start).await.unwrap());
    let place = Place { block: header.number, index: tx_index };
    assert_eq!(of_payment.output_id, OutputId::of_output(payment.hash(), 0));
    assert_eq!((Some(of_payment.position), of_payment.output), (place.output(0), output));
    let start = root_chain.start_standard_exit_of_deposit(&second, of_payment.key, bond);
    let landed = alice.send(&start).await.unwrap();
    let of_deposit = started(&root_chain, &landed);
    assert_eq!((Some(of_deposit.position), of_deposit.output_id), (Position::of_deposit(1), second.output_id()));
    let now = root_chain.node().block_by_hash(landed.block.hash).await.unwrap().unwrap().timestamp;
    assert_eq!(of_deposit.key, PERIODS.exit_key(now, None));
    let keys = root_chain.exit_keys(ETHER, 0, 10).await.unwrap();
    assert_eq!(keys, [ExitKey { key: of_deposit.key, count: 1 }, ExitKey { key: of_payment.key, count: 1 }]);

    let (spend, signature) = largest_spend(of_deposit.output_id, &deployment);
    let landed = bob.send(&root_chain.challenge_standard_exit(&of_deposit, &spend, &signature)).await.unwrap();
    let [RootEvent::StandardExitChallenged { output_id, challenger, spend: shown, signature: signed }] =
        &events(&root_chain, &landed)[..]
    else {
        panic!("{landed:?}");
    };
    assert_eq!((*output_id, *challenger), (of_deposit.output_id, address(2)));
    assert_eq!((&shown[..], &signed[..]), (&spend[..], &signature.encode()[..]));
    assert_is_constant(landed.gas_used, CHALLENGE_GAS);

    let stranger = Address::repeat_byte(0xaa);
    let landed = alice.send(&root_chain.assign_exit(&of_payment, stranger)).await.unwrap();
    let assigned = RootEvent::ExitAssigned { output_id: of_payment.output_id, payee: stranger };
    assert_eq!(events(&root_chain, &landed), [assigned]);
    assert!(root_chain.coin(of_payment.output_id).await.unwrap().is_assigned);
    assert_eq!(root_chain.payee_of(of_payment.output_id).await.unwrap(), stranger);

    anvil.move_time(2 * PERIODS.minimum_exit_period + 10).await;
    let landed = bob.send(&root_chain.process_exits(ETHER, &[of_payment], &[])).await.unwrap();
    let paid = RootEvent::ExitPaid {
        output_id: of_payment.output_id,
        payee: stranger,
        amount: 1_000,
        paid: 1_000,
        credited: false,
    };
    assert!(events(&root_chain, &landed).contains(&paid), "{landed:?}");
    let expected = 1_000 + bond - deployment.bonds.exit_bounty_wei;
    assert_eq!(root_chain.node().balance(ETHER, stranger).await.unwrap(), U256::from(expected));
    assert!(events(&root_chain, &landed).contains(&RootEvent::ExitKeysCleared { asset: ETHER, head: 0 }));
    assert_is_constant(landed.gas_used, PROCESS_EXIT_GAS);
    assert_eq!(root_chain.exit_keys(ETHER, 0, 10).await.unwrap(), []);
    assert_eq!(root_chain.asset(ETHER).await.unwrap(), AssetWord { owed: 1_000, is_erc20: false });
}

#[tokio::test]
async fn a_token_that_will_not_pay_is_credited() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let alice = anvil.sender(1).await;
    let (token, _) = deploy_artifact(&alice, TOKEN, &[]).await.unwrap();
    let mint = calls::call(token, "mint(address,uint256)", &[address(1).into(), 500u64.into()]).unwrap();
    alice.send(&mint).await.unwrap();
    assert_eq!(anvil.node().balance(token, address(1)).await.unwrap(), U256::from(500));

    alice.send(&calls::approve(token, root_chain.contract(), 300)).await.unwrap();
    let landed = alice.send(&root_chain.deposit_erc20(token, 300, address(1))).await.unwrap();
    assert_eq!(events(&root_chain, &landed)[0], RootEvent::AssetRecorded { asset: token });
    let deposit = deposited(&root_chain, &landed);
    assert_eq!(root_chain.asset(token).await.unwrap(), AssetWord { owed: 300, is_erc20: true });
    let start = root_chain.start_standard_exit_of_deposit(&deposit, 0, deployment.bonds.exit_bond_wei);
    let record = started(&root_chain, &alice.send(&start).await.unwrap());
    anvil.move_time(PERIODS.minimum_exit_period + 10).await;

    // The token stops working, and works again.
    let code = anvil.node().code(token).await.unwrap();
    anvil.control("anvil_setCode", serde_json::json!([token, "0xfe"])).await;
    let landed = alice.send(&root_chain.process_exits(token, &[record], &[])).await.unwrap();
    let credited = RootEvent::Credited { account: address(1), asset: token, amount: U256::from(300) };
    assert!(events(&root_chain, &landed).contains(&credited), "{landed:?}");
    assert_eq!(root_chain.claimable(address(1), token).await.unwrap(), U256::from(300));
    anvil.control("anvil_setCode", serde_json::json!([token, code])).await;
    let landed = alice.send(&root_chain.claim(token, address(2))).await.unwrap();
    let claimed = RootEvent::Claimed { account: address(1), asset: token, to: address(2), amount: U256::from(300) };
    assert_eq!(events(&root_chain, &landed), [claimed]);
    assert_eq!(anvil.node().balance(token, address(2)).await.unwrap(), U256::from(300));

    let symbol = calls::call(token, "symbol()", &[]).unwrap();
    assert_eq!(anvil.node().call(None, &symbol, At::Head).await.unwrap().len(), 96);
}
