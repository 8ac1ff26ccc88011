//! Static files: which file a request means, and what is answered for it. Sending it is the exchange's.
//!
//! `name` makes a relative path of a request's path, `coding` chooses among precompressed variants, `media` knows the
//! types, `plan` evaluates conditions and ranges. Only [`locate`] touches files.

mod coding;
mod media;
mod name;
mod plan;

use std::io;
use std::time::SystemTime;

use ringway_config::snapshot::StaticFiles;
use ringway_http::{Known, Method, RequestHead, ResponseHead};

use crate::error::Fault;
use crate::net::File;
use coding::Coding;
pub(crate) use name::Name;

/// What a request means.
#[derive(Debug)]
pub(crate) enum Located {
    /// This file.
    File(Found),
    /// A folder, which is asked for without its final slash.
    Folder,
}

/// A file, as it will be sent.
#[derive(Debug)]
pub(crate) struct Found {
    /// The file itself, or its precompressed variant.
    pub(crate) file: File,
    /// The type of what it holds, uncompressed.
    pub(crate) media: media::Media,
    /// How it is compressed.
    pub(crate) coding: Option<Coding>,
}

/// What to answer. Status and fields are in the response head.
#[derive(Debug)]
pub(crate) enum Answer {
    /// `len` bytes of the file from `offset` on; for HEAD, only their number.
    Content {
        /// Where they are.
        file: File,
        /// The first one.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// The head alone (301, 304, 412, 416).
    Bare,
}

/// Decides what is answered to a request of a route that serves files. `response` is emptied by the caller, and gets
/// status and fields (not `Content-Length`).
pub(crate) async fn answer(
    files: &StaticFiles,
    request: &RequestHead,
    now: SystemTime,
    response: &mut ResponseHead,
) -> Result<Answer, Fault> {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Err(Fault::FileMethod);
    }
    let name = name::parse(&files.prefix, request.path()).ok_or(Fault::NoFile)?;
    let accepted = coding::accepted(request.fields.known_all(Known::AcceptEncoding));
    let found = match locate(files, &name, &accepted).await {
        Ok(Located::File(found)) => found,
        Ok(Located::Folder) => {
            response.status = 301;
            let _ = response.fields.set("Location", folder_url(request).as_bytes());
            return Ok(Answer::Bare);
        }
        Err(error) => return Err(fault(&error)),
    };
    let facts = plan::Facts {
        len: found.file.len(),
        modified: found.file.modified(),
        now,
        media: found.media,
        coding: found.coding,
    };
    Ok(match plan::plan(request, &facts, response) {
        Some((offset, len)) => Answer::Content { file: found.file, offset, len },
        None => Answer::Bare,
    })
}

/// Opens the file that a name means, or a precompressed variant of it that the client accepts (the best first).
pub(crate) async fn locate(files: &StaticFiles, name: &Name, accepted: &[Coding]) -> io::Result<Located> {
    let relative = match name {
        Name::Root => return Ok(Located::Folder),
        Name::Folder(_) if files.index.is_empty() => return Err(io::ErrorKind::NotFound.into()),
        Name::Folder(folder) => format!("{folder}{}", files.index),
        Name::File(file) => file.clone(),
    };
    let media = media::of(&relative);
    if media.is_compressible() {
        for &coding in accepted {
            let variant = format!("{relative}.{}", coding.extension());
            match File::open_beneath(&files.root, &variant).await {
                Ok(file) => return Ok(Located::File(Found { file, media, coding: Some(coding) })),
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    match File::open_beneath(&files.root, &relative).await {
        Ok(file) => Ok(Located::File(Found { file, media, coding: None })),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory && matches!(name, Name::File(_)) => {
            Ok(Located::Folder)
        }
        Err(error) => Err(error),
    }
}

/// Whether an error says that there is no such file to be shown.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{
        InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
    };
    [NotFound, PermissionDenied, NotADirectory, IsADirectory, InvalidFilename, InvalidInput]
        .contains(&error.kind())
}

fn fault(error: &io::Error) -> Fault {
    if is_absence(error) { Fault::NoFile } else { Fault::FileError }
}

/// The same URL with a slash. The path is normalised: it starts with exactly one slash, so this leads to no other
/// host.
fn folder_url(request: &RequestHead) -> String {
    match request.query() {
        Some(query) => format!("{}/?{query}", request.path()),
        None => format!("{}/", request.path()),
    }
}

#[cfg(test)]
mod tests;
