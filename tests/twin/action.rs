//! What happens in a sequence, in words that outlive its shortening: things are named by the step that made them.

use serde::{Deserialize, Serialize};

/// The number of the step that made something.
pub(crate) type Label = u32;

/// One step, as a line of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) id: Label,
    /// Root-chain time, in seconds; never earlier than that of the step before.
    pub(crate) at: u64,
    pub(crate) action: Action,
    /// Spoils one thing that the call carries: which, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spoil: Option<(u32, u32)>,
}

/// A coin: a deposit, or an output of a transaction, by the step that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct CoinRef {
    pub(crate) made_by: Label,
    pub(crate) output: u8,
}

/// What is done. Accounts and assets are numbers of the [`World`](crate::world::World); `wei` is what is sent beside or short
/// of the bond; places are numbers of a transaction's inclusions, modulo how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    Deposit {
        by: u8,
        owner: u8,
        asset: u8,
        amount: u128,
    },
    /// Signs a transaction; the root chain hears nothing of it.
    Sign {
        signer: u8,
        inputs: Vec<CoinRef>,
        outputs: Vec<(u8, u8, u128)>,
        memo: u8,
    },
    /// A block of these transactions, with empty leaves between them, that covers all but so many deposits.
    Block {
        by: u8,
        txs: Vec<Option<Label>>,
        uncovered: u64,
        flaw: Flaw,
        /// How the unspent tree is not what the leaves make it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lie: Option<u32>,
        /// What is wrong with leaves: of which, and how.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        crooks: Vec<(u8, u32)>,
    },
    /// So many empty blocks, a second apart, by whoever is the operator.
    Blocks {
        count: u32,
    },
    StartStandard {
        by: u8,
        coin: CoinRef,
        place: u8,
        hint: u64,
        wei: i64,
    },
    ChallengeStandard {
        by: u8,
        exit: Label,
        spend: Label,
    },
    Assign {
        by: u8,
        exit: Label,
        payee: u8,
    },
    Process {
        by: u8,
        asset: u8,
        exits: Vec<Label>,
        pieces: Vec<(Label, u32)>,
    },
    Claim {
        by: u8,
        asset: u8,
        to: u8,
    },
    StartInFlight {
        by: u8,
        tx: Label,
        places: Vec<u8>,
        wei: i64,
    },
    Improve {
        by: u8,
        tx: Label,
        which: u32,
        places: Vec<u8>,
        hints: Vec<u64>,
    },
    Piggyback {
        by: u8,
        tx: Label,
        pieces: u32,
        hint: u64,
        wei: i64,
    },
    ChallengeCanonicity {
        by: u8,
        tx: Label,
        input: u8,
        competitor: Label,
        place: Option<u8>,
        wei: i64,
    },
    Respond {
        by: u8,
        tx: Label,
        place: u8,
    },
    ChallengePiece {
        by: u8,
        tx: Label,
        piece: u8,
        spend: Label,
        place: u8,
    },
    Close {
        by: u8,
        tx: Label,
    },
    /// Announces what `accuser` is going to show.
    Announce {
        by: u8,
        accuser: u8,
        what: Evidence,
    },
    Prove {
        by: u8,
        what: Evidence,
    },
    FundBond {
        by: u8,
        fault_part: u128,
        receipt_part: u128,
        wei: i64,
    },
    WithdrawBond {
        by: u8,
        to: u8,
    },
    ProposeOperator {
        by: u8,
        next: u8,
    },
    AcceptOperator {
        by: u8,
        first_block: u64,
    },
    CloseChain {
        by: u8,
    },
    /// Says that the unspent tree of a block lacks a coin, shown at one of its places.
    ClaimMissing {
        by: u8,
        block: u64,
        coin: CoinRef,
        place: u8,
        wei: i64,
    },
    /// Answers a claim by what its block's tree holds.
    AnswerMissing {
        by: u8,
        claim: Label,
    },
    AnswerMissingSpent {
        by: u8,
        claim: Label,
        coin: CoinRef,
        spend: Label,
        place: u8,
    },
    ConvictMissing {
        by: u8,
        claim: Label,
    },
    ReclaimMissing {
        by: u8,
        claim: Label,
    },
    /// Withdraws a coin by the tree of a block, which ought to be the last good one; 0 is no block.
    WithdrawSettled {
        by: u8,
        block: u64,
        coin: CoinRef,
        place: u8,
    },
    WithdrawDeposit {
        by: u8,
        block: u64,
        deposit: Label,
    },
    /// An account receives ether in another way from now on.
    Behave {
        who: u8,
        how: u8,
    },
    /// A token transfers in another way from now on.
    TokenBehave {
        token: u8,
        how: u8,
    },
    /// A token refuses an account, or does so no more.
    TokenBlocks {
        token: u8,
        who: u8,
        blocked: bool,
    },
}

