// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Position} from "../types/Position.sol";

/// Reads and writes the data of an in-flight exit, of which the contract keeps the hash alone: words of 32 bytes. §6.
///
/// starter | owner of the inputs | for each input: output id | position | creation time, zero for a deposit | asset
/// | amount
///
/// Functions that read expect data whose hash was checked, and all of them index within the inputs.
library InFlightData {
    /// An input as it lies in the data.
    struct Input {
        bytes32 outputId;
        Position position;
        uint256 createdAt;
        address asset;
        uint256 amount;
    }

    uint256 private constant HEAD_LENGTH = 2 * 32;
    uint256 private constant INPUT_LENGTH = 5 * 32;

    // --------------------------------------------------------------- reading

    function starterOf(bytes calldata data) internal pure returns (address) {
        return address(uint160(_wordAt(data, 0)));
    }

    /// Returns the owner of all inputs.
    function ownerOf(bytes calldata data) internal pure returns (address) {
        return address(uint160(_wordAt(data, 32)));
    }

    function inputCount(bytes calldata data) internal pure returns (uint256) {
        return (data.length - HEAD_LENGTH) / INPUT_LENGTH;
    }

    function outputIdAt(bytes calldata data, uint256 index) internal pure returns (bytes32) {
        return bytes32(_fieldAt(data, index, 0));
    }

    function positionAt(bytes calldata data, uint256 index) internal pure returns (Position) {
        return Position.wrap(uint64(_fieldAt(data, index, 32)));
    }

    /// Returns the timestamp of the block of `positionAt`.
    function createdAt(bytes calldata data, uint256 index) internal pure returns (uint256) {
        return _fieldAt(data, index, 64);
    }

    function assetAt(bytes calldata data, uint256 index) internal pure returns (address) {
        return address(uint160(_fieldAt(data, index, 96)));
    }

    function amountAt(bytes calldata data, uint256 index) internal pure returns (uint128) {
        return uint128(_fieldAt(data, index, 128));
    }

    // --------------------------------------------------------------- writing

    /// Returns data with room for as many inputs and without an owner.
    function create(address starter, uint256 inputs) internal pure returns (bytes memory data) {
        data = new bytes(HEAD_LENGTH + inputs * INPUT_LENGTH);
        assembly ("memory-safe") {
            mstore(add(data, 32), starter)
        }
    }

    function setOwner(bytes memory data, address owner) internal pure {
        assembly ("memory-safe") {
            mstore(add(data, 64), owner)
        }
    }

    function setInput(bytes memory data, uint256 index, Input memory input) internal pure {
        uint256 offset = _offsetOf(index);
        assembly ("memory-safe") {
            mcopy(add(add(data, 32), offset), input, INPUT_LENGTH)
        }
    }

    /// Returns the asset and the amount of an input of data in memory.
    function assetAndAmountIn(bytes memory data, uint256 index) internal pure returns (address asset, uint256 amount) {
        uint256 offset = _offsetOf(index);
        assembly ("memory-safe") {
            let input := add(add(data, 32), offset)
            asset := mload(add(input, 96))
            amount := mload(add(input, 128))
        }
    }

    // -------------------------------------------------------------- internals

    function _offsetOf(uint256 index) private pure returns (uint256) {
        unchecked {
            return HEAD_LENGTH + index * INPUT_LENGTH;
        }
    }

    function _fieldAt(bytes calldata data, uint256 index, uint256 field) private pure returns (uint256) {
        unchecked {
            return _wordAt(data, _offsetOf(index) + field);
        }
    }

    function _wordAt(bytes calldata data, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(data.offset, offset))
        }
    }
}
