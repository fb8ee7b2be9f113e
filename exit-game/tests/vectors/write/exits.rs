//! The order of exits and the words that they are kept in. §4, §5.1.

use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::{CoinState, ExitRecord};
use plasmid_exit_game::output::OutputId;

use super::{integer, output, position, word};
use crate::row::Row;

/// Minimum exit periods around every rounding, a devnet's, seven days, and the longest.
const MINIMUM_EXIT_PERIODS: [u64; 14] = [1, 2, 7, 8, 9, 27, 28, 167, 168, 335, 600, 604_799, 604_800, (1 << 32) - 1];

fn of(minimum_exit_period: u64) -> Periods {
    Periods { minimum_exit_period, sunset: minimum_exit_period }
}

pub(crate) fn periods() -> Vec<Row> {
    let row = |mep: u64| {
        Row::default()
            .integer("minimumExitPeriod", mep)
            .integer("granularity", of(mep).granularity())
            .integer("freezeDelay", of(mep).freeze_delay())
            .integer("grace", of(mep).grace())
    };
    MINIMUM_EXIT_PERIODS.into_iter().map(row).collect()
}

/// `created` is 0 for a deposit.
pub(crate) fn exit_keys() -> Vec<Row> {
    let mut rows = Vec::new();
    for mep in MINIMUM_EXIT_PERIODS {
        let late = 1_750_000_000 + integer("start", &[mep]) % 1_000_000_000;
        for start in [late, late / 600 * 600, (1 << 39) + late] {
            let ages = [0, 1, mep - 1, mep, mep + 1, 3 * mep].map(|age| Some(start.saturating_sub(age).max(1)));
            for created in [None].into_iter().chain(ages) {
                let key = of(mep).exit_key(start, created);
                let row = Row::default()
                    .integer("minimumExitPeriod", mep)
                    .integer("start", start)
                    .integer("created", created.unwrap_or_default())
                    .integer("key", key)
                    .integer("freeze", of(mep).freeze_of_standard_exit(key));
                rows.push(row);
            }
        }
    }
    rows
}

/// Records, and the word of the coin that exits with each: `state` is 1 for a deposit.
pub(crate) fn exit_records() -> Vec<Row> {
    let row = |seed: u64| {
        let record = ExitRecord {
            output_id: OutputId(word("coin", &[seed])),
            position: position(seed),
            output: output(seed),
            key: 1_750_000_000 + integer("key", &[seed]) % 1_000_000_000,
        };
        let before = if record.position.is_deposit() { CoinState::DEPOSITED } else { CoinState::default() };
        let (exiting, is_assigned) = (before.with_exit(&record), seed.is_multiple_of(2));
        let coin = if is_assigned { exiting.with_assignment() } else { exiting };
        Row::default()
            .bytes("outputId", record.output_id.0)
            .integer("position", record.position.bits())
            .bytes("owner", record.output.owner)
            .bytes("asset", record.output.asset)
            .integer("amount", record.output.amount)
            .integer("key", record.key)
            .bytes("hash", record.hash())
            .flag("assigned", is_assigned)
            .integer("state", u8::from(record.position.is_deposit()))
            .bytes("word", coin.to_word().to_be_bytes::<32>())
    };
    (0..12).map(row).collect()
}
