//! The watcher's judgement: root-chain facts and served bodies in, findings out. §3, §7.
//!
//! No socket and no machine's clock: *now* is the newest root block's time. What it knows can be made again from the root
//! chain, the archive and the history: a restart replays the same facts and ends in the same state. Files come before
//! records and records before memory, so that a kill between two steps loses work, never a finding.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_primitives::B256;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::facts::{RootBlock, RootEvent};
use plasmid_exit_game::fault::{Fault, FaultProof, Rule};
use plasmid_exit_game::game::GameError;
use plasmid_exit_game::ledger::Leaf;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Place};
use plasmid_exit_game::signature::{Domain, SIGNATURE_LEN, Signature};
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::archive::ArchiveError;
use plasmid_node::chain::{ApplyBlockError, BlockCheck, BodyError, Chain, PastTree, ROOT_UNDO_MAX, SharedChain};
use plasmid_node::kill_point;
use plasmid_node::recover;
use plasmid_node::wire::Verdict;

use crate::finding::{Breach, Finding, Withholding};
use crate::history::{BlockRecord, History, HistoryError, Source, Spend};
use crate::in_flight;
use crate::proving;
use crate::suspect::Suspect;

mod bodies;

/// A history that the API reads while the judge writes.
pub type SharedHistory = Arc<RwLock<History>>;

/// Knows the chain, and says of each committed block whether it is valid.
#[derive(Debug)]
pub struct Judge {
    chain: SharedChain,
    history: SharedHistory,
    domain: Domain,
    /// Of each root block that can be disconnected the coins whose exit took a step in it, oldest first.
    connected: VecDeque<Vec<OutputId>>,
    /// Committed blocks whose body is not at hand with every preimage.
    missing: BTreeMap<BlockNumber, Missing>,
    /// The first block that is bad: nothing after it is judged.
    bad: Option<(BlockNumber, Finding)>,
    /// Of a bad block that breaks a rule the evidence, if it is at hand.
    proof: Option<FaultProof>,
    /// Of a withheld block the number of leaves up to the first missing one, once these were looked through for a breach.
    searched: Option<u32>,
    /// Whether nothing is wrong with a withheld block, which is at hand by now, but its unspent root.
    is_root_wrong: bool,
    /// A convicted block that this watcher held for valid.
    overruled: Option<BlockNumber>,
    /// The body read last, which is mostly the next one judged.
    loaded: Option<Loaded>,
    /// Archived bodies that turned out damaged.
    damaged: Vec<BlockNumber>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Missing {
    /// Root-chain time at which it was first asked for.
    asked_at: Option<u64>,
    /// First leaf without a preimage, if the rest is at hand.
    opaque: Option<u32>,
    /// Whether what is at hand has been looked through for a breach.
    is_searched: bool,
}

#[derive(Debug)]
struct Loaded {
    number: BlockNumber,
    commitment: B256,
    leaves: Vec<Option<Leaf>>,
}

impl Judge {
    /// Returns the judge before the first root block.
    ///
    /// `chain` is new; `history` may hold records of an earlier run.
    #[must_use]
    pub fn new(chain: SharedChain, history: SharedHistory, domain: Domain) -> Self {
        Self {
            chain,
            history,
            domain,
            connected: VecDeque::new(),
            missing: BTreeMap::new(),
            bad: None,
            proof: None,
            searched: None,
            is_root_wrong: false,
            overruled: None,
            loaded: None,
            damaged: Vec::new(),
        }
    }

