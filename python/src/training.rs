//! An objective over a training run, with its state.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokensieve_objective::{
    Direction, Objective, Plan, Pull, Schedule, TokenStats, Training as Run, Variable, Within,
};

use crate::{column::Column, definition, error::value_error, statistics};

/// What an objective may read besides the loss, and the keyword that passes it.
const KEYWORDS: [(Variable, &str); 13] = [
    (Variable::Entropy, "entropy"),
    (Variable::TopEntropy, "top_entropy"),
    (Variable::Concentration, "concentration"),
    (Variable::ReferenceLoss, "reference_loss"),
    (Variable::PReference, "reference_loss"),
    (Variable::ReferenceMass, "reference_mass"),
    (Variable::Divergence, "divergence"),
    (Variable::BaseLoss, "base_loss"),
    (Variable::PBase, "base_loss"),
    (Variable::Bald, "bald"),
    (Variable::Advantage, "advantage"),
    (Variable::Score, "score"),
    (Variable::Vocabulary, "vocabulary"),
];

/// An objective over a training run; `Objective` in `objectives.py` adds what takes arrays and tensors.
#[pyclass(subclass)]
pub(crate) struct Training {
    run: Run,
    tokens: Vec<TokenStats>,
}

impl Training {
    fn objective(&self) -> &Objective {
        self.run.objective()
    }

    /// Reads the statistics of a batch; what the objective reads must be there.
    fn read(&mut self, columns: &Bound<'_, PyDict>, vocabulary: Option<u32>) -> PyResult<()> {
        let objective = self.objective();
        let lacks = |keyword| match keyword {
            "vocabulary" => Ok(vocabulary.is_none()),
            _ => columns.contains(keyword).map(|known| !known),
        };
        let missing = |what: &str, keyword: &str| {
            let problem = format!("the objective `{}` {what}: pass {keyword}=…", objective.name());
            Err(PyValueError::new_err(problem))
        };
        for (variable, keyword) in KEYWORDS {
            if objective.reads(variable) && lacks(keyword)? {
                return missing(&format!("reads `{}`", variable.name()), keyword);
            }
        }
        if objective.reads_documents() && lacks("document")? {
            return missing("selects or counts documents", "document");
        }
        statistics::read(columns, vocabulary.unwrap_or(2), &mut self.tokens)
    }
}

#[pymethods]
impl Training {
    #[new]
    fn new(definition: &Bound<'_, PyAny>, steps: Option<u64>, seed: u64) -> PyResult<Self> {
        let objective = definition::objective(definition)?;
        let moves = objective.selection().is_some_and(|selection| selection.schedule != Schedule::Constant);
        if moves && steps.is_none() {
            let problem = "its selection moves over the run, whose length it must know: pass steps=…";
            return Err(PyValueError::new_err(format!("the objective `{}`: {problem}", objective.name())));
        }
        let run = objective.begin(Plan { steps: steps.unwrap_or(1), seed });
        Ok(Self { run, tokens: Vec::new() })
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        self.objective().name()
    }

    /// Which reference it compares with: base, mle, uniform, snapshot, oracle, reference or self; `None` if with none.
    #[getter]
    fn against(&self) -> Option<String> {
        self.objective().against().map(|against| against.to_string())
    }

    /// Whether some tokens are pulled towards the reference distribution.
    #[getter]
    fn distills(&self) -> bool {
        self.objective().distills()
    }

    /// Whether pulls towards the reference q lower KL(p ‖ q) and not KL(q ‖ p).
    #[getter]
    fn reverse(&self) -> bool {
        self.objective().direction() == Direction::Reverse
    }

    /// The temperature of the model's own prediction, where that is the reference.
    #[getter]
    fn temperature(&self) -> Option<f64> {
        self.objective().temperature()
    }

    /// How many tokens of the reference distribution are kept, if it is truncated.
    #[getter]
    fn top_k(&self) -> Option<usize> {
        self.objective().top_k()
    }

