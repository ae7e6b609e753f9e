//! For tests that need data of others.

use tokensieve_base::testing::skipped;
use tokensieve_data::{Error as DataError, Folders};
use tokensieve_tasks::Error;

/// What was asked for; `None`, and a line that says so, where its data cannot be had from here. Where there is a mirror
/// they can, and their lack is a fault.
#[track_caller]
pub(crate) fn at_hand<T>(asked: Result<T, impl Into<Error>>) -> Option<T> {
    match asked.map_err(Into::into) {
        Err(Error::Data(error @ DataError::Unobtainable(_))) if Folders::from_env().mirror.is_none() => {
            skipped(&error.brief());
            None
        }
        Err(error) => panic!("{error}"),
        Ok(had) => Some(had),
    }
}
