//! The child chain that evidence is shown from: real bodies, signatures and trees. Nobody checks its blocks.

mod tree;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{InclusionProof, InputProof};
use plasmid_exit_game::fault::{Creation, ShownCoin};
use plasmid_exit_game::output::{Deposit, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::{Domain, SIGNATURE_LEN, Signature};
use plasmid_exit_game::transaction::{Transaction, Witness};
use plasmid_exit_game::tx_tree;

pub(crate) use self::tree::Unspent;
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
    /// The committed blocks, in their order.
    pub(crate) blocks: Vec<Block>,
}

/// A committed block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) paths: Vec<Vec<B256>>,
    pub(crate) unspent: Unspent,
}

/// A leaf with its preimage.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// The transaction whose body it has.
    pub(crate) label: Option<Label>,
    pub(crate) leaf: B256,
    /// Body and witness, none of an empty leaf.
    pub(crate) preimage: Option<(Bytes, Bytes)>,
}

impl Block {
    /// Returns the inclusion of what stands at an index.
    pub(crate) fn inclusion(&self, index: u32) -> Option<InclusionProof> {
        let at = index as usize;
        let (_, witness) = self.leaves.get(at)?.preimage.as_ref()?;
        let path = self.paths[at].clone();
        Some(InclusionProof { header: self.header, index, witness_hash: keccak256(witness), path })
    }
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

    /// Returns the leaves of block `number` with these transactions, some of them crooked; what is unknown is left out, and
    /// `None` is an empty leaf.
    pub(crate) fn leaves(&self, number: u64, txs: &[Option<Label>], crooks: &[(u8, u32)]) -> Vec<Leaf> {
        let leaf = |label: &Option<Label>| match label {
            None => Some(Leaf { label: None, leaf: tx_tree::EMPTY_LEAF, preimage: None }),
            Some(label) => {
                let signed = self.transactions.get(label)?;
                let placement = signed.inputs.iter().map(|&input| self.placement(number, txs, input)).collect();
                let witness = Witness { signature: signed.signature, placement }.encode();
                Some(Leaf::of(Some(*label), signed.bytes.clone(), witness.into()))
            }
        };
        let mut leaves: Vec<Leaf> = txs.iter().filter_map(leaf).collect();
        for &(at, how) in crooks {
            let index = usize::from(at) % leaves.len().max(1);
            if let Some(leaf) = leaves.get_mut(index) {
                leaf.make_crooked(number, index as u64, how);
            }
        }
        leaves
    }

    /// Returns where an input was made: in an earlier block, or by one of these transactions of block `number`.
    fn placement(&self, number: u64, txs: &[Option<Label>], input: CoinRef) -> Position {
        let is_new = self.places_of(input) == 0;
        let index = txs.iter().position(|tx| *tx == Some(input.made_by)).filter(|_| is_new);
        let position = index.and_then(|index| {
            let place = Place { block: BlockNumber::new(number)?, index: TxIndex::new(index as u32)? };
            place.output(input.output)
        });
        position.unwrap_or_else(|| self.position(input, 0))
    }

    /// Notes where a committed block includes transactions.
    pub(crate) fn include(&mut self, header: Header, leaves: Vec<Leaf>, unspent: Unspent) {
        let hashes: Vec<B256> = leaves.iter().map(|leaf| leaf.leaf).collect();
        let block = Block { header, leaves, paths: tx_tree::all_paths(&hashes), unspent };
        for (index, leaf) in (0..).zip(&block.leaves) {
            let signed = leaf.label.and_then(|label| self.transactions.get_mut(&label));
            signed.into_iter().for_each(|signed| signed.places.extend(block.inclusion(index)));
        }
        self.blocks.push(block);
    }

    /// Returns a block by its number.
    pub(crate) fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Returns what made a coin.
    pub(crate) fn creation(&self, output_id: OutputId) -> Option<Creation> {
        let (coin, _, _) = self.coins().find(|&(_, id, _)| id == output_id)?;
        Some(match self.deposits.get(&coin.made_by) {
            Some(&Deposit { nonce, output }) => {
                Creation { fields: Bytes::copy_from_slice(&output.deposit_fields()), index: nonce }
            }
            None => {
                let fields = self.transactions.get(&coin.made_by)?.bytes.clone();
                Creation { fields, index: u64::from(coin.output) }
            }
        })
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
        if let Some(Deposit { output, .. }) = self.deposits.get(&coin.made_by) {
            let creation = Bytes::copy_from_slice(&output.deposit_fields());
            return Some(InputProof { position, creation, inclusion: InclusionProof::NONE });
        }
        let signed = self.transactions.get(&coin.made_by)?;
        Some(InputProof { position, creation: signed.bytes.clone(), inclusion: signed.place(place) })
    }

    /// Returns what shows a coin by its making at one of its places.
    pub(crate) fn shown_coin(&self, coin: CoinRef, place: u8) -> Option<ShownCoin> {
        let creation = self.creation(self.coin(coin)?.0)?;
        let signed = self.transactions.get(&coin.made_by);
        let inclusion = signed.map_or(InclusionProof::NONE, |signed| signed.place(place));
        Some(ShownCoin { creation, inclusion })
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

impl Leaf {
    fn of(label: Option<Label>, body: Bytes, witness: Bytes) -> Self {
        let leaf = tx_tree::leaf(TxHash(keccak256(&body)), keccak256(&witness));
        Self { label, leaf, preimage: Some((body, witness)) }
    }

    /// Makes the leaf at an index of a block break a rule, or look so.
    fn make_crooked(&mut self, number: u64, index: u64, how: u32) {
        let Some((body, witness)) = self.preimage.take() else { return };
        let (mut body, mut witness) = (body.to_vec(), witness.to_vec());
        let inputs = (witness.len() - SIGNATURE_LEN) / 8;
        let (way, rest) = (how % 12, how / 12);
        let at = SIGNATURE_LEN + rest as usize % inputs * 8;
        let rest = u64::from(rest / 16);
        let mut place = |bits: u64| witness[at..at + 8].copy_from_slice(&bits.to_be_bytes());
        let position = |block: u64, index: u64| block << 24 | index << 4;
        match way {
            0 => {
                let at = rest as usize % body.len();
                body[at % 3] ^= 1;
                self.label = None;
            }
            1 => witness.truncate(witness.len() - 1),
            2 => witness[SIGNATURE_LEN / 2..SIGNATURE_LEN].fill(0xff),
            3 => place((1 << 63) | 1),
            4 => place(position(number, index)),
            5 => place(position(number, index + 1)),
            6 => place(position(rest % number, rest / 16 % 4) | (rest / 64 % 3)),
            7 => place(position(rest % number, 9)),
            8 => place((1 << 63) | ((rest % 8) << 4)),
            9 => witness[rest as usize % SIGNATURE_LEN / 2] ^= 1,
            10 => witness[at + 7] ^= 1,
            _ => place(0),
        }
        *self = Self::of(self.label, body.into(), witness.into());
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
