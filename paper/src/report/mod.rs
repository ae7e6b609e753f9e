//! The report: a folder of HTML that opens from disk, with no server, no network and little script.
//!
//! `index.html` answers the readers' questions first, then holds all claims, figure by figure, and the figures' thumbnails;
//! every figure has its page with drawing, claims, protocol, table and provenance. The pages are the templates in `site/`, filled by `minijinja`
//! (which escapes everything that is not marked safe).

pub(crate) mod counted;
mod interval;
mod serve;
mod viewer;

pub use serve::serve;

use crate::cache::write_atomically;
use crate::claim::{OURS, tally};
use crate::findings::{Finding, QUESTIONS, Question};
use crate::ledger::{self, Ledger};
use crate::provenance::{self, Provenance};
use crate::recorded::{Agreement, Recorded, same_verdict};
use crate::study::models;
use crate::{Claim, Made, Profile, Verdict};
use anyhow::{Context as _, Result, ensure};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tokensieve_plot::{Theme, html, unmarked};
use viewer::Viewer;

/// Rows of a table that a page holds; the CSV beside it holds all.
const ROWS_SHOWN: usize = 400;

#[derive(Serialize)]
struct Site<'a> {
    profile: String,
    origin: Origin,
    date: String,
    commit: String,
    version: String,
    machine: String,
    questions: Vec<Answered<'a>>,
    pages: Vec<Page<'a>>,
    /// The tests by each kind of evidence.
    kinds: Vec<ledger::Kind>,
    verdicts: [&'static str; 5],
    /// Which models were trained.
    models: Option<String>,
    /// How large the language models' training runs were: profile and sentence.
    sizes: BTreeSet<(&'a str, String)>,
    disagreements: Vec<String>,
    has_viewer: bool,
    has_manuscript: bool,
    figures_by_paper: [usize; 2],
}

/// A question with its answers.
#[derive(Serialize)]
struct Answered<'a> {
    asks: &'static str,
    findings: Vec<FindingText<'a>>,
}

/// A claim that answers a question.
#[derive(Serialize)]
struct FindingText<'a> {
    /// The figure's page, and the claim's place on it.
    page: &'a str,
    name: &'a str,
    /// Effect, interval and the claimed side; empty where nothing was tested.
    drawing: String,
    verdict: Badge,
    answer: &'static str,
    statement: &'a str,
    numbers: String,
    /// How we know: what was tested, by which kind of evidence.
    test: &'a str,
    kind: Badge,
    /// How sure: what the verdict means, and what other evidence says.
    sure: &'a str,
    elsewhere: String,
}

/// What the verdicts are worth.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Origin {
    /// Nothing.
    Smoke,
    /// They are this machine's.
    Made,
    /// They are the repository's.
    Recorded,
}

impl Origin {
    fn of(made: &[Made]) -> Self {
        if made.iter().any(|made| made.provenance.profile == Profile::Smoke.name()) {
            Self::Smoke
        } else if made.iter().all(|made| made.is_recorded) {
            Self::Recorded
        } else {
            Self::Made
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    id: &'a str,
    title: &'a str,
    source: &'a str,
    caption: &'a str,
    /// Of the drawing, in pixels.
    width: f64,
    protocol: Vec<&'a str>,
    sizes: Option<String>,
    deviations: &'a [&'a str],
    columns: Vec<ColumnText<'a>>,
    header: Vec<ColumnText<'a>>,
    rows: &'a [Vec<String>],
    row_count: usize,
    claims: Vec<ClaimText<'a>>,
    /// How many claims have each of [`Verdict::NAMES`], by the verdict's class and name.
    tally: Vec<(&'static str, &'static str, usize)>,
    replacement: Option<String>,
    agreement: Badge,
    provenance: &'a Provenance,
    computed_on: String,
    computed_by: String,
    seconds: String,
    viewer: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
struct ColumnText<'a> {
    name: &'a str,
    unit: &'a str,
    meaning: &'a str,
}

#[derive(Serialize)]
struct ClaimText<'a> {
    id: &'a str,
    name: &'a str,
    statement: &'a str,
    source: &'a str,
    /// `A`, `B`, or `ours`.
    paper: &'a str,
    /// The kind of evidence.
    kind: Badge,
    /// The verdicts that other kinds of evidence give on the same claim.
    elsewhere: String,
    test: &'a str,
    effect: String,
    interval: String,
    /// What the interval is over; `n` is empty where it is one thing, `counted` where no table says what it counts.
    n: String,
    counted: &'static str,
    drawing: String,
    verdict: Badge,
    recorded: Badge,
}

/// A short word, the class that colours it, and a sentence for those who ask.
#[derive(Serialize)]
struct Badge {
    class: &'static str,
    text: String,
    detail: String,
}

impl Badge {
    fn new(class: &'static str, text: &str, detail: &str) -> Self {
        Self { class, text: text.into(), detail: detail.into() }
    }
}

