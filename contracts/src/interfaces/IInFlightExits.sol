// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Decision, PlaceHolder} from "../types/InFlightState.sol";
import {PieceSet} from "../types/PieceSet.sol";
import {Position} from "../types/Position.sol";
import {IRootChain} from "./IRootChain.sol";

/// @title In-flight exits, a part of the root chain's contract
/// @notice Exits of a signed transaction whose inclusion is unknown or too late: its outputs leave if it is canonical,
/// its inputs if it is not. `§` numbers cite the protocol text; times and amounts are as in `IRootChain`. What they pay
/// is paid by `IRootChain.processExits`.
///
/// The *first half* of an exit ends MEP/2 after its start. Its *data* are words of 32 bytes: starter, owner of the
/// inputs, and for each input its output id, position, creation time (zero for a deposit), asset and amount. The
/// contract keeps their hash alone; callers find them in the exit's last event that has them.
interface IInFlightExits {
    // ------------------------------------------------------------------ data

    /// Proof of what made an input, and where. §6.1.
    struct InputProof {
        /// The input's placement.
        Position position;
        /// The body that made it; a deposit's owner, asset and amount, 56 bytes without padding.
        bytes creation;
        /// That body's inclusion; not read for a deposit.
        IRootChain.InclusionProof inclusion;
    }

    /// A transaction shown against an exit.
    struct Spend {
        bytes body;
        /// Its inputs' owner's, 64 bytes (EIP-2098).
        bytes signature;
        /// Inclusion of this transaction, or of the exit's own, as each call says.
        IRootChain.InclusionProof inclusion;
    }

    /// Pieces of one exit to pay.
    struct PieceRecord {
        /// The exit's transaction.
        bytes body;
        /// The exit's data as they stand.
        bytes data;
        /// Those that are not live, or of another asset, are skipped.
        PieceSet pieces;
    }

    /// All that is kept of an in-flight exit.
    struct InFlightExit {
        /// When it started, zero if none is open.
        uint64 start;
        /// When its pieces can be paid, and their place in the order of exits. §4.
        uint64 key;
        /// Piggybacked, and neither challenged away nor paid.
        PieceSet livePieces;
        Decision decision;
        /// The oldest place that was shown. Means nothing if it is nobody's.
        Position oldestPlace;
        PlaceHolder placeHolder;
        /// Whose bond is held for the place that he showed, zero if none is.
        address challenger;
        /// Hash of its data.
        bytes32 dataHash;
    }

    // ---------------------------------------------------------------- events

    /// An in-flight exit was started: its data, its transaction, and the signature for it.
    event InFlightExitStarted(
        bytes32 indexed txHash,
        address indexed starter,
        address indexed owner,
        uint64 start,
        uint64 key,
        bytes data,
        bytes body,
        bytes signature
    );

    /// Older places of some inputs were shown: the exit's data and key as they are now. Live pieces are counted under
    /// that key.
    event InFlightExitImproved(bytes32 indexed txHash, uint64 key, bytes data);

    /// Pieces of one asset were piggybacked by their owner.
    event Piggybacked(bytes32 indexed txHash, address indexed owner, address indexed asset, PieceSet pieces);

    /// A competitor was shown, whose place is now the oldest; the challenger's bond is held. `place` is all ones below
    /// its top bit for a competitor that no valid block is known to include.
    event CanonicityChallenged(
        bytes32 indexed txHash, address indexed challenger, Position place, bytes competitor, bytes signature
    );

    /// The transaction was shown at a place that is now the oldest; the responder has the challenger's bond, if one was
    /// held.
    event CanonicityAnswered(bytes32 indexed txHash, address indexed responder, Position place);

    /// A live piece was removed by a spend of its coin; the challenger has its bond. `place` is that of the spend for an
    /// input, and of the exit's own transaction for an output.
    event PieceChallenged(
        bytes32 indexed txHash, address indexed challenger, uint8 piece, Position place, bytes spend, bytes signature
    );

    /// The turn of an exit's first piece came. A canonical one's inputs are settled.
    event InFlightExitDecided(bytes32 indexed txHash, Decision decision);

    /// A piece was paid and its coin settled; `paid` and `credited` as in `IRootChain.ExitPaid`.
    event PiecePaid(
        bytes32 indexed txHash,
        bytes32 indexed outputId,
        address indexed payee,
        uint8 piece,
        uint128 amount,
        uint128 paid,
        bool credited
    );

    /// The turn of a piece came that is of the other side, of a void exit, or settled: it gave back its bond alone.
    event PieceReturned(bytes32 indexed txHash, bytes32 indexed outputId, address indexed payee, uint8 piece);

    /// An in-flight exit was closed; nothing of it is left.
    event InFlightExitClosed(bytes32 indexed txHash);

    // ---------------------------------------------------------------- errors

