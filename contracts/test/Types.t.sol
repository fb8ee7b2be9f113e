// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CoinState, DEPOSITED_COIN, UNKNOWN_COIN, settledCoin} from "../src/types/CoinState.sol";
import {Halt} from "../src/types/Halt.sol";
import {ETHER_OWED_LIMIT, Head} from "../src/types/Head.sol";
import {Decision, InFlightState, NOT_INCLUDED, PlaceHolder, newInFlightState} from "../src/types/InFlightState.sol";
import {KeyNode, newKeyNode} from "../src/types/KeyNode.sol";
import {PieceSet} from "../src/types/PieceSet.sol";
import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {vm} from "./Vm.sol";

/// @title Packed words keep what is not changed
contract TypesTest {
    uint256 private constant UINT40_MAX = type(uint40).max;

    function testFuzz_head_withDepositChangesTheNonceAlone(uint256 word) public pure {
        Head head = Head.wrap(word);
        vm.assume(head.nextNonce() != UINT40_MAX);
        Head next = head.withDeposit();
        vm.assertEq(next.nextNonce(), head.nextNonce() + 1, "next nonce");
        vm.assertEq(next.nextNumber(), head.nextNumber(), "next number");
        vm.assertEq(next.depositCount(), head.depositCount(), "covered");
        _assertSameAbove(next, head);
    }

    function testFuzz_head_withBlockKeepsDepositsAndEther(uint256 word, uint40 timestamp, uint40 covered) public pure {
        Head head = Head.wrap(word);
        vm.assume(head.nextNumber() != UINT40_MAX);
        Head next = head.withBlock(timestamp, covered);
        vm.assertEq(next.nextNumber(), head.nextNumber() + 1, "next number");
        vm.assertEq(next.lastTimestamp(), timestamp, "timestamp");
        vm.assertEq(next.depositCount(), covered, "covered");
        vm.assertEq(next.nextNonce(), head.nextNonce(), "next nonce");
        _assertSameAbove(next, head);
    }

    function testFuzz_head_withEtherOwedChangesItAlone(uint256 word, uint256 owed) public pure {
        owed %= ETHER_OWED_LIMIT;
        Head next = Head.wrap(word).withEtherOwed(owed);
        vm.assertEq(next.etherOwed(), owed, "owed");
        uint256 mask = (ETHER_OWED_LIMIT - 1) << 160;
        vm.assertEq(Head.unwrap(next) & ~mask, word & ~mask, "the rest");
    }

    function testFuzz_head_withStoppedChangesTheFlagAlone(uint256 word) public pure {
        Head head = Head.wrap(word);
        vm.assertTrue(head.withStopped(true).isStopped() && !head.withStopped(false).isStopped(), "stopped");
        vm.assertEq(Head.unwrap(head.withStopped(true)) << 1, word << 1, "the rest");
        vm.assertEq(Head.unwrap(head.withStopped(false)) << 1, word << 1, "the rest");
    }

    function testFuzz_halt(uint40 from, uint40 at_, uint40 closed) public pure {
        Halt halt = Halt.wrap(0).withClosing(closed);
        vm.assertEq(halt.closedAt(), closed, "closed");
        vm.assertTrue(halt.haltedFrom() == 0 && halt.haltedAt() == 0, "not halted");
        // The second conviction is of a lower block.
        halt = halt.withHalt(type(uint40).max, 1).withHalt(from, at_);
        vm.assertEq(halt.haltedFrom(), from, "from");
        vm.assertEq(halt.haltedAt(), at_, "at");
        vm.assertEq(halt.closedAt(), closed, "closed");
    }

    function testFuzz_coin_livesThroughAnExit(bytes32 hash, bytes32 other, uint40 freeze) public pure {
        vm.assume(uint256(hash) >> 41 != 0 && uint256(hash) >> 41 != uint256(other) >> 41 && freeze > 1);
        CoinState[2] memory fresh = [UNKNOWN_COIN, DEPOSITED_COIN];
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertFalse(fresh[i].isExiting() || fresh[i].isSettled() || fresh[i].isExitOf(0), "fresh");
            CoinState exiting = fresh[i].withExit(hash);
            vm.assertTrue(exiting.isExiting() && exiting.isExitOf(hash) && !exiting.isExitOf(other), "exiting");
            vm.assertEq(exiting.state(), i, "state");
            CoinState assigned = exiting.withAssignment();
            vm.assertTrue(assigned.isAssigned() && assigned.isExitOf(hash) && !exiting.isAssigned(), "assigned");
            vm.assertEq(CoinState.unwrap(assigned.withoutExit()), i, "ended");
            CoinState settledMeanwhile = assigned.withSettlement(freeze);
            vm.assertTrue(settledMeanwhile.isExitOf(hash) && settledMeanwhile.isAssigned(), "still exiting");
            vm.assertEq(settledMeanwhile.state(), freeze, "settled meanwhile");
            vm.assertEq(CoinState.unwrap(settledMeanwhile.withoutExit()), freeze, "ended and settled");
        }
        CoinState settled = settledCoin(freeze);
        vm.assertTrue(settled.isSettled() && !settled.isExiting() && settled.state() == freeze, "settled");
    }

    function testFuzz_keyNode(uint40 first, uint40 second, uint8 exits) public pure {
        KeyNode node = newKeyNode(first);
        for (uint256 i = 0; i < exits; ++i) {
            node = node.withOneMore();
        }
        vm.assertTrue(node.isListed() && node.next() == first && node.count() == exits, "counted");
        node = node.linkedTo(second);
        vm.assertTrue(node.isListed() && node.next() == second && node.count() == exits, "linked");
        if (exits != 0) vm.assertEq(node.withOneLess().count(), exits - 1, "one less");
    }

    function testFuzz_position(uint40 number, uint24 txIndex, uint8 outputIndex, uint40 nonce) public pure {
        number >>= 1;
        txIndex >>= 4;
        outputIndex >>= 4;
        Position position = outputPosition(number, txIndex, outputIndex);
        vm.assertFalse(position.isDeposit(), "output");
        vm.assertEq(position.blockNumber(), number, "block");
        vm.assertEq(position.transactionIn(), txIndex, "transaction");
        uint256 expected = uint256(number) * 2 ** 24 + uint256(txIndex) * 2 ** 4 + outputIndex;
        vm.assertEq(Position.unwrap(position), expected, "output's position");
        vm.assertTrue(depositPosition(nonce).isDeposit(), "deposit");
        vm.assertEq(Position.unwrap(depositPosition(nonce)), 2 ** 63 + uint256(nonce) * 16, "deposit's position");
    }

    function testFuzz_position_ofOutput(uint40 number, uint24 txIndex, uint8 index, uint40 nonce) public pure {
        Position place = outputPosition(number >> 1, txIndex >> 4, 0);
        index >>= 4;
        Position position = place.ofOutput(index);
        vm.assertTrue(position.isAt(outputPosition(number >> 1, txIndex >> 4, index)), "position");
        vm.assertEq(position.outputIn(), index, "output");
        vm.assertEq(position.isOlderThan(place), false, "not older");
        vm.assertEq(place.isOlderThan(position), index != 0, "older");
        vm.assertEq(depositPosition(nonce).depositNonce(), nonce, "nonce");
    }

    function testFuzz_pieceSet(uint32 bits, uint32 others, uint8 piece) public pure {
        PieceSet pieces = PieceSet.wrap(bits);
        piece >>= 3;
        uint256 count = 0;
        uint256 first = 32;
        for (uint256 i = 32; i != 0; --i) {
            if ((uint256(bits) >> (i - 1)) & 1 == 0) continue;
            ++count;
            first = i - 1;
        }
        vm.assertEq(pieces.count(), count, "count");
        vm.assertEq(pieces.isEmpty(), count == 0, "empty");
        if (count != 0) vm.assertEq(pieces.first(), first, "first");
        vm.assertEq(pieces.has(piece), bits & (uint32(1) << piece) != 0, "has");
        vm.assertFalse(pieces.without(piece).has(piece), "without");
        vm.assertEq(
            PieceSet.unwrap(pieces.without(piece)) | (uint32(1) << piece), bits | (uint32(1) << piece), "others"
        );
        vm.assertEq(PieceSet.unwrap(pieces.with(PieceSet.wrap(others))), bits | others, "with");
        vm.assertEq(PieceSet.unwrap(pieces.shared(PieceSet.wrap(others))), bits & others, "shared");
    }

    function testFuzz_inFlightState(uint40 start, uint40 key, uint32 pieces, uint64 place, uint40 later) public pure {
        InFlightState state = newInFlightState(start, key);
        vm.assertEq(state.isOpen(), start != 0 || key != 0, "open");
        place >>= 1;
        for (uint256 i = 0; i < 2; ++i) {
            // Each field is written over another value.
            PieceSet live = PieceSet.wrap(i == 0 ? ~pieces : pieces);
            Position oldest = Position.wrap(i == 0 ? Position.unwrap(NOT_INCLUDED) : place);
            state = state.withLivePieces(live);
            state = state.withOldestPlace(oldest, i == 0 ? PlaceHolder.Own : PlaceHolder.Competitor);
            state = state.withKey(i == 0 ? type(uint40).max : later);
        }
        state = state.withDecision(Decision.Void);
        vm.assertEq(state.start(), start, "start");
        vm.assertEq(state.key(), later, "key");
        vm.assertEq(PieceSet.unwrap(state.livePieces()), pieces, "pieces");
        vm.assertEq(Position.unwrap(state.oldestPlace()), place, "place");
        vm.assertTrue(state.placeHolder() == PlaceHolder.Competitor, "holder");
        vm.assertTrue(state.decision() == Decision.Void, "decision");
    }

    function _assertSameAbove(Head next, Head head) private pure {
        vm.assertEq(Head.unwrap(next) >> 160, Head.unwrap(head) >> 160, "ether owed and stopped");
    }
}
