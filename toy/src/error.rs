//! Errors of the toy experiments.

/// Why an experiment did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value that the experiment cannot run with.
    #[error("{experiment}: {key} {problem}")]
    Config {
        /// The experiment's module.
        experiment: &'static str,
        /// The field of its configuration.
        key: &'static str,
        /// The value found and what is required.
        problem: String,
    },
    /// A matrix that a decomposition rejects.
    #[error("{0}")]
    Linalg(#[from] crate::linalg::Error),
    /// The objective rejected its definition or a batch's statistics.
    #[error(transparent)]
    Objective(#[from] tokensieve_objective::Error),
    /// Too few finite results for the statistic of a column.
    #[error("{experiment}: {quantity} is undefined: too few finite values")]
    Undefined {
        /// The experiment's module.
        experiment: &'static str,
        /// The column.
        quantity: &'static str,
    },
    /// Pre-training stopped short of the wanted capability.
    #[error(
        "after {steps} pre-training steps the true label's mean probability is {reached:.3}, not {target:.3}; \
         raise pretrain_steps or pretrain_rate"
    )]
    Capability {
        /// Mean probability wanted.
        target: f64,
        /// Mean probability reached.
        reached: f64,
        /// Steps taken.
        steps: usize,
    },
}

impl Error {
    /// `key` is `found`, but must be `wanted`.
    pub(crate) fn config(
        experiment: &'static str,
        key: &'static str,
        found: impl std::fmt::Display,
        wanted: &str,
    ) -> Self {
        Self::Config { experiment, key, problem: format!("is {found}; it must be {wanted}") }
    }
}

/// Refuses a configuration: `key` is `found`, but must be `wanted`.
pub(crate) fn refuse<T>(
    experiment: &'static str,
    key: &'static str,
    found: impl std::fmt::Display,
    wanted: &str,
) -> Result<T, Error> {
    Err(Error::config(experiment, key, found, wanted))
}

/// Refuses the first key whose value is less than the least that is given beside it.
pub(crate) fn at_least<const N: usize>(
    experiment: &'static str,
    keys: [(&'static str, usize, usize); N],
) -> Result<(), Error> {
    match keys.into_iter().find(|(_, value, least)| value < least) {
        Some((key, value, least)) => refuse(experiment, key, value, &format!("at least {least}")),
        None => Ok(()),
    }
}

/// Refuses the first key whose value is not positive and finite.
pub(crate) fn positive<const N: usize>(
    experiment: &'static str,
    keys: [(&'static str, f64); N],
) -> Result<(), Error> {
    match keys.into_iter().find(|(_, value)| !(*value > 0.0 && value.is_finite())) {
        Some((key, value)) => refuse(experiment, key, value, "positive and finite"),
        None => Ok(()),
    }
}
