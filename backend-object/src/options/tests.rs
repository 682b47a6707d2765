use super::*;

fn try_read(
    uri: &str,
    options: &[(&str, &str)],
    env: &[(&str, &str)],
) -> Result<(Settings, Place)> {
    let uri = StoreUri::parse(uri).unwrap();
    let mut all = Options::new();
    for (key, value) in options {
        all.set(*key, *value);
    }
    let env = |key: &str| {
        let found = env.iter().find(|(k, _)| *k == key);
        found.map(|(_, v)| (*v).to_owned())
    };
    read(&uri, &all, &env).map(|(settings, place, _)| (settings, place))
}

fn place(uri: &str, options: &[(&str, &str)], env: &[(&str, &str)]) -> Place {
    try_read(uri, options, env).unwrap().1
}

#[test]
fn s3_by_environment_and_by_options() {
    let aws = place("s3://b/p/q/", &[], &[("AWS_REGION", "eu-west-1")]);
    assert_eq!((aws.bucket.as_str(), aws.root.as_str()), ("b", "/p/q"));
    assert_eq!(aws.endpoint, None);
    let Service::S3 {
        region,
        path_style,
        keys,
        checksum,
        ..
    } = aws.service
    else {
        panic!("not s3");
    };
    assert_eq!(
        (region.as_str(), path_style, checksum),
        ("eu-west-1", false, true)
    );
    assert!(keys.is_none());

    let env = [("AWS_ENDPOINT_URL", "http://h:1/"), ("AWS_REGION", "r")];
    let own = [
        ("endpoint", "h2:9000"),
        ("access_key_id", "k"),
        ("secret_access_key", "s"),
        ("path_style", "false"),
        ("checksum", "none"),
    ];
    let server = place("s3://b", &[], &env);
    assert_eq!(server.endpoint.as_deref(), Some("http://h:1"));
    assert!(matches!(
        server.service,
        Service::S3 {
            path_style: true,
            ..
        }
    ));
    let server = place("s3://b", &own, &[]);
    assert_eq!(server.root, "/");
    assert_eq!(server.endpoint.as_deref(), Some("https://h2:9000"));
    let Service::S3 {
        region,
        path_style,
        keys,
        checksum,
        ..
    } = server.service
    else {
        panic!("not s3");
    };
    assert_eq!(
        (region.as_str(), path_style, checksum),
        ("us-east-1", false, false)
    );
    assert_eq!(keys, Some(("k".into(), "s".into(), None)));
    let dotted = place("s3://b.c", &[], &[("AWS_REGION", "r")]);
    assert!(matches!(
        dotted.service,
        Service::S3 {
            path_style: true,
            ..
        }
    ));
}

#[test]
fn gs_by_options() {
    let cloud = place("gs://b/p", &[("credential_file", "/k.json")], &[]);
    assert_eq!((cloud.bucket.as_str(), cloud.root.as_str()), ("b", "/p"));
    assert_eq!(cloud.endpoint, None);
    let Service::Gs { credential_file } = cloud.service else {
        panic!("not gs");
    };
    assert_eq!(credential_file.as_deref(), Some("/k.json"));
}

#[test]
fn azblob_by_account_and_by_connection_string() {
    let env = [
        ("AZURE_STORAGE_ACCOUNT", "a"),
        ("AZURE_STORAGE_KEY", "a2V5"),
    ];
    let cloud = place("azblob://c/p", &[], &env);
    assert_eq!(
        cloud.endpoint.as_deref(),
        Some("https://a.blob.core.windows.net")
    );
    let text = "DefaultEndpointsProtocol=http;AccountName=dev;AccountKey=a2V5PQ==;\
                BlobEndpoint=http://127.0.0.1:1/dev";
    let local = place(
        "azblob://c",
        &[],
        &[("AZURE_STORAGE_CONNECTION_STRING", text)],
    );
    assert_eq!(local.endpoint.as_deref(), Some("http://127.0.0.1:1/dev"));
    let Service::Azblob { account, key, sas } = local.service else {
        panic!("not azblob");
    };
    assert_eq!(account.as_deref(), Some("dev"));
    assert_eq!(key.as_deref(), Some("a2V5PQ=="));
    assert_eq!(sas, None);
}

#[test]
fn fc_11_wrong_options_say_what_is_right() {
    let region = ("region", "r");
    for (uri, options, says) in [
        (
            "s3://b",
            vec![region, ("endpiont", "x")],
            "did you mean endpoint",
        ),
        ("gs://b", vec![region], "unknown option region"),
        ("s3://b", vec![], "AWS_REGION"),
        ("s3:///p", vec![region], "s3://bucket/prefix"),
        ("azblob://c", vec![], "AZURE_STORAGE_ACCOUNT"),
        ("s3://b", vec![region, ("access_key_id", "k")], "together"),
        ("s3://b", vec![region, ("inflight", "9")], "1 to 8"),
        ("s3://b", vec![region, ("timeout", "5ms")], "at least 100ms"),
        (
            "s3://b",
            vec![region, ("checksum", "md5")],
            "crc32c or none",
        ),
        (
            "s3://b",
            vec![region, ("path_style", "yes")],
            "true or false",
        ),
        (
            "s3://b",
            vec![region, ("endpoint", "ftp://h")],
            "takes a URL",
        ),
        (
            "s3://b",
            vec![region, ("endpoint", "http://u:hunter2@h")],
            "takes a URL",
        ),
    ] {
        let e = try_read(uri, &options, &[]).err().unwrap();
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
        assert!(e.to_string().contains(says), "{e}");
        assert!(!e.to_string().contains("hunter2"), "{e}");
    }
}
