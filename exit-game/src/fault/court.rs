//! The contract's verdict on a proof. §3.
//!
//! A proof convicts or is refused, never both ways: a defect in the accused data is the fault, a defect in what the accuser
//! shows is a [`Revert`]. The accused transaction's body has to be canonical, and for R2 to R4 its witness too: whatever is not
//! is R1's matter.

use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};

use super::{Conviction, FaultProof, Origin, ShownBody, ShownLeaf};
use crate::block::Header;
use crate::exit::contract::{InclusionProof, Revert};
use crate::exit::in_flight::{Piece, PieceSet};
use crate::exit::key::Periods;
use crate::exit::standard::{CoinState, Standing};
use crate::ledger::check_balance;
use crate::output::{Output, OutputId, TxHash};
use crate::position::{BlockNumber, Place, Position, PositionKind};
use crate::signature::Domain;
use crate::transaction::{PlacedTransaction, Transaction, Witness};
use crate::tx_tree::{self, EMPTY_LEAF};

/// When and what an open in-flight exit freezes. §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenInFlightExit {
    /// When it started, in seconds.
    pub start: u64,
    /// When its pieces can be paid, in seconds.
    pub key: u64,
    /// Its live pieces.
    pub live: PieceSet,
}

/// The part of the root chain's state on which a verdict depends, beside the proof.
pub trait RootState {
    /// Returns the deployment's periods.
    fn periods(&self) -> Periods;

    /// Returns the domain for which transactions are signed. §1.6.
    fn domain(&self) -> &Domain;

    /// Returns *now*, in seconds.
    fn now(&self) -> u64;

    /// Returns the commitment of a block. §1.9.
    fn commitment(&self, number: BlockNumber) -> Option<B256>;

    /// Returns the first void block, if there is one. §3.
    fn halted_from(&self) -> Option<BlockNumber>;

    /// Returns how the block was convicted, if it was. §3.
    fn conviction(&self, number: BlockNumber) -> Option<Conviction>;

    /// Returns the word of an output id. §5.1.
    fn coin(&self, output_id: OutputId) -> CoinState;

    /// Returns the open in-flight exit of a transaction. §6.
    fn open_in_flight_exit(&self, tx_hash: TxHash) -> Option<OpenInFlightExit>;
}

