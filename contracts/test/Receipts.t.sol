// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {FaultTest} from "./FaultTest.sol";
import {FAULT_SLASH, OPERATOR_BOND, RECEIPT_SLASH} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";

/// @title §1.10, §3: receipts that the operator breaks
contract ReceiptsTest is FaultTest {
    uint256 private constant OPERATOR_KEY = 0x09e4;
    uint256 private constant REWARD = RECEIPT_SLASH / 2;
    uint32 private constant TX_COUNT_MAX = 1 << 20;

    /// What a client shows.
    struct Shown {
        IFaults.Receipt receipt;
        bytes signature;
        IRootChain.Header header;
        IFaults.BrokenPromise broken;
    }

    bytes32 private constant PROMISED = keccak256("promised leaf");
    bytes32 private constant HELD = keccak256("held leaf");

    // --------------------------------------------------------------- content

    function test_receipt_isSlashedIfTheBlockHoldsAnotherLeaf() public {
        _assertSlashes(_another());
    }

    function test_receipt_isSlashedIfTheBlockHoldsAnEmptyLeaf() public {
        Shown memory shown = _promise(613, 100, 37);
        (shown.header.txRoot, shown.broken.heldPath) = _above(0, 650, 1 << 10);
        shown.broken.held = 0;
        shown.header = _commit(shown.header.txRoot, 1 << 10);
        _assertSlashes(shown);
    }

    function test_receipt_isSlashedIfTheBlockEndsBefore() public {
        Shown memory shown = _promise(613, 100, 37);
        shown.header = _commit(keccak256("a short block"), 650);
        // No path is asked for.
        shown.broken.promisedPath = new bytes32[](0);
        _assertSlashes(shown);
    }

    function test_receipt_isSlashedByEveryIndexOfItsRange() public {
        for (uint32 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            Shown memory shown = _promise(7, 2, i);
            shown.header = _commit(keccak256("a short block"), 1);
            _assertSlashes(shown);
            vm.revertToState(snapshot);
        }
    }

    function test_receipt_isSlashedAtTheLastIndexThatThereIs() public {
        Shown memory shown = _promise(TX_COUNT_MAX - 1, 1, 0);
        shown.broken.held = HELD;
        (shown.header.txRoot, shown.broken.heldPath) = _above(HELD, TX_COUNT_MAX - 1, TX_COUNT_MAX);
        shown.header = _commit(shown.header.txRoot, TX_COUNT_MAX);
        _assertSlashes(shown);
    }

    function test_receipt_sparesALeafThatTheBlockHolds() public {
        Shown memory shown = _another();
        shown.broken.held = PROMISED;
        _assertKept(shown);
        // The same promise, kept.
        shown = _promise(613, 100, 37);
        (shown.header.txRoot, shown.broken.heldPath) = _above(PROMISED, 650, 1 << 10);
        shown.broken.held = PROMISED;
        shown.header = _commit(shown.header.txRoot, 1 << 10);
        _assertKept(shown);
    }

    function test_receipt_sparesIndicesThatItDoesNotPromise() public {
        Shown memory shown = _promise(613, 100, 37);
        shown.header = _commit(keccak256("a short block"), 1);
        uint32[4] memory others = [612, 713, 0, type(uint32).max];
        for (uint256 i = 0; i < others.length; ++i) {
            shown.broken.index = others[i];
            _assertKept(shown);
        }
        shown.broken.index = 712;
        _assertSlashes(shown);
    }

    function test_receipt_sparesWrongSiblingsAndLeaves() public {
        Shown memory shown = _another();
        shown.broken.promised = keccak256("not promised");
        _assertKept(shown);
        shown.broken.promised = PROMISED;
        shown.broken.held = keccak256("not held");
        _assertKept(shown);
        shown.broken.held = HELD;
        shown.broken.promisedPath[6] ^= bytes32(uint256(1));
        _assertKept(shown);
        shown.broken.promisedPath[6] ^= bytes32(uint256(1));
        shown.broken.heldPath[9] ^= bytes32(uint256(1));
        _assertKept(shown);
        shown.broken.heldPath[9] ^= bytes32(uint256(1));
        shown.broken.index += 1;
        _assertKept(shown);
        shown.broken.index -= 1;
        // A node in the place of a leaf.
        bytes32[] memory path = shown.broken.heldPath;
        shown.broken.heldPath = new bytes32[](9);
        for (uint256 i = 0; i < 9; ++i) {
            shown.broken.heldPath[i] = path[i + 1];
        }
        shown.broken.held = _node(HELD, path[0]);
        _assertKept(shown);
        (shown.broken.held, shown.broken.heldPath) = (HELD, path);
        _assertSlashes(shown);
    }

    function test_receipt_isSlashedUntilTwoMepAfterItsBlock() public {
        Shown memory shown = _another();
        uint64 until = shown.header.timestamp + 2 * uint64(MEP);
        _advanceTo(until - 1);
        uint256 snapshot = vm.snapshotState();
        _assertSlashes(shown);
        vm.revertToState(snapshot);
        _advanceTo(until);
        _assertRefused(shown, _reason(IFaults.TooLateToProve.selector, until));
    }

    function test_receipt_isNotSlashedByAHeaderThatIsNotItsBlocks() public {
        Shown memory shown = _another();
        shown.header.timestamp += 1;
        _assertRefused(shown, _reason(IRootChain.UnknownHeader.selector, shown.header.number));
        shown.header = _commit(keccak256("another block"), 1);
        _assertRefused(shown, _reason(IRootChain.UnknownHeader.selector, shown.header.number));
        // Committed, it is not missing either.
        IRootChain.Header memory none;
        shown.header = none;
        _advanceTo(shown.receipt.by + F + 1);
        _assertKept(shown);
    }

    function test_receipt_ofAVoidBlockPromisesNothing() public {
        Accusation memory guilty = _guilty(Prover.NotCanonical);
        Shown memory shown = _another();
        _assertConvicts(guilty);
        _assertRefused(shown, _reason(IRootChain.VoidBlock.selector, shown.header.number));
    }

    /// One that comes before the halt goes on.
    function test_receipt_ofABlockBeforeTheHaltIsSlashed() public {
        Shown memory shown = _another();
        _assertConvicts(_guilty(Prover.NotCanonical));
        _assertSlashes(shown);
    }

    // ------------------------------------------------------------------ time

    function test_receipt_isSlashedIfTheBlockIsMissing() public {
        Shown memory shown = _promise(0, 1, 0);
        uint256 due = shown.receipt.by + F;
        _advanceTo(due);
        _assertKept(shown);
        _advanceTo(due + 1);
        uint256 snapshot = vm.snapshotState();
        _assertSlashes(shown);
        vm.revertToState(snapshot);
        _advanceTo(due + MEP - 1);
        _assertSlashes(shown);
        vm.revertToState(snapshot);
        _advanceTo(due + MEP);
        _assertKept(shown);
    }

    function test_receipt_ofAMissingBlockIsNotSlashedOnceTheChainIsHaltedOrClosed() public {
        Shown memory shown = _promise(0, 1, 0);
        // Two blocks ahead of the guilty one.
        shown.receipt.number = 9;
        shown.signature = _sign(shown.receipt, OPERATOR_KEY);
        uint256 snapshot = vm.snapshotState();
        _assertConvicts(_guilty(Prover.NotCanonical));
        _advanceTo(shown.receipt.by + F + 1);
        _assertKept(shown);
        vm.revertToState(snapshot);
        _advance(SUNSET);
        operations.closeChain();
        shown.receipt.by = _now();
        shown.signature = _sign(shown.receipt, OPERATOR_KEY);
        _advance(F + 1);
        _assertKept(shown);
    }

    function test_receipt_isSlashedIfTheBlockCameTooLate() public {
        Shown memory shown = _promise(0, 1, 0);
        uint64 due = uint64(shown.receipt.by + F);
        uint256 snapshot = vm.snapshotState();
        // At that very second it is in time.
        _advanceTo(due);
        (bytes32 root,) = _above(PROMISED, 0, 1);
        shown.header = _commit(root, 1);
        shown.broken.held = PROMISED;
        _assertKept(shown);
        vm.revertToState(snapshot);
        _advanceTo(due + 1);
        shown.header = _commit(root, 1);
        _assertSlashes(shown);
        vm.revertToState(snapshot);
        _advanceTo(due + 1);
        _commit(root, 1);
        _advanceTo(due + MEP - 1);
        _assertSlashes(shown);
        vm.revertToState(snapshot);
        _advanceTo(due + 1);
        _commit(root, 1);
        _advanceTo(due + MEP);
        _assertKept(shown);
    }

    /// Late and with another leaf, it is broken for 2 MEP.
    function test_receipt_ofALateBlockIsSlashedForItsContentLonger() public {
        Shown memory shown = _promise(0, 1, 0);
        _advanceTo(shown.receipt.by + F + 1);
        shown.header = _commit(HELD, 1);
        shown.broken.held = HELD;
        _advance(2 * MEP - 1);
        _assertSlashes(shown);
    }

    /// No sum of such a time overflows.
    function test_receipt_withATimeBeyondAllTimesIsNotOverdue() public {
        Shown memory shown = _promise(0, 1, 0);
        shown.receipt.by = type(uint64).max;
        shown.signature = _sign(shown.receipt, OPERATOR_KEY);
        _assertKept(shown);
    }

    // -------------------------------------------------------------- promises

    function test_receipt_thatPromisesNothingIsRefused() public {
        Shown memory shown = _promise(0, 1, 0);
        uint32[2][4] memory ranges =
            [[uint32(0), 0], [TX_COUNT_MAX, 1], [uint32(1), TX_COUNT_MAX], [type(uint32).max, type(uint32).max]];
        _advanceTo(shown.receipt.by + F + 1);
        for (uint256 i = 0; i < ranges.length; ++i) {
            (shown.receipt.first, shown.receipt.count) = (ranges[i][0], ranges[i][1]);
            shown.signature = _sign(shown.receipt, OPERATOR_KEY);
            _assertRefused(shown, _reason(IFaults.NotAPromise.selector));
        }
        (shown.receipt.first, shown.receipt.count) = (0, TX_COUNT_MAX);
        shown.signature = _sign(shown.receipt, OPERATOR_KEY);
        _assertSlashes(shown);
    }

    function test_receipt_ofSomebodyElseIsRefused() public {
        Shown memory shown = _another();
        shown.signature = _sign(shown.receipt, ALICE_KEY);
        _assertRefused(shown, _notSigned(alice));
        bytes memory signature = _sign(shown.receipt, OPERATOR_KEY);
        shown.signature = bytes.concat(signature, hex"00");
        _assertRefused(shown, _notSigned(address(0)));
        shown.signature = "";
        _assertRefused(shown, _notSigned(address(0)));
        shown.signature = abi.encode(5, 1);
        _assertRefused(shown, _notSigned(address(0)));
        shown.signature = signature;
        _assertSlashes(shown);
    }

    /// Each field is signed.
    function test_receipt_withAnyFieldChangedIsRefused() public {
        Shown memory shown = _another();
        bytes32[5] memory words = abi.decode(abi.encode(shown.receipt), (bytes32[5]));
        for (uint256 i = 0; i < 5; ++i) {
            words[i] ^= bytes32(uint256(1));
            shown.receipt = abi.decode(abi.encode(words), (IFaults.Receipt));
            vm.prank(accuser);
            (bool success, bytes memory reason) = address(rootChain).call(_callOf(shown));
            vm.assertFalse(success, "not refused");
            vm.assertEq(bytes4(reason), IFaults.NotSignedByOperator.selector, "reason");
            words[i] ^= bytes32(uint256(1));
        }
    }

    /// On another chain, or by another contract, it is another's promise.
    function test_receipt_ofAnotherChainIsRefused() public {
        Shown memory shown = _another();
        vm.chainId(CHAIN_ID + 1);
        vm.prank(accuser);
        (bool success, bytes memory reason) = address(rootChain).call(_callOf(shown));
        vm.assertFalse(success, "not refused");
        vm.assertEq(bytes4(reason), IFaults.NotSignedByOperator.selector, "reason");
    }

    // --------------------------------------------------------------- rewards

    /// A slash halts nothing, and takes from the part for receipts alone.
    function test_receipt_rewardsTheAnnouncer() public {
        Shown memory shown = _another();
        bytes memory call = _callOf(shown);
        uint64 number = shown.receipt.number;
        _announce(alice, call);
        _rootBlocks(2);
        uint256 balance = alice.balance;
        uint256 burned = address(0).balance;
        vm.expectEmit(address(rootChain));
        emit IFaults.ReceiptSlashed(number, alice, keccak256(call), RECEIPT_SLASH);
        vm.expectEmit(address(rootChain));
        emit IFaults.ReceiptRewarded(number, alice, REWARD);
        _send(alice, call);
        vm.assertEq(alice.balance, balance + REWARD, "alice");
        vm.assertEq(address(0).balance, burned + RECEIPT_SLASH - REWARD, "burned");
        vm.assertEq(address(rootChain).balance, OPERATOR_BOND - RECEIPT_SLASH, "vault");
        _assertBond(FAULT_SLASH, OPERATOR_BOND - FAULT_SLASH - RECEIPT_SLASH);
        vm.assertEq(rootChain.head().haltedFrom, 0, "goes on");
        _commit(0, 0);
        _assertRefused(alice, call, _reason(IFaults.AlreadySlashed.selector, number));
    }

    function test_receipt_slashedByACopierRewardsTheAnnouncer() public {
        Shown memory shown = _another();
        bytes memory call = _callOf(shown);
        uint64 number = shown.receipt.number;
        _announce(alice, call);
        _rootBlocks(1);
        _announce(bob, call);
        _rootBlocks(1);
        _assertSlashes(shown);
        vm.assertEq(accuser.balance, 0, "the copier");
        _rootBlocks(9);
        _assertRefused(shown, _reason(IFaults.AlreadySlashed.selector, number));
        _assertRefused(bob, call, _reason(IFaults.AlreadySlashed.selector, number));
        uint256 balance = alice.balance;
        vm.expectEmit(address(rootChain));
        emit IFaults.ReceiptRewarded(number, alice, REWARD);
        _send(alice, call);
        vm.assertEq(alice.balance, balance + REWARD, "alice");
        _assertRefused(alice, call, _reason(IFaults.AlreadySlashed.selector, number));
    }

    /// The reward waits as long as the slash could have been shown.
    function test_receipt_rewardOfAMissingBlockIsNotPaidOnceItIsCommitted() public {
        Shown memory shown = _promise(0, 1, 0);
        _advanceTo(shown.receipt.by + F + 1);
        bytes memory call = _callOf(shown);
        _announce(alice, call);
        _rootBlocks(2);
        _assertSlashes(shown);
        _commit(HELD, 1);
        _assertRefused(alice, call, _reason(IFaults.NotBroken.selector));
    }

    /// All receipts of a block cost one slash; those of another block another.
    function test_receipts_costOneSlashABlock() public {
        Shown memory shown = _another();
        Shown memory other = _promise(650, 1, 0);
        other.receipt.number = shown.receipt.number;
        other.signature = _sign(other.receipt, OPERATOR_KEY);
        other.header = shown.header;
        (other.broken.held, other.broken.heldPath) = (HELD, shown.broken.heldPath);
        _assertSlashes(shown);
        _assertRefused(other, _reason(IFaults.AlreadySlashed.selector, shown.receipt.number));
        _assertSlashes(_another());
    }

    /// Short of a slash, the operator commits nothing; deposits go on, and exits.
    function test_receipts_stopBlocksWhenTheBondIsShort() public {
        for (uint256 i = 0; i < 3; ++i) {
            _assertSlashes(_another());
            if (i < 2) _commit(0, 0);
        }
        _assertBond(FAULT_SLASH, 0);
        IRootChain.ChainHead memory head = rootChain.head();
        _advance(12);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.BondShort.selector, FAULT_SLASH, 0));
        rootChain.submitBlock(head.nextNumber, 0, 0, 0, 0, 0, 0, type(uint64).max);
        _depositEther(alice, 1 ether);
        _depositToken(alice, 1);
        _exitingDeposit(bob, 1 ether);

        vm.prank(carol);
        operations.fundBond{value: RECEIPT_SLASH - 1}(0, RECEIPT_SLASH - 1);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.BondShort.selector, FAULT_SLASH, RECEIPT_SLASH - 1));
        rootChain.submitBlock(head.nextNumber, 0, 0, 0, 0, 0, 0, type(uint64).max);
        vm.prank(carol);
        operations.fundBond{value: 1}(0, 1);
        _commit(0, 0);
    }

    /// A broken receipt that the bond no longer covers costs what is left.
    function test_receipts_takeNoMoreThanThereIs() public {
        Shown[4] memory shown = [_another(), _another(), _another(), _another()];
        for (uint256 i = 0; i < 4; ++i) {
            _assertSlashes(shown[i]);
        }
        _assertBond(FAULT_SLASH, 0);
        vm.assertEq(address(rootChain).balance, FAULT_SLASH + 3 * REWARD, "rewards wait");
    }

    function test_receipt_givesNoOtherVerdictForWantOfGas() public {
        bytes memory call = _callOf(_another());
        for (uint256 gas = 25_000; gas < 300_000; gas += 977) {
            uint256 snapshot = vm.snapshotState();
            vm.prank(accuser);
            (bool success, bytes memory reason) = address(rootChain).call{gas: gas}(call);
            bool isForGas = reason.length == 0 || bytes4(reason) == IRootChain.NotEnoughGas.selector;
            vm.assertTrue(success || isForGas, "another verdict");
            vm.revertToState(snapshot);
        }
    }

    // -------------------------------------------------------------- internals

    /// Promises one leaf of the next block: the `offset`th of a batch from `first` on.
    function _promise(uint32 first, uint32 count, uint32 offset) private view returns (Shown memory shown) {
        shown.receipt.number = rootChain.head().nextNumber;
        shown.receipt.first = first;
        shown.receipt.count = count;
        shown.receipt.by = _now() + 60;
        (shown.receipt.root, shown.broken.promisedPath) = _above(PROMISED, offset, count);
        shown.signature = _sign(shown.receipt, OPERATOR_KEY);
        shown.broken.index = first + offset;
        shown.broken.promised = PROMISED;
    }

    /// A block with another leaf than the one promised, deep in it and in the batch.
    function _another() private returns (Shown memory shown) {
        shown = _promise(613, 100, 37);
        bytes32 root;
        (root, shown.broken.heldPath) = _above(HELD, 650, 1 << 10);
        shown.broken.held = HELD;
        shown.header = _commit(root, 1 << 10);
    }

    function _sign(IFaults.Receipt memory receipt, uint256 privateKey) private view returns (bytes memory) {
        bytes32 digest = oracle.receiptDigest(
            receipt.number, receipt.first, receipt.count, receipt.root, receipt.by, address(rootChain)
        );
        (bytes32 r, bytes32 vs) = vm.signCompact(privateKey, digest);
        return bytes.concat(r, vs);
    }

    function _callOf(Shown memory shown) private pure returns (bytes memory) {
        return abi.encodeCall(IFaults.proveBrokenReceipt, (shown.receipt, shown.signature, shown.header, shown.broken));
    }

    function _assertSlashes(Shown memory shown) private {
        bytes memory call = _callOf(shown);
        (uint128 faultPart, uint128 receiptPart) = rootChain.operatorBond();
        uint128 slash = receiptPart < RECEIPT_SLASH ? receiptPart : RECEIPT_SLASH;
        vm.expectEmit(address(rootChain));
        emit IFaults.ReceiptSlashed(shown.receipt.number, accuser, keccak256(call), slash);
        _send(accuser, call);
        (uint64 rootBlock, uint128 reward) = rootChain.slashedReceipts(shown.receipt.number);
        vm.assertEq(rootBlock, vm.getBlockNumber(), "slashed in");
        vm.assertEq(reward, slash / 2, "the reward waits");
        _assertBond(faultPart, receiptPart - slash);
    }

    function _assertRefused(Shown memory shown, bytes memory reason) private {
        _assertRefused(accuser, _callOf(shown), reason);
    }

    function _assertKept(Shown memory shown) private {
        _assertRefused(shown, _reason(IFaults.NotBroken.selector));
    }

    function _assertBond(uint256 faultPart, uint256 receiptPart) private view {
        (uint128 forFaults, uint128 forReceipts) = rootChain.operatorBond();
        vm.assertEq(forFaults, faultPart, "bond for faults");
        vm.assertEq(forReceipts, receiptPart, "bond for receipts");
    }

    function _notSigned(address signer) private view returns (bytes memory) {
        return abi.encodeWithSelector(IFaults.NotSignedByOperator.selector, signer, operator);
    }
}
