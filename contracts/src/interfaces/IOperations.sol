// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The operator's bond and key, and the end of the chain: a part of the root chain's contract
/// @notice `§` numbers cite the protocol text; times and amounts are as in `IRootChain`.
interface IOperations {
    // ---------------------------------------------------------------- events

    /// The operator's bond grew.
    event BondFunded(address indexed funder, uint128 faultPart, uint128 receiptPart);

    /// What was left of the operator's bond was withdrawn.
    event BondWithdrawn(address indexed to, uint256 amount);

    /// The operator proposed who comes after it; zero takes a proposal back.
    event OperatorProposed(address indexed next);

    /// Another key is the operator's from this block on.
    event OperatorAccepted(address indexed operator, uint64 firstBlock);

    /// The chain was closed. §8.
    event ChainClosed();

    // ---------------------------------------------------------------- errors

    /// The parts are not what was sent.
    error WrongParts(uint256 sent, uint256 parts);
    /// The bond stays until 2 MEP after the chain was closed, and for ever once it is halted.
    error BondLocked();
    /// Another key's first block is not yet the next one.
    error RotationPending(uint64 firstBlock);
    /// The caller is not whom the operator proposed.
    error NotProposed(address caller);
    /// A new key's first block is more than 300 above the next number, and below 2^39.
    error WrongFirstBlock(uint64 firstBlock, uint64 nextNumber);
    /// The operator has until then to commit a block. §8.
    error NotYetSunset(uint64 sunsetAt);

    // ------------------------------------------------------------------ bond

    /// @notice Adds what is sent to the parts of the operator's bond. Anyone. §3.
    function fundBond(uint128 faultPart, uint128 receiptPart) external payable;

    /// @notice Pays what is left of the bond, 2 MEP after the chain was closed. The operator of the next block only. §3.
    function withdrawBond(address to) external;

    // -------------------------------------------------------------- rotation

    /// @notice Proposes another key for the operator, or none (zero). The operator of the next block only. §2.
    function proposeOperator(address next) external;

    /// @notice Makes the caller, whom the operator proposed, the operator from a block on. §2.
    /// @param firstBlock More than 300 above the next number.
    function acceptOperator(uint64 firstBlock) external;

    // --------------------------------------------------------------- closing

    /// @notice Closes the chain, once the operator has committed nothing for the sunset time. Anyone. §8.
    function closeChain() external;
}
