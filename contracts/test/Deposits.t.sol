// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";
import {HostileToken} from "./mocks/HostileToken.sol";

/// @title §2: deposits
contract DepositsTest is RootChainTest {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    HostileToken private _hostile;

    function setUp() public override {
        super.setUp();
        _hostile = new HostileToken();
        _hostile.mint(alice, 1000);
        vm.prank(alice);
        _hostile.approve(address(rootChain), type(uint256).max);
    }

    // ----------------------------------------------------------------- ether

    function test_deposit_revertsIfNothingIsSent() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.AmountOutOfRange.selector, 0));
        rootChain.deposit(alice);
    }

    function test_deposit_revertsIfOwnerIsZero() public {
        vm.prank(alice);
        vm.expectRevert(IRootChain.ZeroAddress.selector);
        rootChain.deposit{value: 1}(address(0));
    }

    function test_deposit_revertsIfHalted() public {
        _haltFrom(7);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.ChainStopped.selector, 7, 0));
        rootChain.deposit{value: 1}(alice);
    }

    function test_deposit_revertsIfClosed() public {
        _close();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.ChainStopped.selector, 0, _now()));
        rootChain.deposit{value: 1}(alice);
    }

    function test_deposit_revertsIfEtherOwedWouldReachItsLimit() public {
        uint256 limit = 1 << 95;
        vm.deal(alice, limit);
        _depositEther(alice, uint128(limit - 1));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.AssetTotalExceeded.selector, ETHER, limit));
        rootChain.deposit{value: 1}(alice);
    }

    function test_deposit_revertsIfNoncesAreExhausted() public {
        uint256 lastNonce = (1 << 40) - 1;
        vm.store(address(rootChain), HEAD_SLOT, bytes32(lastNonce << 120 | 1));
        vm.prank(alice);
        vm.expectRevert(IRootChain.DepositsExhausted.selector);
        rootChain.deposit{value: 1}(alice);
    }

    function test_deposit_marksTheCoinAndCountsTheEther() public {
        uint256 balance = alice.balance;
        vm.expectEmit(address(rootChain));
        emit IRootChain.Deposited(0, bob, ETHER, 3 ether);
        vm.prank(alice);
        uint64 nonce = rootChain.deposit{value: 3 ether}(bob);

        vm.assertEq(nonce, 0, "nonce");
        vm.assertEq(alice.balance, balance - 3 ether, "alice");
        vm.assertEq(_vault(), 3 ether, "vault");
        _assertOwed(ETHER, 3 ether);
        _assertCoin(_depositId(0, bob, ETHER, 3 ether), 0, false, 1);
        vm.assertEq(rootChain.head().nextNonce, 1, "next nonce");
        vm.assertEq(rootChain.head().depositCount, 0, "covered");
        vm.assertEq(_depositEther(alice, 1), 1, "second nonce");
    }

    function test_etherForcedUponTheContractCountsForNothing() public {
        _depositEther(alice, 1 ether);
        vm.deal(address(rootChain), 5 ether);
        _assertOwed(ETHER, 1 ether);
    }

    // ---------------------------------------------------------------- tokens

    function test_depositErc20_revertsIfTokenHasNoCode() public {
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotAToken.selector, bob));
        rootChain.depositErc20(bob, 1, alice);
    }

    function test_depositErc20_revertsForEther() public {
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotAToken.selector, ETHER));
        rootChain.depositErc20(ETHER, 1, alice);
    }

    function test_depositErc20_revertsIfOwnerIsZero() public {
        vm.prank(alice);
        vm.expectRevert(IRootChain.ZeroAddress.selector);
        rootChain.depositErc20(address(token), 1, address(0));
    }

    function test_depositErc20_revertsIfAmountIsZero() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.AmountOutOfRange.selector, 0));
        rootChain.depositErc20(address(token), 0, alice);
    }

    function test_depositErc20_revertsIfHalted() public {
        _haltFrom(1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.ChainStopped.selector, 1, 0));
        rootChain.depositErc20(address(token), 1, alice);
    }

    function test_depositErc20_revertsIfTheSumWouldNotFitInto128Bits() public {
        token.mint(alice, type(uint256).max / 2);
        _depositToken(alice, type(uint128).max);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IRootChain.AssetTotalExceeded.selector, address(token), uint256(1 << 128))
        );
        rootChain.depositErc20(address(token), 1, alice);
    }

    function test_depositErc20_revertsIfTheTokenDoes() public {
        _hostile.behave(HostileToken.Behaviour.Reverts);
        vm.prank(alice);
        vm.expectRevert(HostileToken.Refused.selector);
        rootChain.depositErc20(address(_hostile), 100, alice);
    }

    function test_depositErc20_revertsIfTheTokenReturnsFalse() public {
        _hostile.behave(HostileToken.Behaviour.ReturnsFalse);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.AmountOutOfRange.selector, 0));
        rootChain.depositErc20(address(_hostile), 100, alice);
    }

    function test_depositErc20_revertsIfTheTokenIsTheContractItself() public {
        vm.expectRevert();
        rootChain.depositErc20(address(rootChain), 1, alice);
    }

    function test_depositErc20_recordsTheAssetOnce() public {
        vm.expectEmit(address(rootChain));
        emit IRootChain.AssetRecorded(address(token), IRootChain.AssetStandard.Erc20);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Deposited(0, bob, address(token), 60);
        vm.prank(alice);
        rootChain.depositErc20(address(token), 60, bob);
        vm.recordLogs();
        _depositToken(alice, 40);

        // The token's transfer and the deposit.
        vm.assertEq(vm.getRecordedLogs().length, 2, "events of the second deposit");
        vm.assertEq(token.balanceOf(alice), 1_000_000 - 100, "alice");
        vm.assertEq(token.balanceOf(address(rootChain)), 100, "vault");
        _assertOwed(address(token), 100);
        (, IRootChain.AssetStandard standard) = rootChain.assetOf(address(token));
        vm.assertTrue(standard == IRootChain.AssetStandard.Erc20, "standard");
        _assertCoin(_depositId(0, bob, address(token), 60), 0, false, 1);
        _assertCoin(_depositId(1, alice, address(token), 40), 0, false, 1);
    }

    function test_depositErc20_countsWhatArrives() public {
        _hostile.behave(HostileToken.Behaviour.TakesFee);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Deposited(0, alice, address(_hostile), 90);
        vm.prank(alice);
        rootChain.depositErc20(address(_hostile), 100, alice);
        _assertOwed(address(_hostile), 90);
    }

    function test_depositErc20_takesTokensThatReturnNothing() public {
        _hostile.behave(HostileToken.Behaviour.ReturnsNothing);
        vm.prank(alice);
        rootChain.depositErc20(address(_hostile), 100, alice);
        _assertOwed(address(_hostile), 100);
    }

    function test_depositErc20_refusesAReenteringToken() public {
        bytes[] memory calls = _stateChangingCalls();
        for (uint256 i = 0; i < calls.length; ++i) {
            _hostile.reenter(address(rootChain), calls[i]);
            vm.prank(alice);
            rootChain.depositErc20(address(_hostile), 10, alice);
            vm.assertEq(_hostile.reentryError(), IRootChain.Locked.selector, "the inner call was refused");
        }
        _assertOwed(address(_hostile), 10 * calls.length);
    }

    function test_tokensSentPastDepositCountForNothing() public {
        _depositToken(alice, 10);
        vm.prank(alice);
        vm.assertTrue(token.transfer(address(rootChain), 500), "sent");
        _assertOwed(address(token), 10);
        vm.expectEmit(address(rootChain));
        emit IRootChain.Deposited(1, alice, address(token), 20);
        _depositToken(alice, 20);
    }

    // --------------------------------------------------------------- permits

    function test_depositErc20WithPermit_needsNoAllowance() public {
        vm.prank(alice);
        token.approve(address(rootChain), 0);
        IRootChain.Permit memory permit = _permit(70);
        vm.prank(alice);
        rootChain.depositErc20WithPermit(address(token), 70, bob, permit);
        _assertOwed(address(token), 70);
        _assertCoin(_depositId(0, bob, address(token), 70), 0, false, 1);
    }

    function test_depositErc20WithPermit_toleratesAFrontRunPermit() public {
        vm.prank(alice);
        token.approve(address(rootChain), 0);
        IRootChain.Permit memory permit = _permit(70);
        token.permit(alice, address(rootChain), 70, permit.deadline, permit.v, permit.r, permit.s);
        vm.prank(alice);
        rootChain.depositErc20WithPermit(address(token), 70, bob, permit);
        _assertOwed(address(token), 70);
    }

    function test_depositErc20WithPermit_revertsWithoutPermitAndAllowance() public {
        vm.prank(bob);
        token.approve(address(rootChain), 0);
        IRootChain.Permit memory permit = _permit(70);
        // Alice's permit is no permit of bob's.
        vm.prank(bob);
        vm.expectRevert();
        rootChain.depositErc20WithPermit(address(token), 70, bob, permit);
    }

    function _permit(uint256 amount) private view returns (IRootChain.Permit memory) {
        uint256 deadline = _now() + 1 hours;
        bytes32 message =
            keccak256(abi.encode(PERMIT_TYPEHASH, alice, address(rootChain), amount, token.nonces(alice), deadline));
        bytes32 digest = keccak256(bytes.concat(hex"1901", token.DOMAIN_SEPARATOR(), message));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ALICE_KEY, digest);
        return IRootChain.Permit(deadline, v, r, s);
    }
}
