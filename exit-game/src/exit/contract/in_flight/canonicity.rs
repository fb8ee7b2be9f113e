//! The oldest place of a transaction or its competitors: shown, and answered. §6.3, §6.4.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::U256;

use super::{check_data, place_bits, step};
use crate::exit::contract::{Call, Contract, InclusionProof, Pay, Payment, Revert, Spend, check_bond};
use crate::exit::in_flight::OldestPlace;
use crate::facts::{InFlightStep, RootEvent};
use crate::output::{ETHER, TxHash};

impl Contract {
    /// Shows a competitor over input `input_index`, with the bond as `value`, in wei: another transaction, included or not,
    /// older than the oldest place shown. It becomes that place, and an earlier challenger has his bond back. §6.3.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no exit of `tx_hash` is in its first half, the data are not its, the value is not the bond, it has no
    /// such input, or the competitor is none, is not included where it says, or not older.
    #[expect(clippy::too_many_arguments, reason = "the contract's call has as many")]
    pub fn challenge_not_canonical(
        &mut self,
        call: Call,
        value: U256,
        tx_hash: TxHash,
        data: &[u8],
        input_index: u8,
        competitor: &Spend,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let exit = self.open_exit_in_first_half(tx_hash, call.now)?;
        check_data(tx_hash, exit, data)?;
        let bond = U256::from(self.parameters.in_flight_bond);
        check_bond(value, bond)?;
        let input = exit.data.inputs.get(usize::from(input_index));
        let output_id = input.ok_or(Revert::NoSuchPiece { piece: input_index })?.output_id;
        let Spend { body, signature, inclusion } = competitor;
        let shown = self.signed_spend(output_id, exit.data.owner, body, signature)?;
        if shown.body.hash() == tx_hash {
            return Err(Revert::OwnTransaction { tx_hash });
        }
        let place = self.place_of_competitor(shown.body.hash(), inclusion)?;
        check_older(OldestPlace::Competitors(place), exit.oldest)?;

        let challenger = call.caller;
        let earlier = self.in_flight.get_mut(&tx_hash).and_then(|exit| {
            exit.oldest = OldestPlace::Competitors(place);
            exit.challenger.replace(challenger)
        });
        let step_taken = InFlightStep::CanonicityChallenged { challenger, place, competitor: shown };
        let mut events = vec![step(tx_hash, step_taken)];
        if let Some(to) = earlier {
            self.pay_or_credit(Payment { asset: ETHER, to, amount: bond }, pay, &mut events);
        }
        Ok(events)
    }

    /// Shows the exit's transaction at a place older than the oldest shown, which it becomes; the caller gets the
    /// challenger's bond if one is held. §6.4.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no exit of `tx_hash` is open and undecided, nothing was shown against it, or it is not included, or not
    /// at an older place.
    pub fn respond_not_canonical(
        &mut self,
        call: Call,
        tx_hash: TxHash,
        inclusion: &InclusionProof,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let exit = self.open_exit(tx_hash)?;
        if let Some(decision) = exit.decision {
            return Err(Revert::AlreadyDecided { tx_hash, decision });
        }
        if exit.oldest == OldestPlace::Nobodys {
            return Err(Revert::NothingToAnswer { tx_hash });
        }
        let place = self.included_place(tx_hash, inclusion)?;
        check_older(OldestPlace::Own(place), exit.oldest)?;

        let challenger = self.in_flight.get_mut(&tx_hash).and_then(|exit| {
            exit.oldest = OldestPlace::Own(place);
            exit.challenger.take()
        });
        let responder = call.caller;
        let mut events = vec![step(tx_hash, InFlightStep::CanonicityAnswered { responder, place })];
        if challenger.is_some() {
            let amount = U256::from(self.parameters.in_flight_bond);
            self.pay_or_credit(Payment { asset: ETHER, to: responder, amount }, pay, &mut events);
        }
        Ok(events)
    }
}

/// Refuses a place that is not older than the oldest shown. All are older than nobody's.
fn check_older(shown: OldestPlace, oldest: OldestPlace) -> Result<(), Revert> {
    match (place_bits(shown), place_bits(oldest)) {
        (Some(shown), Some(oldest)) if shown >= oldest => Err(Revert::NotOlder { shown, oldest }),
        _ => Ok(()),
    }
}
