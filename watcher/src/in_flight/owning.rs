//! The calls that a guarded owner makes in flight: what they show is taken out under the locks and read without them. §6.

use plasmid_exit_game::exit::in_flight::guard::{OwnAct, OwnDuty, Payout};
use plasmid_exit_game::exit::in_flight::{Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::game::{Game, InFlightExit};
use plasmid_exit_game::output::{Deposit, OutputId};
use plasmid_exit_game::position::{Place, PositionKind};
use plasmid_node::chain::{Body, Chain};
use plasmid_root_chain::calls::{InputProof, PROCESS_EXITS_MAX, PieceRecord};
use plasmid_root_chain::client::{Bonds, RootChain};
use plasmid_root_chain::node::Call;

use crate::evidence::{ActError, inclusion, reading};
use crate::leaving;

/// What made an input, and where that can be read.
#[derive(Debug)]
pub(crate) enum Creation {
    Deposit(Deposit),
    Output { block: Body, place: Place, output_index: u8 },
}

impl Creation {
    /// Finds what made the coin; `None` if no deposit and no valid block at hand did.
    pub(crate) fn of(output_id: OutputId, chain: &Chain) -> Option<Self> {
        let coin = chain.coin(output_id)?;
        Some(match coin.position.kind() {
            PositionKind::Deposit(nonce) => Self::Deposit(Deposit { nonce, output: coin.output }),
            PositionKind::Output(place, output_index) => {
                Self::Output { block: chain.body(place.block)?, place, output_index }
            }
        })
    }

    fn read(self) -> Result<InputProof, ActError> {
        Ok(match self {
            Self::Deposit(deposit) => InputProof::Deposit(deposit),
            Self::Output { block, place, output_index } => {
                let (created_by, inclusion) = inclusion(&block, place)?;
                InputProof::Output { creation: created_by.body, output_index, inclusion }
            }
        })
    }
}

/// Makes the call that starts the exit of a payment whose inputs these made. §6.1.
pub(crate) async fn start_call(
    root_chain: RootChain,
    bonds: Bonds,
    payment: SignedTransaction,
    inputs: Vec<Creation>,
) -> Result<Call, ActError> {
    let proofs = reading(move || inputs.into_iter().map(Creation::read).collect::<Result<Vec<_>, _>>()).await?;
    Ok(root_chain.start_in_flight_exit(&payment, &proofs, bonds.in_flight_bond_wei))
}

/// What an owner's act needs.
#[derive(Debug)]
pub(crate) struct Owning {
    exit: InFlightExit,
    act: OwnAct,
    /// Of each input that is shown to be older.
    creations: Vec<Creation>,
}

impl Owning {
    /// Takes out what the act needs; `None` if it is lost.
    pub(crate) fn of(duty: &OwnDuty, chain: &Chain) -> Option<Self> {
        let exit = chain.game().in_flight_exit(duty.tx_hash)?.clone();
        let shown: &[_] = match &duty.act {
            OwnAct::Improve { older } => older,
            OwnAct::Piggyback { .. } | OwnAct::Close => &[],
        };
        let creation = |&(index, _): &(u8, _)| {
            let input = exit.data.inputs.get(usize::from(index))?;
            Creation::of(input.output_id, chain)
        };
        let creations = shown.iter().map(creation).collect::<Option<_>>()?;
        Some(Self { exit, act: duty.act.clone(), creations })
    }

    /// Reads it and makes the call.
    pub(crate) async fn call(self, root_chain: RootChain, bonds: Bonds) -> Result<Call, ActError> {
        let Self { exit, act, creations } = self;
        let (body, data) = (&exit.transaction.body, &exit.data);
        Ok(match act {
            OwnAct::Improve { older } => {
                let which = older.into_iter().map(|(index, _)| Piece::Input(index)).collect();
                let read = move || creations.into_iter().map(Creation::read).collect::<Result<Vec<_>, _>>();
                root_chain.improve_in_flight_exit(body, data, which, &reading(read).await?, &[])
            }
            OwnAct::Piggyback { asset, pieces } => {
                let hint = leaving::hint(&root_chain, asset, exit.key).await?;
                let bond_wei = bonds.of_pieces(pieces.len(), body.inputs().len()).unwrap_or(u128::MAX);
                root_chain.piggyback(body, Some(data), pieces, hint, bond_wei)
            }
            OwnAct::Close => root_chain.close_in_flight_exit(exit.tx_hash, data),
        })
    }
}

/// Makes the call that processes what is due, as much as one transaction surely has the gas for: standard exits first, then
/// the pieces of one in-flight exit at a time. §5.2, §6.7.
pub(crate) fn process_call(root_chain: &RootChain, game: &Game, payout: &Payout) -> Option<Call> {
    let exits: Vec<ExitRecord> = payout.exits.iter().copied().take(PROCESS_EXITS_MAX).collect();
    let record = |(&tx_hash, &pieces): (_, &PieceSet)| {
        let exit = game.in_flight_exit(tx_hash)?;
        Some(PieceRecord { body: exit.transaction.body.clone(), data: exit.data.clone(), pieces })
    };
    let pieces = match exits.is_empty() {
        true => vec![payout.pieces.first_key_value().and_then(record)?],
        false => Vec::new(),
    };
    Some(root_chain.process_exits(payout.asset, &exits, &pieces))
}
