//! Which rows of a file are asked.

use tokensieve_base::streams::HashedStream;
use tokensieve_tasks::Options;

/// Keeps as many rows as the options say: the first of an order given by the seed, so that fewer are a subset of more.
pub(super) fn limit<T>(rows: &mut Vec<T>, options: &Options) {
    if let Some(limit) = options.limit.filter(|limit| *limit < rows.len()) {
        HashedStream::new(options.seed, "limit").shuffle(rows);
        rows.truncate(limit);
    }
}
