//! One coarse deadline per connection, moved and not re-armed: setting it is a store.
//!
//! A wheel of slots of 10 ms holds each entry at the earliest moment at which something may have to be done about
//! it. When that moment comes, an entry whose deadline was moved on meanwhile is only put into a later slot. One
//! task waits on one timer descriptor, which is set to the next slot in use and to nothing when no deadline is set.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::socket::{Socket, is_epoll};
use crate::clock::{Clock, Moment};

const TICK: u64 = 10_000_000;
/// Slots of the wheel: about ten seconds; what is further away is looked at once in that time.
const SLOTS: u64 = 1024;
const NEVER: u64 = u64::MAX;

/// This thread's timer wheel. Resolution about 10 ms; a deadline is never early.
pub struct Timers {
    clock: Clock,
    wheel: RefCell<Wheel>,
    timer: Socket,
    /// The tick for which the timer is set.
    timer_tick: Cell<u64>,
    /// Those that wait for the driver's next turn.
    turns: RefCell<Vec<Waker>>,
    /// How often the wheel's task was woken, each time by a completion that the driver had looked at.
    turns_done: Cell<u64>,
    /// Every deadline has passed, whatever it is set to.
    over: Cell<bool>,
    stopping: Cell<bool>,
    stopped: Cell<bool>,
    stop_waker: RefCell<Option<Waker>>,
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timers").field("timer_tick", &self.timer_tick.get()).finish_non_exhaustive()
    }
}

thread_local! {
    static TIMERS: RefCell<Option<Rc<Timers>>> = const { RefCell::new(None) };
}

impl Timers {
    /// This thread's wheel; the first call spawns its task on this thread's runtime.
    ///
    /// # Panics
    /// When the kernel refuses a timer descriptor, which happens at the start of a worker or not at all.
    pub fn start() -> Rc<Self> {
        if let Some(timers) = TIMERS.with_borrow(Option::clone) {
            return timers;
        }
        #[expect(
            clippy::expect_used,
            reason = "without a timer no connection could be served; only at a worker's start"
        )]
        let timer = open_timer().expect("a timer descriptor");
        let timers = Rc::new(Self {
            clock: Clock::new(),
            wheel: RefCell::new(Wheel::new()),
            timer,
            timer_tick: Cell::new(NEVER),
            turns: RefCell::default(),
            turns_done: Cell::new(0),
            over: Cell::new(false),
            stopping: Cell::new(false),
            stopped: Cell::new(false),
            stop_waker: RefCell::new(None),
        });
        TIMERS.set(Some(Rc::clone(&timers)));
        super::spawn(Rc::clone(&timers).run());
        timers
    }

    /// Now, on this thread's clock.
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A deadline that is not set.
    pub fn deadline(self: &Rc<Self>) -> Deadline {
        self.make(Kind::Cuttable)
    }

    /// Makes every deadline of this thread pass, now and for good; sleeps go on. The end of a drain.
    pub fn expire_all(&self) {
        self.over.set(true);
        let mut wakers = Vec::new();
        for entry in self.wheel.borrow().slots.iter().flatten().filter(|entry| entry.kind == Kind::Cuttable) {
            wakers.extend(entry.waker.take());
        }
        for waker in wakers {
            waker.wake();
        }
    }

    fn make(self: &Rc<Self>, kind: Kind) -> Deadline {
        let entry = Entry {
            kind,
            slide: Cell::new(0),
            at: Cell::new(NEVER),
            scheduled: Cell::new(NEVER),
            place: Cell::new(0),
            passed: Cell::new(false),
            waker: RefCell::new(None),
        };
        Deadline { entry: Rc::new(entry), timers: Rc::clone(self) }
    }

    /// Ends this thread's wheel, if it has one, and waits until its task is gone; one turn of the driver passes.
    pub(super) async fn stop() {
        let Some(timers) = TIMERS.take() else { return };
        timers.stopping.set(true);
        timers.set_timer(Some(Duration::from_nanos(1)));
        poll_fn(|cx| {
            if timers.stopped.get() {
                return Poll::Ready(());
            }
            *timers.stop_waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn run(self: Rc<Self>) {
        let mut watch = self.timer.watch();
        let mut due = Vec::new();
        while !self.stopping.get() {
            if poll_fn(|cx| watch.poll(cx)).await.is_err() {
                break;
            }
            // Reading takes the readiness away; there is nothing to learn from the count.
            let _ = rustix::io::read(&self.timer, &mut [0_u8; 8]);
            self.turns_done.set(self.turns_done.get() + 1);
            let now = self.clock.now();
            self.wheel.borrow_mut().advance(now, &mut due);
            due.append(&mut self.turns.borrow_mut());
            for waker in due.drain(..) {
                waker.wake();
            }
            self.timer_tick.set(NEVER);
            let next = self.wheel.borrow().next();
            self.aim(next);
        }
        self.stopped.set(true);
        if let Some(waker) = self.stop_waker.take() {
            waker.wake();
        }
    }

    /// Sets the timer for a tick, if that is earlier than what it is set for.
    fn aim(&self, tick: u64) {
        if tick >= self.timer_tick.get() {
            return;
        }
        self.timer_tick.set(tick);
        let wait = Moment(tick.saturating_mul(TICK)).since(self.clock.now());
        // Never shorter than a millisecond: should the clocks disagree, this is no busy loop.
        self.set_timer(Some(wait.max(Duration::from_millis(1))));
    }

    fn set_timer(&self, wait: Option<Duration>) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let wait = wait.unwrap_or_default();
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        // Fails only for values out of range.
        let _ = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec);
    }
}

