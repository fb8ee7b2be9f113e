//! The exit game as the contract plays it. §4, §5.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`key`] | the deployment's periods and the order of exits |
//! | [`queue`] | an asset's sorted list of keys |
//! | [`standard`] | standard exits: the record, and the word that the contract keeps of a coin |
//! | [`contract`] | the contract itself, call by call |

pub mod contract;
pub mod key;
pub mod queue;
pub mod standard;
