//! Lines to the MCP server: any line is answered on one line or passed over, and what a tool is given keeps to a size.
#![no_main]

use ccctl::mcp::{fit, rpc};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    let answer = rpc::answer(line, &mut |tool, arguments| {
        let _ = tool.given(arguments)?;
        let told = fit::fit(&Value::Object(arguments.clone()), tool.shape, 2000, &[]);
        assert!(told.to_string().len() <= 2000);
        Ok(told)
    });
    if let Some(answer) = answer {
        assert!(!answer.to_string().contains('\n'));
    }
});
