//! A call of the contract with all that it carries, as both take it: the model by value, the contract as calldata.

mod spoil;

use alloy_primitives::{Address, Bytes, U256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{
    Anchor, Call, Contract, InclusionProof, InputProof, Pay, PieceRecord, Revert, Spend, Submission,
};
use plasmid_exit_game::exit::in_flight::PieceSet;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{RootEvent, RootRef};
use plasmid_exit_game::output::TxHash;
use plasmid_root_chain::bindings::{Value, encode_call};

/// What is called. Everything in it may be as hostile as bytes can be.
#[derive(Debug, Clone)]
pub(crate) enum Function {
    Deposit {
        owner: Address,
    },
    /// The token takes `amount` from the caller; `received` of it arrive.
    DepositErc20 {
        token: Address,
        amount: u128,
        received: U256,
        owner: Address,
    },
    SubmitBlock {
        submission: Submission,
        anchor: RootRef,
    },
    StartStandardExit {
        body: Bytes,
        output_index: u8,
        proof: InclusionProof,
        hint: u64,
    },
    StartStandardExitOfDeposit {
        nonce: u64,
        asset: Address,
        amount: u128,
        hint: u64,
    },
    ChallengeStandardExit {
        record: ExitRecord,
        spend: Bytes,
        signature: Bytes,
    },
    AssignExit {
        record: ExitRecord,
        payee: Address,
    },
    ProcessExits {
        asset: Address,
        exits: Vec<ExitRecord>,
        pieces: Vec<PieceRecord>,
    },
    Claim {
        asset: Address,
        to: Address,
    },
    StartInFlightExit {
        body: Bytes,
        signature: Bytes,
        proofs: Vec<InputProof>,
    },
    ImproveInFlightExit {
        body: Bytes,
        data: Bytes,
        which: PieceSet,
        proofs: Vec<InputProof>,
        hints: Vec<u64>,
    },
    Piggyback {
        body: Bytes,
        data: Bytes,
        pieces: PieceSet,
        hint: u64,
    },
    ChallengeNotCanonical {
        tx_hash: TxHash,
        data: Bytes,
        input_index: u8,
        competitor: Spend,
    },
    RespondNotCanonical {
        tx_hash: TxHash,
        inclusion: InclusionProof,
    },
    ChallengePieceSpent {
        body: Bytes,
        data: Bytes,
        piece: u8,
        spend: Spend,
    },
    CloseInFlightExit {
        tx_hash: TxHash,
        data: Bytes,
    },
}

/// The types of `InclusionProof`, `InputProof`, `Spend` and `ExitRecord`.
const INCLUSION: &str = "((uint64,bytes32,bytes32,uint32,uint64,uint64),uint32,bytes32,bytes32[])";
const RECORD: &str = "(bytes32,uint64,address,address,uint128,uint64)";

impl Function {
    /// Returns the function's name, as the contract calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Deposit { .. } => "deposit",
            Self::DepositErc20 { .. } => "depositErc20",
            Self::SubmitBlock { .. } => "submitBlock",
            Self::StartStandardExit { .. } => "startStandardExit",
            Self::StartStandardExitOfDeposit { .. } => "startStandardExitOfDeposit",
            Self::ChallengeStandardExit { .. } => "challengeStandardExit",
            Self::AssignExit { .. } => "assignExit",
            Self::ProcessExits { .. } => "processExits",
            Self::Claim { .. } => "claim",
            Self::StartInFlightExit { .. } => "startInFlightExit",
            Self::ImproveInFlightExit { .. } => "improveInFlightExit",
            Self::Piggyback { .. } => "piggyback",
            Self::ChallengeNotCanonical { .. } => "challengeNotCanonical",
            Self::RespondNotCanonical { .. } => "respondNotCanonical",
            Self::ChallengePieceSpent { .. } => "challengePieceSpent",
            Self::CloseInFlightExit { .. } => "closeInFlightExit",
        }
    }

    /// Makes the call on the model.
    pub(crate) fn on_model(
        &self,
        model: &mut Contract,
        call: Call,
        value: U256,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        match self {
            Self::Deposit { owner } => model.deposit(value, *owner),
            Self::DepositErc20 { token, received, owner, .. } => model.deposit_erc20(*token, *received, *owner),
            Self::SubmitBlock { submission, .. } => model.submit_block(call, submission),
            Self::StartStandardExit { body, output_index, proof, .. } => {
                model.start_standard_exit(call, value, body, *output_index, proof)
            }
            Self::StartStandardExitOfDeposit { nonce, asset, amount, .. } => {
                model.start_standard_exit_of_deposit(call, value, *nonce, *asset, *amount)
            }
            Self::ChallengeStandardExit { record, spend, signature } => {
                model.challenge_standard_exit(call, record, spend, signature, pay)
            }
            Self::AssignExit { record, payee } => model.assign_exit(call, record, *payee),
            Self::ProcessExits { asset, exits, pieces } => Ok(model.process_exits(call, *asset, exits, pieces, pay)),
            Self::Claim { asset, to } => model.claim(call, *asset, *to, pay),
            Self::StartInFlightExit { body, signature, proofs } => {
                model.start_in_flight_exit(call, value, body, signature, proofs)
            }
            Self::ImproveInFlightExit { body, data, which, proofs, .. } => {
                model.improve_in_flight_exit(call, body, data, *which, proofs)
            }
            Self::Piggyback { body, data, pieces, .. } => model.piggyback(call, value, body, data, *pieces),
            Self::ChallengeNotCanonical { tx_hash, data, input_index, competitor } => {
                model.challenge_not_canonical(call, value, *tx_hash, data, *input_index, competitor, pay)
            }
            Self::RespondNotCanonical { tx_hash, inclusion } => {
                model.respond_not_canonical(call, *tx_hash, inclusion, pay)
            }
            Self::ChallengePieceSpent { body, data, piece, spend } => {
                model.challenge_piece_spent(call, body, data, *piece, spend, pay)
            }
            Self::CloseInFlightExit { tx_hash, data } => model.close_in_flight_exit(call, *tx_hash, data, pay),
        }
    }

    /// Returns what the contract is sent.
    pub(crate) fn calldata(&self) -> Bytes {
        let inputs = format!("(uint64,bytes,{INCLUSION})[]");
        let spend_type = format!("(bytes,bytes,{INCLUSION})");
        let (signature, args) = match self {
            Self::Deposit { owner } => ("deposit(address)".to_owned(), vec![(*owner).into()]),
            Self::DepositErc20 { token, amount, owner, .. } => (
                "depositErc20(address,uint256,address)".to_owned(),
                vec![(*token).into(), (*amount).into(), (*owner).into()],
            ),
            Self::SubmitBlock { submission, anchor } => (
                "submitBlock(uint64,bytes32,bytes32,uint32,uint64,uint64,bytes32,uint64)".to_owned(),
                vec![
                    submission.number.into(),
                    submission.tx_root.into(),
                    submission.utxo_root.into(),
                    u64::from(submission.tx_count).into(),
                    submission.deposit_count.into(),
                    anchor.number.into(),
                    anchor.hash.into(),
                    submission.not_after.into(),
                ],
            ),
            Self::StartStandardExit { body, output_index, proof, hint } => (
                format!("startStandardExit(bytes,uint8,{INCLUSION},uint64)"),
                vec![bytes(body), u64::from(*output_index).into(), inclusion(proof), (*hint).into()],
            ),
            Self::StartStandardExitOfDeposit { nonce, asset, amount, hint } => (
                "startStandardExitOfDeposit(uint64,address,uint128,uint64)".to_owned(),
                vec![(*nonce).into(), (*asset).into(), (*amount).into(), (*hint).into()],
            ),
            Self::ChallengeStandardExit { record, spend, signature } => (
                format!("challengeStandardExit({RECORD},bytes,bytes)"),
                vec![exit_record(record), bytes(spend), bytes(signature)],
            ),
            Self::AssignExit { record, payee } => {
                (format!("assignExit({RECORD},address)"), vec![exit_record(record), (*payee).into()])
            }
            Self::ProcessExits { asset, exits, pieces } => (
                format!("processExits(address,{RECORD}[],(bytes,bytes,uint32)[])"),
                vec![
                    (*asset).into(),
                    Value::List(exits.iter().map(exit_record).collect()),
                    Value::List(pieces.iter().map(piece_record).collect()),
                ],
            ),
            Self::Claim { asset, to } => ("claim(address,address)".to_owned(), vec![(*asset).into(), (*to).into()]),
            Self::StartInFlightExit { body, signature, proofs } => (
                format!("startInFlightExit(bytes,bytes,{inputs})"),
                vec![bytes(body), bytes(signature), input_proofs(proofs)],
            ),
            Self::ImproveInFlightExit { body, data, which, proofs, hints } => (
                format!("improveInFlightExit(bytes,bytes,uint32,{inputs},uint64[])"),
                vec![
                    bytes(body),
                    bytes(data),
                    pieces_value(*which),
                    input_proofs(proofs),
                    Value::List(hints.iter().map(|&hint| hint.into()).collect()),
                ],
            ),
            Self::Piggyback { body, data, pieces, hint } => (
                "piggyback(bytes,bytes,uint32,uint64)".to_owned(),
                vec![bytes(body), bytes(data), pieces_value(*pieces), (*hint).into()],
            ),
            Self::ChallengeNotCanonical { tx_hash, data, input_index, competitor } => (
                format!("challengeNotCanonical(bytes32,bytes,uint8,{spend_type})"),
                vec![tx_hash.0.into(), bytes(data), u64::from(*input_index).into(), spend(competitor)],
            ),
            Self::RespondNotCanonical { tx_hash, inclusion: shown } => {
                (format!("respondNotCanonical(bytes32,{INCLUSION})"), vec![tx_hash.0.into(), inclusion(shown)])
            }
            Self::ChallengePieceSpent { body, data, piece, spend: shown } => (
                format!("challengePieceSpent(bytes,bytes,uint8,{spend_type})"),
                vec![bytes(body), bytes(data), u64::from(*piece).into(), spend(shown)],
            ),
            Self::CloseInFlightExit { tx_hash, data } => {
                ("closeInFlightExit(bytes32,bytes)".to_owned(), vec![tx_hash.0.into(), bytes(data)])
            }
        };
        encode_call(&signature, &args).expect("the signature fits its arguments")
    }
}

