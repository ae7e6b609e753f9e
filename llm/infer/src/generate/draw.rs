//! Samples the next token of every sequence in a batch.

use std::sync::Mutex;

use rand_chacha::rand_core::RngCore;

use super::request::Failure;
use super::sequence::Sequence;
use tokensieve_kernels::logits;
use tokensieve_kernels::shim::parallel;
use tokensieve_model::Error;

/// Samples the next token of every sequence from its row of the logits.
pub(super) fn draw(
    sequences: &mut [&mut Sequence],
    logits: &[f32],
    vocabulary: usize,
) -> Result<(), Failure> {
    let rows: Vec<_> = sequences.iter_mut().zip(logits.chunks_exact(vocabulary)).map(Mutex::new).collect();
    parallel(rows.len(), 1, |part| {
        for row in &rows[part] {
            let (sequence, logits) = &mut *row.lock().expect("only one thread has this row");
            draw_one(sequence, logits);
        }
    });
    drop(rows);
    match sequences.iter().find(|sequence| sequence.log_probability.is_nan()) {
        Some(sequence) => {
            let tokens = sequence.tokens.len() - 1;
            let error = Error::Run(format!("the model's output is not finite after {tokens} tokens"));
            Err(sequence.failure(error))
        }
        None => Ok(()),
    }
}

/// Samples one token and adds its log-probability.
fn draw_one(sequence: &mut Sequence, logits: &[f32]) {
    let sampling = &sequence.request.sampling;
    let log_sum = logits::log_sum_exp(logits);
    let uniform = match sampling.temperature {
        0.0 => 0.0,
        _ => (sequence.random.next_u64() >> 11) as f64 * 0.5_f64.powi(53),
    };
    let token = sampling.choose(logits, &sequence.tokens, uniform);
    sequence.log_probability += f64::from(logits[token]) - log_sum;
    sequence.tokens.push(token as u32);
}
