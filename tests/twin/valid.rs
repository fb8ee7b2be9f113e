//! Valid chains under accusation: whatever a random accuser shows, no prover convicts a block of one, and every claim that a
//! tree lacks a coin is answered.
//!
//! | variable | what it sets |
//! | --- | --- |
//! | `PLASMID_VALID_CHAINS` | how many chains, 400 by default |
//! | `PLASMID_VALID_SEED` | the seed of the first; random by default, and printed |

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::ledger::{Ledger, RecoveredTransaction};
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::transaction::PlacedTransaction;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::action::{Accusation, Action, CoinRef, Evidence, Flaw, Kind, Label, Step};
use crate::evm::{CHAIN_ID, Evm, OPERATOR, PEOPLE};
use crate::generate;
use crate::world::{ASSETS, CONTRACT, Taken, World};
use crate::{artifacts, number};

const CHAINS: u64 = 400;
/// Steps of a chain, of which most are deposits, blocks, exits and time.
const STEPS: u32 = 40;
/// Payments that are made for each block, beside those that are signed anyway.
const PAYMENTS: u32 = 2;
/// The first label of theirs.
const PAYMENT_LABELS: Label = 1 << 16;
/// The first label of claims.
const CLAIM_LABELS: Label = 1 << 24;
/// Leaves and inputs that an accuser names; few, so that they mostly exist.
const LEAVES: u32 = 4;
const INPUTS: u8 = 2;

/// How often evidence was refused, by rule: such as the chain has it, and such as was tampered with. Of claims (R9), how often
/// one was answered, and one refused.
#[derive(Default)]
struct Refused {
    blocks: u64,
    transactions: u64,
    by_rule: BTreeMap<Rule, [u64; 2]>,
}

#[test]
fn no_prover_convicts_a_block_of_a_valid_chain() {
    let evm = Evm::deploy(&artifacts());
    let chains = number("PLASMID_VALID_CHAINS").unwrap_or(CHAINS);
    let seed = number("PLASMID_VALID_SEED").unwrap_or_else(|| rand::rng().random_range(0..1 << 48));
    println!("fault-matrix: seed {seed}, {chains} valid chains");
    let (next, all) = (AtomicU64::new(0), Mutex::new(Refused::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= chains {
                        return;
                    }
                    let refused = Trial::new(&evm, seed + index).run();
                    all.lock().expect("no trial panics under the lock").add(&refused);
                }
            });
        }
    });
    let Refused { blocks, transactions, by_rule } = all.into_inner().expect("no trial panics");
    for (rule, [true_data, tampered]) in &by_rule {
        println!("fault-matrix: {rule} spares valid blocks {true_data} times, refuses bad evidence {tampered} times");
        assert!(*true_data > 0 && *tampered > 0, "{rule} was not tried from both sides");
    }
    assert_eq!(by_rule.len(), 9, "every rule is tried");
    println!("fault-matrix: {chains} valid chains of {blocks} blocks and {transactions} transactions, 0 convicted");
}

impl Refused {
    fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.transactions += other.transactions;
        for (&rule, counts) in &other.by_rule {
            let sums = self.by_rule.entry(rule).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
}

/// One chain and its accuser.
struct Trial {
    seed: u64,
    random: StdRng,
    world: World,
    /// What the blocks so far made and spent.
    ledger: Ledger,
    covered: u64,
    steps: Label,
    payments: Label,
    claims: Label,
    refused: Refused,
}

impl Trial {
    fn new(evm: &Evm, seed: u64) -> Self {
        Self {
            seed,
            random: StdRng::seed_from_u64(seed),
            world: World::new(evm),
            ledger: Ledger::default(),
            covered: 0,
            steps: 0,
            payments: PAYMENT_LABELS,
            claims: CLAIM_LABELS,
            refused: Refused::default(),
        }
    }

    fn run(mut self) -> Refused {
        while self.steps < STEPS {
            let step = generate::next(&mut self.random, &self.world, self.steps);
            self.steps += 1;
            match step.action {
                Action::Block { by, mut txs, uncovered, .. } => {
                    txs.extend((0..PAYMENTS).map(|_| self.pay(step.at)));
                    self.block(step.id, step.at, by, &txs, uncovered);
                }
                // A chain that has come to its end is accused of nothing new.
                Action::Blocks { .. }
                | Action::CloseChain { .. }
                | Action::Prove { .. }
                | Action::Announce { .. }
                | Action::ClaimMissing { .. } => {}
                _ => drop(self.take(&step)),
            }
            if !self.world.chain.blocks.is_empty() {
                self.accuse(step.at);
                self.claim(step.at);
            }
        }
        self.refused
    }

