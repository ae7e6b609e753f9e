//! The tables and verdicts kept in the repository, and whether this machine's agree with them.

use crate::cache::write_atomically;
use crate::checkout;
use crate::provenance::Provenance;
use crate::read;
use crate::table::{from_csv, to_csv};
use crate::{Claim, Entry, Made, Profile, Table, Verdict, engine};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The recorded files as they were when this program was built.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/recorded.rs"));
/// The verdicts.
pub(crate) const LEDGER: &str = "ledger.csv";

/// One recorded verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedVerdict {
    /// The claim's id.
    pub id: String,
    /// One of [`Verdict::NAMES`].
    pub verdict: String,
    /// The effect and its interval.
    pub effect: Option<f64>,
    /// Lower end of its interval: 95 %, unless the claim's test says otherwise.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// Seeds behind it.
    pub n: Option<usize>,
}

/// Everything that is recorded.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    files: BTreeMap<String, String>,
    verdicts: BTreeMap<String, RecordedVerdict>,
}

/// How a table made here compares with the recorded one.
#[derive(Clone, Debug, PartialEq)]
pub enum Agreement {
    /// Every byte is the same.
    Identical,
    /// The same shape; the largest relative difference of two numbers.
    Within(f64),
    /// Something else than numbers differs.
    Different(String),
    /// There is nothing to compare, and why.
    NotCompared(String),
}

impl Recorded {
    /// The files in the checkout's `paper/recorded/`, or those embedded in this program outside of a checkout.
    pub fn load() -> Result<Self> {
        let files = match folder() {
            Some(folder) => read_folder(&folder)?,
            None => EMBEDDED.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        };
        Self::from_files(files)
    }

    fn from_files(files: BTreeMap<String, String>) -> Result<Self> {
        let ledger = files.get(LEDGER).map_or("", String::as_str);
        let verdicts: Vec<RecordedVerdict> = from_csv(ledger).context("reading paper/recorded/ledger.csv")?;
        let verdicts = verdicts.into_iter().map(|verdict| (verdict.id.clone(), verdict)).collect();
        Ok(Self { files, verdicts })
    }

    /// The recorded table of a figure.
    pub fn table(&self, id: &str) -> Result<Option<(Table, Provenance)>> {
        let csv = self.files.get(&format!("{id}.csv"));
        let (Some(csv), Some(provenance)) = (csv, self.provenance(id)?) else { return Ok(None) };
        Ok(Some((Table::from_csv(csv)?, provenance)))
    }

    fn provenance(&self, id: &str) -> Result<Option<Provenance>> {
        let Some(json) = self.files.get(&format!("{id}.json")) else { return Ok(None) };
        serde_json::from_str(json).with_context(|| format!("reading paper/recorded/{id}.json"))
    }

    /// Those of the figures that are recorded, drawn and tested anew from their recorded tables.
    pub fn figures(&self, entries: &[Entry]) -> Result<Vec<Made>> {
        let mut all = Vec::new();
        for entry in entries {
            if let Some((table, provenance)) = self.table(entry.figure.about().id)? {
                all.push(Made { is_recorded: true, ..engine::assemble(entry, table, provenance)? });
            }
        }
        Ok(all)
    }

    /// The recorded verdict on a claim.
    pub fn verdict(&self, claim: &str) -> Option<&RecordedVerdict> {
        self.verdicts.get(claim)
    }

    /// Whether the verdicts on a figure made here ought to be the recorded ones: not where the profile is another, and with
    /// it the runs.
    pub fn has_verdicts_for(&self, made: &Made) -> bool {
        let recorded = self.provenance(made.about.id).ok().flatten();
        made.provenance.profile != Profile::Smoke.name()
            && recorded.is_some_and(|recorded| !is_of_other_runs(&recorded, made))
    }

    /// Compares a figure made here with its recorded table.
    pub fn agreement(&self, made: &Made) -> Result<Agreement> {
        let skip = |reason: &str| Ok(Agreement::NotCompared(reason.into()));
        let Some((table, provenance)) = self.table(made.about.id)? else {
            return skip("nothing is recorded yet");
        };
        if made.provenance.profile == Profile::Smoke.name() {
            return skip("the smoke profile runs a smaller protocol than the recorded one");
        }
        if let Some(replacement) = made.provenance.replacement() {
            return skip(&replacement);
        }
        if table == made.table {
            return Ok(Agreement::Identical);
        }
        if is_of_other_runs(&provenance, made) {
            return skip(&format!(
                "the recorded table was made with another profile, {}",
                provenance.profile
            ));
        }
        Ok(match table.difference(&made.table) {
            Ok(difference) => Agreement::Within(difference),
            Err(error) => Agreement::Different(error.to_string()),
        })
    }
}

fn is_of_other_runs(recorded: &Provenance, made: &Made) -> bool {
    recorded.profile != made.provenance.profile && recorded.config_sha256 != made.provenance.config_sha256
}

