//! The diagnosis as one page that needs nothing else: light and dark, drawings inline.

use tokensieve_base::statistics::Estimate;
use tokensieve_plot::{Axis, Drawing, Ink, Palette, Panel, Series, Shape, Theme, escape, number};

use crate::defects::Defect;
use crate::describe::ClassRow;
use crate::measure::{Measure, Measurement, ObjectiveRow};
use crate::noise::LabelNoise;
use crate::race::RaceRow;
use crate::report::Diagnosis;
use crate::suspicious::{Suspicious, SuspiciousToken};
use crate::text::{
    COUNTED, UNCOUNTED, contradicting, difference, moment, percent, race_about, trust, uncertainty, verdict,
};

/// Shades of suspicion.
const SHADES: usize = 10;

/// Rows that are listed for each defect (choice).
const LISTED: usize = 50;

/// The page.
pub fn page(of: &Diagnosis) -> String {
    let title = format!("{} · {}", of.data, of.model);
    let parts = [
        recommendation(of),
        rows(of),
        tokens(of),
        noise(of),
        bands(of),
        objectives(of),
        race(of),
        suspicious(of),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{}</style></head>\n\
         <body><main>\n<h1>{title}</h1>\n<p class=\"note\">Read: {}, {} documents, {} tokens of which {} are predicted. \
         How to read this page: docs/diagnose.md.</p>\n{}\n</main></body></html>\n",
        style(),
        of.read.about_rows(),
        of.read.documents,
        of.read.tokens,
        of.read.predicted,
        parts.concat(),
        title = escape(&title),
    )
}

/// Colours of both themes, and of the shades.
fn style() -> String {
    let theme = |theme: &Theme| {
        let shade = |step: usize| {
            let colour = theme.cell(Palette::Highlight, step as f64 / SHADES as f64);
            format!("--s{step}:{colour};--t{step}:{};", theme.text_on(&colour))
        };
        let shades: String = (1..=SHADES).map(shade).collect();
        let Theme { background, text, muted, grid, .. } = theme;
        format!("--background:{background};--text:{text};--muted:{muted};--line:{grid};{shades}")
    };
    let class = |step: usize| format!(".s{step}{{background:var(--s{step});color:var(--t{step})}}");
    let classes: Vec<String> = (1..=SHADES).map(class).collect();
    let classes = classes.concat();
    format!(
        ":root{{color-scheme:light dark;{}}}@media(prefers-color-scheme:dark){{:root{{{}}}.light{{display:none}}}}\
         @media not (prefers-color-scheme:dark){{.dark{{display:none}}}}\
         body{{background:var(--background);color:var(--text);font:15px/1.5 system-ui,sans-serif;margin:0}}\
         main{{max-width:860px;margin:0 auto;padding:24px 20px 64px}}h1{{font-size:22px;overflow-wrap:anywhere}}\
         h2{{font-size:17px;margin:36px 0 8px;border-top:1px solid var(--line);padding-top:20px}}\
         .scroll{{overflow-x:auto}}table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}\
         td,th{{padding:2px 14px 2px 0;text-align:left;vertical-align:top;font-weight:400}}th{{color:var(--muted)}}\
         td.n,th.n{{text-align:right}}.note{{color:var(--muted)}}.big{{font-size:19px}}svg{{max-width:100%;height:auto}}\
         pre{{background:color-mix(in srgb,var(--line) 45%,transparent);padding:12px;overflow:auto;font-size:13px}}\
         .row{{white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.7 ui-monospace,Menlo,monospace;\
         border-left:3px solid var(--line);padding-left:12px;margin:4px 0 20px}}.row .prompt{{color:var(--muted)}}{classes}",
        theme(&Theme::LIGHT),
        theme(&Theme::DARK)
    )
}

/// A drawing in both themes.
fn figure(drawing: &Drawing, title: &str, description: &str) -> String {
    let one = |theme: &Theme| {
        let svg = drawing.svg(title, description, theme);
        // The drawings of a page share its names.
        let own = format!("{}-{}", theme.name, title.to_lowercase().replace(' ', "-"));
        let svg = svg
            .replace(" id=\"", &format!(" id=\"{own}-"))
            .replace("url(#", &format!("url(#{own}-"))
            .replace("\"title desc\"", &format!("\"{own}-title {own}-desc\""));
        format!("<div class=\"{}\">{svg}</div>", theme.name)
    };
    format!("<figure style=\"margin:12px 0\">{}{}</figure>\n", one(&Theme::LIGHT), one(&Theme::DARK))
}

