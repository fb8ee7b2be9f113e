// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision} from "../src/types/InFlightState.sol";
import {NO_PIECES, PieceSet} from "../src/types/PieceSet.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title §6.2, §6.5: pieces are piggybacked, and challenged away where they are spent
contract InFlightPiecesTest is InFlightTest {
    // ------------------------------------------------------------ piggybacks

    function test_piggyback_revertsIfNoneIsOpen() public {
        Flight memory flight = _open();
        flight.transaction = _spendOf(ALICE_KEY, flight.coins[0], carol);
        _expectPiggybackRefused(
            alice,
            flight,
            _input(0),
            1,
            abi.encodeWithSelector(IInFlightExits.NotOpen.selector, flight.transaction.txHash)
        );
    }

    function test_piggyback_revertsOnceTheFirstHalfIsOver() public {
        Flight memory flight = _open();
        _advanceTo(flight.start + HALF);
        _expectPiggybackRefused(alice, flight, _input(0), 1, _halfOver(flight));
    }

    function test_piggyback_revertsWithoutPieces() public {
        _expectPiggybackRefused(alice, _open(), NO_PIECES, 0, abi.encodeWithSelector(IInFlightExits.NoPieces.selector));
    }

    function test_piggyback_revertsIfBondIsWrong() public {
        Flight memory flight = _open();
        uint256 bond = _pieceBond(flight);
        vm.assertEq(bond, PIECE_BOND + PIECE_BOND_PER_INPUT, "grows by the input");
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.WrongBond.selector, bond - 1, bond));
        inFlight.piggyback{value: bond - 1}(flight.transaction.body, flight.data, _input(0), 0);
        _expectPiggybackRefused(
            alice,
            flight,
            _pieces(_input(0), _output(1)),
            1,
            abi.encodeWithSelector(IRootChain.WrongBond.selector, bond, 2 * bond)
        );
    }

    function test_piggyback_revertsIfTheDataDiffer() public {
        Flight memory flight = _open();
        flight.data = "";
        _expectPiggybackRefused(
            alice,
            flight,
            _pieces(_input(0), _output(1)),
            2,
            abi.encodeWithSelector(IInFlightExits.WrongData.selector, flight.transaction.txHash)
        );
        // Outputs alone need none.
        _piggyback(alice, flight, _output(1));
    }

    function test_piggyback_revertsIfThereIsNoSuchPiece() public {
        Flight memory flight = _open();
        _expectPiggybackRefused(
            alice, flight, _input(1), 1, abi.encodeWithSelector(IInFlightExits.NoSuchPiece.selector, 1)
        );
        _expectPiggybackRefused(
            alice, flight, _output(2), 1, abi.encodeWithSelector(IInFlightExits.NoSuchPiece.selector, 18)
        );
        _expectPiggybackRefused(
            alice, flight, _output(15), 1, abi.encodeWithSelector(IInFlightExits.NoSuchPiece.selector, 31)
        );
    }

    function test_piggyback_revertsIfNotOwner() public {
        Flight memory flight = _open();
        _expectPiggybackRefused(
            bob, flight, _input(0), 1, abi.encodeWithSelector(IRootChain.NotOwner.selector, bob, alice)
        );
        // One of the pieces is not the caller's.
        _expectPiggybackRefused(
            alice,
            flight,
            _pieces(_output(0), _output(1)),
            2,
            abi.encodeWithSelector(IRootChain.NotOwner.selector, alice, bob)
        );
    }

    function test_piggyback_revertsIfThePieceIsLive() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _input(0));
        _expectPiggybackRefused(
            alice,
            flight,
            _pieces(_input(0), _output(1)),
            2,
            abi.encodeWithSelector(IInFlightExits.PieceLive.selector, 0)
        );
    }

    function test_piggyback_revertsIfThePiecesAreOfTwoAssets() public {
        Coin[] memory coins = _coins(_made(alice, ETHER, 3), _made(alice, address(token), 5));
        Output[] memory outputs = _outputs(Output(alice, ETHER, 3), Output(alice, address(token), 5));
        Flight memory flight = _startInFlight(bob, coins, _signed(ALICE_KEY, _ids(coins), outputs));
        _expectPiggybackRefused(
            alice,
            flight,
            _pieces(_output(0), _output(1)),
            2,
            abi.encodeWithSelector(IInFlightExits.SeveralAssets.selector, ETHER, address(token))
        );
    }

    /// An owner's change and its input, both in one call, in the last second of the first half.
    function test_piggyback_takesAllPiecesOfTheCallerInOneAsset() public {
        Flight memory flight = _open();
        _advanceTo(flight.start + HALF - 1);
        PieceSet pieces = _pieces(_input(0), _output(1));
        uint256 balance = alice.balance;
        uint256 vault = _vault();
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.Piggybacked(flight.transaction.txHash, alice, ETHER, pieces);
        _piggyback(alice, flight, pieces);

        vm.assertEq(alice.balance, balance - 2 * _pieceBond(flight), "alice");
        vm.assertEq(_vault(), vault + 2 * _pieceBond(flight), "vault");
        _assertOpen(flight, pieces, Decision.None);
        _assertOneKey(ETHER, flight.key, 2);
    }

    function test_piggyback_ofADepositThatIsSpentMeanwhileStaysOpen() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Flight memory flight = _startInFlight(bob, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _piggyback(bob, flight, _output(0));
        _assertCoin(coin.id, 0, false, 1);
        _assertOneKey(ETHER, flight.key, 1);
    }

    // ----------------------------------------------------------- spent inputs

    function test_challengePieceSpent_revertsIfNoneIsOpen() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        flight.transaction.body[flight.transaction.body.length - 1] = 0x01;
        _expectChallengeRefused(
            flight,
            0,
            spend,
            abi.encodeWithSelector(IInFlightExits.NotOpen.selector, keccak256(flight.transaction.body))
        );
    }

    function test_challengePieceSpent_revertsIfThePieceIsNotLive() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        uint8[4] memory pieces = [1, 16, 31, 32];
        for (uint256 i = 0; i < 4; ++i) {
            _expectChallengeRefused(
                flight, pieces[i], spend, abi.encodeWithSelector(IInFlightExits.PieceNotLive.selector, pieces[i])
            );
        }
        _challengePiece(carol, flight, 0, spend);
        _expectChallengeRefused(flight, 0, spend, abi.encodeWithSelector(IInFlightExits.PieceNotLive.selector, 0));
    }

    function test_challengePieceSpent_revertsIfTheDataDiffer() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        flight.data = "";
        _expectChallengeRefused(
            flight, 0, spend, abi.encodeWithSelector(IInFlightExits.WrongData.selector, flight.transaction.txHash)
        );
    }

    function test_challengePieceSpent_revertsIfTheEvidenceIsNoSpend() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        bytes memory refused = abi.encodeWithSelector(IRootChain.NotASpend.selector, flight.coins[0].id);
        // Of another coin.
        Signed memory other = _signedPaymentOf(ALICE_KEY, keccak256("other"));
        _expectChallengeRefused(flight, 0, _competitor(other, spend.inclusion), refused);
        // Not by the owner.
        other = _spendOf(BOB_KEY, flight.coins[0], carol);
        _expectChallengeRefused(flight, 0, _competitor(other, spend.inclusion), refused);
        // Not canonical.
        spend.body[0] = 0x02;
        _expectChallengeRefused(flight, 0, spend, refused);
    }

    function test_challengePieceSpent_revertsIfTheSpendIsTheExitsOwnTransaction() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _input(0));
        Placed memory placed = _include(flight.transaction.body);
        _expectChallengeRefused(
            flight,
            0,
            _competitor(flight.transaction, placed.proof),
            abi.encodeWithSelector(IInFlightExits.OwnTransaction.selector, flight.transaction.txHash)
        );
    }

    /// A signature alone takes no coin: whoever signs again with a better fee would lose it to both exits.
    function test_challengePieceSpent_revertsIfTheSpendIsNotIncluded() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        uint64 number = spend.inclusion.header.number;
        spend.inclusion.witnessHash = keccak256("other");
        _expectChallengeRefused(flight, 0, spend, abi.encodeWithSelector(IRootChain.NotIncluded.selector, number, 0));
        _expectChallengeRefused(
            flight,
            0,
            _notIncluded(_spendOf(ALICE_KEY, flight.coins[0], carol)),
            abi.encodeWithSelector(IRootChain.UnknownHeader.selector, 0)
        );
    }

    function test_challengePieceSpent_revertsIfTheInclusionIsVoid() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        _haltFrom(spend.inclusion.header.number);
        _expectChallengeRefused(
            flight, 0, spend, abi.encodeWithSelector(IRootChain.VoidBlock.selector, spend.inclusion.header.number)
        );
    }

    /// A block that the freeze forbids must not take a piece away before it is convicted; at that very second it may.
    function test_challengePieceSpent_revertsIfTheInclusionComesAfterTheFreeze() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _input(0));
        Signed memory spend = _spendOf(ALICE_KEY, flight.coins[0], carol);
        _advanceTo(flight.start + F + 1);
        Placed memory late = _include(spend.body);
        _expectChallengeRefused(
            flight,
            0,
            _competitor(spend, late.proof),
            abi.encodeWithSelector(IInFlightExits.IncludedTooLate.selector, _now(), flight.start + F)
        );
    }

    function test_challengePieceSpent_takesAnInclusionAtTheFreeze() public {
        Flight memory flight = _open();
        _piggyback(alice, flight, _input(0));
        Signed memory spend = _spendOf(ALICE_KEY, flight.coins[0], carol);
        _advanceTo(flight.start + F);
        Placed memory placed = _include(spend.body);
        vm.assertEq(placed.proof.header.timestamp, flight.start + F, "at the freeze");
        _challengePiece(carol, flight, 0, _competitor(spend, placed.proof));
        _assertOpen(flight, NO_PIECES, Decision.None);
    }

    function test_spentInputIsChallengedAway() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        // Until it is paid, also after the first half.
        _advanceTo(flight.key);
        uint256 balance = carol.balance;
        uint256 vault = _vault();
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PieceChallenged(
            flight.transaction.txHash, carol, 0, _placeOf(spend.inclusion), spend.body, spend.signature
        );
        _challengePiece(carol, flight, 0, spend);
        vm.assertEq(carol.balance, balance + _pieceBond(flight), "carol has the whole bond");
        vm.assertEq(_vault(), vault - _pieceBond(flight), "vault");
        _assertOpen(flight, NO_PIECES, Decision.None);
        _assertOneKey(ETHER, flight.key, 0);
    }

    function test_bondOfAChallengedPieceThatIsRefusedIsCredited() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        receiver.execute(
            address(rootChain),
            0,
            abi.encodeCall(IInFlightExits.challengePieceSpent, (flight.transaction.body, flight.data, 0, spend))
        );
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), _pieceBond(flight), "credit");
    }

    function test_challengedPieceIsPiggybackedAgainInTheSameHalf() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        _challengePiece(carol, flight, 0, spend);
        _piggyback(alice, flight, _input(0));
        _assertOpen(flight, _input(0), Decision.None);
        _assertOneKey(ETHER, flight.key, 1);
        _challengePiece(carol, flight, 0, spend);
        _advanceTo(flight.start + HALF);
        _expectPiggybackRefused(alice, flight, _input(0), 1, _halfOver(flight));
    }

    /// Nothing is left to pay: the exit is closed, and was never decided.
    function test_exitWithoutAPieceLeftIsClosed() public {
        (Flight memory flight, IInFlightExits.Spend memory spend) = _spentInput();
        _challengePiece(carol, flight, 0, spend);
        _advanceTo(flight.start + HALF);
        uint256 balance = carol.balance;
        _closeFlight(flight);
        vm.assertEq(carol.balance, balance + IN_FLIGHT_BOND, "the starter");
        _assertClosed(flight);
        _assertCoin(flight.coins[0].id, 0, false, 0);
    }

    // ---------------------------------------------------------- spent outputs

    function test_challengePieceSpent_ofAnOutput_needsTheExitsOwnInclusion() public {
        (Flight memory flight, Placed memory placed, Signed memory spend) = _spentOutput();
        // The spend's inclusion is no evidence for it.
        Placed memory spendPlaced = _include(spend.body);
        _expectChallengeRefused(
            flight,
            16,
            _competitor(spend, spendPlaced.proof),
            abi.encodeWithSelector(IRootChain.NotIncluded.selector, spendPlaced.proof.header.number, 0)
        );
        _haltFrom(placed.proof.header.number);
        _expectChallengeRefused(
            flight,
            16,
            _competitor(spend, placed.proof),
            abi.encodeWithSelector(IRootChain.VoidBlock.selector, placed.proof.header.number)
        );
    }

    function test_challengePieceSpent_ofAnOutput_revertsIfTheEvidenceIsNoSpend() public {
        (Flight memory flight, Placed memory placed,) = _spentOutput();
        bytes32 id = _outputId(flight.transaction.body, 0);
        Signed memory other = _spendOf(BOB_KEY, _outputCoin(flight.transaction, placed, 1), carol);
        _expectChallengeRefused(
            flight, 16, _competitor(other, placed.proof), abi.encodeWithSelector(IRootChain.NotASpend.selector, id)
        );
        other = _spendOf(ALICE_KEY, _outputCoin(flight.transaction, placed, 0), carol);
        _expectChallengeRefused(
            flight, 16, _competitor(other, placed.proof), abi.encodeWithSelector(IRootChain.NotASpend.selector, id)
        );
    }

    function test_challengePieceSpent_ofAnOutput_revertsIfTheInclusionComesAfterTheFreeze() public {
        Flight memory flight = _open();
        _piggyback(bob, flight, _output(0));
        _advanceTo(flight.start + F + 1);
        Placed memory late = _include(flight.transaction.body);
        Signed memory spend = _spendOf(BOB_KEY, _outputCoin(flight.transaction, late, 0), carol);
        _expectChallengeRefused(
            flight,
            16,
            _competitor(spend, late.proof),
            abi.encodeWithSelector(IInFlightExits.IncludedTooLate.selector, _now(), flight.start + F)
        );
    }

    /// The spend itself needs no inclusion: its owner signed the output away.
    function test_spentOutputIsChallengedAway() public {
        (Flight memory flight, Placed memory placed, Signed memory spend) = _spentOutput();
        _piggyback(alice, flight, _output(1));
        uint256 balance = carol.balance;
        // No data are needed.
        flight.data = "";
        vm.expectEmit(address(rootChain));
        emit IInFlightExits.PieceChallenged(
            flight.transaction.txHash, carol, 16, _place(placed), spend.body, spend.signature
        );
        _challengePiece(carol, flight, 16, _competitor(spend, placed.proof));
        vm.assertEq(carol.balance, balance + _pieceBond(flight), "carol");
        flight.data = _data(flight.starter, flight.coins);
        _assertOpen(flight, _output(1), Decision.None);
        _assertOneKey(ETHER, flight.key, 1);
    }

    // -------------------------------------------------------------- internals

    /// An exit whose input alice spent in a block, and piggybacks nevertheless.
    function _spentInput() private returns (Flight memory flight, IInFlightExits.Spend memory spend) {
        flight = _open();
        _piggyback(alice, flight, _input(0));
        Signed memory transaction = _spendOf(ALICE_KEY, flight.coins[0], carol);
        spend = _competitor(transaction, _include(transaction.body).proof);
    }

    /// An exit of an included transaction whose output bob signed away, and piggybacks nevertheless.
    function _spentOutput() private returns (Flight memory flight, Placed memory placed, Signed memory spend) {
        flight = _open();
        _piggyback(bob, flight, _output(0));
        placed = _include(flight.transaction.body);
        spend = _spendOf(BOB_KEY, _outputCoin(flight.transaction, placed, 0), carol);
    }

    function _signedPaymentOf(uint256 privateKey, bytes32 input) private view returns (Signed memory) {
        bytes32[] memory inputs = new bytes32[](1);
        inputs[0] = input;
        return _signed(privateKey, inputs, _outputs(Output(carol, ETHER, 1)));
    }

    function _expectPiggybackRefused(
        address owner,
        Flight memory flight,
        PieceSet pieces,
        uint256 bonds,
        bytes memory reason
    ) private {
        vm.prank(owner);
        vm.expectRevert(reason);
        inFlight.piggyback{value: bonds * _pieceBond(flight)}(flight.transaction.body, flight.data, pieces, 0);
    }

    function _expectChallengeRefused(
        Flight memory flight,
        uint8 piece,
        IInFlightExits.Spend memory spend,
        bytes memory reason
    ) private {
        vm.prank(carol);
        vm.expectRevert(reason);
        inFlight.challengePieceSpent(flight.transaction.body, flight.data, piece, spend);
    }
}
