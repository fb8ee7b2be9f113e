//! The watcher from outside: stories told to its judgement, and the program against a real root chain.

mod child_chain;
mod live;
mod program;
mod stories;
mod world;
