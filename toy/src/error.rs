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
