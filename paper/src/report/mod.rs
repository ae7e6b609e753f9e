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
use crate::engine;
use crate::findings::{Finding, QUESTIONS, Question};
use crate::ledger::{self, Ledger};
use crate::provenance::{self, Provenance};
use crate::recorded::{Agreement, Recorded, same_verdict};
use crate::study::models;
use crate::{Claim, Made, Profile, Verdict};
use anyhow::{Result, ensure};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tokensieve_base::files;
use tokensieve_plot::{html, unmarked};
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
    /// Of paper A, of B, of both, and ours.
    figures_by_paper: [usize; 4],
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
    /// The figure's page.
    page: &'a str,
    answer: &'static str,
    numbers: String,
    claim: ClaimText<'a>,
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
    /// Its place on the figure's page.
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
    /// Effect, interval, the claimed side, and what would not matter; empty where nothing was tested.
    drawing: String,
    /// The smallest difference that matters, where a plan says so.
    matters: Option<f64>,
    /// What it means is the badge's detail.
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

/// Writes the site into `folder`; returns its `index.html`. What an earlier report left there is replaced as soon as
/// the new one is whole. Waits for another process that writes it.
pub fn write(made: &[Made], recorded: &Recorded, folder: &Path) -> Result<PathBuf> {
    ensure!(!made.is_empty(), "a report needs at least one figure");
    // Where `just manuscript` leaves it.
    let manuscript = fs::read(folder.with_file_name("manuscript.pdf")).ok();
    if let Some(parent) = folder.parent() {
        files::make_folder(parent)?;
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let [lock, new, old] =
        ["lock", "new", "old"].map(|ending| folder.with_file_name(format!(".{name}.{ending}")));
    let _held = files::wait_for(&lock)?;
    files::replace_folder(folder, [&new, &old], |new| fill(made, recorded, manuscript.as_deref(), new))?;
    Ok(folder.join("index.html"))
}

/// Writes the site into an empty folder.
fn fill(made: &[Made], recorded: &Recorded, manuscript: Option<&[u8]>, folder: &Path) -> Result<()> {
    let ledger = Ledger::new(made, recorded);
    let pages = made.iter().map(|made| page(made, &ledger, recorded)).collect::<Result<Vec<_>>>()?;
    let viewer = Viewer::of(made)?;
    let site = Site {
        has_viewer: viewer.is_some(),
        has_manuscript: manuscript.is_some(),
        figures_by_paper: by_paper(&made.iter().map(|made| made.about.source).collect::<Vec<_>>()),
        profile: each(made, |from| from.profile.clone()),
        origin: Origin::of(made),
        date: each(made, |from| from.date.chars().take_while(|c| *c != 'T').collect()),
        commit: each(made, |from| provenance::short(&from.commit)),
        version: each(made, |from| from.version.clone()),
        machine: each(made, |from| format!("{}, {} threads", from.host.cpu, from.host.threads)),
        questions: QUESTIONS.iter().map(|question| answered(question, made, &ledger, recorded)).collect(),
        kinds: ledger.kinds(),
        verdicts: Verdict::NAMES,
        models: ledger.models(),
        sizes: made.iter().filter_map(|made| models::sizes(&made.provenance)).collect(),
        disagreements: ledger.disagreements(),
        pages,
    };
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
        write_atomically(&folder.join(format!("{}.html", made.about.id)), render("figure.html", at)?)?;
        engine::write(made, folder)?;
    }
    Ok(())
}

/// How many figures are of paper A, of B, of both, and ours, by what their sources begin with: `A, figure 3`, `A and B, …`.
fn by_paper(sources: &[&str]) -> [usize; 4] {
    ["A,", "B,", "A ", OURS].map(|of| sources.iter().filter(|source| source.starts_with(of)).count())
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
        replacement: made.provenance.replacement(),
        agreement: agreement_badge(&recorded.agreement(made)?),
        provenance: &made.provenance,
        computed_on: made.provenance.computed_on(),
        computed_by: made.provenance.computed_by(),
        seconds: format!("{:.1}", made.provenance.seconds),
        viewer: Viewer::link(made),
    })
}

/// The answers to a question, as far as there are claims.
fn answered<'a>(
    question: &Question,
    made: &'a [Made],
    ledger: &Ledger<'_>,
    recorded: &Recorded,
) -> Answered<'a> {
    let text = |finding: Finding<'a>| FindingText {
        page: finding.made.about.id,
        answer: finding.answer(),
        numbers: finding.numbers(),
        claim: claim_text(finding.claim, finding.made, ledger, recorded),
    };
    Answered { asks: question.asks, findings: question.findings(made).into_iter().map(text).collect() }
}

