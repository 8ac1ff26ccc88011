//! How a route changes the path on its way to the upstream.

use ringway_filters::Params;

/// A route's rewrite, compiled.
#[derive(Debug, Default)]
pub enum Rewrite {
    /// The normalised path as it is.
    #[default]
    Keep,
    // The config builder adds: StripPrefix, Regex { regex, to }, Template { to with {params} }.
}

impl Rewrite {
    /// Appends the upstream's path (always starting with `/`, query not included) for a normalised request path.
    pub fn apply(&self, _path: &str, _params: &Params, _out: &mut String) {
        todo!()
    }
}
