//! Every call that changes the contract's state, as a [`Call`] to send.
//!
//! Nothing is sent here: [`Sender`](crate::sender::Sender) does that.

use alloy_primitives::{Address, B256, Bytes, U256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::output::{Deposit, ETHER};
use plasmid_exit_game::position::{BlockNumber, Place, TxIndex};
use plasmid_exit_game::signature::Signature;

use crate::bindings::{EncodeError, Value, encode_call, encode_root_chain_call};
use crate::client::RootChain;
use crate::node::{Call, GasLimit};

mod faults;
mod in_flight;
mod operations;
mod unspent;

pub use self::faults::announcement_of;
pub use self::in_flight::{InputProof, PieceRecord, Spend};
pub use self::operations::KEY_LEAD_BLOCKS;

/// Gas of a start beyond its estimate: by the time that it lands its key may be a later one, which the list does not have yet
/// (27,100), with others before it that the hint does not know of (some 2,500 each). §4, §5.2.
const START_MORE_GAS: u64 = 100_000;
/// Gas of one `processExits` beside its exits: its own cost, the bounty's payment, and what must be left for an empty key to
/// be cleared (§4) with the clearing of some hundred of them.
const PROCESS_GAS: u64 = 1_500_000;
/// Gas of one exit of ether in `processExits` at worst: its payee burns the whole share. §5.2.
const PROCESS_ETHER_EXIT_GAS: u64 = 150_000;
/// Gas of one exit of a token in `processExits` at worst: the token and the bond's payee burn theirs. §5.2.
const PROCESS_TOKEN_EXIT_GAS: u64 = 400_000;
/// Most gas of one transaction (EIP-7825).
const TRANSACTION_GAS_MAX: u64 = 1 << 24;
/// Gas that an in-flight exit's record adds in `processExits` for each input of its transaction at worst: its decision
/// settles them. §6.6.
const PROCESS_INPUT_GAS: u64 = 40_000;
/// Most exits that one [`RootChain::process_exits`] surely has the gas for.
pub const PROCESS_EXITS_MAX: usize = ((TRANSACTION_GAS_MAX - PROCESS_GAS) / PROCESS_TOKEN_EXIT_GAS) as usize;

/// A child-chain block to commit. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission {
    /// The next block's number.
    pub number: BlockNumber,
    /// Root of its transaction tree.
    pub tx_root: B256,
    /// Root of the unspent tree after it.
    pub utxo_root: B256,
    /// Leaves of its transaction tree.
    pub tx_count: u32,
    /// Deposits covered so far.
    pub deposit_count: u64,
    /// The root block on whose branch alone it may land.
    pub anchor: RootRef,
    /// The latest root-chain time at which it may land, in seconds.
    pub not_after: u64,
}

/// Proof that a block includes a transaction whose body is given beside it. §1.7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The block.
    pub header: Header,
    /// Where in it.
    pub tx_index: TxIndex,
    /// Hash of the transaction's witness.
    pub witness_hash: B256,
    /// Siblings from the leaf up, exactly as many as the tree is deep.
    pub path: Vec<B256>,
}

impl InclusionProof {
    /// Returns the transaction's place.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { block: self.header.number, index: self.tx_index }
    }
}

impl RootChain {
    /// Deposits ether for `owner`. §2.
    #[must_use]
    pub fn deposit(&self, owner: Address, amount_wei: u128) -> Call {
        self.transact("deposit", &[owner.into()], amount_wei)
    }

    /// Deposits ERC-20 tokens of the sender, who has [`approve`]d as many, for `owner`. §2.
    #[must_use]
    pub fn deposit_erc20(&self, token: Address, amount: u128, owner: Address) -> Call {
        self.transact("depositErc20", &[token.into(), amount.into(), owner.into()], 0)
    }

    /// Commits the next child-chain block. The operator's alone. §2.
    #[must_use]
    pub fn submit_block(&self, block: &Submission) -> Call {
        let args = [
            block.number.get().into(),
            block.tx_root.into(),
            block.utxo_root.into(),
            u64::from(block.tx_count).into(),
            block.deposit_count.into(),
            block.anchor.number.into(),
            block.anchor.hash.into(),
            block.not_after.into(),
        ];
        self.transact("submitBlock", &args, 0)
    }

    /// Starts the exit of the sender's output `output_index` of the transaction with this body. §5.2.
    ///
    /// `hint` is the exit's key if the asset's list has it, otherwise the one before it: a wrong one costs gas alone.
    /// §4.
    #[must_use]
    pub fn start_standard_exit(
        &self,
        body: &[u8],
        output_index: u8,
        proof: &InclusionProof,
        hint: u64,
        bond_wei: u128,
    ) -> Call {
        let args = [body.into(), u64::from(output_index).into(), inclusion_value(proof), hint.into()];
        let call = self.transact("startStandardExit", &args, bond_wei);
        Call { gas: GasLimit::EstimatedPlus(START_MORE_GAS), ..call }
    }

    /// Starts the exit of a deposit that the sender owns. §5.2. `hint` as for
    /// [`start_standard_exit`](Self::start_standard_exit).
    #[must_use]
    pub fn start_standard_exit_of_deposit(&self, deposit: &Deposit, hint: u64, bond_wei: u128) -> Call {
        let output = &deposit.output;
        let args = [deposit.nonce.into(), output.asset.into(), output.amount.into(), hint.into()];
        let call = self.transact("startStandardExitOfDeposit", &args, bond_wei);
        Call { gas: GasLimit::EstimatedPlus(START_MORE_GAS), ..call }
    }