/// A verdict's class on the page, and what it means.
fn meaning(claim: &Claim) -> (&'static str, &str) {
    match &claim.verdict {
        Verdict::Holds => ("holds", "the whole interval lies on the claimed side"),
        Verdict::DoesNotHold => ("fails", "the whole interval lies on the other side"),
        Verdict::PracticallyEqual => ("equal", "the difference is too small to matter"),
        Verdict::Undecided => ("undecided", undecided(claim)),
        Verdict::NotTested(reason) => ("untested", reason.as_str()),
    }
}

/// Why a claim is undecided.
fn undecided(claim: &Claim) -> &'static str {
    match claim.estimate {
        Some(of) if of.n > 1 && of.is_without_spread() => {
            "it came out the same each time, which does not tell how far another time would be from it"
        }
        Some(of) if of.above(claim.threshold) || of.below(claim.threshold) => {
            "the threshold lies outside the interval, but among as many claims one such interval can be chance \
             (Holm's correction)"
        }
        _ => "the threshold lies inside the interval",
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
    let (class, detail) = meaning(claim);
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
        matters: claim.matters,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Estimate, figures};

    #[test]
    fn an_undecided_claim_says_why() {
        let estimate = |low: f64, high: f64| Estimate { value: f64::midpoint(low, high), low, high, n: 5 };
        let claim = || Claim::new("x/y", "A", "s");
        let why = |claim: &Claim| {
            assert_eq!(claim.verdict, Verdict::Undecided);
            meaning(claim).1.to_owned()
        };
        let inside = "the threshold lies inside the interval";
        assert_eq!(why(&claim().above(0.0, estimate(-0.1, 0.2), "t")), inside);
        assert_eq!(why(&claim().below(0.0, estimate(0.0, 0.2), "t")), inside);
        for (low, high) in [(0.1, 0.2), (-0.2, -0.1)] {
            let corrected = claim().decided(Verdict::Undecided, Some(estimate(low, high)), true, "t");
            assert!(why(&corrected).contains("outside the interval") && why(&corrected).contains("Holm"));
        }
        assert!(why(&claim().above(0.0, estimate(0.5, 0.5), "t")).contains("the same each time"));
    }

    #[test]
    fn a_figure_of_both_papers_is_of_neither_alone() {
        let both = ["A and B, their central claims", "A (hard tokens) and B (noise) in one map; ours"];
        assert_eq!(by_paper(&["A, figure 3", "B, theory", both[0], both[1], "ours: x"]), [1, 1, 2, 1]);
        let all = figures::registry();
        let sources: Vec<&str> = all.iter().map(|entry| entry.figure.about().source).collect();
        assert_eq!(by_paper(&sources).iter().sum::<usize>(), sources.len());
    }

    #[test]
    fn a_page_names_its_claims_and_draws_what_would_not_matter() -> Result<()> {
        let parent = tempfile::tempdir()?;
        let folder = parent.path().join("report");
        let recorded = Recorded::load()?;
        let made = recorded.figures(&[figures::named("study")?])?;
        let index = fs::read_to_string(write(&made, &recorded, &folder)?)?;
        assert!(index.contains("grey: too small to matter"));
        let page = fs::read_to_string(folder.join("study.html"))?;
        for claim in &made[0].claims {
            let named = format!(r#"<code class="muted">{}</code>"#, name(claim));
            assert!(page.contains(&named), "{named}");
        }
        let drawn = |class: &str| page.matches(&format!(r#"class="{class}""#)).count();
        assert!(drawn("interval") > 0);
        assert_eq!(drawn("margin"), drawn("interval"));
        // Ten columns are too many for paper.
        assert!(page.contains("the CSV has them"));
        Ok(())
    }

    #[test]
    fn a_report_that_cannot_be_written_leaves_the_old_one() -> Result<()> {
        let parent = tempfile::tempdir()?;
        let folder = parent.path().join("report");
        let mut made = [engine::make_synthetic(&figures::named("a-2c")?)?];
        let files = || -> Result<BTreeSet<PathBuf>> {
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect()
        };
        let index = write(&made, &Recorded::load()?, &folder)?;
        let before = (fs::read(&index)?, files()?);
        // No file is called so.
        made[0].about.id = "a\0b";
        assert!(write(&made, &Recorded::load()?, &folder).is_err());
        assert_eq!((fs::read(&index)?, files()?), before);
        Ok(())
    }
}
