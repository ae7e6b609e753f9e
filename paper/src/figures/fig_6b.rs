//! Paper A, figure 6B: on what share of all measures an objective beats plain training.

use super::fig_3;
use crate::claim::{Evidence, Expected, least};
use crate::finetune::panels::of_study;
use crate::finetune::{Quantity, Study, Term, comparison::TOO_FEW};
use crate::picture::{Mark, marks};
use crate::planned::contrast::over_seeds;
use crate::planned::{Rate, Stage};
use crate::table::distinct;
use crate::{About, Claim, Declared, Estimate, Run, Table, row};
use anyhow::Result;
use tokensieve_base::statistics::mean;
use tokensieve_plot::{Axis, Drawing, Series};

/// The figure.
pub(super) struct Figure;

const ID: &str = "a-6b";
/// The paper's own objective.
const BOTH: &str = "masked-distill";
/// All data together.
const ALL: &str = "all";

row! {
    /// On what share of the measures an objective won.
    struct Won {
        data: String = "what is trained on; `all`: the mean over them",
        arm: String = "the way of training",
        versus: String = "what it is compared with; not `mle`: its share against plain training minus that one's",
        measures: usize = "measures that are counted",
        seeds: usize = "number of seeds",
        share: f64 = "mean over seeds of the share of measures won, or of the difference of two shares",
        low: f64 = "lower end of Student's 95 % interval",
        high: f64 = "upper end",
    }
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "How often an objective beats plain training",
            source: "A, figure 6B",
            caption: "Share of all measures, in and out of distribution, on which an objective does better than plain \
                      maximum likelihood (a tie counts one half), by training data: right answers to the tasks, and the loss, at \
                      the temperature at which it is least, of held-out documents of these data and of others. Mean over seeds with Student's 95 % \
                      interval where there are several (rings: a single seed), drawn as far as shares go. The line at one \
                      half marks a draw.",
            columns: Won::columns(),
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &fig_3::GROUPS)?;
        let seeds = study.work.plan.seeds.of(Stage::Main);
        let arms = || [BOTH, "distill"].into_iter().chain(fig_3::ARMS.map(|(arm, ..)| arm));
        let mut rows = Vec::new();
        let mut won = Vec::new();
        for arm in arms() {
            let mut of_arm = Vec::new();
            for data in study.data() {
                let shares =
                    seeds.iter().map(|seed| share(&study, data, arm, *seed)).collect::<Result<Vec<_>>>()?;
                rows.extend(row(data, arm, "mle", &shares));
                of_arm.push(shares);
            }
            rows.extend(row(ALL, arm, "mle", &mean_over_data(&of_arm)));
            won.push((arm, of_arm));
        }
        let (_, both) = &won[0];
        for (arm, other) in &won[1..] {
            rows.extend(row(ALL, BOTH, arm, &mean_over_data(&minus(both, other))));
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Won> = table.rows()?;
        rows.retain(|row| row.versus == "mle" && row.data != ALL);
        let names = distinct(rows.iter().map(|row| row.data.as_str()));
        let all: Vec<Mark<'_>> = rows
            .iter()
            .map(|row| Mark { category: &row.arm, series: &row.data, estimate: as_share(row.estimate()) })
            .collect();
        // Marks at the ends are whole.
        let axis = Axis::linear("share of measures won").range(-0.02, 1.02).percent();
        let panel = marks("measures won against plain training", axis, &all, &names);
        Ok(Drawing::new([panel.with(Series::horizontal(0.5))]).columns(1).width(1040.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let mut rows: Vec<Won> = table.rows()?;
        rows.retain(|row| row.data == ALL && row.arm == BOTH);
        let untested = rows.is_empty() || rows.iter().any(|row| row.seeds < 2);
        let tested = |claim: &Declared<[Won]>| {
            if untested { claim.of(ID).not_tested(TOO_FEW) } else { claim.tested(ID, &rows) }
        };
        Ok(CLAIMS.iter().map(tested).collect())
    }
}

/// Share of measures won, and how many there are, by one seed, if it has the runs.
type Share = Option<(f64, usize)>;

fn share(study: &Study, data: &str, arm: &str, seed: u64) -> Result<Share> {
    let mut outcomes = study.work.plan.data(data)?.outcomes();
    outcomes.retain(|(set, of)| match of {
        Quantity::Right => true,
        Quantity::Fitted => set != "training",
        _ => false,
    });
    let won = outcomes.iter().map(|(set, of)| {
        let value = |arm: &str| {
            let (arm, data, set) = (arm.to_owned(), data.to_owned(), set.clone());
            study.outcomes.value(&Term { arm, data, rate: Rate::Tuned, set, minus: None, of: *of }, seed)
        };
        let (own, plain) = (value(arm)?, value("mle")?);
        let gain = if of.more_is_better() { own - plain } else { plain - own };
        Some(if gain > 0.0 {
            1.0
        } else if gain < 0.0 {
            0.0
        } else {
            0.5
        })
    });
    let won: Option<Vec<f64>> = won.collect();
    Ok(won.map(|won| (won.iter().sum::<f64>() / won.len() as f64, won.len())))
}

/// One arm's shares minus another's, data by data and seed by seed.
fn minus(own: &[Vec<Share>], other: &[Vec<Share>]) -> Vec<Vec<Share>> {
    let of_seed =
        |(own, other): (&Share, &Share)| own.zip(*other).map(|(own, other)| (own.0 - other.0, own.1));
    let of_data = |(own, other): (&Vec<Share>, &Vec<Share>)| own.iter().zip(other).map(of_seed).collect();
    own.iter().zip(other).map(of_data).collect()
}

/// Seed by seed the mean over the data on which any seed has a share; of seeds that lack some of them there is none: their
/// means would be of other data.
fn mean_over_data(of_data: &[Vec<Share>]) -> Vec<Share> {
    let seeds = of_data.first().map_or(0, Vec::len);
    let of_data: Vec<&Vec<Share>> =
        of_data.iter().filter(|shares| shares.iter().any(Option::is_some)).collect();
    let of_seed = |seed: usize| {
        let there = of_data.iter().map(|shares| shares[seed]).collect::<Option<Vec<(f64, usize)>>>()?;
        let measures = there.iter().map(|(_, measures)| measures).sum();
        let mean = mean(&there.iter().map(|(share, _)| *share).collect::<Vec<_>>())?;
        Some((mean, measures))
    };
    (0..seeds).map(of_seed).collect()
}

fn row(data: &str, arm: &str, versus: &str, shares: &[Share]) -> Option<Won> {
    let there: Vec<(f64, usize)> = shares.iter().flatten().copied().collect();
    let Estimate { value, low, high, n } =
        over_seeds(&there.iter().map(|(share, _)| *share).collect::<Vec<_>>())?;
    let measures = there.iter().map(|(_, measures)| *measures).max()?;
    let (data, arm, versus) = (data.to_owned(), arm.to_owned(), versus.to_owned());
    Some(Won { data, arm, versus, measures, seeds: n, share: value, low, high })
}

/// With its interval as far as a share goes.
fn as_share(Estimate { value, low, high, n }: Estimate) -> Estimate {
    Estimate { value, low: low.max(0.0), high: high.min(1.0), n }
}

impl Won {
    fn estimate(&self) -> Estimate {
        Estimate { value: self.share, low: self.low, high: self.high, n: self.seeds }
    }
}

/// Tested on the rows of masked training with distillation over all data.
const CLAIMS: [Declared<[Won]>; 2] = [
    Declared {
        id: "both-wins-most",
        source: "A, figure 6B",
        evidence: Evidence::Proxy,
        statement: "Masked training with distillation beats plain training on most measures.",
        test: "share of measures won, mean over data, against one half; Student's 95 % interval over seeds",
        expected: Expected::Above(0.5),
        effect: |rows| rows.iter().find(|row| row.versus == "mle").map(Won::estimate),
    },
    Declared {
        id: "both-highest",
        source: "A, figure 6B",
        evidence: Evidence::Proxy,
        statement: "Masked training with distillation beats plain training on more measures than any other objective does.",
        test: "its share of measures won minus that of each other objective, seed by seed; of these differences the least, in \
               value and in both ends of Student's 95 % interval, the upper ones corrected for their number (Bonferroni)",
        expected: Expected::Above(0.0),
        effect: |rows| least(rows.iter().filter(|row| row.versus != "mle").map(Won::estimate)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_over_data_is_of_seeds_that_have_all_of_them() {
        let (one, other) = (
            vec![Some((0.0, 2)), Some((0.5, 2)), Some((1.0, 2))],
            vec![Some((1.0, 3)), Some((0.5, 3)), None],
        );
        let none = vec![None; 3];
        assert_eq!(mean_over_data(&[one, other, none]), [Some((0.5, 5)), Some((0.5, 5)), None]);
    }
}
