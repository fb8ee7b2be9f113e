// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// When and from which block on the chain ended; zero while it goes on. §3, §8.
///
/// halted from block 0–39 | halted at 40–79 | closed at 80–119
type Halt is uint256;

using {haltedFrom, haltedAt, closedAt, withHalt, withClosing} for Halt global;

uint256 constant HALTED_AT_SHIFT = 40;
uint256 constant CLOSED_AT_SHIFT = 80;

/// Returns the first void block, zero if there is none.
function haltedFrom(Halt halt) pure returns (uint64) {
    return uint40(Halt.unwrap(halt));
}

/// Returns when `haltedFrom` last fell, zero if never.
function haltedAt(Halt halt) pure returns (uint64) {
    return uint40(Halt.unwrap(halt) >> HALTED_AT_SHIFT);
}

/// Returns when the chain was closed, zero if it was not.
function closedAt(Halt halt) pure returns (uint64) {
    return uint40(Halt.unwrap(halt) >> CLOSED_AT_SHIFT);
}

/// Returns the word of a chain that is void from block `from` on, since now.
function withHalt(Halt halt, uint64 from, uint256 timestamp) pure returns (Halt) {
    uint256 closing = Halt.unwrap(halt) >> CLOSED_AT_SHIFT << CLOSED_AT_SHIFT;
    return Halt.wrap(closing | (timestamp << HALTED_AT_SHIFT) | from);
}

/// Returns the word of a chain closed now; it was neither halted nor closed.
function withClosing(Halt, uint256 timestamp) pure returns (Halt) {
    return Halt.wrap(timestamp << CLOSED_AT_SHIFT);
}
