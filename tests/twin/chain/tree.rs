//! The unspent trees of the blocks: what their leaves make of the tree before, and what an operator may lie about it. §1.8

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::fault::HeldKey;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::utxo_tree::{self, MembershipProof, UtxoTree};

use super::{Chain, Leaf};

/// The bitmap of a tree with one key.
const LONE: [u8; 8] = [0; 8];

/// An unspent tree with all that it holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unspent {
    tree: UtxoTree,
    held: BTreeMap<Position, B256>,
    /// The one key that a block's tree holds in their stead: bits that §1.1 leaves zero are set in it.
    lone: Option<(u64, B256)>,
}

impl Unspent {
    pub(crate) fn root(&self) -> B256 {
        let lone = MembershipProof::decode(&LONE).expect("a proof without siblings");
        self.lone.map_or_else(|| self.tree.root(), |(key, value)| lone.root(key, value))
    }

    /// Returns the keys with their values, in order.
    pub(crate) fn held(&self) -> Vec<(u64, B256)> {
        let held = self.held.iter().map(|(position, &value)| (position.bits(), value));
        self.lone.map_or_else(|| held.collect(), |lone| vec![lone])
    }

    /// Returns the bytes that prove a key that is held.
    pub(crate) fn membership(&self, key: u64) -> Option<Bytes> {
        if let Some((lone, _)) = self.lone {
            return (lone == key).then(|| Bytes::copy_from_slice(&LONE));
        }
        Some(self.tree.prove(Position::from_bits(key)?)?.encode().into())
    }

    /// Returns what the block with this header holds under the `nth` key, modulo how many there are.
    pub(crate) fn nth(&self, header: Header, nth: usize) -> Option<HeldKey> {
        let held = self.held();
        let &(position, value) = held.get(nth % held.len().max(1))?;
        Some(HeldKey { header, position, value, proof: self.membership(position)? })
    }

    fn set(&mut self, position: Position, value: Option<B256>) {
        self.tree = self.tree.updated([(position, value)]);
        match value {
            Some(value) => self.held.insert(position, value),
            None => self.held.remove(&position),
        };
    }
}

impl Chain {
    /// Returns the unspent tree after block `number` of these leaves, which covers so many deposits: the last block's with what
    /// the transactions say, whether or not they are valid, and with one lie at most.
    pub(crate) fn unspent(&self, number: u64, leaves: &[Leaf], deposit_count: u64, lie: Option<u32>) -> Unspent {
        let last = self.blocks.last();
        let mut unspent = last.map_or_else(Unspent::default, |block| block.unspent.clone());
        unspent.lone = None;
        let covered = last.map_or(0, |block| block.header.deposit_count);
        for deposit in self.deposits.values().filter(|deposit| (covered..deposit_count).contains(&deposit.nonce)) {
            let value = utxo_tree::value(deposit.output_id(), &deposit.output);
            unspent.set(Position::of_deposit(deposit.nonce).expect("a small nonce"), Some(value));
        }
        let mut spent = Vec::new();
        for (index, leaf) in (0..).zip(leaves) {
            let decoded = leaf.preimage.as_ref().map(|(body, witness)| PlacedTransaction::decode(body, witness));
            let Some(Ok(PlacedTransaction { body, witness })) = decoded else { continue };
            for position in witness.placement {
                spent.extend(unspent.held.get(&position).map(|&value| (position, value)));
                unspent.set(position, None);
            }
            for (output, made) in (0..).zip(body.outputs()) {
                let value = utxo_tree::value(OutputId::of_output(body.hash(), output), made);
                unspent.set(place(number, index).output(output).expect("at most 16 outputs"), Some(value));
            }
        }
        if let Some(lie) = lie {
            unspent.lie(number, deposit_count, &spent, lie);
        }
        unspent
    }
}

impl Unspent {
    /// Keeps a coin that the block spends, leaves one out, gives one another's value, or holds what was never made.
    fn lie(&mut self, number: u64, deposit_count: u64, spent: &[(Position, B256)], how: u32) {
        let (way, rest) = (how % 8, how as usize / 8);
        let held: Vec<_> = self.held.iter().map(|(&position, &value)| (position, value)).collect();
        let any = held.get(rest % held.len().max(1)).copied();
        let any_value = any.map_or(B256::repeat_byte(1), |(_, value)| value);
        match (way, any) {
            (0 | 1, _) if !spent.is_empty() => {
                let (position, value) = spent[rest % spent.len()];
                self.set(position, Some(value));
            }
            (0..=3, Some((position, _))) => self.set(position, None),
            (4, Some((position, value))) => {
                let other = held[(rest + 1) % held.len()].1;
                self.set(position, Some(if other == value { keccak256(value) } else { other }));
            }
            (5, _) => {
                let block = [number, number + 1, number / 2, 0][rest % 4];
                let position = place(block, (rest as u32 / 4) % 5).output((rest / 20 % 3) as u8);
                self.set(position.expect("a small index"), Some(any_value));
            }
            (6, _) => {
                let nonce = if rest.is_multiple_of(2) { deposit_count } else { rest as u64 % (deposit_count + 3) };
                self.set(Position::of_deposit(nonce).expect("a small nonce"), Some(any_value));
            }
            _ => self.lone = Some(((1 << 63) | 1 << (rest % 63) | (rest as u64 % 7) << 4, any_value)),
        }
    }
}

fn place(number: u64, index: u32) -> Place {
    let (block, index) = (BlockNumber::new(number), TxIndex::new(index));
    Place { block: block.expect("few blocks"), index: index.expect("few leaves") }
}
