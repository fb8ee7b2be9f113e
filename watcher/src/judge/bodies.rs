//! Bodies: asked for, served, kept in the archive, lost and found. §3, *withheld*.

use std::borrow::Cow;

use bytes::Bytes;
use plasmid_exit_game::block::{BodyFormatError, BodyItem, Header, decode_items};
use plasmid_exit_game::ledger::Leaf;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::tx_tree::LEAVES_MAX;
use plasmid_node::archive::ArchiveError;
use plasmid_node::kill_point;

use super::{Judge, JudgeError, Loaded, Missing};
use crate::body::{self, ServedBody};
use crate::finding::{Finding, Withholding};
use crate::history::BlockRecord;

impl Judge {
    /// Notes that the body is being asked for, and returns the time of the anchor at which this attempt begins.
    pub fn ask(&mut self, number: BlockNumber) -> u64 {
        let (now, anchor_time) = {
            let chain = self.chain();
            let anchor = chain.game().anchor(chain.finality_depth());
            (chain.game().now(), anchor.map_or(0, |(_, timestamp)| timestamp))
        };
        if let Some(missing) = self.missing.get_mut(&number) {
            // Never later than now: the head of the first asking may be gone, and have lied about the time.
            missing.asked_at = Some(missing.asked_at.map_or(now, |asked_at| asked_at.min(now)));
        }
        anchor_time
    }

