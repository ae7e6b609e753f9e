//! Paper A, figure 4, as numbers: what kinds of tokens masked training would select as it goes on.

use crate::lab::evaluation::Tallies;
use crate::study::corpus::OF_CHAT;
use crate::study::held_out::{self, HeldOut};
use crate::study::models::{SMALL_MODEL, each_model, short};
use crate::study::selection::{Kind, Share, shares};
use crate::study::{Better, Corpus, claims, compare, gain, level, scoring};
use crate::{About, Claim, Expected, Run, Table, columns};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tokensieve_base::statistics::Estimate;
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series};

/// The figure.
pub(super) struct Figure;

/// One kind of token after so many steps, in one training run or, without a seed, in all together.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KindAtStep {
    model: String,
    trained_on: Corpus,
    seed: Option<u64>,
    seeds: usize,
    step: u64,
    documents: usize,
    kind: Kind,
    selected_share: f64,
    selected_share_low: f64,
    selected_share_high: f64,
    change: Option<f64>,
    change_low: Option<f64>,
    change_high: Option<f64>,
    share_of_all: f64,
}

/// What a training run would select: before it, and at every checkpoint, by steps.
type Selections = Vec<(u64, Vec<Share>)>;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-4",
            title: "Which tokens are selected as training goes on",
            source: "A, figure 4",
            caption: "Share of each kind of token among the quarter of the response tokens with the largest loss, in \
                      held-out documents of the training corpus, before masked training and at its checkpoints. All \
                      seeds together, with 95 % intervals over documents and seeds. Dotted: the share of the kind \
                      among all tokens.",
            protocol: "The base model and every checkpoint of each masked run (selection of tokens by loss) score \
                       the same held-out documents, teacher-forced and without dropout: 32 documents, in the profile \
                       study 200. The objective itself selects the top quarter of all their response tokens. The \
                       text of a token decides its kind. Structural: punctuation, whitespace and the end of the \
                       turn; arithmetic: numbers and operators; words: beginnings and continuations. A kind that is \
                       rare among all tokens is also rare among the selected ones.\n\nA change is measured from \
                       before training, on the same documents. Documents and seeds are resampled together (1,000 \
                       times); the interval of a single seed is over documents alone.",
            deviations: &[
                "Shares over many documents; the paper shows one conversation.",
                "The top quarter of all scored tokens, not of the tokens of a training step.",
                SMALL_MODEL,
                OF_CHAT,
            ],
            columns: columns! {
                "model": "base model",
                "trained_on": "corpus of the training documents and of the held-out ones",
                "seed": "seed of the training run; empty: all runs together",
                "seeds": "number of training runs",
                "step": "optimizer steps before the scoring; 0 is the base model",
                "documents": "held-out documents",
                "kind": "structural, arithmetic, words or other",
                "selected_share": "share of the kind among the selected tokens",
                "selected_share_low": "lower end of the 95 % interval: bootstrap over documents (and seeds, where \
                                       there are several), never narrower than Student's over either",
                "selected_share_high": "its upper end",
                "change": "the share minus that before training; empty before it",
                "change_low": "lower end of its 95 % interval, paired",
                "change_high": "its upper end",
                "share_of_all": "the kind's share of all response tokens of the documents",
            },
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = compare::study(run);
        let mut rows = Vec::new();
        for model in study.scale.models {
            for corpus in held_out::corpora(&study, run.lab()) {
                let documents = HeldOut::new(&study, model, corpus, scoring::selected(run.profile));
                let runs: Vec<Selections> = (0..study.scale.seeds)
                    .map(|seed| documents.during(run, seed, shares))
                    .collect::<Result<_>>()?;
                let found = rows_of(&runs, corpus).with_context(|| format!("trained on {corpus}"))?;
                let named = |row| KindAtStep { model: short(model).into(), ..row };
                rows.extend(found.into_iter().map(named));
            }
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<KindAtStep> = table.rows()?;
        rows.retain(|row| row.seed.is_none());
        let panel = |rows: &[KindAtStep]| {
            let title = format!("trained on {}", rows[0].trained_on);
            let y = Axis::linear("share of the selected").percent();
            let mut panel = Panel::new(&title, Axis::linear("optimizer steps"), y);
            for (index, kind) in Kind::ALL.iter().enumerate() {
                let here: Vec<&KindAtStep> = rows.iter().filter(|row| row.kind == *kind).collect();
                // Student knows nothing of shares: no more than none and all of the tokens are possible.
                let [low, high] = [
                    |row: &KindAtStep| row.selected_share_low.max(0.0),
                    |row: &KindAtStep| row.selected_share_high.min(1.0),
                ];
                let band = here.iter().map(|row| (row.step as f64, low(row), high(row)));
                let line = here.iter().map(|row| (row.step as f64, row.selected_share));
                let of_all = here.iter().map(|row| (row.step as f64, row.share_of_all));
                let ink = Ink::Category(index);
                panel = panel
                    .with(Series::band(band).ink(ink))
                    .with(Series::line(of_all).ink(ink).dotted())
                    .with(Series::line(line).ink(ink).label(kind.name()));
            }
            panel
        };
        let panels =
            |rows: &[KindAtStep]| rows.chunk_by(|a, b| a.trained_on == b.trained_on).map(panel).collect();
        Ok(Drawing::new(each_model(&rows, |row| &row.model, panels, Panel::of)).columns(2))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        Ok(each_model(&table.rows()?, |row: &KindAtStep| &row.model, of_model, Claim::of_model))
    }
}

