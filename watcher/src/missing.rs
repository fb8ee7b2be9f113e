//! R9 claims, that an unspent tree lacks a coin: what is owed to each, and the calls for it. §3, §7.

use alloy_primitives::Address;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::fault::{self, ShownCoin, SpentCoin};
use plasmid_exit_game::game::{Game, MissingClaim};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_node::chain::{Chain, PastTree};
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::Call;
use prometheus_client::encoding::EncodeLabelValue;

use crate::evidence::ActError;
use crate::history::History;
use crate::proving::Held;

/// Most claims of one watcher against one block: each answer costs it the bond.
pub const CLAIMS_MAX: usize = 3;

/// A coin that the unspent tree of a block seems to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The block.
    pub number: BlockNumber,
    /// The coin.
    pub output_id: OutputId,
    /// Its key.
    pub position: Position,
}

/// What is done about a coin that a tree is said to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
pub enum MissingAct {
    /// Claim it missing.
    Claim,
    /// Show that the tree holds it, or that it was spent.
    Answer,
    /// Have the block convicted: nobody answered.
    Convict,
    /// Take the bond back: the claim has lost its object.
    Reclaim,
}

/// An act that is due for a coin that a tree is said to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingDuty {
    /// The coin.
    pub missing: Missing,
    /// What is done.
    pub act: MissingAct,
}

impl MissingDuty {
    /// Returns whether the root chain shows that somebody has done it, or that it is too late for ever.
    #[must_use]
    pub fn is_done(&self, game: &Game) -> bool {
        let Missing { number, position, .. } = self.missing;
        let claim = game.missing_claim(number, position);
        match self.act {
            MissingAct::Claim => claim.is_some() || game.is_void(number),
            MissingAct::Answer | MissingAct::Convict | MissingAct::Reclaim => {
                claim.is_some_and(|claim| claim.claimed_at.is_none())
            }
        }
    }
}

/// What an open claim is owed, and when, in seconds of root-chain time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// What is to be done.
    pub act: MissingAct,
    /// Not before this time, if it is not due at once.
    pub from: Option<u64>,
    /// Before this time, if there is an end.
    pub before: Option<u64>,
}

/// All claims, with what a watcher holds of their blocks.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// The root chain's facts.
    pub game: &'a Game,
    /// The last block that is valid with all before it.
    pub last_valid: BlockNumber,
    /// The first bad block, if there is one.
    pub first_bad: Option<BlockNumber>,
}

