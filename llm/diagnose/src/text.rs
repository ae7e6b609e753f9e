//! The diagnosis for a terminal.

use tokensieve_base::statistics::Estimate;

use crate::candidates::{LeftOut, PLAIN};
use crate::defects::Defect;
use crate::describe::Uncertainty;
use crate::gain::Gain;
use crate::measure::{Measure, Measurement, ObjectiveRow};
use crate::noise::LabelNoise;
use crate::race::{Difference, Race};
use crate::report::Diagnosis;
use crate::suspicious::Suspicious;

/// Rows that are named for each defect (choice).
const NAMED: usize = 5;

/// Suspicious tokens that are named for each row, and how suspicious they are (choices).
const TOKENS: usize = 4;
const WORTH_NAMING: f64 = 0.2;

/// The diagnosis as text, a few screens long. `show` may add the whole text of a suspicious row.
pub fn summary(of: &Diagnosis, show: &dyn Fn(&Suspicious) -> Option<String>) -> String {
    let read = &of.read;
    let mut out = format!(
        "{} of {}: {} documents, {} tokens of which {} are predicted\n",
        read.about_rows(),
        of.data,
        read.documents,
        read.tokens,
        read.predicted
    );
    out += &defects(of);
    out += &classes(of);
    out += &noise(of);
    if let Some(measured) = &of.measured {
        out += &bands(measured, of.sample);
        out += &objectives(measured);
    }
    out += &left_out(of);
    out += &race(of);
    out += &suspicious(of, show);
    out + &recommendation(of)
}

fn defects(of: &Diagnosis) -> String {
    let mut out = "\nRows\n".to_owned();
    if of.findings.is_empty() {
        out += "  nothing found: no duplicates, leaked answers, untrainable rows or marks of templates\n";
    }
    for defect in Defect::ALL {
        let own: Vec<_> = of.findings.iter().filter(|finding| finding.defect == defect).collect();
        if let Some(first) = own.first() {
            out += &format!("  {}: {}; row {}: {}\n", defect.about(), own.len(), first.row, first.what);
            if own.len() > 1 {
                let rows: Vec<String> =
                    own.iter().take(NAMED).map(|finding| finding.row.to_string()).collect();
                let more = if own.len() > NAMED { ", …" } else { "" };
                out += &format!("    rows {}{more}\n", rows.join(", "));
            }
        }
    }
    out
}

fn classes(of: &Diagnosis) -> String {
    let mut out = "\nTokens            count   mean p  accuracy    loss  median   90 %  entropy\n".to_owned();
    for row in &of.classes {
        let [median, high] = row.loss_quantiles;
        out += &format!(
            "  {:<13} {:>8}   {:>6.3}    {:>6.3}  {:>6.3}  {median:>6.3} {high:>6.3}   {:>6.3}\n",
            row.class, row.tokens, row.mean_p, row.accuracy, row.loss, row.entropy
        );
    }
    if let Some(found) = &of.uncertainty {
        out += &format!("  {}\n", uncertainty(found));
    }
    out
}

/// Epistemic uncertainty in a sentence.
pub(crate) fn uncertainty(found: &Uncertainty) -> String {
    let correlation = |of: Option<f64>| of.map_or("undefined".to_owned(), |of| format!("{of:.2}"));
    format!(
        "epistemic uncertainty (BALD) of {} documents, {} passes with dropout on attention: {:.4} nats beside {:.3} aleatoric; \
         rank correlation with the loss {}, with the entropy {}",
        found.documents,
        found.passes,
        found.bald,
        found.aleatoric,
        correlation(found.with_loss),
        correlation(found.with_entropy)
    )
}

fn noise(of: &Diagnosis) -> String {
    if of.noise.is_empty() {
        return String::new();
    }
    let mut out = "\nLabels that contradict the model where it is sure\n".to_owned();
    for (class, noise) in &of.noise {
        out += &format!("  {class:<8} {}: {}\n", contradicting(noise), trust(noise));
    }
    out + "  an upper bound for wrong labels there: it counts what the model is sure of and mistaken in\n"
}

/// The share of labels that contradict the model where it is sure, with its interval. Where it is sure of nothing, nothing was
/// seen of it.
pub(crate) fn contradicting(noise: &LabelNoise) -> String {
    if noise.sure == 0 {
        return "no sure tokens".to_owned();
    }
    let Estimate { value, low, high, .. } = noise.share;
    let [value, low, high] = [value, low, high].map(|share| 100.0 * share);
    format!("{value:.1} % [{low:.1}, {high:.1}]")
}

/// How far a noise estimate is trusted.
pub(crate) fn trust(noise: &LabelNoise) -> String {
    let fit =
        format!("calibration error {:.1} %, {} sure tokens", 100.0 * noise.calibration_error, noise.sure);
    if noise.doubts.is_empty() {
        fit
    } else {
        format!("not to be trusted, {} ({fit})", noise.doubts.join("; "))
    }
}

