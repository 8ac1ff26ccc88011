//! The chain: filters in their listed order on the request, in reverse on the response.

use std::sync::Arc;

use ringway_http::{RequestHead, ResponseHead};

use crate::facts::Facts;
use crate::registry::{FilterConfig, Seated, Slots, States};

/// An answer that a filter gives in the upstream's stead.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The reason word, which is also the error's `code`.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Further fields.
    pub fields: ringway_http::Fields,
}

/// What a request hook decided.
#[derive(Debug)]
pub enum Verdict {
    /// Go on with the next filter.
    Continue,
    /// Answer now; the response phase runs from this filter backwards.
    Answer(Box<Reply>),
}

/// The worker-local half of a route's filters: their seats.
#[derive(Debug, Default)]
pub struct Chain {
    /// In the listed order.
    links: Vec<Link>,
}

/// A filter in a chain.
#[derive(Debug)]
struct Link {
    config: Arc<FilterConfig>,
    seated: Seated,
}

/// How far an exchange got in its chain, and what its filters keep for it. Reused.
#[derive(Debug, Default)]
pub struct ChainState {
    /// Filters whose request hook has run, the one that answered included; at most the chain's length.
    ran: usize,
    states: States,
}

impl ChainState {
    /// Forgets the exchange and keeps the memory. For an exchange that may fail before its request hooks run.
    pub fn clear(&mut self) {
        self.ran = 0;
    }
}

