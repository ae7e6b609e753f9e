//! The README's part on results: written by a command from the recorded verdicts, never by hand.

use crate::cache::write_atomically;
use crate::checkout;
use crate::findings::QUESTIONS;
use crate::ledger::Ledger;
use crate::read;
use crate::recorded::Recorded;
use crate::study::models;
use crate::{Made, figures};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The lines between which the part stands.
const BEGIN: &str = "<!-- results: written by `just readme` -->";
const END: &str = "<!-- end of results -->";

/// Replaces the part in the checkout's README; returns its path.
pub fn write() -> Result<PathBuf> {
    let path = path()?;
    let text = read::text(&path)?;
    let new = replaced(&text, &block(&all(&Recorded::load()?)?))?;
    write_atomically(&path, new)?;
    Ok(path)
}

fn path() -> Result<PathBuf> {
    Ok(checkout::needed()?.join("README.md"))
}

/// Every recorded figure.
fn all(recorded: &Recorded) -> Result<Vec<Made>> {
    recorded.figures(&figures::registry())
}

/// `text` with `block` between its two marks.
fn replaced(text: &str, block: &str) -> Result<String> {
    let marks = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marks.with_context(|| {
        format!("README.md has no place for results. It must contain these two lines:\n{BEGIN}\n{END}")
    })?;
    Ok(format!("{before}{BEGIN}\n{block}{END}{after}"))
}

/// The part itself: of each question the first finding, and one that says the opposite; how large the models were, and
/// where the rest is.
fn block(made: &[Made]) -> String {
    let recorded = Recorded::default();
    let ledger = Ledger::new(made, &recorded);
    let mut text = format!("\n{}\n\n", ledger.models().unwrap_or_default());
    for question in &QUESTIONS {
        for (i, finding) in question.in_short(made).iter().enumerate() {
            let before = if i == 0 { format!("- **{}**", question.asks) } else { "  - But also:".to_owned() };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{before} {} (`{}`)", finding.sentence(), finding.claim.id);
        }
    }
    let kinds = ledger.kinds();
    let tests: usize = kinds.iter().map(|kind| kind.tests).sum();
    let untested: usize = kinds.iter().map(|kind| kind.verdicts[4]).sum();
    let _ = writeln!(
        text,
        "\nHow we know, what other evidence says, and all {tests} tests ({untested} of them could not be made): `./just results --serve`, or [the report's \
         page](https://tokensieve.github.io/tokensieve/report/). Tables and verdicts lie in \
         [`paper/recorded/`](paper/recorded)."
    );
    let sizes: BTreeSet<(&str, String)> =
        made.iter().filter_map(|made| models::sizes(&made.provenance)).collect();
    for (profile, sizes) in sizes {
        let _ = writeln!(text, "\nLanguage models, profile {profile}: {sizes}");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_part_is_replaced_and_the_rest_left_alone() -> Result<()> {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replaced(&text, "new\n")?, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        let error = replaced("no marks", "").unwrap_err().to_string();
        assert!(error.contains(BEGIN), "{error}");
        Ok(())
    }

    /// Whoever records a table also runs `just readme`.
    #[test]
    fn the_readme_is_current() -> Result<()> {
        let text = fs::read_to_string(path()?)?;
        if text.contains(BEGIN) {
            let current = replaced(&text, &block(&all(&Recorded::load()?)?))?;
            assert_eq!(text, current, "README.md is not what is recorded: run `just readme`");
        }
        Ok(())
    }

    /// A verdict in the ledger is the one that its recorded table gives.
    #[test]
    fn recorded_verdicts_follow_from_recorded_tables() -> Result<()> {
        let recorded = Recorded::load()?;
        for made in all(&recorded)? {
            for claim in &made.claims {
                let ledger = recorded.verdict(&claim.id).map(|verdict| verdict.verdict.clone());
                assert_eq!(ledger, Some(claim.verdict.to_string()), "{}", claim.id);
            }
            assert_eq!(made.drawing.ambiguous(), Vec::<&str>::new(), "{}", made.about.id);
            assert!(!made.quotes_data(), "{}: texts of data sets stay out of the repository", made.about.id);
        }
        Ok(())
    }
}