/// A share with its interval.
pub(crate) fn percent(estimate: Option<Estimate>) -> String {
    estimate.map_or("not clear".to_owned(), |Estimate { value, low, high, .. }| {
        let [value, low, high] = [value, low, high].map(|share| 100.0 * share);
        format!("{value:+.1} % [{low:+.1}, {high:+.1}]")
    })
}

/// When it was measured.
pub(crate) fn moment(measured: &Measurement) -> String {
    match measured.after {
        0 => "before training".to_owned(),
        steps if measured.on_sample => format!("after {steps} plain steps on these same documents"),
        steps => format!("after {steps} plain steps"),
    }
}

/// A probability that can be told from others, however small they are.
fn probability(p: f64) -> String {
    if p > 0.0 && p < 1e-3 { format!("{p:.1e}") } else { format!("{p:.4}") }
}

fn bands(measured: &Measurement, documents: usize) -> String {
    let mut out = format!(
        "\nBands of the label's probability, {}, in {documents} documents and as many held-out ones: part of plain training's \
         gain on held-out NLL, and of its noise\n",
        moment(measured)
    );
    for band in &measured.bands {
        let (low, high) = band.p;
        let share = &band.shares[Measure::Nll as usize];
        let noise = share.noise.map_or("not clear".to_owned(), |noise| format!("{:.1} %", 100.0 * noise));
        out += &format!(
            "  p {:>6} … {:>6}  {:>7} tokens  gain {:<28} noise {noise}\n",
            probability(low),
            probability(high),
            band.tokens,
            percent(share.gain)
        );
    }
    out
}

/// A gain with its verdict.
pub(crate) fn verdict(gain: &Gain) -> &'static str {
    match (gain.differs(), gain.is_better()) {
        (true, true) => "better",
        (true, false) => "worse",
        _ => "undecided",
    }
}

fn objectives(measured: &Measurement) -> String {
    let mut out = String::new();
    for measure in Measure::PREDICTED {
        out += &format!(
            "\nGain of a first step beside plain training's, {}, measured by held-out {}\n",
            moment(measured),
            measure.name()
        );
        let mut rows: Vec<_> = measured.objectives.iter().collect();
        let value = |row: &ObjectiveRow| row.gains[measure as usize].value();
        rows.sort_by(|a, b| value(b).total_cmp(&value(a)));
        for row in rows {
            let gain = &row.gains[measure as usize];
            let coarse = 100.0 * row.unresolved;
            out += &format!(
                "  {:<18} {:<28} {:<10} bands leave {coarse:.1} % out\n",
                row.objective,
                percent(gain.relative),
                verdict(gain)
            );
        }
    }
    out
}

fn left_out(of: &Diagnosis) -> String {
    if of.left_out.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = of.left_out.iter().map(|left| left.preset.as_str()).collect();
    format!("  not compared: {} (--json and --html say why)\n", names.join(", "))
}

/// What a race is about.
pub(crate) fn race_about(race: &Race) -> String {
    let [likelihood, probability, accuracy] = race.before;
    format!(
        "up to {} steps of {} documents, judged by {} held-out documents: log-likelihood {likelihood:.4}, probability \
         {probability:.4} and accuracy {accuracy:.4} before training, means over documents of the mean over a document's \
         tokens",
        race.steps, race.batch, race.judges
    )
}

/// A difference with its interval and verdict.
pub(crate) fn difference(of: &Difference) -> String {
    let verdict = match (of.differs(), of.is_better()) {
        (true, true) => "better",
        (true, false) => "worse",
        _ => "no difference seen",
    };
    let value = of.value.map_or("not clear".to_owned(), |Estimate { value, low, high, .. }| {
        format!("{value:+.4} [{low:+.4}, {high:+.4}]")
    });
    format!("{value} {verdict}")
}

fn race(of: &Diagnosis) -> String {
    if let Some(why) = &of.no_race {
        return format!("\nNo race: {why}\n");
    }
    let Some(race) = &of.race else { return String::new() };
    let mut out = format!("\nRace, {}\n", race_about(race));
    for row in &race.rows {
        let found = match &row.beside_plain {
            None => row.held_out.map(|score| format!("{score:.4}")),
            Some(beside) => beside.each_ref().map(difference),
        };
        let [likelihood, probability, accuracy] = found;
        out += &format!(
            "  {:<18} {:>4} steps  log-likelihood {likelihood}, probability {probability}, accuracy {accuracy}\n",
            row.objective, row.steps
        );
    }
    for LeftOut { preset, because } in &race.failed {
        out += &format!("  {preset:<18} out: {because}\n");
    }
    out + &format!("  {}\n", race.verdict())
}

/// What ranks the rows where η is to be trusted.
pub(crate) const COUNTED: &str =
    "how many labels are expected to be wrong at most, of those that contradict the model where it is sure";

