//! The calls of in-flight exits. §6.

use plasmid_exit_game::exit::in_flight::{InFlightData, PieceSet, SignedTransaction};
use plasmid_exit_game::output::{Deposit, TxHash};
use plasmid_exit_game::position::Position;
use plasmid_exit_game::transaction::Transaction;

use super::{InclusionProof, START_MORE_GAS, inclusion_value, no_inclusion};
use crate::bindings::Value;
use crate::client::RootChain;
use crate::node::{Call, GasLimit};

/// Proof of what made an input, and where. §6.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputProof {
    /// A deposit, by its fields.
    Deposit(Deposit),
    /// An output of an included transaction.
    Output {
        /// The body that made it.
        creation: Transaction,
        /// Which of its outputs.
        output_index: u8,
        /// That body's inclusion.
        inclusion: InclusionProof,
    },
}

/// A transaction shown against an in-flight exit. §6.3, §6.5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// The transaction.
    pub transaction: SignedTransaction,
    /// The inclusion that the call asks for; `None` for a competitor that is not included.
    pub inclusion: Option<InclusionProof>,
}

/// Pieces of one in-flight exit to pay. §6.7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceRecord {
    /// The exit's transaction.
    pub body: Transaction,
    /// The exit's data as they stand.
    pub data: InFlightData,
    /// Which pieces; those that are not live, or of another asset, are skipped.
    pub pieces: PieceSet,
}

impl RootChain {
    /// Starts the in-flight exit of a transaction. `inputs` proves each of its inputs, in order. §6.1.
    #[must_use]
    pub fn start_in_flight_exit(&self, transaction: &SignedTransaction, inputs: &[InputProof], bond_wei: u128) -> Call {
        let SignedTransaction { body, signature } = transaction;
        let args = [body.encode()[..].into(), signature.encode()[..].into(), proofs_value(inputs)];
        self.transact("startInFlightExit", &args, bond_wei)
    }

    /// Shows older places of the inputs `which`, each with a proof, in order. §6.1.
    ///
    /// `hints` has for each input, then each output, a hint as for
    /// [`start_standard_exit`](Self::start_standard_exit), and may be shorter.
    #[must_use]
    pub fn improve_in_flight_exit(
        &self,
        body: &Transaction,
        data: &InFlightData,
        which: PieceSet,
        proofs: &[InputProof],
        hints: &[u64],
    ) -> Call {
        let hints = Value::List(hints.iter().map(|&hint| hint.into()).collect());
        let which = u64::from(which.bits()).into();
        let args = [body.encode()[..].into(), data_value(Some(data)), which, proofs_value(proofs), hints];
        Call { gas: GasLimit::EstimatedPlus(START_MORE_GAS), ..self.transact("improveInFlightExit", &args, 0) }
    }

    /// Claims pieces of one asset, all the sender's, with `bond_wei` for all of them. §6.2.
    ///
    /// `data` may be left out where no input is claimed; `hint` is as for
    /// [`start_standard_exit`](Self::start_standard_exit).
    #[must_use]
    pub fn piggyback(
        &self,
        body: &Transaction,
        data: Option<&InFlightData>,
        pieces: PieceSet,
        hint: u64,
        bond_wei: u128,
    ) -> Call {
        let args = [body.encode()[..].into(), data_value(data), u64::from(pieces.bits()).into(), hint.into()];
        Call { gas: GasLimit::EstimatedPlus(START_MORE_GAS), ..self.transact("piggyback", &args, bond_wei) }
    }

    /// Shows a competitor over input `input` of the exit, with its own inclusion. §6.3.
    #[must_use]
    pub fn challenge_not_canonical(
        &self,
        tx_hash: TxHash,
        data: &InFlightData,
        input: u8,
        competitor: &Spend,
        bond_wei: u128,
    ) -> Call {
        let args = [tx_hash.0.into(), data_value(Some(data)), u64::from(input).into(), spend_value(competitor)];
        self.transact("challengeNotCanonical", &args, bond_wei)
    }

    /// Shows where the exit's own transaction is included; the sender gets a challenger's bond that is held. §6.4.
    #[must_use]
    pub fn respond_not_canonical(&self, tx_hash: TxHash, inclusion: &InclusionProof) -> Call {
        self.transact("respondNotCanonical", &[tx_hash.0.into(), inclusion_value(inclusion)], 0)
    }

    /// Removes a live piece by a spend of its coin; the sender gets its bond. §6.5.
    ///
    /// The inclusion is for an input that of the spend, for an output that of the exit's transaction. `data` may be left
    /// out for an output. `piece` is the contract's number of it.
    #[must_use]
    pub fn challenge_piece_spent(
        &self,
        body: &Transaction,
        data: Option<&InFlightData>,
        piece: u8,
        spend: &Spend,
    ) -> Call {
        let args = [body.encode()[..].into(), data_value(data), u64::from(piece).into(), spend_value(spend)];
        self.transact("challengePieceSpent", &args, 0)
    }

    /// Ends an exit that is over; what bonds are left go where they belong. §6.8.
    #[must_use]
    pub fn close_in_flight_exit(&self, tx_hash: TxHash, data: &InFlightData) -> Call {
        self.transact("closeInFlightExit", &[tx_hash.0.into(), data_value(Some(data))], 0)
    }
}

pub(super) fn pieces_value(record: &PieceRecord) -> Value {
    let PieceRecord { body, data, pieces } = record;
    Value::Tuple(vec![body.encode()[..].into(), data_value(Some(data)), u64::from(pieces.bits()).into()])
}

fn proofs_value(proofs: &[InputProof]) -> Value {
    let proof = |proof: &InputProof| match proof {
        InputProof::Deposit(Deposit { nonce, output }) => {
            // A nonce beyond 40 bits cannot have been deposited (§2), and is refused as such.
            let position = Position::of_deposit(*nonce).map_or(u64::MAX, Position::bits);
            let amount = output.amount.to_be_bytes();
            let fields = [output.owner.as_slice(), output.asset.as_slice(), &amount].concat();
            Value::Tuple(vec![position.into(), fields[..].into(), no_inclusion()])
        }
        InputProof::Output { creation, output_index, inclusion } => {
            let place = inclusion.place();
            let position = place.output(*output_index).map_or(u64::MAX, Position::bits);
            Value::Tuple(vec![position.into(), creation.encode()[..].into(), inclusion_value(inclusion)])
        }
    };
    Value::List(proofs.iter().map(proof).collect())
}

/// Data that the call does not read may be empty.
fn data_value(data: Option<&InFlightData>) -> Value {
    let bytes = data.map(InFlightData::encode).unwrap_or_default();
    bytes[..].into()
}

fn spend_value(spend: &Spend) -> Value {
    let SignedTransaction { body, signature } = &spend.transaction;
    let inclusion = spend.inclusion.as_ref().map_or_else(no_inclusion, inclusion_value);
    Value::Tuple(vec![body.encode()[..].into(), signature.encode()[..].into(), inclusion])
}
