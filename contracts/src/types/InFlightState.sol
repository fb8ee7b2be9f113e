// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PieceSet} from "./PieceSet.sol";
import {Position} from "./Position.sol";

/// What an in-flight exit pays: outputs if canonical, inputs if not, nothing if void. §6.6, §6.7.
enum Decision {
    None,
    Canonical,
    NonCanonical,
    Void
}

/// Of which transaction the oldest place is that was shown to an in-flight exit. §6.
enum PlaceHolder {
    Nobody,
    Competitor,
    Own
}

/// The packed word of an in-flight exit, zero if none is open. §6.
///
/// start 0–39 | key 40–79 | live pieces 80–111 | decision 112–113 | oldest place 114–176 | whose it is 177–178
type InFlightState is uint256;

using {
    isOpen,
    start,
    key,
    livePieces,
    decision,
    oldestPlace,
    placeHolder,
    withKey,
    withLivePieces,
    withDecision,
    withOldestPlace
} for InFlightState global;

// The place of a competitor that no valid block is known to include: younger than all others.
Position constant NOT_INCLUDED = Position.wrap((1 << 63) - 1);

uint256 constant KEY_SHIFT = 40;
uint256 constant PIECES_SHIFT = 80;
uint256 constant DECISION_SHIFT = 112;
uint256 constant PLACE_SHIFT = 114;
uint256 constant HOLDER_SHIFT = 177;

uint256 constant KEY_FIELD = ((1 << 40) - 1) << KEY_SHIFT;
uint256 constant PIECES_FIELD = ((1 << 32) - 1) << PIECES_SHIFT;
uint256 constant PLACE_AND_HOLDER_FIELDS = ((1 << 65) - 1) << PLACE_SHIFT;

/// Returns the state of an exit that starts at `startTime`, before anything is piggybacked or shown.
function newInFlightState(uint256 startTime, uint256 exitKey) pure returns (InFlightState) {
    return InFlightState.wrap(startTime | (exitKey << KEY_SHIFT));
}

function isOpen(InFlightState state) pure returns (bool) {
    return InFlightState.unwrap(state) != 0;
}

function start(InFlightState state) pure returns (uint64) {
    return uint40(InFlightState.unwrap(state));
}

function key(InFlightState state) pure returns (uint64) {
    return uint40(InFlightState.unwrap(state) >> KEY_SHIFT);
}

/// Returns the pieces that are piggybacked and neither challenged away nor paid.
function livePieces(InFlightState state) pure returns (PieceSet) {
    return PieceSet.wrap(uint32(InFlightState.unwrap(state) >> PIECES_SHIFT));
}

function decision(InFlightState state) pure returns (Decision) {
    return Decision((InFlightState.unwrap(state) >> DECISION_SHIFT) & 3);
}

/// Returns the oldest place that was shown. Means nothing if it is nobody's.
function oldestPlace(InFlightState state) pure returns (Position) {
    return Position.wrap(uint64((InFlightState.unwrap(state) >> PLACE_SHIFT) & Position.unwrap(NOT_INCLUDED)));
}

function placeHolder(InFlightState state) pure returns (PlaceHolder) {
    return PlaceHolder((InFlightState.unwrap(state) >> HOLDER_SHIFT) & 3);
}

function withKey(InFlightState state, uint256 exitKey) pure returns (InFlightState) {
    return InFlightState.wrap((InFlightState.unwrap(state) & ~KEY_FIELD) | (exitKey << KEY_SHIFT));
}

function withLivePieces(InFlightState state, PieceSet pieces) pure returns (InFlightState) {
    uint256 others = InFlightState.unwrap(state) & ~PIECES_FIELD;
    return InFlightState.wrap(others | (uint256(PieceSet.unwrap(pieces)) << PIECES_SHIFT));
}

/// Returns the state with a decision. It has none.
function withDecision(InFlightState state, Decision taken) pure returns (InFlightState) {
    return InFlightState.wrap(InFlightState.unwrap(state) | (uint256(taken) << DECISION_SHIFT));
}

function withOldestPlace(InFlightState state, Position place, PlaceHolder holder) pure returns (InFlightState) {
    uint256 others = InFlightState.unwrap(state) & ~PLACE_AND_HOLDER_FIELDS;
    return
        InFlightState.wrap(
            others | (uint256(Position.unwrap(place)) << PLACE_SHIFT) | (uint256(holder) << HOLDER_SHIFT)
        );
}
