//! In-flight exits at the root chain of a history: strangers start them, claim outputs, challenge and close. §6.

use alloy_primitives::{Address, B256, Bytes, U256};
use plasmid_exit_game::exit::contract::{Call, InclusionProof, InputProof, PaymentOutcome, PieceRecord, Spend};
use plasmid_exit_game::exit::in_flight::{Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, Output, OutputId, TxHash};
use plasmid_exit_game::position::{Place, Position, PositionKind};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;
use plasmid_exit_game::tx_tree;

use crate::root::{BOND, DOMAIN, Root, State, key, leaf_hash};

const STRANGER: Address = Address::repeat_byte(0xee);

/// What happens to an in-flight exit in a root block.
pub(crate) enum InFlightAct {
    Start(Transaction),
    /// An output's owner claims it.
    Piggyback(TxHash, u8),
    /// A claimed output is shown to be spent by this transaction.
    ChallengeOutput(TxHash, u8, Transaction),
    Process(TxHash),
    Close(TxHash),
}

impl Root {
    /// Does what the contract's model lets be done, and nothing else.
    pub(crate) fn apply_in_flight(&self, state: &mut State, act: InFlightAct, now: u64) -> Vec<RootEvent> {
        let bond = U256::from(BOND);
        let mut pay = |_| PaymentOutcome::Received;
        let root_block = state.block.at.number;
        let by = |caller| Call { caller, now, root_block };
        match act {
            InFlightAct::Start(body) => {
                let tx_hash = body.hash();
                let Some(signed) = self.signed(state, body) else { return Vec::new() };
                let proofs = signed.body.inputs().iter().map(|&input| self.input_proof(state, input));
                let Some(proofs) = proofs.collect::<Option<Vec<_>>>() else { return Vec::new() };
                let (body, signature) = (signed.body.encode(), signed.signature.encode());
                let started = state.contract.start_in_flight_exit(by(STRANGER), bond, &body, &signature, &proofs);
                if started.is_ok() {
                    state.in_flight.insert(tx_hash, signed);
                }
                started.unwrap_or_default()
            }
            InFlightAct::Piggyback(tx_hash, index) => {
                let body = &state.in_flight[&tx_hash].body;
                let Some(output) = body.outputs().get(usize::from(index)) else { return Vec::new() };
                let pieces = PieceSet::from_iter([Piece::Output(index)]);
                let claimed = state.contract.piggyback(by(output.owner), bond, &body.encode(), &[], pieces);
                claimed.unwrap_or_default()
            }
            InFlightAct::ChallengeOutput(tx_hash, index, spend) => {
                let body = state.in_flight[&tx_hash].body.encode();
                let place = state.place_of(tx_hash);
                let Some((signed, place)) = self.signed(state, spend).zip(place) else { return Vec::new() };
                let (_, inclusion) = self.inclusion(state, place);
                let spend = Spend {
                    body: signed.body.encode().into(),
                    signature: Bytes::copy_from_slice(&signed.signature.encode()),
                    inclusion,
                };
                let piece = Piece::Output(index).number();
                let challenged =
                    state.contract.challenge_piece_spent(by(STRANGER), &body, &[], piece, &spend, &mut pay);
                challenged.unwrap_or_default()
            }
            InFlightAct::Process(tx_hash) => {
                let Some(exit) = state.contract.in_flight_exit(tx_hash).cloned() else { return Vec::new() };
                let body = state.in_flight[&tx_hash].body.encode().into();
                let record = PieceRecord { body, data: exit.data.encode().into(), pieces: exit.live_pieces };
                let asset = exit.data.inputs[0].asset;
                state.contract.process_exits(by(STRANGER), asset, &[], &[record], &mut pay)
            }
            InFlightAct::Close(tx_hash) => {
                let Some(exit) = state.contract.in_flight_exit(tx_hash) else { return Vec::new() };
                let data = exit.data.encode();
                let closed = state.contract.close_in_flight_exit(by(STRANGER), tx_hash, &data, &mut pay);
                if closed.is_ok() {
                    state.in_flight.remove(&tx_hash);
                }
                closed.unwrap_or_default()
            }
        }
    }

    /// Has the owner of the inputs sign; `None` if they are nobody's whom we know.
    fn signed(&self, state: &State, body: Transaction) -> Option<SignedTransaction> {
        let owner = state.output(body.inputs()[0])?.owner;
        let person = self.people.iter().find(|person| person.address == owner)?;
        let signature = Signature::sign(&person.key, body.signing_hash(&DOMAIN));
        Some(SignedTransaction { body, signature })
    }

    fn input_proof(&self, state: &State, input: OutputId) -> Option<InputProof> {
        if let Some(Deposit { nonce, output }) = state.deposits.iter().find(|deposit| deposit.output_id() == input) {
            let position = Position::of_deposit(*nonce)?.bits();
            let fields = [output.owner.as_slice(), output.asset.as_slice(), &output.amount.to_be_bytes()].concat();
            return Some(InputProof { position, creation: fields.into(), inclusion: InclusionProof::NONE });
        }
        let position = state.judge.coin(input)?.position;
        let PositionKind::Output(place, _) = position.kind() else { return None };
        let (creation, inclusion) = self.inclusion(state, place);
        Some(InputProof { position: position.bits(), creation: creation.encode().into(), inclusion })
    }

    /// The transaction at a place of a landed block, with the proof that it stands there.
    pub(crate) fn inclusion(&self, state: &State, place: Place) -> (Transaction, InclusionProof) {
        let header = self.header(state, place.block);
        let leaves = &self.contents[&key(&state.landed[place.block.get() as usize - 1])];
        let index = place.index.get() as usize;
        let recovered = leaves[index].transaction().expect("a coin was made there");
        let hashes: Vec<B256> = leaves.iter().map(leaf_hash).collect();
        let proof = InclusionProof {
            header,
            index: place.index.get(),
            witness_hash: recovered.transaction.witness.hash(),
            path: tx_tree::path(&hashes, index).expect("the index is the leaf's"),
        };
        (recovered.transaction.body.clone(), proof)
    }
}

impl State {
    /// Until when open in-flight exits let the coin be spent. §3.1.
    pub(crate) fn freeze_in_flight(&self, id: OutputId) -> Option<u64> {
        let periods = self.contract.parameters().periods;
        let of_exit = |tx_hash: &TxHash| {
            let exit = self.contract.in_flight_exit(*tx_hash)?;
            let is_input = exit.data.inputs.iter().any(|input| input.output_id == id);
            let as_input = is_input.then_some(exit.start + periods.freeze_delay());
            let is_claimed = exit
                .live_pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Output(_)) && exit.coin(piece).is_some_and(|(of, _)| of == id));
            let as_output = is_claimed.then_some(exit.key - periods.minimum_exit_period / 2 + periods.freeze_delay());
            as_input.into_iter().chain(as_output).min()
        };
        self.in_flight.keys().filter_map(of_exit).min()
    }

    /// The coin as a landed block or a deposit made it.
    fn output(&self, id: OutputId) -> Option<Output> {
        let deposited = self.deposits.iter().find(|deposit| deposit.output_id() == id).map(|deposit| deposit.output);
        deposited.or_else(|| self.judge.coin(id).map(|coin| coin.output))
    }

    /// Where a transaction stands in a landed block.
    fn place_of(&self, tx_hash: TxHash) -> Option<Place> {
        let PositionKind::Output(place, _) = self.judge.coin(OutputId::of_output(tx_hash, 0))?.position.kind() else {
            return None;
        };
        Some(place)
    }
}
