// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Position} from "../types/Position.sol";
import {IInFlightExits} from "./IInFlightExits.sol";

/// @title Plasmid on the root chain
/// @notice Takes deposits, records child-chain blocks and pays exits. `§` numbers cite the protocol text.
///
/// All times are seconds of root-chain time, all amounts base units of their asset. The asset with address zero is
/// ether. Every call that changes state is refused while another one runs.
interface IRootChain {
    // ------------------------------------------------------------------ data

    /// What a deployment fixes for ever. §2.
    struct Parameters {
        /// Commits every block.
        address operator;
        /// MEP, the least time between the start of an exit and its payment. Above zero.
        uint32 minimumExitPeriod;
        /// How long after the last block anyone may close the chain. At least MEP.
        uint32 sunset;
        /// Wei that a standard exit's owner puts up.
        uint128 exitBond;
        /// Part of a standard exit's bond that goes to whoever processes it.
        uint128 exitBounty;
        /// Wei that an in-flight exit's starter puts up, and a challenger of its canonicity.
        uint128 inFlightBond;
        /// Wei that a piece's owner puts up, and what each input of its transaction adds.
        uint128 pieceBond;
        uint128 pieceBondPerInput;
        /// Parts of them that go to whoever processes the piece.
        uint128 pieceBounty;
        uint128 pieceBountyPerInput;
        /// Wei that a conviction takes of the operator's bond, which has at least as much in its part for faults.
        uint128 faultSlash;
        /// Wei that a broken receipt takes, likewise.
        uint128 receiptSlash;
        /// Wei that whoever claims a coin missing from an unspent tree puts up.
        uint128 missingBond;
    }

    /// The parts of the contract that are code of their own, deployed with the same parameters.
    struct Facets {
        address inFlightExits;
        address faults;
        address operations;
        address unspentTree;
    }

    /// The periods that all deadlines derive from.
    struct Periods {
        uint64 minimumExitPeriod;
        /// G: exit keys are rounded up to it.
        uint64 granularity;
        /// F: the freeze delay.
        uint64 freezeDelay;
        /// Within it an operator serves the bodies of a block that it has committed.
        uint64 grace;
        uint64 sunset;
    }

    /// What the calls of the exit game cost in wei.
    struct Bonds {
        uint128 exitBond;
        uint128 exitBounty;
        uint128 inFlightBond;
        uint128 pieceBond;
        uint128 pieceBondPerInput;
        uint128 pieceBounty;
        uint128 pieceBountyPerInput;
        uint128 faultSlash;
        uint128 receiptSlash;
        uint128 missingBond;
    }

    /// The child chain as the root chain knows it.
    struct ChainHead {
        /// Number of the next block.
        uint64 nextNumber;
        /// Timestamp of the last block, or of the deployment.
        uint64 lastTimestamp;
        /// Deposits that the last block covers.
        uint64 depositCount;
        /// Nonce of the next deposit, which is the number of deposits so far.
        uint64 nextNonce;
        /// First void block, or zero. §3.
        uint64 haltedFrom;
        /// When `haltedFrom` last fell, or zero.
        uint64 haltedAt;
        /// When the chain was closed, or zero. §8.
        uint64 closedAt;
    }

    /// A child-chain block's header; its commitment is the hash of its ABI encoding. §1.9.
    struct Header {
        uint64 number;
        bytes32 txRoot;
        bytes32 utxoRoot;
        uint32 txCount;
        uint64 depositCount;
        uint64 timestamp;
    }

    /// Proof that a block includes a transaction whose body is given beside it. §1.7.
    struct InclusionProof {
        Header header;
        uint32 txIndex;
        /// Hash of the transaction's witness.
        bytes32 witnessHash;
        /// Siblings from the leaf up, exactly as many as the tree is deep.
        bytes32[] path;
    }

    /// A pending standard exit. The contract keeps its hash alone; callers find the record in its event. §5.1.
    struct ExitRecord {
        bytes32 outputId;
        Position position;
        address owner;
        address asset;
        uint128 amount;
        /// When it can be paid, and its place in the order of exits. §4.
        uint64 key;
    }

    /// A key of an asset's list, and how many exits are pending under it. §4.
    struct ExitKey {
        uint64 key;
        uint32 count;
    }

