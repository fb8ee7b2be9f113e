// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {FaultTest} from "./FaultTest.sol";
import {vm} from "./Vm.sol";

/// @title R6 and R7: coins that are spent twice, or frozen
contract FaultSpendsTest is FaultTest {
    // -------------------------------------------------------------------- R6

    function test_R6_convictsTheLaterBlockInWhateverOrder() public {
        Accusation memory a = _guilty(Prover.DoubleSpend);
        uint64 number = a.accused.proof.header.number;
        uint256 snapshot = vm.snapshotState();
        _assertConvicts(a);
        vm.revertToState(snapshot);
        (a.accused, a.other) = (a.other, a.accused);
        _assertConvicts(_callOf(a), number, 6);
        // The earlier block goes on.
        vm.assertEq(rootChain.head().haltedFrom, a.accused.proof.header.number + 1, "the earlier block");
    }

    function test_R6_convictsTwoSpendsInOneBlock() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        (bytes memory first, bytes memory witness) = _preimage(ALICE_KEY, coin);
        bytes memory second = _payment(coin.id, carol, ETHER, 1 ether);
        Accusation memory a = _doubleSpend(coin.id);
        bytes32[2] memory leaves = [_leafHash(first, witness), _leafHash(second, witness)];
        IRootChain.Header memory header = _commitTwo(leaves[0], leaves[1]);
        a.accused = _leafIn(header, first, witness, 0, leaves[1]);
        a.other = _leafIn(header, second, witness, 1, leaves[0]);
        _assertConvicts(a);
    }

    function test_R6_convictsTheSameTransactionTwice() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Accusation memory a = _doubleSpend(coin.id);
        a.other = _commitSpend(coin);
        a.accused = _commitSpend(coin);
        _assertConvicts(a);
    }

    function test_R6_convictsByAnyOfTheInputs() public {
        Coin memory shared = _deposited(alice, ETHER, 1 ether);
        Accusation memory a = _doubleSpend(shared.id);
        Output[] memory outputs = _outputs(Output(bob, ETHER, 2 ether));
        a.other = _commitOver(_coins(shared, _deposited(alice, ETHER, 1 ether)), outputs);
        a.accused = _commitOver(_coins(shared, _deposited(alice, ETHER, 1 ether)), outputs);
        _assertConvicts(a);
    }

    function test_R6_sparesATransactionShownTwiceInOnePlace() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Accusation memory a = _doubleSpend(coin.id);
        a.accused = a.other = _commitSpend(coin);
        _assertSpared(a);
    }

    function test_R6_sparesSpendsOfDifferentCoins() public {
        Coin[2] memory coins = [_deposited(alice, ETHER, 1 ether), _deposited(alice, ETHER, 1 ether)];
        Accusation memory a = _doubleSpend(coins[0].id);
        a.other = _commitSpend(coins[0]);
        a.accused = _commitSpend(coins[1]);
        _assertSpared(a);
        a.outputId = coins[1].id;
        _assertSpared(a);
        // Neither spends it; and what both hold elsewhere in their bodies is no input.
        a.outputId = bytes32(0);
        _assertSpared(a);
    }

    function test_R6_refusesAnEarlierSpendThatIsNotShown() public {
        Accusation memory a = _guilty(Prover.DoubleSpend);
        a.other.proof.header.timestamp += 1;
        _assertRefused(a, _reason(IRootChain.UnknownHeader.selector, a.other.proof.header.number));
        a.other.proof.header.timestamp -= 1;
        a.other.proof.witnessHash = keccak256("another witness");
        _assertRefused(a, _notIncludedIn(a.other));
        a.other.proof.witnessHash = keccak256(a.other.witness);
        a.other.body = a.accused.body;
        _assertRefused(a, _notIncludedIn(a.other));
    }

    function test_R6_refusesAnEarlierSpendThatIsNotCanonical() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Accusation memory a = _doubleSpend(coin.id);
        (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, coin);
        a.other = _commitLeaf(bytes.concat(body, hex"00"), witness);
        a.accused = _commitSpend(coin);
        _assertRefused(a, _reason(IRootChain.NotCanonical.selector));
    }

    /// Their deadline is the later block's: a spend of years ago is evidence like any other.
    function test_R6_convictsByASpendOfLongAgo() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Accusation memory a = _doubleSpend(coin.id);
        a.other = _commitSpend(coin);
        _advance(365 days);
        a.accused = _commitSpend(coin);
        _assertConvicts(a);
    }

    // ----------------------------------------------------------- R7: settled

    function test_R7_sparesASpendAtTheFreezeOfAStandardExit() public {
        (Coin memory coin, IRootChain.ExitRecord memory exit) = _exiting();
        uint64 freeze = exit.key - MEP / 2;
        _advanceTo(freeze);
        Accusation memory valid = _accusation(Prover.Exiting, _commitSpend(coin));
        valid.exit = exit;
        _assertSpared(valid);
        _advanceTo(freeze + 1);
        Accusation memory broken = _accusation(Prover.Exiting, _commitSpend(coin));
        broken.exit = exit;
        uint256 snapshot = vm.snapshotState();
        _assertConvicts(broken);
        vm.revertToState(snapshot);

        // Once the exit is paid, its coin's word says the same of both blocks.
        _advanceTo(exit.key);
        _process(ETHER, _only(exit));
        valid.prover = broken.prover = Prover.Settled;
        _assertSpared(valid);
        _assertConvicts(broken);
    }

    function test_R7_sparesCoinsThatAreNotSettled() public {
        Coin memory deposit = _deposited(alice, ETHER, 1 ether);
        _assertSpared(_accusation(Prover.Settled, _commitSpend(deposit)));
        _assertSpared(_accusation(Prover.Settled, _commitSpend(_made(alice, ETHER, 1 ether))));
        (Coin memory exiting,) = _exiting();
        _advance(2 * MEP);
        _assertSpared(_accusation(Prover.Settled, _commitSpend(exiting)));
    }

    /// A canonical exit settles its inputs as of start + F, and its outputs as of their own freeze.
    function test_R7_convictsSpendsOfWhatLeftInFlight() public {
        (Flight memory flight, Coin memory output) = _leaving();
        uint64 freeze = uint64(flight.key - MEP / 2 + F);
        _advanceTo(flight.start + F);
        Accusation memory own = _accusation(Prover.Settled, _include(flight));
        _advanceTo(freeze);
        Accusation memory spend = _accusation(Prover.Settled, _commitSpend(output));
        _advance(1);
        Accusation memory late = _accusation(Prover.Settled, _commitSpendOf(flight.coins[0]));
        _advance(1);
        Accusation memory frozen = _accusation(Prover.Settled, _commitSpend(output));
        _advanceTo(flight.key);
        _assertSpared(own);
        _assertSpared(late);
        _processPieces(ETHER, flight);

        _assertSpared(own);
        _assertSpared(spend);
        _assertConvicts(frozen);
        _assertConvicts(late);
    }

    // ----------------------------------------------------------- R7: exiting

    function test_R7_refusesAnotherExitsRecord() public {
        (Coin memory coin, IRootChain.ExitRecord memory exit) = _exiting();
        (, IRootChain.ExitRecord memory other) = _exiting();
        _advanceTo(exit.key);
        Accusation memory a = _accusation(Prover.Exiting, _commitSpend(coin));
        bytes memory notExiting = abi.encodeWithSelector(IRootChain.NotExiting.selector, coin.id);
        a.exit = other;
        _assertRefused(a, notExiting);
        for (uint256 field = 0; field < 6; ++field) {
            a.exit = _changed(exit, field);
            _assertRefused(a, notExiting);
        }
        a.exit = exit;
        _assertConvicts(a);
    }

    /// The block that spent a coin of an exit since challenged away is valid again.
    function test_R7_sparesASpendOfAnExitThatHasEnded() public {
        (Coin memory coin, IRootChain.ExitRecord memory exit) = _exiting();
        _advanceTo(exit.key);
        Accusation memory a = _accusation(Prover.Exiting, _commitSpend(coin));
        a.exit = exit;
        Signed memory spend = _spendOf(ALICE_KEY, coin, bob);
        rootChain.challengeStandardExit(exit, spend.body, spend.signature);
        _assertRefused(a, abi.encodeWithSelector(IRootChain.NotExiting.selector, coin.id));
        a.prover = Prover.Settled;
        _assertSpared(a);
    }

    // --------------------------------------------------------- R7: in flight

    /// The exit's own transaction included.
    function test_R7_sparesASpendOfAnInputUntilItFreezes() public {
        (Flight memory flight,) = _leaving();
        _advanceTo(flight.start + F);
        Accusation memory a = _inFlightAccusation(flight, _include(flight), 0);
        _assertSpared(a);
        _advance(1);
        a = _inFlightAccusation(flight, _commitSpendOf(flight.coins[0]), 0);
        uint256 snapshot = vm.snapshotState();
        _assertConvicts(a);
        vm.revertToState(snapshot);
        _advance(1);
        _assertConvicts(_inFlightAccusation(flight, _include(flight), 0));
    }

    function test_R7_sparesASpendOfAPiggybackedOutputUntilItFreezes() public {
        (Flight memory flight, Coin memory output) = _leaving();
        _advanceTo(flight.key - MEP / 2 + F);
        Accusation memory a = _inFlightAccusation(flight, _commitSpend(output), 16);
        _assertSpared(a);
        _advance(1);
        a = _inFlightAccusation(flight, _commitSpend(output), 16);
        _assertConvicts(a);
    }

    function test_R7_refusesAnOutputThatIsNotPiggybacked() public {
        (Flight memory flight,) = _leaving();
        // Bob's: nobody has piggybacked it.
        Coin memory output = _outputCoin(flight.transaction, Placed("", flight.coins[0].proof.inclusion), 1);
        _advanceTo(flight.key);
        Leaf memory leaf = _commitSpend(output);
        _assertSpared(_inFlightAccusation(flight, leaf, 17));
        // Nor are these pieces of it.
        _assertSpared(_inFlightAccusation(flight, leaf, 16));
        _assertSpared(_inFlightAccusation(flight, leaf, 0));
        _assertSpared(_inFlightAccusation(flight, leaf, 1));
        _assertSpared(_inFlightAccusation(flight, leaf, 15));
        _assertSpared(_inFlightAccusation(flight, leaf, 31));
        _assertSpared(_inFlightAccusation(flight, leaf, 32));
        _assertSpared(_inFlightAccusation(flight, leaf, 255));
    }

    function test_R7_sparesAnOutputWhosePieceWasChallengedAway() public {
        (Flight memory flight, Coin memory output) = _leaving();
        Leaf memory included = _include(flight);
        _challengePiece(carol, flight, 16, _competitor(_spendOf(ALICE_KEY, output, bob), included.proof));
        _advanceTo(flight.key);
        _assertSpared(_inFlightAccusation(flight, _commitSpend(output), 16));
    }

    function test_R7_refusesATransactionThatIsNotExiting() public {
        (Flight memory flight,) = _leaving();
        _advanceTo(flight.start + F + 1);
        Accusation memory a = _inFlightAccusation(flight, _commitSpendOf(flight.coins[0]), 0);
        a.exitBody = a.accused.body;
        _assertRefused(a, abi.encodeWithSelector(IInFlightExits.NotOpen.selector, keccak256(a.exitBody)));
        a.exitBody = "";
        _assertRefused(a, abi.encodeWithSelector(IInFlightExits.NotOpen.selector, keccak256("")));
    }

    /// Closed, it froze nothing.
    function test_R7_sparesASpendOfAnExitThatIsClosed() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Flight memory flight = _startInFlight(carol, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _advanceTo(flight.start + HALF);
        Accusation memory a = _inFlightAccusation(flight, _commitSpendOf(coin), 0);
        _closeFlight(flight);
        _assertRefused(a, abi.encodeWithSelector(IInFlightExits.NotOpen.selector, flight.transaction.txHash));
    }

    /// Other coins, which no exit has, are free.
    function test_R7_sparesACoinOfNoExit() public {
        (Flight memory flight,) = _leaving();
        _advanceTo(flight.key);
        Leaf memory leaf = _commitSpend(_deposited(alice, ETHER, 1 ether));
        for (uint256 piece = 0; piece < 34; ++piece) {
            _assertSpared(_inFlightAccusation(flight, leaf, uint8(piece)));
        }
    }

    // -------------------------------------------------------------- internals

    function _doubleSpend(bytes32 outputId) private pure returns (Accusation memory a) {
        a.prover = Prover.DoubleSpend;
        a.outputId = outputId;
    }

    /// A deposit of alice's that exits.
    function _exiting() private returns (Coin memory coin, IRootChain.ExitRecord memory exit) {
        coin = _deposited(alice, ETHER, 1 ether);
        exit = _startExitOfDeposit(coin.proof.position.depositNonce(), alice, ETHER, 1 ether);
    }

    /// A payment of alice's in flight, whose change she piggybacks; and that change.
    function _leaving() private returns (Flight memory flight, Coin memory change) {
        Coin memory coin = _deposited(alice, ETHER, 3 ether);
        Output[] memory outputs = _outputs(Output(alice, ETHER, 2 ether), Output(bob, ETHER, 1 ether));
        flight = _startInFlight(carol, _coins(coin), _signed(ALICE_KEY, _ids(_coins(coin)), outputs));
        _piggyback(alice, flight, _output(0));
        change.id = _outputId(flight.transaction.body, 0);
        change.output = outputs[0];
    }

    /// Commits the exit's own transaction.
    function _include(Flight memory flight) private returns (Leaf memory) {
        return _commitLeaf(flight.transaction.body, _witness(flight.transaction.signature, flight.coins));
    }

    /// Commits another payment over a coin.
    function _commitSpendOf(Coin memory coin) private returns (Leaf memory) {
        return _commitOver(_coins(coin), _outputs(Output(carol, ETHER, coin.output.amount)));
    }

    function _inFlightAccusation(Flight memory flight, Leaf memory accused, uint8 piece)
        private
        pure
        returns (Accusation memory a)
    {
        a = _accusation(Prover.ExitingInFlight, accused);
        a.exitBody = flight.transaction.body;
        a.piece = piece;
    }
}
