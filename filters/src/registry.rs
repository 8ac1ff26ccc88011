//! The registry: the closed set of filter kinds. Adding one is one file and one line here.

/// One configured filter, shared and read-only.
#[derive(Debug)]
pub struct FilterConfig {
    /// The name under `[filters]`, or `route:NAME` for what a route says itself.
    pub name: String,
}
