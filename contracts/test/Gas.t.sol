// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {PieceSet} from "../src/types/PieceSet.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";

/// @title What each call costs its sender, as a receipt would say
/// @notice Means something under `forge test --isolate` alone, where each call is a transaction of its own. Every test
/// prints `GAS <name> <gas>`.
contract GasTest is InFlightTest {
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

    // -------------------------------------------------------- in-flight exits

    function test_gas_start_ife_1in2out() public {
        _startOf(1, 2);
        _report("start_ife_1in2out");
    }

    function test_gas_start_ife_2in2out() public {
        _startOf(2, 2);
        _report("start_ife_2in2out");
    }

    function test_gas_start_ife_4in4out() public {
        _startOf(4, 4);
        _report("start_ife_4in4out");
    }

    function test_gas_start_ife_16in16out() public {
        _startOf(16, 16);
        _report("start_ife_16in16out");
    }

    function test_gas_ife_improve_1in2out() public {
        Output[] memory made = _outputs(Output(alice, ETHER, 2 ether));
        bytes memory parent = _body(new bytes32[](1), made, 0);
        Coin memory older = _coinOf(_includeAt(parent, 613, 1 << 10), 0, made[0]);
        _advance(3 days);
        Coin memory younger = _coinOf(_includeAt(parent, 614, 1 << 10), 0, made[0]);
        Flight memory flight = _startInFlight(bob, _coins(younger), _transactionOver(_coins(younger), 2));
        _piggyback(alice, flight, _pieces(_output(0), _output(1)));
        // Another exit under the key that it falls to.
        _exitingDeposit(carol, 1);
        uint64[] memory hints = new uint64[](3);
        hints[1] = hints[2] = _ceil(_now() + MEP);
        vm.prank(alice);
        inFlight.improveInFlightExit(flight.transaction.body, flight.data, _input(0), _proofs(_coins(older)), hints);
        _report("ife_improve_1in2out");
    }

    function test_gas_piggyback_output_first() public {
        Flight memory flight = _startOf(1, 2);
        uint64 hint = rootChain.exitKeys(ETHER, 0, 1)[0].key;
        vm.prank(alice);
        inFlight.piggyback{value: _pieceBond(flight)}(flight.transaction.body, "", _output(0), hint);
        _report("piggyback_output_first");
    }

    function test_gas_piggyback_output() public {
        Flight memory flight = _startOf(1, 2);
        _piggyback(alice, flight, _output(0));
        vm.prank(alice);
        inFlight.piggyback{value: _pieceBond(flight)}(flight.transaction.body, "", _output(1), flight.key);
        _report("piggyback_output");
    }

    function test_gas_piggyback_input() public {
        Flight memory flight = _startOf(1, 2);
        _piggyback(alice, flight, _output(0));
        _piggyback(alice, flight, _input(0));
        _report("piggyback_input");
    }

    function test_gas_ife_challenge_noncanonical() public {
        Coin[] memory coins = _placedCoins(1);
        Flight memory flight = _startInFlight(bob, coins, _transactionOver(coins, 2));
        _challengeCanonicity(carol, flight, 0, _notIncluded(_spendOf(ALICE_KEY, coins[0], carol)));
        _report("ife_challenge_noncanonical");
    }

    function test_gas_ife_challenge_noncanonical_included() public {
        Coin[] memory coins = _placedCoins(1);
        Signed memory competitor = _spendOf(ALICE_KEY, coins[0], carol);
        Placed memory placed = _includeAt(competitor.body, 613, 1 << 10);
        Flight memory flight = _startInFlight(bob, coins, _transactionOver(coins, 2));
        _challengeCanonicity(carol, flight, 0, _competitor(competitor, placed.proof));
        _report("ife_challenge_noncanonical_included");
    }

    function test_gas_ife_respond() public {
        Coin[] memory coins = _placedCoins(1);
        Signed memory transaction = _transactionOver(coins, 2);
        Placed memory placed = _includeAt(transaction.body, 613, 1 << 10);
        Flight memory flight = _startInFlight(bob, coins, transaction);
        _challengeCanonicity(carol, flight, 0, _notIncluded(_spendOf(ALICE_KEY, coins[0], carol)));
        _respond(bob, flight, placed);
        _report("ife_respond");
    }

    function test_gas_ife_challenge_input_spent() public {
        Coin[] memory coins = _placedCoins(1);
        Signed memory spend = _spendOf(ALICE_KEY, coins[0], carol);
        Placed memory placed = _includeAt(spend.body, 613, 1 << 10);
        Flight memory flight = _startInFlight(bob, coins, _transactionOver(coins, 2));
        _piggyback(alice, flight, _input(0));
        _challengePiece(carol, flight, 0, _competitor(spend, placed.proof));
        _report("ife_challenge_input_spent");
    }

    function test_gas_ife_challenge_output_spent() public {
        Coin[] memory coins = _placedCoins(1);
        Signed memory transaction = _transactionOver(coins, 2);
        Placed memory placed = _includeAt(transaction.body, 613, 1 << 10);
        Flight memory flight = _startInFlight(bob, coins, transaction);
        _piggyback(alice, flight, _output(0));
        Signed memory spend = _spendOf(ALICE_KEY, _outputCoin(transaction, placed, 0), carol);
        vm.prank(carol);
        inFlight.challengePieceSpent(flight.transaction.body, "", 16, _competitor(spend, placed.proof));
        _report("ife_challenge_output_spent");
    }

    function test_gas_ife_close() public {
        Flight memory flight = _startOf(1, 2);
        _advance(HALF);
        vm.prank(bob);
        inFlight.closeInFlightExit(flight.transaction.txHash, flight.data);
        _report("ife_close");
    }

    function test_gas_process_ife_1in2out_2outputs() public {
        _processOutputsOf(_startOf(1, 2), 2);
        _report("process_ife_1in2out_2outputs");
    }

    function test_gas_process_ife_4in4out_4outputs() public {
        _processOutputsOf(_startOf(4, 4), 4);
        _report("process_ife_4in4out_4outputs");
    }

    // -------------------------------------------------------------- internals

    /// Starts an exit of a transaction over coins of as many blocks of 2^10.
    function _startOf(uint256 inputs, uint256 outputs) private returns (Flight memory) {
        Coin[] memory coins = _placedCoins(inputs);
        return _startInFlight(bob, coins, _transactionOver(coins, outputs));
    }

    function _placedCoins(uint256 count) private returns (Coin[] memory coins) {
        _advance(2 * G);
        coins = new Coin[](count);
        for (uint256 i = 0; i < count; ++i) {
            _depositEther(carol, 2 ether);
            Output memory output = Output(alice, ETHER, 2 ether);
            bytes memory body = _paymentWithChange(keccak256(abi.encode(i)), output, Output(bob, ETHER, 2 ether));
            // 16 payments with change would cost more as calldata (EIP-7623) than the call does.
            if (count == 16) body = _payment(keccak256(abi.encode(i)), alice, ETHER, 2 ether);
            coins[i] = _coinOf(_includeAt(body, 613, 1 << 10), 0, output);
        }
        _sort(coins);
        _advance(12);
    }

    /// A transaction of alice to herself.
    function _transactionOver(Coin[] memory coins, uint256 count) private view returns (Signed memory) {
        Output[] memory outputs = new Output[](count);
        for (uint256 i = 0; i < count; ++i) {
            outputs[i] = Output(alice, ETHER, uint128(coins.length * 2 ether / count));
        }
        return _signed(ALICE_KEY, _ids(coins), outputs);
    }

    /// Pays all outputs, each to an owner of its own account that has ether; a later key waits.
    function _processOutputsOf(Flight memory flight, uint8 count) private {
        uint32 bits = 0;
        for (uint8 i = 0; i < count; ++i) {
            bits |= uint32(1) << (16 + i);
        }
        _piggyback(alice, flight, PieceSet.wrap(bits));
        IRootChain.ExitRecord memory earlier = _earlierRecord(0, ETHER, 1 ether);
        _advanceTo(flight.key - 1);
        vm.prank(bob);
        rootChain.processExits(ETHER, _only(earlier), _noPieces());
        _exitingDeposit(carol, 1);
        _advance(1);
        _processPieces(ETHER, flight);
    }

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
        rootChain.processExits(asset, _only(first), _noPieces());
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
