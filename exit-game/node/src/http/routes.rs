//! The routes that both services have.

use std::sync::{Arc, RwLockReadGuard};

use alloy_primitives::{Address, Bytes};
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_exit_game::transaction::PlacedTransaction;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;

use super::reply::with_type;
use super::{Events, Response, json, json_body, problem, range, respond};
use crate::chain::{BodyError, Chain, CursorError, PAGE_LEN_MAX, SharedChain, UnspentLookupError};
use crate::problem::{Code, Problem};
use crate::wire::form::{self, Form};
use crate::wire::{
    Answer, Block, BlockChoice, Coin, Inclusion, List, Receipt, Status, TransactionAnswer, Unspent, UnspentQuery,
};

/// How many items a page has if nobody asks for another number.
const PAGE_LEN: usize = 100;
/// Most coins of one POST `/v1/unspent`.
const UNSPENT_IDS_MAX: usize = 1_000;
/// Most bytes of its body: 70 an id, and a little.
const UNSPENT_BYTES_MAX: usize = 128 << 10;

/// What the common routes answer from.
#[derive(Clone)]
pub struct Common {
    /// The chain.
    pub chain: SharedChain,
    /// What the service tells.
    pub events: Events,
    /// What the chain does not know of the service.
    pub status: Arc<dyn Fn() -> ServiceStatus + Send + Sync>,
    /// The receipt of a transaction, where the service has it.
    pub receipt: Arc<dyn Fn(TxHash) -> Option<Receipt> + Send + Sync>,
    /// The service's metrics.
    pub metrics: Arc<Registry>,
}

/// A service's part of `/v1/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceStatus {
    /// The root chain's id.
    pub chain_id: u64,
    /// The contract.
    pub contract: Address,
    /// Number of the root block that holds its deployment.
    pub deployment_block: u64,
    /// Whether the service has followed both chains to their heads. It is ready exactly then.
    pub synced: bool,
    /// Whether a fault has halted the chain.
    pub halted: bool,
    /// Whether the chain was closed.
    pub closed: bool,
    /// How many alarms stand.
    pub alarms: u64,
}

/// Returns the routes that both services have.
pub fn common_routes(common: Common) -> BoxedFilter<(Response,)> {
    blocks(&common)
        .or(outputs(&common))
        .unify()
        .or(transactions(&common))
        .unify()
        .or(operations(&common))
        .unify()
        .boxed()
}

fn blocks(common: &Common) -> BoxedFilter<(Response,)> {
    let list = warp::path!("v1" / "blocks")
        .and(warp::get())
        .and(warp::query())
        .and(with(common))
        .map(|query, common: Common| respond(common.blocks(&query)));
    let one = warp::path!("v1" / "blocks" / String)
        .and(warp::get())
        .and(with(common))
        .map(|number: String, common: Common| respond(common.block(&number)));
    let body = warp::path!("v1" / "blocks" / String / "body")
        .and(warp::get())
        .and(warp::header::headers_cloned())
        .and(with(common))
        .then(|number: String, headers, common: Common| async move {
            common.body(&number, headers).await.unwrap_or_else(|error| problem(&error))
        });
    list.or(one).unify().or(body).unify().boxed()
}

fn outputs(common: &Common) -> BoxedFilter<(Response,)> {
    let list = warp::path!("v1" / "outputs")
        .and(warp::get())
        .and(warp::query())
        .and(with(common))
        .map(|query, common: Common| respond(common.coins(&query)));
    let one = warp::path!("v1" / "outputs" / String)
        .and(warp::get())
        .and(with(common))
        .map(|id: String, common: Common| respond(common.coin(&id)));
    let inclusion = warp::path!("v1" / "outputs" / String / "inclusion")
        .and(warp::get())
        .and(with(common))
        .then(|id: String, common: Common| async move { respond(common.inclusion(&id).await) });
    let unspent = warp::path!("v1" / "outputs" / String / "unspent")
        .and(warp::get())
        .and(warp::query())
        .and(with(common))
        .map(|id: String, query, common: Common| respond(common.unspent(&id, &query)));
    let unspent_many =
        warp::path!("v1" / "unspent").and(warp::post()).and(json_body(UNSPENT_BYTES_MAX)).and(with(common)).map(
            |query: Result<_, Problem>, common: Common| respond(query.and_then(|query| common.unspent_many(&query))),
        );
    list.or(one).unify().or(inclusion).unify().or(unspent).unify().or(unspent_many).unify().boxed()
}

