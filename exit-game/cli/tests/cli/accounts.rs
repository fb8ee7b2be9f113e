//! Keystores.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use plasmid_harness::anvil::{FUNDED_KEYS, repository};

use crate::user::{User, address};

#[test]
fn accounts_are_made_listed_imported_and_read_by_cast() {
    let folder = tempfile::tempdir().unwrap();
    let user = User { folder: folder.path().join("data"), environment: Vec::new() };
    let password_file = folder.path().join("password");
    fs::write(&password_file, "correct horse\n").unwrap();
    let password_file = password_file.to_str().unwrap();

    assert_eq!(user.run(&["account", "list", "--json"]).json()["items"], serde_json::json!([]));
    let made = user.run(&["account", "new", "alice", "--password-file", password_file, "--json"]).json();
    assert_eq!(made["name"], "alice");
    let again = user.run(&["account", "new", "alice", "--password-file", password_file]);
    assert_eq!(again.code, 1, "a keystore is never written over: {}", again.stderr);
    assert_eq!(user.run(&["account", "new", "../alice", "--password-file", password_file]).code, 2);

    let import = ["account", "import", "bob", "--unsafe-private-key", FUNDED_KEYS[4], "--password-file", password_file];
    let imported = user.run(&[&import[..], &["--json"]].concat()).json();
    assert_eq!(imported["address"], address(4).to_string());
    let list = user.run(&["account", "list", "--json"]).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["items"][1]["name"], "bob");

    for name in ["alice", "bob"] {
        let mode = fs::metadata(user.folder.join("keystore").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}'s keystore is its owner's alone");
    }

    let cast = repository().join("contracts/node_modules/.bin/cast");
    let keystores = user.folder.join("keystore");
    let output = Command::new(cast)
        .args(["wallet", "address", "--password", "correct horse", "--keystore"])
        .arg(keystores.join("bob"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), address(4).to_string(), "{}", String::from_utf8_lossy(&output.stderr));
}
