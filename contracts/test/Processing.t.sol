// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";

/// @title §4, §5.2: exits are paid in the order of their keys
contract ProcessingTest is RootChainTest {
    // ----------------------------------------------------------------- order

    function test_processExits_paysNothingBeforeTheKey() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        _advanceTo(record.key - 1);
        _process(ETHER, _only(record));
        _assertExiting(record, 1);
        _assertOneKey(ETHER, record.key, 1);
        vm.assertEq(processor.balance, 0, "no bounty");
    }

    function test_processExits_paysOwnerAndProcessorAtTheKey() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitKeysCleared(ETHER, 0);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitPaid(record.outputId, alice, 1 ether, 1 ether, false);
        _process(ETHER, _only(record));

        vm.assertEq(alice.balance, balance + 1 ether + BACK, "alice");
        vm.assertEq(processor.balance, BOUNTY, "processor");
        vm.assertEq(_vault(), 0, "vault");
        _assertCoin(record.outputId, 0, false, record.key - MEP / 2);
        _assertOwed(ETHER, 0);
        vm.assertEq(rootChain.exitKeys(ETHER, 0, 10).length, 0, "no key is left");
    }

    function test_processExits_paysNothingTwice() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        _exitingDeposit(bob, 1 ether);
        _advanceTo(record.key);
        IRootChain.ExitRecord[] memory twice = new IRootChain.ExitRecord[](2);
        twice[0] = record;
        twice[1] = record;
        uint256 balance = alice.balance;
        _process(ETHER, twice);
        _process(ETHER, twice);
        vm.assertEq(alice.balance, balance + 1 ether + BACK, "alice");
        vm.assertEq(processor.balance, BOUNTY, "one bounty");
        _assertOneKey(ETHER, record.key, 1);
    }

    function test_processExits_paysOlderKeysFirst() public {
        IRootChain.ExitRecord memory older = _exitingDeposit(alice, 1 ether);
        _advance(2 * G);
        IRootChain.ExitRecord memory younger = _exitingDeposit(bob, 1 ether);
        _advanceTo(younger.key + 1 days);

        _process(ETHER, _only(younger));
        _assertExiting(younger, 1);
        IRootChain.ExitRecord[] memory both = new IRootChain.ExitRecord[](3);
        both[0] = younger;
        both[1] = older;
        both[2] = younger;
        _process(ETHER, both);
        _assertCoin(older.outputId, 0, false, older.key - MEP / 2);
        _assertCoin(younger.outputId, 0, false, younger.key - MEP / 2);
        vm.assertEq(processor.balance, 2 * BOUNTY, "two bounties in one transfer");
    }

    function test_outputsOlderThanABadBlockLeaveBeforeThoseItMakes() public {
        _depositEther(alice, 10 ether);
        Placed memory bad = _include(_payment(keccak256("nothing"), carol, ETHER, 10 ether));
        IRootChain.ExitRecord memory stolen = _startExit(bad, 0, Output(carol, ETHER, 10 ether));
        _advanceTo(bad.proof.header.timestamp + MEP - G - 1);
        IRootChain.ExitRecord memory honest = _startExitOfDeposit(0, alice, ETHER, 10 ether);
        vm.assertTrue(honest.key < stolen.key, "order");

        _advanceTo(stolen.key);
        IRootChain.ExitRecord[] memory both = new IRootChain.ExitRecord[](2);
        both[0] = honest;
        both[1] = stolen;
        uint256 carolBalance = carol.balance;
        _process(ETHER, both);
        vm.assertEq(alice.balance, 1000 ether - BOUNTY, "alice has it all");
        vm.assertEq(carol.balance, carolBalance + BACK, "nothing is left for the thief");
    }

    function test_processExits_takesRecordsUnderOneKeyInAnyOrder() public {
        IRootChain.ExitRecord[] memory records = new IRootChain.ExitRecord[](3);
        records[2] = _exitingDeposit(alice, 1 ether);
        records[0] = _exitingDeposit(bob, 2 ether);
        records[1] = _exitingDeposit(carol, 3 ether);
        _advanceTo(records[0].key);
        _process(ETHER, records);
        vm.assertEq(processor.balance, 3 * BOUNTY, "processor");
        vm.assertEq(_vault(), 0, "vault");
    }

    function test_processExits_skipsRecordsThatDoNotMatch() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        IRootChain.ExitRecord[] memory records = new IRootChain.ExitRecord[](8);
        for (uint256 field = 0; field < 6; ++field) {
            records[field] = _changed(record, field);
        }
        records[7] = record;
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        _process(ETHER, records);
        vm.assertEq(alice.balance, balance + 1 ether + BACK, "the one that matches is paid");
        vm.assertEq(processor.balance, BOUNTY, "one bounty");
    }

    function test_processExits_skipsRecordsOfAnotherAsset() public {
        IRootChain.ExitRecord memory ether_ = _exitingDeposit(alice, 100);
        IRootChain.ExitRecord memory tokens = _exitingTokenDeposit(alice, 100);
        _advanceTo(ether_.key);
        _process(ETHER, _only(tokens));
        _process(address(token), _only(ether_));
        _assertExiting(ether_, 1);
        _assertExiting(tokens, 1);
    }

    function test_processExits_doesNothingForAnAssetWithoutExits() public {
        IRootChain.ExitRecord memory nothing;
        _process(ETHER, _only(nothing));
        _process(address(0xdead), _only(nothing));
        vm.assertEq(processor.balance, 0, "no bounty");
    }

    // ------------------------------------------------------------------ head

    function test_headMovesOverKeysWithoutExits() public {
        uint64 firstKey;
        for (uint256 i = 0; i < 5; ++i) {
            IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
            if (i == 0) firstKey = record.key;
            _challenge(record);
            _advance(G);
        }
        IRootChain.ExitRecord memory last = _exitingDeposit(bob, 1 ether);
        _challenge(last);
        vm.assertEq(rootChain.exitKeys(ETHER, 0, 10).length, 6, "challenges leave their keys");

        _advanceTo(firstKey + 2 * G);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitKeysCleared(ETHER, firstKey + 3 * uint64(G));
        _process(ETHER, new IRootChain.ExitRecord[](0));
        IRootChain.ExitKey[] memory keys = rootChain.exitKeys(ETHER, 0, 10);
        vm.assertEq(keys.length, 3, "keys after now stay");
        vm.assertEq(keys[0].key, firstKey + 3 * G, "first key");
    }

    /// A run of keys to clear leaves the gas of a payment, or clears as far as it gets: whatever the call has, it goes
    /// on from there the next time.
    function test_keysToClearNeverStarveThePaymentBehindThem() public {
        _emptyKeys(120);
        IRootChain.ExitRecord memory last = _exitingDeposit(alice, 1 ether);
        _advanceTo(last.key);
        for (uint256 gasLimit = 120_000; gasLimit < 2_400_000; gasLimit += 60_000) {
            uint256 snapshot = vm.snapshotState();
            rootChain.processExits{gas: gasLimit}(ETHER, _only(last), _noPieces());
            vm.revertToState(snapshot);
        }
        _process(ETHER, _only(last));
        _assertCoin(last.outputId, 0, false, last.key - MEP / 2);
    }

    function test_headMovesAsFarAsTheGasAllows() public {
        _emptyKeys(40);
        IRootChain.ExitRecord memory last = _exitingDeposit(alice, 1 ether);
        _advanceTo(last.key);
        uint256 before = rootChain.exitKeys(ETHER, 0, 100).length;
        uint256 left = before;
        for (uint256 gasLimit = 60_000; left == before; gasLimit += 10_000) {
            rootChain.processExits{gas: gasLimit}(ETHER, _only(last), _noPieces());
            left = rootChain.exitKeys(ETHER, 0, 100).length;
        }
        vm.assertTrue(left < before && left > 1, "some keys are cleared");
        _assertExiting(last, 1);
        _process(ETHER, _only(last));
        vm.assertEq(rootChain.exitKeys(ETHER, 0, 100).length, 0, "all are");
    }

    // ---------------------------------------------------------- void, settled

    function test_exitOfAVoidBlockGetsItsBondAlone() public {
        _depositEther(carol, 5 ether);
        Placed memory placed = _include(_payment(keccak256("input"), alice, ETHER, 1 ether));
        IRootChain.ExitRecord memory record = _startExit(placed, 0, Output(alice, ETHER, 1 ether));
        _haltFrom(placed.proof.header.number);
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitReturned(record.outputId, alice);
        _process(ETHER, _only(record));

        vm.assertEq(alice.balance, balance + BACK, "alice");
        vm.assertEq(processor.balance, BOUNTY, "processor");
        _assertCoin(record.outputId, 0, false, 0);
        _assertOwed(ETHER, 5 ether);
        vm.assertEq(rootChain.exitKeys(ETHER, 0, 10).length, 0, "counted down");
    }

    function test_exitOfABlockBeforeTheVoidOnesIsPaid() public {
        _depositEther(carol, 5 ether);
        Placed memory placed = _include(_payment(keccak256("input"), alice, ETHER, 1 ether));
        IRootChain.ExitRecord memory record = _startExit(placed, 0, Output(alice, ETHER, 1 ether));
        _haltFrom(placed.proof.header.number + 1);
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        _process(ETHER, _only(record));
        vm.assertEq(alice.balance, balance + 1 ether + BACK, "alice");
    }

    function test_exitOfASettledCoinGetsItsBondAlone() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        // Settled while it exits, as by a canonical in-flight exit: state set, hash and assignment left.
        uint64 freeze = _now();
        bytes32 word = _coinWord(record.outputId);
        vm.store(address(rootChain), _coinSlot(record.outputId), bytes32(uint256(word) ^ 1 | freeze));
        vm.prank(alice);
        rootChain.assignExit(record, bob);
        uint256 balance = bob.balance;
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitReturned(record.outputId, bob);
        _process(ETHER, _only(record));

        vm.assertEq(bob.balance, balance + BACK, "bob");
        _assertCoin(record.outputId, 0, false, freeze);
        _assertOwed(ETHER, 1 ether);
        vm.assertEq(rootChain.exitKeys(ETHER, 0, 10).length, 0, "counted down");
    }

    // -------------------------------------------------------------- shortfall

    function test_exitIsPaidWhatItsAssetCanCover() public {
        _depositEther(bob, 3 ether);
        Placed memory placed = _include(_payment(keccak256("minted"), alice, ETHER, 10 ether));
        IRootChain.ExitRecord memory record = _startExit(placed, 0, Output(alice, ETHER, 10 ether));
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitPaid(record.outputId, alice, 10 ether, 3 ether, false);
        _process(ETHER, _only(record));
        vm.assertEq(alice.balance, balance + 3 ether + BACK, "alice");
        _assertOwed(ETHER, 0);
        _assertCoin(record.outputId, 0, false, record.key - MEP / 2);

        // Nothing is owed for it later.
        _depositEther(bob, 7 ether);
        _process(ETHER, _only(record));
        _assertOwed(ETHER, 7 ether);
    }

    function test_exitOfAnAssetThatOwesNothingPaysItsBond() public {
        address unknown = address(0xdead);
        Placed memory placed = _include(_payment(keccak256("minted"), alice, unknown, 10));
        IRootChain.ExitRecord memory record = _startExit(placed, 0, Output(alice, unknown, 10));
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitPaid(record.outputId, alice, 10, 0, false);
        _process(unknown, _only(record));
        vm.assertEq(alice.balance, balance + BACK, "alice");
    }

    function test_bondsDoNotCoverExits() public {
        _exitingDeposit(bob, 1);
        Placed memory placed = _include(_payment(keccak256("minted"), alice, ETHER, 10 ether));
        IRootChain.ExitRecord memory record = _startExit(placed, 0, Output(alice, ETHER, 10 ether));
        IRootChain.ExitRecord memory bobs = _depositRecord(0, bob, ETHER, 1);
        bobs.key = rootChain.exitKeys(ETHER, 0, 1)[0].key;
        _advanceTo(record.key);
        IRootChain.ExitRecord[] memory both = new IRootChain.ExitRecord[](2);
        both[0] = bobs;
        both[1] = record;
        uint256 balance = alice.balance;
        _process(ETHER, both);
        vm.assertEq(alice.balance, balance + BACK, "alice");
    }

    // -------------------------------------------------------------- internals

    /// Leaves keys whose exits are challenged.
    function _emptyKeys(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) {
            _challenge(_exitingDeposit(alice, 1));
            _advance(G);
        }
    }

    function _challenge(IRootChain.ExitRecord memory record) private {
        uint256 privateKey = record.owner == alice ? ALICE_KEY : BOB_KEY;
        (bytes memory spend, bytes memory signature) =
            _signedPayment(privateKey, record.outputId, carol, record.asset, record.amount);
        rootChain.challengeStandardExit(record, spend, signature);
    }

    function _coinSlot(bytes32 outputId) private pure returns (bytes32) {
        return keccak256(abi.encode(outputId, COINS_SLOT));
    }

    function _coinWord(bytes32 outputId) private view returns (bytes32) {
        return vm.load(address(rootChain), _coinSlot(outputId));
    }

    /// The test itself challenges and is paid for it.
    receive() external payable {}
}
