// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {FAULT_SLASH} from "./RootChainTest.sol";
import {UnspentTest} from "./UnspentTest.sol";
import {vm} from "./Vm.sol";

/// @title R8: what an unspent tree must not hold
contract HeldKeysTest is UnspentTest {
    /// The three ways of being held wrongly.
    enum Lie {
        Spent,
        NotMade,
        NotDeposited
    }

    /// What is shown; what a prover does not ask for is empty.
    struct Evidence {
        Lie lie;
        IUnspentTree.HeldKey held;
        bytes32 outputId;
        bytes output;
        Leaf spend;
        IFaults.Origin origin;
        IFaults.Creation creation;
    }

    modifier forEveryLie() {
        for (uint256 i = 0; i <= uint256(type(Lie).max); ++i) {
            uint256 snapshot = vm.snapshotState();
            _lie = Lie(i);
            _;
            vm.revertToState(snapshot);
        }
    }

    Lie private _lie;

    // ------------------------------------------------------------- all three

    function test_R8_convicts() public forEveryLie {
        Evidence memory e = _guiltyOf(_lie);
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_rewardsWhoAnnounced() public forEveryLie {
        Evidence memory e = _guiltyOf(_lie);
        bytes memory call = _callOf(e);
        _announce(alice, call);
        _rootBlocks(2);
        uint256 balance = alice.balance;
        _send(alice, call);
        vm.assertEq(alice.balance, balance + FAULT_SLASH / 2, "alice");
        _assertRefused(alice, call, _reason(IFaults.AlreadyConvicted.selector, e.held.header.number));
    }

    /// Whoever copies the proof halts the chain, and the reward waits for the announcer.
    function test_R8_leavesTheRewardToWhoAnnounced() public forEveryLie {
        Evidence memory e = _guiltyOf(_lie);
        bytes memory call = _callOf(e);
        _announce(alice, call);
        _rootBlocks(2);
        _assertConvicts(call, e.held.header.number, 8);
        _assertRefused(accuser, call, _reason(IFaults.AlreadyConvicted.selector, e.held.header.number));
        uint256 balance = alice.balance;
        _send(alice, call);
        vm.assertEq(alice.balance, balance + FAULT_SLASH / 2, "alice");
    }

    function test_R8_refusesAHeaderThatWasNotCommitted() public forEveryLie {
        Evidence memory e = _guiltyOf(_lie);
        e.held.header.utxoRoot = keccak256("another root");
        _assertRefused(accuser, _callOf(e), _reason(IRootChain.UnknownHeader.selector, e.held.header.number));
    }

    function test_R8_refusesAVoidBlock() public forEveryLie {
        Accusation memory earlier = _guilty(Prover.NotCanonical);
        Evidence memory e = _guiltyOf(_lie);
        _assertConvicts(earlier);
        _assertRefused(accuser, _callOf(e), _reason(IRootChain.VoidBlock.selector, e.held.header.number));
    }

    function test_R8_convictsUntilTwoMepAfterTheBlock() public forEveryLie {
        Evidence memory e = _guiltyOf(_lie);
        uint64 until = e.held.header.timestamp + 2 * uint64(MEP);
        uint256 snapshot = vm.snapshotState();
        _advanceTo(until - 1);
        _assertConvicts(_callOf(e), e.held.header.number, 8);
        vm.revertToState(snapshot);
        _advanceTo(until);
        // Whatever the evidence is worth.
        e.held.proof = "";
        _assertRefused(accuser, _callOf(e), _reason(IFaults.TooLateToProve.selector, until));
    }

    function test_R8_refusesWhatTheTreeDoesNotHold() public forEveryLie {
        Evidence memory e = _guiltyOf(_lie);
        bytes memory notHeld = _reason(IUnspentTree.NotHeld.selector);
        bytes memory proof = e.held.proof;
        e.held.proof = bytes.concat(proof, hex"00");
        _assertRefused(accuser, _callOf(e), notHeld);
        e.held.proof = "";
        _assertRefused(accuser, _callOf(e), notHeld);
        e.held.proof = proof;
        e.held.position ^= 1;
        _assertRefused(accuser, _callOf(e), notHeld);
        e.held.position ^= 1;
        e.held.value = keccak256("another value");
        _assertRefused(accuser, _callOf(e), notHeld);
        e.held.value = 0;
        _assertRefused(accuser, _callOf(e), notHeld);
    }

    /// The tree of another block holds something else.
    function test_R8_refusesTheHeaderOfAnotherBlock() public forEveryLie {
        Evidence memory e = _guiltyOf(_lie);
        _drop(e.held.position);
        e.held.header = _commitTree();
        _assertRefused(accuser, _callOf(e), _reason(IUnspentTree.NotHeld.selector));
    }

    function test_R8_givesNoOtherVerdictForWantOfGas() public forEveryLie {
        bytes memory call = _callOf(_guiltyOf(_lie));
        for (uint256 gas = 30_000; gas < 400_000; gas += 1777) {
            uint256 snapshot = vm.snapshotState();
            vm.prank(accuser);
            (bool success, bytes memory reason) = address(rootChain).call{gas: gas}(call);
            bool isForGas = reason.length == 0 || bytes4(reason) == IRootChain.NotEnoughGas.selector;
            vm.assertTrue(success || isForGas, "another verdict");
            vm.assertEq(rootChain.head().haltedFrom != 0, success, "halted");
            vm.revertToState(snapshot);
        }
        _send(accuser, call);
    }

    /// No lie convicts a block whose tree is true: true evidence, with random bytes of its calldata changed.
    function testFuzz_R8_convictsNoTrueTree(uint256 seed) public {
        Evidence memory e = _innocentOf(Lie(seed % 3));
        bytes memory call = _callOf(e);
        for (uint256 changes = 0; changes < 8; ++changes) {
            vm.prank(accuser);
            (bool success,) = address(rootChain).call(call);
            vm.assertFalse(success, "convicted");
            vm.assertEq(rootChain.head().haltedFrom, 0, "halted");
            seed = uint256(keccak256(abi.encode(seed)));
            call[4 + seed % (call.length - 4)] ^= bytes1(uint8(1 + (seed >> 128) % 255));
        }
    }

    // ----------------------------------------------------------------- spent

    function test_R8_convictsACoinSpentInAnEarlierBlock() public {
        Evidence memory e = _guiltyOf(Lie.Spent);
        e.held.header = _commitTree();
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_convictsADepositSpentInTheBlockThatCoversIt() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _hold(coin);
        Leaf memory spend = _commitSpend(coin);
        _assertConvicts(_callOf(_spentEvidence(coin, spend.proof.header, spend)), spend.proof.header.number, 8);
    }

    /// Whatever the value means beside: its first 32 bytes name a coin that is spent.
    function test_R8_convictsASpentCoinWithAnOutputOfAnotherForm() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        bytes memory output = bytes.concat(_outputBytes(coin), hex"00");
        _hold(_keyOf(coin), keccak256(bytes.concat(coin.id, output)));
        Leaf memory spend = _commitSpend(coin);
        Evidence memory e = _spentEvidence(coin, spend.proof.header, spend);
        e.output = output;
        _assertConvicts(_callOf(e), spend.proof.header.number, 8);
    }

    /// Under a position that is not the coin's, too.
    function test_R8_convictsASpentCoinWhereverItIsHeld() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        coin.proof.position = Position.wrap(type(uint64).max);
        _hold(coin);
        coin.proof.position = depositPosition(0);
        Leaf memory spend = _commitSpend(coin);
        coin.proof.position = Position.wrap(type(uint64).max);
        _assertConvicts(_callOf(_spentEvidence(coin, spend.proof.header, spend)), spend.proof.header.number, 8);
    }

    function test_R8_sparesACoinThatIsSpentLater() public {
        _assertSpares(_innocentOf(Lie.Spent));
    }

    function test_R8_sparesACoinThatTheTransactionDoesNotSpend() public {
        Evidence memory e = _guiltyOf(Lie.Spent);
        _hold(_deposited(bob, ETHER, 1 ether));
        e.spend = _commitSpend(_deposited(alice, ETHER, 3 ether));
        e.held = _held(e.spend.proof.header, e.held.position);
        _assertSpares(e);
    }

    function test_R8_refusesAnotherOutputThanTheHeldOne() public {
        Evidence memory e = _guiltyOf(Lie.Spent);
        bytes memory notTheValue = _reason(IUnspentTree.NotTheValue.selector);
        e.outputId ^= bytes32(uint256(1));
        _assertRefused(accuser, _callOf(e), notTheValue);
        e.outputId ^= bytes32(uint256(1));
        e.output[56] ^= 0x01;
        _assertRefused(accuser, _callOf(e), notTheValue);
    }

    function test_R8_refusesASpendThatIsNotShown() public {
        Evidence memory e = _guiltyOf(Lie.Spent);
        e.spend.proof.txIndex = 1;
        _assertRefused(accuser, _callOf(e), _notIncludedIn(e.spend));
        e.spend.proof.txIndex = 0;
        e.spend.proof.header.timestamp += 1;
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, e.spend.proof.header.number);
        _assertRefused(accuser, _callOf(e), unknown);
    }

    /// That block is R1's matter.
    function test_R8_refusesASpendThatIsNotCanonical() public {
        (Coin memory coin,) = _madeAndHeld(alice, ETHER, 1 ether);
        (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, coin);
        Leaf memory spend = _commitLeaf(bytes.concat(body, hex"00"), witness);
        Evidence memory e = _spentEvidence(coin, spend.proof.header, spend);
        _assertRefused(accuser, _callOf(e), _reason(IRootChain.NotCanonical.selector));
    }

    // -------------------------------------------------------------- not made

    /// Neither block is looked at.
    function test_R8_convictsAPositionOfALaterBlockOrOfNone() public {
        uint64 next = rootChain.head().nextNumber;
        uint64[3] memory numbers = [0, next + 1, (1 << 39) - 1];
        for (uint256 i = 0; i < numbers.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            Evidence memory e = _heldAt(outputPosition(numbers[i], 3, 5));
            _assertConvicts(_callOf(e), next, 8);
            vm.revertToState(snapshot);
        }
    }

    function test_R8_convictsAPlaceOfItsOwnBlockWhereNothingIs() public {
        Evidence memory e = _heldAt(_nextPlace());
        e.origin.header = e.held.header;
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_convictsAnEmptyLeaf() public {
        (, Leaf memory leaf) = _madeAndHeld(alice, ETHER, 1 ether);
        bytes32 sibling = _leafHash(leaf.body, leaf.witness);
        Position place = outputPosition(rootChain.head().nextNumber, 0, 0);
        _hold(Position.unwrap(place), keccak256("value"));
        IRootChain.Header memory header = _commitTwo(0, sibling);
        Evidence memory e;
        e.lie = Lie.NotMade;
        e.held = _held(header, Position.unwrap(place));
        e.origin.header = header;
        e.origin.path = new bytes32[](1);
        _assertRefused(accuser, _callOf(e), _reason(IFaults.NotTheOrigin.selector));
        e.origin.path[0] = sibling;
        _assertConvicts(_callOf(e), header.number, 8);
    }

    function test_R8_convictsAnOutputThatTheTransactionDoesNotMake() public {
        (, Leaf memory maker) = _madeAndHeld(alice, ETHER, 1 ether);
        Evidence memory e = _heldAt(_placeOf(maker).ofOutput(1));
        e.origin = _originOf(maker);
        // The witness is not read.
        e.origin.witness = "";
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_convictsAnOutputOfABodyThatIsNotCanonical() public {
        (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, _deposited(alice, ETHER, 1 ether));
        Leaf memory leaf = _commitLeaf(bytes.concat(body, hex"00"), witness);
        Evidence memory e = _heldAt(_placeOf(leaf));
        e.origin = _originOf(leaf);
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_convictsAnOutputOfAWitnessThatIsNotCanonical() public {
        (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, _deposited(alice, ETHER, 1 ether));
        Leaf memory leaf = _commitLeaf(body, bytes.concat(witness, hex"00"));
        Coin memory coin = _outputOf(leaf, 0, Output(bob, ETHER, 1 ether));
        _hold(coin);
        Evidence memory e;
        e.lie = Lie.NotMade;
        e.held = _held(_commitTree(), _keyOf(coin));
        e.origin = _originOf(leaf);
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_convictsAnotherOutputThanTheOneMadeThere() public {
        (Coin memory coin, Leaf memory maker) = _madeAndHeld(alice, ETHER, 1 ether);
        Coin memory richer = coin;
        richer.output.amount += 1;
        _hold(richer);
        Evidence memory e;
        e.lie = Lie.NotMade;
        e.held = _held(_commitTree(), _keyOf(coin));
        e.origin = _originOf(maker);
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_sparesWhatWasMadeThere() public {
        _assertSpares(_innocentOf(Lie.NotMade));
    }

    function test_R8_refusesAnotherOriginThanThePositions() public {
        bytes memory notTheOrigin = _reason(IFaults.NotTheOrigin.selector);
        Evidence memory e = _innocentOf(Lie.NotMade);
        IRootChain.Header memory header = e.origin.header;
        e.origin.header = e.held.header;
        _assertRefused(accuser, _callOf(e), notTheOrigin);
        header.txCount = 0;
        e.origin.header = header;
        _assertRefused(accuser, _callOf(e), notTheOrigin);
        header.txCount = 1;
        bytes memory witness = e.origin.witness;
        e.origin.witness = "";
        _assertRefused(accuser, _callOf(e), notTheOrigin);
        e.origin.witness = witness;
        e.origin.body[4] ^= 0x01;
        _assertRefused(accuser, _callOf(e), notTheOrigin);
        e.origin.txHash = keccak256(e.origin.body);
        _assertRefused(accuser, _callOf(e), notTheOrigin);
    }

    function test_R8_leavesDepositsToTheirProver() public {
        Evidence memory e = _guiltyOf(Lie.NotDeposited);
        e.lie = Lie.NotMade;
        _assertSpares(e);
        e = _guiltyOf(Lie.NotMade);
        e.lie = Lie.NotDeposited;
        _assertSpares(e);
    }

    // --------------------------------------------------------- not deposited

    /// A deposit that exists, but that the block does not cover.
    function test_R8_convictsADepositBeforeItIsCovered() public {
        uint64 nonce = rootChain.head().nextNonce;
        _hold(Position.unwrap(depositPosition(nonce)), keccak256("value"));
        IRootChain.Header memory header = _commitTree();
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Evidence memory e;
        e.lie = Lie.NotDeposited;
        e.held = _held(header, _keyOf(coin));
        e.creation = _creationOf(coin);
        _assertConvicts(_callOf(e), header.number, 8);
    }

    function test_R8_convictsADepositsPositionWithOtherBits() public {
        _deposited(alice, ETHER, 1 ether);
        for (uint64 bit = 0; bit < 63; ++bit) {
            if (bit >= 4 && bit < 44) continue;
            uint256 snapshot = vm.snapshotState();
            Evidence memory e = _heldAt(Position.wrap((1 << 63) | (uint64(1) << bit)));
            e.lie = Lie.NotDeposited;
            _assertConvicts(_callOf(e), e.held.header.number, 8);
            vm.revertToState(snapshot);
        }
    }

    function test_R8_convictsAnotherCoinThanTheDeposit() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Evidence memory e = _heldAt(coin.proof.position);
        e.lie = Lie.NotDeposited;
        e.creation = _creationOf(coin);
        _assertConvicts(_callOf(e), e.held.header.number, 8);
    }

    function test_R8_sparesADeposit() public {
        _assertSpares(_innocentOf(Lie.NotDeposited));
    }

    function test_R8_refusesWhatIsNotThatDeposit() public {
        Coin memory other = _deposited(alice, ETHER, 1 ether);
        Evidence memory e = _innocentOf(Lie.NotDeposited);
        IFaults.Creation memory creation = e.creation;
        e.creation = _creationOf(other);
        _assertRefused(accuser, _callOf(e), _reason(IFaults.NotTheCreation.selector, uint256(other.id)));
        e.creation = creation;
        e.creation.fields = bytes.concat(creation.fields, hex"00");
        _assertRefused(accuser, _callOf(e), _reason(IFaults.NotTheCreation.selector, 0));
        // Richer than it was.
        e.creation.fields = bytes.concat(bytes20(bob), bytes20(ETHER), bytes16(uint128(2 ether)));
        bytes32 richer = _depositId(creation.index, bob, ETHER, 2 ether);
        _assertRefused(accuser, _callOf(e), _reason(IFaults.NotTheCreation.selector, uint256(richer)));
    }

    // -------------------------------------------------------------- internals

    /// Commits a block whose tree lies, and returns the evidence.
    function _guiltyOf(Lie lie) private returns (Evidence memory e) {
        if (lie == Lie.Spent) {
            (Coin memory coin,) = _madeAndHeld(alice, ETHER, 1 ether);
            Leaf memory spend = _commitSpend(coin);
            return _spentEvidence(coin, spend.proof.header, spend);
        }
        if (lie == Lie.NotMade) {
            (, Leaf memory maker) = _madeAndHeld(alice, ETHER, 1 ether);
            e = _heldAt(outputPosition(maker.proof.header.number, 1, 0));
            e.origin.header = maker.proof.header;
            return e;
        }
        e = _heldAt(depositPosition(rootChain.head().nextNonce));
        e.lie = lie;
    }

    /// Commits blocks whose trees are true, and returns what each prover asks for.
    function _innocentOf(Lie lie) private returns (Evidence memory e) {
        (Coin memory coin, Leaf memory maker) = _madeAndHeld(alice, ETHER, 1 ether);
        (Coin memory deposit, IRootChain.Header memory header) = _depositedAndHeld(bob, ETHER, 1 ether);
        if (lie == Lie.Spent) {
            e = _spentEvidence(coin, header, maker);
            _drop(coin);
            e.spend = _commitSpend(coin);
            return e;
        }
        e.lie = lie;
        e.held = _held(header, lie == Lie.NotMade ? _keyOf(coin) : _keyOf(deposit));
        e.origin = _originOf(maker);
        e.creation = _creationOf(deposit);
    }

    function _spentEvidence(Coin memory coin, IRootChain.Header memory header, Leaf memory spend)
        private
        view
        returns (Evidence memory e)
    {
        e.held = _held(header, _keyOf(coin));
        e.outputId = coin.id;
        e.output = _outputBytes(coin);
        e.spend = spend;
    }

    /// Commits a block whose tree holds something at a position.
    function _heldAt(Position position) private returns (Evidence memory e) {
        e.lie = Lie.NotMade;
        _hold(Position.unwrap(position), keccak256("value"));
        e.held = _held(_commitTree(), Position.unwrap(position));
    }

    function _callOf(Evidence memory e) private pure returns (bytes memory) {
        if (e.lie == Lie.Spent) {
            return abi.encodeCall(
                IUnspentTree.proveFaultHeldSpent, (e.held, e.outputId, e.output, e.spend.body, e.spend.proof)
            );
        }
        if (e.lie == Lie.NotMade) return abi.encodeCall(IUnspentTree.proveFaultHeldNotMade, (e.held, e.origin));
        return abi.encodeCall(IUnspentTree.proveFaultHeldNotDeposited, (e.held, e.creation));
    }

    function _assertSpares(Evidence memory e) private {
        _assertRefused(accuser, _callOf(e), _reason(IFaults.NotAFault.selector));
        vm.assertEq(rootChain.head().haltedFrom, 0, "halted");
    }
}
