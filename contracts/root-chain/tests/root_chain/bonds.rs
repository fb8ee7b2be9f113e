//! What the dearest calls of in-flight exits cost on the real contract: the constants from which bonds are made. §2.

use alloy_primitives::{B256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::in_flight::{InFlightData, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::{ETHER, Output, OutputId};
use plasmid_exit_game::position::TxIndex;
use plasmid_exit_game::transaction::{INPUTS_MAX, OUTPUTS_MAX, Transaction};
use plasmid_exit_game::tx_tree;
use plasmid_root_chain::calls::{InclusionProof, InputProof, PieceRecord, Spend};
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::deploy::{
    CHALLENGE_PIECE_GAS, CHALLENGE_PIECE_GAS_PER_INPUT, PROCESS_PIECE_GAS, PROCESS_PIECE_GAS_PER_INPUT, RESPONSE_GAS,
};
use plasmid_root_chain::node::Call;
use plasmid_root_chain::sender::Sender;

use crate::anvil::{Anvil, PERIODS, account, address};
use crate::contract::{assert_is_constant, commit, events};

const AMOUNT: u128 = 1_000;
const WITNESS_HASH: B256 = B256::repeat_byte(5);

/// Transactions of alice, all in one block that is as deep as can be.
struct World {
    root_chain: RootChain,
    deployment: Deployment,
    alice: Sender,
    leaves: Vec<B256>,
    header: Header,
}

/// Gas of the calls about the exit of one transaction.
#[derive(Debug, Clone, Copy)]
struct Costs {
    respond: u64,
    challenge_piece: u64,
    process_piece: u64,
}

/// A transaction over these coins with as many outputs as can be, all alice's.
fn transaction(inputs: Vec<OutputId>, each: u128, memo: u8) -> Transaction {
    let output = Output { owner: address(1), asset: ETHER, amount: each };
    Transaction::new(inputs, vec![output; OUTPUTS_MAX], B256::repeat_byte(memo)).unwrap()
}

/// The largest spend of the coin.
fn largest_spend(output_id: OutputId, memo: u8) -> Transaction {
    let others = (1..INPUTS_MAX as u64).map(|other| OutputId(keccak256(other.to_be_bytes())));
    transaction(others.chain([output_id]).collect(), u128::MAX, memo)
}

impl World {
    fn inclusion(&self, of: &Transaction) -> InclusionProof {
        let leaf = tx_tree::leaf(of.hash(), WITNESS_HASH);
        let index = self.leaves.iter().position(|other| *other == leaf).unwrap();
        let path = tx_tree::path(&self.leaves, index).unwrap();
        let tx_index = TxIndex::new(index as u32).unwrap();
        InclusionProof { header: self.header, tx_index, witness_hash: WITNESS_HASH, path }
    }

    fn signed(&self, body: &Transaction) -> SignedTransaction {
        let signature = account(1).sign_digest(body.signing_hash(&self.deployment.domain()));
        SignedTransaction { body: body.clone(), signature }
    }

    fn shown(&self, body: &Transaction, included: Option<&Transaction>) -> Spend {
        Spend { transaction: self.signed(body), inclusion: included.map(|included| self.inclusion(included)) }
    }

    async fn send(&self, call: Call) -> (Vec<RootEvent>, u64) {
        let landed = self.alice.send(&call).await.unwrap();
        (events(&self.root_chain, &landed), landed.gas_used)
    }

    async fn start(&self, payment: &Transaction, creation: &Transaction) -> InFlightData {
        let inclusion = self.inclusion(creation);
        let proof = |input: &OutputId| {
            let index = (0..OUTPUTS_MAX as u8).find(|&index| OutputId::of_output(creation.hash(), index) == *input);
            let (creation, output_index) = (creation.clone(), index.unwrap());
            InputProof::Output { creation, output_index, inclusion: inclusion.clone() }
        };
        let proofs: Vec<_> = payment.inputs().iter().map(proof).collect();
        let bond = self.deployment.bonds.in_flight_bond_wei;
        let start = self.root_chain.start_in_flight_exit(&self.signed(payment), &proofs, bond);
        match &self.send(start).await.0[..] {
            [RootEvent::InFlight { step, .. }] => match &**step {
                InFlightStep::Started { data, .. } => data.clone(),
                step => panic!("{step:?}"),
            },
            events => panic!("{events:?}"),
        }
    }

    async fn piggyback(&self, payment: &Transaction, data: &InFlightData, piece: Piece) -> PieceSet {
        let pieces = PieceSet::from_iter([piece]);
        let bond = self.deployment.bonds.of_pieces(1, data.inputs.len()).unwrap();
        self.send(self.root_chain.piggyback(payment, Some(data), pieces, 0, bond)).await;
        pieces
    }

    async fn costs(&self, payment: &Transaction, creation: &Transaction, anvil: &Anvil) -> Costs {
        let (root_chain, bond) = (&self.root_chain, self.deployment.bonds.in_flight_bond_wei);
        let data = self.start(payment, creation).await;
        let competitor = largest_spend(payment.inputs()[0], 8);
        let challenge =
            root_chain.challenge_not_canonical(payment.hash(), &data, 0, &self.shown(&competitor, None), bond);
        self.send(challenge).await;
        let inclusion = self.inclusion(payment);
        let (_, respond) = self.send(root_chain.respond_not_canonical(payment.hash(), &inclusion)).await;

        self.piggyback(payment, &data, Piece::Input(0)).await;
        let spend = self.shown(&competitor, Some(&competitor));
        let (_, of_input) = self.send(root_chain.challenge_piece_spent(payment, Some(&data), 0, &spend)).await;
        let pieces = self.piggyback(payment, &data, Piece::Output(0)).await;
        let spend = self.shown(&largest_spend(OutputId::of_output(payment.hash(), 0), 9), Some(payment));
        let (_, of_output) = self.send(root_chain.challenge_piece_spent(payment, None, 16, &spend)).await;

        self.piggyback(payment, &data, Piece::Output(0)).await;
        anvil.move_time(2 * PERIODS.minimum_exit_period + 10).await;
        let record = PieceRecord { body: payment.clone(), data, pieces };
        let (events, process_piece) = self.send(root_chain.process_exits(ETHER, &[], &[record])).await;
        let is_paid = |event: &RootEvent| matches!(event, RootEvent::InFlight { step, .. } if matches!(**step, InFlightStep::PiecePaid { .. }));
        assert!(events.iter().any(is_paid), "{events:?}");
        Costs { respond, challenge_piece: of_input.max(of_output), process_piece }
    }
}

/// Checks what a call costs beside each input, and for each input.
fn assert_are_constants(of_one: u64, of_sixteen: u64, constant: u128, per_input: u128) {
    let each = (of_sixteen - of_one).div_ceil(INPUTS_MAX as u64 - 1);
    assert_is_constant(each, per_input);
    assert_is_constant(of_one - each, constant);
}

#[tokio::test]
async fn bonds_cover_the_dearest_calls_of_in_flight_exits() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice) = (anvil.sender(0).await, anvil.sender(1).await);
    let deposit = alice.send(&root_chain.deposit(address(1), 1_000 * AMOUNT)).await.unwrap();
    assert!(!deposit.logs.is_empty());

    let nobodys = OutputId(B256::repeat_byte(7));
    let creations = [1, 2].map(|memo| transaction(vec![nobodys], AMOUNT, memo));
    let coin = |creation: &Transaction, index| OutputId::of_output(creation.hash(), index);
    let one = {
        let outputs = (0..OUTPUTS_MAX).map(|index| if index == 0 { AMOUNT - 15 } else { 1 });
        let output = |amount| Output { owner: address(1), asset: ETHER, amount };
        Transaction::new(vec![coin(&creations[0], 0)], outputs.map(output).collect(), B256::repeat_byte(3)).unwrap()
    };
    let sixteen = transaction((0..INPUTS_MAX as u8).map(|index| coin(&creations[1], index)).collect(), AMOUNT, 4);
    let competitors = [&one, &sixteen].map(|payment| largest_spend(payment.inputs()[0], 8));
    let mut leaves: Vec<_> = (0..tx_tree::LEAVES_MAX as u64).map(|i| keccak256(i.to_be_bytes())).collect();
    let included = [&creations[0], &creations[1], &one, &sixteen, &competitors[0], &competitors[1]];
    for (index, transaction) in (613_000..).zip(included) {
        leaves[index] = tx_tree::leaf(transaction.hash(), WITNESS_HASH);
    }
    anvil.move_time(10).await;
    let header = commit(&root_chain, &operator, 1, &leaves, 1).await;
    let world = World { root_chain, deployment, alice, leaves, header };

    let of_one = world.costs(&one, &creations[0], &anvil).await;
    let of_sixteen = world.costs(&sixteen, &creations[1], &anvil).await;
    println!("{of_one:?} {of_sixteen:?}");
    assert_is_constant(of_one.respond.max(of_sixteen.respond), RESPONSE_GAS);
    let (challenge, process) = (CHALLENGE_PIECE_GAS, PROCESS_PIECE_GAS);
    assert_are_constants(of_one.challenge_piece, of_sixteen.challenge_piece, challenge, CHALLENGE_PIECE_GAS_PER_INPUT);
    assert_are_constants(of_one.process_piece, of_sixteen.process_piece, process, PROCESS_PIECE_GAS_PER_INPUT);
}
