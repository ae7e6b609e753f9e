//! `tokensieve objectives`.

use tokensieve_objective::{Objective, presets};

/// The preset to show.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Preset to show in full, with the table that defines it; without it, all presets are listed
    #[arg(allow_hyphen_values = true)]
    name: Option<String>,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let text = self.name.map_or_else(list, |name| one(&name))?;
        Ok(tokensieve_model::output!("{text}")?)
    }
}

/// Description and table of a preset.
fn one(name: &str) -> anyhow::Result<String> {
    let description = Objective::preset(name)?.describe();
    let text = presets::text(name)?;
    Ok(format!("{description}\n[objective]\n{}", text.replace("\n[", "\n[objective.")))
}

/// Descriptions of all presets.
fn list() -> anyhow::Result<String> {
    let mut all = Vec::new();
    for name in presets::names() {
        all.push(Objective::preset(name)?.describe().to_string());
    }
    Ok(all.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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

    #[test]
    fn what_is_printed_can_be_read_again() {
        for name in presets::names() {
            let text = one(name).unwrap();
            let table = &text[text.find("[objective]").unwrap()..];
            assert_eq!(Objective::from_toml(table).unwrap(), Objective::preset(name).unwrap(), "{name}");
            assert!(list().unwrap().contains(&text[..text.find("\n\n[").unwrap()]), "{name}");
        }
        assert!(one("mel").unwrap_err().to_string().contains("did you mean `mle`"));
    }
}
