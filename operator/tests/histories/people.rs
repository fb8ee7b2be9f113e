//! Who pays whom.

use alloy_primitives::Address;
use k256::ecdsa::SigningKey;
use plasmid_exit_game::signature::address_of;

/// Somebody with a key.
#[derive(Clone)]
pub(crate) struct Person {
    pub key: SigningKey,
    pub address: Address,
}

/// Three people.
pub(crate) fn people() -> Vec<Person> {
    (1..=3)
        .map(|seed| {
            let key = SigningKey::from_slice(&[seed; 32]).unwrap();
            Person { address: address_of(key.verifying_key()), key }
        })
        .collect()
}
