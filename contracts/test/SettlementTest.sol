// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {UnspentTest} from "./UnspentTest.sol";

/// @title What the tests of the settlement share
/// @notice Coins of the last good tree, the chain's end, and the calls that withdraw what is left.
abstract contract SettlementTest is UnspentTest {
    /// The last block that is not void.
    IRootChain.Header internal _last;
    /// The first that is.
    IRootChain.Header internal _voidHeader;

    /// Commits the last good block so far, whose tree holds a coin that a transaction made.
    function _heldByTheLast(address owner, address asset, uint128 amount) internal returns (Coin memory coin) {
        Leaf memory maker;
        (coin, maker) = _madeAndHeld(owner, asset, amount);
        _last = maker.proof.header;
    }

    function _depositedAndHeldBy(address owner, address asset, uint128 amount) internal returns (Coin memory coin) {
        (coin, _last) = _depositedAndHeld(owner, asset, amount);
    }

    /// Commits a block that is invalid, and has it convicted. Nothing changes in the tree.
    function _haltAfterLast() internal {
        Placed memory placed = _include(_payment(keccak256("guilty"), carol, ETHER, 1));
        _voidHeader = placed.proof.header;
        _send(accuser, _proofAgainst(placed));
    }

    /// Lets the time pass until coins can be withdrawn.
    function _settle() internal {
        IRootChain.ChainHead memory head = rootChain.head();
        uint64 ended = head.haltedAt > head.closedAt ? head.haltedAt : head.closedAt;
        _advanceTo(ended + 2 * MEP + F);
    }

    /// Returns the call that withdraws a coin which the tree at hand holds.
    function _withdrawal(Coin memory coin) internal view returns (bytes memory) {
        return _withdrawalBy(coin, _membership(coin));
    }

    function _withdrawalBy(Coin memory coin, bytes memory membership) internal view returns (bytes memory) {
        return
            abi.encodeCall(IUnspentTree.withdrawSettled, (_last, membership, _creationOf(coin), coin.proof.inclusion));
    }

    function _depositWithdrawal(Coin memory coin) internal view returns (bytes memory) {
        Output memory output = coin.output;
        return abi.encodeCall(
            IUnspentTree.withdrawSettledDeposit,
            (_last, coin.proof.position.depositNonce(), output.owner, output.asset, output.amount)
        );
    }

    function _settledSince(Coin memory coin, uint64 freeze) internal pure returns (bytes memory) {
        return _reason(IRootChain.AlreadySettled.selector, uint256(coin.id), freeze);
    }
}
