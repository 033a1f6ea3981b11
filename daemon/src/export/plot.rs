//! Two plots over a session's working time, as inline SVG: how full the context was, and what it cost so far.
//!
//! Pauses are drawn short, or an hour of lunch would press the work into a corner. Thinned to what can be seen, with no
//! highest or lowest point lost. The values stand in the table beside it; the plots are pictures with a name.

use super::clean::Clean;
use super::html::{Attr, Html};

/// Width of the drawing, in its own units.
const WIDTH: f64 = 1000.0;
/// Height of the drawing.
const HEIGHT: f64 = 100.0;
/// A pause is drawn no longer than this, in milliseconds.
const PAUSE: u64 = 120_000;
/// Points of a line at most, about.
const POINTS: usize = 800;

/// A model call: when it began, milliseconds; what it read; what all cost until then; whether it begins after a compaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Tokens in the main thread's context; none for a call beside it.
    pub context: Option<u64>,
    /// Micro-dollars so far.
    pub cost: i64,
    /// Whether it made a summary of what was before.
    pub compacts: bool,
}

/// Places on the axis, 0 to [`WIDTH`].
fn axis(points: &[Point]) -> Vec<f64> {
    let mut sum = 0u64;
    let mut places = Vec::with_capacity(points.len());
    for (i, point) in points.iter().enumerate() {
        if i > 0 {
            sum += point.at_ms.saturating_sub(points[i - 1].at_ms).clamp(1, PAUSE);
        }
        places.push(sum);
    }
    #[allow(clippy::cast_precision_loss)] // milliseconds of working time
    places.into_iter().map(|at| at as f64 / sum.max(1) as f64 * WIDTH).collect()
}

/// A line thinned: of the points that share a place, the first, the lowest, the highest and the last.
fn thinned(line: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if line.len() <= POINTS {
        return line.to_vec();
    }
    let mut out = Vec::new();
    for part in line.chunks(line.len().div_ceil(POINTS / 4)) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (part.iter().min_by(by_height), part.iter().max_by(by_height));
        let mut some: Vec<(f64, f64)> =
            [part.first(), low, high, part.last()].into_iter().flatten().copied().collect();
        some.sort_by(|a, b| a.0.total_cmp(&b.0));
        some.dedup();
        out.extend(some);
    }
    out
}

/// What a plot is about.
pub(super) struct About<'a> {
    /// Its name.
    pub title: &'a str,
    /// The words at the top and at the middle of its scale.
    pub scale: [&'a str; 2],
    /// What the top of its scale is.
    pub top: f64,
    /// The words at the two ends of its axis.
    pub ends: [&'a str; 2],
    /// The class that gives it its colour.
    pub class: &'static str,
}

/// Draws one value of the points, with a mark where the context was summarised.
pub(super) fn draw(
    w: &mut Html<'_>,
    about: &About<'_>,
    points: &[Point],
    of: impl Fn(&Point) -> Option<f64>,
) {
    let places = axis(points);
    let height = |value: f64| HEIGHT - (value / about.top.max(1.0)).clamp(0.0, 1.0) * HEIGHT;
    let line: Vec<(f64, f64)> =
        places.iter().zip(points).filter_map(|(x, point)| Some((*x, height(of(point)?)))).collect();
    let line = thinned(&line);
    let title = Clean::ours(about.title);
    w.el("figure", &[Attr::Class("plot", about.class)], |w| {
        w.el("figcaption", &[], |w| w.text(&title));
        w.el("div", &[Attr::Is("class", "scale"), Attr::Is("aria-hidden", "true")], |w| {
            about.scale.iter().for_each(|words| w.says("span", "", words));
            w.says("span", "", "0");
        });
        w.el(
            "svg",
            &[
                Attr::Is("viewBox", "0 0 1000 100"),
                Attr::Is("preserveAspectRatio", "none"),
                Attr::Is("role", "img"),
                Attr::Words("aria-label", &title),
            ],
            |w| {
                for y in [0.0, HEIGHT / 2.0, HEIGHT] {
                    segment(w, "grid", (0.0, y), (WIDTH, y));
                }
                for (x, point) in places.iter().zip(points) {
                    if point.compacts {
                        segment(w, "compacts", (*x, 0.0), (*x, HEIGHT));
                    }
                }
                let mut line = line;
                if let [only] = line.as_slice() {
                    line.push((WIDTH, only.1));
                }
                w.el("polyline", &[Attr::Is("class", "curve"), Attr::Points(&line)], |_| {});
            },
        );
        w.el("div", &[Attr::Is("class", "ends"), Attr::Is("aria-hidden", "true")], |w| {
            about.ends.iter().for_each(|words| w.says("span", "", words));
        });
    });
}

fn segment(w: &mut Html<'_>, class: &'static str, from: (f64, f64), to: (f64, f64)) {
    w.el("polyline", &[Attr::Is("class", class), Attr::Points(&[from, to])], |_| {});
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn thinning_keeps_the_extremes_and_the_ends(heights in prop::collection::vec(0u32..1000, 1..4000)) {
            let line: Vec<(f64, f64)> = heights.iter().enumerate().map(|(i, h)| (f64::from(u32::try_from(i).unwrap()), f64::from(*h))).collect();
            let thin = thinned(&line);
            prop_assert!(thin.len() <= POINTS + 8);
            let extremes = |line: &[(f64, f64)]| {
                let ys = || line.iter().map(|p| p.1);
                (ys().fold(f64::MAX, f64::min), ys().fold(f64::MIN, f64::max), line[0], line[line.len() - 1])
            };
            prop_assert_eq!(extremes(&line), extremes(&thin));
            prop_assert!(thin.windows(2).all(|p| p[0].0 <= p[1].0));
        }

        #[test]
        fn places_go_on(gaps in prop::collection::vec(0u64..10_000_000, 1..50)) {
            let mut at_ms = 0;
            let points: Vec<Point> = gaps.iter().map(|gap| { at_ms += gap; Point { at_ms, ..Point::default() } }).collect();
            let places = axis(&points);
            prop_assert!(places.windows(2).all(|p| p[0] < p[1]) && places.iter().all(|x| (0.0..=WIDTH).contains(x)));
        }
    }
}
