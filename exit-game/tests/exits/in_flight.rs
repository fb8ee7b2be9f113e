//! In-flight exits as users live through them. §6.

use alloy_primitives::{Bytes, U256};
use plasmid_exit_game::exit::contract::{InclusionProof, InputProof, PieceRecord, Revert, Spend};
use plasmid_exit_game::exit::in_flight::{Decision, InFlightData, OldestPlace, Piece, PieceSet};
use plasmid_exit_game::exit::standard::{CoinState, Standing};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::{ETHER, Output, TxHash};
use plasmid_exit_game::position::{Place, PositionKind};
use plasmid_exit_game::transaction::PlacedTransaction;

use crate::world::{BOND, BOUNTY, Coin, IN_FLIGHT_BOND, MEP, Made, PERIODS, TOKEN, World, output, parameters};

const HALF: u64 = MEP / 2;
const BOND_BACK: u128 = BOND - BOUNTY;

/// Returns the bond of a piece of a transaction with so many inputs, and what returns of it.
fn piece_bond(inputs: usize) -> (u128, u128) {
    let (bond, bounty) = (parameters().bond_of_piece(inputs), parameters().bounty_of_piece(inputs));
    (bond.to(), (bond - bounty).to())
}

fn pieces(pieces: &[Piece]) -> PieceSet {
    pieces.iter().copied().collect()
}

/// An exit as its starter knows it.
struct Flight {
    body: Bytes,
    tx_hash: TxHash,
    data: InFlightData,
    start: u64,
    key: u64,
}

impl Flight {
    fn data(&self) -> Vec<u8> {
        self.data.encode()
    }

    fn record(&self, set: PieceSet) -> PieceRecord {
        PieceRecord { body: self.body.clone(), data: self.data().into(), pieces: set }
    }
}

/// Returns what proves the coin as an input.
fn proof_of(coin: &Coin) -> InputProof {
    let Output { owner, asset, amount } = coin.output;
    let (creation, inclusion) = match &coin.made {
        Made::Deposit { .. } => {
            ([owner.as_slice(), asset.as_slice(), &amount.to_be_bytes()].concat().into(), InclusionProof::NONE)
        }
        Made::Output { body, proof, .. } => (Bytes::from(body.clone()), proof.clone()),
    };
    InputProof { position: coin.position.bits(), creation, inclusion }
}

fn place_of(coin: &Coin) -> Place {
    match coin.position.kind() {
        PositionKind::Output(place, _) => place,
        PositionKind::Deposit(_) => panic!("made in a block"),
    }
}

fn inclusion_of(coin: &Coin) -> InclusionProof {
    proof_of(coin).inclusion
}

fn spend(tx: &PlacedTransaction, inclusion: InclusionProof) -> Spend {
    let signature = Bytes::copy_from_slice(&tx.witness.signature.encode());
    Spend { body: tx.body.encode().into(), signature, inclusion }
}

fn start(world: &mut World, caller: &str, tx: &PlacedTransaction, coins: &[&Coin]) -> Result<Flight, Revert> {
    let mut coins = coins.to_vec();
    coins.sort_by_key(|coin| coin.id);
    let proofs: Vec<_> = coins.into_iter().map(proof_of).collect();
    let (body, signature) = (tx.body.encode(), tx.witness.signature.encode());
    let (call, value) = (world.call(caller), U256::from(IN_FLIGHT_BOND));
    let events = world.contract.start_in_flight_exit(call, value, &body, &signature, &proofs)?;
    world.money.put(ETHER, IN_FLIGHT_BOND);
    let [RootEvent::InFlight { tx_hash, step }] = &events[..] else { panic!("a start is one event") };
    let InFlightStep::Started { data, start, key, .. } = &**step else { panic!("a start says so") };
    Ok(Flight { body: body.into(), tx_hash: *tx_hash, data: data.clone(), start: *start, key: *key })
}

fn piggyback(world: &mut World, caller: &str, flight: &Flight, set: PieceSet) -> Result<(), Revert> {
    let value = piece_bond(flight.data.inputs.len()).0 * u128::from(set.len());
    let (call, wei) = (world.call(caller), U256::from(value));
    world.contract.piggyback(call, wei, &flight.body, &flight.data(), set)?;
    world.money.put(ETHER, value);
    Ok(())
}

fn challenge(world: &mut World, caller: &str, flight: &Flight, competitor: &Spend) -> Result<(), Revert> {
    let (call, value, money) = (world.call(caller), U256::from(IN_FLIGHT_BOND), &mut world.money);
    money.put(ETHER, IN_FLIGHT_BOND);
    let mut pay = |payment| money.pay(payment);
    let (tx_hash, data) = (flight.tx_hash, flight.data());
    let challenged = world.contract.challenge_not_canonical(call, value, tx_hash, &data, 0, competitor, &mut pay);
    challenged.map(drop)
}