/// A table. Columns whose heads begin with `#` are numbers.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let numeric: Vec<bool> = head.iter().map(|head| head.starts_with('#')).collect();
    let cell = |tag: &str, index: usize, text: &str| {
        let class = if numeric.get(index) == Some(&true) { " class=\"n\"" } else { "" };
        format!("<{tag}{class}>{}</{tag}>", escape(text.trim_start_matches('#')))
    };
    let line = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().enumerate().map(|(index, text)| cell(tag, index, text)).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head: Vec<String> = head.iter().map(|head| (*head).to_owned()).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table>\n{}{}</table></div>\n",
        line("th", &head),
        rows.iter().map(|row| line("td", row)).collect::<String>()
    )
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("<li>{}</li>\n", escape(item))).collect();
    let items = items.concat();
    if items.is_empty() { String::new() } else { format!("<ul>\n{items}</ul>\n") }
}

fn recommendation(of: &Diagnosis) -> String {
    let chosen = &of.recommendation;
    let gain = if chosen.expected.is_some() {
        format!(
            "<p>Expected gain of a first step over plain training, by held-out {}: {}</p>\n",
            chosen.measure.predicted().name(),
            percent(chosen.expected)
        )
    } else {
        String::new()
    };
    let named = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("<p>{what}: {}</p>\n", escape(&names.join(", "))),
    };
    let same = named("Indistinguishable from it", &chosen.indistinguishable)
        + &named("Not worse than plain training for sure", &chosen.not_worse);
    let change =
        if chosen.would_change.is_empty() { "" } else { "<p>What would change the recommendation:</p>\n" };
    format!(
        "<h2>Recommendation</h2>\n<p class=\"big\">Train with <b>{}</b>: {}</p>\n{gain}{same}{change}{}<details><summary>\
         Configuration for <code>tokensieve train</code></summary><pre>{}</pre></details>\n",
        escape(&chosen.objective),
        escape(&chosen.because),
        list(&chosen.would_change),
        escape(&chosen.config)
    )
}

fn rows(of: &Diagnosis) -> String {
    let mut out = "<h2>Rows</h2>\n".to_owned();
    if of.findings.is_empty() {
        out += "<p>No duplicates, leaked answers, untrainable rows or marks of templates were found.</p>\n";
    }
    for defect in Defect::ALL {
        let own: Vec<_> = of.findings.iter().filter(|finding| finding.defect == defect).collect();
        if own.is_empty() {
            continue;
        }
        let items: Vec<String> =
            own.iter().take(LISTED).map(|finding| format!("row {}: {}", finding.row, finding.what)).collect();
        let more = own.len().saturating_sub(LISTED);
        let more = if more > 0 { format!("<p>and {more} more</p>") } else { String::new() };
        out += &format!(
            "<details><summary>{}: <b>{}</b></summary>\n{}{more}</details>\n",
            escape(defect.about()),
            own.len(),
            list(&items)
        );
    }
    out
}

fn tokens(of: &Diagnosis) -> String {
    let row = |row: &ClassRow| {
        let numbers =
            [row.mean_p, row.accuracy, row.loss, row.loss_quantiles[0], row.loss_quantiles[1], row.entropy];
        let numbers = numbers.into_iter().map(|number| format!("{number:.3}"));
        [row.class.clone(), row.tokens.to_string()].into_iter().chain(numbers).collect()
    };
    let head = ["class", "#tokens", "#mean p", "#accuracy", "#loss", "#median", "#90 %", "#entropy"];
    let rows: Vec<Vec<String>> = of.classes.iter().map(row).collect();
    let total: usize = of.histogram.iter().sum();
    let bins = of.histogram.len() as f64;
    let bars = of.histogram.iter().enumerate().map(|(bin, count)| {
        (bin as f64 / bins, (bin + 1) as f64 / bins, *count as f64 / total.max(1) as f64)
    });
    let share = Axis::linear("share of tokens").percent();
    let panel = Panel::new("", Axis::linear("probability *p* of the label").range(0.0, 1.0), share)
        .with(Series::bars(bars));
    let drawing = Drawing::new([panel]).width(620.0).panel_height(170.0);
    let uncertainty = of.uncertainty.as_ref().map(|found| format!("<p>{}.</p>\n", uncertainty(found)));
    format!(
        "<h2>What the model makes of the tokens</h2>\n{}{}{}",
        figure(&drawing, "Probability of the labels", "Histogram of the probability of the labels"),
        table(&head, &rows),
        uncertainty.unwrap_or_default()
    )
}

fn noise(of: &Diagnosis) -> String {
    if of.noise.is_empty() {
        return String::new();
    }
    let row =
        |(class, noise): (&String, &LabelNoise)| vec![class.clone(), contradicting(noise), trust(noise)];
    let rows: Vec<Vec<String>> = of.noise.iter().map(row).collect();
    format!(
        "<h2>Labels that contradict the model</h2>\n{}<p class=\"note\">Of the tokens that the calibrated model is sure of. \
         The share is an upper bound for wrong labels among them, because it counts what the model is sure of and mistaken \
         in; of the tokens that it is not sure of it says nothing.</p>\n",
        table(&["tokens", "contradicting labels", "trust"], &rows)
    )
}

