//! Signer and ACM in the fake.

use super::response::{error, ok};
use super::{ACCOUNT, Behavior, Call, Embedded, Fake, PROFILES, REGION};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The private key of the certificate, in PKCS #8.
const KEY: &[u8] = include_bytes!("../../../certificates/p256-key.der");

pub fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, KEY).expect("a key")
}

fn certificate_arn() -> String {
    format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/6ce0d1e4-0000-4000-8000-000000000000")
}

impl Fake {
    /// Returns whether a base64 signature is a signature of these bytes with the fake's key.
    pub fn verifies(&self, signature: &str, bytes: &[u8]) -> bool {
        let der = BASE64_STANDARD.decode(signature).expect("base64");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.key.public_key()).verify(bytes, &der).is_ok()
    }

    pub(super) fn get_certificate(&self, call: &Call) -> Response<Bytes> {
        if call.json()["CertificateArn"] != certificate_arn() {
            return error(call.operation, 400, "ResourceNotFoundException", "no such certificate");
        }
        ok(&json!({"Certificate": self.behavior().certificate}))
    }

    pub(super) fn start_signing_job(&self, call: &Call) -> Response<Bytes> {
        let (request, behavior) = (call.json(), self.behavior());
        let mut state = self.state();
        let token = request["clientRequestToken"].as_str().expect("a token").to_owned();
        if let Some(job) = state.tokens.get(&token) {
            return ok(&json!({"jobId": job, "jobOwner": ACCOUNT}));
        }
        let source = &request["source"]["s3"];
        let place = (
            source["bucketName"].as_str().expect("a bucket").to_owned(),
            source["key"].as_str().expect("a key").to_owned(),
        );
        let version = state.version(&place.0, &place.1, source["version"].as_str());
        let Some(bytes) = version.and_then(|version| version.bytes.clone()) else {
            return error(call.operation, 404, "ResourceNotFoundException", "no such source");
        };
        assert!(version.expect("the version").storage.read_error().is_none(), "Signer cannot read {place:?}");
        if !PROFILES.iter().any(|known| request["profileName"] == *known) {
            return error(call.operation, 404, "ResourceNotFoundException", "no such profile");
        }
        state.counter += 1;
        let id = format!("00000000-0000-4000-8000-{:012}", state.counter);
        let destination = &request["destination"]["s3"];
        let key = format!("{}{id}", destination["prefix"].as_str().expect("a prefix"));
        let mut job = json!({
            "jobId": id, "profileName": request["profileName"], "source": request["source"],
            "signingMaterial": {"certificateArn": certificate_arn()},
            "status": "Succeeded", "completedAt": behavior.signing_completed_at, "jobOwner": ACCOUNT,
            "signedObject": {"s3": {"bucketName": destination["bucketName"], "key": key}},
        });
        if let Some(name) = behavior.certname {
            job["signingParameters"] = json!({"certname": name});
        }
        if let Some(reason) = behavior.signing_failure {
            job["status"] = "Failed".into();
            job["statusReason"] = reason.into();
            job["signedObject"] = Value::Null;
        } else {
            let signed = self.signed_object(&bytes, source, &behavior);
            state.put(destination["bucketName"].as_str().expect("a bucket"), &key, Some(signed), Vec::new());
        }
        state.tokens.insert(token, id.clone());
        state.signing_started.insert(id.clone(), Instant::now());
        state.signing_jobs.insert(id.clone(), job);
        ok(&json!({"jobId": id, "jobOwner": ACCOUNT}))
    }

    fn signed_object(&self, bytes: &Bytes, source: &Value, behavior: &Behavior) -> Bytes {
        let signature = self.key.sign(&SystemRandom::new(), bytes).expect("a signature");
        let mut object = json!({
            "rawPayloadSize": bytes.len(), "signatureAlgorithm": "SHA256withECDSA",
            "signature": BASE64_STANDARD.encode(signature),
        });
        if behavior.embedded == Embedded::No {
            object["payloadLocation"] = json!({"s3": source});
        } else {
            object["payload"] = BASE64_STANDARD.encode(bytes).into();
        }
        (behavior.corrupt_signed_object)(&mut object);
        let payload = object.as_object_mut().expect("an object").remove("payload");
        let members = object.to_string();
        let Some(payload) = payload else { return members.into() };
        let members = &members[1..members.len() - 1];
        match behavior.embedded {
            Embedded::PayloadFirst => format!("{{\"payload\":{payload},{members}}}").into(),
            _ => format!("{{{members},\"payload\":{payload}}}").into(),
        }
    }

    pub(super) fn get_signing_profile(&self, call: &Call) -> Response<Bytes> {
        let name = call.path.rsplit('/').next().expect("a name");
        if !PROFILES.contains(&name) {
            return error(call.operation, 404, "ResourceNotFoundException", "no such profile");
        }
        let behavior = self.behavior();
        let Behavior { profile_status, platform, certname, corrupt_signing_profile, .. } = behavior;
        let parameters = certname.map_or_else(|| json!({}), |name| json!({"certname": name}));
        let mut profile = json!({
            "profileName": name, "platformId": platform, "status": profile_status, "signingParameters": parameters,
        });
        corrupt_signing_profile(&mut profile);
        ok(&profile)
    }

    pub(super) fn describe_signing_job(&self, call: &Call) -> Response<Bytes> {
        let id = call.path.rsplit('/').next().expect("an id");
        let state = self.state();
        let Some(mut job) = state.signing_jobs.get(id).cloned() else {
            return error(call.operation, 404, "ResourceNotFoundException", "no such signing job");
        };
        let behavior = self.behavior();
        if state.signing_started.get(id).is_some_and(|started| started.elapsed() < behavior.signing_time) {
            job["status"] = "InProgress".into();
            job["signedObject"] = Value::Null;
        }
        (behavior.corrupt_signing_job)(&mut job);
        ok(&job)
    }
}
