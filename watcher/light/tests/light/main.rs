//! Stories of a light watcher: first without any chain, then on a real root chain with real servers and false ones.

mod duties;
mod facts;
mod verdicts;
mod world;
