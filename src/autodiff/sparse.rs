//! Jacobians and Hessians that are mostly zeros: of scalars row by row, each a sweep over its own part of the
//! tape; of tensors by a pattern and a colouring, so that one sweep gives many rows or columns (Curtis,
//! Powell and Reid, 1974).
use crate::{
    error::{Error, Result},
    ops::Float,
    real::Arithmetic,
    tape::{Scalar, StatementId, Tape, TapeNumber, Var},
    tensor::{Tensor, room::filled},
};

/// A matrix that keeps its nonzero elements only, row by row (CSR).
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse<T> {
    columns: usize,
    starts: Vec<usize>,
    places: Vec<u32>,
    values: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Sparse { columns: 0, starts: vec![0], places: Vec::new(), values: Vec::new() }
    }
}

impl<T: Copy> Sparse<T> {
    /// No rows, in the memory that is there.
    fn clear(&mut self, columns: usize) {
        self.columns = columns;
        self.starts.clear();
        self.starts.push(0);
        self.places.clear();
        self.values.clear();
    }

    fn end_row(&mut self) {
        self.starts.push(self.places.len());
    }

    /// Numbers of rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.starts.len() - 1, self.columns]
    }

    /// Number of elements that are kept.
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Columns, in ascending order, and values of a row; nothing if there is no such row.
    pub fn row(&self, i: usize) -> impl Iterator<Item = (usize, T)> {
        let ends = self.starts.get(i..i.saturating_add(2)).unwrap_or_default();
        let range = if let &[start, end] = ends { start..end } else { 0..0 };
        self.places[range.clone()].iter().zip(&self.values[range]).map(|(&j, &v)| (j as usize, v))
    }

    /// Where each row starts among columns and values, with the end of the last row; the columns; the values.
    pub fn as_csr(&self) -> (&[usize], &[u32], &[T]) {
        (&self.starts, &self.places, &self.values)
    }
}

impl<T: Float> Sparse<T> {
    /// The whole matrix.
    pub fn to_tensor(&self) -> Tensor<T> {
        Tensor::build(self.shape().into(), |dense| {
            dense.fill(T::constant(0.0));
            for i in 0..self.shape()[0] {
                self.row(i).for_each(|(j, v)| dense[i * self.columns + j] = v);
            }
        })
    }
}

/// # Sparse Jacobians of scalars
impl<T: TapeNumber> Tape<T> {
    /// The Jacobian of scalars by scalars of this tape. Each row is a sweep over what lies between a result
    /// and the arguments it depends on, so rows that depend on little cost little: short blocks recorded
    /// one after the other, or made short by [`preaccumulate`](Tape::preaccumulate) or
    /// [`Scalar::forward`].
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let x = tape.scalars(&[1.0, 2.0, 3.0]);
    /// let y = [x[0] * x[1], x[2] * x[2]];
    /// let jacobian = tape.sparse_jacobian(&y, &x)?;
    /// assert_eq!(jacobian.row(0).collect::<Vec<_>>(), [(0, 2.0), (1, 1.0)]);
    /// assert_eq!(jacobian.row(1).collect::<Vec<_>>(), [(2, 6.0)]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// A scalar of another tape; an argument twice or constant; a tensor operation between arguments and
    /// results.
    pub fn sparse_jacobian(&self, ys: &[Scalar<'_, T>], xs: &[Scalar<'_, T>]) -> Result<Sparse<T>> {
        let mut jacobian = Sparse::default();
        self.sparse_jacobian_into(ys, xs, &mut jacobian)?;
        Ok(jacobian)
    }

