//! What the services and the command line have in common: the chain in memory, its bodies on disk, HTTP, settings.
//!
//! The protocol itself is `plasmid-exit-game`'s; nothing here decides what is valid.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`recover`] | signers of transactions, at the speed of libsecp256k1 |
//! | [`chain`] | the child chain as one service knows it: blocks, coins, proofs, look-ups |
//! | [`archive`] | bodies of blocks as immutable files |
//! | [`wire`], [`problem`] | the JSON that goes over HTTP, and its errors |
//! | [`http`], [`client`] | the server with the routes that both services have, and its client |
//! | [`settings`] | flags, environment, settings file, defaults; logging; exit codes |
//! | [`data_folder`] | one folder, one deployment, one process |
//! | [`kill_point`] | moments at which the fault harness ends a service |

pub mod archive;
pub mod chain;
pub mod client;
pub mod data_folder;
pub mod http;
pub mod kill_point;
pub mod problem;
pub mod recover;
pub mod settings;
pub mod wire;

#[cfg(test)]
mod story;
