//! The processes of a devnet: started with a log file each, and ended with their parent whatever becomes of it.
//!
//! Each runs below a supervisor (this binary again, by a hidden command) that holds one end of a pipe. When the parent ends,
//! even by a kill, the pipe breaks, and the supervisor ends the process in good order. Each has a process group of its own,
//! so that Ctrl-C reaches the parent alone, who ends them one after the other.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What a process has for saving its state before it is killed.
const END_SECS: u64 = 10;
/// Lines of a log that are shown when a process has ended by itself.
const LOG_LINES_SHOWN: usize = 12;

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    supervisor: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, which writes to `NAME.log` in `logs`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[impl AsRef<OsStr>],
        environment: &[(&str, &str)],
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let mut supervisor = Command::new(std::env::current_exe().context("find this program's own file")?);
        // Settings of ours in the environment are not meant for a devnet's parts.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PLASMID_")) {
            supervisor.env_remove(name);
        }
        let supervisor = supervisor
            .arg("supervise")
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().context("share the log file")?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name, supervisor, log })
    }

    /// Fails, with the end of its log, if the process has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.supervisor.try_wait().with_context(|| format!("look after {}", self.name))? else {
            return Ok(());
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n    ");
        bail!("{} has ended ({status}); the end of {}:\n    {tail}", self.name, self.log.display())
    }

    /// Returns the process group, to pause it.
    pub(crate) fn group(&self) -> anyhow::Result<Group> {
        let pid = self.supervisor.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        pid.map(Group).with_context(|| format!("{} has ended", self.name))
    }

    /// Ends the process and waits until it is gone.
    pub(crate) async fn end(mut self) {
        drop(self.supervisor.stdin.take());
        if timeout(Duration::from_secs(END_SECS + 2), self.supervisor.wait()).await.is_err() {
            eprintln!("{} does not end", self.name);
        }
    }
}

/// A process and its supervisor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group(Pid);

impl Group {
    /// Stops the process in the middle of whatever it does, until the result is dropped. Should we be killed before that, the
    /// system ends the group, as it does with any that is stopped and has nobody to wake it.
    pub(crate) fn pause(self) -> anyhow::Result<Paused> {
        kill_process_group(self.0, Signal::STOP).context("stop a process")?;
        Ok(Paused(self))
    }
}

/// A process that stands still.
#[derive(Debug)]
pub(crate) struct Paused(Group);

impl Drop for Paused {
    fn drop(&mut self) {
        // A process that is gone does not need to be woken.
        let _ = kill_process_group(self.0.0, Signal::CONT);
    }
}

/// Runs `command` until it ends or this process' standard input does, and returns its exit code: the hidden command.
pub(crate) fn supervise(command: &[OsString]) -> anyhow::Result<u8> {
    let Some((program, arguments)) = command.split_first() else { bail!("no program to run") };
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("run {}", Path::new(program).display()))?;
    let pid = Pid::from_child(&child);
    thread::spawn(move || {
        // However the reading ends, nobody is at the other end any more. A process that has ended meanwhile needs no signal.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = kill_process(pid, Signal::TERM);
        thread::sleep(Duration::from_secs(END_SECS));
        let _ = kill_process(pid, Signal::KILL);
    });
    let status = child.wait().context("wait for the program")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
