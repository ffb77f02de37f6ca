//! Queries and data from a seed. What versions of Prometheus define differently, or not at all, does not
//! occur: samples never lie on an end of a range (they have milliseconds, queries have whole seconds), nor
//! steps of a subquery on its left end (queries are asked at seven seconds past multiples of ten, and no
//! subquery is in another), values of which some are taken are all different, the two sides of an operator
//! are unique by what they are matched by, and functions that the older version does not have are left out.

use it::samples::Series;

/// The first sample, in milliseconds since 1970; a multiple of ten seconds.
pub(crate) const BEGIN: i64 = 1_700_000_000_000;
/// How long the data is, in seconds.
pub(crate) const SECONDS: i64 = 5_400;

/// Numbers from a seed: splitmix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: i64) -> i64 {
        let end = u64::try_from(end).unwrap();
        i64::try_from(self.next() % end).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let count = i64::try_from(of.len()).unwrap();
        of[usize::try_from(self.below(count)).unwrap()]
    }

    fn happens(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    /// From 0 to 1, with as many digits as a double has.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// All series: gauges, counters that fall, classic histograms; with gaps, ends and late begins.
pub(crate) fn data(random: &mut Random) -> Vec<Series> {
    let mut all = Vec::new();
    for shop in ["north", "south", "west"] {
        for room in ["1", "2", "3"] {
            let labels = [("__name__", "temperature"), ("room", room), ("shop", shop)];
            all.push(gauge(random, Series::new(&labels)));
            for code in ["200", "404"] {
                let labels = [
                    ("__name__", "requests_total"),
                    ("code", code),
                    ("room", room),
                    ("shop", shop),
                ];
                all.push(counter(random, Series::new(&labels)));
            }
        }
        all.extend(histogram(random, shop));
    }
    all
}

/// When samples are: about every fifteen seconds, never at a whole second, with gaps.
fn times(random: &mut Random) -> Vec<i64> {
    let mut times = Vec::new();
    let mut second = if random.happens(20) {
        random.below(SECONDS / 2)
    } else {
        random.below(15)
    };
    let end = if random.happens(20) {
        SECONDS - random.below(SECONDS / 3)
    } else {
        SECONDS
    };
    while second < end {
        times.push(BEGIN + second * 1_000 + 1 + random.below(999));
        second += 14 + random.below(3);
        if random.happens(1) {
            second += random.below(900);
        }
    }
    times
}

fn gauge(random: &mut Random, mut series: Series) -> Series {
    let mut value = 20.0 + random.share() * 10.0;
    for time in times(random) {
        value += random.share() - 0.5;
        series = series.at(time, value);
    }
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let last = series.samples.last().unwrap().timestamp;
    if random.happens(30) {
        series.at(last + 15_000, stale)
    } else {
        series
    }
}

fn counter(random: &mut Random, mut series: Series) -> Series {
    let mut value = 1e6 * random.share();
    for time in times(random) {
        value += 50.0 * random.share();
        if random.happens(1) {
            value = random.share();
        }
        series = series.at(time, value);
    }
    series
}

fn histogram(random: &mut Random, shop: &str) -> Vec<Series> {
    const BOUNDS: [&str; 6] = ["0.005", "0.05", "0.25", "1", "2.5", "+Inf"];
    let named = |bound: &&str| {
        Series::new(&[
            ("__name__", "latency_seconds_bucket"),
            ("le", bound),
            ("shop", shop),
        ])
    };
    let mut series: Vec<Series> = BOUNDS.iter().map(named).collect();
    let mut counts = [1_000.0; BOUNDS.len()];
    for time in times(random) {
        let mut more = 0.0;
        for (count, series) in counts.iter_mut().zip(&mut series) {
            more += random.below(20) as f64;
            *count += more;
            *series = std::mem::take(series).at(time, *count);
        }
    }
    series
}

/// One query.
pub(crate) fn query(random: &mut Random) -> String {
    let depth = 1 + random.below(3);
    vector(random, depth)
}

/// An expression that gives a vector.
fn vector(random: &mut Random, depth: i64) -> String {
    if depth == 0 {
        return selector(random);
    }
    match random.below(11) {
        0 => selector(random),
        1 | 2 => ranged(random),
        3 => subquery(random),
        4 | 5 => aggregate(random, depth - 1),
        6 => with_parameter(random),
        7 => with_scalar(random, depth - 1),
        8 => matched(random, depth - 1),
        9 => function(random, depth - 1),
        _ => quantile(random),
    }
}

fn matchers(random: &mut Random) -> &'static str {
    random.one(&[
        "",
        "{shop=\"north\"}",
        "{shop!=\"north\"}",
        "{shop=~\"n.*|west\"}",
        "{room!~\"1|2\"}",
        "{room=\"2\",shop=~\".+th\"}",
        "{shop=\"nowhere\"}",
        "{colour=\"\"}",
    ])
}

fn moment(random: &mut Random) -> String {
    match random.below(8) {
        0 => " offset 4m".to_owned(),
        1 => " offset -50s".to_owned(),
        2 => format!(" @ {}", BEGIN / 1_000 + random.below(SECONDS)),
        3 => random.one(&[" @ start()", " @ end()"]).to_owned(),
        _ => String::new(),
    }
}

fn selector(random: &mut Random) -> String {
    let name = random.one(&["temperature", "requests_total", "latency_seconds_bucket"]);
    let (matchers, moment) = (matchers(random), moment(random));
    format!("{name}{matchers}{moment}")
}

