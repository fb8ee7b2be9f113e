//! HTTP by hand: whatever bytes a stranger likes, and what comes back.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than the server lets any request take.
const PATIENCE: Duration = Duration::from_secs(40);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// Whether it says when to come again.
    pub(crate) has_retry_after: bool,
    /// Whether the server ends the connection.
    pub(crate) is_last: bool,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Whether a server in distress may answer so: nothing in 5xx but 503, and 429 and 503 say when to come again.
    pub(crate) fn is_civil(&self) -> bool {
        match self.status {
            429 | 503 => self.has_retry_after,
            status => status < 500,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes and reads one reply.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> io::Result<Reply> {
        // A server that has heard enough answers and closes: what it said may still be there to read.
        let sent = self.stream.get_mut().write_all(bytes).await;
        let reply = timeout(PATIENCE, self.read()).await?;
        match (reply, sent) {
            (Ok(reply), _) => Ok(reply),
            (Err(error), Ok(())) | (Err(_), Err(error)) => Err(error),
        }
    }

    /// Sends bytes and nothing more, and reads what comes.
    pub(crate) async fn end_with(mut self, bytes: &[u8]) -> io::Result<Reply> {
        self.stream.get_mut().write_all(bytes).await?;
        self.stream.get_mut().shutdown().await?;
        timeout(PATIENCE, self.read()).await?
    }

    /// Sends bytes and waits for nothing.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes).await
    }

    async fn read(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let no_reply = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(no_reply)?;
        let mut reply = Reply { status, has_retry_after: false, is_last: false, body: Vec::new() };
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(no_reply());
            }
            let header = line.trim().to_ascii_lowercase();
            match header.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse().map_err(|_| no_reply())?,
                Some(("retry-after", _)) => reply.has_retry_after = true,
                Some(("connection", value)) => reply.is_last = value.trim() == "close",
                Some(_) => {}
            }
        }
        reply.body.resize(length, 0);
        self.stream.read_exact(&mut reply.body).await?;
        Ok(reply)
    }
}

/// A POST as well-behaved clients send it.
pub(crate) fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The host and port of a URL.
pub(crate) fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// A number from the environment, or this.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The memory that a process really uses, in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
