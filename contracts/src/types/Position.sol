// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Where a coin was made, as the operator claims. §1.1.
///
/// child-chain output: 0 | block 39 bits | transaction index 20 bits | output index 4 bits
/// deposit:            1 | zero 19 bits  | nonce 40 bits             | zero 4 bits
type Position is uint64;

using {isDeposit, blockNumber, transactionIn, depositNonce, outputIn, ofOutput, isAt, isOlderThan} for Position global;

/// Returns the position of an output of a child-chain transaction; the ranges are the caller's to keep.
function outputPosition(uint64 number, uint32 txIndex, uint8 outputIndex) pure returns (Position) {
    return Position.wrap((number << 24) | (uint64(txIndex) << 4) | outputIndex);
}

/// Returns the position of the deposit with the given nonce.
function depositPosition(uint64 nonce) pure returns (Position) {
    return Position.wrap((1 << 63) | (nonce << 4));
}

/// Returns whether the coin was made by a deposit.
function isDeposit(Position position) pure returns (bool) {
    return Position.unwrap(position) >> 63 != 0;
}

/// Returns the block that made a child-chain output. Means nothing for a deposit.
function blockNumber(Position position) pure returns (uint64) {
    return Position.unwrap(position) >> 24;
}

/// Returns the transaction's index in its block. Means nothing for a deposit.
function transactionIn(Position position) pure returns (uint32) {
    return uint32((Position.unwrap(position) >> 4) & ((1 << 20) - 1));
}

/// Returns the nonce of a deposit. Means nothing for a child-chain output.
function depositNonce(Position position) pure returns (uint64) {
    return uint40(Position.unwrap(position) >> 4);
}

/// Returns which output of its transaction was made here.
function outputIn(Position position) pure returns (uint8) {
    return uint8(Position.unwrap(position) & 15);
}

function isAt(Position position, Position other) pure returns (bool) {
    return Position.unwrap(position) == Position.unwrap(other);
}

/// Returns the position of an output of the transaction at a place, which is the position of its output 0.
function ofOutput(Position place, uint8 outputIndex) pure returns (Position) {
    return Position.wrap(Position.unwrap(place) | outputIndex);
}

/// Returns whether it comes before another position of the child chain.
function isOlderThan(Position position, Position other) pure returns (bool) {
    return Position.unwrap(position) < Position.unwrap(other);
}
