//! Connections: how many, how long, how slow.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use warp::{Filter, Rejection};

use super::Response;
use super::patience::{Crowd, Patience};
use super::reply::{problem, rejected};
use super::stall::Stalling;
use super::traffic::{Connections, Traffic};
use crate::problem::{Code, Problem};

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// With more requests than this at a time there is a crowd.
const CROWD: i64 = 32;
/// How long to wait after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server takes from strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time; when one more comes, that which has been silent for the longest is closed.
    pub connections_max: usize,
    /// How long the head of a request may take to arrive, and a connection to lie idle.
    pub header_timeout: Duration,
    /// How long a request may take from its head to the beginning of its answer.
    pub request_timeout: Duration,
    /// How long a client may leave an answer lying without taking a byte of it.
    pub stall_timeout: Duration,
    /// How long a connection may last; event streams are resumed after it.
    pub connection_time_max: Duration,
    /// How long what is under way is waited for when a connection or the server ends.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(10),
            connection_time_max: Duration::from_secs(600),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Serves `routes` until `shutdown` is done and the requests then open are answered, or given up.
///
/// Every request that no route takes is answered with a problem, and so is one whose handler panics or takes too long.
pub async fn serve<F>(
    listener: TcpListener,
    routes: F,
    limits: Limits,
    traffic: Traffic,
    shutdown: impl Future<Output = ()>,
) where
    F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    let service = TowerToHyperService::new(warp::service(routes.recover(rejected).unify()));
    let connections = Arc::new(Connections::new(traffic.clone()));
    let answer = move |request: Request<Incoming>, patience: Arc<Patience>| {
        let (traffic, open) = (traffic.clone(), traffic.request());
        let answer = AssertUnwindSafe(service.call(request)).catch_unwind();
        async move {
            let response = match timeout(limits.request_timeout, answer).await {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(impossible))) => match impossible {},
                Ok(Err(_)) => problem(&Problem::new(Code::NotReady, "the server failed to answer this request")),
                Err(_) => problem(&Problem::new(Code::NotReady, "the server took too long to answer")),
            };
            traffic.answered(response.status().as_u16());
            let crowd = if traffic.requests_open() > CROWD { Crowd::Many } else { Crowd::Few };
            let pause = patience.pause_before(&response, crowd);
            // A sleep of no time at all takes up to a millisecond.
            if !pause.is_zero() {
                sleep(pause).await;
            }
            drop(open);
            Ok::<_, Infallible>(response)
        }
    };

    let (closing, closed) = watch::channel(());
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let (stream, permit) = accepted;
        let connected = connections.add();
        let (answer, patience, mut closed) = (answer.clone(), Arc::new(Patience::default()), closed.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, patience.clone()));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(HEAD_BYTES_MAX);
            let socket = TokioIo::new(Stalling::new(stream, connected.peer().clone(), limits.stall_timeout));
            let mut connection = pin!(server.serve_connection(socket, service));
            tokio::select! {
                // How a stranger's connection ends is of no interest.
                _ = connection.as_mut() => return drop(permit),
                () = connected.peer().evicted() => return drop(permit),
                () = sleep(limits.connection_time_max) => {}
                _ = closed.changed() => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = timeout(limits.shutdown_timeout, connection).await;
        });
    }
    drop((listener, closing, closed));
    // All permits back: all connections ended.
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    let _ = timeout(limits.shutdown_timeout, room.acquire_many(all)).await;
}

/// Waits for a connection, and makes room for it if there is none.
///
/// Who comes last is let in: otherwise a thousand strangers who say nothing would keep everybody out.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    connections: &Connections,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if room.available_permits() == 0 {
            connections.evict();
        }
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        return (stream, permit);
    }
}
