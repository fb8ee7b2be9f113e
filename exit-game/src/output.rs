//! Outputs (coins): who owns how much of what, and the name of each. §1.2–§1.4.

use core::fmt;

use alloy_primitives::{Address, B256, keccak256};

/// Bytes of an encoded output. §1.3.
pub const OUTPUT_LEN: usize = 57;
/// Bytes that show a deposit, beside its nonce. §6.1.
pub const DEPOSIT_FIELDS_LEN: usize = OUTPUT_LEN - 1;
/// The one kind of version 1: owned by the address in `owner`. §1.3.
pub const KIND_OWNED: u8 = 1;

/// The asset that stands for ether. §1.2.
pub const ETHER: Address = Address::ZERO;

const DEPOSIT_ID_DOMAIN: u8 = 0x03;
const OUTPUT_ID_DOMAIN: u8 = 0x04;

/// A transaction's name: keccak-256 of its body. §1.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxHash(pub B256);

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A coin's name: what made it, never where it ended up. §1.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputId(pub B256);

impl OutputId {
    /// Returns the name of output `output_index` of the transaction `tx_hash`: `H(0x04 ‖ txHash ‖ outputIndex)`. §1.4.
    #[must_use]
    pub fn of_output(tx_hash: TxHash, output_index: u8) -> Self {
        let mut preimage = [0; 34];
        preimage[0] = OUTPUT_ID_DOMAIN;
        preimage[1..33].copy_from_slice(tx_hash.0.as_slice());
        preimage[33] = output_index;
        Self(keccak256(preimage))
    }
}

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An output of version 1: `kind u8 = 1 ‖ owner 20 ‖ asset 20 ‖ amount u128`, 57 bytes, big-endian. §1.3.
///
/// A decoded output has an owner and an amount that are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Output {
    /// Who may spend it; not zero.
    pub owner: Address,
    /// Zero for ether, otherwise the token (or handle, §1.2).
    pub asset: Address,
    /// Base units of the asset (wei for ether); not zero.
    pub amount: u128,
}

impl Output {
    /// Returns what shows a deposit of this output, beside its nonce: owner, asset and amount. §6.1.
    #[must_use]
    pub fn deposit_fields(&self) -> [u8; DEPOSIT_FIELDS_LEN] {
        let mut fields = [0; DEPOSIT_FIELDS_LEN];
        fields[..20].copy_from_slice(self.owner.as_slice());
        fields[20..40].copy_from_slice(self.asset.as_slice());
        fields[40..].copy_from_slice(&self.amount.to_be_bytes());
        fields
    }

    /// Reads what [`Self::deposit_fields`] returns; the output need not be one that `deposit` takes.
    #[must_use]
    pub fn from_deposit_fields(fields: &[u8; DEPOSIT_FIELDS_LEN]) -> Self {
        let amount = u128::from_be_bytes(fields[40..].try_into().expect("16 of 56 bytes"));
        Self { owner: Address::from_slice(&fields[..20]), asset: Address::from_slice(&fields[20..40]), amount }
    }

    /// Returns the 57 bytes of §1.3.
    #[must_use]
    pub fn encode(&self) -> [u8; OUTPUT_LEN] {
        let mut bytes = [0; OUTPUT_LEN];
        bytes[0] = KIND_OWNED;
        bytes[1..21].copy_from_slice(self.owner.as_slice());
        bytes[21..41].copy_from_slice(self.asset.as_slice());
        bytes[41..57].copy_from_slice(&self.amount.to_be_bytes());
        bytes
    }

    /// Decodes the 57 bytes of §1.3.
    ///
    /// # Errors
    ///
    /// [`OutputError`] for each way in which the bytes are not an output of version 1.
    pub fn decode(bytes: &[u8; OUTPUT_LEN]) -> Result<Self, OutputError> {
        if bytes[0] != KIND_OWNED {
            return Err(OutputError::Kind(bytes[0]));
        }
        let owner = Address::from_slice(&bytes[1..21]);
        let asset = Address::from_slice(&bytes[21..41]);
        let amount = u128::from_be_bytes(bytes[41..57].try_into().expect("16 of 57 bytes"));
        let output = Self { owner, asset, amount };
        output.check()?;
        Ok(output)
    }

    /// Checks what §1.3 asks of an output's fields.
    ///
    /// # Errors
    ///
    /// [`OutputError::ZeroOwner`] and [`OutputError::ZeroAmount`].
    pub fn check(&self) -> Result<(), OutputError> {
        if self.owner.is_zero() {
            Err(OutputError::ZeroOwner)
        } else if self.amount == 0 {
            Err(OutputError::ZeroAmount)
        } else {
            Ok(())
        }
    }
}

/// Why 57 bytes are no output. R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// A kind that version 1 does not know.
    #[error("kind {0} is not valid in version 1")]
    Kind(u8),
    /// Nobody could spend it.
    #[error("the owner is the zero address")]
    ZeroOwner,
    /// Nothing to spend.
    #[error("the amount is zero")]
    ZeroAmount,
}

/// A deposit as the root chain recorded it. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deposit {
    /// Its number among all deposits, from 0, below 2^40.
    pub nonce: u64,
    /// The coin that it makes.
    pub output: Output,
}

impl Deposit {
    /// Returns the coin's name: `H(0x03 ‖ nonce u64 ‖ owner ‖ asset ‖ amount u128)`. §1.4.
    #[must_use]
    pub fn output_id(&self) -> OutputId {
        let mut preimage = [0; 65];
        preimage[0] = DEPOSIT_ID_DOMAIN;
        preimage[1..9].copy_from_slice(&self.nonce.to_be_bytes());
        preimage[9..29].copy_from_slice(self.output.owner.as_slice());
        preimage[29..49].copy_from_slice(self.output.asset.as_slice());
        preimage[49..65].copy_from_slice(&self.output.amount.to_be_bytes());
        OutputId(keccak256(preimage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_decodes_to_itself_and_nothing_else_does() {
        let output = Output { owner: Address::repeat_byte(1), asset: ETHER, amount: 7 };
        assert_eq!(Output::decode(&output.encode()), Ok(output));

        let mut bytes = output.encode();
        bytes[0] = 2;
        assert_eq!(Output::decode(&bytes), Err(OutputError::Kind(2)));
        assert_eq!(Output::decode(&Output { owner: Address::ZERO, ..output }.encode()), Err(OutputError::ZeroOwner));
        assert_eq!(Output::decode(&Output { amount: 0, ..output }.encode()), Err(OutputError::ZeroAmount));
    }
}
