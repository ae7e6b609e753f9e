//! Paper A, appendix B.1: policy gradient, distillation and maximum likelihood where everything is known.

use crate::claim::{estimate, largest, least};
use crate::{About, Claim, Declared, Evidence, Expected, Run, Table, columns};
use anyhow::Result;
use std::collections::BTreeSet;
use tokensieve_base::statistics::Estimate;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series};
use tokensieve_toy::ordering::{self, Advantage, Answering, Objective, OrderingConfig, OrderingRow};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-b1",
            title: "Policy gradient, distillation, maximum likelihood",
            source: "A, appendix B.1",
            caption: "True reward of a student on fresh contexts against the number of contexts that it was trained \
                      on; mean of 32 teachers with its 95 % interval. Left: the advantage is the teacher's \
                      likelihood, so that policy gradient and distillation are the same objective. Middle: an oracle \
                      advantage that rewards the teacher's first choice. Right: a reward model that prefers the \
                      second choice in half of feature space, evaluated by the true reward. Above: answers are \
                      sampled. Below: the most probable answer is given.",
            protocol: "Teacher and student are linear softmax classifiers of 8 answers on 8 features (a constant and \
                       seven N(0, 1)); the teacher's logits have standard deviation 2. The student starts at zero \
                       and takes 200 full-batch gradient steps of rate 1 on Σ w(x) log p(x), averaged over its \
                       contexts.\n\nMaximum likelihood: w = 1 on one label per context, sampled from the teacher. \
                       Distillation: w = p_teacher. Policy gradient: w = A(x) over the whole vocabulary. In the \
                       first case A = p_teacher. In the other two A(x) = p(x)·(R(x) − E_p R) with R = 1 for the \
                       rewarded answer: the exact expectation of sampling answers from the student and weighting \
                       them by their advantage. All three objectives are the presets `mle`, `distill` and \
                       `policy-gradient`.\n\nThe true reward is the teacher's likelihood of the answer in the first \
                       case and 1 for the teacher's most probable answer in the others. It is measured on 1,000 \
                       fresh contexts. 32 seeds; training sets are nested.",
            deviations: &[
                "Appendix B.1 argues without an experiment: model, sizes, rewards and rates are ours.",
                "The flawed reward model is ours too: the paper warns of reward hacking without defining it.",
            ],
            columns: columns! {
                "advantage": "the advantage that the policy gradient uses",
                "answering": "sampled: Σ p(x) R(x); greedy: R of the most probable answer",
                "objective": "objective of the student",
                "contexts": "training contexts",
                "reward": "mean true reward over the seeds",
                "reward_low": "lower end of its 95 % interval (Student)",
                "reward_high": "upper end",
                "over_mle": "mean over the seeds of the reward minus maximum likelihood's",
                "over_mle_low": "lower end of its 95 % interval (Student)",
                "over_mle_high": "upper end",
                "over_distillation": "mean over the seeds of the reward minus distillation's",
                "over_distillation_low": "lower end of its 95 % interval (Student)",
                "over_distillation_high": "upper end",
                "seeds": "number of seeds",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let config = run.profile.pick(OrderingConfig::smoke(), OrderingConfig::default());
        Table::from_rows(&run.cached("rewards", &config, || ordering::run(&config))?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<OrderingRow> = table.rows()?;
        let contexts: BTreeSet<usize> = rows.iter().map(|row| row.contexts).collect();
        let cases = [
            (Advantage::Likelihood, "*A* = *p*_{teacher}"),
            (Advantage::Oracle, "oracle reward"),
            (Advantage::Fooled, "fooled reward model"),
        ];
        let mut panels = Vec::new();
        for (answering, how) in [(Answering::Sampled, "sampled"), (Answering::Greedy, "greedy")] {
            for (advantage, name) in cases {
                let ticks = contexts.iter().map(|n| (*n as f64, n.to_string()));
                let mut x = Axis::log("training contexts").ticks(ticks);
                let ticks = ["0", "0.25", "0.5", "0.75", "1"]
                    .into_iter()
                    .enumerate()
                    .map(|(n, tick)| (0.25 * n as f64, tick));
                let mut y = Axis::linear("true reward").range(0.0, 1.0).ticks(ticks);
                if answering == Answering::Sampled {
                    x = x.quiet();
                }
                if advantage != Advantage::Likelihood {
                    y = y.quiet();
                }
                let mut panel = Panel::new(&format!("{name}, {how}"), x, y);
                for (index, (objective, label)) in OBJECTIVES.into_iter().enumerate() {
                    let line = || {
                        rows.iter().filter(move |row| {
                            (row.advantage, row.answering, row.objective) == (advantage, answering, objective)
                        })
                    };
                    let ink = Ink::Category(INKS[index]);
                    let mean = Series::line(line().map(|row| (row.contexts as f64, row.reward)))
                        .ink(ink)
                        .label(label);
                    // Where two objectives are one, the dashes show both.
                    let mean = if objective == Objective::PolicyGradient { mean.dashed() } else { mean };
                    let band = line().map(|row| (row.contexts as f64, row.reward_low, row.reward_high));
                    panel = panel.with(Series::band(band).ink(ink)).with(mean);
                }
                panels.push(panel);
            }
        }
        Ok(Drawing::new(panels).columns(3).width(860.0).panel_height(190.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<OrderingRow> = table.rows()?;
        Ok(CLAIMS.iter().map(|claim| claim.tested("a-b1", rows.as_slice())).collect())
    }
}

const PAPER: &str = "A, appendix B.1";
const PAIRED: &str =
    "difference of true reward at 32 training contexts, paired by seed; mean, Student's 95 % interval";

const CLAIMS: [Declared<[OrderingRow]>; 7] = [
    Declared {
        id: "equivalence",
        source: PAPER,
        evidence: Evidence::Check,
        statement: "With A = p_teacher, policy gradient and distillation are equivalent.",
        test: "largest distance from zero of the interval of their rewards' difference, at any number of contexts",
        expected: Expected::Below(1e-9),
        effect: |rows| {
            let apart = find(rows, Advantage::Likelihood, Answering::Sampled, Objective::PolicyGradient)
                .map(|row| row.over_distillation_low.abs().max(row.over_distillation_high.abs()));
            largest(apart)
        },
    },
    Declared {
        id: "distillation-over-mle-sampled",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "Distillation is better than maximum likelihood (sampled answers).",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |rows| distilled(rows, Answering::Sampled),
    },
    Declared {
        id: "distillation-over-mle-greedy",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "Distillation is better than maximum likelihood (greedy answers).",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |rows| distilled(rows, Answering::Greedy),
    },
    Declared {
        id: "policy-over-distillation-sampled",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "With an oracle reward, policy gradient is better than distillation (sampled answers).",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |rows| policy(rows, Advantage::Oracle, Answering::Sampled),
    },
    Declared {
        id: "policy-over-distillation-always",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "With an oracle reward, policy gradient is better than distillation at every amount of data (sampled answers).",
        test: "difference of true reward at each number of contexts, paired by seed, the least over all numbers of contexts, in mean and in both ends of Student's 95 % interval, the upper ones corrected for how many numbers there are (Bonferroni)",
        expected: Expected::Above(0.0),
        effect: |rows| {
            let all = find(rows, Advantage::Oracle, Answering::Sampled, Objective::PolicyGradient);
            least(all.map(over_distillation))
        },
    },
    Declared {
        id: "policy-over-distillation-greedy",
        source: PAPER,
        evidence: Evidence::Paper,
        statement: "With an oracle reward, policy gradient is better than distillation (greedy answers).",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |rows| policy(rows, Advantage::Oracle, Answering::Greedy),
    },
    Declared {
        id: "fooled-reward-breaks-the-order",
        source: "ours, on A, appendix B.1",
        evidence: Evidence::Ours,
        statement: "With a flawed reward model, policy gradient falls below distillation (sampled answers).",
        test: PAIRED,
        expected: Expected::Below(0.0),
        effect: |rows| policy(rows, Advantage::Fooled, Answering::Sampled),
    },
];

fn find(
    rows: &[OrderingRow],
    advantage: Advantage,
    answering: Answering,
    objective: Objective,
) -> impl Iterator<Item = &OrderingRow> {
    rows.iter()
        .filter(move |row| (row.advantage, row.answering, row.objective) == (advantage, answering, objective))
}

/// Distillation over maximum likelihood where data are scarce.
fn distilled(rows: &[OrderingRow], answering: Answering) -> Option<Estimate> {
    let mut all = find(rows, Advantage::Oracle, answering, Objective::Distillation);
    all.find(|row| row.contexts == SCARCE).map(over_mle)
}

/// Policy gradient over distillation where data are scarce.
fn policy(rows: &[OrderingRow], advantage: Advantage, answering: Answering) -> Option<Estimate> {
    let mut all = find(rows, advantage, answering, Objective::PolicyGradient);
    all.find(|row| row.contexts == SCARCE).map(over_distillation)
}

/// Contexts at which objectives are compared: half as many as the student has weights, so data are scarce.
const SCARCE: usize = 32;

const OBJECTIVES: [(Objective, &str); 3] = [
    (Objective::Mle, "maximum likelihood"),
    (Objective::Distillation, "distillation"),
    (Objective::PolicyGradient, "policy gradient"),
];
const INKS: [usize; 3] = [2, 0, 1];

fn over_mle(row: &OrderingRow) -> Estimate {
    estimate([row.over_mle, row.over_mle_low, row.over_mle_high], row.seeds)
}

fn over_distillation(row: &OrderingRow) -> Estimate {
    estimate([row.over_distillation, row.over_distillation_low, row.over_distillation_high], row.seeds)
}
