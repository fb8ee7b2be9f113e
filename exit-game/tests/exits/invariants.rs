//! What holds whatever anybody does, in any order. §4, §5.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use plasmid_exit_game::exit::contract::Revert;
use plasmid_exit_game::exit::standard::{ExitRecord, Standing};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_exit_game::transaction::PlacedTransaction;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::{BOND, BOUNTY, Coin, MEP, PERIODS, TOKEN, World, address, output};

const NAMES: [&str; 4] = ["alice", "bob", "carol", "operator"];
const ASSETS: [Address; 2] = [ETHER, TOKEN];

#[derive(Debug, Clone)]
enum Move {
    Deposit {
        owner: usize,
        asset: usize,
        amount: u128,
    },
    /// A block with one transaction over a coin; nobody checks what it makes.
    Pay {
        coin: Index,
        to: usize,
        asset: usize,
        amount: u128,
    },
    Start {
        coin: Index,
        caller: Option<usize>,
    },
    Challenge {
        record: Index,
        spend: Index,
        caller: usize,
    },
    Assign {
        record: Index,
        caller: usize,
        payee: usize,
    },
    Process {
        asset: usize,
        records: Vec<Index>,
        caller: usize,
    },
    Claim {
        asset: usize,
        caller: usize,
        to: usize,
    },
    Refuse {
        who: usize,
        asset: usize,
    },
    Accept {
        who: usize,
        asset: usize,
    },
    Halt {
        number: u64,
    },
    Wait {
        secs: u64,
    },
}

fn any_move() -> impl Strategy<Value = Move> {
    let (who, asset) = (0..NAMES.len(), 0..ASSETS.len());
    let amount = prop_oneof![1..1_000u128, Just(u128::MAX)];
    prop_oneof![
        3 => (who.clone(), asset.clone(), 1..1_000u128)
            .prop_map(|(owner, asset, amount)| Move::Deposit { owner, asset, amount }),
        3 => (any::<Index>(), who.clone(), asset.clone(), amount)
            .prop_map(|(coin, to, asset, amount)| Move::Pay { coin, to, asset, amount }),
        5 => (any::<Index>(), prop::option::weighted(0.1, who.clone()))
            .prop_map(|(coin, caller)| Move::Start { coin, caller }),
        2 => (any::<Index>(), any::<Index>(), who.clone())
            .prop_map(|(record, spend, caller)| Move::Challenge { record, spend, caller }),
        1 => (any::<Index>(), who.clone(), who.clone())
            .prop_map(|(record, caller, payee)| Move::Assign { record, caller, payee }),
        4 => (asset.clone(), prop::collection::vec(any::<Index>(), 0..6), who.clone())
            .prop_map(|(asset, records, caller)| Move::Process { asset, records, caller }),
        1 => (asset.clone(), who.clone(), who.clone()).prop_map(|(asset, caller, to)| Move::Claim { asset, caller, to }),
        1 => (who.clone(), asset.clone()).prop_map(|(who, asset)| Move::Refuse { who, asset }),
        1 => (who, asset).prop_map(|(who, asset)| Move::Accept { who, asset }),
        1 => (1..12u64).prop_map(|number| Move::Halt { number }),
        4 => prop_oneof![1..10u64, MEP / 2..2 * MEP].prop_map(|secs| Move::Wait { secs }),
    ]
}

/// A world with all that was ever made in it, so that moves can refer to what is over, too.
struct Play {
    world: World,
    coins: Vec<Coin>,
    spends: Vec<PlacedTransaction>,
    records: Vec<ExitRecord>,
    pending: BTreeMap<OutputId, ExitRecord>,
    settled: BTreeMap<OutputId, u64>,
    /// The largest key paid in each asset.
    paid_key: BTreeMap<Address, u64>,
}

impl Play {
    fn new() -> Self {
        Self {
            world: World::new(),
            coins: Vec::new(),
            spends: Vec::new(),
            records: Vec::new(),
            pending: BTreeMap::new(),
            settled: BTreeMap::new(),
            paid_key: BTreeMap::new(),
        }
    }

    /// Makes the move if there is what it refers to, and checks what came of it.
    fn make(&mut self, step: Move) {
        let before = self.world.contract.clone();
        match self.try_make(step) {
            Ok(events) => events.iter().for_each(|event| self.note(event)),
            Err(_) => assert_eq!(self.world.contract, before, "a call that is refused changes nothing"),
        }
        self.check();
    }

