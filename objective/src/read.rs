//! Reading an objective: from a table to what can be trained with, or a reason why not.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::{
    Error, Expression, Selection, Variable, Within, check,
    error::hint,
    objective::{Against, Branch, Direction, Normalise, Objective},
    presets,
    settings::{self, Section},
};

/// What may stand for a branch.
const BRANCHES: &str = "a loss f(p), \"none\" or \"distill(<against>)\"";

impl Objective {
    /// The preset of this name; [`presets::names`](crate::presets::names) lists them.
    pub fn preset(name: &str) -> Result<Self, Error> {
        Self::from_table(presets::table(name)?)
    }

    /// An objective from its TOML table, with or without `[objective]` around it.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let written = settings::table(text)?;
        let objective = Self::from_table(written.clone())?;
        objective.check_effect(&written)?;
        Ok(objective)
    }

    /// The loss f(p) on every token.
    pub fn loss(expression: &str) -> Result<Self, Error> {
        let mut table = Table::new();
        table.insert("name".to_owned(), Value::String(expression.to_owned()));
        table.insert("selected".to_owned(), Value::String(expression.to_owned()));
        Self::from_table(table)
    }

    /// This objective with one of its parameters set to another value.
    pub fn with(&self, parameter: &str, value: f64) -> Result<Self, Error> {
        let mut table = self.table.clone();
        let parameters = table.entry("parameters").or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(parameters) = parameters {
            parameters.insert(parameter.to_owned(), Value::Float(value));
        }
        Ok(Self { selection: self.selection.clone(), ..Self::from_table(table)? })
    }

    /// This objective with another selection.
    pub fn select(&self, selection: Selection) -> Result<Self, Error> {
        Selection::check(&selection)?;
        let objective = Self { selection: Some(selection), ..self.clone() };
        objective.check()?;
        Ok(objective)
    }

    fn from_table(mut table: Table) -> Result<Self, Error> {
        if let Some(name) = Section::new("", &table)?.text("preset")? {
            let mut preset = presets::table(&name)?;
            table.remove("preset");
            settings::overlay(&mut preset, table);
            table = preset;
        }
        let section = Section::new("", &table)?;
        let mut builder = Builder::new(&section)?;
        let selected = builder.selected(&section)?;
        let otherwise = match section.text("otherwise")? {
            Some(text) => builder.branch("otherwise", &text)?,
            None => Branch::none(),
        };
        builder.all_used()?;
        let normalise = [
            ("pulled", Normalise::Pulled),
            ("all", Normalise::All),
            ("weights", Normalise::Weights),
            ("documents", Normalise::Documents),
        ];
        let top_k = section.integer("top_k")?.map(|k| usize::try_from(k).unwrap_or(usize::MAX));
        let objective = Self {
            name: section.text("name")?.unwrap_or_else(|| "custom".to_owned()),
            about: section.text("about")?.unwrap_or_default(),
            source: section.text("source")?.unwrap_or_default(),
            selected,
            otherwise,
            against: builder.against,
            temperature: section.positive("temperature")?,
            direction: section.word(
                "direction",
                &[("forward", Direction::Forward), ("reverse", Direction::Reverse)],
                Direction::Forward,
            )?,
            top_k,
            selection: section.table("select")?.map(settings::selection).transpose()?,
            normalise: section.word("normalise", &normalise, Normalise::Pulled)?,
            match_gradient: section.word("match", &[("none", false), ("grad-norm", true)], false)?,
            table: table.clone(),
        };
        objective.check()?;
        if objective.top_k.is_some() && !objective.distills() && !objective.reads(Variable::Divergence) {
            return Err(Error::value(
                "top_k",
                "truncates the reference, but no token is pulled onto a reference, and no divergence is read",
            ));
        }
        if objective.top_k.is_some() && objective.against == Some(Against::Uniform) {
            return Err(Error::value(
                "top_k",
                "of a uniform reference no token is more probable than another",
            ));
        }
        if objective.direction == Direction::Reverse && !objective.distills() {
            return Err(Error::value("direction", "is that of pulls onto a reference, and no token has one"));
        }
        if objective.direction == Direction::Reverse && objective.match_gradient {
            let problem = "\"grad-norm\" does not know the size of a reverse divergence's gradient";
            return Err(Error::value("match", problem));
        }
        // Beyond the k tokens a label is pulled towards its share of the bucket, which no statistic of a token says.
        if objective.top_k.is_some() && objective.distills() && objective.match_gradient {
            let problem =
                "\"grad-norm\" does not know the size of pulls onto a truncated reference (`top_k`)";
            return Err(Error::value("match", problem));
        }
        if objective.selection.is_none() && table.contains_key("otherwise") {
            let problem = "no token is left over: without a table `select` every token is selected";
            return Err(Error::value("otherwise", problem));
        }
        Ok(objective)
    }

    /// Refuses keys without effect, of those that were written: a preset's may have been overridden.
    fn check_effect(&self, written: &Table) -> Result<(), Error> {
        let refused = |key: &str, problem: &str| Err(Error::value(key, problem));
        if written.contains_key("against") && !self.distills() && self.reference_read().is_none() {
            return refused("against", "no token is pulled onto a reference, and no expression reads one");
        }
        if written.contains_key("normalise") && self.match_gradient {
            return refused(
                "normalise",
                "has no effect with `match = \"grad-norm\"`, which sets the step's size",
            );
        }
        let all = self.table.get("select").and_then(Value::as_table).is_some_and(|select| {
            let keep = select.get("keep").map_or(Some("all"), Value::as_str);
            let stays = select.get("schedule").is_none_or(|word| word.as_str() == Some("constant"));
            stays && keep.is_some_and(|keep| keep.trim() == "all")
        });
        if written.contains_key("otherwise") && all {
            return refused("otherwise", "no token is left over: `select.keep` is \"all\"");
        }
        Ok(())
    }

    /// A statistic of the reference that the objective reads, if it reads one.
    fn reference_read(&self) -> Option<Variable> {
        let read =
            [Variable::ReferenceLoss, Variable::PReference, Variable::ReferenceMass, Variable::Divergence];
        read.into_iter().find(|variable| self.reads(*variable))
    }

    /// The model's own prediction needs a temperature, has every token, and its statistics are not computed.
    fn check_itself(&self, read: Option<Variable>) -> Result<(), Error> {
        let itself = self.against == Some(Against::Itself);
        let (key, problem) = match (itself, self.temperature, read) {
            (false, Some(_), _) => {
                ("temperature", "applies only to the model's own prediction, `against = \"self\"`".to_owned())
            }
            (true, None, _) => (
                "temperature",
                "the model's own prediction as reference needs one: 0.7 sharpens it".to_owned(),
            ),
            (true, _, Some(Variable::ReferenceLoss)) if self.match_gradient => (
                "match",
                "\"grad-norm\" does not know the model's own prediction, `against = \"self\"`".to_owned(),
            ),
            (true, _, Some(variable)) => {
                let name = variable.name();
                (
                    "against",
                    format!(
                        "`self` has no `{name}`, which the objective reads; `p`, `entropy` and `concentration` are the model's own"
                    ),
                )
            }
            (true, ..) if self.top_k.is_some() => {
                ("top_k", "the model's own prediction is not truncated".to_owned())
            }
            _ => return Ok(()),
        };
        Err(Error::value(key, problem))
    }

    /// An objective must pull on something and name a reference that it reads, and the corpus is surveyed in parts that
    /// are no batches.
    fn check(&self) -> Result<(), Error> {
        if self.selected.is_none() && self.otherwise.is_none() {
            let problem = "nothing would be trained: neither selected nor other tokens are pulled on anything; give a \
                           loss, a `weight` or a `reference`";
            return Err(Error::value("selected", problem));
        }
        let surveys = self.selection.as_ref().is_some_and(|selection| selection.within == Within::Corpus);
        if surveys && self.criterion().is_some_and(Expression::averages) {
            let problem =
                "reads a mean over the batch, and `within = \"corpus\"` ranks before there are batches";
            return Err(Error::value("select.by", problem));
        }
        let read = self.reference_read();
        self.check_itself(read)?;
        if self.against.is_none() && (self.distills() || read.is_some()) {
            let words: Vec<&str> = Against::WORDS.iter().map(|(word, _)| *word).collect();
            let problem =
                format!("the objective `{}` reads a reference; say which: {}", self.name, words.join(", "));
            return Err(Error::value("against", problem));
        }
        Ok(())
    }
}

