//! The exit game as the contract plays it. §4–§6.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`key`] | the deployment's periods and the order of exits |
//! | [`queue`] | an asset's sorted list of keys |
//! | [`standard`] | standard exits: the record, and the word that the contract keeps of a coin |
//! | [`in_flight`] | in-flight exits: data, pieces, places; in [`in_flight::duty`] and [`in_flight::guard`] what a watcher does |
//! | [`contract`] | the contract itself, call by call |

pub mod contract;
pub mod in_flight;
pub mod key;
pub mod queue;
pub mod standard;