    /// A holder's approval by EIP-2612.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// What is known of an asset from its first deposit on. §1.2.
    enum AssetStandard {
        Unknown,
        Erc20
    }

    // ---------------------------------------------------------------- events

    /// A deposit was taken; it makes the coin `H(0x03 ‖ nonce ‖ owner ‖ asset ‖ amount)`. §1.4.
    event Deposited(uint64 indexed nonce, address indexed owner, address indexed asset, uint128 amount);

    /// An address was fixed as an asset of one standard.
    event AssetRecorded(address indexed asset, AssetStandard standard);

    /// A block was committed: the six fields of its header.
    event BlockSubmitted(
        uint64 indexed number, bytes32 txRoot, bytes32 utxoRoot, uint32 txCount, uint64 depositCount, uint64 timestamp
    );

    /// A standard exit was started: the fields of its record.
    event StandardExitStarted(
        bytes32 indexed outputId,
        Position position,
        address indexed owner,
        address indexed asset,
        uint128 amount,
        uint64 key
    );

    /// A standard exit was ended by a spend of its coin; the challenger has its bond.
    event StandardExitChallenged(bytes32 indexed outputId, address indexed challenger, bytes spend, bytes signature);

    /// The claim to an exit was handed to another address.
    event ExitAssigned(bytes32 indexed outputId, address indexed payee);

    /// An exit was paid and its coin settled. `paid` is less than `amount` where the asset could not cover it;
    /// `credited` says that the payment failed and can be claimed.
    event ExitPaid(bytes32 indexed outputId, address indexed payee, uint128 amount, uint128 paid, bool credited);

    /// The turn of an exit came that is void or whose coin was settled before: it gave back its bond alone.
    event ExitReturned(bytes32 indexed outputId, address indexed payee);

    /// The head of an asset's list moved over keys without exits; `head` is now the first key, zero if none is left.
    event ExitKeysCleared(address indexed asset, uint64 head);

    /// A payment failed and is held for the account to claim.
    event Credited(address indexed account, address indexed asset, uint256 amount);

    /// A credit was paid out.
    event Claimed(address indexed account, address indexed asset, address to, uint256 amount);

    // ---------------------------------------------------------------- errors

    /// Another call of this contract is running.
    error Locked();
    /// The parameters contradict the protocol text.
    error InvalidParameters();
    /// The chain takes no more deposits or blocks. §3, §8.
    error ChainStopped(uint64 haltedFrom, uint64 closedAt);
    /// An owner or a payee is the zero address.
    error ZeroAddress();
    /// A deposit's amount is zero, or does not fit into 128 bits.
    error AmountOutOfRange(uint256 amount);
    /// All nonces are taken. §1.1.
    error DepositsExhausted();
    /// The deposit would lift what an asset owes out of its range.
    error AssetTotalExceeded(address asset, uint256 total);
    /// The address has no code.
    error NotAToken(address token);
    /// A part of the operator's bond is below one slash: no block is taken until it is funded. §3.
    error BondShort(uint128 faultPart, uint128 receiptPart);
    /// The caller is not the operator of the block.
    error NotOperator(address caller);
    /// The block does not follow the last one.
    error WrongBlockNumber(uint64 number, uint64 nextNumber);
    /// More than 2^20 transactions, or a count and a root of which only one is zero.
    error WrongTxCount(uint32 txCount, bytes32 txRoot);
    /// Fewer deposits than the last block covers, or more than there are.
    error WrongDepositCount(uint64 depositCount, uint64 covered, uint64 made);
    /// The root block is not later than the last child-chain block.
    error TimestampNotLater(uint64 timestamp, uint64 lastTimestamp);
    /// The anchor is not among the last 256 root blocks of this branch.
    error UnknownAnchor(uint64 anchorNumber, bytes32 anchorHash);
    /// The operator wanted the block earlier or not at all.
    error SubmittedTooLate(uint64 timestamp, uint64 notAfter);
    /// The value sent is not the bond.
    error WrongBond(uint256 sent, uint256 bond);
    /// The body is not canonical. §1.5.
    error NotCanonical();
    /// The transaction makes fewer outputs.
    error NoSuchOutput(uint8 outputIndex);
    /// The header is not that of a committed block.
    error UnknownHeader(uint64 number);
    /// The block is void. §3.
    error VoidBlock(uint64 number);
    /// The proof does not show the transaction at this index of the block.
    error NotIncluded(uint64 number, uint32 txIndex);
    /// No deposit with these fields was taken.
    error NotADeposit(bytes32 outputId);
    /// The caller does not own the coin.
    error NotOwner(address caller, address owner);
    /// The coin is exiting.
    error AlreadyExiting(bytes32 outputId);
    /// The coin was settled; it froze at `freeze`.
    error AlreadySettled(bytes32 outputId, uint64 freeze);
    /// The record is not that of a pending exit.
    error NotExiting(bytes32 outputId);
    /// The body and signature are not a spend of the coin by its owner.
    error NotASpend(bytes32 outputId);
    /// The caller is not whom the exit pays.
    error NotPayee(address caller, address payee);
    /// A payment would run with less than its share of gas.
    error NotEnoughGas(uint256 left, uint256 needed);
    /// The caller has no credit in this asset.
    error NothingToClaim(address account, address asset);
    /// The credit could not be paid to this address.
    error ClaimFailed(address asset, address to, uint256 amount);

