//! From an action to the call that it stands for, with the evidence that the child chain has.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use plasmid_exit_game::exit::contract::{InclusionProof, PieceRecord, Spend, Submission, announcement_of};
use plasmid_exit_game::exit::in_flight::PieceSet;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::output::{Deposit, Output};
use plasmid_exit_game::tx_tree;

use super::World;
use crate::action::{Action, CoinRef, Flaw, Label};
use crate::call::{Function, anchor_for_model};
use crate::evm::OPERATOR;

impl World {
    /// Returns who calls what with how much; `None` if it refers to what was never made.
    pub(super) fn function(&mut self, action: &Action) -> Option<(u8, U256, Function)> {
        let parameters = *self.model.parameters();
        let (by, value, function) = match action {
            Action::Deposit { by, owner, asset: 0, amount } => {
                (by, U256::from(*amount), Function::Deposit { owner: self.account(*owner) })
            }
            Action::Deposit { by, owner, asset, amount } => {
                let (token, owner) = (self.asset(*asset), self.account(*owner));
                (by, U256::ZERO, Function::DepositErc20 { token, amount: *amount, received: U256::ZERO, owner })
            }
            Action::Block { by, txs, uncovered, flaw, lie, crooks } => {
                (by, U256::ZERO, self.block(txs, crooks, *uncovered, *flaw, *lie))
            }
            Action::StartStandard { by, coin, place, hint, wei } => {
                (by, sent(U256::from(parameters.exit_bond), *wei), self.standard_start(*coin, *place, *hint)?)
            }
            Action::ChallengeStandard { by, exit, spend } => {
                let (record, spend) = (*self.records.get(exit)?, self.chain.transactions.get(spend)?);
                let (spend, signature) = (spend.bytes.clone(), spend.signature());
                (by, U256::ZERO, Function::ChallengeStandardExit { record, spend, signature })
            }
            Action::Assign { by, exit, payee } => {
                let (record, payee) = (*self.records.get(exit)?, self.account(*payee));
                (by, U256::ZERO, Function::AssignExit { record, payee })
            }
            Action::Process { by, asset, exits, pieces } => {
                let exits = exits.iter().filter_map(|exit| self.records.get(exit)).copied().collect();
                let piece_record = |&(tx, pieces): &(Label, u32)| {
                    let (body, data) = (self.chain.transactions.get(&tx)?.bytes.clone(), self.data_of(tx));
                    Some(PieceRecord { body, data, pieces: PieceSet::from_bits(pieces) })
                };
                let pieces = pieces.iter().filter_map(piece_record).collect();
                (by, U256::ZERO, Function::ProcessExits { asset: self.asset(*asset), exits, pieces })
            }
            Action::Claim { by, asset, to } => {
                (by, U256::ZERO, Function::Claim { asset: self.asset(*asset), to: self.account(*to) })
            }
            Action::StartInFlight { by, tx, places, wei } => {
                let signed = self.chain.transactions.get(tx)?;
                let (body, signature) = (signed.bytes.clone(), signed.signature());
                let places = places.iter().copied().chain(std::iter::repeat(0));
                let proofs = signed.inputs.iter().zip(places);
                let proofs =
                    proofs.map(|(&input, place)| self.chain.input_proof(input, place)).collect::<Option<_>>()?;
                let value = sent(U256::from(parameters.in_flight_bond), *wei);
                (by, value, Function::StartInFlightExit { body, signature, proofs })
            }
            Action::Improve { by, tx, which, places, hints } => {
                let signed = self.chain.transactions.get(tx)?;
                let (body, data, which) = (signed.bytes.clone(), self.data_of(*tx), PieceSet::from_bits(*which));
                let inputs = (0..u32::BITS).filter(|bit| which.bits() >> bit & 1 != 0);
                let inputs = inputs.map(|bit| signed.inputs[bit as usize % signed.inputs.len()]);
                let places = places.iter().copied().chain(std::iter::repeat(0));
                let proofs = inputs.zip(places).map(|(input, place)| self.chain.input_proof(input, place));
                let (proofs, hints) = (proofs.collect::<Option<_>>()?, hints.clone());
                (by, U256::ZERO, Function::ImproveInFlightExit { body, data, which, proofs, hints })
            }
            Action::Piggyback { by, tx, pieces, hint, wei } => {
                let (signed, pieces) = (self.chain.transactions.get(tx)?, PieceSet::from_bits(*pieces));
                let bond = parameters.bond_of_piece(signed.inputs.len()) * U256::from(pieces.len());
                // Data are not read where no input is claimed.
                let data = if pieces.bits() & 0xffff == 0 { Bytes::new() } else { self.data_of(*tx) };
                let body = signed.bytes.clone();
                (by, sent(bond, *wei), Function::Piggyback { body, data, pieces, hint: *hint })
            }
            Action::ChallengeCanonicity { by, tx, input, competitor, place, wei } => {
                let tx_hash = self.chain.transactions.get(tx)?.tx_hash;
                let competitor = self.spend(*competitor, *competitor, *place)?;
                let (data, value) = (self.data_of(*tx), sent(U256::from(parameters.in_flight_bond), *wei));
                (by, value, Function::ChallengeNotCanonical { tx_hash, data, input_index: *input, competitor })
            }
            Action::Respond { by, tx, place } => {
                let signed = self.chain.transactions.get(tx)?;
                let (tx_hash, inclusion) = (signed.tx_hash, signed.place(*place));
                (by, U256::ZERO, Function::RespondNotCanonical { tx_hash, inclusion })
            }
            Action::ChallengePiece { by, tx, piece, spend, place } => {
                let body = self.chain.transactions.get(tx)?.bytes.clone();
                let (included, data) = if *piece < 16 { (*spend, self.data_of(*tx)) } else { (*tx, Bytes::new()) };
                let spend = self.spend(*spend, included, Some(*place))?;
                (by, U256::ZERO, Function::ChallengePieceSpent { body, data, piece: *piece, spend })
            }
            Action::Close { by, tx } => {
                let (tx_hash, data) = (self.chain.transactions.get(tx)?.tx_hash, self.data_of(*tx));
                (by, U256::ZERO, Function::CloseInFlightExit { tx_hash, data })
            }
            Action::Announce { by, accuser, what } => {
                let evidence = keccak256(self.shown(what)?.calldata());
                let announcement = announcement_of(self.account(accuser % (OPERATOR + 1)), evidence);
                (by, U256::ZERO, Function::AnnounceFault { announcement })
            }
            Action::Prove { by, what } => (by, U256::ZERO, self.shown(what)?),
            Action::FundBond { by, fault_part, receipt_part, wei } => {
                let value = sent(U256::from(*fault_part) + U256::from(*receipt_part), *wei);
                (by, value, Function::FundBond { fault_part: *fault_part, receipt_part: *receipt_part })
            }
            Action::WithdrawBond { by, to } => (by, U256::ZERO, Function::WithdrawBond { to: self.account(*to) }),
            Action::ProposeOperator { by, next } => {
                (by, U256::ZERO, Function::ProposeOperator { next: self.account(*next) })
            }
            Action::AcceptOperator { by, first_block } => {
                (by, U256::ZERO, Function::AcceptOperator { first_block: *first_block })
            }
            Action::CloseChain { by } => (by, U256::ZERO, Function::CloseChain),
            Action::ClaimMissing { by, .. }
            | Action::AnswerMissing { by, .. }
            | Action::AnswerMissingSpent { by, .. }
            | Action::ConvictMissing { by, .. }
            | Action::ReclaimMissing { by, .. }
            | Action::WithdrawSettled { by, .. }
            | Action::WithdrawDeposit { by, .. } => {
                let (value, function) = self.unspent_call(action)?;
                (by, value, function)
            }
            Action::Sign { .. }
            | Action::Blocks { .. }
            | Action::Behave { .. }
            | Action::TokenBehave { .. }
            | Action::TokenBlocks { .. } => return None,
        };
        Some((*by, value, function))
    }

