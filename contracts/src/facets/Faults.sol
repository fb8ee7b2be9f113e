// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Convictions} from "../Convictions.sol";
import {RootChainBase} from "../RootChainBase.sol";
import {IFaults} from "../interfaces/IFaults.sol";
import {IInFlightExits} from "../interfaces/IInFlightExits.sol";
import {IRootChain} from "../interfaces/IRootChain.sol";
import {Commitments} from "../libraries/Commitments.sol";
import {Creations} from "../libraries/Creations.sol";
import {ExitTiming} from "../libraries/ExitTiming.sol";
import {Signing} from "../libraries/Signing.sol";
import {TransactionCodec} from "../libraries/TransactionCodec.sol";
import {TransactionTree} from "../libraries/TransactionTree.sol";
import {Transfers} from "../libraries/Transfers.sol";
import {WitnessCodec} from "../libraries/WitnessCodec.sol";
import {CoinState} from "../types/CoinState.sol";
import {Halt} from "../types/Halt.sol";
import {InFlightState} from "../types/InFlightState.sol";
import {FIRST_OUTPUT_PIECE} from "../types/PieceSet.sol";
import {Position} from "../types/Position.sol";

/// @title Faults: announce, prove, halt, slash
/// @notice §3. A facet: `RootChain` runs its code on the storage of its own. Called by itself, it has no block, so that
/// nothing can be proven to it.
contract Faults is IFaults, Convictions {
    using Creations for Creation;
    using Signing for bytes;
    using TransactionCodec for bytes;
    using WitnessCodec for bytes;

    uint256 private constant HASH_LENGTH = 32;
    uint256 private constant SIGNATURE_LENGTH = 64;
    /// §1.7.
    uint256 private constant TX_COUNT_MAX = 1 << 20;

    constructor(IRootChain.Parameters memory parameters) RootChainBase(parameters) {}

    // --------------------------------------------------------------- reveals

    /// @inheritdoc IFaults
    function announceFault(bytes32 announcement) external locked {
        require(_announcements[announcement] == 0, AlreadyAnnounced(announcement));
        _announcements[announcement] = uint64(block.number);
        emit FaultAnnounced(announcement);
    }

    // --------------------------------------------------------------- provers

    /// @inheritdoc IFaults
    function proveFaultNotCanonical(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof
    ) external locked {
        _accuse(body.hashOf(), proof);
        _requireWitness(witness, proof);
        bool isCanonical = body.isCanonical() && witness.isCanonical(TransactionCodec.inputCount(body));
        _convictIf(!isCanonical, proof.header, 1);
    }

    /// @inheritdoc IFaults
    function proveFaultNotBefore(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input
    ) external locked {
        Position place = _accuseCanonical(body, witness, proof, input);
        Position placement = witness.positionAt(input);
        _convictIf(!placement.isDeposit() && !placement.isOlderThan(place), proof.header, 2);
    }

    /// @inheritdoc IFaults
    function proveFaultNotMade(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        Origin calldata origin
    ) external locked {
        Position place = _accuseCanonical(body, witness, proof, input);
        Position placement = witness.positionAt(input);
        bool isEarlierPlace = !placement.isDeposit() && placement.isOlderThan(place);
        _convictIf(isEarlierPlace && !_isMadeAt(placement, body.inputAt(input), origin), proof.header, 3);
    }

    /// @inheritdoc IFaults
    function proveFaultNotDeposited(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        Creation calldata creation
    ) external locked {
        _accuseCanonical(body, witness, proof, input);
        Position placement = witness.positionAt(input);
        require(placement.isDeposit(), NotAFault());
        bytes32 id = body.inputAt(input);
        uint64 nonce = placement.depositNonce();
        bool isCovered = nonce < proof.header.depositCount && _coins[id].state() != 0;
        _convictIf(!isCovered || _isMadeOtherwise(id, nonce, creation), proof.header, 3);
    }

    /// @inheritdoc IFaults
    function proveFaultNotSigned(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        Creation calldata creation
    ) external locked {
        _accuseCanonical(body, witness, proof, input);
        (address owner,,) = _created(body.inputAt(input), creation);
        _convictIf(!body.isSignedBy(witness[:SIGNATURE_LENGTH], owner), proof.header, 4);
    }

    /// @inheritdoc IFaults
    function proveFaultUnbalanced(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        Creation[] calldata creations
    ) external locked {
        _accuse(body.hashOf(), proof);
        _requireCanonical(body);
        _convictIf(!_isBalanced(body, creations), proof.header, 5);
    }

    /// @inheritdoc IFaults
    function proveFaultDoubleSpend(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        bytes calldata otherBody,
        IRootChain.InclusionProof calldata otherProof,
        bytes32 outputId
    ) external locked {
        Position place = _placeIn(_committedNumber(proof.header), body.hashOf(), proof);
        Position otherPlace = _placeIn(_committedNumber(otherProof.header), otherBody.hashOf(), otherProof);
        IRootChain.Header calldata accused = otherPlace.isOlderThan(place) ? proof.header : otherProof.header;
        _requireConvictable(accused);
        _requireCanonical(body);
        _requireCanonical(otherBody);
        _convictIf(!place.isAt(otherPlace) && body.spends(outputId) && otherBody.spends(outputId), accused, 6);
    }

    /// @inheritdoc IFaults
    function proveFaultSettled(bytes calldata body, IRootChain.InclusionProof calldata proof, uint8 input)
        external
        locked
    {
        CoinState coinState = _coins[_accusedInput(body, proof, input)];
        require(coinState.isSettled(), NotAFault());
        _convictIf(coinState.state() < proof.header.timestamp, proof.header, 7);
    }

    /// @inheritdoc IFaults
    function proveFaultExiting(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        IRootChain.ExitRecord calldata exit
    ) external locked {
        bytes32 id = _accusedInput(body, proof, input);
        require(_coins[id].isExitOf(Commitments.ofShownExit(exit)), IRootChain.NotExiting(id));
        uint256 freeze = ExitTiming.freezeOfStandardExit(exit.key, MINIMUM_EXIT_PERIOD);
        _convictIf(freeze < proof.header.timestamp, proof.header, 7);
    }

    /// @inheritdoc IFaults
    function proveFaultExitingInFlight(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        bytes calldata exitBody,
        uint8 piece
    ) external locked {
        bytes32 id = _accusedInput(body, proof, input);
        bytes32 exitHash = exitBody.hashOf();
        InFlightState state = _inFlightExits[exitHash].state;
        require(state.isOpen(), IInFlightExits.NotOpen(exitHash));
        // The body of an open exit is canonical.
        bool isPiece;
        uint256 freeze;
        if (piece < FIRST_OUTPUT_PIECE) {
            isPiece = piece < TransactionCodec.inputCount(exitBody) && exitBody.inputAt(piece) == id;
            freeze = ExitTiming.freezeOfInput(state.start(), MINIMUM_EXIT_PERIOD);
        } else {
            isPiece = piece < 2 * FIRST_OUTPUT_PIECE && state.livePieces().has(piece)
                && TransactionCodec.outputId(exitHash, piece - FIRST_OUTPUT_PIECE) == id;
            freeze = ExitTiming.freezeOfOutput(state.key(), MINIMUM_EXIT_PERIOD);
        }
        _convictIf(isPiece && freeze < proof.header.timestamp, proof.header, 7);
    }

    /// @inheritdoc IFaults
    function proveBrokenReceipt(
        Receipt calldata receipt,
        bytes calldata signature,
        IRootChain.Header calldata header,
        BrokenPromise calldata broken
    ) external locked {
        require(receipt.count != 0 && uint256(receipt.first) + receipt.count <= TX_COUNT_MAX, NotAPromise());
        _requireSignedByOperator(receipt, signature);
        uint64 number = receipt.number;
        Conviction memory slashed = _slashedReceipts[number];
        require(slashed.rootBlock == 0 || slashed.reward != 0, AlreadySlashed(number));
        require(header.number == 0 ? _isOverdue(receipt) : _isBroken(receipt, header, broken), NotBroken());
        _slashReceipt(number, slashed);
    }

    // --------------------------------------------------------------- accused

    /// Returns where the accused transaction stands, in a block that can be convicted.
    function _accuse(bytes32 txHash, IRootChain.InclusionProof calldata proof) private view returns (Position place) {
        place = _placeIn(_committedNumber(proof.header), txHash, proof);
        _requireConvictable(proof.header);
    }

    /// As `_accuse`, of a transaction that is canonical, witness and all, and has the input.
    function _accuseCanonical(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input
    ) private view returns (Position place) {
        place = _accuse(body.hashOf(), proof);
        _requireWitness(witness, proof);
        _requireCanonical(body);
        uint256 inputs = TransactionCodec.inputCount(body);
        require(witness.isCanonical(inputs), IRootChain.NotCanonical());
        require(input < inputs, NoSuchInput(input));
    }

    /// Returns the id of an input of an accused transaction whose body is canonical.
    function _accusedInput(bytes calldata body, IRootChain.InclusionProof calldata proof, uint8 input)
        private
        view
        returns (bytes32)
    {
        _accuse(body.hashOf(), proof);
        _requireCanonical(body);
        require(input < TransactionCodec.inputCount(body), NoSuchInput(input));
        return body.inputAt(input);
    }

    function _requireCanonical(bytes calldata body) private pure {
        require(body.isCanonical(), IRootChain.NotCanonical());
    }

    function _requireWitness(bytes calldata witness, IRootChain.InclusionProof calldata proof) private pure {
        require(keccak256(witness) == proof.witnessHash, NotTheWitness());
    }

    // --------------------------------------------------------------- history

    /// Returns whether the coin was made at an earlier place of the child chain. R3.
    function _isMadeAt(Position position, bytes32 id, Origin calldata origin) private view returns (bool) {
        uint8 index = position.outputIn();
        return _hasLeaf(position, origin) && TransactionCodec.outputId(origin.txHash, index) == id
            && _makesOutput(origin, index);
    }

    /// Returns whether what is shown made the coin, and is not the deposit with this nonce. R3.
    function _isMadeOtherwise(bytes32 id, uint64 nonce, Creation calldata creation) private pure returns (bool) {
        bytes calldata fields = creation.fields;
        if (fields.length == HASH_LENGTH) {
            return creation.index < FIRST_OUTPUT_PIECE
                && TransactionCodec.outputId(bytes32(fields), uint8(creation.index)) == id;
        }
        return creation.index != nonce && creation.isDeposit() && creation.depositId() == id;
    }

    /// Returns what a coin is, by what made it. §1.4.
    function _created(bytes32 id, Creation calldata creation)
        private
        pure
        returns (address owner, address asset, uint128 amount)
    {
        if (creation.isDeposit()) {
            require(creation.depositId() == id, NotTheCreation(id));
            return creation.depositOf();
        }
        bytes calldata body = creation.fields;
        require(creation.isOutput(), NotTheCreation(id));
        require(TransactionCodec.outputId(body.hashOf(), uint8(creation.index)) == id, NotTheCreation(id));
        return body.outputAt(creation.index);
    }

    /// Returns whether a transaction neither makes nor loses value, by what made its inputs. R5.
    function _isBalanced(bytes calldata body, Creation[] calldata creations) private pure returns (bool) {
        uint256 inputs = TransactionCodec.inputCount(body);
        uint256 outputs = body.outputCount();
        require(creations.length == inputs, WrongCreationCount(creations.length, inputs));
        address[] memory assets = new address[](inputs + outputs);
        uint256[] memory amounts = new uint256[](inputs + outputs);
        for (uint256 i = 0; i < inputs; ++i) {
            (, assets[i], amounts[i]) = _created(body.inputAt(i), creations[i]);
        }
        for (uint256 i = 0; i < outputs; ++i) {
            (, assets[inputs + i], amounts[inputs + i]) = body.outputAt(i);
        }
        for (uint256 i = 0; i < assets.length; ++i) {
            // Sums of at most 16 amounts of 128 bits.
            uint256 taken = 0;
            uint256 made = 0;
            for (uint256 j = 0; j < assets.length; ++j) {
                if (assets[j] != assets[i]) continue;
                if (j < inputs) taken += amounts[j];
                else made += amounts[j];
            }
            if (taken != made) return false;
        }
        return true;
    }

    // -------------------------------------------------------------- receipts

    function _requireSignedByOperator(Receipt calldata receipt, bytes calldata signature) private view {
        address signer = address(0);
        if (signature.length == SIGNATURE_LENGTH) {
            bytes32 digest = Signing.receiptDigest(
                receipt.number, receipt.first, receipt.count, receipt.root, receipt.by, address(this)
            );
            signer = Signing.recover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
        }
        address operator = _operatorOf(receipt.number);
        require(signer == operator && signer != address(0), NotSignedByOperator(signer, operator));
    }

    /// Returns whether the block is not committed although its time is over. §3.
    function _isOverdue(Receipt calldata receipt) private view returns (bool) {
        bool isRunning = Halt.unwrap(_halt) == 0;
        return
            isRunning && _blocks[receipt.number] == 0 && block.timestamp > _latest(receipt) && _isShownInTime(receipt);
    }

    /// Returns whether the block was committed too late, or does not hold a leaf that the receipt promises. §3.
    function _isBroken(Receipt calldata receipt, IRootChain.Header calldata header, BrokenPromise calldata broken)
        private
        view
        returns (bool)
    {
        uint64 number = _committedNumber(header);
        require(number == receipt.number, IRootChain.UnknownHeader(number));
        require(number < _firstVoidBlock(), IRootChain.VoidBlock(number));
        if (header.timestamp > _latest(receipt) && _isShownInTime(receipt)) return true;
        uint64 until = uint64(header.timestamp + 2 * MINIMUM_EXIT_PERIOD);
        require(block.timestamp < until, TooLateToProve(until));
        uint32 index = broken.index;
        if (index < receipt.first || index - receipt.first >= receipt.count) return false;
        if (index >= header.txCount) return true;
        bytes32[] calldata path = broken.promisedPath;
        bool isPromised = path.length == TransactionTree.depth(receipt.count)
            && TransactionTree.root(broken.promised, index - receipt.first, path) == receipt.root;
        return isPromised && TransactionTree.holds(header, index, broken.held, broken.heldPath)
            && broken.promised != broken.held;
    }

    /// Returns the last time at which the receipt's block can be committed without breaking it.
    function _latest(Receipt calldata receipt) private view returns (uint256) {
        return uint256(receipt.by) + ExitTiming.freezeDelay(MINIMUM_EXIT_PERIOD);
    }

    function _isShownInTime(Receipt calldata receipt) private view returns (bool) {
        return block.timestamp < _latest(receipt) + MINIMUM_EXIT_PERIOD;
    }

    /// Slashes a broken receipt, or pays the reward that waits for it. §3.
    function _slashReceipt(uint64 number, Conviction memory slashing) private {
        bytes32 evidence = keccak256(msg.data);
        bool isNew = slashing.rootBlock == 0;
        if (isNew) {
            uint128 slashed = _atMost(RECEIPT_SLASH, _operatorBond.receiptPart);
            _operatorBond.receiptPart -= slashed;
            _updateStopped();
            emit ReceiptSlashed(number, msg.sender, evidence, slashed);
            slashing = _burnHalf(slashed);
        }
        uint128 reward = _takeReward(slashing, evidence);
        require(isNew || reward != 0, AlreadySlashed(number));
        _slashedReceipts[number] = slashing;
        if (reward == 0) return;
        emit ReceiptRewarded(number, msg.sender, reward);
        _payOrCredit(Transfers.ETHER, msg.sender, reward);
    }
}
