//! A bridge under strace, which records its system calls or makes them fail.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::{Bridge, LOOPBACK, eventually, free_port};

impl Bridge {
    /// A bridge with this configuration under strace with these arguments. The process is the bridge itself.
    pub fn traced(strace: &[&str], config: &str) -> Self {
        let [http, admin] = [(); 2].map(|()| SocketAddr::new(LOOPBACK, free_port()));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("http.listen = \"{http}\"\nadmin.listen = \"{admin}\"\n{config}")).unwrap();
        let log = tempfile::Builder::new().append(true).tempfile().unwrap();
        let mut run = Command::new("strace");
        run.args(["-D", "-f", "-qq"]).args(strace).arg(env!("CARGO_BIN_EXE_greenapi-bridge"));
        run.args(["run", "--config"]).arg(file.path()).stderr(log.as_file().try_clone().unwrap());
        let child = run.spawn().expect("strace is missing; tests/run installs it");
        let bridge = Self { child, http, admin, config: file, log };
        eventually("listens", Duration::from_secs(20), || TcpStream::connect(admin).is_ok());
        bridge
    }

    /// What the kernel says of the process.
    pub fn of_process(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// The status of an answer, if there is one.
    pub fn try_post(&self, body: &[u8]) -> Option<u16> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.write_all(&super::request("", body)).ok()?;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split(' ').nth(1)?.parse().ok()
    }
}
