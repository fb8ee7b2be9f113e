//! Announcements, convictions and broken receipts. §3.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, U256, keccak256};

use super::{Call, Contract, Halt, OpenExit, Pay, Payment, Revert};
use crate::block::Header;
use crate::exit::key::Periods;
use crate::exit::standard::CoinState;
use crate::facts::RootEvent;
use crate::fault::{Conviction, FaultProof, OpenInFlightExit, RootState, Rule, check};
use crate::output::{ETHER, OutputId, TxHash};
use crate::position::BlockNumber;
use crate::receipt::{BrokenPromise, Receipt};
use crate::signature::{Domain, Signature};

/// An announcement is good once it is so many root blocks old. §3.
pub const ANNOUNCEMENT_AGE: u64 = 2;
/// Where burnt ether goes: nobody has its key.
const NOBODY: Address = Address::ZERO;

/// Returns what announces evidence for `accuser`; `evidence` is the hash of the proving call's calldata. §3.
#[must_use]
pub fn announcement_of(accuser: Address, evidence: B256) -> B256 {
    keccak256([accuser.as_slice(), evidence.as_slice()].concat())
}

impl Contract {
    /// Announces evidence. §3.
    ///
    /// # Errors
    ///
    /// [`Revert::AlreadyAnnounced`] if it was announced before.
    pub fn announce_fault(&mut self, call: Call, announcement: B256) -> Result<Vec<RootEvent>, Revert> {
        if self.announcements.contains_key(&announcement) {
            return Err(Revert::AlreadyAnnounced { announcement });
        }
        self.announcements.insert(announcement, call.root_block);
        Ok(vec![RootEvent::FaultAnnounced { announcement }])
    }

    /// Convicts a block, or pays the reward that waits for whoever announced this evidence. `evidence` is the hash of the
    /// call's calldata. §3.
    ///
    /// # Errors
    ///
    /// [`Revert`] of [`check`], and [`Revert::AlreadyConvicted`] if the block was and no reward is due to the caller.
    pub fn prove_fault(
        &mut self,
        call: Call,
        proof: &FaultProof,
        evidence: B256,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let number = check(proof, &AtTime { contract: self, now: call.now })?;
        let accuser = call.caller;
        let mut events = Vec::new();
        let before = self.convictions.get(&number).copied();
        let mut conviction = match before {
            Some(conviction) => conviction,
            None => {
                let charge = Charge { number, rule: proof.rule(), accuser, evidence };
                self.convict(call, charge, pay, &mut events)
            }
        };
        let reward = self.take_reward(&mut conviction, accuser, evidence);
        if before.is_some() && reward == 0 {
            return Err(Revert::AlreadyConvicted { number });
        }
        self.convictions.insert(number, conviction);
        if reward != 0 {
            let amount = U256::from(reward);
            events.push(RootEvent::FaultRewarded { number, accuser, amount });
            self.pay_or_credit(Payment { asset: ETHER, to: accuser, amount }, pay, &mut events);
        }
        Ok(events)
    }

    /// Halts the chain at a block, takes the slash and burns half of it; the other half waits. §3.
    pub(super) fn convict(
        &mut self,
        call: Call,
        charge: Charge,
        pay: &mut Pay<'_>,
        events: &mut Vec<RootEvent>,
    ) -> Conviction {
        let Charge { number, rule, accuser, evidence } = charge;
        self.head.halt = Some(Halt { from: number, at: call.now });
        let slashed = self.parameters.fault_slash.min(self.bond.fault_part);
        self.bond.fault_part = self.bond.fault_part.saturating_sub(slashed);
        events.push(RootEvent::FaultProven { number, rule, accuser, evidence, slashed: U256::from(slashed) });
        self.burn_half(slashed, call, pay, events)
    }

    /// Slashes a broken receipt, or pays the reward that waits for whoever announced this evidence. §3.
    ///
    /// `header` is the block's, `None` to say that it is not committed; `broken` is read if it was committed in time.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the receipt promises nothing, is not the operator's, is kept as far as is shown, or was slashed and no
    /// reward is due to the caller.
    pub fn prove_broken_receipt(
        &mut self,
        call: Call,
        shown: &ShownReceipt<'_>,
        evidence: B256,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let ShownReceipt { receipt, signature, header, broken } = *shown;
        if !receipt.is_a_promise() {
            return Err(Revert::NotAPromise);
        }
        let (number, accuser) = (receipt.number, call.caller);
        let signature = signature.try_into().ok().and_then(|bytes| Signature::decode(bytes).ok());
        let signer = signature.and_then(|signature| signature.recover(receipt.signing_hash(&self.domain)));
        let operator = self.operator_of(number);
        if signer != Some(operator) {
            return Err(Revert::NotSignedByOperator { signer: signer.unwrap_or_default(), operator });
        }
        let before = self.slashed_receipts.get(&number).copied();
        if before.is_some_and(|slashing| slashing.reward == 0) {
            return Err(Revert::AlreadySlashed { number });
        }
        let is_broken = match header {
            None => self.is_overdue(receipt, call.now),
            Some(header) => self.is_broken(receipt, header, broken, call.now)?,
        };
        if !is_broken {
            return Err(Revert::NotBroken);
        }

        let mut events = Vec::new();
        let mut slashing = match before {
            Some(slashing) => slashing,
            None => {
                let slashed = self.parameters.receipt_slash.min(self.bond.receipt_part);
                self.bond.receipt_part = self.bond.receipt_part.saturating_sub(slashed);
                let slashed_wei = U256::from(slashed);
                events.push(RootEvent::ReceiptSlashed { number, accuser, evidence, slashed: slashed_wei });
                self.burn_half(slashed, call, pay, &mut events)
            }
        };
        let reward = self.take_reward(&mut slashing, accuser, evidence);
        if before.is_some() && reward == 0 {
            return Err(Revert::AlreadySlashed { number });
        }
        self.slashed_receipts.insert(number, slashing);
        if reward != 0 {
            let amount = U256::from(reward);
            events.push(RootEvent::ReceiptRewarded { number, accuser, amount });
            self.pay_or_credit(Payment { asset: ETHER, to: accuser, amount }, pay, &mut events);
        }
        Ok(events)
    }

