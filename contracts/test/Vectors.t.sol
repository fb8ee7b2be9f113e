// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {ExitTiming} from "../src/libraries/ExitTiming.sol";
import {CoinState, DEPOSITED_COIN, UNKNOWN_COIN} from "../src/types/CoinState.sol";
import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {vm} from "./Vm.sol";
import {CodecOracle} from "./oracle/CodecOracle.sol";

/// @title The libraries agree with the vectors that the Rust model wrote
contract VectorsTest {
    string private _json;
    CodecOracle private _oracle;

    function setUp() public {
        _oracle = CodecOracle(vm.deployCode("out/CodecOracle.sol/CodecOracle.json"));
    }

    function test_vectors_transactions() public {
        uint256 length = _read("transactions");
        for (uint256 i = 0; i < length; ++i) {
            bytes memory body = _bytes(i, "body");
            vm.assertTrue(_oracle.isCanonical(body), "canonical");
            uint256 inputs = uint8(body[1]);
            vm.assertTrue(_oracle.isCanonicalWitness(_bytes(i, "witness"), inputs), "canonical witness");
            vm.assertEq(_oracle.transactionHash(body), _word(i, "txHash"), "hash");
            vm.chainId(_uint(i, "chainId"));
            vm.assertEq(_oracle.signingHash(body, _address(i, "contract")), _word(i, "signingHash"), "signing hash");
        }
    }

    function test_vectors_bodiesNotCanonical() public {
        uint256 length = _read("bodies_not_canonical");
        for (uint256 i = 0; i < length; ++i) {
            vm.assertFalse(_oracle.isCanonical(_bytes(i, "body")), "canonical");
        }
    }

    function test_vectors_witnessesNotCanonical() public {
        uint256 length = _read("witnesses_not_canonical");
        for (uint256 i = 0; i < length; ++i) {
            vm.assertFalse(_oracle.isCanonicalWitness(_bytes(i, "witness"), _uint(i, "inputs")), "canonical");
        }
    }

    function test_vectors_signatures() public {
        uint256 length = _read("signatures");
        for (uint256 i = 0; i < length; ++i) {
            (bytes32 r, bytes32 vs) = abi.decode(_bytes(i, "signature"), (bytes32, bytes32));
            vm.assertEq(_oracle.recover(_word(i, "digest"), r, vs), _address(i, "signer"), "signer");
        }
    }

    function test_vectors_receipts() public {
        uint256 length = _read("receipts");
        for (uint256 i = 0; i < length; ++i) {
            vm.chainId(_uint(i, "chainId"));
            bytes32 digest = _oracle.receiptDigest(
                uint64(_uint(i, "number")),
                uint32(_uint(i, "first")),
                uint32(_uint(i, "count")),
                _word(i, "root"),
                uint64(_uint(i, "by")),
                _address(i, "contract")
            );
            vm.assertEq(digest, _word(i, "digest"), "digest");
            (bytes32 r, bytes32 vs) = abi.decode(_bytes(i, "signature"), (bytes32, bytes32));
            vm.assertEq(_oracle.recover(digest, r, vs), _address(i, "signer"), "signer");
        }
    }

    function test_vectors_names() public {
        uint256 length = _read("output_ids");
        for (uint256 i = 0; i < length; ++i) {
            bytes32 id = _oracle.outputId(_word(i, "txHash"), uint8(_uint(i, "outputIndex")));
            vm.assertEq(id, _word(i, "outputId"), "output id");
        }
        length = _read("deposits");
        for (uint256 i = 0; i < length; ++i) {
            uint64 nonce = uint64(_uint(i, "nonce"));
            bytes32 id =
                _oracle.depositId(nonce, _address(i, "owner"), _address(i, "asset"), uint128(_uint(i, "amount")));
            vm.assertEq(id, _word(i, "outputId"), "deposit id");
            vm.assertEq(Position.unwrap(depositPosition(nonce)), _uint(i, "position"), "position");
        }
    }

    function test_vectors_positions() public {
        uint256 length = _read("positions");
        for (uint256 i = 0; i < length; ++i) {
            Position position =
                outputPosition(uint64(_uint(i, "block")), uint32(_uint(i, "txIndex")), uint8(_uint(i, "outputIndex")));
            vm.assertEq(Position.unwrap(position), _uint(i, "position"), "position");
            vm.assertEq(position.blockNumber(), _uint(i, "block"), "block");
        }
    }

    function test_vectors_trees() public {
        uint256 length = _read("transaction_trees");
        for (uint256 i = 0; i < length; ++i) {
            bytes32[] memory path = vm.parseJsonBytes32Array(_json, _at(i, "path"));
            vm.assertEq(_oracle.treeDepth(uint32(_uint(i, "txCount"))), path.length, "depth");
            vm.assertEq(_oracle.root(_word(i, "leaf"), uint32(_uint(i, "index")), path), _word(i, "root"), "root");
        }
    }

    function test_vectors_unspentTrees() public {
        uint256 length = _read("unspent_trees");
        for (uint256 i = 0; i < length; ++i) {
            bytes memory output = _bytes(i, "output");
            bytes32 value = _word(i, "value");
            vm.assertEq(keccak256(bytes.concat(_word(i, "outputId"), output)), value, "value");
            uint64 position = uint64(_uint(i, "position"));
            vm.assertTrue(_oracle.holds(_word(i, "root"), position, value, _bytes(i, "proof")), "held");
        }
    }

    function test_vectors_headers() public {
        uint256 length = _read("headers");
        for (uint256 i = 0; i < length; ++i) {
            IRootChain.Header memory header = IRootChain.Header({
                number: uint64(_uint(i, "number")),
                txRoot: _word(i, "txRoot"),
                utxoRoot: _word(i, "utxoRoot"),
                txCount: uint32(_uint(i, "txCount")),
                depositCount: uint64(_uint(i, "depositCount")),
                timestamp: uint64(_uint(i, "timestamp"))
            });
            vm.assertEq(_oracle.headerCommitment(header), _word(i, "commitment"), "commitment");
        }
    }

    function test_vectors_exitRecords() public {
        uint256 length = _read("exit_records");
        for (uint256 i = 0; i < length; ++i) {
            IRootChain.ExitRecord memory record = IRootChain.ExitRecord({
                outputId: _word(i, "outputId"),
                position: Position.wrap(uint64(_uint(i, "position"))),
                owner: _address(i, "owner"),
                asset: _address(i, "asset"),
                amount: uint128(_uint(i, "amount")),
                key: uint64(_uint(i, "key"))
            });
            bytes32 hash = _oracle.recordHash(record);
            vm.assertEq(hash, _word(i, "hash"), "hash");
            CoinState coin = _uint(i, "state") == 0 ? UNKNOWN_COIN : DEPOSITED_COIN;
            coin = coin.withExit(hash);
            if (vm.parseJsonBool(_json, _at(i, "assigned"))) coin = coin.withAssignment();
            vm.assertEq(bytes32(CoinState.unwrap(coin)), _word(i, "word"), "word");
        }
    }

    function test_vectors_keysAndPeriods() public {
        uint256 length = _read("exit_keys");
        for (uint256 i = 0; i < length; ++i) {
            uint64 mep = uint64(_uint(i, "minimumExitPeriod"));
            // Zero for a deposit, as in §6.
            uint64 created = uint64(_uint(i, "created"));
            uint256 key = _oracle.exitKey(uint64(_uint(i, "start")), created, created == 0, mep);
            vm.assertEq(key, _uint(i, "key"), "key");
            vm.assertEq(ExitTiming.freezeOfStandardExit(key, mep), _uint(i, "freeze"), "freeze");
        }
        length = _read("periods");
        for (uint256 i = 0; i < length; ++i) {
            uint256 mep = _uint(i, "minimumExitPeriod");
            vm.assertEq(ExitTiming.granularity(mep), _uint(i, "granularity"), "G");
            vm.assertEq(ExitTiming.freezeDelay(mep), _uint(i, "freezeDelay"), "F");
            vm.assertEq(ExitTiming.grace(mep), _uint(i, "grace"), "grace");
        }
    }

    // -------------------------------------------------------------- internals

    /// Reads a file of vectors and returns how many there are.
    function _read(string memory name) private returns (uint256 length) {
        _json = vm.readFile(string.concat("../tests/vectors/", name, ".json"));
        while (vm.keyExistsJson(_json, string.concat(".[", vm.toString(length), "]"))) ++length;
        vm.assertTrue(length != 0, "no vectors");
    }

    function _at(uint256 index, string memory field) private pure returns (string memory) {
        return string.concat(".[", vm.toString(index), "].", field);
    }

    function _bytes(uint256 index, string memory field) private view returns (bytes memory) {
        return vm.parseJsonBytes(_json, _at(index, field));
    }

    function _word(uint256 index, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(_json, _at(index, field));
    }

    function _address(uint256 index, string memory field) private view returns (address) {
        return vm.parseJsonAddress(_json, _at(index, field));
    }

    function _uint(uint256 index, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(_json, _at(index, field));
    }
}