/// Whether a claim's verdict is the recorded one; `None` when only one of the two says that it holds or does not.
pub fn same_verdict(claim: &Claim, recorded: Option<&RecordedVerdict>) -> Option<bool> {
    let Some(recorded) = recorded else { return Some(false) };
    let verdicts = [claim.verdict.name(), recorded.verdict.as_str()];
    let same = verdicts[0] == verdicts[1];
    let decided = verdicts.iter().all(|name| Verdict::NAMES[..3].contains(name));
    (same || decided).then_some(same)
}

/// Records the tables and verdicts of `made` in the checkout, but no table that quotes a data set; figures not among them
/// keep theirs.
pub fn record(made: &[Made]) -> Result<PathBuf> {
    let folder = folder()
        .context("`paper record` writes paper/recorded/ and so needs a checkout of the repository")?;
    let mut verdicts = Recorded::from_files(read_folder(&folder)?)?.verdicts;
    let recorded = || made.iter().filter(|made| !made.quotes_data());
    // Before anything is written, so that tables and ledger always agree.
    for made in recorded() {
        ensure!(
            made.provenance.profile != Profile::Smoke.name() && made.provenance.replacement().is_none(),
            "{} was made with the smoke profile or on replaced data; record the whole protocol on the paper's data",
            made.about.id
        );
    }
    for made in recorded() {
        let id = made.about.id;
        write_atomically(&folder.join(format!("{id}.csv")), made.table.to_csv()?)?;
        let provenance = serde_json::to_string_pretty(&made.provenance)? + "\n";
        write_atomically(&folder.join(format!("{id}.json")), provenance)?;
        verdicts.retain(|claim, _| !claim.starts_with(&format!("{id}/")));
        verdicts.extend(made.claims.iter().map(|claim| (claim.id.clone(), recorded_verdict(claim))));
    }
    let verdicts: Vec<RecordedVerdict> = verdicts.into_values().collect();
    write_atomically(&folder.join(LEDGER), to_csv(&verdicts)?)?;
    Ok(folder)
}

fn recorded_verdict(claim: &Claim) -> RecordedVerdict {
    RecordedVerdict {
        id: claim.id.clone(),
        verdict: claim.verdict.to_string(),
        effect: claim.estimate.map(|estimate| estimate.value),
        low: claim.estimate.map(|estimate| estimate.low),
        high: claim.estimate.map(|estimate| estimate.high),
        n: claim.estimate.map(|estimate| estimate.n),
    }
}

fn folder() -> Option<PathBuf> {
    checkout::find().map(|folder| folder.join(checkout::RECORDED))
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        // The oracle study's runs lie beside the tables, compressed.
        let is_text = path.extension().is_some_and(|ending| ending == "csv" || ending == "json");
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| is_text) {
            files.insert(name.to_owned(), read::text(&path)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Estimate, exact, figures};

    #[test]
    fn tables_agree_by_bytes_else_by_numbers_and_only_where_they_may_be_compared() -> Result<()> {
        let mut made = engine::make_synthetic(&figures::registry()[0])?;
        let id = made.about.id;
        let recorded = |csv: String| -> Result<Recorded> {
            let json = serde_json::to_string(&made.provenance)?;
            Recorded::from_files([(format!("{id}.csv"), csv), (format!("{id}.json"), json)].into())
        };
        let same = recorded(made.table.to_csv()?)?;
        let shorter = recorded(made.table.to_csv()?.lines().take(2).collect::<Vec<_>>().join("\n"))?;
        assert!(matches!(same.agreement(&made)?, Agreement::NotCompared(_)), "the smoke profile");
        made.provenance.profile = Profile::Laptop.name().into();
        assert_eq!(same.agreement(&made)?, Agreement::Identical);
        assert!(matches!(shorter.agreement(&made)?, Agreement::Different(_)));
        assert!(same.has_verdicts_for(&made) && !Recorded::default().has_verdicts_for(&made));
        made.provenance.profile = Profile::Study.name().into();
        assert!(same.has_verdicts_for(&made), "another profile, the same runs");
        made.provenance.config_sha256 = "other".into();
        assert!(!same.has_verdicts_for(&made), "verdicts on fewer runs");
        assert!(matches!(Recorded::default().agreement(&made)?, Agreement::NotCompared(_)));
        Ok(())
    }

    #[test]
    fn verdicts_are_compared_where_both_runs_could_tell() {
        let claim = Claim::new("x/y", "A", "s").above(0.0, exact(1.0), "t");
        let recorded = recorded_verdict(&claim);
        assert_eq!(same_verdict(&claim, Some(&recorded)), Some(true));
        assert_eq!(same_verdict(&claim, None), Some(false));
        let fails = claim.clone().above(2.0, exact(1.0), "t");
        assert_eq!(same_verdict(&fails, Some(&recorded)), Some(false));
        assert_eq!(same_verdict(&claim.clone().not_tested("no data"), Some(&recorded)), None);
        let wide = Estimate { value: 1.0, low: -1.0, high: 3.0, n: 3 };
        let undecided = claim.clone().above(0.0, wide, "t");
        assert_eq!(same_verdict(&undecided, Some(&recorded)), None);
        assert_eq!(same_verdict(&claim, Some(&recorded_verdict(&undecided))), None);
        assert_eq!(same_verdict(&undecided, Some(&recorded_verdict(&undecided))), Some(true));
    }
}