impl Claims<'_> {
    /// Returns what an open claim is owed; nothing while its block is not judged. `accounts` are those whose bonds count.
    ///
    /// Whoever made a claim has *grace* to convict by it before others do, who gain nothing by it.
    #[must_use]
    pub fn owed(&self, claim: &MissingClaim, accounts: &[Address]) -> Option<Owed> {
        let claimed_at = claim.claimed_at?;
        let (header, _) = self.game.header(claim.number)?;
        let (periods, is_own) = (self.game.periods(), accounts.contains(&claim.claimant));
        let end_of_answers = periods.end_of_answers(claimed_at);
        let end = periods.end_of_convictions(header.timestamp);
        let is_void = self.game.is_void(claim.number);
        if is_void || self.game.now() >= end {
            let from = (!is_void).then_some(end);
            return is_own.then_some(Owed { act: MissingAct::Reclaim, from, before: None });
        }
        if claim.number <= self.last_valid {
            return Some(Owed { act: MissingAct::Answer, from: None, before: Some(end_of_answers) });
        }
        let patience = if is_own { 0 } else { periods.grace() };
        let from = Some(end_of_answers.saturating_add(patience));
        let is_bad = self.first_bad.is_some_and(|first_bad| first_bad <= claim.number);
        is_bad.then_some(Owed { act: MissingAct::Convict, from, before: Some(end) })
    }

    /// Returns what is due for open claims, the soonest to end first, and the claim that is to be made of a coin that a tree
    /// seems to lack.
    ///
    /// These accounts make one claim at a time against a block, and at most [`CLAIMS_MAX`]. Claims of others do not keep them
    /// from it: an operator that claims and answers in turn must not use up the time.
    #[must_use]
    pub fn due(&self, lacking: Option<Missing>, accounts: &[Address]) -> Vec<MissingDuty> {
        let now = self.game.now();
        let of_claim = |claim: &MissingClaim| {
            let MissingClaim { number, output_id, position, .. } = *claim;
            let Owed { act, from, before } = self.owed(claim, accounts)?;
            let is_due = from.is_none_or(|from| from <= now) && before.is_none_or(|before| now < before);
            let duty = MissingDuty { missing: Missing { number, output_id, position }, act };
            is_due.then_some((before.unwrap_or(u64::MAX), duty))
        };
        let mut due: Vec<_> = self.game.missing_claims().filter_map(of_claim).collect();
        due.sort_unstable();
        let mut due: Vec<_> = due.into_iter().map(|(_, duty)| duty).collect();
        let lacking = lacking.filter(|missing| self.may_claim(missing, accounts));
        due.extend(lacking.map(|missing| MissingDuty { missing, act: MissingAct::Claim }));
        due
    }

    fn may_claim(&self, missing: &Missing, accounts: &[Address]) -> bool {
        let Missing { number, position, .. } = *missing;
        let Some((header, _)) = self.game.header(number) else { return false };
        let end = self.game.periods().end_of_claims(header.timestamp);
        let own =
            self.game.missing_claims().filter(|claim| claim.number == number && accounts.contains(&claim.claimant));
        let own: Vec<_> = own.collect();
        let is_free = own.len() < CLAIMS_MAX && own.iter().all(|claim| claim.claimed_at.is_none());
        let is_in_time = self.game.now() < end && !self.game.is_void(number);
        is_free && is_in_time && self.game.missing_claim(number, position).is_none()
    }
}

/// What an act shows, taken out under the locks; the tree is made without them.
#[derive(Debug)]
pub(crate) struct Showing {
    header: Header,
    position: Position,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The coin that is claimed missing.
    Made(ShownCoin),
    /// The tree, which holds it.
    Tree(PastTree),
    /// Its spend in this block or before.
    Spent(SpentCoin),
    /// Nothing: nobody answered.
    Silence,
    /// Nothing: the claim has lost its object.
    NoObject,
}

impl Showing {
    /// Takes out what the act shows; `None` if the archive has lost it.
    pub(crate) fn of(duty: &MissingDuty, chain: &Chain, history: &History) -> Option<Self> {
        let MissingDuty { missing: Missing { number, output_id, position }, act } = *duty;
        let (held, (header, _)) = (Held { chain, history }, *chain.game().header(number)?);
        let what = match act {
            MissingAct::Claim => What::Made(fault::shown_coin(output_id, position, &held)?),
            MissingAct::Answer => {
                let coin = chain.ledger().coin(output_id)?;
                match coin.spender.filter(|place| place.block <= number) {
                    None => What::Tree(chain.past_tree(number)?),
                    Some(place) => What::Spent(fault::spent_coin(output_id, &coin.output, place, &held)?),
                }
            }
            MissingAct::Convict => What::Silence,
            MissingAct::Reclaim => What::NoObject,
        };
        Some(Self { header, position, what })
    }

    /// Makes the call.
    pub(crate) fn call(self, root_chain: &RootChain, bond_wei: u128) -> Result<Call, ActError> {
        let Self { header, position, what } = self;
        let key = position.bits();
        Ok(match what {
            What::Made(coin) => root_chain.claim_missing(&header, &coin, bond_wei),
            What::Tree(tree) => {
                let membership = tree.restore().prove(position).ok_or(ActError::Lost)?;
                root_chain.answer_missing(&header, key, &membership.encode())
            }
            What::Spent(coin) => root_chain.answer_missing_spent(header.number, key, &coin),
            What::Silence => root_chain.convict_missing(&header, key),
            What::NoObject => root_chain.reclaim_missing(&header, key),
        })
    }
}
