// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// The Merkle tree over a block's transactions. §1.7.
library TransactionTree {
    uint8 private constant LEAF_TAG = 0x00;

    /// Returns the leaf of a transaction.
    function leaf(bytes32 txHash, bytes32 witnessHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(LEAF_TAG, txHash, witnessHash));
    }

    /// Returns the depth of a tree with `count` leaves: the logarithm to base two, rounded up.
    function depth(uint32 count) internal pure returns (uint256) {
        return count < 2 ? 0 : _bitLength(count - 1);
    }

    /// Returns the root that a leaf and its siblings, lowest first, lead to.
    function root(bytes32 start, uint256 index, bytes32[] calldata path) internal pure returns (bytes32 node) {
        node = start;
        for (uint256 level = 0; level < path.length; ++level) {
            bytes32 sibling = path[level];
            node = (index >> level) & 1 == 0 ? _parent(node, sibling) : _parent(sibling, node);
        }
    }

    function _bitLength(uint256 value) private pure returns (uint256 length) {
        assembly ("memory-safe") {
            length := sub(256, clz(value))
        }
    }

    /// Returns `H(0x01 ‖ left ‖ right)`. Hashed beyond the free memory, which a packed encoding would allocate once
    /// a level.
    function _parent(bytes32 left, bytes32 right) private pure returns (bytes32 node) {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore8(preimage, 0x01)
            mstore(add(preimage, 1), left)
            mstore(add(preimage, 33), right)
            node := keccak256(preimage, 65)
        }
    }
}
