//! Which bodies are asked for, and when again: a few at a time, the oldest block first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plasmid_exit_game::position::BlockNumber;
use tokio::task::JoinSet;

use crate::body::body_len_max;
use crate::judge::Judge;
use crate::servers::{Attempt, Servers};

/// Bodies that are fetched at a time, and how many bytes they may have together unless it is one alone.
const ATTEMPTS_MAX: usize = 4;
const ATTEMPTS_LEN_MAX: usize = 1 << 30;
/// Pause after a failure to get a body; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Attempts without an answer of any server after which the watcher calls itself blind.
const UNANSWERED_ALARMING: u32 = 3;

/// The bodies that are being asked for.
#[derive(Debug)]
pub struct Fetching {
    servers: Servers,
    /// With the anchor's time when each attempt began.
    attempts: JoinSet<(u64, Attempt)>,
    asked: BTreeMap<BlockNumber, Asked>,
}

/// A body that was asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Bytes set aside for the attempt under way, if one is.
    reserved: Option<usize>,
    retry_at: Instant,
    pause: Duration,
    unanswered: u32,
}

impl Fetching {
    /// Asks these servers, for nothing yet.
    #[must_use]
    pub fn new(servers: Servers) -> Self {
        Self { servers, attempts: JoinSet::new(), asked: BTreeMap::new() }
    }

    /// Asks for the bodies that the judge misses, as many at a time as the limits allow. Within a runtime.
    pub fn ask(&mut self, judge: &mut Judge) {
        let now = Instant::now();
        let is_due = |asked: &Asked| asked.reserved.is_none() && asked.retry_at <= now;
        for header in judge.wanted(|number| self.asked.get(&number).is_none_or(is_due), ATTEMPTS_MAX) {
            let reserved: Vec<usize> = self.asked.values().filter_map(|asked| asked.reserved).collect();
            let len = body_len_max(header.tx_count);
            let total = reserved.iter().fold(len, |total, &len| total.saturating_add(len));
            if reserved.len() >= ATTEMPTS_MAX || (!reserved.is_empty() && total > ATTEMPTS_LEN_MAX) {
                break;
            }
            let first = Asked { reserved: None, retry_at: now, pause: PAUSE_FIRST, unanswered: 0 };
            self.asked.entry(header.number).or_insert(first).reserved = Some(len);
            let began_at = judge.ask(header.number);
            let servers = self.servers.clone();
            self.attempts.spawn(async move { (began_at, servers.body(header).await) });
        }
        let last = judge.chain().game().last_block();
        self.asked.retain(|&number, asked| asked.reserved.is_some() || number <= last);
    }

    /// Waits for the end of an attempt, and returns it with the anchor's time when it began; for ever if none is under way.
    /// May be dropped while it waits.
    pub async fn next(&mut self) -> (u64, Attempt) {
        match self.attempts.join_next().await {
            Some(ended) => ended.expect("fetching a body does not panic"),
            None => std::future::pending().await,
        }
    }

    /// Notes how an attempt ended, and when there may be another one.
    pub fn note(&mut self, attempt: &Attempt) {
        let number = attempt.header.number;
        if attempt.is_whole() {
            self.asked.remove(&number);
        } else if let Some(asked) = self.asked.get_mut(&number) {
            asked.reserved = None;
            asked.retry_at = Instant::now() + asked.pause;
            asked.pause = asked.pause.saturating_mul(2).min(PAUSE_MAX);
            asked.unanswered = if attempt.is_answered { 0 } else { asked.unanswered.saturating_add(1) };
        }
    }

    /// Returns a block whose body no server answers for, if the silence is long enough to say so.
    #[must_use]
    pub fn unanswered(&self) -> Option<BlockNumber> {
        let unanswered = self.asked.iter().find(|(_, asked)| asked.unanswered >= UNANSWERED_ALARMING);
        unanswered.map(|(&number, _)| number)
    }
}
