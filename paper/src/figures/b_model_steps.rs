//! Paper B's ablations with a real model at equal step length: the power of p, and which quantiles of p are trained on.

use crate::finetune::panels::{gain_axis, headlines, of_study};
use crate::finetune::{Quantity, SeedMean, Study};
use crate::picture::curve;
use crate::planned::Rate;
use crate::table::distinct;
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Panel, Series};

/// One ablation: arms along an axis.
pub(super) struct Ablation {
    id: &'static str,
    title: &'static str,
    source: &'static str,
    caption: &'static str,
    axis: &'static str,
    /// Curves: their names, and their arms with places on the axis; plain training has its own place.
    curves: &'static [(&'static str, &'static [(&'static str, f64)])],
    plain: f64,
}

pub(super) static POWERS: Ablation = Ablation {
    id: "b-model-powers",
    title: "From −log p over −p to −p¹⁰ with a real model",
    source: "B, figure 6: the family (1 − p^α)/α",
    caption: "Gain over −log *p* (α = 0) in the answers to the task, by the power α of (1 − *p*^α)/α, for the strong domain \
              with 30 % of the results wrong and for the weak one, whose answers count by their likeness to the right ones. At plain training's rate, the gradients on the labels' logits as large as its own. Mean over seeds \
              with Student's 95 % interval, paired, where there are several.",
    axis: "α",
    curves: &[(
        "(1 − p^α)/α",
        &[
            ("f-quarter", 0.25),
            ("f-half", 0.5),
            ("minus-p", 1.0),
            ("f-two", 2.0),
            ("f-five", 5.0),
            ("minus-p-10", 10.0),
        ],
    )],
    plain: 0.0,
};

pub(super) static QUANTILES: Ablation = Ablation {
    id: "b-model-quantiles",
    title: "Training on the more or the less probable tokens with a real model",
    source: "B, figure 5: thresholds by quantile",
    caption: "Gain over −log *p* on all tokens in the answers to the task, from −log *p* on the tokens whose probability is \
              above, or below, a threshold: that which this share of the tokens passes before training. The threshold \
              stays while probabilities move, and with them the share. For the strong domain with 30 % of the results \
              wrong and for the weak one, whose answers count by their likeness to the right ones. At plain training's \
              rate, the gradients on the labels' logits as large as its own. Mean over seeds with Student's 95 % interval, paired, where there are several.",
    axis: "share of the tokens before training",
    curves: &[
        (
            "the most probable",
            &[("top-10", 0.1), ("top-25", 0.25), ("top-50", 0.5), ("upper-75", 0.75), ("upper-90", 0.9)],
        ),
        ("the least probable", &[("low-10", 0.1), ("low-25", 0.25), ("low-50", 0.5)]),
    ],
    plain: 1.0,
};

impl crate::Figure for Ablation {
    fn about(&self) -> About {
        let Self { id, title, source, caption, .. } = *self;
        About { id, title, source, caption, ..of_study() }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &["probability", "equal steps"])?;
        let steps = study.work.plan.groups.iter().filter(|group| group.rate == Rate::Matched);
        let mut rows = Vec::new();
        for data in distinct(steps.flat_map(|group| group.data.clone())) {
            let arms: Vec<&str> =
                self.curves.iter().flat_map(|(_, arms)| arms.iter().map(|(arm, _)| *arm)).collect();
            rows.extend(study.rows(&data, &["mle"], Rate::Tuned, None)?);
            rows.extend(study.rows(&data, &arms, Rate::Matched, Some("mle"))?);
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<SeedMean> = table.rows()?;
        let rows = headlines(&rows)?;
        let mut panels: Vec<Panel> = Vec::new();
        for data in distinct(rows.iter().map(|row| row.data.as_str())) {
            let mut panel = Panel::new(data, Axis::linear(self.axis), gain_axis(Quantity::Right))
                .with(Series::horizontal(0.0));
            for (index, (name, arms)) in self.curves.iter().enumerate() {
                let at = |(arm, place): &(&str, f64)| {
                    let is = |row: &&&SeedMean| row.data == data && row.arm == *arm && row.versus.is_some();
                    rows.iter().find(is).map(|row| (*place, row.value, row.low, row.high))
                };
                let mut points: Vec<_> = arms.iter().filter_map(at).collect();
                points.push((self.plain, 0.0, 0.0, 0.0));
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                panel = panel.with_all(curve(points.into_iter(), index, name));
            }
            panels.push(panel);
        }
        Ok(Drawing::new(panels).columns(2))
    }
}
