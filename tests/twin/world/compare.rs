//! All that the two show after a step, held against each other, and what always holds of both.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use plasmid_exit_game::exit::contract::{OpenExit, OperatorBond};
use plasmid_exit_game::exit::standard::{ExitRecord, Standing};
use plasmid_exit_game::game::CoinExit;
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_exit_game::position::BlockNumber;

use super::{ACCOUNTS, ASSETS, Disagreement, NUMBERS_AHEAD, World};
use crate::money::DEAD;
use crate::reverts;
use crate::words::{Names, Words};

impl World {
    /// Compares every word and every balance, and checks what always holds.
    pub(super) fn compare(&mut self) -> Result<(), Disagreement> {
        let names = self.names();
        let expected = Words::of(&self.model, &names);
        let actual: BTreeMap<U256, U256> = self.evm.words(self.evm.contract).collect();
        if expected.words != actual {
            let differs = |slot: &&U256| expected.words.get(*slot) != actual.get(*slot);
            let slots: BTreeSet<_> = expected.words.keys().chain(actual.keys()).filter(differs).collect();
            let shown: Vec<_> = slots
                .iter()
                .map(|slot| format!("{slot:#x}: {:x?} / {:x?}", expected.words.get(*slot), actual.get(*slot)))
                .collect();
            return Err(Disagreement(format!("words of the model / contract: {}", shown.join(", "))));
        }
        self.coverage.reach(expected.reached);
        for &account in names.accounts.iter().chain([&DEAD]) {
            for &asset in &names.assets {
                let expected = self.money.held(asset, account);
                let actual =
                    if asset == ETHER { self.evm.ether_of(account) } else { self.evm.tokens_of(asset, account) };
                if expected != actual {
                    return Err(Disagreement(format!("{account} has {actual} of {asset}, not {expected}")));
                }
            }
        }
        for account in self.money.reentered.clone() {
            if self.evm.reentry_error(account) != reverts::locked() {
                return Err(Disagreement(format!("{account} got into a running call")));
            }
            self.coverage.refuse("Locked");
        }
        self.money.reentered.clear();
        self.compare_game(&names)?;
        self.check_value(&names)?;
        self.check_freezes(&names)
    }

    /// Who followed the events alone knows of every exit and credit what the contract's words say.
    fn compare_game(&self, names: &Names) -> Result<(), Disagreement> {
        let (model, game) = (&self.model, &self.game);
        let wrong = |what: String| Err(Disagreement(format!("the game is wrong about {what}")));
        for &tx_hash in &names.transactions {
            let of_game = game.in_flight_exit(tx_hash).cloned().map(|exit| OpenExit {
                start: exit.start,
                key: exit.key,
                live_pieces: exit.live_pieces,
                decision: exit.decision,
                oldest: exit.oldest,
                challenger: exit.challenger,
                data: exit.data,
                transaction: exit.transaction.body,
            });
            if of_game.as_ref() != model.in_flight_exit(tx_hash) {
                return wrong(format!("the in-flight exit of {tx_hash}: {of_game:?}"));
            }
        }
        for &output_id in &names.coins {
            let (coin, exit) = (model.coin(output_id), game.exit(output_id).copied());
            let settled = match coin.standing() {
                Standing::Unknown | Standing::Deposited => None,
                Standing::Settled { freeze } => Some(freeze),
            };
            let is_right = match exit {
                Some(CoinExit::Pending(pending)) => {
                    let payee = if coin.is_assigned() { model.payee(output_id) } else { None };
                    coin.is_exit_of(&pending.record)
                        && pending.payee == payee.unwrap_or(pending.record.output.owner)
                        && pending.settled == settled
                }
                Some(CoinExit::Settled { freeze }) => coin.exit().is_none() && settled == Some(freeze),
                Some(CoinExit::Freed { .. }) | None => coin.exit().is_none() && settled.is_none(),
            };
            if !is_right {
                return wrong(format!("the coin {output_id}: {exit:?}"));
            }
        }
        let OperatorBond { fault_part, receipt_part } = model.operator_bond();
        let end = (game.halt(), game.closed_at());
        if end != (model.head().halt, model.head().closed_at) || game.operator_bond() != (fault_part, receipt_part) {
            return wrong(format!("the end {end:?}, or the bond {:?}", game.operator_bond()));
        }
        for &number in &names.numbers {
            let operator = game.operator_of(number, model.parameters().operator);
            let is_right = operator == model.operator_of(number)
                && game.conviction(number) == model.conviction(number)
                && game.slashed_receipt(number) == model.slashed_receipt(number);
            if !is_right {
                return wrong(format!("block {number}"));
            }
        }
        for &(number, position) in &names.claims {
            let of_model = model.missing_claim(number, position);
            let open = of_model.and_then(|claim| claim.open).map(|open| (open.claimed_at, open.value));
            let of_game = game.missing_claim(number, position);
            let is_right = of_game.map(|claim| claim.claimant) == of_model.map(|claim| claim.claimant)
                && of_game.and_then(|claim| Some((claim.claimed_at?, claim.value))) == open;
            if !is_right {
                return wrong(format!("the claim that block {number} lacks {position}"));
            }
        }
        for &announcement in &names.announcements {
            if game.announcement(announcement) != model.announcement(announcement) {
                return wrong(format!("the announcement {announcement}"));
            }
        }
        for (&account, &asset) in names.accounts.iter().flat_map(|a| names.assets.iter().map(move |asset| (a, asset))) {
            if game.claimable(account, asset) != model.claimable(account, asset) {
                return wrong(format!("the credit of {account} in {asset}"));
            }
        }
        Ok(())
    }

