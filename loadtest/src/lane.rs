//! A target that is up during all rounds, and its row.

use anyhow::Result;

use crate::args::Url;
use crate::compare::Setting;
use crate::origin::Origin;
use crate::process::Family;
use crate::report::Row;
use crate::targets::{Kind, Started, Subject};

/// A target that is up during all rounds, and its row.
pub(crate) struct Lane {
    pub(crate) subject: Subject,
    pub(crate) row: Row,
    /// None: somebody else has started it.
    pub(crate) started: Option<Started>,
    pub(crate) url: Url,
    pub(crate) family: Option<Family>,
}

impl Lane {
    /// Starts the target, unless it runs already.
    pub(crate) fn open(setting: &Setting, subject: Subject, origin: &Origin) -> Result<Self> {
        let row = setting.row(subject);
        if let Some((url, pid)) = setting.url.clone().filter(|_| subject.kind == Kind::Url) {
            let family = pid.map(Family::of).transpose()?;
            return Ok(Self { subject, row, started: None, url, family });
        }
        let started = setting.start(subject, origin.address)?;
        let (url, family) = (started.url.clone(), started.family().cloned());
        Ok(Self { subject, row, started: Some(started), url, family })
    }

    /// Whether its answers are our origin's, so that their length is known. Somebody else's gateway may serve anything
    /// unless it was pointed to our origin.
    pub(crate) fn serves_our_origin(&self, setting: &Setting) -> bool {
        self.subject.kind != Kind::Url || setting.origin.port() != 0
    }
}