    // -------------------------------------------------------------- deposits

    /// @notice Deposits the ether sent with the call for `owner`. §2.
    /// @return nonce The deposit's number.
    function deposit(address owner) external payable returns (uint64 nonce);

    /// @notice Deposits ERC-20 tokens of the caller for `owner`. §2.
    /// @param amount What is taken from the caller; the deposit is what arrives.
    /// @return nonce The deposit's number.
    function depositErc20(address token, uint256 amount, address owner) external returns (uint64 nonce);

    /// @notice As `depositErc20`, with the caller's EIP-2612 permit. A permit that fails, as one does that somebody
    /// else has already shown, is ignored: the allowance decides.
    /// @return nonce The deposit's number.
    function depositErc20WithPermit(address token, uint256 amount, address owner, Permit calldata permit)
        external
        returns (uint64 nonce);

    // ---------------------------------------------------------------- blocks

    /// @notice Commits the next child-chain block. Operator only. §2.
    /// @param number The next block's number; the first is 1.
    /// @param txRoot Root of the transaction tree, zero for a block without transactions.
    /// @param utxoRoot Root of the unspent tree after this block.
    /// @param txCount Leaves of the transaction tree, at most 2^20.
    /// @param depositCount Deposits covered so far.
    /// @param anchorNumber One of the last 256 root blocks.
    /// @param anchorHash Its hash, so that a block made on one branch of the root chain does not land on another.
    /// @param notAfter The latest root-chain time at which the block may land.
    function submitBlock(
        uint64 number,
        bytes32 txRoot,
        bytes32 utxoRoot,
        uint32 txCount,
        uint64 depositCount,
        uint64 anchorNumber,
        bytes32 anchorHash,
        uint64 notAfter
    ) external;

    // ----------------------------------------------------------------- exits

    /// @notice Starts the exit of a child-chain output. Its owner only, with the bond. §5.2.
    /// @param body The transaction that made the output.
    /// @param outputIndex Which of its outputs.
    /// @param proof Its inclusion in a block that is not void.
    /// @param hint The exit's key if the asset's list has it, otherwise the key before it, zero for none. A wrong hint
    /// costs gas and nothing else. §4.
    function startStandardExit(bytes calldata body, uint8 outputIndex, InclusionProof calldata proof, uint64 hint)
        external
        payable;

    /// @notice Starts the exit of one of the caller's deposits, with the bond. §5.2.
    /// @param hint As for `startStandardExit`.
    function startStandardExitOfDeposit(uint64 nonce, address asset, uint128 amount, uint64 hint) external payable;

    /// @notice Ends an exit by a spend of its coin and takes its bond. §5.2.
    /// @param exit The record of the pending exit.
    /// @param spend The canonical body of any transaction with the coin among its inputs, included or not.
    /// @param signature The coin owner's signature for it, 64 bytes (EIP-2098).
    function challengeStandardExit(ExitRecord calldata exit, bytes calldata spend, bytes calldata signature) external;