    /// Signs a payment over one or two coins of an owner, and returns its label; `None` if nobody has any.
    fn pay(&mut self, at: u64) -> Option<Label> {
        let is_unspent = |(coin, id, _): &(CoinRef, _, _)| {
            let known = self.ledger.coin(*id).map(|coin| coin.spender.is_none());
            known.unwrap_or_else(|| self.world.chain.deposits.contains_key(&coin.made_by))
        };
        let coins: Vec<_> = self.world.chain.coins().filter(is_unspent).collect();
        let &(first, _, made) = coins.choose(&mut self.random)?;
        let signer = self.world.number_of(made.owner).filter(|&signer| signer <= OPERATOR)?;
        let asset = (0..ASSETS).find(|&asset| self.world.asset(asset) == made.asset)?;
        let others = coins
            .iter()
            .filter(|(coin, _, other)| *coin != first && (other.owner, other.asset) == (made.owner, made.asset));
        let others: Vec<_> = others.copied().collect();
        let other = others.choose(&mut self.random).filter(|_| self.random.random());
        let amount = other.map_or(Some(made.amount), |(_, _, other)| made.amount.checked_add(other.amount))?;
        let inputs = [first].into_iter().chain(other.map(|&(coin, _, _)| coin)).collect();
        let (to, change) = (self.random.random_range(0..PEOPLE), self.random.random_range(0..amount));
        let outputs = [(to, asset, amount - change), (signer, asset, change)];
        let outputs = outputs.into_iter().filter(|(_, _, amount)| *amount != 0).collect();
        self.payments += 1;
        let memo = self.random.random();
        let action = Action::Sign { signer, inputs, outputs, memo };
        self.take(&Step { id: self.payments, at, action, spoil: None });
        Some(self.payments)
    }

    /// Commits those of the transactions that are valid, in places that are.
    fn block(&mut self, id: Label, at: u64, by: u8, txs: &[Option<Label>], uncovered: u64) {
        let head = *self.world.model.head();
        let timestamp = at.max(self.world.now);
        let deposit_count = head.next_nonce.saturating_sub(uncovered).max(head.deposit_count);
        let mut ledger = self.ledger.clone();
        let deposits = self.world.chain.deposits.values();
        deposits.filter(|deposit| (self.covered..deposit_count).contains(&deposit.nonce)).for_each(|deposit| {
            ledger.cover(deposit);
        });
        let mut kept: Vec<Option<Label>> = Vec::new();
        for label in txs {
            let index = TxIndex::new(kept.len() as u32).expect("few leaves");
            let place = Place { block: BlockNumber::new(head.next_number).expect("few blocks"), index };
            let tried: Vec<_> = kept.iter().copied().chain([*label]).collect();
            let recovered = self.leaf(head.next_number, &tried);
            let is_valid = recovered.as_ref().is_some_and(|recovered| {
                let inputs = recovered.transaction.body.inputs();
                let is_frozen = |id| self.world.game.freeze_of(id).is_some_and(|freeze| freeze < timestamp);
                ledger.check_transaction(place, recovered).is_ok() && !inputs.iter().any(|&id| is_frozen(id))
            });
            if let Some(recovered) = recovered.filter(|_| is_valid) {
                ledger.apply_transaction(place, &recovered);
            }
            kept.push(label.filter(|_| is_valid));
        }
        let transactions = kept.iter().flatten().count() as u64;
        let action = Action::Block { by, txs: kept, uncovered, flaw: Flaw::None, lie: None, crooks: Vec::new() };
        if self.take(&Step { id, at, action, spoil: None }) == Taken::Accepted {
            (self.ledger, self.covered) = (ledger, deposit_count);
            self.refused.blocks += 1;
            self.refused.transactions += transactions;
        }
    }

    /// Returns the last of these transactions as it would stand in a block of them.
    fn leaf(&self, number: u64, txs: &[Option<Label>]) -> Option<RecoveredTransaction> {
        let leaves = self.world.chain.leaves(number, txs, &[]);
        let (body, witness) = leaves.get(txs.len() - 1)?.preimage.as_ref()?;
        let placed = PlacedTransaction::decode(body, witness).ok()?;
        Some(RecoveredTransaction::recover(placed, &self.domain()))
    }

