//! The root chain as an ordered stream of facts, with reorganisations as data.
//!
//! A [`Follower`] answers for order and for honesty as far as one node's word can be checked: blocks join on to each
//! other, logs belong to the block asked for, time does not run backwards, and the node is one of the right chain with
//! the right contract (asked at the start and after every failure of a node). Everything it yields is in
//! chain order: after the [`Step`]s so far, the consumer has seen exactly the contract's events up to
//! [`head`](Follower::head).
//!
//! Far below the head, at more than the finality depth, logs are fetched for many blocks at once. There, blocks without
//! events are left out, except the last of each range, so that a block's `parent` need not be the block connected
//! before it. From the finality depth on every block is connected. Who is interested in some events alone says so: then
//! the others are neither asked for nor connected.

use std::collections::VecDeque;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use plasmid_exit_game::facts::{RootBlock, RootRef};

use crate::client::{Deployment, RootChain};
use crate::events::{EventError, decode_event};
use crate::node::{Log, LogRange, ReadError, RootHeader, Topics};
use crate::rpc::RpcError;

/// Blocks that are remembered beside the finality depth: so deep may a reorganisation be.
const REMEMBERED_BLOCKS: u64 = 512;
/// Most blocks whose logs are asked for at once.
const RANGE_BLOCKS_MAX: u64 = 10_000;

/// How a [`Follower`] follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerSettings {
    /// How many blocks above it make a block final.
    pub finality_depth: u64,
    /// Pause between two looks at the head.
    pub poll_interval: Duration,
    /// Which events are asked for, one question each, no event in two of them; without any, all.
    pub interest: Vec<Topics>,
}

impl FollowerSettings {
    /// Makes settings for a finality depth, with a pause that suits a devnet.
    #[must_use]
    pub fn new(finality_depth: u64) -> Self {
        Self { finality_depth, poll_interval: Duration::from_millis(250), interest: Vec::new() }
    }
}

/// What happened to the root chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A block was added to those connected before.
    Connect(RootBlock),
    /// The block connected last is no longer part of the chain.
    Disconnect(RootRef),
}

/// How far a follower has come in catching up, in root blocks since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Blocks passed.
    pub done: u64,
    /// Blocks up to the newest head seen.
    pub total: u64,
}

/// Follows one deployment at one root chain.
#[derive(Debug)]
pub struct Follower {
    root_chain: RootChain,
    deployment: Deployment,
    settings: FollowerSettings,
    /// The blocks connected last, oldest first.
    recent: VecDeque<Seen>,
    /// Blocks of a range, checked and yet to be connected.
    fetched: VecDeque<RootBlock>,
    range_blocks: u64,
    /// Number of the block before the first that this follower connects.
    started_at: u64,
    head_number: u64,
    /// The client's failure count when the node was last found to be of the right chain.
    verified_at: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: RootRef,
    /// Zero where it is not known: all times are later.
    timestamp: u64,
}

impl Follower {
    /// Makes a follower of `deployment`. Nothing is asked yet.
    ///
    /// `connected` are the blocks that the consumer holds as connected, oldest first, as far back as it can undo them;
    /// without any the follower starts with the block of the deployment.
    #[must_use]
    pub fn new(
        root_chain: RootChain,
        deployment: Deployment,
        connected: &[RootRef],
        settings: FollowerSettings,
    ) -> Self {
        let recent: VecDeque<_> = connected.iter().map(|&at| Seen { at, timestamp: 0 }).collect();
        let started_at = recent.back().map_or(deployment.block.number.saturating_sub(1), |last| last.at.number);
        Self {
            root_chain,
            deployment,
            settings,
            recent,
            fetched: VecDeque::new(),
            range_blocks: RANGE_BLOCKS_MAX,
            started_at,
            head_number: started_at,
            verified_at: None,
        }
    }

