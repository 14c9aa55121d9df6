//! The body of a request that is a form. The content type also comes from the client: it is the input up to the first
//! line break.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::within_its_time(bytes.len(), || {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (parameters, body) = bytes.split_at(end);
    let parameters = String::from_utf8_lossy(parameters);
    fuzzing::read_request(&format!("multipart/form-data{parameters}"), body.get(1..).unwrap_or_default());
}));
