//! The call that starts the exit of a guarded coin. §5.2.

use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::PositionKind;
use plasmid_node::chain::Body;
use plasmid_root_chain::calls::InclusionProof;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::Call;
use plasmid_root_chain::sender::SendError;

use crate::duty::Leave;
use crate::responder::ActError;

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
    let keys = root_chain.exit_keys(coin.output.asset, 0, KEYS_MAX).await.map_err(SendError::from)?;
    let hint = keys.iter().map(|listed| listed.key).take_while(|&key| key <= leave.key).last().unwrap_or(0);
    Ok(match coin.position.kind() {
        PositionKind::Deposit(nonce) => {
            root_chain.start_standard_exit_of_deposit(&Deposit { nonce, output: coin.output }, hint, bond_wei)
        }
        PositionKind::Output(place, output_index) => {
            let body = body.ok_or(ActError::Lost)?;
            let read = tokio::task::spawn_blocking(move || body.inclusion(place.index)).await;
            let included = read.expect("reading a body does not panic")?;
            let proof = InclusionProof {
                header: included.header,
                tx_index: place.index,
                witness_hash: included.transaction.witness.hash(),
                path: included.path,
            };
            root_chain.start_standard_exit(&included.transaction.body.encode(), output_index, &proof, hint, bond_wei)
        }
    })
}
