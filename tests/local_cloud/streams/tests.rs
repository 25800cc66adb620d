use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/ota";

fn streams() -> Streams {
    Streams::new("eu-west-1", "123456789012")
}

fn files(ids: impl IntoIterator<Item = u32>) -> Value {
    let location = json!({ "bucket": "b", "key": "k", "version": "v" });
    ids.into_iter().map(|id| json!({ "fileId": id, "s3Location": location })).collect()
}

fn definition() -> Value {
    json!({ "files": files([0]), "roleArn": ROLE })
}

/// Returns status, error type and body of a response. S3 has `b/k` in version `v`, with `size` bytes.
async fn send(streams: &Streams, method: &str, target: &str, body: &Value, size: u64) -> (u16, Option<String>, Value) {
    let request = Request::builder().method(method).uri(target).body(Bytes::from(body.to_string()));
    let object_size = async |bucket: &str, key: &str, version: Option<&str>| {
        ((bucket, key, version) == ("b", "k", Some("v"))).then_some(size)
    };
    let response = streams.answer(&request.expect("a request"), object_size).await;
    let kind = response.headers().get("x-amzn-errortype").map(|kind| kind.to_str().expect("text").to_owned());
    (response.status().as_u16(), kind, serde_json::from_slice(response.body()).expect("JSON"))
}

async fn create(streams: &Streams, id: &str, body: &Value) -> (u16, Option<String>, Value) {
    send(streams, "POST", &format!("/streams/{id}"), body, 1).await
}

#[test]
fn only_stream_paths_are_served() {
    for (path, serves) in
        [("/streams", true), ("/streams/a", true), ("/streamsx", false), ("/jobs/streams", false), ("/", false)]
    {
        assert_eq!(Streams::serves(path), serves, "{path}");
    }
}

#[tokio::test]
async fn a_stream_is_created_once_described_updated_and_deleted() {
    let streams = streams();
    let arn = "arn:aws:iot:eu-west-1:123456789012:stream/s";

    let (status, _, created) = create(&streams, "s", &definition()).await;
    assert_eq!((status, created), (200, json!({ "streamId": "s", "streamArn": arn, "streamVersion": 1 })));

    let (status, kind, error) = create(&streams, "s", &definition()).await;
    assert_eq!((status, kind.as_deref()), (409, Some("ResourceAlreadyExistsException")));
    assert_eq!((&error["resourceId"], &error["resourceArn"]), (&json!("s"), &json!(arn)));

    let changed = json!({ "description": "again", "files": files([7]) });
    let (status, _, updated) = send(&streams, "PUT", "/streams/s", &changed, 1).await;
    assert_eq!((status, &updated["streamVersion"], &updated["description"]), (200, &json!(2), &json!("again")));

    let (_, _, described) = send(&streams, "GET", "/streams/s", &Value::Null, 1).await;
    let info = &described["streamInfo"];
    assert_eq!((&info["files"], &info["roleArn"]), (&files([7]), &json!(ROLE)));
    assert!(info["createdAt"].as_f64() <= info["lastUpdatedAt"].as_f64(), "{info}");

    assert_eq!(send(&streams, "DELETE", "/streams/s", &Value::Null, 1).await.0, 200);
    for method in ["GET", "PUT", "DELETE"] {
        let (status, kind, _) = send(&streams, method, "/streams/s", &definition(), 1).await;
        assert_eq!((status, kind.as_deref()), (404, Some("ResourceNotFoundException")), "{method}");
    }
}

#[tokio::test]
async fn file_delivery_finds_the_files_of_a_stream() {
    let streams = streams();
    create(&streams, "s", &definition()).await;
    let stream = streams.find("s").expect("a stream");
    let locations: Vec<_> = stream.files.iter().map(StreamFile::location).collect();
    assert_eq!(locations, [("b", "k", Some("v"))]);
    assert!(streams.find("t").is_none());
}

#[tokio::test]
async fn a_definition_outside_the_limits_is_rejected() {
    let with = |member: &str, value: Value| {
        let mut changed = definition();
        changed[member] = value;
        changed
    };
    let elsewhere = |bucket: &str| json!([{ "fileId": 0, "s3Location": { "bucket": bucket, "key": "k" } }]);
    for (case, body) in [
        ("no files", with("files", Value::Null)),
        ("empty files", with("files", json!([]))),
        ("eleven files", with("files", files(0..11))),
        ("file id 256", with("files", files([256]))),
        ("file id twice", with("files", files([1, 1]))),
        ("no location", with("files", json!([{ "fileId": 0 }]))),
        ("empty bucket", with("files", elsewhere(""))),
        ("no role", with("roleArn", Value::Null)),
        ("short role", with("roleArn", json!("arn:aws:iam"))),
        ("empty description", with("description", json!(""))),
        ("line break", with("description", json!("a\nb"))),
        ("not an object", json!([])),
    ] {
        let (status, kind, _) = create(&streams(), "s", &body).await;
        assert_eq!((status, kind.as_deref()), (400, Some("InvalidRequestException")), "{case}");
    }
    for id in ["", "a.b", "a%20b", &"a".repeat(129)] {
        assert_eq!(create(&streams(), id, &definition()).await.0, 400, "{id}");
    }
    assert_eq!(create(&streams(), "s", &with("files", elsewhere("other"))).await.0, 404);
    assert_eq!(create(&streams(), &"a".repeat(128), &with("files", files(0..10))).await.0, 200);
}

#[tokio::test]
async fn a_file_larger_than_24_mb_is_rejected() {
    assert_eq!(send(&streams(), "POST", "/streams/s", &definition(), MAX_FILE_BYTES).await.0, 200);
    assert_eq!(send(&streams(), "POST", "/streams/s", &definition(), MAX_FILE_BYTES + 1).await.0, 400);
}

#[tokio::test]
async fn an_account_can_have_ten_thousand_streams() {
    let streams = streams();
    for number in 0..MAX_STREAMS {
        assert_eq!(create(&streams, &format!("s{number}"), &definition()).await.0, 200);
    }
    let (status, kind, _) = create(&streams, "one-more", &definition()).await;
    assert_eq!((status, kind.as_deref()), (410, Some("LimitExceededException")));
    assert_eq!(create(&streams, "s0", &definition()).await.0, 409);
}

#[tokio::test]
async fn pages_list_every_stream_in_either_order() {
    let streams = streams();
    for id in ["a", "b", "c", "d", "e"] {
        create(&streams, id, &definition()).await;
    }
    for (order, expected) in [("", "edcba"), ("&isAscendingOrder=true", "abcde")] {
        let (mut listed, mut token) = (String::new(), String::new());
        loop {
            let target = format!("/streams?maxResults=2{order}{token}");
            let (_, _, page) = send(&streams, "GET", &target, &Value::Null, 1).await;
            let ids = page["streams"].as_array().expect("a page");
            listed.extend(ids.iter().filter_map(|stream| stream["streamId"].as_str()));
            match page["nextToken"].as_str() {
                Some(next) => token = format!("&nextToken={next}"),
                None => break,
            }
        }
        assert_eq!(listed, expected);
    }
    assert_eq!(send(&streams, "GET", "/streams?maxResults=251", &Value::Null, 1).await.0, 400);
}
