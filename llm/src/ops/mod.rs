//! The transformer's operations, forward and backward.
