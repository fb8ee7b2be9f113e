// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Where a coin was made, as the operator claims. §1.1.
///
/// child-chain output: 0 | block 39 bits | transaction index 20 bits | output index 4 bits
/// deposit:            1 | zero 19 bits  | nonce 40 bits             | zero 4 bits
type Position is uint64;

using {isDeposit, blockNumber} for Position global;

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
