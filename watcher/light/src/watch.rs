//! The loop that joins all of this: follow the root chain, ask the servers, conclude, keep, act.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::game::GameError;
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_node::client::Client;
use plasmid_node::wire::RootBlock;
use plasmid_root_chain::client::{Deployment, RootChain};
use plasmid_root_chain::events::interest_of;
use plasmid_root_chain::follower::{FollowError, Follower, FollowerSettings, Progress, Step};
use plasmid_root_chain::node::{At, ReadError};
use plasmid_root_chain::sender::Sender;
use tokio::time::{Instant, timeout, timeout_at};

use crate::acting::Acting;
use crate::duty::{self, Guard};
use crate::facts::{self, Facts};
use crate::kept::{GuardedCoin, Kept};
use crate::report::Report;
use crate::servers;
use crate::store::{Store, StoreError};
use crate::verdict::{self, Alarm, AlarmKind, Newest};

/// Most time without news from the root chain while its past is read.
const NEWS_SECS_MAX: u64 = 60;
/// A root chain whose newest block is so old is not seen: the one thing for which the machine's clock is read.
const HEAD_AGE_SECS_MAX: u64 = 3_600;

/// What is guarded, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose coins.
    pub owners: Vec<Address>,
    /// Who is asked, in this order. Nobody is believed.
    pub servers: Vec<Client>,
    /// The folder of the file that holds everything: this deployment's own.
    pub folder: PathBuf,
    /// Root blocks that must lie on one for it to be final, at least 1.
    pub finality_depth: u64,
    /// Whether coins of accounts that act leave by themselves.
    pub leaves: bool,
}

/// A light watcher at work.
#[derive(Debug)]
pub struct Watch {
    root: RootChain,
    deployment: Deployment,
    servers: Vec<Client>,
    finality_depth: u64,
    guard: Guard,
    follower: Follower,
    facts: Facts,
    kept: Kept,
    store: Store,
    acting: Acting,
}

impl Watch {
    /// Opens what was kept, or begins. `senders` are the accounts that act: they challenge, and leave if so set.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be used.
    pub fn open(
        root: RootChain,
        deployment: Deployment,
        settings: Settings,
        senders: Vec<Arc<Sender>>,
    ) -> Result<Self, StoreError> {
        let Settings { owners, servers, folder, finality_depth, leaves } = settings;
        let finality_depth = finality_depth.max(1);
        let (store, mut kept) = Store::open(&folder, &deployment.domain())?;
        for owner in owners {
            // The past was not read for a new owner.
            if let Err(at) = kept.owners.binary_search(&owner) {
                kept.owners.insert(at, owner);
                kept.resume = None;
            }
        }
        let accounts: Vec<_> = senders.iter().map(|sender| sender.account().address()).collect();
        let guard = Guard {
            leaving: if leaves { accounts.clone() } else { Vec::new() },
            accounts,
            bounty_wei: deployment.bonds.exit_bounty_wei,
            piece_bounty_wei: deployment.bonds.piece_bounty_wei,
        };
        let acting = Acting::new(root.clone(), &deployment, senders);
        let (follower, facts) = follow(&root, deployment, finality_depth, &kept);
        Ok(Self { root, deployment, servers, finality_depth, guard, follower, facts, kept, store, acting })
    }

    /// Returns what is kept.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Takes note of what owners have signed: whoever has such a payment ends the exits of its inputs.
    pub fn sign(&mut self, signed: &[SignedTransaction]) {
        signed.iter().for_each(|signed| self.kept.sign(signed, &self.deployment.domain()));
    }

    /// Follows the root chain to its head, and tells how far that has come.
    ///
    /// # Errors
    ///
    /// [`WatchError`]; what was read stays.
    pub async fn catch_up(&mut self, mut tell: impl FnMut(Progress)) -> Result<(), WatchError> {
        let head = self.root.node().head().await?.at.number;
        while self.follower.head().is_none_or(|at| at.number < head) {
            let step = timeout(Duration::from_secs(NEWS_SECS_MAX), self.follower.next()).await;
            self.take(step.map_err(|_| WatchError::Stalled)?)?;
            tell(self.follower.progress());
        }
        Ok(())
    }

    /// Follows the root chain and looks after acts for as long; returns what is to be said of these.
    ///
    /// # Errors
    ///
    /// [`WatchError`], at once.
    pub async fn pause(&mut self, time: Duration) -> Result<Vec<String>, WatchError> {
        let (end, mut said) = (Instant::now() + time, Vec::new());
        loop {
            let next = async {
                tokio::select! {
                    step = self.follower.next() => Ok(step),
                    Some(words) = self.acting.finished() => Err(words),
                }
            };
            match timeout_at(end, next).await {
                Err(_) => return Ok(said),
                Ok(Ok(step)) => self.take(step)?,
                Ok(Err(words)) => said.push(words),
            }
        }
    }

    /// Waits until every act has come to its end; returns what is to be said of them.
    pub async fn finish_acts(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(words) = self.acting.finished().await {
            said.push(words);
        }
        said
    }

