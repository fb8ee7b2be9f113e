//! What can be said of a transaction by itself: canonical or not, who signed it, whether it pays. Runs in parallel, before
//! the one writer. §1.5.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::signature::{Domain, SIGNATURE_LEN, Signature};
use plasmid_exit_game::transaction::{BODY_LEN_MAX, Transaction};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::recover;
use plasmid_node::wire;

/// A transaction whose bytes are in order. Whether its inputs exist is the sequencer's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The body.
    pub body: Transaction,
    /// Its hash.
    pub hash: TxHash,
    /// The signature that came with it.
    pub signature: Signature,
    /// Whose key that is, if anybody's.
    pub signer: Option<Address>,
    /// Whether it pays the fee, or need not.
    pub is_paying: bool,
}

/// Decodes a body and its signature and recovers the signer.
///
/// # Errors
///
/// `not-canonical` if body or signature is not (R1).
pub fn admit(
    body: &[u8],
    signature: [u8; SIGNATURE_LEN],
    domain: &Domain,
    fees: &FeePolicy,
) -> Result<Admitted, Problem> {
    let not_canonical = |detail: String| Problem::new(Code::NotCanonical, detail).with_rule(Rule::R1);
    let body = Transaction::decode(body).map_err(|error| not_canonical(error.to_string()))?;
    let signature = Signature::decode(signature).map_err(|error| not_canonical(error.to_string()))?;
    let signer = recover::signer(&signature, body.signing_hash(domain));
    let is_paying = fees.is_paid_by(&body, signer);
    Ok(Admitted { hash: body.hash(), body, signature, signer, is_paying })
}

/// Splits a binary batch into bodies and signatures: `u16 length of the body ‖ body ‖ signature 64` each.
///
/// # Errors
///
/// `malformed` if the bytes end within an item, `too-large` if there are more than `items_max` items.
pub fn split_batch(mut bytes: &[u8], items_max: usize) -> Result<Vec<(&[u8], [u8; SIGNATURE_LEN])>, Problem> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        if items.len() == items_max {
            return Err(Problem::new(Code::TooLarge, format!("more than {items_max} transactions")));
        }
        let item = (|| {
            let (len, rest) = bytes.split_first_chunk::<2>()?;
            let (body, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
            let (signature, rest) = rest.split_first_chunk::<SIGNATURE_LEN>()?;
            Some((body, *signature, rest))
        })();
        let cut = || Problem::new(Code::Malformed, format!("item {} is cut off", items.len()));
        let (body, signature, rest) = item.ok_or_else(cut)?;
        items.push((body, signature));
        bytes = rest;
    }
    Ok(items)
}

/// Most bytes of a batch of `items` transactions.
#[must_use]
pub const fn batch_len_max(items: usize) -> usize {
    items * (2 + BODY_LEN_MAX + SIGNATURE_LEN)
}

/// What the operator asks for a transaction. §1.5: its own affair, no rule of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeePolicy {
    /// Who is paid.
    pub address: Address,
    /// The assets in which a fee may be paid, with the least that is taken, in base units. None: no fee is asked.
    pub minimums: BTreeMap<Address, u128>,
}

impl FeePolicy {
    /// Returns whether `body` pays in one of the assets, or is exempt: a merge of two or more of the signer's coins into one.
    /// (With one output all inputs are of its asset, or the transaction does not balance.)
    #[must_use]
    pub fn is_paid_by(&self, body: &Transaction, signer: Option<Address>) -> bool {
        let is_merge = body.inputs().len() >= 2 && matches!(body.outputs(), [output] if Some(output.owner) == signer);
        self.minimums.is_empty()
            || is_merge
            || self.minimums.iter().any(|(&asset, &minimum)| {
                let to_us =
                    body.outputs().iter().filter(|output| output.owner == self.address && output.asset == asset);
                // A sum beyond 128 bits is above any minimum.
                to_us.map(|output| output.amount).fold(0, u128::saturating_add) >= minimum
            })
    }
}

impl From<&FeePolicy> for wire::Fees {
    fn from(policy: &FeePolicy) -> Self {
        let assets = policy.minimums.iter().map(|(&asset, &minimum)| wire::Fee { asset, minimum }).collect();
        Self { address: policy.address, assets }
    }
}
