//! In-flight exits: what is kept of one, its start and its close. §6.1, §6.8.

mod canonicity;
mod improve;
mod pieces;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, U256, keccak256};

use super::{Call, Contract, InputProof, Pay, Payment, Revert, check_bond};
use crate::exit::in_flight::{Decision, InFlightData, InputData, NOT_INCLUDED_BITS, OldestPlace, Piece, PieceSet};
use crate::exit::key::Periods;
use crate::facts::{InFlightStep, RootEvent};
use crate::output::{ETHER, Output, OutputId, TxHash};
use crate::transaction::Transaction;

/// What the contract keeps of an open in-flight exit. §6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenExit {
    /// When it started, in seconds.
    pub start: u64,
    /// When its pieces can be paid, in seconds, and their place in the order of exits. §4.
    pub key: u64,
    /// Piggybacked, and neither challenged away nor paid.
    pub live_pieces: PieceSet,
    /// What it pays, once that is decided.
    pub decision: Option<Decision>,
    /// The oldest place that was shown.
    pub oldest: OldestPlace,
    /// Whose bond is held for that place.
    pub challenger: Option<Address>,
    /// Its data; the contract keeps their hash.
    pub data: InFlightData,
    /// Its transaction; the contract keeps its hash, which is the exit's name.
    pub transaction: Transaction,
}

impl OpenExit {
    /// Returns the contract's packed word: `start 40 │ key 40 │ live pieces 32 │ decision 2 │ oldest place 63 │ whose 2`,
    /// the first in the lowest bits. §6.
    #[must_use]
    pub fn to_word(&self) -> U256 {
        let decision = match self.decision {
            None => 0,
            Some(Decision::Canonical) => 1,
            Some(Decision::NonCanonical) => 2,
            Some(Decision::Void) => 3,
        };
        let whose = match self.oldest {
            OldestPlace::Nobodys => 0,
            OldestPlace::Competitors(_) => 1,
            OldestPlace::Own(_) => 2,
        };
        let place = place_bits(self.oldest).unwrap_or(0);
        [
            (self.start, 0),
            (self.key, 40),
            (u64::from(self.live_pieces.bits()), 80),
            (decision, 112),
            (place, 114),
            (whose, 177),
        ]
        .into_iter()
        .fold(U256::ZERO, |word, (field, shift)| word | U256::from(field) << shift)
    }

    /// Returns the coin of a piece, `None` if the transaction has no such piece.
    #[must_use]
    pub fn coin(&self, piece: Piece) -> Option<(OutputId, Output)> {
        match piece {
            Piece::Input(index) => {
                let &InputData { output_id, asset, amount, .. } = self.data.inputs.get(usize::from(index))?;
                Some((output_id, Output { owner: self.data.owner, asset, amount }))
            }
            Piece::Output(index) => {
                let output = self.transaction.outputs().get(usize::from(index))?;
                Some((OutputId::of_output(self.transaction.hash(), index), *output))
            }
        }
    }
}

impl Contract {
    /// Starts the in-flight exit of a transaction, with the bond as `value`, in wei. `proofs` show each of its inputs, in
    /// order. §6.1.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the body is not canonical, the value is not the bond, an exit of it is open, an input is not proven in
    /// a block that is not void, or the transaction is not signed by the one owner of its inputs or does not balance.
    pub fn start_in_flight_exit(
        &mut self,
        call: Call,
        value: U256,
        body: &[u8],
        signature: &[u8],
        proofs: &[InputProof],
    ) -> Result<Vec<RootEvent>, Revert> {
        let body = Transaction::decode(body).map_err(|_| Revert::NotCanonical)?;
        let tx_hash = body.hash();
        check_bond(value, U256::from(self.parameters.in_flight_bond))?;
        if self.in_flight.contains_key(&tx_hash) {
            return Err(Revert::AlreadyOpen { tx_hash });
        }
        if proofs.len() != body.inputs().len() {
            return Err(Revert::WrongProofCount { proofs: proofs.len(), inputs: body.inputs().len() });
        }
        let data = self.proven_data(call.caller, &body, proofs)?;
        let signed = self.signed_by(data.owner, body, signature).ok_or(Revert::NotSigned { tx_hash })?;
        if !is_balanced(&data.inputs, signed.body.outputs()) {
            return Err(Revert::Unbalanced { tx_hash });
        }

        let (start, key) = (call.now, key_of(&self.parameters.periods, call.now, &data.inputs));
        let exit = OpenExit {
            start,
            key,
            live_pieces: PieceSet::NONE,
            decision: None,
            oldest: OldestPlace::Nobodys,
            challenger: None,
            data: data.clone(),
            transaction: signed.body.clone(),
        };
        self.in_flight.insert(tx_hash, exit);
        Ok(vec![step(tx_hash, InFlightStep::Started { data, start, key, transaction: signed })])
    }

    /// Proves the inputs of a transaction, which have one owner. §1.5.
    fn proven_data(&self, starter: Address, body: &Transaction, proofs: &[InputProof]) -> Result<InFlightData, Revert> {
        let mut data = InFlightData { starter, owner: Address::ZERO, inputs: Vec::with_capacity(proofs.len()) };
        for (&output_id, proof) in body.inputs().iter().zip(proofs) {
            let (input, owner) = self.proven_input(output_id, proof)?;
            if data.inputs.is_empty() {
                data.owner = owner;
            }
            if owner != data.owner {
                return Err(Revert::SeveralOwners { owner: data.owner, other: owner });
            }
            data.inputs.push(input);
        }
        Ok(data)
    }

