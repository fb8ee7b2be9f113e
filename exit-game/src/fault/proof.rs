//! What a fault is proven with on the root chain. §3.

use alloc::vec::Vec;

use alloy_primitives::{B256, Bytes};

use super::{HeldKey, Rule, SpentCoin};
use crate::block::Header;
use crate::exit::contract::InclusionProof;
use crate::exit::standard::ExitRecord;
use crate::output::{DEPOSIT_FIELDS_LEN, Deposit, Output, OutputId, TxHash};
use crate::position::BlockNumber;
use crate::transaction::{OUTPUTS_MAX, Transaction};

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
    pub(super) fn is_otherwise(&self, output_id: OutputId, nonce: u64) -> bool {
        if let Some(deposit) = self.deposit() {
            return self.index != nonce && deposit.output_id() == output_id;
        }
        let index = u8::try_from(self.index).ok().filter(|&index| usize::from(index) < OUTPUTS_MAX);
        let tx_hash = B256::try_from(&self.fields[..]).ok().map(TxHash);
        tx_hash.zip(index).is_some_and(|(tx_hash, index)| OutputId::of_output(tx_hash, index) == output_id)
    }

    /// Returns the deposit, if the fields are as long as a deposit's: no body is as short.
    pub(crate) fn deposit(&self) -> Option<Deposit> {
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
    /// R8: the unspent tree holds a coin that this or an earlier block spends.
    HeldSpent {
        /// What the tree holds.
        held: HeldKey,
        /// The coin, whose value that is, with its spend.
        spent: SpentCoin,
    },
    /// R8: the unspent tree holds under a position of the child chain what was not made there, in this block or before.
    HeldNotMade {
        /// What the tree holds.
        held: HeldKey,
        /// What stands at that place; not read if its block is later.
        origin: Origin,
    },
    /// R8: the unspent tree holds under a deposit's position what that deposit did not make, or one that the block does not
    /// cover.
    HeldNotDeposited {
        /// What the tree holds.
        held: HeldKey,
        /// The deposit with that nonce; not read if the block does not cover it.
        creation: Creation,
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
            Self::HeldSpent { .. } | Self::HeldNotMade { .. } | Self::HeldNotDeposited { .. } => Rule::R8,
        }
    }

    /// Returns the block that it accuses; of two spends the later one's.
    #[must_use]
    pub fn accused(&self) -> BlockNumber {
        self.accused_header().number
    }

    pub(super) fn accused_header(&self) -> &Header {
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
            Self::HeldSpent { held, .. } | Self::HeldNotMade { held, .. } | Self::HeldNotDeposited { held, .. } => {
                &held.header
            }
        }
    }
}
