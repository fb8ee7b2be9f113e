//! What any node of the root chain can be asked, as typed values.
//!
//! Knows nothing of Plasmid. Every answer is checked against the question: a block asked for by number has that number.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use plasmid_exit_game::facts::RootRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bindings::{self, DecodeError, Revert};
use crate::rpc::{Rpc, RpcError};

/// A node of the root chain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Node {
    rpc: Rpc,
}

/// A root-chain block without its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootHeader {
    /// Number and hash.
    pub at: RootRef,
    /// Hash of the block before it.
    pub parent: B256,
    /// Its time, in seconds: the protocol's *now*.
    pub timestamp: u64,
    /// What a unit of gas burnt in it, in wei.
    pub base_fee_wei: u128,
}

/// A log entry as nodes give it; its field names are theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// The contract that wrote it.
    pub address: Address,
    /// The event's signature hash, then its indexed fields.
    pub topics: Vec<B256>,
    /// The other fields, ABI-encoded.
    pub data: Bytes,
    /// Number of its block.
    pub block_number: U64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Hash of its transaction.
    pub transaction_hash: B256,
    /// Its index among all logs of the block.
    pub log_index: U64,
    /// Whether a reorganisation has taken it away.
    #[serde(default)]
    pub removed: bool,
}

/// Which blocks' logs are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRange {
    /// Those of the block with this hash.
    Block(B256),
    /// Those of all blocks from the first number to the second, both included.
    Numbers(u64, u64),
}

/// What logs are asked for, as nodes take it: for each topic in order the words that it may be, or `None` for any.
pub type Topics = Vec<Option<Vec<B256>>>;

/// A transaction to be: where to, with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whom it calls; `None` makes a contract.
    pub to: Option<Address>,
    /// Function id and arguments, or a contract's creation code.
    pub data: Bytes,
    /// Ether sent with it.
    pub value_wei: U256,
    /// How much gas it may use.
    pub gas: GasLimit,
}

/// How much gas a [`Call`] may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GasLimit {
    /// A quarter more than the node's estimate.
    Estimated,
    /// So much more than that: for calls that others can make dearer before they land.
    EstimatedPlus(u64),
    /// Exactly so much: for calls that do what their gas allows, of which an estimate says nothing.
    Exactly(u64),
}

/// A root-chain transaction that is in a block: what nodes call its receipt, a word that here means the operator's
/// promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// Its hash.
    pub transaction: B256,
    /// The block that holds it.
    pub block: RootRef,
    /// Whether it did anything: a failed one only paid for its gas.
    pub is_success: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// Price it paid for each unit, in wei.
    pub gas_price_wei: u128,
    /// The contract that it made.
    pub created: Option<Address>,
    /// All its logs, of any contract.
    pub logs: Vec<Log>,
}

/// Prices of gas now, in wei for a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GasPrices {
    /// What the newest block burnt.
    pub base_fee_wei: u128,
    /// What the node suggests to offer on top.
    pub priority_fee_wei: u128,
}

/// At which block a question about state is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After the newest block.
    Head,
    /// In the block to come, at its time and after what waits to be in it: where a transaction would be. Some nodes
    /// know no such state and answer for the newest block.
    Next,
    /// After the block with this hash.
    Block(B256),
}

impl Node {
    /// Makes a node of its client. Nothing is asked yet.
    #[must_use]
    pub fn new(rpc: Rpc) -> Self {
        Self { rpc }
    }

