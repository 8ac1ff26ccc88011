//! The operator's log and the access log.

pub mod access;
