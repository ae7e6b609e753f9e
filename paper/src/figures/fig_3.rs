//! Paper A, figure 3: what selection by different criteria, of tokens or of documents, gains over plain training.

use crate::claim::OURS;
use crate::study::claims::{self, measure, units};
use crate::study::corpus::OF_CHAT;
use crate::study::models::{SMALL_MODEL, each_model};
use crate::study::picture::{self, by_corpus};
use crate::study::{
    Arm, Contrast, Corpus, Criterion, Distribution, Gain, Granularity, Measure, Unit, compare,
};
use crate::table::distinct;
use crate::{About, Claim, Run, Table, Verdict};
use anyhow::Result;
use tokensieve_plot::{Drawing, Panel};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-3",
            title: "Training on the top quarter: by which criterion, of tokens or of documents",
            source: "A, figure 3",
            caption: "Gain over plain maximum likelihood from training on the quarter of the tokens, or of the \
                      documents, with the largest value of a criterion. Each panel names the measure: answers, loss \
                      on held-out text of the corpus trained on, and, for free-text replies, how often the reply is \
                      preferred. 95 % intervals.",
            protocol: "LoRA of rank 32 on all linear modules, one epoch, cosine schedule. Each step trains on the \
                       quarter of its batch that ranks highest. Entropy and loss are the model's own; RHO is its \
                       loss minus that of a model trained on clean rows held out from training; random is the \
                       control.\n\nMeasures are exact answers to generated word problems, overlap with Alpaca's \
                       answers (shared character n-grams, Dice), mean loss per response token of held-out text, and, \
                       in the profiles study and paper, answers to GSM8K. The mean is over the measures of the same \
                       kind as the training corpus. Gains are paired over questions and seeds.",
            deviations: &[
                claims::NO_JUDGE,
                "Generated word problems complement GSM8K, where a small model answers about 1 % correctly, so that \
                 objectives cannot differ.",
                compare::MEASURED_ELSEWHERE,
                SMALL_MODEL,
                OF_CHAT,
            ],
            columns: Gain::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&compare::rows_and_preferences(run, |study| {
            let arms = study.selections();
            let plain = arms.iter().map(|arm| (*arm, Arm::Mle));
            let units = arms.chunks(2).map(|pair| (pair[0], pair[1]));
            let rivals = rivals().into_iter().filter(|arm| arms.contains(arm)).map(|arm| (Arm::Masked, arm));
            plain.chain(units).chain(rivals).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Gain> = table.rows()?;
        rows.retain(|row| row.versus == Arm::Mle && row.distribution == Distribution::In);
        rows.retain(|row| row.measure == Measure::Mean || row.unit == Unit::Preference);
        let names = distinct(rows.iter().map(granularity));
        let panels = each_model(&rows, |row| &row.model, |rows| panels(rows, &names), Panel::of);
        Ok(Drawing::new(panels).columns(2))
    }

    fn subtitle(&self, table: &Table) -> Result<Option<&'static str>> {
        claims::subtitle(table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let declared = declared();
        let of_model = |rows: &[Gain]| {
            let mut claims = Vec::new();
            for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
                for unit in units(corpus) {
                    claims.extend(declared.iter().map(|claim| claim.tested("a-3", rows, corpus, *unit)));
                    claims.push(only_loss_gains(rows, corpus, *unit));
                }
            }
            claims
        };
        Ok(each_model(&table.rows()?, |row: &Gain| &row.model, of_model, Claim::of_model))
    }
}

