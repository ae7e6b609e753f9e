//! What a claim's `n` counts: seeds, documents, repetitions. An estimate does not say; its table does.

use crate::{Claim, Table};
use std::collections::BTreeSet;

/// Columns that count what an interval is over.
const COUNTS: [&str; 4] = ["seeds", "documents", "questions", "repetitions"];

/// The one thing of which the table has `n`: by a column that counts it, or as many values of `seed`. `None` where there
/// is no such thing, or more than one.
pub(crate) fn what(claim: &Claim, table: &Table) -> Option<&'static str> {
    let n = claim.estimate.filter(|estimate| estimate.n > 1)?.n;
    let fields = |name: &str| -> BTreeSet<&str> {
        let column = table.header().iter().position(|column| column == name);
        table.records().iter().filter_map(|row| Some(row.get(column?)?.as_str())).collect()
    };
    let text = n.to_string();
    let seeds = (fields("seed").len() == n).then_some("seeds");
    let mut found: BTreeSet<_> =
        COUNTS.into_iter().filter(|name| fields(name).contains(text.as_str())).collect();
    found.extend(seeds);
    if found.len() == 1 { found.pop_first() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::Recorded;
    use crate::{Estimate, figures};
    use anyhow::Result;

    fn of(n: usize, table: &str) -> Option<&'static str> {
        let estimate = Estimate { value: 1.0, low: 0.0, high: 2.0, n };
        let claim = Claim::new("x/y", "A", "s").above(0.0, estimate, "t");
        what(&claim, &Table::from_csv(table).expect("a table"))
    }

    #[test]
    fn one_column_says_what_was_counted_and_two_say_nothing() {
        assert_eq!(of(3, "seeds,questions\n3,24\n"), Some("seeds"));
        assert_eq!(of(24, "seeds,questions\n3,24\n"), Some("questions"));
        assert_eq!(of(2, "seed,value\n0,1\n1,1\n0,2\n"), Some("seeds"));
        assert_eq!(of(3, "seeds,documents\n3,3\n"), None);
        assert_eq!(of(5, "seeds,questions\n3,24\n"), None);
        assert_eq!(of(1, "seeds\n1\n"), None);
        assert_eq!(of(3, "value\n3\n"), None);
    }

    /// So it is with the recorded tables, but for a few that count nothing.
    #[test]
    fn recorded_claims_say_what_they_count() -> Result<()> {
        let [mut known, mut all] = [0, 0];
        for made in Recorded::load()?.figures(&figures::registry())? {
            for claim in made.claims.iter().filter(|claim| claim.estimate.is_some_and(|e| e.n > 1)) {
                known += usize::from(what(claim, &made.table).is_some());
                all += 1;
            }
        }
        assert!(10 * known > 9 * all && known > 0, "{known} of {all}");
        Ok(())
    }
}
