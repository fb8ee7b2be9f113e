//! HTTP of a watcher: the routes that both services have, and what a watcher alone can say.

use std::sync::Arc;

use alloy_primitives::Address;
use plasmid_exit_game::game::{CoinExit, MissingClaim, PendingExit};
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Place, Position, PositionKind};
use plasmid_node::chain::Chain;
use plasmid_node::http::{Common, Response, common_routes, respond};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::evidence::{DepositNonce, EVIDENCE_FORMAT, Evidence, EvidenceCoin};
use plasmid_node::wire::{BlockChoice, Inclusion, List, form};
use serde::{Deserialize, Serialize};
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection};

use crate::alarms::Alarm;
use crate::history::{History, Source, Spend};
use crate::missing::{Claims, MissingAct, Owed};
use crate::shared::Shared;

/// Most items of one page.
const PAGE_LEN_MAX: usize = 1_000;

/// An exit as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExitAnswer {
    /// The coin.
    #[serde(with = "form")]
    pub id: OutputId,
    /// How far the exit has got.
    pub state: ExitState,
    /// The pending exit's record and what is known of it.
    pub pending: Option<PendingAnswer>,
    /// From then on no block may spend the coin, in seconds of root-chain time.
    pub freeze: Option<u64>,
}

/// How far an exit has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitState {
    /// It waits for its turn.
    Pending,
    /// The coin has left.
    Settled,
    /// It was ended without settling the coin.
    Ended,
}

/// A pending exit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PendingAnswer {
    /// Where its start showed that the coin was made.
    #[serde(with = "form")]
    pub position: Position,
    /// Owner, asset and amount.
    #[serde(with = "form")]
    pub output: Output,
    /// When it can be paid, in seconds of root-chain time.
    pub key: u64,
    /// Who is paid.
    #[serde(with = "form")]
    pub payee: Address,
    /// Number of the root block that holds the start.
    pub started_in: u64,
    /// Whether this watcher knows a spend that the owner signed.
    pub is_spent: bool,
    /// Whether this watcher's challenge is on its way.
    pub is_being_challenged: bool,
}

/// Something that somebody must do, or may, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Obligation {
    /// What is to be done.
    pub act: ObligationAct,
    /// The coin.
    #[serde(with = "form")]
    pub id: OutputId,
    /// Not before this root-chain time, in seconds.
    pub from: Option<u64>,
    /// Before this root-chain time, in seconds.
    pub before: Option<u64>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObligationAct {
    /// Start the coin's exit: a block is withheld, invalid or void.
    StartExit,
    /// Start the in-flight exit of the payment that the coin's owner signed, which is in no valid block.
    StartInFlightExit,
    /// Have the exit paid: anyone may call it once its turn has come.
    ProcessExit,
    /// Answer the claim that the unspent tree of a valid block lacks the coin: anyone may, and has its bond.
    AnswerMissing,
    /// Have the block convicted whose unspent tree lacks the coin: anyone may, and the claimant has bond and reward.
    ConvictMissing,
    /// Take back the bond of a claim that has lost its object.
    ReclaimMissing,
}

/// One thing that happened to a coin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what", deny_unknown_fields)]
pub enum CoinMoment {
    /// It was made.
    Made {
        /// Where.
        #[serde(with = "form")]
        position: Position,
        /// Whether the block, with all before it, is valid. A deposit always is.
        valid: bool,
    },
    /// Somebody signed a spend of it.
    Spent {
        /// Place of the spend (the position of its output 0), if it stands in a block.
        #[serde(with = "form")]
        place: Option<Position>,
        /// Its hash, where it stands in no block.
        #[serde(rename = "txHash", with = "form")]
        tx_hash: Option<TxHash>,
        /// Whose signature it bears; only the owner's counts.
        #[serde(with = "form")]
        signer: Address,
        /// Whether the block, with all before it, is valid.
        valid: bool,
    },
    /// Its exit, as it stands.
    Exit {
        /// How far it has got.
        exit: Box<ExitAnswer>,
    },
}

#[derive(Debug, Deserialize)]
struct PageQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct OwnerQuery {
    owner: String,
}

