//! The `plasmid` binary on a real root chain: what needs no services of ours, sends against an
//! operator that misbehaves, and evidence of what real services did.

mod accounts;
mod evidence;
mod operator;
mod receipts;
mod root_chain;
mod sends;
mod supervisor;
mod user;
