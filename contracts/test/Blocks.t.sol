// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IOperations} from "../src/interfaces/IOperations.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {FAULT_SLASH, OPERATOR_BOND, RECEIPT_SLASH, RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";

/// @title §2: deployment and blocks
contract BlocksTest is RootChainTest {
    bytes32 private constant TX_ROOT = keccak256("transactions");
    bytes32 private constant UTXO_ROOT = keccak256("unspent");

    // ------------------------------------------------------------ deployment

    function test_constructor_revertsIfOperatorIsZero() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.operator = address(0);
        _expectDeploymentRefused(parameters);
    }

    function test_constructor_revertsIfMepIsZero() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.minimumExitPeriod = 0;
        _expectDeploymentRefused(parameters);
    }

    function test_constructor_revertsIfSunsetIsShorterThanMep() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.sunset = parameters.minimumExitPeriod - 1;
        _expectDeploymentRefused(parameters);
    }

    function test_constructor_revertsIfBountyExceedsBond() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.exitBounty = parameters.exitBond + 1;
        _expectDeploymentRefused(parameters);
    }

    function test_constructor_revertsIfAPiecesBountyExceedsItsBond() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.pieceBounty = parameters.pieceBond + 1;
        _expectDeploymentRefused(parameters);
        parameters = _parameters();
        parameters.pieceBountyPerInput = parameters.pieceBondPerInput + 1;
        _expectDeploymentRefused(parameters);
    }

    function test_constructor_revertsIfAFacetHasNoCode() public {
        for (uint256 i = 0; i < 4; ++i) {
            address[4] memory facets = [address(token), address(token), address(token), address(token)];
            facets[i] = address(0xfacade);
            vm.expectRevert();
            this.deployWith(abi.decode(abi.encode(facets), (IRootChain.Facets)), OPERATOR_BOND);
        }
    }

    /// EIP-170, and EIP-3860 for the code with its constructor's arguments.
    function test_everyContractFitsTheLimitsOnCode() public view {
        string[5] memory names = ["RootChain", "InFlightExits", "Faults", "Operations", "UnspentTree"];
        for (uint256 i = 0; i < names.length; ++i) {
            string memory artifact = string.concat("out/", names[i], ".sol/", names[i], ".json");
            vm.assertGe(24_576, vm.getDeployedCode(artifact).length, names[i]);
            vm.assertGe(49_152, vm.getCode(artifact).length + abi.encode(_parameters()).length + 4 * 32, names[i]);
        }
    }

    function test_constructor_revertsIfTheBondIsShort() public {
        IRootChain.Facets memory facets =
            IRootChain.Facets(address(token), address(token), address(token), address(token));
        vm.expectRevert();
        this.deployWith(facets, FAULT_SLASH + RECEIPT_SLASH - 1);
        this.deployWith(facets, FAULT_SLASH + RECEIPT_SLASH);
    }

    function deployWith(IRootChain.Facets calldata facets, uint256 bond) external {
        vm.deployCode("out/RootChain.sol/RootChain.json", abi.encode(_parameters(), facets), bond);
    }

    function test_constructor_startsTheChain() public {
        IRootChain fresh = _deploy(_parameters());
        IRootChain.ChainHead memory head = fresh.head();
        vm.assertEq(head.nextNumber, 1, "next number");
        vm.assertEq(head.lastTimestamp, _now(), "last timestamp");
        vm.assertEq(head.depositCount, 0, "covered deposits");
        vm.assertEq(head.nextNonce, 0, "next nonce");
        vm.assertEq(head.haltedFrom, 0, "halted from");
        vm.assertEq(head.haltedAt, 0, "halted at");
        vm.assertEq(head.closedAt, 0, "closed at");
        vm.assertEq(fresh.deploymentBlock(), vm.getBlockNumber(), "deployment block");
        vm.assertEq(fresh.operatorOf(1), operator, "operator");
        vm.assertEq(fresh.blocks(0), 0, "no block zero");
    }

    function test_periodsDeriveFromMep() public {
        IRootChain.Periods memory periods = rootChain.periods();
        vm.assertEq(periods.minimumExitPeriod, 7 days, "MEP");
        vm.assertEq(periods.granularity, 1 hours, "G");
        vm.assertEq(periods.freezeDelay, 21 hours, "F");
        vm.assertEq(periods.grace, 6 hours, "grace");
        vm.assertEq(periods.sunset, 30 days, "sunset");
        vm.assertEq(rootChain.bonds().exitBond, BOND, "bond");
        vm.assertEq(rootChain.bonds().exitBounty, BOUNTY, "bounty");
        vm.assertEq(rootChain.bonds().inFlightBond, IN_FLIGHT_BOND, "in-flight bond");
        vm.assertEq(rootChain.bonds().pieceBond, PIECE_BOND, "piece bond");
        vm.assertEq(rootChain.bonds().pieceBondPerInput, PIECE_BOND_PER_INPUT, "piece bond per input");
        vm.assertEq(rootChain.bonds().pieceBounty, PIECE_BOUNTY, "piece bounty");
        vm.assertEq(rootChain.bonds().pieceBountyPerInput, PIECE_BOUNTY_PER_INPUT, "piece bounty per input");

        IRootChain.Parameters memory parameters = _parameters();
        parameters.minimumExitPeriod = 600;
        periods = _deploy(parameters).periods();
        vm.assertEq(periods.granularity, 3, "G of a devnet");
        vm.assertEq(periods.freezeDelay, 75, "F of a devnet");
        vm.assertEq(periods.grace, 21, "grace of a devnet");

        parameters.minimumExitPeriod = 7;
        periods = _deploy(parameters).periods();
        vm.assertEq(periods.granularity, 1, "least G");
        vm.assertEq(periods.freezeDelay, 1, "least F");
        vm.assertEq(periods.grace, 1, "least grace");
    }

    function test_noEtherIsTakenPastDeposit() public {
        vm.prank(alice);
        (bool success,) = address(rootChain).call{value: 1}("");
        vm.assertFalse(success, "plain transfer");
        // Nor by a facet's function that asks for none, or by one that nobody has.
        bytes[4] memory calls = [
            abi.encodeCall(IOperations.closeChain, ()),
            abi.encodeCall(IFaults.announceFault, (0)),
            abi.encodeCall(IUnspentTree.answerMissing, (_nextHeader(), 0, "")),
            bytes(hex"12345678")
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(alice);
            bytes memory reason;
            (success, reason) = address(rootChain).call{value: 1}(calls[i]);
            vm.assertFalse(success, "a call with value");
            vm.assertEq(reason.length, 0, "refused before it begins");
        }
    }

    function test_anUnknownFunctionIsRefused() public {
        bytes[4] memory calls = [bytes(""), hex"00", hex"123456", hex"12345678"];
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool success, bytes memory reason) = address(rootChain).call(calls[i]);
            vm.assertTrue(!success && reason.length == 0, "taken");
        }
    }

    // ---------------------------------------------------------------- blocks

    function test_submitBlock_revertsIfNotOperator() public {
        IRootChain.Header memory header = _nextHeader();
        vm.expectRevert(abi.encodeWithSelector(IRootChain.NotOperator.selector, alice));
        _submitAs(alice, header, _anchor(), header.timestamp);
    }

    function test_submitBlock_revertsIfHalted() public {
        _haltFrom(1);
        _expectRefused(_nextHeader(), abi.encodeWithSelector(IRootChain.ChainStopped.selector, 1, 0));
    }

    function test_submitBlock_revertsIfClosed() public {
        _close();
        _expectRefused(_nextHeader(), abi.encodeWithSelector(IRootChain.ChainStopped.selector, 0, _now()));
    }

    function test_submitBlock_revertsIfNumberIsNotTheNext() public {
        IRootChain.Header memory header = _nextHeader();
        header.number = 2;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongBlockNumber.selector, 2, 1));
        header.number = 0;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongBlockNumber.selector, 0, 1));
    }

    function test_submitBlock_revertsIfNumbersAreExhausted() public {
        uint64 limit = 1 << 39;
        vm.store(address(rootChain), HEAD_SLOT, bytes32(uint256(limit - 1)));
        IRootChain.Header memory header = _nextHeader();
        header.number = limit - 1;
        _submit(header);
        _advance(12);
        header.number = limit;
        header.timestamp = _now();
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongBlockNumber.selector, limit, limit));
    }

    function test_submitBlock_revertsIfTxCountIsAboveItsLimit() public {
        IRootChain.Header memory header = _nextHeader();
        header.txCount = (1 << 20) + 1;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongTxCount.selector, header.txCount, TX_ROOT));
        header.txCount = 1 << 20;
        _submit(header);
    }

    function test_submitBlock_revertsIfOnlyOneOfTxCountAndTxRootIsZero() public {
        IRootChain.Header memory header = _nextHeader();
        header.txCount = 0;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongTxCount.selector, 0, TX_ROOT));
        header.txCount = 1;
        header.txRoot = 0;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongTxCount.selector, 1, 0));
    }

    function test_submitBlock_revertsIfDepositCountFallsOrRunsAhead() public {
        _depositEther(alice, 1);
        _depositEther(alice, 1);
        _commit(0, 0);
        _depositEther(alice, 1);
        _advance(12);
        IRootChain.Header memory header = _nextHeader();
        header.number = 2;
        header.depositCount = 1;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongDepositCount.selector, 1, 2, 3));
        header.depositCount = 4;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.WrongDepositCount.selector, 4, 2, 3));
        header.depositCount = 2;
        _submit(header);
    }

    function test_submitBlock_revertsIfTimestampIsThatOfTheLastBlock() public {
        _commit(TX_ROOT, 1);
        IRootChain.Header memory header = _nextHeader();
        header.number = 2;
        _expectRefused(header, abi.encodeWithSelector(IRootChain.TimestampNotLater.selector, _now(), _now()));
        _advance(1);
        header.timestamp = _now();
        _submit(header);
    }

    function test_submitBlock_revertsAfterNotAfter() public {
        IRootChain.Header memory header = _nextHeader();
        vm.expectRevert(abi.encodeWithSelector(IRootChain.SubmittedTooLate.selector, _now(), _now() - 1));
        _submitAs(operator, header, _anchor(), _now() - 1);
        _submitAs(operator, header, _anchor(), _now());
    }

    function test_submitBlock_revertsIfAnchorIsOfAnotherBranch() public {
        IRootChain.Header memory header = _nextHeader();
        uint64 anchor = _anchor();
        bytes memory unknown = abi.encodeWithSelector(IRootChain.UnknownAnchor.selector, anchor, keccak256("other"));
        vm.prank(operator);
        vm.expectRevert(unknown);
        rootChain.submitBlock(1, TX_ROOT, UTXO_ROOT, 1, 0, anchor, keccak256("other"), header.timestamp);
    }

    function test_submitBlock_revertsIfAnchorIsNotAmongTheLast256() public {
        uint64 number = uint64(vm.getBlockNumber());
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.UnknownAnchor.selector, number - 257, 0));
        rootChain.submitBlock(1, TX_ROOT, UTXO_ROOT, 1, 0, number - 257, 0, _now());
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IRootChain.UnknownAnchor.selector, number, 0));
        rootChain.submitBlock(1, TX_ROOT, UTXO_ROOT, 1, 0, number, 0, _now());
        _submitAs(operator, _nextHeader(), number - 256, _now());
    }

    function test_submitBlock_keepsTheCommitmentAndMovesTheHead() public {
        _depositEther(alice, 1);
        _depositEther(bob, 1);
        IRootChain.Header memory header = _nextHeader();
        header.txCount = 5;
        header.depositCount = 1;
        vm.expectEmit(address(rootChain));
        emit IRootChain.BlockSubmitted(1, TX_ROOT, UTXO_ROOT, 5, 1, _now());
        _submit(header);

        vm.assertEq(rootChain.blocks(1), keccak256(abi.encode(header)), "commitment");
        IRootChain.ChainHead memory head = rootChain.head();
        vm.assertEq(head.nextNumber, 2, "next number");
        vm.assertEq(head.lastTimestamp, _now(), "last timestamp");
        vm.assertEq(head.depositCount, 1, "covered deposits");
        vm.assertEq(head.nextNonce, 2, "next nonce");
        _assertOwed(ETHER, 2);
        vm.assertEq(rootChain.blocks(2), 0, "no second block");
    }

    function test_submitBlock_takesEmptyBlocks() public {
        IRootChain.Header memory header = _nextHeader();
        header.txRoot = 0;
        header.txCount = 0;
        _submit(header);
        vm.assertEq(rootChain.blocks(1), keccak256(abi.encode(header)), "commitment");
    }

    // -------------------------------------------------------------- internals

    function _expectDeploymentRefused(IRootChain.Parameters memory parameters) private {
        try this.deploy(parameters) {
            vm.assertTrue(false, "deployed");
        } catch (bytes memory reason) {
            vm.assertTrue(bytes4(reason) == IRootChain.InvalidParameters.selector, "refused for another reason");
        }
    }

    /// External, so that its failure can be caught.
    function deploy(IRootChain.Parameters memory parameters) external returns (IRootChain) {
        return _deploy(parameters);
    }

    function _nextHeader() private view returns (IRootChain.Header memory) {
        return IRootChain.Header(1, TX_ROOT, UTXO_ROOT, 1, 0, _now());
    }

    function _anchor() private view returns (uint64) {
        return uint64(vm.getBlockNumber()) - 3;
    }

    function _expectRefused(IRootChain.Header memory header, bytes memory reason) private {
        vm.expectRevert(reason);
        _submitAs(operator, header, _anchor(), header.timestamp);
    }

    function _submitAs(address sender, IRootChain.Header memory header, uint64 anchor, uint64 notAfter) private {
        vm.prank(sender);
        rootChain.submitBlock(
            header.number,
            header.txRoot,
            header.utxoRoot,
            header.txCount,
            header.depositCount,
            anchor,
            blockhash(anchor),
            notAfter
        );
    }
}
