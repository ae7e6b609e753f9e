//! The methods: each chooses the mask of a step.

use ndarray::Array1;
use tokensieve_objective::{Criterion, Objective, Plan, Selection, TokenStats, Training};

use super::Problem;
use super::config::{Method, NAME, RegressionConfig, Selects};
use crate::linalg::matvec_transposed;
use crate::{Error, subset};
use tokensieve_base::streams::Stream;

/// What chooses the mask of one run, with the buffers and streams that it keeps.
#[allow(clippy::large_enum_variant, reason = "there is one per run")]
pub(super) enum Chooser {
    All,
    Search(subset::Search),
    /// The objective crate's selection by loss, top k/N of the batch.
    Residual {
        training: Box<Training>,
        stats: Vec<TokenStats>,
    },
    Gradient(usize),
    Random {
        kept: usize,
        stream: Stream,
    },
}

impl Chooser {
    pub(super) fn new(config: &RegressionConfig, method: Method, seed: u64) -> Result<Self, Error> {
        let (data, coordinates) = config.cost(method);
        let search = |n, kept| {
            subset::Search::new(n, kept)
                .ok_or_else(|| Error::config(NAME, "data_kept", kept, "at least 1 and at most all"))
        };
        Ok(match method {
            Method::FullGradient => Self::All,
            Method::OptimalData => Self::Search(search(config.data, data)?),
            Method::OptimalCoordinates => Self::Search(search(config.coordinates, coordinates)?),
            Method::TopResidual => Self::residual(config, seed)?,
            Method::TopGradient => Self::Gradient(coordinates),
            Method::RandomData => {
                Self::Random { kept: data, stream: Stream::new(seed, "regression/random data") }
            }
            Method::RandomCoordinates => {
                Self::Random { kept: coordinates, stream: Stream::new(seed, "regression/random coordinates") }
            }
        })
    }

    fn residual(config: &RegressionConfig, seed: u64) -> Result<Self, Error> {
        let share = config.data_kept as f64 / config.data as f64;
        let selection = Selection::band(Criterion::loss(), 1.0 - share, 1.0)?;
        let objective = Objective::preset("masked-mle")?.select(selection)?;
        let training = Box::new(objective.begin(Plan { steps: config.steps as u64, seed }));
        let stats =
            (0..config.data as u32).map(|position| TokenStats { position, ..TokenStats::new(0.0, 0.0) });
        Ok(Self::Residual { training, stats: stats.collect() })
    }

    /// The masked gradient of this step, given ε and the step size.
    pub(super) fn gradient(
        &mut self,
        problem: &Problem,
        method: Method,
        rate: f64,
        residual: &Array1<f64>,
    ) -> Result<Array1<f64>, Error> {
        let full = |residual: &Array1<f64>| matvec_transposed(problem.z_nd.view(), residual.view());
        if matches!(self, Self::All) {
            return Ok(full(residual));
        }
        let selects_data = method.selects() == Selects::Data;
        let source = if selects_data { residual.clone() } else { full(residual) };
        let kept = self.choose(problem, selects_data, rate, &source)?;
        let mut masked = Array1::zeros(source.len());
        for i in kept {
            masked[i] = source[i];
        }
        Ok(if selects_data { full(&masked) } else { masked })
    }

    /// Indices of the entries of `source` (the residual, or the gradient) that the step uses.
    pub(super) fn choose(
        &mut self,
        problem: &Problem,
        selects_data: bool,
        rate: f64,
        source: &Array1<f64>,
    ) -> Result<Vec<usize>, Error> {
        Ok(match self {
            Self::All => (0..source.len()).collect(),
            Self::Search(search) => {
                let (linear, quadratic) = if selects_data {
                    problem.data_terms(rate, source)
                } else {
                    problem.coordinate_terms(rate, source)
                };
                search.best(linear.view(), quadratic.view()).0.to_vec()
            }
            Self::Residual { training, stats } => {
                for (stats, residual) in stats.iter_mut().zip(source) {
                    stats.loss = 0.5 * residual * residual;
                }
                let selected = &training.pulls(stats)?.selected;
                (0..source.len()).filter(|&i| selected[i]).collect()
            }
            Self::Gradient(kept) => {
                let mut order: Vec<usize> = (0..source.len()).collect();
                order.sort_by(|&i, &j| source[j].abs().total_cmp(&source[i].abs()));
                order.truncate(*kept);
                order
            }
            Self::Random { kept, stream } => {
                let mut order = stream.permutation(source.len());
                order.truncate(*kept);
                order
            }
        })
    }
}