/// Returns all routes of a watcher.
#[must_use]
pub fn routes(common: Common, shared: Arc<Shared>) -> BoxedFilter<(Response,)> {
    let with_shared = warp::any().map(move || shared.clone());
    let get = |path: BoxedFilter<()>| warp::get().and(path).and(with_shared.clone());
    let exits = get(warp::path!("v1" / "exits").boxed())
        .and(warp::query())
        .map(|shared: Arc<Shared>, query: PageQuery| respond(exits(&shared, &query)));
    let exit = warp::get()
        .and(warp::path!("v1" / "exits" / String))
        .and(with_shared.clone())
        .map(|id: String, shared: Arc<Shared>| respond(exit(&shared, &id)));
    let alarms = get(warp::path!("v1" / "alarms").boxed()).map(|shared: Arc<Shared>| respond(Ok(alarms(&shared))));
    let obligations = get(warp::path!("v1" / "obligations").boxed())
        .and(warp::query())
        .map(|shared: Arc<Shared>, query: OwnerQuery| respond(obligations(&shared, &query.owner)));
    let timeline = warp::get()
        .and(warp::path!("v1" / "coins" / String / "timeline"))
        .and(with_shared.clone())
        .map(|id: String, shared: Arc<Shared>| respond(timeline(&shared, &id)));
    let evidence = warp::get().and(warp::path!("v1" / "evidence" / String)).and(with_shared.clone()).and_then(
        |id: String, shared: Arc<Shared>| async move {
            let answer = tokio::task::spawn_blocking(move || respond(evidence(&shared, &id))).await;
            Ok::<Response, Rejection>(answer.expect("gathering evidence does not panic"))
        },
    );
    let own = exits.or(exit).unify().or(alarms).unify().or(obligations).unify();
    own.or(timeline).unify().or(evidence).unify().or(common_routes(common)).unify().boxed()
}

fn exits(shared: &Shared, query: &PageQuery) -> Result<List<ExitAnswer>, Problem> {
    let after = query.cursor.as_deref().map(output_id).transpose()?;
    let limit = query.limit.unwrap_or(PAGE_LEN_MAX).clamp(1, PAGE_LEN_MAX);
    let (chain, history) = (shared.chain(), shared.history());
    let pending = chain.game().pending_exits().filter(|exit| after.is_none_or(|after| exit.record.output_id > after));
    let mut ids: Vec<_> = pending.map(|exit| exit.record.output_id).take(limit + 1).collect();
    let is_last = ids.len() <= limit;
    ids.truncate(limit);
    let cursor = ids.last().filter(|_| !is_last).map(|id| id.to_string());
    Ok(List { items: ids.into_iter().filter_map(|id| exit_answer(shared, &chain, &history, id)).collect(), cursor })
}

fn exit(shared: &Shared, id: &str) -> Result<ExitAnswer, Problem> {
    let id = output_id(id)?;
    exit_answer(shared, &shared.chain(), &shared.history(), id)
        .ok_or_else(|| not_found(format!("coin {id} never exited")))
}

fn exit_answer(shared: &Shared, chain: &Chain, history: &History, id: OutputId) -> Option<ExitAnswer> {
    let (state, pending) = match chain.game().exit(id)? {
        CoinExit::Pending(exit) => (ExitState::Pending, Some(pending_answer(shared, history, exit))),
        CoinExit::Settled { .. } => (ExitState::Settled, None),
        CoinExit::Freed { .. } => (ExitState::Ended, None),
    };
    Some(ExitAnswer { id, state, pending, freeze: chain.game().freeze_of(id) })
}

fn pending_answer(shared: &Shared, history: &History, exit: &PendingExit) -> PendingAnswer {
    let PendingExit { record, payee, started_in, settled: _ } = *exit;
    PendingAnswer {
        position: record.position,
        output: record.output,
        key: record.key,
        payee,
        started_in,
        is_spent: history.spends_by(record.output_id, record.output.owner).next().is_some(),
        is_being_challenged: shared.is_being_challenged(record.output_id),
    }
}

fn alarms(shared: &Shared) -> List<Alarm> {
    List { items: shared.alarms().all().to_vec(), cursor: None }
}

fn obligations(shared: &Shared, owner: &str) -> Result<List<Obligation>, Problem> {
    let owner: Address = form::parse(owner).map_err(malformed)?;
    let chain = shared.chain();
    let game = chain.game();
    let mut items: Vec<Obligation> = game
        .pending_exits()
        .filter(|exit| exit.payee == owner)
        .map(|exit| Obligation {
            act: ObligationAct::ProcessExit,
            id: exit.record.output_id,
            from: Some(exit.record.key),
            before: None,
        })
        .collect();
    if let Some(before) = shared.leave_before(&chain) {
        let mut cursor = None;
        loop {
            let page = chain.coins(owner, None, cursor.as_deref(), PAGE_LEN_MAX);
            let page = page.map_err(|error| Problem::new(Code::NotReady, error))?;
            let history = shared.history();
            let leaving = page.items.iter().filter(|coin| coin.spender.is_none() && game.exit(coin.id).is_none());
            items.extend(leaving.map(|coin| Obligation {
                // A standard exit would be challenged with the payment.
                act: match history.spends_by(coin.id, owner).next() {
                    None => ObligationAct::StartExit,
                    Some(_) => ObligationAct::StartInFlightExit,
                },
                id: coin.id,
                from: None,
                before: Some(before),
            }));
            cursor = page.cursor;
            if cursor.is_none() || items.len() >= PAGE_LEN_MAX {
                break;
            }
        }
    }
    items.extend(claims(shared, &chain, owner));
    items.truncate(PAGE_LEN_MAX);
    Ok(List { items, cursor: None })
}

