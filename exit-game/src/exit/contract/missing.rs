//! Claims that an unspent tree lacks a coin: made, answered, convicted, returned. §3 (R9).

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, U256, keccak256};

use super::faults::Charge;
use super::{Call, Contract, Pay, Payment, Revert, check_bond};
use crate::block::Header;
use crate::exit::standard::Standing;
use crate::facts::RootEvent;
use crate::fault::{Conviction, Rule, ShownCoin, SpentCoin, is_held};
use crate::output::{Deposit, ETHER, Output, OutputId, TxHash};
use crate::position::{BlockNumber, Position};
use crate::transaction::Transaction;
use crate::utxo_tree;

/// What the contract keeps of a claim that a block's unspent tree lacks a coin: its claimant for ever, so that it is not made
/// again. R9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimState {
    /// Who put up the bond.
    pub claimant: Address,
    /// The rest, until the claim ends.
    pub open: Option<OpenClaim>,
}

/// A claim that can be answered or convict. R9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenClaim {
    /// When it was made, in seconds.
    pub claimed_at: u64,
    /// What the tree must hold. §1.8.
    pub value: B256,
}

/// An open claim with its name and its claimant.
#[derive(Clone, Copy)]
struct FoundClaim {
    number: BlockNumber,
    position: Position,
    claimant: Address,
    claim: OpenClaim,
}

/// A coin whose making is proven.
pub(super) struct MadeCoin {
    pub(super) position: Position,
    pub(super) output_id: OutputId,
    pub(super) output: Output,
}

impl MadeCoin {
    /// Returns what the unspent tree holds of it. §1.8.
    pub(super) fn value(&self) -> B256 {
        utxo_tree::value(self.output_id, &self.output)
    }
}

impl Contract {
    /// Says, with the bond as `value`, in wei, that the unspent tree of a block lacks a coin. R9.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the block is unknown, void or too old, the value not the bond, the coin not made in it or before, or claimed
    /// before.
    pub fn claim_missing(
        &mut self,
        call: Call,
        value: U256,
        header: &Header,
        coin: &ShownCoin,
    ) -> Result<Vec<RootEvent>, Revert> {
        let number = self.committed_number(header)?;
        self.check_not_void(number)?;
        let until = self.parameters.periods.end_of_claims(header.timestamp);
        if call.now >= until {
            return Err(Revert::TooLateToClaim { until });
        }
        check_bond(value, U256::from(self.parameters.missing_bond))?;
        let coin = self.made_until(header, coin)?;
        let (position, output_id, claimant) = (coin.position, coin.output_id, call.caller);
        if self.missing_claims.contains_key(&(number, position)) {
            return Err(Revert::AlreadyClaimed { number, position });
        }
        let open = OpenClaim { claimed_at: call.now, value: coin.value() };
        self.missing_claims.insert((number, position), ClaimState { claimant, open: Some(open) });
        Ok(vec![RootEvent::MissingClaimed { number, position, output_id, value: open.value, claimant }])
    }

    /// Answers a claim by the coin's membership, and takes its bond. R9.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no such claim can be answered, or the tree is not shown to hold the coin.
    pub fn answer_missing(
        &mut self,
        call: Call,
        header: &Header,
        position: u64,
        membership: &[u8],
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let number = self.committed_number(header)?;
        let found = self.answerable_claim(call, number, position)?;
        if !is_held(header, position, found.claim.value, membership) {
            return Err(Revert::NotHeld);
        }
        Ok(self.answer(call, found, pay))
    }

    /// Answers a claim by a spend of the coin in the block or an earlier one, and takes its bond. R9.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no such claim can be answered, or what is shown is no spend of the coin until then.
    pub fn answer_missing_spent(
        &mut self,
        call: Call,
        number: BlockNumber,
        position: u64,
        spent: &SpentCoin,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let found = self.answerable_claim(call, number, position)?;
        spent.check_value(found.claim.value)?;
        let SpentCoin { output_id, ref spend, .. } = *spent;
        let place = self.committed_place(TxHash(keccak256(&spend.body)), &spend.inclusion)?;
        check_not_later(place.block, number)?;
        let body = Transaction::decode(&spend.body).map_err(|_| Revert::NotCanonical)?;
        if !body.inputs().contains(&output_id) {
            return Err(Revert::NotASpend { output_id });
        }
        Ok(self.answer(call, found, pay))
    }

    /// Convicts a block of a claim that nobody answered; bond and reward are the claimant's. `evidence` is the hash of the call's
    /// calldata. R9.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no such claim is open, it can still be answered, or the block is void or too old.
    pub fn convict_missing(
        &mut self,
        call: Call,
        header: &Header,
        position: u64,
        evidence: B256,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let number = self.committed_number(header)?;
        let found = self.open_claim(number, position)?;
        self.check_not_void(number)?;
        let periods = self.parameters.periods;
        let (from, until) =
            (periods.end_of_answers(found.claim.claimed_at), periods.end_of_convictions(header.timestamp));
        if call.now < from {
            return Err(Revert::TooEarlyToConvict { from });
        }
        if call.now >= until {
            return Err(Revert::TooLateToProve { until });
        }
        let FoundClaim { position, claimant, .. } = found;
        self.end_claim(found);
        let mut events = vec![RootEvent::MissingConvicted { number, position, claimant }];
        let charge = Charge { number, rule: Rule::R9, accuser: claimant, evidence };
        let Conviction { root_block, reward } = self.convict(call, charge, pay, &mut events);
        self.convictions.insert(number, Conviction { root_block, reward: 0 });
        let reward = U256::from(reward);
        if !reward.is_zero() {
            events.push(RootEvent::FaultRewarded { number, accuser: claimant, amount: reward });
        }
        let amount = U256::from(self.parameters.missing_bond).saturating_add(reward);
        self.pay_or_credit(Payment { asset: ETHER, to: claimant, amount }, pay, &mut events);
        Ok(events)
    }

