//! One objective over a training run: statistics of a batch in, pulls out.

use crate::{
    Against, Criterion, Error, Expression, Granularity, Normalise, Objective, Plan, Pull, Schedule,
    Selection, TokenStats, Variable, Within,
    expression::Point,
    quantile::{Sketch, Window},
    rank::Ranker,
    schedule::Clock,
    select::Band,
};

/// What a batch's tokens are to do, and by what their gradients' sum is divided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pulls {
    /// The pulls, one per token of the batch, in its order.
    pub pulls: Vec<Pull>,
    /// Which tokens were selected; masked tokens never are.
    pub selected: Vec<bool>,
    /// The step's gradient is Σ of the tokens' gradients divided by this; positive and finite, 1 where nothing pulls.
    pub normaliser: f64,
    /// Tokens that are not masked.
    pub tokens: usize,
    /// Tokens that were selected.
    pub kept: usize,
    /// Tokens with a pull that is not zero.
    pub pulled: usize,
}

impl Pulls {
    /// Whether nothing pulls: an empty batch, or one that is masked altogether. Its gradient is zero.
    pub fn is_still(&self) -> bool {
        self.pulled == 0
    }

    /// Mean size of the labels' pull on their own logits, Σ |a|·(1 − p) / normaliser: what an objective with small
    /// weights loses against −log p, and what a learning rate would have to make up for.
    pub fn effective_step(&self, stats: &[TokenStats]) -> f64 {
        let push = |(pull, token): (&Pull, &TokenStats)| match pull.label {
            0.0 => 0.0,
            label => label.abs() * one_minus_p(token),
        };
        self.pulls.iter().zip(stats).map(push).sum::<f64>() / self.normaliser
    }
}

/// 1 − p without losing the digits of a p near 1.
fn one_minus_p(token: &TokenStats) -> f64 {
    -libm::expm1(-token.loss.max(0.0))
}

/// An expression together with what makes it cheap: most are constants, and few read p.
#[derive(Clone, Debug)]
struct Formula {
    expression: Expression,
    constant: Option<f64>,
    reads_p: bool,
}

impl Formula {
    fn new(expression: &Expression) -> Self {
        let constant = expression.as_number();
        Self { expression: expression.clone(), constant, reads_p: expression.reads(Variable::P) }
    }

    fn at(&self, token: &TokenStats) -> f64 {
        match self.constant {
            Some(value) => value,
            None if self.reads_p => self.expression.at(Point::at(token)),
            None => self.expression.at(Point::without_p(token)),
        }
    }
}

/// The state that an objective keeps over a training run: the schedule's clock, what its quantiles remember, buffers.
#[derive(Clone, Debug)]
pub struct Training {
    objective: Objective,
    plan: Plan,
    clock: Clock,
    /// Of the selected tokens and of the others, the pulls a and b.
    formulas: [[Formula; 2]; 2],
    criterion: Option<Formula>,
    /// Statistics that must be there and finite, besides the loss.
    required: Vec<Variable>,
    memory: Memory,
    ranker: Ranker,
    /// Indices of the tokens that are not masked, sorted by name where documents are gathered.
    active: Vec<usize>,
    units: Vec<Unit>,
    sorted: Vec<f64>,
    output: Pulls,
}

/// What is ranked: a token, or the tokens of one document.
#[derive(Clone, Copy, Debug)]
struct Unit {
    value: f64,
    name: u64,
    /// Its tokens, as a range of `active`.
    first: usize,
    end: usize,
}

/// What is known of the criterion beyond the batch.
#[derive(Clone, Debug)]
enum Memory {
    Nothing,
    Window(Window),
    /// The survey, and the thresholds of a band once asked for.
    Survey(Sketch, Option<(Band, [f64; 2])>),
}

