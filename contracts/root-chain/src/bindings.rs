//! The contract's ABI: values to bytes and back, by the committed artifact.
//!
//! One of the two modules with ethers types inside. Decoding is strict: bytes that the encoder would not have produced
//! are refused. Which call or event means what is told in [`calls`](crate::calls), [`events`](crate::events) and
//! [`client`](crate::client).

use std::fmt;
use std::sync::LazyLock;
use std::vec;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use ethers_core::abi::{self, Abi, HumanReadableParser, ParamType, Token};
use ethers_core::types::{H160, H256};
use serde::Deserialize;

use crate::node::Log;

/// What `scripts/build-contracts` committed of RootChain: ABI and bytecode.
pub(crate) const ROOT_CHAIN_JSON: &str = include_str!("../../artifacts/RootChain.json");

/// The same of the facet that runs the in-flight exits.
pub(crate) const IN_FLIGHT_EXITS_JSON: &str = include_str!("../../artifacts/InFlightExits.json");

/// The same of the facet that convicts blocks and slashes receipts.
pub(crate) const FAULTS_JSON: &str = include_str!("../../artifacts/Faults.json");

/// The same of the facet for the operator's bond and keys, and the end of the chain.
pub(crate) const OPERATIONS_JSON: &str = include_str!("../../artifacts/Operations.json");

/// The same of the facet for the unspent tree: what it must not hold or lack, and the settlement by it.
pub(crate) const UNSPENT_TREE_JSON: &str = include_str!("../../artifacts/UnspentTree.json");

static ROOT_CHAIN: LazyLock<Artifact> =
    LazyLock::new(|| serde_json::from_str(ROOT_CHAIN_JSON).expect("a test parses the committed artifact"));

/// The function id of Solidity's `Error(string)`.
const ERROR_STRING: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// The function id of Solidity's `Panic(uint256)`.
const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// Bytes of a revert that are shown.
const REVERT_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
struct Artifact {
    abi: Abi,
    bytecode: Bytes,
}

/// An argument or a result of a contract's function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `address`, or a contract.
    Address(Address),
    /// An unsigned integer of any width.
    Uint(U256),
    /// `bool`.
    Bool(bool),
    /// `bytes32`.
    Word(B256),
    /// `bytes`.
    Bytes(Bytes),
    /// `string`.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// A struct.
    Tuple(Vec<Self>),
}

impl From<Address> for Value {
    fn from(value: Address) -> Self {
        Self::Address(value)
    }
}

impl From<B256> for Value {
    fn from(value: B256) -> Self {
        Self::Word(value)
    }
}

impl From<U256> for Value {
    fn from(value: U256) -> Self {
        Self::Uint(value)
    }
}

