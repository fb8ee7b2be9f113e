//! Who is connected, who has been silent for the longest, and what is counted of all that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a server counts. Cloning is cheap; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    connections: Gauge,
    evicted: Counter,
    requests: Gauge,
    responses: Family<StatusLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

impl Traffic {
    /// Returns the series, registered in `registry`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let traffic = Self::default();
        let registry = registry.sub_registry_with_prefix("plasmid_http");
        registry.register("connections", "Open connections", traffic.connections.clone());
        registry.register("connections_evicted", "Connections closed to make room", traffic.evicted.clone());
        registry.register("requests_open", "Requests that wait for an answer", traffic.requests.clone());
        registry.register("responses", "Answers, by HTTP status", traffic.responses.clone());
        traffic
    }

    /// Counts a request until what is returned is dropped.
    pub(super) fn request(&self) -> OpenRequest {
        self.requests.inc();
        OpenRequest(self.requests.clone())
    }

    /// Returns how many requests wait for an answer.
    pub(super) fn requests_open(&self) -> i64 {
        self.requests.get()
    }

    /// Counts an answer.
    pub(super) fn answered(&self, status: u16) {
        self.responses.get_or_create(&StatusLabel { status }).inc();
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct OpenRequest(Gauge);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Connections {
    started: Instant,
    traffic: Traffic,
    /// By the order in which they came.
    open: Mutex<BTreeMap<u64, Arc<Peer>>>,
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    started: Instant,
    /// When it last took or gave a byte, in microseconds after the server's start.
    active_at: AtomicU64,
    evicted: Notify,
}

/// An open connection's place among [`Connections`], until it is dropped.
#[derive(Debug)]
pub(super) struct Connected {
    connections: Arc<Connections>,
    number: u64,
    peer: Arc<Peer>,
}

impl Connections {
    pub(super) fn new(traffic: Traffic) -> Self {
        Self { started: Instant::now(), traffic, open: Mutex::default() }
    }

    /// Adds a connection.
    pub(super) fn add(self: &Arc<Self>) -> Connected {
        let peer = Peer { started: self.started, active_at: AtomicU64::default(), evicted: Notify::new() };
        peer.touch();
        let peer = Arc::new(peer);
        let mut open = self.open();
        let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
        open.insert(number, peer.clone());
        self.traffic.connections.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
        Connected { connections: self.clone(), number, peer }
    }

    /// Closes the connection whose peer has been silent for the longest.
    pub(super) fn evict(&self) {
        let open = self.open();
        if let Some(peer) = open.values().min_by_key(|peer| peer.active_at.load(Ordering::Relaxed)) {
            // It goes as soon as it can; until then nobody chooses it again.
            peer.active_at.store(u64::MAX, Ordering::Relaxed);
            peer.evicted.notify_one();
            self.traffic.evicted.inc();
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Peer>>> {
        // Every change is one insertion or removal: whole whatever panicked.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(&self.number);
        self.connections.traffic.connections.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    }
}

impl Peer {
    /// Notes that it took or gave a byte.
    pub(super) fn touch(&self) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX - 1);
        // One that is being closed stays so.
        let _ =
            self.active_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| (at != u64::MAX).then_some(micros));
    }

    /// Waits until its connection is to be closed.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}
