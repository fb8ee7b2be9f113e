//! The payment of exits in the order of their keys. §4, §5.2.

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};

use super::{Call, Contract, Pay, Payment, PaymentOutcome};
use crate::exit::standard::{CoinState, ExitRecord, Standing};
use crate::facts::RootEvent;
use crate::output::{ETHER, Output};

impl Contract {
    /// Pays the exits of `asset` whose turn has come, and moves the head of its list. §5.2.
    ///
    /// A record that is not that of an exit under the list's head is skipped, and nothing makes the call fail. The caller
    /// earns the bounty of each exit that it ends, in one payment.
    pub fn process_exits(
        &mut self,
        call: Call,
        asset: Address,
        records: &[ExitRecord],
        pay: &mut Pay<'_>,
    ) -> Vec<RootEvent> {
        let mut events = Vec::new();
        let mut due_key = self.move_exit_head(asset, call.now, &mut events);
        let mut bounty = U256::ZERO;
        for record in records {
            let coin = self.coin(record.output_id);
            let is_due = record.output.asset == asset && Some(record.key) == due_key && coin.is_exit_of(record);
            if !is_due {
                continue;
            }
            let left = self.exit_keys.get_mut(&asset).and_then(|keys| keys.release(record.key));
            if left == Some(0) {
                due_key = self.move_exit_head(asset, call.now, &mut events);
            }
            // At most as many times 2^128 as a call has records.
            bounty = bounty.saturating_add(U256::from(self.parameters.exit_bounty));
            let payee = self.payee_of_exit(record, coin);
            let is_void = record.position.block().is_some_and(|number| self.is_void(number));
            match coin.standing() {
                Standing::Unknown | Standing::Deposited if !is_void => self.pay_exit(record, payee, pay, &mut events),
                Standing::Unknown | Standing::Deposited | Standing::Settled { .. } => {
                    self.return_exit(record, coin, payee, pay, &mut events);
                }
            }
        }
        self.pay_or_credit(Payment { asset: ETHER, to: call.caller, amount: bounty }, pay, &mut events);
        events
    }

    /// Moves the head of an asset's list and returns its key if exits under it are due. §4.
    fn move_exit_head(&mut self, asset: Address, now: u64, events: &mut Vec<RootEvent>) -> Option<u64> {
        let keys = self.exit_keys.get_mut(&asset)?;
        if keys.move_head(now) {
            events.push(RootEvent::ExitKeysCleared { asset, head: keys.head().unwrap_or(0) });
        }
        keys.payable(now)
    }

    /// Ends an exit that gets nothing but its bond. §5.1.
    fn return_exit(
        &mut self,
        record: &ExitRecord,
        coin: CoinState,
        payee: Address,
        pay: &mut Pay<'_>,
        events: &mut Vec<RootEvent>,
    ) {
        let output_id = record.output_id;
        self.coins.insert(output_id, coin.without_exit());
        events.push(RootEvent::ExitReturned { output_id, payee });
        self.pay_or_credit(Payment { asset: ETHER, to: payee, amount: U256::from(self.bond_left()) }, pay, events);
    }

    /// Settles a coin and pays what its asset can still cover: later deposits belong to others. §5.2.
    fn pay_exit(&mut self, record: &ExitRecord, payee: Address, pay: &mut Pay<'_>, events: &mut Vec<RootEvent>) {
        let ExitRecord { output_id, output: Output { asset, amount, .. }, key, .. } = *record;
        let freeze = self.parameters.periods.freeze_of_standard_exit(key);
        self.coins.insert(output_id, CoinState::settled(freeze));
        let paid = self.take_from_owed(asset, amount);
        let (paid_wide, bond) = (U256::from(paid), U256::from(self.bond_left()));
        let outcome = if asset == ETHER {
            self.pay_or_credit(Payment { asset, to: payee, amount: paid_wide.saturating_add(bond) }, pay, events)
        } else {
            let outcome = self.pay_or_credit(Payment { asset, to: payee, amount: paid_wide }, pay, events);
            self.pay_or_credit(Payment { asset: ETHER, to: payee, amount: bond }, pay, events);
            outcome
        };
        let credited = outcome == PaymentOutcome::Failed;
        events.push(RootEvent::ExitPaid { output_id, payee, amount, paid, credited });
    }

    /// Takes up to `amount` from what an asset owes, and returns what was taken.
    fn take_from_owed(&mut self, asset: Address, amount: u128) -> u128 {
        let Some(owed) = self.owed.get_mut(&asset) else { return 0 };
        let taken = amount.min(*owed);
        *owed -= taken;
        taken
    }

    /// Returns what is left of a bond beside the bounty, in wei.
    fn bond_left(&self) -> u128 {
        // The deployment refuses a bounty above the bond.
        self.parameters.exit_bond.saturating_sub(self.parameters.exit_bounty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::contract::Parameters;
    use crate::exit::key::Periods;
    use crate::output::Deposit;
    use crate::position::Position;
    use crate::signature::Domain;

    /// In-flight exits and settlement settle coins whose own exit is pending; here the word is set by hand.
    #[test]
    fn an_exit_of_a_coin_settled_meanwhile_gives_back_its_bond_and_leaves_the_freeze() {
        let periods = Periods { minimum_exit_period: 600, sunset: 600 };
        let (owner, operator) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let parameters = Parameters { operator, periods, exit_bond: 10, exit_bounty: 3 };
        let domain = Domain { chain_id: 1, contract: Address::repeat_byte(3) };
        let mut contract = Contract::deploy(parameters, domain, 1_000).unwrap();
        let deposit = Deposit { nonce: 0, output: Output { owner, asset: ETHER, amount: 50 } };
        contract.deposit(U256::from(50), owner).unwrap();
        let (call, bond) = (Call { caller: owner, now: 1_000 }, U256::from(10));
        let started = contract.start_standard_exit_of_deposit(call, bond, 0, ETHER, 50).unwrap();
        let [RootEvent::StandardExitStarted(record)] = started[..] else { panic!("a start is one event") };
        assert_eq!(record.position, Position::of_deposit(0).unwrap());
        let output_id = deposit.output_id();
        contract.coins.insert(output_id, CoinState::settled(1_234).with_exit(&record));

        let mut payments = Vec::new();
        let mut pay = |payment| {
            payments.push(payment);
            PaymentOutcome::Received
        };
        let now = record.key;
        let events = contract.process_exits(Call { caller: operator, now }, ETHER, &[record], &mut pay);
        let cleared = RootEvent::ExitKeysCleared { asset: ETHER, head: 0 };
        assert_eq!(events, [cleared, RootEvent::ExitReturned { output_id, payee: owner }]);
        let ether = |to, amount| Payment { asset: ETHER, to, amount: U256::from(amount) };
        assert_eq!(payments, [ether(owner, 7), ether(operator, 3)]);
        assert_eq!(contract.coin(output_id), CoinState::settled(1_234));
        assert_eq!(contract.owed(ETHER), Some(50));
    }
}
