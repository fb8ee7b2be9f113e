//! Deposits, blocks and credits. §2.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, U256};

use super::{Call, Contract, OperatorBond, Pay, Payment, PaymentOutcome, Revert};
use crate::block::Header;
use crate::exit::standard::CoinState;
use crate::facts::{RootEvent, RootRef};
use crate::output::{Deposit, ETHER, Output};
use crate::position::{BlockNumber, NONCE_BITS};
use crate::tx_tree::LEAVES_MAX;

/// The most that ether may owe: its sum shares a word and stays below 2^95. §2.
const ETHER_OWED_MAX: u128 = (1 << 95) - 1;
/// The most that a token may owe: below 2^128. §2.
const TOKEN_OWED_MAX: u128 = u128::MAX;

/// What the operator says of a block that it submits. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission {
    /// Has to be the next number.
    pub number: u64,
    /// Root of the transaction tree, zero for a block without transactions.
    pub tx_root: B256,
    /// Root of the unspent tree after this block.
    pub utxo_root: B256,
    /// Leaves of the transaction tree, at most 2^20.
    pub tx_count: u32,
    /// Deposits covered so far.
    pub deposit_count: u64,
    /// A root block of the branch that the block was made on.
    pub anchor: Anchor,
    /// The latest root-chain time at which the block may land, in seconds.
    pub not_after: u64,
}

/// Whether the root chain knows the anchor that a submission names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It is one of the last 256 root blocks of this branch.
    Known,
    /// It is not.
    Unknown(RootRef),
}

impl Contract {
    /// Deposits `value` wei for `owner`. §2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the chain is halted or closed, the owner is zero, no nonce is left, or the value is zero or lifts what
    /// ether owes to 2^95.
    pub fn deposit(&mut self, value: U256, owner: Address) -> Result<Vec<RootEvent>, Revert> {
        self.take_deposit(ETHER, value, owner, ETHER_OWED_MAX)
    }

    /// Deposits an ERC-20 token for `owner`: `received`, by which the contract's balance rose. §2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the chain is halted or closed, the owner is zero, no nonce is left, or what arrived is zero or lifts
    /// what the token owes to 2^128.
    pub fn deposit_erc20(&mut self, token: Address, received: U256, owner: Address) -> Result<Vec<RootEvent>, Revert> {
        self.take_deposit(token, received, owner, TOKEN_OWED_MAX)
    }

    fn take_deposit(
        &mut self,
        asset: Address,
        received: U256,
        owner: Address,
        owed_max: u128,
    ) -> Result<Vec<RootEvent>, Revert> {
        let owed_before = self.owed(asset);
        let total = received.saturating_add(U256::from(owed_before.unwrap_or(0)));
        let owed = total.try_into().ok().filter(|&owed: &u128| owed <= owed_max);
        let owed = owed.ok_or(Revert::AssetTotalExceeded { asset, total })?;
        self.check_running()?;
        if owner.is_zero() {
            return Err(Revert::ZeroAddress);
        }
        let amount = received.try_into().ok().filter(|&amount: &u128| amount != 0);
        let amount = amount.ok_or(Revert::AmountOutOfRange { amount: received })?;
        let nonce = self.head.next_nonce;
        // The nonce after it has to fit into as many bits. §2.
        if (nonce + 1) >> NONCE_BITS != 0 {
            return Err(Revert::DepositsExhausted);
        }

        let deposit = Deposit { nonce, output: Output { owner, asset, amount } };
        self.head.next_nonce = nonce + 1;
        self.owed.insert(asset, owed);
        self.coins.insert(deposit.output_id(), CoinState::DEPOSITED);
        let recorded = owed_before.is_none().then_some(RootEvent::AssetRecorded { asset });
        Ok(recorded.into_iter().chain([RootEvent::Deposited(deposit)]).collect())
    }

    /// Commits the next child-chain block. §2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the caller is not the operator, the chain is halted or closed, the bond short, the number is not the next one or not
    /// below 2^39, a count or the time is out of range, the block is late or its anchor unknown.
    pub fn submit_block(&mut self, call: Call, submission: &Submission) -> Result<Vec<RootEvent>, Revert> {
        let now = call.now;
        let &Submission { number, tx_root, utxo_root, tx_count, deposit_count, anchor, not_after } = submission;
        self.check_operator(call)?;
        self.check_running()?;
        if self.is_bond_short() {
            let OperatorBond { fault_part, receipt_part } = self.bond;
            return Err(Revert::BondShort { fault_part, receipt_part });
        }
        let next_number = self.head.next_number;
        let number = BlockNumber::new(number)
            .filter(|_| number == next_number)
            .ok_or(Revert::WrongBlockNumber { number, next_number })?;
        if tx_count as usize > LEAVES_MAX || (tx_count == 0) != tx_root.is_zero() {
            return Err(Revert::WrongTxCount { tx_count, tx_root });
        }
        let (covered, made) = (self.head.deposit_count, self.head.next_nonce);
        if !(covered..=made).contains(&deposit_count) {
            return Err(Revert::WrongDepositCount { deposit_count, covered, made });
        }
        let last_timestamp = self.head.last_timestamp;
        if now <= last_timestamp {
            return Err(Revert::TimestampNotLater { timestamp: now, last_timestamp });
        }
        if now > not_after {
            return Err(Revert::SubmittedTooLate { timestamp: now, not_after });
        }
        match anchor {
            Anchor::Known => {}
            Anchor::Unknown(anchor) => return Err(Revert::UnknownAnchor { anchor }),
        }

        let header = Header { number, tx_root, utxo_root, tx_count, deposit_count, timestamp: now };
        self.rotate();
        self.head.next_number = number.get() + 1;
        self.head.last_timestamp = now;
        self.head.deposit_count = deposit_count;
        self.commitments.insert(number, header.commitment());
        Ok(vec![RootEvent::BlockSubmitted(header)])
    }

    /// Pays the caller's credit in `asset` to any address. §2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if there is no credit, `to` is zero, or the payment fails; the credit then stays.
    pub fn claim(
        &mut self,
        call: Call,
        asset: Address,
        to: Address,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let account = call.caller;
        let amount = self.claimable(account, asset);
        if amount.is_zero() {
            return Err(Revert::NothingToClaim { account, asset });
        }
        if to.is_zero() {
            return Err(Revert::ZeroAddress);
        }
        match pay(Payment { asset, to, amount }) {
            PaymentOutcome::Received => {}
            PaymentOutcome::Failed => return Err(Revert::ClaimFailed { asset, to, amount }),
        }

        self.claimable.remove(&(account, asset));
        Ok(vec![RootEvent::Claimed { account, asset, to, amount }])
    }

    pub(super) fn check_running(&self) -> Result<(), Revert> {
        let (halted_from, closed_at) = (self.head.halted_from(), self.head.closed_at);
        match (halted_from, closed_at) {
            (None, None) => Ok(()),
            (Some(_), _) | (_, Some(_)) => Err(Revert::ChainStopped { halted_from, closed_at }),
        }
    }
}