    /// Takes in the next root block.
    ///
    /// # Errors
    ///
    /// [`JudgeError::Game`] if it contradicts what came before, which no honest node shows: nothing has changed. After any
    /// other error the judge is to be made anew.
    pub fn connect(&mut self, block: &RootBlock) -> Result<(), JudgeError> {
        let mut exits = in_flight::coins_of_steps(self.chain().game(), block);
        self.chain_mut().connect_root_block(block)?;
        exits.extend(in_flight::coins_of_steps(self.chain().game(), block));
        for event in &block.events {
            match event {
                RootEvent::BlockSubmitted(header) => self.commit(header)?,
                RootEvent::StandardExitStarted(record) => exits.push(record.output_id),
                RootEvent::StandardExitChallenged { output_id, spend, signature, .. } => {
                    self.take_shown_spend(spend, signature)?;
                    exits.push(*output_id);
                }
                RootEvent::ExitPaid { output_id, .. }
                | RootEvent::ExitReturned { output_id, .. }
                | RootEvent::CoinWithdrawn { output_id, .. } => exits.push(*output_id),
                RootEvent::InFlight { step, .. } => {
                    if let Some(SignedTransaction { body, signature }) = in_flight::shown(step) {
                        self.take_shown_spend(&body.encode(), &signature.encode())?;
                    }
                }
                RootEvent::Deposited(_)
                | RootEvent::AssetRecorded { .. }
                | RootEvent::ExitAssigned { .. }
                | RootEvent::ExitKeysCleared { .. }
                | RootEvent::Credited { .. }
                | RootEvent::Claimed { .. }
                | RootEvent::FaultAnnounced { .. }
                | RootEvent::FaultProven { .. }
                | RootEvent::FaultRewarded { .. }
                | RootEvent::MissingClaimed { .. }
                | RootEvent::MissingAnswered { .. }
                | RootEvent::MissingConvicted { .. }
                | RootEvent::MissingReturned { .. }
                | RootEvent::ReceiptSlashed { .. }
                | RootEvent::ReceiptRewarded { .. }
                | RootEvent::BondFunded { .. }
                | RootEvent::BondWithdrawn { .. }
                | RootEvent::OperatorProposed { .. }
                | RootEvent::OperatorAccepted { .. }
                | RootEvent::ChainClosed => {}
            }
        }
        self.recheck_frozen(&exits)?;
        self.take_conviction()?;
        self.connected.push_back(exits);
        if self.connected.len() > ROOT_UNDO_MAX {
            self.connected.pop_front();
        }
        Ok(())
    }

    /// Takes back the root block connected last. Returns whether that could be done.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]: the judge is to be made anew.
    pub fn disconnect(&mut self) -> Result<bool, JudgeError> {
        let Some(exits) = self.connected.pop_back() else { return Ok(false) };
        if self.chain_mut().disconnect_root_block().is_none() {
            return Ok(false);
        }
        let (first_gone, last) = {
            let chain = self.chain();
            let last = chain.game().last_block();
            let gone = last.next().filter(|&next| next <= chain.last_local_block());
            (chain.disagreement().or(gone), last)
        };
        if let Some(first) = first_gone {
            self.revert_from(first)?;
        }
        self.missing.retain(|&number, _| number <= last);
        if self.bad.as_ref().is_some_and(|&(number, _)| number > last) {
            (self.bad, self.proof, self.searched, self.is_root_wrong) = (None, None, None, false);
        }
        let is_void = |number| self.chain().game().is_void(number);
        if matches!(self.bad, Some((number, Finding::Void)) if !is_void(number)) {
            self.set_bad(None);
        }
        self.overruled = self.overruled.filter(|&number| self.chain().game().is_void(number));
        self.recheck_frozen(&exits)?;
        Ok(true)
    }

    /// Returns the headers of up to `limit` blocks whose bodies are missing, of those that `is_due` lets pass, in order.
    pub fn wanted(&self, is_due: impl Fn(BlockNumber) -> bool, limit: usize) -> Vec<Header> {
        let chain = self.chain();
        let due = self.missing.keys().filter(|&&number| is_due(number)).take(limit);
        due.filter_map(|&number| Some(chain.game().header(number)?.0)).collect()
    }

