//! `plasmid watch`: what it says, and its exit code. What it finds is told elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use plasmid_harness::anvil::mine_blocks;
use serde_json::Value;

use crate::root_chain::node;
use crate::user::Net;

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

#[tokio::test]
async fn whoever_sees_nothing_says_so_and_a_test_alarm_arrives() {
    let net = Net::start();
    mine_blocks(node(&net).rpc(), 5).await;
    let user = net.user(1);
    let look = ["watch", "--once", "--finality-depth", "3"];
    assert_eq!(user.run(&look).code, 2, "no server is named");
    let mut nobody = net.user(1);
    nobody.environment.retain(|(name, _)| *name != "PLASMID_UNSAFE_PRIVATE_KEY");
    assert_eq!(nobody.run(&[&look[..], &["--server", NOWHERE]].concat()).code, 2, "no owner is named");

    let blind = user.run(&[&look[..], &["--server", NOWHERE, "--json"]].concat());
    let report: Value = serde_json::from_str(&blind.stdout).unwrap();
    assert_eq!((blind.code, report["state"].as_str()), (5, Some("blind")), "{}", blind.stderr);
    assert_eq!(
        (&report["servers"][0]["state"], &report["alarms"][0]["kind"]),
        (&"unreachable".into(), &"blind-servers".into())
    );

    let elsewhere = net.user(2).with("PLASMID_L1_URL", NOWHERE);
    assert_eq!(elsewhere.run(&[&look[..], &["--server", NOWHERE]].concat()).code, 5, "no root chain");

    let (program, heard) = (user.folder.join("tell"), user.folder.join("heard"));
    fs::write(&program, format!("#!/bin/sh\ncat > {}\n", heard.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let alarm = ["--server", NOWHERE, "--test-alarm", "--on-alarm", program.to_str().unwrap()];
    let alarmed = user.run(&[&look[..], &alarm].concat());
    assert_eq!(alarmed.code, 4, "{}", alarmed.stderr);
    assert!(alarmed.stdout.starts_with("ALARM\n"), "{}", alarmed.stdout);
    assert!(alarmed.stdout.contains("\n  ! somebody tests whether alarms arrive\n"), "{}", alarmed.stdout);
    let heard: Value = serde_json::from_slice(&fs::read(heard).unwrap()).unwrap();
    assert_eq!(heard["alarms"][1]["kind"], "test");
}