impl Chain {
    /// Seats the filters of a route; seats of the previous chain (matched by name and equal config) are taken over.
    pub fn seat(configs: &[Arc<FilterConfig>], previous: Option<&Self>) -> Self {
        let mut slots = Slots::default();
        let before = previous.map_or(&[][..], |chain| &chain.links);
        let link = |config: &Arc<FilterConfig>| {
            let same = before.iter().find(|link| link.config.is_same_as(config)).map(|link| &link.seated);
            Link { config: Arc::clone(config), seated: Seated::new(&config.settings, same, &mut slots) }
        };
        Self { links: configs.iter().map(link).collect() }
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Runs the request hooks in order.
    pub fn on_request_head(
        &self,
        state: &mut ChainState,
        head: &mut RequestHead,
        facts: &mut Facts,
    ) -> Verdict {
        state.ran = 0;
        for link in &self.links {
            state.ran += 1;
            match link.seated.on_request_head(&mut state.states, head, facts) {
                Verdict::Continue => {}
                answer @ Verdict::Answer(_) => return answer,
            }
        }
        Verdict::Continue
    }

    /// Runs the response hooks in reverse, from the last filter whose request hook ran.
    pub fn on_response_head(&self, state: &mut ChainState, head: &mut ResponseHead, facts: &Facts) {
        for link in self.links.iter().take(state.ran).rev() {
            link.seated.on_response_head(&mut state.states, head, facts);
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;
    use crate::registry;

    fn filter(name: &str, kind: &str, text: &str) -> Arc<FilterConfig> {
        Arc::new(registry::parse(name, kind, &DeValue::parse(text).unwrap()).unwrap())
    }

    /// A filter that leaves its name in `Seen` of the request and of the response.
    fn marker(name: &str) -> Arc<FilterConfig> {
        let edits = format!("{{ add = {{ Seen = '{name}' }} }}");
        filter(name, "headers", &format!("{{ request = {edits}, response = {edits} }}"))
    }

    /// A filter that answers requests for one path, and counts them.
    fn closer(name: &str, path: &str) -> Arc<FilterConfig> {
        filter(name, "example", &format!("{{ path = '{path}' }}"))
    }

    fn request(path: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let limits = ringway_http::Limits::default();
        ringway_http::h1::HeadReader::new().request(text.as_bytes(), &limits, &mut head).unwrap().unwrap();
        head
    }

    fn lines(fields: &ringway_http::Fields, name: &str) -> String {
        let values: Vec<_> = fields.values(name).map(String::from_utf8_lossy).collect();
        values.join(" ")
    }

    #[test]
    fn requests_run_in_order_and_responses_in_reverse_from_where_it_ended() {
        for (names, path, in_request, in_response, turned_away) in [
            (&["a", "b", "c"][..], "/", "a b c", "c b a", ""),
            (&["a", "/x", "b"], "/", "a b", "b a", ""),
            (&["a", "/x", "b"], "/x", "a", "a", "1"),
            (&["/x", "a"], "/x", "", "", "1"),
            (&[], "/", "", "", ""),
        ] {
            let filters: Vec<_> = names
                .iter()
                .map(|name| if name.starts_with('/') { closer(name, name) } else { marker(name) })
                .collect();
            let chain = Chain::seat(&filters, None);
            assert_eq!(chain.is_empty(), names.is_empty());
            let (mut state, mut facts) = (ChainState::default(), Facts::default());
            let (mut request, mut response) = (request(path), ResponseHead::new());
            let verdict = chain.on_request_head(&mut state, &mut request, &mut facts);
            chain.on_response_head(&mut state, &mut response, &facts);
            assert_eq!(matches!(verdict, Verdict::Answer(_)), !turned_away.is_empty(), "{names:?} {path}");
            assert_eq!(lines(&request.fields, "Seen"), in_request, "{names:?} {path}");
            assert_eq!(lines(&response.fields, "Seen"), in_response, "{names:?} {path}");
            assert_eq!(lines(&response.fields, "X-Turned-Away"), turned_away, "{names:?} {path}");
        }
    }

    #[test]
    fn an_exchange_does_not_see_the_one_before_it() {
        let chain = Chain::seat(&[marker("a"), closer("b", "/x")], None);
        let (mut state, mut facts) = (ChainState::default(), Facts::default());
        for (path, turned_away) in [("/x", "1"), ("/", ""), ("/x", "2")] {
            let mut response = ResponseHead::new();
            let _ = chain.on_request_head(&mut state, &mut request(path), &mut facts);
            chain.on_response_head(&mut state, &mut response, &facts);
            assert_eq!(lines(&response.fields, "X-Turned-Away"), turned_away, "{path}");
        }
        state.clear();
        let mut response = ResponseHead::new();
        chain.on_response_head(&mut state, &mut response, &facts);
        assert!(response.fields.is_empty(), "failed before its request hooks: nothing runs");
    }

    #[test]
    fn two_filters_of_one_kind_keep_their_states_apart() {
        let chain = Chain::seat(&[closer("a", "/a"), closer("b", "/b")], None);
        let (mut state, mut facts) = (ChainState::default(), Facts::default());
        for path in ["/a", "/b", "/b"] {
            let _ = chain.on_request_head(&mut state, &mut request(path), &mut facts);
        }
        let mut response = ResponseHead::new();
        chain.on_response_head(&mut state, &mut response, &facts);
        assert_eq!(
            lines(&response.fields, "X-Turned-Away"),
            "2",
            "b's second; a's state must not be read for it"
        );
    }

    #[test]
    fn a_seat_is_kept_over_a_reload_while_name_and_configuration_are_equal() {
        for (name, path, count) in [("a", "/x", "3"), ("b", "/x", "1"), ("a", "/y", "1")] {
            let (mut state, mut facts) = (ChainState::default(), Facts::default());
            let before = Chain::seat(&[closer("a", "/x")], None);
            let again = |chain: &Chain, path: &str, state: &mut ChainState, facts: &mut Facts| {
                let mut response = ResponseHead::new();
                let _ = chain.on_request_head(state, &mut request(path), facts);
                chain.on_response_head(state, &mut response, facts);
                lines(&response.fields, "X-Turned-Away")
            };
            assert_eq!(again(&before, "/x", &mut state, &mut facts), "1");
            assert_eq!(again(&before, "/x", &mut state, &mut facts), "2");
            // The filter has moved to another place in the chain, as edits do.
            let after = Chain::seat(&[marker("m"), closer(name, path)], Some(&before));
            assert_eq!(again(&after, path, &mut state, &mut facts), count, "{name} {path}");
        }
    }
}