/// Writes the site into `folder`, replacing what an earlier report left there; returns its `index.html`.
pub fn write(made: &[Made], recorded: &Recorded, folder: &Path) -> Result<PathBuf> {
    ensure!(!made.is_empty(), "a report needs at least one figure");
    let ledger = Ledger::new(made, recorded);
    let pages = made.iter().map(|made| page(made, &ledger, recorded)).collect::<Result<Vec<_>>>()?;
    let viewer = Viewer::of(made)?;
    // Where `just manuscript` leaves it.
    let manuscript = fs::read(folder.with_file_name("manuscript.pdf")).ok();
    let site = Site {
        has_viewer: viewer.is_some(),
        has_manuscript: manuscript.is_some(),
        figures_by_paper: ["A", "B"]
            .map(|paper| made.iter().filter(|made| made.about.source.starts_with(paper)).count()),
        profile: each(made, |from| from.profile.clone()),
        origin: Origin::of(made),
        date: each(made, |from| from.date.chars().take_while(|c| *c != 'T').collect()),
        commit: each(made, |from| provenance::short(&from.commit)),
        version: each(made, |from| from.version.clone()),
        machine: each(made, |from| format!("{}, {} threads", from.host.cpu, from.host.threads)),
        questions: QUESTIONS.iter().map(|question| answered(question, made, &ledger)).collect(),
        kinds: ledger.kinds(),
        verdicts: Verdict::NAMES,
        models: ledger.models(),
        sizes: made.iter().filter_map(|made| models::sizes(&made.provenance)).collect(),
        disagreements: ledger.disagreements(),
        pages,
    };
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    let templates = templates()?;
    let render = |template: &str, at: usize| -> Result<String> {
        let template = templates.get_template(template)?;
        Ok(template.render(context! { site => Serde(&site), at => at })?)
    };
    write_atomically(&folder.join("index.html"), render("index.html", 0)?)?;
    write_atomically(&folder.join("report.css"), include_str!("site/report.css"))?;
    write_atomically(&folder.join("report.js"), include_str!("site/report.js"))?;
    write_atomically(&folder.join("ledger.csv"), ledger.to_csv()?)?;
    write_atomically(&folder.join("ledger.json"), ledger.to_json()?)?;
    if let Some(manuscript) = manuscript {
        write_atomically(&folder.join("manuscript.pdf"), manuscript)?;
    }
    if let Some(viewer) = &viewer {
        let page = templates.get_template("viewer.html")?;
        let page = page.render(context! { site => Serde(&site), viewer => Serde(viewer) })?;
        write_atomically(&folder.join("viewer.html"), page)?;
        write_atomically(&folder.join("viewer.css"), include_str!("site/viewer.css"))?;
        write_atomically(&folder.join("viewer.js"), include_str!("site/viewer.js"))?;
    }
    for (at, made) in made.iter().enumerate() {
        let id = made.about.id;
        write_atomically(&folder.join(format!("{id}.html")), render("figure.html", at)?)?;
        write_atomically(&folder.join(format!("{id}.svg")), made.svg(&Theme::LIGHT))?;
        write_atomically(&folder.join(format!("{id}-dark.svg")), made.svg(&Theme::DARK))?;
        write_atomically(&folder.join(format!("{id}.csv")), made.table.to_csv()?)?;
        let provenance = serde_json::to_string_pretty(&made.provenance)? + "\n";
        write_atomically(&folder.join(format!("{id}.json")), provenance)?;
    }
    Ok(folder.join("index.html"))
}

/// The distinct values of something in the figures' provenances, in alphabetical order.
fn each(made: &[Made], what: impl Fn(&Provenance) -> String) -> String {
    let all: BTreeSet<String> = made.iter().map(|made| what(&made.provenance)).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

fn templates() -> Result<Environment<'static>> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    templates.set_syntax(syntax);
    templates.add_filter("marked", |text: &str| Value::from_safe_string(html(text)));
    templates.add_filter("unmarked", |text: &str| unmarked(text));
    templates.add_template("layout.html", include_str!("site/layout.html"))?;
    templates.add_template("index.html", include_str!("site/index.html"))?;
    templates.add_template("figure.html", include_str!("site/figure.html"))?;
    templates.add_template("viewer.html", include_str!("site/viewer.html"))?;
    Ok(templates)
}

fn page<'a>(made: &'a Made, ledger: &Ledger<'_>, recorded: &'a Recorded) -> Result<Page<'a>> {
    let about = &made.about;
    let columns: Vec<ColumnText<'_>> =
        about.columns.iter().map(|c| ColumnText { name: c.name, unit: c.unit, meaning: c.meaning }).collect();
    let header = made.table.header().iter().map(|name| {
        let known = columns.iter().find(|column| column.name == name).copied();
        known.unwrap_or(ColumnText { name, unit: "", meaning: "" })
    });
    let rows = made.table.records();
    Ok(Page {
        id: about.id,
        title: about.title,
        source: about.source,
        caption: about.caption,
        width: made.drawing.width,
        protocol: about.protocol.split("\n\n").collect(),
        sizes: models::sizes(&made.provenance).map(|(_, sizes)| sizes),
        deviations: about.deviations,
        header: header.collect(),
        columns,
        rows: &rows[..rows.len().min(ROWS_SHOWN)],
        row_count: rows.len(),
        claims: made.claims.iter().map(|claim| claim_text(claim, made, ledger, recorded)).collect(),
        tally: counts(&made.claims),
        replacement: made.replacement(),
        agreement: agreement_badge(&recorded.agreement(made)?),
        provenance: &made.provenance,
        computed_on: made.provenance.computed_on(),
        computed_by: made.provenance.computed_by(),
        seconds: format!("{:.1}", made.provenance.seconds),
        viewer: Viewer::link(made),
    })
}

