// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision} from "../src/types/InFlightState.sol";
import {NO_PIECES, PieceSet} from "../src/types/PieceSet.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";

/// @title §6.6, §6.7: an in-flight exit is decided at its first turn, and pays one side
contract InFlightDecisionsTest is InFlightTest {
    // -------------------------------------------------------------- canonical

    function test_piecesWaitForTheirKey() public {
        Flight memory flight = _open();
        _piggyback(bob, flight, _output(0));
        _advanceTo(flight.key - 1);
        _processPieces(ETHER, flight);
        _assertOpen(flight, _output(0), Decision.None);
        vm.assertEq(processor.balance, 0, "no bounty");
    }

    function test_canonicalExitPaysItsOutputs() public {
        Flight memory flight = _open();
        _piggyback(bob, flight, _output(0));
        _piggyback(alice, flight, _output(1));
        uint256[2] memory balances = [bob.balance, alice.balance];
        bytes32[2] memory ids = [_outputId(flight.transaction.body, 0), _outputId(flight.transaction.body, 1)];
        _advanceTo(flight.key);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.InFlightExitDecided(flight.transaction.txHash, Decision.Canonical);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PiecePaid(flight.transaction.txHash, ids[0], bob, 16, 1 ether, 1 ether, false);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitKeysCleared(ETHER, 0);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PiecePaid(flight.transaction.txHash, ids[1], alice, 17, 2 ether, 2 ether, false);
        _processPieces(ETHER, flight);

        vm.assertEq(bob.balance, balances[0] + 1 ether + _pieceBack(flight), "bob");
        vm.assertEq(alice.balance, balances[1] + 2 ether + _pieceBack(flight), "alice");
        vm.assertEq(processor.balance, 2 * _pieceBounty(flight), "processor");
        vm.assertEq(_vault(), IN_FLIGHT_BOND, "vault");
        _assertOwed(ETHER, 0);
        _assertOpen(flight, NO_PIECES, Decision.Canonical);
        _assertCoin(flight.coins[0].id, 0, false, uint64(flight.start + F));
        _assertCoin(ids[0], 0, false, uint64(flight.key - MEP / 2 + F));
        _assertCoin(ids[1], 0, false, uint64(flight.key - MEP / 2 + F));

        _closeFlight(flight);
        vm.assertEq(_vault(), 0, "every bond is back");
    }

    function test_inputsOfACanonicalExitGetTheirBondAlone() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _pieces(_input(0), _output(1)));
        uint256 balance = alice.balance;
        _advanceTo(flight.key);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PieceReturned(flight.transaction.txHash, flight.coins[0].id, alice, 0);
        _processPieces(ETHER, flight);
        vm.assertEq(alice.balance, balance + 2 ether + 2 * _pieceBack(flight), "alice");
        vm.assertEq(processor.balance, 2 * _pieceBounty(flight), "a bounty for each");
    }

    function test_answeredExitIsCanonical() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        _piggyback(bob, flight, _output(0));
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        _respond(bob, flight, own);
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _assertOpen(flight, NO_PIECES, Decision.Canonical);
    }

    // ---------------------------------------------------------- non-canonical

    function test_nonCanonicalExitPaysItsInputs() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _input(0));
        _piggyback(bob, flight, _output(0));
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        uint256[2] memory balances = [bob.balance, alice.balance];
        bytes32 id = flight.coins[0].id;
        _advanceTo(flight.key);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.InFlightExitDecided(flight.transaction.txHash, Decision.NonCanonical);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PiecePaid(flight.transaction.txHash, id, alice, 0, 3 ether, 3 ether, false);
        _processPieces(ETHER, flight);

        vm.assertEq(bob.balance, balances[0] + _pieceBack(flight), "bob has his bond");
        vm.assertEq(alice.balance, balances[1] + 3 ether + _pieceBack(flight), "alice");
        _assertCoin(id, 0, false, uint64(flight.start + F));
        _assertCoin(_outputId(flight.transaction.body, 0), 0, false, 0);
        _closeFlight(flight);
        vm.assertEq(_vault(), 0, "every bond is back");
    }

    function test_exitAnsweredFromABlockThatBecomesVoidIsNonCanonical() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        _piggyback(alice, flight, _input(0));
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        _respond(bob, flight, own);
        _haltFrom(own.proof.header.number);
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _assertOpen(flight, NO_PIECES, Decision.NonCanonical);
        // The challenger's bond is the responder's; the starter has his own.
        uint256 balance = carol.balance;
        _closeFlight(flight);
        vm.assertEq(carol.balance, balance + IN_FLIGHT_BOND, "the starter");
        vm.assertEq(_vault(), 0, "every bond is back");
    }

    /// A competitor whose block becomes void counts as one that is not included.
    function test_competitorOfABlockThatBecomesVoidStillCompetes() public {
        Flight memory flight = _open();
        Placed memory rivals = _include(_rival(flight).body);
        _piggyback(alice, flight, _input(0));
        _challengeCanonicity(carol, flight, 0, _competitor(_rival(flight), rivals.proof));
        _haltFrom(rivals.proof.header.number);
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _assertOpen(flight, NO_PIECES, Decision.NonCanonical);
    }

    // -------------------------------------------------------------------- void

    function test_voidExitPaysNothing() public {
        Coin[] memory coins = _coins(_made(alice, ETHER, 1 ether), _made(alice, ETHER, 2 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(bob, ETHER, 3 ether)));
        Flight memory flight = _startInFlight(carol, coins, transaction);
        _piggyback(alice, flight, _pieces(_input(0), _input(1)));
        _piggyback(bob, flight, _output(0));
        uint256[2] memory balances = [bob.balance, alice.balance];
        _haltFrom(2);
        _advanceTo(flight.key);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.InFlightExitDecided(flight.transaction.txHash, Decision.Void);
        _processPieces(ETHER, flight);
        vm.assertEq(bob.balance, balances[0] + _pieceBack(flight), "bob");
        vm.assertEq(alice.balance, balances[1] + 2 * _pieceBack(flight), "alice");
        _assertCoin(coins[0].id, 0, false, 0);
        _assertCoin(coins[1].id, 0, false, 0);
        _assertOwed(ETHER, 3 ether);
    }

    /// Void comes before settled: of a void and a settled input, nothing is paid.
    function test_voidExitWithASettledInputIsVoid() public {
        Coin memory settled = _deposited(alice, ETHER, 1 ether);
        IRootChain.ExitRecord memory record = _startExitOfDeposit(0, alice, ETHER, 1 ether);
        Coin[] memory coins = _coins(settled, _made(alice, ETHER, 2 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(bob, ETHER, 3 ether)));
        Flight memory flight = _startInFlight(carol, coins, transaction);
        _piggyback(bob, flight, _output(0));
        _haltFrom(1);
        _advanceTo(flight.key);
        _process(ETHER, _only(record));
        _processPieces(ETHER, flight);
        _assertOpen(flight, NO_PIECES, Decision.Void);
    }

    /// A payment in a void block leaves in flight, by an input made before.
    function test_paymentInAVoidBlockLeavesInFlight() public {
        Flight memory flight = _open();
        Placed memory own = _include(flight.transaction.body);
        _haltFrom(own.proof.header.number);
        _piggyback(bob, flight, _output(0));
        uint256 balance = bob.balance;
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        vm.assertEq(bob.balance, balance + 1 ether + _pieceBack(flight), "bob");
    }

    // -------------------------------------------------------------- both ways

    /// The standard exit of an input is paid first: the in-flight exit is not canonical, and pays its other input.
    function test_inputExitedBeforeIsNotPaidAgain() public {
        Coin memory exited = _deposited(alice, ETHER, 1 ether);
        IRootChain.ExitRecord memory record = _startExitOfDeposit(0, alice, ETHER, 1 ether);
        _advance(2 * G);
        Coin[] memory coins = _coins(exited, _deposited(alice, ETHER, 2 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(bob, ETHER, 3 ether)));
        Flight memory flight = _startInFlight(carol, coins, transaction);
        _piggyback(alice, flight, _pieces(_input(0), _input(1)));
        _piggyback(bob, flight, _output(0));
        uint256[2] memory balances = [bob.balance, alice.balance];
        _advanceTo(flight.key);
        _processBoth(_only(record), flight);

        vm.assertEq(alice.balance, balances[1] + 3 ether + BACK + 2 * _pieceBack(flight), "alice has each coin once");
        vm.assertEq(bob.balance, balances[0] + _pieceBack(flight), "bob");
        _assertCoin(exited.id, 0, false, record.key - MEP / 2);
        _assertOpen(flight, NO_PIECES, Decision.NonCanonical);
        _closeFlight(flight);
        vm.assertEq(_vault(), 0, "vault");
    }

    /// The in-flight exit is decided first: the standard exit of its input gives back its bond at its turn.
    function test_inputOfACanonicalExitIsNotPaidByItsStandardExit() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Flight memory flight = _startInFlight(carol, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _piggyback(bob, flight, _output(0));
        _advance(2 * G);
        IRootChain.ExitRecord memory record = _startExitOfDeposit(0, alice, ETHER, 1 ether);
        uint256[2] memory balances = [bob.balance, alice.balance];
        _advanceTo(record.key);
        vm.prank(processor);
        rootChain.processExits(ETHER, new IRootChain.ExitRecord[](0), _onlyPieces(flight, _output(0)));
        // Settled, and still exiting.
        _assertExiting(record, uint64(flight.start + F));
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitReturned(coin.id, alice);
        _process(ETHER, _only(record));
        vm.assertEq(bob.balance, balances[0] + 1 ether + _pieceBack(flight), "bob");
        vm.assertEq(alice.balance, balances[1] + BACK, "alice");
        _assertCoin(coin.id, 0, false, uint64(flight.start + F));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.AlreadySettled.selector, coin.id, uint64(flight.start + F)));
        rootChain.startStandardExitOfDeposit{value: BOND}(0, ETHER, 1 ether, 0);
    }

    /// An output leaves by its standard exit first: its piece gives back its bond.
    function test_outputExitedBeforeIsNotPaidAgain() public {
        (Flight memory flight, IRootChain.ExitRecord memory record) = _outputBothWays();
        uint256 balance = bob.balance;
        _advanceTo(record.key);
        _processBoth(_only(record), flight);
        vm.assertEq(bob.balance, balance + 1 ether + BACK + _pieceBack(flight), "bob, once");
        _assertCoin(record.outputId, 0, false, record.key - MEP / 2);
        _assertOwed(ETHER, 2 ether);
    }

    function test_outputPaidInFlightIsNotPaidByItsStandardExit() public {
        (Flight memory flight, IRootChain.ExitRecord memory record) = _outputBothWays();
        uint256 balance = bob.balance;
        _advanceTo(record.key);
        _processPieces(ETHER, flight);
        _process(ETHER, _only(record));
        vm.assertEq(bob.balance, balance + 1 ether + BACK + _pieceBack(flight), "bob");
        _assertCoin(record.outputId, 0, false, uint64(flight.key - MEP / 2 + F));
        _assertOwed(ETHER, 2 ether);
    }

    /// Two payments over one coin, both in flight: the coin leaves through the one that is decided first.
    function test_competingExits() public {
        Coin memory shared = _deposited(alice, ETHER, 1 ether);
        Flight memory first = _startInFlight(carol, _coins(shared), _spendOf(ALICE_KEY, shared, bob));
        _advance(2 * G);
        Coin[] memory coins = _coins(shared, _deposited(alice, ETHER, 2 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(carol, ETHER, 3 ether)));
        Flight memory second = _startInFlight(carol, coins, transaction);
        _piggyback(bob, first, _output(0));
        _piggyback(carol, second, _output(0));
        _piggyback(alice, second, _pieces(_input(0), _input(1)));
        uint256[3] memory balances = [alice.balance, bob.balance, carol.balance];
        _advanceTo(second.key);
        IInFlightExits.PieceRecord[] memory records = new IInFlightExits.PieceRecord[](2);
        records[0] = _record(first, _output(0));
        records[1] = _record(second, PieceSet.wrap(type(uint32).max));
        vm.prank(processor);
        rootChain.processExits(ETHER, new IRootChain.ExitRecord[](0), records);
        vm.assertEq(bob.balance, balances[1] + 1 ether + _pieceBack(first), "bob");
        vm.assertEq(alice.balance, balances[0] + 2 ether + 2 * _pieceBack(second), "alice has the other coin");
        vm.assertEq(carol.balance, balances[2] + _pieceBack(second), "carol");
        _assertOpen(second, NO_PIECES, Decision.NonCanonical);
        _closeFlight(first);
        _closeFlight(second);
        vm.assertEq(_vault(), 0, "vault");
    }

    /// A payment signed again with a better fee, neither seen in a block: its payer leaves through either.
    function test_payerOfASecondSignatureLeavesThroughEither() public {
        Coin memory coin = _made(alice, ETHER, 3 ether);
        Signed memory cheap = _spendOf(ALICE_KEY, coin, bob);
        Signed memory better = _signed(
            ALICE_KEY, _ids(_coins(coin)), _outputs(Output(bob, ETHER, 2 ether), Output(operator, ETHER, 1 ether))
        );
        Flight memory first = _startInFlight(alice, _coins(coin), cheap);
        Flight memory second = _startInFlight(alice, _coins(coin), better);
        _piggyback(alice, first, _input(0));
        _piggyback(alice, second, _input(0));
        _challengeCanonicity(carol, first, 0, _notIncluded(better));
        _challengeCanonicity(carol, second, 0, _notIncluded(cheap));
        // A signature alone takes neither piece.
        vm.expectRevert(abi.encodeWithSelector(IRootChain.UnknownHeader.selector, 0));
        inFlight.challengePieceSpent(cheap.body, first.data, 0, _notIncluded(better));
        uint256 balance = alice.balance;
        _advanceTo(first.key);
        _processPieces(ETHER, first);
        _processPieces(ETHER, second);
        vm.assertEq(alice.balance, balance + 3 ether + 2 * _pieceBack(first), "alice, once");
        _closeFlight(first);
        _closeFlight(second);
        vm.assertEq(_vault(), 0, "vault");
    }

    /// Closed and opened again, a canonical exit's inputs are settled: nothing leaves twice.
    function test_reopenedExitPaysNothingTwice() public {
        Flight memory flight = _open();
        _piggyback(bob, flight, _output(0));
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _closeFlight(flight);

        Flight memory again = _startInFlight(carol, flight.coins, flight.transaction);
        _piggyback(alice, again, _pieces(_input(0), _output(1)));
        _piggyback(bob, again, _output(0));
        uint256[2] memory balances = [bob.balance, alice.balance];
        _advanceTo(again.key);
        _processPieces(ETHER, again);
        vm.assertEq(bob.balance, balances[0] + _pieceBack(again), "bob");
        vm.assertEq(alice.balance, balances[1] + 2 * _pieceBack(again), "alice");
        _assertOpen(again, NO_PIECES, Decision.NonCanonical);
        _assertOwed(ETHER, 2 ether);
    }

    // -------------------------------------------------------------- internals

    /// An included payment to bob that exits in flight and by its output's standard exit, under one key.
    function _outputBothWays() private returns (Flight memory flight, IRootChain.ExitRecord memory record) {
        Coin memory coin = _made(alice, ETHER, 3 ether);
        Output[] memory outputs = _outputs(Output(bob, ETHER, 1 ether), Output(alice, ETHER, 2 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(_coins(coin)), outputs);
        Placed memory placed = _include(transaction.body);
        _advance(MEP + 1 days);
        flight = _startInFlight(carol, _coins(coin), transaction);
        _piggyback(bob, flight, _output(0));
        record = _startExit(placed, 0, outputs[0]);
        vm.assertEq(record.key, flight.key, "one key");
    }
}
