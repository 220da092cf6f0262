//! Products of matrices, factorisations, diagonals: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Outs, Stop, one, unknown};
use kolmo::{
    Float, Var,
    ops::{MatrixNorm, SolveTriangularOptions},
};

/// The last two axes exchanged.
fn turned<'t, T: Float>(x: &Var<'t, T>) -> Var<'t, T> {
    x.transpose(-2, -1)
}

/// `beta · x + alpha · product`; with `beta` 0, what is in x doesn't matter.
fn plus<'t, T: Float>(x: &Var<'t, T>, product: Var<'t, T>, beta: f64, alpha: f64) -> Var<'t, T> {
    let product = product * alpha;
    let shape: Vec<isize> = product.shape().iter().map(|&size| size as isize).collect();
    if beta == 0.0 { product } else { x.expand(shape) * beta + product }
}

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let (x, y, z) = (|| c.var(0, "input"), || c.var(1, "other"), || c.var(2, "other"));
    let scale = || -> Result<(f64, f64), Stop> { Ok((c.num(3, "beta", 1.0)?, c.num(4, "alpha", 1.0)?)) };
    let diagonal = || -> Result<[isize; 2], Stop> { Ok([c.int(2, "dim1", 0)?, c.int(3, "dim2", 1)?]) };
    match c.op.as_str() {
        "matmul" => one(x()?.matmul(&y()?)),
        "mm" | "mv" => one(x()?.matmul(&y()?)),
        "bmm" => one(x()?.bmm(&y()?)),
        "dot" => one(x()?.dot(&y()?)),
        "outer" => one(x()?.outer(&y()?)),
        "inner" => {
            let (x, y) = (x()?, y()?);
            one(if x.rank() == 0 || y.rank() == 0 { x * y } else { x.tensordot(&y, -1, -1) })
        }
        "kron" => one(x()?.kron(&y()?)),
        "einsum" => {
            // PyTorch's database has the operands first, its documentation the equation.
            let (operands, equation) = match c.args.first() {
                Some(Arg::Text(_)) => (1, 0),
                _ => (0, 1),
            };
            let tensors = c.vars(operands, "operands")?;
            one(c.tape.einsum(&c.text(equation, "equation", "")?, &tensors.iter().collect::<Vec<_>>()))
        }
        "addmm" | "addmv" | "addbmm" | "baddbmm" | "addr" => {
            let (x, y, z, (beta, alpha)) = (c.operand(0, "input")?, y()?, z()?, scale()?);
            one(match c.op.as_str() {
                "addmm" => x.addmm(&y, &z, beta, alpha),
                "addmv" => plus(&x, y.matmul(&z), beta, alpha),
                "addbmm" => plus(&x, y.bmm(&z).sum_dim(0, false), beta, alpha),
                "baddbmm" => x.baddbmm(&y, &z, beta, alpha),
                _ => plus(&x, y.outer(&z), beta, alpha),
            })
        }
        "tensordot" => {
            let (x, y) = (x()?, y()?);
            match c.get(2, "dims") {
                Some(Arg::List(_)) => {
                    let lists = c.list(2, "dims")?;
                    let list = |i: usize| -> Result<Vec<isize>, Stop> {
                        let whole = |a: &Arg<'t, T>| a.number().map(|v| v as isize);
                        match lists.get(i) {
                            Some(Arg::List(items)) => Ok(items.iter().filter_map(whole).collect()),
                            _ => Err(Stop::Unrepresentable("dims are two lists".into())),
                        }
                    };
                    one(x.tensordot(&y, &list(0)?, &list(1)?))
                }
                _ => {
                    let n = c.int(2, "dims", 2)?;
                    one(x.tensordot(&y, &(-n..0).collect::<Vec<_>>(), &(0..n).collect::<Vec<_>>()))
                }
            }
        }
        "trace" => one(x()?.trace()),
        "tril" => one(x()?.tril(c.int(1, "diagonal", 0)?)),
        "triu" => one(x()?.triu(c.int(1, "diagonal", 0)?)),
        "diag" => one(x()?.diag(c.int(1, "diagonal", 0)?)),
        "diagonal" => {
            let [dim1, dim2] = diagonal()?;
            one(x()?.diagonal(c.int(1, "offset", 0)?, dim1, dim2))
        }
        "diag_embed" => {
            let (dim1, dim2) = (c.int(2, "dim1", -2)?, c.int(3, "dim2", -1)?);
            one(x()?.diag_embed(c.int(1, "offset", 0)?, dim1, dim2))
        }
        "cross" => one(x()?.cross(&y()?, c.int_opt(2, "dim")?)),
        "linalg.cross" => one(x()?.cross(&y()?, c.int(2, "dim", -1)?)),
        "linalg.det" | "det" => one(x()?.det()),
        "linalg.slogdet" | "slogdet" => {
            let (sign, log) = x()?.slogdet();
            Ok(vec![sign.into(), log.into()])
        }
        "linalg.inv" | "inverse" => one(x()?.inv()),
        "linalg.solve" if c.flag(2, "left", true)? => one(x()?.solve(&y()?)),
        // X A = B, transposed.
        "linalg.solve" => one(turned(&turned(&x()?).solve(&turned(&y()?)))),
        "linalg.solve_triangular" => {
            let (upper, left) = (c.flag(2, "upper", false)?, c.flag(3, "left", true)?);
            let unit = c.flag(4, "unitriangular", false)?;
            let options = SolveTriangularOptions::new().upper(upper == left).unitriangular(unit);
            one(match left {
                true => x()?.solve_triangular(&y()?, options),
                false => turned(&turned(&x()?).solve_triangular(&turned(&y()?), options)),
            })
        }
        "linalg.cholesky" | "cholesky" => one(x()?.cholesky(c.flag(1, "upper", false)?)),
        "linalg.svdvals" => one(x()?.svdvals()),
        "linalg.vector_norm" => {
            let dims = c.dims(2, "dim")?.unwrap_or_default();
            one(x()?.norm_dim(c.num(1, "ord", 2.0)?, &dims, c.flag(3, "keepdim", false)?))
        }
        "linalg.matrix_norm" => {
            let dims = c.dims(2, "dim")?.unwrap_or(vec![-2, -1]);
            matrix_norm(c, &x()?, &dims, c.flag(3, "keepdim", false)?)
        }
        "linalg.norm" => {
            let (x, keepdim) = (x()?, c.flag(3, "keepdim", false)?);
            match (c.get(1, "ord"), c.dims(2, "dim")?) {
                (None, dims) => one(x.norm_dim(2.0, &dims.unwrap_or_default(), keepdim)),
                (Some(_), Some(dims)) if dims.len() == 2 => matrix_norm(c, &x, &dims, keepdim),
                (Some(_), None) if x.rank() == 2 => matrix_norm(c, &x, &[0, 1], keepdim),
                (Some(_), dims) => one(x.norm_dim(c.num(1, "ord", 2.0)?, &dims.unwrap_or_default(), keepdim)),
            }
        }
        "nn.functional.linear" => one(x()?.linear(&y()?, c.var_opt(2, "bias")?.as_ref())),
        "nn.functional.bilinear" => one(x()?.bilinear(&y()?, &z()?, c.var_opt(3, "bias")?.as_ref())),
        _ => unknown(),
    }
}

fn matrix_norm<'t, T: Float>(c: &Call<'t, T>, x: &Var<'t, T>, dims: &[isize], keepdim: bool) -> Outs<'t, T> {
    let norm = match c.get(1, "ord") {
        None => MatrixNorm::Fro,
        Some(Arg::Text(name)) if name == "fro" => MatrixNorm::Fro,
        Some(Arg::Text(name)) if name == "nuc" => MatrixNorm::Nuc,
        _ => MatrixNorm::Ord(c.num(1, "ord", None)?),
    };
    match *dims {
        [a, b] => one(x.matrix_norm(norm, [a, b], keepdim)),
        _ => Err(Stop::Unrepresentable("a matrix has two axes".into())),
    }
}
