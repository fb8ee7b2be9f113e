// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {Position} from "../src/types/Position.sol";
import {FaultTest} from "./FaultTest.sol";
import {SparseTree} from "./SparseTree.sol";
import {vm} from "./Vm.sol";

/// @title What the tests of the unspent tree share
/// @notice The operator commits the root of a tree that a test fills with what it wants, true or not.
abstract contract UnspentTest is FaultTest {
    /// A claim that the tree of a block lacks a coin.
    struct Claim {
        IRootChain.Header header;
        Coin coin;
        uint64 claimedAt;
    }

    /// What the tree of the blocks to come holds.
    SparseTree.Entry[] private _tree;

    function setUp() public virtual override {
        super.setUp();
        vm.deal(accuser, 0);
    }

    // ------------------------------------------------------------------ tree

    function _unspentRoot(uint64) internal view virtual override returns (bytes32) {
        return SparseTree.root(_tree);
    }

    /// Has the tree hold a value, in place of any other under this key.
    function _hold(uint64 key, bytes32 value) internal {
        _drop(key);
        _tree.push(SparseTree.Entry(key, value));
    }

    function _hold(Coin memory coin) internal {
        _hold(_keyOf(coin), _valueOf(coin));
    }

    /// Has the tree hold something at every height beside a key, so that its proof is as long as there are.
    function _holdAround(uint64 key) internal {
        for (uint64 bit = 0; bit < 64; ++bit) {
            _hold(key ^ (uint64(1) << bit), keccak256(abi.encode(bit)));
        }
    }

    function _drop(uint64 key) internal {
        for (uint256 i = _tree.length; i != 0; --i) {
            if (_tree[i - 1].key != key) continue;
            _tree[i - 1] = _tree[_tree.length - 1];
            _tree.pop();
        }
    }

    function _drop(Coin memory coin) internal {
        _drop(_keyOf(coin));
    }

    /// Returns the proof that the tree, as it is now, holds a key.
    function _membership(uint64 key) internal view returns (bytes memory) {
        return SparseTree.prove(_tree, key);
    }

    function _membership(Coin memory coin) internal view returns (bytes memory) {
        return _membership(_keyOf(coin));
    }

    function _keyOf(Coin memory coin) internal pure returns (uint64) {
        return Position.unwrap(coin.proof.position);
    }

    /// Returns the 57 bytes of a coin's output. §1.3.
    function _outputBytes(Coin memory coin) internal pure returns (bytes memory) {
        return
            bytes.concat(hex"01", bytes20(coin.output.owner), bytes20(coin.output.asset), bytes16(coin.output.amount));
    }

    /// Returns what a tree holds of a coin. §1.8.
    function _valueOf(Coin memory coin) internal pure returns (bytes32) {
        return keccak256(bytes.concat(coin.id, _outputBytes(coin)));
    }

    // ---------------------------------------------------------------- blocks

    /// Commits an empty block with the tree as it is now.
    function _commitTree() internal returns (IRootChain.Header memory) {
        return _commit(0, 0);
    }

    /// Makes a coin of a deposit of alice's, in a block whose tree is true to that.
    function _madeAndHeld(address owner, address asset, uint128 amount)
        internal
        returns (Coin memory coin, Leaf memory maker)
    {
        Coin memory source = _deposited(alice, asset, amount);
        Output memory output = Output(owner, asset, amount);
        Signed memory transaction = _signed(ALICE_KEY, _ids(_coins(source)), _outputs(output));
        coin.id = _outputId(transaction.body, 0);
        coin.output = output;
        coin.proof.position = _nextPlace();
        _hold(coin);
        maker = _commitLeaf(transaction.body, _witness(transaction.signature, _coins(source)));
        coin = _outputOf(maker, 0, output);
    }

    /// Deposits, and commits a block that covers the deposit, with a tree true to that.
    function _depositedAndHeld(address owner, address asset, uint128 amount)
        internal
        returns (Coin memory coin, IRootChain.Header memory header)
    {
        coin = _deposited(owner, asset, amount);
        _hold(coin);
        header = _commitTree();
    }

    // -------------------------------------------------------------------- R8

    /// Returns the evidence that a block's tree, which is still the one at hand, holds what it does under a key.
    function _held(IRootChain.Header memory header, uint64 key) internal view returns (IUnspentTree.HeldKey memory) {
        for (uint256 i = 0; i < _tree.length; ++i) {
            if (_tree[i].key == key) return IUnspentTree.HeldKey(header, key, _tree[i].value, _membership(key));
        }
        revert SparseTree.NotThere(key);
    }

    // -------------------------------------------------------------------- R9

    function _claimCall(IRootChain.Header memory header, Coin memory coin) internal pure returns (bytes memory) {
        return abi.encodeCall(IUnspentTree.claimMissing, (header, _creationOf(coin), coin.proof.inclusion));
    }

    /// Has the accuser claim, with the bond.
    function _claim(IRootChain.Header memory header, Coin memory coin) internal returns (Claim memory) {
        _claimAs(accuser, header, coin);
        return Claim(header, coin, _now());
    }

    function _claimAs(address claimant, IRootChain.Header memory header, Coin memory coin) internal {
        vm.deal(claimant, claimant.balance + MISSING_BOND);
        _sendWith(claimant, MISSING_BOND, _claimCall(header, coin));
    }

    function _answerCall(Claim memory claim, bytes memory membership) internal pure returns (bytes memory) {
        return abi.encodeCall(IUnspentTree.answerMissing, (claim.header, _keyOf(claim.coin), membership));
    }

    function _answerSpentCall(Claim memory claim, Leaf memory spend) internal pure returns (bytes memory) {
        return abi.encodeCall(
            IUnspentTree.answerMissingSpent,
            (claim.header.number, _keyOf(claim.coin), claim.coin.id, _outputBytes(claim.coin), spend.body, spend.proof)
        );
    }

    function _convictCall(Claim memory claim) internal pure returns (bytes memory) {
        return abi.encodeCall(IUnspentTree.convictMissing, (claim.header, _keyOf(claim.coin)));
    }

    function _reclaimCall(Claim memory claim) internal pure returns (bytes memory) {
        return abi.encodeCall(IUnspentTree.reclaimMissing, (claim.header, _keyOf(claim.coin)));
    }

    function _sendWith(address sender, uint256 value, bytes memory call) internal {
        vm.prank(sender);
        (bool success, bytes memory reason) = address(rootChain).call{value: value}(call);
        vm.assertEq(success ? bytes("") : reason, "", "refused");
    }

    function _assertRefusedWith(address sender, uint256 value, bytes memory call, bytes memory reason) internal {
        vm.prank(sender);
        (bool success, bytes memory actual) = address(rootChain).call{value: value}(call);
        vm.assertFalse(success, "not refused");
        vm.assertEq(actual, reason, "refused for another reason");
    }

    function _assertClaim(Claim memory claim, address claimant, uint64 claimedAt, bytes32 value) internal view {
        (address actual, uint64 actualAt, bytes32 actualValue) =
            rootChain.missingClaims(claim.header.number, claim.coin.proof.position);
        vm.assertEq(actual, claimant, "claimant");
        vm.assertEq(actualAt, claimedAt, "claimed at");
        vm.assertEq(actualValue, value, "value");
    }

    function _reason(bytes4 selector, uint256 first, uint256 second) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, first, second);
    }
}