    fn domain(&self) -> Domain {
        Domain { chain_id: CHAIN_ID, contract: self.world.account(CONTRACT) }
    }

    /// Shows every kind of evidence twice: as the chain has it, and tampered with; now and then announced before, by whoever.
    fn accuse(&mut self, at: u64) {
        for kind in Kind::ALL {
            // Keys of trees are there to be shown at every step, and leaves are not.
            let is_of_tree = matches!(kind, Kind::HeldSpent | Kind::HeldNotMade | Kind::HeldNotDeposited);
            if is_of_tree && self.random.random_range(0..3) != 0 {
                continue;
            }
            for tampered in [false, true] {
                let blocks = self.world.chain.blocks.len() as u64;
                let mut place = || (self.random.random_range(0..blocks), self.random.random_range(0..LEAVES));
                let (place, other) = (place(), place());
                let input = self.random.random_range(0..INPUTS);
                let nth = self.random.random();
                let accusation = Accusation { kind, place, input, other, nth };
                let Some(proof) = self.world.proof(&accusation) else { continue };
                let spoil = tampered.then(|| (self.random.random(), self.random.random()));
                let (by, accuser) = (self.random.random_range(0..=OPERATOR), self.random.random_range(0..PEOPLE));
                let what = Evidence::Fault(accusation);
                if self.random.random_range(0..16) == 0 {
                    self.act(at, Action::Announce { by, accuser, what: what.clone() }, spoil);
                }
                let taken = self.act(at, Action::Prove { by, what }, spoil);
                assert_eq!(taken, Taken::Refused, "seed {}: a valid block is convicted: {proof:?}", self.seed);
                self.refused.by_rule.entry(proof.rule()).or_default()[usize::from(tampered)] += 1;
            }
        }
    }

    /// Claims coins missing from blocks that hold them, or that spent them, and answers what is taken.
    fn claim(&mut self, at: u64) {
        let blocks = self.world.chain.blocks.len() as u64;
        let made = self.world.chain.coins().map(|(coin, _, _)| coin);
        let coins: Vec<_> = made.filter(|&coin| self.world.chain.places_of(coin) != 0).collect();
        let Some(&coin) = coins.choose(&mut self.random) else { return };
        let (by, place, wei) = (self.random.random_range(0..PEOPLE), self.random.random(), 0);
        // Mostly young blocks: only those can be claimed to lack a coin.
        let block = blocks - self.random.random_range(0..blocks).min(self.random.random_range(0..blocks));
        let tampered = self.random.random_range(0..4) == 0;
        let spoil = tampered.then(|| (self.random.random(), self.random.random()));
        let claim = self.claims;
        self.claims += 1;
        let action = Action::ClaimMissing { by, block, coin, place, wei };
        let taken = self.take(&Step { id: claim, at, action, spoil });
        if taken == Taken::Accepted {
            self.answer(at, claim);
        }
        let [answered, refused] = self.refused.by_rule.entry(Rule::R9).or_default();
        *(if taken == Taken::Accepted { answered } else { refused }) += 1;
    }

    /// Answers a claim by the coin's membership, or by its spend; it convicts no more then.
    fn answer(&mut self, at: u64, claim: Label) {
        let by = OPERATOR;
        let (number, position) = self.world.claims[&claim];
        let coin = self.world.coin_at(position).expect("a coin that was made");
        let answer = match self.world.spends_until(number.get(), coin) {
            None => Action::AnswerMissing { by, claim },
            Some((spend, place)) => Action::AnswerMissingSpent { by, claim, coin, spend, place },
        };
        let taken = self.act(at, answer, None);
        assert_eq!(taken, Taken::Accepted, "seed {}: a valid block has no answer to claim {claim}", self.seed);
        let taken = self.act(at, Action::ConvictMissing { by, claim }, None);
        assert_eq!(taken, Taken::Refused, "seed {}: a valid block is convicted by claim {claim}", self.seed);
    }

    fn act(&mut self, at: u64, action: Action, spoil: Option<(u32, u32)>) -> Taken {
        self.take(&Step { id: self.steps, at, action, spoil })
    }

    fn take(&mut self, step: &Step) -> Taken {
        let taken = self.world.take(step);
        taken.unwrap_or_else(|disagreement| panic!("seed {}: {}", self.seed, disagreement.0))
    }
}
