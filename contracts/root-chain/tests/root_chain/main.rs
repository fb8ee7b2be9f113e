//! The adapter against a real root chain (anvil) with the real contract, and against nodes that misbehave.

mod anvil;
mod contract;
mod following;
mod replies;
mod sending;
