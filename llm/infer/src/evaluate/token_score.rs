//! A model's prediction of one token against the exact distributions of the oracle language.

use tokensieve_tasks::oracle::{Next, Prediction, Token};

/// How far below the largest a probability of the language may lie and still count as the largest: rounding.
const TIE: f64 = 1e-12;

/// A prediction pθ of a token, compared with the language. *Truth* is the language's distribution without noise, *data*
/// the one that the token was drawn from; where there is no noise, they are the same. In nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenScore {
    /// KL(truth ‖ pθ): what the model does not know.
    pub kl: f64,
    /// KL(data ‖ pθ).
    pub kl_data: f64,
    /// H(truth): what nobody can know.
    pub entropy: f64,
    /// H(data).
    pub entropy_data: f64,
    /// −log pθ of the written token.
    pub loss: f64,
    /// H(pθ).
    pub model_entropy: f64,
    /// Probability that pθ gives to tokens of probability 0 in truth.
    pub outside: f64,
    /// Probability that pθ gives to tokens of probability 0 in the data.
    pub outside_data: f64,
    /// The largest probability of pθ.
    pub confidence: f64,
    /// The probability in truth of the token that pθ finds most probable.
    pub truth_of_best: f64,
    /// Whether this token is among the most probable in truth.
    pub right: bool,
    /// Whether this token is the written one.
    pub accurate: bool,
    /// Whether the written token is a wrong value.
    pub wrong: bool,
}

impl TokenScore {
    /// Scores the prediction with these logits, of which those of the language's symbols lie at `places`.
    pub fn new(logits: &[f32], places: &[u32], prediction: &Prediction, written: Token) -> Self {
        let softmax = Softmax::of(logits);
        let at = |token: Token| places[usize::from(token.0)] as usize;
        let log_p = |token: Token| softmax.log_p(logits[at(token)]);
        let (truth, data) = (&prediction.truth, &prediction.data);
        let best = (0..).zip(places).find(|(_, place)| **place as usize == softmax.best);
        let truth_of_best = best.map_or(0.0, |(index, _)| truth.p(Token(index)));
        let largest = truth.tokens.iter().map(|(_, p)| *p).fold(0.0, f64::max);
        Self {
            kl: divergence(truth, log_p),
            kl_data: divergence(data, log_p),
            entropy: truth.entropy(),
            entropy_data: data.entropy(),
            loss: -log_p(written),
            model_entropy: softmax.entropy,
            outside: outside(truth, log_p),
            outside_data: outside(data, log_p),
            confidence: softmax.log_p(logits[softmax.best]).exp(),
            truth_of_best,
            right: truth_of_best >= largest - TIE,
            accurate: softmax.best == at(written),
            wrong: data.is_wrong(written),
        }
    }

    /// H(truth) + KL(truth ‖ pθ): the expected loss of a token without noise.
    pub fn cross_entropy(&self) -> f64 {
        self.entropy + self.kl
    }

    /// |H(pθ) − H(truth)|.
    pub fn entropy_gap(&self) -> f64 {
        (self.model_entropy - self.entropy).abs()
    }

    /// Whether every number is finite: otherwise the model's output was not.
    pub fn is_finite(&self) -> bool {
        [self.kl, self.kl_data, self.loss, self.model_entropy, self.confidence].iter().all(|x| x.is_finite())
    }
}

/// KL(next ‖ pθ). At least 0, which rounding may miss.
fn divergence(next: &Next, log_p: impl Fn(Token) -> f64) -> f64 {
    let possible = next.tokens.iter().filter(|(_, p)| *p > 0.0);
    possible.map(|(token, p)| p * (p.ln() - log_p(*token))).sum::<f64>().max(0.0)
}

/// The probability of all tokens that `next` excludes.
fn outside(next: &Next, log_p: impl Fn(Token) -> f64) -> f64 {
    let possible = next.tokens.iter().filter(|(_, p)| *p > 0.0);
    (1.0 - possible.map(|(token, _)| log_p(*token).exp()).sum::<f64>()).max(0.0)
}

/// A distribution by its logits.
struct Softmax {
    /// The log of the sum of exponentials.
    log_sum: f64,
    entropy: f64,
    /// The most probable token; the first of several.
    best: usize,
}

