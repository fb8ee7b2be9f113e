// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../interfaces/IFaults.sol";
import {TransactionCodec} from "./TransactionCodec.sol";

/// What made a coin: a canonical body, or a deposit's owner, asset and amount. §1.4.
library Creations {
    using TransactionCodec for bytes;

    uint256 private constant DEPOSIT_FIELDS_LENGTH = 20 + 20 + 16;
    /// §1.3.
    uint8 private constant KIND_OWNED = 1;

    /// Returns whether what is shown can only be a deposit's fields, since no body is as short.
    function isDeposit(IFaults.Creation calldata creation) internal pure returns (bool) {
        return creation.fields.length == DEPOSIT_FIELDS_LENGTH;
    }

    /// Returns the fields of a deposit.
    function depositOf(IFaults.Creation calldata creation)
        internal
        pure
        returns (address owner, address asset, uint128 amount)
    {
        bytes calldata fields = creation.fields;
        return (address(bytes20(fields[:20])), address(bytes20(fields[20:40])), uint128(bytes16(fields[40:])));
    }

    /// Returns the name of the coin that a deposit with these fields makes.
    function depositId(IFaults.Creation calldata creation) internal pure returns (bytes32) {
        (address owner, address asset, uint128 amount) = depositOf(creation);
        return TransactionCodec.depositId(creation.index, owner, asset, amount);
    }

    /// Returns whether what is shown is a canonical body that makes the output.
    function isOutput(IFaults.Creation calldata creation) internal pure returns (bool) {
        return creation.fields.isCanonical() && creation.index < creation.fields.outputCount();
    }

    /// Returns what the unspent tree holds of a coin: `H(outputId ‖ output)`. §1.8.
    function treeValue(bytes32 outputId, address owner, address asset, uint128 amount) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(outputId, KIND_OWNED, owner, asset, amount));
    }
}