    /// Returns whether the receipt's block is not committed although its time is over. §3.
    fn is_overdue(&self, receipt: &Receipt, now: u64) -> bool {
        let is_running = self.head.halt.is_none() && self.head.closed_at.is_none();
        is_running
            && self.commitment(receipt.number).is_none()
            && now > self.latest(receipt)
            && self.is_shown_in_time(receipt, now)
    }

    /// Returns whether the receipt's block was committed too late, or does not hold a leaf that it promises. §3.
    fn is_broken(&self, receipt: &Receipt, header: &Header, broken: &BrokenPromise, now: u64) -> Result<bool, Revert> {
        let number = header.number;
        if self.commitment(number) != Some(header.commitment()) || number != receipt.number {
            return Err(Revert::UnknownHeader { number });
        }
        if self.is_void(number) {
            return Err(Revert::VoidBlock { number });
        }
        if header.timestamp > self.latest(receipt) && self.is_shown_in_time(receipt, now) {
            return Ok(true);
        }
        let until = self.parameters.periods.end_of_convictions(header.timestamp);
        if now >= until {
            return Err(Revert::TooLateToProve { until });
        }
        Ok(broken.is_of(receipt, header))
    }

    fn latest(&self, receipt: &Receipt) -> u64 {
        receipt.latest(self.parameters.periods.freeze_delay())
    }

    fn is_shown_in_time(&self, receipt: &Receipt, now: u64) -> bool {
        now < self.latest(receipt).saturating_add(self.parameters.periods.minimum_exit_period)
    }

    /// Burns half of a slash, rounded up; the other half waits.
    fn burn_half(&mut self, slashed: u128, call: Call, pay: &mut Pay<'_>, events: &mut Vec<RootEvent>) -> Conviction {
        let reward = slashed / 2;
        let burnt = U256::from(slashed.saturating_sub(reward));
        self.pay_or_credit(Payment { asset: ETHER, to: NOBODY, amount: burnt }, pay, events);
        Conviction { root_block: call.root_block, reward }
    }

    /// Takes the reward out if the caller announced this evidence in time, and returns it.
    fn take_reward(&self, conviction: &mut Conviction, accuser: Address, evidence: B256) -> u128 {
        let announced = self.announcements.get(&announcement_of(accuser, evidence));
        let is_in_time = announced.is_some_and(|announced| announced + ANNOUNCEMENT_AGE <= conviction.root_block);
        if is_in_time { core::mem::take(&mut conviction.reward) } else { 0 }
    }
}

/// What a block is convicted of.
pub(super) struct Charge {
    pub(super) number: BlockNumber,
    pub(super) rule: Rule,
    pub(super) accuser: Address,
    /// Hash of the proving call's calldata.
    pub(super) evidence: B256,
}

/// A receipt shown as broken.
#[derive(Debug, Clone, Copy)]
pub struct ShownReceipt<'a> {
    /// The receipt.
    pub receipt: &'a Receipt,
    /// Bytes said to be the operator's signature.
    pub signature: &'a [u8],
    /// The header of its block, `None` to say that the block is not committed.
    pub header: Option<&'a Header>,
    /// What of it is broken; not read if it is a time.
    pub broken: &'a BrokenPromise,
}

/// The contract as a call at a time finds it.
struct AtTime<'a> {
    contract: &'a Contract,
    now: u64,
}

impl RootState for AtTime<'_> {
    fn domain(&self) -> &Domain {
        &self.contract.domain
    }

    fn periods(&self) -> Periods {
        self.contract.parameters.periods
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn commitment(&self, number: BlockNumber) -> Option<B256> {
        self.contract.commitment(number)
    }

    fn halted_from(&self) -> Option<BlockNumber> {
        self.contract.head.halted_from()
    }

    fn conviction(&self, number: BlockNumber) -> Option<Conviction> {
        self.contract.conviction(number)
    }

    fn coin(&self, output_id: OutputId) -> CoinState {
        self.contract.coin(output_id)
    }

    fn open_in_flight_exit(&self, tx_hash: TxHash) -> Option<OpenInFlightExit> {
        let open: &OpenExit = self.contract.in_flight_exit(tx_hash)?;
        Some(OpenInFlightExit { start: open.start, key: open.key, live: open.live_pieces })
    }
}
