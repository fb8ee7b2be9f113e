//! The HTTP server: limits, errors, and the routes that both services have.
//!
//! A service makes its own routes as warp filters whose handlers are plain functions that return a [`Response`], joins them
//! with [`common_routes`] and hands them to [`serve`], which answers every rejection with a problem.

mod events;
mod patience;
mod range;
mod reply;
mod routes;
mod server;
mod stall;
mod traffic;

pub use events::{EventKind, Events};
pub use patience::refusing;
pub use reply::{Response, body, json, json_body, problem, respond};
pub use routes::{Common, ServiceStatus, common_routes};
pub use server::{Limits, serve};
pub use traffic::Traffic;

#[cfg(test)]
mod tests;
