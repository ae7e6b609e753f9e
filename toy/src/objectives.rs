//! The objectives that the toys compare, by name, all built by `tokensieve-objective`: no toy computes pulls itself.

use serde::{Deserialize, Serialize};
use tokensieve_objective::{Objective, Plan, Pull, TokenStats};

use crate::Error;

/// An objective with the name that tables and figures give it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The name in figures.
    pub name: String,
    /// The loss f(p) in the language of `tokensieve-objective`.
    pub loss: String,
    /// α, where the objective is `f_α(p) = (1 − p^α)/α`.
    pub alpha: Option<f64>,
}

impl Named {
    /// The objective itself.
    pub fn build(&self) -> Result<Objective, Error> {
        Ok(Objective::loss(&self.loss)?)
    }
}

/// An objective by a name of the form `<loss>`, `<loss>, <condition on p>`, `focal` or `eaft`.
pub fn named(name: &str) -> Named {
    let loss = match (name, name.split_once(", ")) {
        // The usual γ = 2.
        ("focal", _) => "-(1 - p)^2 * log p".into(),
        // Entropy-adaptive: −log p by the entropy of the renormalised top 20, over its largest value.
        ("eaft", _) => "-entropy_top20 / log(20) * log p".into(),
        // The published loss keeps 1 − p away from 0 by ε = 1e-3.
        ("log(1-p)", _) => "log(1 - p + 1e-3)".into(),
        (_, Some((loss, condition))) => format!("({loss}) * ({condition})"),
        (loss, None) => loss.into(),
    };
    let alpha = match name {
        "-log p" => Some(0.0),
        "-p" => Some(1.0),
        _ => None,
    };
    Named { name: name.into(), loss, alpha }
}

/// `f_α`; at 0 and 1 it goes by its plain name, −log p or −p.
pub fn alpha(alpha: f64) -> Named {
    if alpha == 0.0 {
        named("-log p")
    } else if (alpha - 1.0).abs() < f64::EPSILON {
        named("-p")
    } else {
        Named { name: format!("f_alpha({alpha})"), loss: format!("f_alpha({alpha})"), alpha: Some(alpha) }
    }
}

/// The pull of an objective without selection on a single token.
pub fn pull(objective: &Objective, stats: TokenStats) -> Result<Pull, Error> {
    let mut training = objective.begin(Plan { steps: 1, seed: 0 });
    Ok(training.pulls(&[stats])?.pulls[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_build() {
        for name in
            ["-log p", "-p", "-p^10", "log(1-p)", "-log p, p >= 0.2", "-log p, p <= 0.2", "focal", "eaft"]
        {
            named(name).build().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for value in [-0.5, 0.0, 0.1, 1.0, 10.0] {
            alpha(value).build().unwrap();
        }
        assert_eq!(alpha(1.0), named("-p"));
        assert!(named("+p").build().is_err(), "an increasing loss must be refused");
    }

    #[test]
    fn log_one_minus_p_has_the_published_weight() {
        let objective = named("log(1-p)").build().unwrap();
        for p in [0.01, 0.5, 0.999] {
            let pull = pull(&objective, TokenStats::new(-libm::log(p), 0.1)).unwrap().label;
            let published = p / (1.0 - p + 1e-3);
            assert!((pull - published).abs() < 1e-9 * published, "{p}: {pull} {published}");
        }
    }
}
