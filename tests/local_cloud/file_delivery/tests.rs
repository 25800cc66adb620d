use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::*;

fn stream() -> Content {
    let file = |id, size: usize| File { id, bytes: Some((0..=u8::MAX).cycle().take(size).collect()) };
    let files = vec![file(0, 1000), file(7, 300_000), File { id: 9, bytes: None }];
    Content { version: 3, description: Some("demo".to_owned()), files }
}

fn answer(topic: &str, payload: &[u8]) -> Vec<Message> {
    Topic::parse(topic).expect("the topic of a request").answer(payload, Some(&stream()))
}

/// Returns the kind of each response, and its body with bytes as base64 text.
fn in_json(request: &Json) -> Vec<(String, Json)> {
    let messages = answer("$aws/things/lab-1/streams/s/get/json", request.to_string().as_bytes());
    messages.iter().map(|m| (kind(m), serde_json::from_slice(&m.payload).expect("JSON"))).collect()
}

fn in_cbor(request: &Json) -> Vec<(String, Json)> {
    let mut request = ciborium::Value::serialized(request).expect("a CBOR value");
    // A bitmap is text in JSON, and bytes in CBOR.
    for (name, value) in request.as_map_mut().into_iter().flatten() {
        if let (Some("b"), Some(Ok(Bitmap(bytes)))) = (name.as_text(), value.as_text().map(|_| value.deserialized())) {
            *value = ciborium::Value::Bytes(bytes);
        }
    }
    let mut payload = Vec::new();
    ciborium::into_writer(&request, &mut payload).expect("CBOR");
    let messages = answer("$aws/things/lab-1/streams/s/get/cbor", &payload);
    messages.iter().map(|m| (kind(m).replace("cbor", "json"), from_cbor(&m.payload))).collect()
}

fn from_cbor(payload: &[u8]) -> Json {
    let body: ciborium::Value = ciborium::from_reader(payload).expect("CBOR");
    let member = |(name, value): (ciborium::Value, ciborium::Value)| {
        let value = match value {
            ciborium::Value::Bytes(bytes) => json!(STANDARD.encode(bytes)),
            value => value.deserialized().expect("a JSON value"),
        };
        (name.into_text().expect("a text"), value)
    };
    Json::Object(body.into_map().expect("a map").into_iter().map(member).collect())
}

fn kind(message: &Message) -> String {
    message.topic.strip_prefix("$aws/things/lab-1/streams/s/").expect("the topics of the device").to_owned()
}

/// Returns the numbers of the blocks in the response, in both encodings.
fn blocks(request: &Json) -> Vec<u64> {
    let responses = in_json(request);
    assert_eq!(responses, in_cbor(request), "{request}");
    responses
        .iter()
        .map(|(kind, body)| (kind == "data/json").then(|| body["i"].as_u64()).flatten().expect("i"))
        .collect()
}

#[test]
fn requested_blocks_are_sent() {
    let first_23: Vec<u64> = (0..23).collect();
    for (request, expected) in [
        (json!({"f": 0, "l": 256}), vec![0, 1, 2, 3]),
        (json!({"f": 0, "l": 256, "o": 2}), vec![2, 3]),
        (json!({"f": 0, "l": 256, "n": 2}), vec![0, 1]),
        (json!({"f": 0, "l": 256, "o": 1, "n": 1}), vec![1]),
        (json!({"f": 0, "l": 256, "b": "0x05"}), vec![0, 2]),
        (json!({"f": 0, "l": 256, "b": "0x0f", "n": 3}), vec![0, 1, 2]),
        (json!({"f": 0, "l": 256, "b": "0xff", "o": 1}), vec![1, 2, 3]),
        (json!({"f": 0, "l": 256, "b": "0x00"}), vec![]),
        (json!({"f": 0, "l": 131_072, "s": 3}), vec![0]),
        // The bitmap of AWS's documentation requests the blocks 0, 1, 4 and 23.
        (json!({"f": 7, "l": 4096, "b": "0x130080"}), vec![0, 1, 4, 23]),
        // `MQ==` in ASCII, with one block: AWS's library 1.1 sends that for the next block.
        (json!({"f": 7, "l": 4096, "o": 5, "n": 1, "b": "0x4d513d3d"}), vec![5]),
        // rustot requests 31 blocks.
        (json!({"f": 7, "l": 4096, "o": 62, "b": "0xffffff7f"}), (62..74).collect()),
        (json!({"f": 7, "l": 4096, "b": "0xffffff"}), (0..24).collect()),
        (json!({"f": 7, "l": 5_500}), first_23),
    ] {
        assert_eq!(blocks(&request), expected, "{request}");
    }
}

#[test]
fn blocks_have_the_bytes_of_the_file() {
    let responses = in_json(&json!({"c": "rdy", "f": 0, "l": 256, "o": 3}));
    let image: Vec<u8> = (0..=u8::MAX).cycle().take(1000).collect();
    let body = json!({"c": "rdy", "f": 0, "i": 3, "l": 232, "p": STANDARD.encode(&image[768..])});
    assert_eq!(responses, [("data/json".to_owned(), body)]);
}

#[test]
fn cbor_is_encoded_as_in_the_samples_of_aws() {
    let messages = answer("$aws/things/lab-1/streams/s/get/cbor", b"\xa3\x61f\x00\x61l\x19\x01\x00\x61o\x03");
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(message.topic, "$aws/things/lab-1/streams/s/data/cbor");
    assert_eq!(message.payload[..14], *b"\xbf\x61f\x00\x61i\x03\x61l\x18\xe8\x61p\x58");
    assert_eq!(message.payload.last(), Some(&0xff));
}

