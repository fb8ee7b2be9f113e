//! A root chain that forks, with the contract's model on it and a judge who applies every block that lands.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{Address, B256, U256, keccak256};
use plasmid_exit_game::exit::contract::{Anchor, Call, Contract, Parameters, PaymentOutcome, Submission};
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::{ExitRecord, Standing};
use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_exit_game::ledger::{BlockVerdict, Leaf, Ledger, RecoveredTransaction};
use plasmid_exit_game::output::{Deposit, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::UtxoTree;
use plasmid_node::chain::SealedBlock;
use plasmid_operator::journal::Intent;
use plasmid_operator::sequencer::Rules;

use crate::in_flight::InFlightAct;
use crate::people::Person;

pub(crate) const DOMAIN: Domain = Domain { chain_id: 1, contract: Address::repeat_byte(0xcc) };
pub(crate) const OPERATOR: Address = Address::repeat_byte(0x0e);
pub(crate) const BOND: u128 = 10;
/// An operator whose key stays, with a bond of which nothing is ever slashed.
pub(crate) fn rules() -> Rules {
    Rules {
        block_txs_max: 1 << 20,
        idle_interval_secs: 200,
        deployed_at: 1_000,
        key: OPERATOR,
        first_key: OPERATOR,
        slashes_wei: (0, 0),
    }
}

/// How far back the contract sees an anchor. §2.
const ANCHOR_BLOCKS_MAX: usize = 256;

/// What stands at one root block.
#[derive(Clone)]
pub(crate) struct State {
    pub block: RootBlock,
    pub contract: Contract,
    /// The operator's account's nonce.
    pub nonce: u64,
    pub deposits: Vec<Deposit>,
    pub exits: BTreeMap<OutputId, ExitRecord>,
    /// What is open.
    pub in_flight: BTreeMap<TxHash, SignedTransaction>,
    pub landed: Vec<SealedBlock>,
    pub judge: Ledger,
    tree: UtxoTree,
}

/// What the world does in a root block.
pub(crate) enum Act {
    Deposit(Address, u128),
    Submit(Intent),
    StartExit(OutputId),
    Challenge(OutputId, RecoveredTransaction),
    Process,
    InFlight(InFlightAct),
}

/// The branch that counts now, from the deployment's block on.
pub(crate) struct Root {
    pub branch: Vec<State>,
    /// What each block that was ever signed for holds.
    pub contents: HashMap<(BlockNumber, B256, B256), Vec<Leaf>>,
    pub people: Vec<Person>,
    made: u64,
}

impl Root {
    pub(crate) fn new(periods: Periods, people: &[Person]) -> Self {
        let parameters = Parameters {
            operator: OPERATOR,
            periods,
            exit_bond: BOND,
            exit_bounty: 1,
            in_flight_bond: BOND,
            piece_bond: BOND,
            piece_bond_per_input: 0,
            piece_bounty: 1,
            piece_bounty_per_input: 0,
            fault_slash: 0,
            receipt_slash: 0,
            missing_bond: 0,
        };
        let contract = Contract::deploy(parameters, 0, DOMAIN, 1_000).unwrap();
        let at = RootRef { number: 0, hash: keccak256([0]) };
        let block = RootBlock { at, parent: B256::ZERO, timestamp: 1_000, events: Vec::new() };
        let state = State {
            block,
            contract,
            nonce: 0,
            deposits: Vec::new(),
            exits: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            landed: Vec::new(),
            judge: Ledger::default(),
            tree: UtxoTree::default(),
        };
        Self { branch: vec![state], contents: HashMap::new(), people: people.to_vec(), made: 0 }
    }

    pub(crate) fn head(&self) -> &State {
        self.branch.last().unwrap()
    }

    /// Takes back the last `depth` blocks.
    pub(crate) fn fork(&mut self, depth: usize) {
        let kept = self.branch.len().saturating_sub(depth).max(1);
        self.branch.truncate(kept);
    }

    /// Makes a block `secs` after the last one.
    pub(crate) fn mine(&mut self, secs: u64, acts: Vec<Act>) {
        let mut state = self.head().clone();
        let (number, timestamp) = (state.block.at.number + 1, state.block.timestamp + secs);
        self.made += 1;
        let at = RootRef { number, hash: keccak256(self.made.to_be_bytes()) };
        state.block = RootBlock { at, parent: state.block.at.hash, timestamp, events: Vec::new() };
        for act in acts {
            let events = self.apply(&mut state, act, timestamp);
            state.block.events.extend(events);
        }
        self.branch.push(state);
    }

    fn apply(&self, state: &mut State, act: Act, now: u64) -> Vec<RootEvent> {
        let mut pay = |_| PaymentOutcome::Received;
        let (bond, root_block) = (U256::from(BOND), state.block.at.number);
        match act {
            Act::Deposit(owner, amount) => {
                let events = state.contract.deposit(U256::from(amount), owner).unwrap();
                state.deposits.extend(events.iter().filter_map(|event| match event {
                    RootEvent::Deposited(deposit) => Some(*deposit),
                    _ => None,
                }));
                events
            }
            Act::Submit(intent) => self.submit(state, &intent, now),
            Act::StartExit(id) => {
                let Some(coin) = state.judge.coin(id).copied() else {
                    let Some(deposit) = state.deposits.iter().find(|deposit| deposit.output_id() == id) else {
                        return Vec::new();
                    };
                    return start_of_deposit(&mut state.contract, deposit, (now, root_block), bond, &mut state.exits);
                };
                let call = Call { caller: coin.output.owner, now, root_block };
                let events = match coin.position.kind() {
                    PositionKind::Deposit(nonce) => {
                        let deposit = Deposit { nonce, output: coin.output };
                        return start_of_deposit(
                            &mut state.contract,
                            &deposit,
                            (now, root_block),
                            bond,
                            &mut state.exits,
                        );
                    }
                    PositionKind::Output(place, index) => {
                        let (body, proof) = self.inclusion(state, place);
                        state.contract.start_standard_exit(call, bond, &body.encode(), index, &proof)
                    }
                };
                remember(events.unwrap_or_default(), &mut state.exits)
            }
            Act::Challenge(id, spend) => {
                let Some(record) = state.exits.get(&id).copied() else { return Vec::new() };
                let body = &spend.transaction.body;
                let key = &self.people.iter().find(|person| person.address == record.output.owner).unwrap().key;
                let signature = Signature::sign(key, body.signing_hash(&DOMAIN)).encode();
                let call = Call { caller: Address::repeat_byte(0xee), now, root_block };
                let events =
                    state.contract.challenge_standard_exit(call, &record, &body.encode(), &signature, &mut pay);
                state.exits.remove(&id);
                events.unwrap()
            }
            Act::Process => {
                let mut records: Vec<_> = state.exits.values().copied().collect();
                records.sort_by_key(|record| record.key);
                let call = Call { caller: Address::repeat_byte(0xee), now, root_block };
                let mut all = Vec::new();
                for record in records.iter().filter(|record| record.key <= now) {
                    let events = state.contract.process_exits(call, record.output.asset, &[*record], &[], &mut pay);
                    if !events.is_empty() {
                        state.exits.remove(&record.output_id);
                    }
                    all.extend(events);
                }
                all
            }
            Act::InFlight(act) => self.apply_in_flight(state, act, now),
        }
    }

    /// Lands a submission if the contract takes it, and has the judge apply its block.
    fn submit(&self, state: &mut State, intent: &Intent, now: u64) -> Vec<RootEvent> {
        assert_eq!(intent.nonce, state.nonce);
        state.nonce += 1;
        let SealedBlock { number, tx_root, utxo_root, tx_count, deposit_count } = intent.block;
        let known = self.branch.iter().rev().take(ANCHOR_BLOCKS_MAX).any(|state| state.block.at == intent.anchor);
        let anchor = if known { Anchor::Known } else { Anchor::Unknown(intent.anchor) };
        let not_after = intent.not_after;
        let number = number.get();
        let submission = Submission { number, tx_root, utxo_root, tx_count, deposit_count, anchor, not_after };
        let call = Call { caller: OPERATOR, now, root_block: state.block.at.number };
        let Ok(events) = state.contract.submit_block(call, &submission) else { return Vec::new() };

        let header = match &events[..] {
            [RootEvent::BlockSubmitted(header)] => *header,
            events => panic!("{events:?}"),
        };
        let leaves = &self.contents[&key(&intent.block)];
        let before = state.landed.last().map_or(0, |block| block.deposit_count) as usize;
        let covered = &state.deposits[before..deposit_count as usize];
        let mut judge = std::mem::take(&mut state.judge);
        let verdict = judge.apply_block(&header, leaves, covered, &state.tree, |id| state.freeze_of(id));
        state.judge = judge;
        match verdict {
            BlockVerdict::Valid { tree } => state.tree = tree,
            verdict => panic!("an invalid block landed at {now}: {verdict:?} {intent:?}"),
        }
        state.landed.push(intent.block);
        events
    }

    pub(crate) fn header(&self, state: &State, number: BlockNumber) -> plasmid_exit_game::block::Header {
        let blocks = self.branch.iter().map(|state| &state.block).chain([&state.block]);
        let headers = blocks.flat_map(|block| &block.events).filter_map(|event| match event {
            RootEvent::BlockSubmitted(header) => Some(*header),
            _ => None,
        });
        let mut of_number = headers.filter(|header| header.number == number);
        of_number.next().expect("a landed block has a header")
    }
}

impl State {
    /// Every coin that could exit now: made in a landed block, or deposited.
    pub(crate) fn coins(&self) -> Vec<OutputId> {
        let made = self.judge.coins().map(|(id, _)| id);
        made.chain(self.deposits.iter().map(Deposit::output_id)).collect()
    }

    /// Until when a coin may be spent, as the contract's words and the records tell. §3.1.
    fn freeze_of(&self, id: OutputId) -> Option<u64> {
        let periods = self.contract.parameters().periods;
        match self.contract.coin(id).standing() {
            Standing::Settled { freeze } => Some(freeze),
            Standing::Unknown | Standing::Deposited => {
                let pending = self.exits.get(&id).map(|record| periods.freeze_of_standard_exit(record.key));
                pending.into_iter().chain(self.freeze_in_flight(id)).min()
            }
        }
    }
}

fn start_of_deposit(
    contract: &mut Contract,
    deposit: &Deposit,
    (now, root_block): (u64, u64),
    bond: U256,
    exits: &mut BTreeMap<OutputId, ExitRecord>,
) -> Vec<RootEvent> {
    let call = Call { caller: deposit.output.owner, now, root_block };
    let output = deposit.output;
    let events = contract.start_standard_exit_of_deposit(call, bond, deposit.nonce, output.asset, output.amount);
    remember(events.unwrap_or_default(), exits)
}

fn remember(events: Vec<RootEvent>, exits: &mut BTreeMap<OutputId, ExitRecord>) -> Vec<RootEvent> {
    for event in &events {
        if let RootEvent::StandardExitStarted(record) = event {
            exits.insert(record.output_id, *record);
        }
    }
    events
}

pub(crate) fn key(block: &SealedBlock) -> (BlockNumber, B256, B256) {
    (block.number, block.tx_root, block.utxo_root)
}

pub(crate) fn leaf_hash(leaf: &Leaf) -> B256 {
    leaf.transaction().map_or(tx_tree::EMPTY_LEAF, RecoveredTransaction::leaf)
}
