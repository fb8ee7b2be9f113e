// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOperations} from "../src/interfaces/IOperations.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {depositPosition} from "../src/types/Position.sol";
import {SettlementTest} from "./SettlementTest.sol";
import {vm} from "./Vm.sol";

/// @title §8: after the chain's end, what the last good tree holds is paid
contract SettlementsTest is SettlementTest {
    // ------------------------------------------------------------------ when

    /// One call, no bond; the coin is settled.
    function test_settlement_paysACoinOfAHaltedChain() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 3 ether);
        _haltAfterLast();
        _settle();
        uint256 balance = alice.balance;
        uint256 vault = _vault();
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.CoinWithdrawn(coin.id, alice, ETHER, 3 ether, 3 ether, false);
        _send(alice, _withdrawal(coin));
        vm.assertEq(alice.balance, balance + 3 ether, "alice");
        vm.assertEq(_vault(), vault - 3 ether, "vault");
        _assertOwed(ETHER, 0);
        _assertCoin(coin.id, 0, false, _now());
        _assertRefused(alice, _withdrawal(coin), _settledSince(coin, _now()));
    }

    function test_settlement_paysACoinOfAClosedChain() public {
        Coin memory coin = _heldByTheLast(alice, address(token), 30);
        _close();
        _settle();
        uint256 balance = token.balanceOf(alice);
        _send(alice, _withdrawal(coin));
        vm.assertEq(token.balanceOf(alice), balance + 30, "alice");
        _assertOwed(address(token), 0);
    }

    function test_settlement_paysNothingWhileTheChainRuns() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        _advance(SUNSET + 3 * MEP);
        _assertRefused(alice, _withdrawal(coin), _reason(IUnspentTree.StillRunning.selector));
        bytes memory call = _depositWithdrawal(_deposited(alice, ETHER, 1 ether));
        _assertRefused(alice, call, _reason(IUnspentTree.StillRunning.selector));
    }

    /// 2 MEP and the freeze delay after the halt, to the second.
    function test_settlement_beginsAfterTheExitsOfBefore() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory deposit = _deposited(bob, ETHER, 1 ether);
        _haltAfterLast();
        _assertBeginsAt(coin, deposit, _now() + 2 * uint64(MEP) + uint64(F));
    }

    function test_settlement_countsFromTheClosing() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory deposit = _deposited(bob, ETHER, 1 ether);
        _close();
        _assertBeginsAt(coin, deposit, _now() + 2 * uint64(MEP) + uint64(F));
    }

    /// An earlier block convicted later: its tree is another, and all exits have their time again.
    function test_settlement_countsFromTheLastFallOfTheHalt() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Placed memory earlier = _include(_payment(keccak256("earlier"), carol, ETHER, 1));
        Placed memory later = _include(_payment(keccak256("later"), carol, ETHER, 1));
        _send(accuser, _proofAgainst(later));
        _advance(MEP);
        _send(accuser, _proofAgainst(earlier));
        _assertBeginsAt(coin, _deposited0(), _now() + 2 * uint64(MEP) + uint64(F));
    }

    function test_settlement_ofAChainHaltedAfterItsClosingCountsFromTheHalt() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.sunset = MEP;
        rootChain = _deploy(parameters);
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Placed memory guilty = _include(_payment(keccak256("guilty"), carol, ETHER, 1));
        _advance(MEP);
        IOperations(address(rootChain)).closeChain();
        _advance(1 days);
        _send(accuser, _proofAgainst(guilty));
        _assertBeginsAt(coin, _deposited0(), _now() + 2 * uint64(MEP) + uint64(F));
    }

    // ------------------------------------------------------------------ what

    function test_settlement_goesByTheLastBlockThatIsNotVoid() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory other = _depositedAndHeldBy(bob, ETHER, 1 ether);
        IRootChain.Header memory last = _last;
        _haltAfterLast();
        IRootChain.Header memory void = _voidHeader;
        _settle();
        _last = void;
        bytes memory reason = _reason(IUnspentTree.NotTheLastBlock.selector, void.number, last.number);
        _assertRefused(alice, _withdrawal(coin), reason);
        _last.number = 0;
        reason = _reason(IUnspentTree.NotTheLastBlock.selector, 0, last.number);
        _assertRefused(alice, _withdrawal(coin), reason);
        _assertRefused(bob, _depositWithdrawal(other), reason);
        // The right number, and other fields.
        _last = last;
        _last.depositCount = 0;
        reason = _reason(IRootChain.UnknownHeader.selector, last.number);
        _assertRefused(alice, _withdrawal(coin), reason);
        _assertRefused(bob, _depositWithdrawal(other), reason);
        _last = last;
        _send(alice, _withdrawal(coin));
        _send(bob, _withdrawal(other));
    }

    /// What it does not hold it does not pay: a spent coin, say.
    function test_settlement_paysNothingThatTheTreeDoesNotHold() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory other = _depositedAndHeldBy(alice, ETHER, 1 ether);
        _drop(coin);
        _last = _commitSpend(coin).proof.header;
        _haltAfterLast();
        _settle();
        bytes memory notHeld = _reason(IUnspentTree.NotHeld.selector);
        _assertRefused(alice, _withdrawalBy(coin, _membership(other)), notHeld);
        _assertRefused(alice, _withdrawalBy(other, bytes.concat(_membership(other), hex"00")), notHeld);
        _send(alice, _withdrawal(other));
    }

    function test_settlement_asksForWhatMadeTheCoin() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        bytes memory membership = _membership(coin);
        _haltAfterLast();
        _settle();
        Coin memory wrong = abi.decode(abi.encode(coin), (Coin));
        wrong.proof.creation = bytes.concat(coin.proof.creation, hex"00");
        _assertRefused(alice, _withdrawalBy(wrong, membership), _reason(IRootChain.NotCanonical.selector));
        wrong.proof.creation = coin.proof.creation;
        wrong.proof.inclusion.txIndex = 1;
        uint64 number = coin.proof.inclusion.header.number;
        bytes memory notIncluded = _reason(IRootChain.NotIncluded.selector, number, 1);
        _assertRefused(alice, _withdrawalBy(wrong, membership), notIncluded);
        wrong.proof.inclusion.header.timestamp += 1;
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, number);
        _assertRefused(alice, _withdrawalBy(wrong, membership), unknown);
    }

    /// The transaction stands in a void block as well: its proof there is none.
    function test_settlement_takesNoCreationInAVoidBlock() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Placed memory again = _include(coin.proof.creation);
        _voidHeader = again.proof.header;
        _send(accuser, _proofAgainst(again));
        _settle();
        bytes memory membership = _membership(coin);
        coin.proof.inclusion = again.proof;
        bytes memory later = _reason(IUnspentTree.LaterBlock.selector, again.proof.header.number, _last.number);
        _assertRefused(alice, _withdrawalBy(coin, membership), later);
    }

    function test_settlement_paysADepositThatTheTreeHolds() public {
        Coin memory coin = _depositedAndHeldBy(alice, ETHER, 2 ether);
        _haltAfterLast();
        _settle();
        // It is covered: the tree says whether it is unspent.
        bytes memory reason = _reason(IUnspentTree.DepositCovered.selector, coin.proof.position.depositNonce());
        _assertRefused(alice, _depositWithdrawal(coin), reason);
        uint256 balance = alice.balance;
        _send(alice, _withdrawal(coin));
        vm.assertEq(alice.balance, balance + 2 ether, "alice");
    }

    function test_settlement_paysADepositThatNoGoodBlockCovers() public {
        _heldByTheLast(bob, ETHER, 1 ether);
        Coin memory coin = _deposited(alice, address(token), 20);
        // Covered by the void block, which counts for nothing.
        _haltAfterLast();
        _settle();
        uint256 balance = token.balanceOf(alice);
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.CoinWithdrawn(coin.id, alice, address(token), 20, 20, false);
        _send(alice, _depositWithdrawal(coin));
        vm.assertEq(token.balanceOf(alice), balance + 20, "alice");
        _assertCoin(coin.id, 0, false, _now());
        _assertRefused(alice, _depositWithdrawal(coin), _settledSince(coin, _now()));
        // The block's tree is not asked for it, whatever it holds.
        bytes memory later =
            _reason(IUnspentTree.LaterBlock.selector, coin.proof.position.depositNonce(), _last.depositCount);
        _assertRefused(alice, _withdrawalBy(coin, ""), later);
    }

    function test_settlement_paysNoDepositThatWasNotMade() public {
        _heldByTheLast(bob, ETHER, 1 ether);
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _haltAfterLast();
        _settle();
        coin.output.amount += 1;
        bytes32 id = _depositId(coin.proof.position.depositNonce(), alice, ETHER, coin.output.amount);
        _assertRefused(alice, _depositWithdrawal(coin), _reason(IRootChain.NotADeposit.selector, uint256(id)));
    }

    /// The first block was the bad one: deposits alone are left.
    function test_settlement_ofAChainWithoutAGoodBlockPaysAllDeposits() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _hold(coin);
        _haltAfterLast();
        _settle();
        _assertRefused(alice, _withdrawal(coin), _reason(IRootChain.UnknownHeader.selector, 0));
        uint256 balance = alice.balance;
        _send(alice, _depositWithdrawal(coin));
        vm.assertEq(alice.balance, balance + 1 ether, "alice");
    }

    function test_settlement_ofAChainThatNeverHadABlockPaysAllDeposits() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _close();
        _settle();
        _send(alice, _depositWithdrawal(coin));
        _assertOwed(ETHER, 0);
    }

    // -------------------------------------------------------------- internals

    /// Returns the first deposit, alice's of one ether, which made the first coin.
    function _deposited0() private view returns (Coin memory coin) {
        coin.id = _depositId(0, alice, ETHER, 1 ether);
        coin.output = Output(alice, ETHER, 1 ether);
        coin.proof.position = depositPosition(0);
    }

    function _assertBeginsAt(Coin memory coin, Coin memory deposit, uint64 from) private {
        bytes memory notYet = _reason(IUnspentTree.NotYetSettling.selector, from);
        _assertRefused(alice, _withdrawal(coin), notYet);
        _advanceTo(from - 1);
        _assertRefused(alice, _withdrawal(coin), notYet);
        _assertRefused(deposit.output.owner, _depositWithdrawal(deposit), notYet);
        _advance(1);
        _send(alice, _withdrawal(coin));
    }
}
