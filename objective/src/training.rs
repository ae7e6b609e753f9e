//! One objective over a training run: statistics of a batch in, pulls out.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    Against, Band, Error, Granularity, Normalise, Objective, Plan, Pull, Pulls, Schedule, Selection,
    TokenStats, Variable, Within,
    formula::Formula,
    pulls::one_minus_p,
    quantile::{Edge, Sketch, Window},
    rank::Ranker,
    schedule::Clock,
};

/// The state of an objective over a training run: the schedule's clock, the history of its criterion, buffers.
#[derive(Clone, Debug)]
pub struct Training {
    objective: Objective,
    plan: Plan,
    clock: Clock,
    /// The objective with the last batch's means in their places.
    settled: Objective,
    formulas: Formulas,
    /// Statistics that must be present and finite, besides the loss.
    required: Vec<Variable>,
    memory: CriterionHistory,
    /// The thresholds of the last band computed from the corpus.
    thresholds: Option<(Band, [Edge; 2])>,
    ranker: Ranker,
    /// Indices of the tokens that are not masked, sorted by name where documents are gathered.
    active: Vec<usize>,
    /// The criterion of each unit: of each active token, or of each document.
    values: Vec<f64>,
    /// The range of each document's tokens in `active`; empty where tokens are ranked.
    documents: Vec<Range<usize>>,
    sorted: Vec<f64>,
    output: Pulls,
}

/// An objective's expressions, compiled.
#[derive(Clone, Debug)]
struct Formulas {
    /// Of the selected tokens and of the others, the pulls a and b.
    pulls: [[Formula; 2]; 2],
    criterion: Option<Formula>,
}

impl Formulas {
    fn of(objective: &Objective) -> Self {
        let pulls = [&objective.selected, &objective.otherwise]
            .map(|branch| [Formula::new(&branch.label), Formula::new(&branch.reference)]);
        Self { pulls, criterion: objective.criterion().map(Formula::new) }
    }
}

/// Values of the criterion seen before the present batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum CriterionHistory {
    Nothing,
    Window(Window),
    Survey(Sketch),
}

/// What a run carries from step to step, to be saved with a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    clock: Clock,
    memory: CriterionHistory,
}

impl Objective {
    /// The state of a training run with this objective.
    pub fn begin(&self, plan: Plan) -> Training {
        Training::new(self.clone(), plan)
    }
}

impl Training {
    fn new(objective: Objective, plan: Plan) -> Self {
        // p and its logarithm are one statistic: checking the logarithm suffices.
        let of_interest = [
            (Variable::ReferenceLoss, Variable::PReference),
            (Variable::ReferenceMass, Variable::ReferenceMass),
            (Variable::Divergence, Variable::Divergence),
            (Variable::BaseLoss, Variable::PBase),
            (Variable::Entropy, Variable::Entropy),
            (Variable::TopEntropy, Variable::TopEntropy),
            (Variable::Concentration, Variable::Concentration),
            (Variable::Bald, Variable::Bald),
            (Variable::Advantage, Variable::Advantage),
            (Variable::Score, Variable::Score),
        ];
        let read = |pair: &(Variable, Variable)| objective.reads(pair.0) || objective.reads(pair.1);
        let required = of_interest.iter().filter(|pair| read(pair)).map(|pair| pair.0).collect();
        let memory = match objective.selection.as_ref().map(|selection| selection.within) {
            Some(Within::Running { window }) => CriterionHistory::Window(Window::new(window)),
            Some(Within::Corpus) => CriterionHistory::Survey(Sketch::default()),
            _ => CriterionHistory::Nothing,
        };
        Self {
            settled: objective.clone(),
            formulas: Formulas::of(&objective),
            objective,
            plan,
            clock: Clock::default(),
            required,
            memory,
            thresholds: None,
            ranker: Ranker::default(),
            active: Vec::new(),
            values: Vec::new(),
            documents: Vec::new(),
            sorted: Vec::new(),
            output: Pulls::default(),
        }
    }

    /// The objective.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// How many steps have been taken.
    pub fn step(&self) -> u64 {
        self.clock.step
    }

    /// What the run carries from step to step, for a checkpoint.
    pub fn state(&self) -> State {
        State { clock: self.clock.clone(), memory: self.memory.clone() }
    }

    /// Continues from a checkpoint of the same objective and plan.
    pub fn resume(&mut self, state: State) -> Result<(), Error> {
        if std::mem::discriminant(&state.memory) != std::mem::discriminant(&self.memory) {
            let problem = "the checkpoint belongs to an objective with another `select.within`";
            return Err(Error::Order(problem.to_owned()));
        }
        (self.clock, self.memory, self.thresholds) = (state.clock, state.memory, None);
        Ok(())
    }

