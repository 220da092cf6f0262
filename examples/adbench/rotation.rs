//! Turning a point about an axis: Rodrigues' formula, for any kind of number.
use kolmo::Number;

#[inline(always)]
pub fn dot<R: Number>(a: [R; 3], b: [R; 3]) -> R {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline(always)]
fn cross<R: Number>(a: [R; 3], b: [R; 3]) -> [R; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The point `x` turned by the vector `r`: about its direction, by its length.
#[inline(always)]
pub fn rotate<R: Number>(r: [R; 3], x: [R; 3]) -> [R; 3] {
    let square = dot(r, r);
    if square.primal() == 0.0 { turned_little(r, x) } else { turned(r, square, x) }
}

/// The same where which of the two it is isn't known before it is run: both are computed, and one is chosen.
#[allow(dead_code)] // Not every program needs it.
pub fn rotate_either<R: Number>(r: [R; 3], x: [R; 3]) -> [R; 3] {
    let (square, one) = (dot(r, r), R::constant(1.0));
    let still = square.equal(R::constant(0.0));
    let (little, full) = (turned_little(r, x), turned(r, R::select(still, one, square), x));
    std::array::from_fn(|i| R::select(still, little[i], full[i]))
}

/// To first order, so that the derivative at 0 is right too.
#[inline(always)]
fn turned_little<R: Number>(r: [R; 3], x: [R; 3]) -> [R; 3] {
    let c = cross(r, x);
    [x[0] + c[0], x[1] + c[1], x[2] + c[2]]
}

/// Turned by a vector of this squared length, which isn't 0.
#[inline(always)]
fn turned<R: Number>(r: [R; 3], square: R, x: [R; 3]) -> [R; 3] {
    let angle = square.sqrt();
    let ((sin, cos), inverse) = (angle.sin_cos(), R::constant(1.0) / angle);
    // Place by place: functions of arrays, and closures, are calls where numbers are large.
    let axis = [r[0] * inverse, r[1] * inverse, r[2] * inverse];
    let (turned, along) = (cross(axis, x), dot(axis, x) * (R::constant(1.0) - cos));
    [
        x[0] * cos + turned[0] * sin + axis[0] * along,
        x[1] * cos + turned[1] * sin + axis[1] * along,
        x[2] * cos + turned[2] * sin + axis[2] * along,
    ]
}
