//! The terminal that serves files: read through the ring, sent as the client takes them.

use ringway_config::snapshot::StaticFiles;
use ringway_http::{Method, Persistence};

use super::Exchange;
use super::static_files::{self, Answer};
use crate::clock;
use crate::downstream::After;
use crate::error::Fault;
use crate::net::{Buffer, Buffers, File};

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
        let bodiless = self.scratch.request.method == Method::Head;
        let mut left = if bodiless { 0 } else { len };
        // Read before the head is made: a file that cannot be read is still an error of its own then.
        let mut part = match self.read_part(file, &mut offset, &mut left).await {
            Ok(part) => part,
            Err(fault) => return self.fail(fault).await,
        };
        let mut own = match self.encode_own(len, Persistence::KeepAlive) {
            Ok(own) => own,
            Err(after) => return after,
        };
        let mut out = std::mem::take(&mut own.out);
        // The head goes with the first bytes when they are few.
        if part.len() <= Buffers::SMALL {
            out.append().extend_from_slice(part.filled());
            part = std::mem::take(&mut out);
        }
        loop {
            for bytes in [std::mem::take(&mut out), part] {
                if !bytes.is_empty()
                    && let Err(after) = self.send_own_part(bytes).await
                {
                    return after;
                }
            }
            if left == 0 {
                return self.finish_own(&own).await;
            }
            part = match self.read_part(file, &mut offset, &mut left).await {
                Ok(part) => part,
                // The client must not take what it has for the whole.
                Err(fault) => return self.fail(fault).await,
            };
        }
    }

    /// The next part of a file; nothing when nothing is left.
    async fn read_part(&self, file: &File, offset: &mut u64, left: &mut u64) -> Result<Buffer, Fault> {
        if *left == 0 {
            return Ok(Buffer::empty());
        }
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(Buffers::LARGE);
        match file.read_at(&self.local.buffers, *offset, wanted).await {
            Ok(mut part) if !part.is_empty() => {
                part.narrow(0..part.len().min(wanted));
                *offset += part.len() as u64;
                *left -= part.len() as u64;
                Ok(part)
            }
            // The file has shrunk, or cannot be read on.
            Ok(_) | Err(_) => Err(Fault::FileError),
        }
    }
}
