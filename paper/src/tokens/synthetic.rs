//! Documents from a tiny stochastic "model": random logits, and dropout as noise on them. They replace scored
//! documents where there is no language model, and are the same bits on every machine.

use super::{Document, Token};
use tokensieve_base::streams::Stream;
use tokensieve_toy::softmax::{entropy, softmax};

/// Tokens that can come next.
const WORDS: [&str; 12] = [" the", " of", ".", " sum", " is", " 4", " +", "2", " =", "\n", "ing", " apples"];
const CLASSES: [&str; 12] = [
    "word",
    "word",
    "punctuation",
    "word",
    "word",
    "number",
    "operator",
    "number",
    "operator",
    "space",
    "continuation",
    "word",
];
const PROMPT: [&str; 7] = ["How", " many", " apples", " are", " there", "?", "\n"];
const PASSES: usize = 24;

/// `n` documents of 12 to 30 response tokens, scored under noise that grows with `rate`; 0 scores without passes.
pub fn documents(name: &str, n: usize, rate: f64) -> Vec<Document> {
    let mut stream = Stream::new(0, &format!("synthetic documents: {name}"));
    (0..n).map(|row| Document { row, tokens: tokens(&mut stream, rate) }).collect()
}

fn tokens(stream: &mut Stream, rate: f64) -> Vec<Token> {
    let prompt = PROMPT.map(|text| Token { text: text.into(), ..Token::default() });
    let length = 12 + stream.below(19);
    prompt.into_iter().chain((0..length).map(|_| token(stream, rate))).collect()
}

fn token(stream: &mut Stream, rate: f64) -> Token {
    let sharpness = stream.uniform_in(0.5, 3.5);
    let logits = WORDS.map(|_| sharpness * stream.normal());
    let mut p = logits;
    softmax(&mut p);
    let mut left = stream.uniform();
    let label = p.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    let label = label.unwrap_or(WORDS.len() - 1);
    // Drawn at every rate, so that documents of one name differ between rates by the noise's size alone.
    let noise: Vec<[f64; WORDS.len()]> = (0..PASSES).map(|_| WORDS.map(|_| stream.normal())).collect();
    let posterior = (rate > 0.0).then(|| posterior(&logits, &noise, rate));
    let mut order: Vec<usize> = (0..WORDS.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    Token {
        text: WORDS[label].into(),
        response: true,
        class: Some(CLASSES[label].into()),
        loss: Some(-libm::log(p[label])),
        entropy: Some(entropy(&p)),
        probability: Some(p[label]),
        total: posterior.map(|p| p.0),
        aleatoric: posterior.map(|p| p.1),
        epistemic: posterior.map(|p| (p.0 - p.1).max(0.0)),
        pairwise_kl: posterior.map(|p| p.2),
        top: order.iter().take(5).map(|at| (WORDS[*at].into(), p[*at])).collect(),
    }
}

/// Total and aleatoric uncertainty of the ensemble, and its members' mean divergence from each other.
fn posterior(logits: &[f64], noise: &[[f64; WORDS.len()]], rate: f64) -> (f64, f64, f64) {
    let scale = 2.0 * libm::sqrt(rate / (1.0 - rate));
    let [mut mean, mut mean_log] = [[0.0; WORDS.len()]; 2];
    let mut aleatoric = 0.0;
    for noise in noise {
        let mut p: Vec<f64> = logits.iter().zip(noise).map(|(logit, noise)| logit + scale * noise).collect();
        softmax(&mut p);
        aleatoric += entropy(&p) / PASSES as f64;
        for ((mean, mean_log), p) in mean.iter_mut().zip(&mut mean_log).zip(&p) {
            *mean += p / PASSES as f64;
            *mean_log += libm::log(*p) / PASSES as f64;
        }
    }
    let cross: f64 = mean.iter().zip(&mean_log).map(|(p, log)| -p * log).sum();
    (entropy(&mean), aleatoric, cross - aleatoric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Quantity;

    #[test]
    fn documents_are_the_same_twice_and_uncertainty_grows_with_the_rate() {
        let at = |rate| documents("test", 4, rate);
        assert_eq!(at(0.1), at(0.1));
        let mean = |rate| {
            let values: Vec<f64> = at(rate).iter().flat_map(|d| d.values(Quantity::Epistemic)).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        assert!(0.0 < mean(0.05) && mean(0.05) < mean(0.2) && mean(0.2) < mean(0.5));
        let texts = |rate| at(rate).iter().flat_map(|d| d.tokens.clone()).map(|t| t.text).collect::<String>();
        assert_eq!(texts(0.1), texts(0.5));
        assert!(at(0.0)[0].response().all(|token| token.total.is_none() && token.loss.is_some()));
    }
}
