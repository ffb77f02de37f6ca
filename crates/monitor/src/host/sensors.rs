//! Collectors `hwmon` and `thermal_zone`: temperatures, fans, voltages.

use std::collections::BTreeMap;
use std::path::Path;

use super::Machine;
use super::files::{CollectError, Files, float, last};
use super::page::{Kind, Page, name};

/// What sensors measure, as drivers name their files: `temp1_input`.
const TYPES: [&str; 13] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
];

/// Samples by metric, with what a metric is.
type Families = BTreeMap<String, (Kind, Vec<(String, String, f64)>)>;
/// What the files of a sensor say, by what comes behind its name.
type Sensors = BTreeMap<String, (&'static str, BTreeMap<String, String>)>;

pub(super) fn hwmon(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let files = &mut machine.files;
    let (mut families, mut chips, mut labels) = (Families::new(), Vec::new(), Vec::new());
    for folder in files.folder("class/hwmon")? {
        let mut chip = chip_name(files, &folder);
        // A device may have several, and no two series may be the same.
        if chips.iter().any(|(known, _)| *known == chip) {
            chip = format!("{chip}_{}", name(&last(&folder)));
        }
        let given = files.attribute(&folder.join("name"));
        chips.push((chip.clone(), given.map(std::borrow::Cow::into_owned)));
        let mut sensors = read(files, &folder);
        // Old drivers have their files there.
        if let Some(more) = device_folder(&folder) {
            sensors.extend(read(files, &more));
        }
        for (sensor, (kind, elements)) in &sensors {
            if let Some(label) = elements.get("label") {
                labels.push((chip.clone(), sensor.clone(), label.clone()));
            }
            for (element, value) in elements {
                if let Some((metric, value)) = measured(kind, element, value, elements) {
                    let row = (chip.clone(), sensor.clone(), value);
                    let kind = if metric.ends_with("_total") {
                        Kind::Counter
                    } else {
                        Kind::Gauge
                    };
                    families
                        .entry(metric)
                        .or_insert((kind, Vec::new()))
                        .1
                        .push(row);
                }
            }
        }
    }
    let help = "What the driver calls the chip.";
    let mut family = page.family("node_hwmon_chip_names", Kind::Gauge, help);
    for (chip, given) in &chips {
        let Some(given) = given else { continue };
        family.sample(&[("chip", chip), ("chip_name", given)], 1.0);
    }
    let help = "What the driver calls the sensor.";
    let mut family = page.family("node_hwmon_sensor_label", Kind::Gauge, help);
    for (chip, sensor, label) in &labels {
        family.sample(&[("chip", chip), ("label", label), ("sensor", sensor)], 1.0);
    }
    for (metric, (kind, rows)) in &families {
        let mut family = page.family(metric, *kind, "What a sensor of the machine says.");
        for (chip, sensor, value) in rows {
            family.sample(&[("chip", chip), ("sensor", sensor)], *value);
        }
    }
    Ok(())
}

fn device_folder(folder: &Path) -> Option<std::path::PathBuf> {
    let path = folder.join("device");
    path.is_dir().then_some(path)
}

/// A name that stays the same in whatever order drivers come: by where the chip is, such as
/// `platform_coretemp_0`, or else by what it is called.
fn chip_name(files: &mut Files, folder: &Path) -> String {
    let device = std::fs::canonicalize(folder.join("device")).ok();
    if let Some(device) = device {
        let own = name(&last(&device));
        let bus = device
            .parent()
            .map_or_else(String::new, |bus| name(&last(bus)));
        match (bus.is_empty(), own.is_empty()) {
            (false, false) => return format!("{bus}_{own}"),
            (true, false) => return own,
            _ => {}
        }
    }
    let given = files.attribute(&folder.join("name"));
    let given = given
        .map(|given| name(&given))
        .filter(|given| !given.is_empty());
    given.unwrap_or_else(|| name(&last(folder)))
}

/// What the files of a folder say by sensor.
fn read(files: &mut Files, folder: &Path) -> Sensors {
    let mut sensors = Sensors::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return sensors;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let file = last(&path);
        if let Some((kind, sensor, element)) = split(&file)
            && let Some(value) = files.attribute(&path)
        {
            let (_, elements) = sensors.entry(sensor).or_insert((kind, BTreeMap::new()));
            elements.insert(element, value.into_owned());
        }
    }
    sensors
}

