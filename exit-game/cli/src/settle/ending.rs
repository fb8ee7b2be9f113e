//! How a chain has ended: the block by which coins are withdrawn, from when on, and which exits are paid first. §8.

use alloy_primitives::Address;
use anyhow::{Context as _, bail};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::game::Game;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::wire::form;
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::sender::Sender;
use serde::Serialize;

use crate::amount::Asset;
use crate::exit::process;
use crate::failure::Failure;
use crate::session::{Session, transact};

/// Keys of an asset's list that are read at once.
const KEYS_PAGE: u64 = 256;
/// Keys without exits that a withdrawal clears by itself; more are cleared by calls of their own.
const EMPTY_KEYS_MAX: usize = 20;

/// The end of a chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// The header of the last block that is not void; none if there is no such block.
    pub(crate) last: Option<Header>,
    /// S, in seconds: exits with keys until then are paid first.
    pub(crate) exits_until: u64,
    /// S + F, in seconds.
    pub(crate) opens_at: u64,
}

impl Ending {
    /// Returns how the chain has ended.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] if it has not.
    pub(crate) fn of(game: &Game) -> anyhow::Result<Self> {
        let ended = game.halt().map(|halt| halt.at).max(game.closed_at());
        let Some(ended) = ended else {
            let what = "the chain has not ended: no fault has halted it, and nobody has closed it. Coins leave by their exits \
                        (`plasmid exit start`); `plasmid close-chain --dry-run` shows when a chain without blocks can be closed";
            bail!(Failure::Refused(what.to_owned()));
        };
        let number = game.halt().map_or(Some(game.last_block()), |halt| halt.from.previous());
        let last = number.and_then(|number| game.header(number)).map(|(header, _)| *header);
        let periods = game.periods();
        Ok(Self {
            last,
            exits_until: periods.last_key_before_settlement(ended),
            opens_at: periods.start_of_settlement(ended),
        })
    }

    /// Returns the number of the last block that is not void, zero for none.
    pub(crate) fn last_number(&self) -> BlockNumber {
        self.last.map_or(BlockNumber::ZERO, |header| header.number)
    }

    /// Returns how many deposits the last block covers.
    pub(crate) fn deposit_count(&self) -> u64 {
        self.last.map_or(0, |header| header.deposit_count)
    }
}

/// What of an asset's list comes before its coins are withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Queue {
    #[serde(with = "form")]
    pub(crate) asset: Address,
    /// Exits that are paid first.
    pub(crate) exits: u64,
    /// When the last of them can be paid, in seconds.
    pub(crate) until: u64,
    /// Keys without exits at the head of the list.
    #[serde(skip)]
    empty: usize,
}

impl Queue {
    /// Reads the keys of an asset until `until`.
    pub(crate) async fn read(root: &RootChain, asset: Address, until: u64) -> anyhow::Result<Self> {
        let mut queue = Self { asset, exits: 0, until: 0, empty: 0 };
        let mut from = 0;
        loop {
            let keys = root.exit_keys(asset, from, KEYS_PAGE).await.context("read the asset's exit keys")?;
            for listed in keys.iter().take_while(|listed| listed.key <= until) {
                match listed.count {
                    0 if queue.exits == 0 => queue.empty += 1,
                    0 => {}
                    count => (queue.exits, queue.until) = (queue.exits.saturating_add(count.into()), listed.key),
                }
            }
            match keys.last() {
                // A list that does not move on would be read for ever.
                Some(last) if keys.len() as u64 == KEYS_PAGE && last.key <= until && last.key > from => from = last.key,
                _ => return Ok(queue),
            }
        }
    }

    /// Pays the exits that come first, and clears the keys before them as far as a withdrawal does not.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] if some are left.
    pub(crate) async fn clear(session: &Session, sender: &Sender, asset: Address, until: u64) -> anyhow::Result<()> {
        let mut queue = Self::read(&session.root, asset, until).await?;
        while queue.exits != 0 || queue.empty > EMPTY_KEYS_MAX {
            let asset = Asset(asset);
            if queue.empty > EMPTY_KEYS_MAX {
                let what = format!("clear keys without exits of {asset}");
                transact(sender, &session.root.process_exits(asset.0, &[], &[]), &what).await?;
            } else {
                eprintln!("{} exits of {asset} are paid before its coins are withdrawn", queue.exits);
                process::pay(session, sender, Some(asset), until).await?;
            }
            let left = Self::read(&session.root, asset.0, until).await?;
            if left == queue {
                let what = format!(
                    "{} exits of {asset} come first and are not paid: `plasmid exit process --asset {asset}` does that",
                    left.exits
                );
                bail!(Failure::Refused(what));
            }
            queue = left;
        }
        Ok(())
    }
}
