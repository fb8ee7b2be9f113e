//! Stories on a real root chain, one topic a file.

mod agreement;
mod bad_block;
mod exits;
mod faults;
mod in_flight;
mod in_flight_contested;
mod in_flight_frozen;
mod in_flight_order;
mod in_flight_unanswered;
mod light;
mod payments;
mod round_trip;
mod settlement;
mod unspent;
