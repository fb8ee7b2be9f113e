//! Figures beside their baselines: a table on stdout, and `target/bench/light.json`.

use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

/// A figure beside a baseline of the same run.
pub(crate) struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    baseline: String,
    baseline_value: f64,
}

impl Row {
    pub(crate) fn against(what: &str, value: f64, unit: &'static str, baseline: &str, baseline_value: f64) -> Self {
        Self { what: what.to_owned(), value, unit, baseline: baseline.to_owned(), baseline_value }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Rows(Vec<Value>);

impl Rows {
    /// Shows a row, and keeps it.
    pub(crate) fn push(&mut self, row: Row) {
        let Row { what, value, unit, baseline, baseline_value } = row;
        let ratio = value / baseline_value;
        println!("{what:<42} {value:>14.2} {unit:<12} {ratio:>9.4} of {baseline_value:.2}: {baseline}");
        self.0.push(json!({
            "what": what, "value": value, "unit": unit, "baseline": baseline, "baseline_value": baseline_value, "ratio": ratio
        }));
    }

    pub(crate) fn write(self) -> anyhow::Result<()> {
        let commit = Command::new("git").args(["rev-parse", "HEAD"]).output()?.stdout;
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, name)| name.trim());
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let machine = format!("{} {}, {threads} × {model}", std::env::consts::OS, std::env::consts::ARCH);
        let report = json!({
            "name": "light", "commit": String::from_utf8_lossy(&commit).trim(), "machine": machine, "rows": self.0
        });
        let path = plasmid_harness::anvil::repository().join("target/bench/light.json");
        std::fs::create_dir_all(path.parent().context("it lies in a folder")?)?;
        std::fs::write(&path, format!("{report:#}\n")).with_context(|| format!("write {}", path.display()))
    }
}