/// What is claimed of every corpus, in every unit.
fn declared() -> Vec<Contrast> {
    let figure_3 = |corpus| claims::source("A, figure 3", corpus);
    let ours = |_| OURS;
    let mut all = Vec::new();
    for by in Criterion::ALL {
        let [tokens, documents] =
            [Granularity::Token, Granularity::Document].map(|of| Arm::selected(*by, of));
        let statement = match by {
            Criterion::Random => "random tokens do better than random documents".to_owned(),
            by => format!("selecting tokens by {by} does better than selecting documents by {by}"),
        };
        all.push(Contrast::better(
            format!("token-over-document-{by}"),
            figure_3,
            statement,
            tokens,
            &[documents],
        ));
    }
    all.push(Contrast::better(
        "loss-gains",
        figure_3,
        "training on the quarter of the tokens with the largest loss beats plain training",
        Arm::Masked,
        &[Arm::Mle],
    ));
    for by in Criterion::ALL.iter().filter(|by| **by != Criterion::Loss) {
        let chosen = if *by == Criterion::Random { "at random".to_owned() } else { format!("by {by}") };
        let statement =
            format!("training on a quarter of the tokens chosen {chosen} does worse than plain training");
        let arm = Arm::selected(*by, Granularity::Token);
        // The paper says that loss alone gains significantly: that the others lose is more.
        all.push(Contrast::better(format!("{by}-does-not"), ours, statement, arm, &[Arm::Mle]).worse());
    }
    all.push(Contrast::better(
        "loss-over-random",
        ours,
        "the quarter of the tokens with the largest loss teaches more than a random quarter",
        Arm::Masked,
        &[Arm::RandomTokens],
    ));
    all
}

/// The paper's claim that selection of tokens by loss is the only one that consistently beats plain training: it does, and that
/// of no other is sure.
fn only_loss_gains(rows: &[Gain], corpus: Corpus, unit: Unit) -> Claim {
    let beats = |arm: Arm| {
        // The paper says it of AlpacaEval.
        let source = |corpus| if corpus == Corpus::Alpaca { "A, section 4.2" } else { OURS };
        let statement =
            "the loss is the only criterion for a quarter of the tokens that beats plain training";
        Contrast::better("only-loss-gains", source, statement, arm, &[Arm::Mle])
            .tested("a-3", rows, corpus, unit)
    };
    let (loss, others) = (beats(Arm::Masked), rivals().into_iter().map(beats).collect::<Vec<_>>());
    let is = |claim: &Claim, verdict: Verdict| claim.verdict == verdict;
    let untested = |claim: &&Claim| matches!(claim.verdict, Verdict::NotTested(_));
    let verdict = if let Some(untested) = std::iter::once(&loss).chain(&others).find(untested) {
        untested.verdict.clone()
    } else if is(&loss, Verdict::DoesNotHold) || others.iter().any(|other| is(other, Verdict::Holds)) {
        Verdict::DoesNotHold
    } else if is(&loss, Verdict::Holds) {
        Verdict::Holds
    } else {
        Verdict::Undecided
    };
    let claim = loss.remarking("it fails, too, if the interval of any other criterion lies above zero");
    Claim { verdict, ..claim }
}

/// Selection of tokens by every other criterion than the loss.
fn rivals() -> Vec<Arm> {
    let others = Criterion::ALL.iter().filter(|by| **by != Criterion::Loss);
    others.map(|by| Arm::selected(*by, Granularity::Token)).collect()
}

/// What is gained by one model, corpus by corpus; `names` are those of the whole drawing.
fn panels(rows: &[Gain], names: &[&str]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for (corpus, rows) in by_corpus(rows) {
        for unit in [Unit::Share, Unit::Nats, Unit::Preference] {
            let here: Vec<&Gain> = rows.iter().copied().filter(|row| row.unit == unit).collect();
            let Some(first) = here.first() else { continue };
            let measure = measure(corpus, Distribution::In, unit);
            let title = match unit {
                Unit::Preference => format!("{corpus}: {measure} {}", first.judge()),
                _ => format!("{corpus}: {measure}"),
            };
            panels.push(picture::gains(&title, &here, unit, criterion, granularity, names));
        }
    }
    panels
}

/// The criterion that a row's arm selects by.
fn criterion(row: &Gain) -> &'static str {
    row.arm.selection().map_or(row.arm.name(), |(by, _)| by.name())
}

/// What it selects.
fn granularity(row: &Gain) -> &'static str {
    row.arm.selection().map_or(row.arm.name(), |(_, of)| of.name())
}