/// Returns the block that the proof convicts. §3.
///
/// A block that is convicted already is found guilty again while its reward waits: whether the reward is the accuser's depends
/// on what it announced.
///
/// # Errors
///
/// [`Revert`] for the first reason in the contract's order for which the proof convicts nobody.
pub fn check(proof: &FaultProof, state: &impl RootState) -> Result<BlockNumber, Revert> {
    let court = Court { state };
    let is_fault = match proof {
        FaultProof::NotCanonical { leaf } => {
            court.accuse(&leaf.body, &leaf.inclusion)?;
            check_witness(leaf)?;
            PlacedTransaction::decode(&leaf.body, &leaf.witness).is_err()
        }
        FaultProof::NotBefore { leaf, input } => {
            let accused = court.accuse_input(leaf, *input)?;
            !accused.placement.is_deposit() && accused.placement >= accused.place.first_output()
        }
        FaultProof::NotMade { leaf, input, origin } => {
            let accused = court.accuse_input(leaf, *input)?;
            match accused.placement.kind() {
                PositionKind::Output(from, index) if accused.placement < accused.place.first_output() => {
                    !court.is_made_at(from, index, accused.output_id, origin)?
                }
                PositionKind::Output(..) | PositionKind::Deposit(_) => false,
            }
        }
        FaultProof::NotDeposited { leaf, input, creation } => {
            let accused = court.accuse_input(leaf, *input)?;
            match accused.placement.kind() {
                PositionKind::Output(..) => false,
                PositionKind::Deposit(nonce) => {
                    let is_known = state.coin(accused.output_id).standing() != Standing::Unknown;
                    let is_covered = nonce < leaf.inclusion.header.deposit_count && is_known;
                    !is_covered || creation.is_otherwise(accused.output_id, nonce)
                }
            }
        }
        FaultProof::NotSigned { leaf, input, creation } => {
            let Accused { output_id, transaction: PlacedTransaction { body, witness }, .. } =
                court.accuse_input(leaf, *input)?;
            let coin = creation.coin(output_id).ok_or(Revert::NotTheCreation { output_id })?;
            witness.signature.recover(body.signing_hash(state.domain())) != Some(coin.owner)
        }
        FaultProof::Unbalanced { spend, creations } => {
            let body = court.accuse_body(spend)?;
            let (count, inputs) = (creations.len(), body.inputs());
            if count != inputs.len() {
                return Err(Revert::WrongCreationCount { count, inputs: inputs.len() });
            }
            let created = inputs
                .iter()
                .zip(creations)
                .map(|(&output_id, creation)| creation.coin(output_id).ok_or(Revert::NotTheCreation { output_id }));
            check_balance(&created.collect::<Result<Vec<_>, _>>()?, body.outputs()).is_err()
        }
        FaultProof::DoubleSpend { spend, other, output_id } => {
            let (place, other_place) = (court.place(spend)?, court.place(other)?);
            court.check_convictable(proof.accused_header())?;
            let (body, other) = (decode(&spend.body)?, decode(&other.body)?);
            place != other_place && body.inputs().contains(output_id) && other.inputs().contains(output_id)
        }
        FaultProof::Settled { spend, input } => match state.coin(court.accuse_spend(spend, *input)?).standing() {
            Standing::Unknown | Standing::Deposited => false,
            Standing::Settled { freeze } => freeze < spend.inclusion.header.timestamp,
        },
        FaultProof::Exiting { spend, input, exit } => {
            let output_id = court.accuse_spend(spend, *input)?;
            if !state.coin(output_id).is_exit_of(exit) {
                return Err(Revert::NotExiting { output_id });
            }
            state.periods().freeze_of_standard_exit(exit.key) < spend.inclusion.header.timestamp
        }
        FaultProof::ExitingInFlight { spend, input, exit_body, piece } => {
            let output_id = court.accuse_spend(spend, *input)?;
            let tx_hash = TxHash(keccak256(exit_body));
            let exit = state.open_in_flight_exit(tx_hash).ok_or(Revert::NotOpen { tx_hash })?;
            // The body of an open exit is canonical.
            let inputs = Transaction::decode(exit_body).map_or(Vec::new(), |body| body.inputs().to_vec());
            let periods = state.periods();
            let freeze = Piece::new(*piece).and_then(|piece| match piece {
                Piece::Input(index) => {
                    let is_it = inputs.get(usize::from(index)) == Some(&output_id);
                    is_it.then(|| periods.freeze_of_in_flight_input(exit.start))
                }
                Piece::Output(index) => {
                    let is_it = exit.live.has(piece) && OutputId::of_output(tx_hash, index) == output_id;
                    is_it.then(|| periods.freeze_of_in_flight_output(exit.key))
                }
            });
            freeze.is_some_and(|freeze| freeze < spend.inclusion.header.timestamp)
        }
        FaultProof::HeldSpent { held, spent } => {
            court.accuse_held(held)?;
            spent.check_value(held.value)?;
            let place = court.place(&spent.spend)?;
            let body = decode(&spent.spend.body)?;
            place.block <= held.header.number && body.inputs().contains(&spent.output_id)
        }
        FaultProof::HeldNotMade { held, origin } => {
            court.accuse_held(held)?;
            !court.is_made(held, origin)?
        }
        FaultProof::HeldNotDeposited { held, creation } => {
            court.accuse_held(held)?;
            !court.is_deposited(held, creation)?
        }
    };
    if is_fault { Ok(proof.accused()) } else { Err(Revert::NotAFault) }
}

/// An input of an accused transaction whose leaf is canonical.
struct Accused {
    place: Place,
    transaction: PlacedTransaction,
    output_id: OutputId,
    placement: Position,
}

/// Reads what is shown against the root chain's state.
pub(super) struct Court<'a, S> {
    pub(super) state: &'a S,
}