    /// The same into a matrix whose memory is used again.
    ///
    /// # Errors
    /// As [`sparse_jacobian`](Tape::sparse_jacobian); the matrix is empty then.
    pub fn sparse_jacobian_into(
        &self,
        ys: &[Scalar<'_, T>],
        xs: &[Scalar<'_, T>],
        jacobian: &mut Sparse<T>,
    ) -> Result<()> {
        let wrong = |message: String| Error::op("sparse_jacobian", message, None);
        jacobian.clear(0);
        if let Some(failure) = self.recorded_failure() {
            return Err(failure);
        }
        let foreign = |s: &Scalar<'_, T>| s.tape().is_some_and(|t| !std::ptr::eq(t, self));
        if ys.iter().chain(xs).any(foreign) {
            return Err(wrong("two tapes: a scalar was recorded on another tape".into()));
        }
        let mut local = self.stash.local.take();
        let mut columns = std::mem::take(&mut local.columns);
        columns.clear();
        columns.resize(self.statements.adjoints(), u32::MAX);
        let arguments =
            xs.iter().enumerate().try_for_each(|(j, x)| match columns.get_mut(x.statement_id().place()) {
                Some(place) if x.statement_id() != StatementId::CONSTANT && *place == u32::MAX => {
                    *place = j as u32;
                    Ok(())
                }
                Some(place) if x.statement_id() != StatementId::CONSTANT => {
                    Err(wrong(format!("arguments {place} and {j} are one scalar")))
                }
                _ => Err(wrong(format!("argument {j} is a constant"))),
            });
        let rows = arguments.and_then(|()| {
            jacobian.clear(xs.len());
            let give = |row: &[(u32, T)]| {
                jacobian.places.extend(row.iter().map(|&(j, _)| j));
                jacobian.values.extend(row.iter().map(|&(_, v)| v));
                jacobian.end_row();
            };
            match self.statements.rows(&mut local, ys.iter().map(|y| y.statement_id()), &columns, give) {
                true => Ok(()),
                false => Err(wrong(
                    "a tensor operation lies between arguments and results; use the function of that name, with a pattern"
                        .into(),
                )),
            }
        });
        local.columns = columns;
        self.stash.local.replace(local);
        if rows.is_err() {
            jacobian.clear(0);
        }
        rows
    }
}

/// Which elements of a matrix can be other than zero.
///
/// ```
/// use kolmo::autodiff::SparsityPattern;
/// // Two diagonals.
/// let pattern = SparsityPattern::new(3, [vec![0, 1], vec![1, 2], vec![2]])?;
/// assert_eq!((pattern.shape(), pattern.nnz(), pattern.num_colors()), ([3, 3], 5, 2));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparsityPattern {
    columns: usize,
    rows: Vec<Vec<u32>>,
    /// A colour for each row: no two rows of one colour have a column in common.
    row_colours: Vec<u32>,
    /// The same for columns.
    column_colours: Vec<u32>,
}

impl SparsityPattern {
    /// The columns of each row.
    ///
    /// # Errors
    /// A column outside the matrix; 2³² columns or more.
    pub fn new(columns: usize, rows: impl IntoIterator<Item = Vec<usize>>) -> Result<SparsityPattern> {
        if u32::try_from(columns).is_err() {
            return Err(Error::invalid(
                "SparsityPattern",
                format!("{columns} columns are more than 2³² - 1"),
            ));
        }
        let mut kept: Vec<Vec<u32>> = Vec::new();
        for (i, mut row) in rows.into_iter().enumerate() {
            row.sort_unstable();
            row.dedup();
            if let Some(j) = row.last().filter(|&&j| j >= columns) {
                let message = format!("row {i} has an element in column {j}; there are {columns} columns");
                return Err(Error::invalid("SparsityPattern", message));
            }
            kept.push(row.into_iter().map(|j| j as u32).collect());
        }
        let invalid = |message| Error::invalid("SparsityPattern", message);
        let mut transposed = filled(columns, Vec::new()).map_err(invalid)?;
        for (i, row) in kept.iter().enumerate() {
            row.iter().for_each(|&j| transposed[j as usize].push(i as u32));
        }
        let (row_colours, column_colours) = (colours(&kept, &transposed), colours(&transposed, &kept));
        Ok(SparsityPattern { columns, rows: kept, row_colours, column_colours })
    }

    /// The elements of a matrix that aren't zero: found once, as by [`jacobian`](crate::autodiff::jacobian) at a
    /// point where no derivative vanishes by chance, a pattern serves for all other points.
    ///
    /// # Errors
    /// The tensor is no matrix.
    pub fn from_tensor<T: Float>(matrix: &Tensor<T>) -> Result<SparsityPattern> {
        let &[_, columns] = &matrix.shape()[..] else {
            return Err(Error::invalid("SparsityPattern", format!("shape {} is no matrix", matrix.shape())));
        };
        let values = matrix.to_vec();
        let row = |v: &[T]| (0..v.len()).filter(|&j| v[j].to_f64() != 0.0).collect();
        SparsityPattern::new(columns, values.chunks(columns.max(1)).map(row))
    }

    /// Numbers of rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows.len(), self.columns]
    }

    /// Number of elements that can be other than zero.
    pub fn nnz(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }

    /// How many sweeps a Jacobian of this pattern takes: the colours of its rows or of its columns, whichever
    /// are fewer.
    pub fn num_colors(&self) -> usize {
        count(&self.row_colours).min(count(&self.column_colours))
    }

    /// Puts the products of the matrix with the sum of each colour's rows or columns in their places.
    fn gather<T: Arithmetic>(&self, products: &[Vec<T>], by_rows: bool) -> Sparse<T> {
        let mut matrix = Sparse { columns: self.columns, ..Sparse::default() };
        for (i, row) in self.rows.iter().enumerate() {
            for &j in row {
                let (colour, at) = match by_rows {
                    true => (self.row_colours[i], j as usize),
                    false => (self.column_colours[j as usize], i),
                };
                matrix.places.push(j);
                matrix.values.push(products[colour as usize][at]);
            }
            matrix.end_row();
        }
        matrix
    }
}

