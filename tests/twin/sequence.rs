//! A sequence from its first step to a contract that holds nothing for anybody; and how a failing one is shortened.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plasmid_exit_game::exit::contract::OpenExit;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::action::{Action, Label, Step};
use crate::coverage::Coverage;
use crate::evm::{Evm, MEP, OPERATOR, PEOPLE};
use crate::generate::{self, open_claims, open_exits, pending};
use crate::world::{ASSETS, Disagreement, Taken, World};

/// Steps beside calls are at most so many times as many.
const STEPS_A_CALL: u32 = 4;
/// Records in one processing call at the end.
const RECORDS: usize = 6;

/// A sequence that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) steps: Vec<Step>,
    pub(crate) disagreement: Disagreement,
}

/// Plays a random sequence with so many calls.
///
/// # Errors
///
/// [`Failure`] with all steps up to the disagreement.
pub(crate) fn play(evm: &Evm, seed: u64, calls: u32) -> Result<Coverage, Failure> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new(evm);
    let mut steps = Vec::new();
    let mut made = 0;
    while made < calls && steps.len() < (calls * STEPS_A_CALL) as usize {
        let step = generate::next(&mut random, &world, steps.len() as Label);
        steps.push(step.clone());
        match take(&mut world, &step) {
            Ok(Taken::Aside) => {}
            Ok(Taken::Accepted | Taken::Refused) => made += 1,
            Err(disagreement) => return Err(Failure { steps, disagreement }),
        }
    }
    let coverage = world.coverage.clone();
    match drain(&mut world) {
        Ok(()) => Ok(coverage),
        Err(disagreement) => Err(Failure { steps, disagreement }),
    }
}

/// Plays these steps, and the end.
///
/// # Errors
///
/// [`Disagreement`] at the first step that shows one.
pub(crate) fn replay(evm: &Evm, steps: &[Step]) -> Result<(), Disagreement> {
    let mut world = World::new(evm);
    for step in steps {
        take(&mut world, step)?;
    }
    drain(&mut world)
}

/// Leaves out steps, many at first, as long as what is left fails, too.
pub(crate) fn shrink(evm: &Evm, failure: Failure) -> Failure {
    let Failure { mut steps, mut disagreement } = failure;
    let mut chunk = steps.len().div_ceil(2);
    while chunk != 0 {
        let mut at = 0;
        while at < steps.len() {
            let shorter = [&steps[..at], &steps[(at + chunk).min(steps.len())..]].concat();
            match replay(evm, &shorter) {
                Err(still) => (steps, disagreement) = (shorter, still),
                Ok(()) => at += chunk,
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    Failure { steps, disagreement }
}

/// Takes a step. A panic is a disagreement, too; the world is of no use after either.
fn take(world: &mut World, step: &Step) -> Result<Taken, Disagreement> {
    let panicked = |_| Err(Disagreement(format!("{step:?}: a panic")));
    catch_unwind(AssertUnwindSafe(|| world.take(step))).unwrap_or_else(panicked)
}

/// Long after, everything pending is processed, every exit closed, every claim returned and every credit claimed: nothing but what is owed is left.
fn drain(world: &mut World) -> Result<(), Disagreement> {
    let at = world.now + 10 * MEP;
    let mut id = 1 << 20;
    let mut take = |world: &mut World, action: Action| {
        id += 1;
        take(world, &Step { id, at, action, spoil: None })
    };
    for asset in 0..ASSETS {
        while let Some(due) = world.model.exit_keys(world.asset(asset)).and_then(|keys| keys.payable(at)) {
            let exits = pending(world).filter(|(_, record)| record.key == due).map(|(label, _)| label);
            let pieces = open_exits(world).filter(|(_, _, exit)| exit.key == due);
            let pieces = pieces.map(|(tx, _, exit): (_, _, &OpenExit)| (tx, exit.live_pieces.bits()));
            let (exits, pieces) = (exits.take(RECORDS).collect(), pieces.take(RECORDS).collect());
            let before = world.model.clone();
            take(world, Action::Process { by: OPERATOR, asset, exits, pieces })?;
            if world.model == before {
                return Err(Disagreement(format!("the list of asset {asset} does not drain")));
            }
        }
        take(world, Action::Process { by: OPERATOR, asset, exits: Vec::new(), pieces: Vec::new() })?;
        if world.model.exit_keys(world.asset(asset)).is_some_and(|keys| keys.head().is_some()) {
            return Err(Disagreement(format!("keys are left in the list of asset {asset}")));
        }
    }
    let open: Vec<Label> = open_exits(world).map(|(tx, _, _)| tx).collect();
    for tx in open {
        take(world, Action::Close { by: OPERATOR, tx })?;
    }
    if open_exits(world).next().is_some() {
        return Err(Disagreement("an exit cannot be closed".to_owned()));
    }
    let claims: Vec<Label> = open_claims(world).map(|(claim, ..)| claim).collect();
    for claim in claims {
        take(world, Action::ReclaimMissing { by: OPERATOR, claim })?;
    }
    if open_claims(world).next().is_some() {
        return Err(Disagreement("the bond of a claim does not return".to_owned()));
    }
    for who in 0..PEOPLE {
        take(world, Action::Behave { who, how: 0 })?;
        for token in 0..2 {
            take(world, Action::TokenBlocks { token, who, blocked: false })?;
        }
    }
    for token in 0..2 {
        take(world, Action::TokenBehave { token, how: 0 })?;
    }
    for (by, asset) in (0..=OPERATOR).flat_map(|by| (0..ASSETS).map(move |asset| (by, asset))) {
        let (account, address) = (world.account(by), world.asset(asset));
        let is_covered =
            world.model.claimable(account, address) <= world.money.held(address, world.account(OPERATOR + 1));
        if is_covered && !world.model.claimable(account, address).is_zero() {
            take(world, Action::Claim { by, asset, to: by })?;
            if !world.model.claimable(account, address).is_zero() {
                return Err(Disagreement(format!("the credit of account {by} in asset {asset} is not paid")));
            }
        }
    }
    Ok(())
}
