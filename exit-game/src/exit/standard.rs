//! Standard exits as the contract keeps them: a record's hash, in one word a coin. §5.1.

use alloy_primitives::{B256, U256, keccak256};

use crate::output::{Output, OutputId};
use crate::position::Position;

/// Bits of a word below the assigned flag: those of the state.
const STATE_BITS: usize = 40;
/// Bits of a word below the record hash: those of the state and the assigned flag.
const BITS_BELOW_HASH: usize = STATE_BITS + 1;

/// A pending standard exit, of which the contract keeps the hash alone. §5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExitRecord {
    /// The coin.
    pub output_id: OutputId,
    /// Where its exit showed that it was made.
    pub position: Position,
    /// Owner, asset and amount.
    pub output: Output,
    /// When it can be paid, in seconds, and its place in the order of exits. §4.
    pub key: u64,
}

impl ExitRecord {
    /// Returns `H(abi.encode(outputId, position, owner, asset, amount, key))`. §5.1.
    #[must_use]
    pub fn hash(&self) -> B256 {
        let mut words = [0; 192];
        words[..32].copy_from_slice(self.output_id.0.as_slice());
        words[56..64].copy_from_slice(&self.position.bits().to_be_bytes());
        words[76..96].copy_from_slice(self.output.owner.as_slice());
        words[108..128].copy_from_slice(self.output.asset.as_slice());
        words[144..160].copy_from_slice(&self.output.amount.to_be_bytes());
        words[184..192].copy_from_slice(&self.key.to_be_bytes());
        keccak256(words)
    }
}

/// The top 215 bits of an [`ExitRecord`]'s hash: what the contract keeps of a pending exit. §5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHash(U256);

impl RecordHash {
    /// Returns what is kept of a record with the hash `hash`.
    #[must_use]
    pub fn of(hash: B256) -> Self {
        Self(U256::from_be_bytes(hash.0) >> BITS_BELOW_HASH << BITS_BELOW_HASH)
    }

    /// Returns the bits in their place, the low 41 bits zero: the contract's view `coin` shows them so.
    #[must_use]
    pub fn get(self) -> B256 {
        B256::new(self.0.to_be_bytes())
    }
}

/// What has become of a coin: the low 40 bits of its word. §5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Standing {
    /// The contract has not heard of it: a child-chain output, or no coin at all.
    #[default]
    Unknown,
    /// A deposit made it.
    Deposited,
    /// It was settled, and nothing can take it out again.
    Settled {
        /// No block with a later timestamp may spend the coin, in seconds; above 1 and below 2^40. §3.1.
        freeze: u64,
    },
}

/// All that the contract knows of an output id: one word. §5.1.
///
/// Only a coin with a pending exit is assigned: what of an exit ends with its record, the flag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct CoinState {
    exit: Option<RecordHash>,
    is_assigned: bool,
    standing: Standing,
}

impl CoinState {
    /// The word that a deposit leaves.
    pub const DEPOSITED: Self = Self { exit: None, is_assigned: false, standing: Standing::Deposited };

    /// Returns the word of a coin that its own exit settled, with the freeze time `freeze`.
    #[must_use]
    pub const fn settled(freeze: u64) -> Self {
        Self { exit: None, is_assigned: false, standing: Standing::Settled { freeze } }
    }

    /// Returns the pending exit, if there is one.
    #[must_use]
    pub fn exit(&self) -> Option<RecordHash> {
        self.exit
    }

    /// Returns whether `record` is that of the pending exit.
    #[must_use]
    pub fn is_exit_of(&self, record: &ExitRecord) -> bool {
        self.exit == Some(RecordHash::of(record.hash()))
    }

    /// Returns whether the pending exit was handed on.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        self.is_assigned
    }

    /// Returns what has become of the coin.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Returns the word with the exit of `record` pending and not handed on.
    #[must_use]
    pub fn with_exit(self, record: &ExitRecord) -> Self {
        Self { exit: Some(RecordHash::of(record.hash())), is_assigned: false, ..self }
    }

    /// Returns the word with its pending exit handed on; without one it stays as it is.
    #[must_use]
    pub fn with_assignment(self) -> Self {
        Self { is_assigned: self.exit.is_some(), ..self }
    }

    /// Returns the word without an exit.
    #[must_use]
    pub fn without_exit(self) -> Self {
        Self { exit: None, is_assigned: false, ..self }
    }

    /// Returns the word of the coin settled with the freeze time `freeze` by another exit than the pending one, which stays
    /// until its turn.
    #[must_use]
    pub const fn with_settlement(self, freeze: u64) -> Self {
        Self { standing: Standing::Settled { freeze }, ..self }
    }

    /// Returns the contract's word: `hash 215 bits ‖ assigned 1 bit ‖ state 40 bits`.
    #[must_use]
    pub fn to_word(&self) -> U256 {
        let state = match self.standing {
            Standing::Unknown => 0,
            Standing::Deposited => 1,
            Standing::Settled { freeze } => freeze,
        };
        let assigned = U256::from(u8::from(self.is_assigned)) << STATE_BITS;
        self.exit.map_or(U256::ZERO, |hash| hash.0) | assigned | U256::from(state)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::output::ETHER;

    fn record() -> ExitRecord {
        let output = Output { owner: Address::repeat_byte(1), asset: ETHER, amount: 5 };
        let position = Position::of_deposit(3).unwrap();
        ExitRecord { output_id: OutputId(B256::repeat_byte(2)), position, output, key: 1_602 }
    }

    #[test]
    fn a_word_is_the_records_top_bits_the_flag_and_the_state() {
        let record = record();
        let hash = U256::from_be_bytes(record.hash().0);
        let exiting = CoinState::DEPOSITED.with_exit(&record);
        assert_eq!(CoinState::default().to_word(), U256::ZERO);
        assert_eq!(CoinState::DEPOSITED.to_word(), U256::ONE);
        assert_eq!(CoinState::settled(1_302).to_word(), U256::from(1_302));
        assert_eq!(exiting.to_word() >> 41, hash >> 41);
        assert_eq!(exiting.to_word() & U256::from((1u64 << 41) - 1), U256::ONE);
        assert_eq!(exiting.with_assignment().to_word(), exiting.to_word() + (U256::ONE << 40));
        assert_eq!(exiting.with_assignment().without_exit(), CoinState::DEPOSITED);
        assert_eq!(CoinState::DEPOSITED.with_assignment(), CoinState::DEPOSITED);
    }

    #[test]
    fn every_field_of_a_record_tells_it_from_others() {
        let record = record();
        let coin = CoinState::default().with_exit(&record);
        assert!(coin.is_exit_of(&record));
        let others = [
            ExitRecord { output_id: OutputId(B256::repeat_byte(3)), ..record },
            ExitRecord { position: Position::of_deposit(4).unwrap(), ..record },
            ExitRecord { output: Output { owner: Address::repeat_byte(2), ..record.output }, ..record },
            ExitRecord { output: Output { asset: Address::repeat_byte(2), ..record.output }, ..record },
            ExitRecord { output: Output { amount: 6, ..record.output }, ..record },
            ExitRecord { key: 1_605, ..record },
        ];
        assert!(others.iter().all(|other| !coin.is_exit_of(other)));
        assert!(!CoinState::default().is_exit_of(&record));
    }
}
