//! A new deployment of RootChain, and the bonds that fit a base fee.

use alloy_primitives::{Address, B256, U256, keccak256};
use plasmid_exit_game::exit::key::Periods;

use crate::bindings::{EncodeError, IN_FLIGHT_EXITS_JSON, ROOT_CHAIN_JSON, Value, encode_creation};
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

/// What a deployment fixes for ever. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Signs every block.
    pub operator: Address,
    /// The periods of the exit game, each below 2^32 seconds.
    pub periods: Periods,
    /// What exits cost.
    pub bonds: Bonds,
}

/// A contract that was just deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployed {
    /// What it fixed, as the contract itself says.
    pub deployment: Deployment,
    /// Keccak-256 of its code.
    pub code_hash: B256,
    /// Gas that the deployment used, facet included.
    pub gas_used: u64,
}

impl Bonds {
    /// Returns the bonds for a base fee, or `None` if they pass 2^128 wei. §2.
    ///
    /// A bounty pays for processing one exit or piece; its bond covers the challenge twice and holds back the bounty. What
    /// a start or a challenge of canonicity puts up covers a response twice.
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
        })
    }
}

/// Deploys RootChain and reads back what it fixed.
///
/// # Errors
///
/// [`DeployError`] if the parameters are refused or the deployment does not land.
pub async fn deploy(sender: &Sender, parameters: &Parameters) -> Result<Deployed, DeployError> {
    let Parameters { operator, periods, bonds } = parameters;
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
    ]);
    // What seldom runs is code of its own, with the same parameters.
    let (facet, of_facet) = deploy_artifact(sender, IN_FLIGHT_EXITS_JSON, std::slice::from_ref(&parameters)).await?;
    let (contract, landed) = deploy_artifact(sender, ROOT_CHAIN_JSON, &[parameters, facet.into()]).await?;
    let deployment = RootChain::new(sender.node().clone(), contract).deployment().await?;
    let code_hash = keccak256(sender.node().code(contract).await?);
    Ok(Deployed { deployment, code_hash, gas_used: landed.gas_used.saturating_add(of_facet.gas_used) })
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
    let data = encode_creation(artifact, args)?;
    let landed = sender.send(&Call { to: None, data, value_wei: U256::ZERO, gas: GasLimit::Estimated }).await?;
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
