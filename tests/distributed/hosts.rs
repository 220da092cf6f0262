//! Processes on hosts of their own: network namespaces, which speak TCP over slow cables.
use crate::{
    END, Folder, job, proxy,
    runs::{Extra, run},
    succeeds, text,
};
use kolmo::distributed::Alone;
use std::{
    env, fs,
    io::Read,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Three hosts: network namespaces with an address and a slow cable each, which hang on one bridge.
struct Hosts {
    folder: Folder,
    names: String,
    /// Those of the hosts, if connections go through some.
    proxies: Vec<Child>,
}

impl Hosts {
    /// None where this can't be made, which takes a superuser and Linux.
    fn new() -> Option<Hosts> {
        let names = format!("k{}", std::process::id());
        let hosts = Hosts { folder: Folder::new("hosts"), names, proxies: Vec::new() };
        let agent = hosts.folder.0.join("agent");
        // Stands for ssh: what it is given runs on the host whose address comes first.
        let text = "#!/bin/sh\nhost=NAMES-${1##*.}; shift\n\
                    exec ip netns exec $host unshare --uts sh -c \"hostname $host; $*\"\n";
        fs::write(&agent, text.replace("NAMES", &hosts.names)).unwrap();
        let made = hosts.shell(
            "set -e; chmod +x AGENT; ip link add NAMES type bridge; ip link set NAMES up; for i in 1 2 3; do
             ip netns add NAMES-$i; ip link add NAMESv$i type veth peer name eth0 netns NAMES-$i
             ip link set NAMESv$i master NAMES up; on=\"ip netns exec NAMES-$i\"
             $on ip addr add 10.77.0.$i/24 dev eth0; $on ip link set eth0 up; $on ip link set lo up
             $on tc qdisc add dev eth0 root tbf rate 100mbit burst 32kbit latency 400ms; done",
        );
        made.then_some(hosts)
    }

    /// The same where connections of MPI go through a proxy on each host, and take so many milliseconds more.
    fn proxied(delay: u32) -> Option<Hosts> {
        let mut hosts = Hosts::new()?;
        let start = "#!/bin/sh\nhost=$(uname -n)\nexport OMPI_MCA_btl_tcp_port_min_v4=2000${host##*-}\n\
                     export OMPI_MCA_btl_tcp_port_range_v4=1\nexec \"$@\"\n";
        fs::write(hosts.folder.0.join("start"), start).unwrap();
        let addresses =
            format!("for i in 1 2 3; do on=\"ip netns exec NAMES-$i\"; {}; done", proxy::ADDRESSES);
        if !hosts.shell(&format!("set -e; chmod +x {}/start; {addresses}", hosts.folder.name())) {
            return None;
        }
        for host in proxy::HOSTS {
            let mut command = Command::new("ip");
            command
                .args(["netns", "exec", &format!("{}-{host}", hosts.names)])
                .arg(env::current_exe().unwrap());
            command.args(["proxy", &host.to_string()]).env("KOLMO_TEST_DELAY", delay.to_string());
            let mut proxy = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
            // It says so when it listens.
            assert!(
                proxy.stdout.as_mut().unwrap().read(&mut [0; 8]).unwrap() > 0,
                "the proxy of host {host}"
            );
            hosts.proxies.push(proxy);
        }
        Some(hosts)
    }

    fn shell(&self, script: &str) -> bool {
        let agent = self.folder.0.join("agent");
        let script = script.replace("NAMES", &self.names).replace("AGENT", agent.to_str().unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// `mpirun` on the first, with a process on each.
    fn job(&self, arguments: &[&str]) -> Command {
        let (program, agent) = (env::current_exe().unwrap(), self.folder.0.join("agent"));
        let mut command = Command::new(&agent);
        let (through, start) = match self.proxies.is_empty() {
            true => ("10.77.0.0/24", String::new()),
            false => ("mpi0", format!("{}/start", self.folder.name())),
        };
        command.arg("10.77.0.1").arg(format!(
            "exec mpirun --allow-run-as-root --mca plm rsh --mca plm_rsh_agent {} --mca btl tcp,self \
             --mca oob_tcp_if_include 10.77.0.0/24 --mca btl_tcp_if_include {through} \
             --mca oob_tcp_keepalive_time 2 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2 \
             -x KOLMO_NUM_THREADS -x KOLMO_TEST_DEADLINE \
             --host 10.77.0.1,10.77.0.2,10.77.0.3 -n 3 {start} {} child {}",
            agent.display(),
            program.display(),
            arguments.join(" ")
        ));
        command.env("KOLMO_NUM_THREADS", "1").env("KOLMO_TEST_DEADLINE", "4").stdin(Stdio::null());
        command
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for proxy in &mut self.proxies {
            let _ = proxy.kill();
            let _ = proxy.wait();
        }
        self.shell(
            "for i in 1 2 3; do ip netns pids NAMES-$i | xargs -r kill -9; ip link del NAMESv$i
             ip netns del NAMES-$i; done; ip link del NAMES",
        );
    }
}

pub fn test() {
    let Some(hosts) = Hosts::new() else {
        return println!("no network namespaces can be made here: not tested");
    };
    ends(hosts, |hosts| assert!(hosts.shell("ip link set NAMESv2 down")));
}

pub fn late_and_cut() {
    let Some(hosts) = Hosts::proxied(2) else {
        return println!("no network namespaces with a proxy can be made here: not tested");
    };
    ends(hosts, |hosts| hosts.proxies[1].kill().unwrap());
}

/// A job on the hosts has the bits of one process. In the midst of another one something happens that ends it, and
/// one process goes on from what it has written.
fn ends(mut hosts: Hosts, happens: impl Fn(&mut Hosts)) {
    let expected = format!("wide {:016x}\n", run("wide", &Alone, &Extra::default()).unwrap());
    let began = Instant::now();
    assert_eq!(succeeds(hosts.job(&["wide"])), expected);
    let whole = began.elapsed();
    let folder = Folder::new("cut");
    let mut run =
        hosts.job(&["wide", folder.name()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !folder.0.join("run.checkpoint").exists() {
        if run.try_wait().unwrap().is_some() || began.elapsed() > 10 * whole {
            let _ = run.kill();
            panic!("no checkpoint: {}", text(&run.wait_with_output().unwrap().stderr));
        }
        sleep(Duration::from_millis(10));
    }
    happens(&mut hosts);
    let began = Instant::now();
    while run.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < END, "the job has not ended");
        sleep(Duration::from_millis(10));
    }
    let found = run.wait_with_output().unwrap();
    assert!(!found.status.success(), "{}", text(&found.stderr));
    // What was written is whole.
    drop(hosts);
    assert_eq!(succeeds(job(1, 1, &["wide", folder.name()])), expected);
}
