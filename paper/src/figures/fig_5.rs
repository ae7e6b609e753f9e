//! Paper A, figure 5: masked maximum likelihood, distillation, and both, on every measure.

use crate::claim::{Measured, least};
use crate::lab::arm::Arm;
use crate::lab::corpus::{Corpus, OF_CHAT};
use crate::lab::gains::{self, ABROAD_MINUS_HOME, INTERVAL, PREFERENCE, Row, better, worse};
use crate::lab::models::each_model;
use crate::lab::picture;
use tokensieve_plot::{Drawing, Panel};
use crate::{About, Claim, Run, Table, Verdict};
use anyhow::Result;

/// The figure.
pub(super) struct Figure;

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-5",
            title: "Masking and distillation, at home and abroad (in a judge's place: overlap with references)",
            source: "A, figure 5",
            caption: "Gain over plain maximum likelihood on every measure, one mark per objective; 95 % intervals. \
                      First what the models answer, then the loss on held-out text, and where free text is answered how often \
                      the reply is preferred.",
            protocol: "Four models per corpus and seed, alike in everything but the objective: plain maximum likelihood; \
                       masked (the quarter of each batch's tokens with the largest loss); distilled from the plain one; and \
                       the paper's: masked, the other tokens distilled from the plain one. The plain model is an adapter on \
                       the same base.\n\nMeasures of the corpus trained on are in, all others out of distribution.",
            deviations: &[
                "No judge in all profiles but paper: in place of AlpacaEval's win rate stand overlap with the reference, how \
                 often a reply overlaps more than the plain model's (length-controlled, ties one half), and held-out loss.",
                "Trained on generated word problems, GSM8K and conversations beside Alpaca.",
                gains::MEASURED_ELSEWHERE,
                "SmolLM2-135M-Instruct in all profiles but paper.",
                OF_CHAT,
            ],
            columns: gains::columns(),
        }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&gains::rows_and_preferences(run, |study| {
            let plain = study.objectives().into_iter().map(|arm| (arm, Arm::mle()));
            plain.chain([(Arm::both(), Arm::masked())]).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Row> = table.rows()?;
        rows.retain(|row| row.versus == "mle");
        for row in &mut rows {
            row.arm = picture::called(&row.arm).into();
        }
        let names = picture::distinct(rows.iter().map(|row| row.arm.as_str()));
        let panels = each_model(&rows, |row| &row.model, |rows| panels(rows, &names), Panel::of);
        Ok(Drawing::new(panels).columns(3).width(1060.0))
    }

    fn title(&self, table: &Table) -> Result<&'static str> {
        gains::title(&self.about(), table)
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let claims = |rows: &[Row]| at_home_and_abroad(rows, "a-5", Corpus::Alpaca, |_| "A, figure 5");
        let rows: Vec<Row> = table.rows()?;
        let mut all = each_model(&rows, |row: &Row| &row.model, claims, Claim::of_model);
        all.push(on_every_model(&rows));
        Ok(all)
    }
}

/// What is gained by one model, corpus by corpus; `names` are those of the whole drawing.
fn panels(rows: &[Row], names: &[String]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for corpus in picture::distinct(rows.iter().map(|row| row.trained_on.as_str())) {
        for (unit, words) in [
            ("share", "right answers and overlap"),
            ("nats", "loss on held-out text"),
            (PREFERENCE, "replies preferred"),
        ] {
            let here: Vec<&Row> = rows
                .iter()
                .filter(|row| row.trained_on == corpus && row.unit == unit && row.outcome != "mean")
                .collect();
            if let Some(first) = here.first() {
                let by = if unit == PREFERENCE { gains::judge(first) } else { "" };
                let title = format!("trained on {corpus}: {words} {by}");
                panels.push(picture::gains(&title, &here, unit, |row| &row.outcome, |row| &row.arm, names));
            }
        }
    }
    panels
}

/// The abstract's claim about architectures, which one model cannot test.
fn on_every_model(rows: &[Row]) -> Claim {
    let claim = Claim::new(
        "a-5/several-architectures",
        "A, abstract",
        "Masked training with distillation gains in distribution on every one of several architectures.",
    );
    let models = picture::distinct(rows.iter().map(|row| row.model.as_str()));
    if models.len() < 2 {
        return claim.not_tested("not tested at this scale: one model is trained");
    }
    let of_model = |model: &String| {
        let own: Vec<Row> = rows.iter().filter(|row| row.model == *model).cloned().collect();
        let both = Claim::new("", "", "");
        better(&own, both, Corpus::Alpaca, ("masked + distill", "mle"), ("in", PREFERENCE))
    };
    let all: Vec<Claim> = models.iter().map(of_model).collect();
    if let Some(untested) = all.iter().find(|one| matches!(one.verdict, Verdict::NotTested(_))) {
        return Claim { verdict: untested.verdict.clone(), ..claim };
    }
    claim.measured(Measured::Answers).above(
        0.0,
        least(all.iter().filter_map(|one| one.estimate)),
        &format!(
            "replies preferred, Alpaca; of all models the least in value and interval's ends; {INTERVAL}"
        ),
    )
}

/// What the paper says of masked training and of its own objective on a corpus, but for masked training's gain in
/// distribution: that is figure 3's.
pub(super) fn at_home_and_abroad(
    rows: &[Row],
    figure: &str,
    corpus: Corpus,
    source: impl Fn(&str) -> &'static str,
) -> Vec<Claim> {
    let mut claims = Vec::new();
    for unit in ["share", "nats"] {
        let claim = |id: &str, text: &str, place: &str| {
            gains::claim(&format!("{figure}/{id}"), source(id), corpus, text, (place, unit))
        };
        let (masked, both) = (("loss token", "mle"), ("masked + distill", "mle"));
        let one = claim("masked-out", "masked training costs out of distribution", "out");
        claims.push(worse(rows, one, corpus, masked, ("out", unit)));
        let one = claim("both-out", "masked training with distillation gains out of distribution", "out");
        claims.push(better(rows, one, corpus, both, ("out", unit)));
        let one = claim(
            "distillation-helps-out",
            "distillation beside it improves masked training out of distribution",
            "out",
        );
        let helped = ("masked + distill", "loss token");
        claims.push(better(rows, one, corpus, helped, ("out", unit)));
        // That something costs abroad or helps there is no trade of home for abroad: at home it may do the same.
        let text = "masked training loses more out of distribution than in it";
        let one = claim("masked-out-beyond-in", text, ABROAD_MINUS_HOME);
        claims.push(worse(rows, one, corpus, masked, (ABROAD_MINUS_HOME, unit)));
        let text = "distillation beside it improves masked training more out of distribution than in it";
        let one = claim("distillation-helps-out-beyond-in", text, ABROAD_MINUS_HOME);
        claims.push(better(rows, one, corpus, helped, (ABROAD_MINUS_HOME, unit)));
    }
    for unit in gains::units(corpus) {
        let text = "masked training with distillation gains in distribution";
        let one = gains::claim(&format!("{figure}/both-in"), source("both-in"), corpus, text, ("in", unit));
        claims.push(better(rows, one, corpus, ("masked + distill", "mle"), ("in", unit)));
    }
    claims
}
