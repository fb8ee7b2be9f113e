//! No valid block is ever convicted, whatever is shown. §3.

use std::sync::LazyLock;

use alloy_primitives::{B256, Bytes, keccak256};
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::fault::{BlockData, Creation, FaultProof, HeldKey, Origin, ShownBody, ShownLeaf, SpentCoin};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Place, Position, PositionKind, TxIndex};
use plasmid_exit_game::transaction::PlacedTransaction;
use proptest::prelude::*;

use crate::court::{Court, PERIODS, evidence_of, gets, made, place, served};

/// A valid chain with several inputs and outputs, empty leaves, exits of both kinds and a settled coin.
static HONEST_CHAIN: LazyLock<(Court, Vec<ExitRecord>)> = LazyLock::new(|| {
    let mut court = Court::new();
    let coins: Vec<_> = (1..=6).map(|amount| court.deposit("alice", amount)).collect();
    let two = court.sign("alice", &coins[..2], vec![gets("bob", 1), gets("bob", 2)]);
    let one = court.sign("alice", &coins[2..3], vec![gets("alice", 3)]);
    assert_eq!(court.commit(vec![served(&two), None, served(&one)], 0), None);
    let bobs = made(&two, place(1, 0));
    let paid = court.sign("bob", &[bobs], vec![gets("carol", 1)]);
    let further = court.sign("carol", &[made(&paid, place(2, 0))], vec![gets("carol", 1)]);
    assert_eq!(court.commit(vec![served(&paid), served(&further)], 0), None);
    let exits = vec![court.start_exit("alice", coins[3]), court.start_exit("alice", made(&one, place(1, 2)))];
    let in_flight = court.sign("alice", &coins[4..5], vec![gets("bob", 5)]);
    court.start_in_flight(&in_flight);
    // At the very second of the freeze it may still be spent.
    court.wait(PERIODS.freeze_delay() - 1);
    assert_eq!(court.commit(vec![served(&in_flight)], 0), None);
    court.wait_until(exits[0].key);
    court.process(&exits[..1]);
    let last = court.sign("alice", &coins[5..], vec![gets("bob", 6)]);
    assert_eq!(court.commit(vec![served(&last)], 0), None);
    (court, exits)
});

/// Random numbers, one after another.
struct Dice(std::vec::IntoIter<u32>);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().unwrap_or(0) as usize % sides.max(1)
    }
}

/// A proof of a random kind from the chain's own data, in which some things are of other places.
fn accusation(court: &Court, exits: &[ExitRecord], dice: &mut Dice) -> FaultProof {
    let mut leaves = Vec::new();
    for block in &court.blocks {
        leaves.extend(
            (0..block.leaves.len() as u32).filter_map(|i| court.shown_leaf(place(block.header.number.get(), i))),
        );
    }
    let leaf = leaves[dice.roll(leaves.len())].clone();
    let other = leaves[dice.roll(leaves.len())].clone();
    let transaction = PlacedTransaction::decode(&leaf.body, &leaf.witness).expect("the chain is valid");
    let input = dice.roll(3) as u8;
    let at = usize::from(input) % transaction.body.inputs().len();
    let output_id = transaction.body.inputs()[at];
    let creation = court.creation(output_id).unwrap();
    let body = |ShownLeaf { body, inclusion, .. }: ShownLeaf| ShownBody { body, inclusion };
    let origin_at = |ShownLeaf { body, witness, inclusion }: ShownLeaf| {
        let InclusionProof { header, path, witness_hash, .. } = inclusion;
        Origin { header, path, tx_hash: keccak256(&body), witness_hash, body, witness }
    };
    match dice.roll(13) {
        0 => FaultProof::NotCanonical { leaf },
        1 => FaultProof::NotBefore { leaf, input },
        2 => {
            let from = match transaction.witness.placement[at].kind() {
                PositionKind::Output(place, _) => court.shown_leaf(place).unwrap(),
                PositionKind::Deposit(_) => other,
            };
            FaultProof::NotMade { leaf, input, origin: origin_at(from) }
        }
        3 => {
            let as_hash = Creation { fields: Bytes::from(other.inclusion.witness_hash.0), index: creation.index };
            let creation = if dice.roll(2) == 0 { as_hash } else { creation };
            FaultProof::NotDeposited { leaf, input, creation }
        }
        4 => FaultProof::NotSigned { leaf, input, creation },
        5 => {
            let inputs = transaction.body.inputs();
            let creations = inputs.iter().map(|&id| court.creation(id).unwrap()).collect();
            FaultProof::Unbalanced { spend: body(leaf), creations }
        }
        6 => FaultProof::DoubleSpend { spend: body(leaf), other: body(other), output_id },
        7 => FaultProof::Settled { spend: body(leaf), input },
        8 => FaultProof::Exiting { spend: body(leaf), input, exit: exits[dice.roll(exits.len())] },
        9 => {
            let exit_body = court.shown_leaf(place(3, 0)).unwrap().body;
            FaultProof::ExitingInFlight { spend: body(leaf), input, exit_body, piece: dice.roll(40) as u8 }
        }
        10 => {
            let Some(held) = held(court, transaction.witness.placement[at], dice) else { return fallback(leaf) };
            let output = Bytes::copy_from_slice(&creation.coin(output_id).unwrap().encode());
            FaultProof::HeldSpent { held, spent: SpentCoin { output_id, output, spend: body(leaf) } }
        }
        11 => {
            let at = Place { block: leaf.inclusion.header.number, index: TxIndex::new(leaf.inclusion.index).unwrap() };
            let position = at.output(dice.roll(2) as u8).unwrap();
            let Some(held) = held(court, position, dice) else { return fallback(leaf) };
            FaultProof::HeldNotMade { held, origin: origin_at(leaf) }
        }
        _ => {
            let nonce = dice.roll(6) as u64;
            let Some(held) = held(court, Position::of_deposit(nonce).unwrap(), dice) else { return fallback(leaf) };
            let deposit = court.game.deposits(nonce, nonce + 1).next().unwrap();
            FaultProof::HeldNotDeposited { held, creation: court.creation(deposit.output_id()).unwrap() }
        }
    }
}