fn range(random: &mut Random) -> &'static str {
    random.one(&["1m", "90s", "5m", "10m", "40m"])
}

/// A function over the samples of a selector.
fn ranged(random: &mut Random) -> String {
    let (range, matchers) = (range(random), matchers(random));
    let moment = moment(random);
    if random.happens(40) {
        let function = random.one(&["rate", "increase", "irate", "resets"]);
        let name = random.one(&["requests_total", "latency_seconds_bucket"]);
        return format!("{function}({name}{matchers}[{range}]{moment})");
    }
    let function = over_time(random);
    let name = random.one(&["temperature", "requests_total"]);
    format!("{function}{name}{matchers}[{range}]{moment})")
}

/// A function over a range with what stands before the range.
fn over_time(random: &mut Random) -> &'static str {
    random.one(&[
        "avg_over_time(",
        "min_over_time(",
        "max_over_time(",
        "sum_over_time(",
        "count_over_time(",
        "stddev_over_time(",
        "stdvar_over_time(",
        "last_over_time(",
        "present_over_time(",
        "quantile_over_time(0.3, ",
        "delta(",
        "idelta(",
        "deriv(",
        "changes(",
        "absent_over_time(",
    ])
}

/// Within a subquery there is no other one: its steps would lie on the left end of the inner's.
fn subquery(random: &mut Random) -> String {
    let inner = match random.below(4) {
        0 => selector(random),
        1 => ranged(random),
        2 => format!("sum{} ({})", grouping(random), ranged(random)),
        _ => quantile(random),
    };
    let function = over_time(random);
    let range = random.one(&["2m", "10m", "30m"]);
    let step = random.one(&["10s", "30s", "1m", "100s"]);
    let moment = random.one(&["", "", " offset 2m"]);
    format!("{function}({inner})[{range}:{step}]{moment})")
}

fn grouping(random: &mut Random) -> &'static str {
    random.one(&[
        "",
        " by (shop)",
        " by (room)",
        " by (shop, room)",
        " without (room)",
        " without (shop, code)",
        " by (colour)",
    ])
}

fn aggregate(random: &mut Random, depth: i64) -> String {
    let operator = random.one(&[
        "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
    ]);
    let (grouping, inner) = (grouping(random), vector(random, depth));
    format!("{operator}{grouping} ({inner})")
}

/// Of values that are all different: which of the same are taken nobody defines.
fn with_parameter(random: &mut Random) -> String {
    let inner = random.one(&["temperature", "requests_total", "rate(requests_total"]);
    let (matchers, moment) = (matchers(random), moment(random));
    let inner = if inner.contains('(') {
        format!("{inner}{matchers}[{}]{moment})", range(random))
    } else {
        format!("{inner}{matchers}{moment}")
    };
    let grouping = grouping(random);
    let parameter = random.one(&["topk(2, ", "bottomk(3, ", "quantile(0.7, "]);
    let (operator, parameter) = parameter.split_once('(').unwrap();
    format!("{operator}{grouping} ({parameter}{inner})")
}

fn with_scalar(random: &mut Random, depth: i64) -> String {
    let inner = vector(random, depth);
    let operator = random.one(&["+", "-", "*", "/", "%", ">", "<= bool", "!=", "=="]);
    let scalar = random.one(&[
        "25.5",
        "-3",
        "0.1",
        "1e3",
        "scalar(sum(temperature))",
        "time() / 1e6",
    ]);
    if random.happens(50) {
        format!("({inner}) {operator} {scalar}")
    } else {
        format!("{scalar} {operator} ({inner})")
    }
}

/// Two vectors that are matched by labels by which they are unique.
fn matched(random: &mut Random, depth: i64) -> String {
    let operator = random.one(&["+", "-", "*", "/", "> bool", "<", "and", "or", "unless"]);
    let labels = random.one(&["shop", "room", "shop, room"]);
    let aggregation = random.one(&["sum", "max", "avg", "count"]);
    let (left, right) = (vector(random, depth), vector(random, depth));
    let right = format!("{aggregation} by ({labels}) ({right})");
    if matches!(operator, "and" | "unless") {
        return format!("({left}) {operator} on ({labels}) {right}");
    }
    let left = format!("min by ({labels}) ({left})");
    format!("{left} {operator} {right}")
}

fn function(random: &mut Random, depth: i64) -> String {
    let inner = vector(random, depth);
    let (before, after) = match random.below(12) {
        0 => ("abs(", ")"),
        1 => ("ceil(", ")"),
        2 => ("round(", ", 0.5)"),
        3 => ("clamp(", ", -2, 500)"),
        4 => ("sqrt(", ")"),
        5 => ("ln(", ")"),
        6 => ("timestamp(", ")"),
        7 => ("absent(", ")"),
        8 => ("sgn(", ")"),
        9 => ("-(", ")"),
        10 => ("minute(", ")"),
        _ => (
            "label_replace(",
            ", \"place\", \"$1-$2\", \"shop\", \"(.)(.*)\")",
        ),
    };
    format!("{before}{inner}{after}")
}

fn quantile(random: &mut Random) -> String {
    let share = random.one(&["0", "0.5", "0.9", "0.999", "1"]);
    let range = range(random);
    let grouping = random.one(&["le", "le, shop"]);
    format!(
        "histogram_quantile({share}, sum by ({grouping}) (rate(latency_seconds_bucket[{range}])))"
    )
}
