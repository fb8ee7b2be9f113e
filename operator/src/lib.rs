//! Plasmid's operator: orders transactions, promises each its place in milliseconds, and commits blocks to the root chain.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`config`], [`service`] | settings; joining the parts and running them |
//! | [`api`], [`admission`] | HTTP; what can be said of a transaction by itself |
//! | [`in_flight`] | payments that in-flight exits show |
//! | [`writer`] | the one thread that decides, makes durable, then answers |
//! | [`operator`], [`sequencer`], [`committer`] | all decisions, pure: order and drops, what is submitted when |
//! | [`journal`] | the log of everything promised |
//! | [`receipts`] | signed receipts and answers, functions of the log |
//! | [`following`], [`submitter`] | the root chain's steps in; transactions to it |
//! | [`block_builder`] | roots and archive |
//! | [`metrics`] | what is counted |

pub mod admission;
pub mod api;
pub mod block_builder;
pub mod committer;
pub mod config;
pub mod following;
pub mod in_flight;
pub mod journal;
pub mod metrics;
pub mod operator;
pub mod receipts;
pub mod sequencer;
pub mod service;
pub mod submitter;
pub mod writer;