    /// Waits for the next step.
    ///
    /// May be dropped while it waits: no step is lost.
    ///
    /// # Errors
    ///
    /// [`FollowError`]. The follower stays where it is and the next call tries again; when to call is the caller's
    /// affair.
    pub async fn next(&mut self) -> Result<Step, FollowError> {
        loop {
            if let Some(block) = self.fetched.pop_front() {
                return Ok(self.connect(block));
            }
            let failures = self.root_chain.node().rpc().failures();
            self.verify_node(failures).await?;
            let found = match self.look().await {
                Err(error @ FollowError::Read(_)) => return Err(error),
                found => found,
            };
            // What was found may be from another node, of another chain: then that comes first.
            if self.root_chain.node().rpc().failures() != failures {
                continue;
            }
            match found? {
                Found::Gone(last) => {
                    // A reorganisation leaves the deployment where it is. Another chain behind the same address does not.
                    self.verified_at = None;
                    self.verify_node(failures).await?;
                    if self.root_chain.node().rpc().failures() != failures {
                        continue;
                    }
                    return Ok(self.disconnect(last));
                }
                Found::Next(block) => return Ok(self.connect(block)),
                Found::Range(blocks) => self.fetched = blocks,
                Found::Nothing => tokio::time::sleep(self.settings.poll_interval).await,
            }
        }
    }

    /// Forgets the step yielded last, a block that the consumer did not connect: it will be asked for again.
    pub fn refuse(&mut self) {
        self.recent.pop_back();
        self.fetched.clear();
    }

    /// Returns the block connected last: the consumer's head, which a reorganisation may take away.
    #[must_use]
    pub fn head(&self) -> Option<RootRef> {
        self.recent.back().map(|last| last.at)
    }

    /// Returns the newest connected block that is final: at least the finality depth below the head that the node has.
    #[must_use]
    pub fn anchor(&self) -> Option<RootRef> {
        let highest = self.final_number()?;
        self.recent.iter().rev().map(|seen| seen.at).find(|at| at.number <= highest)
    }

