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
        if (body.length < COUNTS_LENGTH || uint8(body[0]) != VERSION) return false;
        uint256 inputs = inputCount(body);
        uint256 outputs = outputCount(body);
        if (inputs == 0 || inputs > INPUTS_MAX || outputs == 0 || outputs > OUTPUTS_MAX) return false;
        if (body.length != _outputOffset(inputs, outputs) + MEMO_LENGTH) return false;
        for (uint256 i = 1; i < inputs; ++i) {
            if (inputAt(body, i) <= inputAt(body, i - 1)) return false;
        }
        for (uint256 i = 0; i < outputs; ++i) {
            (address owner,, uint128 amount) = outputAt(body, i);
            if (kindAt(body, i) != KIND_OWNED || owner == address(0) || amount == 0) return false;
        }
        return true;
    }

    function inputCount(bytes calldata body) internal pure returns (uint256) {
        return uint8(body[1]);
    }

    function outputCount(bytes calldata body) internal pure returns (uint256) {
        return uint8(body[2]);
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

    function kindAt(bytes calldata body, uint256 index) internal pure returns (uint8) {
        return uint8(bytes1(_wordAt(body, _outputOffset(inputCount(body), index))));
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
    function outputId(bytes32 txHash, uint8 outputIndex) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(OUTPUT_ID_TAG, txHash, outputIndex));
    }

    /// Returns the name of the coin that a deposit makes. §1.4.
    function depositId(uint64 nonce, address owner, address asset, uint128 amount) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(DEPOSIT_ID_TAG, nonce, owner, asset, amount));
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
