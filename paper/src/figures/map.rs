//! The map: who is right, by what is new, what nobody can know, and what is wrong; measured and predicted.

use crate::claim::{OURS, apart, estimate};
use crate::table::{ascending, distinct, same};
use crate::{About, Claim, Declared, Estimate, Evidence, Expected, Run, Table, columns};
use anyhow::Result;
use tokensieve_plot::{Anchor, Axis, Drawing, Ink, Panel, Series, Shape, Tile};
use tokensieve_toy::finetune::Step;
use tokensieve_toy::map::{self, AT_START, ELSEWHERE, MapConfig, MapRow, ON_THE_WAY, PLAIN};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "map",
            title: "Who is right, by what is new, what nobody can know, and what is wrong",
            source: "A (train on the hardest quarter) and B (give improbable tokens little weight) in one map; ours",
            caption: "A–C and D–F: what does best on held-out accuracy in a softmax model, by the share of facts that it \
                      does not know yet, the share of wrong labels, and the share of tokens that are free choices; \
                      above, wrong labels are any, below, they are nearly right. A place is coloured if the way of \
                      training that was best on eight seeds beats plain training on sixteen others (95 % interval), and \
                      *plain* otherwise. \
                      Small points and lines: what the first-order theory predicts to be best, without \
                      training any of them. G–L: the same by the divergence from the true distribution. M, N: gain \
                      over plain training, mean over the whole map, of each way of training everywhere (Q1: the \
                      quarter with the smallest probabilities; +d: rest distilled) and of three rules that choose one \
                      for each place: the best on other seeds, and what is predicted best at the start and on the \
                      way. O, P: predicted and measured gains, a point for each way of training in each place.",
            protocol: "A token is a fact (one right label among 32, by a linear rule on its features) or a free choice \
                       (one of eight labels, all equally probable; four kinds). The base learns facts and choices until \
                       its mean probability of a fact's label is 0.75; then a share of the rule is replaced. \
                       Fine-tuning: 64 documents of 16 tokens, 4 epochs of 8 steps. Wrong labels: any, or the runner-up \
                       of a fact and a label of another kind for a choice. Every arm starts from the same base and sees \
                       the same batches as plain −log *p*: one quarter of each batch's tokens by the label's probability \
                       with the rest left out or distilled from the plainly trained model, or all tokens under another \
                       f(p). Each step is as long as plain training's at the same weights (grad-norm); own: same rate. \
                       Both measures are exact on 1,024 held-out tokens, since the true distribution is known. \
                       Prediction: with the gradient of the measure on the held-out tokens, the first-order gain of an \
                       epoch's steps, at the weights that plain training has at the start of each epoch (for accuracy: of \
                       the mean probability of the right label). 24 worlds, each with its own base and data: eight say \
                       which arm is best in a place, sixteen measure.",
            deviations: &[
                "No published work has this map. World, sizes and rates are ours, and so are all its claims.",
                "The prediction knows the held-out tokens' true distribution; a user has labels drawn from it.",
            ],
            columns: columns! {
                "arm": "way of training, or rule that chooses one for each place",
                "choice": "what the rule chose for accuracy by other seeds; plain: nothing beats −log *p*",
                "choice_kl": "what it chose for the divergence",
                "step": "own: rate × gradient; grad-norm: as long as plain −log *p*'s step",
                "shift": "share of the facts' rule that is new; empty: mean over the whole map",
                "free_share": "share of tokens that are free choices",
                "noise_rate": "share of wrong labels in the training set",
                "noise": "uniform: any wrong label; confusable: one that is nearly right",
                "seeds": "number of seeds that measure",
                "headroom": "1 − the base's accuracy on facts",
                "accuracy_gain": "held-out accuracy on facts minus plain −log *p*'s, paired by seed",
                "accuracy_gain_low": "lower end of its 95 % interval",
                "accuracy_gain_high": "upper end",
                "kl_gain_nats" in "nats": "plain −log *p*'s divergence from the true distribution minus this one's: above 0 is better",
                "kl_gain_low_nats" in "nats": "lower end of its 95 % interval",
                "kl_gain_high_nats" in "nats": "upper end",
                "predicted_gain": "gain in the mean probability of facts' right labels to first order",
                "predicted_gain_low": "lower end of its 95 % interval",
                "predicted_kl_gain_nats" in "nats": "gain in divergence to first order",
                "predicted_kl_gain_low_nats" in "nats": "lower end of its 95 % interval",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let mut config = run.profile.pick(MapConfig::smoke(), MapConfig::default());
        config.world.domain = run.sized(config.world.domain);
        if run.synthetic_data() {
            // All kinds of choices together are no more than the labels.
            config.world.choices = 4;
        }
        let seeds = run.seeds(&config, config.seeds, map::seed)?;
        Table::from_rows(&map::summarise(&config, &seeds)?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let map = Map::new(table, EQUAL_STEPS)?;
        let mut panels = Vec::new();
        for measure in &MEASURES {
            for noise in &map.noises {
                panels.extend(map.free_shares.iter().map(|free| map.winners(measure, noise, *free)));
            }
        }
        panels.extend(MEASURES.iter().map(|measure| map.overall(measure)));
        panels.extend(MEASURES.iter().map(|measure| map.predictions(measure)));
        Ok(Drawing::new(panels).columns(map.free_shares.len()).width(1040.0).panel_height(190.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let map = Map::new(table, EQUAL_STEPS)?;
        let at_own_rate = Map::new(table, EQUAL_RATE)?.choosing("-own", "equal learning rate");
        let extremes = EXTREMES.iter().map(|claim| claim.tested("map", &map));
        Ok(extremes.chain(map.choosing("", "steps of equal length")).chain(at_own_rate).collect())
    }
}

/// As long as plain training's step: what the drawing shows.
const EQUAL_STEPS: Step = Step::GradNorm;
/// Plain training's learning rate, whatever length a step then has.
const EQUAL_RATE: Step = Step::Own;

/// A measure of what a model knows.
struct Measure {
    id: &'static str,
    name: &'static str,
    short: &'static str,
    axis: &'static str,
    gain: fn(&MapRow) -> Estimate,
    /// The predicted gain and the lower end of its interval.
    predicted: fn(&MapRow) -> Option<[f64; 2]>,
    choice: fn(&MapRow) -> Option<&str>,
}

const MEASURES: [Measure; 2] = [
    Measure {
        id: "accuracy",
        name: "held-out accuracy",
        short: "accuracy",
        axis: "accuracy over plain",
        gain: |row| estimate([row.accuracy_gain, row.accuracy_gain_low, row.accuracy_gain_high], row.seeds),
        predicted: |row| Some([row.predicted_gain?, row.predicted_gain_low?]),
        choice: |row| row.choice.as_deref(),
    },
    Measure {
        id: "divergence",
        name: "divergence from the truth",
        short: "divergence",
        axis: "divergence below plain, nats",
        gain: |row| estimate([row.kl_gain_nats, row.kl_gain_low_nats, row.kl_gain_high_nats], row.seeds),
        predicted: |row| Some([row.predicted_kl_gain_nats?, row.predicted_kl_gain_low_nats?]),
        choice: |row| row.choice_kl.as_deref(),
    },
];

const CHOOSING: [(&str, &str, &str); 3] = [
    ("elsewhere", ELSEWHERE, "what was best there on other seeds"),
    ("start", AT_START, "what is predicted best at the start"),
    ("way", ON_THE_WAY, "what is predicted best along plain training"),
];

const OVER_PLAIN: &str =
    "gain over plain training, mean over all places of the map, paired by seed; Student's 95 % interval";
const APART: &str = "the rule's mean gain minus that of the single way of training with the largest; their 95 % intervals \
                     are combined to the widest difference";

const PAIRED: &str = "held-out accuracy minus plain training's after steps of equal length, paired by seed; Student's 95 % \
                      interval";

const EXTREMES: [Declared<Map>; 4] = [
    Declared {
        id: "hardest-gains-on-news",
        source: "ours, on A, figure 3",
        evidence: Evidence::Ours,
        statement: "Clean labels, no free choices, most facts new: the lowest quarter, with the rest distilled, beats plain training (steps of equal length).",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |map| map.accuracy(DISTILLED, map.shifts.last(), 0.0, 0.0),
    },
    Declared {
        id: "free-choices-cost-the-hardest",
        source: "ours, on A, section 3",
        evidence: Evidence::Ours,
        statement: "Half free choices, most facts new, clean labels: the lowest quarter alone gains less than without free choices (steps of equal length).",
        test: "difference of the two gains in accuracy; their 95 % intervals are combined to the widest difference",
        expected: Expected::Below(0.0),
        effect: |map| {
            let at = |free| map.accuracy(LOWEST, map.shifts.last(), free, 0.0);
            Some(apart(at(*map.free_shares.last()?)?, at(0.0)?))
        },
    },
    Declared {
        id: "minus-p-gains-on-noise",
        source: "ours, on B, figure 1",
        evidence: Evidence::Ours,
        statement: "30 % wrong labels, hardly anything new: −*p* beats plain training (steps of equal length).",
        test: PAIRED,
        expected: Expected::Above(0.0),
        effect: |map| map.accuracy("-p", map.shifts.first(), 0.0, NOISE),
    },
    Declared {
        id: "minus-p-loses-on-news",
        source: "ours, on B, figure 1",
        evidence: Evidence::Ours,
        statement: "Clean labels, most facts new: −*p* does worse than plain training (steps of equal length).",
        test: PAIRED,
        expected: Expected::Below(0.0),
        effect: |map| map.accuracy("-p", map.shifts.last(), 0.0, 0.0),
    },
];

const LOWEST: &str = "quarter 1";
const DISTILLED: &str = "quarter 1, rest distilled";
/// The share of wrong labels at which is asked.
const NOISE: f64 = 0.3;

/// Whose advice a way of training is; that of plain training is nobody's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Advice {
    Hardest,
    Improbable,
    OtherQuarter,
}

impl Advice {
    const ALL: [Self; 3] = [Self::Hardest, Self::Improbable, Self::OtherQuarter];

    fn of(arm: &str) -> Option<Self> {
        match arm {
            PLAIN => None,
            LOWEST | DISTILLED => Some(Self::Hardest),
            arm if arm.starts_with("quarter") => Some(Self::OtherQuarter),
            _ => Some(Self::Improbable),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hardest => "A: the hardest quarter (paper A)",
            Self::Improbable => "B: less weight on improbable labels (paper B)",
            Self::OtherQuarter => "C: another quarter",
        }
    }

    fn letter(self) -> &'static str {
        &self.name()[..1]
    }

    fn ink(self) -> Ink {
        match self {
            Self::Hardest => Ink::Category(1),
            Self::Improbable => Ink::Category(0),
            Self::OtherQuarter => Ink::Category(2),
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::Hardest => Shape::Square,
            Self::Improbable => Shape::Diamond,
            Self::OtherQuarter => Shape::Triangle,
        }
    }
}

