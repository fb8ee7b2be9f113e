// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../interfaces/IRootChain.sol";

/// Structs of which the contract keeps the hash of their ABI encoding alone. Their fields being words, that encoding is
/// what already lies in memory, or in the calldata of callers who show one again.
library Commitments {
    uint256 private constant HEADER_LENGTH = 6 * 32;
    uint256 private constant EXIT_RECORD_LENGTH = 6 * 32;

    /// Returns the commitment of a block's header. §1.9.
    function ofHeader(IRootChain.Header memory header) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(header, HEADER_LENGTH)
        }
    }

    /// Returns the commitment of a header in calldata.
    function ofShownHeader(IRootChain.Header calldata header) internal pure returns (bytes32) {
        uint256 offset;
        assembly ("memory-safe") {
            offset := header
        }
        return _hashCalldata(offset, HEADER_LENGTH);
    }

    /// Returns the hash of an exit record. §5.1.
    function ofExit(IRootChain.ExitRecord memory exit) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(exit, EXIT_RECORD_LENGTH)
        }
    }

    /// Returns the hash of an exit record in calldata.
    function ofShownExit(IRootChain.ExitRecord calldata exit) internal pure returns (bytes32) {
        uint256 offset;
        assembly ("memory-safe") {
            offset := exit
        }
        return _hashCalldata(offset, EXIT_RECORD_LENGTH);
    }

    /// Hashes calldata as it is. A field with bits that its type does not have changes the hash, so that such a struct
    /// is none that was committed to.
    function _hashCalldata(uint256 offset, uint256 length) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let copy := mload(0x40)
            calldatacopy(copy, offset, length)
            hash := keccak256(copy, length)
        }
    }
}
