// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IToken} from "../src/interfaces/IToken.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {RootChainTest} from "./RootChainTest.sol";
import {SparseTree} from "./SparseTree.sol";
import {Vm, vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title Random moves of users, a cheating operator, and hostile payees
contract Moves is RootChainTest {
    /// A coin that can be exited: of a deposit, or of a block, which may have made it from nothing.
    struct Coin {
        bool isDeposit;
        uint64 nonce;
        uint256 owner;
        Output output;
        Placed placed;
    }

    /// A claim that a block's tree lacks a coin.
    struct Claim {
        IRootChain.Header header;
        Position position;
    }

    uint256 private constant PERSONS = 3;
    /// A proof of membership in a tree of one coin.
    bytes private constant ALONE = hex"0000000000000000";

    uint256[PERSONS] private _keys = [ALICE_KEY, BOB_KEY, CAROL_KEY];
    HostileReceiver[] public receivers;
    Coin[] private _coins;
    IRootChain.ExitRecord[] private _pending;
    Claim[] private _claims;
    /// Each tree holds what its block made, and nothing else.
    SparseTree.Entry private _held;
    mapping(uint64 number => IRootChain.Header) private _headers;
    mapping(bytes32 outputId => uint256) private _timesPaid;
    bool public isAnythingPaidTwice;

    function setUp() public override {
        super.setUp();
        receivers.push(new HostileReceiver(HostileReceiver.Behaviour.Reverts));
        receivers.push(new HostileReceiver(HostileReceiver.Behaviour.BurnsGas));
        receivers.push(new HostileReceiver(HostileReceiver.Behaviour.BombsReturnData));
    }

    // ----------------------------------------------------------------- moves

    function depositEther(uint256 person, uint64 amount) external {
        uint256 owner = person % PERSONS;
        if (amount == 0) return;
        uint64 nonce = _depositEther(_person(owner), amount);
        _addDeposit(nonce, owner, ETHER, amount);
    }

    function depositToken(uint256 person, uint8 amount) external {
        uint256 owner = person % PERSONS;
        if (amount == 0) return;
        uint64 nonce = _depositToken(_person(owner), amount);
        _addDeposit(nonce, owner, address(token), amount);
    }

    /// Includes a transaction that no input covers.
    function mintOnChildChain(uint256 person, bool isEther, uint64 amount) external {
        if (amount == 0 || rootChain.head().haltedFrom != 0) return;
        uint256 owner = person % PERSONS;
        Output memory output = Output(_person(owner), isEther ? ETHER : address(token), amount);
        bytes memory body = _payment(bytes32(_coins.length), output.owner, output.asset, output.amount);
        bytes memory held = bytes.concat(hex"01", bytes20(output.owner), bytes20(output.asset), bytes16(output.amount));
        _held.key = Position.unwrap(outputPosition(rootChain.head().nextNumber, 0, 0));
        _held.value = keccak256(bytes.concat(_outputId(body, 0), held));
        Placed memory placed = _include(body);
        _headers[placed.proof.header.number] = placed.proof.header;
        Coin storage coin = _coins.push();
        coin.owner = owner;
        coin.output = output;
        coin.placed = placed;
    }

    function start(uint256 index, uint64 hint) external {
        if (_coins.length == 0) return;
        Coin memory coin = _coins[index % _coins.length];
        Output memory output = coin.output;
        IRootChain.ExitRecord memory record = coin.isDeposit
            ? _depositRecord(coin.nonce, output.owner, output.asset, output.amount)
            : _outputRecord(coin.placed, 0, output);
        vm.prank(output.owner);
        if (coin.isDeposit) {
            rootChain.startStandardExitOfDeposit{value: BOND}(coin.nonce, output.asset, output.amount, hint);
        } else {
            rootChain.startStandardExit{value: BOND}(coin.placed.body, 0, coin.placed.proof, hint);
        }
        _pending.push(record);
    }

    function challenge(uint256 index) external {
        if (_pending.length == 0) return;
        IRootChain.ExitRecord memory record = _pending[index % _pending.length];
        uint256 privateKey = record.owner == alice ? ALICE_KEY : record.owner == bob ? BOB_KEY : CAROL_KEY;
        (bytes memory spend, bytes memory signature) =
            _signedPayment(privateKey, record.outputId, bob, record.asset, record.amount);
        vm.prank(bob);
        rootChain.challengeStandardExit(record, spend, signature);
        _forgetEnded();
    }

    function assign(uint256 index, uint256 to) external {
        if (_pending.length == 0) return;
        IRootChain.ExitRecord memory record = _pending[index % _pending.length];
        vm.prank(record.owner);
        rootChain.assignExit(record, address(receivers[to % receivers.length]));
    }

    function process(bool isEther, uint256 from) external {
        _processFrom(isEther ? ETHER : address(token), from);
    }

    /// Says that a coin is missing from the tree of some block: it is, but from that of its own.
    function claimMissing(uint256 index, uint256 number, uint256 by) external {
        if (_coins.length == 0) return;
        Coin memory coin = _coins[index % _coins.length];
        IRootChain.Header memory header = _headers[uint64(1 + number % rootChain.head().nextNumber)];
        IRootChain.Parameters memory parameters = _parameters();
        address claimant = address(receivers[by % receivers.length]);
        vm.deal(claimant, parameters.missingBond);
        vm.prank(claimant);
        IUnspentTree(address(rootChain)).claimMissing{value: parameters.missingBond}(
            header, _creation(coin), coin.placed.proof
        );
        _claims.push(Claim(header, _position(coin)));
    }

    function answerMissing(uint256 index) external {
        if (_claims.length == 0) return;
        Claim memory claim = _claims[index % _claims.length];
        vm.prank(processor);
        IUnspentTree(address(rootChain)).answerMissing(claim.header, Position.unwrap(claim.position), ALONE);
        _forgetEndedClaims();
    }

    function convictMissing(uint256 index) external {
        if (_claims.length == 0 || index % 8 != 0) return;
        Claim memory claim = _claims[index / 8 % _claims.length];
        IUnspentTree(address(rootChain)).convictMissing(claim.header, Position.unwrap(claim.position));
        _forgetEndedClaims();
    }

    function reclaimMissing(uint256 index) external {
        if (_claims.length == 0) return;
        Claim memory claim = _claims[index % _claims.length];
        IUnspentTree(address(rootChain)).reclaimMissing(claim.header, Position.unwrap(claim.position));
        _forgetEndedClaims();
    }

    function withdrawSettled(uint256 index) external {
        if (_coins.length != 0) _withdraw(_coins[index % _coins.length]);
    }

    function halt(uint64 number) external {
        if (number % 64 != 0) return;
        _haltFrom(1 + number % rootChain.head().nextNumber);
    }

    function wait(uint256 secs) external {
        _advance(secs % (3 days));
    }

    // ------------------------------------------------------------- afterwards

    /// Processes all that is pending once its time has come.
    function drain() external {
        _advance(3 * MEP);
        _processFrom(ETHER, 0);
        _processFrom(address(token), 0);
    }

    /// Ends the chain if it has not ended, and withdraws all that is left of it.
    function settle() external {
        if (rootChain.head().haltedFrom == 0) _close();
        _advance(3 * MEP);
        for (uint256 i = 0; i < _coins.length; ++i) {
            _withdraw(_coins[i]);
        }
        while (_claims.length != 0) {
            this.reclaimMissing(0);
        }
    }

    function openClaims() external view returns (uint256) {
        return _claims.length;
    }

    function pending() external view returns (IRootChain.ExitRecord[] memory) {
        return _pending;
    }

    function vault() external view returns (IRootChain, address) {
        return (rootChain, address(token));
    }

    // -------------------------------------------------------------- internals

    function _person(uint256 index) private view returns (address) {
        return vm.addr(_keys[index]);
    }

    function _addDeposit(uint64 nonce, uint256 owner, address asset, uint128 amount) private {
        Coin storage coin = _coins.push();
        coin.isDeposit = true;
        coin.nonce = nonce;
        coin.owner = owner;
        coin.output = Output(_person(owner), asset, amount);
    }

    /// Shows all pending exits from one of them on; those whose turn it is not are skipped. Several rounds, since an
    /// exit under a later key may be shown before one under an earlier key.
    function _processFrom(address asset, uint256 from) private {
        uint256 length = _pending.length;
        IRootChain.ExitRecord[] memory records = new IRootChain.ExitRecord[](length);
        for (uint256 i = 0; i < length; ++i) {
            records[i] = _pending[(i + from % length) % length];
        }
        vm.recordLogs();
        for (uint256 round = 0; round <= length; ++round) {
            _process(asset, records);
        }
        _countPayments(IRootChain.ExitPaid.selector);
        _forgetEnded();
    }

    /// Withdraws a coin that the last good tree holds, or a deposit that no good block covers; no other can be.
    function _withdraw(Coin memory coin) private {
        IRootChain.ChainHead memory head = rootChain.head();
        uint64 last = (head.haltedFrom == 0 ? head.nextNumber : head.haltedFrom) - 1;
        Output memory output = coin.output;
        bytes memory call = coin.isDeposit
            ? abi.encodeCall(
                IUnspentTree.withdrawSettledDeposit,
                (_headers[last], coin.nonce, output.owner, output.asset, output.amount)
            )
            : abi.encodeCall(IUnspentTree.withdrawSettled, (_headers[last], ALONE, _creation(coin), coin.placed.proof));
        vm.recordLogs();
        vm.prank(output.owner);
        (bool success,) = address(rootChain).call(call);
        if (success) _countPayments(IUnspentTree.CoinWithdrawn.selector);
    }

    function _countPayments(bytes32 selector) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != selector) continue;
            if (++_timesPaid[logs[i].topics[1]] > 1) isAnythingPaidTwice = true;
        }
    }

    function _unspentRoot(uint64) internal view override returns (bytes32) {
        SparseTree.Entry[] memory entries = new SparseTree.Entry[](1);
        entries[0] = _held;
        return SparseTree.root(entries);
    }

    function _position(Coin memory coin) private pure returns (Position) {
        return coin.isDeposit ? depositPosition(coin.nonce) : outputPosition(coin.placed.proof.header.number, 0, 0);
    }

    function _creation(Coin memory coin) private pure returns (IFaults.Creation memory) {
        Output memory output = coin.output;
        bytes memory fields = bytes.concat(bytes20(output.owner), bytes20(output.asset), bytes16(output.amount));
        return coin.isDeposit ? IFaults.Creation(fields, coin.nonce) : IFaults.Creation(coin.placed.body, 0);
    }

    function _forgetEndedClaims() private {
        for (uint256 i = _claims.length; i != 0; --i) {
            Claim memory claim = _claims[i - 1];
            (, uint64 claimedAt,) = rootChain.missingClaims(claim.header.number, claim.position);
            if (claimedAt != 0) continue;
            _claims[i - 1] = _claims[_claims.length - 1];
            _claims.pop();
        }
    }

    function _forgetEnded() private {
        for (uint256 i = _pending.length; i != 0; --i) {
            (bytes32 recordHash,,) = rootChain.coin(_pending[i - 1].outputId);
            if (recordHash != 0) continue;
            _pending[i - 1] = _pending[_pending.length - 1];
            _pending.pop();
        }
    }
}

