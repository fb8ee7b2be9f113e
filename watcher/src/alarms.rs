//! Alarms: what a person must know, persisted, each under a name that stays the same from its beginning to its end.
//!
//! What is alarming follows from the watcher's state and is worked out anew at every tick; [`Alarms::reconcile`] compares it
//! with what was alarming before, writes the file and logs what begins and what ends. The file also keeps the *withheld*
//! marks, which nothing else could bring back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use alloy_primitives::B256;
use plasmid_exit_game::position::BlockNumber;
use serde::{Deserialize, Serialize};

use crate::finding::{Breach, Finding, Withholding};

/// Alarms that are over and still shown; marks of withheld blocks are kept beyond.
const ENDED_MAX: usize = 1_000;

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// A block breaks a rule.
    InvalidBlock,
    /// Data of a block was not served in time.
    WithheldBlock,
    /// An unspent tree holds what it must not, lacks what it must hold, or is wrong in what nobody can tell.
    UnspentTree,
    /// Somebody claims that the unspent tree of a valid block lacks a coin: it must be answered.
    MissingClaim,
    /// A block was convicted: the chain has ended.
    Halted,
    /// A block was convicted that this watcher holds for valid.
    Overruled,
    /// No new head of the root chain is seen, or the node cannot be believed.
    BlindRootChain,
    /// No server gives the body of a committed block, whose time is not over yet.
    BlindServers,
    /// A challenge or an exit of ours does not get through.
    ActFails,
    /// A stored file or store was damaged and set aside.
    Damaged,
    /// Somebody tests whether alarms arrive.
    Test,
}

impl AlarmKind {
    /// Returns how bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::InvalidBlock
            | Self::WithheldBlock
            | Self::UnspentTree
            | Self::Halted
            | Self::Overruled
            | Self::ActFails => Severity::Critical,
            Self::MissingClaim | Self::BlindRootChain | Self::BlindServers => Severity::High,
            Self::Damaged => Severity::Low,
            Self::Test => Severity::Test,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InvalidBlock => "invalid-block",
            Self::WithheldBlock => "withheld-block",
            Self::UnspentTree => "unspent-tree",
            Self::MissingClaim => "missing-claim",
            Self::Halted => "halted",
            Self::Overruled => "overruled",
            Self::BlindRootChain => "blind-root-chain",
            Self::BlindServers => "blind-servers",
            Self::ActFails => "act-fails",
            Self::Damaged => "damaged",
            Self::Test => "test",
        }
    }
}

/// How bad an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing is wrong.
    Test,
    /// Look at it some day.
    Low,
    /// The watcher cannot do its duty, or has one that must not fail.
    High,
    /// Money is at stake: leave.
    Critical,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Alarm {
    /// Its name: the same for the same thing.
    pub id: String,
    /// What it is about.
    pub kind: AlarmKind,
    /// How bad it is.
    pub severity: Severity,
    /// Root-chain time at which it began, in seconds.
    pub since: u64,
    /// Root-chain time at which it was over, in seconds.
    pub ended: Option<u64>,
    /// The block, where it is about one.
    #[serde(with = "plasmid_node::wire::form")]
    pub block: Option<BlockNumber>,
    /// The block's commitment.
    pub commitment: Option<B256>,
    /// The rule that the block breaks, with the whereabouts of the evidence.
    pub evidence: Option<Breach>,
    /// What is missing of the block.
    pub withholding: Option<Withholding>,
    /// What happened, in words.
    pub message: String,
}

impl Alarm {
    /// Returns an alarm of which `subject` tells those of one kind apart; empty if there is but one.
    #[must_use]
    pub fn new(kind: AlarmKind, subject: &str, now: u64, message: String) -> Self {
        let separator = if subject.is_empty() { "" } else { "-" };
        Self {
            id: format!("{}{separator}{subject}", kind.name()),
            kind,
            severity: kind.severity(),
            since: now,
            ended: None,
            block: None,
            commitment: None,
            evidence: None,
            withholding: None,
            message,
        }
    }

    /// Returns the alarm that a finding about a block is, or `None` for a finding that is none.
    #[must_use]
    pub fn of_block(number: BlockNumber, commitment: B256, finding: &Finding, now: u64) -> Option<Self> {
        let (kind, evidence, withholding) = match finding {
            Finding::Invalid(breach) => (AlarmKind::InvalidBlock, Some(breach.clone()), None),
            Finding::Withheld(withholding) => (AlarmKind::WithheldBlock, None, Some(*withholding)),
            // Of a void block the halt is the alarm.
            Finding::Valid | Finding::Void | Finding::Unknown => return None,
        };
        let subject = format!("{number}-{commitment:x}");
        let alarm = Self::new(kind, &subject, now, format!("block {number} is {finding}"));
        Some(Self { block: Some(number), commitment: Some(commitment), evidence, withholding, ..alarm })
    }
}

/// How much was looked at to find what is alarming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// Everything: what is not alarming now is over.
    Whole,
    /// Not all of it yet: the chains are still being caught up with.
    Partial,
}

/// All alarms, on disk and in memory.
#[derive(Debug)]
pub struct Alarms {
    path: PathBuf,
    /// By beginning.
    all: Vec<Alarm>,
}

