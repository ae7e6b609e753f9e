//! `tokensieve objectives`.

use tokensieve_objective::{Objective, presets};

/// Which to show.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Print this one in full, with the table that defines it
    name: Option<String>,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let text = self.name.map_or_else(list, |name| one(&name))?;
        Ok(tokensieve_model::output!("{text}")?)
    }
}

/// Description and table.
fn one(name: &str) -> anyhow::Result<String> {
    let description = Objective::preset(name)?.describe();
    let text = presets::text(name)?;
    Ok(format!("{description}\n[objective]\n{}", text.replace("\n[", "\n[objective.")))
}

/// All, one paragraph each.
fn list() -> anyhow::Result<String> {
    let mut all = Vec::new();
    for name in presets::names() {
        all.push(Objective::preset(name)?.describe().to_string());
    }
    Ok(all.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
