// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Pieces of an in-flight exit: its transaction's inputs and outputs. §6.
///
/// inputs 0–15 | outputs 16–31
///
/// A piece is named by its bit: input i is piece i, output o is piece 16 + o.
type PieceSet is uint32;

using {isEmpty, count, first, has, with, without, shared} for PieceSet global;

PieceSet constant NO_PIECES = PieceSet.wrap(0);

// The piece that is output 0.
uint8 constant FIRST_OUTPUT_PIECE = 16;

function isEmpty(PieceSet pieces) pure returns (bool) {
    return PieceSet.unwrap(pieces) == 0;
}

function count(PieceSet pieces) pure returns (uint256 length) {
    for (uint256 left = PieceSet.unwrap(pieces); left != 0; left &= left - 1) {
        ++length;
    }
}

/// Returns the first piece. There is one.
function first(PieceSet pieces) pure returns (uint8 piece) {
    uint256 bits = PieceSet.unwrap(pieces);
    assembly ("memory-safe") {
        piece := sub(255, clz(and(bits, sub(0, bits))))
    }
}

/// Returns whether a piece, which is below 32, is one of them.
function has(PieceSet pieces, uint8 piece) pure returns (bool) {
    return (PieceSet.unwrap(pieces) >> piece) & 1 != 0;
}

function with(PieceSet pieces, PieceSet others) pure returns (PieceSet) {
    return PieceSet.wrap(PieceSet.unwrap(pieces) | PieceSet.unwrap(others));
}

function without(PieceSet pieces, uint8 piece) pure returns (PieceSet) {
    return PieceSet.wrap(PieceSet.unwrap(pieces) & ~(uint32(1) << piece));
}

/// Returns the pieces that are in both sets.
function shared(PieceSet pieces, PieceSet others) pure returns (PieceSet) {
    return PieceSet.wrap(PieceSet.unwrap(pieces) & PieceSet.unwrap(others));
}
