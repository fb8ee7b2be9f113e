//! Why the contract refuses a call: the errors of the contract's interfaces that depend on its state and
//! the call alone.

use alloy_primitives::{Address, B256, U256};

use crate::exit::in_flight::{Decision, PieceSet};
use crate::facts::RootRef;
use crate::output::{OutputId, TxHash};
use crate::position::{BlockNumber, Position};

/// Why a call changed nothing. Named and filled as in the interfaces; a call is refused for the first reason that holds in
/// the contract's order.
///
/// Not among them: `Locked`, `NotEnoughGas` and `NotAToken`, which tell of re-entered calls, gas and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Revert {
    /// The parameters contradict the protocol text.
    #[error("the parameters contradict the protocol")]
    InvalidParameters,
    /// The chain takes no more deposits or blocks. §3, §8.
    #[error("the chain is halted or closed")]
    ChainStopped {
        /// First void block.
        halted_from: Option<BlockNumber>,
        /// When the chain was closed, in seconds.
        closed_at: Option<u64>,
    },
    /// An owner or a payee is the zero address.
    #[error("the zero address owns nothing and is paid nothing")]
    ZeroAddress,
    /// A deposit's amount is zero, or does not fit into 128 bits.
    #[error("a deposit of {amount} is out of range")]
    AmountOutOfRange {
        /// Base units of the asset.
        amount: U256,
    },
    /// All nonces are taken.
    #[error("no deposit has a nonce left")]
    DepositsExhausted,
    /// The deposit would lift what an asset owes out of its range.
    #[error("{asset} would owe {total}")]
    AssetTotalExceeded {
        /// The asset.
        asset: Address,
        /// What it would owe, in base units.
        total: U256,
    },
    /// The caller is not the operator of the block.
    #[error("{caller} is not the operator")]
    NotOperator {
        /// Who called.
        caller: Address,
    },
    /// The block does not follow the last one.
    #[error("block {number} is not the next block {next_number}")]
    WrongBlockNumber {
        /// The number given.
        number: u64,
        /// The one expected.
        next_number: u64,
    },
    /// More than 2^20 transactions, or a count and a root of which only one is zero.
    #[error("{tx_count} transactions under the root {tx_root}")]
    WrongTxCount {
        /// The count given.
        tx_count: u32,
        /// The root given.
        tx_root: B256,
    },
    /// Fewer deposits than the last block covers, or more than there are.
    #[error("{deposit_count} deposits are not between {covered} and {made}")]
    WrongDepositCount {
        /// The count given.
        deposit_count: u64,
        /// What the last block covers.
        covered: u64,
        /// How many there are.
        made: u64,
    },
    /// The root block is not later than the last child-chain block.
    #[error("the root block's time {timestamp} is not after the last block's {last_timestamp}")]
    TimestampNotLater {
        /// Seconds.
        timestamp: u64,
        /// Seconds.
        last_timestamp: u64,
    },
    /// The operator wanted the block earlier or not at all.
    #[error("the block was wanted by {not_after}, and it is {timestamp}")]
    SubmittedTooLate {
        /// Seconds.
        timestamp: u64,
        /// Seconds.
        not_after: u64,
    },
    /// The anchor is not among the last 256 root blocks of this branch.
    #[error("{anchor} is not on this branch, or too old")]
    UnknownAnchor {
        /// The root block named.
        anchor: RootRef,
    },
    /// The value sent is not the bond.
    #[error("{sent} wei are not the bond of {bond}")]
    WrongBond {
        /// Wei.
        sent: U256,
        /// Wei.
        bond: U256,
    },
    /// The body is not canonical. §1.5.
    #[error("the body is not canonical")]
    NotCanonical,
    /// The transaction makes fewer outputs.
    #[error("the transaction has no output {output_index}")]
    NoSuchOutput {
        /// The index asked for.
        output_index: u8,
    },
    /// The header is not that of a committed block.
    #[error("the header of block {number} is not the committed one")]
    UnknownHeader {
        /// The number in the header.
        number: BlockNumber,
    },
    /// The block is void. §3.
    #[error("block {number} is void")]
    VoidBlock {
        /// Its number.
        number: BlockNumber,
    },
    /// The proof does not show the transaction at this index of the block.
    #[error("the proof does not show the transaction at index {index} of block {number}")]
    NotIncluded {
        /// The block.
        number: BlockNumber,
        /// The index in it.
        index: u32,
    },
    /// No deposit with these fields was taken.
    #[error("no deposit made {output_id}")]
    NotADeposit {
        /// The id that these fields have.
        output_id: OutputId,
    },
    /// The caller does not own the coin.
    #[error("{caller} is not the owner {owner}")]
    NotOwner {
        /// Who called.
        caller: Address,
        /// Whose the coin is.
        owner: Address,
    },
    /// The coin is exiting.
    #[error("{output_id} is exiting already")]
    AlreadyExiting {
        /// The coin.
        output_id: OutputId,
    },
    /// The coin was settled.
    #[error("{output_id} was settled and froze at {freeze}")]
    AlreadySettled {
        /// The coin.
        output_id: OutputId,
        /// Seconds.
        freeze: u64,
    },
    /// The record is not that of a pending exit.
    #[error("the record is not that of a pending exit of {output_id}")]
    NotExiting {
        /// The coin.
        output_id: OutputId,
    },
    /// The body and signature are not a spend of the coin by its owner.
    #[error("this does not spend {output_id}")]
    NotASpend {
        /// The coin.
        output_id: OutputId,
    },
    /// The caller is not whom the exit pays.
    #[error("{caller} is not the payee {payee}")]
    NotPayee {
        /// Who called.
        caller: Address,
        /// Who is paid.
        payee: Address,
    },
    /// The caller has no credit in this asset.
    #[error("{account} has no credit in {asset}")]
    NothingToClaim {
        /// Who called.
        account: Address,
        /// The asset.
        asset: Address,
    },
    /// The credit could not be paid to this address.
    #[error("{amount} of {asset} could not be paid to {to}")]
    ClaimFailed {
        /// The asset.
        asset: Address,
        /// Where it was to go.
        to: Address,
        /// Base units.
        amount: U256,
    },
    /// An exit of this transaction is open. §6.1.
    #[error("an in-flight exit of {tx_hash} is open")]
    AlreadyOpen {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// No exit of this transaction is open.
    #[error("no in-flight exit of {tx_hash} is open")]
    NotOpen {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// Not as many proofs as inputs to prove.
    #[error("{proofs} proofs for {inputs} inputs")]
    WrongProofCount {
        /// How many were given.
        proofs: usize,
        /// How many were asked for.
        inputs: usize,
    },
    /// What was shown did not make the input at this position.
    #[error("this did not make {output_id} at {position:#x}")]
    NotTheInput {
        /// The input.
        output_id: OutputId,
        /// The 64 bits that were given as its position.
        position: u64,
    },
    /// Two inputs have different owners. §1.5.
    #[error("{owner} and {other} own inputs")]
    SeveralOwners {
        /// The first input's owner.
        owner: Address,
        /// Another's.
        other: Address,
    },
    /// The inputs' owner did not sign the transaction.
    #[error("the owner of its inputs did not sign {tx_hash}")]
    NotSigned {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// Inputs and outputs of an asset differ in their sums. R5.
    #[error("{tx_hash} makes or loses value")]
    Unbalanced {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// The data are not those of the open exit.
    #[error("these are not the data of the in-flight exit of {tx_hash}")]
    WrongData {
        /// The exit's transaction.
        tx_hash: TxHash,
    },
    /// The exit's first half is over.
    #[error("the first half was over at {end}, and it is {timestamp}")]
    FirstHalfOver {
        /// Seconds.
        timestamp: u64,
        /// Seconds.
        end: u64,
    },
    /// The place shown is not older than the oldest known.
    #[error("the place {shown:#x} is not older than {oldest:#x}")]
    NotOlder {
        /// The place or position shown, as the contract writes it.
        shown: u64,
        /// The one known.
        oldest: u64,
    },
    /// No place shown is older than the one known.
    #[error("no place shown is older than the one known")]
    NothingOlder,
    /// No piece is named.
    #[error("no piece is named")]
    NoPieces,
    /// The transaction has no such input or output.
    #[error("the transaction has no piece {piece}")]
    NoSuchPiece {
        /// The number asked for.
        piece: u8,
    },
    /// The piece is piggybacked already.
    #[error("the piece {piece} is piggybacked already")]
    PieceLive {
        /// Its number.
        piece: u8,
    },
    /// The piece is not piggybacked, challenged away, or paid.
    #[error("the piece {piece} is not live")]
    PieceNotLive {
        /// Its number.
        piece: u8,
    },
    /// The pieces are of two assets.
    #[error("the pieces are of {asset} and {other}")]
    SeveralAssets {
        /// The first piece's asset.
        asset: Address,
        /// Another's.
        other: Address,
    },
    /// The transaction shown against the exit is the exit's own.
    #[error("{tx_hash} is the exit's own transaction")]
    OwnTransaction {
        /// The transaction.
        tx_hash: TxHash,
    },
    /// There is no place to better: the exit is canonical as it stands. §6.4.
    #[error("nothing was shown against {tx_hash}")]
    NothingToAnswer {
        /// The exit's transaction.
        tx_hash: TxHash,
    },
    /// The exit is decided.
    #[error("the in-flight exit of {tx_hash} is decided: {decision:?}")]
    AlreadyDecided {
        /// The exit's transaction.
        tx_hash: TxHash,
        /// How.
        decision: Decision,
    },
    /// The block comes after the inputs' freeze. §6.5.
    #[error("the block of {timestamp} comes after the freeze at {freeze}")]
    IncludedTooLate {
        /// Seconds.
        timestamp: u64,
        /// Seconds.
        freeze: u64,
    },
    /// Pieces wait for their turn. §6.8.
    #[error("the pieces {:#x} are live", pieces.bits())]
    PiecesLive {
        /// Which.
        pieces: PieceSet,
    },
    /// The exit cannot be closed yet. §6.8.
    #[error("it is {timestamp}, and the exit cannot be closed before {earliest}")]
    TooEarly {
        /// Seconds.
        timestamp: u64,
        /// Seconds.
        earliest: u64,
    },
    /// Evidence was announced before, the same by the same.
    #[error("{announcement} was announced before")]
    AlreadyAnnounced {
        /// The announcement.
        announcement: B256,
    },
    /// The evidence is sound and shows no fault of this kind. §3.
    #[error("this shows no fault")]
    NotAFault,
    /// The time to convict the block is over. §3.
    #[error("evidence counted until {until}")]
    TooLateToProve {
        /// Seconds.
        until: u64,
    },
    /// The witness is not the one whose hash the leaf has.
    #[error("this is not the leaf's witness")]
    NotTheWitness,
    /// The transaction has fewer inputs.
    #[error("the transaction has no input {input}")]
    NoSuchInput {
        /// The index asked for.
        input: u8,
    },
    /// Header, leaf or preimage is not what stands where the placement says.
    #[error("this is not what stands where the placement says")]
    NotTheOrigin,
    /// The fields are not those that made the coin.
    #[error("this did not make {output_id}")]
    NotTheCreation {
        /// The coin.
        output_id: OutputId,
    },
    /// Each input has one creation.
    #[error("{count} creations for {inputs} inputs")]
    WrongCreationCount {
        /// How many were shown.
        count: usize,
        /// How many were asked for.
        inputs: usize,
    },
    /// The block was convicted, and its reward is not this caller's or is paid.
    #[error("block {number} was convicted before")]
    AlreadyConvicted {
        /// The block.
        number: BlockNumber,
    },
    /// The receipt promises nothing. §3.
    #[error("the receipt promises nothing")]
    NotAPromise,
    /// The receipt is not signed with the operator's key for its block.
    #[error("the receipt is signed by {signer}, not by the operator {operator}")]
    NotSignedByOperator {
        /// Who signed, zero for nobody.
        signer: Address,
        /// Whose key it is.
        operator: Address,
    },
    /// The receipt is kept, as far as is shown.
    #[error("this breaks no receipt")]
    NotBroken,
    /// A receipt for this block was slashed, and the reward is not this caller's or is paid.
    #[error("a receipt for block {number} was slashed before")]
    AlreadySlashed {
        /// The block.
        number: BlockNumber,
    },
    /// A part of the operator's bond is below one slash. §3.
    #[error("the operator's bond of {fault_part} and {receipt_part} wei is short")]
    BondShort {
        /// Wei.
        fault_part: u128,
        /// Wei.
        receipt_part: u128,
    },
    /// The parts are not what was sent.
    #[error("{sent} wei are not the parts' {parts}")]
    WrongParts {
        /// Wei.
        sent: U256,
        /// Wei.
        parts: U256,
    },
    /// The bond stays until 2 MEP after the chain was closed, and for ever once it is halted.
    #[error("the bond is locked")]
    BondLocked,
    /// Another key's first block is not yet the next one. §2.
    #[error("another key takes over at block {first_block}")]
    RotationPending {
        /// That block.
        first_block: u64,
    },
    /// The caller is not whom the operator proposed.
    #[error("{caller} is not proposed")]
    NotProposed {
        /// Who called.
        caller: Address,
    },
    /// A new key's first block is more than 300 above the next number, and below 2^39. §2.
    #[error("a key cannot take over at block {first_block} while the next one is {next_number}")]
    WrongFirstBlock {
        /// The number given.
        first_block: u64,
        /// The next block's.
        next_number: u64,
    },
    /// The operator has until then to commit a block. §8.
    #[error("the operator has until {sunset_at}")]
    NotYetSunset {
        /// Seconds.
        sunset_at: u64,
    },
    /// The proof does not show that the tree holds the value. §1.8.
    #[error("this does not show that the tree holds the value")]
    NotHeld,
    /// The value is not that of the output shown. §1.8.
    #[error("this is not the preimage of the tree's value")]
    NotTheValue,
    /// What is shown is later than what the block has.
    #[error("{shown} is later than {number}")]
    LaterBlock {
        /// A block's number, or a deposit's nonce.
        shown: u64,
        /// The block, or how many deposits it covers.
        number: u64,
    },
    /// Claims against the block counted until then. R9.
    #[error("claims counted until {until}")]
    TooLateToClaim {
        /// Seconds.
        until: u64,
    },
    /// The coin was claimed missing from this block before. R9.
    #[error("a coin at {position} was claimed missing from block {number} before")]
    AlreadyClaimed {
        /// The block.
        number: BlockNumber,
        /// Where the coin was made.
        position: Position,
    },
    /// No such claim is open. R9.
    #[error("no claim is open that block {number} lacks a coin at {position:#x}")]
    NotClaimed {
        /// The block.
        number: BlockNumber,
        /// The 64 bits that were given as the coin's position.
        position: u64,
    },
    /// Answers to the claim counted until then. R9.
    #[error("answers counted until {until}")]
    TooLateToAnswer {
        /// Seconds.
        until: u64,
    },
    /// The claim can be answered until then. R9.
    #[error("the claim can be answered until {from}")]
    TooEarlyToConvict {
        /// Seconds.
        from: u64,
    },
    /// The block can be convicted by the claim until then. R9.
    #[error("the claim counts until {until}")]
    ClaimRuns {
        /// Seconds.
        until: u64,
    },
    /// The chain is neither halted nor closed. §8.
    #[error("the chain is neither halted nor closed")]
    StillRunning,
    /// Coins can be withdrawn from then on. §8.
    #[error("coins can be withdrawn from {from} on")]
    NotYetSettling {
        /// Seconds.
        from: u64,
    },
    /// The header is not that of the last block that is not void. §8.
    #[error("block {shown} is not the last good one, which is {last}")]
    NotTheLastBlock {
        /// The number in the header.
        shown: BlockNumber,
        /// The last good block's.
        last: BlockNumber,
    },
    /// Exits of this asset come first. §8.
    #[error("exits of {asset} under the key {key} come first")]
    ExitsPending {
        /// The asset.
        asset: Address,
        /// Seconds.
        key: u64,
    },
    /// The last good block covers the deposit: its tree says whether it is unspent. §8.
    #[error("the last good block covers deposit {nonce}")]
    DepositCovered {
        /// The deposit's.
        nonce: u64,
    },
}
