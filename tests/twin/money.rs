//! A book of all balances, and of who refuses money: what lies around the contract.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use plasmid_exit_game::exit::contract::{Payment, PaymentOutcome};
use plasmid_exit_game::output::ETHER;

/// Where a token's fee goes.
pub(crate) const DEAD: Address = alloy_primitives::address!("000000000000000000000000000000000000dead");

/// How an account receives ether: `HostileReceiver.Behaviour`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Receiver {
    #[default]
    Accepts,
    Reverts,
    BurnsGas,
    BombsReturnData,
    Reenters,
}

impl Receiver {
    pub(crate) const ALL: [Self; 5] =
        [Self::Accepts, Self::Reverts, Self::BurnsGas, Self::BombsReturnData, Self::Reenters];
}

/// How a token transfers: `HostileToken.Behaviour`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Token {
    #[default]
    Honest,
    Reverts,
    ReturnsFalse,
    ReturnsNothing,
    ReturnsTwo,
    BurnsGas,
    BombsReturnData,
    TakesFee,
    Reenters,
}

impl Token {
    pub(crate) const ALL: [Self; 9] = [
        Self::Honest,
        Self::Reverts,
        Self::ReturnsFalse,
        Self::ReturnsNothing,
        Self::ReturnsTwo,
        Self::BurnsGas,
        Self::BombsReturnData,
        Self::TakesFee,
        Self::Reenters,
    ];
}

/// Who has what, and what stands in its way.
#[derive(Debug, Clone)]
pub(crate) struct Money {
    contract: Address,
    balances: BTreeMap<(Address, Address), U256>,
    receivers: BTreeMap<Address, Receiver>,
    tokens: BTreeMap<Address, Token>,
    blocked: BTreeSet<(Address, Address)>,
    /// What tokens handed out of the contract while they said that they did not.
    pub(crate) denied: BTreeMap<Address, U256>,
    /// What the contract paid to itself in tokens, which counts for nothing from then on (§2).
    pub(crate) stranded: BTreeMap<Address, U256>,
    /// Who called the contract back during the last call.
    pub(crate) reentered: BTreeSet<Address>,
}

impl Money {
    pub(crate) fn new(contract: Address, tokens: [Address; 2]) -> Self {
        Self {
            contract,
            balances: BTreeMap::new(),
            receivers: BTreeMap::new(),
            tokens: tokens.map(|token| (token, Token::Honest)).into(),
            blocked: BTreeSet::new(),
            denied: BTreeMap::new(),
            stranded: BTreeMap::new(),
            reentered: BTreeSet::new(),
        }
    }

    pub(crate) fn held(&self, asset: Address, account: Address) -> U256 {
        self.balances.get(&(asset, account)).copied().unwrap_or_default()
    }

    pub(crate) fn give(&mut self, asset: Address, account: Address, amount: U256) {
        *self.balances.entry((asset, account)).or_default() += amount;
    }

    /// Moves an amount that is there.
    pub(crate) fn shift(&mut self, asset: Address, from: Address, to: Address, amount: U256) {
        let left = self.held(asset, from).checked_sub(amount).expect("what is moved is there");
        self.balances.insert((asset, from), left);
        self.give(asset, to, amount);
    }

    pub(crate) fn behave(&mut self, account: Address, receiver: Receiver) {
        self.receivers.insert(account, receiver);
    }

    pub(crate) fn token_behave(&mut self, token: Address, behaviour: Token) {
        self.tokens.insert(token, behaviour);
    }

    pub(crate) fn set_blocked(&mut self, token: Address, account: Address, blocked: bool) {
        if blocked {
            self.blocked.insert((token, account));
        } else {
            self.blocked.remove(&(token, account));
        }
    }

    pub(crate) fn is_token(&self, asset: Address) -> bool {
        self.tokens.contains_key(&asset)
    }

    /// Takes tokens into the contract and returns what arrived, `None` if the token refused.
    pub(crate) fn collect(&mut self, token: Address, from: Address, amount: U256) -> Option<U256> {
        self.transfer(token, from, self.contract, amount).map(|(arrived, _)| arrived)
    }

    /// Pays out of the contract.
    pub(crate) fn pay(&mut self, payment: Payment) -> PaymentOutcome {
        let Payment { asset, to, amount } = payment;
        if asset != ETHER {
            let transferred = self.transfer(asset, self.contract, to, amount);
            if let Some((arrived, _)) = transferred
                && to == self.contract
            {
                *self.stranded.entry(asset).or_default() += arrived;
            }
            return match transferred {
                Some((_, true)) => PaymentOutcome::Received,
                Some((arrived, false)) => {
                    *self.denied.entry(asset).or_default() += arrived;
                    PaymentOutcome::Failed
                }
                None => PaymentOutcome::Failed,
            };
        }
        let receiver = self.receivers.get(&to).copied().unwrap_or_default();
        match receiver {
            _ if to == self.contract || self.is_token(to) => return PaymentOutcome::Failed,
            Receiver::Reverts | Receiver::BurnsGas | Receiver::BombsReturnData => return PaymentOutcome::Failed,
            Receiver::Accepts => {}
            Receiver::Reenters => {
                self.reentered.insert(to);
            }
        }
        self.shift(ETHER, self.contract, to, amount);
        PaymentOutcome::Received
    }

    /// Returns what arrived and whether the token said so; `None` if it reverted.
    fn transfer(&mut self, token: Address, from: Address, to: Address, amount: U256) -> Option<(U256, bool)> {
        if self.blocked.contains(&(token, from)) || self.blocked.contains(&(token, to)) {
            return None;
        }
        let mut fee = U256::ZERO;
        let says_so = match self.tokens.get(&token).copied().unwrap_or_default() {
            Token::Reverts | Token::BurnsGas | Token::BombsReturnData => return None,
            Token::ReturnsFalse => return Some((U256::ZERO, false)),
            Token::ReturnsTwo => false,
            Token::Honest | Token::ReturnsNothing => true,
            Token::TakesFee => {
                fee = amount / U256::from(10);
                true
            }
            Token::Reenters => {
                self.reentered.insert(token);
                true
            }
        };
        if self.held(token, from) < amount {
            return None;
        }
        self.shift(token, from, to, amount - fee);
        self.shift(token, from, DEAD, fee);
        Some((amount - fee, says_so))
    }
}
