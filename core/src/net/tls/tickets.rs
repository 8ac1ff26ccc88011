//! Session tickets that every worker and, with the keys in a file, every process understands.
//!
//! A ticket is the session itself, encrypted with a key that only we know, so that nobody has to remember it. The keys
//! are published whole: a handshake takes no lock. A ticket is the key's name, a random nonce, and the session under
//! AES-256-GCM, which also vouches for what the ticket is good for.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
const NAME_BYTES: usize = 16;
/// How long a client may keep a ticket, in seconds.
const LIFETIME: u32 = 24 * 60 * 60;

/// A key as it is kept: a name that tells it from others, when it was made, and the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// Stands in front of each of its tickets.
    pub name: [u8; NAME_BYTES],
    /// When it was made, in seconds since the Unix epoch.
    pub made: u64,
    /// The secret.
    pub secret: [u8; KEY_BYTES],
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey").field("made", &self.made).finish_non_exhaustive()
    }
}

impl TicketKey {
    /// A new key. `None`: the system gives no random bytes.
    pub fn new(made: u64) -> Option<Self> {
        let (mut name, mut secret) = ([0; NAME_BYTES], [0; KEY_BYTES]);
        rand::fill(&mut name).ok()?;
        rand::fill(&mut secret).ok()?;
        Some(Self { name, made, secret })
    }
}

/// The keys in force, ready for use. The first makes new tickets, all of them open old ones.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<Ready>,
}

struct Ready {
    name: [u8; NAME_BYTES],
    key: LessSafeKey,
}

impl KeyRing {
    /// The ring of these keys, the newest first.
    pub fn new(keys: &[TicketKey]) -> Self {
        let ready = |key: &TicketKey| {
            let unbound = UnboundKey::new(&AES_256_GCM, &key.secret).ok()?;
            Some(Ready { name: key.name, key: LessSafeKey::new(unbound) })
        };
        Self { keys: keys.iter().filter_map(ready).collect() }
    }

    fn seal(&self, session: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let Ready { name, key } = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + session.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        let text = ticket.get_mut(NAME_BYTES + NONCE_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(context), text).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME_BYTES)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        let Ready { key, .. } = self.keys.iter().find(|ready| ready.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = text.to_vec();
        let len = key.open_in_place(nonce, Aad::from(context), &mut session).ok()?.len();
        session.truncate(len);
        Some(session)
    }
}

/// Makes and opens tickets with the keys that are published. All workers have the same keys.
#[derive(Clone)]
pub struct Tickets {
    ring: Arc<ArcSwap<KeyRing>>,
    /// What a ticket is good for: it opens in no other context.
    context: Arc<[u8]>,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Default for Tickets {
    fn default() -> Self {
        Self { ring: Arc::new(ArcSwap::from_pointee(KeyRing::default())), context: Arc::new([]) }
    }
}

impl Tickets {
    /// Publishes these keys, the newest first.
    pub fn publish(&self, keys: &[TicketKey]) {
        self.ring.store(Arc::new(KeyRing::new(keys)));
    }

    /// The same keys for tickets that are good for something else. A session that goes on is not asked again who it is
    /// with, so one that began where nobody was asked must not go on where clients are.
    #[must_use]
    pub fn within(&self, context: &[u8]) -> Self {
        Self { ring: Arc::clone(&self.ring), context: context.into() }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.ring.load().seal(session, &self.context)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.ring.load().open(ticket, &self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_with_its_key_for_as_long_as_that_is_in_the_ring() {
        let keys: Vec<_> = (0..3).map(|made| TicketKey::new(made).unwrap()).collect();
        let tickets = Tickets::default();
        assert!(tickets.encrypt(b"session").is_none(), "no key yet");
        tickets.publish(&keys[..1]);
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_ne!(ticket, tickets.encrypt(b"session").unwrap());
        tickets.publish(&[keys[1].clone(), keys[0].clone()]);
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert!(tickets.encrypt(b"").unwrap().starts_with(&keys[1].name));
        tickets.publish(&keys[1..]);
        assert!(tickets.decrypt(&ticket).is_none());
    }

    #[test]
    fn a_ticket_is_good_in_its_context_only() {
        let tickets = Tickets::default();
        tickets.publish(&[TicketKey::new(0).unwrap()]);
        let (one, other) = (tickets.within(b"one"), tickets.within(b"other"));
        let ticket = one.encrypt(b"session").unwrap();
        assert!(tickets.within(b"one").decrypt(&ticket).is_some());
        assert!(other.decrypt(&ticket).is_none() && tickets.decrypt(&ticket).is_none());
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_anywhere_does_not_open() {
        let tickets = Tickets::default();
        tickets.publish(&[TicketKey::new(0).unwrap()]);
        let ticket = tickets.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert!(tickets.decrypt(&changed).is_none(), "{at}");
            assert!(tickets.decrypt(&ticket[..at]).is_none(), "{at}");
        }
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let key = TicketKey { name: [7; 16], made: 5, secret: [9; 32] };
        assert_eq!(format!("{key:?} {:?}", Tickets::default()), "TicketKey { made: 5, .. } Tickets");
    }
}