/// The rows of steps of one kind, by their places.
struct Map {
    rows: Vec<MapRow>,
    shifts: Vec<f64>,
    free_shares: Vec<f64>,
    noise_rates: Vec<f64>,
    noises: Vec<String>,
}

impl Map {
    fn new(table: &Table, step: Step) -> Result<Self> {
        let rows: Vec<MapRow> = table.rows()?.into_iter().filter(|row: &MapRow| row.step == step).collect();
        Ok(Self {
            shifts: ascending(rows.iter().filter_map(|row| row.shift)),
            free_shares: ascending(rows.iter().filter_map(|row| row.free_share)),
            noise_rates: ascending(rows.iter().filter_map(|row| row.noise_rate)),
            noises: distinct(rows.iter().filter_map(|row| row.noise.clone())),
            rows,
        })
    }

    /// All rows of a place. Clean labels are of no kind.
    fn place(&self, shift: f64, free: f64, rate: f64, noise: &str) -> Vec<&MapRow> {
        let is = |value: Option<f64>, wanted| value.is_some_and(|value| same(value, wanted));
        let here = self.rows.iter().filter(|row| {
            is(row.shift, shift)
                && is(row.free_share, free)
                && is(row.noise_rate, rate)
                && (rate == 0.0 || row.noise.as_deref() == Some(noise))
        });
        here.collect()
    }