/// A claim about how a kind of token's share of the selected changes.
struct Changes {
    id: &'static str,
    statement: &'static str,
    kind: Kind,
    expected: Expected,
}

const CLAIMS: [Changes; 2] = [
    Changes {
        id: "structure-falls",
        statement: "structural tokens become rarer among the selected.",
        kind: Kind::Structural,
        expected: Expected::Below(0.0),
    },
    Changes {
        id: "arithmetic-rises",
        statement: "numbers and operators become more common among the selected.",
        kind: Kind::Arithmetic,
        expected: Expected::Above(0.0),
    },
];

const TEST: &str = "share at the last checkpoint minus share before training, of the same held-out documents, paired; 95 % \
                    interval: bootstrap over documents and seeds, never narrower than Student's over either";

/// What is claimed of one model.
fn of_model(rows: &[KindAtStep]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
        claims.extend(CLAIMS.iter().map(|claim| claim.tested(rows, corpus)));
    }
    claims
}

impl Changes {
    fn tested(&self, rows: &[KindAtStep], corpus: Corpus) -> Claim {
        let question = format!("a-4/{}", self.id);
        let source = claims::source("A, figure 4", corpus);
        let claim =
            Claim::new(&format!("{question}-{corpus}"), source, &format!("{corpus}: {}", self.statement))
                .of_question(&question)
                .on_data(&corpus.set().into_iter().collect::<Vec<_>>());
        let of_all = rows.iter().filter(|row| row.trained_on == corpus && row.seed.is_none());
        let last = of_all.filter(|row| row.kind == self.kind).max_by_key(|row| row.step);
        match claims::untested(corpus, last.map(|row| row.seeds as u64)) {
            Some(reason) => claim.not_tested(&reason),
            None => claim.expecting(self.expected, last.and_then(change), TEST),
        }
    }
}

fn change(row: &KindAtStep) -> Option<Estimate> {
    let ((value, low), high) = row.change.zip(row.change_low).zip(row.change_high)?;
    Some(Estimate { value, low, high, n: row.seeds })
}

