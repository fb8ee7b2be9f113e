//! The operator's bond and key, and the end of the chain. §2, §3, §8.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, U256};

use super::{Call, Contract, Pay, Payment, Revert};
use crate::facts::RootEvent;
use crate::output::ETHER;
use crate::position::BlockNumber;

/// How far ahead of the next block a new key begins at least, and so how far ahead a key is known. §2.
pub const ROTATION_DISTANCE: u64 = 300;

/// The operator's key, and which blocks are its. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorKey {
    /// The key's account.
    pub account: Address,
    /// Its first block; 0 for the deployment's key.
    pub first_block: u64,
    /// The first block that is another key's, once one has accepted.
    pub next_first_block: Option<u64>,
}

/// The operator's bond, in wei. §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperatorBond {
    /// What faults take.
    pub fault_part: u128,
    /// What broken receipts take.
    pub receipt_part: u128,
}

impl Contract {
    /// Adds `value` wei to the parts of the operator's bond. §3.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the parts are not what was sent, or the chain is halted or closed.
    pub fn fund_bond(
        &mut self,
        call: Call,
        value: U256,
        fault_part: u128,
        receipt_part: u128,
    ) -> Result<Vec<RootEvent>, Revert> {
        let parts = U256::from(fault_part).saturating_add(U256::from(receipt_part));
        if value != parts {
            return Err(Revert::WrongParts { sent: value, parts });
        }
        self.check_running()?;
        // There is less ether than 2^128 wei.
        self.bond.fault_part = self.bond.fault_part.saturating_add(fault_part);
        self.bond.receipt_part = self.bond.receipt_part.saturating_add(receipt_part);
        Ok(vec![RootEvent::BondFunded { funder: call.caller, fault_part, receipt_part }])
    }

    /// Pays what is left of the bond. §3.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the caller is not the next block's operator, `to` is zero, or the bond is still needed.
    pub fn withdraw_bond(&mut self, call: Call, to: Address, pay: &mut Pay<'_>) -> Result<Vec<RootEvent>, Revert> {
        self.check_operator(call)?;
        if to.is_zero() {
            return Err(Revert::ZeroAddress);
        }
        let closed_at = self.head.closed_at.filter(|_| self.head.halt.is_none()).ok_or(Revert::BondLocked)?;
        if call.now < self.parameters.periods.end_of_convictions(closed_at) {
            return Err(Revert::BondLocked);
        }
        self.rotate();
        let OperatorBond { fault_part, receipt_part } = core::mem::take(&mut self.bond);
        let amount = U256::from(fault_part).saturating_add(U256::from(receipt_part));
        let mut events = vec![RootEvent::BondWithdrawn { to, amount }];
        self.pay_or_credit(Payment { asset: ETHER, to, amount }, pay, &mut events);
        Ok(events)
    }

    /// Proposes who comes after the operator; zero for nobody. §2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the caller is not the next block's operator, or another key is going to take over.
    pub fn propose_operator(&mut self, call: Call, next: Address) -> Result<Vec<RootEvent>, Revert> {
        self.check_operator(call)?;
        self.check_no_rotation()?;
        self.rotate();
        self.next_operator = next;
        Ok(vec![RootEvent::OperatorProposed { next }])
    }

    /// Makes the caller the operator from a block on. §2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if another key is going to take over, the caller is not proposed, or the block is too near or too far.
    pub fn accept_operator(&mut self, call: Call, first_block: u64) -> Result<Vec<RootEvent>, Revert> {
        self.check_no_rotation()?;
        let proposed = if self.is_rotation_due() { Address::ZERO } else { self.next_operator };
        if call.caller != proposed {
            return Err(Revert::NotProposed { caller: call.caller });
        }
        let next_number = self.head.next_number;
        let first = BlockNumber::new(first_block).filter(|_| first_block > next_number + ROTATION_DISTANCE);
        let first = first.ok_or(Revert::WrongFirstBlock { first_block, next_number })?;
        self.operator_key.next_first_block = Some(first_block);
        Ok(vec![RootEvent::OperatorAccepted { operator: call.caller, first_block: first }])
    }

    /// Closes the chain, once nothing was committed for the sunset time. §8.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the chain is halted or closed, or the operator still has time.
    pub fn close_chain(&mut self, call: Call) -> Result<Vec<RootEvent>, Revert> {
        self.check_running()?;
        let sunset_at = self.head.last_timestamp.saturating_add(self.parameters.periods.sunset);
        if call.now < sunset_at {
            return Err(Revert::NotYetSunset { sunset_at });
        }
        self.head.closed_at = Some(call.now);
        Ok(vec![RootEvent::ChainClosed])
    }

    /// Returns the key that is the operator's for a block. §2.
    #[must_use]
    pub fn operator_of(&self, number: BlockNumber) -> Address {
        let OperatorKey { account, first_block, next_first_block } = self.operator_key;
        let number = number.get();
        if next_first_block.is_some_and(|first| first <= number) {
            return self.next_operator;
        }
        let former = || self.former_keys.iter().rev().find(|key| key.first_block <= number);
        if first_block <= number { account } else { former().map_or(account, |key| key.account) }
    }

    /// Returns the operator's key as the contract keeps it.
    #[must_use]
    pub fn operator_key(&self) -> &OperatorKey {
        &self.operator_key
    }

    /// Returns who comes after the operator: proposed, and accepted once the key names the first block; zero for nobody.
    #[must_use]
    pub fn next_operator(&self) -> Address {
        self.next_operator
    }

    /// Returns the keys before the operator's, oldest first.
    #[must_use]
    pub fn former_keys(&self) -> &[OperatorKey] {
        &self.former_keys
    }

    /// Returns what is left of the operator's bond.
    #[must_use]
    pub fn operator_bond(&self) -> OperatorBond {
        self.bond
    }

    /// Returns whether a part of the bond is below one slash, so that no block is taken. §3.
    #[must_use]
    pub fn is_bond_short(&self) -> bool {
        self.bond.fault_part < self.parameters.fault_slash || self.bond.receipt_part < self.parameters.receipt_slash
    }

    /// Refuses a caller who is not the operator of the next block.
    pub(super) fn check_operator(&self, call: Call) -> Result<(), Revert> {
        let operator = if self.is_rotation_due() { self.next_operator } else { self.operator_key.account };
        if call.caller == operator { Ok(()) } else { Err(Revert::NotOperator { caller: call.caller }) }
    }

    /// Lets the next key's time begin, if its first block is the next one.
    pub(super) fn rotate(&mut self) {
        if !self.is_rotation_due() {
            return;
        }
        let former = self.operator_key;
        self.former_keys.push(former);
        self.operator_key = OperatorKey {
            account: core::mem::take(&mut self.next_operator),
            first_block: former.next_first_block.unwrap_or_default(),
            next_first_block: None,
        };
    }

    fn is_rotation_due(&self) -> bool {
        self.operator_key.next_first_block.is_some_and(|first| first <= self.head.next_number)
    }

    /// One rotation at a time.
    fn check_no_rotation(&self) -> Result<(), Revert> {
        match self.operator_key.next_first_block.filter(|_| !self.is_rotation_due()) {
            None => Ok(()),
            Some(first_block) => Err(Revert::RotationPending { first_block }),
        }
    }
}
