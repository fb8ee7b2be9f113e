//! Claims that a tree lacks a coin, answers to them, and withdrawals once the chain has ended.

use plasmid_exit_game::exit::contract::OpenClaim;
use plasmid_exit_game::exit::standard::Standing;
use plasmid_exit_game::position::{BlockNumber, Position};
use rand::RngExt;

use super::{Choices, one_in};
use crate::action::{Action, CoinRef, Label};
use crate::evm::PERIODS;
use crate::world::World;

impl Choices<'_> {
    pub(super) fn unspent_trees(&mut self) {
        self.claims();
        self.ends_of_claims();
        self.withdrawals();
    }

    /// Claims mostly a coin that a tree lacks, be it spent or left out; now and then one that it holds, or a later one.
    fn claims(&mut self) {
        let world = self.world;
        let first_void = world.model.head().halt.map_or(u64::MAX, |halt| halt.from.get());
        let young = |number: &u64| {
            let block = world.chain.block(*number).filter(|_| *number < first_void);
            block.is_some_and(|block| self.at < PERIODS.end_of_claims(block.header.timestamp))
        };
        let blocks: Vec<u64> = (1..world.model.head().next_number).filter(|number| young(number)).collect();
        let any = self.random.random_range(0..world.model.head().next_number);
        let block = self.pick(&blocks).filter(|_| !one_in(self.random, 12)).unwrap_or(any);
        let Some(unspent) = world.chain.block(block).map(|block| &block.unspent) else { return };
        let (place, wei, by) = (self.random.random(), self.wei(), self.person());
        let coins = world.chain.coins().map(|(coin, _, _)| coin);
        let coins: Vec<_> = coins.filter(|&coin| world.chain.places_of(coin) != 0 || one_in(self.random, 20)).collect();
        let is_held = |coin: &CoinRef| unspent.membership(world.chain.position(*coin, place).bits()).is_some();
        let is_left_out = |coin: &CoinRef| !is_held(coin) && world.spends_until(block, *coin).is_none();
        let left_out: Vec<_> = coins.iter().copied().filter(is_left_out).collect();
        let from = if left_out.is_empty() || one_in(self.random, 3) { &coins } else { &left_out };
        if let Some(coin) = self.pick(from) {
            self.add(if blocks.is_empty() { 1 } else { 10 }, Action::ClaimMissing { by, block, coin, place, wei });
        }
    }

    fn ends_of_claims(&mut self) {
        let world = self.world;
        let all: Vec<Label> = world.claims.keys().copied().collect();
        let open: Vec<Label> = open_claims(world).map(|(claim, ..)| claim).collect();
        let from = if open.is_empty() || one_in(self.random, 10) { &all } else { &open };
        let Some(claim) = self.pick(from) else { return };
        let by = self.anybody();
        let (number, position) = world.claims[&claim];
        let state = world.model.missing_claim(number, position).and_then(|claim| claim.open);
        let is_late = state.is_some_and(|open| self.at >= PERIODS.end_of_answers(open.claimed_at));
        let block = world.chain.block(number.get());
        let is_held = block.is_some_and(|block| block.unspent.membership(position.bits()).is_some());
        let often = |likely: bool| if likely { 8 } else { 1 };
        self.add(often(is_held && !is_late), Action::AnswerMissing { by, claim });
        let coin = world.coin_at(position).unwrap_or(CoinRef { made_by: 0, output: 0 });
        let spend = world.spends_until(number.get(), coin);
        let any = world.chain.transactions.keys().copied().collect::<Vec<_>>();
        let any = self.pick(&any).map(|spend| (spend, self.random.random()));
        if let Some((spend, place)) = spend.filter(|_| !one_in(self.random, 5)).or(any) {
            self.add(often(!is_late), Action::AnswerMissingSpent { by, claim, coin, spend, place });
        }
        self.add(if is_late { 16 } else { 2 }, Action::ConvictMissing { by, claim });
        let is_void = world.model.head().halt.is_some_and(|halt| halt.from <= number);
        let end = block.map_or(0, |block| PERIODS.end_of_convictions(block.header.timestamp));
        self.add(often(is_void || self.at >= end), Action::ReclaimMissing { by, claim });
    }

    /// Withdraws what the last good tree holds, and deposits that it does not cover.
    fn withdrawals(&mut self) {
        let world = self.world;
        let head = *world.model.head();
        let ended = head.halt.map(|halt| halt.at).max(head.closed_at);
        let is_settling = ended.is_some_and(|ended| self.at >= PERIODS.start_of_settlement(ended));
        let last = head.halt.map_or(head.next_number, |halt| halt.from.get()) - 1;
        let any = self.random.random_range(0..head.next_number);
        let block = if one_in(self.random, 8) { any } else { last };
        let unspent = world.chain.block(block).map(|block| &block.unspent);
        let place = self.random.random();
        let is_open = |id| !matches!(world.model.coin(id).standing(), Standing::Settled { .. });
        let is_held = |coin: CoinRef| {
            let position = world.chain.position(coin, place).bits();
            unspent.is_some_and(|unspent| unspent.membership(position).is_some())
        };
        let all: Vec<_> = world.chain.coins().filter(|(coin, _, _)| world.chain.places_of(*coin) != 0).collect();
        let open: Vec<_> = all.iter().filter(|&&(coin, id, _)| is_open(id) && is_held(coin)).copied().collect();
        let from = if open.is_empty() || one_in(self.random, 8) { &all } else { &open };
        let weight = if is_settling { 16 } else { 1 };
        if let Some((coin, id, output)) = self.pick(from) {
            let assigned = world.model.payee(id).filter(|_| world.model.coin(id).is_assigned());
            let by = self.number(assigned.unwrap_or(output.owner));
            self.add(weight, Action::WithdrawSettled { by, block, coin, place });
        }
        let covered = world.chain.block(block).map_or(0, |block| block.header.deposit_count);
        let deposits = world.chain.deposits.iter().filter(|(_, deposit)| deposit.nonce >= covered);
        let deposits: Vec<_> = deposits.map(|(&label, deposit)| (label, *deposit)).collect();
        let all: Vec<_> = world.chain.deposits.iter().map(|(&label, deposit)| (label, *deposit)).collect();
        let from = if deposits.is_empty() || one_in(self.random, 8) { &all } else { &deposits };
        if let Some((deposit, made)) = self.pick(from) {
            let id = made.output_id();
            let assigned = world.model.payee(id).filter(|_| world.model.coin(id).is_assigned());
            let by = self.number(assigned.unwrap_or(made.output.owner));
            self.add(weight.min(8), Action::WithdrawDeposit { by, block, deposit });
        }
    }
}

/// Returns the claims that can be answered or convict, with what they are about.
pub(crate) fn open_claims(world: &World) -> impl Iterator<Item = (Label, BlockNumber, Position, OpenClaim)> {
    world.claims.iter().filter_map(|(&label, &(number, position))| {
        Some((label, number, position, world.model.missing_claim(number, position)?.open?))
    })
}
