//! The program itself, as a process, with an HTTP server of bodies of the test's own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plasmid_exit_game::output::OutputId;
use plasmid_node::client::{Client, ClientLimits};
use plasmid_node::http::{Limits, Traffic, problem, serve};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::{Answer, List, Status, Unspent, UnspentQuery};
use plasmid_watcher::alarms::Alarm;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;
use warp::{Filter, Reply};

/// Bodies that are served, by block, and memberships, by coin.
#[derive(Clone, Default)]
pub(crate) struct Bodies {
    bodies: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
    unspent: Arc<Mutex<BTreeMap<OutputId, Unspent>>>,
}

impl Bodies {
    /// Serves from now on; returns the address.
    pub(crate) async fn serve(&self) -> String {
        let (bodies, unspent) = (self.bodies.clone(), self.unspent.clone());
        let body =
            warp::path!("v1" / "blocks" / u64 / "body").map(move |number| match bodies.lock().unwrap().get(&number) {
                Some(body) => warp::reply::Response::new(body.clone().into()),
                None => problem(&Problem::new(Code::NotFound, "not served")),
            });
        let unspent = warp::path!("v1" / "unspent").and(warp::body::json()).map(move |query: UnspentQuery| {
            let unspent = unspent.lock().unwrap();
            let answers = query.ids.iter().map(|id| match unspent.get(id) {
                Some(unspent) => Answer::Done(unspent.clone()),
                None => Answer::Problem(Problem::new(Code::NotFound, "not shown")),
            });
            warp::reply::json(&answers.collect::<Vec<_>>()).into_response()
        });
        let route = body.or(unspent).unify();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, route, Limits::default(), Traffic::default(), std::future::pending()));
        url
    }

    pub(crate) fn put(&self, number: u64, body: Vec<u8>) {
        self.bodies.lock().unwrap().insert(number, body);
    }

    /// Shows what the tree holds under a coin's position.
    pub(crate) fn show(&self, id: OutputId, unspent: Unspent) {
        self.unspent.lock().unwrap().insert(id, unspent);
    }
}

/// A running watcher, killed with the test.
pub(crate) struct Watcher {
    process: Child,
    pub(crate) client: Client,
}

impl Watcher {
    pub(crate) fn command(root_url: &str, contract: &str, server: &str, data: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plasmid-watcher"));
        command
            .args(["--l1-url", root_url, "--contract", contract, "--server", server, "--data-dir"])
            .arg(data)
            .args(["--listen", "127.0.0.1:0", "--json"])
            .env("PLASMID_LOG", "warn");
        command
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().expect("the watcher says that it is ready").unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let client = Client::new(ready["url"].as_str().unwrap(), ClientLimits::default()).unwrap();
        Self { process, client }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.client.get(path).await.unwrap()
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, what: &str, is_wanted: impl Fn(&Status) -> bool) -> Status {
        let started = Instant::now();
        loop {
            let status = self.client.status().await.unwrap();
            if is_wanted(&status) {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "never {what}: {status:?} {:?}", self.alarms().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_verified(&self, number: u64) {
        self.until("verified", |status| status.synced && status.block.verified.get() == number).await;
    }

    pub(crate) async fn alarms(&self) -> Vec<Alarm> {
        self.get::<List<Alarm>>("/v1/alarms").await.items
    }

    /// Waits for an alarm that stands.
    pub(crate) async fn until_alarm(&self, is_wanted: impl Fn(&Alarm) -> bool) -> Alarm {
        let started = Instant::now();
        loop {
            let alarms = self.alarms().await;
            if let Some(alarm) = alarms.iter().find(|alarm| alarm.ended.is_none() && is_wanted(alarm)) {
                return alarm.clone();
            }
            assert!(started.elapsed() < Duration::from_secs(60), "no such alarm: {alarms:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it without warning.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn until_ended(mut self) {
        let started = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "it goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks it to end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let status = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.process.wait().unwrap()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
