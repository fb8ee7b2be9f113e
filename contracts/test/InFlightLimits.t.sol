// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Decision} from "../src/types/InFlightState.sol";
import {NO_PIECES, PieceSet} from "../src/types/PieceSet.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";
import {HostileToken} from "./mocks/HostileToken.sol";

/// @title What the widest in-flight exits cost: 16 inputs and 16 outputs
contract InFlightLimitsTest is InFlightTest {
    /// An eighth of what one transaction may have (EIP-7825).
    uint256 private constant GAS_MAX = 2 ** 24 / 8;
    uint256 private constant WIDTH = 16;
    PieceSet private constant ALL_INPUTS = PieceSet.wrap(0xffff);
    /// Keys to clear before the exit's.
    uint256 private constant KEYS = 150;

    /// Of as many assets, each coin made in two blocks, every piece claimed.
    function test_everyCallOfTheWidestExitIsFarWithinATransactionsGas() public {
        Coin[] memory older = new Coin[](WIDTH);
        Coin[] memory younger = new Coin[](WIDTH);
        for (uint256 i = 0; i < WIDTH; ++i) {
            Output memory output = Output(alice, i == 0 ? ETHER : address(uint160(0xa55e7 + i)), uint128(i + 1));
            bytes memory body = _payment(keccak256(abi.encode(i)), alice, output.asset, output.amount);
            older[i] = _coinOf(_includeAt(body, 613, 1 << 20), 0, output);
            younger[i] = _coinOf(_includeAt(body, 613, 1 << 20), 0, output);
        }
        _sort(older);
        _sort(younger);
        Signed memory transaction = _signed(ALICE_KEY, _ids(younger), _mirrored(younger, bob));

        uint256 gas = _coldGas();
        Flight memory flight = _startInFlight(carol, younger, transaction);
        _assertFarWithin(gas, "start");
        for (uint8 i = 0; i < WIDTH; ++i) {
            _piggyback(alice, flight, _input(i));
            _piggyback(bob, flight, _output(i));
        }

        gas = _coldGas();
        inFlight.improveInFlightExit(transaction.body, flight.data, ALL_INPUTS, _proofs(older), new uint64[](0));
        _assertFarWithin(gas, "improve");
        flight.coins = older;
        flight.data = _data(carol, older);
        flight.key = _keyFrom(flight.start, older);

        Signed memory rival = _signed(ALICE_KEY, _ids(older), _mirrored(older, carol));
        Placed memory own = _include(transaction.body);
        Placed memory rivals = _include(rival.body);
        gas = _coldGas();
        _challengeCanonicity(carol, flight, uint8(WIDTH - 1), _competitor(rival, rivals.proof));
        _assertFarWithin(gas, "competitor");
        gas = _coldGas();
        _respond(bob, flight, own);
        _assertFarWithin(gas, "response");
        gas = _coldGas();
        _challengePiece(carol, flight, uint8(WIDTH - 1), _competitor(rival, rivals.proof));
        _assertFarWithin(gas, "piece challenge");

        _advanceTo(flight.key);
        for (uint256 i = 0; i < WIDTH; ++i) {
            gas = _coldGas();
            _processPieces(older[i].output.asset, flight);
            _assertFarWithin(gas, "process");
        }
        _assertOpen(flight, NO_PIECES, Decision.Canonical);
        gas = _coldGas();
        _closeFlight(flight);
        _assertFarWithin(gas, "close");
    }

    /// Of one asset: one call claims all pieces, and one settles and pays them.
    function test_widestExitOfOneAssetIsClaimedAndPaidInACallEach() public {
        Coin[] memory coins = _coinsOf(ETHER);
        _depositEther(carol, uint128(100 * WIDTH));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _mirrored(coins, alice));
        Flight memory flight = _startInFlight(carol, coins, transaction);
        uint256 gas = _coldGas();
        _piggyback(alice, flight, PieceSet.wrap(type(uint32).max));
        _assertFarWithin(gas, "piggyback");
        uint256 balance = alice.balance;
        _advanceTo(flight.key);
        gas = _coldGas();
        _processPieces(ETHER, flight);
        _assertFarWithin(gas, "process");
        vm.assertEq(alice.balance, balance + 100 * WIDTH + 2 * WIDTH * _pieceBack(flight), "alice");
        _assertOpen(flight, NO_PIECES, Decision.Canonical);
    }

    /// The dearest piece decides its exit, while its token, its owner and the processor burn what they are given. A long
    /// run of keys to clear before it leaves that much, whatever gas the call has: it does nothing, or pays.
    function test_keysToClearNeverStarveTheDearestPiece() public {
        HostileToken hostile = new HostileToken();
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.BurnsGas);
        HostileReceiver caller = new HostileReceiver(HostileReceiver.Behaviour.BurnsGas);
        Coin[] memory coins = _coinsOf(address(hostile));
        _clearableKeys(hostile);
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), _mirrored(coins, address(receiver)));
        Flight memory flight = _startInFlight(bob, coins, transaction);
        vm.deal(address(receiver), 1 ether);
        _piggyback(address(receiver), flight, _output(0));
        _advanceTo(flight.key);
        hostile.behave(HostileToken.Behaviour.BurnsGas);

        bytes memory call = abi.encodeCall(
            IRootChain.processExits, (address(hostile), new IRootChain.ExitRecord[](0), _onlyPieces(flight, _output(0)))
        );
        uint256 processed = 0;
        for (uint256 gasLimit = 800_000; gasLimit < 2_400_000; gasLimit += 4000) {
            uint256 snapshot = vm.snapshotState();
            _coldGas();
            vm.cool(address(hostile));
            vm.cool(address(receiver));
            vm.cool(address(caller));
            vm.prank(address(caller));
            (bool success,) = address(rootChain).call{gas: gasLimit}(call);
            vm.assertTrue(success, "never starved");
            if (_stored(flight).decision != Decision.None) ++processed;
            vm.revertToState(snapshot);
        }
        vm.assertTrue(processed != 0, "and processed in the end");
    }

    // -------------------------------------------------------------- internals

    /// Returns 16 coins of alice. They are of blocks: settled in fresh slots, which costs more than with deposits.
    function _coinsOf(address asset) private returns (Coin[] memory coins) {
        coins = new Coin[](WIDTH);
        for (uint256 i = 0; i < WIDTH; ++i) {
            Placed memory placed = _include(_payment(keccak256(abi.encode(i)), alice, asset, 100));
            coins[i] = _coinOf(placed, 0, Output(alice, asset, 100));
        }
        _sort(coins);
    }

    /// Returns outputs of one owner, the assets and amounts of coins in the opposite order.
    function _mirrored(Coin[] memory coins, address owner) private pure returns (Output[] memory outputs) {
        outputs = new Output[](coins.length);
        for (uint256 i = 0; i < coins.length; ++i) {
            Output memory output = coins[coins.length - 1 - i].output;
            outputs[i] = Output(owner, output.asset, output.amount);
        }
    }

    /// Lists keys of a token without exits: bob starts some, and challenges them himself.
    function _clearableKeys(HostileToken hostile) private {
        hostile.mint(bob, KEYS);
        vm.prank(bob);
        hostile.approve(address(rootChain), KEYS);
        for (uint256 i = 0; i < KEYS; ++i) {
            vm.prank(bob);
            uint64 nonce = rootChain.depositErc20(address(hostile), 1, bob);
            IRootChain.ExitRecord memory record = _startExitOfDeposit(nonce, bob, address(hostile), 1);
            (bytes memory spend, bytes memory signature) =
                _signedPayment(BOB_KEY, record.outputId, carol, record.asset, 1);
            vm.prank(bob);
            rootChain.challengeStandardExit(record, spend, signature);
            _advance(G);
        }
    }

    /// Returns the gas that is left, after making the contract as cold as in a transaction of its own.
    function _coldGas() private returns (uint256) {
        vm.cool(address(rootChain));
        return gasleft();
    }

    function _assertFarWithin(uint256 gasBefore, string memory what) private view {
        vm.assertTrue(gasBefore - gasleft() < GAS_MAX, what);
    }
}
