// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision, PlaceHolder} from "../src/types/InFlightState.sol";
import {PieceSet} from "../src/types/PieceSet.sol";
import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";

/// @title What the tests of in-flight exits share
/// @notice Coins with the proof of what made them, transactions over them, and exits with the data that callers keep.
abstract contract InFlightTest is RootChainTest {
    /// A coin that can be an input.
    struct Coin {
        bytes32 id;
        Output output;
        IInFlightExits.InputProof proof;
        uint64 createdAt;
    }

    /// A transaction, signed by its inputs' owner.
    struct Signed {
        bytes body;
        bytes signature;
        bytes32 txHash;
        Output[] outputs;
    }

    /// An open exit, as a caller who read its events knows it.
    struct Flight {
        Signed transaction;
        address starter;
        Coin[] coins;
        bytes data;
        uint64 start;
        uint64 key;
    }

    uint256 internal constant F = 21 hours;
    /// The first half of an exit.
    uint256 internal constant HALF = uint256(MEP) / 2;
    Position internal constant NOT_INCLUDED = Position.wrap(2 ** 63 - 1);

    IInFlightExits internal inFlight;

    function setUp() public virtual override {
        super.setUp();
        inFlight = IInFlightExits(address(rootChain));
    }

    // ----------------------------------------------------------------- coins

    function _deposited(address owner, address asset, uint128 amount) internal returns (Coin memory coin) {
        uint64 nonce = asset == ETHER ? _depositEther(owner, amount) : _depositToken(owner, amount);
        coin.id = _depositId(nonce, owner, asset, amount);
        coin.output = Output(owner, asset, amount);
        coin.proof.position = depositPosition(nonce);
        coin.proof.creation = bytes.concat(bytes20(owner), bytes20(asset), bytes16(amount));
    }

    /// Returns a coin of a block of its own, backed by a deposit of somebody else's.
    function _made(address owner, address asset, uint128 amount) internal returns (Coin memory) {
        if (asset == ETHER) _depositEther(carol, amount);
        else _depositToken(carol, amount);
        bytes32 input = keccak256(abi.encode("made", rootChain.head().nextNumber));
        return _coinOf(_include(_payment(input, owner, asset, amount)), 0, Output(owner, asset, amount));
    }

    function _coinOf(Placed memory placed, uint8 index, Output memory output) internal pure returns (Coin memory coin) {
        IRootChain.Header memory header = placed.proof.header;
        coin.id = _outputId(placed.body, index);
        coin.output = output;
        coin.proof.position = outputPosition(header.number, placed.proof.txIndex, index);
        coin.proof.creation = placed.body;
        coin.proof.inclusion = placed.proof;
        coin.createdAt = header.timestamp;
    }

    function _coins(Coin memory coin) internal pure returns (Coin[] memory coins) {
        coins = new Coin[](1);
        coins[0] = coin;
    }

    /// Returns two coins in the order of their ids, as a body has them.
    function _coins(Coin memory first, Coin memory second) internal pure returns (Coin[] memory coins) {
        coins = new Coin[](2);
        (coins[0], coins[1]) = first.id < second.id ? (first, second) : (second, first);
    }

    function _sort(Coin[] memory coins) internal pure {
        for (uint256 i = 1; i < coins.length; ++i) {
            for (uint256 j = i; j != 0 && coins[j].id < coins[j - 1].id; --j) {
                (coins[j], coins[j - 1]) = (coins[j - 1], coins[j]);
            }
        }
    }

    function _ids(Coin[] memory coins) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](coins.length);
        for (uint256 i = 0; i < coins.length; ++i) {
            ids[i] = coins[i].id;
        }
    }

    function _proofs(Coin[] memory coins) internal pure returns (IInFlightExits.InputProof[] memory proofs) {
        proofs = new IInFlightExits.InputProof[](coins.length);
        for (uint256 i = 0; i < coins.length; ++i) {
            proofs[i] = coins[i].proof;
        }
    }

    // ---------------------------------------------------------- transactions

    function _outputs(Output memory output) internal pure returns (Output[] memory outputs) {
        outputs = new Output[](1);
        outputs[0] = output;
    }

    function _outputs(Output memory first, Output memory second) internal pure returns (Output[] memory outputs) {
        outputs = new Output[](2);
        outputs[0] = first;
        outputs[1] = second;
    }

    function _signed(uint256 privateKey, bytes32[] memory inputs, Output[] memory outputs)
        internal
        view
        returns (Signed memory)
    {
        bytes memory body = _body(inputs, outputs, 0);
        return Signed(body, _sign(privateKey, inputs, outputs, 0), keccak256(body), outputs);
    }

    /// Returns a spend of one coin to one owner, all of it.
    function _spendOf(uint256 privateKey, Coin memory coin, address to) internal view returns (Signed memory) {
        return _signed(privateKey, _ids(_coins(coin)), _outputs(Output(to, coin.output.asset, coin.output.amount)));
    }

    /// Returns the coin that an output of an included transaction is.
    function _outputCoin(Signed memory transaction, Placed memory placed, uint8 index)
        internal
        pure
        returns (Coin memory)
    {
        return _coinOf(placed, index, transaction.outputs[index]);
    }

    // ----------------------------------------------------------------- exits

    function _startInFlight(address starter, Coin[] memory coins, Signed memory transaction)
        internal
        returns (Flight memory flight)
    {
        flight = _flight(starter, coins, transaction);
        vm.prank(starter);
        inFlight.startInFlightExit{value: IN_FLIGHT_BOND}(transaction.body, transaction.signature, _proofs(coins));
    }

    /// Opens the exit of a payment of alice to bob with change, started by carol.
    function _open() internal returns (Flight memory) {
        Coin memory coin = _made(alice, ETHER, 3 ether);
        Output[] memory outputs = _outputs(Output(bob, ETHER, 1 ether), Output(alice, ETHER, 2 ether));
        return _startInFlight(carol, _coins(coin), _signed(ALICE_KEY, _ids(_coins(coin)), outputs));
    }

    /// Returns another payment over the exit's first input.
    function _rival(Flight memory flight) internal view returns (Signed memory) {
        return _spendOf(ALICE_KEY, flight.coins[0], carol);
    }

    /// Returns the exit that would start now.
    function _flight(address starter, Coin[] memory coins, Signed memory transaction)
        internal
        view
        returns (Flight memory flight)
    {
        flight.transaction = transaction;
        flight.start = _now();
        flight.starter = starter;
        flight.coins = coins;
        flight.data = _data(starter, coins);
        flight.key = _keyFrom(flight.start, coins);
    }

    /// §6, written out again: a word each.
    function _data(address starter, Coin[] memory coins) internal pure returns (bytes memory data) {
        data = abi.encode(starter, coins[0].output.owner);
        for (uint256 i = 0; i < coins.length; ++i) {
            Output memory output = coins[i].output;
            data = bytes.concat(
                data, abi.encode(coins[i].id, coins[i].proof.position, coins[i].createdAt, output.asset, output.amount)
            );
        }
    }

    /// §4, written out again: the maximum over all inputs.
    function _keyFrom(uint64 start, Coin[] memory coins) internal pure returns (uint64 key) {
        for (uint256 i = 0; i < coins.length; ++i) {
            uint64 keyOfInput = _ceil(start + MEP);
            if (coins[i].createdAt != 0 && coins[i].createdAt + 2 * MEP > keyOfInput) {
                keyOfInput = coins[i].createdAt + 2 * MEP;
            }
            if (keyOfInput > key) key = keyOfInput;
        }
    }

    function _input(uint8 index) internal pure returns (PieceSet) {
        return PieceSet.wrap(uint32(1) << index);
    }

    function _output(uint8 index) internal pure returns (PieceSet) {
        return PieceSet.wrap(uint32(1) << (16 + index));
    }

    function _pieces(PieceSet first, PieceSet second) internal pure returns (PieceSet) {
        return PieceSet.wrap(PieceSet.unwrap(first) | PieceSet.unwrap(second));
    }

    function _pieceBond(Flight memory flight) internal pure returns (uint256) {
        return PIECE_BOND + flight.coins.length * PIECE_BOND_PER_INPUT;
    }

    function _pieceBounty(Flight memory flight) internal pure returns (uint256) {
        return PIECE_BOUNTY + flight.coins.length * PIECE_BOUNTY_PER_INPUT;
    }

    /// Returns what returns of a piece's bond with the piece.
    function _pieceBack(Flight memory flight) internal pure returns (uint256) {
        return _pieceBond(flight) - _pieceBounty(flight);
    }

    function _piggyback(address owner, Flight memory flight, PieceSet pieces) internal {
        uint256 bits = PieceSet.unwrap(pieces);
        uint256 bond = 0;
        for (; bits != 0; bits &= bits - 1) {
            bond += _pieceBond(flight);
        }
        vm.prank(owner);
        inFlight.piggyback{value: bond}(flight.transaction.body, flight.data, pieces, flight.key);
    }

    function _competitor(Signed memory transaction, IRootChain.InclusionProof memory inclusion)
        internal
        pure
        returns (IInFlightExits.Spend memory)
    {
        return IInFlightExits.Spend(transaction.body, transaction.signature, inclusion);
    }

    function _notIncluded(Signed memory transaction) internal pure returns (IInFlightExits.Spend memory) {
        IRootChain.InclusionProof memory nowhere;
        return _competitor(transaction, nowhere);
    }

    function _challengeCanonicity(
        address challenger,
        Flight memory flight,
        uint8 input,
        IInFlightExits.Spend memory competitor
    ) internal {
        vm.prank(challenger);
        inFlight.challengeNotCanonical{value: IN_FLIGHT_BOND}(flight.transaction.txHash, flight.data, input, competitor);
    }

    function _respond(address responder, Flight memory flight, Placed memory placed) internal {
        vm.prank(responder);
        inFlight.respondNotCanonical(flight.transaction.txHash, placed.proof);
    }

    function _challengePiece(address challenger, Flight memory flight, uint8 piece, IInFlightExits.Spend memory spend)
        internal
    {
        vm.prank(challenger);
        inFlight.challengePieceSpent(flight.transaction.body, flight.data, piece, spend);
    }

    function _closeFlight(Flight memory flight) internal {
        vm.prank(processor);
        inFlight.closeInFlightExit(flight.transaction.txHash, flight.data);
    }

    function _record(Flight memory flight, PieceSet pieces) internal pure returns (IInFlightExits.PieceRecord memory) {
        return IInFlightExits.PieceRecord(flight.transaction.body, flight.data, pieces);
    }

    function _onlyPieces(Flight memory flight, PieceSet pieces)
        internal
        pure
        returns (IInFlightExits.PieceRecord[] memory records)
    {
        records = new IInFlightExits.PieceRecord[](1);
        records[0] = _record(flight, pieces);
    }

    /// Processes standard exits and every piece of an exit whose turn it is.
    function _processBoth(IRootChain.ExitRecord[] memory exits, Flight memory flight) internal {
        vm.prank(processor);
        rootChain.processExits(ETHER, exits, _onlyPieces(flight, PieceSet.wrap(type(uint32).max)));
    }

    /// Processes every piece of an exit whose turn it is.
    function _processPieces(address asset, Flight memory flight) internal {
        vm.prank(processor);
        rootChain.processExits(
            asset, new IRootChain.ExitRecord[](0), _onlyPieces(flight, PieceSet.wrap(type(uint32).max))
        );
    }

    // ------------------------------------------------------------ assertions

    function _stored(Flight memory flight) internal view returns (IInFlightExits.InFlightExit memory) {
        return rootChain.inFlightExit(flight.transaction.txHash);
    }

    function _assertOpen(Flight memory flight, PieceSet live, Decision decision) internal view {
        IInFlightExits.InFlightExit memory stored = _stored(flight);
        vm.assertEq(stored.start, flight.start, "start");
        vm.assertEq(stored.key, flight.key, "key");
        vm.assertEq(PieceSet.unwrap(stored.livePieces), PieceSet.unwrap(live), "live pieces");
        vm.assertEq(uint8(stored.decision), uint8(decision), "decision");
        vm.assertEq(stored.dataHash, keccak256(flight.data), "data hash");
    }

    function _assertPlace(Flight memory flight, PlaceHolder holder, Position place, address challenger) internal view {
        IInFlightExits.InFlightExit memory stored = _stored(flight);
        vm.assertEq(uint8(stored.placeHolder), uint8(holder), "whose place");
        vm.assertEq(Position.unwrap(stored.oldestPlace), Position.unwrap(place), "oldest place");
        vm.assertEq(stored.challenger, challenger, "challenger");
    }

    function _assertClosed(Flight memory flight) internal view {
        IInFlightExits.InFlightExit memory nothing;
        vm.assertEq(abi.encode(_stored(flight)), abi.encode(nothing), "nothing is left");
    }

    /// Returns what a call of the first half is refused with now.
    function _halfOver(Flight memory flight) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IInFlightExits.FirstHalfOver.selector, _now(), flight.start + HALF);
    }

    function _place(Placed memory placed) internal pure returns (Position) {
        return _placeOf(placed.proof);
    }

    function _placeOf(IRootChain.InclusionProof memory proof) internal pure returns (Position) {
        return outputPosition(proof.header.number, proof.txIndex, 0);
    }
}
