//! Calls of in-flight exits.

use plasmid_exit_game::exit::contract::OpenExit;
use plasmid_exit_game::exit::in_flight::{OldestPlace, Piece, PieceSet};
use plasmid_exit_game::output::ETHER;
use rand::RngExt;

use super::{Choices, one_in, open_exits};
use crate::action::{Action, Label};
use crate::chain::{Signed, place_of};
use crate::evm::PERIODS;

impl Choices<'_> {
    pub(super) fn in_flight_exits(&mut self) {
        self.starts();
        let open: Vec<_> = open_exits(self.world).collect();
        let Some((tx, signed, exit)) = self.pick(&open) else {
            // Without an exit now and then a call that needs one.
            if let Some(&tx) = self.world.chain.transactions.keys().next() {
                let by = self.anybody();
                self.add(1, Action::Close { by, tx });
                self.add(1, Action::Respond { by, tx, place: 0 });
                self.add(1, Action::Piggyback { by, tx, pieces: 1, hint: 0, wei: 0 });
            }
            return;
        };
        let is_first_half = self.at < PERIODS.end_of_first_half(exit.start);
        self.improvements(tx, signed, exit, is_first_half);
        self.piggybacks(tx, exit, is_first_half);
        self.canonicity(tx, signed, exit, is_first_half);
        self.piece_challenges(tx, signed, exit);
        let by = self.anybody();
        let closable = exit.live_pieces.is_empty() && !is_first_half;
        self.add(if closable { 8 } else { 1 }, Action::Close { by, tx });
    }

    fn starts(&mut self) {
        let world = self.world;
        let is_startable = |signed: &Signed| {
            world.model.in_flight_exit(signed.tx_hash).is_none()
                && signed.inputs.iter().all(|&input| world.chain.places_of(input) != 0)
        };
        let startable: Vec<_> = world.chain.transactions.iter().filter(|(_, signed)| is_startable(signed)).collect();
        let all: Vec<_> = world.chain.transactions.iter().collect();
        let from = if startable.is_empty() || one_in(self.random, 12) { &all } else { &startable };
        let Some((&tx, signed)) = self.pick(from) else { return };
        let (by, wei) = (self.anybody(), self.wei());
        let places = signed.inputs.iter().map(|_| self.random.random()).collect();
        let weight = if startable.is_empty() { 2 } else { 14 };
        self.add(weight, Action::StartInFlight { by, tx, places, wei });
    }

    /// Shows other places of inputs, mostly older ones.
    fn improvements(&mut self, tx: Label, signed: &Signed, exit: &OpenExit, is_first_half: bool) {
        let chain = &self.world.chain;
        let older: Vec<(usize, u8)> = (0..)
            .zip(&signed.inputs)
            .zip(&exit.data.inputs)
            .filter_map(|((index, &coin), input)| {
                let places = (0..chain.places_of(coin)).filter_map(|place| u8::try_from(place).ok());
                places
                    .into_iter()
                    .find(|&place| chain.position(coin, place) < input.position)
                    .map(|place| (index, place))
            })
            .collect();
        let by = self.anybody();
        let hints = (0..self.random.random_range(0..6)).map(|_| self.hint(ETHER)).collect();
        if older.is_empty() || one_in(self.random, 6) {
            let inputs = signed.inputs.len() as u32;
            let which = self.random.random_range(0..1u32 << inputs);
            let places = (0..which.count_ones()).map(|_| self.random.random()).collect();
            self.add(1, Action::Improve { by, tx, which, places, hints });
            return;
        }
        let which = older.iter().fold(0, |which, (index, _)| which | 1 << index);
        let places = older.iter().map(|&(_, place)| place).collect();
        self.add(if is_first_half { 20 } else { 2 }, Action::Improve { by, tx, which, places, hints });
    }

    /// Claims what one owner has of one asset, or any pieces.
    fn piggybacks(&mut self, tx: Label, exit: &OpenExit, is_first_half: bool) {
        let pieces: Vec<Piece> = all_pieces(exit).filter(|&piece| !exit.live_pieces.has(piece)).collect();
        let any: Vec<Piece> = all_pieces(exit).collect();
        let from = if pieces.is_empty() || one_in(self.random, 12) { &any } else { &pieces };
        let Some((piece, (_, coin))) = self.pick(from).and_then(|piece| Some((piece, exit.coin(piece)?))) else {
            return;
        };
        let alike = from.iter().copied().filter(|&piece| {
            exit.coin(piece).is_some_and(|(_, other)| (other.owner, other.asset) == (coin.owner, coin.asset))
        });
        let mut set: PieceSet = if self.random.random() { alike.collect() } else { [piece].into_iter().collect() };
        if one_in(self.random, 25) {
            set = PieceSet::from_bits(set.bits() ^ 1 << self.random.random_range(0..18));
        }
        let (by, hint, wei) = (self.number(coin.owner), self.hint(coin.asset), self.wei());
        let weight = if is_first_half && !pieces.is_empty() { 24 } else { 1 };
        self.add(weight, Action::Piggyback { by, tx, pieces: set.bits(), hint, wei });
    }

    /// Shows competitors and answers them.
    fn canonicity(&mut self, tx: Label, signed: &Signed, exit: &OpenExit, is_first_half: bool) {
        let transactions = &self.world.chain.transactions;
        let shared = |other: &Signed| {
            let position = |id| signed.body.inputs().iter().position(|input| input == id);
            other.body.inputs().iter().find_map(position)
        };
        let competitors: Vec<_> = transactions
            .iter()
            .filter(|(_, other)| other.tx_hash != signed.tx_hash)
            .filter_map(|(&label, other)| Some((label, shared(other)? as u8, other)))
            .filter(|(_, _, other)| self.world.chain.owner_of_inputs(other) == Some(exit.data.owner))
            .collect();
        let (by, wei) = (self.anybody(), self.wei());
        if let Some((competitor, input, other)) = self.pick(&competitors) {
            let better: Vec<u8> = (0u8..)
                .zip(&other.places)
                .filter(|(_, place)| exit.oldest.is_bettered_by(place_of(place)))
                .map(|(place, _)| place)
                .collect();
            let place = if one_in(self.random, 5) { None } else { self.pick(&better) };
            let possible = is_first_half && (place.is_some() || exit.oldest == OldestPlace::Nobodys);
            let weight = if possible { 16 } else { 1 };
            self.add(weight, Action::ChallengeCanonicity { by, tx, input, competitor, place, wei });
        }
        if one_in(self.random, 4)
            && let Some(&competitor) = transactions.keys().next()
        {
            self.add(1, Action::ChallengeCanonicity { by, tx, input: 0, competitor, place: Some(0), wei });
        }
        let better: Vec<u8> = (0u8..)
            .zip(&signed.places)
            .filter(|(_, place)| exit.oldest.is_bettered_by(place_of(place)))
            .map(|(place, _)| place)
            .collect();
        let possible = exit.oldest != OldestPlace::Nobodys && !better.is_empty();
        let place = self.pick(&better).unwrap_or(0);
        self.add(if possible { 14 } else { 1 }, Action::Respond { by, tx, place });
    }

    /// Shows spends of live pieces.
    fn piece_challenges(&mut self, tx: Label, signed: &Signed, exit: &OpenExit) {
        let live: Vec<Piece> = exit.live_pieces.iter().collect();
        let by = self.anybody();
        let Some((piece, (id, _))) = self.pick(&live).and_then(|piece| Some((piece, exit.coin(piece)?))) else {
            if one_in(self.random, 4) {
                self.add(1, Action::ChallengePiece { by, tx, piece: 0, spend: tx, place: 0 });
            }
            return;
        };
        let spends: Vec<_> = self
            .world
            .chain
            .transactions
            .iter()
            .filter(|(_, other)| other.body.inputs().contains(&id))
            .map(|(&label, other)| (label, other))
            .collect();
        let Some((spend, other)) = self.pick(&spends) else { return };
        let included = match piece {
            Piece::Input(_) => other,
            Piece::Output(_) => signed,
        };
        let (place, weight) = (self.random.random(), if included.places.is_empty() { 1 } else { 10 });
        self.add(weight, Action::ChallengePiece { by, tx, piece: piece.number(), spend, place });
    }
}

fn all_pieces(exit: &OpenExit) -> impl Iterator<Item = Piece> {
    (0..32).filter_map(Piece::new).filter(|&piece| exit.coin(piece).is_some())
}
