//! How a program of scalars runs: forward block by block, and back the same way. Of several runs at once each
//! value is a row, and all steps are the same; so are the bits.
use super::{
    blocks::{At, Block, Blocks},
    graph::Kind,
    single,
};
use crate::{
    kernels::{
        map::NumberExpr,
        rows::{Flow, Given, Negative, PARTS, Times, Whole, fold, give, give_to, join, products, take},
    },
    ops::{
        binary::{self, Choose, Dropped, Kept},
        list::Binary,
        unary,
    },
    tape::Rule,
};
use std::ops::Range;

/// Numbers that are computed in one go.
const TILE: usize = 1024;

/// From so many runs on, arguments are not brought together.
const ALONE: usize = 64;

/// The values of some runs.
pub(super) struct Runs {
    /// How many.
    pub lanes: usize,
    pub values: Vec<f64>,
    /// All 0 before a way back.
    pub adjoints: Vec<f64>,
    /// Operations that are done in one go.
    tile: usize,
    /// Arguments that aren't neighbours, and what flows back.
    tiles: [Vec<f64>; 3],
    /// Partial sums of what flows back to one argument.
    parts: Vec<f64>,
}

impl Runs {
    pub fn new(program: &Blocks, lanes: usize) -> Runs {
        let size = TILE.max(PARTS * lanes);
        let mut values = vec![0.0; program.places * lanes];
        for (row, &constant) in values.chunks_exact_mut(lanes).zip(&program.constants) {
            row.fill(constant);
        }
        Runs {
            lanes,
            values,
            adjoints: Vec::new(),
            tile: size / lanes,
            tiles: [(); 3].map(|()| vec![0.0; size]),
            parts: vec![0.0; PARTS * lanes],
        }
    }

    /// How many operations with these arguments are done in one go. Of many runs each is long enough to be
    /// done alone, with its arguments where they are, unless all are neighbours anyway.
    fn tile(&self, args: &[At]) -> usize {
        let anywhere = |at: &At| !matches!(at, At::Run(_));
        if self.lanes >= ALONE && args.iter().any(anywhere) { 1 } else { self.tile }
    }

    /// The values of all blocks.
    pub fn forward(&mut self, program: &Blocks) {
        let lanes = self.lanes;
        for block in &program.blocks {
            if lanes * block.len() == 1 {
                self.values[block.first()] = single::value(program, block, &self.values);
                continue;
            }
            let args = program.args(block);
            let size = self.tile(args);
            let [ta, tb, tc] = &mut self.tiles;
            let (below, rest) = self.values.split_at_mut(block.first() * lanes);
            for start in (0..block.len()).step_by(size) {
                let rows = start..block.len().min(start + size);
                let out = &mut rest[rows.start * lanes..rows.end * lanes];
                let from = Rows { program, lanes, values: below };
                match (program.kind(block), args) {
                    (Kind::Unary(f), &[x]) => NumberExpr::over(f, [from.all(x, &rows, ta)], out),
                    (Kind::Binary(f), &[a, b]) => {
                        NumberExpr::over(f, [from.all(a, &rows, ta), from.all(b, &rows, tb)], out);
                    }
                    (Kind::Test(f), &[a, b]) => {
                        NumberExpr::over(f, [from.all(a, &rows, ta), from.all(b, &rows, tb)], out);
                    }
                    (Kind::Choose, &[m, a, b]) => {
                        let x = [from.all(m, &rows, ta), from.all(a, &rows, tb), from.all(b, &rows, tc)];
                        NumberExpr::over(&Choose, x, out);
                    }
                    (Kind::Sum, [first, more @ ..]) => {
                        out.copy_from_slice(from.all(*first, &rows, ta));
                        for &x in more {
                            let x = from.all(x, &rows, ta);
                            give(Whole, x, x, out);
                        }
                    }
                    (Kind::Dot, args) => {
                        let (a, b) = args.split_at(args.len() / 2);
                        for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
                            // The one that may be a single number comes last.
                            let (a, b) = if matches!(a, At::Same(_)) { (b, a) } else { (a, b) };
                            products(i == 0, from.all(a, &rows, ta), from.few(b, &rows, tb), out);
                        }
                    }
                    (Kind::Fixed, &[x]) => out.copy_from_slice(from.all(x, &rows, ta)),
                    _ => {}
                }
            }
        }
    }

    /// The way back, from adjoints of results to those of inputs; all others are 0 again. Blocks that none of
    /// `wanted` come from are left out.
    pub fn backward(&mut self, program: &Blocks, wanted: u64) {
        for block in program.blocks.iter().rev().filter(|b| b.feeds & wanted != 0) {
            if self.lanes * block.len() == 1 {
                single::back(program, block, &self.values, &mut self.adjoints);
                continue;
            }
            for (i, (&at, &wanted)) in program.args(block).iter().zip(program.wanted(block)).enumerate() {
                if wanted {
                    self.back(program, block, i, at);
                }
            }
            let range = block.first() * self.lanes..(block.first() + block.len()) * self.lanes;
            self.adjoints[range].fill(0.0);
        }
    }

    /// What an argument of a block gets.
    fn back(&mut self, program: &Blocks, block: &Block, i: usize, to: At) {
        let args = program.args(block);
        let (lanes, size) = (self.lanes, self.tile(args));
        let (below, rest) = self.values.split_at(block.first() * lanes);
        let (to_below, adjoints) = self.adjoints.split_at_mut(block.first() * lanes);
        let from = Rows { program, lanes, values: below };
        let [ta, tb, tc] = &mut self.tiles;
        let mut target = Target { program, lanes, at: to, adjoints: to_below, parts: &mut self.parts };
        for start in (0..block.len()).step_by(size) {
            let rows = start..block.len().min(start + size);
            let range = rows.start * lanes..rows.end * lanes;
            let (g, y) = (&adjoints[range.clone()], &rest[range]);
            let slope = &mut tc[..g.len()];
            match (program.kind(block), args) {
                (Kind::Binary(Binary::Add), _) | (Kind::Sum, _) => target.give(Whole, &rows, g, g),
                (Kind::Binary(Binary::Sub), _) if i == 0 => target.give(Whole, &rows, g, g),
                (Kind::Binary(Binary::Sub), _) => target.give(Negative, &rows, g, g),
                (Kind::Binary(Binary::Mul), args) => {
                    let other = target.other(args[1 - i], &from, &rows, ta);
                    target.give(Times, &rows, g, other);
                }
                (Kind::Dot, args) => {
                    let half = args.len() / 2;
                    let other = args[if i < half { i + half } else { i - half }];
                    let other = target.other(other, &from, &rows, ta);
                    target.give(Times, &rows, g, other);
                }
                (Kind::Unary(f), &[x]) => {
                    let x = if Rule::<f64>::keeps(f, 1) & 1 == 0 { g } else { from.all(x, &rows, ta) };
                    NumberExpr::over(&unary::Slope(*f), [x, y, g], slope);
                    target.give(Given, &rows, g, slope);
                }
                (Kind::Binary(f), &[a, b]) => {
                    let keeps = Rule::<f64>::keeps(f, 1 << i);
                    let a = if keeps & 1 == 0 { g } else { from.all(a, &rows, ta) };
                    let b = if keeps & 2 == 0 { g } else { from.all(b, &rows, tb) };
                    let f = if i == 0 { binary::Slope::A(*f) } else { binary::Slope::B(*f) };
                    NumberExpr::over(&f, [a, b, y, g], slope);
                    target.give(Given, &rows, g, slope);
                }
                (Kind::Choose, &[m, ..]) => {
                    let m = from.all(m, &rows, ta);
                    match i {
                        1 => NumberExpr::over(&Kept, [m, g, g], slope),
                        _ => NumberExpr::over(&Dropped, [m, g, g], slope),
                    }
                    target.give(Given, &rows, g, slope);
                }
                _ => {}
            }
        }
        target.done(block.len());
    }
}

