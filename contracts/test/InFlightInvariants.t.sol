// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IToken} from "../src/interfaces/IToken.sol";
import {InFlightMoves} from "./InFlightMoves.t.sol";
import {vm} from "./Vm.sol";

/// @title What holds after any moves of standard and in-flight exits
contract InFlightInvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    event log_named_uint(string key, uint256 value);

    InFlightMoves private _moves;
    IRootChain private _rootChain;
    address private _token;

    function setUp() public {
        _moves = new InFlightMoves();
        _moves.setUp();
        (_rootChain, _token) = _moves.vault();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_moves);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](20);
        selectors[0] = InFlightMoves.deposit.selector;
        selectors[1] = InFlightMoves.make.selector;
        selectors[2] = InFlightMoves.sign.selector;
        selectors[3] = InFlightMoves.include.selector;
        selectors[4] = InFlightMoves.startStandard.selector;
        selectors[5] = InFlightMoves.challengeStandard.selector;
        selectors[6] = InFlightMoves.start.selector;
        selectors[7] = InFlightMoves.improve.selector;
        selectors[8] = InFlightMoves.piggyback.selector;
        selectors[9] = InFlightMoves.challengeCanonicity.selector;
        selectors[10] = InFlightMoves.respond.selector;
        selectors[11] = InFlightMoves.challengePiece.selector;
        selectors[12] = InFlightMoves.close.selector;
        selectors[13] = InFlightMoves.process.selector;
        selectors[14] = InFlightMoves.halt.selector;
        selectors[15] = InFlightMoves.wait.selector;
        // What the exits live from, more often.
        selectors[16] = InFlightMoves.start.selector;
        selectors[17] = InFlightMoves.piggyback.selector;
        selectors[18] = InFlightMoves.piggyback.selector;
        selectors[19] = InFlightMoves.process.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(_moves), selectors);
    }

    /// To the wei: every bond that is held has an exit, a piece or a challenge that is open.
    function invariant_inFlight_vaultHoldsWhatItOwesCreditsAndBonds() public view {
        (uint256 owed,) = _rootChain.assetOf(address(0));
        vm.assertEq(
            address(_rootChain).balance, _operatorBond() + owed + _credits(address(0)) + _moves.heldBonds(), "ether"
        );
        (owed,) = _rootChain.assetOf(_token);
        vm.assertEq(IToken(_token).balanceOf(address(_rootChain)), owed + _credits(_token), "tokens");
    }

    function invariant_inFlight_noCoinLeavesTwiceAndNoFreezeChanges() public view {
        vm.assertFalse(_moves.leavesAnythingTwice(), "left twice");
        vm.assertFalse(_moves.hasAFreezeChanged(), "a settled coin's freeze changed");
    }

    function invariant_inFlight_keysAreSortedAndCountExitsAndPieces() public view {
        _checkKeys(address(0));
        _checkKeys(_token);
    }

    /// The moves are not idle: in a long enough run each call goes through.
    function test_movesReachEveryCall() public {
        bytes4[] memory moves = this.targetSelectors()[0].selectors;
        for (uint256 i = 0; i < 1000; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            // A halt would end the blocks that most calls live from.
            if (moves[seed % moves.length] == InFlightMoves.halt.selector) continue;
            (bool success,) = address(_moves).call(abi.encodeWithSelector(moves[seed % moves.length], seed >> 8));
            success;
        }
        bytes4[10] memory calls = [
            IRootChain.startStandardExit.selector,
            IRootChain.challengeStandardExit.selector,
            IRootChain.processExits.selector,
            IInFlightExits.startInFlightExit.selector,
            IInFlightExits.improveInFlightExit.selector,
            IInFlightExits.piggyback.selector,
            IInFlightExits.challengeNotCanonical.selector,
            IInFlightExits.respondNotCanonical.selector,
            IInFlightExits.challengePieceSpent.selector,
            IInFlightExits.closeInFlightExit.selector
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            emit log_named_uint("accepted", _moves.accepted(calls[i]));
            vm.assertTrue(_moves.accepted(calls[i]) != 0, "a call never went through");
        }
        afterInvariant();
    }

    /// Whatever happened before, every exit ends, every list empties, and no bond is left.
    function afterInvariant() public {
        _moves.drain();
        vm.assertEq(_moves.pending().length, 0, "pending");
        vm.assertEq(_moves.flights().length, 0, "open");
        vm.assertEq(_moves.heldBonds(), 0, "bonds");
        vm.assertEq(_rootChain.exitKeys(address(0), 0, 1).length, 0, "ether's keys");
        vm.assertEq(_rootChain.exitKeys(_token, 0, 1).length, 0, "the token's keys");
        invariant_inFlight_vaultHoldsWhatItOwesCreditsAndBonds();
        invariant_inFlight_noCoinLeavesTwiceAndNoFreezeChanges();
    }

    // -------------------------------------------------------------- internals

    function _checkKeys(address asset) private view {
        IRootChain.ExitKey[] memory keys = _rootChain.exitKeys(asset, 0, type(uint256).max);
        uint256 counted = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            if (i != 0) vm.assertTrue(keys[i].key > keys[i - 1].key, "order");
            vm.assertEq(keys[i].count, _moves.pendingUnder(asset, keys[i].key), "count");
            counted += keys[i].count;
        }
        vm.assertEq(counted, _moves.pendingOf(asset), "every exit and piece has its key");
    }

    function _operatorBond() private view returns (uint256) {
        (uint128 faultPart, uint128 receiptPart) = _rootChain.operatorBond();
        return uint256(faultPart) + receiptPart;
    }

    function _credits(address asset) private view returns (uint256 sum) {
        for (uint256 i = 0; i < 2; ++i) {
            sum += _rootChain.claimable(address(_moves.receivers(i)), asset);
        }
    }
}
