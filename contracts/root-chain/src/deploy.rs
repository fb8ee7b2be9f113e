//! A new deployment of RootChain, and the bonds that fit a base fee.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use plasmid_exit_game::exit::key::Periods;

use crate::bindings::{
    EncodeError, FAULTS_JSON, IN_FLIGHT_EXITS_JSON, OPERATIONS_JSON, ROOT_CHAIN_JSON, UNSPENT_TREE_JSON, Value,
    encode_creation,
};
use crate::client::{Bonds, Deployment, RootChain};
use crate::node::{Call, GasLimit, Landed, ReadError};
use crate::sender::{SendError, Sender};

/// Gas of the dearest challenge of a standard exit: that of a deposit, by a spend of 16 inputs and 16 outputs. Measured
/// by this crate's tests.
pub const CHALLENGE_GAS: u128 = 100_000;
/// Gas of processing one exit in a call of its own, with a key to clear and a payee that had no ether before. Measured
/// by this crate's tests.
pub const PROCESS_EXIT_GAS: u128 = 100_000;

/// Gas of the dearest response to a challenge of canonicity: the deepest proof. These, too, are measured by this crate's
/// tests.
pub const RESPONSE_GAS: u128 = 65_000;
/// Gas of the dearest challenge of a piece beside what each input adds: a spend of 16 inputs and 16 outputs, the deepest
/// proof.
pub const CHALLENGE_PIECE_GAS: u128 = 135_000;
/// What each input of the exiting transaction adds to it.
pub const CHALLENGE_PIECE_GAS_PER_INPUT: u128 = 4_500;
/// Gas of processing one piece in a call of its own, with a key to clear, of a transaction of 16 outputs, beside what each
/// input adds.
pub const PROCESS_PIECE_GAS: u128 = 105_000;
/// What each input of the exiting transaction adds to it: its data, and settling its coin.
pub const PROCESS_PIECE_GAS_PER_INPUT: u128 = 25_000;

/// Gas of an announcement.
pub const ANNOUNCE_GAS: u128 = 51_000;
/// Most gas of a proof that a block is invalid, whatever its rule: the contract's tests hold each prover to it.
pub const PROVE_FAULT_GAS: u128 = 3_000_000;
/// Gas of the dearest proof that a receipt is broken: two leaves, each by the deepest proof.
pub const PROVE_RECEIPT_GAS: u128 = 135_000;
/// Gas of the dearest answer to a claim that an unspent tree lacks a coin: a membership with all siblings, or a spend of 16
/// inputs and 16 outputs by the deepest proof.
pub const ANSWER_MISSING_GAS: u128 = 135_000;
/// Broken receipts that the bond covers beside one fault, where nothing else is said.
const RECEIPTS_COVERED: u128 = 4;

/// What a deployment fixes for ever. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Signs every block.
    pub operator: Address,
    /// The periods of the exit game, each below 2^32 seconds.
    pub periods: Periods,
    /// What exits cost, and faults.
    pub bonds: Bonds,
    /// What the deployer puts up for the operator, in wei: a fault's slash, the rest for broken receipts. §3.
    pub operator_bond_wei: u128,
}

/// A contract that was just deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployed {
    /// What it fixed, as the contract itself says.
    pub deployment: Deployment,
    /// Keccak-256 of its code.
    pub code_hash: B256,
    /// Gas that the deployment used, facets included.
    pub gas_used: u64,
}

impl Bonds {
    /// Returns the bonds for a base fee, or `None` if they pass 2^128 wei. §2.
    ///
    /// A bounty pays for processing one exit or piece; its bond covers the challenge twice and holds back the bounty. What
    /// a start or a challenge of canonicity puts up covers a response twice. What is slashed is twice the reward, which covers
    /// announcement and proof twice: the least that is fair. A chain that holds much may want more. A claim that a coin is
    /// missing covers its answer three times.
    #[must_use]
    pub fn at_base_fee(base_fee_wei: u128) -> Option<Self> {
        let exit_bounty_wei = base_fee_wei.checked_mul(PROCESS_EXIT_GAS)?;
        let exit_bond_wei = base_fee_wei.checked_mul(2 * CHALLENGE_GAS)?.checked_add(exit_bounty_wei)?;
        let piece_bounty_wei = base_fee_wei.checked_mul(PROCESS_PIECE_GAS)?;
        let piece_bounty_per_input_wei = base_fee_wei.checked_mul(PROCESS_PIECE_GAS_PER_INPUT)?;
        let twice = |gas: u128| base_fee_wei.checked_mul(2 * gas);
        Some(Self {
            exit_bond_wei,
            exit_bounty_wei,
            in_flight_bond_wei: twice(RESPONSE_GAS)?,
            piece_bond_wei: twice(CHALLENGE_PIECE_GAS)?.checked_add(piece_bounty_wei)?,
            piece_bond_per_input_wei: twice(CHALLENGE_PIECE_GAS_PER_INPUT)?.checked_add(piece_bounty_per_input_wei)?,
            piece_bounty_wei,
            piece_bounty_per_input_wei,
            fault_slash_wei: twice(2 * (ANNOUNCE_GAS + PROVE_FAULT_GAS))?,
            receipt_slash_wei: twice(2 * (ANNOUNCE_GAS + PROVE_RECEIPT_GAS))?,
            missing_bond_wei: base_fee_wei.checked_mul(3 * ANSWER_MISSING_GAS)?,
        })
    }

