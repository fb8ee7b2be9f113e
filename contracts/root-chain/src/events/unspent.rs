//! The logs about the unspent tree: claims that it lacks a coin, and coins withdrawn by it. §3 (R9), §8.

use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::OutputId;

use super::{block_number, position};
use crate::bindings::{DecodeError, Fields};

/// Decodes the fields of the event `name`; `None` if it is none of these.
pub(super) fn decode(name: &str, fields: &mut Fields) -> Result<Option<RootEvent>, DecodeError> {
    Ok(Some(match name {
        "MissingClaimed" => RootEvent::MissingClaimed {
            number: block_number(fields)?,
            position: position(fields)?,
            output_id: OutputId(fields.word()?),
            value: fields.word()?,
            claimant: fields.address()?,
        },
        "MissingAnswered" => RootEvent::MissingAnswered {
            number: block_number(fields)?,
            position: position(fields)?,
            answerer: fields.address()?,
        },
        "MissingConvicted" => RootEvent::MissingConvicted {
            number: block_number(fields)?,
            position: position(fields)?,
            claimant: fields.address()?,
        },
        "MissingReturned" => RootEvent::MissingReturned {
            number: block_number(fields)?,
            position: position(fields)?,
            claimant: fields.address()?,
        },
        "CoinWithdrawn" => RootEvent::CoinWithdrawn {
            output_id: OutputId(fields.word()?),
            payee: fields.address()?,
            asset: fields.address()?,
            amount: fields.uint()?,
            paid: fields.uint()?,
            credited: fields.bool()?,
        },
        _ => return Ok(None),
    }))
}
