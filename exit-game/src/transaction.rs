//! Transactions: body, witness, hash and what the owner signs. §1.5, §1.6.
//!
//! A [`Transaction`] or [`Witness`] that exists is canonical: the constructors and decoders here refuse everything that R1
//! calls broken, and each has one encoding.

use alloc::vec::Vec;
use core::fmt;

use alloy_primitives::{B256, keccak256};

use crate::decode::{Reader, Truncated};
use crate::output::{KIND_OWNED, OUTPUT_LEN, Output, OutputError, OutputId, TxHash};
use crate::position::{OUTPUT_INDEX_BITS, Position};
use crate::signature::{Domain, SIGNATURE_LEN, Signature, SignatureError};

/// The version that a body begins with. §1.5.
pub const VERSION: u8 = 1;
/// Most inputs that one transaction may spend. §1.5.
pub const INPUTS_MAX: usize = 16;
/// Most outputs that one transaction may make. §1.5.
pub const OUTPUTS_MAX: usize = 16;
// A position keeps its output index in four bits (§1.1).
const _: () = assert!(OUTPUTS_MAX <= 1 << OUTPUT_INDEX_BITS);

/// Bytes of the longest body.
pub const BODY_LEN_MAX: usize = body_len(INPUTS_MAX, OUTPUTS_MAX);
/// Bytes of the longest witness.
pub const WITNESS_LEN_MAX: usize = witness_len(INPUTS_MAX);

const TRANSACTION_TYPE: &str = "Transaction(bytes32[] inputs,Output[] outputs,bytes32 memo)\
                                Output(uint8 kind,address owner,address asset,uint128 amount)";
const OUTPUT_TYPE: &str = "Output(uint8 kind,address owner,address asset,uint128 amount)";

/// Bytes of a body with so many inputs and outputs. §1.5.
#[must_use]
pub const fn body_len(inputs: usize, outputs: usize) -> usize {
    3 + 32 * inputs + OUTPUT_LEN * outputs + 32
}

/// Bytes of a witness for so many inputs. §1.5.
#[must_use]
pub const fn witness_len(inputs: usize) -> usize {
    SIGNATURE_LEN + 8 * inputs
}

/// A transaction's body: what it spends, makes and says. §1.5.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    inputs: Vec<OutputId>,
    outputs: Vec<Output>,
    memo: B256,
}

impl Transaction {
    /// Returns the transaction that spends `inputs`, in any order, and makes `outputs` in the order given.
    ///
    /// # Errors
    ///
    /// [`BodyError`] if there are too few or too many, an input stands twice, or an output is not one of version 1.
    pub fn new(mut inputs: Vec<OutputId>, outputs: Vec<Output>, memo: B256) -> Result<Self, BodyError> {
        inputs.sort_unstable();
        Self { inputs, outputs, memo }.checked()
    }

    /// Decodes a body; accepts exactly what [`Self::encode`] returns. §1.5.
    ///
    /// # Errors
    ///
    /// [`BodyError`] for each way in which the bytes are not canonical (R1).
    pub fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(BodyError::Version(version));
        }
        let (input_count, output_count) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
        if !(1..=INPUTS_MAX).contains(&input_count) {
            return Err(BodyError::InputCount(input_count));
        }
        if !(1..=OUTPUTS_MAX).contains(&output_count) {
            return Err(BodyError::OutputCount(output_count));
        }
        if bytes.len() != body_len(input_count, output_count) {
            return Err(BodyError::Length);
        }
        let mut inputs = Vec::with_capacity(input_count);
        for _ in 0..input_count {
            inputs.push(OutputId(B256::new(reader.array()?)));
        }
        let mut outputs = Vec::with_capacity(output_count);
        for index in 0..output_count {
            let output = Output::decode(&reader.array()?).map_err(|source| BodyError::Output { index, source })?;
            outputs.push(output);
        }
        let memo = B256::new(reader.array()?);
        Self { inputs, outputs, memo }.checked()
    }

    fn checked(self) -> Result<Self, BodyError> {
        if !(1..=INPUTS_MAX).contains(&self.inputs.len()) {
            return Err(BodyError::InputCount(self.inputs.len()));
        }
        if !(1..=OUTPUTS_MAX).contains(&self.outputs.len()) {
            return Err(BodyError::OutputCount(self.outputs.len()));
        }
        if let Some(index) = self.inputs.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(BodyError::InputOrder { index: index + 1 });
        }
        for (index, output) in self.outputs.iter().enumerate() {
            output.check().map_err(|source| BodyError::Output { index, source })?;
        }
        Ok(self)
    }

    /// Returns the body's bytes: `version ‖ nIn ‖ nOut ‖ input ids ‖ outputs ‖ memo`. §1.5.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(body_len(self.inputs.len(), self.outputs.len()));
        bytes.extend([VERSION, self.inputs.len() as u8, self.outputs.len() as u8]);
        for input in &self.inputs {
            bytes.extend_from_slice(input.0.as_slice());
        }
        for output in &self.outputs {
            bytes.extend_from_slice(&output.encode());
        }
        bytes.extend_from_slice(self.memo.as_slice());
        bytes
    }

    /// Returns the ids of the coins it spends, strictly ascending, 1 to 16.
    #[must_use]
    pub fn inputs(&self) -> &[OutputId] {
        &self.inputs
    }

    /// Returns the coins it makes, 1 to 16.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Returns the 32 bytes that the sender may use freely.
    #[must_use]
    pub fn memo(&self) -> B256 {
        self.memo
    }

    /// Returns `H(body)`. §1.5.
    #[must_use]
    pub fn hash(&self) -> TxHash {
        TxHash(keccak256(self.encode()))
    }

    /// Returns the EIP-712 digest that the inputs' owner signs. §1.6.
    #[must_use]
    pub fn signing_hash(&self, domain: &Domain) -> B256 {
        let output_type = keccak256(OUTPUT_TYPE);
        let mut input_words = Vec::with_capacity(32 * self.inputs.len());
        for input in &self.inputs {
            input_words.extend_from_slice(input.0.as_slice());
        }
        let mut output_hashes = Vec::with_capacity(32 * self.outputs.len());
        for output in &self.outputs {
            let mut words = [0; 160];
            words[..32].copy_from_slice(output_type.as_slice());
            words[63] = KIND_OWNED;
            words[76..96].copy_from_slice(output.owner.as_slice());
            words[108..128].copy_from_slice(output.asset.as_slice());
            words[144..160].copy_from_slice(&output.amount.to_be_bytes());
            output_hashes.extend_from_slice(keccak256(words).as_slice());
        }
        let mut words = [0; 128];
        words[..32].copy_from_slice(keccak256(TRANSACTION_TYPE).as_slice());
        words[32..64].copy_from_slice(keccak256(input_words).as_slice());
        words[64..96].copy_from_slice(keccak256(output_hashes).as_slice());
        words[96..].copy_from_slice(self.memo.as_slice());
        domain.digest(keccak256(words))
    }
}

