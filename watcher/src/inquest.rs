//! The search for what is wrong with the unspent tree of the first bad block: beside the loop, and anew after a restart. §3.
//!
//! First every known coin is tried alone. Then servers have the time of *grace* to show what the tree holds; what they show
//! is proven wrong (R8), and what none of them shows is claimed missing (R9). After an answer to a claim they are asked again.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use plasmid_exit_game::fault::{Difference, FaultProof};
use plasmid_exit_game::game::MissingClaim;
use plasmid_exit_game::position::Position;
use tokio::task::JoinSet;

use crate::alarms::{Alarm, AlarmKind};
use crate::judge::{Judge, JudgeError};
use crate::missing::Missing;
use crate::proving;
use crate::servers::Servers;
use crate::suspect::Suspect;

/// Coins that are tried, or asked for, at a time.
const BATCH_LEN: usize = 500;

/// Looks into the first bad block, if nothing is wrong with it but its unspent root.
#[derive(Debug)]
pub struct Inquest {
    servers: Servers,
    open: Option<Open>,
    /// The search that is under way, if one is.
    search: JoinSet<Option<Difference>>,
}

#[derive(Debug)]
struct Open {
    commitment: B256,
    suspect: Arc<Suspect>,
    stage: Stage,
}

/// How far an inquest has got.
#[derive(Debug)]
enum Stage {
    /// Coins are tried one by one.
    Trying,
    /// Servers still have time to show what the tree holds, or are to be asked again.
    Waiting,
    /// Servers are asked.
    Asking,
    /// The tree holds what it must not: the evidence, unless the archive has lost it.
    Holds(Option<Box<FaultProof>>),
    /// The tree seems to lack a coin; it surely does if that is all that differs.
    Lacks { missing: Missing, is_all: bool },
    /// The servers have shown every coin, and nothing wrong.
    Unknown,
}

impl Inquest {
    /// Looks into nothing yet, and asks these servers.
    #[must_use]
    pub fn new(servers: Servers) -> Self {
        Self { servers, open: None, search: JoinSet::new() }
    }

    /// Begins, goes on or ends, as the judge's findings and the root chain want it; `accounts` are those that claim. Within a
    /// runtime.
    ///
    /// # Errors
    ///
    /// [`JudgeError`]: the judge is to be made anew.
    pub fn look(&mut self, judge: &mut Judge, accounts: &[Address]) -> Result<(), JudgeError> {
        let commitment = judge.wrong_root().map(|header| header.commitment());
        if self.open.as_ref().map(|open| open.commitment) != commitment {
            self.end();
            if let Some((suspect, commitment)) = judge.suspect()?.zip(commitment) {
                let suspect = Arc::new(suspect);
                self.search.spawn(try_each(suspect.clone()));
                self.open = Some(Open { commitment, suspect, stage: Stage::Trying });
            }
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let (chain, header) = (judge.chain(), open.suspect.header());
        let game = chain.game();
        match open.stage {
            Stage::Lacks { missing, is_all } => {
                // A claim of somebody else may be made to be answered late: another coin is looked for meanwhile.
                let is_of_no_use = |claim: &MissingClaim| {
                    claim.claimed_at.is_none() || !(is_all || accounts.contains(&claim.claimant))
                };
                if game.missing_claim(missing.number, missing.position).is_some_and(is_of_no_use) {
                    open.stage = Stage::Waiting;
                }
            }
            Stage::Waiting if game.now() >= header.timestamp.saturating_add(game.periods().grace()) => {
                let claims = game.missing_claims().filter(|claim| claim.number == header.number);
                let claimed = claims.map(|claim| claim.position).collect();
                self.search.spawn(ask(open.suspect.clone(), self.servers.clone(), claimed));
                open.stage = Stage::Asking;
            }
            Stage::Trying | Stage::Waiting | Stage::Asking | Stage::Holds(_) | Stage::Unknown => {}
        }
        Ok(())
    }

    /// Forgets what it knows.
    pub fn end(&mut self) {
        (self.open, self.search) = (None, JoinSet::new());
    }

    /// Waits for the end of a search, and returns what it found; for ever if none is under way. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Difference> {
        match self.search.join_next().await {
            Some(ended) => ended.expect("a search does not panic"),
            None => std::future::pending().await,
        }
    }

