//! The ledger: every coin that valid blocks made, and who spent it. Applies a block, or says which rule it breaks. §3.
//!
//! Operator and watcher apply transactions with the same functions, so they cannot disagree about what a valid block is.
//! Signatures are recovered by the caller, who may do so in parallel; the ledger compares the signer with the owner.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, U256};

use crate::block::{BodyItem, Header};
use crate::fault::Fault;
use crate::output::{Deposit, Output, OutputId, TxHash};
use crate::position::{BlockNumber, Place, Position, PositionKind, TxIndex};
use crate::signature::Domain;
use crate::transaction::{PlacedTransaction, PlacedTransactionError, Transaction};
use crate::tx_tree;
use crate::utxo_tree::{self, UtxoTree};

/// A coin that a valid block made or a deposit that one covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coin {
    /// Where it was made.
    pub position: Position,
    /// Owner, asset and amount.
    pub output: Output,
    /// The transaction that spends it, if one does.
    pub spender: Option<Place>,
}

/// A transaction with what its bytes imply: hash and signer. The costly part of checking it, done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredTransaction {
    /// Body and witness.
    pub transaction: PlacedTransaction,
    /// Hash of the body.
    pub hash: TxHash,
    /// Whose key signed it, if the signature is anybody's.
    pub signer: Option<Address>,
}

impl RecoveredTransaction {
    /// Hashes `transaction` and recovers its signer with the core's own arithmetic.
    #[must_use]
    pub fn recover(transaction: PlacedTransaction, domain: &Domain) -> Self {
        let hash = transaction.body.hash();
        let signer = transaction.witness.signature.recover(transaction.body.signing_hash(domain));
        Self { transaction, hash, signer }
    }

    /// Returns the names of its outputs, in order.
    pub fn output_ids(&self) -> impl Iterator<Item = OutputId> + use<'_> {
        (0..self.body().outputs().len() as u8).map(|index| OutputId::of_output(self.hash, index))
    }

    /// Returns its leaf in the transaction tree. §1.7.
    #[must_use]
    pub fn leaf(&self) -> B256 {
        tx_tree::leaf(self.hash, self.transaction.witness.hash())
    }

    fn body(&self) -> &Transaction {
        &self.transaction.body
    }
}

/// One leaf of a block whose data is at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// The place of a dropped transaction. §1.7.
    Empty,
    /// A canonical transaction.
    Transaction(RecoveredTransaction),
    /// A preimage that does not decode (R1).
    NotCanonical(PlacedTransactionError),
}

impl Leaf {
    /// Reads a served leaf, or returns `None` if its preimage is missing.
    ///
    /// `recover` hashes and recovers a canonical transaction, as [`RecoveredTransaction::recover`] does.
    pub fn read(item: &BodyItem<'_>, recover: impl FnOnce(PlacedTransaction) -> RecoveredTransaction) -> Option<Self> {
        match (item, item.transaction()) {
            (BodyItem::Opaque(_), _) => None,
            (_, None) => Some(Self::Empty),
            (_, Some(Ok(transaction))) => Some(Self::Transaction(recover(transaction))),
            (_, Some(Err(error))) => Some(Self::NotCanonical(error)),
        }
    }

    /// Returns the transaction, if the leaf holds one.
    #[must_use]
    pub fn transaction(&self) -> Option<&RecoveredTransaction> {
        match self {
            Self::Transaction(transaction) => Some(transaction),
            Self::Empty | Self::NotCanonical(_) => None,
        }
    }
}

/// What the ledger says of a block. §3.
#[derive(Debug, Clone)]
pub enum BlockVerdict {
    /// Every rule holds; the block has been applied.
    Valid {
        /// The unspent tree after it.
        tree: UtxoTree,
    },
    /// A transaction breaks a rule; nothing has been applied.
    Invalid {
        /// Its index in the block.
        index: TxIndex,
        /// Which rule, and where the evidence is.
        fault: Fault,
    },
    /// The transactions are valid but the header commits to another unspent set (R8, R9); nothing has been applied.
    WrongUnspentRoot {
        /// The root that the bodies give.
        computed: B256,
    },
}

/// Every coin of the valid part of the chain, spent ones included, by name.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    coins: BTreeMap<OutputId, Coin>,
}

impl Ledger {
    /// Returns the coin, or `None` if no valid block made it.
    #[must_use]
    pub fn coin(&self, output_id: OutputId) -> Option<&Coin> {
        self.coins.get(&output_id)
    }

    /// Returns every coin with its name, in the order of names.
    pub fn coins(&self) -> impl Iterator<Item = (OutputId, &Coin)> {
        self.coins.iter().map(|(&output_id, coin)| (output_id, coin))
    }

