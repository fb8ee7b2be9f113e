// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Position, outputPosition} from "../src/types/Position.sol";
import {LargestTest} from "./LargestTest.sol";
import {vm} from "./Vm.sol";

/// @title What the dearest proof of each kind costs its sender, as a receipt would say
/// @notice As `GasTest`: under `forge test --isolate` each test prints `GAS <name> <gas>`. Every block has 2^20 leaves and
/// every transaction 16 inputs and 16 outputs. The conviction is the first, announced in time, with burn and reward.
contract FaultGasTest is LargestTest {
    function test_gas_announce_fault() public {
        _announce(alice, "call");
        _report("announce_fault");
    }

    /// Everything is in order but the last placement.
    function test_gas_prove_fault_r1() public {
        Coin[] memory coins = _manyCoins();
        coins[15].proof.position = Position.wrap((1 << 63) | 1);
        _prove("prove_fault_r1", _accusation(Prover.NotCanonical, _commitMany(coins, ALICE_KEY, ETHER)));
    }

    /// A leaf that is no transaction may be longer than any.
    function test_gas_prove_fault_r1_64_kib() public {
        bytes memory body = new bytes(1 << 16);
        for (uint256 i = 0; i < body.length; ++i) {
            body[i] = 0xff;
        }
        Leaf memory leaf = _commitLeafAt(body, "", TX_COUNT - 1, TX_COUNT);
        _prove("prove_fault_r1_64_kib", _accusation(Prover.NotCanonical, leaf));
    }

    function test_gas_prove_fault_r2() public {
        Coin[] memory coins = _manyCoins();
        coins[15].proof.position = outputPosition(rootChain.head().nextNumber, TX_COUNT - 1, 15);
        Accusation memory a = _accusation(Prover.NotBefore, _commitMany(coins, ALICE_KEY, ETHER));
        a.input = 15;
        _prove("prove_fault_r2", a);
    }

    /// Whose witness alone does not decode: all of the leaf is shown.
    function test_gas_prove_fault_r3_not_made() public {
        Coin[] memory coins = _manyCoins();
        bytes memory body = _manyBody(coins, ETHER);
        Coin[] memory placed = _manyCoins();
        placed[15].proof.position = Position.wrap((1 << 63) | 1);
        bytes memory witness = _witness(_noSignature(), placed);
        Leaf memory maker = _commitLeafAt(body, witness, 613, TX_COUNT);
        coins[15] = _outputOf(maker, 15, Output(alice, ETHER, 1 ether));
        _sort(coins);
        Accusation memory a = _accusation(Prover.NotMade, _commitMany(coins, ALICE_KEY, ETHER));
        for (uint8 i = 0; i < MOST; ++i) {
            if (coins[i].proof.position.blockNumber() == maker.proof.header.number) a.input = i;
        }
        a.origin = _originOf(maker);
        _prove("prove_fault_r3_not_made", a);
    }

    function test_gas_prove_fault_r3_not_deposited() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _deposited(alice, ETHER, 1 ether);
        Coin[] memory coins = _manyCoins();
        coins[15] = coin;
        coins[15].proof.position = _deposited(alice, ETHER, 1 ether).proof.position;
        _sort(coins);
        Accusation memory a = _accusation(Prover.NotDeposited, _commitMany(coins, ALICE_KEY, ETHER));
        a.creations = _creationsOf(coins);
        for (uint8 i = 0; i < MOST; ++i) {
            if (coins[i].id == coin.id) a.input = i;
        }
        a.creations[a.input].index = 0;
        _prove("prove_fault_r3_not_deposited", a);
    }

    function test_gas_prove_fault_r4() public {
        Coin[] memory coins = _manyCoins();
        Accusation memory a = _accusation(Prover.NotSigned, _commitMany(coins, BOB_KEY, ETHER));
        a.creations = _creationsOf(coins);
        a.input = 15;
        _prove("prove_fault_r4", a);
    }

    /// Balanced in all assets but the last of 16.
    function test_gas_prove_fault_r5() public {
        Coin[] memory coins = _manyCoins();
        Output[] memory outputs = new Output[](MOST);
        for (uint160 i = 0; i < MOST; ++i) {
            outputs[i] = Output(alice, address(i), i == 15 ? 2 ether : 1 ether);
        }
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), outputs);
        bytes memory witness = _witness(transaction.signature, coins);
        Leaf memory leaf = _commitLeafAt(transaction.body, witness, TX_COUNT - 1, TX_COUNT);
        Accusation memory a = _accusation(Prover.Unbalanced, leaf);
        a.creations = _creationsOf(coins);
        _prove("prove_fault_r5", a);
    }

    function test_gas_prove_fault_r6() public {
        Coin[] memory coins = _manyCoins();
        Leaf memory other = _commitMany(coins, ALICE_KEY, ETHER);
        Accusation memory a = _accusation(Prover.DoubleSpend, _commitMany(coins, ALICE_KEY, address(token)));
        a.other = other;
        a.outputId = coins[15].id;
        _prove("prove_fault_r6", a);
    }

    function test_gas_prove_fault_r7_settled() public {
        (Coin[] memory coins, uint8 input, IRootChain.ExitRecord memory exit) = _exitingAmongMany();
        _advanceTo(exit.key);
        _process(ETHER, _only(exit));
        Accusation memory a = _accusation(Prover.Settled, _commitMany(coins, ALICE_KEY, ETHER));
        a.input = input;
        _prove("prove_fault_r7_settled", a);
    }

    function test_gas_prove_fault_r7_exiting() public {
        (Coin[] memory coins, uint8 input, IRootChain.ExitRecord memory exit) = _exitingAmongMany();
        _advanceTo(exit.key);
        Accusation memory a = _accusation(Prover.Exiting, _commitMany(coins, ALICE_KEY, ETHER));
        a.input = input;
        a.exit = exit;
        _prove("prove_fault_r7_exiting", a);
    }

    function test_gas_prove_fault_r7_in_flight() public {
        Coin[] memory coins = new Coin[](MOST);
        Output[] memory outputs = new Output[](MOST);
        for (uint256 i = 0; i < MOST; ++i) {
            coins[i] = _deposited(alice, ETHER, 1 ether);
            outputs[i] = Output(bob, ETHER, 1 ether);
        }
        _sort(coins);
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), outputs);
        Flight memory flight = _startInFlight(carol, coins, transaction);
        _advance(F + 1);
        Accusation memory a = _accusation(Prover.ExitingInFlight, _commitMany(coins, ALICE_KEY, ETHER));
        a.exitBody = flight.transaction.body;
        a.input = a.piece = 15;
        _prove("prove_fault_r7_in_flight", a);
    }

    function test_gas_prove_broken_receipt() public {
        IFaults.Receipt memory receipt;
        IFaults.BrokenPromise memory broken;
        receipt.number = rootChain.head().nextNumber;
        receipt.count = TX_COUNT;
        receipt.by = _now() + 60;
        broken.index = TX_COUNT - 1;
        broken.promised = keccak256("promised leaf");
        broken.held = keccak256("held leaf");
        (receipt.root, broken.promisedPath) = _above(broken.promised, broken.index, TX_COUNT);
        bytes32 txRoot;
        (txRoot, broken.heldPath) = _above(broken.held, broken.index, TX_COUNT);
        IRootChain.Header memory header = _commit(txRoot, TX_COUNT);
        bytes32 digest = oracle.receiptDigest(receipt.number, 0, TX_COUNT, receipt.root, receipt.by, address(rootChain));
        (bytes32 r, bytes32 vs) = vm.signCompact(0x09e4, digest);
        bytes memory call = abi.encodeCall(IFaults.proveBrokenReceipt, (receipt, bytes.concat(r, vs), header, broken));
        _proveCall("prove_broken_receipt", call);
    }

    // -------------------------------------------------------------- internals

    /// Returns such coins with a deposit among them that exits, and which input it is.
    function _exitingAmongMany() private returns (Coin[] memory coins, uint8 input, IRootChain.ExitRecord memory exit) {
        coins = _manyCoins();
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        exit = _startExitOfDeposit(coin.proof.position.depositNonce(), alice, ETHER, 1 ether);
        coins[15] = coin;
        _sort(coins);
        for (uint8 i = 0; i < MOST; ++i) {
            if (coins[i].id == coin.id) input = i;
        }
    }

    function _noSignature() private pure returns (bytes memory) {
        return abi.encode(1, 1);
    }

    function _prove(string memory name, Accusation memory a) private {
        _proveCall(name, _callOf(a));
        vm.assertEq(rootChain.head().haltedFrom, a.accused.proof.header.number, "halted");
    }
}
