// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CoinState, DEPOSITED_COIN, UNKNOWN_COIN, settledCoin} from "../src/types/CoinState.sol";
import {Halt} from "../src/types/Halt.sol";
import {ETHER_OWED_LIMIT, Head} from "../src/types/Head.sol";
import {KeyNode, newKeyNode} from "../src/types/KeyNode.sol";
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

    function testFuzz_halt(uint40 from, uint40 at_, uint40 closed) public pure {
        Halt halt = Halt.wrap(uint256(from) | uint256(at_) << 40 | uint256(closed) << 80);
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
        uint256 expected = uint256(number) * 2 ** 24 + uint256(txIndex) * 2 ** 4 + outputIndex;
        vm.assertEq(Position.unwrap(position), expected, "output's position");
        vm.assertTrue(depositPosition(nonce).isDeposit(), "deposit");
        vm.assertEq(Position.unwrap(depositPosition(nonce)), 2 ** 63 + uint256(nonce) * 16, "deposit's position");
    }

    function _assertSameAbove(Head next, Head head) private pure {
        vm.assertEq(Head.unwrap(next) >> 160, Head.unwrap(head) >> 160, "ether owed and stopped");
    }
}
