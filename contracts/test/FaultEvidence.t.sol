// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {FaultTest} from "./FaultTest.sol";
import {vm} from "./Vm.sol";

/// @title §3: what every prover asks of the evidence
/// @notice Each test runs once for every prover, on a block that breaks its rule.
contract FaultEvidenceTest is FaultTest {
    modifier forEveryProver() {
        for (uint256 i = 0; i < PROVERS; ++i) {
            uint256 snapshot = vm.snapshotState();
            _prover = Prover(i);
            _;
            vm.revertToState(snapshot);
        }
    }

    Prover private _prover;

    function test_everyProver_convicts() public forEveryProver {
        _assertConvicts(_guilty(_prover));
    }

    function test_everyProver_refusesAHeaderThatWasNotCommitted() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        IRootChain.Header memory header = a.accused.proof.header;
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, header.number);
        header.timestamp += 1;
        _assertRefused(a, unknown);
        header.timestamp -= 1;
        header.depositCount += 1;
        _assertRefused(a, unknown);
        header.depositCount -= 1;
        header.txRoot = keccak256("another root");
        _assertRefused(a, unknown);
    }

    function test_everyProver_refusesTheHeaderOfAnotherBlock() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        a.accused.proof.header = _commit(keccak256("another block"), 1);
        if (_prover == Prover.DoubleSpend) a.other = a.accused;
        _assertRefused(a, _notIncludedIn(a.accused));
        a.accused.proof.header.number += 1;
        _assertRefused(a, _reason(IRootChain.UnknownHeader.selector, a.accused.proof.header.number));
    }

    function test_everyProver_refusesAWrongIndexOrSibling() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        a.accused.proof.txIndex = 1;
        _assertRefused(a, _notIncludedIn(a.accused));
        a.accused.proof.txIndex = 0;
        a.accused.proof.path = new bytes32[](1);
        _assertRefused(a, _notIncludedIn(a.accused));
    }

    function test_everyProver_refusesABodyOrWitnessOfAnotherLeaf() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        a.accused.body[3] ^= 0x01;
        _assertRefused(a, _notIncludedIn(a.accused));
        a.accused.body[3] ^= 0x01;
        a.accused.proof.witnessHash = keccak256("another witness");
        _assertRefused(a, _notIncludedIn(a.accused));
    }

    /// R1 to R4 read the witness; the others are spared it.
    function test_proversOfTheWitness_refuseAnotherOne() public forEveryProver {
        if (_prover > Prover.NotSigned) return;
        Accusation memory a = _guilty(_prover);
        a.accused.witness = bytes.concat(a.accused.witness, hex"00");
        _assertRefused(a, _reason(IFaults.NotTheWitness.selector));
    }

    function test_everyProver_convictsUntilTwoMepAfterTheBlock() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        uint64 until = a.accused.proof.header.timestamp + 2 * uint64(MEP);
        uint256 snapshot = vm.snapshotState();
        _advanceTo(until - 1);
        _assertConvicts(a);
        vm.revertToState(snapshot);
        _advanceTo(until);
        _assertRefused(a, _reason(IFaults.TooLateToProve.selector, until));
    }

    /// The transactions of a void block count for nothing, its faults included.
    function test_everyProver_refusesAVoidBlock() public forEveryProver {
        Accusation memory earlier = _guilty(Prover.NotCanonical);
        Accusation memory a = _guilty(_prover);
        _assertConvicts(earlier);
        _assertRefused(a, _reason(IRootChain.VoidBlock.selector, a.accused.proof.header.number));
    }

    /// A block is convicted once; without an announcement nothing waits for a second accuser.
    function test_everyProver_convictsABlockOnce() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        _assertConvicts(a);
        _assertRefused(a, _reason(IFaults.AlreadyConvicted.selector, a.accused.proof.header.number));
    }

    /// A body that is not canonical is for R1 alone.
    function test_everyOtherProver_leavesABodyThatIsNotCanonicalToR1() public forEveryProver {
        if (_prover == Prover.NotCanonical) return;
        Accusation memory a = _guilty(_prover);
        bytes memory body = bytes.concat(a.accused.body, hex"00");
        a.accused = _commitLeaf(body, a.accused.witness);
        _assertRefused(a, _reason(IRootChain.NotCanonical.selector));
        a.prover = Prover.NotCanonical;
        _assertConvicts(a);
    }

    function test_proversOfTheWitness_leaveOneThatIsNotCanonicalToR1() public forEveryProver {
        if (_prover == Prover.NotCanonical || _prover > Prover.NotSigned) return;
        Accusation memory a = _guilty(_prover);
        a.accused = _commitLeaf(a.accused.body, bytes.concat(a.accused.witness, hex"00"));
        _assertRefused(a, _reason(IRootChain.NotCanonical.selector));
        a.prover = Prover.NotCanonical;
        _assertConvicts(a);
    }

    function test_proversOfAnInput_refuseOneThatTheTransactionDoesNotHave() public forEveryProver {
        bool isOfAnInput =
            (_prover > Prover.NotCanonical && _prover < Prover.Unbalanced) || _prover > Prover.DoubleSpend;
        if (!isOfAnInput) return;
        Accusation memory a = _guilty(_prover);
        a.input = 1;
        a.creations = new IFaults.Creation[](2);
        _assertRefused(a, _reason(IFaults.NoSuchInput.selector, 1));
    }

    /// What a prover finds wrong with its block, no other finds.
    function test_everyOtherProver_sparesIt() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        for (uint256 i = 0; i < PROVERS; ++i) {
            if (i == uint256(_prover)) continue;
            Accusation memory other = abi.decode(abi.encode(a), (Accusation));
            other.prover = Prover(i);
            vm.prank(accuser);
            (bool success,) = address(rootChain).call(_callOf(other));
            vm.assertFalse(success, "convicted by another rule");
        }
        _assertConvicts(a);
    }

    /// A block whose reward is paid is done with, whatever else is shown.
    function test_everyProver_looksNoFurtherOnceTheRewardIsPaid() public forEveryProver {
        Accusation memory a = _guilty(_prover);
        bytes memory call = _callOf(a);
        _announce(accuser, call);
        _rootBlocks(2);
        _send(accuser, call);
        // Evidence that proves nothing.
        a.accused.witness = a.other.body = a.exitBody = "";
        a.creations = new IFaults.Creation[](1);
        a.exit.key += 1;
        if (_prover == Prover.DoubleSpend) a.other = a.accused;
        bytes memory convicted = _reason(IFaults.AlreadyConvicted.selector, a.accused.proof.header.number);
        _assertRefused(a, convicted);
        _advance(3 * MEP);
        _assertRefused(a, convicted);
    }

    /// No lie convicts a valid block: true evidence, with random bytes of its calldata changed.
    function testFuzz_noProverConvictsAValidBlock(uint256 seed) public {
        Accusation[] memory innocent = _innocent();
        for (uint256 i = 0; i < innocent.length; ++i) {
            bytes memory call = _callOf(innocent[i]);
            _assertNobodyConvicted(call);
            for (uint256 changes = 1 + seed % 3; changes != 0; --changes) {
                seed = uint256(keccak256(abi.encode(seed)));
                call[4 + seed % (call.length - 4)] ^= bytes1(uint8(1 + (seed >> 128) % 255));
                _assertNobodyConvicted(call);
            }
        }
    }

    /// Pieces of evidence that belong together, in each other's places.
    function testFuzz_noProverConvictsAValidBlockByEvidenceOfAnother(uint256 seed) public {
        Accusation[] memory innocent = _innocent();
        for (uint256 i = 0; i < innocent.length; ++i) {
            Accusation memory a = innocent[i];
            seed = uint256(keccak256(abi.encode(seed)));
            if (seed & 1 != 0) a.accused = innocent[(seed >> 8) % PROVERS].accused;
            if (seed & 2 != 0) a.other = innocent[(seed >> 16) % PROVERS].accused;
            if (seed & 4 != 0) a.origin = _originOf(innocent[(seed >> 24) % PROVERS].accused);
            if (seed & 8 != 0) a.creations = innocent[(seed >> 32) % PROVERS].creations;
            if (seed & 16 != 0) a.exitBody = innocent[(seed >> 40) % PROVERS].accused.body;
            if (seed & 32 != 0) a.outputId = bytes32(seed);
            if (seed & 64 != 0) a.piece = uint8(seed >> 48);
            if (seed & 128 != 0 && a.creations.length != 0) a.creations[0].index = uint64(seed >> 56) % 4;
            _assertNobodyConvicted(_callOf(a));
        }
    }

    /// With any gas at all a proof either convicts or reverts: it is never refused for a reason of its own.
    function test_everyProver_givesNoOtherVerdictForWantOfGas() public forEveryProver {
        bytes memory call = _callOf(_guilty(_prover));
        for (uint256 gas = 30_000; gas < 400_000; gas += 2477) {
            uint256 snapshot = vm.snapshotState();
            vm.prank(accuser);
            (bool success, bytes memory reason) = address(rootChain).call{gas: gas}(call);
            bool isForGas = reason.length == 0 || bytes4(reason) == IRootChain.NotEnoughGas.selector;
            vm.assertTrue(success || isForGas, "another verdict");
            vm.assertEq(rootChain.head().haltedFrom != 0, success, "halted");
            vm.revertToState(snapshot);
        }
        _send(accuser, call);
    }

    // -------------------------------------------------------------- internals

    /// Returns, for every prover, a valid block with all the evidence that it asks for, true to the letter: coins of
    /// deposits and of blocks, spent at the very second of their freeze or free of any.
    function _innocent() private returns (Accusation[] memory innocent) {
        innocent = new Accusation[](PROVERS);
        (Coin memory made, Leaf memory maker) = _madeByLeaf(alice, 1 ether);
        Coin[] memory coins = _coins(made, _deposited(alice, ETHER, 2 ether));
        Leaf memory leaf = _commitOver(coins, _outputs(Output(bob, ETHER, 3 ether)));
        Leaf memory later = _commitSpend(_deposited(alice, ETHER, 1 ether));
        for (uint256 i = 0; i < PROVERS; ++i) {
            innocent[i] = _accusation(Prover(i), leaf);
            innocent[i].origin = _originOf(maker);
            innocent[i].creations = _creationsOf(coins);
            innocent[i].input = coins[0].id == made.id ? 0 : 1;
            innocent[i].other = later;
            innocent[i].outputId = made.id;
        }
        innocent[uint256(Prover.NotDeposited)].input = coins[0].id == made.id ? 1 : 0;

        Coin memory exited = _deposited(alice, ETHER, 1 ether);
        Flight memory flight = _startInFlight(carol, _coins(exited), _spendOf(ALICE_KEY, exited, bob));
        _advanceTo(flight.start + F);
        innocent[uint256(Prover.ExitingInFlight)] =
            _accusation(Prover.ExitingInFlight, _commitOver(_coins(exited), _outputs(Output(bob, ETHER, 1 ether))));
        innocent[uint256(Prover.ExitingInFlight)].exitBody = flight.transaction.body;

        Coin memory exiting = _deposited(alice, ETHER, 1 ether);
        IRootChain.ExitRecord memory exit =
            _startExitOfDeposit(exiting.proof.position.depositNonce(), alice, ETHER, 1 ether);
        Coin memory settled = _deposited(alice, ETHER, 1 ether);
        IRootChain.ExitRecord memory paid =
            _startExitOfDeposit(settled.proof.position.depositNonce(), alice, ETHER, 1 ether);
        _advanceTo(exit.key - MEP / 2);
        Coin[] memory both = _coins(exiting, settled);
        Leaf memory last = _commitOver(both, _outputs(Output(bob, ETHER, 2 ether)));
        innocent[uint256(Prover.Exiting)] = _accusation(Prover.Exiting, last);
        innocent[uint256(Prover.Exiting)].input = both[0].id == exiting.id ? 0 : 1;
        innocent[uint256(Prover.Exiting)].exit = exit;
        innocent[uint256(Prover.Settled)] = _accusation(Prover.Settled, last);
        innocent[uint256(Prover.Settled)].input = both[0].id == settled.id ? 0 : 1;
        _advanceTo(exit.key);
        _process(ETHER, _only(paid));
    }

    function _assertNobodyConvicted(bytes memory call) private {
        vm.prank(accuser);
        (bool success,) = address(rootChain).call(call);
        vm.assertFalse(success, "convicted");
        vm.assertEq(rootChain.head().haltedFrom, 0, "halted");
    }
}