/// Reads the expressions of a table; remembers which parameters and which reference they named.
struct Builder {
    parameters: Vec<(String, f64)>,
    used: BTreeSet<String>,
    against: Option<Against>,
}

impl Builder {
    fn new(section: &Section) -> Result<Self, Error> {
        let mut parameters = Vec::new();
        for (name, value) in section.table("parameters")?.into_iter().flatten() {
            let number = match value {
                Value::Integer(number) => *number as f64,
                Value::Float(number) if number.is_finite() => *number,
                other => {
                    let problem = format!("expected a finite number, found {other}");
                    return Err(Error::value(format!("parameters.{name}"), problem));
                }
            };
            if Variable::named(name).is_some() {
                return Err(Error::value(
                    format!("parameters.{name}"),
                    "is the name of a statistic; choose another",
                ));
            }
            parameters.push((name.clone(), number));
        }
        let against = match section.text("against")? {
            Some(text) => Some(against("against", &text)?),
            None => None,
        };
        Ok(Self { parameters, used: BTreeSet::new(), against })
    }

    fn expression(&mut self, text: &str) -> Result<Expression, Error> {
        Expression::parse_with(text, &mut |name| {
            let found = self.parameters.iter().find(|(known, _)| known == name)?;
            self.used.insert(name.to_owned());
            Some(found.1)
        })
    }