/// The rows of every run, then those of all together; the model is left to be named.
fn rows_of(runs: &[Selections], corpus: Corpus) -> Result<Vec<KindAtStep>> {
    let steps = |run: &Selections| run.iter().map(|(step, _)| *step).collect::<Vec<_>>();
    ensure!(runs.iter().all(|run| steps(run) == steps(&runs[0])), "the seeds have other checkpoints");
    let each = runs.chunks(1).zip(0..).map(|(run, seed)| (Some(seed), run));
    let mut rows = Vec::new();
    for (seed, runs) in each.chain([(None, runs)]) {
        for at in 0..runs[0].len() {
            for (index, kind) in Kind::ALL.iter().enumerate() {
                let shares = |at: usize| runs.iter().map(move |run| &run[at].1[index]);
                let selected = |at: usize| shares(at).map(|share| &share.selected).collect::<Vec<&Tallies>>();
                let of_all: Vec<&Tallies> = shares(at).map(|share| &share.of_all).collect();
                let share = level(&selected(at), "selected")?.estimate().context("nothing is selected")?;
                let change = if at == 0 {
                    None
                } else {
                    gain(&selected(at), &selected(0), Better::More, "selected")?.estimate()
                };
                rows.push(KindAtStep {
                    model: String::new(),
                    trained_on: corpus,
                    seed,
                    seeds: runs.len(),
                    step: runs[0][at].0,
                    documents: share.n,
                    kind: *kind,
                    selected_share: share.value,
                    selected_share_low: share.low,
                    selected_share_high: share.high,
                    change: change.map(|change| change.value),
                    change_low: change.map(|change| change.low),
                    change_high: change.map(|change| change.high),
                    share_of_all: of_all[0].value().context("no tokens")?,
                });
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of twelve documents with four selected tokens each, so many are structural and the rest arithmetic.
    fn share(structural: [f64; 12]) -> Vec<Share> {
        let tallies = |of: &dyn Fn(f64) -> f64| {
            Tallies::of(structural.iter().enumerate().map(|(row, count)| (row, [of(*count), 4.0])))
        };
        let both = |selected: Tallies| Share { of_all: tallies(&|_| 1.0), selected };
        [tallies(&|n| n), tallies(&|n| 4.0 - n), tallies(&|_| 0.0), tallies(&|_| 0.0)].map(both).to_vec()
    }

    #[test]
    fn changes_are_paired_over_documents_and_all_seeds_stand_beside_each() -> Result<()> {
        let before = [3.0, 1.0, 4.0, 1.0, 3.0, 2.0, 4.0, 1.0, 2.0, 3.0, 3.0, 4.0];
        let run = |fall: f64| -> Selections {
            vec![(0, share(before)), (8, share(before.map(|count| count - fall)))]
        };
        let rows = rows_of(&[run(0.5), run(1.0), run(0.75)], Corpus::Alpaca)?;
        assert_eq!(rows.len(), (3 + 1) * 2 * Kind::ALL.len());
        let find = |seed: Option<u64>, step: u64, kind: &str| {
            let row = rows.iter().find(|row| (row.seed, row.step, row.kind.name()) == (seed, step, kind));
            row.context("no such row")
        };
        // One token of four less on every document: pairing leaves no spread.
        let one = find(Some(1), 8, "structural")?;
        let Estimate { value, low, high, n } = change(one).context("changed")?;
        assert!([value, low, high].iter().all(|x| (x + 0.25).abs() < 1e-12) && n == 1, "{one:?}");
        assert!(one.selected_share_low < one.selected_share && one.selected_share < one.selected_share_high);
        assert!((one.share_of_all - 0.25).abs() < 1e-12);
        // Seeds that disagree widen the interval of all, as far as Student's interval over three does.
        let all = find(None, 8, "structural")?;
        let Estimate { value, low, high, n } = change(all).context("changed")?;
        assert!((value + 0.1875).abs() < 1e-12 && n == 3 && all.documents == 12, "{all:?}");
        let half = 4.302_653 * 0.0625 / 3_f64.sqrt();
        assert!((low - (value - half)).abs() < 1e-6 && (high - (value + half)).abs() < 1e-6, "{all:?}");
        let rise = change(find(None, 8, "arithmetic")?).context("changed")?;
        assert!((rise.value + value).abs() < 1e-12);
        assert!(change(find(None, 0, "structural")?).is_none());
        assert!(rows_of(&[run(0.5), vec![(0, share(before))]], Corpus::Alpaca).is_err());
        Ok(())
    }
}