    /// An arm's gain in accuracy in a place where wrong labels are any.
    fn accuracy(&self, arm: &str, shift: Option<&f64>, free: f64, rate: f64) -> Option<Estimate> {
        let row = self.place(*shift?, free, rate, "uniform").into_iter().find(|row| row.arm == arm)?;
        Some((MEASURES[0].gain)(row))
    }

    /// An arm's or a rule's mean over the whole map.
    fn everywhere(&self, arm: &str) -> Option<&MapRow> {
        self.rows.iter().find(|row| row.shift.is_none() && row.arm == arm)
    }

    /// The gain of the best single way of training; `None` where that is plain training.
    fn best_single(&self, measure: &Measure) -> Option<Estimate> {
        let single = self.rows.iter().filter(|row| row.shift.is_none() && row.predicted_gain.is_some());
        let gains = single.map(measure.gain).filter(|gain| gain.value > 0.0);
        gains.max_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// Claims about rules that choose a way of training for each place.
    fn choosing(&self, suffix: &str, steps: &str) -> Vec<Claim> {
        let mut claims = Vec::new();
        for measure in &MEASURES {
            let Measure { id: measured, name, .. } = measure;
            let claim = |id: &str, statement: &str| {
                Claim::new(&format!("map/{id}"), OURS, statement).by(Evidence::Ours)
            };
            for (id, rule, words) in CHOOSING {
                let statement = format!(
                    "Over the whole map, choosing for each place {words} gains over plain training ({name}, {steps})."
                );
                let gain = self.everywhere(rule).map(measure.gain);
                claims.push(
                    claim(&format!("{id}-gains-{measured}{suffix}"), &statement).above(0.0, gain, OVER_PLAIN),
                );
            }
            // Where the best single way is plain training, the rule's gain over that was tested above.
            let Some(best) = self.best_single(measure) else { continue };
            let lead = self.everywhere(ON_THE_WAY).map(|row| apart((measure.gain)(row), best));
            let statement = format!(
                "Choosing by the prediction on the way gains more than any one way of training everywhere ({name}, {steps})."
            );
            let claim = claim(&format!("prediction-beats-one-{measured}{suffix}"), &statement);
            claims.push(claim.above(0.0, lead, APART));
        }
        claims
    }

    /// Whose advice is best in a place, as measured: the choice of other seeds, if it gains for sure.
    fn measured(&self, measure: &Measure, shift: f64, free: f64, rate: f64, noise: &str) -> Option<Advice> {
        let row = self.place(shift, free, rate, noise).into_iter().find(|row| row.arm == ELSEWHERE)?;
        ((measure.gain)(row).low > 0.0).then(|| (measure.choice)(row)).flatten().and_then(Advice::of)
    }

    /// Whose advice is predicted to be best in a place.
    fn predicted(&self, measure: &Measure, shift: f64, free: f64, rate: f64, noise: &str) -> Option<Advice> {
        let rows = self.place(shift, free, rate, noise).into_iter();
        let ([_, low], arm) = rows
            .filter_map(|row| Some(((measure.predicted)(row)?, &row.arm)))
            .max_by(|(a, _), (b, _)| a[0].total_cmp(&b[0]))?;
        (low > 0.0).then(|| Advice::of(arm)).flatten()
    }

    /// Whose advice does best by what is new and what is wrong; predicted boundaries over it.
    fn winners(&self, measure: &Measure, noise: &str, free: f64) -> Panel {
        let x = Axis::categories("share of facts that are new", self.shifts.iter().map(|s| percent(*s)));
        let y = Axis::categories("wrong labels", self.noise_rates.iter().map(|n| percent(*n)));
        let y = if same(free, self.free_shares[0]) { y } else { y.quiet() };
        let kind = if noise == "uniform" { "any" } else { "nearly right" };
        let title = format!("{}: {} free, wrong: {kind}", measure.short, percent(free));
        let mut panel = Panel::new(&title, x, y);
        let places: Vec<(usize, usize)> =
            (0..self.shifts.len()).flat_map(|x| (0..self.noise_rates.len()).map(move |y| (x, y))).collect();
        let edges = |at: usize| (at as f64 - 0.5, at as f64 + 0.5);
        let best: Vec<Option<Advice>> = places
            .iter()
            .map(|(x, y)| self.measured(measure, self.shifts[*x], free, self.noise_rates[*y], noise))
            .collect();
        for advice in Advice::ALL {
            let here = places.iter().zip(&best).filter(|(_, best)| **best == Some(advice));
            let tiles = here.map(|((x, y), _)| -> Tile { [edges(*x), edges(*y)] });
            panel = panel.with(Series::tiles(tiles).ink(advice.ink()).label(advice.name()));
        }
        panel = panel.with_all(places.iter().zip(&best).map(|((x, y), best)| {
            let (name, ink) = best.map_or(("plain", Ink::Muted), |advice| (advice.letter(), Ink::Strong));
            Series::text(*x as f64, *y as f64, name, Anchor::Middle).ink(ink)
        }));
        let predicted =
            |x: usize, y: usize| self.predicted(measure, self.shifts[x], free, self.noise_rates[y], noise);
        let (mut lines, mut points) = (Vec::new(), Vec::new());
        for (x, y) in places {
            let here = predicted(x, y);
            let (left, right) = edges(x);
            let (bottom, top) = edges(y);
            if let Some(advice) = here {
                points.push(Series::points([(x as f64 + 0.38, y as f64 - 0.3)]).ink(advice.ink()));
            }
            if x + 1 < self.shifts.len() && predicted(x + 1, y) != here {
                lines.push([(right, bottom), (right, top)]);
            }
            if y + 1 < self.noise_rates.len() && predicted(x, y + 1) != here {
                lines.push([(left, top), (right, top)]);
            }
        }
        let panel = panel.with_all(points);
        panel.with_all(
            lines
                .into_iter()
                .map(|line| Series::line(line).ink(Ink::Strong).stroke(2.5).label("predicted boundary")),
        )
    }

    /// Mean gains over the whole map.
    fn overall(&self, measure: &Measure) -> Panel {
        let rows: Vec<&MapRow> = self.rows.iter().filter(|row| row.shift.is_none()).collect();
        let x = Axis::categories("", rows.iter().map(|row| short(&row.arm)));
        let mut panel = Panel::new(&format!("everywhere: {}", measure.short), x, Axis::linear(measure.axis))
            .with(Series::horizontal(0.0));
        for (place, row) in rows.iter().enumerate() {
            let (gain, place) = ((measure.gain)(row), place as f64);
            let is_rule = row.predicted_gain.is_none();
            let (ink, shape) =
                if is_rule { (Ink::Category(3), Shape::Diamond) } else { (Ink::Muted, Shape::Circle) };
            panel = panel
                .with(Series::error_bars([(place, gain.low, gain.high)]).ink(ink))
                .with(Series::points([(place, gain.value)]).ink(ink).shape(shape));
        }
        panel
    }

    /// Predicted and measured gains.
    fn predictions(&self, measure: &Measure) -> Panel {
        let rows: Vec<&MapRow> = self.rows.iter().filter(|row| row.shift.is_some()).collect();
        let x = Axis::linear("predicted to first order");
        let mut panel = Panel::new(&format!("predicted: {}", measure.short), x, Axis::linear(measure.axis))
            .with(Series::horizontal(0.0))
            .with(Series::vertical(0.0));
        for advice in Advice::ALL {
            let of = rows.iter().filter(|row| Advice::of(&row.arm) == Some(advice));
            let points = of.filter_map(|row| Some(((measure.predicted)(row)?[0], (measure.gain)(row).value)));
            panel = panel.with(Series::points(points).ink(advice.ink()).shape(advice.shape()).size(2.0));
        }
        panel
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// The name of an arm on an axis.
fn short(arm: &str) -> String {
    arm.replace("quarter ", "Q")
        .replace(", rest distilled", "+d")
        .replace("-log p, p >= 0.2", "p ≥ 0.2")
        .replace("f_alpha(0.5)", "*f*_{1/2}")
        .replace("best on ", "")
        .replace("predicted ", "")
        .replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mean over the whole map; only single ways of training have a prediction.
    fn everywhere(arm: &str, gain: f64, predicted: Option<f64>) -> MapRow {
        MapRow {
            arm: arm.to_owned(),
            choice: None,
            choice_kl: None,
            step: EQUAL_STEPS,
            shift: None,
            free_share: None,
            noise_rate: None,
            noise: None,
            seeds: 16,
            headroom: 0.5,
            accuracy_gain: gain,
            accuracy_gain_low: gain - 0.1,
            accuracy_gain_high: gain + 0.1,
            kl_gain_nats: gain,
            kl_gain_low_nats: gain - 0.1,
            kl_gain_high_nats: gain + 0.1,
            predicted_gain: predicted,
            predicted_gain_low: predicted,
            predicted_kl_gain_nats: predicted,
            predicted_kl_gain_low_nats: predicted,
        }
    }

    #[test]
    fn a_gain_over_plain_training_is_tested_once() {
        let compared = |single: f64| {
            let rows = [everywhere("-p", single, Some(0.0)), everywhere(ON_THE_WAY, 0.5, None)];
            let map = Map::new(&Table::from_rows(&rows).unwrap(), EQUAL_STEPS).unwrap();
            let claims = map.choosing("", "steps of equal length");
            claims.iter().filter(|claim| claim.id.starts_with("map/prediction-beats-one")).count()
        };
        assert_eq!((compared(-0.2), compared(0.2)), (0, 2));
    }
}
