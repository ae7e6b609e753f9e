//! What the manuscript is made of: every number, table and drawing in it comes from the recorded tables.
//!
//! `paper/manuscript/` has the prose (`manuscript.typ`) and its look (`style.typ`). The prose may not hold a number of its
//! own, which is checked; that it takes the direction of every finding from the data too is up to its author.
//! [`write()`] puts both files beside `data.json` and the drawings, for Typst to compile.

use crate::cache::write_atomically;
use crate::checkout;
use crate::ledger::{Kind, Ledger, effect, interval, threshold};
use crate::provenance;
use crate::read;
use crate::recorded::Recorded;
use crate::study::models;
use crate::{Claim, Estimate, Made, Verdict, figures, finetune};
use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tokensieve_plot::{Theme, unmarked};

const PROSE: &str = "manuscript.typ";
const STYLE: &str = "style.typ";

/// Writes everything into `folder`; returns the file to compile.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let sources = checkout::needed()?.join("paper/manuscript");
    let read = |name: &str| read::text(&sources.join(name));
    let prose = read(PROSE)?;
    check_numbers(&prose).with_context(|| format!("paper/manuscript/{PROSE}"))?;
    let recorded = Recorded::load()?;
    let made = recorded.figures(&figures::registry())?;
    for made in &made {
        write_atomically(&folder.join(format!("{}.svg", made.about.id)), made.svg(&Theme::LIGHT))?;
    }
    write_atomically(&folder.join("data.json"), serde_json::to_string_pretty(&data(&made)?)? + "\n")?;
    write_atomically(&folder.join(STYLE), read(STYLE)?)?;
    write_atomically(&folder.join(PROSE), prose)?;
    Ok(folder.join(PROSE))
}

/// Numbers and texts, under the names by which the prose refers to them.
fn data(made: &[Made]) -> Result<Value> {
    let recorded = Recorded::default();
    let primary: Vec<String> =
        finetune::Plan::load()?.claims.iter().map(|claim| format!("study/{}", claim.id)).collect();
    let ledger = Ledger::new(made, &recorded);
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
            "claims": ids, "sizes": models::sizes(&made.provenance).map_or_else(String::new, |(_, sizes)| sizes),
            "profile": p.profile, "date": p.date.split('T').next(), "cpu": p.computed_on(), "threads": p.host.threads,
            "commit": provenance::short(&p.computed_by()), "seconds": format!("{:.0}", p.seconds),
        });
        (made.about.id.to_owned(), about)
    };
    Ok(json!({
        "claims": claims,
        "primary": primary,
        "figures": made.iter().map(figure).collect::<Map<String, Value>>(),
        "order": made.iter().map(|made| made.about.id).collect::<Vec<_>>(),
        "models": ledger.models().unwrap_or_default(),
        "kinds": ledger.kinds().iter().map(kind).collect::<Vec<_>>(),
    }))
}

/// What the verdict table and the abstract say of one kind of evidence.
fn kind(kind: &Kind) -> Value {
    json!({
        "name": kind.name, "meaning": kind.meaning, "tests": kind.tests, "claims": kind.claims, "verdicts": kind.verdicts,
        "text": kind.to_string(),
    })
}

fn claim_data(claim: &Claim) -> Value {
    let reason = match &claim.verdict {
        Verdict::NotTested(reason) => reason.as_str(),
        _ => "",
    };
    let reversed = Claim { estimate: claim.estimate.map(reversed), ..claim.clone() };
    json!({
        "statement": unmarked(&claim.statement),
        "source": claim.source,
        "test": unmarked(&claim.test),
        "effect": effect(claim),
        "interval": interval(claim),
        "reversed": { "effect": effect(&reversed), "interval": interval(&reversed) },
        "side": claim.estimate.map(side),
        "threshold": threshold(claim),
        "n": claim.estimate.map(|estimate| estimate.n),
        "verdict": claim.verdict.to_string(),
        "reason": unmarked(reason),
    })
}

/// The effect and its interval with the opposite sign.
fn reversed(estimate: Estimate) -> Estimate {
    Estimate { value: -estimate.value, low: -estimate.high, high: -estimate.low, ..estimate }
}

/// The side of zero on which the whole interval lies, if it lies on one. What came out the same each time has no side, as it
/// has no verdict.
fn side(estimate: Estimate) -> &'static str {
    if estimate.n > 1 && estimate.is_without_spread() {
        "neither"
    } else if estimate.above(0.0) {
        "above"
    } else if estimate.below(0.0) {
        "below"
    } else {
        "neither"
    }
}

/// A line of prose without its comment.
fn uncommented(line: &str) -> &str {
    line.split_once("//").filter(|(before, _)| !before.ends_with(':')).map_or(line, |(code, _)| code)
}