    /// Ends an exit by a body that spends its coin and its owner's signature for it; the sender gets the bond. §5.2.
    #[must_use]
    pub fn challenge_standard_exit(&self, exit: &ExitRecord, spend: &[u8], signature: &Signature) -> Call {
        self.transact("challengeStandardExit", &[exit_value(exit), spend.into(), signature.encode()[..].into()], 0)
    }

    /// Hands the sender's claim to an exit, bond included, to `payee`. §5.2.
    #[must_use]
    pub fn assign_exit(&self, exit: &ExitRecord, payee: Address) -> Call {
        self.transact("assignExit", &[exit_value(exit), payee.into()], 0)
    }

    /// Pays exits of `asset` whose turn has come, in the order of their keys, and pieces of in-flight exits, in that of
    /// theirs; without any it clears keys alone. §5.2, §6.7.
    ///
    /// The call does as much as its gas allows and skips what it cannot reach, so that an estimate would be one of
    /// doing nothing: it has a fixed limit, enough for [`PROCESS_EXITS_MAX`] exits and some hundred keys to clear; all that
    /// a transaction may have if there is nothing but keys to clear. What it does not use costs nothing.
    /// A refusal with `NotEnoughGas` means many keys to clear before the exits: calls without exits do that.
    #[must_use]
    pub fn process_exits(&self, asset: Address, exits: &[ExitRecord], pieces: &[PieceRecord]) -> Call {
        let gas_each = if asset == ETHER { PROCESS_ETHER_EXIT_GAS } else { PROCESS_TOKEN_EXIT_GAS };
        let count = pieces.iter().fold(exits.len() as u64, |count, record| count + u64::from(record.pieces.len()));
        let inputs: u64 = pieces.iter().map(|record| record.data.inputs.len() as u64).sum();
        let gas = match count {
            0 => TRANSACTION_GAS_MAX,
            _ => PROCESS_GAS
                .saturating_add(gas_each.saturating_mul(count))
                .saturating_add(PROCESS_INPUT_GAS.saturating_mul(inputs))
                .min(TRANSACTION_GAS_MAX),
        };
        let exits = exits.iter().map(exit_value).collect();
        let pieces = pieces.iter().map(in_flight::pieces_value).collect();
        let call = self.transact("processExits", &[asset.into(), Value::List(exits), Value::List(pieces)], 0);
        Call { gas: GasLimit::Exactly(gas), ..call }
    }

    /// Pays the sender's credit in `asset` to `to`. §2.
    #[must_use]
    pub fn claim(&self, asset: Address, to: Address) -> Call {
        self.transact("claim", &[asset.into(), to.into()], 0)
    }

    fn transact(&self, function: &str, args: &[Value], value_wei: u128) -> Call {
        Call {
            to: Some(self.contract()),
            data: encode_root_chain_call(function, args),
            value_wei: U256::from(value_wei),
            gas: GasLimit::Estimated,
        }
    }
}

/// Lets `spender` take up to `amount` of the sender's `token`.
#[must_use]
pub fn approve(token: Address, spender: Address, amount: u128) -> Call {
    erc20(token, "approve(address,uint256)", &[spender.into(), amount.into()])
}

pub(crate) fn balance_of(token: Address, account: Address) -> Call {
    erc20(token, "balanceOf(address)", &[account.into()])
}

fn erc20(token: Address, signature: &str, args: &[Value]) -> Call {
    call(token, signature, args).expect("a test makes each call")
}

/// Calls any function of any contract: `call(token, "mint(address,uint256)", …)`.
///
/// # Errors
///
/// [`EncodeError`] if the signature is none or the values are not of its types.
pub fn call(to: Address, signature: &str, args: &[Value]) -> Result<Call, EncodeError> {
    let data: Bytes = encode_call(signature, args)?;
    Ok(Call { to: Some(to), data, value_wei: U256::ZERO, gas: GasLimit::Estimated })
}

fn inclusion_value(proof: &InclusionProof) -> Value {
    let InclusionProof { header, tx_index, witness_hash, path } = proof;
    let tx_index = u64::from(tx_index.get()).into();
    Value::Tuple(vec![header_value(header), tx_index, (*witness_hash).into(), path_value(path)])
}

/// What stands where no inclusion is shown.
fn no_inclusion() -> Value {
    Value::Tuple(vec![no_header(), 0u64.into(), B256::ZERO.into(), Value::List(Vec::new())])
}

fn path_value(path: &[B256]) -> Value {
    Value::List(path.iter().map(|&sibling| sibling.into()).collect())
}

/// What stands where no header is shown: block number zero, which no block has.
fn no_header() -> Value {
    let (zero, none) = (Value::from(0u64), Value::from(B256::ZERO));
    Value::Tuple(vec![zero.clone(), none.clone(), none, zero.clone(), zero.clone(), zero])
}

fn header_value(header: &Header) -> Value {
    Value::Tuple(vec![
        header.number.get().into(),
        header.tx_root.into(),
        header.utxo_root.into(),
        u64::from(header.tx_count).into(),
        header.deposit_count.into(),
        header.timestamp.into(),
    ])
}

fn exit_value(exit: &ExitRecord) -> Value {
    Value::Tuple(vec![
        exit.output_id.0.into(),
        exit.position.bits().into(),
        exit.output.owner.into(),
        exit.output.asset.into(),
        exit.output.amount.into(),
        exit.key.into(),
    ])
}
