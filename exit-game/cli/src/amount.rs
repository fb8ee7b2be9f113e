//! Amounts and assets as people write them on a command line and read them off it.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Address;
use plasmid_exit_game::output::ETHER;

const WEI_PER_ETHER: u128 = 1_000_000_000_000_000_000;
const WEI_PER_GWEI: u128 = 1_000_000_000;

/// An amount above zero, in base units of its asset: a plain number, or one with a unit of ether behind it (`1.5ether`,
/// `20gwei`, `7wei`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Base units.
    pub(crate) base_units: u128,
    /// Whether it was written with a unit of ether, and so cannot mean a token.
    pub(crate) is_ether: bool,
}

impl Amount {
    /// Returns so many ether, above zero.
    pub(crate) const fn ether(count: u32) -> Self {
        Self { base_units: count as u128 * WEI_PER_ETHER, is_ether: true }
    }

    /// Returns the base units, if the way the amount was written fits `asset`.
    pub(crate) fn of(self, asset: Asset) -> Result<u128, AmountError> {
        if self.is_ether && asset.0 != ETHER { Err(AmountError::EtherUnit(asset)) } else { Ok(self.base_units) }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let scale = match unit {
            "" | "wei" => 1,
            "gwei" => WEI_PER_GWEI,
            "ether" | "eth" => WEI_PER_ETHER,
            _ => return Err(AmountError::Unit(unit.to_owned())),
        };
        let base_units = scaled(number.trim_end(), scale).ok_or_else(|| AmountError::Number(text.to_owned()))?;
        if base_units == 0 {
            return Err(AmountError::Zero);
        }
        Ok(Self { base_units, is_ether: !unit.is_empty() })
    }
}

/// Reads a decimal number of units of `scale` base units each, exactly; `None` if it is none or does not fit.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut base_units = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.trim_end_matches('0').bytes() {
        // A digit below one base unit is not an amount.
        if !place.is_multiple_of(10) {
            return None;
        }
        place /= 10;
        base_units = base_units.checked_add(u128::from(digit - b'0').checked_mul(place)?)?;
    }
    Some(base_units)
}

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AmountError {
    #[error("{0:?} is no amount: write base units (1000000) or ether with its unit (0.5ether, 20gwei)")]
    Number(String),
    #[error("{0:?} is no unit: an amount is in base units, or in wei, gwei or ether")]
    Unit(String),
    #[error("the amount is zero")]
    Zero,
    #[error("the amount is written in ether but the asset is the token {0}: write it in the token's base units")]
    EtherUnit(Asset),
}

/// An asset: `ether`, or a token's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asset(pub(crate) Address);

impl FromStr for Asset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "ether" || text == "eth" {
            return Ok(Self(ETHER));
        }
        text.parse().map(Self).map_err(|_| format!("{text:?} is no asset: write `ether` or a token's address"))
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == ETHER { f.write_str("ether") } else { self.0.fmt(f) }
    }
}

/// Shows `base_units` of `asset` to people: ether in ether, a token in its base units.
pub(crate) fn shown(base_units: u128, asset: Address) -> String {
    if asset == ETHER { format!("{} ether", in_ether(base_units)) } else { format!("{base_units} of {asset}") }
}

fn in_ether(wei: u128) -> String {
    let (whole, fraction) = (wei / WEI_PER_ETHER, wei % WEI_PER_ETHER);
    let text = format!("{whole}.{fraction:018}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        let wei = |text: &str| text.parse::<Amount>().map(|amount| amount.base_units);
        assert_eq!(wei("1000000"), Ok(1_000_000));
        assert_eq!(wei("1ether"), Ok(WEI_PER_ETHER));
        assert_eq!(wei("0.5eth"), Ok(WEI_PER_ETHER / 2));
        assert_eq!(wei("1.000000000000000001 ether"), Ok(WEI_PER_ETHER + 1));
        assert_eq!(wei("2.50gwei"), Ok(2_500_000_000));
        assert_eq!(wei("340282366920938463463374607431768211455"), Ok(u128::MAX));
        for text in [
            "",
            "ether",
            "-1",
            "+1",
            "1e18",
            "0x10",
            ".5ether",
            "1.ether",
            "1.5",
            "0.0000000000000000001ether",
            "1.2.3ether",
            "340282366920938463463374607431768211456",
            "340282366920938463464ether",
            "1 000",
            "1,5ether",
            "١",
        ] {
            assert!(wei(text).is_err(), "{text:?} is no amount");
        }
        assert_eq!(wei("0"), Err(AmountError::Zero));
        assert_eq!(wei("0.0ether"), Err(AmountError::Zero));
    }

    #[test]
    fn an_amount_in_ether_is_no_amount_of_a_token() {
        let token = Asset(Address::repeat_byte(7));
        let ether: Amount = "1ether".parse().unwrap();
        assert_eq!(ether.of(Asset(ETHER)), Ok(WEI_PER_ETHER));
        assert_eq!(ether.of(token), Err(AmountError::EtherUnit(token)));
        assert_eq!("5".parse::<Amount>().unwrap().of(token), Ok(5));
    }

    #[test]
    fn what_is_shown_is_what_was_written() {
        assert_eq!(shown(WEI_PER_ETHER * 3 / 2, ETHER), "1.5 ether");
        assert_eq!(shown(WEI_PER_ETHER * 10, ETHER), "10 ether");
        assert_eq!(shown(1, ETHER), "0.000000000000000001 ether");
        assert_eq!(shown(0, ETHER), "0 ether");
    }
}
