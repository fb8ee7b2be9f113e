//! What was promised against what the root chain holds.

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::{B256, Bytes, U64};
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::{BlockNumber, Place, PositionKind};
use plasmid_exit_game::transaction::{Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_harness::load::{Payment, Seen};
use plasmid_harness::world::{PERIODS, World};
use plasmid_node::archive::items_of;
use plasmid_node::wire::Verdict;
use plasmid_operator::journal::{FaultPlan, Intent, Journal, Record};
use plasmid_operator::service::log_name;
use plasmid_root_chain::calls::Submission;
use serde_json::{Value, json};

/// What a test prints, and what must be zero of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    kills: u32,
    blocks: usize,
    acknowledged: usize,
    repeats: u64,
    failures: u64,
    late: usize,
    signed: usize,
    submissions: usize,
    /// Acknowledged, and not where that was promised.
    lost: Vec<Place>,
    /// In two places.
    doubled: Vec<TxHash>,
    /// Numbers with signed submissions of different content that could both land.
    two_roots: Vec<BlockNumber>,
    /// Repeats that were answered otherwise.
    different: Vec<String>,
    /// Payments refused without a reason.
    refused: Vec<String>,
    /// Receipts that can be slashed: the block came F after its promise.
    broken: Vec<Place>,
    /// Submissions on the root chain that were not in the log first.
    unlogged: usize,
    /// Blocks that the watcher does not find valid.
    not_valid: Vec<BlockNumber>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, blocks, acknowledged, repeats, failures, late, signed, submissions, unlogged, .. } = self;
        let [lost, doubled] = [self.lost.len(), self.doubled.len()];
        let [two_roots, not_valid] = [self.two_roots.len(), self.not_valid.len()];
        let [different, refused, broken] = [self.different.len(), self.refused.len(), self.broken.len()];
        write!(
            f,
            "kills {kills}, acknowledged {acknowledged}, lost {lost}, doubled {doubled}, two roots {two_roots}, "
        )?;
        write!(f, "different answers {different}; repeats {repeats}, unanswered {failures}, refused {refused}, ")?;
        write!(f, "blocks {blocks}, not valid {not_valid}, late {late}, broken receipts {broken}, ")?;
        write!(f, "submissions signed {signed}, landed {submissions}, not logged first {unlogged}")
    }
}

impl Counts {
    /// Compares what clients have seen with the committed blocks, their submissions and the operator's log. Everything is
    /// settled; the operator is ended on the way, for its log.
    pub(crate) async fn take(world: &mut World, kills: u32, seen: Seen) -> Self {
        let blocks = committed(world).await;
        let not_valid = not_valid(world, &blocks).await;
        let places = places(&blocks);
        world.kill_operator();
        let intents = intents(world);
        let (submissions, unlogged) = submissions(world, &intents).await;
        let is_kept = |payment: &&Payment| {
            let place = place(payment);
            let leaf = blocks.get(&place.block).and_then(|block| block.leaves.get(place.index.get() as usize));
            is_as_promised(payment) && leaf == Some(&payment.accepted.receipt.leaf)
        };
        let delay = |payment: &&Payment| {
            let committed_at = blocks.get(&place(payment).block).map_or(u64::MAX, |block| block.header.timestamp);
            committed_at.saturating_sub(payment.accepted.receipt.by)
        };
        let payments = || seen.payments.iter();
        Self {
            kills,
            acknowledged: seen.payments.len(),
            repeats: seen.repeats,
            failures: seen.failures,
            late: payments().filter(|payment| delay(payment) > 0).count(),
            broken: payments().filter(|payment| delay(payment) > PERIODS.freeze_delay()).map(place).collect(),
            lost: payments().filter(|payment| !is_kept(payment)).map(place).collect(),
            doubled: places.into_iter().filter(|(_, places)| places.len() > 1).map(|(hash, _)| hash).collect(),
            signed: intents.len(),
            two_roots: two_roots(world, &intents).await,
            different: seen.different,
            refused: seen.refusals,
            blocks: blocks.len(),
            submissions,
            unlogged,
            not_valid,
        }
    }

    /// Prints the counts and checks that nothing is among them that must not be.
    pub(crate) fn show(&self) {
        println!("faults: operator: {self}");
        let is_clean = self.lost.is_empty()
            && self.doubled.is_empty()
            && self.two_roots.is_empty()
            && self.different.is_empty()
            && self.refused.is_empty()
            && self.broken.is_empty()
            && self.not_valid.is_empty()
            && self.unlogged == 0;
        assert!(is_clean && self.acknowledged > 0 && self.submissions > 0, "{self:#?}");
    }
}

/// A committed block as the operator serves it, compared with its commitment.
struct Committed {
    header: Header,
    leaves: Vec<B256>,
    hashes: Vec<TxHash>,
}

