//! Holds one vector of each topic against the core, through its decoders where there are any.

use alloy_primitives::{Address, B256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::{CoinState, ExitRecord};
use plasmid_exit_game::output::{Deposit, Output, OutputError, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, PositionKind, TxIndex};
use plasmid_exit_game::receipt::Receipt;
use plasmid_exit_game::signature::{Domain, Signature, SignatureError};
use plasmid_exit_game::transaction::{BodyError, PlacedTransaction, Transaction, Witness, WitnessError};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{MembershipProof, value};

use crate::row::Vector;

pub(crate) fn position(vector: &Vector) {
    let place = Place { block: block_number(vector, "block"), index: TxIndex::new(vector.integer("txIndex")).unwrap() };
    let position = position_of(vector);
    assert_eq!(position.kind(), PositionKind::Output(place, vector.integer("outputIndex")));
    assert_eq!(place.output(vector.integer("outputIndex")), Some(position));
}

pub(crate) fn output_id(vector: &Vector) {
    let id = OutputId::of_output(TxHash(vector.word("txHash")), vector.integer("outputIndex"));
    assert_eq!(id.0, vector.word("outputId"));
}

pub(crate) fn deposit(vector: &Vector) {
    let deposit = Deposit { nonce: vector.integer("nonce"), output: output_of(vector) };
    assert_eq!(deposit.output_id().0, vector.word("outputId"));
    assert_eq!(position_of(vector).kind(), PositionKind::Deposit(deposit.nonce));
}

pub(crate) fn transaction(vector: &Vector) {
    let (body_bytes, witness_bytes) = (vector.bytes("body"), vector.bytes("witness"));
    let PlacedTransaction { body, witness } = PlacedTransaction::decode(&body_bytes, &witness_bytes).unwrap();
    assert_eq!(body.encode(), body_bytes);
    assert_eq!(witness.encode(), witness_bytes);

    let outputs = vector.addresses("owners").into_iter().zip(vector.addresses("assets"));
    let outputs = outputs.zip(vector.integers("amounts"));
    let outputs: Vec<Output> = outputs.map(|((owner, asset), amount)| Output { owner, asset, amount }).collect();
    assert_eq!(body.outputs(), outputs);
    assert_eq!(body.inputs(), vector.words("inputs").into_iter().map(OutputId).collect::<Vec<_>>());
    assert_eq!(body.memo(), vector.word("memo"));
    assert_eq!(body.hash().0, vector.word("txHash"));

    let digest = body.signing_hash(&domain_of(vector));
    assert_eq!(digest, vector.word("signingHash"));
    assert_eq!(witness.signature, signature_of(vector).unwrap());
    assert_eq!(witness.signature.recover(digest), Some(vector.address("signer")));
    let placement: Vec<u64> = witness.placement.iter().map(|position| position.bits()).collect();
    assert_eq!(placement, vector.integers::<u64>("placement"));
    assert_eq!(witness.hash(), vector.word("witnessHash"));
    assert_eq!(tx_tree::leaf(body.hash(), witness.hash()), vector.word("leaf"));
}

pub(crate) fn body_not_canonical(vector: &Vector) {
    let error = Transaction::decode(&vector.bytes("body")).expect_err("not canonical");
    assert_eq!(body_reason(error), vector.text("reason"));
}

/// The name of a reason in the files.
pub(crate) fn body_reason(error: BodyError) -> &'static str {
    match error {
        BodyError::Length => "length",
        BodyError::Version(_) => "version",
        BodyError::InputCount(_) => "input count",
        BodyError::OutputCount(_) => "output count",
        BodyError::InputOrder { .. } => "input order",
        BodyError::Output { source: OutputError::Kind(_), .. } => "kind",
        BodyError::Output { source: OutputError::ZeroOwner, .. } => "zero owner",
        BodyError::Output { source: OutputError::ZeroAmount, .. } => "zero amount",
    }
}

pub(crate) fn witness_not_canonical(vector: &Vector) {
    let error = Witness::decode(&vector.bytes("witness"), vector.integer("inputs")).expect_err("not canonical");
    assert_eq!(witness_reason(error), vector.text("reason"));
}

/// The name of a reason in the files.
pub(crate) fn witness_reason(error: WitnessError) -> &'static str {
    match error {
        WitnessError::Length { .. } => "length",
        WitnessError::Signature(SignatureError::R) => "r",
        WitnessError::Signature(SignatureError::S) => "s",
        WitnessError::Position { .. } => "position",
    }
}