fn respond(world: &mut World, caller: &str, flight: &Flight, inclusion: &InclusionProof) -> Result<(), Revert> {
    let (call, money) = (world.call(caller), &mut world.money);
    world.contract.respond_not_canonical(call, flight.tx_hash, inclusion, &mut |payment| money.pay(payment)).map(drop)
}

fn close(world: &mut World, flight: &Flight) -> Result<(), Revert> {
    let (call, money) = (world.call("anyone"), &mut world.money);
    let mut pay = |payment| money.pay(payment);
    world.contract.close_in_flight_exit(call, flight.tx_hash, &flight.data(), &mut pay).map(drop)
}

/// Processes these pieces alone.
fn process(world: &mut World, flight: &Flight, set: PieceSet) -> Vec<InFlightStep> {
    let asset =
        world.contract.in_flight_exit(flight.tx_hash).unwrap().coin(set.iter().next().unwrap()).unwrap().1.asset;
    let (call, money) = (world.call("carol"), &mut world.money);
    let records = [flight.record(set)];
    let events = world.contract.process_exits(call, asset, &[], &records, &mut |payment| money.pay(payment));
    let step = |event| match event {
        RootEvent::InFlight { step, .. } => Some(*step),
        _ => None,
    };
    events.into_iter().filter_map(step).collect()
}

#[test]
fn a_canonical_exit_pays_its_outputs_and_settles_its_inputs() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let tx = world.sign("alice", &[&coin], vec![output("bob", ETHER, 400), output("alice", ETHER, 100)]);
    let flight = start(&mut world, "bob", &tx, &[&coin]).unwrap();
    assert_eq!(flight.key, (flight.start + MEP).next_multiple_of(3));
    let standard = world.start("alice", &coin).unwrap();
    assert_eq!(standard.key, flight.key);
    piggyback(&mut world, "bob", &flight, pieces(&[Piece::Output(0)])).unwrap();
    piggyback(&mut world, "alice", &flight, pieces(&[Piece::Input(0)])).unwrap();

    world.now = flight.key;
    let steps = process(&mut world, &flight, pieces(&[Piece::Input(0), Piece::Output(0)]));
    let [InFlightStep::Decided(Decision::Canonical), InFlightStep::PieceReturned { .. }, paid] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert!(matches!(paid, InFlightStep::PiecePaid { amount: 400, paid: 400, credited: false, .. }));
    let back = piece_bond(1).1;
    assert_eq!((world.received("bob", ETHER), world.received("alice", ETHER)), (400 + back, back));
    let freeze = PERIODS.freeze_of_in_flight_input(flight.start);
    assert_eq!(world.contract.coin(coin.id), CoinState::DEPOSITED.with_exit(&standard).with_settlement(freeze));

    world.process("carol", ETHER, &[standard]);
    assert_eq!(world.received("alice", ETHER), back + BOND_BACK, "its own exit gives back the bond alone");
    assert_eq!(world.contract.coin(coin.id), CoinState::settled(freeze));
    close(&mut world, &flight).unwrap();
    assert_eq!(world.received("bob", ETHER), 400 + back + IN_FLIGHT_BOND);
    assert_eq!(world.contract.owed(ETHER), Some(100), "what nobody claimed stays owed");
    assert_eq!(world.contract.in_flight_exit(flight.tx_hash), None);
}

#[test]
fn a_non_canonical_exit_pays_its_inputs_and_its_challenger() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let tx = world.sign("alice", &[&coin], vec![output("bob", ETHER, 500)]);
    let other = world.sign("alice", &[&coin], vec![output("carol", ETHER, 500)]);
    let flight = start(&mut world, "bob", &tx, &[&coin]).unwrap();
    piggyback(&mut world, "bob", &flight, pieces(&[Piece::Output(0)])).unwrap();
    piggyback(&mut world, "alice", &flight, pieces(&[Piece::Input(0)])).unwrap();
    world.now = flight.start + HALF - 1;
    challenge(&mut world, "dave", &flight, &spend(&other, InclusionProof::NONE)).unwrap();

    world.now = flight.key;
    let steps = process(&mut world, &flight, pieces(&[Piece::Output(0), Piece::Input(0)]));
    assert!(matches!(steps[0], InFlightStep::Decided(Decision::NonCanonical)));
    assert_eq!(world.received("alice", ETHER), 500 + piece_bond(1).1);
    let freeze = PERIODS.freeze_of_in_flight_input(flight.start);
    assert_eq!(world.contract.coin(coin.id).standing(), Standing::Settled { freeze });
    close(&mut world, &flight).unwrap();
    assert_eq!(world.received("dave", ETHER), 2 * IN_FLIGHT_BOND);
    assert_eq!(world.received("bob", ETHER), piece_bond(1).1);
}

