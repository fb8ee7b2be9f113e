//! The `plasmid` binary on a real root chain: what needs no services of ours, sends against an
//! operator that misbehaves, evidence of what real services did, and payments that leave in flight.

mod accounts;
mod child_chain;
mod evidence;
mod in_flight;
mod operations;
mod operator;
mod receipts;
mod root_chain;
mod sends;
mod settle;
mod supervisor;
mod user;
mod watch;
