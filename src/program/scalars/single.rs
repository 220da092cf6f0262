//! Blocks of one operation in a single run, as in a long chain: plain numbers, without loops around them. The steps
//! are those of the loops, and so are the bits.
use super::{
    blocks::{Block, Blocks},
    graph::Kind,
};
use crate::{
    kernels::map::NumberExpr,
    ops::{
        binary::{self, Choose, Dropped, Kept},
        list::Binary,
        unary,
    },
};

/// The value.
#[inline]
pub(super) fn value(program: &Blocks, block: &Block, values: &[f64]) -> f64 {
    let args = program.args(block);
    let at = |i: usize| values[program.only(args[i])];
    match program.kind(block) {
        Kind::Unary(f) => NumberExpr::eval(f, [at(0)]),
        Kind::Binary(Binary::Add) => at(0) + at(1),
        Kind::Binary(Binary::Sub) => at(0) - at(1),
        Kind::Binary(Binary::Mul) => at(0) * at(1),
        Kind::Binary(f) => NumberExpr::eval(f, [at(0), at(1)]),
        Kind::Test(f) => NumberExpr::eval(f, [at(0), at(1)]),
        Kind::Choose => NumberExpr::eval(&Choose, [at(0), at(1), at(2)]),
        Kind::Sum => (1..args.len()).fold(at(0), |sum, i| sum + at(i)),
        Kind::Dot => {
            let half = args.len() / 2;
            (1..half).fold(at(0) * at(half), |sum, i| sum + at(i) * at(half + i))
        }
        Kind::Fixed | Kind::Input | Kind::Constant => at(0),
    }
}

/// What flows back to the arguments; the adjoint is 0 afterwards.
#[inline]
pub(super) fn back(program: &Blocks, block: &Block, values: &[f64], adjoints: &mut [f64]) {
    let g = std::mem::replace(&mut adjoints[block.first()], 0.0);
    if g == 0.0 {
        return;
    }
    let (args, y) = (program.args(block), values[block.first()]);
    let at = |i: usize| values[program.only(args[i])];
    for (i, &wanted) in program.wanted(block).iter().enumerate() {
        if !wanted {
            continue;
        }
        let half = args.len() / 2;
        let slope = match program.kind(block) {
            Kind::Binary(Binary::Add) | Kind::Sum => g,
            Kind::Binary(Binary::Sub) => [g, -g][i],
            Kind::Binary(Binary::Mul) | Kind::Dot => g * at(if i < half { i + half } else { i - half }),
            Kind::Unary(f) => NumberExpr::eval(&unary::Slope(*f), [at(0), y, g]),
            Kind::Binary(f) if i == 0 => NumberExpr::eval(&binary::Slope::A(*f), [at(0), at(1), y, g]),
            Kind::Binary(f) => NumberExpr::eval(&binary::Slope::B(*f), [at(0), at(1), y, g]),
            Kind::Choose if i == 1 => NumberExpr::eval(&Kept, [at(0), g, g]),
            Kind::Choose => NumberExpr::eval(&Dropped, [at(0), g, g]),
            Kind::Test(_) | Kind::Fixed | Kind::Input | Kind::Constant => 0.0,
        };
        adjoints[program.only(args[i])] += slope;
    }
}
