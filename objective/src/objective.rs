//! An objective: two branches, for the tokens selected and for the others, each a recipe for the two pulls.

use std::fmt;

use toml::Table;

use crate::{Criterion, Expression, Granularity, Selection, TokenStats, Variable, expression::Point};

/// The distribution q that the reference pull points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The model before training.
    Base,
    /// The base model fine-tuned by maximum likelihood on the run's own data.
    Mle,
    /// The uniform distribution over the vocabulary.
    Uniform,
    /// An earlier state of the model being trained.
    Snapshot,
    /// The distribution of the labels without their noise, where it is known.
    Oracle,
    /// Another model, which the run's configuration names.
    Reference,
    /// The model being trained, at the objective's temperature, held constant.
    Itself,
}

impl Against {
    pub(crate) const WORDS: [(&'static str, Self); 7] = [
        ("base", Self::Base),
        ("mle", Self::Mle),
        ("uniform", Self::Uniform),
        ("snapshot", Self::Snapshot),
        ("oracle", Self::Oracle),
        ("reference", Self::Reference),
        ("self", Self::Itself),
    ];
}

impl fmt::Display for Against {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(Self::WORDS.iter().find(|(_, own)| own == self).map_or("", |(word, _)| word))
    }
}

/// Which divergence from the reference q a pull onto it lowers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// KL(q ‖ p): p covers every token to which q gives much. Its gradient is p − q.
    #[default]
    Forward,
    /// KL(p ‖ q): p avoids the tokens to which q gives little. Its gradient is p·(log p − log q − KL(p ‖ q)).
    Reverse,
}

/// What a step's gradient is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Normalise {
    /// Tokens with a pull that is not zero.
    #[default]
    Pulled,
    /// All tokens that are not masked.
    All,
    /// The sum of the users' weights of the tokens with a pull that is not zero.
    Weights,
    /// Documents that have a token which is not masked.
    Documents,
}

/// What tokens of one kind are trained with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Branch {
    /// f(p) as written, for reports and for the written-out loss; `None` where only a weight was given.
    pub(crate) loss: Option<Expression>,
    /// The pull a onto the label.
    pub(crate) label: Expression,
    /// The pull b onto the reference.
    pub(crate) reference: Expression,
}

impl Branch {
    pub(crate) fn none() -> Self {
        Self { loss: None, label: Expression::number(0.0), reference: Expression::number(0.0) }
    }

    /// Whether its tokens are pulled on nothing.
    pub(crate) fn is_none(&self) -> bool {
        [&self.label, &self.reference].into_iter().all(|pull| pull.as_number() == Some(0.0))
    }

    /// All that is computed of a token: its pulls, and its loss for the log, of which a pull may read less.
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        [&self.label, &self.reference].into_iter().chain(&self.loss)
    }

    fn averages(&self) -> bool {
        self.expressions().any(Expression::averages)
    }

    fn settled(&self, mean: &mut dyn FnMut(&Expression) -> f64) -> Self {
        Self {
            loss: self.loss.as_ref().map(|loss| loss.settled(mean)),
            label: self.label.settled(mean),
            reference: self.reference.settled(mean),
        }
    }
}

/// An objective, checked: only what can be trained with can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) source: String,
    pub(crate) selected: Branch,
    pub(crate) otherwise: Branch,
    pub(crate) against: Option<Against>,
    pub(crate) temperature: Option<f64>,
    pub(crate) direction: Direction,
    pub(crate) top_k: Option<usize>,
    pub(crate) selection: Option<Selection>,
    pub(crate) normalise: Normalise,
    pub(crate) match_gradient: bool,
    /// The keys it was built from, presets resolved.
    pub(crate) table: Table,
}

impl Objective {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The reference that it needs, if any.
    pub fn against(&self) -> Option<Against> {
        self.against
    }

    /// Which divergence from the reference its pulls onto it lower.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The temperature of the model's own prediction, where that is the reference.
    pub fn temperature(&self) -> Option<f64> {
        self.temperature
    }

    /// How many tokens of the reference are kept, if it is truncated; see [`truncate`](crate::truncate).
    pub fn top_k(&self) -> Option<usize> {
        self.top_k
    }