    /// Whether a token's pull follows from the token alone, so that only the normaliser needs the whole batch.
    #[getter]
    fn is_local(&self) -> bool {
        self.objective().is_local()
    }

    /// Whether it selects within the corpus, which `survey` shows to it.
    #[getter]
    fn within_corpus(&self) -> bool {
        self.objective().selection().is_some_and(|selection| selection.within == Within::Corpus)
    }

    /// The variables that it reads, as expressions name them.
    #[getter]
    fn reads(&self) -> Vec<&'static str> {
        let read = Variable::ALL.iter().filter(|(variable, ..)| self.objective().reads(*variable));
        read.map(|(_, name, ..)| *name).collect()
    }

    /// How many steps have been taken.
    #[getter]
    fn step(&self) -> u64 {
        self.run.step()
    }

    /// What it does, in words and formulas.
    fn explain(&self) -> String {
        self.objective().describe().to_string()
    }

    /// One optimizer step. Into `results` go the pulls on label and reference, and ones for selected tokens; returned are the
    /// normaliser and the counts of tokens that are not masked, selected, and pulled.
    #[pyo3(name = "_pulls")]
    fn pulls(
        &mut self,
        py: Python<'_>,
        columns: &Bound<'_, PyDict>,
        vocabulary: Option<u32>,
        micro_batches: Option<Vec<usize>>,
        results: (PyBuffer<f64>, PyBuffer<f64>, PyBuffer<u8>),
    ) -> PyResult<(f64, usize, usize, usize)> {
        let (label, reference, selected) = results;
        self.read(columns, vocabulary)?;
        let micro_batches = micro_batches.unwrap_or_else(|| vec![self.tokens.len()]);
        let pulls = self.run.pulls_in(&self.tokens, &micro_batches).map_err(|error| value_error(&error))?;
        let column = |of: fn(&Pull) -> f64| pulls.pulls.iter().map(of).collect::<Vec<_>>();
        label.copy_from_slice(py, &column(|pull| pull.label))?;
        reference.copy_from_slice(py, &column(|pull| pull.reference))?;
        selected.copy_from_slice(py, &pulls.selected.iter().copied().map(u8::from).collect::<Vec<_>>())?;
        Ok((pulls.normaliser, pulls.tokens, pulls.kept, pulls.pulled))
    }

    /// Every token's loss as it is written down, whose gradient its pulls are; into `result`.
    #[pyo3(name = "_losses")]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 passes columns by value")]
    fn losses(
        &mut self,
        py: Python<'_>,
        columns: &Bound<'_, PyDict>,
        vocabulary: Option<u32>,
        selected: Column<u8>,
        cross_entropy: Column<f64>,
        result: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.read(columns, vocabulary)?;
        let each = self.tokens.iter().zip(selected.values()).zip(cross_entropy.values());
        let losses: Vec<f64> = each
            .map(|((token, selected), distance)| {
                self.run.written_out(token, selected != 0, token.loss, distance)
            })
            .collect();
        PyBuffer::get(result)?.copy_from_slice(py, &losses)
    }

    /// Adds statistics of part of the corpus, before training.
    #[pyo3(name = "_survey")]
    fn survey(&mut self, columns: &Bound<'_, PyDict>, vocabulary: Option<u32>) -> PyResult<()> {
        self.read(columns, vocabulary)?;
        self.run.survey(&self.tokens).map_err(|error| value_error(&error))
    }

    /// What a run carries from step to step, as JSON for a checkpoint.
    fn state(&self) -> PyResult<String> {
        serde_json::to_string(&self.run.state()).map_err(|error| value_error(&error))
    }

    /// Continues from what `state` returned.
    fn resume(&mut self, state: &str) -> PyResult<()> {
        let state = serde_json::from_str(state).map_err(|error| {
            PyValueError::new_err(format!("{error}: this is not a state that `Objective.state` returned"))
        })?;
        self.run.resume(state).map_err(|error| value_error(&error))
    }
}