/// Returns the anchor as the model takes it.
pub(crate) fn anchor_for_model(anchor: RootRef, known: RootRef) -> Anchor {
    if anchor == known { Anchor::Known } else { Anchor::Unknown(anchor) }
}

fn bytes(value: &Bytes) -> Value {
    Value::Bytes(value.clone())
}

fn pieces_value(pieces: PieceSet) -> Value {
    u64::from(pieces.bits()).into()
}

fn inclusion(proof: &InclusionProof) -> Value {
    let InclusionProof { header, index, witness_hash, path } = proof;
    let Header { number, tx_root, utxo_root, tx_count, deposit_count, timestamp } = *header;
    let header = Value::Tuple(vec![
        number.get().into(),
        tx_root.into(),
        utxo_root.into(),
        u64::from(tx_count).into(),
        deposit_count.into(),
        timestamp.into(),
    ]);
    let path = Value::List(path.iter().map(|&sibling| sibling.into()).collect());
    Value::Tuple(vec![header, u64::from(*index).into(), (*witness_hash).into(), path])
}

fn input_proofs(proofs: &[InputProof]) -> Value {
    let proof = |InputProof { position, creation, inclusion: shown }: &InputProof| {
        Value::Tuple(vec![(*position).into(), bytes(creation), inclusion(shown)])
    };
    Value::List(proofs.iter().map(proof).collect())
}

fn spend(spend: &Spend) -> Value {
    Value::Tuple(vec![bytes(&spend.body), bytes(&spend.signature), inclusion(&spend.inclusion)])
}

fn piece_record(record: &PieceRecord) -> Value {
    Value::Tuple(vec![bytes(&record.body), bytes(&record.data), pieces_value(record.pieces)])
}

fn exit_record(record: &ExitRecord) -> Value {
    Value::Tuple(vec![
        record.output_id.0.into(),
        record.position.bits().into(),
        record.output.owner.into(),
        record.output.asset.into(),
        record.output.amount.into(),
        record.key.into(),
    ])
}
