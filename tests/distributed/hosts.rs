//! Processes on hosts of their own: network namespaces, which speak TCP over slow cables.
use crate::{
    END, Folder, job,
    runs::{Extra, run},
    succeeds, text,
};
use kolmo::distributed::Alone;
use std::{
    env, fs,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Three hosts: network namespaces with an address and a slow cable each, which hang on one bridge.
struct Hosts {
    folder: Folder,
    names: String,
}

impl Hosts {
    /// None where this can't be made, which takes a superuser and Linux.
    fn new() -> Option<Hosts> {
        let hosts = Hosts { folder: Folder::new("hosts"), names: format!("k{}", std::process::id()) };
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
        command.arg("10.77.0.1").arg(format!(
            "exec mpirun --allow-run-as-root --mca plm rsh --mca plm_rsh_agent {} --mca btl tcp,self \
             --mca oob_tcp_if_include 10.77.0.0/24 --mca btl_tcp_if_include 10.77.0.0/24 \
             --mca oob_tcp_keepalive_time 2 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2 \
             -x KOLMO_NUM_THREADS -x KOLMO_TEST_DEADLINE \
             --host 10.77.0.1,10.77.0.2,10.77.0.3 -n 3 {} child {}",
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
    let expected = format!("wide {:016x}\n", run("wide", &Alone, &Extra::default()).unwrap());
    let began = Instant::now();
    assert_eq!(succeeds(hosts.job(&["wide"])), expected);
    let whole = began.elapsed();
    // In the midst of another one the second host's cable is pulled out.
    let folder = Folder::new("cut");
    let mut run =
        hosts.job(&["wide", folder.name()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !folder.0.join("run.checkpoint").exists() {
        assert!(run.try_wait().unwrap().is_none() && began.elapsed() < 10 * whole, "no checkpoint");
        sleep(Duration::from_millis(10));
    }
    assert!(hosts.shell("ip link set NAMESv2 down"));
    let began = Instant::now();
    while run.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < END, "the job has not ended");
        sleep(Duration::from_millis(10));
    }
    let found = run.wait_with_output().unwrap();
    assert!(!found.status.success(), "{}", text(&found.stderr));
    // What was written is whole, and one process goes on from it.
    drop(hosts);
    assert_eq!(succeeds(job(1, 1, &["wide", folder.name()])), expected);
}
