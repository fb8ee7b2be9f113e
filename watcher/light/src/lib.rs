//! The light watcher: guards its owners' coins by their proofs alone, with the help of servers that it does not believe. §7
//!
//! For the newest block that is final it asks for the membership of each own coin and for the inclusion of each new one, and
//! holds both against the root chain's commitments. What no server shows is an alarm and, if so told, an exit with what is kept:
//! no server is needed for that. It relies on one honest full watcher somewhere for the rest of the chain.
//!
//! A pure core decides, thin shells act.
//!
//! | module | answers for |
//! | --- | --- |
//! | [`kept`], [`store`] | own coins with all that their exits show; the file that holds it |
//! | [`facts`] | the root chain's exits and own deposits |
//! | [`answer`] | what a server's answer is worth |
//! | [`verdict`] | what became of each coin, and what is alarming |
//! | [`duty`], [`acting`] | which acts are due on the root chain; sending them |
//! | [`servers`], [`proof`] | asking; evidence as the contract takes it |
//! | [`watch`], [`report`] | the loop that joins all of this, and the screen that it fills |

pub mod acting;
pub mod answer;
pub mod duty;
pub mod facts;
pub mod kept;
pub mod proof;
pub mod report;
pub mod servers;
pub mod store;
pub mod verdict;
pub mod watch;
