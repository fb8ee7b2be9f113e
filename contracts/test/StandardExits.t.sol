// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title §5: standard exits are started, challenged and handed over
contract StandardExitsTest is RootChainTest {
    Output private _aliceOutput = Output(alice, ETHER, 1 ether);
    Output private _bobOutput = Output(bob, ETHER, 2 ether);

    // --------------------------------------------------- starts, of an output

    function test_startStandardExit_revertsIfBodyIsNotCanonical() public {
        Placed memory placed = _placed();
        placed.body[0] = 0x02;
        _expectStartRefused(placed, 0, abi.encodeWithSelector(IRootChain.NotCanonical.selector));
    }

    function test_startStandardExit_revertsIfThereIsNoSuchOutput() public {
        _expectStartRefused(_placed(), 2, abi.encodeWithSelector(IRootChain.NoSuchOutput.selector, 2));
    }

    function test_startStandardExit_revertsIfNotOwner() public {
        _expectStartRefused(_placed(), 1, abi.encodeWithSelector(IRootChain.NotOwner.selector, alice, bob));
    }

    function test_startStandardExit_revertsIfBondIsWrong() public {
        Placed memory placed = _placed();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.WrongBond.selector, BOND - 1, BOND));
        rootChain.startStandardExit{value: BOND - 1}(placed.body, 0, placed.proof, 0);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.WrongBond.selector, BOND + 1, BOND));
        rootChain.startStandardExit{value: BOND + 1}(placed.body, 0, placed.proof, 0);
    }

    function test_startStandardExit_revertsIfHeaderIsNotCommitted() public {
        Placed memory placed = _placed();
        bytes memory unknown = abi.encodeWithSelector(IRootChain.UnknownHeader.selector, 1);
        IRootChain.Header memory header = placed.proof.header;
        header.txRoot = keccak256("other");
        _expectStartRefused(placed, 0, unknown);
        header = placed.proof.header = _committedHeader(placed);
        header.utxoRoot = keccak256("other");
        _expectStartRefused(placed, 0, unknown);
        header = placed.proof.header = _committedHeader(placed);
        header.txCount += 1;
        _expectStartRefused(placed, 0, unknown);
        header = placed.proof.header = _committedHeader(placed);
        header.depositCount += 1;
        _expectStartRefused(placed, 0, unknown);
        header = placed.proof.header = _committedHeader(placed);
        header.timestamp -= 1;
        _expectStartRefused(placed, 0, unknown);
        header = placed.proof.header = _committedHeader(placed);
        header.number = 2;
        _expectStartRefused(placed, 0, abi.encodeWithSelector(IRootChain.UnknownHeader.selector, 2));
    }

    function test_startStandardExit_revertsIfBlockIsVoid() public {
        Placed memory placed = _placed();
        _haltFrom(1);
        _expectStartRefused(placed, 0, abi.encodeWithSelector(IRootChain.VoidBlock.selector, 1));
    }

    function test_startStandardExit_revertsIfProofIsOfAnotherLeaf() public {
        Placed memory placed = _placed();
        bytes memory notIncluded = _notIncluded(placed, 613);
        placed.proof.witnessHash = keccak256("other");
        _expectStartRefused(placed, 0, notIncluded);

        placed = _placed();
        placed.body[placed.body.length - 1] = 0x01;
        _expectStartRefused(placed, 0, _notIncluded(placed, 613));

        placed = _placed();
        placed.proof.path[9] = keccak256("other");
        _expectStartRefused(placed, 0, _notIncluded(placed, 613));
    }

    function test_startStandardExit_revertsIfIndexIsAnother() public {
        Placed memory placed = _placed();
        placed.proof.txIndex = 612;
        _expectStartRefused(placed, 0, _notIncluded(placed, 612));
        // The same path bits, beyond the tree.
        placed.proof.txIndex = 613 + (1 << 10);
        _expectStartRefused(placed, 0, _notIncluded(placed, placed.proof.txIndex));
    }

    function test_startStandardExit_revertsIfIndexIsInThePadding() public {
        // A leaf where the tree is padded: 600 transactions and 1,024 places.
        Placed memory placed = _includeAt(_pair(), 613, 600);
        _expectStartRefused(placed, 0, _notIncluded(placed, 613));
    }

    /// A root that a path of another length leads to: nobody but a cheating operator can commit one.
    function test_startStandardExit_revertsIfPathIsNotAsLongAsTheTreeIsDeep() public {
        Placed memory placed = _placed();
        for (uint32 length = 0; length < 6; ++length) {
            placed.proof.path = new bytes32[](length);
            placed.proof.txIndex = 0;
            bytes32 leaf = oracle.leaf(keccak256(placed.body), placed.proof.witnessHash);
            placed.proof.header = _commit(oracle.root(leaf, 0, placed.proof.path), 1 << 3);
            if (length != 3) _expectStartRefused(placed, 0, _notIncluded(placed, 0));
        }
        placed.proof.path = new bytes32[](3);
        placed.proof.header = _commit(
            oracle.root(oracle.leaf(keccak256(placed.body), placed.proof.witnessHash), 0, placed.proof.path), 1 << 3
        );
        _startExit(placed, 0, _aliceOutput);
    }

    function test_startStandardExit_takesTheOnlyTransactionOfABlock() public {
        Placed memory placed = _include(_pair());
        vm.assertEq(placed.proof.path.length, 0, "path");
        _startExit(placed, 1, _bobOutput);
    }

    function test_startStandardExit_recordsTheExit() public {
        Placed memory placed = _placed();
        _advance(1 days);
        IRootChain.ExitRecord memory record = _outputRecord(placed, 0, _aliceOutput);
        vm.assertEq(record.key, placed.proof.header.timestamp + 2 * MEP, "a young output waits for two MEP");
        uint256 balance = alice.balance;
        _expectStarted(record);
        vm.prank(alice);
        rootChain.startStandardExit{value: BOND}(placed.body, 0, placed.proof, 0);

        vm.assertEq(alice.balance, balance - BOND, "alice");
        vm.assertEq(_vault(), BOND, "vault");
        _assertExiting(record, 0);
        _assertOneKey(ETHER, record.key, 1);
        _assertOwed(ETHER, 0);
    }

    function test_startStandardExit_hasARoundedKeyOnceItsOutputIsOld() public {
        Placed memory placed = _placed();
        _advance(MEP + 1);
        IRootChain.ExitRecord memory record = _startExit(placed, 0, _aliceOutput);
        vm.assertEq(record.key % G, 0, "rounded");
        _assertOneKey(ETHER, record.key, 1);
    }

    function test_startStandardExit_revertsIfExiting() public {
        Placed memory placed = _placed();
        IRootChain.ExitRecord memory record = _startExit(placed, 0, _aliceOutput);
        _expectStartRefused(placed, 0, abi.encodeWithSelector(IRootChain.AlreadyExiting.selector, record.outputId));
        // The same transaction in a second block is the same coin.
        Placed memory again = _includeAt(placed.body, 3, 1 << 4);
        _expectStartRefused(again, 0, abi.encodeWithSelector(IRootChain.AlreadyExiting.selector, record.outputId));
    }

    function test_startStandardExit_revertsIfSettled() public {
        Placed memory placed = _placed();
        _depositEther(carol, 10 ether);
        IRootChain.ExitRecord memory record = _startExit(placed, 0, _aliceOutput);
        _advanceTo(record.key);
        rootChain.processExits(ETHER, _only(record), _noPieces());
        bytes memory settled =
            abi.encodeWithSelector(IRootChain.AlreadySettled.selector, record.outputId, record.key - MEP / 2);
        _expectStartRefused(placed, 0, settled);
    }

    function test_startStandardExit_goesOnAfterAHalt() public {
        Placed memory placed = _placed();
        _haltFrom(2);
        _startExit(placed, 0, _aliceOutput);
        _assertOneKey(ETHER, placed.proof.header.timestamp + 2 * MEP, 1);
    }

    // --------------------------------------------------- starts, of a deposit

    function test_startStandardExitOfDeposit_revertsIfNothingWasDeposited() public {
        uint64 nonce = _depositEther(alice, 1 ether);
        _expectDepositRefused(bob, nonce, ETHER, 1 ether);
        _expectDepositRefused(alice, nonce + 1, ETHER, 1 ether);
        _expectDepositRefused(alice, nonce, address(token), 1 ether);
        _expectDepositRefused(alice, nonce, ETHER, 1 ether - 1);
    }

    function test_startStandardExitOfDeposit_revertsIfBondIsWrong() public {
        uint64 nonce = _depositEther(alice, 1 ether);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.WrongBond.selector, 0, BOND));
        rootChain.startStandardExitOfDeposit(nonce, ETHER, 1 ether, 0);
    }

    function test_startStandardExitOfDeposit_revertsIfExiting() public {
        uint64 nonce = _depositEther(alice, 1 ether);
        IRootChain.ExitRecord memory record = _startExitOfDeposit(nonce, alice, ETHER, 1 ether);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.AlreadyExiting.selector, record.outputId));
        rootChain.startStandardExitOfDeposit{value: BOND}(nonce, ETHER, 1 ether, 0);
    }

    function test_startStandardExitOfDeposit_revertsIfSettled() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        _advanceTo(record.key);
        rootChain.processExits(ETHER, _only(record), _noPieces());
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IRootChain.AlreadySettled.selector, record.outputId, record.key - MEP / 2)
        );
        rootChain.startStandardExitOfDeposit{value: BOND}(0, ETHER, 1 ether, 0);
    }

    function test_startStandardExitOfDeposit_recordsTheExit() public {
        uint64 nonce = _depositToken(alice, 50);
        IRootChain.ExitRecord memory record = _depositRecord(nonce, alice, address(token), 50);
        _expectStarted(record);
        vm.prank(alice);
        rootChain.startStandardExitOfDeposit{value: BOND}(nonce, address(token), 50, 0);

        vm.assertEq(_vault(), BOND, "vault");
        _assertExiting(record, 1);
        _assertOneKey(address(token), record.key, 1);
        _assertOwed(address(token), 50);
    }

    function test_startStandardExitOfDeposit_needsNoBlock() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        _haltFrom(1);
        _advanceTo(record.key);
        rootChain.processExits(ETHER, _only(record), _noPieces());
        vm.assertEq(alice.balance, 1000 ether - BOUNTY, "deposits are never void");
    }

    function test_exitsOfOneHourShareAKey() public {
        IRootChain.ExitRecord memory first = _exitingDeposit(alice, 1 ether);
        IRootChain.ExitRecord memory second = _exitingDeposit(bob, 1 ether);
        vm.assertEq(first.key, second.key, "key");
        _assertOneKey(ETHER, first.key, 2);
    }

    // ------------------------------------------------------------ challenges

    function test_challengeStandardExit_revertsIfNotExiting() public {
        _depositEther(alice, 1 ether);
        IRootChain.ExitRecord memory record = _depositRecord(0, alice, ETHER, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotExiting.selector, record.outputId));
        rootChain.challengeStandardExit(record, spend, signature);
    }

    function test_challengeStandardExit_revertsIfAnyFieldOfTheRecordIsAnother() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        for (uint256 field = 0; field < 6; ++field) {
            IRootChain.ExitRecord memory other = _changed(record, field);
            vm.expectRevert(abi.encodeWithSelector(IRootChain.NotExiting.selector, other.outputId));
            rootChain.challengeStandardExit(other, spend, signature);
        }
        rootChain.challengeStandardExit(record, spend, signature);
    }

    function test_challengeStandardExit_revertsIfSpendIsNotCanonical() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        _expectNotASpend(record, bytes.concat(spend, hex"00"), signature);
        _expectNotASpend(record, "", signature);
    }

    function test_challengeStandardExit_revertsIfSpendIsOfAnotherCoin() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) =
            _signedPayment(ALICE_KEY, keccak256("another coin"), bob, ETHER, 1 ether);
        _expectNotASpend(record, spend, signature);
    }

    function test_challengeStandardExit_revertsIfSomebodyElseSigned() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(BOB_KEY, record);
        _expectNotASpend(record, spend, signature);
    }

    function test_challengeStandardExit_revertsIfSignatureHasAnotherLength() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        _expectNotASpend(record, spend, "");
        _expectNotASpend(record, spend, bytes.concat(signature, hex"00"));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ALICE_KEY, _digest(record.outputId, bob, record.asset, record.amount));
        _expectNotASpend(record, spend, abi.encodePacked(r, s, v));
    }

    function test_challengeStandardExit_revertsIfSignatureIsOfAnotherChain() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        vm.chainId(1);
        _expectNotASpend(record, spend, signature);
        vm.chainId(CHAIN_ID);
        rootChain.challengeStandardExit(record, spend, signature);
    }

    function test_exitOfASpentDepositIsChallenged() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        uint256 balance = bob.balance;
        vm.expectEmit(address(rootChain));
        emit IRootChain.StandardExitChallenged(record.outputId, bob, spend, signature);
        vm.prank(bob);
        rootChain.challengeStandardExit(record, spend, signature);

        vm.assertEq(bob.balance, balance + BOND, "bob has the bond");
        vm.assertEq(_vault(), 1 ether, "vault");
        _assertCoin(record.outputId, 0, false, 1);
        _assertOneKey(ETHER, record.key, 0);
        _assertOwed(ETHER, 1 ether);
        _advanceTo(record.key);
        rootChain.processExits(ETHER, _only(record), _noPieces());
        vm.assertEq(alice.balance, 1000 ether - 1 ether - BOND, "alice gets nothing");
    }

    function test_exitOfASpentOutputIsChallenged() public {
        IRootChain.ExitRecord memory record = _startExit(_placed(), 1, _bobOutput);
        (bytes memory spend, bytes memory signature) = _spend(BOB_KEY, record);
        vm.prank(alice);
        rootChain.challengeStandardExit(record, spend, signature);
        _assertCoin(record.outputId, 0, false, 0);
        vm.assertEq(alice.balance, 1000 ether + BOND, "alice has the bond");
    }

    function test_challengeStandardExit_findsTheCoinAmongSixteenInputs() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        bytes32[] memory inputs = new bytes32[](16);
        uint256 id = uint256(record.outputId);
        for (uint256 i = 0; i < 16; ++i) {
            inputs[i] = bytes32(id - 15 + i);
        }
        Output[] memory outputs = new Output[](16);
        for (uint256 i = 0; i < 16; ++i) {
            outputs[i] = Output(i % 2 == 0 ? bob : carol, i % 3 == 0 ? ETHER : address(token), uint128(i + 1));
        }
        bytes memory spend = _body(inputs, outputs, keccak256("memo"));
        (bytes32 r, bytes32 vs) = vm.signCompact(ALICE_KEY, oracle.signingHash(spend, address(rootChain)));
        rootChain.challengeStandardExit(record, spend, bytes.concat(r, vs));
        _assertCoin(record.outputId, 0, false, 1);
    }

    function test_challengeStandardExit_isTakenUntilTheExitIsPaid() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        _advanceTo(record.key + 30 days);
        rootChain.challengeStandardExit(record, spend, signature);
        _assertOneKey(ETHER, record.key, 0);
    }

    function test_challengedCoinMayExitAgain() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        rootChain.challengeStandardExit(record, spend, signature);
        _advance(1 days);
        IRootChain.ExitRecord memory second = _startExitOfDeposit(0, alice, ETHER, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotExiting.selector, record.outputId));
        rootChain.challengeStandardExit(record, spend, signature);
        rootChain.challengeStandardExit(second, spend, signature);
    }

    function test_challengerWhoRefusesTheBondIsCredited() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        HostileReceiver challenger = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Credited(address(challenger), ETHER, BOND);
        challenger.execute(
            address(rootChain), 0, abi.encodeCall(IRootChain.challengeStandardExit, (record, spend, signature))
        );
        vm.assertEq(rootChain.claimable(address(challenger), ETHER), BOND, "credit");
    }

    // ------------------------------------------------------------- handovers

    function test_assignExit_revertsIfNotExiting() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        for (uint256 field = 0; field < 6; ++field) {
            IRootChain.ExitRecord memory other = _changed(record, field);
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(IRootChain.NotExiting.selector, other.outputId));
            rootChain.assignExit(other, bob);
        }
    }

    function test_assignExit_revertsIfNotPayee() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotPayee.selector, bob, alice));
        rootChain.assignExit(record, bob);
    }

    function test_assignExit_revertsIfPayeeIsZero() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        vm.prank(alice);
        vm.expectRevert(IRootChain.ZeroAddress.selector);
        rootChain.assignExit(record, address(0));
    }

    function test_assignedExitPaysItsPayeeAlone() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitAssigned(record.outputId, bob);
        vm.prank(alice);
        rootChain.assignExit(record, bob);
        vm.assertEq(rootChain.payeeOf(record.outputId), bob, "payee");
        bytes32 hash = bytes32(uint256(keccak256(abi.encode(record))) >> 41 << 41);
        _assertCoin(record.outputId, hash, true, 1);

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotPayee.selector, alice, bob));
        rootChain.assignExit(record, alice);
        vm.prank(bob);
        rootChain.assignExit(record, carol);

        uint256 aliceBalance = alice.balance;
        uint256 carolBalance = carol.balance;
        _advanceTo(record.key);
        rootChain.processExits(ETHER, _only(record), _noPieces());
        vm.assertEq(alice.balance, aliceBalance, "alice");
        vm.assertEq(carol.balance, carolBalance + 1 ether + BOND - BOUNTY, "carol has amount and bond");
        _assertCoin(record.outputId, 0, false, record.key - MEP / 2);
    }

    function test_assignmentEndsWithItsExit() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        vm.prank(alice);
        rootChain.assignExit(record, bob);
        (bytes memory spend, bytes memory signature) = _spend(ALICE_KEY, record);
        rootChain.challengeStandardExit(record, spend, signature);
        _assertCoin(record.outputId, 0, false, 1);

        record = _startExitOfDeposit(0, alice, ETHER, 1 ether);
        _assertExiting(record, 1);
        uint256 bobBalance = bob.balance;
        _advanceTo(record.key);
        rootChain.processExits(ETHER, _only(record), _noPieces());
        vm.assertEq(bob.balance, bobBalance, "bob has no part in the second exit");
    }

    // -------------------------------------------------------------- internals

    function _pair() private view returns (bytes memory) {
        return _paymentWithChange(keccak256("input"), _aliceOutput, _bobOutput);
    }

    function _placed() private returns (Placed memory) {
        return _includeAt(_pair(), 613, 1 << 10);
    }

    /// Returns a copy of the header that was committed with `_placed`.
    function _committedHeader(Placed memory placed) private view returns (IRootChain.Header memory) {
        bytes32 node = keccak256(bytes.concat(hex"00", keccak256(placed.body), placed.proof.witnessHash));
        bytes32 txRoot = oracle.root(node, placed.proof.txIndex, placed.proof.path);
        return IRootChain.Header(1, txRoot, keccak256(abi.encode("unspent", 1)), 1 << 10, 0, _now());
    }

    function _notIncluded(Placed memory placed, uint32 txIndex) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IRootChain.NotIncluded.selector, placed.proof.header.number, txIndex);
    }

    function _expectStartRefused(Placed memory placed, uint8 outputIndex, bytes memory reason) private {
        vm.prank(alice);
        vm.expectRevert(reason);
        rootChain.startStandardExit{value: BOND}(placed.body, outputIndex, placed.proof, 0);
    }

    function _expectDepositRefused(address sender, uint64 nonce, address asset, uint128 amount) private {
        vm.prank(sender);
        vm.expectRevert(
            abi.encodeWithSelector(IRootChain.NotADeposit.selector, _depositId(nonce, sender, asset, amount))
        );
        rootChain.startStandardExitOfDeposit{value: BOND}(nonce, asset, amount, 0);
    }

    function _expectStarted(IRootChain.ExitRecord memory record) private {
        vm.expectEmit(address(rootChain));
        emit IRootChain.StandardExitStarted(
            record.outputId, record.position, record.owner, record.asset, record.amount, record.key
        );
    }

    function _spend(uint256 privateKey, IRootChain.ExitRecord memory record)
        private
        view
        returns (bytes memory body, bytes memory signature)
    {
        return _signedPayment(privateKey, record.outputId, bob, record.asset, record.amount);
    }

    function _expectNotASpend(IRootChain.ExitRecord memory record, bytes memory spend, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotASpend.selector, record.outputId));
        rootChain.challengeStandardExit(record, spend, signature);
    }
}
