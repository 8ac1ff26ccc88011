//! Listeners with TLS: which certificate a client is shown, and what is said of files that are not what they should be.

use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::SignatureScheme;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::*;
use crate::error::ConfigErrors;
use crate::load::{Loaded, Names, Secrets, Surroundings, load_with};
use crate::snapshot::Snapshot;
use crate::tls::{KeyKind, ListenerTls};

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

fn environment(name: &str) -> Option<String> {
    match name {
        "CERT_PEM" => Some(read("api.crt")),
        "KEY_PATH" => Some("certs/api.key".to_owned()),
        _ => None,
    }
}

fn load_at(now: u64, tls: &str) -> Result<Loaded, ConfigErrors> {
    let text = format!(
        "[listeners.https]\nbind = \"127.0.0.1:0\"\n[listeners.https.tls]\n{tls}\n\
         [routes.all]\nmatch = {{ prefix = \"/\" }}\nrespond = \"ready\"\n"
    );
    let around = Surroundings { environment: &environment, now };
    load_with("t.toml", &text, &folder(), &mut Names::default(), Secrets::Resolve, &around)
}

fn loaded(tls: &str) -> Loaded {
    load_at(NOW, tls).unwrap_or_else(|errors| panic!("{tls}\n{errors}"))
}

fn tls_of(snapshot: &Snapshot) -> Arc<ListenerTls> {
    Arc::clone(snapshot.listeners[0].tls.as_ref().unwrap())
}

fn refusal(tls: &str) -> String {
    load_at(NOW, tls).map_or_else(|errors| errors.to_string(), |_| "loads".to_owned())
}

