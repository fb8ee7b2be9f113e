//! Deposits, payments that people sign, and blocks.

use alloy_primitives::Address;
use plasmid_exit_game::transaction::INPUTS_MAX;
use rand::RngExt;
use rand::seq::{IndexedMutRandom, IndexedRandom, SliceRandom};

use super::{Choices, one_in, pending};
use crate::action::{Action, CoinRef, Flaw, Label};
use crate::evm::{PEOPLE, PERIODS};
use crate::world::{ASSETS, NOBODY};

impl Choices<'_> {
    pub(super) fn ledger(&mut self) {
        let is_stopped = self.world.model.head().halt.is_some() || self.world.model.head().closed_at.is_some();
        let deposits = self.world.chain.deposits.len();
        let (by, owner) = (self.person(), self.person());
        let owner = if one_in(self.random, 60) { NOBODY } else { owner };
        let asset = if one_in(self.random, 80) { ASSETS } else { self.random.random_range(0..ASSETS) };
        let amount = match self.random.random_range(0..80) {
            0 => 0,
            1 => u128::MAX,
            2 => (1 << 95) - 1,
            _ => self.random.random_range(1..100),
        };
        let weight = if is_stopped {
            1
        } else if deposits < 4 {
            60
        } else {
            4
        };
        self.add(weight, Action::Deposit { by, owner, asset, amount });

        if let Some(action) = self.payment() {
            let signed = self.world.chain.transactions.len();
            self.add(if signed < 3 { 60 } else { 14 }, action);
        }
        let block = self.block();
        self.add(if is_stopped || self.world.model.is_bond_short() { 1 } else { 12 }, block);
    }

    /// A payment over coins of one owner; often over a coin that is spent already, sometimes with what makes it
    /// invalid.
    fn payment(&mut self) -> Option<Action> {
        let chain = &self.world.chain;
        let all: Vec<_> = chain.coins().collect();
        let spent: Vec<CoinRef> = chain.transactions.values().flat_map(|signed| signed.inputs.clone()).collect();
        let first = if self.random.random() { self.pick(&spent) } else { None };
        let first = first.or_else(|| self.pick(&all).map(|(coin, _, _)| coin))?;
        let (_, first_output) = chain.coin(first)?;
        let others = all.iter().filter(|(coin, _, made)| *coin != first && made.owner == first_output.owner);
        let mut others: Vec<_> = others.map(|&(coin, _, _)| coin).collect();
        if one_in(self.random, 40) {
            others = all.iter().map(|&(coin, _, _)| coin).filter(|&coin| coin != first).collect();
        }
        others.shuffle(self.random);
        // Now and then as many as a transaction takes.
        let is_large = one_in(self.random, 12);
        others.truncate(self.random.random_range(0..=if is_large { INPUTS_MAX - 1 } else { 2 }));
        let inputs: Vec<CoinRef> = [first].into_iter().chain(others).collect();

        let mut outputs: Vec<(u8, u8, u128)> = Vec::new();
        for asset in 0..ASSETS {
            let address = self.world.asset(asset);
            let amounts =
                inputs.iter().filter_map(|&input| chain.coin(input)).filter(|(_, made)| made.asset == address);
            let Some(total) = amounts.map(|(_, made)| made.amount).try_fold(0u128, u128::checked_add) else { continue };
            if total == 0 {
                continue;
            }
            let mut left = total;
            for _ in 0..if is_large { 4 } else { 1 } {
                if left > 1 && self.random.random() {
                    let part = self.random.random_range(1..left);
                    outputs.push((self.payee(first_output.owner), asset, part));
                    left -= part;
                }
            }
            outputs.push((self.payee(first_output.owner), asset, left));
        }
        if one_in(self.random, 25)
            && let Some(output) = outputs.choose_mut(self.random)
        {
            output.2 = output.2.saturating_add(1);
        }
        let owner = self.number(first_output.owner);
        let signer = if one_in(self.random, 40) || owner >= PEOPLE { self.person() } else { owner };
        Some(Action::Sign { signer, inputs, outputs, memo: self.random.random() })
    }

    /// Anybody, or the payer.
    fn payee(&mut self, payer: Address) -> u8 {
        if one_in(self.random, 4) { self.number(payer) } else { self.person() }
    }

    /// A block of what was signed, some of it a second time.
    fn block(&mut self) -> Action {
        let (fresh, old): (Vec<_>, Vec<_>) =
            self.world.chain.transactions.iter().partition(|(_, signed)| signed.places.is_empty());
        let mut txs: Vec<Option<Label>> = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            let from = if fresh.is_empty() || self.random.random() { &old } else { &fresh };
            txs.extend(from.choose(self.random).map(|&(&label, _)| Some(label)));
        }
        // Sometimes what spends a coin that is exiting and frozen.
        let frozen: Vec<_> = pending(self.world)
            .filter(|(_, record)| PERIODS.freeze_of_standard_exit(record.key) < self.at)
            .map(|(_, record)| record.output_id)
            .collect();
        let spends = self.world.chain.transactions.iter();
        let spends = spends.filter(|(_, signed)| signed.body.inputs().iter().any(|id| frozen.contains(id)));
        let spends: Vec<Label> = spends.map(|(&label, _)| label).collect();
        txs.extend(self.pick(&spends).map(Some));
        if one_in(self.random, 8) {
            txs.insert(0, None);
        }
        if one_in(self.random, 20) {
            txs.clear();
        }
        let flaws = [Flaw::Number, Flaw::TxCount, Flaw::DepositCount, Flaw::NotAfter, Flaw::Anchor];
        let flaw = if one_in(self.random, 15) { self.pick(&flaws).unwrap_or(Flaw::None) } else { Flaw::None };
        let by = if one_in(self.random, 40) { self.person() } else { self.operator() };
        let mut crooks = Vec::new();
        if one_in(self.random, 3) {
            crooks.push((self.random.random(), self.random.random()));
        }
        let lie = one_in(self.random, 3).then(|| self.random.random());
        Action::Block { by, txs, uncovered: self.random.random_range(0..2), flaw, lie, crooks }
    }
}