fn transactions(common: &Common) -> BoxedFilter<(Response,)> {
    warp::path!("v1" / "transactions" / String)
        .and(warp::get())
        .and(with(common))
        .then(|tx_hash: String, common: Common| async move { respond(common.transaction(&tx_hash).await) })
        .boxed()
}

fn operations(common: &Common) -> BoxedFilter<(Response,)> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let status = warp::path!("v1" / "status").and(with(common)).map(|common: Common| json(&common.status()));
    let live = warp::path!("livez").map(|| with_type(TEXT, "live\n"));
    let ready = warp::path!("readyz").and(with(common)).map(|common: Common| match (common.status)().synced {
        true => with_type(TEXT, "ready\n"),
        false => problem(&Problem::new(Code::NotReady, "not yet at the heads of both chains")),
    });
    let metrics = warp::path!("metrics").and(with(common)).map(|common: Common| {
        let mut text = String::new();
        match encode(&mut text, &common.metrics) {
            Ok(()) => with_type(METRICS, text),
            Err(error) => problem(&Problem::new(Code::NotReady, error)),
        }
    });
    let openapi = warp::path!("openapi.json").map(|| with_type("application/json", include_str!("openapi.json")));
    let events = warp::path!("v1" / "events")
        .and(warp::header::optional::<String>("last-event-id"))
        .and(with(common))
        .map(|last_id: Option<String>, common: Common| common.events.reply(last_id.as_deref()));
    let all = status.or(live).unify().or(ready).unify().or(metrics).unify().or(openapi).unify().or(events).unify();
    // The method last: on another path it would be no reason to refuse.
    all.and(warp::get()).boxed()
}