    /// What the contract holds is what it owes, credits and bonds; and lists count what is pending.
    fn check_value(&self, names: &Names) -> Result<(), Disagreement> {
        let parameters = self.model.parameters();
        let mut bonds = U256::ZERO;
        let mut pending: BTreeMap<(Address, u64), u32> = BTreeMap::new();
        // An exit that was challenged away and started again can have the same record.
        let is_pending = |record: &&ExitRecord| self.model.coin(record.output_id).is_exit_of(record);
        let exiting: BTreeMap<OutputId, &ExitRecord> =
            self.records.values().filter(is_pending).map(|record| (record.output_id, record)).collect();
        for record in exiting.values() {
            bonds += U256::from(parameters.exit_bond);
            *pending.entry((record.output.asset, record.key)).or_default() += 1;
        }
        for exit in names.transactions.iter().filter_map(|&tx_hash| self.model.in_flight_exit(tx_hash)) {
            let held = 1 + u64::from(exit.challenger.is_some());
            bonds += U256::from(parameters.in_flight_bond) * U256::from(held);
            bonds += parameters.bond_of_piece(exit.data.inputs.len()) * U256::from(exit.live_pieces.len());
            for piece in exit.live_pieces.iter() {
                let (_, coin) =
                    exit.coin(piece).ok_or_else(|| Disagreement("a live piece without a coin".to_owned()))?;
                *pending.entry((coin.asset, exit.key)).or_default() += 1;
            }
        }
        let claims =
            names.claims.iter().filter_map(|&(number, position)| self.model.missing_claim(number, position)?.open);
        bonds += U256::from(parameters.missing_bond) * U256::from(claims.count());
        let OperatorBond { fault_part, receipt_part } = self.model.operator_bond();
        bonds += U256::from(fault_part) + U256::from(receipt_part);
        for &number in &names.numbers {
            let waiting = self.model.conviction(number).into_iter().chain(self.model.slashed_receipt(number));
            bonds += waiting.map(|conviction| U256::from(conviction.reward)).sum::<U256>();
        }
        for &asset in &names.assets {
            let credits: U256 = names.accounts.iter().map(|&account| self.model.claimable(account, asset)).sum();
            let owed = U256::from(self.model.owed(asset).unwrap_or(0));
            let bonds = if asset == ETHER { bonds } else { U256::ZERO };
            let denied = self.money.denied.get(&asset).copied().unwrap_or_default();
            let stranded = self.money.stranded.get(&asset).copied().unwrap_or_default();
            let held = self.money.held(asset, self.evm.contract);
            if held + denied != owed + credits + bonds + stranded {
                let parts = format!(
                    "{held} held + {denied} denied, {owed} owed + {credits} credited + {bonds} bonds + {stranded} stranded"
                );
                return Err(Disagreement(format!("value of {asset} is not conserved: {parts}")));
            }
            let keys = self.model.exit_keys(asset).into_iter().flat_map(|keys| keys.iter());
            for (key, count) in keys {
                if pending.remove(&(asset, key)).unwrap_or(0) != count {
                    return Err(Disagreement(format!("the list of {asset} counts {count} under {key}")));
                }
            }
        }
        if pending.is_empty() { Ok(()) } else { Err(Disagreement(format!("not counted in any list: {pending:?}"))) }
    }

    /// A freeze time never changes.
    fn check_freezes(&mut self, names: &Names) -> Result<(), Disagreement> {
        for &coin in &names.coins {
            let freeze = match self.model.coin(coin).standing() {
                Standing::Unknown | Standing::Deposited => None,
                Standing::Settled { freeze } => Some(freeze),
            };
            let before = self.freezes.get(&coin).copied();
            if before.is_some() && before != freeze {
                return Err(Disagreement(format!("the freeze of {coin} changes from {before:?} to {freeze:?}")));
            }
            if let Some(freeze) = freeze {
                self.freezes.insert(coin, freeze);
            }
        }
        Ok(())
    }

    fn names(&self) -> Names {
        Names {
            accounts: (0..ACCOUNTS).map(|number| self.account(number)).collect(),
            assets: (0..ASSETS).map(|number| self.asset(number)).collect(),
            coins: self.chain.coins().map(|(_, id, _)| id).collect(),
            transactions: self.chain.transactions.values().map(|signed| signed.tx_hash).collect(),
            announcements: self.announcements.iter().copied().collect(),
            // Receipts may be for blocks to come.
            numbers: (0..self.model.head().next_number + NUMBERS_AHEAD).filter_map(BlockNumber::new).collect(),
            claims: self.claims.values().copied().collect(),
        }
    }
}
