//! `journal format`.

use crate::failure::Result;
use crate::output::Out;
use flushproof::Config;
use serde_json::json;

/// Makes the place an empty journal.
pub async fn run(config: &Config, force: bool, out: &mut Out) -> Result<()> {
    let formatted = config.format(force).await?;
    let erased = if formatted.erased {
        "; what was there is erased"
    } else {
        ""
    };
    let folder = config.folder.to_string();
    out.result(
        &json!({ "folder": folder, "id": formatted.id.to_string(), "erased": formatted.erased }),
        format_args!("{folder} is the empty journal {}{erased}", formatted.id),
    )
}
