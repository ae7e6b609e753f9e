//! Logits, statistics and gradients of the response rows, chunk by chunk.
