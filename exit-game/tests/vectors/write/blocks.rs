//! What blocks commit to and what the operator promises. §1.7–§1.10.

use alloy_primitives::B256;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::output::{Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::receipt::Receipt;
use plasmid_exit_game::signature::{Signature, address_of};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{UtxoTree, value};

use super::{domain, integer, key, output, place, word};
use crate::row::Row;

pub(crate) fn headers() -> Vec<Row> {
    let empty = Header {
        number: BlockNumber::FIRST,
        tx_root: B256::ZERO,
        utxo_root: B256::ZERO,
        tx_count: 0,
        deposit_count: 0,
        timestamp: 1,
    };
    let largest = Header {
        number: BlockNumber::new((1 << 39) - 1).unwrap(),
        tx_root: B256::repeat_byte(0xff),
        utxo_root: B256::repeat_byte(0xff),
        tx_count: 1 << 20,
        deposit_count: 1 << 40,
        timestamp: (1 << 40) - 1,
    };
    let others = (0..6).map(|seed| Header {
        number: BlockNumber::new(integer("number", &[seed]) >> 40).unwrap(),
        tx_root: word("txRoot", &[seed]),
        utxo_root: word("utxoRoot", &[seed]),
        tx_count: integer("txCount", &[seed]) as u32 >> 12,
        deposit_count: integer("depositCount", &[seed]) >> 30,
        timestamp: 1_750_000_000 + integer("timestamp", &[seed]) % 100_000_000,
    });
    let row = |header: Header| {
        Row::default()
            .integer("number", header.number.get())
            .bytes("txRoot", header.tx_root)
            .bytes("utxoRoot", header.utxo_root)
            .integer("txCount", header.tx_count)
            .integer("depositCount", header.deposit_count)
            .integer("timestamp", header.timestamp)
            .bytes("commitment", header.commitment())
    };
    [empty, largest].into_iter().chain(others).map(row).collect()
}

/// Every path of the trees with 1 to 9 leaves, and some of one with 1000; each seventh leaf is empty.
pub(crate) fn transaction_trees() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |count: u32, indexes: &[u32]| {
        let leaf = |index| if index % 7 == 5 { tx_tree::EMPTY_LEAF } else { word("leaf", &[index]) };
        let leaves: Vec<B256> = (0..u64::from(count)).map(leaf).collect();
        let root = tx_tree::root(&leaves);
        for &index in indexes {
            let row = Row::default()
                .integer("txCount", count)
                .integer("index", index)
                .bytes("leaf", leaves[index as usize])
                .byte_strings("path", tx_tree::path(&leaves, index as usize).unwrap())
                .bytes("root", root);
            rows.push(row);
        }
    };
    (1..=9).for_each(|count| add(count, &(0..count).collect::<Vec<_>>()));
    add(1_000, &[0, 1, 5, 511, 512, 998, 999]);
    rows
}

/// Members of trees with 1, 2, 7 and 60 coins, whose neighbours lie near and far.
pub(crate) fn unspent_trees() -> Vec<Row> {
    let coin = |seed: u64| -> (Position, OutputId, Output) {
        let position = match seed % 4 {
            0 => Position::of_deposit(seed).unwrap(),
            1 => place(1 + seed / 16, 3).output((seed % 16) as u8).unwrap(),
            2 => place(2, seed as u32).output(0).unwrap(),
            _ => place(integer("block", &[seed]) >> 25, integer("index", &[seed]) as u32 >> 12).output(9).unwrap(),
        };
        (position, OutputId(word("coin", &[seed])), output(seed))
    };
    let mut rows = Vec::new();
    for (size, shown) in [(1u64, 1u64), (2, 2), (7, 7), (60, 12)] {
        let coins: Vec<_> = (0..size).map(|i| coin(size + i)).collect();
        let values = coins.iter().map(|(position, id, output)| (*position, Some(value(*id, output))));
        let tree = UtxoTree::default().updated(values);
        for (position, id, output) in coins.iter().take(shown as usize) {
            let row = Row::default()
                .integer("size", size)
                .bytes("root", tree.root())
                .integer("position", position.bits())
                .bytes("outputId", id.0)
                .bytes("output", output.encode())
                .bytes("value", value(*id, output))
                .bytes("proof", tree.prove(*position).unwrap().encode());
            rows.push(row);
        }
    }
    rows
}

pub(crate) fn receipts() -> Vec<Row> {
    let row = |seed: u64| {
        let (domain, key) = (domain(seed), key(100 + seed));
        let receipt = Receipt {
            number: BlockNumber::new(integer("number", &[seed]) >> 25).unwrap(),
            first: integer("first", &[seed]) as u32 >> 13,
            count: 1 + seed as u32 * 37,
            root: word("root", &[seed]),
            by: 1_750_000_000 + seed,
        };
        let digest = receipt.signing_hash(&domain);
        Row::default()
            .integer("chainId", domain.chain_id)
            .bytes("contract", domain.contract)
            .integer("number", receipt.number.get())
            .integer("first", receipt.first)
            .integer("count", receipt.count)
            .bytes("root", receipt.root)
            .integer("by", receipt.by)
            .bytes("digest", digest)
            .bytes("signature", Signature::sign(&key, digest).encode())
            .bytes("signer", address_of(key.verifying_key()))
    };
    (0..8).map(row).collect()
}
