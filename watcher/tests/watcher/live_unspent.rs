//! Wrong unspent roots and false claims, with the program as the only watcher, on a real root chain. §3 (R8, R9), §7.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::fault::{Creation, ShownCoin};
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_exit_game::utxo_tree::UtxoTree;
use plasmid_harness::world::PERIODS;
use plasmid_node::wire::List;
use plasmid_watcher::alarms::AlarmKind;
use plasmid_watcher::api::{Obligation, ObligationAct};
use tempfile::TempDir;

use crate::child_chain::{Coin, deposit_coin, made, pay};
use crate::live::{FINNEY, Live};
use crate::live_faults::no_act_fails;
use crate::program::Watcher;

impl Live {
    /// Block 2, in which bob pays himself his 60, has the tree that this makes of the good one.
    async fn commit_spoilt(
        &mut self,
        bobs: &Coin,
        spoil: impl FnOnce(&UtxoTree, &Coin) -> UtxoTree,
    ) -> (Header, UtxoTree, Coin) {
        let payment = pay(self.chain.domain(), &self.bob, &[*bobs], vec![self.bob.owns(60 * FINNEY)]);
        let last = made(&payment, 2, 0)[0];
        let built = self.chain.block(&[payment], &[]);
        let tree = spoil(self.chain.tree(), &last);
        (self.commit_and_serve(&built.over(&tree)).await, tree, last)
    }

    /// Waits for this watcher's claim, and until nobody can answer it any more.
    async fn until_claimed(&self) {
        let told = self.until_told(|told| !told.claimed.is_empty()).await;
        assert_eq!((told.claimed, told.proven), (vec![self.accuser()], vec![]));
        self.move_time(PERIODS.minimum_exit_period / 2).await;
    }

    /// Waits until block 2 is convicted by this watcher, by this rule.
    async fn until_convicted_by(&self, rule: u8) {
        let told = self.until_told(|told| !told.rewarded.is_empty()).await;
        assert_eq!((told.proven, told.rewarded), (vec![(2, rule, self.accuser())], vec![self.accuser()]));
    }

    /// Carol's watcher.
    fn second_watcher(&self, data: &TempDir) -> Watcher {
        let mut command = self.command_at(self.world.anvil.url(), data.path());
        command.args(["--finality-depth", "3", "--unsafe-private-key", self.world.people.carol.key]);
        Watcher::start(&mut command)
    }

    async fn balance(&self, account: Address) -> U256 {
        self.world.root.node().balance(ETHER, account).await.unwrap()
    }

