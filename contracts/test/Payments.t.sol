// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Transfers} from "../src/libraries/Transfers.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";
import {HostileToken} from "./mocks/HostileToken.sol";

/// @title A call of `Transfers.send` alone
contract TransfersCaller {
    function send(address asset, address to, uint256 amount) external returns (bool) {
        return Transfers.send(asset, to, amount);
    }
}

/// @title §5.2: payments arrive or are credited, whatever payees, tokens and processors do
contract PaymentsTest is RootChainTest {
    HostileToken private _hostile;

    function setUp() public override {
        super.setUp();
        _hostile = new HostileToken();
        _hostile.mint(alice, 1000);
        _hostile.mint(bob, 1000);
        vm.prank(alice);
        _hostile.approve(address(rootChain), type(uint256).max);
        vm.prank(bob);
        _hostile.approve(address(rootChain), type(uint256).max);
    }

    // ------------------------------------------------------ hostile receivers

    function test_payeeWhoRevertsIsCredited() public {
        _expectReceiverCredited(HostileReceiver.Behaviour.Reverts);
    }

    function test_payeeWhoBurnsGasIsCredited() public {
        _expectReceiverCredited(HostileReceiver.Behaviour.BurnsGas);
    }

    function test_payeeWhoBombsReturnDataIsCredited() public {
        _expectReceiverCredited(HostileReceiver.Behaviour.BombsReturnData);
    }

    function test_hostilePayeeBlocksNobodyElse() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.BurnsGas);
        IRootChain.ExitRecord[] memory records = new IRootChain.ExitRecord[](2);
        records[0] = _exitingDeposit(alice, 1 ether);
        records[1] = _exitingDeposit(bob, 1 ether);
        vm.prank(alice);
        rootChain.assignExit(records[0], address(receiver));
        uint256 balance = bob.balance;
        _advanceTo(records[0].key);
        _process(ETHER, records);
        vm.assertEq(bob.balance, balance + 1 ether + BACK, "bob");
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), 1 ether + BACK, "receiver");
    }

    function test_payeeCannotReenter() public {
        bytes[] memory calls = _stateChangingCalls();
        for (uint256 i = 0; i < calls.length; ++i) {
            HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Accepts);
            // What it calls needs less gas to be refused than its share.
            receiver.reenter(address(rootChain), calls[i]);
            IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
            vm.prank(alice);
            rootChain.assignExit(record, address(receiver));
            _advanceTo(record.key);
            _process(ETHER, _only(record));
            vm.assertEq(receiver.reentryError(), IRootChain.Locked.selector, "the inner call was refused");
            vm.assertEq(address(receiver).balance, 1 ether + BACK, "paid all the same");
        }
    }

    function test_processorWhoRevertsIsCredited() public {
        HostileReceiver processor = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Credited(address(processor), ETHER, BOUNTY);
        processor.execute(
            address(rootChain), 0, abi.encodeCall(IRootChain.processExits, (ETHER, _only(record), _noPieces()))
        );
        vm.assertEq(rootChain.claimable(address(processor), ETHER), BOUNTY, "credit");
    }

    function test_bondThatCannotBeReturnedIsCredited() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        IRootChain.ExitRecord memory record = _exitingTokenDeposit(alice, 100);
        vm.prank(alice);
        rootChain.assignExit(record, address(receiver));
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Credited(address(receiver), ETHER, BACK);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitPaid(record.outputId, address(receiver), 100, 100, false);
        _process(address(token), _only(record));
        vm.assertEq(token.balanceOf(address(receiver)), 100, "tokens");
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), BACK, "credit");
    }

    function test_returnedBondThatIsRefusedIsCredited() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        Placed memory placed = _include(_payment(keccak256("input"), alice, ETHER, 1 ether));
        IRootChain.ExitRecord memory record = _startExit(placed, 0, Output(alice, ETHER, 1 ether));
        vm.prank(alice);
        rootChain.assignExit(record, address(receiver));
        _haltFrom(1);
        _advanceTo(record.key);
        _process(ETHER, _only(record));
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), BACK, "credit");
    }

    function _expectReceiverCredited(HostileReceiver.Behaviour behaviour) private {
        HostileReceiver receiver = new HostileReceiver(behaviour);
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        vm.prank(alice);
        rootChain.assignExit(record, address(receiver));
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Credited(address(receiver), ETHER, 1 ether + BACK);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitPaid(record.outputId, address(receiver), 1 ether, 1 ether, true);
        _process(ETHER, _only(record));

        vm.assertEq(address(receiver).balance, 0, "receiver");
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), 1 ether + BACK, "credit");
        vm.assertEq(_vault(), 1 ether + BACK, "vault");
        _assertOwed(ETHER, 0);
        _assertCoin(record.outputId, 0, false, record.key - MEP / 2);
    }

    // --------------------------------------------------------- hostile tokens

    function test_tokenThatRevertsIsCredited() public {
        _expectTokenCredited(HostileToken.Behaviour.Reverts);
    }

    function test_tokenThatReturnsFalseIsCredited() public {
        _expectTokenCredited(HostileToken.Behaviour.ReturnsFalse);
    }

    function test_tokenThatBurnsGasIsCredited() public {
        _expectTokenCredited(HostileToken.Behaviour.BurnsGas);
    }

    function test_tokenThatBombsReturnDataIsCredited() public {
        _expectTokenCredited(HostileToken.Behaviour.BombsReturnData);
    }

    function test_tokenThatReturnsNothingPays() public {
        _expectTokenPaid(HostileToken.Behaviour.ReturnsNothing, 100);
    }

    function test_tokenThatTakesAFeePays() public {
        _expectTokenPaid(HostileToken.Behaviour.TakesFee, 90);
    }

    function test_tokenThatReturnsNeitherTrueNorFalseIsCredited() public {
        IRootChain.ExitRecord memory record = _exitingHostileToken(alice);
        _hostile.behave(HostileToken.Behaviour.ReturnsTwo);
        _advanceTo(record.key);
        _process(address(_hostile), _only(record));
        vm.assertEq(rootChain.claimable(alice, address(_hostile)), 100, "credit");
    }

    function test_tokenWithoutCodeIsCredited() public {
        IRootChain.ExitRecord memory record = _exitingHostileToken(alice);
        vm.etch(address(_hostile), "");
        _advanceTo(record.key);
        _process(address(_hostile), _only(record));
        vm.assertEq(rootChain.claimable(alice, address(_hostile)), 100, "credit");
    }

    function test_blockedPayeeIsCreditedAndTheOthersArePaid() public {
        IRootChain.ExitRecord[] memory records = new IRootChain.ExitRecord[](2);
        records[0] = _exitingHostileToken(alice);
        records[1] = _exitingHostileToken(bob);
        _hostile.blockAccount(alice, true);
        _advanceTo(records[0].key);
        _process(address(_hostile), records);
        vm.assertEq(rootChain.claimable(alice, address(_hostile)), 100, "alice");
        vm.assertEq(_hostile.balanceOf(bob), 1000, "bob");
    }

    function test_tokenWhoseBalanceShrankPaysUntilItIsEmpty() public {
        IRootChain.ExitRecord[] memory records = new IRootChain.ExitRecord[](2);
        records[0] = _exitingHostileToken(alice);
        records[1] = _exitingHostileToken(bob);
        _hostile.seize(address(rootChain), 50);
        _advanceTo(records[0].key);
        _process(address(_hostile), records);
        vm.assertEq(_hostile.balanceOf(alice), 1000, "alice");
        vm.assertEq(rootChain.claimable(bob, address(_hostile)), 100, "bob");
    }

    function test_tokenCannotReenter() public {
        bytes[] memory calls = _stateChangingCalls();
        for (uint256 i = 0; i < calls.length; ++i) {
            _hostile.behave(HostileToken.Behaviour.Honest);
            IRootChain.ExitRecord memory record = _exitingHostileToken(alice);
            _hostile.reenter(address(rootChain), calls[i]);
            _advanceTo(record.key);
            _process(address(_hostile), _only(record));
            vm.assertEq(_hostile.reentryError(), IRootChain.Locked.selector, "the inner call was refused");
            vm.assertEq(_hostile.balanceOf(alice), 1000, "paid all the same");
        }
    }

    function _exitingHostileToken(address owner) private returns (IRootChain.ExitRecord memory) {
        vm.prank(owner);
        uint64 nonce = rootChain.depositErc20(address(_hostile), 100, owner);
        return _startExitOfDeposit(nonce, owner, address(_hostile), 100);
    }

    function _expectTokenCredited(HostileToken.Behaviour behaviour) private {
        IRootChain.ExitRecord memory record = _exitingHostileToken(alice);
        _hostile.behave(behaviour);
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Credited(alice, address(_hostile), 100);
        vm.expectEmit(address(rootChain));
        emit IRootChain.ExitPaid(record.outputId, alice, 100, 100, true);
        _process(address(_hostile), _only(record));

        vm.assertEq(alice.balance, balance + BACK, "the bond returns");
        vm.assertEq(processor.balance, BOUNTY, "processor");
        vm.assertEq(rootChain.claimable(alice, address(_hostile)), 100, "credit");
        _assertOwed(address(_hostile), 0);
        _hostile.behave(HostileToken.Behaviour.Honest);
        vm.prank(alice);
        rootChain.claim(address(_hostile), carol);
        vm.assertEq(_hostile.balanceOf(carol), 100, "claimed later");
    }

    function _expectTokenPaid(HostileToken.Behaviour behaviour, uint256 received) private {
        IRootChain.ExitRecord memory record = _exitingHostileToken(alice);
        _hostile.behave(behaviour);
        _advanceTo(record.key);
        _process(address(_hostile), _only(record));
        vm.assertEq(_hostile.balanceOf(alice), 900 + received, "alice");
        vm.assertEq(rootChain.claimable(alice, address(_hostile)), 0, "no credit");
    }

    // ------------------------------------------------------------------- gas

    /// The processor cannot turn a payment into a credit by giving it too little gas: whatever the call gets, it
    /// reverts or the payment is made.
    function testFuzz_processExits_withLittleGasRevertsOrPays(uint256 gasLimit) public {
        gasLimit = 40_000 + gasLimit % 300_000;
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        _exitingDeposit(bob, 1 ether);
        uint256 balance = alice.balance;
        _advanceTo(record.key);
        try rootChain.processExits{gas: gasLimit}(ETHER, _only(record), _noPieces()) {
            bool isPaid = alice.balance == balance + 1 ether + BACK;
            (,, uint64 state) = rootChain.coin(record.outputId);
            vm.assertTrue(isPaid || state == 1, "paid or untouched");
        } catch {}
        vm.assertEq(rootChain.claimable(alice, ETHER), 0, "never credited");
    }

    function test_send_givesReceiversTheirWholeShareOrReverts() public {
        address receiver = address(0x9a5);
        vm.etch(receiver, _burner(52_200));
        _expectWholeShare(Transfers.ETHER, receiver, 91_000);
    }

    function test_send_givesTokensTheirWholeShareOrReverts() public {
        address burner = address(0x9a5);
        vm.etch(burner, _burner(199_900));
        _expectWholeShare(burner, alice, 244_000);
    }

    /// Sends with more and more gas: the first that is not refused succeeds, and so do all the others.
    function _expectWholeShare(address asset, address to, uint256 enough) private {
        TransfersCaller caller = new TransfersCaller();
        vm.deal(address(caller), 1 ether);
        uint256 sent = 0;
        for (uint256 gasLimit = enough - 60_000; gasLimit < enough + 20_000; gasLimit += 100) {
            try caller.send{gas: gasLimit}(asset, to, 1) returns (bool success) {
                vm.assertTrue(success, "failed for want of gas");
                ++sent;
            } catch (bytes memory reason) {
                vm.assertTrue(bytes4(reason) == IRootChain.NotEnoughGas.selector, "refused for want of gas");
                vm.assertEq(sent, 0, "refused with more gas");
            }
        }
        vm.assertTrue(sent != 0, "sent with enough gas");
    }

    /// Returns code that uses `amount` gas, and fails where it has less.
    function _burner(uint256 amount) private pure returns (bytes memory) {
        // PUSH2 rounds | JUMPDEST PUSH1 1 SWAP1 SUB DUP1 PUSH1 3 JUMPI | STOP: 26 gas a round.
        return bytes.concat(hex"61", bytes2(uint16(amount / 26)), hex"5b600190038060035700");
    }

    // ---------------------------------------------------------------- claims

    function test_claim_revertsIfThereIsNoCredit() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NothingToClaim.selector, alice, ETHER));
        rootChain.claim(ETHER, alice);
    }

    function test_claim_revertsIfTheTargetIsZero() public {
        HostileReceiver receiver = _credited();
        vm.expectRevert(
            abi.encodeWithSelector(
                HostileReceiver.CallFailed.selector, abi.encodeWithSelector(IRootChain.ZeroAddress.selector)
            )
        );
        receiver.execute(address(rootChain), 0, abi.encodeCall(IRootChain.claim, (ETHER, address(0))));
    }

    function test_claim_revertsIfThePaymentFails() public {
        HostileReceiver receiver = _credited();
        bytes memory failed =
            abi.encodeWithSelector(IRootChain.ClaimFailed.selector, ETHER, address(receiver), 1 ether + BACK);
        vm.expectRevert(abi.encodeWithSelector(HostileReceiver.CallFailed.selector, failed));
        receiver.execute(address(rootChain), 0, abi.encodeCall(IRootChain.claim, (ETHER, address(receiver))));
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), 1 ether + BACK, "the credit stays");
    }

    function test_claim_paysAnyAddressOnce() public {
        HostileReceiver receiver = _credited();
        uint256 balance = carol.balance;
        bytes memory call = abi.encodeCall(IRootChain.claim, (ETHER, carol));
        vm.expectEmit(address(rootChain));
        emit IRootChain.Claimed(address(receiver), ETHER, carol, 1 ether + BACK);
        receiver.execute(address(rootChain), 0, call);
        vm.assertEq(carol.balance, balance + 1 ether + BACK, "carol");
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), 0, "credit");
        vm.expectRevert();
        receiver.execute(address(rootChain), 0, call);
    }

    function test_claim_givesTheTargetAllItsGas() public {
        HostileReceiver receiver = _credited();
        HostileReceiver hungry = new HostileReceiver(HostileReceiver.Behaviour.Accepts);
        vm.etch(address(hungry), _burner(60_000));
        receiver.execute(address(rootChain), 0, abi.encodeCall(IRootChain.claim, (ETHER, address(hungry))));
        vm.assertEq(address(hungry).balance, 1 ether + BACK, "paid");
    }

    function _credited() private returns (HostileReceiver receiver) {
        receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        vm.prank(alice);
        rootChain.assignExit(record, address(receiver));
        _advanceTo(record.key);
        _process(ETHER, _only(record));
    }
}
