//! `ringway explain`: what would happen to a request, and why.

use ringway_config::explain::Question;
use ringway_config::load::Secrets;

use super::arguments::Asked;
use super::{Failure, load, print};

/// Explains a request.
pub(super) fn explain(asked: &Asked) -> Result<(), Failure> {
    let snapshot = load(&asked.config, Secrets::Resolve)?;
    let question = Question {
        listener: asked.listener.as_deref(),
        method: &asked.method,
        url: &asked.url,
        headers: &asked.headers,
    };
    let answer = ringway_config::explain::explain(&snapshot, &question).map_err(Failure::Usage)?;
    print(&answer);
    Ok(())
}