    /// An exit of this transaction is open.
    error AlreadyOpen(bytes32 txHash);
    /// No exit of this transaction is open.
    error NotOpen(bytes32 txHash);
    /// Not as many proofs as inputs to prove.
    error WrongProofCount(uint256 proofs, uint256 inputs);
    /// What was shown did not make the input at this position.
    error NotTheInput(bytes32 outputId, Position position);
    /// Two inputs have different owners. §1.5.
    error SeveralOwners(address owner, address other);
    /// The inputs' owner did not sign the transaction.
    error NotSigned(bytes32 txHash);
    /// Inputs and outputs of an asset differ in their sums.
    error Unbalanced(bytes32 txHash);
    /// The data are not those of the open exit.
    error WrongData(bytes32 txHash);
    /// The exit's first half is over.
    error FirstHalfOver(uint64 timestamp, uint64 end);
    /// The place shown is not older than the oldest known.
    error NotOlder(Position shown, Position oldest);
    /// No place shown is older than the one known.
    error NothingOlder();
    /// No piece is named.
    error NoPieces();
    /// The transaction has no such input or output.
    error NoSuchPiece(uint8 piece);
    /// The piece is piggybacked already.
    error PieceLive(uint8 piece);
    /// The piece is not piggybacked, challenged away, or paid.
    error PieceNotLive(uint8 piece);
    /// The pieces are of two assets.
    error SeveralAssets(address asset, address other);
    /// The transaction shown against the exit is the exit's own.
    error OwnTransaction(bytes32 txHash);
    /// There is no place to better: the exit is canonical as it stands.
    error NothingToAnswer(bytes32 txHash);
    /// The exit is decided.
    error AlreadyDecided(bytes32 txHash, Decision decision);
    /// The block comes after the inputs' freeze.
    error IncludedTooLate(uint64 timestamp, uint64 freeze);
    /// Pieces wait for their turn.
    error PiecesLive(PieceSet pieces);
    /// The exit cannot be closed before this time.
    error TooEarly(uint64 timestamp, uint64 earliest);

    // ----------------------------------------------------------------- exits

    /// @notice Starts the in-flight exit of a transaction. Anyone, with the bond. §6.1.
    /// @param body The transaction's canonical body; it balances, and its inputs have one owner.
    /// @param signature That owner's, 64 bytes (EIP-2098).
    /// @param inputs A proof for each input, in order, in blocks that are not void.
    function startInFlightExit(bytes calldata body, bytes calldata signature, InputProof[] calldata inputs)
        external
        payable;

    /// @notice Shows older places of inputs, which may lower the exit's key. Anyone, in the first half. §6.1.
    /// @param body The exit's transaction.
    /// @param data The exit's data as they stand.
    /// @param which The inputs that are shown anew: none younger than it was, and at least one older.
    /// @param proofs A proof for each of them, in order.
    /// @param hints For each input, then each output, a hint for the list of its asset as for `startStandardExit`. May
    /// be shorter.
    function improveInFlightExit(
        bytes calldata body,
        bytes calldata data,
        PieceSet which,
        InputProof[] calldata proofs,
        uint64[] calldata hints
    ) external;

    /// @notice Claims pieces of one asset, all the caller's, with a bond for each. In the first half. §6.2.
    /// @param body The exit's transaction.
    /// @param data The exit's data. Not read, and may be empty, where no input is claimed.
    /// @param hint As for `startStandardExit`.
    function piggyback(bytes calldata body, bytes calldata data, PieceSet pieces, uint64 hint) external payable;

    /// @notice Shows a competitor: another transaction, signed by the inputs' owner, over one of the exit's inputs.
    /// Anyone, with a bond as for a start, in the first half. §6.3.
    /// @param inputIndex Which input of the exit the competitor spends.
    /// @param competitor With its own inclusion. Block number zero, which no block has, says that it is not included.
    function challengeNotCanonical(bytes32 txHash, bytes calldata data, uint8 inputIndex, Spend calldata competitor)
        external
        payable;

    /// @notice Shows the exit's transaction at a place that is older than the oldest shown, and takes the challenger's
    /// bond. Anyone, until the exit is decided. §6.4.
    function respondNotCanonical(bytes32 txHash, IRootChain.InclusionProof calldata inclusion) external;

    /// @notice Removes a live piece whose coin is spent and takes its bond. Anyone, until it is paid. §6.5.
    /// @param body The exit's transaction.
    /// @param data The exit's data. Not read, and may be empty, for an output.
    /// @param spend A spend of the piece. Its inclusion is, for an input, that of the spend, which is another
    /// transaction; for an output, that of the exit's transaction.
    function challengePieceSpent(bytes calldata body, bytes calldata data, uint8 piece, Spend calldata spend) external;

    /// @notice Ends an exit without live pieces once its first half is over, or its key has come while a challenger's
    /// bond is held and nothing is decided. Anyone; the bonds that are left go where they belong. §6.8.
    function closeInFlightExit(bytes32 txHash, bytes calldata data) external;
}