/// What ranks them where it is not.
pub(crate) const UNCOUNTED: &str =
    "how much their labels contradict the model; too uncertain to count wrong labels";

fn suspicious(of: &Diagnosis, show: &dyn Fn(&Suspicious) -> Option<String>) -> String {
    let mut out = String::new();
    if !of.suspicious.is_empty() {
        let by = if of.expects_wrong_labels() { COUNTED } else { UNCOUNTED };
        out += &format!("\nMost suspicious rows, by {by}\n");
    }
    for row in &of.suspicious {
        let mut tokens: Vec<_> =
            row.tokens.iter().filter(|token| token.suspicion.is_some_and(|s| s > WORTH_NAMING)).collect();
        tokens.sort_by(|a, b| b.suspicion.unwrap_or(0.0).total_cmp(&a.suspicion.unwrap_or(0.0)));
        let shown = tokens.iter().take(TOKENS).map(|token| {
            let best = token.best.as_deref().unwrap_or_default();
            format!("{:?} (model: {best:?})", token.text)
        });
        let parts: Vec<String> = row.defects.iter().cloned().chain(shown).collect();
        out += &format!("  row {:<6} {:>5.2}  {}\n", row.row, row.wrong, parts.join(", "));
        out += &show(row).unwrap_or_default();
    }
    out
}

fn recommendation(of: &Diagnosis) -> String {
    let chosen = &of.recommendation;
    let mut out = format!("\nRecommendation: `{}`, {}\n", chosen.objective, chosen.because);
    if chosen.expected.is_some() {
        out += &format!(
            "  expected gain of a first step over plain training, by held-out {}: {}\n",
            chosen.measure.predicted().name(),
            percent(chosen.expected)
        );
    }
    if !chosen.indistinguishable.is_empty() {
        out += &format!("  indistinguishable from it: {}\n", chosen.indistinguishable.join(", "));
    }
    if !chosen.not_worse.is_empty() {
        out += &format!("  not worse than `{PLAIN}` for sure: {}\n", chosen.not_worse.join(", "));
    }
    for why in &chosen.would_change {
        out += &format!("  would change it: {why}\n");
    }
    let seconds: f64 = of.seconds.iter().map(|(_, seconds)| seconds).sum();
    let parts: Vec<String> =
        of.seconds.iter().map(|(phase, seconds)| format!("{phase} {seconds:.1}")).collect();
    out + &format!("\n{seconds:.1} s: {}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_was_found_and_what_to_do() {
        let text = summary(&Diagnosis::example(), &|row| Some(format!("row {} in colours\n", row.row)));
        for wanted in [
            "the first 3 rows (there are more) of <d>: 2 documents, 20 tokens of which 9 are predicted",
            ", in 16 documents and as many held-out ones: part of plain training's gain on held-out NLL, and of its noise\n",
            "p 0.0000 … 2.0e-5 ",
            "p 2.0e-5 … 1.0000 ",
            "answers in the prompt, which the model learns to copy: 1; row 1: the prompt contains",
            "all      10.0 % [0.0, 20.0]: not to be trusted, the model is sure of 12 tokens only",
            "-p                 +25.0 % [+15.0, +35.0]       better",
            "focal              -25.0 % [-35.0, -15.0]       worse",
            "row 1 in colours",
            "Recommendation: `-p`, better",
            "indistinguishable from it: dft",
            "not worse than `mle` for sure: eaft",
            "would change it: more documents",
            "-p                   32 steps  log-likelihood +0.0500 [-0.0500, +0.1500] no difference seen",
            "probability +0.1500 [+0.0500, +0.2500] better",
            "no difference seen by held-out nll between `mle` and `-p`, the best of its rivals",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }

    #[test]
    fn what_went_wrong_with_a_race_is_said() {
        let mut of = Diagnosis::example();
        let because = "row 3: the model's output is not finite".to_owned();
        of.race.as_mut().unwrap().failed = vec![LeftOut { preset: "focal".to_owned(), because }];
        assert!(summary(&of, &|_| None).contains("  focal              out: row 3: the model's output"));
        of.race = None;
        of.no_race = Some("too few rows".to_owned());
        assert!(summary(&of, &|_| None).contains("\nNo race: too few rows\n"));
    }

    #[test]
    fn that_the_documents_were_trained_on_is_said() {
        let mut of = Diagnosis::example();
        of.measured.as_mut().unwrap().on_sample = true;
        assert!(
            summary(&of, &|_| None)
                .contains(", after 4 plain steps on these same documents, in 16 documents")
        );
    }

    #[test]
    fn there_is_no_share_of_no_sure_tokens() {
        let mut of = Diagnosis::example();
        for noise in of.noise.values_mut() {
            noise.sure = 0;
        }
        let text = summary(&of, &|_| None);
        assert!(text.contains("all      no sure tokens: not to be trusted"), "{text}");
        assert!(!text.contains("10.0 % [0.0, 20.0]"), "{text}");
    }
}
