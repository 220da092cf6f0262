//! A proxy between the hosts of a test: it takes the connections of MPI, passes on what comes later by some
//! time, and cuts all of them when it is killed.
//!
//! Host i knows the others as 10.78.0.j, which are its own addresses, and where its proxy listens. That speaks
//! to the proxy of host j over the cable, and the latter to the process there, from 10.78.0.i: the route to
//! 10.79.0.i, another address of its own, says so. A process on host i listens at port 20000 + i.
use std::{
    env,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc::channel,
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

pub const HOSTS: [u16; 3] = [1, 2, 3];

/// Shell commands that make the addresses of host `$i`, for `ip netns exec`; a port is free at once when a
/// connection has ended.
pub const ADDRESSES: &str =
    "$on ip link add mpi0 type veth peer name mpi1; $on ip addr add 10.78.0.$i/24 dev mpi0
     $on ip link set mpi0 up; $on ip link set mpi1 up
     $on sh -c \"echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets\"
     for j in 1 2 3; do if [ $j != $i ]; then $on ip addr add 10.78.0.$j/32 dev lo
     $on ip route add local 10.79.0.$j dev lo src 10.78.0.$j; fi; done";

/// Runs the proxy of a host until it is killed.
pub fn run(host: u16) {
    let delay = Duration::from_millis(env::var("KOLMO_TEST_DELAY").map_or(0, |ms| ms.parse().unwrap()));
    for other in HOSTS.into_iter().filter(|&other| other != host) {
        let (out, back) = (21000 + 10 * host + other, 21000 + 10 * other + host);
        listen(format!("10.78.0.{other}:{}", 20000 + other), format!("10.77.0.{other}:{out}"), delay);
        listen(format!("10.77.0.{host}:{back}"), format!("10.79.0.{other}:{}", 20000 + host), delay);
    }
    println!("listens");
    loop {
        sleep(Duration::from_secs(3600));
    }
}

fn listen(here: String, there: String, delay: Duration) {
    let listener = TcpListener::bind(&here).unwrap_or_else(|e| panic!("{here}: {e}"));
    spawn(move || {
        for caller in listener.incoming() {
            let (Ok(caller), Ok(called)) = (caller, TcpStream::connect(&there)) else { continue };
            let again = |stream: &TcpStream| stream.try_clone().unwrap();
            pass(again(&caller), again(&called), delay);
            pass(called, caller, delay);
        }
    });
}

/// Passes on what comes, so much later.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = channel::<(Instant, Vec<u8>)>();
    spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if sender.send((Instant::now() + delay, bytes[..n].to_vec())).is_err() {
                break;
            }
        }
    });
    spawn(move || {
        for (when, bytes) in receiver {
            sleep(when.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
