// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// The ledger's counters in one word.
///
/// next block number 0–39 | last timestamp 40–79 | covered deposits 80–119 | next nonce 120–159 | ether owed 160–254
/// | stopped 255
///
/// *Stopped* says that blocks are refused: the chain is halted or closed, or the operator's bond short. Without it nobody
/// need read those words.
type Head is uint256;

using {
    nextNumber,
    lastTimestamp,
    depositCount,
    nextNonce,
    etherOwed,
    isStopped,
    withBlock,
    withDeposit,
    withEtherOwed,
    withStopped
} for Head global;

// Ether owed to exits stays below it. §2.
uint256 constant ETHER_OWED_LIMIT = 1 << 95;

uint256 constant LAST_TIMESTAMP_SHIFT = 40;
uint256 constant DEPOSIT_COUNT_SHIFT = 80;
uint256 constant NEXT_NONCE_SHIFT = 120;
uint256 constant ETHER_OWED_SHIFT = 160;
uint256 constant STOPPED_SHIFT = 255;

uint256 constant ONE_DEPOSIT = 1 << 120;
uint256 constant BLOCK_FIELDS_MASK = (1 << 120) - 1;

/// Returns the head of a chain deployed at `timestamp`: no deposits, and its first block is 1.
function newHead(uint256 timestamp) pure returns (Head) {
    return Head.wrap(1 | (timestamp << LAST_TIMESTAMP_SHIFT));
}

function nextNumber(Head head) pure returns (uint64) {
    return uint40(Head.unwrap(head));
}

function lastTimestamp(Head head) pure returns (uint64) {
    return uint40(Head.unwrap(head) >> LAST_TIMESTAMP_SHIFT);
}

function depositCount(Head head) pure returns (uint64) {
    return uint40(Head.unwrap(head) >> DEPOSIT_COUNT_SHIFT);
}

function nextNonce(Head head) pure returns (uint64) {
    return uint40(Head.unwrap(head) >> NEXT_NONCE_SHIFT);
}

function etherOwed(Head head) pure returns (uint256) {
    return (Head.unwrap(head) >> ETHER_OWED_SHIFT) & (ETHER_OWED_LIMIT - 1);
}

function isStopped(Head head) pure returns (bool) {
    return Head.unwrap(head) >> STOPPED_SHIFT != 0;
}

/// Returns the head after the next block. Its number is below 2^39, and `covered` at most the next nonce.
function withBlock(Head head, uint256 timestamp, uint64 covered) pure returns (Head) {
    uint256 kept = Head.unwrap(head) & ~BLOCK_FIELDS_MASK;
    uint256 number = uint256(head.nextNumber()) + 1;
    return Head.wrap(kept | (uint256(covered) << DEPOSIT_COUNT_SHIFT) | (timestamp << LAST_TIMESTAMP_SHIFT) | number);
}

/// Returns the head with one nonce more taken. The nonce is below 2^40 − 1.
function withDeposit(Head head) pure returns (Head) {
    return Head.wrap(Head.unwrap(head) + ONE_DEPOSIT);
}

/// Returns the head with `owed` in place of what it owed. Below `ETHER_OWED_LIMIT`.
function withEtherOwed(Head head, uint256 owed) pure returns (Head) {
    uint256 others = Head.unwrap(head) & ~((ETHER_OWED_LIMIT - 1) << ETHER_OWED_SHIFT);
    return Head.wrap(others | (owed << ETHER_OWED_SHIFT));
}

function withStopped(Head head, bool stopped) pure returns (Head) {
    uint256 others = Head.unwrap(head) & ~(uint256(1) << STOPPED_SHIFT);
    return Head.wrap(stopped ? others | (uint256(1) << STOPPED_SHIFT) : others);
}