    /// Takes in a coin as it was stored, for a ledger that is rebuilt from disk.
    pub fn restore(&mut self, output_id: OutputId, coin: Coin) {
        self.coins.insert(output_id, coin);
    }

    /// Takes in a deposit that a block covers from now on.
    pub fn cover(&mut self, deposit: &Deposit) {
        // A nonce beyond 40 bits cannot have been deposited (§2).
        let Some(position) = Position::of_deposit(deposit.nonce) else { return };
        self.coins.insert(deposit.output_id(), Coin { position, output: deposit.output, spender: None });
    }

    /// Undoes [`Self::cover`]. Nothing may spend the coin any more.
    pub fn uncover(&mut self, deposit: &Deposit) {
        self.coins.remove(&deposit.output_id());
    }

    /// Returns where the inputs of `body` were made: what an operator writes into the witness. §1.5.
    ///
    /// # Errors
    ///
    /// The id of the first input that no valid block made.
    pub fn placement(&self, body: &Transaction) -> Result<Vec<Position>, OutputId> {
        body.inputs().iter().map(|id| self.coins.get(id).map(|coin| coin.position).ok_or(*id)).collect()
    }

    /// Checks R2 to R6 for a transaction at `place`. R1 holds for every [`RecoveredTransaction`]; R7 depends on the block's
    /// timestamp and is [`Self::apply_block`]'s.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, input by input.
    pub fn check_transaction(&self, place: Place, recovered: &RecoveredTransaction) -> Result<(), Fault> {
        let PlacedTransaction { body, witness } = &recovered.transaction;
        let mut inputs = Vec::with_capacity(body.inputs().len());
        for (input, (&output_id, &placement)) in body.inputs().iter().zip(&witness.placement).enumerate() {
            if !placement.is_deposit() && placement >= place.first_output() {
                return Err(Fault::NotBefore { input, placement });
            }
            let coin = self.coins.get(&output_id).filter(|coin| coin.position == placement);
            let coin = coin.ok_or(Fault::NoSuchInput { input, output_id, placement })?;
            if recovered.signer != Some(coin.output.owner) {
                let (owner, signer) = (coin.output.owner, recovered.signer);
                return Err(Fault::NotSignedByOwner { input, owner, signer });
            }
            if let Some(first) = coin.spender {
                return Err(Fault::DoubleSpend { input, output_id, first });
            }
            inputs.push(coin.output);
        }
        check_balance(&inputs, body.outputs())
    }

    /// Applies a transaction that [`Self::check_transaction`] found valid at `place`.
    pub fn apply_transaction(&mut self, place: Place, recovered: &RecoveredTransaction) {
        for input in recovered.body().inputs() {
            if let Some(coin) = self.coins.get_mut(input) {
                coin.spender = Some(place);
            }
        }
        for (position, output_id, output) in made(place, recovered) {
            self.coins.insert(output_id, Coin { position, output, spender: None });
        }
    }

    /// Undoes [`Self::apply_transaction`]. Nothing may spend its outputs any more.
    pub fn revert_transaction(&mut self, recovered: &RecoveredTransaction) {
        for output_id in recovered.output_ids() {
            self.coins.remove(&output_id);
        }
        for input in recovered.body().inputs() {
            if let Some(coin) = self.coins.get_mut(input) {
                coin.spender = None;
            }
        }
    }

    /// Checks R1 to R7 and the unspent root of the block with `header`, and applies it if it is valid.
    ///
    /// `leaves` are all its leaves, whose tree the caller has compared with the header; `covered` the deposits that it covers
    /// and the block before it did not; `tree` the unspent tree before it; `freeze_of` the freeze of a coin that is exiting
    /// or settled, in seconds.
    pub fn apply_block(
        &mut self,
        header: &Header,
        leaves: &[Leaf],
        covered: &[Deposit],
        tree: &UtxoTree,
        freeze_of: impl Fn(OutputId) -> Option<u64>,
    ) -> BlockVerdict {
        covered.iter().for_each(|deposit| self.cover(deposit));
        for (index, leaf) in leaves.iter().enumerate() {
            let index = TxIndex::new(index as u32).expect("a block has at most 2^20 leaves");
            if let Err(fault) =
                self.apply_leaf(Place { block: header.number, index }, leaf, header.timestamp, &freeze_of)
            {
                self.revert_block(&leaves[..index.get() as usize], covered);
                return BlockVerdict::Invalid { index, fault };
            }
        }
        let tree = tree.updated(unspent_updates(header.number, leaves, covered));
        if tree.root() != header.utxo_root {
            self.revert_block(leaves, covered);
            return BlockVerdict::WrongUnspentRoot { computed: tree.root() };
        }
        BlockVerdict::Valid { tree }
    }

