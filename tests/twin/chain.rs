//! The child chain that evidence is shown from: real bodies, signatures and trees. Nobody checks its blocks.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{InclusionProof, InputProof};
use plasmid_exit_game::output::{Deposit, Output, OutputId, TxHash};
use plasmid_exit_game::position::{Place, Position, TxIndex};
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::transaction::{Transaction, Witness};
use plasmid_exit_game::tx_tree;

use crate::action::{CoinRef, Label};
use crate::evm::key_of;

/// A transaction that somebody signed.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) body: Transaction,
    pub(crate) tx_hash: TxHash,
    pub(crate) bytes: Bytes,
    pub(crate) signature: Signature,
    /// What its inputs are, in the order of the body.
    pub(crate) inputs: Vec<CoinRef>,
    /// Everywhere that it is included, oldest first.
    pub(crate) places: Vec<InclusionProof>,
}

/// Everything that was ever made or signed, by the step that did it.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pub(crate) deposits: BTreeMap<Label, Deposit>,
    pub(crate) transactions: BTreeMap<Label, Signed>,
}

impl Chain {
    /// Signs a transaction. `None` if a coin is unknown, it is not canonical, or it was signed before.
    pub(crate) fn sign(
        &mut self,
        label: Label,
        signer: u8,
        inputs: &[CoinRef],
        outputs: Vec<Output>,
        memo: u8,
        domain: &Domain,
    ) -> Option<()> {
        let mut named: Vec<(OutputId, CoinRef)> =
            inputs.iter().map(|&input| Some((self.coin(input)?.0, input))).collect::<Option<_>>()?;
        named.sort_unstable();
        let ids = named.iter().map(|&(id, _)| id).collect();
        let body = Transaction::new(ids, outputs, B256::repeat_byte(memo)).ok()?;
        let tx_hash = body.hash();
        if self.transactions.values().any(|known| known.tx_hash == tx_hash) {
            return None;
        }
        let signature = Signature::sign(key_of(signer), body.signing_hash(domain));
        let inputs = named.into_iter().map(|(_, input)| input).collect();
        let bytes = body.encode().into();
        self.transactions.insert(label, Signed { body, tx_hash, bytes, signature, inputs, places: Vec::new() });
        Some(())
    }

    /// Returns the leaves of a block of these transactions with their witnesses' hashes; what is unknown is left out, and
    /// `None` is an empty leaf.
    pub(crate) fn leaves(&self, txs: &[Option<Label>]) -> Vec<(Option<Label>, B256, B256)> {
        let leaf = |label: &Option<Label>| match label {
            None => Some((None, B256::ZERO, tx_tree::EMPTY_LEAF)),
            Some(label) => {
                let signed = self.transactions.get(label)?;
                let placement = signed.inputs.iter().map(|&input| self.position(input, 0)).collect();
                let witness = Witness { signature: signed.signature, placement }.hash();
                Some((Some(*label), witness, tx_tree::leaf(signed.tx_hash, witness)))
            }
        };
        txs.iter().filter_map(leaf).collect()
    }

    /// Notes where a committed block includes transactions.
    pub(crate) fn include(&mut self, header: Header, leaves: &[(Option<Label>, B256, B256)]) {
        let hashes: Vec<B256> = leaves.iter().map(|&(_, _, leaf)| leaf).collect();
        for ((index, &(label, witness_hash, _)), path) in (0..).zip(leaves).zip(tx_tree::all_paths(&hashes)) {
            let signed = label.and_then(|label| self.transactions.get_mut(&label));
            signed.into_iter().for_each(|signed| {
                signed.places.push(InclusionProof { header, index, witness_hash, path: path.clone() });
            });
        }
    }

    /// Returns a coin's name and what it is worth.
    pub(crate) fn coin(&self, coin: CoinRef) -> Option<(OutputId, Output)> {
        if let Some(deposit) = self.deposits.get(&coin.made_by) {
            return (coin.output == 0).then(|| (deposit.output_id(), deposit.output));
        }
        let signed = self.transactions.get(&coin.made_by)?;
        let output = signed.body.outputs().get(usize::from(coin.output))?;
        Some((OutputId::of_output(signed.tx_hash, coin.output), *output))
    }

    /// Returns all coins.
    pub(crate) fn coins(&self) -> impl Iterator<Item = (CoinRef, OutputId, Output)> {
        let deposits = self
            .deposits
            .iter()
            .map(|(&made_by, deposit)| (CoinRef { made_by, output: 0 }, deposit.output_id(), deposit.output));
        let outputs = self.transactions.iter().flat_map(|(&made_by, signed)| {
            (0..).zip(signed.body.outputs()).map(move |(output, &made)| {
                (CoinRef { made_by, output }, OutputId::of_output(signed.tx_hash, output), made)
            })
        });
        deposits.chain(outputs)
    }

    /// Returns in how many places the coin was made: one for a deposit.
    pub(crate) fn places_of(&self, coin: CoinRef) -> usize {
        self.transactions.get(&coin.made_by).map_or(1, |signed| signed.places.len())
    }

    /// Returns a proof of what made an input at one of its places; an empty one if it was made nowhere.
    pub(crate) fn input_proof(&self, coin: CoinRef, place: u8) -> Option<InputProof> {
        let position = self.position(coin, place).bits();
        if let Some(Deposit { output: Output { owner, asset, amount }, .. }) = self.deposits.get(&coin.made_by) {
            let creation = [owner.as_slice(), asset.as_slice(), &amount.to_be_bytes()].concat().into();
            return Some(InputProof { position, creation, inclusion: InclusionProof::NONE });
        }
        let signed = self.transactions.get(&coin.made_by)?;
        Some(InputProof { position, creation: signed.bytes.clone(), inclusion: signed.place(place) })
    }

    /// Returns who owns the inputs of a transaction.
    pub(crate) fn owner_of_inputs(&self, signed: &Signed) -> Option<Address> {
        signed.inputs.first().and_then(|&input| self.coin(input)).map(|(_, output)| output.owner)
    }

    /// Returns where a coin was made; zero bits if nowhere.
    pub(crate) fn position(&self, coin: CoinRef, place: u8) -> Position {
        let position = match (self.deposits.get(&coin.made_by), self.transactions.get(&coin.made_by)) {
            (Some(deposit), _) => Position::of_deposit(deposit.nonce),
            (None, Some(signed)) => place_of(&signed.place(place)).output(coin.output),
            (None, None) => None,
        };
        position.expect("nonces and indexes are small")
    }
}

impl Signed {
    /// Returns one of its inclusions, none if there is none.
    pub(crate) fn place(&self, place: u8) -> InclusionProof {
        let places = self.places.len().max(1);
        self.places.get(usize::from(place) % places).cloned().unwrap_or(InclusionProof::NONE)
    }

    pub(crate) fn signature(&self) -> Bytes {
        Bytes::copy_from_slice(&self.signature.encode())
    }
}

/// Returns where an inclusion shows its transaction.
pub(crate) fn place_of(inclusion: &InclusionProof) -> Place {
    let index = TxIndex::new(inclusion.index).expect("a small index");
    Place { block: inclusion.header.number, index }
}
