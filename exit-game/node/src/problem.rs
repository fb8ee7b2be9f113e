//! Errors as they go over HTTP: a stable code each, in the form of RFC 9457.

use std::fmt;

use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::output::TxHash;
use serde::{Deserialize, Serialize};

use crate::wire::form;

/// What went wrong, by a name that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request is not what this route takes.
    Malformed,
    /// No such route, block, coin, transaction.
    NotFound,
    /// The block is one whose unspent tree is not kept any more.
    RootTooOld,
    /// The route takes another method.
    MethodNotAllowed,
    /// The request did not arrive in time.
    TimedOut,
    /// A coin is spent by another transaction.
    AlreadySpent,
    /// A coin is leaving.
    Exiting,
    /// The request has more bytes or items than the server takes.
    TooLarge,
    /// No byte of the body lies in the range asked for.
    RangeNotSatisfiable,
    /// Body or signature is not canonical. R1.
    NotCanonical,
    /// No valid block made an input.
    UnknownInput,
    /// The inputs' owner did not sign. R4.
    BadSignature,
    /// Inputs and outputs do not balance. R5.
    Unbalanced,
    /// The fee is below the minimum.
    FeeTooLow,
    /// The server has more to do than it can.
    Busy,
    /// The server cannot answer yet, or cannot read what it stored.
    NotReady,
    /// The root chain's node lags or does not answer.
    RootChainBehind,
    /// The root chain was reorganised deeper than finality.
    RootChainReorganised,
    /// The block to come is another operator's key's. §2.
    OtherKey,
    /// A part of the operator's bond is below one slash. §3.
    BondShort,
    /// The chain is halted or closed. §3, §8.
    Halted,
}

/// How long a client waits after 429.
const BUSY_RETRY_SECS: u32 = 1;
/// How long a client waits after 503.
const NOT_READY_RETRY_SECS: u32 = 5;

impl Code {
    /// Returns the HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NotFound | Self::RootTooOld => 404,
            Self::MethodNotAllowed => 405,
            Self::TimedOut => 408,
            Self::AlreadySpent | Self::Exiting => 409,
            Self::TooLarge => 413,
            Self::RangeNotSatisfiable => 416,
            Self::NotCanonical | Self::UnknownInput | Self::BadSignature | Self::Unbalanced | Self::FeeTooLow => 422,
            Self::Busy => 429,
            Self::NotReady
            | Self::RootChainBehind
            | Self::RootChainReorganised
            | Self::OtherKey
            | Self::BondShort
            | Self::Halted => 503,
        }
    }

    /// Returns one line for people, the same for every problem with this code.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request is malformed",
            Self::NotFound => "There is no such thing",
            Self::RootTooOld => "The block is too old for a proof",
            Self::MethodNotAllowed => "The route does not take this method",
            Self::TimedOut => "The request did not arrive in time",
            Self::AlreadySpent => "The coin is already spent",
            Self::Exiting => "The coin is leaving",
            Self::TooLarge => "The request is too large",
            Self::RangeNotSatisfiable => "The range lies outside",
            Self::NotCanonical => "The transaction is not canonical",
            Self::UnknownInput => "An input is unknown",
            Self::BadSignature => "The signature is not the owner's",
            Self::Unbalanced => "Inputs and outputs do not balance",
            Self::FeeTooLow => "The fee is too low",
            Self::Busy => "The server is busy",
            Self::NotReady => "The server is not ready",
            Self::RootChainBehind => "The root chain's node is behind",
            Self::RootChainReorganised => "The root chain was reorganised too deeply",
            Self::OtherKey => "Another key has taken over",
            Self::BondShort => "The operator's bond is short",
            Self::Halted => "The chain is halted or closed",
        }
    }

    /// Returns the value of Retry-After, in seconds: all of 429 and 503 have one.
    #[must_use]
    pub fn retry_after_secs(self) -> Option<u32> {
        match self.status() {
            429 => Some(BUSY_RETRY_SECS),
            503 => Some(NOT_READY_RETRY_SECS),
            _ => None,
        }
    }

    /// Returns the code's name.
    fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => unreachable!("a unit variant is written as a string"),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A problem as RFC 9457 writes it, `application/problem+json`.
///
/// Members that a newer server adds are ignored by a reader, and so is what follows from the code: type, title, status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub struct Problem {
    /// The stable code.
    pub code: Code,
    /// What happened this time.
    pub detail: String,
    /// With [`Code::AlreadySpent`]: the transaction that spends the coin.
    pub spender: Option<TxHash>,
    /// The rule of §3 that is broken, where there is one.
    pub rule: Option<Rule>,
}

impl Problem {
    /// Returns the problem with this code and these words.
    #[must_use]
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string(), spender: None, rule: None }
    }

    /// Adds the transaction that spends the coin.
    #[must_use]
    pub fn with_spender(self, spender: TxHash) -> Self {
        Self { spender: Some(spender), ..self }
    }

    /// Adds the rule that is broken.
    #[must_use]
    pub fn with_rule(self, rule: Rule) -> Self {
        Self { rule: Some(rule), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl std::error::Error for Problem {}

/// The members as they go over HTTP.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "type")]
    uri: String,
    title: String,
    status: u16,
    detail: String,
    code: Code,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "form")]
    spender: Option<TxHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
}

impl From<Problem> for Written {
    fn from(Problem { code, detail, spender, rule }: Problem) -> Self {
        let (uri, title) = (format!("urn:plasmid:problem:{code}"), code.title().to_owned());
        Self { uri, title, status: code.status(), detail, code, spender, rule: rule.map(|rule| rule.to_string()) }
    }
}

impl From<Written> for Problem {
    fn from(Written { detail, code, spender, rule, .. }: Written) -> Self {
        let rules = [Rule::R1, Rule::R2, Rule::R3, Rule::R4, Rule::R5, Rule::R6, Rule::R7];
        let rule = rule.and_then(|name| rules.into_iter().find(|rule| rule.to_string() == name));
        Self { code, detail, spender, rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_503_is_a_servers_failure_and_who_must_wait_is_told_how_long() {
        let codes: Vec<Code> = ["malformed", "not-found", "root-too-old", "already-spent", "exiting", "too-large"]
            .into_iter()
            .chain([
                "not-canonical",
                "unknown-input",
                "bad-signature",
                "unbalanced",
                "fee-too-low",
                "busy",
                "not-ready",
            ])
            .chain(["root-chain-behind", "root-chain-reorganised", "other-key", "bond-short", "halted"])
            .map(|name| serde_json::from_value(name.into()).unwrap())
            .collect();
        for code in codes {
            let status = code.status();
            assert!((400..500).contains(&status) || status == 503);
            assert_eq!(code.retry_after_secs().is_some(), status == 429 || status == 503);
        }
    }

    #[test]
    fn a_problem_reads_back_and_keeps_to_itself_what_it_does_not_have() {
        let problem = Problem::new(Code::Busy, "1,000 requests wait");
        let json = serde_json::to_string(&problem).unwrap();
        assert!(!json.contains("spender") && !json.contains("rule"));
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
        let spent = Problem::new(Code::AlreadySpent, "gone").with_spender(TxHash([7; 32].into())).with_rule(Rule::R6);
        let json = serde_json::to_value(&spent).unwrap();
        assert_eq!(
            (&json["code"], &json["rule"], &json["status"]),
            (&"already-spent".into(), &"R6".into(), &409.into())
        );
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), spent);
    }
}
