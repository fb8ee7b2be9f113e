//! The next step of a random sequence: mostly possible, often at the edge of a period, now and then spoilt.

mod faults;
mod in_flight;
mod ledger;
mod unspent;

use alloy_primitives::Address;
use plasmid_exit_game::exit::contract::OpenExit;
use plasmid_exit_game::exit::standard::{ExitRecord, Standing};
use plasmid_exit_game::output::OutputId;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

pub(crate) use self::unspent::open_claims;
use crate::action::{Action, CoinRef, Label, Step};
use crate::chain::Signed;
use crate::evm::{MEP, OPERATOR, PEOPLE, PERIODS};
use crate::world::{ACCOUNTS, ASSETS, CONTRACT, World};

/// Returns a step that the world can take next.
pub(crate) fn next(random: &mut StdRng, world: &World, id: Label) -> Step {
    let at = world.now + wait(random, world);
    let mut choices = Choices { random, world, at, weighted: Vec::new() };
    choices.ledger();
    choices.standard_exits();
    choices.in_flight_exits();
    choices.payments();
    choices.faults();
    choices.operations();
    choices.unspent_trees();
    choices.surroundings();
    let (random, weighted) = (choices.random, choices.weighted);
    let (_, mut action) =
        weighted.choose_weighted(random, |(weight, _)| *weight).expect("a deposit is always possible").clone();
    if one_in(random, 25) {
        distort(random, &mut action);
    }
    let spoil = one_in(random, 12).then(|| (random.random(), random.random()));
    Step { id, at, action, spoil }
}

/// Time goes in small steps, and to the edges of periods.
fn wait(random: &mut StdRng, world: &World) -> u64 {
    if !one_in(random, 3) {
        return if random.random() { 0 } else { random.random_range(1..4) };
    }
    let half = PERIODS.end_of_first_half(0);
    let exits = open_exits(world).flat_map(|(_, _, exit)| {
        let freeze = PERIODS.freeze_of_in_flight_input(exit.start);
        let end = exit.start + half;
        [freeze - 1, freeze, freeze + 1, end - 1, end, exit.key - 1, exit.key]
    });
    let keys = pending(world).flat_map(|(_, record)| [record.key - 1, record.key]);
    let sunset = world.model.head().last_timestamp + PERIODS.sunset;
    let unlocked = world.model.head().closed_at.map(|closed_at| PERIODS.end_of_convictions(closed_at));
    let ends = if one_in(random, 20) { [sunset - 1, sunset].to_vec() } else { Vec::new() };
    let ends = ends.into_iter().chain(unlocked.into_iter().flat_map(|end| [end - 1, end]));
    let claims = open_claims(world).flat_map(|(_, number, _, claim)| {
        let answers = PERIODS.end_of_answers(claim.claimed_at);
        let block = world.chain.block(number.get()).map(|block| PERIODS.end_of_convictions(block.header.timestamp));
        [answers].into_iter().chain(block).flat_map(|end| [end - 1, end])
    });
    let young = world.chain.blocks.last().map(|block| PERIODS.end_of_claims(block.header.timestamp));
    let ended = world.model.head().halt.map(|halt| halt.at).max(world.model.head().closed_at);
    let settled = ended.map(|ended| PERIODS.start_of_settlement(ended));
    let trees = young.into_iter().chain(settled).flat_map(|end| [end - 1, end]).chain(claims);
    let mut edges: Vec<u64> = exits.chain(keys).chain(ends).chain(trees).filter(|&edge| edge > world.now).collect();
    edges.sort_unstable();
    edges.dedup();
    edges.truncate(3);
    let edge = edges.choose(random).map(|edge| edge - world.now);
    edge.unwrap_or_else(|| random.random_range(0..MEP / 4))
}

/// What could be done, each with a weight.
struct Choices<'a> {
    random: &'a mut StdRng,
    world: &'a World,
    /// When it will be done, in seconds.
    at: u64,
    weighted: Vec<(u32, Action)>,
}