/// What is shown against the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Evidence {
    Fault(Accusation),
    Receipt(ReceiptRef),
}

/// A leaf, or a key of an unspent tree, that is said to break a rule; what else the proof takes is looked up when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accusation {
    pub(crate) kind: Kind,
    /// Number of the block and index of the leaf or the key, modulo how many there are.
    pub(crate) place: (u64, u32),
    pub(crate) input: u8,
    /// The other spend's place.
    pub(crate) other: (u64, u32),
    /// Which of several things is shown, where there are several.
    pub(crate) nth: u8,
}

/// The provers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    NotCanonical,
    NotBefore,
    NotMade,
    NotDeposited,
    NotSigned,
    Unbalanced,
    DoubleSpend,
    Settled,
    Exiting,
    ExitingInFlight,
    HeldSpent,
    HeldNotMade,
    HeldNotDeposited,
}

impl Kind {
    pub(crate) const ALL: [Self; 13] = [
        Self::NotCanonical,
        Self::NotBefore,
        Self::NotMade,
        Self::NotDeposited,
        Self::NotSigned,
        Self::Unbalanced,
        Self::DoubleSpend,
        Self::Settled,
        Self::Exiting,
        Self::ExitingInFlight,
        Self::HeldSpent,
        Self::HeldNotMade,
        Self::HeldNotDeposited,
    ];
}

/// A receipt over a block's leaves with another one in between, and what is shown of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReceiptRef {
    pub(crate) number: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) by: u64,
    /// The index whose leaf is not the block's.
    pub(crate) altered: Option<u32>,
    /// The index that is shown.
    pub(crate) shown: u32,
    pub(crate) signer: u8,
    /// Whether the block's header is shown.
    pub(crate) with_header: bool,
}

/// What is wrong with a submitted block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flaw {
    None,
    Number,
    TxCount,
    DepositCount,
    NotAfter,
    Anchor,
}

impl Action {
    /// Returns whether the contract is called.
    pub(crate) fn is_call(&self) -> bool {
        match self {
            Self::Deposit { .. }
            | Self::Block { .. }
            | Self::StartStandard { .. }
            | Self::ChallengeStandard { .. }
            | Self::Assign { .. }
            | Self::Process { .. }
            | Self::Claim { .. }
            | Self::StartInFlight { .. }
            | Self::Improve { .. }
            | Self::Piggyback { .. }
            | Self::ChallengeCanonicity { .. }
            | Self::Respond { .. }
            | Self::ChallengePiece { .. }
            | Self::Close { .. }
            | Self::Announce { .. }
            | Self::Prove { .. }
            | Self::FundBond { .. }
            | Self::WithdrawBond { .. }
            | Self::ProposeOperator { .. }
            | Self::AcceptOperator { .. }
            | Self::CloseChain { .. }
            | Self::ClaimMissing { .. }
            | Self::AnswerMissing { .. }
            | Self::AnswerMissingSpent { .. }
            | Self::ConvictMissing { .. }
            | Self::ReclaimMissing { .. }
            | Self::WithdrawSettled { .. }
            | Self::WithdrawDeposit { .. } => true,
            Self::Sign { .. }
            | Self::Blocks { .. }
            | Self::Behave { .. }
            | Self::TokenBehave { .. }
            | Self::TokenBlocks { .. } => false,
        }
    }
}
