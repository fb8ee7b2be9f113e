//! The logs about the operator: its bond, its keys, the end of the chain. §2, §3, §8.

use plasmid_exit_game::facts::RootEvent;

use super::block_number;
use crate::bindings::{DecodeError, Fields};

/// Decodes the fields of the event `name`; `None` if it is none of these.
pub(super) fn decode(name: &str, fields: &mut Fields) -> Result<Option<RootEvent>, DecodeError> {
    Ok(Some(match name {
        "BondFunded" => RootEvent::BondFunded {
            funder: fields.address()?,
            fault_part: fields.uint()?,
            receipt_part: fields.uint()?,
        },
        "BondWithdrawn" => RootEvent::BondWithdrawn { to: fields.address()?, amount: fields.uint()? },
        "OperatorProposed" => RootEvent::OperatorProposed { next: fields.address()? },
        "OperatorAccepted" => {
            RootEvent::OperatorAccepted { operator: fields.address()?, first_block: block_number(fields)? }
        }
        "ChainClosed" => RootEvent::ChainClosed,
        _ => return Ok(None),
    }))
}
