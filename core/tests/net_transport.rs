//! Streams over the real drivers: what is lost, what is late, what is left behind.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test says what it expects by failing"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use ringway_config::snapshot::{Address, Driver};
use ringway_core::clock::Clock;
use ringway_core::net::{
    Acceptor, Buffer, Buffers, Hold, NetError, Reader, Sharing, SocketAddress, Timers, Writer, bind, connect,
    run, sleep,
};

const DRIVERS: [Driver; 2] = [Driver::IoUring, Driver::Epoll];

fn listen() -> (Acceptor, SocketAddr) {
    let address = Address::Socket("127.0.0.1:0".parse().unwrap());
    let bound = bind(&address, 1, Sharing::Refuse).unwrap().pop().unwrap();
    let local = bound.local().unwrap();
    (bound.seat().unwrap(), local)
}

/// A std client and our end of it.
async fn pair(buffers: &Rc<Buffers>) -> (TcpStream, Reader, Writer) {
    let (mut acceptor, address) = listen();
    let client = TcpStream::connect(address).unwrap();
    let (reader, writer) = acceptor.accept().await.unwrap().split(buffers);
    (client, reader, writer)
}

fn on_both<F: Future>(test: impl Fn() -> F) {
    for driver in DRIVERS {
        run(driver, |_| test()).unwrap();
    }
}

#[test]
fn bytes_come_back_and_the_end_is_seen() {
    on_both(|| async {
        let buffers = Buffers::new();
        let timers = Timers::start();
        let deadline = timers.deadline();
        let (mut client, mut reader, mut writer) = pair(&buffers).await;
        client.write_all(b"ping").unwrap();
        let got = reader.recv(&deadline).await.unwrap().unwrap();
        assert_eq!(got.filled(), b"ping");
        let back = writer.send(got, &deadline).await.unwrap();
        assert!(back.is_empty());
        let mut four = [0; 4];
        client.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"ping");
        client.shutdown(Shutdown::Write).unwrap();
        assert!(reader.recv(&deadline).await.unwrap().is_none());
        writer.finish();
        assert_eq!(client.read(&mut four).unwrap(), 0);
    });
}

#[test]
fn two_buffers_arrive_in_order_whatever_their_sizes() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        for (first, second) in [(0, 0), (10, 0), (0, 10), (10, 100), (10, 300_000), (3_000_000, 3_000_000)] {
            let (mut client, _reader, mut writer) = pair(&buffers).await;
            let received = std::thread::Builder::new()
                .spawn(move || {
                    let mut all = Vec::new();
                    client.read_to_end(&mut all).unwrap();
                    all
                })
                .unwrap();
            let mut one = buffers.take(first);
            one.append().extend((0..first).map(|i| i as u8));
            let mut two = buffers.take(second);
            two.append().extend((0..second).map(|i| (i % 251) as u8));
            let mut expected = one.filled().to_vec();
            expected.extend_from_slice(two.filled());
            let (one, two) = writer.send_two(one, two, &deadline).await.unwrap();
            assert!(one.is_empty() && two.is_empty());
            writer.finish();
            assert!(received.join().unwrap() == expected, "{first} and {second}");
        }
    });
}

#[test]
fn what_came_whole_is_taken_whole_once_its_like_has_come() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let (mut client, mut reader, _writer) = pair(&buffers).await;
        for length in [4_200, 64 * 1024 + 200] {
            let message = vec![b'x'; length];
            let mut pieces = Vec::new();
            // The first few are taken in pieces, and so is one of which only a part was there.
            for _ in 0..50 {
                client.write_all(&message).unwrap();
                let (mut taken, mut count) = (0, 0);
                while taken < length {
                    taken += reader.recv(&deadline).await.unwrap().unwrap().len();
                    count += 1;
                }
                pieces.push(count);
            }
            assert!(pieces.iter().filter(|count| **count == 1).count() > 25, "{length}: {pieces:?}");
        }
    });
}

