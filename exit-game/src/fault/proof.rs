//! What a fault is proven with on the root chain, and the contract's verdict on it. §3.
//!
//! A proof convicts or is refused, never both ways: a defect in the accused data is the fault, a defect in what the accuser
//! shows is a [`Revert`]. The accused transaction's body has to be canonical, and for R2 to R4 its witness too: whatever is not
//! is R1's matter.

use alloc::vec::Vec;

use alloy_primitives::{B256, Bytes, keccak256};

use super::{Conviction, Rule};
use crate::block::Header;
use crate::exit::contract::{InclusionProof, Revert};
use crate::exit::in_flight::{Piece, PieceSet};
use crate::exit::key::Periods;
use crate::exit::standard::{CoinState, ExitRecord, Standing};
use crate::ledger::check_balance;
use crate::output::{DEPOSIT_FIELDS_LEN, Deposit, Output, OutputId, TxHash};
use crate::position::{BlockNumber, Place, Position, PositionKind};
use crate::signature::Domain;
use crate::transaction::{OUTPUTS_MAX, PlacedTransaction, Transaction, Witness};
use crate::tx_tree::{self, EMPTY_LEAF};

/// A leaf of a block with its preimage. §1.7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShownLeaf {
    /// The body.
    pub body: Bytes,
    /// The witness, whose hash the inclusion has.
    pub witness: Bytes,
    /// Where they stand.
    pub inclusion: InclusionProof,
}

/// The body of a leaf, as any call on the root chain that proves an inclusion shows it. §1.7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShownBody {
    /// The body.
    pub body: Bytes,
    /// Where it stands.
    pub inclusion: InclusionProof,
}

/// What made a coin: the transaction or the deposit that its output id commits to. §1.4.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Creation {
    /// A canonical body; or a deposit's owner, asset and amount, 56 bytes.
    pub fields: Bytes,
    /// Which of the body's outputs; or the deposit's nonce.
    pub index: u64,
}

impl Creation {
    /// What stands where nothing is read of it.
    pub const NONE: Self = Self { fields: Bytes::new(), index: 0 };

    /// Returns the coin that these fields made, `None` if they did not make `output_id`.
    #[must_use]
    pub fn coin(&self, output_id: OutputId) -> Option<Output> {
        let (made, output) = match self.deposit() {
            Some(deposit) => (deposit.output_id(), deposit.output),
            None => {
                let body = Transaction::decode(&self.fields).ok()?;
                let index = u8::try_from(self.index).ok()?;
                (OutputId::of_output(body.hash(), index), *body.outputs().get(usize::from(index))?)
            }
        };
        (made == output_id).then_some(output)
    }

    /// Returns whether this shows that the coin is not the deposit with this nonce: the hash of a body (32 bytes) of which
    /// the coin is an output, or the fields of a deposit with another nonce. R3.
    fn is_otherwise(&self, output_id: OutputId, nonce: u64) -> bool {
        if let Some(deposit) = self.deposit() {
            return self.index != nonce && deposit.output_id() == output_id;
        }
        let index = u8::try_from(self.index).ok().filter(|&index| usize::from(index) < OUTPUTS_MAX);
        let tx_hash = B256::try_from(&self.fields[..]).ok().map(TxHash);
        tx_hash.zip(index).is_some_and(|(tx_hash, index)| OutputId::of_output(tx_hash, index) == output_id)
    }

    fn deposit(&self) -> Option<Deposit> {
        let fields: &[u8; DEPOSIT_FIELDS_LEN] = self.fields[..].try_into().ok()?;
        Some(Deposit { nonce: self.index, output: Output::from_deposit_fields(fields) })
    }
}

/// What stands where a placement says that an input was made. §1.7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The header of the block that the placement names; not read if it names block 0.
    pub header: Header,
    /// Siblings of the leaf at the placement's index; not read if the block has fewer leaves.
    pub path: Vec<B256>,
    /// Hash of the leaf's body; zero, as the next, for an empty leaf.
    pub tx_hash: B256,
    /// Hash of its witness.
    pub witness_hash: B256,
    /// The body, read if an output of it would have the input's id.
    pub body: Bytes,
    /// The witness, read if the body has that output.
    pub witness: Bytes,
}

