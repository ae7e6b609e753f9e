//! Paper A, figure 6A: gains in against gains out of the distribution trained on, of every objective.

use super::fig_3;
use crate::finetune::panels::{of_study, words};
use crate::finetune::{Plan, Quantity, SeedMean, Study};
use crate::planned::Rate;
use crate::table::distinct;
use crate::{About, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Shape};

/// The figure.
pub(super) struct Figure;

/// What has a colour: figure 5's objectives in their order there, then the other criteria.
const COLOURED: [&str; 6] = ["masked", "distill", "masked-distill", "entropy", "rho", "random"];

/// The paper's objectives, then selection by each criterion.
fn arms() -> Vec<&'static str> {
    ["masked-distill", "distill"].into_iter().chain(fig_3::ARMS.map(|(arm, ..)| arm)).collect()
}

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-6a",
            title: "Gains of every objective, in and out of distribution",
            source: "A, figure 6A",
            caption: "Gain over plain maximum likelihood in distribution (horizontal: answers, or held-out loss) and out \
                      of it (vertical: held-out loss of other data), one mark per objective, one panel per training \
                      data and measure. Losses are taken at the temperature at which they are least. Up and to the right \
                      is better. Rings: selection of documents, in the colour of the same selection of tokens (by loss: \
                      masked). Crosses: Student's 95 % intervals over seeds, where there are several. Figures 3 and 5 \
                      test what is claimed.",
            ..of_study()
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &fig_3::GROUPS)?;
        let mut rows = Vec::new();
        for data in study.data() {
            rows.extend(study.rows(data, &arms(), Rate::Tuned, Some("mle"))?);
        }
        rows.retain(|row| matches!(row.measure, Quantity::Right | Quantity::Fitted));
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<SeedMean> = table.rows()?;
        let plan = Plan::load()?;
        let mut panels: Vec<Panel> = Vec::new();
        for name in distinct(rows.iter().map(|row| row.data.as_str())) {
            let data = plan.data(name)?;
            let tasks = data.tasks.iter().map(|task| (task.as_str(), Quantity::Right));
            for (set, of) in tasks.chain([("test", Quantity::Fitted)]) {
                let find = |arm: &str, set: &str, of: Quantity| {
                    let is = |row: &&SeedMean| {
                        row.data == name && row.arm == arm && row.set == set && row.measure == of
                    };
                    rows.iter().find(is)
                };
                let Some(former) = data.former.first() else { continue };
                let mut panel: Option<Panel> = None;
                for arm in arms() {
                    let away = find(arm, former, Quantity::Fitted);
                    let Some((home, away)) = find(arm, set, of).zip(away) else { continue };
                    panel = Some(
                        panel
                            .unwrap_or_else(|| empty(home, away))
                            .with_all(cross(home, away, arm))
                            .with(point(home, away, arm)),
                    );
                }
                panels.extend(panel);
            }
        }
        Ok(Drawing::new(panels).columns(2).panel_height(260.0))
    }
}

/// The panel that two measures span.
fn empty(home: &SeedMean, away: &SeedMean) -> Panel {
    let across = format!("gain in distribution: {}", words(home));
    let across = if home.measure == Quantity::Right {
        Axis::linear(&format!("{across}, points")).points()
    } else {
        Axis::linear(&format!("{across}, nats per token"))
    };
    let up = Axis::linear(&format!("gain out of it: {}, nats per token", words(away)));
    Panel::new(&format!("trained on {}", home.data), across, up)
        .with(Series::horizontal(0.0))
        .with(Series::vertical(0.0))
}

/// An arm's colour and mark.
fn look(arm: &str) -> (Ink, Shape) {
    let of_documents = arm.strip_suffix("-documents");
    let of_tokens = of_documents.map_or(arm, |by| if by == "loss" { "masked" } else { by });
    let index = COLOURED.iter().position(|known| *known == of_tokens).unwrap_or(COLOURED.len());
    (Ink::Category(index), if of_documents.is_some() { Shape::Ring } else { Shape::of(index) })
}

fn point(home: &SeedMean, away: &SeedMean, arm: &str) -> Series {
    let (ink, shape) = look(arm);
    Series::points([(home.gain().value, away.gain().value)]).ink(ink).shape(shape).label(arm)
}

/// The intervals of both gains, through the point.
fn cross(home: &SeedMean, away: &SeedMean, arm: &str) -> [Series; 2] {
    let (ink, _) = look(arm);
    let (home, away) = (home.gain(), away.gain());
    let across = [(home.low, away.value), (home.high, away.value)];
    let up = [(home.value, away.low), (home.value, away.high)];
    [across, up].map(|ends| Series::line(ends).ink(ink).stroke(0.8))
}
