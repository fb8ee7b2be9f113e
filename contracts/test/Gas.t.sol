// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {vm} from "./Vm.sol";

/// @title What each call costs its sender, as a receipt would say
/// @notice Means something under `forge test --isolate` alone, where each call is a transaction of its own. Every test
/// prints `GAS <name> <gas>`.
contract GasTest is RootChainTest {
    /// The test runner prints it.
    event log(string line);

    function setUp() public override {
        super.setUp();
        // A chain in use: each list has had an exit, and what is measured is not the first of its kind.
        _exitingDeposit(carol, 1 ether);
        _commit(0, 0);
    }

    function test_gas_deposit_eth() public {
        _depositEther(alice, 1 ether);
        _report("deposit_eth");
    }

    function test_gas_deposit_erc20() public {
        _depositToken(bob, 10);
        _depositToken(alice, 100);
        _report("deposit_erc20");
    }

    function test_gas_deposit_erc20_first() public {
        _depositToken(alice, 100);
        _report("deposit_erc20_first");
    }

    function test_gas_submit_block() public {
        _advance(12);
        IRootChain.Header memory header = IRootChain.Header({
            number: 2,
            txRoot: keccak256("transactions"),
            utxoRoot: keccak256("unspent"),
            txCount: 1000,
            depositCount: 1,
            timestamp: _now()
        });
        _submit(header);
        _report("submit_block");
    }

    function test_gas_start_se_deposit() public {
        uint64 nonce = _depositEther(alice, 1 ether);
        uint64 hint = _ceil(_now() + MEP);
        _advance(G);
        vm.prank(alice);
        rootChain.startStandardExitOfDeposit{value: BOND}(nonce, ETHER, 1 ether, hint);
        _report("start_se_deposit");
    }

    function test_gas_start_se_deposit_same_key() public {
        uint64 nonce = _depositEther(alice, 1 ether);
        _startExitOfDeposit(nonce, alice, ETHER, 1 ether);
        _report("start_se_deposit_same_key");
    }

    function test_gas_start_se_payment() public {
        Placed memory placed = _placedPayment();
        uint64 hint = _ceil(_now() + MEP);
        vm.prank(alice);
        rootChain.startStandardExit{value: BOND}(placed.body, 0, placed.proof, hint);
        _report("start_se_payment");
    }

    function test_gas_start_se_payment_same_key() public {
        Placed memory placed = _placedPayment();
        _startExit(placed, 1, Output(bob, ETHER, 2 ether));
        _startExit(placed, 0, Output(alice, ETHER, 1 ether));
        _report("start_se_payment_same_key");
    }

    function test_gas_challenge_se_deposit() public {
        IRootChain.ExitRecord memory record = _exitingDeposit(alice, 1 ether);
        _challenge(record, ALICE_KEY);
        _report("challenge_se_deposit");
    }

    function test_gas_challenge_se_payment() public {
        IRootChain.ExitRecord memory record = _startExit(_placedPayment(), 0, Output(alice, ETHER, 1 ether));
        _challenge(record, ALICE_KEY);
        _report("challenge_se_payment");
    }

    function test_gas_process_1() public {
        _advance(2 * G);
        _process(ETHER, _exitsUnderOneKey(ETHER, 1));
        _report("process_1");
    }

    function test_gas_process_10() public {
        _advance(2 * G);
        _process(ETHER, _exitsUnderOneKey(ETHER, 10));
        _report("process_10");
    }

    function test_gas_process_10_erc20() public {
        _exitingTokenDeposit(carol, 5);
        _advance(2 * G);
        _process(address(token), _exitsUnderOneKey(address(token), 10));
        _report("process_10_erc20");
    }

    // -------------------------------------------------------------- internals

    /// A payment with change, in the middle of a block of 2^10.
    function _placedPayment() private returns (Placed memory) {
        bytes memory body =
            _paymentWithChange(keccak256("input"), Output(alice, ETHER, 1 ether), Output(bob, ETHER, 2 ether));
        return _includeAt(body, 613, 1 << 10);
    }

    function _challenge(IRootChain.ExitRecord memory record, uint256 privateKey) private {
        (bytes memory spend, bytes memory signature) =
            _signedPayment(privateKey, record.outputId, bob, ETHER, record.amount);
        vm.prank(bob);
        rootChain.challengeStandardExit(record, spend, signature);
    }

    /// Exits of as many owners, all due; an exit under an earlier key is paid already, and one under a later key waits.
    function _exitsUnderOneKey(address asset, uint256 count) private returns (IRootChain.ExitRecord[] memory records) {
        records = new IRootChain.ExitRecord[](count);
        for (uint256 i = 0; i < count; ++i) {
            address owner = address(uint160(0x1000 + i));
            vm.deal(owner, 10 ether);
            token.mint(owner, 1000);
            vm.prank(owner);
            token.approve(address(rootChain), type(uint256).max);
            records[i] = asset == ETHER ? _exitingDeposit(owner, 1 ether) : _exitingTokenDeposit(owner, 100);
        }
        IRootChain.ExitRecord memory first =
            asset == ETHER ? _earlierRecord(0, ETHER, 1 ether) : _earlierRecord(1, address(token), 5);
        _advanceTo(records[0].key - 1);
        vm.prank(bob);
        rootChain.processExits(asset, _only(first));
        if (asset == ETHER) _exitingDeposit(carol, 1);
        else _exitingTokenDeposit(carol, 5);
        _advance(1);
    }

    function _earlierRecord(uint64 nonce, address asset, uint128 amount)
        private
        view
        returns (IRootChain.ExitRecord memory record)
    {
        record = _depositRecord(nonce, carol, asset, amount);
        record.key = rootChain.exitKeys(asset, 0, 1)[0].key;
    }

    function _report(string memory name) private {
        emit log(string.concat("GAS ", name, " ", _decimal(vm.lastCallGas().gasTotalUsed)));
    }

    function _decimal(uint256 value) private pure returns (string memory digits) {
        for (; value != 0; value /= 10) {
            digits = string.concat(string(abi.encodePacked(bytes1(uint8(48 + value % 10)))), digits);
        }
    }
}
