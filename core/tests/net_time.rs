//! Deadlines and mailboxes on both drivers: never early, hardly late, nothing lost between threads.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringway_config::snapshot::Driver;
use ringway_core::clock::Clock;
use ringway_core::net::{Timers, mailbox, run, sleep, spawn};

const DRIVERS: [Driver; 2] = [Driver::IoUring, Driver::Epoll];

#[test]
fn deadlines_are_never_early_and_most_are_hardly_late() {
    for driver in DRIVERS {
        let lateness = run(driver, |_| async {
            let clock = Clock::new();
            let timers = Timers::start();
            let lateness = Rc::new(RefCell::new(Vec::new()));
            for number in 0..2_000_u64 {
                let (clock, deadline) = (clock.clone(), timers.deadline());
                let lateness = Rc::clone(&lateness);
                spawn(async move {
                    let at = clock.now().after(Duration::from_micros(number * 397 % 400_000));
                    // Moved about before it counts: later, never, earlier.
                    deadline.set(at.after(Duration::from_secs(number % 60)));
                    deadline.clear();
                    deadline.set(at);
                    deadline.expired().await;
                    let now = clock.now();
                    assert!(now >= at, "early");
                    lateness.borrow_mut().push(now.since(at));
                });
            }
            while lateness.borrow().len() < 2_000 {
                sleep(Duration::from_millis(20)).await;
            }
            lateness.take()
        });
        let mut lateness = lateness.unwrap();
        lateness.sort();
        // The median, because the machine may be busy; each alone is bounded by the wheel's own tests.
        assert!(lateness[1_000] < Duration::from_millis(25), "{:?}", lateness[1_000]);
    }
}

#[test]
fn a_thread_with_nothing_to_do_does_nothing() {
    for driver in DRIVERS {
        let spent = run(driver, |_| async {
            let timers = Timers::start();
            let idle: Vec<_> = (0..100).map(|_| timers.deadline()).collect();
            let far = Clock::new().now().after(Duration::from_secs(3_600));
            for deadline in &idle {
                deadline.set(far);
            }
            let before = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            sleep(Duration::from_millis(500)).await;
            let after = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec)
        });
        let spent = spent.unwrap();
        assert!(spent < 20_000_000, "{spent} ns of CPU time");
    }
}

#[test]
fn a_hundred_thousand_messages_arrive_in_order_and_the_end_after_them() {
    for driver in DRIVERS {
        let (sender, mut receiver) = mailbox::<(usize, u32)>(1_024).unwrap();
        let senders: Vec<_> = (0..4)
            .map(|thread| {
                let sender = sender.clone();
                let send = move || {
                    for number in 0..25_000 {
                        let mut message = (thread, number);
                        while let Err(back) = sender.send(message) {
                            message = back;
                            std::thread::yield_now();
                        }
                    }
                };
                std::thread::Builder::new().spawn(send).unwrap()
            })
            .collect();
        drop(sender);
        run(driver, |_| async {
            let mut next = [0; 4];
            loop {
                // Cut after one poll each time: what is not taken stays.
                let cut = {
                    let mut receiving = std::pin::pin!(receiver.recv());
                    std::future::poll_fn(|cx| std::task::Poll::Ready(receiving.as_mut().poll(cx))).await
                };
                let message = match cut {
                    std::task::Poll::Ready(message) => message,
                    std::task::Poll::Pending => receiver.recv().await,
                };
                let Some((thread, number)) = message else { break };
                assert_eq!(next[thread], number);
                next[thread] += 1;
            }
            assert_eq!(next, [25_000; 4]);
        })
        .unwrap();
        for sender in senders {
            sender.join().unwrap();
        }
    }
}

#[test]
fn a_message_wakes_a_sleeping_thread_and_a_full_or_gone_mailbox_gives_it_back() {
    for driver in DRIVERS {
        let (sender, mut receiver) = mailbox(2).unwrap();
        let late = sender.clone();
        let (asked, wait) = crossbeam_channel::bounded::<()>(0);
        let thread = std::thread::Builder::new().spawn(move || {
            wait.recv().unwrap();
            late.send(9).unwrap();
        });
        run(driver, |_| async {
            spawn(async move {
                sleep(Duration::from_millis(20)).await;
                asked.send(()).unwrap();
            });
            assert_eq!(receiver.recv().await, Some(9));
            assert_eq!(receiver.try_recv(), None);
            assert_eq!((sender.send(1), sender.send(2), sender.send(3)), (Ok(()), Ok(()), Err(3)));
            assert_eq!((receiver.recv().await, receiver.try_recv()), (Some(1), Some(2)));
            drop(receiver);
            assert_eq!(sender.send(4), Err(4));
        })
        .unwrap();
        thread.unwrap().join().unwrap();
    }
}
