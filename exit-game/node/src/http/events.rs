//! What happens, as a stream: a bounded buffer behind server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::sync::watch;
use warp::Reply;
use warp::sse;

use super::reply::{Response, problem};
use crate::problem::{Code, Problem};

/// Most streams at a time: each holds a connection.
const STREAMS_MAX: usize = 256;

/// What a service tells those who listen. Cloning is cheap; clones share the buffer.
#[derive(Debug, Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Tells this process' event ids from an earlier one's.
    run: u64,
    kept: usize,
    /// The last events, in order, without gaps.
    buffer: Mutex<VecDeque<Event>>,
    /// The number of the newest event, 0 for none.
    newest: watch::Sender<u64>,
}

/// What an event is about: the name of the server-sent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A block was closed.
    BlockClosed,
    /// A block was committed.
    BlockCommitted,
    /// A block became final.
    BlockFinal,
    /// A verdict on a block was found.
    Verdict,
    /// Something is wrong.
    Alarm,
    /// An exit was started, challenged, paid.
    Exit,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlockClosed => "block-closed",
            Self::BlockCommitted => "block-committed",
            Self::BlockFinal => "block-final",
            Self::Verdict => "verdict",
            Self::Alarm => "alarm",
            Self::Exit => "exit",
        })
    }
}

#[derive(Debug, Clone)]
struct Event {
    /// From 1.
    number: u64,
    kind: EventKind,
    /// JSON.
    data: String,
}

impl Events {
    /// Returns an empty buffer that keeps the last `kept` events, at least one.
    ///
    /// `run` is another number in every process, so that an id of an earlier one is not taken for one of this.
    #[must_use]
    pub fn new(kept: usize, run: u64) -> Self {
        let (kept, buffer, newest) = (kept.max(1), Mutex::default(), watch::Sender::new(0));
        Self { shared: Arc::new(Shared { run, kept, buffer, newest }) }
    }

    /// Tells everybody who listens. `data` goes out as JSON; what cannot be written as JSON is told as `null`.
    pub fn publish(&self, kind: EventKind, data: &impl Serialize) {
        let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
        let mut buffer = self.buffer();
        // Numbered under the lock: the buffer's order is the numbers'.
        let number = *self.shared.newest.borrow() + 1;
        buffer.push_back(Event { number, kind, data });
        if buffer.len() > self.shared.kept {
            buffer.pop_front();
        }
        self.shared.newest.send_replace(number);
    }

    /// Answers with the stream of events: those after `last_id`, if it is given and they are kept, and all that come.
    pub(super) fn reply(&self, last_id: Option<&str>) -> Response {
        if self.shared.newest.receiver_count() >= STREAMS_MAX {
            return problem(&Problem::new(Code::Busy, format_args!("{STREAMS_MAX} event streams are open")));
        }
        let stream = self.stream(self.first_after(last_id)).map(Ok::<_, Infallible>);
        sse::reply(sse::keep_alive().stream(stream)).into_response()
    }

    /// Returns the number of the first event for a client that has seen `last_id`.
    fn first_after(&self, last_id: Option<&str>) -> u64 {
        let Some(last_id) = last_id else { return *self.shared.newest.borrow() + 1 };
        let seen =
            last_id.strip_prefix(&format!("{:x}-", self.shared.run)).and_then(|number| number.parse::<u64>().ok());
        // An id of another process: everything that is kept is new.
        seen.map_or(1, |number| number.saturating_add(1))
    }

    fn stream(&self, first: u64) -> impl Stream<Item = sse::Event> + Send + use<> {
        let state = (self.clone(), self.shared.newest.subscribe(), first);
        stream::unfold(state, |(events, mut newest, next)| async move {
            // The sender lives in `events`.
            newest.wait_for(|newest| *newest >= next).await.ok()?;
            let due = events.from(next);
            let next = due.last().map_or(next, |event| event.number + 1);
            let lines = due.into_iter().map(|event| events.line(event)).collect::<Vec<_>>();
            Some((stream::iter(lines), (events, newest, next)))
        })
        .flatten()
    }

    /// Returns the kept events from number `next` on.
    fn from(&self, next: u64) -> Vec<Event> {
        self.buffer().iter().filter(|event| event.number >= next).cloned().collect()
    }

    fn line(&self, event: Event) -> sse::Event {
        let id = format!("{:x}-{}", self.shared.run, event.number);
        sse::Event::default().id(id).event(event.kind.to_string()).data(event.data)
    }

    fn buffer(&self) -> MutexGuard<'_, VecDeque<Event>> {
        // Every change of the buffer is one push and one pop: whole whatever panicked.
        self.shared.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
