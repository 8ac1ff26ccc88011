//! What a client's certificate says of it, as upstreams are told: the form of Envoy's `X-Forwarded-Client-Cert`.

use std::fmt::Write;

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::der::oid::db::rfc5912::ID_CE_SUBJECT_ALT_NAME as SUBJECT_ALT_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// `Subject`, `URI` and `DNS` of a certificate in DER, each pair with a semicolon in front; empty where it cannot be
/// read. What a certificate says is quoted where it holds anything that means something here, and cannot end a field.
pub fn client_identity(der: &[u8]) -> String {
    let mut out = String::new();
    let Ok(parsed) = CertificateInner::<Raw>::from_der(der) else { return out };
    let certificate = parsed.tbs_certificate();
    pair(&mut out, "Subject", &certificate.subject().to_string(), true);
    let extensions = certificate.extensions().into_iter().flatten();
    for extension in extensions.filter(|extension| extension.extn_id == SUBJECT_ALT_NAME) {
        let Ok(names) = SubjectAltName::from_der(extension.extn_value.as_bytes()) else { continue };
        for name in names.0 {
            #[expect(clippy::wildcard_enum_match_arm, reason = "no upstream is told of the others")]
            match name {
                GeneralName::UniformResourceIdentifier(uri) => pair(&mut out, "URI", uri.as_str(), false),
                GeneralName::DnsName(name) => pair(&mut out, "DNS", name.as_str(), false),
                _ => {}
            }
        }
    }
    out
}

fn pair(out: &mut String, key: &str, value: &str, is_quoted: bool) {
    let _infallible = write!(out, ";{key}=");
    if !is_quoted && !value.contains([',', ';', '=', '"', '\\', ' ']) && is_plain(value) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // A field's value is visible ASCII here.
            ' '..='~' => out.push(c),
            other => {
                let mut bytes = [0; 4];
                for byte in other.encode_utf8(&mut bytes).bytes() {
                    let _infallible = write!(out, "%{byte:02X}");
                }
            }
        }
    }
    out.push('"');
}

fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(name: &str, uri: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn subject_and_names_are_told() {
        let told = client_identity(&certificate("billing", "spiffe://example/billing"));
        assert_eq!(told, ";Subject=\"CN=billing\";DNS=a.example;URI=spiffe://example/billing");
    }

    #[test]
    fn nothing_in_a_certificate_ends_a_pair_or_a_field() {
        let told =
            client_identity(&certificate("x\";URI=spiffe://root\r\nEvil: y\u{fc}", "a:b,Hash=0;c=\"d\""));
        assert!(told.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{told:?}");
        // Without what is quoted nothing is left but the three pairs.
        let (mut bare, mut quoted, mut escaped) = (String::new(), false, false);
        for c in told.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                c if !quoted => bare.push(c),
                _ => {}
            }
        }
        assert_eq!(bare, ";Subject=;DNS=a.example;URI=");
        assert_eq!(client_identity(b"nonsense"), "");
    }
}