    /// Whether each step's gradients on the labels' logits are made as large, in sum, as those of −log p
    /// (`match = "grad-norm"`).
    pub fn matches_gradient(&self) -> bool {
        self.match_gradient
    }

    /// Its selection, if it selects.
    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    /// Whether some token may have a pull onto the reference distribution, so that the trainer must supply it.
    pub fn distills(&self) -> bool {
        [&self.selected, &self.otherwise].iter().any(|branch| branch.reference.as_number() != Some(0.0))
    }

    /// Whether a token's pull follows from its own statistics alone, so that it is known before the batch's other tokens
    /// are. Only the normaliser then waits for the whole batch.
    pub fn is_local(&self) -> bool {
        self.selection.is_none() && !self.averages()
    }

    /// Whether some pull or the criterion reads a mean over the batch.
    pub fn averages(&self) -> bool {
        [&self.selected, &self.otherwise].into_iter().any(Branch::averages)
            || self.criterion().is_some_and(Expression::averages)
    }

    /// The criterion, unless it is random or nothing is selected.
    pub(crate) fn criterion(&self) -> Option<&Expression> {
        self.selection.as_ref().and_then(|selection| match &selection.by {
            Criterion::Score(score) => Some(score),
            Criterion::Random => None,
        })
    }

    /// The objective with the value of each mean over a batch in its place.
    pub(crate) fn settled(&self, mean: &mut dyn FnMut(&Expression) -> f64) -> Self {
        let mut settled = self.clone();
        for branch in [&mut settled.selected, &mut settled.otherwise] {
            *branch = branch.settled(mean);
        }
        if let Some(Selection { by: Criterion::Score(score), .. }) = &mut settled.selection {
            *score = score.settled(mean);
        }
        settled
    }

    /// Whether the objective selects whole documents and puts no pull on the others, so that a step can skip the others
    /// once the selection is known; and whether the pulls of the selected ones are known without the others.
    pub fn chooses_documents(&self) -> bool {
        let documents =
            self.selection.as_ref().is_some_and(|selection| selection.of == Granularity::Document);
        documents && self.otherwise.is_none() && !self.averages()
    }

    /// Whether a batch's result depends on which of its tokens make up a document.
    pub fn reads_documents(&self) -> bool {
        self.normalise == Normalise::Documents
            || self.selection.as_ref().is_some_and(|selection| selection.of == Granularity::Document)
    }

    /// Whether the objective reads this statistic, so that the trainer must supply it.
    pub fn reads(&self, variable: Variable) -> bool {
        let criterion = self.criterion().is_some_and(|score| score.reads(variable));
        // The match compares gradient sizes, and a pull onto q is as large as q's distance from p.
        let of_q = match self.against {
            Some(Against::Uniform) => Variable::Vocabulary,
            _ => Variable::ReferenceLoss,
        };
        let matching = self.match_gradient && self.distills() && variable == of_q;
        let branches = [&self.selected, &self.otherwise];
        criterion
            || matching
            || branches.into_iter().any(|branch| branch.expressions().any(|e| e.reads(variable)))
    }

    /// A token's loss, written out: what its pulls are the gradient of.
    ///
    /// The label's probability is exp(−`label_loss`), and `distance` is −Σₓ q(x) log p(x), or KL(p ‖ q) where the direction
    /// is reverse; everything that counts as constant is read from `stats`. For reports, and for tests that differentiate
    /// it. Where the objective reads means over the batch,
    /// [`Training::written_out`](crate::Training::written_out) knows them.
    pub fn written_out(&self, stats: &TokenStats, selected: bool, label_loss: f64, distance: f64) -> f64 {
        let branch = if selected { &self.selected } else { &self.otherwise };
        let here = Point::at(stats);
        let label = match &branch.loss {
            Some(loss) => loss.at(Point::moved(stats, label_loss)),
            None => branch.label.at(here) * label_loss,
        };
        let reference = branch.reference.at(here);
        // A distance that does not count may be infinite or unknown.
        stats.weight * (label + if reference == 0.0 { 0.0 } else { reference * distance })
    }
}
