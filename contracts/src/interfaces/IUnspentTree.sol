// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Position} from "../types/Position.sol";
import {IFaults} from "./IFaults.sol";
import {IRootChain} from "./IRootChain.sol";

/// @title The unspent tree, a part of the root chain's contract
/// @notice Proofs that a block's tree holds what it must not (R8), claims that it lacks what it must hold (R9), and the
/// settlement of a chain that has ended by its last good tree (§8). `§` numbers cite the protocol text; times, amounts,
/// convictions and rewards are as in `IRootChain` and `IFaults`.
///
/// A proof of membership is `bitmap u64 ‖ siblings`, as in §1.8; a value is `H(outputId ‖ output)`.
interface IUnspentTree {
    // ------------------------------------------------------------------ data

    /// What the unspent tree of a block holds under a key.
    struct HeldKey {
        IRootChain.Header header;
        /// The key, which need not be a position that exists.
        uint64 position;
        bytes32 value;
        /// The proof of membership under the header's root.
        bytes proof;
    }

    // ---------------------------------------------------------------- events

    /// Somebody says that a block's unspent tree lacks a coin. Whoever shows it otherwise within MEP/2 has the bond.
    event MissingClaimed(
        uint64 indexed number, Position position, bytes32 indexed outputId, bytes32 value, address indexed claimant
    );

    /// A claim was answered; the answerer has its bond.
    event MissingAnswered(uint64 indexed number, Position position, address indexed answerer);

    /// A claim was not answered: the block is convicted, and the claimant has bond and reward.
    event MissingConvicted(uint64 indexed number, Position position, address indexed claimant);

    /// A claim has lost its object; the claimant has its bond.
    event MissingReturned(uint64 indexed number, Position position, address indexed claimant);

    /// A coin was withdrawn and settled after the chain's end. `paid` is less than `amount` where the asset could not cover
    /// it; `credited` says that the payment failed and can be claimed.
    event CoinWithdrawn(
        bytes32 indexed outputId,
        address indexed payee,
        address indexed asset,
        uint128 amount,
        uint128 paid,
        bool credited
    );

    // ---------------------------------------------------------------- errors

    /// The proof does not show that the tree holds the value.
    error NotHeld();
    /// The value is not that of the output shown.
    error NotTheValue();
    /// What is shown (a block, or a deposit's nonce) is later than what the block has.
    error LaterBlock(uint64 shown, uint64 number);
    /// Claims against the block counted until this time.
    error TooLateToClaim(uint64 until);
    /// The coin was claimed missing from this block before.
    error AlreadyClaimed(uint64 number, uint64 position);
    /// No such claim is open.
    error NotClaimed(uint64 number, uint64 position);
    /// Answers to the claim counted until this time.
    error TooLateToAnswer(uint64 until);
    /// The claim can be answered until this time.
    error TooEarlyToConvict(uint64 from);
    /// The block can be convicted by the claim until this time.
    error ClaimRuns(uint64 until);
    /// The chain is neither halted nor closed.
    error StillRunning();
    /// Coins can be withdrawn from this time on.
    error NotYetSettling(uint64 from);
    /// The header is not that of the last block that is not void.
    error NotTheLastBlock(uint64 shown, uint64 last);
    /// Exits of this asset come first; keys without any are cleared by a processing call without records.
    error ExitsPending(address asset, uint64 key);
    /// The last block covers the deposit: its tree says whether it is unspent.
    error DepositCovered(uint64 nonce);

    // -------------------------------------------------------------------- R8

    /// @notice R8: the tree holds a coin that the block or an earlier one spends.
    /// @param outputId The coin, and `output` its 57 bytes: the preimage of the held value.
    /// @param body The transaction that spends it, with its inclusion.
    function proveFaultHeldSpent(
        HeldKey calldata held,
        bytes32 outputId,
        bytes calldata output,
        bytes calldata body,
        IRootChain.InclusionProof calldata proof
    ) external;

    /// @notice R8: the tree holds under a position of the child chain what was not made there, in this block or before.
    /// @param origin What stands there; not read if that block is later, or block 0.
    function proveFaultHeldNotMade(HeldKey calldata held, IFaults.Origin calldata origin) external;

    /// @notice R8: the tree holds under a deposit's position what that deposit did not make, or one that the block does
    /// not cover.
    /// @param creation The deposit with that nonce; not read if the block does not cover it.
    function proveFaultHeldNotDeposited(HeldKey calldata held, IFaults.Creation calldata creation) external;

    // -------------------------------------------------------------------- R9

    /// @notice R9: says, with the bond, that the tree of a block lacks a coin that it must hold. Once per position and
    /// block, less than MEP after the block.
    /// @param header The block's.
    /// @param creation What made the coin.
    /// @param proof The inclusion of the body in this block or an earlier one; not read for a deposit.
    function claimMissing(
        IRootChain.Header calldata header,
        IFaults.Creation calldata creation,
        IRootChain.InclusionProof calldata proof
    ) external payable;

    /// @notice Answers a claim by the coin's membership, less than MEP/2 after it, and takes its bond.
    function answerMissing(IRootChain.Header calldata header, uint64 position, bytes calldata membership) external;

    /// @notice Answers a claim by a spend of the coin in the block or an earlier one, likewise.
    /// @param outputId The coin, and `output` its 57 bytes: the preimage of the claimed value.
    function answerMissingSpent(
        uint64 number,
        uint64 position,
        bytes32 outputId,
        bytes calldata output,
        bytes calldata body,
        IRootChain.InclusionProof calldata proof
    ) external;

    /// @notice R9: convicts a block of a claim that nobody answered. Bond and reward are the claimant's.
    function convictMissing(IRootChain.Header calldata header, uint64 position) external;

    /// @notice Returns the bond of a claim on a block since void, or by which nobody convicted in time.
    function reclaimMissing(IRootChain.Header calldata header, uint64 position) external;

    // ------------------------------------------------------------ settlement

    /// @notice Pays an owner a coin that the last good tree holds, after the chain's end. §8.
    /// @param header That of the last block that is not void.
    /// @param membership The coin's, under that header's root.
    /// @param creation What made the coin.
    /// @param proof As for `claimMissing`.
    function withdrawSettled(
        IRootChain.Header calldata header,
        bytes calldata membership,
        IFaults.Creation calldata creation,
        IRootChain.InclusionProof calldata proof
    ) external;

    /// @notice Pays an owner a deposit that the last block does not cover, after the chain's end. §8.
    /// @param header That of the last block that is not void; not read but for its number if there is none, which is 0.
    function withdrawSettledDeposit(
        IRootChain.Header calldata header,
        uint64 nonce,
        address owner,
        address asset,
        uint128 amount
    ) external;
}
