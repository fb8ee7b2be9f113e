//! The hidden command that ends a devnet's processes with their parent.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn supervise(program: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plasmid"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).arg("supervise").args(program);
    command
}

#[test]
fn a_supervised_program_ends_when_nobody_holds_the_pipe_any_more() {
    let mut supervisor = supervise(&["sleep", "1000"]).stdin(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(300));
    assert!(supervisor.try_wait().unwrap().is_none(), "it runs as long as the pipe is held");
    let start = Instant::now();
    drop(supervisor.stdin.take());
    supervisor.wait().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_program_that_ends_by_itself_ends_its_supervisor_with_its_code() {
    let mut supervisor = supervise(&["sh", "-c", "exit 7"]).stdin(Stdio::piped()).spawn().unwrap();
    // Waiting closes the pipe that is left in place, which would end the program too.
    let held = supervisor.stdin.take();
    assert_eq!(supervisor.wait().unwrap().code(), Some(7));
    drop(held);
}
