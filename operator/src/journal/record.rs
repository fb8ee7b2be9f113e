//! What the log holds, and its one encoding.
//!
//! Receipts, answers and the content of blocks are pure functions of these records. A decoder accepts exactly what its
//! encoder writes; integers are big-endian.

use alloy_primitives::B256;
use plasmid_exit_game::block::{self, BodyItem};
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::output::{OUTPUT_LEN, Output};
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::tx_tree;
use plasmid_node::chain::SealedBlock;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Transactions were accepted under one receipt.
    Accepted(ReceiptBatch),
    /// The open block covers more deposits.
    Covered(CoveredDeposits),
    /// A block was closed: nothing is added to it any more.
    Closed(ClosedBlock),
    /// Transactions lost their places, each with all that spend its outputs. §3.1.
    Dropped(Vec<Place>),
    /// A submission of a block is about to be signed.
    Intended(Intent),
}

/// Consecutive transactions of one block, accepted together: what one receipt promises. §1.10.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptBatch {
    /// The block that holds them.
    pub number: BlockNumber,
    /// Index of the first of them.
    pub first: u32,
    /// When the block will be committed, in seconds of root-chain time; one value for the whole block.
    pub by: u64,
    /// At least one; body, signature and placement each.
    pub items: Vec<PlacedTransaction>,
}

impl ReceiptBatch {
    /// Returns the leaves that the receipt promises, in order. §1.7.
    #[must_use]
    pub fn leaves(&self) -> Vec<B256> {
        self.items.iter().map(|item| tx_tree::leaf(item.body.hash(), item.witness.hash())).collect()
    }
}

/// Deposits that exist on the child chain from a block on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredDeposits {
    /// The block that is the first to cover them.
    pub number: BlockNumber,
    /// Nonce of the first of them; it follows the last one covered before.
    pub first_nonce: u64,
    /// At least one. Kept here so that the log can be replayed, and compared with the root chain, by itself.
    pub outputs: Vec<Output>,
}

/// How much a block held when it was closed. Its roots follow from the log, and stand in its [`Intent`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClosedBlock {
    /// The block's number.
    pub number: BlockNumber,
    /// Number of places given, those of dropped transactions included.
    pub tx_count: u32,
    /// Deposits covered so far.
    pub deposit_count: u64,
}

/// A submission as it was signed, to the last field: signing it again gives the same bytes. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// What it commits.
    pub block: SealedBlock,
    /// The root block on whose branch alone it can land.
    pub anchor: RootRef,
    /// The latest root-chain time at which it can land, in seconds.
    pub not_after: u64,
    /// The operator's account's nonce.
    pub nonce: u64,
    /// Most gas that it may use.
    pub gas: u64,
    /// Most wei that it offers for a unit of gas.
    pub max_fee_wei: u128,
    /// What of that goes to whoever includes it.
    pub priority_fee_wei: u128,
}

const ACCEPTED: u8 = 1;
const COVERED: u8 = 2;
const CLOSED: u8 = 3;
const DROPPED: u8 = 4;
const INTENDED: u8 = 5;

