//! Where a coin was made: block, transaction and output index in one word. §1.1.
//!
//! A position is the operator's claim: it decides age and existence, never identity (that is the [`OutputId`]). A
//! [`Position`] always has the form of §1.1, but what it points at need not exist: that is R3's question.
//!
//! [`OutputId`]: crate::output::OutputId

use core::fmt;

/// Bits of a block number in a position. §1.1.
pub const BLOCK_BITS: u32 = 39;
/// Bits of a transaction index in a position. §1.1.
pub const TX_INDEX_BITS: u32 = 20;
/// Bits of an output index in a position. §1.1.
pub const OUTPUT_INDEX_BITS: u32 = 4;
/// Bits of a deposit's nonce. §1.1.
pub const NONCE_BITS: u32 = 40;

const DEPOSIT_BIT: u64 = 1 << 63;
const NONCE_MASK: u64 = ((1 << NONCE_BITS) - 1) << OUTPUT_INDEX_BITS;

/// A child-chain block number, below 2^39: the first block is 1, and 0 stands for the state before it. §2, §8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockNumber(u64);

impl BlockNumber {
    /// The state before the first block. §8.
    pub const ZERO: Self = Self(0);
    /// The first block's number. §2.
    pub const FIRST: Self = Self(1);

    /// Returns the block number `number`, or `None` if it is 2^39 or more.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number >> BLOCK_BITS != 0 { None } else { Some(Self(number)) }
    }

    /// Returns the number as an integer.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the number after this one, or `None` at the end of the number space.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// Returns the number before this one, or `None` for 0.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transaction's index in its block, below 2^20. §1.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxIndex(u32);

impl TxIndex {
    /// Returns the index `index`, or `None` if it is 2^20 or more.
    #[must_use]
    pub const fn new(index: u32) -> Option<Self> {
        if index >> TX_INDEX_BITS != 0 { None } else { Some(Self(index)) }
    }

    /// Returns the index as an integer.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TxIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a transaction: the block that holds it and its index there. §1, *place*.
///
/// Ordered by age: of two places the smaller is the older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The block that holds the transaction.
    pub block: BlockNumber,
    /// Its index among that block's leaves.
    pub index: TxIndex,
}

impl Place {
    /// Returns the position of output `output_index` of the transaction at this place, or `None` if it is 16 or more.
    #[must_use]
    pub const fn output(self, output_index: u8) -> Option<Position> {
        if output_index >> OUTPUT_INDEX_BITS != 0 {
            return None;
        }
        let upper = self.block.get() << (TX_INDEX_BITS + OUTPUT_INDEX_BITS);
        Some(Position(upper | (self.index.get() as u64) << OUTPUT_INDEX_BITS | output_index as u64))
    }

    /// Returns the position of output 0, which is how the contract writes a place. §1.
    #[must_use]
    pub const fn first_output(self) -> Position {
        match self.output(0) {
            Some(position) => position,
            None => unreachable!(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {} of block {}", self.index, self.block)
    }
}

/// A coin's position as §1.1 writes it: 64 bits, big-endian where it is encoded.
///
/// Every value of this type is a child-chain position or a deposit's position with all bits but the nonce's zero.
/// Child-chain positions are ordered by age; deposits come after all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

/// What a [`Position`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionKind {
    /// Made by the deposit with this nonce.
    Deposit(u64),
    /// Output with this index of the transaction at this place.
    Output(Place, u8),
}

impl Position {
    /// Returns the position with the bits `bits`, or `None` if §1.1 gives these bits no meaning.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        let is_zero_where_deposits_are = bits & !(DEPOSIT_BIT | NONCE_MASK) == 0;
        if bits & DEPOSIT_BIT != 0 && !is_zero_where_deposits_are { None } else { Some(Self(bits)) }
    }

    /// Returns the position of the deposit with nonce `nonce`, or `None` if it is 2^40 or more.
    #[must_use]
    pub const fn of_deposit(nonce: u64) -> Option<Self> {
        if nonce >> NONCE_BITS != 0 { None } else { Some(Self(DEPOSIT_BIT | nonce << OUTPUT_INDEX_BITS)) }
    }

    /// Returns the 64 bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns what the position says.
    #[must_use]
    pub const fn kind(self) -> PositionKind {
        if self.0 & DEPOSIT_BIT != 0 {
            return PositionKind::Deposit((self.0 & !DEPOSIT_BIT) >> OUTPUT_INDEX_BITS);
        }
        let block = BlockNumber(self.0 >> (TX_INDEX_BITS + OUTPUT_INDEX_BITS));
        let index = TxIndex((self.0 >> OUTPUT_INDEX_BITS) as u32 & ((1 << TX_INDEX_BITS) - 1));
        PositionKind::Output(Place { block, index }, (self.0 & 0xf) as u8)
    }

    /// Returns whether a deposit made the coin.
    #[must_use]
    pub const fn is_deposit(self) -> bool {
        self.0 & DEPOSIT_BIT != 0
    }

    /// Returns the block that made the coin, or `None` for a deposit.
    #[must_use]
    pub const fn block(self) -> Option<BlockNumber> {
        match self.kind() {
            PositionKind::Deposit(_) => None,
            PositionKind::Output(place, _) => Some(place.block),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_what_its_parts_say() {
        let place =
            Place { block: BlockNumber::new((1 << 39) - 1).unwrap(), index: TxIndex::new((1 << 20) - 1).unwrap() };
        let position = place.output(15).unwrap();
        assert_eq!(position.bits(), (1 << 63) - 1);
        assert_eq!(position.kind(), PositionKind::Output(place, 15));
        assert_eq!(Position::from_bits(position.bits()), Some(position));
        assert_eq!(place.output(16), None);

        let deposit = Position::of_deposit((1 << 40) - 1).unwrap();
        assert_eq!(deposit.kind(), PositionKind::Deposit((1 << 40) - 1));
        assert_eq!(Position::from_bits(deposit.bits()), Some(deposit));
    }

    #[test]
    fn bits_without_a_meaning_are_refused() {
        assert_eq!(Position::from_bits(1 << 63 | 1), None, "a deposit has no output index");
        assert_eq!(Position::from_bits(1 << 63 | 1 << 44), None, "nor more than 40 bits of nonce");
        assert_eq!(Position::of_deposit(1 << 40), None, "a nonce has 40 bits");
        assert_eq!(BlockNumber::new(1 << 39), None);
        assert_eq!(TxIndex::new(1 << 20), None);
    }
}