    /// Ends an exit of which no piece is live, once its first half is over; while a challenger's bond is held and nothing is
    /// decided, not before its key. The bonds go where they belong. §6.8.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no exit of the transaction is open, the data are not its, a piece is live, or it is too early.
    pub fn close_in_flight_exit(
        &mut self,
        call: Call,
        tx_hash: TxHash,
        data: &[u8],
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let exit = self.open_exit(tx_hash)?;
        check_data(tx_hash, exit, data)?;
        if !exit.live_pieces.is_empty() {
            return Err(Revert::PiecesLive { pieces: exit.live_pieces });
        }
        let &OpenExit { start, key, decision, challenger, ref data, .. } = exit;
        let starter = data.starter;
        let earliest = match (challenger, decision) {
            (Some(_), None) => key,
            (Some(_), Some(_)) | (None, _) => self.parameters.periods.end_of_first_half(start),
        };
        if call.now < earliest {
            return Err(Revert::TooEarly { timestamp: call.now, earliest });
        }

        self.in_flight.remove(&tx_hash);
        let mut events = vec![step(tx_hash, InFlightStep::Closed)];
        let bond = U256::from(self.parameters.in_flight_bond);
        let payments = match (challenger, decision) {
            (Some(challenger), None | Some(Decision::NonCanonical)) => vec![(challenger, bond.saturating_add(bond))],
            (Some(challenger), Some(Decision::Canonical | Decision::Void)) => {
                vec![(starter, bond), (challenger, bond)]
            }
            (None, _) => vec![(starter, bond)],
        };
        for (to, amount) in payments {
            self.pay_or_credit(Payment { asset: ETHER, to, amount }, pay, &mut events);
        }
        Ok(events)
    }

    fn open_exit(&self, tx_hash: TxHash) -> Result<&OpenExit, Revert> {
        self.in_flight.get(&tx_hash).ok_or(Revert::NotOpen { tx_hash })
    }

    fn open_exit_in_first_half(&self, tx_hash: TxHash, now: u64) -> Result<&OpenExit, Revert> {
        let exit = self.open_exit(tx_hash)?;
        let end = self.parameters.periods.end_of_first_half(exit.start);
        if now < end { Ok(exit) } else { Err(Revert::FirstHalfOver { timestamp: now, end }) }
    }
}

/// Makes an in-flight exit's event.
pub(super) fn step(tx_hash: TxHash, step: InFlightStep) -> RootEvent {
    RootEvent::InFlight { tx_hash, step: Box::new(step) }
}

/// Refuses bytes that are not the exit's data as they stand. §6.
fn check_data(tx_hash: TxHash, exit: &OpenExit, data: &[u8]) -> Result<(), Revert> {
    if keccak256(data) == exit.data.hash() { Ok(()) } else { Err(Revert::WrongData { tx_hash }) }
}

/// Returns the key of an exit in flight: the maximum over its inputs. §4.
fn key_of(periods: &Periods, start: u64, inputs: &[InputData]) -> u64 {
    inputs.iter().map(|input| periods.exit_key(start, input.created())).max().unwrap_or(0)
}

/// Returns whether inputs and outputs have the same sum in every asset. R5.
fn is_balanced(inputs: &[InputData], outputs: &[Output]) -> bool {
    let mut sums: BTreeMap<Address, (U256, U256)> = BTreeMap::new();
    // At most 16 times 2^128 each.
    for input in inputs {
        let sum = &mut sums.entry(input.asset).or_default().0;
        *sum = sum.saturating_add(U256::from(input.amount));
    }
    for output in outputs {
        let sum = &mut sums.entry(output.asset).or_default().1;
        *sum = sum.saturating_add(U256::from(output.amount));
    }
    sums.values().all(|(taken, made)| taken == made)
}

/// Returns the place as the contract writes it: the position of the transaction's output 0. §6.
fn place_bits(oldest: OldestPlace) -> Option<u64> {
    match oldest {
        OldestPlace::Nobodys => None,
        OldestPlace::Competitors(None) => Some(NOT_INCLUDED_BITS),
        OldestPlace::Competitors(Some(place)) | OldestPlace::Own(place) => Some(place.first_output().bits()),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::position::{BlockNumber, Place, TxIndex};

    #[test]
    fn a_word_is_its_six_fields() {
        let output = Output { owner: Address::repeat_byte(1), asset: ETHER, amount: 5 };
        let place = Place { block: BlockNumber::FIRST, index: TxIndex::new(3).unwrap() };
        let exit = OpenExit {
            start: 7,
            key: 9,
            live_pieces: PieceSet::from_iter([Piece::Input(0), Piece::Output(15)]),
            decision: Some(Decision::NonCanonical),
            oldest: OldestPlace::Own(place),
            challenger: None,
            data: InFlightData { starter: Address::ZERO, owner: Address::ZERO, inputs: Vec::new() },
            transaction: Transaction::new([OutputId(B256::ZERO)].into(), [output].into(), B256::ZERO).unwrap(),
        };
        let word = exit.to_word();
        let field = |shift: usize, bits: usize| -> u64 { ((word >> shift) & ((U256::ONE << bits) - U256::ONE)).to() };
        assert_eq!((field(0, 40), field(40, 40), field(80, 32)), (7, 9, 1 | 1 << 31));
        assert_eq!((field(112, 2), field(114, 63), field(177, 2)), (2, 1 << 24 | 3 << 4, 2));
        assert_eq!(word >> 179, U256::ZERO);
        let not_included = OpenExit { oldest: OldestPlace::Competitors(None), ..exit }.to_word();
        assert_eq!(
            (not_included >> 114) & U256::from(u64::MAX),
            U256::from(u64::MAX),
            "63 ones, and the lower bit of whose"
        );
    }
}
