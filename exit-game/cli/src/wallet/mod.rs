//! What an owner keeps on disk and how it chooses what to spend.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`store`] | signed transactions with their receipts, and coins with their creation proofs, as files |
//! | [`selection`] | which coins a payment spends |

pub(crate) mod selection;
pub(crate) mod store;
