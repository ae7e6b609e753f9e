//! `tokensieve-data`: the catalogue from the command line.

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tokensieve_data::{Availability, Catalogue, Set};

/// Fetches the data sets, models and libraries of tokensieve, each checked against its SHA-256.
///
/// They are kept in `$TOKENSIEVE_CACHE` (default ~/.cache/tokensieve). `$TOKENSIEVE_MIRROR` names a folder with copies
/// that is tried before any download (default ../shared/data; `none` switches it off).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Fetch sets that are not in the cache yet
    Fetch {
        /// Names as `tokensieve-data list` shows them
        #[arg(required = true)]
        names: Vec<String>,
        /// Fail instead of using a fallback
        #[arg(long)]
        exactly: bool,
        /// Print the paths of the fetched files
        #[arg(long)]
        paths: bool,
    },
    /// List all sets with size and licence, and whether they are in the cache
    List,
    /// Check for every set whether its sources are reachable, without fetching
    Reach,
    /// Read cached files again and compare their SHA-256
    Verify {
        /// Names (default: all sets that are in the cache)
        names: Vec<String>,
    },
}

fn main() -> Result<()> {
    let catalogue = Catalogue::load()?;
    match Arguments::parse().verb {
        Verb::Fetch { names, exactly, paths } => {
            for name in names {
                fetch(&catalogue, &name, exactly, paths)?;
            }
            Ok(())
        }
        Verb::List => list(&catalogue),
        Verb::Reach => reach(&catalogue),
        Verb::Verify { names } => verify(&catalogue, names),
    }
}

fn fetch(catalogue: &Catalogue, name: &str, exactly: bool, paths: bool) -> Result<()> {
    let files = if exactly { catalogue.fetch_exactly(name)? } else { catalogue.fetch(name)? };
    if let Some(instead) = files.substitution() {
        eprintln!("{name}: {}; using {} instead", instead.reason, files.title());
    }
    if paths {
        for path in files.paths().values() {
            tokensieve_base::output!("{}\n", path.display())?;
        }
    }
    Ok(())
}

fn list(catalogue: &Catalogue) -> Result<()> {
    let width = catalogue.sets().keys().map(String::len).max().unwrap_or(0);
    for (name, set) in catalogue.sets() {
        let mark = if catalogue.is_cached(name)? { "cached" } else { "" };
        tokensieve_base::output!(
            "{name:width$}  {:>9}  {mark:6}  {}\n{:width$}  licence: {}\n",
            size(set),
            set.title,
            "",
            set.licence
        )?;
    }
    tokensieve_base::output!("\ncache:  {}\n", catalogue.folders().cache.display())?;
    let mirror =
        catalogue.folders().mirror.as_ref().map_or("none".into(), |folder| folder.display().to_string());
    tokensieve_base::output!("mirror: {mirror}\n")?;
    Ok(())
}

fn reach(catalogue: &Catalogue) -> Result<()> {
    for (name, set) in catalogue.sets() {
        let state = match (catalogue.availability(name)?, &set.fallback) {
            (Availability::Cached, _) => "in the cache".to_owned(),
            (Availability::Reachable(sources), _) if sources.len() == 1 => sources[0].clone(),
            (Availability::Reachable(sources), _) => format!("{} and {} more", sources[0], sources.len() - 1),
            (Availability::Unreachable, Some(fallback)) => format!("not reachable; fallback: {fallback}"),
            (Availability::Unreachable, None) => "not reachable".to_owned(),
        };
        tokensieve_base::output!("{name:22} {state}\n")?;
    }
    Ok(())
}

fn size(set: &Set) -> String {
    format!("{:.1} MB", set.files.values().map(|file| file.bytes).sum::<u64>() as f64 / 1e6)
}

fn verify(catalogue: &Catalogue, mut names: Vec<String>) -> Result<()> {
    if names.is_empty() {
        for name in catalogue.sets().keys() {
            if catalogue.is_cached(name)? {
                names.push(name.clone());
            }
        }
    }
    let mut wrong = 0;
    for name in &names {
        for (key, right) in catalogue.verify(name)? {
            tokensieve_base::output!(
                "{name}/{key}: {}\n",
                if right { "correct" } else { "missing or wrong" }
            )?;
            wrong += usize::from(!right);
        }
    }
    if wrong > 0 {
        bail!("{wrong} files are missing or wrong; run `tokensieve-data fetch NAME` to replace them");
    }
    Ok(())
}
