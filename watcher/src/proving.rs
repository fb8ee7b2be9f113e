//! Broken rules, proven on the root chain: the evidence for a fault, and which step of its proof is due. §3, §7.

use alloy_primitives::B256;
use plasmid_exit_game::block::{Header, decode_items};
use plasmid_exit_game::exit::contract::ANNOUNCEMENT_AGE;
use plasmid_exit_game::fault::{self, BlockData, Creation, Fault, FaultProof, HeldKey, LeafData};
use plasmid_exit_game::game::{Game, GameState};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::{BlockNumber, Place, PositionKind};
use plasmid_exit_game::signature::Domain;
use plasmid_node::chain::Chain;

use crate::history::{History, Source};

/// Evidence with the name under which an accuser announces it. The same from every run: both follow from what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The evidence.
    pub proof: FaultProof,
    /// `H(accuser ‖ H(calldata of the proving call))`. §3.
    pub announcement: B256,
}

/// What is to be done about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Announce the evidence, which tells nobody what it is.
    Announce,
    /// Show it: the block is convicted, or the reward of its conviction taken.
    Prove,
}

impl Case {
    /// Returns the block that it accuses.
    #[must_use]
    pub fn accused(&self) -> BlockNumber {
        self.proof.accused()
    }

    /// Returns the step that is due, if one is: never one that the contract would refuse as things stand. §3.
    ///
    /// Nothing is due while an announcement ripens, once it is too late, once an exit has ended that froze the coin, and when
    /// somebody else was first: unless this announcement is at least two root blocks older than that conviction, and the
    /// reward still waits. Where little time is left, the evidence is shown without an announcement.
    #[must_use]
    pub fn step(&self, game: &Game, domain: &Domain) -> Option<Step> {
        let number = fault::check(&self.proof, &GameState { game, domain }).ok()?;
        let ripe_in = game.announcement(self.announcement).map(|made_in| made_in.saturating_add(ANNOUNCEMENT_AGE));
        if let Some(conviction) = game.conviction(number) {
            return ripe_in.is_some_and(|ripe_in| ripe_in <= conviction.root_block).then_some(Step::Prove);
        }
        let (header, _) = game.header(number)?;
        let end = game.periods().end_of_convictions(header.timestamp);
        if game.now().saturating_add(game.periods().grace()) >= end {
            return Some(Step::Prove);
        }
        let next_root_block = game.at()?.number.saturating_add(1);
        match ripe_in {
            None => Some(Step::Announce),
            Some(ripe_in) => (ripe_in <= next_root_block).then_some(Step::Prove),
        }
    }
}

/// Returns the complete evidence of a fault that was found at `place`, from the archived bodies; `None` if they have lost it.
#[must_use]
pub fn evidence(place: Place, fault: &Fault, chain: &Chain, history: &History) -> Option<FaultProof> {
    fault::evidence(place, fault, &Held { chain, history }, chain.game())
}

/// Returns the complete evidence that the unspent tree of a block must not hold what it holds; `None` if the archive has lost
/// it. R8.
#[must_use]
pub fn held_evidence(held: HeldKey, chain: &Chain, history: &History) -> Option<FaultProof> {
    let number = held.header.number;
    let spender = |output_id| {
        let places = history.spends(output_id).filter_map(|spend| match spend.source {
            Source::Block(place) => Some(place),
            Source::Loose(_) => None,
        });
        places.filter(|place| place.block <= number).min()
    };
    fault::held_evidence(held, &Held { chain, history }, chain.game(), spender)
}

/// The blocks and deposits that this watcher holds, whatever it found of them.
pub(crate) struct Held<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) history: &'a History,
}

impl BlockData for Held<'_> {
    fn header(&self, number: BlockNumber) -> Option<Header> {
        self.chain.game().header(number).map(|&(header, _)| header)
    }

    fn items(&self, number: BlockNumber) -> Option<Vec<LeafData>> {
        let body = self.chain.body(number)?;
        let bytes = body.bytes().ok()?;
        let items = decode_items(&bytes, body.header().tx_count).ok()?;
        Some(items.iter().map(LeafData::from).collect())
    }

    fn creation(&self, output_id: OutputId) -> Option<Creation> {
        if let Some(coin) = self.chain.coin(output_id)
            && let PositionKind::Deposit(nonce) = coin.position.kind()
        {
            return Some(Creation { fields: coin.output.deposit_fields().to_vec().into(), index: nonce });
        }
        self.history.made(output_id).find_map(|position| match position.kind() {
            PositionKind::Deposit(_) => None,
            PositionKind::Output(place, index) => {
                let transaction = self.chain.body(place.block)?.transaction(place.index).ok()?;
                Some(Creation::of_output(&transaction, index))
            }
        })
    }
}
