//! The cheating operator: commits any block, serves or withholds any body. Grows a move with every rule.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, keccak256};
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{self, UtxoTree};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::{Answer, BlockChoice, Unspent, UnspentQuery};
use plasmid_root_chain::calls::{InclusionProof, InputProof, Submission};
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::sender::Sender;
use warp::Filter;

use crate::breaches::LeafBytes;
use crate::people::{Coin, Signed};
use crate::world::{coin_of, eventually};

/// What the cheating operator does with a block's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// Serves it.
    Served,
    /// Keeps it back.
    Withheld,
}

/// An operator without scruples: whatever its key can sign, it commits.
#[derive(Debug)]
pub struct CheatingOperator {
    root: RootChain,
    sender: Sender,
    /// The root chain's time when it started: no earlier than the deployment's.
    started_at: u64,
    number: BlockNumber,
    tree: UtxoTree,
    deposits: Vec<Deposit>,
    bodies: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
    hidden: BTreeMap<u64, Vec<u8>>,
    headers: BTreeMap<BlockNumber, Header>,
    /// Every block's leaves, each with the hash of its witness.
    leaves: BTreeMap<BlockNumber, Vec<(B256, B256)>>,
    shown: Arc<Mutex<Shown>>,
    address: SocketAddr,
}

/// What the operator shows of its unspent trees.
#[derive(Debug, Default)]
struct Shown {
    trees: BTreeMap<BlockNumber, (Header, UtxoTree)>,
    positions: BTreeMap<OutputId, Position>,
}

impl Shown {
    /// Answers POST `/v1/unspent`: whatever the tree shown of the block proves.
    fn answers(&self, query: &UnspentQuery) -> Vec<Answer<Unspent>> {
        let not_shown = || Answer::Problem(Problem::new(Code::NotFound, "this is not shown"));
        query.ids.iter().map(|id| self.answer(query.block, id).map_or_else(not_shown, Answer::Done)).collect()
    }

    fn answer(&self, block: BlockChoice, id: &OutputId) -> Option<Unspent> {
        let (header, tree) = match block {
            BlockChoice::Number(number) => self.trees.get(&number)?,
            BlockChoice::Latest(_) => self.trees.values().next_back()?,
        };
        let &position = self.positions.get(id)?;
        let (value, proof) = (tree.get(position)?, tree.prove(position)?);
        Some(Unspent { block: header.number, header: (*header).into(), position, value, proof })
    }

    fn know(&mut self, coins: impl IntoIterator<Item = Coin>) {
        self.positions.extend(coins.into_iter().map(|coin| (coin.id, coin.position)));
    }
}