    fn try_make(&mut self, step: Move) -> Result<Vec<RootEvent>, Revert> {
        let stopped = self.world.contract.head().halt.is_some();
        match step {
            Move::Deposit { owner, asset, amount } if !stopped => {
                self.coins.push(self.world.deposit(NAMES[owner], ASSETS[asset], amount));
            }
            Move::Pay { coin, to, asset, amount } if !stopped && !self.coins.is_empty() => {
                let coin = coin.get(&self.coins);
                let owner = owner_of(coin);
                let tx = self.world.sign(owner, &[coin], vec![output(NAMES[to], ASSETS[asset], amount)]);
                // The same transaction again would make the same coins.
                if !self.spends.contains(&tx) {
                    self.coins.extend(self.world.commit(std::slice::from_ref(&tx)).remove(0));
                    self.spends.push(tx);
                }
            }
            Move::Start { coin, caller } if !self.coins.is_empty() => {
                let coin = coin.get(&self.coins);
                let record = self.world.start(caller.map_or(owner_of(coin), |caller| NAMES[caller]), coin)?;
                assert!(record.key > self.world.now, "new keys are after now");
                self.records.push(record);
                self.pending.insert(record.output_id, record);
            }
            Move::Challenge { record, spend, caller } if !self.records.is_empty() && !self.spends.is_empty() => {
                let (record, spend) = (record.get(&self.records), spend.get(&self.spends));
                return self.world.challenge(NAMES[caller], record, spend);
            }
            Move::Assign { record, caller, payee } if !self.records.is_empty() => {
                return self.world.assign(NAMES[caller], record.get(&self.records), NAMES[payee]);
            }
            Move::Process { asset, records, caller } if !self.records.is_empty() => {
                let records: Vec<ExitRecord> = records.iter().map(|record| *record.get(&self.records)).collect();
                return Ok(self.world.process(NAMES[caller], ASSETS[asset], &records));
            }
            Move::Claim { asset, caller, to } => {
                return self.world.claim(NAMES[caller], ASSETS[asset], address(NAMES[to]));
            }
            Move::Refuse { who, asset } => self.world.refuse(NAMES[who], ASSETS[asset]),
            Move::Accept { who, asset } => {
                self.world.money.refusing.remove(&(address(NAMES[who]), ASSETS[asset]));
            }
            Move::Halt { number } if number < self.world.contract.head().next_number => {
                self.world.halt(number)?;
            }
            Move::Wait { secs } => self.world.now += secs,
            Move::Deposit { .. }
            | Move::Pay { .. }
            | Move::Start { .. }
            | Move::Challenge { .. }
            | Move::Assign { .. }
            | Move::Process { .. }
            | Move::Halt { .. } => {}
        }
        Ok(Vec::new())
    }

    /// Follows the events as a watcher would.
    fn note(&mut self, event: &RootEvent) {
        match event {
            RootEvent::ExitPaid { output_id, amount, paid, .. } => {
                let record = self.pending.remove(output_id).expect("only a pending exit is paid");
                assert!(record.key <= self.world.now && paid <= amount && *amount == record.output.amount);
                let last_key = self.paid_key.insert(record.output.asset, record.key);
                assert!(last_key.is_none_or(|last| last <= record.key), "older coins leave first");
                let freeze = PERIODS.freeze_of_standard_exit(record.key);
                assert_eq!(self.settled.insert(*output_id, freeze), None, "no coin is paid twice");
            }
            RootEvent::ExitReturned { output_id, .. } | RootEvent::StandardExitChallenged { output_id, .. } => {
                assert!(self.pending.remove(output_id).is_some());
            }
            _ => {}
        }
    }

    fn check(&self) {
        let contract = &self.world.contract;
        for asset in ASSETS {
            let credits: U256 = NAMES.iter().map(|name| contract.claimable(address(name), asset)).sum();
            let bonds = if asset == ETHER { self.pending.len() as u128 * BOND + self.world.at_stake() } else { 0 };
            let held = self.world.money.vault.get(&asset).copied().unwrap_or_default();
            let owed = contract.owed(asset).unwrap_or(0);
            assert_eq!(held, U256::from(owed) + credits + U256::from(bonds), "value is conserved");

            let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
            let of_asset = self.pending.values().filter(|record| record.output.asset == asset);
            of_asset.for_each(|record| *counts.entry(record.key).or_default() += 1);
            let listed = contract.exit_keys(asset).into_iter().flat_map(|keys| keys.iter());
            let listed: BTreeMap<u64, u32> = listed.filter(|&(_, count)| count != 0).collect();
            assert_eq!(listed, counts, "the list counts the pending exits");
        }
        for coin in &self.coins {
            let word = contract.coin(coin.id);
            assert_eq!(word.exit().is_some(), self.pending.contains_key(&coin.id));
            assert!(self.pending.get(&coin.id).is_none_or(|record| word.is_exit_of(record)));
            let freeze = self.settled.get(&coin.id).copied();
            assert_eq!(
                freeze,
                match word.standing() {
                    Standing::Unknown | Standing::Deposited => None,
                    Standing::Settled { freeze } => Some(freeze),
                }
            );
        }
    }

