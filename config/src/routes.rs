//! Which route answers a request.

use ringway_filters::Params;
use ringway_http::RequestHead;

use crate::snapshot::{ListenerId, Route, RouteId};

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// This route.
    Route(RouteId),
    /// A route matches in all but the method: 405 with this `Allow` value.
    MethodNotAllowed(&'a str),
    /// Nothing: 404.
    Nothing,
}

/// All routes and the index over them. Immutable.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
}

impl Routes {
    /// Every route, in the file's order; a `RouteId` is an index into it.
    pub fn all(&self) -> &[Route] {
        &self.routes
    }
    /// One route.
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(id.0 as usize)
    }
    /// The best route for a request, with its parameters left in `params` (cleared first).
    /// `allow` is scratch for the answer's `Allow` value.
    pub fn find<'a>(
        &self,
        _listener: ListenerId,
        _head: &RequestHead,
        _params: &mut Params,
        _allow: &'a mut String,
    ) -> Found<'a> {
        todo!()
    }
}
