//! The call that starts the exit of a guarded coin. §5.2.

use alloy_primitives::Address;
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::PositionKind;
use plasmid_node::chain::Body;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::Call;
use plasmid_root_chain::sender::SendError;

use crate::duty::Leave;
use crate::evidence::{ActError, inclusion, reading};

/// Keys of an asset's list that are looked at to find the hint; with a longer list the contract walks the rest.
const KEYS_MAX: u64 = 1_000;

/// Makes the call that starts the exit. `body` is that of the block that made the coin, if one did.
///
/// # Errors
///
/// [`ActError`] if the list of keys cannot be asked for, or the body cannot be read.
pub(crate) async fn exit_call(
    root_chain: &RootChain,
    bond_wei: u128,
    leave: &Leave,
    body: Option<Body>,
) -> Result<Call, ActError> {
    let coin = &leave.coin;
    let hint = hint(root_chain, coin.output.asset, leave.key).await?;
    Ok(match coin.position.kind() {
        PositionKind::Deposit(nonce) => {
            root_chain.start_standard_exit_of_deposit(&Deposit { nonce, output: coin.output }, hint, bond_wei)
        }
        PositionKind::Output(place, output_index) => {
            let body = body.ok_or(ActError::Lost)?;
            let (included, proof) = reading(move || inclusion(&body, place)).await?;
            root_chain.start_standard_exit(&included.body.encode(), output_index, &proof, hint, bond_wei)
        }
    })
}

/// Returns the hint for `key` in the asset's list: itself, or the one before it. §4.
///
/// # Errors
///
/// [`ActError::Send`] if the list cannot be asked for.
pub(crate) async fn hint(root_chain: &RootChain, asset: Address, key: u64) -> Result<u64, ActError> {
    let keys = root_chain.exit_keys(asset, 0, KEYS_MAX).await.map_err(SendError::from)?;
    Ok(keys.iter().map(|listed| listed.key).take_while(|&listed| listed <= key).last().unwrap_or(0))
}
