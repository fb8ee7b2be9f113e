//! Faults and what they are proven with: every broken block is convicted, no valid one ever is. §3.

mod conviction;
mod court;
mod evidence;
mod innocence;
mod missing;
mod operations;
mod receipts;
mod settlement;
mod unspent;
