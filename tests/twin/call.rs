//! A call of the contract with all that it carries, as both take it: the model by value, the contract as calldata.

mod encode;
mod spoil;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{
    Anchor, Call, Contract, InclusionProof, InputProof, Pay, PieceRecord, Revert, ShownReceipt, Spend, Submission,
};
use plasmid_exit_game::exit::in_flight::PieceSet;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{RootEvent, RootRef};
use plasmid_exit_game::fault::{FaultProof, ShownCoin, SpentCoin};
use plasmid_exit_game::output::{Deposit, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};

use self::encode::prover;

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
    ClaimMissing {
        header: Header,
        coin: ShownCoin,
    },
    AnswerMissing {
        header: Header,
        position: u64,
        membership: Bytes,
    },
    AnswerMissingSpent {
        number: BlockNumber,
        position: u64,
        spent: SpentCoin,
    },
    ConvictMissing {
        header: Header,
        position: u64,
    },
    ReclaimMissing {
        header: Header,
        position: u64,
    },
    WithdrawSettled {
        header: Header,
        membership: Bytes,
        coin: ShownCoin,
    },
    WithdrawSettledDeposit {
        header: Header,
        deposit: Deposit,
    },
}

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
            Self::ClaimMissing { .. } => "claimMissing",
            Self::AnswerMissing { .. } => "answerMissing",
            Self::AnswerMissingSpent { .. } => "answerMissingSpent",
            Self::ConvictMissing { .. } => "convictMissing",
            Self::ReclaimMissing { .. } => "reclaimMissing",
            Self::WithdrawSettled { .. } => "withdrawSettled",
            Self::WithdrawSettledDeposit { .. } => "withdrawSettledDeposit",
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
            Self::ClaimMissing { header, coin } => model.claim_missing(call, value, header, coin),
            Self::AnswerMissing { header, position, membership } => {
                model.answer_missing(call, header, *position, membership, pay)
            }
            Self::AnswerMissingSpent { number, position, spent } => {
                model.answer_missing_spent(call, *number, *position, spent, pay)
            }
            Self::ConvictMissing { header, position } => {
                model.convict_missing(call, header, *position, keccak256(self.calldata()), pay)
            }
            Self::ReclaimMissing { header, position } => model.reclaim_missing(call, header, *position, pay),
            Self::WithdrawSettled { header, membership, coin } => {
                model.withdraw_settled(call, header, membership, coin, pay)
            }
            Self::WithdrawSettledDeposit { header, deposit } => {
                model.withdraw_settled_deposit(call, header, deposit, pay)
            }
        }
    }
}

/// Returns the anchor as the model takes it.
pub(crate) fn anchor_for_model(anchor: RootRef, known: RootRef) -> Anchor {
    if anchor == known { Anchor::Known } else { Anchor::Unknown(anchor) }
}