/// @title What holds after any moves
contract InvariantsTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Moves private _moves;
    IRootChain private _rootChain;
    address private _token;

    function setUp() public {
        _moves = new Moves();
        _moves.setUp();
        (_rootChain, _token) = _moves.vault();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_moves);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](14);
        selectors[0] = Moves.depositEther.selector;
        selectors[1] = Moves.depositToken.selector;
        selectors[2] = Moves.mintOnChildChain.selector;
        selectors[3] = Moves.start.selector;
        selectors[4] = Moves.challenge.selector;
        selectors[5] = Moves.assign.selector;
        selectors[6] = Moves.process.selector;
        selectors[7] = Moves.halt.selector;
        selectors[8] = Moves.wait.selector;
        selectors[9] = Moves.claimMissing.selector;
        selectors[10] = Moves.answerMissing.selector;
        selectors[11] = Moves.convictMissing.selector;
        selectors[12] = Moves.reclaimMissing.selector;
        selectors[13] = Moves.withdrawSettled.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(_moves), selectors);
    }

    /// To the wei: no ether comes but by deposits and bonds.
    function invariant_vaultHoldsWhatItOwesCreditsAndBonds() public view {
        IRootChain.Bonds memory bonds = _rootChain.bonds();
        (uint256 owed,) = _rootChain.assetOf(address(0));
        vm.assertEq(
            address(_rootChain).balance,
            _operatorBond() + owed + _credits(address(0)) + _moves.pending().length * uint256(bonds.exitBond)
                + _moves.openClaims() * bonds.missingBond,
            "ether"
        );
        (owed,) = _rootChain.assetOf(_token);
        vm.assertEq(IToken(_token).balanceOf(address(_rootChain)), owed + _credits(_token), "tokens");
    }

    function invariant_noOutputIsPaidTwice() public view {
        vm.assertFalse(_moves.isAnythingPaidTwice(), "paid twice");
    }

    function invariant_keysAreSortedAndCountPendingExits() public view {
        _checkKeys(address(0));
        _checkKeys(_token);
    }

    /// Whatever happened before, every exit ends and every list empties, and then the chain is settled.
    function afterInvariant() public {
        _moves.drain();
        vm.assertEq(_moves.pending().length, 0, "pending");
        vm.assertEq(_rootChain.exitKeys(address(0), 0, 1).length, 0, "ether's keys");
        vm.assertEq(_rootChain.exitKeys(_token, 0, 1).length, 0, "the token's keys");
        invariant_vaultHoldsWhatItOwesCreditsAndBonds();
        _moves.settle();
        vm.assertEq(_moves.openClaims(), 0, "open claims");
        invariant_vaultHoldsWhatItOwesCreditsAndBonds();
        invariant_noOutputIsPaidTwice();
    }

    // -------------------------------------------------------------- internals

    function _checkKeys(address asset) private view {
        IRootChain.ExitKey[] memory keys = _rootChain.exitKeys(asset, 0, type(uint256).max);
        IRootChain.ExitRecord[] memory pending = _moves.pending();
        uint256 counted = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            if (i != 0) vm.assertTrue(keys[i].key > keys[i - 1].key, "order");
            uint256 expected = 0;
            for (uint256 j = 0; j < pending.length; ++j) {
                if (pending[j].asset == asset && pending[j].key == keys[i].key) ++expected;
            }
            vm.assertEq(keys[i].count, expected, "count");
            counted += expected;
        }
        for (uint256 j = 0; j < pending.length; ++j) {
            if (pending[j].asset == asset) --counted;
        }
        vm.assertEq(counted, 0, "every pending exit has its key");
    }

    function _operatorBond() private view returns (uint256) {
        (uint128 faultPart, uint128 receiptPart) = _rootChain.operatorBond();
        return uint256(faultPart) + receiptPart;
    }

    function _credits(address asset) private view returns (uint256 sum) {
        for (uint256 i = 0; i < 3; ++i) {
            sum += _rootChain.claimable(address(_moves.receivers(i)), asset);
        }
    }
}
