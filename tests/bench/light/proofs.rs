//! Our proofs beside those of the crate that defines the tree's hashing.

use std::time::Instant;

use alloy_primitives::keccak256;
use anyhow::{Context as _, ensure};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::Position;
use plasmid_exit_game::utxo_tree;
use plasmid_harness::people::Coin;
use plasmid_node::wire::BlockChoice;
use sparse_merkle_tree::{H256, SparseMerkleTree, default_store::DefaultStore, traits::Hasher};

use crate::net::Net;
use crate::rows::Row;

impl Net {
    /// Sizes of the proofs of a tree of 10^5 coins, and the time to check them, beside the crate's own proof of the same keys.
    pub(crate) fn crates_proofs(&self) -> anyhow::Result<Vec<Row>> {
        let held = |coin: &Coin| (coin.position, utxo_tree::value(coin.id, &coin.output));
        let all: Vec<_> = self.spendable.iter().chain(self.owned.iter().flatten()).map(held).collect();
        let mut oracle = SparseMerkleTree::<Keccak, H256, DefaultStore<H256>>::default();
        oracle.update_all(all.iter().map(|&(position, value)| (tree_key(position), value.0.into())).collect())?;
        let chain = self.chain();
        let (header, _) = chain.game().header(chain.game().last_block()).context("a block was committed")?;
        ensure!(<[u8; 32]>::from(*oracle.root()) == header.utxo_root.0, "the crate's root is the block's");
        let mut rows = Vec::new();
        for coins in &self.owned {
            let ids: Vec<OutputId> = coins.iter().map(|coin| coin.id).collect();
            let ours: Vec<_> =
                ids.iter().map(|&id| chain.unspent(id, BlockChoice::LATEST)).collect::<Result<_, _>>()?;
            let leaves: Vec<_> =
                coins.iter().map(held).map(|(position, value)| (tree_key(position), value.0.into())).collect();
            let keys = leaves.iter().map(|(key, _)| *key).collect::<Vec<_>>();
            let compiled = oracle.merkle_proof(keys.clone())?.compile(keys)?;
            let our_time =
                time(|| ours.iter().zip(coins).all(|(unspent, coin)| unspent.verify(coin.id, &coin.output).is_ok()))?;
            let their_time = time(|| compiled.verify::<Keccak>(oracle.root(), leaves.clone()).unwrap_or(false))?;
            let our_bytes: usize = ours.iter().map(|unspent| unspent.proof.encode().len()).sum();
            let (own, crates) = (coins.len(), "sparse-merkle-tree's one proof of these keys");
            rows.push(Row::against(
                &format!("proof_bytes_{own}_of_1e5"),
                our_bytes as f64,
                "bytes",
                crates,
                compiled.0.len() as f64,
            ));
            rows.push(Row::against(&format!("verify_us_{own}_of_1e5"), our_time, "us", crates, their_time));
        }
        Ok(rows)
    }
}

#[derive(Default)]
struct Keccak(Vec<u8>);

impl Hasher for Keccak {
    fn write_h256(&mut self, word: &H256) {
        self.0.extend_from_slice(word.as_slice());
    }
    fn write_byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
    fn finish(self) -> H256 {
        keccak256(self.0).0.into()
    }
}

/// A position as the crate's key. §1.8
fn tree_key(position: Position) -> H256 {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&position.bits().to_le_bytes());
    bytes.into()
}

/// The mean time of a check that holds, in microseconds.
fn time(check: impl Fn() -> bool) -> anyhow::Result<f64> {
    const TIMES: u32 = 100;
    let begin = Instant::now();
    for _ in 0..TIMES {
        ensure!(check(), "a true proof verifies");
    }
    Ok(begin.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES))
}
