//! What a command says: data on stdout, for people or as JSON, and talk on stderr.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// How data are written on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

impl Format {
    /// Writes a command's result. A reader that has gone away is not an error.
    pub(crate) fn print(self, report: &(impl Serialize + Display)) -> anyhow::Result<()> {
        let text = match self {
            Self::Text => report.to_string(),
            Self::Json => serde_json::to_string(report)?,
        };
        match writeln!(io::stdout(), "{}", text.trim_end()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => Ok(outcome?),
        }
    }
}

/// A list as JSON writes it: `{"items":[…]}`; for people one entry after the other, or a line that says there are none.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
    /// What to say of an empty list.
    #[serde(skip)]
    pub(crate) none: &'static str,
}

impl<T: Display> Display for Items<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.items.is_empty() {
            return f.write_str(self.none);
        }
        self.items.iter().try_for_each(|item| writeln!(f, "{item}"))
    }
}
