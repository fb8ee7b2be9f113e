// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {FaultTest} from "./FaultTest.sol";
import {vm} from "./Vm.sol";

/// @title R3, R4 and R5: inputs that do not exist, are somebody else's, or do not balance
contract FaultInputsTest is FaultTest {
    // ------------------------------------------ R3, of the child chain: broken

    function test_R3_convictsAnInputOfABlockThatIsNone() public {
        Accusation memory a = _notMade(_made(), outputPosition(0, 3, 0));
        // No origin is asked for.
        _assertConvicts(a);
    }

    function test_R3_convictsAnIndexBeyondTheBlock() public {
        (Coin memory coin, Leaf memory maker) = _madeByLeaf(alice, 1 ether);
        Accusation memory a = _notMade(coin, outputPosition(maker.proof.header.number, 1, 0));
        a.origin.header = maker.proof.header;
        _assertConvicts(a);
    }

    function test_R3_convictsAnyIndexOfAnEmptyBlock() public {
        Coin memory coin = _made();
        IRootChain.Header memory empty = _commit(0, 0);
        Accusation memory a = _notMade(coin, outputPosition(empty.number, 0, 0));
        a.origin.header = empty;
        _assertConvicts(a);
    }

    /// Its hashes say enough.
    function test_R3_convictsAnOutputOfAnotherId() public {
        (Coin memory coin, Leaf memory maker) = _madeByLeaf(alice, 1 ether);
        Coin memory other = _made();
        Accusation memory a = _notMade(other, coin.proof.position);
        a.origin = _originOf(maker);
        a.origin.body = a.origin.witness = "";
        _assertConvicts(a);
    }

    function test_R3_convictsAnOutputThatTheTransactionDoesNotMake() public {
        (, Leaf memory maker) = _madeByLeaf(alice, 1 ether);
        // Its id is that of output 1, of which there is none.
        Coin memory coin = _outputOf(maker, 1, Output(alice, ETHER, 1 ether));
        Accusation memory a = _notMade(coin, coin.proof.position);
        a.origin = _originOf(maker);
        _assertConvicts(a);
    }

    /// The place of a dropped transaction makes nothing.
    function test_R3_convictsAnEmptyLeaf() public {
        (Coin memory coin, Leaf memory maker) = _madeByLeaf(alice, 1 ether);
        bytes32 leaf = _leafHash(maker.body, maker.witness);
        IFaults.Origin memory origin;
        origin.header = _commitTwo(bytes32(0), leaf);
        origin.path = new bytes32[](1);
        origin.path[0] = leaf;
        Accusation memory a = _notMade(coin, outputPosition(origin.header.number, 0, 0));
        a.origin = origin;
        _assertConvicts(a);
    }

    /// Nor does it make the coin that is named after its zeros.
    function test_R3_convictsAnEmptyLeafWhateverTheCoinsName() public {
        Coin memory coin = _made();
        coin.id = keccak256(abi.encodePacked(uint8(0x04), bytes32(0), uint8(0)));
        bytes32 leaf = keccak256("another leaf");
        IFaults.Origin memory origin;
        origin.header = _commitTwo(bytes32(0), leaf);
        origin.path = new bytes32[](1);
        origin.path[0] = leaf;
        Accusation memory a = _notMade(coin, outputPosition(origin.header.number, 0, 0));
        a.origin = origin;
        _assertConvicts(a);
    }

    function test_R3_convictsALeafWhoseBodyDoesNotDecode() public {
        bytes memory body = bytes.concat(_payment(keccak256("input"), alice, ETHER, 1 ether), hex"00");
        _assertOriginConvicts(body, _canonicalWitness());
        body = _payment(keccak256("input"), alice, ETHER, 1 ether);
        body[3 + 32] = 0x02;
        _assertOriginConvicts(body, _canonicalWitness());
    }

    function test_R3_convictsALeafWhoseWitnessDoesNotDecode() public {
        bytes memory body = _payment(keccak256("input"), alice, ETHER, 1 ether);
        _assertOriginConvicts(body, "");
        _assertOriginConvicts(body, bytes.concat(_canonicalWitness(), hex"00"));
        _assertOriginConvicts(body, new bytes(72));
    }

    /// Any earlier place counts, one in the same block as well.
    function test_R3_convictsAnInputOfTheSameBlock() public {
        (bytes memory first, bytes memory itsWitness) = _preimage(ALICE_KEY, _deposited(alice, ETHER, 1 ether));
        uint64 number = rootChain.head().nextNumber;
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        coin.proof.position = outputPosition(number, 0, 0);
        (bytes memory second, bytes memory witness) = _preimage(ALICE_KEY, coin);
        bytes32[2] memory leaves = [_leafHash(first, itsWitness), _leafHash(second, witness)];
        IRootChain.Header memory header = _commitTwo(leaves[0], leaves[1]);
        Accusation memory a = _accusation(Prover.NotMade, _leafIn(header, second, witness, 1, leaves[0]));
        a.origin = _originOf(_leafIn(header, first, itsWitness, 0, leaves[1]));
        _assertConvicts(a);
    }

    // ------------------------------------------ R3, of the child chain: valid

    function test_R3_sparesAnInputThatWasMadeThere() public {
        (Accusation memory a,) = _valid();
        _assertSpared(a);
    }

    /// R2 has to do with these, and the other call with deposits.
    function test_R3_sparesOwnAndLaterPlacesAndDeposits() public {
        Coin memory coin = _made();
        _assertSpared(_notMade(coin, _nextPlace()));
        _assertSpared(_notMade(coin, outputPosition(1 << 38, 0, 0)));
        _assertSpared(_notMade(coin, depositPosition(7)));
    }

    function test_R3_refusesAnythingElseThanWhatStandsThere() public {
        (Accusation memory a, Leaf memory maker) = _valid();
        bytes memory notTheOrigin = _reason(IFaults.NotTheOrigin.selector);
        a.origin.header = a.accused.proof.header;
        _assertRefused(a, notTheOrigin);
        a.origin = _originOf(maker);
        a.origin.header.txCount = 0;
        _assertRefused(a, notTheOrigin);
        a.origin.header.txCount = 1;
        a.origin.path = new bytes32[](1);
        _assertRefused(a, notTheOrigin);
        a.origin = _originOf(maker);
        (a.origin.txHash, a.origin.witnessHash) = (0, 0);
        _assertRefused(a, notTheOrigin);
        a.origin.txHash = keccak256(maker.body);
        _assertRefused(a, notTheOrigin);
        a.origin = _originOf(maker);
        a.origin.txHash = 0;
        _assertRefused(a, notTheOrigin);
        a.origin = _originOf(maker);
        a.origin.body = "not canonical";
        _assertRefused(a, notTheOrigin);
        a.origin = _originOf(maker);
        a.origin.witness = "not canonical";
        _assertRefused(a, notTheOrigin);
    }

    // ----------------------------------------------------------- R3: deposits

    function test_R3_convictsADepositThatTheBlockDoesNotCover() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        IFaults.Creation memory none;
        (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, coin);
        Leaf memory leaf;
        leaf.body = body;
        leaf.witness = witness;
        leaf.proof.witnessHash = keccak256(witness);
        leaf.proof.header.number = 1;
        leaf.proof.header.txCount = 1;
        leaf.proof.header.txRoot = _leafHash(body, witness);
        leaf.proof.header.timestamp = _now();
        _submit(leaf.proof.header);
        _assertConvicts(_notDeposited(leaf, none));
    }

    function test_R3_convictsADepositThatNobodyMade() public {
        IFaults.Creation memory none;
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        // One base unit more than was deposited.
        coin.id = _depositId(0, alice, ETHER, 1 ether + 1);
        _assertConvicts(_notDeposited(_commitSpend(coin), none));
    }

    /// A settled output's word is not zero; the hash of the body that made it says what it is.
    function test_R3_convictsAnOutputThatIsSaidToBeADeposit() public {
        (Coin memory coin,) = _madeByLeaf(alice, 1 ether);
        IFaults.Creation memory creation = IFaults.Creation(bytes.concat(keccak256(coin.proof.creation)), 0);
        _settle(coin);
        Leaf memory leaf = _commitPlaced(coin, depositPosition(0));
        creation.index = 1;
        _assertSpared(_notDeposited(leaf, creation));
        creation.index = 256;
        _assertSpared(_notDeposited(leaf, creation));
        creation.index = 0;
        creation.fields = bytes.concat(creation.fields, hex"00");
        _assertSpared(_notDeposited(leaf, creation));
        // The body itself is not what is asked for.
        _assertSpared(_notDeposited(leaf, _creationOf(coin)));
        creation.fields = bytes.concat(keccak256(coin.proof.creation));
        _assertConvicts(_notDeposited(leaf, creation));
    }

    function test_R3_convictsADepositOfAnotherNonce() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _deposited(alice, ETHER, 1 ether);
        Leaf memory leaf = _commitPlaced(coin, depositPosition(1));
        _assertConvicts(_notDeposited(leaf, _creationOf(coin)));
    }

    function test_R3_sparesADepositWhateverIsShown() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Coin memory other = _deposited(alice, ETHER, 1 ether);
        Leaf memory leaf = _commitSpend(coin);
        IFaults.Creation memory creation;
        _assertSpared(_notDeposited(leaf, creation));
        _assertSpared(_notDeposited(leaf, _creationOf(coin)));
        _assertSpared(_notDeposited(leaf, _creationOf(other)));
        creation = _creationOf(coin);
        creation.index = 1;
        _assertSpared(_notDeposited(leaf, creation));
        creation = IFaults.Creation(bytes.concat(keccak256(leaf.body)), 0);
        _assertSpared(_notDeposited(leaf, creation));
    }

    /// What is settled, or exits, was deposited all the same.
    function test_R3_sparesADepositThatHasLeft() public {
        IFaults.Creation memory none;
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _settle(coin);
        _assertSpared(_notDeposited(_commitSpend(coin), none));
    }

    function test_R3_sparesAnOutputInTheCallForDeposits() public {
        (Accusation memory a,) = _valid();
        a.prover = Prover.NotDeposited;
        _assertSpared(a);
    }

    // -------------------------------------------------------------------- R4

    function test_R4_convictsASignatureOfSomebodyElse() public {
        _assertSignerConvicts(_deposited(alice, ETHER, 1 ether), BOB_KEY);
        _assertSignerConvicts(_made(), BOB_KEY);
    }

    /// An output of bob's, beside one of alice's who signs.
    function test_R4_convictsTheInputsOfTwoOwners() public {
        Coin[] memory coins = _coins(_deposited(alice, ETHER, 1 ether), _deposited(bob, ETHER, 1 ether));
        Leaf memory leaf = _commitOver(coins, _outputs(Output(alice, ETHER, 2 ether)));
        Accusation memory a = _notSigned(leaf, 0, coins);
        uint8 bobs = coins[0].output.owner == bob ? 0 : 1;
        a.input = 1 - bobs;
        _assertSpared(a);
        a.input = bobs;
        _assertConvicts(a);
    }

    /// In range, but the x of no point.
    function test_R4_convictsASignatureThatIsNobodys() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        bytes memory signature = abi.encode(5, 1);
        vm.assertEq(oracle.recover(keccak256("anything"), bytes32(uint256(5)), bytes32(uint256(1))), address(0), "5");
        Leaf memory leaf = _commitLeaf(_spendOf(ALICE_KEY, coin, bob).body, _witness(signature, coin.proof.position));
        _assertConvicts(_notSigned(leaf, 0, _coins(coin)));
    }

    /// Nor is it the zero address', whom no deposit has for an owner.
    function test_R4_convictsASignatureThatIsNobodysForAnOwnerWhoIsNobody() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        coin.output.owner = address(0);
        coin.id = _depositId(0, address(0), ETHER, 1 ether);
        coin.proof.creation = bytes.concat(bytes20(0), bytes20(0), bytes16(uint128(1 ether)));
        bytes memory witness = _witness(abi.encode(5, 1), coin.proof.position);
        Leaf memory leaf = _commitLeaf(_spendOf(ALICE_KEY, coin, bob).body, witness);
        _assertConvicts(_notSigned(leaf, 0, _coins(coin)));
    }

    function test_R4_convictsTheOtherParity() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        Signed memory transaction = _spendOf(ALICE_KEY, coin, bob);
        transaction.signature[32] ^= 0x80;
        Leaf memory leaf = _commitLeaf(transaction.body, _witness(transaction.signature, coin.proof.position));
        _assertConvicts(_notSigned(leaf, 0, _coins(coin)));
    }

    /// Whatever kind the position claims, the id says what made the coin.
    function test_R4_convictsWhateverTheOperatorSaysOfThePlace() public {
        Coin memory coin = _made();
        Signed memory transaction = _spendOf(BOB_KEY, coin, bob);
        Leaf memory leaf = _commitLeaf(transaction.body, _witness(transaction.signature, depositPosition(0)));
        Accusation memory a = _notSigned(leaf, 0, _coins(coin));
        a.creations[0].index = 0;
        _assertConvicts(a);
    }

    function test_R4_sparesTheOwnersSignature() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        _assertSpared(_notSigned(_commitSpend(coin), 0, _coins(coin)));
        coin = _made();
        _assertSpared(_notSigned(_commitSpend(coin), 0, _coins(coin)));
    }

    function test_R4_refusesWhatDidNotMakeTheInput() public {
        Coin memory coin = _made();
        Coin memory deposit = _deposited(alice, ETHER, 1 ether);
        Accusation memory a = _notSigned(_commitSpend(coin), 0, _coins(coin));
        _assertCreationsRefused(a, coin);
        a = _notSigned(_commitSpend(deposit), 0, _coins(deposit));
        _assertCreationsRefused(a, deposit);
    }

    // -------------------------------------------------------------------- R5

    function test_R5_convictsValueFromNothing() public {
        Coin[] memory coins = _coins(_deposited(alice, ETHER, 1 ether));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, 1 ether), Output(bob, ETHER, 1)));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, type(uint128).max)));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, 1 ether), Output(bob, address(token), 1)));
    }

    function test_R5_convictsValueThatVanishes() public {
        Coin[] memory coins = _coins(_deposited(alice, ETHER, 1 ether), _deposited(alice, address(token), 5));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, 1 ether)));
        _assertOverConvicts(coins, _outputs(Output(bob, address(token), 5)));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, 1 ether - 1), Output(bob, address(token), 5)));
    }

    /// Balanced in one asset, not in the other; and in sum over both.
    function test_R5_convictsOneAssetTurnedIntoAnother() public {
        Coin[] memory coins = _coins(_deposited(alice, ETHER, 10), _deposited(alice, address(token), 5));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, 10), Output(bob, address(token), 6)));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, 9), Output(bob, address(token), 6)));
        _assertOverConvicts(coins, _outputs(Output(bob, ETHER, 5), Output(bob, address(token), 10)));
    }

    /// Outputs that come to the input's sum modulo 2^128.
    function test_R5_convictsAnOverflow() public {
        Coin[] memory coins = _coins(_deposited(alice, ETHER, 1 ether));
        Output[] memory outputs = new Output[](3);
        outputs[0] = Output(bob, ETHER, type(uint128).max);
        outputs[1] = Output(bob, ETHER, 1 ether);
        outputs[2] = Output(bob, ETHER, 1);
        _assertOverConvicts(coins, outputs);
    }

    function test_R5_sparesWhatBalances() public {
        Coin[] memory coins = new Coin[](3);
        coins[0] = _deposited(alice, ETHER, 10);
        coins[1] = _deposited(alice, address(token), 5);
        coins[2] = _made();
        _sort(coins);
        Output[] memory outputs = new Output[](4);
        outputs[0] = Output(bob, ETHER, 1 ether);
        outputs[1] = Output(bob, address(token), 2);
        outputs[2] = Output(alice, ETHER, 10);
        outputs[3] = Output(alice, address(token), 3);
        _assertSpared(_unbalanced(coins, outputs));
    }

    /// More wei than a word of 128 bits holds, in and out.
    function test_R5_sparesSumsOf129Bits() public {
        Coin[] memory coins = new Coin[](2);
        for (uint64 i = 0; i < 2; ++i) {
            coins[i].id = _depositId(i, alice, ETHER, type(uint128).max);
            coins[i].proof.position = depositPosition(i);
            coins[i].proof.creation = bytes.concat(bytes20(alice), bytes20(0), bytes16(type(uint128).max));
        }
        _sort(coins);
        Output memory half = Output(bob, ETHER, type(uint128).max);
        _assertSpared(_unbalanced(coins, _outputs(half, half)));
        _assertOverConvicts(coins, _outputs(half, Output(bob, ETHER, type(uint128).max - 1)));
    }

    function test_R5_refusesAnythingElseThanWhatMadeTheInputs() public {
        Coin[] memory coins = _coins(_made(), _deposited(alice, ETHER, 1 ether));
        Accusation memory a = _unbalanced(coins, _outputs(Output(bob, ETHER, 3 ether)));
        for (uint8 i = 0; i < 2; ++i) {
            a.input = i;
            _assertCreationsRefused(a, coins[i]);
        }
        IFaults.Creation[] memory creations = a.creations;
        a.creations = new IFaults.Creation[](1);
        a.creations[0] = creations[0];
        _assertRefused(a, abi.encodeWithSelector(IFaults.WrongCreationCount.selector, 1, 2));
        a.creations = new IFaults.Creation[](3);
        _assertRefused(a, abi.encodeWithSelector(IFaults.WrongCreationCount.selector, 3, 2));
        // In the order of the inputs.
        a.creations = new IFaults.Creation[](2);
        (a.creations[0], a.creations[1]) = (creations[1], creations[0]);
        _assertRefused(a, abi.encodeWithSelector(IFaults.NotTheCreation.selector, coins[0].id));
        a.creations = creations;
        _assertConvicts(a);
    }

    /// No lie about what made the inputs unbalances a payment of any amounts.
    function testFuzz_R5_convictsIffTheSumsDiffer(uint96 first, uint96 second, uint128 paid) public {
        vm.assume(first != 0 && second != 0 && paid != 0);
        vm.deal(alice, uint256(first) + second);
        vm.assume(uint256(first) + second < 1 << 95);
        Coin[] memory coins = _coins(_deposited(alice, ETHER, first), _deposited(alice, ETHER, second));
        uint256 sum = uint256(first) + second;
        if (paid % 3 == 0) paid = uint128(sum);
        Output[] memory outputs = _outputs(Output(bob, ETHER, paid));
        if (paid < sum) outputs = _outputs(outputs[0], Output(alice, ETHER, uint128(sum - paid)));
        Accusation memory a = _unbalanced(coins, outputs);
        if (paid <= sum) _assertSpared(a);
        else _assertConvicts(a);
    }

    // -------------------------------------------------------------- internals

    /// Returns a coin of alice's that a block made.
    function _made() private returns (Coin memory) {
        return _made(alice, ETHER, 1 ether);
    }

    function _notMade(Coin memory coin, Position placement) private returns (Accusation memory) {
        return _accusation(Prover.NotMade, _commitPlaced(coin, placement));
    }

    /// A spend of what was made where the placement says, with the evidence for that.
    function _valid() private returns (Accusation memory a, Leaf memory maker) {
        Coin memory coin;
        (coin, maker) = _madeByLeaf(alice, 1 ether);
        a = _notMade(coin, coin.proof.position);
        a.origin = _originOf(maker);
    }

    /// A spend of output 0 of a leaf with this preimage convicts.
    function _assertOriginConvicts(bytes memory body, bytes memory witness) private {
        uint256 snapshot = vm.snapshotState();
        Leaf memory maker = _commitLeaf(body, witness);
        Coin memory coin = _outputOf(maker, 0, Output(alice, ETHER, 1 ether));
        Accusation memory a = _notMade(coin, coin.proof.position);
        a.origin = _originOf(maker);
        _assertConvicts(a);
        vm.revertToState(snapshot);
    }

    /// Of one input, whose position is of no interest.
    function _canonicalWitness() private pure returns (bytes memory) {
        return abi.encodePacked(uint256(1), uint256(1), uint64(0));
    }

    function _notDeposited(Leaf memory leaf, IFaults.Creation memory creation)
        private
        pure
        returns (Accusation memory a)
    {
        a = _accusation(Prover.NotDeposited, leaf);
        a.creations = new IFaults.Creation[](1);
        a.creations[0] = creation;
    }

    /// Lets a coin leave by a standard exit.
    function _settle(Coin memory coin) private {
        Position position = coin.proof.position;
        IRootChain.ExitRecord memory exit = position.isDeposit()
            ? _startExitOfDeposit(position.depositNonce(), alice, ETHER, coin.output.amount)
            : _startExit(Placed(coin.proof.creation, coin.proof.inclusion), position.outputIn(), coin.output);
        _advanceTo(exit.key);
        _process(ETHER, _only(exit));
    }

    function _notSigned(Leaf memory leaf, uint8 input, Coin[] memory coins) private pure returns (Accusation memory a) {
        a = _accusation(Prover.NotSigned, leaf);
        a.input = input;
        a.creations = _creationsOf(coins);
    }

    /// A spend of the coin signed by another key convicts.
    function _assertSignerConvicts(Coin memory coin, uint256 privateKey) private {
        uint256 snapshot = vm.snapshotState();
        (bytes memory body, bytes memory witness) = _preimage(privateKey, coin);
        _assertConvicts(_notSigned(_commitLeaf(body, witness), 0, _coins(coin)));
        vm.revertToState(snapshot);
    }

    function _unbalanced(Coin[] memory coins, Output[] memory outputs) private returns (Accusation memory a) {
        a = _accusation(Prover.Unbalanced, _commitOver(coins, outputs));
        a.creations = _creationsOf(coins);
    }

    function _assertOverConvicts(Coin[] memory coins, Output[] memory outputs) private {
        uint256 snapshot = vm.snapshotState();
        _assertConvicts(_unbalanced(coins, outputs));
        vm.revertToState(snapshot);
    }

    /// Whatever is changed in what made the accused input, it is refused.
    function _assertCreationsRefused(Accusation memory a, Coin memory coin) private {
        bytes memory reason = abi.encodeWithSelector(IFaults.NotTheCreation.selector, coin.id);
        IFaults.Creation memory shown = a.creations[a.input];
        (bytes memory fields, uint64 index) = (shown.fields, shown.index);
        shown.index = index + 1;
        _assertRefused(a, reason);
        shown.index = index + 256;
        _assertRefused(a, reason);
        shown.index = index;
        shown.fields = "";
        _assertRefused(a, reason);
        shown.fields = bytes.concat(keccak256(fields));
        _assertRefused(a, reason);
        shown.fields = bytes.concat(fields, hex"00");
        _assertRefused(a, reason);
        shown.fields = bytes.concat(fields);
        shown.fields[fields.length - 1] ^= 0x01;
        _assertRefused(a, reason);
        shown.fields = fields;
    }
}
