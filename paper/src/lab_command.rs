//! `paper lab`: the runs behind the figures, done and listed.

use crate::cli::Lab as Command;
use anyhow::Result;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokensieve_paper::Profile;
use tokensieve_paper::lab::queue::{self, News, Shard};
use tokensieve_paper::lab::{Job, Lab, program};
use tokensieve_paper::study::{Study, held_out, scoring};

/// Time between lines about what is going on.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Does it.
pub(crate) fn run(command: Command, out: &Path) -> Result<ExitCode> {
    match command {
        Command::Run { size, jobs, shard } => {
            let done = work(size.profile, jobs.number(size.profile), shard, out)?;
            println!("{done} runs of the profile {} are done", size.profile.name());
            Ok(ExitCode::SUCCESS)
        }
        Command::List(size) => list(size.profile, out),
    }
}

fn study(profile: Profile, lab: &Lab) -> Study {
    let study = Study::new(profile, lab);
    for set in &study.missing {
        eprintln!("{set} cannot be had here: what needs it is left out");
    }
    study
}

/// The grid, then the scorings of documents, each after what it needs. Checkpoints are scored of runs that are done.
fn jobs(profile: Profile, study: &Study, lab: &Lab) -> Result<Vec<Arc<Job>>> {
    let mut jobs = study.jobs()?;
    jobs.extend(scoring::jobs(profile, lab)?);
    jobs.extend(held_out::jobs(profile, study, lab)?);
    Ok(queue::with_needs(&jobs))
}

/// Does a share of a profile's runs, `workers` at a time; returns how many of the profile's are done then.
pub(crate) fn work(profile: Profile, workers: usize, shard: Shard, out: &Path) -> Result<usize> {
    // Before hours of waiting for others.
    program::find()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lab = Lab::open(out).with_threads((cores / workers.max(1)).max(1));
    let study = study(profile, &lab);
    let runs = jobs(profile, &study, &lab)?;
    let news = telling(&lab, &runs, workers);
    if workers > 1 {
        queue::run(&Lab::open(out), &study.timed()?, shard, 1, &news)?;
    }
    queue::run(&lab, &runs, shard, workers, &news)?;
    // Now it is known which checkpoints there are to score.
    let all = jobs(profile, &study, &lab)?;
    queue::run(&lab, &all, shard, workers, &telling(&lab, &all, workers))?;
    Ok(all.iter().filter(|job| lab.done(job).is_some()).count())
}

/// Tells people what goes on, and how long the rest of the jobs will take.
fn telling<'a>(lab: &'a Lab, jobs: &'a [Arc<Job>], workers: usize) -> impl Fn(News<'_>) + Sync + 'a {
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
    move |news: News<'_>| match news {
        News::Begun(job, done, total) => {
            let left = queue::estimate(lab, jobs) / workers.max(1) as f64;
            eprintln!("[{done}/{total}] {}, {} to go", job.name, time(left));
        }
        News::Said(job, line) if quiet_for(BETWEEN_LINES) => eprintln!("    {}: {line}", job.name),
        News::Done(job, seconds) => eprintln!("    {}: {}", job.name, time(seconds)),
        News::Failed(job, error) => eprintln!("    {} FAILED: {error:#}", job.name),
        News::Waiting if quiet_for(BETWEEN_LINES) => eprintln!("    waiting for other processes"),
        News::Said(..) | News::Waiting => {}
    }
}

fn list(profile: Profile, out: &Path) -> Result<ExitCode> {
    let lab = Lab::open(out);
    let jobs = jobs(profile, &study(profile, &lab), &lab)?;
    let mut done = 0;
    for job in &jobs {
        let state = match lab.done(job) {
            Some(provenance) => {
                done += 1;
                format!("done in {}", time(provenance.seconds))
            }
            None => "missing".into(),
        };
        println!("{}  {state:<16} {}", &job.id()[..8], job.name);
    }
    println!("{done} of {} done; about {} to go", jobs.len(), time(queue::estimate(&lab, &jobs)));
    Ok(ExitCode::SUCCESS)
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
