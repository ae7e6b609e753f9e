//! The book's generated parts: a page per preset objective, and the drawings of the concepts, all from the objective crate.

use crate::cache::write_atomically;
use crate::checkout;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use tokensieve_objective::{Description, Objective, Plan, Pull, TokenStats, Variable, presets};
use tokensieve_plot::{Axis, Drawing, Ink, Panel, Series, Theme};
use toml::Table;

/// Tokens of the drawn distributions: p on the label, the rest spread evenly, as in the figure `b-gradient-weight`.
const VOCABULARY: u32 = 1000;
/// Points of a curve.
const POINTS: u32 = 100;
/// What a curve assumes of each statistic that does not follow from p, where its objective reads it.
const ASSUMED: [(Variable, &str, f64); 6] = [
    (Variable::PReference, "p_ref = 0.5", 0.5),
    (Variable::ReferenceLoss, "p_ref = 0.5", 0.5),
    (Variable::ReferenceMass, "mass_ref = 0.5", 0.5),
    (Variable::PBase, "p_base = 0.5", 0.5),
    (Variable::BaseLoss, "p_base = 0.5", 0.5),
    (Variable::Advantage, "advantage = 1", 1.0),
];

/// Writes the generated files into the checkout's docs/ and removes pages of presets that there are no more; returns the
/// folder.
pub fn write() -> Result<PathBuf> {
    let docs = docs()?;
    let files = files(&docs)?;
    for path in committed(&docs)? {
        if !files.contains_key(&path) {
            fs::remove_file(docs.join(path))?;
        }
    }
    for (path, text) in &files {
        let path = docs.join(path);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        write_atomically(&path, text)?;
    }
    Ok(docs)
}

fn docs() -> Result<PathBuf> {
    Ok(checkout::needed()?.join("docs"))
}

