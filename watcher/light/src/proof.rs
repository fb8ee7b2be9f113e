//! Kept evidence as the contract takes it. §5.2, §6.1

use plasmid_exit_game::position::PositionKind;
use plasmid_node::wire::IncludedTransaction;
use plasmid_node::wire::evidence::{CoinOrigin, EvidenceCoin};
use plasmid_root_chain::calls::{InclusionProof, InputProof};

/// Returns an inclusion as the contract takes it.
#[must_use]
pub fn inclusion(included: &IncludedTransaction) -> InclusionProof {
    InclusionProof {
        header: included.header,
        tx_index: included.place.index,
        witness_hash: included.transaction.witness.hash(),
        path: included.path.clone(),
    }
}

/// Returns what shows a coin's creation to the contract; `None` if the evidence does not hold.
#[must_use]
pub fn creation(coin: &EvidenceCoin) -> Option<InputProof> {
    Some(match (coin.verify().ok()?, coin.position.kind()) {
        (CoinOrigin::Deposit(deposit), _) => InputProof::Deposit(deposit),
        (CoinOrigin::Transaction(included), PositionKind::Output(_, output_index)) => InputProof::Output {
            creation: included.transaction.body.clone(),
            output_index,
            inclusion: inclusion(&included),
        },
        (CoinOrigin::Transaction(_), PositionKind::Deposit(_)) => return None,
    })
}
