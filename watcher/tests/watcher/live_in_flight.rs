//! In-flight exits with the program as the only defender. The test plays the operator, and everybody who cheats. §6, §7.

use std::fs;
use std::time::{Duration, Instant};

use plasmid_exit_game::exit::in_flight::{Decision, InFlightData, OldestPlace, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::{Deposit, TxHash};
use plasmid_exit_game::transaction::PlacedTransaction;
use plasmid_root_chain::account::Account;
use plasmid_root_chain::calls::{InputProof, Spend};
use plasmid_root_chain::client::InFlightWord;

use crate::child_chain::{deposit_coin, made, pay};
use crate::live::{FINNEY, Live};
use crate::program::Watcher;
use crate::world::PERIODS;

impl Live {
    /// Starts a watcher that guards alice, and has no other account.
    fn guardian(&self) -> Watcher {
        let (keystores, password) = (self.data.path().join("keystore"), self.data.path().join("password"));
        if !keystores.exists() {
            fs::create_dir_all(&keystores).unwrap();
            fs::write(&password, "secret\n").unwrap();
            Account::from_hex(self.world.people.alice.key)
                .unwrap()
                .save_keystore(&keystores, "alice", "secret")
                .unwrap();
        }
        let mut command = self.command();
        Watcher::start(command.args(["--guard", "alice", "--password-file"]).arg(password))
    }

    /// Alice starts the exit of a payment over the deposit, and claims a piece.
    async fn start_in_flight(&self, payment: &PlacedTransaction, deposit: &Deposit, piece: Piece) -> InFlightData {
        let (people, bonds) = (&self.world.people, self.world.deployment.bonds);
        let alice = self.world.sender(&people.alice).await;
        let (payment, proofs) = (signed(payment), [InputProof::Deposit(*deposit)]);
        let call = self.world.root.start_in_flight_exit(&payment, &proofs, bonds.in_flight_bond_wei);
        let landed = alice.send(&call).await.unwrap();
        let [RootEvent::InFlight { step, .. }] = &self.world.events(&landed)[..] else { panic!("{landed:?}") };
        let InFlightStep::Started { data, .. } = &**step else { panic!("{step:?}") };
        let (pieces, bond) = (PieceSet::from_iter([piece]), bonds.of_pieces(1, 1).unwrap());
        let claim = self.world.root.piggyback(&payment.body, Some(data), pieces, 0, bond);
        let owner = match piece {
            Piece::Input(_) => alice,
            Piece::Output(_) => self.world.sender(&people.bob).await,
        };
        owner.send(&claim).await.unwrap();
        data.clone()
    }

    /// Waits until the contract's word of the exit is as wanted.
    async fn until_word(
        &self,
        tx_hash: TxHash,
        is_wanted: impl Fn(&Option<InFlightWord>) -> bool,
    ) -> Option<InFlightWord> {
        let started = Instant::now();
        loop {
            let word = self.world.root.in_flight_exit(tx_hash).await.unwrap();
            if is_wanted(&word) {
                return word;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{word:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn signed(payment: &PlacedTransaction) -> SignedTransaction {
    payment.clone().into()
}

fn pieces_of(word: &Option<InFlightWord>) -> PieceSet {
    word.as_ref().map_or(PieceSet::NONE, |word| word.live_pieces)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_payment_after_a_withheld_block_leaves_in_flight_and_is_paid() {
    let mut live = Live::start().await;
    let watcher = live.guardian();
    let (_, coins) = live.first_block().await;
    watcher.until_verified(1).await;

    // Block 2 is withheld; block 3 has alice's payment of 30 to bob and 10 to herself.
    let domain = *live.chain.domain();
    let hidden = pay(&domain, &live.bob, &coins[..1], vec![live.bob.owns(60 * FINNEY)]);
    let built = live.chain.block(&[hidden], &[]);
    live.commit(&built).await;
    let outputs = vec![live.bob.owns(30 * FINNEY), live.alice.owns(10 * FINNEY)];
    let payment = pay(&domain, &live.alice, &coins[1..], outputs);
    let tx_hash = payment.body.hash();
    let built = live.chain.block(std::slice::from_ref(&payment), &[]);
    live.commit_and_serve(&built).await;
    watcher.until("seen", |status| status.block.committed.get() == 3).await;
    assert_eq!(live.world.root.in_flight_exit(tx_hash).await.unwrap(), None);

    live.move_time(PERIODS.grace() + 1).await;
    let own = PieceSet::from_iter([Piece::Input(0), Piece::Output(1)]);
    let word = live.until_word(tx_hash, |word| pieces_of(word) == own).await.unwrap();
    watcher.kill();
    let watcher = live.guardian();

    let change = made(&payment, 3, 0)[1];
    live.move_time(word.key - live.world.now().await).await;
    live.until_word(tx_hash, Option::is_none).await;
    let paid = live.world.root.coin(change.id).await.unwrap();
    assert_eq!(paid.state, PERIODS.freeze_of_in_flight_output(word.key), "the change is paid, and the exit closed");
    let input = live.world.root.coin(coins[1].id).await.unwrap();
    assert_eq!(input.state, PERIODS.freeze_of_in_flight_input(word.start));
    assert!(watcher.alarms().await.iter().all(|alarm| alarm.block.is_some()), "no act failed for long");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_of_a_payment_whose_coin_was_spent_otherwise_ends_with_its_bonds_in_the_watchers_hands() {
    let mut live = Live::start().await;
    let watcher = live.watcher();
    let (deposit, _) = live.first_block().await;
    watcher.until_verified(1).await;

    // Alice has spent her deposit in block 1, and signs once more.
    let theft = pay(live.chain.domain(), &live.alice, &[deposit_coin(&deposit)], vec![live.alice.owns(100 * FINNEY)]);
    let tx_hash = theft.body.hash();
    live.start_in_flight(&theft, &deposit, Piece::Input(0)).await;
    watcher.kill();
    let watcher = live.watcher();
    let is_lost = |word: &Option<InFlightWord>| {
        word.as_ref().is_some_and(|word| word.live_pieces.is_empty() && word.oldest != OldestPlace::Nobodys)
    };
    let word = live.until_word(tx_hash, is_lost).await.unwrap();
    assert!(matches!(word.oldest, OldestPlace::Competitors(Some(place)) if place.block.get() == 1));
    assert_eq!(word.challenger, Some(live.world.people.watcher.address()));
    live.reorganise(2).await;
    live.until_word(tx_hash, is_lost).await;

    // What nobody answers is closed by who has a bond in it.
    live.move_time(word.key - live.world.now().await).await;
    live.until_word(tx_hash, Option::is_none).await;
    assert!(watcher.alarms().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_included_payment_is_defended_against_a_competitor_that_is_not() {
    let mut live = Live::start().await;
    let (deposit, coins) = live.first_block().await;
    let watcher = live.watcher();
    watcher.until_verified(1).await;
    let domain = *live.chain.domain();
    let payment = live.first_payment(&deposit);
    let tx_hash = payment.body.hash();
    let data = live.start_in_flight(&payment, &deposit, Piece::Output(0)).await;

    let theft = pay(&domain, &live.alice, &[deposit_coin(&deposit)], vec![live.alice.owns(100 * FINNEY)]);
    let competitor = Spend { transaction: signed(&theft), inclusion: None };
    let bond = live.world.deployment.bonds.in_flight_bond_wei;
    let challenge = live.world.root.challenge_not_canonical(tx_hash, &data, 0, &competitor, bond);
    live.world.send(&live.world.people.alice, &challenge).await;
    let is_answered = |word: &Option<InFlightWord>| {
        word.as_ref().is_some_and(|word| matches!(word.oldest, OldestPlace::Own(_)) && word.challenger.is_none())
    };
    live.until_word(tx_hash, is_answered).await;

    // Bob claims what he then spends: a signature and the payment's place take it from him.
    let spend = pay(&domain, &live.bob, &coins[..1], vec![live.alice.owns(60 * FINNEY)]);
    let built = live.chain.block(std::slice::from_ref(&spend), &[]);
    live.commit_and_serve(&built).await;
    live.until_word(tx_hash, |word| pieces_of(word).is_empty()).await;
    assert_eq!(live.world.root.in_flight_exit(tx_hash).await.unwrap().unwrap().decision, None::<Decision>);
}
