//! What an exit would cost, when it would pay, and until when it must start. §4, §5.2.

use std::fmt;

use alloy_primitives::Address;
use anyhow::Context as _;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_node::wire::evidence::{CoinOrigin, EvidenceCoin};
use plasmid_node::wire::{IncludedTransaction, Verdict, form};
use plasmid_root_chain::calls::InclusionProof;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::Call;
use serde::Serialize;

use crate::amount::shown;
use crate::failure::Failure;
use crate::session::Session;

/// Keys of an asset's list that are read at once.
const KEYS_PAGE: u64 = 256;

/// An exit that could start now.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) call: Call,
    pub(crate) terms: Terms,
}

/// What a call costs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cost {
    /// Wei to put up.
    #[serde(with = "form")]
    pub(crate) bond: u128,
    /// Gas of the call, as the node estimates it; none if it refuses to, as when the sender cannot put up the bond.
    pub(crate) gas: Option<u64>,
    /// Wei for a unit of gas, now.
    #[serde(with = "form")]
    gas_price: u128,
}

impl Cost {
    /// Asks the node what `call`, which puts up `bond`, costs `sender`.
    pub(crate) async fn of(root: &RootChain, sender: Address, call: &Call, bond: u128) -> anyhow::Result<Self> {
        let prices = root.node().gas_prices().await.context("read the price of gas")?;
        let gas = match root.node().estimate_gas(sender, call).await {
            Ok(gas) => Some(gas),
            Err(error) => {
                eprintln!("the call would fail as things stand: {:#}", anyhow::Error::from(error));
                None
            }
        };
        Ok(Self { bond, gas, gas_price: prices.base_fee_wei.saturating_add(prices.priority_fee_wei) })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bond != 0 {
            write!(f, "bond {}, ", shown(self.bond, ETHER))?;
        }
        match self.gas.and_then(|gas| Some((gas, self.gas_price.checked_mul(gas.into())?))) {
            Some((gas, wei)) => write!(f, "{gas} gas = {}", shown(wei, ETHER)),
            None => write!(f, "gas unknown"),
        }
    }
}

/// On what terms an exit starts.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terms {
    /// The bond comes back with the payment, but for the bounty.
    #[serde(flatten)]
    pub(crate) cost: Cost,
    /// The part of the bond that goes to whoever processes the exit, in wei.
    #[serde(with = "form")]
    pub(crate) bounty: u128,
    /// When it can be paid at the earliest, in seconds of root-chain time.
    pub(crate) key: u64,
    /// Before when it must start to go ahead of a bad block's coins, if a block is bad.
    pub(crate) deadline: Option<u64>,
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (bounty {}), paid from {} on", self.cost, shown(self.bounty, ETHER), self.key)?;
        match self.deadline {
            Some(deadline) => write!(f, ", must start before {deadline}"),
            None => write!(f, ", no deadline: no block is known to be bad"),
        }
    }
}

impl Plan {
    /// Plans the exit of a coin whose evidence holds.
    pub(crate) async fn make(
        session: &Session,
        evidence: &EvidenceCoin,
        bad: Option<BadBlock>,
    ) -> anyhow::Result<Self> {
        let root = &session.root;
        let (periods, bonds) = (session.deployment.periods, session.deployment.bonds);
        let origin = evidence.verify().context("read the proof of the coin's creation")?;
        let created = match &origin {
            CoinOrigin::Deposit(_) => None,
            CoinOrigin::Transaction(included) => Some(included.header.timestamp),
        };
        let key = periods.exit_key(session.now().await?, created);
        let hint = hint(root, evidence.output.asset, key).await?;
        let call = match &origin {
            CoinOrigin::Deposit(deposit) => root.start_standard_exit_of_deposit(deposit, hint, bonds.exit_bond_wei),
            CoinOrigin::Transaction(included) => {
                let PositionKind::Output(_, output_index) = evidence.position.kind() else {
                    return Err(Failure::Refused("the coin's position is a deposit's".to_owned()).into());
                };
                let body = included.transaction.body.encode();
                root.start_standard_exit(&body, output_index, &proof_of(included), hint, bonds.exit_bond_wei)
            }
        };
        let terms = Terms {
            cost: Cost::of(root, evidence.output.owner, &call, bonds.exit_bond_wei).await?,
            bounty: bonds.exit_bounty_wei,
            key,
            deadline: bad.filter(|bad| bad.threatens(evidence.position.block())).map(|bad| bad.deadline(periods)),
        };
        Ok(Self { call, terms })
    }
}

