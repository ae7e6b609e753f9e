//! One error type: every message names what was wrong, where, and what would be right.

/// What can be wrong with an objective's definition or with the statistics it is given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not TOML at all.
    #[error("the objective is not valid TOML: {0} (one key per line, or an inline table {{ a = 1, b = 2 }})")]
    Toml(String),
    /// A key that does not exist.
    #[error("unknown key `{key}`{hint}")]
    UnknownKey {
        /// The key as written, with its table.
        key: String,
        /// `; did you mean …?` and the list of keys.
        hint: String,
    },
    /// A key whose value is invalid.
    #[error("`{key}`: {problem}")]
    Value {
        /// The key, with its table.
        key: String,
        /// What was found and what would be right.
        problem: String,
    },
    /// An expression that cannot be read.
    #[error("column {column} of `{text}`: {problem}")]
    Syntax {
        /// The whole expression.
        text: String,
        /// Column of the first character in question, counted from 1.
        column: usize,
        /// What was found and what would be right.
        problem: String,
    },
    /// A loss f(p) that cannot be trained with.
    #[error("the loss `{text}` is rejected: {problem} at p = {p}{beside}")]
    Refused {
        /// The loss as written.
        text: String,
        /// Why.
        problem: String,
        /// The smallest p in (0, 1] at which it happens.
        p: f64,
        /// The other statistics there that the loss reads, as `, entropy = 0.693`.
        beside: String,
    },
    /// No preset of that name.
    #[error("no preset is called `{name}`{hint}")]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// `; did you mean …?` and the list of presets.
        hint: String,
    },
    /// A statistic that is NaN, infinite or out of range.
    #[error("token {token} (document {document}, position {position}): {name} is {value}, {right}")]
    Statistic {
        /// Index in the batch.
        token: usize,
        /// The token's document.
        document: u32,
        /// The token's position in its response.
        position: u32,
        /// Which statistic, or which pull computed from it.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it should be.
        right: &'static str,
    },
    /// A statistic that the objective reads and the caller did not supply.
    #[error(
        "token {token} (document {document}, position {position}): the objective `{objective}` reads {name}, \
         which is missing; it comes from {provider}"
    )]
    Missing {
        /// The objective's name.
        objective: String,
        /// Index in the batch.
        token: usize,
        /// The token's document.
        document: u32,
        /// The token's position in its response.
        position: u32,
        /// Which statistic.
        name: &'static str,
        /// What has to run to provide it.
        provider: &'static str,
    },
    /// The methods of a training run were called in an invalid order.
    #[error("{0}")]
    Order(String),
}

impl Error {
    pub(crate) fn value(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { key: key.into(), problem: problem.into() }
    }
}

/// `; did you mean X?` where a candidate is close enough to be a typing error, followed by the whole list; empty without
/// candidates.
pub(crate) fn hint<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = right.into_iter().collect();
    // What is so long is no slip, and its distance takes long.
    let wrong: String = wrong.chars().take(64).collect();
    let near = candidates
        .iter()
        .map(|candidate| (strsim::osa_distance(&wrong, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(2) / 2)
        .min_by_key(|(distance, _)| *distance);
    let list = candidates.join(", ");
    match near {
        _ if candidates.is_empty() => String::new(),
        Some((_, name)) => format!("; did you mean `{name}`? (there are {list})"),
        None => format!(" (there are {list})"),
    }
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        assert!(hint("selectd", ["selected", "otherwise"]).contains("did you mean `selected`"));
        assert!(!hint("zzzzzzzzz", ["selected", "otherwise"]).contains("did you mean"));
        assert_eq!(hint("selected", []), "");
    }
}
