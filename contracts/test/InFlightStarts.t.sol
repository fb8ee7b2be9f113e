// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision, PlaceHolder} from "../src/types/InFlightState.sol";
import {NO_PIECES, PieceSet} from "../src/types/PieceSet.sol";
import {Position} from "../src/types/Position.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";

/// @title §6.1: in-flight exits are started and improved
contract InFlightStartsTest is InFlightTest {
    // ---------------------------------------------------------------- starts

    function test_startInFlightExit_revertsIfBodyIsNotCanonical() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        transaction.body[0] = 0x02;
        _expectStartRefused(coins, transaction, abi.encodeWithSelector(IRootChain.NotCanonical.selector));
    }

    function test_startInFlightExit_revertsIfBondIsWrong() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        uint128[2] memory wrong = [IN_FLIGHT_BOND - 1, IN_FLIGHT_BOND + 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(bob);
            vm.expectRevert(abi.encodeWithSelector(IRootChain.WrongBond.selector, wrong[i], IN_FLIGHT_BOND));
            inFlight.startInFlightExit{value: wrong[i]}(transaction.body, transaction.signature, _proofs(coins));
        }
    }

    function test_startInFlightExit_revertsWhileOneIsOpen() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        _startInFlight(bob, coins, transaction);
        _expectStartRefused(
            coins, transaction, abi.encodeWithSelector(IInFlightExits.AlreadyOpen.selector, transaction.txHash)
        );
    }

    function test_startInFlightExit_revertsIfAProofIsMissingOrTooMany() public {
        Coin memory first = _made(alice, ETHER, 1 ether);
        Coin[] memory both = _coins(first, _made(alice, ETHER, 1 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(both), _outputs(Output(bob, ETHER, 2 ether)));
        bytes memory refused = abi.encodeWithSelector(IInFlightExits.WrongProofCount.selector, 1, 2);
        _expectStartRefused(_coins(first), transaction, refused);
        transaction = _spendOf(ALICE_KEY, first, bob);
        refused = abi.encodeWithSelector(IInFlightExits.WrongProofCount.selector, 2, 1);
        _expectStartRefused(both, transaction, refused);
    }

    function test_startInFlightExit_revertsIfTheCreationIsNotCanonical() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        coins[0].proof.creation[0] = 0x02;
        _expectStartRefused(coins, transaction, abi.encodeWithSelector(IRootChain.NotCanonical.selector));
    }

    function test_startInFlightExit_revertsIfTheCreationHasNoSuchOutput() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        coins[0].proof.position = Position.wrap(Position.unwrap(coins[0].proof.position) | 1);
        _expectStartRefused(coins, transaction, abi.encodeWithSelector(IRootChain.NoSuchOutput.selector, 1));
    }

    function test_startInFlightExit_revertsIfTheInputIsAnotherOutput() public {
        bytes memory parent =
            _paymentWithChange(keccak256("parent"), Output(alice, ETHER, 1 ether), Output(alice, ETHER, 1 ether));
        Placed memory placed = _include(parent);
        Coin memory coin = _coinOf(placed, 0, Output(alice, ETHER, 1 ether));
        Signed memory transaction = _spendOf(ALICE_KEY, coin, bob);
        coin.proof.position = _coinOf(placed, 1, coin.output).proof.position;
        _expectStartRefused(_coins(coin), transaction, _notTheInput(coin));
    }

    function test_startInFlightExit_revertsIfThePositionIsNotWhereTheCreationIsIncluded() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        coins[0].proof.position = Position.wrap(Position.unwrap(coins[0].proof.position) + (1 << 24));
        _expectStartRefused(coins, transaction, _notTheInput(coins[0]));
    }

    function test_startInFlightExit_revertsIfTheCreationIsNotIncluded() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        coins[0].proof.inclusion.witnessHash = keccak256("other");
        _expectStartRefused(coins, transaction, abi.encodeWithSelector(IRootChain.NotIncluded.selector, 1, 0));
        coins[0].proof.inclusion.header.txCount = 2;
        _expectStartRefused(coins, transaction, abi.encodeWithSelector(IRootChain.UnknownHeader.selector, 1));
    }

    function test_startInFlightExit_revertsIfTheInputsBlockIsVoid() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        _haltFrom(1);
        _expectStartRefused(coins, transaction, abi.encodeWithSelector(IRootChain.VoidBlock.selector, 1));
    }

    function test_startInFlightExit_revertsIfTheDepositWasNotTaken() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        // The same fields with another nonce make another id; no such deposit is marked.
        coin.id = _depositId(1, alice, ETHER, 1 ether);
        coin.proof.position = Position.wrap(Position.unwrap(coin.proof.position) + 16);
        _expectStartRefused(_coins(coin), _spendOf(ALICE_KEY, coin, bob), _notTheInput(coin));
    }

    function test_startInFlightExit_revertsIfTheDepositsFieldsDiffer() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Signed memory transaction = _spendOf(ALICE_KEY, coin, bob);
        bytes memory fields = coin.proof.creation;
        coin.proof.creation = bytes.concat(bytes20(alice), bytes20(ETHER), bytes16(uint128(2 ether)));
        _expectStartRefused(_coins(coin), transaction, _notTheInput(coin));
        coin.proof.creation = bytes.concat(fields, hex"00");
        _expectStartRefused(_coins(coin), transaction, abi.encodeWithSelector(IRootChain.NotCanonical.selector));
    }

    function test_startInFlightExit_revertsIfTheDepositsPositionHasOtherBits() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Signed memory transaction = _spendOf(ALICE_KEY, coin, bob);
        Position position = coin.proof.position;
        for (uint256 bit = 0; bit < 63; ++bit) {
            coin.proof.position = Position.wrap(Position.unwrap(position) ^ uint64(2 ** bit));
            _expectStartRefused(_coins(coin), transaction, _notTheInput(coin));
        }
    }

    function test_startInFlightExit_revertsIfTheInputsHaveSeveralOwners() public {
        Coin[] memory coins = _coins(_made(alice, ETHER, 1 ether), _made(bob, ETHER, 1 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(carol, ETHER, 2 ether)));
        _expectStartRefused(
            coins,
            transaction,
            abi.encodeWithSelector(IInFlightExits.SeveralOwners.selector, coins[0].output.owner, coins[1].output.owner)
        );
    }

    function test_startInFlightExit_revertsIfTheOwnerDidNotSign() public {
        Coin memory coin = _made(alice, ETHER, 1 ether);
        Signed memory transaction = _spendOf(BOB_KEY, coin, bob);
        bytes memory refused = abi.encodeWithSelector(IInFlightExits.NotSigned.selector, transaction.txHash);
        _expectStartRefused(_coins(coin), transaction, refused);
        transaction.signature = "";
        _expectStartRefused(_coins(coin), transaction, refused);
    }

    function test_startInFlightExit_revertsIfValueIsMadeOrLost() public {
        Coin[] memory coins = _coins(_made(alice, ETHER, 3), _made(alice, address(token), 5));
        _expectUnbalanced(coins, _outputs(Output(bob, ETHER, 3), Output(bob, address(token), 6)));
        _expectUnbalanced(coins, _outputs(Output(bob, ETHER, 2), Output(bob, address(token), 5)));
        _expectUnbalanced(coins, _outputs(Output(bob, ETHER, 3)));
        _expectUnbalanced(coins, _outputs(Output(bob, ETHER, 8)));
        Output[] memory outputs = new Output[](3);
        outputs[0] = Output(bob, ETHER, 3);
        outputs[1] = Output(bob, address(token), 5);
        outputs[2] = Output(bob, address(0xdead), 1);
        _expectUnbalanced(coins, outputs);
    }

    /// Sums of amounts pass 2^128 and are compared all the same.
    function test_startInFlightExit_sumsAmountsBeyond128Bits() public {
        uint128 most = type(uint128).max;
        Coin[] memory coins = new Coin[](2);
        for (uint256 i = 0; i < 2; ++i) {
            Output memory output = Output(alice, ETHER, most);
            coins[i] = _coinOf(_include(_payment(keccak256(abi.encode(i)), alice, ETHER, most)), 0, output);
        }
        _sort(coins);
        _expectUnbalanced(coins, _outputs(Output(bob, ETHER, most - 1)));
        _startInFlight(bob, coins, _signed(ALICE_KEY, _ids(coins), _outputs(coins[0].output, coins[1].output)));
    }

    function test_startInFlightExit_startsForAnyone() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        Flight memory flight = _flight(carol, coins, transaction);
        uint256 balance = carol.balance;
        uint256 vault = _vault();
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.InFlightExitStarted(
            transaction.txHash, carol, alice, _now(), flight.key, flight.data, transaction.body, transaction.signature
        );
        _startInFlight(carol, coins, transaction);

        vm.assertEq(carol.balance, balance - IN_FLIGHT_BOND, "carol");
        vm.assertEq(_vault(), vault + IN_FLIGHT_BOND, "vault");
        _assertOpen(flight, NO_PIECES, Decision.None);
        _assertPlace(flight, PlaceHolder.Nobody, Position.wrap(0), address(0));
        _assertCoin(coins[0].id, 0, false, 0);
        vm.assertEq(rootChain.exitKeys(ETHER, 0, 1).length, 0, "nothing is piggybacked");
    }

    function test_startInFlightExit_ofADepositThatNoBlockCovers() public {
        Coin memory coin = _deposited(alice, address(token), 100);
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _assertOpen(flight, NO_PIECES, Decision.None);
        vm.assertEq(flight.key, _ceil(_now() + MEP), "key of a deposit");
    }

    /// A fresh deposit beside a young coin does not lift it, nor an old coin beside it: the youngest decides.
    function test_startInFlightExit_keyIsTheMaximumOverTheInputs() public {
        Coin memory old = _made(alice, ETHER, 1 ether);
        _advance(20 days);
        Coin memory young = _made(alice, ETHER, 1 ether);
        _advance(1 days);
        Coin[] memory coins = new Coin[](3);
        (coins[0], coins[1], coins[2]) = (old, young, _deposited(alice, ETHER, 1 ether));
        _sort(coins);
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(bob, ETHER, 3 ether)));
        _startInFlight(bob, coins, transaction);
        vm.assertEq(rootChain.inFlightExit(transaction.txHash).key, young.createdAt + 2 * MEP, "key");

        coins = _coins(old, _deposited(alice, ETHER, 1 ether));
        transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(bob, ETHER, 2 ether)));
        _startInFlight(bob, coins, transaction);
        vm.assertEq(rootChain.inFlightExit(transaction.txHash).key, _ceil(_now() + MEP), "key of old coins");
    }

    /// A halted chain stops no exit of what was made before, and a payment in a void block leaves in flight.
    function test_startInFlightExit_whileHalted() public {
        (Coin[] memory coins, Signed memory transaction) = _simple();
        Placed memory placed = _include(transaction.body);
        _haltFrom(placed.proof.header.number);
        _assertOpen(_startInFlight(bob, coins, transaction), NO_PIECES, Decision.None);
    }

    // ------------------------------------------------------------- improving

    function test_improveInFlightExit_revertsIfNoneIsOpen() public {
        (Flight memory flight, Coin memory older) = _squatted();
        flight.transaction = _spendOf(ALICE_KEY, flight.coins[0], carol);
        _expectImproveRefused(
            flight,
            _input(0),
            _coins(older),
            abi.encodeWithSelector(IInFlightExits.NotOpen.selector, flight.transaction.txHash)
        );
    }

    function test_improveInFlightExit_revertsOnceTheFirstHalfIsOver() public {
        (Flight memory flight, Coin memory older) = _squatted();
        _advanceTo(flight.start + HALF);
        _expectImproveRefused(flight, _input(0), _coins(older), _halfOver(flight));
    }

    function test_improveInFlightExit_revertsIfTheDataDiffer() public {
        (Flight memory flight, Coin memory older) = _squatted();
        flight.data = _data(bob, flight.coins);
        _expectImproveRefused(
            flight,
            _input(0),
            _coins(older),
            abi.encodeWithSelector(IInFlightExits.WrongData.selector, flight.transaction.txHash)
        );
    }

    function test_improveInFlightExit_revertsIfNotAsManyProofsAsInputs() public {
        (Flight memory flight, Coin memory older) = _squatted();
        _expectImproveRefused(
            flight, NO_PIECES, _coins(older), abi.encodeWithSelector(IInFlightExits.WrongProofCount.selector, 1, 0)
        );
        _expectImproveRefused(
            flight,
            _pieces(_input(0), _input(1)),
            _coins(older),
            abi.encodeWithSelector(IInFlightExits.WrongProofCount.selector, 1, 2)
        );
    }

    function test_improveInFlightExit_revertsIfNothingIsOlder() public {
        (Flight memory flight, Coin memory older) = _squatted();
        bytes memory refused = abi.encodeWithSelector(IInFlightExits.NothingOlder.selector);
        _expectImproveRefused(flight, NO_PIECES, new Coin[](0), refused);
        _expectImproveRefused(flight, _input(0), flight.coins, refused);
        // An input that the transaction does not have.
        _expectImproveRefused(flight, _input(1), _coins(older), refused);
    }

    function test_improveInFlightExit_revertsIfAPlaceIsYounger() public {
        (Flight memory flight, Coin memory older) = _squatted();
        Coin memory younger = flight.coins[0];
        flight = _improve(flight, older);
        _expectImproveRefused(
            flight,
            _input(0),
            _coins(younger),
            abi.encodeWithSelector(IInFlightExits.NotOlder.selector, younger.proof.position, older.proof.position)
        );
    }

    function test_improveInFlightExit_revertsIfTheInputIsNotProven() public {
        (Flight memory flight,) = _squatted();
        Coin memory other = _made(alice, ETHER, 1 ether);
        other.id = flight.coins[0].id;
        _expectImproveRefused(flight, _input(0), _coins(other), _notTheInput(other));
    }

    function test_improveInFlightExit_revertsIfTheOlderPlaceIsVoid() public {
        (Flight memory flight, Coin memory older) = _squatted();
        uint64 number = older.proof.inclusion.header.number;
        _haltFrom(number);
        _expectImproveRefused(
            flight, _input(0), _coins(older), abi.encodeWithSelector(IRootChain.VoidBlock.selector, number)
        );
    }

    /// A stranger starts the exit with a younger copy of its parent; its owner shows the older one, and the pieces that
    /// are piggybacked already are counted over.
    function test_squattedExitIsImproved() public {
        (Flight memory flight, Coin memory older) = _squatted();
        _piggyback(alice, flight, _input(0));
        _piggyback(bob, flight, _output(0));
        uint64 youngKey = flight.key;
        _assertOneKey(ETHER, youngKey, 2);
        _advanceTo(flight.start + HALF - 1);

        Flight memory improved = _improved(flight, older);
        vm.assertTrue(improved.key < youngKey, "the key falls");
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.InFlightExitImproved(flight.transaction.txHash, improved.key, improved.data);
        _improve(flight, older);
        _assertOpen(improved, _pieces(_input(0), _output(0)), Decision.None);
        uint64[] memory keys = new uint64[](2);
        uint32[] memory counts = new uint32[](2);
        (keys[0], counts[0], keys[1]) = (improved.key, 2, youngKey);
        _assertKeys(ETHER, keys, counts);

        uint256 balance = bob.balance;
        _advanceTo(improved.key);
        _processPieces(ETHER, improved);
        vm.assertEq(bob.balance, balance + 1 ether + _pieceBack(flight), "bob is paid by the improved key");
        bytes32 id = _outputId(flight.transaction.body, 0);
        _assertCoin(id, 0, false, uint64(improved.key - MEP / 2 + F));
    }

    /// Only the last input's key counts: an older place of another changes the data and not the key.
    function test_improveInFlightExit_keepsAKeyThatAnotherInputHas() public {
        (Coin memory younger, Coin memory older) = _twoPlaces(alice, ETHER, 1 ether);
        Coin memory youngest = _made(alice, ETHER, 1 ether);
        Coin[] memory coins = _coins(younger, youngest);
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _outputs(Output(bob, ETHER, 2 ether)));
        Flight memory flight = _startInFlight(carol, coins, transaction);
        _piggyback(bob, flight, _output(0));
        uint8 index = coins[0].id == younger.id ? 0 : 1;
        coins[index] = older;
        vm.prank(bob);
        inFlight.improveInFlightExit(
            transaction.body, flight.data, _input(index), _proofs(_coins(older)), new uint64[](0)
        );
        flight.data = _data(carol, coins);
        _assertOpen(flight, _output(0), Decision.None);
        _assertOneKey(ETHER, flight.key, 1);
    }

    /// Pieces of two assets, and hints that are missing, wrong or right.
    function test_improveInFlightExit_countsOverInTheListsOfAllAssets() public {
        (Coin memory younger, Coin memory older) = _twoPlaces(alice, ETHER, 1 ether);
        Coin[] memory coins = _coins(younger, _deposited(alice, address(token), 5));
        Signed memory transaction =
            _signed(ALICE_KEY, _ids(coins), _outputs(Output(bob, ETHER, 1 ether), Output(bob, address(token), 5)));
        Flight memory flight = _startInFlight(carol, coins, transaction);
        _piggyback(bob, flight, _output(0));
        _piggyback(bob, flight, _output(1));
        uint8 index = coins[0].id == younger.id ? 0 : 1;
        _piggyback(alice, flight, _input(index));
        coins[index] = older;
        uint64[] memory hints = new uint64[](3);
        hints[0] = 1;
        hints[2] = type(uint64).max;
        vm.prank(bob);
        inFlight.improveInFlightExit(transaction.body, flight.data, _input(index), _proofs(_coins(older)), hints);
        uint64 key = _keyFrom(flight.start, coins);
        uint64[] memory keys = new uint64[](2);
        uint32[] memory counts = new uint32[](2);
        (keys[0], counts[0], keys[1]) = (key, 2, flight.key);
        _assertKeys(ETHER, keys, counts);
        counts[0] = 1;
        _assertKeys(address(token), keys, counts);
    }

    /// Start, pieces, oldest place and bonds stay.
    function test_improveInFlightExit_keepsWhatWasShown() public {
        (Flight memory flight, Coin memory older) = _squatted();
        _piggyback(bob, flight, _output(0));
        _challengeCanonicity(alice, flight, 0, _notIncluded(_spendOf(ALICE_KEY, older, carol)));
        uint256 vault = _vault();
        flight = _improve(flight, older);
        _assertOpen(flight, _output(0), Decision.None);
        _assertPlace(flight, PlaceHolder.Competitor, NOT_INCLUDED, alice);
        vm.assertEq(_vault(), vault, "vault");
    }

    /// What was void by its young copy is not by the older one.
    function test_improvedExitIsNotVoid() public {
        (Flight memory flight, Coin memory older) = _squatted();
        _piggyback(bob, flight, _output(0));
        flight = _improve(flight, older);
        _haltFrom(2);
        uint256 balance = bob.balance;
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        vm.assertEq(bob.balance, balance + 1 ether + _pieceBack(flight), "bob");
    }

    // -------------------------------------------------------------- internals

    /// A payment of alice to bob over one coin.
    function _simple() private returns (Coin[] memory coins, Signed memory transaction) {
        coins = _coins(_made(alice, ETHER, 1 ether));
        transaction = _spendOf(ALICE_KEY, coins[0], bob);
    }

    /// Returns one coin by two places of the transaction that made it.
    function _twoPlaces(address owner, address asset, uint128 amount)
        private
        returns (Coin memory younger, Coin memory older)
    {
        _depositEther(carol, 1 ether);
        bytes memory parent = _payment(keccak256("parent"), owner, asset, amount);
        older = _coinOf(_include(parent), 0, Output(owner, asset, amount));
        _advance(3 days);
        younger = _coinOf(_include(parent), 0, Output(owner, asset, amount));
        _advance(5 days);
    }

    /// Carol starts the exit of a payment of alice to bob with the younger of its parent's two places.
    function _squatted() private returns (Flight memory flight, Coin memory older) {
        Coin memory younger;
        (younger, older) = _twoPlaces(alice, ETHER, 1 ether);
        flight = _startInFlight(carol, _coins(younger), _spendOf(ALICE_KEY, younger, bob));
    }

    function _improved(Flight memory flight, Coin memory older) private pure returns (Flight memory improved) {
        improved.transaction = flight.transaction;
        improved.starter = flight.starter;
        improved.start = flight.start;
        improved.coins = _coins(older);
        improved.data = _data(flight.starter, improved.coins);
        improved.key = _keyFrom(flight.start, improved.coins);
    }

    function _improve(Flight memory flight, Coin memory older) private returns (Flight memory) {
        vm.prank(bob);
        inFlight.improveInFlightExit(
            flight.transaction.body, flight.data, _input(0), _proofs(_coins(older)), new uint64[](0)
        );
        return _improved(flight, older);
    }

    function _expectUnbalanced(Coin[] memory coins, Output[] memory outputs) private {
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), outputs);
        _expectStartRefused(
            coins, transaction, abi.encodeWithSelector(IInFlightExits.Unbalanced.selector, transaction.txHash)
        );
    }

    function _notTheInput(Coin memory coin) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IInFlightExits.NotTheInput.selector, coin.id, coin.proof.position);
    }

    function _expectStartRefused(Coin[] memory coins, Signed memory transaction, bytes memory reason) private {
        vm.prank(bob);
        vm.expectRevert(reason);
        inFlight.startInFlightExit{value: IN_FLIGHT_BOND}(transaction.body, transaction.signature, _proofs(coins));
    }

    function _expectImproveRefused(Flight memory flight, PieceSet which, Coin[] memory coins, bytes memory reason)
        private
    {
        vm.prank(bob);
        vm.expectRevert(reason);
        inFlight.improveInFlightExit(flight.transaction.body, flight.data, which, _proofs(coins), new uint64[](0));
    }
}
