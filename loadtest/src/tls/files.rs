//! What the targets need for TLS: a certificate and keys of tickets, made anew for each run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The name in the certificate, which the load asks for.
pub(crate) const NAME: &str = "localhost";

/// Whether they can be made here.
pub(crate) fn can_be_made() -> bool {
    Command::new("openssl").arg("version").stdin(Stdio::null()).output().is_ok()
}

/// Makes a folder with `cert.pem` and `key.pem` (ECDSA P-256), `both.pem` as haproxy wants them, and keys of tickets:
/// `nginx.key`, `haproxy.keys`, `h2o.yaml`. A folder that is there stays as it is.
pub(crate) fn make(folder: &Path) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert_word, key_word) = (cert.display().to_string(), key.display().to_string());
    let subject = format!("/CN={NAME}");
    let names = format!("subjectAltName=DNS:{NAME},IP:127.0.0.1");
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
        "-subj",
        &subject,
        "-addext",
        &names,
        "-keyout",
        &key_word,
        "-out",
        &cert_word,
    ])?;
    fs::write(folder.join("both.pem"), [fs::read(cert)?, fs::read(key)?].concat())?;
    openssl(&["rand", "-out", &folder.join("nginx.key").display().to_string(), "80"])?;
    let mut keys = String::new();
    // It wants three: the last but one encrypts, all decrypt.
    for _ in 0..3 {
        keys.push_str(&openssl(&["rand", "-base64", "48"])?);
    }
    fs::write(folder.join("haproxy.keys"), keys)?;
    let (name, secret) = (openssl(&["rand", "-hex", "16"])?, openssl(&["rand", "-hex", "80"])?);
    let store = format!(
        "- name: {}\n  cipher: AES-128-CBC\n  hash: SHA256\n  key: {}\n  not_before: 0\n  not_after: 4102444800\n",
        name.trim(),
        secret.trim()
    );
    fs::write(folder.join("h2o.yaml"), store)?;
    Ok(())
}

fn openssl(words: &[&str]) -> Result<String> {
    let output = Command::new("openssl").args(words).stdin(Stdio::null()).output().context("openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {}: {said}", words.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