    /// Returns the bond of a claim on a block since void, or by which nobody convicted in time. R9.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no such claim is open, or its block can still be convicted.
    pub fn reclaim_missing(
        &mut self,
        call: Call,
        header: &Header,
        position: u64,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let number = self.committed_number(header)?;
        let found = self.open_claim(number, position)?;
        let until = self.parameters.periods.end_of_convictions(header.timestamp);
        if !self.is_void(number) && call.now < until {
            return Err(Revert::ClaimRuns { until });
        }
        let FoundClaim { position, claimant, .. } = found;
        self.end_claim(found);
        let mut events = vec![RootEvent::MissingReturned { number, position, claimant }];
        self.pay_missing_bond(claimant, pay, &mut events);
        Ok(events)
    }

    /// Returns a coin that was made in the block with this header or before. R9, §8.
    pub(super) fn made_until(&self, header: &Header, coin: &ShownCoin) -> Result<MadeCoin, Revert> {
        let ShownCoin { creation, inclusion } = coin;
        if let Some(deposit) = creation.deposit() {
            let coin = self.made_by_deposit(&deposit)?;
            let (shown, number) = (deposit.nonce, header.deposit_count);
            return if shown < number { Ok(coin) } else { Err(Revert::LaterBlock { shown, number }) };
        }
        let body = Transaction::decode(&creation.fields).map_err(|_| Revert::NotCanonical)?;
        let index = u8::try_from(creation.index).map_err(|_| Revert::NotCanonical)?;
        let output = *body.outputs().get(usize::from(index)).ok_or(Revert::NotCanonical)?;
        let place = self.committed_place(body.hash(), inclusion)?;
        check_not_later(place.block, header.number)?;
        let position = place.output(index).ok_or(Revert::NotCanonical)?;
        Ok(MadeCoin { position, output_id: OutputId::of_output(body.hash(), index), output })
    }

    /// Returns the coin of a deposit that was taken.
    pub(super) fn made_by_deposit(&self, deposit: &Deposit) -> Result<MadeCoin, Revert> {
        let output_id = deposit.output_id();
        let was_taken = self.coin(output_id).standing() != Standing::Unknown;
        let position = Position::of_deposit(deposit.nonce).filter(|_| was_taken);
        let position = position.ok_or(Revert::NotADeposit { output_id })?;
        Ok(MadeCoin { position, output_id, output: deposit.output })
    }

    /// Returns a claim that can be answered.
    fn answerable_claim(&self, call: Call, number: BlockNumber, position: u64) -> Result<FoundClaim, Revert> {
        let found = self.open_claim(number, position)?;
        self.check_not_void(number)?;
        let until = self.parameters.periods.end_of_answers(found.claim.claimed_at);
        if call.now < until { Ok(found) } else { Err(Revert::TooLateToAnswer { until }) }
    }

    fn open_claim(&self, number: BlockNumber, position: u64) -> Result<FoundClaim, Revert> {
        let found = Position::from_bits(position).and_then(|position| {
            let ClaimState { claimant, open } = self.missing_claim(number, position)?;
            Some(FoundClaim { number, position, claimant, claim: open? })
        });
        found.ok_or(Revert::NotClaimed { number, position })
    }

    fn answer(&mut self, call: Call, found: FoundClaim, pay: &mut Pay<'_>) -> Vec<RootEvent> {
        let (FoundClaim { number, position, .. }, answerer) = (found, call.caller);
        self.end_claim(found);
        let mut events = vec![RootEvent::MissingAnswered { number, position, answerer }];
        self.pay_missing_bond(answerer, pay, &mut events);
        events
    }

    /// Ends an open claim for good.
    fn end_claim(&mut self, FoundClaim { number, position, claimant, .. }: FoundClaim) {
        self.missing_claims.insert((number, position), ClaimState { claimant, open: None });
    }

    fn pay_missing_bond(&mut self, to: Address, pay: &mut Pay<'_>, events: &mut Vec<RootEvent>) {
        let amount = U256::from(self.parameters.missing_bond);
        self.pay_or_credit(Payment { asset: ETHER, to, amount }, pay, events);
    }
}

/// Refuses a block later than another.
fn check_not_later(shown: BlockNumber, number: BlockNumber) -> Result<(), Revert> {
    if shown <= number { Ok(()) } else { Err(Revert::LaterBlock { shown: shown.get(), number: number.get() }) }
}
