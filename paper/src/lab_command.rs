//! `paper lab`: the runs behind the figures, done and listed.

use crate::cli::{Lab as Command, OfPlan, Plan, Runs};
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokensieve_paper::lab::queue::{self, Event, Shard};
use tokensieve_paper::lab::{Job, Lab, program};
use tokensieve_paper::planned::runs::{Collected, Conflict, OfStage};
use tokensieve_paper::planned::{Claimed, PlannedRuns, Power, Stage, repeated};
use tokensieve_paper::study::scoring;
use tokensieve_paper::{Profile, checkout, finetune, oracle, proof};

/// Time between lines about what is going on.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Does it.
pub(crate) fn run(command: &Command, out: &Path) -> Result<ExitCode> {
    match command {
        Command::Run { which, jobs, shard } => {
            let Runs { size, plan, stage } = *which;
            let (profile, workers) = (size.profile, jobs.number(size.profile));
            if plan == Some(Plan::Proof) && profile == Profile::Study {
                frozen()?;
            }
            let done = match plan {
                Some(plan) => planned(&missing(plan, profile, stage, out)?, workers, *shard, out)?,
                None => work(profile, workers, *shard, out)?,
            };
            tokensieve_base::output!("{done} runs of the profile {} are done\n", profile.name())?;
        }
        Command::List(Runs { size, plan, stage }) => {
            let lab = Lab::open(out);
            let jobs = match plan {
                Some(plan) => queue::with_needs(&missing(*plan, size.profile, *stage, out)?),
                None => jobs(&study(size.profile, &lab)?, size.profile, &lab)?,
            };
            list(&lab, &jobs)?;
        }
        Command::Rates(OfPlan { plan: Plan::Oracle }) => rates(&oracle::Work::of(Profile::Study)?)?,
        Command::Rates(OfPlan { plan: Plan::Study }) => rates(&finetune::Work::of(Profile::Study)?)?,
        Command::Rates(OfPlan { plan: Plan::Proof }) | Command::Power(OfPlan { plan: Plan::Proof }) => {
            bail!(
                "the plan `proof` takes the rates of the others, and its number of settings is fixed: \
                   give --plan oracle or --plan study"
            )
        }
        Command::Power(OfPlan { plan: Plan::Oracle }) => power(&oracle::Work::of(Profile::Study)?, out)?,
        Command::Power(OfPlan { plan: Plan::Study }) => power(&finetune::Work::of(Profile::Study)?, out)?,
        Command::Collect { of, from, out: file, restate } => {
            let (file, restate) = (file.as_deref(), *restate);
            match of.plan {
                Plan::Oracle => collect(&oracle::Work::of(Profile::Study)?, out, file, from, restate)?,
                Plan::Study => collect(&finetune::Work::of(Profile::Study)?, out, file, from, restate)?,
                Plan::Proof => collect(&proof::Work::of(Profile::Study)?, out, file, from, restate)?,
            }
        }
        Command::Check { of, runs, jobs } => {
            let (runs, workers) = (runs.get(), jobs.number(Profile::Study));
            return match of.plan {
                Plan::Oracle => check(&oracle::Work::of(Profile::Study)?, runs, workers, out),
                Plan::Study => check(&finetune::Work::of(Profile::Study)?, runs, workers, out),
                Plan::Proof => {
                    frozen()?;
                    check(&proof::Work::of(Profile::Study)?, runs, workers, out)
                }
            };
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The jobs of a plan's runs of which the repository keeps nothing.
fn missing(plan: Plan, profile: Profile, stage: Stage, out: &Path) -> Result<Vec<Arc<Job>>> {
    match plan {
        Plan::Oracle => oracle::Work::of(profile)?.missing(stage),
        Plan::Study => study(profile, &Lab::open(out))?.missing(stage),
        Plan::Proof => proof::Work::of(profile)?.missing(stage),
    }
}

/// Refuses to prove one program by another.
fn frozen() -> Result<()> {
    let work = proof::Work::of(Profile::Study)?;
    ensure!(
        work.is_frozen(),
        "paper/plans/proof.toml is about another `tokensieve diagnose`: its key `diagnose` is \"{}\", and the fingerprint of \
         these sources is \"{}\"; the last commit that has it is {} (docs/plans/proof.md, \"Frozen\")",
        work.plan.diagnose,
        proof::Work::program(),
        work.plan.commit,
    );
    Ok(())
}

/// Does a share of a plan's runs; returns how many of them are done then.
fn planned(jobs: &[Arc<Job>], workers: usize, shard: Shard, out: &Path) -> Result<usize> {
    program::find()?;
    let lab = Lab::open(out).with_threads(threads(workers));
    queue::run(&lab, jobs, shard, workers, &printing(&lab, jobs, workers))?;
    Ok(jobs.iter().filter(|job| lab.done(job).is_some()).count())
}

/// Adds what came of a study's finished runs, here and in other files, to a file.
fn collect<S: PlannedRuns>(
    study: &S,
    out: &Path,
    file: Option<&Path>,
    from: &[PathBuf],
    restate: bool,
) -> Result<()> {
    let file =
        file.map_or_else(|| Ok(checkout::needed()?.join(S::KEPT)), |file| anyhow::Ok(file.to_owned()))?;
    let collected = study.collect(&Lab::open(out), &file, from, restate)?;
    let Collected { merged, conflicts, stages, total } = collected;
    for Conflict { file: other, runs } in conflicts {
        let (other, count) = (other.display(), runs.len());
        eprintln!("{other}: {count} outcomes differ from those kept, which stay: {}", runs.join(", "));
    }
    if !from.is_empty() {
        tokensieve_base::output!("{merged} runs of other machines added\n")?;
    }
    for OfStage { stage, added, missing } in stages {
        tokensieve_base::output!("{added} runs added, {missing} of {stage:?} missing\n")?;
    }
    tokensieve_base::output!("{total} runs in {}\n", file.display())?;
    Ok(())
}

/// Does kept runs again, in a folder of their own, and says what differs.
fn check<S: PlannedRuns>(study: &S, runs: usize, workers: usize, out: &Path) -> Result<ExitCode> {
    let (kept, out) = (study.known()?, out.join("check"));
    let cells = repeated::choose(study, &kept, runs)?;
    let jobs: Vec<_> = cells.iter().map(|cell| study.jobs_of(cell)).collect::<Result<Vec<_>>>()?.concat();
    let lab = Lab::open(&out);
    let done = jobs.iter().filter(|job| lab.done(job).is_some()).count();
    if done > 0 {
        eprintln!("{done} jobs are done and not run again; to do them anew, remove {}", out.display());
    }
    planned(&jobs, workers, Shard::ALL, &out)?;
    let mut code = ExitCode::SUCCESS;
    for cell in &cells {
        match repeated::difference(study, &kept, cell, &lab)? {
            None => tokensieve_base::output!("{cell}: the same\n")?,
            Some(difference) => {
                tokensieve_base::output!("{cell}: {difference}\n")?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Prints what each arm is tuned by at each rate that was tried, and the best.
fn rates(study: &impl Claimed) -> Result<()> {
    for found in study.candidates()? {
        let tried: Vec<String> =
            found.tried.iter().map(|(rate, value)| format!("{rate:e} {value:.4}")).collect();
        let best = found.best().map_or_else(String::new, |rate| format!("{rate:e}"));
        tokensieve_base::output!("{:20} {}: {:48} {best}\n", found.arm, found.by, tried.join("  "))?;
    }
    Ok(())
}

/// Prints each primary claim's power, as a table of the plan's page.
fn power(study: &impl Claimed, out: &Path) -> Result<()> {
    let powers = study.power(&Lab::open(out))?;
    ensure!(
        !powers.is_empty(),
        "no claim has pilot runs of two seeds here: do them by `paper lab run --profile study --stage pilot` with this --plan"
    );
    tokensieve_base::output!(
        "| claim | seeds | pilot's | difference | deviation | at most | detectable | at most | matters | found | equal |\n"
    )?;
    tokensieve_base::output!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")?;
    for power in powers {
        let Power {
            claim,
            pilot,
            seeds,
            deviation,
            limit,
            detectable: [least, surely],
            matters,
            found,
            equal,
        } = power;
        tokensieve_base::output!(
            "| {claim} | {seeds} | {} | {:.4} | {deviation:.4} | {limit:.4} | {least:.4} | {surely:.4} | {matters} \
             | {:.0} % | {:.0} % |\n",
            pilot.seeds,
            pilot.difference,
            100.0 * found,
            100.0 * equal,
        )?;
    }
    Ok(())
}

/// Threads of each of some workers.
fn threads(workers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / workers.max(1)).max(1)
}

/// The plan of fine-tuning at a profile's size, with what can be had.
fn study(profile: Profile, lab: &Lab) -> Result<finetune::Work> {
    let study = finetune::Work::available(profile, lab)?;
    for set in &study.missing {
        eprintln!("{set} cannot be obtained: what needs it is left out");
    }
    if !study.missing.is_empty() && profile == Profile::Study {
        eprintln!(
            "runs without a part of the data are not those that the plan asks for: `paper lab collect` does not keep them"
        );
    }
    Ok(study)
}

/// The runs of all plans and the scorings of documents, each after what it needs.
fn jobs(study: &finetune::Work, profile: Profile, lab: &Lab) -> Result<Vec<Arc<Job>>> {
    let mut jobs = study.timed()?;
    jobs.extend(study.missing(Stage::Main)?);
    jobs.extend(scoring::jobs(profile, lab)?);
    let oracle = oracle::Work::of(profile)?;
    jobs.extend(oracle.missing(Stage::Main)?);
    jobs.extend(oracle.shown()?.measured.into_iter().map(|(_, job)| job));
    jobs.extend(proof::Work::of(profile)?.missing(Stage::Main)?);
    Ok(queue::with_needs(&jobs))
}

/// Does a share of a profile's runs, `workers` at a time; returns how many of the profile's are done then.
pub(crate) fn work(profile: Profile, workers: usize, shard: Shard, out: &Path) -> Result<usize> {
    // Before hours of waiting for others.
    program::find()?;
    let lab = Lab::open(out).with_threads(threads(workers));
    let study = study(profile, &lab)?;
    let (timed, runs) = (study.timed()?, jobs(&study, profile, &lab)?);
    let event = printing(&lab, &runs, workers);
    // What is compared by its time is done by one machine, with all cores for one run at a time.
    let is_mine = timed.first().is_some_and(|first| shard.owns(first));
    let mine = if is_mine { timed.as_slice() } else { &[] };
    let outcome = queue::run(&Lab::open(out), mine, Shard::ALL, 1, &event);
    let is_timed = |job: &Arc<Job>| timed.iter().any(|timed| timed.id() == job.id());
    let others: Vec<_> = runs.iter().filter(|job| !is_timed(job)).cloned().collect();
    // A failed run stops only those that need it.
    outcome.and(queue::run(&lab, &others, shard, workers, &event))?;
    Ok(runs.iter().filter(|job| lab.done(job).is_some()).count())
}

/// Tells people what goes on, and how long the rest of the jobs will take.
fn printing<'a>(lab: &'a Lab, jobs: &'a [Arc<Job>], workers: usize) -> impl Fn(Event<'_>) + Sync + 'a {
    let spoken = Mutex::new(Instant::now());
    let quiet_for = move |time: Duration| {
        spoken.lock().is_ok_and(|mut last| {
            let due = last.elapsed() > time;
            if due {
                *last = Instant::now();
            }
            due
        })
    };
    move |event: Event<'_>| match event {
        Event::Begun(job, done, total) => {
            let left = queue::estimate(lab, jobs) / workers.max(1) as f64;
            eprintln!("[{done}/{total}] {}, {} to go", job.name, time(left));
        }
        Event::Output(job, line) if quiet_for(BETWEEN_LINES) => eprintln!("    {}: {line}", job.name),
        Event::Done(job, seconds) => eprintln!("    {}: {}", job.name, time(seconds)),
        Event::Failed(job, error) => eprintln!("    {} FAILED: {error:#}", job.name),
        Event::Waiting if quiet_for(BETWEEN_LINES) => eprintln!("    waiting for other processes"),
        Event::Output(..) | Event::Waiting => {}
    }
}

fn list(lab: &Lab, jobs: &[Arc<Job>]) -> Result<()> {
    let mut done = 0;
    for job in jobs {
        let state = match lab.result(job) {
            Ok(Some(provenance)) => {
                done += 1;
                format!("done in {}", time(provenance.seconds))
            }
            Ok(None) => "missing".into(),
            Err(_) => "damaged".into(),
        };
        tokensieve_base::output!("{}  {state:<16} {}\n", &job.id()[..8], job.name)?;
    }
    tokensieve_base::output!(
        "{done} of {} done; about {} to go\n",
        jobs.len(),
        time(queue::estimate(lab, jobs))
    )?;
    Ok(())
}

/// A duration as people say it.
fn time(seconds: f64) -> String {
    if seconds < 100.0 {
        format!("{seconds:.0} s")
    } else if seconds < 6000.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_that_computes_with_a_model_says_in_which_precision() -> Result<()> {
        let says = |job: &serde_json::Value| {
            let computes = !["make", "topk"].iter().any(|verb| job["verb"] == *verb);
            let settings = &job["settings"];
            !computes || settings["precision"] == "bf16" || settings["model.dtype"] == "bf16"
        };
        let (profile, lab) = (Profile::Smoke, Lab::fixture()?);
        for job in jobs(&study(profile, &lab)?, profile, &lab)? {
            let described = job.describe();
            let then = described.get("then").is_none_or(says);
            assert!(says(&described) && then, "{described}");
        }
        Ok(())
    }
}
