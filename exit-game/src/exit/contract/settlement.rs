//! Withdrawals by the last good unspent tree, after the chain's end. §8.

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};

use super::missing::MadeCoin;
use super::{Call, Contract, Pay, Payment, PaymentOutcome, Revert};
use crate::block::Header;
use crate::exit::standard::Standing;
use crate::facts::RootEvent;
use crate::fault::{ShownCoin, is_held};
use crate::output::{Deposit, Output};
use crate::position::BlockNumber;

impl Contract {
    /// Pays an owner a coin that the unspent tree of the last good block, whose header this is, holds. §8.
    ///
    /// # Errors
    ///
    /// [`Revert`] if settlement has not begun, the block is not the last good one, the coin not made in it or before or not
    /// shown to be in its tree, settled, not the caller's, or exits of its asset come first.
    pub fn withdraw_settled(
        &mut self,
        call: Call,
        header: &Header,
        membership: &[u8],
        coin: &ShownCoin,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let last_key = self.check_settling(call, header.number)?;
        self.committed_number(header)?;
        let coin = self.made_until(header, coin)?;
        if !is_held(header, coin.position.bits(), coin.value(), membership) {
            return Err(Revert::NotHeld);
        }
        self.withdraw(call, &coin, last_key, pay)
    }

    /// Pays an owner a deposit that the last good block, whose header this is, does not cover. Of the header of no block only the
    /// number is read, which is 0. §8.
    ///
    /// # Errors
    ///
    /// [`Revert`] if settlement has not begun, the block is not the last good one or covers the deposit, nobody deposited it, it
    /// is settled, not the caller's, or exits of its asset come first.
    pub fn withdraw_settled_deposit(
        &mut self,
        call: Call,
        header: &Header,
        deposit: &Deposit,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let last_key = self.check_settling(call, header.number)?;
        let nonce = deposit.nonce;
        if header.number != BlockNumber::ZERO {
            self.committed_number(header)?;
            if nonce < header.deposit_count {
                return Err(Revert::DepositCovered { nonce });
            }
        }
        let coin = self.made_by_deposit(deposit)?;
        self.withdraw(call, &coin, last_key, pay)
    }

    /// Refuses a block that is not the last good one of a chain whose settlement has begun. Returns S.
    fn check_settling(&self, call: Call, shown: BlockNumber) -> Result<u64, Revert> {
        let (halted_at, closed_at) = (self.head.halt.map(|halt| halt.at), self.head.closed_at);
        let ended = halted_at.max(closed_at).ok_or(Revert::StillRunning)?;
        let periods = self.parameters.periods;
        let from = periods.start_of_settlement(ended);
        if call.now < from {
            return Err(Revert::NotYetSettling { from });
        }
        let last = self.last_good_block();
        if shown != last {
            return Err(Revert::NotTheLastBlock { shown, last });
        }
        Ok(periods.last_key_before_settlement(ended))
    }

    /// Returns *m*: the last block that is not void, 0 for none. §8.
    fn last_good_block(&self) -> BlockNumber {
        let last = self.commitments.last_key_value().map_or(BlockNumber::ZERO, |(&number, _)| number);
        self.head.halted_from().map_or(last, |from| from.previous().unwrap_or(BlockNumber::ZERO))
    }

    /// Settles a coin and pays what its asset can cover. §5.2.
    fn withdraw(
        &mut self,
        call: Call,
        made: &MadeCoin,
        last_key: u64,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let MadeCoin { output_id, output: Output { owner, asset, amount }, .. } = *made;
        let coin = self.coin(output_id);
        match coin.standing() {
            Standing::Unknown | Standing::Deposited => {}
            Standing::Settled { freeze } => return Err(Revert::AlreadySettled { output_id, freeze }),
        }
        let payee = self.payee_of(output_id, owner);
        if call.caller != payee {
            return Err(Revert::NotPayee { caller: call.caller, payee });
        }
        let mut events = self.clear_keys_until(last_key, asset)?;
        self.coins.insert(output_id, coin.with_settlement(call.now));
        let paid = self.take_from_owed(asset, amount);
        let payment = Payment { asset, to: payee, amount: U256::from(paid) };
        let credited = self.pay_or_credit(payment, pay, &mut events) == PaymentOutcome::Failed;
        events.push(RootEvent::CoinWithdrawn { output_id, payee, asset, amount, paid, credited });
        Ok(events)
    }

    /// Moves the head of an asset's list over keys without exits until `last_key`, and refuses if one with exits is left.
    fn clear_keys_until(&mut self, last_key: u64, asset: Address) -> Result<Vec<RootEvent>, Revert> {
        let Some(keys) = self.exit_keys.get_mut(&asset) else { return Ok(Vec::new()) };
        if let Some(key) = keys.payable(last_key) {
            return Err(Revert::ExitsPending { asset, key });
        }
        let moved =
            keys.move_head(last_key).then(|| RootEvent::ExitKeysCleared { asset, head: keys.head().unwrap_or(0) });
        Ok(moved.into_iter().collect())
    }
}
