// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../../src/interfaces/IRootChain.sol";
import {Commitments} from "../../src/libraries/Commitments.sol";
import {ExitTiming} from "../../src/libraries/ExitTiming.sol";
import {Membership} from "../../src/libraries/Membership.sol";
import {Signing} from "../../src/libraries/Signing.sol";
import {TransactionCodec} from "../../src/libraries/TransactionCodec.sol";
import {TransactionTree} from "../../src/libraries/TransactionTree.sol";
import {WitnessCodec} from "../../src/libraries/WitnessCodec.sol";

/// @title The libraries' functions as calls
/// @notice Tests compare the Rust encodings with these over random values.
contract CodecOracle {
    function transactionHash(bytes calldata body) external pure returns (bytes32) {
        return keccak256(body);
    }

    function isCanonical(bytes calldata body) external pure returns (bool) {
        return TransactionCodec.isCanonical(body);
    }

    function isCanonicalWitness(bytes calldata witness, uint256 inputs) external pure returns (bool) {
        return WitnessCodec.isCanonical(witness, inputs);
    }

    function outputId(bytes32 txHash, uint8 outputIndex) external pure returns (bytes32) {
        return TransactionCodec.outputId(txHash, outputIndex);
    }

    function depositId(uint64 nonce, address owner, address asset, uint128 amount) external pure returns (bytes32) {
        return TransactionCodec.depositId(nonce, owner, asset, amount);
    }

    function signingHash(bytes calldata body, address verifyingContract) external view returns (bytes32) {
        return Signing.transactionDigest(body, verifyingContract);
    }

    function recover(bytes32 digest, bytes32 r, bytes32 vs) external pure returns (address) {
        return Signing.recover(digest, r, vs);
    }

    function receiptDigest(
        uint64 number,
        uint32 first,
        uint32 count,
        bytes32 treeRoot,
        uint64 by,
        address verifyingContract
    ) external view returns (bytes32) {
        return Signing.receiptDigest(number, first, count, treeRoot, by, verifyingContract);
    }

    function leaf(bytes32 txHash, bytes32 witnessHash) external pure returns (bytes32) {
        return TransactionTree.leaf(txHash, witnessHash);
    }

    function root(bytes32 start, uint32 index, bytes32[] calldata path) external pure returns (bytes32) {
        return TransactionTree.root(start, index, path);
    }

    function treeDepth(uint32 count) external pure returns (uint256) {
        return TransactionTree.depth(count);
    }

    function holds(bytes32 treeRoot, uint64 key, bytes32 value, bytes calldata proof) external pure returns (bool) {
        return Membership.holds(treeRoot, key, value, proof);
    }

    function headerCommitment(IRootChain.Header calldata header) external pure returns (bytes32) {
        return Commitments.ofHeader(header);
    }

    function recordHash(IRootChain.ExitRecord calldata record) external pure returns (bytes32) {
        return Commitments.ofExit(record);
    }

    function exitKey(uint64 start, uint64 created, bool isDeposit, uint64 minimumExitPeriod)
        external
        pure
        returns (uint256)
    {
        return isDeposit
            ? ExitTiming.keyOfDeposit(start, minimumExitPeriod)
            : ExitTiming.keyOfOutput(start, created, minimumExitPeriod);
    }
}
