//! Bad luck and bad intent, one topic a file: what the services do when the root chain takes back what it said, when its
//! node lies, when strangers send nonsense, and when too many come at once.
//!
//! `PLASMID_FAULT_BODIES` and `PLASMID_FAULT_SECS` make the floods longer than they are by default.

mod bad_input;
mod load;
mod metrics;
mod reorganisations;
mod root_chain_lies;
mod wire;