impl From<u128> for Value {
    fn from(value: u128) -> Self {
        Self::Uint(U256::from(value))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Uint(U256::from(value))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(value))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Uint(number) => number.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
            Self::Word(word) => word.fmt(f),
            Self::Bytes(bytes) => f.write_str(&shortened(bytes)),
            Self::Text(text) => write!(f, "{:?}", text.chars().take(REVERT_BYTES_MAX).collect::<String>()),
            Self::List(values) | Self::Tuple(values) => {
                let values: Vec<_> = values.iter().map(Self::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

/// Why a call was refused, in the contract's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Revert {
    /// Name of the custom error of RootChain; `Error` and `Panic` are Solidity's own; `unknown` for any other.
    pub name: String,
    /// Its arguments, readable: `sent: 3, bond: 5`. The raw bytes of an unknown one.
    pub args: String,
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.args.is_empty() { f.write_str(&self.name) } else { write!(f, "{}({})", self.name, self.args) }
    }
}

/// Reads what a reverted call returned. Never fails: what is not known is shown as it is.
#[must_use]
pub fn decode_revert(data: &[u8]) -> Revert {
    let unknown = || Revert { name: "unknown".to_owned(), args: shortened(data) };
    let Some((&id, args)) = data.split_first_chunk::<4>() else { return unknown() };
    let (name, names, types) = match id {
        ERROR_STRING => ("Error", vec![String::new()], vec![ParamType::String]),
        PANIC => ("Panic", vec![String::new()], vec![ParamType::Uint(256)]),
        _ => {
            let Some(error) = ROOT_CHAIN.abi.errors().find(|error| error.signature()[..4] == id) else {
                return unknown();
            };
            let (names, types) = error.inputs.iter().map(|input| (input.name.clone(), input.kind.clone())).unzip();
            (error.name.as_str(), names, types)
        }
    };
    let Ok(values) = decode_exactly(&types, args) else { return unknown() };
    let shown = names.iter().zip(values).map(|(name, value)| match name.as_str() {
        "" => value.to_string(),
        name => format!("{name}: {value}"),
    });
    Revert { name: name.to_owned(), args: shown.collect::<Vec<_>>().join(", ") }
}

/// Encodes a call of any contract's function: `encode_call("approve(address,uint256)", …)`.
///
/// # Errors
///
/// [`EncodeError`] if the signature is none or the values are not of its types.
pub fn encode_call(signature: &str, args: &[Value]) -> Result<Bytes, EncodeError> {
    let function = HumanReadableParser::parse_function(&format!("function {signature}"))
        .map_err(|_| EncodeError::Signature { signature: signature.to_owned() })?;
    let data = function.encode_input(&tokens(args));
    Ok(data.map_err(|_| EncodeError::Values { of: signature.to_owned() })?.into())
}

/// Returns the code that makes the contract of an artifact, `{"abi", "bytecode"}`, with these constructor arguments.
///
/// # Errors
///
/// [`EncodeError`] if it is no artifact, or the values are not of its constructor's types.
pub fn encode_creation(artifact: &str, args: &[Value]) -> Result<Bytes, EncodeError> {
    let artifact: Artifact = serde_json::from_str(artifact).map_err(|source| EncodeError::Artifact { source })?;
    let code = artifact.bytecode.to_vec();
    let data = match artifact.abi.constructor() {
        Some(constructor) => constructor.encode_input(code, &tokens(args)).ok(),
        None => args.is_empty().then_some(code),
    };
    Ok(data.ok_or_else(|| EncodeError::Values { of: "constructor".to_owned() })?.into())
}

/// Why there is no such call.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Not the signature of a function.
    #[error("{signature} is no function signature")]
    Signature {
        /// What was given.
        signature: String,
    },
    /// Arguments of other types, or another number of them.
    #[error("the arguments do not fit {of}")]
    Values {
        /// The function.
        of: String,
    },
    /// Not a contract's artifact.
    #[error("not a contract's artifact")]
    Artifact {
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Encodes a call of RootChain. The tests of [`calls`](crate::calls) and [`client`](crate::client) make each one.
pub(crate) fn encode_root_chain_call(function: &str, args: &[Value]) -> Bytes {
    let function = ROOT_CHAIN.abi.function(function).expect("a function of the committed artifact");
    function.encode_input(&tokens(args)).expect("values of the artifact's types").into()
}

/// Decodes what a view of RootChain returned.
pub(crate) fn decode_root_chain_result(function: &'static str, data: &[u8]) -> Result<Fields, DecodeError> {
    let outputs = &ROOT_CHAIN.abi.function(function).expect("a function of the committed artifact").outputs;
    let types: Vec<_> = outputs.iter().map(|output| output.kind.clone()).collect();
    let values = decode_exactly(&types, data).map_err(|NotCanonical| DecodeError::Form { of: function.to_owned() })?;
    Ok(Fields { of: function.to_owned(), values: values.into_iter() })
}

/// Returns the first topic of RootChain's event `name`. A test asks for each that is asked for by name.
pub(crate) fn root_chain_event_topic(name: &str) -> B256 {
    B256::new(ROOT_CHAIN.abi.event(name).expect("an event of the committed artifact").signature().0)
}

/// Decodes a log of RootChain: the event's name and its fields in the order of their declaration.
pub(crate) fn decode_root_chain_log(log: &Log) -> Result<(&'static str, Fields), DecodeError> {
    let unknown = DecodeError::UnknownEvent { topic: log.topics.first().copied() };
    let (&signature, mut topics) = match log.topics.split_first() {
        Some((signature, topics)) => (signature, topics.iter()),
        None => return Err(unknown),
    };
    let event = ROOT_CHAIN.abi.events().find(|event| event.signature() == H256(signature.0)).ok_or(unknown)?;
    let form = || DecodeError::Form { of: event.name.clone() };

    let in_data: Vec<_> = event.inputs.iter().filter(|input| !input.indexed).map(|input| input.kind.clone()).collect();
    let mut in_data = decode_exactly(&in_data, &log.data).map_err(|NotCanonical| form())?.into_iter();
    let mut values = Vec::with_capacity(event.inputs.len());
    for input in &event.inputs {
        let value = if input.indexed {
            let topic = topics.next().ok_or_else(form)?;
            decode_exactly(std::slice::from_ref(&input.kind), topic.as_slice())
                .ok()
                .and_then(|values| values.into_iter().next())
        } else {
            in_data.next()
        };
        values.push(value.ok_or_else(form)?);
    }
    if topics.next().is_some() {
        return Err(form());
    }
    Ok((&event.name, Fields { of: event.name.clone(), values: values.into_iter() }))
}

/// Decoded values, taken one after the other.
pub(crate) struct Fields {
    of: String,
    values: vec::IntoIter<Value>,
}

impl Fields {
    pub(crate) fn address(&mut self) -> Result<Address, DecodeError> {
        match self.values.next() {
            Some(Value::Address(address)) => Ok(address),
            _ => Err(self.out_of_form()),
        }
    }

    /// Takes an integer, if it fits.
    pub(crate) fn uint<T: TryFrom<U256>>(&mut self) -> Result<T, DecodeError> {
        match self.values.next() {
            Some(Value::Uint(number)) => T::try_from(number).map_err(|_| self.out_of_form()),
            _ => Err(self.out_of_form()),
        }
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.values.next() {
            Some(Value::Bool(flag)) => Ok(flag),
            _ => Err(self.out_of_form()),
        }
    }

    pub(crate) fn word(&mut self) -> Result<B256, DecodeError> {
        match self.values.next() {
            Some(Value::Word(word)) => Ok(word),
            _ => Err(self.out_of_form()),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        match self.values.next() {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(self.out_of_form()),
        }
    }

    /// Takes a struct.
    pub(crate) fn tuple(&mut self) -> Result<Self, DecodeError> {
        match self.values.next() {
            Some(Value::Tuple(values)) => Ok(Self { of: self.of.clone(), values: values.into_iter() }),
            _ => Err(self.out_of_form()),
        }
    }

    /// Takes an array of structs.
    pub(crate) fn tuples(&mut self) -> Result<Vec<Self>, DecodeError> {
        let Some(Value::List(values)) = self.values.next() else { return Err(self.out_of_form()) };
        let mut of_list = Self { of: self.of.clone(), values: values.into_iter() };
        (0..of_list.values.len()).map(|_| of_list.tuple()).collect()
    }

    /// Makes the error for a value that the protocol does not allow here.
    pub(crate) fn out_of_form(&self) -> DecodeError {
        DecodeError::Form { of: self.of.clone() }
    }
}

/// Why bytes are not what RootChain writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No event of RootChain has this signature.
    #[error("no event of RootChain has the signature {topic:?}")]
    UnknownEvent {
        /// The log's first topic, if it has one.
        topic: Option<B256>,
    },
    /// The bytes are not the encoding of such an event or result, or a field has a value that the protocol excludes.
    #[error("not a {of} as RootChain writes it")]
    Form {
        /// Name of the event or function.
        of: String,
    },
}

struct NotCanonical;

/// Decodes `data`, all of it, if it is just what the encoder would write.
fn decode_exactly(types: &[ParamType], data: &[u8]) -> Result<Vec<Value>, NotCanonical> {
    let tokens = abi::decode(types, data).map_err(|_| NotCanonical)?;
    if abi::encode(&tokens) != data {
        return Err(NotCanonical);
    }
    tokens.into_iter().map(value).collect()
}

fn tokens(values: &[Value]) -> Vec<Token> {
    values.iter().map(token).collect()
}

fn token(value: &Value) -> Token {
    match value {
        Value::Address(address) => Token::Address(H160(address.into_array())),
        Value::Uint(number) => Token::Uint(number.to_be_bytes::<32>().into()),
        Value::Bool(flag) => Token::Bool(*flag),
        Value::Word(word) => Token::FixedBytes(word.to_vec()),
        Value::Bytes(bytes) => Token::Bytes(bytes.to_vec()),
        Value::Text(text) => Token::String(text.clone()),
        Value::List(values) => Token::Array(tokens(values)),
        Value::Tuple(values) => Token::Tuple(tokens(values)),
    }
}

fn value(token: Token) -> Result<Value, NotCanonical> {
    let values = |tokens: Vec<Token>| tokens.into_iter().map(value).collect::<Result<Vec<_>, _>>();
    Ok(match token {
        Token::Address(address) => Value::Address(Address::new(address.0)),
        Token::Uint(number) => {
            let mut bytes = [0; 32];
            number.to_big_endian(&mut bytes);
            Value::Uint(U256::from_be_bytes(bytes))
        }
        Token::Bool(flag) => Value::Bool(flag),
        Token::FixedBytes(bytes) => Value::Word(B256::try_from(bytes.as_slice()).map_err(|_| NotCanonical)?),
        Token::Bytes(bytes) => Value::Bytes(bytes.into()),
        Token::String(text) => Value::Text(text),
        Token::Array(tokens) => Value::List(values(tokens)?),
        Token::Tuple(tokens) => Value::Tuple(values(tokens)?),
        // RootChain has neither.
        Token::Int(_) | Token::FixedArray(_) => return Err(NotCanonical),
    })
}

fn shortened(bytes: &[u8]) -> String {
    match bytes.get(..REVERT_BYTES_MAX) {
        Some(start) if bytes.len() > REVERT_BYTES_MAX => format!("{}…", hex::encode_prefixed(start)),
        _ => hex::encode_prefixed(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverts_are_told_in_the_contracts_words() {
        let wrong_bond = ROOT_CHAIN.abi.errors().find(|error| error.name == "WrongBond").unwrap();
        let mut data = wrong_bond.signature()[..4].to_vec();
        data.extend(abi::encode(&tokens(&[3u64.into(), 5u64.into()])));
        assert_eq!(decode_revert(&data).to_string(), "WrongBond(sent: 3, bond: 5)");

        let locked = ROOT_CHAIN.abi.errors().find(|error| error.name == "Locked").unwrap();
        assert_eq!(decode_revert(&locked.signature()[..4]).to_string(), "Locked");

        let mut data = ERROR_STRING.to_vec();
        data.extend(abi::encode(&tokens(&[Value::Text("no".to_owned())])));
        assert_eq!(decode_revert(&data).to_string(), "Error(\"no\")");
        assert_eq!(decode_revert(&[1, 2, 3, 4, 5]).to_string(), "unknown(0x0102030405)");
        assert_eq!(decode_revert(&[]).to_string(), "unknown(0x)");
    }

    #[test]
    fn calls_of_other_contracts_are_checked_against_their_signature() {
        let to = Value::from(Address::repeat_byte(1));
        let data = encode_call("approve(address,uint256)", &[to.clone(), 7u64.into()]).unwrap();
        assert_eq!(data[..4], [0x09, 0x5e, 0xa7, 0xb3]);
        assert!(matches!(encode_call("approve(address,uint256)", &[to]), Err(EncodeError::Values { .. })));
        assert!(matches!(encode_call("approve(", &[]), Err(EncodeError::Signature { .. })));
        assert!(matches!(encode_creation("{}", &[]), Err(EncodeError::Artifact { .. })));
        assert!(matches!(encode_creation(ROOT_CHAIN_JSON, &[]), Err(EncodeError::Values { .. })));
    }
}
