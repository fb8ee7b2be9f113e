// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Small unspent trees, made level by level
/// @notice The rules of the `sparse-merkle-tree` crate as they are written there, one merge a height, so that a mistake
/// in the verifier's short cuts does not hide in the tests. §1.8.
library SparseTree {
    struct Entry {
        uint64 key;
        bytes32 value;
    }

    /// What the crate calls a merge value: empty, a hash, or a hash that merges with empty sides only.
    struct Node {
        bool isEmpty;
        bool isSkip;
        /// The hash, or the base of the merges.
        bytes32 hash;
        /// On which sides the subtree stood.
        bytes32 sides;
        /// How many merges there were.
        uint256 count;
    }

    uint256 private constant HEIGHT_BASE = 192;

    error NotThere(uint64 key);

    function root(Entry[] memory entries) internal pure returns (bytes32) {
        return _hash(_subtree(entries, 64, 0));
    }

    /// Returns `bitmap u64 ‖ siblings`.
    function prove(Entry[] memory entries, uint64 key) internal pure returns (bytes memory) {
        require(!_subtree(entries, 0, key).isEmpty, NotThere(key));
        uint64 bitmap = 0;
        bytes memory siblings;
        for (uint256 bit = 0; bit < 64; ++bit) {
            Node memory sibling = _subtree(entries, bit, key ^ (uint64(1) << uint64(bit)));
            if (sibling.isEmpty) continue;
            bitmap |= uint64(1) << uint64(bit);
            siblings = bytes.concat(siblings, _hash(sibling));
        }
        return bytes.concat(bytes8(bitmap), siblings);
    }

    /// Returns the subtree of the keys that have a key's bits from `bit` on.
    function _subtree(Entry[] memory entries, uint256 bit, uint64 key) private pure returns (Node memory node) {
        node.isEmpty = true;
        uint256 held = entries.length;
        for (uint256 i = 0; i < entries.length; ++i) {
            if (uint256(entries[i].key) >> bit == uint256(key) >> bit) held = i;
        }
        if (held == entries.length) return node;
        if (bit == 0) {
            node = Node(false, false, entries[held].value, 0, 0);
            for (uint256 height = 0; height < HEIGHT_BASE; ++height) {
                node = _mergeWithEmpty(height, _word(key), node, false);
            }
            return node;
        }
        uint256 side = bit - 1;
        uint64 right = key | (uint64(1) << uint64(side));
        return
            _merge(
                side, key, _subtree(entries, side, right ^ (uint64(1) << uint64(side))), _subtree(entries, side, right)
            );
    }

    function _merge(uint256 bit, uint64 key, Node memory left, Node memory right) private pure returns (Node memory) {
        bytes32 above = _word(uint64(uint256(key) >> (bit + 1) << (bit + 1)));
        if (left.isEmpty) return _mergeWithEmpty(HEIGHT_BASE + bit, above, right, true);
        if (right.isEmpty) return _mergeWithEmpty(HEIGHT_BASE + bit, above, left, false);
        bytes memory preimage =
            bytes.concat(hex"01", bytes1(uint8(HEIGHT_BASE + bit)), above, _hash(left), _hash(right));
        return Node(false, false, keccak256(preimage), 0, 0);
    }

    function _mergeWithEmpty(uint256 height, bytes32 above, Node memory node, bool isRight)
        private
        pure
        returns (Node memory)
    {
        if (!node.isSkip) {
            bytes32 base = keccak256(bytes.concat(bytes1(uint8(height)), above, node.hash));
            node = Node(false, true, base, 0, 0);
        }
        if (isRight) node.sides |= _word(uint64(1) << uint64(height - HEIGHT_BASE));
        ++node.count;
        return node;
    }

    function _hash(Node memory node) private pure returns (bytes32) {
        if (!node.isSkip) return node.hash;
        return keccak256(bytes.concat(hex"02", node.hash, node.sides, bytes1(uint8(node.count))));
    }

    /// Returns a key as 32 bytes: the last eight, little-endian.
    function _word(uint64 key) private pure returns (bytes32 word) {
        for (uint256 i = 0; i < 8; ++i) {
            word |= bytes32((uint256(key) >> (8 * i) & 0xff) << (56 - 8 * i));
        }
    }
}