impl Choices<'_> {
    fn add(&mut self, weight: u32, action: Action) {
        self.weighted.push((weight, action));
    }

    fn person(&mut self) -> u8 {
        self.random.random_range(0..PEOPLE)
    }

    /// Anybody: a person or the operator.
    fn anybody(&mut self) -> u8 {
        self.random.random_range(0..=OPERATOR)
    }

    fn pick<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        things.choose(self.random).cloned()
    }

    fn number(&self, account: Address) -> u8 {
        self.world.number_of(account).unwrap_or(0)
    }

    /// A hint for a list: none, the right one, a listed key, or nonsense.
    fn hint(&mut self, asset: Address) -> u64 {
        let listed: Vec<u64> =
            self.world.model.exit_keys(asset).into_iter().flat_map(|keys| keys.iter()).map(|(key, _)| key).collect();
        match self.random.random_range(0..4) {
            0 => 0,
            1 => self.random.random_range(0..self.at + 2 * MEP),
            _ => self.pick(&listed).unwrap_or(0),
        }
    }

    /// Mostly the bond.
    fn wei(&mut self) -> i64 {
        if one_in(self.random, 30) { self.random.random_range(-3..=3) } else { 0 }
    }

    fn standard_exits(&mut self) {
        let world = self.world;
        let is_free = |id: OutputId| {
            let coin = world.model.coin(id);
            coin.exit().is_none() && !matches!(coin.standing(), Standing::Settled { .. })
        };
        let provable = |coin: &CoinRef| world.chain.places_of(*coin) != 0;
        let all: Vec<_> = world.chain.coins().collect();
        let free: Vec<_> = all.iter().filter(|(coin, id, _)| provable(coin) && is_free(*id)).copied().collect();
        let from = if free.is_empty() || one_in(self.random, 10) { &all } else { &free };
        if let Some((coin, _, made)) = self.pick(from) {
            let (by, place, hint, wei) =
                (self.number(made.owner), self.random.random(), self.hint(made.asset), self.wei());
            self.add(7, Action::StartStandard { by, coin, place, hint, wei });
        }
        let records: Vec<(Label, ExitRecord)> = pending(world).collect();
        if let Some((exit, record)) = self.pick(&records) {
            let spends = |signed: &Signed| signed.body.inputs().contains(&record.output_id);
            let spends: Vec<_> =
                world.chain.transactions.iter().filter(|(_, signed)| spends(signed)).map(|(&label, _)| label).collect();
            let any: Vec<_> = world.chain.transactions.keys().copied().collect();
            let (weight, from) = if spends.is_empty() { (1, &any) } else { (4, &spends) };
            if let Some(spend) = self.pick(from) {
                let by = self.anybody();
                self.add(weight, Action::ChallengeStandard { by, exit, spend });
            }
            let owner = self.number(world.model.payee(record.output_id).unwrap_or(record.output.owner));
            let payee = self.random.random_range(0..ACCOUNTS);
            self.add(2, Action::Assign { by: owner, exit, payee });
        }
        let ended: Vec<Label> = world.records.keys().copied().collect();
        if let (Some(exit), Some(&spend)) = (self.pick(&ended), world.chain.transactions.keys().next()) {
            let (by, payee) = (self.anybody(), self.person());
            self.add(1, Action::Assign { by, exit, payee });
            self.add(1, Action::ChallengeStandard { by, exit, spend });
        }
    }

    fn payments(&mut self) {
        let world = self.world;
        let mut asset = self.random.random_range(0..ASSETS);
        let due = |asset: u8| {
            let keys = world.model.exit_keys(world.asset(asset));
            keys.and_then(|keys| keys.payable(self.at))
        };
        let due_asset = (0..ASSETS).map(|next| (asset + next) % ASSETS).find(|&asset| due(asset).is_some());
        asset = due_asset.unwrap_or(asset);
        let mut exits: Vec<(u64, Label)> = pending(world).map(|(label, record)| (record.key, label)).collect();
        let mut pieces: Vec<(u64, (Label, u32))> = open_exits(world)
            .filter(|(_, _, exit)| !exit.live_pieces.is_empty())
            .map(|(tx, _, exit)| (exit.key, (tx, exit.live_pieces.bits())))
            .collect();
        if one_in(self.random, 5) {
            exits.shuffle(self.random);
            pieces.shuffle(self.random);
        } else {
            exits.sort_unstable();
            pieces.sort_unstable();
        }
        exits.truncate(self.random.random_range(0..6));
        pieces.truncate(self.random.random_range(0..5));
        if one_in(self.random, 4) {
            pieces.iter_mut().for_each(|(_, (_, bits))| *bits &= self.random.random::<u32>());
        }
        if one_in(self.random, 8) {
            exits.extend(world.records.iter().next().map(|(&label, record)| (record.key, label)));
        }
        let by = self.anybody();
        let exits = exits.into_iter().map(|(_, label)| label).collect();
        let pieces = pieces.into_iter().map(|(_, piece)| piece).collect();
        self.add(if due_asset.is_some() { 40 } else { 1 }, Action::Process { by, asset, exits, pieces });

        let credits: Vec<(u8, u8)> = (0..=OPERATOR)
            .flat_map(|by| (0..ASSETS).map(move |asset| (by, asset)))
            .filter(|&(by, asset)| !world.model.claimable(world.account(by), world.asset(asset)).is_zero())
            .collect();
        let to = self.random.random_range(0..ACCOUNTS);
        match self.pick(&credits) {
            Some((by, asset)) => self.add(6, Action::Claim { by, asset, to }),
            None if one_in(self.random, 6) => self.add(1, Action::Claim { by, asset, to }),
            None => {}
        }
    }

    fn surroundings(&mut self) {
        let who = self.person();
        // Half of the time back to what does no harm.
        let (how, blocked) = if self.random.random() { (0, false) } else { (self.random.random_range(0..9), true) };
        let token = self.random.random_range(0..2);
        self.add(2, Action::Behave { who, how: how % 5 });
        self.add(2, Action::TokenBehave { token, how });
        self.add(1, Action::TokenBlocks { token, who, blocked });
    }
}