/// Refuses prose with a number typed by hand. Digits may stand in names: of a claim, a figure, a label, an address,
/// or in a string, if no word of it begins with them, signs apart: `#"GSM8K"`.
fn check_numbers(prose: &str) -> Result<()> {
    for (line, at) in prose.lines().zip(1..) {
        let line = uncommented(line);
        for (part, index) in line.split('"').zip(0..) {
            let wrong = if index % 2 == 1 {
                let first = |word: &str| word.chars().find(|c| c.is_alphanumeric());
                part.split([' ', '=', '<', '>']).filter_map(first).any(|c| c.is_ascii_digit())
            } else {
                let names = |word: &&str| !word.starts_with(['@', '<']);
                part.split_inclusive([' ', '[', ']', '(', ')'])
                    .filter(names)
                    .any(|word| word.contains(|c: char| c.is_ascii_digit()))
            };
            if wrong {
                bail!(
                    "line {at} has a number typed by hand: {:?}. Take it from the recorded tables, as \
                     `#effect(\"figure/claim\")` does, or put it into a string if it is part of a name, as #\"GSM8K\"",
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
    use std::fs;

    #[test]
    fn a_number_typed_by_hand_is_refused_and_a_name_is_not() {
        for fine in [
            "#effect(\"a-11/x\") of #\"GSM8K\"",
            "see @fig-a-11 and <sec-2>",
            "#link(\"https://arxiv.org/abs/2503.16511\")[it], #image(\"a-2c.svg\")",
            "no digits",
            "// 3 in a comment",
        ] {
            check_numbers(fine).unwrap();
        }
        for wrong in [
            "gains 3 points",
            "about #\"0.35\" nats",
            "in line\nof 12% more",
            "(7)",
            "#\"0.35 nats\"",
            "#\"3 points\"",
            "#\"p = 0.01\"",
            "#\"p=0.01\"",
            "#\"rises by −.5\"",
            "#\"(+2 of GSM8K)\"",
        ] {
            let error = check_numbers(wrong).unwrap_err().to_string();
            assert!(error.contains("typed by hand"), "{error}");
        }
        let second = check_numbers("fine\n3").unwrap_err().to_string();
        assert!(second.starts_with("line 2"), "{second}");
    }

    #[test]
    fn a_claim_says_on_which_side_of_zero_it_lies_and_reads_both_ways() {
        let data = |low, high| {
            let estimate = Estimate { value: f64::midpoint(low, high), low, high, n: 3 };
            claim_data(&Claim::new("x/y", "A", "s").above(2.0, estimate, "t"))
        };
        let rise = data(1.0, 3.0);
        assert_eq!([&rise["side"], &rise["threshold"]], ["above", "2"]);
        assert_eq!([&rise["effect"], &rise["reversed"]["effect"]], ["2.00", "−2.00"]);
        assert_eq!(rise["reversed"]["interval"], "−3.00 to −1.00; claimed > 2");
        assert_eq!([&data(-3.0, -1.0)["side"], &data(0.0, 1.0)["side"]], ["below", "neither"]);
        assert_eq!(data(0.0, 0.0)["reversed"]["effect"], "0.00");
        let same = data(-0.007_463_000_000_000_093, -0.007_462_999_999_999_916);
        assert_eq!([&same["side"], &same["verdict"]], ["neither", "undecided"]);
        assert!(claim_data(&Claim::new("x/y", "A", "s"))["side"].is_null());
    }

    /// Every name that the prose uses is there, so that Typst will not stop at it: a claim, a figure, or what claims
    /// on several corpora are called without theirs.
    #[test]
    fn what_the_prose_names_is_recorded() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path();
        let prose = fs::read_to_string(write(folder)?)?;
        let data: Value = serde_json::from_str(&fs::read_to_string(folder.join("data.json"))?)?;
        let claims = data["claims"].as_object().context("claims")?;
        let mut named = 0;
        for name in prose.split('"').skip(1).step_by(2) {
            if name.contains('/') && !name.contains("://") {
                let of_corpora = |id: &String| id.starts_with(&format!("{name}-"));
                assert!(
                    claims.contains_key(name) || claims.keys().any(of_corpora),
                    "{name} is no recorded claim"
                );
                named += 1;
            }
        }
        for function in ["#drawing(\"", "#sizes(\""] {
            for part in prose.split(function).skip(1) {
                let name = part.split('"').next().unwrap_or_default();
                assert!(
                    data["figures"][name].is_object(),
                    "{function}{name}\") names nothing that is recorded"
                );
                named += 1;
            }
        }
        assert!(named > 5, "{named}");
        Ok(())
    }
}