#[test]
fn a_recv_that_a_deadline_ends_loses_no_byte() {
    on_both(|| async {
        let buffers = Buffers::new();
        let clock = Clock::new();
        let deadline = Timers::start().deadline();
        let (mut client, mut reader, _writer) = pair(&buffers).await;
        let rounds = 2_000_u32;
        let sender = std::thread::Builder::new()
            .spawn(move || {
                client.set_nodelay(true).unwrap();
                for round in 0..rounds {
                    client.write_all(&round.to_be_bytes()).unwrap();
                    if round % 3 == 0 {
                        std::thread::yield_now();
                    }
                }
            })
            .unwrap();
        let (mut all, mut timeouts) = (Vec::new(), 0);
        loop {
            deadline.set(clock.now());
            // Every await is cut: by the deadline, or by dropping the future after one poll.
            let cut = {
                let mut receiving = std::pin::pin!(reader.recv(&deadline));
                std::future::poll_fn(|cx| match receiving.as_mut().poll(cx) {
                    std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
                    std::task::Poll::Pending => std::task::Poll::Ready(None),
                })
                .await
            };
            match cut {
                Some(Ok(Some(buffer))) => all.extend_from_slice(buffer.filled()),
                Some(Ok(None)) => break,
                Some(Err(NetError::TimedOut)) => timeouts += 1,
                Some(Err(error)) => panic!("{error}"),
                None => match reader.recv(&deadline).await {
                    Ok(Some(buffer)) => all.extend_from_slice(buffer.filled()),
                    Ok(None) => break,
                    Err(NetError::TimedOut) => timeouts += 1,
                    Err(error) => panic!("{error}"),
                },
            }
        }
        sender.join().unwrap();
        let expected: Vec<u8> = (0..rounds).flat_map(u32::to_be_bytes).collect();
        assert!(all == expected, "{} of {} bytes, {timeouts} timeouts", all.len(), expected.len());
    });
}

#[test]
fn connect_reaches_a_listener_and_tells_of_a_refusal() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let (mut acceptor, address) = listen();
        let stream = connect(&SocketAddress::Tcp(address), &deadline).await.unwrap();
        assert_eq!(stream.peer(), ringway_core::net::Peer::Socket(address));
        let local = stream.local();
        let (_reader, mut writer) = stream.split(&buffers);
        let theirs = acceptor.accept().await.unwrap();
        assert_eq!(local.map(ringway_core::net::Peer::Socket), Some(theirs.peer()));
        let (mut reader, _) = theirs.split(&buffers);
        let mut hello = buffers.take(5);
        hello.append().extend_from_slice(b"hello");
        writer.send(hello, &deadline).await.unwrap();
        assert_eq!(reader.recv(&deadline).await.unwrap().unwrap().filled(), b"hello");
        drop(acceptor);
        sleep(Duration::from_millis(1)).await;
        let error = connect(&SocketAddress::Tcp(address), &deadline).await.unwrap_err();
        assert!(
            matches!(&error, NetError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused),
            "{error}"
        );
    });
}

#[test]
fn an_expired_send_ends_its_connection_and_leaves_no_descriptor() {
    on_both(|| async {
        let buffers = Buffers::new();
        let clock = Clock::new();
        let deadline = Timers::start().deadline();
        let (mut client, reader, mut writer) = pair(&buffers).await;
        let mut large = buffers.take(64 << 20);
        large.append().resize(64 << 20, 7);
        let before = clock.now();
        deadline.set(before.after(Duration::from_millis(50)));
        assert!(matches!(writer.send(large, &deadline).await, Err(NetError::TimedOut)));
        assert!(clock.now().since(before) >= Duration::from_millis(50));
        deadline.clear();
        let mut more = buffers.take(1);
        more.append().push(1);
        assert!(matches!(writer.send(more, &deadline).await, Err(NetError::Io(_))));
        drop((reader, writer));
        sleep(Duration::from_millis(1)).await;
        // The end comes: nothing keeps the socket open.
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(client.read_to_end(&mut Vec::new()).unwrap() < 64 << 20);
    });
}

