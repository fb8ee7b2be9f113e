//! A judge with real files under it, and a root chain of the test's own making.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use alloy_primitives::{Address, B256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::facts::{RootBlock, RootEvent, RootRef};
use plasmid_exit_game::output::{Deposit, Output};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::signature::Domain;
use plasmid_node::archive::Archive;
use plasmid_node::chain::Chain;
use plasmid_watcher::body::ServedBody;
use plasmid_watcher::finding::Finding;
use plasmid_watcher::history::History;
use plasmid_watcher::judge::Judge;
use tempfile::TempDir;

use crate::child_chain::Built;

pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
pub(crate) const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) };
/// Root blocks to finality.
const FINALITY_DEPTH: u64 = 3;
const START: u64 = 1_000_000;

pub(crate) struct World {
    folder: TempDir,
    pub(crate) judge: Judge,
    /// The root chain.
    pub(crate) root: Vec<RootBlock>,
    /// Told apart from other branches of the root chain.
    branch: u64,
    deposits: u64,
    /// Whose payments are kept at hand.
    guarded: Vec<Address>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::guarding(Vec::new())
    }

    pub(crate) fn guarding(guarded: Vec<Address>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let judge = judge(folder.path(), &guarded);
        Self { folder, judge, root: Vec::new(), branch: 0, deposits: 0, guarded }
    }

    pub(crate) fn history_dir(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    pub(crate) fn archive_dir(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    pub(crate) fn now(&self) -> u64 {
        self.root.last().map_or(START, |block| block.timestamp)
    }

    /// Connects a root block, `secs` after the last one.
    pub(crate) fn root_block(&mut self, secs: u64, events: Vec<RootEvent>) {
        let number = self.root.len() as u64;
        let hash = keccak256([number.to_be_bytes(), self.branch.to_be_bytes()].concat());
        let parent = self.root.last().map_or(B256::ZERO, |block| block.at.hash);
        let block = RootBlock { at: RootRef { number, hash }, parent, timestamp: self.now() + secs, events };
        self.judge.connect(&block).unwrap();
        self.root.push(block);
    }

    /// Lets `secs` pass, in a root block that becomes final.
    pub(crate) fn pass(&mut self, secs: u64) {
        self.root_block(secs, vec![]);
        (0..FINALITY_DEPTH).for_each(|_| self.root_block(0, vec![]));
    }

    /// Takes back the last `depth` root blocks.
    pub(crate) fn reorganise(&mut self, depth: usize) -> Vec<RootBlock> {
        self.branch += 1;
        for _ in 0..depth {
            assert!(self.judge.disconnect().unwrap());
        }
        self.root.split_off(self.root.len() - depth)
    }

    pub(crate) fn deposit(&mut self, output: Output) -> Deposit {
        let deposit = Deposit { nonce: self.deposits, output };
        self.deposits += 1;
        self.root_block(1, vec![RootEvent::Deposited(deposit)]);
        deposit
    }

    pub(crate) fn commit(&mut self, built: &Built) -> Header {
        let header = Header { timestamp: self.now() + 1, ..built.header };
        self.root_block(1, vec![RootEvent::BlockSubmitted(header)]);
        header
    }

    pub(crate) fn serve(&mut self, header: Header, body: &[u8]) {
        let served = ServedBody::check(header, body.to_vec().into()).unwrap();
        self.judge.ask(header.number);
        self.judge.take_body(&served).unwrap();
    }

    /// An attempt to get the body that begins now and fails.
    pub(crate) fn fail_to_serve(&mut self, number: u64) {
        let number = BlockNumber::new(number).unwrap();
        let began_at = self.judge.ask(number);
        self.judge.take_failure(number, began_at).unwrap();
    }

    /// Commits a block and serves its body.
    pub(crate) fn commit_and_serve(&mut self, built: &Built) -> Header {
        let header = self.commit(built);
        self.serve(header, &built.body);
        header
    }

    /// Judges all that can be judged.
    pub(crate) fn judge_all(&mut self) -> Vec<(u64, Finding)> {
        std::iter::from_fn(|| self.judge.judge_next().unwrap())
            .map(|(number, finding)| (number.get(), finding))
            .collect()
    }

    /// Starts again from what is on disk and replays the root chain.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.judge = judge(self.folder.path(), &self.guarded);
        for block in &self.root {
            self.judge.connect(block).unwrap();
        }
    }

    /// Lets go of the files.
    pub(crate) fn stop(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        self.judge = judge(elsewhere.path(), &[]);
    }
}

fn judge(folder: &Path, guarded: &[Address]) -> Judge {
    let archive = Archive::open(&folder.join("archive")).unwrap();
    let (mut history, _) = History::open_or_set_aside(&folder.join("history")).unwrap();
    history.guard(guarded.iter().copied()).unwrap();
    let chain = Chain::new(PERIODS, FINALITY_DEPTH, archive);
    Judge::new(Arc::new(RwLock::new(chain)), Arc::new(RwLock::new(history)), DOMAIN)
}