    /// The branch of the selected tokens: a loss or a weight, and perhaps a pull on the reference beside it.
    fn selected(&mut self, section: &Section) -> Result<Branch, Error> {
        let mut branch = match (section.text("selected")?, section.text("weight")?) {
            (Some(_), Some(_)) => {
                return Err(Error::value("weight", "stands instead of `selected`; give one of the two"));
            }
            (None, Some(text)) => {
                let label = self.expression(&text)?.simplified();
                check::weight(&text, &label)?;
                Branch { label, ..Branch::none() }
            }
            (text, None) => self.branch("selected", text.as_deref().unwrap_or("-log p"))?,
        };
        if let Some(text) = section.text("reference")? {
            if branch.reference.as_number() != Some(0.0) {
                return Err(Error::value("reference", "`selected` distills already; give one of the two"));
            }
            branch.reference = self.expression(&text)?.simplified();
            check::weight(&text, &branch.reference)?;
        }
        Ok(branch)
    }

    fn branch(&mut self, key: &'static str, text: &str) -> Result<Branch, Error> {
        if text == "none" {
            return Ok(Branch::none());
        }
        if let Some(rest) = text.strip_prefix("distill") {
            let name = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let Some(name) = name else {
                return Err(Error::value(key, format!("`{text}` is not {BRANCHES}")));
            };
            let named = against(key, name.trim())?;
            if self.against.is_some_and(|known| known != named) {
                return Err(Error::value(
                    key,
                    "an objective has one reference, but `against` and distill(…) name different ones",
                ));
            }
            self.against = Some(named);
            return Ok(Branch { reference: Expression::number(1.0), ..Branch::none() });
        }
        let loss = check::guarded(self.expression(text)?);
        let label = loss.pull();
        check::loss(text, &loss, &label)?;
        Ok(Branch { loss: Some(loss), label, ..Branch::none() })
    }

    fn all_used(&self) -> Result<(), Error> {
        match self.parameters.iter().find(|(name, _)| !self.used.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let used = self.used.iter().map(String::as_str);
                let problem = format!("no expression reads it{}", hint(name, used));
                Err(Error::value(format!("parameters.{name}"), problem))
            }
        }
    }
}

fn against(key: &str, name: &str) -> Result<Against, Error> {
    let found = Against::WORDS.iter().find(|(word, _)| *word == name).map(|(_, against)| *against);
    found.ok_or_else(|| {
        Error::value(
            key,
            format!(
                "`{name}` is not a reference{}",
                hint(name, Against::WORDS.iter().map(|(word, _)| *word))
            ),
        )
    })
}
