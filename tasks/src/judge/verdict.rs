//! A judge's verdict on one pair, read from log-probabilities or from text.

use super::LABELS;

/// The least probability that the two labels must have together. Below it the judge is not choosing between them, and
/// their ratio would be noise (choice).
const LEAST_MASS: f64 = 0.01;

/// A judge's verdict on one pair.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The probability that the second output is better.
    Second(f64),
    /// An answer that names neither output.
    Nonsense(String),
}

impl Verdict {
    /// From the log-probabilities of the two [`LABELS`], normalised over these two.
    pub fn of_labels([first, second]: [f64; 2]) -> Self {
        let verdict = 1.0 / (1.0 + (first - second).exp());
        if verdict.is_finite() && first.exp() + second.exp() >= LEAST_MASS {
            return Self::Second(verdict);
        }
        let [one, other] = LABELS;
        Self::Nonsense(format!("log p({one}) = {first}, log p({other}) = {second}"))
    }

    /// From the most likely first tokens with their log-probabilities. White space around a token is ignored: the
    /// probabilities of tokens that differ only in it are added. A label that is not among the tokens has probability 0.
    pub fn of_tokens<'a>(tokens: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let mut labels = [f64::NEG_INFINITY; 2];
        let mut candidates = Vec::new();
        for (token, log_probability) in tokens {
            for (label, sum) in LABELS.iter().zip(&mut labels) {
                if token.trim() == *label {
                    *sum = log_of_sum(*sum, log_probability);
                }
            }
            candidates.push(format!("{token:?} {:.3}", log_probability.exp()));
        }
        match Self::of_labels(labels) {
            Self::Nonsense(_) => Self::Nonsense(candidates.join(", ")),
            verdict @ Self::Second(_) => verdict,
        }
    }

    /// From a text reply: the label that it consists of, ignoring quotes, brackets and a full stop.
    pub fn of_text(text: &str) -> Self {
        let word = unwrapped(text);
        match LABELS.iter().position(|label| *label == word) {
            Some(0) => Self::Second(0.0),
            Some(_) => Self::Second(1.0),
            None => Self::Nonsense(text.to_owned()),
        }
    }
}

/// The text without surrounding white space, quotes and similar marks.
pub(super) fn unwrapped(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "\"'`()[]*.:".contains(c))
}

fn log_of_sum(a: f64, b: f64) -> f64 {
    let most = a.max(b);
    if most == f64::NEG_INFINITY { most } else { most + ((a - most).exp() + (b - most).exp()).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(verdict: Verdict) -> f64 {
        match verdict {
            Verdict::Second(p) => p,
            Verdict::Nonsense(answer) => panic!("{answer}"),
        }
    }

    #[test]
    fn labels_are_renormalised() {
        let p = second(Verdict::of_labels([0.3f64.ln(), 0.1f64.ln()]));
        assert!((p - 0.25).abs() < 1e-12);
        let tokens = [("m", 0.2f64.ln()), ("M", 0.05f64.ln()), (" M", 0.05f64.ln()), ("The", 0.7f64.ln())];
        assert!((second(Verdict::of_tokens(tokens)) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_label_that_is_not_among_the_likely_ones_has_no_probability() {
        assert_eq!(Verdict::of_tokens([("M", -0.01), ("The", -5.0)]), Verdict::Second(1.0));
        assert_eq!(Verdict::of_tokens([("m", -0.01)]), Verdict::Second(0.0));
    }

    #[test]
    fn what_names_no_output_is_nonsense() {
        for tokens in [&[("The", -0.1), ("Model", -3.0)][..], &[("m", -12.0), ("Sorry", -0.001)], &[]] {
            assert!(matches!(Verdict::of_tokens(tokens.iter().copied()), Verdict::Nonsense(_)), "{tokens:?}");
        }
        assert!(matches!(Verdict::of_labels([f64::NAN, 0.0]), Verdict::Nonsense(_)));
        assert!(matches!(Verdict::of_labels([f64::NEG_INFINITY; 2]), Verdict::Nonsense(_)));
        for text in ["", "both", "mM", "Model m is better"] {
            assert_eq!(Verdict::of_text(text), Verdict::Nonsense(text.into()));
        }
    }

    #[test]
    fn words_are_read_with_their_wrapping() {
        for text in ["M", " M\n", "\"M\"", "(M).", "**M**"] {
            assert_eq!(Verdict::of_text(text), Verdict::Second(1.0), "{text}");
        }
        assert_eq!(Verdict::of_text("`m`"), Verdict::Second(0.0));
    }
}
