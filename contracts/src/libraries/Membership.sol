// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Proofs that an unspent tree holds a coin. §1.8.
///
/// bitmap u64 | siblings, 32 bytes each, lowest first
///
/// Bit *b* of the bitmap says that height 192 + *b* has a sibling that is not zero. The tree is a sparse Merkle tree of 256
/// heights, in whose top 64 the positions are; all below has no siblings. Hashes are those of the `sparse-merkle-tree` crate.
/// Absence cannot be expressed.
library Membership {
    uint256 private constant BITMAP_LENGTH = 8;
    uint256 private constant SIBLING_LENGTH = 32;
    /// The first height at which a position has a bit, and the height of the root.
    uint256 private constant HEIGHT_BASE = 192;
    uint256 private constant HEIGHTS = 256;
    /// Domain bytes of a merge of two sides, and of one side with empty ones.
    uint8 private constant MERGE_TAG = 0x01;
    uint8 private constant SKIP_TAG = 0x02;

    /// Returns whether the tree with this root holds the value, which is not zero, under a key.
    function holds(bytes32 root, uint64 key, bytes32 value, bytes calldata proof) internal pure returns (bool) {
        if (value == 0 || proof.length < BITMAP_LENGTH) return false;
        uint256 bitmap = uint64(bytes8(proof));
        uint256 offset = BITMAP_LENGTH;
        bytes32 node = value;
        uint256 height = 0;
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            if (offset + SIBLING_LENGTH > proof.length) return false;
            bytes32 sibling = _wordAt(proof, offset);
            if (sibling == 0) return false;
            offset += SIBLING_LENGTH;
            uint256 bit = _lowestBit(bitmap);
            node = _skipped(height, HEIGHT_BASE + bit, key, node);
            height = HEIGHT_BASE + bit;
            node = (key >> bit) & 1 == 0 ? _merged(height, key, node, sibling) : _merged(height, key, sibling, node);
            ++height;
        }
        return offset == proof.length && _skipped(height, HEIGHTS, key, node) == root;
    }

    /// Merges two sides, neither empty: `H(0x01 ‖ height u8 ‖ key above it ‖ left ‖ right)`.
    function _merged(uint256 height, uint64 key, bytes32 left, bytes32 right) private pure returns (bytes32 node) {
        uint256 path = _keyWord(key & _bitsFrom(height + 1));
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore8(preimage, MERGE_TAG)
            mstore8(add(preimage, 1), height)
            mstore(add(preimage, 2), path)
            mstore(add(preimage, 34), left)
            mstore(add(preimage, 66), right)
            node := keccak256(preimage, 98)
        }
    }

    /// Merges a subtree of this height with the empty sides up to another:
    /// `H(0x02 ‖ H(height u8 ‖ key above it ‖ subtree) ‖ key's bits on the way ‖ count u8)`, where 256 counts as zero.
    function _skipped(uint256 height, uint256 to, uint64 key, bytes32 subtree) private pure returns (bytes32 node) {
        if (height == to) return subtree;
        uint256 path = _keyWord(key & _bitsFrom(height + 1));
        uint256 sides = _keyWord(key & _bitsFrom(height) & ~_bitsFrom(to));
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore8(preimage, height)
            mstore(add(preimage, 1), path)
            mstore(add(preimage, 33), subtree)
            let base := keccak256(preimage, 65)
            mstore8(preimage, SKIP_TAG)
            mstore(add(preimage, 1), base)
            mstore(add(preimage, 33), sides)
            mstore8(add(preimage, 65), sub(to, height))
            node := keccak256(preimage, 66)
        }
    }

    /// Returns a mask of the key's bits at a height and above.
    function _bitsFrom(uint256 height) private pure returns (uint64) {
        uint256 shift = height < HEIGHT_BASE ? 0 : height - HEIGHT_BASE;
        return uint64(uint256(type(uint64).max) << shift);
    }

    /// Returns a key as the tree's word: 24 zero bytes, then the key, little-endian.
    function _keyWord(uint256 key) private pure returns (uint256) {
        key = ((key & 0xff00ff00ff00ff00) >> 8) | ((key & 0x00ff00ff00ff00ff) << 8);
        key = ((key & 0xffff0000ffff0000) >> 16) | ((key & 0x0000ffff0000ffff) << 16);
        return (key >> 32) | ((key & 0xffffffff) << 32);
    }

    function _lowestBit(uint256 bitmap) private pure returns (uint256 bit) {
        assembly ("memory-safe") {
            bit := sub(255, clz(and(bitmap, sub(0, bitmap))))
        }
    }

    /// Returns 32 bytes of the proof, which has them.
    function _wordAt(bytes calldata proof, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := calldataload(add(proof.offset, offset))
        }
    }
}
