// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Position, depositPosition} from "../types/Position.sol";
import {Signing} from "./Signing.sol";

/// Reads witnesses in calldata. §1.5.
///
/// signature 64 (r, yParity‖s) | for each input: position u64
///
/// Every function but `isCanonical` expects a canonical witness and indexes within the inputs.
library WitnessCodec {
    uint256 private constant SIGNATURE_LENGTH = 64;
    uint256 private constant POSITION_LENGTH = 8;

    /// Returns whether an encoder could have produced the witness of a body with so many inputs.
    function isCanonical(bytes calldata witness, uint256 inputs) internal pure returns (bool) {
        if (witness.length != SIGNATURE_LENGTH + inputs * POSITION_LENGTH) return false;
        (bytes32 r, bytes32 vs) = signatureOf(witness);
        if (!Signing.isInRange(r, vs)) return false;
        for (uint256 i = 0; i < inputs; ++i) {
            Position position = positionAt(witness, i);
            if (position.isDeposit() && !position.isAt(depositPosition(position.depositNonce()))) return false;
        }
        return true;
    }

    function signatureOf(bytes calldata witness) internal pure returns (bytes32 r, bytes32 vs) {
        return (bytes32(witness[:32]), bytes32(witness[32:SIGNATURE_LENGTH]));
    }

    /// Returns the placement of an input.
    function positionAt(bytes calldata witness, uint256 index) internal pure returns (Position) {
        uint256 offset = SIGNATURE_LENGTH + index * POSITION_LENGTH;
        return Position.wrap(uint64(bytes8(witness[offset:offset + POSITION_LENGTH])));
    }
}
