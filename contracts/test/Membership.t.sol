// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SparseTree} from "./SparseTree.sol";
import {vm} from "./Vm.sol";
import {CodecOracle} from "./oracle/CodecOracle.sol";

/// @title §1.8: the one form of a proof of membership, and nothing beside it
contract MembershipTest {
    uint256 private constant BITMAP = 8;
    uint256 private constant KEYS_MAX = 4;

    CodecOracle private _oracle;

    function setUp() public {
        _oracle = CodecOracle(vm.deployCode("out/CodecOracle.sol/CodecOracle.json"));
    }

    /// Whatever keys a tree has, each is shown with its own value, and no other value or key.
    function testFuzz_everyKeyIsShownWithItsValue(uint64[KEYS_MAX] memory keys, uint256 size, uint8 shift) public view {
        SparseTree.Entry[] memory entries = _entries(keys, 1 + size % KEYS_MAX, shift);
        bytes32 root = SparseTree.root(entries);
        for (uint256 i = 0; i < entries.length; ++i) {
            (uint64 key, bytes32 value) = (entries[i].key, entries[i].value);
            bytes memory proof = SparseTree.prove(entries, key);
            vm.assertTrue(_oracle.holds(root, key, value, proof), "held");
            vm.assertFalse(_oracle.holds(root, key ^ 1, value, proof), "another key");
            vm.assertFalse(_oracle.holds(root, key, value ^ bytes32(uint256(1)), proof), "another value");
            vm.assertFalse(_oracle.holds(root ^ bytes32(uint256(1)), key, value, proof), "another root");
        }
    }

    /// Siblings at every height there is: the longest proof.
    function test_aKeyMayHaveASiblingAtEveryHeight() public view {
        uint64 key = 0xfedcba9876543210;
        SparseTree.Entry[] memory entries = new SparseTree.Entry[](65);
        entries[64] = SparseTree.Entry(key, keccak256("value"));
        for (uint64 bit = 0; bit < 64; ++bit) {
            entries[bit] = SparseTree.Entry(key ^ (uint64(1) << bit), keccak256(abi.encode(bit)));
        }
        bytes32 root = SparseTree.root(entries);
        bytes memory proof = SparseTree.prove(entries, key);
        vm.assertEq(proof.length, BITMAP + 64 * 32, "length");
        vm.assertTrue(_oracle.holds(root, key, entries[64].value, proof), "held");
        _assertNoBitMayBeFlipped(root, key, entries[64].value, proof, 17);
    }

    function test_noBitOfAProofMayBeFlipped() public view {
        (SparseTree.Entry[] memory entries, bytes32 root) = _three();
        for (uint256 i = 0; i < entries.length; ++i) {
            bytes memory proof = SparseTree.prove(entries, entries[i].key);
            _assertNoBitMayBeFlipped(root, entries[i].key, entries[i].value, proof, 1);
        }
    }

    function test_noBitOfTheKeyOrValueMayBeFlipped() public view {
        (SparseTree.Entry[] memory entries, bytes32 root) = _three();
        (uint64 key, bytes32 value) = (entries[0].key, entries[0].value);
        bytes memory proof = SparseTree.prove(entries, key);
        for (uint256 bit = 0; bit < 256; ++bit) {
            uint256 flip = uint256(1) << bit;
            vm.assertFalse(_oracle.holds(root, key, bytes32(uint256(value) ^ flip), proof), "value");
            if (bit < 64) vm.assertFalse(_oracle.holds(root, key ^ uint64(flip), value, proof), "key");
        }
    }

    function test_theLengthIsThatOfTheBitmap() public view {
        (SparseTree.Entry[] memory entries, bytes32 root) = _three();
        (uint64 key, bytes32 value) = (entries[0].key, entries[0].value);
        bytes memory proof = SparseTree.prove(entries, key);
        vm.assertTrue(_oracle.holds(root, key, value, proof), "held");
        for (uint256 length = 0; length < proof.length; ++length) {
            vm.assertFalse(_oracle.holds(root, key, value, _cut(proof, length)), "shorter");
        }
        vm.assertFalse(_oracle.holds(root, key, value, bytes.concat(proof, hex"00")), "a byte more");
        vm.assertFalse(_oracle.holds(root, key, value, bytes.concat(proof, bytes32(0))), "a word more");
        // Nor is a sibling read from what stands behind the proof in the call's data.
        bytes memory behind = abi.encodeCall(CodecOracle.holds, (root, key, value, _cut(proof, proof.length - 32)));
        for (uint256 i = 0; i < 32; ++i) {
            behind[behind.length - 32 + i] = proof[proof.length - 32 + i];
        }
        (bool success, bytes memory result) = address(_oracle).staticcall(behind);
        vm.assertTrue(success && !abi.decode(result, (bool)), "read beyond its end");
    }

    /// No tree has a zero sibling, though a root can be computed with one.
    function test_zeroSiblingsAreNoSiblings() public view {
        SparseTree.Entry[] memory entries = new SparseTree.Entry[](1);
        (uint64 key, bytes32 value) = (1 << 24, keccak256("value"));
        entries[0] = SparseTree.Entry(key, value);
        vm.assertTrue(_oracle.holds(SparseTree.root(entries), key, value, new bytes(BITMAP)), "held");
        // Byte 3 of the key, which is little-endian in the last eight bytes of the word.
        bytes32 word = bytes32(uint256(1) << 32);
        bytes32 base = keccak256(bytes.concat(hex"00", word, value));
        bytes32 side = keccak256(bytes.concat(hex"02", base, word, hex"ff"));
        bytes memory siblings = bytes.concat(bytes32(uint256(1)));
        bytes32 root = keccak256(bytes.concat(hex"01ff", bytes32(0), side, siblings));
        vm.assertTrue(_oracle.holds(root, key, value, bytes.concat(bytes8(uint64(1) << 63), siblings)), "a sibling");
        siblings = bytes.concat(bytes32(0));
        root = keccak256(bytes.concat(hex"01ff", bytes32(0), side, siblings));
        vm.assertFalse(_oracle.holds(root, key, value, bytes.concat(bytes8(uint64(1) << 63), siblings)), "zero");
    }

    /// Zero is what a tree holds of what it does not hold.
    function test_aZeroValueIsNeverHeld() public view {
        SparseTree.Entry[] memory entries = new SparseTree.Entry[](1);
        entries[0] = SparseTree.Entry(7, 0);
        vm.assertFalse(_oracle.holds(SparseTree.root(entries), 7, 0, new bytes(BITMAP)), "a tree that holds zero");
        vm.assertFalse(_oracle.holds(0, 7, 0, new bytes(BITMAP)), "the empty tree");
    }

    /// What stands inside a tree passes for no value: not the hash of a subtree, nor the sibling as the own side.
    function test_nothingInsideATreeIsAValue() public view {
        (SparseTree.Entry[] memory entries, bytes32 root) = _three();
        bytes memory proof = SparseTree.prove(entries, entries[0].key);
        for (uint256 start = BITMAP; start < proof.length; start += 32) {
            bytes32 sibling;
            assembly ("memory-safe") {
                sibling := mload(add(add(proof, 32), start))
            }
            for (uint64 bit = 0; bit < 64; ++bit) {
                uint64 key = entries[0].key ^ (uint64(1) << bit);
                vm.assertFalse(_oracle.holds(root, key, sibling, proof), "a subtree");
                vm.assertFalse(_oracle.holds(root, key, entries[0].value, proof), "a neighbour");
            }
            vm.assertFalse(_oracle.holds(root, entries[0].key, sibling, proof), "a subtree");
        }
        vm.assertFalse(_oracle.holds(root, entries[0].key, root, new bytes(BITMAP)), "the root");
    }

    /// Nor is a proof without one of its siblings, which shows a key of another tree.
    function test_aPartOfAProofIsNone() public view {
        (SparseTree.Entry[] memory entries, bytes32 root) = _three();
        (uint64 key, bytes32 value) = (entries[0].key, entries[0].value);
        bytes memory proof = SparseTree.prove(entries, key);
        uint64 bitmap = uint64(bytes8(proof));
        for (uint64 bit = 0; bit < 64; ++bit) {
            uint64 left = bitmap & ~(uint64(1) << bit);
            if (left == bitmap) continue;
            for (uint256 start = BITMAP; start < proof.length; start += 32) {
                bytes memory siblings =
                    bytes.concat(_part(proof, BITMAP, start), _part(proof, start + 32, proof.length));
                vm.assertFalse(_oracle.holds(root, key, value, bytes.concat(bytes8(left), siblings)), "a part");
            }
        }
    }

    // -------------------------------------------------------------- internals

    /// Flips each bit in turn, or one in `step`.
    function _assertNoBitMayBeFlipped(bytes32 root, uint64 key, bytes32 value, bytes memory proof, uint256 step)
        private
        view
    {
        for (uint256 bit = 0; bit < 8 * proof.length; bit += step) {
            bytes1 flip = bytes1(uint8(uint256(1) << (bit % 8)));
            proof[bit / 8] ^= flip;
            vm.assertFalse(_oracle.holds(root, key, value, proof), "a bit was flipped");
            proof[bit / 8] ^= flip;
        }
    }

    /// Two outputs of one transaction, and a deposit.
    function _three() private pure returns (SparseTree.Entry[] memory entries, bytes32 root) {
        entries = new SparseTree.Entry[](3);
        entries[0] = SparseTree.Entry(5 << 24, keccak256("first"));
        entries[1] = SparseTree.Entry((5 << 24) | 1, keccak256("second"));
        entries[2] = SparseTree.Entry((1 << 63) | (9 << 4), keccak256("deposit"));
        root = SparseTree.root(entries);
    }

    /// Returns entries of distinct keys, close to each other if shifted.
    function _entries(uint64[KEYS_MAX] memory keys, uint256 size, uint8 shift)
        private
        pure
        returns (SparseTree.Entry[] memory entries)
    {
        entries = new SparseTree.Entry[](size);
        for (uint256 i = 0; i < size; ++i) {
            uint64 key = keys[i] >> (shift % 61);
            for (uint256 j = 0; j < i; ++j) {
                vm.assume(entries[j].key != key);
            }
            entries[i] = SparseTree.Entry(key, keccak256(abi.encode(i)));
        }
    }

    function _cut(bytes memory data, uint256 length) private pure returns (bytes memory) {
        return _part(data, 0, length);
    }

    function _part(bytes memory data, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = data[from + i];
        }
    }
}