    /// Takes in a body, or as much of it as a server has.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]: the judge is to be made anew.
    pub fn take_body(&mut self, served: &ServedBody) -> Result<(), JudgeError> {
        let header = served.header();
        let Some(missing) = self.missing.get(&header.number).copied() else { return Ok(()) };
        if self.chain().game().header(header.number).map(|(header, _)| header) != Some(header) {
            return Ok(());
        }
        let archive = self.chain().archive().clone();
        let mut bytes = Cow::Borrowed(served.bytes());
        match archive.read(header.number, header.tx_root, header.tx_count) {
            Ok(held) => {
                let merged = body::merge(&items(&held, header)?, &items(&bytes, header)?);
                if merged == held {
                    return Ok(());
                }
                archive.remove(header.number)?;
                bytes = Cow::Owned(merged);
            }
            Err(ArchiveError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        archive.write(header.number, &bytes)?;
        kill_point::reached("body-archived");
        let leaves = body::read_leaves(&items(&bytes, header)?, &self.domain, &[]);
        let now = self.chain().game().now();
        self.take_leaves(header, leaves, missing.asked_at.unwrap_or(now))
    }

    /// Notes that an attempt to get the body, which began when the anchor's time was `began_at`, failed with every server;
    /// marks the block as withheld if its time was over then. §3.
    ///
    /// The mark is for good, and a head may be gone the next moment or be a lie: hence the anchor's time. That is at most F/2
    /// behind the head's, which leaves the time to act that §7 asks for: less than MEP/2 − F − grace from one look to the next.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]: the judge is to be made anew.
    pub fn take_failure(&mut self, number: BlockNumber, began_at: u64) -> Result<(), JudgeError> {
        let Some(&missing) = self.missing.get(&number) else { return Ok(()) };
        let (header, grace) = {
            let chain = self.chain();
            let Some(&(header, _)) = chain.game().header(number) else { return Ok(()) };
            (header, chain.game().periods().grace())
        };
        let asked_at = missing.asked_at.unwrap_or(began_at);
        let commitment = header.commitment();
        let known = self.history().record(number).filter(|record| record.commitment == commitment).cloned();
        let mut record = known.clone().unwrap_or_else(|| BlockRecord::new(commitment, asked_at));
        record.asked_at = record.asked_at.min(asked_at);
        let is_late = began_at > header.timestamp.max(record.asked_at).saturating_add(grace);
        // A body that was served once and that we lost is our fault.
        if is_late && !record.is_served && record.finding.mark().is_none() {
            let withholding = missing.opaque.map_or(Withholding::Body, |index| Withholding::Preimage { index });
            record.finding = Finding::Withheld(withholding);
        }
        if known.as_ref() != Some(&record) {
            self.history_mut().put(number, record, None)?;
        }
        Ok(())
    }

    /// Takes in a new commitment: its body may be in the archive already, or another one's in its place.
    pub(super) fn commit(&mut self, header: &Header) -> Result<(), JudgeError> {
        let number = header.number;
        let record = self.history().record(number).cloned();
        let known = record.filter(|record| record.commitment == header.commitment());
        let asked_at = known.as_ref().map(|record| record.asked_at);
        let archive = self.chain().archive().clone();
        match archive.read(number, header.tx_root, header.tx_count) {
            Ok(bytes) => {
                let leaves = self.read_archived(header, &bytes)?;
                self.missing.insert(number, Missing { asked_at, ..Missing::default() });
                let now = self.chain().game().now();
                return self.take_leaves(header, leaves, asked_at.unwrap_or(now));
            }
            Err(ArchiveError::Missing { .. }) => {}
            Err(ArchiveError::Damaged { .. }) => {
                if known.is_some() {
                    self.damaged.push(number);
                }
                self.displace(number)?;
            }
            Err(error) => return Err(error.into()),
        }
        self.missing.insert(number, Missing { asked_at, ..Missing::default() });
        if header.tx_count == 0 {
            let empty = ServedBody::check(*header, Bytes::new()).expect("no leaves have the root zero");
            self.take_body(&empty)?;
        }
        Ok(())
    }

    /// Takes the archived body of `number`, which is not the committed block's, out of the way. Its spends stay evidence.
    fn displace(&mut self, number: BlockNumber) -> Result<(), JudgeError> {
        let archive = self.chain().archive().clone();
        let bytes = archive.read_range(number, 0..archive.body_len(number)?)?;
        if let Ok(items) = decode_items(&bytes, LEAVES_MAX as u32) {
            let leaves = body::read_leaves(&items, &self.domain, &[]);
            self.history_mut().unmake(number, &leaves)?;
        }
        archive.remove(number)?;
        Ok(())
    }

    /// Takes in the leaves of a body that is in the archive.
    fn take_leaves(&mut self, header: &Header, leaves: Vec<Option<Leaf>>, asked_at: u64) -> Result<(), JudgeError> {
        let (number, commitment) = (header.number, header.commitment());
        let opaque = leaves.iter().position(Option::is_none).map(|index| index as u32);
        {
            let mut history = self.history_mut();
            let known = history.record(number).filter(|record| record.commitment == commitment).cloned();
            let mut record = known.clone().unwrap_or_else(|| BlockRecord::new(commitment, asked_at));
            record.is_served |= opaque.is_none();
            if known.as_ref() != Some(&record) || !history.has_signers(number, header.tx_root, &leaves)? {
                history.put(number, record, Some((header.tx_root, &leaves)))?;
                kill_point::reached("body-recorded");
            }
            history.index(number, &leaves);
        }
        match opaque {
            None => drop(self.missing.remove(&number)),
            Some(_) => {
                let missing = Missing { asked_at: Some(asked_at), opaque, is_searched: false };
                self.missing.insert(number, missing);
            }
        }
        self.loaded = Some(Loaded { number, commitment, leaves });
        Ok(())
    }

    /// Reads the leaves of an archived body, with the signers that were found when it was served.
    pub(super) fn read_archived(&self, header: &Header, bytes: &[u8]) -> Result<Vec<Option<Leaf>>, JudgeError> {
        let signers = self.history().signers(header.number, header.tx_root)?;
        Ok(body::read_leaves(&items(bytes, header)?, &self.domain, &signers.unwrap_or_default()))
    }
}

/// The items of a body that was compared with the header's root.
fn items<'a>(bytes: &'a [u8], header: &Header) -> Result<Vec<BodyItem<'a>>, ArchiveError> {
    let damaged = |source: BodyFormatError| ArchiveError::Damaged { number: header.number, source: source.into() };
    decode_items(bytes, header.tx_count).map_err(damaged)
}
