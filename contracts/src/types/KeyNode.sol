// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// One exit key in the sorted list of its asset. §4.
///
/// next key 0–39 | pending exits 40–71 | listed 72
///
/// 2^32 exits and pieces under one key are out of reach: a key takes new ones for at most one and a half MEP, and each
/// costs more than 2,500 gas and holds a bond. So many would fill the root chain's blocks for weeks, and hold millions of
/// ether.
type KeyNode is uint256;

using {next, count, isListed, linkedTo, withOneMore, withOneLess} for KeyNode global;

KeyNode constant NOT_LISTED = KeyNode.wrap(0);

uint256 constant NEXT_MASK = (1 << 40) - 1;
uint256 constant ONE_EXIT = 1 << 40;
uint256 constant LISTED_FLAG = 1 << 72;

/// Returns a listed key without exits, before `nextKey`.
function newKeyNode(uint256 nextKey) pure returns (KeyNode) {
    return KeyNode.wrap(LISTED_FLAG | nextKey);
}

/// Returns the following key, zero at the end of the list.
function next(KeyNode node) pure returns (uint256) {
    return KeyNode.unwrap(node) & NEXT_MASK;
}

function count(KeyNode node) pure returns (uint32) {
    return uint32(KeyNode.unwrap(node) >> 40);
}

function isListed(KeyNode node) pure returns (bool) {
    return KeyNode.unwrap(node) & LISTED_FLAG != 0;
}

/// Returns the node, listed, with another follower.
function linkedTo(KeyNode node, uint256 nextKey) pure returns (KeyNode) {
    return KeyNode.wrap((KeyNode.unwrap(node) & ~NEXT_MASK) | LISTED_FLAG | nextKey);
}

function withOneMore(KeyNode node) pure returns (KeyNode) {
    return KeyNode.wrap(KeyNode.unwrap(node) + ONE_EXIT);
}

/// Returns the node with one exit less. It has one.
function withOneLess(KeyNode node) pure returns (KeyNode) {
    return KeyNode.wrap(KeyNode.unwrap(node) - ONE_EXIT);
}