fn bands(of: &Diagnosis) -> String {
    let Some(measured) = &of.measured else { return String::new() };
    let drawing = Drawing::new([band_panel(measured)]).panel_height(210.0).width(620.0);
    format!(
        "<h2>Which tokens help</h2>\n{}<p class=\"note\">Each band holds tokens of similar probability. Filled: its part of \
         plain training's gain on held-out NLL, with 95 % intervals; the parts add up to 100 %. Rings: its part of the noise \
         of a step. A band with more noise than gain is worth less weight. {} documents, and as many held-out ones.</p>\n",
        figure(&drawing, "Bands", "Each band's part of plain training's gain and of its noise"),
        of.sample
    )
}

fn band_panel(measured: &Measurement) -> Panel {
    let names = measured.bands.iter().map(|band| format!("{}–{}", number(band.p.0, 2), number(band.p.1, 2)));
    let gain = |at: usize| measured.bands[at].shares[Measure::Nll as usize].gain;
    let places = 0..measured.bands.len();
    let gains = places.clone().filter_map(|at| Some((at as f64 - 0.1, gain(at)?)));
    let noise = places
        .filter_map(|at| Some((at as f64 + 0.15, measured.bands[at].shares[Measure::Nll as usize].noise?)));
    Panel::new(
        &moment(measured),
        Axis::categories("probability of the label", names),
        Axis::linear("part").percent(),
    )
    .with(Series::horizontal(0.0))
    .with(Series::error_bars(gains.clone().map(|(at, gain)| (at, gain.low, gain.high))))
    .with(Series::points(gains.map(|(at, gain)| (at, gain.value))).size(4.0).label("gain"))
    .with(Series::points(noise).shape(Shape::Ring).ink(Ink::Category(1)).size(4.0).label("noise"))
}

fn objectives(of: &Diagnosis) -> String {
    let Some(measured) = &of.measured else { return String::new() };
    let panels: Vec<Panel> =
        Measure::PREDICTED.into_iter().filter_map(|measure| objective_panel(measured, measure)).collect();
    let drawing = if panels.is_empty() {
        String::new()
    } else {
        let drawing = Drawing::new(panels).columns(1).panel_height(220.0).width(820.0);
        figure(&drawing, "Objectives", "The gain of each objective's first step beside plain training's")
    };
    let row = |row: &ObjectiveRow| {
        let gains = row.gains.iter().flat_map(|gain| [percent(gain.relative), verdict(gain).to_owned()]);
        let coarse = format!("{:.1} %", 100.0 * row.unresolved);
        std::iter::once(row.objective.clone()).chain(gains).chain([coarse]).collect()
    };
    let rows: Vec<Vec<String>> = measured.objectives.iter().map(row).collect();
    let left_out: Vec<String> =
        of.left_out.iter().map(|left| format!("{}: {}", left.preset, left.because)).collect();
    format!(
        "<h2>Which objective</h2>\n{drawing}<p class=\"note\">The gain of a first step, at equal length of the step, beside plain \
         training's (0): 95 % intervals by the jackknife over folds of documents. A verdict is of all objectives together \
         (Holm).</p>\n<p>{}:</p>\n{}<details><summary>Not compared</summary>{}</details>\n",
        moment(measured),
        table(
            &["objective", "held-out nll", "", "held-out probability", "", "#left out by the bands"],
            &rows
        ),
        list(&left_out)
    )
}

/// The gains by one measure; `None` where none is clear.
fn objective_panel(measured: &Measurement, measure: Measure) -> Option<Panel> {
    let names = measured.objectives.iter().map(|row| row.objective.as_str());
    let gains: Vec<(f64, Estimate)> = (0..)
        .zip(&measured.objectives)
        .filter_map(|(place, row)| Some((f64::from(place), row.gains[measure as usize].relative?)))
        .collect();
    if gains.is_empty() {
        return None;
    }
    let panel = Panel::new(
        &format!("by held-out {}", measure.name()),
        Axis::categories("", names),
        Axis::linear("gain beside plain training").percent(),
    );
    Some(
        panel
            .with(Series::horizontal(0.0))
            .with(Series::error_bars(gains.iter().map(|(x, gain)| (*x, gain.low, gain.high))))
            .with(Series::points(gains.iter().map(|(x, gain)| (*x, gain.value)))),
    )
}