    /// Returns how far catching up has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let since_start = |number: u64| number.saturating_sub(self.started_at);
        let done = self.head().map_or(0, |head| since_start(head.number));
        Progress { done, total: since_start(self.head_number).max(done) }
    }

    /// Finds out what the next step is, and changes nothing that a step depends on.
    async fn look(&mut self) -> Result<Found, FollowError> {
        let node = self.root_chain.node();
        let head = node.head().await?;
        self.head_number = head.at.number;
        let Some(last) = self.recent.back().copied() else {
            let first = self.block_of_chain(self.deployment.block.number, head).await?;
            return Ok(Found::Next(self.fetch_block(first).await?));
        };
        if head.at == last.at {
            return Ok(Found::Nothing);
        }
        if is_next(head, last.at)? {
            return Ok(Found::Next(self.fetch_block(head).await?));
        }
        if head.at.number <= last.at.number {
            // The chain is another one, or just shorter: a node that lags behind, which takes nothing away.
            let known = self.recent.iter().rev().find(|seen| seen.at.number <= head.at.number);
            let is_behind = known.is_some_and(|known| known.at == head.at || known.at.number < head.at.number);
            return if is_behind { Ok(Found::Nothing) } else { self.gone(last) };
        }
        let last_now = self.block_of_chain(last.at.number, head).await?;
        if last_now.at != last.at {
            return self.gone(last);
        }
        match self.final_number() {
            Some(final_number) if final_number > last.at.number => {
                Ok(Found::Range(self.fetch_range(last, final_number, head).await?))
            }
            _ => {
                let next = self.block_of_chain(last.at.number + 1, head).await?;
                // Between the two questions the chain may have changed: the next look will see.
                if next.parent != last.at.hash {
                    Ok(Found::Nothing)
                } else {
                    Ok(Found::Next(self.fetch_block(next).await?))
                }
            }
        }
    }

    /// Fetches the events of the blocks after `last`, in as long a range as the node allows.
    async fn fetch_range(
        &mut self,
        last: Seen,
        final_number: u64,
        head: RootHeader,
    ) -> Result<VecDeque<RootBlock>, FollowError> {
        let from = last.at.number + 1;
        let (to, logs) = loop {
            let to = final_number.min(from.saturating_add(self.range_blocks - 1));
            match self.logs(LogRange::Numbers(from, to)).await {
                Ok(logs) => break (to, logs),
                Err(ReadError::Rpc(error)) if self.range_blocks > 1 && is_about_size(&error) => self.range_blocks /= 2,
                Err(error) => return Err(error.into()),
            }
        };
        self.range_blocks = self.range_blocks.saturating_mul(2).min(RANGE_BLOCKS_MAX);

        let mut blocks = VecDeque::new();
        let mut timestamp = last.timestamp;
        let mut logs = logs.as_slice();
        while let Some(first) = logs.first() {
            let number: u64 = first.block_number.to();
            let before = blocks.back().map_or(last.at.number, |block: &RootBlock| block.at.number);
            if number <= before || number > to {
                return Err(FollowError::ForeignLogs { of: first.block_hash });
            }
            let len = logs.iter().take_while(|log| log.block_number == first.block_number).count();
            let (of_block, rest) = logs.split_at(len);
            let header = self.block_of_chain(number, head).await?;
            blocks.push_back(block_of_logs(header, of_block, self.deployment.contract, timestamp)?);
            timestamp = header.timestamp;
            logs = rest;
        }
        if blocks.back().is_none_or(|block| block.at.number != to) {
            let header = self.block_of_chain(to, head).await?;
            blocks.push_back(block_of_logs(header, &[], self.deployment.contract, timestamp)?);
        }
        Ok(blocks)
    }

    async fn fetch_block(&self, header: RootHeader) -> Result<RootBlock, FollowError> {
        let logs = self.logs(LogRange::Block(header.at.hash)).await?;
        let before = self.recent.back().map_or(0, |last| last.timestamp);
        block_of_logs(header, &logs, self.deployment.contract, before)
    }

    /// Asks for the contract's events of interest, and puts the answers in chain order.
    async fn logs(&self, range: LogRange) -> Result<Vec<Log>, ReadError> {
        let (node, contract) = (self.root_chain.node(), self.deployment.contract);
        let Some((first, others)) = self.settings.interest.split_first() else {
            return node.logs(contract, range).await;
        };
        let mut logs = node.logs_about(contract, range, first).await?;
        for topics in others {
            logs.extend(node.logs_about(contract, range, topics).await?);
        }
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        Ok(logs)
    }

    /// Returns the block with this number, which a node with this head must have.
    async fn block_of_chain(&self, number: u64, head: RootHeader) -> Result<RootHeader, FollowError> {
        let block = self.root_chain.node().block_by_number(number).await?;
        block.ok_or(FollowError::MissingBlock { number, head: head.at })
    }

    /// Decides that the block connected last is gone, if the one before it is still known.
    fn gone(&self, last: Seen) -> Result<Found, FollowError> {
        if self.recent.len() == 1 {
            return Err(FollowError::TooDeep { oldest: last.at });
        }
        Ok(Found::Gone(last.at))
    }

    /// Checks that the node is of the right chain with the right contract, unless no node has failed since it was.
    async fn verify_node(&mut self, failures: u64) -> Result<(), FollowError> {
        if self.verified_at == Some(failures) {
            return Ok(());
        }
        let (node, expected) = (self.root_chain.node(), &self.deployment);
        let found = node.chain_id().await?;
        let block = node.block_by_number(expected.block.number).await?;
        let verdict = if found != expected.chain_id {
            Err(FollowError::OtherChain { expected: expected.chain_id, found })
        } else if block.is_none_or(|block| block.at != expected.block) || node.code(expected.contract).await?.is_empty()
        {
            Err(FollowError::NoDeployment { contract: expected.contract, block: expected.block })
        } else {
            Ok(())
        };
        match verdict {
            Ok(()) => self.verified_at = Some(failures),
            // The next call asks another node, if there is one.
            Err(_) => node.rpc().fail_over(failures),
        }
        verdict
    }

    fn final_number(&self) -> Option<u64> {
        self.head_number.checked_sub(self.settings.finality_depth)
    }

    fn connect(&mut self, block: RootBlock) -> Step {
        self.recent.push_back(Seen { at: block.at, timestamp: block.timestamp });
        let remembered = REMEMBERED_BLOCKS.saturating_add(self.settings.finality_depth);
        if self.recent.len() as u64 > remembered {
            self.recent.pop_front();
        }
        Step::Connect(block)
    }

    fn disconnect(&mut self, last: RootRef) -> Step {
        self.recent.pop_back();
        Step::Disconnect(last)
    }
}

