//! Lists beside tensors, of sizes that come from shapes and numbers: as with a tensor's buffer, that there is
//! no room for one is an error.
use super::{Element, Tensor};
use crate::error::Checked;

/// An empty list with room for n elements.
pub(crate) fn room<V>(n: usize) -> Checked<Vec<V>> {
    let mut list = Vec::new();
    list.try_reserve_exact(n).map_err(|_| lack::<V>(n as u128))?;
    Ok(list)
}

/// Room for n elements more, and, where the list must move, for as many as make up for that.
pub(crate) fn more<V>(list: &mut Vec<V>, n: usize) -> Checked<()> {
    list.try_reserve(n).map_err(|_| lack::<V>(list.len() as u128 + n as u128))
}

#[cold]
fn lack<V>(n: u128) -> String {
    format!("a list of {n} elements needs {} bytes, which can't be had", n * size_of::<V>() as u128)
}

/// n times the same.
pub(crate) fn filled<V: Clone>(n: usize, value: V) -> Checked<Vec<V>> {
    let mut list = room(n)?;
    list.resize(n, value);
    Ok(list)
}

/// A list of what comes, with room for n from the start.
pub(crate) fn listed<V>(n: usize, items: impl IntoIterator<Item = V>) -> Checked<Vec<V>> {
    let mut list = room(n)?;
    for item in items {
        more(&mut list, 1)?;
        list.push(item);
    }
    Ok(list)
}

impl<T: Element> Tensor<T> {
    /// The elements in row-major order, as [`to_vec`](Tensor::to_vec) gives them; or why there is no room for
    /// them.
    pub(crate) fn list(&self) -> Checked<Vec<T>> {
        let source = self.contiguous().made()?;
        let elements = source.as_slice().unwrap_or_default();
        let mut list = room(elements.len())?;
        list.extend_from_slice(elements);
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_had_is_told() {
        let told =
            "a list of 4611686018427387904 elements needs 36893488147419103232 bytes, which can't be had";
        assert_eq!(filled(1 << 62, 1.0f64).unwrap_err(), told);
        assert_eq!(listed(1 << 62, [1.0f64]).unwrap_err(), told);
        assert!(room::<u8>(usize::MAX).is_err());
        assert_eq!(listed(0, 0..200).unwrap(), Vec::from_iter(0..200));
        let view = Tensor::from([[1, 2], [3, 4]]).transpose(0, 1).unwrap();
        assert_eq!(view.list().unwrap(), [1, 3, 2, 4]);
    }
}
