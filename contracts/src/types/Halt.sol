// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// When and from which block on the chain ended; zero while it goes on. §3, §8.
///
/// halted from block 0–39 | halted at 40–79 | closed at 80–119
type Halt is uint256;

using {haltedFrom, haltedAt, closedAt} for Halt global;

/// Returns the first void block, zero if there is none.
function haltedFrom(Halt halt) pure returns (uint64) {
    return uint40(Halt.unwrap(halt));
}

/// Returns when `haltedFrom` last fell, zero if never.
function haltedAt(Halt halt) pure returns (uint64) {
    return uint40(Halt.unwrap(halt) >> 40);
}

/// Returns when the chain was closed, zero if it was not.
function closedAt(Halt halt) pure returns (uint64) {
    return uint40(Halt.unwrap(halt) >> 80);
}

