//! The `paper` binary: every command in one `match`, every exit code in one place.

mod cli;
mod lab_command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use cli::{Cli, Command, Source};
use console::Term;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokensieve_paper::cache::{Cache, write_atomically};
use tokensieve_paper::lab::queue::Shard;
use tokensieve_paper::ledger::Ledger;

use tokensieve_paper::recorded::{Agreement, Recorded, record};
use tokensieve_paper::{
    Entry, Made, Profile, book, checkout, engine, figures, manuscript, moved, readme, report,
};
use tokensieve_plot::{Theme, png};

/// A verdict differs from the recorded one.
const DISAGREES: u8 = 3;
/// Columns of a ledger that is not printed on a terminal.
const WIDE: u16 = 180;
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Cached units are whole files, so there is nothing to clean up.
    let handler = ctrlc::set_handler(|| {
        eprintln!("\nStopped. What was finished is kept: the same command continues from here.");
        std::process::exit(INTERRUPTED);
    });
    if let Err(error) = handler {
        eprintln!("warning: Ctrl-C will stop without a message ({error})");
    }
    match run(&cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    let out = checkout::out_folder();
    match command {
        Command::Reproduce { size, jobs } => reproduce(size.profile, jobs.number(size.profile), &out),
        Command::Figure { ids, source, png } => {
            let all = made(&select(ids)?, *source, &out)?;
            let missing: Vec<&str> = ids
                .iter()
                .map(String::as_str)
                .filter(|id| !all.iter().any(|made| made.about.id == *id))
                .collect();
            ensure!(
                missing.is_empty(),
                "no table is recorded of {}; without --recorded they are made",
                missing.join(", ")
            );
            for made in all {
                let folder = out.join(if source.recorded { "recorded" } else { source.size.profile.name() });
                engine::write(&made, &folder)?;
                tokensieve_base::output!("{}\n", folder.join(format!("{}.svg", made.about.id)).display())?;
                let path = folder.join(format!("{}.png", made.about.id));
                // One of earlier numbers would lie beside the new table.
                if *png || path.exists() {
                    write_atomically(&path, png::render(&made.svg(&Theme::LIGHT), 2.0)?)?;
                    tokensieve_base::output!("{}\n", path.display())?;
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::List => {
            for about in figures::registry().iter().map(|entry| entry.figure.about()) {
                tokensieve_base::output!("{:<24} {:<28} {}\n", about.id, about.source, about.title)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Claims(source) => claims(*source, &out),
        Command::Report { source, serve } => {
            let made = made(&figures::registry(), *source, &out)?;
            let index = write_report(&made, &Recorded::load()?, &out)?;
            if *serve {
                let folder = index.parent().context("the report's folder")?;
                report::serve(folder, |address| {
                    drop(tokensieve_base::output!("{address}  (Ctrl-C ends it)\n"));
                })?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Record { ids, size, verdicts } => {
            let entries = select(ids)?;
            let made = if *verdicts {
                Recorded::load()?.figures(&entries)?
            } else {
                make_each(&entries, size.profile, &out)?
            };
            let folder = record(&made)?;
            tokensieve_base::output!("{}\n", folder.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Manuscript => {
            tokensieve_base::output!("{}\n", manuscript::write(&out.join("manuscript"))?.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Readme => {
            tokensieve_base::output!("{}\n", readme::write()?.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Book => {
            tokensieve_base::output!("{}\n", book::write()?.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Moved { base } => {
            let all = moved::since(base, &figures::registry())?;
            tokensieve_base::output!("{}", moved::markdown(base, &all))?;
            eprintln!("{}", moved::write(base, &all, &out.join("moved"))?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Lab(command) => lab_command::run(command, &out),
        Command::Bits { ids } => {
            for made in engine::make_all_synthetic(&select(ids)?)? {
                tokensieve_base::output!("{}  {}\n", made.provenance.table_sha256, made.about.id)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn reproduce(profile: Profile, jobs: usize, out: &Path) -> Result<ExitCode> {
    // The figures would ask for these runs one after the other.
    lab_command::work(profile, jobs, Shard::ALL, out)?;
    let made = make_each(&figures::registry(), profile, out)?;
    let recorded = Recorded::load()?;
    for made in &made {
        engine::write(made, &out.join(profile.name()))?;
        tokensieve_base::output!("{:<24} {}\n", made.about.id, agreement(&recorded.agreement(made)?))?;
    }
    let ledger = Ledger::new(&made, &recorded);
    tokensieve_base::output!("\n{}\n", ledger.summary())?;
    for disagreement in ledger.disagreements() {
        tokensieve_base::output!("{disagreement}\n")?;
    }
    write_report(&made, &recorded, out)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the report and says where; returns its first page.
fn write_report(made: &[Made], recorded: &Recorded, out: &Path) -> Result<PathBuf> {
    let index = report::write(made, recorded, &out.join("report"))?;
    tokensieve_base::output!("{}\n", index.display())?;
    Ok(index)
}

fn claims(source: Source, out: &Path) -> Result<ExitCode> {
    let made = made(&figures::registry(), source, out)?;
    let recorded = Recorded::load()?;
    let ledger = Ledger::new(&made, &recorded);
    let width = Term::stdout().size_checked().map_or(WIDE, |size| size.1);
    tokensieve_base::output!("{}\n{}\n", ledger.to_text(width), ledger.summary())?;
    if source.size.profile == Profile::Smoke {
        tokensieve_base::output!(
            "Verdicts of the smoke profile are meaningless and were not compared with the recorded ones.\n"
        )?;
    }
    let disagreements = ledger.disagreements();
    for disagreement in &disagreements {
        tokensieve_base::output!("{disagreement}\n")?;
    }
    Ok(if disagreements.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DISAGREES) })
}

/// Figures, recorded or made.
fn made(entries: &[Entry], source: Source, out: &Path) -> Result<Vec<Made>> {
    if source.recorded {
        Recorded::load()?.figures(entries)
    } else {
        make_each(entries, source.size.profile, out)
    }
}

/// Makes figures in order, computing only what has changed.
fn make_each(entries: &[Entry], profile: Profile, out: &Path) -> Result<Vec<Made>> {
    let cache = Cache::open(&out.join("cache"))?;
    entries.iter().map(|entry| engine::make(entry, profile, Some(&cache))).collect()
}

/// The figures of these ids, or all.
fn select(ids: &[String]) -> Result<Vec<Entry>> {
    if ids.is_empty() {
        return Ok(figures::registry());
    }
    ids.iter().map(|id| figures::named(id)).collect()
}

fn agreement(agreement: &Agreement) -> String {
    match agreement {
        Agreement::Identical => "identical to the recorded table".into(),
        Agreement::Within(difference) => format!("within {difference:.1e} of the recorded table"),
        Agreement::Different(how) => format!("DIFFERS from the recorded table: {how}"),
        Agreement::NotCompared(why) => format!("not compared: {why}"),
    }
}