impl CheatingOperator {
    /// Starts serving, with no block committed.
    ///
    /// # Panics
    ///
    /// If the root chain does not answer.
    #[must_use]
    pub async fn start(root: RootChain, sender: Sender) -> Self {
        let started_at = root.node().head().await.expect("the root chain answers").timestamp;
        let bodies: Arc<Mutex<BTreeMap<u64, Vec<u8>>>> = Arc::default();
        let served = bodies.clone();
        let route = warp::path!("v1" / "blocks" / u64 / "body").map(move |number| {
            match served.lock().expect("no holder panics").get(&number) {
                Some(body) => warp::http::Response::builder().status(200).body(body.clone()),
                None => warp::http::Response::builder().status(404).body(Vec::new()),
            }
        });
        let shown: Arc<Mutex<Shown>> = Arc::default();
        let trees = shown.clone();
        let unspent = warp::path!("v1" / "unspent").and(warp::post()).and(warp::body::json()).map(move |query| {
            let answers = trees.lock().expect("no holder panics").answers(&query);
            warp::http::Response::new(serde_json::to_vec(&answers).expect("answers have a JSON form"))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(warp::serve(route.or(unspent)).incoming(listener).run());
        Self {
            root,
            sender,
            started_at,
            number: BlockNumber::ZERO,
            tree: UtxoTree::default(),
            deposits: Vec::new(),
            bodies,
            hidden: BTreeMap::new(),
            headers: BTreeMap::new(),
            leaves: BTreeMap::new(),
            shown,
            address,
        }
    }

    /// Returns where it serves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Covers these deposits, all that there are so far, from the next block on.
    pub fn cover(&mut self, deposits: &[Deposit]) {
        let new = deposits.iter().map(|deposit| {
            let position = Position::of_deposit(deposit.nonce).expect("few deposits");
            (position, Some(utxo_tree::value(deposit.output_id(), &deposit.output)))
        });
        self.tree = self.tree.updated(new);
        self.deposits.extend_from_slice(deposits);
        self.shown.lock().expect("no holder panics").know(deposits.iter().map(coin_of));
    }

    /// Returns the place that transaction `index` of the next block will have.
    #[must_use]
    pub fn next_place(&self, index: u32) -> Place {
        let block = self.number.next().expect("few blocks");
        Place { block, index: TxIndex::new(index).expect("few transactions") }
    }

    /// Commits a block of these transactions, with the unspent tree that they claim, and returns its number.
    pub async fn commit(&mut self, transactions: &[Signed], serving: Serving) -> BlockNumber {
        let leaves = self.apply(transactions);
        self.commit_raw(&leaves, self.tree.root(), serving).await
    }

    /// Commits and serves a block of these transactions under a false unspent root, and returns its number: `lie` makes of
    /// the true tree that root, and the tree that is shown to whoever asks for unspent coins.
    pub async fn commit_lying(
        &mut self,
        transactions: &[Signed],
        lie: impl FnOnce(&UtxoTree) -> (B256, UtxoTree),
    ) -> BlockNumber {
        let leaves = self.apply(transactions);
        let (root, tree) = lie(&self.tree);
        let number = self.commit_raw(&leaves, root, Serving::Served).await;
        self.shown.lock().expect("no holder panics").trees.insert(number, (self.headers[&number], tree));
        number
    }

    /// Has the true tree follow the next block's transactions, and returns their leaves.
    fn apply(&mut self, transactions: &[Signed]) -> Vec<LeafBytes> {
        let placed: Vec<PlacedTransaction> = transactions.iter().map(Signed::placed).collect();
        for (index, transaction) in placed.iter().enumerate() {
            let spent = transaction.witness.placement.iter().map(|&position| (position, None));
            let made = made(self.next_place(index as u32), transaction);
            let values = made.iter().map(|coin| (coin.position, Some(utxo_tree::value(coin.id, &coin.output))));
            self.tree = self.tree.updated(spent.chain(values));
            self.shown.lock().expect("no holder panics").know(made);
        }
        placed.iter().map(|tx| (tx.body.encode(), tx.witness.encode())).collect()
    }

    /// Commits a block of any leaves under any unspent root, and returns its number.
    /// A leaf without body and witness is the empty leaf.
    ///
    /// # Panics
    ///
    /// If the root chain refuses it.
    pub async fn commit_raw(&mut self, leaves: &[LeafBytes], utxo_root: B256, serving: Serving) -> BlockNumber {
        let items: Vec<_> = leaves.iter().map(item).collect();
        let hashes: Vec<B256> = items.iter().map(BodyItem::leaf).collect();
        let mut body = Vec::new();
        items.iter().for_each(|item| item.encode_to(&mut body));
        let number = self.number.next().expect("few blocks");
        match serving {
            Serving::Served => drop(self.bodies.lock().expect("no holder panics").insert(number.get(), body)),
            Serving::Withheld => drop(self.hidden.insert(number.get(), body)),
        }
        // No two blocks land in one second of the root chain, and none in the deployment's.
        let last = self.headers.get(&self.number).map_or(self.started_at, |header| header.timestamp);
        let head = eventually("the root chain's time goes on", || async {
            self.root.node().head().await.ok().filter(|head| head.timestamp > last)
        })
        .await;
        let block = Submission {
            number,
            tx_root: tx_tree::root(&hashes),
            utxo_root,
            tx_count: hashes.len() as u32,
            deposit_count: self.deposits.len() as u64,
            anchor: head.at,
            not_after: head.timestamp + 60,
        };
        let receipt = self.sender.send(&self.root.submit_block(&block)).await.expect("the block lands");
        let contract = self.root.contract();
        let header = receipt.logs.iter().find_map(|log| match decode_event(contract, log) {
            Ok(RootEvent::BlockSubmitted(header)) => Some(header),
            _ => None,
        });
        self.headers.insert(number, header.expect("a submission says so"));
        let witnesses = leaves.iter().map(|(_, witness)| keccak256(witness));
        self.leaves.insert(number, hashes.into_iter().zip(witnesses).collect());
        self.number = number;
        number
    }

    /// Returns the header of a block that was committed.
    ///
    /// # Panics
    ///
    /// If it was not.
    #[must_use]
    pub fn header(&self, number: BlockNumber) -> Header {
        self.headers[&number]
    }

    /// Returns the proof that transaction `index` is in a block, for whom the operator favours.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[must_use]
    pub fn inclusion(&self, number: BlockNumber, index: u32) -> InclusionProof {
        let leaves = &self.leaves[&number];
        let hashes: Vec<_> = leaves.iter().map(|(leaf, _)| *leaf).collect();
        InclusionProof {
            header: self.header(number),
            tx_index: TxIndex::new(index).expect("few transactions"),
            witness_hash: leaves[index as usize].1,
            path: tx_tree::path(&hashes, index as usize).expect("a transaction of the block"),
        }
    }

    /// Returns the proof that output `output_index` of `creation`, transaction `index` of a block, was made there.
    ///
    /// # Panics
    ///
    /// If it was not.
    #[must_use]
    pub fn made_by(&self, creation: &Signed, number: BlockNumber, index: u32, output_index: u8) -> InputProof {
        let inclusion = self.inclusion(number, index);
        InputProof::Output { creation: creation.body.clone(), output_index, inclusion }
    }

    /// Serves a body after all that was withheld.
    ///
    /// # Panics
    ///
    /// If that block's body was never withheld.
    pub fn relent(&mut self, number: BlockNumber) {
        let body = self.hidden.remove(&number.get()).expect("a withheld body");
        self.bodies.lock().expect("no holder panics").insert(number.get(), body);
    }
}

fn item((body, witness): &LeafBytes) -> BodyItem<'_> {
    if body.is_empty() && witness.is_empty() { BodyItem::Empty } else { BodyItem::Preimage { body, witness } }
}

/// Returns the coins that a transaction makes at a place.
#[must_use]
pub fn made(place: Place, transaction: &PlacedTransaction) -> Vec<Coin> {
    let hash = transaction.body.hash();
    let coin = |(index, &output): (usize, _)| Coin {
        id: OutputId::of_output(hash, index as u8),
        position: place.output(index as u8).expect("at most 16 outputs"),
        output,
    };
    transaction.body.outputs().iter().enumerate().map(coin).collect()
}