    /// Undoes a block that was applied with these leaves and deposits. It must be the last one.
    pub fn revert_block(&mut self, leaves: &[Leaf], covered: &[Deposit]) {
        leaves.iter().rev().filter_map(Leaf::transaction).for_each(|recovered| self.revert_transaction(recovered));
        covered.iter().for_each(|deposit| self.uncover(deposit));
    }

    /// Returns the coins that a block with these leaves and deposits would make, cover or spend, each as the block leaves it.
    #[must_use]
    pub fn touched_coins(&self, block: BlockNumber, leaves: &[Leaf], covered: &[Deposit]) -> BTreeMap<OutputId, Coin> {
        let deposited = covered.iter().filter_map(|deposit| {
            let position = Position::of_deposit(deposit.nonce)?;
            Some((deposit.output_id(), Coin { position, output: deposit.output, spender: None }))
        });
        let mut coins: BTreeMap<_, _> = deposited.collect();
        for (index, leaf) in leaves.iter().enumerate() {
            let Some(recovered) = leaf.transaction() else { continue };
            let place = Place { block, index: TxIndex::new(index as u32).expect("a block has at most 2^20 leaves") };
            for input in recovered.body().inputs() {
                let Some(&coin) = coins.get(input).or_else(|| self.coins.get(input)) else { continue };
                coins.insert(*input, Coin { spender: Some(place), ..coin });
            }
            let made = made(place, recovered);
            coins.extend(made.map(|(position, id, output)| (id, Coin { position, output, spender: None })));
        }
        coins
    }

    fn apply_leaf(
        &mut self,
        place: Place,
        leaf: &Leaf,
        timestamp: u64,
        freeze_of: impl Fn(OutputId) -> Option<u64>,
    ) -> Result<(), Fault> {
        let recovered = match leaf {
            Leaf::Empty => return Ok(()),
            Leaf::NotCanonical(error) => return Err(Fault::NotCanonical(*error)),
            Leaf::Transaction(recovered) => recovered,
        };
        self.check_transaction(place, recovered)?;
        for (input, &output_id) in recovered.body().inputs().iter().enumerate() {
            if let Some(freeze) = freeze_of(output_id).filter(|&freeze| freeze < timestamp) {
                return Err(Fault::Frozen { input, output_id, freeze });
            }
        }
        self.apply_transaction(place, recovered);
        Ok(())
    }
}

/// Returns what a valid block changes in the unspent tree, in order: a later change of one position wins. §1.8.
pub fn unspent_updates(
    block: BlockNumber,
    leaves: &[Leaf],
    covered: &[Deposit],
) -> impl Iterator<Item = (Position, Option<B256>)> {
    let deposited = covered.iter().filter_map(|deposit| {
        let value = utxo_tree::value(deposit.output_id(), &deposit.output);
        Position::of_deposit(deposit.nonce).map(|position| (position, Some(value)))
    });
    let transacted = leaves.iter().enumerate().filter_map(|(i, leaf)| Some((i, leaf.transaction()?))).flat_map(
        move |(index, recovered)| {
            let place = Place { block, index: TxIndex::new(index as u32).expect("a block has at most 2^20 leaves") };
            let spent = recovered.transaction.witness.placement.iter().map(|&position| (position, None));
            let made =
                made(place, recovered).map(|(position, id, output)| (position, Some(utxo_tree::value(id, &output))));
            spent.chain(made)
        },
    );
    deposited.chain(transacted)
}

/// Returns whether the position's block or deposit lies within what the chain had after block `number`.
#[must_use]
pub fn exists_by(position: Position, number: BlockNumber, deposit_count: u64) -> bool {
    match position.kind() {
        PositionKind::Deposit(nonce) => nonce < deposit_count,
        PositionKind::Output(place, _) => place.block <= number,
    }
}

/// The coins that a transaction at `place` makes.
fn made(place: Place, recovered: &RecoveredTransaction) -> impl Iterator<Item = (Position, OutputId, Output)> {
    recovered.body().outputs().iter().enumerate().map(move |(index, &output)| {
        let position = place.output(index as u8).expect("at most 16 outputs");
        (position, OutputId::of_output(recovered.hash, index as u8), output)
    })
}

/// R5: for every asset the inputs' sum is the outputs' sum. Sums of 16 amounts of 128 bits fit into 256.
pub(crate) fn check_balance(inputs: &[Output], outputs: &[Output]) -> Result<(), Fault> {
    let mut sums: BTreeMap<Address, (U256, U256)> = BTreeMap::new();
    for output in inputs {
        sums.entry(output.asset).or_default().0 += U256::from(output.amount);
    }
    for output in outputs {
        sums.entry(output.asset).or_default().1 += U256::from(output.amount);
    }
    match sums.into_iter().find(|(_, (inputs, outputs))| inputs != outputs) {
        Some((asset, (inputs, outputs))) => Err(Fault::Unbalanced { asset, inputs, outputs }),
        None => Ok(()),
    }
}