    /// Judges the block after the last valid one, if it is committed and its body at hand or withheld. Returns what was found.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]: the judge is to be made anew.
    pub fn judge_next(&mut self) -> Result<Option<(BlockNumber, Finding)>, JudgeError> {
        if self.bad.is_some() {
            self.search_withheld()?;
            return Ok(None);
        }
        let next = {
            let chain = self.chain();
            chain.last_local_block().next().and_then(|next| chain.game().header(next)).map(|&(header, _)| header)
        };
        let Some(header) = next else { return Ok(None) };
        let number = header.number;
        if self.chain().game().is_void(number) {
            self.set_bad(Some((number, Finding::Void)));
            return Ok(Some((number, Finding::Void)));
        }
        let mark = {
            let history = self.history();
            let record = history.record(number).filter(|record| record.commitment == header.commitment());
            record.and_then(|record| record.finding.mark())
        };
        let finding = match (mark, self.missing.get_mut(&number)) {
            (Some(withholding), _) => Finding::Withheld(withholding),
            (None, None) => match self.judge_whole(&header)? {
                Some(finding) => finding,
                None => return Ok(None),
            },
            (None, Some(missing)) => {
                let Some(opaque) = missing.opaque.filter(|_| !missing.is_searched) else { return Ok(None) };
                missing.is_searched = true;
                match self.judge_part(&header, opaque)? {
                    Some(finding) => finding,
                    None => return Ok(None),
                }
            }
        };
        kill_point::reached("finding-decided");
        self.record(&header, &finding)?;
        Ok(Some((number, finding)))
    }

    /// Returns the first bad block and what was found of it.
    #[must_use]
    pub fn bad(&self) -> Option<&(BlockNumber, Finding)> {
        self.bad.as_ref()
    }

    /// Returns the complete evidence against the first bad block, if it breaks a rule and the evidence is at hand.
    #[must_use]
    pub fn proof(&self) -> Option<&FaultProof> {
        self.proof.as_ref()
    }

    /// Returns the header of the first bad block, if it is at hand and nothing is wrong with it but its unspent root.
    #[must_use]
    pub fn wrong_root(&self) -> Option<Header> {
        let (number, _) = self.bad.as_ref().filter(|_| self.is_root_wrong)?;
        self.chain().game().header(*number).map(|&(header, _)| header)
    }

    /// Returns that block with what is known around it; `None` while its body is lost.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]: the judge is to be made anew.
    pub fn suspect(&mut self) -> Result<Option<Suspect>, JudgeError> {
        let Some(header) = self.wrong_root().filter(|header| !self.missing.contains_key(&header.number)) else {
            return Ok(None);
        };
        let leaves = self.load(&header)?.and_then(|leaves| leaves.into_iter().collect::<Option<Vec<_>>>());
        let (Some(leaves), Some(last)) = (leaves, header.number.previous()) else { return Ok(None) };
        let (chain, history) = (self.chain(), self.history());
        let game = chain.game();
        let covered_before = game.header(last).map_or(0, |(last, _)| last.deposit_count);
        let covered: Vec<_> = game.deposits(covered_before, header.deposit_count).copied().collect();
        let later: Vec<_> = game.deposits(header.deposit_count, game.deposit_count()).copied().collect();
        let before = chain.past_tree(last).map(PastTree::restore);
        let guarded = history.guarded();
        Ok(before.map(|before| Suspect::new(header, &before, &leaves, &covered, &later, chain.ledger(), guarded)))
    }

    /// Returns the block that was convicted although this watcher held it for valid.
    #[must_use]
    pub fn overruled(&self) -> Option<BlockNumber> {
        self.overruled
    }

    /// Returns the blocks whose archived bodies were found damaged since the start.
    #[must_use]
    pub fn damaged(&self) -> &[BlockNumber] {
        &self.damaged
    }

    /// Returns how many committed blocks wait for their body.
    #[must_use]
    pub fn missing_count(&self) -> usize {
        self.missing.len()
    }

    /// Returns whether every committed block is judged, or stands behind a bad one with its body at hand or marked missing.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let chain = self.chain();
        self.bad.is_some() || chain.last_local_block() == chain.game().last_block()
    }

