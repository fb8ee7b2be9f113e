//! A vector as it is written and as it is read.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use alloy_primitives::{Address, B256, hex};
use serde_json::Value;

/// One object of a file as the generator makes it. Sorted, as Solidity's `vm.parseJson` reads structs.
#[derive(Default)]
pub(crate) struct Row(BTreeMap<&'static str, Value>);

impl Row {
    pub(crate) fn text(mut self, name: &'static str, text: impl Display) -> Self {
        self.0.insert(name, Value::String(text.to_string()));
        self
    }

    pub(crate) fn integer(self, name: &'static str, integer: impl Into<u128>) -> Self {
        self.text(name, integer.into())
    }

    pub(crate) fn bytes(self, name: &'static str, bytes: impl AsRef<[u8]>) -> Self {
        self.text(name, hex::encode_prefixed(bytes))
    }

    pub(crate) fn flag(mut self, name: &'static str, flag: bool) -> Self {
        self.0.insert(name, Value::Bool(flag));
        self
    }

    pub(crate) fn integers(mut self, name: &'static str, integers: impl IntoIterator<Item: Into<u128>>) -> Self {
        let integers = integers.into_iter().map(|integer| Value::String(integer.into().to_string()));
        self.0.insert(name, integers.collect());
        self
    }

    pub(crate) fn byte_strings(mut self, name: &'static str, strings: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let strings = strings.into_iter().map(|bytes| Value::String(hex::encode_prefixed(bytes)));
        self.0.insert(name, strings.collect());
        self
    }
}

/// Returns the file's text: one vector a line, so that a difference shows which.
pub(crate) fn to_json(rows: &[Row]) -> String {
    let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(&row.0).expect("plain values")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// One object of a file as it was read.
pub(crate) struct Vector(Value);

/// Returns the vectors of a file.
pub(crate) fn parse(json: &str) -> Vec<Vector> {
    serde_json::from_str::<Vec<Value>>(json).expect("an array").into_iter().map(Vector).collect()
}

impl Vector {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name} is a string"))
    }

    pub(crate) fn integer<T: FromStr>(&self, name: &str) -> T {
        integer(&self.0[name], name)
    }

    pub(crate) fn integers<T: FromStr>(&self, name: &str) -> Vec<T> {
        self.list(name).iter().map(|value| integer(value, name)).collect()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("{name} is a flag"))
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        bytes(&self.0[name], name)
    }

    pub(crate) fn word(&self, name: &str) -> B256 {
        B256::from_slice(&self.bytes(name))
    }

    pub(crate) fn words(&self, name: &str) -> Vec<B256> {
        self.list(name).iter().map(|value| B256::from_slice(&bytes(value, name))).collect()
    }

    pub(crate) fn address(&self, name: &str) -> Address {
        Address::from_slice(&self.bytes(name))
    }

    pub(crate) fn addresses(&self, name: &str) -> Vec<Address> {
        self.list(name).iter().map(|value| Address::from_slice(&bytes(value, name))).collect()
    }

    fn list(&self, name: &str) -> &[Value] {
        self.0[name].as_array().unwrap_or_else(|| panic!("{name} is a list"))
    }
}

fn integer<T: FromStr>(value: &Value, name: &str) -> T {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} is a decimal string"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    value.as_str().and_then(|text| hex::decode(text).ok()).unwrap_or_else(|| panic!("{name} is hex"))
}