#[test]
fn the_oldest_place_wins_and_a_response_takes_the_bond() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let tx = world.sign("alice", &[&coin], vec![output("bob", ETHER, 500)]);
    let other = world.sign("alice", &[&coin], vec![output("carol", ETHER, 500)]);
    let first = world.commit(std::slice::from_ref(&tx)).remove(0).remove(0);
    let late = world.commit(std::slice::from_ref(&other)).remove(0).remove(0);
    let flight = start(&mut world, "bob", &tx, &[&coin]).unwrap();
    assert_eq!(
        respond(&mut world, "erin", &flight, &inclusion_of(&first)),
        Err(Revert::NothingToAnswer { tx_hash: flight.tx_hash })
    );
    challenge(&mut world, "dave", &flight, &spend(&other, InclusionProof::NONE)).unwrap();
    challenge(&mut world, "erin", &flight, &spend(&other, inclusion_of(&late))).unwrap();
    assert_eq!(world.received("dave", ETHER), IN_FLIGHT_BOND, "an older competitor returns the earlier bond");
    respond(&mut world, "bob", &flight, &inclusion_of(&first)).unwrap();
    assert_eq!(world.received("bob", ETHER), IN_FLIGHT_BOND);
    let open = world.contract.in_flight_exit(flight.tx_hash).unwrap();
    assert_eq!((open.oldest, open.challenger), (OldestPlace::Own(place_of(&first)), None));
    let again = challenge(&mut world, "dave", &flight, &spend(&other, inclusion_of(&late)));
    let (shown, oldest) = (place_of(&late).first_output().bits(), place_of(&first).first_output().bits());
    assert_eq!(again, Err(Revert::NotOlder { shown, oldest }));

    world.now = flight.start + HALF;
    assert_eq!(
        challenge(&mut world, "dave", &flight, &spend(&other, InclusionProof::NONE)),
        Err(Revert::FirstHalfOver { timestamp: world.now, end: world.now })
    );
    close(&mut world, &flight).unwrap();
    assert_eq!(world.received("bob", ETHER), 2 * IN_FLIGHT_BOND);
}

#[test]
fn a_challenge_in_the_last_second_leaves_time_for_a_response() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let tx = world.sign("alice", &[&coin], vec![output("bob", ETHER, 500)]);
    let other = world.sign("alice", &[&coin], vec![output("carol", ETHER, 500)]);
    let flight = start(&mut world, "bob", &tx, &[&coin]).unwrap();
    assert_eq!(
        close(&mut world, &flight),
        Err(Revert::TooEarly { timestamp: flight.start, earliest: flight.start + HALF })
    );
    world.now = flight.start + HALF - 1;
    challenge(&mut world, "dave", &flight, &spend(&other, InclusionProof::NONE)).unwrap();
    for now in [world.now + 1, flight.key - 1] {
        world.now = now;
        assert_eq!(close(&mut world, &flight), Err(Revert::TooEarly { timestamp: now, earliest: flight.key }));
    }
    world.now = flight.key;
    close(&mut world, &flight).unwrap();
    assert_eq!(world.received("dave", ETHER), 2 * IN_FLIGHT_BOND, "nobody answered, and nothing was ever decided");
}

#[test]
fn a_younger_copy_of_its_parent_does_not_make_an_exit_younger() {
    let mut world = World::new();
    let deposits = [world.deposit("alice", ETHER, 500), world.deposit("alice", TOKEN, 7)];
    let parent = world.sign(
        "alice",
        &[&deposits[0], &deposits[1]],
        vec![output("alice", ETHER, 500), output("alice", TOKEN, 7)],
    );
    let older = world.commit(std::slice::from_ref(&parent)).remove(0);
    world.now += MEP;
    let younger = world.commit(&[parent]).remove(0);
    let tx = world.sign("alice", &[&older[0], &older[1]], vec![output("bob", ETHER, 500), output("bob", TOKEN, 7)]);
    let flight = start(&mut world, "squatter", &tx, &[&younger[0], &older[1]]).unwrap();
    let created = inclusion_of(&younger[0]).header.timestamp;
    assert_eq!(flight.key, created + 2 * MEP, "the maximum over its inputs");
    piggyback(&mut world, "bob", &flight, pieces(&[Piece::Output(0)])).unwrap();
    piggyback(&mut world, "bob", &flight, pieces(&[Piece::Output(1)])).unwrap();

    let index = flight.data.inputs.iter().position(|input| input.output_id == older[0].id).unwrap();
    let which = pieces(&[Piece::Input(index as u8)]);
    let (call, data) = (world.call("anyone"), flight.data());
    let improve =
        |world: &mut World, proof| world.contract.improve_in_flight_exit(call, &flight.body, &data, which, &[proof]);
    assert_eq!(improve(&mut world, proof_of(&younger[0])), Err(Revert::NothingOlder));
    improve(&mut world, proof_of(&older[0])).unwrap();
    let key = (flight.start + MEP).next_multiple_of(3);
    assert_eq!(world.contract.in_flight_exit(flight.tx_hash).unwrap().key, key);
    for asset in [ETHER, TOKEN] {
        let keys: Vec<_> = world.contract.exit_keys(asset).unwrap().iter().collect();
        assert_eq!(keys, [(key, 1), (flight.key, 0)], "live pieces are counted over");
    }
    assert_eq!(improve(&mut world, proof_of(&older[0])), Err(Revert::WrongData { tx_hash: flight.tx_hash }));
}