impl Alarms {
    /// Reads the alarms from `path`, or begins with none if there is no such file. A file that does not decode is set aside
    /// and its new name returned.
    ///
    /// # Errors
    ///
    /// [`AlarmsError`] if the file system fails.
    pub fn open(path: PathBuf) -> Result<(Self, Option<PathBuf>), AlarmsError> {
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Self { path, all: Vec::new() }, None)),
            Err(source) => return Err(AlarmsError { action: "read", path, source }),
        };
        if let Ok(all) = serde_json::from_slice(&text) {
            return Ok((Self { path, all }, None));
        }
        let aside = (1..).map(|n| path.with_extension(format!("damaged-{n}"))).find(|path| !path.exists());
        let aside = aside.expect("some number is free");
        match fs::rename(&path, &aside) {
            Ok(()) => Ok((Self { path, all: Vec::new() }, Some(aside))),
            Err(source) => Err(AlarmsError { action: "set aside", path, source }),
        }
    }

    /// Returns all alarms, the oldest first.
    #[must_use]
    pub fn all(&self) -> &[Alarm] {
        &self.all
    }

    /// Returns the alarms that stand, the oldest first.
    pub fn standing(&self) -> impl Iterator<Item = &Alarm> {
        self.all.iter().filter(|alarm| alarm.ended.is_none())
    }

    /// Makes `alarming`, at most one of each name, the alarms that stand: begins what is new, logs it and writes the file; it
    /// is on disk when this returns. Returns the alarms that began or ended.
    ///
    /// With [`Outlook::Partial`] nothing ends.
    ///
    /// # Errors
    ///
    /// [`AlarmsError`] if the file cannot be written; memory holds the new alarms all the same.
    pub fn reconcile(&mut self, alarming: Vec<Alarm>, outlook: Outlook, now: u64) -> Result<Vec<Alarm>, AlarmsError> {
        let mut changed = Vec::new();
        let is_over = |alarm: &Alarm| {
            outlook == Outlook::Whole
                && alarm.ended.is_none()
                && !alarming.iter().any(|standing| standing.id == alarm.id)
        };
        for alarm in self.all.iter_mut().filter(|alarm| is_over(alarm)) {
            alarm.ended = Some(now);
            tracing::warn!(id = alarm.id, "alarm over: {}", alarm.message);
            changed.push(alarm.clone());
        }
        for alarm in alarming {
            if self.standing().any(|standing| standing.id == alarm.id) {
                continue;
            }
            tracing::error!(id = alarm.id, severity = ?alarm.severity, "ALARM: {}", alarm.message);
            // What comes again is the same alarm: it stands again.
            self.all.retain(|old| old.id != alarm.id);
            self.all.push(alarm.clone());
            changed.push(alarm);
        }
        if changed.is_empty() {
            return Ok(changed);
        }
        let is_droppable = |alarm: &Alarm| alarm.ended.is_some() && alarm.withholding.is_none();
        let mut surplus = self.all.iter().filter(|alarm| is_droppable(alarm)).count().saturating_sub(ENDED_MAX);
        self.all.retain(|alarm| {
            let is_surplus = surplus > 0 && is_droppable(alarm);
            surplus -= usize::from(is_surplus);
            !is_surplus
        });
        self.write().map_err(|source| AlarmsError { action: "write", path: self.path.clone(), source })?;
        Ok(changed)
    }

    fn write(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&self.all).expect("alarms have a JSON form"))?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// The alarms' file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the alarms in {}", path.display())]
pub struct AlarmsError {
    /// What was tried.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withheld(block: u64, commitment: u8) -> Alarm {
        let number = BlockNumber::new(block).unwrap();
        Alarm::of_block(number, B256::repeat_byte(commitment), &Finding::Withheld(Withholding::Body), 100).unwrap()
    }

    #[test]
    fn an_alarm_stands_until_it_is_over_and_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alarms.json");
        let (mut alarms, aside) = Alarms::open(path.clone()).unwrap();
        assert_eq!(aside, None);
        alarms.reconcile(vec![withheld(3, 1)], Outlook::Whole, 100).unwrap();
        alarms.reconcile(vec![withheld(3, 1)], Outlook::Whole, 105).unwrap();

        let (mut alarms, _) = Alarms::open(path.clone()).unwrap();
        assert_eq!(alarms.standing().count(), 1);
        assert_eq!(alarms.all()[0].since, 100);
        alarms.reconcile(Vec::new(), Outlook::Partial, 110).unwrap();
        assert_eq!(alarms.standing().count(), 1, "not all has been looked at");
        alarms.reconcile(Vec::new(), Outlook::Whole, 110).unwrap();
        assert_eq!(alarms.standing().count(), 0);
        assert_eq!(alarms.all()[0].ended, Some(110));

        let (alarms, _) = Alarms::open(path).unwrap();
        assert_eq!(alarms.all()[0].withholding, Some(Withholding::Body), "the mark stays");
    }

    #[test]
    fn alarms_that_are_over_do_not_pile_up_but_marks_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (mut alarms, _) = Alarms::open(folder.path().join("alarms.json")).unwrap();
        alarms.reconcile(vec![withheld(3, 1)], Outlook::Whole, 1).unwrap();
        let tests = |n: u64| Alarm::new(AlarmKind::Test, &n.to_string(), n, "a test".to_owned());
        alarms.reconcile((0..1_100).map(tests).collect(), Outlook::Whole, 2).unwrap();
        alarms.reconcile(Vec::new(), Outlook::Whole, 3).unwrap();
        assert_eq!(alarms.all().len(), ENDED_MAX + 1);
        assert!(alarms.all().iter().any(|alarm| alarm.withholding.is_some()));
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alarms.json");
        fs::write(&path, "[{").unwrap();
        let (alarms, aside) = Alarms::open(path).unwrap();
        assert!(alarms.all().is_empty() && aside.unwrap().exists());
    }
}