impl Softmax {
    fn of(logits: &[f32]) -> Self {
        let mut best = 0;
        for (token, logit) in logits.iter().enumerate() {
            // NaN becomes the best and makes every number NaN, by which the caller notices.
            if *logit > logits[best] || logit.is_nan() {
                best = token;
            }
        }
        let largest = f64::from(logits[best]);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for logit in logits {
            let below = f64::from(*logit) - largest;
            let exp = below.exp();
            sum += exp;
            // A probability of 0 adds nothing, also where its logarithm is infinite.
            if exp > 0.0 || below.is_nan() {
                weighted += exp * below;
            }
        }
        Self { log_sum: largest + sum.ln(), entropy: sum.ln() - weighted / sum, best }
    }

    fn log_p(&self, logit: f32) -> f64 {
        f64::from(logit) - self.log_sum
    }
}

#[cfg(test)]
mod tests {
    use tokensieve_tasks::oracle::{Language, settings, symbols, tokens};

    use super::*;

    /// Each symbol's place in a vocabulary of 100 tokens, some of which are no symbols.
    fn places() -> Vec<u32> {
        (0..symbols().len() as u32).map(|symbol| 99 - symbol).collect()
    }

    fn prediction(split: &str, document: &str, place: usize) -> (Prediction, Token) {
        let document = tokens(document).unwrap();
        let language = Language::new(5, settings(split).unwrap());
        (language.predictions(&document).unwrap()[place].clone(), document[place])
    }

    fn logits(next: &Next) -> Vec<f32> {
        let mut logits = vec![f32::NEG_INFINITY; 100];
        for (token, p) in &next.tokens {
            logits[places()[usize::from(token.0)] as usize] = p.ln() as f32;
        }
        logits
    }

    #[test]
    fn the_language_itself_knows_everything() {
        let document = "{R3+5:9#1:6.C12|12.$";
        for split in ["train", "uniform-20"] {
            for place in 0..document.len() {
                if split == "train" && place == 6 {
                    continue;
                }
                let document =
                    if split == "train" { document.replace(":9#1:6", ":8#1:4") } else { document.to_owned() };
                let (prediction, written) = prediction(split, &document, place);
                let score = TokenScore::new(&logits(&prediction.data), &places(), &prediction, written);
                assert!(score.kl_data < 1e-7 && score.outside_data < 1e-7, "{place}: {score:?}");
                assert!((score.model_entropy - score.entropy_data).abs() < 1e-6, "{place}: {score:?}");
                assert!((score.loss + prediction.data.p(written).ln()).abs() < 1e-6);
                assert!(score.right && score.is_finite());
                assert_eq!(score.wrong, split == "uniform-20" && place == 6);
            }
        }
    }

    #[test]
    fn a_prediction_by_hand() {
        // With noise of 20 %, the result of 3 + 5 is 8 with 0.8, and each of twelve others with 1/60.
        let (prediction, written) = prediction("uniform-20", "{R3+5:9.$", 6);
        let mut logits = vec![0.0_f32; 100];
        let [eight, nine] =
            ["8", "9"].map(|symbol| places()[usize::from(tokens(symbol).unwrap()[0].0)] as usize);
        logits[eight] = 3.0;
        logits[nine] = 4.0;
        let z = 98.0 + 3.0_f64.exp() + 4.0_f64.exp();
        let score = TokenScore::new(&logits, &places(), &prediction, written);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(score.kl, z.ln() - 3.0);
        close(score.entropy, 0.0);
        close(score.cross_entropy(), score.kl);
        let cross = 0.8 * (z.ln() - 3.0) + (z.ln() - 4.0) / 60.0 + 11.0 / 60.0 * z.ln();
        let entropy = -0.8 * 0.8_f64.ln() - 0.2 * (1.0_f64 / 60.0).ln();
        close(score.entropy_data, entropy);
        close(score.kl_data, cross - entropy);
        close(score.loss, z.ln() - 4.0);
        close(score.confidence, 4.0_f64.exp() / z);
        close(score.outside, 1.0 - 3.0_f64.exp() / z);
        close(score.outside_data, 87.0 / z);
        close(score.model_entropy, z.ln() - (3.0 * 3.0_f64.exp() + 4.0 * 4.0_f64.exp()) / z);
        assert!(!score.right && score.accurate && score.wrong);
        close(score.truth_of_best, 0.0);
    }

    #[test]
    fn logits_that_are_not_finite_are_noticed() {
        let (prediction, written) = prediction("train", "{R3+5:8.$", 6);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut logits = vec![0.0; 100];
            logits[3] = bad;
            assert!(!TokenScore::new(&logits, &places(), &prediction, written).is_finite(), "{bad}");
        }
    }
}