    /// Returns the client, for what this type does not know (a devnet's clock and miner, say).
    #[must_use]
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Returns the chain's id.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn chain_id(&self) -> Result<u64, ReadError> {
        Ok(self.rpc.read::<U64>("eth_chainId", json!([])).await?.to())
    }

    /// Returns the newest block.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn head(&self) -> Result<RootHeader, ReadError> {
        let block: WireBlock = self.rpc.read("eth_getBlockByNumber", json!(["latest", false])).await?;
        block.header()
    }

    /// Returns the block with this number, or `None` if the chain is shorter.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn block_by_number(&self, number: u64) -> Result<Option<RootHeader>, ReadError> {
        let params = json!([U64::from(number), false]);
        let Some(block) = self.rpc.read::<Option<WireBlock>>("eth_getBlockByNumber", params).await? else {
            return Ok(None);
        };
        let header = block.header()?;
        if header.at.number != number {
            return Err(ReadError::Contradiction { what: "block by number" });
        }
        Ok(Some(header))
    }

    /// Returns the block with this hash, or `None` if the node has none.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn block_by_hash(&self, hash: B256) -> Result<Option<RootHeader>, ReadError> {
        let Some(block) = self.rpc.read::<Option<WireBlock>>("eth_getBlockByHash", json!([hash, false])).await? else {
            return Ok(None);
        };
        let header = block.header()?;
        if header.at.hash != hash {
            return Err(ReadError::Contradiction { what: "block by hash" });
        }
        Ok(Some(header))
    }

    /// Returns what `address` logged in `range`, as the node gives it: in chain order if the node is honest.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn logs(&self, address: Address, range: LogRange) -> Result<Vec<Log>, ReadError> {
        self.logs_about(address, range, &Vec::new()).await
    }

    /// Returns those of these logs that have such topics.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn logs_about(&self, address: Address, range: LogRange, topics: &Topics) -> Result<Vec<Log>, ReadError> {
        let filter = match range {
            LogRange::Block(hash) => json!({ "address": address, "topics": topics, "blockHash": hash }),
            LogRange::Numbers(from, to) => {
                json!({ "address": address, "topics": topics, "fromBlock": U64::from(from), "toBlock": U64::from(to) })
            }
        };
        Ok(self.rpc.read("eth_getLogs", json!([filter])).await?)
    }

    /// Returns the code of `account`, empty if it is no contract.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn code(&self, account: Address) -> Result<Bytes, ReadError> {
        Ok(self.rpc.read("eth_getCode", json!([account, "latest"])).await?)
    }

    /// Returns how much of `asset` an account has: wei for ether (zero), base units for an ERC-20.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question; [`ReadError::NoToken`] if `asset` is no token.
    pub async fn balance(&self, asset: Address, account: Address) -> Result<U256, ReadError> {
        if asset.is_zero() {
            return Ok(self.rpc.read("eth_getBalance", json!([account, "latest"])).await?);
        }
        let result = self.call(None, &crate::calls::balance_of(asset, account), At::Head).await?;
        U256::try_from_be_slice(&result).filter(|_| result.len() == 32).ok_or(ReadError::NoToken { token: asset })
    }

    /// Returns how many transactions of `account` are in blocks: the nonce of its next one.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn transaction_count(&self, account: Address) -> Result<u64, ReadError> {
        Ok(self.rpc.read::<U64>("eth_getTransactionCount", json!([account, "latest"])).await?.to())
    }

    /// Returns what became of a transaction, or `None` while it is in no block.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn landed(&self, transaction: B256) -> Result<Option<Landed>, ReadError> {
        let params = json!([transaction]);
        let Some(receipt) = self.rpc.read::<Option<WireReceipt>>("eth_getTransactionReceipt", params).await? else {
            return Ok(None);
        };
        if receipt.transaction_hash != transaction {
            return Err(ReadError::Contradiction { what: "receipt" });
        }
        Ok(Some(Landed {
            transaction,
            block: RootRef { number: receipt.block_number.to(), hash: receipt.block_hash },
            is_success: receipt.status == U64::from(1),
            gas_used: receipt.gas_used.to(),
            gas_price_wei: wei(receipt.effective_gas_price)?,
            created: receipt.contract_address,
            logs: receipt.logs,
        }))
    }

    /// Returns what gas costs now.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn gas_prices(&self) -> Result<GasPrices, ReadError> {
        let base_fee_wei = self.head().await?.base_fee_wei;
        let priority_fee_wei = wei(self.rpc.read("eth_maxPriorityFeePerGas", json!([])).await?)?;
        Ok(GasPrices { base_fee_wei, priority_fee_wei })
    }

    /// Makes `call` without a transaction and returns what it returns.
    ///
    /// # Errors
    ///
    /// [`ReadError::Reverted`] if it reverts.
    pub async fn call(&self, from: Option<Address>, call: &Call, at: At) -> Result<Bytes, ReadError> {
        let at = match at {
            At::Head => json!("latest"),
            At::Next => json!("pending"),
            At::Block(hash) => json!({ "blockHash": hash }),
        };
        self.rpc.read("eth_call", json!([wire_call(from, call), at])).await.map_err(reverted_or_failed)
    }

    /// Returns the least gas with which `call` does not revert in the block to come, as the node sees it.
    ///
    /// # Errors
    ///
    /// [`ReadError::Reverted`] if it reverts with any.
    pub async fn estimate_gas(&self, from: Address, call: &Call) -> Result<u64, ReadError> {
        let gas = self.rpc.read::<U64>("eth_estimateGas", json!([wire_call(Some(from), call), "pending"])).await;
        Ok(gas.map_err(reverted_or_failed)?.to())
    }
}

