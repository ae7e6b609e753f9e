//! What figures read of a task that `tokensieve evaluate` evaluates.

use super::Job;
use std::path::PathBuf;

/// The measures of a task, with or without a number of sampled replies: name, and whether it is a share of right answers.
/// The first is the task's headline.
pub fn measures(task: &str) -> &'static [(&'static str, bool)] {
    match name(task) {
        _ if task.starts_with("nll:") => &[("nll", false)],
        "arithmetic" => &[("strict", true)],
        "arithmetic-words" => &[("number", true)],
        "figfont" | "cipher" => &[("exact", true), ("jaro-winkler", true)],
        "gsm8k-paired" => &[("acc", true), ("margin", false)],
        "instructions" => &[("each", true)],
        _ => &[("acc", true)],
    }
}

/// The name of a task without its number of sampled replies.
fn name(task: &str) -> &str {
    task.split_once('@').map_or(task, |(name, _)| name)
}

/// How many replies to each of its questions are graded.
pub fn replies(task: &str) -> u64 {
    task.split_once('@').and_then(|(_, replies)| replies.parse().ok()).unwrap_or(1)
}

/// Says where a job's result lies, as names of tasks from [`without_place`] have it.
pub fn no_place(job: &Job) -> PathBuf {
    job.id().into()
}

/// The name of a task that another job's result is, without the folder in which the lab lay when the task was evaluated, for
/// it may lie elsewhere now: `nll:ID/data.jsonl`.
pub fn without_place(task: &str) -> String {
    let without = || {
        let (kind, path) = task.split_once(':')?;
        let (folder, file) = path.rsplit_once('/')?;
        let (_, id) = folder.rsplit_once('/')?;
        Some(format!("{kind}:{id}/{file}"))
    };
    without().unwrap_or_else(|| task.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_the_same_wherever_the_lab_lies() {
        let names = ["nll:/here/out/lab/ab12/data.jsonl", "nll:/there: too/lab/ab12/data.jsonl"];
        assert_eq!(names.map(without_place), ["nll:ab12/data.jsonl"; 2]);
        for name in ["arithmetic-words@2", "nll:x", "nll:ab12/data.jsonl"] {
            assert_eq!(without_place(name), name);
        }
    }

    #[test]
    fn sampled_replies_have_the_tasks_measures() {
        assert_eq!(measures("arithmetic-words@2"), measures("arithmetic-words"));
        assert_eq!((replies("arithmetic-words@2"), replies("arithmetic-words")), (2, 1));
        assert_eq!(measures("nll:a@2.jsonl"), &[("nll", false)]);
    }
}
