//! Hashes and signers of transactions with libsecp256k1: the services' hot path. §1.5.

use alloy_primitives::{Address, B256, keccak256};
use plasmid_exit_game::ledger::RecoveredTransaction;
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::transaction::PlacedTransaction;
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

/// Hashes `transaction` and recovers its signer; the same as [`RecoveredTransaction::recover`], five times as fast.
#[must_use]
pub fn recover(transaction: PlacedTransaction, domain: &Domain) -> RecoveredTransaction {
    let hash = transaction.body.hash();
    let signer = signer(&transaction.witness.signature, transaction.body.signing_hash(domain));
    RecoveredTransaction { transaction, hash, signer }
}

/// Returns the address whose key signed `digest`, or `None` if there is none; the same as [`Signature::recover`].
#[must_use]
pub fn signer(signature: &Signature, digest: B256) -> Option<Address> {
    let mut compact = signature.encode();
    // EIP-2098 keeps the parity in the top bit of s.
    compact[32] &= 0x7f;
    let parity = if signature.is_y_odd() { RecoveryId::One } else { RecoveryId::Zero };
    let key =
        RecoverableSignature::from_compact(&compact, parity).ok()?.recover(Message::from_digest(digest.0)).ok()?;
    let address = Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..]);
    (!address.is_zero()).then_some(address)
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::SigningKey;
    use plasmid_exit_game::output::{ETHER, Output, OutputId};
    use plasmid_exit_game::position::Position;
    use plasmid_exit_game::transaction::{Transaction, Witness};
    use proptest::prelude::*;

    use super::*;

    /// Values around which arithmetic modulo the order or the field goes wrong.
    fn any_word() -> impl Strategy<Value = [u8; 32]> {
        let small = (0..4u8).prop_map(|low| B256::with_last_byte(low).0);
        let order = alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
        let field = alloy_primitives::hex!("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");
        let half = alloy_primitives::hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");
        let near = prop::sample::select(vec![order, field, half]).prop_flat_map(|word| {
            (0..4u8).prop_map(move |below| {
                let mut word = word;
                word[31] -= below;
                word
            })
        });
        prop_oneof![2 => any::<[u8; 32]>(), 1 => small, 1 => near]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_the_signature_both_libraries_find_the_same_signer(
            r in any_word(), s in any_word(), y_odd in any::<bool>(), digest in any_word(),
        ) {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&r);
            bytes[32..].copy_from_slice(&s);
            bytes[32] = bytes[32] & 0x7f | u8::from(y_odd) << 7;
            if let Ok(signature) = Signature::decode(bytes) {
                prop_assert_eq!(signer(&signature, digest.into()), signature.recover(digest.into()));
            }
        }

        #[test]
        fn a_signed_transaction_is_recovered_as_the_core_does(
            key in any::<[u8; 32]>(), memo in any::<[u8; 32]>(), flip in any::<prop::sample::Index>(), is_hostile in any::<bool>(),
        ) {
            let Ok(key) = SigningKey::from_slice(&key) else { return Ok(()) };
            let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) };
            let output = Output { owner: Address::repeat_byte(1), asset: ETHER, amount: 7 };
            let body = Transaction::new(vec![OutputId(memo.into())], vec![output], memo.into()).unwrap();
            let mut bytes = Signature::sign(&key, body.signing_hash(&domain)).encode();
            if is_hostile {
                bytes[flip.index(64)] ^= 1;
            }
            let Ok(signature) = Signature::decode(bytes) else { return Ok(()) };
            let witness = Witness { signature, placement: vec![Position::of_deposit(1).unwrap()] };
            let transaction = PlacedTransaction { body, witness };
            let recovered = recover(transaction.clone(), &domain);
            prop_assert_eq!(&recovered, &RecoveredTransaction::recover(transaction, &domain));
            let owner = plasmid_exit_game::signature::address_of(key.verifying_key());
            prop_assert_eq!(recovered.signer == Some(owner), !is_hostile);
        }
    }
}
