// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../interfaces/IRootChain.sol";

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

    /// Returns whether the block with this header has the leaf at an index, by exactly as many siblings as its tree is deep.
    function holds(IRootChain.Header calldata header, uint32 txIndex, bytes32 leaf_, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        uint32 txCount = header.txCount;
        return txIndex < txCount && path.length == depth(txCount) && root(leaf_, txIndex, path) == header.txRoot;
    }

    /// Returns the root that a leaf and its siblings, lowest first, lead to.
    ///
    /// Each parent is `H(0x01 ‖ left ‖ right)`, hashed beyond the free memory, which a packed encoding would allocate
    /// once a level.
    function root(bytes32 start, uint256 index, bytes32[] calldata path) internal pure returns (bytes32 node) {
        assembly ("memory-safe") {
            node := start
            let preimage := mload(0x40)
            mstore8(preimage, 0x01)
            let left := add(preimage, 1)
            let right := add(preimage, 33)
            // Each level's bit of the index comes to stand where it says 32.
            index := shl(5, index)
            let end := add(path.offset, mul(path.length, 32))
            for { let sibling := path.offset } lt(sibling, end) { sibling := add(sibling, 32) } {
                // A node with an odd index is the right one.
                let side := and(index, 32)
                mstore(add(left, side), node)
                mstore(sub(right, side), calldataload(sibling))
                node := keccak256(preimage, 65)
                index := shr(1, index)
            }
        }
    }

    function _bitLength(uint256 value) private pure returns (uint256 length) {
        assembly ("memory-safe") {
            length := sub(256, clz(value))
        }
    }
}
