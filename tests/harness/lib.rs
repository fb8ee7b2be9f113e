//! What the scenarios stand on: a real root chain, the real services as processes, named people, and adversaries.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`anvil`] | a root chain for one test |
//! | [`world`] | a deployment on it, with operator and watcher as processes |
//! | [`people`] | who owns, pays and steals |
//! | [`load`] | clients that pay whatever happens, and remember every answer |
//! | [`in_flight`] | in-flight exits as people make them, and the books that must balance |
//! | [`ending`] | the end of a chain, and how coins are withdrawn after it |
//! | [`breaches`] | every way to break a block, by name |
//! | [`cheat`] | the cheating operator: commits any block, withholds any body |
//! | [`false_server`] | a server that lies, lags or goes silent |
//! | [`proxy`] | a bad network before the root chain |
//! | `trouble` | kills and reorganisations in every story of an in-flight exit, on demand |
//!
//! Whatever goes wrong in a harness panics with what was expected: a story that cannot be told is a failed test.

pub mod anvil;
pub mod breaches;
pub mod cheat;
pub mod ending;
pub mod false_server;
pub mod in_flight;
pub mod load;
pub mod people;
pub mod proxy;
mod trouble;
pub mod world;