/// `temp1_crit_alarm` becomes `temp`, `temp1` and `crit_alarm`.
fn split(file: &str) -> Option<(&'static str, String, String)> {
    let digits = file
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(file.len());
    let (word, rest) = file.split_at_checked(digits)?;
    let kind = TYPES.into_iter().find(|kind| *kind == word)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (number, rest) = rest.split_at_checked(end)?;
    let element = match rest {
        "" => "",
        rest => rest.strip_prefix('_')?,
    };
    let number = if number.is_empty() { "0" } else { number };
    Some((kind, format!("{kind}{number}"), element.to_owned()))
}

/// The metric and its value in the unit that its name says; nothing for what is no number.
fn measured(
    kind: &str,
    element: &str,
    text: &str,
    elements: &BTreeMap<String, String>,
) -> Option<(String, f64)> {
    if element == "label" {
        return None;
    }
    let value = float(text)?;
    let own = match (kind, element) {
        ("beep_enable", _) => return Some(("node_hwmon_beep_enabled".to_owned(), value)),
        ("vrm", _) => return Some(("node_hwmon_voltage_regulator_version".to_owned(), value)),
        ("update_interval", _) => {
            return Some(("node_hwmon_update_interval_seconds".to_owned(), value / 1e3));
        }
        (_, "") => format!("node_hwmon_{kind}"),
        (_, "input") if !elements.contains_key("") => format!("node_hwmon_{kind}"),
        (_, element) => format!("node_hwmon_{kind}_{}", name(element)),
    };
    let (unit, value) = match (kind, element) {
        (_, "fault" | "alarm") => ("", value),
        (_, "beep") => ("_enabled", value),
        ("in" | "cpu", _) => ("_volts", value / 1e3),
        ("temp", element) if element != "type" => ("_celsius", value / 1e3),
        ("curr", _) => ("_amps", value / 1e3),
        ("energy", _) => ("_joule_total", value / 1e6),
        ("power", "accuracy") => ("", value / 1e6),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            ("_seconds", value / 1e3)
        }
        ("power", _) => ("_watt", value / 1e6),
        ("humidity", _) => ("", value / 1e6),
        ("fan", "input" | "" | "min" | "max" | "target") => ("_rpm", value),
        _ => ("", value),
    };
    Some((own + unit, value))
}

pub(super) fn thermal(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let files = &mut machine.files;
    let (mut zones, mut coolers) = (Vec::new(), Vec::new());
    for path in files.folder("class/thermal")? {
        let file = last(&path);
        let kind = files.attribute(&path.join("type"));
        let kind = kind.map_or_else(String::new, std::borrow::Cow::into_owned);
        if let Some(zone) = file.strip_prefix("thermal_zone") {
            if let Some(temperature) = files.number(&path.join("temp")) {
                zones.push((kind, zone.to_owned(), temperature / 1e3));
            }
        } else if let Some(cooler) = file.strip_prefix("cooling_device") {
            let current = files.number(&path.join("cur_state"));
            let maximum = files.number(&path.join("max_state"));
            coolers.push((cooler.to_owned(), kind, [current, maximum]));
        }
    }
    let help = "The temperature of a zone in degrees Celsius.";
    let mut family = page.family("node_thermal_zone_temp", Kind::Gauge, help);
    for (kind, zone, temperature) in &zones {
        family.sample(&[("type", kind), ("zone", zone)], *temperature);
    }
    let rows = [
        (
            "node_cooling_device_cur_state",
            "How much the device cools.",
        ),
        (
            "node_cooling_device_max_state",
            "How much the device can cool.",
        ),
    ];
    for (at, (metric, help)) in rows.into_iter().enumerate() {
        let mut family = page.family(metric, Kind::Gauge, help);
        for (cooler, kind, states) in &coolers {
            if let Some(state) = states.get(at).copied().flatten() {
                family.sample(&[("name", cooler), ("type", kind)], state);
            }
        }
    }
    Ok(())
}
