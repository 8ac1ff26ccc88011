//! The terminal that serves files: read through the ring, sent as the client takes them.

use ringway_config::snapshot::StaticFiles;
use ringway_http::Persistence;

use super::Exchange;
use super::static_files::{self, Answer};
use crate::clock;
use crate::downstream::After;
use crate::error::Fault;
use crate::net::{Buffers, File};

impl Exchange<'_> {
    /// `static`.
    pub(super) async fn serve_file(&mut self, files: &StaticFiles) -> After {
        self.begin_answer(200);
        let now = std::time::UNIX_EPOCH + clock::wall();
        let answer =
            static_files::answer(files, &self.scratch.request, now, &mut self.scratch.response).await;
        match answer {
            Ok(Answer::Bare) => self.send_answer(b"", Persistence::KeepAlive).await,
            Ok(Answer::Content { file, offset, len }) => self.send_file(&file, offset, len).await,
            Err(fault) => self.fail(fault).await,
        }
    }

    async fn send_file(&mut self, file: &File, mut offset: u64, len: u64) -> After {
        let mut own = self.encode_own(len, Persistence::KeepAlive);
        let mut out = std::mem::take(&mut own.out);
        let mut left = if own.bodiless { 0 } else { len };
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(Buffers::LARGE);
            let mut part = match file.read_at(&self.local.buffers, offset, wanted).await {
                Ok(part) if !part.is_empty() => part,
                // The file has shrunk, or cannot be read on: the client must not take what it has for the whole.
                Ok(_) | Err(_) => return self.fail(Fault::FileError).await,
            };
            part.narrow(0..part.len().min(wanted));
            offset += part.len() as u64;
            left -= part.len() as u64;
            // The head goes with the first bytes when they are few.
            if !out.is_empty() && part.len() <= Buffers::SMALL {
                out.append().extend_from_slice(part.filled());
                part = std::mem::take(&mut out);
            }
            if !out.is_empty()
                && let Err(after) = self.send_own_part(std::mem::take(&mut out)).await
            {
                return after;
            }
            if let Err(after) = self.send_own_part(part).await {
                return after;
            }
        }
        if !out.is_empty()
            && let Err(after) = self.send_own_part(out).await
        {
            return after;
        }
        self.finish_own(&own).await
    }
}