/// Returns what the tree of some block holds under a position.
fn held(court: &Court, position: Position, dice: &mut Dice) -> Option<HeldKey> {
    let first = dice.roll(court.blocks.len()) as u64;
    let blocks = (0..court.blocks.len() as u64).map(|next| (first + next) % court.blocks.len() as u64 + 1);
    blocks.into_iter().find_map(|block| court.held(block, position))
}

/// What is shown where no tree holds the key that was rolled.
fn fallback(leaf: ShownLeaf) -> FaultProof {
    FaultProof::NotCanonical { leaf }
}

fn forge_bytes(bytes: &mut Bytes, dice: &mut Dice) {
    let mut forged = bytes.to_vec();
    match dice.roll(4) {
        0 => forged.truncate(dice.roll(bytes.len())),
        1 => forged.push(dice.roll(256) as u8),
        _ if forged.is_empty() => {}
        _ => forged[dice.roll(bytes.len())] ^= 1 + dice.roll(255) as u8,
    }
    *bytes = forged.into();
}

fn forge_inclusion(inclusion: &mut InclusionProof, court: &Court, dice: &mut Dice) {
    match dice.roll(8) {
        0 => inclusion.index ^= 1 + dice.roll(4) as u32,
        1 => inclusion.path.push(B256::ZERO),
        2 => drop(inclusion.path.pop()),
        3 => inclusion.path.iter_mut().take(1).for_each(|sibling| sibling.0[dice.roll(32)] ^= 1),
        4 => inclusion.header = court.blocks[dice.roll(court.blocks.len())].header,
        5 => inclusion.header.timestamp += 1_000,
        6 => inclusion.header.deposit_count = 0,
        _ => inclusion.witness_hash.0[dice.roll(32)] ^= 1,
    }
}