fn open_timer() -> std::io::Result<Socket> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let fd: OwnedFd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
    Socket::new(fd)
}

/// Wakes after the driver's next turn. For epoll, where what is still readable is known without a turn; on the ring
/// no watch is complete before one. (A task that wakes itself gets no turn: the runtime puts it in front of all
/// others, for ever.)
pub(super) fn ask_for_turn(waker: &Waker) {
    let timers = Timers::start();
    timers.turns.borrow_mut().push(waker.clone());
    if timers.timer_tick.replace(0) != 0 {
        timers.set_timer(Some(Duration::from_nanos(1)));
    }
}

/// How many turns have been given. Between two changes of it, the driver has looked at all completions once.
pub(super) fn turns() -> u64 {
    TIMERS.with_borrow(|timers| timers.as_ref().map_or(0, |timers| timers.turns_done.get()))
}

/// On epoll, lets the driver and other tasks have a turn.
pub(super) async fn turn() {
    let mut asked = !is_epoll();
    poll_fn(|cx| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        ask_for_turn(cx.waker());
        Poll::Pending
    })
    .await;
}

/// Whether [`Timers::expire_all`] reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cuttable,
    Sleep,
}

/// What a deadline and the wheel share.
#[derive(Debug)]
struct Entry {
    kind: Kind,
    /// Nanoseconds by which progress moves the deadline; 0 for none.
    slide: Cell<u64>,
    /// The deadline, in nanoseconds; [`NEVER`] when not set.
    at: Cell<u64>,
    /// The tick of the slot in which it is; [`NEVER`] when in none.
    scheduled: Cell<u64>,
    /// Its place in that slot.
    place: Cell<usize>,
    passed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Entry {
    /// The first tick at which the deadline has passed.
    fn tick(&self) -> u64 {
        match self.at.get() {
            NEVER => NEVER,
            at => at.div_ceil(TICK),
        }
    }
}

/// Slots of entries. All ticks up to `cursor` have been dealt with.
struct Wheel {
    slots: Vec<Vec<Rc<Entry>>>,
    used: [u64; (SLOTS / 64) as usize],
    cursor: u64,
    scratch: Vec<Rc<Entry>>,
    later: Vec<Rc<Entry>>,
}

impl Wheel {
    fn new() -> Self {
        Self {
            // Room for a few, so that a quiet worker allocates nothing when it comes to a slot for the first time.
            slots: (0..SLOTS).map(|_| Vec::with_capacity(4)).collect(),
            used: [0; (SLOTS / 64) as usize],
            cursor: 0,
            scratch: Vec::with_capacity(4),
            later: Vec::with_capacity(4),
        }
    }

    fn is_unused(&self) -> bool {
        self.used.iter().all(|word| *word == 0)
    }

    /// Puts an entry where its deadline (or the wheel's end) is, and says at which tick that is.
    fn insert(&mut self, entry: &Rc<Entry>) -> u64 {
        self.remove(entry);
        let tick = entry.tick().clamp(self.cursor + 1, self.cursor + SLOTS - 1);
        entry.scheduled.set(tick);
        let index = index(tick);
        if let Some(slot) = self.slots.get_mut(index) {
            entry.place.set(slot.len());
            slot.push(Rc::clone(entry));
        }
        if let Some(word) = self.used.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
        tick
    }