/// Lets another account act, or names another thing.
fn distort(random: &mut StdRng, action: &mut Action) {
    let anybody = random.random_range(0..=OPERATOR);
    match action {
        Action::Deposit { by, .. }
        | Action::Block { by, .. }
        | Action::StartStandard { by, .. }
        | Action::ChallengeStandard { by, .. }
        | Action::Assign { by, .. }
        | Action::Process { by, .. }
        | Action::Claim { by, .. }
        | Action::StartInFlight { by, .. }
        | Action::Improve { by, .. }
        | Action::Piggyback { by, .. }
        | Action::ChallengeCanonicity { by, .. }
        | Action::Respond { by, .. }
        | Action::ChallengePiece { by, .. }
        | Action::Close { by, .. }
        | Action::Announce { by, .. }
        | Action::Prove { by, .. }
        | Action::FundBond { by, .. }
        | Action::WithdrawBond { by, .. }
        | Action::ProposeOperator { by, .. }
        | Action::AcceptOperator { by, .. }
        | Action::CloseChain { by }
        | Action::ClaimMissing { by, .. }
        | Action::AnswerMissing { by, .. }
        | Action::AnswerMissingSpent { by, .. }
        | Action::ConvictMissing { by, .. }
        | Action::ReclaimMissing { by, .. }
        | Action::WithdrawSettled { by, .. }
        | Action::WithdrawDeposit { by, .. } => *by = anybody,
        Action::Sign { outputs, .. } => {
            if let Some(output) = outputs.first_mut() {
                output.0 = CONTRACT;
            }
        }
        Action::Blocks { .. } | Action::Behave { .. } | Action::TokenBehave { .. } | Action::TokenBlocks { .. } => {}
    }
}

/// Returns the open in-flight exits.
pub(crate) fn open_exits(world: &World) -> impl Iterator<Item = (Label, &Signed, &OpenExit)> {
    let transactions = world.chain.transactions.iter();
    transactions.filter_map(|(&label, signed)| Some((label, signed, world.model.in_flight_exit(signed.tx_hash)?)))
}

/// Returns the pending standard exits.
pub(crate) fn pending(world: &World) -> impl Iterator<Item = (Label, ExitRecord)> {
    let is_pending = |record: &ExitRecord| world.model.coin(record.output_id).is_exit_of(record);
    world.records.iter().filter(move |(_, record)| is_pending(record)).map(|(&label, &record)| (label, record))
}

fn one_in(random: &mut StdRng, n: u32) -> bool {
    random.random_range(0..n) == 0
}
