//! Writes a self-signed certificate of this machine, `tls.crt`, and its key of ECDSA P-256, `tls.key`.
//! `bench-certificate FOLDER`

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("argument 1 is missing")?);
    let certified = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    fs::write(folder.join("tls.crt"), certified.cert.pem())?;
    let key = folder.join("tls.key");
    fs::write(&key, certified.signing_key.serialize_pem())?;
    // the bridge refuses a key that every user may read
    Ok(fs::set_permissions(&key, Permissions::from_mode(0o600))?)
}