    /// Takes an entry out of its slot, if it is in one: what is gone must not stay here until its time, which would be
    /// ten seconds' worth of connections where each makes one request.
    fn remove(&mut self, entry: &Rc<Entry>) {
        let scheduled = entry.scheduled.replace(NEVER);
        if scheduled == NEVER {
            return;
        }
        let (index, place) = (index(scheduled), entry.place.get());
        let Some(slot) = self.slots.get_mut(index) else { return };
        debug_assert!(slot.get(place).is_some_and(|at| Rc::ptr_eq(at, entry)), "an entry knows its place");
        if place < slot.len() {
            slot.swap_remove(place);
        }
        if let Some(moved) = slot.get(place) {
            moved.place.set(place);
        }
        if slot.is_empty()
            && let Some(word) = self.used.get_mut(index / 64)
        {
            *word &= !(1 << (index % 64));
        }
    }

    /// Deals with every slot up to now: collects the wakers of those whose deadline has passed, puts the others
    /// back.
    fn advance(&mut self, now: Moment, due: &mut Vec<Waker>) {
        let from = self.cursor;
        let to = (now.0 / TICK).max(from);
        self.cursor = to;
        let mut later = std::mem::take(&mut self.later);
        for tick in from + 1..=to.min(from + SLOTS) {
            self.visit(index(tick), to, due, &mut later);
        }
        // Only now: a slot that is still to be visited would lose what is put into it for the next round.
        for entry in later.drain(..) {
            self.insert(&entry);
        }
        self.later = later;
    }

    fn visit(&mut self, index: usize, to: u64, due: &mut Vec<Waker>, later: &mut Vec<Rc<Entry>>) {
        let Some(word) = self.used.get_mut(index / 64) else { return };
        if *word & (1 << (index % 64)) == 0 {
            return;
        }
        *word &= !(1 << (index % 64));
        let mut entries = std::mem::take(&mut self.scratch);
        if let Some(slot) = self.slots.get_mut(index) {
            std::mem::swap(slot, &mut entries);
        }
        for entry in entries.drain(..) {
            debug_assert!(entry.scheduled.get() <= to, "a slot holds the entries of one tick");
            entry.scheduled.set(NEVER);
            if entry.tick() <= to {
                entry.passed.set(true);
                due.extend(entry.waker.take());
            } else if entry.at.get() != NEVER {
                later.push(entry);
            }
        }
        self.scratch = entries;
    }

    /// The next tick whose slot is in use; [`NEVER`] when none is.
    fn next(&self) -> u64 {
        if self.is_unused() {
            return NEVER;
        }
        let ahead = |step: &u64| {
            let index = index(self.cursor + step);
            self.used.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
        };
        (1..=SLOTS).find(ahead).map_or(NEVER, |step| self.cursor + step)
    }
}

fn index(tick: u64) -> usize {
    usize::try_from(tick % SLOTS).unwrap_or_default()
}

/// A moment after which waits end with [`NetError::TimedOut`](super::NetError). One task waits on it at a time.
#[derive(Debug)]
pub struct Deadline {
    entry: Rc<Entry>,
    timers: Rc<Timers>,
}

impl Deadline {
    /// The wheel that it is on.
    pub(super) fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// Moves it.
    pub fn set(&self, at: Moment) {
        self.entry.slide.set(0);
        self.move_to(at);
    }

    /// Sets it to so long from now, and from each later progress of a send.
    pub fn set_sliding(&self, timeout: Duration) {
        self.entry.slide.set(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self.move_to(self.timers.clock.now().after(timeout));
    }

    /// Bytes have moved: a sliding deadline is moved on.
    pub fn progressed(&self) {
        let slide = self.entry.slide.get();
        if slide > 0 {
            self.move_to(self.timers.clock.now().after(Duration::from_nanos(slide)));
        }
    }

    fn move_to(&self, at: Moment) {
        self.entry.at.set(at.0);
        self.entry.passed.set(false);
        if self.entry.tick() < self.entry.scheduled.get() {
            self.schedule();
        }
    }

    /// Never.
    pub fn clear(&self) {
        self.entry.at.set(NEVER);
        self.entry.passed.set(false);
    }

    /// The moment, if set.
    pub fn at(&self) -> Option<Moment> {
        Some(Moment(self.entry.at.get())).filter(|at| at.0 != NEVER)
    }

    /// Ready once it has passed; wakes the task then.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.entry.passed.get() || (self.timers.over.get() && self.entry.kind == Kind::Cuttable) {
            return Poll::Ready(());
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ready once it has passed.
    pub async fn expired(&self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }

    fn schedule(&self) {
        let mut wheel = self.timers.wheel.borrow_mut();
        if wheel.is_unused() {
            wheel.cursor = wheel.cursor.max(self.timers.clock.now().0 / TICK);
        }
        let tick = wheel.insert(&self.entry);
        drop(wheel);
        self.timers.aim(tick);
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.clear();
        self.entry.waker.take();
        self.timers.wheel.borrow_mut().remove(&self.entry);
    }
}

/// Waits. For control and helpers; the request path uses deadlines.
pub async fn sleep(duration: Duration) {
    let timers = Timers::start();
    let deadline = timers.make(Kind::Sleep);
    deadline.set(timers.clock.now().after(duration));
    deadline.expired().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64) -> Rc<Entry> {
        Rc::new(Entry {
            kind: Kind::Cuttable,
            slide: Cell::new(0),
            at: Cell::new(at),
            scheduled: Cell::new(NEVER),
            place: Cell::new(0),
            passed: Cell::new(false),
            waker: RefCell::default(),
        })
    }

