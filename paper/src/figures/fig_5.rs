//! Paper A, figure 5: masked maximum likelihood, distillation, and both, on every measure.

use crate::claim::least;
use crate::study::claims::{self, INTERVAL, units};
use crate::study::corpus::OF_CHAT;
use crate::study::models::{SMALL_MODEL, each_model};
use crate::study::picture::{self, by_corpus};
use crate::study::{Arm, Contrast, Corpus, Distribution, Gain, Measure, Unit, compare};
use crate::table::distinct;
use crate::{About, Claim, Run, Table, Verdict};
use anyhow::Result;
use tokensieve_plot::{Drawing, Panel};

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-5",
            title: "Masking and distillation, in and out of distribution",
            source: "A, figure 5",
            caption: "Gain over plain maximum likelihood on every measure, one mark per objective; 95 % intervals. \
                      From left to right: answers, loss on held-out text, and, for free-text replies, how often the \
                      reply is preferred.",
            protocol: "For each corpus and seed four models are trained that differ in the objective only: plain \
                       maximum likelihood; masked (the quarter of each batch's tokens with the largest loss); \
                       distilled from the plain model; and the paper's combination: masked, with the other tokens \
                       distilled from the plain model. The plain model is an adapter on the same base.\n\nMeasures \
                       of the same kind as the training corpus count as in distribution, all others as out of \
                       distribution.",
            deviations: &[
                claims::NO_JUDGE,
                "Models are also trained on generated word problems, GSM8K and conversations, not only on Alpaca.",
                compare::MEASURED_ELSEWHERE,
                SMALL_MODEL,
                OF_CHAT,
            ],
            columns: Gain::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&compare::rows_and_preferences(run, |study| {
            let plain = study.objectives().into_iter().map(|arm| (arm, Arm::Mle));
            plain.chain([(Arm::MaskedDistill, Arm::Masked)]).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Gain> = table.rows()?;
        rows.retain(|row| row.versus == Arm::Mle);
        let names = distinct(rows.iter().map(|row| row.arm.label()));
        let panels = each_model(&rows, |row| &row.model, |rows| panels(rows, &names), Panel::of);
        Ok(Drawing::new(panels).columns(3).width(1060.0))
    }

    fn subtitle(&self, table: &Table) -> Result<Option<&'static str>> {
        claims::subtitle(table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let declared = at_home_and_abroad(|_| "A, figure 5", |_| "A, figure 5");
        let rows: Vec<Gain> = table.rows()?;
        let of_model = |rows: &[Gain]| tested(&declared, "a-5", rows, Corpus::Alpaca);
        let mut all = each_model(&rows, |row: &Gain| &row.model, of_model, Claim::of_model);
        all.push(on_every_model(&rows));
        Ok(all)
    }
}

/// What is gained by one model, corpus by corpus; `names` are those of the whole drawing.
fn panels(rows: &[Gain], names: &[&str]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for (corpus, rows) in by_corpus(rows) {
        for (unit, words) in [
            (Unit::Share, "right answers and overlap"),
            (Unit::Nats, "loss on held-out text"),
            (Unit::Preference, "replies preferred"),
        ] {
            let is = |row: &&&Gain| row.unit == unit && row.measure != Measure::Mean;
            let here: Vec<&Gain> = rows.iter().filter(is).copied().collect();
            if let Some(first) = here.first() {
                let by = if unit == Unit::Preference { first.judge() } else { "" };
                let title = format!("trained on {corpus}: {words} {by}");
                let outcome = |row: &Gain| row.measure.name();
                panels.push(picture::gains(&title, &here, unit, outcome, |row| row.arm.label(), names));
            }
        }
    }
    panels
}

/// The abstract's claim about architectures, which one model cannot test.
fn on_every_model(rows: &[Gain]) -> Claim {
    let claim = Claim::new(
        "a-5/several-architectures",
        "A, abstract",
        "Masked training with distillation gains in distribution on every one of several architectures.",
    );
    let models = distinct(rows.iter().map(|row| &row.model));
    if models.len() < 2 {
        return claim.not_tested("not tested at this scale: one model is trained");
    }
    let of_model = |model: &&String| {
        let own: Vec<Gain> = rows.iter().filter(|row| row.model == **model).cloned().collect();
        let both = Contrast::better("", |_| "", "", Arm::MaskedDistill, &[Arm::Mle]);
        both.tested("", &own, Corpus::Alpaca, Unit::Preference)
    };
    let all: Vec<Claim> = models.iter().map(of_model).collect();
    if let Some(untested) = all.iter().find(|one| matches!(one.verdict, Verdict::NotTested(_))) {
        return Claim { verdict: untested.verdict.clone(), ..claim };
    }
    claim.by(all[0].evidence).above(
        0.0,
        least(all.iter().filter_map(|one| one.estimate)),
        &format!(
            "replies preferred, Alpaca; of all models the least, in value and in both ends of the interval; {INTERVAL}"
        ),
    )
}

/// The paper's claims about masked training and its own objective on a corpus, except for masked training's gain in
/// distribution, which is figure 3's. `gain` is the source of the last, `others` that of all others.
pub(super) fn at_home_and_abroad(
    others: fn(Corpus) -> &'static str,
    gain: fn(Corpus) -> &'static str,
) -> [Contrast; 6] {
    let (masked, both) = (Arm::Masked, Arm::MaskedDistill);
    [
        Contrast::better(
            "masked-out",
            others,
            "masked training costs out of distribution",
            masked,
            &[Arm::Mle],
        )
        .worse()
        .measured(Distribution::Out),
        Contrast::better(
            "both-out",
            others,
            "masked training with distillation gains out of distribution",
            both,
            &[Arm::Mle],
        )
        .measured(Distribution::Out),
        Contrast::better(
            "distillation-helps-out",
            others,
            "adding distillation improves masked training out of distribution",
            both,
            &[masked],
        )
        .measured(Distribution::Out),
        // That something costs abroad or helps there is no trade of home for abroad: at home it may do the same.
        Contrast::better(
            "masked-out-beyond-in",
            others,
            "masked training loses more out of distribution than in distribution",
            masked,
            &[Arm::Mle],
        )
        .worse()
        .measured(Distribution::OutMinusIn),
        Contrast::better(
            "distillation-helps-out-beyond-in",
            others,
            "adding distillation improves masked training more out of distribution than in distribution",
            both,
            &[masked],
        )
        .measured(Distribution::OutMinusIn),
        Contrast::better(
            "both-in",
            gain,
            "masked training with distillation gains in distribution",
            both,
            &[Arm::Mle],
        ),
    ]
}

/// These claims tested on one corpus: abroad by answers and losses, at home by all that there is.
pub(super) fn tested(declared: &[Contrast], figure: &str, rows: &[Gain], corpus: Corpus) -> Vec<Claim> {
    let (home, abroad): (Vec<&Contrast>, Vec<&Contrast>) =
        declared.iter().partition(|claim| claim.place == Distribution::In);
    let in_units = |claims: &[&Contrast], units: &[Unit]| -> Vec<Claim> {
        let in_unit =
            |unit: &Unit| claims.iter().map(|claim| claim.tested(figure, rows, corpus, *unit)).collect();
        units.iter().flat_map(|unit| -> Vec<Claim> { in_unit(unit) }).collect()
    };
    [in_units(&abroad, &[Unit::Share, Unit::Nats]), in_units(&home, units(corpus))].concat()
}
