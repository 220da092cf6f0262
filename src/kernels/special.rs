pub(crate) fn erf(x: f64) -> f64 {
    libm::erf(x)
}
pub(crate) fn erfc(x: f64) -> f64 {
    libm::erfc(x)
}
pub(crate) fn lgamma(x: f64) -> f64 {
    libm::lgamma(x)
}
pub(crate) fn digamma(x: f64) -> f64 {
    x
}
pub(crate) fn polygamma(_n: u32, x: f64) -> f64 {
    x
}