    /// One optimizer step: the statistics of the whole batch in, pulls out. Buffers are reused between calls.
    pub fn pulls(&mut self, stats: &[TokenStats]) -> Result<&Pulls, Error> {
        self.pulls_in(stats, &[stats.len()])
    }

    /// [`pulls`](Self::pulls) for a batch that consists of micro-batches of these lengths, one after the other in `stats`.
    ///
    /// Only selection within the micro-batch depends on them; the normaliser is always that of the whole batch.
    pub fn pulls_in(&mut self, stats: &[TokenStats], micro_batches: &[usize]) -> Result<&Pulls, Error> {
        let sum = micro_batches.iter().copied().fold(0, usize::saturating_add);
        if sum != stats.len() {
            return Err(Error::Order(format!(
                "micro-batches of {sum} tokens do not make a batch of {}",
                stats.len()
            )));
        }
        self.output.selected.clear();
        self.output.selected.resize(stats.len(), false);
        self.activate(stats, 0..stats.len())?;
        self.settle(stats);
        let tokens = self.active.len();
        match self.objective.selection.take() {
            None => self.active.iter().for_each(|i| self.output.selected[*i] = true),
            Some(selection) => {
                let result = self.select(&selection, stats, micro_batches);
                self.objective.selection = Some(selection);
                result?;
            }
        }
        self.pull(stats, tokens)?;
        let adaptive = self.objective.selection.as_ref().map(|selection| selection.schedule);
        // A batch in which everything is masked says nothing about what has been learnt.
        let mean_loss = (matches!(adaptive, Some(Schedule::Adaptive { .. })) && tokens > 0).then(|| {
            let losses = stats.iter().filter(|token| token.weight != 0.0).map(|token| token.loss);
            losses.sum::<f64>() / tokens as f64
        });
        self.clock.tick(mean_loss, self.plan);
        Ok(&self.output)
    }

    /// A token's loss as [`Objective::written_out`] has it, the means being those of the last step's batch.
    pub fn written_out(&self, stats: &TokenStats, selected: bool, label_loss: f64, distance: f64) -> f64 {
        self.settled.written_out(stats, selected, label_loss, distance)
    }

    /// Puts the means over the active tokens into the objective's expressions.
    fn settle(&mut self, stats: &[TokenStats]) {
        if !self.objective.averages() {
            return;
        }
        let Self { active, sorted, .. } = self;
        self.settled = self.objective.settled(&mut |of| {
            // In ascending order, so that the sum does not depend on the batch's.
            sorted.clear();
            sorted.extend(active.iter().map(|i| of.value(&stats[*i])));
            sorted.sort_unstable_by(f64::total_cmp);
            sorted.iter().sum::<f64>() / active.len() as f64
        });
        self.formulas = Formulas::of(&self.settled);
    }

    /// Adds statistics of part of the corpus, before training, for a selection within the corpus.
    pub fn survey(&mut self, stats: &[TokenStats]) -> Result<(), Error> {
        let selection =
            self.objective.selection.clone().filter(|selection| selection.within == Within::Corpus);
        let Some(selection) = selection else {
            return Err(Error::Order(
                "the objective does not select within the corpus, so it has no survey".to_owned(),
            ));
        };
        if self.clock.step > 0 {
            return Err(Error::Order("the survey comes before the first step".to_owned()));
        }
        self.activate(stats, 0..stats.len())?;
        self.gather(&selection, stats);
        self.finite(stats)?;
        self.sort_values();
        if let CriterionHistory::Survey(sketch) = &mut self.memory {
            self.sorted.iter().for_each(|value| sketch.insert(*value));
        }
        Ok(())
    }

    /// Lists the tokens of a range that are not masked; each must have what the objective reads.
    fn activate(&mut self, stats: &[TokenStats], range: Range<usize>) -> Result<(), Error> {
        self.active.clear();
        let part = &stats[range.clone()];
        // The usual batch, recognised in one pass: nothing masked, everything valid, no other statistic read.
        let sound = |token: &TokenStats| {
            (LOSS..f64::INFINITY).contains(&token.loss) && token.weight > 0.0 && token.weight < f64::INFINITY
        };
        if self.required.is_empty() && part.iter().all(sound) {
            self.active.extend(range);
            return Ok(());
        }
        for (i, token) in range.zip(part) {
            if token.weight != 0.0 {
                self.check(i, token)?;
                self.active.push(i);
            }
        }
        Ok(())
    }

