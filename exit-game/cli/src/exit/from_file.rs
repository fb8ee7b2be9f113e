//! Which coins of an evidence file an exit can start with: no operator and no watcher is asked for them.

use std::path::Path;

use alloy_primitives::Address;
use anyhow::{Context as _, anyhow, bail};
use plasmid_exit_game::output::OutputId;
use plasmid_node::wire::evidence::{Evidence, EvidenceCoin};

use crate::evidence::check::standing;
use crate::evidence::{self, file};
use crate::exit::start::obstacle;
use crate::holdings::void_from;
use crate::session::{Session, Settings};
use crate::wallet::store::Wallet;

/// A file with the deployment that it is of.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) evidence: Evidence,
}

/// Opens a file and the deployment that it is of, which the settings need not name.
pub(crate) async fn open(path: &Path, settings: &Settings) -> anyhow::Result<Opened> {
    let evidence = file::read(path)?;
    let session = evidence::session(settings, &evidence).await?;
    // The contract checks every coin by itself: a branch that was left keeps nobody from leaving.
    if let Some(why) = evidence::other_branch(&session, &evidence).await? {
        eprintln!("{}: {why}; each coin is checked by itself", path.display());
    }
    Ok(Opened { session, evidence })
}

impl Opened {
    /// Returns the coins to exit: those of `ids`, which must all be able to, or without any all of `owner` that are.
    ///
    /// # Errors
    ///
    /// If a coin that is asked for is not in the file, or cannot exit; and if any that would be taken is broken.
    pub(crate) async fn coins(
        &self,
        wallet: &Wallet,
        owner: Address,
        ids: &[OutputId],
    ) -> anyhow::Result<Vec<EvidenceCoin>> {
        let (void_from, game) = (void_from(&self.session).await?, self.session.game().await?);
        let mut ready = Vec::new();
        for coin in self.chosen(owner, ids)? {
            let id = coin.id;
            if ready.iter().any(|ready: &EvidenceCoin| ready.id == id) {
                continue;
            }
            // A broken proof is no reason to skip a coin in silence: the other coins can be named.
            let standing = standing(&self.session, coin, void_from).await?;
            standing.map_err(|reason| anyhow!("coin {id} of the file cannot exit: {reason}"))?;
            let word = self.session.root.coin(id).await.context("read the coin's word on the root chain")?;
            match obstacle(&self.session, wallet, &game, id, &word).await? {
                None => ready.push(coin.clone()),
                Some(obstacle) if ids.is_empty() => eprintln!("left out: {obstacle:#}"),
                Some(obstacle) => return Err(obstacle),
            }
        }
        Ok(ready)
    }

    fn chosen(&self, owner: Address, ids: &[OutputId]) -> anyhow::Result<Vec<&EvidenceCoin>> {
        let coins = &self.evidence.coins;
        if ids.is_empty() {
            let own: Vec<_> = coins.iter().filter(|coin| coin.output.owner == owner).collect();
            if own.is_empty() {
                bail!("the file holds no coin of {owner}: use the account that it was exported for");
            }
            return Ok(own);
        }
        let find = |&id: &OutputId| {
            let found = coins.iter().find(|coin| coin.id == id);
            found.ok_or_else(|| anyhow!("the file holds no coin {id}: `plasmid evidence check` shows those it holds"))
        };
        ids.iter().map(find).collect()
    }
}
