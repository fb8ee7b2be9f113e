// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RootChainBase} from "../RootChainBase.sol";
import {IOperations} from "../interfaces/IOperations.sol";
import {IRootChain} from "../interfaces/IRootChain.sol";
import {Transfers} from "../libraries/Transfers.sol";
import {Halt} from "../types/Halt.sol";

/// @title The operator's bond and key, and the end of the chain
/// @notice §2, §3, §8. A facet: `RootChain` runs its code on the storage of its own. Called by itself, it has no operator.
contract Operations is IOperations, RootChainBase {
    /// How far ahead of the next block a new key begins at least, and so how far ahead a key is known. §2.
    uint64 private constant ROTATION_DISTANCE = 300;
    uint64 private constant BLOCK_NUMBER_LIMIT = 1 << 39;

    constructor(IRootChain.Parameters memory parameters) RootChainBase(parameters) {}

    // ------------------------------------------------------------------ bond

    /// @inheritdoc IOperations
    function fundBond(uint128 faultPart, uint128 receiptPart) external payable locked {
        uint256 parts = uint256(faultPart) + receiptPart;
        require(msg.value == parts, WrongParts(msg.value, parts));
        Halt halt = _halt;
        require(Halt.unwrap(halt) == 0, IRootChain.ChainStopped(halt.haltedFrom(), halt.closedAt()));
        _operatorBond.faultPart += faultPart;
        _operatorBond.receiptPart += receiptPart;
        emit BondFunded(msg.sender, faultPart, receiptPart);
        _updateStopped();
    }

    /// @inheritdoc IOperations
    function withdrawBond(address to) external locked {
        _requireOperator();
        require(to != address(0), IRootChain.ZeroAddress());
        Halt halt = _halt;
        bool isOver = halt.closedAt() != 0 && block.timestamp >= halt.closedAt() + 2 * MINIMUM_EXIT_PERIOD;
        require(isOver && halt.haltedFrom() == 0, BondLocked());
        uint256 amount = uint256(_operatorBond.faultPart) + _operatorBond.receiptPart;
        delete _operatorBond;
        emit BondWithdrawn(to, amount);
        _payOrCredit(Transfers.ETHER, to, amount);
    }

    // -------------------------------------------------------------- rotation

    /// @inheritdoc IOperations
    function proposeOperator(address next) external locked {
        _requireOperator();
        _requireNoRotation();
        _nextOperator = next;
        emit OperatorProposed(next);
    }

    /// @inheritdoc IOperations
    function acceptOperator(uint64 firstBlock) external locked {
        _operatorOfNextBlock();
        _requireNoRotation();
        require(msg.sender == _nextOperator, NotProposed(msg.sender));
        uint64 nextNumber = _head.nextNumber();
        require(
            firstBlock > nextNumber + ROTATION_DISTANCE && firstBlock < BLOCK_NUMBER_LIMIT,
            WrongFirstBlock(firstBlock, nextNumber)
        );
        _operatorKey.nextFirstBlock = uint40(firstBlock);
        emit OperatorAccepted(msg.sender, firstBlock);
    }

    function _requireOperator() private {
        require(msg.sender == _operatorOfNextBlock(), IRootChain.NotOperator(msg.sender));
    }

    /// One rotation at a time. §2.
    function _requireNoRotation() private view {
        uint64 firstBlock = _operatorKey.nextFirstBlock;
        require(firstBlock == 0, RotationPending(firstBlock));
    }

    // --------------------------------------------------------------- closing

    /// @inheritdoc IOperations
    function closeChain() external locked {
        Halt halt = _halt;
        require(Halt.unwrap(halt) == 0, IRootChain.ChainStopped(halt.haltedFrom(), halt.closedAt()));
        uint64 sunsetAt = uint64(_head.lastTimestamp() + SUNSET);
        require(block.timestamp >= sunsetAt, NotYetSunset(sunsetAt));
        _halt = halt.withClosing(block.timestamp);
        emit ChainClosed();
        _updateStopped();
    }
}