    fn standard_start(&self, coin: CoinRef, place: u8, hint: u64) -> Option<Function> {
        if let Some(&Deposit { nonce, output: Output { asset, amount, .. } }) = self.chain.deposits.get(&coin.made_by) {
            return Some(Function::StartStandardExitOfDeposit { nonce, asset, amount, hint });
        }
        let signed = self.chain.transactions.get(&coin.made_by)?;
        let (body, proof) = (signed.bytes.clone(), signed.place(place));
        Some(Function::StartStandardExit { body, output_index: coin.output, proof, hint })
    }

    /// Returns a spend with the inclusion of a transaction at one of its places.
    fn spend(&self, spend: Label, included: Label, place: Option<u8>) -> Option<Spend> {
        let shown = self.chain.transactions.get(&spend)?;
        let included = self.chain.transactions.get(&included)?;
        let inclusion = place.map_or(InclusionProof::NONE, |place| included.place(place));
        Some(Spend { body: shown.bytes.clone(), signature: shown.signature(), inclusion })
    }

    pub(super) fn block(
        &mut self,
        txs: &[Option<Label>],
        crooks: &[(u8, u32)],
        uncovered: u64,
        flaw: Flaw,
        lie: Option<u32>,
    ) -> Function {
        let (head, known) = (*self.model.head(), self.evm.anchor());
        let leaves = self.chain.leaves(head.next_number, txs, crooks);
        let deposit_count = head.next_nonce.saturating_sub(uncovered).max(head.deposit_count);
        let utxo_root = self.chain.unspent(head.next_number, &leaves, deposit_count, lie).root();
        let leaves: Vec<B256> = leaves.into_iter().map(|leaf| leaf.leaf).collect();
        let mut anchor = known;
        let mut submission = Submission {
            number: head.next_number,
            tx_root: tx_tree::root(&leaves),
            utxo_root,
            tx_count: leaves.len() as u32,
            deposit_count,
            anchor: anchor_for_model(anchor, known),
            not_after: self.now,
        };
        match flaw {
            Flaw::None => {}
            Flaw::Number => submission.number += 1,
            Flaw::TxCount if leaves.is_empty() => submission.tx_count = 1,
            Flaw::TxCount => submission.tx_count = (1 << 20) + 1,
            Flaw::DepositCount => submission.deposit_count = head.next_nonce + 1,
            Flaw::NotAfter => submission.not_after = self.now - 1,
            Flaw::Anchor => {
                anchor = RootRef { hash: B256::repeat_byte(1), ..known };
                submission.anchor = anchor_for_model(anchor, known);
            }
        }
        Function::SubmitBlock { submission, anchor }
    }
}

/// Returns the bond with so many wei more or less.
pub(super) fn sent(bond: U256, wei: i64) -> U256 {
    let off = U256::from(wei.unsigned_abs());
    if wei < 0 { bond.saturating_sub(off) } else { bond.saturating_add(off) }
}
