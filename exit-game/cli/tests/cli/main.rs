//! The `plasmid` binary on a real root chain: what needs no services of ours, and sends against an operator that misbehaves.

mod accounts;
mod operator;
mod root_chain;
mod sends;
mod user;
