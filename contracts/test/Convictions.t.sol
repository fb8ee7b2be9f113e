// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {FaultTest} from "./FaultTest.sol";
import {FAULT_SLASH, OPERATOR_BOND} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title §3: what a conviction does, and whom it rewards
contract ConvictionsTest is FaultTest {
    uint256 private constant REWARD = FAULT_SLASH / 2;

    /// Watches the root chain's pool, and copies.
    address private immutable _copier = address(0xc0b1e5);

    // --------------------------------------------------------- announcements

    function test_announceFault_keepsTheRootBlockOfTheFirst() public {
        bytes32 announcement = keccak256("announcement");
        vm.assertEq(rootChain.announcements(announcement), 0, "not announced");
        vm.expectEmit(address(rootChain));
        emit IFaults.FaultAnnounced(announcement);
        vm.prank(alice);
        faults.announceFault(announcement);
        uint64 first = uint64(vm.getBlockNumber());
        vm.assertEq(rootChain.announcements(announcement), first, "announced");
        _rootBlocks(1);
        // Whoever repeats another's neither takes it nor makes it younger.
        bytes memory call = abi.encodeCall(IFaults.announceFault, (announcement));
        _assertRefused(_copier, call, abi.encodeWithSelector(IFaults.AlreadyAnnounced.selector, announcement));
        vm.assertEq(rootChain.announcements(announcement), first, "as it was");
    }

    // --------------------------------------------------------------- rewards

    /// Half of the slash is burned, and the other half the accuser's.
    function test_proofAnnouncedTwoRootBlocksBeforeIsRewarded() public {
        Accusation memory a = _guilty(Prover.Unbalanced);
        bytes memory call = _callOf(a);
        uint64 number = a.accused.proof.header.number;
        _announce(alice, call);
        _rootBlocks(2);
        uint256 balance = alice.balance;
        uint256 burned = address(0).balance;
        uint256 vault = address(rootChain).balance;
        vm.expectEmit(address(rootChain));
        emit IFaults.FaultProven(number, 5, alice, keccak256(call), FAULT_SLASH);
        vm.expectEmit(address(rootChain));
        emit IFaults.FaultRewarded(number, alice, REWARD);
        _send(alice, call);
        vm.assertEq(alice.balance, balance + REWARD, "alice");
        vm.assertEq(address(0).balance, burned + FAULT_SLASH - REWARD, "burned");
        vm.assertEq(address(rootChain).balance, vault - FAULT_SLASH, "vault");
        (uint64 rootBlock, uint128 reward) = rootChain.convictions(number);
        vm.assertEq(rootBlock, vm.getBlockNumber(), "convicted in");
        vm.assertEq(reward, 0, "the reward is paid");
        _assertRefused(alice, call, _reason(IFaults.AlreadyConvicted.selector, number));
    }

    function test_proofAnnouncedOneRootBlockBeforeConvictsWithoutReward() public {
        Accusation memory a = _guilty(Prover.Unbalanced);
        _announce(accuser, _callOf(a));
        _rootBlocks(1);
        uint256 balance = accuser.balance;
        _assertConvicts(a);
        vm.assertEq(accuser.balance, balance, "accuser");
        // Nor does waiting help.
        _rootBlocks(10);
        _assertRefused(a, _reason(IFaults.AlreadyConvicted.selector, a.accused.proof.header.number));
    }

    /// A copied proof halts the chain at once, and the reward is left to who announced it.
    function test_copyingAProofLeavesTheRewardToTheAnnouncer() public {
        Accusation memory a = _guilty(Prover.DoubleSpend);
        bytes memory call = _callOf(a);
        uint64 number = a.accused.proof.header.number;
        _announce(alice, call);
        _rootBlocks(2);
        _send(_copier, call);
        vm.assertEq(_copier.balance, 0, "the copier");
        (, uint128 reward) = rootChain.convictions(number);
        vm.assertEq(reward, REWARD, "the reward waits");
        // Announced after the conviction is announced by heart.
        _announce(_copier, call);
        _rootBlocks(2);
        _assertRefused(_copier, call, _reason(IFaults.AlreadyConvicted.selector, number));

        uint256 balance = alice.balance;
        vm.expectEmit(address(rootChain));
        emit IFaults.FaultRewarded(number, alice, REWARD);
        _send(alice, call);
        vm.assertEq(alice.balance, balance + REWARD, "alice");
        _assertRefused(alice, call, _reason(IFaults.AlreadyConvicted.selector, number));
    }

    /// It names the sender: shown by another it announces nothing.
    function test_copyingAnAnnouncementIsWorthless() public {
        Accusation memory a = _guilty(Prover.NotSigned);
        bytes memory call = _callOf(a);
        // The copier's lands first.
        vm.prank(_copier);
        faults.announceFault(_announcementOf(alice, call));
        _rootBlocks(2);
        uint256 snapshot = vm.snapshotState();
        _send(_copier, call);
        vm.assertEq(_copier.balance, 0, "the copier");
        vm.revertToState(snapshot);
        uint256 balance = alice.balance;
        _send(alice, call);
        vm.assertEq(alice.balance, balance + REWARD, "alice");
    }

    /// Evidence of any other kind against the block has the reward as well, if it was announced in time.
    function test_waitingRewardGoesToOtherEvidenceAnnouncedInTime() public {
        Accusation memory a = _guilty(Prover.Unbalanced);
        Accusation memory other = _accusation(Prover.NotSigned, a.accused);
        other.creations = a.creations;
        // Alice has signed: this proves nothing, announced or not.
        _announce(bob, _callOf(other));
        // Bob's evidence differs from carol's by a byte behind its end.
        bytes memory bobs = bytes.concat(_callOf(a), hex"00");
        _announce(bob, bobs);
        _rootBlocks(1);
        bytes memory carols = bytes.concat(_callOf(a), hex"01");
        _announce(carol, carols);
        _rootBlocks(1);
        _assertConvicts(a);

        uint64 number = a.accused.proof.header.number;
        _assertRefused(bob, _callOf(other), _reason(IFaults.NotAFault.selector));
        _assertRefused(carol, carols, _reason(IFaults.AlreadyConvicted.selector, number));
        uint256 balance = bob.balance;
        _send(bob, bobs);
        vm.assertEq(bob.balance, balance + REWARD, "bob");
        _assertRefused(carol, carols, _reason(IFaults.AlreadyConvicted.selector, number));
    }

    function test_waitingRewardIsPaidUntilTwoMepAfterTheBlock() public {
        Accusation memory a = _guilty(Prover.NotBefore);
        bytes memory call = _callOf(a);
        _announce(alice, call);
        _rootBlocks(2);
        _assertConvicts(a);
        uint64 until = a.accused.proof.header.timestamp + 2 * uint64(MEP);
        _advanceTo(until - 1);
        uint256 snapshot = vm.snapshotState();
        uint256 balance = alice.balance;
        _send(alice, call);
        vm.assertEq(alice.balance, balance + REWARD, "alice");
        vm.revertToState(snapshot);
        _advanceTo(until);
        _assertRefused(alice, call, _reason(IFaults.TooLateToProve.selector, until));
    }

    /// The evidence must hold when it is shown: that of an exit since ended earns nothing.
    function test_waitingRewardIsNotPaidForEvidenceThatLostItsObject() public {
        Accusation memory a = _guilty(Prover.Exiting);
        bytes memory call = _callOf(a);
        _announce(alice, call);
        _rootBlocks(2);
        _assertConvicts(a);
        // The exit is ended by the very spend that the block has.
        (bytes memory body, bytes memory signature) = (a.accused.body, _cutSignature(a.accused.witness));
        rootChain.challengeStandardExit(a.exit, body, signature);
        _assertRefused(alice, call, abi.encodeWithSelector(IRootChain.NotExiting.selector, a.exit.outputId));
    }

    function test_accuserThatRefusesEtherIsCredited() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        bytes memory call = _callOf(_guilty(Prover.NotMade));
        _announce(address(receiver), call);
        _rootBlocks(2);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Credited(address(receiver), ETHER, REWARD);
        _send(address(receiver), call);
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), REWARD, "credit");
    }

    // --------------------------------------------------- further convictions

    /// Each block that is not void is convicted at the cost of a slash, as long as there is a bond.
    function test_convictionOfALowerBlockMovesTheHalt() public {
        Accusation memory lower = _guilty(Prover.NotCanonical);
        Accusation memory higher = _guilty(Prover.Unbalanced);
        operations.fundBond{value: FAULT_SLASH + 1 ether}(FAULT_SLASH + 1 ether, 0);
        _assertConvicts(higher);
        _advance(100);
        _assertConvicts(lower);
        vm.assertEq(rootChain.head().haltedAt, _now(), "haltedFrom fell last");
        (uint64 rootBlock, uint128 reward) = rootChain.convictions(higher.accused.proof.header.number);
        vm.assertEq(rootBlock, vm.getBlockNumber() - 1, "the higher one's");
        vm.assertEq(reward, REWARD, "waits as well");
    }

    /// What waits for a block's accuser is paid though an earlier block was convicted since.
    function test_waitingRewardIsPaidAfterAnEarlierBlocksConviction() public {
        Accusation memory lower = _guilty(Prover.NotCanonical);
        Accusation memory higher = _guilty(Prover.DoubleSpend);
        bytes memory call = _callOf(higher);
        _announce(alice, call);
        _rootBlocks(2);
        _assertConvicts(higher);
        _assertConvicts(lower);
        uint256 balance = alice.balance;
        _send(alice, call);
        vm.assertEq(alice.balance, balance + REWARD, "alice");
        vm.assertEq(rootChain.head().haltedFrom, lower.accused.proof.header.number, "halted from");
    }

    /// The bond is spent: a second conviction halts earlier, and costs and earns what is left.
    function test_convictionsGoOnWhenTheBondIsSpent() public {
        Accusation[3] memory guilty = [_guilty(Prover.NotCanonical), _guilty(Prover.NotBefore), _guilty(Prover.NotMade)];
        vm.deal(carol, 3 ether);
        vm.prank(carol);
        operations.fundBond{value: 3}(3, 0);
        _assertConvicts(guilty[2]);
        bytes memory call = _callOf(guilty[1]);
        _announce(alice, call);
        _rootBlocks(2);
        uint256 balance = alice.balance;
        uint256 burned = address(0).balance;
        _send(alice, call);
        vm.assertEq(alice.balance, balance + 1, "half of three, rounded down");
        vm.assertEq(address(0).balance, burned + 2, "the rest is burned");
        _assertConvicts(guilty[0]);
        (uint128 faultPart, uint128 receiptPart) = rootChain.operatorBond();
        vm.assertEq(faultPart, 0, "nothing is left");
        vm.assertEq(receiptPart, OPERATOR_BOND - FAULT_SLASH, "but for receipts");
    }

    // ------------------------------------------------------------------ halt

    function test_haltedChainTakesNoDepositsBlocksOrBonds() public {
        Accusation memory a = _guilty(Prover.NotCanonical);
        uint64 number = a.accused.proof.header.number;
        _assertConvicts(a);
        bytes memory stopped = abi.encodeWithSelector(IRootChain.ChainStopped.selector, number, 0);
        vm.prank(alice);
        vm.expectRevert(stopped);
        rootChain.deposit{value: 1}(alice);
        vm.prank(alice);
        vm.expectRevert(stopped);
        rootChain.depositErc20(address(token), 1, alice);
        vm.expectRevert(stopped);
        operations.fundBond{value: 1}(1, 0);
        vm.prank(operator);
        vm.expectRevert(stopped);
        rootChain.submitBlock(number + 1, 0, 0, 0, 1, 0, 0, type(uint64).max);
        vm.expectRevert(stopped);
        operations.closeChain();
    }

    /// Exits of what was made before go on, and leave in their order; those of what a void block made do not start, and
    /// those that started give back their bond.
    function test_afterAHaltCoinsOfBeforeLeaveAndNoOthers() public {
        Placed memory before = _include(_payment(keccak256("before"), alice, ETHER, 1 ether));
        Placed memory same = _includeGuilty();
        Placed memory later = _include(_payment(keccak256("later"), bob, ETHER, 1 ether));
        _depositEther(carol, 5 ether);
        IRootChain.ExitRecord memory mint = _startExit(later, 0, Output(bob, ETHER, 1 ether));
        _send(accuser, _proofAgainst(same));

        vm.prank(carol);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.VoidBlock.selector, same.proof.header.number));
        rootChain.startStandardExit{value: BOND}(same.body, 0, same.proof, 0);
        IRootChain.ExitRecord memory honest = _startExit(before, 0, Output(alice, ETHER, 1 ether));
        _advanceTo(mint.key > honest.key ? mint.key : honest.key);
        uint256[2] memory balances = [alice.balance, bob.balance];
        _process(ETHER, _only(honest));
        _process(ETHER, _only(mint));
        vm.assertEq(alice.balance, balances[0] + 1 ether + BACK, "alice has her coin");
        vm.assertEq(bob.balance, balances[1] + BACK, "bob his bond alone");
    }

    /// The earliest exit of what a block made is paid when the block can no more be convicted, and not a second before.
    function test_nothingThatWasPaidBecomesVoid() public {
        _depositEther(carol, 5 ether);
        Placed memory guilty = _includeGuilty();
        IRootChain.ExitRecord memory exit = _startExit(guilty, 0, Output(carol, ETHER, 1 ether));
        uint64 until = guilty.proof.header.timestamp + 2 * uint64(MEP);
        vm.assertEq(exit.key, until, "the earliest key");
        _advanceTo(until - 1);
        uint256 balance = carol.balance;
        _process(ETHER, _only(exit));
        vm.assertEq(carol.balance, balance, "not yet");
        uint256 snapshot = vm.snapshotState();
        _send(accuser, _proofAgainst(guilty));
        _advance(1);
        _process(ETHER, _only(exit));
        vm.assertEq(carol.balance, balance + BACK, "void: the bond alone");
        vm.revertToState(snapshot);
        _advance(1);
        _assertRefused(accuser, _proofAgainst(guilty), _reason(IFaults.TooLateToProve.selector, until));
        _process(ETHER, _only(exit));
        vm.assertEq(carol.balance, balance + 1 ether + BACK, "paid for good");
    }

    /// A payment in a void block leaves in flight by its inputs, which were made before.
    function test_afterAHaltAPaymentInAVoidBlockLeavesInFlight() public {
        Coin memory coin = _made(alice, ETHER, 1 ether);
        Signed memory payment = _spendOf(ALICE_KEY, coin, bob);
        Placed memory void = _includeGuilty();
        _commitLeaf(payment.body, _witness(payment.signature, coin.proof.position));
        _send(accuser, _proofAgainst(void));
        Flight memory flight = _startInFlight(bob, _coins(coin), payment);
        _piggyback(bob, flight, _output(0));
        uint256 balance = bob.balance;
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        vm.assertEq(bob.balance, balance + 1 ether + _pieceBack(flight), "bob");
    }

    /// An exit by an input of a block that becomes void later pays nothing.
    function test_afterAHaltAnExitInProgressOfAVoidInputPaysNothing() public {
        Coin memory coin = _madeGuilty();
        Flight memory flight = _startInFlight(carol, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
        _piggyback(bob, flight, _output(0));
        _piggyback(alice, flight, _input(0));
        _send(accuser, _proofAgainst(Placed(coin.proof.creation, coin.proof.inclusion)));
        uint256[2] memory balances = [alice.balance, bob.balance];
        _advanceTo(flight.key);
        _processPieces(ETHER, flight);
        vm.assertEq(alice.balance, balances[0] + _pieceBack(flight), "alice");
        vm.assertEq(bob.balance, balances[1] + _pieceBack(flight), "bob");
        vm.expectRevert(abi.encodeWithSelector(IRootChain.VoidBlock.selector, coin.proof.inclusion.header.number));
        _startInFlight(carol, _coins(coin), _spendOf(ALICE_KEY, coin, carol));
    }

    /// A void block answers nothing.
    function test_afterAHaltAVoidBlockIsNoAnswer() public {
        Flight memory flight = _open();
        Placed memory void = _includeGuilty();
        Placed memory own = _include(flight.transaction.body);
        _challengeCanonicity(carol, flight, 0, _notIncluded(_rival(flight)));
        _send(accuser, _proofAgainst(void));
        vm.expectRevert(abi.encodeWithSelector(IRootChain.VoidBlock.selector, own.proof.header.number));
        _respond(alice, flight, own);
    }

    // ------------------------------------------------------------------ lock

    /// Whoever is paid a reward can call nothing meanwhile.
    function test_everyCallIsRefusedWhileARewardIsPaid() public {
        bytes[] memory calls = _stateChangingCalls();
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Accepts);
            receiver.reenter(address(rootChain), calls[i]);
            bytes memory call = _callOf(_guilty(Prover.NotCanonical));
            _announce(address(receiver), call);
            _rootBlocks(2);
            _send(address(receiver), call);
            vm.assertEq(receiver.reentryError(), IRootChain.Locked.selector, "the inner call was refused");
            vm.assertEq(address(receiver).balance, REWARD, "paid all the same");
            vm.revertToState(snapshot);
        }
    }

    // -------------------------------------------------------------- internals

    /// Commits a block whose only transaction pays carol, with a witness that is not canonical.
    function _includeGuilty() private returns (Placed memory) {
        return _include(_payment(keccak256("guilty"), carol, ETHER, 1 ether));
    }

    /// Returns a coin of alice's that such a block made.
    function _madeGuilty() private returns (Coin memory) {
        return _made(alice, ETHER, 1 ether);
    }

    function _cutSignature(bytes memory witness) private pure returns (bytes memory signature) {
        signature = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) {
            signature[i] = witness[i];
        }
    }
}