/// The answers to a question, as far as there are claims.
fn answered<'a>(question: &Question, made: &'a [Made], ledger: &Ledger<'_>) -> Answered<'a> {
    let text = |finding: Finding<'a>| {
        let claim = finding.claim;
        let (class, sure) = meaning(&claim.verdict);
        FindingText {
            page: finding.made.about.id,
            name: name(claim),
            drawing: interval::svg(claim),
            verdict: Badge::new(class, claim.verdict.name(), sure),
            answer: finding.answer(),
            statement: &claim.statement,
            numbers: finding.numbers(),
            test: &claim.test,
            kind: Badge::new("kind", claim.evidence.name(), claim.evidence.meaning()),
            sure,
            elsewhere: ledger.elsewhere(claim),
        }
    };
    Answered { asks: question.asks, findings: question.findings(made).into_iter().map(text).collect() }
}

/// A verdict's class on the page, and what it means.
fn meaning(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Holds => ("holds", "the whole interval lies on the claimed side"),
        Verdict::DoesNotHold => ("fails", "the whole interval lies on the other side"),
        Verdict::PracticallyEqual => ("equal", "the difference is too small to matter"),
        Verdict::Undecided => ("undecided", "the threshold lies inside the interval"),
        Verdict::NotTested(reason) => ("untested", reason.as_str()),
    }
}

/// How many claims have each verdict of which there are any: class, name, number.
fn counts(claims: &[Claim]) -> Vec<(&'static str, &'static str, usize)> {
    let classes = ["holds", "fails", "equal", "undecided", "untested"];
    let named = classes.into_iter().zip(Verdict::NAMES).zip(tally(claims));
    named.filter(|(_, count)| *count > 0).map(|((class, name), count)| (class, name, count)).collect()
}

/// A claim's name on its figure's page.
fn name(claim: &Claim) -> &str {
    claim.id.split_once('/').map_or(claim.id.as_str(), |(_, name)| name)
}

fn claim_text<'a>(claim: &'a Claim, made: &Made, ledger: &Ledger<'_>, recorded: &Recorded) -> ClaimText<'a> {
    let (class, detail) = meaning(&claim.verdict);
    let verdict = Badge::new(class, claim.verdict.name(), detail);
    let before = recorded.verdict(&claim.id);
    let text = before.map_or("–", |before| &before.verdict);
    let recorded = match same_verdict(claim, before) {
        _ if before.is_none() => Badge::new("untested", text, "no verdict is recorded yet"),
        _ if made.provenance.profile == Profile::Smoke.name() => {
            Badge::new("untested", text, "not compared: the verdicts of the smoke profile are meaningless")
        }
        Some(true) => Badge::new("same", text, "as recorded"),
        Some(false) => Badge::new("differs", text, "differs from the recorded verdict"),
        None => Badge::new("untested", text, "not compared: not tested or undecided, here or there"),
    };
    ClaimText {
        id: &claim.id,
        name: name(claim),
        statement: &claim.statement,
        source: &claim.source,
        paper: ["A", "B"].into_iter().find(|paper| claim.source.starts_with(paper)).unwrap_or(OURS),
        kind: Badge::new("kind", claim.evidence.name(), claim.evidence.meaning()),
        elsewhere: ledger.elsewhere(claim),
        test: &claim.test,
        effect: ledger::effect(claim),
        interval: ledger::interval(claim),
        n: claim.estimate.filter(|e| e.n > 1).map_or_else(String::new, |e| e.n.to_string()),
        counted: counted::what(claim, &made.table).unwrap_or_default(),
        drawing: interval::svg(claim),
        verdict,
        recorded,
    }
}

fn agreement_badge(agreement: &Agreement) -> Badge {
    match agreement {
        Agreement::Identical => {
            Badge::new("same", "as recorded", "Every byte of this table is that of the recorded one.")
        }
        Agreement::Within(difference) => Badge::new(
            "differs",
            "numbers differ",
            &format!("The largest relative difference from the recorded table is {difference:.2e}."),
        ),
        Agreement::Different(how) => {
            Badge::new("differs", "differs", &format!("The table differs from the recorded one: {how}."))
        }
        Agreement::NotCompared(why) => {
            Badge::new("untested", "not compared", &format!("Not compared: {why}."))
        }
    }
}
