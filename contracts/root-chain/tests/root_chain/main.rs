//! The adapter against a real root chain (anvil) with the real contract, and against nodes that misbehave.

mod anvil;
mod bonds;
mod contract;
mod faults;
mod following;
mod in_flight;
mod operations;
mod replies;
mod sending;
mod unspent;