    fn check(&self, i: usize, token: &TokenStats) -> Result<(), Error> {
        if !(token.weight > 0.0 && token.weight.is_finite()) {
            return Err(wrong(i, token, "weight", token.weight, "it must be finite and not negative"));
        }
        if !(token.loss >= LOSS && token.loss.is_finite()) {
            return Err(wrong(i, token, "loss", token.loss, "it must be finite and not negative"));
        }
        for variable in &self.required {
            match variable.of(token) {
                Some(value) if value.is_finite() => {}
                Some(value) => return Err(wrong(i, token, variable.name(), value, "it must be finite")),
                None => {
                    return Err(Error::Missing {
                        objective: self.objective.name.clone(),
                        token: i,
                        document: token.document,
                        position: token.position,
                        name: variable.name(),
                        provider: variable.provider(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Collects the units to rank from the active tokens.
    fn gather(&mut self, selection: &Selection, stats: &[TokenStats]) {
        let (seed, step) = (self.plan.seed, self.clock.step);
        let value = |token: &TokenStats| match &self.formulas.criterion {
            Some(criterion) => criterion.at(token),
            None => hash([seed, step, u64::from(token.document), u64::from(token.position)]),
        };
        self.values.clear();
        self.documents.clear();
        if selection.of == Granularity::Token {
            self.values.extend(self.active.iter().map(|i| value(&stats[*i])));
            return;
        }
        // By name, so that a document's mean is summed in the same order however the batch lists it.
        self.active.sort_unstable_by_key(|i| (name(&stats[*i]), *i));
        let mut first = 0;
        for document in self.active.chunk_by(|a, b| stats[*a].document == stats[*b].document) {
            // A mean of random numbers would be nearer to the middle, the longer the document.
            let counted = if self.formulas.criterion.is_some() { document } else { &document[..1] };
            let sum: f64 = counted.iter().map(|i| value(&stats[*i])).sum();
            self.values.push(sum / counted.len() as f64);
            self.documents.push(first..first + document.len());
            first += document.len();
        }
    }

    fn sort_values(&mut self) {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.values);
        self.sorted.sort_unstable_by(f64::total_cmp);
    }

    fn select(
        &mut self,
        selection: &Selection,
        stats: &[TokenStats],
        micro_batches: &[usize],
    ) -> Result<(), Error> {
        let band = self.clock.band(selection.schedule, selection.keep, self.plan);
        if selection.within == Within::MicroBatch {
            let mut first = 0;
            for length in micro_batches {
                self.activate(stats, first..first + length)?;
                self.gather(selection, stats);
                self.finite(stats)?;
                self.rank(band, stats);
                first += length;
            }
            return self.activate(stats, 0..stats.len());
        }
        self.gather(selection, stats);
        self.finite(stats)?;
        let [low, high] = match &self.memory {
            CriterionHistory::Nothing => {
                self.rank(band, stats);
                return Ok(());
            }
            CriterionHistory::Survey(sketch) if sketch.count() == 0 => {
                let problem =
                    "a selection within the corpus needs the corpus: call survey before the first step";
                return Err(Error::Order(problem.to_owned()));
            }
            CriterionHistory::Survey(sketch) => match self.thresholds {
                Some((known, thresholds)) if known == band => thresholds,
                _ => sketch.edges([band.low, band.high]),
            },
            CriterionHistory::Window(_) => self.remember([band.low, band.high]),
        };
        self.thresholds = Some((band, [low, high]));
        let (seed, step) = (self.plan.seed, self.clock.step);
        for (unit, value) in self.values.iter().enumerate() {
            let token = &stats[self.active[self.documents.get(unit).map_or(unit, |tokens| tokens.start)]];
            // Where many units are equal to a threshold, chance decides which of them lie below.
            let draw = || hash([seed, step, u64::from(token.document), u64::from(token.position)]);
            let keep = !low.is_above(*value, draw) && high.is_above(*value, draw);
            mark(&self.active, &self.documents, &mut self.output.selected, unit, keep);
        }
        Ok(())
    }

    /// Adds the units to the window, in an order that does not depend on the batch's, and asks it for quantiles.
    fn remember(&mut self, quantiles: [f64; 2]) -> [Edge; 2] {
        self.sort_values();
        let CriterionHistory::Window(window) = &mut self.memory else {
            return [f64::NEG_INFINITY, f64::INFINITY].map(|value| Edge { value, share: 0.0 });
        };
        window.extend(&self.sorted);
        window.edges(quantiles)
    }

    /// Ranks the units and marks the tokens of those in the band.
    fn rank(&mut self, band: Band, stats: &[TokenStats]) {
        let (active, documents, selected) = (&self.active, &self.documents, &mut self.output.selected);
        let first = |unit: usize| documents.get(unit).map_or(unit, |tokens| tokens.start);
        let name = |unit: usize| name(&stats[active[first(unit)]]);
        self.ranker
            .band(band, &self.values, name, |unit, keep| mark(active, documents, selected, unit, keep));
    }

    /// Rejects NaN and infinite values, which a criterion written by the user can produce.
    fn finite(&self, stats: &[TokenStats]) -> Result<(), Error> {
        let Some(unit) = self.values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let token = self.active[self.documents.get(unit).map_or(unit, |tokens| tokens.start)];
        Err(wrong(token, &stats[token], "the criterion", self.values[unit], "it must be finite"))
    }

    fn pull(&mut self, stats: &[TokenStats], tokens: usize) -> Result<(), Error> {
        let output = &mut self.output;
        (output.tokens, output.kept, output.pulled) = (tokens, 0, 0);
        output.pulls.clear();
        output.pulls.resize(stats.len(), Pull::default());
        let mut weights = 0.0;
        for (i, token) in stats.iter().enumerate() {
            let [label, reference] = &self.formulas.pulls[usize::from(!output.selected[i])];
            if token.weight == 0.0 {
                continue;
            }
            let pull =
                Pull { label: token.weight * label.at(token), reference: token.weight * reference.at(token) };
            // NaN and infinity times zero are NaN; a finite number times zero is zero.
            if (pull.label + pull.reference) * 0.0 != 0.0 {
                return Err(wrong(i, token, "its pull", pull.label + pull.reference, "it must be finite"));
            }
            let pulls = !pull.is_zero();
            output.kept += usize::from(output.selected[i]);
            output.pulled += usize::from(pulls);
            weights += if pulls { token.weight } else { 0.0 };
            output.pulls[i] = pull;
        }
        let counted = match self.objective.normalise {
            Normalise::Pulled => output.pulled as f64,
            Normalise::All => output.tokens as f64,
            Normalise::Weights => weights,
            Normalise::Documents => {
                self.active.sort_unstable_by_key(|i| stats[*i].document);
                self.active.chunk_by(|a, b| stats[*a].document == stats[*b].document).count() as f64
            }
        };
        // Where nothing pulls, only the reported loss is divided: it stays a mean.
        output.normaliser = if counted > 0.0 { counted } else { output.tokens.max(1) as f64 };
        if self.objective.match_gradient {
            self.match_gradient(stats);
        }
        Ok(())
    }

    /// Chooses the normaliser such that the gradients on the labels' logits, summed in size over the batch, equal those of
    /// −log p on all tokens.
    fn match_gradient(&mut self, stats: &[TokenStats]) {
        let uniform = self.objective.against == Some(Against::Uniform);
        let (mut own, mut plain) = (0.0, 0.0);
        for (pull, token) in self.output.pulls.iter().zip(stats).filter(|(_, token)| token.weight != 0.0) {
            let far = one_minus_p(token);
            plain += token.weight * far;
            let towards_reference = if pull.reference == 0.0 {
                0.0
            } else {
                let q = if uniform {
                    1.0 / f64::from(token.vocabulary)
                } else {
                    libm::exp(-token.reference_loss.unwrap_or(0.0))
                };
                pull.reference * (token.p() - q)
            };
            own += (towards_reference - pull.label * far).abs();
        }
        let normaliser = own * self.output.tokens as f64 / plain;
        if normaliser > 0.0 && normaliser.is_finite() {
            self.output.normaliser = normaliser;
        }
    }
}

/// The lowest loss accepted: one computed in single precision may be a rounding below 0.
const LOSS: f64 = -1e-3;

/// The token's name, by which ties are broken.
fn name(token: &TokenStats) -> u64 {
    u64::from(token.document) << 32 | u64::from(token.position)
}

/// Marks the tokens of a unit.
fn mark(active: &[usize], documents: &[Range<usize>], selected: &mut [bool], unit: usize, keep: bool) {
    match documents.get(unit) {
        None => selected[active[unit]] = keep,
        Some(tokens) => active[tokens.clone()].iter().for_each(|i| selected[*i] = keep),
    }
}

fn wrong(i: usize, token: &TokenStats, name: &'static str, value: f64, right: &'static str) -> Error {
    Error::Statistic { token: i, document: token.document, position: token.position, name, value, right }
}

/// A number in [0, 1) that looks random and depends on nothing but the words (`SplitMix64`'s finaliser, chained).
fn hash(words: [u64; 4]) -> f64 {
    let mut state = 0u64;
    for word in words {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ word;
        state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^= state >> 31;
    }
    (state >> 11) as f64 / (1u64 << 53) as f64
}
