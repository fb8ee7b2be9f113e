//! What the root chain says: its blocks and the contract's events, as plain values.
//!
//! The adapter to the root chain makes them, [`Game`](crate::game::Game) takes them in. Every field is as hostile as the
//! node that it came from; a [`RootEvent`] is well-formed, nothing more.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::block::Header;
use crate::exit::in_flight::{Decision, InFlightData, Piece, PieceSet, SignedTransaction};
use crate::exit::standard::ExitRecord;
use crate::fault::Rule;
use crate::output::{Deposit, OutputId, TxHash};
use crate::position::{BlockNumber, Place, Position};

/// A root-chain block's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootRef {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

impl fmt::Display for RootRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "root block {} ({})", self.number, self.hash)
    }
}

/// A root-chain block with what the contract did in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootBlock {
    /// Number and hash.
    pub at: RootRef,
    /// Hash of the block before it.
    pub parent: B256,
    /// Its timestamp, in seconds: the protocol's *now*.
    pub timestamp: u64,
    /// The contract's events, in log order.
    pub events: Vec<RootEvent>,
}

/// An event of the contract. Named and filled as in the interfaces under `contracts/src/interfaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootEvent {
    /// A deposit was taken. §2.
    Deposited(Deposit),
    /// An address was fixed as an asset of one standard. §1.2.
    AssetRecorded {
        /// The asset.
        asset: Address,
    },
    /// A block was committed. §2.
    BlockSubmitted(Header),
    /// A standard exit was started. §5.2.
    StandardExitStarted(ExitRecord),
    /// A standard exit was ended by a spend of its coin. §5.2.
    StandardExitChallenged {
        /// The coin.
        output_id: OutputId,
        /// Who got the bond.
        challenger: Address,
        /// Body of the transaction that spends the coin.
        spend: Bytes,
        /// Its owner's signature, 64 bytes.
        signature: Bytes,
    },
    /// The claim to an exit was handed on. §5.2.
    ExitAssigned {
        /// The coin.
        output_id: OutputId,
        /// Who is paid now.
        payee: Address,
    },
    /// An exit was paid and its coin settled. §5.2.
    ExitPaid {
        /// The coin.
        output_id: OutputId,
        /// Who was paid.
        payee: Address,
        /// What the coin is worth.
        amount: u128,
        /// What was paid; less where the asset could not cover it.
        paid: u128,
        /// Whether the payment failed and waits to be claimed.
        credited: bool,
    },
    /// The turn of an exit came that is void or whose coin was settled before. §5.1.
    ExitReturned {
        /// The coin.
        output_id: OutputId,
        /// Who got the bond back.
        payee: Address,
    },
    /// The head of an asset's list moved. §4.
    ExitKeysCleared {
        /// The asset.
        asset: Address,
        /// The first key now, 0 for none.
        head: u64,
    },
    /// A payment failed and is held for the account. §5.2.
    Credited {
        /// Whose it is.
        account: Address,
        /// In which asset.
        asset: Address,
        /// How much.
        amount: U256,
    },
    /// A credit was paid out. §2.
    Claimed {
        /// Whose it was.
        account: Address,
        /// In which asset.
        asset: Address,
        /// Where it went.
        to: Address,
        /// How much.
        amount: U256,
    },
    /// A step of an in-flight exit. §6.
    InFlight {
        /// The exit's transaction.
        tx_hash: TxHash,
        /// What happened.
        step: Box<InFlightStep>,
    },
    /// Evidence was announced that nobody has seen. §3.
    FaultAnnounced {
        /// `H(accuser ‖ H(calldata of the proving call))`.
        announcement: B256,
    },
    /// A block was proven invalid: it and all later ones are void. §3.
    FaultProven {
        /// The block.
        number: BlockNumber,
        /// The rule that it breaks.
        rule: Rule,
        /// Who proved it.
        accuser: Address,
        /// Hash of the proving call's calldata.
        evidence: B256,
        /// What the operator's bond lost, in wei.
        slashed: U256,
    },
    /// The reward for a conviction was paid. §3.
    FaultRewarded {
        /// The block that was convicted.
        number: BlockNumber,
        /// Who had announced the evidence.
        accuser: Address,
        /// Wei.
        amount: U256,
    },
    /// A receipt for a block was proven broken. §3.
    ReceiptSlashed {
        /// The block.
        number: BlockNumber,
        /// Who proved it.
        accuser: Address,
        /// Hash of the proving call's calldata.
        evidence: B256,
        /// What the operator's bond lost, in wei.
        slashed: U256,
    },
    /// The reward for a broken receipt was paid. §3.
    ReceiptRewarded {
        /// The block that the receipt was for.
        number: BlockNumber,
        /// Who had announced the evidence.
        accuser: Address,
        /// Wei.
        amount: U256,
    },
    /// Somebody said, with a bond, that a block's unspent tree lacks a coin. R9.
    MissingClaimed {
        /// The block.
        number: BlockNumber,
        /// Where the coin was made.
        position: Position,
        /// The coin.
        output_id: OutputId,
        /// What the tree must hold there. §1.8.
        value: B256,
        /// Who said so.
        claimant: Address,
    },
    /// A claim was answered. R9.
    MissingAnswered {
        /// The block.
        number: BlockNumber,
        /// Where the coin was made.
        position: Position,
        /// Who did, and has the claim's bond.
        answerer: Address,
    },
    /// A claim that nobody answered convicted its block; the conviction's own events follow. R9.
    MissingConvicted {
        /// The block.
        number: BlockNumber,
        /// Where the coin was made.
        position: Position,
        /// Who has bond and reward.
        claimant: Address,
    },
    /// A claim lost its object: the block is void, or can be convicted no more. R9.
    MissingReturned {
        /// The block.
        number: BlockNumber,
        /// Where the coin was made.
        position: Position,
        /// Who has the bond back.
        claimant: Address,
    },
    /// A coin was withdrawn after the chain's end, and settled. §8.
    CoinWithdrawn {
        /// The coin.
        output_id: OutputId,
        /// Who was paid.
        payee: Address,
        /// In which asset.
        asset: Address,
        /// What the coin is worth.
        amount: u128,
        /// What was paid; less where the asset could not cover it.
        paid: u128,
        /// Whether the payment failed and waits to be claimed.
        credited: bool,
    },
    /// The operator's bond grew. §3.
    BondFunded {
        /// Who paid.
        funder: Address,
        /// Wei for the part that faults take.
        fault_part: u128,
        /// Wei for the part that broken receipts take.
        receipt_part: u128,
    },
    /// What was left of the operator's bond was withdrawn. §3.
    BondWithdrawn {
        /// Who was paid.
        to: Address,
        /// Wei.
        amount: U256,
    },
    /// The operator proposed who comes after it. §2.
    OperatorProposed {
        /// Who; zero takes a proposal back.
        next: Address,
    },
    /// Another key is the operator's from a block on. §2.
    OperatorAccepted {
        /// The key.
        operator: Address,
        /// Its first block.
        first_block: BlockNumber,
    },
    /// The chain was closed. §8.
    ChainClosed,
}

