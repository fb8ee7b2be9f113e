//! Evidence files: all that is needed to exit coins with the root chain alone.
//!
//! Every field is written, `null` where there is nothing, and every field is asked for: serde alone would take a missing
//! one for `null`.

use alloy_primitives::{Address, Bytes};
use plasmid_exit_game::output::{Deposit, Output, OutputId, TxHash};
use plasmid_exit_game::position::Position;
use serde::{Deserialize, Serialize};

use super::{IncludedTransaction, Inclusion, InclusionError, Receipt, RootBlock, Unspent, UnspentError, form};

/// The name of the evidence format.
pub const EVIDENCE_FORMAT: &str = "plasmid-evidence/1";

/// An evidence file: all that is needed to exit coins with the root chain alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evidence {
    /// [`EVIDENCE_FORMAT`].
    pub format: String,
    /// The root chain's id.
    pub chain_id: u64,
    /// The contract.
    #[serde(with = "form")]
    pub contract: Address,
    /// The root block, at finality depth, as of which it was exported.
    pub exported_at: RootBlock,
    /// The coins.
    pub coins: Vec<EvidenceCoin>,
    /// Transactions whose inclusion is unknown, for in-flight exits.
    pub transactions: Vec<EvidenceTransaction>,
}

/// One coin with everything that its exit shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceCoin {
    /// Its name.
    #[serde(with = "form")]
    pub id: OutputId,
    /// Where it was made.
    #[serde(with = "form")]
    pub position: Position,
    /// Owner, asset and amount.
    #[serde(with = "form")]
    pub output: Output,
    /// The deposit that made it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub deposit: Option<DepositNonce>,
    /// The transaction that made it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub made: Option<Inclusion>,
    /// Proof that it is unspent, for a settlement after a halt.
    #[serde(deserialize_with = "Option::deserialize")]
    pub unspent: Option<Unspent>,
}

/// How a coin was made, as its evidence shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoinOrigin {
    /// By this deposit. Whether the root chain took it is still to be seen.
    Deposit(Deposit),
    /// By this transaction. Whether the root chain has its block's header is still to be seen.
    Transaction(Box<IncludedTransaction>),
}

impl EvidenceCoin {
    /// Checks that what is shown makes this coin, with this output, at this position, and that it is unspent where that is
    /// shown too.
    ///
    /// # Errors
    ///
    /// [`EvidenceError`] for each way in which it does not.
    pub fn verify(&self) -> Result<CoinOrigin, EvidenceError> {
        let Self { id, position, output, .. } = *self;
        if let Some(unspent) = &self.unspent {
            unspent.verify(id, &output).map_err(|source| EvidenceError::Unspent { id, source })?;
            if unspent.position != position {
                return Err(EvidenceError::OtherCoin { id, position });
            }
        }
        let (origin, is_of_coin) = match (&self.deposit, &self.made) {
            (Some(DepositNonce { nonce }), None) => {
                let deposit = Deposit { nonce: *nonce, output };
                let is_of_coin = deposit.output_id() == id && Position::of_deposit(*nonce) == Some(position);
                (CoinOrigin::Deposit(deposit), is_of_coin)
            }
            (None, Some(inclusion)) => {
                let included = inclusion.verify().map_err(|source| EvidenceError::Inclusion { id, source })?;
                let is_of_coin = made(&included).any(|made| made == (id, position, output));
                (CoinOrigin::Transaction(Box::new(included)), is_of_coin)
            }
            (None, None) | (Some(_), Some(_)) => return Err(EvidenceError::Origin { id }),
        };
        if is_of_coin { Ok(origin) } else { Err(EvidenceError::OtherCoin { id, position }) }
    }
}

fn made(included: &IncludedTransaction) -> impl Iterator<Item = (OutputId, Position, Output)> {
    let hash = included.transaction.body.hash();
    let outputs = (0u8..).zip(included.transaction.body.outputs());
    outputs.filter_map(move |(index, &output)| {
        Some((OutputId::of_output(hash, index), included.place.output(index)?, output))
    })
}

/// Which deposit made a coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositNonce {
    /// Its number.
    pub nonce: u64,
}

/// One transaction with everything that its in-flight exit shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceTransaction {
    /// Its name.
    #[serde(with = "form")]
    pub tx_hash: TxHash,
    /// Its body.
    #[serde(with = "form")]
    pub body: Bytes,
    /// Its witness.
    #[serde(with = "form")]
    pub witness: Bytes,
    /// Its inclusion, where it is known.
    #[serde(deserialize_with = "Option::deserialize")]
    pub made: Option<Inclusion>,
    /// The operator's promise, where there is one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub receipt: Option<Receipt>,
    /// The coins that it spends.
    pub inputs: Vec<EvidenceCoin>,
}

/// Why a coin's evidence does not show the coin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Neither a deposit nor a transaction, or both.
    #[error("coin {id} needs a deposit or the transaction that made it, and not both")]
    Origin {
        /// The coin.
        id: OutputId,
    },
    /// What is shown made another coin, or made it elsewhere.
    #[error("what is shown does not make coin {id} at {position}")]
    OtherCoin {
        /// The coin.
        id: OutputId,
        /// Its position.
        position: Position,
    },
    /// The inclusion proves nothing.
    #[error("the inclusion of the transaction that made coin {id} does not verify")]
    Inclusion {
        /// The coin.
        id: OutputId,
        /// Why.
        source: InclusionError,
    },
    /// The membership proves nothing.
    #[error("the unspent proof of coin {id} does not verify")]
    Unspent {
        /// The coin.
        id: OutputId,
        /// Why.
        source: UnspentError,
    },
}