    /// As `Deadline::set`, without a thread's timers.
    fn set(wheel: &mut Wheel, entry: &Rc<Entry>, at: u64) {
        entry.at.set(at);
        entry.passed.set(false);
        if entry.tick() < entry.scheduled.get() {
            wheel.insert(entry);
        }
    }

    #[test]
    fn against_a_plain_list_no_deadline_is_early_late_or_lost() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut wheel = Wheel::new();
        let entries: Vec<_> = (0..50).map(|_| entry(NEVER)).collect();
        let mut now = 0_u64;
        for round in 0..200_000 {
            let chosen = &entries[usize::try_from(random(50)).unwrap()];
            match random(5) {
                // Near, far beyond the wheel's end, past.
                0 => set(&mut wheel, chosen, now + random(300 * TICK)),
                1 => set(&mut wheel, chosen, now + random(5 * SLOTS * TICK)),
                2 => set(&mut wheel, chosen, now.saturating_sub(random(5 * TICK))),
                3 => {
                    chosen.at.set(NEVER);
                    chosen.passed.set(false);
                    wheel.remove(chosen);
                }
                _ => {
                    chosen.at.set(NEVER);
                    chosen.passed.set(false);
                }
            }
            // As the ticking task: never later than what the wheel asks for, now and then far too late.
            now += if random(500) == 0 { random(3 * SLOTS * TICK) } else { random(TICK) };
            if now / TICK >= wheel.next() {
                wheel.advance(Moment(now), &mut Vec::new());
                for (index, entry) in entries.iter().enumerate() {
                    let due = entry.tick() <= now / TICK;
                    assert_eq!(entry.passed.get(), due, "round {round}, entry {index}");
                }
            }
        }
        for entry in &entries {
            wheel.remove(entry);
        }
        assert!(wheel.is_unused() && wheel.slots.iter().all(Vec::is_empty));
    }

    #[test]
    fn what_is_set_is_asked_for_in_time() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(), NEVER);
        let (near, far) = (entry(35 * TICK / 10), entry(1_000_000 * TICK));
        wheel.insert(&far);
        assert_eq!(wheel.next(), SLOTS - 1);
        wheel.insert(&near);
        assert_eq!(wheel.next(), 4);
        wheel.advance(Moment(4 * TICK - 1), &mut Vec::new());
        assert!(!near.passed.get());
        wheel.advance(Moment(4 * TICK), &mut Vec::new());
        assert!(near.passed.get() && !far.passed.get());
        wheel.advance(Moment(999_999 * TICK), &mut Vec::new());
        assert_eq!(wheel.next(), 1_000_000);
        wheel.advance(Moment(1_000_000 * TICK), &mut Vec::new());
        assert!(far.passed.get());
        assert_eq!(wheel.next(), NEVER);
    }

    #[test]
    fn a_deadline_that_moves_all_the_time_takes_no_room() {
        let mut wheel = Wheel::new();
        let moved = entry(NEVER);
        for now in 0..1_000_000_u64 {
            // A request's deadline, then the idle one: near, far, near, far.
            let at = now * TICK / 50;
            set(&mut wheel, &moved, at + 10 * TICK);
            set(&mut wheel, &moved, at + 6_000 * TICK);
            if at / TICK >= wheel.next() {
                wheel.advance(Moment(at), &mut Vec::new());
                assert!(!moved.passed.get());
            }
        }
        let entries: usize = wheel.slots.iter().map(Vec::len).sum();
        assert_eq!(entries, 1);
    }
}
