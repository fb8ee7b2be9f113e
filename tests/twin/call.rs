//! A call of the contract with all that it carries, as both take it: the model by value, the contract as calldata.

mod spoil;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{
    Anchor, Call, Contract, InclusionProof, InputProof, Pay, PieceRecord, Revert, ShownReceipt, Spend, Submission,
};
use plasmid_exit_game::exit::in_flight::PieceSet;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{RootEvent, RootRef};
use plasmid_exit_game::fault::{Creation, FaultProof, Origin, ShownBody, ShownLeaf};
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
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
    AnnounceFault {
        announcement: B256,
    },
    ProveFault {
        proof: Box<FaultProof>,
    },
    ProveBrokenReceipt {
        receipt: Receipt,
        signature: Bytes,
        header: Header,
        broken: BrokenPromise,
    },
    FundBond {
        fault_part: u128,
        receipt_part: u128,
    },
    WithdrawBond {
        to: Address,
    },
    ProposeOperator {
        next: Address,
    },
    AcceptOperator {
        first_block: u64,
    },
    CloseChain,
}

/// The types of the structs.
const HEADER: &str = "(uint64,bytes32,bytes32,uint32,uint64,uint64)";
const CREATION: &str = "(bytes,uint64)";
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
            Self::AnnounceFault { .. } => "announceFault",
            Self::ProveFault { proof } => prover(proof),
            Self::ProveBrokenReceipt { .. } => "proveBrokenReceipt",
            Self::FundBond { .. } => "fundBond",
            Self::WithdrawBond { .. } => "withdrawBond",
            Self::ProposeOperator { .. } => "proposeOperator",
            Self::AcceptOperator { .. } => "acceptOperator",
            Self::CloseChain => "closeChain",
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
            Self::AnnounceFault { announcement } => model.announce_fault(call, *announcement),
            Self::ProveFault { proof } => model.prove_fault(call, proof, keccak256(self.calldata()), pay),
            Self::ProveBrokenReceipt { receipt, signature, header, broken } => {
                let header = Some(header).filter(|header| header.number != BlockNumber::ZERO);
                let shown = ShownReceipt { receipt, signature, header, broken };
                model.prove_broken_receipt(call, &shown, keccak256(self.calldata()), pay)
            }
            Self::FundBond { fault_part, receipt_part } => model.fund_bond(call, value, *fault_part, *receipt_part),
            Self::WithdrawBond { to } => model.withdraw_bond(call, *to, pay),
            Self::ProposeOperator { next } => model.propose_operator(call, *next),
            Self::AcceptOperator { first_block } => model.accept_operator(call, *first_block),
            Self::CloseChain => model.close_chain(call),
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
            Self::AnnounceFault { announcement } => ("announceFault(bytes32)".to_owned(), vec![(*announcement).into()]),
            Self::ProveFault { proof } => {
                let (types, args) = proof_parts(proof);
                (format!("{}({types})", prover(proof)), args)
            }
            Self::ProveBrokenReceipt { receipt, signature, header, broken } => {
                let Receipt { number, first, count, root, by } = *receipt;
                let receipt =
                    [number.get().into(), u64::from(first).into(), u64::from(count).into(), root.into(), by.into()];
                let BrokenPromise { index, promised, promised_path, held, held_path } = broken;
                let index = u64::from(*index).into();
                let broken = vec![index, (*promised).into(), path(promised_path), (*held).into(), path(held_path)];
                let types = "(uint64,uint32,uint32,bytes32,uint64),bytes";
                let broken_type = "(uint32,bytes32,bytes32[],bytes32,bytes32[])";
                (
                    format!("proveBrokenReceipt({types},{HEADER},{broken_type})"),
                    vec![Value::Tuple(receipt.into()), bytes(signature), header_value(header), Value::Tuple(broken)],
                )
            }
            Self::FundBond { fault_part, receipt_part } => {
                ("fundBond(uint128,uint128)".to_owned(), vec![(*fault_part).into(), (*receipt_part).into()])
            }
            Self::WithdrawBond { to } => ("withdrawBond(address)".to_owned(), vec![(*to).into()]),
            Self::ProposeOperator { next } => ("proposeOperator(address)".to_owned(), vec![(*next).into()]),
            Self::AcceptOperator { first_block } => ("acceptOperator(uint64)".to_owned(), vec![(*first_block).into()]),
            Self::CloseChain => ("closeChain()".to_owned(), vec![]),
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

