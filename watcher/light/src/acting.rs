//! Sending what is due: the shell around [`duty`](crate::duty).
//!
//! An act is sent once and tried again as long as it is due. Nothing is remembered across restarts: what is still due then
//! follows from the root chain, and doing it twice is harmless.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::duty::{Act, Duty};
use plasmid_exit_game::exit::in_flight::guard::{OwnAct, OwnDuty, Payout};
use plasmid_exit_game::exit::in_flight::{Piece, PieceSet};
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::TxHash;
use plasmid_node::wire::evidence::EvidenceCoin;
use plasmid_root_chain::calls::{InputProof, PROCESS_EXITS_MAX, PieceRecord, Spend};
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::node::{Call, Landed, ReadError};
use plasmid_root_chain::sender::{SendError, Sender};
use tokio::task::JoinSet;

use crate::duty::Due;
use crate::kept::{Kept, Payment};
use crate::proof;
use crate::verdict::{Alarm, AlarmKind};

/// Failures in a row after which somebody must know.
const FAILURES_ALARMING: u32 = 3;
/// Keys of an asset's list that are looked at to find the hint; with a longer list the contract walks the rest.
const KEYS_MAX: u64 = 1_000;

/// Who acts.
#[derive(Debug)]
pub struct Acting {
    root: RootChain,
    bonds: Bonds,
    senders: BTreeMap<Address, Arc<Sender>>,
    running: JoinSet<(String, Result<Landed, SendError>)>,
    /// What is on its way, or landed in a root block that was not seen yet: nothing of it is sent again.
    sent: BTreeMap<String, Option<u64>>,
    failed: BTreeMap<String, (u32, String)>,
}

impl Acting {
    /// Returns these accounts at work.
    #[must_use]
    pub fn new(root: RootChain, deployment: &Deployment, senders: Vec<Arc<Sender>>) -> Self {
        let senders = senders.into_iter().map(|sender| (sender.account().address(), sender)).collect();
        let (running, sent, failed) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { root, bonds: deployment.bonds, senders, running, sent, failed }
    }

    /// Sends what is due and not on its way.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the root chain cannot be asked for a hint; what was sent before goes on.
    pub async fn act(&mut self, due: &[Due], kept: &Kept, game: &Game) -> Result<(), ReadError> {
        let head = game.at().map_or(0, |at| at.number);
        self.sent.retain(|_, landed| landed.is_none_or(|landed| landed > head));
        let names: Vec<_> = due.iter().map(Due::to_string).collect();
        self.failed.retain(|name, _| names.contains(name));
        for (due, name) in due.iter().zip(names).filter(|(_, name)| !self.sent.contains_key(name)).collect::<Vec<_>>() {
            let Some(sender) = self.sender_of(due) else { continue };
            let Some(call) = self.call(due, kept, game).await? else { continue };
            self.sent.insert(name.clone(), None);
            self.running.spawn(async move {
                let landed = sender.send(&call).await;
                (name, landed)
            });
        }
        Ok(())
    }

    /// Waits until an act has come to its end and returns what to say of it; `None` if none is on its way. May be dropped while
    /// it waits.
    pub async fn finished(&mut self) -> Option<String> {
        match self.running.join_next().await? {
            Err(error) => std::panic::resume_unwind(error.into_panic()),
            Ok((name, Ok(landed))) => {
                self.failed.remove(&name);
                let said = format!("{name}: in root block {}", landed.block.number);
                self.sent.insert(name, Some(landed.block.number));
                Some(said)
            }
            Ok((name, Err(error))) => {
                let said = format!("{name}: {error}");
                self.sent.remove(&name);
                let failure = self.failed.entry(name).or_default();
                *failure = (failure.0.saturating_add(1), said.clone());
                Some(said)
            }
        }
    }

    /// Returns the alarms about acts that do not get through.
    #[must_use]
    pub fn alarms(&self, now: u64) -> Vec<Alarm> {
        let failing = self.failed.values().filter(|(count, _)| *count >= FAILURES_ALARMING);
        let advice = "look at the account's ether and at the root chain's node";
        failing.map(|(_, what)| Alarm::new(AlarmKind::ActFails, now, what.clone(), advice)).collect()
    }

    fn sender_of(&self, due: &Due) -> Option<Arc<Sender>> {
        match due {
            Due::Challenge { .. } | Due::InFlight(_) => self.senders.values().next().cloned(),
            Due::Own(OwnDuty { owner, .. })
            | Due::Start { owner, .. }
            | Due::Leave { owner, .. }
            | Due::Process(Payout { owner, .. }) => self.senders.get(owner).cloned(),
        }
    }

    /// Makes the call; `None` if what it shows is not kept, or its exit is gone.
    async fn call(&self, due: &Due, kept: &Kept, game: &Game) -> Result<Option<Call>, ReadError> {
        Ok(match due {
            Due::Challenge { exit, by } => kept.payments.get(by).map(|payment| {
                let signed = payment.signed();
                self.root.challenge_standard_exit(&exit.record, &signed.body.encode(), &signed.signature)
            }),
            Due::InFlight(duty) => self.defence(duty, kept, game),
            Due::Own(duty) => return self.owning(duty, kept, game).await,
            Due::Start { tx_hash, .. } => kept.payments.get(tx_hash).and_then(|payment| {
                let inputs = proofs(&payment.inputs)?;
                Some(self.root.start_in_flight_exit(&payment.signed(), &inputs, self.bonds.in_flight_bond_wei))
            }),
            Due::Leave { id, .. } => return self.leave(kept.evidence(*id), game).await,
            Due::Process(payout) => self.process(payout, game),
        })
    }

