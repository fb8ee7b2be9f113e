// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RootChainBase} from "./RootChainBase.sol";
import {IRootChain} from "./interfaces/IRootChain.sol";
import {Commitments} from "./libraries/Commitments.sol";
import {ExitTiming} from "./libraries/ExitTiming.sol";
import {KeyList} from "./libraries/KeyList.sol";
import {Signing} from "./libraries/Signing.sol";
import {TransactionCodec} from "./libraries/TransactionCodec.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {CoinState} from "./types/CoinState.sol";
import {Position, depositPosition} from "./types/Position.sol";

/// @title Standard exits: start, challenge, hand over
/// @notice §5.
abstract contract StandardExits is IRootChain, RootChainBase {
    using KeyList for KeyList.List;
    using Signing for bytes;
    using TransactionCodec for bytes;

    // ---------------------------------------------------------------- starts

    /// @inheritdoc IRootChain
    function startStandardExit(bytes calldata body, uint8 outputIndex, InclusionProof calldata proof, uint64 hint)
        external
        payable
        locked
    {
        require(body.isCanonical(), NotCanonical());
        require(outputIndex < body.outputCount(), NoSuchOutput(outputIndex));
        bytes32 txHash = body.hashOf();
        Position place = _includedPlace(txHash, proof);
        (address owner, address asset, uint128 amount) = body.outputAt(outputIndex);
        uint256 key = ExitTiming.keyOfOutput(block.timestamp, proof.header.timestamp, MINIMUM_EXIT_PERIOD);
        bytes32 outputId = TransactionCodec.outputId(txHash, outputIndex);
        _startExit(
            _coins[outputId],
            ExitRecord({
                outputId: outputId,
                position: place.ofOutput(outputIndex),
                owner: owner,
                asset: asset,
                amount: amount,
                key: uint64(key)
            }),
            hint
        );
    }

    /// @inheritdoc IRootChain
    function startStandardExitOfDeposit(uint64 nonce, address asset, uint128 amount, uint64 hint)
        external
        payable
        locked
    {
        bytes32 outputId = TransactionCodec.depositId(nonce, msg.sender, asset, amount);
        CoinState coinState = _coins[outputId];
        require(coinState.state() != 0, NotADeposit(outputId));
        _startExit(
            coinState,
            ExitRecord({
                outputId: outputId,
                position: depositPosition(nonce),
                owner: msg.sender,
                asset: asset,
                amount: amount,
                key: uint64(ExitTiming.keyOfDeposit(block.timestamp, MINIMUM_EXIT_PERIOD))
            }),
            hint
        );
    }

    /// Starts the exit of a coin whose existence is proven.
    function _startExit(CoinState coinState, ExitRecord memory exit, uint64 hint) private {
        require(msg.sender == exit.owner, NotOwner(msg.sender, exit.owner));
        require(msg.value == EXIT_BOND, WrongBond(msg.value, EXIT_BOND));
        require(!coinState.isExiting(), AlreadyExiting(exit.outputId));
        require(!coinState.isSettled(), AlreadySettled(exit.outputId, coinState.state()));
        _coins[exit.outputId] = coinState.withExit(Commitments.ofExit(exit));
        _exitKeys[exit.asset].add(exit.key, hint);
        emit StandardExitStarted(exit.outputId, exit.position, exit.owner, exit.asset, exit.amount, exit.key);
    }

    // ------------------------------------------------------------ challenges

    /// @inheritdoc IRootChain
    function challengeStandardExit(ExitRecord calldata exit, bytes calldata spend, bytes calldata signature)
        external
        locked
    {
        CoinState coinState = _requireExiting(exit);
        require(spend.isSignedSpend(signature, exit.outputId, exit.owner), NotASpend(exit.outputId));
        _coins[exit.outputId] = coinState.withoutExit();
        _exitKeys[exit.asset].release(exit.key);
        emit StandardExitChallenged(exit.outputId, msg.sender, spend, signature);
        _payOrCredit(Transfers.ETHER, msg.sender, EXIT_BOND);
    }

    // ------------------------------------------------------------- handovers

    /// @inheritdoc IRootChain
    function assignExit(ExitRecord calldata exit, address payee) external locked {
        CoinState coinState = _requireExiting(exit);
        address current = coinState.isAssigned() ? _payees[exit.outputId] : exit.owner;
        require(msg.sender == current, NotPayee(msg.sender, current));
        require(payee != address(0), ZeroAddress());
        _coins[exit.outputId] = coinState.withAssignment();
        _payees[exit.outputId] = payee;
        emit ExitAssigned(exit.outputId, payee);
    }

    /// Refuses a record that is not that of a pending exit. §5.1.
    function _requireExiting(ExitRecord calldata exit) private view returns (CoinState coinState) {
        coinState = _coins[exit.outputId];
        require(coinState.isExitOf(Commitments.ofShownExit(exit)), NotExiting(exit.outputId));
    }
}