/// Why bytes are no transaction body. R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Too short or too long for its counts.
    #[error("the length does not fit the number of inputs and outputs")]
    Length,
    /// Another version.
    #[error("version {0} is not 1")]
    Version(u8),
    /// None, or more than 16.
    #[error("{0} inputs are not between 1 and 16")]
    InputCount(usize),
    /// None, or more than 16.
    #[error("{0} outputs are not between 1 and 16")]
    OutputCount(usize),
    /// The ids are not strictly ascending.
    #[error("input {index} is not greater than the one before it")]
    InputOrder {
        /// Index of the input that is out of order.
        index: usize,
    },
    /// An output is not one of version 1.
    #[error("output {index} is invalid")]
    Output {
        /// Index of the output.
        index: usize,
        /// What is wrong with it.
        source: OutputError,
    },
}

impl From<Truncated> for BodyError {
    fn from(_: Truncated) -> Self {
        Self::Length
    }
}

/// What makes a body valid in its place: the owner's signature and the operator's placement of each input. §1.5.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Witness {
    /// The inputs' owner's signature over the signing hash.
    pub signature: Signature,
    /// Where the operator says each input was made, in the order of the inputs.
    pub placement: Vec<Position>,
}

impl Witness {
    /// Decodes the witness of a body with `inputs` inputs; accepts exactly what [`Self::encode`] returns. §1.5.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] for each way in which the bytes are not canonical (R1).
    pub fn decode(bytes: &[u8], inputs: usize) -> Result<Self, WitnessError> {
        if bytes.len() != witness_len(inputs) {
            return Err(WitnessError::Length { expected: witness_len(inputs), actual: bytes.len() });
        }
        let (signature, positions) = bytes.split_first_chunk::<SIGNATURE_LEN>().expect("length checked above");
        let signature = Signature::decode(*signature)?;
        let mut placement = Vec::with_capacity(inputs);
        for (index, chunk) in positions.as_chunks::<8>().0.iter().enumerate() {
            let bits = u64::from_be_bytes(*chunk);
            placement.push(Position::from_bits(bits).ok_or(WitnessError::Position { index, bits })?);
        }
        Ok(Self { signature, placement })
    }

    /// Returns the witness' bytes: `signature ‖ placement`, 8 bytes big-endian a position. §1.5.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(witness_len(self.placement.len()));
        bytes.extend_from_slice(&self.signature.encode());
        for position in &self.placement {
            bytes.extend_from_slice(&position.bits().to_be_bytes());
        }
        bytes
    }

    /// Returns `H(witness)`.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(self.encode())
    }
}

/// Why bytes are no witness. R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// Too short or too long for the number of inputs.
    #[error("{actual} bytes where the inputs ask for {expected}")]
    Length {
        /// What the number of inputs asks for.
        expected: usize,
        /// What is there.
        actual: usize,
    },
    /// The signature is not canonical.
    #[error("the signature is not canonical")]
    Signature(#[from] SignatureError),
    /// A deposit's position with a bit set that §1.1 leaves zero.
    #[error("placement {bits:#x} of input {index} is no position")]
    Position {
        /// Index of the input.
        index: usize,
        /// The 64 bits.
        bits: u64,
    },
}

/// A body with its witness: what a leaf of the transaction tree commits to. §1.7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlacedTransaction {
    /// The body.
    pub body: Transaction,
    /// Signature and placement, as many positions as the body has inputs.
    pub witness: Witness,
}

impl PlacedTransaction {
    /// Decodes a leaf's preimage.
    ///
    /// # Errors
    ///
    /// [`PlacedTransactionError`] if body or witness is not canonical (R1).
    pub fn decode(body: &[u8], witness: &[u8]) -> Result<Self, PlacedTransactionError> {
        let body = Transaction::decode(body)?;
        let witness = Witness::decode(witness, body.inputs().len())?;
        Ok(Self { body, witness })
    }
}

/// Why a leaf's preimage is not canonical. R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlacedTransactionError {
    /// The body is not.
    #[error("the body is not canonical")]
    Body(#[from] BodyError),
    /// The witness is not.
    #[error("the witness is not canonical")]
    Witness(#[from] WitnessError),
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hash())
    }
}
