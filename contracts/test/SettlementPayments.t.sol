// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {Decision} from "../src/types/InFlightState.sol";
import {NO_PIECES} from "../src/types/PieceSet.sol";
import {SettlementTest} from "./SettlementTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";
import {HostileToken} from "./mocks/HostileToken.sol";

/// @title §8: exits go first, nothing is paid twice, and whoever is paid, or cannot be
contract SettlementPaymentsTest is SettlementTest {
    // ------------------------------------------------------------- exits first

    /// Whatever is pending in the asset's list with a key until S, and nothing of another asset or later.
    function test_settlement_letsExitsOfTheAssetGoFirst() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory tokens = _depositedAndHeldBy(alice, address(token), 10);
        Coin memory exiting = _depositedAndHeldBy(bob, ETHER, 1 ether);
        _haltAfterLast();
        _advance(1 days);
        uint64 nonce = exiting.proof.position.depositNonce();
        IRootChain.ExitRecord memory exit = _startExitOfDeposit(nonce, bob, ETHER, 1 ether);
        _settle();
        bytes memory reason = abi.encodeWithSelector(IUnspentTree.ExitsPending.selector, ETHER, exit.key);
        _assertRefused(alice, _withdrawal(coin), reason);
        _send(alice, _withdrawal(tokens));
        _process(ETHER, _only(exit));
        _send(alice, _withdrawal(coin));
        _assertRefused(bob, _withdrawal(exiting), _settledSince(exiting, exit.key - MEP / 2));
    }

    /// A key at S goes first; the next one does not.
    function test_settlement_comesBetweenTheKeysUntilSAndThoseAfter() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 5 ether);
        Coin memory atS = _depositedAndHeldBy(bob, ETHER, 1 ether);
        Coin memory following = _depositedAndHeldBy(carol, ETHER, 1 ether);
        // So that S is a multiple of G, and keys can be S.
        _advanceTo(_ceil(_now()) + G);
        _haltAfterLast();
        uint256 halt = _now();
        vm.assertEq(halt % G, 0, "a multiple of G");
        _advanceTo(halt + MEP);
        uint64 nonce = atS.proof.position.depositNonce();
        IRootChain.ExitRecord memory first = _startExitOfDeposit(nonce, bob, ETHER, 1 ether);
        vm.assertEq(first.key, halt + 2 * MEP, "S");
        _advance(1);
        nonce = following.proof.position.depositNonce();
        IRootChain.ExitRecord memory second = _startExitOfDeposit(nonce, carol, ETHER, 1 ether);
        vm.assertEq(second.key, halt + 2 * MEP + G, "the next");
        _settle();
        bytes memory reason = abi.encodeWithSelector(IUnspentTree.ExitsPending.selector, ETHER, first.key);
        _assertRefused(alice, _withdrawal(coin), reason);
        _process(ETHER, _only(first));
        _send(alice, _withdrawal(coin));
        _assertOneKey(ETHER, second.key, 1);
        _process(ETHER, _only(second));
        _assertOwed(ETHER, 0);
    }

    /// Keys that count nothing are cleared on the way, and no key after S.
    function test_settlement_movesTheHeadOverKeysWithoutExits() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory exiting = _depositedAndHeldBy(bob, ETHER, 1 ether);
        _haltAfterLast();
        IRootChain.ExitRecord memory exit =
            _startExitOfDeposit(exiting.proof.position.depositNonce(), bob, ETHER, 1 ether);
        (bytes memory spend, bytes memory signature) = _signedPayment(BOB_KEY, exiting.id, alice, ETHER, 1 ether);
        rootChain.challengeStandardExit(exit, spend, signature);
        _settle();
        IRootChain.ExitRecord memory late =
            _startExitOfDeposit(exiting.proof.position.depositNonce(), bob, ETHER, 1 ether);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitKeysCleared(ETHER, late.key);
        _send(alice, _withdrawal(coin));
        _assertOneKey(ETHER, late.key, 1);
        // Without a key to clear nothing is told.
        vm.recordLogs();
        _send(bob, _withdrawal(exiting));
        vm.assertEq(vm.getRecordedLogs().length, 1, "one event");
    }

    /// More keys than a call's gas clears: processing calls clear them, and nothing is lost by a failure.
    function test_settlement_waitsForKeysThatItsGasDoesNotClear() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory exiting = _depositedAndHeldBy(bob, ETHER, 1 ether);
        _haltAfterLast();
        IRootChain.ExitRecord memory exit =
            _startExitOfDeposit(exiting.proof.position.depositNonce(), bob, ETHER, 1 ether);
        (bytes memory spend, bytes memory signature) = _signedPayment(BOB_KEY, exiting.id, alice, ETHER, 1 ether);
        rootChain.challengeStandardExit(exit, spend, signature);
        _settle();
        bytes memory call = _withdrawal(coin);
        vm.prank(alice);
        (bool success, bytes memory reason) = address(rootChain).call{gas: 500_000}(call);
        vm.assertFalse(success, "cleared");
        vm.assertEq(reason, abi.encodeWithSelector(IUnspentTree.ExitsPending.selector, ETHER, exit.key), "why");
        _process(ETHER, new IRootChain.ExitRecord[](0));
        vm.prank(alice);
        (success,) = address(rootChain).call{gas: 500_000}(call);
        vm.assertTrue(success, "withdrawn");
    }

    // -------------------------------------------------------------- twice: no

    /// A later exit of a withdrawn coin gives its bond back.
    function test_settlement_ofAnExitingCoinReturnsTheExitsBond() public {
        Coin memory coin = _depositedAndHeldBy(alice, ETHER, 2 ether);
        _haltAfterLast();
        _settle();
        IRootChain.ExitRecord memory exit =
            _startExitOfDeposit(coin.proof.position.depositNonce(), alice, ETHER, 2 ether);
        uint256 balance = alice.balance;
        _send(alice, _withdrawal(coin));
        _assertExiting(exit, _now());
        vm.assertEq(alice.balance, balance + 2 ether, "the coin");
        _advanceTo(exit.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitReturned(coin.id, alice);
        _process(ETHER, _only(exit));
        vm.assertEq(alice.balance, balance + 2 ether + BACK, "and the bond, no more");
        _assertOwed(ETHER, 0);
    }

    /// A canonical exit of a payment in a void block settles its input.
    function test_settlement_paysNoInputOfAPaymentThatLeftInFlight() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        _haltAfterLast();
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _piggyback(bob, flight, _output(0));
        _settle();
        vm.assertTrue(flight.key <= _now() - F, "until S");
        bytes memory reason = abi.encodeWithSelector(IUnspentTree.ExitsPending.selector, ETHER, flight.key);
        _assertRefused(alice, _withdrawal(coin), reason);
        uint256 balance = bob.balance;
        _processPieces(ETHER, flight);
        vm.assertEq(bob.balance, balance + 1 ether + _pieceBack(flight), "bob");
        _assertRefused(alice, _withdrawal(coin), _settledSince(coin, flight.start + uint64(F)));
    }

    /// A payment of two assets is decided by the turn of a piece in either list. The wait after S gives its key the time.
    function test_settlement_waitsForPaymentsOfSeveralAssets() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory tokens = _depositedAndHeldBy(alice, address(token), 10);
        _haltAfterLast();
        Coin[] memory coins = _coins(coin, tokens);
        Output[] memory outputs = _outputs(Output(bob, ETHER, 1 ether), Output(bob, address(token), 10));
        Flight memory flight = _startInFlight(bob, coins, _signed(ALICE_KEY, _ids(coins), outputs));
        _piggyback(bob, flight, _output(1));
        uint64 end = rootChain.head().haltedAt + 2 * uint64(MEP);
        vm.assertTrue(flight.key <= end, "until S");
        _advanceTo(end);
        // Ether's list is empty. All the same alice has to wait, and then the tokens' has had its turn.
        _assertRefused(alice, _withdrawal(coin), _reason(IUnspentTree.NotYetSettling.selector, end + uint64(F)));
        _processPieces(address(token), flight);
        _settle();
        _assertRefused(alice, _withdrawal(coin), _settledSince(coin, flight.start + uint64(F)));
    }

    /// One that starts later finds the input settled.
    function test_settlement_leavesNothingToAnInFlightExitThatComesLater() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        _haltAfterLast();
        _settle();
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _piggyback(bob, flight, _output(0));
        _piggyback(alice, flight, _input(0));
        _send(alice, _withdrawal(coin));
        uint256[2] memory balances = [alice.balance, bob.balance];
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _assertOpen(flight, NO_PIECES, Decision.NonCanonical);
        vm.assertEq(alice.balance, balances[0] + _pieceBack(flight), "alice");
        vm.assertEq(bob.balance, balances[1] + _pieceBack(flight), "bob");
        _assertOwed(ETHER, 0);
    }

    // ------------------------------------------------------------------- whom

    function test_settlement_paysTheOwnerAlone() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        Coin memory deposit = _deposited(alice, ETHER, 1 ether);
        _haltAfterLast();
        _settle();
        bytes memory reason = abi.encodeWithSelector(IRootChain.NotPayee.selector, bob, alice);
        _assertRefused(bob, _withdrawal(coin), reason);
        _assertRefused(bob, _depositWithdrawal(deposit), reason);
    }

    /// Whoever bought the claim of a pending exit withdraws, and has what the exit gives back.
    function test_settlement_paysThePayeeOfAnAssignedExit() public {
        Coin memory coin = _depositedAndHeldBy(alice, ETHER, 1 ether);
        _haltAfterLast();
        _settle();
        IRootChain.ExitRecord memory exit =
            _startExitOfDeposit(coin.proof.position.depositNonce(), alice, ETHER, 1 ether);
        vm.prank(alice);
        rootChain.assignExit(exit, carol);
        bytes memory reason = abi.encodeWithSelector(IRootChain.NotPayee.selector, alice, carol);
        _assertRefused(alice, _withdrawal(coin), reason);
        uint256 balance = carol.balance;
        _send(carol, _withdrawal(coin));
        vm.assertEq(carol.balance, balance + 1 ether, "carol");
        _advanceTo(exit.key);
        _process(ETHER, _only(exit));
        vm.assertEq(carol.balance, balance + 1 ether + BACK, "the bond, too");
    }

    /// The assignment ends with its exit.
    function test_settlement_paysTheOwnerOnceTheAssignedExitIsChallenged() public {
        Coin memory coin = _depositedAndHeldBy(alice, ETHER, 1 ether);
        IRootChain.ExitRecord memory exit =
            _startExitOfDeposit(coin.proof.position.depositNonce(), alice, ETHER, 1 ether);
        vm.prank(alice);
        rootChain.assignExit(exit, carol);
        (bytes memory spend, bytes memory signature) = _signedPayment(ALICE_KEY, coin.id, bob, ETHER, 1 ether);
        rootChain.challengeStandardExit(exit, spend, signature);
        _haltAfterLast();
        _settle();
        bytes memory reason = abi.encodeWithSelector(IRootChain.NotPayee.selector, carol, alice);
        _assertRefused(carol, _withdrawal(coin), reason);
        _send(alice, _withdrawal(coin));
    }

    // ---------------------------------------------------------------- payment

    function test_settlement_paysWhatTheAssetCanCover() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 2 ether);
        // Another coin of as much, from nothing.
        Output memory minted = Output(bob, ETHER, 5 ether);
        Leaf memory mint = _commitLeaf(_payment(keccak256("nothing"), bob, ETHER, 5 ether), "");
        Coin memory more = _outputOf(mint, 0, minted);
        _hold(more);
        _last = _commitTree();
        _haltAfterLast();
        _settle();
        _send(alice, _withdrawal(coin));
        uint256 balance = bob.balance;
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.CoinWithdrawn(more.id, bob, ETHER, 5 ether, 0, false);
        _send(bob, _withdrawal(more));
        vm.assertEq(bob.balance, balance, "nothing is left");
        _assertRefused(bob, _withdrawal(more), _settledSince(more, _now()));
    }

    function test_settlement_creditsAnOwnerThatRefusesEther() public {
        HostileReceiver.Behaviour[3] memory behaviours = [
            HostileReceiver.Behaviour.Reverts,
            HostileReceiver.Behaviour.BurnsGas,
            HostileReceiver.Behaviour.BombsReturnData
        ];
        for (uint256 i = 0; i < behaviours.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            HostileReceiver receiver = new HostileReceiver(behaviours[i]);
            vm.deal(address(receiver), 2 ether);
            Coin memory coin = _depositedAndHeldBy(address(receiver), ETHER, 1 ether);
            _haltAfterLast();
            _settle();
            vm.expectEmit(address(rootChain));
            emit IUnspentTree.CoinWithdrawn(coin.id, address(receiver), ETHER, 1 ether, 1 ether, true);
            _send(address(receiver), _withdrawal(coin));
            vm.assertEq(rootChain.claimable(address(receiver), ETHER), 1 ether, "credit");
            _assertOwed(ETHER, 0);
            vm.revertToState(snapshot);
        }
    }

    function test_settlement_creditsWhatATokenDoesNotPay() public {
        HostileToken hostile = HostileToken(vm.deployCode("out/HostileToken.sol/HostileToken.json"));
        hostile.mint(alice, 100);
        vm.prank(alice);
        hostile.approve(address(rootChain), 100);
        vm.prank(alice);
        uint64 nonce = rootChain.depositErc20(address(hostile), 100, alice);
        hostile.behave(HostileToken.Behaviour.ReturnsFalse);
        _haltAfterLast();
        _settle();
        bytes memory call =
            abi.encodeCall(IUnspentTree.withdrawSettledDeposit, (_last, nonce, alice, address(hostile), uint128(100)));
        _send(alice, call);
        vm.assertEq(rootChain.claimable(alice, address(hostile)), 100, "credit");
        _assertOwed(address(hostile), 0);
    }

    /// Whoever is paid can call nothing meanwhile.
    function test_settlement_isLocked() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Accepts);
        vm.deal(address(receiver), 3 ether);
        Coin memory coin = _depositedAndHeldBy(address(receiver), ETHER, 1 ether);
        Coin memory other = _depositedAndHeldBy(address(receiver), ETHER, 1 ether);
        _haltAfterLast();
        _settle();
        receiver.reenter(address(rootChain), _withdrawal(other));
        _send(address(receiver), _withdrawal(coin));
        vm.assertEq(receiver.reentryError(), IRootChain.Locked.selector, "the inner call was refused");
        _send(address(receiver), _withdrawal(other));
    }

    /// A payment is never credited for want of gas.
    function test_settlement_givesNoOtherResultForWantOfGas() public {
        Coin memory coin = _heldByTheLast(alice, ETHER, 1 ether);
        _haltAfterLast();
        _settle();
        bytes memory call = _withdrawal(coin);
        bool isPaid = false;
        for (uint256 gas = 25_000; gas < 300_000; gas += 1777) {
            uint256 snapshot = vm.snapshotState();
            vm.prank(alice);
            (bool success, bytes memory reason) = address(rootChain).call{gas: gas}(call);
            bool isForGas = reason.length == 0 || bytes4(reason) == IRootChain.NotEnoughGas.selector;
            vm.assertTrue(success || isForGas, "refused for another reason");
            vm.assertEq(rootChain.claimable(alice, ETHER), 0, "credited");
            isPaid = isPaid || success;
            vm.revertToState(snapshot);
        }
        vm.assertTrue(isPaid, "never");
    }
}
