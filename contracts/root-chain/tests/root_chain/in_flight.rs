//! In-flight exits on a real contract: every call is taken, every event is a fact, and the game that follows them holds
//! what the contract does. §6.

use alloy_primitives::{Address, B256};
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::facts::{InFlightStep, RootBlock, RootEvent};
use plasmid_exit_game::game::{CoinExit, Game};
use plasmid_exit_game::output::{ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::TxIndex;
use plasmid_exit_game::transaction::Transaction;
use plasmid_exit_game::tx_tree;
use plasmid_root_chain::calls::{InclusionProof, InputProof, PieceRecord, Spend};
use plasmid_root_chain::client::{Deployment, InFlightWord, RootChain};
use plasmid_root_chain::deploy::{CHALLENGE_PIECE_GAS, CHALLENGE_PIECE_GAS_PER_INPUT, RESPONSE_GAS};
use plasmid_root_chain::node::{Call, Landed};
use plasmid_root_chain::sender::Sender;

use crate::anvil::{Anvil, PERIODS, account, address};
use crate::contract::{commit, deposited, events};

/// The contract and a game that follows it.
struct World {
    root_chain: RootChain,
    deployment: Deployment,
    game: Game,
}

impl World {
    async fn follow(&mut self, landed: &Landed) -> Vec<RootEvent> {
        let events = events(&self.root_chain, landed);
        let block = self.root_chain.node().block_by_hash(landed.block.hash).await.unwrap().unwrap();
        let timestamp = block.timestamp;
        let block = RootBlock { at: landed.block, parent: B256::ZERO, timestamp, events: events.clone() };
        self.game.connect_block(&block).unwrap();
        events
    }

    async fn send(&mut self, sender: &Sender, call: Call) -> (Vec<RootEvent>, u128) {
        let landed = sender.send(&call).await.unwrap();
        (self.follow(&landed).await, landed.gas_used.into())
    }

    /// Sends a call that is one step of the exit, and returns the step and the gas.
    async fn step(&mut self, sender: &Sender, call: Call) -> (InFlightStep, u128) {
        let (events, gas) = self.send(sender, call).await;
        match &events[..] {
            [RootEvent::InFlight { step, .. }] => ((**step).clone(), gas),
            events => panic!("{events:?}"),
        }
    }

    /// Returns what the game holds, after comparing it with the contract.
    async fn word(&self, tx_hash: TxHash) -> Option<InFlightWord> {
        let word = self.game.in_flight_exit(tx_hash).map(|exit| InFlightWord {
            start: exit.start,
            key: exit.key,
            live_pieces: exit.live_pieces,
            decision: exit.decision,
            oldest: exit.oldest,
            challenger: exit.challenger,
            data_hash: exit.data.hash(),
        });
        assert_eq!(self.root_chain.in_flight_exit(tx_hash).await.unwrap(), word);
        word
    }

    fn signed(&self, inputs: Vec<OutputId>, outputs: &[(Address, u128)]) -> SignedTransaction {
        let output = |&(owner, amount)| Output { owner, asset: ETHER, amount };
        let body = Transaction::new(inputs, outputs.iter().map(output).collect(), B256::ZERO).unwrap();
        let signature = account(1).sign_digest(body.signing_hash(&self.deployment.domain()));
        SignedTransaction { body, signature }
    }
}

#[tokio::test]
async fn an_in_flight_exit_from_its_start_to_its_close() {
    let anvil = Anvil::start();
    let (root_chain, deployment) = anvil.deploy().await;
    let (operator, alice, bob) = (anvil.sender(0).await, anvil.sender(1).await, anvil.sender(2).await);
    let mut world = World { root_chain: root_chain.clone(), deployment, game: Game::new(PERIODS, 64) };
    let bonds = deployment.bonds;

    let mut deposits = Vec::new();
    for _ in 0..2 {
        let landed = bob.send(&root_chain.deposit(address(1), 1_000)).await.unwrap();
        world.follow(&landed).await;
        deposits.push(deposited(&root_chain, &landed));
    }
    let ids: Vec<_> = deposits.iter().map(|deposit| deposit.output_id()).collect();
    let payment = world.signed(ids.clone(), &[(address(2), 1_500), (address(1), 500)]);
    let competitor = world.signed(vec![ids[0]], &[(address(2), 1_000)]);
    let tx_hash = payment.body.hash();
    let spend = world.signed(vec![OutputId::of_output(tx_hash, 1)], &[(address(2), 500)]);
    anvil.move_time(10).await;
    let witness_hash = B256::repeat_byte(5);
    let leaves = [tx_tree::EMPTY_LEAF, tx_tree::leaf(tx_hash, witness_hash)];
    let header = commit(&root_chain, &operator, 1, &leaves, 2).await;
    let tx_index = TxIndex::new(1).unwrap();
    let inclusion = InclusionProof { header, tx_index, witness_hash, path: tx_tree::path(&leaves, 1).unwrap() };

    let mut proofs: Vec<_> =
        deposits.iter().map(|&deposit| (deposit.output_id(), InputProof::Deposit(deposit))).collect();
    proofs.sort_by_key(|(id, _)| *id);
    let proofs: Vec<_> = proofs.into_iter().map(|(_, proof)| proof).collect();
    let start = root_chain.start_in_flight_exit(&payment, &proofs, bonds.in_flight_bond_wei);
    let (step, _) = world.step(&bob, start).await;
    let InFlightStep::Started { data, start, key, transaction } = step else { panic!("{step:?}") };
    assert_eq!((&transaction, data.starter, data.owner), (&payment, address(2), address(1)));
    assert_eq!(key, PERIODS.exit_key(start, None));
    assert_eq!(world.word(tx_hash).await.unwrap().oldest, OldestPlace::Nobodys);

    let of_alice = PieceSet::from_iter([Piece::Input(0), Piece::Output(1)]);
    let bond = bonds.of_pieces(2, 2).unwrap();
    let (step, _) = world.step(&alice, root_chain.piggyback(&payment.body, Some(&data), of_alice, 0, bond)).await;
    assert_eq!(step, InFlightStep::Piggybacked { owner: address(1), asset: ETHER, pieces: of_alice });

    let index = u8::try_from(payment.body.inputs().iter().position(|id| *id == ids[0]).unwrap()).unwrap();
    let shown = Spend { transaction: competitor.clone(), inclusion: None };
    let challenge = root_chain.challenge_not_canonical(tx_hash, &data, index, &shown, bonds.in_flight_bond_wei);
    let (step, _) = world.step(&alice, challenge).await;
    assert_eq!(step, InFlightStep::CanonicityChallenged { challenger: address(1), place: None, competitor });
    assert_eq!(world.word(tx_hash).await.unwrap().challenger, Some(address(1)));

    let (step, gas) = world.step(&bob, root_chain.respond_not_canonical(tx_hash, &inclusion)).await;
    assert_eq!(step, InFlightStep::CanonicityAnswered { responder: address(2), place: inclusion.place() });
    assert_eq!(world.word(tx_hash).await.unwrap().oldest, OldestPlace::Own(inclusion.place()));
    assert!(gas < RESPONSE_GAS, "{gas} gas");

    let shown = Spend { transaction: spend.clone(), inclusion: Some(inclusion.clone()) };
    let piece = Piece::Output(1);
    let challenge = root_chain.challenge_piece_spent(&payment.body, None, piece.number(), &shown);
    let (step, gas) = world.step(&bob, challenge).await;
    let place = inclusion.place();
    assert_eq!(step, InFlightStep::PieceChallenged { challenger: address(2), piece, place, spend });
    assert!(gas < CHALLENGE_PIECE_GAS + 2 * CHALLENGE_PIECE_GAS_PER_INPUT, "{gas} gas");

    let of_bob = PieceSet::from_iter([Piece::Output(0)]);
    let bond = bonds.of_pieces(1, 2).unwrap();
    world.step(&bob, root_chain.piggyback(&payment.body, None, of_bob, key, bond)).await;
    let pieces = PieceSet::from_iter([Piece::Input(0), Piece::Output(0)]);
    assert_eq!(world.word(tx_hash).await.unwrap().live_pieces, pieces);

    anvil.move_time(PERIODS.minimum_exit_period + 10).await;
    let record = PieceRecord { body: payment.body.clone(), data: data.clone(), pieces };
    let (events, _) = world.send(&alice, root_chain.process_exits(ETHER, &[], &[record])).await;
    let paid = InFlightStep::PiecePaid {
        output_id: OutputId::of_output(tx_hash, 0),
        payee: address(2),
        piece: Piece::Output(0),
        amount: 1_500,
        paid: 1_500,
        credited: false,
    };
    let returned =
        InFlightStep::PieceReturned { output_id: payment.body.inputs()[0], payee: address(1), piece: Piece::Input(0) };
    for step in [InFlightStep::Decided(Decision::Canonical), paid, returned] {
        assert!(events.contains(&RootEvent::InFlight { tx_hash, step: Box::new(step) }), "{events:?}");
    }
    assert!(world.word(tx_hash).await.unwrap().live_pieces.is_empty());
    let freeze = PERIODS.freeze_of_in_flight_input(start);
    for id in ids {
        assert_eq!(world.game.exit(id), Some(&CoinExit::Settled { freeze }));
        assert_eq!(root_chain.coin(id).await.unwrap().state, freeze);
    }
    let output = root_chain.coin(OutputId::of_output(tx_hash, 0)).await.unwrap();
    assert_eq!(output.state, PERIODS.freeze_of_in_flight_output(key));

    let (step, _) = world.step(&bob, root_chain.close_in_flight_exit(tx_hash, &data)).await;
    assert_eq!((step, world.word(tx_hash).await), (InFlightStep::Closed, None));
}
