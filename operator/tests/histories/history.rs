//! One random history: users, root chain and operator in any order, with checks at every step.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::{Address, B256};
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::ledger::{Leaf, RecoveredTransaction};
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::archive::Archive;
use plasmid_node::chain::Chain;
use plasmid_operator::admission::Admitted;
use plasmid_operator::committer::{AccountState, Decision};
use plasmid_operator::in_flight::shown_in_exits;
use plasmid_operator::journal::{Intent, Record};
use plasmid_operator::operator::{Operator, RootView};
use plasmid_operator::sequencer::{Outcome, ReplayError, Rules, Stop};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::in_flight::InFlightAct;
use crate::people::{Person, people};
use crate::root::{Act, Root, key, leaf_hash, rules};

const HEAD: RootView = RootView::Head { blind_secs: 0 };

/// What happened in one history, or in many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) dropped: u64,
    pub landed: u64,
    pub signed: u64,
    pub other_roots: u64,
    pub exits: u64,
    pub in_flight_exits: u64,
    pub shown_in_exits: u64,
    pub reorganisations: u64,
    pub restarts: u64,
    pub stopped_reorganised: u64,
}

/// How deep reorganisations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    UpToFinality,
    BeyondFinality,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.dropped += other.dropped;
        self.landed += other.landed;
        self.signed += other.signed;
        self.other_roots += other.other_roots;
        self.exits += other.exits;
        self.in_flight_exits += other.in_flight_exits;
        self.shown_in_exits += other.shown_in_exits;
        self.reorganisations += other.reorganisations;
        self.restarts += other.restarts;
        self.stopped_reorganised += other.stopped_reorganised;
    }
}

/// How lively a history is; each has its own.
struct Temper {
    /// How likely the next submission gets into a root block.
    inclusion: f64,
    /// How likely the root chain makes a long pause.
    pause: f64,
    /// How likely somebody starts an exit in a root block.
    exit: f64,
    /// How likely somebody starts an in-flight exit.
    in_flight: f64,
    /// How likely a reorganisation brings back the deposits that it takes.
    return_: f64,
    /// Whether final blocks leave memory. (A sync each: not in every history.)
    does_archive: bool,
}

pub(crate) struct History {
    temper: Temper,
    rng: StdRng,
    root: Root,
    people: Vec<Person>,
    archive: Archive,
    /// Final blocks up to this one are in the archive.
    archived: BlockNumber,
    periods: Periods,
    finality_depth: u64,
    depth: Depth,
    rules: Rules,
    operator: Operator,
    chain: Chain,
    /// How many root blocks of the branch the operator has seen, by their hashes.
    seen: Vec<B256>,
    log: Vec<Record>,
    /// How many of the log's records are applied: not all while the root chain lacks covered deposits.
    applied: usize,
    /// Everything ever signed, whether or not anybody has it.
    signed: Vec<Intent>,
    /// What the root chain's nodes have.
    pool: Vec<Intent>,
    /// First answers: where each acknowledged transaction stands, its leaf and its promise.
    answers: HashMap<TxHash, (Place, B256, u64)>,
    dropped: BTreeSet<Place>,
    spends: BTreeMap<OutputId, RecoveredTransaction>,
    memo: u64,
    /// It found a block of another branch on the root chain, and has ended.
    is_stopped: bool,
    pub counts: Counts,
}

