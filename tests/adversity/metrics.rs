//! The series that tell a person which fault it is: they are there, and the faults move them.

use plasmid_harness::world::World;
use plasmid_node::client::Client;

/// What `/metrics` of a service says, as text.
pub(crate) async fn scrape(client: &Client) -> String {
    let reply = reqwest::get(format!("{}/metrics", client.url())).await.expect("the service answers");
    assert_eq!(reply.status(), 200);
    String::from_utf8(reply.bytes().await.expect("the whole answer").to_vec()).expect("text")
}

/// The value of one series, written as it stands in `/metrics`, labels included; `None` if there is none.
pub(crate) async fn series(client: &Client, name: &str) -> Option<f64> {
    value(&scrape(client).await, name)
}

fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Series without labels, which are there from the beginning.
const OPERATOR: [&str; 9] = [
    "plasmid_operator_root_chain_lag_seconds",
    "plasmid_operator_waiting",
    "plasmid_operator_uncommitted",
    "plasmid_operator_log_append_seconds_count",
    "plasmid_operator_log_sync_seconds_count",
    "plasmid_operator_group_transactions_count",
    "plasmid_operator_blind",
    "plasmid_operator_alarms",
    "plasmid_operator_dropped_total",
];
const WATCHER: [&str; 8] = [
    "plasmid_watcher_root_silence_seconds",
    "plasmid_watcher_root_lag_blocks",
    "plasmid_watcher_missing_bodies",
    "plasmid_watcher_unverified_blocks",
    "plasmid_watcher_root_failures_total",
    "plasmid_watcher_blind",
    "plasmid_watcher_alarms",
    "plasmid_watcher_judging_seconds_count",
];
/// Of the HTTP server, in both.
const HTTP: [&str; 3] =
    ["plasmid_http_connections", "plasmid_http_connections_evicted_total", "plasmid_http_requests_open"];

#[tokio::test]
async fn the_series_that_the_faults_need_are_there_and_refusals_are_counted_by_code() {
    let world = World::honest().await;
    let (operator, watcher) = (world.operator(), world.watcher());
    for (client, names) in [(&operator, &OPERATOR[..]), (&watcher, &WATCHER[..]), (&operator, &HTTP), (&watcher, &HTTP)]
    {
        let text = scrape(client).await;
        for name in names {
            assert!(value(&text, name).is_some(), "no series {name} in\n{text}");
        }
    }
    let http = reqwest::Client::new();
    let refusals = [
        ("/v1/transactions", "[[[", "malformed"),
        ("/v1/transactions/batch", "cut off", "malformed"),
        ("/v1/transactions", "{\"body\":\"0x01\",\"signature\":\"0x01\"}", "malformed"),
        (
            "/v1/transactions",
            &format!("{{\"body\":\"0x01\",\"signature\":\"0x{}\"}}", "01".repeat(64)),
            "not-canonical",
        ),
        ("/v1/transactions", &" ".repeat(10_000), "too-large"),
    ];
    for (path, body, code) in refusals {
        let name = format!("plasmid_operator_refused_total{{code=\"{code}\"}}");
        let before = series(&operator, &name).await.unwrap_or(0.0);
        let reply = http.post(format!("{}{path}", operator.url())).body(body.to_owned()).send().await;
        let reply = reply.expect("the operator answers");
        let answer = String::from_utf8_lossy(&reply.bytes().await.expect("the whole answer")).into_owned();
        assert!(answer.contains(code), "{path} {body:.40}: {answer}");
        assert_eq!(series(&operator, &name).await, Some(before + 1.0), "{name} counts {path} {body:.40}");
    }
    println!(
        "faults: {} series of the operator, {} of the watcher, {} of both",
        OPERATOR.len(),
        WATCHER.len(),
        HTTP.len()
    );
}
