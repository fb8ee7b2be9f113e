// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {KeyList} from "../src/libraries/KeyList.sol";
import {vm} from "./Vm.sol";

/// @title §4: the sorted list of keys, held against a plain array of counts
contract KeyListTest {
    using KeyList for KeyList.List;
    using KeyList for KeyList.Turn;

    /// Small, so that keys meet often.
    uint256 private constant KEYS = 24;

    KeyList.List private _list;
    /// What the list must hold: whether a key is listed, and its count.
    bool[KEYS + 1] private _isListed;
    uint32[KEYS + 1] private _counts;

    function test_keysAreSortedWhateverTheHint() public {
        _add(10, 0);
        _add(20, 10);
        _add(15, 20); // above the key
        _add(5, 7); // not listed
        _add(17, 17); // itself, not listed
        _add(15, 15); // itself, listed
        _add(12, 3); // not listed
        _add(24, 5); // listed, far before
        _assertMatches();
        vm.assertEq(_list.keysAfter(0, 100).length, 7, "length");
        vm.assertEq(_list.keysAfter(12, 2)[1].key, 17, "page");
        vm.assertEq(_list.keysAfter(24, 2).length, 0, "end");
    }

    function test_moveHead_stopsAtKeysWithExitsAndAtKeysToCome() public {
        _add(5, 0);
        _add(6, 0);
        _add(7, 0);
        _release(5);
        _release(7);
        (KeyList.Turn memory turn, bool moved) = _list.moveHead(4);
        vm.assertTrue(!moved && turn.key == 0, "not before its time");
        (turn, moved) = _list.moveHead(5);
        vm.assertTrue(moved && turn.key == 0, "nothing due");
        (turn, moved) = _list.moveHead(7);
        vm.assertTrue(!moved && turn.key == 6, "six has an exit");
        vm.assertEq(turn.release(), 0, "none is left");
        _list.store(turn);
        (turn, moved) = _list.moveHead(7);
        vm.assertTrue(moved && turn.key == 0 && _list.first() == 0, "empty");
    }

    function testFuzz_listMatchesAnArray(uint256 seed) public {
        for (uint256 step = 0; step < 60; ++step) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 key = 1 + (seed >> 8) % KEYS;
            uint256 hint = (seed >> 16) % (KEYS + 2);
            uint256 move = seed % 8;
            if (move < 5) {
                _add(key, hint);
            } else if (move < 7) {
                if (_counts[key] != 0) _release(key);
            } else {
                _moveHead(key);
            }
            _assertMatches();
        }
    }

    /// Every list drains, from the front, in order.
    function testFuzz_listDrains(uint256 seed) public {
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _add(1 + seed % KEYS, (seed >> 16) % (KEYS + 2));
        }
        uint256 last = 0;
        uint256 released = 0;
        (KeyList.Turn memory turn,) = _list.moveHead(KEYS);
        while (turn.key != 0) {
            vm.assertGe(turn.key, last, "in order");
            last = turn.key;
            ++released;
            if (turn.release() == 0) {
                _list.store(turn);
                (turn,) = _list.moveHead(KEYS);
            }
        }
        vm.assertEq(released, 40, "all exits");
        vm.assertEq(_list.first(), 0, "no key is left");
    }

    // -------------------------------------------------------------- internals

    function _add(uint256 key, uint256 hint) private {
        _list.add(key, hint);
        _isListed[key] = true;
        ++_counts[key];
    }

    function _release(uint256 key) private {
        _list.release(key);
        --_counts[key];
    }

    function _moveHead(uint256 time) private {
        (KeyList.Turn memory turn, bool moved) = _list.moveHead(time);
        bool shouldMove = false;
        uint256 due = 0;
        for (uint256 key = 1; key <= time && due == 0; ++key) {
            if (!_isListed[key]) continue;
            if (_counts[key] != 0) {
                due = key;
            } else {
                _isListed[key] = false;
                shouldMove = true;
            }
        }
        vm.assertEq(turn.key, due, "whose turn it is");
        vm.assertEq(moved, shouldMove, "moved");
    }

    function _assertMatches() private view {
        IRootChain.ExitKey[] memory listed = _list.keysAfter(0, type(uint256).max);
        uint256 found = 0;
        for (uint256 key = 1; key <= KEYS; ++key) {
            if (!_isListed[key]) continue;
            vm.assertEq(listed[found].key, key, "key");
            vm.assertEq(listed[found].count, _counts[key], "count");
            ++found;
        }
        vm.assertEq(found, listed.length, "length");
    }
}
