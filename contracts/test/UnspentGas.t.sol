// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {Position} from "../src/types/Position.sol";
import {FaultTest} from "./FaultTest.sol";
import {LargestTest} from "./LargestTest.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {UnspentTest} from "./UnspentTest.sol";

/// @title What the dearest calls about unspent trees cost their sender
/// @notice As `FaultGasTest`: 2^20 leaves, 16 inputs and outputs, and 64 siblings in each proof of membership.
contract UnspentGasTest is UnspentTest, LargestTest {
    function setUp() public override(UnspentTest, FaultTest) {
        UnspentTest.setUp();
    }

    // -------------------------------------------------------------------- R8

    function test_gas_prove_fault_r8_spent() public {
        Coin[] memory coins = _manyCoins();
        Coin memory coin = coins[15];
        _holdDeep(coin);
        Leaf memory spend = _commitMany(coins, ALICE_KEY, ETHER);
        IUnspentTree.HeldKey memory held = _held(spend.proof.header, _keyOf(coin));
        bytes memory call = abi.encodeCall(
            IUnspentTree.proveFaultHeldSpent, (held, coin.id, _outputBytes(coin), spend.body, spend.proof)
        );
        _proveCall("prove_fault_r8_spent", call);
    }

    function test_gas_prove_fault_r8_not_made() public {
        (, Leaf memory maker) = _largest();
        uint64 key = Position.unwrap(_placeOf(maker).ofOutput(15));
        _holdAround(key);
        _hold(key, keccak256("another value"));
        bytes memory call =
            abi.encodeCall(IUnspentTree.proveFaultHeldNotMade, (_held(_commitTree(), key), _originOf(maker)));
        _proveCall("prove_fault_r8_not_made", call);
    }

    function test_gas_prove_fault_r8_not_deposited() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        uint64 key = _keyOf(coin);
        _holdAround(key);
        _hold(key, keccak256("another value"));
        bytes memory call =
            abi.encodeCall(IUnspentTree.proveFaultHeldNotDeposited, (_held(_commitTree(), key), _creationOf(coin)));
        _proveCall("prove_fault_r8_not_deposited", call);
    }

    // -------------------------------------------------------------------- R9

    function test_gas_claim_missing() public {
        (Coin memory coin, Leaf memory maker) = _largest();
        _claim(maker.proof.header, coin);
        _report("claim_missing");
    }

    function test_gas_claim_missing_deposit() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _claim(_commitTree(), coin);
        _report("claim_missing_deposit");
    }

    function test_gas_answer_missing() public {
        (Coin memory coin,) = _largest();
        _holdDeep(coin);
        Claim memory claim = _claim(_commitTree(), coin);
        _send(alice, _answerCall(claim, _membership(coin)));
        _report("answer_missing");
    }

    function test_gas_answer_missing_spent() public {
        Coin[] memory coins = _manyCoins();
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        coins[15] = coin;
        _sort(coins);
        Leaf memory spend = _commitMany(coins, ALICE_KEY, ETHER);
        Claim memory claim = _claim(spend.proof.header, coin);
        _send(alice, _answerSpentCall(claim, spend));
        _report("answer_missing_spent");
    }

    function test_gas_convict_missing() public {
        Claim memory claim = _claimOfDeposit();
        _advance(HALF);
        _send(alice, _convictCall(claim));
        _report("convict_missing");
    }

    function test_gas_reclaim_missing() public {
        Claim memory claim = _claimOfDeposit();
        _advance(2 * MEP);
        _send(alice, _reclaimCall(claim));
        _report("reclaim_missing");
    }

    // ------------------------------------------------------------ settlement

    function test_gas_withdraw_settled() public {
        _deposited(bob, ETHER, 20 ether);
        (Coin memory coin,) = _largest();
        _holdDeep(coin);
        IRootChain.Header memory last = _commitTree();
        _end();
        bytes memory call = abi.encodeCall(
            IUnspentTree.withdrawSettled, (last, _membership(coin), _creationOf(coin), coin.proof.inclusion)
        );
        _send(alice, call);
        _report("withdraw_settled");
    }

    function test_gas_withdraw_settled_deposit() public {
        IRootChain.Header memory last = _commitTree();
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _deposited(bob, ETHER, 1 ether);
        _end();
        uint64 nonce = coin.proof.position.depositNonce();
        _send(alice, abi.encodeCall(IUnspentTree.withdrawSettledDeposit, (last, nonce, alice, ETHER, 1 ether)));
        _report("withdraw_settled_deposit");
    }

    // -------------------------------------------------------------- internals

    function _unspentRoot(uint64 number) internal view override(RootChainTest, UnspentTest) returns (bytes32) {
        return UnspentTest._unspentRoot(number);
    }

    /// Commits the largest transaction, and returns the last coin that it makes.
    function _largest() private returns (Coin memory coin, Leaf memory maker) {
        maker = _commitMany(_manyCoins(), ALICE_KEY, ETHER);
        coin = _outputOf(maker, 15, Output(alice, ETHER, 1 ether));
    }

    function _holdDeep(Coin memory coin) private {
        _holdAround(_keyOf(coin));
        _hold(coin);
    }

    function _claimOfDeposit() private returns (Claim memory) {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        return _claim(_commitTree(), coin);
    }

    function _end() private {
        _close();
        _advance(2 * MEP + F);
    }
}
