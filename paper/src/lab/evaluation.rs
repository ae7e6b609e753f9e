//! What figures read of a task that `tokensieve evaluate` evaluates.

/// The measures of a task: name, and whether it is a share of right answers. The first is the task's headline.
pub fn measures(task: &str) -> &'static [(&'static str, bool)] {
    match task {
        _ if task.starts_with("nll:") => &[("nll", false)],
        "arithmetic" => &[("strict", true)],
        "arithmetic-words" => &[("number", true)],
        "figfont" | "cipher" => &[("exact", true), ("jaro-winkler", true)],
        "gsm8k-paired" => &[("acc", true), ("margin", false)],
        "instructions" => &[("each", true)],
        _ => &[("acc", true)],
    }
}
