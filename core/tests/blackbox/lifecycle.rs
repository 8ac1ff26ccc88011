//! Start, reload, drain, end: what clients see of them, which should be nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    Client, Gateway, Origin, eventually, fresh_dir, get, listens, ok, own_address, proxying, thread,
};

/// Everything to an origin, and `/epoch` answering with a number, so that it can be seen which file is in force.
fn numbered(origin: &Origin, number: usize) -> String {
    format!(
        "{}\n[routes.epoch]\nmatch = {{ path = \"/epoch\" }}\nrespond = {{ status = 200, body = \"{number}\" }}\n",
        proxying(origin)
    )
}

/// Clients that ask without a pause until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Result<(), String>>>,
}

impl Load {
    /// On kept connections and on new ones, one thread each.
    fn start(address: SocketAddr) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut threads = Vec::new();
        for kept in [true, false] {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            threads.push(thread(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    client.send(get("/load"));
                    let response = client.try_response("GET")?;
                    if response.status != 200 {
                        return Err(format!("{}{}", response.head, response.text()));
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                    if !kept || response.field("connection") == Some("close") {
                        client = Client::connect(address);
                    }
                }
                Ok(())
            }));
        }
        Self { stop, answered, threads }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Stops, and fails if any request did.
    fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap().unwrap();
        }
    }
}

/// Waits until `/epoch` says the number on a connection of its own.
fn in_force(gateway: &Gateway, number: usize) {
    eventually(&format!("file {number} is in force"), || {
        gateway.client().get("/epoch").text() == number.to_string()
    });
}

/// Streams until told to stop, switches protocols, or says `x`.
pub(crate) fn busy_origin(stop: &Arc<AtomicBool>) -> Origin {
    let stop = Arc::clone(stop);
    Origin::start(move |visit| match visit.path() {
        "/download" => {
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while !stop.load(Ordering::SeqCst) {
                visit.send("5\r\nhello\r\n");
                std::thread::park_timeout(Duration::from_millis(5));
            }
            visit.send("0\r\n\r\n");
        }
        "/tunnel" => {
            visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
            while let Some(bytes) = visit.receive(4) {
                visit.send(bytes);
            }
            visit.close();
        }
        _ => visit.send(ok("x")),
    })
}

pub(crate) const TUNNEL: &str =
    "GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

#[test]
fn reloads_under_traffic_cost_no_request_no_download_and_no_tunnel() {
    let stop = Arc::new(AtomicBool::new(false));
    let origin = busy_origin(&stop);
    let gateway = Gateway::start(&numbered(&origin, 0));
    let (mut tunnel, mut download) = (gateway.client(), gateway.client());
    assert_eq!(tunnel.ask(TUNNEL).status, 101);
    download.send(get("/download"));
    download.until(b"hello");
    let load = Load::start(gateway.at(8080));
    for number in 1..=20 {
        let before = load.answered();
        gateway.reload(&numbered(&origin, number));
        in_force(&gateway, number);
        eventually("traffic goes on", || load.answered() > before);
    }
    load.finish();
    tunnel.send("ping");
    assert_eq!(tunnel.exactly(4), b"ping");
    stop.store(true, Ordering::SeqCst);
    download.until(b"\r\n0\r\n\r\n");
}

#[test]
fn a_bad_file_changes_nothing_and_says_so() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 1));
    gateway.reload(&format!(
        "{}\n[routes.two]\nmatch = {{ path = \"/two\" }}\nupsteam = \"origin\"\n",
        numbered(&origin, 2)
    ));
    let line = gateway.line_with(&["ringway.toml:", "upsteam"]);
    assert!(line.contains("upstream"), "the nearest valid key: {line}");
    assert_eq!(gateway.client().get("/epoch").text(), "1");
    assert_eq!(gateway.client().get("/").text(), "x");
    gateway.reload(&numbered(&origin, 3));
    in_force(&gateway, 3);
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 1));
    std::fs::remove_file(gateway.dir().join("ringway.toml")).unwrap();
    gateway.signal(Signal::HUP);
    gateway.line_with(&["ringway.toml:1:1: cannot be read", "No such file"]);
    assert_eq!(gateway.client().get("/epoch").text(), "1");
}

#[test]
fn a_reload_opens_and_closes_listeners() {
    let origin = Origin::saying("x");
    let with = |ports: &[u16]| {
        let listener = |port: &u16| format!("[listeners.p{port}]\nbind = \"GATEWAY:{port}\"\n");
        numbered(&origin, 1) + &ports.iter().map(listener).collect::<Vec<_>>().concat()
    };
    let gateway = Gateway::start(&with(&[8080, 8081]));
    let mut kept = Client::connect(gateway.at(8080));
    assert_eq!(kept.get("/").text(), "x");
    gateway.reload(&with(&[8080, 8082]));
    eventually("8082 is listened on", || listens(gateway.at(8082)));
    eventually("8081 is no more", || !listens(gateway.at(8081)));
    assert_eq!(Client::connect(gateway.at(8082)).get("/").text(), "x");
    assert_eq!(kept.get("/").text(), "x", "a listener that stays keeps its connections");
    assert!(TcpStream::connect(gateway.at(8081)).is_err());
}