impl History {
    pub(crate) fn new(seed: u64, depth: Depth, archive: &Archive) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let finality_depth = rng.random_range(1..=4);
        // F is 100 s at least: twice the finality depth times the longest usual distance of blocks.
        let periods = Periods { minimum_exit_period: 8 * rng.random_range(100..=200), sunset: 100_000 };
        let block_txs_max = if rng.random_bool(0.3) { rng.random_range(1..=4) } else { 1 << 20 };
        let idle_interval_secs = periods.minimum_exit_period / 4;
        let rules = Rules { block_txs_max, idle_interval_secs, ..rules() };
        let people = people();
        let mut one_of = |choices: [f64; 3]| choices[rng.random_range(0..3)];
        let temper = Temper {
            inclusion: one_of([0.1, 0.4, 0.8]),
            pause: one_of([0.01, 0.05, 0.2]),
            exit: one_of([0.02, 0.15, 0.4]),
            in_flight: one_of([0.0, 0.1, 0.3]),
            return_: one_of([0.3, 0.7, 1.0]),
            does_archive: depth == Depth::BeyondFinality && rng.random_bool(0.2),
        };
        let mut history = Self {
            temper,
            rng,
            root: Root::new(periods, &people),
            people,
            archive: archive.clone(),
            archived: BlockNumber::ZERO,
            periods,
            finality_depth,
            depth,
            rules,
            operator: Operator::new(rules, finality_depth),
            chain: Chain::new(periods, finality_depth, archive.clone()),
            seen: Vec::new(),
            log: Vec::new(),
            applied: 0,
            signed: Vec::new(),
            pool: Vec::new(),
            answers: HashMap::new(),
            dropped: BTreeSet::new(),
            spends: BTreeMap::new(),
            memo: 0,
            is_stopped: false,
            counts: Counts::default(),
        };
        history.follow();
        history
    }

    /// Lives through `steps` random steps and an end in which everything settles.
    pub(crate) fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.is_stopped {
                break;
            }
            let can_decide = self.applied == self.log.len();
            match self.rng.random_range(0..100) {
                56..96 if !can_decide => {}
                0..30 => self.mine(),
                30..36 => self.reorganise(),
                36..56 => self.follow(),
                56..74 => self.request(),
                74..80 => self.tick(),
                80..87 => self.seal(),
                87..96 => self.submit(),
                _ => self.restart(),
            }
        }
        self.settle();
        self.check_promises();
    }

    /// A root block with any of the transactions that wait.
    fn mine(&mut self) {
        let secs = match self.rng.random_bool(self.temper.pause) {
            true => self.rng.random_range(1..=self.periods.minimum_exit_period / 3),
            false => self.rng.random_range(1..=12),
        };
        let mut acts = Vec::new();
        if self.rng.random_bool(0.3) {
            acts.push(Act::Deposit(self.anybody(), self.rng.random_range(1..1_000)));
        }
        self.plan_exits(&mut acts);
        self.plan_in_flight(&mut acts);
        self.plan_submissions(&mut acts, self.temper.inclusion);
        // Exits and submissions of one block come in any order.
        for i in (1..acts.len()).rev() {
            let is_submission = |act: &Act| matches!(act, Act::Submit(_));
            let j = self.rng.random_range(0..=i);
            if !is_submission(&acts[i]) || !is_submission(&acts[j]) {
                continue;
            }
            acts.swap(i, j);
        }
        sort_submissions(&mut acts);
        self.root.mine(secs, acts);
    }

    fn plan_exits(&mut self, acts: &mut Vec<Act>) {
        if self.rng.random_bool(self.temper.exit) {
            let coins = self.root.head().coins();
            if !coins.is_empty() {
                let coin = coins[self.rng.random_range(0..coins.len())];
                self.counts.exits += 1;
                acts.push(Act::StartExit(coin));
            }
        }
        let exiting: Vec<OutputId> = self.root.head().exits.keys().copied().collect();
        for id in exiting {
            if let Some(spend) = self.spends.get(&id).filter(|_| self.rng.random_bool(0.1)) {
                acts.push(Act::Challenge(id, spend.clone()));
            }
        }
        if self.rng.random_bool(0.2) {
            acts.push(Act::Process);
        }
    }

    /// In-flight exits of what was accepted, of what competes with it, and of what the operator never saw.
    fn plan_in_flight(&mut self, acts: &mut Vec<Act>) {
        if self.rng.random_bool(self.temper.in_flight) {
            let body = match self.rng.random_bool(0.4) && !self.spends.is_empty() {
                true => {
                    let known = self.spends.values().nth(self.rng.random_range(0..self.spends.len()));
                    known.map(|known| known.transaction.body.clone())
                }
                false => self.payment().map(|payment| payment.body),
            };
            acts.extend(body.map(|body| Act::InFlight(InFlightAct::Start(body))));
        }
        let open: Vec<_> =
            self.root.head().in_flight.iter().map(|(hash, signed)| (*hash, signed.body.clone())).collect();
        for (tx_hash, body) in open {
            let index = self.rng.random_range(0..body.outputs().len()) as u8;
            let spend =
                self.spends.get(&OutputId::of_output(tx_hash, index)).map(|spend| spend.transaction.body.clone());
            let act = match (self.rng.random_range(0..20), spend) {
                (0..4, _) => InFlightAct::Piggyback(tx_hash, index),
                (4..8, Some(spend)) => InFlightAct::ChallengeOutput(tx_hash, index, spend),
                (8..10, _) => InFlightAct::Process(tx_hash),
                (10..12, _) => InFlightAct::Close(tx_hash),
                _ => continue,
            };
            acts.push(Act::InFlight(act));
        }
    }

    /// Chooses for each nonce one of the transactions that the nodes have.
    fn plan_submissions(&mut self, acts: &mut Vec<Act>, likelihood: f64) {
        let mut nonce = self.root.head().nonce;
        while self.rng.random_bool(likelihood) {
            let with_nonce: Vec<Intent> = self.pool.iter().filter(|intent| intent.nonce == nonce).copied().collect();
            if with_nonce.is_empty() {
                return;
            }
            acts.push(Act::Submit(with_nonce[self.rng.random_range(0..with_nonce.len())]));
            nonce += 1;
        }
    }

    fn reorganise(&mut self) {
        let deepest = match self.depth {
            Depth::UpToFinality => self.finality_depth,
            Depth::BeyondFinality => self.finality_depth + 4,
        };
        let depth = self.rng.random_range(1..=deepest) as usize;
        if depth >= self.root.branch.len() || self.root.branch.len() < self.seen.len() {
            return;
        }
        let deposits = self.root.head().deposits.clone();
        self.root.fork(depth);
        self.counts.reorganisations += 1;
        let do_return = self.rng.random_bool(self.temper.return_);
        for _ in 0..=depth {
            // Lost deposits come back, the same ones, or others take their nonces.
            let kept = self.root.head().deposits.len();
            let back = deposits.iter().skip(kept).filter(|_| do_return && self.rng.random_bool(0.7));
            let mut acts: Vec<Act> =
                back.map(|deposit| Act::Deposit(deposit.output.owner, deposit.output.amount)).collect();
            self.plan_submissions(&mut acts, self.temper.inclusion);
            let secs = self.rng.random_range(1..=12);
            self.root.mine(secs, acts);
        }
    }

    /// The operator hears of the root chain as it is now.
    fn follow(&mut self) {
        let branch: Vec<_> = self.root.branch.iter().map(|state| state.block.clone()).collect();
        let common = self.seen.iter().zip(&branch).take_while(|(seen, block)| **seen == block.at.hash).count();
        for _ in common..self.seen.len() {
            self.chain.disconnect_root_block().expect("no reorganisation is so deep");
            self.chain.recall_uncommitted().unwrap();
            self.observe();
        }
        self.seen.truncate(common);
        for block in &branch[common..] {
            self.chain.connect_root_block(block).unwrap();
            self.seen.push(block.at.hash);
            self.observe();
        }
        self.counts.in_flight_exits += self.chain.game().in_flight_exits().count() as u64;
        if self.applied == self.log.len() {
            self.offer();
        }
    }

    /// The operator looks at what in-flight exits show.
    fn offer(&mut self) {
        let owner = |chain: &Chain, id| chain.ledger().coin(id).map(|coin| coin.output.owner);
        let shown = shown_in_exits(&self.chain).into_iter().map(|SignedTransaction { body, signature }| Admitted {
            hash: body.hash(),
            signer: owner(&self.chain, body.inputs()[0]),
            body,
            signature,
            is_paying: true,
        });
        let shown = shown.collect();
        self.counts.shown_in_exits += self.ask(shown);
    }

    fn observe(&mut self) {
        while let Some(record) = self.log.get(self.applied) {
            if let Err(error) = self.operator.replay(&mut self.chain, record) {
                assert_eq!(self.depth, Depth::BeyondFinality, "{error}");
                assert!(matches!(error, ReplayError::DepositsGone { .. }), "{error}");
                return;
            }
            self.applied += 1;
        }
        let records = self.operator.observe_root_chain(&mut self.chain);
        self.write(records);
    }

    fn request(&mut self) {
        let requests = (0..self.rng.random_range(1..=3)).filter_map(|_| self.payment()).collect::<Vec<_>>();
        self.ask(requests);
    }

    /// Has the operator decide, and returns how many it accepts.
    fn ask(&mut self, requests: Vec<Admitted>) -> u64 {
        let accepted_before = self.counts.accepted;
        let hashes: Vec<TxHash> = requests.iter().map(|request| request.hash).collect();
        let (records, outcomes) = self.operator.accept(&mut self.chain, requests, HEAD);
        let by: BTreeMap<BlockNumber, u64> = records.iter().filter_map(promise).collect();
        self.write(records);
        for (hash, outcome) in hashes.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Accepted(place) => {
                    self.check_no_exit(hash);
                    let stored = self.chain.transaction(hash).unwrap().read().unwrap();
                    let leaf = plasmid_exit_game::tx_tree::leaf(hash, stored.witness.hash());
                    let recovered = RecoveredTransaction { hash, signer: None, transaction: stored };
                    for &input in recovered.transaction.body.inputs() {
                        self.spends.insert(input, recovered.clone());
                    }
                    if let Some((before, ..)) = self.answers.insert(hash, (place, leaf, by[&place.block])) {
                        assert!(self.dropped.contains(&before), "accepted twice");
                    }
                    self.counts.accepted += 1;
                }
                Outcome::Repeated(place) => assert_eq!(self.answers[&hash].0, place, "another answer"),
                Outcome::Refused(_) => {}
            }
        }
        self.counts.accepted - accepted_before
    }

    /// Nothing is accepted that spends a coin which is leaving, or has left, at the head that the operator sees.
    fn check_no_exit(&self, hash: TxHash) {
        let seen = self.seen.last().and_then(|at| self.root.branch.iter().find(|state| state.block.at.hash == *at));
        let (Some(seen), Some(stored)) = (seen, self.chain.transaction(hash)) else { return };
        let (contract, now) = (&seen.contract, seen.block.timestamp);
        for input in stored.read().unwrap().body.inputs() {
            assert!(!seen.exits.contains_key(input), "accepted a spend of {input}, which is exiting");
            for exit in seen.in_flight.keys().filter_map(|tx_hash| contract.in_flight_exit(*tx_hash)) {
                let is_own = exit.transaction.hash() == hash && now <= exit.start + self.periods.freeze_delay() / 2;
                let is_locked = exit.data.inputs.iter().any(|locked| locked.output_id == *input);
                assert!(!is_locked || is_own, "accepted a spend of {input}, which an in-flight exit locks");
                let mut claimed = exit.live_pieces.iter().filter_map(|piece| exit.coin(piece));
                assert!(
                    is_locked || claimed.all(|(id, _)| id != *input),
                    "accepted a spend of {input}, which is claimed"
                );
            }
        }
    }

    /// A payment of one or two coins of one owner, or one sent before.
    fn payment(&mut self) -> Option<Admitted> {
        if self.rng.random_bool(0.1) && !self.spends.is_empty() {
            let old = self.spends.values().nth(self.rng.random_range(0..self.spends.len()))?.transaction.clone();
            let signer = self.chain.ledger().coin(old.body.inputs()[0]).map(|coin| coin.output.owner);
            let (hash, signature) = (old.body.hash(), old.witness.signature);
            return Some(Admitted { hash, body: old.body, signature, signer, is_paying: true });
        }
        let owner = self.anybody();
        let mut coins: Vec<_> = self.chain.ledger().coins().filter(|(_, coin)| coin.output.owner == owner).collect();
        if self.rng.random_bool(0.95) {
            coins.retain(|(_, coin)| coin.spender.is_none());
        }
        if coins.is_empty() {
            return None;
        }
        let mut inputs = BTreeMap::new();
        for _ in 0..self.rng.random_range(1..=2) {
            let (id, coin) = coins[self.rng.random_range(0..coins.len())];
            inputs.insert(id, coin.output);
        }
        let total: u128 = inputs.values().map(|output| output.amount).sum();
        let first = self.rng.random_range(1..=total);
        let outputs = [first, total - first].into_iter().filter(|&amount| amount != 0);
        let asset = inputs.values().next()?.asset;
        let outputs = outputs.collect::<Vec<_>>();
        let outputs = outputs.into_iter().map(|amount| Output { owner: self.anybody(), asset, amount }).collect();
        self.memo += 1;
        let memo = B256::left_padding_from(&self.memo.to_be_bytes());
        let body = Transaction::new(inputs.into_keys().collect(), outputs, memo).unwrap();
        let signature = Signature::decode([1; 64]).unwrap();
        Some(Admitted { hash: body.hash(), body, signature, signer: Some(owner), is_paying: true })
    }

    fn tick(&mut self) {
        let record = self.operator.close_if_due(&mut self.chain);
        self.write(record.into_iter().collect());
    }

    fn seal(&mut self) {
        while let Some(unsealed) = self.chain.next_unsealed() {
            assert!(self.chain.seal(unsealed.seal()));
        }
        if let Some(number) = self.chain.disagreement().filter(|&number| self.chain.sealed_block(number).is_some()) {
            // Beyond finality a submission may revive that was dead: then a person must decide.
            assert_eq!(self.depth, Depth::BeyondFinality, "the root chain has another block {number}");
            self.is_stopped = true;
        }
        if self.temper.does_archive {
            self.archive();
        }
    }

    /// The bodies of final blocks leave memory.
    fn archive(&mut self) {
        let last = self.chain.final_block();
        self.archived = self.archived.min(last);
        while let Some(number) = self.archived.next().filter(|&number| number <= last) {
            let Some(body) = self.chain.body(number) else { return };
            let bytes = body.bytes().unwrap();
            // What other histories have left there.
            self.archive.remove(number).unwrap();
            self.archive.write(number, &bytes).unwrap();
            self.chain.archived(number);
            self.archived = number;
        }
    }

    fn submit(&mut self) {
        let Some(&at) = self.seen.last() else { return };
        let nonce = self.root.branch[self.seen.len() - 1..].first().filter(|state| state.block.at.hash == at);
        let Some(nonce) = nonce.map(|state| state.nonce) else { return };
        let account = AccountState { at, nonce, max_fee_wei: 10, priority_fee_wei: 1 };
        let intent = match self.operator.decide(&self.chain, &account) {
            Decision::Wait(_) => return,
            Decision::Keep(intent) => {
                assert!(self.signed.contains(&intent), "kept but never signed");
                intent
            }
            Decision::Sign(intent) => {
                self.sign(intent);
                intent
            }
        };
        // Broadcasts get lost.
        if self.rng.random_bool(0.9) && !self.pool.contains(&intent) {
            self.pool.push(intent);
        }
    }

    fn sign(&mut self, intent: Intent) {
        self.write(vec![Record::Intended(intent)]);
        self.counts.signed += 1;
        let of_block = self.chain.uncommitted_transactions().filter(|(place, _)| place.block == intent.block.number);
        let mut leaves = vec![Leaf::Empty; intent.block.tx_count as usize];
        of_block.for_each(|(place, tx)| leaves[place.index.get() as usize] = Leaf::Transaction(tx.clone()));
        self.root.contents.insert(key(&intent.block), leaves);
        for earlier in &self.signed {
            if earlier.block.number == intent.block.number && earlier.block != intent.block {
                self.counts.other_roots += 1;
                if self.depth == Depth::UpToFinality {
                    assert!(!self.could_land(earlier), "two roots of one number could land: {earlier:?} {intent:?}");
                }
            }
        }
        self.signed.push(intent);
    }

    /// Whether a submission could land on this branch or on any that forks off within the finality depth.
    fn could_land(&self, intent: &Intent) -> bool {
        let branch = &self.root.branch;
        let first_fork = branch.len().saturating_sub(1 + self.finality_depth as usize);
        (first_fork..branch.len()).any(|last| {
            let on_it = &branch[..=last];
            let tip = &on_it[last];
            on_it.iter().any(|state| state.block.at == intent.anchor)
                && tip.block.timestamp < intent.not_after
                && (tip.landed.len() as u64) < intent.block.number.get()
        })
    }

    fn restart(&mut self) {
        self.counts.restarts += 1;
        // What was signed but not broadcast is so no more.
        self.operator = Operator::new(self.rules, self.finality_depth);
        self.chain = Chain::new(self.periods, self.finality_depth, self.archive.clone());
        self.archived = BlockNumber::ZERO;
        self.seen.clear();
        for state in &self.root.branch {
            self.chain.connect_root_block(&state.block).unwrap();
            self.seen.push(state.block.at.hash);
        }
        self.applied = 0;
        self.observe();
        if self.applied < self.log.len() {
            return;
        }
        for (&hash, &(place, ..)) in &self.answers {
            let expected = Some(place).filter(|place| !self.dropped.contains(place));
            assert_eq!(self.chain.place_of(hash), expected, "a restart changes an answer");
        }
    }

    /// Everything becomes calm: all that can be committed is.
    fn settle(&mut self) {
        for _ in 0..200 {
            if self.is_stopped {
                self.counts.stopped_reorganised += 1;
                return;
            }
            let mut acts = Vec::new();
            self.plan_submissions(&mut acts, 1.0);
            self.root.mine(5, acts);
            self.follow();
            if self.applied < self.log.len() {
                continue;
            }
            self.tick();
            self.seal();
            self.submit();
            let is_done = self.chain.uncommitted() == 0 && self.chain.final_block() == self.chain.game().last_block();
            if is_done {
                break;
            }
        }
        if self.applied < self.log.len() {
            self.counts.stopped_reorganised += 1;
            return;
        }
        let stop = self.operator.stop(&self.chain, HEAD);
        if stop == Some(Stop::RootChainReorganised) {
            assert_eq!(self.depth, Depth::BeyondFinality);
            self.counts.stopped_reorganised += 1;
            return;
        }
        assert_eq!(self.chain.uncommitted(), 0, "something accepted is never committed: {stop:?}");
    }

    /// Every promise is kept, or broken by a drop. (Beyond finality a submission may revive that was dead.)
    fn check_promises(&mut self) {
        let landed = &self.root.head().landed;
        self.counts.landed += landed.len() as u64;
        self.counts.dropped += self.dropped.len() as u64;
        if self.depth == Depth::BeyondFinality {
            return;
        }
        for &(place, leaf, _) in self.answers.values() {
            let Some(block) = landed.get(place.block.get() as usize - 1) else { continue };
            let leaves = &self.root.contents[&key(block)];
            let found = leaves.get(place.index.get() as usize).map(leaf_hash);
            if self.dropped.contains(&place) {
                assert!(found.is_none_or(|found| found.is_zero()), "dropped, but in the block");
            } else {
                assert_eq!(found, Some(leaf), "a promise is broken without a drop");
            }
        }
    }

    fn write(&mut self, records: Vec<Record>) {
        for record in &records {
            assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(record));
            if let Record::Dropped(places) = record {
                self.dropped.extend(places);
            }
        }
        self.log.extend(records);
        self.applied = self.log.len();
    }

    fn anybody(&mut self) -> Address {
        self.people[self.rng.random_range(0..self.people.len())].address
    }
}

fn promise(record: &Record) -> Option<(BlockNumber, u64)> {
    match record {
        Record::Accepted(batch) => Some((batch.number, batch.by)),
        Record::Covered(_) | Record::Closed(_) | Record::Dropped(_) | Record::Intended(_) => None,
    }
}

/// Puts submissions in the order of their nonces, wherever they stand among the others.
fn sort_submissions(acts: &mut [Act]) {
    let at: Vec<usize> = (0..acts.len()).filter(|&i| matches!(acts[i], Act::Submit(_))).collect();
    let mut intents: Vec<Intent> =
        at.iter().filter_map(|&i| if let Act::Submit(x) = &acts[i] { Some(*x) } else { None }).collect();
    intents.sort_by_key(|intent| intent.nonce);
    for (i, intent) in at.into_iter().zip(intents) {
        acts[i] = Act::Submit(intent);
    }
}
