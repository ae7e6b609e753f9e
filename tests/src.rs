//! Workspace-level tests; nothing lives here but `tests/`.
