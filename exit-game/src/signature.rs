//! Signatures in EIP-2098 form and the EIP-712 domain. §1.5, §1.6.
//!
//! The core recovers with k256. Services recover on their hot path with libsecp256k1 and agree with this module by test.

use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::{RecoveryId, SigningKey, VerifyingKey};

/// Bytes of a signature. §1.5.
pub const SIGNATURE_LEN: usize = 64;

/// The order of secp256k1, big-endian.
const ORDER: [u8; 32] = alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
/// Half the order: the largest `s` allowed (EIP-2).
const HALF_ORDER: [u8; 32] = alloy_primitives::hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// An ECDSA signature over secp256k1 in EIP-2098 form: `r 32 ‖ yParity 1 bit, s 255 bits`, big-endian. §1.5.
///
/// Every value of this type has `0 < r < n` and `0 < s <= n/2`; whether a key belongs to it is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; SIGNATURE_LEN]);

impl Signature {
    /// Decodes 64 bytes.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] if `r` or `s` is out of range or `s` lies in the upper half (R1).
    pub fn decode(bytes: [u8; SIGNATURE_LEN]) -> Result<Self, SignatureError> {
        let signature = Self(bytes);
        let (r, s) = (&bytes[..32], signature.s());
        if r.iter().all(|&byte| byte == 0) || *r >= ORDER[..] {
            return Err(SignatureError::R);
        }
        if s == [0; 32] || s > HALF_ORDER {
            return Err(SignatureError::S);
        }
        Ok(signature)
    }

    /// Returns the 64 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SIGNATURE_LEN] {
        self.0
    }

    /// Returns `r`, 32 bytes big-endian.
    #[must_use]
    pub fn r(&self) -> [u8; 32] {
        self.0[..32].try_into().expect("32 of 64 bytes")
    }

    /// Returns `s`, 32 bytes big-endian, without the parity bit.
    #[must_use]
    pub fn s(&self) -> [u8; 32] {
        let mut s: [u8; 32] = self.0[32..].try_into().expect("32 of 64 bytes");
        s[0] &= 0x7f;
        s
    }

    /// Returns whether the signature's point has an odd y.
    #[must_use]
    pub fn is_y_odd(&self) -> bool {
        self.0[32] & 0x80 != 0
    }

    /// Returns the address whose key signed `digest`, or `None` if there is none (R4).
    #[must_use]
    pub fn recover(&self, digest: B256) -> Option<Address> {
        let signature = k256::ecdsa::Signature::from_scalars(self.r(), self.s()).ok()?;
        let recovery = RecoveryId::new(self.is_y_odd(), false);
        let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, recovery).ok()?;
        let address = address_of(&key);
        (!address.is_zero()).then_some(address)
    }

    /// Signs `digest` with `key`, deterministically (RFC 6979).
    ///
    /// # Panics
    ///
    /// Never in practice: a digest for which RFC 6979 finds no signature is not known to exist.
    #[must_use]
    pub fn sign(key: &SigningKey, digest: B256) -> Self {
        let (signature, recovery) =
            key.sign_prehash_recoverable(digest.as_slice()).expect("RFC 6979 finds a nonce for every digest");
        let mut bytes: [u8; SIGNATURE_LEN] = signature.to_bytes().into();
        bytes[32] |= u8::from(recovery.is_y_odd()) << 7;
        Self(bytes)
    }
}

/// Returns the address that belongs to `key`: the last 20 bytes of keccak-256 of its point.
#[must_use]
pub fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

/// Why 64 bytes are no signature. R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `r` is zero or not below the group order.
    #[error("r is out of range")]
    R,
    /// `s` is zero or in the upper half.
    #[error("s is out of range or in the upper half")]
    S,
}

/// The EIP-712 domain of one deployment. §1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Domain {
    /// The root chain's id.
    pub chain_id: u64,
    /// The address of `RootChain`.
    pub contract: Address,
}

impl Domain {
    /// Returns the domain separator: name "Plasmid", version "1", chain id, verifying contract.
    #[must_use]
    pub fn separator(&self) -> B256 {
        let mut words = [0; 160];
        words[..32].copy_from_slice(
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").as_slice(),
        );
        words[32..64].copy_from_slice(keccak256("Plasmid").as_slice());
        words[64..96].copy_from_slice(keccak256("1").as_slice());
        words[120..128].copy_from_slice(&self.chain_id.to_be_bytes());
        words[140..160].copy_from_slice(self.contract.as_slice());
        keccak256(words)
    }

    /// Returns the digest to sign for a structure with hash `struct_hash`: `H(0x1901 ‖ separator ‖ structHash)`.
    #[must_use]
    pub fn digest(&self, struct_hash: B256) -> B256 {
        let mut preimage = [0; 66];
        preimage[..2].copy_from_slice(&[0x19, 0x01]);
        preimage[2..34].copy_from_slice(self.separator().as_slice());
        preimage[34..].copy_from_slice(struct_hash.as_slice());
        keccak256(preimage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_recovers_to_its_signer() {
        for seed in 1..=32u8 {
            let key = SigningKey::from_slice(&[seed; 32]).unwrap();
            let digest = keccak256([seed]);
            let signature = Signature::sign(&key, digest);
            assert_eq!(Signature::decode(signature.encode()), Ok(signature));
            assert_eq!(signature.recover(digest), Some(address_of(key.verifying_key())));
            assert_ne!(signature.recover(keccak256([seed, 0])), Some(address_of(key.verifying_key())));
        }
    }

    #[test]
    fn scalars_out_of_range_are_refused() {
        let with = |r: [u8; 32], s: [u8; 32]| {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&r);
            bytes[32..].copy_from_slice(&s);
            Signature::decode(bytes)
        };
        let one = B256::with_last_byte(1).0;
        let mut above_half = HALF_ORDER;
        above_half[31] += 1;
        assert_eq!(with([0; 32], one), Err(SignatureError::R));
        assert_eq!(with(ORDER, one), Err(SignatureError::R));
        assert_eq!(with(one, [0; 32]), Err(SignatureError::S));
        assert_eq!(with(one, above_half), Err(SignatureError::S));
        assert!(with(one, HALF_ORDER).is_ok());
    }
}
