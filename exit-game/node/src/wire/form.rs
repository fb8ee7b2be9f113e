//! How each value of the core is written in JSON, and read back from strangers.
//!
//! Bytes and hashes are `0x` and hex digits, addresses checksummed, positions and amounts decimal strings, block numbers and
//! times integers. A field says `#[serde(with = "form")]`.

use alloy_primitives::{Address, B256, Bytes, hex};
use plasmid_exit_game::output::{OUTPUT_LEN, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position, TxIndex};
use plasmid_exit_game::signature::{SIGNATURE_LEN, Signature};
use plasmid_exit_game::utxo_tree::MembershipProof;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value with one form in JSON.
pub trait Form: Sized {
    /// What serde reads and writes in its place.
    type Written: Serialize + for<'de> Deserialize<'de>;

    /// Returns the form.
    fn write(&self) -> Self::Written;

    /// Reads the form.
    ///
    /// # Errors
    ///
    /// [`FormError`] if it is no value of this type.
    fn read(written: Self::Written) -> Result<Self, FormError>;
}

/// Why a JSON value is not what its field asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// No `0x`, an odd number of digits, or another character.
    #[error("not 0x and an even number of hex digits")]
    Hex,
    /// Another number of bytes.
    #[error("{actual} bytes where {expected} are expected")]
    Length {
        /// How many the value has.
        expected: usize,
        /// How many were given.
        actual: usize,
    },
    /// Capitals that are not the address' checksum.
    #[error("the checksum of the address is wrong")]
    Checksum,
    /// Not a decimal number as it is written here: digits alone, no leading zero, in range.
    #[error("not a decimal number in range")]
    Decimal,
    /// A number that the protocol gives no meaning.
    #[error("{0} is out of range")]
    Range(u64),
    /// Bytes that do not decode.
    #[error("not canonical: {0}")]
    NotCanonical(String),
}

/// Writes a value by its [`Form`].
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<T: Form, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.write().serialize(serializer)
}

/// Reads a value by its [`Form`].
///
/// # Errors
///
/// Those of the deserializer, and [`FormError`] within them.
pub fn deserialize<'de, T: Form, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(T::Written::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads `text` as the string form of a value: path segments and queries.
///
/// # Errors
///
/// [`FormError`] if it is no value of this type.
pub fn parse<T: Form<Written = String>>(text: &str) -> Result<T, FormError> {
    T::read(text.to_owned())
}

impl<T: Form> Form for Option<T> {
    type Written = Option<T::Written>;

    fn write(&self) -> Self::Written {
        self.as_ref().map(T::write)
    }

    fn read(written: Self::Written) -> Result<Self, FormError> {
        written.map(T::read).transpose()
    }
}

impl<T: Form> Form for Vec<T> {
    type Written = Vec<T::Written>;

    fn write(&self) -> Self::Written {
        self.iter().map(T::write).collect()
    }

    fn read(written: Self::Written) -> Result<Self, FormError> {
        written.into_iter().map(T::read).collect()
    }
}

impl Form for Bytes {
    type Written = String;

    fn write(&self) -> String {
        hex::encode_prefixed(self)
    }

    fn read(written: String) -> Result<Self, FormError> {
        let digits = written.strip_prefix("0x").ok_or(FormError::Hex)?;
        // A second prefix would be taken off by the decoder.
        if digits.starts_with("0x") {
            return Err(FormError::Hex);
        }
        hex::decode(digits).map(Self::from).map_err(|_| FormError::Hex)
    }
}

impl<const N: usize> Form for [u8; N] {
    type Written = String;

    fn write(&self) -> String {
        hex::encode_prefixed(self)
    }

    fn read(written: String) -> Result<Self, FormError> {
        let bytes = Bytes::read(written)?;
        Self::try_from(bytes.as_ref()).map_err(|_| FormError::Length { expected: N, actual: bytes.len() })
    }
}

impl Form for Address {
    type Written = String;

    fn write(&self) -> String {
        self.to_checksum(None)
    }

    /// All digits small or all capital are taken too; mixed ones must be the checksum.
    fn read(written: String) -> Result<Self, FormError> {
        let address = Self::new(<[u8; 20]>::read(written.clone())?);
        let digits = &written[2..];
        let is_mixed =
            digits.contains(|c: char| c.is_ascii_uppercase()) && digits.contains(|c: char| c.is_ascii_lowercase());
        if is_mixed && address.to_checksum(None) != written {
            return Err(FormError::Checksum);
        }
        Ok(address)
    }
}

impl Form for u128 {
    type Written = String;

    fn write(&self) -> String {
        self.to_string()
    }

    fn read(written: String) -> Result<Self, FormError> {
        // `parse` alone would take a sign and leading zeros.
        let number: Self = written.parse().map_err(|_| FormError::Decimal)?;
        if number.to_string() == written { Ok(number) } else { Err(FormError::Decimal) }
    }
}

impl Form for Position {
    type Written = String;

    fn write(&self) -> String {
        self.bits().to_string()
    }

    fn read(written: String) -> Result<Self, FormError> {
        let bits = u64::try_from(u128::read(written)?).map_err(|_| FormError::Decimal)?;
        Self::from_bits(bits).ok_or(FormError::Range(bits))
    }
}

impl Form for BlockNumber {
    type Written = u64;

    fn write(&self) -> u64 {
        self.get()
    }

    fn read(written: u64) -> Result<Self, FormError> {
        Self::new(written).ok_or(FormError::Range(written))
    }
}

impl Form for TxIndex {
    type Written = u32;

    fn write(&self) -> u32 {
        self.get()
    }

    fn read(written: u32) -> Result<Self, FormError> {
        Self::new(written).ok_or(FormError::Range(written.into()))
    }
}

/// Values that are written as a fixed number of bytes.
macro_rules! hex_form {
    ($type:ty, $len:expr, |$value:ident| $write:expr, |$bytes:ident| $read:expr) => {
        impl Form for $type {
            type Written = String;

            fn write(&self) -> String {
                let $value = self;
                hex::encode_prefixed($write)
            }

            fn read(written: String) -> Result<Self, FormError> {
                let $bytes = <[u8; $len]>::read(written)?;
                $read
            }
        }
    };
}

hex_form!(B256, 32, |value| value, |bytes| Ok(Self::new(bytes)));
hex_form!(TxHash, 32, |value| value.0, |bytes| Ok(Self(B256::new(bytes))));
hex_form!(OutputId, 32, |value| value.0, |bytes| Ok(Self(B256::new(bytes))));
hex_form!(Output, OUTPUT_LEN, |value| value.encode(), |bytes| Self::decode(&bytes).map_err(not_canonical));
hex_form!(Signature, SIGNATURE_LEN, |value| value.encode(), |bytes| Self::decode(bytes).map_err(not_canonical));

impl Form for MembershipProof {
    type Written = String;

    fn write(&self) -> String {
        hex::encode_prefixed(self.encode())
    }

    fn read(written: String) -> Result<Self, FormError> {
        Self::decode(&Bytes::read(written)?).map_err(not_canonical)
    }
}

fn not_canonical(error: impl ToString) -> FormError {
    FormError::NotCanonical(error.to_string())
}
