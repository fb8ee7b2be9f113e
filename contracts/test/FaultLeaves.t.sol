// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {FaultTest} from "./FaultTest.sol";
import {vm} from "./Vm.sol";

/// @title R1 and R2: leaves that are not canonical, and inputs from the future
contract FaultLeavesTest is FaultTest {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// Where the first of two inputs and the first of two outputs begin, and where the memo does.
    uint256 private constant INPUTS = 3;
    uint256 private constant OUTPUTS = INPUTS + 2 * 32;
    uint256 private constant MEMO = OUTPUTS + 2 * 57;

    bytes private _canonical;
    bytes private _itsWitness;

    /// A canonical transaction of two inputs and two outputs, whose bytes the tests break one at a time.
    function setUp() public override {
        super.setUp();
        Coin[] memory coins = _coins(_deposited(alice, ETHER, 1 ether), _deposited(alice, ETHER, 2 ether));
        Output[] memory outputs = _outputs(Output(bob, ETHER, 2 ether), Output(alice, ETHER, 1 ether));
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), outputs);
        _canonical = transaction.body;
        _itsWitness = _witness(transaction.signature, coins);
    }

    // ------------------------------------------------------------ R1: bodies

    function test_R1_sparesACanonicalLeaf() public {
        _assertCanonical(_canonical, _itsWitness);
    }

    function test_R1_convictsABodyOfAnotherLength() public {
        _assertBody(bytes.concat(_canonical, hex"00"));
        _assertBody(bytes.concat(_canonical, new bytes(57)));
        _assertBody(_cut(_canonical, _canonical.length - 1));
        _assertBody(_cut(_canonical, MEMO));
        _assertBody(_cut(_canonical, 3));
        _assertBody(_cut(_canonical, 2));
        _assertBody(_cut(_canonical, 1));
        _assertBody("");
    }

    function test_R1_convictsAnotherVersion() public {
        _assertBody(_with(_canonical, 0, 0));
        _assertBody(_with(_canonical, 0, 2));
        _assertBody(_with(_canonical, 0, 255));
    }

    function test_R1_convictsCountsOutOfRange() public {
        _assertBody(_with(_canonical, 1, 0));
        _assertBody(_with(_canonical, 1, 17));
        _assertBody(_with(_canonical, 2, 0));
        _assertBody(_with(_canonical, 2, 17));
        // Of the length that such counts would need.
        _assertBody(bytes.concat(hex"010001", bytes(_cutFrom(_canonical, OUTPUTS, 57)), bytes32(0)));
        _assertBody(bytes.concat(hex"010100", bytes32(uint256(1)), bytes32(0)));
        _assertBody(_ascending(17, 1));
        _assertBody(_ascending(1, 17));
        // Counts of another transaction.
        _assertBody(_with(_canonical, 1, 1));
        _assertBody(_with(_canonical, 2, 1));
        _assertBody(_with(_canonical, 2, 3));
    }

    function test_R1_sparesAsManyInputsAndOutputsAsThereMayBe() public {
        bytes memory witness = bytes.concat(_cut(_itsWitness, 64), new bytes(16 * 8));
        _assertCanonical(_ascending(16, 16), witness);
    }

    function test_R1_convictsInputsThatDoNotAscend() public {
        bytes memory first = _cutFrom(_canonical, INPUTS, 32);
        bytes memory second = _cutFrom(_canonical, INPUTS + 32, 32);
        bytes memory rest = _cutFrom(_canonical, OUTPUTS, _canonical.length - OUTPUTS);
        _assertBody(bytes.concat(hex"010202", second, first, rest));
        _assertBody(bytes.concat(hex"010202", first, first, rest));
    }

    function test_R1_convictsAnotherKind() public {
        for (uint256 i = 0; i < 2; ++i) {
            _assertBody(_with(_canonical, OUTPUTS + i * 57, 0));
            _assertBody(_with(_canonical, OUTPUTS + i * 57, 2));
            _assertBody(_with(_canonical, OUTPUTS + i * 57, 0x81));
        }
    }

    function test_R1_convictsAZeroOwnerOrAmount() public {
        for (uint256 i = 0; i < 2; ++i) {
            _assertBody(_withZeros(_canonical, OUTPUTS + i * 57 + 1, 20));
            _assertBody(_withZeros(_canonical, OUTPUTS + i * 57 + 41, 16));
        }
        // An owner or an amount of one bit is one.
        bytes memory body = _with(_withZeros(_canonical, OUTPUTS + 1, 20), OUTPUTS + 20, 1);
        _assertCanonical(_with(_withZeros(body, OUTPUTS + 41, 16), OUTPUTS + 41, 0x80), _itsWitness);
    }

    // --------------------------------------------------------- R1: witnesses

    function test_R1_convictsAWitnessOfAnotherLength() public {
        _assertWitness(bytes.concat(_itsWitness, hex"00"));
        _assertWitness(bytes.concat(_itsWitness, new bytes(8)));
        _assertWitness(_cut(_itsWitness, _itsWitness.length - 1));
        _assertWitness(_cut(_itsWitness, _itsWitness.length - 8));
        _assertWitness(_cut(_itsWitness, 64));
        _assertWitness(_cut(_itsWitness, 63));
        _assertWitness("");
    }

    function test_R1_convictsRAndSOutOfRange() public {
        _assertWitness(_signature(0, 1));
        _assertWitness(_signature(ORDER, 1));
        _assertWitness(_signature(type(uint256).max, 1));
        _assertWitness(_signature(1, 0));
        _assertWitness(_signature(1, ORDER / 2 + 1));
        _assertWitness(_signature(1, type(uint256).max >> 1));
        // The parity bit alone is no s.
        _assertWitness(_signature(1, 1 << 255));
        _assertWitness(_signature(1, (1 << 255) | (ORDER / 2 + 1)));
    }

    function test_R1_sparesRAndSAtTheEdges() public {
        _assertCanonical(_canonical, _signature(1, 1));
        _assertCanonical(_canonical, _signature(ORDER - 1, ORDER / 2));
        _assertCanonical(_canonical, _signature(1, (1 << 255) | ORDER / 2));
    }

    /// Each of the 23 bits that §1.1 leaves zero.
    function test_R1_convictsADepositsPositionWithOtherBits() public {
        uint64 deposit = Position.unwrap(depositPosition(1));
        for (uint256 bit = 0; bit < 63; ++bit) {
            if (bit >= 4 && bit < 44) continue;
            _assertWitness(_placements(deposit, deposit | uint64(uint256(1) << bit)));
        }
        _assertWitness(_placements(type(uint64).max, deposit));
    }

    /// What a position names is another rule's matter.
    function test_R1_sparesEveryOtherPosition() public {
        _assertCanonical(_canonical, _placements(0, type(uint64).max >> 1));
        _assertCanonical(_canonical, _placements(1 << 63, Position.unwrap(depositPosition((1 << 40) - 1))));
    }

    function test_R1_convictsALeafThatIsNothingLikeOne() public {
        _convictsAnew("", "");
        _convictsAnew("not a body", "not a witness");
        _convictsAnew(new bytes(20_000), new bytes(20_000));
    }

    /// The two decoders agree on every byte string: one prover says what the other's `NotCanonical` says.
    function testFuzz_R1_convictsWhateverIsChangedIntoSomethingNotCanonical(uint256 seed) public {
        bytes memory body = _with(_canonical, seed % _canonical.length, uint8(seed >> 16));
        bytes memory witness = _with(_itsWitness, (seed >> 32) % _itsWitness.length, uint8(seed >> 64));
        Accusation memory a = _accusation(Prover.NotCanonical, _commitLeaf(body, witness));
        if (oracle.isCanonical(body) && _isCanonicalWitness(witness)) _assertSpared(a);
        else _assertConvicts(a);
    }

    // -------------------------------------------------------------------- R2

    function test_R2_convictsAnInputFromTheOwnPlaceOrALaterOne() public {
        for (uint256 i = 0; i < 5; ++i) {
            uint64 number = rootChain.head().nextNumber;
            Position[5] memory placements = [
                outputPosition(number, 613, 0),
                outputPosition(number, 613, 15),
                outputPosition(number, 614, 0),
                outputPosition(number + 1, 0, 0),
                Position.wrap(type(uint64).max >> 1)
            ];
            uint256 snapshot = vm.snapshotState();
            _assertConvicts(_placedAt(613, placements[i]));
            vm.revertToState(snapshot);
        }
    }

    /// Which of several inputs it is makes no difference.
    function test_R2_convictsByTheLastInput() public {
        bytes memory witness = _placements(1 << 63, Position.unwrap(_nextPlace()));
        Accusation memory a = _accusation(Prover.NotBefore, _commitLeaf(_canonical, witness));
        _assertSpared(a);
        a.input = 1;
        _assertConvicts(a);
    }

    function test_R2_sparesEarlierPlacesAndDeposits() public {
        uint64 number = rootChain.head().nextNumber;
        _assertSpared(_placedAt(613, outputPosition(number, 612, 15)));
        _assertSpared(_placedAt(613, outputPosition(number, 0, 0)));
        _assertSpared(_placedAt(0, outputPosition(0, 0, 0)));
        _assertSpared(_placedAt(0, depositPosition((1 << 40) - 1)));
    }

    function test_R1AndR2_refuseAWrongSiblingDeepInABlock() public {
        Accusation memory a = _placedAt(613, outputPosition(rootChain.head().nextNumber, 613, 0));
        for (uint256 i = 0; i < 10; ++i) {
            a.accused.proof.path[i] ^= bytes32(uint256(1));
            _assertRefused(a, _notIncludedIn(a.accused));
            a.accused.proof.path[i] ^= bytes32(uint256(1));
        }
        for (uint256 bit = 0; bit < 32; ++bit) {
            a.accused.proof.txIndex ^= uint32(uint256(1) << bit);
            _assertRefused(a, _notIncludedIn(a.accused));
            a.accused.proof.txIndex ^= uint32(uint256(1) << bit);
        }
        _assertConvicts(a);
    }

    // -------------------------------------------------------------- internals

    function _placedAt(uint32 txIndex, Position placement) private returns (Accusation memory) {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Signed memory transaction = _spendOf(ALICE_KEY, coin, bob);
        bytes memory witness = _witness(transaction.signature, placement);
        return _accusation(Prover.NotBefore, _commitLeafAt(transaction.body, witness, txIndex, 1 << 10));
    }

    function _assertBody(bytes memory body) private {
        vm.assertFalse(oracle.isCanonical(body), "canonical after all");
        _convictsAnew(body, _itsWitness);
        // A witness that is none makes no difference.
        _convictsAnew(body, "");
    }

    function _assertWitness(bytes memory witness) private {
        _convictsAnew(_canonical, witness);
    }

    function _convictsAnew(bytes memory body, bytes memory witness) private {
        uint256 snapshot = vm.snapshotState();
        _assertConvicts(_accusation(Prover.NotCanonical, _commitLeaf(body, witness)));
        vm.revertToState(snapshot);
    }

    function _assertCanonical(bytes memory body, bytes memory witness) private {
        _assertSpared(_accusation(Prover.NotCanonical, _commitLeaf(body, witness)));
    }

    /// §1.5, written out again, for a body with two inputs.
    function _isCanonicalWitness(bytes memory witness) private pure returns (bool) {
        if (witness.length != 80) return false;
        (uint256 r, uint256 vs) = abi.decode(witness, (uint256, uint256));
        uint256 s = vs & ((1 << 255) - 1);
        if (r == 0 || r >= ORDER || s == 0 || s > ORDER / 2) return false;
        for (uint256 i = 64; i < 80; i += 8) {
            uint64 position = uint64(bytes8(bytes32(_cutFrom(witness, i, 8))));
            if (position >> 63 != 0 && (position & 15 != 0 || (position << 1) >> 45 != 0)) return false;
        }
        return true;
    }

    /// Returns a witness of two deposits.
    function _signature(uint256 r, uint256 vs) private pure returns (bytes memory) {
        return bytes.concat(bytes32(r), bytes32(vs), bytes8(uint64(1 << 63)), bytes8(uint64(1 << 63)));
    }

    function _placements(uint64 first, uint64 second) private view returns (bytes memory) {
        return bytes.concat(_cut(_itsWitness, 64), bytes8(first), bytes8(second));
    }

    /// Returns a body of so many inputs and outputs, with nothing else wrong.
    function _ascending(uint256 inputs, uint256 outputs) private view returns (bytes memory) {
        bytes32[] memory ids = new bytes32[](inputs);
        for (uint256 i = 0; i < inputs; ++i) {
            ids[i] = bytes32(i + 1);
        }
        Output[] memory made = new Output[](outputs);
        for (uint256 i = 0; i < outputs; ++i) {
            made[i] = Output(alice, ETHER, 1);
        }
        return _body(ids, made, 0);
    }

    function _with(bytes memory data, uint256 index, uint8 value) private pure returns (bytes memory changed) {
        changed = bytes.concat(data);
        changed[index] = bytes1(value);
    }

    function _withZeros(bytes memory data, uint256 from, uint256 length) private pure returns (bytes memory changed) {
        changed = bytes.concat(data);
        for (uint256 i = 0; i < length; ++i) {
            changed[from + i] = 0;
        }
    }

    function _cut(bytes memory data, uint256 length) private pure returns (bytes memory) {
        return _cutFrom(data, 0, length);
    }

    function _cutFrom(bytes memory data, uint256 from, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            part[i] = data[from + i];
        }
    }
}
