// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RootChainBase} from "./RootChainBase.sol";
import {IRootChain} from "./interfaces/IRootChain.sol";
import {Commitments} from "./libraries/Commitments.sol";
import {ExitTiming} from "./libraries/ExitTiming.sol";
import {KeyList} from "./libraries/KeyList.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {CoinState, settledCoin} from "./types/CoinState.sol";

/// @title The payment of exits in the order of their keys
/// @notice §4, §5.2. Nothing here reverts but a payment that is given too little gas.
abstract contract ExitProcessing is IRootChain, RootChainBase {
    using KeyList for KeyList.List;
    using KeyList for KeyList.Turn;

    /// What a run over one asset's exits keeps at hand and writes once, at its end. The lock makes that safe.
    struct Run {
        address asset;
        /// What may still be paid.
        uint256 owed;
        /// The key whose turn it is.
        KeyList.Turn turn;
        uint256 firstVoidBlock;
        /// What the caller has earned.
        uint256 bounty;
    }

    /// @inheritdoc IRootChain
    function processExits(address asset, ExitRecord[] calldata exits) external locked {
        Run memory run;
        run.asset = asset;
        run.owed = _owed(asset);
        run.firstVoidBlock = _firstVoidBlock();
        _nextTurn(run);
        for (uint256 i = 0; i < exits.length && run.turn.key != 0; ++i) {
            _processExit(run, exits[i]);
        }
        _exitKeys[asset].store(run.turn);
        _setOwed(asset, run.owed);
        _payOrCredit(Transfers.ETHER, msg.sender, run.bounty);
    }

    /// Ends an exit whose turn it is, and skips any other.
    function _processExit(Run memory run, ExitRecord calldata exit) private {
        if (exit.key != run.turn.key || exit.asset != run.asset) return;
        CoinState coinState = _coins[exit.outputId];
        if (!coinState.isExitOf(Commitments.ofShownExit(exit))) return;

        run.bounty += EXIT_BOUNTY;
        if (run.turn.release() == 0) _nextTurn(run);
        address payee = coinState.isAssigned() ? _payees[exit.outputId] : exit.owner;
        bool isVoid = !exit.position.isDeposit() && exit.position.blockNumber() >= run.firstVoidBlock;
        if (isVoid || coinState.isSettled()) {
            _coins[exit.outputId] = coinState.withoutExit();
            emit ExitReturned(exit.outputId, payee);
            _payOrCredit(Transfers.ETHER, payee, EXIT_BOND - EXIT_BOUNTY);
        } else {
            _payExit(run, exit, payee);
        }
    }

    /// Settles a coin and pays what its asset can cover. The rest is owed no more: later deposits belong to others.
    function _payExit(Run memory run, ExitRecord calldata exit, address payee) private {
        _coins[exit.outputId] = settledCoin(ExitTiming.freezeOfStandardExit(exit.key, MINIMUM_EXIT_PERIOD));
        uint128 amount = exit.amount;
        uint128 paid = amount < run.owed ? amount : uint128(run.owed);
        bool delivered;
        // All of these are sums of money that exists, and the subtrahends are no larger than what they are taken from.
        unchecked {
            run.owed -= paid;
            uint256 bond = EXIT_BOND - EXIT_BOUNTY;
            if (run.asset == Transfers.ETHER) {
                delivered = _payOrCredit(Transfers.ETHER, payee, paid + bond);
            } else {
                delivered = _payOrCredit(run.asset, payee, paid);
                _payOrCredit(Transfers.ETHER, payee, bond);
            }
        }
        emit ExitPaid(exit.outputId, payee, amount, paid, !delivered);
    }

    /// Moves the head of the list to the next key with exits, if there is one whose time has come.
    function _nextTurn(Run memory run) private {
        KeyList.List storage keys = _exitKeys[run.asset];
        keys.store(run.turn);
        bool moved;
        (run.turn, moved) = keys.moveHead(block.timestamp);
        if (moved) emit ExitKeysCleared(run.asset, keys.first());
    }

    function _owed(address asset) private view returns (uint256) {
        return asset == Transfers.ETHER ? _head.etherOwed() : _assets[asset].owed;
    }

    function _setOwed(address asset, uint256 owed) private {
        if (asset == Transfers.ETHER) _head = _head.withEtherOwed(owed);
        else _assets[asset].owed = uint128(owed);
    }
}