fn race(of: &Diagnosis) -> String {
    if let Some(why) = &of.no_race {
        return format!("<h2>Race</h2>\n<p>There was none: {}.</p>\n", escape(why));
    }
    let Some(race) = &of.race else { return String::new() };
    let row = |row: &RaceRow| {
        let beside = match &row.beside_plain {
            None => row.held_out.map(|score| format!("{score:.4}")),
            Some(beside) => beside.each_ref().map(difference),
        };
        [row.objective.clone(), row.steps.to_string()].into_iter().chain(beside).collect()
    };
    let rows: Vec<Vec<String>> = race.rows.iter().map(row).collect();
    let failed: Vec<String> =
        race.failed.iter().map(|rival| format!("{} is out: {}", rival.preset, rival.because)).collect();
    format!(
        "<h2>Race</h2>\n<p>{}.</p>\n{}{}<p class=\"note\">{}. The first line has the scores of plain training, the others \
         how much better they are after as many steps, with 95 % intervals over held-out documents; a verdict is of all \
         rivals together.</p>\n",
        escape(&race.verdict()),
        table(&["objective", "#steps", "log-likelihood", "probability", "accuracy"], &rows),
        list(&failed),
        escape(&race_about(race))
    )
}

fn suspicious(of: &Diagnosis) -> String {
    if of.suspicious.is_empty() {
        return String::new();
    }
    let counts = of.expects_wrong_labels();
    let by = if counts { COUNTED } else { UNCOUNTED };
    let rows = of.suspicious.iter().map(|row| suspicious_row(row, counts));
    format!(
        "<h2>Most suspicious rows</h2>\n<p class=\"note\">By {by}. Colour: how likely the label is wrong, as far as the \
         model can tell; point at a token to see its numbers.</p>\n{}",
        rows.collect::<String>()
    )
}

fn suspicious_row(row: &Suspicious, counts: bool) -> String {
    let wrong = if counts {
        format!("at most {:.2} wrong labels expected", row.wrong)
    } else {
        format!("{:.2} suspicion", row.wrong)
    };
    let defects = if row.defects.is_empty() {
        String::new()
    } else {
        format!(" · {}", escape(&row.defects.join("; ")))
    };
    let tokens: String = row.tokens.iter().map(span).collect();
    format!("<p><b>row {}</b> · {wrong}{defects}</p>\n<div class=\"row\">{tokens}</div>\n", row.row)
}

fn span(token: &SuspiciousToken) -> String {
    // A line feed shows, and still ends the line.
    let text = escape(&token.text.replace('\n', "↵\n"));
    let (Some(suspicion), Some(p)) = (token.suspicion, token.p) else {
        return format!("<span class=\"prompt\">{text}</span>");
    };
    let best = token.best.as_ref().map_or(String::new(), |best| format!(", model: {best:?}"));
    let shade = (suspicion * SHADES as f64).round() as usize;
    let class = if shade == 0 { String::new() } else { format!(" class=\"s{}\"", shade.min(SHADES)) };
    let title = escape(&format!("p = {p:.3}, suspicion {suspicion:.2}{best}"));
    format!("<span{class} title=\"{title}\">{text}</span>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_everything_and_no_text_is_markup() {
        let page = page(&Diagnosis::example());
        assert_eq!(page.matches("<svg").count(), 6);
        let after = |mark: &str| -> Vec<&str> {
            page.split(mark).skip(1).filter_map(|rest| rest.split(['"', ')']).next()).collect()
        };
        let ids = after(" id=\"");
        assert!((1..ids.len()).all(|i| !ids[..i].contains(&ids[i])), "{ids:?}");
        let labels = after("aria-labelledby=\"").into_iter().flat_map(str::split_whitespace);
        let mut used = labels.chain(after("url(#"));
        assert!(used.all(|id| ids.contains(&id)), "{ids:?}\n{page}");
        assert_eq!(page.matches("<table").count(), page.matches("<div class=\"scroll\"").count());
        assert!(!page.contains("<script") && !page.contains("<d>") && !page.contains("“<b>”"));
        for wanted in [
            "a&lt;script&gt;",
            "<span class=\"s9\"",
            "↵",
            "not to be trusted",
            "after 4 plain steps",
            "Read: the first 3 rows (there are more), 2 documents",
            "rho: compares",
            "+0.1500 [+0.0500, +0.2500] better",
        ] {
            assert!(page.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn a_panel_without_a_clear_gain_is_left_out() {
        let mut of = Diagnosis::example();
        let unclear = |of: &mut Diagnosis, measure: Measure| {
            for row in &mut of.measured.as_mut().unwrap().objectives {
                row.gains[measure as usize].relative = None;
            }
        };
        unclear(&mut of, Measure::Nll);
        let measured = of.measured.as_ref().unwrap();
        assert!(objective_panel(measured, Measure::Nll).is_none());
        assert!(objective_panel(measured, Measure::Probability).is_some());
        unclear(&mut of, Measure::Probability);
        assert_eq!(page(&of).matches("<svg").count(), 4);
    }
}