#[test]
fn a_reload_to_a_taken_port_changes_nothing() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 1));
    let _taken = TcpListener::bind(gateway.at(9999)).unwrap();
    let extra = "[listeners.http]\nbind = \"GATEWAY:8080\"\n[listeners.more]\nbind = \"GATEWAY:9999\"\n";
    gateway.reload(&(numbered(&origin, 2) + extra));
    gateway.line_with(&["9999"]);
    assert_eq!(gateway.client().get("/epoch").text(), "1");
}

#[test]
fn pools_live_through_a_reload() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 1));
    let mut client = gateway.client();
    assert_eq!(client.get("/").text(), "x");
    for number in 2..5 {
        gateway.reload(&numbered(&origin, number));
        in_force(&gateway, number);
        assert_eq!(client.get("/").text(), "x");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn health_lives_through_a_reload() {
    let ill = Origin::start(|visit| match visit.path() {
        "/health" => visit.send("HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n"),
        _ => visit.send(ok("ill")),
    });
    let well = Origin::saying("well");
    let text = |number: usize| {
        numbered(&well, number).replace("endpoints = [", &format!("endpoints = [\"{}\", ", ill.address()))
            + "\n[upstreams.origin.health]\npath = \"/health\"\nexpect = 200\n\
               interval = \"200ms\"\ntimeout = \"200ms\"\n\
               unhealthy_after = 3\nhealthy_after = 2\n"
    };
    let gateway = Gateway::start(&text(1));
    let mut client = gateway.client();
    eventually("the ill one is out", || (0..6).all(|_| client.get("/").text() == "well"));
    for number in 2..6 {
        gateway.reload(&text(number));
        in_force(&gateway, number);
        assert!((0..6).all(|_| client.get("/").text() == "well"), "reload {number} forgot who is ill");
    }
}

#[test]
fn an_upstream_that_changes_takes_the_next_request() {
    let (one, two) = (Origin::saying("one"), Origin::saying("two"));
    let gateway = Gateway::start(&numbered(&one, 1));
    let mut client = gateway.client();
    assert_eq!(client.get("/").text(), "one");
    gateway.reload(&numbered(&two, 2));
    in_force(&gateway, 2);
    eventually("the new endpoint answers", || client.get("/").text() == "two");
    eventually("no connection is kept to the old one", || one.open_connections() == 0);
}

#[test]
fn a_second_instance_on_the_same_address_is_refused() {
    let origin = Origin::saying("x");
    let first = Gateway::before(&origin);
    let mut second = Gateway::spawn(&fresh_dir(), first.ip(), &proxying(&origin));
    let status = second.wait();
    assert!(!status.success());
    let said = second.output();
    assert!(said.contains(&first.at(8080).to_string()) && said.contains("share_addresses"), "{said}");
    for _ in 0..20 {
        assert_eq!(first.client().get("/").text(), "x");
    }
}

#[test]
fn instances_that_are_told_to_may_share_their_addresses() {
    let origin = Origin::saying("x");
    let text = format!("{}\n[server]\nworkers = 1\nshare_addresses = true\n", proxying(&origin));
    let first = Gateway::start(&text);
    let mut second = Gateway::spawn(&fresh_dir(), first.ip(), &text);
    second.line_with(&["gateway.started"]);
    assert!(second.ended().is_none());
    drop(first);
    // The kernel may take a moment to take down the ring of a killed process, and its sockets with it.
    eventually("the second answers", || {
        let mut client = second.client();
        client.send(get("/"));
        client.try_response("GET").is_ok_and(|response| response.text() == "x")
    });
}

#[test]
fn a_taken_port_is_named() {
    let address = own_address();
    let _taken = TcpListener::bind((address, 8080)).unwrap();
    let mut gateway = Gateway::spawn(&fresh_dir(), address, &proxying(&Origin::saying("x")));
    assert!(!gateway.wait().success());
    assert!(gateway.output().contains(&format!("{address}:8080")), "{}", gateway.output());
}

#[test]
fn a_unix_listener_serves_and_takes_over_a_stale_socket() {
    let origin = Origin::saying("x");
    let text = format!("[listeners.local]\nbind = \"unix:DIR/in.sock\"\n{}", proxying(&origin));
    let dir = fresh_dir();
    // Left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(dir.join("in.sock")).unwrap());
    let gateway = Gateway::spawn(&dir, own_address(), &text);
    gateway.line_with(&["gateway.started"]);
    let mut stream = UnixStream::connect(dir.join("in.sock")).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nx"), "{answer}");
}

#[test]
fn a_worker_count_or_a_list_of_cpus_is_obeyed() {
    let origin = Origin::saying("x");
    for (workers, count) in [("3", "3"), ("[0]", "1")] {
        let gateway = Gateway::start(&format!("{}\n[server]\nworkers = {workers}\n", proxying(&origin)));
        let line: serde_json::Value = serde_json::from_str(&gateway.line_with(&["gateway.started"])).unwrap();
        assert_eq!(line["workers"].to_string().trim_matches('"'), count, "{line}");
        assert_eq!(gateway.client().get("/").text(), "x");
    }
}

#[test]
fn a_name_without_an_address_is_503_and_does_not_keep_the_gateway_from_starting() {
    let gateway = Gateway::start(
        "[routes.all]\nmatch = { prefix = \"/\" }\nupstream = \"u\"\n\
         [upstreams.u]\nendpoints = [\"no-such-name.invalid:80\"]\n",
    );
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.reason().as_str()), (503, "upstream.unavailable"));
}

