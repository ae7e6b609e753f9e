//! Paper B's continuum with a real model: objectives against the mean probability of the tokens that are trained on.

use crate::claim::{Expected, OURS};
use crate::finetune::panels::{gain_axis, headlines, of_study};
use crate::finetune::{Comparison, Place, Quantity, SeedMean, Study};
use crate::lab::evaluation::replies;
use crate::picture::curve;
use crate::planned::Rate;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Panel, Series};

/// The figure.
pub(super) struct Figure;

const ID: &str = "b-model-continuum";
const GROUPS: [&str; 4] = ["probability", "middle", "weak", "less noise"];
/// Plain training is what they are compared with.
const ARMS: [&str; 7] =
    ["minus-p", "minus-p-10", "f-half", "log-one-minus-p", "threshold", "upper-90", "top-10"];
/// How many of them, from the first, are of the family (1 − p^α)/α.
const OF_THE_FAMILY: usize = 3;
/// Data by the share of wrong results, which the abscissa of the last panel is.
const NOISE: [(&str, f64); 3] = [("words", 0.0), ("words-wrong-10", 0.1), ("words-wrong-30", 0.3)];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: ID,
            title: "The model-capability continuum with a real model",
            source: "B, figure 1 and its tables, and its ablation of label noise",
            caption: "Gain over −log *p* in the answers to the task, against the mean probability that the model gives to \
                      the training data's target tokens before training: a cipher and FIGlet drawings (weak), GSM8K \
                      (middle), and word problems told anew to a model that solves them (strong), with right results, with \
                      wrong ones, and with several right ways to say it. Other panels: the strong domain against the share \
                      of wrong results, with sampled replies, as in the first panel, and with greedy ones. Answers \
                      are right or not, but for the cipher and the drawings, where hardly any is right: there it is \
                      their likeness to the right ones. Each objective at its own rate; mean over seeds with \
                      Student's 95 % interval, paired, where there are several. Solid: the family (1 − *p*^{α})/α; \
                      dashed: others, so that a solid curve below one is seen.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &GROUPS)?;
        let mut rows = Vec::new();
        for data in study.data() {
            rows.extend(study.rows(data, &["before", "mle"], Rate::Tuned, None)?);
            rows.extend(study.rows(data, &ARMS, Rate::Tuned, Some("mle"))?);
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<SeedMean> = table.rows()?;
        let before = |data: &str| {
            let is = |row: &&SeedMean| {
                row.data == data
                    && row.arm == "before"
                    && row.set == "training"
                    && row.measure == Quantity::Probability
            };
            rows.iter().find(is).map(|row| row.value)
        };
        let noise = |data: &str| NOISE.iter().find(|(name, _)| *name == data).map(|(_, share)| *share);
        let x = |title: &str| Axis::linear(title).range(0.0, 1.0);
        let continuum = panel(
            "by the model's knowledge",
            x("mean probability of the target tokens before training"),
            &headlines(&rows)?,
            before,
        );
        let of_noise = |title: &str, is_sampled: bool| {
            let is =
                |row: &&SeedMean| row.measure == Quantity::Right && (replies(&row.set) > 1) == is_sampled;
            let rows: Vec<&SeedMean> = rows.iter().filter(is).collect();
            panel(title, Axis::linear("share of wrong results").percent(), &rows, noise)
        };
        let panels = [
            continuum,
            of_noise("strong model, sampled replies", true),
            of_noise("strong model, greedy replies", false),
        ];
        Ok(Drawing::new(panels).columns(2).width(1040.0).panel_height(320.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<SeedMean> = table.rows()?;
        Comparison::all(ID, &CLAIMS, &rows)
    }
}

/// Each arm's gains over plain training, at the place of their data.
fn panel(title: &str, across: Axis, rows: &[&SeedMean], place: impl Fn(&str) -> Option<f64>) -> Panel {
    let mut panel = Panel::new(title, across, gain_axis(Quantity::Right)).with(Series::horizontal(0.0));
    for (index, arm) in ARMS.iter().enumerate() {
        let of_arm = rows.iter().filter(|row| row.arm == *arm && row.versus.is_some());
        let mut points: Vec<_> =
            of_arm.filter_map(|row| Some((place(&row.data)?, row.value, row.low, row.high))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !points.is_empty() {
            let [band, line, points] = curve(points.into_iter(), index, arm);
            // The family's curves show through those that lie on them.
            let line = if index < OF_THE_FAMILY { line } else { line.dashed() };
            panel = panel.with_all([band, line, points]);
        }
    }
    panel
}

const fn better(id: &'static str, statement: &'static str, arm: &'static str) -> Comparison {
    let (source, versus, place) = (OURS, "mle", Place::Home);
    Comparison { id, source, statement, arm, versus, place, expected: Expected::Above(0.0) }
}

/// Beside the primary claims.
const CLAIMS: [Comparison; 4] = [
    better("minus-p", "−p does better than −log p", "minus-p"),
    better("minus-p-10", "−p¹⁰ does better than −log p", "minus-p-10"),
    better("threshold", "leaving out tokens of p below 0.2 does better than −log p on all", "threshold"),
    better(
        "upper-90",
        "leaving out tokens of p below what a tenth of them has before training does better than −log p on all",
        "upper-90",
    ),
];