    /// Asks the servers for the newest block alone, concludes, keeps, and sends what is due.
    ///
    /// # Errors
    ///
    /// [`WatchError`] if the root chain cannot be asked or nothing can be kept.
    pub async fn look(&mut self) -> Result<Report, WatchError> {
        let domain = self.deployment.domain();
        let (anchor, newest) = self.newest().await?;
        for deposit in self.facts.take_deposits(anchor.number) {
            if let Some(position) = Position::of_deposit(deposit.nonce) {
                self.kept.guard(GuardedCoin::new(deposit.output_id(), position, deposit.output, None), None);
            }
        }
        let at = At::Block(anchor.hash);
        let look = servers::look(&self.root, at, &newest, &domain, &self.servers, &mut self.kept).await?;
        let game = self.facts.game();
        self.kept.conclude(&look, &newest, game);
        self.kept.resume = self.facts.resume().map(RootBlock::from);
        // What is known must be on disk before anything is done about it.
        self.store.save(&self.kept)?;

        let due = duty::due(&self.kept, &newest, game, &self.guard);
        self.acting.act(&due, &self.kept, game).await?;
        let mut alarms = verdict::alarms(&self.kept, &look, &newest, game, &self.guard.leaving);
        alarms.extend(self.acting.alarms(game.now()));
        alarms.extend(blindness(game.now()));
        let acts = due.iter().map(ToString::to_string).collect();
        Ok(Report::new(&self.kept, &look, &newest, game, alarms, acts))
    }

    /// Returns the report of a look that failed.
    #[must_use]
    pub fn blind(&self, why: &WatchError) -> Report {
        let mut message = format!("the root chain is not seen: {why}");
        let mut cause = std::error::Error::source(why);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        let advice = "look at the root chain's node, or name another one (--l1-url URL)";
        let alarm = Alarm::new(AlarmKind::BlindRootChain, self.facts.game().now(), message, advice);
        Report::blind(alarm, &self.kept)
    }

    /// Finds the newest block that is final and not void.
    async fn newest(&self) -> Result<(RootRef, Newest), WatchError> {
        // Before anything is final there is no block either.
        let anchor = self.follower.anchor().unwrap_or(self.deployment.block);
        let chain = self.root.child_chain_at(At::Block(anchor.hash)).await?;
        let last = chain.next_number.previous().unwrap_or(BlockNumber::ZERO);
        let last_good = self.facts.game().halt().and_then(|halt| halt.from.previous()).unwrap_or(last);
        let number = last.min(last_good);
        let commitment = self.root.commitment_at(At::Block(anchor.hash), number).await?.unwrap_or_default();
        let deposit_count = (number == last).then_some(chain.deposit_count);
        Ok((anchor, Newest { number, commitment, deposit_count }))
    }

    fn take(&mut self, step: Result<Step, FollowError>) -> Result<(), WatchError> {
        match step {
            Ok(Step::Connect(block)) => {
                self.facts.connect(&block).inspect_err(|_| self.follower.refuse())?;
                let shown: Vec<_> = block.events.iter().filter_map(facts::shown).collect();
                self.sign(&shown);
            }
            Ok(Step::Disconnect(_)) if self.facts.disconnect() => {}
            Ok(Step::Disconnect(_)) | Err(FollowError::TooDeep { .. }) => {
                // Deeper than what is remembered: all is read anew.
                self.kept.resume = None;
                (self.follower, self.facts) = follow(&self.root, self.deployment, self.finality_depth, &self.kept);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Begins to follow after what was kept.
fn follow(root: &RootChain, deployment: Deployment, finality_depth: u64, kept: &Kept) -> (Follower, Facts) {
    let resume = kept.resume.map(|RootBlock { number, hash }| RootRef { number, hash });
    let interest = interest_of(&kept.owners);
    let settings = FollowerSettings { interest, ..FollowerSettings::new(finality_depth) };
    let follower = Follower::new(root.clone(), deployment, resume.as_slice(), settings);
    (follower, Facts::new(deployment.periods, finality_depth, resume))
}

/// Returns the alarm that no new root block comes.
fn blindness(now: u64) -> Option<Alarm> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let age = clock.saturating_sub(now);
    let message = format!("the newest root block that the node shows is {age} s old");
    let advice = "look at the root chain's node, or name another one (--l1-url URL)";
    (age > HEAD_AGE_SECS_MAX).then(|| Alarm::new(AlarmKind::BlindRootChain, now, message, advice))
}

/// Why a look could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The root chain cannot be asked.
    #[error("the root chain cannot be read")]
    Read(#[from] ReadError),
    /// The root chain cannot be followed.
    #[error("the root chain cannot be followed")]
    Follow(#[from] FollowError),
    /// Its events contradict each other.
    #[error("the root chain's events contradict each other")]
    Game(#[from] GameError),
    /// No news for too long.
    #[error("the root chain's node has stalled")]
    Stalled,
    /// What was found cannot be kept.
    #[error("what was found cannot be kept")]
    Store(#[from] StoreError),
}