/// The values before a block.
#[derive(Clone, Copy)]
struct Rows<'a> {
    program: &'a Blocks,
    lanes: usize,
    values: &'a [f64],
}

impl<'a> Rows<'a> {
    /// An argument of some operations, one number for each of each run.
    fn all<'b>(&self, at: At, rows: &Range<usize>, tile: &'b mut [f64]) -> &'b [f64]
    where
        'a: 'b,
    {
        let lanes = self.lanes;
        let tile = &mut tile[..rows.len() * lanes];
        let run = |first: usize| &self.values[first * lanes..][..rows.len() * lanes];
        match at {
            At::Run(first) => return run(first as usize + rows.start),
            At::Same(place) if rows.len() == 1 => return run(place as usize),
            At::List(start) if rows.len() == 1 => {
                return run(self.program.lists[start as usize + rows.start] as usize);
            }
            At::Same(place) if lanes == 1 => tile.fill(self.values[place as usize]),
            At::Same(place) => {
                let row = &self.values[place as usize * lanes..][..lanes];
                tile.chunks_exact_mut(lanes).for_each(|out| out.copy_from_slice(row));
            }
            At::List(start) => {
                let places = &self.program.lists[start as usize..][rows.clone()];
                take(places, lanes, self.values, tile);
            }
        }
        tile
    }

    /// The same; a single number if all are that.
    fn few<'b>(&self, at: At, rows: &Range<usize>, tile: &'b mut [f64]) -> &'b [f64]
    where
        'a: 'b,
    {
        match at {
            At::Same(place) if self.lanes == 1 => &self.values[place as usize..][..1],
            _ => self.all(at, rows, tile),
        }
    }
}

/// Where what flows back to an argument goes.
struct Target<'a> {
    program: &'a Blocks,
    lanes: usize,
    at: At,
    /// The adjoints before the block.
    adjoints: &'a mut [f64],
    parts: &'a mut [f64],
}

impl Target<'_> {
    /// The other factor of a product, as a single number where that will do.
    fn other<'a>(&self, at: At, from: &Rows<'a>, rows: &Range<usize>, tile: &'a mut [f64]) -> &'a [f64] {
        match self.at {
            At::Run(_) => from.few(at, rows, tile),
            _ => from.all(at, rows, tile),
        }
    }

    fn give(&mut self, flow: impl Flow, rows: &Range<usize>, g: &[f64], x: &[f64]) {
        let lanes = self.lanes;
        match self.at {
            At::Run(first) => {
                give(flow, g, x, &mut self.adjoints[(first as usize + rows.start) * lanes..][..g.len()]);
            }
            At::Same(_) if rows.len() == 1 => {
                give(flow, g, x, &mut self.parts[rows.start % PARTS * lanes..][..lanes]);
            }
            At::Same(_) => fold(flow, g, x, self.parts),
            At::List(start) => {
                let places = &self.program.lists[start as usize..][rows.clone()];
                give_to(flow, places, lanes, g, x, self.adjoints);
            }
        }
    }

    fn done(self, rows: usize) {
        if let At::Same(place) = self.at {
            join(rows, self.parts, &mut self.adjoints[place as usize * self.lanes..][..self.lanes]);
        }
    }
}
