//! Checking the signed assertions of `jwt_bearer` and `private_key_jwt` with the public key alone.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::KeyPair;
use serde_json::Value;

/// A key pair for signing assertions: the private part is for the program, the public for the stub.
#[derive(Debug)]
pub struct SigningKey {
    /// Private key, PKCS #8 PEM.
    pub pem: String,
    /// Public key as the verifier wants it.
    pub public: Vec<u8>,
    /// `RS256` or `ES256`.
    pub algorithm: &'static str,
}

impl SigningKey {
    /// A new RSA key.
    pub fn rs256() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        Self {
            pem: pair.serialize_pem(),
            public: public(&pair),
            algorithm: "RS256",
        }
    }

    /// A new P-256 key.
    pub fn es256() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self {
            pem: pair.serialize_pem(),
            public: public(&pair),
            algorithm: "ES256",
        }
    }

    /// The verifying half.
    pub fn verifier(&self) -> Verifier {
        let algorithm: &'static dyn VerificationAlgorithm = match self.algorithm {
            "RS256" => &RSA_PKCS1_2048_8192_SHA256,
            _ => &ECDSA_P256_SHA256_FIXED,
        };
        Verifier {
            key: UnparsedPublicKey::new(algorithm, self.public.clone()),
            name: self.algorithm,
        }
    }
}

/// Checks signatures.
#[derive(Debug, Clone)]
pub struct Verifier {
    key: UnparsedPublicKey<Vec<u8>>,
    name: &'static str,
}

impl Verifier {
    /// The header and the claims of a compact assertion whose signature is right.
    pub fn open(&self, assertion: &str) -> Result<(Value, Value), String> {
        let (signed, signature) = assertion
            .rsplit_once('.')
            .ok_or("not a compact assertion")?;
        let (header, claims) = signed.split_once('.').ok_or("not a compact assertion")?;
        let signature = decode(signature)?;
        let verdict = self.key.verify(signed.as_bytes(), &signature);
        verdict.map_err(|_| "the signature is wrong".to_owned())?;
        let parse = |part: &str| {
            serde_json::from_slice::<Value>(&decode(part)?).map_err(|error| error.to_string())
        };
        let header = parse(header)?;
        if header["alg"] != self.name {
            return Err(format!(
                "signed with {} instead of {}",
                header["alg"], self.name
            ));
        }
        Ok((header, parse(claims)?))
    }
}

/// The public key: for RSA the `RSAPublicKey` structure, for P-256 the point.
fn public(pair: &KeyPair) -> Vec<u8> {
    pair.public_key_raw().to_vec()
}

/// Base64url without padding.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| error.to_string())
}