    /// Carol claims that the tree of block 1 lacks a coin.
    async fn claim_falsely(&self, header: &Header, coin: &ShownCoin) {
        let carol = self.world.sender(&self.world.people.carol).await;
        let bond = self.world.deployment.bonds.missing_bond_wei;
        carol.send(&self.world.root.claim_missing(header, coin, bond)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coin_kept_after_it_was_spent_convicts_without_a_person() {
    let (mut live, coins) = Live::good().await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    live.commit_spoilt(&coins[0], |tree, _| tree.updated([(coins[0].position, Some(coins[0].value()))])).await;
    live.until_convicted_by(8).await;
    let alarm = watcher.until_alarm(|alarm| alarm.kind == AlarmKind::UnspentTree).await;
    assert_eq!(alarm.block, BlockNumber::new(2));
    watcher.until("halted", |status| status.halted).await;
    assert!(no_act_fails(&watcher.alarms().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_changed_convicts_once_a_server_shows_it() {
    let (mut live, coins) = Live::good().await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    // With another one left out, so that trying one coin is not enough.
    let changed = coins[1];
    let (header, tree, _) = live
        .commit_spoilt(&coins[0], |tree, last| {
            tree.updated([(changed.position, Some(coins[0].value())), (last.position, None)])
        })
        .await;
    live.bodies.show(changed.id, changed.shown_by(&tree, header).unwrap());
    watcher.until("seen", |status| status.block.committed.get() == 2).await;
    live.move_time(PERIODS.grace() + 1).await;
    live.until_convicted_by(8).await;
    assert!(live.told().await.claimed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coin_left_out_is_claimed_and_convicts_and_bond_and_reward_come_back() {
    let (mut live, coins) = Live::good().await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    let before = live.balance(live.accuser()).await;
    let (header, _, last) = live.commit_spoilt(&coins[0], |tree, last| tree.updated([(last.position, None)])).await;
    live.until_told(|told| !told.claimed.is_empty()).await;
    watcher.until_alarm(|alarm| alarm.kind == AlarmKind::UnspentTree).await;
    let obligations = format!("/v1/obligations?owner={}", live.accuser());
    let convict = loop {
        let obligations: List<Obligation> = watcher.get(&obligations).await;
        let mut convict = obligations.items.into_iter().filter(|owed| owed.act == ObligationAct::ConvictMissing);
        if let Some(convict) = convict.next() {
            break convict;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let end = PERIODS.end_of_convictions(header.timestamp);
    assert_eq!((convict.id, convict.before), (last.id, Some(end)));
    assert!(convict.from.unwrap() >= header.timestamp + PERIODS.minimum_exit_period / 2);

    live.until_claimed().await;
    live.until_convicted_by(9).await;
    watcher.until("halted", |status| status.halted).await;
    assert!(live.balance(live.accuser()).await > before, "the reward is worth more than the gas");
    assert!(no_act_fails(&watcher.alarms().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_for_a_root_convicts_even_if_the_watcher_is_killed_between_claim_and_conviction() {
    let (mut live, coins) = Live::good().await;
    let garbage = |_: &UtxoTree, _: &Coin| UtxoTree::default().updated([(coins[0].position, Some([7; 32].into()))]);
    live.commit_spoilt(&coins[0], garbage).await;
    live.move_time(PERIODS.grace() + 1).await;
    let key = live.world.people.watcher.key;
    let killed = async |live: &Live, point: &str| {
        let mut command = live.command();
        command.args(["--unsafe-private-key", key]).env("PLASMID_KILL_AT", point);
        Watcher::start(&mut command).until_ended().await;
    };
    killed(&live, "missing-claimed").await;
    live.until_claimed().await;
    killed(&live, "act-decided").await;
    let watcher = live.watcher();
    live.until_convicted_by(9).await;
    watcher.until("halted", |status| status.halted).await;
    assert_eq!(live.told().await.claimed.len(), 1, "the same coin, claimed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn false_claims_against_a_good_block_are_answered_and_their_bonds_won() {
    let mut live = Live::start().await;
    let deposit = live.deposit(100 * FINNEY).await;
    let payment: PlacedTransaction = live.first_payment(&deposit);
    let built = live.chain.block(std::slice::from_ref(&payment), &[deposit]);
    let header = live.commit_and_serve(&built).await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    let before = live.balance(live.accuser()).await;

    // One coin that the tree holds, and one that was spent.
    let witness_hash = keccak256(payment.witness.encode());
    let inclusion = InclusionProof { header, index: 0, witness_hash, path: Vec::new() };
    let held = ShownCoin { creation: Creation { fields: payment.body.encode().into(), index: 1 }, inclusion };
    let fields = deposit.output.deposit_fields().to_vec().into();
    let spent = ShownCoin { creation: Creation { fields, index: deposit.nonce }, inclusion: InclusionProof::NONE };
    for (claimed, coin) in [(1, &held), (2, &spent)] {
        live.claim_falsely(&header, coin).await;
        let told = live.until_told(|told| told.answered.len() == claimed).await;
        assert_eq!(told.answered, vec![live.accuser(); claimed]);
    }
    assert!(live.balance(live.accuser()).await > before, "a bond is worth more than the gas");
    live.move_time(PERIODS.minimum_exit_period).await;
    for position in [made(&payment, 1, 0)[1].position, deposit_coin(&deposit).position] {
        let carol = live.world.sender(&live.world.people.carol).await;
        carol.send(&live.world.root.convict_missing(&header, position.bits())).await.unwrap_err();
    }
    watcher.until("settled", |status| status.alarms == 0 && !status.halted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_another_conviction_leaves_without_an_object_gives_its_bond_back() {
    let (mut live, coins) = Live::good().await;
    let (data, watcher) = (tempfile::tempdir().unwrap(), live.watcher());
    watcher.until_verified(1).await;
    // With nobody to show what such a tree holds, the second one claims another coin than the first.
    let garbage = |_: &UtxoTree, _: &Coin| UtxoTree::default().updated([(coins[0].position, Some([7; 32].into()))]);
    live.commit_spoilt(&coins[0], garbage).await;
    watcher.until("seen", |status| status.block.committed.get() == 2).await;
    live.move_time(PERIODS.grace() + 1).await;
    live.until_told(|told| told.claimed.len() == 1).await;
    let second = live.second_watcher(&data);
    let told = live.until_told(|told| told.claimed.len() == 2).await;
    live.move_time(PERIODS.minimum_exit_period / 2).await;
    let ended = live.until_told(|told| !told.returned.is_empty()).await;
    assert_eq!(ended.proven.len(), 1, "{ended:?}");
    let both: BTreeSet<_> = ended.returned.iter().chain(&ended.rewarded).copied().collect();
    assert_eq!(both, told.claimed.into_iter().collect());
    for watcher in [&watcher, &second] {
        watcher.until("halted", |status| status.halted).await;
        assert!(no_act_fails(&watcher.alarms().await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_watchers_claim_once_and_convict_once() {
    let (mut live, coins) = Live::good().await;
    let (data, first) = (tempfile::tempdir().unwrap(), live.watcher());
    let second = live.second_watcher(&data);
    for watcher in [&first, &second] {
        watcher.until_verified(1).await;
    }
    live.commit_spoilt(&coins[0], |tree, last| tree.updated([(last.position, None)])).await;
    live.until_told(|told| !told.claimed.is_empty()).await;
    live.move_time(PERIODS.minimum_exit_period / 2).await;
    live.until_told(|told| !told.rewarded.is_empty()).await;
    for watcher in [&first, &second] {
        watcher.until("halted", |status| status.halted).await;
        assert!(no_act_fails(&watcher.alarms().await));
    }
    let told = live.told().await;
    assert_eq!((told.claimed.len(), told.proven.len(), told.rewarded), (1, 1, told.claimed));
}
