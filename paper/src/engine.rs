//! Takes a figure from its inputs to its claims, and writes what it finds.

use crate::cache::{Cache, sha256, write_atomically};
use crate::checkout;
use crate::lab::Lab;
use crate::provenance::{self, Host, Provenance};
use crate::tokens::Conversation;
use crate::{About, Claim, Entry, Profile, Run, Table, Verdict};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::rc::Rc;
use tokensieve_plot::{Drawing, Theme};

/// A figure, made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its documentation.
    pub about: About,
    /// Its data.
    pub table: Table,
    /// Where the data come from.
    pub provenance: Provenance,
    /// What is drawn.
    pub drawing: Drawing,
    /// What was tested.
    pub claims: Vec<Claim>,
    /// The conversations for the token viewer.
    pub conversations: Vec<Conversation>,
    /// Whether the table is the repository's and not this machine's.
    pub is_recorded: bool,
}

impl Made {
    /// Whether the table holds texts of a data set, which stay out of the repository.
    pub fn quotes_data(&self) -> bool {
        self.about.is_of_tokens() && !self.provenance.data.is_empty()
    }

    /// The drawing as SVG.
    pub fn svg(&self, theme: &Theme) -> String {
        self.drawing.svg(self.about.title, self.about.caption, theme)
    }
}

/// Makes a figure; with `cache`, only what has changed is computed.
pub fn make(entry: &Entry, profile: Profile, cache: Option<&Cache>) -> Result<Made> {
    finish(entry, new_run(entry, profile, cache))
}

/// Makes a figure's smoke table on generated data, without cache or network.
pub fn make_synthetic(entry: &Entry) -> Result<Made> {
    synthetic(entry, Rc::new(Lab::fixture()?))
}

/// [`make_synthetic`] for all of them; what they share is made up once.
pub fn make_all_synthetic(entries: &[Entry]) -> Result<Vec<Made>> {
    let lab = Rc::new(Lab::fixture()?);
    entries.iter().map(|entry| synthetic(entry, Rc::clone(&lab))).collect()
}

fn synthetic(entry: &Entry, lab: Rc<Lab>) -> Result<Made> {
    finish(entry, new_run(entry, Profile::Smoke, None).with_synthetic_data(lab))
}

fn new_run(entry: &Entry, profile: Profile, cache: Option<&Cache>) -> Run {
    Run::new(profile, entry.figure.about().id, entry.code, cache.cloned())
}

fn finish(entry: &Entry, run: Run) -> Result<Made> {
    let about = entry.figure.about();
    let profile = run.profile.name().to_owned();
    let table = entry.figure.table(&run).with_context(|| format!("making the table of {}", about.id))?;
    let log = run.into_log();
    let configs: Vec<String> =
        log.units.iter().map(|unit| format!("{} {}", unit.name, unit.config)).collect();
    let provenance = Provenance {
        figure: about.id.into(),
        profile,
        version: env!("CARGO_PKG_VERSION").into(),
        commit: checkout::commit(),
        code_sha256: entry.code.into(),
        config_sha256: sha256(configs.join("\n").as_bytes()),
        // An empty sum is −0.
        seconds: 0.0 + log.units.iter().map(|unit| unit.seconds).sum::<f64>(),
        units: log.units,
        data: log.data,
        table_sha256: sha256(table.to_csv()?.as_bytes()),
        date: provenance::now(),
        host: Host::here(),
    };
    assemble(entry, table, provenance)
}

/// Everything that follows from a table.
pub(crate) fn assemble(entry: &Entry, table: Table, provenance: Provenance) -> Result<Made> {
    let about = entry.figure.about();
    let subtitle = entry.figure.subtitle(&table).with_context(|| format!("the subtitle of {}", about.id))?;
    let mut drawing = entry.figure.draw(&table).with_context(|| format!("drawing {}", about.id))?;
    if let Some(subtitle) = subtitle {
        drawing = drawing.subtitle(subtitle);
    }
    if let Some(replacement) = provenance.replacement() {
        drawing = drawing.notice(replacement);
    }
    let claims =
        entry.figure.claims(&table).with_context(|| format!("testing the claims of {}", about.id))?;
    let claims = claims.into_iter().map(|claim| on_its_data(claim, &provenance)).collect();
    let conversations =
        entry.figure.conversations(&table).with_context(|| format!("reading the tokens of {}", about.id))?;
    Ok(Made { about, table, provenance, drawing, claims, conversations, is_recorded: false })
}

/// A claim about a data set that was replaced has not been tested, whatever its numbers.
fn on_its_data(claim: Claim, provenance: &Provenance) -> Claim {
    let concerns = |name: &String| claim.data.as_ref().is_none_or(|names| names.contains(name));
    let missing = provenance.data.iter().find(|data| data.replaced_by.is_some() && concerns(&data.name));
    match missing {
        Some(data) => {
            let reason = format!("not tested on the paper's data: {} could not be had", data.name);
            Claim { verdict: Verdict::NotTested(reason), ..claim }
        }
        None => claim,
    }
}

/// Writes table, provenance and drawings of a figure into a folder.
pub fn write(made: &Made, folder: &Path) -> Result<()> {
    let file = |extension: &str| folder.join(format!("{}{extension}", made.about.id));
    write_atomically(&file(".csv"), made.table.to_csv()?)?;
    write_atomically(&file(".json"), serde_json::to_string_pretty(&made.provenance)? + "\n")?;
    write_atomically(&file(".svg"), made.svg(&Theme::LIGHT))?;
    write_atomically(&file("-dark.svg"), made.svg(&Theme::DARK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact;
    use crate::provenance::DataSet;

    #[test]
    fn a_claim_about_a_replaced_data_set_is_not_tested() {
        let set = |name: &str, replaced_by: Option<&str>| DataSet {
            name: name.into(),
            sha256: String::new(),
            licence: String::new(),
            replaced_by: replaced_by.map(String::from),
        };
        let data = vec![set("mnist", Some("Fashion-MNIST")), set("fashion-mnist", None)];
        let provenance = Provenance { data, ..Provenance::default() };
        let claim = || Claim::new("x/y", "A", "s").above(0.0, exact(1.0), "t");
        let verdict = |claim| on_its_data(claim, &provenance).verdict;
        assert!(matches!(verdict(claim()), Verdict::NotTested(_)));
        assert!(matches!(verdict(claim().on_data(&["mnist"])), Verdict::NotTested(_)));
        assert_eq!(verdict(claim().on_data(&["fashion-mnist"])), Verdict::Holds);
        assert_eq!(provenance.replacement().as_deref(), Some("Drawn on Fashion-MNIST instead of mnist"));
    }

    /// Whether its report shows them in the viewer or not.
    #[test]
    fn figures_that_hold_a_data_sets_texts_stay_out_of_the_repository() -> Result<()> {
        let data = vec![DataSet {
            name: "alpaca".into(),
            sha256: String::new(),
            licence: String::new(),
            replaced_by: None,
        }];
        let mut quoting = Vec::new();
        for mut made in make_all_synthetic(&crate::figures::registry())? {
            made.provenance.data.clone_from(&data);
            quoting.extend(made.quotes_data().then_some(made.about.id));
        }
        quoting.sort_unstable();
        assert_eq!(quoting, ["a-1", "a-2a", "a-4-tokens", "a-7", "a-8", "oracle-tokens"]);
        Ok(())
    }
}
