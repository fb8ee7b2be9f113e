//! What this watcher says of a committed block, and where the evidence is. §3, §7.

use std::fmt;

use alloy_primitives::B256;
use plasmid_exit_game::fault::{Fault, Rule};
use plasmid_exit_game::position::{Place, PositionKind, TxIndex};
use plasmid_node::wire::Verdict;
use serde::{Deserialize, Serialize};

/// What a watcher says of a block under one commitment. Kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "verdict", deny_unknown_fields)]
pub enum Finding {
    /// Every rule holds, and so for all blocks before.
    Valid,
    /// A rule is broken; the evidence is at hand.
    Invalid(Breach),
    /// It was convicted on the root chain, or a block before it. Lasts as long as the conviction, and is kept nowhere.
    Void,
    /// Nothing can be proven, but no coin of it can be relied on. Stays, whatever is served later.
    Withheld(Withholding),
    /// Not judged yet, or an earlier block is not valid.
    Unknown,
}

impl Finding {
    /// Returns whether coins of this block, and of those after it, cannot be relied on.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Void | Self::Withheld(_) => true,
            Self::Valid | Self::Unknown => false,
        }
    }

    /// Returns what was not served in time, if this is such a mark: nothing that is served later takes it away.
    #[must_use]
    pub fn mark(&self) -> Option<Withholding> {
        match self {
            Self::Withheld(missing @ (Withholding::Body | Withholding::Preimage { .. })) => Some(*missing),
            Self::Withheld(Withholding::UnspentRoot { .. })
            | Self::Valid
            | Self::Invalid(_)
            | Self::Void
            | Self::Unknown => None,
        }
    }

    /// Returns the word for it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Valid => Verdict::Valid,
            Self::Invalid(_) | Self::Void => Verdict::Invalid,
            Self::Withheld(_) => Verdict::Withheld,
            Self::Unknown => Verdict::Unknown,
        }
    }
}

/// A broken rule with the whereabouts of its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Breach {
    /// `R1` to `R7`.
    pub rule: String,
    /// Index of the transaction that breaks it.
    pub index: u32,
    /// Which of its inputs, where the rule is about one.
    pub input: Option<usize>,
    /// Block and index of the other transaction that the evidence needs: where the input is said to be made, or was first
    /// spent.
    pub other: Option<Whereabouts>,
    /// What is wrong, in words.
    pub what: String,
}

/// A place in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Whereabouts {
    /// Number of the block.
    pub block: u64,
    /// The transaction's index in it.
    pub index: u32,
}

impl From<Place> for Whereabouts {
    fn from(place: Place) -> Self {
        Self { block: place.block.get(), index: place.index.get() }
    }
}

impl Breach {
    /// Returns the breach that `fault` is in the transaction at `index`.
    #[must_use]
    pub fn new(index: TxIndex, fault: &Fault) -> Self {
        let (input, other) = match fault {
            Fault::NotCanonical(_) | Fault::Unbalanced { .. } => (None, None),
            Fault::NotSignedByOwner { input, .. } | Fault::Frozen { input, .. } => (Some(*input), None),
            Fault::NotBefore { input, placement } | Fault::NoSuchInput { input, placement, .. } => {
                let place = match placement.kind() {
                    PositionKind::Deposit(_) => None,
                    PositionKind::Output(place, _) => Some(place),
                };
                (Some(*input), place)
            }
            Fault::DoubleSpend { input, first, .. } => (Some(*input), Some(*first)),
        };
        Self {
            rule: fault.rule().to_string(),
            index: index.get(),
            input,
            other: other.map(Whereabouts::from),
            what: fault.to_string(),
        }
    }

    /// Returns whether this rule is broken.
    #[must_use]
    pub fn is_of(&self, rule: Rule) -> bool {
        self.rule == rule.to_string()
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {}: {}", self.index, self.what)
    }
}

/// What is missing of a withheld block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "missing", deny_unknown_fields)]
pub enum Withholding {
    /// The body was not served in time.
    Body,
    /// The preimage of a leaf was not served in time.
    Preimage {
        /// Index of the first such leaf.
        index: u32,
    },
    /// The bodies give another unspent root than the header has.
    #[serde(rename_all = "camelCase")]
    UnspentRoot {
        /// The root that they give.
        computed: B256,
    },
}

impl fmt::Display for Withholding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("its body was not served in time"),
            Self::Preimage { index } => write!(f, "the preimage of leaf {index} was not served in time"),
            Self::UnspentRoot { computed } => {
                write!(f, "the bodies give the unspent root {computed}, not the header's")
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::Invalid(breach) => write!(f, "invalid: {breach}"),
            Self::Void => f.write_str("void: it was convicted"),
            Self::Withheld(withholding) => write!(f, "withheld: {withholding}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
