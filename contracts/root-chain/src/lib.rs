//! The root-chain adapter: what happened on the root chain comes in as facts, what we do there goes out as
//! transactions.
//!
//! The one crate in which ethers types occur, and only behind [`bindings`] and [`account`]: everything public speaks
//! the protocol's types. A node is trusted to be there, not to be honest: whatever it says is bounded, checked as far
//! as one node's word can be, and refused with a typed error.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`rpc`] | JSON-RPC over HTTP: limits of time and size, failover, retries of reads |
//! | [`node`] | what any root chain can be asked: blocks, logs, balances, receipts, fees, calls |
//! | [`bindings`] | the contract's ABI: calls, events and errors from and to bytes |
//! | [`calls`], [`events`] | every call of the contract, every event as a [`RootEvent`](plasmid_exit_game::facts::RootEvent) |
//! | [`client`] | one deployment: its facts and views |
//! | [`deploy`] | a new deployment, and the bonds that fit a base fee |
//! | [`follower`] | the root chain as an ordered stream of facts, reorganisations included |
//! | [`account`], [`sender`] | keys; transactions out, until they are in, final or given up |

pub mod account;
pub mod bindings;
pub mod calls;
pub mod client;
pub mod deploy;
pub mod events;
pub mod follower;
pub mod node;
pub mod rpc;
pub mod sender;
