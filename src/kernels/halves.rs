//! Floats as numbers of bfloat16: half of the memory, for what is only read again much later.
use super::{FloatElement, vectorised::vectorised};
use crate::{
    error::Checked,
    real::half::{bf16_bits_to_f32, f32_to_bf16_bits},
    tensor::{Form, Tensor},
    threads::for_chunks,
};
use std::sync::Arc;

/// The numbers' bits, in row-major order.
struct Halves(Tensor<u16>);

impl<T: FloatElement> Form<T> for Halves {
    fn len(&self) -> usize {
        self.0.numel()
    }

    fn write(&self, out: &mut [T]) -> Checked<()> {
        let bits = self.0.as_slice().unwrap_or_default();
        for_chunks(out, 1 << 15, |start, out| widened(&bits[start..start + out.len()], out));
        Ok(())
    }

    fn bytes(&self) -> usize {
        2 * self.0.numel()
    }
}

impl<T: FloatElement> Tensor<T> {
    /// The same elements, rounded to bfloat16 and held so; the tensor itself where there is no room for that,
    /// or if it is held in another form already.
    pub(crate) fn in_halves(&self) -> Tensor<T> {
        if self.source().is_some() || self.numel() == 0 {
            return self.clone();
        }
        let source = self.contiguous();
        let data = source.as_slice().unwrap_or_default();
        let bits = Tensor::<u16>::build([data.len()].into(), |out| {
            for_chunks(out, 1 << 15, |start, out| rounded(&data[start..start + out.len()], out));
        });
        if bits.lack().is_some() {
            return self.clone();
        }
        Tensor::from_form(self.shape().clone(), Arc::new(Halves(bits)))
    }

    /// Whether the elements are held in halves.
    pub(crate) fn is_in_halves(&self) -> bool {
        self.source().is_some_and(|source| source.form().is::<Halves>())
    }
}

vectorised! {
    fn widened(bits: &[u16], out: &mut [T]) {
        for (out, &bits) in out.iter_mut().zip(bits) {
            *out = T::from_f32(bf16_bits_to_f32(bits));
        }
    }
}

vectorised! {
    fn rounded(data: &[T], out: &mut [u16]) {
        for (out, v) in out.iter_mut().zip(data) {
            *out = f32_to_bf16_bits(v.to_f64() as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_all_but_the_upper_half() {
        let values: Vec<f32> = (0..70_000).map(|i| (i as f32 * 0.37 - 9000.0) * 1.7e-3).collect();
        let some = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0, f32::MAX, 1e-40];
        let x = Tensor::from([&values[..], &some].concat());
        let halved = x.in_halves();
        assert!(halved.is_in_halves() && !x.is_in_halves());
        assert_eq!(halved.source().unwrap().bytes(), 2 * x.numel());
        for (a, b) in x.to_vec().iter().zip(halved.to_vec()) {
            assert_eq!(b.to_bits(), bf16_bits_to_f32(f32_to_bf16_bits(*a)).to_bits(), "{a}");
        }
        // A view of it is held as a tensor of its own.
        let turned = x.narrow(0, 0, 60).unwrap().reshape([6, 10]).unwrap().transpose(0, 1).unwrap();
        assert_eq!(turned.in_halves().shape()[..], [10, 6]);
        assert_eq!(turned.in_halves().to_vec()[1], bf16_bits_to_f32(f32_to_bf16_bits(values[10])));
    }
}