/// Returns what is owed to the open claims that an unspent tree lacks a coin: by everybody, and to `owner` alone its bond.
fn claims(shared: &Shared, chain: &Chain, owner: Address) -> Vec<Obligation> {
    let claims = Claims { game: chain.game(), last_valid: chain.verified_block(), first_bad: shared.first_bad(chain) };
    let obligation = |claim: &MissingClaim| {
        let Owed { act, from, before } = claims.owed(claim, &[owner])?;
        let act = match act {
            MissingAct::Answer => ObligationAct::AnswerMissing,
            MissingAct::Convict => ObligationAct::ConvictMissing,
            MissingAct::Claim | MissingAct::Reclaim => ObligationAct::ReclaimMissing,
        };
        Some(Obligation { act, id: claim.output_id, from, before })
    };
    chain.game().missing_claims().filter_map(obligation).collect()
}

fn timeline(shared: &Shared, id: &str) -> Result<List<CoinMoment>, Problem> {
    let id = output_id(id)?;
    let (chain, history) = (shared.chain(), shared.history());
    let is_valid = |block: BlockNumber| block <= chain.last_local_block();
    let deposit = chain.coin(id).map(|coin| coin.position).filter(|position| position.is_deposit());
    let made = deposit
        .into_iter()
        .chain(history.made(id))
        .map(|position| CoinMoment::Made { position, valid: position.block().is_none_or(is_valid) });
    let spent = history.spends(id).map(|Spend { signer, source }| match source {
        Source::Block(place) => {
            CoinMoment::Spent { place: Some(place.first_output()), tx_hash: None, signer, valid: is_valid(place.block) }
        }
        Source::Loose(hash) => CoinMoment::Spent { place: None, tx_hash: Some(hash), signer, valid: false },
    });
    let exit = exit_answer(shared, &chain, &history, id).map(|exit| CoinMoment::Exit { exit: Box::new(exit) });
    let items: Vec<_> = made.chain(spent).chain(exit).take(PAGE_LEN_MAX).collect();
    if items.is_empty() {
        Err(not_found(format!("coin {id} was never seen")))
    } else {
        Ok(List { items, cursor: None })
    }
}

/// Everything that the exit of one coin needs, as of the anchor: a reorganisation would stale the rest. Reads the archive.
fn evidence(shared: &Shared, id: &str) -> Result<Evidence, Problem> {
    let id = output_id(id)?;
    let (body, coin, unspent, exported_at) = {
        let chain = shared.chain();
        let coin = chain.coin(id).ok_or_else(|| not_found(format!("coin {id} was made in no valid block")))?;
        let not_final = || Problem::new(Code::NotReady, format!("coin {id} is not at finality depth yet"));
        let (anchor, _) = chain.game().anchor(chain.finality_depth()).ok_or_else(not_final)?;
        let is_final = match coin.position.kind() {
            PositionKind::Deposit(nonce) => nonce < chain.game().deposit_count_at(anchor.number),
            PositionKind::Output(place, _) => place.block <= chain.final_block(),
        };
        if !is_final {
            return Err(not_final());
        }
        let last = chain.final_block().min(chain.verified_block());
        // A coin that is spent, or that no block covers, has none.
        let unspent = chain.unspent(id, BlockChoice::Number(last)).ok();
        (coin.position.block().and_then(|block| chain.body(block)), coin, unspent, anchor)
    };
    let (deposit, made) = match coin.position.kind() {
        PositionKind::Deposit(nonce) => (Some(DepositNonce { nonce }), None),
        PositionKind::Output(Place { index, .. }, _) => {
            let unreadable = || Problem::new(Code::NotReady, "the body of the coin's block cannot be read now");
            let included = body.ok_or_else(unreadable)?.inclusion(index).map_err(|_| unreadable())?;
            (None, Some(Inclusion::from(&included)))
        }
    };
    let status = shared.status();
    Ok(Evidence {
        format: EVIDENCE_FORMAT.to_owned(),
        chain_id: status.chain_id,
        contract: status.contract,
        exported_at: exported_at.into(),
        coins: vec![EvidenceCoin { id, position: coin.position, output: coin.output, deposit, made, unspent }],
        transactions: Vec::new(),
    })
}

fn output_id(text: &str) -> Result<OutputId, Problem> {
    form::parse(text).map_err(malformed)
}

fn malformed(error: form::FormError) -> Problem {
    Problem::new(Code::Malformed, error)
}

fn not_found(what: String) -> Problem {
    Problem::new(Code::NotFound, what)
}