    /// Takes in what a search found.
    pub fn take(&mut self, found: Option<Difference>, judge: &Judge) {
        let Some(open) = &mut self.open else { return };
        let number = open.suspect.header().number;
        open.stage = match (found, &open.stage) {
            (Some(Difference::Kept(held)), _) => {
                tracing::warn!(block = %number, position = held.position, "the unspent tree holds what it must not");
                let proof = proving::held_evidence(held, &judge.chain(), &judge.history());
                Stage::Holds(proof.map(Box::new))
            }
            (Some(Difference::LeftOut { output_id, position }), _) => {
                tracing::warn!(block = %number, coin = %output_id, "the unspent tree seems to lack a coin");
                let missing = Missing { number, output_id, position };
                Stage::Lacks { missing, is_all: matches!(open.stage, Stage::Trying) }
            }
            (None, Stage::Trying) => Stage::Waiting,
            (None, _) => Stage::Unknown,
        };
    }

    /// Returns the evidence that the tree holds what it must not, once it is found.
    #[must_use]
    pub fn proof(&self) -> Option<&FaultProof> {
        match &self.open.as_ref()?.stage {
            Stage::Holds(proof) => proof.as_deref(),
            _ => None,
        }
    }

    /// Returns the coin that the tree seems to lack.
    #[must_use]
    pub fn lacking(&self) -> Option<Missing> {
        match self.open.as_ref()?.stage {
            Stage::Lacks { missing, .. } => Some(missing),
            _ => None,
        }
    }

    /// Returns the alarm about what was found, or that nothing was.
    #[must_use]
    pub fn alarm(&self, now: u64) -> Option<Alarm> {
        let Open { suspect, commitment, stage } = self.open.as_ref()?;
        let number = suspect.header().number;
        let what = match stage {
            Stage::Trying | Stage::Waiting | Stage::Asking => return None,
            Stage::Holds(Some(_)) => "holds what it must not (R8), which is proven".to_owned(),
            Stage::Holds(None) => "holds what it must not (R8), and the archive has lost the evidence".to_owned(),
            Stage::Lacks { missing: Missing { output_id, .. }, .. } => {
                format!("seems to lack coin {output_id} (R9), which is claimed")
            }
            Stage::Unknown => "is wrong in what no server shows: nothing can be proven or claimed".to_owned(),
        };
        let message = format!("the unspent tree of block {number} {what}");
        let alarm = Alarm::new(AlarmKind::UnspentTree, &format!("{number}-{commitment:x}"), now, message);
        Some(Alarm { block: Some(number), commitment: Some(*commitment), ..alarm })
    }
}

/// Tries every known coin alone.
async fn try_each(suspect: Arc<Suspect>) -> Option<Difference> {
    for first in (0..suspect.coins().len()).step_by(BATCH_LEN) {
        let suspect = suspect.clone();
        let tried = tokio::task::spawn_blocking(move || {
            let coins = &suspect.coins()[first..];
            suspect.try_each(&coins[..coins.len().min(BATCH_LEN)])
        });
        let found = tried.await.expect("trying a coin does not panic");
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Asks every server for every known coin, until one shows what is wrong, or all of them lack the same.
async fn ask(suspect: Arc<Suspect>, servers: Servers, claimed: BTreeSet<Position>) -> Option<Difference> {
    for coins in suspect.coins().chunks(BATCH_LEN) {
        let ids: Vec<_> = coins.iter().map(|&(id, _)| id).collect();
        let (mut shown, mut found) = (Vec::new(), suspect.compare(coins, &[], &claimed));
        for server in 0..servers.count() {
            shown.extend(servers.unspent(server, suspect.header().number, &ids).await);
            found = suspect.compare(coins, &shown, &claimed);
            if !matches!(found, Some(Difference::LeftOut { .. })) {
                break;
            }
        }
        if found.is_some() {
            return found;
        }
    }
    None
}
