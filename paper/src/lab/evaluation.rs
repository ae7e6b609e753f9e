//! What figures read of a task that `tokensieve evaluate` evaluates.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_replies_have_the_tasks_measures() {
        assert_eq!(measures("arithmetic-words@2"), measures("arithmetic-words"));
        assert_eq!((replies("arithmetic-words@2"), replies("arithmetic-words")), (2, 1));
        assert_eq!(measures("nll:a@2.jsonl"), &[("nll", false)]);
    }
}