fn with(common: &Common) -> impl Filter<Extract = (Common,), Error = std::convert::Infallible> + Clone + use<> {
    let common = common.clone();
    warp::any().map(move || common.clone())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlocksQuery {
    from: Option<u64>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoinsQuery {
    owner: String,
    asset: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnspentAt {
    block: Option<String>,
}

impl Common {
    /// Whatever panicked amid a change of the chain, nothing of it is to be trusted: the server answers 503 from then on.
    fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().expect("no change of the chain has panicked")
    }

    fn blocks(&self, query: &BlocksQuery) -> Result<List<Block>, Problem> {
        let from = BlockNumber::new(query.from.unwrap_or(1)).ok_or_else(|| malformed("from is no block number"))?;
        Ok(self.chain().blocks(from, page_len(query.limit)))
    }

    fn block(&self, number: &str) -> Result<Block, Problem> {
        let number = block_number(number)?;
        self.chain().block(number).ok_or_else(|| no_block(number))
    }

    async fn body(&self, number: &str, headers: HeaderMap) -> Result<Response, Problem> {
        let number = block_number(number)?;
        let (body, state) = {
            let chain = self.chain();
            let committed = chain.body(number).zip(chain.block_state(number));
            committed.ok_or_else(|| {
                Problem::new(Code::NotFound, format_args!("there is no body of a committed block {number} here"))
            })?
        };
        blocking(move || range::reply(&body, state, &headers)).await
    }

    fn coins(&self, query: &CoinsQuery) -> Result<List<Coin>, Problem> {
        let owner = parse(&query.owner)?;
        let asset = query.asset.as_deref().map(parse).transpose()?;
        let coins = self.chain().coins(owner, asset, query.cursor.as_deref(), page_len(query.limit));
        coins.map_err(|error: CursorError| malformed(error))
    }

    fn coin(&self, id: &str) -> Result<Coin, Problem> {
        let id = parse(id)?;
        self.chain().coin(id).ok_or_else(|| no_coin(id))
    }

    async fn inclusion(&self, id: &str) -> Result<Inclusion, Problem> {
        let id = parse(id)?;
        let (body, index) = {
            let chain = self.chain();
            let coin = chain.coin(id).ok_or_else(|| no_coin(id))?;
            let PositionKind::Output(place, _) = coin.position.kind() else {
                return Err(Problem::new(Code::NotFound, format_args!("coin {id} was made by a deposit")));
            };
            let body = chain.body(place.block).filter(|_| chain.ledger().coin(id).is_some());
            let not_committed = format_args!("the block that makes coin {id} is not committed").to_string();
            (body.ok_or_else(|| Problem::new(Code::NotFound, not_committed))?, place.index)
        };
        blocking(move || Ok(Inclusion::from(&body.inclusion(index)?))).await
    }

    fn unspent(&self, id: &str, query: &UnspentAt) -> Result<Unspent, Problem> {
        let block = match query.block.as_deref() {
            None | Some("latest") => BlockChoice::LATEST,
            Some(number) => BlockChoice::Number(block_number(number)?),
        };
        self.chain().unspent(parse(id)?, block).map_err(no_proof)
    }

    fn unspent_many(&self, query: &UnspentQuery) -> Result<Vec<Answer<Unspent>>, Problem> {
        if query.ids.len() > UNSPENT_IDS_MAX {
            let detail = format!("{} coins where at most {UNSPENT_IDS_MAX} are taken", query.ids.len());
            return Err(Problem::new(Code::TooLarge, detail));
        }
        let chain = self.chain();
        let answers = query.ids.iter().map(|&id| match chain.unspent(id, query.block) {
            Ok(unspent) => Answer::Done(unspent),
            Err(error) => Answer::Problem(no_proof(error)),
        });
        Ok(answers.collect())
    }

    async fn transaction(&self, tx_hash: &str) -> Result<TransactionAnswer, Problem> {
        let tx_hash = parse(tx_hash)?;
        let stored = self.chain().transaction(tx_hash);
        let stored = stored
            .ok_or_else(|| Problem::new(Code::NotFound, format_args!("there is no transaction {tx_hash} here")))?;
        let (place, state) = (stored.place.first_output(), stored.state);
        let PlacedTransaction { body, witness } = blocking(move || stored.read()).await?;
        let placement = Bytes::from_iter(witness.placement.iter().flat_map(|position| position.bits().to_be_bytes()));
        let (body, signature, receipt) = (body.encode().into(), witness.signature, (self.receipt)(tx_hash));
        Ok(TransactionAnswer { tx_hash, body, signature, placement, place, state, receipt })
    }

    fn status(&self) -> Status {
        let ServiceStatus { chain_id, contract, deployment_block, synced, halted, closed, alarms } = (self.status)();
        let chain = self.chain();
        let (root, block, uncommitted) = (chain.root_head(), chain.heads(), chain.uncommitted());
        Status { chain_id, contract, deployment_block, root, block, synced, halted, closed, alarms, uncommitted }
    }
}

/// Does what reads files or hashes a whole block, away from the threads that serve sockets.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, BodyError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error @ BodyError::NoTransaction { .. })) => Err(Problem::new(Code::NotFound, error)),
        Ok(Err(error @ BodyError::Archive { .. })) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a stored body cannot be served");
            Err(Problem::new(Code::NotReady, error))
        }
        Err(_) => Err(Problem::new(Code::NotReady, "the server failed to answer this request")),
    }
}

fn parse<T: Form<Written = String>>(text: &str) -> Result<T, Problem> {
    form::parse(text).map_err(malformed)
}

fn block_number(text: &str) -> Result<BlockNumber, Problem> {
    let number: u128 = parse(text)?;
    u64::try_from(number).ok().and_then(BlockNumber::new).ok_or_else(|| malformed("no block has such a number"))
}

fn page_len(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE_LEN).clamp(1, PAGE_LEN_MAX)
}

fn malformed(detail: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Malformed, detail)
}

fn no_block(number: BlockNumber) -> Problem {
    Problem::new(Code::NotFound, format_args!("there is no block {number} here"))
}

fn no_coin(id: OutputId) -> Problem {
    Problem::new(Code::NotFound, format_args!("there is no coin {id} here"))
}

fn no_proof(error: UnspentLookupError) -> Problem {
    match error {
        UnspentLookupError::UnknownCoin { .. }
        | UnspentLookupError::NoSuchBlock { .. }
        | UnspentLookupError::NotYetMade { .. } => Problem::new(Code::NotFound, error),
        UnspentLookupError::TooOld { .. } => Problem::new(Code::RootTooOld, error),
        UnspentLookupError::Spent { spender, .. } => Problem::new(Code::AlreadySpent, error).with_spender(spender),
    }
}
