//! The vectors in `tests/vectors/*.json`, which Rust and Solidity read: one topic a file, an array of objects with the
//! same keys each. Bytes are `0x…`, integers decimal strings.
//!
//! `UPDATE_VECTORS=1 cargo test --release -p plasmid-exit-game --test vectors` writes them again. [`write`] makes them
//! from fixed seeds, [`check`] reads them through the core's decoders.

mod check;
mod row;
mod write;

use std::fs;
use std::path::PathBuf;

use crate::row::{Row, Vector, parse, to_json};

/// Bytes of all files together stay below it: the Solidity tests parse them inside the EVM.
const TOTAL_LEN_MAX: usize = 300_000;

struct Topic {
    name: &'static str,
    write: fn() -> Vec<Row>,
    check: fn(&Vector),
}

const TOPICS: [Topic; 14] = [
    Topic { name: "positions", write: write::positions, check: check::position },
    Topic { name: "output_ids", write: write::output_ids, check: check::output_id },
    Topic { name: "deposits", write: write::deposits, check: check::deposit },
    Topic { name: "transactions", write: write::transactions, check: check::transaction },
    Topic { name: "bodies_not_canonical", write: write::bodies_not_canonical, check: check::body_not_canonical },
    Topic {
        name: "witnesses_not_canonical",
        write: write::witnesses_not_canonical,
        check: check::witness_not_canonical,
    },
    Topic { name: "signatures", write: write::signatures, check: check::signature },
    Topic { name: "headers", write: write::headers, check: check::header },
    Topic { name: "transaction_trees", write: write::transaction_trees, check: check::transaction_tree },
    Topic { name: "unspent_trees", write: write::unspent_trees, check: check::unspent_tree },
    Topic { name: "receipts", write: write::receipts, check: check::receipt },
    Topic { name: "periods", write: write::periods, check: check::periods },
    Topic { name: "exit_keys", write: write::exit_keys, check: check::exit_key },
    Topic { name: "exit_records", write: write::exit_records, check: check::exit_record },
];

fn path(topic: &Topic) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(topic.name).with_extension("json")
}

fn read(topic: &Topic) -> String {
    let path = path(topic);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

#[test]
fn the_files_are_what_the_generator_writes() {
    let update = std::env::var_os("UPDATE_VECTORS").is_some();
    let mut total_len = 0;
    for topic in &TOPICS {
        let json = to_json(&(topic.write)());
        total_len += json.len();
        if update {
            fs::write(path(topic), &json).expect("write the vectors");
        }
        assert!(read(topic) == json, "{}.json differs from what UPDATE_VECTORS=1 writes", topic.name);
    }
    assert!(total_len < TOTAL_LEN_MAX, "{total_len} bytes of vectors");
}

#[test]
fn every_vector_is_what_the_core_says() {
    // While the files are being written again, the other test decides.
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        return;
    }
    for topic in &TOPICS {
        let vectors = parse(&read(topic));
        assert!(!vectors.is_empty(), "{}.json is empty", topic.name);
        for (index, vector) in vectors.iter().enumerate() {
            println!("{}[{index}]", topic.name);
            (topic.check)(vector);
        }
    }
}