fn header_value(header: &Header) -> Value {
    let Header { number, tx_root, utxo_root, tx_count, deposit_count, timestamp } = *header;
    Value::Tuple(vec![
        number.get().into(),
        tx_root.into(),
        utxo_root.into(),
        u64::from(tx_count).into(),
        deposit_count.into(),
        timestamp.into(),
    ])
}

fn path(siblings: &[B256]) -> Value {
    Value::List(siblings.iter().map(|&sibling| sibling.into()).collect())
}

fn inclusion(proof: &InclusionProof) -> Value {
    let InclusionProof { header, index, witness_hash, path: siblings } = proof;
    let header = header_value(header);
    Value::Tuple(vec![header, u64::from(*index).into(), (*witness_hash).into(), path(siblings)])
}

/// Returns which prover takes the proof.
fn prover(proof: &FaultProof) -> &'static str {
    match proof {
        FaultProof::NotCanonical { .. } => "proveFaultNotCanonical",
        FaultProof::NotBefore { .. } => "proveFaultNotBefore",
        FaultProof::NotMade { .. } => "proveFaultNotMade",
        FaultProof::NotDeposited { .. } => "proveFaultNotDeposited",
        FaultProof::NotSigned { .. } => "proveFaultNotSigned",
        FaultProof::Unbalanced { .. } => "proveFaultUnbalanced",
        FaultProof::DoubleSpend { .. } => "proveFaultDoubleSpend",
        FaultProof::Settled { .. } => "proveFaultSettled",
        FaultProof::Exiting { .. } => "proveFaultExiting",
        FaultProof::ExitingInFlight { .. } => "proveFaultExitingInFlight",
    }
}

/// Returns what the prover takes: the types, and the values.
fn proof_parts(proof: &FaultProof) -> (String, Vec<Value>) {
    let of_leaf = |ShownLeaf { body, witness, inclusion: shown }: &ShownLeaf| {
        (format!("bytes,bytes,{INCLUSION}"), vec![bytes(body), bytes(witness), inclusion(shown)])
    };
    let of_body = |ShownBody { body, inclusion: shown }: &ShownBody| {
        (format!("bytes,{INCLUSION}"), vec![bytes(body), inclusion(shown)])
    };
    let small = |number: &u8| Value::from(u64::from(*number));
    let creation = |Creation { fields, index }: &Creation| Value::Tuple(vec![bytes(fields), (*index).into()]);
    let ((first, mut values), (more, others)) = match proof {
        FaultProof::NotCanonical { leaf } => (of_leaf(leaf), (String::new(), vec![])),
        FaultProof::NotBefore { leaf, input } => (of_leaf(leaf), (",uint8".to_owned(), vec![small(input)])),
        FaultProof::NotMade { leaf, input, origin } => {
            let Origin { header, path: siblings, tx_hash, witness_hash, body, witness } = origin;
            let origin = [header_value(header), path(siblings), (*tx_hash).into(), (*witness_hash).into()];
            let origin = Value::Tuple(origin.into_iter().chain([bytes(body), bytes(witness)]).collect());
            let types = format!(",uint8,({HEADER},bytes32[],bytes32,bytes32,bytes,bytes)");
            (of_leaf(leaf), (types, vec![small(input), origin]))
        }
        FaultProof::NotDeposited { leaf, input, creation: shown }
        | FaultProof::NotSigned { leaf, input, creation: shown } => {
            (of_leaf(leaf), (format!(",uint8,{CREATION}"), vec![small(input), creation(shown)]))
        }
        FaultProof::Unbalanced { spend, creations } => {
            let creations = Value::List(creations.iter().map(creation).collect());
            (of_body(spend), (format!(",{CREATION}[]"), vec![creations]))
        }
        FaultProof::DoubleSpend { spend, other, output_id } => {
            let (types, mut values) = of_body(other);
            values.push(output_id.0.into());
            (of_body(spend), (format!(",{types},bytes32"), values))
        }
        FaultProof::Settled { spend, input } => (of_body(spend), (",uint8".to_owned(), vec![small(input)])),
        FaultProof::Exiting { spend, input, exit } => {
            (of_body(spend), (format!(",uint8,{RECORD}"), vec![small(input), exit_record(exit)]))
        }
        FaultProof::ExitingInFlight { spend, input, exit_body, piece } => {
            let values = vec![small(input), bytes(exit_body), small(piece)];
            (of_body(spend), (",uint8,bytes,uint8".to_owned(), values))
        }
    };
    values.extend(others);
    (first + &more, values)
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
