//! The digest scheme: `user:base64(hash(user:password))`.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;

/// Hash functions that `digestAlg` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, the default.
    Sha1,
    /// MD5.
    Md5,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA3-224.
    Sha3_224,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
}

impl Algorithm {
    /// The algorithm of a Java `MessageDigest` name, in any case.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        let name = name.to_ascii_uppercase();
        Some(match name.as_str() {
            "SHA1" | "SHA-1" | "SHA" => Algorithm::Sha1,
            "MD5" => Algorithm::Md5,
            "SHA-224" | "SHA224" => Algorithm::Sha224,
            "SHA-256" | "SHA256" => Algorithm::Sha256,
            "SHA-384" | "SHA384" => Algorithm::Sha384,
            "SHA-512" | "SHA512" => Algorithm::Sha512,
            "SHA3-224" => Algorithm::Sha3_224,
            "SHA3-256" => Algorithm::Sha3_256,
            "SHA3-384" => Algorithm::Sha3_384,
            "SHA3-512" => Algorithm::Sha3_512,
            _ => return None,
        })
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Algorithm::Md5 => md5::Md5::digest(bytes).to_vec(),
            Algorithm::Sha224 => sha2::Sha224::digest(bytes).to_vec(),
            Algorithm::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Algorithm::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Algorithm::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
            Algorithm::Sha3_224 => sha3::Sha3_224::digest(bytes).to_vec(),
            Algorithm::Sha3_256 => sha3::Sha3_256::digest(bytes).to_vec(),
            Algorithm::Sha3_384 => sha3::Sha3_384::digest(bytes).to_vec(),
            Algorithm::Sha3_512 => sha3::Sha3_512::digest(bytes).to_vec(),
        }
    }
}

/// The id of `user:password`; without a colon the whole text is the user.
pub fn generate(algorithm: Algorithm, user_password: &str) -> String {
    let user = user_password.split(':').next().unwrap_or("");
    let mut id = String::from(user);
    id.push(':');
    STANDARD.encode_string(algorithm.hash(user_password.as_bytes()), &mut id);
    id
}

/// Whether an id may stand in a list: two parts around colons, trailing empty parts not counted.
pub fn valid(id: &str) -> bool {
    let trimmed = id.trim_end_matches(':');
    !trimmed.is_empty() && trimmed.split(':').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        // The well-known example of ZooKeeper's documentation.
        assert_eq!(
            generate(Algorithm::Sha1, "super:admin"),
            "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="
        );
        assert!(valid("a:b") && valid(":b"));
        assert!(!valid("a") && !valid("a:") && !valid("a:b:c") && !valid("") && !valid(":"));
    }
}
