//! An objective in words and formulas, for lists and reports.

use std::fmt::{self, Display, Formatter};

use crate::{
    Band, Criterion, Direction, Granularity, Objective, Schedule, Selection, Variable, Within,
    objective::Branch,
};

/// What an objective does, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// The paper it comes from.
    pub source: String,
    /// What selected tokens are trained with.
    pub selected: String,
    /// Their pulls.
    pub selected_pull: String,
    /// What the other tokens are trained with; `None` where every token is selected.
    pub otherwise: Option<String>,
    /// Their pulls.
    pub otherwise_pull: Option<String>,
    /// Which tokens are selected.
    pub selection: String,
    /// Statistics it reads beyond loss and entropy, with what provides each.
    pub needs: Vec<(&'static str, &'static str)>,
}

impl Objective {
    /// What it does, as text.
    pub fn describe(&self) -> Description {
        let others = self.selection.is_some();
        let free = [Variable::P, Variable::Loss, Variable::Entropy, Variable::Vocabulary];
        let needs =
            Variable::ALL.iter().filter(|(variable, ..)| !free.contains(variable) && self.reads(*variable));
        Description {
            name: self.name.clone(),
            about: self.about.clone(),
            source: self.source.clone(),
            selected: self.loss_text(&self.selected),
            selected_pull: self.pull_text(&self.selected),
            otherwise: others.then(|| self.loss_text(&self.otherwise)),
            otherwise_pull: others.then(|| self.pull_text(&self.otherwise)),
            selection: self.selection.as_ref().map_or("every token".to_owned(), ToString::to_string),
            needs: needs.map(|(_, name, _, provider)| (*name, *provider)).collect(),
        }
    }

    fn reference_text(&self) -> String {
        let against = self.against.map_or(String::new(), |against| against.to_string());
        let reference = match (self.top_k, self.temperature) {
            (Some(k), _) => format!("{against}'s top {k}"),
            (None, Some(temperature)) => format!("{against} at temperature {temperature}"),
            (None, None) => against,
        };
        match self.direction {
            Direction::Forward => reference,
            Direction::Reverse => format!("{reference}, reverse"),
        }
    }

    fn loss_text(&self, branch: &Branch) -> String {
        let label = match (&branch.loss, branch.label.as_number()) {
            (Some(loss), _) => Some(loss.to_string()),
            (None, Some(0.0)) => None,
            (None, _) => Some(format!("-({}) * log p", branch.label)),
        };
        let reference = match branch.reference.as_number() {
            Some(0.0) => None,
            Some(1.0) => Some(format!("distill({})", self.reference_text())),
            _ => Some(format!("{} * distill({})", branch.reference, self.reference_text())),
        };
        match (label, reference) {
            (None, None) => "none".to_owned(),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(label), Some(reference)) => format!("{label} + {reference}"),
        }
    }

    fn pull_text(&self, branch: &Branch) -> String {
        match branch.reference.as_number() {
            Some(0.0) => format!("a = {}", branch.label),
            _ => format!("a = {}, b = {} on {}", branch.label, branch.reference, self.reference_text()),
        }
    }
}

impl Display for Description {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        writeln!(formatter, "{}: {}", self.name, self.about)?;
        writeln!(formatter, "  source     {}", self.source)?;
        writeln!(formatter, "  selects    {}", self.selection)?;
        writeln!(formatter, "  selected   {}   ({})", self.selected, self.selected_pull)?;
        if let (Some(otherwise), Some(pull)) = (&self.otherwise, &self.otherwise_pull) {
            writeln!(formatter, "  otherwise  {otherwise}   ({pull})")?;
        }
        for (name, provider) in &self.needs {
            writeln!(formatter, "  needs      {name}: {provider}")?;
        }
        Ok(())
    }
}

impl Display for Criterion {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        match self {
            Self::Random => formatter.write_str("random"),
            Self::Score(score) => {
                let text = score.to_string();
                let named = Self::NAMED.iter().find(|(_, expression, _)| *expression == text);
                formatter.write_str(named.map_or(text.as_str(), |(name, ..)| name))
            }
        }
    }
}

impl Display for Band {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        // Percentages as somebody would write them: 1 − 0.9 is 10 %, not 9.999999999999998 %.
        let percent = |share: f64| (share * 100.0 * 1e9).round() / 1e9;
        match (self.low, self.high) {
            (0.0, 1.0) => formatter.write_str("all"),
            (low, 1.0) => write!(formatter, "top {}%", percent(1.0 - low)),
            (0.0, high) => write!(formatter, "bottom {}%", percent(high)),
            (low, high) => write!(formatter, "{}%..{}%", percent(low), percent(high)),
        }
    }
}

impl Display for Selection {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let of = match self.of {
            Granularity::Token => "tokens",
            Granularity::Document => "documents",
        };
        let within = match self.within {
            Within::Batch => "the batch".to_owned(),
            Within::MicroBatch => "each micro-batch".to_owned(),
            Within::Running { window } => format!("the last {window} or more"),
            Within::Corpus => "the corpus as surveyed before training".to_owned(),
        };
        write!(formatter, "{} of {of} by {}, within {within}", self.keep, self.by)?;
        match self.schedule {
            Schedule::Constant => Ok(()),
            Schedule::Ramp { from, over } => {
                write!(formatter, ", on a ramp from {from} over {}% of the run", over * 100.0)
            }
            Schedule::Adaptive { from } => write!(formatter, ", from {from} as the mean loss falls"),
        }
    }
}
