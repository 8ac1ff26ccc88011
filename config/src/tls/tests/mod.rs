//! Certificates for tests: made by each test that asks for them, in a folder that goes with it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SignatureAlgorithm, date_time_ymd,
};

/// When the tests are run, as far as they know: the middle of 2026.
pub(crate) const NOW: u64 = 1_782_864_000;

/// A folder with `certs/`, removed when it is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

thread_local! {
    /// Every test has a thread of its own.
    static FOLDER: Folder = Folder::new();
}

/// The folder of the running test: `certs/ca.crt`, whose revocation list is `ca.crl`, has signed `api.crt` and
/// `example.crt`, whose names are `api.example.com`, and `example.com` with all names below.
pub(crate) fn folder() -> PathBuf {
    FOLDER.with(|folder| folder.path.clone())
}

/// Adds `certs/NAME.crt` and `certs/NAME.key` to the folder of the running test.
pub(crate) fn add(name: &str, made: &Made<'_>) {
    FOLDER.with(|folder| folder.add(name, made));
}

/// Writes into the folder of the running test.
pub(crate) fn write(name: &str, contents: impl AsRef<[u8]>) {
    std::fs::write(folder().join("certs").join(name), contents).unwrap();
}

/// What stands in the folder of the running test.
pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join("certs").join(name)).unwrap()
}

/// Runs with what signs the certificates of the running test.
pub(crate) fn with_ca<T>(run: impl FnOnce(&CertifiedIssuer<'static, KeyPair>) -> T) -> T {
    FOLDER.with(|folder| run(&folder.ca))
}

/// A list that revokes one certificate, with the year of the next one.
pub(crate) fn revocations(serial: u64, next: i32) -> CertificateRevocationListParams {
    CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(next, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

/// A certificate to be made.
pub(crate) struct Made<'n> {
    pub(crate) names: &'n [&'n str],
    pub(crate) common_name: &'n str,
    pub(crate) algorithm: &'static SignatureAlgorithm,
    /// Year, month and day.
    pub(crate) until: (i32, u8, u8),
    pub(crate) serial: u64,
}

impl Made<'static> {
    /// For no name, on P-256, until 2200: handshakes read the clock themselves.
    pub(crate) const PLAIN: Self = Self {
        names: &[],
        common_name: "",
        algorithm: &rcgen::PKCS_ECDSA_P256_SHA256,
        until: (2200, 1, 1),
        serial: 7,
    };
}

impl<'n> Made<'n> {
    pub(crate) fn of(names: &'n [&'n str]) -> Self {
        Made { names, ..Made::PLAIN }
    }
}

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringway-tls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("certs")).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "Test Authority");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(path.join("certs/ca.crt"), ca.pem()).unwrap();
        let folder = Self { path, ca };
        folder.add("api", &Made::of(&["api.example.com"]));
        folder.add("example", &Made::of(&["example.com", "*.example.com"]));
        let list = revocations(1, 2030).signed_by(&folder.ca).unwrap();
        std::fs::write(folder.path.join("certs/ca.crl"), list.pem().unwrap()).unwrap();
        folder
    }

    fn add(&self, name: &str, made: &Made<'_>) {
        let names: Vec<String> = made.names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, made.common_name);
        let (year, month, day) = made.until;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        params.serial_number = Some(made.serial.into());
        let key = KeyPair::generate_for(made.algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let file = |end: &str| self.path.join("certs").join(format!("{name}.{end}"));
        std::fs::write(file("crt"), certificate.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all::<&Path>(&self.path);
    }
}

mod handshakes;
mod listeners;
mod upstreams;
