//! Convolution, pooling, resizing.
use crate::{check_all, numbers};
use kolmo::{ConvOptions, Interpolation, Padding, PoolOptions, Resize};

#[test]
fn convolutions() {
    check_all(&[
        (
            "conv1d",
            |x| x[0].conv1d(&x[1], Some(&x[2]), &ConvOptions::new().stride(2).padding(1)),
            vec![numbers([2, 2, 6]), numbers([3, 2, 3]), numbers([3])],
        ),
        (
            "conv2d with groups, dilation and padding",
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding([1, 2]).dilation([2, 1]).groups(2)),
            vec![numbers([1, 2, 5, 4]), numbers([4, 1, 2, 2])],
        ),
        (
            "conv2d that keeps the size",
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(Padding::Same)).tanh(),
            vec![numbers([2, 3, 4]), numbers([2, 2, 2, 3])],
        ),
        (
            "conv2d of points",
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new()),
            vec![numbers([2, 3, 2, 2]), numbers([2, 3, 1, 1])],
        ),
        (
            "conv3d",
            |x| x[0].conv3d(&x[1], None, &ConvOptions::new()),
            vec![numbers([1, 1, 3, 3, 2]), numbers([2, 1, 2, 2, 1])],
        ),
        (
            "conv_transpose2d",
            |x| {
                let options = ConvOptions::new().stride(2).padding(1).output_padding([1, 0]);
                x[0].conv_transpose2d(&x[1], Some(&x[2]), &options)
            },
            vec![numbers([1, 2, 2, 3]), numbers([2, 2, 3, 3]), numbers([2])],
        ),
    ]);
}

#[test]
fn pools_and_sizes() {
    check_all(&[
        (
            "max_pool2d",
            |x| x[0].max_pool2d(&PoolOptions::new([2, 3]).stride(1).padding([1, 1])).square(),
            vec![numbers([1, 2, 3, 4])],
        ),
        (
            "avg_pool2d",
            |x| x[0].avg_pool2d(&PoolOptions::new(2).stride(1).padding(1).count_include_pad(false)).square(),
            vec![numbers([1, 2, 3, 4])],
        ),
        ("adaptive_avg_pool1d", |x| x[0].adaptive_avg_pool1d(&[Some(3)]).square(), vec![numbers([2, 2, 5])]),
        (
            "adaptive_max_pool2d",
            |x| x[0].adaptive_max_pool2d(&[Some(2)]).0.square(),
            vec![numbers([2, 3, 5])],
        ),
        (
            "interpolate",
            |x| {
                x[0].interpolate(&Resize::Size(5.into()), Interpolation::Linear { align_corners: false })
                    .square()
            },
            vec![numbers([1, 2, 3, 4])],
        ),
        ("pixel_shuffle", |x| x[0].pixel_shuffle(2).square(), vec![numbers([1, 4, 2, 3])]),
        ("im2col", |x| x[0].im2col(2, 1, 1, 2).square(), vec![numbers([1, 2, 3, 3])]),
    ]);
}