impl Training {
    pub(crate) fn new(objective: Objective, plan: Plan) -> Self {
        let formulas = [&objective.selected, &objective.otherwise]
            .map(|branch| [Formula::new(&branch.label), Formula::new(&branch.reference)]);
        let criterion = objective.selection.as_ref().and_then(|selection| match &selection.by {
            Criterion::Score(score) => Some(Formula::new(score)),
            Criterion::Random => None,
        });
        // p and its logarithm are one statistic: checking the logarithm suffices.
        let of_interest = [
            (Variable::ReferenceLoss, Variable::PReference),
            (Variable::BaseLoss, Variable::PBase),
            (Variable::Entropy, Variable::Entropy),
            (Variable::TopEntropy, Variable::TopEntropy),
            (Variable::Bald, Variable::Bald),
            (Variable::Advantage, Variable::Advantage),
        ];
        let read = |pair: &(Variable, Variable)| objective.reads(pair.0) || objective.reads(pair.1);
        let required = of_interest.iter().filter(|pair| read(pair)).map(|pair| pair.0).collect();
        let memory = match objective.selection.as_ref().map(|selection| selection.within) {
            Some(Within::Running { window }) => Memory::Window(Window::new(window)),
            Some(Within::Corpus) => Memory::Survey(Sketch::default(), None),
            _ => Memory::Nothing,
        };
        Self {
            objective,
            plan,
            clock: Clock::default(),
            formulas,
            criterion,
            required,
            memory,
            ranker: Ranker::default(),
            active: Vec::new(),
            units: Vec::new(),
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

    /// One optimizer step: the statistics of the whole batch in, pulls out. Buffers are reused between calls.
    pub fn pulls(&mut self, stats: &[TokenStats]) -> Result<&Pulls, Error> {
        self.pulls_in(stats, &[stats.len()])
    }

    /// The same for a batch that comes in micro-batches of these lengths, one after the other in `stats`.
    ///
    /// They matter only to a selection within the micro-batch; the normaliser is the whole batch's in any case.
    pub fn pulls_in(&mut self, stats: &[TokenStats], micro_batches: &[usize]) -> Result<&Pulls, Error> {
        if micro_batches.iter().sum::<usize>() != stats.len() {
            let sum: usize = micro_batches.iter().sum();
            return Err(Error::Order(format!(
                "micro-batches of {sum} tokens do not make a batch of {}",
                stats.len()
            )));
        }
        self.output.selected.clear();
        self.output.selected.resize(stats.len(), false);
        self.activate(stats, 0..stats.len())?;
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
        let mean_loss = matches!(adaptive, Some(Schedule::Adaptive { .. })).then(|| {
            let losses = stats.iter().filter(|token| token.weight != 0.0).map(|token| token.loss);
            losses.sum::<f64>() / tokens.max(1) as f64
        });
        self.clock.tick(mean_loss);
        Ok(&self.output)
    }

    /// Before training, for a selection within the corpus: the statistics of some more of the data.
    pub fn survey(&mut self, stats: &[TokenStats]) -> Result<(), Error> {
        let selection =
            self.objective.selection.clone().filter(|selection| selection.within == Within::Corpus);
        let Some(selection) = selection else {
            return Err(Error::Order(
                "only an objective that selects within the corpus surveys it".to_owned(),
            ));
        };
        if self.clock.step > 0 {
            return Err(Error::Order("the survey comes before the first step".to_owned()));
        }
        self.activate(stats, 0..stats.len())?;
        self.gather(&selection, stats);
        self.sort_values();
        if let Memory::Survey(sketch, _) = &mut self.memory {
            self.sorted.iter().for_each(|value| sketch.insert(*value));
        }
        Ok(())
    }

    /// Lists the tokens of a range that are not masked; each must have what the objective reads.
    fn activate(&mut self, stats: &[TokenStats], range: std::ops::Range<usize>) -> Result<(), Error> {
        self.active.clear();
        for i in range {
            let token = &stats[i];
            let wrong = |name, value, right| Error::Statistic {
                token: i,
                document: token.document,
                position: token.position,
                name,
                value,
                right,
            };
            if !(token.weight >= 0.0 && token.weight.is_finite()) {
                return Err(wrong("weight", token.weight, "it must be finite and not negative"));
            }
            if token.weight == 0.0 {
                continue;
            }
            // A loss computed in single precision may be a rounding below 0.
            if !(token.loss >= -1e-3 && token.loss.is_finite()) {
                return Err(wrong("loss", token.loss, "it must be finite and not negative"));
            }
            for variable in &self.required {
                match variable.of(token) {
                    Some(value) if value.is_finite() => {}
                    Some(value) => return Err(wrong(variable.name(), value, "it must be finite")),
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
            self.active.push(i);
        }
        Ok(())
    }

    /// Makes the units that are ranked out of the active tokens.
    fn gather(&mut self, selection: &Selection, stats: &[TokenStats]) {
        let (seed, step) = (self.plan.seed, self.clock.step);
        let value = |token: &TokenStats| match &self.criterion {
            Some(criterion) => criterion.at(token),
            None => hash([seed, step, u64::from(token.document), u64::from(token.position)]),
        };
        let name = |i: usize| u64::from(stats[i].document) << 32 | u64::from(stats[i].position);
        self.units.clear();
        match selection.of {
            Granularity::Token => self.units.extend(self.active.iter().enumerate().map(|(place, i)| Unit {
                value: value(&stats[*i]),
                name: name(*i),
                first: place,
                end: place + 1,
            })),
            Granularity::Document => {
                // By name, so that a document's mean is summed in the same order however the batch lists it.
                self.active.sort_unstable_by_key(|i| (name(*i), *i));
                let mut first = 0;
                for document in self.active.chunk_by(|a, b| stats[*a].document == stats[*b].document) {
                    let sum: f64 = document.iter().map(|i| value(&stats[*i])).sum();
                    let end = first + document.len();
                    self.units.push(Unit {
                        value: sum / document.len() as f64,
                        name: name(document[0]),
                        first,
                        end,
                    });
                    first = end;
                }
            }
        }
    }

    fn sort_values(&mut self) {
        self.sorted.clear();
        self.sorted.extend(self.units.iter().map(|unit| unit.value));
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
                self.rank(band);
                first += length;
            }
            return self.activate(stats, 0..stats.len());
        }
        self.gather(selection, stats);
        self.finite(stats)?;
        let thresholds = match &mut self.memory {
            Memory::Nothing => {
                self.rank(band);
                return Ok(());
            }
            Memory::Survey(sketch, _) if sketch.count() == 0 => {
                let problem =
                    "a selection within the corpus needs the corpus: call survey before the first step";
                return Err(Error::Order(problem.to_owned()));
            }
            Memory::Survey(_, Some((known, thresholds))) if *known == band => *thresholds,
            Memory::Survey(sketch, known) => {
                let thresholds = sketch.quantiles([band.low, band.high]);
                *known = Some((band, thresholds));
                thresholds
            }
            Memory::Window(_) => {
                self.sort_values();
                let Memory::Window(window) = &mut self.memory else { return Ok(()) };
                self.sorted.iter().for_each(|value| window.insert(*value));
                window.quantiles([band.low, band.high])
            }
        };
        for unit in &self.units {
            let keep = unit.value >= thresholds[0] && unit.value < thresholds[1];
            self.active[unit.first..unit.end].iter().for_each(|i| self.output.selected[*i] = keep);
        }
        Ok(())
    }

    /// Ranks the units and marks the tokens of those in the band.
    fn rank(&mut self, band: Band) {
        let (units, active, selected) = (&self.units, &self.active, &mut self.output.selected);
        let mark = |place: usize, keep: bool| {
            let unit: &Unit = &units[place];
            active[unit.first..unit.end].iter().for_each(|i| selected[*i] = keep);
        };
        self.ranker.band(band, units.iter().map(|unit| unit.value), |place| units[place].name, mark);
    }

    /// A criterion written by the user may leave the numbers.
    fn finite(&self, stats: &[TokenStats]) -> Result<(), Error> {
        match self.units.iter().find(|unit| !unit.value.is_finite()) {
            None => Ok(()),
            Some(unit) => Err(wrong_at(stats, self.active[unit.first], "the criterion", unit.value)),
        }
    }

    fn pull(&mut self, stats: &[TokenStats], tokens: usize) -> Result<(), Error> {
        let output = &mut self.output;
        (output.tokens, output.kept, output.pulled) = (tokens, 0, 0);
        output.pulls.clear();
        let mut weights = 0.0;
        for (i, token) in stats.iter().enumerate() {
            if token.weight == 0.0 {
                output.pulls.push(Pull::default());
                continue;
            }
            let [label, reference] = &self.formulas[usize::from(!output.selected[i])];
            let pull =
                Pull { label: token.weight * label.at(token), reference: token.weight * reference.at(token) };
            if !(pull.label.is_finite() && pull.reference.is_finite()) {
                return Err(wrong_at(stats, i, "its pull", pull.label + pull.reference));
            }
            output.kept += usize::from(output.selected[i]);
            if !pull.is_zero() {
                output.pulled += 1;
                weights += token.weight;
            }
            output.pulls.push(pull);
        }
        output.normaliser = if output.pulled == 0 {
            1.0
        } else {
            match self.objective.normalise {
                Normalise::Pulled => output.pulled as f64,
                Normalise::All => output.tokens as f64,
                Normalise::Weights => weights,
                Normalise::Documents => {
                    self.active.sort_unstable_by_key(|i| stats[*i].document);
                    self.active.chunk_by(|a, b| stats[*a].document == stats[*b].document).count() as f64
                }
            }
        };
        if self.objective.match_gradient {
            self.match_gradient(stats);
        }
        Ok(())
    }

    /// Divides such that the labels' logits feel, summed over the batch, what −log p on all tokens would give them.
    fn match_gradient(&mut self, stats: &[TokenStats]) {
        let uniform = self.objective.against == Some(Against::Uniform);
        let (mut own, mut plain) = (0.0, 0.0);
        for (pull, token) in self.output.pulls.iter().zip(stats).filter(|(_, token)| token.weight != 0.0) {
            let far = one_minus_p(token);
            plain += far;
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

fn wrong_at(stats: &[TokenStats], token: usize, name: &'static str, value: f64) -> Error {
    let TokenStats { document, position, .. } = stats[token];
    Error::Statistic { token, document, position, name, value, right: "it must be finite" }
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
