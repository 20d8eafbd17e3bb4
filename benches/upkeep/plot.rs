//! A plot of files and debt over time, as SVG.

use std::fmt::Write;

use crate::job::Sample;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 70.0;
const GAP: f64 = 60.0;

/// Three panels: live files with what is promised of them, files without compaction, and the debt in bytes.
pub(crate) fn svg(samples: &[Sample]) -> String {
    let files_in = |sample: &Sample| sample.number("live_files") + sample.number("files_before") - sample.number("files_after");
    let number = |key: &'static str| move |sample: &Sample| sample.number(key) as f64;
    let allowed = |sample: &Sample| (3 * sample.number("ideal_files") + sample.number("pending_files")) as f64;
    let panels: [(&str, Vec<Series<'_>>); 3] = [
        (
            "live files",
            vec![
                ("3 x ideal + uncompacted", "#c9a227", values(samples, allowed)),
                ("live", "#1f5fa8", values(samples, number("live_files"))),
                ("ideal", "#4a9b5b", values(samples, number("ideal_files"))),
            ],
        ),
        ("files committed so far", vec![("without compaction", "#a83232", values(samples, |sample| files_in(sample) as f64))]),
        ("MB in files to be rewritten", vec![("debt", "#1f5fa8", values(samples, |sample| sample.number("debt_bytes") as f64 / 1e6))]),
    ];
    let end = samples.last().map_or(1.0, |sample| sample.at.as_secs_f64()).max(1.0);
    let all = (HEIGHT + GAP) * panels.len() as f64 + 20.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {all}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" \
         height=\"100%\" fill=\"white\"/>\n",
        WIDTH + LEFT + 20.0
    );
    for (index, (title, series)) in panels.iter().enumerate() {
        panel(&mut text, title, series, end, 30.0 + (HEIGHT + GAP) * index as f64);
    }
    text.push_str("</svg>\n");
    text
}

/// Name, colour, and seconds with values.
type Series<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

fn values(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    samples.iter().map(|sample| (sample.at.as_secs_f64(), value(sample))).collect()
}

fn panel(text: &mut String, title: &str, series: &[Series<'_>], end: f64, top: f64) {
    let highest = series.iter().flat_map(|(_, _, points)| points).map(|(_, value)| *value).fold(1.0, f64::max);
    let place = |(at, value): &(f64, f64)| (LEFT + at / end * WIDTH, top + HEIGHT - value / highest * HEIGHT);
    // Writing to a string cannot fail.
    let mut put = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).unwrap_or_default();
    put(format_args!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>\n", top - 10.0));
    for step in 0..=4 {
        let value = highest * f64::from(step) / 4.0;
        let (_, y) = place(&(0.0, value));
        put(format_args!("<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>", LEFT + WIDTH));
        put(format_args!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>\n", LEFT - 6.0, y + 4.0));
    }
    for minute in (0..=(end / 60.0) as u32).step_by(((end / 600.0).ceil() as usize).max(1)) {
        let (x, _) = place(&(f64::from(minute) * 60.0, 0.0));
        put(format_args!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{minute} min</text>\n", top + HEIGHT + 16.0));
    }
    for (index, (name, colour, points)) in series.iter().enumerate() {
        let line: Vec<String> = points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        put(format_args!("<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\" points=\"{}\"/>\n", line.join(" ")));
        let x = LEFT + 180.0 + 190.0 * index as f64;
        put(format_args!("<text x=\"{x}\" y=\"{}\" fill=\"{colour}\">{name}</text>\n", top - 10.0));
    }
}
