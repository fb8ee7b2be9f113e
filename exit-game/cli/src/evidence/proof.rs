//! What a file's own bytes prove: names, hashes, paths and signatures, without the root chain.
//!
//! Whether the root chain has the headers and deposits that are shown is still to be seen: [`super::check`].

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::transaction::{PlacedTransaction, PlacedTransactionError};
use plasmid_exit_game::tx_tree;
use plasmid_node::wire::evidence::{Evidence, EvidenceCoin, EvidenceError, EvidenceTransaction};
use plasmid_node::wire::{Inclusion, InclusionError, Receipt, ReceiptPathError};

/// What was found of each entry of a file, in the file's order.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) coins: Vec<Result<(), CoinFault>>,
    pub(crate) transactions: Vec<Result<(), TransactionFault>>,
}

/// Looks at every entry of a file.
pub(crate) fn look(evidence: &Evidence) -> Findings {
    let domain = Domain { chain_id: evidence.chain_id, contract: evidence.contract };
    let mut seen = BTreeSet::new();
    let coins = evidence.coins.iter().map(|coin| match seen.insert(coin.id) {
        true => check_coin(coin),
        false => Err(CoinFault::Twice { id: coin.id }),
    });
    let coins = coins.collect();
    let mut seen = BTreeSet::new();
    let transactions = evidence.transactions.iter().map(|transaction| match seen.insert(transaction.tx_hash) {
        true => check_transaction(transaction, &domain),
        false => Err(TransactionFault::Twice),
    });
    Findings { coins, transactions: transactions.collect() }
}

/// Checks that what is shown makes the coin.
///
/// # Errors
///
/// [`CoinFault`].
pub(crate) fn check_coin(coin: &EvidenceCoin) -> Result<(), CoinFault> {
    coin.verify()?;
    Ok(())
}

/// Checks that a transaction with what is shown of it could start an in-flight exit. §6.1.
///
/// # Errors
///
/// [`TransactionFault`] for each way in which it could not.
pub(crate) fn check_transaction(shown: &EvidenceTransaction, domain: &Domain) -> Result<(), TransactionFault> {
    let transaction = PlacedTransaction::decode(&shown.body, &shown.witness)?;
    let hash = transaction.body.hash();
    if hash != shown.tx_hash {
        return Err(TransactionFault::OtherName { hash });
    }
    check_inputs(&transaction, &shown.inputs, domain)?;
    if let Some(made) = &shown.made {
        check_made(made, hash)?;
    }
    if let Some(receipt) = &shown.receipt {
        check_receipt(receipt, &transaction, hash)?;
    }
    Ok(())
}

fn check_inputs(
    transaction: &PlacedTransaction,
    inputs: &[EvidenceCoin],
    domain: &Domain,
) -> Result<(), TransactionFault> {
    let PlacedTransaction { body, witness } = transaction;
    if !inputs.iter().map(|input| input.id).eq(body.inputs().iter().copied()) {
        return Err(TransactionFault::OtherInputs);
    }
    let signer = witness.signature.recover(body.signing_hash(domain));
    for (input, &placed) in inputs.iter().zip(&witness.placement) {
        check_coin(input)?;
        if input.position != placed {
            return Err(TransactionFault::Placement { id: input.id });
        }
        if signer != Some(input.output.owner) {
            return Err(TransactionFault::Signature { id: input.id, owner: input.output.owner });
        }
    }
    match unbalanced(inputs.iter().map(|input| &input.output), body.outputs()) {
        Some(asset) => Err(TransactionFault::Unbalanced { asset }),
        None => Ok(()),
    }
}

/// Returns an asset whose inputs and outputs differ. R5: sums of 16 amounts of 128 bits fit into 256.
fn unbalanced<'a>(
    inputs: impl IntoIterator<Item = &'a Output>,
    outputs: impl IntoIterator<Item = &'a Output>,
) -> Option<Address> {
    let mut sums: BTreeMap<Address, (U256, U256)> = BTreeMap::new();
    inputs.into_iter().for_each(|input| sums.entry(input.asset).or_default().0 += U256::from(input.amount));
    outputs.into_iter().for_each(|output| sums.entry(output.asset).or_default().1 += U256::from(output.amount));
    sums.into_iter().find(|(_, (inputs, outputs))| inputs != outputs).map(|(asset, _)| asset)
}

fn check_made(made: &Inclusion, hash: TxHash) -> Result<(), TransactionFault> {
    let included = made.verify()?.transaction.body.hash();
    if included == hash { Ok(()) } else { Err(TransactionFault::OtherMade { hash: included }) }
}

fn check_receipt(receipt: &Receipt, transaction: &PlacedTransaction, hash: TxHash) -> Result<(), TransactionFault> {
    receipt.signed()?;
    let leaf = tx_tree::leaf(hash, transaction.witness.hash());
    if receipt.leaf == leaf { Ok(()) } else { Err(TransactionFault::OtherReceipt) }
}

/// Why a coin's entry does not show the coin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CoinFault {
    #[error("coin {id} is listed twice")]
    Twice { id: OutputId },
    #[error(transparent)]
    Coin(#[from] EvidenceError),
}

/// Why a transaction's entry does not show what an in-flight exit needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransactionFault {
    #[error("it is listed twice")]
    Twice,
    #[error("it is not canonical")]
    NotCanonical(#[from] PlacedTransactionError),
    #[error("the body is that of {hash}")]
    OtherName { hash: TxHash },
    #[error("the coins shown are not those that it spends, in their order")]
    OtherInputs,
    #[error("an input is not proven")]
    Input(#[from] CoinFault),
    #[error("the witness places coin {id} elsewhere than its proof")]
    Placement { id: OutputId },
    #[error("the signature is not by {owner}, who owns coin {id}")]
    Signature { id: OutputId, owner: Address },
    #[error("inputs and outputs differ in asset {asset}")]
    Unbalanced { asset: Address },
    #[error("its inclusion does not verify")]
    Made(#[from] InclusionError),
    #[error("the inclusion is that of {hash}")]
    OtherMade { hash: TxHash },
    #[error("the receipt promises nothing")]
    Receipt(#[from] ReceiptPathError),
    #[error("the receipt promises another leaf than body and witness make")]
    OtherReceipt,
}