fn pairs(names: &[&str]) -> String {
    let pair = |name: &&str| format!("{{ cert = \"certs/{name}.crt\", key = \"certs/{name}.key\" }}");
    format!("certs = [{}]", names.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// The file that a client is shown, by its name.
fn shown(tls: &ListenerTls, sni: Option<&str>, schemes: &[SignatureScheme]) -> String {
    let found = tls.certificates.find(sni, schemes).unwrap();
    found.source.trim_start_matches("certs/").trim_end_matches(".crt").to_owned()
}

#[test]
fn an_exact_name_goes_before_a_wildcard_and_that_before_the_first() {
    let tls = tls_of(&loaded(&pairs(&["example", "api"])).snapshot);
    for (sni, expected) in [
        (Some("api.example.com"), "api"),
        (Some("api.example.com."), "api"),
        (Some("example.com"), "example"),
        (Some("www.example.com"), "example"),
        (Some("a.api.example.com"), "example"),
        (Some("com"), "example"),
        (Some("other.org"), "example"),
        (None, "example"),
    ] {
        assert_eq!(shown(&tls, sni, &[ECDSA]), expected, "{sni:?}");
    }
    let swapped = tls_of(&loaded(&pairs(&["api", "example"])).snapshot);
    assert_eq!(shown(&swapped, Some("a.api.example.com"), &[ECDSA]), "api", "two labels are not one");
    assert_eq!(shown(&swapped, None, &[ECDSA]), "api");
}

#[test]
fn within_a_name_the_client_decides_and_ecdsa_goes_before_rsa() {
    add("rsa", &Made { algorithm: &PKCS_RSA_SHA256, ..Made::of(&["api.example.com"]) });
    add("p384", &Made { algorithm: &PKCS_ECDSA_P384_SHA384, ..Made::of(&["p384.example.com"]) });
    add("ed", &Made { algorithm: &PKCS_ED25519, ..Made::of(&["api.example.com"]) });
    let tls = tls_of(&loaded(&pairs(&["rsa", "ed", "api", "example", "p384"])).snapshot);
    let api = Some("api.example.com");
    assert_eq!(shown(&tls, api, &[RSA, ECDSA]), "api");
    assert_eq!(shown(&tls, api, &[RSA]), "rsa");
    assert_eq!(shown(&tls, api, &[RSA, SignatureScheme::ED25519]), "ed");
    assert_eq!(shown(&tls, None, &[RSA, ECDSA]), "api", "the default is a name, not a file");
    assert_eq!(shown(&tls, None, &[RSA]), "rsa");
    // A key signs for its own curve only, and a wildcard is there for who cannot verify the exact one.
    let p384 = Some("p384.example.com");
    assert_eq!(shown(&tls, p384, &[SignatureScheme::ECDSA_NISTP384_SHA384]), "p384");
    assert_eq!(shown(&tls, p384, &[ECDSA]), "example");
    assert_eq!(shown(&tls, p384, &[RSA]), "p384", "shown all the same, for the clearer end");
    let kinds: Vec<_> = tls.certificates.all().iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [KeyKind::Rsa, KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Ecdsa, KeyKind::Ecdsa]);
}

#[test]
fn a_certificate_covers_its_names_in_any_case_and_its_addresses() {
    add("both", &Made::of(&["example.com", "*.example.com", "10.0.0.1", "2001:db8::1"]));
    let tls = tls_of(&loaded(&pairs(&["both"])).snapshot);
    let one = &tls.certificates.all()[0];
    for host in
        ["example.com", "EXAMPLE.com", "www.Example.com", "10.0.0.1", "[2001:db8::1]", "2001:DB8:0::1"]
    {
        assert!(one.covers(host), "{host}");
    }
    for host in ["com", "", ".example.com", "a.b.example.com", "xexample.com", "10.0.0.2", "[10.0.0.1", "[]"]
    {
        assert!(!one.covers(host), "{host}");
    }
}

#[test]
fn the_common_name_counts_only_without_alternative_names() {
    add("old", &Made { common_name: "old.example.org", ..Made::PLAIN });
    add("new", &Made { common_name: "old.example.org", ..Made::of(&["new.example.org"]) });
    add("person", &Made { common_name: "Ada Lovelace", ..Made::PLAIN });
    let tls = tls_of(&loaded(&pairs(&["api", "old", "new", "person"])).snapshot);
    assert_eq!(shown(&tls, Some("old.example.org"), &[ECDSA]), "old");
    assert_eq!(shown(&tls, Some("new.example.org"), &[ECDSA]), "new");
    let names: Vec<usize> = tls.certificates.all().iter().map(|one| one.names.len()).collect();
    assert_eq!(names, [1, 1, 1, 0]);
}

#[test]
fn a_host_is_held_against_the_certificate_that_was_shown() {
    let tls = tls_of(&loaded(&pairs(&["api", "example"])).snapshot);
    for (sni, host, may) in [
        ("api.example.com", "API.example.com", true),
        ("api.example.com", "example.com", false),
        ("www.example.com", "example.com", true),
        ("www.example.com", "other.example.com", true),
        ("www.example.com", "other.org", false),
        ("other.org", "other.org", true),
        ("other.org", "api.example.com", true),
        ("other.org", "example.com", false),
    ] {
        assert_eq!(tls.may_ask_for(sni, host), may, "{sni} {host}");
    }
    let lax = tls_of(&loaded(&(pairs(&["api"]) + "\nstrict_sni = false")).snapshot);
    assert!(lax.may_ask_for("api.example.com", "other.org"));
}

#[test]
fn two_certificates_of_one_name_and_one_kind_are_refused() {
    add("wild", &Made::of(&["*.example.com", "api.example.com"]));
    let said = refusal(&pairs(&["api", "example", "wild"]));
    let place = "t.toml:4:129: listeners.https.tls.certs[2].cert: ";
    let expected = [("*.example.com", "example"), ("api.example.com", "api")].map(|(name, file)| {
        format!(
            "{place}`{name}` has an ECDSA certificate on this listener already, in `certs/{file}.crt`; remove one"
        )
    });
    assert_eq!(said, expected.join("\n"));
}

#[test]
fn what_is_no_certificate_or_no_key_is_told_with_its_file() {
    write("empty.crt", "");
    write("broken.crt", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    write("nonsense.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    write("nonsense.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    for (cert, key, expected) in [
        (
            "none.crt",
            "api.key",
            "4:8: listeners.https.tls.cert: the file `certs/none.crt` cannot be read: No such",
        ),
        (
            "empty.crt",
            "api.key",
            "4:8: listeners.https.tls.cert: `certs/empty.crt` holds no certificate; expected",
        ),
        (
            "api.key",
            "api.key",
            "4:8: listeners.https.tls.cert: `certs/api.key` holds no certificate; expected",
        ),
        ("broken.crt", "api.key", "4:8: listeners.https.tls.cert: `certs/broken.crt` is not valid PEM"),
        (
            "nonsense.crt",
            "api.key",
            "4:8: listeners.https.tls.cert: the certificate in `certs/nonsense.crt` is not valid",
        ),
        (
            "api.crt",
            "api.crt",
            "5:7: listeners.https.tls.key: `certs/api.crt` holds no private key; expected",
        ),
        (
            "api.crt",
            "locked.key",
            "5:7: listeners.https.tls.key: the key in `certs/locked.key` is encrypted; take",
        ),
        (
            "api.crt",
            "nonsense.key",
            "5:7: listeners.https.tls.key: the key in `certs/nonsense.key` is not one to sign",
        ),
        (
            "api.crt",
            "example.key",
            "5:7: listeners.https.tls.key: the key in `certs/example.key` does not belong to the first",
        ),
        (
            "../certs",
            "api.key",
            "4:8: listeners.https.tls.cert: the file `certs/../certs` cannot be read: it is not a file",
        ),
    ] {
        let said = refusal(&format!("cert = \"certs/{cert}\"\nkey = \"certs/{key}\""));
        assert!(said.starts_with(&format!("t.toml:{expected}")) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn keys_are_read_in_every_usual_form() {
    let forms = [
        ("sec1", KeyKind::Ecdsa, include_str!("keys/sec1.crt"), include_str!("keys/sec1.key")),
        ("params", KeyKind::Ecdsa, include_str!("keys/params.crt"), include_str!("keys/params.key")),
        ("pkcs1", KeyKind::Rsa, include_str!("keys/pkcs1.crt"), include_str!("keys/pkcs1.key")),
    ];
    for (form, _, cert, key) in forms {
        write(&format!("{form}.crt"), cert);
        // Text before PEM is what tools put there to be read.
        write(&format!("{form}.key"), format!("Bag Attributes\n    friendlyName: {form}\n{key}"));
    }
    let loaded = load_at(2_500_000_000, &pairs(&["sec1", "params", "pkcs1"])).unwrap();
    let tls = tls_of(&loaded.snapshot);
    assert_eq!(loaded.warnings, Vec::<String>::new());
    for ((form, kind, _, _), one) in forms.iter().zip(tls.certificates.all()) {
        assert_eq!((one.kind, one.covers(&format!("{form}.example.com"))), (*kind, true));
    }
    write("both.crt", read("api.crt") + &read("ca.crt"));
    let chain = tls_of(&load_at(NOW, "cert = \"certs/both.crt\"\nkey = \"certs/api.key\"").unwrap().snapshot);
    assert_eq!(chain.certificates.all()[0].certified.cert.len(), 2);
}

#[test]
fn a_certificate_that_ends_soon_or_has_ended_draws_a_warning() {
    // 2200-01-01.
    let end = 7_258_118_400;
    for (now, expected) in [
        (end - 15 * 86_400, None),
        (end - 14 * 86_400, Some("expires on 2200-01-01, in 14 days; renew it")),
        (end + 1, Some("expired on 2200-01-01; replace it")),
        (0, Some("is not valid before 2020-01-01; is the clock right?")),
    ] {
        let warnings = load_at(now, &pairs(&["api"])).unwrap().warnings;
        let place = "t.toml:4:19: listeners.https.tls.certs[0].cert: the certificate in `certs/api.crt` ";
        let expected: Vec<String> = expected.iter().map(|end| format!("{place}{end}")).collect();
        assert_eq!(warnings, expected);
    }
}

#[test]
fn references_name_paths_or_hold_the_text() {
    for (cert, key, files) in [
        ("certs/api.crt", "certs/api.key", 2),
        ("file:certs/api.crt", "file:certs/api.key", 2),
        ("env:CERT_PEM", "env:KEY_PATH", 1),
    ] {
        let snapshot = loaded(&format!("cert = \"{cert}\"\nkey = \"{key}\"")).snapshot;
        assert_eq!(snapshot.files.len(), files, "{cert}");
        assert_eq!(tls_of(&snapshot).certificates.all().len(), 1);
    }
    let literal = format!("cert = \"certs/api.crt\"\nkey = '''{}'''", read("api.key"));
    let said = refusal(&literal);
    let expected = "expected the path of a PEM file, or `env:NAME`, found PEM itself";
    assert_eq!(said, format!("t.toml:5:7: listeners.https.tls.key: {expected}"));
}

#[test]
fn a_changed_file_is_seen_and_changes_the_fingerprint() {
    let text = pairs(&["api"]);
    let (old, same) = (loaded(&text).snapshot, loaded(&text).snapshot);
    assert_eq!(tls_of(&old).fingerprint, tls_of(&same).fingerprint);
    assert!(old.files.iter().all(|file| !file.has_changed()) && old.files.len() == 2);
    add("api", &Made::of(&["api.example.com"]));
    assert!(old.files.iter().all(crate::tls::WatchedFile::has_changed));
    let new = loaded(&text).snapshot;
    assert_eq!(crate::diff(&old, &new), ["changed listeners.https: tls"]);
    assert!(new.files.iter().all(|file| !file.has_changed()));
    std::fs::remove_file(&new.files[0].path).unwrap();
    assert!(!new.files[0].has_changed(), "what is being replaced has not changed yet");
}

/// Whether the listener's verifier takes a certificate.
fn takes(tls: &ListenerTls, name: &str) -> bool {
    let shown = CertificateDer::from_pem_slice(read(&format!("{name}.crt")).as_bytes()).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
    let auth = tls.client_auth.as_ref().unwrap();
    auth.verifier.verify_client_cert(&shown, &[], now).is_ok()
}

#[test]
fn clients_are_verified_against_authorities_and_revocation_lists() {
    let text = pairs(&["api"])
        + "\nclient_auth = { ca = \"certs/ca.crt\", mode = \"optional\", header = \"X-Client\" }";
    let tls = tls_of(&loaded(&text).snapshot);
    let auth = tls.client_auth.as_ref().unwrap();
    assert_eq!((auth.header.as_deref(), auth.verifier.client_auth_mandatory()), (Some("X-Client"), false));
    add("client", &Made { serial: 66, ..Made::of(&["client"]) });
    assert!(takes(&tls, "client"));

    let text = pairs(&["api"]) + "\nclient_auth = { ca = [\"certs/ca.crt\"], crl = \"certs/list.pem\" }";
    for (revoked, expected) in [(66, false), (67, true)] {
        write("list.pem", with_ca(|ca| revocations(revoked, 2030).signed_by(ca).unwrap().pem().unwrap()));
        let loaded = loaded(&text);
        let tls = tls_of(&loaded.snapshot);
        assert!(tls.client_auth.as_ref().unwrap().verifier.client_auth_mandatory());
        assert_eq!(takes(&tls, "client"), expected);
        assert_eq!((loaded.warnings.len(), loaded.snapshot.files.len()), (0, 4));
    }
    write("list.pem", with_ca(|ca| revocations(1, 2025).signed_by(ca).unwrap().pem().unwrap()));
    let warnings = loaded(&text).warnings;
    assert!(
        warnings[0].contains("the revocation list in `certs/list.pem` expired on 2025-01-01"),
        "{warnings:?}"
    );
    write("list.pem", read("api.crt"));
    assert!(refusal(&text).contains("`certs/list.pem` holds no revocation list; expected PEM with"));
}
