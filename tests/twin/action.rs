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
    /// A conviction makes blocks void. §3.
    Halt {
        from: u64,
    },
    /// The sunset time is over. §8.
    CloseChain,
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
            | Self::Close { .. } => true,
            Self::Sign { .. }
            | Self::Halt { .. }
            | Self::CloseChain
            | Self::Behave { .. }
            | Self::TokenBehave { .. }
            | Self::TokenBlocks { .. } => false,
        }
    }
}