fn count(colours: &[u32]) -> usize {
    colours.iter().max().map_or(0, |&c| c as usize + 1)
}

/// Greedy colouring, those with most elements first.
fn colours(lines: &[Vec<u32>], across: &[Vec<u32>]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(lines[i].len()));
    let mut colours = vec![u32::MAX; lines.len()];
    // The line for which a colour was last found to be taken.
    let mut taken: Vec<usize> = Vec::new();
    for i in order {
        for &other in lines[i].iter().flat_map(|&j| &across[j as usize]) {
            if let Some(place) = taken.get_mut(colours[other as usize] as usize) {
                *place = i;
            }
        }
        let free = taken.iter().position(|&line| line != i).unwrap_or(taken.len());
        if free == taken.len() {
            taken.push(usize::MAX);
        }
        colours[i] = free as u32;
    }
    colours
}

/// The Jacobian of `f` at `x`, of which only the elements of the pattern can be other than zero: one sweep
/// per colour. Rows are the elements of the result and columns those of `x`, in row-major order. Elements
/// that are missing in the pattern make others wrong.
///
/// ```
/// use kolmo::{Tensor, autodiff::{SparsityPattern, sparse_jacobian}};
/// let x = Tensor::<f64>::from([1.0, 2.0, 3.0, 4.0]);
/// // Differences of neighbours: two elements in each row, two sweeps for any number of rows.
/// let pattern = SparsityPattern::new(4, (0..3).map(|i| vec![i, i + 1]))?;
/// let jacobian = sparse_jacobian(|x| x.narrow(0, 1, 3).square() - x.narrow(0, 0, 3), &x, &pattern)?;
/// assert_eq!(jacobian.row(1).collect::<Vec<_>>(), [(1, -1.0), (2, 6.0)]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `f` fails, or the pattern has another shape than the Jacobian.
pub fn sparse_jacobian<T: Float>(
    f: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>,
    x: &Tensor<T>,
    pattern: &SparsityPattern,
) -> Result<Sparse<T>> {
    let tape = Tape::new();
    let x = tape.input(x);
    let y = f(&x);
    fits("sparse_jacobian", pattern, [y.value()?.numel(), x.numel()])?;
    if count(&pattern.row_colours) <= count(&pattern.column_colours) {
        return by_rows(&y, &x, pattern);
    }
    let u = tape.input(Tensor::zeros(y.shape()));
    let back = y.vjp(&u, &[&x])?.remove(0);
    Ok(pattern.gather(&sweeps(&back, &u, &pattern.column_colours)?, false))
}

/// The Hessian of `f` at `x`, which gives a single element, of which only the elements of the (symmetric)
/// pattern can be other than zero: one Hessian-vector product per colour.
///
/// # Errors
/// As [`sparse_jacobian`].
pub fn sparse_hessian<T: Float>(
    f: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>,
    x: &Tensor<T>,
    pattern: &SparsityPattern,
) -> Result<Sparse<T>> {
    let tape = Tape::new();
    let x = tape.input(x);
    fits("sparse_hessian", pattern, [x.numel(); 2])?;
    let g = f(&x).grad(&[&x])?.remove(0);
    by_rows(&g, &x, pattern)
}

fn fits(what: &'static str, pattern: &SparsityPattern, shape: [usize; 2]) -> Result<()> {
    if pattern.shape() == shape {
        return Ok(());
    }
    let message = format!("the pattern has shape {:?}, the matrix {shape:?}", pattern.shape());
    Err(Error::invalid(what, message))
}

fn by_rows<T: Float>(y: &Var<'_, T>, x: &Var<'_, T>, pattern: &SparsityPattern) -> Result<Sparse<T>> {
    Ok(pattern.gather(&sweeps(y, x, &pattern.row_colours)?, true))
}

/// For each colour the gradient of the sum of the elements of `y` that have it.
fn sweeps<T: Float>(y: &Var<'_, T>, x: &Var<'_, T>, colours: &[u32]) -> Result<Vec<Vec<T>>> {
    let sweep = |colour: usize| {
        let chosen = |i: usize| T::constant((colours[i] as usize == colour) as u8 as f64);
        let seed = y.tape().constant(Tensor::from_fn(y.shape(), chosen));
        Ok(y.tape().vjp(&[y], &[&seed], &[x], false, None)?.remove(0).value()?.to_vec())
    };
    (0..count(colours)).map(sweep).collect()
}
