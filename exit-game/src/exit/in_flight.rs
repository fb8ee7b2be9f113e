//! In-flight exits as the contract names their parts: data, pieces, places, decisions. §6.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, keccak256};

use crate::output::OutputId;
use crate::position::{Place, Position};
use crate::signature::Signature;
use crate::transaction::{INPUTS_MAX, OUTPUTS_MAX, PlacedTransaction, Transaction};

pub mod duty;
pub mod guard;

/// The place of a competitor that no block is known to include, as the contract writes it: all ones below the top bit,
/// younger than every place. §6.
pub const NOT_INCLUDED_BITS: u64 = (1 << 63) - 1;

const WORD_LEN: usize = 32;
/// Words of the data before those of inputs, and of each input.
const OWNERS_WORDS: usize = 2;
const INPUT_WORDS: usize = 5;
/// A piece set keeps inputs in its lower bits and outputs in its upper ones.
const FIRST_OUTPUT_PIECE: u8 = 16;
const _: () = assert!(INPUTS_MAX <= FIRST_OUTPUT_PIECE as usize && OUTPUTS_MAX <= FIRST_OUTPUT_PIECE as usize);

/// A body with its inputs' owner's signature: all that a spend is shown by. §5.2, §6.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignedTransaction {
    /// The body.
    pub body: Transaction,
    /// The signature for it.
    pub signature: Signature,
}

impl From<PlacedTransaction> for SignedTransaction {
    fn from(PlacedTransaction { body, witness }: PlacedTransaction) -> Self {
        Self { body, signature: witness.signature }
    }
}

/// An input of an in-flight exit as it was shown. §6.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputData {
    /// The coin.
    pub output_id: OutputId,
    /// Where the exit showed that it was made.
    pub position: Position,
    /// Timestamp of the block of `position`, in seconds; zero for a deposit.
    pub created_at: u64,
    /// The coin's asset.
    pub asset: Address,
    /// Base units of the asset.
    pub amount: u128,
}

impl InputData {
    /// Returns when the coin was made, in seconds, which is `None` for a deposit: what its exit key depends on. §4.
    #[must_use]
    pub fn created(&self) -> Option<u64> {
        (!self.position.is_deposit()).then_some(self.created_at)
    }
}

/// An in-flight exit's data, of which the contract keeps the hash alone. §6.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InFlightData {
    /// Who put up the bond.
    pub starter: Address,
    /// Owner of all inputs.
    pub owner: Address,
    /// The inputs, in the order of the body.
    pub inputs: Vec<InputData>,
}

impl InFlightData {
    /// Returns the contract's form: `starter ‖ owner ‖ per input: id, position, creation time, asset, amount`, each a word
    /// of 32 bytes. §6.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut words = Vec::with_capacity(WORD_LEN * (OWNERS_WORDS + INPUT_WORDS * self.inputs.len()));
        words.extend(self.starter.into_word().0);
        words.extend(self.owner.into_word().0);
        for input in &self.inputs {
            words.extend(input.output_id.0.0);
            words.extend(word(u128::from(input.position.bits())));
            words.extend(word(u128::from(input.created_at)));
            words.extend(input.asset.into_word().0);
            words.extend(word(input.amount));
        }
        words
    }

    /// Decodes the contract's form; accepts exactly what [`Self::encode`] returns for data whose deposits, and no other
    /// inputs, have a creation time of zero.
    ///
    /// # Errors
    ///
    /// [`NoInFlightData`] if the bytes are not such words.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoInFlightData> {
        let (words, rest) = bytes.as_chunks::<WORD_LEN>();
        let Some((&[starter, owner], inputs)) = words.split_first_chunk::<OWNERS_WORDS>() else {
            return Err(NoInFlightData);
        };
        let (inputs, left) = inputs.as_chunks::<INPUT_WORDS>();
        if !rest.is_empty() || !left.is_empty() {
            return Err(NoInFlightData);
        }
        let inputs = inputs.iter().map(input_of_words).collect::<Option<_>>().ok_or(NoInFlightData)?;
        let (starter, owner) = (address(&starter).ok_or(NoInFlightData)?, address(&owner).ok_or(NoInFlightData)?);
        Ok(Self { starter, owner, inputs })
    }

    /// Returns the hash of [`Self::encode`], which is all that the contract keeps. §6.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(self.encode())
    }
}

