// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Reads transaction bodies in calldata, and names what they and deposits make. §1.3–§1.5.
///
/// version u8 = 1 | inputs u8 1..=16 | outputs u8 1..=16 | inputs × output id 32 | outputs × output 57 | memo 32
/// output: kind u8 = 1 | owner 20 | asset 20 | amount u128
///
/// Every function but `isCanonical` expects a canonical body and indexes within its counts.
library TransactionCodec {
    uint256 private constant VERSION = 1;
    uint256 private constant KIND_OWNED = 1;
    uint256 private constant INPUTS_MAX = 16;
    uint256 private constant OUTPUTS_MAX = 16;
    uint256 private constant COUNTS_LENGTH = 3;
    uint256 private constant INPUT_LENGTH = 32;
    uint256 private constant OUTPUT_LENGTH = 57;
    uint256 private constant MEMO_LENGTH = 32;

    uint8 private constant DEPOSIT_ID_TAG = 0x03;
    uint8 private constant OUTPUT_ID_TAG = 0x04;

    /// Returns whether an encoder could have produced the body. §1.5.
    function isCanonical(bytes calldata body) internal pure returns (bool) {
        if (body.length < COUNTS_LENGTH || uint8(_wordAt(body, 0)[0]) != VERSION) return false;
        uint256 inputs = inputCount(body);
        uint256 outputs = outputCount(body);
        if (inputs == 0 || inputs > INPUTS_MAX || outputs == 0 || outputs > OUTPUTS_MAX) return false;
        if (body.length != _outputOffset(inputs, outputs) + MEMO_LENGTH) return false;
        return _inputsAscend(body, inputs) && _outputsAreOwned(body, inputs, outputs);
    }

    /// Returns the transaction's name. Hashed beyond the free memory, which `keccak256(body)` would allocate.
    function hashOf(bytes calldata body) internal pure returns (bytes32 txHash) {
        assembly ("memory-safe") {
            let copy := mload(0x40)
            calldatacopy(copy, body.offset, body.length)
            txHash := keccak256(copy, body.length)
        }
    }

    function inputCount(bytes calldata body) internal pure returns (uint256) {
        return uint8(_wordAt(body, 0)[1]);
    }

    function outputCount(bytes calldata body) internal pure returns (uint256) {
        return uint8(_wordAt(body, 0)[2]);
    }

    /// Returns the output id that an input names.
    function inputAt(bytes calldata body, uint256 index) internal pure returns (bytes32) {
        unchecked {
            return _wordAt(body, COUNTS_LENGTH + index * INPUT_LENGTH);
        }
    }

    /// Returns all input ids, one after the other.
    function inputsOf(bytes calldata body) internal pure returns (bytes calldata) {
        return body[COUNTS_LENGTH:_outputOffset(inputCount(body), 0)];
    }

    /// Returns all outputs, one after the other.
    function outputsOf(bytes calldata body) internal pure returns (bytes calldata) {
        return body[_outputOffset(inputCount(body), 0):body.length - MEMO_LENGTH];
    }

    function outputAt(bytes calldata body, uint256 index)
        internal
        pure
        returns (address owner, address asset, uint128 amount)
    {
        unchecked {
            uint256 offset = _outputOffset(inputCount(body), index);
            owner = address(bytes20(_wordAt(body, offset + 1)));
            asset = address(bytes20(_wordAt(body, offset + 21)));
            amount = uint128(bytes16(_wordAt(body, offset + 41)));
        }
    }

    function memoOf(bytes calldata body) internal pure returns (bytes32) {
        return _wordAt(body, body.length - MEMO_LENGTH);
    }

    /// Returns whether the transaction spends the coin with this id.
    function spends(bytes calldata body, bytes32 id) internal pure returns (bool) {
        uint256 inputs = inputCount(body);
        for (uint256 i = 0; i < inputs; ++i) {
            if (inputAt(body, i) == id) return true;
        }
        return false;
    }

    /// Returns the name of an output of the transaction with this hash. §1.4.
    function outputId(bytes32 txHash, uint8 outputIndex) internal pure returns (bytes32 id) {
        // In the scratch space: H(0x04 ‖ txHash ‖ outputIndex u8).
        assembly ("memory-safe") {
            mstore8(0, OUTPUT_ID_TAG)
            mstore(1, txHash)
            mstore8(33, outputIndex)
            id := keccak256(0, 34)
        }
    }

    /// Returns the name of the coin that a deposit makes. §1.4.
    function depositId(uint64 nonce, address owner, address asset, uint128 amount) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(DEPOSIT_ID_TAG, nonce, owner, asset, amount));
    }

    /// Returns whether each input id is greater than the one before.
    function _inputsAscend(bytes calldata body, uint256 inputs) private pure returns (bool ascend) {
        assembly ("memory-safe") {
            ascend := 1
            let offset := add(body.offset, COUNTS_LENGTH)
            let end := add(offset, mul(inputs, INPUT_LENGTH))
            let previous := calldataload(offset)
            for { offset := add(offset, INPUT_LENGTH) } lt(offset, end) { offset := add(offset, INPUT_LENGTH) } {
                let id := calldataload(offset)
                ascend := and(ascend, gt(id, previous))
                previous := id
            }
        }
    }

    /// Returns whether each output is of kind 1, has an owner, and an amount.
    function _outputsAreOwned(bytes calldata body, uint256 inputs, uint256 outputs) private pure returns (bool owned) {
        uint256 first = _outputOffset(inputs, 0);
        assembly ("memory-safe") {
            owned := 1
            let offset := add(body.offset, first)
            let end := add(offset, mul(outputs, OUTPUT_LENGTH))
            for {} lt(offset, end) { offset := add(offset, OUTPUT_LENGTH) } {
                let kindAndOwner := shr(88, calldataload(offset))
                let amount := shr(128, calldataload(add(offset, 41)))
                let hasOwner := iszero(iszero(shl(96, kindAndOwner)))
                owned := and(owned, and(eq(shr(160, kindAndOwner), KIND_OWNED), and(hasOwner, iszero(iszero(amount)))))
            }
        }
    }

    function _outputOffset(uint256 inputs, uint256 index) private pure returns (uint256) {
        unchecked {
            return COUNTS_LENGTH + inputs * INPUT_LENGTH + index * OUTPUT_LENGTH;
        }
    }

    /// Returns 32 bytes of the body; those past its end mean nothing. Without the bounds check of a slice, which
    /// `isCanonical` makes needless.
    function _wordAt(bytes calldata body, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := calldataload(add(body.offset, offset))
        }
    }
}
