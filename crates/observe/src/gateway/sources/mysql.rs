//! The table `whatsapp_config` of the original proxy. It is only read: a read-only account does.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use base::secret::{Secret, SecretSource};
use base::tls::ClientTls;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{ConnectOptions, Connection, Row};
use url::Url;

use super::Reading;
use crate::gateway::config::{MysqlConfig, SessionRules, TargetConfig};
use crate::gateway::whatsapp;

/// The longest wait for the database.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows that are read.
const ROWS_MAX: usize = 50_000;
/// Digits of a number, country code included (E.164 has 15; the table is wider).
const DIGITS_MAX: usize = 24;
const QUERY: &str = "SELECT country, phone, username, password, company_name \
                     FROM whatsapp_config ORDER BY country, phone LIMIT 50001";

/// Reads all rows.
pub(super) async fn read(
    config: &MysqlConfig,
    environment: &BTreeMap<String, String>,
) -> Result<Reading, String> {
    let url = config
        .url
        .resolve(environment)
        .map_err(|error| error.to_string())?;
    // The library's error could repeat the URL with its password.
    let options = MySqlConnectOptions::from_str(url.expose())
        .map_err(|_| "not a URL such as mysql://user:password@host/database".to_owned())?
        .disable_statement_logging();
    let reading = async {
        let mut connection = options.connect().await?;
        let rows = sqlx::query(QUERY).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(rows)
    };
    let rows = match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(rows) => rows.map_err(|error| format!("database: {error}"))?,
        Err(_) => {
            return Err(format!(
                "database: no answer within {} s",
                READ_TIMEOUT.as_secs()
            ));
        }
    };
    if rows.len() > ROWS_MAX {
        return Err(format!("more than {ROWS_MAX} rows in whatsapp_config"));
    }
    let mut reading = Reading::default();
    for row in &rows {
        match target(row, config) {
            Ok(target) => reading.targets.push(target),
            Err(reason) => reading.refused.push(reason),
        }
    }
    Ok(reading)
}

fn column(row: &MySqlRow, name: &str) -> Option<String> {
    row.try_get::<Option<String>, _>(name)
        .ok()
        .flatten()
        .filter(|text| !text.is_empty())
}

fn target(row: &MySqlRow, config: &MysqlConfig) -> Result<TargetConfig, String> {
    let country = column(row, "country").unwrap_or_default();
    let number = format!("{country}{}", column(row, "phone").unwrap_or_default());
    let number = number.trim_start_matches('+').to_owned();
    // The number becomes part of a host name: nothing but digits may get there.
    let is_number = !number.is_empty()
        && number.len() <= DIGITS_MAX
        && number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        let shown: String = number.chars().take(40).collect();
        return Err(format!("`{}` is not a number", shown.escape_debug()));
    }
    let base = config.base_url.replace("{number}", &number);
    let base = Url::parse(&base).map_err(|error| format!("{number}: {error}"))?;
    let (username, password) = (column(row, "username"), column(row, "password"));
    let unconfigured = match (&username, &password) {
        (None, _) => Some("the row has no username".to_owned()),
        (_, None) => Some("the row has no password".to_owned()),
        _ => None,
    };
    let secret = |text: Option<String>| SecretSource::Inline(Secret::new(text.unwrap_or_default()));
    let labels = [
        ("customer".to_owned(), number.clone()),
        (
            "customer_name".to_owned(),
            column(row, "company_name").unwrap_or_default(),
        ),
    ];
    Ok(TargetConfig {
        name: number,
        labels: labels.into_iter().collect(),
        parts: whatsapp::parts(&base),
        health: Some(whatsapp::health(&base)),
        auth: whatsapp::login(&base, secret(username), secret(password)),
        session: SessionRules::default(),
        tls: config.tls.clone(),
        // The profile logs in at the target itself.
        login_tls: ClientTls::default(),
        limits: config.limits,
        via: None,
        unconfigured,
        is_of_node: false,
    })
}
