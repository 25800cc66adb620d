use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::*;

fn stream() -> Content {
    let file = |id, size: usize| File { id, bytes: Some((0..=u8::MAX).cycle().take(size).collect()) };
    let files = vec![file(0, 1000), file(7, 300_000), file(8, 0), File { id: 9, bytes: None }];
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
    let bitmap = serde_json::from_value(request["b"].clone());
    let mut request = ciborium::Value::serialized(request).expect("a CBOR value");
    // A bitmap is text in JSON, and bytes in CBOR.
    if let Ok(Bitmap(bytes)) = bitmap
        && let Some(members) = request.as_map_mut()
    {
        members.retain(|(name, _)| name.as_text() != Some("b"));
        members.push(("b".into(), bytes.into()));
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

/// Returns the body of a message in either encoding.
fn body(message: &Message) -> Json {
    if message.topic.ends_with("cbor") {
        from_cbor(&message.payload)
    } else {
        serde_json::from_slice(&message.payload).expect("JSON")
    }
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
        (json!({"f": 0, "l": 256, "b": "0xFF", "o": 3}), vec![3]),
        (json!({"f": 0, "l": 256, "b": "0x00"}), vec![]),
        (json!({"f": 0, "l": 256, "b": "0x"}), vec![]),
        (json!({"f": 0, "l": 256, "n": 0}), vec![]),
        (json!({"c": null, "s": null, "f": 0, "l": 256, "o": null, "n": 1, "b": null, "x": {}}), vec![0]),
        (json!({"c": "c".repeat(64), "f": 0, "l": 256, "n": 1}), vec![0]),
        (json!({"f": 0, "l": 131_072, "s": 3}), vec![0]),
        // The bitmap of AWS's documentation requests the blocks 0, 1, 4 and 23.
        (json!({"f": 7, "l": 4096, "b": "0x130080"}), vec![0, 1, 4, 23]),
        // `MQ==` in ASCII, with one block: AWS's library 1.1 sends that for the next block.
        (json!({"f": 7, "l": 4096, "o": 5, "n": 1, "b": "0x4d513d3d"}), vec![5]),
        // rustot requests 31 blocks.
        (json!({"f": 7, "l": 4096, "o": 62, "b": "0xffffff7f"}), (62..74).collect()),
        (json!({"f": 7, "l": 4096, "b": "0xffffff"}), (0..24).collect()),
        (json!({"f": 7, "l": 5_500}), first_23.clone()),
        // More than 128 KiB, with and without a bitmap: the first blocks are sent.
        (json!({"f": 7, "l": 5_500, "n": 24}), first_23.clone()),
        (json!({"f": 7, "l": 5_500, "n": 98_304}), first_23.clone()),
        (json!({"f": 7, "l": 5_500, "n": 98_304, "b": "0xffffffff"}), first_23),
        (json!({"f": 7, "l": 131_072, "n": 3, "o": 1}), vec![1]),
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
    for (request, code) in [
        (json!({"f": 0}), "InvalidRequest"),
        (json!({"l": 256}), "InvalidRequest"),
        (json!({"f": 0, "l": "256"}), "InvalidRequest"),
        (json!({"f": 0, "l": 256.5}), "InvalidRequest"),
        (json!({"f": [0], "l": 256}), "InvalidRequest"),
        (json!({"f": 0, "l": {}}), "InvalidRequest"),
        (json!({"f": null, "l": 256}), "InvalidRequest"),
        (json!({"f": 0, "l": 256, "b": 5}), "InvalidRequest"),
        (json!({"f": 0, "l": 256, "b": [5]}), "InvalidRequest"),
        (json!({"c": 1, "f": 0, "l": 256}), "InvalidRequest"),
        (json!({"c": "c".repeat(65), "f": 0, "l": 256}), "InvalidRequest"),
        // 65 bytes in 23 characters.
        (json!({"c": "€".repeat(21) + "cc", "f": 0, "l": 256}), "InvalidRequest"),
        (json!([]), "InvalidRequest"),
        // A list of the members in the order of their declaration.
        (json!([null, null, 0, 256, null, null, null]), "InvalidRequest"),
        (json!(0), "InvalidRequest"),
        (json!(null), "InvalidRequest"),
        (json!({"f": 0, "l": 0}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": 255}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": 131_073}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": -1}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": i64::MIN}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": u64::MAX}), "BlockSizeOutOfBounds"),
        (json!({"f": 0, "l": 256, "o": 98_305}), "OffsetOutOfBounds"),
        (json!({"f": 0, "l": 256, "o": -1}), "OffsetOutOfBounds"),
        (json!({"f": 0, "l": 256, "n": 98_305}), "BlockCountLimitExceeded"),
        (json!({"f": 0, "l": 256, "n": -1}), "BlockCountLimitExceeded"),
        (json!({"f": 0, "l": 256, "n": u64::MAX}), "BlockCountLimitExceeded"),
        (json!({"f": 0, "l": 256, "b": "0x".to_owned() + &"ff".repeat(12_288)}), "BlockBitmapLimitExceeded"),
        (json!({"f": 0, "l": 256, "s": 2}), "VersionMismatch"),
        (json!({"f": 0, "l": 256, "s": 65_539}), "VersionMismatch"),
        (json!({"f": 0, "l": 256, "s": -3}), "VersionMismatch"),
        (json!({"f": 1, "l": 256}), "ResourceNotFound"),
        (json!({"f": 256, "l": 256}), "ResourceNotFound"),
        (json!({"f": -1, "l": 256}), "ResourceNotFound"),
        (json!({"f": 0, "l": 256, "o": 4}), "ResourceNotFound"),
        (json!({"f": 0, "l": 256, "o": 98_304}), "ResourceNotFound"),
        (json!({"f": 0, "l": 131_072, "o": 1}), "ResourceNotFound"),
        (json!({"f": 0, "l": 256, "b": "0xf0"}), "ResourceNotFound"),
        (json!({"f": 0, "l": 256, "o": 98_304, "b": "0x01"}), "ResourceNotFound"),
        // The file has no bytes.
        (json!({"f": 8, "l": 256}), "ResourceNotFound"),
        (json!({"f": 9, "l": 256}), "Unauthorized"),
    ] {
        for responses in [in_json(&request), in_cbor(&request)] {
            let [(kind, body)] = &responses[..] else { panic!("{request}: {responses:?}") };
            assert_eq!((kind.as_str(), body["o"].as_str()), ("rejected/json", Some(code)), "{request}: {body}");
        }
    }
}

#[test]
fn unreadable_requests_are_rejected() {
    let cases: [(&str, &[u8], &str); _] = [
        ("get/json", b"", "InvalidJson"),
        ("get/json", b"{", "InvalidJson"),
        ("get/json", b"{} {}", "InvalidJson"),
        ("get/json", b"{\"f\":0,\"l\":256,\"x\":\"\xff\"}", "InvalidJson"),
        ("get/json", &[b'['; 10_000], "InvalidJson"),
        ("describe/json", b"", "InvalidJson"),
        ("describe/json", b"[]", "InvalidRequest"),
        ("describe/json", b"[\"rdy\"]", "InvalidRequest"),
        ("get/json", br#"{"f": 0, "f": 0, "l": 256}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 1e999}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 256.0}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 99999999999999999999}"#, "BlockSizeOutOfBounds"),
        ("get/json", br#"{"f": 0, "l": 999999999999999999999999999999999999999}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 256, "c": "\ud800"}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 256, "b": "0x1"}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 256, "b": "0xgg"}"#, "InvalidRequest"),
        ("get/json", "{\"f\": 0, \"l\": 256, \"b\": \"0x0é\"}".as_bytes(), "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 256, "b": "ff"}"#, "InvalidRequest"),
        ("get/json", br#"{"f": 0, "l": 256, "b": ""}"#, "InvalidRequest"),
        ("get/cbor", b"", "InvalidCbor"),
        ("get/cbor", b"\xa3", "InvalidCbor"),
        ("get/cbor", b"\xbf", "InvalidCbor"),
        ("get/cbor", b"\xff", "InvalidCbor"),
        ("describe/cbor", b"", "InvalidCbor"),
        // A document follows.
        ("get/cbor", b"\xa2\x61f\x00\x61l\x19\x01\x00\xa0", "InvalidCbor"),
        ("describe/cbor", b"\xa0\x00", "InvalidCbor"),
        // A text that is not UTF-8.
        ("get/cbor", b"\xa3\x61f\x00\x61l\x19\x01\x00\x61c\x61\xff", "InvalidCbor"),
        // Lists, maps and strings of 2^64 - 1 elements, of which none follows.
        ("get/cbor", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "InvalidCbor"),
        ("get/cbor", b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "InvalidCbor"),
        ("get/cbor", b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "InvalidCbor"),
        ("get/cbor", b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "InvalidCbor"),
        ("get/cbor", &[0x9f; 10_000], "InvalidCbor"),
        ("get/cbor", &[0x81; 10_000], "InvalidCbor"),
        ("get/cbor", &[0xc1; 10_000], "InvalidCbor"),
        // Keys that are a number, the index of a member, and bytes.
        ("describe/cbor", b"\xa1\x00\x63rdy", "InvalidRequest"),
        ("get/cbor", b"\xa2\x02\x00\x03\x19\x01\x00", "InvalidRequest"),
        ("get/cbor", b"\xa2\x41f\x00\x41l\x19\x01\x00", "InvalidRequest"),
        // The same member twice.
        ("get/cbor", b"\xa3\x61f\x00\x61f\x00\x61l\x19\x01\x00", "InvalidRequest"),
        // Floats, and a bitmap as text.
        ("get/cbor", b"\xa2\x61f\x00\x61l\xf9\x5c\x00", "InvalidRequest"),
        ("get/cbor", b"\xa3\x61f\x00\x61l\x19\x01\x00\x61b\x640x05", "InvalidRequest"),
        ("get/xml", b"{}", "InvalidTopic"),
        ("get/json/json", b"{}", "InvalidTopic"),
        ("describe/", b"{}", "InvalidTopic"),
    ];
    for (topic, payload, code) in cases {
        let messages = answer(&format!("$aws/things/lab-1/streams/s/{topic}"), payload);
        let [message] = &messages[..] else { panic!("{messages:?}") };
        let shown = payload[..payload.len().min(80)].escape_ascii();
        assert_eq!(body(message)["o"], code, "{topic} {shown}: {}", body(message));
    }
}

#[test]
fn cbor_of_other_lengths_is_read() {
    let cases: [&[u8]; _] = [
        // A map and texts of indefinite length, and bytes in two chunks.
        b"\xbf\x7f\x61f\xff\x00\x61l\x19\x01\x00\x61b\x5f\x41\x05\x41\x00\xff\xff",
        // Numbers in more bytes than they need.
        b"\xa3\x61f\x1b\x00\x00\x00\x00\x00\x00\x00\x00\x61l\x1a\x00\x00\x01\x00\x61b\x41\x05",
        // Unknown members with a tag, a list in a list, and undefined; a null offset.
        b"\xa7\x61f\x00\x61l\x19\x01\x00\x61b\x41\x05\x61x\xc1\x00\x61y\x9f\x81\x00\xff\x61z\xf7\x61o\xf6",
    ];
    for payload in cases {
        let messages = answer("$aws/things/lab-1/streams/s/get/cbor", payload);
        let blocks: Vec<_> = messages.iter().map(|message| body(message)["i"].as_u64()).collect();
        assert_eq!(blocks, [Some(0), Some(2)], "{}", payload.escape_ascii());
    }
}

#[test]
fn error_messages_are_short() {
    let long = "\u{1}".repeat(100_000);
    for request in [json!({"f": 0, "l": long}), json!(long), json!({"f": 0, "l": 256, "c": long})] {
        for responses in [in_json(&request), in_cbor(&request)] {
            let [(_, body)] = &responses[..] else { panic!("{responses:?}") };
            assert_eq!(body["o"], "InvalidRequest");
            assert!(body["m"].as_str().is_some_and(|message| message.len() < 1000), "{body}");
        }
    }
}

#[test]
fn a_rejection_has_the_valid_token_of_the_request() {
    for (request, token) in [
        (json!({"c": "rdy", "f": 0, "l": 1}), json!("rdy")),
        (json!({"c": "rdy", "f": "0"}), json!("rdy")),
        (json!({"c": "c".repeat(64), "f": 0}), json!("c".repeat(64))),
        (json!({"c": "c".repeat(65), "f": 0}), Json::Null),
        (json!({"c": 1, "f": 0, "l": 256}), Json::Null),
        (json!({"f": 0}), Json::Null),
    ] {
        for responses in [in_json(&request), in_cbor(&request)] {
            let [(_, body)] = &responses[..] else { panic!("{responses:?}") };
            assert_eq!(body["c"], token, "{request}: {body}");
        }
    }
}

#[test]
fn bitmaps_of_any_length_are_read() {
    let stream = stream();
    let topic = Topic::parse("$aws/things/lab-1/streams/s/get/cbor").expect("the topic of a request");
    for length in (0..1000_usize).chain(12_000..12_300) {
        // The last bit of the bitmap, and blocks 0 and 9 of a file of ten.
        let mut bitmap = vec![0; length];
        if let Some(last) = bitmap.last_mut() {
            *last = 0x80;
        }
        for (byte, bit) in [(0, 0x01), (1, 0x02)] {
            if let Some(byte) = bitmap.get_mut(byte) {
                *byte |= bit;
            }
        }
        let mut payload = Vec::new();
        let members = [("f", 7.into()), ("l", 32_768.into()), ("b", ciborium::Value::Bytes(bitmap))];
        let members = members.map(|(name, value)| (ciborium::Value::from(name), value));
        ciborium::into_writer(&ciborium::Value::Map(members.into()), &mut payload).expect("CBOR");
        let messages = topic.answer(&payload, Some(&stream));
        let found: Vec<_> = messages.iter().map(|message| body(message)["i"].as_u64()).collect();
        let expected: &[_] = match length {
            0 => &[],
            1 => &[Some(0), Some(7)],
            2..12_288 => &[Some(0), Some(9)],
            _ => &[None],
        };
        assert_eq!(found, expected, "{length}");
    }
}

#[test]
fn files_at_the_limits_are_served() {
    let max = 24 * 1024 * 1024;
    for (size, block, offset, expected) in [
        (1, 256, 0, vec![(0, 1)]),
        (256, 256, 0, vec![(0, 256)]),
        (257, 256, 0, vec![(0, 256), (1, 1)]),
        (131_072, 131_072, 0, vec![(0, 131_072)]),
        (131_073, 131_072, 1, vec![(1, 1)]),
        (max, 256, 98_303, vec![(98_303, 256)]),
        (max, 131_072, 191, vec![(191, 131_072)]),
        (max, 131_071, 192, vec![(192, 192)]),
        (max, 256, 0, (0..512).map(|block| (block, 256)).collect()),
    ] {
        let files = vec![File { id: 255, bytes: Some(vec![0; size].into()) }];
        let stream = Content { version: u16::MAX, description: None, files };
        let request = json!({"s": u16::MAX, "f": 255, "l": block, "o": offset}).to_string();
        let topic = Topic::parse("$aws/things/lab-1/streams/s/get/json").expect("the topic of a request");
        let messages = topic.answer(request.as_bytes(), Some(&stream));
        let found: Vec<_> =
            messages.iter().map(|message| (body(message)["i"].clone(), body(message)["l"].clone())).collect();
        let expected: Vec<_> = expected.into_iter().map(|(block, size)| (json!(block), json!(size))).collect();
        assert_eq!(found, expected, "{request}");
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
    let body = r#"{"c":"rdy","s":3,"d":"demo","r":[{"f":0,"z":1000},{"f":7,"z":300000},{"f":8,"z":0}]}"#;
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