    fn defence(&self, duty: &Duty, kept: &Kept, game: &Game) -> Option<Call> {
        let exit = game.in_flight_exit(duty.tx_hash)?;
        let shown = kept.payments.get(&duty.act.shown().tx_hash)?;
        let inclusion = proof::inclusion(shown.included.as_ref()?);
        let spend = |payment: &Payment| Spend { transaction: payment.signed(), inclusion: Some(inclusion.clone()) };
        let (root, data) = (&self.root, &exit.data);
        Some(match duty.act {
            Act::ChallengeCanonicity { input, .. } => {
                root.challenge_not_canonical(exit.tx_hash, data, input, &spend(shown), self.bonds.in_flight_bond_wei)
            }
            Act::Respond { .. } => root.respond_not_canonical(exit.tx_hash, &inclusion),
            Act::ChallengePiece { piece, output_id, owner, .. } => {
                let (data, spender) = match piece {
                    Piece::Input(_) => (Some(data), shown),
                    // Of an output the exit's own transaction is included, and the data are not read.
                    Piece::Output(_) => (None, kept.spend_of(output_id, owner)?.1),
                };
                root.challenge_piece_spent(&exit.transaction.body, data, piece.number(), &spend(spender))
            }
        })
    }

    async fn owning(&self, duty: &OwnDuty, kept: &Kept, game: &Game) -> Result<Option<Call>, ReadError> {
        let Some(exit) = game.in_flight_exit(duty.tx_hash) else { return Ok(None) };
        let (root, body, data) = (&self.root, &exit.transaction.body, &exit.data);
        Ok(match &duty.act {
            OwnAct::Improve { older } => {
                let inputs = older.iter().filter_map(|&(index, _)| data.inputs.get(usize::from(index)));
                let shown = |id| {
                    let mut inputs = kept.payments.values().flat_map(|payment| &payment.inputs);
                    kept.evidence(id).or_else(|| inputs.find(|input| input.id == id).cloned())
                };
                let shown: Option<Vec<_>> = inputs.map(|input| shown(input.output_id)).collect();
                let which: PieceSet = older.iter().map(|&(index, _)| Piece::Input(index)).collect();
                let proofs = shown.and_then(|shown| proofs(&shown));
                proofs.map(|proofs| root.improve_in_flight_exit(body, data, which, &proofs, &[]))
            }
            OwnAct::Piggyback { asset, pieces } => {
                let hint = self.hint(*asset, exit.key).await?;
                let bond_wei = self.bonds.of_pieces(pieces.len(), body.inputs().len()).unwrap_or(u128::MAX);
                Some(root.piggyback(body, Some(data), *pieces, hint, bond_wei))
            }
            OwnAct::Close => Some(root.close_in_flight_exit(exit.tx_hash, data)),
        })
    }

    async fn leave(&self, evidence: Option<EvidenceCoin>, game: &Game) -> Result<Option<Call>, ReadError> {
        let Some(evidence) = evidence else { return Ok(None) };
        let Some(creation) = proof::creation(&evidence) else { return Ok(None) };
        let created = match &creation {
            InputProof::Deposit(_) => None,
            InputProof::Output { inclusion, .. } => Some(inclusion.header.timestamp),
        };
        let hint = self.hint(evidence.output.asset, game.periods().exit_key(game.now(), created)).await?;
        let bond_wei = self.bonds.exit_bond_wei;
        Ok(Some(match creation {
            InputProof::Deposit(deposit) => self.root.start_standard_exit_of_deposit(&deposit, hint, bond_wei),
            InputProof::Output { creation, output_index, inclusion } => {
                self.root.start_standard_exit(&creation.encode(), output_index, &inclusion, hint, bond_wei)
            }
        }))
    }

    /// As much as one transaction surely has the gas for: standard exits first, then the pieces of one exit in flight at a time.
    fn process(&self, payout: &Payout, game: &Game) -> Option<Call> {
        let exits: Vec<_> = payout.exits.iter().copied().take(PROCESS_EXITS_MAX).collect();
        let record = |(tx_hash, &pieces): (&TxHash, &PieceSet)| {
            let exit = game.in_flight_exit(*tx_hash)?;
            Some(PieceRecord { body: exit.transaction.body.clone(), data: exit.data.clone(), pieces })
        };
        let pieces = match exits.is_empty() {
            true => vec![payout.pieces.first_key_value().and_then(record)?],
            false => Vec::new(),
        };
        Some(self.root.process_exits(payout.asset, &exits, &pieces))
    }

    /// Returns the last key of the asset's list that is not after `key`. §4
    async fn hint(&self, asset: Address, key: u64) -> Result<u64, ReadError> {
        let keys = self.root.exit_keys(asset, 0, KEYS_MAX).await?;
        Ok(keys.iter().map(|listed| listed.key).take_while(|&listed| listed <= key).last().unwrap_or(0))
    }
}

fn proofs(coins: &[EvidenceCoin]) -> Option<Vec<InputProof>> {
    coins.iter().map(proof::creation).collect()
}
