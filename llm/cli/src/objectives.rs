//! `tokensieve objectives`.

use tokensieve_objective::{Description, KEYS, Objective, Variable, presets};

/// The functions of expressions: how each is written, and what it computes.
const FUNCTIONS: [(&str, &str); 11] = [
    ("log(x)", "natural logarithm"),
    ("exp(x)", "exponential"),
    ("sqrt(x)", "square root"),
    ("sg(x)", "x, held constant (stop-gradient)"),
    ("mean(x)", "the mean of x over the batch's tokens, held constant"),
    ("min(x, y)", "the smaller"),
    ("max(x, y)", "the larger"),
    ("pow(x, y)", "the same as x^y"),
    ("clamp(x, low, high)", "x, at least low and at most high"),
    ("if(condition, x, y)", "x where the condition is not 0, else y"),
    ("f_alpha(α)", "(1 - p^α)/α, and -log p at α = 0"),
];

/// The preset or the language to show.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "docs/objectives.md is the manual: every key with an example, selection, expressions, recipes."
)]
pub struct Arguments {
    /// Preset to show in full, with the table that defines it; without it, all presets are listed
    #[arg(allow_hyphen_values = true)]
    name: Option<String>,
    /// List the keys of a table [objective], and the operators, functions and variables of its expressions
    #[arg(long, conflicts_with = "name")]
    language: bool,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let text = if self.language { language() } else { self.name.map_or_else(list, |name| one(&name))? };
        Ok(tokensieve_base::output!("{text}")?)
    }
}

/// Description and table of a preset.
fn one(name: &str) -> anyhow::Result<String> {
    let description = described(&Objective::preset(name)?.describe());
    let text = presets::text(name)?;
    Ok(format!("{description}\n[objective]\n{}", text.replace("\n[", "\n[objective.")))
}

/// A description, with a remark where its formula is not what one writes.
fn described(description: &Description) -> String {
    let is_sum = description.selected.contains("distill(") && !description.selected.starts_with("distill(");
    let remark = "  written    as the keys `selected`, `reference` and `against`: a sum with distill(…) is not an expression\n";
    format!("{description}{}", if is_sum { remark } else { "" })
}

/// The keys of an objective's table, and the language of its expressions.
fn language() -> String {
    let mut text = "Keys of [objective]\n".to_owned();
    for key in KEYS {
        text += &format!("  {:<16} {}; default {}\n", key.name, key.about, key.default);
    }
    text += "\nselected, otherwise, weight, reference and select.by are expressions\n";
    for (what, how) in [
        ("numbers", "1, 0.5, 1e-3"),
        ("operators", "+ - * / ^ and brackets; -p^10 is -(p^10)"),
        ("comparisons", "< <= > >= == !=: 1 where true, else 0; one per bracket"),
    ] {
        text += &format!("  {what:<16} {how}\n");
    }
    text += "\nFunctions; brackets may be left out around one argument: log p\n";
    for (function, about) in FUNCTIONS {
        text += &format!("  {function:<20} {about}\n");
    }
    text += "\nVariables, and where a run gets them\n";
    for (_, name, about, provider) in Variable::ALL {
        text += &format!("  {name:<16} {about} ({provider})\n");
    }
    text
}

/// Descriptions of all presets.
fn list() -> anyhow::Result<String> {
    let mut all = Vec::new();
    for name in presets::names() {
        all.push(described(&Objective::preset(name)?.describe()));
    }
    Ok(all.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokensieve_objective::Expression;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_name_may_begin_with_a_hyphen() {
        assert_eq!(Line::parse_from(["", "-p"]).arguments.name.as_deref(), Some("-p"));
        let help = Line::try_parse_from(["", "--help"]).err().unwrap();
        assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp);
    }

    /// The parser's own list is in the error of a name that it does not know.
    #[test]
    fn the_language_is_listed_completely() {
        let error = Expression::parse("nobody").unwrap_err().to_string();
        let (_, names) = error.split_once("(there are ").unwrap();
        let text = language();
        let is_listed = |name: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix("  "))
                .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '('])))
        };
        for name in names.trim_end_matches(')').split(", ").chain(KEYS.iter().map(|key| key.name)) {
            assert!(is_listed(name), "{name}\n{text}");
        }
        let numbers = ["p", "0.5", "0.7"];
        for (function, _) in FUNCTIONS {
            let (name, arguments) = function.trim_end_matches(')').split_once('(').unwrap();
            let count = arguments.split(", ").count();
            let written = format!("{name}({})", numbers[3 - count..].join(", "));
            Expression::parse(&written).unwrap();
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        for name in presets::names() {
            let text = one(name).unwrap();
            let table = &text[text.find("[objective]").unwrap()..];
            assert_eq!(Objective::from_toml(table).unwrap(), Objective::preset(name).unwrap(), "{name}");
            let selected = Objective::preset(name).unwrap().describe().selected;
            // What is printed as an expression is one; asft says why its sum is not.
            let written = Expression::parse(&selected).is_ok() || selected.starts_with("distill(");
            assert_eq!(!written, text.contains("is not an expression"), "{name}: {selected}");
            assert!(list().unwrap().contains(&text[..text.find("\n\n[").unwrap()]), "{name}");
        }
        assert!(one("mel").unwrap_err().to_string().contains("did you mean `mle`"));
    }
}
