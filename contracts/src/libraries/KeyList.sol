// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../interfaces/IRootChain.sol";
import {KeyNode, NOT_LISTED, newKeyNode} from "../types/KeyNode.sol";

/// An asset's sorted list of exit keys, each with its count of pending exits. §4.
///
/// Key zero is the list's own node and comes before all others; it is there from the first insertion on.
library KeyList {
    struct List {
        mapping(uint256 key => KeyNode) nodes;
    }

    /// The head of a list while its exits are processed: its key, zero if it is nobody's turn, and its node.
    struct Turn {
        uint256 key;
        KeyNode node;
    }

    /// Keys are cleared while more gas than this is left. It is more than the dearest piece needs that may follow (it
    /// decides an exit of 16 inputs, while its token, its owner and the caller burn their shares: some 830,000), so that
    /// a long run of keys cannot starve the payment behind it time and again.
    uint256 private constant GAS_LEFT_BY_CLEARING = 900_000;

    /// Counts one more exit under `key`, and lists the key if it is not.
    ///
    /// `hint` is a listed key before it; any other is replaced by the head of the list, which costs gas for the longer
    /// walk and changes nothing else.
    function add(List storage list, uint256 key, uint256 hint) internal {
        KeyNode node = list.nodes[key];
        if (!node.isListed()) {
            uint256 previous = hint < key && list.nodes[hint].isListed() ? hint : 0;
            KeyNode previousNode = list.nodes[previous];
            while (previousNode.next() != 0 && previousNode.next() < key) {
                previous = previousNode.next();
                previousNode = list.nodes[previous];
            }
            list.nodes[previous] = previousNode.linkedTo(key);
            node = newKeyNode(previousNode.next());
        }
        list.nodes[key] = node.withOneMore();
    }

    /// Counts one exit less under `key`, which has one.
    function release(List storage list, uint256 key) internal {
        list.nodes[key] = list.nodes[key].withOneLess();
    }

    /// Moves the head over keys that are not after `time` and have no exits, and clears them, as many as the call's gas
    /// allows. Returns the key whose turn it is then, and whether the head moved.
    function moveHead(List storage list, uint256 time) internal returns (Turn memory turn, bool moved) {
        KeyNode head = list.nodes[0];
        uint256 key = head.next();
        while (key != 0 && key <= time) {
            KeyNode node = list.nodes[key];
            if (node.count() != 0) {
                turn = Turn(key, node);
                break;
            }
            if (gasleft() < GAS_LEFT_BY_CLEARING) break;
            list.nodes[key] = NOT_LISTED;
            key = node.next();
            moved = true;
        }
        if (moved) list.nodes[0] = head.linkedTo(key);
    }

    /// Counts one exit less in memory and returns how many are left. There is one.
    function release(Turn memory turn) internal pure returns (uint32 left) {
        turn.node = turn.node.withOneLess();
        return turn.node.count();
    }

    /// Writes what was counted in memory.
    function store(List storage list, Turn memory turn) internal {
        if (turn.key != 0) list.nodes[turn.key] = turn.node;
    }

    /// Returns the first key, zero if the list is empty.
    function first(List storage list) internal view returns (uint64) {
        return uint64(list.nodes[0].next());
    }

    /// Returns up to `limit` keys that come after `from`, a listed key or zero.
    function keysAfter(List storage list, uint256 from, uint256 limit)
        internal
        view
        returns (IRootChain.ExitKey[] memory keys)
    {
        uint256 length;
        for (uint256 k = list.nodes[from].next(); k != 0 && length < limit; k = list.nodes[k].next()) {
            ++length;
        }
        keys = new IRootChain.ExitKey[](length);
        uint256 key = from;
        for (uint256 i = 0; i < length; ++i) {
            key = list.nodes[key].next();
            keys[i] = IRootChain.ExitKey(uint64(key), list.nodes[key].count());
        }
    }
}
