//! Makes the vectors, the same on every run.

mod blocks;
mod exits;
mod transactions;

use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::output::{ETHER, Output};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::Domain;

pub(crate) use self::blocks::{headers, receipts, transaction_trees, unspent_trees};
pub(crate) use self::exits::{exit_keys, exit_records, periods};
pub(crate) use self::transactions::{
    bodies_not_canonical, deposits, output_ids, positions, signatures, transactions, witnesses_not_canonical,
};

/// A word that looks random: the same for the same label and numbers.
fn word(label: &str, numbers: &[u64]) -> B256 {
    let mut preimage = label.as_bytes().to_vec();
    numbers.iter().for_each(|number| preimage.extend_from_slice(&number.to_be_bytes()));
    keccak256(preimage)
}

fn integer(label: &str, numbers: &[u64]) -> u64 {
    u64::from_be_bytes(word(label, numbers)[..8].try_into().unwrap())
}

fn address(label: &str, numbers: &[u64]) -> Address {
    Address::from_word(word(label, numbers))
}

fn key(number: u64) -> SigningKey {
    SigningKey::from_slice(word("key", &[number]).as_slice()).expect("keccak-256 does not hit the order")
}

/// An output with every asset and size of amount among its seeds: each seventh amount is the largest.
fn output(seed: u64) -> Output {
    let asset = if seed.is_multiple_of(3) { ETHER } else { address("asset", &[seed % 5]) };
    let amount = match seed % 7 {
        0 => u128::MAX,
        1 => 1,
        _ => u128::from(integer("amount", &[seed])),
    };
    Output { owner: address("owner", &[seed]), asset, amount }
}

fn place(block: u64, index: u32) -> Place {
    Place { block: BlockNumber::new(block).unwrap(), index: TxIndex::new(index).unwrap() }
}

/// Positions of deposits (each third) and of child-chain outputs.
fn position(seed: u64) -> Position {
    if seed.is_multiple_of(3) {
        Position::of_deposit(seed * 1_001).unwrap()
    } else {
        place(seed * 77 + 1, seed as u32 * 13).output((seed % 16) as u8).unwrap()
    }
}

/// A devnet's domain, and every fourth another one.
fn domain(seed: u64) -> Domain {
    let chain_id = if seed % 4 == 3 { 1 } else { 31_337 };
    Domain { chain_id, contract: address("contract", &[chain_id]) }
}
