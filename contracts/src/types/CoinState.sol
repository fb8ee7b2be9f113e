// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// All that the root chain knows of an output id. §5.1.
///
/// state 0–39 | assigned 40 | record hash 41–255
///
/// state: 0 nothing, 1 a deposit, otherwise the freeze time of the settled coin.
/// record hash: the top bits of the pending exit's record hash, zero if the coin is not exiting.
type CoinState is uint256;

using {
    recordHash,
    isExiting,
    isExitOf,
    isAssigned,
    isSettled,
    state,
    withExit,
    withAssignment,
    withoutExit,
    withSettlement
} for CoinState global;

CoinState constant UNKNOWN_COIN = CoinState.wrap(0);
CoinState constant DEPOSITED_COIN = CoinState.wrap(1);

uint256 constant STATE_MASK = (1 << 40) - 1;
uint256 constant ASSIGNED_FLAG = 1 << 40;
uint256 constant RECORD_HASH_MASK = ~uint256((1 << 41) - 1);

/// Returns the word of a coin settled by an exit that froze it at `freeze`, and whose record is gone.
function settledCoin(uint256 freeze) pure returns (CoinState) {
    return CoinState.wrap(freeze);
}

function recordHash(CoinState coin) pure returns (bytes32) {
    return bytes32(CoinState.unwrap(coin) & RECORD_HASH_MASK);
}

function isExiting(CoinState coin) pure returns (bool) {
    return CoinState.unwrap(coin) & RECORD_HASH_MASK != 0;
}

/// Returns whether the pending exit is the one whose record has this hash.
function isExitOf(CoinState coin, bytes32 hash) pure returns (bool) {
    return coin.isExiting() && (CoinState.unwrap(coin) ^ uint256(hash)) & RECORD_HASH_MASK == 0;
}

function isAssigned(CoinState coin) pure returns (bool) {
    return CoinState.unwrap(coin) & ASSIGNED_FLAG != 0;
}

function isSettled(CoinState coin) pure returns (bool) {
    return coin.state() > CoinState.unwrap(DEPOSITED_COIN);
}

function state(CoinState coin) pure returns (uint64) {
    return uint40(CoinState.unwrap(coin));
}

/// Returns the word with a pending exit. The coin is neither exiting nor settled.
function withExit(CoinState coin, bytes32 hash) pure returns (CoinState) {
    return CoinState.wrap(CoinState.unwrap(coin) | (uint256(hash) & RECORD_HASH_MASK));
}

function withAssignment(CoinState coin) pure returns (CoinState) {
    return CoinState.wrap(CoinState.unwrap(coin) | ASSIGNED_FLAG);
}

function withoutExit(CoinState coin) pure returns (CoinState) {
    return CoinState.wrap(CoinState.unwrap(coin) & STATE_MASK);
}

/// Returns the word of a coin settled by an in-flight exit that froze it at `freeze`. A pending exit stays, until its
/// turn comes and it pays nothing.
function withSettlement(CoinState coin, uint256 freeze) pure returns (CoinState) {
    return CoinState.wrap((CoinState.unwrap(coin) & ~STATE_MASK) | freeze);
}
