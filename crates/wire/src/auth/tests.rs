//! Tests of `auth`.

use proptest::prelude::*;

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT, the date all examples of RFC 9110 show.
const EXAMPLE: i64 = 784_111_777;

#[test]
fn basic_is_one_line() {
    assert_eq!(
        basic("Aladdin", "open sesame"),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
    assert_eq!(basic("test", "123£"), "Basic dGVzdDoxMjPCow==");
    let long = basic(&"u".repeat(200), &"p".repeat(200));
    assert!(!long.contains(['\n', '\r']) && long.len() > 500, "{long}");
}

/// RFC 4231 test case 2, RFC 2202 test case 2.
#[test]
fn keyed_digests() {
    let data = b"what do ya want for nothing?";
    for (algorithm, expected) in [
        (
            HmacAlgorithm::Sha1,
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        (
            HmacAlgorithm::Sha256,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            HmacAlgorithm::Sha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            HmacAlgorithm::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        assert_eq!(hex(&hmac(algorithm, b"Jefe", data)), expected);
    }
    assert_eq!(hex(&[0, 0x0f, 0xff]), "000fff");
}

#[test]
fn pauses() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (value, expected) in [
        ("0", seconds(0)),
        (" 120 ", seconds(120)),
        ("86400", seconds(86_400)),
        ("86401", seconds(86_400)),
        ("99999999999999999999999", seconds(86_400)),
        ("Sun, 06 Nov 1994 08:50:07 GMT", seconds(30)),
        ("Sunday, 06-Nov-94 08:50:07 GMT", seconds(30)),
        ("Sun Nov  6 08:50:07 1994", seconds(30)),
        ("Sun, 06 Nov 1994 08:49:36 GMT", seconds(0)),
        ("Sun, 06 Nov 2094 08:49:36 GMT", seconds(86_400)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 32 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37:00 GMT", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
    ] {
        assert_eq!(retry_after(value, EXAMPLE), expected, "{value}");
    }
}

#[test]
fn dates() {
    for (unix_seconds, expected) in [
        (EXAMPLE, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_795_241_426, "Sat, 21 Nov 2026 06:10:26 GMT"),
        (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (i64::MIN, "Sat, 01 Jan 0000 00:00:00 GMT"),
    ] {
        assert_eq!(http_date(unix_seconds), expected);
    }
    // Two digits: less than fifty years ahead, else in the past.
    let now = 1_795_241_426;
    let year = |value| parse_http_date(value, now).map(http_date);
    assert_eq!(
        year("Friday, 01-Jan-76 00:00:00 GMT").as_deref(),
        Some("Thu, 01 Jan 1976 00:00:00 GMT")
    );
    assert_eq!(
        year("Friday, 01-Jan-75 00:00:00 GMT").as_deref(),
        Some("Tue, 01 Jan 2075 00:00:00 GMT")
    );
}

proptest! {
    #[test]
    fn dates_are_read_back(unix_seconds in -62_167_219_200..=253_402_300_799_i64) {
        let date = http_date(unix_seconds);
        prop_assert_eq!(parse_http_date(&date, 0), Some(unix_seconds), "{}", date);
    }

    #[test]
    fn any_text_is_harmless(value in "([0-9A-Za-z:, -]|GMT|Nov|ü){0,40}", now in any::<i64>()) {
        if let Some(pause) = retry_after(&value, now) {
            prop_assert!(pause <= RETRY_AFTER_MAX);
        }
    }
}

#[test]
fn basic_credentials_are_read_as_they_are_written() {
    let both = |username: &str, password: &str| Some((username.to_owned(), password.to_owned()));
    assert_eq!(parse_basic(&basic("krkn", "a:ü ")), both("krkn", "a:ü "));
    assert_eq!(parse_basic("bAsIc dTpw"), both("u", "p"));
    for wrong in [
        "",
        "Basic",
        "Bearer dTpw",
        "Basic dXA=",
        "Basic %",
        "Basic /w==",
    ] {
        assert_eq!(parse_basic(wrong), None, "{wrong}");
    }
}