/// Forges a part of a proof.
fn forge(proof: &mut FaultProof, court: &Court, dice: &mut Dice) {
    let side = dice.roll(4);
    match proof {
        FaultProof::NotCanonical { leaf } | FaultProof::NotBefore { leaf, .. } => forge_leaf(leaf, court, dice),
        FaultProof::NotMade { leaf, origin, .. } => match side {
            0 => forge_leaf(leaf, court, dice),
            _ => forge_origin(origin, court, dice),
        },
        FaultProof::NotDeposited { leaf, creation, .. } | FaultProof::NotSigned { leaf, creation, .. } => match side {
            0 => forge_leaf(leaf, court, dice),
            1 => creation.index ^= 1 << dice.roll(64),
            _ => forge_bytes(&mut creation.fields, dice),
        },
        FaultProof::Unbalanced { spend, creations } => match side {
            0 => forge_spend(spend, court, dice),
            1 => creations.reverse(),
            2 => drop(creations.pop()),
            _ => creations.iter_mut().take(1).for_each(|creation| forge_bytes(&mut creation.fields, dice)),
        },
        FaultProof::DoubleSpend { spend, other, output_id } => match side {
            0 => forge_spend(spend, court, dice),
            1 => forge_spend(other, court, dice),
            2 => std::mem::swap(spend, other),
            _ => *output_id = OutputId(B256::repeat_byte(dice.roll(256) as u8)),
        },
        FaultProof::Settled { spend, .. } => forge_spend(spend, court, dice),
        FaultProof::Exiting { spend, exit, .. } => match side {
            0 => forge_spend(spend, court, dice),
            _ => exit.key -= 1 + dice.roll(1_000) as u64,
        },
        FaultProof::ExitingInFlight { spend, exit_body, piece, .. } => match side {
            0 => forge_spend(spend, court, dice),
            1 => forge_bytes(exit_body, dice),
            _ => *piece = dice.roll(256) as u8,
        },
        FaultProof::HeldSpent { held, spent } => match side {
            0 => forge_held(held, court, dice),
            1 => forge_bytes(&mut spent.output, dice),
            2 => spent.output_id.0.0[dice.roll(32)] ^= 1,
            _ => forge_spend(&mut spent.spend, court, dice),
        },
        FaultProof::HeldNotMade { held, origin } => match side {
            0 => forge_held(held, court, dice),
            _ => forge_origin(origin, court, dice),
        },
        FaultProof::HeldNotDeposited { held, creation } => match side {
            0 | 1 => forge_held(held, court, dice),
            2 => creation.index ^= 1 << dice.roll(64),
            _ => forge_bytes(&mut creation.fields, dice),
        },
    }
}

fn forge_held(held: &mut HeldKey, court: &Court, dice: &mut Dice) {
    match dice.roll(5) {
        0 => held.position ^= 1 << dice.roll(64),
        1 => held.value.0[dice.roll(32)] ^= 1,
        2 => held.header = court.blocks[dice.roll(court.blocks.len())].header,
        3 => held.header.deposit_count = 0,
        _ => forge_bytes(&mut held.proof, dice),
    }
}

fn forge_origin(origin: &mut Origin, court: &Court, dice: &mut Dice) {
    match dice.roll(7) {
        0 => (origin.tx_hash, origin.witness_hash) = (B256::ZERO, B256::ZERO),
        1 => origin.header = court.blocks[dice.roll(court.blocks.len())].header,
        2 => origin.header.tx_count = 0,
        3 => origin.tx_hash.0[dice.roll(32)] ^= 1,
        4 => origin.path.iter_mut().take(1).for_each(|sibling| sibling.0[dice.roll(32)] ^= 1),
        5 => forge_bytes(&mut origin.body, dice),
        _ => forge_bytes(&mut origin.witness, dice),
    }
}

fn forge_leaf(leaf: &mut ShownLeaf, court: &Court, dice: &mut Dice) {
    match dice.roll(3) {
        0 => forge_bytes(&mut leaf.body, dice),
        1 => forge_bytes(&mut leaf.witness, dice),
        _ => forge_inclusion(&mut leaf.inclusion, court, dice),
    }
}

fn forge_spend(spend: &mut ShownBody, court: &Court, dice: &mut Dice) {
    match dice.roll(2) {
        0 => forge_bytes(&mut spend.body, dice),
        _ => forge_inclusion(&mut spend.inclusion, court, dice),
    }
}

proptest! {
    #[test]
    fn no_valid_block_is_convicted_by_forged_evidence(rolls in prop::collection::vec(any::<u32>(), 400)) {
        let (court, exits) = &*HONEST_CHAIN;
        let mut dice = Dice(rolls.into_iter());
        for _ in 0..16 {
            let mut proof = accusation(court, exits, &mut dice);
            for _ in 0..dice.roll(3) {
                forge(&mut proof, court, &mut dice);
            }
            let verdict = court.verdict(&proof);
            prop_assert!(verdict.is_err(), "{:?} convicts {:?}", proof, verdict);
            let mut contract = court.contract.clone();
            let evidence = evidence_of(&proof);
            let refused = contract.prove_fault(court.call("liar"), &proof, evidence, &mut |_| panic!("nothing is paid"));
            prop_assert_eq!(refused.unwrap_err(), verdict.unwrap_err());
        }
    }
}

#[test]
fn places_that_are_not_there_accuse_nobody() {
    let (court, _) = &*HONEST_CHAIN;
    let nowhere = [place(1, 1), place(1, 3), place(9, 0)];
    assert!(nowhere.into_iter().all(|at: Place| court.shown_leaf(at).is_none()));
    let unknown = BlockNumber::new(9).unwrap();
    assert!(court.header(unknown).is_none() && court.items(unknown).is_none());
}
