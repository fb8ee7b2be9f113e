//! An operator of the test's own, which commits whatever a story needs.

use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::ledger::{Leaf, RecoveredTransaction, unspent_updates};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::{Domain, Signature, address_of};
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{self, UtxoTree};
use plasmid_node::wire::Unspent;

/// Somebody with a key.
pub(crate) struct Person(SigningKey);

impl Person {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub(crate) fn from_hex(key: &str) -> Self {
        let bytes: [u8; 32] = alloy_primitives::hex::decode(key).unwrap().try_into().unwrap();
        Self(SigningKey::from_slice(&bytes).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        address_of(self.0.verifying_key())
    }

    pub(crate) fn owns(&self, amount: u128) -> Output {
        Output { owner: self.address(), asset: ETHER, amount }
    }
}

/// A coin with all that spending it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coin {
    pub(crate) id: OutputId,
    pub(crate) position: Position,
    pub(crate) output: Output,
}

impl Coin {
    /// What the unspent tree holds for it.
    pub(crate) fn value(&self) -> B256 {
        utxo_tree::value(self.id, &self.output)
    }

    /// What a server shows of it, if the tree holds anything there.
    pub(crate) fn shown_by(&self, tree: &UtxoTree, header: Header) -> Option<Unspent> {
        let (block, position) = (header.number, self.position);
        let (value, proof) = (tree.get(position)?, tree.prove(position)?);
        Some(Unspent { block, header: header.into(), position, value, proof })
    }
}

pub(crate) fn deposit_coin(deposit: &Deposit) -> Coin {
    let position = Position::of_deposit(deposit.nonce).unwrap();
    Coin { id: deposit.output_id(), position, output: deposit.output }
}

/// A transaction, honest or not.
pub(crate) fn pay(domain: &Domain, signer: &Person, coins: &[Coin], outputs: Vec<Output>) -> PlacedTransaction {
    let body = Transaction::new(coins.iter().map(|coin| coin.id).collect(), outputs, B256::ZERO).unwrap();
    let of = |id: &OutputId| coins.iter().find(|coin| coin.id == *id).unwrap().position;
    let placement = body.inputs().iter().map(of).collect();
    let signature = Signature::sign(&signer.0, body.signing_hash(domain));
    PlacedTransaction { body, witness: Witness { signature, placement } }
}

/// The coins that a transaction makes at this place.
pub(crate) fn made(transaction: &PlacedTransaction, block: u64, index: u32) -> Vec<Coin> {
    let place = Place { block: BlockNumber::new(block).unwrap(), index: TxIndex::new(index).unwrap() };
    let outputs = (0u8..).zip(transaction.body.outputs());
    let coin = |(index, &output): (u8, &Output)| Coin {
        id: OutputId::of_output(transaction.body.hash(), index),
        position: place.output(index).unwrap(),
        output,
    };
    outputs.map(coin).collect()
}

/// A leaf's preimage, whatever it is.
pub(crate) type Preimage = (Vec<u8>, Vec<u8>);

pub(crate) fn preimage(transaction: &PlacedTransaction) -> Preimage {
    (transaction.body.encode(), transaction.witness.encode())
}

/// A block to commit.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// The timestamp is still to come.
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
}

impl Built {
    /// The same block under the root of another tree.
    pub(crate) fn over(mut self, tree: &UtxoTree) -> Self {
        self.header.utxo_root = tree.root();
        self
    }

    /// The body without the preimages of these leaves.
    pub(crate) fn without(&self, hidden: &[usize]) -> Vec<u8> {
        let items = plasmid_exit_game::block::decode_items(&self.body, u32::MAX).unwrap();
        let mut bytes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let shown = if hidden.contains(&index) { BodyItem::Opaque(item.leaf()) } else { item.clone() };
            shown.encode_to(&mut bytes);
        }
        bytes
    }
}

/// What the operator says the child chain is.
#[derive(Debug, Clone)]
pub(crate) struct ChildChain {
    domain: Domain,
    number: u64,
    deposit_count: u64,
    tree: UtxoTree,
}

impl ChildChain {
    pub(crate) fn new(domain: Domain) -> Self {
        Self { domain, number: 0, deposit_count: 0, tree: UtxoTree::default() }
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The unspent tree after the last block.
    pub(crate) fn tree(&self) -> &UtxoTree {
        &self.tree
    }

    /// The next block with valid transactions.
    pub(crate) fn block(&mut self, transactions: &[PlacedTransaction], covered: &[Deposit]) -> Built {
        self.block_of(&transactions.iter().map(preimage).collect::<Vec<_>>(), covered)
    }

    /// The next block with any leaves.
    pub(crate) fn block_of(&mut self, preimages: &[Preimage], covered: &[Deposit]) -> Built {
        self.number += 1;
        self.deposit_count += covered.len() as u64;
        let number = BlockNumber::new(self.number).unwrap();
        let items: Vec<_> = preimages.iter().map(|(body, witness)| BodyItem::Preimage { body, witness }).collect();
        let recover = |transaction| RecoveredTransaction::recover(transaction, &self.domain);
        let leaves: Vec<Leaf> = items.iter().map(|item| Leaf::read(item, recover).unwrap()).collect();
        self.tree = self.tree.updated(unspent_updates(number, &leaves, covered));
        let hashes: Vec<B256> = items
            .iter()
            .map(|item| match item {
                BodyItem::Preimage { body, witness } => tx_tree::leaf(TxHash(keccak256(body)), keccak256(witness)),
                BodyItem::Empty | BodyItem::Opaque(_) => unreachable!(),
            })
            .collect();
        let mut body = Vec::new();
        items.iter().for_each(|item| item.encode_to(&mut body));
        let header = Header {
            number,
            tx_root: tx_tree::root(&hashes),
            utxo_root: self.tree.root(),
            tx_count: hashes.len() as u32,
            deposit_count: self.deposit_count,
            timestamp: 0,
        };
        Built { header, body }
    }
}
