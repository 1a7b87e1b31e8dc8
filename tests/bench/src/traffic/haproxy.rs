//! HAProxy as a peer: in TCP mode, one hop without encryption, or two hops with TLS 1.3 between them.
//!
//! Each hop is a process with one thread, like the data plane of a node.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time in which a process of HAProxy has to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// One or two running hops.
pub(super) struct Proxies {
    pub(super) address: SocketAddr,
    hops: Vec<Child>,
    dir: PathBuf,
}

impl Proxies {
    pub(super) fn start(program: &str, server: SocketAddr, hops: usize) -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("rhizo-bench-haproxy-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
        let address = free()?;
        let mut proxies = Self { address, hops: Vec::new(), dir };
        if hops == 1 {
            proxies.hop(program, "one", &format!("bind {address}"), &format!("server s {server}"))?;
        } else {
            let (between, pem) = (free()?, certificate(&proxies.dir)?);
            let bind = format!("bind {between} ssl crt {} ssl-min-ver TLSv1.3", pem.display());
            proxies.hop(program, "far", &bind, &format!("server s {server}"))?;
            let server = format!("server s {between} ssl verify none ssl-min-ver TLSv1.3");
            proxies.hop(program, "near", &format!("bind {address}"), &server)?;
        }
        Ok(proxies)
    }

    fn hop(&mut self, program: &str, name: &str, bind: &str, server: &str) -> Result<(), String> {
        let config = format!(
            "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  \
             timeout server 1h\nlisten l\n  {bind}\n  {server}\n"
        );
        let path = self.dir.join(format!("{name}.cfg"));
        std::fs::write(&path, config).map_err(|error| format!("write {}: {error}", path.display()))?;
        let child = Command::new(program).arg("-db").arg("-f").arg(&path).stderr(Stdio::null()).spawn();
        self.hops.push(child.map_err(|error| format!("run {program}: {error}"))?);
        let at = bind.split_whitespace().nth(1).and_then(|at| at.parse::<SocketAddr>().ok());
        let (at, start) = (at.ok_or("read an address of its own")?, Instant::now());
        while TcpStream::connect(at).is_err() {
            if start.elapsed() > START_MAX {
                return Err(format!("reach {program} at {at}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        for hop in &mut self.hops {
            let _ended = hop.kill();
            let _reaped = hop.wait();
        }
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

fn free() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("find a free port: {error}"))
}

/// Makes a certificate for the hop in between.
fn certificate(dir: &Path) -> Result<PathBuf, String> {
    let (key, cert, pem) = (dir.join("key.pem"), dir.join("cert.pem"), dir.join("both.pem"));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]);
    command.args(["-subj", "/CN=bench", "-keyout"]).arg(&key).arg("-out").arg(&cert).stderr(Stdio::null());
    let made = command.status().map_err(|error| format!("run openssl: {error}"))?;
    if !made.success() {
        return Err("make a certificate with openssl".to_owned());
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
    };
    let both = read(&cert)? + &read(&key)?;
    std::fs::write(&pem, both).map_err(|error| format!("write {}: {error}", pem.display()))?;
    Ok(pem)
}
