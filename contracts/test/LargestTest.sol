// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {outputPosition} from "../src/types/Position.sol";
import {FaultTest} from "./FaultTest.sol";
import {vm} from "./Vm.sol";

/// @title What the tests of the dearest calls share
/// @notice Transactions of 16 inputs and 16 outputs, the last of blocks of 2^20.
abstract contract LargestTest is FaultTest {
    /// What no proof may cost.
    uint256 internal constant GAS_MAX = 3_000_000;
    uint32 internal constant TX_COUNT = 1 << 20;
    uint256 internal constant MOST = 16;

    /// The test runner prints it.
    event log(string line);

    /// Returns 16 coins of alice's, each by a body of 16 inputs and outputs, and of an asset of its own; nobody made them.
    function _manyCoins() internal view returns (Coin[] memory coins) {
        coins = new Coin[](MOST);
        for (uint256 i = 0; i < MOST; ++i) {
            bytes32[] memory inputs = new bytes32[](MOST);
            Output[] memory outputs = new Output[](MOST);
            for (uint256 j = 0; j < MOST; ++j) {
                inputs[j] = bytes32((j << 248) | type(uint248).max - i);
                outputs[j] = Output(alice, address(uint160(i)), 1 ether);
            }
            coins[i].proof.creation = _body(inputs, outputs, 0);
            coins[i].proof.position = outputPosition(0, uint32(i), 15);
            coins[i].id = _outputId(coins[i].proof.creation, 15);
            coins[i].output = outputs[15];
        }
        _sort(coins);
    }

    function _manyBody(Coin[] memory coins, address asset) internal view returns (bytes memory) {
        return _body(_ids(coins), _manyOutputs(asset), 0);
    }

    function _manyOutputs(address asset) internal view returns (Output[] memory outputs) {
        outputs = new Output[](MOST);
        for (uint256 i = 0; i < MOST; ++i) {
            outputs[i] = Output(alice, asset, 1 ether);
        }
    }

    /// Commits a transaction over these coins as the last of 2^20.
    function _commitMany(Coin[] memory coins, uint256 privateKey, address asset) internal returns (Leaf memory) {
        Signed memory transaction = _signed(privateKey, _ids(coins), _manyOutputs(asset));
        bytes memory witness = _witness(transaction.signature, coins);
        return _commitLeafAt(transaction.body, witness, TX_COUNT - 1, TX_COUNT);
    }

    /// Measures a proof that was announced in time.
    function _proveCall(string memory name, bytes memory call) internal {
        _announce(alice, call);
        _rootBlocks(2);
        uint256 balance = alice.balance;
        vm.prank(alice);
        (bool success,) = address(rootChain).call(call);
        _report(name);
        vm.assertTrue(success, "refused");
        vm.assertGe(alice.balance, balance, "rewarded");
        vm.assertGe(GAS_MAX, vm.lastCallGas().gasTotalUsed, "too dear");
    }

    function _report(string memory name) internal {
        emit log(string.concat("GAS ", name, " ", vm.toString(vm.lastCallGas().gasTotalUsed)));
    }
}