/// Bytes that are not an in-flight exit's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not an in-flight exit's data")]
pub struct NoInFlightData;

/// An input or an output of an exiting transaction. Whether the transaction has such a piece is another question. §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// The input with this index, below 16.
    Input(u8),
    /// The output with this index, below 16.
    Output(u8),
}

impl Piece {
    /// Returns the piece that the contract calls `number`, or `None` if it is 32 or more.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            0..FIRST_OUTPUT_PIECE => Some(Self::Input(number)),
            FIRST_OUTPUT_PIECE..32 => Some(Self::Output(number - FIRST_OUTPUT_PIECE)),
            32.. => None,
        }
    }

    /// Returns the contract's name of the piece: inputs from 0, outputs from 16.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Input(index) => index % FIRST_OUTPUT_PIECE,
            Self::Output(index) => FIRST_OUTPUT_PIECE + index % FIRST_OUTPUT_PIECE,
        }
    }
}

/// Some pieces of one transaction, as the contract's word keeps them: inputs 0–15, outputs 16–31. §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct PieceSet(u32);

impl PieceSet {
    /// No pieces.
    pub const NONE: Self = Self(0);

    /// Returns the set that the contract writes as `bits`.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the contract's form.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns whether `piece` is one of them.
    #[must_use]
    pub const fn has(self, piece: Piece) -> bool {
        self.0 >> piece.number() & 1 != 0
    }

    /// Returns these and `others`.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Returns these without `piece`.
    #[must_use]
    pub const fn without(self, piece: Piece) -> Self {
        Self(self.0 & !(1 << piece.number()))
    }

    /// Returns the pieces that are in both sets.
    #[must_use]
    pub const fn shared(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Returns the pieces in order: inputs first.
    pub fn iter(self) -> impl Iterator<Item = Piece> {
        (0..32).filter_map(Piece::new).filter(move |&piece| self.has(piece))
    }
}

impl FromIterator<Piece> for PieceSet {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        pieces.into_iter().fold(Self::NONE, |set, piece| set.with(Self(1 << piece.number())))
    }
}

/// The oldest place that was shown to an in-flight exit, and whose it is. §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum OldestPlace {
    /// None was shown: the exit is canonical as it stands.
    #[default]
    Nobodys,
    /// A competitor's; `None` if no valid block is known to include it.
    Competitors(Option<Place>),
    /// The exit's own transaction's.
    Own(Place),
}

impl OldestPlace {
    /// Returns whether `place` is older: whether the contract takes it in this one's stead.
    #[must_use]
    pub fn is_bettered_by(self, place: Place) -> bool {
        match self {
            Self::Nobodys | Self::Competitors(None) => true,
            Self::Competitors(Some(oldest)) | Self::Own(oldest) => place < oldest,
        }
    }
}

/// What an in-flight exit pays, from the turn of its first piece on. §6.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Its outputs.
    Canonical,
    /// Its inputs.
    NonCanonical,
    /// Nothing: an input's own block is void.
    Void,
}

fn word(number: u128) -> [u8; WORD_LEN] {
    let mut word = [0; WORD_LEN];
    word[16..].copy_from_slice(&number.to_be_bytes());
    word
}

/// Reads a number that fits.
fn number<T: TryFrom<u128>>(word: &[u8; WORD_LEN]) -> Option<T> {
    let (high, low) = word.split_first_chunk::<16>()?;
    let low = u128::from_be_bytes(low.try_into().ok()?);
    T::try_from(low).ok().filter(|_| *high == [0; 16])
}

fn address(word: &[u8; WORD_LEN]) -> Option<Address> {
    let address = Address::from_word(B256::from(*word));
    (address.into_word().0 == *word).then_some(address)
}

