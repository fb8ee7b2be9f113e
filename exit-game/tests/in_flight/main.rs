//! In-flight exits as the game tells them, what a watcher owes them, and what it does for the owners that it guards. §3.1, §6, §7.

mod duty;
mod game;
mod guard;
mod world;
