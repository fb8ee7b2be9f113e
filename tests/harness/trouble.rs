//! What disturbs every story of an in-flight exit, if `PLASMID_TROUBLE` says so: whenever a story waits for what the
//! watcher does, and again once it has come, the watcher is killed (`kill`), or the root chain takes back its last blocks
//! (`reorganise`), or it does so while the watcher is down (`both`). Stories end the same.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::anvil::{self, waiting};
use crate::world::{FINALITY_DEPTH, Sent, World, eventually};

/// Root blocks that are taken back at most, fewer than finality needs.
const DEPTH: u64 = FINALITY_DEPTH - 1;
/// How long trouble waits, with no root blocks being made, for the watcher to learn what has come and to send what is next.
const MIDDLE: Duration = Duration::from_secs(1);

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// All goes well.
    None,
    /// The watcher is killed, and starts again on what it stored.
    Killed,
    /// The last root blocks are taken back.
    Reorganised,
    /// The last root blocks are taken back between a kill and the start after it.
    Both,
}

impl Trouble {
    /// Reads `PLASMID_TROUBLE`.
    ///
    /// # Panics
    ///
    /// If it is no trouble that is known.
    pub(crate) fn of_environment() -> Self {
        match std::env::var("PLASMID_TROUBLE").as_deref() {
            Err(_) | Ok("") => Self::None,
            Ok("kill") => Self::Killed,
            Ok("reorganise") => Self::Reorganised,
            Ok("both") => Self::Both,
            Ok(other) => panic!("PLASMID_TROUBLE is kill, reorganise or both, not {other}"),
        }
    }

    fn has_kills(self) -> bool {
        matches!(self, Self::Killed | Self::Both)
    }

    fn has_reorganisations(self) -> bool {
        matches!(self, Self::Reorganised | Self::Both)
    }
}

impl World {
    /// Waits until `look` finds something, whatever trouble there is: in trouble it has to be found again, and no later
    /// trouble takes back what was found in the end.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        if self.trouble != Trouble::None {
            self.disturb().await;
            eventually(what, &look).await;
            self.disturb().await;
            eventually(what, &look).await;
            self.bury().await;
        }
        eventually(what, &look).await
    }

    /// Has nothing disturb a story that brings its own trouble.
    pub fn leave_alone(&mut self) {
        self.trouble = Trouble::None;
    }

    /// Makes what is on the root chain safe from the trouble to come.
    pub(crate) async fn bury(&self) {
        if self.trouble.has_reorganisations() {
            anvil::mine_blocks(self.root.node().rpc(), DEPTH).await;
        }
    }

    /// Tells whether a story was disturbed as it was to be.
    pub(crate) fn has_had_its_trouble(&self) -> bool {
        self.trouble == Trouble::None || self.troubles.load(Ordering::Relaxed) > 0
    }

    /// Kills the watcher, takes root blocks back, or both, in the middle of what the watcher does. Then people do again what
    /// they did there; what the watcher did there, it has to do again.
    async fn disturb(&self) {
        let rpc = self.root.node().rpc();
        anvil::stop_mining(rpc).await;
        let sends = async {
            while waiting(rpc).await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // Mostly it has nothing to send.
        let _ = tokio::time::timeout(MIDDLE, sends).await;
        if self.trouble.has_kills() {
            self.stop_watcher();
            self.troubles.fetch_add(1, Ordering::Relaxed);
        }
        let taken_back = if self.trouble.has_reorganisations() { self.take_back().await } else { Vec::new() };
        if self.trouble.has_kills() {
            self.restart_watcher();
        }
        anvil::go_on_mining(rpc).await;
        for sent in taken_back {
            self.send_again(&sent).await;
        }
    }

    /// Takes back the last root blocks and returns what people sent there. A cheating operator's child block stays, and what
    /// is below it: it would come back as another one, with another time.
    async fn take_back(&self) -> Vec<Sent> {
        let rpc = self.root.node().rpc();
        let head = self.root.node().head().await.expect("anvil has a head").at.number;
        let operator = self.people.operator.address().to_string();
        let (mut times, mut lost) = (Vec::new(), 0);
        for number in (head + 1 - DEPTH..=head).rev() {
            let number = json!([format!("{number:#x}"), true]);
            let block: Value = rpc.read("eth_getBlockByNumber", number).await.expect("anvil has its last blocks");
            let sent = block["transactions"].as_array().expect("a block has transactions");
            let is_operators =
                |tx: &Value| tx["from"].as_str().is_some_and(|from| from.eq_ignore_ascii_case(&operator));
            if self.is_cheated() && sent.iter().any(is_operators) {
                break;
            }
            times.insert(0, block["timestamp"].as_str().and_then(anvil::number).expect("a block has a time"));
            lost += sent.len();
        }
        anvil::replace(rpc, &times).await;
        self.troubles.fetch_add(lost, Ordering::Relaxed);
        self.take_sent_after(head - times.len() as u64)
    }

    /// The contract may refuse it until the watcher has done something again that was taken back as well.
    async fn send_again(&self, sent: &Sent) {
        let what = format!("{} does again what was taken back", sent.person.name);
        eventually(&what, || async { self.try_send(&sent.person, &sent.call).await.ok() }).await;
    }
}
