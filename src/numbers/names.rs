//! What numbers that are not finite are called in a text.

pub(super) const NAMES: [(&str, f64); 3] =
    [("NaN", f64::NAN), ("inf", f64::INFINITY), ("-inf", f64::NEG_INFINITY)];
