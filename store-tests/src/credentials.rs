//! What a server's programs find in their environment, as options of the backend.
//!
//! The environment of a test process is one for all its tests, so the scenarios
//! that open a journal in this process give the same things as options. Its
//! children, and the `journal` command, find the rows as they are.

/// The options that a row of the environment stands for; none if the backend
/// has to read it itself.
pub(crate) fn options(name: &str, value: &str) -> Vec<(String, String)> {
    if let Some(option) = name.strip_prefix("JOURNAL_BACKEND_") {
        return vec![(option.to_lowercase(), value.to_owned())];
    }
    let option = match name {
        "AWS_ACCESS_KEY_ID" => "access_key_id",
        "AWS_SECRET_ACCESS_KEY" => "secret_access_key",
        "AWS_REGION" => "region",
        "AWS_ENDPOINT_URL" => "endpoint",
        "HADOOP_CONF_DIR" => "conf_dir",
        "AZURE_STORAGE_CONNECTION_STRING" => return of_a_connection_string(value),
        _ => return Vec::new(),
    };
    vec![(option.to_owned(), value.to_owned())]
}

fn of_a_connection_string(text: &str) -> Vec<(String, String)> {
    let option = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let option = match name {
            "AccountName" => "account",
            "AccountKey" => "account_key",
            "BlobEndpoint" => "endpoint",
            _ => return None,
        };
        Some((option.to_owned(), value.to_owned()))
    };
    text.split(';').filter_map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_taken_apart() {
        let text =
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=k==;BlobEndpoint=http://h/a";
        let options = options("AZURE_STORAGE_CONNECTION_STRING", text);
        let pairs = [
            ("account", "a"),
            ("account_key", "k=="),
            ("endpoint", "http://h/a"),
        ];
        assert_eq!(options, pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