#[test]
fn reset_on_close_is_a_reset() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let (mut client, reader, mut writer) = pair(&buffers).await;
        let mut part = buffers.take(4);
        part.append().extend_from_slice(b"part");
        writer.send(part, &deadline).await.unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
        writer.reset_on_close();
        drop((reader, writer));
        sleep(Duration::from_millis(1)).await;
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_quiet_connection_is_known_from_one_that_ended_or_spoke() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        for speaks in [false, true] {
            let (mut client, mut reader, _writer) = pair(&buffers).await;
            client.write_all(b"first").unwrap();
            assert_eq!(reader.recv(&deadline).await.unwrap().unwrap().filled(), b"first");
            assert!(reader.is_quiet());
            sleep(Duration::from_millis(1)).await;
            assert!(reader.is_quiet());
            if speaks {
                client.write_all(b"x").unwrap();
            } else {
                client.shutdown(Shutdown::Write).unwrap();
            }
            sleep(Duration::from_millis(1)).await;
            assert!(!reader.is_quiet());
            // The watch that a question armed serves the wait too.
            assert_eq!(reader.recv(&deadline).await.unwrap().is_some(), speaks);
        }
    });
}

#[test]
fn buffers_grow_while_a_body_keeps_them_full_and_shrink_after() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let (mut client, mut reader, mut writer) = pair(&buffers).await;
        let body = 64 << 20;
        let sender = std::thread::Builder::new().spawn(move || {
            client.write_all(&vec![1; body]).unwrap();
            client.read_exact(&mut [0]).unwrap();
            for _ in 0..3 {
                client.write_all(b"small").unwrap();
                client.read_exact(&mut [0]).unwrap();
            }
        });
        let (mut received, mut largest) = (0, 0);
        while received < body {
            let piece = reader.recv(&deadline).await.unwrap().unwrap();
            received += piece.len();
            largest = largest.max(piece.len());
        }
        assert!(largest > Buffers::SMALL, "{largest}");
        let mut room = usize::MAX;
        for _ in 0..3 {
            let mut one = buffers.take(1);
            one.append().push(1);
            writer.send(one, &deadline).await.unwrap();
            let piece = reader.recv(&deadline).await.unwrap().unwrap();
            room = room.min(piece.len() + piece.room());
        }
        let mut one = buffers.take(1);
        one.append().push(1);
        writer.send(one, &deadline).await.unwrap();
        assert!(room <= Buffers::SMALL, "{room}");
        sender.unwrap().join().unwrap();
        // What is kept does not grow with what has passed.
        assert!(buffers.free_bytes() <= 4 * Buffers::LARGE, "{}", buffers.free_bytes());
    });
}

#[test]
fn giving_up_a_receive_loses_no_byte() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let (mut client, mut reader, _writer) = pair(&buffers).await;
        let count = 4_000_u32;
        let sender = std::thread::Builder::new().spawn(move || {
            for number in 0..count {
                client.write_all(&number.to_be_bytes()).unwrap();
                // Long enough for some to come while a receive is armed, and some while it is being given up.
                for _ in 0..(number % 7) * 200 {
                    std::hint::spin_loop();
                }
            }
        });
        let (mut bytes, mut given_up) = (Vec::new(), 0);
        while bytes.len() < 4 * count as usize {
            reader.set_hold(Hold::Buffer);
            let readable =
                std::future::poll_fn(|cx| std::task::Poll::Ready(reader.poll_readable(cx).is_ready())).await;
            if !readable {
                reader.let_go().await;
                given_up += 1;
            }
            bytes.extend_from_slice(reader.recv(&deadline).await.unwrap().unwrap().filled());
        }
        sender.unwrap().join().unwrap();
        let numbers = bytes.chunks_exact(4).map(|four| u32::from_be_bytes(four.try_into().unwrap()));
        assert!(numbers.eq(0..count));
        assert!(given_up > 10, "{given_up}");
        drop(reader);
    });
}

