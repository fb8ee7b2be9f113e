// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision} from "../src/types/InFlightState.sol";
import {NO_PIECES} from "../src/types/PieceSet.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";
import {HostileToken} from "./mocks/HostileToken.sol";

/// @title §6.7: pieces are paid in the order of keys, asset by asset, whatever their owners and tokens do
contract InFlightPaymentsTest is InFlightTest {
    // ---------------------------------------------------------- several assets

    /// Ether first, tokens days later: decided once.
    function test_piecesOfTwoAssetsAreProcessedApart() public {
        Coin[] memory coins = _coins(_made(alice, ETHER, 3), _made(alice, address(token), 5));
        Output[] memory outputs = _outputs(Output(bob, ETHER, 3), Output(bob, address(token), 5));
        Flight memory flight = _startInFlight(carol, coins, _signed(ALICE_KEY, _ids(coins), outputs));
        _piggyback(bob, flight, _output(0));
        _piggyback(bob, flight, _output(1));
        uint8 tokenInput = coins[0].output.asset == ETHER ? 1 : 0;
        _piggyback(alice, flight, _input(tokenInput));
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _assertOpen(flight, _pieces(_input(tokenInput), _output(1)), Decision.Canonical);
        vm.assertEq(token.balanceOf(bob), 1_000_000, "no tokens yet");
        _expectNotClosable(flight);

        _advance(3 days);
        uint256 balance = bob.balance;
        _processPieces(address(token), flight);
        vm.assertEq(token.balanceOf(bob), 1_000_005, "tokens");
        vm.assertEq(bob.balance, balance + _pieceBack(flight), "the bond is ether");
        vm.assertEq(token.balanceOf(alice), 1_000_000, "the token input is the other side's");
        _assertOpen(flight, NO_PIECES, Decision.Canonical);
        _closeFlight(flight);
    }

    /// Decided by its ether, the exit's tokens are challenged away as long as they are not paid.
    function test_pieceOfTheSecondAssetIsChallengedAfterTheDecision() public {
        Coin[] memory coins = _coins(_made(alice, ETHER, 3), _made(alice, address(token), 5));
        Output[] memory outputs = _outputs(Output(bob, ETHER, 3), Output(bob, address(token), 5));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), outputs);
        Flight memory flight = _startInFlight(carol, coins, transaction);
        Placed memory placed = _include(transaction.body);
        _piggyback(bob, flight, _output(0));
        _piggyback(bob, flight, _output(1));
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        Signed memory spend = _spendOf(BOB_KEY, _outputCoin(transaction, placed, 1), carol);
        _challengePiece(carol, flight, 17, _competitor(spend, placed.proof));
        _assertOpen(flight, NO_PIECES, Decision.Canonical);
        _assertOneKey(address(token), flight.key, 0);
        _processPieces(address(token), flight);
        vm.assertEq(token.balanceOf(bob), 1_000_000, "no tokens");
        _closeFlight(flight);
        vm.assertEq(rootChain.exitKeys(address(token), 0, 1).length, 0, "no key is left");
    }

    /// A deposit beside an old coin: paid at the maximum of both keys, after what is older.
    function test_freshDepositDoesNotLiftAYoungCoin() public {
        IRootChain.ExitRecord memory older = _exitingDeposit(bob, 1 ether);
        Coin memory young = _made(alice, ETHER, 1 ether);
        Coin[] memory coins = _coins(young, _deposited(alice, ETHER, 1 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(alice, ETHER, 2 ether)));
        Flight memory flight = _startInFlight(alice, coins, transaction);
        _piggyback(alice, flight, _output(0));
        vm.assertEq(flight.key, young.createdAt + 2 * MEP, "key of the young coin");
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        _assertOpen(flight, _output(0), Decision.None);
        _processBoth(_only(older), flight);
        _assertOpen(flight, NO_PIECES, Decision.Canonical);
    }

    // ----------------------------------------------------------------- order

    /// Exits and pieces under alternating keys, in one call.
    function test_processExits_mergesExitsAndPieces() public {
        IRootChain.ExitRecord[] memory exits = new IRootChain.ExitRecord[](3);
        IInFlightExits.PieceRecord[] memory pieces = new IInFlightExits.PieceRecord[](3);
        Flight[3] memory flights;
        uint64 last;
        for (uint256 i = 0; i < 3; ++i) {
            exits[i] = _exitingDeposit(alice, 1 ether);
            _advance(2 * G);
            Coin memory coin = _deposited(alice, ETHER, 1 ether);
            flights[i] = _startInFlight(carol, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
            _piggyback(bob, flights[i], _output(0));
            pieces[i] = _record(flights[i], _output(0));
            last = flights[i].key;
            _advance(2 * G);
        }
        _advanceTo(last);
        vm.prank(processor);
        rootChain.processExits(ETHER, exits, pieces);
        vm.assertEq(processor.balance, 3 * BOUNTY + 3 * _pieceBounty(flights[0]), "all of them");
        vm.assertEq(rootChain.exitKeys(ETHER, 0, 10).length, 0, "no key is left");
        _assertOwed(ETHER, 0);
    }

    function test_processExits_skipsPieceRecordsThatDoNotMatch() public {
        Flight memory flight = _open();
        _piggyback(bob, flight, _output(0));
        Flight memory later = _later();
        _advanceTo(flight.key);
        IInFlightExits.PieceRecord[] memory records = new IInFlightExits.PieceRecord[](8);
        // No such exit.
        records[0] = _record(flight, _output(0));
        records[0].body = "";
        // Other data.
        records[1] = _record(flight, _output(0));
        records[1].data = _data(bob, flight.coins);
        // None live.
        records[2] = _record(flight, _output(1));
        records[3] = _record(flight, NO_PIECES);
        // Not its turn.
        records[4] = _record(later, _output(0));
        records[5] = _record(flight, _output(0));
        // Paid.
        records[6] = _record(flight, _output(0));
        records[7] = _record(later, _output(0));
        uint256 balance = bob.balance;
        vm.prank(processor);
        rootChain.processExits(ETHER, new IRootChain.ExitRecord[](0), records);
        vm.assertEq(bob.balance, balance + 1 ether + _pieceBack(flight), "once");
        vm.assertEq(processor.balance, _pieceBounty(flight), "one bounty");
        _assertOpen(later, _output(0), Decision.None);
        // Another asset's list.
        _advanceTo(later.key);
        vm.prank(processor);
        rootChain.processExits(address(token), new IRootChain.ExitRecord[](0), records);
        _assertOpen(later, _output(0), Decision.None);
    }

    // ---------------------------------------------------------------- failures

    function test_pieceIsPaidWhatItsAssetCanCover() public {
        bytes memory minted = _payment(keccak256("minted"), alice, ETHER, 10 ether);
        Coin memory coin = _coinOf(_include(minted), 0, Output(alice, ETHER, 10 ether));
        _depositEther(carol, 4 ether);
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _piggyback(bob, flight, _output(0));
        bytes32 id = _outputId(flight.transaction.body, 0);
        uint256 balance = bob.balance;
        _advanceTo(flight.key);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PiecePaid(flight.transaction.txHash, id, bob, 16, 10 ether, 4 ether, false);
        _processPieces(ETHER, flight);
        vm.assertEq(bob.balance, balance + 4 ether + _pieceBack(flight), "bob");
        _assertOwed(ETHER, 0);
        _closeFlight(flight);
        vm.assertEq(_vault(), 0, "bonds cover no exit");
    }

    function test_pieceThatIsRefusedIsCredited() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.BurnsGas);
        Coin memory coin = _made(alice, ETHER, 1 ether);
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, address(receiver)));
        vm.deal(address(receiver), 1 ether);
        _piggyback(address(receiver), flight, _output(0));
        bytes32 id = _outputId(flight.transaction.body, 0);
        uint256 credit = 1 ether + _pieceBack(flight);
        _advanceTo(flight.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Credited(address(receiver), ETHER, credit);
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PiecePaid(flight.transaction.txHash, id, address(receiver), 16, 1 ether, 1 ether, true);
        _processPieces(ETHER, flight);
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), credit, "credit");
    }

    function test_tokenThatFailsIsCreditedAndTheBondReturns() public {
        HostileToken hostile = new HostileToken();
        hostile.mint(alice, 100);
        vm.prank(alice);
        hostile.approve(address(rootChain), 100);
        vm.prank(alice);
        uint64 nonce = rootChain.depositErc20(address(hostile), 100, alice);
        Coin memory coin = _deposited(alice, ETHER, 1);
        coin.id = _depositId(nonce, alice, address(hostile), 100);
        coin.output = Output(alice, address(hostile), 100);
        coin.proof.creation = bytes.concat(bytes20(alice), bytes20(address(hostile)), bytes16(uint128(100)));
        coin.proof.position = _depositRecord(nonce, alice, address(hostile), 100).position;
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _piggyback(bob, flight, _output(0));
        hostile.behave(HostileToken.Behaviour.BombsReturnData);
        uint256 balance = bob.balance;
        _advanceTo(flight.key);
        _processPieces(address(hostile), flight);
        vm.assertEq(bob.balance, balance + _pieceBack(flight), "bond");
        vm.assertEq(rootChain.claimable(bob, address(hostile)), 100, "credit");
    }

    function test_returnedPieceBondThatIsRefusedIsCredited() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        Coin memory coin = _made(alice, ETHER, 1 ether);
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, address(receiver)));
        vm.deal(address(receiver), 1 ether);
        _piggyback(address(receiver), flight, _output(0));
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), _pieceBack(flight), "credit");
    }

    // --------------------------------------------------------------- the facet

    /// By itself the facet has no deposit and no block.
    function test_facetHasNothingOfItsOwn() public {
        Coin memory coin = _made(alice, ETHER, 1 ether);
        Coin memory deposit = _deposited(alice, ETHER, 1 ether);
        IInFlightExits facet =
            IInFlightExits(vm.deployCode("out/InFlightExits.sol/InFlightExits.json", abi.encode(_parameters())));
        Signed memory transaction = _spendOf(ALICE_KEY, coin, bob);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.UnknownHeader.selector, 1));
        facet.startInFlightExit{value: IN_FLIGHT_BOND}(transaction.body, transaction.signature, _proofs(_coins(coin)));
        transaction = _spendOf(ALICE_KEY, deposit, bob);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IInFlightExits.NotTheInput.selector, deposit.id, deposit.proof.position));
        facet.startInFlightExit{value: IN_FLIGHT_BOND}(
            transaction.body, transaction.signature, _proofs(_coins(deposit))
        );
    }

    function test_callsWithoutABondTakeNoEther() public {
        Flight memory flight = _open();
        bytes[] memory calls = new bytes[](4);
        calls[0] = abi.encodeCall(
            IInFlightExits.improveInFlightExit,
            (flight.transaction.body, flight.data, NO_PIECES, new IInFlightExits.InputProof[](0), new uint64[](0))
        );
        IRootChain.InclusionProof memory nowhere;
        calls[1] = abi.encodeCall(IInFlightExits.respondNotCanonical, (flight.transaction.txHash, nowhere));
        calls[2] = abi.encodeCall(
            IInFlightExits.challengePieceSpent,
            (flight.transaction.body, flight.data, 0, _notIncluded(flight.transaction))
        );
        calls[3] = abi.encodeCall(IInFlightExits.closeInFlightExit, (flight.transaction.txHash, flight.data));
        _advanceTo(flight.start + HALF);
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(alice);
            (bool success, bytes memory reason) = address(rootChain).call{value: 1}(calls[i]);
            vm.assertTrue(!success && reason.length == 0, "refused");
        }
    }

    // -------------------------------------------------------------- internals

    function _later() private returns (Flight memory flight) {
        _advance(2 * G);
        flight = _open();
        _piggyback(bob, flight, _output(0));
    }

    function _expectNotClosable(Flight memory flight) private {
        vm.expectRevert(abi.encodeWithSelector(IInFlightExits.PiecesLive.selector, _stored(flight).livePieces));
        inFlight.closeInFlightExit(flight.transaction.txHash, flight.data);
    }
}