pub(crate) fn signature(vector: &Vector) {
    let signature = signature_of(vector);
    assert_eq!(signature.is_ok(), vector.flag("canonical"));
    let signer = signature.ok().and_then(|signature| signature.recover(vector.word("digest")));
    assert_eq!(signer, Some(vector.address("signer")).filter(|signer| *signer != Address::ZERO));
}

pub(crate) fn header(vector: &Vector) {
    let header = Header {
        number: block_number(vector, "number"),
        tx_root: vector.word("txRoot"),
        utxo_root: vector.word("utxoRoot"),
        tx_count: vector.integer("txCount"),
        deposit_count: vector.integer("depositCount"),
        timestamp: vector.integer("timestamp"),
    };
    assert_eq!(header.commitment(), vector.word("commitment"));
}

pub(crate) fn transaction_tree(vector: &Vector) {
    let (index, count) = (vector.integer("index"), vector.integer("txCount"));
    let root = tx_tree::root_of_path(vector.word("leaf"), index, count, &vector.words("path"));
    assert_eq!(root, Some(vector.word("root")));
}

pub(crate) fn unspent_tree(vector: &Vector) {
    let output = Output::decode(&vector.bytes("output").try_into().unwrap()).unwrap();
    let value = value(OutputId(vector.word("outputId")), &output);
    assert_eq!(value, vector.word("value"));
    let proof = MembershipProof::decode(&vector.bytes("proof")).unwrap();
    assert!(proof.verify(vector.word("root"), position_of(vector), value));
}

pub(crate) fn receipt(vector: &Vector) {
    let receipt = Receipt {
        number: block_number(vector, "number"),
        first: vector.integer("first"),
        count: vector.integer("count"),
        root: vector.word("root"),
        by: vector.integer("by"),
    };
    let digest = receipt.signing_hash(&domain_of(vector));
    assert_eq!(digest, vector.word("digest"));
    assert_eq!(signature_of(vector).unwrap().recover(digest), Some(vector.address("signer")));
}

pub(crate) fn periods(vector: &Vector) {
    let periods = periods_of(vector);
    assert_eq!(periods.granularity(), vector.integer::<u64>("granularity"));
    assert_eq!(periods.freeze_delay(), vector.integer::<u64>("freezeDelay"));
    assert_eq!(periods.grace(), vector.integer::<u64>("grace"));
}

pub(crate) fn exit_key(vector: &Vector) {
    let periods = periods_of(vector);
    let created = Some(vector.integer("created")).filter(|&created| created != 0);
    let key = periods.exit_key(vector.integer("start"), created);
    assert_eq!(key, vector.integer::<u64>("key"));
    assert_eq!(periods.freeze_of_standard_exit(key), vector.integer::<u64>("freeze"));
}

pub(crate) fn exit_record(vector: &Vector) {
    let record = ExitRecord {
        output_id: OutputId(vector.word("outputId")),
        position: position_of(vector),
        output: output_of(vector),
        key: vector.integer("key"),
    };
    assert_eq!(record.hash(), vector.word("hash"));

    let before = if vector.integer::<u8>("state") == 1 { CoinState::DEPOSITED } else { CoinState::default() };
    let exiting = before.with_exit(&record);
    let coin = if vector.flag("assigned") { exiting.with_assignment() } else { exiting };
    assert_eq!(B256::new(coin.to_word().to_be_bytes()), vector.word("word"));
}

fn block_number(vector: &Vector, name: &str) -> BlockNumber {
    BlockNumber::new(vector.integer(name)).unwrap()
}

fn position_of(vector: &Vector) -> Position {
    Position::from_bits(vector.integer("position")).unwrap()
}

fn output_of(vector: &Vector) -> Output {
    Output { owner: vector.address("owner"), asset: vector.address("asset"), amount: vector.integer("amount") }
}

fn domain_of(vector: &Vector) -> Domain {
    Domain { chain_id: vector.integer("chainId"), contract: vector.address("contract") }
}

fn signature_of(vector: &Vector) -> Result<Signature, SignatureError> {
    Signature::decode(vector.bytes("signature").try_into().unwrap())
}

fn periods_of(vector: &Vector) -> Periods {
    let minimum_exit_period = vector.integer("minimumExitPeriod");
    Periods { minimum_exit_period, sunset: minimum_exit_period }
}