#[test]
fn posted_buffers_come_in_order_and_whole_to_a_slow_reader() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let (mut client, _reader, mut writer) = pair(&buffers).await;
        let count = 400_u32;
        let reader = std::thread::Builder::new().spawn(move || {
            // By now the sender has filled what the kernel holds.
            std::thread::park_timeout(Duration::from_millis(200));
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        });
        let mut refused = 0;
        for number in 0..count {
            let mut piece = buffers.take(Buffers::SMALL);
            for _ in 0..4_000 {
                piece.append().extend_from_slice(&number.to_be_bytes());
            }
            if let Err(piece) = writer.post(piece) {
                refused += 1;
                writer.send(piece, &deadline).await.unwrap();
            }
        }
        writer.settle(&deadline).await.unwrap();
        assert!(writer.is_settled());
        writer.finish();
        let all = reader.unwrap().join().unwrap();
        let numbers: Vec<u32> =
            all.chunks_exact(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
        let wanted: Vec<u32> = (0..count).flat_map(|number| [number; 4_000]).collect();
        assert!(numbers == wanted, "{} of {}", numbers.len(), wanted.len());
        assert!(refused > 0, "nothing was ever under way");
    });
}

#[test]
fn a_posted_send_that_fails_shows_at_the_next() {
    on_both(|| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let (client, mut reader, mut writer) = pair(&buffers).await;
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert!(reader.recv(&deadline).await.is_err());
        let mut piece = buffers.take(16);
        piece.append().extend_from_slice(b"too late");
        assert!(writer.post(piece).is_ok());
        assert!(writer.settle(&deadline).await.is_err());
        assert!(!writer.is_settled());
        assert!(writer.send(buffers.take(16), &deadline).await.is_err());
        assert!(writer.post(buffers.take(16)).is_err());
    });
}

#[test]
fn settling_ends_with_its_deadline_when_nobody_reads() {
    on_both(|| async {
        let buffers = Buffers::new();
        let timers = Timers::start();
        let (_client, _reader, mut writer) = pair(&buffers).await;
        let mut large = buffers.take(Buffers::LARGE);
        large.append().resize(64 << 20, 1);
        assert!(writer.post(large).is_ok());
        let deadline = timers.deadline();
        deadline.set(Clock::new().now().after(Duration::from_millis(50)));
        assert!(matches!(writer.settle(&deadline).await, Err(NetError::TimedOut)));
        // It is not waited for again.
        assert!(matches!(writer.settle(&timers.deadline()).await, Err(NetError::Io(_))));
        assert!(matches!(writer.send(Buffer::empty(), &timers.deadline()).await, Err(NetError::Io(_))));
        assert!(!writer.is_settled());
        // Dropped with the send under way: it is given up.
    });
}

#[test]
fn settling_gives_a_slow_reader_time_for_as_long_as_it_reads() {
    on_both(|| async {
        let buffers = Buffers::new();
        let (mut client, _reader, mut writer) = pair(&buffers).await;
        socket2::SockRef::from(&client).set_recv_buffer_size(128 * 1024).unwrap();
        let mut large = buffers.take(Buffers::LARGE);
        large.append().resize(8 << 20, 1);
        assert!(writer.post(large).is_ok());
        let slow = std::thread::Builder::new().spawn(move || {
            let (mut all, mut piece) = (0, vec![0; 512 * 1024]);
            while all < 8 << 20 {
                std::thread::park_timeout(Duration::from_millis(20));
                let received = client.read(&mut piece).unwrap();
                assert!(received > 0, "cut after {all}");
                all += received;
            }
        });
        let deadline = Timers::start().deadline();
        deadline.set_sliding(Duration::from_millis(200));
        writer.settle(&deadline).await.unwrap();
        slow.unwrap().join().unwrap();
    });
}