impl Record {
    /// Returns the record's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Accepted(batch) => {
                bytes.push(ACCEPTED);
                put_u64(&mut bytes, batch.number.get());
                put_u32(&mut bytes, batch.first);
                put_u64(&mut bytes, batch.by);
                for item in &batch.items {
                    let (body, witness) = (item.body.encode(), item.witness.encode());
                    BodyItem::Preimage { body: &body, witness: &witness }.encode_to(&mut bytes);
                }
            }
            Self::Covered(covered) => {
                bytes.push(COVERED);
                put_u64(&mut bytes, covered.number.get());
                put_u64(&mut bytes, covered.first_nonce);
                covered.outputs.iter().for_each(|output| bytes.extend_from_slice(&output.encode()));
            }
            Self::Closed(block) => {
                bytes.push(CLOSED);
                put_u64(&mut bytes, block.number.get());
                put_u32(&mut bytes, block.tx_count);
                put_u64(&mut bytes, block.deposit_count);
            }
            Self::Dropped(places) => {
                bytes.push(DROPPED);
                for place in places {
                    put_u64(&mut bytes, place.block.get());
                    put_u32(&mut bytes, place.index.get());
                }
            }
            Self::Intended(intent) => {
                bytes.push(INTENDED);
                put_sealed(&mut bytes, &intent.block);
                put_u64(&mut bytes, intent.anchor.number);
                bytes.extend_from_slice(intent.anchor.hash.as_slice());
                put_u64(&mut bytes, intent.not_after);
                put_u64(&mut bytes, intent.nonce);
                put_u64(&mut bytes, intent.gas);
                bytes.extend_from_slice(&intent.max_fee_wei.to_be_bytes());
                bytes.extend_from_slice(&intent.priority_fee_wei.to_be_bytes());
            }
        }
        bytes
    }

    /// Decodes a record; accepts exactly what [`Self::encode`] returns.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the bytes are not a record that the operator writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = Fields(bytes);
        let record = match fields.array::<1>()?[0] {
            ACCEPTED => {
                let (number, first, by) = (fields.block_number()?, fields.u32()?, fields.u64()?);
                let items = decode_transactions(fields.rest())?;
                Self::Accepted(ReceiptBatch { number, first, by, items })
            }
            COVERED => {
                let (number, first_nonce) = (fields.block_number()?, fields.u64()?);
                let mut outputs = Vec::new();
                while !fields.0.is_empty() {
                    outputs.push(Output::decode(&fields.array::<OUTPUT_LEN>()?).map_err(|_| RecordError)?);
                }
                Self::Covered(CoveredDeposits { number, first_nonce, outputs })
            }
            CLOSED => Self::Closed(ClosedBlock {
                number: fields.block_number()?,
                tx_count: fields.u32()?,
                deposit_count: fields.u64()?,
            }),
            DROPPED => {
                let mut places = Vec::new();
                while !fields.0.is_empty() {
                    let block = fields.block_number()?;
                    places.push(Place { block, index: TxIndex::new(fields.u32()?).ok_or(RecordError)? });
                }
                Self::Dropped(places)
            }
            INTENDED => Self::Intended(Intent {
                block: fields.sealed()?,
                anchor: RootRef { number: fields.u64()?, hash: B256::new(fields.array()?) },
                not_after: fields.u64()?,
                nonce: fields.u64()?,
                gas: fields.u64()?,
                max_fee_wei: u128::from_be_bytes(fields.array()?),
                priority_fee_wei: u128::from_be_bytes(fields.array()?),
            }),
            _ => return Err(RecordError),
        };
        let is_empty = match &record {
            Self::Accepted(batch) => batch.items.is_empty(),
            Self::Covered(covered) => covered.outputs.is_empty(),
            Self::Dropped(places) => places.is_empty(),
            Self::Closed(_) | Self::Intended(_) => false,
        };
        if is_empty || !fields.0.is_empty() { Err(RecordError) } else { Ok(record) }
    }
}

/// The bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no record that this operator writes")]
pub struct RecordError;

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(RecordError)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    fn block_number(&mut self) -> Result<BlockNumber, RecordError> {
        BlockNumber::new(self.u64()?).ok_or(RecordError)
    }

    fn sealed(&mut self) -> Result<SealedBlock, RecordError> {
        Ok(SealedBlock {
            number: self.block_number()?,
            tx_count: self.u32()?,
            deposit_count: self.u64()?,
            tx_root: B256::new(self.array()?),
            utxo_root: B256::new(self.array()?),
        })
    }
}

fn decode_transactions(bytes: &[u8]) -> Result<Vec<PlacedTransaction>, RecordError> {
    let items = block::decode_items(bytes, tx_tree::LEAVES_MAX as u32).map_err(|_| RecordError)?;
    items.iter().map(|item| item.transaction().and_then(Result::ok).ok_or(RecordError)).collect()
}

fn put_sealed(bytes: &mut Vec<u8>, block: &SealedBlock) {
    put_u64(bytes, block.number.get());
    put_u32(bytes, block.tx_count);
    put_u64(bytes, block.deposit_count);
    bytes.extend_from_slice(block.tx_root.as_slice());
    bytes.extend_from_slice(block.utxo_root.as_slice());
}

fn put_u32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_be_bytes());
}

fn put_u64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_be_bytes());
}
