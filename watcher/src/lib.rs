//! The full watcher: follows both chains, verifies every block, keeps each coin's history, answers wrong exits by itself. §7.
//!
//! A pure core decides and thin shells act: what to do is worked out anew from what is known, and doing it twice is harmless.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`body`], [`finding`] | bodies as strangers serve them; what is said of a block |
//! | [`judge`] | root-chain facts and bodies in, findings out |
//! | [`history`] | what was seen, on disk: records of blocks, who made and who spent each coin |
//! | [`alarms`] | what a person must know |
//! | [`duty`], [`responder`] | which acts are due on the root chain; sending them |
//! | [`proving`] | the evidence for a broken rule, and which step of its proof is due |
//! | [`suspect`], [`inquest`] | what is wrong with an unspent tree; the search for it |
//! | [`missing`] | what is owed to claims that a tree lacks a coin, and the calls for it |
//! | [`in_flight`] | what is owed to in-flight exits, and the calls for it |
//! | [`distrust`] | whether the root chain's node can be believed |
//! | [`servers`], [`fetching`] | getting bodies and memberships from servers that nobody believes |
//! | [`sync`] | the loop that joins all of this |
//! | [`api`], [`shared`], [`metrics`], [`config`] | HTTP and what it reads, series, settings |

pub mod alarms;
pub mod api;
pub mod body;
pub mod config;
pub mod distrust;
pub mod duty;
pub mod fetching;
pub mod finding;
pub mod history;
pub mod in_flight;
pub mod inquest;
pub mod judge;
pub mod metrics;
pub mod missing;
pub mod proving;
pub mod responder;
pub mod servers;
pub mod shared;
pub mod suspect;
pub mod sync;

mod evidence;
mod leaving;

/// An error with its causes, in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
