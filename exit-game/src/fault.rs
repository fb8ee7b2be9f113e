//! R1–R9: how a transaction or an unspent tree breaks a block, with the whereabouts of the evidence. §3.
//!
//! [`evidence`] makes of a [`Fault`], which is a transaction's, a [`FaultProof`], complete and good for the root chain;
//! [`check`] gives the contract's verdict on it.
//!
//! R8 and R9 are about the unspent tree as a whole; [`BlockVerdict`](crate::ledger::BlockVerdict) says when it is wrong,
//! [`difference`] finds the coin that makes it so, and [`held_evidence`] proves what it must not hold. What it lacks is
//! claimed with a [`ShownCoin`], and answered with a membership or a [`SpentCoin`].

mod court;
mod evidence;
mod held;
mod proof;
mod unspent;

use core::fmt;

use alloy_primitives::{Address, U256};

use crate::output::OutputId;
use crate::position::{Place, Position};
use crate::transaction::PlacedTransactionError;

pub use self::court::{OpenInFlightExit, RootState, check};
pub use self::evidence::{BlockData, LeafData, double_spend, evidence};
pub(crate) use self::held::is_held;
pub use self::held::{HeldKey, ShownCoin, SpentCoin};
pub use self::proof::{Creation, FaultProof, Origin, ShownBody, ShownLeaf};
pub use self::unspent::{Difference, difference, held_evidence, shown_coin, spent_coin};

/// A rule of §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Body or witness is not canonical.
    R1,
    /// An input refers to its own or a later place.
    R2,
    /// An input does not exist where the placement says.
    R3,
    /// The signature is not the owner's.
    R4,
    /// Inputs and outputs do not balance.
    R5,
    /// A coin is spent twice.
    R6,
    /// A frozen coin is spent.
    R7,
    /// The unspent tree holds what it must not.
    R8,
    /// The unspent tree lacks a coin that it must hold.
    R9,
}

impl Rule {
    /// Returns the number in its name, by which the contract calls it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::R1 => 1,
            Self::R2 => 2,
            Self::R3 => 3,
            Self::R4 => 4,
            Self::R5 => 5,
            Self::R6 => 6,
            Self::R7 => 7,
            Self::R8 => 8,
            Self::R9 => 9,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// That a block was convicted, or a receipt for it slashed. §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conviction {
    /// Number of the root block that holds the first proof.
    pub root_block: u64,
    /// What waits for who announced evidence at least two root blocks before that one, in wei.
    pub reward: u128,
}

/// What is wrong with a transaction in its place. `input` is always an index into the transaction's inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// R1: the leaf's preimage does not decode.
    #[error("R1: the leaf is not canonical")]
    NotCanonical(#[from] PlacedTransactionError),
    /// R2: the placement names this place or a later one.
    #[error("R2: input {input} is placed at {placement}, which is not before this transaction")]
    NotBefore {
        /// Which input.
        input: usize,
        /// The position it is said to come from.
        placement: Position,
    },
    /// R3: no such coin stands where the placement says.
    #[error("R3: input {input} ({output_id}) was not made at {placement}")]
    NoSuchInput {
        /// Which input.
        input: usize,
        /// The coin.
        output_id: OutputId,
        /// The position it is said to come from.
        placement: Position,
    },
    /// R4: the signature does not recover to the owner.
    #[error("R4: input {input} belongs to {owner}, who did not sign")]
    NotSignedByOwner {
        /// Which input.
        input: usize,
        /// Whose coin it is.
        owner: Address,
        /// Who signed, if anybody did.
        signer: Option<Address>,
    },
    /// R5: value is made or lost.
    #[error("R5: {inputs} of asset {asset} go in but {outputs} come out")]
    Unbalanced {
        /// The asset.
        asset: Address,
        /// Sum of the inputs, in base units.
        inputs: U256,
        /// Sum of the outputs, in base units.
        outputs: U256,
    },
    /// R6: an earlier transaction spends the same coin.
    #[error("R6: input {input} ({output_id}) was spent before by {first}")]
    DoubleSpend {
        /// Which input.
        input: usize,
        /// The coin.
        output_id: OutputId,
        /// Where it was spent first.
        first: Place,
    },
    /// R7: the coin was frozen before the block's timestamp.
    #[error("R7: input {input} ({output_id}) was frozen at {freeze}")]
    Frozen {
        /// Which input.
        input: usize,
        /// The coin.
        output_id: OutputId,
        /// When it froze, in seconds.
        freeze: u64,
    },
}

impl Fault {
    /// Returns the rule that is broken.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::NotCanonical(_) => Rule::R1,
            Self::NotBefore { .. } => Rule::R2,
            Self::NoSuchInput { .. } => Rule::R3,
            Self::NotSignedByOwner { .. } => Rule::R4,
            Self::Unbalanced { .. } => Rule::R5,
            Self::DoubleSpend { .. } => Rule::R6,
            Self::Frozen { .. } => Rule::R7,
        }
    }
}
