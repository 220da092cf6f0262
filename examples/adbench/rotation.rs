//! Turning a point about an axis: Rodrigues' formula, for any kind of number.
use kolmo::Number;

#[inline(always)]
pub fn dot<R: Number>(a: [R; 3], b: [R; 3]) -> R {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The point `x` turned by the vector `r`: about its direction, by its length.
#[inline(always)]
pub fn rotate<R: Number>(r: [R; 3], x: [R; 3]) -> [R; 3] {
    let cross = |a: [R; 3], b: [R; 3]| {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    };
    let square = dot(r, r);
    if square.primal() == 0.0 {
        // To first order, so that the derivative at 0 is right too.
        let c = cross(r, x);
        return std::array::from_fn(|i| x[i] + c[i]);
    }
    let angle = square.sqrt();
    let ((sin, cos), inverse) = (angle.sin_cos(), R::constant(1.0) / angle);
    let axis = r.map(|v| v * inverse);
    let (turned, along) = (cross(axis, x), dot(axis, x) * (R::constant(1.0) - cos));
    std::array::from_fn(|i| x[i] * cos + turned[i] * sin + axis[i] * along)
}