/// The files of the folders in which everything is generated.
fn committed(docs: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["objectives", "drawings"] {
        for entry in fs::read_dir(docs.join(folder)).into_iter().flatten() {
            names.push(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    Ok(names)
}

/// Every generated file by its path below docs/.
fn files(docs: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut list = "# The presets, one by one\n\n\
        Written by `./just paper book` from the tables in [`objective/presets/`](../../objective/presets).\n\n\
        | preset | | loss of the selected tokens | of the others | selects |\n|---|---|---|---|---|\n"
        .to_owned();
    let mut contents = String::new();
    for name in presets::names() {
        let (slug, about) = (slug(name), Objective::preset(name)?.describe());
        let others = about.otherwise.as_deref().map_or(String::new(), code);
        let about_it = about.about.trim_end_matches('.');
        let row = [&code(&about.selected), &others, &cell(&about.selection)].map(String::as_str).join(" | ");
        let _ = writeln!(list, "| [`{name}`]({slug}.md) | {} | {row} |", cell(about_it));
        let _ = writeln!(contents, "    - [{}](objectives/{slug}.md)", name.replace('^', "\\^"));
        files.insert(format!("objectives/{slug}.md"), page(name, &about)?);
        files.insert(format!("objectives/{slug}.svg"), drawing(name)?);
    }
    files.insert("objectives/README.md".to_owned(), list);
    files.insert("drawings/pulls.svg".to_owned(), families()?);
    files.insert("drawings/bands.svg".to_owned(), bands()?);
    let summary = fs::read_to_string(docs.join("SUMMARY.md"))?;
    files.insert("drawings/computed.js".to_owned(), computed()?);
    files.insert("SUMMARY.md".to_owned(), listed(&summary, &contents)?);
    Ok(files)
}

/// SUMMARY.md with these lines below the page of the presets.
fn listed(summary: &str, contents: &str) -> Result<String> {
    let end = summary.find("(objectives/README.md)\n").context("SUMMARY.md lacks objectives/README.md")?;
    let (before, after) = summary.split_at(end + "(objectives/README.md)\n".len());
    let rest: String = after.split_inclusive('\n').skip_while(|line| line.starts_with("    - ")).collect();
    Ok(format!("{before}{contents}{rest}"))
}

/// A preset's file name: `-p^10` is `p-10`.
fn slug(name: &str) -> String {
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// Text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    if text == "none" { text.to_owned() } else { format!("`{}`", cell(text)) }
}

/// The page of a preset.
fn page(name: &str, about: &Description) -> Result<String> {
    let mut text = format!("# `{name}`\n\n{}\n\n| | |\n|---|---|\n", about.about);
    let mut row = |what: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {what} | {value} |");
    };
    row("source", &cell(&about.source));
    row("selects", &cell(&about.selection));
    row("loss of the selected tokens", &code(&about.selected));
    row("their pulls", &code(&about.selected_pull));
    if let (Some(otherwise), Some(pull)) = (&about.otherwise, &about.otherwise_pull) {
        row("loss of the others", &code(otherwise));
        row("their pulls", &code(pull));
    }
    for (statistic, provider) in &about.needs {
        row(&format!("needs `{statistic}`"), &cell(provider));
    }
    let assumed = assumptions(&Objective::preset(name)?);
    let given = if assumed.is_empty() { String::new() } else { format!(", for {}", assumed.join(" and ")) };
    let _ = write!(
        text,
        "\n![Pull against the label's probability]({}.svg)\n\n\
         The pull of a token against the probability of its label{given}; dotted, maximum likelihood's. \
         [Concepts](../concepts.md#the-two-pulls) explains it.\n\n\
         ## Its table\n\n```toml\n{}```\n\n\
         A run takes it by name, and keys laid over it change it ([keys](../objectives.md#keys)):\n\n\
         ```toml\n[objective]\npreset = \"{name}\"\n```\n",
        slug(name),
        presets::text(name)?
    );
    Ok(text)
}

/// What the curves of an objective assume, without repetitions.
fn assumptions(objective: &Objective) -> Vec<&'static str> {
    let batch = objective.averages().then_some("a batch in which every p is as frequent");
    let mut read: Vec<&str> = ASSUMED
        .iter()
        .filter(|(variable, ..)| objective.selection().is_none() && objective.reads(*variable))
        .map(|(_, text, _)| *text)
        .chain(batch)
        .collect();
    read.dedup();
    read
}

/// The pulls of an objective over p.
fn curve(objective: &Objective) -> Result<Vec<(f64, Pull)>> {
    let p: Vec<f64> = (1..=POINTS).map(|point| f64::from(point) / f64::from(POINTS)).collect();
    let tokens: Vec<TokenStats> = p.iter().map(|p| token(*p)).collect();
    let mut training = objective.begin(Plan { steps: 1, seed: 0 });
    Ok(p.into_iter().zip(training.pulls(&tokens)?.pulls.iter().copied()).collect())
}

/// A token whose label has the probability p.
fn token(p: f64) -> TokenStats {
    let rest = (1.0 - p) / f64::from(VOCABULARY - 1);
    let nats = |q: f64| if q > 0.0 { -q * libm::log(q) } else { 0.0 };
    let top = p + 19.0 * rest;
    let mut stats = TokenStats::new(-libm::log(p), nats(p) + f64::from(VOCABULARY - 1) * nats(rest));
    stats.top_entropy = Some(nats(p / top) + 19.0 * nats(rest / top));
    stats.concentration = Some(p * p + f64::from(VOCABULARY - 1) * rest * rest);
    stats.reference_loss = Some(-libm::log(0.5));
    stats.reference_mass = Some(0.5);
    stats.base_loss = Some(-libm::log(0.5));
    stats.divergence = Some(0.0);
    stats.bald = Some(0.0);
    stats.advantage = Some(1.0);
    stats.vocabulary = VOCABULARY;
    stats
}

/// A preset without its selection: what selected tokens are trained with, or what the others are.
fn branch(name: &str, otherwise: bool) -> Result<Option<Objective>> {
    let mut table: Table = presets::text(name)?.parse()?;
    let selects = table.remove("select").is_some();
    let other = table.remove("otherwise");
    if otherwise {
        let (true, Some(other)) = (selects, other) else { return Ok(None) };
        if other.as_str() == Some("none") {
            return Ok(None);
        }
        // They follow the reference and nothing else.
        table.insert("selected".to_owned(), other);
    } else if selects
        && table.get("selected").and_then(toml::Value::as_str).is_some_and(|f| !f.contains("distill"))
    {
        table.remove("against");
    }
    Ok(Some(Objective::from_toml(&toml::to_string(&table)?)?))
}

/// The pulls of a preset as a drawing.
fn drawing(name: &str) -> Result<String> {
    let mut series = vec![Series::horizontal(1.0).ink(Ink::Muted).dotted()];
    let mut highest = 1.0_f64;
    for (otherwise, whose) in [(false, "selected tokens"), (true, "others")] {
        let Some(objective) = branch(name, otherwise)? else { continue };
        let points = curve(&objective)?;
        let ink = Ink::Category(usize::from(otherwise));
        highest = points.iter().map(|(_, pull)| pull.label.max(pull.reference)).fold(highest, f64::max);
        let label = points.iter().map(|(p, pull)| (*p, pull.label));
        series.push(Series::line(label).ink(ink).label(&format!("*a*, {whose}")));
        if points.iter().any(|(_, pull)| pull.reference != 0.0) {
            let reference = points.iter().map(|(p, pull)| (*p, pull.reference));
            series.push(Series::line(reference).ink(ink).dashed().label(&format!("*b*, {whose}")));
        }
    }
    let x = Axis::linear("probability of the label, *p*").range(0.0, 1.0);
    let panel = Panel::new("Pull", x, Axis::linear("").range(0.0, highest * 1.05)).with_all(series);
    Ok(svg(&Drawing::new([panel]).width(480.0).panel_height(200.0), &format!("Pull of {name}")))
}

/// What four losses pull on: the pull, and the gradient on the label's logit.
fn families() -> Result<String> {
    let losses = [
        ("-log p", "−log *p*"),
        ("(1-p^0.5)/0.5", "(1 − *p*^{0.5})/0.5"),
        ("-p", "−*p*"),
        ("-p^10", "−*p*^{10}"),
    ];
    let (mut pulls, mut gradients) = (Vec::new(), Vec::new());
    for (index, (loss, label)) in losses.into_iter().enumerate() {
        let points = curve(&Objective::loss(loss)?)?;
        let line = |value: fn(f64, f64) -> f64| {
            Series::line(points.iter().map(|(p, pull)| (*p, value(*p, pull.label)))).ink(Ink::Category(index))
        };
        pulls.push(line(|_, a| a).label(label));
        gradients.push(line(|p, a| a * (1.0 - p)));
    }
    let x = || Axis::linear("probability of the label, *p*").range(0.0, 1.0);
    let drawing = Drawing::new([
        Panel::new("Pull on the label", x(), Axis::linear("*a*")).with_all(pulls),
        Panel::new("Gradient on the label's logit", x(), Axis::linear("*a*(1 − *p*)")).with_all(gradients),
    ]);
    Ok(svg(&drawing.width(720.0).panel_height(220.0), "Pulls of four losses"))
}

/// Forty tokens of four documents: probabilities spread evenly, in an order that looks like none (23 and 40 share no divisor).
fn forty() -> Vec<TokenStats> {
    let one = |index: u32| {
        let p = (f64::from(index * 23 % 40) + 0.5) / 40.0;
        TokenStats { document: index / 10, position: index % 10, ..token(p) }
    };
    (0..40).map(one).collect()
}

/// Which of the forty tokens a band of their losses selects.
fn selected(keep: &str, of: &str) -> Result<Vec<bool>> {
    let select = format!("select = {{ by = \"loss\", keep = \"{keep}\", of = \"{of}\" }}");
    let objective = Objective::from_toml(&format!("selected = \"-log p\"\notherwise = \"none\"\n{select}"))?;
    Ok(objective.begin(Plan { steps: 1, seed: 0 }).pulls(&forty())?.selected.clone())
}

/// Three bands of the forty tokens.
fn bands() -> Result<String> {
    let panel = |keep: &str, of: &str| -> Result<Panel> {
        let chosen = selected(keep, of)?;
        let points = |wanted: bool| {
            let all = forty().into_iter().zip(&chosen).enumerate();
            let which = all.filter(|(_, (_, is))| **is == wanted);
            Series::points(which.map(|(index, (token, _))| (index as f64, token.loss)).collect::<Vec<_>>())
        };
        let title = format!("{} of {of}", keep.replace('%', " %"));
        Ok(Panel::new(&title, Axis::linear("token"), Axis::linear("loss (nats)"))
            .with(points(false).ink(Ink::Muted).label("not selected"))
            .with(points(true).ink(Ink::Category(0)).label("selected"))
            .with_all([9.5, 19.5, 29.5].map(|x| Series::vertical(x).ink(Ink::Muted).dotted())))
    };
    let panels = [panel("top 25%", "tokens")?, panel("50%..75%", "tokens")?, panel("top 25%", "documents")?];
    let drawing = Drawing::new(panels).columns(3).width(900.0).panel_height(200.0);
    Ok(svg(&drawing, "Bands of forty tokens"))
}

/// Steps of a band's ends in the plot with controls.
const STEPS: usize = 20;

/// What the plots with controls choose from (docs/interactive.js).
fn computed() -> Result<String> {
    let alphas: Vec<f64> = (0..=40).map(|tenths| f64::from(tenths) / 10.0).collect();
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    let mut curves = Vec::new();
    for alpha in &alphas {
        curves.push(curve(&Objective::preset("f-alpha")?.with("alpha", *alpha)?)?);
    }
    let pull: Vec<Vec<f64>> =
        curves.iter().map(|curve| curve.iter().map(|(_, pull)| rounded(pull.label)).collect()).collect();
    let p: Vec<f64> = curves[0].iter().map(|(p, _)| *p).collect();
    let mut bands = BTreeMap::new();
    for of in ["tokens", "documents"] {
        for (low, high) in (0..STEPS).flat_map(|low| (low + 1..=STEPS).map(move |high| (low, high))) {
            let percent = |step: usize| step * 100 / STEPS;
            let chosen = selected(&format!("{}%..{}%", percent(low), percent(high)), of)?;
            let chosen: Vec<usize> = (0..chosen.len()).filter(|index| chosen[*index]).collect();
            bands.insert(format!("{of}/{low}/{high}"), chosen);
        }
    }
    let loss: Vec<f64> = forty().iter().map(|token| rounded(token.loss)).collect();
    // Keys in alphabetical order: serde_json keeps this order or makes it, whichever features other crates ask for.
    let all = serde_json::json!({
        "bands": { "loss": loss, "selected": bands, "steps": STEPS },
        "pulls": { "alphas": alphas, "p": p, "pull": pull },
    });
    Ok(format!("// Written by `./just paper book`.\nconst COMPUTED = {all};\n"))
}

fn svg(drawing: &Drawing, title: &str) -> String {
    drawing.svg(title, "", &Theme::LIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_what_the_presets_say() {
        let docs = docs().unwrap();
        let files = files(&docs).unwrap();
        for (path, text) in &files {
            let found = fs::read_to_string(docs.join(path)).unwrap_or_default();
            assert!(found == *text, "docs/{path} is out of date: ./just paper book");
        }
        for path in committed(&docs).unwrap() {
            assert!(files.contains_key(&path), "docs/{path} is of no preset: ./just paper book");
        }
    }

    #[test]
    fn every_preset_has_a_page_of_its_own() {
        let slugs: std::collections::BTreeSet<String> = presets::names().map(slug).collect();
        assert_eq!(slugs.len(), presets::names().count());
        assert_eq!(slug("-p^10"), "p-10");
    }
}
