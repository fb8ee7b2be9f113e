// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision, PlaceHolder} from "../src/types/InFlightState.sol";
import {NO_PIECES} from "../src/types/PieceSet.sol";
import {Position} from "../src/types/Position.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title §6.3, §6.4, §6.8: canonicity is challenged and answered, and exits are closed
contract InFlightCanonicityTest is InFlightTest {
    // ------------------------------------------------------------ challenges

    function test_challengeNotCanonical_revertsIfNoneIsOpen() public {
        Flight memory flight = _open();
        flight.transaction.txHash = keccak256("other");
        _expectChallengeRefused(
            flight,
            0,
            _notIncluded(_rival(flight)),
            abi.encodeWithSelector(IInFlightExits.NotOpen.selector, keccak256("other"))
        );
    }

    function test_challengeNotCanonical_revertsOnceTheFirstHalfIsOver() public {
        Flight memory flight = _open();
        _advanceTo(flight.start + HALF);
        _expectChallengeRefused(flight, 0, _notIncluded(_rival(flight)), _halfOver(flight));
    }

    function test_challengeNotCanonical_revertsIfTheDataDiffer() public {
        Flight memory flight = _open();
        flight.data = _data(bob, flight.coins);
        _expectChallengeRefused(
            flight,
            0,
            _notIncluded(_rival(flight)),
            abi.encodeWithSelector(IInFlightExits.WrongData.selector, flight.transaction.txHash)
        );
    }

    function test_challengeNotCanonical_revertsIfBondIsWrong() public {
        Flight memory flight = _open();
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.WrongBond.selector, 1, IN_FLIGHT_BOND));
        inFlight.challengeNotCanonical{value: 1}(
            flight.transaction.txHash, flight.data, 0, _notIncluded(_rival(flight))
        );
    }

    function test_challengeNotCanonical_revertsIfThereIsNoSuchInput() public {
        Flight memory flight = _open();
        _expectChallengeRefused(
            flight, 1, _notIncluded(_rival(flight)), abi.encodeWithSelector(IInFlightExits.NoSuchPiece.selector, 1)
        );
    }

    function test_challengeNotCanonical_revertsIfTheCompetitorIsNone() public {
        Flight memory flight = _open();
        bytes memory refused = abi.encodeWithSelector(IRootChain.NotASpend.selector, flight.coins[0].id);
        Signed memory other = _spendOf(BOB_KEY, flight.coins[0], bob);
        _expectChallengeRefused(flight, 0, _notIncluded(other), refused);
        other = _spendOf(ALICE_KEY, _made(alice, ETHER, 1), bob);
        _expectChallengeRefused(flight, 0, _notIncluded(other), refused);
        other = _rival(flight);
        other.body[0] = 0x02;
        _expectChallengeRefused(flight, 0, _notIncluded(other), refused);
        _expectChallengeRefused(
            flight,
            0,
            _notIncluded(flight.transaction),
            abi.encodeWithSelector(IInFlightExits.OwnTransaction.selector, flight.transaction.txHash)
        );
    }

    function test_challengeNotCanonical_revertsIfTheInclusionIsNotProven() public {
        Flight memory flight = _open();
        Signed memory rival = _rival(flight);
        IRootChain.InclusionProof memory proof = _include(rival.body).proof;
        uint64 number = proof.header.number;
        proof.witnessHash = keccak256("other");
        _expectChallengeRefused(
            flight, 0, _competitor(rival, proof), abi.encodeWithSelector(IRootChain.NotIncluded.selector, number, 0)
        );
        proof.header.number = 7;
        _expectChallengeRefused(
            flight, 0, _competitor(rival, proof), abi.encodeWithSelector(IRootChain.UnknownHeader.selector, 7)
        );
    }

    function test_competitorThatIsNotIncludedBecomesTheOldestPlace() public {
        Flight memory flight = _open();
        Signed memory rival = _rival(flight);
        _advanceTo(flight.start + HALF - 1);
        uint256 balance = carol.balance;
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.CanonicityChallenged(
            flight.transaction.txHash, carol, NOT_INCLUDED, rival.body, rival.signature
        );
        _challengeCanonicity(carol, flight, 0, _notIncluded(rival));
        vm.assertEq(carol.balance, balance - IN_FLIGHT_BOND, "bond");
        _assertPlace(flight, PlaceHolder.Competitor, NOT_INCLUDED, carol);
        // Another one is not older.
        rival = _spendOf(ALICE_KEY, flight.coins[0], alice);
        _expectChallengeRefused(
            flight,
            0,
            _notIncluded(rival),
            abi.encodeWithSelector(IInFlightExits.NotOlder.selector, NOT_INCLUDED, NOT_INCLUDED)
        );
    }

    function test_olderCompetitorReturnsTheEarlierChallengersBond() public {
        Flight memory flight = _open();
        Signed memory rival = _rival(flight);
        Placed memory older = _include(rival.body);
        Placed memory younger = _include(rival.body);
        _challengeCanonicity(bob, flight, 0, _notIncluded(rival));
        uint256 balance = bob.balance;
        _challengeCanonicity(carol, flight, 0, _competitor(rival, younger.proof));
        vm.assertEq(bob.balance, balance + IN_FLIGHT_BOND, "bob");
        _assertPlace(flight, PlaceHolder.Competitor, _place(younger), carol);
        _expectChallengeRefused(
            flight,
            0,
            _competitor(rival, younger.proof),
            abi.encodeWithSelector(IInFlightExits.NotOlder.selector, _place(younger), _place(younger))
        );
        balance = carol.balance;
        _challengeCanonicity(bob, flight, 0, _competitor(rival, older.proof));
        vm.assertEq(carol.balance, balance + IN_FLIGHT_BOND, "carol");
        _assertPlace(flight, PlaceHolder.Competitor, _place(older), bob);
    }

    function test_competitorInAVoidBlockCountsAsNotIncluded() public {
        Flight memory flight = _open();
        Signed memory rival = _rival(flight);
        Placed memory placed = _include(rival.body);
        _haltFrom(placed.proof.header.number);
        _challengeCanonicity(carol, flight, 0, _competitor(rival, placed.proof));
        _assertPlace(flight, PlaceHolder.Competitor, NOT_INCLUDED, carol);
    }

    /// A competitor shares one of several inputs, whichever.
    function test_competitorSharesAnyInput() public {
        Coin[] memory coins = _coins(_made(alice, ETHER, 1 ether), _made(alice, ETHER, 1 ether));
        Output[] memory outputs = _outputs(Output(bob, ETHER, 2 ether));
        Flight memory flight = _startInFlight(bob, coins, _signed(ALICE_KEY, _ids(coins), outputs));
        _challengeCanonicity(carol, flight, 1, _notIncluded(_spendOf(ALICE_KEY, coins[1], carol)));
        _assertPlace(flight, PlaceHolder.Competitor, NOT_INCLUDED, carol);
    }

    // -------------------------------------------------------------- responses

    function test_respondNotCanonical_revertsIfNoneIsOpen() public {
        Flight memory flight = _open();
        Placed memory placed = _include(flight.transaction.body);
        vm.expectRevert(abi.encodeWithSelector(IInFlightExits.NotOpen.selector, keccak256("other")));
        inFlight.respondNotCanonical(keccak256("other"), placed.proof);
    }

    function test_respondNotCanonical_revertsIfNothingWasShown() public {
        Flight memory flight = _open();
        _expectResponseRefused(
            flight,
            _include(flight.transaction.body),
            abi.encodeWithSelector(IInFlightExits.NothingToAnswer.selector, flight.transaction.txHash)
        );
    }

    function test_respondNotCanonical_revertsIfThePlaceIsNotOlder() public {
        Flight memory flight = _open();
        Signed memory rival = _rival(flight);
        Placed memory rivals = _include(rival.body);
        Placed memory own = _include(flight.transaction.body);
        _challengeCanonicity(carol, flight, 0, _competitor(rival, rivals.proof));
        _expectResponseRefused(
            flight, own, abi.encodeWithSelector(IInFlightExits.NotOlder.selector, _place(own), _place(rivals))
        );
    }

    function test_respondNotCanonical_revertsIfItIsNotIncludedOrVoid() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        _expectResponseRefused(
            flight,
            _include(_rival(flight).body),
            abi.encodeWithSelector(IRootChain.NotIncluded.selector, own.proof.header.number + 1, 0)
        );
        _haltFrom(own.proof.header.number);
        _expectResponseRefused(
            flight, own, abi.encodeWithSelector(IRootChain.VoidBlock.selector, own.proof.header.number)
        );
    }

    function test_respondNotCanonical_revertsOnceDecided() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        _piggyback(bob, flight, _output(0));
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _expectResponseRefused(
            flight,
            own,
            abi.encodeWithSelector(
                IInFlightExits.AlreadyDecided.selector, flight.transaction.txHash, Decision.NonCanonical
            )
        );
    }

    function test_responseTakesTheChallengersBond() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        // Late, but not decided.
        _advanceTo(flight.key + 1 days);
        uint256 balance = bob.balance;
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.CanonicityAnswered(flight.transaction.txHash, bob, _place(own));
        _respond(bob, flight, own);
        vm.assertEq(bob.balance, balance + IN_FLIGHT_BOND, "bob");
        _assertPlace(flight, PlaceHolder.Own, _place(own), address(0));
    }

    /// An own place is bettered for nothing; a competitor between the two places is refused from then on.
    function test_ownPlaceIsBettered() public {
        Flight memory flight = _open();
        Signed memory rival = _rival(flight);
        Placed memory older = _include(flight.transaction.body);
        Placed memory rivals = _include(rival.body);
        Placed memory younger = _include(flight.transaction.body);
        _challengeCanonicity(carol, flight, 0, _notIncluded(rival));
        _respond(bob, flight, younger);
        uint256 balance = bob.balance;
        _respond(bob, flight, older);
        vm.assertEq(bob.balance, balance, "no bond is held");
        _assertPlace(flight, PlaceHolder.Own, _place(older), address(0));
        _expectChallengeRefused(
            flight,
            0,
            _competitor(rival, rivals.proof),
            abi.encodeWithSelector(IInFlightExits.NotOlder.selector, _place(rivals), _place(older))
        );
    }

    /// A competitor older than the response, which has taken the bond of the first challenger.
    function test_responseIsOutdoneByAnOlderCompetitor() public {
        Flight memory flight = _open();
        Signed memory rival = _rival(flight);
        Placed memory rivals = _include(rival.body);
        Placed memory own = _include(flight.transaction.body);
        _challengeCanonicity(carol, flight, 0, _notIncluded(rival));
        _respond(bob, flight, own);
        uint256 balance = carol.balance;
        _challengeCanonicity(carol, flight, 0, _competitor(rival, rivals.proof));
        vm.assertEq(carol.balance, balance - IN_FLIGHT_BOND, "nothing returns");
        _assertPlace(flight, PlaceHolder.Competitor, _place(rivals), carol);
    }

    /// A challenger who answers himself has his own bond back, and an honest starter has his.
    function test_challengerWhoAnswersHimselfGainsNothing() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        uint256 balance = bob.balance;
        _challengeCanonicity(bob, flight, 0, _notIncluded(_rival(flight)));
        _respond(bob, flight, own);
        vm.assertEq(bob.balance, balance, "the challenger");
        _advanceTo(flight.start + HALF);
        balance = carol.balance;
        _closeFlight(flight);
        vm.assertEq(carol.balance, balance + IN_FLIGHT_BOND, "the starter");
        _assertClosed(flight);
    }

    // ----------------------------------------------------------------- close

    function test_closeInFlightExit_revertsIfNoneIsOpen() public {
        Flight memory flight = _open();
        flight.transaction.txHash = keccak256("other");
        _expectCloseRefused(flight, abi.encodeWithSelector(IInFlightExits.NotOpen.selector, keccak256("other")));
    }

    function test_closeInFlightExit_revertsIfTheDataDiffer() public {
        Flight memory flight = _open();
        flight.data = _data(bob, flight.coins);
        _advanceTo(flight.start + HALF);
        _expectCloseRefused(
            flight, abi.encodeWithSelector(IInFlightExits.WrongData.selector, flight.transaction.txHash)
        );
    }

    function test_closeInFlightExit_revertsWhilePiecesAreLive() public {
        Flight memory flight = _open();
        _piggyback(bob, flight, _output(0));
        _advanceTo(flight.key);
        _expectCloseRefused(flight, abi.encodeWithSelector(IInFlightExits.PiecesLive.selector, _output(0)));
    }

    function test_closeInFlightExit_revertsInTheFirstHalf() public {
        Flight memory flight = _open();
        _advanceTo(flight.start + HALF - 1);
        _expectCloseRefused(
            flight, abi.encodeWithSelector(IInFlightExits.TooEarly.selector, _now(), flight.start + HALF)
        );
    }

    function test_unchallengedExitReturnsItsBond() public {
        Flight memory flight = _open();
        _advanceTo(flight.start + HALF);
        uint256 balance = carol.balance;
        uint256 vault = _vault();
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.InFlightExitClosed(flight.transaction.txHash);
        _closeFlight(flight);
        vm.assertEq(carol.balance, balance + IN_FLIGHT_BOND, "the starter");
        vm.assertEq(_vault(), vault - IN_FLIGHT_BOND, "vault");
        _assertClosed(flight);
    }

    /// A challenge in the last second of the first half: the exit stays open until its key, and an answer is in time.
    function test_challengeInTheLastSecondLeavesTimeForAResponse() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        _advanceTo(flight.start + HALF - 1);
        _challengeCanonicity(bob, flight, 0, _notIncluded(_rival(flight)));
        _advance(1);
        _expectCloseRefused(flight, abi.encodeWithSelector(IInFlightExits.TooEarly.selector, _now(), flight.key));
        _advanceTo(flight.key - 1);
        _expectCloseRefused(flight, abi.encodeWithSelector(IInFlightExits.TooEarly.selector, _now(), flight.key));
        uint256 balance = alice.balance;
        _respond(alice, flight, own);
        vm.assertEq(alice.balance, balance + IN_FLIGHT_BOND, "the responder");
        balance = carol.balance;
        // Answered, there is nothing to wait for.
        _closeFlight(flight);
        vm.assertEq(carol.balance, balance + IN_FLIGHT_BOND, "the starter");
        _assertClosed(flight);
    }

    function test_challengerOfAnExitThatIsNeverDecidedHasBothBonds() public {
        Flight memory flight = _open();
        _challengeCanonicity(bob, flight, 0, _notIncluded(_rival(flight)));
        _advanceTo(flight.key);
        uint256 balance = bob.balance;
        uint256 starters = carol.balance;
        _closeFlight(flight);
        vm.assertEq(bob.balance, balance + 2 * IN_FLIGHT_BOND, "the challenger");
        vm.assertEq(carol.balance, starters, "the starter");
        _assertClosed(flight);
    }

    /// Decided, a close need not wait: it comes after the key in any case.
    function test_challengerOfANonCanonicalExitHasBothBonds() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _input(0));
        _challengeCanonicity(bob, flight, 0, _notIncluded(_rival(flight)));
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        uint256 balance = bob.balance;
        _closeFlight(flight);
        vm.assertEq(bob.balance, balance + 2 * IN_FLIGHT_BOND, "the challenger");
        _assertClosed(flight);
    }

    /// Void, nobody was wrong: each has its own bond.
    function test_bondsOfAVoidExitReturn() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _input(0));
        _challengeCanonicity(bob, flight, 0, _notIncluded(_rival(flight)));
        _haltFrom(1);
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _assertOpen(flight, NO_PIECES, Decision.Void);
        uint256 balance = bob.balance;
        uint256 starters = carol.balance;
        _closeFlight(flight);
        vm.assertEq(bob.balance, balance + IN_FLIGHT_BOND, "the challenger");
        vm.assertEq(carol.balance, starters + IN_FLIGHT_BOND, "the starter");
        _assertClosed(flight);
    }

    function test_bondsThatAreRefusedAreCredited() public {
        HostileReceiver starter = new HostileReceiver(HostileReceiver.Behaviour.BurnsGas);
        HostileReceiver challenger = new HostileReceiver(HostileReceiver.Behaviour.BombsReturnData);
        vm.deal(address(starter), 1 ether);
        vm.deal(address(challenger), 1 ether);
        Coin memory coin = _made(alice, ETHER, 3 ether);
        Flight memory flight = _startInFlight(address(starter), _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        Placed memory rivals = _include(_rival(flight).body);
        _challengeCanonicity(address(challenger), flight, 0, _notIncluded(_rival(flight)));
        // An older competitor.
        _challengeCanonicity(bob, flight, 0, _competitor(_rival(flight), rivals.proof));
        vm.assertEq(rootChain.claimable(address(challenger), ETHER), IN_FLIGHT_BOND, "the challenger's");
        _piggyback(alice, flight, _input(0));
        _haltFrom(1);
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _closeFlight(flight);
        vm.assertEq(rootChain.claimable(address(starter), ETHER), IN_FLIGHT_BOND, "the starter's");
        vm.assertEq(_vault(), 3 ether + 2 * IN_FLIGHT_BOND, "vault");
    }

    /// The facet's lock is the contract's: whoever is paid by it can call nothing meanwhile.
    function test_outbidChallengerCannotReenter() public {
        bytes[] memory calls = _stateChangingCalls();
        for (uint256 i = 0; i < calls.length; ++i) {
            HostileReceiver challenger = new HostileReceiver(HostileReceiver.Behaviour.Accepts);
            vm.deal(address(challenger), IN_FLIGHT_BOND);
            Flight memory flight = _open();
            Signed memory rival = _rival(flight);
            Placed memory rivals = _include(rival.body);
            _challengeCanonicity(address(challenger), flight, 0, _notIncluded(rival));
            challenger.reenter(address(rootChain), calls[i]);
            _challengeCanonicity(bob, flight, 0, _competitor(rival, rivals.proof));
            vm.assertEq(challenger.reentryError(), IRootChain.Locked.selector, "the inner call was refused");
            vm.assertEq(address(challenger).balance, IN_FLIGHT_BOND, "paid all the same");
        }
    }

    /// A later exit of the same transaction is new in every respect.
    function test_closedExitIsOpenedAgain() public {
        Flight memory flight = _open();
        _challengeCanonicity(bob, flight, 0, _notIncluded(_rival(flight)));
        _advanceTo(flight.key);
        _closeFlight(flight);
        Flight memory again = _startInFlight(bob, flight.coins, flight.transaction);
        _assertOpen(again, NO_PIECES, Decision.None);
        _assertPlace(again, PlaceHolder.Nobody, Position.wrap(0), address(0));
        uint256 balance = bob.balance;
        _piggyback(bob, again, _output(0));
        _advanceTo(again.key);
        _processPieces(ETHER, again);
        vm.assertEq(bob.balance, balance + 1 ether - _pieceBounty(again), "bob");
    }

    // -------------------------------------------------------------- internals

    function _expectChallengeRefused(
        Flight memory flight,
        uint8 input,
        IInFlightExits.Spend memory competitor,
        bytes memory reason
    ) private {
        vm.prank(bob);
        vm.expectRevert(reason);
        inFlight.challengeNotCanonical{value: IN_FLIGHT_BOND}(flight.transaction.txHash, flight.data, input, competitor);
    }

    function _expectResponseRefused(Flight memory flight, Placed memory placed, bytes memory reason) private {
        vm.prank(bob);
        vm.expectRevert(reason);
        inFlight.respondNotCanonical(flight.transaction.txHash, placed.proof);
    }

    function _expectCloseRefused(Flight memory flight, bytes memory reason) private {
        vm.expectRevert(reason);
        inFlight.closeInFlightExit(flight.transaction.txHash, flight.data);
    }
}
