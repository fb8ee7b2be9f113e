//! Calls as the contract is sent them, by the ABI.

use alloy_primitives::{B256, Bytes};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{InclusionProof, InputProof, PieceRecord, Spend};
use plasmid_exit_game::exit::in_flight::PieceSet;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::fault::{Creation, FaultProof, HeldKey, Origin, ShownBody, ShownCoin, ShownLeaf, SpentCoin};
use plasmid_exit_game::output::{Deposit, Output};
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
use plasmid_root_chain::bindings::{Value, encode_call};

use super::Function;

/// The types of the structs.
const HEADER: &str = "(uint64,bytes32,bytes32,uint32,uint64,uint64)";
const CREATION: &str = "(bytes,uint64)";
const INCLUSION: &str = "((uint64,bytes32,bytes32,uint32,uint64,uint64),uint32,bytes32,bytes32[])";
const ORIGIN: &str = "((uint64,bytes32,bytes32,uint32,uint64,uint64),bytes32[],bytes32,bytes32,bytes,bytes)";
const HELD_KEY: &str = "((uint64,bytes32,bytes32,uint32,uint64,uint64),uint64,bytes32,bytes)";
const RECORD: &str = "(bytes32,uint64,address,address,uint128,uint64)";

impl Function {
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
            Self::ClaimMissing { header, coin: ShownCoin { creation: made, inclusion: shown } } => (
                format!("claimMissing({HEADER},{CREATION},{INCLUSION})"),
                vec![header_value(header), creation(made), inclusion(shown)],
            ),
            Self::AnswerMissing { header, position, membership } => (
                format!("answerMissing({HEADER},uint64,bytes)"),
                vec![header_value(header), (*position).into(), bytes(membership)],
            ),
            Self::AnswerMissingSpent { number, position, spent } => {
                let (types, args) = spent_parts(spent);
                let at = vec![number.get().into(), (*position).into()];
                (format!("answerMissingSpent(uint64,uint64,{types})"), [at, args].concat())
            }
            Self::ConvictMissing { header, position } => {
                (format!("convictMissing({HEADER},uint64)"), vec![header_value(header), (*position).into()])
            }
            Self::ReclaimMissing { header, position } => {
                (format!("reclaimMissing({HEADER},uint64)"), vec![header_value(header), (*position).into()])
            }
            Self::WithdrawSettled { header, membership, coin: ShownCoin { creation: made, inclusion: shown } } => (
                format!("withdrawSettled({HEADER},bytes,{CREATION},{INCLUSION})"),
                vec![header_value(header), bytes(membership), creation(made), inclusion(shown)],
            ),
            Self::WithdrawSettledDeposit { header, deposit: Deposit { nonce, output } } => {
                let &Output { owner, asset, amount } = output;
                (
                    format!("withdrawSettledDeposit({HEADER},uint64,address,address,uint128)"),
                    vec![header_value(header), (*nonce).into(), owner.into(), asset.into(), amount.into()],
                )
            }
        };
        encode_call(&signature, &args).expect("the signature fits its arguments")
    }
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
pub(super) fn prover(proof: &FaultProof) -> &'static str {
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
        FaultProof::HeldSpent { .. } => "proveFaultHeldSpent",
        FaultProof::HeldNotMade { .. } => "proveFaultHeldNotMade",
        FaultProof::HeldNotDeposited { .. } => "proveFaultHeldNotDeposited",
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
    let of_held = |held: &HeldKey| (HELD_KEY.to_owned(), vec![held_value(held)]);
    let ((first, mut values), (more, others)) = match proof {
        FaultProof::NotCanonical { leaf } => (of_leaf(leaf), (String::new(), vec![])),
        FaultProof::NotBefore { leaf, input } => (of_leaf(leaf), (",uint8".to_owned(), vec![small(input)])),
        FaultProof::NotMade { leaf, input, origin } => {
            (of_leaf(leaf), (format!(",uint8,{ORIGIN}"), vec![small(input), origin_value(origin)]))
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
        FaultProof::HeldSpent { held, spent } => {
            let (types, values) = spent_parts(spent);
            (of_held(held), (format!(",{types}"), values))
        }
        FaultProof::HeldNotMade { held, origin } => (of_held(held), (format!(",{ORIGIN}"), vec![origin_value(origin)])),
        FaultProof::HeldNotDeposited { held, creation: shown } => {
            (of_held(held), (format!(",{CREATION}"), vec![creation(shown)]))
        }
    };
    values.extend(others);
    (first + &more, values)
}

fn creation(Creation { fields, index }: &Creation) -> Value {
    Value::Tuple(vec![bytes(fields), (*index).into()])
}

fn origin_value(origin: &Origin) -> Value {
    let Origin { header, path: siblings, tx_hash, witness_hash, body, witness } = origin;
    let hashes = [header_value(header), path(siblings), (*tx_hash).into(), (*witness_hash).into()];
    Value::Tuple(hashes.into_iter().chain([bytes(body), bytes(witness)]).collect())
}

fn held_value(HeldKey { header, position, value, proof }: &HeldKey) -> Value {
    Value::Tuple(vec![header_value(header), (*position).into(), (*value).into(), bytes(proof)])
}

fn spent_parts(SpentCoin { output_id, output, spend }: &SpentCoin) -> (String, Vec<Value>) {
    let ShownBody { body, inclusion: shown } = spend;
    (format!("bytes32,bytes,bytes,{INCLUSION}"), vec![output_id.0.into(), bytes(output), bytes(body), inclusion(shown)])
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