/// What a look at the node found.
enum Found {
    /// Nothing new.
    Nothing,
    /// The block connected last is no longer part of the chain.
    Gone(RootRef),
    /// The block after it.
    Next(RootBlock),
    /// Blocks after it, all of them final.
    Range(VecDeque<RootBlock>),
}

/// Why there is no next step.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The node cannot be asked, or contradicts itself.
    #[error("the root chain cannot be followed")]
    Read(#[from] ReadError),
    /// The node is of another chain.
    #[error("the node's chain has id {found}, not {expected}")]
    OtherChain {
        /// Id of the chain that is followed.
        expected: u64,
        /// Id of the node's.
        found: u64,
    },
    /// The node's chain does not have the deployment.
    #[error("the node's chain has no contract {contract} deployed in {block}")]
    NoDeployment {
        /// The contract.
        contract: Address,
        /// The block that should hold its deployment.
        block: RootRef,
    },
    /// All remembered blocks are gone from the node's chain.
    #[error("a reorganisation goes back behind {oldest}, the oldest block remembered")]
    TooDeep {
        /// The oldest block remembered.
        oldest: RootRef,
    },
    /// The node claims a head but does not have a block below it.
    #[error("the node has no block {number} below its {head}")]
    MissingBlock {
        /// The block asked for.
        number: u64,
        /// What the node says its head is.
        head: RootRef,
    },
    /// A block is older than the one before it.
    #[error("time runs backwards in {at}: {timestamp} s after {before} s")]
    TimeReversed {
        /// The block.
        at: RootRef,
        /// Its timestamp, in seconds.
        timestamp: u64,
        /// The timestamp of the block before it.
        before: u64,
    },
    /// Logs are not those that were asked for, or not in chain order.
    #[error("the node gives logs of block {of} where they do not belong")]
    ForeignLogs {
        /// The block that the logs name.
        of: B256,
    },
    /// A log is not an event of the contract.
    #[error("log {log_index} of {at} is no event of the contract")]
    Event {
        /// The block.
        at: RootRef,
        /// The log's index in it.
        log_index: u64,
        /// What is wrong with it.
        #[source]
        source: EventError,
    },
}

/// Tells whether `head` is the block after `last`. One that skips numbers would make final what is not.
fn is_next(head: RootHeader, last: RootRef) -> Result<bool, ReadError> {
    if head.parent != last.hash {
        Ok(false)
    } else if head.at.number.checked_sub(1) == Some(last.number) {
        Ok(true)
    } else {
        Err(ReadError::Contradiction { what: "number of the head" })
    }
}