/// Why a question to the root chain has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The node could not be asked, or refused.
    #[error("the root chain cannot be read")]
    Rpc(#[from] RpcError),
    /// The call reverts.
    #[error("the call reverts")]
    Reverted(#[source] Revert),
    /// The answer is well-formed, but not to the question.
    #[error("the node contradicts the question or itself: {what}")]
    Contradiction {
        /// What was asked.
        what: &'static str,
    },
    /// A number of the node's is beyond all reason.
    #[error("{value} wei is out of range")]
    Wei {
        /// The number.
        value: U256,
    },
    /// A token's answer is no number.
    #[error("{token} is no ERC-20 token")]
    NoToken {
        /// The address asked.
        token: Address,
    },
    /// There is no contract at the address.
    #[error("there is no contract at {contract}")]
    NoContract {
        /// The address asked.
        contract: Address,
    },
    /// A view's result is not what RootChain returns.
    #[error("the contract is no RootChain, or the node lies")]
    Decode(#[from] DecodeError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlock {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    base_fee_per_gas: U256,
}

impl WireBlock {
    fn header(self) -> Result<RootHeader, ReadError> {
        Ok(RootHeader {
            at: RootRef { number: self.number.to(), hash: self.hash },
            parent: self.parent_hash,
            timestamp: self.timestamp.to(),
            base_fee_wei: wei(self.base_fee_per_gas)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReceipt {
    transaction_hash: B256,
    block_number: U64,
    block_hash: B256,
    status: U64,
    gas_used: U64,
    effective_gas_price: U256,
    contract_address: Option<Address>,
    logs: Vec<Log>,
}

fn wire_call(from: Option<Address>, call: &Call) -> Value {
    let gas = match call.gas {
        GasLimit::Estimated | GasLimit::EstimatedPlus(_) => None,
        GasLimit::Exactly(gas) => Some(U64::from(gas)),
    };
    let mut wire = json!({ "data": call.data, "value": call.value_wei });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            wire[name] = value;
        }
    };
    set("from", from.map(|from| json!(from)));
    set("to", call.to.map(|to| json!(to)));
    set("gas", gas.map(|gas| json!(gas)));
    wire
}

/// Tells a revert from a node's other refusals: code 3, or data, or words to that effect.
fn reverted_or_failed(error: RpcError) -> ReadError {
    match error {
        RpcError::Refused(refusal)
            if refusal.code == 3 || refusal.data.is_some() || refusal.message.contains("revert") =>
        {
            ReadError::Reverted(bindings::decode_revert(&refusal.data.unwrap_or_default()))
        }
        error => ReadError::Rpc(error),
    }
}

fn wei(value: U256) -> Result<u128, ReadError> {
    u128::try_from(value).map_err(|_| ReadError::Wei { value })
}
