// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RootChainBase} from "../RootChainBase.sol";
import {IInFlightExits} from "../interfaces/IInFlightExits.sol";
import {IRootChain} from "../interfaces/IRootChain.sol";
import {ExitTiming} from "../libraries/ExitTiming.sol";
import {InFlightData} from "../libraries/InFlightData.sol";
import {KeyList} from "../libraries/KeyList.sol";
import {Signing} from "../libraries/Signing.sol";
import {TransactionCodec} from "../libraries/TransactionCodec.sol";
import {Transfers} from "../libraries/Transfers.sol";
import {Decision, InFlightState, NOT_INCLUDED, PlaceHolder, newInFlightState} from "../types/InFlightState.sol";
import {FIRST_OUTPUT_PIECE, PieceSet} from "../types/PieceSet.sol";
import {Position, depositPosition} from "../types/Position.sol";

/// @title In-flight exits: start, piggyback, challenge, answer, close
/// @notice §6. A facet: `RootChain` runs its code on the storage of its own. Called by itself, it has no deposit and no
/// block, so that nothing can be proven to it.
contract InFlightExits is IInFlightExits, RootChainBase {
    using InFlightData for bytes;
    using KeyList for KeyList.List;
    using Signing for bytes;
    using TransactionCodec for bytes;

    uint256 private constant DEPOSIT_FIELDS_LENGTH = 20 + 20 + 16;

    constructor(IRootChain.Parameters memory parameters) RootChainBase(parameters) {}

    // ---------------------------------------------------------------- starts

    /// @inheritdoc IInFlightExits
    function startInFlightExit(bytes calldata body, bytes calldata signature, InputProof[] calldata inputs)
        external
        payable
        locked
    {
        require(body.isCanonical(), IRootChain.NotCanonical());
        bytes32 txHash = body.hashOf();
        OpenExit storage open = _inFlightExits[txHash];
        require(msg.value == IN_FLIGHT_BOND, IRootChain.WrongBond(msg.value, IN_FLIGHT_BOND));
        require(!open.state.isOpen(), AlreadyOpen(txHash));
        require(
            inputs.length == TransactionCodec.inputCount(body),
            WrongProofCount(inputs.length, TransactionCodec.inputCount(body))
        );

        uint64 start = uint64(block.timestamp);
        (bytes memory data, address owner, uint64 key) = _provenInputs(body, inputs, start);
        require(body.isSignedBy(signature, owner), NotSigned(txHash));
        require(_isBalanced(body, data), Unbalanced(txHash));

        open.state = newInFlightState(start, key);
        open.dataHash = keccak256(data);
        emit InFlightExitStarted(txHash, msg.sender, owner, start, key, data, body, signature);
    }

    /// @inheritdoc IInFlightExits
    function improveInFlightExit(
        bytes calldata body,
        bytes calldata data,
        PieceSet which,
        InputProof[] calldata proofs,
        uint64[] calldata hints
    ) external locked {
        bytes32 txHash = body.hashOf();
        OpenExit storage open = _inFlightExits[txHash];
        InFlightState state = _requireFirstHalf(open, txHash);
        _requireData(open, txHash, data);
        require(proofs.length == which.count(), WrongProofCount(proofs.length, which.count()));

        (bytes memory improved, uint64 key) = _improve(data, which, proofs, state.start());
        if (key != state.key()) {
            _countOver(body, data, state, key, hints);
            open.state = state.withKey(key);
        }
        open.dataHash = keccak256(improved);
        emit InFlightExitImproved(txHash, key, improved);
    }

    /// Returns the data of a transaction whose inputs are all proven and have one owner, and the key of its exit.
    function _provenInputs(bytes calldata body, InputProof[] calldata proofs, uint64 start)
        private
        view
        returns (bytes memory data, address owner, uint64 key)
    {
        data = InFlightData.create(msg.sender, proofs.length);
        uint256 youngest = 0;
        for (uint256 i = 0; i < proofs.length; ++i) {
            (InFlightData.Input memory input, address inputOwner) = _provenInput(body.inputAt(i), proofs[i]);
            if (i == 0) owner = inputOwner;
            require(inputOwner == owner, SeveralOwners(owner, inputOwner));
            data.setInput(i, input);
            if (input.createdAt > youngest) youngest = input.createdAt;
        }
        data.setOwner(owner);
        key = _keyOf(start, youngest);
    }

    /// Returns the data with the places that are proven in the stead of the former ones, none younger and at least one
    /// older, and the key of the exit.
    function _improve(bytes calldata data, PieceSet which, InputProof[] calldata proofs, uint64 start)
        private
        view
        returns (bytes memory improved, uint64 key)
    {
        improved = data;
        uint256 shown = 0;
        bool isOlder = false;
        uint256 youngest = 0;
        for (uint8 i = 0; i < InFlightData.inputCount(data); ++i) {
            uint256 createdAt = data.createdAt(i);
            if (which.has(i)) {
                Position position = data.positionAt(i);
                (InFlightData.Input memory input,) = _provenInput(data.outputIdAt(i), proofs[shown++]);
                require(!position.isOlderThan(input.position), NotOlder(input.position, position));
                if (input.position.isOlderThan(position)) isOlder = true;
                improved.setInput(i, input);
                createdAt = input.createdAt;
            }
            if (createdAt > youngest) youngest = createdAt;
        }
        require(isOlder && shown == proofs.length, NothingOlder());
        key = _keyOf(start, youngest);
    }

    /// Counts live pieces under a new key in the lists of their assets.
    function _countOver(
        bytes calldata body,
        bytes calldata data,
        InFlightState state,
        uint64 key,
        uint64[] calldata hints
    ) private {
        for (PieceSet left = state.livePieces(); !left.isEmpty(); left = left.without(left.first())) {
            uint8 piece = left.first();
            (, address asset) = _pieceAt(body, data, piece);
            uint256 index =
                piece < FIRST_OUTPUT_PIECE ? piece : InFlightData.inputCount(data) + piece - FIRST_OUTPUT_PIECE;
            _exitKeys[asset].release(state.key());
            _exitKeys[asset].add(key, index < hints.length ? hints[index] : 0);
        }
    }

    // ------------------------------------------------------------ piggybacks

    /// @inheritdoc IInFlightExits
    function piggyback(bytes calldata body, bytes calldata data, PieceSet pieces, uint64 hint) external payable locked {
        bytes32 txHash = body.hashOf();
        OpenExit storage open = _inFlightExits[txHash];
        InFlightState state = _requireFirstHalf(open, txHash);
        require(!pieces.isEmpty(), NoPieces());
        uint256 bond = pieces.count() * _pieceBond(TransactionCodec.inputCount(body));
        require(msg.value == bond, IRootChain.WrongBond(msg.value, bond));
        // Inputs are the lowest pieces.
        if (pieces.first() < FIRST_OUTPUT_PIECE) _requireData(open, txHash, data);

        uint8 first = pieces.first();
        address asset;
        PieceSet live = state.livePieces();
        for (PieceSet left = pieces; !left.isEmpty(); left = left.without(left.first())) {
            uint8 piece = left.first();
            (address owner, address pieceAsset) = _pieceAt(body, data, piece);
            if (piece == first) asset = pieceAsset;
            require(msg.sender == owner, IRootChain.NotOwner(msg.sender, owner));
            require(pieceAsset == asset, SeveralAssets(asset, pieceAsset));
            require(!live.has(piece), PieceLive(piece));
            _exitKeys[asset].add(state.key(), hint);
        }
        open.state = state.withLivePieces(live.with(pieces));
        emit Piggybacked(txHash, msg.sender, asset, pieces);
    }

    // ------------------------------------------------------------- canonicity

    /// @inheritdoc IInFlightExits
    function challengeNotCanonical(bytes32 txHash, bytes calldata data, uint8 inputIndex, Spend calldata competitor)
        external
        payable
        locked
    {
        OpenExit storage open = _inFlightExits[txHash];
        InFlightState state = _requireFirstHalf(open, txHash);
        _requireData(open, txHash, data);
        require(msg.value == IN_FLIGHT_BOND, IRootChain.WrongBond(msg.value, IN_FLIGHT_BOND));
        require(inputIndex < InFlightData.inputCount(data), NoSuchPiece(inputIndex));
        bytes32 competitorHash = _requireSpend(competitor, data.outputIdAt(inputIndex), data.ownerOf());
        require(competitorHash != txHash, OwnTransaction(txHash));
        Position place = _placeOfCompetitor(competitorHash, competitor.inclusion);
        require(
            state.placeHolder() == PlaceHolder.Nobody || place.isOlderThan(state.oldestPlace()),
            NotOlder(place, state.oldestPlace())
        );

        address earlier = open.challenger;
        open.state = state.withOldestPlace(place, PlaceHolder.Competitor);
        open.challenger = msg.sender;
        emit CanonicityChallenged(txHash, msg.sender, place, competitor.body, competitor.signature);
        if (earlier != address(0)) _payOrCredit(Transfers.ETHER, earlier, IN_FLIGHT_BOND);
    }

    /// Returns where a competitor is included: nowhere, as far as is known, if no block or a void one is shown.
    function _placeOfCompetitor(bytes32 txHash, IRootChain.InclusionProof calldata inclusion)
        private
        view
        returns (Position)
    {
        if (inclusion.header.number == 0) return NOT_INCLUDED;
        uint64 number = _committedNumber(inclusion.header);
        Position place = _placeIn(number, txHash, inclusion);
        return number < _firstVoidBlock() ? place : NOT_INCLUDED;
    }

    /// @inheritdoc IInFlightExits
    function respondNotCanonical(bytes32 txHash, IRootChain.InclusionProof calldata inclusion) external locked {
        OpenExit storage open = _inFlightExits[txHash];
        InFlightState state = _requireOpen(open, txHash);
        require(state.decision() == Decision.None, AlreadyDecided(txHash, state.decision()));
        require(state.placeHolder() != PlaceHolder.Nobody, NothingToAnswer(txHash));
        Position place = _includedPlace(txHash, inclusion);
        require(place.isOlderThan(state.oldestPlace()), NotOlder(place, state.oldestPlace()));

        address challenger = open.challenger;
        open.state = state.withOldestPlace(place, PlaceHolder.Own);
        emit CanonicityAnswered(txHash, msg.sender, place);
        if (challenger == address(0)) return;
        open.challenger = address(0);
        _payOrCredit(Transfers.ETHER, msg.sender, IN_FLIGHT_BOND);
    }

    // ----------------------------------------------------------- spent pieces

    /// @inheritdoc IInFlightExits
    function challengePieceSpent(bytes calldata body, bytes calldata data, uint8 piece, Spend calldata spend)
        external
        locked
    {
        bytes32 txHash = body.hashOf();
        OpenExit storage open = _inFlightExits[txHash];
        InFlightState state = _requireOpen(open, txHash);
        require(piece < 32 && state.livePieces().has(piece), PieceNotLive(piece));
        (bytes32 outputId, address owner, address asset) =
            piece < FIRST_OUTPUT_PIECE ? _livePieceIn(open, txHash, data, piece) : _livePieceOut(txHash, body, piece);
        bytes32 spendHash = _requireSpend(spend, outputId, owner);
        require(spendHash != txHash, OwnTransaction(txHash));
        // §6.5: of an input it is the other spend that must stand in a block, of an output this transaction.
        Position place = _includedPlace(piece < FIRST_OUTPUT_PIECE ? spendHash : txHash, spend.inclusion);
        uint64 freeze = uint64(ExitTiming.freezeOfInput(state.start(), MINIMUM_EXIT_PERIOD));
        uint64 included = spend.inclusion.header.timestamp;
        require(included <= freeze, IncludedTooLate(included, freeze));

        open.state = state.withLivePieces(state.livePieces().without(piece));
        _exitKeys[asset].release(state.key());
        emit PieceChallenged(txHash, msg.sender, piece, place, spend.body, spend.signature);
        _payOrCredit(Transfers.ETHER, msg.sender, _pieceBond(TransactionCodec.inputCount(body)));
    }

    // ----------------------------------------------------------------- close

    /// @inheritdoc IInFlightExits
    function closeInFlightExit(bytes32 txHash, bytes calldata data) external locked {
        OpenExit storage open = _inFlightExits[txHash];
        InFlightState state = _requireOpen(open, txHash);
        _requireData(open, txHash, data);
        require(state.livePieces().isEmpty(), PiecesLive(state.livePieces()));
        Decision decision = state.decision();
        address challenger = open.challenger;
        bool isUnanswered = challenger != address(0) && decision == Decision.None;
        // §6.8: a challenge in the last second leaves time for a response.
        uint64 earliest = isUnanswered ? state.key() : _endOfFirstHalf(state);
        require(block.timestamp >= earliest, TooEarly(uint64(block.timestamp), earliest));

        delete _inFlightExits[txHash];
        emit InFlightExitClosed(txHash);
        if (challenger != address(0) && (isUnanswered || decision == Decision.NonCanonical)) {
            _payOrCredit(Transfers.ETHER, challenger, 2 * IN_FLIGHT_BOND);
        } else {
            _payOrCredit(Transfers.ETHER, data.starterOf(), IN_FLIGHT_BOND);
            if (challenger != address(0)) _payOrCredit(Transfers.ETHER, challenger, IN_FLIGHT_BOND);
        }
    }

    // -------------------------------------------------------------- internals

    function _requireOpen(OpenExit storage open, bytes32 txHash) private view returns (InFlightState state) {
        state = open.state;
        require(state.isOpen(), NotOpen(txHash));
    }

    function _requireFirstHalf(OpenExit storage open, bytes32 txHash) private view returns (InFlightState state) {
        state = _requireOpen(open, txHash);
        uint64 end = _endOfFirstHalf(state);
        require(block.timestamp < end, FirstHalfOver(uint64(block.timestamp), end));
    }

    function _endOfFirstHalf(InFlightState state) private view returns (uint64) {
        return uint64(state.start() + MINIMUM_EXIT_PERIOD / 2);
    }

    /// Refuses data that are not those of the open exit.
    function _requireData(OpenExit storage open, bytes32 txHash, bytes calldata data) private view {
        // Hashed as a body is, which allocates nothing.
        require(open.dataHash == data.hashOf(), WrongData(txHash));
    }

    /// Refuses a body that is not a spend of the coin, or not signed by its owner. Returns its hash.
    function _requireSpend(Spend calldata spend, bytes32 outputId, address owner) private view returns (bytes32) {
        require(spend.body.isSignedSpend(spend.signature, outputId, owner), IRootChain.NotASpend(outputId));
        return spend.body.hashOf();
    }

    /// Returns an input whose creation is proven, and its owner. §6.1.
    function _provenInput(bytes32 outputId, InputProof calldata proof)
        private
        view
        returns (InFlightData.Input memory input, address owner)
    {
        Position position = proof.position;
        bytes calldata creation = proof.creation;
        input.outputId = outputId;
        input.position = position;
        bool isTheInput;
        if (position.isDeposit()) {
            require(creation.length == DEPOSIT_FIELDS_LENGTH, IRootChain.NotCanonical());
            owner = address(bytes20(creation[:20]));
            address asset = address(bytes20(creation[20:40]));
            uint128 amount = uint128(bytes16(creation[40:]));
            uint64 nonce = position.depositNonce();
            // The id of a deposit that was taken is marked. §5.1.
            isTheInput = position.isAt(depositPosition(nonce))
                && outputId == TransactionCodec.depositId(nonce, owner, asset, amount) && _coins[outputId].state() != 0;
            (input.asset, input.amount) = (asset, amount);
        } else {
            uint8 index = position.outputIn();
            require(creation.isCanonical(), IRootChain.NotCanonical());
            require(index < creation.outputCount(), IRootChain.NoSuchOutput(index));
            bytes32 txHash = creation.hashOf();
            Position place = _includedPlace(txHash, proof.inclusion);
            isTheInput = position.isAt(place.ofOutput(index)) && outputId == TransactionCodec.outputId(txHash, index);
            (owner, input.asset, input.amount) = creation.outputAt(index);
            input.createdAt = proof.inclusion.header.timestamp;
        }
        require(isTheInput, NotTheInput(outputId, position));
    }

    /// Returns whether a transaction neither makes nor loses value. R5.
    function _isBalanced(bytes calldata body, bytes memory data) private pure returns (bool) {
        uint256 inputs = TransactionCodec.inputCount(body);
        uint256 outputs = body.outputCount();
        uint256 matched = 0;
        // Sums of at most 16 amounts of 128 bits.
        unchecked {
            for (uint256 i = 0; i < inputs; ++i) {
                (address asset, uint256 taken) = data.assetAndAmountIn(i);
                if (_isAssetBefore(data, i, asset)) continue;
                // Each asset is summed up at its first input.
                for (uint256 j = i + 1; j < inputs; ++j) {
                    (address inputAsset, uint256 amount) = data.assetAndAmountIn(j);
                    if (inputAsset == asset) taken += amount;
                }
                uint256 made = 0;
                for (uint256 j = 0; j < outputs; ++j) {
                    (, address outputAsset, uint128 amount) = body.outputAt(j);
                    if (outputAsset != asset) continue;
                    made += amount;
                    ++matched;
                }
                if (taken != made) return false;
            }
        }
        // An output that is left is of an asset that no input has.
        return matched == outputs;
    }

    /// Returns whether an input before this one has the asset.
    function _isAssetBefore(bytes memory data, uint256 index, address asset) private pure returns (bool) {
        for (uint256 i = 0; i < index; ++i) {
            (address other,) = data.assetAndAmountIn(i);
            if (other == asset) return true;
        }
        return false;
    }

    /// Returns the key of an exit whose youngest input was made at this time, zero if deposits made all of them: the
    /// maximum over the inputs. §4.
    function _keyOf(uint64 start, uint256 youngest) private view returns (uint64) {
        uint256 key = youngest == 0
            ? ExitTiming.keyOfDeposit(start, MINIMUM_EXIT_PERIOD)
            : ExitTiming.keyOfOutput(start, youngest, MINIMUM_EXIT_PERIOD);
        return uint64(key);
    }

    /// Returns an input that is a live piece, so that the transaction has it.
    function _livePieceIn(OpenExit storage open, bytes32 txHash, bytes calldata data, uint8 piece)
        private
        view
        returns (bytes32 outputId, address owner, address asset)
    {
        _requireData(open, txHash, data);
        return (data.outputIdAt(piece), data.ownerOf(), data.assetAt(piece));
    }

    /// Returns an output that is a live piece, so that the transaction has it.
    function _livePieceOut(bytes32 txHash, bytes calldata body, uint8 piece)
        private
        pure
        returns (bytes32 outputId, address owner, address asset)
    {
        uint8 index = piece - FIRST_OUTPUT_PIECE;
        (owner, asset,) = body.outputAt(index);
        outputId = TransactionCodec.outputId(txHash, index);
    }

    /// Returns the owner and the asset of a piece. The data have been checked if it is an input.
    function _pieceAt(bytes calldata body, bytes calldata data, uint8 piece)
        private
        pure
        returns (address owner, address asset)
    {
        if (piece < FIRST_OUTPUT_PIECE) {
            require(piece < TransactionCodec.inputCount(body), NoSuchPiece(piece));
            return (data.ownerOf(), data.assetAt(piece));
        }
        uint256 index = piece - FIRST_OUTPUT_PIECE;
        require(index < body.outputCount(), NoSuchPiece(piece));
        (owner, asset,) = body.outputAt(index);
    }
}
