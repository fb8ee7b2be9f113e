//! Which coins a payment spends: the oldest first, as few as suffice, merged beforehand where sixteen do not. §1.5.
//!
//! Old coins leave first in an exit (§4), so they are also the ones to hand on first: what stays behind is what the newest
//! blocks made and the owner can watch. Pure: the caller says which coins may be spent.

use alloy_primitives::Address;
use plasmid_exit_game::output::{Output, OutputId};
use plasmid_exit_game::position::Position;
use plasmid_exit_game::transaction::INPUTS_MAX;

/// A coin that may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spendable {
    pub(crate) id: OutputId,
    pub(crate) position: Position,
    pub(crate) output: Output,
}

/// What is to be paid: one output to somebody, and one to the operator if it asks a fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) asset: Address,
    pub(crate) amount: u128,
    /// The operator's fee, an output like any other.
    pub(crate) fee: Option<Output>,
}

/// What to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The payment itself.
    Pay(Spend),
    /// First these coins of one asset into one, which operators take without a fee; then plan again.
    Merge(Spend),
}

/// Inputs and outputs of a transaction that balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spend {
    pub(crate) inputs: Vec<OutputId>,
    pub(crate) outputs: Vec<Output>,
}

/// Plans a payment out of `coins`, which all belong to `payment.from`.
///
/// The outputs are, in this order: the payment, the fee, change.
///
/// # Errors
///
/// [`SelectionError`] if the coins do not suffice.
pub(crate) fn plan(coins: &[Spendable], payment: &Payment) -> Result<Plan, SelectionError> {
    let mut needs = vec![(payment.asset, payment.amount)];
    match payment.fee {
        Some(fee) if fee.asset == payment.asset => {
            needs[0].1 = fee.amount.checked_add(payment.amount).ok_or(SelectionError::Overflow)?;
        }
        Some(fee) => needs.push((fee.asset, fee.amount)),
        None => {}
    }

    let mut chosen = Vec::with_capacity(needs.len());
    for &(asset, needed) in &needs {
        chosen.push(oldest(coins, asset, needed)?);
    }
    if chosen.iter().map(Vec::len).sum::<usize>() > INPUTS_MAX {
        let longest = chosen.into_iter().max_by_key(Vec::len).expect("the paid asset at least");
        return merge(&longest[..longest.len().min(INPUTS_MAX)], payment.from).map(Plan::Merge);
    }

    let mut outputs = vec![Output { owner: payment.to, asset: payment.asset, amount: payment.amount }];
    outputs.extend(payment.fee);
    for (coins, &(asset, needed)) in chosen.iter().zip(&needs) {
        let change = sum(coins)?.checked_sub(needed).expect("enough coins were chosen");
        if change != 0 {
            outputs.push(Output { owner: payment.from, asset, amount: change });
        }
    }
    Ok(Plan::Pay(Spend { inputs: chosen.iter().flatten().map(|coin| coin.id).collect(), outputs }))
}

/// The oldest coins of `asset` that make up `needed`; if that takes more than one transaction may spend, the largest.
fn oldest(coins: &[Spendable], asset: Address, needed: u128) -> Result<Vec<Spendable>, SelectionError> {
    let mut candidates: Vec<_> = coins.iter().filter(|coin| coin.output.asset == asset).copied().collect();
    candidates.sort_unstable_by_key(|coin| coin.position);
    let by_age = first_that_suffice(&candidates, asset, needed)?;
    if by_age.len() < INPUTS_MAX {
        return Ok(by_age);
    }
    candidates.sort_by_key(|coin| core::cmp::Reverse(coin.output.amount));
    first_that_suffice(&candidates, asset, needed)
}

fn first_that_suffice(coins: &[Spendable], asset: Address, needed: u128) -> Result<Vec<Spendable>, SelectionError> {
    let mut total = 0u128;
    for (index, coin) in coins.iter().enumerate() {
        total = total.checked_add(coin.output.amount).ok_or(SelectionError::Overflow)?;
        if total >= needed {
            return Ok(coins[..=index].to_vec());
        }
    }
    Err(SelectionError::NotEnough { asset, available: total, needed })
}

fn merge(coins: &[Spendable], owner: Address) -> Result<Spend, SelectionError> {
    let output = Output { owner, asset: coins[0].output.asset, amount: sum(coins)? };
    Ok(Spend { inputs: coins.iter().map(|coin| coin.id).collect(), outputs: vec![output] })
}

fn sum(coins: &[Spendable]) -> Result<u128, SelectionError> {
    coins.iter().try_fold(0u128, |total, coin| total.checked_add(coin.output.amount)).ok_or(SelectionError::Overflow)
}