    /// Returns the chain, for reading.
    pub fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().expect("no writer panics")
    }

    /// Returns the history, for reading.
    pub fn history(&self) -> RwLockReadGuard<'_, History> {
        self.history.read().expect("no writer panics")
    }

    fn chain_mut(&self) -> RwLockWriteGuard<'_, Chain> {
        self.chain.write().expect("no writer panics")
    }

    fn history_mut(&self) -> RwLockWriteGuard<'_, History> {
        self.history.write().expect("no writer panics")
    }

    /// Takes in a spend that was shown in a call on the root chain.
    fn take_shown_spend(&mut self, spend: &[u8], signature: &[u8]) -> Result<(), JudgeError> {
        let signature = <[u8; SIGNATURE_LEN]>::try_from(signature).ok().and_then(|bytes| Signature::decode(bytes).ok());
        let (Ok(body), Some(signature)) = (Transaction::decode(spend), signature) else { return Ok(()) };
        let Some(signer) = recover::signer(&signature, body.signing_hash(&self.domain)) else { return Ok(()) };
        let spend = Spend { signer, source: Source::Loose(body.hash()) };
        if !self.history().spends_by(body.inputs()[0], signer).any(|known| known == spend) {
            self.history_mut().put_loose(signer, &SignedTransaction { body, signature })?;
        }
        Ok(())
    }

    /// Judges a block whose body is at hand; `None` if the archive has lost it.
    fn judge_whole(&mut self, header: &Header) -> Result<Option<Finding>, JudgeError> {
        let Some(leaves) = self.load(header)? else { return Ok(None) };
        let Some(leaves) = leaves.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let check = self.chain_mut().apply_block(header, leaves)?;
        Ok(Some(match check {
            BlockCheck::Valid => {
                self.chain_mut().archived(header.number);
                Finding::Valid
            }
            BlockCheck::Invalid { index, fault } => self.accuse(Place { block: header.number, index }, &fault),
            BlockCheck::WrongUnspentRoot { computed } => Finding::Withheld(Withholding::UnspentRoot { computed }),
        }))
    }

    /// Looks for a breach that what is at hand of a block proves, whatever stands in the leaves from `opaque` on that are
    /// missing.
    fn judge_part(&mut self, header: &Header, opaque: u32) -> Result<Option<Finding>, JudgeError> {
        let Some(leaves) = self.load(header)? else { return Ok(None) };
        let leaves = leaves.into_iter().map(|leaf| leaf.unwrap_or(Leaf::Empty)).collect();
        let check = self.chain_mut().apply_block(header, leaves)?;
        match check {
            BlockCheck::Valid => {
                self.chain_mut().revert_block()?;
                Ok(None)
            }
            BlockCheck::Invalid { index, fault } => {
                // A missing leaf may have made what a later one spends, but makes no leaf canonical.
                let is_proven = index.get() < opaque || fault.rule() == Rule::R1;
                Ok(is_proven.then(|| self.accuse(Place { block: header.number, index }, &fault)))
            }
            BlockCheck::WrongUnspentRoot { .. } => {
                self.is_root_wrong = opaque == u32::MAX;
                Ok(None)
            }
        }
    }

    /// Looks for a breach in what was served too late of a withheld block: it is proven all the same.
    fn search_withheld(&mut self) -> Result<(), JudgeError> {
        let Some((number, Finding::Withheld(_))) = self.bad else { return Ok(()) };
        let header = self.chain().game().header(number).map(|&(header, _)| header);
        let opaque = self.missing.get(&number).map_or(Some(u32::MAX), |missing| missing.opaque);
        let (Some(header), Some(opaque)) = (header, opaque.filter(|&opaque| self.searched != Some(opaque))) else {
            return Ok(());
        };
        (self.searched, self.proof, self.is_root_wrong) = (Some(opaque), None, false);
        self.judge_part(&header, opaque)?;
        self.chain_mut().set_verdict(number, Verdict::Withheld);
        Ok(())
    }

    /// Gathers the evidence of a fault.
    fn accuse(&mut self, place: Place, fault: &Fault) -> Finding {
        let proof = proving::evidence(place, fault, &self.chain(), &self.history());
        self.proof = proof;
        Finding::Invalid(Breach::new(place.index, fault))
    }

    /// Returns the leaves of a block's archived body. One that turns out lost is missing from then on.
    fn load(&mut self, header: &Header) -> Result<Option<Vec<Option<Leaf>>>, JudgeError> {
        let number = header.number;
        let loaded = self.loaded.take_if(|loaded| loaded.number == number && loaded.commitment == header.commitment());
        if let Some(loaded) = loaded {
            return Ok(Some(loaded.leaves));
        }
        let archive = self.chain().archive().clone();
        match archive.read(number, header.tx_root, header.tx_count) {
            Ok(bytes) => Ok(Some(self.read_archived(header, &bytes)?)),
            Err(ArchiveError::Missing { .. } | ArchiveError::Damaged { .. }) => {
                archive.remove(number)?;
                self.damaged.push(number);
                self.missing.insert(number, Missing::default());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down what was found of a block.
    fn record(&mut self, header: &Header, finding: &Finding) -> Result<(), JudgeError> {
        let number = header.number;
        let mut history = self.history_mut();
        let commitment = header.commitment();
        let known = history.record(number).filter(|record| record.commitment == commitment).cloned();
        let mut record = known.unwrap_or_else(|| BlockRecord::new(commitment, header.timestamp));
        if record.finding != *finding {
            record.finding = finding.clone();
            history.put(number, record, None)?;
        }
        drop(history);
        if finding.is_bad() {
            self.set_bad(Some((number, finding.clone())));
        }
        Ok(())
    }

    fn set_bad(&mut self, bad: Option<(BlockNumber, Finding)>) {
        if !matches!(bad, Some((_, Finding::Invalid(_)))) {
            self.proof = None;
        }
        (self.searched, self.is_root_wrong) = (None, false);
        let before = std::mem::replace(&mut self.bad, bad);
        let mut chain = self.chain_mut();
        if let Some((number, _)) = before {
            chain.set_verdict(number, Verdict::Unknown);
        }
        if let Some((number, finding)) = &self.bad {
            chain.set_verdict(*number, finding.verdict());
        }
    }

    /// Takes back valid blocks from `first` on: they are to be judged again.
    fn revert_from(&mut self, first: BlockNumber) -> Result<(), JudgeError> {
        self.set_bad(None);
        let mut chain = self.chain_mut();
        while chain.last_local_block() >= first {
            chain.revert_block()?;
        }
        Ok(())
    }

    /// Takes back what a conviction has made void: the root chain is believed. §3.
    fn take_conviction(&mut self) -> Result<(), JudgeError> {
        let void_from = {
            let chain = self.chain();
            chain.game().halt().map(|halt| halt.from).filter(|&from| from <= chain.last_local_block())
        };
        if let Some(from) = void_from {
            self.overruled = Some(from);
            self.revert_from(from)?;
        }
        Ok(())
    }

    /// Judges again what an exit's step may have changed: R7 speaks of exits as they are now. §3.
    fn recheck_frozen(&mut self, exits: &[OutputId]) -> Result<(), JudgeError> {
        let first_broken = {
            let chain = self.chain();
            let broken = exits.iter().filter_map(|&output_id| {
                let freeze = chain.game().freeze_of(output_id)?;
                let spent_in = chain.ledger().coin(output_id)?.spender?.block;
                let (header, _) = chain.game().header(spent_in)?;
                (header.timestamp > freeze).then_some(spent_in)
            });
            broken.min()
        };
        if let Some(first) = first_broken {
            return self.revert_from(first);
        }
        if !exits.is_empty() {
            self.searched = None;
        }
        let is_frozen = |finding: &Finding| matches!(finding, Finding::Invalid(breach) if breach.is_of(Rule::R7));
        // What is convicted stays so, whatever becomes of the exit.
        let is_open = |number| !self.chain().game().is_void(number);
        if !exits.is_empty()
            && self.bad.as_ref().is_some_and(|(number, finding)| is_frozen(finding) && is_open(*number))
        {
            self.set_bad(None);
        }
        Ok(())
    }
}

/// Why the judge cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The root chain's node contradicts itself.
    #[error("the root chain's facts contradict each other")]
    Game(#[from] GameError),
    /// The history cannot be written.
    #[error("the history cannot be kept")]
    History(#[from] HistoryError),
    /// The archive cannot be written or read.
    #[error("the archive cannot be kept")]
    Archive(#[from] ArchiveError),
    /// A block cannot be taken back.
    #[error("a block cannot be taken back")]
    Revert(#[from] BodyError),
    /// A block cannot be applied.
    #[error("a block cannot be applied")]
    Apply(#[from] ApplyBlockError),
}
