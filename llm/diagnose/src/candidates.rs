//! The objectives that are compared: every preset whose first step the bands' gradients predict.

use serde::Serialize;
use tokensieve_model::Result;
use tokensieve_objective::{
    Bands, Criterion, Objective, Plan, Profile, TokenStats, Variable, Within, presets,
};

/// A preset that is compared, with its profile on a sample.
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) profile: Profile,
}

/// A preset that is not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub preset: String,
    /// Why its first step cannot be predicted.
    pub because: String,
}

/// The largest share of an objective's pulls that the bands may leave unresolved (choice: a twentieth is usual, and a
/// random selection has three quarters).
const COARSEST: f64 = 0.25;

impl Candidate {
    /// Why the bands do not predict its first step; `None` if they do.
    pub(crate) fn unresolved(&self) -> Option<LeftOut> {
        let share = self.profile.unresolved;
        let because = || format!("{:.0} % of its pull varies within the bands", 100.0 * share);
        (share > COARSEST).then(|| LeftOut { preset: self.name.clone(), because: because() })
    }
}

/// The preset that all others are compared with.
pub(crate) const PLAIN: &str = "mle";

/// Why a preset's first step cannot be predicted; `None` if it can.
fn unpredicted(objective: &Objective) -> Option<String> {
    let reads = |variable| objective.reads(variable);
    if objective.against().is_some() {
        return Some("compares with a reference, whose gradient is none of the bands'".to_owned());
    }
    let since_the_start = objective.selection().is_some_and(|selection| match &selection.by {
        Criterion::Score(score) => score.reads(Variable::BaseLoss) || score.reads(Variable::PBase),
        Criterion::Random => false,
    });
    if since_the_start {
        return Some(
            "ranks by what has changed since the start, which before the first step is nothing".to_owned(),
        );
    }
    let missing = [Variable::Bald, Variable::Advantage, Variable::Score];
    missing
        .into_iter()
        .find(|variable| reads(*variable))
        .map(|variable| format!("reads `{}`", variable.name()))
}

/// The presets that are compared, without plain training, and those that cannot be: of `among`, or of all if it is empty.
pub(crate) fn presets(among: &[String]) -> Result<(Vec<Objective>, Vec<LeftOut>)> {
    let (mut compared, mut left_out) = (Vec::new(), Vec::new());
    let is_asked_for = |name: &str| among.is_empty() || among.iter().any(|asked| asked == name);
    for name in presets::names().filter(|name| *name != PLAIN && is_asked_for(name)) {
        let objective = Objective::preset(name)?;
        match unpredicted(&objective) {
            Some(because) => left_out.push(LeftOut { preset: name.to_owned(), because }),
            None => compared.push(objective),
        }
    }
    Ok((compared, left_out))
}

/// The candidate of an objective on this sample, which is one batch to it. The statistics have the base's losses.
pub(crate) fn candidate(
    objective: &Objective,
    tokens: &[TokenStats],
    bands: &Bands,
    seed: u64,
) -> Result<Candidate> {
    let mut training = objective.begin(Plan { steps: 1, seed });
    if objective.selection().is_some_and(|selection| selection.within == Within::Corpus) {
        training.survey(tokens)?;
    }
    let profile = Profile::of(&training.pulls(tokens)?.pulls, tokens, bands)?;
    Ok(Candidate { name: objective.name().to_owned(), profile })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_compared_or_left_out_with_a_reason() {
        let (compared, left_out) = presets(&[]).unwrap();
        let names: Vec<&str> = compared.iter().map(Objective::name).collect();
        for name in ["-p", "masked-mle", "threshold-above", "percentile", "eaft", "focal"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for name in [
            "distill",
            "masked-mle+distill",
            "rho",
            "bald",
            "policy-gradient",
            "label-smoothing",
            "ss-token",
            "tail-sft",
        ] {
            assert!(left_out.iter().any(|left| left.preset == name), "{left_out:?}");
        }
        assert_eq!(names.len() + left_out.len() + 1, presets::names().count());
    }

    #[test]
    fn only_what_is_asked_for_is_compared() {
        let (compared, left_out) = presets(&["rho", "-p", "mle"].map(str::to_owned)).unwrap();
        assert_eq!(compared.iter().map(Objective::name).collect::<Vec<_>>(), ["-p"]);
        assert_eq!(left_out.iter().map(|left| left.preset.as_str()).collect::<Vec<_>>(), ["rho"]);
    }

    #[test]
    fn a_selection_within_the_corpus_takes_the_sample_for_it() {
        let tokens: Vec<TokenStats> = (0..100_u32)
            .map(|position| {
                let loss = f64::from(position) / 20.0;
                TokenStats { position, base_loss: Some(loss), ..TokenStats::new(loss, 0.5) }
            })
            .collect();
        let bands = Bands::new(&tokens, &[0.1, 0.5]).unwrap();
        let candidate = candidate(&Objective::preset("percentile").unwrap(), &tokens, &bands, 0).unwrap();
        assert_eq!(candidate.profile.label[1..], [1.0, 1.0]);
        assert!(candidate.profile.label[0] < 0.1, "{:?}", candidate.profile);
    }
}
