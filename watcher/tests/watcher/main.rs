//! The watcher from outside: stories told to its judgement, and the program against a real root chain.

mod child_chain;
mod faults;
mod in_flight;
mod live;
mod live_faults;
mod live_in_flight;
mod live_unspent;
mod program;
mod stories;
mod unspent;
mod world;
