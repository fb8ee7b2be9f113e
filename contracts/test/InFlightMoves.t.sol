// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision} from "../src/types/InFlightState.sol";
import {PieceSet} from "../src/types/PieceSet.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {Vm, vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title Random moves over all calls of standard and in-flight exits
/// @notice Coins are backed or made from nothing, owners sign as often as they like, and blocks include whatever was
/// signed, twice and in any order. What is kept of them is encoded, since nested arrays are not copied to storage.
contract InFlightMoves is InFlightTest {
    /// A signed transaction over known coins of one owner, and where blocks include it.
    struct Plan {
        Coin[] coins;
        Signed transaction;
        IRootChain.InclusionProof[] places;
    }

    uint256 private constant PERSONS = 3;

    uint256[PERSONS] private _keys = [ALICE_KEY, BOB_KEY, CAROL_KEY];
    HostileReceiver[] public receivers;
    bytes[] private _known;
    /// The older place of a coin that was made twice.
    mapping(bytes32 outputId => bytes) private _older;
    bytes[] private _plans;
    bytes[] private _flights;
    IRootChain.ExitRecord[] private _pending;
    mapping(bytes32 outputId => bool) private _hasLeft;
    mapping(bytes32 outputId => uint64) private _freeze;
    bytes32[] private _names;
    /// What must never happen.
    bool public leavesAnythingTwice;
    bool public hasAFreezeChanged;
    /// How often each call went through.
    mapping(bytes4 selector => uint256) public accepted;

    function setUp() public override {
        super.setUp();
        receivers.push(new HostileReceiver(HostileReceiver.Behaviour.Reverts));
        receivers.push(new HostileReceiver(HostileReceiver.Behaviour.BurnsGas));
        for (uint256 i = 0; i < receivers.length; ++i) {
            vm.deal(address(receivers[i]), 1000 ether);
        }
        for (uint256 i = 0; i < 4; ++i) {
            deposit(i);
            make(i);
            sign(i);
        }
    }

    // ----------------------------------------------------------------- coins

    function deposit(uint256 seed) public {
        address asset = seed % 3 == 0 ? address(token) : ETHER;
        _know(_deposited(_person(seed >> 8), asset, uint128(1 + (seed >> 16) % 1000)));
    }

    /// Makes a coin that nothing backs, in one block or in two.
    function make(uint256 seed) public {
        if (rootChain.head().haltedFrom != 0) return;
        Output memory output =
            Output(_person(seed >> 8), seed % 3 == 0 ? address(token) : ETHER, uint128(1 + (seed >> 16) % 1000));
        bytes memory body = _payment(bytes32(_known.length), output.owner, output.asset, output.amount);
        Coin memory coin = _coinOf(_include(body), 0, output);
        if (seed % 2 == 0) {
            _older[coin.id] = abi.encode(coin);
            _advance(1 days);
            coin = _coinOf(_include(body), 0, output);
        }
        _know(coin);
    }

    /// Signs a transaction over a coin, or two of its owner's, to anybody, with change if the amount allows.
    function sign(uint256 seed) public {
        Coin memory first = _coin(seed);
        Coin memory second = _coin(seed >> 8);
        Coin[] memory coins = first.id != second.id && first.output.owner == second.output.owner && seed % 4 != 0
            ? _coins(first, second)
            : _coins(first);
        Output[] memory outputs = new Output[](coins.length + 1);
        for (uint256 i = 0; i < coins.length; ++i) {
            outputs[i] = Output(_payee(seed >> (16 + i)), coins[i].output.asset, coins[i].output.amount);
        }
        Output memory change = Output(first.output.owner, outputs[0].asset, outputs[0].amount / 2);
        outputs[0].amount -= change.amount;
        outputs[coins.length] = change;
        if (change.amount == 0) outputs = _outputs(outputs[0]);
        if (change.amount == 0 && coins.length == 2) return;
        Plan memory plan;
        plan.coins = coins;
        plan.transaction = _signed(_keyOf(first.output.owner), _ids(coins), outputs);
        _plans.push(abi.encode(plan));
        for (uint8 i = 0; i < outputs.length; ++i) {
            _names.push(_outputId(plan.transaction.body, i));
        }
    }

    function include(uint256 seed) public {
        if (rootChain.head().haltedFrom != 0) return;
        (Plan memory plan, uint256 index) = _plan(seed);
        IRootChain.InclusionProof[] memory places = new IRootChain.InclusionProof[](plan.places.length + 1);
        for (uint256 i = 0; i < plan.places.length; ++i) {
            places[i] = plan.places[i];
        }
        Placed memory placed = _include(plan.transaction.body);
        places[plan.places.length] = placed.proof;
        plan.places = places;
        _plans[index] = abi.encode(plan);
        // Its outputs are coins from now on.
        for (uint8 i = 0; i < plan.transaction.outputs.length; ++i) {
            Coin memory coin = _outputCoin(plan.transaction, placed, i);
            if (places.length == 1 && _keyOf(coin.output.owner) != 0) _know(coin);
        }
    }

    // -------------------------------------------------------- standard exits

    function startStandard(uint256 seed) public {
        Coin memory coin = _coin(seed);
        IRootChain.ExitRecord memory record = IRootChain.ExitRecord({
            outputId: coin.id,
            position: coin.proof.position,
            owner: coin.output.owner,
            asset: coin.output.asset,
            amount: coin.output.amount,
            key: _keyFrom(_now(), _coins(coin))
        });
        vm.prank(coin.output.owner);
        if (coin.createdAt == 0) {
            uint64 nonce = coin.proof.position.depositNonce();
            rootChain.startStandardExitOfDeposit{value: BOND}(nonce, record.asset, record.amount, uint64(seed));
        } else {
            rootChain.startStandardExit{value: BOND}(
                coin.proof.creation, coin.proof.position.outputIn(), coin.proof.inclusion, uint64(seed)
            );
        }
        _pending.push(record);
        _accept(IRootChain.startStandardExit.selector);
    }

    function challengeStandard(uint256 seed) public {
        if (_pending.length == 0 || seed % 3 != 0) return;
        IRootChain.ExitRecord memory record = _pending[(seed >> 8) % _pending.length];
        (bytes memory spend, bytes memory signature) =
            _signedPayment(_keyOf(record.owner), record.outputId, bob, record.asset, record.amount);
        vm.prank(bob);
        rootChain.challengeStandardExit(record, spend, signature);
        _forgetEnded();
        _accept(IRootChain.challengeStandardExit.selector);
    }

    // ------------------------------------------------------- in-flight exits

    function start(uint256 seed) public {
        (Plan memory plan,) = _plan(seed);
        Flight memory flight = _startInFlight(_person(seed >> 8), plan.coins, plan.transaction);
        _flights.push(abi.encode(flight));
        _accept(IInFlightExits.startInFlightExit.selector);
    }

    function improve(uint256 seed) public {
        (Flight memory flight, uint256 index) = _openFlight(seed);
        for (uint8 i = 0; i < flight.coins.length; ++i) {
            if (_older[flight.coins[i].id].length == 0) continue;
            Coin memory older = abi.decode(_older[flight.coins[i].id], (Coin));
            uint64[] memory hints = new uint64[](1);
            hints[0] = uint64(seed >> 8);
            inFlight.improveInFlightExit(flight.transaction.body, flight.data, _input(i), _proofs(_coins(older)), hints);
            flight.coins[i] = older;
            flight.data = _data(flight.starter, flight.coins);
            flight.key = _keyFrom(flight.start, flight.coins);
            _flights[index] = abi.encode(flight);
            _accept(IInFlightExits.improveInFlightExit.selector);
            return;
        }
    }

    function piggyback(uint256 seed) public {
        (Flight memory flight,) = _openFlight(seed);
        uint8 inputs = uint8(flight.coins.length);
        uint8 piece = uint8((seed >> 8) % (inputs + flight.transaction.outputs.length));
        PieceSet pieces = piece < inputs ? _input(piece) : _output(piece - inputs);
        address owner = piece < inputs ? flight.coins[0].output.owner : flight.transaction.outputs[piece - inputs].owner;
        // Now and then an input beside it.
        if (seed % 4 == 0) pieces = _pieces(pieces, _input(0));
        _piggyback(owner, flight, pieces);
        _accept(IInFlightExits.piggyback.selector);
    }

    function challengeCanonicity(uint256 seed) public {
        (Flight memory flight,) = _openFlight(seed);
        for (uint256 i = 0; i < _plans.length; ++i) {
            (Plan memory plan,) = _plan(i + (seed >> 8) % _plans.length);
            if (plan.transaction.txHash == flight.transaction.txHash) continue;
            uint8 shared = _sharedInput(flight, plan);
            if (shared == flight.coins.length) continue;
            IRootChain.InclusionProof memory place;
            if (seed % 2 == 0 && plan.places.length != 0) place = plan.places[(seed >> 16) % plan.places.length];
            address challenger = _payee(seed >> 24);
            _challengeCanonicity(challenger, flight, shared, _competitor(plan.transaction, place));
            _accept(IInFlightExits.challengeNotCanonical.selector);
            return;
        }
    }

    function respond(uint256 seed) public {
        (Flight memory flight,) = _openFlight(seed);
        IRootChain.InclusionProof[] memory places = _placesOf(flight.transaction.txHash);
        if (places.length == 0) return;
        vm.prank(_payee(seed >> 8));
        inFlight.respondNotCanonical(flight.transaction.txHash, places[(seed >> 16) % places.length]);
        _accept(IInFlightExits.respondNotCanonical.selector);
    }

    /// Of an input by any included plan over it; of an output by its owner's spend.
    function challengePiece(uint256 seed) public {
        (Flight memory flight,) = _openFlight(seed);
        PieceSet live = _stored(flight).livePieces;
        if (live.isEmpty()) return;
        uint8 piece = live.first();
        if (piece < 16) {
            for (uint256 i = 0; i < _plans.length; ++i) {
                (Plan memory plan,) = _plan(i + (seed >> 8) % _plans.length);
                if (plan.transaction.txHash == flight.transaction.txHash) continue;
                if (_sharedInput(flight, plan) != piece) continue;
                IRootChain.InclusionProof[] memory spends = _placesOf(plan.transaction.txHash);
                if (spends.length == 0) return;
                _challengePiece(bob, flight, piece, _competitor(plan.transaction, spends[0]));
                _accept(IInFlightExits.challengePieceSpent.selector);
                return;
            }
        } else {
            IRootChain.InclusionProof[] memory places = _placesOf(flight.transaction.txHash);
            Output memory output = flight.transaction.outputs[piece - 16];
            if (places.length == 0 || _keyOf(output.owner) == 0) return;
            Coin memory coin;
            coin.id = _outputId(flight.transaction.body, piece - 16);
            coin.output = output;
            _challengePiece(bob, flight, piece, _competitor(_spendOf(_keyOf(output.owner), coin, bob), places[0]));
            _accept(IInFlightExits.challengePieceSpent.selector);
        }
    }

    function close(uint256 seed) public {
        (Flight memory flight, uint256 index) = _openFlight(seed);
        _close(flight, index);
    }

    // ------------------------------------------------------------ both, time

    function process(uint256 seed) public {
        _processFrom(seed % 3 == 0 ? address(token) : ETHER, seed >> 8);
    }

    function halt(uint256 seed) public {
        if (seed % 64 == 0) _haltFrom(uint64(1 + (seed >> 8) % rootChain.head().nextNumber));
    }

    function wait(uint256 seed) public {
        _advance(1 + seed % (seed % 8 == 0 ? 5 days : 8 hours));
    }

    // ------------------------------------------------------------- afterwards

    /// Processes and closes all there is, once its time has come.
    function drain() external {
        _advance(3 * MEP);
        for (uint256 round = 0; round < 4; ++round) {
            _processFrom(ETHER, 0);
            _processFrom(address(token), 0);
        }
        for (uint256 i = _flights.length; i != 0; --i) {
            _close(abi.decode(_flights[i - 1], (Flight)), i - 1);
        }
    }

    function pending() external view returns (IRootChain.ExitRecord[] memory) {
        return _pending;
    }

    function flights() public view returns (Flight[] memory all) {
        all = new Flight[](_flights.length);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = abi.decode(_flights[i], (Flight));
        }
    }

    function vault() external view returns (IRootChain, address) {
        return (rootChain, address(token));
    }

    /// Returns the bonds that the vault must hold, as far as they are open.
    function heldBonds() external view returns (uint256 bonds) {
        bonds = _pending.length * uint256(BOND);
        Flight[] memory all = flights();
        for (uint256 i = 0; i < all.length; ++i) {
            IInFlightExits.InFlightExit memory stored = _stored(all[i]);
            bonds += IN_FLIGHT_BOND + stored.livePieces.count() * _pieceBond(all[i]);
            if (stored.challenger != address(0)) bonds += IN_FLIGHT_BOND;
        }
    }

    /// Returns how many exits and pieces are pending under a key of an asset's list.
    function pendingUnder(address asset, uint64 key) external view returns (uint256 count) {
        for (uint256 i = 0; i < _pending.length; ++i) {
            if (_pending[i].asset == asset && _pending[i].key == key) ++count;
        }
        Flight[] memory all = flights();
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i].key == key) count += _liveOf(all[i], asset);
        }
    }

    /// Returns how many there are in all.
    function pendingOf(address asset) external view returns (uint256 count) {
        for (uint256 i = 0; i < _pending.length; ++i) {
            if (_pending[i].asset == asset) ++count;
        }
        Flight[] memory all = flights();
        for (uint256 i = 0; i < all.length; ++i) {
            count += _liveOf(all[i], asset);
        }
    }

    // -------------------------------------------------------------- internals

    function _person(uint256 index) private view returns (address) {
        return vm.addr(_keys[index % PERSONS]);
    }

    /// A person, or somebody who makes trouble when paid.
    function _payee(uint256 seed) private view returns (address) {
        return seed % 4 == 0 ? address(receivers[(seed >> 2) % receivers.length]) : _person(seed >> 2);
    }

    function _keyOf(address owner) private view returns (uint256) {
        for (uint256 i = 0; i < PERSONS; ++i) {
            if (_person(i) == owner) return _keys[i];
        }
        return 0;
    }

    function _know(Coin memory coin) private {
        _known.push(abi.encode(coin));
        _names.push(coin.id);
    }

    function _coin(uint256 seed) private view returns (Coin memory) {
        return abi.decode(_known[seed % _known.length], (Coin));
    }

    function _plan(uint256 seed) private view returns (Plan memory plan, uint256 index) {
        index = seed % _plans.length;
        plan = abi.decode(_plans[index], (Plan));
    }

    /// Mostly a young one, whose first half may last.
    function _openFlight(uint256 seed) private view returns (Flight memory flight, uint256 index) {
        uint256 range = seed % 8 == 0 || _flights.length < 3 ? _flights.length : 3;
        index = _flights.length - 1 - (seed >> 3) % range;
        flight = abi.decode(_flights[index], (Flight));
    }

    /// Returns where blocks include a transaction; one does now if none did.
    function _placesOf(bytes32 txHash) private returns (IRootChain.InclusionProof[] memory places) {
        for (uint256 i = 0; i < _plans.length; ++i) {
            (Plan memory plan,) = _plan(i);
            if (plan.transaction.txHash != txHash) continue;
            if (plan.places.length == 0) include(i);
            (plan,) = _plan(i);
            return plan.places;
        }
    }

    /// Returns the first input that both spend, or how many inputs the exit has.
    function _sharedInput(Flight memory flight, Plan memory plan) private pure returns (uint8 index) {
        for (; index < flight.coins.length; ++index) {
            for (uint256 i = 0; i < plan.coins.length; ++i) {
                if (plan.coins[i].id == flight.coins[index].id) return index;
            }
        }
    }

    function _liveOf(Flight memory flight, address asset) private view returns (uint256 count) {
        PieceSet left = _stored(flight).livePieces;
        for (; !left.isEmpty(); left = left.without(left.first())) {
            uint8 piece = left.first();
            address pieceAsset =
                piece < 16 ? flight.coins[piece].output.asset : flight.transaction.outputs[piece - 16].asset;
            if (pieceAsset == asset) ++count;
        }
    }

    function _close(Flight memory flight, uint256 index) private {
        _closeFlight(flight);
        _flights[index] = _flights[_flights.length - 1];
        _flights.pop();
        _accept(IInFlightExits.closeInFlightExit.selector);
    }

    /// Shows all that is pending, from somewhere on; what is not due is skipped.
    function _processFrom(address asset, uint256 from) private {
        uint256 length = _pending.length;
        IRootChain.ExitRecord[] memory records = new IRootChain.ExitRecord[](length);
        for (uint256 i = 0; i < length; ++i) {
            records[i] = _pending[(i + from % length) % length];
        }
        Flight[] memory all = flights();
        IInFlightExits.PieceRecord[] memory pieces = new IInFlightExits.PieceRecord[](all.length);
        for (uint256 i = 0; i < all.length; ++i) {
            pieces[i] = _record(all[(i + from % all.length) % all.length], PieceSet.wrap(type(uint32).max));
        }
        vm.recordLogs();
        for (uint256 round = 0; round <= length + all.length; ++round) {
            vm.prank(processor);
            rootChain.processExits(asset, records, pieces);
        }
        _noteLeaving(vm.getRecordedLogs(), all);
        _forgetEnded();
        _accept(IRootChain.processExits.selector);
    }

    /// A coin leaves when it is paid, or as an input of a canonical exit, whose outputs are paid in its stead.
    function _noteLeaving(Vm.Log[] memory logs, Flight[] memory all) private {
        for (uint256 i = 0; i < logs.length; ++i) {
            bytes32 kind = logs[i].topics[0];
            if (kind == IRootChain.ExitPaid.selector) {
                _leave(logs[i].topics[1]);
            } else if (kind == IInFlightExits.PiecePaid.selector) {
                _leave(logs[i].topics[2]);
            } else if (kind == IInFlightExits.InFlightExitDecided.selector) {
                if (abi.decode(logs[i].data, (Decision)) != Decision.Canonical) continue;
                _leaveByOutputs(logs[i].topics[1], all);
            }
        }
    }

    function _leaveByOutputs(bytes32 txHash, Flight[] memory all) private {
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i].transaction.txHash != txHash) continue;
            for (uint256 j = 0; j < all[i].coins.length; ++j) {
                _leave(all[i].coins[j].id);
            }
        }
    }

    function _leave(bytes32 outputId) private {
        if (_hasLeft[outputId]) leavesAnythingTwice = true;
        _hasLeft[outputId] = true;
    }

    function _forgetEnded() private {
        for (uint256 i = _pending.length; i != 0; --i) {
            (bytes32 recordHash,,) = rootChain.coin(_pending[i - 1].outputId);
            if (recordHash != 0) continue;
            _pending[i - 1] = _pending[_pending.length - 1];
            _pending.pop();
        }
    }

    /// Counts a call, and holds every freeze against the one recorded before.
    function _accept(bytes4 selector) private {
        ++accepted[selector];
        for (uint256 i = 0; i < _names.length; ++i) {
            (,, uint64 state) = rootChain.coin(_names[i]);
            if (_freeze[_names[i]] > 1 && state != _freeze[_names[i]]) hasAFreezeChanged = true;
            _freeze[_names[i]] = state;
        }
    }
}
