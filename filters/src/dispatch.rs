//! What the registry's lines become: the enums over all kinds of filters and the `match` that dispatches to them.

use std::rc::Rc;

use crate::filter::ExchangeState;

/// A filter's seat, and where its state lies in the registry's `States`.
#[derive(Debug)]
pub(crate) struct Seat<F> {
    /// Shared with the plans before and after, as long as the configuration is equal.
    pub(crate) filter: Rc<F>,
    /// Index among the states of this kind.
    pub(crate) slot: usize,
}

/// The state at a slot, made on first use and kept from then on.
pub(crate) fn at<S: ExchangeState>(states: &mut Vec<S>, slot: usize) -> Option<&mut S> {
    if states.len() <= slot {
        states.resize_with(slot + 1, S::default);
    }
    states.get_mut(slot)
}

/// Makes, from one line per kind, the settings, the seats, the states and the dispatch between them.
macro_rules! filters {
    ($($(#[$meta:meta])* $kind:ident => $filter:ident,)*) => {
        /// The kinds of filters, as they are typed in a file.
        pub fn kinds() -> &'static [&'static str] {
            &[$($(#[$meta])* stringify!($kind),)*]
        }

        /// The checked configuration of one filter of some kind.
        #[derive(Debug, PartialEq)]
        pub(crate) enum Settings {
            $($(#[$meta])* $filter(Arc<<crate::$kind::$filter as Filter>::Config>),)*
        }

        impl Settings {
            /// None: there is no such kind.
            fn parse(kind: &str, value: &Spanned<DeValue<'_>>) -> Option<Result<(Self, String), Vec<FilterError>>> {
                match kind {
                    $($(#[$meta])* stringify!($kind) => Some(
                        build::<crate::$kind::$filter>(value)
                            .map(|(config, text)| (Self::$filter(config), text)),
                    ),)*
                    _ => None,
                }
            }

            fn kind(&self) -> &'static str {
                match self {
                    $($(#[$meta])* Self::$filter(_) => stringify!($kind),)*
                }
            }

            fn params(&self) -> Vec<&str> {
                match self {
                    $($(#[$meta])* Self::$filter(config) => crate::$kind::$filter::params(config),)*
                }
            }
        }

        /// A seated filter of some kind.
        #[derive(Debug)]
        pub(crate) enum Seated {
            $($(#[$meta])* $filter(Seat<crate::$kind::$filter>),)*
        }

        impl Seated {
            /// Takes a seat, or shares `previous` (of equal settings); `slots` counts the chain's filters by kind.
            pub(crate) fn new(settings: &Settings, previous: Option<&Self>, slots: &mut Slots) -> Self {
                match settings {
                    $($(#[$meta])* Settings::$filter(config) => {
                        let filter = match previous {
                            Some(Self::$filter(seat)) => Rc::clone(&seat.filter),
                            _ => Rc::new(crate::$kind::$filter::seat(config)),
                        };
                        let slot = slots.$kind;
                        slots.$kind += 1;
                        Self::$filter(Seat { filter, slot })
                    })*
                }
            }

            pub(crate) fn on_request_head(
                &self,
                states: &mut States,
                head: &mut RequestHead,
                facts: &mut Facts,
            ) -> Verdict {
                match self {
                    $($(#[$meta])* Self::$filter(seat) => {
                        let Some(state) = at(&mut states.$kind, seat.slot) else { return Verdict::Continue };
                        crate::filter::ExchangeState::clear(state);
                        seat.filter.on_request_head(state, head, facts)
                    })*
                }
            }

            pub(crate) fn on_response_head(&self, states: &mut States, head: &mut ResponseHead, facts: &Facts) {
                match self {
                    $($(#[$meta])* Self::$filter(seat) => {
                        let Some(state) = at(&mut states.$kind, seat.slot) else { return };
                        seat.filter.on_response_head(state, head, facts);
                    })*
                }
            }
        }

        /// What an exchange keeps for its filters, by kind: chains of other routes find the memory again.
        #[derive(Debug, Default)]
        pub(crate) struct States {
            $($(#[$meta])* $kind: Vec<<crate::$kind::$filter as Filter>::State>,)*
        }

        /// The next free slot of each kind, while a chain is seated.
        #[derive(Debug, Default)]
        pub(crate) struct Slots {
            $($(#[$meta])* $kind: usize,)*
        }
    };
}
pub(crate) use filters;
