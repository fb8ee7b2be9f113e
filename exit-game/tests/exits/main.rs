//! Standard exits as users live through them: stories, and what holds whatever anybody does.

mod in_flight;
mod invariants;
mod refusals;
mod stories;
mod world;
