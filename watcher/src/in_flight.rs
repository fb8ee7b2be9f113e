//! In-flight exits as a watcher sees them: what their steps show and change, what each is owed, and the calls for it. §6, §7.

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::duty::{self, Act, Duty, Evidence, Inclusion};
use plasmid_exit_game::exit::in_flight::{Piece, SignedTransaction};
use plasmid_exit_game::facts::{InFlightStep, RootBlock, RootEvent};
use plasmid_exit_game::game::{Game, InFlightExit};
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::position::{Place, Position};
use plasmid_exit_game::signature::Domain;
use plasmid_node::chain::{Body, Chain};
use plasmid_root_chain::calls::Spend;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::Call;

use crate::evidence::{ActError, Spends, inclusion};
use crate::history::History;

mod owning;

pub(crate) use owning::{Creation, Owning, process_call, start_call};

/// Returns what is due for all open in-flight exits, what is to be done soonest first. §7.
#[must_use]
pub fn due(chain: &Chain, history: &History) -> Vec<Duty> {
    duty::due(chain.game(), &Known { chain, history })
}

/// What an act shows, taken out under the locks and read without them.
#[derive(Debug)]
pub(crate) struct Showing {
    exit: InFlightExit,
    act: Act,
    /// The block that includes [`Act::shown`].
    block: Body,
    /// Of a spent output: the spends that its owner signed.
    spends: Option<Spends>,
}

impl Showing {
    /// Takes out what the act shows; `None` if the archive has lost it.
    pub(crate) fn of(duty: &Duty, chain: &Chain, history: &History, domain: Domain) -> Option<Self> {
        let exit = chain.game().in_flight_exit(duty.tx_hash)?.clone();
        let spends = match duty.act {
            Act::ChallengePiece { piece: Piece::Output(_), output_id, owner, .. } => {
                let sources = history.spends_by(output_id, owner).map(|spend| spend.source);
                Some(Spends::of(output_id, owner, sources, chain.archive(), history, domain))
            }
            Act::ChallengePiece { piece: Piece::Input(_), .. }
            | Act::ChallengeCanonicity { .. }
            | Act::Respond { .. } => None,
        };
        Some(Self { exit, act: duty.act, block: chain.body(duty.act.shown().place.block)?, spends })
    }

    /// Reads it and makes the call.
    pub(crate) fn call(self, root_chain: &RootChain, bond_wei: u128) -> Result<Call, ActError> {
        let Self { exit, act, block, spends } = self;
        let (included, inclusion) = inclusion(&block, act.shown().place)?;
        let spend = |transaction| Spend { transaction, inclusion: Some(inclusion.clone()) };
        Ok(match act {
            Act::ChallengeCanonicity { input, .. } => {
                root_chain.challenge_not_canonical(exit.tx_hash, &exit.data, input, &spend(included), bond_wei)
            }
            Act::Respond { .. } => root_chain.respond_not_canonical(exit.tx_hash, &inclusion),
            Act::ChallengePiece { piece, .. } => {
                // Of an output the exit's own transaction is included, and the data are not read.
                let (data, shown) = match spends {
                    Some(spends) => (None, spends.read()?),
                    None => (Some(&exit.data), included),
                };
                root_chain.challenge_piece_spent(&exit.transaction.body, data, piece.number(), &spend(shown))
            }
        })
    }
}

/// What this watcher knows: the ledger holds what blocks made that are valid with all earlier bodies served, and nothing else.
pub(crate) struct Known<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) history: &'a History,
}

impl Known<'_> {
    fn at(&self, tx_hash: TxHash, place: Place) -> Option<Inclusion> {
        let (header, _) = self.chain.game().header(place.block)?;
        Some(Inclusion { tx_hash, place, timestamp: header.timestamp })
    }
}

impl Evidence for Known<'_> {
    fn inclusion(&self, tx_hash: TxHash) -> Option<Inclusion> {
        self.at(tx_hash, self.chain.place_of(tx_hash)?)
    }

    fn included_spend(&self, output_id: OutputId) -> Option<Inclusion> {
        let place = self.chain.ledger().coin(output_id)?.spender?;
        self.at(self.chain.transaction_at(place)?, place)
    }

    fn coin(&self, output_id: OutputId) -> Option<(Position, Output)> {
        self.chain.coin(output_id).map(|coin| (coin.position, coin.output))
    }

    fn has_signed_spend(&self, output_id: OutputId, owner: Address) -> bool {
        self.history.spends_by(output_id, owner).next().is_some()
    }
}

/// Returns the coins whose freeze a block's steps of in-flight exits may change, as far as the exits are open in `game`.
pub(crate) fn coins_of_steps(game: &Game, block: &RootBlock) -> Vec<OutputId> {
    let stepping = block.events.iter().filter_map(|event| match event {
        RootEvent::InFlight { tx_hash, .. } => game.in_flight_exit(*tx_hash),
        _ => None,
    });
    stepping.flat_map(|exit| exit.coins().collect::<Vec<_>>()).collect()
}

/// Returns the signed transaction that a step shows: evidence like one in a block. §7.
pub(crate) fn shown(step: &InFlightStep) -> Option<&SignedTransaction> {
    match step {
        InFlightStep::Started { transaction: shown, .. }
        | InFlightStep::CanonicityChallenged { competitor: shown, .. }
        | InFlightStep::PieceChallenged { spend: shown, .. } => Some(shown),
        InFlightStep::Improved { .. }
        | InFlightStep::Piggybacked { .. }
        | InFlightStep::CanonicityAnswered { .. }
        | InFlightStep::Decided(_)
        | InFlightStep::PiecePaid { .. }
        | InFlightStep::PieceReturned { .. }
        | InFlightStep::Closed => None,
    }
}