#[test]
fn a_spent_piece_is_challenged_away_by_an_inclusion_before_the_freeze() {
    let mut world = World::new();
    let coin = world.deposit("alice", ETHER, 500);
    let tx = world.sign("alice", &[&coin], vec![output("bob", ETHER, 500)]);
    let other = world.sign("alice", &[&coin], vec![output("carol", ETHER, 500)]);
    let flight = start(&mut world, "bob", &tx, &[&coin]).unwrap();
    piggyback(&mut world, "alice", &flight, pieces(&[Piece::Input(0)])).unwrap();
    piggyback(&mut world, "bob", &flight, pieces(&[Piece::Output(0)])).unwrap();
    let freeze = PERIODS.freeze_of_in_flight_input(flight.start);
    world.now = freeze - 1;
    let spends = world.commit(&[other.clone(), tx.clone()]);
    let late = world.commit(std::slice::from_ref(&other)).remove(0).remove(0);
    let bobs = &spends[1][0];
    let bobs_spend = world.sign("bob", &[bobs], vec![output("dave", ETHER, 500)]);
    let challenge = |world: &mut World, piece, shown: &Spend| {
        let (call, money) = (world.call("dave"), &mut world.money);
        let mut pay = |payment| money.pay(payment);
        world.contract.challenge_piece_spent(call, &flight.body, &flight.data(), piece, shown, &mut pay).map(drop)
    };
    let too_late = Revert::IncludedTooLate { timestamp: freeze + 1, freeze };
    assert_eq!(challenge(&mut world, 0, &spend(&other, inclusion_of(&late))), Err(too_late));
    let own = Revert::OwnTransaction { tx_hash: flight.tx_hash };
    assert_eq!(challenge(&mut world, 0, &spend(&tx, inclusion_of(bobs))), Err(own));
    let nothing = Revert::UnknownHeader { number: InclusionProof::NONE.header.number };
    assert_eq!(challenge(&mut world, 16, &spend(&bobs_spend, InclusionProof::NONE)), Err(nothing));

    challenge(&mut world, 0, &spend(&other, inclusion_of(&spends[0][0]))).unwrap();
    challenge(&mut world, 16, &spend(&bobs_spend, inclusion_of(bobs))).unwrap();
    assert_eq!(world.received("dave", ETHER), 2 * piece_bond(1).0);
    assert_eq!(world.contract.exit_keys(ETHER).unwrap().count(flight.key), Some(0));
    assert_eq!(
        challenge(&mut world, 16, &spend(&bobs_spend, inclusion_of(bobs))),
        Err(Revert::PieceNotLive { piece: 16 })
    );
}

#[test]
fn an_exit_with_an_input_of_a_void_block_pays_nothing_and_returns_its_bonds() {
    let mut world = World::new();
    let deposit = world.deposit("alice", ETHER, 500);
    let parent = world.sign("alice", &[&deposit], vec![output("alice", ETHER, 500)]);
    let coin = world.commit(&[parent]).remove(0).remove(0);
    let tx = world.sign("alice", &[&coin], vec![output("bob", ETHER, 500)]);
    let flight = start(&mut world, "bob", &tx, &[&coin]).unwrap();
    piggyback(&mut world, "bob", &flight, pieces(&[Piece::Output(0)])).unwrap();
    world.halt(1).unwrap();
    world.now = flight.key;
    let steps = process(&mut world, &flight, pieces(&[Piece::Output(0)]));
    assert!(matches!(steps[..], [InFlightStep::Decided(Decision::Void), InFlightStep::PieceReturned { .. }]));
    close(&mut world, &flight).unwrap();
    assert_eq!(world.received("bob", ETHER), piece_bond(1).1 + IN_FLIGHT_BOND);
    assert_eq!(
        start(&mut world, "bob", &tx, &[&coin]).err(),
        Some(Revert::VoidBlock { number: place_of(&coin).block })
    );
}
