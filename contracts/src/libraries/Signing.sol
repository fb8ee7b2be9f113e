// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TransactionCodec} from "./TransactionCodec.sol";

/// What owners and the operator sign, and who signed it. §1.5, §1.6, §1.10.
library Signing {
    using TransactionCodec for bytes;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant OUTPUT_TYPEHASH =
        keccak256("Output(uint8 kind,address owner,address asset,uint128 amount)");
    bytes32 private constant TRANSACTION_TYPEHASH = keccak256(
        "Transaction(bytes32[] inputs,Output[] outputs,bytes32 memo)"
        "Output(uint8 kind,address owner,address asset,uint128 amount)"
    );
    bytes32 private constant RECEIPT_TYPEHASH =
        keccak256("Receipt(uint64 number,uint32 first,uint32 count,bytes32 root,uint64 by)");
    bytes32 private constant NAME_HASH = keccak256("Plasmid");
    bytes32 private constant VERSION_HASH = keccak256("1");

    uint256 private constant SIGNATURE_LENGTH = 64;
    /// Of an output in a body.
    uint256 private constant OUTPUT_LENGTH = 57;
    bytes32 private constant S_MASK = bytes32(type(uint256).max >> 1);
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// Returns what the owner of a canonical body's inputs signs. §1.6.
    function transactionDigest(bytes calldata body, address verifyingContract) internal view returns (bytes32) {
        bytes32 inputsHash = keccak256(body.inputsOf());
        bytes32 outputsHash = _outputsHash(body.outputsOf());
        return
            _digest(
                keccak256(abi.encode(TRANSACTION_TYPEHASH, inputsHash, outputsHash, body.memoOf())), verifyingContract
            );
    }

    /// Returns what the operator signs over `count` leaves from `first` on, with the tree root `root`, of the block
    /// `number` that is to be committed at `by`. §1.10.
    function receiptDigest(
        uint64 number,
        uint32 first,
        uint32 count,
        bytes32 root,
        uint64 by,
        address verifyingContract
    ) internal view returns (bytes32) {
        return _digest(keccak256(abi.encode(RECEIPT_TYPEHASH, number, first, count, root, by)), verifyingContract);
    }

    /// Returns whether `owner` signed a canonical body.
    function isSignedBy(bytes calldata body, bytes calldata signature, address owner) internal view returns (bool) {
        if (signature.length != SIGNATURE_LENGTH) return false;
        bytes32 digest = transactionDigest(body, address(this));
        address signer = recover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
        return signer == owner && signer != address(0);
    }

    /// Returns whether a body is a canonical spend of a coin that `owner` signed.
    function isSignedSpend(bytes calldata body, bytes calldata signature, bytes32 outputId, address owner)
        internal
        view
        returns (bool)
    {
        return body.isCanonical() && body.spends(outputId) && isSignedBy(body, signature, owner);
    }

    /// Returns who signed a digest, zero if nobody: `r` or `s` out of range, `s` in the upper half, no such point.
    ///
    /// The verdict does not depend on gas: `ecrecover` without enough of it reverts.
    function recover(bytes32 digest, bytes32 r, bytes32 vs) internal pure returns (address) {
        if (!isInRange(r, vs)) return address(0);
        return ecrecover(digest, uint8(uint256(vs) >> 255) + 27, r, vs & S_MASK);
    }

    /// Returns whether `r` and `s` are in range, `s` in the lower half. §1.5.
    function isInRange(bytes32 r, bytes32 vs) internal pure returns (bool) {
        uint256 s = uint256(vs & S_MASK);
        return r != 0 && uint256(r) < CURVE_ORDER && s != 0 && s <= CURVE_ORDER / 2;
    }

    /// Returns the hash of the hashes of outputs, each `H(OUTPUT_TYPEHASH ‖ kind ‖ owner ‖ asset ‖ amount)` of words.
    /// Hashed beyond the free memory, which an encoding would allocate once an output.
    function _outputsHash(bytes calldata outputs) private pure returns (bytes32 hash) {
        bytes32 typehash = OUTPUT_TYPEHASH;
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, typehash)
            let hashes := add(words, 160)
            let next := hashes
            let offset := outputs.offset
            for { let end := add(offset, outputs.length) } lt(offset, end) { offset := add(offset, OUTPUT_LENGTH) } {
                mstore(add(words, 32), shr(248, calldataload(offset)))
                mstore(add(words, 64), shr(96, calldataload(add(offset, 1))))
                mstore(add(words, 96), shr(96, calldataload(add(offset, 21))))
                mstore(add(words, 128), shr(128, calldataload(add(offset, 41))))
                mstore(next, keccak256(words, 160))
                next := add(next, 32)
            }
            hash := keccak256(hashes, sub(next, hashes))
        }
    }

    /// Wraps a struct hash in the domain. The chain id is read live: nothing is replayed on a fork of the root chain. §1.6.
    function _digest(bytes32 structHash, address verifyingContract) private view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, verifyingContract));
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }
}