/// A step of an in-flight exit: what its event tells beside the transaction's hash. §6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InFlightStep {
    /// It was started. §6.1.
    Started {
        /// What the contract keeps the hash of: as many inputs as the transaction has, with the same names.
        data: InFlightData,
        /// When, in seconds.
        start: u64,
        /// When its pieces can be paid, in seconds, and their place in the order of exits. §4.
        key: u64,
        /// The transaction, whose hash is the exit's.
        transaction: SignedTransaction,
    },
    /// Older places of some inputs were shown. §6.1.
    Improved {
        /// Its key from now on, in seconds.
        key: u64,
        /// Its data from now on.
        data: InFlightData,
    },
    /// Pieces of one asset were claimed by their owner. §6.2.
    Piggybacked {
        /// Who.
        owner: Address,
        /// Of which asset.
        asset: Address,
        /// Which.
        pieces: PieceSet,
    },
    /// A competitor was shown, whose place is now the oldest; the challenger's bond is held. §6.3.
    CanonicityChallenged {
        /// Who did.
        challenger: Address,
        /// The competitor's place; `None` if no valid block is known to include it.
        place: Option<Place>,
        /// The competitor.
        competitor: SignedTransaction,
    },
    /// The exit's transaction was shown at a place that is now the oldest. §6.4.
    CanonicityAnswered {
        /// Who did, and has the challenger's bond if one was held.
        responder: Address,
        /// The place.
        place: Place,
    },
    /// A live piece was removed by a spend of its coin. §6.5.
    PieceChallenged {
        /// Who did, and has its bond.
        challenger: Address,
        /// Which.
        piece: Piece,
        /// Place of the spend for an input, of the exit's own transaction for an output.
        place: Place,
        /// The spend.
        spend: SignedTransaction,
    },
    /// The turn of its first piece came. The inputs of a canonical one are settled. §6.6.
    Decided(Decision),
    /// A piece was paid and its coin settled. §6.7.
    PiecePaid {
        /// The coin.
        output_id: OutputId,
        /// Who was paid.
        payee: Address,
        /// Which piece.
        piece: Piece,
        /// What the coin is worth.
        amount: u128,
        /// What was paid; less where the asset could not cover it.
        paid: u128,
        /// Whether the payment failed and waits to be claimed.
        credited: bool,
    },
    /// The turn of a piece came that pays nothing: it gave back its bond alone. §6.7.
    PieceReturned {
        /// The coin.
        output_id: OutputId,
        /// Who got the bond back.
        payee: Address,
        /// Which piece.
        piece: Piece,
    },
    /// It was closed: nothing of it is left. §6.8.
    Closed,
}
