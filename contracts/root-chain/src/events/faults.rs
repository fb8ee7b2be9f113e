//! The logs about faults and broken receipts. §3.

use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::Rule;

use super::block_number;
use crate::bindings::{DecodeError, Fields};

/// Decodes the fields of the event `name`; `None` if it is none of these.
pub(super) fn decode(name: &str, fields: &mut Fields) -> Result<Option<RootEvent>, DecodeError> {
    Ok(Some(match name {
        "FaultAnnounced" => RootEvent::FaultAnnounced { announcement: fields.word()? },
        "FaultProven" => RootEvent::FaultProven {
            number: block_number(fields)?,
            rule: rule(fields)?,
            accuser: fields.address()?,
            evidence: fields.word()?,
            slashed: fields.uint()?,
        },
        "FaultRewarded" => RootEvent::FaultRewarded {
            number: block_number(fields)?,
            accuser: fields.address()?,
            amount: fields.uint()?,
        },
        "ReceiptSlashed" => RootEvent::ReceiptSlashed {
            number: block_number(fields)?,
            accuser: fields.address()?,
            evidence: fields.word()?,
            slashed: fields.uint()?,
        },
        "ReceiptRewarded" => RootEvent::ReceiptRewarded {
            number: block_number(fields)?,
            accuser: fields.address()?,
            amount: fields.uint()?,
        },
        _ => return Ok(None),
    }))
}

fn rule(fields: &mut Fields) -> Result<Rule, DecodeError> {
    Ok(match fields.uint::<u64>()? {
        1 => Rule::R1,
        2 => Rule::R2,
        3 => Rule::R3,
        4 => Rule::R4,
        5 => Rule::R5,
        6 => Rule::R6,
        7 => Rule::R7,
        8 => Rule::R8,
        9 => Rule::R9,
        _ => return Err(fields.out_of_form()),
    })
}