/// Returns an inclusion as the contract takes it.
pub(crate) fn proof_of(included: &IncludedTransaction) -> InclusionProof {
    InclusionProof {
        header: included.header,
        tx_index: included.place.index,
        witness_hash: included.transaction.witness.hash(),
        path: included.path.clone(),
    }
}

/// Returns the last key of the asset's list that is not after `key`, zero for none. §4.
pub(crate) async fn hint(root: &RootChain, asset: Address, key: u64) -> anyhow::Result<u64> {
    let mut hint = 0;
    loop {
        let keys = root.exit_keys(asset, hint, KEYS_PAGE).await.context("read the asset's exit keys")?;
        let is_last = (keys.len() as u64) < KEYS_PAGE;
        let before = keys.iter().map(|listed| listed.key).take_while(|&listed| listed <= key).last();
        match before {
            // A list that does not move on would be read for ever.
            Some(before) if before > hint => hint = before,
            _ => return Ok(hint),
        }
        if is_last || keys.iter().any(|listed| listed.key > key) {
            return Ok(hint);
        }
    }
}

/// The first block that is void, or that the watcher found invalid or withheld.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BadBlock {
    pub(crate) number: BlockNumber,
    /// When it was committed; of a void one, when the chain was halted. In seconds.
    since: u64,
    /// Whether the root chain itself says so: a fault was proven.
    pub(crate) is_void: bool,
}

impl BadBlock {
    /// Asks the root chain, and then the watcher; `None` if neither knows of one, or the watcher cannot be asked (which is
    /// said).
    pub(crate) async fn find(session: &Session) -> anyhow::Result<Option<Self>> {
        let child_chain = session.root.child_chain().await.context("read the child chain's state")?;
        if let (Some(number), Some(since)) = (child_chain.halted_from, child_chain.halted_at) {
            return Ok(Some(Self { number, since, is_void: true }));
        }
        let Some(watcher) = session.watcher()? else { return Ok(None) };
        let asked = async {
            let status = watcher.status().await?;
            match status.block.verified.next() {
                Some(next) if next <= status.block.committed => Ok(Some(watcher.block(next).await?)),
                _ => Ok(None),
            }
        };
        let block = match asked.await {
            Ok(block) => block,
            Err(error) => {
                let error: plasmid_node::client::ClientError = error;
                eprintln!("deadlines are not known: {error}");
                return Ok(None);
            }
        };
        let bad = block.filter(|block| matches!(block.verdict, Verdict::Invalid | Verdict::Withheld));
        Ok(bad.and_then(|block| Some(Self { number: block.number, since: block.header?.timestamp, is_void: false })))
    }

    /// Returns whether a coin made in `block` (or by a deposit) is older: then its exit has a deadline.
    fn threatens(&self, block: Option<BlockNumber>) -> bool {
        block.is_none_or(|block| block < self.number)
    }

    /// Returns the time before which exits must start: of older coins, to be paid ahead of the bad block's (§4); after a halt,
    /// of these and of payments in void blocks, to be paid ahead of the settlement (§8). T + MEP − G both.
    pub(crate) fn deadline(&self, periods: Periods) -> u64 {
        self.since.saturating_add(periods.minimum_exit_period).saturating_sub(periods.granularity())
    }
}