    /// Returns a bond for the operator that covers one fault and four broken receipts, in wei, or `None` if it passes 2^128.
    #[must_use]
    pub fn operator_bond_wei(&self) -> Option<u128> {
        self.receipt_slash_wei.checked_mul(RECEIPTS_COVERED)?.checked_add(self.fault_slash_wei)
    }
}

/// Deploys RootChain and reads back what it fixed.
///
/// # Errors
///
/// [`DeployError`] if the parameters are refused or the deployment does not land.
pub async fn deploy(sender: &Sender, parameters: &Parameters) -> Result<Deployed, DeployError> {
    let Parameters { operator, periods, bonds, operator_bond_wei } = parameters;
    for period_secs in [periods.minimum_exit_period, periods.sunset] {
        if period_secs > u64::from(u32::MAX) {
            return Err(DeployError::Period { period_secs });
        }
    }
    let parameters = Value::Tuple(vec![
        (*operator).into(),
        periods.minimum_exit_period.into(),
        periods.sunset.into(),
        bonds.exit_bond_wei.into(),
        bonds.exit_bounty_wei.into(),
        bonds.in_flight_bond_wei.into(),
        bonds.piece_bond_wei.into(),
        bonds.piece_bond_per_input_wei.into(),
        bonds.piece_bounty_wei.into(),
        bonds.piece_bounty_per_input_wei.into(),
        bonds.fault_slash_wei.into(),
        bonds.receipt_slash_wei.into(),
        bonds.missing_bond_wei.into(),
    ]);
    // What seldom runs is code of its own, with the same parameters.
    let (mut facets, mut gas_used) = (Vec::new(), 0u64);
    for artifact in [IN_FLIGHT_EXITS_JSON, FAULTS_JSON, OPERATIONS_JSON, UNSPENT_TREE_JSON] {
        let (facet, landed) = deploy_artifact(sender, artifact, std::slice::from_ref(&parameters)).await?;
        facets.push(facet.into());
        gas_used = gas_used.saturating_add(landed.gas_used);
    }
    let data = encode_creation(ROOT_CHAIN_JSON, &[parameters, Value::Tuple(facets)])?;
    let (contract, landed) = create(sender, data, U256::from(*operator_bond_wei)).await?;
    let deployment = RootChain::new(sender.node().clone(), contract).deployment().await?;
    let code_hash = keccak256(sender.node().code(contract).await?);
    Ok(Deployed { deployment, code_hash, gas_used: landed.gas_used.saturating_add(gas_used) })
}

/// Deploys the contract of an artifact, `{"abi", "bytecode"}`, and returns its address and where that landed.
///
/// # Errors
///
/// [`DeployError`] if the arguments do not fit its constructor or the deployment does not land.
pub async fn deploy_artifact(
    sender: &Sender,
    artifact: &str,
    args: &[Value],
) -> Result<(Address, Landed), DeployError> {
    create(sender, encode_creation(artifact, args)?, U256::ZERO).await
}

async fn create(sender: &Sender, data: Bytes, value_wei: U256) -> Result<(Address, Landed), DeployError> {
    let landed = sender.send(&Call { to: None, data, value_wei, gas: GasLimit::Estimated }).await?;
    let contract = landed.created.ok_or(ReadError::Contradiction { what: "receipt of a deployment" })?;
    Ok((contract, landed))
}

/// Why there is no new contract.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A period that the contract cannot hold.
    #[error("a period of {period_secs} s is not below 2^32 s")]
    Period {
        /// The period, in seconds.
        period_secs: u64,
    },
    /// Not an artifact, or other arguments than its constructor takes.
    #[error("the deployment cannot be encoded")]
    Encode(#[from] EncodeError),
    /// The deployment did not land.
    #[error("the deployment was not made")]
    Send(#[from] SendError),
    /// What was deployed cannot be read.
    #[error("the deployment cannot be read")]
    Read(#[from] ReadError),
}
