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

impl Admitted {
    /// Hashes a body, recovers who signed it, and looks whether it pays.
    #[must_use]
    pub fn new(body: Transaction, signature: Signature, domain: &Domain, fees: &FeePolicy) -> Self {
        let signer = recover::signer(&signature, body.signing_hash(domain));
        let is_paying = fees.is_paid_by(&body, signer);
        Self { hash: body.hash(), body, signature, signer, is_paying }
    }
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
    Ok(Admitted::new(body, signature, domain, fees))
}

/// An item of a binary batch: what is said to be a body, and a signature.
pub type BatchItem<'a> = (&'a [u8], [u8; SIGNATURE_LEN]);

/// Splits a binary batch into bodies and signatures: `u16 length of the body ‖ body ‖ signature 64` each.
///
/// # Errors
///
/// `malformed` if the bytes end within an item, `too-large` if there are more than `items_max` items.
pub fn split_batch(mut bytes: &[u8], items_max: usize) -> Result<Vec<BatchItem<'_>>, Problem> {
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

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use plasmid_exit_game::output::{ETHER, Output, OutputId};

    use super::*;

    const ALICE: Address = Address::repeat_byte(1);
    const OPERATOR: Address = Address::repeat_byte(2);
    const TOKEN: Address = Address::repeat_byte(3);

    fn body(inputs: u8, outputs: &[(Address, Address, u128)]) -> Transaction {
        let inputs = (0..inputs).map(|seed| OutputId(B256::repeat_byte(seed))).collect();
        let outputs = outputs.iter().map(|&(owner, asset, amount)| Output { owner, asset, amount }).collect();
        Transaction::new(inputs, outputs, B256::ZERO).unwrap()
    }

    #[test]
    fn a_fee_is_paid_in_one_asset_or_need_not_be_paid() {
        let policy = FeePolicy { address: OPERATOR, minimums: BTreeMap::from([(ETHER, 10), (TOKEN, 3)]) };
        let is_paid = |body: &Transaction| policy.is_paid_by(body, Some(ALICE));
        assert!(is_paid(&body(1, &[(ALICE, ETHER, 90), (OPERATOR, ETHER, 10)])));
        assert!(is_paid(&body(1, &[(OPERATOR, ETHER, 6), (OPERATOR, ETHER, 4)])), "in parts");
        assert!(is_paid(&body(1, &[(ALICE, ETHER, 90), (OPERATOR, TOKEN, 3)])), "in another asset");
        assert!(is_paid(&body(1, &[(OPERATOR, ETHER, u128::MAX), (OPERATOR, ETHER, u128::MAX)])), "no overflow");
        assert!(!is_paid(&body(1, &[(ALICE, ETHER, 90), (OPERATOR, ETHER, 9)])));
        assert!(!is_paid(&body(1, &[(OPERATOR, ETHER, 9), (OPERATOR, TOKEN, 2)])), "two halves are no whole");
        assert!(!is_paid(&body(1, &[(ALICE, ETHER, 90)])));

        assert!(is_paid(&body(2, &[(ALICE, ETHER, 90)])), "a merge is exempt");
        assert!(!is_paid(&body(2, &[(TOKEN, ETHER, 90)])), "a payment of several coins is none");
        assert!(!is_paid(&body(2, &[(ALICE, ETHER, 40), (ALICE, ETHER, 50)])), "nor is a split");
        assert!(!policy.is_paid_by(&body(2, &[(ALICE, ETHER, 90)]), None));
        assert!(FeePolicy::default().is_paid_by(&body(1, &[(ALICE, ETHER, 90)]), None), "none is asked");
    }

    #[test]
    fn what_is_not_canonical_is_refused_by_its_rule() {
        let domain = Domain { chain_id: 1, contract: TOKEN };
        let body = body(1, &[(ALICE, ETHER, 1)]).encode();
        let admit = |body: &[u8], signature| admit(body, signature, &domain, &FeePolicy::default());
        assert!(admit(&body, [1; 64]).is_ok());
        for refused in [admit(&body[1..], [1; 64]), admit(&body, [0; 64]), admit(&[], [1; 64])] {
            let problem = refused.unwrap_err();
            assert_eq!((problem.code, problem.rule), (Code::NotCanonical, Some(Rule::R1)));
        }
    }

    #[test]
    fn a_batch_is_split_at_its_lengths() {
        let item = |body: &[u8]| [&(body.len() as u16).to_be_bytes()[..], body, &[7; 64]].concat();
        let bytes = [item(b"one"), item(b""), item(b"three")].concat();
        let expected: Vec<BatchItem<'_>> = vec![(b"one", [7; 64]), (b"", [7; 64]), (b"three", [7; 64])];
        assert_eq!(split_batch(&bytes, 3).unwrap(), expected);
        assert_eq!(split_batch(&[], 3).unwrap(), []);
        assert_eq!(split_batch(&bytes, 2).unwrap_err().code, Code::TooLarge);
        for len in 1..bytes.len() {
            let whole = [item(b"one").len(), item(b"one").len() + item(b"").len()];
            let outcome = split_batch(&bytes[..len], 3);
            assert_eq!(outcome.is_ok(), whole.contains(&len), "{len}");
        }
    }
}