    /// @notice Hands the caller's claim to an exit, bond included, to another address. §5.2.
    function assignExit(ExitRecord calldata exit, address payee) external;

    /// @notice Pays exits of an asset whose turn has come, and moves the head of its list over keys without exits.
    /// The caller earns the bounty of each. Records that are not those of an exit under the list's head are skipped.
    /// §5.2, §6.6, §6.7.
    /// @param exits Standard exits in the order of their keys.
    /// @param pieces Pieces of in-flight exits in the order of their keys; the two are merged.
    /// @dev Clears keys while more than 900,000 gas is left, skips what lies behind a key that it could not clear, and
    /// needs a share of gas for each payment, so that its gas is better computed from the number of records than
    /// estimated. Without records it clears keys and does nothing else.
    function processExits(address asset, ExitRecord[] calldata exits, IInFlightExits.PieceRecord[] calldata pieces)
        external;

    /// @notice Pays the caller's credit in an asset to any address. §2.
    function claim(address asset, address to) external;

    // ----------------------------------------------------------------- views

    /// @notice Returns the commitment of a block, zero if there is none. §1.9.
    function blocks(uint64 number) external view returns (bytes32 commitment);

    /// @notice Returns the word of an output id. §5.1.
    /// @return recordHash The pending exit's record hash with its low 41 bits cleared, zero if the coin is not exiting.
    /// @return assigned Whether `payeeOf` has the exit's payee.
    /// @return state 0 nothing, 1 a deposit, otherwise the freeze time of the settled coin.
    function coin(bytes32 outputId) external view returns (bytes32 recordHash, bool assigned, uint64 state);

    /// @notice Returns to whom the coin's last assigned exit was handed. Counts only while `coin` says assigned.
    function payeeOf(bytes32 outputId) external view returns (address payee);

    /// @notice Returns all that is kept of a transaction's in-flight exit, zeros if none is open. §6.
    function inFlightExit(bytes32 txHash) external view returns (IInFlightExits.InFlightExit memory);

    /// @notice Returns what an asset may still pay to exits, and its standard (`Unknown` for ether).
    function assetOf(address asset) external view returns (uint128 owed, AssetStandard standard);

    /// @notice Returns up to `limit` keys of an asset's list in order, those that come after `from` (a listed key, or
    /// zero for the head).
    function exitKeys(address asset, uint64 from, uint256 limit) external view returns (ExitKey[] memory keys);

    /// @notice Returns the account's credit in an asset.
    function claimable(address account, address asset) external view returns (uint256 amount);

    /// @notice Returns the head of the child chain and whether it is halted or closed.
    function head() external view returns (ChainHead memory);

    /// @notice Returns the operator's key for a block number. It never changes once the number is at most 300 ahead.
    function operatorOf(uint64 number) external view returns (address operator);

    /// @notice Returns whom the operator proposes to come after it, zero if nobody or once that is accepted.
    function proposedOperator() external view returns (address next);

    /// @notice Returns what is left of the operator's bond. §3.
    function operatorBond() external view returns (uint128 faultPart, uint128 receiptPart);

    /// @notice Returns the root block of an announcement, zero if it was not made. §3.
    function announcements(bytes32 announcement) external view returns (uint64 rootBlock);

    /// @notice Returns the root block of a block's conviction, zero if it was not convicted, and what waits for whoever
    /// announced the evidence. §3.
    function convictions(uint64 number) external view returns (uint64 rootBlock, uint128 reward);

    /// @notice As `convictions`, of the slash of a receipt for a block.
    function slashedReceipts(uint64 number) external view returns (uint64 rootBlock, uint128 reward);

    /// @notice Returns a claim that a block's unspent tree lacks a coin: time and value are zero once it has ended, all is
    /// zero if it was never made. §3 (R9).
    function missingClaims(uint64 number, Position position)
        external
        view
        returns (address claimant, uint64 claimedAt, bytes32 value);

    /// @notice Returns the root block in which the contract was deployed.
    function deploymentBlock() external view returns (uint64 number);

    /// @notice Returns the periods fixed at deployment.
    function periods() external view returns (Periods memory);

    /// @notice Returns the bonds and bounties fixed at deployment.
    function bonds() external view returns (Bonds memory);
}
