// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RootChainBase} from "./RootChainBase.sol";
import {IInFlightExits} from "./interfaces/IInFlightExits.sol";
import {IRootChain} from "./interfaces/IRootChain.sol";
import {Commitments} from "./libraries/Commitments.sol";
import {ExitTiming} from "./libraries/ExitTiming.sol";
import {InFlightData} from "./libraries/InFlightData.sol";
import {KeyList} from "./libraries/KeyList.sol";
import {TransactionCodec} from "./libraries/TransactionCodec.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {CoinState, settledCoin} from "./types/CoinState.sol";
import {Decision, InFlightState, PlaceHolder} from "./types/InFlightState.sol";
import {FIRST_OUTPUT_PIECE, PieceSet} from "./types/PieceSet.sol";

/// @title The payment of exits in the order of their keys
/// @notice §4, §5.2, §6.6, §6.7. Nothing here reverts but a payment that is given too little gas.
abstract contract ExitProcessing is IRootChain, RootChainBase {
    using KeyList for KeyList.List;
    using KeyList for KeyList.Turn;
    using InFlightData for bytes;
    using TransactionCodec for bytes;

    /// What a run over one asset's exits keeps at hand and writes once, at its end. The lock makes that safe.
    struct Run {
        address asset;
        /// What may still be paid.
        uint256 owed;
        /// The key whose turn it is; zero, which no exit has, if it is nobody's.
        KeyList.Turn turn;
        uint256 firstVoidBlock;
        /// What the caller has earned.
        uint256 bounty;
    }

    /// An in-flight exit while its pieces are processed.
    struct Flight {
        bytes32 txHash;
        InFlightState state;
    }

    /// A piece of an in-flight exit.
    struct Piece {
        uint8 index;
        bytes32 outputId;
        address owner;
        address asset;
        uint128 amount;
    }

    /// @inheritdoc IRootChain
    function processExits(address asset, ExitRecord[] calldata exits, IInFlightExits.PieceRecord[] calldata pieces)
        external
        locked
    {
        Run memory run;
        run.asset = asset;
        run.owed = _owed(asset);
        run.firstVoidBlock = _firstVoidBlock();
        _nextTurn(run);
        uint256 next = 0;
        for (uint256 i = 0; i < exits.length; ++i) {
            ExitRecord calldata exit = exits[i];
            // Pieces come first while it is the turn of a key before the exit's.
            for (; next < pieces.length && run.turn.key < exit.key; ++next) {
                _processPieces(run, pieces[next]);
            }
            _processExit(run, exit);
        }
        for (; next < pieces.length; ++next) {
            _processPieces(run, pieces[next]);
        }
        _exitKeys[asset].store(run.turn);
        _setOwed(asset, run.owed);
        _payOrCredit(Transfers.ETHER, msg.sender, run.bounty);
    }

    // -------------------------------------------------------- standard exits

    /// Ends an exit whose turn it is, and skips any other.
    function _processExit(Run memory run, ExitRecord calldata exit) private {
        uint64 key = exit.key;
        if (key != run.turn.key || exit.asset != run.asset) return;
        bytes32 outputId = exit.outputId;
        CoinState coinState = _coins[outputId];
        if (!coinState.isExitOf(Commitments.ofShownExit(exit))) return;

        if (run.turn.release() == 0) _nextTurn(run);
        address payee = coinState.isAssigned() ? _payees[outputId] : exit.owner;
        // No sum of bounties passes 2^256, and no bounty its bond.
        uint256 bond;
        unchecked {
            run.bounty += EXIT_BOUNTY;
            bond = EXIT_BOND - EXIT_BOUNTY;
        }
        if (_isVoid(exit.position, run.firstVoidBlock) || coinState.isSettled()) {
            _coins[outputId] = coinState.withoutExit();
            emit ExitReturned(outputId, payee);
            _payOrCredit(Transfers.ETHER, payee, bond);
        } else {
            _coins[outputId] = settledCoin(ExitTiming.freezeOfStandardExit(key, MINIMUM_EXIT_PERIOD));
            uint128 amount = exit.amount;
            (uint128 paid, bool delivered) = _pay(run, payee, amount, bond);
            emit ExitPaid(outputId, payee, amount, paid, !delivered);
        }
    }

    // ---------------------------------------------------------------- pieces

    /// Ends pieces of an in-flight exit whose turn it is, and skips any others.
    function _processPieces(Run memory run, IInFlightExits.PieceRecord calldata record) private {
        Flight memory flight;
        flight.txHash = record.body.hashOf();
        OpenExit storage open = _inFlightExits[flight.txHash];
        flight.state = open.state;
        if (!flight.state.isOpen() || flight.state.key() != run.turn.key) return;
        if (open.dataHash != keccak256(record.data)) return;

        PieceSet left = record.pieces.shared(flight.state.livePieces());
        while (!left.isEmpty()) {
            Piece memory piece = _pieceAt(flight.txHash, record, left.first());
            left = left.without(piece.index);
            if (piece.asset != run.asset) continue;
            if (flight.state.decision() == Decision.None) _decide(run, flight, record.data);
            _processPiece(run, flight, piece, TransactionCodec.inputCount(record.body));
        }
        open.state = flight.state;
    }

    /// Decides an in-flight exit for good, and settles its inputs if it is canonical. §6.6.
    function _decide(Run memory run, Flight memory flight, bytes calldata data) private {
        PlaceHolder holder = flight.state.placeHolder();
        bool isCanonical = holder == PlaceHolder.Nobody
            || (holder == PlaceHolder.Own && !_isVoid(flight.state.oldestPlace(), run.firstVoidBlock));
        Decision decision = isCanonical ? Decision.Canonical : Decision.NonCanonical;
        uint256 inputs = InFlightData.inputCount(data);
        for (uint256 i = 0; i < inputs && decision != Decision.Void; ++i) {
            if (_coins[data.outputIdAt(i)].isSettled()) decision = Decision.NonCanonical;
            if (_isVoid(data.positionAt(i), run.firstVoidBlock)) decision = Decision.Void;
        }
        flight.state = flight.state.withDecision(decision);
        emit IInFlightExits.InFlightExitDecided(flight.txHash, decision);
        if (decision != Decision.Canonical) return;
        uint256 freeze = ExitTiming.freezeOfInput(flight.state.start(), MINIMUM_EXIT_PERIOD);
        for (uint256 i = 0; i < inputs; ++i) {
            bytes32 outputId = data.outputIdAt(i);
            _coins[outputId] = _coins[outputId].withSettlement(freeze);
        }
    }

    /// Pays a piece of the side that the decision pays, unless its coin is settled, and gives back its bond. §6.7.
    function _processPiece(Run memory run, Flight memory flight, Piece memory piece, uint256 inputs) private {
        InFlightState state = flight.state;
        flight.state = state.withLivePieces(state.livePieces().without(piece.index));
        uint256 bounty = PIECE_BOUNTY + inputs * PIECE_BOUNTY_PER_INPUT;
        uint256 bond = _pieceBond(inputs) - bounty;
        run.bounty += bounty;
        if (run.turn.release() == 0) _nextTurn(run);

        bool isInput = piece.index < FIRST_OUTPUT_PIECE;
        CoinState coinState = _coins[piece.outputId];
        if (state.decision() != (isInput ? Decision.NonCanonical : Decision.Canonical) || coinState.isSettled()) {
            emit IInFlightExits.PieceReturned(flight.txHash, piece.outputId, piece.owner, piece.index);
            _payOrCredit(Transfers.ETHER, piece.owner, bond);
            return;
        }
        uint256 freeze = isInput
            ? ExitTiming.freezeOfInput(state.start(), MINIMUM_EXIT_PERIOD)
            : ExitTiming.freezeOfOutput(state.key(), MINIMUM_EXIT_PERIOD);
        _coins[piece.outputId] = coinState.withSettlement(freeze);
        (uint128 paid, bool delivered) = _pay(run, piece.owner, piece.amount, bond);
        emit IInFlightExits.PiecePaid(
            flight.txHash, piece.outputId, piece.owner, piece.index, piece.amount, paid, !delivered
        );
    }

    function _pieceAt(bytes32 txHash, IInFlightExits.PieceRecord calldata record, uint8 index)
        private
        pure
        returns (Piece memory piece)
    {
        piece.index = index;
        if (index < FIRST_OUTPUT_PIECE) {
            piece.outputId = record.data.outputIdAt(index);
            piece.owner = record.data.ownerOf();
            piece.asset = record.data.assetAt(index);
            piece.amount = record.data.amountAt(index);
        } else {
            piece.outputId = TransactionCodec.outputId(txHash, index - FIRST_OUTPUT_PIECE);
            (piece.owner, piece.asset, piece.amount) = record.body.outputAt(index - FIRST_OUTPUT_PIECE);
        }
    }

    // -------------------------------------------------------------- internals

    /// Pays what the asset can cover of a coin that was just settled, and `bond` beside it. The rest is owed no more:
    /// later deposits belong to others. Returns what was paid, and whether it was delivered or credited.
    function _pay(Run memory run, address payee, uint128 amount, uint256 bond)
        private
        returns (uint128 paid, bool delivered)
    {
        uint256 owed = run.owed;
        paid = amount < owed ? amount : uint128(owed);
        // All of these are sums of money that exists, and the subtrahend is no larger than what it is taken from.
        unchecked {
            run.owed = owed - paid;
            if (run.asset == Transfers.ETHER) {
                delivered = _payOrCredit(Transfers.ETHER, payee, paid + bond);
            } else {
                delivered = _payOrCredit(run.asset, payee, paid);
                _payOrCredit(Transfers.ETHER, payee, bond);
            }
        }
    }

    /// Moves the head of the list to the next key with exits, if there is one whose time has come.
    function _nextTurn(Run memory run) private {
        KeyList.List storage keys = _exitKeys[run.asset];
        keys.store(run.turn);
        bool moved;
        (run.turn, moved) = keys.moveHead(block.timestamp);
        if (moved) emit ExitKeysCleared(run.asset, keys.first());
    }
}