    /// Processes everything that is pending, long after.
    fn drain(&mut self) {
        self.world.now += 10 * MEP;
        for asset in ASSETS {
            let mut records: Vec<ExitRecord> = self.pending.values().copied().collect();
            records.sort_by_key(|record| record.key);
            self.world.process("anyone", asset, &records).iter().for_each(|event| self.note(event));
            let left = self.world.contract.exit_keys(asset).map_or(0, |keys| keys.iter().count());
            assert_eq!(left, 0, "the list drains");
        }
        assert!(self.pending.is_empty());
        self.check();
    }
}

fn owner_of(coin: &Coin) -> &'static str {
    NAMES.into_iter().find(|name| address(name) == coin.output.owner).expect("all coins are these accounts'")
}

/// A coin's life on the child chain before somebody mints: a deposit, paid on so many times.
#[derive(Debug, Clone)]
struct HonestCoin {
    amount: u128,
    hops: usize,
    start_before_last: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn value_is_conserved_no_coin_is_paid_twice_and_the_lists_drain(moves in prop::collection::vec(any_move(), 1..80)) {
        let mut play = Play::new();
        moves.into_iter().for_each(|step| play.make(step));
        play.drain();
    }

    /// The claim of §4, in money: whatever the operator mints, who leaves in time is paid in full.
    #[test]
    fn whoever_leaves_in_time_is_paid_in_full(
        honest in prop::collection::vec(
            (1..1_000u128, 0..4usize, 0..MEP - 4).prop_map(|(amount, hops, start_before_last)| {
                HonestCoin { amount, hops, start_before_last }
            }),
            1..8,
        ),
        minted in prop::collection::vec((1..5_000u128, 0..3 * MEP), 1..8),
    ) {
        let mut world = World::new();
        let mut coins = Vec::new();
        for HonestCoin { amount, hops, .. } in &honest {
            let mut coin = world.deposit("alice", ETHER, *amount);
            for _ in 0..*hops {
                let tx = world.sign("alice", &[&coin], vec![output("alice", ETHER, *amount)]);
                coin = world.commit(&[tx]).remove(0).remove(0);
            }
            coins.push(coin);
        }
        let bait = world.deposit("thief", ETHER, 1);
        let outputs = minted.iter().map(|&(amount, _)| output("thief", ETHER, amount)).collect();
        let mint = world.sign("thief", &[&bait], outputs);
        let stolen = world.commit(&[mint]).remove(0);

        // Everybody starts at a time of their own, the honest ones before T + MEP − G.
        let bad_at = world.now;
        let last = bad_at + MEP - PERIODS.granularity() - 1;
        let honest_starts = coins.iter().zip(&honest).map(|(coin, h)| (last - h.start_before_last, "alice", coin));
        let thefts = stolen.iter().zip(&minted).map(|(coin, &(_, after))| (bad_at + after, "thief", coin));
        let mut starts: Vec<_> = honest_starts.chain(thefts).collect();
        starts.sort_by_key(|&(at, name, coin)| (at, name, coin.id));
        let mut records = Vec::new();
        for (at, name, coin) in starts {
            world.now = at;
            records.push(world.start(name, coin).unwrap());
        }
        world.now += 4 * MEP;
        records.sort_by_key(|record| record.key);
        let paid_short: BTreeSet<OutputId> = world
            .process("anyone", ETHER, &records)
            .into_iter()
            .filter_map(|event| match event {
                RootEvent::ExitPaid { output_id, amount, paid, .. } if paid < amount => Some(output_id),
                _ => None,
            })
            .collect();
        prop_assert!(coins.iter().all(|coin| !paid_short.contains(&coin.id)));
        let deposited: u128 = honest.iter().map(|coin| coin.amount).sum();
        prop_assert_eq!(world.received("alice", ETHER), deposited + honest.len() as u128 * (BOND - BOUNTY));
    }
}
