//! The end of a chain as people live through it: halted or closed, then settled by its last good block. §7, §8.

use std::process::Command;

use alloy_primitives::Bytes;
use plasmid_exit_game::exit::contract::InclusionProof as ShownInclusion;
use plasmid_exit_game::fault::{Creation, ShownCoin};
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::wire::{Answer, BlockChoice, Unspent, UnspentQuery};
use plasmid_root_chain::calls::InclusionProof;
use plasmid_root_chain::node::Call;
use plasmid_root_chain::sender::SendError;
use serde_json::Value;

use crate::people::{Coin, Person, Signed};
use crate::world::{PERIODS, World, binary, deposit_of, eventually};

/// A coin and what shows how it was made.
pub type Made = (OutputId, ShownCoin);

/// Returns what shows a deposit.
#[must_use]
pub fn made_by_deposit(coin: &Coin) -> Made {
    let fields = Bytes::copy_from_slice(&coin.output.deposit_fields());
    let creation = Creation { fields, index: deposit_of(coin).nonce };
    (coin.id, ShownCoin { creation, inclusion: ShownInclusion::NONE })
}

/// Returns what shows output `index` of a transaction that is in a block.
#[must_use]
pub fn made_by_transaction(creation: &Signed, index: u8, inclusion: InclusionProof) -> Made {
    let InclusionProof { header, tx_index, witness_hash, path } = inclusion;
    let inclusion = ShownInclusion { header, index: tx_index.get(), witness_hash, path };
    let fields = creation.body.encode().into();
    let id = OutputId::of_output(creation.body.hash(), index);
    (id, ShownCoin { creation: Creation { fields, index: u64::from(index) }, inclusion })
}

impl World {
    /// Waits until the chain is halted from a block on.
    pub async fn until_halted(&self, from: BlockNumber) {
        eventually("the chain is halted", async || {
            (self.root.child_chain().await.ok()?.halted_from == Some(from)).then_some(())
        })
        .await;
    }

    /// Returns since when the chain has ended.
    ///
    /// # Panics
    ///
    /// If it goes on.
    pub async fn ended_at(&self) -> u64 {
        let chain = self.root.child_chain().await.expect("the root chain answers");
        chain.halted_at.max(chain.closed_at).expect("it has ended")
    }

    /// Moves time forward to when coins are withdrawn.
    pub async fn until_settling(&self) {
        self.move_time_to(PERIODS.start_of_settlement(self.ended_at().await)).await;
    }

    /// Returns the calls that withdraw these coins, with the watcher's proofs that the tree of the last good block holds them.
    ///
    /// # Panics
    ///
    /// If the watcher shows no proof of one.
    pub async fn withdrawals(&self, last: BlockNumber, coins: &[Made]) -> Vec<Call> {
        let ids = coins.iter().map(|(id, _)| *id).collect();
        let query = UnspentQuery { block: BlockChoice::Number(last), ids };
        let answers = self.watcher().unspent_many(&query).await.expect("the watcher answers");
        assert_eq!(answers.len(), coins.len());
        let call = |(answer, (_, coin)): (Answer<Unspent>, &Made)| {
            let Unspent { header, proof, .. } = answer.into_result().expect("the tree holds it");
            self.root.withdraw_settled(&header.into(), &proof.encode(), coin)
        };
        answers.into_iter().zip(coins).map(call).collect()
    }

    /// Sends everybody's call at once.
    ///
    /// # Panics
    ///
    /// If one fails.
    pub async fn send_at_once(&self, calls: impl IntoIterator<Item = (&Person, Call)>) {
        let mut sending = Vec::new();
        for (person, call) in calls {
            let sender = self.sender(person).await;
            sending.push((person, call.clone(), tokio::spawn(async move { sender.send(&call).await })));
        }
        for (person, call, landing) in sending {
            let landed = landing.await.expect("a sender does not panic");
            let landed = landed.unwrap_or_else(|error| panic!("{}'s call fails: {error:?}", person.name));
            self.remember(person, &call, landed);
        }
    }

    /// Returns why the contract refuses a call.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn refusal(&self, person: &Person, call: &Call) -> String {
        match self.try_send(person, call).await {
            Err(SendError::Refused(revert)) => revert.name,
            other => panic!("{}'s call is not refused: {other:?}", person.name),
        }
    }

    /// Returns what `plasmid` says to somebody who knows a watcher's address and no operator's.
    ///
    /// # Panics
    ///
    /// If the command fails.
    #[must_use]
    pub fn command(&self, person: &Person, args: &[&str]) -> Value {
        let watcher = self.watcher();
        let environment = [
            ("PLASMID_L1_URL", self.anvil.url()),
            ("PLASMID_CONTRACT", &self.deployment.contract.to_string()),
            ("PLASMID_WATCHER_URL", watcher.url()),
            ("PLASMID_UNSAFE_PRIVATE_KEY", person.key),
        ];
        let mut command = Command::new(binary("plasmid"));
        command.env_clear().envs(environment).arg("--data-dir").arg(self.data_dir(person.name));
        let output = command.args(args).arg("--json").output().expect("plasmid starts; scripts/test builds it");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one object")
    }
}
