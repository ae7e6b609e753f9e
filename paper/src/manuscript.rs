//! What the manuscript is made of: every number, table and drawing in it comes from the recorded tables.
//!
//! `paper/manuscript/` has the prose (`manuscript.typ`), which must not hold a number of its own, and its look
//! (`style.typ`). [`write`] puts them beside `data.json` and the drawings, for Typst to compile.

use crate::cache::write_atomically;
use crate::claim::tally;
use crate::ledger::{Ledger, effect, interval};
use crate::plot::{Theme, unmarked};
use crate::recorded::Recorded;
use crate::{Claim, Made, Verdict, engine, figures};
use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const PROSE: &str = "manuscript.typ";
const STYLE: &str = "style.typ";

/// Writes everything into `folder`; returns the file to compile.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("manuscript");
    let read = |name: &str| {
        let path = sources.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let prose = read(PROSE)?;
    check(&prose).with_context(|| format!("paper/manuscript/{PROSE}"))?;
    let recorded = Recorded::load()?;
    let made = engine::recorded(&figures::registry(), &recorded)?;
    for made in &made {
        write_atomically(&folder.join(format!("{}.svg", made.about.id)), made.svg(&Theme::LIGHT))?;
    }
    write_atomically(&folder.join("data.json"), serde_json::to_string_pretty(&data(&made))? + "\n")?;
    write_atomically(&folder.join(STYLE), read(STYLE)?)?;
    write_atomically(&folder.join(PROSE), prose)?;
    Ok(folder.join(PROSE))
}

/// Numbers and texts by the names that the prose calls them by.
fn data(made: &[Made]) -> Value {
    let recorded = Recorded::default();
    let ledger = Ledger::new(made, &recorded);
    let [holds, fails, undecided, untested] = tally(ledger.claims());
    let claims: Map<String, Value> =
        ledger.claims().map(|claim| (claim.id.clone(), claim_data(claim))).collect();
    let figure = |made: &Made| {
        let p = &made.provenance;
        let ids: Vec<&str> = made.claims.iter().map(|claim| claim.id.as_str()).collect();
        let about = json!({
            "title": unmarked(made.about.title),
            "source": made.about.source,
            "caption": unmarked(made.about.caption),
            "protocol": unmarked(made.about.protocol),
            "deviations": made.about.deviations.iter().map(|text| unmarked(text)).collect::<Vec<_>>(),
            "claims": ids,
            "profile": p.profile, "date": p.date.split('T').next(), "cpu": p.host.cpu, "threads": p.host.threads,
            "commit": p.commit.get(..12), "seconds": format!("{:.0}", p.seconds),
        });
        (made.about.id.to_owned(), about)
    };
    json!({
        "claims": claims,
        "figures": made.iter().map(figure).collect::<Map<String, Value>>(),
        "order": made.iter().map(|made| made.about.id).collect::<Vec<_>>(),
        "counts": {
            "claims": ledger.claims().count(),
            "holds": holds,
            "fails": fails,
            "undecided": undecided,
            "untested": untested,
            "figures": made.len(),
        },
    })
}

fn claim_data(claim: &Claim) -> Value {
    let reason = match &claim.verdict {
        Verdict::NotTested(reason) => reason.as_str(),
        _ => "",
    };
    json!({
        "statement": unmarked(&claim.statement),
        "source": claim.source,
        "test": unmarked(&claim.test),
        "effect": effect(claim),
        "interval": interval(claim),
        "n": claim.estimate.map(|estimate| estimate.n),
        "verdict": claim.verdict.to_string(),
        "reason": unmarked(reason),
    })
}

/// Refuses prose with a number typed by hand. Digits may stand in names: of a claim, a figure, a label, an address,
/// or in a string that has letters too, such as `#"GSM8K"`.
fn check(prose: &str) -> Result<()> {
    for (line, at) in prose.lines().zip(1..) {
        let line =
            line.split_once("//").filter(|(before, _)| !before.ends_with(':')).map_or(line, |(code, _)| code);
        for (part, index) in line.split('"').zip(0..) {
            let wrong = if index % 2 == 1 {
                part.contains(|c: char| c.is_ascii_digit()) && !part.contains(char::is_alphabetic)
            } else {
                let names = |word: &&str| !word.starts_with(['@', '<']);
                part.split_inclusive([' ', '[', ']', '(', ')'])
                    .filter(names)
                    .any(|word| word.contains(|c: char| c.is_ascii_digit()))
            };
            if wrong {
                bail!(
                    "line {at} has a number typed by hand: {:?}. Take it from the recorded tables, as \
                     `#effect(\"figure/claim\")` does; a name goes into a string, as #\"GSM8K\"",
                    part.trim()
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_typed_by_hand_is_refused_and_a_name_is_not() {
        for fine in [
            "#effect(\"a-11/x\") of #\"GSM8K\"",
            "see @fig-a-11 and <sec-2>",
            "no digits",
            "// 3 in a comment",
        ] {
            check(fine).unwrap();
        }
        for wrong in ["gains 3 points", "about #\"0.35\" nats", "in line\nof 12% more", "(7)"] {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains("typed by hand"), "{error}");
        }
        let second = check("fine\n3").unwrap_err().to_string();
        assert!(second.starts_with("line 2"), "{second}");
    }

    /// Every name that the prose uses is there, so that Typst will not stop at it.
    #[test]
    fn what_the_prose_names_is_recorded() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("tokensieve-manuscript-{}", std::process::id()));
        let prose = fs::read_to_string(write(&folder)?)?;
        let data: Value = serde_json::from_str(&fs::read_to_string(folder.join("data.json"))?)?;
        let mut named = 0;
        for (function, list) in [
            ("#effect(\"", "claims"),
            ("#interval(\"", "claims"),
            ("#verdict(\"", "claims"),
            ("#drawing(\"", "figures"),
            ("#claims(\"", "figures"),
        ] {
            for part in prose.split(function).skip(1) {
                let name = part.split('"').next().unwrap_or_default();
                assert!(data[list][name].is_object(), "{function}{name}\") names nothing that is recorded");
                named += 1;
            }
        }
        assert!(named > 5, "{named}");
        fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
