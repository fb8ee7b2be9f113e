// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";

/// @title §1: encodings, names, trees and signatures
contract CodecTest is RootChainTest {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    // ---------------------------------------------------------------- bodies

    function testFuzz_whatAnEncoderProducesIsCanonical(uint256 seed, uint8 inputs, uint8 outputs) public view {
        vm.assertTrue(oracle.isCanonical(_randomBody(seed, inputs, outputs)), "canonical");
    }

    function testFuzz_anotherLengthIsNotCanonical(uint256 seed, uint8 inputs, uint8 outputs, uint16 length)
        public
        view
    {
        bytes memory body = _randomBody(seed, inputs, outputs);
        vm.assume(length != body.length && length < 2000);
        bytes memory other = new bytes(length);
        for (uint256 i = 0; i < length && i < body.length; ++i) {
            other[i] = body[i];
        }
        vm.assertFalse(oracle.isCanonical(other), "length");
    }

    function testFuzz_anotherVersionIsNotCanonical(uint256 seed, uint8 version) public view {
        vm.assume(version != 1);
        _assertRefusedWith(_randomBody(seed, 1, 1), 0, version);
    }

    function testFuzz_otherCountsAreNotCanonical(uint256 seed, uint8 inputs, uint8 outputs, uint8 count) public view {
        bytes memory body = _randomBody(seed, inputs, outputs);
        vm.assume(count != uint8(body[1]) && count != uint8(body[2]));
        _assertRefusedWith(body, 1, count);
        _assertRefusedWith(body, 2, count);
    }

    function test_countsOfZeroOrSeventeenAreNotCanonical() public view {
        vm.assertFalse(oracle.isCanonical(_body(new bytes32[](0), new Output[](1), 0)), "no input");
        vm.assertFalse(oracle.isCanonical(_body(new bytes32[](1), new Output[](0), 0)), "no output");
        vm.assertTrue(oracle.isCanonical(_randomBody(1, 15, 15)), "sixteen of each");
        vm.assertFalse(oracle.isCanonical(_bodyOf(_ascending(17), 1)), "17 inputs");
        vm.assertFalse(oracle.isCanonical(_bodyOf(_ascending(1), 17)), "17 outputs");
    }

    function testFuzz_idsThatDoNotAscendAreNotCanonical(uint256 seed, uint8 first) public view {
        bytes32[] memory inputs = _ascending(16);
        uint256 i = first % 15;
        inputs[i] = bytes32(uint256(inputs[i + 1]) + seed % 2);
        vm.assertFalse(oracle.isCanonical(_bodyOf(inputs, 1)), "order");
    }

    function testFuzz_outputsOfAnotherKindAreNotCanonical(uint256 seed, uint8 inputs, uint8 outputs, uint8 kind)
        public
        view
    {
        vm.assume(kind != 1);
        bytes memory body = _randomBody(seed, inputs, outputs);
        _assertRefusedWith(body, _outputOffset(body, seed), kind);
    }

    function testFuzz_outputsWithoutOwnerOrAmountAreNotCanonical(uint256 seed, uint8 inputs, uint8 outputs)
        public
        view
    {
        bytes memory body = _randomBody(seed, inputs, outputs);
        uint256 output = _outputOffset(body, seed);
        vm.assertFalse(oracle.isCanonical(_cleared(body, output + 1, 20)), "owner");
        vm.assertFalse(oracle.isCanonical(_cleared(body, output + 41, 16)), "amount");
        vm.assertTrue(oracle.isCanonical(_cleared(body, output + 21, 20)), "ether");
    }

    /// One byte of an owner or an amount is enough, wherever it stands.
    function testFuzz_anyByteOfOwnerAndAmountCounts(uint256 seed, uint8 place) public view {
        bytes memory body = _randomBody(seed, 1, 1);
        uint256 output = _outputOffset(body, 0);
        body = _cleared(_cleared(body, output + 1, 20), output + 41, 16);
        body[output + 1 + place % 20] = 0x01;
        body[output + 41 + place % 16] = 0x80;
        vm.assertTrue(oracle.isCanonical(body), "canonical");
    }

    function test_junkIsNotCanonical() public view {
        vm.assertFalse(oracle.isCanonical(""), "nothing");
        vm.assertFalse(oracle.isCanonical(hex"01"), "a version");
        vm.assertFalse(oracle.isCanonical(hex"010101"), "counts");
    }

    // ----------------------------------------------------------------- names

    function testFuzz_namesAreHashesOfPackedFields(bytes32 txHash, uint8 index, uint64 nonce, address a, uint128 v)
        public
        view
    {
        vm.assertEq(
            oracle.outputId(txHash, index), keccak256(bytes.concat(hex"04", txHash, bytes1(index))), "output id"
        );
        vm.assertEq(
            oracle.depositId(nonce, a, address(token), v), _depositId(nonce, a, address(token), v), "deposit id"
        );
    }

    function testFuzz_commitmentsAreHashesOfAbiEncodings(
        IRootChain.Header memory header,
        IRootChain.ExitRecord memory record
    ) public view {
        vm.assertEq(oracle.headerCommitment(header), keccak256(abi.encode(header)), "header");
        vm.assertEq(oracle.recordHash(record), keccak256(abi.encode(record)), "record");
    }

    // ------------------------------------------------------------------ keys

    function testFuzz_keys(uint32 start, uint32 age, uint32 minimumExitPeriod) public view {
        vm.assume(minimumExitPeriod != 0 && age <= start);
        uint256 mep = minimumExitPeriod;
        uint256 step = mep < 168 ? 1 : mep / 168;
        uint256 key = oracle.exitKey(start, 0, true, minimumExitPeriod);
        vm.assertTrue(key % step == 0 && key >= start + mep && key < start + mep + step, "deposit");
        uint256 created = start - age;
        uint256 expected = created + 2 * mep > key ? created + 2 * mep : key;
        vm.assertEq(oracle.exitKey(start, uint64(created), false, minimumExitPeriod), expected, "output");
    }

    // ----------------------------------------------------------------- trees

    function test_treeDepthIsTheRoundedUpLogarithm() public view {
        uint32[2][8] memory cases = [
            [uint32(0), 0],
            [uint32(1), 0],
            [uint32(2), 1],
            [uint32(3), 2],
            [uint32(4), 2],
            [uint32(5), 3],
            [uint32(1 << 20), 20],
            [uint32((1 << 19) + 1), 20]
        ];
        for (uint256 i = 0; i < cases.length; ++i) {
            vm.assertEq(oracle.treeDepth(cases[i][0]), cases[i][1], "depth");
        }
    }

    function testFuzz_rootOfAFullTree(bytes32[8] memory leaves) public view {
        bytes32[4] memory pairs;
        for (uint256 i = 0; i < 4; ++i) {
            pairs[i] = _node(leaves[2 * i], leaves[2 * i + 1]);
        }
        bytes32 left = _node(pairs[0], pairs[1]);
        bytes32 right = _node(pairs[2], pairs[3]);
        for (uint32 i = 0; i < 8; ++i) {
            bytes32[] memory path = new bytes32[](3);
            path[0] = leaves[i ^ 1];
            path[1] = pairs[(i >> 1) ^ 1];
            path[2] = i < 4 ? right : left;
            vm.assertEq(oracle.root(leaves[i], i, path), _node(left, right), "root");
        }
    }

    function testFuzz_leaf(bytes32 txHash, bytes32 witnessHash) public view {
        vm.assertEq(oracle.leaf(txHash, witnessHash), keccak256(bytes.concat(hex"00", txHash, witnessHash)), "leaf");
        vm.assertEq(oracle.root(txHash, 0, new bytes32[](0)), txHash, "a leaf alone");
    }

    // ------------------------------------------------------------ signatures

    function test_signingHashIsThatOfWallets() public {
        vm.chainId(1);
        bytes memory body = _paymentWithChange(
            bytes32(uint256(7)), Output(address(0x11), ETHER, 5), Output(address(0x22), address(0x33), 6)
        );
        string memory types =
            '"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],"Transaction":[{"name":"inputs","type":"bytes32[]"},{"name":"outputs","type":"Output[]"},{"name":"memo","type":"bytes32"}],"Output":[{"name":"kind","type":"uint8"},{"name":"owner","type":"address"},{"name":"asset","type":"address"},{"name":"amount","type":"uint128"}]';
        string memory message =
            '{"inputs":["0x0000000000000000000000000000000000000000000000000000000000000007"],"outputs":[{"kind":1,"owner":"0x0000000000000000000000000000000000000011","asset":"0x0000000000000000000000000000000000000000","amount":"5"},{"kind":1,"owner":"0x0000000000000000000000000000000000000022","asset":"0x0000000000000000000000000000000000000033","amount":"6"}],"memo":"0x0000000000000000000000000000000000000000000000000000000000000000"}';
        string memory domain =
            '{"name":"Plasmid","version":"1","chainId":1,"verifyingContract":"0x0000000000000000000000000000000000000099"}';
        bytes32 expected = vm.eip712HashTypedData(
            string.concat(
                '{"types":{', types, '},"primaryType":"Transaction","domain":', domain, ',"message":', message, "}"
            )
        );
        vm.assertEq(oracle.signingHash(body, address(0x99)), expected, "transaction");
    }

    function test_receiptDigestIsThatOfWallets() public {
        vm.chainId(1);
        string memory types =
            '"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],"Receipt":[{"name":"number","type":"uint64"},{"name":"first","type":"uint32"},{"name":"count","type":"uint32"},{"name":"root","type":"bytes32"},{"name":"by","type":"uint64"}]';
        string memory message =
            '{"number":"9","first":2,"count":3,"root":"0x0000000000000000000000000000000000000000000000000000000000000007","by":"100"}';
        string memory domain =
            '{"name":"Plasmid","version":"1","chainId":1,"verifyingContract":"0x0000000000000000000000000000000000000099"}';
        bytes32 expected = vm.eip712HashTypedData(
            string.concat(
                '{"types":{', types, '},"primaryType":"Receipt","domain":', domain, ',"message":', message, "}"
            )
        );
        vm.assertEq(oracle.receiptDigest(9, 2, 3, bytes32(uint256(7)), 100, address(0x99)), expected, "receipt");
    }

    function testFuzz_signingHashAgreesWithTheTests(bytes32 input, address owner, address asset, uint128 amount)
        public
        view
    {
        vm.assertEq(
            oracle.signingHash(_payment(input, owner, asset, amount), address(rootChain)),
            _digest(input, owner, asset, amount),
            "digest"
        );
    }

    function testFuzz_recoverNamesTheSigner(bytes32 digest, uint256 privateKey) public view {
        privateKey = 1 + privateKey % (CURVE_ORDER - 1);
        (bytes32 r, bytes32 vs) = vm.signCompact(privateKey, digest);
        vm.assertEq(oracle.recover(digest, r, vs), vm.addr(privateKey), "signer");
    }

    function testFuzz_recoverRefusesValuesOutOfRange(bytes32 digest, uint256 excess) public view {
        (bytes32 r, bytes32 vs) = vm.signCompact(ALICE_KEY, digest);
        vm.assertEq(oracle.recover(digest, 0, vs), address(0), "r is zero");
        bytes32 large = bytes32(CURVE_ORDER + excess % (type(uint256).max - CURVE_ORDER + 1));
        vm.assertEq(oracle.recover(digest, large, vs), address(0), "r too large");
        vm.assertEq(oracle.recover(digest, r, 0), address(0), "s is zero");
        vm.assertEq(oracle.recover(digest, r, bytes32(uint256(1 << 255))), address(0), "s is zero, odd");
        // The precompile would take it.
        vm.assertTrue(ecrecover(digest, 27, r, bytes32(CURVE_ORDER / 2 + 1)) != address(0), "a signature");
        vm.assertEq(oracle.recover(digest, r, bytes32(CURVE_ORDER / 2 + 1)), address(0), "s in the upper half");
    }

    /// An answer never depends on gas: with too little of it there is none.
    function testFuzz_recoverWithLittleGasRevertsOrAnswers(bytes32 digest, uint256 gasLimit) public view {
        (bytes32 r, bytes32 vs) = vm.signCompact(ALICE_KEY, digest);
        try oracle.recover{gas: gasLimit % 20_000}(digest, r, vs) returns (address signer) {
            vm.assertEq(signer, alice, "signer");
        } catch {}
    }

    // -------------------------------------------------------------- internals

    /// Returns a canonical body with 1–16 inputs and outputs.
    function _randomBody(uint256 seed, uint8 inputs, uint8 outputs) private pure returns (bytes memory) {
        bytes32[] memory ids = _ascending(1 + inputs % 16);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = bytes32(uint256(ids[i]) + uint256(keccak256(abi.encode(seed, i))) / 32);
        }
        Output[] memory coins = new Output[](1 + outputs % 16);
        for (uint256 i = 0; i < coins.length; ++i) {
            bytes32 word = keccak256(abi.encode(seed, "output", i));
            coins[i] = Output(address(bytes20(word)), address(bytes20(word << 40)), uint128(uint256(word)) | 1);
        }
        return _body(ids, coins, keccak256(abi.encode(seed)));
    }

    /// Returns ids that ascend, a 32nd of their range apart.
    function _ascending(uint256 length) private pure returns (bytes32[] memory ids) {
        ids = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            ids[i] = bytes32((i + 1) << 251);
        }
    }

    function _bodyOf(bytes32[] memory inputs, uint256 outputs) private view returns (bytes memory) {
        Output[] memory coins = new Output[](outputs);
        for (uint256 i = 0; i < outputs; ++i) {
            coins[i] = Output(alice, ETHER, 1);
        }
        return _body(inputs, coins, 0);
    }

    /// Returns where one of the body's outputs starts.
    function _outputOffset(bytes memory body, uint256 seed) private pure returns (uint256) {
        return 3 + 32 * uint256(uint8(body[1])) + 57 * (seed % uint8(body[2]));
    }

    function _assertRefusedWith(bytes memory body, uint256 offset, uint8 value) private view {
        bytes1 kept = body[offset];
        body[offset] = bytes1(value);
        vm.assertFalse(oracle.isCanonical(body), "canonical");
        body[offset] = kept;
    }

    function _cleared(bytes memory body, uint256 offset, uint256 length) private pure returns (bytes memory copy) {
        copy = bytes.concat(body);
        for (uint256 i = 0; i < length; ++i) {
            copy[offset + i] = 0;
        }
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(bytes.concat(hex"01", left, right));
    }
}
