//! The logs of in-flight exits. §6.

use plasmid_exit_game::exit::in_flight::{
    Decision, InFlightData, NOT_INCLUDED_BITS, Piece, PieceSet, SignedTransaction,
};
use plasmid_exit_game::facts::InFlightStep;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{Place, Position, PositionKind};
use plasmid_exit_game::signature::{SIGNATURE_LEN, Signature};
use plasmid_exit_game::transaction::Transaction;

use crate::bindings::{DecodeError, Fields};

/// Decodes the fields of the event `name`; `None` if it is none of these.
pub(super) fn decode_step(name: &str, fields: &mut Fields) -> Result<Option<(TxHash, InFlightStep)>, DecodeError> {
    let step: fn(&mut Fields, TxHash) -> Result<InFlightStep, DecodeError> = match name {
        "InFlightExitStarted" => started,
        "InFlightExitImproved" => |fields, _| Ok(InFlightStep::Improved { key: fields.uint()?, data: data(fields)? }),
        "Piggybacked" => |fields, _| {
            let (owner, asset) = (fields.address()?, fields.address()?);
            Ok(InFlightStep::Piggybacked { owner, asset, pieces: PieceSet::from_bits(fields.uint()?) })
        },
        "CanonicityChallenged" => |fields, _| {
            let challenger = fields.address()?;
            let place = competitors_place(fields)?;
            Ok(InFlightStep::CanonicityChallenged { challenger, place, competitor: signed(fields)? })
        },
        "CanonicityAnswered" => {
            |fields, _| Ok(InFlightStep::CanonicityAnswered { responder: fields.address()?, place: place(fields)? })
        }
        "PieceChallenged" => |fields, _| {
            let (challenger, piece, place) = (fields.address()?, piece(fields)?, place(fields)?);
            Ok(InFlightStep::PieceChallenged { challenger, piece, place, spend: signed(fields)? })
        },
        "InFlightExitDecided" => {
            |fields, _| Ok(InFlightStep::Decided(decision(fields)?.ok_or_else(|| fields.out_of_form())?))
        }
        "PiecePaid" => |fields, _| {
            let (output_id, payee, piece) = (OutputId(fields.word()?), fields.address()?, piece(fields)?);
            let (amount, paid, credited) = (fields.uint()?, fields.uint()?, fields.bool()?);
            Ok(InFlightStep::PiecePaid { output_id, payee, piece, amount, paid, credited })
        },
        "PieceReturned" => |fields, _| {
            let (output_id, payee) = (OutputId(fields.word()?), fields.address()?);
            Ok(InFlightStep::PieceReturned { output_id, payee, piece: piece(fields)? })
        },
        "InFlightExitClosed" => |_, _| Ok(InFlightStep::Closed),
        _ => return Ok(None),
    };
    let tx_hash = TxHash(fields.word()?);
    Ok(Some((tx_hash, step(fields, tx_hash)?)))
}

/// Reads a place that must be one.
pub(crate) fn place(fields: &mut Fields) -> Result<Place, DecodeError> {
    competitors_place(fields)?.ok_or_else(|| fields.out_of_form())
}

/// Reads a place, or `None` for that of a transaction which is not included.
pub(crate) fn competitors_place(fields: &mut Fields) -> Result<Option<Place>, DecodeError> {
    let bits = fields.uint()?;
    if bits == NOT_INCLUDED_BITS {
        return Ok(None);
    }
    match Position::from_bits(bits).map(Position::kind) {
        Some(PositionKind::Output(place, 0)) => Ok(Some(place)),
        Some(PositionKind::Output(..) | PositionKind::Deposit(_)) | None => Err(fields.out_of_form()),
    }
}

/// Reads a decision, or `None` if none is taken.
pub(crate) fn decision(fields: &mut Fields) -> Result<Option<Decision>, DecodeError> {
    match fields.uint::<u64>()? {
        0 => Ok(None),
        1 => Ok(Some(Decision::Canonical)),
        2 => Ok(Some(Decision::NonCanonical)),
        3 => Ok(Some(Decision::Void)),
        _ => Err(fields.out_of_form()),
    }
}

fn started(fields: &mut Fields, tx_hash: TxHash) -> Result<InFlightStep, DecodeError> {
    let (starter, owner, start, key) = (fields.address()?, fields.address()?, fields.uint()?, fields.uint()?);
    let (data, transaction) = (data(fields)?, signed(fields)?);
    let ids = data.inputs.iter().map(|input| &input.output_id);
    let is_of_transaction = transaction.body.hash() == tx_hash && ids.eq(transaction.body.inputs());
    if !is_of_transaction || (data.starter, data.owner) != (starter, owner) {
        return Err(fields.out_of_form());
    }
    Ok(InFlightStep::Started { data, start, key, transaction })
}

fn data(fields: &mut Fields) -> Result<InFlightData, DecodeError> {
    InFlightData::decode(&fields.bytes()?).map_err(|_| fields.out_of_form())
}

fn piece(fields: &mut Fields) -> Result<Piece, DecodeError> {
    Piece::new(fields.uint()?).ok_or_else(|| fields.out_of_form())
}

fn signed(fields: &mut Fields) -> Result<SignedTransaction, DecodeError> {
    let body = Transaction::decode(&fields.bytes()?).map_err(|_| fields.out_of_form())?;
    let signature = <[u8; SIGNATURE_LEN]>::try_from(&fields.bytes()?[..]).map_err(|_| fields.out_of_form())?;
    let signature = Signature::decode(signature).map_err(|_| fields.out_of_form())?;
    Ok(SignedTransaction { body, signature })
}