/// Evidence that a block is invalid: what one of the contract's provers is called with. §3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FaultProof {
    /// R1: body or witness is not canonical.
    NotCanonical {
        /// The accused leaf.
        leaf: ShownLeaf,
    },
    /// R2: an input is said to be made at the transaction's own or a later place.
    NotBefore {
        /// The accused leaf.
        leaf: ShownLeaf,
        /// Which input.
        input: u8,
    },
    /// R3: an input does not exist at the earlier place of the child chain where the placement says.
    NotMade {
        /// The accused leaf.
        leaf: ShownLeaf,
        /// Which input.
        input: u8,
        /// What stands at that place.
        origin: Origin,
    },
    /// R3: an input is not the deposit that the placement says, or no block covers that yet.
    NotDeposited {
        /// The accused leaf.
        leaf: ShownLeaf,
        /// Which input.
        input: u8,
        /// What the coin is otherwise: the hash of a body, 32 bytes, or the fields of a deposit. Not read if the nonce is not
        /// covered or the id was never deposited.
        creation: Creation,
    },
    /// R4: the signature is not that of an input's owner.
    NotSigned {
        /// The accused leaf.
        leaf: ShownLeaf,
        /// Which input.
        input: u8,
        /// What made it.
        creation: Creation,
    },
    /// R5: for an asset, the inputs' sum is not the outputs'.
    Unbalanced {
        /// The accused transaction.
        spend: ShownBody,
        /// What made each input, in their order.
        creations: Vec<Creation>,
    },
    /// R6: two transactions spend one coin; the later is accused, in whatever order they are shown.
    DoubleSpend {
        /// One.
        spend: ShownBody,
        /// The other.
        other: ShownBody,
        /// The coin.
        output_id: OutputId,
    },
    /// R7: an input is settled and was frozen before the block.
    Settled {
        /// The accused transaction.
        spend: ShownBody,
        /// Which input.
        input: u8,
    },
    /// R7: a pending standard exit froze an input before the block.
    Exiting {
        /// The accused transaction.
        spend: ShownBody,
        /// Which input.
        input: u8,
        /// The exit's record.
        exit: ExitRecord,
    },
    /// R7: an open in-flight exit froze an input before the block.
    ExitingInFlight {
        /// The accused transaction.
        spend: ShownBody,
        /// Which input.
        input: u8,
        /// Body of the exit's transaction.
        exit_body: Bytes,
        /// Number of its input, or live output, that the coin is.
        piece: u8,
    },
}

impl Origin {
    /// What stands where nothing is read of it.
    pub const NONE: Self = Self {
        header: Header::NONE,
        path: Vec::new(),
        tx_hash: B256::ZERO,
        witness_hash: B256::ZERO,
        body: Bytes::new(),
        witness: Bytes::new(),
    };
}

impl FaultProof {
    /// Returns the rule that it says is broken.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::NotCanonical { .. } => Rule::R1,
            Self::NotBefore { .. } => Rule::R2,
            Self::NotMade { .. } | Self::NotDeposited { .. } => Rule::R3,
            Self::NotSigned { .. } => Rule::R4,
            Self::Unbalanced { .. } => Rule::R5,
            Self::DoubleSpend { .. } => Rule::R6,
            Self::Settled { .. } | Self::Exiting { .. } | Self::ExitingInFlight { .. } => Rule::R7,
        }
    }

    /// Returns the block that it accuses; of two spends the later one's.
    #[must_use]
    pub fn accused(&self) -> BlockNumber {
        self.accused_header().number
    }

    fn accused_header(&self) -> &Header {
        match self {
            Self::NotCanonical { leaf }
            | Self::NotBefore { leaf, .. }
            | Self::NotMade { leaf, .. }
            | Self::NotDeposited { leaf, .. }
            | Self::NotSigned { leaf, .. } => &leaf.inclusion.header,
            Self::Unbalanced { spend, .. }
            | Self::Settled { spend, .. }
            | Self::Exiting { spend, .. }
            | Self::ExitingInFlight { spend, .. } => &spend.inclusion.header,
            Self::DoubleSpend { spend, other, .. } => {
                let place = |shown: &ShownBody| (shown.inclusion.header.number, shown.inclusion.index);
                let later = if place(other) < place(spend) { spend } else { other };
                &later.inclusion.header
            }
        }
    }
}

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
struct Court<'a, S> {
    state: &'a S,
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

    fn is_committed(&self, header: &Header) -> bool {
        self.state.commitment(header.number) == Some(header.commitment())
    }

    /// Refuses a block that is void without having been convicted, whose reward is paid, or whose time to be convicted is
    /// over. §3.
    fn check_convictable(&self, header: &Header) -> Result<(), Revert> {
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
        let Origin { header, path, tx_hash, witness_hash, body, witness } = origin;
        if from.block == BlockNumber::ZERO {
            return Ok(false);
        }
        if header.number != from.block || !self.is_committed(header) {
            return Err(Revert::NotTheOrigin);
        }
        if from.index.get() >= header.tx_count {
            return Ok(false);
        }
        let is_empty = tx_hash.is_zero() && witness_hash.is_zero();
        let tx_hash = TxHash(*tx_hash);
        let leaf = if is_empty { EMPTY_LEAF } else { tx_tree::leaf(tx_hash, *witness_hash) };
        if tx_tree::root_of_path(leaf, from.index.get(), header.tx_count, path) != Some(header.tx_root) {
            return Err(Revert::NotTheOrigin);
        }
        if is_empty || OutputId::of_output(tx_hash, index) != output_id {
            return Ok(false);
        }
        if keccak256(body) != tx_hash.0 {
            return Err(Revert::NotTheOrigin);
        }
        let Ok(body) = Transaction::decode(body) else { return Ok(false) };
        if usize::from(index) >= body.outputs().len() {
            return Ok(false);
        }
        if keccak256(witness) != *witness_hash {
            return Err(Revert::NotTheOrigin);
        }
        Ok(Witness::decode(witness, body.inputs().len()).is_ok())
    }
}

fn check_witness(leaf: &ShownLeaf) -> Result<(), Revert> {
    if keccak256(&leaf.witness) == leaf.inclusion.witness_hash { Ok(()) } else { Err(Revert::NotTheWitness) }
}

fn decode(body: &[u8]) -> Result<Transaction, Revert> {
    Transaction::decode(body).map_err(|_| Revert::NotCanonical)
}
