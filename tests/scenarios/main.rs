//! Stories on a real root chain, one topic a file.

mod agreement;
mod bad_block;
mod exits;
mod payments;
mod round_trip;
