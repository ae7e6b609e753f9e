//! Rows of data sets, as people keep them.
