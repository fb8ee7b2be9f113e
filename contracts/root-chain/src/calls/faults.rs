//! The calls about faults and broken receipts. §3.

use alloy_primitives::{Address, B256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::fault::{Creation, FaultProof, HeldKey, Origin, ShownBody, ShownLeaf, SpentCoin};
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};
use plasmid_exit_game::signature::Signature;

use super::{exit_value, header_value, no_header, path_value};
use crate::bindings::Value;
use crate::client::RootChain;
use crate::node::Call;

/// Returns what announces `call`, a proving call as `sender` is going to send it: who announced it two root blocks before
/// has the reward. §3.
#[must_use]
pub fn announcement_of(sender: Address, call: &Call) -> B256 {
    keccak256([sender.as_slice(), keccak256(&call.data).as_slice()].concat())
}

impl RootChain {
    /// Announces evidence by its [`announcement_of`], which tells nobody what it is. §3.
    #[must_use]
    pub fn announce_fault(&self, announcement: B256) -> Call {
        self.transact("announceFault", &[announcement.into()], 0)
    }

    /// Convicts a block that breaks one of R1–R8. §3.
    #[must_use]
    pub fn prove_fault(&self, proof: &FaultProof) -> Call {
        let input_value = |input: u8| Value::from(u64::from(input));
        let leaf_values = |ShownLeaf { body, witness, inclusion }: &ShownLeaf| {
            vec![body[..].into(), witness[..].into(), shown_inclusion_value(inclusion)]
        };
        let (function, args) = match proof {
            FaultProof::NotCanonical { leaf } => ("proveFaultNotCanonical", leaf_values(leaf)),
            FaultProof::NotBefore { leaf, input } => {
                ("proveFaultNotBefore", [leaf_values(leaf), vec![input_value(*input)]].concat())
            }
            FaultProof::NotMade { leaf, input, origin } => {
                let args = vec![input_value(*input), origin_value(origin)];
                ("proveFaultNotMade", [leaf_values(leaf), args].concat())
            }
            FaultProof::NotDeposited { leaf, input, creation } => {
                let args = vec![input_value(*input), creation_value(creation)];
                ("proveFaultNotDeposited", [leaf_values(leaf), args].concat())
            }
            FaultProof::NotSigned { leaf, input, creation } => {
                let args = vec![input_value(*input), creation_value(creation)];
                ("proveFaultNotSigned", [leaf_values(leaf), args].concat())
            }
            FaultProof::Unbalanced { spend, creations } => {
                let creations = Value::List(creations.iter().map(creation_value).collect());
                ("proveFaultUnbalanced", [body_values(spend), vec![creations]].concat())
            }
            FaultProof::DoubleSpend { spend, other, output_id } => {
                let args = [body_values(spend), body_values(other), vec![output_id.0.into()]];
                ("proveFaultDoubleSpend", args.concat())
            }
            FaultProof::Settled { spend, input } => {
                ("proveFaultSettled", [body_values(spend), vec![input_value(*input)]].concat())
            }
            FaultProof::Exiting { spend, input, exit } => {
                ("proveFaultExiting", [body_values(spend), vec![input_value(*input), exit_value(exit)]].concat())
            }
            FaultProof::ExitingInFlight { spend, input, exit_body, piece } => {
                let args = vec![input_value(*input), exit_body[..].into(), input_value(*piece)];
                ("proveFaultExitingInFlight", [body_values(spend), args].concat())
            }
            FaultProof::HeldSpent { held, spent } => {
                ("proveFaultHeldSpent", [vec![held_value(held)], spent_values(spent)].concat())
            }
            FaultProof::HeldNotMade { held, origin } => {
                ("proveFaultHeldNotMade", vec![held_value(held), origin_value(origin)])
            }
            FaultProof::HeldNotDeposited { held, creation } => {
                ("proveFaultHeldNotDeposited", vec![held_value(held), creation_value(creation)])
            }
        };
        self.transact(function, &args, 0)
    }

    /// Slashes the operator for a receipt that it did not keep. §3.
    ///
    /// `header` is that of the promised block; `None` says that it is not committed. `promise` is read only where the block
    /// was committed in time.
    #[must_use]
    pub fn prove_broken_receipt(
        &self,
        receipt: &Receipt,
        signature: &Signature,
        header: Option<&Header>,
        promise: &BrokenPromise,
    ) -> Call {
        let Receipt { number, first, count, root, by } = *receipt;
        let receipt = Value::Tuple(vec![
            number.get().into(),
            u64::from(first).into(),
            u64::from(count).into(),
            root.into(),
            by.into(),
        ]);
        let BrokenPromise { index, promised, promised_path, held, held_path } = promise;
        let promise = Value::Tuple(vec![
            u64::from(*index).into(),
            (*promised).into(),
            path_value(promised_path),
            (*held).into(),
            path_value(held_path),
        ]);
        let header = header.map_or_else(no_header, header_value);
        self.transact("proveBrokenReceipt", &[receipt, signature.encode()[..].into(), header, promise], 0)
    }
}

pub(super) fn shown_inclusion_value(proof: &InclusionProof) -> Value {
    let InclusionProof { header, index, witness_hash, path } = proof;
    Value::Tuple(vec![header_value(header), u64::from(*index).into(), (*witness_hash).into(), path_value(path)])
}

pub(super) fn creation_value(creation: &Creation) -> Value {
    Value::Tuple(vec![creation.fields[..].into(), creation.index.into()])
}

fn body_values(ShownBody { body, inclusion }: &ShownBody) -> Vec<Value> {
    vec![body[..].into(), shown_inclusion_value(inclusion)]
}

pub(super) fn spent_values(SpentCoin { output_id, output, spend }: &SpentCoin) -> Vec<Value> {
    [vec![output_id.0.into(), output[..].into()], body_values(spend)].concat()
}

fn origin_value(origin: &Origin) -> Value {
    let Origin { header, path, tx_hash, witness_hash, body, witness } = origin;
    Value::Tuple(vec![
        header_value(header),
        path_value(path),
        (*tx_hash).into(),
        (*witness_hash).into(),
        body[..].into(),
        witness[..].into(),
    ])
}

fn held_value(held: &HeldKey) -> Value {
    let HeldKey { header, position, value, proof } = held;
    Value::Tuple(vec![header_value(header), (*position).into(), (*value).into(), proof[..].into()])
}