fn input_of_words([id, position, created_at, asset, amount]: &[[u8; WORD_LEN]; INPUT_WORDS]) -> Option<InputData> {
    let position = Position::from_bits(number(position)?)?;
    let created_at = number(created_at)?;
    let input = InputData {
        output_id: OutputId(B256::from(*id)),
        position,
        created_at,
        asset: address(asset)?,
        amount: number(amount)?,
    };
    (position.is_deposit() == (created_at == 0)).then_some(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{BlockNumber, TxIndex};

    #[test]
    fn pieces_are_numbered_as_the_contract_does() {
        for number in 0..32 {
            assert_eq!(Piece::new(number).map(Piece::number), Some(number));
        }
        assert_eq!((Piece::new(15), Piece::new(16)), (Some(Piece::Input(15)), Some(Piece::Output(0))));
        assert_eq!((Piece::new(32), Piece::new(255)), (None, None));
        let set = PieceSet::from_iter([Piece::Input(3), Piece::Output(1)]);
        assert_eq!((set.bits(), set.len()), (1 << 3 | 1 << 17, 2));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Piece::Input(3), Piece::Output(1)]);
        assert!(set.without(Piece::Input(3)).without(Piece::Output(1)).is_empty());
        assert_eq!(PieceSet::from_bits(set.bits()).shared(PieceSet::from_bits(1 << 3)).bits(), 1 << 3);
    }

    #[test]
    fn a_place_betters_what_is_younger_or_not_included() {
        let place = |index| Place { block: BlockNumber::FIRST, index: TxIndex::new(index).unwrap() };
        assert!(OldestPlace::Nobodys.is_bettered_by(place(1)));
        assert!(OldestPlace::Competitors(None).is_bettered_by(place(1)));
        assert!(OldestPlace::Competitors(Some(place(2))).is_bettered_by(place(1)));
        assert!(!OldestPlace::Competitors(Some(place(1))).is_bettered_by(place(1)));
        assert!(!OldestPlace::Own(place(1)).is_bettered_by(place(2)));
    }

    #[test]
    fn every_field_of_the_data_tells_them_from_others() {
        let input = InputData {
            output_id: OutputId(B256::repeat_byte(1)),
            position: Position::of_deposit(3).unwrap(),
            created_at: 0,
            asset: Address::repeat_byte(2),
            amount: 5,
        };
        let data =
            InFlightData { starter: Address::repeat_byte(3), owner: Address::repeat_byte(4), inputs: [input].into() };
        let with = |input| InFlightData { inputs: [input].into(), ..data.clone() };
        let others = [
            InFlightData { starter: Address::repeat_byte(5), ..data.clone() },
            InFlightData { owner: Address::repeat_byte(5), ..data.clone() },
            InFlightData { inputs: [input, input].into(), ..data.clone() },
            with(InputData { output_id: OutputId(B256::repeat_byte(9)), ..input }),
            with(InputData { position: Position::of_deposit(4).unwrap(), ..input }),
            with(InputData { created_at: 1, ..input }),
            with(InputData { asset: Address::repeat_byte(9), ..input }),
            with(InputData { amount: 6, ..input }),
        ];
        assert!(others.iter().all(|other| other.hash() != data.hash()));
    }

    #[test]
    fn data_decode_to_themselves_and_nothing_else_does() {
        let input = |position, created_at| InputData {
            output_id: OutputId(B256::repeat_byte(1)),
            position,
            created_at,
            asset: Address::repeat_byte(2),
            amount: u128::MAX,
        };
        let inputs = Vec::from([
            input(Position::of_deposit(3).unwrap(), 0),
            input(Position::from_bits(1 << 24).unwrap(), u64::MAX),
        ]);
        let data = InFlightData { starter: Address::repeat_byte(3), owner: Address::repeat_byte(4), inputs };
        let bytes = data.encode();
        assert_eq!(InFlightData::decode(&bytes), Ok(data));
        // No byte of a word may be what its type does not have: the highest of each but an id's.
        for at in (0..bytes.len()).step_by(WORD_LEN).filter(|at| ![2, 7].contains(&(at / WORD_LEN))) {
            let mut wrong = bytes.clone();
            wrong[at] = 1;
            assert_eq!(InFlightData::decode(&wrong), Err(NoInFlightData), "byte {at}");
        }
        for len in (0..bytes.len()).filter(|len| ![64, 224].contains(len)) {
            assert_eq!(InFlightData::decode(&bytes[..len]), Err(NoInFlightData), "{len} bytes");
        }
        let mut wrong = bytes.clone();
        wrong[5 * WORD_LEN - 1] = 1;
        assert_eq!(InFlightData::decode(&wrong), Err(NoInFlightData), "a deposit has no creation time");
    }
}
