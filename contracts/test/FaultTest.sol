// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IOperations} from "../src/interfaces/IOperations.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {Position, outputPosition} from "../src/types/Position.sol";
import {InFlightTest} from "./InFlightTest.sol";
import {vm} from "./Vm.sol";

/// @title What the tests of faults share
/// @notice Blocks whose leaves are known, one broken block for each prover, and the evidence against it.
abstract contract FaultTest is InFlightTest {
    /// A leaf with its preimage, and where a block has it.
    struct Leaf {
        bytes body;
        bytes witness;
        IRootChain.InclusionProof proof;
    }

    /// The functions that convict. R3 and R7 have several.
    enum Prover {
        NotCanonical,
        NotBefore,
        NotMade,
        NotDeposited,
        NotSigned,
        Unbalanced,
        DoubleSpend,
        Settled,
        Exiting,
        ExitingInFlight
    }

    /// The evidence for one of them; what it does not ask for is empty.
    struct Accusation {
        Prover prover;
        Leaf accused;
        uint8 input;
        IFaults.Origin origin;
        /// One for each input, of which R3 and R4 show that of theirs.
        IFaults.Creation[] creations;
        Leaf other;
        bytes32 outputId;
        IRootChain.ExitRecord exit;
        bytes exitBody;
        uint8 piece;
    }

    uint256 internal constant PROVERS = uint256(type(Prover).max) + 1;

    IFaults internal faults;
    IOperations internal operations;

    function setUp() public virtual override {
        super.setUp();
        faults = IFaults(address(rootChain));
        operations = IOperations(address(rootChain));
    }

    // ---------------------------------------------------------------- leaves

    function _leafHash(bytes memory body, bytes memory witness) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"00", keccak256(body), keccak256(witness)));
    }

    /// Commits a block in which the leaf stands alone.
    function _commitLeaf(bytes memory body, bytes memory witness) internal returns (Leaf memory) {
        return _commitLeafAt(body, witness, 0, 1);
    }

    /// Commits a block of `txCount` leaves, of which this one is known and the others are anything.
    function _commitLeafAt(bytes memory body, bytes memory witness, uint32 txIndex, uint32 txCount)
        internal
        returns (Leaf memory leaf)
    {
        leaf.body = body;
        leaf.witness = witness;
        leaf.proof.txIndex = txIndex;
        leaf.proof.witnessHash = keccak256(witness);
        bytes32 root;
        (root, leaf.proof.path) = _above(_leafHash(body, witness), txIndex, txCount);
        leaf.proof.header = _commit(root, txCount);
    }

    /// Returns the root of a tree with a leaf among others that are anything, and the way to it.
    function _above(bytes32 leaf, uint32 index, uint32 count)
        internal
        pure
        returns (bytes32 root, bytes32[] memory path)
    {
        uint256 depth = 0;
        while (2 ** depth < count) ++depth;
        path = new bytes32[](depth);
        root = leaf;
        for (uint256 level = 0; level < depth; ++level) {
            path[level] = keccak256(abi.encode("sibling", level));
            root = (index >> level) & 1 == 0 ? _node(root, path[level]) : _node(path[level], root);
        }
    }

    function _node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"01", left, right));
    }

    /// Commits a block of two leaves. The second may be the empty one.
    function _commitTwo(bytes32 first, bytes32 second) internal returns (IRootChain.Header memory) {
        return _commit(_node(first, second), 2);
    }

    function _leafIn(
        IRootChain.Header memory header,
        bytes memory body,
        bytes memory witness,
        uint32 txIndex,
        bytes32 sibling
    ) internal pure returns (Leaf memory leaf) {
        leaf.body = body;
        leaf.witness = witness;
        leaf.proof.header = header;
        leaf.proof.txIndex = txIndex;
        leaf.proof.witnessHash = keccak256(witness);
        leaf.proof.path = new bytes32[](1);
        leaf.proof.path[0] = sibling;
    }

    function _placeOf(Leaf memory leaf) internal pure returns (Position) {
        return outputPosition(leaf.proof.header.number, leaf.proof.txIndex, 0);
    }

    /// Returns the position of the only output of a block's only transaction that comes next.
    function _nextPlace() internal view returns (Position) {
        return outputPosition(rootChain.head().nextNumber, 0, 0);
    }

    function _witness(bytes memory signature, Position placement) internal pure returns (bytes memory) {
        return bytes.concat(signature, bytes8(Position.unwrap(placement)));
    }

    function _witness(bytes memory signature, Coin[] memory coins) internal pure returns (bytes memory witness) {
        witness = signature;
        for (uint256 i = 0; i < coins.length; ++i) {
            witness = bytes.concat(witness, bytes8(Position.unwrap(coins[i].proof.position)));
        }
    }

    /// Returns what a wallet and the operator make of a payment of one coin to bob.
    function _preimage(uint256 privateKey, Coin memory coin)
        internal
        view
        returns (bytes memory body, bytes memory witness)
    {
        Signed memory transaction = _spendOf(privateKey, coin, bob);
        return (transaction.body, _witness(transaction.signature, coin.proof.position));
    }

    /// Commits a payment of one coin of alice to bob, and nothing else.
    function _commitSpend(Coin memory coin) internal returns (Leaf memory) {
        (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, coin);
        return _commitLeaf(body, witness);
    }

    /// Commits a payment of one coin of alice with a placement of the operator's choice.
    function _commitPlaced(Coin memory coin, Position placement) internal returns (Leaf memory) {
        Signed memory transaction = _spendOf(ALICE_KEY, coin, bob);
        return _commitLeaf(transaction.body, _witness(transaction.signature, placement));
    }

    /// Commits a transaction of alice over these coins.
    function _commitOver(Coin[] memory coins, Output[] memory outputs) internal returns (Leaf memory) {
        Signed memory transaction = _signed(ALICE_KEY, _ids(coins), outputs);
        return _commitLeaf(transaction.body, _witness(transaction.signature, coins));
    }

    // ----------------------------------------------------------------- coins

    /// Returns a coin that a leaf with a canonical witness made, in a block of its own.
    function _madeByLeaf(address owner, uint128 amount) internal returns (Coin memory coin, Leaf memory maker) {
        Coin memory source = _deposited(alice, ETHER, amount);
        maker = _commitOver(_coins(source), _outputs(Output(owner, ETHER, amount)));
        coin = _outputOf(maker, 0, Output(owner, ETHER, amount));
    }

    /// Returns the coin that an output of a leaf is.
    function _outputOf(Leaf memory leaf, uint8 index, Output memory output) internal pure returns (Coin memory) {
        return _coinOf(Placed(leaf.body, leaf.proof), index, output);
    }

    function _creationOf(Coin memory coin) internal pure returns (IFaults.Creation memory) {
        Position position = coin.proof.position;
        return
            IFaults.Creation(coin.proof.creation, position.isDeposit() ? position.depositNonce() : position.outputIn());
    }

    function _creationsOf(Coin[] memory coins) internal pure returns (IFaults.Creation[] memory creations) {
        creations = new IFaults.Creation[](coins.length);
        for (uint256 i = 0; i < coins.length; ++i) {
            creations[i] = _creationOf(coins[i]);
        }
    }

    /// Returns what stands at the place of a leaf.
    function _originOf(Leaf memory leaf) internal pure returns (IFaults.Origin memory) {
        return IFaults.Origin({
            header: leaf.proof.header,
            path: leaf.proof.path,
            txHash: keccak256(leaf.body),
            witnessHash: leaf.proof.witnessHash,
            body: leaf.body,
            witness: leaf.witness
        });
    }

    // ----------------------------------------------------------- accusations

    /// Returns the calldata of the proving call.
    function _callOf(Accusation memory a) internal pure returns (bytes memory) {
        Leaf memory l = a.accused;
        if (a.prover == Prover.NotCanonical) {
            return abi.encodeCall(IFaults.proveFaultNotCanonical, (l.body, l.witness, l.proof));
        }
        if (a.prover == Prover.NotBefore) {
            return abi.encodeCall(IFaults.proveFaultNotBefore, (l.body, l.witness, l.proof, a.input));
        }
        if (a.prover == Prover.NotMade) {
            return abi.encodeCall(IFaults.proveFaultNotMade, (l.body, l.witness, l.proof, a.input, a.origin));
        }
        if (a.prover == Prover.NotDeposited) {
            return
                abi.encodeCall(IFaults.proveFaultNotDeposited, (l.body, l.witness, l.proof, a.input, _creationShown(a)));
        }
        if (a.prover == Prover.NotSigned) {
            return abi.encodeCall(IFaults.proveFaultNotSigned, (l.body, l.witness, l.proof, a.input, _creationShown(a)));
        }
        if (a.prover == Prover.Unbalanced) {
            return abi.encodeCall(IFaults.proveFaultUnbalanced, (l.body, l.proof, a.creations));
        }
        if (a.prover == Prover.DoubleSpend) {
            return
                abi.encodeCall(
                    IFaults.proveFaultDoubleSpend, (l.body, l.proof, a.other.body, a.other.proof, a.outputId)
                );
        }
        if (a.prover == Prover.Settled) {
            return abi.encodeCall(IFaults.proveFaultSettled, (l.body, l.proof, a.input));
        }
        if (a.prover == Prover.Exiting) {
            return abi.encodeCall(IFaults.proveFaultExiting, (l.body, l.proof, a.input, a.exit));
        }
        return abi.encodeCall(IFaults.proveFaultExitingInFlight, (l.body, l.proof, a.input, a.exitBody, a.piece));
    }

    function _creationShown(Accusation memory a) private pure returns (IFaults.Creation memory none) {
        return a.creations.length == 0 ? none : a.creations[a.input];
    }

    function _accusation(Prover prover, Leaf memory accused) internal pure returns (Accusation memory a) {
        a.prover = prover;
        a.accused = accused;
    }

    /// Returns the number of the rule that a prover proves.
    function _ruleOf(Prover prover) internal pure returns (uint8) {
        if (prover <= Prover.NotBefore) return uint8(prover) + 1;
        if (prover <= Prover.NotDeposited) return 3;
        if (prover <= Prover.DoubleSpend) return uint8(prover);
        return 7;
    }

    /// Commits a block that breaks a prover's rule, and returns the evidence.
    function _guilty(Prover prover) internal returns (Accusation memory a) {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        if (prover == Prover.NotCanonical) {
            (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, coin);
            return _accusation(prover, _commitLeaf(bytes.concat(body, hex"00"), witness));
        }
        if (prover == Prover.NotBefore) {
            return _accusation(prover, _commitPlaced(coin, _nextPlace()));
        }
        if (prover == Prover.NotMade) {
            (Coin memory made, Leaf memory maker) = _madeByLeaf(alice, 1 ether);
            a = _accusation(prover, _commitPlaced(made, _placeOf(maker).ofOutput(1)));
            a.origin = _originOf(maker);
            return a;
        }
        if (prover == Prover.NotDeposited) {
            coin.id = keccak256("never deposited");
            return _accusation(prover, _commitSpend(coin));
        }
        if (prover == Prover.NotSigned) {
            (bytes memory body, bytes memory witness) = _preimage(BOB_KEY, coin);
            a = _accusation(prover, _commitLeaf(body, witness));
            a.creations = _creationsOf(_coins(coin));
            return a;
        }
        if (prover == Prover.Unbalanced) {
            a = _accusation(prover, _commitOver(_coins(coin), _outputs(Output(bob, ETHER, 2 ether))));
            a.creations = _creationsOf(_coins(coin));
            return a;
        }
        if (prover == Prover.DoubleSpend) {
            Leaf memory earlier = _commitSpend(coin);
            a = _accusation(prover, _commitOver(_coins(coin), _outputs(Output(carol, ETHER, 1 ether))));
            a.other = earlier;
            a.outputId = coin.id;
            return a;
        }
        return _guiltyOfFrozen(prover, coin);
    }

    function _guiltyOfFrozen(Prover prover, Coin memory coin) private returns (Accusation memory a) {
        if (prover == Prover.ExitingInFlight) {
            Flight memory flight = _startInFlight(carol, _coins(coin), _spendOf(ALICE_KEY, coin, bob));
            _advance(F + 1);
            a = _accusation(prover, _commitSpend(coin));
            a.exitBody = flight.transaction.body;
            return a;
        }
        IRootChain.ExitRecord memory exit =
            _startExitOfDeposit(coin.proof.position.depositNonce(), alice, ETHER, coin.output.amount);
        if (prover == Prover.Exiting) {
            _advanceTo(exit.key - MEP / 2 + 1);
            a = _accusation(prover, _commitSpend(coin));
            a.exit = exit;
        } else {
            _advanceTo(exit.key);
            _process(ETHER, _only(exit));
            a = _accusation(prover, _commitSpend(coin));
        }
    }

    // ---------------------------------------------------------------- proofs

    /// Returns what an account announces before it makes a call.
    function _announcementOf(address sender, bytes memory call) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(sender, keccak256(call)));
    }

    function _announce(address sender, bytes memory call) internal {
        vm.prank(sender);
        faults.announceFault(_announcementOf(sender, call));
    }

    /// Lets root blocks pass, and no time.
    function _rootBlocks(uint256 count) internal {
        vm.roll(vm.getBlockNumber() + count);
    }

    function _send(address sender, bytes memory call) internal {
        vm.prank(sender);
        (bool success, bytes memory reason) = address(rootChain).call(call);
        vm.assertEq(success ? bytes("") : reason, "", "refused");
        vm.assertTrue(success, "refused for want of gas");
    }

    /// The call, by the accuser, halts the chain at the block.
    function _assertConvicts(bytes memory call, uint64 number, uint8 rule) internal {
        (uint128 faultPart, uint128 receiptPart) = rootChain.operatorBond();
        uint128 slash = faultPart < rootChain.bonds().faultSlash ? faultPart : rootChain.bonds().faultSlash;
        vm.expectEmit(address(rootChain));
        emit IFaults.FaultProven(number, rule, accuser, keccak256(call), slash);
        _send(accuser, call);

        IRootChain.ChainHead memory head = rootChain.head();
        vm.assertEq(head.haltedFrom, number, "halted from");
        vm.assertEq(head.haltedAt, _now(), "halted at");
        (uint64 rootBlock, uint128 reward) = rootChain.convictions(number);
        vm.assertEq(rootBlock, vm.getBlockNumber(), "convicted in");
        vm.assertEq(reward, slash / 2, "the reward waits");
        (uint128 left, uint128 untouched) = rootChain.operatorBond();
        vm.assertEq(left, faultPart - slash, "bond for faults");
        vm.assertEq(untouched, receiptPart, "bond for receipts");
    }

    function _assertConvicts(Accusation memory a) internal {
        _assertConvicts(_callOf(a), a.accused.proof.header.number, _ruleOf(a.prover));
    }

    function _assertRefused(address sender, bytes memory call, bytes memory reason) internal {
        vm.prank(sender);
        (bool success, bytes memory actual) = address(rootChain).call(call);
        vm.assertFalse(success, "not refused");
        vm.assertEq(actual, reason, "refused for another reason");
    }

    function _assertRefused(Accusation memory a, bytes memory reason) internal {
        uint64 haltedFrom = rootChain.head().haltedFrom;
        _assertRefused(accuser, _callOf(a), reason);
        vm.assertEq(rootChain.head().haltedFrom, haltedFrom, "halted from");
    }

    function _assertSpared(Accusation memory a) internal {
        _assertRefused(a, _reason(IFaults.NotAFault.selector));
    }

    function _reason(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector);
    }

    function _reason(bytes4 selector, uint256 argument) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, argument);
    }

    function _notIncludedIn(Leaf memory leaf) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRootChain.NotIncluded.selector, leaf.proof.header.number, leaf.proof.txIndex);
    }
}
