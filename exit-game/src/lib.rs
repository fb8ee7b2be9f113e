//! The Plasmid protocol: values, encodings, rules and the exit game. No I/O, clock, randomness, async or logging.
//!
//! `PROTOCOL.md` beside this crate is the norm; every item names the § or the R number it implements. Operator, watcher,
//! command line and contracts all decide by what stands here, so that they cannot disagree.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`position`], [`output`], [`transaction`], [`signature`] | coins and payments: encodings, names, signatures (§1.1–§1.6) |
//! | [`tx_tree`], [`utxo_tree`], [`block`], [`receipt`] | what a block commits to and what the operator promises (§1.7–§1.10) |
//! | [`ledger`], [`fault`] | which block is valid, and which rule a bad one breaks (§3) |
//! | [`exit`] | the exit game as the contract plays it, call by call: keys, queues, standard and in-flight exits (§4–§6) |
//! | [`facts`], [`game`] | the root chain's facts in, the exit game's state out, reversible block by block (§3.1, §7) |

#![no_std]

extern crate alloc;

pub mod block;
pub mod exit;
pub mod facts;
pub mod fault;
pub mod game;
pub mod ledger;
pub mod output;
pub mod position;
pub mod receipt;
pub mod signature;
pub mod transaction;
pub mod tx_tree;
pub mod utxo_tree;

mod decode;