/// Joins a block and its logs, if they belong together.
fn block_of_logs(header: RootHeader, logs: &[Log], contract: Address, before: u64) -> Result<RootBlock, FollowError> {
    let RootHeader { at, parent, timestamp, .. } = header;
    if timestamp < before {
        return Err(FollowError::TimeReversed { at, timestamp, before });
    }
    let is_ordered = logs.is_sorted_by(|one, next| one.log_index < next.log_index);
    let foreign = logs.iter().find(|log| log.block_hash != at.hash || log.block_number.to::<u64>() != at.number);
    if let Some(log) = foreign.or(logs.first().filter(|_| !is_ordered)) {
        return Err(FollowError::ForeignLogs { of: log.block_hash });
    }
    let event = |log: &Log| {
        let log_index = log.log_index.to();
        decode_event(contract, log).map_err(|source| FollowError::Event { at, log_index, source })
    };
    Ok(RootBlock { at, parent, timestamp, events: logs.iter().map(event).collect::<Result<_, _>>()? })
}

/// Tells whether a node may do better with fewer blocks at once: nodes put that in words and codes of their own.
fn is_about_size(error: &RpcError) -> bool {
    match error {
        RpcError::TooLarge { .. } | RpcError::Refused(_) | RpcError::TimedOut { .. } => true,
        RpcError::Url { .. }
        | RpcError::Client { .. }
        | RpcError::Unreachable { .. }
        | RpcError::Status { .. }
        | RpcError::Malformed { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, U64, keccak256};

    use super::*;
    use crate::bindings::DecodeError;

    const CONTRACT: Address = Address::repeat_byte(0xcc);

    fn header() -> RootHeader {
        let at = RootRef { number: 9, hash: B256::repeat_byte(9) };
        RootHeader { at, parent: B256::repeat_byte(8), timestamp: 100, base_fee_wei: 1 }
    }

    fn log(log_index: u64) -> Log {
        Log {
            address: CONTRACT,
            topics: vec![keccak256("ExitKeysCleared(address,uint64)"), B256::ZERO],
            data: Bytes::from([0; 32]),
            block_number: U64::from(9),
            block_hash: B256::repeat_byte(9),
            transaction_hash: B256::ZERO,
            log_index: U64::from(log_index),
            removed: false,
        }
    }

    #[test]
    fn a_head_whose_parent_fits_but_not_its_number_contradicts_itself() {
        let last = RootRef { number: 8, hash: B256::repeat_byte(8) };
        assert!(is_next(header(), last).unwrap());
        assert!(!is_next(header(), RootRef { hash: B256::ZERO, ..last }).unwrap());
        for number in [0, 7, 9, 10, u64::MAX] {
            let error = is_next(header(), RootRef { number, ..last }).unwrap_err();
            assert!(matches!(error, ReadError::Contradiction { .. }), "{number}: {error:?}");
        }
    }

    #[test]
    fn logs_belong_to_their_block_and_come_in_its_order() {
        let join = |logs: &[Log]| block_of_logs(header(), logs, CONTRACT, 100);
        assert_eq!(join(&[log(1), log(5)]).unwrap().events.len(), 2);
        for foreign in [
            vec![log(5), log(1)],
            vec![log(1), log(1)],
            vec![log(1), Log { block_hash: B256::ZERO, ..log(2) }],
            vec![Log { block_number: U64::from(8), ..log(1) }],
        ] {
            assert!(matches!(join(&foreign), Err(FollowError::ForeignLogs { .. })), "{foreign:?}");
        }
        for (wrong, reason) in [
            (Log { address: Address::ZERO, ..log(2) }, EventError::Foreign { address: Address::ZERO }),
            (Log { removed: true, ..log(2) }, EventError::Removed),
            (Log { topics: vec![], ..log(2) }, EventError::Decode(DecodeError::UnknownEvent { topic: None })),
        ] {
            let error = join(&[log(1), wrong]).unwrap_err();
            assert!(matches!(error, FollowError::Event { log_index: 2, source, .. } if source == reason));
        }
    }

    #[test]
    fn time_may_stand_still_but_not_run_backwards() {
        assert!(block_of_logs(header(), &[], CONTRACT, 100).is_ok());
        let error = block_of_logs(header(), &[], CONTRACT, 101).unwrap_err();
        assert!(matches!(error, FollowError::TimeReversed { timestamp: 100, before: 101, .. }));
    }
}
