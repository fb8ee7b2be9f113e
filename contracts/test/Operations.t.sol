// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IOperations} from "../src/interfaces/IOperations.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {FaultTest} from "./FaultTest.sol";
import {FAULT_SLASH, OPERATOR_BOND, RECEIPT_SLASH} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title §2, §3, §8: the operator's bond and key, and the end of the chain
contract OperationsTest is FaultTest {
    uint64 private constant LEAD = 300;

    address private immutable _second = vm.addr(0x09e5);
    address private immutable _third = vm.addr(0x09e6);

    // ------------------------------------------------------------------ bond

    function test_constructor_postsTheBond() public {
        (uint128 faultPart, uint128 receiptPart) = rootChain.operatorBond();
        vm.assertEq(faultPart, FAULT_SLASH, "for faults");
        vm.assertEq(receiptPart, OPERATOR_BOND - FAULT_SLASH, "for receipts");
        vm.assertEq(rootChain.bonds().faultSlash, FAULT_SLASH, "fault slash");
        vm.assertEq(rootChain.bonds().receiptSlash, RECEIPT_SLASH, "receipt slash");
        vm.recordLogs();
        IRootChain fresh = _deploy(_parameters());
        // Its only event.
        vm.assertEq(vm.getRecordedLogs()[0].topics[0], IOperations.BondFunded.selector, "funded");
        vm.assertEq(address(fresh).balance, OPERATOR_BOND, "held");
    }

    function test_fundBond_addsToItsParts() public {
        vm.expectEmit(address(rootChain));
        emit IOperations.BondFunded(alice, 3, 4);
        vm.prank(alice);
        operations.fundBond{value: 7}(3, 4);
        _assertBond(FAULT_SLASH + 3, OPERATOR_BOND - FAULT_SLASH + 4);
        // What is held apart is nobody's exit.
        _assertOwed(ETHER, 0);
    }

    function test_fundBond_revertsIfThePartsAreNotWhatWasSent() public {
        vm.expectRevert(abi.encodeWithSelector(IOperations.WrongParts.selector, 6, 7));
        operations.fundBond{value: 6}(3, 4);
        uint256 most = type(uint128).max;
        vm.expectRevert(abi.encodeWithSelector(IOperations.WrongParts.selector, 0, 2 * most));
        operations.fundBond(type(uint128).max, type(uint128).max);
    }

    function test_fundBond_revertsIfClosed() public {
        _closeNow();
        vm.expectRevert(abi.encodeWithSelector(IRootChain.ChainStopped.selector, 0, _now()));
        operations.fundBond{value: 1}(1, 0);
    }

    function test_withdrawBond_paysTheOperatorTwoMepAfterTheClosing() public {
        _closeNow();
        _advance(2 * MEP - 1);
        _assertWithdrawalRefused(_reason(IOperations.BondLocked.selector));
        _advance(1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotOperator.selector, alice));
        operations.withdrawBond(alice);
        vm.prank(operator);
        vm.expectRevert(IRootChain.ZeroAddress.selector);
        operations.withdrawBond(address(0));

        uint256 balance = carol.balance;
        vm.expectEmit(address(rootChain));
        emit IOperations.BondWithdrawn(carol, OPERATOR_BOND);
        vm.prank(operator);
        operations.withdrawBond(carol);
        vm.assertEq(carol.balance, balance + OPERATOR_BOND, "carol");
        vm.assertEq(address(rootChain).balance, 0, "vault");
        _assertBond(0, 0);
        // Once.
        vm.prank(operator);
        operations.withdrawBond(carol);
        vm.assertEq(carol.balance, balance + OPERATOR_BOND, "carol");
    }

    /// Exits, credits and others' bonds stay.
    function test_withdrawBond_takesNothingOfOthers() public {
        _exitingDeposit(alice, 5 ether);
        _closeNow();
        _advance(2 * MEP);
        vm.prank(operator);
        operations.withdrawBond(operator);
        vm.assertEq(operator.balance, OPERATOR_BOND, "operator");
        vm.assertEq(address(rootChain).balance, 5 ether + BOND, "vault");
    }

    function test_withdrawBond_creditsOneWhoRefusesIt() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        _closeNow();
        _advance(2 * MEP);
        vm.prank(operator);
        operations.withdrawBond(address(receiver));
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), OPERATOR_BOND, "credit");
    }

    function test_withdrawBond_revertsIfNotClosed() public {
        _advance(10 * SUNSET);
        _assertWithdrawalRefused(_reason(IOperations.BondLocked.selector));
    }

    function test_withdrawBond_revertsForEverOnceHalted() public {
        _assertConvicts(_guilty(Prover.NotCanonical));
        _advance(10 * SUNSET);
        _assertWithdrawalRefused(_reason(IOperations.BondLocked.selector));
    }

    /// Closed does not mean innocent: what was committed last can be convicted, and costs as much.
    function test_withdrawBond_revertsIfHaltedAfterTheClosing() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.sunset = MEP;
        rootChain = _deploy(parameters);
        faults = IFaults(address(rootChain));
        operations = IOperations(address(rootChain));
        _advance(12);
        Accusation memory a = _guilty(Prover.NotCanonical);
        _advance(MEP);
        operations.closeChain();
        uint64 closedAt = _now();
        _advance(1);
        _assertConvicts(a);
        vm.assertEq(rootChain.head().closedAt, closedAt, "closed all the same");
        _advance(2 * MEP);
        _assertWithdrawalRefused(_reason(IOperations.BondLocked.selector));
    }

    /// What a receipt cost before is not there to withdraw.
    function test_withdrawBond_revertsForAnotherKey() public {
        _rotate(_second, 400);
        _closeNow();
        _advance(2 * MEP);
        vm.prank(_second);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotOperator.selector, _second));
        operations.withdrawBond(_second);
    }

    // -------------------------------------------------------------- rotation

    function test_rotation_handsTheBlocksOver() public {
        uint64 first = rootChain.head().nextNumber + LEAD + 1;
        vm.expectEmit(address(rootChain));
        emit IOperations.OperatorProposed(_second);
        vm.prank(operator);
        operations.proposeOperator(_second);
        vm.assertEq(rootChain.proposedOperator(), _second, "proposed");
        vm.expectEmit(address(rootChain));
        emit IOperations.OperatorAccepted(_second, first);
        vm.prank(_second);
        operations.acceptOperator(first);
        vm.assertEq(rootChain.proposedOperator(), address(0), "accepted");
        vm.assertEq(rootChain.operatorOf(first - 1), operator, "the old key's last");
        vm.assertEq(rootChain.operatorOf(first), _second, "the new key's first");
        vm.assertEq(rootChain.operatorOf(type(uint64).max), _second, "and all after");

        _skipTo(first - 1);
        _assertNotOperator(_second);
        _commit(0, 0);
        _advance(12);
        _assertNotOperator(operator);
        _commitAs(_second);
        _commitAs(_second);
        _assertNotOperator(operator);
        vm.assertEq(rootChain.operatorOf(first - 1), operator, "past keys stay on record");
        vm.assertEq(rootChain.operatorOf(0), operator, "from the start");
        vm.assertEq(rootChain.operatorOf(first), _second, "the new key");
    }

    function test_rotation_goesOnFromKeyToKey() public {
        address[3] memory keys = [operator, _second, _third];
        uint64[3] memory firsts;
        for (uint256 i = 1; i < 3; ++i) {
            firsts[i] = rootChain.head().nextNumber + LEAD + 1;
            vm.prank(keys[i - 1]);
            operations.proposeOperator(keys[i]);
            vm.prank(keys[i]);
            operations.acceptOperator(firsts[i]);
            _skipTo(firsts[i]);
            // The new key's already, though it has committed nothing.
            if (i == 2) _commitAs(keys[i]);
        }
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(rootChain.operatorOf(firsts[i]), keys[i], "first");
            if (i != 0) vm.assertEq(rootChain.operatorOf(firsts[i] - 1), keys[i - 1], "last");
        }
    }

    function test_proposeOperator_revertsIfNotTheOperatorOfTheNextBlock() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotOperator.selector, alice));
        operations.proposeOperator(alice);
        uint64 first = _rotate(_second, LEAD + 1);
        _skipTo(first);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotOperator.selector, operator));
        operations.proposeOperator(operator);
        vm.prank(_second);
        operations.proposeOperator(_third);
    }

    /// A key that was rotated out leaves no proposal behind.
    function test_proposeOperator_revertsWhileARotationIsPending() public {
        uint64 first = _rotate(_second, LEAD + 1);
        bytes memory pending = abi.encodeWithSelector(IOperations.RotationPending.selector, first);
        vm.prank(operator);
        vm.expectRevert(pending);
        operations.proposeOperator(_third);
        vm.prank(operator);
        vm.expectRevert(pending);
        operations.proposeOperator(address(0));
        vm.prank(_second);
        vm.expectRevert(pending);
        operations.acceptOperator(first + 1);
        _skipTo(first - 1);
        vm.prank(operator);
        vm.expectRevert(pending);
        operations.proposeOperator(_third);
    }

    function test_proposeOperator_takesAProposalBack() public {
        vm.prank(operator);
        operations.proposeOperator(_second);
        vm.prank(operator);
        operations.proposeOperator(address(0));
        vm.prank(_second);
        vm.expectRevert(abi.encodeWithSelector(IOperations.NotProposed.selector, _second));
        operations.acceptOperator(LEAD + 2);
    }

    function test_acceptOperator_revertsIfNotProposed() public {
        vm.prank(_second);
        vm.expectRevert(abi.encodeWithSelector(IOperations.NotProposed.selector, _second));
        operations.acceptOperator(LEAD + 2);
        vm.prank(operator);
        operations.proposeOperator(_second);
        vm.prank(_third);
        vm.expectRevert(abi.encodeWithSelector(IOperations.NotProposed.selector, _third));
        operations.acceptOperator(LEAD + 2);
    }

    /// The key of a block number never changes once it is at most 300 ahead.
    function test_acceptOperator_revertsIfTheFirstBlockIsTooNearOrTooFar() public {
        vm.prank(operator);
        operations.proposeOperator(_second);
        uint64 next = rootChain.head().nextNumber;
        uint64[4] memory wrong = [0, next, next + LEAD, 1 << 39];
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(_second);
            vm.expectRevert(abi.encodeWithSelector(IOperations.WrongFirstBlock.selector, wrong[i], next));
            operations.acceptOperator(wrong[i]);
        }
        uint256 snapshot = vm.snapshotState();
        vm.prank(_second);
        operations.acceptOperator(next + LEAD + 1);
        vm.revertToState(snapshot);
        vm.prank(_second);
        operations.acceptOperator((1 << 39) - 1);
    }

    /// A receipt is signed by the key of its block, before and after a rotation.
    function test_rotation_changesWhoSignsReceipts() public {
        uint64 first = _rotate(_second, LEAD + 1);
        IFaults.Receipt memory receipt;
        receipt.count = 1;
        receipt.by = _now() - uint64(F) - 1;
        IRootChain.Header memory none;
        IFaults.BrokenPromise memory broken;
        uint256[2] memory keys = [uint256(0x09e5), 0x09e4];
        for (uint256 i = 0; i < 2; ++i) {
            receipt.number = first - uint64(i);
            bytes memory byOther = _signReceipt(receipt, keys[1 - i]);
            vm.expectRevert(
                abi.encodeWithSelector(IFaults.NotSignedByOperator.selector, vm.addr(keys[1 - i]), vm.addr(keys[i]))
            );
            faults.proveBrokenReceipt(receipt, byOther, none, broken);
            faults.proveBrokenReceipt(receipt, _signReceipt(receipt, keys[i]), none, broken);
        }
    }

    // --------------------------------------------------------------- closing

    function test_closeChain_closesAfterTheSunset() public {
        _commit(0, 0);
        uint64 sunsetAt = _now() + SUNSET;
        _advanceTo(sunsetAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IOperations.NotYetSunset.selector, sunsetAt));
        operations.closeChain();
        _advance(1);
        uint256 snapshot = vm.snapshotState();
        // As long as nobody closes it, the operator may come back.
        _commit(0, 0);
        vm.revertToState(snapshot);
        vm.expectEmit(address(rootChain));
        emit IOperations.ChainClosed();
        operations.closeChain();
        IRootChain.ChainHead memory head = rootChain.head();
        vm.assertEq(head.closedAt, sunsetAt, "closed at");
        vm.assertEq(head.haltedFrom, 0, "nothing is void");

        bytes memory stopped = abi.encodeWithSelector(IRootChain.ChainStopped.selector, 0, sunsetAt);
        vm.expectRevert(stopped);
        operations.closeChain();
        vm.prank(alice);
        vm.expectRevert(stopped);
        rootChain.deposit{value: 1}(alice);
        vm.prank(operator);
        vm.expectRevert(stopped);
        rootChain.submitBlock(head.nextNumber, 0, 0, 0, 0, 0, 0, type(uint64).max);
    }

    function test_closeChain_countsFromTheDeploymentBeforeTheFirstBlock() public {
        uint64 deployedAt = rootChain.head().lastTimestamp;
        vm.expectRevert(abi.encodeWithSelector(IOperations.NotYetSunset.selector, deployedAt + SUNSET));
        operations.closeChain();
        _advanceTo(deployedAt + SUNSET);
        operations.closeChain();
    }

    /// Exits go on: closed, the chain pays as before.
    function test_closeChain_leavesExitsAsTheyAre() public {
        IRootChain.ExitRecord memory exit = _exitingDeposit(alice, 1 ether);
        uint64 nonce = _depositEther(bob, 1 ether);
        _closeNow();
        uint256 balance = alice.balance;
        _process(ETHER, _only(exit));
        vm.assertEq(alice.balance, balance + 1 ether + BACK, "alice");
        _startExitOfDeposit(nonce, bob, ETHER, 1 ether);
    }

    /// An operator that is short of bond, and so commits nothing, does not keep the chain open.
    function test_closeChain_closesAChainWhoseBondIsShort() public {
        IFaults.Receipt memory receipt;
        receipt.count = 1;
        receipt.by = _now() - uint64(F) - 1;
        IRootChain.Header memory none;
        IFaults.BrokenPromise memory broken;
        for (uint64 i = 1; i < 4; ++i) {
            receipt.number = i;
            faults.proveBrokenReceipt(receipt, _signReceipt(receipt, 0x09e4), none, broken);
        }
        _closeNow();
        vm.assertEq(rootChain.head().closedAt, _now(), "closed");
    }

    // -------------------------------------------------------------- internals

    function _closeNow() private {
        _advance(SUNSET);
        operations.closeChain();
    }

    /// Proposes and accepts a key. Returns its first block.
    function _rotate(address key, uint64 distance) private returns (uint64 first) {
        first = rootChain.head().nextNumber + distance;
        vm.prank(operator);
        operations.proposeOperator(key);
        vm.prank(key);
        operations.acceptOperator(first);
    }

    /// Makes `number` the next block, as that many empty blocks would.
    function _skipTo(uint64 number) private {
        uint256 head = uint256(vm.load(address(rootChain), HEAD_SLOT));
        vm.store(address(rootChain), HEAD_SLOT, bytes32((head >> 40 << 40) | number));
    }

    function _commitAs(address key) private {
        IRootChain.ChainHead memory head = rootChain.head();
        uint64 anchor = uint64(vm.getBlockNumber()) - 3;
        _advance(12);
        vm.prank(key);
        rootChain.submitBlock(head.nextNumber, 0, 0, 0, head.nextNonce, anchor, blockhash(anchor), _now());
    }

    function _assertNotOperator(address key) private {
        IRootChain.ChainHead memory head = rootChain.head();
        vm.prank(key);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotOperator.selector, key));
        rootChain.submitBlock(head.nextNumber, 0, 0, 0, head.nextNonce, 0, 0, _now());
    }

    function _assertWithdrawalRefused(bytes memory reason) private {
        vm.prank(operator);
        vm.expectRevert(reason);
        operations.withdrawBond(operator);
    }

    function _assertBond(uint256 faultPart, uint256 receiptPart) private view {
        (uint128 forFaults, uint128 forReceipts) = rootChain.operatorBond();
        vm.assertEq(forFaults, faultPart, "bond for faults");
        vm.assertEq(forReceipts, receiptPart, "bond for receipts");
    }

    function _signReceipt(IFaults.Receipt memory receipt, uint256 privateKey) private view returns (bytes memory) {
        bytes32 digest = oracle.receiptDigest(
            receipt.number, receipt.first, receipt.count, receipt.root, receipt.by, address(rootChain)
        );
        (bytes32 r, bytes32 vs) = vm.signCompact(privateKey, digest);
        return bytes.concat(r, vs);
    }
}