#[test]
fn requests_beyond_the_limits_are_rejected() {
    let long = "0x".to_owned() + &"ff".repeat(12_288);
    for (request, code) in [
        (json!({"f": 0}), "InvalidRequest"),
        (json!({"f": 256, "l": 256}), "InvalidRequest"),
        (json!({"f": 0, "l": -1}), "InvalidRequest"),
        (json!({"f": 0, "l": "256"}), "InvalidRequest"),
        (json!([]), "InvalidRequest"),
        (json!({"c": "c".repeat(65), "f": 0, "l": 256}), "InvalidRequest"),
        (json!({"f": 0, "l": 255}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": 131_073}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": 256, "o": 98_305}), "OffsetOutOfBounds"),
        (json!({"f": 0, "l": 256, "o": 4}), "OffsetOutOfBounds"),
        (json!({"f": 0, "l": 256, "n": 513}), "BlockCountLimitExceeded"),
        (json!({"f": 0, "l": 256, "n": 98_305}), "BlockCountLimitExceeded"),
        (json!({"f": 0, "l": 256, "b": long}), "BlockBitmapLimitExceeded"),
        (json!({"f": 0, "l": 256, "s": 2}), "VersionMismatch"),
        (json!({"f": 1, "l": 256}), "ResourceNotFound"),
        (json!({"f": 9, "l": 256}), "Unauthorized"),
    ] {
        for responses in [in_json(&request), in_cbor(&request)] {
            let [(kind, body)] = &responses[..] else { panic!("{responses:?}") };
            assert_eq!((kind.as_str(), body["o"].as_str()), ("rejected/json", Some(code)), "{request}");
        }
    }
}

#[test]
fn unreadable_requests_are_rejected() {
    for (topic, payload, code) in [
        ("get/json", &b"{"[..], "InvalidJson"),
        ("get/json", br#"{"f": 0, "l": 256, "b": "0x1"}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 256, "b": "ff"}"#, "InvalidRequest"),
        ("get/cbor", b"\xa3", "InvalidCbor"),
        ("describe/cbor", b"", "InvalidCbor"),
        ("get/xml", b"{}", "InvalidTopic"),
    ] {
        let messages = answer(&format!("$aws/things/lab-1/streams/s/{topic}"), payload);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        let body = if kind(message) == "rejected/cbor" {
            from_cbor(&message.payload)
        } else {
            serde_json::from_slice(&message.payload).expect("JSON")
        };
        assert_eq!(body["o"], code, "{topic}");
    }
}

#[test]
fn a_stream_is_described() {
    let mut stream = stream();
    let topic = Topic::parse("$aws/things/lab-1/streams/s/describe/json").expect("the topic of a request");
    let describe = |stream: Option<&Content>| {
        let messages = topic.answer(br#"{"c": "rdy"}"#, stream);
        messages.iter().map(|m| (kind(m), String::from_utf8_lossy(&m.payload).into_owned())).collect::<Vec<_>>()
    };
    assert!(describe(Some(&stream))[0].1.contains("Unauthorized"));
    stream.files.pop();
    let body = r#"{"c":"rdy","s":3,"d":"demo","r":[{"f":0,"z":1000},{"f":7,"z":300000}]}"#;
    assert_eq!(describe(Some(&stream)), [("description/json".to_owned(), body.to_owned())]);
    let body = r#"{"c":"rdy","o":"ResourceNotFound","m":"the stream does not exist"}"#;
    assert_eq!(describe(None), [("rejected/json".to_owned(), body.to_owned())]);
}

#[test]
fn responses_and_other_topics_are_no_requests() {
    for topic in [
        "$aws/things/lab-1/streams/s/data/json",
        "$aws/things/lab-1/streams/s/rejected/cbor",
        "$aws/things/lab-1/jobs/j/update",
        "$aws/things/lab-1/streams/s/get",
        "get/json",
    ] {
        assert!(Topic::parse(topic).is_none(), "{topic}");
    }
}

/// Mutates valid requests at random: each response must fit the limits, and no request may panic.
#[test]
fn no_request_breaks_the_service() {
    let mut random = fastrand::Rng::with_seed(19);
    let stream = stream();
    let seeds: [&[u8]; 3] = [
        br#"{"c":"rdy","s":3,"f":7,"l":4096,"o":5,"n":7,"b":"0x130080"}"#,
        b"\xa7\x61c\x63rdy\x61s\x03\x61f\x07\x61l\x19\x10\x00\x61o\x05\x61n\x07\x61b\x43\x13\x00\x80",
        b"\xbf\x61f\x00\x61l\x19\x01\x00\xff",
    ];
    for _ in 0..10_000 {
        let mut payload = random.choice(seeds).unwrap_or_default().to_vec();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..payload.len());
            match random.u8(..3) {
                0 => payload[at] = random.u8(..),
                1 => payload.insert(at, random.u8(..)),
                _ => payload.truncate(at.max(1)),
            }
        }
        for topic in ["get/json", "get/cbor", "describe/json", "describe/cbor"] {
            let topic = format!("$aws/things/lab-1/streams/s/{topic}");
            let messages = Topic::parse(&topic).expect("the topic of a request").answer(&payload, Some(&stream));
            let size: usize = messages.iter().map(|message| message.payload.len()).sum();
            assert!(size < 300_000, "{size} bytes answer {payload:?}");
        }
    }
}