/// Why no coins can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectionError {
    #[error("{available} base units of {asset} can be spent, but {needed} are needed")]
    NotEnough { asset: Address, available: u128, needed: u128 },
    #[error("the coins add up to more than 128 bits")]
    Overflow,
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use plasmid_exit_game::output::ETHER;
    use plasmid_exit_game::transaction::Transaction;
    use proptest::prelude::*;

    use super::*;

    const TOKEN: Address = Address::repeat_byte(0x70);
    const ALICE: Address = Address::repeat_byte(0xa1);
    const BOB: Address = Address::repeat_byte(0xb0);
    const OPERATOR: Address = Address::repeat_byte(0x0f);

    fn coin(number: u8, asset: Address, amount: u128) -> Spendable {
        let position = Position::from_bits(u64::from(number) << 24).unwrap();
        Spendable { id: OutputId(B256::repeat_byte(number)), position, output: Output { owner: ALICE, asset, amount } }
    }

    fn payment(amount: u128) -> Payment {
        Payment { from: ALICE, to: BOB, asset: ETHER, amount, fee: None }
    }

    fn pays(plan: Result<Plan, SelectionError>) -> Spend {
        match plan {
            Ok(Plan::Pay(spend)) => spend,
            other => panic!("{other:?} is no payment"),
        }
    }

    #[test]
    fn the_oldest_coins_go_first_and_change_comes_back() {
        let coins = [coin(3, ETHER, 50), coin(1, ETHER, 30), coin(2, TOKEN, 99), coin(4, ETHER, 70)];
        let spend = pays(plan(&coins, &payment(60)));
        assert_eq!(spend.inputs, [coins[1].id, coins[0].id]);
        let out = |owner, amount| Output { owner, asset: ETHER, amount };
        assert_eq!(spend.outputs, [out(BOB, 60), out(ALICE, 20)]);
        assert_eq!(pays(plan(&coins, &payment(80))).outputs, [out(BOB, 80)], "no change of zero");
    }

    #[test]
    fn a_fee_is_paid_from_the_same_coins_or_from_another_asset() {
        let coins = [coin(1, ETHER, 30), coin(2, ETHER, 30), coin(3, TOKEN, 9)];
        let fee = |asset| Some(Output { owner: OPERATOR, asset, amount: 5 });
        let spend = pays(plan(&coins, &Payment { fee: fee(ETHER), ..payment(30) }));
        assert_eq!((spend.inputs.len(), spend.outputs[1].amount, spend.outputs[2].amount), (2, 5, 25));
        let spend = pays(plan(&coins, &Payment { fee: fee(TOKEN), ..payment(30) }));
        assert_eq!(spend.inputs, [coins[0].id, coins[2].id]);
        assert_eq!(spend.outputs[2], Output { owner: ALICE, asset: TOKEN, amount: 4 });
    }

    #[test]
    fn what_is_not_there_cannot_be_paid() {
        let coins = [coin(1, ETHER, 30)];
        let missing = SelectionError::NotEnough { asset: ETHER, available: 30, needed: 31 };
        assert_eq!(plan(&coins, &payment(31)), Err(missing));
        let rich = [coin(1, ETHER, u128::MAX), coin(2, ETHER, 1)];
        let fee = Some(Output { owner: OPERATOR, asset: ETHER, amount: 1 });
        assert_eq!(plan(&rich, &Payment { fee, ..payment(u128::MAX) }), Err(SelectionError::Overflow));
    }

    #[test]
    fn many_small_coins_give_way_to_large_ones_and_are_merged_otherwise() {
        let mut coins: Vec<_> = (1..=20).map(|number| coin(number, ETHER, 10)).collect();
        let Ok(Plan::Merge(spend)) = plan(&coins, &payment(170)) else { panic!("seventeen coins are needed") };
        assert_eq!((spend.inputs.len(), spend.outputs.len()), (16, 1));
        assert_eq!(spend.outputs[0], Output { owner: ALICE, asset: ETHER, amount: 160 });

        coins.push(coin(21, ETHER, 160));
        assert_eq!(pays(plan(&coins, &payment(170))).inputs.len(), 2, "the large coin spares the merge");
    }

    proptest! {
        #[test]
        fn a_plan_is_a_transaction_that_balances(
            amounts in prop::collection::vec((1..50u128, any::<bool>()), 1..60), amount in 1..900u128,
            fee in prop::option::of((1..40u128, any::<bool>())),
        ) {
            let asset = |is_ether| if is_ether { ETHER } else { TOKEN };
            let coins: Vec<_> =
                amounts.iter().zip(1u8..).map(|(&(amount, is_ether), i)| coin(i, asset(is_ether), amount)).collect();
            let fee = fee.map(|(amount, is_ether)| Output { owner: OPERATOR, asset: asset(is_ether), amount });
            let payment = Payment { fee, ..payment(amount) };
            let spend = match plan(&coins, &payment) {
                Ok(Plan::Pay(spend)) => {
                    prop_assert_eq!(spend.outputs[0], Output { owner: BOB, asset: ETHER, amount });
                    prop_assert!(fee.is_none_or(|fee| spend.outputs[1] == fee));
                    spend
                }
                Ok(Plan::Merge(spend)) => {
                    prop_assert!(spend.inputs.len() >= 2 && spend.outputs.len() == 1);
                    spend
                }
                Err(SelectionError::NotEnough { asset, available, needed }) => {
                    let held: u128 = coins.iter().filter(|coin| coin.output.asset == asset).map(|c| c.output.amount).sum();
                    prop_assert!(held == available && available < needed);
                    return Ok(());
                }
                Err(SelectionError::Overflow) => return Err(TestCaseError::fail("nothing overflows here")),
            };
            for asset in [ETHER, TOKEN] {
                let of = |outputs: &[Output]| outputs.iter().filter(|o| o.asset == asset).map(|o| o.amount).sum::<u128>();
                let inputs: Vec<_> = coins.iter().filter(|coin| spend.inputs.contains(&coin.id)).map(|c| c.output).collect();
                prop_assert_eq!(of(&inputs), of(&spend.outputs));
            }
            prop_assert!(Transaction::new(spend.inputs, spend.outputs, B256::ZERO).is_ok());
        }
    }
}