/// Returns all committed blocks.
async fn committed(world: &World) -> BTreeMap<BlockNumber, Committed> {
    let operator = world.operator();
    let last = operator.status().await.expect("the operator answers").block.committed;
    let mut blocks = BTreeMap::new();
    for number in (1..=last.get()).filter_map(BlockNumber::new) {
        let header = operator.block(number).await.expect("the operator knows its blocks").header;
        let header = Header::from(header.expect("a committed block has a header"));
        let commitment = world.root.commitment(number).await.expect("the root chain answers");
        assert_eq!(commitment, Some(header.commitment()), "block {number}");
        let body = operator.body(number, 1 << 30).await.expect("the operator serves its bodies");
        let items = items_of(&body, header.tx_root, header.tx_count).expect("the body is the committed block's");
        let hash = |item: &BodyItem<'_>| match item {
            BodyItem::Preimage { body, .. } => Some(Transaction::decode(body).expect("a canonical body").hash()),
            BodyItem::Empty | BodyItem::Opaque(_) => None,
        };
        let (leaves, hashes) = (items.iter().map(BodyItem::leaf).collect(), items.iter().filter_map(hash).collect());
        blocks.insert(number, Committed { header, leaves, hashes });
    }
    blocks
}

/// Returns in which blocks each transaction stands.
fn places(blocks: &BTreeMap<BlockNumber, Committed>) -> BTreeMap<TxHash, Vec<BlockNumber>> {
    let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (&number, block) in blocks {
        block.hashes.iter().for_each(|&hash| places.entry(hash).or_default().push(number));
    }
    places
}

async fn not_valid(world: &World, blocks: &BTreeMap<BlockNumber, Committed>) -> Vec<BlockNumber> {
    let mut not_valid = Vec::new();
    for &number in blocks.keys() {
        if world.watcher().block(number).await.expect("the watcher knows the block").verdict != Verdict::Valid {
            not_valid.push(number);
        }
    }
    not_valid
}

fn place(payment: &Payment) -> Place {
    Place { block: payment.accepted.receipt.number, index: payment.accepted.receipt.index }
}

/// Whether an answer promises one place, of the leaf that follows from it.
fn is_as_promised(payment: &Payment) -> bool {
    let Payment { signed, accepted, .. } = payment;
    let hash = signed.body.hash();
    let is_there = |(index, position): (usize, &plasmid_exit_game::position::Position)| {
        position.kind() == PositionKind::Output(place(payment), index as u8)
    };
    let witness = Witness { signature: signed.signature, placement: signed.placement.clone() };
    accepted.tx_hash == hash
        && accepted.positions.len() == signed.body.outputs().len()
        && accepted.positions.iter().enumerate().all(is_there)
        && accepted.receipt.leaf == tx_tree::leaf(hash, witness.hash())
        && accepted.receipt.signed().is_ok()
}

/// Returns every submission that the stopped operator's log holds, in their order.
fn intents(world: &World) -> Vec<Intent> {
    let path = world.data_dir("plasmid-operator").join("journal");
    let journal = Journal::open(&path, log_name(&world.deployment), FaultPlan::default()).expect("the log is whole");
    let intent = |entry| match entry {
        Ok((_, Record::Intended(intent))) => Some(intent),
        Ok(_) => None,
        Err(error) => panic!("the log cannot be read: {error:?}"),
    };
    journal.records().filter_map(intent).collect()
}

/// Returns the numbers of which a submission was signed while another one, of other content, was not dead: its `notAfter` was
/// not past at finality depth.
async fn two_roots(world: &World, intents: &[Intent]) -> Vec<BlockNumber> {
    let mut numbers = Vec::new();
    for (count, later) in intents.iter().enumerate() {
        for earlier in intents[..count].iter().filter(|earlier| earlier.block.number == later.block.number) {
            if earlier.block == later.block {
                continue;
            }
            let anchor = world.root.node().block_by_number(later.anchor.number).await;
            let anchor = anchor.expect("the root chain answers").expect("no reorganisation in this test");
            if anchor.timestamp <= earlier.not_after {
                numbers.push(later.block.number);
            }
        }
    }
    numbers
}

/// Returns how many submissions are in root blocks, and how many of these are not in the log with every field and their nonce.
async fn submissions(world: &World, intents: &[Intent]) -> (usize, usize) {
    let call = |intent: &Intent| {
        let block = intent.block;
        let call = world.root.submit_block(&Submission {
            number: block.number,
            tx_root: block.tx_root,
            utxo_root: block.utxo_root,
            tx_count: block.tx_count,
            deposit_count: block.deposit_count,
            anchor: intent.anchor,
            not_after: intent.not_after,
        });
        (intent.nonce, call.data)
    };
    let logged: Vec<(u64, Bytes)> = intents.iter().map(call).collect();
    let Some((_, data)) = logged.first() else { return (0, 0) };
    let function = data[..4].to_vec();
    let (mut landed, mut unlogged) = (0, 0);
    let node = world.root.node();
    for number in 0..=node.head().await.expect("the root chain answers").at.number {
        let params = json!([U64::from(number), true]);
        let block: Value = node.rpc().read("eth_getBlockByNumber", params).await.expect("the root chain answers");
        for transaction in block["transactions"].as_array().into_iter().flatten() {
            let sent = |name: &str| transaction[name].as_str().unwrap_or_default();
            let (nonce, data) = (sent("nonce").parse::<U64>(), sent("input").parse::<Bytes>());
            let (nonce, data) = (nonce.expect("a number").to::<u64>(), data.expect("hex"));
            if data.starts_with(&function) {
                landed += 1;
                unlogged += usize::from(!logged.contains(&(nonce, data)));
            }
        }
    }
    (landed, unlogged)
}