#[test]
fn a_second_instance_on_the_same_unix_socket_is_refused() {
    let origin = Origin::saying("x");
    let text = format!("[listeners.local]\nbind = \"unix:DIR/in.sock\"\n{}", proxying(&origin));
    let dir = fresh_dir();
    let first = Gateway::spawn(&dir, own_address(), &text);
    first.line_with(&["gateway.started"]);
    let other = text.replace("DIR", dir.to_str().unwrap());
    let mut second = Gateway::spawn(&fresh_dir(), own_address(), &other);
    assert!(!second.wait().success());
    assert!(second.output().contains("in.sock"), "{}", second.output());
    assert!(UnixStream::connect(dir.join("in.sock")).is_ok(), "the first still listens");
}

#[test]
fn a_taken_metrics_port_is_named() {
    let address = own_address();
    let _taken = TcpListener::bind((address, 9090)).unwrap();
    let text = proxying(&Origin::saying("x")) + "[metrics]\nbind = \"GATEWAY:9090\"\n";
    let mut gateway = Gateway::spawn(&fresh_dir(), address, &text);
    assert!(!gateway.wait().success());
    assert!(gateway.output().contains(&format!("{address}:9090")), "{}", gateway.output());
}

#[test]
fn a_burst_of_reloads_ends_with_the_last_file() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 0));
    for number in 1..=50 {
        gateway.reload(&numbered(&origin, number));
    }
    in_force(&gateway, 50);
    assert_eq!(gateway.client().get("/").text(), "x");
}

#[test]
fn what_a_reload_cannot_change_is_said() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 1));
    gateway.reload(&format!("{}\n[server]\nworkers = 2\n", numbered(&origin, 2)));
    gateway.line_with(&["workers", "restart"]);
    assert_eq!(gateway.client().get("/").text(), "x");
}

#[test]
fn limits_and_header_operations_change_with_a_reload_on_open_connections() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 1));
    let mut client = gateway.client();
    assert_eq!(client.get("/").field("x-new"), None);
    let text =
        numbered(&origin, 2) + "[routes.all.response]\nset = { X-New = \"1\" }\n[limits]\nuri = \"64B\"\n";
    gateway.reload(&text);
    in_force(&gateway, 2);
    assert_eq!(client.get("/").field("x-new"), Some("1"));
    assert_eq!(client.get(&format!("/{}", "x".repeat(64))).status, 414);
}

#[test]
fn an_idle_timeout_changes_with_a_reload_on_open_connections() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&numbered(&origin, 1));
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    gateway.reload(&(numbered(&origin, 2) + "[limits]\nidle_timeout = \"300ms\"\n"));
    in_force(&gateway, 2);
    assert_eq!(client.get("/").status, 200);
    client.expect_closed();
}

#[test]
fn an_upstream_that_is_gone_from_the_file_finishes_what_it_has_begun() {
    let go = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&go);
    let origin = Origin::start(move |visit| {
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbe");
        eventually("the test lets it go on", || flag.load(Ordering::SeqCst));
        visit.send("ll");
    });
    let gateway = Gateway::start(&numbered(&origin, 1));
    let mut client = gateway.client();
    client.send(get("/"));
    client.head();
    gateway
        .reload("[routes.epoch]\nmatch = { path = \"/epoch\" }\nrespond = { status = 200, body = \"2\" }\n");
    in_force(&gateway, 2);
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.exactly(4), b"bell");
    assert_eq!(client.get("/").status, 404, "the next one is under the new file");
    eventually("nothing is kept of the upstream", || origin.open_connections() == 0);
}