impl<S: RootState> Court<'_, S> {
    /// Returns where the accused body stands, in a block that can be convicted.
    fn accuse(&self, body: &[u8], inclusion: &InclusionProof) -> Result<Place, Revert> {
        let place = self.place_of(body, inclusion)?;
        self.check_convictable(&inclusion.header)?;
        Ok(place)
    }

    /// Returns an input of an accused leaf.
    fn accuse_input(&self, leaf: &ShownLeaf, input: u8) -> Result<Accused, Revert> {
        let place = self.accuse(&leaf.body, &leaf.inclusion)?;
        check_witness(leaf)?;
        let decoded = PlacedTransaction::decode(&leaf.body, &leaf.witness);
        let transaction = decoded.map_err(|_| Revert::NotCanonical)?;
        let index = usize::from(input);
        let (inputs, placement) = (transaction.body.inputs(), &transaction.witness.placement);
        let found = inputs.get(index).copied().zip(placement.get(index).copied());
        let (output_id, placement) = found.ok_or(Revert::NoSuchInput { input })?;
        Ok(Accused { place, transaction, output_id, placement })
    }

    fn accuse_body(&self, spend: &ShownBody) -> Result<Transaction, Revert> {
        self.accuse(&spend.body, &spend.inclusion)?;
        decode(&spend.body)
    }

    /// Returns which coin an input of an accused body is.
    fn accuse_spend(&self, spend: &ShownBody, input: u8) -> Result<OutputId, Revert> {
        let body = self.accuse_body(spend)?;
        body.inputs().get(usize::from(input)).copied().ok_or(Revert::NoSuchInput { input })
    }

    fn place(&self, shown: &ShownBody) -> Result<Place, Revert> {
        self.place_of(&shown.body, &shown.inclusion)
    }

    /// Returns where a body stands in a committed block.
    fn place_of(&self, body: &[u8], inclusion: &InclusionProof) -> Result<Place, Revert> {
        if !self.is_committed(&inclusion.header) {
            return Err(Revert::UnknownHeader { number: inclusion.header.number });
        }
        inclusion.place(TxHash(keccak256(body)))
    }

    pub(super) fn is_committed(&self, header: &Header) -> bool {
        self.state.commitment(header.number) == Some(header.commitment())
    }

    /// Refuses a block that is void without having been convicted, whose reward is paid, or whose time to be convicted is
    /// over. §3.
    pub(super) fn check_convictable(&self, header: &Header) -> Result<(), Revert> {
        let number = header.number;
        if self.state.halted_from().is_some_and(|from| from <= number) {
            match self.state.conviction(number) {
                None => return Err(Revert::VoidBlock { number }),
                Some(Conviction { reward: 0, .. }) => return Err(Revert::AlreadyConvicted { number }),
                Some(_) => {}
            }
        }
        let until = self.state.periods().end_of_convictions(header.timestamp);
        if self.state.now() < until { Ok(()) } else { Err(Revert::TooLateToProve { until }) }
    }

    /// Returns whether output `index` of what stands at an earlier place is the coin. R3.
    fn is_made_at(&self, from: Place, index: u8, output_id: OutputId, origin: &Origin) -> Result<bool, Revert> {
        let is_it = self.has_leaf(from, origin)? && OutputId::of_output(TxHash(origin.tx_hash), index) == output_id;
        Ok(is_it && origin.output(index)?.is_some())
    }

    /// Returns whether there is a leaf that is not empty at a place. R3, R8.
    pub(super) fn has_leaf(&self, place: Place, origin: &Origin) -> Result<bool, Revert> {
        let Origin { header, path, tx_hash, witness_hash, .. } = origin;
        if place.block == BlockNumber::ZERO {
            return Ok(false);
        }
        if header.number != place.block || !self.is_committed(header) {
            return Err(Revert::NotTheOrigin);
        }
        let index = place.index.get();
        if index >= header.tx_count {
            return Ok(false);
        }
        let is_empty = tx_hash.is_zero() && witness_hash.is_zero();
        let leaf = if is_empty { EMPTY_LEAF } else { tx_tree::leaf(TxHash(*tx_hash), *witness_hash) };
        if tx_tree::root_of_path(leaf, index, header.tx_count, path) != Some(header.tx_root) {
            return Err(Revert::NotTheOrigin);
        }
        Ok(!is_empty)
    }
}

impl Origin {
    /// Returns the output of the leaf's transaction; a transaction that is not canonical has none. R3, R8.
    pub(super) fn output(&self, index: u8) -> Result<Option<Output>, Revert> {
        if keccak256(&self.body) != self.tx_hash {
            return Err(Revert::NotTheOrigin);
        }
        let Ok(body) = Transaction::decode(&self.body) else { return Ok(None) };
        let Some(output) = body.outputs().get(usize::from(index)) else { return Ok(None) };
        if keccak256(&self.witness) != self.witness_hash {
            return Err(Revert::NotTheOrigin);
        }
        Ok(Witness::decode(&self.witness, body.inputs().len()).is_ok().then_some(*output))
    }
}

fn check_witness(leaf: &ShownLeaf) -> Result<(), Revert> {
    if keccak256(&leaf.witness) == leaf.inclusion.witness_hash { Ok(()) } else { Err(Revert::NotTheWitness) }
}

fn decode(body: &[u8]) -> Result<Transaction, Revert> {
    Transaction::decode(body).map_err(|_| Revert::NotCanonical)
}
