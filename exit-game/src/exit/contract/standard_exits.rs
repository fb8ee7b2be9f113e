//! Standard exits: start, challenge, hand over. §5.2.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, Bytes, U256};

use super::{Call, Contract, InclusionProof, Pay, Payment, Revert, check_bond};
use crate::exit::standard::{CoinState, ExitRecord, Standing};
use crate::facts::RootEvent;
use crate::output::{Deposit, ETHER, Output, OutputId};
use crate::position::Position;
use crate::transaction::Transaction;

impl Contract {
    /// Starts the exit of a child-chain output: output `output_index` of the transaction `body`. §5.2.
    ///
    /// The caller owns it and sends the bond as `value`, in wei. The hint that the contract's call also takes changes its
    /// gas alone.
    ///
    /// # Errors
    ///
    /// [`Revert`] if there is no such output in a committed block that is not void, it is not the caller's, the value is
    /// not the bond, or the coin is exiting or settled.
    pub fn start_standard_exit(
        &mut self,
        call: Call,
        value: U256,
        body: &[u8],
        output_index: u8,
        proof: &InclusionProof,
    ) -> Result<Vec<RootEvent>, Revert> {
        let body = Transaction::decode(body).map_err(|_| Revert::NotCanonical)?;
        let output = body.outputs().get(usize::from(output_index));
        let no_such_output = Revert::NoSuchOutput { output_index };
        let output = *output.ok_or(no_such_output)?;
        let tx_hash = body.hash();
        let position = self.included_place(tx_hash, proof)?.output(output_index).ok_or(no_such_output)?;
        let key = self.parameters.periods.exit_key(call.now, Some(proof.header.timestamp));
        let output_id = OutputId::of_output(tx_hash, output_index);
        self.start_exit(call, value, ExitRecord { output_id, position, output, key })
    }

    /// Starts the exit of one of the caller's deposits, with the bond as `value`, in wei. §5.2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the caller has no such deposit, the value is not the bond, or the coin is exiting or settled.
    pub fn start_standard_exit_of_deposit(
        &mut self,
        call: Call,
        value: U256,
        nonce: u64,
        asset: Address,
        amount: u128,
    ) -> Result<Vec<RootEvent>, Revert> {
        let output = Output { owner: call.caller, asset, amount };
        let output_id = Deposit { nonce, output }.output_id();
        let position = match self.coin(output_id).standing() {
            Standing::Unknown => None,
            Standing::Deposited | Standing::Settled { .. } => Position::of_deposit(nonce),
        };
        let position = position.ok_or(Revert::NotADeposit { output_id })?;
        let key = self.parameters.periods.exit_key(call.now, None);
        self.start_exit(call, value, ExitRecord { output_id, position, output, key })
    }

    /// Starts the exit of a coin whose existence is proven.
    fn start_exit(&mut self, call: Call, value: U256, record: ExitRecord) -> Result<Vec<RootEvent>, Revert> {
        let ExitRecord { output_id, output: Output { owner, asset, .. }, key, .. } = record;
        if call.caller != owner {
            return Err(Revert::NotOwner { caller: call.caller, owner });
        }
        check_bond(value, U256::from(self.parameters.exit_bond))?;
        let coin = self.coin(output_id);
        if coin.exit().is_some() {
            return Err(Revert::AlreadyExiting { output_id });
        }
        match coin.standing() {
            Standing::Unknown | Standing::Deposited => {}
            Standing::Settled { freeze } => return Err(Revert::AlreadySettled { output_id, freeze }),
        }

        self.coins.insert(output_id, coin.with_exit(&record));
        self.exit_keys.entry(asset).or_default().add(key);
        Ok(vec![RootEvent::StandardExitStarted(record)])
    }

    /// Ends an exit by a spend of its coin: the body of any transaction, included or not, with the coin among its inputs,
    /// and the owner's signature for it. The caller gets the bond. §5.2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if `record` is not that of a pending exit, or `spend` and `signature` are not a spend of its coin.
    pub fn challenge_standard_exit(
        &mut self,
        call: Call,
        record: &ExitRecord,
        spend: &[u8],
        signature: &[u8],
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let (output_id, challenger) = (record.output_id, call.caller);
        let coin = self.exiting_coin(record)?;
        self.signed_spend(output_id, record.output.owner, spend, signature)?;

        self.coins.insert(output_id, coin.without_exit());
        if let Some(keys) = self.exit_keys.get_mut(&record.output.asset) {
            keys.release(record.key);
        }
        let (spend, signature) = (Bytes::copy_from_slice(spend), Bytes::copy_from_slice(signature));
        let mut events = vec![RootEvent::StandardExitChallenged { output_id, challenger, spend, signature }];
        let bond = Payment { asset: ETHER, to: challenger, amount: U256::from(self.parameters.exit_bond) };
        self.pay_or_credit(bond, pay, &mut events);
        Ok(events)
    }

    /// Hands the caller's claim to an exit, bond included, to `payee`. §5.2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if `record` is not that of a pending exit, the caller is not whom it pays, or `payee` is zero.
    pub fn assign_exit(&mut self, call: Call, record: &ExitRecord, payee: Address) -> Result<Vec<RootEvent>, Revert> {
        let output_id = record.output_id;
        let coin = self.exiting_coin(record)?;
        let current = self.payee_of(output_id, record.output.owner);
        if call.caller != current {
            return Err(Revert::NotPayee { caller: call.caller, payee: current });
        }
        if payee.is_zero() {
            return Err(Revert::ZeroAddress);
        }

        self.coins.insert(output_id, coin.with_assignment());
        self.payees.insert(output_id, payee);
        Ok(vec![RootEvent::ExitAssigned { output_id, payee }])
    }

    /// Returns whom a coin is paid: its owner, until the claim to its pending exit is handed on.
    pub(super) fn payee_of(&self, output_id: OutputId, owner: Address) -> Address {
        let assigned = if self.coin(output_id).is_assigned() { self.payee(output_id) } else { None };
        assigned.unwrap_or(owner)
    }

    /// Returns the word of the coin whose pending exit has this record. §5.1.
    fn exiting_coin(&self, record: &ExitRecord) -> Result<CoinState, Revert> {
        let (output_id, coin) = (record.output_id, self.coin(record.output_id));
        if coin.is_exit_of(record) { Ok(coin) } else { Err(Revert::NotExiting { output_id }) }
    }
}
